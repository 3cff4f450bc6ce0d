//! Brokers that mean no good (docs/HOSTILE_BROKER.md).

use klamm_model::Offset;
use proptest::prelude::*;

use super::super::super::config::TransactionalConfig;
use super::super::super::question::{GroupOffsets, Protocol};
use super::transactions::answer;
use super::*;
use crate::admin::PartitionName;
use crate::group::GroupMetadata;

/// How often a batch is sent within ten seconds if every request is answered like this a millisecond later.
fn requests_in_ten_seconds(answers: impl Fn(&str, u64) -> Vec<String>) -> usize {
    let mut world = World::new(Config { delivery_timeout_ms: 60_000, ..eager() }, &[1]);
    let mut count = 0;
    world.run("0 append 0 a\n1 identity #0 7 0");
    for now in 2..10_000 {
        let log = std::mem::take(&mut world.log);
        let sent = log.lines().filter_map(|line| line.trim().strip_prefix("send ")?.split(' ').next());
        let sent: Vec<_> = sent.map(str::to_owned).collect();
        count += sent.len();
        world.run(&format!("{now} tick"));
        for answer in sent.iter().flat_map(|call| answers(call, now)) {
            world.run(&format!("{now} {answer}"));
        }
    }
    count
}

#[test]
fn a_broker_that_leads_nowhere_is_asked_at_leisure() {
    let in_circles = |call: &str, now: u64| {
        vec![format!("error {call} NOT_LEADER_OR_FOLLOWER"), format!("leaders {}", 1 + now % 2)]
    };
    let never_right = |call: &str, _| vec![format!("error {call} OUT_OF_ORDER_SEQUENCE_NUMBER")];
    for (name, count) in [
        ("in circles", requests_in_ten_seconds(in_circles)),
        ("never right", requests_in_ten_seconds(never_right)),
    ] {
        assert!((50..=150).contains(&count), "{name}: {count}");
    }
}

proptest! {
    /// Whatever a broker answers, in whatever order: nothing is forgotten, and nothing panics.
    #[test]
    fn no_answer_makes_a_panic(
        answers in prop::collection::vec(
            (0..6_u8, 0..40_u64, prop_oneof![Just(0), -1..140_i16], -1..3_i32, prop_oneof![Just(i64::MAX), -2..9_i64, any::<i64>()], any::<i16>()),
            1..60,
        ),
    ) {
        let mut world = World::new(Config { batch_size: 80, ..eager() }, &[1, 1]);
        let machine = &mut world.machine;
        let mut out = Vec::new();
        let mut appended = 0;
        for (number, (kind, call, error_code, index, offset, epoch)) in answers.into_iter().enumerate() {
            let now = Tick(number as u64 * 50_000);
            let record = Record { partition: Some(number as i32 % 2), ..Record::new("t", b"value") };
            appended += u64::from(machine.append(now, Timestamp(0), &record).is_ok());
            machine.advance(now, &mut out);
            let call = CallId(call.min(number as u64));
            match kind {
                0 => {
                    let response = InitProducerIdResponse { error_code, producer_id: offset, producer_epoch: epoch, ..Default::default() };
                    machine.identified(now, call, &response, &mut out);
                }
                1 => machine.cluster_changed(cluster(&[index, i32::from(epoch)])),
                _ => {
                    let current_leader = LeaderIdAndEpoch { leader_id: index, leader_epoch: i32::from(epoch) };
                    let partition = PartitionProduceResponse {
                        index, error_code, base_offset: offset, log_append_time_ms: offset, current_leader, ..Default::default()
                    };
                    let topic = TopicProduceResponse { name: "t".into(), partition_responses: vec![partition; 2], ..Default::default() };
                    machine.produced(now, call, ProduceResponse { responses: vec![topic], ..Default::default() }, &mut out);
                }
            }
        }
        machine.abandon(&mut out);
        let ended = |effect: &Effect<u32>| match effect {
            Effect::Done(done) => {
                if let Ok(Written { base_offset: Some(base), .. }) = done.outcome {
                    // The last record has an offset too.
                    base.advance(done.record_count);
                }
                u64::from(done.record_count)
            }
            _ => 0,
        };
        prop_assert_eq!(out.iter().map(ended).sum::<u64>(), appended);
    }

    /// Whatever a coordinator answers, in whatever order: nothing panics, nothing is forgotten, and no end is told of a transaction that did not come to one.
    #[test]
    fn no_answer_about_transactions_makes_a_panic(
        answers in prop::collection::vec(
            (0..8_u8, 0..40_u64, prop_oneof![3 => Just(0), 1 => -1..140_i16], prop_oneof![Just(7), -2..9_i64, any::<i64>()], any::<i16>()),
            1..80,
        ),
        protocol in prop_oneof![Just(Protocol::Named), Just(Protocol::Implicit)],
    ) {
        let config = TransactionalConfig { producer: eager(), ..TransactionalConfig::new("me") };
        let mut machine: Machine<u32> = Machine::transactional(config, cluster(&[1, 1]), Random::new(1));
        let mut asked: BTreeMap<CallId, Question> = BTreeMap::new();
        let mut out = Vec::new();
        let (mut appended, mut ended) = (0, 0);
        for (number, (kind, call, error_code, id, epoch)) in answers.into_iter().enumerate() {
            let now = Tick(number as u64 * 50_000);
            let record = Record { partition: Some(number as i32 % 2), ..Record::new("t", b"value") };
            appended += u64::from(machine.append(now, Timestamp(0), &record).is_ok());
            let call = CallId(call.min(number as u64));
            match kind {
                0 => _ = machine.begin(protocol),
                1 => _ = machine.commit(),
                2 => _ = machine.abort(),
                3 => machine.let_go(),
                4 => {
                    let offsets = BTreeMap::from([(PartitionName::new("t", 0), Offset::new(3).into())]);
                    _ = machine.send_offsets(GroupOffsets { group: GroupMetadata::without_member("g"), offsets });
                }
                5 => {
                    let partition = PartitionProduceResponse { error_code, base_offset: 3, ..Default::default() };
                    let topic = TopicProduceResponse { name: "t".into(), partition_responses: vec![partition; 2], ..Default::default() };
                    machine.produced(now, call, ProduceResponse { responses: vec![topic], ..Default::default() }, &mut out);
                }
                _ => {
                    let question = asked.last_key_value().map(|(call, question)| (*call, question.clone()));
                    if let Some((call, question)) = question {
                        let (id, epoch) = (id.to_string(), epoch.to_string());
                        let code = ErrorCode::from_code(error_code).filter(|code| *code != ErrorCode::None);
                        let words = code.map_or(vec![&*id, &*epoch], |code| vec![code.name()]);
                        machine.coordinated(now, call, answer(&question, &words), &mut out);
                    }
                }
            }
            machine.advance(now, &mut out);
            for effect in out.drain(..) {
                match effect {
                    Effect::Ask { call, question, .. } => _ = asked.insert(call, question),
                    Effect::Done(done) => ended += u64::from(done.record_count),
                    _ => {}
                }
            }
        }
        machine.abandon(&mut out);
        ended += out.iter().map(|it| if let Effect::Done(done) = it { u64::from(done.record_count) } else { 0 }).sum::<u64>();
        prop_assert_eq!(ended, appended);
    }
}
