//! Metadata that creates topics on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use klamm_cluster::{controller::Reply as Decided, topic_name};
use klamm_model::ErrorCode;
use klamm_wire::{MetadataRequest, Request, Response};

use super::reply;
use crate::{Effect, Now, Origin, ReplyTo, View, calls::MetadataAsked, errors::ToCode, node::Node, reads};

pub(crate) fn metadata(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    origin: &Arc<Origin>,
    version: i16,
    request: MetadataRequest,
    out: &mut Vec<Effect>,
) {
    let asked = MetadataAsked { to, origin: Arc::clone(origin), version, request };
    let view = node.view();
    if let Some(metadata) = read(&view, &asked) {
        return reply(to, metadata, out);
    }
    let mut missing: Vec<String> =
        reads::new_topics(&view, version, &asked.request).map(str::to_owned).collect();
    if !missing.is_empty() {
        missing.sort_unstable();
        missing.dedup();
        node.call_auto_create(now, asked, missing, out);
    } else if node.doubts.have_room() {
        node.doubts.wait(asked);
    } else {
        let metadata = read(&in_spite_of_doubts(view), &asked).expect("nothing else keeps it waiting");
        reply(to, metadata, out);
    }
}

fn read(view: &View, asked: &MetadataAsked) -> Option<Response> {
    let request = Request::Metadata(asked.request.clone());
    reads::answer_from_view(view, &asked.origin, asked.version, &request)
}

fn in_spite_of_doubts(view: View) -> View {
    View { doubted: BTreeSet::new(), ..view }
}

/// The topics are created, or will not be: the answer tells which are there.
pub(crate) fn auto_created(
    node: &mut Node,
    waiting: &MetadataAsked,
    reply: Option<Decided>,
    out: &mut Vec<Effect>,
) {
    let refused: BTreeMap<String, ErrorCode> = match reply {
        Some(Decided::CreateTopics(topics)) => topics
            .into_iter()
            .filter_map(|(name, result)| result.err().map(|error| (name, error.code())))
            // Somebody else created it first, which is as good.
            .filter(|(_, code)| *code != ErrorCode::TopicAlreadyExists)
            .collect(),
        _ => BTreeMap::new(),
    };
    let without_creating = MetadataRequest { allow_auto_topic_creation: false, ..waiting.request.clone() };
    // From version 4 on the flag counts; it says "do not create", whatever the version of the request was.
    let version = waiting.version.max(4);
    let asked = Request::Metadata(without_creating);
    let answer = reads::answer_from_view(&in_spite_of_doubts(node.view()), &waiting.origin, version, &asked);
    let Some(Response::Metadata(mut metadata)) = answer else {
        unreachable!("metadata that creates nothing is answered from the view");
    };
    for topic in &mut metadata.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        if topic.error_code != ErrorCode::UnknownTopicOrPartition.code() || topic_name::is_internal(name) {
            continue;
        }
        let refusal = refused.get(name).copied();
        // Not refused and not there yet: on its way, so the client asks again.
        topic.error_code = refusal.unwrap_or(ErrorCode::LeaderNotAvailable).code();
    }
    super::reply(waiting.to, Response::Metadata(metadata), out);
}
