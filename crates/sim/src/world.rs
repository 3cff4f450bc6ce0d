//! The world: three brokers, in some runs with controllers beside them, a network, a consensus engine, clients, and what goes wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use klamm_client::group::GroupProtocol;
use klamm_coordinator::record::TransactionState;
use klamm_log::{DiskAction, DiskOp};
use klamm_model::{BrokerId, PartitionIndex, TopicPartition};
use klamm_node::{Body, Effect, Event, Incoming, Listener, Reply, ReplyTo, Roles, answer_from_view, prepare};
use klamm_replica::Role;
use klamm_wire::{ApiKey, Part, Reader, Request, RequestHeader, Response, encode_response};

use crate::{
    BROKER_COUNT, CLIENT_COUNT, NODE_COUNT, broker_id,
    check::{Checker, Violation},
    client::{
        Admin, Client, ClientSabotage, Consumer, GroupPlan, Kind, Member, Place, Producer, Renewer, Scene,
        Teller, TopicPlan,
    },
    coverage::Coverage,
    dice::Dice,
    disk::{Disk, DiskSabotage, Loss},
    engine::{Engine, EngineSabotage, Step},
    faults::{AWAY, Fault, Plan},
    machine::{Machine, Settings},
    network::{Arrival, ConnectionSide, Network, Party, Question, joined},
    originals,
    roles::Layout,
    timeline::{Happening, Life, MS, SECOND, Timeline},
};

mod coordinators;
mod directories;
mod majority;
mod sent_away;
mod stops;
mod succession;

pub use coordinators::BrokerSabotage;
pub(crate) use stops::Exit;

/// Before that nothing goes wrong: a cluster comes up, topics are created.
const FAULTS_BEGIN: u64 = 2 * SECOND;
/// A run lasts at least so long.
const RUN_LEAST: u64 = 30 * SECOND;
/// So long after the faults everything works again (I25).
const RECOVERY_BOUND: u64 = 15 * SECOND;
/// A transaction that its producer does not end is open for less.
const TRANSACTION_MOST: u64 = 8 * SECOND;
/// So often, in percent, a node is not told at once of what its disk has done, and so long at most, in microseconds.
const TOLD_TOGETHER: u64 = 25;
const TOLD_TOGETHER_WITHIN_US: u64 = 100;
/// How long a broker waits for another's answer.
const PEER_PATIENCE: u64 = 2 * SECOND;

/// What is counted of a machine that is a controller or a broker only.
const KILLED: [&str; 2] =
    ["roles: controller killed that is no broker", "roles: broker killed that is no controller"];
const POWERLESS: [&str; 2] = [
    "roles: controller without power that is no broker",
    "roles: broker without power that is no controller",
];
const CUT_OFF: [&str; 2] =
    ["roles: controller cut off that is no broker", "roles: broker cut off that is no controller"];
const PAUSED: [&str; 2] =
    ["roles: controller paused that is no broker", "roles: broker paused that is no controller"];
const STOPPED: [&str; 2] =
    ["roles: controller stopped that is no broker", "roles: broker stopped that is no controller"];

/// As much at one moment is a loop that never ends.
pub(crate) const CROWD_MAX: u64 = 20_000;

/// What is done wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sabotage {
    /// By every replica.
    pub replica: klamm_replica::Sabotage,
    /// By every disk.
    pub disk: DiskSabotage,
    /// By the consensus engine.
    pub engine: EngineSabotage,
    /// By the clients.
    pub client: ClientSabotage,
    /// By the brokers, of whom the simulator asks something else than their clients do.
    pub broker: BrokerSabotage,
}

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Prints what happens.
    pub printed: bool,
    /// What is done wrong on purpose.
    pub sabotage: Sabotage,
    /// The kinds of faults there are; where none is given, the seed decides.
    pub faults: &'static [&'static str],
    /// What the clients do; where nothing is given, the seed decides.
    pub workload: Option<Workload>,
}

/// What the clients do besides reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// All who write do it without transactions.
    Records,
    /// Two of them write in transactions.
    Transfers,
    /// One writes, and three read as members of groups.
    Groups,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// What the code under test, or the simulator, said when it gave up.
    pub panic: Option<String>,
    /// Stands for everything that happened.
    pub trace_hash: u64,
    /// What the run met.
    pub coverage: Coverage,
    /// How much happened.
    pub event_count: u64,
    /// How long it lasted, in virtual microseconds.
    pub ended_at: u64,
    /// What to call the simulator with, besides the seed.
    pub command: &'static str,
}

impl Outcome {
    /// Whether nothing was broken.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.panic.is_none()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "seed {}: {} events in {} ms of virtual time",
            self.seed,
            self.event_count,
            self.ended_at / MS
        )?;
        for violation in &self.violations {
            let (seconds, micros) = (violation.at / SECOND, violation.at % SECOND);
            writeln!(f, "  {} is broken at {seconds}.{micros:06}: {}", violation.invariant, violation.what)?;
        }
        if let Some(panic) = &self.panic {
            writeln!(f, "  stopped: {panic}")?;
        }
        if !self.is_good() {
            writeln!(
                f,
                "  again, with everything that happened: cargo run -p klamm-sim -- {} --seed {} --trace",
                self.command, self.seed
            )?;
        }
        Ok(())
    }
}

/// Lives through one seed.
pub fn run(options: Options) -> Outcome {
    let mut world = World::new(options);
    let panic = panic_of(|| world.live());
    Outcome {
        seed: options.seed,
        violations: world.checker.violations().to_vec(),
        panic,
        trace_hash: world.timeline.trace.hash(),
        event_count: world.event_count,
        ended_at: world.timeline.now(),
        coverage: world.timeline.coverage,
        command: "--cluster",
    }
}

/// What the code under test, or the simulator, says if it gives up.
pub(crate) fn panic_of(live: impl FnOnce()) -> Option<String> {
    let payload = panic::catch_unwind(AssertUnwindSafe(live)).err()?;
    let text = payload.downcast_ref::<String>().cloned();
    Some(text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

struct World {
    timeline: Timeline,
    machines: Vec<Machine>,
    network: Network,
    engine: Engine,
    clients: Vec<Client>,
    /// Until when each stands still.
    standstills: [u64; CLIENT_COUNT],
    checker: Checker,
    settings: Settings,
    layout: Layout,
    plan: Plan,
    topics: Vec<TopicPlan>,
    heals_at: u64,
    is_healed: bool,
    /// Until then nothing goes wrong that has not already.
    calm_until: u64,
    /// Since when, and who asked for what meanwhile, while the quorum has no majority.
    majority_lost: Option<majority::Lost>,
    /// A coordinator whom nobody has succeeded yet.
    succession: Option<succession::Succession>,
    sabotage: Sabotage,
    event_count: u64,
    /// How much has happened at this moment.
    crowd: (u64, u64),
}

/// In half of the runs leaders go back every few seconds. Drawn by itself, so that seeds stay what they were.
fn balance_interval_ms(seed: u64) -> u64 {
    const SELDOM: u64 = 300_000;
    let mut dice = Dice::new(!seed);
    if dice.chance(50) { dice.between(1_000, 6_000) } else { SELDOM }
}

/// In half of the runs. Drawn by itself, too.
fn reads_in_racks(seed: u64) -> bool {
    Dice::new(seed.rotate_left(32)).chance(50)
}

/// In four runs of ten replicas that catch up get no more than so many bytes in a second, of topics that are drawn with it. Drawn by itself, too.
fn throttle(topics: &mut [TopicPlan], seed: u64) -> Option<u64> {
    let mut dice = Dice::new(seed.rotate_left(8));
    if !dice.chance(40) {
        return None;
    }
    for topic in topics {
        topic.is_throttled = dice.chance(70);
    }
    Some(dice.between(20_000, 100_000))
}

impl World {
    fn new(options: Options) -> Self {
        let Options { seed, printed, sabotage, faults, workload } = options;
        let mut timeline = Timeline::new(seed, printed);
        let dice = &mut timeline.dice;
        let settings = Settings {
            segment_ms: if dice.chance(70) { dice.between(500, 6000) } else { 3_600_000 },
            session_timeout_ms: dice.between(400, 1000),
            lag_time_max_ms: dice.between(600, 3000),
            fetch_wait_ms: dice.between(50, 500) as u32,
            group_session_ms: dice.between(600, 1500),
            internal_partitions: dice.between(1, 3),
            balance_interval_ms: balance_interval_ms(seed),
            reads_in_racks: reads_in_racks(seed),
            throttle_rate: None,
            snapshot_bytes: if dice.chance(70) { dice.between(200, 4000) } else { 20 << 20 },
            sabotage: sabotage.replica,
        };
        let mut topics = draw_topics(&mut timeline);
        let settings = Settings { throttle_rate: throttle(&mut topics, seed), ..settings };
        let drawn = match timeline.dice.below(10) {
            0..4 => Workload::Records,
            4..7 => Workload::Transfers,
            _ => Workload::Groups,
        };
        let workload = (workload.unwrap_or(drawn), settings.group_session_ms);
        if workload.0 == Workload::Records {
            loosen(&mut topics, seed);
        }
        let clients = draw_clients(&topics, workload, sabotage.client, &mut timeline.dice);
        let layout = Layout::draw(seed);
        let drawn = Plan::draw(&mut timeline.dice, layout.clone(), seed);
        let plan = if faults.is_empty() { drawn } else { Plan::of(faults, layout.clone()) };
        let is_relaxed = topics.iter().any(|plan| plan.is_relaxed);
        let plan = if is_relaxed { plan.without_failed_disks() } else { plan };
        let plan = if workload.0 == Workload::Records { plan.without_groups() } else { plan };
        let mut engine = Engine::new(layout.clone(), sabotage.engine);
        if timeline.dice.chance(60) {
            engine.set_unrest(Some(timeline.dice.between(SECOND, 6 * SECOND)));
        }
        let heals_at = timeline.dice.between(19 * SECOND, 23 * SECOND);
        let machine = |(node, roles): (usize, Roles)| {
            let log_dirs = if roles.broker { directories::count(seed) } else { 1 };
            Machine::new(node, roles, log_dirs, sabotage.disk, &mut timeline)
        };
        let machines = layout.iter().enumerate().map(machine).collect();
        Self {
            timeline,
            machines,
            network: Network::default(),
            engine,
            clients,
            standstills: [0; CLIENT_COUNT],
            checker: Checker::of(topics.iter().filter(|it| it.is_loose).map(|it| it.name.clone())),
            settings,
            layout,
            plan,
            topics,
            heals_at,
            is_healed: false,
            calm_until: 0,
            majority_lost: None,
            succession: None,
            sabotage,
            event_count: 0,
            crowd: (0, 0),
        }
    }

    fn live(&mut self) {
        for node in 0..self.machines.len() {
            let delay = self.timeline.dice.below(300 * MS);
            self.timeline.after(delay, Happening::Boots { node });
        }
        for client in &mut self.clients {
            client.start(&mut self.timeline);
        }
        self.timeline.at(FAULTS_BEGIN, Happening::Fault(Fault::Next));
        self.timeline.at(self.heals_at, Happening::Fault(Fault::Heal));
        self.timeline.at(self.heals_at + SECOND, Happening::Fault(Fault::CalmClients));
        self.live_until(self.heals_at + 2 * SECOND);
        let deadline = self.heals_at + RECOVERY_BOUND;
        let quiet = loop {
            self.live_until(self.timeline.now() + 200 * MS);
            let restless = self.what_is_not_quiet().map(|why| ("I25", why));
            match restless.or_else(|| Some(("I16", self.what_is_not_decided()?))) {
                None => break true,
                Some((invariant, why)) if deadline <= self.timeline.now() => {
                    self.checker.set_now(&self.timeline);
                    let what = format!("{} ms after the last fault: {why}", RECOVERY_BOUND / MS);
                    self.checker.findings.broken(invariant, what);
                    break false;
                }
                Some(_) => {}
            }
        };
        if quiet {
            self.timeline.coverage.add("ms to recover", (self.timeline.now() - self.heals_at) / MS);
        }
        self.live_until(RUN_LEAST);
        if quiet {
            self.wait_for_late_transactions();
            self.conclude();
        }
    }

    /// A request of the older protocol that comes when all was quiet may begin a transaction that nobody will end: its time is still to run out.
    fn wait_for_late_transactions(&mut self) {
        if self.what_is_not_decided().is_none() {
            return;
        }
        self.timeline.coverage.count("transaction begun by a late request, when all was quiet");
        let deadline = self.timeline.now() + TRANSACTION_MOST;
        let is_restless = |it: &Self| it.what_is_not_quiet().or_else(|| it.what_is_not_decided()).is_some();
        while self.timeline.now() < deadline && is_restless(self) {
            self.live_until(self.timeline.now() + 200 * MS);
        }
    }

    fn live_until(&mut self, end: u64) {
        while let Some(what) = self.timeline.next(end) {
            self.happen(what);
        }
    }

    /// The party whose process this concerns: it must wait while that one stands still.
    fn party_of(&self, what: &Happening) -> Option<usize> {
        match what {
            Happening::SyncBegins { life, .. }
            | Happening::DiskEnds { life, .. }
            | Happening::AnswerIsRead { life, .. }
            | Happening::Looked { life }
            | Happening::Loads { life, .. }
            | Happening::NodeWakes { life } => Some(life.node),
            Happening::Arrives { connection, at } => self.network.party_at(*connection, *at),
            Happening::CallerLooks { connection } => {
                let caller = self.network.party_at(*connection, ConnectionSide::Caller);
                caller.filter(|party| NODE_COUNT <= *party)
            }
            Happening::Engine(step) => Engine::node_of(step),
            Happening::ClientWakes { client } => Some(NODE_COUNT + client),
            Happening::Fault(Fault::StopWaiting { life }) => Some(life.node),
            Happening::Boots { .. } | Happening::Fault(_) => None,
        }
    }

    fn happen(&mut self, what: Happening) {
        match self.party_of(&what) {
            Some(node) if node < NODE_COUNT && self.machines[node].is_paused => {
                return self.machines[node].held_back.push(what);
            }
            Some(party) if NODE_COUNT <= party => {
                let until = self.standstills[party - NODE_COUNT];
                if self.timeline.now() < until {
                    return self.timeline.at(until, what);
                }
            }
            _ => {}
        }
        self.event_count += 1;
        self.crowd = if self.crowd.0 == self.timeline.now() {
            (self.crowd.0, self.crowd.1 + 1)
        } else {
            (self.timeline.now(), 0)
        };
        assert!(self.crowd.1 < CROWD_MAX, "time stands still: {what:?} and the like happen without end");
        self.checker.set_now(&self.timeline);
        match what {
            Happening::SyncBegins { life, op } => self.sync_begins(life, op),
            Happening::DiskEnds { life, job } => self.disk_ends(life, job),
            Happening::AnswerIsRead { life, to, reply } => self.answer_is_read(life, to, *reply),
            Happening::Looked { life } => {
                let machine = &self.machines[life.node];
                let spaces = machine.disk.spaces(machine.log_dirs());
                self.step(life, Event::Space(spaces));
            }
            Happening::Loads { life, load } => {
                let disk = &self.machines[life.node].disk;
                let read = &mut |segment, kind, position, buffer: &mut [u8]| {
                    disk.read_at(segment, kind, position, buffer)
                };
                let loaded = load.run(read);
                self.step(life, Event::Loaded(loaded));
            }
            Happening::NodeWakes { life } => {
                let now = self.timeline.now();
                if self.process(life).is_some_and(|process| process.woken(now)) {
                    self.step(life, Event::Tick);
                } else {
                    self.plan_wake(life);
                }
            }
            Happening::Arrives { connection, at } => {
                let mut arrivals = Vec::new();
                let lives = self.lives();
                self.network.arrive(connection, at, &lives, &mut self.timeline, &mut arrivals);
                self.arrived(arrivals);
            }
            Happening::CallerLooks { connection } => {
                let mut arrivals = Vec::new();
                self.network.look(connection, &mut self.timeline, &mut arrivals);
                self.arrived(arrivals);
            }
            Happening::Engine(step) => self.engine_goes_on(step),
            Happening::ClientWakes { client } => self.client(client, |client, scene| client.wake(scene)),
            Happening::Boots { node } => self.boot(node),
            Happening::Fault(fault) => self.fault(fault),
        }
    }

    fn process(&mut self, life: Life) -> Option<&mut crate::machine::Process> {
        self.machines[life.node].process.as_mut().filter(|process| process.life == life)
    }

    fn lives(&self) -> [Option<Life>; NODE_COUNT] {
        std::array::from_fn(|node| self.machines.get(node)?.life())
    }

    fn client(&mut self, client: usize, act: impl FnOnce(&mut Client, &mut Scene<'_>)) {
        let lives = self.lives();
        let mut scene = Scene {
            timeline: &mut self.timeline,
            network: &mut self.network,
            lives: &lives,
            checker: &mut self.checker,
        };
        act(&mut self.clients[client], &mut scene);
    }

    // ---- what reaches a node ----

    /// Lets a node take a step, and carries out what it wants.
    fn step(&mut self, life: Life, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            if self.process(life).is_none() {
                return;
            }
            self.note_event(life, &event);
            if let Event::Closed(connection) = &event {
                self.asks_no_more(connection.0);
            }
            let now = self.timeline.now();
            self.machines[life.node].step(now, event, &mut effects);
            for effect in effects.drain(..) {
                self.perform(life, effect, &mut events);
            }
        }
        let running = self.with_what_they_had();
        let Self { machines, checker: Checker { replicas, findings, .. }, timeline, .. } = self;
        if let Some(process) = &machines[life.node].process {
            replicas.observe(life, &process.node, running, findings, &mut timeline.coverage);
        }
        self.plan_wake(life);
        self.may_have_stopped(life);
    }

    fn plan_wake(&mut self, life: Life) {
        let now = self.timeline.now();
        if let Some(at) = self.process(life).and_then(|process| process.plan_wake(now)) {
            self.timeline.at(at, Happening::NodeWakes { life });
        }
    }

    fn note_event(&mut self, life: Life, event: &Event) {
        let timeline = &mut self.timeline;
        match event {
            Event::Request(incoming) => {
                let key = match &incoming.body {
                    Body::Produce(_) => ApiKey::Produce,
                    Body::Other(request) => request.api_key(),
                };
                let to = incoming.to;
                timeline.note(format_args!("{life} request {}:{} {key}", to.connection.0, to.sequence));
            }
            Event::Closed(connection) => timeline.note(format_args!("{life} closed {}", connection.0)),
            Event::Disk { partition, op, result } => {
                let outcome =
                    result.as_ref().map_or_else(|error| format!("FAILED: {error}"), |_| "done".into());
                timeline.note(format_args!("{life} disk {partition}/{} {outcome}", op.0));
            }
            Event::SyncBegins { partition, op } => {
                timeline.note(format_args!("{life} disk {partition}/{} begins", op.0));
            }
            Event::Quorum(output) => timeline.note(format_args!("{life} quorum {}", Shown(output))),
            Event::Peer { from, token, answer } => {
                let answer = answer.as_ref().map(Response::api_key);
                timeline.note(format_args!("{life} answer {token} of n{from}: {answer:?}"));
            }
            Event::Suspect(segment) => {
                let (partition, base) = (segment.partition.partition, segment.base);
                timeline.note(format_args!("{life} suspects {partition}/{base}"));
            }
            Event::Loaded(_) => timeline.note(format_args!("{life} loaded")),
            Event::Tick => timeline.note(format_args!("{life} tick")),
            Event::Space(_) => timeline.note(format_args!("{life} space")),
            Event::LogDirFailed(log_dir) => {
                timeline.note(format_args!("{life} lost directory {}", log_dir.0))
            }
            Event::Leaving => timeline.note(format_args!("{life} leaves")),
            Event::Stopping => timeline.note(format_args!("{life} stops")),
        }
    }

    fn perform(&mut self, life: Life, effect: Effect, events: &mut VecDeque<Event>) {
        match effect {
            Effect::Reply { to, reply: Reply::Ready(response) } => {
                if !self.is_let_go(life, to, &response) {
                    return;
                }
                if let Response::Produce(response) = &response {
                    self.note_sent_away(life, response);
                }
                self.answer(life, to, &response, |_| None);
            }
            Effect::Reply { to, reply } => {
                // Some thread of the shell does this when it gets to it; the node goes on meanwhile.
                let delay = if self.timeline.dice.chance(90) { 0 } else { self.timeline.dice.below(3 * MS) };
                let reply = Box::new(reply);
                self.timeline.after(delay, Happening::AnswerIsRead { life, to, reply });
            }
            Effect::NoReply { to } => self.network.answer(to, None, &mut self.timeline),
            // Who is dismissed is answered by the shell what it asked before. Here that is lost, as with a connection that breaks.
            ref ended @ (Effect::Dismiss { connection, .. } | Effect::Close { connection, .. }) => {
                if matches!(ended, Effect::Dismiss { .. }) {
                    self.timeline.coverage.count("producer that comes again dismissed");
                }
                if self.network.close(connection.0, &mut self.timeline) {
                    events.push_back(Event::Closed(connection));
                }
            }
            Effect::Disk(op) => self.begin_disk_work(life, op),
            Effect::Load(load) => {
                let delay = self.timeline.dice.between(50, 5 * MS);
                self.timeline.after(delay, Happening::Loads { life, load });
            }
            // Whoever stops asks nobody any more.
            Effect::Send { .. } if self.machines[life.node].life().is_none() => {}
            Effect::Send { to, token, request, version } => {
                let node = to.0 as usize;
                let question = Question {
                    caller: Party::Node(life),
                    lane: u8::from(request.api_key() == ApiKey::Fetch),
                    server: self.machines[node].life(),
                    node,
                    token,
                    request: &request,
                    version,
                    patience: PEER_PATIENCE,
                };
                self.network.ask(&question, &mut self.timeline);
            }
            Effect::OfferSnapshot { position, image } => {
                let snapshot = klamm_quorum::Snapshot { position, state: image.to_bytes() };
                self.engine.offer(snapshot, &mut self.timeline);
            }
            Effect::DescribeQuorum | Effect::ChangeVoters(_) => {
                panic!("{life} asks about the quorum, and nobody has asked it here")
            }
            Effect::Propose { epoch, payload } => {
                self.engine.propose(life, epoch, payload, &mut self.timeline)
            }
            Effect::Publish(view) => {
                if let Some(process) = self.process(life) {
                    process.is_open |= view.ready;
                    process.view = Some(view);
                }
            }
            Effect::LookAtSpace => {
                let delay = self.timeline.dice.between(50, 5 * MS);
                self.timeline.after(delay, Happening::Looked { life });
            }
            Effect::Refused(why) | Effect::Outdated(why) => panic!("{life} is refused: {why}"),
            // The quorum here is always of the same nodes.
            Effect::Registration(_) => {}
            Effect::Left { has_handed_over } => self.has_left(life, has_handed_over, events),
            Effect::AtRest(rest) => self.came_to_rest(life, rest),
        }
    }

    fn begin_disk_work(&mut self, life: Life, op: DiskOp) {
        if op.action == DiskAction::DeletePartition {
            let replica =
                self.machines[life.node].process.as_ref().and_then(|it| it.node.replica(op.partition));
            // What no replica was made of was looked at when the process started.
            if let Some(end) = replica.map(|it| it.log().end().raw()) {
                self.look_at_renewed(life.node, op.partition, end);
            }
        }
        self.checker.replicas.asked(life.node, &op, &mut self.timeline.coverage);
        match Disk::wait_for(&op, &mut self.timeline.dice) {
            Some(wait) => self.timeline.after(wait, Happening::SyncBegins { life, op }),
            None => self.disk_begins(life, op),
        }
    }

    fn disk_begins(&mut self, life: Life, op: DiskOp) {
        let (job, duration) = self.machines[life.node].disk.begin(op, &mut self.timeline);
        self.timeline.after(duration, Happening::DiskEnds { life, job });
    }

    /// A sync that has waited. Whoever breaks the rule says so when it ends.
    fn sync_begins(&mut self, life: Life, op: DiskOp) {
        if self.process(life).is_some() {
            if !self.sabotage.disk.tells_late {
                self.step(life, Event::SyncBegins { partition: op.partition, op: op.id });
            }
            self.disk_begins(life, op);
        }
    }

    /// No replica of a topic that was made anew has anything of the ones before it. Beyond its end a log may have what a crash left of a batch.
    fn look_at_renewed(&mut self, node: usize, partition: TopicPartition, end: i64) {
        if self.checker.replicas.is_renewed(partition.topic) {
            let bytes = self.bytes_at(node, partition);
            let Checker { renewals, replicas, findings, .. } = &mut self.checker;
            renewals.stored(node, partition, &bytes, end, replicas, findings);
        }
    }

    fn disk_ends(&mut self, life: Life, job: u64) {
        if self.process(life).is_none() {
            return;
        }
        let (partition, op, result) = self.machines[life.node].disk.end(job, &mut self.timeline.dice);
        if self.sabotage.disk.tells_late {
            self.step(life, Event::SyncBegins { partition, op });
        }
        if let (Err(_), Some(process)) = (&result, self.process(life)) {
            process.has_failures = true;
        }
        self.tell_disk(life, Event::Disk { partition, op, result });
    }

    /// Now and then it comes together with what is told next, as where a thread has done several things.
    fn tell_disk(&mut self, life: Life, event: Event) {
        if !self.timeline.dice.chance(TOLD_TOGETHER) {
            return self.step(life, event);
        }
        self.note_event(life, &event);
        if let Some(process) = self.process(life) {
            process.untold.push(event);
            self.timeline.coverage.count("disk told of together with something else");
            let soon = self.timeline.dice.between(0, TOLD_TOGETHER_WITHIN_US);
            self.timeline.after(soon, Happening::NodeWakes { life });
        }
    }

    fn answer(
        &mut self,
        life: Life,
        to: ReplyTo,
        response: &Response,
        mut fill: impl FnMut(u32) -> Option<Vec<u8>>,
    ) {
        let Some((correlation_id, version)) = self.network.head(to) else { return };
        let encoded = encode_response(correlation_id, version, response);
        let encoded = encoded.unwrap_or_else(|error| panic!("{life}: {response:?}: {error}"));
        let mut is_whole = true;
        let parts = encoded.parts.into_iter().map(|part| match part {
            Part::Hole { size, token } => {
                let filling = fill(token).filter(|filling| filling.len() == size as usize);
                is_whole &= filling.is_some();
                Part::Bytes(filling.unwrap_or_default().into())
            }
            part @ Part::Bytes(_) => part,
        });
        let parts = parts.collect();
        if is_whole {
            let frame = joined(parts, |_| unreachable!("holes are filled"));
            self.network.answer(to, Some(frame), &mut self.timeline);
        } else if self.network.close(to.connection.0, &mut self.timeline) {
            // The log was cut back meanwhile; a shell finds out when half of the answer is sent.
            self.timeline.coverage.count("answer given up because its records are gone");
            self.step(life, Event::Closed(to.connection));
        }
    }

    fn answer_is_read(&mut self, life: Life, to: ReplyTo, reply: Reply) {
        if self.process(life).is_none() {
            return;
        }
        let disk = &self.machines[life.node].disk;
        let found =
            reply.look(&mut |segment, kind, position, buffer| disk.read_at(segment, kind, position, buffer));
        let mut suspects = Vec::new();
        let (response, ranges) = reply.complete(found, &mut |segment| suspects.push(segment));
        let fillings: Vec<Option<Vec<u8>>> = ranges
            .iter()
            .map(|range| {
                let mut filling = vec![0; range.range.len()];
                let position = u64::from(range.range.start);
                let size =
                    disk.read_at(range.segment, klamm_log::FileKind::Log, position, &mut filling).ok()?;
                (size == filling.len()).then_some(filling)
            })
            .collect();
        self.answer(life, to, &response, |token| fillings[token as usize].clone());
        for segment in suspects {
            self.step(life, Event::Suspect(segment));
        }
    }

    fn arrived(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            match arrival {
                Arrival::Request { life, connection, frame, is_late } => {
                    self.request(life, connection, frame, is_late);
                }
                Arrival::Closed { life, connection } => {
                    self.step(life, Event::Closed(klamm_node::ConnectionId(connection)));
                }
                Arrival::Answer { caller: Party::Node(life), server, token, answer } => {
                    let from = crate::broker_id(server);
                    self.step(life, Event::Peer { from, token, answer });
                }
                Arrival::Answer { caller: Party::Client(client), server, token, answer } => {
                    let kind = answer.as_ref().map(Response::api_key);
                    self.timeline.note(format_args!("c{client} answer {token} of n{server}: {kind:?}"));
                    self.client(client, |client, scene| client.answered(scene, server, token, answer));
                }
            }
        }
    }

    /// What a shell does with a frame.
    fn request(&mut self, life: Life, connection: u64, frame: bytes::Bytes, is_late: bool) {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).expect("the header of a request can be read");
        let (key, version) = (header.api_key, header.api_version);
        let request = Request::decode(key, version, &mut reader);
        let mut request = request.unwrap_or_else(|error| panic!("{key} {version}: {error}"));
        reader.finish().expect("a request has no bytes after it");
        if is_late {
            self.timeline.coverage.count(coordinators::late(&request));
            if let Request::OffsetCommit(commit) = &request {
                self.checker.transfers.commit_came_late(&commit.group_id);
            }
        }
        let (to, origin) = self.network.open(connection, header.correlation_id, version);
        let Some(process) = self.process(life) else { return };
        let is_open = process.is_open || origin.listener == Listener::Broker;
        let Some(view) = process.view.clone().filter(|_| is_open) else {
            // A shell does not listen before its node serves.
            if self.network.close(connection, &mut self.timeline) {
                self.step(life, Event::Closed(to.connection));
            }
            return;
        };
        if origin.listener != Listener::Broker {
            self.is_asked(life, to, key);
        }
        assert!(
            origin.listener == Listener::Broker || key.is_served(version),
            "{key} {version} is not served"
        );
        if let Some(response) = self.tamper(life, &mut request) {
            self.answer(life, to, &response, |_| None);
            return;
        }
        if let Some(response) = answer_from_view(&view, &origin, version, &request) {
            self.answer(life, to, &response, |_| None);
            return;
        }
        let body = prepare(request, &view, self.machines[life.node].wall(self.timeline.now()));
        self.step(
            life,
            Event::Request(Incoming { to, origin: Arc::clone(&origin), version, client_id: None, body }),
        );
    }

    fn engine_goes_on(&mut self, step: Step) {
        let goes_on = |node: usize| self.machines.get(node).is_some_and(|it| !it.is_paused);
        let runs = |node: usize| goes_on(node) && self.machines[node].life().is_some();
        let hears = std::array::from_fn(|one| {
            std::array::from_fn(|other| match one == other {
                true => goes_on(one),
                false => {
                    let is_cut = self.network.is_cut(one, other) || self.network.is_cut(other, one);
                    runs(one) && runs(other) && !is_cut
                }
            })
        });
        let told = self.engine.step(step, &hears, &mut self.timeline);
        let Checker { replicas, findings, .. } = &mut self.checker;
        let processes = std::array::from_fn(|node| {
            self.machines.get(node)?.process.as_ref().map(|process| process.incarnation)
        });
        replicas.committed(self.engine.sequence(), &processes, findings, &mut self.timeline);
        for id in self.checker.replicas.take_fenced() {
            let machine = &self.machines[id.0 as usize];
            if machine.process.is_some() && !machine.is_paused {
                self.timeline.coverage.count("broker fenced that lives");
            }
            if self.plan.is_calm() {
                self.timeline.coverage.count("needless failover");
            }
        }
        self.look_at_succession();
        for (life, output) in told {
            self.checker.replicas.told(life, &output, &mut self.checker.findings);
            self.step(life, Event::Quorum(output));
        }
    }

    // ---- machines come and go ----

    fn boot(&mut self, node: usize) {
        if self.machines[node].process.is_some() {
            return;
        }
        let (life, recovered, damaged) = self.machines[node].boot(&self.settings, &mut self.timeline);
        self.timeline.note(format_args!("{life} starts with {} logs", recovered.len()));
        for (partition, end) in recovered {
            let coverage = &mut self.timeline.coverage;
            self.checker.replicas.recovered(node, partition, &self.machines[node].disk, end, coverage);
            self.look_at_renewed(node, partition, end.raw());
            if self.checker.replicas.newest_image().topic(partition.topic).is_none() {
                self.timeline.coverage.count("renewed topic: start finds one that is gone");
            }
        }
        for damage in damaged {
            self.timeline.note(format_args!("{life} {} is damaged: {}", damage.partition, damage.why));
            // A disk that lies about syncs is beyond what recovery can make good: it is right to refuse.
            if !self.sabotage.disk.fsync_lies {
                let what = format!(
                    "{life}: recovery of {} refuses what an honest disk has: {}",
                    damage.partition, damage.why
                );
                self.checker.findings.broken("I19", what);
            }
        }
        let incarnation = self.machines[node].incarnation;
        self.engine.started(life, incarnation, &mut self.timeline);
        self.step(life, Event::Tick);
    }

    /// Which machines run a process that has all that its replicas ever said they have, as far as the metadata know.
    fn with_what_they_had(&self) -> [bool; NODE_COUNT] {
        let is_relaxed = self.topics.iter().any(|plan| plan.is_relaxed);
        std::array::from_fn(|node| {
            let Some(machine) = self.machines.get(node) else { return false };
            let may_lack = is_relaxed || machine.has_lost_directory;
            machine.process.as_ref().is_some_and(|process| {
                !may_lack || self.checker.replicas.has_said_what_it_lacks(node, process.incarnation)
            })
        })
    }

    /// Whether a machine may not end, as what is committed would be nowhere, or nobody would know where.
    fn is_one_too_many(&mut self, node: usize) -> bool {
        let why = if self.layout.is_controller_only(node) {
            return false;
        } else if !self.may_end() {
            "relaxed: a crash too many is left out"
        } else if self.is_last_beside_lost_directories(node) {
            "directory: a crash too many is left out"
        } else {
            return false;
        };
        self.timeline.coverage.count(why);
        true
    }

    /// Whether a machine may end where topics are relaxed: not where the last one that did is missing still.
    fn may_end(&self) -> bool {
        let image = self.checker.replicas.newest_image();
        let relaxed =
            self.topics.iter().filter(|plan| plan.is_relaxed).filter_map(|it| image.topic_named(&it.name));
        let mut partitions = relaxed.flat_map(|topic| &topic.partitions).peekable();
        if partitions.peek().is_none() {
            return true;
        }
        let takes_part = |node: usize| image.broker(crate::broker_id(node)).is_some_and(|it| it.is_active());
        let running = self.with_what_they_had();
        (0..BROKER_COUNT).all(|node| running[node] && takes_part(node))
            && partitions.all(|it| it.isr.len() == it.replicas.len())
    }

    /// Somebody leads wherever somebody runs who has all committed records.
    fn look_for_leaders(&mut self) {
        let image = self.checker.replicas.newest_image();
        for (at, partition) in image.partitions().filter(|(_, it)| it.leader.is_none()) {
            let mut have_all = partition.isr.iter().chain(&partition.elr);
            if have_all.any(|id| self.machines[id.0 as usize].process.is_some()) {
                let what = format!("{at} has no leader long after the power came back: {partition:?}");
                self.checker.findings.broken("I25", what);
            }
        }
    }

    fn crash(&mut self, node: usize, loss: Loss, down: u64) {
        if self.is_one_too_many(node) {
            return;
        }
        self.count_held_back(node);
        let Some(process) = self.machines[node].process.take() else { return };
        let life = process.life;
        let is_prepared = |state| state != TransactionState::Ongoing;
        if self.undecided_at(node, is_prepared).is_some() {
            self.timeline.coverage.count("coordinator ends between a decision and its marks");
        }
        let is_waited_for = |it: &Client| it.as_member().is_some_and(Member::is_in_the_middle);
        if self.keeps_groups(node) && self.clients.iter().any(is_waited_for) {
            self.timeline.coverage.count("coordinator ends in a rebalance or a commit");
        }
        self.timeline.note(format_args!("{life} ends: {loss:?}"));
        self.count_role(node, if loss == Loss::Process { KILLED } else { POWERLESS });
        self.machines[node].resume(&mut self.timeline);
        self.machines[node].disk.crash(loss, &mut self.timeline.dice);
        let quietly = loss != Loss::Process && self.timeline.dice.chance(50);
        self.network.process_ended(life, quietly, &mut self.timeline);
        self.engine.stopped(life, !quietly, &mut self.timeline);
        self.checker.replicas.stopped(node);
        self.timeline.after(down, Happening::Boots { node });
    }

    fn fault(&mut self, fault: Fault) {
        let is_end = matches!(
            fault,
            Fault::Cut { is_cut: false, .. }
                | Fault::Delay { most: 0 }
                | Fault::Throttle { bytes_per_second: 0 }
                | Fault::Slow { times: 0, .. }
                | Fault::Full { is_full: false, .. }
                | Fault::Resume { .. }
                | Fault::StopWaiting { .. }
                | Fault::FindMajority
                | Fault::Heal
                | Fault::CalmClients
        );
        if self.is_healed && !is_end {
            return;
        }
        let is_calm = self.timeline.now() < self.calm_until;
        if is_calm && !is_end && !matches!(fault, Fault::Next | Fault::LookForLeaders) {
            return;
        }
        self.timeline.note(format_args!("{fault:?}"));
        match fault {
            Fault::Next => self.next_fault(),
            Fault::Crash { node, loss, down } => self.crash(node, loss, down),
            Fault::CrashAll { loss, away } => {
                if away.is_some() {
                    self.calm_until = self.timeline.now() + AWAY;
                    self.engine.set_unrest(None);
                }
                for node in 0..self.machines.len() {
                    let down = self.timeline.dice.between(20 * MS, SECOND);
                    self.crash(node, loss, if away == Some(node) { AWAY } else { down });
                }
            }
            Fault::LookForLeaders => self.look_for_leaders(),
            Fault::CrashLeader { times } => self.crash_leader(times),
            Fault::Stop { node, down } => self.begin_to_stop(node, down),
            Fault::StopWaiting { life } => self.stop_waiting(life),
            Fault::Pause { node } => {
                self.count_role(node, PAUSED);
                self.machines[node].is_paused = self.machines[node].process.is_some();
            }
            Fault::Resume { node } => self.machines[node].resume(&mut self.timeline),
            Fault::Cut { from, to, is_cut } => {
                if is_cut {
                    [from, to].into_iter().for_each(|it| self.count_role(it, CUT_OFF));
                }
                self.network.set_cut(from, to, is_cut && !self.is_healed);
            }
            Fault::Delay { most } => self.network.extra_delay = most,
            Fault::Throttle { bytes_per_second } => self.network.bytes_per_second = bytes_per_second,
            Fault::Silence { count } => {
                for _ in 0..count {
                    self.network.silence_one(&mut self.timeline);
                }
            }
            // One that stands still already goes on first, so that there is an end to how late it hears that time is over.
            Fault::Standstill { client, lasts } => {
                let now = self.timeline.now();
                if self.standstills[client] <= now {
                    self.standstills[client] = now + lasts;
                }
            }
            Fault::Break { count } => {
                let mut arrivals = Vec::new();
                for _ in 0..count {
                    self.network.break_one(&mut self.timeline, &mut arrivals);
                }
                if self.timeline.dice.chance(30) {
                    let client = Party::Client(self.timeline.dice.index(CLIENT_COUNT));
                    self.network.break_all_of(client, &mut self.timeline, &mut arrivals);
                }
                self.arrived(arrivals);
            }
            Fault::Slow { node, times } => self.machines[node].disk.illness.slowness = times,
            Fault::Full { node, is_full } => self.machines[node].disk.illness.full = is_full,
            Fault::FailSync { node } => self.machines[node].disk.illness.fails_sync = true,
            Fault::Clock { node } => {
                let jump = self.timeline.dice.between(0, 7_200_000) as i64 - 3_600_000;
                self.machines[node].wall_jump_ms = jump;
            }
            Fault::MoveController => {
                self.engine.end_leadership();
                self.engine_goes_on(Step::Look);
            }
            Fault::LoseDirectory { node } => self.lose_directory(node),
            Fault::MendDirectory { node, is_replaced, down } => self.mend_directory(node, is_replaced, down),
            Fault::LoseMajority { how, lasts } => self.lose_majority(how, lasts),
            Fault::FindMajority => self.find_majority(),
            Fault::LoseCoordinator { loss, lasts, lost_in, goes_in } => {
                self.lose_coordinator(loss, lasts, (lost_in, goes_in));
            }
            Fault::DeleteTopic => {
                let timeline = &mut self.timeline;
                self.clients.iter_mut().for_each(|client| client.hurry(timeline));
            }
            Fault::SaidGone { node, lasts } => {
                self.engine.say_gone(node, self.timeline.now() + lasts, &mut self.timeline);
            }
            Fault::Stall { node, lasts } => self.engine.stall(node, self.timeline.now() + lasts),
            Fault::Heal => self.heal(),
            Fault::CalmClients => {
                let timeline = &mut self.timeline;
                self.clients.iter_mut().for_each(|client| client.calm_down(timeline));
            }
        }
    }

    /// Something happens to a machine that is not both, or to a client.
    fn count_role(&mut self, party: usize, names: [&'static str; 2]) {
        if party < self.machines.len()
            && let Some(name) = self.layout.name_of(party, names)
        {
            self.timeline.coverage.count(name);
        }
    }

    fn next_fault(&mut self) {
        let (plan, dice) = (&self.plan, &mut self.timeline.dice);
        let pause = plan.pause(dice);
        let next = plan.next(dice).filter(|_| self.calm_until <= self.timeline.now());
        if let Some((name, steps)) = next {
            self.timeline.coverage.count(name);
            for (delay, fault) in steps {
                self.timeline.after(delay, Happening::Fault(fault));
            }
        }
        self.timeline.after(pause, Happening::Fault(Fault::Next));
    }

    fn crash_leader(&mut self, times: u64) {
        let image = self.checker.replicas.newest_image();
        let leaders: Vec<usize> = image
            .partitions()
            .filter_map(|(_, partition)| partition.leader.map(|id| id.0 as usize))
            .collect();
        if !leaders.is_empty() {
            let node = leaders[self.timeline.dice.index(leaders.len())];
            let loss = if self.timeline.dice.chance(50) { Loss::Process } else { Loss::Power };
            let down = self.timeline.dice.between(5 * MS, 60 * MS);
            self.crash(node, loss, down);
        }
        if 1 < times {
            let delay = self.timeline.dice.between(50 * MS, 500 * MS);
            self.timeline.after(delay, Happening::Fault(Fault::CrashLeader { times: times - 1 }));
        }
    }

    fn heal(&mut self) {
        self.is_healed = true;
        self.find_majority();
        self.network.mend();
        self.engine.set_unrest(None);
        self.timeline.after(SECOND, Happening::Engine(Step::Look));
        for node in 0..self.machines.len() {
            // A disk whose sync failed is no use to the process that saw it.
            if self.machines[node].disk.has_failed_sync() || self.machines[node].disk.has_lost() {
                self.crash(node, Loss::Power, 100 * MS);
            }
            let machine = &mut self.machines[node];
            machine.disk.illness = Default::default();
            machine.resume(&mut self.timeline);
            self.engine.stall(node, 0);
            self.timeline.after(200 * MS, Happening::Boots { node });
        }
        let is_of_use = |it: &Machine| !it.disk.has_failed_sync() && !it.disk.has_lost();
        if !self.machines.iter().all(is_of_use) {
            // Another machine has to be back first.
            self.timeline.after(SECOND, Happening::Fault(Fault::Heal));
        }
    }

    // ---- the end ----

    /// Why the world has not come to rest.
    fn what_is_not_quiet(&self) -> Option<String> {
        let image = self.checker.replicas.newest_image();
        if let Some(node) = (0..self.machines.len()).find(|node| !self.machines[*node].runs()) {
            return Some(format!("n{node} does not run"));
        }
        for topic in &self.topics {
            if image.topic_named(&topic.name).is_none() {
                return Some(format!("topic {} is not there", topic.name));
            }
        }
        for (partition, state) in image.partitions() {
            if state.leader.is_none() || state.isr.len() != state.replicas.len() || state.is_reassigning() {
                return Some(format!("{partition}: {state:?}"));
            }
            let mut ends = Vec::new();
            for id in &state.replicas {
                let process = self.machines[id.0 as usize].process.as_ref().expect("checked above");
                let Some(replica) = process.node.replica(partition) else {
                    return Some(format!("{} has no replica of {partition}", process.life));
                };
                let log = replica.log();
                let state = (log.end(), log.synced(), replica.high_watermark());
                let leads = matches!(replica.role(), Role::Leader { .. });
                if log.has_failed() || log.synced() != log.end() || replica.high_watermark() != log.end() {
                    return Some(format!(
                        "{} {partition} leads {leads}: end, synced, high watermark: {state:?}",
                        process.life
                    ));
                }
                ends.push(log.end());
            }
            if ends.iter().any(|end| *end != ends[0]) {
                return Some(format!("{partition}: replicas end at {ends:?}"));
            }
        }
        self.clients_are_not_quiet(&image)
    }

    fn clients_are_not_quiet(&self, image: &klamm_cluster::Image) -> Option<String> {
        let mut readers: BTreeMap<Arc<str>, Vec<BTreeMap<Place, i64>>> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            if let Some(why) = client.waits_for() {
                return Some(format!("client {number}: {why}"));
            }
            if let Some(consumer) = client.as_consumer() {
                readers.insert(format!("client {number}").into(), vec![consumer.positions()]);
            }
            if let Some((group, positions)) = client.as_member().map(Member::positions) {
                readers.entry(group).or_default().push(positions);
            }
        }
        for topic in &self.topics {
            let known = image.topic_named(&topic.name).expect("checked before");
            for (index, partition) in (0..).zip(&known.partitions) {
                let key = TopicPartition { topic: known.id, partition: PartitionIndex(index) };
                let leader = partition.leader.expect("checked before").0 as usize;
                let process = self.machines[leader].process.as_ref().expect("checked before");
                let end = process.node.replica(key).expect("checked before").high_watermark().raw();
                let place = Place { topic: topic.name.clone(), partition: index };
                for (reader, members) in &readers {
                    let at: Vec<_> = members.iter().filter_map(|it| it.get(&place)).collect();
                    if at != [&end] && !(at.is_empty() && end == 0 && members.len() == 1) {
                        return Some(format!("{reader} has read {place:?} up to {at:?} of {end}"));
                    }
                }
            }
        }
        None
    }

    /// How often throttled replicas had to wait for their share.
    fn count_held_back(&mut self, node: usize) {
        let Some(process) = &self.machines[node].process else { return };
        let report = process.node.report();
        let coverage = &mut self.timeline.coverage;
        coverage.add("throttle: replica held back by its leader", report.held_back_leading);
        coverage.add("throttle: replica holds itself back", report.held_back_following);
    }

    fn conclude(&mut self) {
        (0..self.machines.len()).for_each(|node| self.count_held_back(node));
        self.checker.set_now(&self.timeline);
        let image = self.checker.replicas.newest_image();
        let mut logs = BTreeMap::new();
        for (partition, state) in image.partitions() {
            let leader = state.leader.expect("all is quiet");
            if self.checker.replicas.is_compacted(partition) {
                let whole = self.checker.replicas.whole_log(partition);
                self.look_at_compacted(partition, &whole, &state.replicas);
                logs.insert(partition, whole);
                continue;
            }
            let own = self.bytes_at(leader.0 as usize, partition);
            for other in state.replicas.iter().filter(|id| **id != leader) {
                if self.bytes_at(other.0 as usize, partition) != own {
                    let what = format!(
                        "{partition}: the bytes on n{other} differ from those of its leader n{leader}"
                    );
                    self.checker.findings.broken("I20", what);
                }
            }
            self.timeline.coverage.add("bytes stored", own.len() as u64);
            logs.insert(partition, own);
        }
        self.nothing_is_left_of_what_went(&image);
        self.checker.orders.conclude(&image, &mut self.checker.findings);
        for consumer in self.clients.iter().filter_map(Client::as_consumer) {
            consumer.leave(&mut self.checker);
        }
        for member in self.clients.iter().filter_map(Client::as_member) {
            member.leave(&mut self.checker);
        }
        self.checker.conclude(&logs);
        self.timeline.coverage.add("unclean: record lost that was acknowledged", self.checker.lost);
    }

    /// Every replica has what counts of a log that is compacted.
    fn look_at_compacted(&mut self, partition: TopicPartition, whole: &[u8], replicas: &[BrokerId]) {
        for id in replicas {
            let left = self.bytes_at(id.0 as usize, partition);
            if let Some(what) = originals::problem(whole, &left) {
                self.checker.findings.broken("I21", format!("n{id} {partition}: {what}"));
            }
            self.timeline
                .coverage
                .add("coordinators: bytes compacted", (whole.len() - left.len().min(whole.len())) as u64);
        }
    }

    fn nothing_is_left_of_what_went(&mut self, image: &klamm_cluster::Image) {
        for (node, machine) in self.machines.iter().enumerate() {
            for found in machine.disk.found() {
                let state = found.partition.and_then(|it| image.partition(it));
                let is_left = state.is_none_or(|it| !it.replicas.contains(&broker_id(node)));
                if is_left {
                    let (directory, partition) = (found.directory, found.partition);
                    let what = format!("n{node} still has {directory} of {partition:?}");
                    self.checker.findings.broken("I22", what);
                }
            }
        }
    }
}

fn draw_topics(timeline: &mut Timeline) -> Vec<TopicPlan> {
    let dice = &mut timeline.dice;
    let plan = |name: &str, partition_count, replication_factor, min_isr, created_at| TopicPlan {
        name: name.into(),
        partition_count,
        replication_factor,
        min_isr,
        is_relaxed: false,
        is_loose: false,
        is_throttled: false,
        created_at,
    };
    let min_isr = dice.between(1, 3) as u32;
    let mut topics = vec![plan("events", dice.between(1, 4) as i32, 3, min_isr, SECOND)];
    if dice.chance(50) {
        topics.push(plan("pairs", 1, 2, dice.between(1, 3) as u32, SECOND));
    }
    if dice.chance(30) {
        topics.push(plan("alone", 1, 1, 1, SECOND));
    }
    if dice.chance(50) {
        topics.push(plan("late", 1, 3, 1, dice.between(4 * SECOND, 15 * SECOND)));
    }
    if dice.chance(25) {
        // Of two, one may be fenced, rightly or not, just when the other has crashed: then nobody is left who has what nobody synced.
        for topic in topics.iter_mut().filter(|topic| 2 < topic.replication_factor) {
            topic.is_relaxed = dice.chance(70);
        }
    }
    topics
}

/// In some runs whoever is there may lead some topics, whatever it lacks. Where records are all that clients have, what they lose has no consequences elsewhere.
fn loosen(topics: &mut [TopicPlan], seed: u64) {
    let mut dice = Dice::new(seed.rotate_left(16));
    if topics.iter().any(|it| it.is_relaxed) || !dice.chance(30) {
        return;
    }
    for topic in topics.iter_mut().filter(|it| 1 < it.replication_factor) {
        topic.is_loose = dice.chance(70);
    }
}

fn draw_clients(
    topics: &[TopicPlan],
    (workload, session_timeout_ms): (Workload, u64),
    sabotage: ClientSabotage,
    dice: &mut Dice,
) -> Vec<Client> {
    let topics = || topics.to_vec();
    let steady: &[bool] = match workload {
        Workload::Records => &[true, true, false],
        Workload::Transfers | Workload::Groups => &[true],
    };
    let mut kinds = Vec::new();
    for is_steady in steady {
        let producer = Producer::new(kinds.len(), topics(), *is_steady, sabotage, dice);
        kinds.push(Kind::Producer(Box::new(producer)));
    }
    if workload == Workload::Transfers {
        let ids = if dice.chance(50) { ["both", "both"] } else { ["one", "other"] };
        for id in ids {
            kinds.push(Kind::Teller(Box::new(Teller::new(kinds.len(), topics(), id.into(), dice))));
        }
    }
    let others: &[bool] = match workload {
        Workload::Records | Workload::Transfers => &[false, true],
        Workload::Groups => &[false],
    };
    if workload == Workload::Groups {
        let mut plan = || GroupPlan {
            name: "".into(),
            protocol: if dice.chance(50) { GroupProtocol::Classic } else { GroupProtocol::Consumer },
            session_timeout_ms,
            is_cooperative: dice.chance(50),
        };
        let plans =
            [GroupPlan { name: "first".into(), ..plan() }, GroupPlan { name: "second".into(), ..plan() }];
        let of_first = if dice.chance(70) { 3 } else { 2 };
        for member in 0..3 {
            let plan = plans[usize::from(of_first <= member)].clone();
            let member = Member::new(kinds.len(), topics(), plan, true, dice);
            kinds.push(Kind::Member(Box::new(member)));
        }
    }
    for is_restless in others.iter().copied() {
        let consumer = Consumer::new(kinds.len(), topics(), is_restless, sabotage, dice);
        kinds.push(Kind::Consumer(Box::new(consumer)));
    }
    kinds.push(Kind::Admin(Box::new(Admin::new(kinds.len(), topics(), dice))));
    kinds.push(Kind::Renewer(Box::new(Renewer::new(kinds.len(), workload != Workload::Records, dice))));
    assert_eq!(kinds.len(), CLIENT_COUNT, "every client has its place on the network");
    kinds.into_iter().enumerate().map(|(number, kind)| Client::new(number, kind)).collect()
}

/// An engine's output, in few words.
struct Shown<'a>(&'a klamm_quorum::Output);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use klamm_quorum::Output;
        match self.0 {
            Output::Leader { epoch } => write!(f, "you lead under {epoch}"),
            Output::NoLongerLeader => f.write_str("you lead no longer"),
            Output::LeaderIs { leader, epoch } => write!(f, "{leader:?} leads under {epoch}"),
            Output::Committed(entry) => write!(f, "entry {} of {}", entry.index, entry.epoch),
            Output::Snapshot(snapshot) => write!(f, "snapshot {:?}", snapshot.position),
            Output::Peers(peers) => {
                let shown = peers.iter().map(|it| (it.id.0, it.silent_ms, it.is_gone));
                write!(f, "peers {:?}", shown.collect::<Vec<_>>())
            }
            Output::Described(quorum) => write!(f, "described {quorum:?}"),
            Output::VotersChanged(result) => write!(f, "voters changed {result:?}"),
        }
    }
}
