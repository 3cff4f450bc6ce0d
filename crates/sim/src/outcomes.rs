//! What applications were told of the records that they gave to a producer, and what must hold of it.
//!
//! The client promises: every record that it took has one outcome; what is said to be written is where it is said to be; what has failed is there once or
//! not at all, and not at all if it was never sent; and numbered batches are neither stored twice nor in another order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_model::TopicPartition;

use crate::{check::Findings, client::Place, stored::FinalRecord};

/// What a producer was promised by how it was set up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    /// One outcome, and nothing else: less than all replicas have what is acknowledged.
    Told,
    /// What is acknowledged is kept, maybe twice or in another order.
    Kept,
    /// It is kept once, and in order.
    Once,
}

/// How it ended with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is there; at this offset, if the broker said so.
    Written(Option<i64>),
    /// It may be there.
    Failed,
    /// It was given up before it was sent, so it can't be there.
    NeverSent,
}

#[derive(Debug)]
struct Accepted {
    place: Place,
    promise: Promise,
    outcome: Option<Outcome>,
}

/// Values are numbered in the order in which they were accepted; the upper half is the producer, which is one of a client.
pub fn producer_of(value: u64) -> u64 {
    value >> 32
}

/// See the module.
#[derive(Default)]
pub struct Outcomes {
    records: BTreeMap<u64, Accepted>,
    /// Topics that may lose what was acknowledged.
    loose: BTreeSet<Arc<str>>,
}

impl Outcomes {
    /// Of a run with such topics.
    pub fn of(loose: BTreeSet<Arc<str>>) -> Self {
        Self { loose, ..Self::default() }
    }

    /// How much was lost that was acknowledged, where that may be.
    pub fn lost(&self, named: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>) -> u64 {
        let there: BTreeSet<u64> =
            named.values().flat_map(|(_, records)| records.iter().filter_map(|it| it.value)).collect();
        let is_lost = |(value, record): &(&u64, &Accepted)| {
            let is_acknowledged = matches!(record.outcome, Some(Outcome::Written(_)));
            self.loose.contains(&record.place.topic) && is_acknowledged && !there.contains(*value)
        };
        self.records.iter().filter(is_lost).count() as u64
    }

    /// A producer took a record.
    pub fn accepted(&mut self, value: u64, place: Place, promise: Promise) {
        let earlier = self.records.insert(value, Accepted { place, promise, outcome: None });
        assert!(earlier.is_none(), "value {value:x} is used twice");
    }

    /// Whether anybody made this value.
    pub fn knows(&self, value: u64) -> bool {
        self.records.contains_key(&value)
    }

    /// A producer told what became of a record.
    pub fn ended(&mut self, value: u64, outcome: Outcome, findings: &mut Findings) {
        match self.records.get_mut(&value) {
            None => {
                findings.broken("I26", format!("{outcome:?} is told of {value:x}, which nobody accepted"))
            }
            Some(Accepted { outcome: Some(first), .. }) => {
                let what = format!("{outcome:?} is told of {value:x}, of which {first:?} was told before");
                findings.broken("I26", what);
            }
            Some(record) => record.outcome = Some(outcome),
        }
    }

    /// Looks at everything once more when all is quiet. `named`: the partitions as their leaders have them, by the names that clients have for them.
    pub fn conclude(
        &self,
        named: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>,
        findings: &mut Findings,
    ) {
        let mut found: BTreeMap<u64, Vec<(&Place, i64)>> = BTreeMap::new();
        for (place, (partition, records)) in named {
            let mut last_of: BTreeMap<u64, u64> = BTreeMap::new();
            for record in *records {
                let Some(value) = record.value else { continue };
                found.entry(value).or_default().push((place, record.offset));
                if self.records.get(&value).is_none_or(|record| record.promise < Promise::Once) {
                    continue;
                }
                if let Some(last) = last_of.insert(producer_of(value), value)
                    && value < last
                {
                    let offset = record.offset;
                    let what =
                        format!("value {value:x} at offset {offset} of {partition} comes after {last:x}");
                    findings.broken("I14", what);
                }
            }
        }
        for (value, record) in &self.records {
            let places = found.get(value).map_or(&[][..], Vec::as_slice);
            let problem = record.problem(places);
            let is_borne = |invariant: &str| invariant == "I1" && self.loose.contains(&record.place.topic);
            if let Some((invariant, what)) = problem.filter(|(invariant, _)| !is_borne(invariant)) {
                let Accepted { place, promise, outcome } = record;
                let told = format!("value {value:x} for {place:?} ({promise:?}): {outcome:?} was told");
                findings.broken(invariant, format!("{told}; {what}: {places:?}"));
            }
        }
    }
}

impl Accepted {
    /// The broken invariant, if what was found is not what was told.
    fn problem(&self, found: &[(&Place, i64)]) -> Option<(&'static str, &'static str)> {
        let is_at = |wanted: i64| found.iter().any(|(_, offset)| *offset == wanted);
        if found.iter().any(|(place, _)| **place != self.place) {
            return Some(("I2", "it is somewhere else"));
        }
        if self.promise == Promise::Once && 1 < found.len() {
            return Some(("I14", "it is there more than once"));
        }
        match self.outcome {
            None => Some(("I26", "nobody told what became of it")),
            Some(Outcome::NeverSent) if !found.is_empty() => Some(("I26", "it is there nevertheless")),
            Some(Outcome::NeverSent | Outcome::Failed) => None,
            Some(Outcome::Written(_)) if self.promise == Promise::Told => None,
            Some(Outcome::Written(Some(offset))) if !is_at(offset) => Some(("I1", "it is not there")),
            Some(Outcome::Written(None)) if found.is_empty() => Some(("I1", "it is nowhere")),
            Some(Outcome::Written(_)) => None,
        }
    }
}
