//! Kafka's requests about partitions of topics that exist, as the controller understands them, and its answers.

use klamm_cluster::controller::{
    AlterReassignments, ByTopic, CreatePartitions, CreatePartitionsError, ElectLeaderError, ElectLeaders,
    Election, ListReassignments, MorePartitions, ReassignError, Reassignment,
};
use klamm_model::{BrokerId, ErrorCode, PartitionIndex};
use klamm_wire::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    alter_partition_reassignments::{
        ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
    },
    create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult},
    elect_leaders::{PartitionResult, ReplicaElectionResult},
    list_partition_reassignments::{OngoingPartitionReassignment, OngoingTopicReassignment},
};

use crate::errors::ToCode;

/// What a client is told of one item: a code, and where something went wrong, a sentence.
fn told<E: ToCode + std::fmt::Display>(result: Result<(), E>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (0, None),
        Err(error) => (error.code().code(), Some(error.to_string())),
    }
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

fn indexes(numbers: &[i32]) -> Vec<(PartitionIndex, ())> {
    numbers.iter().map(|index| (PartitionIndex(*index), ())).collect()
}

pub(super) fn create_partitions(request: &CreatePartitionsRequest) -> CreatePartitions {
    let topic = |it: &CreatePartitionsTopic| MorePartitions {
        name: it.name.clone(),
        count: it.count,
        assignments: it
            .assignments
            .as_ref()
            .map(|assignments| assignments.iter().map(|it| brokers(&it.broker_ids)).collect()),
    };
    CreatePartitions {
        topics: request.topics.iter().map(topic).collect(),
        validate_only: request.validate_only,
    }
}

pub(super) fn partitions_created(
    topics: Vec<(String, Result<(), CreatePartitionsError>)>,
) -> CreatePartitionsResponse {
    let result = |(name, result)| {
        let (error_code, error_message) = told(result);
        CreatePartitionsTopicResult { name, error_code, error_message }
    };
    CreatePartitionsResponse { results: topics.into_iter().map(result).collect(), ..Default::default() }
}

pub(super) fn partitions_not_created(names: &[String], code: ErrorCode) -> CreatePartitionsResponse {
    let result = |name: &String| CreatePartitionsTopicResult {
        name: name.clone(),
        error_code: code.code(),
        error_message: super::why(code),
    };
    CreatePartitionsResponse { results: names.iter().map(result).collect(), ..Default::default() }
}

/// Which partitions leaders are to be elected of; `None`: of all.
pub(super) fn elections_of(request: &ElectLeadersRequest) -> Option<ByTopic<()>> {
    let asked = request.topic_partitions.as_ref()?;
    Some(asked.iter().map(|it| (it.topic.clone(), indexes(&it.partitions))).collect())
}

pub(super) fn elect_leaders(request: &ElectLeadersRequest) -> Result<ElectLeaders, ErrorCode> {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    Ok(ElectLeaders { election, partitions: elections_of(request) })
}

pub(super) fn leaders_elected(topics: ByTopic<Result<(), ElectLeaderError>>) -> ElectLeadersResponse {
    let partition = |(index, result): (PartitionIndex, _)| {
        let (error_code, error_message) = told(result);
        PartitionResult { partition_id: index.0, error_code, error_message }
    };
    let topic = |(topic, partitions): (String, Vec<_>)| ReplicaElectionResult {
        topic,
        partition_result: partitions.into_iter().map(partition).collect(),
    };
    ElectLeadersResponse {
        replica_election_results: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(super) fn leaders_not_elected(
    asked: Option<&ByTopic<()>>,
    version: i16,
    code: ErrorCode,
) -> ElectLeadersResponse {
    let partition = |(index, ()): &(PartitionIndex, ())| PartitionResult {
        partition_id: index.0,
        error_code: code.code(),
        error_message: super::why(code),
    };
    let topic = |(topic, partitions): &(String, Vec<_>)| ReplicaElectionResult {
        topic: topic.clone(),
        partition_result: partitions.iter().map(partition).collect(),
    };
    ElectLeadersResponse {
        // Version 0 has a place for errors of partitions only.
        error_code: if version == 0 { 0 } else { code.code() },
        replica_election_results: asked.into_iter().flatten().map(topic).collect(),
        ..Default::default()
    }
}

pub(super) fn alter_reassignments(request: &AlterPartitionReassignmentsRequest) -> AlterReassignments {
    let partition = |it: &ReassignablePartition| {
        (PartitionIndex(it.partition_index), it.replicas.as_deref().map(brokers))
    };
    AlterReassignments {
        partitions: request
            .topics
            .iter()
            .map(|it| (it.name.clone(), it.partitions.iter().map(partition).collect()))
            .collect(),
        may_change_factor: request.allow_replication_factor_change,
    }
}

pub(super) fn reassignments_of(request: &AlterPartitionReassignmentsRequest) -> ByTopic<()> {
    let index = |it: &ReassignablePartition| (PartitionIndex(it.partition_index), ());
    request.topics.iter().map(|it| (it.name.clone(), it.partitions.iter().map(index).collect())).collect()
}

pub(super) fn reassignments_altered(
    topics: ByTopic<Result<(), ReassignError>>,
    may_change_factor: bool,
) -> AlterPartitionReassignmentsResponse {
    let partition = |(index, result): (PartitionIndex, _)| {
        let (error_code, error_message) = told(result);
        ReassignablePartitionResponse { partition_index: index.0, error_code, error_message }
    };
    let topic = |(name, partitions): (String, Vec<_>)| ReassignableTopicResponse {
        name,
        partitions: partitions.into_iter().map(partition).collect(),
    };
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_change_factor,
        error_message: None,
        responses: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(super) fn reassignments_not_altered(
    asked: &ByTopic<()>,
    may_change_factor: bool,
    code: ErrorCode,
) -> AlterPartitionReassignmentsResponse {
    let partition = |(index, ()): &(PartitionIndex, ())| ReassignablePartitionResponse {
        partition_index: index.0,
        error_code: code.code(),
        error_message: super::why(code),
    };
    let topic = |(name, partitions): &(String, Vec<_>)| ReassignableTopicResponse {
        name: name.clone(),
        partitions: partitions.iter().map(partition).collect(),
    };
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_change_factor,
        error_code: code.code(),
        error_message: super::why(code),
        responses: asked.iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(super) fn list_reassignments(request: &ListPartitionReassignmentsRequest) -> ListReassignments {
    let asked = request.topics.as_ref()?;
    Some(asked.iter().map(|it| (it.name.clone(), indexes(&it.partition_indexes))).collect())
}

pub(super) fn reassignments_listed(topics: ByTopic<Reassignment>) -> ListPartitionReassignmentsResponse {
    let partition = |(index, it): (PartitionIndex, Reassignment)| OngoingPartitionReassignment {
        partition_index: index.0,
        replicas: numbers(&it.replicas),
        adding_replicas: numbers(&it.adding),
        removing_replicas: numbers(&it.removing),
    };
    let topic = |(name, partitions): (String, Vec<_>)| OngoingTopicReassignment {
        name,
        partitions: partitions.into_iter().map(partition).collect(),
    };
    ListPartitionReassignmentsResponse {
        error_message: None,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}
