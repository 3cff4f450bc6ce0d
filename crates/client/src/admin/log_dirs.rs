//! What lies on the brokers' disks.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode};
use klamm_wire::{
    AlterReplicaLogDirsRequest, DescribeLogDirsRequest, Request,
    alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic},
};

use super::ask::{ByPartition, Whom, answer, named};
use super::error::{AdminError, check};
use super::names::by_topic;
use super::{Admin, PartitionName};

/// A data directory of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogDir {
    /// Its path on the broker.
    pub path: String,
    /// Why it can't be used, else [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Bytes of its file system, if the broker says (Kafka 3.3 and newer).
    pub total_bytes: Option<u64>,
    /// Bytes that are free there, if the broker says.
    pub usable_bytes: Option<u64>,
    /// Whether no new partition is put there.
    pub is_cordoned: bool,
    /// The partitions in it.
    pub replicas: BTreeMap<PartitionName, ReplicaOnDisk>,
}

/// A partition's copy on one disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaOnDisk {
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// How many records it is behind.
    pub lag: u64,
    /// Whether it is being moved here from another directory.
    pub is_future: bool,
}

impl Admin {
    /// Moves a broker's copies of these partitions to other ones of its data directories (KIP-113). An answer means that the moves have
    /// begun; [`describe_log_dirs`](Self::describe_log_dirs) shows how far they are.
    pub async fn move_to_log_dirs(
        &self,
        broker: BrokerId,
        paths: &BTreeMap<PartitionName, String>,
    ) -> Result<ByPartition<()>, AdminError> {
        let mut directories: BTreeMap<&str, Vec<&PartitionName>> = BTreeMap::new();
        for (partition, path) in paths {
            directories.entry(path).or_default().push(partition);
        }
        let dirs = directories.into_iter().map(|(path, partitions)| AlterReplicaLogDir {
            path: path.to_owned(),
            topics: by_topic(partitions)
                .into_iter()
                .map(|(name, partitions)| AlterReplicaLogDirTopic { name: name.to_string(), partitions })
                .collect(),
        });
        let request = Request::AlterReplicaLogDirs(AlterReplicaLogDirsRequest { dirs: dirs.collect() });
        let read = |response| {
            let mut mentioned = Vec::new();
            for topic in answer!(response, AlterReplicaLogDirs).results {
                let name: Arc<str> = topic.topic_name.into();
                for partition in topic.partitions {
                    mentioned
                        .push((named(&name, partition.partition_index), check(partition.error_code, None)));
                }
            }
            Ok(mentioned)
        };
        let subject = format!("directories of broker {broker}");
        self.ask_about(Whom::Broker(broker), &subject, paths.keys().cloned(), &request, read).await
    }

    /// The data directories of a broker, with everything in them.
    pub async fn describe_log_dirs(&self, broker: BrokerId) -> Result<Vec<LogDir>, AdminError> {
        let request = Request::DescribeLogDirs(DescribeLogDirsRequest { topics: None });
        let read = |response| {
            let answer = answer!(response, DescribeLogDirs);
            check(answer.error_code, None)?;
            let directories = answer.results.into_iter().map(|directory| {
                let replicas = directory.topics.into_iter().flat_map(|topic| {
                    let name: Arc<str> = topic.name.into();
                    topic.partitions.into_iter().map(move |partition| {
                        let replica = ReplicaOnDisk {
                            size_bytes: u64::try_from(partition.partition_size).unwrap_or(0),
                            lag: u64::try_from(partition.offset_lag).unwrap_or(0),
                            is_future: partition.is_future_key,
                        };
                        (named(&name, partition.partition_index), replica)
                    })
                });
                LogDir {
                    path: directory.log_dir,
                    error: ErrorCode::told(directory.error_code),
                    total_bytes: u64::try_from(directory.total_bytes).ok(),
                    usable_bytes: u64::try_from(directory.usable_bytes).ok(),
                    is_cordoned: directory.is_cordoned,
                    replicas: replicas.collect(),
                }
            });
            Ok(directories.collect())
        };
        let subject = format!("directories of broker {broker}");
        self.ask(Whom::Broker(broker), &request, read).await.map_err(|failure| failure.about(&subject))
    }
}
