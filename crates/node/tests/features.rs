//! Feature levels: what a node tells clients, how levels change, and who may take part.

use crate::world::{World, features};
use klamm_cluster::features::{GROUPS, LevelRange, METADATA_FORM, Supported};
use klamm_cluster::record::{self, Record};
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode as Code, Tick, Timestamp};
use klamm_node::{Effect, Event, Listener, Node, NodeConfig, Now};
use klamm_quorum::{Entry, Input, Output, Proposer};
use klamm_replica::Sabotage;
use klamm_wire::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, Request, Response, UpdateFeaturesRequest,
    UpdateFeaturesResponse, broker_registration::Feature, update_features::FeatureUpdateKey,
};
use uuid::Uuid;

fn told(world: &mut World, version: i16) -> ApiVersionsResponse {
    let request = ApiVersionsRequest {
        client_software_name: "a".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let sequence = world.send(Request::ApiVersions(request), version);
    let Response::ApiVersions(response) = world.response(sequence) else { panic!("another answer") };
    response
}

fn levels(world: &mut World) -> Vec<(String, i16)> {
    let response = told(world, 4);
    response.finalized_features.into_iter().map(|it| (it.name, it.max_version_level)).collect()
}

fn update(world: &mut World, version: i16, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let sequence = world.send(Request::UpdateFeatures(request), version);
    let Response::UpdateFeatures(response) = world.response(sequence) else { panic!("another answer") };
    response
}

fn to(feature: &str, max_version_level: i16, upgrade_type: i8) -> UpdateFeaturesRequest {
    let feature = feature.to_owned();
    let update = FeatureUpdateKey { feature, max_version_level, upgrade_type, allow_downgrade: false };
    UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() }
}

fn code(number: i16) -> Code {
    Code::from_code(number).expect("a code")
}

fn other_ranges(feature: &str, min: i16, max: i16) -> Supported {
    let mut supported = Supported::ours();
    supported.0.insert(feature.to_owned(), LevelRange { min, max });
    supported
}

#[test]
fn a_new_cluster_is_at_the_highest_levels_of_who_founds_it() {
    let all = [
        ("eligible.leader.replicas.version", 1),
        ("group.version", 1),
        ("klamm.metadata.version", 1),
        ("metadata.version", 33),
        ("transaction.version", 2),
    ];
    let all = all.map(|(name, level)| (name.to_owned(), level));
    assert_eq!(levels(&mut World::new()), all);
    let mut other = World::with(|config| config.supported = other_ranges(GROUPS, 0, 7).into());
    assert!(levels(&mut other).contains(&("group.version".to_owned(), 7)));
}

/// Clients of version 3 take a range that begins with 0 for nonsense.
#[test]
fn what_is_supported_is_told_as_a_client_can_read_it() {
    let mut world = World::new();
    for version in 0..=5 {
        let response = told(&mut world, version);
        let count = (response.supported_features.len(), response.finalized_features.len());
        let expected = match version {
            0..=2 => (0, 0),
            3 => (2, 5),
            _ => (5, 5),
        };
        assert_eq!(count, expected, "version {version}");
        assert_eq!(0 <= response.finalized_features_epoch, 3 <= version);
        assert!(version != 3 || response.supported_features.iter().all(|it| 0 < it.min_version));
    }
}

#[test]
fn levels_change_as_kafka_has_it_and_with_them_what_is_told() {
    let mut world = World::new();
    for (feature, level, upgrade_type, expected) in [
        ("metadata.version", 33, 1, Code::None),
        ("metadata.version", 34, 1, Code::InvalidUpdateVersion),
        ("metadata.version", 1, 3, Code::InvalidUpdateVersion),
        ("metadata.version", 33, 0, Code::InvalidUpdateVersion),
        ("transaction.version", 2, 1, Code::None),
        ("transaction.version", 0, 1, Code::InvalidUpdateVersion),
        ("transaction.version", 0, 2, Code::None),
        ("transaction.version", 1, 2, Code::InvalidUpdateVersion),
        ("transaction.version", 2, 1, Code::None),
        ("share.version", 1, 1, Code::InvalidUpdateVersion),
    ] {
        for version in 1..=2 {
            let before = levels(&mut world);
            let check = UpdateFeaturesRequest { validate_only: true, ..to(feature, level, upgrade_type) };
            let checked = update(&mut world, version, check);
            assert_eq!(levels(&mut world), before, "it was only asked");
            let response = update(&mut world, version, to(feature, level, upgrade_type));
            assert_eq!(response, checked);
            assert_eq!(code(response.error_code), expected, "{feature} to {level}");
            // As tools show it behind "Could not upgrade …".
            let begin =
                "The update failed for all features since the following feature had an error: Invalid update";
            let is_told = response.error_message.as_ref().map(|it| it.starts_with(begin));
            assert_eq!(is_told, (expected != Code::None).then_some(true));
            let is_told_each = version == 1 && expected == Code::None;
            assert_eq!(response.results.len(), usize::from(is_told_each));
            if expected == Code::None {
                assert_eq!(world.node.image().level(feature), level);
            }
        }
    }
    let before = told(&mut world, 4).finalized_features_epoch;
    assert_eq!(update(&mut world, 2, to("transaction.version", 0, 2)).error_code, 0);
    let after = told(&mut world, 4);
    assert!(before < after.finalized_features_epoch, "clients take what is newer");
    assert!(!after.finalized_features.iter().any(|it| it.name == "transaction.version"), "0 is not told");
    let old = FeatureUpdateKey { allow_downgrade: true, upgrade_type: 1, ..Default::default() };
    let old = FeatureUpdateKey { feature: GROUPS.to_owned(), ..old };
    let request = UpdateFeaturesRequest { feature_updates: vec![old], ..Default::default() };
    assert_eq!(update(&mut world, 0, request).error_code, 0);
    assert_eq!(world.node.image().level(GROUPS), 0);
}

#[test]
fn levels_are_there_again_after_a_start_from_a_snapshot() {
    let mut world = World::with(|config| config.snapshot_bytes = 1);
    assert_eq!(update(&mut world, 2, to("transaction.version", 1, 2)).error_code, 0);
    let before = levels(&mut world);
    world.restart();
    assert_eq!(levels(&mut world), before);
}

#[test]
fn without_the_feature_there_are_no_groups_of_the_consumer_protocol() {
    let mut world = World::new();
    assert_eq!(update(&mut world, 2, to("group.version", 0, 2)).error_code, 0);
    let beat = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let sequence = world.send(Request::ConsumerGroupHeartbeat(beat.clone().into()), 1);
    let Response::ConsumerGroupHeartbeat(response) = world.response(sequence) else {
        panic!("another answer")
    };
    assert_eq!(code(response.error_code), Code::UnsupportedVersion);
    let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into()], ..Default::default() };
    let sequence = world.send(Request::ConsumerGroupDescribe(request), 1);
    let Response::ConsumerGroupDescribe(response) = world.response(sequence) else {
        panic!("another answer")
    };
    assert_eq!(
        response.groups.iter().map(|it| code(it.error_code)).collect::<Vec<_>>(),
        [Code::UnsupportedVersion]
    );
    assert_eq!(update(&mut world, 2, to("group.version", 1, 1)).error_code, 0);
    let sequence = world.send(Request::ConsumerGroupHeartbeat(beat.into()), 1);
    let Response::ConsumerGroupHeartbeat(response) = world.response(sequence) else {
        panic!("another answer")
    };
    assert_ne!(code(response.error_code), Code::UnsupportedVersion);
}

fn registers(world: &mut World, number: i32, features: Vec<Feature>) -> Code {
    let number_of_disk = u128::from(number.unsigned_abs());
    let request = BrokerRegistrationRequest {
        broker_id: number,
        incarnation_id: Uuid::from_u128(100 + number_of_disk),
        log_dirs: vec![Uuid::from_u128(200 + number_of_disk)],
        previous_broker_epoch: -1,
        features,
        ..Default::default()
    };
    let sequence = world.send_on(Listener::Broker, Request::BrokerRegistration(request), 4);
    let Response::BrokerRegistration(BrokerRegistrationResponse { error_code, .. }) =
        world.response(sequence)
    else {
        panic!("another answer")
    };
    code(error_code)
}

#[test]
fn a_broker_that_lacks_a_level_of_its_cluster_is_refused() {
    let mut world = World::new();
    assert_eq!(registers(&mut world, 2, features(&Supported::ours())), Code::None);
    assert_eq!(registers(&mut world, 3, Vec::new()), Code::UnsupportedVersion, "it knows no levels");
    assert_eq!(registers(&mut world, 3, features(&other_ranges(GROUPS, 2, 3))), Code::UnsupportedVersion);
    assert_eq!(registers(&mut world, 3, features(&other_ranges(GROUPS, -1, 3))), Code::InvalidRequest);
    assert_eq!(registers(&mut world, 3, features(&other_ranges(GROUPS, 1, 3))), Code::None);
    let response = update(&mut world, 2, to("group.version", 0, 2));
    assert_eq!(code(response.error_code), Code::InvalidUpdateVersion);
    let why = response.error_message.expect("it tells who is in the way");
    assert!(why.ends_with("Broker 3 only supports versions 1-3"), "{why}");
}

/// A broker whose controller refuses it stops, and says in its own words which level it lacks.
#[test]
fn a_broker_that_is_refused_tells_which_level_it_lacks() {
    let mut config = NodeConfig::new(BrokerId(1), Uuid::from_u128(7), Uuid::from_u128(8));
    config.supported = other_ranges(GROUPS, 0, 0).into();
    let mut node = Node::new(config, 1, Sabotage::default());
    let now = Now { tick: Tick(0), wall: Timestamp(0) };
    let mut effects = Vec::new();
    let leader = Output::LeaderIs { leader: Some(BrokerId(2)), epoch: ControllerEpoch(1) };
    node.step(now, Event::Quorum(leader), &mut effects);
    let token = effects.iter().find_map(|it| match it {
        Effect::Send { token, request: Request::BrokerRegistration(it), .. } => {
            assert!(it.features.iter().any(|it| it.name == METADATA_FORM), "it tells what it supports");
            Some(*token)
        }
        _ => None,
    });
    let refused =
        BrokerRegistrationResponse { error_code: Code::UnsupportedVersion.code(), ..Default::default() };
    effects.clear();
    let answer = Ok(Response::BrokerRegistration(refused));
    let token = token.expect("it registers");
    node.step(now, Event::Peer { from: BrokerId(2), token, answer }, &mut effects);
    let why = effects.iter().find_map(|it| match it {
        Effect::Refused(why) => Some(why.as_str()),
        _ => None,
    });
    assert_eq!(why, Some("the cluster is at level 1 of group.version, and this node supports levels 0-0"));
}

fn entry(epoch: ControllerEpoch, records: &[u8]) -> Entry {
    let records = bytes::Bytes::copy_from_slice(records);
    let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&records) else {
        panic!("a proposer proposes")
    };
    Entry { index: 0, epoch, payload }
}

/// It stops with a word, and applies nothing from there on, whatever comes.
#[test]
fn a_node_that_meets_a_record_it_does_not_know_stops() {
    let mut world = World::new();
    let epoch = ControllerEpoch(2);
    let begin = Record::Begin { epoch, controller: BrokerId(2) };
    let unknown = [&record::encode(&[begin])[..], &[200, 0, 1, 7]].concat();
    let before = world.node.image().applied();
    world.commit(entry(epoch, &unknown));
    world.commit(entry(epoch, &record::encode(&[Record::Feature { name: "a".into(), level: 0 }])));
    assert_eq!(world.node.image().applied(), before);
    let told = "metadata record of the unknown type 200 at byte 5: this node is older than its cluster";
    assert_eq!(world.outdated, [told]);
}

#[test]
fn a_node_whose_cluster_comes_to_a_level_that_it_lacks_stops() {
    for name in [METADATA_FORM, "a.new.one"] {
        let mut world = World::new();
        world.decides(BrokerId(2), ControllerEpoch(2), Record::Feature { name: name.into(), level: 9 });
        let [told] = &world.outdated[..] else { panic!("{:?}", world.outdated) };
        assert!(told.starts_with(&format!("the cluster is at level 9 of {name}, and this")), "{told}");
        // Also where it hears of that by a snapshot.
        let mut image = world.node.image().clone();
        let offset = image.applied().map_or(0, |it| it + 1);
        image.apply_entry(offset, image.epoch(), &[]).expect("an empty entry");
        let mut late = World::new();
        let snapshot = klamm_quorum::Snapshot {
            position: klamm_quorum::Position {
                next_index: 9,
                next_offset: offset + 1,
                epoch: image.epoch(),
                next_sequence: 1,
            },
            state: image.to_bytes(),
        };
        late.step(Event::Quorum(Output::Snapshot(snapshot)));
        assert_eq!(late.outdated, world.outdated);
    }
}
