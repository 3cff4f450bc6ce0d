//! The records that cluster metadata is made of, and how they are written.
//!
//! ```text
//!  record:  type u8 | version u8 | length varint | fields
//! ```
//! A payload is records one after another. A newer version of a type may only add fields at the end: an older node reads those it knows and skips the rest,
//! which is what the length is for. A new type is another matter: a node that skipped it would have another image than its peers, so it refuses the payload.
//! A cluster must not write a new type before all its nodes know it.

use bytes::Bytes;
use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicPartition,
};
use thiserror::Error;
use uuid::Uuid;

use coding::{Reader, Writer};

use crate::features::{LevelRange, Supported};
use crate::quota::{EntityKind, QuotaEntity, QuotaValue};

pub(crate) mod coding;

/// One change of cluster metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// The first record of every controller epoch.
    Begin {
        /// The epoch, the same as the entry's.
        epoch: ControllerEpoch,
        /// The node that leads it.
        controller: BrokerId,
    },
    /// The cluster got its name; once in its life.
    Cluster {
        /// As clients see it.
        id: String,
    },
    /// A broker process started. Its broker epoch is the metadata offset of this record. It is fenced until a [`Record::BrokerState`] says otherwise.
    RegisterBroker(RegisterBroker),
    /// A registered broker may lead and be in sync, or not.
    BrokerState {
        /// Which broker.
        id: BrokerId,
        /// Which registration of it.
        epoch: BrokerEpoch,
        /// What it is from now on.
        state: BrokerState,
    },
    /// A broker left for good.
    UnregisterBroker {
        /// Which broker.
        id: BrokerId,
        /// Which registration of it.
        epoch: BrokerEpoch,
    },
    /// A topic was created; its partitions and configs follow in the same group.
    Topic {
        /// The name, valid and free.
        name: String,
        /// The id, never used before.
        id: TopicId,
    },
    /// A topic was deleted, and its partitions and configs with it.
    RemoveTopic {
        /// Which topic.
        id: TopicId,
    },
    /// The next partition of a topic, counted from 0.
    Partition {
        /// Which one.
        partition: TopicPartition,
        /// Where its replicas are, the preferred leader first.
        replicas: Vec<BrokerId>,
        /// Which of them are in sync.
        isr: Vec<BrokerId>,
        /// Who leads.
        leader: Option<BrokerId>,
    },
    /// A partition got another leader, in-sync set or replicas.
    PartitionChange(PartitionChange),
    /// A config was set or removed.
    Config {
        /// Of what.
        resource: ConfigResource,
        /// Kafka's name of the key.
        key: String,
        /// `None`: the default holds again.
        value: Option<String>,
    },
    /// A block of producer ids was given to a broker.
    ProducerIds {
        /// Which broker.
        broker: BrokerId,
        /// Which registration of it.
        broker_epoch: BrokerEpoch,
        /// The first id of the next block.
        next: ProducerId,
    },
    /// A client quota was set or removed.
    ClientQuota {
        /// Whose.
        entity: QuotaEntity,
        /// Kafka's name of the quota.
        key: String,
        /// `None`: there is no such quota any more.
        value: Option<QuotaValue>,
    },
    /// The cluster is at another level of a feature. Of clusters whose metadata have levels: see [`features`](crate::features).
    Feature {
        /// Which one.
        name: String,
        /// 0: it is off.
        level: i16,
    },
}

/// How a broker introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterBroker {
    /// The number its operator gave it.
    pub id: BrokerId,
    /// Drawn anew at every start of the process: tells a repeated registration from a restart.
    pub incarnation: Uuid,
    /// Drawn once for a data directory. A broker that comes back with another one has lost its data.
    pub directory: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// By what it was given at start, it waits for no disk where a topic does not ask for that.
    pub is_relaxed: bool,
    /// The feature levels that it supports.
    pub supported: Supported,
    /// The same of its data directories besides the first, in any order. One that is not named any more is lost, and what was in it.
    pub other_directories: Vec<Uuid>,
    /// Its node may have a vote on metadata; else it is a broker and nothing else.
    pub may_vote: bool,
}

/// An address of a broker.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Listener {
    /// Who is meant to use it.
    pub name: String,
    /// Host name or address, as advertised.
    pub host: String,
    /// Port, as advertised.
    pub port: u16,
}

/// Whether a registered broker takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BrokerState {
    /// Not heard of for too long, or not caught up since its start: leads nothing, joins no in-sync set, gets no new partitions.
    Fenced,
    /// Takes part.
    Active,
    /// Asked to stop: leads nothing any more where another can.
    Draining,
}

/// What changed in a partition. `None`: as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionChange {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its epoch after this change: one more than before.
    pub partition_epoch: PartitionEpoch,
    /// The new leader; `Some(None)`: it has none.
    pub leader: Option<Option<BrokerId>>,
    /// The new leader epoch: one more than before, wherever `leader` is given.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The new in-sync set.
    pub isr: Option<Vec<BrokerId>>,
    /// The new replicas.
    pub replicas: Option<Vec<BrokerId>>,
    /// Which of the replicas are to come by a reassignment.
    pub adding: Option<Vec<BrokerId>>,
    /// Which of the replicas are to go by a reassignment.
    pub removing: Option<Vec<BrokerId>>,
    /// Who is out of the in-sync set and has all committed records nevertheless.
    pub elr: Option<Vec<BrokerId>>,
    /// Who was eligible last.
    pub last_known_elr: Option<Vec<BrokerId>>,
    /// Whether a leader was elected that may lack committed records, and not everybody follows it yet.
    pub recovering: Option<bool>,
    /// Whose logs cannot be used.
    pub offline: Option<Vec<BrokerId>>,
    /// How many replicas it is to get as brokers join; `Some(None)`: no more than it has.
    pub wanted_replicas: Option<Option<u16>>,
}

impl PartitionChange {
    /// All stays as it was.
    pub fn nothing(partition: TopicPartition, partition_epoch: PartitionEpoch) -> Self {
        Self {
            partition,
            partition_epoch,
            leader: None,
            leader_epoch: None,
            isr: None,
            replicas: None,
            adding: None,
            removing: None,
            elr: None,
            last_known_elr: None,
            recovering: None,
            offline: None,
            wanted_replicas: None,
        }
    }
}

/// What a config belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigResource {
    /// One topic.
    Topic(TopicId),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that have no value of their own.
    BrokerDefault,
}

/// A payload that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// Written by a newer node, under a feature level that this one does not know.
    #[error("metadata record of the unknown type {kind} at byte {at}: this node is older than its cluster")]
    UnknownType {
        /// The type's number.
        kind: u8,
        /// Where it stands in the payload.
        at: usize,
    },
    /// Not a record at all.
    #[error("metadata record at byte {at} is damaged: {what}")]
    Damaged {
        /// Where it stands in the payload.
        at: usize,
        /// What does not fit.
        what: &'static str,
    },
}

/// Writes records one after another.
pub fn encode(records: &[Record]) -> Bytes {
    let mut payload = Writer::default();
    for record in records {
        record.write(&mut payload);
    }
    payload.finish()
}

/// Writes records that each stand by themselves as several payloads of at most `bytes_max`, in order.
///
/// # Panics
/// If a single record is larger than that.
pub fn encode_split(records: &[Record], bytes_max: usize) -> Vec<(Bytes, &[Record])> {
    let mut payloads = Vec::new();
    let mut first = 0;
    let mut size = 0;
    for (at, record) in records.iter().enumerate() {
        let record_size = encoded_size(record);
        assert!(record_size <= bytes_max, "a record of {record_size} bytes");
        if bytes_max < size + record_size {
            payloads.push((encode(&records[first..at]), &records[first..at]));
            first = at;
            size = 0;
        }
        size += record_size;
    }
    if first < records.len() {
        payloads.push((encode(&records[first..]), &records[first..]));
    }
    payloads
}

/// How many bytes a record takes in a payload.
pub fn encoded_size(record: &Record) -> usize {
    let mut alone = Writer::default();
    record.write(&mut alone);
    alone.size()
}

/// Reads a payload. All or nothing: a group of records is applied together.
pub fn decode(payload: &[u8]) -> Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    let mut rest = Reader::new(payload);
    while !rest.is_empty() {
        let at = payload.len() - rest.remaining();
        let damaged = |what| RecordError::Damaged { at, what };
        let (kind, mut fields) = rest.record().map_err(damaged)?;
        let record = Record::read(kind, &mut fields).map_err(damaged)?;
        records.push(record.ok_or(RecordError::UnknownType { kind, at })?);
    }
    Ok(records)
}

impl Record {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Begin { epoch, controller } => out.record(0, 0, |out| {
                out.number(epoch.0);
                out.number(controller.0);
            }),
            Self::Cluster { id } => out.record(1, 0, |out| out.text(id)),
            Self::RegisterBroker(it) => out.record(2, 4, |out| {
                out.number(it.id.0);
                out.uuid(it.incarnation);
                out.uuid(it.directory);
                out.list(&it.listeners, Writer::listener);
                out.option(it.rack.as_deref(), Writer::text);
                out.byte(it.is_relaxed.into());
                out.supported(&it.supported);
                out.list(&it.other_directories, |out, id| out.uuid(*id));
                out.byte(it.may_vote.into());
            }),
            Self::BrokerState { id, epoch, state } => out.record(3, 0, |out| {
                out.number(id.0);
                out.number(epoch.0);
                out.broker_state(*state);
            }),
            Self::UnregisterBroker { id, epoch } => out.record(4, 0, |out| {
                out.number(id.0);
                out.number(epoch.0);
            }),
            Self::Topic { name, id } => out.record(5, 0, |out| {
                out.text(name);
                out.uuid(id.0);
            }),
            Self::RemoveTopic { id } => out.record(6, 0, |out| out.uuid(id.0)),
            Self::Partition { partition, replicas, isr, leader } => out.record(7, 0, |out| {
                out.partition(*partition);
                out.brokers(replicas);
                out.brokers(isr);
                out.option(*leader, |out, leader| out.number(leader.0));
            }),
            Self::PartitionChange(it) => out.record(8, 3, |out| {
                out.partition(it.partition);
                out.number(it.partition_epoch.0);
                out.option(it.leader, |out, leader| out.option(leader, |out, leader| out.number(leader.0)));
                out.option(it.leader_epoch, |out, epoch| out.number(epoch.0));
                out.option(it.isr.as_deref(), Writer::brokers);
                out.option(it.replicas.as_deref(), Writer::brokers);
                out.option(it.adding.as_deref(), Writer::brokers);
                out.option(it.removing.as_deref(), Writer::brokers);
                out.option(it.elr.as_deref(), Writer::brokers);
                out.option(it.last_known_elr.as_deref(), Writer::brokers);
                out.option(it.recovering, |out, it| out.byte(it.into()));
                out.option(it.offline.as_deref(), Writer::brokers);
                out.option(it.wanted_replicas, |out, it| out.option(it, |out, it| out.number(it)));
            }),
            Self::Config { resource, key, value } => out.record(9, 0, |out| {
                out.resource(*resource);
                out.text(key);
                out.option(value.as_deref(), Writer::text);
            }),
            Self::ProducerIds { broker, broker_epoch, next } => out.record(10, 0, |out| {
                out.number(broker.0);
                out.number(broker_epoch.0);
                out.number(next.0);
            }),
            Self::ClientQuota { entity, key, value } => out.record(11, 0, |out| {
                out.entity(entity);
                out.text(key);
                out.option(*value, |out, value| out.fixed(value.bits()));
            }),
            Self::Feature { name, level } => out.record(12, 0, |out| {
                out.text(name);
                out.number(*level);
            }),
        }
    }

    /// `None`: no type of ours. Fields of a newer version may be left over.
    fn read(kind: u8, fields: &mut Reader<'_>) -> Result<Option<Self>, &'static str> {
        let record = match kind {
            0 => Self::Begin { epoch: ControllerEpoch(fields.number()?), controller: fields.broker()? },
            1 => Self::Cluster { id: fields.text()? },
            2 => Self::RegisterBroker(RegisterBroker {
                id: fields.broker()?,
                incarnation: fields.uuid()?,
                directory: fields.uuid()?,
                listeners: fields.list(Reader::listener)?,
                rack: fields.option(Reader::text)?,
                // Since version 1.
                is_relaxed: !fields.is_empty() && fields.flag()?,
                // Since version 2.
                supported: fields.supported()?,
                // Since version 3.
                other_directories: fields.added_list(Reader::uuid)?,
                // Since version 4. Before, every node was both.
                may_vote: fields.is_empty() || fields.flag()?,
            }),
            3 => Self::BrokerState {
                id: fields.broker()?,
                epoch: BrokerEpoch(fields.number()?),
                state: fields.broker_state()?,
            },
            4 => Self::UnregisterBroker { id: fields.broker()?, epoch: BrokerEpoch(fields.number()?) },
            5 => Self::Topic { name: fields.text()?, id: TopicId(fields.uuid()?) },
            6 => Self::RemoveTopic { id: TopicId(fields.uuid()?) },
            7 => Self::Partition {
                partition: fields.partition()?,
                replicas: fields.list(Reader::broker)?,
                isr: fields.list(Reader::broker)?,
                leader: fields.option(Reader::broker)?,
            },
            8 => Self::PartitionChange(PartitionChange {
                partition: fields.partition()?,
                partition_epoch: PartitionEpoch(fields.number()?),
                leader: fields.option(|fields| fields.option(Reader::broker))?,
                leader_epoch: fields.option(|fields| Ok(LeaderEpoch(fields.number()?)))?,
                isr: fields.option(|fields| fields.list(Reader::broker))?,
                replicas: fields.option(|fields| fields.list(Reader::broker))?,
                // Since version 1.
                adding: fields.added_option(|fields| fields.list(Reader::broker))?,
                removing: fields.added_option(|fields| fields.list(Reader::broker))?,
                // Since version 2.
                elr: fields.added_option(|fields| fields.list(Reader::broker))?,
                last_known_elr: fields.added_option(|fields| fields.list(Reader::broker))?,
                recovering: fields.added_option(Reader::flag)?,
                // Since version 3.
                offline: fields.added_option(|fields| fields.list(Reader::broker))?,
                wanted_replicas: fields.added_option(|fields| fields.option(Reader::number))?,
            }),
            9 => Self::Config {
                resource: fields.resource()?,
                key: fields.text()?,
                value: fields.option(Reader::text)?,
            },
            10 => Self::ProducerIds {
                broker: fields.broker()?,
                broker_epoch: BrokerEpoch(fields.number()?),
                next: ProducerId(fields.number()?),
            },
            11 => Self::ClientQuota {
                entity: fields.entity()?,
                key: fields.text()?,
                value: fields.option(Reader::fixed)?.map(QuotaValue::from_bits),
            },
            12 => Self::Feature { name: fields.text()?, level: fields.number()? },
            _ => return Ok(None),
        };
        Ok(Some(record))
    }
}

/// What records share with the bytes of a whole image.
impl Writer {
    pub(crate) fn brokers(&mut self, brokers: &[BrokerId]) {
        self.list(brokers, |out, id| out.number(id.0));
    }

    fn partition(&mut self, partition: TopicPartition) {
        self.uuid(partition.topic.0);
        self.number(partition.partition.0);
    }

    pub(crate) fn listener(&mut self, Listener { name, host, port }: &Listener) {
        self.text(name);
        self.text(host);
        self.number(*port);
    }

    pub(crate) fn supported(&mut self, Supported(features): &Supported) {
        let features: Vec<_> = features.iter().collect();
        self.list(&features, |out, (name, range)| {
            out.text(name);
            out.number(range.min);
            out.number(range.max);
        });
    }

    pub(crate) fn broker_state(&mut self, state: BrokerState) {
        self.byte(match state {
            BrokerState::Fenced => 0,
            BrokerState::Active => 1,
            BrokerState::Draining => 2,
        });
    }

    pub(crate) fn resource(&mut self, resource: ConfigResource) {
        match resource {
            ConfigResource::Topic(id) => {
                self.byte(0);
                self.uuid(id.0);
            }
            ConfigResource::Broker(id) => {
                self.byte(1);
                self.number(id.0);
            }
            ConfigResource::BrokerDefault => self.byte(2),
        }
    }

    pub(crate) fn entity(&mut self, QuotaEntity(parts): &QuotaEntity) {
        let parts: Vec<_> = parts.iter().collect();
        self.list(&parts, |out, (kind, name)| {
            out.byte(match kind {
                EntityKind::User => 0,
                EntityKind::ClientId => 1,
                EntityKind::Ip => 2,
            });
            out.option(name.as_deref(), Writer::text);
        });
    }
}

impl Reader<'_> {
    pub(crate) fn broker(&mut self) -> Result<BrokerId, &'static str> {
        Ok(BrokerId(self.number()?))
    }

    fn partition(&mut self) -> Result<TopicPartition, &'static str> {
        Ok(TopicPartition { topic: TopicId(self.uuid()?), partition: PartitionIndex(self.number()?) })
    }

    pub(crate) fn listener(&mut self) -> Result<Listener, &'static str> {
        Ok(Listener { name: self.text()?, host: self.text()?, port: self.number()? })
    }

    /// Of a broker that tells none there is nothing.
    pub(crate) fn supported(&mut self) -> Result<Supported, &'static str> {
        let features =
            self.added_list(|it| Ok((it.text()?, LevelRange { min: it.number()?, max: it.number()? })))?;
        Ok(Supported(features.into_iter().collect()))
    }

    pub(crate) fn broker_state(&mut self) -> Result<BrokerState, &'static str> {
        match self.byte()? {
            0 => Ok(BrokerState::Fenced),
            1 => Ok(BrokerState::Active),
            2 => Ok(BrokerState::Draining),
            _ => Err("unknown broker state"),
        }
    }

    pub(crate) fn resource(&mut self) -> Result<ConfigResource, &'static str> {
        match self.byte()? {
            0 => Ok(ConfigResource::Topic(TopicId(self.uuid()?))),
            1 => Ok(ConfigResource::Broker(self.broker()?)),
            2 => Ok(ConfigResource::BrokerDefault),
            _ => Err("unknown config resource"),
        }
    }

    pub(crate) fn entity(&mut self) -> Result<QuotaEntity, &'static str> {
        let parts = self.list(|fields| {
            let kind = match fields.byte()? {
                0 => EntityKind::User,
                1 => EntityKind::ClientId,
                2 => EntityKind::Ip,
                _ => return Err("unknown kind of entity"),
            };
            Ok((kind, fields.option(Reader::text)?))
        })?;
        Ok(QuotaEntity(parts.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests;
