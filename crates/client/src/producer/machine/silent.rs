//! Brokers that do not answer, though their connections stand: processes that were stopped, machines that hang, links that swallow everything.
//!
//! Others lead in their place long before a request is given up for its age. So metadata are asked for when an answer is overdue, and a request is given up once
//! all its partitions are led by other brokers. It may still be carried out, as after any broken connection: by one that does not lead any more.

use std::collections::BTreeSet;

use klamm_model::{BrokerId, Tick};
use klamm_wire::ApiKey;

use super::super::effect::Effect;
use super::{Call, Machine};
use crate::call::{CallError, CallId};

/// So long without an answer is more than writing takes, and what it takes to elect another leader.
const SILENCE_MS: u64 = 1_000;

impl<T: Clone + Default> Machine<T> {
    pub(super) fn look_at_silent(&mut self, now: Tick, out: &mut Vec<Effect<T>>) {
        let mut next: Option<Tick> = None;
        let (mut silent, mut is_overdue) = (BTreeSet::new(), false);
        for call in self.calls.values_mut() {
            if call.silent_since.after_ms(SILENCE_MS) <= now {
                (call.silent_since, call.is_silent, is_overdue) = (now, true, true);
            }
            if call.is_silent {
                silent.insert(call.broker);
            }
            let due = call.silent_since.after_ms(SILENCE_MS);
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        if is_overdue {
            out.push(Effect::RefreshMetadata);
        }
        for broker in silent {
            self.give_up_calls(now, broker, out);
        }
        if let Some(next) = next {
            self.wake_by(next);
        }
    }

    /// Those about partitions that others lead by now, the younger ones too: they wait behind the one that is overdue.
    fn give_up_calls(&mut self, now: Tick, broker: BrokerId, out: &mut Vec<Effect<T>>) {
        let is_led_elsewhere = |slot: &usize| self.leader_of(*slot).is_some_and(|leader| leader != broker);
        let is_over = |call: &Call| call.broker == broker && call.slots.iter().all(is_led_elsewhere);
        let over: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| is_over(call)).map(|(id, _)| *id).collect();
        let address =
            self.cluster.brokers.get(&broker).map_or_else(|| broker.to_string(), ToString::to_string);
        let error = CallError::TimedOut { address, api: ApiKey::Produce, timeout_ms: SILENCE_MS };
        for id in over {
            let Some(Call { slots, .. }) = self.end_call(id) else { continue };
            for slot in slots {
                self.not_answered(now, id, slot, &error, out);
            }
        }
    }
}
