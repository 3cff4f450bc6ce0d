//! What the tests of several engines stand on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as sync,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use klamm_log::Files;
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{
    Description, Entry, Filter, Input, Output, Peer, Proposer, Snapshot, VoterChange, VoterError,
    contract::{Engines, Witness},
    raft_log::DIRECTORY,
    snapshot::FILE_NAME,
};
use klamm_wire::{Greeting, GreetingPurpose};
use uuid::Uuid;

use crate::engines::{
    Engine, Order, Orders, QuorumLink,
    raft::{
        Greet, Member, OpenedRaft, RaftConfig, RaftError, Setup, data_dir, disk, driver, open,
        snapshot::RaftSnapshot, vote,
    },
};

/// Of every node here.
pub(super) const METADATA_FORM: i16 = 5;

/// Nothing that a test waits for takes longer, also on a machine with other things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn open_at(path: &std::path::Path, me: BrokerId) -> Result<OpenedRaft, RaftError> {
    let files = Arc::new(Files::open(path).expect("the directory can be used"));
    open(RaftConfig { me, files })
}

/// A node's place: its directory and its port stay while its processes come and go.
struct Site {
    place: tempfile::TempDir,
    port: u16,
    running: Option<Running>,
    incarnation: u64,
    /// How much longer than it should each operation of its disk takes.
    slow_ms: Arc<AtomicU64>,
}

struct Running {
    engine: Engine,
    thread: thread::JoinHandle<bool>,
    listener: thread::JoinHandle<()>,
    is_closing: Arc<AtomicBool>,
}

/// Pairs of which nothing gets from the one to the other.
type Cuts = Arc<Mutex<BTreeSet<(BrokerId, BrokerId)>>>;

/// The engines of those that run, as whoever asks at their ports finds them.
type Doors = Arc<Mutex<BTreeMap<BrokerId, Engine>>>;

/// Connections, and who took them.
type Sockets = Arc<Mutex<Vec<(BrokerId, TcpStream)>>>;

/// What a node was told since it started.
#[derive(Default)]
pub(super) struct Told {
    pub(super) leads: Option<ControllerEpoch>,
    pub(super) leader: Option<BrokerId>,
    pub(super) entries: Vec<Entry>,
    /// How many entries it had been told when it first heard whom to ask.
    pub(super) live_at: Option<usize>,
    pub(super) resigned_count: usize,
    /// The newest snapshot.
    pub(super) snapshot: Option<Snapshot>,
    filter: Filter,
    /// How it sees the others, as it was told last.
    pub(super) peers: Vec<Peer>,
    /// The longest that one of them was silent for while this one led.
    pub(super) silent_ms: u64,
    described: Option<Description>,
    changed: Option<Result<(), VoterError>>,
    proposer: Option<Proposer>,
}

pub(super) struct Cluster {
    sites: BTreeMap<BrokerId, Site>,
    cuts: Cuts,
    sockets: Sockets,
    doors: Doors,
    outputs: sync::Receiver<(BrokerId, u64, Output)>,
    told_to: sync::Sender<(BrokerId, u64, Output)>,
    pub(super) witness: Witness,
    pub(super) told: BTreeMap<BrokerId, Told>,
    seed: u64,
}

pub(super) fn directory(id: BrokerId) -> Uuid {
    Uuid::from_u128(id.0.unsigned_abs().into())
}

/// How a process of a node greets.
pub(super) fn greeting(id: BrokerId, incarnation: u64, purpose: GreetingPurpose) -> Greeting {
    Greeting {
        purpose,
        node: id,
        directory: directory(id),
        incarnation: Uuid::from_u128(incarnation.into()),
        cluster_id: Some("c".to_owned()),
        founder: None,
        level: METADATA_FORM,
        may_vote: true,
        address: None,
        refused: None,
    }
}

impl Site {
    fn new(port: u16) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        Self { place, port, running: None, incarnation: 0, slow_ms: Arc::default() }
    }
}

impl Cluster {
    /// The first founds it.
    pub(super) fn new(count: i32, seed: u64) -> Self {
        let (mut cluster, listeners) = Self::places(count, seed);
        let members: Vec<Member> = cluster.members();
        for (id, listener) in listeners {
            let found = (id == BrokerId(1)).then(|| members.clone());
            cluster.start_on(id, listener, found);
        }
        cluster
    }

    /// Of one node, with what `prepare` has put on its disk.
    pub(super) fn prepared(seed: u64, prepare: impl FnOnce(&mut Witness, &std::path::Path, &Member)) -> Self {
        let (mut cluster, listeners) = Self::places(1, seed);
        let own = cluster.members().remove(0);
        let path = cluster.path(own.id);
        prepare(&mut cluster.witness, &path, &own);
        for (id, listener) in listeners {
            cluster.start_on(id, listener, None);
        }
        cluster
    }

    fn places(count: i32, seed: u64) -> (Self, BTreeMap<BrokerId, TcpListener>) {
        let (told_to, outputs) = sync::channel();
        let mut listeners = BTreeMap::new();
        let mut sites = BTreeMap::new();
        for id in (1..=count).map(BrokerId) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            listeners.insert(id, listener);
            sites.insert(id, Site::new(port));
        }
        let cluster = Self {
            sites,
            cuts: Cuts::default(),
            sockets: Sockets::default(),
            doors: Doors::default(),
            outputs,
            told_to,
            witness: Witness::default(),
            told: BTreeMap::new(),
            seed,
        };
        (cluster, listeners)
    }

    fn members(&self) -> Vec<Member> {
        let member = |(id, site): (&BrokerId, &Site)| Member {
            id: *id,
            directory: directory(*id),
            host: "127.0.0.1".to_owned(),
            port: site.port,
        };
        self.sites.iter().map(member).collect()
    }

    fn member(&self, id: BrokerId) -> Member {
        self.members().into_iter().find(|it| it.id == id).expect("a node")
    }

    /// Another node starts, which is no member and knows of none.
    pub(super) fn arrive(&mut self) -> BrokerId {
        let id = BrokerId(self.sites.len() as i32 + 1);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.sites.insert(id, Site::new(listener.local_addr().expect("an address").port()));
        self.start_on(id, listener, None);
        id
    }

    /// It asks that node, again and again, to be let in; until it is, where it is, as the leader says.
    pub(super) fn let_in(&mut self, id: BrokerId, at: BrokerId, leader: BrokerId) {
        let began = Instant::now();
        loop {
            self.knock(id, at);
            let quorum = self.until_described(leader, "it is described", |_| true);
            if address(&quorum, id).is_some_and(|it| it == self.port(id)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{quorum:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// It asks that node once to be let in.
    pub(super) fn knock(&self, id: BrokerId, at: BrokerId) {
        let own = self.member(id);
        self.sites[&at].running.as_ref().expect("it runs").engine.let_in(own);
    }

    /// A node wants other voters; what its engine says.
    pub(super) fn change(&mut self, id: BrokerId, change: VoterChange) -> Result<(), VoterError> {
        self.input(id, Input::ChangeVoters(change));
        self.until("a change of voters is answered", |it| it.told[&id].changed.is_some());
        self.told.get_mut(&id).expect("it runs").changed.take().expect("it is there")
    }

    /// The same, and it is not waited for.
    pub(super) fn begin_change(&self, id: BrokerId, change: VoterChange) {
        self.input(id, Input::ChangeVoters(change));
    }

    pub(super) fn ids(&self) -> Vec<BrokerId> {
        self.sites.keys().copied().collect()
    }

    pub(super) fn running(&self) -> Vec<BrokerId> {
        self.sites.iter().filter(|(_, site)| site.running.is_some()).map(|(id, _)| *id).collect()
    }

    /// All but some.
    pub(super) fn others(&self, but: &[BrokerId]) -> Vec<BrokerId> {
        self.ids().into_iter().filter(|id| !but.contains(id)).collect()
    }

    pub(super) fn path(&self, id: BrokerId) -> PathBuf {
        self.sites[&id].place.path().to_owned()
    }

    /// Starts a node that is not running.
    pub(super) fn start(&mut self, id: BrokerId) {
        let port = self.sites[&id].port;
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("its port is free again");
        self.start_on(id, listener, None);
    }

    /// One that is not running will listen on another port.
    pub(super) fn move_away(&mut self, id: BrokerId) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let site = self.sites.get_mut(&id).expect("a node");
        assert!(site.running.is_none(), "node {id} runs");
        site.port = listener.local_addr().expect("an address").port();
    }

    pub(super) fn port(&self, id: BrokerId) -> u16 {
        self.sites[&id].port
    }

    /// Somebody says to that node that `id` is there.
    pub(super) fn say(&self, at: BrokerId, id: BrokerId, port: u16) {
        let own = self.member(id);
        self.sites[&at].running.as_ref().expect("it runs").engine.let_in(Member { port, ..own });
    }

    fn start_on(&mut self, id: BrokerId, listener: TcpListener, found: Option<Vec<Member>>) {
        let ask = self.asks(id);
        let own = self.member(id);
        let site = self.sites.get_mut(&id).expect("a node");
        assert!(site.running.is_none(), "node {id} runs");
        site.incarnation += 1;
        let incarnation = site.incarnation;
        let opened = open_at(site.place.path(), id).expect("what is on its disk can be used");
        let greet: Greet = Arc::new(move |purpose| greeting(id, incarnation, purpose));
        let (engine, ends) = Engine::raft();
        let (told_to, cuts) = (self.told_to.clone(), Arc::clone(&self.cuts));
        let pause = {
            let slow_ms = Arc::clone(&site.slow_ms);
            move || thread::sleep(Duration::from_millis(slow_ms.load(Ordering::Relaxed)))
        };
        self.doors.lock().expect("nobody panics with it").insert(id, engine.clone());
        self.seed += 1;
        let setup = Setup {
            world: disk::World {
                files: Arc::clone(&opened.files),
                data_dir: data_dir(&opened.files),
                snapshot_end: opened.snapshot_end(),
                operated: Box::new({
                    let pause = pause.clone();
                    move |_, _| pause()
                }),
                voted: Box::new(move |_| pause()),
                fail: Box::new(move |reason| panic!("node {id}: {reason}")),
            },
            opened,
            found,
            greet: Arc::clone(&greet),
            too_old: Arc::new(|_| None),
            ends,
            tell: Box::new(move |output| drop(told_to.send((id, incarnation, output)))),
            ask,
            seed: self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            own: Some(own),
            cut: Some(Arc::new(move |to| cuts.lock().expect("nobody panics with it").contains(&(id, to)))),
        };
        let thread = thread::spawn(move || driver::run(setup));
        let is_closing = Arc::new(AtomicBool::new(false));
        let (closing, taker) = (Arc::clone(&is_closing), engine.clone());
        let sockets = Arc::clone(&self.sockets);
        let keep = move |socket: &TcpStream| {
            let kept = socket.try_clone().map(|it| (id, it));
            sockets.lock().expect("nobody panics with it").extend(kept);
        };
        let listener = thread::spawn(move || accept(&listener, &closing, &greet, &taker, &keep));
        self.sites.get_mut(&id).expect("a node").running =
            Some(Running { engine, thread, listener, is_closing });
        self.told.insert(id, Told::default());
        self.witness.restarted(id);
    }

    /// Asks all that run, and that it gets through to, to let it in.
    fn asks(&self, id: BrokerId) -> Box<dyn FnMut() + Send> {
        let own = self.member(id);
        let (doors, cuts) = (Arc::clone(&self.doors), Arc::clone(&self.cuts));
        Box::new(move || {
            let cuts = cuts.lock().expect("nobody panics with it");
            for (to, engine) in &*doors.lock().expect("nobody panics with it") {
                if *to != id && !cuts.contains(&(id, *to)) && !cuts.contains(&(*to, id)) {
                    engine.let_in(own.clone());
                }
            }
        })
    }

    fn end(&mut self, id: BrokerId, order: Order) -> bool {
        let site = self.sites.get_mut(&id).expect("a node");
        let port = site.port;
        let Running { engine, thread, listener, is_closing } = site.running.take().expect("it runs");
        // From now on its port refuses.
        self.doors.lock().expect("nobody panics with it").remove(&id);
        is_closing.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", port)));
        listener.join().expect("the listener does not panic");
        engine.tell(order);
        let is_whole = thread.join().expect("the engine does not panic");
        self.sockets.lock().expect("nobody panics with it").retain(|(taker, _)| *taker != id);
        // What it said last died with it.
        site.incarnation += 1;
        is_whole
    }

    /// As a crash of the process.
    pub(super) fn kill(&mut self, id: BrokerId) {
        self.end(id, Order::Crash);
        self.told.remove(&id);
    }

    /// In order.
    pub(super) fn stop(&mut self, id: BrokerId) {
        assert!(self.end(id, Order::Stop), "all of its log is on disk");
        self.told.remove(&id);
    }

    /// From now on each operation of the node's disk takes so much longer.
    pub(super) fn slow_disk(&self, id: BrokerId, by_ms: u64) {
        self.sites[&id].slow_ms.store(by_ms, Ordering::Relaxed);
    }

    /// Nothing gets from the one to the other any more.
    pub(super) fn cut(&mut self, from: &[BrokerId], to: &[BrokerId]) {
        let mut cuts = self.cuts.lock().expect("nobody panics with it");
        cuts.extend(from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))));
    }

    /// Of all that there are.
    pub(super) fn break_connections(&self) {
        let sockets = std::mem::take(&mut *self.sockets.lock().expect("nobody panics with it"));
        // Some are gone already.
        sockets.iter().for_each(|(_, it)| drop(it.shutdown(Shutdown::Both)));
    }

    pub(super) fn heal(&mut self) {
        self.cuts.lock().expect("nobody panics with it").clear();
    }

    /// The next that an engine says.
    fn hear(&mut self, patience: Duration) -> Option<(BrokerId, Output)> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (id, incarnation, output) = self.outputs.recv_timeout(left).ok()?;
            if self.sites[&id].incarnation == incarnation {
                return Some((id, output));
            }
        }
    }

    /// Takes what engines say until it is as it should be.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let heard = self.hear(left);
            let (id, output) = heard.unwrap_or_else(|| panic!("{what}: not after {PATIENCE:?}"));
            self.witness.saw(id, &output);
            self.note(id, output);
        }
    }

    /// Looks again and again, for nobody tells of it.
    pub(super) fn until_on_disk(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
            if let Some((id, output)) = self.hear(Duration::from_millis(10)) {
                self.witness.saw(id, &output);
                self.note(id, output);
            }
        }
    }

    fn note(&mut self, id: BrokerId, output: Output) {
        let told = self.told.get_mut(&id).expect("it runs");
        match output {
            Output::Leader { epoch } => {
                told.leads = Some(epoch);
                let mut proposer = Proposer::new(epoch);
                let first = proposer.propose(b"begin");
                told.proposer = Some(proposer);
                self.input(id, first);
            }
            Output::NoLongerLeader => {
                (told.leads, told.proposer) = (None, None);
                told.resigned_count += 1;
            }
            Output::LeaderIs { leader, .. } => {
                told.leader = leader;
                if leader.is_some() {
                    told.live_at.get_or_insert(told.entries.len());
                }
            }
            Output::Committed(entry) => {
                told.filter.take(&entry).expect("entries are in order");
                told.entries.push(entry);
            }
            Output::Snapshot(snapshot) => {
                told.filter = Filter::at(snapshot.position);
                told.snapshot = Some(snapshot);
            }
            Output::VotersChanged(result) => told.changed = Some(result),
            Output::Described(quorum) => told.described = Some(quorum),
            Output::Peers(peers) => {
                told.silent_ms = peers.iter().map(|it| it.silent_ms).fold(told.silent_ms, u64::max);
                told.peers = peers;
            }
        }
    }

    pub(super) fn input(&self, id: BrokerId, input: Input) {
        self.sites[&id].running.as_ref().expect("it runs").engine.tell(Order::Input(input));
    }

    /// A node offers this as its state after all that it was told.
    pub(super) fn offer(&self, id: BrokerId, state: &[u8]) {
        let position = self.told[&id].filter.position();
        let state = Bytes::copy_from_slice(state);
        self.input(id, Input::OfferSnapshot(Snapshot { position, state }));
    }

    /// Asks a node how the quorum is, until that is as it should be.
    pub(super) fn until_described(
        &mut self,
        id: BrokerId,
        what: &str,
        is_so: impl Fn(&Description) -> bool,
    ) -> Description {
        let began = Instant::now();
        loop {
            self.input(id, Input::Describe);
            self.until("it is described", |it| it.told[&id].described.is_some());
            let described = self.told.get_mut(&id).expect("it runs").described.take().expect("it is there");
            if is_so(&described) {
                return described;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {described:?}");
            // Nobody tells of signs of life, by which it is known.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where a node is.
    pub(super) fn next_index(&self, id: BrokerId) -> u64 {
        self.told[&id].filter.position().next_index
    }

    /// The first entry of the Raft that a node has on its disk, and the first that is not in its snapshot, as soon as the snapshot is another than before.
    pub(super) fn kept(&self, id: BrokerId) -> Option<(u64, u64)> {
        let purged = vote::read(&self.path(id)).expect("it can be read")?.purged;
        let contents = std::fs::read(self.path(id).join(DIRECTORY).join(FILE_NAME)).ok()?;
        let snapshot = RaftSnapshot::from_bytes(contents.into()).expect("it is whole");
        Some((purged.map_or(0, |it| it.index + 1), snapshot.meta().last_log_id.map_or(0, |it| it.index + 1)))
    }

    /// Somebody leads; who.
    pub(super) fn leader(&mut self) -> BrokerId {
        self.leader_of(&self.ids())
    }

    /// One of these leads.
    pub(super) fn leader_of(&mut self, ids: &[BrokerId]) -> BrokerId {
        let leads = |it: &Self, id: &BrokerId| it.told.get(id).is_some_and(|told| told.leads.is_some());
        self.until("somebody leads", |it| ids.iter().any(|id| leads(it, id)));
        *ids.iter().find(|id| leads(self, id)).expect("one does")
    }

    /// The leader proposes something.
    pub(super) fn propose(&mut self, leader: BrokerId, records: &[u8]) {
        let told = self.told.get_mut(&leader).expect("it runs");
        let input = told.proposer.as_mut().expect("it leads").propose(records);
        self.input(leader, input);
    }

    /// Some number of entries, each known to these nodes before the next.
    pub(super) fn work(&mut self, leader: BrokerId, ids: &[BrokerId], count: usize) {
        for _ in 0..count {
            assert!(self.has_worked(leader, ids), "node {leader} leads no more");
        }
    }

    /// The same with whoever leads, of which there may be several until all know it; who did.
    pub(super) fn work_with_any(&mut self, ids: &[BrokerId]) -> BrokerId {
        loop {
            let leader = self.leader();
            if self.has_worked(leader, ids) {
                return leader;
            }
        }
    }

    /// Whether an entry of the leader has come to be known to these nodes. If it led no longer than that, nobody knows.
    fn has_worked(&mut self, leader: BrokerId, ids: &[BrokerId]) -> bool {
        let records = format!("{leader} {}", self.told[&leader].entries.len()).into_bytes();
        self.propose(leader, &records);
        let wanted: &[u8] = &records;
        self.until("an entry is committed everywhere", |it| {
            let knows = |id: &BrokerId| {
                let last = it.told[id].entries.last();
                last.is_some_and(|entry| &entry.payload[8..] == wanted)
            };
            ids.iter().all(knows) || it.told[&leader].leads.is_none()
        });
        self.told[&leader].leads.is_some()
    }

    /// Whether this one was told that the process of that one that runs now, or ran last, is gone.
    pub(super) fn sees_gone(&self, id: BrokerId, other: BrokerId) -> bool {
        self.told[&id].peers.iter().any(|it| it.id == other && it.is_gone)
    }

    /// How long that one has been silent for, as this one was told last.
    pub(super) fn sees_silent_ms(&self, id: BrokerId, other: BrokerId) -> Option<u64> {
        self.told[&id].peers.iter().find(|it| it.id == other).map(|it| it.silent_ms)
    }

    /// Whether it has a vote on its disk that is of that term.
    pub(super) fn has_voted(&self, id: BrokerId, term: u64) -> bool {
        vote::read(&self.path(id)).expect("it can be read").is_some_and(|it| it.vote.term == term)
    }

    /// As it is on the disk.
    pub(super) fn term(&self, id: BrokerId) -> u64 {
        vote::read(&self.path(id)).expect("it can be read").expect("it is there").vote.term
    }

    pub(super) fn last_term(&self) -> u64 {
        self.ids().into_iter().map(|id| self.term(id)).max().expect("there are nodes")
    }
}

/// At which port that one is called.
pub(super) fn address(quorum: &Description, id: BrokerId) -> Option<u16> {
    quorum.replicas.iter().find(|it| it.id == id)?.address.as_ref().map(|it| it.1)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for id in self.ids() {
            if self.sites[&id].running.is_some() && !thread::panicking() {
                self.kill(id);
            }
        }
    }
}

impl Engine {
    pub(super) fn is_raft(&self) -> bool {
        matches!(self.orders, Orders::Raft { .. })
    }
}

/// Greets whoever connects, and hands the connection on.
fn accept(
    listener: &TcpListener,
    is_closing: &AtomicBool,
    greet: &Greet,
    engine: &Engine,
    keep: &dyn Fn(&TcpStream),
) {
    assert!(engine.is_raft());
    while let Ok((mut socket, _)) = listener.accept() {
        if is_closing.load(Ordering::SeqCst) {
            return;
        }
        if let Some(link) = greeted(&mut socket, greet, engine) {
            socket.set_nonblocking(true).expect("a socket can be");
            let (from, directory) = link;
            keep(&socket);
            engine.take_link(QuorumLink { socket, from, directory, read: Vec::new() });
        }
    }
}

fn greeted(socket: &mut TcpStream, greet: &Greet, engine: &Engine) -> Option<(BrokerId, Uuid)> {
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut size = [0; 4];
    socket.read_exact(&mut size).ok()?;
    let mut frame = vec![0; i32::from_be_bytes(size).unsigned_abs().min(4096) as usize];
    socket.read_exact(&mut frame).ok()?;
    let greeting = Greeting::decode(Bytes::from(frame)).ok()?;
    assert_eq!(greeting.purpose, GreetingPurpose::Quorum);
    let refused = engine.refuses(greeting.node, greeting.directory);
    let is_refused = refused.is_some();
    let answer = Greeting { refused, ..greet(greeting.purpose) };
    socket.write_all(&answer.encode().ok()?).ok()?;
    (!is_refused).then_some((greeting.node, greeting.directory))
}

impl Engines for Cluster {
    fn nodes(&self) -> Vec<BrokerId> {
        self.ids()
    }

    fn input(&mut self, node: BrokerId, input: Input) {
        Self::input(self, node, input);
    }

    fn next(&mut self) -> Option<(BrokerId, Output)> {
        // While somebody leads, whoever drives this has things to propose; else it has to wait for an election.
        let somebody_leads = self.told.values().any(|it| it.leads.is_some());
        let (id, output) = self.hear(Duration::from_millis(if somebody_leads { 8 } else { 5_000 }))?;
        let told = self.told.get_mut(&id).expect("it runs");
        match &output {
            Output::Leader { epoch } => told.leads = Some(*epoch),
            Output::NoLongerLeader => told.leads = None,
            _ => {}
        }
        Some((id, output))
    }

    fn restart(&mut self, node: BrokerId) {
        self.kill(node);
        self.start(node);
    }
}
