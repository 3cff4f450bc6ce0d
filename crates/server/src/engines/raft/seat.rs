//! What the node is told: the seam's outputs, made from what the Raft applies and from who leads it.
//!
//! A controller's epoch is the number of claims that were applied up to its own: the same on every node, whatever terms there were. Its claim applied, a
//! leader has been told all that came before; and one that lost its majority and found it again leads anew in the same term, by another claim.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{Entry as Told, Output, Position, Snapshot};
use openraft::{EntryPayload, LogId, StoredMembership};

use super::types::{Address, Command, Entry};

/// How this node sees the Raft.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct View {
    pub(super) term: u64,
    /// Who was elected in it.
    pub(super) leader: Option<BrokerId>,
    /// This node was, and a majority hears it.
    pub(super) leads: bool,
}

/// A claim that was written and not applied yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pending {
    token: u64,
    term: u64,
}

/// A claim that was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Applied {
    term: u64,
    node: BrokerId,
    epoch: ControllerEpoch,
}

/// The node's place at the quorum.
pub(super) struct Seat {
    me: BrokerId,
    tell: Box<dyn FnMut(Output)>,
    view: View,
    pending: Option<Pending>,
    /// The epoch and the term that the node was told it leads.
    leading: Option<(ControllerEpoch, u64)>,
    told_leader: Option<BrokerId>,
    /// What was committed before this start reaches up to here, as a leader said first. Nobody is told whom to ask before it was delivered.
    behind_until: Option<u64>,
    pub(super) applied: Option<LogId<u64>>,
    pub(super) membership: StoredMembership<u64, Address>,
    /// How many claims were applied, and the last of them.
    claims: i32,
    last_claim: Option<Applied>,
    next_index: u64,
    /// The node's newest.
    offered: Option<Snapshot>,
}

impl Seat {
    pub(super) fn new(me: BrokerId, tell: Box<dyn FnMut(Output)>) -> Self {
        Self {
            me,
            tell,
            view: View::default(),
            pending: None,
            leading: None,
            told_leader: None,
            behind_until: None,
            applied: None,
            membership: StoredMembership::default(),
            claims: 0,
            last_claim: None,
            next_index: 0,
            offered: None,
        }
    }

    /// The epoch that the node may propose under.
    pub(super) fn leading(&self) -> Option<ControllerEpoch> {
        self.leading.map(|(epoch, _)| epoch)
    }

    /// How it looks now.
    pub(super) fn look(&mut self, view: View) {
        self.view = view;
        self.pending = self.pending.filter(|it| view.leads && it.term == view.term);
        if self.leading.is_some_and(|(_, term)| !view.leads || term != view.term) {
            self.resign();
        }
        self.tell_leader();
    }

    /// It is time to write a claim.
    pub(super) fn wants_claim(&self) -> bool {
        self.view.leads && self.leading.is_none() && self.pending.is_none()
    }

    pub(super) fn claim(&mut self, token: u64) -> Command {
        self.pending = Some(Pending { token, term: self.view.term });
        Command::Claim { node: self.me, token }
    }

    /// That claim will not be applied, or nobody knows.
    pub(super) fn claim_failed(&mut self, token: u64) {
        self.pending = self.pending.filter(|it| it.token != token);
    }

    /// A proposal under this epoch is lost, or nobody knows.
    pub(super) fn proposal_failed(&mut self, epoch: ControllerEpoch) {
        if self.leading() == Some(epoch) {
            self.resign();
            self.tell_leader();
        }
    }

    /// A leader says that all up to here is committed.
    pub(super) fn heard_of_committed(&mut self, index: u64) {
        self.behind_until.get_or_insert(index);
    }

    pub(super) fn apply(&mut self, entries: impl IntoIterator<Item = Entry>) -> usize {
        let mut count = 0;
        for Entry { log_id, payload } in entries {
            self.applied = Some(log_id);
            count += 1;
            match payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(log_id), membership);
                }
                EntryPayload::Normal(Command::Claim { node, token }) => {
                    self.claims += 1;
                    let epoch = ControllerEpoch(self.claims);
                    self.last_claim = Some(Applied { term: log_id.leader_id.term, node, epoch });
                    self.claimed(token, log_id.leader_id.term, epoch);
                }
                EntryPayload::Normal(Command::Proposals(proposals)) => {
                    for proposal in proposals {
                        let index = self.next_index;
                        self.next_index += 1;
                        let (epoch, payload) = (proposal.epoch, proposal.payload);
                        (self.tell)(Output::Committed(Told { index, epoch, payload }));
                    }
                }
            }
        }
        self.tell_leader();
        count
    }

    /// Only a claim of this process, in a term that it still leads, is its own: under an older one it may have proposed.
    fn claimed(&mut self, token: u64, term: u64, epoch: ControllerEpoch) {
        if self.pending == Some(Pending { token, term }) && self.view.leads && self.view.term == term {
            self.pending = None;
            self.leading = Some((epoch, term));
            (self.tell)(Output::Leader { epoch });
        }
    }

    fn resign(&mut self) {
        self.leading = None;
        (self.tell)(Output::NoLongerLeader);
    }

    fn tell_leader(&mut self) {
        let applied = self.applied.map(|it| it.index);
        let is_there = self.behind_until.is_none_or(|until| Some(until) <= applied);
        let is_current = |it: &Applied| {
            Some(it.node) == self.view.leader
                && it.term == self.view.term
                && (it.node != self.me || self.leading.is_some())
        };
        let leader = self.last_claim.filter(|_| is_there).filter(is_current).map(|it| it.node);
        if leader != self.told_leader {
            self.told_leader = leader;
            (self.tell)(Output::LeaderIs { leader, epoch: ControllerEpoch(self.claims) });
        }
    }

    /// The node's state, from which a snapshot of the Raft can be made as long as nothing was applied since.
    pub(super) fn offer(&mut self, snapshot: Snapshot) {
        self.offered = Some(snapshot);
    }

    /// All that others need who have none of the entries: what is counted here, and the node's state.
    pub(super) fn snapshot(&self) -> Option<Bytes> {
        let Snapshot { position, state } =
            self.offered.as_ref().filter(|it| it.position.next_index == self.next_index)?;
        let mut out = BytesMut::with_capacity(state.len() + 32);
        out.put_i32(self.claims);
        out.put_u64(position.next_index);
        out.put_u64(position.next_offset);
        out.put_i32(position.epoch.0);
        out.put_u64(position.next_sequence);
        out.put_slice(state);
        Some(out.freeze())
    }

    /// Everything up to `applied` is replaced by a snapshot. Tells whether it is one.
    pub(super) fn install(
        &mut self,
        applied: Option<LogId<u64>>,
        membership: StoredMembership<u64, Address>,
        mut from: Bytes,
    ) -> Option<()> {
        let claims = from.try_get_i32().ok()?;
        let position = Position {
            next_index: from.try_get_u64().ok()?,
            next_offset: from.try_get_u64().ok()?,
            epoch: ControllerEpoch(from.try_get_i32().ok()?),
            next_sequence: from.try_get_u64().ok()?,
        };
        (self.claims, self.next_index, self.last_claim) = (claims, position.next_index, None);
        (self.applied, self.membership) = (applied, membership);
        let snapshot = Snapshot { position, state: from };
        self.offered = Some(snapshot.clone());
        (self.tell)(Output::Snapshot(snapshot));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use expect_test::{Expect, expect};

    use super::*;
    use crate::engines::raft::types::{Proposal, log_id};

    /// Lines: `view TERM LEADER [leads]`, `claim` (with the next token), `apply TERM KIND…` with kinds `cNODE.TOKEN` and `pEPOCH`, `behind INDEX`, `failed EPOCH`.
    #[allow(clippy::needless_pass_by_value)]
    fn check(script: &str, expected: Expect) {
        let told = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&told);
        let mut seat = Seat::new(BrokerId(1), Box::new(move |output| sink.borrow_mut().push(output)));
        let (mut token, mut index) = (0, 0);
        let mut text = String::new();
        for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            match words[0] {
                "view" => seat.look(View {
                    term: number(1),
                    leader: words[2].parse().ok().map(BrokerId),
                    leads: words.len() == 4,
                }),
                "claim" => {
                    assert!(seat.wants_claim(), "{line}");
                    seat.claim(token);
                    token += 1;
                }
                "behind" => seat.heard_of_committed(number(1)),
                "failed" => seat.proposal_failed(ControllerEpoch(number(1) as i32)),
                _ => {
                    let mut entries = Vec::new();
                    for kind in &words[2..] {
                        let (node, token) = kind[1..].split_once('.').unwrap_or((&kind[1..], "0"));
                        let node: i32 = node.parse().expect("a number");
                        let command = match &kind[..1] {
                            "c" => Command::Claim {
                                node: BrokerId(node),
                                token: token.parse().expect("a number"),
                            },
                            _ => Command::Proposals(vec![Proposal {
                                epoch: ControllerEpoch(node),
                                payload: Bytes::new(),
                            }]),
                        };
                        let payload = EntryPayload::Normal(command);
                        entries.push(Entry { log_id: log_id(number(1), index), payload });
                        index += 1;
                    }
                    seat.apply(entries);
                }
            }
            let shown: Vec<String> = told
                .borrow_mut()
                .drain(..)
                .map(|output| match output {
                    Output::Leader { epoch } => format!("leader {epoch}"),
                    Output::NoLongerLeader => "no longer".to_owned(),
                    Output::LeaderIs { leader: Some(leader), epoch } => format!("it is {leader} in {epoch}"),
                    Output::LeaderIs { leader: None, .. } => "it is nobody".to_owned(),
                    Output::Committed(entry) => format!("{} of {}", entry.index, entry.epoch),
                    Output::Snapshot(_) => "snapshot".to_owned(),
                })
                .collect();
            text += &format!("{line}: {}\n", shown.join(", "));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_leader_is_told_so_by_its_own_claim_and_leads_anew_when_its_majority_is_back() {
        check(
            "view 3 1 leads
             claim
             apply 3 p1 c1.0 p1
             view 3 1
             view 3 1 leads
             claim
             apply 3 c1.1
             failed 3
             failed 4
             view 4 2",
            expect![[r#"
                view 3 1 leads: 
                claim: 
                apply 3 p1 c1.0 p1: 0 of 1, leader 1, 1 of 1, it is 1 in 1
                view 3 1: no longer, it is nobody
                view 3 1 leads: 
                claim: 
                apply 3 c1.1: leader 2, it is 1 in 2
                failed 3: 
                failed 4: 
                view 4 2: no longer, it is nobody
            "#]],
        );
    }

    #[test]
    fn a_claim_of_the_process_before_or_of_a_term_that_is_over_makes_nobody_leader() {
        check(
            "view 3 1 leads
             claim
             apply 3 c1.99
             view 4 2
             apply 3 c1.0
             apply 4 c2.5",
            expect![[r#"
                view 3 1 leads: 
                claim: 
                apply 3 c1.99: 
                view 4 2: 
                apply 3 c1.0: 
                apply 4 c2.5: it is 2 in 3
            "#]],
        );
    }

    #[test]
    fn nobody_is_told_whom_to_ask_before_all_of_the_past_is_there() {
        check(
            "view 3 2
             behind 4
             apply 2 c1.0 p1
             apply 3 c2.0 p2
             apply 3 p2
             view 4 none
             view 4 3
             apply 4 c3.0",
            expect![[r#"
                view 3 2: 
                behind 4: 
                apply 2 c1.0 p1: 0 of 1
                apply 3 c2.0 p2: 1 of 2
                apply 3 p2: 2 of 2, it is 2 in 2
                view 4 none: it is nobody
                view 4 3: 
                apply 4 c3.0: it is 3 in 3
            "#]],
        );
    }
}
