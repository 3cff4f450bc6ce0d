//! DescribeLogDirs and AlterReplicaLogDirs: where on this broker's disks partitions are.

use std::collections::BTreeMap;

use klamm_log::LogDir;
use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_wire::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    Response,
    alter_replica_log_dirs::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult},
    describe_log_dirs::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
};

use crate::{Effect, ReplyTo, handlers::reply, hosted::Hosted, node::Node};

pub(crate) fn describe(node: &Node, to: ReplyTo, request: &DescribeLogDirsRequest, out: &mut Vec<Effect>) {
    let mut topics = topics_by_dir(node, request);
    let results = node
        .disks
        .reports()
        .enumerate()
        .map(|(number, dir)| {
            let log_dir = LogDir(number as u16);
            let (error, topics) = match dir.has_failed {
                true => (ErrorCode::KafkaStorageError, Vec::new()),
                false => (ErrorCode::None, topics.remove(&log_dir).unwrap_or_default()),
            };
            let space = node.disks.space(log_dir);
            let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
            DescribeLogDirsResult {
                error_code: error.code(),
                log_dir: dir.path,
                topics,
                total_bytes: space.map_or(-1, |space| bytes(space.total_bytes)),
                usable_bytes: space.map_or(-1, |space| bytes(space.free_bytes)),
                ..Default::default()
            }
        })
        .collect();
    reply(to, Response::DescribeLogDirs(DescribeLogDirsResponse { results, ..Default::default() }), out);
}

/// What of the partitions that are asked for is here; of those that are not, nothing is said.
fn topics_by_dir(
    node: &Node,
    request: &DescribeLogDirsRequest,
) -> BTreeMap<LogDir, Vec<DescribeLogDirsTopic>> {
    let mut asked: Vec<(TopicPartition, &Hosted)> = match &request.topics {
        None => node.hosted.iter().map(|(key, hosted)| (*key, hosted)).collect(),
        Some(topics) => topics
            .iter()
            .filter_map(|topic| Some((node.topic_id(&topic.topic)?, &topic.partitions)))
            .flat_map(|(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |index| TopicPartition { topic, partition: PartitionIndex(*index) })
            })
            .filter_map(|key| Some((key, node.hosted.get(&key)?)))
            .collect(),
    };
    asked.sort_by(|(key, one), (other_key, other)| (&one.name, key).cmp(&(&other.name, other_key)));
    asked.dedup_by_key(|(key, _)| *key);
    let mut by_dir: BTreeMap<LogDir, Vec<DescribeLogDirsTopic>> = BTreeMap::new();
    for (key, hosted) in asked {
        let topics = by_dir.entry(hosted.replica.log().log_dir()).or_default();
        if topics.last().is_none_or(|last| *last.name != *hosted.name) {
            topics.push(DescribeLogDirsTopic { name: hosted.name.to_string(), ..Default::default() });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(partition(key, hosted));
        }
    }
    by_dir
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

/// Partitions stay where they are: asking for the directory they are in is fine, for another one a matter of policy.
pub(crate) fn alter(node: &Node, to: ReplyTo, request: &AlterReplicaLogDirsRequest, out: &mut Vec<Effect>) {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let result = |index: &i32| AlterReplicaLogDirPartitionResult {
                partition_index: *index,
                error_code: altered(node, &dir.path, &topic.name, PartitionIndex(*index)).code(),
            };
            let of_topic = topic.partitions.iter().map(result);
            match results.iter_mut().find(|it| it.topic_name == topic.name) {
                Some(known) => known.partitions.extend(of_topic),
                None => results.push(AlterReplicaLogDirTopicResult {
                    topic_name: topic.name.clone(),
                    partitions: of_topic.collect(),
                }),
            }
        }
    }
    reply(
        to,
        Response::AlterReplicaLogDirs(AlterReplicaLogDirsResponse { results, ..Default::default() }),
        out,
    );
}

fn altered(node: &Node, path: &str, topic: &str, partition: PartitionIndex) -> ErrorCode {
    let Some(wanted) = node.disks.at_path(path) else { return ErrorCode::LogDirNotFound };
    if node.disks.has_failed(wanted) {
        return ErrorCode::KafkaStorageError;
    }
    let Some(topic) = node.topic_id(topic) else { return ErrorCode::UnknownTopicOrPartition };
    let key = TopicPartition { topic, partition };
    match node.hosted.get(&key).map(|hosted| hosted.replica.log().log_dir()) {
        Some(found) if found == wanted => ErrorCode::None,
        Some(_) => ErrorCode::PolicyViolation,
        None if node.image.partition(key).is_some() => ErrorCode::ReplicaNotAvailable,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}
