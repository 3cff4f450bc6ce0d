//! What applications were told of their transactions, and what must hold of it (I15).
//!
//! A transfer is a handful of records in several partitions, maybe with offsets of a group, that count together or not at all. Whoever was told that it is
//! committed finds all of it; of one that was aborted, or whose producer was fenced before it asked for the end, nothing ever counts; of one whose end nobody was
//! told all counts or nothing. Those of one transactional id follow each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_model::TopicPartition;

use crate::{
    check::Findings,
    client::Place,
    stored::{Commits, Fate, FinalRecord},
};

/// Which transfer, in the order in which they began.
pub type Number = usize;

/// How it ended, as far as its application knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It was told that everything counts.
    Committed,
    /// It never asked for that, or was told that nothing does.
    NotCommitted,
    /// It asked, and was told nothing that decides.
    Unknown,
}

#[derive(Debug)]
struct Transfer {
    id: Arc<str>,
    parts: BTreeMap<u64, Part>,
    commits_offsets: bool,
    end: End,
}

#[derive(Debug)]
struct Part {
    place: Place,
    /// Told as written, at this offset if the broker said where.
    written: Option<Option<i64>>,
}

/// See the module.
#[derive(Default)]
pub struct Transfers {
    all: Vec<Transfer>,
    of_value: BTreeMap<u64, Number>,
    /// Groups for which a commit came late.
    with_late_commits: BTreeSet<String>,
}

/// What a transactional id commits as offset with a transfer of this number: one that says which it was.
pub fn offset_of(number: Number) -> i64 {
    number as i64 + 1
}

/// The group in whose name it does.
pub fn group_of(id: &str) -> String {
    format!("{id}'s group")
}

impl Transfers {
    /// A transaction begins.
    pub fn begun(&mut self, id: Arc<str>) -> Number {
        self.all.push(Transfer {
            id,
            parts: BTreeMap::new(),
            commits_offsets: false,
            // As long as nobody asks for another end.
            end: End::NotCommitted,
        });
        self.all.len() - 1
    }

    /// A record is part of it.
    pub fn took(&mut self, number: Number, value: u64, place: Place) {
        let earlier = self.of_value.insert(value, number);
        assert!(earlier.is_none(), "value {value:x} is used twice");
        self.all[number].parts.insert(value, Part { place, written: None });
    }

    /// Offsets are.
    pub fn took_offsets(&mut self, number: Number) {
        self.all[number].commits_offsets = true;
    }

    /// A record was written, as is said.
    pub fn written(&mut self, value: u64, offset: Option<i64>) {
        let number = self.of_value[&value];
        self.all[number].parts.get_mut(&value).expect("it is one of its parts").written = Some(offset);
    }

    /// It has its end.
    pub fn ended(&mut self, number: Number, end: End, findings: &mut Findings) {
        let transfer = &mut self.all[number];
        transfer.end = end;
        if let Some((value, part)) = transfer.parts.iter().find(|(_, part)| part.written.is_none())
            && end == End::Committed
        {
            let what =
                format!("a transfer is told to be committed, and {value:x} is not acknowledged: {part:?}");
            findings.broken("I15", what);
        }
    }

    /// A request of a connection that its member has given up commits for the group. In the same generation nobody can tell it from a new one (seed 457).
    pub fn commit_came_late(&mut self, group: &str) {
        self.with_late_commits.insert(group.to_owned());
    }

    /// Whether anybody made this value.
    pub fn knows(&self, value: u64) -> bool {
        self.of_value.contains_key(&value)
    }

    /// Looks at everything once more when all is quiet. `named`: the partitions as their leaders have them; `commits`: what groups have committed, in order.
    pub fn conclude(
        &self,
        named: &BTreeMap<Place, (TopicPartition, &[FinalRecord])>,
        commits: &Commits,
        findings: &mut Findings,
    ) {
        let found = self.find(named, findings);
        let mut last_of: BTreeMap<&str, i64> = BTreeMap::new();
        for (number, transfer) in self.all.iter().enumerate() {
            let counting: Vec<_> = transfer.parts.keys().filter(|value| found.contains_key(*value)).collect();
            if let Some(what) = transfer.problem(&found, counting.len()) {
                let told = format!("transfer {number} of {} ({:?} was told)", transfer.id, transfer.end);
                findings.broken("I15", format!("{told}: {what}"));
            }
            if transfer.commits_offsets && (!counting.is_empty() || transfer.end == End::Committed) {
                last_of.insert(&transfer.id, offset_of(number));
            }
        }
        let mut last_committed: BTreeMap<&str, i64> = BTreeMap::new();
        for ((group, ..), offsets) in commits {
            last_committed.extend(offsets.last().map(|last| (group.as_str(), *last)));
            if !offsets.is_sorted() && !self.with_late_commits.contains(group) {
                findings.broken("I12", format!("{group}: committed offsets go back: {offsets:?}"));
            }
        }
        for (id, offset) in last_of {
            let committed = last_committed.get(&*group_of(id)).copied();
            // Of one that holds nothing but offsets, and whose end is not known, it cannot be said beforehand.
            let is_bare = committed.is_some_and(|committed| offset < committed && self.is_bare(committed));
            if committed != Some(offset) && !is_bare {
                let what =
                    format!("{id}: the last transfer that counts committed {offset}; {committed:?} is there");
                findings.broken("I15", what);
            }
        }
    }

    fn is_bare(&self, committed: i64) -> bool {
        let transfer = usize::try_from(committed - 1).ok().and_then(|number| self.all.get(number));
        transfer.is_some_and(|it| it.parts.is_empty() && it.end == End::Unknown)
    }

    /// Where each value counts. Those of a transactional id are in each partition in the order in which it had them, and nothing is there twice.
    fn find<'a>(
        &self,
        named: &'a BTreeMap<Place, (TopicPartition, &[FinalRecord])>,
        findings: &mut Findings,
    ) -> BTreeMap<u64, (&'a Place, i64)> {
        let mut found = BTreeMap::new();
        for (place, (_, records)) in named {
            let mut last_of: BTreeMap<&str, (Number, u64)> = BTreeMap::new();
            for record in *records {
                let Some((value, number)) =
                    record.value.and_then(|value| Some((value, *self.of_value.get(&value)?)))
                else {
                    continue;
                };
                if record.fate != Fate::Counts {
                    continue;
                }
                let (this, offset) = ((number, value), record.offset);
                if let Some(last) = last_of.insert(&self.all[number].id, this)
                    && this < last
                {
                    let what =
                        format!("{place:?} {offset}: transfer and value {this:x?} come after {last:x?}");
                    findings.broken("I14", what);
                }
                if let Some((other, at)) = found.insert(value, (place, offset)) {
                    let what = format!("value {value:x} counts at {other:?} {at} and at {place:?} {offset}");
                    findings.broken("I14", what);
                }
            }
        }
        found
    }
}

impl Transfer {
    fn problem(&self, found: &BTreeMap<u64, (&Place, i64)>, counting: usize) -> Option<String> {
        let all = self.parts.len();
        let is_right = match self.end {
            End::Committed => counting == all,
            End::NotCommitted => counting == 0,
            End::Unknown => counting == 0 || counting == all,
        };
        if !is_right {
            return Some(format!("{counting} of {all} records count: {:x?}", self.parts));
        }
        self.parts.iter().find_map(|(value, part)| {
            let (place, offset) = found.get(value)?;
            let is_there = **place == part.place && part.written.flatten().is_none_or(|it| it == *offset);
            (!is_there).then(|| format!("value {value:x} is at {place:?} {offset}, and {part:?} was told"))
        })
    }
}
