//! Requests that the published view answers by itself, with no lock held.

use klamm_cluster::{
    Image,
    image::{Broker, Partition, Topic},
    record::BrokerState,
    topic_name,
};
use klamm_model::{BrokerId, ErrorCode, PartitionIndex, TopicId, TopicPartition};
use klamm_wire::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse,
    Request, Response, SERVED,
    api_versions::ApiVersion,
    describe_cluster::DescribeClusterBroker,
    describe_topic_partitions::{
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, RequestCursor,
        ResponseCursor,
    },
    metadata::{
        MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    },
};
use rustc_hash::FxHashSet;

use crate::{
    BROKER_LISTENER, Origin, View,
    coordinators::find,
    features, quotas,
    unsecured::{self, CLUSTER_OPERATIONS, TOPIC_OPERATIONS, allowed},
};

pub(crate) mod configs;

/// The answer to a request that changes nothing and needs nothing but committed metadata; `None` means that it is for [`crate::Node::step`].
pub fn answer_from_view(view: &View, origin: &Origin, version: i16, request: &Request) -> Option<Response> {
    match request {
        Request::ApiVersions(request) => Some(Response::ApiVersions(api_versions(view, request, version))),
        Request::Metadata(request) => metadata(view, origin, version, request).map(Response::Metadata),
        Request::DescribeCluster(request) => {
            Some(Response::DescribeCluster(describe_cluster(view, origin, request)))
        }
        Request::DescribeTopicPartitions(request) => {
            Some(Response::DescribeTopicPartitions(describe_topic_partitions(view, request)))
        }
        Request::DescribeConfigs(request) => {
            Some(Response::DescribeConfigs(configs::describe(view, request)))
        }
        Request::ListConfigResources(request) => {
            Some(Response::ListConfigResources(configs::list(view, version, request)))
        }
        Request::FindCoordinator(request) => {
            find::find(view, origin, version, request).map(Response::FindCoordinator)
        }
        Request::DescribeClientQuotas(request) => {
            Some(Response::DescribeClientQuotas(quotas::describe(&view.image, request)))
        }
        other => unsecured::answer(other, version),
    }
}

/// Which keys are served in which versions.
fn api_versions(view: &View, request: &ApiVersionsRequest, version: i16) -> ApiVersionsResponse {
    if let Some(code) = greeting_error(view, request, version) {
        return ApiVersionsResponse { error_code: code.code(), ..Default::default() };
    }
    let mut response = ApiVersionsResponse { api_keys: served_keys(), ..Default::default() };
    if version >= 3 {
        response.supported_features = features::supported(&view.supported, version);
        if let Some(epoch) = view.image.applied() {
            response.finalized_features = features::finalized(&view.image);
            response.finalized_features_epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        }
    }
    response
}

/// What is wrong with how a client greets this broker.
fn greeting_error(view: &View, request: &ApiVersionsRequest, version: i16) -> Option<ErrorCode> {
    // KIP-511: names and versions of client software are for metrics, and must look like it.
    let is_named =
        is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    if version >= 3 && !is_named {
        return Some(ErrorCode::InvalidRequest);
    }
    // KIP-1242: the client says whom it means to have reached, if it knows. At an address that is somebody else's now it would write to another cluster.
    let me = view.image.cluster_id().map(|cluster| (&**cluster, view.me.0));
    match (request.cluster_id.as_deref(), request.node_id) {
        (None, -1) => None,
        (Some(cluster), node) if node != -1 => {
            me.filter(|me| *me != (cluster, node)).map(|_| ErrorCode::RebootstrapRequired)
        }
        _ => Some(ErrorCode::InvalidRequest),
    }
}

/// What a client that asked in a version unknown here is told, in version 0, so that it can ask again.
pub fn api_versions_unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: served_keys(),
        ..Default::default()
    }
}

/// What a client is told that has come to where nodes listen for each other, and for nobody else.
pub fn api_versions_misplaced() -> ApiVersionsResponse {
    ApiVersionsResponse { error_code: ErrorCode::MismatchedEndpointType.code(), ..Default::default() }
}

fn served_keys() -> Vec<ApiVersion> {
    SERVED
        .iter()
        .map(|served| ApiVersion {
            api_key: served.key.number(),
            min_version: served.min,
            max_version: served.max,
        })
        .collect()
}

fn is_software_name(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if edge(*first) && edge(*last))
        && bytes.iter().all(|byte| edge(*byte) || matches!(byte, b'-' | b'.'))
}

/// The address that this client should use for a broker.
pub(crate) fn address(view: &View, origin: &Origin, broker: &Broker) -> (String, u16) {
    let advertised = broker.listeners.iter().find(|listener| listener.name != BROKER_LISTENER);
    match advertised {
        Some(listener) if !(broker.id == view.me && is_unspecific(&listener.host)) => {
            (listener.host.clone(), listener.port)
        }
        // The client found its way in by this address, so it will find it again.
        _ => (origin.local_host.clone(), origin.local_port),
    }
}

/// Whether a registered host says only "here", so that the address a client came in by is the better one.
fn is_unspecific(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "::" | "localhost" | "127.0.0.1" | "::1")
}

fn live_brokers(image: &Image) -> impl Iterator<Item = &Broker> {
    image.brokers().map(|broker| &**broker).filter(|broker| broker.state != BrokerState::Fenced)
}

/// The controller as clients see it: some live broker that passes on what is for the controller; -1 if there is none. Where the controller is no broker, clients cannot
/// reach it, and this broker is as good as any.
fn shown_controller(view: &View) -> i32 {
    let live = |id: &BrokerId| live_brokers(&view.image).any(|broker| broker.id == *id);
    let shown = view.controller.map(|id| if live(&id) { id } else { view.me });
    shown.filter(live).map_or(-1, |id| id.0)
}

/// `None` if a topic must be created first, or somebody may lead no more: neither costs as much as an answer.
fn metadata(
    view: &View,
    origin: &Origin,
    version: i16,
    request: &MetadataRequest,
) -> Option<MetadataResponse> {
    if is_in_doubt(view, version, request) || new_topics(view, version, request).next().is_some() {
        return None;
    }
    let image = &view.image;
    let operations = allowed(TOPIC_OPERATIONS, request.include_topic_authorized_operations);
    let known = |topic: &Topic| metadata_topic(view, topic, version, operations);
    let topics = match named_topics(version, request) {
        None => image.topics().map(|topic| known(topic)).collect(),
        Some(asked) => {
            let mut topics = Vec::new();
            // One that is named again is not told again: an answer would be as large as the cluster for every few bytes of a request.
            let mut told = FxHashSet::default();
            for wanted in asked.iter().filter(|wanted| told.insert((wanted.name.as_deref(), wanted.topic_id)))
            {
                topics.push(match (&wanted.name, wanted.topic_id) {
                    (Some(name), TopicId::ZERO) => match image.topic_named(name) {
                        Some(topic) => known(topic),
                        None => MetadataResponseTopic {
                            topic_authorized_operations: operations,
                            ..unknown_topic(Some(name.clone()), TopicId::ZERO, name_error(name))
                        },
                    },
                    // Versions 10 and 11 have the place for an id, but an answer could not leave the name out.
                    (name, id) if version < 12 => {
                        let name = name.clone().unwrap_or_default();
                        unknown_topic(Some(name), id, ErrorCode::InvalidRequest)
                    }
                    (_, id) => match image.topic(id) {
                        Some(topic) => known(topic),
                        None => unknown_topic(None, id, ErrorCode::UnknownTopicId),
                    },
                });
            }
            topics
        }
    };
    Some(MetadataResponse {
        brokers: live_brokers(image)
            .map(|broker| {
                let (host, port) = address(view, origin, broker);
                MetadataResponseBroker {
                    node_id: broker.id.0,
                    host,
                    port: i32::from(port),
                    rack: broker.rack.clone(),
                }
            })
            .collect(),
        cluster_id: image.cluster_id().map(|id| id.to_string()),
        controller_id: shown_controller(view),
        topics,
        cluster_authorized_operations: allowed(
            CLUSTER_OPERATIONS,
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    })
}

/// `None`: all there are.
fn named_topics(version: i16, request: &MetadataRequest) -> Option<&[MetadataRequestTopic]> {
    let named = request.topics.as_deref()?;
    // Version 0 had no null: an empty list asked for all.
    (version != 0 || !named.is_empty()).then_some(named)
}

/// Whether it is about partitions of a broker that may lead them no more. In doubt many ask, again and again, under the node's lock.
fn is_in_doubt(view: &View, version: i16, request: &MetadataRequest) -> bool {
    if view.doubted.is_empty() {
        return false;
    }
    let is_led = |topic: &Topic| {
        let mut leaders = topic.partitions.iter().filter_map(|it| it.leader);
        leaders.any(|leader| view.doubted.contains(&leader))
    };
    let topic = |wanted: &MetadataRequestTopic| match &wanted.name {
        Some(name) => view.image.topic_named(name),
        None => view.image.topic(wanted.topic_id),
    };
    match named_topics(version, request) {
        None => view.image.topics().any(|topic| is_led(topic)),
        Some(named) => named.iter().filter_map(topic).any(|topic| is_led(topic)),
    }
}

/// The names of topics that it asks for, that are not there, and that are to be created for it.
pub(crate) fn new_topics<'a>(
    view: &'a View,
    version: i16,
    request: &'a MetadataRequest,
) -> impl Iterator<Item = &'a str> {
    let may_create = view.auto_create_topics && (request.allow_auto_topic_creation || version < 4);
    let named = request.topics.iter().flatten().filter(move |_| may_create).filter_map(new_topic);
    named.filter(|name| view.image.topic_named(name).is_none())
}

/// The name under which a topic that is not there may be created. Those in which the cluster keeps records of its own come with what they are for: they have
/// as many partitions as that wants.
fn new_topic(wanted: &MetadataRequestTopic) -> Option<&str> {
    let name = wanted.name.as_deref().filter(|_| wanted.topic_id == TopicId::ZERO)?;
    (topic_name::validate(name).is_ok() && !topic_name::is_internal(name)).then_some(name)
}

/// What a client is told of a topic that is not there.
pub(crate) fn name_error(name: &str) -> ErrorCode {
    match topic_name::validate(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

/// What Metadata says of a topic it can't describe.
pub(crate) fn unknown_topic(
    name: Option<String>,
    topic_id: TopicId,
    code: ErrorCode,
) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.code(),
        name,
        topic_id,
        topic_authorized_operations: allowed(TOPIC_OPERATIONS, false),
        ..Default::default()
    }
}

fn metadata_topic(view: &View, topic: &Topic, version: i16, operations: i32) -> MetadataResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .enumerate()
        .map(|(index, partition)| {
            let standing = Standing::of(view, topic.id, index, partition);
            MetadataResponsePartition {
                error_code: standing.error.code(),
                partition_index: index as i32,
                leader_id: standing.leader_id,
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: numbers(&partition.replicas),
                isr_nodes: numbers(&partition.isr),
                offline_replicas: if version >= 5 { standing.offline } else { Vec::new() },
            }
        })
        .collect();
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic_name::is_internal(&topic.name),
        partitions,
        topic_authorized_operations: operations,
        ..Default::default()
    }
}

/// Who serves a partition. A log that has failed here serves nobody, though the metadata may still count on this broker.
struct Standing {
    leader_id: i32,
    error: ErrorCode,
    offline: Vec<i32>,
}

impl Standing {
    fn of(view: &View, topic: TopicId, index: usize, partition: &Partition) -> Self {
        let key = TopicPartition { topic, partition: PartitionIndex(index as i32) };
        let is_offline_here = view.offline.contains(&key);
        let has_failed = |id: BrokerId| is_offline_here && id == view.me || partition.offline.contains(&id);
        let is_live = |id| view.image.broker(id).is_some_and(|broker| broker.state != BrokerState::Fenced);
        let leader = partition.leader.filter(|id| !has_failed(*id));
        let offline = partition.replicas.iter().filter(|id| !is_live(**id) || has_failed(**id));
        Self {
            leader_id: leader.map_or(-1, |leader| leader.0),
            error: if leader.is_none() { ErrorCode::LeaderNotAvailable } else { ErrorCode::None },
            offline: offline.map(|id| id.0).collect(),
        }
    }
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn describe_cluster(
    view: &View,
    origin: &Origin,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    const BROKERS: i8 = 1;
    const CONTROLLERS: i8 = 2;
    if request.endpoint_type != BROKERS {
        let (code, what) = match request.endpoint_type {
            CONTROLLERS => {
                (ErrorCode::MismatchedEndpointType, "this is a listener of a broker: ask for brokers")
            }
            _ => {
                (ErrorCode::UnsupportedEndpointType, "there are endpoints of brokers and of controllers only")
            }
        };
        return DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(what.to_owned()),
            ..Default::default()
        };
    }
    let brokers = view
        .image
        .brokers()
        .filter(|broker| request.include_fenced_brokers || broker.state != BrokerState::Fenced)
        .map(|broker| {
            let (host, port) = address(view, origin, broker);
            DescribeClusterBroker {
                broker_id: broker.id.0,
                host,
                port: i32::from(port),
                rack: broker.rack.clone(),
                is_fenced: broker.state == BrokerState::Fenced,
            }
        })
        .collect();
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: view.image.cluster_id().map(|id| id.to_string()).unwrap_or_default(),
        controller_id: shown_controller(view),
        brokers,
        cluster_authorized_operations: allowed(
            CLUSTER_OPERATIONS,
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    }
}

/// KIP-966: topics in pages; a cursor says where the next page begins.
fn describe_topic_partitions(
    view: &View,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = &view.image;
    let most = view.broker_value("max.request.partition.size.limit").and_then(|it| it.parse().ok());
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, most.unwrap_or(1));
    let mut names: Vec<String> = if request.topics.is_empty() {
        image.topics().map(|topic| topic.name.to_string()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.clone()).collect()
    };
    names.sort_unstable();
    names.dedup();
    if request.cursor.as_ref().is_some_and(|cursor| !is_possible(cursor, request, &names)) {
        let refused = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name.clone()),
            topic_authorized_operations: allowed(TOPIC_OPERATIONS, false),
            ..Default::default()
        });
        return DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() };
    }
    let (first_name, first_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    let mut answer = DescribeTopicPartitionsResponse::default();
    let mut room = limit;
    for name in names.iter().filter(|name| name.as_str() >= first_name) {
        let begin = if name == first_name { first_partition } else { 0 };
        let Some(topic) = image.topic_named(name) else {
            answer.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: name_error(name).code(),
                name: Some(name.clone()),
                topic_authorized_operations: TOPIC_OPERATIONS,
                ..Default::default()
            });
            continue;
        };
        if room == 0 {
            answer.next_cursor =
                Some(ResponseCursor { topic_name: name.clone(), partition_index: begin as i32 });
            break;
        }
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .enumerate()
            .skip(begin)
            .take(room)
            .map(|(index, partition)| describe_partition(view, topic.id, index, partition))
            .collect();
        room -= partitions.len();
        let next = begin + partitions.len();
        answer.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id,
            is_internal: topic_name::is_internal(&topic.name),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..Default::default()
        });
        if next < topic.partitions.len() {
            answer.next_cursor =
                Some(ResponseCursor { topic_name: name.clone(), partition_index: next as i32 });
            break;
        }
    }
    answer
}

/// A page begins at a partition, and at one of the topics if any are named.
fn is_possible(cursor: &RequestCursor, request: &DescribeTopicPartitionsRequest, names: &[String]) -> bool {
    0 <= cursor.partition_index && (request.topics.is_empty() || names.contains(&cursor.topic_name))
}

fn describe_partition(
    view: &View,
    topic: TopicId,
    index: usize,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let standing = Standing::of(view, topic, index, partition);
    DescribeTopicPartitionsResponsePartition {
        error_code: standing.error.code(),
        partition_index: index as i32,
        leader_id: standing.leader_id,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: numbers(&partition.replicas),
        isr_nodes: numbers(&partition.isr),
        eligible_leader_replicas: Some(numbers(&partition.elr)),
        last_known_elr: Some(numbers(&partition.last_known_elr)),
        offline_replicas: standing.offline,
    }
}
