//! The history of a run, and what must hold of it (the invariants of RELIABILITY.md, by their numbers).
//!
//! Two witnesses report here: the clients, who tell what they were told, and an observer who sees what every replica writes and which part it takes. Nothing
//! here is asked of the code under test, and nothing here stops it: a broken rule is noted, with the number of the invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use klamm_client::Isolation;
use klamm_coordinator::record::TransactionState;
use klamm_model::{BrokerId, PartitionIndex, TopicPartition};

use crate::{
    client::Place,
    groups::Groups,
    orders::Orders,
    outcomes::Outcomes,
    renewals::{self, Renewals},
    replicas::Replicas,
    stored::{Commits, Ending, Fate, FinalRecord, Stored},
    timeline::Timeline,
    transfers::Transfers,
};

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
    /// What producers told.
    pub outcomes: Outcomes,
    /// What transactional producers told.
    pub transfers: Transfers,
    /// What became of a topic that is made anew.
    pub renewals: Renewals,
    /// What members of groups told.
    pub groups: Groups,
    /// What an operator was told.
    pub orders: Orders,
    passed_over: BTreeSet<(Place, bool, i64, i64, usize)>,
    read_committed: BTreeSet<(Place, i64)>,
    read: BTreeMap<Place, BTreeMap<ReadAt, Seen>>,
    topics: BTreeSet<String>,
    sessions: BTreeMap<i64, usize>,
    /// Records that were acknowledged and are lost, where that may be.
    pub lost: u64,
    /// Topics that may lose what was acknowledged, see [`crate::client::TopicPlan::is_loose`].
    loose: BTreeSet<Arc<str>>,
}

/// An offset, and where another record may come to it, its epoch: in that there is one truth only.
type ReadAt = (i64, Option<i32>);

impl Checker {
    /// Of a run in which these topics may lose what was acknowledged.
    pub fn of(loose: impl Iterator<Item = Arc<str>>) -> Self {
        let loose: BTreeSet<_> = loose.collect();
        Self {
            replicas: Replicas::of(loose.clone()),
            outcomes: Outcomes::of(loose.clone()),
            loose,
            ..Self::default()
        }
    }

    /// Whether anybody may lead it, and take back what was acknowledged and read.
    pub fn is_loose(&self, place: &Place) -> bool {
        self.loose.contains(&place.topic)
    }

    /// Findings from here on are of this moment.
    pub fn set_now(&mut self, timeline: &Timeline) {
        self.findings.set_now(timeline.now());
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.findings.violations
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

    /// A broker says that a producer's next batch does not follow its last one. Who no longer leads may not know better.
    pub fn sequence_refused(&mut self, place: &Place, client: usize, sequence: i32, by: BrokerId) {
        let image = self.replicas.newest_image();
        let state = self.partition(place).and_then(|it| image.topic(it.topic)?.partition(it.partition));
        if self.is_loose(place) || state.is_none_or(|state| state.leader != Some(by)) {
            return;
        }
        let what = format!(
            "client {client}: sequence {sequence} of {place:?} is next, all before it are acknowledged by all, and it is refused as out of order"
        );
        self.findings.broken("I14", what);
    }

    /// A topic was acknowledged as created.
    pub fn topic_created(&mut self, name: &str) {
        self.topics.insert(name.to_owned());
    }

    /// A client said something that no fault explains.
    pub fn unexpected(&mut self, client: usize, what: &str) {
        self.findings.broken("I26", format!("client {client}: {what}"));
    }

    /// A client keeps more than it should.
    pub fn leaked(&mut self, client: usize, what: &str) {
        self.findings.broken("I24", format!("client {client}: {what}"));
    }

    /// A consumer's position, up to which it has read, is said not to exist. Tells whether that may be.
    pub fn position_refused(&mut self, place: &Place, client: usize, why: &str) -> bool {
        if self.is_loose(place) {
            return true;
        }
        self.findings
            .broken("I1", format!("client {client} was given this, and no fault takes what it read: {why}"));
        false
    }

    /// A consumer saw the high watermark go back. A new leader with too few replicas in sync may never learn how far its predecessor's was; what it knows
    /// to be committed it gives to those who are behind that.
    pub fn high_watermark_went_back(&mut self, place: &Place, client: usize, seen: i64, now: i64) {
        let partition = self.partition(place);
        if self.is_loose(place) {
            return;
        }
        if partition.is_none_or(|it| self.replicas.lacked_replicas_lately(it, self.findings.now)) {
            return;
        }
        let what = format!("client {client}: {place:?}: the high watermark went back from {seen} to {now}");
        self.findings.broken("I4", what);
    }

    fn partition(&self, place: &Place) -> Option<TopicPartition> {
        let topic = self.replicas.newest_image().topic_named(&place.topic)?.id;
        Some(TopicPartition { topic, partition: PartitionIndex(place.partition) })
    }

    /// A consumer was given something that is no batch.
    pub fn garbage(&mut self, place: &Place, client: usize, problem: &str) {
        let what = format!("client {client}: {place:?}: what was given is no batch: {problem}");
        self.findings.broken("I3", what);
    }

    /// An application was handed an offset that it had been handed.
    pub fn read_again(&mut self, place: &Place, client: usize, next: i64, given: i64) {
        let what = format!("client {client}: {place:?}: {next} is next, {given} was given");
        self.findings.broken("I11", what);
    }

    /// An application was handed nothing at these offsets. It is looked at in the end whether there was something.
    pub fn passed_over(&mut self, place: &Place, client: usize, isolation: Isolation, offsets: Range<i64>) {
        let is_committed = isolation == Isolation::ReadCommitted;
        self.passed_over.insert((place.clone(), is_committed, offsets.start, offsets.end, client));
    }

    /// A record was read by somebody who wants to read only what is committed.
    pub fn read_committed(&mut self, place: &Place, offset: i64) {
        self.read_committed.insert((place.clone(), offset));
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
    pub fn read(&mut self, place: &Place, offset: i64, epoch: i32, value: Option<u64>, client: usize) {
        let seen = Seen { value, epoch };
        if !self.read.contains_key(place) {
            self.read.insert(place.clone(), BTreeMap::new());
        }
        let of_place = self.read.get_mut(place).expect("there by now");
        let at = (offset, self.loose.contains(&place.topic).then_some(epoch));
        let first = *of_place.entry(at).or_insert(seen);
        if first != seen {
            let what = format!(
                "client {client}: {place:?}: offset {offset} was read as {first:?} and now as {seen:?}"
            );
            self.findings.broken("I2", what);
        }
        if value.is_none_or(|value| !self.outcomes.knows(value) && !self.transfers.knows(value)) {
            let what =
                format!("client {client}: {place:?}: offset {offset} holds {value:?}, which nobody sent");
            self.findings.broken("I2", what);
        }
    }

    /// Looks at everything once more when all is quiet: `logs` are the partitions as their leaders have them.
    pub fn conclude(&mut self, logs: &BTreeMap<TopicPartition, Vec<u8>>) {
        let image = self.replicas.newest_image();
        let mut records = BTreeMap::new();
        let mut renewed = BTreeMap::new();
        let mut commits = Commits::new();
        let mut endings = BTreeSet::new();
        for (partition, bytes) in logs {
            let topic = &image.topic(partition.topic).expect("it has partitions").name;
            let stored = Stored::read(bytes);
            self.look_at_endings(*partition, &stored.endings, &mut endings);
            match &**topic {
                "__transaction_state" => self.look_at_transactions(&stored),
                "__consumer_offsets" => {
                    // Those of a topic that is made anew begin anew too.
                    let of_others =
                        stored.commits().into_iter().filter(|((_, topic, _), _)| topic != renewals::NAME);
                    commits.extend(of_others);
                }
                renewals::NAME => _ = renewed.insert(*partition, stored.records()),
                _ => {
                    let place = Place { topic: Arc::from(&**topic), partition: partition.partition.0 };
                    records.insert(place, (*partition, stored.records()));
                }
            }
        }
        let named = records.iter().map(|(place, (key, records))| (place.clone(), (*key, records.as_slice())));
        let named = named.collect();
        self.outcomes.conclude(&named, &mut self.findings);
        self.lost = self.outcomes.lost(&named);
        self.transfers.conclude(&named, &commits, &mut self.findings);
        self.groups.conclude(&named, &mut self.findings);
        self.renewals.conclude(&renewed, &self.replicas, &mut self.findings);
        self.what_was_read_is_still_there(&named);
        self.what_was_passed_over_does_not_count(&named);
        for name in &self.topics {
            if image.topic_named(name).is_none() {
                self.findings
                    .broken("I18", format!("topic {name} was acknowledged as created and is not there"));
            }
        }
    }

    /// Marks end what is of their own epoch, or of the one before; those of one epoch that belongs to one transaction agree in all partitions.
    fn look_at_endings(
        &mut self,
        partition: TopicPartition,
        endings: &[Ending],
        others: &mut BTreeSet<Ending>,
    ) {
        for ending in endings {
            let bumps = ending.epoch - ending.of_epoch;
            let disagrees = others.contains(&Ending { is_commit: !ending.is_commit, ..*ending });
            if bumps == 1 && disagrees {
                let what = format!("{partition}: {ending:?}, and the opposite in another partition");
                self.findings.broken("I15", what);
            }
            if bumps < 0 {
                self.findings.broken("I15", format!("{partition}: an older producer's mark: {ending:?}"));
            }
            others.insert(*ending);
        }
    }

    fn look_at_transactions(&mut self, stored: &Stored<'_>) {
        for (id, transaction) in stored.transactions() {
            if is_under_way(transaction.state) {
                self.findings.broken("I16", format!("transaction of {id} has no end: {transaction:?}"));
            }
        }
    }

    fn what_was_passed_over_does_not_count(
        &mut self,
        logs: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>,
    ) {
        let is_loose = |place: &Place| self.loose.contains(&place.topic);
        let fate_of = |place: &Place, offset: i64| {
            let (_, records) = logs.get(place)?;
            records.get(usize::try_from(offset).ok()?).map(|record| record.fate)
        };
        for (place, is_committed, from, to, client) in &self.passed_over {
            if is_loose(place) {
                continue;
            }
            let is_left_out = |fate| fate == Fate::Mark || (*is_committed && fate == Fate::Aborted);
            if let Some(offset) =
                (*from..*to).find(|offset| !fate_of(place, *offset).is_some_and(is_left_out))
            {
                let what =
                    format!("client {client}: {place:?}: {from} is next, {to} was given; {offset} counts");
                self.findings.broken("I11", what);
            }
        }
        for (place, offset) in self.read_committed.iter().filter(|(place, _)| !is_loose(place)) {
            let fate = fate_of(place, *offset);
            if fate != Some(Fate::Counts) {
                let what = format!("offset {offset} of {place:?} was read as committed, and is {fate:?}");
                self.findings.broken("I10", what);
            }
        }
    }

    fn what_was_read_is_still_there(&mut self, logs: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>) {
        for (place, records) in self.read.iter().filter(|(place, _)| !self.loose.contains(&place.topic)) {
            let log = logs.get(place).map_or(&[][..], |(_, records)| records);
            for ((offset, _), seen) in records {
                let found = usize::try_from(*offset).ok().and_then(|at| log.get(at));
                if found.is_none_or(|record| (record.value, record.epoch) != (seen.value, seen.epoch)) {
                    let what =
                        format!("offset {offset} of {place:?} was read as {seen:?}; there is {found:?} now");
                    self.findings.broken("I9", what);
                }
            }
        }
    }
}

/// Whether a transaction has not come to its end.
pub fn is_under_way(state: TransactionState) -> bool {
    matches!(
        state,
        TransactionState::Ongoing | TransactionState::PrepareCommit | TransactionState::PrepareAbort
    )
}
