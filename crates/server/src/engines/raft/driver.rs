//! The thread on which the Raft runs, and what holds its parts together.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    future::pending,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{Input, Output, PAYLOAD_BYTES_MAX, VoterError};
use klamm_wire::QuorumMessage;
use openraft::{Config, Membership, Raft, ServerState, SnapshotPolicy, metrics::RaftServerMetrics};
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
    time::{Instant, sleep_until},
};

use super::{
    Member, Setup,
    detector::{Detector, LEASE, Situation, Wish},
    disk::{self, Busy, Job},
    finders::Finders,
    hub::Hub,
    links::Links,
    lost::Lost,
    machine::Machine,
    network::Network,
    progress::Progress,
    seat::{Seat, View},
    sightings::Greeted,
    store::{Memory, Store},
    types::{Address, Command, PROPOSAL_BYTES, Proposal, broker, raft_id},
    voters::{CAUGHT_UP_WITHIN, Next, UnderWay, Voters},
};
use crate::engines::{Order, QuorumLink, RaftEnds, with_waiting};

/// Between openraft's own heartbeats, by which a follower that missed something is found; the signs of life that matter are the detector's.
const HEARTBEAT_MS: u64 = 500;
/// Writes that are under way at the same time. What comes meanwhile goes together in the next.
const WRITES_MAX: usize = 4;
/// Of one write, unless a single proposal has more.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// Entries that are kept though a snapshot has them, for members that are not far behind.
const ENTRIES_KEPT: u64 = 100;
/// After a claim that failed.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);
/// A leader whose disk is at one job for so long leaves the lead to others.
pub(super) const DISK_PATIENCE: Duration = Duration::from_secs(3);
/// Between two times that a leader is told of members that were found elsewhere: what was sent may be lost. One to which the leader has a connection itself stays where it is.
const PASS_ON_EVERY: Duration = Duration::from_secs(1);
/// Orders that are taken at once.
const ORDERS_MAX: usize = 256;

/// Something happened on this thread.
#[derive(Debug)]
pub(super) enum Event {
    /// There is a connection to a node, and this process of it at the other end.
    Up(BrokerId, Greeted),
    /// The node's port refuses: there is no such process.
    Refused(BrokerId),
    /// A node has made a connection to this one.
    Called(BrokerId),
    /// An answer to a beat.
    Beaten { from: BrokerId, term: u64, sent_ms: u64 },
    /// An answer to a pre-vote.
    PreVoted { from: BrokerId, round: u64, is_granted: bool },
    /// A claim was applied, or was not.
    Claimed { token: u64, is_done: bool },
    /// Another node passes on that this one asks to be a member, or that it has found it there.
    PassedOn { by: BrokerId, member: Member },
    /// A change of members is committed, or is not.
    Changed(Result<(), VoterError>),
    /// The same of proposals, of which the last was of this epoch.
    Written { epoch: ControllerEpoch, is_done: bool },
}

/// Until it is told to stop. Tells whether all of the log is on disk.
pub(super) fn run(mut setup: Setup) -> bool {
    let log = setup.opened.log.take();
    let world = disk::World {
        fail: Box::new(|_| {}),
        snapshot_end: 0,
        operated: Box::new(|_, _| {}),
        voted: Box::new(|_| {}),
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
            let local = LocalSet::new();
            local.block_on(&runtime, drive(setup, disk.jobs, disk.busy));
            // All tasks end with it, and with them whoever could give the disk more to do. Whoever looks up a name may stay for a while.
            drop(local);
            runtime.shutdown_background();
        }
        Err(error) => tracing::error!(%error, "cannot start the thread of the quorum"),
    }
    disk.thread.join().unwrap_or_else(|_| {
        tracing::error!("the thread that writes metadata had panicked");
        false
    })
}

async fn drive(setup: Setup, jobs: std::sync::mpsc::Sender<Job>, busy: Arc<Busy>) {
    let Setup { opened, found, greet, too_old, ends, tell, ask, seed, own, cut, .. } = setup;
    let RaftEnds { mut orders, links: new_links, members, is_lost } = ends;
    let me = opened.me;
    let store = Store::new(Memory::new(opened.entries, opened.kept), jobs);
    let seat = Rc::new(RefCell::new(Seat::new(me, tell)));
    let (events, happened) = mpsc::unbounded_channel();
    let cut: super::links::Cut = match cut {
        Some(cut) => Rc::new(move |to| cut(to)),
        None => Rc::new(|_| false),
    };
    let links = Links::new(greet, too_old, events.clone(), cut);
    let machine = Machine::new(Rc::clone(&seat), store.clone(), opened.snapshot);
    let started = async {
        store.start().await.map_err(|error| error.to_string())?;
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
                is_lost,
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
                told_peers: None,
                passes_on_at: Duration::ZERO,
                progress: Progress::default(),
                voters: Voters::new(own),
                lost: Lost::default(),
                unfound: Lost::default(),
                finders: Finders::default(),
                ask,
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

/// Elections come from the detector alone, so of `election_timeout` only the maximum means something: the lease.
fn config() -> Config {
    let lease_ms = LEASE.as_millis() as u64;
    Config {
        cluster_name: "klamm".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: lease_ms - 1,
        election_timeout_max: lease_ms,
        max_payload_entries: 4096,
        // The node offers them.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        purge_batch_size: 1,
        enable_elect: false,
        ..Config::default()
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
    /// The epoch for which the node was told of others.
    told_peers: Option<ControllerEpoch>,
    /// When the leader is told again of members that were found elsewhere.
    passes_on_at: Duration,
    /// Of the others, as long as this node is elected.
    progress: Progress,
    voters: Voters,
    lost: Lost,
    /// The same, while this node leads and nobody calls it.
    unfound: Lost,
    finders: Finders,
    /// Has others asked to let this node in.
    ask: Box<dyn FnMut()>,
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
                            Order::Input(input) => self.take(input).await,
                            Order::LetIn(member) => self.let_in(member),
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

    async fn take(&mut self, input: Input) {
        if let Input::Propose { payload, .. } = &input {
            assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a proposal of {} bytes", payload.len());
        }
        match input {
            Input::Propose { epoch, payload } if self.hub.seat.borrow().leading() == Some(epoch) => {
                self.pending.push_back(Proposal { epoch, payload });
            }
            Input::Propose { .. } => {}
            Input::OfferSnapshot(snapshot) => {
                let is_newer = self.hub.seat.borrow_mut().offer(snapshot);
                if is_newer {
                    // It fails only where all of the Raft has, which is told elsewhere.
                    let _ = self.hub.raft.trigger().snapshot().await;
                }
            }
            Input::ChangeVoters(change) => {
                if let Err(error) = self.voters.ask(change) {
                    self.hub.seat.borrow_mut().say(Output::VotersChanged(Err(error)));
                }
            }
            Input::Registration(told) => self.voters.registration(told),
            Input::Describe => {
                let metrics = self.hub.raft.metrics();
                let described = self.progress.describe(self.hub.now(), self.hub.me, &metrics.borrow());
                self.hub.seat.borrow_mut().say(Output::Described(described));
            }
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
        self.know(membership);
        if let Some(leader) = situation.leader.filter(|it| Some(*it) != self.situation.leader) {
            tracing::info!(term = situation.term, %leader, "the quorum has a leader");
        }
        if situation.term != self.situation.term {
            self.progress.forget();
        }
        let mut detector = self.hub.detector.borrow_mut();
        // How long its vote took is what the next ones are likely to take. What is done may not be noted yet as that.
        self.note_disk(&mut detector);
        detector.is_now(self.hub.now(), &situation);
        drop(detector);
        self.situation = situation;
    }

    fn note_disk(&self, detector: &mut Detector) {
        let busy_for = self.busy.for_how_long();
        detector.disk(DISK_PATIENCE < busy_for, self.busy.of_late().max(busy_for));
    }

    /// Who the members are. Whoever was told who founds it has not written it yet.
    fn know(&self, members: &Membership<u64, Address>) {
        if members.nodes().next().is_some() {
            self.hub.know(members.nodes());
        }
    }

    async fn note(&mut self, event: Event) {
        let (hub, now) = (&self.hub, self.hub.now());
        match event {
            Event::Up(peer, greeted) => {
                let is_elected = {
                    let mut detector = hub.detector.borrow_mut();
                    detector.connected(now, peer, greeted);
                    detector.is_elected()
                };
                if is_elected {
                    // It may have missed something, and would wait for it.
                    let _ = hub.raft.trigger().heartbeat().await;
                }
            }
            Event::Refused(peer) => hub.detector.borrow_mut().refused(now, peer),
            Event::Called(from) => self.finders.called(from),
            Event::Beaten { from, term, sent_ms } => {
                hub.detector.borrow_mut().acked(now, from, term, Duration::from_millis(sent_ms));
                let metrics = hub.raft.metrics();
                self.progress.heard(now, from, &metrics.borrow());
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
            Event::PassedOn { by, member } => self.passed_on(now, by, member),
            Event::Changed(result) => {
                if result.is_err() {
                    self.no_claim_before = now + CLAIM_PAUSE;
                }
                if self.voters.ended() == Some(UnderWay::Asked) {
                    hub.seat.borrow_mut().say(Output::VotersChanged(result));
                }
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
            detector.changing(self.voters.is_under_way());
            self.note_disk(&mut detector);
            if detector.due() <= now {
                detector.wake(now, &mut wishes);
            }
            let leader = self.situation.leader.filter(|_| detector.has_leader(now));
            View { term: self.situation.term, leader, leads: detector.leads(now) }
        };
        self.hub.seat.borrow_mut().look(view);
        self.look_for_leader(now, view.leader);
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
        self.change_members(now);
        self.pass_on(now, view.leader);
        self.tell_of_peers(now);
    }

    /// Who hears of no leader may be a member no more, and nobody would tell it.
    fn look_for_leader(&mut self, now: Duration, leader: Option<BrokerId>) {
        let asks = self.lost.look(now, leader.is_some());
        let is_lost = self.lost.is_lost();
        let was_lost = self.hub.is_lost.swap(is_lost, Ordering::Relaxed);
        if is_lost && !was_lost {
            tracing::debug!(
                "no leader of the quorum is heard of: asking the nodes known here to be let in again"
            );
        }
        // Whoever leads hears of a leader, itself, and says nothing of where it is: after a start at another address nobody would find it.
        let is_unfound = leader == Some(self.hub.me) && !self.is_known() && self.callers(now).is_empty();
        let asks_to_be_found = self.unfound.look(now, !is_unfound);
        if asks || asks_to_be_found {
            (self.ask)();
        }
    }

    /// Whether the members know this node where it is.
    fn is_known(&self) -> bool {
        self.voters.knows_own(self.hub.metrics.borrow().membership_config.membership())
    }

    /// A node asks to be a member, which only who leads can make it, or is one and says where it is. What is passed on and lost is asked for again.
    fn let_in(&mut self, member: Member) {
        if self.is_member(member.id) {
            self.hub.links.says(&member);
        } else if self.hub.seat.borrow().leading().is_some() {
            self.voters.knock(member);
        } else if let Some(leader) = self.situation.leader {
            self.tell_of(leader, member);
        }
    }

    fn is_member(&self, id: BrokerId) -> bool {
        self.hub.metrics.borrow().membership_config.membership().get_node(&raft_id(id)).is_some()
    }

    /// Of this node too, which has said where it is before it led, or before it was started again.
    fn passed_on(&mut self, now: Duration, by: BrokerId, member: Member) {
        if self.voters.own() == Some(&member) {
            self.finders.told(now, by);
        } else {
            self.let_in(member);
        }
    }

    /// Members that are there and call this node.
    fn callers(&self, now: Duration) -> BTreeSet<BrokerId> {
        let detector = self.hub.detector.borrow();
        let is_one = |it: &BrokerId| self.is_member(*it) && !detector.sightings.is_away(now, *it);
        self.hub.links.callers().into_iter().filter(is_one).collect()
    }

    /// Members that are elsewhere than all know.
    fn found_elsewhere(&self, now: Duration) -> Vec<Member> {
        let mut found = self.hub.links.found_elsewhere();
        if !self.is_known() && self.finders.are_all(now, &self.callers(now)) {
            found.extend(self.voters.own().cloned());
        }
        found
    }

    fn tell_of(&self, leader: BrokerId, member: Member) {
        let Member { id: node, directory, host, port } = member;
        self.hub.links.tell(leader, &QuorumMessage::Join { node, directory, host, port });
    }

    /// Whoever leads writes where members are that this node has found elsewhere.
    fn pass_on(&mut self, now: Duration, leader: Option<BrokerId>) {
        let Some(leader) = leader.filter(|it| *it != self.hub.me && self.passes_on_at <= now) else { return };
        for member in self.hub.links.found_elsewhere() {
            self.passes_on_at = now + PASS_ON_EVERY;
            self.tell_of(leader, member);
        }
    }

    fn change_members(&mut self, now: Duration) {
        let leads = self.hub.seat.borrow().leading().is_some();
        if now < self.no_claim_before {
            // A change has just failed, and would fail again.
            return;
        }
        let found = if leads { self.found_elsewhere(now) } else { Vec::new() };
        let next = {
            let metrics = self.hub.metrics.borrow();
            let progress = &self.progress;
            let detector = self.hub.detector.borrow();
            let is_away = |id| detector.sightings.is_away(now, id);
            // Of a process that is gone it is known before it was silent for long.
            let has_caught_up = |id| {
                let ago = progress.caught_up_ago(now, id);
                id == self.hub.me || ago.is_some_and(|ago| ago < CAUGHT_UP_WITHIN) && !is_away(id)
            };
            self.voters.next(
                now,
                leads,
                metrics.membership_config.membership(),
                &found,
                has_caught_up,
                is_away,
            )
        };
        match next {
            Next::Nothing => {}
            Next::Refuse(error) => self.hub.seat.borrow_mut().say(Output::VotersChanged(Err(error))),
            Next::Change(change) => self.hub.change(change),
        }
    }

    /// Whoever leads hears how the others are: when it begins to, now and then, and when one of them is gone.
    fn tell_of_peers(&mut self, now: Duration) {
        let mut seat = self.hub.seat.borrow_mut();
        let leading = seat.leading();
        let is_first = leading != std::mem::replace(&mut self.told_peers, leading);
        if leading.is_some() {
            let mut detector = self.hub.detector.borrow_mut();
            if let Some(peers) = detector.sightings.report(now, is_first) {
                seat.say(Output::Peers(peers));
            }
        }
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
