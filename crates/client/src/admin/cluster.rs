//! The cluster as a whole: its brokers, its quorum, what it speaks.

use std::collections::BTreeMap;

use klamm_model::{BrokerId, Offset, Timestamp};
use klamm_wire::{
    AddRaftVoterRequest, ApiKey, ApiVersionsRequest, DescribeClusterRequest, DescribeQuorumRequest,
    RemoveRaftVoterRequest, Request, UnregisterBrokerRequest, add_raft_voter,
    describe_quorum::{ReplicaState, RequestPartitionData, RequestTopicData},
};
use uuid::Uuid;

use super::Admin;
use super::ask::{Whom, answer};
use super::error::{AdminError, Failure, check};
use crate::call::CallError;

/// The topic that Kafka calls the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A cluster and its brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterDescription {
    /// The cluster's own id, if it has one.
    pub id: Option<String>,
    /// Who leads the cluster, as far as a broker tells: Kafka without ZooKeeper names any broker that passes requests on.
    pub controller: Option<BrokerId>,
    /// Every broker that is known, those included that are not there.
    pub brokers: BTreeMap<BrokerId, BrokerDescription>,
}

/// A broker of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerDescription {
    /// Name or address for clients.
    pub host: String,
    /// TCP port for clients.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Whether it is known and not in service: it does not answer the controller, or is not ready yet.
    pub is_fenced: bool,
}

/// A request that a broker serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ApiRange {
    /// Its number.
    pub key: i16,
    /// Its name, if we know it.
    pub name: Option<&'static str>,
    /// The lowest version served.
    pub min: i16,
    /// The highest version served.
    pub max: i16,
}

/// Who keeps the cluster's metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// Who leads; `None` while nobody does.
    pub leader: Option<BrokerId>,
    /// Which leader that is.
    pub leader_epoch: i32,
    /// Up to where the metadata is committed.
    pub high_watermark: Option<Offset>,
    /// Those that elect and are elected.
    pub voters: Vec<QuorumReplica>,
    /// Those that only listen.
    pub observers: Vec<QuorumReplica>,
    /// Where voters listen, by node, as far as the broker tells: listener, host and port.
    pub listeners: BTreeMap<BrokerId, Vec<(String, String, u16)>>,
}

/// A copy of the metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumReplica {
    /// Whose.
    pub node: BrokerId,
    /// The data directory that it is in, by its id: the same node with another one is another voter.
    pub directory: Option<Uuid>,
    /// How far it is, if the leader knows.
    pub log_end: Option<Offset>,
    /// When it asked for news last, if the leader knows.
    pub last_fetch: Option<Timestamp>,
    /// When it had everything last, if the leader knows.
    pub last_caught_up: Option<Timestamp>,
}

impl Admin {
    /// The cluster and its brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let read = |response| {
            let answer = answer!(response, DescribeCluster);
            check(answer.error_code, answer.error_message)?;
            let brokers = answer.brokers.into_iter().map(|broker| {
                let (host, port, rack) = (broker.host, broker.port, broker.rack);
                let description = BrokerDescription { host, port, rack, is_fenced: broker.is_fenced };
                (BrokerId(broker.broker_id), description)
            });
            Ok(ClusterDescription {
                id: Some(answer.cluster_id).filter(|id| !id.is_empty()),
                controller: (answer.controller_id >= 0).then_some(BrokerId(answer.controller_id)),
                brokers: brokers.collect(),
            })
        };
        let with_fenced = DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
        let answer = match self.ask(Whom::Anybody, &Request::DescribeCluster(with_fenced), read).await {
            // Brokers before 4.0 tell of none that is fenced.
            Err(Failure::Call(CallError::Unencodable { .. })) => {
                let request = Request::DescribeCluster(DescribeClusterRequest::default());
                self.ask(Whom::Anybody, &request, read).await
            }
            answer => answer,
        };
        match answer {
            // Brokers before 2.8 tell it in their metadata only.
            Err(Failure::Call(CallError::Unsupported { .. })) => self.cluster_by_metadata().await,
            answer => answer.map_err(|failure| failure.about("cluster")),
        }
    }

    async fn cluster_by_metadata(&self) -> Result<ClusterDescription, AdminError> {
        let cluster = self.metadata(Some(&[])).await?;
        let brokers = cluster.brokers.into_iter().map(|(id, broker)| {
            let (host, port, rack) = (broker.host, broker.port.into(), broker.rack);
            (id, BrokerDescription { host, port, rack, is_fenced: false })
        });
        Ok(ClusterDescription { id: cluster.id, controller: cluster.controller, brokers: brokers.collect() })
    }

    /// The requests that a broker serves, by number.
    pub async fn api_versions(&self, broker: BrokerId) -> Result<Vec<ApiRange>, AdminError> {
        let read = |response| {
            let answer = answer!(response, ApiVersions);
            check(answer.error_code, None)?;
            let mut ranges: Vec<_> = answer
                .api_keys
                .into_iter()
                .map(|api| ApiRange {
                    key: api.api_key,
                    name: ApiKey::from_number(api.api_key).map(ApiKey::name),
                    min: api.min_version,
                    max: api.max_version,
                })
                .collect();
            ranges.sort_unstable();
            Ok(ranges)
        };
        let subject = format!("versions of broker {broker}");
        self.ask(Whom::Broker(broker), &hello(), read).await.map_err(|failure| failure.about(&subject))
    }

    /// Has the cluster forget a broker that is gone for good (KIP-631).
    pub async fn unregister_broker(&self, broker: BrokerId) -> Result<(), AdminError> {
        let request = Request::UnregisterBroker(UnregisterBrokerRequest { broker_id: broker.0 });
        let read = |response| {
            let answer = answer!(response, UnregisterBroker);
            check(answer.error_code, answer.error_message)
        };
        let subject = format!("broker {broker}");
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about(&subject))
    }

    /// Has a node decide with the other voters what becomes of the cluster's metadata (KIP-853). It has to be an observer that has everything. `listeners`, by
    /// name, are where Kafka's voters call it; with Klamm a node has told that itself.
    pub async fn add_raft_voter(
        &self,
        node: BrokerId,
        directory: Uuid,
        listeners: &[(String, String, u16)],
    ) -> Result<(), AdminError> {
        let listener = |(name, host, port): &(String, String, u16)| add_raft_voter::Listener {
            name: name.clone(),
            host: host.clone(),
            port: *port,
        };
        let request = Request::AddRaftVoter(AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.change_timeout_ms(),
            voter_id: node.0,
            voter_directory_id: directory,
            listeners: listeners.iter().map(listener).collect(),
            ..Default::default()
        });
        let read = |response| {
            let answer = answer!(response, AddRaftVoter);
            check(answer.error_code, answer.error_message)
        };
        let subject = format!("node {node}");
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about(&subject))
    }

    /// Has the other voters decide without this one (KIP-853). Its broker goes on.
    pub async fn remove_raft_voter(&self, node: BrokerId, directory: Uuid) -> Result<(), AdminError> {
        let request = Request::RemoveRaftVoter(RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: node.0,
            voter_directory_id: directory,
        });
        let read = |response| {
            let answer = answer!(response, RemoveRaftVoter);
            check(answer.error_code, answer.error_message)
        };
        let subject = format!("node {node}");
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about(&subject))
    }

    /// Who keeps the cluster's metadata, and how far each of them is. Any broker may be asked, which asks who leads them.
    pub async fn describe_quorum(&self) -> Result<Quorum, AdminError> {
        let request = Request::DescribeQuorum(DescribeQuorumRequest {
            topics: vec![RequestTopicData {
                topic_name: METADATA_TOPIC.to_owned(),
                partitions: vec![RequestPartitionData { partition_index: 0 }],
            }],
        });
        let read = |response| {
            let answer = answer!(response, DescribeQuorum);
            check(answer.error_code, answer.error_message)?;
            let topic = answer.topics.into_iter().next().ok_or_else(Failure::silent)?;
            let partition = topic.partitions.into_iter().next().ok_or_else(Failure::silent)?;
            check(partition.error_code, partition.error_message)?;
            let listeners = answer.nodes.into_iter().map(|node| {
                let listeners = node.listeners.into_iter().map(|it| (it.name, it.host, it.port));
                (BrokerId(node.node_id), listeners.collect())
            });
            Ok(Quorum {
                leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
                leader_epoch: partition.leader_epoch,
                high_watermark: Offset::from_wire(partition.high_watermark),
                voters: partition.current_voters.iter().map(quorum_replica).collect(),
                observers: partition.observers.iter().map(quorum_replica).collect(),
                listeners: listeners.collect(),
            })
        };
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("quorum"))
    }
}

pub(super) fn hello() -> Request {
    Request::ApiVersions(ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    })
}

fn quorum_replica(raw: &ReplicaState) -> QuorumReplica {
    let time = |raw: i64| (raw >= 0).then_some(Timestamp(raw));
    QuorumReplica {
        node: BrokerId(raw.replica_id),
        directory: Some(raw.replica_directory_id).filter(|it| !it.is_nil()),
        log_end: Offset::from_wire(raw.log_end_offset),
        last_fetch: time(raw.last_fetch_timestamp),
        last_caught_up: time(raw.last_caught_up_timestamp),
    }
}
