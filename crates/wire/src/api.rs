//! The one table of API keys: which there are, what their messages are, and which versions we serve.

use std::fmt;
use std::ops::RangeInclusive;

use crate::messages::*;
use crate::{DecodeError, EncodeError, Message, Reader, Writer};

/// An API and the versions of it that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The API.
    pub key: ApiKey,
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

/// What the ApiVersions answer tells, in its order.
pub const SERVED: &[Served] = &[
    // 0 to 2 are told and refused: librdkafka decides by that range which codecs there are (KAFKA-18659).
    serve(ApiKey::Produce, 0, 13),
    serve(ApiKey::Fetch, 4, 18),
    serve(ApiKey::ListOffsets, 1, 11),
    serve(ApiKey::Metadata, 0, 13),
    serve(ApiKey::OffsetCommit, 2, 10),
    serve(ApiKey::OffsetFetch, 1, 10),
    serve(ApiKey::FindCoordinator, 0, 6),
    serve(ApiKey::JoinGroup, 0, 9),
    serve(ApiKey::Heartbeat, 0, 4),
    serve(ApiKey::LeaveGroup, 0, 5),
    serve(ApiKey::SyncGroup, 0, 5),
    serve(ApiKey::DescribeGroups, 0, 6),
    serve(ApiKey::ListGroups, 0, 5),
    serve(ApiKey::SaslHandshake, 0, 1),
    serve(ApiKey::ApiVersions, 0, 5),
    serve(ApiKey::CreateTopics, 2, 7),
    serve(ApiKey::DeleteTopics, 1, 6),
    serve(ApiKey::DeleteRecords, 0, 2),
    serve(ApiKey::InitProducerId, 0, 5),
    serve(ApiKey::OffsetForLeaderEpoch, 2, 4),
    serve(ApiKey::AddPartitionsToTxn, 0, 5),
    serve(ApiKey::AddOffsetsToTxn, 0, 4),
    serve(ApiKey::EndTxn, 0, 5),
    serve(ApiKey::WriteTxnMarkers, 1, 2),
    serve(ApiKey::TxnOffsetCommit, 0, 6),
    serve(ApiKey::DescribeAcls, 1, 3),
    serve(ApiKey::CreateAcls, 1, 3),
    serve(ApiKey::DeleteAcls, 1, 3),
    serve(ApiKey::DescribeConfigs, 1, 4),
    serve(ApiKey::AlterConfigs, 0, 2),
    serve(ApiKey::AlterReplicaLogDirs, 1, 2),
    serve(ApiKey::DescribeLogDirs, 1, 5),
    serve(ApiKey::SaslAuthenticate, 0, 2),
    serve(ApiKey::CreatePartitions, 0, 3),
    serve(ApiKey::DeleteGroups, 0, 3),
    serve(ApiKey::CreateDelegationToken, 1, 3),
    serve(ApiKey::RenewDelegationToken, 1, 2),
    serve(ApiKey::ExpireDelegationToken, 1, 2),
    serve(ApiKey::DescribeDelegationToken, 1, 3),
    serve(ApiKey::ElectLeaders, 0, 2),
    serve(ApiKey::IncrementalAlterConfigs, 0, 1),
    serve(ApiKey::AlterPartitionReassignments, 0, 1),
    serve(ApiKey::ListPartitionReassignments, 0, 0),
    serve(ApiKey::OffsetDelete, 0, 0),
    serve(ApiKey::DescribeClientQuotas, 0, 1),
    serve(ApiKey::AlterClientQuotas, 0, 1),
    serve(ApiKey::DescribeUserScramCredentials, 0, 0),
    serve(ApiKey::AlterUserScramCredentials, 0, 0),
    serve(ApiKey::DescribeQuorum, 0, 2),
    serve(ApiKey::UpdateFeatures, 0, 2),
    serve(ApiKey::DescribeCluster, 0, 2),
    serve(ApiKey::DescribeProducers, 0, 0),
    serve(ApiKey::UnregisterBroker, 0, 0),
    serve(ApiKey::DescribeTransactions, 0, 0),
    serve(ApiKey::ListTransactions, 0, 2),
    serve(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    serve(ApiKey::ConsumerGroupDescribe, 0, 1),
    serve(ApiKey::ListConfigResources, 0, 1),
    serve(ApiKey::DescribeTopicPartitions, 0, 0),
    serve(ApiKey::AddRaftVoter, 0, 1),
    serve(ApiKey::RemoveRaftVoter, 0, 0),
];

// Name = key: request, response. Large ones are boxed, so that the enums stay small.
apis! {
    Produce = 0: ProduceRequest, ProduceResponse;
    Fetch = 1: FetchRequest, FetchResponse;
    ListOffsets = 2: ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3: MetadataRequest, MetadataResponse;
    OffsetCommit = 8: OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9: OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator = 10: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup = 11: JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16: ListGroupsRequest, ListGroupsResponse;
    SaslHandshake = 17: SaslHandshakeRequest, SaslHandshakeResponse;
    ApiVersions = 18: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics = 19: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20: DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21: DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22: InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    AddPartitionsToTxn = 24: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AddOffsetsToTxn = 25: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    EndTxn = 26: EndTxnRequest, EndTxnResponse;
    WriteTxnMarkers = 27: WriteTxnMarkersRequest, WriteTxnMarkersResponse;
    TxnOffsetCommit = 28: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DescribeAcls = 29: DescribeAclsRequest, DescribeAclsResponse;
    CreateAcls = 30: CreateAclsRequest, CreateAclsResponse;
    DeleteAcls = 31: DeleteAclsRequest, DeleteAclsResponse;
    DescribeConfigs = 32: DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs = 33: AlterConfigsRequest, AlterConfigsResponse;
    AlterReplicaLogDirs = 34: AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
    DescribeLogDirs = 35: DescribeLogDirsRequest, DescribeLogDirsResponse;
    SaslAuthenticate = 36: SaslAuthenticateRequest, SaslAuthenticateResponse;
    CreatePartitions = 37: CreatePartitionsRequest, CreatePartitionsResponse;
    CreateDelegationToken = 38: CreateDelegationTokenRequest, Box<CreateDelegationTokenResponse>;
    RenewDelegationToken = 39: RenewDelegationTokenRequest, RenewDelegationTokenResponse;
    ExpireDelegationToken = 40: ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
    DescribeDelegationToken = 41: DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
    DeleteGroups = 42: DeleteGroupsRequest, DeleteGroupsResponse;
    ElectLeaders = 43: ElectLeadersRequest, ElectLeadersResponse;
    IncrementalAlterConfigs = 44: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    AlterPartitionReassignments = 45: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    ListPartitionReassignments = 46: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    OffsetDelete = 47: OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeClientQuotas = 48: DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    AlterClientQuotas = 49: AlterClientQuotasRequest, AlterClientQuotasResponse;
    DescribeUserScramCredentials = 50: DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    AlterUserScramCredentials = 51: AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
    Vote = 52: VoteRequest, VoteResponse;
    BeginQuorumEpoch = 53: BeginQuorumEpochRequest, BeginQuorumEpochResponse;
    EndQuorumEpoch = 54: EndQuorumEpochRequest, EndQuorumEpochResponse;
    DescribeQuorum = 55: DescribeQuorumRequest, DescribeQuorumResponse;
    AlterPartition = 56: AlterPartitionRequest, AlterPartitionResponse;
    UpdateFeatures = 57: UpdateFeaturesRequest, UpdateFeaturesResponse;
    Envelope = 58: EnvelopeRequest, EnvelopeResponse;
    FetchSnapshot = 59: FetchSnapshotRequest, FetchSnapshotResponse;
    DescribeCluster = 60: DescribeClusterRequest, DescribeClusterResponse;
    DescribeProducers = 61: DescribeProducersRequest, DescribeProducersResponse;
    BrokerRegistration = 62: BrokerRegistrationRequest, BrokerRegistrationResponse;
    BrokerHeartbeat = 63: BrokerHeartbeatRequest, BrokerHeartbeatResponse;
    UnregisterBroker = 64: UnregisterBrokerRequest, UnregisterBrokerResponse;
    DescribeTransactions = 65: DescribeTransactionsRequest, DescribeTransactionsResponse;
    ListTransactions = 66: ListTransactionsRequest, ListTransactionsResponse;
    AllocateProducerIds = 67: AllocateProducerIdsRequest, AllocateProducerIdsResponse;
    ConsumerGroupHeartbeat = 68: Box<ConsumerGroupHeartbeatRequest>, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribe = 69: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    ControllerRegistration = 70: ControllerRegistrationRequest, ControllerRegistrationResponse;
    GetTelemetrySubscriptions = 71: GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
    PushTelemetry = 72: PushTelemetryRequest, PushTelemetryResponse;
    AssignReplicasToDirs = 73: AssignReplicasToDirsRequest, AssignReplicasToDirsResponse;
    ListConfigResources = 74: ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitions = 75: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    ShareGroupHeartbeat = 76: ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse;
    ShareGroupDescribe = 77: ShareGroupDescribeRequest, ShareGroupDescribeResponse;
    ShareFetch = 78: ShareFetchRequest, ShareFetchResponse;
    ShareAcknowledge = 79: ShareAcknowledgeRequest, ShareAcknowledgeResponse;
    AddRaftVoter = 80: AddRaftVoterRequest, AddRaftVoterResponse;
    RemoveRaftVoter = 81: RemoveRaftVoterRequest, RemoveRaftVoterResponse;
    UpdateRaftVoter = 82: UpdateRaftVoterRequest, UpdateRaftVoterResponse;
    InitializeShareGroupState = 83: InitializeShareGroupStateRequest, InitializeShareGroupStateResponse;
    ReadShareGroupState = 84: ReadShareGroupStateRequest, ReadShareGroupStateResponse;
    WriteShareGroupState = 85: WriteShareGroupStateRequest, WriteShareGroupStateResponse;
    DeleteShareGroupState = 86: DeleteShareGroupStateRequest, DeleteShareGroupStateResponse;
    ReadShareGroupStateSummary = 87: ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse;
    StreamsGroupHeartbeat = 88: Box<StreamsGroupHeartbeatRequest>, Box<StreamsGroupHeartbeatResponse>;
    StreamsGroupDescribe = 89: StreamsGroupDescribeRequest, StreamsGroupDescribeResponse;
    DescribeShareGroupOffsets = 90: DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse;
    AlterShareGroupOffsets = 91: AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse;
    DeleteShareGroupOffsets = 92: DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse;
    StreamsGroupTopologyDescriptionUpdate = 93: StreamsGroupTopologyDescriptionUpdateRequest, StreamsGroupTopologyDescriptionUpdateResponse;
    UnregisterController = 94: UnregisterControllerRequest, UnregisterControllerResponse;
}

const fn serve(key: ApiKey, min: i16, max: i16) -> Served {
    Served { key, min, max }
}

impl ApiKey {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The versions without one that Kafka has not finished.
    pub fn stable_versions(self) -> RangeInclusive<i16> {
        let (first, last) = self.versions().into_inner();
        first..=last - i16::from(self.latest_unstable())
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_from().is_some_and(|first| first <= version)
    }

    /// The row of [`SERVED`], if there is one.
    pub fn served(self) -> Option<&'static Served> {
        SERVED.iter().find(|row| row.key == self)
    }

    /// Whether we answer this version. What is only told to be served, such as Produce 0, is not.
    pub fn is_served(self, version: i16) -> bool {
        let told = self.served().is_some_and(|row| (row.min..=row.max).contains(&version));
        told && self.versions().contains(&version)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes the key and the enums of all requests and all responses of the table.
macro_rules! apis {
    ($($name:ident = $key:literal: $request:ty, $response:ty;)*) => {
        /// An API of Kafka 4.4.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The API with this number.
            pub fn from_number(number: i16) -> Option<Self> {
                match number {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// All versions that can be decoded and encoded.
            pub fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$name => <$request as Message>::VERSIONS,)*
                }
            }

            fn flexible_from(self) -> Option<i16> {
                match self {
                    $(Self::$name => <$request as Message>::FLEXIBLE_FROM,)*
                }
            }

            fn latest_unstable(self) -> bool {
                match self {
                    $(Self::$name => <$request as Message>::LATEST_UNSTABLE,)*
                }
            }
        }

        messages_enum! {
            /// The body of a request.
            Request { $($name: $request,)* }
        }
        messages_enum! {
            /// The body of a response.
            Response { $($name: $response,)* }
        }
    };
}

macro_rules! messages_enum {
    ($(#[$doc:meta])* $enum:ident { $($name:ident: $message:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum $enum {
            $($name($message),)*
        }

        impl $enum {
            /// Takes the body from behind its header.
            pub fn decode(key: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, DecodeError> {
                match key {
                    $(ApiKey::$name => <$message as Message>::decode(reader, version).map(Self::$name),)*
                }
            }

            /// Appends the body, without a header.
            pub fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode(writer, version),)*
                }
            }

            /// Which API it belongs to.
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$name(_) => ApiKey::$name,)*
                }
            }
        }
    };
}

// By this path the table may stand above the macros that read it.
use {apis, messages_enum};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_number() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_number(key.number()), Some(*key));
        }
        assert!(ApiKey::ALL.is_sorted());
        assert_eq!(ApiKey::from_number(4), None);
        assert_eq!(ApiKey::from_number(-1), None);
    }

    #[test]
    fn served_versions_are_finished_versions() {
        for row in SERVED {
            let finished = row.key.stable_versions();
            let only_told = row.key == ApiKey::Produce && row.min == 0;
            assert!(only_told || finished.contains(&row.min), "{row:?}");
            assert!(finished.contains(&row.max), "{row:?}");
            assert!(row.key.is_served(row.max), "{row:?}");
        }
    }

    #[test]
    fn told_but_not_served() {
        assert!(!ApiKey::Produce.is_served(2));
        assert!(ApiKey::Produce.is_served(3));
        assert!(!ApiKey::InitProducerId.is_served(6));
        assert!(!ApiKey::BrokerRegistration.is_served(0));
    }

    #[test]
    fn bodies_are_moved_cheaply() {
        assert!(size_of::<Request>() <= 160, "{}", size_of::<Request>());
        assert!(size_of::<Response>() <= 160, "{}", size_of::<Response>());
    }
}
