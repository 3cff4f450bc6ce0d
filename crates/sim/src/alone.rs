//! One node alone with its disks: everything that a log can go through without other nodes.
//!
//! The node is its own controller, its metadata log is on the same disk, its data in two directories. Clients speak to it without a network. Here are compaction,
//! retention, deletion, altered configs, moves from the one directory to the other, clean stops, full and failing disks, damaged files; the cluster is where replicas are ([`crate::world`]).

use std::sync::Arc;

use klamm_log::{DiskAction, DiskError, DiskOp, Done, FileKind, LogDir, MoveStep};
use klamm_model::{Tick, Timestamp};
use klamm_node::{
    ConnectionId, Effect, Event, Incoming, Listener, Load, Node, Now, Origin, Reply, ReplyTo, Rest, View,
    answer_from_view, prepare,
};
use klamm_quorum::{Input, Snapshot, solo, solo::Solo};
use klamm_wire::{Records, Request, Response};
use uuid::Uuid;

use crate::{
    Outcome,
    disk::{Damage, Disk, DiskSabotage, Loss},
    timeline::{Life, MS, SECOND, Timeline},
    world::{CROWD_MAX, panic_of},
};

pub mod faults;
pub mod history;
pub mod points;
mod process;
mod rebuilt;
mod requests;
pub mod topics;
pub mod workload;

use faults::Fault;
use history::History;
use topics::{Kind, TOPICS};
use workload::{Around, Workload};

/// Where the wall clock begins, in milliseconds.
const WALL_START_MS: i64 = 1_700_000_000_000;
const LOG_DIRS: u16 = PATHS.len() as u16;
/// `log.dirs`
const PATHS: [&str; 2] = ["one", "two"];
const INDEX_INTERVAL_BYTES: u32 = 200;
/// Before that nothing goes wrong, and topics are created.
const FAULTS_BEGIN: u64 = SECOND;
const HEALS_AT: u64 = 20 * SECOND;
/// So long after the faults everything works again (I25).
const RECOVERY_BOUND: u64 = 20 * SECOND;
const RUN_LEAST: u64 = 30 * SECOND;
/// Less is free than this: no records are taken.
const MIN_FREE_BYTES: u64 = 2000;

/// What is done wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sabotage {
    /// By the replicas.
    pub replica: klamm_replica::Sabotage,
    /// By the disk.
    pub disk: DiskSabotage,
    /// A stop says that it was clean, whatever failed; a crash too.
    pub always_clean: bool,
    /// A start says nothing of directories of which nobody knows whose they are.
    pub passes_by_unclaimed: bool,
    /// Configs are only looked at, and are said to be altered.
    pub alters_nothing: bool,
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
}

/// Lives through one seed.
pub fn run(options: Options) -> Outcome {
    let mut world = Alone::new(options);
    let ended = panic_of(|| world.live());
    world.outcome(options.seed, ended)
}

#[derive(Debug)]
enum Happening {
    /// A sync has waited for a thread.
    SyncBegins {
        life: Life,
        op: DiskOp,
    },
    DiskEnds {
        life: Life,
        job: u64,
    },
    Wakes {
        life: Life,
    },
    /// The engine of the metadata log does its housekeeping, and tries again what found no room.
    EngineWakes {
        life: Life,
    },
    Looked {
        life: Life,
    },
    Loads {
        life: Life,
        load: Load,
    },
    ClientsAct,
    Boots,
    Fault(Fault),
}

struct Process {
    life: Life,
    node: Node,
    engine: Solo,
    view: Option<Arc<View>>,
    wakes_at: Option<u64>,
    clock_offset: u64,
    incarnation: Uuid,
    rest: Option<Rest>,
    is_stopping: bool,
    engine_is_awake: bool,
    /// A disk operation failed: what is on the disk may differ from what the logs say.
    has_failures: bool,
}

/// See the module.
pub struct Alone {
    timeline: Timeline<Happening>,
    /// Its disk.
    pub disk: Disk,
    process: Option<Process>,
    workload: Workload,
    history: History,
    kinds: Vec<&'static str>,
    pace: u64,
    is_healed: bool,
    crash_starts: u64,
    wall_jump_ms: i64,
    lives: u64,
    sabotage: Sabotage,
    event_count: u64,
    /// How much has happened at this moment.
    crowd: (u64, u64),
    /// What a machine loses that stops by itself.
    halt_loss: Loss,
    /// The next start ends after so many steps of the disk.
    steps_of_next_start: Option<u64>,
    /// Clients do nothing.
    is_mute: bool,
    /// Somebody changed files beside the records: what of them is not looked at may be wrong still.
    had_damage_beside: bool,
}

impl Alone {
    /// With an empty disk.
    pub fn new(options: Options) -> Self {
        let Options { seed, printed, sabotage, faults: given } = options;
        let mut timeline = Timeline::new(seed, printed);
        let dice = &mut timeline.dice;
        let share = dice.between(20, 101);
        let drawn: Vec<_> = faults::KINDS.iter().copied().filter(|_| dice.chance(share)).collect();
        let kinds = if given.is_empty() { drawn } else { given.to_vec() };
        let workload = Workload::new(TOPICS, dice.between(30 * MS, 200 * MS));
        let pace = dice.between(400 * MS, 2 * SECOND);
        Self {
            timeline,
            disk: Disk::new(sabotage.disk),
            process: None,
            workload,
            history: History::default(),
            kinds,
            pace,
            is_healed: false,
            crash_starts: 0,
            wall_jump_ms: 0,
            lives: 0,
            sabotage,
            event_count: 0,
            crowd: (0, 0),
            halt_loss: Loss::Process,
            steps_of_next_start: None,
            is_mute: false,
            had_damage_beside: false,
        }
    }

    fn outcome(self, seed: u64, panic: Option<String>) -> Outcome {
        Outcome {
            seed,
            violations: self.history.findings.violations().to_vec(),
            panic,
            trace_hash: self.timeline.trace.hash(),
            event_count: self.event_count,
            ended_at: self.timeline.now(),
            coverage: self.timeline.coverage,
            command: "--alone",
        }
    }

    fn live(&mut self) {
        self.timeline.at(0, Happening::Boots);
        self.timeline.at(0, Happening::ClientsAct);
        self.timeline.at(FAULTS_BEGIN, Happening::Fault(Fault::Next));
        self.timeline.at(HEALS_AT, Happening::Fault(Fault::Heal));
        self.live_until(HEALS_AT + SECOND);
        self.conclude();
        self.live_until(RUN_LEAST);
    }

    /// Everything that was begun comes to its end, and then everything is read as the disk has it.
    fn conclude(&mut self) {
        self.workload.is_calm = true;
        self.come_to_rest();
        self.crash(Loss::AllUnsynced);
        self.workload.read_everything();
        self.come_to_rest();
    }

    /// Lives on until everything that was begun has its end.
    fn come_to_rest(&mut self) {
        let deadline = self.timeline.now() + RECOVERY_BOUND;
        while let Some(why) = self.workload.waits_for() {
            if deadline <= self.timeline.now() {
                let what = format!("{} s after the last fault: {why}", RECOVERY_BOUND / SECOND);
                return self.history.findings.broken("I25", what);
            }
            self.live_until(self.timeline.now() + 100 * MS);
        }
    }

    fn live_until(&mut self, end: u64) {
        while let Some(what) = self.timeline.next(end) {
            self.event_count += 1;
            self.crowd = if self.crowd.0 == self.timeline.now() {
                (self.crowd.0, self.crowd.1 + 1)
            } else {
                (self.timeline.now(), 0)
            };
            assert!(self.crowd.1 < CROWD_MAX, "time stands still: {what:?} and the like happen without end");
            self.history.findings.set_now(self.timeline.now());
            self.happen(what);
            if self.disk.is_halted() {
                self.crash(self.halt_loss);
            }
        }
    }

    fn process(&mut self, life: Life) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.life == life)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::SyncBegins { life, op } => self.sync_begins(life, op),
            Happening::DiskEnds { life, job } => self.disk_ends(life, job),
            Happening::Wakes { life } => {
                let now = self.timeline.now();
                let Some(process) = self.process(life) else { return };
                process.wakes_at.take_if(|at| *at <= now);
                let is_due =
                    process.node.next_wake().is_some_and(|tick| tick.0 <= now + process.clock_offset);
                if is_due { self.step(Event::Tick) } else { self.plan_wake() }
            }
            Happening::EngineWakes { life } => {
                let now = self.timeline.now();
                let Some(process) = self.process(life) else { return };
                process.engine_is_awake = false;
                let mut effects = Vec::new();
                process.engine.try_again(&mut effects);
                process.engine.periodic(Tick(now + process.clock_offset), &mut effects);
                self.engine_wants(effects);
            }
            Happening::Looked { life } => {
                if self.process(life).is_some() {
                    self.step(Event::Space(self.disk.spaces(LOG_DIRS)));
                }
            }
            Happening::Loads { life, load } => {
                if self.process(life).is_some() {
                    let disk = &self.disk;
                    let read = &mut |segment, kind, position, buffer: &mut [u8]| {
                        disk.read_at(segment, kind, position, buffer)
                    };
                    let loaded = load.run(read);
                    self.step(Event::Loaded(loaded));
                }
            }
            Happening::ClientsAct => {
                self.clients_act();
                let pause = self.timeline.dice.between(5 * MS, 25 * MS);
                self.timeline.after(pause, Happening::ClientsAct);
            }
            Happening::Boots => self.boot(),
            Happening::Fault(fault) => self.fault(fault),
        }
    }

    // ---- the node ----

    fn wall_ms(&self) -> i64 {
        WALL_START_MS + self.wall_jump_ms + (self.timeline.now() / MS) as i64
    }

    fn step(&mut self, event: Event) {
        let wall = Timestamp(self.wall_ms());
        self.history.wall_max_ms = self.history.wall_max_ms.max(wall.0);
        let now = self.timeline.now();
        let Some(process) = &mut self.process else { return };
        let life = process.life;
        self.timeline.note(format_args!("{life} {}", Shown(&event)));
        let mut effects = Vec::new();
        process.node.step(Now { tick: Tick(now + process.clock_offset), wall }, event, &mut effects);
        for effect in effects {
            self.perform(life, effect);
        }
        self.plan_wake();
    }

    fn plan_wake(&mut self) {
        let now = self.timeline.now();
        let Some(process) = &mut self.process else { return };
        let Some(tick) = process.node.next_wake() else { return };
        let wanted = tick.0.saturating_sub(process.clock_offset).max(now);
        if process.wakes_at.is_none_or(|at| wanted < at) {
            process.wakes_at = Some(wanted);
            self.timeline.at(wanted, Happening::Wakes { life: process.life });
        }
    }

    fn perform(&mut self, life: Life, effect: Effect) {
        match effect {
            Effect::Reply { to, reply } => self.reply(to, reply),
            Effect::NoReply { .. } => {}
            Effect::Close { connection, reason } | Effect::Dismiss { connection, reason } => {
                panic!("{connection:?} is closed: {reason}")
            }
            Effect::Disk(op) => self.begin_disk_work(life, op),
            Effect::Load(load) => {
                let delay = self.timeline.dice.between(50, 5 * MS);
                self.timeline.after(delay, Happening::Loads { life, load });
            }
            Effect::Send { to, .. } => panic!("there is no broker {to}"),
            Effect::Propose { epoch, payload } => self.tell_engine(Input::Propose { epoch, payload }),
            Effect::DescribeQuorum => self.tell_engine(Input::Describe),
            Effect::ChangeVoters(change) => self.tell_engine(Input::ChangeVoters(change)),
            Effect::Registration(told) => self.tell_engine(Input::Registration(told)),
            Effect::OfferSnapshot { position, image } => {
                self.timeline.coverage.count("alone: metadata snapshot offered");
                self.tell_engine(Input::OfferSnapshot(Snapshot { position, state: image.to_bytes() }));
            }
            Effect::Publish(view) => {
                if let Some(process) = &mut self.process {
                    process.view = Some(view);
                }
            }
            Effect::LookAtSpace => {
                let delay = self.timeline.dice.between(50, 5 * MS);
                self.timeline.after(delay, Happening::Looked { life });
            }
            Effect::Left { .. } => {}
            Effect::Refused(why) | Effect::Outdated(why) => panic!("its own cluster refuses it: {why}"),
            Effect::AtRest(rest) => {
                if let Some(process) = &mut self.process {
                    process.rest = Some(rest);
                }
            }
        }
    }

    fn tell_engine(&mut self, input: Input) {
        let mut effects = Vec::new();
        if let Some(process) = &mut self.process {
            process.engine.step(input, &mut effects);
        }
        self.engine_wants(effects);
    }

    fn engine_wants(&mut self, effects: Vec<solo::Effect>) {
        for effect in effects {
            let Some(life) = self.process.as_ref().map(|process| process.life) else { return };
            match effect {
                solo::Effect::Disk(op) => self.begin_disk_work(life, op),
                solo::Effect::Tell(output) => self.step(Event::Quorum(output)),
                solo::Effect::TryAgainLater => {}
                // What was promised to the disk is not there: the process ends.
                solo::Effect::Fatal(_) => self.crash(Loss::Power),
            }
        }
        self.keep_engine_awake();
    }

    fn keep_engine_awake(&mut self) {
        if let Some(process) = self.process.as_mut().filter(|process| !process.engine_is_awake) {
            process.engine_is_awake = true;
            self.timeline.after(SECOND, Happening::EngineWakes { life: process.life });
        }
    }

    fn begin_disk_work(&mut self, life: Life, op: DiskOp) {
        let what = match &op.action {
            DiskAction::Retire { .. } => Some("segments retired"),
            DiskAction::Remove { .. } => Some("retired segments removed"),
            DiskAction::Swap { .. } => Some("compacted segment swapped in"),
            DiskAction::Seal { .. } => Some("segment closed"),
            DiskAction::Note { .. } => Some("notes taken"),
            DiskAction::DeletePartition => Some("partition deleted"),
            DiskAction::Move(it) if it.step == MoveStep::Clear => Some("move begun or called off"),
            DiskAction::Move(it) if it.step == MoveStep::Switch => Some("partition moved"),
            _ => None,
        };
        if let Some(what) = what {
            self.timeline.coverage.count(what);
        }
        self.timeline.note(format_args!("{life} wants {}/{} {}", op.partition, op.id.0, name_of(&op.action)));
        // The metadata log has a thread to itself.
        let wait = (op.partition != solo::PARTITION).then(|| Disk::wait_for(&op, &mut self.timeline.dice));
        match wait.flatten() {
            Some(wait) => self.timeline.after(wait, Happening::SyncBegins { life, op }),
            None => self.disk_begins(life, op),
        }
    }

    fn disk_begins(&mut self, life: Life, op: DiskOp) {
        let (job, duration) = self.disk.begin(op, &mut self.timeline);
        self.timeline.after(duration, Happening::DiskEnds { life, job });
    }

    /// A sync that has waited. Whoever breaks the rule says so when it ends.
    fn sync_begins(&mut self, life: Life, op: DiskOp) {
        if self.process(life).is_some() {
            if !self.sabotage.disk.tells_late {
                self.step(Event::SyncBegins { partition: op.partition, op: op.id });
            }
            self.disk_begins(life, op);
        }
    }

    fn disk_ends(&mut self, life: Life, job: u64) {
        if self.process(life).is_none() {
            return;
        }
        let (log_dir, is_aside) = self.disk.op_of(job).map_or((LogDir(0), false), |op| {
            let is_aside = match &op.action {
                DiskAction::MapKeys(_) | DiskAction::Rewrite(_) | DiskAction::Scrub(_) => true,
                DiskAction::Move(it) => it.step != MoveStep::Switch,
                _ => false,
            };
            (self.disk.log_dir_of(op), is_aside)
        });
        let (partition, op, result) = self.disk.end(job, &mut self.timeline.dice);
        if self.disk.is_halted() {
            return;
        }
        if let Some(what) = self.disk.rewrote_damaged.take() {
            self.history.findings.broken("I21", what);
        }
        let is_of_disk = match &result {
            Ok(_) | Err(DiskError::Full | DiskError::NotTried(_) | DiskError::CalledOff) => false,
            Err(DiskError::Unsynced(_)) => true,
            Err(DiskError::Io(_)) => !is_aside,
        };
        let is_lost = is_of_disk && self.disk.lose(log_dir);
        if is_lost || (result.is_err() && !is_aside) {
            self.history.had_bad_disk = true;
            if let Some(process) = self.process(life) {
                process.has_failures = true;
            }
        }
        if partition == solo::PARTITION {
            self.timeline.note(format_args!(
                "{life} metadata {} {:?}",
                op.0,
                result.as_ref().map(|_| "done")
            ));
            let mut effects = Vec::new();
            if let Some(process) = self.process(life) {
                process.engine.disk_done(op, result, &mut effects);
            }
            self.engine_wants(effects);
        } else {
            // Where a failed write is taken back, a log does not know what it was that a scrub has read.
            if let (Ok(Done::Scrubbed(scrubbed)), false) = (&result, self.history.had_bad_disk) {
                for range in &scrubbed.damaged {
                    self.history.damage_found(partition, range.from.raw()..range.to.raw());
                }
            }
            if self.sabotage.disk.tells_late {
                self.step(Event::SyncBegins { partition, op });
            }
            self.step(Event::Disk { partition, op, result });
        }
        if is_lost && self.process(life).is_some() {
            self.timeline.coverage.count("data directory lost");
            self.step(Event::LogDirFailed(log_dir));
            // Without the first, which has the metadata, the broker ends.
            if log_dir == LogDir(0) {
                self.crash(Loss::Power);
            }
        }
        self.may_be_stopped();
    }

    // ---- clients ----

    fn around(&mut self) -> (&mut Workload, Around<'_>) {
        let (now, wall_ms) = (self.timeline.now(), self.wall_ms());
        let Self { timeline, workload, history, .. } = self;
        let (dice, coverage) = (&mut timeline.dice, &mut timeline.coverage);
        let may_fail = history.had_bad_disk || self.disk.illness.fails_reads || self.disk.has_hurt();
        (workload, Around { now, wall_ms, dice, history, coverage, may_fail })
    }

    fn clients_act(&mut self) {
        let Some(process) = self.process.as_ref().filter(|process| !process.is_stopping && !self.is_mute)
        else {
            return;
        };
        let Some(view) = process.view.clone().filter(|view| view.ready) else { return };
        self.hear_what_may_be_lost();
        let (workload, mut around) = self.around();
        for (sequence, request, version) in workload.act(&mut around) {
            self.request(&view, sequence, request, version);
        }
    }

    fn request(&mut self, view: &View, sequence: u64, mut request: Request, version: i16) {
        if let Request::IncrementalAlterConfigs(it) = &mut request {
            it.validate_only = self.sabotage.alters_nothing;
        }
        let origin = Arc::new(Origin {
            listener: Listener::Client,
            local_host: "here".to_owned(),
            local_port: 9092,
            peer_host: "there".into(),
        });
        let to = ReplyTo { connection: ConnectionId(1), sequence };
        if let Some(response) = answer_from_view(view, &origin, version, &request) {
            return self.reply(to, Reply::Ready(response));
        }
        let body = prepare(request, view, Timestamp(self.wall_ms()));
        self.step(Event::Request(Incoming { to, origin, version, client_id: None, body }));
    }

    /// What a shell does with an answer: it reads what is wanted of the files.
    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        let disk = &self.disk;
        let mut read =
            |segment, kind, position, buffer: &mut [u8]| disk.read_at(segment, kind, position, buffer);
        let mut suspects = Vec::new();
        let found = reply.look(&mut read);
        let (mut response, ranges) = reply.complete(found, &mut |segment| suspects.push(segment));
        let mut is_whole = true;
        if let Response::Fetch(fetch) = &mut response {
            for data in fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                let Some(Records::Hole { size, token }) = data.records else { continue };
                let range = &ranges[token as usize];
                let mut bytes = vec![0; size as usize];
                let position = u64::from(range.range.start);
                let read = disk.read_at(range.segment, FileKind::Log, position, &mut bytes);
                is_whole &= read.is_ok_and(|read| read == bytes.len());
                data.records = Some(Records::Bytes(bytes.into()));
            }
        }
        let (workload, mut around) = self.around();
        workload.answered(to.sequence, Some(response).filter(|_| is_whole), &mut around);
        for segment in suspects {
            self.step(Event::Suspect(segment));
        }
    }

    // ---- faults ----

    fn fault(&mut self, fault: Fault) {
        let is_end =
            matches!(fault, Fault::Heal | Fault::Room(None)) || fault == Fault::Ill(Default::default());
        if self.is_healed && !is_end {
            return;
        }
        self.timeline.note(format_args!("{fault:?}"));
        match fault {
            Fault::Next => self.next_fault(),
            Fault::Crash(loss) => self.crash(loss),
            Fault::Stop => self.stop(),
            Fault::Damage(what) => {
                self.crash(Loss::Process);
                // Nobody who stopped clean left that.
                self.disk.take_markers(LOG_DIRS);
                self.had_damage_beside |= what == Damage::Beside;
                let (workload, history) = (&self.workload, &self.history);
                // Of a topic that may be deleted, what nobody knows would be in the way of the next one.
                let may_be = |partition| {
                    let is_kept = workload.partitions().any(|it| it.0 == partition && it.1 != Kind::Brief);
                    is_kept && !history.has_flips(partition, &(0..i64::MAX))
                };
                if let Some(done) = self.disk.damage(what, may_be, &mut self.timeline.dice) {
                    self.timeline.coverage.count(match what {
                        Damage::File(_) => "alone: file that is needed damaged",
                        _ => "alone: files damaged",
                    });
                    self.timeline.note(format_args!("{done}"));
                }
            }
            Fault::Flip { with_crash } => {
                if with_crash {
                    self.crash(Loss::AllUnsynced);
                }
                self.flip(with_crash);
            }
            Fault::Ill(illness) => self.disk.illness = illness,
            Fault::Room(room) => {
                let used = (0..LOG_DIRS).map(|number| self.disk.used(LogDir(number))).max().unwrap_or(0);
                self.disk.capacity = room.map(|room| used + room);
            }
            Fault::Mend => {
                self.crash(Loss::Process);
                self.disk.mend();
            }
            Fault::CrashStarts(count) => self.crash_starts = count,
            Fault::Clock => self.wall_jump_ms = self.timeline.dice.between(0, 7_200_000) as i64 - 3_600_000,
            Fault::Heal => {
                self.is_healed = true;
                self.crash_starts = 0;
                (self.disk.illness, self.disk.capacity) = (Default::default(), None);
                // Whoever met a disk that failed is of no use any more.
                self.crash(Loss::Power);
                self.disk.mend();
            }
        }
    }

    fn flip(&mut self, with_growing: bool) {
        let partitions: Vec<_> = self.workload.partitions().map(|(partition, _)| partition).collect();
        let Self { disk, history, timeline, .. } = self;
        let is_flipped = |partition, offsets| history.has_flips(partition, &offsets);
        let Some(flip) = disk.flip(&partitions, with_growing, is_flipped, &mut timeline.dice) else { return };
        timeline.coverage.count(if flip.is_in_frame {
            "alone: bit flipped in a length or an offset"
        } else {
            "alone: bit flipped in records"
        });
        timeline.note(format_args!("{flip:?}"));
        history.flipped(flip);
    }

    fn next_fault(&mut self) {
        let dice = &mut self.timeline.dice;
        let pause = dice.between(self.pace / 10, 2 * self.pace);
        if !self.kinds.is_empty() {
            let kind = self.kinds[dice.index(self.kinds.len())];
            let steps = faults::steps(kind, dice);
            self.timeline.coverage.count(kind);
            for (delay, fault) in steps {
                self.timeline.after(delay, Happening::Fault(fault));
            }
        }
        self.timeline.after(pause, Happening::Fault(Fault::Next));
    }
}

/// An operation, in one word.
fn name_of(action: &DiskAction) -> String {
    let mut name = format!("{action:?}");
    name.truncate(name.find([' ', '(']).unwrap_or(name.len()));
    name
}

/// An event, in few words.
struct Shown<'a>(&'a Event);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Event::Request(incoming) => write!(f, "request {}", incoming.to.sequence),
            Event::Disk { partition, op, result } => {
                let outcome = result.as_ref().map(|_| "done");
                write!(f, "disk {partition}/{} {outcome:?}", op.0)
            }
            Event::Quorum(_) => f.write_str("quorum"),
            other => write!(f, "{other:?}"),
        }
    }
}
