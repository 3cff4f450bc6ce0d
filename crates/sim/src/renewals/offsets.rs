//! What a group has committed for a topic that is deleted and made anew: it counts for that topic, and for none that has its name later.
//!
//! Each offset is committed once, so that it says for which of the topics it was.

use std::collections::BTreeMap;

use klamm_model::TopicId;

use super::NAME;
use crate::{check::Findings, replicas::Replicas};

/// Of which of the topics something may be, by the order in which they were made: this one and those after it, up to the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    first: usize,
    /// Without: any later one.
    last: Option<usize>,
}

impl Span {
    /// Of this one.
    ///
    /// # Panics
    /// If it was never made.
    pub fn of(replicas: &Replicas, id: TopicId) -> Self {
        let place = replicas.renewed().iter().position(|(it, _)| *it == id);
        let place = place.expect("who knows its id has it from the metadata");
        Self { first: place, last: Some(place) }
    }

    /// Of the one that a node knows by the name, or of one that it gets to know.
    pub fn since(replicas: &Replicas, node: usize) -> Self {
        let Some(image) = replicas.image_of(node) else { return Self { first: 0, last: None } };
        if let Some(topic) = image.topic_named(NAME) {
            return Self { last: None, ..Self::of(replicas, topic.id) };
        }
        let is_past = |(_, made_at): &&(TopicId, u64)| Some(*made_at) <= image.applied();
        Self { first: replicas.renewed().iter().filter(is_past).count(), last: None }
    }

    /// The first of them, if it is there.
    pub fn topic(self, replicas: &Replicas) -> Option<TopicId> {
        let (id, _) = replicas.renewed().get(self.first)?;
        replicas.newest_image().topic(*id).map(|topic| topic.id)
    }

    fn meets(self, other: Self) -> bool {
        let reaches = |one: Self, other: Self| one.last.is_none_or(|last| other.first <= last);
        reaches(self, other) && reaches(other, self)
    }
}

#[derive(Clone, Copy, Debug)]
struct Commit {
    partition: i32,
    span: Span,
    acked_at: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub struct Offsets {
    committed: BTreeMap<i64, Commit>,
}

impl Offsets {
    /// An offset is to be committed.
    pub fn sent(&mut self, offset: i64, partition: i32, span: Span) {
        self.committed.insert(offset, Commit { partition, span, acked_at: None });
    }

    /// It was taken, for one of the topics that there are by now.
    pub fn acked(&mut self, offset: i64, now: u64, replicas: &Replicas) {
        let commit = self.committed.get_mut(&offset).expect("it was sent");
        commit.acked_at = Some(now);
        commit.span.last = commit.span.last.or_else(|| replicas.renewed().len().checked_sub(1));
    }

    /// Whether something counts for a topic, for certain.
    pub fn has(&self, replicas: &Replicas, id: TopicId) -> bool {
        let span = Span::of(replicas, id);
        self.committed.values().any(|it| it.acked_at.is_some() && it.span == span)
    }

    /// A coordinator has said what counts for a partition of the topics that were meant when it was asked.
    pub fn fetched(
        &self,
        client: usize,
        (span, partition): (Span, i32),
        (offset, asked_at): (Option<i64>, u64),
        replicas: &Replicas,
        findings: &mut Findings,
    ) {
        let asked = format!("client {client}: {NAME} {partition} of {span:?}");
        if let Some(offset) = offset {
            let commit = self.committed.get(&offset);
            if commit.is_none_or(|it| it.partition != partition || !it.span.meets(span)) {
                let what = format!("{asked}: {offset} counts, which was committed as {commit:?}");
                findings.broken("I22", what);
            }
        } else if let Some(id) = span.topic(replicas) {
            let own = Span::of(replicas, id);
            let is_its = |it: &Commit| it.partition == partition && it.span == own;
            let lost = self
                .committed
                .iter()
                .rfind(|(_, it)| is_its(it) && it.acked_at.is_some_and(|acked_at| acked_at < asked_at));
            if let Some((lost, _)) = lost {
                findings.broken("I12", format!("{asked}: {lost} was committed, and nothing is there"));
            }
        }
    }
}
