//! What waits for a disk thread, and which of it may begin.

use std::{collections::VecDeque, thread};

use klamm_log::{DiskAction, DiskOp};
use klamm_node::Incoming;

use super::{Job, pace::Pace};

/// First come, first served, but that syncs keep a pace, and that who unpacks waits for everybody else.
pub(super) struct Queue {
    jobs: VecDeque<(u64, Job)>,
    syncs: VecDeque<(u64, DiskOp)>,
    /// Numbers those who come.
    arrived_count: u64,
    pub(super) pace: Pace,
    /// An idle thread sees to it that syncs do not wait for ever for those under way.
    pub(super) is_watched: bool,
    pub(super) unpacks: VecDeque<Box<Incoming>>,
    /// Threads that unpack, and how many may at the same time.
    pub(super) unpacking_count: usize,
    unpacking_count_max: usize,
    pub(super) idle_count: usize,
    pub(super) threads: Vec<thread::JoinHandle<()>>,
    pub(super) is_stopping: bool,
}

impl Queue {
    /// Syncs, and whoever unpacks, may keep so many processors busy.
    pub(super) fn new(processors: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            syncs: VecDeque::new(),
            arrived_count: 0,
            pace: Pace::new(processors),
            is_watched: false,
            unpacks: VecDeque::new(),
            unpacking_count: 0,
            unpacking_count_max: processors,
            idle_count: 0,
            threads: Vec::new(),
            is_stopping: false,
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        self.arrived_count += 1;
        match job {
            Job::Unpack(incoming) => self.unpacks.push_back(incoming),
            Job::Op(op) if is_sync(&op) => self.syncs.push_back((self.arrived_count, op)),
            job => self.jobs.push_back((self.arrived_count, job)),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        let sync = self.syncs.front().filter(|_| self.pace.room() > 0).map(|(number, _)| *number);
        let job = self.jobs.front().map(|(number, _)| *number);
        if sync.is_some_and(|sync| job.is_none_or(|job| sync < job)) {
            return self.pop_sync();
        }
        if let Some((_, job)) = self.jobs.pop_front() {
            return Some(job);
        }
        let incoming = self.may_unpack().then(|| self.unpacks.pop_front()).flatten()?;
        self.unpacking_count += 1;
        Some(Job::Unpack(incoming))
    }

    fn pop_sync(&mut self) -> Option<Job> {
        let (_, op) = self.syncs.pop_front()?;
        self.pace.begun();
        Some(Job::Op(op))
    }

    /// The sync that waits for its pace in front, unless somebody watches it.
    pub(super) fn unwatched(&self) -> Option<u64> {
        let waits = !self.is_watched && self.pace.room() == 0;
        self.syncs.front().filter(|_| waits).map(|(number, _)| *number)
    }

    /// That one, if it is still in front: those under way stand still, on a disk perhaps that is not its own, and it does not wait for them.
    pub(super) fn pop_overdue(&mut self, number: u64) -> Option<Job> {
        let is_overdue = self.syncs.front().is_some_and(|(front, _)| *front == number);
        is_overdue.then(|| self.pop_sync()).flatten()
    }

    fn may_unpack(&self) -> bool {
        self.unpacking_count < self.unpacking_count_max
    }

    /// Whether somebody waits for whom a thread that unpacks should leave its rest to others.
    pub(super) fn has_others(&self) -> bool {
        !self.jobs.is_empty() || !self.syncs.is_empty()
    }

    /// How many threads could begin something now, be it to watch.
    pub(super) fn startable_count(&self) -> usize {
        self.jobs.len()
            + usize::from(self.unwatched().is_some())
            + self.syncs.len().min(self.pace.room())
            + self.unpacks.len().min(self.unpacking_count_max - self.unpacking_count)
    }
}

pub(super) fn is_sync(op: &DiskOp) -> bool {
    matches!(op.action, DiskAction::Sync { .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use klamm_log::{OpId, SegmentId};
    use klamm_model::{Offset, PartitionIndex, TopicId, TopicPartition};

    use super::*;

    fn sync(id: u64) -> Job {
        let topic = TopicId(uuid::Uuid::from_u128(1));
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let action = DiskAction::Sync { segment: SegmentId { partition, base: Offset::ZERO } };
        Job::Op(DiskOp { partition, id: OpId(id), action })
    }

    /// What comes next: the number of a sync, or 0 for anything else.
    fn next(queue: &mut Queue) -> Option<u64> {
        queue.pop().map(|job| if let Job::Op(op) = job { op.id.0 } else { 0 })
    }

    #[test]
    fn syncs_that_wait_for_their_pace_hold_up_nothing_else() {
        let mut queue = Queue::new(1);
        queue.push(sync(1));
        assert_eq!(next(&mut queue), Some(1));
        queue.pace.ended(Duration::from_micros(90), Duration::from_micros(40));
        for id in 2..=4 {
            queue.push(sync(id));
        }
        queue.push(Job::LookAtSpace);
        queue.push(sync(5));
        assert_eq!(queue.startable_count(), 3);
        assert_eq!([next(&mut queue), next(&mut queue)], [Some(2), Some(3)]);
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(0), None));
        assert_eq!(queue.startable_count(), 1, "somebody is to watch");
        queue.is_watched = true;
        assert_eq!((queue.startable_count(), queue.unwatched()), (0, None));
        queue.pace.ended(Duration::from_micros(90), Duration::from_micros(40));
        queue.push(Job::LookAtSpace);
        assert_eq!([next(&mut queue), next(&mut queue), next(&mut queue)], [Some(4), Some(0), None]);
    }

    #[test]
    fn a_sync_does_not_wait_for_those_that_stand_still() {
        let mut queue = Queue::new(1);
        queue.push(sync(1));
        assert_eq!(next(&mut queue), Some(1));
        queue.pace.ended(Duration::from_micros(90), Duration::from_micros(40));
        (2..=5).for_each(|id| queue.push(sync(id)));
        assert_eq!([next(&mut queue), next(&mut queue), next(&mut queue)], [Some(2), Some(3), None]);
        let watched = queue.unwatched().expect("one waits");
        let overdue = queue.pop_overdue(watched).expect("it is still in front");
        assert!(matches!(overdue, Job::Op(op) if op.id == OpId(4)));
        assert!(queue.pop_overdue(watched).is_none(), "it is under way");
        assert_ne!(queue.unwatched(), Some(watched));
    }
}
