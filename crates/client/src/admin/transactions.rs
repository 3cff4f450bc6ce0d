//! Transactions: which there are, what they cover, and how those are ended that nobody else ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use klamm_model::{BrokerId, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use klamm_wire::{
    DescribeTransactionsRequest, InitProducerIdRequest, ListTransactionsRequest, Request,
    WriteTxnMarkersRequest,
    write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic},
};

use super::ask::{ByItem, answer, named};
use super::error::{AdminError, Failure, check};
use super::wire_enum::{word, word_enum};
use super::{Admin, PartitionName};
use crate::coordinators::KeyType;

word_enum! {
    /// What has become of a transactional id's last transaction.
    TransactionState {
        /// There was none since its producer came.
        Empty = "Empty",
        /// It is open.
        Ongoing = "Ongoing",
        /// It is committed, and its marks are being written.
        PrepareCommit = "PrepareCommit",
        /// It is aborted, and its marks are being written.
        PrepareAbort = "PrepareAbort",
        /// It is committed, and everybody can see that.
        CompleteCommit = "CompleteCommit",
        /// It is aborted, and everybody can see that.
        CompleteAbort = "CompleteAbort",
        /// It was open for too long, and is about to be aborted.
        PrepareEpochFence = "PrepareEpochFence",
        /// The transactional id is being forgotten.
        Dead = "Dead",
    }
}

/// Which transactions are listed; all where nothing is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TransactionFilter {
    /// Those in one of these states.
    pub states: Vec<TransactionState>,
    /// Those of these producers.
    pub producers: Vec<ProducerId>,
    /// Those that began longer ago than this (Kafka 3.8 and newer).
    pub longer_than: Option<Duration>,
    /// Those whose whole transactional id matches this regular expression (Kafka 4.1 and newer).
    pub pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedTransaction {
    /// Who has it.
    pub producer: ProducerId,
    /// What has become of its last transaction.
    pub state: TransactionState,
    /// Who keeps it.
    pub coordinator: BrokerId,
}

/// A transactional id with its last transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionDescription {
    /// Who keeps it.
    pub coordinator: BrokerId,
    /// What has become of its last transaction.
    pub state: TransactionState,
    /// Who has it.
    pub producer: ProducerId,
    /// Its session.
    pub epoch: ProducerEpoch,
    /// How long its transactions may take.
    pub timeout: Duration,
    /// When the last one began, if there was one.
    pub started_at: Option<Timestamp>,
    /// What it covers, as long as not all of its marks are written.
    pub partitions: BTreeSet<PartitionName>,
}

/// A transaction in one partition's log, by what the partition's leader knows of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenTransaction {
    /// The partition.
    pub partition: PartitionName,
    /// Whose it is.
    pub producer: ProducerId,
    /// In which session.
    pub epoch: ProducerEpoch,
    /// The coordinator's; an older one than the partition has heard of is refused.
    pub coordinator_epoch: LeaderEpoch,
}

impl Admin {
    /// Every transactional id of the cluster that the filter lets pass. All brokers are asked: each tells of those that it coordinates. Fails where one of
    /// them does not answer, as its transactions would be missing.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<BTreeMap<String, ListedTransaction>, AdminError> {
        let longer_than =
            filter.longer_than.map(|least| i64::try_from(least.as_millis()).unwrap_or(i64::MAX));
        let request = Request::ListTransactions(ListTransactionsRequest {
            state_filters: filter.states.iter().map(|state| state.name().to_owned()).collect(),
            producer_id_filters: filter.producers.iter().map(|producer| producer.0).collect(),
            duration_filter: longer_than.unwrap_or(-1),
            transactional_id_pattern: filter.pattern.clone(),
        });
        self.ask_all_brokers(&request, |coordinator, response| {
            let answer = answer!(response, ListTransactions);
            check(answer.error_code, None)?;
            let listed = answer.transaction_states.into_iter().map(|it| {
                let producer = ProducerId(it.producer_id);
                let state = word(&it.transaction_state);
                (it.transactional_id, ListedTransaction { producer, state, coordinator })
            });
            Ok(listed.collect())
        })
        .await
    }

    /// The last transactions of these ids. One that there is not fails with [`ErrorCode::TransactionalIdNotFound`].
    pub async fn describe_transactions(
        &self,
        transactional_ids: &[&str],
    ) -> Result<ByItem<String, TransactionDescription>, AdminError> {
        let request = |ids: &[String]| {
            Request::DescribeTransactions(DescribeTransactionsRequest { transactional_ids: ids.to_vec() })
        };
        self.ask_coordinators_of(KeyType::Transaction, transactional_ids, request, |coordinator, response| {
            let answer = answer!(response, DescribeTransactions);
            let described = answer.transaction_states.into_iter().map(|it| {
                let partitions = it.topics.into_iter().flat_map(|topic| {
                    let name: Arc<str> = topic.topic.into();
                    topic.partitions.into_iter().map(move |partition| named(&name, partition))
                });
                let description = TransactionDescription {
                    coordinator,
                    state: word(&it.transaction_state),
                    producer: ProducerId(it.producer_id),
                    epoch: ProducerEpoch(it.producer_epoch),
                    timeout: Duration::from_millis(u64::try_from(it.transaction_timeout_ms).unwrap_or(0)),
                    started_at: (it.transaction_start_time_ms >= 0)
                        .then_some(Timestamp(it.transaction_start_time_ms)),
                    partitions: partitions.collect(),
                };
                (it.transactional_id, check(it.error_code, None).map(|()| description))
            });
            described.collect()
        })
        .await
    }

    /// Takes transactional ids away from whoever has them: those are told so, and what they left open is aborted. An id that there is not is made.
    pub async fn fence_producers(
        &self,
        transactional_ids: &[&str],
    ) -> Result<ByItem<String, (ProducerId, ProducerEpoch)>, AdminError> {
        let mut fenced = ByItem::new();
        // A request is about one of them.
        for &id in transactional_ids {
            let ids = [id];
            let request = |_: &[String]| {
                Request::InitProducerId(InitProducerIdRequest {
                    transactional_id: Some(id.to_owned()),
                    // Nobody is going to write under it.
                    transaction_timeout_ms: 1,
                    producer_id: -1,
                    producer_epoch: -1,
                    ..InitProducerIdRequest::default()
                })
            };
            let found = self.ask_coordinators_of(KeyType::Transaction, &ids, request, |_, response| {
                let answer = answer!(response, InitProducerId);
                let identity = (ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch));
                vec![(id.to_owned(), check(answer.error_code, None).map(|()| identity))]
            });
            fenced.extend(found.await?);
        }
        Ok(fenced)
    }

    /// The transaction that begins at this offset of a partition, as its leader knows it, for [`abort_transaction`](Self::abort_transaction).
    pub async fn open_transaction(
        &self,
        partition: &PartitionName,
        start: Offset,
    ) -> Result<OpenTransaction, AdminError> {
        let producers = self.describe_producers([partition.clone()]).await?.remove(partition);
        let producers = producers.expect("every partition has an outcome")?;
        let found = producers.into_iter().find(|it| it.transaction_start == Some(start)).and_then(|it| {
            Some(OpenTransaction {
                partition: partition.clone(),
                producer: it.id,
                epoch: ProducerEpoch(i16::try_from(it.epoch).ok()?),
                coordinator_epoch: it.coordinator_epoch.unwrap_or(LeaderEpoch(0)),
            })
        });
        found.ok_or_else(|| {
            let message = Some(format!("no open transaction begins at offset {}", start.raw()));
            Failure::Refused { code: ErrorCode::InvalidRequest, message }.about(partition)
        })
    }

    /// Writes the mark that aborts a transaction to its partition's log, past the coordinator. That is for transactions that the coordinator does not know: of
    /// others it takes records away that may be committed elsewhere.
    pub async fn abort_transaction(&self, transaction: &OpenTransaction) -> Result<(), AdminError> {
        let PartitionName { topic, partition } = &transaction.partition;
        let topic = WritableTxnMarkerTopic { name: topic.to_string(), partition_indexes: vec![*partition] };
        let marker = WritableTxnMarker {
            producer_id: transaction.producer.0,
            producer_epoch: transaction.epoch.0,
            transaction_result: false,
            topics: vec![topic],
            coordinator_epoch: transaction.coordinator_epoch.0,
            ..WritableTxnMarker::default()
        };
        let request = |_: &[PartitionName]| {
            Request::WriteTxnMarkers(WriteTxnMarkersRequest { markers: vec![marker.clone()] })
        };
        let mut outcomes = self
            .ask_leaders([transaction.partition.clone()], request, |response| {
                let topics = answer!(response, WriteTxnMarkers).markers.into_iter().flat_map(|it| it.topics);
                let mentioned = topics.flat_map(|topic| {
                    let name: Arc<str> = topic.name.into();
                    topic
                        .partitions
                        .into_iter()
                        .map(move |it| (named(&name, it.partition_index), check(it.error_code, None)))
                });
                mentioned.collect()
            })
            .await?;
        outcomes.remove(&transaction.partition).expect("every partition has an outcome")
    }
}
