//! FindCoordinator: which broker keeps a group or a transactional id. Whoever asks first has the topic made.

use std::{collections::BTreeSet, sync::Arc};

use klamm_cluster::controller::{CreateTopicError, CreatedTopic, Reply as Decided};
use klamm_model::{ErrorCode, PartitionIndex};
use klamm_wire::{
    FindCoordinatorRequest, FindCoordinatorResponse, Request, Response, find_coordinator::Coordinator,
};

use super::Kind;
use crate::{Effect, LineLimit, Now, Origin, Reply, ReplyTo, View, node::Node, reads};

/// Clients that wait until an internal topic is made.
#[derive(Default)]
pub(crate) struct Finds {
    waiting: Vec<Find>,
    /// The topics that the controller was asked for.
    asked: BTreeSet<Kind>,
    /// Clients ask again and again.
    refusals: LineLimit,
}

struct Find {
    to: ReplyTo,
    origin: Arc<Origin>,
    version: i16,
    request: FindCoordinatorRequest,
}

/// Which of a topic's partitions has this group or transactional id: as with Kafka, by Java's hash of a string.
pub(crate) fn partition_of(name: &str, partition_count: usize) -> PartitionIndex {
    let hash = name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    // Java's smallest number has no positive counterpart, and is taken for 0.
    let hash = hash.checked_abs().unwrap_or(0);
    PartitionIndex(hash % i32::try_from(partition_count).unwrap_or(i32::MAX).max(1))
}

/// What a FindCoordinator request asks for, by the number of its kind of key.
fn kind(key_type: i8) -> Option<Kind> {
    match key_type {
        0 => Some(Kind::Groups),
        1 => Some(Kind::Transactions),
        _ => None,
    }
}

/// The answer, if the topic is there.
pub(crate) fn find(
    view: &View,
    origin: &Origin,
    version: i16,
    request: &FindCoordinatorRequest,
) -> Option<FindCoordinatorResponse> {
    let Some(kind) = kind(request.key_type) else {
        return Some(answer(version, request, |_| Err(ErrorCode::InvalidRequest)));
    };
    let topic = view.image.topic_named(kind.topic())?;
    Some(answer(version, request, |name| {
        let partition = topic.partition(partition_of(name, topic.partitions.len()));
        let leader = partition.and_then(|it| view.image.broker(it.leader?)).filter(|it| it.is_active());
        let leader = leader.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let (host, port) = reads::address(view, origin, leader);
        Ok((leader.id.0, host, port.into()))
    }))
}

fn answer(
    version: i16,
    request: &FindCoordinatorRequest,
    find: impl Fn(&str) -> Result<(i32, String, i32), ErrorCode>,
) -> FindCoordinatorResponse {
    let found = |key: &String| {
        let (error_code, (node_id, host, port)) = match find(key) {
            Ok(found) => (ErrorCode::None, found),
            Err(code) => (code, (-1, String::new(), -1)),
        };
        let error_code = error_code.code();
        Coordinator { key: key.clone(), node_id, host, port, error_code, error_message: None }
    };
    // Before version 4 there was one key to a request (KIP-699).
    if version < 4 {
        let Coordinator { node_id, host, port, error_code, error_message, .. } = found(&request.key);
        return FindCoordinatorResponse {
            error_code,
            error_message,
            node_id,
            host,
            port,
            ..FindCoordinatorResponse::default()
        };
    }
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.iter().map(found).collect(),
        ..FindCoordinatorResponse::default()
    }
}

/// A request for which the published view had no topic.
pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    origin: &Arc<Origin>,
    version: i16,
    request: FindCoordinatorRequest,
    out: &mut Vec<Effect>,
) {
    let asked = Request::FindCoordinator(request);
    if let Some(response) = reads::answer_from_view(&node.view(), origin, version, &asked) {
        return out.push(Effect::Reply { to, reply: Reply::Ready(response) });
    }
    let Request::FindCoordinator(request) = asked else { unreachable!("made a few lines above") };
    let Some(kind) = kind(request.key_type) else { unreachable!("the view answers what is no kind") };
    let finds = &mut node.coordinators.finds;
    finds.waiting.push(Find { to, origin: Arc::clone(origin), version, request });
    if finds.asked.insert(kind) {
        node.call_internal_topic(now, kind, out);
    }
}

fn created(reply: Decided) -> Vec<(String, Result<CreatedTopic, CreateTopicError>)> {
    match reply {
        Decided::CreateTopics(topics) => topics,
        _ => Vec::new(),
    }
}

/// The topic is made, or is not.
pub(crate) fn topic_made(
    node: &mut Node,
    now: Now,
    made: Kind,
    reply: Option<Decided>,
    out: &mut Vec<Effect>,
) {
    let finds = &mut node.coordinators.finds;
    finds.asked.remove(&made);
    for (topic, result) in reply.into_iter().flat_map(created) {
        // Somebody else may have been first, which is as good.
        if let Err(error) = result
            && !matches!(error, CreateTopicError::Exists { .. })
            && let Some(suppressed) = finds.refusals.allow(now.tick)
        {
            tracing::error!(topic, %error, suppressed, "a coordinator's topic cannot be made, and without it there is no coordinator");
        }
    }
    let is_answered = |find: &mut Find| kind(find.request.key_type) == Some(made);
    let answered: Vec<Find> = finds.waiting.extract_if(.., is_answered).collect();
    for Find { to, origin, version, request } in answered {
        let none = |request: &FindCoordinatorRequest| {
            answer(version, request, |_| Err(ErrorCode::CoordinatorNotAvailable))
        };
        let response = find(&node.view(), &origin, version, &request).unwrap_or_else(|| none(&request));
        out.push(Effect::Reply { to, reply: Reply::Ready(Response::FindCoordinator(response)) });
    }
}

impl Finds {
    pub(crate) fn forget(&mut self, connection: crate::ConnectionId) {
        self.waiting.retain(|find| find.to.connection != connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `Utils.abs(name.hashCode()) % 50` of Java.
    #[test]
    fn a_name_has_the_partition_that_kafka_gives_it() {
        let cases = [
            ("", 0),
            ("a", 47),
            ("group", 47),
            ("connect-cluster", 13),
            ("gruppe-ä", 48),
            ("polygenelubricants", 0),
        ];
        for (name, partition) in cases {
            assert_eq!(partition_of(name, 50), PartitionIndex(partition), "{name:?}");
        }
    }
}
