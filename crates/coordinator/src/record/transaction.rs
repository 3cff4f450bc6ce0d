//! Records of `__transaction_state`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm_model::{PartitionIndex, ProducerEpoch, ProducerId, Timestamp};
use klamm_wire::coordinator_records::PartitionsSchema;
use klamm_wire::{TransactionLogKey, TransactionLogValue};

use super::RecordError;
use super::format::{checked, entry, key, open, value};
use crate::Entry;

/// A change of what is known of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionRecord {
    /// Which.
    pub transactional_id: String,
    /// `None`: forgotten.
    pub value: Option<Transaction>,
}

/// A transactional id: who uses it, and the transaction that is open or was the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Whose transactions these are.
    pub producer: ProducerId,
    /// The one before, whose epochs were used up.
    pub previous_producer: Option<ProducerId>,
    /// The one that takes over when this transaction is complete, because the epochs are used up.
    pub next_producer: Option<ProducerId>,
    /// Fences earlier producers with the transactional id and, since KIP-890, earlier transactions.
    pub epoch: ProducerEpoch,
    /// How long a transaction may be open.
    pub timeout_ms: i32,
    /// Where the transaction is.
    pub state: TransactionState,
    /// What it has written to.
    pub partitions: Partitions,
    /// When this changed.
    pub updated_at: Timestamp,
    /// When the transaction began.
    pub started_at: Option<Timestamp>,
    /// What its producer spoke.
    pub version: TransactionVersion,
}

/// How a producer speaks of transactions (`transaction.version`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransactionVersion {
    /// 0 and 1: an epoch for each producer. A request that comes late may be taken for one of the next transaction.
    V1,
    /// 2: an epoch for each transaction (KIP-890).
    V2,
}

/// By topic.
pub type Partitions = BTreeMap<String, BTreeSet<PartitionIndex>>;

/// Where a transaction is. Kafka has two more, which are never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransactionState {
    /// There was none yet.
    Empty,
    /// It takes records.
    Ongoing,
    /// It will be committed: that is decided, and the markers are on their way.
    PrepareCommit,
    /// It will be aborted: that is decided, and the markers are on their way.
    PrepareAbort,
    /// It was committed.
    CompleteCommit,
    /// It was aborted.
    CompleteAbort,
}

impl TransactionRecord {
    /// As it is stored.
    ///
    /// # Panics
    /// On a text of more than 32,767 bytes.
    pub fn encode(&self) -> Entry {
        let key = TransactionLogKey { transactional_id: self.transactional_id.clone() };
        let value = self.value.as_ref().map(TransactionLogValue::from);
        entry(TransactionLogKey::RECORD_TYPE, &key, VALUE_VERSION, value)
    }

    /// Reads what is stored. `None`: a record of a kind that this version does not know and leaves alone.
    pub fn decode(stored: &Bytes, bytes: Option<&Bytes>) -> Result<Option<Self>, RecordError> {
        let (kind, reader) = open("the key", stored)?;
        if kind != TransactionLogKey::RECORD_TYPE {
            return Ok(None);
        }
        let TransactionLogKey { transactional_id } = key(reader)?;
        Ok(Some(Self {
            transactional_id,
            value: value::<TransactionLogValue, _>(bytes, Transaction::try_from)?,
        }))
    }
}

/// Clusters with `transaction.version` 1 or higher have it.
const VALUE_VERSION: i16 = 1;

impl From<&Transaction> for TransactionLogValue {
    fn from(it: &Transaction) -> Self {
        let partitions = it.partitions.iter().map(|(topic, partitions)| PartitionsSchema {
            topic: topic.clone(),
            partition_ids: partitions.iter().map(|it| it.0).collect(),
        });
        Self {
            producer_id: it.producer.0,
            previous_producer_id: it.previous_producer.map_or(-1, |it| it.0),
            next_producer_id: it.next_producer.map_or(-1, |it| it.0),
            producer_epoch: it.epoch.0,
            // Of a transaction that another system decides on (KIP-939), which nobody can begin yet.
            next_producer_epoch: -1,
            transaction_timeout_ms: it.timeout_ms,
            transaction_status: it.state as i8,
            transaction_partitions: (it.state != TransactionState::Empty).then(|| partitions.collect()),
            transaction_last_update_timestamp_ms: it.updated_at.0,
            transaction_start_timestamp_ms: it.started_at.map_or(-1, |it| it.0),
            client_transaction_version: match it.version {
                TransactionVersion::V1 => 0,
                TransactionVersion::V2 => 2,
            },
        }
    }
}

impl TryFrom<TransactionLogValue> for Transaction {
    type Error = RecordError;

    fn try_from(it: TransactionLogValue) -> Result<Self, RecordError> {
        let state =
            checked("the state of a transaction", it.transaction_status, TransactionState::from_number)?;
        let mut partitions = Partitions::new();
        // Before its first transaction an id has none, whatever stands there.
        let stored = it.transaction_partitions.filter(|_| state != TransactionState::Empty);
        for topic in stored.unwrap_or_default().into_iter().filter(|topic| !topic.partition_ids.is_empty()) {
            partitions
                .entry(topic.topic)
                .or_default()
                .extend(topic.partition_ids.into_iter().map(PartitionIndex));
        }
        Ok(Self {
            producer: checked("the producer id", it.producer_id, ProducerId::from_wire)?,
            previous_producer: ProducerId::from_wire(it.previous_producer_id),
            next_producer: ProducerId::from_wire(it.next_producer_id),
            epoch: checked("the producer epoch", it.producer_epoch, |raw| {
                (0 <= raw).then_some(ProducerEpoch(raw))
            })?,
            timeout_ms: it.transaction_timeout_ms,
            state,
            partitions,
            updated_at: Timestamp(it.transaction_last_update_timestamp_ms),
            started_at: (0 <= it.transaction_start_timestamp_ms)
                .then_some(Timestamp(it.transaction_start_timestamp_ms)),
            version: if 2 <= it.client_transaction_version {
                TransactionVersion::V2
            } else {
                TransactionVersion::V1
            },
        })
    }
}

impl TransactionState {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    fn from_number(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i8 == number)
    }

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// By Kafka's word, exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}
