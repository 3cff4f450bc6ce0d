// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! Fetch, key 1.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct FetchRequest {
    /// Since version 12, tag 0, left out silently where a version lacks it.
    pub cluster_id: Option<String>,
    /// Up to version 14, default -1.
    pub replica_id: i32,
    /// Since version 15, tag 1.
    pub replica_state: ReplicaState,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    /// Default 0x7fffffff.
    pub max_bytes: i32,
    pub isolation_level: i8,
    /// Since version 7, left out silently where a version lacks it.
    pub session_id: i32,
    /// Since version 7, default -1, left out silently where a version lacks it.
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    /// Since version 7.
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// Since version 11, left out silently where a version lacks it.
    pub rack_id: String,
}

impl Default for FetchRequest {
    fn default() -> Self {
        Self {
            cluster_id: None,
            replica_id: -1,
            replica_state: ReplicaState::default(),
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 2147483647,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
            topics: Vec::new(),
            forgotten_topics_data: Vec::new(),
            rack_id: String::new(),
        }
    }
}

impl Element for FetchRequest {
    const WIRE_SIZE_MIN: usize = 21;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            cluster_id: None,
            replica_id: if v <= 14 { r.i32()? } else { -1 },
            replica_state: ReplicaState::default(),
            max_wait_ms: r.i32()?,
            min_bytes: r.i32()?,
            max_bytes: r.i32()?,
            isolation_level: r.i8()?,
            session_id: if v >= 7 { r.i32()? } else { 0 },
            session_epoch: if v >= 7 { r.i32()? } else { -1 },
            topics: r.array()?,
            forgotten_topics_data: if v >= 7 { r.array()? } else { Vec::new() },
            rack_id: if v >= 11 { r.string()? } else { String::new() },
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 12 => it.cluster_id = r.nullable_string(true)?,
                1 if v >= 15 => it.replica_state = ReplicaState::read(r)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 14 {
            w.i32(self.replica_id);
        } else {
            w.require(self.replica_id == -1, "replica_id")?;
        }
        w.i32(self.max_wait_ms);
        w.i32(self.min_bytes);
        w.i32(self.max_bytes);
        w.i8(self.isolation_level);
        if v >= 7 {
            w.i32(self.session_id);
        }
        if v >= 7 {
            w.i32(self.session_epoch);
        }
        w.array(&self.topics)?;
        if v >= 7 {
            w.array(&self.forgotten_topics_data)?;
        } else {
            w.require(self.forgotten_topics_data.is_empty(), "forgotten_topics_data")?;
        }
        if v >= 11 {
            w.string(&self.rack_id)?;
        }
        let mut tags = w.begin_tags();
        if v >= 12 && self.cluster_id.is_some() {
            w.tag(&mut tags, 0, |w| w.nullable_string(&self.cluster_id))?;
        }
        if v >= 15 {
            if self.replica_state != ReplicaState::default() {
                w.tag(&mut tags, 1, |w| self.replica_state.write(w))?;
            }
        } else {
            w.require(self.replica_state == ReplicaState::default(), "replica_state")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// Default -1.
    pub replica_id: i32,
    /// Default -1.
    pub replica_epoch: i64,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self { replica_id: -1, replica_epoch: -1 }
    }
}

impl Element for ReplicaState {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { replica_id: r.i32()?, replica_epoch: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.replica_id);
        w.i64(self.replica_epoch);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchTopic {
    /// Up to version 12, left out silently where a version lacks it.
    pub topic: String,
    /// Since version 13, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<FetchPartition>,
}

impl Element for FetchTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topic: if v <= 12 { r.string()? } else { String::new() },
            topic_id: if v >= 13 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 12 {
            w.string(&self.topic)?;
        }
        if v >= 13 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FetchPartition {
    pub partition: i32,
    /// Since version 9, default -1, left out silently where a version lacks it.
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    /// Since version 12, default -1.
    pub last_fetched_epoch: i32,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub log_start_offset: i64,
    pub partition_max_bytes: i32,
    /// Since version 17, tag 0, left out silently where a version lacks it.
    pub replica_directory_id: Uuid,
    /// Since version 18, tag 1, default 9223372036854775807, left out silently where a version lacks it.
    pub high_watermark: i64,
}

impl Default for FetchPartition {
    fn default() -> Self {
        Self {
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 0,
            replica_directory_id: Uuid::default(),
            high_watermark: 9223372036854775807,
        }
    }
}

impl Element for FetchPartition {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            partition: r.i32()?,
            current_leader_epoch: if v >= 9 { r.i32()? } else { -1 },
            fetch_offset: r.i64()?,
            last_fetched_epoch: if v >= 12 { r.i32()? } else { -1 },
            log_start_offset: if v >= 5 { r.i64()? } else { -1 },
            partition_max_bytes: r.i32()?,
            replica_directory_id: Uuid::default(),
            high_watermark: 9223372036854775807,
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 17 => it.replica_directory_id = r.uuid()?,
                1 if v >= 18 => it.high_watermark = r.i64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition);
        if v >= 9 {
            w.i32(self.current_leader_epoch);
        }
        w.i64(self.fetch_offset);
        if v >= 12 {
            w.i32(self.last_fetched_epoch);
        } else {
            w.require(self.last_fetched_epoch == -1, "last_fetched_epoch")?;
        }
        if v >= 5 {
            w.i64(self.log_start_offset);
        }
        w.i32(self.partition_max_bytes);
        let mut tags = w.begin_tags();
        if v >= 17 && self.replica_directory_id != Uuid::default() {
            w.tag(&mut tags, 0, |w| {
                w.uuid(self.replica_directory_id);
                Ok(())
            })?;
        }
        if v >= 18 && self.high_watermark != 9223372036854775807 {
            w.tag(&mut tags, 1, |w| {
                w.i64(self.high_watermark);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ForgottenTopic {
    /// Up to version 12, left out silently where a version lacks it.
    pub topic: String,
    /// Since version 13, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
}

impl Element for ForgottenTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topic: if v <= 12 { r.string()? } else { String::new() },
            topic_id: if v >= 13 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 12 {
            w.string(&self.topic)?;
        }
        if v >= 13 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for FetchRequest {
    const NAME: &'static str = "FetchRequest";
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    const FLEXIBLE_FROM: Option<i16> = Some(12);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    /// Since version 7, left out silently where a version lacks it.
    pub error_code: i16,
    /// Since version 7.
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse>,
    /// Since version 16, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Element for FetchResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            throttle_time_ms: r.i32()?,
            error_code: if v >= 7 { r.i16()? } else { 0 },
            session_id: if v >= 7 { r.i32()? } else { 0 },
            responses: r.array()?,
            node_endpoints: Vec::new(),
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 16 => it.node_endpoints = r.array()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        if v >= 7 {
            w.i16(self.error_code);
        }
        if v >= 7 {
            w.i32(self.session_id);
        } else {
            w.require(self.session_id == 0, "session_id")?;
        }
        w.array(&self.responses)?;
        let mut tags = w.begin_tags();
        if v >= 16 {
            if !self.node_endpoints.is_empty() {
                w.tag(&mut tags, 0, |w| w.array(&self.node_endpoints))?;
            }
        } else {
            w.require(self.node_endpoints.is_empty(), "node_endpoints")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchableTopicResponse {
    /// Up to version 12, left out silently where a version lacks it.
    pub topic: String,
    /// Since version 13, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionData>,
}

impl Element for FetchableTopicResponse {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topic: if v <= 12 { r.string()? } else { String::new() },
            topic_id: if v >= 13 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 12 {
            w.string(&self.topic)?;
        }
        if v >= 13 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PartitionData {
    pub partition_index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    /// Default -1.
    pub last_stable_offset: i64,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub log_start_offset: i64,
    /// Since version 12, tag 0.
    pub diverging_epoch: EpochEndOffset,
    /// Since version 12, tag 1.
    pub current_leader: LeaderIdAndEpoch,
    /// Since version 12, tag 2.
    pub snapshot_id: SnapshotId,
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// Since version 11, default -1.
    pub preferred_read_replica: i32,
    pub records: Option<Records>,
}

impl Default for PartitionData {
    fn default() -> Self {
        Self {
            partition_index: 0,
            error_code: 0,
            high_watermark: 0,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: Some(Vec::new()),
            preferred_read_replica: -1,
            records: None,
        }
    }
}

impl Element for PartitionData {
    const WIRE_SIZE_MIN: usize = 30;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            partition_index: r.i32()?,
            error_code: r.i16()?,
            high_watermark: r.i64()?,
            last_stable_offset: r.i64()?,
            log_start_offset: if v >= 5 { r.i64()? } else { -1 },
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: r.nullable_array(true)?,
            preferred_read_replica: if v >= 11 { r.i32()? } else { -1 },
            records: r.records(true)?,
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 12 => it.diverging_epoch = EpochEndOffset::read(r)?,
                1 if v >= 12 => it.current_leader = LeaderIdAndEpoch::read(r)?,
                2 if v >= 12 => it.snapshot_id = SnapshotId::read(r)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.i64(self.high_watermark);
        w.i64(self.last_stable_offset);
        if v >= 5 {
            w.i64(self.log_start_offset);
        }
        w.nullable_array(&self.aborted_transactions)?;
        if v >= 11 {
            w.i32(self.preferred_read_replica);
        } else {
            w.require(self.preferred_read_replica == -1, "preferred_read_replica")?;
        }
        w.records(&self.records)?;
        let mut tags = w.begin_tags();
        if v >= 12 {
            if self.diverging_epoch != EpochEndOffset::default() {
                w.tag(&mut tags, 0, |w| self.diverging_epoch.write(w))?;
            }
        } else {
            w.require(self.diverging_epoch == EpochEndOffset::default(), "diverging_epoch")?;
        }
        if v >= 12 {
            if self.current_leader != LeaderIdAndEpoch::default() {
                w.tag(&mut tags, 1, |w| self.current_leader.write(w))?;
            }
        } else {
            w.require(self.current_leader == LeaderIdAndEpoch::default(), "current_leader")?;
        }
        if v >= 12 {
            if self.snapshot_id != SnapshotId::default() {
                w.tag(&mut tags, 2, |w| self.snapshot_id.write(w))?;
            }
        } else {
            w.require(self.snapshot_id == SnapshotId::default(), "snapshot_id")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// Default -1.
    pub epoch: i32,
    /// Default -1.
    pub end_offset: i64,
}

impl Default for EpochEndOffset {
    fn default() -> Self {
        Self { epoch: -1, end_offset: -1 }
    }
}

impl Element for EpochEndOffset {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { epoch: r.i32()?, end_offset: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.i64(self.end_offset);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// Default -1.
    pub leader_id: i32,
    /// Default -1.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self { leader_id: -1, leader_epoch: -1 }
    }
}

impl Element for LeaderIdAndEpoch {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { leader_id: r.i32()?, leader_epoch: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// Default -1.
    pub end_offset: i64,
    /// Default -1.
    pub epoch: i32,
}

impl Default for SnapshotId {
    fn default() -> Self {
        Self { end_offset: -1, epoch: -1 }
    }
}

impl Element for SnapshotId {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { end_offset: r.i64()?, epoch: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i64(self.end_offset);
        w.i32(self.epoch);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

impl Element for AbortedTransaction {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { producer_id: r.i64()?, first_offset: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i64(self.producer_id);
        w.i64(self.first_offset);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

impl Element for NodeEndpoint {
    const WIRE_SIZE_MIN: usize = 11;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it =
            Self { node_id: r.i32()?, host: r.string()?, port: r.i32()?, rack: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(&self.host)?;
        w.i32(self.port);
        w.nullable_string(&self.rack)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for FetchResponse {
    const NAME: &'static str = "FetchResponse";
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    const FLEXIBLE_FROM: Option<i16> = Some(12);
}
