//! The node's process comes and goes: what a shell does before the node's first step and after its last.

use klamm_cluster::config::TopicConfig;
use klamm_log::{CleanShutdown, DURABLE_POINT, Log, LogConfig, LogDir, RecoverError};
use klamm_model::BrokerId;
use klamm_node::{Endpoint, Event, Node, NodeConfig, log_config};
use klamm_quorum::{
    snapshot, solo,
    solo::{Solo, SoloError},
};
use uuid::Uuid;

use super::{
    Alone, Happening, INDEX_INTERVAL_BYTES, LOG_DIRS, MIN_FREE_BYTES, PATHS, Process,
    rebuilt::rebuilt_differs,
};
use crate::{
    disk::{Found, Loss},
    timeline::{Life, MS},
};

impl Alone {
    /// A process starts.
    pub(super) fn boot(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.lives += 1;
        self.history.process_starts();
        let life = Life { node: 0, number: self.lives };
        if 0 < self.crash_starts {
            self.crash_starts -= 1;
            self.disk.steps_left = Some(self.timeline.dice.between(1, 60));
        }
        if let Some(steps) = self.steps_of_next_start.take() {
            self.disk.steps_left = Some(steps);
        }
        let incarnation = Uuid::from_u128(u128::from(self.lives));
        let marker = self.disk.take_markers(LOG_DIRS);
        let config = NodeConfig {
            previous_epoch: marker.map(|marker| marker.broker_epoch),
            ..NodeConfig::new(BrokerId(0), Uuid::from_u128(9), incarnation)
        };
        let mut node = Node::new(configured(config), self.timeline.dice.number(), self.sabotage.replica);
        let mut effects = Vec::new();
        let mut engine = None;
        let finished = self.disk.finish_moves();
        self.timeline.coverage.add("alone: start went on with a move", finished);
        let all_found = self.disk.found();
        for (at, found) in all_found.iter().enumerate() {
            if all_found[..at].iter().any(|it| {
                it.partition.is_some() && it.partition == found.partition && it.directory == found.directory
            }) {
                let what = format!(
                    "{} is in two data directories, and nobody knows which one counts",
                    found.directory
                );
                self.history.findings.broken("I19", what);
            }
            let Some(log) = self.recover(found, marker.is_some()) else {
                if self.disk.is_halted() {
                    return self.start_ends();
                }
                match found.partition {
                    Some(partition) => node.adopt_damaged(partition),
                    None => {
                        let is_unsettled = self.disk.clear_unsettled(found);
                        if !is_unsettled && !self.sabotage.passes_by_unclaimed {
                            self.timeline.coverage.count("alone: start does not know whose a directory is");
                            node.adopt_unclaimed(found.directory.clone());
                        }
                    }
                }
                continue;
            };
            if found.directory != solo::DIRECTORY {
                node.adopt(log);
                continue;
            }
            let disk = &self.disk;
            let mut read =
                |segment, kind, position, buffer: &mut [u8]| disk.read_at(segment, kind, position, buffer);
            let kept = disk.view(solo::PARTITION).map_or(Ok(None), |files| snapshot::read(&files));
            let recovered = kept.map_err(SoloError::from).and_then(|kept| {
                if kept.is_some() {
                    self.timeline.coverage.count("alone: start from a metadata snapshot");
                }
                Solo::recovered(BrokerId(0), log, kept, &mut read, &mut effects)
            });
            match recovered {
                Ok(it) => engine = Some(it),
                // The broker does not start. Whoever looks after it tries again.
                Err(_) if self.disk.illness.fails_reads => return self.start_ends(),
                Err(error) => self.history.findings.broken("I17", error.to_string()),
            }
        }
        let engine = engine.unwrap_or_else(|| Solo::create(BrokerId(0), &mut effects));
        self.process = Some(Process {
            life,
            node,
            engine,
            view: None,
            wakes_at: None,
            clock_offset: self.timeline.dice.below(1 << 40),
            incarnation,
            rest: None,
            is_stopping: false,
            engine_is_awake: false,
            has_failures: false,
        });
        let before = if marker.is_some() { "a clean stop" } else { "a crash" };
        self.timeline.note(format_args!("{life} starts after {before}"));
        self.engine_wants(effects);
        self.step(Event::Tick);
    }

    fn recover(&mut self, found: &Found, was_left_clean: bool) -> Option<Log> {
        let partition = found.partition?;
        let is_metadata = found.directory == solo::DIRECTORY;
        let config = if is_metadata { solo::log_config() } else { log_config(&TopicConfig::default()) };
        // As all topics have it, so that an index made again is the same.
        let config = LogConfig { index_interval_bytes: INDEX_INTERVAL_BYTES, ..config };
        self.disk.adopt(partition, found.log_dir, &found.directory);
        let files = self.disk.view(partition).filter(|_| !self.disk.is_halted())?;
        let name = &found.directory;
        let (mut log, report) = match Log::recover(partition, name.clone(), config, &files) {
            Ok(recovered) => recovered,
            // Something is behind the records, and nobody knows whether it has to be there.
            Err(RecoverError::DurablePointUnknown { .. })
                if self.disk.hurt(partition) == Some(DURABLE_POINT) =>
            {
                self.timeline.coverage.count("alone: log without its durable point refused");
                return None;
            }
            Err(error) => {
                let what = format!("{name}: a start refuses what an honest disk has: {error}");
                self.history.findings.broken("I19", what);
                return None;
            }
        };
        log.set_log_dir(found.log_dir);
        if 0 < report.cut_bytes {
            self.timeline.coverage.count("alone: torn tail cut off");
        }
        self.timeline.note(format_args!("{name}: {report:?}"));
        if !report.rebuilt.is_empty() {
            self.timeline.coverage.count("alone: file beside the records made again");
        }
        for range in &report.damaged {
            self.timeline.coverage.count("alone: start leaves out what is damaged");
            if !self.history.has_flipped_all(partition, range.from.raw()..range.to.raw()) {
                let what = format!("{name}: a start leaves out what an honest disk has: {range}");
                self.history.findings.broken("I19", what);
                continue;
            }
            self.history.damage_found(partition, range.from.raw()..range.to.raw());
        }
        let is_flipped = self.history.has_flips(partition, &(0..i64::MAX));
        if was_left_clean && (0 < report.cut_bytes || !(report.rebuilt.is_empty() || is_flipped)) {
            let what = format!("{name}: the last stop was clean, and the start makes good: {report:?}");
            self.history.findings.broken("I19", what);
        }
        // Of what a damaged batch says of epochs and producers, only the other files know.
        let is_unsure = is_flipped || self.disk.hurt(partition) == Some(DURABLE_POINT);
        if !is_unsure && let Some(problem) = rebuilt_differs(&log, &files, !self.had_damage_beside) {
            self.history.findings.broken("I20", format!("{name}: {problem}"));
        }
        Some(log)
    }

    /// A process ends before it has a node.
    fn start_ends(&mut self) {
        self.disk.crash(self.halt_loss, &mut self.timeline.dice);
        self.timeline.after(100 * MS, Happening::Boots);
    }

    /// What a start says of relaxed topics.
    pub(super) fn hear_what_may_be_lost(&mut self) {
        let Some(process) = &self.process else { return };
        for (partition, _) in self.workload.partitions() {
            if let Some(from) = process.node.may_lack_from(partition) {
                self.history.loss_reported(partition, from.raw());
            }
        }
    }

    /// The process ends without a word.
    pub(super) fn crash(&mut self, loss: Loss) {
        self.hear_what_may_be_lost();
        let Some(process) = self.process.take() else { return };
        self.timeline.note(format_args!("{} ends: {loss:?}", process.life));
        if loss != Loss::Process || self.disk.has_failed_sync() {
            let node = &process.node;
            self.history
                .power_lost(|partition| node.replica(partition).map_or(0, |it| it.log().synced().raw()));
        }
        if self.sabotage.always_clean {
            self.leave(&process);
        }
        self.disk.crash(loss, &mut self.timeline.dice);
        self.workload.disconnected();
        let down = self.timeline.dice.between(10 * MS, 300 * MS);
        self.timeline.after(down, Happening::Boots);
    }

    pub(super) fn stop(&mut self) {
        let mut effects = Vec::new();
        let Some(process) = &mut self.process else { return };
        process.is_stopping = true;
        process.engine.stop(&mut effects);
        self.engine_wants(effects);
        self.step(Event::Stopping);
        self.may_be_stopped();
    }

    /// The last thing that a process does: if everything is on disk, it says so.
    pub(super) fn may_be_stopped(&mut self) {
        let Some(process) = self.process.as_ref().filter(|process| process.is_stopping) else { return };
        let metadata = process.engine.log();
        let Some(rest) = process.rest.filter(|_| metadata.is_at_rest()) else { return };
        if rest.is_whole && metadata.is_whole() && !process.has_failures {
            self.timeline.coverage.count("alone: stopped clean");
            let process = self.process.take().expect("it stops");
            for (partition, _) in self.workload.partitions() {
                let replica = process.node.replica(partition);
                for range in replica.map_or(&[][..], |replica| replica.log().damaged()) {
                    self.history.damage_noted(partition, range.from.raw()..range.to.raw());
                }
            }
            self.leave(&process);
            self.process = Some(process);
        }
        self.crash(Loss::AllUnsynced);
    }

    fn leave(&mut self, process: &Process) {
        let broker_epoch = process.rest.and_then(|rest| rest.broker_epoch).unwrap_or_default();
        let marker = CleanShutdown { broker_epoch, incarnation: process.incarnation };
        (0..LOG_DIRS).for_each(|number| self.disk.leave(LogDir(number), marker));
    }
}

fn configured(mut config: NodeConfig) -> NodeConfig {
    config.log_dirs = PATHS.map(str::to_owned).to_vec();
    config.min_free_bytes = Some(MIN_FREE_BYTES);
    config.endpoints = vec![Endpoint { name: "CLIENT".to_owned(), host: "here".to_owned(), port: 9092 }];
    for (name, value) in [
        ("log.index.interval.bytes", &INDEX_INTERVAL_BYTES.to_string()[..]),
        ("log.retention.check.interval.ms", "500"),
        ("log.cleaner.backoff.ms", "300"),
        ("log.scrub.interval.ms", "2000"),
        // Machines' clocks jump, and clients' do not.
        ("log.message.timestamp.after.max.ms", "9223372036854775807"),
        ("auto.create.topics.enable", "false"),
        ("metadata.log.max.record.bytes.between.snapshots", "600"),
    ] {
        config.give(name, value).expect("a config of a broker");
    }
    config
}
