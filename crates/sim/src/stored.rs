//! A partition's log as it stands on a disk, read by somebody who knows the format and nothing of the broker: batches, what became of the transactions that
//! they belong to, and what the coordinators' logs say.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm_coordinator::record::{GroupRecord, Transaction, TransactionRecord};
use klamm_model::{BatchView, Batches, RecordView, Tail, TransactionEnd, TransactionMark};

/// No batch of a run is larger when it is unpacked.
const UNPACKED_SIZE_MAX: usize = 1 << 20;

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It belongs to no transaction, or to one that was committed.
    Counts,
    /// Its transaction was aborted.
    Aborted,
    /// Its transaction has no end.
    Open,
    /// It is the broker's own.
    Mark,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct FinalRecord {
    /// Where.
    pub offset: i64,
    /// Of which leader.
    pub epoch: i32,
    /// What.
    pub value: Option<u64>,
    /// Whether it counts.
    pub fate: Fate,
}

/// A record of a log whose records have keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyed {
    /// What it is about.
    pub key: Vec<u8>,
    /// What it says; without, that there is nothing.
    pub value: Option<Vec<u8>>,
    /// Whether it counts.
    pub fate: Fate,
}

/// A mark that ended something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ending {
    /// Whose transaction it ended.
    pub producer: i64,
    /// Under which epoch it was written.
    pub of_epoch: i16,
    /// What the mark carries: the same, or the next.
    pub epoch: i16,
    /// Whether it was a commit.
    pub is_commit: bool,
}

/// What groups have committed, in order: by group, topic and partition.
pub type Commits = BTreeMap<(String, String, i32), Vec<i64>>;

/// See the module.
pub struct Stored<'a> {
    batches: Vec<(BatchView<'a>, Fate)>,
    /// What marks ended, in order.
    pub endings: Vec<Ending>,
}

impl<'a> Stored<'a> {
    /// Reads whole segments, one behind the other.
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut batches: Vec<(BatchView<'a>, Fate)> = Vec::new();
        let mut endings = Vec::new();
        let mut open: BTreeMap<i64, (i16, Vec<usize>)> = BTreeMap::new();
        for view in Batches::new(bytes, Tail::MustBeComplete).map_while(Result::ok) {
            let header = view.header();
            let producer = header.producer.filter(|_| header.attributes.is_transactional());
            let mut fate = Fate::Counts;
            match (producer, TransactionMark::of(&view)) {
                (Some(producer), Some(mark)) => {
                    let is_commit = mark.end == TransactionEnd::Commit;
                    if let Some((of_epoch, places)) = open.remove(&producer.id.0) {
                        let decided = if is_commit { Fate::Counts } else { Fate::Aborted };
                        places.into_iter().for_each(|place| batches[place].1 = decided);
                        let (producer, epoch) = (producer.id.0, producer.epoch.0);
                        endings.push(Ending { producer, of_epoch, epoch, is_commit });
                    }
                }
                (Some(producer), None) => {
                    fate = Fate::Open;
                    let of_producer =
                        open.entry(producer.id.0).or_insert_with(|| (producer.epoch.0, Vec::new()));
                    of_producer.1.push(batches.len());
                }
                (None, _) => {}
            }
            if header.attributes.is_control() {
                fate = Fate::Mark;
            }
            batches.push((view, fate));
        }
        Self { batches, endings }
    }

    fn each(&self, mut take: impl FnMut(&RecordView<'_>, i32, Fate)) {
        let mut scratch = Vec::new();
        for (view, fate) in &self.batches {
            scratch.clear();
            let epoch = view.header().leader_epoch.map_or(-1, |epoch| epoch.0);
            let Ok(found) = view.records(&mut scratch, UNPACKED_SIZE_MAX) else { return };
            found.map_while(Result::ok).for_each(|record| take(&record, epoch, *fate));
        }
    }

    /// Clients' records, and the broker's marks.
    pub fn records(&self) -> Vec<FinalRecord> {
        let mut records = Vec::new();
        self.each(|record, epoch, fate| {
            let value = record.value.and_then(|value| value.first_chunk());
            let value = value.map(|value| u64::from_be_bytes(*value)).filter(|_| fate != Fate::Mark);
            records.push(FinalRecord { offset: record.offset.raw(), epoch, value, fate });
        });
        records
    }

    /// Records by their offsets, but for marks.
    pub fn keyed(&self) -> BTreeMap<i64, Keyed> {
        let mut records = BTreeMap::new();
        self.each(|record, _, fate| {
            if let Some(key) = record.key.filter(|_| fate != Fate::Mark) {
                let value = record.value.map(<[u8]>::to_vec);
                records.insert(record.offset.raw(), Keyed { key: key.to_vec(), value, fate });
            }
        });
        records
    }

    /// What a partition of `__transaction_state` says of each transactional id.
    pub fn transactions(&self) -> BTreeMap<String, Transaction> {
        let mut known = BTreeMap::new();
        self.each(|record, _, _| {
            let Some((key, value)) = key_and_value(record) else { return };
            match TransactionRecord::decode(&key, value.as_ref()) {
                Ok(Some(TransactionRecord { transactional_id, value: Some(value) })) => {
                    known.insert(transactional_id, value);
                }
                Ok(Some(TransactionRecord { transactional_id, value: None })) => {
                    known.remove(&transactional_id);
                }
                Ok(None) | Err(_) => {}
            }
        });
        known
    }

    /// A member that a group has, and its generation or epoch, by what a partition of `__consumer_offsets` says.
    pub fn member_of(&self, wanted: &str) -> Option<(String, i32)> {
        let mut found = None;
        self.each(|record, _, _| {
            let Some((key, value)) = key_and_value(record) else { return };
            match GroupRecord::decode(&key, value.as_ref()) {
                Ok(Some(GroupRecord::Classic { group, value: Some(value) })) if group == wanted => {
                    found = value.members.first().map(|member| (member.id.clone(), value.generation));
                }
                Ok(Some(GroupRecord::Assignment { group, member, value: Some(value) }))
                    if group == wanted =>
                {
                    found = Some((member, value.epoch));
                }
                _ => {}
            }
        });
        found
    }

    /// What a partition of `__consumer_offsets` says that groups have committed, as far as it counts.
    pub fn commits(&self) -> Commits {
        let mut known = Commits::new();
        self.each(|record, _, fate| {
            let Some((key, value)) = key_and_value(record).filter(|_| fate == Fate::Counts) else { return };
            let Ok(Some(GroupRecord::Offset { group, topic, partition, value })) =
                GroupRecord::decode(&key, value.as_ref())
            else {
                return;
            };
            let offset = value.map_or(-1, |value| value.offset.raw());
            known.entry((group, topic, partition.0)).or_default().push(offset);
        });
        known
    }
}

fn key_and_value(record: &RecordView<'_>) -> Option<(Bytes, Option<Bytes>)> {
    Some((Bytes::copy_from_slice(record.key?), record.value.map(Bytes::copy_from_slice)))
}
