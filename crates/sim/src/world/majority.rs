//! Two of the three who vote are lost (F14): nothing is decided until they are back. Leaders go on as far as records can be committed, and whoever asks for what only a
//! controller can do is told, in time and with a reason, that there is none.

use std::collections::BTreeMap;

use klamm_model::ErrorCode;
use klamm_node::ReplyTo;
use klamm_wire::{ApiKey, Response};

use super::{BrokerSabotage, World};
use crate::{
    disk::Loss,
    faults::{Fault, MajorityLost},
    timeline::{Happening, Life, MS, SECOND},
};

/// Within this whoever asks has an answer: as long as a broker waits for another's, or a leader of the quorum needs to find out that it is none, and a little.
const ANSWER_BOUND: u64 = 2_500 * MS;

/// What is counted while there is no majority, and as what.
const GOES_ON: &[(&str, &str)] = &[
    ("batch acked by all", "majority lost: batch acked by all meanwhile"),
    ("record read", "majority lost: record read meanwhile"),
];

/// A majority that is lost.
pub(super) struct Lost {
    /// What was counted before.
    before: Vec<u64>,
    /// Questions that only a controller can answer, by connection and number.
    asked: BTreeMap<(u64, u64), Asked>,
}

struct Asked {
    of: Life,
    key: ApiKey,
    at: u64,
}

impl World {
    pub(super) fn lose_majority(&mut self, how: MajorityLost, lasts: u64) {
        let now = self.timeline.now();
        self.calm_until = now + lasts + SECOND;
        self.engine.lose_majority(now + lasts, &mut self.timeline);
        match how {
            MajorityLost::AllBut(stays) => {
                self.timeline.coverage.count("majority lost: two of three are down");
                for node in self.layout.controllers().into_iter().filter(|node| *node != stays) {
                    let loss = if self.timeline.dice.chance(50) { Loss::Process } else { Loss::Power };
                    self.crash(node, loss, lasts);
                }
            }
            MajorityLost::Apart => {
                self.timeline.coverage.count("majority lost: no node hears another");
                let nodes = 0..self.machines.len();
                for (from, to) in nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to))) {
                    self.network.set_cut(from, to, from != to);
                    self.timeline.after(lasts, Happening::Fault(Fault::Cut { from, to, is_cut: false }));
                }
            }
            MajorityLost::Voters => self.timeline.coverage.count("majority lost: of those who vote"),
        }
        let before = GOES_ON.iter().map(|(what, _)| self.timeline.coverage.of(what)).collect();
        self.majority_lost = Some(Lost { before, asked: BTreeMap::new() });
    }

    pub(super) fn find_majority(&mut self) {
        let Some(lost) = self.majority_lost.take() else { return };
        self.engine.find_majority(&mut self.timeline);
        for ((what, name), before) in GOES_ON.iter().zip(&lost.before) {
            let now = self.timeline.coverage.of(what);
            self.timeline.coverage.add(name, now - before);
        }
        for Asked { of, key, at } in lost.asked.into_values() {
            let waits = self.timeline.now() - at;
            if ANSWER_BOUND < waits && self.machines[of.node].life() == Some(of) {
                let what = format!("{of}: {key} has no answer after {} ms without a majority", waits / MS);
                self.checker.findings.broken("F14", what);
            }
        }
    }

    /// A client asks.
    pub(super) fn is_asked(&mut self, of: Life, to: ReplyTo, key: ApiKey) {
        let at = self.timeline.now();
        if let Some(lost) = self.majority_lost.as_mut().filter(|_| needs_majority(key)) {
            lost.asked.insert((to.connection.0, to.sequence), Asked { of, key, at });
        }
    }

    /// Somebody is answered; nobody waits for what is asked by a connection that is closed. Tells whether the answer leaves.
    pub(super) fn is_let_go(&mut self, life: Life, to: ReplyTo, response: &Response) -> bool {
        let Some(lost) = &mut self.majority_lost else { return true };
        let place = (to.connection.0, to.sequence);
        let Some(asked) = lost.asked.get(&place).map(|it| it.at) else { return true };
        if self.sabotage.broker == BrokerSabotage::WaitsForMajority {
            return false;
        }
        lost.asked.remove(&place);
        let waited = self.timeline.now() - asked;
        if ANSWER_BOUND < waited {
            let key = response.api_key();
            let what = format!("{life}: {key} has its answer after {} ms without a majority", waited / MS);
            self.checker.findings.broken("F14", what);
        }
        match refusal(response) {
            Some((ErrorCode::NotController, None)) => {
                let what = format!("{life} does not say why it refuses: {response:?}");
                self.checker.findings.broken("F14", what);
            }
            Some((ErrorCode::NotController, Some(_))) => {
                self.timeline.coverage.count("majority lost: refused with a reason");
            }
            _ => {}
        }
        true
    }

    /// Nobody waits any more for an answer.
    pub(super) fn asks_no_more(&mut self, connection: u64) {
        if let Some(lost) = &mut self.majority_lost {
            lost.asked.retain(|(of, _), _| *of != connection);
        }
    }
}

/// What changes the metadata, and so needs somebody who can decide.
fn needs_majority(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
    )
}

/// The code that an administrator is told of the first thing asked for, and the reason.
fn refusal(response: &Response) -> Option<(ErrorCode, Option<&str>)> {
    let (code, why) = match response {
        Response::CreateTopics(it) => it.topics.first().map(|it| (it.error_code, &it.error_message))?,
        Response::DeleteTopics(it) => it.responses.first().map(|it| (it.error_code, &it.error_message))?,
        Response::CreatePartitions(it) => it.results.first().map(|it| (it.error_code, &it.error_message))?,
        Response::IncrementalAlterConfigs(it) => {
            it.responses.first().map(|it| (it.error_code, &it.error_message))?
        }
        Response::ElectLeaders(it) => {
            let partitions = it.replica_election_results.first().map(|it| &it.partition_result)?;
            partitions.first().map(|it| (it.error_code, &it.error_message))?
        }
        Response::AlterPartitionReassignments(it) if it.error_code != 0 => (it.error_code, &it.error_message),
        Response::AlterPartitionReassignments(it) => {
            let partitions = it.responses.first().map(|it| &it.partitions)?;
            partitions.first().map(|it| (it.error_code, &it.error_message))?
        }
        _ => return None,
    };
    ErrorCode::from_code(code).map(|code| (code, why.as_deref()))
}
