//! OffsetForLeaderEpoch: where a leader epoch ends, so that a client notices that its log was cut (KIP-320).

use klamm_model::{ErrorCode, LeaderEpoch, PartitionIndex, TopicPartition};
use klamm_wire::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, Response,
    offset_for_leader_epoch::{EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult},
};

use super::reply;
use crate::{Effect, ReplyTo, errors::ToCode, node::Node};

pub(crate) fn handle(
    node: &mut Node,
    to: ReplyTo,
    request: OffsetForLeaderEpochRequest,
    out: &mut Vec<Effect>,
) {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let id = node.topic_id(&topic.topic);
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| {
                    let key =
                        id.map(|topic| TopicPartition { topic, partition: PartitionIndex(asked.partition) });
                    let unknown = EpochEndOffset {
                        partition: asked.partition,
                        leader_epoch: -1,
                        end_offset: -1,
                        ..Default::default()
                    };
                    match key.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|key| find(node, key, asked))
                    {
                        Ok((epoch, end)) => {
                            EpochEndOffset { leader_epoch: epoch, end_offset: end, ..unknown }
                        }
                        Err(code) => EpochEndOffset { error_code: code.code(), ..unknown },
                    }
                })
                .collect();
            OffsetForLeaderTopicResult { topic: topic.topic, partitions }
        })
        .collect();
    reply(
        to,
        Response::OffsetForLeaderEpoch(OffsetForLeaderEpochResponse { topics, ..Default::default() }),
        out,
    );
}

fn find(node: &Node, key: TopicPartition, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let hosted = node.hosted.get(&key).ok_or_else(|| node.why_not_hosted(key, false))?;
    let epoch = LeaderEpoch::from_wire(asked.leader_epoch).ok_or(ErrorCode::InvalidRequest)?;
    let current = LeaderEpoch::from_wire(asked.current_leader_epoch);
    let (epoch, end) = hosted.replica.epoch_end(current, epoch).map_err(|error| error.code())?;
    Ok((epoch.0, end.raw()))
}
