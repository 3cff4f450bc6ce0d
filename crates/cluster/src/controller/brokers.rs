//! Brokers come, live and go.

use std::collections::BTreeSet;

use klamm_model::{BrokerEpoch, BrokerId, ProducerId, Tick};

use super::durability::Durability;
use super::{
    AllocateError, AllocateProducerIds, Controller, Decision, Heartbeat, HeartbeatAnswer, ProducerIdBlock,
    Register, RegisterError, Reply, StaleBroker, UnknownBroker,
};
use crate::features::METADATA_FORM;
use crate::image::Broker;
use crate::record::{BrokerState, Record};

/// How many producer ids a broker gets at once. Ids that a stopped broker did not give out are never used, which 2^63 can bear.
pub const PRODUCER_ID_BLOCK: u32 = 1000;

impl Controller {
    pub(super) fn register_broker(&self, it: &Register) -> Decision {
        let (records, result) = match self.registration(it) {
            Ok((records, epoch)) => (records, Ok(epoch)),
            Err(error) => (Vec::new(), Err(error)),
        };
        Decision { records, reply: Reply::RegisterBroker(result) }
    }

    fn registration(&self, it: &Register) -> Result<(Vec<Record>, BrokerEpoch), RegisterError> {
        if let (Some(given), Some(ours)) = (&it.cluster_id, self.image.cluster_id())
            && **given != **ours
        {
            return Err(RegisterError::OtherCluster { given: given.clone(), ours: ours.to_string() });
        }
        // One that tells no levels is older than they are, and good for a cluster that keeps none.
        let has_levels = 0 < self.image.level(METADATA_FORM) || !it.broker.supported.0.is_empty();
        if has_levels && let Some(lacking) = it.broker.supported.lacking(self.image.levels()) {
            return Err(RegisterError::Level(lacking));
        }
        let mut records = match self.image.broker(it.broker.id) {
            Some(known) if known.directory != it.broker.directory => {
                return Err(RegisterError::OtherDirectory { id: known.id });
            }
            Some(known) if is_repeated(known, it) => return Ok((Vec::new(), known.epoch)),
            Some(known) => {
                // The same data directory, which a lock keeps to one process: the process known so far is gone, and with it whatever it led.
                let was_stopped = it.previous_epoch == Some(known.epoch);
                let durability = Durability::of(&self.image, known);
                self.elections().restart(known.id, |topic| was_stopped || durability.is_synced(topic))
            }
            // It lives on, or is back with the disk it had: what is known of it may still be of use.
            None if self.image.unregistered(it.broker.id) == Some(it.broker.directory) => Vec::new(),
            // Its data directory is another one, and empty.
            None => self.elections().forget(it.broker.id),
        };
        records.push(Record::RegisterBroker(it.broker.clone()));
        let offset = self.offset_after(&records);
        Ok((records, BrokerEpoch(i64::try_from(offset).expect("a metadata offset"))))
    }

    pub(super) fn heartbeat(&mut self, now: Tick, it: &Heartbeat) -> Decision {
        let broker = match self.current(it.id, it.epoch) {
            Ok(broker) => Broker::clone(broker),
            Err(error) => {
                return Decision { records: Vec::new(), reply: Reply::Heartbeat(Err(error)) };
            }
        };
        self.sessions.heard(now, it);
        let knows_itself = it.applied.is_some_and(|applied| broker.epoch.0.unsigned_abs() <= applied);
        let is_caught_up = knows_itself && self.sessions.knows_of_its_fence(it.id);
        let only = BTreeSet::from([it.id]);
        let becomes = |state| Record::BrokerState { id: it.id, epoch: it.epoch, state };
        let (records, state) = match broker.state {
            BrokerState::Fenced if is_caught_up && !it.wants_fence && !it.wants_shutdown => {
                let mut records = vec![becomes(BrokerState::Active)];
                records.extend(self.elections().elect_with(it.id));
                (records, BrokerState::Active)
            }
            BrokerState::Active | BrokerState::Draining if it.wants_fence => {
                (self.elections().fence(&only), BrokerState::Fenced)
            }
            BrokerState::Active if it.wants_shutdown => {
                let mut records = self.elections().leave(&only);
                records.push(becomes(BrokerState::Draining));
                (records, BrokerState::Draining)
            }
            BrokerState::Active if it.is_full => (self.elections().hand_over(it.id), BrokerState::Active),
            BrokerState::Draining if self.sessions.is_drained(it.id, &self.image) => {
                (self.elections().fence(&only), BrokerState::Fenced)
            }
            unchanged => (Vec::new(), unchanged),
        };
        // One that was fenced because it was silent is believed to lead by whoever has not heard of that yet.
        let may_shut_down =
            it.wants_shutdown && state == BrokerState::Fenced && self.sessions.is_drained(it.id, &self.image);
        Decision {
            records,
            reply: Reply::Heartbeat(Ok(HeartbeatAnswer { state, is_caught_up, may_shut_down })),
        }
    }

    pub(super) fn unregister_broker(&self, id: BrokerId) -> Decision {
        let (records, result) = match self.image.broker(id) {
            Some(broker) => {
                // It stays known as one that had records: nobody else may have them.
                let mut records = self.elections().restart(id, |_| false);
                records.push(Record::UnregisterBroker { id, epoch: broker.epoch });
                (records, Ok(()))
            }
            None => (Vec::new(), Err(UnknownBroker { id })),
        };
        Decision { records, reply: Reply::UnregisterBroker(result) }
    }

    pub(super) fn allocate_producer_ids(&self, it: &AllocateProducerIds) -> Decision {
        let (records, result) = match self.producer_ids(it) {
            Ok((record, block)) => (vec![record], Ok(block)),
            Err(error) => (Vec::new(), Err(error)),
        };
        Decision { records, reply: Reply::AllocateProducerIds(result) }
    }

    fn producer_ids(&self, it: &AllocateProducerIds) -> Result<(Record, ProducerIdBlock), AllocateError> {
        self.current(it.broker, it.broker_epoch)?;
        let first = self.image.next_producer_id();
        let next = ProducerId(first.0.checked_add(PRODUCER_ID_BLOCK.into()).ok_or(AllocateError::UsedUp)?);
        let record = Record::ProducerIds { broker: it.broker, broker_epoch: it.broker_epoch, next };
        Ok((record, ProducerIdBlock { first, count: PRODUCER_ID_BLOCK }))
    }

    /// The broker, if this registration of it holds.
    pub(super) fn current(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<&Broker, StaleBroker> {
        let broker = self.image.broker(id).ok_or(StaleBroker::Unknown { id })?;
        if broker.epoch == epoch {
            Ok(broker)
        } else {
            Err(StaleBroker::Epoch { id, given: epoch, current: broker.epoch })
        }
    }
}

fn is_repeated(known: &Broker, it: &Register) -> bool {
    known.incarnation == it.broker.incarnation
        && known.listeners == it.broker.listeners
        && known.rack == it.broker.rack
}
