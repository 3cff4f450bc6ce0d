//! DescribeLogDirs and AlterReplicaLogDirs: where on this broker's disks partitions are.

use klamm_log::LogDir;
use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_wire::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    Response,
    alter_replica_log_dirs::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult},
    describe_log_dirs::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{in_pieces::List, reply};
use crate::{Effect, LogDirReport, Reply, ReplyTo, Walk, hosted::Hosted, node::Node};

/// A DescribeLogDirs that is being answered.
pub(crate) struct Survey {
    asked: Asked,
    /// What was found, by the numbers of the directories.
    topics: Vec<Vec<DescribeLogDirsTopic>>,
}

/// Which partitions a survey goes through.
enum Asked {
    All(Walk),
    /// Most names that a client makes up are not here.
    Named {
        list: List<i32, ()>,
        seen: FxHashSet<TopicPartition>,
    },
}

impl Survey {
    /// What of the partitions that are asked for is here is found by and by; of those that are not, nothing is said.
    pub(crate) fn new(node: &Node, request: DescribeLogDirsRequest) -> Self {
        let asked = match request.topics {
            None => Asked::All(Walk::default()),
            Some(topics) => Asked::Named {
                list: List::new(topics.into_iter().map(|it| (it.topic, it.partitions))),
                seen: FxHashSet::default(),
            },
        };
        Self { asked, topics: node.disks.reports().map(|_| Vec::new()).collect() }
    }

    pub(crate) fn go_on(&mut self, node: &Node) -> bool {
        let mut found = Vec::new();
        let is_over = match &mut self.asked {
            Asked::All(walk) => {
                found = node.next_of(walk);
                walk.is_over()
            }
            Asked::Named { list, seen } => list.go_on(node, |at, index| {
                let key = at.id.map(|topic| TopicPartition { topic, partition: PartitionIndex(*index) });
                found.extend(key.filter(|key| node.hosted.contains_key(key) && seen.insert(*key)));
            }),
        };
        for key in found {
            if let Some(hosted) = node.hosted.get(&key) {
                self.note(key, hosted, node.moving_to(key));
            }
        }
        is_over
    }

    fn note(&mut self, key: TopicPartition, hosted: &Hosted, moving_to: Option<LogDir>) {
        self.put(hosted.replica.log().log_dir(), hosted, partition(key, hosted));
        if let Some(to) = moving_to {
            self.put(to, hosted, future(key, hosted));
        }
    }

    fn put(&mut self, log_dir: LogDir, hosted: &Hosted, partition: DescribeLogDirsPartition) {
        let topics = &mut self.topics[usize::from(log_dir.0)];
        if topics.last().is_none_or(|last| *last.name != *hosted.name) {
            topics.push(DescribeLogDirsTopic { name: hosted.name.to_string(), ..Default::default() });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(partition);
        }
    }

    pub(crate) fn answer(self, node: &Node) -> Reply {
        let result = |(number, (dir, topics)): (usize, (LogDirReport, Vec<_>))| {
            let space = node.disks.space(LogDir(number as u16));
            let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
            let error = if dir.has_failed { ErrorCode::KafkaStorageError } else { ErrorCode::None };
            DescribeLogDirsResult {
                error_code: error.code(),
                log_dir: dir.path,
                topics: if dir.has_failed { Vec::new() } else { topics },
                total_bytes: space.map_or(-1, |space| bytes(space.total_bytes)),
                usable_bytes: space.map_or(-1, |space| bytes(space.free_bytes)),
                ..Default::default()
            }
        };
        let results = node.disks.reports().zip(self.topics).enumerate().map(result).collect();
        let response = DescribeLogDirsResponse { results, ..Default::default() };
        Reply::Ready(Response::DescribeLogDirs(response))
    }
}

fn partition(key: TopicPartition, hosted: &Hosted) -> DescribeLogDirsPartition {
    let log = hosted.replica.log();
    DescribeLogDirsPartition {
        partition_index: key.partition.0,
        partition_size: i64::try_from(log.size_bytes()).unwrap_or(i64::MAX),
        // How far the log is behind what is committed: a follower's that has not caught up, as with Kafka.
        offset_lag: (hosted.replica.high_watermark().raw() - log.end().raw()).max(0),
        ..Default::default()
    }
}

/// The copy of one that is on its way to another directory, or waits for its turn.
fn future(key: TopicPartition, hosted: &Hosted) -> DescribeLogDirsPartition {
    let log = hosted.replica.log();
    let (copied_bytes, copied_end) = log.copied();
    DescribeLogDirsPartition {
        partition_index: key.partition.0,
        partition_size: i64::try_from(copied_bytes).unwrap_or(i64::MAX),
        offset_lag: (log.end().raw() - copied_end.raw()).max(0),
        is_future_key: true,
    }
}

/// The answer says that a move is wanted from now on; how far it is, DescribeLogDirs tells.
pub(crate) fn alter(
    node: &mut Node,
    to: ReplyTo,
    request: &AlterReplicaLogDirsRequest,
    out: &mut Vec<Effect>,
) {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    // A request may name many topics, and each under several directories.
    let mut places: FxHashMap<&str, usize> = FxHashMap::default();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let result = |index: &i32| AlterReplicaLogDirPartitionResult {
                partition_index: *index,
                error_code: altered(node, &dir.path, &topic.name, PartitionIndex(*index), out).code(),
            };
            let of_topic = topic.partitions.iter().map(result);
            let place = *places.entry(&topic.name).or_insert(results.len());
            if place == results.len() {
                let topic_name = topic.name.clone();
                results.push(AlterReplicaLogDirTopicResult { topic_name, ..Default::default() });
            }
            results[place].partitions.extend(of_topic);
        }
    }
    reply(
        to,
        Response::AlterReplicaLogDirs(AlterReplicaLogDirsResponse { results, ..Default::default() }),
        out,
    );
}

fn altered(
    node: &mut Node,
    path: &str,
    topic: &str,
    partition: PartitionIndex,
    out: &mut Vec<Effect>,
) -> ErrorCode {
    let Some(wanted) = node.disks.at_path(path) else { return ErrorCode::LogDirNotFound };
    if node.disks.has_failed(wanted) {
        return ErrorCode::KafkaStorageError;
    }
    let Some(topic) = node.topic_id(topic) else { return ErrorCode::UnknownTopicOrPartition };
    let key = TopicPartition { topic, partition };
    match node.hosted.get(&key).map(|hosted| hosted.replica.log()) {
        Some(log)
            if log.log_dir() != wanted
                && (log.has_failed() || !node.disks.has_room_for(wanted, log.size_bytes())) =>
        {
            ErrorCode::KafkaStorageError
        }
        Some(_) => {
            node.want_in(key, wanted, out);
            ErrorCode::None
        }
        None if node.image.partition(key).is_some() => ErrorCode::ReplicaNotAvailable,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}
