//! Coordinators of groups within a node: their topic, their answers, and what is left of them after a restart.

use bytes::Bytes;
use klamm_cluster::record::Record;
use klamm_log::{DiskAction, DiskError, Done, Space};
use klamm_model::{BatchBuilder, BrokerId, ControllerEpoch, ErrorCode as Code, Seal, Timestamp, TopicId};
use klamm_node::{Event, LagWalk};
use klamm_quorum::Output;
use klamm_wire::{
    BrokerHeartbeatResponse, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, JoinGroupRequest,
    JoinGroupResponse, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, Request, Response, SyncGroupRequest,
    incremental_alter_configs::{AlterConfigsResource, AlterableConfig},
    join_group::JoinGroupRequestProtocol,
    offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
    sync_group::SyncGroupRequestAssignment,
};

use crate::world::{World, another};

macro_rules! ask {
    ($world:expr, $version:expr, $api:ident($request:expr)) => {{
        let sequence = $world.send(Request::$api($request), $version);
        $world.all_disk();
        taken!($world, sequence, $api)
    }};
}

macro_rules! taken {
    ($world:expr, $sequence:expr, $api:ident) => {
        match $world.response($sequence) {
            Response::$api(response) => response,
            other => panic!("another answer: {other:?}"),
        }
    };
}

fn code(number: i16) -> Code {
    Code::from_code(number).expect("a known code")
}

/// A node whose topic of groups is made.
fn with_groups() -> World {
    let mut world = World::new();
    let request = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
    let found = ask!(world, 0, FindCoordinator(request));
    assert_eq!((code(found.error_code), found.node_id), (Code::None, 1));
    world
}

fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(format!("as of {offset}")),
    };
    let topic =
        OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

fn codes(response: &OffsetCommitResponse) -> Vec<Code> {
    response.topics.iter().flat_map(|topic| &topic.partitions).map(|it| code(it.error_code)).collect()
}

fn fetch(group: &str, topic: &str) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopic { name: topic.into(), partition_indexes: vec![0] };
    OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() }
}

fn fetched(response: &OffsetFetchResponse) -> (Code, i64, &str) {
    let partition = &response.topics[0].partitions[0];
    (
        code(partition.error_code),
        partition.committed_offset,
        partition.metadata.as_deref().unwrap_or_default(),
    )
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(b"what it reads") };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// Joins and syncs as the only member.
fn joined_alone(world: &mut World, group: &str) -> JoinGroupResponse {
    let first = ask!(world, 5, JoinGroup(join(group, "")));
    assert_eq!(code(first.error_code), Code::MemberIdRequired);
    let joined = ask!(world, 5, JoinGroup(join(group, &first.member_id)));
    assert_eq!(code(joined.error_code), Code::None);
    assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"all of it"),
    };
    let request = SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![assignment],
        ..Default::default()
    };
    let synced = ask!(world, 3, SyncGroup(request));
    assert_eq!((code(synced.error_code), &synced.assignment[..]), (Code::None, &b"all of it"[..]));
    joined
}

#[test]
fn a_commit_is_answered_when_it_is_on_disk_and_a_fetch_not_before_what_it_saw() {
    let mut world = with_groups();
    world.create("t", 1);
    let committed = world.send(Request::OffsetCommit(commit("g", "t", 0, 7)), 8);
    let seen = world.send(Request::OffsetFetch(fetch("g", "t")), 5);
    world.writes();
    assert!(world.answer(committed).is_none() && world.answer(seen).is_none(), "not on disk yet");
    world.all_disk();
    assert_eq!(codes(&taken!(world, committed, OffsetCommit)), [Code::None]);
    assert_eq!(fetched(&taken!(world, seen, OffsetFetch)), (Code::None, 7, "as of 7"));
}

#[test]
fn a_member_joins_syncs_commits_and_beats() {
    let mut world = with_groups();
    world.create("t", 1);
    let joined = joined_alone(&mut world, "g");
    let beat = |generation_id| HeartbeatRequest {
        group_id: "g".into(),
        generation_id,
        member_id: joined.member_id.clone(),
        ..Default::default()
    };
    let response = ask!(world, 4, Heartbeat(beat(joined.generation_id)));
    assert_eq!(code(response.error_code), Code::None);
    let response = ask!(world, 4, Heartbeat(beat(joined.generation_id - 1)));
    assert_eq!(code(response.error_code), Code::IllegalGeneration);
    // Whoever is no member does not commit while there are members.
    assert_eq!(codes(&ask!(world, 8, OffsetCommit(commit("g", "t", 0, 1)))), [Code::UnknownMemberId]);
    let of_member = OffsetCommitRequest {
        generation_id_or_member_epoch: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..commit("g", "t", 0, 2)
    };
    assert_eq!(codes(&ask!(world, 8, OffsetCommit(of_member))), [Code::None]);
}

/// Another broker is the controller, and has heard of this one. Gives the number of the sign of life that this one shows.
fn another_decides(world: &mut World) -> u64 {
    world.decides(BrokerId(2), ControllerEpoch(2), Record::RegisterBroker(another()));
    sign_of_life(world)
}

fn sign_of_life(world: &mut World) -> u64 {
    let sent = std::mem::take(&mut world.sent);
    let is_sign =
        |(token, request): (u64, Request)| matches!(request, Request::BrokerHeartbeat(_)).then_some(token);
    sent.into_iter().find_map(is_sign).expect("it shows that it lives")
}

fn takes_sign_of_life(world: &mut World, token: u64, is_fenced: bool) {
    let answer = BrokerHeartbeatResponse { is_fenced, ..Default::default() };
    let answer = Ok(Response::BrokerHeartbeat(answer));
    world.step(Event::Peer { from: BrokerId(2), token, answer });
}

/// Group `g` has one member. What the coordinator says to its heartbeats.
fn beats_of_one(world: &mut World) -> impl Fn(&mut World) -> Code + use<> {
    let joined = joined_alone(world, "g");
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    };
    move |world| code(ask!(world, 4, Heartbeat(beat.clone())).error_code)
}

/// Others may have the coordinator once the controller has not heard of this broker for a session: seed 5937 of the simulator.
#[test]
fn a_coordinator_speaks_for_a_session_after_the_sign_of_life_that_was_taken() {
    let mut world = with_groups();
    world.create("t", 1);
    let beats = beats_of_one(&mut world);
    assert_eq!(beats(&mut world), Code::None);

    let token = another_decides(&mut world);
    assert_eq!(beats(&mut world), Code::CoordinatorNotAvailable, "the new controller has said nothing yet");
    world.wait_ms(400);
    takes_sign_of_life(&mut world, token, false);
    assert_eq!(beats(&mut world), Code::None);
    world.wait_ms(600);
    assert_eq!(beats(&mut world), Code::None, "a session after it was sent");

    let committed = world.send(Request::OffsetCommit(commit("other", "t", 0, 7)), 8);
    world.wait_ms(1);
    assert_eq!(beats(&mut world), Code::CoordinatorNotAvailable);
    let told = codes(&taken!(world, committed, OffsetCommit));
    assert_eq!(told, [Code::CoordinatorNotAvailable], "it was asked before and is answered now");

    let token = sign_of_life(&mut world);
    takes_sign_of_life(&mut world, token, true);
    assert_eq!(beats(&mut world), Code::CoordinatorNotAvailable, "whoever is fenced leads nothing");
}

/// They cannot show themselves, be it that there is no controller for a while: all of them would be out, and begin anew.
#[test]
fn members_are_not_put_out_while_their_coordinator_may_not_speak() {
    let mut world = with_groups();
    world.create("t", 1);
    let beats = beats_of_one(&mut world);
    let token = another_decides(&mut world);
    takes_sign_of_life(&mut world, token, false);
    assert_eq!(beats(&mut world), Code::None);
    for _ in 0..30 {
        world.wait_ms(400);
    }
    assert!(world.node.next_wake().is_none_or(|at| world.tick < at.0), "what is not to happen wakes nobody");
    // What was sent long ago is answered, and the next sign of life is taken.
    for told in [Code::CoordinatorNotAvailable, Code::None] {
        assert_eq!(beats(&mut world), Code::CoordinatorNotAvailable);
        let token = sign_of_life(&mut world);
        takes_sign_of_life(&mut world, token, false);
        assert_eq!(beats(&mut world), told);
        world.wait_ms(400);
    }
    assert_eq!(beats(&mut world), Code::None);
}

/// The one before may be acknowledged by a controller that is none any more, and speaks for a session after that.
#[test]
fn a_new_coordinator_waits_for_whoever_may_believe_the_one_before() {
    let mut world = with_groups();
    world.create("t", 1);
    joined_alone(&mut world, "g");
    world.all_disk();
    world.decides(BrokerId(1), ControllerEpoch(2), Record::RegisterBroker(another()));
    world.restart_with_logs();
    let describe = DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() };
    let mut members_after = |ms: u64| {
        for _ in 0..ms / 400 {
            world.wait_ms(400);
        }
        world.wait_ms(ms % 400);
        world.all_disk();
        ask!(world, 5, DescribeGroups(describe.clone())).groups[0].members.len()
    };
    // A session of the member's, one of a broker's, and what the engine takes to tell a controller.
    assert_eq!(members_after(10_000 + 1_000 + 1_199), 1);
    assert_eq!(members_after(1), 0);
}

/// Its own word is that of a controller, unless it stood still and has not heard that another is.
#[test]
fn a_controller_that_stood_still_does_not_speak_for_groups_at_once() {
    let mut world = with_groups();
    let list = |world: &mut World| code(ask!(world, 4, ListGroups(ListGroupsRequest::default())).error_code);
    world.wait_ms(700);
    assert_eq!(list(&mut world), Code::None, "there is nobody else");
    let other = Record::RegisterBroker(another());
    world.decides(BrokerId(1), ControllerEpoch(2), other);
    world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(3) }));
    for (slept_ms, told) in [
        (500, Code::CoordinatorNotAvailable),
        (500, Code::None),
        (501, Code::CoordinatorNotAvailable),
        (500, Code::CoordinatorNotAvailable),
        (500, Code::None),
    ] {
        world.wait_ms(slept_ms);
        assert_eq!(list(&mut world), told);
    }
}

#[test]
fn a_member_of_a_group_that_is_not_there_is_told_what_its_version_knows() {
    let mut world = with_groups();
    world.create("t", 1);
    let of_member = OffsetCommitRequest {
        generation_id_or_member_epoch: 3,
        member_id: "somebody".into(),
        ..commit("g", "t", 0, 1)
    };
    for (version, expected) in [(8, Code::IllegalGeneration), (9, Code::GroupIdNotFound)] {
        assert_eq!(codes(&ask!(world, version, OffsetCommit(of_member.clone()))), [expected]);
    }
}

#[test]
fn groups_and_offsets_are_there_after_a_restart() {
    let mut world = with_groups();
    world.create("t", 1);
    let joined = joined_alone(&mut world, "g");
    ask!(world, 8, OffsetCommit(commit("others", "t", 0, 41)));
    ask!(world, 8, OffsetCommit(commit("others", "t", 0, 42)));
    world.hold_loads = true;
    world.restart_with_logs();
    for (group, version) in [("g", 5), ("others", 5)] {
        let sequence = world.send(Request::OffsetFetch(fetch(group, "t")), version);
        let response = taken!(world, sequence, OffsetFetch);
        assert_eq!(code(response.error_code), Code::CoordinatorLoadInProgress);
    }
    // A group whose shard has nothing to read need not wait.
    let response = ask!(world, 5, OffsetFetch(fetch("nobody's", "t")));
    assert_eq!((code(response.error_code), fetched(&response)), (Code::None, (Code::None, -1, "")));
    world.run_loads();
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("others", "t")))), (Code::None, 42, "as of 42"));
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    };
    assert_eq!(code(ask!(world, 4, Heartbeat(beat)).error_code), Code::None);
}

#[test]
fn what_several_shards_say_is_put_together() {
    let mut world = with_groups();
    world.create("t", 1);
    let names = ["a", "b", "connect-cluster"];
    for (number, name) in (0..).zip(names) {
        ask!(world, 8, OffsetCommit(commit(name, "t", 0, number)));
    }
    let listed = ask!(world, 5, ListGroups(ListGroupsRequest::default()));
    let mut groups: Vec<_> = listed.groups.iter().map(|it| (&*it.group_id, &*it.group_state)).collect();
    groups.sort_unstable();
    assert_eq!(groups, names.map(|name| (name, "Empty")));
    let ask_for = |name: &&str| OffsetFetchRequestGroup {
        group_id: (*name).into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: names.iter().map(ask_for).collect(), ..Default::default() };
    let response = ask!(world, 8, OffsetFetch(request));
    let offsets = response.groups.iter().map(|it| it.topics[0].partitions[0].committed_offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 1, 2]);
    let describe =
        DescribeGroupsRequest { groups: vec!["b".into(), "none".into(), "a".into()], ..Default::default() };
    for (version, of_none) in [(5, Code::None), (6, Code::GroupIdNotFound)] {
        let described = ask!(world, version, DescribeGroups(describe.clone()));
        let told = described.groups.iter().map(|it| (&*it.group_id, &*it.group_state, code(it.error_code)));
        let expected = [("b", "Empty", Code::None), ("none", "Dead", of_none), ("a", "Empty", Code::None)];
        assert_eq!(told.collect::<Vec<_>>(), expected, "version {version}");
    }
    let delete = DeleteGroupsRequest { groups_names: vec!["a".into(), "none".into(), "b".into()] };
    let deleted = ask!(world, 2, DeleteGroups(delete));
    let told: Vec<_> = deleted.results.iter().map(|it| code(it.error_code)).collect();
    assert_eq!(told, [Code::None, Code::GroupIdNotFound, Code::None]);
    assert_eq!(ask!(world, 5, ListGroups(ListGroupsRequest::default())).groups.len(), 1);
}

#[test]
fn offsets_of_topics_that_are_not_there_are_refused_each() {
    let mut world = with_groups();
    let id = world.create("t", 1);
    let mut request = commit("g", "t", 0, 1);
    request.topics.extend(commit("g", "t", 9, 1).topics);
    request.topics.extend(commit("g", "none", 0, 1).topics);
    let unknown = Code::UnknownTopicOrPartition;
    assert_eq!(codes(&ask!(world, 9, OffsetCommit(request.clone()))), [Code::None, unknown, unknown]);
    for (topic, id) in request.topics.iter_mut().zip([id, id, TopicId::ZERO]) {
        topic.topic_id = id;
    }
    let response = ask!(world, 10, OffsetCommit(request));
    assert_eq!(codes(&response), [Code::None, unknown, Code::UnknownTopicId]);
}

#[test]
fn without_its_topic_there_is_no_coordinator() {
    let mut world = World::new();
    world.create("t", 1);
    assert_eq!(codes(&ask!(world, 8, OffsetCommit(commit("g", "t", 0, 1)))), [Code::NotCoordinator]);
    assert_eq!(code(ask!(world, 5, JoinGroup(join("g", ""))).error_code), Code::NotCoordinator);
    for (version, place) in [(1, "partition"), (5, "whole")] {
        let response = ask!(world, version, OffsetFetch(fetch("g", "t")));
        let of_partition = response.topics.first().map_or(0, |it| it.partitions[0].error_code);
        let told = if place == "whole" { response.error_code } else { of_partition };
        assert_eq!(code(told), Code::NotCoordinator, "{place}");
    }
    assert_eq!(code(ask!(world, 5, ListGroups(ListGroupsRequest::default())).error_code), Code::None);
}

/// While one write is on its way, everything else that is decided waits, and goes out together.
#[test]
fn commits_that_come_together_are_one_batch() {
    let mut world = with_groups();
    world.create("t", 1);
    let sequences: Vec<u64> =
        (0..10).map(|offset| world.send(Request::OffsetCommit(commit("g", "t", 0, offset)), 8)).collect();
    let is_write = |action: &DiskAction| matches!(action, DiskAction::Write { .. });
    assert_eq!(world.disk.iter().filter(|op| is_write(&op.action)).count(), 1);
    assert_eq!(world.disk(is_write, &Ok(Done::Nothing)), 2);
    world.all_disk();
    for sequence in sequences {
        assert_eq!(codes(&taken!(world, sequence, OffsetCommit)), [Code::None]);
    }
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("g", "t")))), (Code::None, 9, "as of 9"));
}

/// A sync waits for a thread; what is written before it begins is answered with it, and what comes later with the next one.
#[test]
fn commits_that_are_written_before_a_sync_begins_share_it() {
    let mut world = with_groups();
    world.create("t", 1);
    let written = |world: &mut World, offset| {
        let sequence = world.send(Request::OffsetCommit(commit("g", "t", 0, offset)), 8);
        world.writes();
        sequence
    };
    let (first, second) = (written(&mut world, 1), written(&mut world, 2));
    let sync = world.disk.pop_front().expect("a sync was handed out");
    assert!(matches!(sync.action, DiskAction::Sync { .. }) && world.disk.is_empty(), "{sync:?}");
    world.step(Event::SyncBegins { partition: sync.partition, op: sync.id });
    let third = written(&mut world, 3);
    world.step(Event::Disk { partition: sync.partition, op: sync.id, result: Ok(Done::Nothing) });
    for sequence in [first, second] {
        assert_eq!(codes(&taken!(world, sequence, OffsetCommit)), [Code::None]);
    }
    assert!(world.answer(third).is_none(), "written when the sync had begun");
    world.all_disk();
    assert_eq!(codes(&taken!(world, third, OffsetCommit)), [Code::None]);
}

/// The shard believed in what the disk did not take: it is read anew, and nobody was told that it is there.
#[test]
fn what_finds_no_room_was_not_committed() {
    let mut world = with_groups();
    world.create("t", 1);
    ask!(world, 8, OffsetCommit(commit("g", "t", 0, 1)));
    let lost = world.send(Request::OffsetCommit(commit("g", "t", 0, 2)), 8);
    let behind = world.send(Request::OffsetFetch(fetch("g", "t")), 5);
    world.disk(|action| matches!(action, DiskAction::Write { .. }), &Err(DiskError::Full));
    assert_eq!(codes(&taken!(world, lost, OffsetCommit)), [Code::NotCoordinator]);
    assert_eq!(code(taken!(world, behind, OffsetFetch).error_code), Code::NotCoordinator);
    world.all_disk();
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("g", "t")))), (Code::None, 1, "as of 1"));
}

/// Nobody waits for ever for a disk that says nothing.
#[test]
fn an_answer_that_waits_too_long_is_that_nobody_knows() {
    let mut world = with_groups();
    world.create("t", 1);
    let sequence = world.send(Request::OffsetCommit(commit("g", "t", 0, 1)), 8);
    world.wait_ms(5_000);
    assert_eq!(codes(&taken!(world, sequence, OffsetCommit)), [Code::CoordinatorNotAvailable]);
    world.all_disk();
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("g", "t")))), (Code::None, 1, "as of 1"));
}

#[test]
fn a_connection_that_is_closed_takes_its_questions_along() {
    let mut world = with_groups();
    world.create("t", 1);
    let sequence = world.send(Request::OffsetCommit(commit("g", "t", 0, 1)), 8);
    world.step(Event::Closed(crate::world::CONNECTION));
    world.all_disk();
    assert!(world.answer(sequence).is_none());
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("g", "t")))), (Code::None, 1, "as of 1"));
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let mut world = with_groups();
    world.create("t", 1);
    ask!(world, 8, OffsetCommit(commit("g", "t", 0, 5)));
    let request = klamm_wire::DeleteTopicsRequest { topic_names: vec!["t".into()], ..Default::default() };
    ask!(world, 4, DeleteTopics(request));
    world.create("t", 1);
    assert_eq!(fetched(&ask!(world, 5, OffsetFetch(fetch("g", "t")))), (Code::None, -1, ""));
}

#[test]
fn members_of_the_consumer_protocol_have_ids_and_commit_as_such() {
    let mut world = with_groups();
    world.create("t", 1);
    let beat = |member_id: &str| ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let mut joined = |version, member_id| {
        let request = Request::ConsumerGroupHeartbeat(Box::new(beat(member_id)));
        let sequence = world.send(request, version);
        world.all_disk();
        let response = taken!(world, sequence, ConsumerGroupHeartbeat);
        (code(response.error_code), response.member_epoch)
    };
    assert_eq!(joined(1, ""), (Code::InvalidRequest, 0));
    assert_eq!(joined(0, ""), (Code::None, 1), "it is told its id");
    assert_eq!(joined(1, "m"), (Code::None, 2));
    let as_member = OffsetCommitRequest {
        member_id: "m".into(),
        generation_id_or_member_epoch: 2,
        ..commit("g", "t", 0, 7)
    };
    for (version, expected) in [(8, Code::UnsupportedVersion), (9, Code::None)] {
        assert_eq!(codes(&ask!(world, version, OffsetCommit(as_member.clone()))), [expected], "{version}");
    }
}

#[test]
fn what_an_operator_sets_for_groups_holds_for_those_that_there_are() {
    let mut world = with_groups();
    world.create("t", 1);
    let set = |world: &mut World, value: &str| {
        let config = AlterableConfig {
            name: "group.consumer.assignment.interval.ms".into(),
            config_operation: 0,
            value: Some(value.into()),
        };
        let resource =
            AlterConfigsResource { resource_type: 4, resource_name: String::new(), configs: vec![config] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer = ask!(world, 1, IncrementalAlterConfigs(request));
        assert_eq!(code(answer.responses[0].error_code), Code::None);
    };
    let epoch = |world: &mut World, member_id: &str, member_epoch| {
        let beat = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: member_id.into(),
            member_epoch,
            rebalance_timeout_ms: 10_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        ask!(world, 1, ConsumerGroupHeartbeat(Box::new(beat))).member_epoch
    };
    assert_eq!(epoch(&mut world, "m", 0), 1);
    set(&mut world, "60000");
    assert_eq!(epoch(&mut world, "n", 0), 1, "the work stays as it is distributed");
    set(&mut world, "0");
    assert_eq!(epoch(&mut world, "n", 1), 2);
}

/// On a full disk, or behind a write that does not end: whatever was decided would have to be kept in memory.
#[test]
fn what_cannot_be_written_is_not_decided() {
    let mut world = with_groups();
    world.create("t", 1);
    for (free_bytes, told) in [(1, Code::CoordinatorNotAvailable), (50 << 30, Code::None)] {
        world.step(Event::Space(vec![Some(Space { total_bytes: 100 << 30, free_bytes })]));
        assert_eq!(codes(&ask!(world, 8, OffsetCommit(commit("g", "t", 0, 1)))), [told]);
    }
    let mut large = commit("g", "t", 0, 2);
    large.topics[0].partitions[0].committed_metadata = Some("x".repeat(4096));
    let refused = (0..5000).find_map(|_| {
        let sequence = world.send(Request::OffsetCommit(large.clone()), 8);
        world.replies.iter().any(|(to, _)| *to == sequence).then_some(sequence)
    });
    let refused = refused.expect("16 MiB were decided, and are not written");
    assert_eq!(codes(&taken!(world, refused, OffsetCommit)), [Code::CoordinatorNotAvailable]);
    world.all_disk();
    assert_eq!(codes(&ask!(world, 8, OffsetCommit(commit("g", "t", 0, 3)))), [Code::None]);
}

#[test]
fn how_far_groups_are_behind_and_why_they_were_rebalanced_is_told() {
    let mut world = with_groups();
    world.create("t", 300);
    let at = |second: i64| Timestamp(1_700_000_000_000 + 1000 * second);
    for second in 0..5 {
        let mut builder = BatchBuilder::default();
        builder.append(at(second), None, Some(b"value"), &[]);
        world.produce("t", -1, builder.finish(&Seal::default()));
        world.all_disk();
    }
    let mut request = commit("g", "t", 0, 2);
    let first = request.topics[0].partitions[0].clone();
    let others = (1..300).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 0,
        ..first.clone()
    });
    request.topics[0].partitions.extend(others);
    ask!(world, 8, OffsetCommit(request));
    ask!(world, 8, OffsetCommit(commit("another", "t", 0, 5)));
    joined_alone(&mut world, "members");
    let (mut lags, mut walk, mut slices) = (Vec::new(), LagWalk::default(), 0);
    while !walk.is_over() {
        world.node.lags_next(&mut walk, &mut lags);
        slices += 1;
    }
    assert_eq!((lags.len(), slices), (301, 2));
    let behind: Vec<_> = lags.iter().filter(|lag| lag.messages != 0 || lag.since.is_some()).collect();
    let told = behind.iter().map(|lag| (&*lag.group, &*lag.topic, lag.partition.0, lag.messages, lag.since));
    assert_eq!(told.collect::<Vec<_>>(), [("g", "t", 0, 3, Some(at(2)))]);
    let rebalances = |world: &World| {
        let report = world.node.report();
        report.rebalances.iter().map(|(cause, count)| (cause.name(), *count)).collect::<Vec<_>>()
    };
    let before = rebalances(&world);
    assert_eq!(before, [("new-member", 1)]);
    world.send(Request::OffsetCommit(commit("members", "t", 0, 2)), 8);
    world.disk(|action| matches!(action, DiskAction::Write { .. }), &Err(DiskError::Full));
    assert_eq!(rebalances(&world), before, "of a shard that is gone, too");
}
