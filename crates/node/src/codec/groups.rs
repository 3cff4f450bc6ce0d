//! Kafka's requests about groups, as a coordinator's shards understand them, and what their answers say.
//!
//! A request may be about several groups, and each is another shard's: it is taken apart, and the answer has a place for each part.

use klamm_cluster::{Image, features::GROUPS};
use klamm_coordinator::group::{
    DescribedMember, Description, GroupError, GroupState, GroupType, Heartbeat, Identity, Join, Joined,
    Leave, Leaving, Left, List, Listed, Reply, Request as Asked, Sync, Synced,
};
use klamm_model::ErrorCode;
use klamm_wire::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, Request, Response, SyncGroupRequest,
    SyncGroupResponse, delete_groups::DeletableGroupResult, describe_groups, join_group, leave_group,
    list_groups::ListedGroup,
};

use super::{consumer_groups, offsets};
use crate::{
    coordinators,
    errors::ToCode,
    unsecured::{GROUP_OPERATIONS, allowed},
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    /// What it calls itself.
    pub(crate) id: &'a str,
    /// Where it is.
    pub(crate) host: &'a str,
}

/// Which shards a part of a request is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    /// The one that has the group, or the transactional id, of this name.
    Named(String),
    /// All that are here.
    All,
}

/// A request, taken apart.
pub(crate) struct Parts {
    /// The answer, with what is known already.
    pub(crate) response: Response,
    /// In the order of their places in the answer.
    pub(crate) parts: Vec<(Whom, coordinators::Asked)>,
}

impl Parts {
    pub(super) fn one(response: Response, group: &str, asked: Asked) -> Self {
        Self { response, parts: vec![(Whom::Named(group.to_owned()), coordinators::Asked::Group(asked))] }
    }
}

/// `None`: this is no request for groups.
pub(crate) fn take_apart(request: Request, version: i16, client: Client<'_>, image: &Image) -> Option<Parts> {
    Some(match request {
        Request::JoinGroup(it) => join(it, version, client),
        Request::SyncGroup(it) => sync(it),
        Request::Heartbeat(it) => heartbeat(it),
        Request::LeaveGroup(it) => leave(it, version),
        Request::ConsumerGroupHeartbeat(_) if image.level(GROUPS) == 0 => consumer_groups::no_heartbeat(),
        Request::ConsumerGroupDescribe(it) if image.level(GROUPS) == 0 => consumer_groups::no_description(it),
        Request::ConsumerGroupHeartbeat(it) => consumer_groups::heartbeat(*it, version, client),
        Request::ConsumerGroupDescribe(it) => consumer_groups::describe(it),
        Request::OffsetCommit(it) => offsets::commit(it, version, image),
        Request::OffsetFetch(it) => offsets::fetch(it, version, image),
        Request::OffsetDelete(it) => offsets::delete(it),
        Request::DescribeGroups(it) => describe(it),
        Request::ListGroups(it) => list(&it),
        Request::DeleteGroups(it) => delete(it),
        _ => return None,
    })
}

/// Puts the answer to a part in its place.
pub(crate) fn give(response: &mut Response, place: usize, version: i16, reply: Reply, image: &Image) {
    match (response, reply) {
        (Response::JoinGroup(it), Reply::Join(result)) => joined(it, version, result),
        (Response::SyncGroup(it), Reply::Sync(result)) => synced(it, result),
        (Response::Heartbeat(it), Reply::Heartbeat(result)) => it.error_code = code(result.err()),
        (Response::LeaveGroup(it), Reply::Leave(result)) => left(it, version, result),
        (Response::OffsetCommit(it), Reply::Commit(result)) => offsets::committed(it, version, result),
        (Response::TxnOffsetCommit(it), Reply::TxnCommit(result)) => offsets::txn_committed(it, result),
        (Response::ConsumerGroupHeartbeat(it), Reply::ConsumerHeartbeat(result)) => {
            consumer_groups::beaten(it, result);
        }
        (Response::ConsumerGroupDescribe(it), Reply::DescribeConsumer(result)) => {
            consumer_groups::described(&mut it.groups[place], version, result, image);
        }
        (Response::OffsetFetch(it), Reply::FetchOffsets(Ok(found))) => {
            offsets::fetched(it, place, version, found, image);
        }
        (Response::OffsetFetch(it), Reply::FetchOffsets(Err(why))) => {
            offsets::not_fetched(it, place, version, why.code().code());
        }
        (Response::OffsetDelete(it), Reply::DeleteOffsets(result)) => offsets::deleted(it, result),
        (Response::DescribeGroups(it), Reply::Describe(result)) => {
            described(&mut it.groups[place], version, result);
        }
        (Response::ListGroups(it), Reply::List(groups)) => it.groups.extend(groups.into_iter().map(listed)),
        (Response::DeleteGroups(it), Reply::DeleteGroup(result)) => {
            it.results[place].error_message = result.as_ref().err().map(ToString::to_string);
            it.results[place].error_code = code(result.err());
        }
        (response, reply) => panic!("{response:?} is answered with {reply:?}"),
    }
}

/// There is no answer to a part: why not.
pub(crate) fn fail(response: &mut Response, place: usize, version: i16, why: ErrorCode) {
    let why = why.code();
    match response {
        Response::JoinGroup(it) => it.error_code = why,
        Response::SyncGroup(it) => it.error_code = why,
        Response::Heartbeat(it) => it.error_code = why,
        Response::LeaveGroup(it) => it.error_code = why,
        Response::ConsumerGroupHeartbeat(it) => it.error_code = why,
        Response::ConsumerGroupDescribe(it) => it.groups[place].error_code = why,
        Response::OffsetCommit(it) => offsets::not_committed(it, why),
        Response::TxnOffsetCommit(it) => offsets::not_txn_committed(it, why),
        Response::OffsetFetch(it) => offsets::not_fetched(it, place, version, why),
        Response::OffsetDelete(it) => it.error_code = why,
        Response::DescribeGroups(it) => it.groups[place].error_code = why,
        // Groups that others told of are true all the same.
        Response::ListGroups(it) => it.error_code = why,
        Response::DeleteGroups(it) => it.results[place].error_code = why,
        other => panic!("{other:?} is no answer about groups"),
    }
}

pub(super) fn code(error: Option<GroupError>) -> i16 {
    error.map_or(ErrorCode::None, |error| error.code()).code()
}

/// Who a member says it is. No generation, and no epoch of one, is negative.
pub(super) fn identity(member_id: String, instance_id: Option<String>, generation: i32) -> Identity {
    let generation = Some(generation).filter(|number| 0 <= *number);
    Identity { member_id, instance_id, generation }
}

fn join(request: JoinGroupRequest, version: i16, client: Client<'_>) -> Parts {
    let response = JoinGroupResponse {
        generation_id: -1,
        // It could not be null before.
        protocol_name: (version < 7).then(String::new),
        member_id: request.member_id.clone(),
        ..Default::default()
    };
    let protocols = request.protocols.into_iter().map(|it| (it.name, it.metadata)).collect();
    let asked = Join {
        group: request.group_id.clone(),
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: client.id.to_owned(),
        client_host: client.host.to_owned(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type,
        protocols,
        reason: request.reason,
        can_learn_id: 4 <= version,
        can_skip_assignment: 9 <= version,
    };
    Parts::one(Response::JoinGroup(response), &request.group_id, Asked::Join(asked))
}

fn joined(response: &mut JoinGroupResponse, version: i16, result: Result<Joined, GroupError>) {
    let joined = match result {
        Ok(joined) => joined,
        Err(error) => {
            if let GroupError::MemberIdRequired { member_id } = &error {
                response.member_id = member_id.clone();
            }
            response.error_code = error.code().code();
            return;
        }
    };
    response.generation_id = joined.generation;
    response.protocol_type = Some(joined.protocol_type);
    response.protocol_name = match joined.protocol {
        None if version < 7 => Some(String::new()),
        protocol => protocol,
    };
    response.leader = joined.leader;
    response.member_id = joined.member_id;
    response.skip_assignment = joined.skips_assignment;
    let member = |it: klamm_coordinator::group::JoinedMember| join_group::JoinGroupResponseMember {
        member_id: it.id,
        group_instance_id: it.instance_id,
        metadata: it.subscription,
    };
    response.members = joined.members.into_iter().map(member).collect();
}

fn sync(request: SyncGroupRequest) -> Parts {
    let asked = Sync {
        group: request.group_id.clone(),
        member: identity(request.member_id, request.group_instance_id, request.generation_id),
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request.assignments.into_iter().map(|it| (it.member_id, it.assignment)).collect(),
    };
    Parts::one(Response::SyncGroup(SyncGroupResponse::default()), &request.group_id, Asked::Sync(asked))
}

fn synced(response: &mut SyncGroupResponse, result: Result<Synced, GroupError>) {
    match result {
        Ok(synced) => {
            response.protocol_type = Some(synced.protocol_type);
            response.protocol_name = synced.protocol;
            response.assignment = synced.assignment;
        }
        Err(error) => response.error_code = error.code().code(),
    }
}

fn heartbeat(request: HeartbeatRequest) -> Parts {
    let asked = Heartbeat {
        group: request.group_id.clone(),
        member: identity(request.member_id, request.group_instance_id, request.generation_id),
    };
    let response = Response::Heartbeat(HeartbeatResponse::default());
    Parts::one(response, &request.group_id, Asked::Heartbeat(asked))
}

fn leave(request: LeaveGroupRequest, version: i16) -> Parts {
    let members = if version < 3 {
        vec![Leaving { member_id: request.member_id, instance_id: None, reason: None }]
    } else {
        let leaving = |it: leave_group::MemberIdentity| Leaving {
            member_id: it.member_id,
            instance_id: it.group_instance_id,
            reason: it.reason,
        };
        request.members.into_iter().map(leaving).collect()
    };
    let asked = Leave { group: request.group_id.clone(), members };
    Parts::one(Response::LeaveGroup(LeaveGroupResponse::default()), &request.group_id, Asked::Leave(asked))
}

fn left(response: &mut LeaveGroupResponse, version: i16, result: Result<Vec<Left>, GroupError>) {
    let members = match result {
        Ok(members) => members,
        Err(error) => return response.error_code = error.code().code(),
    };
    if version < 3 {
        // There was one.
        response.error_code = code(members.into_iter().next().and_then(|it| it.result.err()));
        return;
    }
    let member = |it: Left| leave_group::MemberResponse {
        member_id: it.member_id,
        group_instance_id: it.instance_id,
        error_code: code(it.result.err()),
    };
    response.members = members.into_iter().map(member).collect();
}

fn describe(request: DescribeGroupsRequest) -> Parts {
    let group = |name: &String| describe_groups::DescribedGroup {
        group_id: name.clone(),
        authorized_operations: allowed(GROUP_OPERATIONS, request.include_authorized_operations),
        ..Default::default()
    };
    let groups = request.groups.iter().map(group).collect();
    let response =
        Response::DescribeGroups(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() });
    let part = |name: String| (Whom::Named(name.clone()), coordinators::Asked::Group(Asked::Describe(name)));
    Parts { response, parts: request.groups.into_iter().map(part).collect() }
}

fn described(
    group: &mut describe_groups::DescribedGroup,
    version: i16,
    result: Result<Description, GroupError>,
) {
    let description = match result {
        Ok(description) => description,
        Err(error) => {
            "Dead".clone_into(&mut group.group_state);
            // Older clients know by the state alone that there is none (KIP-1043).
            if 6 <= version || !matches!(error, GroupError::UnknownGroup { .. }) {
                group.error_message = Some(error.to_string()).filter(|_| 6 <= version);
                group.error_code = error.code().code();
            }
            return;
        }
    };
    description.state.name().clone_into(&mut group.group_state);
    group.protocol_type = description.protocol_type;
    group.protocol_data = description.protocol.unwrap_or_default();
    let member = |it: DescribedMember| describe_groups::DescribedGroupMember {
        member_id: it.id,
        group_instance_id: it.instance_id,
        client_id: it.client_id,
        client_host: it.client_host,
        member_metadata: it.subscription,
        member_assignment: it.assignment,
    };
    group.members = description.members.into_iter().map(member).collect();
}

fn list(request: &ListGroupsRequest) -> Parts {
    fn those<T>(names: &[String], of: fn(&str) -> Option<T>) -> Option<Vec<T>> {
        (!names.is_empty()).then(|| names.iter().filter_map(|name| of(name)).collect())
    }
    let asked = List {
        states: those(&request.states_filter, GroupState::from_name),
        types: those(&request.types_filter, GroupType::from_name),
    };
    let response = Response::ListGroups(ListGroupsResponse::default());
    Parts { response, parts: vec![(Whom::All, coordinators::Asked::Group(Asked::List(asked)))] }
}

fn listed(group: Listed) -> ListedGroup {
    ListedGroup {
        group_id: group.group,
        protocol_type: group.protocol_type,
        group_state: group.state.name().to_owned(),
        group_type: group.group_type.name().to_owned(),
    }
}

fn delete(request: DeleteGroupsRequest) -> Parts {
    let result =
        |name: &String| DeletableGroupResult { group_id: name.clone(), ..DeletableGroupResult::default() };
    let results = request.groups_names.iter().map(result).collect();
    let response = Response::DeleteGroups(DeleteGroupsResponse { results, ..Default::default() });
    let part =
        |name: String| (Whom::Named(name.clone()), coordinators::Asked::Group(Asked::DeleteGroup(name)));
    Parts { response, parts: request.groups_names.into_iter().map(part).collect() }
}
