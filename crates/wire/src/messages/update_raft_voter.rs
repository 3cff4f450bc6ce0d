// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! UpdateRaftVoter, key 82.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRaftVoterRequest {
    pub cluster_id: Option<String>,
    pub current_leader_epoch: i32,
    pub voter_id: i32,
    pub voter_directory_id: Uuid,
    pub listeners: Vec<Listener>,
    pub k_raft_version_feature: KRaftVersionFeature,
}

impl Default for UpdateRaftVoterRequest {
    fn default() -> Self {
        Self {
            cluster_id: Some(String::new()),
            current_leader_epoch: 0,
            voter_id: 0,
            voter_directory_id: Uuid::default(),
            listeners: Vec::new(),
            k_raft_version_feature: KRaftVersionFeature::default(),
        }
    }
}

impl Element for UpdateRaftVoterRequest {
    const WIRE_SIZE_MIN: usize = 32;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            cluster_id: r.nullable_string(true)?,
            current_leader_epoch: r.i32()?,
            voter_id: r.i32()?,
            voter_directory_id: r.uuid()?,
            listeners: r.array()?,
            k_raft_version_feature: KRaftVersionFeature::read(r)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(&self.cluster_id)?;
        w.i32(self.current_leader_epoch);
        w.i32(self.voter_id);
        w.uuid(self.voter_directory_id);
        w.array(&self.listeners)?;
        self.k_raft_version_feature.write(w)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

impl Element for Listener {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, host: r.string()?, port: r.u16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.string(&self.host)?;
        w.u16(self.port);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct KRaftVersionFeature {
    pub min_supported_version: i16,
    pub max_supported_version: i16,
}

impl Element for KRaftVersionFeature {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { min_supported_version: r.i16()?, max_supported_version: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.min_supported_version);
        w.i16(self.max_supported_version);
        w.no_tags();
        Ok(())
    }
}

impl Message for UpdateRaftVoterRequest {
    const NAME: &'static str = "UpdateRaftVoterRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct UpdateRaftVoterResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Tag 0.
    pub current_leader: CurrentLeader,
}

impl Element for UpdateRaftVoterResponse {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            current_leader: CurrentLeader::default(),
        };
        r.tags(|r, tag| {
            match tag {
                0 => it.current_leader = CurrentLeader::read(r)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        let mut tags = w.begin_tags();
        if self.current_leader != CurrentLeader::default() {
            w.tag(&mut tags, 0, |w| self.current_leader.write(w))?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CurrentLeader {
    /// Default -1.
    pub leader_id: i32,
    /// Default -1.
    pub leader_epoch: i32,
    pub host: String,
    pub port: i32,
}

impl Default for CurrentLeader {
    fn default() -> Self {
        Self { leader_id: -1, leader_epoch: -1, host: String::new(), port: 0 }
    }
}

impl Element for CurrentLeader {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { leader_id: r.i32()?, leader_epoch: r.i32()?, host: r.string()?, port: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.string(&self.host)?;
        w.i32(self.port);
        w.no_tags();
        Ok(())
    }
}

impl Message for UpdateRaftVoterResponse {
    const NAME: &'static str = "UpdateRaftVoterResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
