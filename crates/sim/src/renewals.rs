//! What a client was told of a topic that is deleted and made anew under the same name, again and again, and what must hold of it (F42, I22).
//!
//! Each value says which of the topics it was written for. One that was sent by a topic's id is in that topic or nowhere; one that was sent by the name may be in
//! a later topic of the name than the one that the broker knew, and in no earlier one. Whoever has applied that a topic is gone knows its id no more. What a group has
//! committed is looked at in [`offsets`].

pub mod offsets;

use std::collections::BTreeMap;

use klamm_model::{ErrorCode, TopicId, TopicPartition};

use crate::{
    check::Findings,
    replicas::Replicas,
    stored::{FinalRecord, Stored},
};

pub use offsets::Span;

/// What the topic is called.
pub const NAME: &str = "renewed";

/// For which of the topics a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// For this one.
    Only(TopicId),
    /// For this one, or one that was made after it. Without one: for any.
    Since(Option<TopicId>),
}

/// What a broker knows of a topic's id, by the metadata that it has applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knowledge {
    /// Nothing yet, or the broker does not run.
    Nothing,
    /// It is there.
    Has,
    /// It was there.
    Had,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    partition: i32,
    whose: Whose,
    /// Where it is said to be.
    acked: Option<i64>,
}

impl Sent {
    fn is_for(&self, id: TopicId) -> bool {
        self.whose == Whose::Only(id) || self.whose == Whose::Since(Some(id))
    }
}

/// See the module.
#[derive(Default)]
pub struct Renewals {
    sent: BTreeMap<u64, Sent>,
    read: BTreeMap<(TopicPartition, i64), Option<u64>>,
    /// What a group has committed.
    pub offsets: offsets::Offsets,
}

/// What a broker knows at this moment.
pub fn knowledge(replicas: &Replicas, node: usize, id: TopicId) -> Knowledge {
    let Some(image) = replicas.image_of(node) else { return Knowledge::Nothing };
    let made_at = replicas.renewed().iter().find(|(it, _)| *it == id).map(|(_, at)| *at);
    match (image.topic(id), made_at) {
        (Some(_), _) => Knowledge::Has,
        (None, Some(at)) if Some(at) <= image.applied() => Knowledge::Had,
        (None, _) => Knowledge::Nothing,
    }
}

impl Renewals {
    /// A value is sent to a partition.
    pub fn sent(&mut self, value: u64, partition: i32, whose: Whose) {
        self.sent.insert(value, Sent { partition, whose, acked: None });
    }

    /// It was acknowledged by all.
    pub fn acked(&mut self, value: u64, offset: i64) {
        self.sent.get_mut(&value).expect("it was sent").acked = Some(offset);
    }

    /// Whether it is in this topic, if that is there and nobody has deleted it.
    pub fn is_for(&self, value: u64, id: TopicId) -> bool {
        self.sent.get(&value).is_some_and(|sent| sent.is_for(id))
    }

    /// A broker said this to a question by a topic's id. `knew`: what it knew of the id when it was asked.
    pub fn told(
        &self,
        (client, id): (usize, TopicId),
        (knew, code): (Knowledge, ErrorCode),
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        let is_unknown = code == ErrorCode::UnknownTopicId;
        if knew == Knowledge::Had && !is_unknown {
            let what =
                format!("client {client}: {id:?} is deleted, as the broker knew, and it answers {code}");
            findings.broken("I22", what);
        }
        if knew == Knowledge::Has && is_unknown && replicas.newest_image().topic(id).is_some() {
            findings.broken("I26", format!("client {client}: {id:?} is there, and is said to be unknown"));
        }
    }

    /// A record was read by the topic's id.
    pub fn read(
        &mut self,
        client: usize,
        key: TopicPartition,
        record: &FinalRecord,
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        let (offset, value) = (record.offset, record.value);
        let first = *self.read.entry((key, offset)).or_insert(value);
        if first != value {
            let what =
                format!("client {client}: {key} {offset} was read as {first:x?}, and now as {value:x?}");
            findings.broken("I2", what);
        }
        self.look_at(&format!("client {client} read"), key, record, replicas, findings);
    }

    /// What a node has on its disk.
    pub fn stored(
        &self,
        node: usize,
        key: TopicPartition,
        bytes: &[u8],
        end: i64,
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        for record in Stored::read(bytes).records().into_iter().filter(|it| it.offset < end) {
            self.look_at(&format!("n{node} has"), key, &record, replicas, findings);
        }
    }

    fn look_at(
        &self,
        who: &str,
        key: TopicPartition,
        record: &FinalRecord,
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        let sent = record.value.and_then(|value| self.sent.get(&value));
        let place_of = |id: TopicId| replicas.renewed().iter().position(|(it, _)| *it == id);
        let belongs = sent.is_some_and(|sent| {
            let of_topic = match sent.whose {
                Whose::Only(id) => id == key.topic,
                Whose::Since(None) => true,
                Whose::Since(Some(first)) => place_of(first) <= place_of(key.topic),
            };
            of_topic && sent.partition == key.partition.0
        });
        if !belongs {
            let FinalRecord { offset, value, .. } = record;
            findings.broken("I22", format!("{who} {value:x?} at {key} {offset}; it is {sent:?}"));
        }
    }

    /// Looks at everything once more when all is quiet: `logs` are the partitions of the last topic, as their leaders have them.
    pub fn conclude(
        &self,
        logs: &BTreeMap<TopicPartition, Vec<FinalRecord>>,
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        for (key, records) in logs {
            for record in records {
                self.look_at("its leader has", *key, record, replicas, findings);
            }
            let value_at = |offset: i64| {
                let found = usize::try_from(offset).ok().and_then(|at| records.get(at));
                found.and_then(|record| record.value)
            };
            let of_this = |sent: &Sent| sent.is_for(key.topic) && sent.partition == key.partition.0;
            for (value, sent) in self.sent.iter().filter(|(_, sent)| of_this(sent)) {
                if let Some(offset) = sent.acked.filter(|offset| value_at(*offset) != Some(*value)) {
                    let found = value_at(offset);
                    let what = format!("{value:x} is acknowledged at {key} {offset}; {found:x?} is there");
                    findings.broken("I1", what);
                }
            }
            for ((_, offset), value) in self.read.range((*key, 0)..=(*key, i64::MAX)) {
                let found = value_at(*offset);
                if found != *value {
                    let what = format!("{key} {offset} was read as {value:x?}; {found:x?} is there");
                    findings.broken("I9", what);
                }
            }
        }
    }
}
