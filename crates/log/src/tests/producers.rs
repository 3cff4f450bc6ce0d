//! Sequence numbers of idempotent producers, as in Kafka's `ProducerAppendInfo`.

use super::*;

/// Producer, its epoch, base sequence, record count.
type Sent = (i64, i16, i32, u32);

/// Appends, and what each gives: offsets, or the refusal.
fn check(cases: &[(Sent, &str)]) {
    let mut bench = Bench::new(LogConfig::default());
    for (mark, &((id, epoch, sequence, count), expected)) in cases.iter().enumerate() {
        let said = match bench.append_by(0, count, mark as u64, (id, epoch, sequence)) {
            Ok(Appended { base, end, duplicate, .. }) => {
                format!("{base}..{end}{}", if duplicate { " again" } else { "" })
            }
            Err(AppendError::OutOfOrderSequence { expected, .. }) => format!("expected {expected}"),
            Err(AppendError::StaleProducerEpoch { current, .. }) => format!("fenced by {current}"),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(said, expected, "case {mark}: {:?}", (id, epoch, sequence, count));
    }
}

#[test]
fn a_batch_sent_again_gets_its_first_offsets_while_it_is_among_the_last_five() {
    check(&[
        ((1, 0, 0, 2), "0..2"),
        ((1, 0, 2, 1), "2..3"),
        ((1, 0, 0, 2), "0..2 again"),
        ((1, 0, 3, 1), "3..4"),
        ((1, 0, 4, 1), "4..5"),
        ((1, 0, 5, 1), "5..6"),
        ((1, 0, 0, 2), "0..2 again"),
        ((1, 0, 6, 1), "6..7"),
        ((1, 0, 0, 2), "expected 7"),
        ((1, 0, 2, 1), "2..3 again"),
        ((1, 0, 2, 2), "expected 7"),
    ]);
}

#[test]
fn sequence_numbers_leave_no_gap_and_wrap() {
    const MAX: i32 = i32::MAX;
    check(&[
        ((1, 0, MAX - 1, 1), "0..1"),
        ((1, 0, MAX - 2, 1), format!("expected {MAX}").as_str()),
        ((1, 0, MAX, 3), "1..4"),
        ((1, 0, 1, 1), "expected 2"),
        ((1, 0, 3, 1), "expected 2"),
        ((1, 0, 2, 1), "4..5"),
        ((1, 0, MAX, 3), "1..4 again"),
    ]);
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    check(&[
        ((1, 3, 7, 1), "0..1"),
        ((1, 4, 8, 1), "expected 0"),
        ((1, 4, 0, 1), "1..2"),
        ((1, 3, 8, 1), "fenced by 4"),
        ((1, 3, 7, 1), "fenced by 4"),
        ((1, 4, 0, 1), "1..2 again"),
        ((2, 0, 5, 1), "2..3"),
    ]);
}

#[test]
fn what_is_taken_back_may_be_sent_again_and_what_is_kept_may_not() {
    let mut bench = Bench::new(LogConfig::default());
    for sequence in 0..8 {
        bench.append_by(0, 1, sequence as u64, (1, 0, sequence)).expect("in order");
    }
    bench.append_by(0, 1, 8, (1, 1, 0)).expect("a new epoch");
    bench.settle();
    let before = |bench: &Bench| bench.log.producers.clone();
    let all = before(&bench);
    bench.log.truncate_to(offset(6), &mut bench.under_way);
    bench.settle();
    let again = bench.append_by(0, 1, 100, (1, 0, 1)).expect("known again: it is among the last five");
    assert_eq!((again.base, again.duplicate), (offset(1), true));
    for sequence in 6..8 {
        bench.append_by(0, 1, sequence as u64, (1, 0, sequence)).expect("in order");
    }
    bench.append_by(0, 1, 8, (1, 1, 0)).expect("a new epoch");
    assert_eq!(before(&bench), all);
}

#[test]
fn a_write_that_failed_may_be_sent_again() {
    let mut bench = Bench::new(LogConfig::default());
    bench.settle();
    bench.append_by(0, 1, 0, (1, 0, 0)).expect("first");
    bench.settle();
    bench.append_by(0, 1, 1, (1, 0, 1)).expect("second");
    assert_eq!(bench.end(0, Err(DiskError::Full)).lost_from, Some(offset(1)));
    bench.settle();
    let again = bench.append_by(0, 1, 2, (1, 0, 1)).expect("second, again");
    assert_eq!((again.base, again.duplicate), (offset(1), false));
    assert!(matches!(
        bench.append_by(0, 1, 2, (1, 0, 3)),
        Err(AppendError::OutOfOrderSequence { expected: 2, .. })
    ));
}

#[test]
fn the_producer_that_was_silent_for_longest_is_forgotten() {
    let mut bench = Bench::new(LogConfig { producer_count_max: 3, ..LogConfig::default() });
    for id in 1..=3 {
        bench.append_by(0, 1, 0, (id, 0, 0)).expect("first");
    }
    bench.append_by(0, 1, 0, (1, 0, 1)).expect("producer 1 goes on");
    bench.append_by(0, 1, 0, (4, 0, 0)).expect("one more");
    let known: Vec<i64> = bench.log.producers.sorted().iter().map(|(id, _)| id.0).collect();
    assert_eq!(known, [1, 3, 4]);
}

#[test]
fn room_is_made_for_many_new_producers_at_once() {
    let mut bench = Bench::new(LogConfig { producer_count_max: 160, ..LogConfig::default() });
    for id in 1..=161 {
        bench.append_by(0, 1, 0, (id, 0, 0)).expect("first");
    }
    let known: Vec<i64> = bench.log.producers.sorted().iter().map(|(id, _)| id.0).collect();
    assert_eq!(known, (12..=161).collect::<Vec<_>>(), "the silent ones went, and none for the next ten");
    for id in 162..=171 {
        bench.append_by(0, 1, 0, (id, 0, 0)).expect("first");
    }
    assert_eq!(bench.log.producers.len(), 160);
}

#[test]
fn a_producer_that_was_silent_for_a_day_is_forgotten_once_its_records_are_committed() {
    let mut bench = Bench::new(LogConfig { retention: Retention::FOR_EVER, ..LogConfig::default() });
    for (id, mark) in [(1, 0), (2, 500), (1, 1), (3, 7), (3, 600)] {
        let sequence = i32::from(id != 2 && mark != 0 && mark != 7);
        bench.append_by(0, 1, mark, (id, 0, sequence)).expect("in order");
    }
    bench.settle();
    let day_ms = 24 * 3600 * 1000;
    // The last batches are of 1010, 6000 and 7000.
    let mut known_at = |committed: i64, wall: i64| {
        bench.log.note_high_watermark(offset(committed));
        bench.log.enforce_retention(Timestamp(wall), &mut bench.under_way);
        bench.log.producers.sorted().iter().map(|(id, _)| id.0).collect::<Vec<_>>()
    };
    assert_eq!(known_at(0, day_ms + 7001), [1, 2, 3], "nothing is committed");
    assert_eq!(known_at(5, day_ms + 1010), [1, 2, 3]);
    assert_eq!(known_at(5, day_ms + 1011), [2, 3]);
    assert_eq!(known_at(4, day_ms + 9000), [3]);
    assert_eq!(known_at(5, day_ms + 9000), [0; 0]);
}

#[test]
fn followers_and_restarts_know_what_the_leader_knew() {
    let mut leader = Bench::new(config());
    for sequence in 0..30 {
        leader
            .append_by(sequence / 10, 1, sequence as u64, (i64::from(sequence % 2), 0, sequence / 2))
            .expect("in order");
    }
    leader.settle();
    let mut follower = Bench::new(LogConfig { segment_bytes: 450, ..config() });
    while follower.log.end() < leader.log.end() {
        let plan =
            leader.log.read(follower.log.end(), leader.log.end(), 300).expect("in range").expect("something");
        let run = Bytes::from(leader.resolve(&plan).expect("readable"));
        follower.log.append_as_follower(run, &mut follower.under_way).expect("continuous");
    }
    follower.settle();
    let (restarted, report) = Bench::open(follower.disk.clone(), config()).expect("good files");
    assert_eq!(report.rebuilt, Vec::<String>::new());
    for log in [&follower.log, &restarted.log] {
        assert_eq!(log.producers, leader.log.producers);
        assert_eq!(log.epochs, leader.log.epochs);
        assert_eq!(log.end(), leader.log.end());
    }
    assert!(restarted.log.segments.len() > 2);
}
