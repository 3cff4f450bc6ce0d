//! The thread on which the Raft runs, and what holds its parts together.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::Input;
use klamm_wire::{AppendOutcome, QuorumFrame, QuorumMessage};
use openraft::{
    Config, Raft, ServerState, SnapshotPolicy,
    metrics::RaftServerMetrics,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Member, Setup,
    detector::{Detector, LEASE, ROUND, Situation, Wish},
    disk::{self, Busy, Job},
    links::{Links, Wired},
    machine::Machine,
    network::Network,
    seat::{Seat, View},
    store::{Memory, Store},
    types::{
        Address, Command, PROPOSAL_BYTES, Proposal, Types, broker, from_ballot, from_point, from_wire,
        raft_id, to_ballot, to_point,
    },
};
use crate::engines::{Members, Order, QuorumLink, RaftEnds, with_waiting};

/// An answer to entries is waited for so long, the other node's sync included. It is also the time between openraft's own heartbeats, by which a follower that was
/// away is found; the signs of life that matter are the detector's.
const ANSWER_MS: u64 = 500;
/// Writes that are under way at the same time. What comes meanwhile goes together in the next.
const WRITES_MAX: usize = 4;
/// Of one write, unless a single proposal has more.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// After a claim that failed.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);
/// A leader whose disk is at one job for so long leaves the lead to others.
const DISK_PATIENCE: Duration = Duration::from_secs(3);
/// Orders that are taken at once.
const ORDERS_MAX: usize = 256;
/// Questions of one connection that are not answered yet. openraft asks one thing after another, and repeats what took too long.
const QUESTIONS_MAX: usize = 32;

/// Something happened on this thread.
#[derive(Debug)]
pub(super) enum Event {
    /// There is a connection to a node.
    Up(BrokerId),
    /// The node's port refuses: there is no such process.
    Refused(BrokerId),
    /// An answer to a beat.
    Beaten { from: BrokerId, term: u64, sent_ms: u64 },
    /// An answer to a pre-vote.
    PreVoted { from: BrokerId, round: u64, is_granted: bool },
    /// A claim was applied, or was not.
    Claimed { token: u64, is_done: bool },
    /// The same of proposals, of which the last was of this epoch.
    Written { epoch: ControllerEpoch, is_done: bool },
}

/// Until it is told to stop. Tells whether all of the log is on disk.
pub(super) fn run(mut setup: Setup) -> bool {
    let log = setup.opened.log.take();
    let world = disk::World {
        fail: Box::new(|_| {}),
        operated: Box::new(|_, _| {}),
        files: Arc::clone(&setup.world.files),
        data_dir: setup.world.data_dir.clone(),
    };
    let world = std::mem::replace(&mut setup.world, world);
    let disk = match disk::start(log, world) {
        Ok(disk) => disk,
        Err(error) => {
            tracing::error!(%error, "cannot start the thread that writes metadata");
            return false;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            // All tasks end with it, and with them whoever could give the disk more to do.
            let local = LocalSet::new();
            local.block_on(&runtime, drive(setup, disk.jobs, disk.busy));
        }
        Err(error) => tracing::error!(%error, "cannot start the thread of the quorum"),
    }
    disk.thread.join().unwrap_or_else(|_| {
        tracing::error!("the thread that writes metadata had panicked");
        false
    })
}

async fn drive(setup: Setup, jobs: std::sync::mpsc::Sender<Job>, busy: Arc<Busy>) {
    let Setup { opened, found, greet, ends, tell, seed, cut, .. } = setup;
    let RaftEnds { mut orders, links: new_links, members } = ends;
    let me = opened.me;
    let store = Store::new(Memory::new(opened.entries, opened.kept), jobs);
    let seat = Rc::new(RefCell::new(Seat::new(me, tell)));
    let (events, happened) = mpsc::unbounded_channel();
    let cut: super::links::Cut = match cut {
        Some(cut) => Rc::new(move |to| cut(to)),
        None => Rc::new(|_| false),
    };
    let links = Links::new(greet, events.clone(), cut);
    let machine = Machine::new(Rc::clone(&seat));
    let started = async {
        store.ask(Job::Start).await.map_err(|error| error.to_string())?;
        let network = Network(Rc::clone(&links));
        let raft = Raft::new(raft_id(me), Arc::new(config()), network, store.clone(), machine);
        raft.await.map_err(|error| error.to_string())
    };
    match started.await {
        Ok(raft) => {
            let hub = Rc::new(Hub {
                me,
                start: Instant::now(),
                metrics: raft.server_metrics(),
                raft,
                store,
                seat,
                detector: RefCell::new(Detector::new(me, seed, Duration::ZERO)),
                links,
                members,
                events,
            });
            if let Some(members) = found {
                hub.found(members).await;
            }
            let driver = Driver {
                hub: Rc::clone(&hub),
                busy,
                pending: VecDeque::new(),
                writes: 0,
                token: seed,
                no_claim_before: Duration::ZERO,
                situation: Situation::default(),
            };
            driver.run(orders, new_links, happened).await;
            hub.end().await;
        }
        Err(error) => {
            tracing::error!(error, "the quorum's engine does not start");
            // The disk's thread has told why. Nothing is left but to wait until somebody stops.
            while !matches!(orders.recv().await, Some(Order::Stop) | None) {}
        }
    }
}

/// What the timers mean is in the detector: elections come from there alone, so `election_timeout_min` is how long an answer to a vote is waited for, and
/// `election_timeout_max` the lease.
fn config() -> Config {
    let lease_ms = LEASE.as_millis() as u64;
    Config {
        cluster_name: "klamm".to_owned(),
        heartbeat_interval: ANSWER_MS,
        election_timeout_min: lease_ms - 1,
        election_timeout_max: lease_ms,
        max_payload_entries: 4096,
        snapshot_policy: SnapshotPolicy::Never,
        enable_elect: false,
        ..Config::default()
    }
}

/// The parts, for tasks that answer other nodes too.
struct Hub {
    me: BrokerId,
    start: Instant,
    raft: Raft<Types>,
    metrics: watch::Receiver<RaftServerMetrics<u64, Address>>,
    store: Store,
    seat: Rc<RefCell<Seat>>,
    detector: RefCell<Detector>,
    links: Rc<Links>,
    members: Members,
    events: mpsc::UnboundedSender<Event>,
}

impl Hub {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn happened(&self, event: Event) {
        // Nobody listens only when all of it ends.
        let _ = self.events.send(event);
    }

    async fn found(&self, members: Vec<Member>) {
        let nodes: BTreeMap<u64, Address> = members
            .into_iter()
            .map(|it| (raft_id(it.id), Address { directory: it.directory, host: it.host, port: it.port }))
            .collect();
        // The first election is asked for at once.
        self.know(nodes.iter());
        match self.raft.initialize(nodes).await {
            Ok(()) => tracing::info!("the quorum is founded"),
            Err(error) => tracing::warn!(%error, "the quorum was founded before"),
        }
    }

    /// These are the members.
    fn know<'a>(&self, nodes: impl Iterator<Item = (&'a u64, &'a Address)>) {
        let nodes: BTreeMap<BrokerId, Address> =
            nodes.map(|(id, address)| (broker(*id), address.clone())).collect();
        *self.members.lock() = nodes.iter().map(|(id, address)| (*id, address.directory)).collect();
        self.links.set(nodes.into_iter().filter(|(id, _)| *id != self.me));
    }

    async fn end(&self) {
        self.links.hang_up();
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the quorum's engine had panicked");
        }
    }

    fn take_link(self: &Rc<Self>, link: QuorumLink) {
        let QuorumLink { socket, from, directory, read } = link;
        if !self.links.is_empty() && !self.links.is_member(from, directory) {
            tracing::warn!(node = %from, %directory, "it is no member of the quorum, or has another disk: not listened to");
            return;
        }
        let wired = TcpStream::from_std(socket).and_then(|it| Wired::new(it, BytesMut::from(&read[..])));
        match wired {
            Ok(wired) => {
                let (hub, open) = (Rc::clone(self), Rc::new(Cell::new(0)));
                let answer = move |frame, out| hub.answer(from, frame, out, &open);
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

    fn ask_for_pre_votes(self: &Rc<Self>, round: u64, situation: &Situation) {
        let voters: BTreeSet<BrokerId> = situation.voters.iter().flatten().copied().collect();
        let message = QuorumMessage::PreVote { term: situation.term, last: self.store.last() };
        for peer in voters.into_iter().filter(|it| *it != self.me) {
            let (hub, message) = (Rc::clone(self), message.clone());
            spawn_local(async move {
                let Some(link) = hub.links.peer(peer) else { return };
                let answer = timeout(ROUND, link.ask(message)).await;
                if let Ok(Ok(QuorumMessage::PreVoted { is_granted })) = answer {
                    hub.happened(Event::PreVoted { from: peer, round, is_granted });
                }
            });
        }
    }

    /// Writes a command; openraft orders commands as they are given to it here.
    async fn write(&self, command: Command, told: impl FnOnce(bool) -> Event + 'static) {
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

struct Driver {
    hub: Rc<Hub>,
    busy: Arc<Busy>,
    /// Proposals of the epoch that this node leads.
    pending: VecDeque<Proposal>,
    writes: usize,
    token: u64,
    no_claim_before: Duration,
    situation: Situation,
}

impl Driver {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut links: mpsc::Receiver<QuorumLink>,
        mut happened: mpsc::UnboundedReceiver<Event>,
    ) {
        let mut metrics = self.hub.metrics.clone();
        let mut has_failed = false;
        self.look(&mut metrics);
        loop {
            self.settle().await;
            let due = self.hub.start + self.hub.detector.borrow().due();
            tokio::select! {
                order = orders.recv() => {
                    let first = order.or(Some(Order::Stop));
                    for order in with_waiting(first, || orders.try_recv().ok(), ORDERS_MAX) {
                        match order {
                            Order::Input(input) => self.take(input),
                            Order::Stop => return,
                            #[cfg(test)]
                            Order::Crash => return self.hub.store.crash(),
                        }
                    }
                }
                Some(link) = links.recv() => self.hub.take_link(link),
                changed = async { if has_failed { pending().await } else { metrics.changed().await } } => {
                    // The Raft has ended by itself: its disk has failed, which was told.
                    has_failed = changed.is_err();
                    self.look(&mut metrics);
                }
                Some(event) = happened.recv() => {
                    self.note(event).await;
                    while let Ok(event) = happened.try_recv() {
                        self.note(event).await;
                    }
                }
                () = sleep_until(due) => {}
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Propose { epoch, payload } if self.hub.seat.borrow().leading() == Some(epoch) => {
                self.pending.push_back(Proposal { epoch, payload });
            }
            Input::Propose { .. } => {}
            Input::OfferSnapshot(snapshot) => self.hub.seat.borrow_mut().offer(snapshot),
        }
    }

    /// The Raft is another than before.
    fn look(&mut self, metrics: &mut watch::Receiver<RaftServerMetrics<u64, Address>>) {
        let seen = metrics.borrow_and_update().clone();
        let membership = seen.membership_config.membership();
        let leader = seen.current_leader.map(broker);
        let is_other = leader != Some(self.hub.me);
        let situation = Situation {
            term: seen.vote.leader_id.term,
            leader: leader.filter(|_| is_other || seen.state == ServerState::Leader),
            voters: membership
                .get_joint_config()
                .iter()
                .map(|set| set.iter().map(|it| broker(*it)).collect())
                .collect(),
        };
        // Whoever was told who founds it has not written it yet.
        if membership.nodes().next().is_some() {
            self.hub.know(membership.nodes());
        }
        if let Some(leader) = situation.leader.filter(|it| Some(*it) != self.situation.leader) {
            tracing::info!(term = situation.term, %leader, "the quorum has a leader");
        }
        self.hub.detector.borrow_mut().is_now(self.hub.now(), &situation);
        self.situation = situation;
    }

    async fn note(&mut self, event: Event) {
        let (hub, now) = (&self.hub, self.hub.now());
        match event {
            Event::Up(peer) => {
                let is_elected = {
                    let mut detector = hub.detector.borrow_mut();
                    detector.connected(peer);
                    detector.is_elected()
                };
                if is_elected {
                    // It may have missed something, and would wait for it.
                    let _ = hub.raft.trigger().heartbeat().await;
                }
            }
            Event::Refused(peer) => hub.detector.borrow_mut().refused(now, peer),
            Event::Beaten { from, term, sent_ms } => {
                hub.detector.borrow_mut().acked(from, term, Duration::from_millis(sent_ms));
            }
            Event::PreVoted { from, round, is_granted } => {
                let mut wishes = Vec::new();
                hub.detector.borrow_mut().answered(now, round, from, is_granted, &mut wishes);
                self.fulfil(wishes).await;
            }
            Event::Claimed { token, is_done } => {
                if !is_done {
                    self.no_claim_before = now + CLAIM_PAUSE;
                }
                // What was applied made this node leader, unless somebody else leads by now.
                hub.seat.borrow_mut().claim_failed(token);
            }
            Event::Written { epoch, is_done } => {
                self.writes -= 1;
                if !is_done {
                    hub.seat.borrow_mut().proposal_failed(epoch);
                    self.no_claim_before = now + CLAIM_PAUSE;
                }
            }
        }
    }

    /// Does what is to be done by now.
    async fn settle(&mut self) {
        let now = self.hub.now();
        let mut wishes = Vec::new();
        let view = {
            let mut detector = self.hub.detector.borrow_mut();
            detector.stalls(DISK_PATIENCE < self.busy.for_how_long());
            if detector.due() <= now {
                detector.wake(now, &mut wishes);
            }
            View { term: self.situation.term, leader: self.situation.leader, leads: detector.leads(now) }
        };
        self.hub.seat.borrow_mut().look(view);
        self.fulfil(wishes).await;
        let claim = {
            let mut seat = self.hub.seat.borrow_mut();
            (seat.wants_claim() && self.no_claim_before <= now).then(|| {
                self.token = self.token.wrapping_add(1);
                seat.claim(self.token)
            })
        };
        if let Some(claim) = claim {
            let token = self.token;
            self.hub.write(claim, move |is_done| Event::Claimed { token, is_done }).await;
        }
        self.propose().await;
    }

    async fn fulfil(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Ask { round } => self.hub.ask_for_pre_votes(round, &self.situation),
                Wish::Elect => {
                    tracing::info!(term = self.situation.term + 1, "standing for election");
                    let _ = self.hub.raft.trigger().elect().await;
                }
                Wish::Beat { leads } => {
                    let sent_ms = self.hub.now().as_millis() as u64;
                    let term = self.situation.term;
                    self.hub.links.tell_all(&QuorumMessage::Beat { term, leads, sent_ms });
                }
            }
        }
    }

    async fn propose(&mut self) {
        let leading = self.hub.seat.borrow().leading();
        self.pending.retain(|it| Some(it.epoch) == leading);
        while self.writes < WRITES_MAX && !self.pending.is_empty() {
            let mut size = 0;
            let mut proposals: Vec<Proposal> = Vec::new();
            while let Some(next) = self.pending.pop_front_if(|next| {
                size += next.payload.len() + PROPOSAL_BYTES;
                size <= WRITE_BYTES_MAX || proposals.is_empty()
            }) {
                proposals.push(next);
            }
            let epoch = proposals[0].epoch;
            self.writes += 1;
            let command = Command::Proposals(proposals);
            self.hub.write(command, move |is_done| Event::Written { epoch, is_done }).await;
        }
    }
}
