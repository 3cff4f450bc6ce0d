//! Requests of groups of the consumer protocol (KIP-848), as a coordinator's shards understand them, and what their answers say.

use klamm_cluster::Image;
use klamm_coordinator::{
    group::{
        ConsumerBeat, ConsumerDescription, ConsumerHeartbeat, DescribedConsumer, GroupError, Presence,
        Request as Asked,
    },
    record::TopicPartitions,
};
use klamm_model::{ErrorCode, PartitionIndex};
use klamm_wire::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, Response,
    consumer_group_describe::{self, DescribedGroup},
    consumer_group_heartbeat::{Assignment, ResponseTopicPartitions},
};

use super::groups::{Client, Parts, Whom};
use crate::{
    coordinators,
    errors::ToCode,
    unsecured::{GROUP_OPERATIONS, allowed},
};

/// From this version on, members make their own ids.
const MEMBERS_HAVE_IDS: i16 = 1;

pub(super) fn heartbeat(request: ConsumerGroupHeartbeatRequest, version: i16, client: Client<'_>) -> Parts {
    let refused = |why: String| {
        let response = ConsumerGroupHeartbeatResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some(why),
            ..Default::default()
        };
        Parts { response: Response::ConsumerGroupHeartbeat(response), parts: Vec::new() }
    };
    let Some(presence) = Presence::from_wire(request.member_epoch) else {
        return refused(format!("there is no member epoch {}", request.member_epoch));
    };
    if MEMBERS_HAVE_IDS <= version && request.member_id.is_empty() {
        return refused("MemberId can't be empty.".to_owned());
    }
    let owned = |it: klamm_wire::consumer_group_heartbeat::RequestTopicPartitions| TopicPartitions {
        topic: it.topic_id,
        partitions: it.partitions.into_iter().map(PartitionIndex).collect(),
    };
    let asked = ConsumerHeartbeat {
        group: request.group_id.clone(),
        member_id: request.member_id,
        presence,
        instance_id: request.instance_id,
        rack: request.rack_id,
        client_id: client.id.to_owned(),
        client_host: client.host.to_owned(),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != -1),
        topics: request.subscribed_topic_names,
        topic_regex: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.map(|topics| topics.into_iter().map(owned).collect()),
    };
    let response = Response::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse::default());
    Parts::one(response, &request.group_id, Asked::ConsumerHeartbeat(Box::new(asked)))
}

/// The cluster has no groups of this protocol now (`group.version`): what there was of them ends by itself, and clients use the classic one.
pub(super) fn no_heartbeat() -> Parts {
    let response = ConsumerGroupHeartbeatResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        error_message: Some(NOT_HERE.to_owned()),
        ..Default::default()
    };
    Parts { response: Response::ConsumerGroupHeartbeat(response), parts: Vec::new() }
}

pub(super) fn no_description(request: ConsumerGroupDescribeRequest) -> Parts {
    let group = |group_id| DescribedGroup {
        group_id,
        error_code: ErrorCode::UnsupportedVersion.code(),
        error_message: Some(NOT_HERE.to_owned()),
        ..Default::default()
    };
    let groups = request.group_ids.into_iter().map(group).collect();
    let response = ConsumerGroupDescribeResponse { groups, ..Default::default() };
    Parts { response: Response::ConsumerGroupDescribe(response), parts: Vec::new() }
}

const NOT_HERE: &str = "The cluster is at level 0 of group.version: there is no consumer protocol.";

pub(super) fn beaten(
    response: &mut ConsumerGroupHeartbeatResponse,
    result: Result<ConsumerBeat, GroupError>,
) {
    match result {
        Ok(beat) => {
            response.member_id = Some(beat.member_id);
            response.member_epoch = beat.presence.to_wire();
            response.heartbeat_interval_ms = i32::try_from(beat.heartbeat_interval_ms).unwrap_or(i32::MAX);
            let of_topic = |it: TopicPartitions| ResponseTopicPartitions {
                topic_id: it.topic,
                partitions: it.partitions.into_iter().map(|it| it.0).collect(),
            };
            response.assignment = beat
                .assignment
                .map(|topics| Assignment { topic_partitions: topics.into_iter().map(of_topic).collect() });
        }
        Err(error) => {
            response.error_code = error.code().code();
            response.error_message = Some(error.to_string());
        }
    }
}

pub(super) fn describe(request: ConsumerGroupDescribeRequest) -> Parts {
    let group = |name: &String| DescribedGroup {
        group_id: name.clone(),
        authorized_operations: allowed(GROUP_OPERATIONS, request.include_authorized_operations),
        ..Default::default()
    };
    let groups = request.group_ids.iter().map(group).collect();
    let response =
        Response::ConsumerGroupDescribe(ConsumerGroupDescribeResponse { groups, ..Default::default() });
    let part =
        |name: String| (Whom::Named(name.clone()), coordinators::Asked::Group(Asked::DescribeConsumer(name)));
    Parts { response, parts: request.group_ids.into_iter().map(part).collect() }
}

pub(super) fn described(
    group: &mut DescribedGroup,
    version: i16,
    result: Result<ConsumerDescription, GroupError>,
    image: &Image,
) {
    let description = match result {
        Ok(description) => description,
        Err(error) => {
            group.error_code = error.code().code();
            group.error_message = Some(error.to_string());
            return;
        }
    };
    description.state.name().clone_into(&mut group.group_state);
    group.group_epoch = description.epoch;
    group.assignment_epoch = description.assignment_epoch;
    description.assignor.clone_into(&mut group.assignor_name);
    group.members = description.members.into_iter().map(|it| member(it, version, image)).collect();
}

fn member(it: DescribedConsumer, version: i16, image: &Image) -> consumer_group_describe::Member {
    /// Which protocol a member speaks, from version 1 on.
    const CLASSIC: i8 = 0;
    const CONSUMER: i8 = 1;
    let DescribedConsumer { id, epoch, said, assigned, target } = it;
    let kind = if said.upgraded.is_some() { CLASSIC } else { CONSUMER };
    consumer_group_describe::Member {
        member_id: id,
        instance_id: said.instance_id,
        rack_id: said.rack,
        member_epoch: epoch,
        client_id: said.client_id,
        client_host: said.client_host,
        subscribed_topic_names: said.topics,
        subscribed_topic_regex: said.topic_regex,
        assignment: assignment(assigned, image),
        target_assignment: assignment(target, image),
        member_type: if version < 1 { -1 } else { kind },
    }
}

/// Topics that are gone have no names any more, and are left out.
fn assignment(topics: Vec<TopicPartitions>, image: &Image) -> consumer_group_describe::Assignment {
    let of_topic = |it: TopicPartitions| {
        let topic = image.topic(it.topic)?;
        Some(consumer_group_describe::TopicPartitions {
            topic_id: it.topic,
            topic_name: topic.name.to_string(),
            partitions: it.partitions.into_iter().map(|it| it.0).collect(),
        })
    };
    consumer_group_describe::Assignment {
        topic_partitions: topics.into_iter().filter_map(of_topic).collect(),
    }
}
