//! Appends, carried out by the thread that stepped them: neighbours in one file go out with one system call.
//!
//! A call costs about as much as copying 8 KiB, so for small batches the number of calls is what a write costs.

use std::io::IoSlice;
use std::time::Instant;

use klamm_log::{DiskAction, DiskError, DiskOp, Done, Files, SegmentId};
use klamm_node::Event;

use crate::shared::Shared;

/// Slices of one call; each append has two. Linux takes 1,024.
const APPENDS_MAX: usize = 128;

/// Bytes of one call: more does not make it cheaper.
const BYTES_MAX: usize = 1 << 20;

/// Carries out all of `ops`, which are writes, and tells their ends. Returns how many failed.
pub(crate) fn perform(
    files: &Files,
    ops: &mut Vec<DiskOp>,
    events: &mut Vec<Event>,
    tell: impl Fn(&DiskOp, &DiskError),
) -> u64 {
    let mut failed_count = 0;
    if ops.len() > 1 {
        ops.sort_by_key(place);
    }
    let mut rest = &ops[..];
    while let Some(first) = rest.first() {
        let (run, behind) = rest.split_at(run_length(rest));
        // Whatever goes wrong with several at once is told for each by itself: writing bytes again where they belong does no harm.
        let is_done = run.len() > 1 && write_run(files, run).is_some();
        for op in run {
            let result = if is_done { Ok(Done::Nothing) } else { files.perform(op) };
            if let Err(error) = &result {
                failed_count += 1;
                tell(op, error);
            }
            events.push(Event::Disk { partition: op.partition, op: op.id, result });
        }
        debug_assert_eq!(place(first), place(&run[0]));
        rest = behind;
    }
    ops.clear();
    failed_count
}

/// One line for a failed operation; the bytes of records have no place in it. On a full disk all partitions fail twice a second, and their lines would go there too.
pub(crate) fn tell_failure(shared: &Shared, op: &DiskOp, error: &DiskError) {
    if *error == DiskError::CalledOff {
        return;
    }
    let now = shared.clock.now_at(Instant::now()).tick;
    let Some(suppressed) = shared.disk_lines.lock().allow(now) else { return };
    let directory = shared.files.directory_of(op.partition);
    let directory =
        directory.map_or_else(|| op.partition.to_string(), |directory| directory.display().to_string());
    let action = match &op.action {
        DiskAction::CreatePartition { .. } => "create partition",
        DiskAction::CreateSegment { .. } => "create segment",
        DiskAction::Write { .. } => "write",
        DiskAction::Sync { .. } => "sync",
        DiskAction::Truncate { .. } => "truncate",
        DiskAction::Seal { .. } => "seal",
        DiskAction::Note { .. } => "write notes",
        DiskAction::WriteBeside { .. } => "write a file beside a segment",
        DiskAction::WriteCheckpoint { .. } => "write checkpoint",
        DiskAction::Retire { .. } => "rename deleted segments",
        DiskAction::Remove { .. } => "remove deleted segments",
        DiskAction::MapKeys(_) => "collect keys to compact",
        DiskAction::Rewrite(_) => "write compacted segments",
        DiskAction::Swap { .. } => "swap compacted segments",
        DiskAction::Move(_) => "move partition",
        DiskAction::Scrub(_) => "look for damage",
        DiskAction::DeletePartition => "delete partition",
    };
    tracing::error!(directory, action, %error, suppressed, "a disk operation failed");
}

fn place(op: &DiskOp) -> Option<(SegmentId, u32)> {
    match &op.action {
        DiskAction::Write { segment, position, .. } => Some((*segment, *position)),
        _ => None,
    }
}

/// How many of the first writes lie one behind the other in one file.
fn run_length(ops: &[DiskOp]) -> usize {
    let mut expected = None;
    let mut bytes = 0;
    ops.iter()
        .take(APPENDS_MAX)
        .take_while(|op| {
            let DiskAction::Write { segment, position, body, .. } = &op.action else { return false };
            let fits = expected.is_none_or(|end| end == (*segment, *position))
                && (bytes == 0 || bytes + body.len() <= BYTES_MAX);
            bytes += body.len();
            expected = Some((*segment, position.saturating_add(body.len() as u32)));
            fits
        })
        .count()
        .max(1)
}

/// `None` if not all of it was written.
fn write_run(files: &Files, run: &[DiskOp]) -> Option<()> {
    let (segment, start) = place(run.first()?)?;
    let file = files.segment_to_write(segment).ok()?;
    let mut slices = Vec::with_capacity(2 * run.len());
    let mut size = 0;
    for op in run {
        let DiskAction::Write { prefix, body, .. } = &op.action else { return None };
        let prefix = prefix.as_ref().map_or(&[][..], |prefix| &prefix[..]);
        slices.push(IoSlice::new(prefix));
        slices.push(IoSlice::new(body.get(prefix.len()..)?));
        size += body.len();
    }
    let written = rustix::io::pwritev(file.file(), &slices, u64::from(start)).ok()?;
    (written == size).then(|| file.wrote(start, size))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;
    use klamm_log::OpId;
    use klamm_model::{Offset, PartitionIndex, TopicId, TopicPartition};

    use super::*;

    fn write(partition: i32, id: u64, position: u32, body: &'static [u8]) -> DiskOp {
        let partition =
            TopicPartition { topic: TopicId(uuid::Uuid::from_u128(9)), partition: PartitionIndex(partition) };
        let segment = SegmentId { partition, base: Offset::ZERO };
        let prefix = (body.len() >= 16).then_some([b'p'; 16].into());
        let action = DiskAction::Write { segment, position, prefix, body: Bytes::from_static(body) };
        DiskOp { partition, id: OpId(id), action }
    }

    fn create(partition: i32) -> DiskOp {
        let op = write(partition, 0, 0, b"");
        let action = DiskAction::CreatePartition {
            log_dir: klamm_log::LogDir::default(),
            directory: format!("topic-{partition}"),
            topic: op.partition.topic,
            base: Offset::ZERO,
        };
        DiskOp { action, ..op }
    }

    #[test]
    fn neighbours_are_written_together_and_all_ends_are_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files::open(directory.path()).expect("a new directory");
        for partition in 0..2 {
            files.perform(&create(partition)).expect("to be created");
        }
        let mut ops = vec![
            write(1, 1, 0, b"other partition"),
            write(0, 2, 20, b"0123456789abcdefghij"),
            write(0, 1, 0, b"ABCDEFGHIJKLMNOPQRST"),
            write(0, 3, 50, b"behind a gap"),
        ];
        let sorted = {
            let mut sorted = ops.clone();
            sorted.sort_by_key(place);
            sorted
        };
        assert_eq!(run_length(&sorted), 2);
        assert_eq!(run_length(&sorted[2..]), 1);
        let mut events = Vec::new();
        assert_eq!(perform(&files, &mut ops, &mut events, |_, _| panic!("none failed")), 0);
        assert_eq!(events.len(), 4);
        assert!(events.iter().all(|event| matches!(event, Event::Disk { result: Ok(Done::Nothing), .. })));
        let bytes =
            std::fs::read(directory.path().join("topic-0/00000000000000000000.log")).expect("written");
        assert_eq!(bytes, b"ppppppppppppppppQRSTppppppppppppppppghij\0\0\0\0\0\0\0\0\0\0behind a gap");
    }

    #[test]
    fn a_failure_is_told_for_each() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files::open(directory.path()).expect("a new directory");
        let (mut events, told) = (Vec::new(), Cell::new(0));
        let mut ops = vec![write(0, 1, 0, b"one"), write(0, 2, 3, b"two")];
        assert_eq!(perform(&files, &mut ops, &mut events, |_, _| told.set(told.get() + 1)), 2);
        assert_eq!((events.len(), told.get()), (2, 2));
        assert!(events.iter().all(|event| matches!(event, Event::Disk { result: Err(_), .. })));
    }
}
