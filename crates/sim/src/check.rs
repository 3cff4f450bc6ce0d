//! The history of a run, and what must hold of it (the invariants of RELIABILITY.md, by their numbers).
//!
//! Two witnesses report here: the clients, who tell what they were told, and an observer who sees what every replica writes and which part it takes. Nothing
//! here is asked of the code under test, and nothing here stops it: a broken rule is noted, with the number of the invariant.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{PartitionIndex, TopicId, TopicPartition};

use crate::{client::Place, replicas::Replicas, timeline::Timeline};

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its number in RELIABILITY.md.
    pub invariant: &'static str,
    /// When it was noticed, in microseconds.
    pub at: u64,
    /// What was seen.
    pub what: String,
}

/// After so many of one kind one knows enough.
const VIOLATIONS_MAX: usize = 3;

/// What is noted of a broken rule; shared by everybody who checks.
#[derive(Debug, Default)]
pub struct Findings {
    now: u64,
    violations: Vec<Violation>,
}

impl Findings {
    /// Findings from here on are of this moment.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// A rule is broken.
    pub fn broken(&mut self, invariant: &'static str, what: String) {
        if self.violations.iter().filter(|it| it.invariant == invariant).count() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, at: self.now, what });
        }
    }
}

/// Records that a producer was told are kept.
#[derive(Debug)]
struct Taken {
    partition: TopicPartition,
    offset: i64,
    values: Vec<u64>,
    client: usize,
}

/// A record as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    value: Option<u64>,
    epoch: i32,
}

/// See the module.
#[derive(Default)]
pub struct Checker {
    /// What was found.
    pub findings: Findings,
    /// The observer of the replicas.
    pub replicas: Replicas,
    sent: BTreeMap<u64, usize>,
    taken: Vec<Taken>,
    read: BTreeMap<(TopicPartition, i64), Seen>,
    topics: BTreeSet<String>,
    sessions: BTreeMap<i64, usize>,
}

impl Checker {
    /// Findings from here on are of this moment.
    pub fn set_now(&mut self, timeline: &Timeline) {
        self.findings.set_now(timeline.now());
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.findings.violations
    }

    /// A producer made records.
    pub fn sent(&mut self, values: &[u64], client: usize) {
        self.sent.extend(values.iter().map(|value| (*value, client)));
    }

    /// A producer got a number.
    pub fn session(&mut self, producer_id: i64, client: usize) {
        if let Some(other) = self.sessions.insert(producer_id, client) {
            let what = format!(
                "producer id {producer_id} was given to client {client} and before to client {other}"
            );
            self.findings.broken("I14", what);
        }
    }

    /// A producer was told that its records are kept.
    pub fn taken(
        &mut self,
        place: &Place,
        topic: TopicId,
        values: &[u64],
        offset: i64,
        by_all: bool,
        client: usize,
    ) {
        let partition = TopicPartition { topic, partition: PartitionIndex(place.partition) };
        if by_all {
            self.taken.push(Taken { partition, offset, values: values.to_vec(), client });
        }
    }

    /// The broker says that a producer's next batch does not follow its last one.
    pub fn sequence_refused(&mut self, place: &Place, client: usize, sequence: i32) {
        let what = format!(
            "client {client}: sequence {sequence} of {place:?} is next, all before it are acknowledged by all, and it is refused as out of order"
        );
        self.findings.broken("I14", what);
    }

    /// A topic was acknowledged as created.
    pub fn topic_created(&mut self, name: &str) {
        self.topics.insert(name.to_owned());
    }

    /// An answer that no fault explains.
    pub fn unexpected(&mut self, client: usize, what: &str) {
        self.findings.broken("I26", format!("client {client}: {what}"));
    }

    /// A consumer's position, up to which it has read, is said not to exist.
    pub fn position_refused(&mut self, place: &Place, client: usize, position: i64, why: &str) {
        let what = format!(
            "client {client}: {place:?}: position {position}, up to which it had read, is said to be {why}"
        );
        self.findings.broken("I1", what);
    }

    /// A consumer saw the high watermark go back. A new leader with too few replicas in sync may never learn how far its predecessor's was; what it knows
    /// to be committed it gives to those who are behind that.
    pub fn high_watermark_went_back(
        &mut self,
        place: &Place,
        topic: TopicId,
        client: usize,
        seen: i64,
        now: i64,
    ) {
        let partition = TopicPartition { topic, partition: PartitionIndex(place.partition) };
        if self.replicas.lacked_replicas_lately(partition, self.findings.now) {
            return;
        }
        let what = format!("client {client}: {place:?}: the high watermark went back from {seen} to {now}");
        self.findings.broken("I4", what);
    }

    /// A consumer was given something that is no batch.
    pub fn garbage(&mut self, place: &Place, client: usize, position: i64, problem: &str) {
        let what = format!("client {client}: {place:?}: what was given at {position} is no batch: {problem}");
        self.findings.broken("I3", what);
    }

    /// A consumer was given another offset than the next one.
    pub fn skipped(&mut self, place: &Place, client: usize, wanted: i64, given: i64) {
        let what = format!("client {client}: {place:?}: offset {wanted} is next, {given} was given");
        self.findings.broken("I3", what);
    }

    /// A consumer was given a record that the same answer says is not committed.
    pub fn read_above_high_watermark(
        &mut self,
        place: &Place,
        client: usize,
        offset: i64,
        high_watermark: i64,
    ) {
        let what = format!(
            "client {client}: {place:?}: offset {offset} was given, with high watermark {high_watermark}"
        );
        self.findings.broken("I10", what);
    }

    /// A consumer read a record.
    pub fn read(
        &mut self,
        place: &Place,
        topic: TopicId,
        offset: i64,
        epoch: i32,
        value: Option<u64>,
        client: usize,
    ) {
        let partition = TopicPartition { topic, partition: PartitionIndex(place.partition) };
        let seen = Seen { value, epoch };
        let first = *self.read.entry((partition, offset)).or_insert(seen);
        if first != seen {
            let what = format!(
                "client {client}: {place:?}: offset {offset} was read as {first:?} and now as {seen:?}"
            );
            self.findings.broken("I2", what);
        }
        if value.is_none_or(|value| !self.sent.contains_key(&value)) {
            let what =
                format!("client {client}: {place:?}: offset {offset} holds {value:?}, which nobody sent");
            self.findings.broken("I2", what);
        }
    }

    /// Looks at everything once more when all is quiet: `logs` are the partitions as their leaders have them.
    pub fn conclude(&mut self, logs: &BTreeMap<TopicPartition, Vec<FinalRecord>>) {
        self.nothing_acknowledged_is_lost(logs);
        self.what_was_read_is_still_there(logs);
        for (partition, records) in logs {
            self.nothing_is_there_twice(*partition, records);
        }
        let image = self.replicas.newest_image();
        for name in &self.topics {
            if image.topic_named(name).is_none() {
                self.findings
                    .broken("I18", format!("topic {name} was acknowledged as created and is not there"));
            }
        }
    }

    fn nothing_acknowledged_is_lost(&mut self, logs: &BTreeMap<TopicPartition, Vec<FinalRecord>>) {
        for Taken { partition, offset, values, client } in &self.taken {
            for (value, offset) in values.iter().zip(*offset..) {
                let found = usize::try_from(offset).ok().and_then(|at| logs.get(partition)?.get(at));
                if found.is_none_or(|record| record.value != Some(*value)) {
                    let place = logs
                        .get(partition)
                        .and_then(|log| log.iter().find(|record| record.value == Some(*value)))
                        .map(|record| record.offset);
                    let what = format!(
                        "value {value:x} of client {client} was acknowledged by all at offset {offset} of {partition}; there is {found:?}, and the value is at {place:?}"
                    );
                    self.findings.broken("I1", what);
                }
            }
        }
    }

    fn what_was_read_is_still_there(&mut self, logs: &BTreeMap<TopicPartition, Vec<FinalRecord>>) {
        for ((partition, offset), seen) in &self.read {
            let found = usize::try_from(*offset).ok().and_then(|at| logs.get(partition)?.get(at));
            if found.is_none_or(|record| (record.value, record.epoch) != (seen.value, seen.epoch)) {
                let what =
                    format!("offset {offset} of {partition} was read as {seen:?}; there is {found:?} now");
                self.findings.broken("I9", what);
            }
        }
    }

    /// Values of one session rise with the offsets: none is there twice, none overtook another.
    fn nothing_is_there_twice(&mut self, partition: TopicPartition, records: &[FinalRecord]) {
        let mut last_of_session: BTreeMap<i64, u64> = BTreeMap::new();
        let mut places: BTreeMap<u64, i64> = BTreeMap::new();
        for record in records {
            let Some(value) = record.value else { continue };
            if let Some(earlier) = places.insert(value, record.offset) {
                let what =
                    format!("value {value:x} is at offsets {earlier} and {} of {partition}", record.offset);
                self.findings.broken("I14", what);
            }
            if let Some(last) = last_of_session.insert(record.producer_id, value)
                && value < last
            {
                let what = format!(
                    "value {value:x} at offset {} of {partition} comes after {last:x}",
                    record.offset
                );
                self.findings.broken("I14", what);
            }
        }
    }
}

/// A record as it is stored when all is quiet.
#[derive(Clone, Copy, Debug)]
pub struct FinalRecord {
    /// Where.
    pub offset: i64,
    /// Of which leader.
    pub epoch: i32,
    /// Of which producer.
    pub producer_id: i64,
    /// What.
    pub value: Option<u64>,
}
