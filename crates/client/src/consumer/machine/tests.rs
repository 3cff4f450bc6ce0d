//! Scripts: each line is a moment in milliseconds and what happens then; below it stands what the machine wanted done.

mod hostile;

use std::fmt::Write;

use expect_test::{Expect, expect};
use klamm_model::{BatchBuilder, LeaderEpoch, Offset, Producer, ProducerEpoch, ProducerId, Seal, Timestamp};
use klamm_wire::fetch::{AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
use klamm_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use klamm_wire::offset_for_leader_epoch::{EpochEndOffset, OffsetForLeaderTopicResult};
use klamm_wire::{FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, Records};

use super::super::config::Isolation;
use super::*;
use crate::call::CallError;
use crate::metadata::{Partition, Topic};

fn cluster(leaders: &[i32]) -> Arc<Cluster> {
    cluster_in_epoch(leaders, 0)
}

fn cluster_in_epoch(leaders: &[i32], leader_epoch: i32) -> Arc<Cluster> {
    let partitions = leaders
        .iter()
        .map(|&leader| Partition {
            leader: (leader >= 0).then_some(BrokerId(leader)),
            leader_epoch,
            ..Partition::default()
        })
        .collect();
    let topic = Topic { id: TopicId::ZERO, error: ErrorCode::None, is_internal: false, partitions };
    Arc::new(Cluster { topics: BTreeMap::from([("t".into(), topic)]), ..Cluster::default() })
}

/// A batch as a log holds it: BASE+COUNT, or BASE+COUNT@EPOCH of its leader; in a transaction of producer 7 t7:BASE+COUNT, and the ends of transactions
/// commit7:BASE+1 and abort7:BASE+1.
fn batch(word: &str) -> Vec<u8> {
    let (kind, extent) = word.split_once(':').unwrap_or(("", word));
    let (extent, leader_epoch) = extent.split_once('@').unwrap_or((extent, "0"));
    let (base, count) = extent.split_once('+').expect("base+count");
    let (base, count): (i64, u32) = (base.parse().expect("a base"), count.parse().expect("a count"));
    let name = kind.trim_end_matches(|it: char| it.is_ascii_digit());
    let producer = kind[name.len()..].parse().ok().map(|id| Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        base_sequence: 0,
    });
    let key = match name {
        "abort" => Some(&[0, 0, 0, 0][..]),
        "commit" => Some(&[0, 0, 0, 1][..]),
        _ => None,
    };
    let mut builder = BatchBuilder::default();
    for number in 0..count {
        builder.append(Timestamp(0), key, Some(format!("r{}", base + i64::from(number)).as_bytes()), &[]);
    }
    let seal = Seal {
        base_offset: Offset::new(base),
        leader_epoch: Some(LeaderEpoch(leader_epoch.parse().expect("an epoch"))),
        producer,
        is_transactional: producer.is_some(),
        is_control: key.is_some(),
        ..Seal::default()
    };
    builder.finish(&seal).to_vec()
}

struct World {
    machine: Machine,
    effects: Vec<Effect>,
    session: i32,
    log: String,
}

impl World {
    fn new(config: &Config, leaders: &[i32], starts: &[Start]) -> Self {
        let backoff = crate::Backoff { first_ms: 100, longest_ms: 100 };
        let config = Config { backoff, ..config.clone() };
        let mut machine = Machine::new(config, cluster(leaders), Random::new(1));
        machine.assign(starts.iter().enumerate().map(|(number, &start)| Assignment {
            topic: "t".into(),
            partition: number as i32,
            start,
        }));
        Self { machine, effects: Vec::new(), session: 0, log: String::new() }
    }

    fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(self.log, "{line}").expect("writes to memory");
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = Tick(words[0].parse::<u64>().expect("a moment") * 1_000);
            self.happen(now, &words[1..]);
            self.machine.advance(now, &mut self.effects);
            for effect in std::mem::take(&mut self.effects) {
                self.tell(&effect);
            }
        }
    }

    fn happen(&mut self, now: Tick, words: &[&str]) {
        match words {
            ["tick"] => {}
            ["leaders", leaders @ ..] => {
                let leaders: Vec<i32> =
                    leaders.iter().map(|leader| leader.parse().expect("a broker")).collect();
                self.machine.cluster_changed(cluster(&leaders));
            }
            // located CALL PARTITION:OFFSET…
            ["located", call, found @ ..] => {
                let partitions = found.iter().map(|pair| {
                    let (partition, offset) = pair.split_once(':').expect("partition:offset");
                    ListOffsetsPartitionResponse {
                        partition_index: partition.parse().expect("a partition"),
                        offset: offset.parse().expect("an offset"),
                        ..ListOffsetsPartitionResponse::default()
                    }
                });
                let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: partitions.collect() };
                let response = ListOffsetsResponse { topics: vec![topic], ..ListOffsetsResponse::default() };
                self.machine.located(now, call_of(call), response, &mut self.effects);
            }
            // another ID: the topic was deleted and made anew
            ["another", id] => {
                let mut cluster = (*cluster(&[1])).clone();
                let id: u128 = id.parse().expect("an id");
                cluster.topics.get_mut("t").expect("there").id = TopicId(uuid::Uuid::from_u128(id));
                self.machine.cluster_changed(Arc::new(cluster));
            }
            ["epoch", epoch, leaders @ ..] => {
                let leaders: Vec<i32> =
                    leaders.iter().map(|leader| leader.parse().expect("a broker")).collect();
                let epoch = epoch.parse().expect("an epoch");
                self.machine.cluster_changed(cluster_in_epoch(&leaders, epoch));
            }
            ["seek", partition, offset] => {
                let to = Start::At(Offset::new(offset.parse().expect("an offset")));
                assert!(self.machine.seek("t", partition.parse().expect("a partition"), to));
            }
            [pause @ ("pause" | "resume"), partition] => {
                let partition = partition.parse().expect("a partition");
                assert!(self.machine.pause("t", partition, *pause == "pause"));
            }
            // validated CALL PARTITION EPOCH END
            ["validated", call, partition, epoch, end] => {
                let answer = EpochEndOffset {
                    partition: partition.parse().expect("a partition"),
                    leader_epoch: epoch.parse().expect("an epoch"),
                    end_offset: end.parse().expect("an offset"),
                    ..EpochEndOffset::default()
                };
                let topic = OffsetForLeaderTopicResult { topic: "t".into(), partitions: vec![answer] };
                let response = OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() };
                self.machine.validated(now, call_of(call), response, &mut self.effects);
            }
            // fetched CALL PARTITION END BATCH…; "cut" leaves the last batch incomplete, "bad" damages it, aborted7@5 names a transaction, and
            // nearest2 the replica to read from
            ["fetched", call, partition, end, batches @ ..] => {
                let (mut run, mut answer) = (Vec::new(), PartitionData::default());
                let mut aborted = Vec::new();
                for word in batches {
                    if *word == "cut" {
                        run.truncate(run.len() - 1);
                    } else if *word == "bad" {
                        *run.last_mut().expect("a batch") ^= 1;
                    } else if let Some((producer, first)) =
                        word.strip_prefix("aborted").and_then(|word| word.split_once('@'))
                    {
                        let producer_id = producer.parse().expect("a producer");
                        let first_offset = first.parse().expect("an offset");
                        aborted.push(AbortedTransaction { producer_id, first_offset });
                    } else if let Some(nearest) = word.strip_prefix("nearest") {
                        answer.preferred_read_replica = nearest.parse().expect("a broker");
                    } else {
                        run.extend(batch(word));
                    }
                }
                answer.aborted_transactions = Some(aborted);
                answer.records = Some(Records::Bytes(run.into()));
                self.answer(now, call, partition, end, answer);
            }
            // the session of all answers from now on
            ["session", id] => self.session = id.parse().expect("a session"),
            ["quiet", call] => {
                let response = FetchResponse { session_id: self.session, ..FetchResponse::default() };
                self.machine.fetched(now, call_of(call), response, &mut self.effects);
            }
            ["refused", call, code] => {
                let error_code = ErrorCode::ALL.iter().find(|it| it.name() == *code).expect("a code").code();
                let response = FetchResponse { error_code, ..FetchResponse::default() };
                self.machine.fetched(now, call_of(call), response, &mut self.effects);
            }
            ["refused", call, partition, code] => {
                let code = ErrorCode::ALL.iter().find(|it| it.name() == *code).expect("a code").code();
                self.answer(
                    now,
                    call,
                    partition,
                    "-1",
                    PartitionData { error_code: code, ..Default::default() },
                );
            }
            // refused by a broker that says who leads
            ["moved", call, partition, leader, epoch] => {
                let current_leader = LeaderIdAndEpoch {
                    leader_id: leader.parse().expect("a broker"),
                    leader_epoch: epoch.parse().expect("an epoch"),
                };
                let error_code = ErrorCode::NotLeaderOrFollower.code();
                let moved = PartitionData { error_code, current_leader, ..Default::default() };
                self.answer(now, call, partition, "-1", moved);
            }
            ["broken", call] => {
                let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
                self.machine.call_failed(now, call_of(call), &error, &mut self.effects);
            }
            ["close"] => self.machine.close(&mut self.effects),
            ["take"] => self.take(),
            ["positions"] => {
                for it in self.machine.positions() {
                    let place = it.position.map_or(-1, Offset::raw);
                    writeln!(self.log, "    {}: {place}, lag {:?}", it.partition, it.lag())
                        .expect("writes to memory");
                }
            }
            ["troubles"] => {
                for trouble in self.machine.troubles(now) {
                    writeln!(self.log, "    {trouble}").expect("writes to memory");
                }
            }
            other => panic!("what is {other:?}?"),
        }
    }

    /// What is committed ends at `end`; there is always something more that is not.
    fn answer(&mut self, now: Tick, call: &str, partition: &str, end: &str, answer: PartitionData) {
        let end = end.parse().expect("an offset");
        let partition = PartitionData {
            partition_index: partition.parse().expect("a partition"),
            high_watermark: match self.machine.config.isolation {
                Isolation::ReadUncommitted => end,
                Isolation::ReadCommitted => end + 3,
            },
            last_stable_offset: end,
            ..answer
        };
        let topic =
            FetchableTopicResponse { topic: "t".into(), partitions: vec![partition], ..Default::default() };
        let response =
            FetchResponse { responses: vec![topic], session_id: self.session, ..FetchResponse::default() };
        self.machine.fetched(now, call_of(call), response, &mut self.effects);
    }

    fn take(&mut self) {
        let mut scratch = Vec::new();
        let text = match self.machine.take() {
            None => "nothing".into(),
            Some(Err(error)) => format!("error: {error}"),
            Some(Ok(batch)) => {
                let offsets: Vec<_> = batch
                    .records(&mut scratch)
                    .expect("records")
                    .map(|record| record.expect("a record").offset.to_string())
                    .collect();
                format!("{}: {}", batch.partition, offsets.join(" "))
            }
        };
        let end = if self.machine.has_reached_end() { ", at the end" } else { "" };
        writeln!(self.log, "    {text}{end}").expect("writes to memory");
    }

    fn tell(&mut self, effect: &Effect) {
        let text = match effect {
            Effect::Ask(ask) => asked_text(ask),
            Effect::LeaderHint(hint) => {
                format!("{}-{} is led by {}", hint.topic, hint.partition, hint.leader)
            }
            Effect::RefreshMetadata => "refresh".into(),
            Effect::Readable => "readable".into(),
            Effect::Trouble(trouble) => format!("trouble: {trouble}"),
            Effect::Reset(reset) => format!("reset: {reset}"),
        };
        writeln!(self.log, "    {text}").expect("writes to memory");
    }
}

fn call_of(word: &str) -> CallId {
    CallId(word.trim_start_matches('#').parse().expect("a call"))
}

fn check_with(config: &Config, leaders: &[i32], starts: &[Start], script: &str, expected: &Expect) {
    let mut world = World::new(config, leaders, starts);
    world.run(script);
    expected.assert_eq(&world.log);
}

fn check(starts: &[Start], script: &str, expected: &Expect) {
    check_with(&Config::default(), &[1, 1, 1], starts, script, expected);
}

#[test]
fn reads_from_the_start_to_the_end() {
    check(
        &[Start::Earliest],
        "0 tick\n 1 located #0 0:5\n 2 fetched #1 0 10 5+2 7+3\n 3 take\n 4 take\n 5 take\n 6 fetched #2 0 10\n 7 take",
        &expect![[r#"
            0 tick
                locate #0 at 1: 0 at -2
            1 located #0 0:5
                fetch #1 of 1, waiting 0 ms: 0 from 5
            2 fetched #1 0 10 5+2 7+3
                readable
                fetch #2 of 1, waiting 500 ms: 0 from 10
            3 take
                0: 5 6
            4 take
                0: 7 8 9, at the end
            5 take
                nothing, at the end
            6 fetched #2 0 10
                fetch #3 of 1, waiting 500 ms: 0 from 10
            7 take
                nothing, at the end
        "#]],
    );
}

#[test]
fn an_empty_partition_is_at_its_end_as_soon_as_that_is_known() {
    check(
        &[Start::Latest],
        "0 tick\n 1 take\n 2 located #0 0:42\n 3 take",
        &expect![[r#"
        0 tick
            locate #0 at 1: 0 at -1
        1 take
            nothing
        2 located #0 0:42
            readable
            fetch #1 of 1, waiting 500 ms: 0 from 42
        3 take
            nothing, at the end
    "#]],
    );
}

#[test]
fn begins_within_a_batch_and_leaves_out_what_is_before() {
    check(
        &[Start::At(Offset::new(7))],
        "0 tick\n 1 fetched #0 0 12 5+5 10+2\n 2 take\n 3 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 7
            1 fetched #0 0 12 5+5 10+2
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 12
            2 take
                0: 7 8 9
            3 take
                0: 10 11, at the end
        "#]],
    );
}

#[test]
fn the_last_ones_of_a_short_log_are_all_of_them() {
    check(
        &[Start::Last(100), Start::Last(3), Start::Since(Timestamp(9))],
        "0 tick\n 1 located #0 0:40 1:40 2:40\n 2 located #1 2:-1\n 3 refused #2 0 OFFSET_OUT_OF_RANGE\n 4 located #3 0:30",
        &expect![[r#"
            0 tick
                locate #0 at 1: 0 at -1, 1 at -1, 2 at -1
            1 located #0 0:40 1:40 2:40
                locate #1 at 1: 2 at 9
                fetch #2 of 1, waiting 500 ms: 0 from 0, 1 from 37
            2 located #1 2:-1
                readable
            3 refused #2 0 OFFSET_OUT_OF_RANGE
                locate #3 at 1: 0 at -2
                fetch #4 of 1, waiting 500 ms: 2 from 40
            4 located #3 0:30
        "#]],
    );
}

/// What is appended between the two questions is of that time or later: found, or behind the end that was learnt before.
#[test]
fn a_moment_is_looked_for_when_the_end_is_known_and_nothing_is_passed_over() {
    check(
        &[Start::Since(Timestamp(9)), Start::Since(Timestamp(9))],
        "0 tick\n 1 located #0 0:40 1:40\n 2 broken #1\n 200 tick\n 201 located #2 0:50 1:-1\n 202 located #3 0:-1\n 203 fetched #4 0 51 50+1\n 204 take\n \
        400 tick\n 401 located #6 1:60\n 402 located #7 1:55",
        &expect![[r#"
            0 tick
                locate #0 at 1: 0 at -1, 1 at -1
            1 located #0 0:40 1:40
                locate #1 at 1: 0 at 9, 1 at 9
            2 broken #1
                refresh
            200 tick
                locate #2 at 1: 0 at -1, 1 at -1
            201 located #2 0:50 1:-1
                locate #3 at 1: 0 at 9
            202 located #3 0:-1
                readable
                fetch #4 of 1, waiting 500 ms: 0 from 50
            203 fetched #4 0 51 50+1
                readable
                fetch #5 of 1, waiting 500 ms: 0 from 51
            204 take
                0: 50
            400 tick
                locate #6 at 1: 1 at -1
            401 located #6 1:60
                locate #7 at 1: 1 at 9
            402 located #7 1:55
        "#]],
    );
}

#[test]
fn a_batch_that_was_cut_off_is_fetched_again() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 0+2 2+7 cut\n 2 take\n 3 take\n 4 fetched #1 0 9 2+7\n 5 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 0+2 2+7 cut
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 2
            2 take
                0: 0 1
            3 take
                nothing
            4 fetched #1 0 9 2+7
                readable
                fetch #2 of 1, waiting 500 ms: 0 from 9
            5 take
                0: 2 3 4 5 6 7 8, at the end
        "#]],
    );
}

#[test]
fn a_lost_position_is_reported_and_the_others_go_on() {
    check(
        &[Start::At(Offset::new(50)), Start::At(Offset::ZERO)],
        "0 tick\n 1 refused #0 0 OFFSET_OUT_OF_RANGE\n 2 take\n 300 tick\n 301 fetched #1 1 2 0+2\n 302 take\n 303 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 50, 1 from 0
            1 refused #0 0 OFFSET_OUT_OF_RANGE
                readable
            2 take
                error: t-0: the log has no offset 50
            300 tick
                fetch #1 of 1, waiting 0 ms: 1 from 0
            301 fetched #1 1 2 0+2
                readable
                fetch #2 of 1, waiting 500 ms: 1 from 2
            302 take
                1: 0 1, at the end
            303 take
                nothing, at the end
        "#]],
    );
}

#[test]
fn a_lost_position_begins_anew_where_that_is_wanted() {
    let config = Config { out_of_range: OutOfRange::Earliest, ..Config::default() };
    check_with(
        &config,
        &[1],
        &[Start::At(Offset::new(50))],
        "0 tick\n 1 refused #0 0 OFFSET_OUT_OF_RANGE\n 2 located #1 0:60\n 3 fetched #2 0 61 60+1\n 4 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 50
            1 refused #0 0 OFFSET_OUT_OF_RANGE
                locate #1 at 1: 0 at -2
            2 located #1 0:60
                reset: t-0: the log has no offset 50; going on at 60
                fetch #2 of 1, waiting 0 ms: 0 from 60
            3 fetched #2 0 61 60+1
                readable
                fetch #3 of 1, waiting 500 ms: 0 from 61
            4 take
                0: 60, at the end
        "#]],
    );
}

#[test]
fn follows_the_leader() {
    check_with(
        &Config::default(),
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 refused #0 0 NOT_LEADER_OR_FOLLOWER\n 2 leaders 2\n 3 broken #1\n 4 leaders -1\n 200 tick\n 300 leaders 3\n 301 tick",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 refused #0 0 NOT_LEADER_OR_FOLLOWER
                refresh
            2 leaders 2
                fetch #1 of 2, waiting 0 ms: 0 from 0
            3 broken #1
                refresh
            4 leaders -1
                refresh
            200 tick
                refresh
            300 leaders 3
                fetch #2 of 3, waiting 0 ms: 0 from 0
            301 tick
        "#]],
    );
}

#[test]
fn damage_is_reported_where_it_is() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 0+2 2+2 bad\n 2 take\n 3 take\n 4 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 0+2 2+2 bad
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 4
            2 take
                0: 0 1
            3 take
                error: t-0: at offset 2: corrupt batch: checksum 01c94d95, the header says f3a2ce96, at the end
            4 take
                nothing, at the end
        "#]],
    );
}

/// Offsets of the old one would pass over the first records of the new one.
#[test]
fn a_topic_that_was_made_anew_is_read_anew_or_that_is_told() {
    let script = "0 another 1\n 1 fetched #0 0 2 0+2\n 2 take\n 3 another 1\n 4 another 2\n 5 fetched #1 0 9 2+1\n 6 take";
    check(
        &[Start::At(Offset::ZERO)],
        script,
        &expect![[r#"
            0 another 1
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 2 0+2
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 2
            2 take
                0: 0 1, at the end
            3 another 1
            4 another 2
                readable
            5 fetched #1 0 9 2+1
                readable
            6 take
                error: t-0: the topic was made anew, and was read up to 2 before, at the end
        "#]],
    );
    let config = Config { out_of_range: OutOfRange::Earliest, ..Config::default() };
    check_with(
        &config,
        &[1],
        &[Start::At(Offset::ZERO)],
        &format!("{script}\n 7 located #2 0:0"),
        &expect![[r#"
        0 another 1
            fetch #0 of 1, waiting 0 ms: 0 from 0
        1 fetched #0 0 2 0+2
            readable
            fetch #1 of 1, waiting 500 ms: 0 from 2
        2 take
            0: 0 1, at the end
        3 another 1
        4 another 2
            locate #2 at 1: 0 at -2
        5 fetched #1 0 9 2+1
        6 take
            nothing
        7 located #2 0:0
            reset: t-0: the topic was made anew, and was read up to 2 before; going on at 0
            fetch #3 of 1, waiting 0 ms: 0 from 0
    "#]],
    );
}

/// Nor is what an answer on its way says of the old one believed.
#[test]
fn who_had_nothing_of_a_topic_that_was_made_anew_missed_nothing() {
    check(
        &[Start::Latest],
        "0 another 1\n 1 another 2\n 2 located #0 0:7\n 3 located #1 0:5\n 4 another 3\n 5 located #3 0:0\n 6 fetched #2 0 9\n \
        7 fetched #4 0 2 0+2\n 8 take",
        &expect![[r#"
            0 another 1
                locate #0 at 1: 0 at -1
            1 another 2
                locate #1 at 1: 0 at -1
            2 located #0 0:7
            3 located #1 0:5
                readable
                fetch #2 of 1, waiting 500 ms: 0 from 5
            4 another 3
                locate #3 at 1: 0 at -2
            5 located #3 0:0
            6 fetched #2 0 9
                fetch #4 of 1, waiting 0 ms: 0 from 0
            7 fetched #4 0 2 0+2
                readable
                fetch #5 of 1, waiting 500 ms: 0 from 2
            8 take
                0: 0 1, at the end
        "#]],
    );
}

/// It says so as often as it is asked.
#[test]
fn a_leader_whose_records_are_damaged_is_believed() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 refused #0 0 CORRUPT_MESSAGE\n 2 take\n 3 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 refused #0 0 CORRUPT_MESSAGE
                readable
            2 take
                error: t-0: the broker answered CORRUPT_MESSAGE, at the end
            3 take
                nothing, at the end
        "#]],
    );
}

#[test]
fn a_topic_that_never_comes_is_reported() {
    let config = Config { unknown_topic_timeout_ms: 1_000, ..Config::default() };
    check_with(
        &config,
        &[],
        &[Start::Earliest],
        "0 tick\n 500 tick\n 1100 tick\n 1101 take",
        &expect![[r#"
            0 tick
                refresh
            500 tick
                refresh
            1100 tick
                readable
                refresh
            1101 take
                error: t-0: the topic or partition does not exist, at the end
        "#]],
    );
}

#[test]
fn a_partition_that_is_not_read_does_not_hold_up_the_others() {
    let config = Config { partition_bytes_max: 40, ..Config::default() };
    check_with(
        &config,
        &[1, 1],
        &[Start::At(Offset::ZERO), Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 0+3\n 200 tick\n 201 fetched #1 1 0\n 202 take\n 220 fetched #2 1 0",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0, 1 from 0
            1 fetched #0 0 9 0+3
                readable
            200 tick
                fetch #1 of 1, waiting 0 ms: 1 from 0
            201 fetched #1 1 0
                readable
                fetch #2 of 1, waiting 20 ms: 1 from 0
            202 take
                0: 0 1 2
            220 fetched #2 1 0
                fetch #3 of 1, waiting 500 ms: 0 from 3, 1 from 0
        "#]],
    );
}

#[test]
fn what_waits_to_be_read_is_bounded() {
    let config = Config { prefetch_bytes_max: 100, ..Config::default() };
    check_with(
        &config,
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 90 0+2 2+20\n 2 take\n 3 take\n 4 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 90 0+2 2+20
                readable
            2 take
                0: 0 1
            3 take
                0: 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21
                fetch #1 of 1, waiting 500 ms: 0 from 22
            4 take
                nothing
        "#]],
    );
    // Nothing is a bound too: one batch after the other.
    let config = Config { prefetch_bytes_max: 0, partition_bytes_max: 0, ..Config::default() };
    check_with(
        &config,
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 90 0+2\n 2 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 90 0+2
                readable
            2 take
                0: 0 1
                fetch #1 of 1, waiting 500 ms: 0 from 2
        "#]],
    );
}

#[test]
fn another_offset_is_sought_and_what_comes_late_is_not_taken_for_it() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 0+2 2+2\n 2 take\n 3 seek 0 7\n 4 take\n 5 fetched #1 0 9 4+5\n 6 take\n 7 fetched #2 0 9 7+2\n 8 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 0+2 2+2
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 4
            2 take
                0: 0 1
            3 seek 0 7
            4 take
                nothing
            5 fetched #1 0 9 4+5
                fetch #2 of 1, waiting 500 ms: 0 from 7
            6 take
                nothing
            7 fetched #2 0 9 7+2
                readable
                fetch #3 of 1, waiting 500 ms: 0 from 9
            8 take
                0: 7 8, at the end
        "#]],
    );
    // A position that was lost is found again.
    check(
        &[Start::At(Offset::new(50))],
        "0 tick\n 1 refused #0 0 OFFSET_OUT_OF_RANGE\n 2 seek 0 3\n 3 fetched #1 0 9 3+6\n 4 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 50
            1 refused #0 0 OFFSET_OUT_OF_RANGE
                readable
            2 seek 0 3
                fetch #1 of 1, waiting 0 ms: 0 from 3
            3 fetched #1 0 9 3+6
                readable
                fetch #2 of 1, waiting 500 ms: 0 from 9
            4 take
                0: 3 4 5 6 7 8, at the end
        "#]],
    );
}

#[test]
fn a_paused_partition_keeps_its_place_and_the_others_go_on() {
    check(
        &[Start::At(Offset::ZERO), Start::At(Offset::ZERO)],
        "0 tick\n 1 pause 0\n 2 fetched #0 0 2 0+2\n 500 tick\n 501 take\n 502 fetched #1 1 1 0+1\n 503 take\n 504 take\n 505 resume 0\n 506 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0, 1 from 0
            1 pause 0
            2 fetched #0 0 2 0+2
            500 tick
                fetch #1 of 1, waiting 0 ms: 1 from 0
            501 take
                nothing
            502 fetched #1 1 1 0+1
                readable
                fetch #2 of 1, waiting 500 ms: 1 from 1
            503 take
                1: 0
            504 take
                nothing
            505 resume 0
            506 take
                0: 0 1, at the end
        "#]],
    );
}

#[test]
fn nothing_is_read_of_aborted_transactions_nor_beyond_the_first_open_one() {
    let config = Config { isolation: Isolation::ReadCommitted, ..Config::default() };
    let script = "0 tick\n 1 fetched #0 0 12 t7:0+2 t8:2+1 3+1 abort7:4+1 t7:5+1 commit8:6+1 commit7:7+1 t9:8+2 aborted9@8 aborted7@0\n \
        2 take\n 3 take\n 3 positions\n 4 take\n 4 positions\n 5 take\n 6 fetched #1 0 12 t9:10+1 abort9:11+1 aborted9@8\n 7 take\n 8 positions";
    check_with(
        &config,
        &[1],
        &[Start::At(Offset::ZERO)],
        script,
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 12 t7:0+2 t8:2+1 3+1 abort7:4+1 t7:5+1 commit8:6+1 commit7:7+1 t9:8+2 aborted9@8 aborted7@0
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 10
            2 take
                0: 2
            3 take
                0: 3
            3 positions
                0: 4, lag Some(8)
            4 take
                0: 5
            4 positions
                0: 10, lag Some(2)
            5 take
                nothing
            6 fetched #1 0 12 t9:10+1 abort9:11+1 aborted9@8
                readable
                fetch #2 of 1, waiting 500 ms: 0 from 12
            7 take
                nothing, at the end
            8 positions
                0: 12, lag Some(0)
        "#]],
    );
}

#[test]
fn what_a_new_leader_lacks_is_told_and_what_it_has_is_not_read_twice() {
    // The new leader's log goes on behind what was read, is shorter than what waited to be read, and than what was read.
    for (end, out_of_range, expected) in [
        (
            9,
            OutOfRange::Fail,
            expect![[r#"
                0 tick
                    fetch #0 of 1, waiting 0 ms: 0 from 0
                1 fetched #0 0 9 0+2 2+2
                    readable
                    fetch #1 of 1, waiting 500 ms: 0 from 4
                2 take
                    0: 0 1
                3 epoch 5 2
                4 broken #1
                    refresh
                200 tick
                    ask #2 of 2: where 0 ends in epoch 0, leader since 5
                201 validated #2 0 0 9
                    fetch #3 of 2, waiting 500 ms: 0 from 4
                202 take
                    0: 2 3
            "#]],
        ),
        (
            3,
            OutOfRange::Fail,
            expect![[r#"
                0 tick
                    fetch #0 of 1, waiting 0 ms: 0 from 0
                1 fetched #0 0 9 0+2 2+2
                    readable
                    fetch #1 of 1, waiting 500 ms: 0 from 4
                2 take
                    0: 0 1
                3 epoch 5 2
                4 broken #1
                    refresh
                200 tick
                    ask #2 of 2: where 0 ends in epoch 0, leader since 5
                201 validated #2 0 0 3
                    fetch #3 of 2, waiting 500 ms: 0 from 2
                202 take
                    nothing
            "#]],
        ),
        (
            1,
            OutOfRange::Fail,
            expect![[r#"
                0 tick
                    fetch #0 of 1, waiting 0 ms: 0 from 0
                1 fetched #0 0 9 0+2 2+2
                    readable
                    fetch #1 of 1, waiting 500 ms: 0 from 4
                2 take
                    0: 0 1
                3 epoch 5 2
                4 broken #1
                    refresh
                200 tick
                    ask #2 of 2: where 0 ends in epoch 0, leader since 5
                201 validated #2 0 0 1
                    readable
                202 take
                    error: t-0: the log was cut off at 1, and was read up to 2, at the end
            "#]],
        ),
        (
            1,
            OutOfRange::Earliest,
            expect![[r#"
                0 tick
                    fetch #0 of 1, waiting 0 ms: 0 from 0
                1 fetched #0 0 9 0+2 2+2
                    readable
                    fetch #1 of 1, waiting 500 ms: 0 from 4
                2 take
                    0: 0 1
                3 epoch 5 2
                4 broken #1
                    refresh
                200 tick
                    ask #2 of 2: where 0 ends in epoch 0, leader since 5
                201 validated #2 0 0 1
                    reset: t-0: the log was cut off at 1, and was read up to 2; going on at 1
                    fetch #3 of 2, waiting 500 ms: 0 from 1
                202 take
                    nothing
            "#]],
        ),
    ] {
        let config = Config { out_of_range, ..Config::default() };
        let script = format!(
            "0 tick\n 1 fetched #0 0 9 0+2 2+2\n 2 take\n 3 epoch 5 2\n 4 broken #1\n 200 tick\n 201 validated #2 0 0 {end}\n 202 take"
        );
        check_with(&config, &[1], &[Start::At(Offset::ZERO)], &script, &expected);
    }
}

/// A leader that was cut off knows nothing of those after it, and would say that the position is not in its log.
#[test]
fn a_leader_from_before_what_was_read_is_not_asked() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 epoch 5 2\n 1 fetched #0 0 9 0+2@5\n 2 take\n 3 broken #1\n 4 epoch 4 1\n 200 tick\n 301 epoch 5 2",
        &expect![[r#"
            0 epoch 5 2
                fetch #0 of 2, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 0+2@5
                readable
                fetch #1 of 2, waiting 500 ms: 0 from 2
            2 take
                0: 0 1
            3 broken #1
                refresh
            4 epoch 4 1
                refresh
            200 tick
                refresh
            301 epoch 5 2
                ask #2 of 2: where 0 ends in epoch 5, leader since 5
        "#]],
    );
}

#[test]
fn a_broker_too_old_to_tell_of_epochs_is_believed() {
    let mut world = World::new(&Config::default(), &[1], &[Start::At(Offset::ZERO)]);
    world.run("0 tick\n 1 fetched #0 0 2 0+2\n 2 epoch 5 1\n 3 broken #1\n 200 tick");
    let error = CallError::Unsupported { address: "b".into(), api: klamm_wire::ApiKey::OffsetForLeaderEpoch };
    world.machine.call_failed(Tick(201_000), CallId(2), &error, &mut world.effects);
    world.log.clear();
    world.run("202 tick");
    expect![[r#"
        202 tick
            refresh
            fetch #3 of 1, waiting 500 ms: 0 from 2
    "#]]
    .assert_eq(&world.log);
}

#[test]
fn the_nearest_replica_is_read_until_it_refuses() {
    check_with(
        &Config::default(),
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 nearest2\n 2 fetched #1 0 9 0+2\n 3 refused #2 0 OFFSET_OUT_OF_RANGE\n 4 fetched #3 0 9 2+7\n 5 take\n 6 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 nearest2
                fetch #1 of 2, waiting 500 ms: 0 from 0
            2 fetched #1 0 9 0+2
                readable
                fetch #2 of 2, waiting 500 ms: 0 from 2
            3 refused #2 0 OFFSET_OUT_OF_RANGE
                fetch #3 of 1, waiting 500 ms: 0 from 2
            4 fetched #3 0 9 2+7
                fetch #4 of 1, waiting 500 ms: 0 from 9
            5 take
                0: 0 1
            6 take
                0: 2 3 4 5 6 7 8, at the end
        "#]],
    );
}

/// A follower that has just started knows of nothing that is committed.
#[test]
fn the_end_is_not_reached_where_a_replica_lags() {
    check_with(
        &Config::default(),
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 2 nearest2\n 2 fetched #1 0 0\n 3 fetched #2 0 2 0+2\n 4 take",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 2 nearest2
                fetch #1 of 2, waiting 500 ms: 0 from 0
            2 fetched #1 0 0
                fetch #2 of 2, waiting 500 ms: 0 from 0
            3 fetched #2 0 2 0+2
                readable
                fetch #3 of 2, waiting 500 ms: 0 from 2
            4 take
                0: 0 1, at the end
        "#]],
    );
}

#[test]
fn a_leader_is_asked_again_whom_to_read_once_the_lease_is_over() {
    check_with(
        &Config { nearest_age_max_ms: 5_000, ..Config::default() },
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 fetched #0 0 9 nearest2\n 5000 fetched #1 0 9\n 5001 fetched #2 0 9\n 5002 fetched #3 0 9 nearest3",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 nearest2
                fetch #1 of 2, waiting 500 ms: 0 from 0
            5000 fetched #1 0 9
                fetch #2 of 2, waiting 500 ms: 0 from 0
            5001 fetched #2 0 9
                fetch #3 of 1, waiting 500 ms: 0 from 0
            5002 fetched #3 0 9 nearest3
                fetch #4 of 3, waiting 500 ms: 0 from 0
        "#]],
    );
}

/// They may send us in circles.
#[test]
fn a_replica_that_refuses_is_asked_at_leisure() {
    check_with(
        &Config::default(),
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick
         1 fetched #0 0 9 nearest2
         2 refused #1 0 OFFSET_OUT_OF_RANGE
         3 fetched #2 0 9 nearest2
         4 refused #3 0 OFFSET_OUT_OF_RANGE
         5 fetched #4 0 9 nearest2
         6 refused #5 0 OFFSET_OUT_OF_RANGE
         7 fetched #6 0 9 nearest2
         8 refused #7 0 OFFSET_OUT_OF_RANGE
         200 tick
         201 fetched #8 0 9 nearest2
         202 refused #9 0 OFFSET_NOT_AVAILABLE
         400 tick",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 nearest2
                fetch #1 of 2, waiting 500 ms: 0 from 0
            2 refused #1 0 OFFSET_OUT_OF_RANGE
                fetch #2 of 1, waiting 500 ms: 0 from 0
            3 fetched #2 0 9 nearest2
                fetch #3 of 2, waiting 500 ms: 0 from 0
            4 refused #3 0 OFFSET_OUT_OF_RANGE
                fetch #4 of 1, waiting 500 ms: 0 from 0
            5 fetched #4 0 9 nearest2
                fetch #5 of 2, waiting 500 ms: 0 from 0
            6 refused #5 0 OFFSET_OUT_OF_RANGE
                fetch #6 of 1, waiting 500 ms: 0 from 0
            7 fetched #6 0 9 nearest2
                fetch #7 of 2, waiting 500 ms: 0 from 0
            8 refused #7 0 OFFSET_OUT_OF_RANGE
            200 tick
                fetch #8 of 1, waiting 500 ms: 0 from 0
            201 fetched #8 0 9 nearest2
                fetch #9 of 2, waiting 500 ms: 0 from 0
            202 refused #9 0 OFFSET_NOT_AVAILABLE
                refresh
            400 tick
                fetch #10 of 1, waiting 500 ms: 0 from 0
        "#]],
    );
}

#[test]
fn who_leads_now_is_told_and_asked_as_soon_as_that_is_known() {
    check_with(
        &Config::default(),
        &[1],
        &[Start::At(Offset::ZERO)],
        "0 tick\n 1 moved #0 0 2 5\n 2 leaders 2\n 3 fetched #1 0 9 0+2",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 moved #0 0 2 5
                t-0 is led by 2
                refresh
            2 leaders 2
                fetch #1 of 2, waiting 0 ms: 0 from 0
            3 fetched #1 0 9 0+2
                readable
                fetch #2 of 2, waiting 500 ms: 0 from 2
        "#]],
    );
}

#[test]
fn sessions_that_brokers_gave_are_ended() {
    check_with(
        &Config::default(),
        &[1, 2, 3],
        &[Start::At(Offset::ZERO); 3],
        "0 session 7\n 1 fetched #0 0 9 0+2\n 2 session 0\n 3 fetched #1 1 9 0+2\n 4 close\n 5 tick",
        &expect![[r#"
            0 session 7
                fetch #0 of 1, waiting 0 ms: 0 from 0
                fetch #1 of 2, waiting 0 ms: 1 from 0
                fetch #2 of 3, waiting 0 ms: 2 from 0
            1 fetched #0 0 9 0+2
                readable
                fetch #3 of 1, waiting 500 ms: 0 from 2, in session 7/1
            2 session 0
            3 fetched #1 1 9 0+2
                readable
                fetch #4 of 2, waiting 500 ms: 1 from 2
            4 close
                end session 7/-1 of 1
            5 tick
        "#]],
    );
}

#[test]
fn within_a_session_only_news_are_told_and_a_lost_one_begins_anew() {
    check(
        &[Start::At(Offset::ZERO), Start::At(Offset::ZERO)],
        "0 tick\n 0 session 7\n 1 fetched #0 0 9 0+2\n 200 tick\n 201 fetched #1 1 0\n 202 quiet #2\n 203 pause 1\n 204 quiet #3\n \
        205 resume 1\n 206 quiet #4\n 207 refused #5 FETCH_SESSION_ID_NOT_FOUND\n 208 refused #6 FETCH_SESSION_ID_NOT_FOUND\n 400 tick\n 401 broken #7\n 600 tick",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0, 1 from 0
            0 session 7
            1 fetched #0 0 9 0+2
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 2, 1 no more, in session 7/1
            200 tick
            201 fetched #1 1 0
                fetch #2 of 1, waiting 0 ms: 1 from 0, in session 7/2
            202 quiet #2
                fetch #3 of 1, waiting 500 ms: in session 7/3
            203 pause 1
            204 quiet #3
                fetch #4 of 1, waiting 500 ms: 1 no more, in session 7/4
            205 resume 1
            206 quiet #4
                fetch #5 of 1, waiting 0 ms: 1 from 0, in session 7/5
            207 refused #5 FETCH_SESSION_ID_NOT_FOUND
                fetch #6 of 1, waiting 0 ms: 0 from 2, 1 from 0, in session 7/0
            208 refused #6 FETCH_SESSION_ID_NOT_FOUND
                refresh
                refresh
            400 tick
                fetch #7 of 1, waiting 0 ms: 0 from 2, 1 from 0, in session 7/0
            401 broken #7
                refresh
            600 tick
                fetch #8 of 1, waiting 0 ms: 0 from 2, 1 from 0, in session 7/0
        "#]],
    );
}

#[test]
fn the_end_that_was_sought_is_known_though_the_broker_does_not_tell_again() {
    check(
        &[Start::At(Offset::ZERO)],
        "0 session 7\n 1 fetched #0 0 9 0+2\n 2 seek 0 9\n 3 take\n 4 quiet #1\n 5 take",
        &expect![[r#"
            0 session 7
                fetch #0 of 1, waiting 0 ms: 0 from 0
            1 fetched #0 0 9 0+2
                readable
                fetch #1 of 1, waiting 500 ms: 0 from 2, in session 7/1
            2 seek 0 9
            3 take
                nothing, at the end
            4 quiet #1
                fetch #2 of 1, waiting 500 ms: 0 from 9, in session 7/2
            5 take
                nothing, at the end
        "#]],
    );
}

/// The picture "2 t:3 u:0 v:?": all topics were told for the second time, t has three partitions, u is not there, and nobody can say what v has.
fn picture(text: &str) -> Arc<Cluster> {
    let mut words = text.split_whitespace();
    let all_told = words.next().and_then(|it| it.parse().ok()).expect("how often all were told");
    let topics = words.map(|word| {
        let (name, count) = word.split_once(':').expect("topic:partitions");
        let (count, error) = match count {
            "?" => (0, ErrorCode::LeaderNotAvailable),
            "0" => (0, ErrorCode::UnknownTopicOrPartition),
            count => (count.parse().expect("a number"), ErrorCode::None),
        };
        let partitions = vec![Partition { leader: Some(BrokerId(1)), ..Partition::default() }; count];
        (name.into(), Topic { id: TopicId::ZERO, error, is_internal: false, partitions })
    });
    Arc::new(Cluster { topics: topics.collect(), all_told, ..Cluster::default() })
}

#[test]
fn a_subscription_reads_what_its_topics_have_and_get() {
    let named = || Topics::Named(["t".into()].into());
    let begins_with = |letter| Topics::Matching(Arc::new(move |name: &str| name.starts_with(letter)));
    let since = Start::Since(Timestamp(9));
    for (topics, start, pictures, expected) in [
        (named(), Start::Latest, "0; 0 t:2; 0 t:3", "t-0 Latest, t-1 Latest, t-2 Earliest"),
        (begins_with('t'), Start::Latest, "0; 0 t:2; 0 t:3", "t-0 Latest, t-1 Latest, t-2 Earliest"),
        (begins_with('u'), Start::Latest, "0; 0 t:2; 0 t:3", ""),
        // What was there before all topics were told since the subscription may be older than that.
        (
            begins_with('t'),
            Start::Latest,
            "5 t:1; 5 t:1 ta:1; 6 t:1 ta:1 tb:1; 6 t:1 ta:1 tb:1 tc:1",
            "t-0 Latest, ta-0 Latest, tb-0 Latest, tc-0 Earliest",
        ),
        (begins_with('t'), since, "0; 1; 2 t:1", "t-0 Since(Timestamp(9))"),
        // Somebody knows that it was not there.
        (named(), Start::Latest, "0; 0 t:0; 0 t:2", "t-0 Earliest, t-1 Earliest"),
        (named(), Start::Last(3), "0 t:0; 0 t:2", "t-0 Earliest, t-1 Earliest"),
        (named(), since, "0; 0 t:0; 0 t:2", "t-0 Since(Timestamp(9)), t-1 Since(Timestamp(9))"),
        (named(), Start::Latest, "5; 6 u:1; 7 t:2", "t-0 Earliest, t-1 Earliest"),
        // Who was seen is not younger though a broker that lags has not heard of it, nor is who only could not be described.
        (named(), Start::Latest, "0; 0 t:1; 0 t:0; 0 t:1", "t-0 Latest"),
        (named(), Start::Last(3), "0; 0 t:?; 0 t:0; 0 t:2", "t-0 Last(3), t-1 Last(3)"),
        (begins_with('t'), Start::Latest, "5; 6 t:?; 7; 8 t:2", "t-0 Latest, t-1 Latest"),
        (begins_with('t'), Start::Latest, "5; 6 t:1; 7; 8 t:1", "t-0 Latest"),
        (begins_with('t'), Start::Latest, "5; 6; 7 t:?; 8 t:1", "t-0 Earliest"),
    ] {
        let mut pictures = pictures.split(';').map(picture);
        let before = pictures.next().expect("a picture");
        let mut machine = Machine::new(Config::default(), before, Random::new(1));
        machine.subscribe(topics, start);
        assert!(!machine.has_reached_end(), "nobody knows the topics yet");
        pictures.for_each(|picture| machine.cluster_changed(picture));
        let told = machine.slots.iter().map(|slot| match slot.position {
            Position::Find(start) => format!("{}-{} {start:?}", slot.topic, slot.partition),
            Position::Awaited | Position::At(_) | Position::FindSince { .. } => {
                panic!("nobody found anything")
            }
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), expected);
    }
}

#[test]
fn what_stands_in_the_way_is_known_and_told_once_if_it_lasts() {
    check(
        &[Start::Latest],
        "0 tick\n 1 broken #0\n 2 troubles\n 200 tick\n 201 leaders -1\n 202 broken #1\n 5300 tick\n 5800 tick\n 5900 leaders 1\n \
        5901 located #2 0:7\n 5902 troubles\n 5903 refused #3 0 KAFKA_STORAGE_ERROR\n 6100 tick\n 6101 fetched #4 0 7\n 6102 troubles",
        &expect![[r#"
            0 tick
                locate #0 at 1: 0 at -1
            1 broken #0
                refresh
            2 troubles
                t-0: the connection to b broke: cut (broker 1, once in 0 s)
            200 tick
                locate #1 at 1: 0 at -1
            201 leaders -1
            202 broken #1
                refresh
            5300 tick
                trouble: t-0: nobody leads it (once, 2 times for other reasons before, 5 s in all)
                refresh
            5800 tick
                refresh
            5900 leaders 1
                locate #2 at 1: 0 at -1
            5901 located #2 0:7
                readable
                fetch #3 of 1, waiting 500 ms: 0 from 7
            5902 troubles
                t-0: nobody leads it (2 times, 2 times for other reasons before, 5 s in all)
            5903 refused #3 0 KAFKA_STORAGE_ERROR
                refresh
            6100 tick
                fetch #4 of 1, waiting 500 ms: 0 from 7
            6101 fetched #4 0 7
                fetch #5 of 1, waiting 500 ms: 0 from 7
            6102 troubles
        "#]],
    );
}

#[test]
fn what_stands_in_the_way_of_many_is_told_once_for_each_broker() {
    check_with(
        &Config::default(),
        &[1, 2, 1, 1],
        &[Start::At(Offset::ZERO); 4],
        "0 tick\n 1 broken #0\n 300 broken #1\n 5200 tick\n 5201 broken #2\n 5202 broken #3\n 5400 tick\n 5401 broken #4\n 5402 broken #5\n \
        5403 troubles",
        &expect![[r#"
            0 tick
                fetch #0 of 1, waiting 0 ms: 0 from 0, 2 from 0, 3 from 0
                fetch #1 of 2, waiting 0 ms: 1 from 0
            1 broken #0
                refresh
            300 broken #1
                refresh
                fetch #2 of 1, waiting 0 ms: 0 from 0, 2 from 0, 3 from 0
            5200 tick
                fetch #3 of 2, waiting 0 ms: 1 from 0
            5201 broken #2
                refresh
                trouble: t-0: the connection to b broke: cut (broker 1, 2 times in 5 s), and 2 more partitions
            5202 broken #3
                refresh
            5400 tick
                fetch #4 of 1, waiting 0 ms: 0 from 0, 2 from 0, 3 from 0
                fetch #5 of 2, waiting 0 ms: 1 from 0
            5401 broken #4
                refresh
            5402 broken #5
                refresh
                trouble: t-1: the connection to b broke: cut (broker 2, 3 times in 5 s)
            5403 troubles
                t-0: the connection to b broke: cut (broker 1, 3 times in 5 s)
                t-2: the connection to b broke: cut (broker 1, 3 times in 5 s)
                t-3: the connection to b broke: cut (broker 1, 3 times in 5 s)
                t-1: the connection to b broke: cut (broker 2, 3 times in 5 s)
        "#]],
    );
}

#[test]
fn what_is_still_to_be_read_is_known() {
    let mut world = World::new(&Config::default(), &[1, 1], &[Start::At(Offset::ZERO), Start::Latest]);
    world.run("0 tick\n 1 fetched #1 0 9 0+2\n 2 take\n 3 located #0 1:40\n 4 pause 1");
    let positions: Vec<_> = world.machine.positions().collect();
    let told = |place: usize| {
        (positions[place].position.map(Offset::raw), positions[place].lag(), positions[place].is_paused)
    };
    assert_eq!((told(0), told(1)), ((Some(2), Some(7), false), (Some(40), Some(0), true)));
    assert!(!world.machine.seek("t", 2, Start::Earliest) && !world.machine.pause("u", 0, true));
}

/// For the log.
fn asked_text(Ask { call, broker, what }: &Ask) -> String {
    let number = call.map(|call| call.0).unwrap_or_default();
    match what {
        Asked::Fetch { wait_ms, session, .. } => {
            let partitions = session.topics.iter().flat_map(|topic| &topic.partitions);
            let mut words: Vec<_> =
                partitions.map(|fetch| format!("{} from {}", fetch.partition, fetch.offset)).collect();
            let forgotten = session.forgotten.iter().flat_map(|topic| &topic.partitions);
            words.extend(forgotten.map(|fetch| format!("{} no more", fetch.partition)));
            if session.id != 0 {
                words.push(format!("in session {}/{}", session.id, session.epoch));
            }
            format!("fetch #{number} of {broker}, waiting {wait_ms} ms: {}", words.join(", "))
        }
        Asked::ListOffsets(topics) => {
            let partitions: Vec<_> = topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|(partition, _, time)| format!("{partition} at {time}"))
                .collect();
            format!("locate #{number} at {broker}: {}", partitions.join(", "))
        }
        Asked::OffsetForLeaderEpoch(topics) => {
            let (partition, leader_epoch, epoch) = topics[0].partitions[0];
            let question = format!("where {partition} ends in epoch {epoch}, leader since {leader_epoch}");
            format!("ask #{number} of {broker}: {question}")
        }
        Asked::EndSession(session) => {
            format!("end session {}/{} of {broker}", session.id, session.epoch)
        }
    }
}
