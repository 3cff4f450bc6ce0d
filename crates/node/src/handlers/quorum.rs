//! DescribeQuorum: who keeps the metadata log, and how far it has come (KIP-595).

use klamm_cluster::{self as cluster, topic_name};
use klamm_model::{BrokerId, ErrorCode};
use klamm_wire::{
    DescribeQuorumRequest, DescribeQuorumResponse, Request, Response,
    describe_quorum::{
        Listener, Node as QuorumNode, ReplicaState, RequestTopicData, ResponsePartitionData,
        ResponseTopicData,
    },
};
use uuid::Uuid;

use super::reply;
use crate::{Effect, Now, ReplyTo, node::Node};

/// Answered by the controller, which leads the log: nobody else knows how far it has come.
pub(super) fn describe(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    request: DescribeQuorumRequest,
    out: &mut Vec<Effect>,
) {
    if !node.metadata.is_controller() {
        return node.forward(to, version, Request::DescribeQuorum(request), out);
    }
    let [topic] = &request.topics[..] else {
        return reply(to, refused(&request.topics, ErrorCode::UnknownTopicOrPartition), out);
    };
    let is_metadata_log = topic.topic_name == topic_name::METADATA
        && matches!(&topic.partitions[..], [partition] if partition.partition_index == 0);
    if !is_metadata_log {
        return reply(to, refused(&request.topics, ErrorCode::UnknownTopicOrPartition), out);
    }
    let response = DescribeQuorumResponse {
        error_message: None,
        topics: vec![ResponseTopicData {
            topic_name: topic.topic_name.clone(),
            partitions: vec![log_state(node, now, version)],
        }],
        nodes: if version >= 2 { voters(node) } else { Vec::new() },
        ..Default::default()
    };
    reply(to, Response::DescribeQuorum(response), out);
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

fn log_state(node: &Node, now: Now, version: i16) -> ResponsePartitionData {
    let me = node.config.broker_id;
    let end = node.image.applied().map_or(0, |applied| i64::try_from(applied + 1).unwrap_or(i64::MAX));
    let state = |id: BrokerId| {
        // What others have is between them and the engine: not known here.
        let (log_end_offset, at) = if id == me { (end, now.wall.0) } else { (-1, -1) };
        ReplicaState {
            replica_id: id.0,
            replica_directory_id: if version >= 2 { directory(node, id) } else { Uuid::nil() },
            log_end_offset,
            last_fetch_timestamp: at,
            last_caught_up_timestamp: at,
        }
    };
    let is_observer = |id: &BrokerId| !node.config.voters.contains(id);
    ResponsePartitionData {
        partition_index: 0,
        error_message: None,
        leader_id: me.0,
        leader_epoch: node.image.epoch().0,
        high_watermark: end,
        current_voters: node.config.voters.iter().copied().map(state).collect(),
        observers: node.image.brokers().map(|broker| broker.id).filter(is_observer).map(state).collect(),
        ..Default::default()
    }
}

fn directory(node: &Node, id: BrokerId) -> Uuid {
    node.image.broker(id).map_or(Uuid::nil(), |broker| broker.directory)
}

/// Where the voters can be reached.
fn voters(node: &Node) -> Vec<QuorumNode> {
    let of_node = |id: &BrokerId| {
        let broker = node.image.broker(*id)?;
        let listener =
            |it: &cluster::Listener| Listener { name: it.name.clone(), host: it.host.clone(), port: it.port };
        let listeners = broker.listeners.iter().map(listener).collect();
        Some(QuorumNode { node_id: id.0, listeners })
    };
    node.config.voters.iter().filter_map(of_node).collect()
}
