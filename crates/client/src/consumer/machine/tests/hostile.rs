//! Brokers that mean no good (docs/HOSTILE_BROKER.md).

use proptest::prelude::*;

use super::*;

/// How often a partition is asked about within ten seconds if every question is answered like this a millisecond later.
fn questions_in_ten_seconds(answers: impl Fn(&str, u64) -> Vec<String>) -> usize {
    let config = Config { out_of_range: OutOfRange::Earliest, ..Config::default() };
    let mut world = World::new(&config, &[1], &[Start::At(Offset::new(5))]);
    let mut count = 0;
    world.run("0 tick");
    for now in 1..10_000 {
        let log = std::mem::take(&mut world.log);
        let asked =
            log.lines().map(str::trim).filter(|line| line.starts_with(['f', 'l', 'a']) && line.contains('#'));
        let asked: Vec<_> =
            asked.map(|line| line.split([' ', ':']).take(2).collect::<Vec<_>>().join(" ")).collect();
        count += asked.len();
        world.run(&format!("{now} tick"));
        for answer in asked.iter().flat_map(|asked| answers(asked, now)) {
            world.run(&format!("{now} {answer}"));
        }
    }
    count
}

#[test]
fn a_broker_that_leads_nowhere_is_asked_at_leisure() {
    let call = |asked: &str| asked.split_once(' ').expect("what and number").1.to_owned();
    let in_circles = |asked: &str, now: u64| {
        vec![format!("refused {} 0 NOT_LEADER_OR_FOLLOWER", call(asked)), format!("epoch {now} {}", now % 2)]
    };
    let never_there = |asked: &str, _| {
        vec![match asked.starts_with("locate") {
            true => format!("located {} 0:7", call(asked)),
            false => format!("refused {} 0 OFFSET_OUT_OF_RANGE", call(asked)),
        }]
    };
    let nowhere = |asked: &str, _| {
        vec![match asked.starts_with("locate") {
            true => format!("located {} 0:-1", call(asked)),
            false => format!("refused {} 0 OFFSET_OUT_OF_RANGE", call(asked)),
        }]
    };
    let backwards = |asked: &str, _| vec![format!("fetched {} 0 9 0+2", call(asked))];
    let cut_short = |asked: &str, _| vec![format!("fetched {} 0 9 5+2 cut", call(asked))];
    // One in a tenth of a second, or two where a place is looked up each time, and some at first.
    for (name, count) in [
        ("in circles", questions_in_ten_seconds(in_circles)),
        ("never there", questions_in_ten_seconds(never_there)),
        ("nowhere", questions_in_ten_seconds(nowhere)),
        ("backwards", questions_in_ten_seconds(backwards)),
        ("cut short", questions_in_ten_seconds(cut_short)),
    ] {
        assert!((50..=250).contains(&count), "{name}: {count}");
    }
}

/// Numbers that are near where something ends.
fn edge() -> impl Strategy<Value = i64> {
    prop_oneof![-2..10_i64, Just(i64::MAX), Just(i64::MIN), Just(i64::from(u32::MAX)), any::<i64>()]
}

/// A batch with something else in its header and, as from somebody who means it, the checksum that belongs to it.
fn strange_batch() -> impl Strategy<Value = Vec<u8>> {
    let of_header =
        (prop_oneof![Just(0..8_usize), Just(12..16), Just(21..61)], any::<[u8; 40]>(), 0..4_usize);
    of_header.prop_map(|(place, noise, base)| {
        let mut bytes = batch(&format!("{base}+2"));
        let length = place.len().min(8);
        bytes[place.start..][..length].copy_from_slice(&noise[..length]);
        let crc = klamm_model::crc32c(&bytes[klamm_model::position::ATTRIBUTES..]);
        bytes[klamm_model::position::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
        bytes
    })
}

proptest! {
    /// Whatever a broker says of a partition, in whatever order, it becomes an answer, an error or nothing.
    #[test]
    fn no_answer_makes_a_panic(
        answers in prop::collection::vec(
            (0..5_u8, 0..40_u64, prop_oneof![Just(0), -1..140_i16], -1..3_i32, edge(), edge(), edge(), prop::collection::vec(strange_batch(), 0..3)),
            1..40,
        ),
        isolation in prop_oneof![Just(Isolation::ReadUncommitted), Just(Isolation::ReadCommitted)],
    ) {
        let config = Config { isolation, out_of_range: OutOfRange::Latest, unpacked_batch_bytes_max: 1 << 16, ..Config::default() };
        let mut world = World::new(&config, &[1, 1], &[Start::At(Offset::ZERO), Start::Latest]);
        let machine = &mut world.machine;
        for (number, (kind, call, error_code, partition_index, one, two, three, batches)) in answers.into_iter().enumerate() {
            let now = Tick(number as u64 * 150_000);
            let (call, out) = (CallId(call.min(number as u64)), &mut world.effects);
            machine.advance(now, out);
            let epoch = three as i32;
            match kind {
                0 | 1 => {
                    let current_leader = LeaderIdAndEpoch { leader_id: one as i32, leader_epoch: epoch };
                    let partition = PartitionData {
                        partition_index, error_code, current_leader,
                        high_watermark: one, last_stable_offset: two, log_start_offset: three,
                        preferred_read_replica: two as i32,
                        aborted_transactions: Some(vec![AbortedTransaction { producer_id: two, first_offset: one }]),
                        records: Some(Records::Bytes(batches.concat().into())),
                        ..PartitionData::default()
                    };
                    let topic = FetchableTopicResponse { topic: "t".into(), partitions: vec![partition; 2], ..Default::default() };
                    let response = FetchResponse { session_id: one as i32, responses: vec![topic], ..Default::default() };
                    machine.fetched(now, call, response, out);
                }
                2 => {
                    let partition = ListOffsetsPartitionResponse { partition_index, error_code, offset: one, timestamp: two, leader_epoch: epoch };
                    let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: vec![partition; 2] };
                    machine.located(now, call, ListOffsetsResponse { topics: vec![topic], ..Default::default() }, out);
                }
                3 => {
                    let partition = EpochEndOffset { partition: partition_index, error_code, leader_epoch: epoch, end_offset: one };
                    let topic = OffsetForLeaderTopicResult { topic: "t".into(), partitions: vec![partition; 2] };
                    machine.validated(now, call, OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() }, out);
                }
                _ => machine.cluster_changed(cluster_in_epoch(&[one as i32, partition_index], epoch)),
            }
            machine.advance(now, out);
            out.clear();
            while let Some(taken) = machine.take() {
                // What is wrong with a batch or a partition is told.
                let _ = taken.map(|batch| batch.owned_records());
            }
            prop_assert!(machine.positions().all(|position| position.lag().is_none_or(|lag| lag <= i64::MAX as u64)));
        }
    }
}
