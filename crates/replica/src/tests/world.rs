//! Brokers 1, 2 and 3, each with a replica of one partition.

use bytes::Bytes;
use klamm_log::{Appended, DiskError, DiskOp, Log, LogConfig};
use klamm_model::{
    BatchBuilder, BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProduceLimits,
    Producer, ProducerEpoch, ProducerId, Seal, Tick, Timestamp, TopicId, TopicPartition, validate_produce,
};

use super::disk::{Disk, Stored};
use crate::{
    Acks, AppendError, BecomeError, FetchAnswer, FetchError, Fetched, FetchedError, FollowerFetch,
    FollowerFetchRequest, PartitionState, Progress, Replica, ReplicaConfig, Sabotage,
};

/// Enough for a few small batches, so that a follower takes several rounds to catch up.
const FETCH_BYTES_MAX: u32 = 300;

pub(super) struct World {
    pub(super) now: Tick,
    pub(super) state: PartitionState,
    pub(super) brokers: Vec<Broker>,
    settings: Settings,
    record_count: u64,
    /// Followers that ask now have no room for records.
    pub(super) takes_none: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub(super) replica: ReplicaConfig,
    pub(super) log: LogConfig,
    pub(super) sabotage: Sabotage,
}

pub(super) struct Broker {
    pub(super) id: BrokerId,
    pub(super) epoch: BrokerEpoch,
    pub(super) replica: Replica,
    pub(super) disk: Disk,
    /// Handed out and not carried out, oldest first.
    pub(super) pending: Vec<DiskOp>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let ids = [BrokerId(1), BrokerId(2), BrokerId(3)];
        Self {
            now: Tick(0),
            state: PartitionState {
                leader: None,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                isr: ids.to_vec(),
                replicas: ids.to_vec(),
                others_eligible: false,
                unclean: false,
            },
            takes_none: false,
            brokers: ids
                .iter()
                .map(|&id| Broker::start(id, BrokerEpoch(1), Disk::default(), settings))
                .collect(),
            settings,
            record_count: 0,
        }
    }

    pub(super) fn broker(&mut self, id: BrokerId) -> &mut Broker {
        self.brokers.iter_mut().find(|broker| broker.id == id).expect("brokers are 1, 2 and 3")
    }

    /// The broker learns the state.
    pub(super) fn tell(&mut self, id: BrokerId, state: &PartitionState) -> Result<Progress, BecomeError> {
        let now = self.now;
        let broker = self.broker(id);
        if state.leader == Some(id) {
            broker.replica.become_leader(now, state)
        } else {
            broker.replica.become_follower(state)
        }
    }

    /// A batch nobody has sent before.
    pub(super) fn batch(&mut self, record_count: u32, producer: Option<Producer>) -> Bytes {
        self.batch_of(record_count, producer, false)
    }

    pub(super) fn batch_of(
        &mut self,
        record_count: u32,
        producer: Option<Producer>,
        is_transactional: bool,
    ) -> Bytes {
        let mut builder = BatchBuilder::with_capacity(256);
        for _ in 0..record_count {
            let value = format!("record {}", self.record_count);
            self.record_count += 1;
            builder.append(Timestamp(1_000), None, Some(value.as_bytes()), &[]);
        }
        builder.finish(&Seal { producer, is_transactional, ..Seal::default() })
    }

    pub(super) fn append(&mut self, to: BrokerId, batch: Bytes, acks: Acks) -> Result<Appended, AppendError> {
        let valid = validate_produce(&batch, &ProduceLimits::default()).expect("a batch of ours is valid");
        let broker = self.broker(to);
        broker.replica.append(&valid, batch, acks, None, &mut broker.pending)
    }

    /// The leader that `fetch` names answers it.
    pub(super) fn answer(
        &mut self,
        from: BrokerId,
        broker_epoch: BrokerEpoch,
        fetch: &FollowerFetch,
    ) -> Result<(Fetched, Progress), FetchError> {
        let (now, takes_none) = (self.now, self.takes_none);
        let leader = self.broker(fetch.leader);
        let request = FollowerFetchRequest {
            takes_none,
            log_start: Some(fetch.log_start),
            follower: from,
            broker_epoch: Some(broker_epoch),
            current_leader_epoch: Some(fetch.leader_epoch),
            fetch_offset: fetch.fetch_offset,
            last_fetched_epoch: fetch.last_fetched_epoch,
            max_bytes: FETCH_BYTES_MAX,
        };
        match leader.replica.follower_fetch(now, &request) {
            Ok((FetchAnswer::Diverging { epoch, end }, progress)) => {
                Ok((Fetched::Diverging { epoch, end }, progress))
            }
            Ok((FetchAnswer::Data { read, high_watermark, log_start, .. }, progress)) => {
                let records = read.map_or_else(Bytes::new, |plan| leader.disk.read(&plan));
                Ok((Fetched::Data { records, high_watermark, log_start }, progress))
            }
            Err(FetchError::OutOfRange { log_start, .. }) => {
                Ok((Fetched::OutOfRange { log_start }, Progress::default()))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn deliver(
        &mut self,
        to: BrokerId,
        fetch: &FollowerFetch,
        answer: Fetched,
    ) -> Result<Progress, FetchedError> {
        let broker = self.broker(to);
        broker.replica.fetched(fetch, answer, &mut broker.pending)
    }

    /// The broker loses what was not synced, and starts again under a new registration.
    pub(super) fn crash(&mut self, id: BrokerId) {
        let settings = self.settings;
        let broker = self.broker(id);
        let mut disk = std::mem::take(&mut broker.disk);
        disk.crash();
        let epoch = BrokerEpoch(broker.epoch.0 + 1);
        *broker = Broker::start(id, epoch, disk, settings);
    }
}

impl Broker {
    fn start(id: BrokerId, epoch: BrokerEpoch, disk: Disk, settings: Settings) -> Self {
        let partition = TopicPartition { topic: TopicId::default(), partition: PartitionIndex(0) };
        let directory = "topic-0".to_string();
        let mut pending = Vec::new();
        let log = if disk.has_log() {
            let (mut log, _) =
                Log::recover(partition, directory, settings.log, &disk).expect("a log that can be recovered");
            log.start(&mut pending);
            log
        } else {
            Log::create(partition, directory, settings.log, &mut pending)
        };
        let replica = Replica::new(id, log, settings.replica, settings.sabotage);
        Self { id, epoch, replica, disk, pending }
    }

    /// Carries out the operation at `index` of those pending, or fails it.
    pub(super) fn finish(&mut self, index: usize, result: Result<(), DiskError>) -> Progress {
        let op = self.pending.remove(index);
        match &result {
            Ok(()) => self.disk.perform(&op),
            Err(_) => self.disk.fail(&op),
        }
        self.replica.disk_done(op.id, result.map(|()| klamm_log::Done::Nothing), &mut self.pending)
    }

    pub(super) fn contents(&self) -> Result<Vec<Stored>, String> {
        self.disk
            .contents(self.replica.log().written())
            .map_err(|problem| format!("broker {}: {problem}", self.id))
    }
}

/// Producer 7 at this sequence number.
pub(super) fn numbered(base_sequence: i32) -> Producer {
    Producer { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence }
}
