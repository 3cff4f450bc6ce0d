//! What was written to the logs that are compacted, before anything was left out of it.
//!
//! Each replica compacts at its own time, and a follower that is behind is given what its leader has left. What stands where in such a log is told by its leaders'
//! first words: a batch that has lost records stands for those that it was made of, and what is left of a key at the end is what they say of it (I21).

use std::collections::BTreeMap;

use klamm_log::Prefix;
use klamm_model::{BatchHeader, TopicPartition};

use crate::stored::{Fate, Keyed, Stored};

struct Original {
    header: BatchHeader,
    bytes: Vec<u8>,
}

/// See the module. Batches by where they begin and the epoch of their leader.
#[derive(Default)]
pub struct Originals(BTreeMap<(TopicPartition, i64, i32), Original>);

fn place(partition: TopicPartition, header: &BatchHeader) -> (TopicPartition, i64, i32) {
    (partition, header.base_offset.raw(), header.leader_epoch.map_or(-1, |epoch| epoch.0))
}

impl Originals {
    /// A leader writes a batch, with this in the place of its first bytes. After a write that failed it may be another than before.
    pub fn note(&mut self, partition: TopicPartition, header: &BatchHeader, batch: &[u8], prefix: &Prefix) {
        let mut bytes = batch.to_vec();
        bytes[..prefix.len()].copy_from_slice(prefix);
        self.0.insert(place(partition, header), Original { header: *header, bytes });
    }

    /// The batches that this one stands for: itself, or those that it is left of.
    pub fn of(&self, partition: TopicPartition, header: &BatchHeader) -> Vec<BatchHeader> {
        let (_, mut at, epoch) = place(partition, header);
        let end = header.next_offset().raw();
        let mut found = Vec::new();
        while at < end {
            let Some(original) = self.0.get(&(partition, at, epoch)) else { break };
            at = original.header.next_offset().raw();
            found.push(original.header);
        }
        if at == end { found } else { vec![*header] }
    }

    /// The bytes of one that begins there.
    pub fn bytes(&self, partition: TopicPartition, base: i64, epoch: i32) -> Option<&[u8]> {
        self.0.get(&(partition, base, epoch)).map(|original| original.bytes.as_slice())
    }
}

/// What is wrong with what is left of a log, if something is. `whole` has everything that was ever committed.
pub fn problem(whole: &[u8], left: &[u8]) -> Option<String> {
    let (whole, left) = (Stored::read(whole).keyed(), Stored::read(left).keyed());
    for (offset, record) in &left {
        let original = whole.get(offset);
        if original.is_none_or(|it| (&it.key, &it.value) != (&record.key, &record.value)) {
            return Some(format!("offset {offset} is {record:?}, and was written as {original:?}"));
        }
    }
    let mut last: BTreeMap<&[u8], (i64, &Keyed)> = BTreeMap::new();
    for (offset, record) in whole.iter().filter(|(_, record)| record.fate == Fate::Counts) {
        last.insert(&record.key, (*offset, record));
    }
    let kept = last.values().filter(|(_, record)| record.value.is_some());
    if let Some((offset, record)) = kept.into_iter().find(|(offset, _)| !left.contains_key(offset)) {
        return Some(format!("the last of its key at {offset} is gone: {record:?}"));
    }
    // What was taken back may be gone altogether; what it took back may not be there without it.
    let comes_back = |(offset, record): &(&i64, &Keyed)| {
        let counts = whole.get(offset).is_some_and(|it| it.fate == Fate::Counts);
        let last = last.get(record.key.as_slice()).filter(|(_, last)| last.value.is_none());
        counts && record.value.is_some() && last.is_some_and(|(at, _)| !left.contains_key(at))
    };
    left.iter()
        .find(comes_back)
        .map(|(offset, record)| format!("at {offset} is again what was taken back: {record:?}"))
}
