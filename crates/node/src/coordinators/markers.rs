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
use klamm_replica::EndTransaction;
use klamm_wire::{
    Request, Response, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    write_txn_markers::{
        WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
        WritableTxnMarkerTopicResult,
    },
};
use rustc_hash::FxHashMap;

use super::Kind;
use crate::{Effect, Now, PeerFailure, ReplyTo, calls::Purpose, errors::ToCode, node::Node};

/// The version in which brokers ask one another.
const VERSION: i16 = 2;

/// Marks under way for the shards of this broker.
#[derive(Default)]
pub(crate) struct Marking {
    under_way: FxHashMap<MarkersId, UnderWay>,
    /// Marks of which nobody knows what becomes of them.
    lost: Vec<(MarkFor, ErrorCode)>,
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
    Request(RequestId),
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
        let report = MarkersReport { id, transactional_id, failed: Partitions::new() };
        self.coordinators.marking.under_way.insert(id, UnderWay { shard, report, missing });
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
        let topic = self.image.topic_named(topic)?;
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
        let Some(hosted) = self.hosted.get_mut(&key) else { return Err(self.why_not_hosted(key, false)) };
        if hosted.settings.coordinates == Some(Kind::Groups) {
            let shard = self.coordinators.shards.get_mut(&key).filter(|shard| shard.serves());
            let shard = shard.ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            // The mark counts for what the shard has decided before it.
            if shard.append(now, &mut hosted.replica, &mut self.ops).is_err() {
                self.flush_ops(out);
                self.drop_shard(key, ErrorCode::NotCoordinator, out);
                self.moved.push(key);
                return Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let appended = hosted.replica.end_transaction(it, now.wall, &mut self.ops);
        let appended = appended.map_err(|error| error.code())?;
        hosted.marks_count += 1;
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
            MarkFor::Request(id) => self.coordinators.answers.marked(id, code, out),
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
        under_way.missing -= 1;
        if 0 < under_way.missing {
            return;
        }
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
        version: i16,
        request: WriteTxnMarkersRequest,
        out: &mut Vec<Effect>,
    ) {
        let mut marks = Vec::new();
        let mut response = WriteTxnMarkersResponse::default();
        for marker in request.markers {
            let it = EndTransaction {
                producer: ProducerId(marker.producer_id),
                epoch: ProducerEpoch(marker.producer_epoch),
                mark: TransactionMark {
                    end: if marker.transaction_result {
                        TransactionEnd::Commit
                    } else {
                        TransactionEnd::Abort
                    },
                    coordinator_epoch: LeaderEpoch(marker.coordinator_epoch),
                },
                bumps_epoch: 2 <= marker.transaction_version,
            };
            let mut topics = Vec::with_capacity(marker.topics.len());
            for topic in marker.topics {
                let place = |index: &i32| WritableTxnMarkerPartitionResult {
                    partition_index: *index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                };
                let partitions = topic.partition_indexes.iter().map(place).collect();
                for index in topic.partition_indexes {
                    marks.push((it, self.place_of(&topic.name, PartitionIndex(index))));
                }
                topics.push(WritableTxnMarkerTopicResult { name: topic.name, partitions });
            }
            response.markers.push(WritableTxnMarkerResult { producer_id: marker.producer_id, topics });
        }
        let response = Response::WriteTxnMarkers(response);
        let ids = self.coordinators.answers.begin(to, version, response, marks.len(), out);
        for (id, (it, place)) in ids.zip(marks) {
            match place {
                None => self.coordinators.answers.marked(id, ErrorCode::UnknownTopicOrPartition, out),
                Some((key, _)) => self.mark_here(now, key, &it, MarkFor::Request(id), out),
            }
        }
    }
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
