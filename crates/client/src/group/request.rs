//! A member's requests as the protocol has them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm_wire::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    Request, SyncGroupRequest, join_group::JoinGroupRequestProtocol, leave_group::MemberIdentity,
    sync_group::SyncGroupRequestAssignment,
};

use super::config::Config;
use super::metadata::GroupMetadata;
use crate::PartitionName;
use crate::admin::{CommittedOffset, by_topic, fetch, fetch_of_one, topics_to_commit};

/// What FindCoordinator calls a group.
const GROUP_KEY: i8 = 0;
/// What groups of consumers call what they do.
pub(super) const CONSUMER: &str = "consumer";
/// From the next version on topics are named by ids.
pub(super) const BY_NAME_VERSION_MAX: i16 = 9;

/// A request, and how it is said to a broker that is too old for it.
pub(super) type Versions = (Request, Option<Request>);

/// The protocol carries times as 32 bit numbers.
pub(super) fn clamped_ms(time_ms: u64) -> i32 {
    i32::try_from(time_ms).unwrap_or(i32::MAX)
}

pub(super) fn find_coordinator(group: &str) -> Versions {
    let of_many = FindCoordinatorRequest {
        key_type: GROUP_KEY,
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    let of_one = FindCoordinatorRequest { key: group.to_owned(), key_type: GROUP_KEY, ..Default::default() };
    (Request::FindCoordinator(of_many), Some(Request::FindCoordinator(of_one)))
}

/// `protocols` are the assignors' names with what they want to know of us.
pub(super) fn join(
    config: &Config,
    member_id: &str,
    protocols: Vec<(&str, Bytes)>,
    reason: Option<&str>,
) -> Request {
    let protocol = |(name, metadata): (&str, Bytes)| JoinGroupRequestProtocol { name: name.into(), metadata };
    Request::JoinGroup(JoinGroupRequest {
        group_id: config.group_id.clone(),
        session_timeout_ms: clamped_ms(config.session_timeout_ms),
        rebalance_timeout_ms: clamped_ms(config.poll_interval_max_ms),
        member_id: member_id.to_owned(),
        group_instance_id: config.instance_id.clone(),
        protocol_type: CONSUMER.to_owned(),
        protocols: protocols.into_iter().map(protocol).collect(),
        reason: reason.map(str::to_owned),
    })
}

/// `assignments` are everybody's, from who leads the group; from the others there are none.
pub(super) fn sync(me: GroupMetadata, protocol: &str, assignments: Vec<(String, Bytes)>) -> Request {
    let assignment = |(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment };
    Request::SyncGroup(SyncGroupRequest {
        group_id: me.group_id,
        generation_id: me.generation,
        member_id: me.member_id,
        group_instance_id: me.instance_id,
        protocol_type: Some(CONSUMER.to_owned()),
        protocol_name: Some(protocol.to_owned()),
        assignments: assignments.into_iter().map(assignment).collect(),
    })
}

pub(super) fn heartbeat(me: GroupMetadata) -> Request {
    Request::Heartbeat(HeartbeatRequest {
        group_id: me.group_id,
        generation_id: me.generation,
        member_id: me.member_id,
        group_instance_id: me.instance_id,
    })
}

pub(super) fn leave(me: GroupMetadata, reason: &str) -> Versions {
    let GroupMetadata { group_id, member_id, instance_id, .. } = me;
    let member = MemberIdentity {
        member_id: member_id.clone(),
        group_instance_id: instance_id,
        reason: Some(reason.to_owned()),
    };
    let of_many =
        LeaveGroupRequest { group_id: group_id.clone(), members: vec![member], ..Default::default() };
    let of_one = LeaveGroupRequest { group_id, member_id, ..Default::default() };
    (Request::LeaveGroup(of_many), Some(Request::LeaveGroup(of_one)))
}

pub(super) fn commit(me: GroupMetadata, offsets: &BTreeMap<PartitionName, CommittedOffset>) -> Request {
    Request::OffsetCommit(OffsetCommitRequest {
        group_id: me.group_id,
        generation_id_or_member_epoch: me.generation,
        member_id: me.member_id,
        group_instance_id: me.instance_id,
        topics: topics_to_commit(offsets),
        ..Default::default()
    })
}

/// A member of the consumer protocol says who it is: it may have lost what it asks about.
pub(super) fn committed(
    me: &GroupMetadata,
    is_consumer_protocol: bool,
    partitions: &BTreeSet<PartitionName>,
) -> Versions {
    let topics = by_topic(partitions);
    let mut request = fetch(&me.group_id, Some(&topics));
    // What a transaction is about to commit is waited for, or it would be read twice (KIP-447).
    request.require_stable = true;
    if is_consumer_protocol {
        request.groups[0].member_id = Some(me.member_id.clone());
        request.groups[0].member_epoch = me.generation;
    }
    (Request::OffsetFetch(request), Some(Request::OffsetFetch(fetch_of_one(&me.group_id, Some(&topics)))))
}
