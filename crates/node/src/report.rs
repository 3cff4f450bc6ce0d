//! Figures of a node, for whoever watches it.

use klamm_model::Timestamp;
use klamm_replica::Role;

use crate::{coordinators::report::Rebalances, node::Node, walk::Walk};

/// What a node has done and has to do, as figures.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Records of clients appended here.
    pub produced_records: u64,
    /// Bytes of their batches.
    pub produced_bytes: u64,
    /// Bytes that consumers read here of partitions that others lead; where a fetch has room for less than a batch, about that many.
    pub follower_read_bytes: u64,
    /// Produce requests that wait for what their acks ask.
    pub parked_produces: usize,
    /// Fetches that wait for records.
    pub parked_fetches: usize,
    /// Partitions that this broker has.
    pub partitions: usize,
    /// Those it leads.
    pub leaders: usize,
    /// Led here, and a replica is not in sync.
    pub under_replicated: usize,
    /// Led here, and fewer are in sync than `acks=all` asks for.
    pub under_min_isr: usize,
    /// Partitions whose logs have failed or could not be read back.
    pub offline: usize,
    /// Those of them that were found damaged at start.
    pub damaged: usize,
    /// Ranges of records that are not served because they are not what was written.
    pub damaged_ranges: usize,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Bytes that were looked at to find such.
    pub scrubbed_bytes: u64,
    /// Leaders that were elected while it decided for the cluster, and that may lack records.
    pub unclean_elections: u64,
    /// How often replicas that catch up were held back here by the leader.
    pub held_back_leading: u64,
    /// And how often one held itself back that follows here.
    pub held_back_following: u64,
    /// It decides for the cluster.
    pub is_controller: bool,
    /// It is registered and serves.
    pub is_ready: bool,
    /// Bytes of all logs.
    pub log_bytes: u64,
    /// Bytes appended that are not known to be on disk.
    pub unsynced_bytes: u64,
    /// Transactions that have begun and are not complete, of the coordinators here.
    pub open_transactions: usize,
    /// When the oldest of them began.
    pub oldest_transaction: Option<Timestamp>,
    /// How often groups of the coordinators here were rebalanced, and why.
    pub rebalances: Rebalances,
    /// The data directories, by their numbers.
    pub log_dirs: Vec<LogDirReport>,
}

/// Figures of a data directory.
#[derive(Clone, Debug)]
pub struct LogDirReport {
    /// Where it is.
    pub path: String,
    /// Partitions in it.
    pub partitions: usize,
    /// No records are taken because too little is free.
    pub is_full: bool,
    /// It answers no more.
    pub has_failed: bool,
}

/// What is counted as it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) produced_records: u64,
    pub(crate) produced_bytes: u64,
    pub(crate) follower_read_bytes: u64,
    pub(crate) unclean_elections: u64,
    pub(crate) held_back_leading: u64,
    pub(crate) held_back_following: u64,
}

impl Node {
    /// What there is to tell without a look at the partitions.
    pub fn report(&self) -> Report {
        let (open_transactions, oldest_transaction) = self.coordinators.open_transactions();
        Report {
            open_transactions,
            oldest_transaction,
            rebalances: self.coordinators.rebalances(),
            produced_records: self.counters.produced_records,
            produced_bytes: self.counters.produced_bytes,
            follower_read_bytes: self.counters.follower_read_bytes,
            unclean_elections: self.counters.unclean_elections,
            held_back_leading: self.counters.held_back_leading,
            held_back_following: self.counters.held_back_following,
            parked_produces: self.produce_waiters.len(),
            parked_fetches: self.fetch_waiters.len() + self.feeds.parked_count(),
            partitions: self.hosted.len(),
            offline: self.damaged.len(),
            damaged: self.damaged.len(),
            scrubbed_bytes: self.scrubber.bytes,
            is_controller: self.metadata.is_controller(),
            is_ready: self.is_active(),
            log_dirs: self.disks.reports().collect(),
            ..Report::default()
        }
    }

    /// Adds what is seen of the partitions that come next.
    pub fn report_next(&self, walk: &mut Walk, report: &mut Report) {
        for hosted in self.next_of(walk).iter().filter_map(|key| self.hosted.get(key)) {
            let log = hosted.replica.log();
            report.log_bytes += log.size_bytes();
            report.unsynced_bytes += log.unsynced_bytes();
            report.damaged_ranges += log.damaged().len();
            report.damaged_bytes += log.damaged().iter().map(|range| u64::from(range.size())).sum::<u64>();
            report.offline += usize::from(log.has_failed());
            if matches!(hosted.replica.role(), Role::Leader { .. }) {
                report.leaders += 1;
                let in_sync = hosted.replica.in_sync().len();
                report.under_replicated += usize::from(in_sync < hosted.replica_count);
                report.under_min_isr += usize::from(!hosted.replica.enough_in_sync());
            }
        }
    }
}
