//! Writing records and offsets in transactions: all of one count, or nothing of it does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::config::TransactionalConfig;
use super::delivery::{Delivered, Delivery};
use super::error::{Cause, SendError};
use super::machine::Machine;
use super::question::{GroupOffsets, Protocol};
use super::record::Record;
use super::shell::{Producer, Shared, Tag};
use super::transaction_error::TransactionError;
use crate::admin::{CommittedOffset, PartitionName};
use crate::client::Client;
use crate::group::GroupMetadata;
use crate::metrics::ProducerMetrics;
use crate::net::seeded;
use crate::trouble::Trouble;

/// Writes records in transactions, one after the other. Of two with one transactional id the one that started last goes on, and the other is told
/// [`TransactionError::Fenced`].
///
/// ```no_run
/// # async fn example(client: klamm_client::Client, done: std::collections::BTreeMap<klamm_client::PartitionName, klamm_client::CommittedOffset>,
/// #     me: klamm_client::GroupMetadata) -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{Record, TransactionError, TransactionalConfig, TransactionalProducer};
///
/// let producer = TransactionalProducer::start(&client, TransactionalConfig::new("transfers-1")).await?;
/// let transaction = producer.begin().await?;
/// transaction.post(Record::new("accounts", b"-10").with_key(b"anna")).await?;
/// transaction.post(Record::new("accounts", b"+10").with_key(b"otto")).await?;
/// // What was read to know that, if it came from Kafka too.
/// transaction.send_offsets(done, me).await?;
/// match transaction.commit().await {
///     Ok(()) => println!("both, and the offsets"),
///     Err(error) if error.cause.is_fatal() => return Err(error.into()),
///     Err(error) => match error.cause {
///         // Something is missing: nothing of it will count, and the next one may go better.
///         TransactionError::MustAbort(_) => error.transaction.abort().await?,
///         // Only the coordinator knows; `error.transaction.commit()` goes on waiting.
///         _ => return Err(error.into()),
///     },
/// }
/// # Ok(())
/// # }
/// ```
pub struct TransactionalProducer {
    producer: Arc<Producer>,
    protocol: Option<Protocol>,
}

/// An open transaction. Whoever has it can write in it, or end it; there is no other beside it. Dropping it aborts it, in the background.
///
/// All methods but those that end it take `&self`: in an `Arc` it serves several tasks, and the last of them gets it out again to end it.
#[must_use = "what is not committed is aborted"]
pub struct Transaction {
    producer: Arc<Producer>,
}

/// A transaction that is not committed, as far as is known, and why.
#[derive(Debug, thiserror::Error)]
#[error("not committed: {cause}")]
pub struct Uncommitted {
    /// Why.
    pub cause: TransactionError,
    /// To abort it, or to go on waiting for what the coordinator decides ([`TransactionError::Undecided`]).
    pub transaction: Transaction,
}

impl From<Uncommitted> for TransactionError {
    /// The transaction is let go, and so aborted if it can be.
    fn from(error: Uncommitted) -> Self {
        error.cause
    }
}

impl TransactionalProducer {
    /// Takes the transactional id over: whoever had it is fenced, and what that one left open is aborted. Must be called within a tokio runtime.
    pub async fn start(client: &Client, config: TransactionalConfig) -> Result<Self, TransactionError> {
        if !config.producer.numbers_batches() {
            return Err(TransactionError::Unsuitable("transactions need acks=all and idempotence"));
        }
        let protocol = config.protocol;
        let machine = Machine::transactional(config, client.cluster(), seeded());
        let producer = Arc::new(Producer::start(client, machine, None));
        producer.shared.decided(|machine| machine.is_ready()).await?;
        Ok(Self { producer, protocol })
    }

    /// Begins a transaction. Where the one before was dropped, this waits until it has come to its end.
    pub async fn begin(&self) -> Result<Transaction, TransactionError> {
        let shared = &self.producer.shared;
        let begun = shared.decided(|machine| {
            // Asked for anew each time: the cluster may agree on another meanwhile.
            let agreed = || Protocol::of_level(shared.client.pool().transaction_level());
            let begun = machine.begin(self.protocol.unwrap_or_else(agreed));
            shared.work.notify_one();
            begun.map(|is_open| is_open.then_some(())).transpose()
        });
        begun.await?;
        Ok(Transaction { producer: self.producer.clone() })
    }

    /// Aborts what is open, if anything is, and waits for that.
    pub async fn close(self) {
        self.producer.shared.close().await;
    }

    /// As [`Producer::troubles`].
    pub fn troubles(&self) -> Vec<Trouble<Cause>> {
        self.producer.troubles()
    }

    /// What was done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        self.producer.metrics()
    }
}

impl Transaction {
    /// As [`Producer::send`]. That a record is written does not say yet that it counts.
    pub fn send<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<Delivered, SendError>> + Send + 'a {
        self.producer.send(record)
    }

    /// As [`Producer::accept`].
    pub async fn accept(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.producer.accept(record).await
    }

    /// Takes a record as soon as there is room. The cheapest way to send many: whether all were written is told by [`commit`](Self::commit), which
    /// waits for them.
    pub async fn post(&self, record: Record<'_>) -> Result<(), SendError> {
        self.producer.post(record).await
    }

    /// As [`Producer::flush`].
    pub async fn flush(&self) {
        self.producer.flush().await;
    }

    /// Commits offsets of a group of consumers with the transaction, if the member that has read up to them still is what it says.
    pub async fn send_offsets(
        &self,
        offsets: BTreeMap<PartitionName, CommittedOffset>,
        group: GroupMetadata,
    ) -> Result<(), TransactionError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let shared = &self.producer.shared;
        let ticket = shared.state.lock().machine.send_offsets(GroupOffsets { group, offsets })?;
        shared.work.notify_one();
        shared.decided(|machine| machine.offsets_taken(ticket)).await
    }

    /// Waits until all records are acknowledged and all offsets taken, and has everything count. `Ok` says that it does, for good. If something is
    /// missing the transaction comes back with the error, and can only be aborted.
    ///
    /// A future that is dropped before it is ready leaves the decision to the coordinator.
    pub async fn commit(self) -> Result<(), Uncommitted> {
        let shared = &self.producer.shared;
        let asked = shared.state.lock().machine.commit();
        shared.work.notify_one();
        let ended = match asked {
            Ok(()) => shared.decided(|machine| machine.transaction_end()).await,
            Err(error) => Err(error),
        };
        ended.map_err(|cause| Uncommitted { cause, transaction: self })
    }

    /// Has nothing of it count. What was not sent yet is not sent any more.
    pub async fn abort(self) -> Result<(), TransactionError> {
        let shared = &self.producer.shared;
        shared.state.lock().machine.abort()?;
        shared.work.notify_one();
        shared.decided(|machine| machine.transaction_end()).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let shared = &self.producer.shared;
        shared.state.lock().machine.let_go();
        shared.work.notify_one();
        // Somebody may wait to begin the next one.
        shared.ended.notify_waiters();
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl Shared {
    /// Waits for the coordinator's word, but not for ever.
    async fn decided<R>(
        &self,
        look: impl FnMut(&mut Machine<Tag>) -> Option<Result<R, TransactionError>>,
    ) -> Result<R, TransactionError> {
        let waited_ms = self.state.lock().machine.config().block_max_ms;
        match tokio::time::timeout(Duration::from_millis(waited_ms), self.found(look)).await {
            Ok(decided) => decided,
            Err(_) => {
                let last = self.state.lock().machine.transaction_trouble().map(Box::new);
                Err(TransactionError::Undecided { waited_ms, last })
            }
        }
    }
}
