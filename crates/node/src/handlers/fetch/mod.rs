//! Fetch: consumers read below the high watermark, or the last stable offset, at the leader or at a follower near them. A fetch that finds too little is parked.
//! Followers have feeds ([`crate::feeds`]).

use klamm_model::{BrokerId, ErrorCode};
use klamm_replica::Isolation;
use klamm_wire::{FetchRequest, FetchResponse, Response};

use crate::{
    ConnectionId, Effect, Listener, Now, Reply, ReplyTo, feeds,
    fetch_sessions::{Continued, EPOCH_FINAL, EPOCH_FULL, SessionId},
    node::Node,
    waiters::WaiterId,
};

mod nearest;
mod plan;
pub(crate) mod wanted;

use plan::Plan;
use wanted::Wanted;

/// A fetch that found too little and waits for more.
#[derive(Debug)]
pub(crate) struct FetchWaiter {
    pub(crate) to: ReplyTo,
    fetch: Fetch,
}

/// What becomes of the list of partitions after the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Session {
    /// It is dropped.
    None,
    /// A new session shall keep it.
    New,
    /// It belongs to this one. The answer has only what changed.
    Kept(SessionId),
}

#[derive(Debug)]
struct Fetch {
    connection: ConnectionId,
    isolation: Isolation,
    version: i16,
    bytes_min: u64,
    bytes_max: u32,
    /// `client.rack`; empty where its reader did not say, or readers are not sent anywhere.
    rack: String,
    session: Session,
    wanted: Wanted,
}

pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    listener: Listener,
    version: i16,
    request: FetchRequest,
    out: &mut Vec<Effect>,
) {
    let refused = match (follower_of(&request, version), listener) {
        (None, _) => None,
        (Some(follower), Listener::Broker) => return feeds::handle(node, now, to, follower, &request, out),
        (Some(_), Listener::Client) => Some(ErrorCode::ClusterAuthorizationFailed),
    };
    let wait_ms =
        u64::try_from(request.max_wait_ms).unwrap_or(0).min(u64::from(node.config.fetch_wait_max_ms));
    let fetch = match refused {
        Some(code) => Err(code),
        None => Fetch::new(node, now, to.connection, version, request, out),
    };
    let mut fetch = match fetch {
        Ok(fetch) => fetch,
        Err(error) => {
            let response = FetchResponse { error_code: error.code(), ..FetchResponse::default() };
            out.push(Effect::Reply { to, reply: Reply::Ready(Response::Fetch(response)) });
            return;
        }
    };
    let plan = Plan::new(now.tick, &mut fetch, node);
    let parked_partitions = node.parked_partitions + fetch.wanted.partitions.len();
    let may_park = parked_partitions <= node.config.fetch_parked_partitions_max;
    if wait_ms == 0 || !may_park || fetch.wanted.partitions.is_empty() || plan.is_enough(&fetch) {
        plan.send(now, to, fetch, node, out);
        return;
    }
    let parked = FetchWaiter { to, fetch };
    let id = node.fetch_waiters.next_id();
    parked.register(node, id);
    if let Session::Kept(session) = parked.fetch.session {
        node.fetch_sessions.lend(session, id);
    }
    node.fetch_waiters.park(now.tick.after_ms(wait_ms), parked);
}

/// Consumers that know that followers answer, too, say their racks (KIP-392).
const VERSION_WITH_RACKS: i16 = 11;

/// Tries a parked fetch again; `last` answers it with whatever there is.
pub(crate) fn retry(node: &mut Node, now: Now, id: WaiterId, last: bool, out: &mut Vec<Effect>) {
    let Some((deadline, mut parked)) = node.fetch_waiters.take(id) else { return };
    let plan = Plan::new(now.tick, &mut parked.fetch, node);
    if last || plan.is_enough(&parked.fetch) {
        parked.unregister(node, id);
        let FetchWaiter { to, fetch } = parked;
        plan.send(now, to, fetch, node, out);
    } else {
        node.fetch_waiters.put_back(id, deadline, parked);
    }
}

/// What a reader wants to see of transactions (KIP-98).
pub(super) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

/// The follower that fetches, `None` for a consumer; the field moved in version 15.
fn follower_of(request: &FetchRequest, version: i16) -> Option<BrokerId> {
    let id = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    (id >= 0).then_some(BrokerId(id))
}

impl FetchWaiter {
    /// Enters it where it is to be woken.
    fn register(&self, node: &mut Node, id: WaiterId) {
        node.parked_partitions += self.fetch.wanted.partitions.len();
        self.for_each_list(node, |list| list.push(id));
    }

    /// The opposite: lists hold only fetches that are parked.
    fn unregister(&self, node: &mut Node, id: WaiterId) {
        node.parked_partitions -= self.fetch.wanted.partitions.len();
        self.for_each_list(node, |list| list.retain(|it| *it != id));
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn abandon(self, node: &mut Node, id: WaiterId) {
        self.unregister(node, id);
        if let Session::Kept(session) = self.fetch.session {
            node.fetch_sessions.give_back(session, self.fetch.wanted);
        }
    }

    fn for_each_list(&self, node: &mut Node, mut change: impl FnMut(&mut Vec<WaiterId>)) {
        for key in self.fetch.wanted.keys() {
            if let Some(hosted) = node.hosted.get_mut(&key) {
                change(&mut hosted.consumers);
            }
        }
    }
}

impl Fetch {
    fn new(
        node: &mut Node,
        now: Now,
        connection: ConnectionId,
        version: i16,
        mut request: FetchRequest,
        out: &mut Vec<Effect>,
    ) -> Result<Self, ErrorCode> {
        let isolation = isolation(request.isolation_level);
        let bytes_max = u32::try_from(request.max_bytes).unwrap_or(0).min(node.config.fetch_bytes_max);
        // Nobody gets more than the maximum, so nobody waits for more either.
        let bytes_min = u64::try_from(request.min_bytes).unwrap_or(0).min(u64::from(bytes_max));
        let mut rack = std::mem::take(&mut request.rack_id);
        if !node.config.reads_in_racks
            || version < VERSION_WITH_RACKS
            || node.config.rack.as_ref() == Some(&rack)
        {
            rack.clear();
        }
        let (session, wanted) = wanted(node, now, version, request, out)?;
        Ok(Self { connection, isolation, version, bytes_min, bytes_max, rack, session, wanted })
    }
}

/// What is to be read, as the request and its session say (KIP-227).
fn wanted(
    node: &mut Node,
    now: Now,
    version: i16,
    request: FetchRequest,
    out: &mut Vec<Effect>,
) -> Result<(Session, Wanted), ErrorCode> {
    let (id, epoch) = (SessionId(request.session_id), request.session_epoch);
    let by_id = version >= 13;
    if matches!(epoch, EPOCH_FULL | EPOCH_FINAL) {
        node.fetch_sessions.close(id);
        let session = if epoch == EPOCH_FULL { Session::New } else { Session::None };
        return Ok((session, Wanted::new(node, request.topics, by_id)));
    }
    // Its reader went on without waiting for the answer. The list is needed here, so the answer is what there is.
    if let Some(parked) = node.fetch_sessions.parked(id, epoch) {
        retry(node, now, parked, true, out);
    }
    let topics = request.topics;
    let forgotten = &request.forgotten_topics_data;
    let wanted = node.continue_session(now.tick, Continued { id, epoch, by_id, topics, forgotten })?;
    if wanted.partitions.is_empty() {
        node.fetch_sessions.close(id);
        return Ok((Session::None, wanted));
    }
    Ok((Session::Kept(id), wanted))
}
