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
                        leader_epoch: UNKNOWN.0,
                        end_offset: UNKNOWN.1,
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

/// What the protocol calls an epoch, and its end, that are not known.
const UNKNOWN: (i32, i64) = (-1, -1);

fn find(node: &Node, key: TopicPartition, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let hosted = node.hosted.get(&key).ok_or_else(|| node.why_not_hosted(key, false))?;
    let current = LeaderEpoch::from_wire(asked.current_leader_epoch);
    let asked = LeaderEpoch::from_wire(asked.leader_epoch);
    let (epoch, end) =
        hosted.replica.epoch_end(current, asked.unwrap_or(LeaderEpoch(0))).map_err(|error| error.code())?;
    // An epoch that nobody led under yet ends nowhere.
    let is_known = asked.is_some_and(|asked| hosted.replica.leader_epoch() >= Some(asked));
    Ok(if is_known { (epoch.0, end.raw()) } else { UNKNOWN })
}
