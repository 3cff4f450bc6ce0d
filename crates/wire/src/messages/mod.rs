// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! The messages of Kafka 4.4, one module an API.
//!
//! Names are Kafka's. A field's comment tells what is special about it; a field without one is in all versions.
#![allow(missing_docs)]

/// What every message file uses.
mod prelude {
    pub(super) use std::ops::RangeInclusive;

    pub(super) use bytes::Bytes;
    pub(super) use klamm_model::TopicId;
    pub(super) use uuid::Uuid;

    pub(super) use crate::{DecodeError, Element, EncodeError, Message, Reader, Records, Writer};
}

pub mod produce;
pub use produce::{ProduceRequest, ProduceResponse};
pub mod fetch;
pub use fetch::{FetchRequest, FetchResponse};
pub mod list_offsets;
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub mod metadata;
pub use metadata::{MetadataRequest, MetadataResponse};
pub mod offset_commit;
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub mod offset_fetch;
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
pub mod find_coordinator;
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub mod join_group;
pub use join_group::{JoinGroupRequest, JoinGroupResponse};
pub mod heartbeat;
pub use heartbeat::{HeartbeatRequest, HeartbeatResponse};
pub mod leave_group;
pub use leave_group::{LeaveGroupRequest, LeaveGroupResponse};
pub mod sync_group;
pub use sync_group::{SyncGroupRequest, SyncGroupResponse};
pub mod describe_groups;
pub use describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
pub mod list_groups;
pub use list_groups::{ListGroupsRequest, ListGroupsResponse};
pub mod sasl_handshake;
pub use sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
pub mod api_versions;
pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub mod create_topics;
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub mod delete_topics;
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub mod delete_records;
pub use delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
pub mod init_producer_id;
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub mod offset_for_leader_epoch;
pub use offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
pub mod add_partitions_to_txn;
pub use add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
pub mod add_offsets_to_txn;
pub use add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
pub mod end_txn;
pub use end_txn::{EndTxnRequest, EndTxnResponse};
pub mod write_txn_markers;
pub use write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
pub mod txn_offset_commit;
pub use txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
pub mod describe_acls;
pub use describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
pub mod create_acls;
pub use create_acls::{CreateAclsRequest, CreateAclsResponse};
pub mod delete_acls;
pub use delete_acls::{DeleteAclsRequest, DeleteAclsResponse};
pub mod describe_configs;
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub mod alter_configs;
pub use alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
pub mod alter_replica_log_dirs;
pub use alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
pub mod describe_log_dirs;
pub use describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
pub mod sasl_authenticate;
pub use sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
pub mod create_partitions;
pub use create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
pub mod create_delegation_token;
pub use create_delegation_token::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};
pub mod renew_delegation_token;
pub use renew_delegation_token::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};
pub mod expire_delegation_token;
pub use expire_delegation_token::{ExpireDelegationTokenRequest, ExpireDelegationTokenResponse};
pub mod describe_delegation_token;
pub use describe_delegation_token::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};
pub mod delete_groups;
pub use delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
pub mod elect_leaders;
pub use elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
pub mod incremental_alter_configs;
pub use incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
pub mod alter_partition_reassignments;
pub use alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
pub mod list_partition_reassignments;
pub use list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
pub mod offset_delete;
pub use offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
pub mod describe_client_quotas;
pub use describe_client_quotas::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
pub mod alter_client_quotas;
pub use alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse};
pub mod describe_user_scram_credentials;
pub use describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
pub mod alter_user_scram_credentials;
pub use alter_user_scram_credentials::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
pub mod vote;
pub use vote::{VoteRequest, VoteResponse};
pub mod begin_quorum_epoch;
pub use begin_quorum_epoch::{BeginQuorumEpochRequest, BeginQuorumEpochResponse};
pub mod end_quorum_epoch;
pub use end_quorum_epoch::{EndQuorumEpochRequest, EndQuorumEpochResponse};
pub mod describe_quorum;
pub use describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
pub mod alter_partition;
pub use alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
pub mod update_features;
pub use update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};
pub mod envelope;
pub use envelope::{EnvelopeRequest, EnvelopeResponse};
pub mod fetch_snapshot;
pub use fetch_snapshot::{FetchSnapshotRequest, FetchSnapshotResponse};
pub mod describe_cluster;
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub mod describe_producers;
pub use describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
pub mod broker_registration;
pub use broker_registration::{BrokerRegistrationRequest, BrokerRegistrationResponse};
pub mod broker_heartbeat;
pub use broker_heartbeat::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
pub mod unregister_broker;
pub use unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};
pub mod describe_transactions;
pub use describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
pub mod list_transactions;
pub use list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
pub mod allocate_producer_ids;
pub use allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
pub mod consumer_group_heartbeat;
pub use consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
pub mod consumer_group_describe;
pub use consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
pub mod controller_registration;
pub use controller_registration::{ControllerRegistrationRequest, ControllerRegistrationResponse};
pub mod get_telemetry_subscriptions;
pub use get_telemetry_subscriptions::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};
pub mod push_telemetry;
pub use push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
pub mod assign_replicas_to_dirs;
pub use assign_replicas_to_dirs::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
pub mod list_config_resources;
pub use list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
pub mod describe_topic_partitions;
pub use describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
pub mod share_group_heartbeat;
pub use share_group_heartbeat::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
pub mod share_group_describe;
pub use share_group_describe::{ShareGroupDescribeRequest, ShareGroupDescribeResponse};
pub mod share_fetch;
pub use share_fetch::{ShareFetchRequest, ShareFetchResponse};
pub mod share_acknowledge;
pub use share_acknowledge::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
pub mod add_raft_voter;
pub use add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};
pub mod remove_raft_voter;
pub use remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
pub mod update_raft_voter;
pub use update_raft_voter::{UpdateRaftVoterRequest, UpdateRaftVoterResponse};
pub mod initialize_share_group_state;
pub use initialize_share_group_state::{InitializeShareGroupStateRequest, InitializeShareGroupStateResponse};
pub mod read_share_group_state;
pub use read_share_group_state::{ReadShareGroupStateRequest, ReadShareGroupStateResponse};
pub mod write_share_group_state;
pub use write_share_group_state::{WriteShareGroupStateRequest, WriteShareGroupStateResponse};
pub mod delete_share_group_state;
pub use delete_share_group_state::{DeleteShareGroupStateRequest, DeleteShareGroupStateResponse};
pub mod read_share_group_state_summary;
pub use read_share_group_state_summary::{
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse,
};
pub mod streams_group_heartbeat;
pub use streams_group_heartbeat::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};
pub mod streams_group_describe;
pub use streams_group_describe::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};
pub mod describe_share_group_offsets;
pub use describe_share_group_offsets::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse};
pub mod alter_share_group_offsets;
pub use alter_share_group_offsets::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
pub mod delete_share_group_offsets;
pub use delete_share_group_offsets::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
pub mod streams_group_topology_description_update;
pub use streams_group_topology_description_update::{
    StreamsGroupTopologyDescriptionUpdateRequest, StreamsGroupTopologyDescriptionUpdateResponse,
};
pub mod unregister_controller;
pub use unregister_controller::{UnregisterControllerRequest, UnregisterControllerResponse};
pub mod consumer_protocol;
pub use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
pub mod coordinator_records;
pub use coordinator_records::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, GroupMetadataKey,
    GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, TransactionLogKey, TransactionLogValue,
};
