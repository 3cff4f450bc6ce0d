//! DescribeProducers: the producers that a partition's leader remembers, and their open transactions (KIP-664).

use klamm_log::ProducerState as Remembered;
use klamm_model::{ErrorCode, Offset, PartitionIndex, TopicPartition};
use klamm_replica::Role;
use klamm_wire::{
    DescribeProducersRequest, DescribeProducersResponse, Response,
    describe_producers::{PartitionResponse, ProducerState, TopicResponse},
};
use rustc_hash::FxHashSet;

use super::in_pieces::List;
use crate::{Reply, node::Node, reads};

/// A request that is being answered.
pub(crate) struct Description {
    list: List<i32, PartitionResponse>,
    /// A partition that is asked for a million times is answered once.
    seen: FxHashSet<TopicPartition>,
}

impl Description {
    pub(crate) fn new(request: DescribeProducersRequest) -> Self {
        let list = List::new(request.topics.into_iter().map(|it| (it.name, it.partition_indexes)));
        Self { list, seen: FxHashSet::default() }
    }

    pub(crate) fn go_on(&mut self, node: &Node) -> bool {
        let Self { list, seen } = self;
        list.go_on(node, |at, index| {
            let key = at.id.map(|topic| TopicPartition { topic, partition: PartitionIndex(*index) });
            let producers = match key {
                None => Err(reads::name_error(at.name)),
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
        })
    }

    pub(crate) fn answer(self) -> Reply {
        let topics = self.list.told().map(|(name, partitions)| TopicResponse { name, partitions }).collect();
        let response = DescribeProducersResponse { topics, ..Default::default() };
        Reply::Ready(Response::DescribeProducers(response))
    }
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
    let state = |it: Remembered| ProducerState {
        producer_id: it.id.0,
        producer_epoch: i32::from(it.epoch.0),
        last_sequence: it.last_sequence.unwrap_or(-1),
        last_timestamp: it.last_timestamp.0,
        coordinator_epoch: it.coordinator_epoch.map_or(-1, |epoch| epoch.0),
        current_txn_start_offset: it.transaction.map_or(-1, Offset::raw),
        ..Default::default()
    };
    Ok(hosted.replica.log().producer_states().map(state).collect())
}
