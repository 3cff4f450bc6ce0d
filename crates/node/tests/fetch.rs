//! Fetch: sessions (KIP-227), sizes, and what a parked fetch waits for.
//!
//! A script has one action a line; what the node answers at once or later stands below it.
//!
//! ```text
//! create t 2                              a topic with partitions 0 and 1
//! produce t-0 3                           one batch of three records, committed
//! fetch v12 0/0 t-0@5 t-1@0 -t-2 wait=9   session/epoch, partitions with offsets, those to be forgotten
//! tick 500                                milliseconds pass
//! delete t
//! ```

use std::{collections::BTreeMap, fmt::Write as _};

use crate::world::{CONNECTION, World, batch};
use expect_test::{Expect, expect};
use klamm_model::{ErrorCode, TopicId};
use klamm_node::{Event, Reply};
use klamm_wire::{
    DeleteTopicsRequest, FetchRequest, FetchResponse, Records, Request, Response,
    fetch::{FetchPartition, FetchTopic, ForgottenTopic},
};

/// A world with names for what the wire has numbers for.
struct Script {
    world: World,
    topics: BTreeMap<String, TopicId>,
    /// The sessions in the order in which they were opened, from S1 on.
    sessions: Vec<i32>,
    next_fetch: u64,
    /// Fetches that are not answered yet, by their sequence on the connection.
    open: BTreeMap<u64, u64>,
}

fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&run(World::new(), script));
}

fn run(world: World, script: &str) -> String {
    let mut script_world =
        Script { world, topics: BTreeMap::new(), sessions: Vec::new(), next_fetch: 1, open: BTreeMap::new() };
    let mut transcript = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        transcript.push_str(line);
        transcript.push('\n');
        script_world.act(line);
        script_world.answers(&mut transcript);
    }
    transcript
}

impl Script {
    fn act(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match verb {
            "create" => {
                let id = self.world.create(words[0], words[1].parse().expect("a count"));
                self.topics.insert(words[0].into(), id);
            }
            "delete" => {
                let request =
                    DeleteTopicsRequest { topic_names: vec![words[0].into()], ..Default::default() };
                self.world.send(Request::DeleteTopics(request), 5);
                self.world.all_disk();
            }
            "produce" => {
                let (topic, partition) = partition(words[0]);
                let records = batch(words[1].parse().expect("a count"), None);
                self.world.produce_to(topic, partition, -1, records);
                self.world.all_disk();
            }
            "tick" => self.world.wait_ms(words[0].parse().expect("milliseconds")),
            "close" => self.world.step(Event::Closed(CONNECTION)),
            "fetch" => {
                let (version, request) = self.request(&words);
                let sequence = self.world.send(Request::Fetch(request), version);
                self.open.insert(sequence, self.next_fetch);
                self.next_fetch += 1;
            }
            _ => panic!("{line}"),
        }
    }

    fn request(&self, words: &[&str]) -> (i16, FetchRequest) {
        let version = words[0].trim_start_matches('v').parse().expect("a version");
        let (session, epoch) = words[1].split_once('/').expect("session/epoch");
        let mut request = FetchRequest {
            max_bytes: 1 << 20,
            min_bytes: 1,
            session_id: match session.strip_prefix('S') {
                Some(number) => self.sessions[number.parse::<usize>().expect("a number") - 1],
                None => session.parse().expect("a session"),
            },
            session_epoch: epoch.parse().expect("an epoch"),
            ..Default::default()
        };
        let id_of = |topic: &str| match version {
            13.. => (String::new(), self.topics.get(topic).copied().unwrap_or(TopicId::ZERO)),
            _ => (topic.to_owned(), TopicId::ZERO),
        };
        for word in &words[2..] {
            if let Some((key, value)) = word.split_once('=') {
                let value = value.parse().expect("a number");
                match key {
                    "wait" => request.max_wait_ms = value,
                    "min" => request.min_bytes = value,
                    "max" => request.max_bytes = value,
                    "isolation" => request.isolation_level = value as i8,
                    _ => panic!("{key}"),
                }
            } else if let Some(forgotten) = word.strip_prefix('-') {
                let (topic, partition) = partition(forgotten);
                let (topic, topic_id) = id_of(topic);
                let forgotten = ForgottenTopic { topic, topic_id, partitions: vec![partition] };
                request.forgotten_topics_data.push(forgotten);
            } else {
                let (key, offset) = word.split_once('@').expect("topic-partition@offset");
                let (topic, partition) = partition(key);
                let (topic, topic_id) = id_of(topic);
                let (offset, bytes_max) = offset.split_once('/').unwrap_or((offset, "1000000"));
                let asked = FetchPartition {
                    partition,
                    fetch_offset: offset.parse().expect("an offset"),
                    partition_max_bytes: bytes_max.parse().expect("a size"),
                    current_leader_epoch: -1,
                    last_fetched_epoch: -1,
                    ..Default::default()
                };
                request.topics.push(FetchTopic { topic, topic_id, partitions: vec![asked] });
            }
        }
        (version, request)
    }

    fn answers(&mut self, transcript: &mut String) {
        for (sequence, number) in self.open.clone() {
            let Some(reply) = self.world.answer(sequence) else { continue };
            self.open.remove(&sequence);
            let response = match &reply {
                Reply::Ready(Response::Fetch(response)) | Reply::Fetch { response, .. } => response,
                _ => panic!("{reply:?}"),
            };
            writeln!(transcript, "  #{number} {}", self.print(response)).expect("a string");
        }
    }

    fn print(&mut self, response: &FetchResponse) -> String {
        if response.error_code != 0 {
            return code(response.error_code);
        }
        let mut text = match response.session_id {
            0 => "no session".to_owned(),
            id => {
                let known = self.sessions.iter().position(|it| *it == id);
                let number = known.unwrap_or_else(|| {
                    self.sessions.push(id);
                    self.sessions.len() - 1
                });
                format!("S{}", number + 1)
            }
        };
        for topic in &response.responses {
            let known = self.topics.iter().find(|(_, id)| **id == topic.topic_id);
            let name = known.map_or(topic.topic.as_str(), |(name, _)| name);
            for it in &topic.partitions {
                assert_eq!(it.preferred_read_replica, -1);
                let what = match it.records {
                    _ if it.error_code != 0 => code(it.error_code),
                    Some(Records::Hole { .. }) => format!("records, hw {}", it.high_watermark),
                    _ => format!("hw {}", it.high_watermark),
                };
                let name = if name.is_empty() { "?" } else { name };
                write!(text, " | {name}-{} {what}", it.partition_index).expect("a string");
            }
        }
        text
    }
}

fn partition(text: &str) -> (&str, i32) {
    let (topic, partition) = text.rsplit_once('-').expect("topic-partition");
    (topic, partition.parse().expect("a number"))
}

fn code(code: i16) -> String {
    format!("{:?}", ErrorCode::from_code(code).expect("a known code"))
}

#[test]
fn a_partition_that_is_named_again_is_read_once() {
    check(
        "create t 1\n produce t-0 3\n fetch v12 0/-1 t-0@0 t-0@0 t-0@1",
        &expect![[r#"
        create t 1
        produce t-0 3
        fetch v12 0/-1 t-0@0 t-0@0 t-0@1
          #1 no session | t-0 records, hw 3
    "#]],
    );
}

#[test]
fn a_session_is_told_only_what_changed() {
    check(
        "create t 3
         produce t-1 2
         fetch v12 0/0 t-0@0 t-1@0 t-2@0
         fetch v12 S1/1 t-1@2
         fetch v12 S1/2 wait=100
         produce t-2 1
         fetch v12 S1/3 t-2@1
         fetch v12 S1/4 wait=100
         tick 100",
        &expect![[r#"
            create t 3
            produce t-1 2
            fetch v12 0/0 t-0@0 t-1@0 t-2@0
              #1 S1 | t-0 hw 0 | t-1 records, hw 2 | t-2 hw 0
            fetch v12 S1/1 t-1@2
              #2 S1
            fetch v12 S1/2 wait=100
            produce t-2 1
              #3 S1 | t-2 records, hw 1
            fetch v12 S1/3 t-2@1
              #4 S1
            fetch v12 S1/4 wait=100
            tick 100
              #5 S1
        "#]],
    );
}

#[test]
fn a_session_by_topic_id() {
    check(
        "create t 2
         create u 1
         produce t-0 1
         fetch v17 0/0 t-0@0 u-0@0
         fetch v17 S1/1 t-0@1
         produce u-0 1
         fetch v17 S1/2 t-1@0 -u-0
         fetch v17 S1/3 u-0@0 -t-0
         fetch v12 S1/4 t-0@0
         fetch v17 S1/4 -t-1 -u-0",
        &expect![[r#"
            create t 2
            create u 1
            produce t-0 1
            fetch v17 0/0 t-0@0 u-0@0
              #1 S1 | t-0 records, hw 1 | u-0 hw 0
            fetch v17 S1/1 t-0@1
              #2 S1
            produce u-0 1
            fetch v17 S1/2 t-1@0 -u-0
              #3 S1 | t-1 hw 0
            fetch v17 S1/3 u-0@0 -t-0
              #4 S1 | u-0 records, hw 1
            fetch v12 S1/4 t-0@0
              #5 FetchSessionTopicIdError
            fetch v17 S1/4 -t-1 -u-0
              #6 no session
        "#]],
    );
}

#[test]
fn sessions_that_are_not_there_or_not_so_far() {
    check(
        "create t 1
         fetch v12 7/1 t-0@0
         fetch v12 0/1 t-0@0
         fetch v12 0/0 t-0@0
         fetch v12 S1/2
         fetch v12 S1/0 t-0@0
         fetch v12 S1/1
         fetch v12 S2/1
         fetch v12 S2/-1
         fetch v12 S2/2",
        &expect![[r#"
            create t 1
            fetch v12 7/1 t-0@0
              #1 FetchSessionIdNotFound
            fetch v12 0/1 t-0@0
              #2 FetchSessionIdNotFound
            fetch v12 0/0 t-0@0
              #3 S1 | t-0 hw 0
            fetch v12 S1/2
              #4 InvalidFetchSessionEpoch
            fetch v12 S1/0 t-0@0
              #5 S2 | t-0 hw 0
            fetch v12 S1/1
              #6 FetchSessionIdNotFound
            fetch v12 S2/1
              #7 S2
            fetch v12 S2/-1
              #8 no session
            fetch v12 S2/2
              #9 FetchSessionIdNotFound
        "#]],
    );
}

#[test]
fn a_fetch_without_a_session_opens_none() {
    check(
        "create t 1
         produce t-0 1
         fetch v12 0/-1 t-0@0
         fetch v4 0/-1 t-0@0 t-0@1",
        &expect![[r#"
            create t 1
            produce t-0 1
            fetch v12 0/-1 t-0@0
              #1 no session | t-0 records, hw 1
            fetch v4 0/-1 t-0@0 t-0@1
              #2 no session | t-0 records, hw 1
        "#]],
    );
}

#[test]
fn a_session_goes_on_while_its_fetch_is_parked() {
    check(
        "create t 2
         fetch v12 0/0 t-0@0 t-1@0
         fetch v12 S1/1 wait=1000
         fetch v12 S1/2 t-0@0 wait=1000
         produce t-1 1
         fetch v12 S1/3 wait=1000
         close
         produce t-0 1
         fetch v12 S1/4",
        &expect![[r#"
            create t 2
            fetch v12 0/0 t-0@0 t-1@0
              #1 S1 | t-0 hw 0 | t-1 hw 0
            fetch v12 S1/1 wait=1000
            fetch v12 S1/2 t-0@0 wait=1000
              #2 S1
            produce t-1 1
              #3 S1 | t-1 records, hw 1
            fetch v12 S1/3 wait=1000
              #4 S1 | t-1 records, hw 1
            close
            produce t-0 1
            fetch v12 S1/4
              #5 S1 | t-0 records, hw 1 | t-1 records, hw 1
        "#]],
    );
}

#[test]
fn errors_come_until_they_are_gone_and_the_partition_comes_once_more() {
    check(
        "create t 1
         produce t-0 1
         fetch v12 0/0 t-0@9 later-0@0
         fetch v12 S1/1
         fetch v12 S1/2 t-0@1
         create later 1
         fetch v12 S1/3
         fetch v12 S1/4
         delete later
         fetch v12 S1/5
         create later 1
         fetch v12 S1/6",
        &expect![[r#"
            create t 1
            produce t-0 1
            fetch v12 0/0 t-0@9 later-0@0
              #1 S1 | t-0 OffsetOutOfRange | later-0 UnknownTopicOrPartition
            fetch v12 S1/1
              #2 S1 | t-0 OffsetOutOfRange | later-0 UnknownTopicOrPartition
            fetch v12 S1/2 t-0@1
              #3 S1 | t-0 hw 1 | later-0 UnknownTopicOrPartition
            create later 1
            fetch v12 S1/3
              #4 S1 | later-0 hw 0
            fetch v12 S1/4
              #5 S1
            delete later
            fetch v12 S1/5
              #6 S1 | later-0 UnknownTopicOrPartition
            create later 1
            fetch v12 S1/6
              #7 S1 | later-0 hw 0
        "#]],
    );
}

#[test]
fn an_answer_without_room_for_all_begins_with_the_others_the_next_time() {
    check(
        "create t 3
         produce t-0 100
         produce t-1 100
         produce t-2 100
         fetch v12 0/0 t-0@0 t-1@0 t-2@0 max=10
         fetch v12 S1/1 max=10
         fetch v12 S1/2 max=10
         fetch v12 S1/3 max=10",
        &expect![[r#"
            create t 3
            produce t-0 100
            produce t-1 100
            produce t-2 100
            fetch v12 0/0 t-0@0 t-1@0 t-2@0 max=10
              #1 S1 | t-0 records, hw 100 | t-1 hw 100 | t-2 hw 100
            fetch v12 S1/1 max=10
              #2 S1 | t-1 records, hw 100
            fetch v12 S1/2 max=10
              #3 S1 | t-2 records, hw 100
            fetch v12 S1/3 max=10
              #4 S1 | t-0 records, hw 100
        "#]],
    );
}

#[test]
fn sizes_that_make_no_sense_are_cut() {
    check(
        "create t 1
         produce t-0 1
         fetch v12 0/-1 t-0@0 max=-1 min=-1
         fetch v12 0/-1 t-0@0/-1 max=0
         fetch v12 0/-1 t-0@0/0 max=1
         fetch v12 0/-1 t-0@0 max=2147483647 min=2147483647 wait=2147483647
         fetch v12 0/-1 t-0@-1
         tick 299999
         tick 1",
        &expect![[r#"
            create t 1
            produce t-0 1
            fetch v12 0/-1 t-0@0 max=-1 min=-1
              #1 no session | t-0 records, hw 1
            fetch v12 0/-1 t-0@0/-1 max=0
              #2 no session | t-0 records, hw 1
            fetch v12 0/-1 t-0@0/0 max=1
              #3 no session | t-0 records, hw 1
            fetch v12 0/-1 t-0@0 max=2147483647 min=2147483647 wait=2147483647
            fetch v12 0/-1 t-0@-1
              #5 no session | t-0 OffsetOutOfRange
            tick 299999
            tick 1
              #4 no session | t-0 records, hw 1
        "#]],
    );
}

#[test]
fn nobody_waits_for_more_than_may_come() {
    // The batch is larger than the maximum: it comes at once, and whole.
    check(
        "create t 1
         produce t-0 100
         fetch v12 0/-1 t-0@50 min=100000 max=10 wait=1000",
        &expect![[r#"
            create t 1
            produce t-0 100
            fetch v12 0/-1 t-0@50 min=100000 max=10 wait=1000
              #1 no session | t-0 records, hw 100
        "#]],
    );
}

#[test]
fn an_offset_inside_a_batch_gives_the_whole_batch() {
    let mut world = World::new();
    world.create("t", 1);
    let sizes = [3, 5, 2].map(|count| {
        let records = batch(count, None);
        world.produce("t", -1, records.clone());
        world.all_disk();
        records.len() as u32
    });
    for (offset, first) in [(0, 0), (2, 0), (3, 1), (7, 1), (8, 2), (9, 2)] {
        let sequence = world.fetch("t", offset, 0, 1);
        let reply = world.answer(sequence).expect("an answer");
        let (_, ranges) = world.complete(reply);
        let start: u32 = sizes[..first].iter().sum();
        assert_eq!(ranges[0].range, start..sizes.iter().sum(), "from {offset}");
    }
}

/// A world that keeps two sessions.
fn small() -> World {
    World::with(|config| config.fetch_session_count_max = 2)
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_stale() {
    let script = "create t 2
         fetch v12 0/0 t-0@0
         fetch v12 0/0 t-1@0
         fetch v12 0/0 t-0@0 t-1@0
         tick 1
         fetch v12 S2/1
         tick 120000
         fetch v12 0/0 t-0@0
         fetch v12 S1/1
         fetch v12 S2/2";
    expect![[r#"
        create t 2
        fetch v12 0/0 t-0@0
          #1 S1 | t-0 hw 0
        fetch v12 0/0 t-1@0
          #2 S2 | t-1 hw 0
        fetch v12 0/0 t-0@0 t-1@0
          #3 no session | t-0 hw 0 | t-1 hw 0
        tick 1
        fetch v12 S2/1
          #4 S2
        tick 120000
        fetch v12 0/0 t-0@0
          #5 S3 | t-0 hw 0
        fetch v12 S1/1
          #6 FetchSessionIdNotFound
        fetch v12 S2/2
          #7 S2
    "#]]
    .assert_eq(&run(small(), script));
}

/// B19: a request of a few bytes goes through all of a session.
#[test]
fn a_reader_of_very_many_partitions_has_no_session() {
    let many = |count| (0..count).map(|number| format!(" t-{number}@0")).collect::<String>();
    let script = format!(
        "create t 1
         fetch v12 0/0{}
         fetch v12 S1/1
         fetch v12 S1/2 t-10000@0
         fetch v12 S1/3
         fetch v12 0/0{}",
        many(10_000),
        many(10_001)
    );
    let transcript = run(World::new(), &script);
    let answers = transcript.lines().filter(|line| line.trim_start().starts_with('#'));
    let told: Vec<_> = answers.map(|line| line.split(" |").next().unwrap_or_default().trim()).collect();
    assert_eq!(
        told,
        ["#1 S1", "#2 S1", "#3 FetchSessionIdNotFound", "#4 FetchSessionIdNotFound", "#5 no session"]
    );
    assert!(transcript.ends_with(" | t-10000 UnknownTopicOrPartition\n"), "the last one is answered as well");
}

#[test]
fn a_larger_session_takes_the_place_of_an_old_smaller_one() {
    let script = "create t 2
         fetch v12 0/0 t-0@0
         fetch v12 0/0 t-0@0 t-1@0
         tick 120001
         fetch v12 S1/1
         fetch v12 S2/1
         fetch v12 0/0 t-0@0
         fetch v12 0/0 t-0@0 t-1@0
         fetch v12 S1/2
         fetch v12 S2/2";
    expect![[r#"
        create t 2
        fetch v12 0/0 t-0@0
          #1 S1 | t-0 hw 0
        fetch v12 0/0 t-0@0 t-1@0
          #2 S2 | t-0 hw 0 | t-1 hw 0
        tick 120001
        fetch v12 S1/1
          #3 S1
        fetch v12 S2/1
          #4 S2
        fetch v12 0/0 t-0@0
          #5 no session | t-0 hw 0
        fetch v12 0/0 t-0@0 t-1@0
          #6 S3 | t-0 hw 0 | t-1 hw 0
        fetch v12 S1/2
          #7 FetchSessionIdNotFound
        fetch v12 S2/2
          #8 S2
    "#]]
    .assert_eq(&run(small(), script));
}

#[test]
fn a_fetch_that_finds_no_room_to_wait_is_answered_at_once() {
    let script = "create t 2
         fetch v12 0/-1 t-0@0 t-1@0 wait=1000
         fetch v12 0/-1 t-0@0 t-1@0 wait=1000
         fetch v12 0/-1 t-0@0 wait=1000
         produce t-0 1
         fetch v12 0/-1 t-0@1 t-1@0 wait=1000
         tick 999
         tick 1
         fetch v12 0/-1 t-0@1 t-1@0 wait=1000";
    let few = World::with(|config| config.fetch_parked_partitions_max = 3);
    expect![[r#"
        create t 2
        fetch v12 0/-1 t-0@0 t-1@0 wait=1000
        fetch v12 0/-1 t-0@0 t-1@0 wait=1000
          #2 no session | t-0 hw 0 | t-1 hw 0
        fetch v12 0/-1 t-0@0 wait=1000
        produce t-0 1
          #1 no session | t-0 records, hw 1 | t-1 hw 0
          #3 no session | t-0 records, hw 1
        fetch v12 0/-1 t-0@1 t-1@0 wait=1000
        tick 999
        tick 1
          #4 no session | t-0 hw 1 | t-1 hw 0
        fetch v12 0/-1 t-0@1 t-1@0 wait=1000
    "#]]
    .assert_eq(&run(few, script));
}
