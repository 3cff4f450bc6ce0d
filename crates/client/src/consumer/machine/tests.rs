//! Scripts: each line is a moment in milliseconds and what happens then; below it stands what the machine wanted done.

use std::fmt::Write;

use expect_test::{Expect, expect};
use klamm_model::{BatchBuilder, LeaderEpoch, Seal, Timestamp};
use klamm_wire::fetch::FetchableTopicResponse;
use klamm_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};

use super::*;
use crate::metadata::{Partition, Topic};

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

/// A batch of `count` records from `base` on, as a log holds it.
fn batch(base: i64, count: u32) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for number in 0..count {
        builder.append(Timestamp(0), None, Some(format!("r{}", base + i64::from(number)).as_bytes()), &[]);
    }
    let seal = Seal { base_offset: Offset::new(base), leader_epoch: Some(LeaderEpoch(0)), ..Seal::default() };
    builder.finish(&seal).to_vec()
}

struct World {
    machine: Machine,
    effects: Vec<Effect>,
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
        Self { machine, effects: Vec::new(), log: String::new() }
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
            // fetched CALL PARTITION END BATCH…; a batch is BASE+COUNT, "cut" leaves the last one incomplete, "bad" damages it
            ["fetched", call, partition, end, batches @ ..] => {
                let mut run = Vec::new();
                for word in batches {
                    match *word {
                        "cut" => run.truncate(run.len() - 1),
                        "bad" => *run.last_mut().expect("a batch") ^= 1,
                        word => {
                            let (base, count) = word.split_once('+').expect("base+count");
                            run.extend(batch(base.parse().expect("a base"), count.parse().expect("a count")));
                        }
                    }
                }
                let records = Some(Records::Bytes(run.into()));
                self.answer(now, call, partition, 0, end, records);
            }
            ["refused", call, partition, code] => {
                let code = ErrorCode::ALL.iter().find(|it| it.name() == *code).expect("a code").code();
                self.answer(now, call, partition, code, "-1", None);
            }
            ["broken", call] => {
                let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
                self.machine.call_failed(now, call_of(call), &error, &mut self.effects);
            }
            ["take"] => self.take(),
            other => panic!("what is {other:?}?"),
        }
    }

    fn answer(
        &mut self,
        now: Tick,
        call: &str,
        partition: &str,
        code: i16,
        end: &str,
        records: Option<Records>,
    ) {
        let partition = PartitionData {
            partition_index: partition.parse().expect("a partition"),
            error_code: code,
            high_watermark: end.parse().expect("an offset"),
            records,
            ..PartitionData::default()
        };
        let topic =
            FetchableTopicResponse { topic: "t".into(), partitions: vec![partition], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
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
            Effect::Fetch { call, broker, wait_ms, topics, .. } => {
                let partitions: Vec<_> = topics
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .map(|fetch| format!("{} from {}", fetch.partition, fetch.offset))
                    .collect();
                format!("fetch #{} of {broker}, waiting {wait_ms} ms: {}", call.0, partitions.join(", "))
            }
            Effect::ListOffsets { call, broker, topics } => {
                let partitions: Vec<_> = topics
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .map(|(partition, _, time)| format!("{partition} at {time}"))
                    .collect();
                format!("locate #{} at {broker}: {}", call.0, partitions.join(", "))
            }
            Effect::RefreshMetadata => "refresh".into(),
            Effect::Readable => "readable".into(),
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
        "0 tick\n 1 located #0 0:40 1:40 2:-1\n 2 located #1 2:40\n 3 refused #2 0 OFFSET_OUT_OF_RANGE\n 4 located #3 0:30",
        &expect![[r#"
            0 tick
                locate #0 at 1: 0 at -1, 1 at -1, 2 at 9
            1 located #0 0:40 1:40 2:-1
                locate #1 at 1: 2 at -1
                fetch #2 of 1, waiting 500 ms: 0 from 0, 1 from 37
            2 located #1 2:40
                readable
            3 refused #2 0 OFFSET_OUT_OF_RANGE
                locate #3 at 1: 0 at -2
                fetch #4 of 1, waiting 500 ms: 2 from 40
            4 located #3 0:30
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
}
