//! What waits for a disk thread, and which of it may begin.

use std::{collections::VecDeque, thread};

use klamm_log::{DiskAction, DiskOp, LogDir};
use klamm_node::Incoming;

use super::{Job, pace::Pace};

/// First come, first served, but that syncs keep a pace or share one, and that who unpacks waits for everybody else.
pub(super) struct Queue {
    jobs: VecDeque<(u64, Job)>,
    /// Syncs of which each is made for itself.
    syncs: VecDeque<(u64, DiskOp)>,
    /// By the number of their data directory, where one sync is good for many.
    shared: Vec<Shared>,
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

/// Syncs of one data directory, which go one at a time: all that come meanwhile share the next.
#[derive(Default)]
struct Shared {
    waiting: Vec<DiskOp>,
    /// The number of the one that has waited for the longest.
    since: u64,
    is_under_way: bool,
}

impl Shared {
    fn may_begin(&self) -> bool {
        !self.is_under_way && !self.waiting.is_empty()
    }
}

impl Queue {
    /// Syncs, and whoever unpacks, may keep so many processors busy.
    pub(super) fn new(processors: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            syncs: VecDeque::new(),
            shared: Vec::new(),
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

    /// A sync that others in this data directory may share.
    pub(super) fn push_shared(&mut self, log_dir: LogDir, sync: DiskOp) {
        self.arrived_count += 1;
        let number = usize::from(log_dir.0);
        if self.shared.len() <= number {
            self.shared.resize_with(number + 1, Shared::default);
        }
        let shared = &mut self.shared[number];
        if shared.waiting.is_empty() {
            shared.since = self.arrived_count;
        }
        shared.waiting.push(sync);
    }

    /// What may begin.
    pub(super) fn pop(&mut self) -> Option<Job> {
        if let Some(number) = self.shared_in_front() {
            let shared = &mut self.shared[number];
            shared.is_under_way = true;
            let ops = std::mem::take(&mut shared.waiting);
            return Some(Job::Syncs { log_dir: LogDir(number as u16), ops });
        }
        let job = self.jobs.front().map(|(number, _)| *number);
        if self.sync_in_front().is_some_and(|sync| job.is_none_or(|job| sync < job)) {
            return self.pop_sync();
        }
        if let Some((_, job)) = self.jobs.pop_front() {
            return Some(job);
        }
        let incoming = self.may_unpack().then(|| self.unpacks.pop_front()).flatten()?;
        self.unpacking_count += 1;
        Some(Job::Unpack(incoming))
    }

    /// The data directory whose shared sync comes before all else that may begin.
    fn shared_in_front(&self) -> Option<usize> {
        let may_begin = self.shared.iter().enumerate().filter(|(_, shared)| shared.may_begin());
        let (number, since) =
            may_begin.map(|(number, shared)| (number, shared.since)).min_by_key(|(_, since)| *since)?;
        let job = self.jobs.front().map(|(number, _)| *number);
        let others = [job, self.sync_in_front()];
        others.iter().flatten().all(|other| since < *other).then_some(number)
    }

    /// The number of the sync that may begin for itself.
    fn sync_in_front(&self) -> Option<u64> {
        self.syncs.front().filter(|_| self.pace.room() > 0).map(|(number, _)| *number)
    }

    fn pop_sync(&mut self) -> Option<Job> {
        let (_, op) = self.syncs.pop_front()?;
        self.pace.begun();
        Some(Job::Op(op))
    }

    /// The next shared sync of the data directory may begin.
    pub(super) fn shared_ended(&mut self, log_dir: LogDir) {
        self.shared[usize::from(log_dir.0)].is_under_way = false;
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
        !self.jobs.is_empty() || !self.syncs.is_empty() || self.shared.iter().any(Shared::may_begin)
    }

    /// How many threads could begin something now, be it to watch.
    pub(super) fn startable_count(&self) -> usize {
        self.jobs.len()
            + usize::from(self.unwatched().is_some())
            + self.syncs.len().min(self.pace.room())
            + self.shared.iter().filter(|shared| shared.may_begin()).count()
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

    fn sync_op(id: u64) -> DiskOp {
        let topic = TopicId(uuid::Uuid::from_u128(1));
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let action = DiskAction::Sync { segment: SegmentId { partition, base: Offset::ZERO } };
        DiskOp { partition, id: OpId(id), action }
    }

    fn sync(id: u64) -> Job {
        Job::Op(sync_op(id))
    }

    /// What comes next: the number of a sync, or 0 for anything else.
    fn next(queue: &mut Queue) -> Option<u64> {
        queue.pop().map(|job| if let Job::Op(op) = job { op.id.0 } else { 0 })
    }

    /// The numbers of the syncs that come next, and whether they share one.
    fn next_shared(queue: &mut Queue) -> Option<(Vec<u64>, bool)> {
        Some(match queue.pop()? {
            Job::Syncs { ops, .. } => (ops.iter().map(|op| op.id.0).collect(), true),
            Job::Op(op) => (vec![op.id.0], false),
            _ => (Vec::new(), false),
        })
    }

    #[test]
    fn what_comes_while_a_shared_sync_is_under_way_shares_the_next() {
        let [one, other] = [LogDir(0), LogDir(1)];
        let mut queue = Queue::new(1);
        queue.push_shared(one, sync_op(1));
        assert_eq!(next_shared(&mut queue), Some((vec![1], true)));
        queue.push_shared(one, sync_op(2));
        queue.push(Job::LookAtSpace);
        queue.push_shared(other, sync_op(3));
        queue.push_shared(one, sync_op(4));
        assert_eq!(queue.startable_count(), 2, "the space and the other's");
        assert_eq!(next_shared(&mut queue), Some((vec![], false)));
        assert_eq!(next_shared(&mut queue), Some((vec![3], true)));
        assert_eq!(next_shared(&mut queue), None);
        queue.shared_ended(one);
        assert_eq!(next_shared(&mut queue), Some((vec![2, 4], true)));
        assert_eq!((queue.unwatched(), queue.startable_count()), (None, 0));
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
