//! Machines with several data directories, the last of which fails, or is replaced by an empty one between two processes (F27).
//!
//! What fails answers no more to the process that sees it, and is in order for the next one. What is replaced takes with it all that was in it, synced or not: the
//! budget is one directory at a time, while everybody has everything, and the metadata count on somebody else until they know of it. Were the others gone from the sets
//! by then, nobody would be left who is known to have everything, and it would be an operator's to decide.

use klamm_cluster::{Image, image::Partition};
use klamm_log::LogDir;
use klamm_model::{BrokerId, TopicPartition};
use klamm_node::Event;

use super::World;
use crate::{BROKER_COUNT, broker_id, dice::Dice, disk::Loss, timeline::MS};

/// How many a machine has. Drawn by itself, so that seeds stay what they were.
pub(super) fn count(seed: u64) -> u16 {
    let mut dice = Dice::new(seed.rotate_left(48));
    if dice.chance(90) { dice.between(2, 4) as u16 } else { 1 }
}

impl World {
    /// The last one, of a machine that has others.
    fn last_directory(&self, node: usize) -> Option<LogDir> {
        let count = self.machines[node].log_dirs();
        (1 < count).then(|| LogDir(count - 1))
    }

    pub(super) fn lose_directory(&mut self, node: usize) {
        let Some(log_dir) = self.last_directory(node) else { return };
        let machine = &mut self.machines[node];
        let Some(life) = machine.life().filter(|_| !machine.is_paused) else { return };
        if machine.disk.lose(log_dir) {
            self.timeline.coverage.count("directory lost by a process that goes on");
            if let Some(process) = self.process(life) {
                process.has_failures = true;
            }
            self.step(life, Event::LogDirFailed(log_dir));
        }
    }

    /// Another process comes, and finds the directory as it was left, or empty.
    pub(super) fn mend_directory(&mut self, node: usize, is_replaced: bool, down: u64) {
        let Some(log_dir) = self.last_directory(node) else { return };
        let is_borne = self.may_be_replaced(node, log_dir);
        self.crash(node, Loss::Power, down);
        if !is_replaced || self.machines[node].process.is_some() {
            return;
        }
        if !is_borne {
            return self.timeline.coverage.count("directory: not replaced, as not all have everything");
        }
        let had_replicas = self.machines[node].disk.partitions_in(log_dir).next().is_some();
        // By the time, so that seeds stay what they were.
        let passes_for_the_old_one = (self.timeline.now() / MS).is_multiple_of(2);
        self.timeline.coverage.count(match (had_replicas, passes_for_the_old_one) {
            (true, false) => "directory replaced by an empty one",
            (true, true) => "all partitions of a directory removed",
            (false, _) => "directory replaced that was empty",
        });
        self.machines[node].replace_directory(passes_for_the_old_one);
    }

    /// Everybody takes part and has everything, and of what is in the directory there is another replica.
    fn may_be_replaced(&self, node: usize, log_dir: LogDir) -> bool {
        let image: Image = self.checker.replicas.newest_image();
        let takes_part = |node: usize| image.broker(broker_id(node)).is_some_and(|it| it.is_active());
        let is_whole = |machine: usize| {
            let machine = &self.machines[machine];
            machine.runs() && !machine.disk.has_lost() && !machine.disk.has_failed_sync()
        };
        let has_another = |at: TopicPartition| image.partition(at).is_none_or(|it| 1 < it.replicas.len());
        (0..BROKER_COUNT).all(|node| takes_part(node) && is_whole(node) && self.with_what_they_had()[node])
            && image.partitions().all(|(_, it)| it.isr.len() == it.replicas.len())
            && self.machines[node].disk.partitions_in(log_dir).all(has_another)
    }

    /// Whether nobody else runs who has all of some partition, as far as the metadata know, than those that lack a directory and have not said so (seeds 145 and 19).
    pub(super) fn is_last_beside_lost_directories(&self, node: usize) -> bool {
        let image = self.checker.replicas.newest_image();
        let lacks_unheard = |node: usize| {
            let machine = &self.machines[node];
            let known = image.broker(broker_id(node));
            machine.has_lost_directory
                && known.is_none_or(|it| it.incarnation != machine.incarnation || !it.is_active())
        };
        let lost: Vec<_> =
            (0..BROKER_COUNT).filter(|it| *it != node && lacks_unheard(*it)).map(broker_id).collect();
        let runs = |id: &BrokerId| self.machines[id.0 as usize].process.is_some();
        let is_last = |it: &Partition| {
            let have_all = || it.isr.iter().chain(&it.elr).filter(|id| **id != broker_id(node));
            have_all().any(|id| lost.contains(id)) && !have_all().any(|id| runs(id) && !lost.contains(id))
        };
        !lost.is_empty() && image.partitions().any(|(_, it)| is_last(it))
    }
}
