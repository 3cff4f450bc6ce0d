// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! Metadata, key 3.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRequest {
    /// May be null in versions 1+.
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Since version 4, default true.
    pub allow_auto_topic_creation: bool,
    /// Versions 8 to 10.
    pub include_cluster_authorized_operations: bool,
    /// Since version 8.
    pub include_topic_authorized_operations: bool,
}

impl Default for MetadataRequest {
    fn default() -> Self {
        Self {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: true,
            include_cluster_authorized_operations: false,
            include_topic_authorized_operations: false,
        }
    }
}

impl Element for MetadataRequest {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topics: r.nullable_array(v >= 1)?,
            allow_auto_topic_creation: if v >= 4 { r.bool()? } else { true },
            include_cluster_authorized_operations: if (8..=10).contains(&v) { r.bool()? } else { false },
            include_topic_authorized_operations: if v >= 8 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.require(self.topics.is_some() || v >= 1, "topics")?;
        w.nullable_array(&self.topics)?;
        if v >= 4 {
            w.bool(self.allow_auto_topic_creation);
        } else {
            w.require(self.allow_auto_topic_creation, "allow_auto_topic_creation")?;
        }
        if (8..=10).contains(&v) {
            w.bool(self.include_cluster_authorized_operations);
        } else {
            w.require(!self.include_cluster_authorized_operations, "include_cluster_authorized_operations")?;
        }
        if v >= 8 {
            w.bool(self.include_topic_authorized_operations);
        } else {
            w.require(!self.include_topic_authorized_operations, "include_topic_authorized_operations")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRequestTopic {
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    /// May be null in versions 10+.
    pub name: Option<String>,
}

impl Default for MetadataRequestTopic {
    fn default() -> Self {
        Self { topic_id: TopicId::default(), name: Some(String::new()) }
    }
}

impl Element for MetadataRequestTopic {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topic_id: if v >= 10 { r.topic_id()? } else { TopicId::default() },
            name: r.nullable_string(v >= 10)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 10 {
            w.topic_id(self.topic_id);
        }
        w.require(self.name.is_some() || v >= 10, "name")?;
        w.nullable_string(&self.name)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for MetadataRequest {
    const NAME: &'static str = "MetadataRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    const FLEXIBLE_FROM: Option<i16> = Some(9);
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponse {
    /// Since version 3, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker>,
    /// Since version 2, left out silently where a version lacks it.
    pub cluster_id: Option<String>,
    /// Since version 1, default -1, left out silently where a version lacks it.
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic>,
    /// Versions 8 to 10, default -2147483648.
    pub cluster_authorized_operations: i32,
    /// Since version 13, left out silently where a version lacks it.
    pub error_code: i16,
}

impl Default for MetadataResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            brokers: Vec::new(),
            cluster_id: None,
            controller_id: -1,
            topics: Vec::new(),
            cluster_authorized_operations: -2147483648,
            error_code: 0,
        }
    }
}

impl Element for MetadataResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 3 { r.i32()? } else { 0 },
            brokers: r.array()?,
            cluster_id: if v >= 2 { r.nullable_string(true)? } else { None },
            controller_id: if v >= 1 { r.i32()? } else { -1 },
            topics: r.array()?,
            cluster_authorized_operations: if (8..=10).contains(&v) { r.i32()? } else { -2147483648 },
            error_code: if v >= 13 { r.i16()? } else { 0 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 3 {
            w.i32(self.throttle_time_ms);
        }
        w.array(&self.brokers)?;
        if v >= 2 {
            w.nullable_string(&self.cluster_id)?;
        }
        if v >= 1 {
            w.i32(self.controller_id);
        }
        w.array(&self.topics)?;
        if (8..=10).contains(&v) {
            w.i32(self.cluster_authorized_operations);
        } else {
            w.require(self.cluster_authorized_operations == -2147483648, "cluster_authorized_operations")?;
        }
        if v >= 13 {
            w.i16(self.error_code);
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct MetadataResponseBroker {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    /// Since version 1, left out silently where a version lacks it.
    pub rack: Option<String>,
}

impl Element for MetadataResponseBroker {
    const WIRE_SIZE_MIN: usize = 10;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            node_id: r.i32()?,
            host: r.string()?,
            port: r.i32()?,
            rack: if v >= 1 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.node_id);
        w.string(&self.host)?;
        w.i32(self.port);
        if v >= 1 {
            w.nullable_string(&self.rack)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponseTopic {
    pub error_code: i16,
    /// May be null in versions 12+.
    pub name: Option<String>,
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    /// Since version 1, left out silently where a version lacks it.
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    /// Since version 8, default -2147483648.
    pub topic_authorized_operations: i32,
}

impl Default for MetadataResponseTopic {
    fn default() -> Self {
        Self {
            error_code: 0,
            name: Some(String::new()),
            topic_id: TopicId::default(),
            is_internal: false,
            partitions: Vec::new(),
            topic_authorized_operations: -2147483648,
        }
    }
}

impl Element for MetadataResponseTopic {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            name: r.nullable_string(v >= 12)?,
            topic_id: if v >= 10 { r.topic_id()? } else { TopicId::default() },
            is_internal: if v >= 1 { r.bool()? } else { false },
            partitions: r.array()?,
            topic_authorized_operations: if v >= 8 { r.i32()? } else { -2147483648 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.require(self.name.is_some() || v >= 12, "name")?;
        w.nullable_string(&self.name)?;
        if v >= 10 {
            w.topic_id(self.topic_id);
        }
        if v >= 1 {
            w.bool(self.is_internal);
        }
        w.array(&self.partitions)?;
        if v >= 8 {
            w.i32(self.topic_authorized_operations);
        } else {
            w.require(self.topic_authorized_operations == -2147483648, "topic_authorized_operations")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    pub leader_id: i32,
    /// Since version 7, default -1, left out silently where a version lacks it.
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    /// Since version 5, left out silently where a version lacks it.
    pub offline_replicas: Vec<i32>,
}

impl Default for MetadataResponsePartition {
    fn default() -> Self {
        Self {
            error_code: 0,
            partition_index: 0,
            leader_id: 0,
            leader_epoch: -1,
            replica_nodes: Vec::new(),
            isr_nodes: Vec::new(),
            offline_replicas: Vec::new(),
        }
    }
}

impl Element for MetadataResponsePartition {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            partition_index: r.i32()?,
            leader_id: r.i32()?,
            leader_epoch: if v >= 7 { r.i32()? } else { -1 },
            replica_nodes: r.array()?,
            isr_nodes: r.array()?,
            offline_replicas: if v >= 5 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.i32(self.partition_index);
        w.i32(self.leader_id);
        if v >= 7 {
            w.i32(self.leader_epoch);
        }
        w.array(&self.replica_nodes)?;
        w.array(&self.isr_nodes)?;
        if v >= 5 {
            w.array(&self.offline_replicas)?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for MetadataResponse {
    const NAME: &'static str = "MetadataResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    const FLEXIBLE_FROM: Option<i16> = Some(9);
}
