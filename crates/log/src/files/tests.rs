//! A log on a real disk.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use klamm_model::{LeaderEpoch, Offset, Timestamp};

use super::*;
use crate::tests::{PARTITION, batch, config, offset};
use crate::{Compaction, Log, LogConfig, RecoveryReport};

mod moving;

const DIRECTORY: &str = "some-topic-0";

/// Performs everything, as a shell would.
fn settle(files: &Files, log: &mut Log, mut ops: Vec<DiskOp>) {
    while let Some(op) = ops.pop() {
        let result = files.perform(&op);
        assert!(result.is_ok(), "{op:?}: {result:?}");
        log.done(op.id, result, &mut ops);
    }
}

fn append(files: &Files, log: &mut Log, count: u32, mark: u64) {
    let mut ops = Vec::new();
    let (valid, bytes) = batch(count, mark, Some((5, 0, mark as i32 * 2)));
    log.append_as_leader(LeaderEpoch(3), &valid, bytes, &mut ops).expect("appended");
    settle(files, log, ops);
}

fn filled(path: &Path) -> (Files, Log) {
    let files = Files::open(path).expect("opened");
    let mut ops = Vec::new();
    let mut log = Log::create(PARTITION, DIRECTORY.to_owned(), config(), &mut ops);
    settle(&files, &mut log, ops);
    for mark in 0..30 {
        append(&files, &mut log, 2, mark);
    }
    (files, log)
}

fn reopen(path: &Path) -> (Files, Log, RecoveryReport) {
    let files = Files::open(path).expect("opened");
    let found = files.partitions().expect("listed");
    let expected = FoundPartition {
        partition: Some(PARTITION),
        topic: "some-topic".to_owned(),
        directory: DIRECTORY.to_owned(),
        log_dir: LogDir::default(),
    };
    assert_eq!(found, [expected]);
    let view = files.adopt(PARTITION, DIRECTORY);
    let (mut log, report) =
        Log::recover(PARTITION, DIRECTORY.to_owned(), config(), &view).expect("good files");
    let mut ops = Vec::new();
    log.start(&mut ops);
    settle(&files, &mut log, ops);
    (files, log, report)
}

fn contents(files: &Files, log: &Log) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = log.log_start();
    while let Some(plan) = log.read(from, Offset::MAX, 1).expect("in range") {
        let mut read = |kind: FileKind, position: u64, buffer: &mut [u8]| {
            files.read_at(plan.segment, kind, position, buffer)
        };
        let range = crate::resolve(&plan, &mut read).expect("found");
        let mut bytes = vec![0; range.len()];
        let size = files.read_at(plan.segment, FileKind::Log, range.start.into(), &mut bytes).expect("read");
        assert_eq!(size, bytes.len());
        let view = klamm_model::BatchView::parse(&bytes).expect("a batch");
        view.verify_crc().expect("good");
        assert_eq!((view.base_offset(), view.header().leader_epoch), (from, Some(LeaderEpoch(3))));
        from = view.next_offset();
        all.extend_from_slice(&bytes);
    }
    assert_eq!(from, log.end());
    all
}

#[test]
fn a_log_is_there_again_after_a_restart() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("data");
    let (files, mut log) = filled(&path);
    let before = contents(&files, &log);
    let segment_count = log.segments.len();
    assert!(3 < segment_count);
    log.note_high_watermark(log.end());
    assert_eq!(contents(&files, &log), before, "by the index files");
    drop(files);

    let (files, mut log, report) = reopen(&path);
    assert_eq!((report.cut_bytes, report.segment_count, report.rebuilt.len()), (0, segment_count, 0));
    assert_eq!((log.end(), log.synced()), (offset(60), offset(60)));
    assert_eq!(contents(&files, &log), before);
    append(&files, &mut log, 2, 30);
    assert_eq!(&contents(&files, &log)[..before.len()], before);
}

#[test]
fn a_torn_tail_is_cut_off_the_file() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, log) = filled(place.path());
    let before = contents(&files, &log);
    let last = FileKind::Log.file_name(log.active().base);
    drop(files);
    let last = place.path().join(DIRECTORY).join(last);
    let size = fs::metadata(&last).expect("there").len();
    fs::write(&last, [fs::read(&last).expect("read"), vec![0; 99]].concat()).expect("written");
    let (files, log, report) = reopen(place.path());
    assert_eq!(report.cut_bytes, 99);
    assert_eq!(fs::metadata(&last).expect("there").len(), size);
    assert_eq!(contents(&files, &log), before);
}

#[test]
fn cuts_and_new_beginnings_leave_the_files_that_they_should() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, mut log) = filled(place.path());
    let before = contents(&files, &log);
    let mut ops = Vec::new();
    log.truncate_to(offset(10), &mut ops);
    settle(&files, &mut log, ops);
    let kept = contents(&files, &log);
    assert_eq!(kept, before[..kept.len()]);
    drop(files);
    let (files, mut log, _) = reopen(place.path());
    assert_eq!((log.end(), contents(&files, &log)), (offset(10), kept));

    let mut ops = Vec::new();
    log.restart_at(offset(500), &mut ops);
    settle(&files, &mut log, ops);
    drop(files);
    let (_files, log, _) = reopen(place.path());
    assert_eq!((log.log_start(), log.end()), (offset(500), offset(500)));
    let logs = fs::read_dir(place.path().join(DIRECTORY)).expect("listed");
    let logs = logs
        .filter(|entry| entry.as_ref().is_ok_and(|it| it.path().extension().is_some_and(|it| it == "log")));
    assert_eq!(logs.count(), 1);
}

#[test]
fn a_deleted_partition_is_gone() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, mut log) = filled(place.path());
    let mut ops = Vec::new();
    log.delete(&mut ops);
    settle(&files, &mut log, ops);
    assert_eq!(files.partitions().expect("listed"), []);
    let left: Vec<_> =
        fs::read_dir(place.path()).expect("listed").map(|it| it.expect("listed").file_name()).collect();
    assert_eq!(left, [LOCK_FILE]);
    assert!(files.segment_to_write(SegmentId { partition: PARTITION, base: offset(0) }).is_err());
}

#[test]
fn a_partition_with_the_longest_name_can_be_deleted() {
    let place = tempfile::tempdir().expect("a directory");
    let files = Files::open(place.path()).expect("opened");
    let mut ops = Vec::new();
    let partition = TopicPartition { partition: klamm_model::PartitionIndex(i32::MAX), ..PARTITION };
    let name = format!("{}-{}", "n".repeat(244), i32::MAX);
    let mut log = Log::create(partition, name.clone(), config(), &mut ops);
    settle(&files, &mut log, ops);
    let gone = place.path().join(marked_name(&name, partition.topic, DELETED));
    assert_eq!(gone.file_name().map(std::ffi::OsStr::len), Some(FILE_NAME_BYTES_MAX));
    let mut ops = Vec::new();
    log.delete(&mut ops);
    settle(&files, &mut log, ops);
    assert!(!place.path().join(name).exists() && !gone.exists());
}

#[test]
fn a_deletion_that_was_cut_short_is_finished_at_the_next_start() {
    let place = tempfile::tempdir().expect("a directory");
    let half = place.path().join(marked_name(DIRECTORY, PARTITION.topic, DELETED));
    let foreign = ["photos-delete", "some-topic-0.abc-delete", "some-topic-x.AAAAAAAAAAAAAAAAAAAAAA-delete"];
    let foreign = foreign.map(|name| place.path().join(name));
    for path in foreign.iter().chain([&half]) {
        fs::create_dir_all(path).expect("made");
        fs::write(path.join("00000000000000000000.log"), "x").expect("written");
    }
    let files = Files::open(place.path()).expect("opened");
    assert!(!half.exists());
    for path in foreign {
        assert!(path.join("00000000000000000000.log").exists(), "{} is not ours", path.display());
    }
    assert_eq!(files.partitions().expect("listed"), []);
}

#[test]
fn a_second_process_is_kept_out_and_others_may_not_look() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("data");
    let (files, _log) = filled(&path);
    assert!(matches!(Files::open(&path), Err(FilesError::Locked { .. })));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(DIRECTORY)), 0o700);
    for entry in fs::read_dir(path.join(DIRECTORY)).expect("listed") {
        let path = entry.expect("listed").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(files);
    assert!(Files::open(&path).is_ok());
}

/// It may be deleted before it is tried again.
#[test]
fn nothing_is_left_of_a_partition_that_could_not_be_made() {
    let place = tempfile::tempdir().expect("a directory");
    let files = Files::open(place.path()).expect("opened");
    let directory = place.path().join(DIRECTORY);
    fs::create_dir(&directory).expect("made");
    // Links are not followed: as on a full disk, nothing can be written.
    symlink("/dev/full", temporary(&directory.join(PARTITION_METADATA))).expect("linked");
    let action = DiskAction::CreatePartition {
        log_dir: LogDir::default(),
        directory: DIRECTORY.to_owned(),
        topic: PARTITION.topic,
        base: offset(0),
    };
    let create = DiskOp { partition: PARTITION, id: crate::OpId(1), action };
    assert!(files.perform(&create).is_err());
    assert!(!directory.exists());
    // Nor for its first segment, once the rest is there.
    let segment = directory.join(FileKind::Log.file_name(offset(0)));
    fs::create_dir(&directory).expect("made");
    let in_the_way = || UnixListener::bind(&segment).expect("it is not there");
    in_the_way();
    assert!(files.perform(&create).is_err());
    assert!(!directory.exists());
    assert_eq!(files.perform(&create), Ok(Done::Nothing), "with room");
    assert!(directory.join(PARTITION_METADATA).exists());
    // What was there before stays, and so does what is not known.
    fs::remove_file(&segment).expect("removed");
    in_the_way();
    assert!(files.perform(&create).is_err());
    assert!(directory.join(PARTITION_METADATA).exists());
    fs::remove_file(directory.join(PARTITION_METADATA)).expect("removed");
    fs::write(directory.join("somebody's"), "own").expect("written");
    assert!(files.perform(&create).is_err());
    assert!(directory.join("somebody's").exists() && !directory.join(PARTITION_METADATA).exists());
}

#[test]
fn records_are_never_overwritten_by_a_new_partition_and_links_never_followed() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, _log) = filled(place.path());
    let create = |topic, directory: &str| {
        let partition = TopicPartition { topic, ..PARTITION };
        let action = DiskAction::CreatePartition {
            log_dir: LogDir::default(),
            directory: directory.to_owned(),
            topic,
            base: offset(0),
        };
        files.perform(&DiskOp { partition, id: crate::OpId(1), action })
    };
    assert!(matches!(create(PARTITION.topic, DIRECTORY), Err(DiskError::Io(_))), "it has records");
    assert!(matches!(create(TopicId::ZERO, DIRECTORY), Err(DiskError::Io(_))), "it is another's");
    assert!(matches!(create(TopicId::ZERO, "../out-0"), Err(DiskError::Io(_))), "it is outside");
    // Nobody knows whose it is any more, and retention took its first segment.
    let directory = place.path().join(DIRECTORY);
    fs::remove_file(directory.join(PARTITION_METADATA)).expect("removed");
    fs::remove_file(directory.join(FileKind::Log.file_name(offset(0)))).expect("removed");
    let names = || -> BTreeSet<_> {
        fs::read_dir(&directory).expect("listed").map(|it| it.expect("one").file_name()).collect()
    };
    let before = names();
    let created = create(PARTITION.topic, DIRECTORY);
    assert!(matches!(&created, Err(DiskError::Io(it)) if it.contains("it has records")), "{created:?}");
    assert_eq!(names(), before);
    assert_eq!(create(TopicId::ZERO, "new-0"), Ok(Done::Nothing));
    assert_eq!(create(TopicId::ZERO, "new-0"), Ok(Done::Nothing), "again, after a crash");
    let outside = tempfile::tempdir().expect("a directory");
    symlink(outside.path(), place.path().join("linked-0")).expect("linked");
    assert!(matches!(create(TopicId::ZERO, "linked-0"), Err(DiskError::Io(_))), "it leads outside");
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);

    let target = place.path().join("elsewhere");
    fs::write(&target, "precious").expect("written");
    symlink(&target, place.path().join("new-0").join(FileKind::Log.file_name(offset(9)))).expect("linked");
    let segment =
        SegmentId { partition: TopicPartition { topic: TopicId::ZERO, ..PARTITION }, base: offset(9) };
    let made = files.perform(&DiskOp {
        partition: segment.partition,
        id: crate::OpId(2),
        action: DiskAction::CreateSegment { segment },
    });
    assert!(matches!(made, Err(DiskError::Io(_))), "{made:?}");
    assert_eq!(fs::read(&target).expect("read"), b"precious");
}

#[test]
fn a_directory_that_cannot_be_read_is_left_alone_and_the_others_are_found() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, _log) = filled(place.path());
    let [unreadable, begun] = ["other-3", "begun-0"].map(|name| place.path().join(name));
    for directory in [&unreadable, &begun] {
        fs::create_dir(directory).expect("made");
        fs::write(directory.join(FileKind::Log.file_name(offset(0))), "").expect("written");
    }
    fs::write(unreadable.join(FileKind::Log.file_name(offset(7))), "records").expect("written");
    symlink(place.path().join(DIRECTORY).join(PARTITION_METADATA), unreadable.join(PARTITION_METADATA))
        .expect("linked");
    // A crash while it was made leaves a directory of nobody: nothing is in it.
    let found = files.partitions().expect("listed").into_iter().map(|it| (it.directory, it.partition));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [("other-3".to_owned(), None), (DIRECTORY.to_owned(), Some(PARTITION))]
    );
}

#[test]
fn ids_are_read_as_they_are_printed() {
    for number in [0, 1, 7, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
        let id = TopicId(uuid::Uuid::from_u128(number));
        assert_eq!(topic_id_from(&id.to_string()), Some(id));
    }
    for odd in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(topic_id_from(odd), None, "{odd:?}");
    }
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let told = |errno: rustix::io::Errno| failed("write", "it")(errno.into());
    assert_eq!(told(rustix::io::Errno::NOSPC), DiskError::Full);
    assert_eq!(told(rustix::io::Errno::DQUOT), DiskError::Full);
    // Nor does a log fail because the process has no file descriptor left.
    assert_eq!(told(rustix::io::Errno::MFILE), DiskError::Full);
    assert!(matches!(told(rustix::io::Errno::IO), DiskError::Io(_)));
}

/// Delayed allocation, quotas and thin volumes find the disk full only when it is synced, after a write that succeeded; a cut and a directory are synced too.
#[test]
fn a_sync_that_finds_the_disk_full_is_no_full_disk() {
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::NOMEM] {
        let told = failed("sync", "it")(unsynced(errno.into()));
        assert!(matches!(&told, DiskError::Unsynced(it) if it.contains("not brought to disk")), "{told}");
    }
}

/// A directory of processes is none that can be synced: what a disk that fails says of a partition's directory, this says of that one.
#[test]
fn a_sync_of_a_directory_that_fails_takes_the_data_directory_offline() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, log) = filled(place.path());
    let segment = log.id_of(log.active().base);
    write_lock(&files.partitions).insert(PARTITION, Directory::new(LogDir::default(), "/proc/self".into()));
    let perform = |action| files.perform(&DiskOp { partition: PARTITION, id: crate::OpId(1), action });
    assert!(!files.data_dirs()[0].is_lost());
    let synced = perform(DiskAction::Sync { segment });
    assert!(matches!(synced, Err(DiskError::Unsynced(_))), "{synced:?}");
    assert!(files.data_dirs()[0].take_loss());
    let after = perform(DiskAction::Sync { segment });
    assert!(matches!(after, Err(DiskError::NotTried(_))), "nothing is tried any more: {after:?}");
}

#[test]
fn a_log_of_many_segments_holds_few_files_open_and_a_new_partition_none() {
    let place = tempfile::tempdir().expect("a directory");
    let (mut files, log) = filled(place.path());
    files.open = OpenFiles::new(2);
    assert!(4 < log.segments.len());
    contents(&files, &log);
    assert_eq!(files.open_count(), 2);
    let mut ops = Vec::new();
    let other = TopicPartition { topic: TopicId::ZERO, ..PARTITION };
    let mut log = Log::create(other, "new-0".to_owned(), config(), &mut ops);
    files.open.forget_partition(PARTITION);
    settle(&files, &mut log, ops);
    assert_eq!(files.open_count(), 0);
}

#[test]
fn who_was_told_to_read_a_segment_may_until_its_files_are_removed() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, mut log) = filled(place.path());
    log.note_high_watermark(log.end());
    let plan = log.read(offset(0), Offset::MAX, 1).expect("in range").expect("written");
    let held = files.segment_file(plan.segment).expect("there");
    let mut first = [0; 16];
    let mut ops = Vec::new();
    log.advance_log_start(log.end(), &mut ops);
    settle(&files, &mut log, ops);
    let name =
        |retired: &str| place.path().join(DIRECTORY).join(FileKind::Log.file_name(offset(0)) + retired);
    assert!(!name("").exists() && name(".deleted").exists());
    assert_eq!(files.read_at(plan.segment, FileKind::Log, 0, &mut first).expect("readable still"), 16);
    let mut ops = Vec::new();
    log.periodic(log.next_removal().expect("it will be removed"), &mut ops);
    settle(&files, &mut log, ops);
    assert!(!name(".deleted").exists() && log.next_removal().is_none());
    assert!(files.segment_file(plan.segment).is_err());
    assert_eq!(read_fully(&held, 0, &mut first).expect("it is open"), 16);
    drop(files);
    let (_, log, report) = reopen(place.path());
    assert_eq!((report.log_start, log.end(), report.segment_count), (offset(60), offset(60), 1));
    let segments = fs::read_dir(place.path().join(DIRECTORY)).expect("listed").filter(|entry| {
        let name = entry.as_ref().expect("listed").file_name().into_string().expect("a name of ours");
        name.contains(".log")
    });
    assert_eq!(segments.count(), 1);
}

#[test]
fn a_compacted_log_is_swapped_in_and_found_again_and_old_plans_are_refused() {
    use klamm_model::{BatchBuilder, ProduceLimits, Seal, validate_produce};
    let compaction = Compaction { dirty_millionths_min: 0, ..Compaction::default() };
    let config = LogConfig { compaction: Some(compaction), ..config() };
    let place = tempfile::tempdir().expect("a directory");
    let files = Files::open(place.path()).expect("opened");
    let mut ops = Vec::new();
    let mut log = Log::create(PARTITION, DIRECTORY.to_owned(), config, &mut ops);
    settle(&files, &mut log, ops);
    for mark in 0..60_u8 {
        let mut builder = BatchBuilder::default();
        builder.append(Timestamp(1000), Some(&[mark % 3]), Some(&[mark]), &[]);
        let bytes = builder.finish(&Seal::default());
        let valid = validate_produce(&bytes, &ProduceLimits::default()).expect("good");
        let mut ops = Vec::new();
        log.append_as_leader(LeaderEpoch(3), &valid, bytes, &mut ops).expect("appended");
        settle(&files, &mut log, ops);
    }
    log.note_high_watermark(log.end());
    let old = log.read(offset(0), log.written(), 1 << 20).expect("in range").expect("there");
    let held = files.segment_file(old.segment).expect("open");
    let size_before = log.size_bytes();
    let mut ops = Vec::new();
    log.compact(Timestamp(2000), &mut ops);
    settle(&files, &mut log, ops);
    assert!(matches!(log.last_pass(), Some(Ok(_))), "{:?}", log.last_pass());
    assert!(log.size_bytes() < size_before / 2);

    let refused = files.segment_file(old.segment).expect_err("it was compacted");
    assert_eq!(refused.kind(), REPLACED);
    let mut byte = [0; 61];
    assert_eq!(read_fully(&held, 0, &mut byte).expect("read"), 61, "who has it open goes on");
    let found = contents(&files, &log);
    let names: Vec<_> = fs::read_dir(place.path().join(DIRECTORY))
        .expect("listed")
        .map(|it| it.expect("one").file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().ends_with("ed") && !name.to_string_lossy().ends_with("swap"))
    );
    let (size, clean_to) = (log.size_bytes(), log.clean_to());
    drop((files, log));
    let (files, log, report) = reopen(place.path());
    assert_eq!((log.size_bytes(), log.clean_to(), report.rebuilt.as_slice()), (size, clean_to, &[][..]));
    assert_eq!(contents(&files, &log), found);
}

/// Nobody is to look at what went wrong: nothing did.
#[test]
fn what_is_done_aside_is_called_off_when_the_process_stops() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, mut log) = filled(place.path());
    log.set_config(LogConfig {
        compaction: Some(Compaction { dirty_millionths_min: 0, ..Compaction::default() }),
        ..config()
    });
    log.note_high_watermark(log.end());
    files.stop_background_work();
    let mut ops = Vec::new();
    log.compact(Timestamp(2000), &mut ops);
    log.begin_scrub();
    log.scrub_on(1 << 20, &mut ops);
    let ended: Vec<_> = ops.iter().map(|op| files.perform(op)).collect();
    assert!(matches!(ended[..], [Err(DiskError::CalledOff), Err(DiskError::CalledOff)]), "{ended:?}");
    log.done(ops[0].id, Err(DiskError::CalledOff), &mut ops);
    assert!(matches!(log.last_pass(), Some(Err(DiskError::CalledOff))), "{:?}", log.last_pass());
}

/// A crash came when the new segment counted already: the start goes on with the swap.
#[test]
fn a_start_finishes_a_swap() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, log) = filled(place.path());
    let before = contents(&files, &log);
    let directory = place.path().join(DIRECTORY);
    let bases: Vec<Offset> = log.segments.iter().map(|segment| segment.base).collect();
    let path = |base: Offset, ending: &str| directory.join(FileKind::Log.file_name(base) + ending);
    // The first two segments as one, which is what compaction makes of them where nothing goes.
    let joined = [bases[0], bases[1]].map(|base| fs::read(path(base, "")).expect("read")).concat();
    fs::write(path(bases[0], ".swap"), joined).expect("written");
    drop((files, log));
    let (files, log, report) = reopen(place.path());
    assert_eq!(contents(&files, &log), before);
    assert_eq!(log.segments.len(), bases.len() - 1);
    let rebuilt = [FileKind::Index, FileKind::Aborted].map(|kind| kind.file_name(bases[0]));
    assert_eq!(report.rebuilt, rebuilt);
    assert!(!path(bases[1], "").exists() && !path(bases[0], ".swap").exists());
}

#[test]
fn a_clean_stop_is_told_to_the_next_process_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let marker =
        CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(3), incarnation: uuid::Uuid::from_u128(4) };
    let open = || Files::open(place.path()).expect("opened");
    assert_eq!(open().data_dirs()[0].clean_shutdown(), None, "nobody was here");
    let files = open();
    files.data_dirs()[0].begin().expect("nothing to remove");
    assert!(files.data_dirs()[0].leave(marker).expect("written"));
    drop(files);
    assert_eq!(open().data_dirs()[0].clean_shutdown(), Some(marker), "looking at it does not take it away");
    let files = open();
    files.data_dirs()[0].begin().expect("removed");
    drop(files);
    assert_eq!(open().data_dirs()[0].clean_shutdown(), None, "the last one crashed");
}

#[test]
fn whoever_had_a_failure_leaves_no_marker() {
    let place = tempfile::tempdir().expect("a directory");
    let (files, log) = filled(place.path());
    fs::remove_dir_all(place.path().join(DIRECTORY)).expect("removed");
    let action = DiskAction::WriteCheckpoint { name: crate::DURABLE_POINT, contents: bytes::Bytes::new() };
    let result = files.perform(&DiskOp { partition: log.partition(), id: crate::OpId(1000), action });
    assert!(matches!(result, Err(DiskError::Io(_))), "{result:?}");
    let marker =
        CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(3), incarnation: uuid::Uuid::from_u128(4) };
    assert!(!files.data_dirs()[0].leave(marker).expect("nothing is written"));
    drop(files);
    assert_eq!(Files::open(place.path()).expect("opened").data_dirs()[0].clean_shutdown(), None);
}

#[test]
fn several_data_directories_serve_and_fail_alone() {
    let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let paths = [one.path().to_owned(), other.path().to_owned()];
    let files = Files::open_all(&paths).expect("opened");
    assert!(matches!(Files::open(other.path()), Err(FilesError::Locked { .. })), "each has its lock");
    let mut logs = Vec::new();
    for number in 0..2 {
        let partition = TopicPartition { partition: klamm_model::PartitionIndex(number), ..PARTITION };
        let mut ops = Vec::new();
        let name = format!("some-topic-{number}");
        let mut log = Log::create_in(LogDir(number as u16), partition, name.clone(), config(), &mut ops);
        settle(&files, &mut log, ops);
        append(&files, &mut log, 2, 0);
        assert!(paths[number as usize].join(name).join("00000000000000000000.log").exists());
        logs.push(log);
    }
    let found = files.partitions().expect("listed");
    assert_eq!(found.iter().map(|it| it.log_dir.0).collect::<Vec<_>>(), [0, 1]);

    files.data_dirs()[1].lose();
    assert!(files.data_dirs()[1].take_loss());
    assert!(!files.data_dirs()[1].take_loss(), "it is told once");
    append(&files, &mut logs[0], 2, 1);
    let mut ops = Vec::new();
    let (valid, bytes) = batch(1, 9, None);
    logs[1].append_as_leader(LeaderEpoch(3), &valid, bytes, &mut ops).expect("it does not know yet");
    assert!(matches!(files.perform(&ops[0]), Err(DiskError::NotTried(_))));
    let marker =
        CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(3), incarnation: uuid::Uuid::from_u128(4) };
    let left: Vec<_> = files.data_dirs().iter().map(|it| it.leave(marker).expect("written or not")).collect();
    assert_eq!(left, [true, false]);
}

#[test]
fn a_directory_that_cannot_be_read_keeps_no_other_from_being_found() {
    let place = tempfile::tempdir().expect("a directory");
    drop(filled(place.path()));
    fs::create_dir_all(place.path().join("other-0").join(super::moving::WHOLE)).expect("made");
    let found = Files::open(place.path()).expect("opened").partitions().expect("listed");
    let found: Vec<_> = found.iter().map(|it| (&*it.topic, it.partition)).collect();
    assert_eq!(found, [("other", None), ("some-topic", Some(PARTITION))]);
}

/// Moved aside, with nothing or with another broker's directory in its place: nothing is written there by name.
#[test]
fn a_directory_that_is_not_where_it_was_is_lost() {
    let marker =
        CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(3), incarnation: uuid::Uuid::from_u128(4) };
    for (has_another, is_written) in [(false, false), (false, true), (true, false), (true, true)] {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("data");
        let files = Files::open(&path).expect("opened");
        std::fs::rename(&path, place.path().join("aside")).expect("renamed");
        if has_another {
            std::fs::create_dir(&path).expect("made");
        }
        if is_written {
            let mut ops = Vec::new();
            Log::create(PARTITION, DIRECTORY.to_owned(), config(), &mut ops);
            let refused = files.perform(&ops[0]).expect_err("it is not there");
            assert!(matches!(refused, DiskError::NotTried(_)), "{refused}");
            assert!(files.data_dirs()[0].take_loss());
        }
        assert!(!files.data_dirs()[0].leave(marker).expect("nothing is written"));
        let there = std::fs::read_dir(&path).map(Iterator::count).ok();
        assert_eq!(there, has_another.then_some(0));
    }
}

#[test]
fn a_failed_write_tells_of_the_disk_only_where_the_disk_is_to_blame() {
    let place = tempfile::tempdir().expect("a directory");
    let files = Files::open(place.path()).expect("opened");
    let data_dir = &files.data_dirs()[0];
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::MFILE, rustix::io::Errno::NOENT] {
        data_dir.note(&errno.into());
        assert!(!data_dir.is_lost(), "{errno}");
    }
    data_dir.note(&rustix::io::Errno::IO.into());
    assert!(data_dir.is_lost());
    let space = data_dir.space().expect("a file system");
    assert!(0 < space.total_bytes && space.free_bytes <= space.total_bytes);
}
