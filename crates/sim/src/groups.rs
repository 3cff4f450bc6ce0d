//! What members of groups were told, and what must hold of it (I11 to I13).
//!
//! Who is told that a partition is its own has it alone: whoever had it has given it up, or has not been heard of for a session. It begins where the group has
//! committed, and that is not before what was acknowledged. In the end the members together have been given everything.

use std::collections::BTreeMap;

use klamm_model::TopicPartition;

use crate::{
    check::Findings,
    client::Place,
    stored::{Fate, FinalRecord},
};

/// A member that lives once: a client, and how often it has begun anew.
pub type Member = (usize, u64);

/// A partition, as a group reads it.
type Key = (String, Place);

/// See the module.
#[derive(Default)]
pub struct Groups {
    partitions: BTreeMap<Key, Partition>,
    /// When the coordinator last let a member know that it counts it among its own, as of when that member asked.
    heard: BTreeMap<Member, u64>,
}

#[derive(Default)]
struct Partition {
    /// Who was told that it is its own, and when; in order.
    assigned: Vec<Assigned>,
    /// Those who have it as far as they know, and were not told to give it up.
    owners: Vec<Member>,
    /// The largest offset whose commit was acknowledged.
    committed: i64,
    /// The smallest one whose commit brought no answer: it may come late, as long as nobody else has the partition.
    doubtful: Option<i64>,
    /// What was handed out: ranges by their beginnings.
    given: BTreeMap<i64, i64>,
}

#[derive(Clone, Copy, Debug)]
struct Assigned {
    member: Member,
    since: u64,
    /// It heard of it so late that it may have been another's by then.
    is_stale: bool,
}

impl Groups {
    fn partition(&mut self, group: &str, place: &Place) -> &mut Partition {
        self.partitions.entry((group.to_owned(), place.clone())).or_default()
    }

    /// The coordinator said to a member that it is one, to a question of then.
    pub fn heard(&mut self, member: Member, asked_at: u64) {
        self.heard.insert(member, asked_at);
    }

    /// A member is told that a partition is its own. `session`: after so much silence others may have what a member has.
    pub fn assigned(
        &mut self,
        group: &str,
        place: &Place,
        member: Member,
        (now, session): (u64, u64),
        findings: &mut Findings,
    ) {
        let partition = self.partitions.entry((group.to_owned(), place.clone())).or_default();
        let is_heard = |it: &Member| self.heard.get(it).filter(|heard| now < **heard + session);
        let is_stale = is_heard(&member).is_none();
        for other in partition.owners.iter().filter(|other| **other != member) {
            if let Some(heard) = is_heard(other)
                && !is_stale
            {
                let what = format!(
                    "{group} {place:?}: {member:?} has it, and {other:?}, which was told at {heard} that it is a member, has it too"
                );
                findings.broken("I13", what);
            }
        }
        partition.assigned.push(Assigned { member, since: now, is_stale });
        if !is_stale {
            partition.owners.push(member);
            partition.committed = partition.floor();
            partition.doubtful = None;
        }
    }

    /// It has it no more, or is about to give it up.
    pub fn gave_up(&mut self, group: &str, place: &Place, member: Member) {
        self.partition(group, place).owners.retain(|owner| *owner != member);
    }

    /// It is no more.
    pub fn ended(&mut self, member: Member) {
        self.partitions.values_mut().for_each(|it| it.owners.retain(|owner| *owner != member));
    }

    /// What the group has committed for a partition at least.
    pub fn committed(&mut self, group: &str, place: &Place) -> i64 {
        self.partition(group, place).floor()
    }

    /// Nobody said what became of a commit.
    pub fn doubts_commit(&mut self, group: &str, place: &Place, offset: i64) {
        let partition = self.partition(group, place);
        partition.doubtful = Some(partition.doubtful.map_or(offset, |other| other.min(offset)));
    }

    /// A member that has just got a partition begins there. `at_least` is what was committed when it was told of it.
    pub fn begins(
        &mut self,
        group: &str,
        place: &Place,
        member: Member,
        (at, at_least): (i64, i64),
        findings: &mut Findings,
    ) {
        if at < at_least {
            let what = format!("{group} {place:?}: {member:?} begins at {at}, and {at_least} was committed");
            findings.broken("I12", what);
        }
    }

    /// A member's commit was taken.
    pub fn took_commit(
        &mut self,
        group: &str,
        place: &Place,
        member: Member,
        (offset, asked_at): (i64, u64),
        findings: &mut Findings,
    ) {
        let partition = self.partition(group, place);
        // Of what happens at one moment nobody knows the order.
        let earlier = partition.assigned.iter().rev().filter(|it| it.since <= asked_at);
        let mut owners = Vec::new();
        for it in earlier {
            owners.push(*it);
            if !it.is_stale && it.since < asked_at {
                break;
            }
        }
        if owners.iter().all(|owner| owner.member != member) {
            let what = format!(
                "{group} {place:?}: {member:?} commits {offset} at {asked_at}, and it is {owners:?} that have it"
            );
            findings.broken("I13", what);
        }
        partition.committed = partition.committed.max(offset);
    }

    /// The records from the first offset up to and without the second were given to a member.
    pub fn gave(&mut self, group: &str, place: &Place, from: i64, to: i64) {
        let end = self.partition(group, place).given.entry(from).or_default();
        *end = (*end).max(to);
    }

    /// Everything was given to somebody. `named`: the partitions as their leaders have them.
    pub fn conclude(
        &self,
        named: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>,
        findings: &mut Findings,
    ) {
        let mut names: Vec<&String> = self.partitions.keys().map(|(group, _)| group).collect();
        names.dedup();
        for group in names {
            for (place, (_, records)) in named {
                let given = self.partitions.get(&(group.clone(), place.clone()));
                let mut given = given.into_iter().flat_map(|it| &it.given).peekable();
                let mut reach = 0;
                for record in *records {
                    while let Some((_, end)) = given.next_if(|(from, _)| **from <= record.offset) {
                        reach = reach.max(*end);
                    }
                    if reach <= record.offset && record.fate == Fate::Counts {
                        let what = format!("{group} {place:?}: nobody was given offset {}", record.offset);
                        findings.broken("I11", what);
                        break;
                    }
                }
            }
        }
    }
}

impl Partition {
    fn floor(&self) -> i64 {
        self.doubtful.map_or(self.committed, |doubtful| doubtful.min(self.committed))
    }
}
