//! The admin client where brokers move, stumble and are old.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use klamm_client::{
    AclFilter, Admin, AdminError, CallError, Change, Client, ClientConfig, NewTopic, OffsetQuestion,
    PartitionName,
};
use klamm_model::{BrokerId, ErrorCode, Offset};
use klamm_wire::create_topics::CreatableTopicResult;
use klamm_wire::delete_topics::DeletableTopicResult;
use klamm_wire::describe_acls::{AclDescription, DescribeAclsResource};
use klamm_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use klamm_wire::metadata::MetadataResponseBroker;
use klamm_wire::offset_fetch::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use klamm_wire::{
    ApiKey, CreateTopicsResponse, DeleteTopicsResponse, DescribeAclsResponse, DescribeClusterResponse,
    FindCoordinatorResponse, ListOffsetsResponse, OffsetFetchResponse, Response,
};

use crate::fake::{Reaction, broker, led_by, metadata, port_of, versions};

const SERVED: [(ApiKey, i16); 9] = [
    (ApiKey::ApiVersions, 3),
    (ApiKey::Metadata, 12),
    (ApiKey::CreateTopics, 7),
    (ApiKey::DeleteTopics, 5),
    (ApiKey::ListOffsets, 7),
    (ApiKey::DescribeCluster, 0),
    (ApiKey::DescribeAcls, 3),
    (ApiKey::FindCoordinator, 3),
    (ApiKey::OffsetFetch, 7),
];

/// Runs the question against a broker that reacts like this to everything but greetings and questions for metadata, where `count` says how
/// often it was asked the same.
fn ask<T>(
    react: impl Fn(ApiKey, i16, usize) -> Reaction + Send + Sync + 'static,
    question: impl AsyncFnOnce(Admin) -> T,
) -> (T, Vec<(ApiKey, i16)>) {
    let counts: Arc<[AtomicUsize; 128]> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    let react = Arc::new(react);
    let (address, requests) = broker(move |header, _, port| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED)),
        ApiKey::Metadata => Reaction::Answer(header.api_version, metadata(port)),
        api => {
            let count = counts[api.number() as usize].fetch_add(1, Ordering::Relaxed);
            react(api, header.api_version, count)
        }
    });
    (run(&address, question), asked(&requests))
}

fn run<T>(address: &str, question: impl AsyncFnOnce(Admin) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(ClientConfig::new(address)).await.expect("connects");
        question(Admin::new(&client).with_timeout(Duration::from_secs(10))).await
    })
}

/// The requests beside those for the cluster's picture.
fn asked(requests: &Receiver<(ApiKey, i16)>) -> Vec<(ApiKey, i16)> {
    requests.try_iter().filter(|(api, _)| !matches!(api, ApiKey::ApiVersions | ApiKey::Metadata)).collect()
}

fn created(code: ErrorCode) -> Response {
    let result = CreatableTopicResult {
        name: "t".into(),
        error_code: code.code(),
        num_partitions: 3,
        replication_factor: 1,
        ..Default::default()
    };
    Response::CreateTopics(CreateTopicsResponse { topics: vec![result], ..Default::default() })
}

async fn create(admin: Admin) -> Result<Option<i32>, AdminError> {
    let topic = NewTopic { name: "t".into(), ..NewTopic::default() };
    Ok(admin.create_topic(&topic, Change::Make).await?.partition_count)
}

#[test]
fn whoever_is_no_controller_any_more_is_asked_again_until_one_is() {
    let (answer, asked) = ask(
        |_, version, count| {
            let code = if count < 2 { ErrorCode::NotController } else { ErrorCode::None };
            Reaction::Answer(version, created(code))
        },
        create,
    );
    assert_eq!(answer, Ok(Some(3)));
    assert_eq!(asked, [(ApiKey::CreateTopics, 7); 3]);
}

#[test]
fn a_change_whose_answer_got_lost_is_not_asked_for_twice() {
    let (answer, asked) = ask(|_, _, _| Reaction::Hangup, create);
    assert!(matches!(answer, Err(AdminError::Call(CallError::Broken { .. }))), "{answer:?}");
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_question_whose_answer_got_lost_is_asked_again() {
    let (answer, asked) = ask(
        |_, version, count| match count {
            0 => Reaction::Hangup,
            _ => {
                let response = DescribeClusterResponse { cluster_id: "c".into(), ..Default::default() };
                Reaction::Answer(version, Response::DescribeCluster(response))
            }
        },
        async |admin| admin.describe_cluster().await.map(|cluster| cluster.id),
    );
    assert_eq!(answer, Ok(Some("c".to_owned())));
    // Version 0 has no fenced brokers.
    assert_eq!(asked, [(ApiKey::DescribeCluster, 0); 2]);
}

/// Which of two is asked first changes with each question.
#[test]
fn what_another_says_for_good_is_told_though_one_is_silent() {
    let (silent, asked) = broker(|header, _, _| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED)),
        _ => Reaction::Silence,
    });
    let silent_port = silent.rsplit_once(':').expect("host and port").1.parse().expect("a port");
    let (older, _) = broker(move |header, _, port| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED[..2])),
        _ => {
            let Response::Metadata(mut response) = metadata(port) else {
                unreachable!("that is what it makes")
            };
            let known = response.brokers[0].clone();
            response.brokers.push(MetadataResponseBroker { node_id: 4, port: silent_port, ..known });
            Reaction::Answer(header.api_version, Response::Metadata(response))
        }
    });
    let answers = run(&older, async |admin| {
        let admin = admin.with_timeout(Duration::from_secs(5));
        [admin.describe_acls(&AclFilter::ALL).await, admin.describe_acls(&AclFilter::ALL).await]
    });
    let is_told = |it: &AdminError| matches!(it, AdminError::Call(CallError::Unsupported { .. }));
    assert!(answers.iter().all(|it| it.as_ref().is_err_and(is_told)), "{answers:?}");
    let is_asked = asked.try_iter().any(|(api, _)| api == ApiKey::DescribeAcls);
    assert!(is_asked, "the silent one was asked too");
}

#[test]
fn an_old_broker_is_told_the_topic_by_its_name() {
    let (answer, asked) = ask(
        |_, version, _| {
            let result = DeletableTopicResult { name: Some("t".into()), ..Default::default() };
            let response = DeleteTopicsResponse { responses: vec![result], ..Default::default() };
            Reaction::Answer(version, Response::DeleteTopics(response))
        },
        async |admin| admin.delete_topic("t").await,
    );
    assert_eq!(answer, Ok(()));
    assert_eq!(asked, [(ApiKey::DeleteTopics, 5)]);
}

#[test]
fn an_answer_about_something_else_is_an_error() {
    let (answer, _) = ask(
        |_, version, _| Reaction::Answer(version, Response::CreateTopics(CreateTopicsResponse::default())),
        create,
    );
    let error = answer.expect_err("nothing was said of the topic");
    assert_eq!(error.to_string(), "t: the answer does not mention it (UNKNOWN_SERVER_ERROR)");
}

#[test]
fn the_time_is_up_some_day() {
    let begun = Instant::now();
    let (answer, asked) = ask(
        |_, version, _| Reaction::Answer(version, created(ErrorCode::NotController)),
        async |admin| create(admin.with_timeout(Duration::from_secs(2))).await,
    );
    assert_eq!(answer.expect_err("nobody leads").code(), Some(ErrorCode::NotController));
    assert!(asked.len() > 1, "{asked:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn what_a_broker_does_not_serve_is_told_apart() {
    let (answer, _) = ask(|_, _, _| Reaction::Hangup, async |admin| admin.describe_quorum().await);
    let error = answer.expect_err("not served");
    assert!(error.is_unsupported(), "{error:?}");
    assert!(error.to_string().ends_with("does not serve DescribeQuorum"), "{error}");
}

#[test]
fn rules_are_told_in_words_those_that_are_too_new_included() {
    let (answer, _) = ask(
        |_, version, _| {
            let acls =
                [("User:a", 3, 3), ("User:b", 99, 2)].map(|(principal, operation, permission_type)| {
                    let (principal, host) = (principal.into(), "*".into());
                    AclDescription { principal, host, operation, permission_type }
                });
            let resource = DescribeAclsResource {
                resource_type: 2,
                resource_name: "t".into(),
                pattern_type: 4,
                acls: acls.into(),
            };
            let response = DescribeAclsResponse { resources: vec![resource], ..Default::default() };
            Reaction::Answer(version, Response::DescribeAcls(response))
        },
        async |admin| admin.describe_acls(&AclFilter::ALL).await,
    );
    let told: Vec<_> = answer.expect("answers").iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["allow User:a from * to read prefixed topic t", "deny User:b from * to unknown prefixed topic t"]
    );
}

fn offset(code: ErrorCode, offset: i64) -> Response {
    let partition = ListOffsetsPartitionResponse {
        error_code: code.code(),
        offset,
        ..ListOffsetsPartitionResponse::default()
    };
    let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: vec![partition] };
    Response::ListOffsets(ListOffsetsResponse { topics: vec![topic], ..Default::default() })
}

#[test]
fn a_leader_that_moved_is_followed() {
    let (second, second_asked) = broker(|header, _, _| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED)),
        ApiKey::ListOffsets => Reaction::Answer(header.api_version, offset(ErrorCode::None, 42)),
        // Asked in its turn what it does not know.
        _ => Reaction::Hangup,
    });
    let second = port_of(&second);
    let leader = Arc::new(AtomicUsize::new(3));
    let (first, first_asked) = broker(move |header, _, port| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED)),
        ApiKey::Metadata => Reaction::Answer(
            header.api_version,
            led_by(leader.load(Ordering::Relaxed) as i32, 0, [port, second]),
        ),
        ApiKey::ListOffsets => {
            leader.store(4, Ordering::Relaxed);
            Reaction::Answer(header.api_version, offset(ErrorCode::NotLeaderOrFollower, -1))
        }
        _ => Reaction::Silence,
    });
    let partition = PartitionName::new("t", 0);
    let answer = run(&first, async |admin| {
        admin.list_offsets([partition.clone()], OffsetQuestion::Latest).await.expect("answers")
    });
    let found = answer[&partition].as_ref().map(|found| found.offset);
    assert_eq!(found, Ok(Some(Offset::new(42))));
    assert_eq!(asked(&first_asked), [(ApiKey::ListOffsets, 7)]);
    assert_eq!(asked(&second_asked), [(ApiKey::ListOffsets, 7)]);
}

#[test]
fn each_partition_has_its_own_outcome() {
    let (address, _) = broker(|header, _, port| match header.api_key {
        ApiKey::ApiVersions => Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED)),
        ApiKey::Metadata => Reaction::Answer(header.api_version, led_by(3, 0, [port, port])),
        ApiKey::ListOffsets => Reaction::Answer(header.api_version, offset(ErrorCode::None, 7)),
        _ => Reaction::Silence,
    });
    let (there, beyond) = (PartitionName::new("t", 0), PartitionName::new("t", 9));
    let answer = run(&address, async |admin| {
        let asked = [there.clone(), beyond.clone(), PartitionName::new("u", 0)];
        admin.list_offsets(asked, OffsetQuestion::Earliest).await.expect("answers")
    });
    assert_eq!(answer.len(), 3);
    assert!(answer[&there].is_ok());
    let error = answer[&beyond].as_ref().expect_err("there is no such partition");
    assert_eq!(error.to_string(), "t-9: there is no such topic or partition");
}

#[test]
fn a_coordinator_is_found_once_and_anew_where_it_has_moved() {
    let ((), asked) = ask(
        |api, version, count| {
            let response = match api {
                // Not version 4, which finds several at once.
                ApiKey::FindCoordinator => {
                    let code = if count == 0 { ErrorCode::CoordinatorNotAvailable } else { ErrorCode::None };
                    let error_code = code.code();
                    let found = FindCoordinatorResponse { error_code, node_id: 3, ..Default::default() };
                    Response::FindCoordinator(found)
                }
                _ => {
                    // Of the group, and of each partition.
                    let (of_group, of_partition) = match count {
                        1 => (ErrorCode::None, ErrorCode::NotCoordinator),
                        2 => (ErrorCode::CoordinatorLoadInProgress, ErrorCode::None),
                        _ => (ErrorCode::None, ErrorCode::None),
                    };
                    let partition = OffsetFetchResponsePartition {
                        committed_offset: 42,
                        error_code: of_partition.code(),
                        ..Default::default()
                    };
                    let topics =
                        vec![OffsetFetchResponseTopic { name: "t".into(), partitions: vec![partition] }];
                    let error_code = of_group.code();
                    Response::OffsetFetch(OffsetFetchResponse { topics, error_code, ..Default::default() })
                }
            };
            Reaction::Answer(version, response)
        },
        async |admin| {
            for _ in 0..2 {
                let offsets = admin.group_offsets("g", None).await.expect("answers");
                let committed = offsets[&PartitionName::new("t", 0)].as_ref().map(Option::as_ref);
                assert_eq!(committed.expect("told").map(|it| it.offset), Some(Offset::new(42)));
            }
        },
    );
    let (find, fetch) = ((ApiKey::FindCoordinator, 3), (ApiKey::OffsetFetch, 7));
    assert_eq!(asked, [find, find, fetch, fetch, find, fetch, find, fetch]);
}

#[test]
fn a_broker_that_nobody_knows_is_an_error_and_not_a_wait_for_ever() {
    let (answer, _) = ask(
        |_, _, _| Reaction::Silence,
        async |admin| {
            let admin = admin.with_timeout(Duration::from_millis(200));
            admin.describe_log_dirs(BrokerId(99)).await.map(|_| ())
        },
    );
    let error = answer.expect_err("nobody is broker 99");
    assert_eq!(error, AdminError::Call(CallError::UnknownBroker(BrokerId(99))));
}
