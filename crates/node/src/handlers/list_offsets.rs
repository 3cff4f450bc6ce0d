//! ListOffsets: where a partition begins and ends, and which record is the first of a time or later.

use klamm_model::{ErrorCode, LeaderEpoch, PartitionIndex, Timestamp, TopicPartition};
use klamm_replica::Isolation;
use klamm_wire::{
    ListOffsetsRequest, ListOffsetsResponse, Response,
    list_offsets::{ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
};
use rustc_hash::FxHashSet;

use super::{fetch::isolation, in_pieces::List};
use crate::{Reply, errors::ToCode, node::Node, reply::Lookup};

/// What the protocol writes in place of a timestamp.
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    /// KIP-734.
    pub(super) const LARGEST_TIMESTAMP: i64 = -3;
    /// KIP-405: everything is local here.
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    /// KIP-1005: nothing is tiered here.
    pub(super) const LATEST_TIERED: i64 = -5;
    /// KIP-1023: nothing waits for an upload here.
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;

    /// The first version that knows it; `None` for a negative number that means nothing.
    pub(super) fn since(timestamp: i64) -> Option<i16> {
        match timestamp {
            0.. | LATEST | EARLIEST => Some(1),
            LARGEST_TIMESTAMP => Some(7),
            EARLIEST_LOCAL => Some(8),
            LATEST_TIERED => Some(9),
            EARLIEST_PENDING_UPLOAD => Some(11),
            _ => None,
        }
    }
}

/// A request that is being answered.
pub(crate) struct Listing {
    version: i16,
    isolation: Isolation,
    list: List<ListOffsetsPartition, ListOffsetsPartitionResponse>,
    seen: FxHashSet<TopicPartition>,
    lookups: Vec<Lookup>,
}

impl Listing {
    pub(crate) fn new(request: ListOffsetsRequest, version: i16) -> Self {
        let isolation = isolation(request.isolation_level);
        let list = List::new(request.topics.into_iter().map(|it| (it.name, it.partitions)));
        Self { version, isolation, list, seen: FxHashSet::default(), lookups: Vec::new() }
    }

    pub(crate) fn go_on(&mut self, node: &Node) -> bool {
        let Self { version, isolation, list, seen, lookups } = self;
        list.go_on(node, |at, asked| {
            let found = at.id.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|topic| {
                let key = TopicPartition { topic, partition: PartitionIndex(asked.partition_index) };
                if !seen.insert(key) {
                    return Err(ErrorCode::InvalidRequest);
                }
                if special::since(asked.timestamp).is_none_or(|since| *version < since) {
                    return Err(ErrorCode::UnsupportedVersion);
                }
                find(node, key, asked, *isolation, at.place, lookups)
            });
            found.unwrap_or_else(|code| {
                let code = match code {
                    // Clients that are older than this code wait for a leader as well.
                    ErrorCode::OffsetNotAvailable if *version < 5 => ErrorCode::LeaderNotAvailable,
                    code => code,
                };
                ListOffsetsPartitionResponse { error_code: code.code(), ..nothing(asked.partition_index) }
            })
        })
    }

    pub(crate) fn answer(self) -> Reply {
        let Self { version, list, lookups, .. } = self;
        // Clients that are older know no leader epochs, and the answer has no place for them.
        let has_epochs = 4 <= version;
        let topics = list.told().map(|(name, mut partitions)| {
            if !has_epochs {
                partitions.iter_mut().for_each(|partition| partition.leader_epoch = -1);
            }
            ListOffsetsTopicResponse { name, partitions, ..Default::default() }
        });
        let response = ListOffsetsResponse { topics: topics.collect(), ..Default::default() };
        if lookups.is_empty() {
            Reply::Ready(Response::ListOffsets(response))
        } else {
            Reply::Times { response, lookups, has_epochs }
        }
    }
}

fn nothing(partition_index: i32) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..Default::default()
    }
}

fn find(
    node: &Node,
    key: TopicPartition,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
    (topic, partition): (usize, usize),
    lookups: &mut Vec<Lookup>,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let hosted = node.hosted.get(&key).ok_or_else(|| node.why_not_hosted(key, false))?;
    let bounds = hosted
        .replica
        .readable(LeaderEpoch::from_wire(asked.current_leader_epoch))
        .map_err(|error| error.code())?;
    let log = hosted.replica.log();
    let end = match isolation {
        Isolation::ReadUncommitted => bounds.high_watermark,
        Isolation::ReadCommitted => bounds.last_stable,
    };
    let (offset, epoch) = match asked.timestamp {
        special::LATEST => (end, Some(bounds.epoch)),
        // Where there is no record yet, the leader's epoch begins.
        special::EARLIEST | special::EARLIEST_LOCAL => {
            (bounds.log_start, log.epoch_at(bounds.log_start).or(Some(bounds.epoch)))
        }
        special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => {
            return Ok(nothing(asked.partition_index));
        }
        special::LARGEST_TIMESTAMP => {
            let lookup = log.lookup_largest_timestamp(end);
            lookups.push(Lookup { topic, partition, lookup });
            return Ok(nothing(asked.partition_index));
        }
        time => {
            let lookup = log.lookup_time(Timestamp(time), end);
            lookups.push(Lookup { topic, partition, lookup });
            return Ok(nothing(asked.partition_index));
        }
    };
    Ok(ListOffsetsPartitionResponse {
        offset: offset.raw(),
        leader_epoch: epoch.map_or(-1, |epoch| epoch.0),
        ..nothing(asked.partition_index)
    })
}
