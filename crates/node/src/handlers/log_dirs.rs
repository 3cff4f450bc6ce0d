//! DescribeLogDirs and AlterReplicaLogDirs: where on this broker's disks partitions are.

use klamm_log::LogDir;
use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_wire::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    Response,
    alter_replica_log_dirs::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult},
    describe_log_dirs::{
        DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
    },
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Effect, LogDirReport, ReplyTo, Walk, handlers::reply, hosted::Hosted, node::Node};

/// A DescribeLogDirs that is being answered.
pub(crate) struct Survey {
    to: ReplyTo,
    asked: Asked,
    /// What was found, by the numbers of the directories.
    topics: Vec<Vec<DescribeLogDirsTopic>>,
}

/// Which partitions a survey goes through.
enum Asked {
    All(Walk),
    Named { topics: Vec<DescribableLogDirTopic>, at: (usize, usize), seen: FxHashSet<TopicPartition> },
}

/// Names that are looked up in one go; most that a client makes up are not here.
const NAMES_AT_ONCE: usize = 1000;

impl Survey {
    pub(crate) fn to(&self) -> ReplyTo {
        self.to
    }

    fn is_over(&self) -> bool {
        match &self.asked {
            Asked::All(walk) => walk.is_over(),
            Asked::Named { topics, at, .. } => topics.len() <= at.0,
        }
    }

    /// The partitions that come next.
    fn next(&mut self, node: &Node) -> Vec<TopicPartition> {
        match &mut self.asked {
            Asked::All(walk) => node.next_of(walk),
            Asked::Named { topics, at, seen } => {
                let mut found = Vec::new();
                for _ in 0..NAMES_AT_ONCE {
                    let Some(topic) = topics.get(at.0) else { break };
                    let Some(index) = topic.partitions.get(at.1) else {
                        *at = (at.0 + 1, 0);
                        continue;
                    };
                    at.1 += 1;
                    let Some(id) = node.topic_id(&topic.topic) else { continue };
                    let key = TopicPartition { topic: id, partition: PartitionIndex(*index) };
                    if node.hosted.contains_key(&key) && seen.insert(key) {
                        found.push(key);
                    }
                }
                found
            }
        }
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

    fn answer(self, node: &Node) -> Response {
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
        Response::DescribeLogDirs(DescribeLogDirsResponse { results, ..Default::default() })
    }
}

/// What of the partitions that are asked for is here is found by and by; of those that are not, nothing is said.
pub(crate) fn describe(node: &mut Node, to: ReplyTo, request: DescribeLogDirsRequest) {
    let asked = match request.topics {
        None => Asked::All(Walk::default()),
        Some(topics) => Asked::Named { topics, at: (0, 0), seen: FxHashSet::default() },
    };
    let topics = node.disks.reports().map(|_| Vec::new()).collect();
    node.log_dir_surveys.push_back(Survey { to, asked, topics });
}

/// Looks at some more partitions for whoever has asked first.
pub(crate) fn go_on(node: &mut Node, out: &mut Vec<Effect>) {
    let Some(mut survey) = node.log_dir_surveys.pop_front() else { return };
    for key in survey.next(node) {
        if let Some(hosted) = node.hosted.get(&key) {
            survey.note(key, hosted, node.moving_to(key));
        }
    }
    if survey.is_over() {
        reply(survey.to, survey.answer(node), out);
    } else {
        node.log_dir_surveys.push_front(survey);
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
