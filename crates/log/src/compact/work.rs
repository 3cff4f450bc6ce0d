//! The two long parts of a pass: collecting keys, and writing segments anew. Both go through files that nobody changes meanwhile, and believe
//! nothing that they read: a batch that is damaged ends the pass, with everything left as it is.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{
    BATCH_HEADER_SIZE, BatchError, BatchHeader, BatchView, Corruption, Offset, ProducerId, Timestamp,
};
use rustc_hash::FxHashSet;
use thiserror::Error;

use super::batch::{Kept, Rules, Sabotage, Scratch, filler, is_aborted, is_filler};
use super::keys::Keys;
use crate::disk::{FileKind, SegmentId, SegmentVersion};
use crate::error::ReadError;
use crate::index::{self, Index, Indexed, Largest};
use crate::resolve::ReadSegment;
use crate::transactions::{self, AbortedLookup, AbortedRecords, Summary, resolve_aborted};
use crate::walk::{ALL, Walk, WalkError};

/// Bytes written at once.
const WRITE_SIZE: usize = 256 * 1024;
/// Positions in a segment are an `i32` for Kafka's readers.
const SEGMENT_SIZE_MAX: u64 = i32::MAX as u64;

/// A segment that is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// Which segment.
    pub segment: SegmentVersion,
    /// Its size.
    pub size: u32,
    /// Where its records end.
    pub end: Offset,
}

/// Collect the keys of the records between two offsets, as many as there is room for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapKeys {
    /// The segments from the one with `from` on, up to that which ends at the limit.
    pub sources: Vec<Source>,
    /// Records below are clean.
    pub from: Offset,
    /// Whose records there do not count.
    pub aborted: AbortedLookup,
    /// What the keys may take in memory (`log.cleaner.dedupe.buffer.size`).
    pub bytes_max: u64,
    /// For tests of what notices a broken rule.
    pub sabotage: Option<Sabotage>,
}

/// Write neighbouring segments anew, as one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewrite {
    /// What becomes one segment, with the first one's name.
    pub sources: Vec<Source>,
    /// What stays.
    pub rules: Rules,
    /// Whose records there do not count.
    pub aborted: AbortedLookup,
    /// Producers of whose transaction there was something in the segments before, since their last mark.
    pub members: Arc<FxHashSet<ProducerId>>,
    /// Bytes between two entries of the index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// Bytes of the new segment.
    pub size: u32,
    /// Its whole index file.
    pub index: Bytes,
    /// Its whole file of times.
    pub times: Bytes,
    /// Its whole file of aborted transactions.
    pub aborted: Bytes,
    pub(crate) aborted_summary: Summary,
    /// The highest timestamp.
    pub(crate) largest: Largest,
    /// As in [`Rewrite`], behind it.
    pub(crate) members: Arc<FxHashSet<ProducerId>>,
    /// It differs from what there was.
    pub is_changed: bool,
}

impl Rewritten {
    /// Entries of the index file.
    pub(crate) fn entry_count(&self) -> u32 {
        u32::try_from(self.index.len() / index::ENTRY_SIZE).unwrap_or(0)
    }

    /// Entries of the file of times.
    pub(crate) fn time_entry_count(&self) -> u32 {
        u32::try_from(self.times.len() / index::TIME_ENTRY_SIZE).unwrap_or(0)
    }
}

/// Why a pass came to nothing. The log is as it was.
#[derive(Debug, Error)]
pub enum CompactError {
    /// A segment could not be read.
    #[error("segment {}: {problem}", segment.base)]
    Read {
        /// The segment.
        segment: SegmentId,
        /// What the system said.
        problem: io::Error,
    },
    /// A segment does not hold what the log says it does.
    #[error("segment {} is damaged at position {position}: {problem}", segment.base)]
    Damaged {
        /// The segment.
        segment: SegmentId,
        /// Where.
        position: u32,
        /// What is wrong.
        problem: BatchError,
    },
    /// The aborted transactions are not known.
    #[error("{0}")]
    Aborted(ReadError),
    /// The new segment could not be written.
    #[error("{0}")]
    Write(io::Error),
}

/// Collects keys. Stops before the first batch that has no room.
pub fn map_keys(job: &MapKeys, read: &mut ReadSegment<'_>) -> Result<Keys, CompactError> {
    let keeps_older = job.sabotage == Some(Sabotage::KeepsOlder);
    let mut keys = Keys::new(job.from, job.bytes_max, keeps_older);
    let mut unpacked = Vec::new();
    let aborted = AbortedRecords::new(&resolve_aborted(&job.aborted, read).map_err(CompactError::Aborted)?);
    for source in &job.sources {
        let mut is_full = false;
        go_through(source, read, &mut |batch| {
            if is_full || batch.next_offset() <= job.from {
                return Ok(());
            }
            is_full = !note_batch(batch, &aborted, &mut keys, &mut unpacked)?;
            if !is_full {
                keys.through = batch.next_offset();
            }
            Ok(())
        })?;
        if is_full {
            break;
        }
    }
    Ok(keys)
}

fn note_batch(
    batch: &BatchView<'_>,
    aborted: &AbortedRecords,
    keys: &mut Keys,
    unpacked: &mut Vec<u8>,
) -> Result<bool, BatchProblem> {
    if batch.header().attributes.is_control() || is_aborted(batch.header(), aborted) {
        return Ok(true);
    }
    for record in batch.records(unpacked, super::batch::UNPACKED_BYTES_MAX)? {
        let record = record?;
        if let Some(key) = record.key
            && !keys.note(key, record.offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes segments anew, through `write`, in order.
pub fn rewrite(
    job: &Rewrite,
    read: &mut ReadSegment<'_>,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Rewritten, CompactError> {
    let base = job.sources[0].segment.id.base;
    let mut output = Output {
        write,
        buffer: Vec::with_capacity(WRITE_SIZE),
        base,
        size: 0,
        gap: None,
        index: Index::default(),
        index_interval_bytes: job.index_interval_bytes,
        largest: Largest::NONE,
        filler_count: 0,
    };
    let aborted = resolve_aborted(&job.aborted, read).map_err(CompactError::Aborted)?;
    let mut scratch = Scratch::new(&aborted, &job.members);
    let mut aborted = Vec::new();
    let mut is_changed = 1 < job.sources.len();
    let mut filler_count = 0;
    for source in &job.sources {
        go_through(source, read, &mut |batch| {
            let header = batch.header();
            let kept = job.rules.keep(batch, &mut scratch)?;
            if header.attributes.is_control() && !matches!(kept, Kept::Nothing) {
                aborted.extend(scratch.ended_by(header));
            }
            match kept {
                Kept::AsItIs => output.put(header, batch.bytes())?,
                Kept::Rewritten(bytes) => {
                    is_changed = true;
                    output.put(&BatchHeader::parse(&bytes)?, &bytes)?;
                }
                Kept::Nothing => {
                    let was_filler = is_filler(header);
                    is_changed |= !was_filler;
                    filler_count += u64::from(was_filler);
                    output.leave_out(header)?;
                }
            }
            Ok(())
        })?;
    }
    output.fill_gap().and_then(|()| output.flush()).map_err(CompactError::Write)?;
    Ok(Rewritten {
        size: output.size,
        index: output.index.to_bytes(),
        times: output.index.times_to_bytes(base, output.largest),
        aborted: transactions::to_bytes(base, &aborted),
        aborted_summary: Summary::of(&aborted),
        largest: output.largest,
        members: Arc::new(scratch.members),
        is_changed: is_changed || filler_count != output.filler_count,
    })
}

/// Where the records of a segment end, by its headers.
pub fn end_of(
    base: Offset,
    size: u32,
    read: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<Offset> {
    let mut walk = Walk::new(size, ALL, read);
    let (mut position, mut end) = (0, base);
    loop {
        match walk.header_at(position) {
            Ok(Some((header, after))) => (position, end) = (after, header.next_offset()),
            Ok(None) => return Ok(end),
            Err(WalkError::Io(error)) => return Err(error),
            Err(WalkError::Damaged(problem)) => return Err(io::Error::other(problem)),
        }
    }
}

/// Calls `visit` with each batch of a segment. They have to be whole, and to follow one another up to the segment's end.
fn go_through(
    source: &Source,
    read: &mut ReadSegment<'_>,
    visit: &mut dyn FnMut(&BatchView<'_>) -> Result<(), BatchProblem>,
) -> Result<(), CompactError> {
    let segment = source.segment.id;
    let mut read_log =
        |position: u64, buffer: &mut [u8]| read(source.segment, FileKind::Log, position, buffer);
    let mut walk = Walk::new(source.size, ALL, &mut read_log);
    let (mut position, mut end) = (0, segment.base);
    let damaged = |position, problem| CompactError::Damaged { segment, position, problem };
    let failed = |position, error| match error {
        WalkError::Io(problem) => CompactError::Read { segment, problem },
        WalkError::Damaged(problem) => damaged(position, problem),
    };
    while let Some((header, after)) = walk.header_at(position).map_err(|error| failed(position, error))? {
        if header.base_offset != end {
            let problem = Corruption::Field { name: "base offset", value: header.base_offset.raw() };
            return Err(damaged(position, problem.into()));
        }
        let bytes = walk.batch(position, after).map_err(|error| failed(position, error))?;
        let visited = BatchView::parse(bytes).map_err(BatchProblem::from).and_then(|batch| {
            batch.verify_crc()?;
            visit(&batch)
        });
        match visited {
            Ok(()) => {}
            Err(BatchProblem::Write(error)) => return Err(CompactError::Write(error)),
            Err(BatchProblem::Damaged(problem)) => return Err(damaged(position, problem)),
        }
        (position, end) = (after, header.next_offset());
    }
    if end != source.end {
        let problem = Corruption::Field { name: "end offset", value: end.raw() };
        return Err(damaged(position, problem.into()));
    }
    Ok(())
}

/// Why a visit of a batch ended the walk.
enum BatchProblem {
    Damaged(BatchError),
    Write(io::Error),
}

impl From<BatchError> for BatchProblem {
    fn from(problem: BatchError) -> Self {
        Self::Damaged(problem)
    }
}

impl From<io::Error> for BatchProblem {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// The new segment.
struct Output<'a> {
    write: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    buffer: Vec<u8>,
    base: Offset,
    /// Bytes so far, those in the buffer included.
    size: u32,
    /// The last batches that were left out, of one epoch.
    gap: Option<BatchHeader>,
    index: Index,
    index_interval_bytes: u32,
    largest: Largest,
    filler_count: u64,
}

impl Output<'_> {
    fn put(&mut self, header: &BatchHeader, bytes: &[u8]) -> io::Result<()> {
        self.fill_gap()?;
        self.append(header, bytes)
    }

    /// Leaves a batch out; its offsets go to the gap before the next batch.
    fn leave_out(&mut self, header: &BatchHeader) -> io::Result<()> {
        match &mut self.gap {
            Some(gap) if gap.leader_epoch == header.leader_epoch => {
                let delta = header.last_offset().since(gap.base_offset);
                gap.last_offset_delta = u32::try_from(delta).expect("a segment spans no more than an i32");
            }
            _ => {
                self.fill_gap()?;
                self.gap = Some(*header);
            }
        }
        Ok(())
    }

    fn fill_gap(&mut self) -> io::Result<()> {
        let Some(gap) = self.gap.take() else { return Ok(()) };
        let filler = filler(gap.base_offset, gap.last_offset_delta, gap.leader_epoch);
        debug_assert_eq!(filler.len(), BATCH_HEADER_SIZE);
        self.filler_count += 1;
        self.append(&BatchHeader { max_timestamp: Timestamp(-1), ..gap }, &filler)
    }

    fn append(&mut self, header: &BatchHeader, bytes: &[u8]) -> io::Result<()> {
        // Another level of compression may make a batch larger than it was.
        let after = u64::from(self.size) + bytes.len() as u64;
        let size = u32::try_from(bytes.len()).ok().filter(|_| after <= SEGMENT_SIZE_MAX);
        let size = size.ok_or_else(|| io::Error::other("the new segment is too large"))?;
        let batch = Indexed {
            first: header.base_offset,
            last_delta: header.last_offset_delta,
            position: self.size,
            size,
            largest_before: self.largest,
        };
        self.index.note(self.base, &batch, self.index_interval_bytes);
        self.largest.note(header.max_timestamp, header.last_offset());
        self.size += size;
        self.buffer.extend_from_slice(bytes);
        if WRITE_SIZE <= self.buffer.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.write)(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
