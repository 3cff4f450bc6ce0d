//! Opening a log: torn tails, damage, missing files.

use super::damage::served;
use super::*;

/// A log of one segment with three batches that were written, and the ends of the batches.
fn three_batches(durable_to: usize) -> (MemoryDisk, Vec<(usize, i64)>) {
    let mut bench = Bench::new(LogConfig::default());
    let mut ends = vec![(0, 0)];
    for mark in 0..3 {
        bench.append(2, mark);
        bench.settle();
        ends.push((bench.disk.segment(offset(0)).len(), bench.log.end().raw()));
        if mark as usize + 1 == durable_to {
            bench.log.periodic(klamm_model::Tick(1_000_000), &mut bench.under_way);
            bench.settle();
        }
    }
    (bench.disk, ends)
}

pub(super) fn segment_mut(disk: &mut MemoryDisk, base: i64) -> &mut Vec<u8> {
    &mut disk.files.get_mut(&FileKind::Log.file_name(offset(base))).expect("there").data
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_batch() {
    let (disk, ends) = three_batches(0);
    let whole = disk.segment(offset(0)).to_vec();
    for (garbage, count) in [(0, 0), (0, 100), (0xff, 100), (0x5a, 3)] {
        for size in 0..=whole.len() {
            let mut torn = disk.clone();
            let bytes = segment_mut(&mut torn, 0);
            bytes.truncate(size);
            bytes.resize(size + count, garbage);
            // Garbage may happen to be what was there.
            let same = bytes.iter().zip(&whole).take_while(|(one, other)| one == other).count();
            let (kept, end) = *ends.iter().rfind(|(at, _)| *at <= same).expect("0 is one");
            let (mut bench, report) = Bench::open(torn, LogConfig::default())
                .unwrap_or_else(|error| panic!("cut at {size}: {error}"));
            assert_eq!(
                (bench.log.end().raw(), report.cut_bytes),
                (end, (size + count - kept) as u64),
                "cut at {size}"
            );
            bench.settle();
            assert_eq!(bench.disk.segment(offset(0)), &whole[..kept]);
            assert_eq!(bench.log.synced(), bench.log.end());
            bench.append(1, 9);
            bench.settle();
            assert_eq!(bench.log.end().raw(), end + 1);
        }
    }
}

/// Below the durable point it is left out; above, it is a torn tail.
#[test]
fn a_growing_segment_that_is_damaged_goes_on_behind_what_was_on_disk() {
    let (disk, ends) = three_batches(2);
    let durable_size = ends[2].0;
    for position in 0..ends[3].0 {
        let mut damaged = disk.clone();
        segment_mut(&mut damaged, 0)[position] ^= 0x10;
        let (mut bench, report) = Bench::open(damaged, LogConfig::default()).expect("opened");
        bench.settle();
        let within = position - ends.iter().rfind(|(at, _)| *at <= position).expect("0 is one").0;
        let (end, damaged) = (bench.log.end().raw(), report.damaged.len());
        match within {
            _ if durable_size <= position && !(12..16).contains(&within) => {
                assert_eq!((end, damaged), (4, 0), "byte {position}");
            }
            // A leader's epoch has no checksum: one that is too high makes what is after the durable point look like others' leftovers.
            12..16 => assert!(matches!((end, damaged), (6, _) | (4, 0)), "byte {position}"),
            _ => assert_eq!((end, report.cut_bytes, damaged), (6, 0, 1), "byte {position}"),
        }
    }
    let mut shorter = disk.clone();
    segment_mut(&mut shorter, 0).truncate(durable_size - 1);
    let (mut bench, report) = Bench::open(shorter, LogConfig::default()).expect("opened");
    bench.settle();
    assert_eq!((bench.log.end(), report.cut_bytes), (offset(4), 0), "no offset is given out twice");
    assert_eq!(report.damaged.len(), 1);
    bench.append(1, 9);
    bench.settle();
    assert_eq!(served(&bench), "0..2, 2..4 lost, 4..5");
    let mut gone = disk;
    gone.files.retain(|name, _| !name.ends_with(".log"));
    assert!(matches!(
        Bench::open(gone, LogConfig::default()),
        Err(RecoverError::DamagedBelowDurablePoint { .. })
    ));
}

/// With an epoch that a flipped bit made higher, it would be refused for ever.
#[test]
fn a_start_believes_no_damaged_batch_about_its_producer() {
    let mut bench = Bench::new(LogConfig::default());
    for number in 0..3 {
        bench.append_by(0, 2, number, (5, 0, number as i32 * 2)).expect("in order");
    }
    bench.settle();
    bench.log.periodic(klamm_model::Tick(1_000_000), &mut bench.under_way);
    bench.settle();
    let size = bench.disk.segment(offset(0)).len() / 3;
    for within in (0..size).filter(|within| !(12..16).contains(within)) {
        let mut disk = bench.disk.clone();
        segment_mut(&mut disk, 0)[size + within] ^= 0x10;
        let (mut again, report) = Bench::open(disk, LogConfig::default()).expect("opened");
        assert_eq!(report.damaged.len(), 1, "byte {within}");
        let states: Vec<_> = again.log.producer_states().map(|it| (it.id.0, it.epoch.0)).collect();
        assert_eq!(states, [(5, 0)], "byte {within}");
        again.append_by(0, 2, 9, (5, 0, 6)).unwrap_or_else(|error| panic!("byte {within}: {error}"));
    }
}

#[test]
fn a_torn_tail_is_not_cut_when_nobody_knows_what_was_durable() {
    let (mut disk, _) = three_batches(2);
    disk.files.get_mut(DURABLE_POINT).expect("saved").data[2] ^= 1;
    assert!(Bench::open(disk.clone(), LogConfig::default()).is_ok(), "all of it is good");
    segment_mut(&mut disk, 0).pop();
    let opened = Bench::open(disk, LogConfig::default()).map(|_| ());
    assert_eq!(opened, Err(RecoverError::DurablePointUnknown { valid_end: offset(4) }));
}

#[test]
fn a_good_batch_at_the_wrong_place_is_not_taken() {
    let (mut stale, ends) = three_batches(0);
    let bytes = segment_mut(&mut stale, 0);
    let first = bytes[..ends[1].0].to_vec();
    bytes.truncate(ends[2].0);
    bytes.extend_from_slice(&first);
    let (bench, report) = Bench::open(stale, LogConfig::default()).expect("opened");
    assert_eq!((bench.log.end().raw(), report.cut_bytes), (4, first.len() as u64));
}

#[test]
fn files_beside_the_records_are_made_again_and_are_the_same() {
    let mut bench = Bench::new(config());
    for sequence in 0..40 {
        bench
            .append_by(sequence / 7, 1, sequence as u64, (i64::from(sequence % 3), 0, sequence / 3))
            .expect("in order");
    }
    bench.settle();
    bench.log.note_high_watermark(bench.log.end());
    bench.log.periodic(klamm_model::Tick(5_000_000), &mut bench.under_way);
    bench.settle();
    let kinds = [".index", ".timeindex", ".growing", ".snapshot", "checkpoint"];
    assert!(kinds.iter().all(|kind| bench.disk.files.keys().any(|name| name.ends_with(kind))));
    let names: Vec<String> = bench
        .disk
        .files
        .keys()
        .filter(|name| !name.ends_with(".log") && *name != DURABLE_POINT)
        .cloned()
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in &names {
        let size = bench.disk.files[name].data.len();
        let damages: [&dyn Fn(&mut MemoryDisk); 4] = [
            &|disk| drop(disk.files.remove(name)),
            &|disk| disk.files.get_mut(name).expect("there").data.truncate(size / 2),
            &|disk| disk.files.get_mut(name).expect("there").data.clear(),
            &|disk| {
                let data = &mut disk.files.get_mut(name).expect("there").data;
                data.iter_mut().rev().nth(1).into_iter().for_each(|byte| *byte ^= 0x41);
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            let mut disk = bench.disk.clone();
            damage(&mut disk);
            let (mut again, _) =
                Bench::open(disk, config()).unwrap_or_else(|error| panic!("{name} {number}: {error}"));
            again.settle();
            assert_eq!(again.log.end(), bench.log.end(), "{name} {number}");
            assert_eq!(again.log.epochs, bench.log.epochs, "{name} {number}");
            assert_eq!(again.log.producers, bench.log.producers, "{name} {number}");
            assert_eq!(again.log.active().index, bench.log.active().index, "{name} {number}");
            for (one, other) in again.log.segments.iter().zip(&bench.log.segments) {
                assert_eq!((one.base, one.largest), (other.base, other.largest), "{name} {number}");
            }
            let end = bench.log.end();
            for time in (990..1420).step_by(7) {
                let find = |bench: &Bench| bench.find(&bench.log.lookup_time(Timestamp(time), end));
                assert_eq!(find(&again), find(&bench), "{name} {number}: {time}");
            }
            for at in 0..again.log.end().raw() {
                let plan = again.log.read(offset(at), Offset::MAX, 10).expect("in range").expect("written");
                again.resolve(&plan).unwrap_or_else(|error| panic!("{name} {number}: {error}"));
            }
        }
    }
}

/// However it comes that a closed segment is the last again: what is in memory of it is what its records make it.
#[test]
fn a_segment_that_grows_again_has_all_of_its_index() {
    type Reopen = fn(&mut Bench);
    let cases: [(&str, Reopen); 2] = [
        ("committed while the disk has no room for the next", |bench| {
            while bench.log.segments.len() == 1 {
                bench.settle();
                // As after a start with notes, or when it rests.
                bench.log.tail.clear();
                bench.append(1, 0);
            }
            while !matches!(bench.under_way[0].action, DiskAction::CreateSegment { .. }) {
                bench.end(0, Ok(()));
            }
            bench.log.note_high_watermark(bench.log.frontier());
            bench.end(0, Err(DiskError::Full));
        }),
        ("cut by a leader that lacks what was committed", |bench| {
            while bench.log.segments.len() < 3 {
                bench.append(1, 0);
                bench.settle();
                bench.log.note_high_watermark(bench.log.end());
            }
            let to = bench.log.active().base.before().expect("not the first");
            bench.log.truncate_to(to, &mut bench.under_way);
        }),
    ];
    for (name, reopen) in cases {
        let mut bench = Bench::new(config());
        reopen(&mut bench);
        bench.settle();
        let mut disk = bench.disk.clone();
        disk.files.retain(|name, _| name.ends_with(".log") || name == DURABLE_POINT);
        let (rebuilt, _) = Bench::open(disk, config()).expect("good files");
        let growing = bench.log.active();
        assert!(growing.index.as_ref().is_some_and(|index| 0 < index.len()), "{name}");
        assert_eq!(
            (growing.base, &growing.index),
            (rebuilt.log.active().base, &rebuilt.log.active().index),
            "{name}"
        );
    }
}

#[test]
fn a_directory_without_a_segment_is_made_again() {
    let (mut bench, report) = Bench::open(MemoryDisk::default(), LogConfig::default()).expect("opened");
    assert_eq!((report.log_start, report.end), (offset(0), offset(0)));
    assert!(matches!(bench.under_way[0].action, DiskAction::CreatePartition { .. }));
    bench.append(1, 0);
    bench.settle();
    assert_eq!(bench.log.synced(), offset(1));
}

#[test]
fn recovering_twice_gives_what_recovering_once_did() {
    let (mut disk, ends) = three_batches(1);
    segment_mut(&mut disk, 0).truncate(ends[3].0 - 1);
    let (mut once, _) = Bench::open(disk.clone(), LogConfig::default()).expect("opened");
    once.settle();
    // A crash before any of its operations, and one after.
    for disk in [disk, once.disk.clone()] {
        let (mut twice, _) = Bench::open(disk, LogConfig::default()).expect("opened");
        twice.settle();
        assert_eq!(twice.disk.files, once.disk.files);
        assert_eq!(twice.log.end(), once.log.end());
    }
}

/// A roll brings to disk what is before the new segment.
#[test]
fn damage_before_the_last_segment_is_no_torn_tail_though_the_durable_point_is_gone() {
    let mut bench = Bench::new(config());
    for mark in 0..40 {
        bench.append(1, mark);
        bench.settle();
    }
    let middle = bench.log.segments[1].base;
    assert!(middle < bench.log.active().base);
    let mut disk = bench.disk.clone();
    disk.files.remove(DURABLE_POINT).expect("it was saved");
    let (whole, report) = Bench::open(disk.clone(), config()).expect("good files");
    assert_eq!((whole.log.end(), report.cut_bytes), (bench.log.end(), 0));
    segment_mut(&mut disk, middle.raw()).truncate(100);
    let (opened, report) = Bench::open(disk, config()).expect("the rest is served");
    assert_eq!((opened.log.end(), report.cut_bytes, report.damaged.len()), (bench.log.end(), 0, 1));
}

#[test]
fn a_cut_into_what_a_start_did_not_read_goes_back_to_a_place_that_is_known() {
    let mut bench = Bench::new(config());
    for mark in 0..40 {
        bench.append_by(0, 1, mark, (1, 0, mark as i32)).expect("in order");
    }
    bench.settle();
    let (base, whole) = (bench.log.active().base, bench.disk.clone());
    for to in 0..base.raw() {
        let (mut again, _) = Bench::open(whole.clone(), config()).expect("good files");
        again.settle();
        again.log.truncate_to(offset(to), &mut again.under_way);
        let end = again.log.end();
        assert!(end <= offset(to), "cut to {to} left {end}");
        again.settle();
        let (reopened, report) = Bench::open(again.disk.clone(), config()).expect("good files");
        assert_eq!((reopened.log.end(), report.cut_bytes), (end, 0), "cut to {to}");
        assert_eq!(again.log.size_bytes(), reopened.log.size_bytes());
        let appended = again.append(1, 99);
        again.settle();
        assert_eq!((appended.base, again.log.synced()), (end, again.log.end()));
    }
}

/// Records above the high watermark may lie in several segments, and another leader's log may end among them: no committed record may go with them.
#[test]
fn a_cut_above_what_was_committed_is_exact_after_a_restart() {
    let config = LogConfig { segment_bytes: 250, ..LogConfig::default() };
    for snapshot_is_lost in [false, true] {
        let mut bench = Bench::new(config);
        for mark in 0..15 {
            let sequence = mark as i32;
            bench.append_by(0, 1, mark, (7, 0, sequence)).expect("in order");
            bench.settle();
            if mark == 6 {
                bench.log.note_high_watermark(offset(6));
                bench.log.periodic(klamm_model::Tick(5_000_000), &mut bench.under_way);
                bench.settle();
            }
        }
        let mut disk = bench.disk.clone();
        if snapshot_is_lost {
            disk.files.retain(|name, _| !name.ends_with("snapshot"));
        }
        for end in 6..15 {
            let (mut bench, _) = Bench::open(disk.clone(), config).expect("good files");
            bench.settle();
            bench.log.truncate_to(offset(end), &mut bench.under_way);
            bench.settle();
            assert_eq!(bench.log.end(), offset(end), "snapshot lost: {snapshot_is_lost}");
            let next = end as i32;
            bench.append_by(1, 1, 99, (7, 0, next)).expect("the producer goes on where its records end");
        }
    }
}

/// One segment of so many batches, noted now and then, by a log that was at rest at the end or not.
fn growing(batch_count: u64, at_rest: bool) -> Bench {
    let config = LogConfig { segment_bytes: 1 << 20, notes_interval_bytes: 2000, ..config() };
    let mut bench = Bench::new(config);
    for mark in 0..batch_count {
        bench.append_by(mark as i32 / 50, 1, mark, (mark as i64 % 3, 0, mark as i32 / 3)).expect("in order");
        bench.settle();
        bench.log.note_high_watermark(bench.log.end());
        bench.log.periodic(klamm_model::Tick(mark * 400_000), &mut bench.under_way);
        bench.settle();
    }
    if at_rest {
        bench.log.come_to_rest(&mut bench.under_way);
        bench.settle();
        assert!(!bench.log.wants_periodic());
    }
    bench
}

#[test]
fn a_start_reads_of_the_growing_segment_what_is_not_noted() {
    for (batch_count, at_rest) in
        [(40, true), (41, true), (400, true), (400, false), (2000, false), (2000, true)]
    {
        let bench = growing(batch_count, at_rest);
        let (mut again, report) = Bench::open(bench.disk.clone(), *bench.log.config()).expect("good files");
        assert!(report.scanned_count <= 8, "{} of {batch_count} batches read", report.scanned_count);
        let mut all = bench.disk.clone();
        all.files.retain(|name, _| name.ends_with(".log") || name == DURABLE_POINT);
        let (rebuilt, report) = Bench::open(all, *bench.log.config()).expect("good files");
        assert_eq!(report.scanned_count, batch_count, "without notes all of it is read");
        for log in [&bench.log, &rebuilt.log] {
            assert_eq!(again.log.end(), log.end());
            assert_eq!((&again.log.epochs, &again.log.producers), (&log.epochs, &log.producers));
            let (one, other) = (again.log.active(), log.active());
            assert_eq!((one.size, one.largest, &one.index), (other.size, other.largest, &other.index));
            assert_eq!(one.first_timestamp, other.first_timestamp);
        }
        again.settle();
        let snapshots = again.disk.files.keys().filter(|name| name.ends_with(".snapshot")).count();
        assert_eq!(snapshots, 1, "only the one that the notes name");
    }
}

/// Records as large as those that were cut may take their place, so that all offsets and positions fit.
#[test]
fn notes_on_records_that_were_cut_are_not_taken_for_notes_on_those_that_came_then() {
    let mut bench = growing(100, true);
    let through = bench.log.notes.expect("taken").through;
    bench.log.truncate_to(offset(through.raw() - 4), &mut bench.under_way);
    for mark in 0..6 {
        let id = 50 + mark as i64;
        bench.append_by(7, 1, 96 + mark, (id, 0, 0)).expect("new producers");
        bench.settle();
    }
    assert!(through <= bench.log.end());
    let (again, _) = Bench::open(bench.disk.clone(), *bench.log.config()).expect("good files");
    assert_eq!(again.log.end(), bench.log.end());
    assert_eq!((&again.log.epochs, &again.log.producers), (&bench.log.epochs, &bench.log.producers));
}
