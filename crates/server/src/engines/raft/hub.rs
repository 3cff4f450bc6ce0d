//! What the tasks on the Raft's thread share: they answer other nodes, and ask them.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::atomic::Ordering,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use klamm_model::BrokerId;
use klamm_quorum::VoterError;
use klamm_wire::{AppendOutcome, Ballot, QuorumFrame, QuorumMessage};
use openraft::{
    ChangeMembers, Raft,
    error::{ChangeMembershipError, ClientWriteError},
    metrics::RaftServerMetrics,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::spawn_local,
    time::{Instant, timeout},
};

use super::{
    Member,
    detector::{ANSWER_MAX, Detector, Situation},
    driver::Event,
    links::{Links, Wired},
    seat::Seat,
    snapshot::{Gathered, RaftSnapshot},
    store::Store,
    types::{
        Address, Command, Types, broker, from_ballot, from_point, from_wire, raft_id, to_ballot, to_point,
    },
};
use crate::engines::{IsLost, Members, QuorumLink};

/// Questions of one connection that are not answered yet. openraft asks one thing after another, and repeats what took too long.
const QUESTIONS_MAX: usize = 32;

/// The parts, for tasks that answer other nodes too.
pub(super) struct Hub {
    pub(super) me: BrokerId,
    pub(super) start: Instant,
    pub(super) raft: Raft<Types>,
    pub(super) metrics: watch::Receiver<RaftServerMetrics<u64, Address>>,
    pub(super) store: Store,
    pub(super) seat: Rc<RefCell<Seat>>,
    pub(super) detector: RefCell<Detector>,
    pub(super) links: Rc<Links>,
    pub(super) members: Members,
    pub(super) is_lost: IsLost,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Hub {
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn happened(&self, event: Event) {
        // Nobody listens only when all of it ends.
        let _ = self.events.send(event);
    }

    pub(super) async fn found(&self, members: Vec<Member>) {
        let nodes: BTreeMap<u64, Address> = members.iter().map(|it| (raft_id(it.id), it.address())).collect();
        // The first election is asked for at once.
        self.know(nodes.iter());
        match self.raft.initialize(nodes).await {
            Ok(()) => tracing::info!("the quorum is founded"),
            Err(error) => tracing::warn!(%error, "the quorum was founded before"),
        }
    }

    /// These are the members, and where to call them.
    pub(super) fn know<'a>(&self, nodes: impl Iterator<Item = (&'a u64, &'a Address)>) {
        let nodes: BTreeMap<BrokerId, Address> =
            nodes.map(|(id, address)| (broker(*id), address.clone())).collect();
        *self.members.lock() = nodes.iter().map(|(id, address)| (*id, Member::at(*id, address))).collect();
        self.detector.borrow_mut().sightings.keep(|id| nodes.contains_key(&id));
        self.links.set(nodes.into_iter().filter(|(id, _)| *id != self.me));
    }

    pub(super) async fn end(&self) {
        self.links.hang_up();
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the quorum's engine had panicked");
        }
    }

    pub(super) fn take_link(self: &Rc<Self>, link: QuorumLink) {
        let QuorumLink { socket, from, directory, read } = link;
        let takes_any = self.links.is_empty() || self.is_lost.load(Ordering::Relaxed);
        if !takes_any && !self.links.is_member(from, directory) {
            tracing::warn!(node = %from, %directory, "it is no member of the quorum, or has another disk: not listened to");
            return;
        }
        let wired = TcpStream::from_std(socket).and_then(|it| Wired::new(it, BytesMut::from(&read[..])));
        match wired {
            Ok(wired) => {
                let (hub, open) = (Rc::clone(self), Rc::new(Cell::new(0)));
                let gathered = RefCell::new(Gathered::default());
                let answer = move |frame, out| hub.answer(from, frame, out, &open, &gathered);
                spawn_local(Rc::clone(&self.links).serve(from, wired, answer));
            }
            Err(error) => tracing::warn!(node = %from, %error, "its connection cannot be used"),
        }
    }

    /// Answers a question of another node, at once or from a task. `false` if no engine would ask that.
    fn answer(
        self: &Rc<Self>,
        from: BrokerId,
        frame: QuorumFrame,
        out: mpsc::Sender<Bytes>,
        open: &Rc<Cell<usize>>,
        gathered: &RefCell<Gathered>,
    ) -> bool {
        let QuorumFrame { number, message } = frame;
        match message {
            QuorumMessage::Beat { term, leads, sent_ms } => {
                self.detector.borrow_mut().beat(self.now(), from, term, leads);
                let term = self.metrics.borrow().vote.leader_id.term;
                send(&out, number, QuorumMessage::Beaten { term, sent_ms });
            }
            QuorumMessage::PreVote { last, .. } => {
                let own = self.store.last();
                let is_granted = self.detector.borrow_mut().asked(self.now(), from, last, own);
                send(&out, number, QuorumMessage::PreVoted { is_granted });
            }
            QuorumMessage::Vote { vote, last } => {
                let request = VoteRequest::new(from_ballot(vote), last.map(from_point));
                self.in_a_task(number, out, open, async |hub: &Self| {
                    let answer = hub.raft.vote(request).await.ok()?;
                    Some(QuorumMessage::Voted {
                        vote: to_ballot(&answer.vote),
                        is_granted: answer.vote_granted,
                        last: answer.last_log_id.map(to_point),
                    })
                });
            }
            QuorumMessage::Append { vote, previous, committed, entries } => {
                let Ok(entries) = entries.into_iter().map(from_wire).collect::<Result<Vec<_>, _>>() else {
                    return false;
                };
                let request = AppendEntriesRequest {
                    vote: from_ballot(vote),
                    prev_log_id: previous.map(from_point),
                    entries,
                    leader_commit: committed.map(from_point),
                };
                self.in_a_task(number, out, open, async |hub: &Self| hub.append(request).await);
            }
            QuorumMessage::Snapshot { vote, size, at, bytes } => {
                let mut gathered = gathered.borrow_mut();
                if gathered.take(size, at, &bytes).is_none() {
                    send(&out, number, QuorumMessage::Failed);
                } else if let Some(whole) = gathered.whole() {
                    self.in_a_task(number, out, open, async move |hub: &Self| hub.install(vote, whole).await);
                } else {
                    let vote = to_ballot(&self.metrics.borrow().vote);
                    send(&out, number, QuorumMessage::SnapshotTaken { vote });
                }
            }
            QuorumMessage::Join { node, directory, host, port } => {
                let member = Member { id: node, directory, host, port };
                self.happened(Event::PassedOn { by: from, member });
            }
            _ => return false,
        }
        open.get() <= QUESTIONS_MAX
    }

    fn in_a_task<F>(self: &Rc<Self>, number: u64, out: mpsc::Sender<Bytes>, open: &Rc<Cell<usize>>, answer: F)
    where
        F: AsyncFnOnce(&Self) -> Option<QuorumMessage> + 'static,
    {
        let (hub, open) = (Rc::clone(self), Rc::clone(open));
        open.set(open.get() + 1);
        spawn_local(async move {
            send(&out, number, answer(&hub).await.unwrap_or(QuorumMessage::Failed));
            open.set(open.get() - 1);
        });
    }

    async fn append(&self, request: AppendEntriesRequest<Types>) -> Option<QuorumMessage> {
        if let Some(committed) = request.leader_commit {
            self.seat.borrow_mut().heard_of_committed(committed.index);
        }
        let outcome = match self.raft.append_entries(request).await.ok()? {
            AppendEntriesResponse::Success => AppendOutcome::Done,
            AppendEntriesResponse::PartialSuccess(upto) => AppendOutcome::Partly(upto.map(to_point)),
            AppendEntriesResponse::Conflict => AppendOutcome::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendOutcome::Deposed(to_ballot(&vote)),
        };
        if !matches!(outcome, AppendOutcome::Deposed(_)) {
            self.detector.borrow_mut().appended(self.now());
        }
        Some(QuorumMessage::Appended(outcome))
    }

    async fn install(&self, vote: Ballot, bytes: Bytes) -> Option<QuorumMessage> {
        let read = RaftSnapshot::from_bytes(bytes);
        let read = read.inspect_err(|error| tracing::error!(%error, "a snapshot came that is none")).ok()?;
        if let Some(last) = read.applied {
            self.seat.borrow_mut().heard_of_committed(last.index);
        }
        let answer = self.raft.install_full_snapshot(from_ballot(vote), read.to_openraft()).await.ok()?;
        Some(QuorumMessage::SnapshotTaken { vote: to_ballot(&answer.vote) })
    }

    pub(super) fn ask_for_pre_votes(self: &Rc<Self>, round: u64, situation: &Situation) {
        let voters: BTreeSet<BrokerId> = situation.voters.iter().flatten().copied().collect();
        let message = QuorumMessage::PreVote { term: situation.term, last: self.store.last() };
        for peer in voters.into_iter().filter(|it| *it != self.me) {
            let (hub, message) = (Rc::clone(self), message.clone());
            spawn_local(async move {
                let Some(link) = hub.links.peer(peer) else { return };
                let answer = timeout(ANSWER_MAX, link.ask(message)).await;
                if let Ok(Ok(QuorumMessage::PreVoted { is_granted })) = answer {
                    hub.happened(Event::PreVoted { from: peer, round, is_granted });
                }
            });
        }
    }

    /// Changes who is a member, in one entry or two. It is not given up halfway: two sets would go on deciding together.
    pub(super) fn change(self: &Rc<Self>, change: ChangeMembers<u64, Address>) {
        let hub = Rc::clone(self);
        spawn_local(async move {
            tracing::info!(?change, "the quorum changes");
            let result = match hub.raft.change_membership(change, true).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "the quorum has not changed, or nobody knows");
                    let inner = error.into_api_error();
                    let is_busy = |it: &ClientWriteError<u64, Address>| {
                        matches!(
                            it,
                            ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))
                        )
                    };
                    let is_busy = inner.as_ref().is_some_and(is_busy);
                    Err(if is_busy { VoterError::Busy } else { VoterError::Lost })
                }
            };
            hub.happened(Event::Changed(result));
        });
    }

    /// Writes a command; openraft orders commands as they are given to it here.
    pub(super) async fn write(&self, command: Command, told: impl FnOnce(bool) -> Event + 'static) {
        let events = self.events.clone();
        match self.raft.client_write_ff(command).await {
            Ok(answer) => {
                spawn_local(async move {
                    let is_done = matches!(answer.await, Ok(Ok(_)));
                    let _ = events.send(told(is_done));
                });
            }
            Err(_) => self.happened(told(false)),
        }
    }
}

fn send(out: &mpsc::Sender<Bytes>, number: u64, message: QuorumMessage) {
    if let Ok(frame) = (QuorumFrame { number, message }).encode() {
        // Who does not read gets no answer, and asks again by another connection.
        let _ = out.try_send(frame);
    }
}
