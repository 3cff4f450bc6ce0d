//! What becomes of a transactional id: from what is known of it and a request, what will be known. Nothing here is remembered or sent.
//!
//! ```text
//!           AddPartitions              End, time-out, Init                 markers written
//!   Empty ----------------> Ongoing ------------------------> Prepare… --------------------> Complete…
//!     ^                        ^                                                                |  |
//!     |                        +------------------------- AddPartitions ------------------------+  |
//!     +------------------------------------------ Init --------------------------------------------+
//! ```
//! With `transaction.version` 2 every end takes the producer's next epoch, so that a request which comes late is known by its epoch. The markers carry that next
//! epoch. When there is none left, another producer id takes over on completion.

use klamm_model::{ProducerEpoch, ProducerId, Timestamp};

use super::{AddPartitions, End, Identity, Init, Outcome, TransactionError};
use crate::record::{Partitions, Transaction, TransactionState, TransactionVersion};

/// What is known of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// What the log has.
    pub(super) value: Transaction,
    /// The epoch before, while the producer that had it may ask again because it never heard of the new one. Not in the log: after the shard has moved, such a
    /// producer is fenced.
    pub(super) last_epoch: Option<ProducerEpoch>,
}

/// Why nothing becomes of it, at least for now.
#[derive(Debug)]
pub(super) enum Refusal {
    Because(TransactionError),
    /// The transaction is open and has to be aborted first.
    Open,
    /// The transaction's markers are under way.
    MarkersUnderWay,
    NoProducerId,
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        Self::Because(error)
    }
}

/// The last epoch that producers have. The one above it is for markers, so that the last transaction can be fenced too.
const EPOCH_LAST: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

impl Known {
    /// As the log has it.
    pub(super) fn read(value: Transaction) -> Self {
        Self { value, last_epoch: None }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { producer: self.value.producer, epoch: self.value.epoch }
    }

    /// Who the producer is when the transaction is complete.
    pub(super) fn next_identity(&self) -> Identity {
        match self.value.next_producer {
            Some(producer) => Identity { producer, epoch: ProducerEpoch(0) },
            None => self.identity(),
        }
    }

    /// What its markers say, while they are under way.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.value.state {
            TransactionState::PrepareCommit => Some(Outcome::Commit),
            TransactionState::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// When it began, if it is not complete.
    pub(super) fn open_since(&self) -> Option<Timestamp> {
        let is_open = self.value.state == TransactionState::Ongoing || self.outcome().is_some();
        self.value.started_at.filter(|_| is_open)
    }

    fn first(producer: ProducerId, timeout_ms: i32, now: Timestamp) -> Self {
        Self::read(Transaction {
            producer,
            previous_producer: Some(producer),
            next_producer: None,
            epoch: ProducerEpoch(0),
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Partitions::new(),
            updated_at: now,
            started_at: None,
            version: TransactionVersion::V1,
        })
    }

    fn in_state(&self, state: TransactionState, now: Timestamp) -> Transaction {
        let previous_producer = Some(self.value.producer);
        Transaction { previous_producer, state, updated_at: now, ..self.value.clone() }
    }

    /// The producer itself, or it before its last change of identity, of which it may not have heard.
    fn is_producer(&self, it: Identity) -> bool {
        it == self.identity()
            || self.last_epoch == Some(it.epoch)
                && (it.producer == self.value.producer || self.is_before_rotation(it))
    }

    /// The last identity of the producer id before.
    fn is_before_rotation(&self, it: Identity) -> bool {
        self.value.previous_producer == Some(it.producer) && EPOCH_LAST <= it.epoch
    }

    /// It has heard of the end of its transaction, whose markers are under way. Apache Kafka refuses it where it takes the next producer id, and calls it fenced
    /// where it ends its next transaction before a record has reached that (KIP-890), but whoever has the identity that is to come is the newest there is.
    fn is_ahead(&self, it: Identity) -> bool {
        self.outcome().is_some() && it == self.next_identity()
    }

    /// The transaction is not one whose markers are under way, and the producer is who it says.
    fn check_producer(&self, it: Identity) -> Result<(), Refusal> {
        if self.is_ahead(it) {
            return Err(Refusal::MarkersUnderWay);
        }
        if it.producer != self.value.producer {
            return Err(TransactionError::UnknownProducer.into());
        }
        if it.epoch != self.value.epoch {
            return Err(TransactionError::Fenced.into());
        }
        if self.outcome().is_some() { Err(Refusal::MarkersUnderWay) } else { Ok(()) }
    }
}

/// A producer takes the transactional id over, or goes on with it. `fresh` gives producer ids.
pub(super) fn init(
    known: Option<&Known>,
    it: &Init,
    now: Timestamp,
    fresh: impl FnOnce() -> Result<ProducerId, Refusal>,
) -> Result<Known, Refusal> {
    let Some(known) = known else { return Ok(Known::first(fresh()?, it.timeout_ms, now)) };
    if it.current.is_some_and(|current| known.is_ahead(current)) {
        return Err(Refusal::MarkersUnderWay);
    }
    // Kafka aborts an open transaction for whoever has the producer id and fences it afterwards; here a zombie aborts nothing.
    if it.current.is_some_and(|current| !known.is_producer(current)) {
        return Err(TransactionError::Fenced.into());
    }
    if known.value.state == TransactionState::Ongoing {
        return Err(Refusal::Open);
    }
    if known.outcome().is_some() {
        return Err(Refusal::MarkersUnderWay);
    }
    let mut value = known.in_state(TransactionState::Empty, now);
    value.timeout_ms = it.timeout_ms;
    value.started_at = None;
    let mut last_epoch = it.current.map(|_| value.epoch);
    if it.current.is_some_and(|current| current != known.identity()) {
        // It has not heard of its new identity.
        last_epoch = known.last_epoch;
    } else if EPOCH_LAST <= value.epoch {
        value.producer = fresh()?;
        value.epoch = ProducerEpoch(0);
    } else {
        value.epoch.0 += 1;
    }
    Ok(Known { value, last_epoch })
}

/// What the transaction covers from now on; `None`: it does already, or nothing is added, with which no transaction begins.
pub(super) fn add_partitions(
    known: &Known,
    it: &AddPartitions,
    now: Timestamp,
) -> Result<Option<Known>, Refusal> {
    known.check_producer(it.producer)?;
    let missing = missing(known, &it.partitions);
    if missing.is_empty() {
        return Ok(None);
    }
    let mut value = known.in_state(TransactionState::Ongoing, now);
    value.version = it.version;
    if known.value.state != TransactionState::Ongoing {
        value.started_at = Some(now);
    }
    for (topic, partitions) in missing {
        value.partitions.entry(topic).or_default().extend(partitions);
    }
    Ok(Some(Known { value, last_epoch: known.last_epoch }))
}

/// Which partitions the transaction does not cover.
pub(super) fn verify(known: &Known, it: &AddPartitions) -> Result<Partitions, Refusal> {
    known.check_producer(it.producer)?;
    Ok(missing(known, &it.partitions))
}

fn missing(known: &Known, partitions: &Partitions) -> Partitions {
    let mut missing = partitions.clone();
    missing.retain(|topic, partitions| {
        if let Some(covered) = known.value.partitions.get(topic) {
            partitions.retain(|it| !covered.contains(it));
        }
        !partitions.is_empty()
    });
    missing
}

/// Whether the transaction may be ended like this; false: it has been.
pub(super) fn end(known: &Known, it: &End) -> Result<bool, Refusal> {
    let is_repeated = match it.version {
        // From the epoch nobody can tell: only the state says whether the end is a new one.
        TransactionVersion::V1 => false,
        TransactionVersion::V2 => is_ended_by(known, it.producer),
    };
    let has_new_epochs = it.version == TransactionVersion::V2;
    if has_new_epochs && known.is_ahead(it.producer) {
        return Err(Refusal::MarkersUnderWay);
    }
    if it.producer.producer != known.value.producer && !is_repeated {
        return Err(TransactionError::UnknownProducer.into());
    }
    if it.producer.epoch != known.value.epoch && !is_repeated {
        return Err(TransactionError::Fenced.into());
    }
    let invalid = Err(Refusal::Because(TransactionError::InvalidState { state: known.value.state }));
    match (known.value.state, it.outcome) {
        // With the epoch from before its end: a late end of an earlier transaction.
        (TransactionState::Ongoing | TransactionState::Empty, _) if is_repeated => {
            Err(TransactionError::Fenced.into())
        }
        (TransactionState::Ongoing, _) => Ok(true),
        (TransactionState::PrepareCommit | TransactionState::PrepareAbort, _)
            if has_new_epochs && !is_repeated =>
        {
            Err(TransactionError::Fenced.into())
        }
        (TransactionState::PrepareCommit, Outcome::Commit)
        | (TransactionState::PrepareAbort, Outcome::Abort) => Err(Refusal::MarkersUnderWay),
        (TransactionState::CompleteCommit, Outcome::Commit)
        | (TransactionState::CompleteAbort, Outcome::Abort)
            if is_repeated || !has_new_epochs =>
        {
            Ok(false)
        }
        // A transaction that no record ever reached is nothing here yet, but its producer wants it ended, and an epoch that fences what is still on its way.
        (
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort,
            Outcome::Abort,
        ) if has_new_epochs && !is_repeated => Ok(true),
        _ => invalid,
    }
}

/// An end that the producer asked for as `it` has given it the identity that is known. Ends of the older protocol give none: there the epoch before is that of a
/// producer that was fenced, and must not be told who the newest is.
fn is_ended_by(known: &Known, it: Identity) -> bool {
    if known.value.version != TransactionVersion::V2 {
        return false;
    }
    let next_epoch =
        it.producer == known.value.producer && it.epoch.0.checked_add(1) == Some(known.value.epoch.0);
    let rotated = known.value.previous_producer == Some(it.producer)
        && it.epoch == EPOCH_LAST
        && known.value.epoch.0 == 0;
    next_epoch || rotated
}

/// The coordinator ends the transaction, not its producer. That one's epoch is not the one before the end's, so that it is not taken for whoever has asked for the end: it is fenced, as
/// with Apache Kafka. In the last epoch of a producer id there is no room for that.
pub(super) fn fenced(known: &Known) -> Known {
    let mut value = known.value.clone();
    if value.epoch < EPOCH_LAST {
        value.epoch.0 += 1;
    }
    Known { value, last_epoch: None }
}

/// The end is decided.
pub(super) fn prepare(
    known: &Known,
    outcome: Outcome,
    version: TransactionVersion,
    now: Timestamp,
    fresh: impl FnOnce() -> Result<ProducerId, Refusal>,
) -> Result<Known, Refusal> {
    let state = match outcome {
        Outcome::Commit => TransactionState::PrepareCommit,
        Outcome::Abort => TransactionState::PrepareAbort,
    };
    let mut value = known.in_state(state, now);
    let mut last_epoch = known.last_epoch;
    value.version = version;
    if known.value.state != TransactionState::Ongoing {
        value.started_at = Some(now);
    }
    if version == TransactionVersion::V2 {
        if EPOCH_LAST <= value.epoch {
            value.next_producer = Some(fresh()?);
        }
        last_epoch = Some(value.epoch);
        value.epoch.0 = value.epoch.0.saturating_add(1);
    }
    Ok(Known { value, last_epoch })
}

/// All markers are written.
pub(super) fn complete(known: &Known, now: Timestamp) -> Known {
    let state = match known.outcome().expect("markers are written for a decision") {
        Outcome::Commit => TransactionState::CompleteCommit,
        Outcome::Abort => TransactionState::CompleteAbort,
    };
    let mut value = known.in_state(state, now);
    Identity { producer: value.producer, epoch: value.epoch } = known.next_identity();
    value.next_producer = None;
    value.partitions = Partitions::new();
    Known { value, last_epoch: known.last_epoch }
}
