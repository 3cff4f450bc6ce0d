//! Scripts: each line is a moment in milliseconds and what happens then; below it stands what the machine wanted done.

mod exactly_once;
mod hostile;
mod network;
mod transactions;

use std::collections::BTreeSet;
use std::fmt::Write;

use expect_test::{Expect, expect};
use klamm_model::{BatchView, TopicId};
use klamm_wire::produce::{LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse};

use super::super::effect::Done;
use super::super::question::Question;
use super::*;
use crate::backoff::Backoff;
use crate::metadata::{Partition, Topic};
use crate::partitioner::Partitioner;

/// A cluster with topic "t": the leader of each partition, -1 for none.
fn cluster(leaders: &[i32]) -> Arc<Cluster> {
    let partitions = leaders
        .iter()
        .map(|&leader| Partition {
            leader: (leader >= 0).then_some(BrokerId(leader)),
            ..Partition::default()
        })
        .collect();
    let topic = Topic { id: TopicId::ZERO, error: ErrorCode::None, is_internal: false, partitions };
    Arc::new(Cluster { topics: BTreeMap::from([("t".into(), topic)]), ..Cluster::default() })
}

struct World {
    machine: Machine<u32>,
    effects: Vec<Effect<u32>>,
    sent: BTreeMap<CallId, Vec<i32>>,
    asked: BTreeMap<CallId, Question>,
    log: String,
}

impl World {
    fn new(config: Config, leaders: &[i32]) -> Self {
        Self::of(Machine::new(config, cluster(leaders), Random::new(1)))
    }

    fn of(machine: Machine<u32>) -> Self {
        let (effects, sent, asked) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { machine, effects, sent, asked, log: String::new() }
    }

    fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(self.log, "{line}").expect("writes to memory");
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = Tick(words[0].parse::<u64>().expect("a moment") * 1_000);
            self.happen(now, &words[1..]);
            self.machine.advance(now, &mut self.effects);
            for effect in std::mem::take(&mut self.effects) {
                self.tell(effect);
            }
        }
    }

    fn happen(&mut self, now: Tick, words: &[&str]) {
        match words {
            ["tick"] => {}
            // append PARTITION TEXT…; partition "-" leaves the choice to the machine, x*9 is nine times x
            ["append", partition, texts @ ..] => {
                for text in texts {
                    let text = match text.split_once('*') {
                        Some((letter, count)) => letter.repeat(count.parse().expect("a count")),
                        None => (*text).to_owned(),
                    };
                    let record =
                        Record { partition: partition.parse().ok(), ..Record::new("t", text.as_bytes()) };
                    self.append(now, &record);
                }
            }
            ["keyed", key, text] => {
                self.append(now, &Record::new("t", text.as_bytes()).with_key(key.as_bytes()))
            }
            ["leaders", leaders @ ..] => {
                let leaders: Vec<i32> =
                    leaders.iter().map(|leader| leader.parse().expect("a broker")).collect();
                self.machine.cluster_changed(cluster(&leaders));
            }
            ["identity", call, id, epoch] => {
                let response = InitProducerIdResponse {
                    producer_id: id.parse().expect("an id"),
                    producer_epoch: epoch.parse().expect("an epoch"),
                    ..InitProducerIdResponse::default()
                };
                self.machine.identified(now, call_of(call), &response, &mut self.effects);
            }
            // ok CALL OFFSET, or: error CALL CODE
            [kind @ ("ok" | "error"), call, what] => {
                let call = call_of(call);
                let (error_code, base_offset) = match *kind {
                    "ok" => (0, what.parse().expect("an offset")),
                    _ => (code_of(what), -1),
                };
                let partition_responses =
                    self.sent.remove(&call).unwrap_or_default().into_iter().map(|index| {
                        PartitionProduceResponse {
                            index,
                            error_code,
                            base_offset,
                            ..PartitionProduceResponse::default()
                        }
                    });
                let topic = TopicProduceResponse {
                    name: "t".into(),
                    partition_responses: partition_responses.collect(),
                    ..TopicProduceResponse::default()
                };
                let response = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
                self.machine.produced(now, call, response, &mut self.effects);
            }
            // refused by a broker that says who leads
            ["moved", call, leader, epoch] => {
                let partition = PartitionProduceResponse {
                    error_code: ErrorCode::NotLeaderOrFollower.code(),
                    current_leader: LeaderIdAndEpoch {
                        leader_id: leader.parse().expect("a broker"),
                        leader_epoch: epoch.parse().expect("an epoch"),
                    },
                    ..PartitionProduceResponse::default()
                };
                let topic = TopicProduceResponse {
                    name: "t".into(),
                    partition_responses: vec![partition],
                    ..TopicProduceResponse::default()
                };
                let response = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
                self.machine.produced(now, call_of(call), response, &mut self.effects);
            }
            ["broken", call] => {
                let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
                self.machine.call_failed(now, call_of(call), &error, &mut self.effects);
            }
            ["unsent", call] => {
                let error = CallError::UnknownBroker(BrokerId(5));
                self.machine.call_failed(now, call_of(call), &error, &mut self.effects);
            }
            ["flush"] => {
                self.machine.flush();
            }
            ["close"] => {
                self.machine.close();
            }
            ["abandon"] => self.machine.abandon(&mut self.effects),
            ["troubles"] => {
                let troubles = self.machine.troubles(now);
                troubles.iter().for_each(|trouble| self.note(&trouble.to_string()));
            }
            words => self.transact(now, words),
        }
    }

    fn append(&mut self, now: Tick, record: &Record<'_>) {
        match self.machine.append(now, Timestamp(0), record) {
            Ok(appended) => *appended.tag += 1,
            Err(Refused::Never(error) | Refused::NoSuchPartition(error)) => {
                self.note(&format!("never: {error}"))
            }
            Err(refused) => self.note(&format!("{refused:?}")),
        }
    }

    fn tell(&mut self, effect: Effect<u32>) {
        let text = match effect {
            Effect::Produce { call, broker, topics } => {
                let mut text = format!("send #{} to {broker}:", call.0);
                let mut partitions = Vec::new();
                for topic in topics {
                    for (partition, batch) in topic.partitions {
                        write!(text, " {}-{partition} {}", topic.name, described(&batch))
                            .expect("writes to memory");
                        partitions.push(partition);
                    }
                }
                self.sent.insert(call, partitions);
                text
            }
            Effect::InitProducerId { call } => format!("identify #{}", call.0),
            Effect::Ask { call, coordinator, question } => self.asked(call, coordinator, question),
            Effect::Progress => return,
            Effect::RefreshMetadata => "refresh".into(),
            Effect::LeaderHint(hint) => {
                format!("{}-{} is led by {}", hint.topic, hint.partition, hint.leader)
            }
            Effect::Room => "room".into(),
            Effect::Trouble(trouble) => format!("trouble: {trouble}"),
            Effect::Done(Done { tag, partition, first_place, record_count, outcome, .. }) => {
                assert!(first_place + record_count <= tag, "the tag follows its batch");
                match outcome {
                    Ok(written) => match written.base_offset {
                        Some(offset) => format!("{partition} x{record_count} written at {offset}"),
                        None => format!("{partition} x{record_count} written"),
                    },
                    Err(error) => format!("{partition} x{record_count} lost: {error}"),
                }
            }
        };
        self.note(&text);
    }

    fn note(&mut self, text: &str) {
        writeln!(self.log, "    {text}").expect("writes to memory");
    }
}

/// `7/0@3 a b`: producer 7 in epoch 0, first sequence 3, values a and b.
fn described(batch: &[u8]) -> String {
    let view = BatchView::parse(batch).expect("a batch");
    view.verify_crc().expect("a whole batch");
    let mut scratch = Vec::new();
    let values: Vec<_> = view
        .records(&mut scratch, 1 << 20)
        .expect("records")
        .map(|record| {
            let record = record.expect("a record");
            String::from_utf8_lossy(record.value.unwrap_or_default()).chars().take(8).collect::<String>()
        })
        .collect();
    match view.header().producer {
        Some(it) => format!("{}/{}@{} [{}]", it.id, it.epoch, it.base_sequence, values.join(" ")),
        None => format!("[{}]", values.join(" ")),
    }
}

fn code_of(name: &str) -> i16 {
    ErrorCode::ALL.iter().find(|code| code.name() == name).expect("a code").code()
}

fn call_of(word: &str) -> CallId {
    CallId(word.trim_start_matches('#').parse().expect("a call"))
}

fn check_with(config: Config, leaders: &[i32], script: &str, expected: &Expect) {
    let mut world = World::new(config, leaders);
    world.run(script);
    expected.assert_eq(&world.log);
}

fn eager() -> Config {
    let backoff = Backoff { first_ms: 100, longest_ms: 100 };
    Config { linger_ms: 0, backoff, delivery_timeout_ms: 2_000, ..Config::default() }
}

/// One partition, led by broker 1, no lingering, and an identity as producer 7 in epoch 0.
fn check(script: &str, expected: &Expect) {
    check_with(eager(), &[1], &format!("0 append 0 a\n1 identity #0 7 0\n{script}"), expected);
}

/// The same, and the broker has something of this producer.
fn check_known(script: &str, expected: &Expect) {
    check(&format!("1 ok #1 0\n2 append 0 b\n{script}"), expected);
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_somebody_waits() {
    let config = Config { idempotent: false, batch_size: 400, linger_ms: 5, ..eager() };
    check_with(
        config,
        &[1],
        "0 append 0 a\n 4 append 0 b\n 5 tick\n 6 append 0 x*200 x*200\n 7 append 0 c\n 8 flush",
        &expect![[r#"
            0 append 0 a
            4 append 0 b
            5 tick
                send #0 to 1: t-0 [a b]
            6 append 0 x*200 x*200
                send #1 to 1: t-0 [xxxxxxxx]
                send #2 to 1: t-0 [xxxxxxxx]
            7 append 0 c
            8 flush
                send #3 to 1: t-0 [c]
        "#]],
    );
}

#[test]
fn nothing_overtakes_the_first_batch_of_a_partition() {
    // A broker that knows nothing of the producer takes any number as the first: here the second would have been stored before the first.
    check(
        "2 append 0 b\n 3 error #1 NOT_ENOUGH_REPLICAS\n 4 append 0 c\n 200 ok #2 0\n 201 append 0 d",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            2 append 0 b
            3 error #1 NOT_ENOUGH_REPLICAS
            4 append 0 c
            200 ok #2 0
                send #2 to 1: t-0 7/0@0 [a]
            201 append 0 d
        "#]],
    );
}

#[test]
fn what_stands_in_the_way_is_known_told_once_if_it_lasts_and_named_in_the_end() {
    check_with(
        Config { delivery_timeout_ms: 10_000, ..eager() },
        &[1],
        "0 append 0 a\n 1 broken #0\n 2 troubles\n 200 tick\n 201 identity #1 7 0\n 202 error #2 NOT_ENOUGH_REPLICAS\n 203 troubles\n 5400 tick\n \
        5401 error #3 KAFKA_STORAGE_ERROR\n 5600 tick\n 5601 error #4 KAFKA_STORAGE_ERROR\n 5602 troubles\n 5603 leaders -1\n 5604 troubles\n 11000 tick",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 broken #0
            2 troubles
                t-0: the connection to b broke: cut (once in 0 s)
            200 tick
                identify #1
            201 identity #1 7 0
                send #2 to 1: t-0 7/0@0 [a]
            202 error #2 NOT_ENOUGH_REPLICAS
            203 troubles
                t-0: the broker answered NOT_ENOUGH_REPLICAS (broker 1, once in 0 s)
            5400 tick
                send #3 to 1: t-0 7/0@0 [a]
            5401 error #3 KAFKA_STORAGE_ERROR
                refresh
                trouble: t-0: the broker answered KAFKA_STORAGE_ERROR (broker 1, once, once for other reasons before, 5 s in all)
            5600 tick
                send #4 to 1: t-0 7/0@0 [a]
            5601 error #4 KAFKA_STORAGE_ERROR
                refresh
            5602 troubles
                t-0: the broker answered KAFKA_STORAGE_ERROR (broker 1, 2 times, once for other reasons before, 5 s in all)
            5603 leaders -1
                refresh
            5604 troubles
                t-0: nobody leads it (3 times for other reasons before, 5 s in all)
                refresh
            11000 tick
                0 x1 lost: t-0: not known to be written after 3 tries: no acknowledgement within 10000 ms; what stood in the way: the broker answered KAFKA_STORAGE_ERROR
        "#]],
    );
    check_with(
        eager(),
        &[-1],
        "0 append 0 a\n 1 identity #0 7 0\n 2 troubles\n 2500 tick",
        &expect![[r#"
        0 append 0 a
            identify #0
        1 identity #0 7 0
            refresh
        2 troubles
            t-0: nobody leads it (for 0 s)
            refresh
        2500 tick
            0 x1 lost: t-0: not sent: no acknowledgement within 2000 ms; what stood in the way: nobody leads it
    "#]],
    );
}

/// One of each of 16 partitions, in whatever order they are tried.
#[test]
fn what_stands_in_the_way_of_many_is_told_once_and_the_longest_comes_first() {
    let check = |idempotent: bool, leader: i32, script: &str, expected: &Expect| {
        let config = Config { delivery_timeout_ms: 60_000, idempotent, ..eager() };
        let mut world = World::new(config, &[leader; 16]);
        world.run("0 append 9 a");
        for partition in (0..16).rev().filter(|&it| it != 9) {
            world.run(&format!("1 append {partition} a"));
        }
        world.log.clear();
        for line in script.lines() {
            world.run(line);
            let troubles = world.machine.troubles(Tick(60_000_000));
            let order: Vec<_> = troubles.iter().map(|it| it.partition).collect();
            assert!(order.is_empty() || order[..2] == [9, 0] || order[..2] == [0, 1], "{line}: {order:?}");
        }
        expected.assert_eq(&world.log);
    };
    // Nobody leads them; then who does is dead.
    let dead = "4900 tick\n 5001 tick\n 6000 tick\n 7000 leaders 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n 7001 broken #0\n 7300 tick\n 7301 broken #1";
    check(
        false,
        -1,
        dead,
        &expect![[r#"
        4900 tick
            refresh
        5001 tick
            refresh
            trouble: t-9: nobody leads it (for 5 s), and 15 more partitions
        6000 tick
            refresh
        7000 leaders 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
            send #0 to 1: t-14 [a] t-5 [a] t-11 [a] t-4 [a] t-15 [a] t-3 [a] t-10 [a] t-2 [a] t-13 [a] t-1 [a] t-8 [a] t-0 [a] t-9 [a] t-7 [a] t-12 [a] t-6 [a]
        7001 broken #0
            refresh
        7300 tick
            send #1 to 1: t-11 [a] t-4 [a] t-15 [a] t-3 [a] t-10 [a] t-2 [a] t-13 [a] t-1 [a] t-8 [a] t-0 [a] t-9 [a] t-7 [a] t-12 [a] t-6 [a] t-14 [a] t-5 [a]
        7301 broken #1
            refresh
    "#]],
    );
    // Nobody gives an identity.
    check(
        true,
        1,
        "2 broken #0\n300 tick\n301 broken #1\n5200 tick\n5201 broken #2\n5400 tick\n5401 broken #3",
        &expect![[r#"
            2 broken #0
            300 tick
                identify #1
            301 broken #1
            5200 tick
                identify #2
            5201 broken #2
                trouble: t-0: the connection to b broke: cut (3 times in 5 s), and 15 more partitions
            5400 tick
                identify #3
            5401 broken #3
        "#]],
    );
}

#[test]
fn who_gave_up_what_it_had_asks_for_no_identity() {
    check_with(
        eager(),
        &[1],
        "0 append 0 a\n 1 broken #0\n 2 abandon\n 1000 tick",
        &expect![[r#"
        0 append 0 a
            identify #0
        1 broken #0
        2 abandon
            0 x1 lost: t-0: not sent: the producer was closed before an acknowledgement came
        1000 tick
    "#]],
    );
}

#[test]
fn five_batches_are_under_way_and_no_more() {
    check_known(
        "2 append 0 c\n 3 append 0 d\n 4 append 0 e\n 5 append 0 f\n 6 append 0 g h\n 7 append 0 i\n 8 ok #2 0\n 9 ok #3 1",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 append 0 d
                send #4 to 1: t-0 7/0@3 [d]
            4 append 0 e
                send #5 to 1: t-0 7/0@4 [e]
            5 append 0 f
                send #6 to 1: t-0 7/0@5 [f]
            6 append 0 g h
            7 append 0 i
            8 ok #2 0
                0 x1 written at 0
                send #7 to 1: t-0 7/0@6 [g h i]
            9 ok #3 1
                0 x1 written at 1
        "#]],
    );
}

#[test]
fn after_a_broken_connection_batches_go_again_one_by_one_under_their_numbers() {
    check_known(
        "2 append 0 c\n 3 append 0 d\n 4 broken #2\n 4 broken #3\n 4 broken #4\n 5 append 0 e\n 200 tick\n 201 ok #5 0\n 400 ok #6 1\n 401 ok #7 2",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 append 0 d
                send #4 to 1: t-0 7/0@3 [d]
            4 broken #2
                refresh
            4 broken #3
                refresh
            4 broken #4
                refresh
            5 append 0 e
            200 tick
                send #5 to 1: t-0 7/0@1 [b]
            201 ok #5 0
                0 x1 written at 0
                send #6 to 1: t-0 7/0@2 [c]
            400 ok #6 1
                0 x1 written at 1
                send #7 to 1: t-0 7/0@3 [d]
                send #8 to 1: t-0 7/0@4 [e]
            401 ok #7 2
                0 x1 written at 2
        "#]],
    );
}

#[test]
fn what_came_too_early_is_sent_again_after_what_was_missing() {
    check_known(
        "2 append 0 c\n 3 error #2 NOT_ENOUGH_REPLICAS\n 4 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER\n 200 tick\n 201 ok #4 0\n 202 ok #5 1",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 error #2 NOT_ENOUGH_REPLICAS
            4 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER
            200 tick
                send #4 to 1: t-0 7/0@1 [b]
            201 ok #4 0
                0 x1 written at 0
                send #5 to 1: t-0 7/0@2 [c]
            202 ok #5 1
                0 x1 written at 1
        "#]],
    );
}

#[test]
fn what_was_stored_already_counts_as_written() {
    check(
        "2 broken #1\n 200 tick\n 201 error #2 DUPLICATE_SEQUENCE_NUMBER",
        &expect![[r#"
        0 append 0 a
            identify #0
        1 identity #0 7 0
            send #1 to 1: t-0 7/0@0 [a]
        2 broken #1
            refresh
        200 tick
            send #2 to 1: t-0 7/0@0 [a]
        201 error #2 DUPLICATE_SEQUENCE_NUMBER
            0 x1 written
    "#]],
    );
}

#[test]
fn a_refused_batch_leaves_no_hole_in_the_numbers() {
    check(
        "2 error #1 MESSAGE_TOO_LARGE\n 3 append 0 b\n 4 ok #2 0",
        &expect![[r#"
        0 append 0 a
            identify #0
        1 identity #0 7 0
            send #1 to 1: t-0 7/0@0 [a]
        2 error #1 MESSAGE_TOO_LARGE
            0 x1 lost: t-0: not written after 1 try: the broker answered MESSAGE_TOO_LARGE
        3 append 0 b
            send #2 to 1: t-0 7/0@0 [b]
        4 ok #2 0
            0 x1 written at 0
    "#]],
    );
}

#[test]
fn a_batch_that_is_too_large_is_cut_until_its_records_fit_or_one_alone_does_not() {
    check_with(
        eager(),
        &[1],
        "0 append 0 z\n 0 identity #0 7 0\n 0 ok #1 0\n 1 append 0 a b c\n  2 append 0 d\n 3 flush\n 4 error #2 MESSAGE_TOO_LARGE\n 5 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER\n 6 ok #4 0\n 7 error #5 MESSAGE_TOO_LARGE\n 8 ok #6 1\n 9 error #7 MESSAGE_TOO_LARGE\n 10 ok #8 2",
        &expect![[r#"
            0 append 0 z
                identify #0
            0 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [z]
            0 ok #1 0
                0 x1 written at 0
            1 append 0 a b c
                send #2 to 1: t-0 7/0@1 [a b c]
            2 append 0 d
                send #3 to 1: t-0 7/0@4 [d]
            3 flush
            4 error #2 MESSAGE_TOO_LARGE
                send #4 to 1: t-0 7/0@1 [a]
            5 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER
            6 ok #4 0
                0 x1 written at 0
                send #5 to 1: t-0 7/0@2 [b c]
            7 error #5 MESSAGE_TOO_LARGE
                send #6 to 1: t-0 7/0@2 [b]
            8 ok #6 1
                0 x1 written at 1
                send #7 to 1: t-0 7/0@3 [c]
            9 error #7 MESSAGE_TOO_LARGE
                0 x1 lost: t-0: not written after 3 tries: the broker answered MESSAGE_TOO_LARGE
                send #8 to 1: t-0 7/1@0 [d]
            10 ok #8 2
                0 x1 written at 2
        "#]],
    );
}

#[test]
fn parts_of_a_batch_that_may_be_stored_as_a_whole_are_not_stored_under_other_numbers() {
    // The first answer got lost, and the topic takes less since: the broker has the whole batch and knows no part of it.
    check_with(
        eager(),
        &[1],
        "0 append 0 a b\n 1 identity #0 7 0\n 2 broken #1\n 150 tick\n 200 error #2 MESSAGE_TOO_LARGE\n 201 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER\n 202 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER\n 203 append 0 c",
        &expect![[r#"
            0 append 0 a b
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a b]
            2 broken #1
                refresh
            150 tick
                send #2 to 1: t-0 7/0@0 [a b]
            200 error #2 MESSAGE_TOO_LARGE
                send #3 to 1: t-0 7/0@0 [a]
            201 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER
                0 x1 lost: t-0: not known to be written after 3 tries: the broker answered OUT_OF_ORDER_SEQUENCE_NUMBER
                send #4 to 1: t-0 7/0@1 [b]
            202 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER
                0 x1 lost: t-0: not known to be written after 3 tries: the broker answered OUT_OF_ORDER_SEQUENCE_NUMBER
            203 append 0 c
                send #5 to 1: t-0 7/1@0 [c]
        "#]],
    );
}

#[test]
fn batches_behind_a_refused_one_begin_again_in_a_new_epoch() {
    check_known(
        "2 append 0 c\n 3 append 0 d\n 4 error #2 INVALID_RECORD\n 5 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER\n 6 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER\n 7 ok #5 0\n 8 ok #6 1",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 append 0 d
                send #4 to 1: t-0 7/0@3 [d]
            4 error #2 INVALID_RECORD
                0 x1 lost: t-0: not written after 1 try: the broker answered INVALID_RECORD
            5 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER
            6 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER
                send #5 to 1: t-0 7/1@0 [c]
            7 ok #5 0
                0 x1 written at 0
                send #6 to 1: t-0 7/1@1 [d]
            8 ok #6 1
                0 x1 written at 1
        "#]],
    );
}

#[test]
fn a_batch_that_may_be_stored_keeps_its_number_in_spite_of_a_new_epoch() {
    // The first is refused while the second is lost on the way: was it stored? Only its old number can tell, and only the
    // leader knows: who is none any more may say the same, so it is asked again. In the end the caller has to know that nobody knows.
    check_known(
        "2 append 0 c\n 3 error #2 INVALID_RECORD\n 4 broken #3\n 200 tick\n 201 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER\n 400 tick\n 401 error #5 OUT_OF_ORDER_SEQUENCE_NUMBER\n 600 tick\n 601 error #6 OUT_OF_ORDER_SEQUENCE_NUMBER\n 800 tick\n 801 error #7 OUT_OF_ORDER_SEQUENCE_NUMBER\n 802 append 0 d",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 error #2 INVALID_RECORD
                0 x1 lost: t-0: not written after 1 try: the broker answered INVALID_RECORD
            4 broken #3
                refresh
            200 tick
                send #4 to 1: t-0 7/0@2 [c]
            201 error #4 OUT_OF_ORDER_SEQUENCE_NUMBER
                refresh
            400 tick
                send #5 to 1: t-0 7/0@2 [c]
            401 error #5 OUT_OF_ORDER_SEQUENCE_NUMBER
                refresh
            600 tick
                send #6 to 1: t-0 7/0@2 [c]
            601 error #6 OUT_OF_ORDER_SEQUENCE_NUMBER
                refresh
            800 tick
                send #7 to 1: t-0 7/0@2 [c]
            801 error #7 OUT_OF_ORDER_SEQUENCE_NUMBER
                0 x1 lost: t-0: not known to be written after 5 tries: the broker answered OUT_OF_ORDER_SEQUENCE_NUMBER
            802 append 0 d
                send #8 to 1: t-0 7/1@0 [d]
        "#]],
    );
}

#[test]
fn a_producer_the_broker_has_forgotten_begins_again() {
    check(
        "2 ok #1 0\n 3 append 0 b\n 4 error #2 UNKNOWN_PRODUCER_ID\n 5 ok #3 1",
        &expect![[r#"
        0 append 0 a
            identify #0
        1 identity #0 7 0
            send #1 to 1: t-0 7/0@0 [a]
        2 ok #1 0
            0 x1 written at 0
        3 append 0 b
            send #2 to 1: t-0 7/0@1 [b]
        4 error #2 UNKNOWN_PRODUCER_ID
            send #3 to 1: t-0 7/1@0 [b]
        5 ok #3 1
            0 x1 written at 1
    "#]],
    );
}

/// The first request of each of two brokers stays without an answer; one of them leads a part of what it was asked to write still.
#[test]
fn a_broker_that_stands_still_is_not_waited_for_once_others_lead() {
    let config = Config { idempotent: true, delivery_timeout_ms: 60_000, ..eager() };
    check_with(
        config,
        &[1, 2, 2],
        "0 append 0 a
         1 identity #0 7 0
         2 append 1 b
         2 append 2 c
         3 flush
         900 append 0 d
         999 tick
         1001 tick
         1010 leaders 3 3 2
         1400 tick
         1401 ok #3 0
         2100 ok #1 0
         2101 leaders 3 3 3
         2500 tick",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            2 append 1 b
                send #2 to 2: t-1 7/0@0 [b]
            2 append 2 c
                send #3 to 2: t-2 7/0@0 [c]
            3 flush
            900 append 0 d
            999 tick
            1001 tick
                refresh
            1010 leaders 3 3 2
                refresh
            1400 tick
                send #4 to 3: t-1 7/0@0 [b] t-0 7/0@0 [a]
            1401 ok #3 0
                2 x1 written at 0
            2100 ok #1 0
            2101 leaders 3 3 3
            2500 tick
                refresh
        "#]],
    );
}

#[test]
fn a_batch_follows_its_leader() {
    check(
        "2 error #1 NOT_LEADER_OR_FOLLOWER\n 3 leaders 2\n 4 error #2 NOT_LEADER_OR_FOLLOWER\n 5 leaders -1\n 200 tick\n 300 leaders 3\n 301 ok #3 0",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            2 error #1 NOT_LEADER_OR_FOLLOWER
                refresh
            3 leaders 2
                send #2 to 2: t-0 7/0@0 [a]
            4 error #2 NOT_LEADER_OR_FOLLOWER
                refresh
            5 leaders -1
                refresh
            200 tick
                refresh
            300 leaders 3
                send #3 to 3: t-0 7/0@0 [a]
            301 ok #3 0
                0 x1 written at 0
        "#]],
    );
}

#[test]
fn who_led_a_partition_says_who_does() {
    check(
        "2 moved #1 2 5\n 3 leaders 2\n 4 moved #2 -1 -1",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            2 moved #1 2 5
                t-0 is led by 2
                refresh
            3 leaders 2
                send #2 to 2: t-0 7/0@0 [a]
            4 moved #2 -1 -1
                refresh
        "#]],
    );
}

#[test]
fn at_last_it_is_given_up_with_the_reason() {
    check_known(
        "2 error #2 NOT_ENOUGH_REPLICAS\n 200 error #3 NOT_ENOUGH_REPLICAS\n 300 append 0 c\n 2001 tick\n 2002 error #4 NOT_ENOUGH_REPLICAS\n 2003 tick\n 2300 tick\n 2302 tick",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 error #2 NOT_ENOUGH_REPLICAS
            200 error #3 NOT_ENOUGH_REPLICAS
                send #3 to 1: t-0 7/0@1 [b]
            300 append 0 c
                send #4 to 1: t-0 7/0@2 [c]
            2001 tick
                refresh
            2002 error #4 NOT_ENOUGH_REPLICAS
            2003 tick
                0 x1 lost: t-0: not known to be written after 2 tries: no acknowledgement within 2000 ms; what stood in the way: the broker answered NOT_ENOUGH_REPLICAS
            2300 tick
                send #5 to 1: t-0 7/1@0 [c]
            2302 tick
                0 x1 lost: t-0: not known to be written after 2 tries: no acknowledgement within 2000 ms; what stood in the way: the broker answered NOT_ENOUGH_REPLICAS
        "#]],
    );
}

#[test]
fn without_an_identity_nothing_is_sent() {
    check_with(
        eager(),
        &[1],
        "0 append 0 a\n 1 broken #0\n 2 tick\n 200 tick\n 201 identity #1 8 0",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 broken #0
            2 tick
            200 tick
                identify #1
            201 identity #1 8 0
                send #2 to 1: t-0 8/0@0 [a]
        "#]],
    );
}

#[test]
fn the_buffer_is_bounded_and_tells_when_there_is_room() {
    let config =
        Config { idempotent: false, buffer_memory: 1_000, linger_ms: 5, batch_size: 4_000, ..eager() };
    check_with(
        config,
        &[1],
        "0 append 0 y*400 y*400 y*400\n 1 ok #0 0\n 2 append 0 y*400 z*1000",
        &expect![[r#"
            0 append 0 y*400 y*400 y*400
                Full
                send #0 to 1: t-0 [yyyyyyyy yyyyyyyy]
            1 ok #0 0
                0 x2 written at 0
                room
            2 append 0 y*400 z*1000
                never: t-0: not sent: the record takes 1036 bytes, the limit is 1000
        "#]],
    );
}

#[test]
fn without_acks_a_record_counts_when_it_is_sent() {
    check_with(
        Config { acks: Acks::None, ..eager() },
        &[1],
        "0 append 0 a\n 1 ok #0 -1",
        &expect![[r#"
        0 append 0 a
            send #0 to 1: t-0 [a]
        1 ok #0 -1
            0 x1 written
    "#]],
    );
}

#[test]
fn keys_decide_and_the_rest_sticks_to_a_partition_until_its_batch_is_full() {
    let config = Config { idempotent: false, batch_size: 200, linger_ms: 5, ..eager() };
    check_with(
        config,
        &[1, 1, 2],
        "0 keyed 21 a\n 1 append - b c d e f g h i j k l m n o p\n 2 append 9 q\n 10 flush",
        &expect![[r#"
            0 keyed 21 a
            1 append - b c d e f g h i j k l m n o p
            2 append 9 q
                never: t-9: not sent: the topic has 3 partitions, from 0
            10 flush
                send #0 to 1: t-0 [a] t-1 [b c d e f g h i j k l m n]
                send #1 to 2: t-2 [o p]
        "#]],
    );
}

#[test]
fn one_request_takes_one_batch_of_each_partition_up_to_its_size() {
    let config = Config { idempotent: false, request_size_max: 500, ..eager() };
    check_with(
        config,
        &[1, 1, 1],
        "0 append 0 x*300\n 0 append 1 a\n 0 leaders -1 -1 -1\n 0 append 0 x*300\n 0 append 1 b\n 0 append 2 c\n 1 leaders 1 1 1",
        &expect![[r#"
            0 append 0 x*300
                send #0 to 1: t-0 [xxxxxxxx]
            0 append 1 a
                send #1 to 1: t-1 [a]
            0 leaders -1 -1 -1
            0 append 0 x*300
                refresh
            0 append 1 b
                refresh
            0 append 2 c
                refresh
            1 leaders 1 1 1
                send #2 to 1: t-1 [b] t-2 [c]
                send #3 to 1: t-0 [xxxxxxxx]
        "#]],
    );
}

#[test]
fn a_partitioner_of_your_own_chooses_unless_it_leaves_that_to_the_key() {
    let by_length = |record: &Record<'_>, count, _: &Cluster| match record.value?.len() as i32 {
        1 => None,
        length => Some(length % (count + 1)),
    };
    let partitioner = Some(Partitioner::new(by_length));
    let config = Config { idempotent: false, linger_ms: 5, partitioner, ..eager() };
    check_with(
        config,
        &[1, 1, 2],
        "0 keyed 21 a\n 1 keyed 21 bb\n 2 append - 999\n 3 append 1 999\n 10 flush",
        &expect![[r#"
            0 keyed 21 a
            1 keyed 21 bb
            2 append - 999
                never: t: not sent: the topic has 3 partitions, from 0
            3 append 1 999
            10 flush
                send #0 to 1: t-1 [999] t-0 [a]
                send #1 to 2: t-2 [bb]
        "#]],
    );
}

#[test]
fn keys_may_be_ignored() {
    let mut machine =
        Machine::<u32>::new(Config { ignores_keys: true, ..eager() }, cluster(&[1; 16]), Random::new(1));
    let mut chosen = |value: &[u8]| {
        let record = Record::new("t", value).with_key(b"21");
        machine.append(Tick(0), Timestamp(0), &record).expect("there is room").partition
    };
    let partitions: BTreeSet<i32> = (0..8).map(|_| chosen(&[0; 16_000])).collect();
    assert!(partitions.len() > 1, "{partitions:?}");
}

#[test]
fn partitions_get_the_same_number_of_bytes_whether_batches_are_full_or_not() {
    for (linger_ms, pause_ms) in [(5, 0), (5, 1), (5, 6)] {
        let config = Config { idempotent: false, linger_ms, batch_size: 1_000, acks: Acks::None, ..eager() };
        let mut machine = Machine::<u32>::new(config, cluster(&[1, 1, 1, 1]), Random::new(1));
        let (mut sizes, mut now, mut effects) = ([0; 4], Tick(0), Vec::new());
        for number in 0..20_000 {
            let value = vec![0; 20 + number % 300];
            let appended =
                machine.append(now, Timestamp(0), &Record::new("t", &value)).expect("there is room");
            sizes[appended.partition as usize] += value.len();
            now = now.after_ms(pause_ms);
            machine.advance(now, &mut effects);
            for effect in std::mem::take(&mut effects) {
                if let Effect::Produce { call, .. } = effect {
                    machine.produced(now, call, ProduceResponse::default(), &mut effects);
                }
            }
        }
        let (least, most) = (sizes.iter().min(), sizes.iter().max());
        assert!(
            most.zip(least).is_some_and(|(most, least)| most - least < least / 4),
            "{pause_ms}: {sizes:?}"
        );
    }
}

#[test]
fn a_batch_is_sent_again_as_often_as_allowed() {
    let config = Config { idempotent: false, retries_max: 1, ..eager() };
    check_with(
        config,
        &[1],
        "0 append 0 a\n 1 error #0 NOT_ENOUGH_REPLICAS\n 200 tick\n 201 broken #1",
        &expect![[r#"
            0 append 0 a
                send #0 to 1: t-0 [a]
            1 error #0 NOT_ENOUGH_REPLICAS
            200 tick
                send #1 to 1: t-0 [a]
            201 broken #1
                refresh
                0 x1 lost: t-0: not known to be written after 2 tries: the connection to b broke: cut
        "#]],
    );
}

#[test]
fn who_closes_without_patience_hears_of_every_batch() {
    check_known(
        "2 append 0 c\n 3 broken #2\n 4 abandon\n 5 ok #3 0\n 6 append 0 d",
        &expect![[r#"
            0 append 0 a
                identify #0
            1 identity #0 7 0
                send #1 to 1: t-0 7/0@0 [a]
            1 ok #1 0
                0 x1 written at 0
            2 append 0 b
                send #2 to 1: t-0 7/0@1 [b]
            2 append 0 c
                send #3 to 1: t-0 7/0@2 [c]
            3 broken #2
                refresh
            4 abandon
                0 x1 lost: t-0: not known to be written after 1 try: the producer was closed before an acknowledgement came
                0 x1 lost: t-0: not known to be written after 1 try: the producer was closed before an acknowledgement came
            5 ok #3 0
            6 append 0 d
                never: t-0: not sent: the producer is closed
        "#]],
    );
}

#[test]
fn a_closed_producer_finishes_what_it_has() {
    let mut world = World::new(Config { linger_ms: 1_000, idempotent: false, ..eager() }, &[1]);
    world.run("0 append 0 a\n 1 close\n 2 append 0 b");
    assert!(!world.machine.is_finished());
    world.run("3 ok #0 0");
    assert!(world.machine.is_finished());
    assert_eq!(world.machine.buffered(), 0);
}
