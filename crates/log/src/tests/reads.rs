//! What is read: every offset of every segment, whatever is in memory of it.

use klamm_model::{Batches, Tail as RunEnd, Tick, Timestamp};

use super::*;

/// Offsets of the batches read: first and end.
fn batches(bytes: &[u8]) -> Vec<(i64, i64)> {
    let read = Batches::new(bytes, RunEnd::MayBeTruncated);
    read.map(|batch| batch.map(|batch| (batch.base_offset().raw(), batch.next_offset().raw())).expect("good"))
        .collect()
}

fn filled() -> Bench {
    let mut bench = Bench::new(config());
    for mark in 0..40 {
        bench.append(1 + (mark % 3) as u32, mark);
    }
    bench.settle();
    bench
}

/// Every offset is found, first by exact positions, then by the index in memory, then by the index files, then without those.
#[test]
fn every_offset_is_found_whatever_is_known() {
    let mut bench = filled();
    let end = bench.log.end().raw();
    for state in
        ["all in memory", "indexes in memory", "index files", "no index files", "misleading index files"]
    {
        match state {
            "indexes in memory" => bench.log.tail.clear(),
            "index files" => bench.log.note_high_watermark(offset(end)),
            "no index files" => bench.disk.files.retain(|name, _| !name.ends_with(".index")),
            "misleading index files" => {
                bench = filled();
                bench.log.tail.clear();
                bench.log.note_high_watermark(offset(end));
                for (name, file) in &mut bench.disk.files {
                    if name.ends_with(".index") {
                        file.data.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
                    }
                }
            }
            _ => {}
        }
        for limit in [end, end - 7, 11] {
            for from in 0..end {
                let plan = bench.log.read(offset(from), offset(limit), 120).expect("in range");
                let read =
                    plan.map(|plan| batches(&bench.resolve(&plan).expect("found"))).unwrap_or_default();
                let whole: Vec<_> = read.iter().filter(|(_, batch_end)| *batch_end <= limit).collect();
                assert_eq!(whole.len(), read.len(), "{state}: from {from} read {read:?} beyond {limit}");
                match read.first() {
                    Some(&(first, first_end)) => {
                        assert!(first <= from && from < first_end, "{state}: {read:?} from {from}")
                    }
                    None => assert!(limit - 3 < from, "{state}: nothing from {from} below {limit}"),
                }
            }
        }
    }
}

#[test]
fn nothing_above_written_is_read_and_nothing_outside_the_log() {
    let mut bench = Bench::new(LogConfig::default());
    bench.settle();
    bench.append(3, 0);
    bench.append(3, 1);
    let read = |bench: &Bench, from: i64| bench.log.read(offset(from), Offset::MAX, 1000);
    assert_eq!(read(&bench, 0), Ok(None));
    bench.end(1, Ok(()));
    assert_eq!(read(&bench, 0), Ok(None), "epochs, not the write");
    bench.settle();
    let plan = read(&bench, 4).expect("in range").expect("written");
    assert_eq!(batches(&bench.resolve(&plan).expect("readable")), [(3, 6)]);
    assert_eq!(read(&bench, 6), Ok(None));
    assert!(matches!(read(&bench, 7), Err(ReadError::OutOfRange { .. })));
    bench.log.advance_log_start(offset(4), &mut bench.under_way);
    assert!(matches!(read(&bench, 3), Err(ReadError::OutOfRange { .. })));
    assert!(read(&bench, 4).is_ok_and(|plan| plan.is_some()));
}

#[test]
fn the_first_batch_comes_whole_and_others_as_they_fit() {
    let mut bench = Bench::new(LogConfig::default());
    for mark in 0..4 {
        bench.append(5, mark);
    }
    bench.settle();
    let size = bench.disk.segment(offset(0)).len() as u32 / 4;
    for (max_bytes, expected) in
        [(0, 1), (1, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (100 * size, 3)]
    {
        let plan = bench.log.read(offset(7), Offset::MAX, max_bytes).expect("in range").expect("written");
        assert_eq!(batches(&bench.resolve(&plan).expect("readable")).len(), expected, "of {max_bytes} bytes");
    }
}

#[test]
fn bytes_between_are_exact_at_the_tail_and_never_none() {
    let mut bench = filled();
    let (middle, end) = (bench.log.end().raw() / 2, bench.log.end());
    assert_eq!(bench.log.bytes_between(offset(0), end), bench.log.size_bytes());
    bench.log.tail.clear();
    bench.log.note_high_watermark(end);
    for from in 0..end.raw() {
        assert!(0 < bench.log.bytes_between(offset(from), offset(from + 1)));
    }
    let half = bench.log.bytes_between(offset(middle), end);
    assert!(
        (bench.log.size_bytes() / 3..bench.log.size_bytes()).contains(&half),
        "{half} of {}",
        bench.log.size_bytes()
    );
    assert_eq!(bench.log.bytes_between(end, end), 0);
}

#[test]
fn records_are_found_by_time() {
    // Batch `mark` has records with timestamps 1000 + 10 × mark, and one more for each.
    let bench = filled();
    let end = bench.log.end();
    let find = |at: i64, limit: Offset| bench.find(&bench.log.lookup_time(Timestamp(at), limit));
    assert_eq!(find(0, end), Some((0, 1000)));
    assert_eq!(find(1011, end), Some((2, 1011)));
    assert_eq!(find(1012, end), Some((3, 1020)));
    assert_eq!(find(1390, end), Some((end.raw() - 1, 1390)));
    assert_eq!(find(1391, end), None);
    assert_eq!(find(1012, offset(3)), None, "it is not committed");
    assert_eq!(bench.find(&bench.log.lookup_largest_timestamp(end)), Some((end.raw() - 1, 1390)));
    assert_eq!(bench.find(&bench.log.lookup_largest_timestamp(offset(3))), Some((2, 1011)));
    assert_eq!(bench.find(&bench.log.lookup_largest_timestamp(offset(0))), None);
    let (restarted, _) = Bench::open(bench.disk.clone(), config()).expect("good files");
    let lookup = restarted.log.lookup_time(Timestamp(1012), restarted.log.end());
    assert_eq!(restarted.find(&lookup), Some((3, 1020)));
}

/// Whatever is known of the times, the answer is that of reading everything.
#[test]
fn a_time_is_found_whatever_is_known() {
    // Times go up and down: batch `mark` is of the time of another.
    let config = LogConfig { segment_bytes: 900, ..config() };
    let mut bench = Bench::new(config);
    for mark in 0..60_u64 {
        bench.append(1 + (mark % 3) as u32, mark * 37 % 60);
    }
    bench.settle();
    let end = bench.log.end();
    let records: Vec<(i64, i64)> = (0..end.raw())
        .map(|at| {
            bench.log.read(offset(at), offset(at + 3).min(end), 1).expect("in range").map(|plan| (at, plan))
        })
        .filter_map(|found| {
            let (at, plan) = found?;
            let bytes = bench.resolve(&plan).ok()?;
            let view = klamm_model::BatchView::parse(&bytes).ok()?;
            view.records(&mut Vec::new(), 1000).ok()?.find_map(|record| {
                let record = record.ok()?;
                (record.offset == offset(at)).then_some((at, record.timestamp.0))
            })
        })
        .collect();
    assert_eq!(records.len() as i64, end.raw());
    for state in [
        "all in memory",
        "index files",
        "no time index files",
        "misleading time index files",
        "no index files",
    ] {
        let changed = |disk: &mut MemoryDisk, ending: &str, change: fn(&mut Vec<u8>)| {
            for (_, file) in disk.files.iter_mut().filter(|(name, _)| name.ends_with(ending)) {
                change(&mut file.data);
            }
        };
        match state {
            "index files" => bench.log.note_high_watermark(end),
            "no time index files" => changed(&mut bench.disk, ".timeindex", Vec::clear),
            "misleading time index files" => {
                let again = Bench::open(bench.disk.clone(), config).expect("good files").0;
                bench.disk = again.disk;
                changed(&mut bench.disk, ".timeindex", |bytes| bytes.extend([0; 36]));
                changed(&mut bench.disk, ".timeindex", |bytes| {
                    bytes.iter_mut().for_each(|it| *it = it.wrapping_sub(1))
                });
            }
            "no index files" => changed(&mut bench.disk, ".index", Vec::clear),
            _ => {}
        }
        for (log_start, limit) in [(0, end), (0, offset(41)), (13, offset(80)), (14, offset(15))] {
            bench.log.log_start = offset(log_start);
            let counts: Vec<_> =
                records.iter().filter(|(at, _)| log_start <= *at && *at < limit.raw()).collect();
            for time in 990..1620 {
                let expected = counts.iter().find(|(_, timestamp)| time <= *timestamp).map(|it| **it);
                let found = bench.find(&bench.log.lookup_time(Timestamp(time), limit));
                assert_eq!(found, expected, "{state}: {time} from {log_start} to {limit}");
            }
            let largest = bench.find(&bench.log.lookup_largest_timestamp(limit));
            let expected = counts.iter().rev().max_by_key(|(_, timestamp)| *timestamp).map(|it| **it);
            assert_eq!(largest, expected, "{state}: the highest from {log_start} to {limit}");
        }
        bench.log.log_start = offset(0);
    }
}

#[test]
fn a_question_by_time_reads_little_of_a_segment() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 1 << 20, ..config() });
    (0..5000).for_each(|mark| _ = bench.append(1, mark));
    bench.settle();
    bench.log.roll();
    bench.log.pump(&mut bench.under_way);
    bench.settle();
    for sealed in [false, true] {
        if sealed {
            bench.log.note_high_watermark(bench.log.end());
        }
        // By its time, and where the log starts.
        for (log_start, time) in [(0, 41_000), (4000, 0)] {
            bench.log.log_start = offset(log_start);
            let lookup = bench.log.lookup_time(Timestamp(time), bench.log.end());
            let mut positions = Vec::new();
            let found = resolve_time(&lookup, &mut |segment, kind, position, buffer| {
                if kind == FileKind::Log {
                    positions.push(position);
                }
                bench.disk.read(&kind.file_name(segment.id.base), position, buffer)
            });
            let found = found.expect("readable").map(|found| (found.offset, found.timestamp));
            assert_eq!(found, Some((offset(4000), Timestamp(41_000))));
            let size = bench.disk.segment(offset(0)).len() as u64;
            assert!(positions.iter().all(|at| size / 2 < *at), "{positions:?} of {size}");
        }
    }
}

#[test]
fn an_idle_log_takes_less_than_a_kilobyte() {
    let mut bench = Bench::new(LogConfig::default());
    for mark in 0..1000 {
        bench.append(1, mark);
    }
    bench.settle();
    bench.log.note_high_watermark(bench.log.end());
    for second in 1..4 {
        bench.log.periodic(Tick::default().after_ms(second * 1000), &mut bench.under_way);
        bench.settle();
    }
    assert!(!bench.log.wants_periodic());
    let log = &bench.log;
    let queue = log.queue.running.capacity() * size_of::<crate::queue::Running>()
        + log.queue.waiting.capacity() * size_of::<crate::queue::Step>();
    let held = size_of::<Log>() + queue + log.segments.capacity() * size_of::<crate::segment::Segment>();
    assert!(held < 1024, "{held} bytes, of which {} for the log itself", size_of::<Log>());
    assert_eq!(log.tail.iter().count(), 0);
}

/// By what is in memory: of each batch about, while there is an index; of closed segments as if records had come at an even pace.
#[test]
fn about_when_a_record_was_written_is_known_without_a_look_into_a_file() {
    let mut bench = Bench::new(config());
    for mark in 0..60 {
        bench.append(2, mark);
    }
    bench.settle();
    for is_forgotten in [false, true] {
        for raw in 0..120 {
            let near = bench.log.time_near(offset(raw)).expect("a time").0;
            let exact = 1000 + raw / 2 * 10 + raw % 2;
            assert!((near - exact).abs() <= 15, "{near} at {raw}, which was written at {exact}");
        }
        assert_eq!(bench.log.time_near(offset(120)), None, "nothing is there yet");
        assert!(is_forgotten || bench.log.segments.iter().all(|segment| segment.index.is_some()));
        bench.log.tail.clear();
        bench.log.note_high_watermark(offset(120));
    }
    assert!(bench.log.segments[0].index.is_none());
    assert_eq!(Bench::new(config()).log.time_near(offset(0)), None);
}
