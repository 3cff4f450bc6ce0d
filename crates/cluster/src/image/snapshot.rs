//! The image as bytes: what a node keeps in place of the entries that made it, and what a node gets that is too far behind for them.
//!
//! ```text
//!  version u8 | crc32c u32 of what follows | parts, each: kind u8 | version u8 | length varint | fields
//! ```
//! Parts have the form of records and their rule: a newer version of one may only add fields at its end, and a kind that is not known is refused. The first part
//! is the head. Everything is named where an image is taken apart and where it is put together, so that a field somebody adds does not compile before it is in
//! here; what follows from the rest (names, how they look, the count of partitions) is not written. Equal images are equal bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use imbl::Vector;
use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, ProducerId, TopicId, crc32c,
};
use thiserror::Error;

use super::apply::check_partition;
use super::{Broker, Changes, Image, Partition, Topic};
use crate::quota::QuotaValue;
use crate::record::coding::{Reader, Writer};

/// Of the whole; other parts have versions of their own.
const VERSION: u8 = 1;

const HEAD: u8 = 0;
const BROKER: u8 = 1;
const TOPIC: u8 = 2;
/// Within a topic.
const PARTITION: u8 = 3;
const CONFIGS: u8 = 4;
const QUOTAS: u8 = 5;
const REMOVED: u8 = 6;
const FEATURE: u8 = 7;

/// Bytes that are no image that this node can read. Nothing less is taken for one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SnapshotError {
    /// Written by a newer node.
    #[error("a snapshot of the metadata has the unknown version {0}: this node is older than its cluster")]
    Version(u8),
    /// Written by a newer node.
    #[error(
        "a snapshot of the metadata has a part of the unknown kind {0}: this node is older than its cluster"
    )]
    UnknownPart(u8),
    /// Not what was written.
    #[error("a snapshot of the metadata is damaged: {0}")]
    Damaged(&'static str),
}

impl From<&'static str> for SnapshotError {
    fn from(what: &'static str) -> Self {
        Self::Damaged(what)
    }
}

impl Image {
    /// All of it.
    pub fn to_bytes(&self) -> Bytes {
        let Self {
            applied,
            epoch,
            controller,
            cluster_id,
            next_producer_id,
            brokers,
            unregistered,
            topics,
            names: _,
            metric_names: _,
            removed_topics,
            partition_count: _,
            broker_configs,
            quotas,
            flush_changed,
            features,
        } = self;
        let mut out = Writer::default();
        out.record(HEAD, 1, |out| {
            write_offset(out, *applied);
            out.number(epoch.0);
            out.option(*controller, |out, it| out.number(it.0));
            out.option(cluster_id.as_deref(), Writer::text);
            out.number(next_producer_id.0);
            write_offset(out, *flush_changed);
            let unregistered: Vec<_> = unregistered.iter().collect();
            out.list(&unregistered, |out, (id, directory)| {
                out.number(id.0);
                out.uuid(**directory);
            });
        });
        for broker in brokers.values() {
            out.record(BROKER, 4, |out| write_broker(out, broker));
        }
        for topic in topics.values() {
            out.record(TOPIC, 1, |out| write_topic(out, topic));
        }
        for (resource, configs) in broker_configs {
            out.record(CONFIGS, 0, |out| {
                out.resource(*resource);
                write_configs(out, configs);
            });
        }
        for (entity, quotas) in quotas {
            out.record(QUOTAS, 0, |out| {
                out.entity(entity);
                let quotas: Vec<_> = quotas.iter().collect();
                out.list(&quotas, |out, (key, value)| {
                    out.text(key);
                    out.fixed(value.bits());
                });
            });
        }
        for (id, name) in removed_topics {
            out.record(REMOVED, 0, |out| {
                out.uuid(id.0);
                out.text(name);
            });
        }
        for (name, level) in features {
            out.record(FEATURE, 0, |out| {
                out.text(name);
                out.number(*level);
            });
        }
        let parts = out.finish();
        let mut whole = BytesMut::with_capacity(parts.len() + 5);
        whole.put_u8(VERSION);
        whole.put_u32(crc32c(&parts));
        whole.put_slice(&parts);
        whole.freeze()
    }

    /// The image that [`to_bytes`](Self::to_bytes) wrote, all of it or an error. Takes no more memory than there are bytes for.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut rest = Reader::new(bytes);
        let version = rest.byte()?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let checksum = rest.take(4)?;
        let parts = rest.take(rest.remaining())?;
        if crc32c(parts).to_be_bytes() != checksum {
            return Err("its checksum is another".into());
        }
        let mut parts = Reader::new(parts);
        let mut image = match parts.record()? {
            (HEAD, mut fields) => read_head(&mut fields)?,
            (kind, _) => return Err(SnapshotError::UnknownPart(kind)),
        };
        while !parts.is_empty() {
            let (kind, mut fields) = parts.record()?;
            match kind {
                BROKER => {
                    let broker = read_broker(&mut fields)?;
                    image.brokers.insert(broker.id, Arc::new(broker));
                }
                TOPIC => image.add_topic(read_topic(&mut fields)?)?,
                CONFIGS => {
                    let resource = fields.resource()?;
                    let configs = read_configs(&mut fields)?;
                    image.broker_configs.insert(resource, Arc::new(configs));
                }
                QUOTAS => {
                    let entity = fields.entity()?;
                    let quotas = fields.list(|it| Ok((it.text()?, QuotaValue::from_bits(it.fixed()?))))?;
                    image.quotas.insert(entity, Arc::new(quotas.into_iter().collect()));
                }
                REMOVED => image.remember_removed(TopicId(fields.uuid()?), &fields.text()?.into()),
                FEATURE => {
                    image.features.insert(fields.text()?.into(), fields.number()?);
                }
                unknown => return Err(SnapshotError::UnknownPart(unknown)),
            }
        }
        Ok(image)
    }

    fn add_topic(&mut self, topic: Topic) -> Result<(), &'static str> {
        // Whatever the topic's name and number lead to besides.
        self.create_topic(&topic.name, topic.id, &mut Changes::default())?;
        self.partition_count += topic.partitions.len() as u64;
        self.topics.insert(topic.id, Arc::new(topic));
        Ok(())
    }
}

fn read_head(fields: &mut Reader<'_>) -> Result<Image, &'static str> {
    Ok(Image {
        applied: fields.option(Reader::number)?,
        epoch: ControllerEpoch(fields.number()?),
        controller: fields.option(Reader::broker)?,
        cluster_id: fields.option(Reader::text)?.map(Into::into),
        next_producer_id: ProducerId(fields.number()?),
        // Since version 1.
        flush_changed: fields.added_option(Reader::number)?,
        unregistered: fields.added_list(|it| Ok((it.broker()?, it.uuid()?)))?.into_iter().collect(),
        ..Image::default()
    })
}

fn write_offset(out: &mut Writer, offset: Option<u64>) {
    out.option(offset, |out, it| out.number(i64::try_from(it).expect("a metadata offset")));
}

fn write_broker(out: &mut Writer, broker: &Broker) {
    let Broker { id, epoch, incarnation, directory, listeners, rack, state, .. } = broker;
    let Broker { is_relaxed, supported, other_directories, has_lost_directory, may_vote, .. } = broker;
    out.number(id.0);
    out.number(epoch.0);
    out.uuid(*incarnation);
    out.uuid(*directory);
    out.list(listeners, Writer::listener);
    out.option(rack.as_deref(), Writer::text);
    out.broker_state(*state);
    out.byte((*is_relaxed).into());
    out.supported(supported);
    out.list(other_directories, |out, id| out.uuid(*id));
    out.byte((*has_lost_directory).into());
    out.byte((*may_vote).into());
}

fn read_broker(fields: &mut Reader<'_>) -> Result<Broker, &'static str> {
    Ok(Broker {
        id: BrokerId(fields.number()?),
        epoch: BrokerEpoch(fields.number()?),
        incarnation: fields.uuid()?,
        directory: fields.uuid()?,
        listeners: fields.list(Reader::listener)?,
        rack: fields.option(Reader::text)?,
        state: fields.broker_state()?,
        // Since version 1.
        is_relaxed: !fields.is_empty() && fields.flag()?,
        // Since version 2.
        supported: fields.supported()?,
        // Since version 3.
        other_directories: fields.added_list(Reader::uuid)?,
        has_lost_directory: !fields.is_empty() && fields.flag()?,
        // Since version 4.
        may_vote: fields.is_empty() || fields.flag()?,
    })
}

fn write_topic(out: &mut Writer, topic: &Topic) {
    let Topic { id, name, partitions, configs, flush_changed } = topic;
    out.uuid(id.0);
    out.text(name);
    write_configs(out, configs);
    out.length(partitions.len());
    for partition in partitions {
        out.record(PARTITION, 2, |out| write_partition(out, partition));
    }
    write_offset(out, *flush_changed);
}

fn read_topic(fields: &mut Reader<'_>) -> Result<Topic, &'static str> {
    Ok(Topic {
        id: TopicId(fields.uuid()?),
        name: fields.text()?.into(),
        configs: Arc::new(read_configs(fields)?),
        partitions: {
            let mut partitions = Vector::new();
            for _ in 0..fields.size()? {
                let (PARTITION, mut fields) = fields.record()? else { return Err("it is no partition") };
                partitions.push_back(Arc::new(read_partition(&mut fields)?));
            }
            partitions
        },
        // Since version 1.
        flush_changed: fields.added_option(Reader::number)?,
    })
}

fn write_partition(out: &mut Writer, partition: &Partition) {
    let Partition {
        replicas,
        isr,
        elr,
        last_known_elr,
        recovering,
        leader,
        leader_epoch,
        partition_epoch,
        adding,
        removing,
        offline,
        wanted_replicas,
    } = partition;
    out.brokers(replicas);
    out.brokers(isr);
    out.option(*leader, |out, it| out.number(it.0));
    out.number(leader_epoch.0);
    out.number(partition_epoch.0);
    out.brokers(adding);
    out.brokers(removing);
    out.brokers(elr);
    out.brokers(last_known_elr);
    out.byte((*recovering).into());
    out.brokers(offline);
    out.option(*wanted_replicas, |out, it| out.number(it));
}

fn read_partition(fields: &mut Reader<'_>) -> Result<Partition, &'static str> {
    let partition = Partition {
        replicas: fields.list(Reader::broker)?,
        isr: fields.list(Reader::broker)?,
        leader: fields.option(Reader::broker)?,
        leader_epoch: LeaderEpoch(fields.number()?),
        partition_epoch: PartitionEpoch(fields.number()?),
        adding: fields.list(Reader::broker)?,
        removing: fields.list(Reader::broker)?,
        // Since version 1.
        elr: fields.added_list(Reader::broker)?,
        last_known_elr: fields.added_list(Reader::broker)?,
        recovering: !fields.is_empty() && fields.flag()?,
        // Since version 2.
        offline: fields.added_list(Reader::broker)?,
        wanted_replicas: fields.added_option(Reader::number)?,
    };
    check_partition(&partition)?;
    Ok(partition)
}

fn write_configs(out: &mut Writer, configs: &BTreeMap<String, String>) {
    let configs: Vec<_> = configs.iter().collect();
    out.list(&configs, |out, (key, value)| {
        out.text(key);
        out.text(value);
    });
}

fn read_configs(fields: &mut Reader<'_>) -> Result<BTreeMap<String, String>, &'static str> {
    let configs = fields.list(|it| Ok((it.text()?, it.text()?)))?;
    Ok(configs.into_iter().collect())
}

#[cfg(test)]
mod tests;
