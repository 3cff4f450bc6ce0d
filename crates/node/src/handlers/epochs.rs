//! OffsetForLeaderEpoch: where a leader epoch ends, so that a client notices that its log was cut (KIP-320).

use klamm_model::{ErrorCode, LeaderEpoch, PartitionIndex, TopicPartition};
use klamm_wire::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, Response,
    offset_for_leader_epoch::{EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult},
};

use super::in_pieces::List;
use crate::{Reply, errors::ToCode, node::Node};

/// A request that is being answered.
pub(crate) struct EpochEnds(List<OffsetForLeaderPartition, EpochEndOffset>);

impl EpochEnds {
    pub(crate) fn new(request: OffsetForLeaderEpochRequest) -> Self {
        Self(List::new(request.topics.into_iter().map(|it| (it.topic, it.partitions))))
    }

    pub(crate) fn go_on(&mut self, node: &Node) -> bool {
        self.0.go_on(node, |at, asked| {
            let unknown = EpochEndOffset {
                partition: asked.partition,
                leader_epoch: UNKNOWN.0,
                end_offset: UNKNOWN.1,
                ..Default::default()
            };
            let found = at.id.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|topic| {
                find(node, TopicPartition { topic, partition: PartitionIndex(asked.partition) }, asked)
            });
            match found {
                Ok((leader_epoch, end_offset)) => EpochEndOffset { leader_epoch, end_offset, ..unknown },
                Err(code) => EpochEndOffset { error_code: code.code(), ..unknown },
            }
        })
    }

    pub(crate) fn answer(self) -> Reply {
        let topic = |(topic, partitions)| OffsetForLeaderTopicResult { topic, partitions };
        let topics = self.0.told().map(topic).collect();
        let response = OffsetForLeaderEpochResponse { topics, ..Default::default() };
        Reply::Ready(Response::OffsetForLeaderEpoch(response))
    }
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
