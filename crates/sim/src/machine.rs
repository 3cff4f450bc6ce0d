//! A machine: a disk that outlives everything, and a process that does not.

use std::sync::Arc;

use klamm_cluster::config::TopicConfig;
use klamm_log::{Log, LogDir};
use klamm_model::{Tick, Timestamp, TopicPartition};
use klamm_node::{BROKER_LISTENER, Effect, Endpoint, Event, Node, NodeConfig, Now, Roles, View, log_config};
use uuid::Uuid;

use crate::{
    BROKER_COUNT, broker_id,
    disk::{Disk, DiskSabotage},
    timeline::{Happening, Life, MS, Timeline},
    world::Exit,
};

/// Where the wall clocks of all machines begin, in milliseconds.
const WALL_START_MS: i64 = 1_700_000_000_000;

/// Settings that are drawn once for a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `log.roll.ms`
    pub segment_ms: u64,
    /// `broker.session.timeout.ms`
    pub session_timeout_ms: u64,
    /// `replica.lag.time.max.ms`
    pub lag_time_max_ms: u64,
    /// `replica.fetch.wait.max.ms`
    pub fetch_wait_ms: u32,
    /// `group.consumer.session.timeout.ms`, and what members of the other protocol ask for.
    pub group_session_ms: u64,
    /// Partitions of the coordinators' topics.
    pub internal_partitions: u64,
    /// How often preferred leaders are elected where others lead.
    pub balance_interval_ms: u64,
    /// `metadata.log.max.record.bytes.between.snapshots`
    pub snapshot_bytes: u64,
    /// Every machine stands in a rack of its own, and consumers read in theirs.
    pub reads_in_racks: bool,
    /// `leader.replication.throttled.rate` and the same of followers, where there is a limit.
    pub throttle_rate: Option<u64>,
    /// What replicas do wrong on purpose.
    pub sabotage: klamm_replica::Sabotage,
}

/// Where a machine stands, or a client.
pub fn rack(number: usize) -> String {
    format!("rack {}", number % BROKER_COUNT)
}

/// See the module.
pub struct Machine {
    /// Its number.
    pub number: usize,
    /// What it is to its cluster.
    roles: Roles,
    /// Its disk.
    pub disk: Disk,
    /// What runs on it.
    pub process: Option<Process>,
    /// The process stands still.
    pub is_paused: bool,
    /// What reached the process while it stood still, in order.
    pub held_back: Vec<Happening>,
    /// Added to the wall clock, in milliseconds.
    pub wall_jump_ms: i64,
    /// Of the process that runs, or ran last.
    pub incarnation: Uuid,
    starts: u64,
    directory: Uuid,
    /// Of the data directories besides the first.
    other_directories: Vec<Uuid>,
    /// What was in one of them is gone, and the process that began without it has not taken part yet.
    pub has_lost_directory: bool,
}

/// One run of a node.
pub struct Process {
    /// Which run of which machine.
    pub life: Life,
    /// What it registers with.
    pub incarnation: Uuid,
    /// The code under test.
    pub node: Node,
    /// What it published last.
    pub view: Option<Arc<View>>,
    /// It served at some time: clients may connect.
    pub is_open: bool,
    /// It was told to stop.
    pub(crate) exit: Option<Exit>,
    /// Some operation of its disk failed: it does not say that it stopped clean.
    pub has_failures: bool,
    wakes_at: Option<u64>,
    /// What its disk has done and nobody has told it yet: it comes with what is told next.
    pub(crate) untold: Vec<Event>,
    clock_offset: u64,
}

/// A log that recovery refused.
pub struct Damage {
    /// Whose.
    pub partition: TopicPartition,
    /// Why.
    pub why: String,
}

impl Machine {
    /// With an empty disk.
    pub fn new(
        number: usize,
        roles: Roles,
        log_dirs: u16,
        sabotage: DiskSabotage,
        timeline: &mut Timeline,
    ) -> Self {
        let other = |dir: u16| Uuid::from_u64_pair(u64::from(dir), number as u64);
        Self {
            other_directories: (1..log_dirs).map(other).collect(),
            has_lost_directory: false,
            number,
            roles,
            disk: Disk::new(sabotage),
            process: None,
            is_paused: false,
            held_back: Vec::new(),
            wall_jump_ms: 0,
            starts: 0,
            directory: Uuid::from_u64_pair(timeline.dice.number(), timeline.dice.number()),
            incarnation: Uuid::nil(),
        }
    }

    /// The process that runs, as long as others can reach it.
    pub fn life(&self) -> Option<Life> {
        let is_deaf = |it: &Process| it.exit.is_some_and(|exit| exit.is_deaf);
        self.process.as_ref().filter(|it| !is_deaf(it)).map(|process| process.life)
    }

    /// Whether a process runs, and goes on.
    pub fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.exit.is_none())
    }

    /// How many data directories it has.
    pub fn log_dirs(&self) -> u16 {
        1 + self.other_directories.len() as u16
    }

    /// Somebody puts an empty directory in the place of the last one, or removes all partitions that are in it.
    pub fn replace_directory(&mut self, passes_for_the_old_one: bool) {
        self.disk.wipe(LogDir(self.log_dirs() - 1));
        self.has_lost_directory = true;
        // Whoever ran last has said nothing of it.
        self.incarnation = Uuid::nil();
        if let Some(id) = self.other_directories.last_mut().filter(|_| !passes_for_the_old_one) {
            let (high, low) = id.as_u64_pair();
            *id = Uuid::from_u64_pair(high + (1 << 32), low);
        }
    }

    /// Starts a process: recovers the logs on the disk and hands them to a new node. The second part are the ends of what was recovered.
    pub fn boot(
        &mut self,
        settings: &Settings,
        timeline: &mut Timeline,
    ) -> (Life, Vec<(TopicPartition, klamm_model::Offset)>, Vec<Damage>) {
        self.starts += 1;
        let life = Life { node: self.number, number: self.starts };
        let dice = &mut timeline.dice;
        let incarnation = Uuid::from_u64_pair(dice.number(), dice.number());
        self.incarnation = incarnation;
        let marker = self.disk.take_markers(self.log_dirs());
        let previous_epoch = marker.map(|it| it.broker_epoch);
        let config = NodeConfig { previous_epoch, ..self.config(incarnation, settings) };
        let mut node = Node::new(config, dice.number(), settings.sabotage);
        let mut recovered = Vec::new();
        let mut damaged = Vec::new();
        for found in self.disk.found() {
            let Some(partition) = found.partition else {
                self.disk.clear_unsettled(&found);
                continue;
            };
            self.disk.adopt(partition, found.log_dir, &found.directory);
            let Some(files) = self.disk.view(partition) else { continue };
            match Log::recover(partition, found.directory, log_config(&TopicConfig::default()), &files) {
                Ok((mut log, report)) => {
                    log.set_log_dir(found.log_dir);
                    if 0 < report.cut_bytes {
                        timeline.coverage.count("disk: torn tail cut off");
                    }
                    if marker.is_some() && (0 < report.cut_bytes || !report.rebuilt.is_empty()) {
                        let why = format!("the last stop was clean, and the start makes good: {report:?}");
                        damaged.push(Damage { partition, why });
                    }
                    if let Some(range) = report.damaged.first() {
                        damaged.push(Damage { partition, why: range.to_string() });
                    }
                    recovered.push((partition, log.end()));
                    node.adopt(log);
                }
                Err(error) => {
                    node.adopt_damaged(partition);
                    damaged.push(Damage { partition, why: error.to_string() });
                }
            }
        }
        self.process = Some(Process {
            life,
            incarnation,
            node,
            view: None,
            is_open: false,
            exit: None,
            has_failures: false,
            wakes_at: None,
            untold: Vec::new(),
            clock_offset: timeline.dice.below(1 << 40),
        });
        (life, recovered, damaged)
    }

    /// The process goes on, if it stood still: everything that it missed happens now.
    pub fn resume(&mut self, timeline: &mut Timeline) {
        self.is_paused = false;
        for what in std::mem::take(&mut self.held_back) {
            timeline.after(0, what);
        }
    }

    fn config(&self, incarnation: Uuid, settings: &Settings) -> NodeConfig {
        let endpoint =
            |name: &str, port| Endpoint { name: name.to_owned(), host: format!("n{}", self.number), port };
        let mut config = NodeConfig {
            roles: self.roles,
            endpoints: vec![endpoint("PLAINTEXT", 9092), endpoint(BROKER_LISTENER, 9093)],
            heartbeat_interval_ms: settings.session_timeout_ms / 4,
            session_timeout_ms: settings.session_timeout_ms,
            replica_lag_time_max_ms: settings.lag_time_max_ms,
            replica_fetch_wait_ms: settings.fetch_wait_ms,
            snapshot_bytes: settings.snapshot_bytes,
            reads_in_racks: settings.reads_in_racks,
            rack: settings.reads_in_racks.then(|| rack(self.number)),
            balance_interval_ms: settings.balance_interval_ms,
            auto_create_topics: false,
            log_dirs: (0..self.log_dirs()).map(|dir| format!("/{dir}")).collect(),
            other_directories: self.other_directories.clone(),
            ..NodeConfig::new(broker_id(self.number), self.directory, incarnation)
        };
        if let Some(rate) = settings.throttle_rate {
            (config.leader_throttle_rate, config.follower_throttle_rate) = (rate, rate);
        }
        for (name, value) in [
            ("log.roll.ms", settings.segment_ms.to_string()),
            ("log.index.interval.bytes", "500".to_owned()),
            ("group.consumer.session.timeout.ms", settings.group_session_ms.to_string()),
            ("group.consumer.heartbeat.interval.ms", (settings.group_session_ms / 5).to_string()),
            ("group.min.session.timeout.ms", "100".to_owned()),
            // Of what is compacted here, see the world of one node too.
            ("log.cleaner.backoff.ms", "150".to_owned()),
            ("log.cleaner.min.cleanable.ratio", "0.05".to_owned()),
            ("offsets.topic.num.partitions", settings.internal_partitions.to_string()),
            ("transaction.state.log.num.partitions", settings.internal_partitions.to_string()),
            // Clients put a number of theirs in the timestamp, and machines' clocks jump.
            ("log.message.timestamp.after.max.ms", i64::MAX.to_string()),
        ] {
            config.give(name, &value).expect("a config of a broker");
        }
        config
    }

    /// What its clock shows.
    pub fn wall(&self, now: u64) -> Timestamp {
        Timestamp(WALL_START_MS + self.wall_jump_ms + (now / MS) as i64)
    }

    /// Lets the node take one step.
    ///
    /// # Panics
    /// If nothing runs here.
    pub fn step(&mut self, now: u64, event: Event, out: &mut Vec<Effect>) {
        let wall = self.wall(now);
        let process = self.process.as_mut().expect("only running processes take steps");
        let now = Now { tick: Tick(now + process.clock_offset), wall };
        let untold = std::mem::take(&mut process.untold);
        process.node.step_all(now, untold.into_iter().chain([event]), out);
    }
}

impl Process {
    /// When to wake it, if that is earlier than what is planned already.
    pub fn plan_wake(&mut self, now: u64) -> Option<u64> {
        let wanted = self.node.next_wake()?.0.saturating_sub(self.clock_offset).max(now);
        if self.wakes_at.is_some_and(|at| at <= wanted) {
            return None;
        }
        self.wakes_at = Some(wanted);
        Some(wanted)
    }

    /// A planned wake has come. Tells whether the node still wants it.
    pub fn woken(&mut self, now: u64) -> bool {
        if self.wakes_at.is_some_and(|at| at <= now) {
            self.wakes_at = None;
        }
        !self.untold.is_empty() || self.node.next_wake().is_some_and(|tick| tick.0 <= now + self.clock_offset)
    }
}
