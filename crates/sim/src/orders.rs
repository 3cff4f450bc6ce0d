//! What an operator was told, and what must hold of it (I18): what was acknowledged is in the metadata, and stays there until something else is ordered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use klamm_cluster::{Image, image::Partition};
use klamm_model::BrokerId;

use crate::{check::Findings, client::Place};

/// The config that is altered; it means nothing to topics that are not compacted.
pub const ALTERED: &str = "delete.retention.ms";

/// What orders are about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A config of a topic.
    Config(Arc<str>),
    /// How many partitions a topic has.
    Count(Arc<str>),
    /// Where a partition's replicas are, or are to come to.
    Replicas(Place),
}

/// See the module.
#[derive(Default)]
pub struct Orders {
    known: BTreeMap<Subject, Known>,
}

/// What a config, or a count, is; or the replicas, the preferred one first. Nothing where there is no such thing.
pub type Value = Vec<u64>;

#[derive(Default)]
struct Known {
    /// What was acknowledged last, or was there at first.
    is: Value,
    /// What was there at some time.
    was: BTreeSet<Value>,
    /// What was ordered and had no answer: it may come late.
    may_come: BTreeSet<Value>,
    /// Something that was ordered was called off, or may be yet.
    is_called_off: bool,
    /// Until an order is acknowledged the controller itself brings more replicas.
    may_grow: bool,
}

impl Known {
    /// An order is given while things are so, maybe in the middle of what was ordered before: it may be called off.
    fn ordered(&mut self, present: Value) {
        self.was.insert(present);
    }

    /// What was called off leaves the replicas that there were, as Apache Kafka does. Which these were when the move began, maybe in the middle of another one, only
    /// the controller knows: none but those that there were at some time, or were ordered.
    fn allows(&self, value: &Value) -> bool {
        let is_subset = |of: &Value, among: &BTreeSet<u64>| of.iter().all(|it| among.contains(it));
        let has_grown = || is_subset(&self.is, &value.iter().copied().collect());
        let may_return =
            || self.was.iter().chain(&self.may_come).chain([&self.is]).flatten().copied().collect();
        *value == self.is
            || self.may_come.contains(value)
            || self.may_grow && has_grown()
            || self.is_called_off && !value.is_empty() && is_subset(value, &may_return())
    }
}

impl Subject {
    fn of(&self, image: &Image) -> Value {
        match self {
            Self::Config(topic) => {
                let value = image.topic_named(topic).and_then(|it| it.configs.get(ALTERED));
                value.map(|it| it.parse().expect("a number was ordered")).into_iter().collect()
            }
            Self::Count(topic) => {
                image.topic_named(topic).map(|it| it.partitions.len() as u64).into_iter().collect()
            }
            Self::Replicas(_) => self.partition(image).map_or(Value::new(), |it| replicas(&it.target())),
        }
    }

    fn partition<'a>(&self, image: &'a Image) -> Option<&'a Partition> {
        let Self::Replicas(Place { topic, partition }) = self else { return None };
        image.topic_named(topic)?.partitions.get(*partition as usize).map(|it| &**it)
    }

    /// Whether replicas are on their way.
    pub fn is_moving(&self, image: &Image) -> bool {
        self.partition(image).is_some_and(Partition::is_reassigning)
    }

    /// As it is now, whatever is on its way.
    fn present(&self, image: &Image) -> Value {
        if !matches!(self, Self::Replicas(_)) {
            return self.of(image);
        }
        self.partition(image).map_or(Value::new(), |it| replicas(&it.replicas))
    }
}

/// Replicas as a value.
pub fn replicas(ids: &[BrokerId]) -> Value {
    ids.iter().map(|id| id.0 as u64).collect()
}

impl Orders {
    /// An order is given.
    pub fn given(&mut self, subject: &Subject, image: &Image) {
        let known = || {
            let may_grow = subject.partition(image).is_some_and(|it| it.wanted_replicas.is_some());
            Known { is: subject.of(image), may_grow, ..Known::default() }
        };
        let known = self.known.entry(subject.clone()).or_insert_with(known);
        known.ordered(subject.present(image));
    }

    /// It was carried out, by what the broker says.
    pub fn acknowledged(&mut self, subject: &Subject, value: Value, image: &Image, findings: &mut Findings) {
        if let Some(known) = self.known.get_mut(subject) {
            known.may_grow = false;
            let before = std::mem::replace(&mut known.is, value);
            known.was.insert(before);
        }
        self.look(subject, image, findings);
    }

    /// Nobody knows whether it was carried out, or will be.
    pub fn doubted(&mut self, subject: &Subject, value: Value) {
        if let Some(known) = self.known.get_mut(subject) {
            known.may_come.insert(value);
        }
    }

    /// It is, or may come to be, as it was at some time.
    pub fn called_off(&mut self, subject: &Subject) {
        if let Some(known) = self.known.get_mut(subject) {
            known.is_called_off = true;
        }
    }

    fn look(&self, subject: &Subject, image: &Image, findings: &mut Findings) {
        let (is, known) = (subject.of(image), &self.known[subject]);
        if !known.allows(&is) {
            let what = format!(
                "{subject:?} is {is:?}; {:?} was acknowledged, and of {:?} nobody knows",
                known.is, known.may_come
            );
            findings.broken("I18", what);
        }
    }

    /// In the end everything is as it was said to be.
    pub fn conclude(&self, image: &Image, findings: &mut Findings) {
        self.known.keys().for_each(|subject| self.look(subject, image, findings));
    }
}

/// From 1 and 2 to 1 and 0, and from there, before it is done, to 0 and 2: seed 1757. With Apache Kafka too all three stay where the second move is called off.
#[test]
fn a_move_in_the_middle_of_another_that_is_called_off_leaves_what_there_was_in_the_middle() {
    let mut known = Known { is: vec![1, 2], ..Known::default() };
    for (present, to) in [(vec![1, 2], vec![1, 0]), (vec![1, 0, 2], vec![0, 2])] {
        known.ordered(present);
        known.was.insert(std::mem::replace(&mut known.is, to));
    }
    assert!(!known.allows(&vec![0, 2, 1]), "it was not called off");
    known.is_called_off = true;
    assert!(known.allows(&vec![0, 2, 1]));
    assert!(!known.allows(&vec![0, 3]), "3 was never there");
}
