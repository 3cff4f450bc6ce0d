// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! What members of a classic group tell one another.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerProtocolSubscription {
    pub topics: Vec<String>,
    pub user_data: Option<Bytes>,
    /// Since version 1, left out silently where a version lacks it.
    pub owned_partitions: Vec<SubscriptionTopicPartition>,
    /// Since version 2, default -1, left out silently where a version lacks it.
    pub generation_id: i32,
    /// Since version 3, left out silently where a version lacks it.
    pub rack_id: Option<String>,
}

impl Default for ConsumerProtocolSubscription {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            user_data: None,
            owned_partitions: Vec::new(),
            generation_id: -1,
            rack_id: None,
        }
    }
}

impl Element for ConsumerProtocolSubscription {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topics: r.array()?,
            user_data: r.nullable_bytes(true)?,
            owned_partitions: if v >= 1 { r.array()? } else { Vec::new() },
            generation_id: if v >= 2 { r.i32()? } else { -1 },
            rack_id: if v >= 3 { r.nullable_string(true)? } else { None },
        };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.topics)?;
        w.nullable_bytes(&self.user_data)?;
        if v >= 1 {
            w.array(&self.owned_partitions)?;
        }
        if v >= 2 {
            w.i32(self.generation_id);
        }
        if v >= 3 {
            w.nullable_string(&self.rack_id)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SubscriptionTopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

impl Element for SubscriptionTopicPartition {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic: r.string()?, partitions: r.array()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic)?;
        w.array(&self.partitions)?;
        Ok(())
    }
}

impl Message for ConsumerProtocolSubscription {
    const NAME: &'static str = "ConsumerProtocolSubscription";
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerProtocolAssignment {
    pub assigned_partitions: Vec<AssignmentTopicPartition>,
    pub user_data: Option<Bytes>,
}

impl Element for ConsumerProtocolAssignment {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { assigned_partitions: r.array()?, user_data: r.nullable_bytes(true)? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.assigned_partitions)?;
        w.nullable_bytes(&self.user_data)?;
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AssignmentTopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

impl Element for AssignmentTopicPartition {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic: r.string()?, partitions: r.array()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic)?;
        w.array(&self.partitions)?;
        Ok(())
    }
}

impl Message for ConsumerProtocolAssignment {
    const NAME: &'static str = "ConsumerProtocolAssignment";
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    const FLEXIBLE_FROM: Option<i16> = None;
}
