//! Marks that end transactions: a coordinator's shard wants them written to partitions, here or on other brokers, and hears what became of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use klamm_coordinator::{
    RequestId,
    record::{Partitions, TransactionVersion},
    transaction::{Markers, MarkersId, MarkersReport, Outcome},
};
use klamm_model::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicPartition,
    TransactionEnd, TransactionMark,
};
use klamm_replica::{EndTransaction, Role};
use klamm_wire::{
    Request, Response, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    write_txn_markers::{
        WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
        WritableTxnMarkerTopicResult,
    },
};
use rustc_hash::FxHashMap;

use super::{Kind, has_transactions};
use crate::{Effect, Listener, Now, PeerFailure, ReplyTo, calls::Purpose, errors::ToCode, node::Node};

/// The version in which brokers ask one another.
const VERSION: i16 = 2;

/// Marks under way for the shards of this broker.
#[derive(Default)]
pub(crate) struct Marking {
    under_way: FxHashMap<MarkersId, UnderWay>,
    /// Marks of which nobody knows what becomes of them.
    lost: Vec<(MarkFor, ErrorCode)>,
}

impl Marking {
    /// A shard is gone: nobody waits for its marks any more.
    pub(super) fn forget(&mut self, shard: TopicPartition) {
        self.under_way.retain(|_, it| it.shard != shard);
    }
}

struct UnderWay {
    shard: TopicPartition,
    report: MarkersReport,
    /// Partitions of which nothing was heard.
    missing: usize,
}

/// Whom a mark in a partition of this broker is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MarkFor {
    /// A shard here.
    Shard { id: MarkersId, topic: String, partition: PartitionIndex },
    /// Whoever asked for it.
    Request(RequestId, MarkPlace),
}

/// A mark's place in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MarkPlace {
    pub(super) marker: usize,
    pub(super) topic: usize,
    pub(super) partition: usize,
}

/// A mark that waits until it is committed.
#[derive(Debug)]
pub(crate) struct MarkWait {
    pub(crate) end: Offset,
    pub(crate) whom: MarkFor,
}

impl Node {
    /// A shard has decided the end of a transaction.
    pub(super) fn write_markers(
        &mut self,
        now: Now,
        shard: TopicPartition,
        markers: Markers,
        out: &mut Vec<Effect>,
    ) {
        let Some(epoch) = self.coordinators.shards.get(&shard).map(|shard| shard.epoch) else { return };
        let Markers { id, transactional_id, producer, outcome, version, partitions } = markers;
        let it = EndTransaction {
            producer: producer.producer,
            epoch: producer.epoch,
            mark: TransactionMark {
                end: match outcome {
                    Outcome::Commit => TransactionEnd::Commit,
                    Outcome::Abort => TransactionEnd::Abort,
                },
                coordinator_epoch: epoch,
            },
            bumps_epoch: version == TransactionVersion::V2,
        };
        let missing = partitions.values().map(BTreeSet::len).sum();
        let report = MarkersReport { id, transactional_id, failed: Partitions::new(), is_superseded: false };
        self.coordinators.marking.under_way.insert(id, UnderWay { shard, report, missing });
        if missing == 0 {
            return self.all_marked(now, id);
        }
        let mut elsewhere = BTreeMap::<BrokerId, Partitions>::new();
        for (topic, partitions) in partitions {
            for partition in partitions {
                match self.place_of(&topic, partition) {
                    // There is nothing left that it could end.
                    None => self.marked(now, id, &topic, partition, ErrorCode::None),
                    Some((_, None)) => {
                        self.marked(now, id, &topic, partition, ErrorCode::LeaderNotAvailable);
                    }
                    Some((key, Some(leader))) if leader == self.config.broker_id => {
                        let whom = MarkFor::Shard { id, topic: topic.clone(), partition };
                        self.mark_here(now, key, &it, whom, out);
                    }
                    Some((_, Some(leader))) => {
                        let of_leader = elsewhere.entry(leader).or_default();
                        of_leader.entry(topic.clone()).or_default().insert(partition);
                    }
                }
            }
        }
        for (leader, partitions) in elsewhere {
            let request = Request::WriteTxnMarkers(asking(&it, &partitions));
            self.send(leader, Purpose::Markers { id, partitions }, request, VERSION, out);
        }
    }

    fn place_of(&self, topic: &str, partition: PartitionIndex) -> Option<(TopicPartition, Option<BrokerId>)> {
        let topic = self.image.topic_named(topic).filter(|_| has_transactions(topic))?;
        let key = TopicPartition { topic: topic.id, partition };
        Some((key, topic.partition(partition)?.leader))
    }

    /// Writes a mark in a partition that this broker leads.
    fn mark_here(
        &mut self,
        now: Now,
        key: TopicPartition,
        it: &EndTransaction,
        whom: MarkFor,
        out: &mut Vec<Effect>,
    ) {
        match self.append_mark(now, key, it, out) {
            Ok(end) => {
                let hosted = self.hosted.get_mut(&key).expect("it was just appended to");
                hosted.marks.push_back(MarkWait { end, whom });
                self.moved.push(key);
            }
            Err(code) => self.mark_ended(now, whom, code, out),
        }
    }

    fn append_mark(
        &mut self,
        now: Now,
        key: TopicPartition,
        it: &EndTransaction,
        out: &mut Vec<Effect>,
    ) -> Result<Offset, ErrorCode> {
        let Some(hosted) = self.hosted.get(&key) else { return Err(self.why_not_hosted(key, false)) };
        // Whoever stops has its logs at rest, and they stay so.
        if self.stopping.is_some() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if hosted.settings.coordinates == Some(Kind::Groups) {
            if !self.shard_serves(key) {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            // The mark counts for what the shard has decided before it.
            if !self.flush_shard(now, key, out) {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let hosted = self.hosted.get_mut(&key).expect("it was just there");
        let appended = hosted.replica.end_transaction(it, now.wall, &mut self.ops);
        let appended = appended.map_err(|error| error.code())?;
        self.flush_ops(out);
        if let Some(shard) = self.coordinators.shards.get_mut(&key) {
            shard.end_transaction(it.producer, it.mark.end == TransactionEnd::Commit);
        }
        Ok(appended.end)
    }

    /// Marks of a partition that are committed by now.
    pub(crate) fn release_marks(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        while let Some(hosted) = self.hosted.get_mut(&key)
            && let committed = hosted.replica.high_watermark()
            && let Some(wait) = hosted.marks.pop_front_if(|wait| wait.end <= committed)
        {
            self.mark_ended(now, wait.whom, ErrorCode::None, out);
        }
    }

    /// Nobody knows what becomes of a partition's marks above `kept`; `None`: of all.
    pub(crate) fn lose_marks(&mut self, key: TopicPartition, kept: Option<Offset>, why: ErrorCode) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let is_kept = |wait: &MarkWait| kept.is_some_and(|kept| wait.end <= kept);
        let (kept, lost) = std::mem::take(&mut hosted.marks).into_iter().partition(is_kept);
        hosted.marks = kept;
        let lost: VecDeque<MarkWait> = lost;
        self.coordinators.marking.lost.extend(lost.into_iter().map(|wait| (wait.whom, why)));
    }

    /// Tells whoever waits for marks that are lost.
    pub(crate) fn tell_lost_marks(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (whom, why) in std::mem::take(&mut self.coordinators.marking.lost) {
            self.mark_ended(now, whom, why, out);
        }
    }

    fn mark_ended(&mut self, now: Now, whom: MarkFor, code: ErrorCode, out: &mut Vec<Effect>) {
        match whom {
            MarkFor::Shard { id, topic, partition } => self.marked(now, id, &topic, partition, code),
            MarkFor::Request(id, place) => self.coordinators.answers.marked(id, place, code, out),
        }
    }

    /// Another broker has answered, or not.
    pub(crate) fn markers_answered(
        &mut self,
        now: Now,
        id: MarkersId,
        partitions: Partitions,
        answer: Result<Response, PeerFailure>,
    ) {
        let mut codes = FxHashMap::default();
        if let Ok(Response::WriteTxnMarkers(response)) = answer {
            for topic in response.markers.into_iter().flat_map(|marker| marker.topics) {
                for partition in topic.partitions {
                    let index = PartitionIndex(partition.partition_index);
                    codes.insert((topic.name.clone(), index), partition.error_code);
                }
            }
        }
        for (topic, partitions) in partitions {
            for partition in partitions {
                let code =
                    codes.get(&(topic.clone(), partition)).and_then(|code| ErrorCode::from_code(*code));
                self.marked(now, id, &topic, partition, code.unwrap_or(ErrorCode::RequestTimedOut));
            }
        }
    }

    fn marked(&mut self, now: Now, id: MarkersId, topic: &str, partition: PartitionIndex, code: ErrorCode) {
        let Some(under_way) = self.coordinators.marking.under_way.get_mut(&id) else { return };
        // A partition that has seen a later epoch has nothing left to end.
        if !matches!(code, ErrorCode::None | ErrorCode::InvalidProducerEpoch) {
            under_way.report.failed.entry(topic.to_owned()).or_default().insert(partition);
        }
        under_way.report.is_superseded |= code == ErrorCode::TransactionCoordinatorFenced;
        under_way.missing -= 1;
        if under_way.missing == 0 {
            self.all_marked(now, id);
        }
    }

    /// Of all partitions it is known what became of their marks.
    fn all_marked(&mut self, now: Now, id: MarkersId) {
        let UnderWay { shard: key, report, .. } =
            self.coordinators.marking.under_way.remove(&id).expect("it was just there");
        let Some(hosted) = self.hosted.get(&key) else { return };
        let end = hosted.replica.log().end();
        if let Some(shard) = self.coordinators.shards.get_mut(&key) {
            shard.markers_written(now, &report, end);
            // What it decides now goes out with everything else of this step.
            self.moved.push(key);
        }
    }

    /// Marks that another broker's coordinator, or an operator, wants written here.
    pub(crate) fn write_txn_markers(
        &mut self,
        now: Now,
        to: ReplyTo,
        (listener, version): (Listener, i16),
        request: WriteTxnMarkersRequest,
        out: &mut Vec<Effect>,
    ) {
        let mut marks = Vec::new();
        let mut response = WriteTxnMarkersResponse::default();
        for (marker, it) in request.markers.into_iter().enumerate() {
            let end = asked(&it);
            let mut topics = Vec::with_capacity(it.topics.len());
            for (topic, WritableTxnMarkerTopic { name, partition_indexes }) in
                it.topics.into_iter().enumerate()
            {
                for (partition, index) in partition_indexes.iter().enumerate() {
                    let key = self.place_of(&name, PartitionIndex(*index)).map(|(key, _)| key);
                    marks.push((end, key, MarkPlace { marker, topic, partition }));
                }
                let place =
                    |partition_index| WritableTxnMarkerPartitionResult { partition_index, error_code: 0 };
                let partitions = partition_indexes.into_iter().map(place).collect();
                topics.push(WritableTxnMarkerTopicResult { name, partitions });
            }
            response.markers.push(WritableTxnMarkerResult { producer_id: it.producer_id, topics });
        }
        let response = Response::WriteTxnMarkers(response);
        let ids = self.coordinators.answers.begin(to, version, response, marks.len(), out);
        for (id, (end, key, place)) in ids.zip(marks) {
            let end = end.ok_or(ErrorCode::InvalidRequest);
            let found = key.ok_or(ErrorCode::UnknownTopicOrPartition);
            let checked = end.and_then(|end| Ok((found?, end))).and_then(|(key, end)| match listener {
                Listener::Broker => Ok((key, end)),
                Listener::Client => Ok((key, self.by_operator(key, end)?)),
            });
            match checked {
                Ok((key, end)) => self.mark_here(now, key, &end, MarkFor::Request(id, place), out),
                Err(code) => self.coordinators.answers.marked(id, place, code, out),
            }
        }
    }

    /// What becomes of a mark that no coordinator has sent: an operator may abort what a producer has left open (KIP-664), under the very epoch that it is
    /// open under, and no more. In particular, no coordinator's marks are refused afterwards because of the coordinator's epoch that was made up for it.
    fn by_operator(&self, key: TopicPartition, it: EndTransaction) -> Result<EndTransaction, ErrorCode> {
        if it.mark.end == TransactionEnd::Commit {
            // That records count, their coordinator alone may say.
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        let Some(hosted) = self.hosted.get(&key) else { return Err(self.why_not_hosted(key, false)) };
        if !matches!(hosted.replica.role(), Role::Leader { .. }) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let known = hosted.replica.log().producer_state(it.producer).filter(|known| known.epoch == it.epoch);
        let newest = known.ok_or(ErrorCode::InvalidProducerEpoch)?.coordinator_epoch;
        let coordinator_epoch = it.mark.coordinator_epoch.min(newest.unwrap_or(LeaderEpoch(0)));
        let mark = TransactionMark { coordinator_epoch, ..it.mark };
        Ok(EndTransaction { mark, bumps_epoch: false, ..it })
    }
}

/// `None`: of no producer, or no coordinator.
fn asked(it: &WritableTxnMarker) -> Option<EndTransaction> {
    let end = if it.transaction_result { TransactionEnd::Commit } else { TransactionEnd::Abort };
    let is_sound = 0 <= it.producer_id && 0 <= it.producer_epoch && 0 <= it.coordinator_epoch;
    is_sound.then_some(EndTransaction {
        producer: ProducerId(it.producer_id),
        epoch: ProducerEpoch(it.producer_epoch),
        mark: TransactionMark { end, coordinator_epoch: LeaderEpoch(it.coordinator_epoch) },
        bumps_epoch: 2 <= it.transaction_version,
    })
}

fn asking(it: &EndTransaction, partitions: &Partitions) -> WriteTxnMarkersRequest {
    let topic = |(name, partitions): (&String, &BTreeSet<PartitionIndex>)| WritableTxnMarkerTopic {
        name: name.clone(),
        partition_indexes: partitions.iter().map(|it| it.0).collect(),
    };
    let marker = WritableTxnMarker {
        producer_id: it.producer.0,
        producer_epoch: it.epoch.0,
        transaction_result: it.mark.end == TransactionEnd::Commit,
        topics: partitions.iter().map(topic).collect(),
        coordinator_epoch: it.mark.coordinator_epoch.0,
        transaction_version: if it.bumps_epoch { 2 } else { 0 },
    };
    WriteTxnMarkersRequest { markers: vec![marker] }
}
