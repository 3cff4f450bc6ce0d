//! Answers that still lack what only the disk knows.

use std::{io, ops::Range};

use klamm_log::{
    AbortedLookup, AbortedTransaction, FileKind, ReadError, ReadPlan, SegmentId, SegmentVersion, TimeFound,
    TimeLookup, resolve, resolve_aborted, resolve_time,
};
use klamm_model::ErrorCode;
use klamm_wire::{FetchResponse, ListOffsetsResponse, Records, Response};
use rustc_hash::FxHashMap;

use crate::errors::ToCode;

/// An answer, as the node could give it without reading a disk.
#[derive(Debug)]
pub enum Reply {
    /// Complete.
    Ready(Response),
    /// Records are to be found in segment files.
    Fetch {
        /// Where records belong, it has a hole whose token is an index into `reads`.
        response: FetchResponse,
        /// What to look for.
        reads: Vec<ReadPlan>,
        /// Which transactions were aborted, by the index of the read that has records of them.
        aborted: Vec<(u32, AbortedLookup)>,
        /// Bytes of records that the answer may have; the first batch of all may be larger.
        bytes_max: u32,
    },
    /// Offsets are to be looked up by time.
    Times {
        /// The answer without them.
        response: ListOffsetsResponse,
        /// What to look for.
        lookups: Vec<Lookup>,
        /// Whether the version has a place for leader epochs.
        has_epochs: bool,
    },
}

/// A lookup by time and its place in the answer.
#[derive(Debug)]
pub struct Lookup {
    /// Index of the topic in the answer.
    pub topic: usize,
    /// Index of the partition in the topic's answer.
    pub partition: usize,
    /// What to look for.
    pub lookup: TimeLookup,
}

/// Bytes of a segment that are to be sent where the answer has a hole of this token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRange {
    /// The segment.
    pub segment: SegmentVersion,
    /// Positions in its log file.
    pub range: Range<u32>,
}

/// A positioned read of one of a segment's files: up to the buffer's length; less at the end of the file.
pub type ReadAt<'a> = dyn FnMut(SegmentVersion, FileKind, u64, &mut [u8]) -> io::Result<usize> + 'a;

/// What the disk knows of a [`Reply`].
#[derive(Debug)]
pub struct Found {
    /// One for each read of a fetch: where in the segment's log file.
    ranges: Vec<Result<Range<u32>, ReadError>>,
    /// One for each question for aborted transactions.
    aborted: Vec<Result<Vec<AbortedTransaction>, ReadError>>,
    /// One for each lookup by time.
    times: Vec<Result<Option<TimeFound>, ReadError>>,
}

impl Reply {
    /// Asks the disk. Blocks as long as the reads do; needs no lock.
    pub fn look(&self, read: &mut ReadAt<'_>) -> Found {
        let mut found = Found { ranges: Vec::new(), aborted: Vec::new(), times: Vec::new() };
        match self {
            Self::Ready(_) => {}
            Self::Fetch { reads, aborted, .. } => {
                found.ranges.extend(reads.iter().map(|plan| {
                    resolve(plan, &mut |kind, position, buffer| read(plan.segment, kind, position, buffer))
                }));
                found.aborted.extend(aborted.iter().map(|(_, lookup)| resolve_aborted(lookup, read)));
            }
            Self::Times { lookups, .. } => {
                found.times.extend(lookups.iter().map(|lookup| resolve_time(&lookup.lookup, read)))
            }
        }
        found
    }

    /// The answer, with what [`Reply::look`] found for it. The second part is indexed by the tokens of the response's holes. Segments that are not what was
    /// written are told to `suspect`.
    pub fn complete(self, found: Found, suspect: &mut dyn FnMut(SegmentId)) -> (Response, Vec<FileRange>) {
        match self {
            Self::Ready(response) => (response, Vec::new()),
            Self::Fetch { response, reads, aborted, bytes_max } => {
                let mut ranges = found.ranges;
                let mut lists = FxHashMap::default();
                for ((token, _), found) in aborted.into_iter().zip(found.aborted) {
                    match found {
                        Ok(found) => _ = lists.insert(token, found),
                        // Nobody gets records of which it is not known whether they count.
                        Err(error) => ranges[token as usize] = Err(error),
                    }
                }
                complete_fetch(response, &reads, bytes_max, ranges, lists, suspect)
            }
            Self::Times { response, lookups, has_epochs } => {
                (complete_times(response, &lookups, has_epochs, found.times, suspect), Vec::new())
            }
        }
    }
}

fn complete_fetch(
    mut response: FetchResponse,
    reads: &[ReadPlan],
    bytes_max: u32,
    mut found: Vec<Result<Range<u32>, ReadError>>,
    mut aborted: FxHashMap<u32, Vec<AbortedTransaction>>,
    suspect: &mut dyn FnMut(SegmentId),
) -> (Response, Vec<FileRange>) {
    let mut ranges = Vec::with_capacity(reads.len());
    let mut left = bytes_max;
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let Some(Records::Hole { token, .. }) = partition.records else { continue };
        let plan = &reads[token as usize];
        match std::mem::replace(&mut found[token as usize], Ok(0..0)) {
            Ok(range) => {
                let mut size = range.end - range.start;
                // A batch is given whole even if it is larger than asked, or its reader would be stuck; but only the first of an answer.
                if size > left && !ranges.is_empty() {
                    size = 0;
                }
                if size == 0 {
                    partition.records = Some(Records::Bytes(bytes::Bytes::new()));
                    continue;
                }
                left = left.saturating_sub(size);
                if let Some(aborted) = aborted.remove(&token) {
                    partition.aborted_transactions = Some(aborted.iter().map(told).collect());
                }
                partition.records = Some(Records::Hole { size, token: ranges.len() as u32 });
                ranges.push(FileRange { segment: plan.segment, range: range.start..range.start + size });
            }
            // Compacted since: the reader gets nothing now, and other places when it asks again.
            Err(ReadError::Replaced) => partition.records = Some(Records::Bytes(bytes::Bytes::new())),
            Err(error) => {
                tracing::error!(segment = ?plan.segment, %error, "records could not be read");
                if matches!(error, ReadError::Damaged { .. }) {
                    suspect(plan.segment.id);
                }
                partition.error_code = error.code().code();
                partition.records = Some(Records::Bytes(bytes::Bytes::new()));
            }
        }
    }
    (Response::Fetch(response), ranges)
}

fn told(it: &AbortedTransaction) -> klamm_wire::fetch::AbortedTransaction {
    let (producer_id, first_offset) = (it.producer.0, it.first.raw());
    klamm_wire::fetch::AbortedTransaction { producer_id, first_offset, ..Default::default() }
}

fn complete_times(
    mut response: ListOffsetsResponse,
    lookups: &[Lookup],
    has_epochs: bool,
    found: Vec<Result<Option<TimeFound>, ReadError>>,
    suspect: &mut dyn FnMut(SegmentId),
) -> Response {
    for (Lookup { topic, partition, lookup }, found) in lookups.iter().zip(found) {
        let answer = &mut response.topics[*topic].partitions[*partition];
        match found {
            Ok(Some(found)) => {
                answer.offset = found.offset.raw();
                answer.timestamp = found.timestamp.0;
                if has_epochs {
                    answer.leader_epoch = found.epoch.map_or(-1, |epoch| epoch.0);
                }
            }
            // Nothing is that young: -1, as the answer says already.
            Ok(None) => {}
            Err(error) => {
                tracing::error!(?lookup, %error, "a lookup by time failed");
                let damaged = match error {
                    ReadError::Damaged { base, .. } => {
                        lookup.spans.iter().find(|it| it.segment.id.base == base)
                    }
                    _ => None,
                };
                damaged.into_iter().for_each(|span| suspect(span.segment.id));
                answer.error_code = error.code().code();
                debug_assert_ne!(answer.error_code, ErrorCode::None.code());
            }
        }
    }
    Response::ListOffsets(response)
}
