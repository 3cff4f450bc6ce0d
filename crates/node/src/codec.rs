//! Controller commands as Kafka's requests and back: the wire's sentinels stop here.

use std::collections::BTreeSet;

use klamm_cluster::config::{ConfigKey, Layers, TOPIC_CONFIGS};
use klamm_cluster::controller::{
    AllocateProducerIds, AlterPartitionError, AlterPartitions, ByTopic, Command, CreateTopicError,
    CreateTopics, CreatedTopic, DeleteTopicError, DeleteTopics, Heartbeat, HeartbeatAnswer, IsrProposal,
    Layout, LogFate, NamedEntity, NewTopic, OfflineReplicas, PartitionAnswer, ProducerIdBlock, Register,
    RegisterError, Reply as Decided, StaleBroker, TopicRef,
};
use klamm_cluster::features::{Lacking, LevelRange};
use klamm_cluster::record::{BrokerState, Listener, RegisterBroker};
use klamm_model::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicPartition,
};
use klamm_wire::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerHeartbeatRequest,
    BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeQuorumResponse,
    ListPartitionReassignmentsResponse, Request, Response, UnregisterBrokerResponse, alter_partition,
    assign_replicas_to_dirs, broker_registration, create_topics, delete_topics,
};
use uuid::Uuid;

use crate::errors::ToCode;
use crate::handlers::voters::{self, Change};
use crate::reads::configs::{source_number, topic_value};

pub(crate) mod configs;
mod consumer_groups;
mod features;
pub(crate) mod groups;
pub(crate) mod offsets;
mod partitions;
mod quotas;
pub(crate) mod transactions;

/// What an answer needs to know of its request.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    CreateTopics { names: Vec<String> },
    DeleteTopics { topics: Vec<TopicRef>, version: i16 },
    CreatePartitions { names: Vec<String> },
    ElectLeaders { partitions: Option<ByTopic<()>>, version: i16 },
    AlterReassignments { partitions: ByTopic<()>, may_change_factor: bool },
    ListReassignments,
    UnregisterBroker,
    AlterQuotas { entities: Vec<NamedEntity> },
    UpdateFeatures { names: Vec<String>, version: i16 },
    DescribeQuorum,
    AddVoter,
    RemoveVoter,
    Registration,
    Heartbeat,
    AlterPartition,
    ReplicasOffline,
    ProducerIds,
    AlterConfigs(configs::Asked),
}

impl Shape {
    /// # Panics
    /// If the request is not one for the controller.
    pub(crate) fn of(request: &Request, version: i16) -> Self {
        match request {
            Request::CreateTopics(it) => {
                Self::CreateTopics { names: it.topics.iter().map(|topic| topic.name.clone()).collect() }
            }
            Request::DeleteTopics(it) => {
                Self::DeleteTopics { topics: topics_to_delete(it, version), version }
            }
            Request::CreatePartitions(it) => {
                Self::CreatePartitions { names: it.topics.iter().map(|topic| topic.name.clone()).collect() }
            }
            Request::ElectLeaders(it) => {
                Self::ElectLeaders { partitions: partitions::elections_of(it), version }
            }
            Request::AlterPartitionReassignments(it) => Self::AlterReassignments {
                partitions: partitions::reassignments_of(it),
                may_change_factor: it.allow_replication_factor_change,
            },
            Request::ListPartitionReassignments(_) => Self::ListReassignments,
            Request::UnregisterBroker(_) => Self::UnregisterBroker,
            Request::AlterClientQuotas(it) => Self::AlterQuotas { entities: quotas::entities_of(it) },
            Request::UpdateFeatures(it) => Self::UpdateFeatures { names: features::names_of(it), version },
            Request::DescribeQuorum(_) => Self::DescribeQuorum,
            Request::AddRaftVoter(_) => Self::AddVoter,
            Request::RemoveRaftVoter(_) => Self::RemoveVoter,
            Request::BrokerRegistration(_) => Self::Registration,
            Request::BrokerHeartbeat(_) => Self::Heartbeat,
            Request::AlterPartition(_) => Self::AlterPartition,
            Request::AssignReplicasToDirs(_) => Self::ReplicasOffline,
            Request::AllocateProducerIds(_) => Self::ProducerIds,
            Request::AlterConfigs(it) => Self::AlterConfigs(configs::Asked::all(it)),
            Request::IncrementalAlterConfigs(it) => Self::AlterConfigs(configs::Asked::some(it)),
            other => panic!("{:?} is not for the controller", other.api_key()),
        }
    }

    /// What clients ask, any broker takes and passes on; what brokers ask, they must ask the controller.
    pub(crate) fn may_be_forwarded(&self) -> bool {
        match self {
            Self::CreateTopics { .. }
            | Self::DeleteTopics { .. }
            | Self::CreatePartitions { .. }
            | Self::ElectLeaders { .. }
            | Self::AlterReassignments { .. }
            | Self::ListReassignments
            | Self::UnregisterBroker
            | Self::AlterQuotas { .. }
            | Self::UpdateFeatures { .. }
            | Self::AlterConfigs(_)
            | Self::DescribeQuorum
            | Self::AddVoter
            | Self::RemoveVoter => true,
            Self::Registration
            | Self::Heartbeat
            | Self::AlterPartition
            | Self::ReplicasOffline
            | Self::ProducerIds => false,
        }
    }

    /// What is said where nobody is the controller.
    pub(crate) fn no_controller(&self) -> ErrorCode {
        match self {
            // By Kafka that is asked of a partition's leader, of which there is none.
            Self::DescribeQuorum | Self::AddVoter | Self::RemoveVoter => ErrorCode::NotLeaderOrFollower,
            _ => ErrorCode::NotController,
        }
    }

    /// The answer if all of it failed in the same way.
    pub(crate) fn failed(&self, code: ErrorCode) -> Response {
        let error_code = code.code();
        match self {
            Self::CreateTopics { names } => Response::CreateTopics(CreateTopicsResponse {
                topics: names.iter().map(|name| not_created(name.clone(), code, why(code))).collect(),
                ..Default::default()
            }),
            Self::DeleteTopics { topics, .. } => Response::DeleteTopics(DeleteTopicsResponse {
                responses: topics.iter().map(|topic| delete_result(topic, code, why(code))).collect(),
                ..Default::default()
            }),
            Self::CreatePartitions { names } => {
                Response::CreatePartitions(partitions::partitions_not_created(names, code))
            }
            Self::ElectLeaders { partitions, version } => {
                Response::ElectLeaders(partitions::leaders_not_elected(partitions.as_ref(), *version, code))
            }
            Self::AlterReassignments { partitions, may_change_factor } => {
                Response::AlterPartitionReassignments(partitions::reassignments_not_altered(
                    partitions,
                    *may_change_factor,
                    code,
                ))
            }
            Self::ListReassignments => {
                Response::ListPartitionReassignments(ListPartitionReassignmentsResponse {
                    error_code,
                    error_message: why(code),
                    ..Default::default()
                })
            }
            Self::UnregisterBroker => Response::UnregisterBroker(UnregisterBrokerResponse {
                error_code,
                error_message: why(code),
                ..Default::default()
            }),
            Self::AlterQuotas { entities } => {
                Response::AlterClientQuotas(quotas::not_altered(entities, code))
            }
            Self::UpdateFeatures { .. } => features::not_updated(code, why(code)),
            Self::DescribeQuorum => Response::DescribeQuorum(DescribeQuorumResponse {
                error_code,
                error_message: why(code),
                ..Default::default()
            }),
            Self::AddVoter => voters::answered(Change::Add, code, why(code)),
            Self::RemoveVoter => voters::answered(Change::Remove, code, why(code)),
            Self::Registration => {
                Response::BrokerRegistration(BrokerRegistrationResponse { error_code, ..Default::default() })
            }
            Self::Heartbeat => {
                Response::BrokerHeartbeat(BrokerHeartbeatResponse { error_code, ..Default::default() })
            }
            Self::AlterPartition => {
                Response::AlterPartition(AlterPartitionResponse { error_code, ..Default::default() })
            }
            Self::ReplicasOffline => Response::AssignReplicasToDirs(AssignReplicasToDirsResponse {
                error_code,
                ..Default::default()
            }),
            Self::ProducerIds => Response::AllocateProducerIds(AllocateProducerIdsResponse {
                error_code,
                ..Default::default()
            }),
            Self::AlterConfigs(asked) => asked.response(asked.resources().map(|_| (code, why(code)))),
        }
    }

    /// The answer that a decision gives. `layers` are where topics without configs of their own have theirs from.
    pub(crate) fn response(&self, reply: Decided, layers: Layers<'_>) -> Response {
        match reply {
            Decided::CreateTopics(topics) => Response::CreateTopics(created(topics, layers)),
            Decided::DeleteTopics(topics) => Response::DeleteTopics(DeleteTopicsResponse {
                responses: topics
                    .into_iter()
                    .map(|(asked, result)| match result {
                        Ok(deleted) => delete_topics::DeletableTopicResult {
                            name: Some(deleted.name),
                            topic_id: deleted.id,
                            error_message: None,
                            ..Default::default()
                        },
                        Err(error) => {
                            delete_result(&asked, self.delete_code(&error), Some(error.to_string()))
                        }
                    })
                    .collect(),
                ..Default::default()
            }),
            Decided::CreatePartitions(topics) => {
                Response::CreatePartitions(partitions::partitions_created(topics))
            }
            Decided::ElectLeaders(topics) => Response::ElectLeaders(partitions::leaders_elected(topics)),
            Decided::AlterReassignments(topics) => {
                let Self::AlterReassignments { may_change_factor, .. } = self else {
                    unreachable!("the answer to another request");
                };
                let altered = partitions::reassignments_altered(topics, *may_change_factor);
                Response::AlterPartitionReassignments(altered)
            }
            Decided::ListReassignments(topics) => {
                Response::ListPartitionReassignments(partitions::reassignments_listed(topics))
            }
            Decided::AlterQuotas(entities) => Response::AlterClientQuotas(quotas::altered(entities)),
            Decided::UpdateFeatures(result) => {
                let Self::UpdateFeatures { names, version } = self else {
                    unreachable!("the answer to another request");
                };
                match result {
                    Ok(()) => features::updated(names, *version),
                    Err(error) => features::not_updated(error.code(), Some(features::failed_for_all(&error))),
                }
            }
            Decided::UnregisterBroker(result) => Response::UnregisterBroker(UnregisterBrokerResponse {
                error_code: result.map_or_else(|error| error.code(), |()| ErrorCode::None).code(),
                error_message: result.err().map(|error| error.to_string()),
                ..Default::default()
            }),
            Decided::RegisterBroker(Ok(epoch)) => Response::BrokerRegistration(BrokerRegistrationResponse {
                broker_epoch: epoch.0,
                ..Default::default()
            }),
            Decided::RegisterBroker(Err(error)) => self.failed(error.code()),
            Decided::Heartbeat(Ok(answer)) => Response::BrokerHeartbeat(BrokerHeartbeatResponse {
                is_caught_up: answer.is_caught_up,
                is_fenced: answer.state == BrokerState::Fenced,
                should_shut_down: answer.may_shut_down,
                ..Default::default()
            }),
            Decided::Heartbeat(Err(error)) => self.failed(error.code()),
            Decided::AlterPartitions(Ok(partitions)) => Response::AlterPartition(altered(partitions)),
            Decided::AlterPartitions(Err(error)) => self.failed(error.code()),
            Decided::ReplicasOffline(Ok(())) => self.failed(ErrorCode::None),
            Decided::ReplicasOffline(Err(error)) => self.failed(error.code()),
            Decided::AllocateProducerIds(Ok(block)) => {
                Response::AllocateProducerIds(AllocateProducerIdsResponse {
                    producer_id_start: block.first.0,
                    producer_id_len: i32::try_from(block.count).unwrap_or(i32::MAX),
                    ..Default::default()
                })
            }
            Decided::AllocateProducerIds(Err(error)) => self.failed(error.code()),
            Decided::AlterConfigs(results) => {
                let Self::AlterConfigs(asked) = self else { panic!("{self:?} is answered with {results:?}") };
                asked.response(results.into_iter().map(|result| match result {
                    Ok(()) => (ErrorCode::None, None),
                    Err(error) => (error.code(), Some(error.to_string())),
                }))
            }
        }
    }
}

impl Shape {
    /// `TOPIC_DELETION_DISABLED` is younger than the first versions (KIP-322).
    fn delete_code(&self, error: &DeleteTopicError) -> ErrorCode {
        match self {
            Self::DeleteTopics { version, .. } if *error == DeleteTopicError::Disabled && *version < 3 => {
                ErrorCode::InvalidRequest
            }
            _ => error.code(),
        }
    }
}

fn topics_to_delete(request: &DeleteTopicsRequest, version: i16) -> Vec<TopicRef> {
    if version >= 6 {
        let by = |topic: &delete_topics::DeleteTopicState| match (&topic.name, topic.topic_id) {
            (Some(name), TopicId::ZERO) => TopicRef::Name(name.clone()),
            (None, id) if id != TopicId::ZERO => TopicRef::Id(id),
            (name, id) => TopicRef::Contradictory { name: name.clone(), id },
        };
        request.topics.iter().map(by).collect()
    } else {
        request.topic_names.iter().cloned().map(TopicRef::Name).collect()
    }
}

/// What an administrator is told besides the code, where that alone leaves one guessing.
fn why(code: ErrorCode) -> Option<String> {
    let text =
        "no node is the controller now: one is elected as soon as a majority of the quorum's voters is there";
    matches!(code, ErrorCode::NotController | ErrorCode::NotLeaderOrFollower).then(|| text.to_owned())
}

fn delete_result(
    topic: &TopicRef,
    code: ErrorCode,
    message: Option<String>,
) -> delete_topics::DeletableTopicResult {
    let (name, topic_id) = match topic {
        TopicRef::Name(name) => (Some(name.clone()), TopicId::ZERO),
        TopicRef::Id(id) => (None, *id),
        TopicRef::Contradictory { name, id } => (name.clone(), *id),
    };
    delete_topics::DeletableTopicResult { name, topic_id, error_code: code.code(), error_message: message }
}

fn not_created(
    name: String,
    code: ErrorCode,
    message: Option<String>,
) -> create_topics::CreatableTopicResult {
    create_topics::CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: message,
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

/// So many topics of a request are told with all configs that hold for them (KIP-525), more only with their own: a few bytes of a request must not become
/// thousands of an answer.
const TOLD_IN_FULL_MAX: usize = 100;

fn created(
    topics: Vec<(String, Result<CreatedTopic, CreateTopicError>)>,
    layers: Layers<'_>,
) -> CreateTopicsResponse {
    let is_full = topics.len() <= TOLD_IN_FULL_MAX;
    let topics = topics.into_iter().map(|(name, result)| match result {
        Ok(created) => created_topic(name, &created, is_full, &layers),
        Err(error) => not_created(name, error.code(), Some(error.to_string())),
    });
    CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
}

fn created_topic(
    name: String,
    created: &CreatedTopic,
    is_full: bool,
    layers: &Layers<'_>,
) -> create_topics::CreatableTopicResult {
    let is_told = |key: &&ConfigKey| is_full || created.configs.contains_key(key.name);
    let configs = TOPIC_CONFIGS.iter().filter(is_told).map(|key| {
        let (value, source) = topic_value(layers, &created.configs, created.replication_factor.into(), key);
        create_topics::CreatableTopicConfigs {
            name: key.name.to_owned(),
            value: Some(value),
            config_source: source_number(source),
            ..Default::default()
        }
    });
    let configs = configs.collect();
    create_topics::CreatableTopicResult {
        name,
        topic_id: created.id.unwrap_or(TopicId::ZERO),
        error_message: None,
        num_partitions: i32::try_from(created.partition_count).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
        configs: Some(configs),
        ..Default::default()
    }
}

/// A request of a client or a broker, as the controller understands it.
pub(crate) fn command_of(request: &Request, version: i16) -> Result<Command, ErrorCode> {
    Ok(match request {
        Request::CreateTopics(it) => Command::CreateTopics(CreateTopics {
            topics: it.topics.iter().map(new_topic).collect(),
            validate_only: it.validate_only,
        }),
        Request::DeleteTopics(it) => {
            Command::DeleteTopics(DeleteTopics { topics: topics_to_delete(it, version) })
        }
        Request::CreatePartitions(it) => Command::CreatePartitions(partitions::create_partitions(it)),
        Request::ElectLeaders(it) => Command::ElectLeaders(partitions::elect_leaders(it)?),
        Request::AlterPartitionReassignments(it) => {
            Command::AlterReassignments(partitions::alter_reassignments(it))
        }
        Request::ListPartitionReassignments(it) => {
            Command::ListReassignments(partitions::list_reassignments(it))
        }
        Request::AlterClientQuotas(it) => Command::AlterQuotas(quotas::alter_quotas(it)),
        Request::UpdateFeatures(it) => Command::UpdateFeatures(features::update_features(it, version)),
        Request::UnregisterBroker(it) => Command::UnregisterBroker(BrokerId(it.broker_id)),
        Request::BrokerRegistration(it) => Command::RegisterBroker(register(it)?),
        Request::BrokerHeartbeat(it) => Command::Heartbeat(Heartbeat {
            id: BrokerId(it.broker_id),
            epoch: BrokerEpoch(it.broker_epoch),
            applied: u64::try_from(it.current_metadata_offset).ok(),
            wants_fence: it.want_fence,
            wants_shutdown: it.want_shut_down,
            is_full: it.cordoned_log_dirs.as_ref().is_some_and(|dirs| !dirs.is_empty()),
        }),
        Request::AlterPartition(it) => Command::AlterPartitions(alter_partitions(it)),
        Request::AssignReplicasToDirs(it) => Command::ReplicasOffline(replicas_offline(it)?),
        Request::AllocateProducerIds(it) => Command::AllocateProducerIds(AllocateProducerIds {
            broker: BrokerId(it.broker_id),
            broker_epoch: BrokerEpoch(it.broker_epoch),
        }),
        Request::AlterConfigs(it) => Command::AlterConfigs(configs::replacing(it)),
        Request::IncrementalAlterConfigs(it) => Command::AlterConfigs(configs::changing(it)),
        _ => return Err(ErrorCode::InvalidRequest),
    })
}

fn new_topic(topic: &create_topics::CreatableTopic) -> NewTopic {
    let layout = match (topic.assignments.as_slice(), topic.num_partitions, topic.replication_factor) {
        ([], partitions, factor) => Layout::Counted {
            partitions: (partitions != -1).then_some(partitions),
            replication_factor: (factor != -1).then_some(factor),
        },
        (assigned, -1, -1) => Layout::Assigned(
            assigned
                .iter()
                .map(|it| {
                    (
                        PartitionIndex(it.partition_index),
                        it.broker_ids.iter().copied().map(BrokerId).collect(),
                    )
                })
                .collect(),
        ),
        _ => Layout::Contradictory,
    };
    NewTopic {
        name: topic.name.clone(),
        layout,
        configs: topic.configs.iter().map(|it| (it.name.clone(), it.value.clone())).collect(),
    }
}

fn register(request: &BrokerRegistrationRequest) -> Result<Register, ErrorCode> {
    let [directory, other_directories @ ..] = &request.log_dirs[..] else {
        return Err(ErrorCode::InvalidRequest);
    };
    Ok(Register {
        broker: RegisterBroker {
            id: BrokerId(request.broker_id),
            incarnation: request.incarnation_id,
            directory: *directory,
            listeners: request
                .listeners
                .iter()
                .map(|it| Listener { name: it.name.clone(), host: it.host.clone(), port: it.port })
                .collect(),
            rack: request.rack.clone(),
            is_relaxed: request.features.iter().any(|it| it.name == RELAXED),
            supported: features::supported_of(request)?,
            other_directories: other_directories.to_vec(),
            may_vote: request.features.iter().all(|it| it.name != BROKER_ONLY),
        },
        cluster_id: Some(request.cluster_id.clone()).filter(|id| !id.is_empty()),
        previous_epoch: (request.previous_broker_epoch >= 0)
            .then_some(BrokerEpoch(request.previous_broker_epoch)),
    })
}

fn alter_partitions(request: &AlterPartitionRequest) -> AlterPartitions {
    let of_topic = |topic: &alter_partition::RequestTopicData| {
        let id = topic.topic_id;
        topic
            .partitions
            .iter()
            .map(|it| IsrProposal {
                partition: TopicPartition { topic: id, partition: PartitionIndex(it.partition_index) },
                leader_epoch: LeaderEpoch(it.leader_epoch),
                partition_epoch: PartitionEpoch(it.partition_epoch),
                isr: it
                    .new_isr_with_epochs
                    .iter()
                    .map(|member| {
                        let epoch = (member.broker_epoch >= 0).then_some(BrokerEpoch(member.broker_epoch));
                        (BrokerId(member.broker_id), epoch)
                    })
                    .collect(),
            })
            .collect::<Vec<_>>()
    };
    AlterPartitions {
        broker: BrokerId(request.broker_id),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        partitions: request.topics.iter().flat_map(of_topic).collect(),
    }
}

/// The directory of replicas whose own cannot be used (KIP-858). There is no other to tell of: which replica is in which directory is its broker's own business.
const LOST: Uuid = Uuid::from_u128(1);
/// That of replicas whose logs are gone with theirs: they have none yet.
const UNASSIGNED: Uuid = Uuid::nil();

fn replicas_offline(request: &AssignReplicasToDirsRequest) -> Result<OfflineReplicas, ErrorCode> {
    let fate = match request.directories.iter().map(|it| it.id).collect::<BTreeSet<_>>() {
        ids if ids == [LOST].into() => LogFate::Offline,
        ids if ids == [UNASSIGNED].into() => LogFate::Gone,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let of_topic = |topic: &assign_replicas_to_dirs::RequestTopicData| {
        let id = topic.topic_id;
        let key = |index| TopicPartition { topic: id, partition: PartitionIndex(index) };
        topic.partitions.iter().map(|it| key(it.partition_index)).collect::<Vec<_>>()
    };
    let topics = request.directories.iter().flat_map(|it| &it.topics);
    Ok(OfflineReplicas {
        broker: BrokerId(request.broker_id),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        fate,
        partitions: topics.flat_map(of_topic).collect(),
    })
}

fn offline_request(command: &OfflineReplicas) -> AssignReplicasToDirsRequest {
    let topic = |key: &TopicPartition| assign_replicas_to_dirs::RequestTopicData {
        topic_id: key.topic,
        partitions: vec![assign_replicas_to_dirs::RequestPartitionData { partition_index: key.partition.0 }],
    };
    let topics = command.partitions.iter().map(topic).collect();
    let id = match command.fate {
        LogFate::Offline => LOST,
        LogFate::Gone => UNASSIGNED,
    };
    AssignReplicasToDirsRequest {
        broker_id: command.broker.0,
        broker_epoch: command.broker_epoch.0,
        directories: vec![assign_replicas_to_dirs::RequestDirectoryData { id, topics }],
    }
}

fn altered(
    partitions: Vec<(TopicPartition, Result<PartitionAnswer, AlterPartitionError>)>,
) -> AlterPartitionResponse {
    let topics = partitions
        .into_iter()
        .map(|(key, result)| {
            let partition = match result {
                Ok(answer) => alter_partition::ResponsePartitionData {
                    partition_index: key.partition.0,
                    leader_id: answer.leader.0,
                    leader_epoch: answer.leader_epoch.0,
                    isr: answer.isr.iter().map(|id| id.0).collect(),
                    partition_epoch: answer.partition_epoch.0,
                    ..Default::default()
                },
                Err(error) => alter_partition::ResponsePartitionData {
                    partition_index: key.partition.0,
                    error_code: error.code().code(),
                    ..Default::default()
                },
            };
            alter_partition::ResponseTopicData { topic_id: key.topic, partitions: vec![partition] }
        })
        .collect();
    AlterPartitionResponse { topics, ..Default::default() }
}

/// A command of this node's own, as it is sent to the controller, and the version it is sent in.
///
/// # Panics
/// On a command that only clients give.
pub(crate) fn request_of(command: &Command) -> (Request, i16) {
    match command {
        Command::CreateTopics(it) => (Request::CreateTopics(create_request(it)), 7),
        Command::RegisterBroker(it) => (Request::BrokerRegistration(registration_request(it)), 4),
        Command::Heartbeat(it) => (
            Request::BrokerHeartbeat(BrokerHeartbeatRequest {
                broker_id: it.id.0,
                broker_epoch: it.epoch.0,
                current_metadata_offset: it.applied.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1),
                want_fence: it.wants_fence,
                want_shut_down: it.wants_shutdown,
                // Which of them it is would say nothing: nobody else knows what lies where.
                cordoned_log_dirs: it.is_full.then(|| vec![Uuid::nil()]),
                ..Default::default()
            }),
            2,
        ),
        Command::AlterPartitions(it) => (Request::AlterPartition(alter_request(it)), 3),
        Command::ReplicasOffline(it) => (Request::AssignReplicasToDirs(offline_request(it)), 0),
        Command::AllocateProducerIds(it) => (
            Request::AllocateProducerIds(AllocateProducerIdsRequest {
                broker_id: it.broker.0,
                broker_epoch: it.broker_epoch.0,
            }),
            0,
        ),
        Command::DeleteTopics(_)
        | Command::AlterConfigs(_)
        | Command::CreatePartitions(_)
        | Command::ElectLeaders(_)
        | Command::AlterReassignments(_)
        | Command::ListReassignments(_)
        | Command::UnregisterBroker(_)
        | Command::AlterQuotas(_)
        | Command::UpdateFeatures(_) => panic!("{command:?} is not a broker's own"),
    }
}

fn create_request(command: &CreateTopics) -> CreateTopicsRequest {
    let topic = |topic: &NewTopic| {
        let Layout::Counted { partitions, replication_factor } = topic.layout else {
            panic!("a broker leaves to its controller where partitions go: {topic:?}")
        };
        let config = |(name, value): &(String, Option<String>)| create_topics::CreatableTopicConfig {
            name: name.clone(),
            value: value.clone(),
        };
        create_topics::CreatableTopic {
            name: topic.name.clone(),
            num_partitions: partitions.unwrap_or(-1),
            replication_factor: replication_factor.unwrap_or(-1),
            configs: topic.configs.iter().map(config).collect(),
            ..Default::default()
        }
    };
    let topics = command.topics.iter().map(topic).collect();
    CreateTopicsRequest { topics, validate_only: command.validate_only, ..Default::default() }
}

/// Said among the features of a broker that was started with settings by which topics are not synced at once: the request has no other place for it.
const RELAXED: &str = "klamm.relaxed";
/// The same of a node that is a broker and nothing else.
const BROKER_ONLY: &str = "klamm.broker.only";

fn registration_request(register: &Register) -> BrokerRegistrationRequest {
    let broker = &register.broker;
    BrokerRegistrationRequest {
        broker_id: broker.id.0,
        cluster_id: register.cluster_id.clone().unwrap_or_default(),
        incarnation_id: broker.incarnation,
        listeners: broker
            .listeners
            .iter()
            .map(|it| broker_registration::Listener {
                name: it.name.clone(),
                host: it.host.clone(),
                port: it.port,
                ..Default::default()
            })
            .collect(),
        rack: broker.rack.clone(),
        log_dirs: [broker.directory].into_iter().chain(broker.other_directories.iter().copied()).collect(),
        previous_broker_epoch: register.previous_epoch.map_or(-1, |epoch| epoch.0),
        features: flags(broker).chain(features::told(&broker.supported)).collect(),
        ..Default::default()
    }
}

fn flags(broker: &RegisterBroker) -> impl Iterator<Item = broker_registration::Feature> {
    let flags = [(RELAXED, broker.is_relaxed), (BROKER_ONLY, !broker.may_vote)];
    let flag = |(name, _): (&str, bool)| broker_registration::Feature {
        name: name.to_owned(),
        min_supported_version: 1,
        max_supported_version: 1,
    };
    flags.into_iter().filter(|it| it.1).map(flag)
}

fn alter_request(command: &AlterPartitions) -> AlterPartitionRequest {
    let topics = command
        .partitions
        .iter()
        .map(|it| alter_partition::RequestTopicData {
            topic_id: it.partition.topic,
            partitions: vec![alter_partition::RequestPartitionData {
                partition_index: it.partition.partition.0,
                leader_epoch: it.leader_epoch.0,
                new_isr_with_epochs: it
                    .isr
                    .iter()
                    .map(|(id, epoch)| alter_partition::BrokerState {
                        broker_id: id.0,
                        broker_epoch: epoch.map_or(-1, |epoch| epoch.0),
                    })
                    .collect(),
                partition_epoch: it.partition_epoch.0,
                ..Default::default()
            }],
        })
        .collect();
    AlterPartitionRequest { broker_id: command.broker.0, broker_epoch: command.broker_epoch.0, topics }
}

/// The controller's answer to a command of this node's own. `None`: it does not tell what became of the command.
pub(crate) fn reply_of(response: Response) -> Option<Decided> {
    Some(match response {
        // Whether each topic was created is seen in the metadata.
        Response::CreateTopics(_) => Decided::CreateTopics(Vec::new()),
        Response::BrokerRegistration(it) => match ErrorCode::from_code(it.error_code)? {
            ErrorCode::None => Decided::RegisterBroker(Ok(BrokerEpoch(it.broker_epoch))),
            ErrorCode::InconsistentClusterId => Decided::RegisterBroker(Err(RegisterError::OtherCluster {
                given: String::new(),
                ours: String::new(),
            })),
            // The number is that of whoever asked.
            ErrorCode::DuplicateBrokerRegistration => {
                Decided::RegisterBroker(Err(RegisterError::OtherDirectory { id: BrokerId(-1) }))
            }
            // Which one it is, whoever asked finds in the metadata.
            ErrorCode::UnsupportedVersion => Decided::RegisterBroker(Err(RegisterError::Level(Lacking {
                name: "a feature".to_owned(),
                level: 0,
                range: LevelRange::default(),
            }))),
            _ => return None,
        },
        Response::BrokerHeartbeat(it) if it.error_code == 0 => Decided::Heartbeat(Ok(HeartbeatAnswer {
            state: if it.is_fenced { BrokerState::Fenced } else { BrokerState::Active },
            is_caught_up: it.is_caught_up,
            may_shut_down: it.should_shut_down,
        })),
        Response::AlterPartition(it) => altered_reply(it)?,
        Response::AssignReplicasToDirs(it) if it.error_code == 0 => Decided::ReplicasOffline(Ok(())),
        Response::AllocateProducerIds(it) if it.error_code == 0 => {
            Decided::AllocateProducerIds(Ok(ProducerIdBlock {
                first: ProducerId::from_wire(it.producer_id_start)?,
                count: u32::try_from(it.producer_id_len).ok()?,
            }))
        }
        _ => return None,
    })
}

fn altered_reply(response: AlterPartitionResponse) -> Option<Decided> {
    match ErrorCode::from_code(response.error_code)? {
        ErrorCode::None => {}
        ErrorCode::StaleBrokerEpoch => {
            let unknown = StaleBroker::Unknown { id: BrokerId(-1) };
            return Some(Decided::AlterPartitions(Err(unknown)));
        }
        _ => return None,
    }
    let mut answers = Vec::new();
    for topic in response.topics {
        for it in topic.partitions {
            let key = TopicPartition { topic: topic.topic_id, partition: PartitionIndex(it.partition_index) };
            let answer = match ErrorCode::from_code(it.error_code)? {
                ErrorCode::None => Ok(PartitionAnswer {
                    leader: BrokerId(it.leader_id),
                    leader_epoch: LeaderEpoch(it.leader_epoch),
                    isr: it.isr.into_iter().map(BrokerId).collect(),
                    partition_epoch: PartitionEpoch(it.partition_epoch),
                }),
                // Says nothing about the proposal, a newer controller may have taken it; or that it was taken, under another leader.
                ErrorCode::NotController | ErrorCode::NewLeaderElected => return None,
                code => Err(refused(key, code)),
            };
            answers.push((key, answer));
        }
    }
    Some(Decided::AlterPartitions(Ok(answers)))
}

/// Only that it was refused for certain matters to the proposer.
fn refused(key: TopicPartition, code: ErrorCode) -> AlterPartitionError {
    match code {
        ErrorCode::UnknownTopicId => AlterPartitionError::UnknownTopic { id: key.topic },
        ErrorCode::UnknownTopicOrPartition => AlterPartitionError::UnknownPartition { partition: key },
        _ => AlterPartitionError::Impossible { what: code.name() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or the coordinators' topics would have one partition, and never be compacted, in clusters whose controller is another broker.
    #[test]
    fn a_topic_that_a_broker_asks_its_controller_for_is_the_one_that_it_means() {
        let topic = NewTopic {
            name: "__consumer_offsets".to_owned(),
            layout: Layout::Counted { partitions: Some(50), replication_factor: Some(3) },
            configs: vec![("cleanup.policy".to_owned(), Some("compact".to_owned()))],
        };
        let asked = create_request(&CreateTopics { topics: vec![topic.clone()], validate_only: false });
        assert_eq!(asked.topics.iter().map(new_topic).collect::<Vec<_>>(), [topic]);
    }

    /// Java's admin client shows the message that stands beside the outermost code.
    #[test]
    fn a_reassignment_that_finds_no_controller_says_so_where_it_is_read() {
        let shape = Shape::of(&Request::AlterPartitionReassignments(Default::default()), 1);
        let Response::AlterPartitionReassignments(it) = shape.failed(ErrorCode::NotController) else {
            panic!("another answer")
        };
        assert!(it.error_message.is_some_and(|it| it.starts_with("no node is the controller now")));
    }
}
