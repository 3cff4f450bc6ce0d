//! Transactions as a log knows them: which are open or not surely ended, and so where its stable part ends, and which were aborted.
//!
//! ```text
//!   log_start     first unstable      high_watermark    mark               end
//!      |   stable       |  its records are  |              | ends the        |
//!   [  a  b  c  d  e    |  x  f  x  g  h    |  x  i  j     | transaction     )
//! ```
//! A mark counts when the high watermark has passed it: until then it may be taken back. The open transactions are the producers' (`producers.rs`); here
//! are those that ended above the high watermark, and the index of those that were aborted, which tells readers whose records to leave out.
//!
//! The index belongs to the segment with the marks: in memory as long as the segment grows or may grow again, in a file of Kafka's format (`.txnindex`, with
//! a checksum behind it) when it is closed. Every closed segment has one, so that a missing one is noticed. A segment ends before it has more than
//! [`ABORTED_MAX`].

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use klamm_model::{Offset, ProducerEpoch, ProducerId, TransactionEnd, crc32c};
use rustc_hash::FxHashMap;

use crate::disk::{FileKind, REPLACED, SegmentVersion};
use crate::error::ReadError;
use crate::log::Log;
use crate::plan::ReadPlan;
use crate::producers::Ended;
use crate::resolve::ReadSegment;

/// Aborted transactions of a segment, 32 bytes each: what one log keeps of them in memory, and whoever looks into a file reads.
pub(crate) const ABORTED_MAX: usize = 1 << 16;

const VERSION: i16 = 0;
/// Version, producer, first offset, mark, last stable offset.
const ENTRY_SIZE: usize = 2 + 8 + 8 + 8 + 8;
const CHECKSUM_SIZE: usize = 4;

/// Something of transactions by where they begin. Most logs have none: then it takes a word.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::box_collection, reason = "without anything in it, a map would take three words of each log")]
pub(crate) struct ByFirst<T>(Option<Box<BTreeMap<Offset, T>>>);

impl<T> Default for ByFirst<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> ByFirst<T> {
    pub(crate) fn insert(&mut self, first: Offset, it: T) {
        self.0.get_or_insert_default().insert(first, it);
    }

    pub(crate) fn remove(&mut self, first: Offset) {
        self.0.as_mut().map(|map| map.remove(&first));
        self.0.take_if(|map| map.is_empty());
    }

    pub(crate) fn first(&self) -> Option<(Offset, &T)> {
        self.0.as_ref()?.first_key_value().map(|(first, it)| (*first, it))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|map| map.values())
    }
}

/// Transactions whose marks lie above the high watermark.
#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    ended: ByFirst<Ended>,
}

impl Unconfirmed {
    fn push(&mut self, ended: Ended) {
        self.ended.insert(ended.first, ended);
    }

    /// The mark of the transaction that begins here is taken back.
    pub(crate) fn take_back(&mut self, first: Offset) {
        self.ended.remove(first);
    }

    /// Forgets what ended at or above `end`.
    pub(crate) fn cut(&mut self, end: Offset) {
        let gone: Vec<Offset> = self.ended.values().filter(|it| end <= it.mark).map(|it| it.first).collect();
        gone.into_iter().for_each(|first| self.ended.remove(first));
    }

    /// Forgets what counts now. One that began later than another that does not count yet stays until that does: only where the first one begins is of interest.
    pub(crate) fn confirm(&mut self, high_watermark: Offset) {
        while let Some((first, _)) = self.ended.first().filter(|(_, it)| it.mark < high_watermark) {
            self.ended.remove(first);
        }
    }

    fn first(&self) -> Option<Offset> {
        self.ended.first().map(|(first, _)| first)
    }
}

/// Which transactions were aborted whose marks lie in a segment. Of most segments there are none, in memory or in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AbortedIndex(Option<Box<Aborted>>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Aborted {
    /// In the order of their marks.
    InMemory(Vec<AbortedTransaction>),
    /// In the segment's file.
    InFile(Summary),
}

/// What is known of an index without a look into its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    pub(crate) count: u32,
    /// Where the first one begins.
    pub(crate) first: Offset,
}

impl AbortedIndex {
    pub(crate) fn in_memory(entries: Vec<AbortedTransaction>) -> Self {
        Self((!entries.is_empty()).then(|| Box::new(Aborted::InMemory(entries))))
    }

    pub(crate) fn in_file(summary: Summary) -> Self {
        Self((0 < summary.count).then(|| Box::new(Aborted::InFile(summary))))
    }

    fn push(&mut self, aborted: AbortedTransaction) {
        match self.0.get_or_insert_with(|| Box::new(Aborted::InMemory(Vec::new()))).as_mut() {
            Aborted::InMemory(entries) => entries.push(aborted),
            Aborted::InFile(_) => panic!("a mark is appended to a closed segment: {aborted:?}"),
        }
    }

    /// A look into the file is not needed.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.0.as_deref(), Some(Aborted::InFile(_)))
    }

    /// Those that are in memory.
    pub(crate) fn entries(&self) -> &[AbortedTransaction] {
        match self.0.as_deref() {
            Some(Aborted::InMemory(entries)) => entries,
            Some(Aborted::InFile(_)) | None => &[],
        }
    }

    /// Forgets those whose marks lie at or above `end`. Of a segment of which no batch is known, nothing stays.
    pub(crate) fn cut(&mut self, end: Offset) {
        if let Some(Aborted::InMemory(entries)) = self.0.as_deref_mut() {
            entries.truncate(entries.partition_point(|it| it.mark < end));
        }
        self.0.take_if(|aborted| !matches!(&**aborted, Aborted::InMemory(entries) if !entries.is_empty()));
    }

    pub(crate) fn forget(&mut self) {
        if self.is_known() {
            *self = Self::in_file(Summary::of(self.entries()));
        }
    }
}

impl Summary {
    pub(crate) fn of(entries: &[AbortedTransaction]) -> Self {
        let first = entries.iter().map(|it| it.first).min().unwrap_or(Offset::MAX);
        Self { count: entries.len() as u32, first }
    }
}

impl Ended {
    pub(crate) fn aborted(&self) -> Option<AbortedTransaction> {
        let Self { producer, first, mark, stable, end, .. } = *self;
        (end == TransactionEnd::Abort).then_some(AbortedTransaction { producer, first, mark, stable })
    }
}

impl Log {
    /// Everything below is decided: no transaction that is open, or whose end does not count yet, has a record there.
    pub fn first_unstable(&self) -> Option<Offset> {
        let firsts = [self.producers.first_open(), self.unconfirmed.first()];
        firsts.into_iter().flatten().min().map(|first| first.max(self.log_start))
    }

    /// Everything below is stable: committed, and decided.
    pub fn last_stable(&self) -> Offset {
        self.first_unstable().map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// Takes note of a transaction that the batch at the end of the log has ended.
    pub(crate) fn note_ended(&mut self, ended: Ended) {
        self.unconfirmed.push(ended);
        if let Some(aborted) = ended.aborted() {
            self.active_mut().aborted.push(aborted);
        }
    }

    /// All transactions that are known to have ended, as far as a cut may open them again.
    pub(crate) fn known_ended(&self) -> Vec<Ended> {
        let of_index = |it: &AbortedTransaction| Ended {
            producer: it.producer,
            epoch: ProducerEpoch(0),
            first: it.first,
            mark: it.mark,
            stable: it.stable,
            end: TransactionEnd::Abort,
        };
        let aborted = self.segments.iter().flat_map(|segment| segment.aborted.entries()).map(of_index);
        // Of those that are in both, the one that knows more comes first.
        self.unconfirmed.ended.values().copied().chain(aborted).collect()
    }

    /// Which transactions were aborted of those that have records in what `plan` reads, below `limit`. `None` if none were, and no file has to be asked for that.
    pub fn aborted(&self, plan: &ReadPlan, limit: Offset) -> Option<Box<AbortedLookup>> {
        let lookup = self.aborted_between(plan.target, plan.end.min(limit));
        let is_empty = lookup.known.is_empty() && lookup.files.is_empty();
        (!is_empty).then(|| Box::new(lookup))
    }

    pub(crate) fn aborted_between(&self, from: Offset, to: Offset) -> AbortedLookup {
        let mut lookup = AbortedLookup { from, to, known: Vec::new(), files: Vec::new() };
        for segment in &self.segments[self.segment_at(from)..] {
            match segment.aborted.0.as_deref() {
                Some(Aborted::InMemory(entries)) => lookup.known.extend(overlapping(entries, from, to)),
                Some(Aborted::InFile(summary)) if summary.first < to => {
                    lookup.files.push((self.version_of(segment), summary.count));
                }
                Some(Aborted::InFile(_)) | None => {}
            }
        }
        lookup
    }
}

/// A transaction that was aborted: which records of its producer do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer: ProducerId,
    /// Where its first record is.
    pub first: Offset,
    /// Where its mark is, behind its last record.
    pub mark: Offset,
    /// No transaction whose mark is further on begins below.
    pub(crate) stable: Offset,
}

/// A question for the transactions that were aborted and have records between two offsets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AbortedLookup {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) known: Vec<AbortedTransaction>,
    /// Where others may be, and how many there are.
    pub(crate) files: Vec<(SegmentVersion, u32)>,
}

/// Whose records between which offsets do not count, for whoever asks batch by batch.
#[derive(Debug, Default)]
pub(crate) struct AbortedRecords {
    /// Of each producer in the order of offsets, which do not overlap.
    transactions: FxHashMap<ProducerId, Vec<AbortedTransaction>>,
}

impl AbortedRecords {
    pub(crate) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut records = Self::default();
        for it in aborted {
            records.transactions.entry(it.producer).or_default().push(*it);
        }
        records
    }

    /// The aborted transaction that a producer had open at `offset`, or whose mark is there.
    pub(crate) fn at(&self, producer: ProducerId, offset: Offset) -> Option<&AbortedTransaction> {
        let transactions = self.transactions.get(&producer)?;
        let found = transactions.get(transactions.partition_point(|it| it.mark < offset))?;
        (found.first <= offset).then_some(found)
    }
}

/// Those that have records between two offsets, of an index in the order of marks.
fn overlapping(
    entries: &[AbortedTransaction],
    from: Offset,
    to: Offset,
) -> impl Iterator<Item = AbortedTransaction> {
    let first = entries.partition_point(|it| it.mark < from);
    // Behind one that was the oldest open one then, and begins further on, the others do too.
    let last =
        entries[first..].iter().position(|it| to <= it.stable).map_or(entries.len(), |at| first + at + 1);
    entries[first..last].iter().copied().filter(move |it| it.first < to)
}

/// The answer to a question, in the order of marks.
pub fn resolve_aborted(
    lookup: &AbortedLookup,
    read: &mut ReadSegment<'_>,
) -> Result<Vec<AbortedTransaction>, ReadError> {
    let mut found = Vec::new();
    for (segment, count) in &lookup.files {
        let entries = read_index(*segment, *count, read)?;
        found.extend(overlapping(&entries, lookup.from, lookup.to));
    }
    // Some of those that are in memory may be of older segments than those in files.
    found.extend(&lookup.known);
    found.sort_unstable_by_key(|it| it.mark);
    Ok(found)
}

/// The index of a closed segment, from its file.
pub(crate) fn read_index(
    segment: SegmentVersion,
    count: u32,
    read: &mut ReadSegment<'_>,
) -> Result<Vec<AbortedTransaction>, ReadError> {
    let base = segment.id.base;
    let failed = |problem: String| ReadError::Io { base, problem };
    let mut file = vec![0; count as usize * ENTRY_SIZE + CHECKSUM_SIZE];
    match read(segment, FileKind::Aborted, 0, &mut file) {
        Err(error) if error.kind() == REPLACED => return Err(ReadError::Replaced),
        Err(error) => return Err(failed(error.to_string())),
        Ok(size) => file.truncate(size),
    }
    from_bytes(base, &file).ok_or_else(|| failed("the index of aborted transactions is damaged".to_owned()))
}

/// The `.txnindex` of the segment that begins at `base`.
pub(crate) fn to_bytes(base: Offset, entries: &[AbortedTransaction]) -> Bytes {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_SIZE + CHECKSUM_SIZE);
    for it in entries {
        bytes.put_i16(VERSION);
        bytes.put_i64(it.producer.0);
        bytes.put_i64(it.first.raw());
        bytes.put_i64(it.mark.raw());
        bytes.put_i64(it.stable.raw());
    }
    let checksum = checksum(base, &bytes);
    bytes.put_u32(checksum);
    bytes.into()
}

/// The opposite; `None` if it is not what was written for this segment.
pub(crate) fn from_bytes(base: Offset, file: &[u8]) -> Option<Vec<AbortedTransaction>> {
    let (entries, stored) = file.split_last_chunk::<CHECKSUM_SIZE>()?;
    let (entries, []) = entries.as_chunks::<ENTRY_SIZE>() else { return None };
    if checksum(base, entries.as_flattened()) != u32::from_be_bytes(*stored) {
        return None;
    }
    let entry = |bytes: &[u8; ENTRY_SIZE]| {
        let (version, fields) = bytes.split_first_chunk::<2>()?;
        let [producer, first, mark, stable] = fields.as_chunks::<8>().0 else { return None };
        let offset = |bytes: &[u8; 8]| Offset::from_wire(i64::from_be_bytes(*bytes));
        let producer = ProducerId::from_wire(i64::from_be_bytes(*producer))?;
        let (first, mark, stable) = (offset(first)?, offset(mark)?, offset(stable)?);
        let is_sound = i16::from_be_bytes(*version) == VERSION && first <= mark && base <= mark;
        is_sound.then_some(AbortedTransaction { producer, first, mark, stable })
    };
    let entries: Vec<_> = entries.iter().map(entry).collect::<Option<_>>()?;
    entries.is_sorted_by_key(|it| it.mark).then_some(entries)
}

/// Named, so that the index of something else is not taken for this one.
fn checksum(base: Offset, entries: &[u8]) -> u32 {
    crc32c(&[&base.raw().to_be_bytes()[..], entries].concat())
}
