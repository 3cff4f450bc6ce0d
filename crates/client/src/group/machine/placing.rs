//! Where partitions are read from: what the group has committed, or what the settings say where it has committed nothing.

use std::collections::BTreeSet;

use klamm_model::{ErrorCode, Tick};
use klamm_wire::OffsetFetchResponse;

use super::super::config::GroupProtocol;
use super::super::effect::Effect;
use super::super::request;
use super::{Machine, Purpose};
use crate::PartitionName;
use crate::admin::{CommittedOffset, told_offsets};
use crate::consumer::{Cause, OutOfRange, Start};

/// Partitions of which that is not known yet.
#[derive(Debug, Default)]
pub(super) struct Placing {
    pub(super) partitions: BTreeSet<PartitionName>,
    /// Those that the coordinator is asked about just now.
    pub(super) asked: BTreeSet<PartitionName>,
    not_before: Tick,
}

impl Machine {
    pub(super) fn place(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if self.placing.partitions.is_empty() || !self.placing.asked.is_empty() || !self.is_member() {
            return;
        }
        if now < self.placing.not_before {
            return self.wake_at(Some(self.placing.not_before));
        }
        let is_consumer_protocol = self.config.protocol == GroupProtocol::Consumer;
        let versions = request::committed(&self.metadata(), is_consumer_protocol, &self.placing.partitions);
        if self.ask(Purpose::Place, versions, self.request_timeout_ms(), out) {
            self.placing.asked = self.placing.partitions.clone();
        }
    }

    pub(super) fn placed(&mut self, now: Tick, answer: OffsetFetchResponse, out: &mut Vec<Effect>) {
        let asked = std::mem::take(&mut self.placing.asked);
        let told = match told_offsets(answer) {
            Ok(told) => told,
            Err(code) => return self.not_placed(now, ErrorCode::told(code), out),
        };
        for (name, code, committed) in told {
            if !asked.contains(&name) || !self.placing.partitions.contains(&name) {
                continue;
            }
            match ErrorCode::told(code) {
                ErrorCode::None => {
                    self.placing.partitions.remove(&name);
                    self.begin(&name, committed, out);
                }
                // A transaction is about to commit an offset for it, among others.
                code if code.is_retriable() => self.not_placed(now, code, out),
                code => {
                    self.placing.partitions.remove(&name);
                    self.read(out, |reader, out| reader.give_up(&name, Cause::Refused(code), out));
                }
            }
        }
        if !asked.is_disjoint(&self.placing.partitions) && self.placing.not_before <= now {
            // The answer did not mention one of them.
            self.placing.not_before = self.later(now);
        }
    }

    fn not_placed(&mut self, now: Tick, code: ErrorCode, out: &mut Vec<Effect>) {
        // That the member is not known, or has moved on, it hears by its heartbeats.
        let is_passing =
            code.is_retriable() || matches!(code, ErrorCode::UnknownMemberId | ErrorCode::StaleMemberEpoch);
        if self.is_elsewhere(now, code, out) || is_passing {
            if self.placing.not_before <= now {
                self.placing.not_before = self.later(now);
            }
        } else {
            self.refuse(code.code(), None, out);
        }
    }

    fn begin(&mut self, name: &PartitionName, committed: Option<CommittedOffset>, out: &mut Vec<Effect>) {
        let Some(committed) = committed else {
            return match self.config.uncommitted {
                OutOfRange::Earliest => self.reader.begin(name, Start::Earliest, None),
                OutOfRange::Latest => self.reader.begin(name, Start::Latest, None),
                // Whoever sought a place needs none that is committed.
                OutOfRange::Fail if self.reader.awaits_start(name) => {
                    self.read(out, |reader, out| reader.give_up(name, Cause::Uncommitted, out));
                }
                OutOfRange::Fail => {}
            };
        };
        self.commits.is_committed(name, committed.offset, committed.offset);
        self.reader.begin(name, Start::At(committed.offset), committed.leader_epoch);
    }
}
