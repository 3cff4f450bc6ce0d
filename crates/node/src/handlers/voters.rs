//! AddRaftVoter and RemoveRaftVoter: who decides what becomes of the metadata (KIP-853). The controller has its engine do it, which does one change at a time.
//!
//! Answers come when the change is committed. A request that is given up before takes nothing back: until the engine has told what became of it, the next waits.

use klamm_model::{BrokerId, ErrorCode, Tick};
use klamm_quorum::{VoterChange, VoterError};
use klamm_wire::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse, Request,
    Response,
};
use uuid::Uuid;

use super::reply;
use crate::{ConnectionId, Effect, Now, ReplyTo, errors::ToCode, handlers::held_ms, node::Node};

/// A request to remove one does not say how long it may take.
const REMOVE_MS: i32 = 30_000;

/// Which of the two was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Add,
    Remove,
}

/// A change that the engine was asked for.
#[derive(Debug)]
pub(crate) struct Changing {
    /// Who waits for it, if anybody still does, and until when.
    asker: Option<(ReplyTo, Change, Tick)>,
}

impl Changing {
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.asker.map(|(_, _, until)| until)
    }

    /// A closed connection wants no answer.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.asker = self.asker.filter(|(to, _, _)| to.connection != connection);
    }
}

pub(super) fn add(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    request: AddRaftVoterRequest,
    out: &mut Vec<Effect>,
) {
    if !node.metadata.is_controller() {
        return node.forward(to, version, Request::AddRaftVoter(request), out);
    }
    let (id, directory) = (BrokerId(request.voter_id), request.voter_directory_id);
    let asked = Asked {
        to,
        what: Change::Add,
        cluster_id: request.cluster_id,
        timeout_ms: request.timeout_ms,
        change: VoterChange::Add { id, directory },
    };
    begin(node, now, asked, out);
}

pub(super) fn remove(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    request: RemoveRaftVoterRequest,
    out: &mut Vec<Effect>,
) {
    if !node.metadata.is_controller() {
        return node.forward(to, version, Request::RemoveRaftVoter(request), out);
    }
    let (id, directory) = (BrokerId(request.voter_id), request.voter_directory_id);
    let asked = Asked {
        to,
        what: Change::Remove,
        cluster_id: request.cluster_id,
        timeout_ms: REMOVE_MS,
        change: VoterChange::Remove { id, directory },
    };
    begin(node, now, asked, out);
}

struct Asked {
    to: ReplyTo,
    what: Change,
    cluster_id: Option<String>,
    timeout_ms: i32,
    change: VoterChange,
}

fn begin(node: &mut Node, now: Now, asked: Asked, out: &mut Vec<Effect>) {
    let Asked { to, what, cluster_id, timeout_ms, change } = asked;
    if let Err((code, message)) = check(node, cluster_id.as_deref(), change) {
        return reply(to, answered(what, code, Some(message)), out);
    }
    let until = now.tick.after_ms(held_ms(timeout_ms));
    node.metadata.changing = Some(Changing { asker: Some((to, what, until)) });
    out.push(Effect::ChangeVoters(change));
}

fn check(node: &Node, cluster_id: Option<&str>, change: VoterChange) -> Result<(), (ErrorCode, String)> {
    let own = node.image.cluster_id().map(|it| &**it);
    if let Some(named) = cluster_id.filter(|it| Some(*it) != own) {
        let text = format!("this is cluster {}, not cluster {named}", own.unwrap_or("none"));
        return Err((ErrorCode::InconsistentClusterId, text));
    }
    let (VoterChange::Add { id, directory } | VoterChange::Remove { id, directory }) = change;
    if id < BrokerId(0) || directory == Uuid::nil() {
        let text = format!("there is no node {id} with the directory {directory}");
        return Err((ErrorCode::InvalidRequest, text));
    }
    let is_broker_only = node.image.broker(id).is_some_and(|it| !it.may_vote);
    if matches!(change, VoterChange::Add { .. }) && is_broker_only {
        let text = format!(
            "node {id} is registered as a broker only (process.roles), which has no vote; was it made a controller since, unregister the broker first"
        );
        return Err((ErrorCode::InvalidRequest, text));
    }
    if node.metadata.changing.is_some() {
        return Err((ErrorCode::RequestTimedOut, VoterError::Busy.to_string()));
    }
    Ok(())
}

/// The engine has told what became of the change.
pub(crate) fn changed(node: &mut Node, result: Result<(), VoterError>, out: &mut Vec<Effect>) {
    let Some(Changing { asker }) = node.metadata.changing.take() else { return };
    let Some((to, what, _)) = asker else { return };
    let code = result.as_ref().map_or_else(ToCode::code, |()| ErrorCode::None);
    reply(to, answered(what, code, result.err().map(|error| error.to_string())), out);
}

/// Nobody is held up for longer than he wanted.
pub(crate) fn time(node: &mut Node, now: Now, out: &mut Vec<Effect>) {
    let Some(changing) = &mut node.metadata.changing else { return };
    if let Some((to, what, _)) = changing.asker.take_if(|(_, _, until)| *until <= now.tick) {
        let text = "the change is not committed yet, and may be later: it needs a majority of the voters";
        reply(to, answered(what, ErrorCode::RequestTimedOut, Some(text.to_owned())), out);
    }
}

pub(crate) fn answered(what: Change, code: ErrorCode, error_message: Option<String>) -> Response {
    let error_code = code.code();
    match what {
        Change::Add => {
            Response::AddRaftVoter(AddRaftVoterResponse { error_code, error_message, ..Default::default() })
        }
        Change::Remove => Response::RemoveRaftVoter(RemoveRaftVoterResponse {
            error_code,
            error_message,
            ..Default::default()
        }),
    }
}
