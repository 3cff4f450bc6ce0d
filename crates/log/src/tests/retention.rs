//! What is deleted, when, and in which order.

use expect_test::expect;
use klamm_model::Tick;

use super::scripts::check;
use super::*;

/// Each batch of 20 records has 271 bytes, so each segment has two, with timestamps up to 1019 + 10 × the line of the append.
fn keeping(age_ms_max: Option<u64>, bytes_max: Option<u64>) -> LogConfig {
    LogConfig { retention: Retention { age_ms_max, bytes_max }, file_delete_delay_ms: 60_000, ..config() }
}

/// Six batches in three segments: at 0, 40 and 80; everything synced, committed, noted.
fn three_segments(config: LogConfig) -> Bench {
    let mut bench = Bench::new(config);
    for mark in 0..6 {
        bench.append(20, mark);
        bench.settle();
    }
    bench.log.note_high_watermark(bench.log.end());
    bench.log.periodic(Tick::default().after_ms(5000), &mut bench.under_way);
    bench.settle();
    bench
}

fn bases(bench: &Bench) -> Vec<i64> {
    bench.log.segments.iter().map(|segment| segment.base.raw()).collect()
}

fn names(bench: &Bench, ending: &str) -> Vec<String> {
    bench.disk.files.keys().filter(|name| name.ends_with(ending)).cloned().collect()
}

/// All records are deleted, and of the segment that is to come there is no file yet: of the producers there is still the snapshot.
#[test]
fn producers_are_known_to_a_start_that_finds_no_segment() {
    let mut bench = Bench::new(keeping(None, Some(0)));
    for mark in 0..2 {
        bench.append_by(0, 2, mark, (5, 0, mark as i32 * 2)).expect("in order");
        bench.settle();
    }
    bench.log.note_high_watermark(bench.log.end());
    bench.log.enforce_retention(Timestamp(0), &mut bench.under_way);
    bench.settle();
    bench.disk.files.retain(|name, _| !name.ends_with(".log"));
    let (mut again, report) = Bench::open(bench.disk, config()).expect("opened");
    assert_eq!((report.log_start, report.end), (offset(4), offset(4)));
    let refused = again.append_by(0, 2, 9, (5, 0, 7)).map(|_| ());
    assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { .. })), "{refused:?}");
    again.append_by(0, 2, 9, (5, 0, 4)).expect("in order");
}

#[test]
fn the_log_start_is_on_disk_before_files_are_renamed_and_they_go_a_minute_later() {
    check(
        keeping(Some(1000), None),
        "
        append 20
        ok make topic-0
        append 20
        append 20
        ok write 0
        ok write 20
        ok epochs 0@0
        ok sync 0
        ok seal 0
        ok begin 40
        ok write 40
        ok durable 40
        ok sync 40
        retention 5000
        hw 40
        retention 2039
        retention 2050
        ok durable 60 from 40
        ok epochs 0@40
        ok retire 0
        tick 59999
        tick 60000
        ok remove 0
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            append 20      0/0/40     20..40 -> write 20
            append 20      0/0/60     40..60
            ok write 0     0/20/60    written 20
            ok write 20    0/40/60    written 40
            ok epochs 0@0  0/40/60    -> sync 0
            ok sync 0      40/40/60   synced 40 -> seal 0
            ok seal 0      40/40/60   -> begin 40
            ok begin 40    40/40/60   -> write 40, durable 40
            ok write 40    40/60/60   written 60 -> sync 40
            ok durable 40  40/60/60   
            ok sync 40     60/60/60   synced 60
            retention 5000 60/60/60   
            hw 40          60/60/60   
            retention 2039 60/60/60   
            retention 2050 60/60/60   -> durable 60 from 40
            ok durable 60 from 40 60/60/60   -> epochs 0@40
            ok epochs 0@40 60/60/60   -> retire 0
            ok retire 0    60/60/60   
            tick 59999     60/60/60   
            tick 60000     60/60/60   -> remove 0
            ok remove 0    60/60/60   
        "#]],
    );
}

#[test]
fn a_log_of_which_everything_has_expired_closes_its_last_segment_first() {
    check(
        keeping(Some(1000), None),
        "
        append 20
        ok make topic-0
        ok write 0
        ok epochs 0@0
        ok sync 0
        hw 20
        retention 3000
        append 1
        ok seal 0
        ok begin 20
        ok durable 20 from 20
        ok epochs 0@20
        ok retire 0
        ok write 20
        retention 9000
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            ok write 0     0/20/20    written 20 -> sync 0
            ok epochs 0@0  0/20/20    
            ok sync 0      20/20/20   synced 20
            hw 20          20/20/20   
            retention 3000 20/20/20   -> seal 0
            append 1       20/20/21   20..21
            ok seal 0      20/20/21   -> begin 20
            ok begin 20    20/20/21   -> write 20, durable 20 from 20
            ok durable 20 from 20 20/20/21   -> epochs 0@20
            ok epochs 0@20 20/20/21   -> retire 0
            ok retire 0    20/20/21   
            ok write 20    20/21/21   written 21 -> sync 20
            retention 9000 20/21/21   
        "#]],
    );
}

#[test]
fn nothing_above_the_high_watermark_goes_and_no_more_than_the_limits_say() {
    /// `retention.ms`, `retention.bytes`, the clock, the high watermark, and the segments that are left.
    type Case = (Option<u64>, Option<u64>, i64, i64, &'static [i64]);
    let cases: [Case; 12] = [
        (None, None, i64::MAX, 120, &[0, 40, 80]),
        (Some(100), None, 1129, 120, &[0, 40, 80]),
        (Some(100), None, 1130, 120, &[40, 80]),
        (Some(100), None, 1150, 120, &[80]),
        (Some(100), None, 1150, 79, &[40, 80]),
        (Some(100), None, 1170, 119, &[80]),
        (Some(100), None, 1170, 120, &[120]),
        (Some(100), None, -5, 120, &[0, 40, 80]),
        (None, Some(1085), 0, 120, &[0, 40, 80]),
        (None, Some(1084), 0, 120, &[40, 80]),
        (None, Some(0), 0, 120, &[120]),
        (Some(100), Some(542), 1130, 120, &[80]),
    ];
    for (age, bytes, wall, high_watermark, left) in cases {
        let mut bench = three_segments(keeping(age, bytes));
        bench.log.high_watermark = offset(high_watermark);
        bench.log.enforce_retention(Timestamp(wall), &mut bench.under_way);
        bench.settle();
        assert_eq!(bases(&bench), left, "{age:?} {bytes:?} at {wall}, committed to {high_watermark}");
        assert_eq!(bench.log.log_start().raw(), left[0]);
    }
}

#[test]
fn records_of_the_far_future_are_deleted_by_size_and_those_without_a_time_by_when_they_were_seen() {
    let mut bench = three_segments(keeping(Some(100), Some(600)));
    bench.log.segments[0].largest.timestamp = Timestamp(i64::MAX);
    bench.log.segments[1].largest.timestamp = Timestamp(-1);
    bench.log.enforce_retention(Timestamp(1_000_000), &mut bench.under_way);
    assert_eq!(bases(&bench), [40, 80]);
    bench.log.enforce_retention(Timestamp(1_000_100), &mut bench.under_way);
    assert_eq!(bases(&bench), [40, 80]);
    bench.log.enforce_retention(Timestamp(1_000_101), &mut bench.under_way);
    bench.settle();
    assert_eq!(bases(&bench), [120]);
}

#[test]
fn deleted_records_stay_deleted_over_restarts_and_whole_segments_below_them_go() {
    for (to, left) in [(0, 0), (1, 0), (39, 0), (40, 40), (95, 80), (120, 80)] {
        let mut bench = three_segments(keeping(None, None));
        let before = bench.log.log_start();
        bench.log.advance_log_start(offset(to), &mut bench.under_way);
        bench.log.advance_log_start(before, &mut bench.under_way);
        bench.settle();
        for damage in ["none", "flipped", "gone", "none"] {
            assert_eq!((bench.log.log_start(), bases(&bench)[0]), (offset(to), left));
            let read = |from| bench.log.read(offset(from), Offset::MAX, 10);
            assert!(to == 0 || matches!(read(to - 1), Err(ReadError::OutOfRange { .. })));
            assert!(to == 120 || read(to).is_ok_and(|plan| plan.is_some()));
            assert_eq!(bench.log.epochs.entries()[0].start, offset(to));
            match damage {
                "flipped" => bench.disk.files.get_mut(DURABLE_POINT).expect("saved").data[2] ^= 1,
                "gone" => drop(bench.disk.files.remove(DURABLE_POINT).expect("saved")),
                _ => {}
            }
            let report;
            (bench, report) = Bench::open(bench.disk, keeping(None, None)).expect("good files");
            assert!(report.durable_point.is_some() || damage != "none");
            bench.log.periodic(Tick::default().after_ms(5000), &mut bench.under_way);
            bench.settle();
        }
        assert_eq!(names(&bench, ".deleted"), [""; 0], "a start removes what an earlier one left");
    }
}

/// Power fails while the names are not on disk yet: any of them may be the old one again, with holes between.
#[test]
fn segments_that_come_back_with_the_power_are_not_part_of_the_log() {
    for mask in 0..8_u32 {
        let mut bench = three_segments(keeping(None, None));
        bench.append(20, 9);
        bench.settle();
        bench.log.note_high_watermark(bench.log.end());
        bench.log.advance_log_start(offset(125), &mut bench.under_way);
        bench.settle();
        assert_eq!(bases(&bench), [120]);
        for (at, base) in [0, 40, 80].into_iter().enumerate() {
            for kind in FileKind::ALL.into_iter().filter(|_| mask & 1 << at != 0) {
                if let Some(file) = bench.disk.files.remove(&kind.retired_file_name(offset(base))) {
                    bench.disk.files.insert(kind.file_name(offset(base)), file);
                }
            }
        }
        let (mut bench, report) = Bench::open(bench.disk, keeping(None, None)).expect("good files");
        bench.settle();
        assert_eq!((report.log_start, bases(&bench)), (offset(125), vec![120]), "{mask:03b} came back");
        bench.log.periodic(Tick::default().after_ms(60_000), &mut bench.under_way);
        bench.settle();
        assert_eq!(names(&bench, ".log").len() + names(&bench, ".deleted").len(), 1);
    }
}

/// A leader that lacks what was deleted here makes this log shorter than its own start: whatever is appended then is not deleted.
#[test]
fn a_cut_below_the_log_start_lowers_it_on_disk_before_the_cut() {
    let mut bench = three_segments(keeping(None, None));
    bench.log.advance_log_start(offset(105), &mut bench.under_way);
    bench.settle();
    bench.log.truncate_to(offset(105), &mut bench.under_way);
    assert_eq!(
        (bench.log.log_start(), bench.log.end()),
        (offset(100), offset(100)),
        "half a batch cannot stay"
    );
    bench.append(20, 30);
    bench.settle();
    let (again, _) = Bench::open(bench.disk, keeping(None, None)).expect("good files");
    assert_eq!((again.log.log_start(), again.log.end()), (offset(100), offset(120)));
}

/// Where batches lie in a segment that a start did not read is not known one by one: a cut may have to give up all of them, and the log starts in
/// the middle of the segment.
#[test]
fn a_log_cut_to_its_start_within_a_segment_goes_on_in_one_of_that_name() {
    let one_segment = LogConfig { index_interval_bytes: 4096, ..LogConfig::default() };
    let mut bench = Bench::new(one_segment);
    for mark in 0..30 {
        bench.append_by(mark as i32 / 10, 2, mark, (5, 0, mark as i32 * 2)).expect("in order");
    }
    bench.settle();
    bench.log.note_high_watermark(offset(60));
    bench.log.advance_log_start(offset(21), &mut bench.under_way);
    bench.settle();
    bench.log.come_to_rest(&mut bench.under_way);
    bench.settle();
    for to in [21, 30, 59] {
        let (mut again, _) = Bench::open(bench.disk.clone(), one_segment).expect("good files");
        again.settle();
        again.log.tail.clear();
        again.log.truncate_to(offset(to), &mut again.under_way);
        assert_eq!((again.log.log_start(), again.log.end()), (offset(21), offset(21)));
        again.append(3, 40);
        again.settle();
        let (reopened, report) = Bench::open(again.disk, one_segment).expect("good files");
        assert_eq!((reopened.log.log_start(), reopened.log.end()), (offset(21), offset(24)), "cut to {to}");
        assert_eq!((report.cut_bytes, report.segment_count), (0, 1));
    }
}

#[test]
fn offsets_that_were_deleted_before_they_were_on_disk_are_not_given_out_again() {
    let relaxed = LogConfig { flush: Flush::LAZY, ..keeping(None, None) };
    let mut bench = Bench::new(relaxed);
    for mark in 0..2 {
        bench.append(10, mark);
        bench.settle();
    }
    bench.log.note_high_watermark(offset(20));
    bench.log.advance_log_start(offset(15), &mut bench.under_way);
    bench.settle();
    bench.disk.files.values_mut().filter(|file| file.data.len() > 200).for_each(|file| file.data.clear());
    let (mut bench, _) = Bench::open(bench.disk, relaxed).expect("good files");
    assert_eq!((bench.log.log_start(), bench.log.end()), (offset(15), offset(15)));
    bench.append(1, 3);
    bench.settle();
    let (again, _) = Bench::open(bench.disk, relaxed).expect("good files");
    assert_eq!((again.log.log_start(), again.log.end()), (offset(15), offset(16)));
}

#[test]
fn the_file_of_earlier_versions_is_read() {
    let mut bench = three_segments(keeping(None, None));
    let text = "0\n120\n120\n";
    let checksum = klamm_model::crc32c(text.as_bytes());
    bench.disk.files.get_mut(DURABLE_POINT).expect("saved").data =
        format!("{text}{checksum:08x}\n").into_bytes();
    let (_, report) = Bench::open(bench.disk, keeping(None, None)).expect("good files");
    assert_eq!((report.durable_point, report.log_start), (Some(offset(120)), offset(0)));
}

#[test]
fn segments_end_by_the_time_of_their_records() {
    // Batch `mark` has timestamps 1000 + 10 × mark, and one more for each record; the first batch's highest counts.
    let bases_with = |segment_ms, segment_jitter_ms| {
        let mut bench =
            Bench::new(LogConfig { segment_ms, segment_jitter_ms, segment_bytes: 1 << 20, ..config() });
        (0..20).for_each(|mark| _ = bench.append(1, mark));
        bases(&bench)
    };
    assert_eq!(bases_with(1000, 0), [0]);
    assert_eq!(bases_with(100, 0), [0, 11]);
    assert_eq!(bases_with(99, 0), [0, 10]);
    let jittered = bases_with(100, 80);
    assert!(
        2 < jittered.len() && jittered.is_sorted_by(|one, next| (2..=11).contains(&(next - one))),
        "{jittered:?}"
    );
    assert_eq!(bases_with(100, 80), jittered, "the same each time");
}

#[test]
fn segments_end_when_their_index_is_full() {
    let full_at = |segment_index_bytes| {
        let mut bench = Bench::new(LogConfig {
            segment_index_bytes,
            segment_bytes: 1 << 20,
            index_interval_bytes: 0,
            ..config()
        });
        (0..12).for_each(|mark| _ = bench.append(1, mark));
        bases(&bench)
    };
    assert_eq!(full_at(1 << 20), [0]);
    // Every batch but a segment's first has an entry, and the time index one more.
    assert_eq!(full_at(48), [0, 4, 8]);
}

/// Found by a seed: whoever is told to come back at a time that is past comes back at once, over and over, for as long as a roll waits for a slow disk.
#[test]
fn nobody_is_sent_for_to_remove_files_while_that_has_to_wait() {
    let mut bench = three_segments(keeping(None, None));
    bench.log.note_high_watermark(bench.log.end());
    bench.log.advance_log_start(offset(bases(&bench)[1]), &mut bench.under_way);
    bench.settle();
    let due = bench.log.next_removal().expect("files wait to be removed");
    while !bench.under_way.iter().any(|op| matches!(op.action, DiskAction::Seal { .. })) {
        bench.append(3, 9);
        while let Some(at) =
            bench.under_way.iter().position(|op| !matches!(op.action, DiskAction::Seal { .. }))
        {
            bench.end(at, Ok(()));
        }
    }
    bench.log.periodic(due, &mut bench.under_way);
    assert_eq!(bench.log.next_removal(), None, "the roll comes first");
    bench.settle();
    bench.log.periodic(due, &mut bench.under_way);
    bench.settle();
    assert_eq!((bench.log.next_removal(), names(&bench, ".deleted")), (None, vec![]));
}
