//! What was on disk for certain and is not what was written any more: left out, and everything else is served.

use expect_test::expect;

use super::recovery::segment_mut;
use super::*;

/// What readers get, batch by batch: `0..2`, `2..4 lost` where they are told that it is, `4? ` where a read finds out, `6..8 BAD` where they are given
/// what is damaged. Neighbours that are served are told as one.
pub(super) fn served(bench: &Bench) -> String {
    let mut told: Vec<(i64, i64, &str)> = Vec::new();
    let (mut from, end) = (bench.log.log_start(), bench.log.end());
    while from < end {
        let (to, how) = match bench.log.read(from, Offset::MAX, 1) {
            Ok(None) => break,
            Ok(Some(plan)) => match bench.resolve(&plan) {
                Ok(bytes) => {
                    let view = BatchView::parse(&bytes).expect("a whole batch");
                    assert!(view.base_offset() <= from && from < view.next_offset(), "{from}");
                    (view.next_offset(), if view.verify_crc().is_ok() { "" } else { " BAD" })
                }
                Err(ReadError::Damaged { .. }) => (from.advance(1), "?"),
                Err(error) => panic!("{from}: {error}"),
            },
            Err(ReadError::Quarantined(range)) => (range.to, " lost"),
            Err(error) => panic!("{from}: {error}"),
        };
        match told.last_mut() {
            Some(last) if last.2 == how && last.2 != "?" => last.1 = to.raw(),
            _ => told.push((from.raw(), to.raw(), how)),
        }
        from = to;
    }
    let told: Vec<String> = told.iter().map(|(from, to, how)| format!("{from}..{to}{how}")).collect();
    told.join(", ")
}

/// Looks at all of the log, in pieces of so many bytes.
pub(super) fn scrub_all(bench: &mut Bench, bytes_max: u32) -> Vec<DamagedRange> {
    let mut found = Vec::new();
    bench.log.begin_scrub();
    while bench.log.scrub_on(bytes_max, &mut bench.under_way) {
        while !bench.under_way.is_empty() {
            if let Some(scrubbed) = bench.end(0, Ok(())).scrubbed {
                assert_eq!(scrubbed.error, None);
                found.extend(scrubbed.damaged);
            }
        }
    }
    found
}

/// A log of batches of two records each, all of it on disk and known to be. Gives where its batches lie.
fn forty(config: LogConfig) -> (Bench, Vec<(Offset, usize, usize)>) {
    let mut bench = Bench::new(config);
    for mark in 0..40 {
        bench.append_by(mark as i32 / 15, 2, mark, (5, 0, mark as i32 * 2)).expect("in order");
        bench.settle();
    }
    bench.log.note_high_watermark(bench.log.end());
    bench.log.come_to_rest(&mut bench.under_way);
    bench.settle();
    let mut batches = Vec::new();
    for segment in &bench.log.segments {
        let mut position = 0;
        let bytes = bench.disk.segment(segment.base);
        while position < bytes.len() {
            let size = BatchView::parse(&bytes[position..]).expect("a batch").size();
            batches.push((segment.base, position, size));
            position += size;
        }
    }
    assert_eq!(batches.len(), 40);
    (bench, batches)
}

fn logs(disk: &MemoryDisk) -> Vec<(&String, &[u8])> {
    let logs = disk.files.iter().filter(|(name, _)| name.ends_with(".log"));
    logs.map(|(name, file)| (name, file.data.as_slice())).collect()
}

/// Whatever byte of whatever batch: that batch is lost, told of as one range, kept on disk, and nothing else changes.
#[test]
fn a_flipped_byte_costs_its_batch_and_nothing_else() {
    let (bench, batches) = forty(config());
    assert!(4 < bench.log.segments.len());
    let last_base = bench.log.active().base;
    for (number, &(base, start, size)) in batches.iter().enumerate() {
        for within in (0..size).step_by(if number % 7 == 0 { 1 } else { 5 }) {
            let context = format!("batch {number}, byte {within}");
            let mut disk = bench.disk.clone();
            segment_mut(&mut disk, base.raw())[start + within] ^= 0x10;
            let flipped = disk.clone();
            let (mut again, report) =
                Bench::open(disk, config()).unwrap_or_else(|error| panic!("{context}: {error}"));
            again.settle();
            assert_eq!((again.log.end(), report.cut_bytes), (offset(80), 0), "{context}");
            let found = scrub_all(&mut again, 200);
            let from = number as i64 * 2;
            let lost =
                [offset(from), offset(from + 2), offset((start) as i64), offset((start + size) as i64)];
            let told: Vec<_> = again.log.damaged().to_vec();
            // Of an epoch that was always the same, or is the last one there, nothing says that it is wrong.
            if (12..16).contains(&within) && told.is_empty() {
                continue;
            }
            assert_eq!(told.len(), 1, "{context}: {told:?}");
            let DamagedRange { from: first, to, position, end, .. } = told[0];
            assert_eq!([first, to, offset(position.into()), offset(end.into())], lost, "{context}: {told:?}");
            assert!(report.damaged == told || found == told, "{context}: told once");
            let expected = match (from, from + 2) {
                (0, _) => "0..2 lost, 2..80".to_owned(),
                (from, 80) => format!("0..{from}, {from}..80 lost"),
                (from, to) => format!("0..{from}, {from}..{to} lost, {to}..80"),
            };
            assert_eq!(served(&again), expected, "{context}");
            assert_eq!(logs(&again.disk), logs(&flipped), "{context}: the bytes are kept");

            // It is remembered, at no cost; the log goes on.
            let appended = again.append(1, 99);
            again.settle();
            assert_eq!(appended.base, offset(80), "{context}");
            let (reopened, report) = Bench::open(again.disk.clone(), config()).expect("good files");
            assert_eq!((report.damaged.as_slice(), report.cut_bytes), (told.as_slice(), 0), "{context}");
            assert!(report.scanned_count < 30, "{context}: {} batches read", report.scanned_count);
            assert!(report.rebuilt.is_empty(), "{context}: {:?}", report.rebuilt);
            if base != last_base {
                assert_eq!(served(&reopened), format!("{}81", expected.trim_end_matches("80")), "{context}");
            }
        }
    }
}

/// What is done to the files of [`forty`], whose segments have the given bases; what is served after a start, and after a scrub:
/// one line each.
#[test]
fn what_is_left_out_is_what_cannot_be_told_for_certain() {
    type Edit = fn(&mut MemoryDisk, &[i64], &[(Offset, usize, usize)]);
    let cases: &[(&str, Edit)] = &[
        ("a segment is gone", |disk, bases, _| {
            drop(disk.files.remove(&FileKind::Log.file_name(offset(bases[2]))))
        }),
        ("the first segment is gone", |disk, _, _| {
            drop(disk.files.remove(&FileKind::Log.file_name(offset(0))))
        }),
        ("the last segment is gone", |disk, bases, _| {
            drop(disk.files.remove(&FileKind::Log.file_name(offset(bases[bases.len() - 1]))))
        }),
        ("the last segment is emptied", |disk, bases, _| segment_mut(disk, bases[bases.len() - 1]).clear()),
        ("a closed segment is cut short", |disk, bases, _| {
            let log = segment_mut(disk, bases[1]);
            log.truncate(log.len() / 2);
        }),
        ("the last segment is cut short", |disk, bases, _| {
            let log = segment_mut(disk, bases[bases.len() - 1]);
            log.truncate(100);
        }),
        ("zeros over two batches, from within one into another", |disk, _, batches| {
            let (base, at, size) = batches[9];
            segment_mut(disk, base.raw())[at + size / 2..][..size].fill(0);
        }),
        ("the headers of two neighbours", |disk, _, batches| {
            for (base, at, _) in &batches[8..10] {
                segment_mut(disk, base.raw())[*at + 16] = 9;
            }
        }),
        ("two headers with a good one between, no index", |disk, _, batches| {
            for (base, at, _) in [batches[8], batches[10]] {
                segment_mut(disk, base.raw())[at + 16] = 9;
            }
            disk.files.retain(|name, _| !name.ends_with("index"));
        }),
        ("an old batch in the place of another", |disk, _, batches| {
            let (base, at, size) = batches[9];
            let log = segment_mut(disk, base.raw());
            let (_, old, old_size) = batches[8];
            assert_eq!(size, old_size);
            log.copy_within(old..old + size, at);
        }),
        ("bytes behind the end of a closed segment", |disk, bases, _| {
            segment_mut(disk, bases[1]).extend([7; 50])
        }),
        ("the whole first segment", |disk, _, _| segment_mut(disk, 0).fill(0)),
        ("the whole last segment", |disk, bases, _| segment_mut(disk, bases[bases.len() - 1]).fill(0)),
        ("every byte", |disk, bases, _| {
            for base in bases {
                segment_mut(disk, *base).fill(0x2);
            }
        }),
    ];
    let mut told = String::new();
    for (name, edit) in cases {
        let (bench, batches) = forty(config());
        let bases: Vec<i64> = bench.log.segments.iter().map(|segment| segment.base.raw()).collect();
        let mut disk = bench.disk.clone();
        edit(&mut disk, &bases, &batches);
        let before = disk.clone();
        let (mut again, report) =
            Bench::open(disk, config()).unwrap_or_else(|error| panic!("{name}: {error}"));
        again.settle();
        assert_eq!(report.cut_bytes, 0, "{name}");
        let _ = std::fmt::Write::write_fmt(&mut told, format_args!("{name}\n    {}\n", served(&again)));
        scrub_all(&mut again, 1000);
        let after = served(&again);
        let _ = std::fmt::Write::write_fmt(&mut told, format_args!("    {after}\n"));
        assert_eq!(logs(&again.disk), logs(&before), "{name}: nothing is touched");
        let end = again.log.end();
        assert!(offset(80) <= end, "{name}: no offset is given out twice");
        let retention = Retention { age_ms_max: None, bytes_max: Some(0) };
        let (mut expiring, _) = Bench::open(again.disk.clone(), LogConfig { retention, ..config() })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        expiring.log.note_high_watermark(end);
        expiring.log.enforce_retention(Timestamp(0), &mut expiring.under_way);
        expiring.settle();
        assert_eq!(expiring.log.size_bytes(), 0, "{name}");
        again.append(1, 99);
        again.settle();
        let (reopened, _) =
            Bench::open(again.disk, config()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reopened.log.damaged(), again.log.damaged(), "{name}");
    }
    expect![[r#"
        a segment is gone
            0..28, 28..42 lost, 42..80
            0..28, 28..42 lost, 42..80
        the first segment is gone
            0..14 lost, 14..80
            0..14 lost, 14..80
        the last segment is gone
            0..70, 70..80 lost
            0..70, 70..80 lost
        the last segment is emptied
            0..70, 70..80 lost
            0..70, 70..80 lost
        a closed segment is cut short
            0..20, 20..28 lost, 28..80
            0..20, 20..28 lost, 28..80
        the last segment is cut short
            0..72, 72..80 lost
            0..72, 72..80 lost
        zeros over two batches, from within one into another
            0..18, 18..20 BAD, 20..21?, 21..22?, 22..23?, 23..80
            0..18, 18..22 lost, 22..80
        the headers of two neighbours
            0..16, 16..17?, 17..18?, 18..19?, 19..20?, 20..21?, 21..22?, 22..23?, 23..80
            0..16, 16..20 lost, 20..80
        two headers with a good one between, no index
            0..16, 16..22 lost, 22..80
            0..16, 16..22 lost, 22..80
        an old batch in the place of another
            0..18, 18..19?, 19..20?, 20..21?, 21..22?, 22..23?, 23..80
            0..18, 18..20 lost, 20..80
        bytes behind the end of a closed segment
            0..80
            0..80
        the whole first segment
            0..14 lost, 14..80
            0..14 lost, 14..80
        the whole last segment
            0..70, 70..80 lost
            0..70, 70..80 lost
        every byte
            0..80 lost
            0..80 lost
    "#]]
    .assert_eq(&told);
}

/// A cut did not get to the disk before the next segment came.
#[test]
fn an_old_batch_behind_the_end_of_a_closed_segment_is_given_to_nobody() {
    let (mut bench, batches) = forty(config());
    let base = bench.log.segments[1].base;
    let (number, &(_, at, size)) =
        batches.iter().enumerate().rfind(|(_, it)| it.0 == base).expect("it has some");
    segment_mut(&mut bench.disk, base.raw()).extend_from_within(at..);
    let (again, report) = Bench::open(bench.disk, config()).expect("opened");
    assert_eq!((report.end, report.damaged.len()), (offset(80), 0));
    let last = offset(number as i64 * 2);
    let plan = again.log.read(last, Offset::MAX, 10_000).expect("in range").expect("written");
    assert_eq!(again.resolve(&plan).expect("readable").len(), size);
}

/// As if a backup of this log was kept in a topic: records with whole batches in them, of offsets that would fit.
#[test]
fn batches_within_records_are_not_taken_for_the_logs_own() {
    let mut bench = Bench::new(LogConfig::default());
    bench.append(2, 0);
    let inner: Vec<u8> = (0..3_i64)
        .flat_map(|number| {
            let bytes = batch(1, number as u64, None).1;
            let mut bytes = bytes.to_vec();
            bytes[..8].copy_from_slice(&(4 + number).to_be_bytes());
            bytes[12..16].copy_from_slice(&0_i32.to_be_bytes());
            bytes
        })
        .collect();
    let mut builder = BatchBuilder::default();
    for _ in 0..20 {
        builder.append(Timestamp(1), None, Some(&inner), &[]);
    }
    let bytes = builder.finish(&Seal::default());
    let valid = validate_produce(&bytes, &ProduceLimits::default()).expect("good");
    bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way).expect("appended");
    bench.append(2, 9);
    bench.settle();
    bench.log.come_to_rest(&mut bench.under_way);
    bench.settle();
    let start = batch(2, 0, None).1.len();
    segment_mut(&mut bench.disk, 0)[start + 8] ^= 1;
    let (again, _) = Bench::open(bench.disk, LogConfig::default()).expect("opened");
    assert_eq!(served(&again), "0..2, 2..22 lost, 22..24");
}

#[test]
fn what_is_good_again_is_served_at_the_next_start() {
    let (bench, batches) = forty(config());
    let (base, at, _) = batches[9];
    let mut disk = bench.disk;
    segment_mut(&mut disk, base.raw())[at + 70] ^= 1;
    let (mut again, _) = Bench::open(disk, config()).expect("opened");
    again.settle();
    assert_eq!(scrub_all(&mut again, 1000).len(), 1);
    again.settle();
    segment_mut(&mut again.disk, base.raw())[at + 70] ^= 1;
    assert_eq!(served(&again), "0..18, 18..20 lost, 20..80");
    let (mut repaired, report) = Bench::open(again.disk, config()).expect("opened");
    assert_eq!((served(&repaired).as_str(), report.damaged.len()), ("0..80", 0));
    repaired.settle();
    let note = String::from_utf8(repaired.disk.files[DAMAGED_RANGES].data.clone()).expect("text");
    assert_eq!(note.lines().count(), 2, "nothing is noted any more: {note}");
}

#[test]
fn retention_a_cut_and_a_new_beginning_forget_what_they_take() {
    type Take = fn(&mut Bench);
    let cases: [(&str, Take, &str); 7] = [
        (
            "deleted with all of its segment",
            |it| it.log.advance_log_start(offset(40), &mut it.under_way),
            "40..80",
        ),
        (
            "deleted in part",
            |it| it.log.advance_log_start(offset(19), &mut it.under_way),
            "19..20 lost, 20..80",
        ),
        ("deleted up to behind it", |it| it.log.advance_log_start(offset(21), &mut it.under_way), "21..80"),
        ("expired", |it| it.log.enforce_retention(Timestamp(1 << 50), &mut it.under_way), ""),
        ("cut before", |it| it.log.truncate_to(offset(10), &mut it.under_way), ""),
        ("cut behind", |it| it.log.truncate_to(offset(70), &mut it.under_way), ""),
        ("begun anew", |it| it.log.restart_at(offset(100), &mut it.under_way), ""),
    ];
    for (name, take, expected) in cases {
        let (bench, batches) = forty(config());
        let (base, at, _) = batches[9];
        let mut disk = bench.disk.clone();
        segment_mut(&mut disk, base.raw())[at + 70] ^= 1;
        let (mut again, _) = Bench::open(disk, config()).expect("opened");
        again.settle();
        scrub_all(&mut again, 1000);
        again.log.note_high_watermark(offset(80));
        take(&mut again);
        // A crash may come before the note is changed, but not before the records are.
        for under_way in (0..20).rev() {
            let (reopened, _) = Bench::open(again.disk.clone(), config()).expect("opened");
            for range in reopened.log.damaged() {
                let bytes = &again.disk.segment(range.base)[range.position as usize..range.end as usize];
                let good = BatchView::parse(bytes).is_ok_and(|view| view.verify_crc().is_ok());
                assert!(!good, "{name}, {under_way} to go");
            }
            if again.under_way.is_empty() {
                break;
            }
            again.end(0, Ok(()));
        }
        again.settle();
        let known = again.log.damaged().to_vec();
        if !expected.is_empty() {
            assert_eq!(served(&again), expected, "{name}");
        }
        let (reopened, _) = Bench::open(again.disk, config()).expect("opened");
        assert_eq!(reopened.log.damaged(), known, "{name}");
        assert_eq!(
            known.is_empty(),
            !matches!(name, "deleted in part" | "deleted up to behind it" | "cut behind"),
            "{name}: {known:?}"
        );
    }
}

#[test]
fn a_record_is_found_by_its_time_around_what_is_damaged() {
    let (bench, batches) = forty(config());
    let (base, at, _) = batches[9];
    let mut disk = bench.disk;
    segment_mut(&mut disk, base.raw())[at + 16] = 9;
    let (mut again, _) = Bench::open(disk, config()).expect("opened");
    again.settle();
    scrub_all(&mut again, 1000);
    again.log.note_high_watermark(offset(80));
    for record in 0..80 {
        // Batch 9 has the records of these offsets.
        let expected = if (18..20).contains(&record) { 20 } else { record };
        let time = Timestamp(1000 + record / 2 * 10 + record % 2);
        let found = again.find(&again.log.lookup_time(time, offset(80))).expect("there is a later one");
        assert_eq!(found.0, expected, "{time:?}");
    }
    let largest = again.find(&again.log.lookup_largest_timestamp(offset(80)));
    assert_eq!(largest, Some((79, 1391)));
}

/// What a lookup by time passes it believes, so it looks at all of that; and of offsets no checksum knows anything. In a log that runs, and in one that was
/// opened with the damage.
#[test]
fn who_looks_for_a_time_or_an_offset_is_told_right_or_refused_whatever_byte_is_flipped() {
    let time = |record: i64| 1000 + record / 2 * 10 + record % 2;
    let (mut bench, batches) = forty(config());
    // As when it rests: where a batch begins is not in memory any more.
    bench.log.tail.clear();
    let whole = bench.disk.clone();
    for (number, &(base, start, size)) in batches.iter().enumerate() {
        let lost = number as i64 * 2..number as i64 * 2 + 2;
        // Of an epoch nothing says that it is wrong.
        for within in (0..size).filter(|within| !(12..16).contains(within) && within % 5 == number % 5) {
            segment_mut(&mut bench.disk, base.raw())[start + within] ^= 0x10;
            let (mut opened, _) = Bench::open(bench.disk.clone(), config()).expect("opened");
            opened.log.note_high_watermark(offset(80));
            for bench in [&bench, &opened] {
                let is_known = !bench.log.damaged().is_empty();
                for asked in (lost.start - 6).max(0)..(lost.end + 6).min(80) {
                    let context = format!("batch {number}, byte {within}: {asked}, {is_known}");
                    let (is_lost, is_refused) = (lost.contains(&asked), |error: &ReadError| match error {
                        ReadError::Damaged { .. } => !is_known,
                        ReadError::Quarantined(range) => (range.from..range.to).contains(&offset(asked)),
                        _ => false,
                    });
                    match bench.try_find(&bench.log.lookup_time(Timestamp(time(asked)), offset(80))) {
                        Err(error) => assert!(is_refused(&error), "{context}: {error}"),
                        found => {
                            assert!(is_known || !is_lost, "{context}: {found:?}");
                            let rest = if is_lost { lost.end } else { asked };
                            assert_eq!(found, Ok((rest < 80).then(|| (rest, time(rest)))), "{context}");
                        }
                    }
                    let plan = bench.log.read(offset(asked), Offset::MAX, 1);
                    match plan.and_then(|plan| bench.resolve(&plan.expect("there is something"))) {
                        Err(error) => assert!(is_refused(&error), "{context}: {error}"),
                        // Of records as such it is the reader who has the checksum.
                        Ok(bytes) => {
                            let (base, start, size) = batches[asked as usize / 2];
                            let is_right = bytes == whole.segment(base)[start..start + size];
                            let is_whole = BatchView::parse(&bytes).is_ok_and(|it| it.verify_crc().is_ok());
                            assert!(is_right || !is_whole, "{context}");
                        }
                    }
                }
            }
            bench.disk = whole.clone();
        }
    }
}

/// An unreadable sector is told and passed by; a segment that was compacted or cut since is another.
#[test]
fn a_scrub_that_cannot_read_goes_on_with_the_next_segment() {
    let (mut bench, batches) = forty(config());
    let (base, at, _) = batches[39];
    segment_mut(&mut bench.disk, base.raw())[at + 70] ^= 1;
    bench.log.begin_scrub();
    let mut told = Vec::new();
    while bench.log.scrub_on(1 << 20, &mut bench.under_way) {
        let first = told.is_empty();
        let result = if first { Err(DiskError::Io("no such sector".to_owned())) } else { Ok(()) };
        let progress = bench.end(0, result);
        assert_eq!((progress.fatal, progress.error), (None, None), "the log goes on");
        told.push(progress.scrubbed.expect("it was a piece of a scrub"));
        bench.settle();
    }
    assert_eq!(told.len(), bench.log.segments.len());
    assert!(told[0].error.is_some() && told[1..].iter().all(|it| it.error.is_none()));
    assert_eq!(told.last().map(|it| it.damaged.len()), Some(1), "in the segment that grows, too");

    bench.log.begin_scrub();
    assert!(bench.log.scrub_on(1 << 20, &mut bench.under_way));
    segment_mut(&mut bench.disk, 0)[70] ^= 1;
    bench.log.truncate_to(offset(60), &mut bench.under_way);
    let piece = bench.under_way.iter().position(|op| matches!(op.action, DiskAction::Scrub(_)));
    let scrubbed = bench.end(piece.expect("under way"), Ok(())).scrubbed.expect("a piece");
    assert_eq!((scrubbed.damaged.len(), scrubbed.error), (0, None), "nobody knows what it read");
}

/// Found by the fuzzer. The epochs begin behind what is damaged, and the next start took that for the start of the log; its damaged segments went.
#[test]
fn damage_in_front_stays_part_of_a_log_that_has_lost_its_small_files() {
    let mut disk = forty(config()).0.disk;
    for name in [DURABLE_POINT, EPOCH_CHECKPOINT] {
        disk.files.remove(name).expect("saved");
    }
    segment_mut(&mut disk, 0).fill(0xee);
    let (mut once, _) = Bench::open(disk, config()).expect("the rest is served");
    once.settle();
    let first = once.log.segments[1].base;
    assert!(served(&once).starts_with(&format!("0..{first} lost")), "{}", served(&once));
    let (twice, _) = Bench::open(once.disk.clone(), config()).expect("as before");
    assert_eq!((twice.log.log_start(), served(&twice)), (Offset::ZERO, served(&once)));
}
