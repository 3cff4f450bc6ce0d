//! DescribeProducers: the idempotent producers that a partition's leader remembers (KIP-664).

use std::collections::BTreeSet;

use klamm_log::ProducerState as Remembered;
use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_replica::Role;
use klamm_wire::{
    DescribeProducersRequest, DescribeProducersResponse, Response,
    describe_producers::{PartitionResponse, ProducerState, TopicResponse},
};

use super::reply;
use crate::{Effect, ReplyTo, node::Node, reads};

pub(crate) fn handle(node: &mut Node, to: ReplyTo, request: DescribeProducersRequest, out: &mut Vec<Effect>) {
    // A partition that is asked for a million times is answered once.
    let mut seen = BTreeSet::new();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let id = node.topic_id(&topic.name);
            let describe = |index: &i32| {
                let key = id.map(|topic| TopicPartition { topic, partition: PartitionIndex(*index) });
                let producers = match key {
                    None => Err(reads::name_error(&topic.name)),
                    Some(key) if !seen.insert(key) => Err(ErrorCode::InvalidRequest),
                    Some(key) => producers(node, key),
                };
                let (error_code, active_producers) = match producers {
                    Ok(producers) => (ErrorCode::None, producers),
                    Err(code) => (code, Vec::new()),
                };
                PartitionResponse {
                    partition_index: *index,
                    error_code: error_code.code(),
                    active_producers,
                    ..Default::default()
                }
            };
            let partitions = topic.partition_indexes.iter().map(describe).collect();
            TopicResponse { name: topic.name, partitions }
        })
        .collect();
    reply(to, Response::DescribeProducers(DescribeProducersResponse { topics, ..Default::default() }), out);
}

fn producers(node: &Node, key: TopicPartition) -> Result<Vec<ProducerState>, ErrorCode> {
    let hosted = node.hosted.get(&key).ok_or_else(|| node.why_not_hosted(key, false))?;
    match hosted.replica.role() {
        Role::Leader { .. } => {}
        Role::Idle | Role::Follower { .. } => return Err(ErrorCode::NotLeaderOrFollower),
    }
    if hosted.replica.log().has_failed() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let state = |Remembered { id, epoch, last }: Remembered| ProducerState {
        producer_id: id.0,
        producer_epoch: i32::from(epoch.0),
        last_sequence: last.map_or(-1, |(sequence, _)| sequence),
        last_timestamp: last.map_or(-1, |(_, timestamp)| timestamp.0),
        // No transaction can be open yet.
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
        ..Default::default()
    };
    Ok(hosted.replica.log().producer_states().map(state).collect())
}
