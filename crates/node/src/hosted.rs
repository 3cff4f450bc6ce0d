//! A partition this node has a replica of, with the requests that wait for it.

use std::{collections::VecDeque, sync::Arc};

use klamm_cluster::config::TopicConfig;
use klamm_log::LogDir;
use klamm_model::{BrokerId, Offset, Tick, Timestamp, TopicPartition};
use klamm_replica::{FollowerFetch, Replica};

use crate::{
    ConnectionId,
    coordinators::{Kind, markers::MarkWait},
    handlers::produce::Slot,
    rules::Ruled,
    turned_away::TurnedAway,
    waiters::WaiterId,
};

/// What a produce request waits for in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// The records are in the leader's page cache (`acks=1`).
    Written,
    /// The records are below the high watermark (`acks=all`).
    Committed,
}

/// One slot of a produce answer that waits for an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProduceWait {
    /// One past the last record.
    pub(crate) end: Offset,
    pub(crate) waiter: WaiterId,
    pub(crate) slot: Slot,
    pub(crate) since: Tick,
}

/// Topic settings the data path looks at.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rules: Arc<Ruled>,
    /// The cluster keeps its own records there; no client may write to it.
    pub(crate) is_internal: bool,
    /// What its records are for, if they are a coordinator's.
    pub(crate) coordinates: Option<Kind>,
    /// `max.message.bytes`.
    pub(crate) batch_size_max: usize,
}

/// Where a follower's partition is in its round of fetching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fetching {
    /// Not a follower, or busy with its disk.
    Idle,
    /// Its disk could not take what the leader sent, and would not take it at once either; or it has had its share of what may be copied in a second.
    Resting,
    /// To be named to this leader by the next fetch.
    Queued { leader: BrokerId },
    /// Named to the leader that the fetch says, which has it in mind until it answers; by the request with this token.
    Asked { fetch: FollowerFetch, token: u64 },
}

/// Records whose producers gave their times themselves may be from any year. What is further ahead than this comes from them, and not from a clock that was set
/// back since.
const CLOCKS_DIFFER_MS_MAX: i64 = 3600 * 1000;

/// A replica and everybody who waits for it.
pub(crate) struct Hosted {
    pub(crate) name: Arc<str>,
    pub(crate) replica: Replica,
    /// The data directory that counts it: its log may have moved on already.
    pub(crate) counted_in: LogDir,
    /// How many brokers hold the partition.
    pub(crate) replica_count: usize,
    /// How many of them count for how many have to be in sync, where nobody has set that.
    pub(crate) min_isr_of: usize,
    pub(crate) settings: Settings,
    /// The last time that this leader stamped a batch with: clocks go back, a log's append times do not.
    pub(crate) stamped: Timestamp,
    pub(crate) fetching: Fetching,
    /// Ordered by `end`, but for resent duplicates.
    written_waits: VecDeque<ProduceWait>,
    committed_waits: VecDeque<ProduceWait>,
    /// When somebody last had what they waited for.
    committed_at: Tick,
    /// The high watermark at which nothing more was committed, so that producers were told to look for another leader (`stalls`).
    pub(crate) stalled_at: Option<Offset>,
    pub(crate) turned_away: TurnedAway,
    /// Fetches of consumers, woken when the high watermark moves.
    pub(crate) consumers: Vec<WaiterId>,
    /// The high watermark at which consumers were last woken.
    pub(crate) consumers_saw: Offset,
    /// Feeds with a question that waits until more is written.
    pub(crate) feeds: Vec<ConnectionId>,
    /// How much was written, and where the log started, when feeds were last woken.
    pub(crate) feeds_saw: (Offset, Offset),
    /// Readers that were sent to another replica last, and from where on. Who comes back for the same did not find it there.
    pub(crate) sent_away: VecDeque<(ConnectionId, Offset)>,
    /// While it leads here, followers that catch up are held back (`throttle`).
    pub(crate) throttled_leader: bool,
    /// It is held back here while it catches up.
    pub(crate) throttled_follower: bool,
    /// Marks of transactions that wait until they are committed, in the order of their offsets.
    pub(crate) marks: VecDeque<MarkWait>,
    /// Requests that wait until their records are deleted everywhere.
    pub(crate) deletes: Vec<WaiterId>,
    /// What was acknowledged from here on may have been lost with an earlier process.
    pub(crate) may_lack_from: Option<Offset>,
}

impl Hosted {
    pub(crate) fn new(name: Arc<str>, replica: Replica, settings: Settings) -> Self {
        Self {
            name,
            counted_in: replica.log().log_dir(),
            replica,
            replica_count: 1,
            min_isr_of: 1,
            settings,
            stamped: Timestamp(0),
            fetching: Fetching::Idle,
            written_waits: VecDeque::new(),
            committed_waits: VecDeque::new(),
            committed_at: Tick(0),
            stalled_at: None,
            turned_away: TurnedAway::default(),
            consumers: Vec::new(),
            consumers_saw: Offset::ZERO,
            feeds: Vec::new(),
            feeds_saw: (Offset::ZERO, Offset::ZERO),
            sent_away: VecDeque::new(),
            throttled_leader: false,
            throttled_follower: false,
            marks: VecDeque::new(),
            deletes: Vec::new(),
            may_lack_from: None,
        }
    }

    pub(crate) fn note_throttles(&mut self, key: TopicPartition, me: BrokerId, config: &TopicConfig) {
        self.throttled_leader = config.throttled_leaders.names(key.partition, me);
        self.throttled_follower = config.throttled_followers.names(key.partition, me);
    }

    /// It leads from now on: its append times go on from those of an earlier process, or leader.
    pub(crate) fn begin_to_stamp(&mut self, now: Timestamp) {
        let largest = self.replica.log().largest_timestamp();
        if largest.0 <= now.0.saturating_add(CLOCKS_DIFFER_MS_MAX) {
            self.stamped = self.stamped.max(largest);
        }
    }

    fn position(&self, goal: Goal) -> Offset {
        match goal {
            Goal::Written => self.replica.log().written(),
            Goal::Committed => self.replica.high_watermark(),
        }
    }

    /// Whether every record below `end` is that far already.
    pub(crate) fn reached(&self, goal: Goal, end: Offset) -> bool {
        end <= self.position(goal)
    }

    fn waits(&mut self, goal: Goal) -> &mut VecDeque<ProduceWait> {
        match goal {
            Goal::Written => &mut self.written_waits,
            Goal::Committed => &mut self.committed_waits,
        }
    }

    pub(crate) fn wait(&mut self, goal: Goal, wait: ProduceWait) {
        let waits = self.waits(goal);
        // A resent duplicate waits for the end of its original, which lies before younger waits.
        let place = waits.iter().rposition(|other| other.end <= wait.end).map_or(0, |before| before + 1);
        waits.insert(place, wait);
    }

    /// Takes a wait that has its goal.
    pub(crate) fn pop_reached(&mut self, now: Tick, goal: Goal) -> Option<ProduceWait> {
        let position = self.position(goal);
        let reached = self.waits(goal).pop_front_if(|wait| wait.end <= position)?;
        if goal == Goal::Committed {
            self.committed_at = now;
        }
        Some(reached)
    }

    /// Since when somebody waits for a commit, and nothing is committed.
    pub(crate) fn waits_in_vain_since(&self) -> Option<Tick> {
        let oldest = self.committed_waits.iter().map(|wait| wait.since).min()?;
        Some(oldest.max(self.committed_at))
    }

    /// Takes every wait for a commit.
    pub(crate) fn take_committed_waits(&mut self) -> VecDeque<ProduceWait> {
        std::mem::take(&mut self.committed_waits)
    }

    /// Takes every wait for a record above `kept`, or all: those records are gone, or nobody knows what becomes of them.
    pub(crate) fn take_waits_above(&mut self, kept: Option<Offset>) -> Vec<ProduceWait> {
        let mut taken = Vec::new();
        for waits in [&mut self.written_waits, &mut self.committed_waits] {
            let first =
                waits.iter().position(|wait| kept.is_none_or(|kept| wait.end > kept)).unwrap_or(waits.len());
            taken.extend(waits.drain(first..));
        }
        taken
    }
}
