//! DescribeQuorum: who keeps the metadata log, and how far each of them is (KIP-595).
//!
//! Only the engine knows, so it is asked, and whoever asks meanwhile gets the same answer.

use klamm_cluster::{self as cluster, topic_name};
use klamm_model::ErrorCode;
use klamm_quorum::{Description, ReplicaDescription};
use klamm_wire::{
    DescribeQuorumRequest, DescribeQuorumResponse, Request, Response,
    describe_quorum::{
        Listener, Node as QuorumNode, ReplicaState, RequestPartitionData, RequestTopicData,
        ResponsePartitionData, ResponseTopicData,
    },
};
use uuid::Uuid;

use super::reply;
use crate::{BROKER_LISTENER, Effect, Now, ReplyTo, node::Node};

/// Answered by the controller, whose engine leads: nobody else knows how far the others are.
pub(super) fn describe(
    node: &mut Node,
    to: ReplyTo,
    version: i16,
    request: DescribeQuorumRequest,
    out: &mut Vec<Effect>,
) {
    if !node.metadata.is_controller() {
        return node.forward(to, version, Request::DescribeQuorum(request), out);
    }
    if !is_about_metadata(&request.topics) {
        return reply(to, refused(&request.topics, ErrorCode::UnknownTopicOrPartition), out);
    }
    if node.metadata.describing.is_empty() {
        out.push(Effect::DescribeQuorum);
    }
    node.metadata.describing.push((to, version));
}

fn is_about_metadata(topics: &[RequestTopicData]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name == topic_name::METADATA && partition.partition_index == 0
}

/// The engine has told.
pub(crate) fn described(node: &mut Node, now: Now, quorum: &Description, out: &mut Vec<Effect>) {
    for (to, version) in std::mem::take(&mut node.metadata.describing) {
        let response = if node.metadata.is_controller() {
            told(node, now, quorum, version)
        } else {
            // It was deposed meanwhile, and its engine may have told how things were under another leader.
            let partitions = vec![RequestPartitionData { partition_index: 0 }];
            let topic = RequestTopicData { topic_name: topic_name::METADATA.to_owned(), partitions };
            refused(&[topic], ErrorCode::NotLeaderOrFollower)
        };
        reply(to, response, out);
    }
}

fn refused(topics: &[RequestTopicData], code: ErrorCode) -> Response {
    let of_topic = |topic: &RequestTopicData| ResponseTopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|it| ResponsePartitionData {
                partition_index: it.partition_index,
                error_code: code.code(),
                error_message: None,
                ..Default::default()
            })
            .collect(),
    };
    Response::DescribeQuorum(DescribeQuorumResponse {
        error_message: None,
        topics: topics.iter().map(of_topic).collect(),
        ..Default::default()
    })
}

fn told(node: &Node, now: Now, quorum: &Description, version: i16) -> Response {
    let replicas = |are_voters: bool| {
        let those = quorum.replicas.iter().filter(move |it| it.is_voter == are_voters);
        those.map(|it| state(node, now, it, version)).collect()
    };
    let log = ResponsePartitionData {
        partition_index: 0,
        error_message: None,
        leader_id: node.config.broker_id.0,
        leader_epoch: node.image.epoch().0,
        high_watermark: to_wire(quorum.committed),
        current_voters: replicas(true),
        observers: replicas(false),
        ..Default::default()
    };
    Response::DescribeQuorum(DescribeQuorumResponse {
        error_message: None,
        topics: vec![ResponseTopicData {
            topic_name: topic_name::METADATA.to_owned(),
            partitions: vec![log],
        }],
        nodes: if version >= 2 { nodes(node, quorum) } else { Vec::new() },
        ..Default::default()
    })
}

fn state(node: &Node, now: Now, replica: &ReplicaDescription, version: i16) -> ReplicaState {
    let time = |ago: Option<u64>| ago.map_or(-1, |ms| now.wall.0.saturating_sub_unsigned(ms));
    ReplicaState {
        replica_id: replica.id.0,
        replica_directory_id: if version >= 2 { directory(node, replica) } else { Uuid::nil() },
        log_end_offset: replica.end.map_or(-1, to_wire),
        last_fetch_timestamp: time(replica.heard_ms),
        last_caught_up_timestamp: time(replica.caught_up_ms),
    }
}

/// Kafka's positions end where these never come.
fn to_wire(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn directory(node: &Node, replica: &ReplicaDescription) -> Uuid {
    let registered = || node.image.broker(replica.id).map(|broker| broker.directory);
    replica.directory.or_else(registered).unwrap_or(Uuid::nil())
}

/// Where they can be reached.
fn nodes(node: &Node, quorum: &Description) -> Vec<QuorumNode> {
    let of_node = |replica: &ReplicaDescription| {
        let id = replica.id;
        let Some(broker) = node.image.broker(id) else {
            // It is a controller only, or has not registered yet.
            let (host, port) = replica.address.clone()?;
            let listener = Listener { name: BROKER_LISTENER.to_owned(), host, port };
            return Some(QuorumNode { node_id: id.0, listeners: vec![listener] });
        };
        let listener =
            |it: &cluster::Listener| Listener { name: it.name.clone(), host: it.host.clone(), port: it.port };
        let listeners = broker.listeners.iter().map(listener).collect();
        Some(QuorumNode { node_id: id.0, listeners })
    };
    quorum.replicas.iter().filter_map(of_node).collect()
}
