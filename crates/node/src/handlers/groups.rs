//! Requests about groups: their coordinators' shards decide.

use std::sync::Arc;

use klamm_wire::Request;

use crate::{
    Effect, Now, Origin, ReplyTo,
    codec::groups::{Client, Parts, Whom, take_apart},
    coordinators::Kind,
    node::Node,
};

/// `false`: it is about something else.
pub(super) fn is_about_groups(request: &Request) -> bool {
    matches!(
        request,
        Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::ConsumerGroupDescribe(_)
            | Request::OffsetCommit(_)
            | Request::OffsetFetch(_)
            | Request::OffsetDelete(_)
            | Request::DescribeGroups(_)
            | Request::ListGroups(_)
            | Request::DeleteGroups(_)
    )
}

pub(super) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    (origin, client_id): (&Arc<Origin>, &str),
    version: i16,
    request: Request,
    out: &mut Vec<Effect>,
) {
    let client = Client { id: client_id, host: &origin.peer_host };
    if let Some(parts) = take_apart(request, version, client, &node.image) {
        ask_all(node, now, to, version, Kind::Groups, parts, out);
    }
}

/// Asks the shards for all parts of a request.
pub(super) fn ask_all(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    kind: Kind,
    Parts { response, parts }: Parts,
    out: &mut Vec<Effect>,
) {
    let all = node.shards(kind);
    let part_count = parts.iter().map(|(whom, _)| if *whom == Whom::All { all.len() } else { 1 }).sum();
    let mut ids = node.coordinators.answers.begin(to, version, response, part_count, out);
    let mut next = || ids.next().expect("there is one for each part");
    for (whom, asked) in parts {
        match whom {
            Whom::Named(name) => node.ask_about(now, &name, next(), asked, out),
            Whom::All => {
                for key in &all {
                    node.ask_shard(now, *key, next(), asked.clone(), out);
                }
            }
        }
    }
}
