//! What the node is told: the seam's outputs, made from what the Raft applies and from who leads it.
//!
//! A controller's epoch is the number of claims that were applied up to its own: the same on every node, whatever terms there were. Its claim applied, a
//! leader has been told all that came before; and one that lost its majority and found it again leads anew in the same term, by another claim.

use std::{collections::VecDeque, rc::Rc};

use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{Entry as Told, Output, Snapshot};
use openraft::{EntryPayload, LogId, StoredMembership};

use super::{
    snapshot::{LastClaim, RaftSnapshot},
    types::{Address, Command, Entry},
};

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

/// How things stood after an entry of the Raft.
#[derive(Clone, Debug, Default)]
struct Mark {
    applied: Option<LogId<u64>>,
    membership: Rc<StoredMembership<u64, Address>>,
    claims: i32,
    last_claim: Option<LastClaim>,
    /// Of the seam's next entry.
    next_index: u64,
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
    now: Mark,
    /// From the newest snapshot on, oldest first, and never none: a snapshot of the node's becomes one of the Raft's at the newest that is not beyond it.
    marks: VecDeque<Mark>,
    /// Entries of the seam before this one are in the snapshot that the node was told last.
    told_until: u64,
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
            now: Mark::default(),
            marks: VecDeque::from([Mark::default()]),
            told_until: 0,
            offered: None,
        }
    }

    /// The last entry of the Raft's that was applied.
    pub(super) fn applied(&self) -> Option<LogId<u64>> {
        self.now.applied
    }

    /// The members as of then.
    pub(super) fn membership(&self) -> StoredMembership<u64, Address> {
        StoredMembership::clone(&self.now.membership)
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
            self.now.applied = Some(log_id);
            count += 1;
            match payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(membership) => {
                    self.now.membership = Rc::new(StoredMembership::new(Some(log_id), membership));
                }
                EntryPayload::Normal(Command::Claim { node, token }) => {
                    self.now.claims += 1;
                    let (term, epoch) = (log_id.leader_id.term, ControllerEpoch(self.now.claims));
                    self.now.last_claim = Some(LastClaim { term, node, epoch });
                    self.claimed(token, term, epoch);
                }
                EntryPayload::Normal(Command::Proposals(proposals)) => {
                    for proposal in proposals {
                        let index = self.now.next_index;
                        self.now.next_index += 1;
                        if self.told_until <= index {
                            let (epoch, payload) = (proposal.epoch, proposal.payload);
                            (self.tell)(Output::Committed(Told { index, epoch, payload }));
                        }
                    }
                }
            }
            self.mark();
        }
        self.tell_leader();
        count
    }

    fn mark(&mut self) {
        // The newest of those that a snapshot could be at is the one that counts.
        if 1 < self.marks.len() {
            self.marks.pop_back_if(|it| it.next_index == self.now.next_index);
        }
        self.marks.push_back(self.now.clone());
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
        let applied = self.now.applied.map(|it| it.index);
        let is_there = self.behind_until.is_none_or(|until| Some(until) <= applied);
        let is_current = |it: &LastClaim| {
            Some(it.node) == self.view.leader
                && it.term == self.view.term
                && (it.node != self.me || self.leading.is_some())
        };
        let leader = self.now.last_claim.filter(|_| is_there).filter(is_current).map(|it| it.node);
        if leader != self.told_leader {
            self.told_leader = leader;
            (self.tell)(Output::LeaderIs { leader, epoch: ControllerEpoch(self.now.claims) });
        }
    }

    /// What rests on no entry: how others are seen, how the quorum is.
    pub(super) fn say(&mut self, output: Output) {
        (self.tell)(output);
    }

    /// The node's state. Tells whether a snapshot of the Raft can be made of it that is newer than the last.
    pub(super) fn offer(&mut self, snapshot: Snapshot) -> bool {
        let is_newer = self.newest_mark(&snapshot).is_some_and(|at| 0 < at);
        self.offered = Some(snapshot);
        is_newer
    }

    fn newest_mark(&self, snapshot: &Snapshot) -> Option<usize> {
        let end = snapshot.position.next_index;
        self.marks.partition_point(|it| it.next_index <= end).checked_sub(1)
    }

    /// All that others need who have none of the entries: what is counted here, and the node's state, which may be further by a part of one entry.
    pub(super) fn snapshot(&mut self) -> Option<RaftSnapshot> {
        let snapshot = self.offered.clone()?;
        let at = self.newest_mark(&snapshot)?;
        self.marks.drain(..at);
        let Mark { applied, membership, claims, last_claim, next_index } = self.marks[0].clone();
        let membership = StoredMembership::clone(&membership);
        Some(RaftSnapshot { applied, membership, claims, last_claim, next_index, snapshot })
    }

    /// Everything so far is replaced by a snapshot.
    pub(super) fn install(&mut self, from: RaftSnapshot) {
        let RaftSnapshot { applied, membership, claims, last_claim, next_index, snapshot } = from;
        self.now = Mark { applied, membership: Rc::new(membership), claims, last_claim, next_index };
        self.marks = VecDeque::from([self.now.clone()]);
        self.told_until = snapshot.position.next_index;
        self.offered = Some(snapshot.clone());
        (self.tell)(Output::Snapshot(snapshot));
        self.tell_leader();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use klamm_quorum::Position;

    use super::*;
    use crate::engines::raft::types::{Proposal, log_id};

    fn at(next_index: u64) -> Snapshot {
        let position = Position { next_index, ..Position::default() };
        Snapshot { position, state: bytes::Bytes::new() }
    }

    /// Lines: `view TERM LEADER [leads]`, `claim` (with the next token), `apply TERM KIND…` with kinds `cNODE.TOKEN` and `pEPOCH` (`pEPOCH.COUNT` for more than one proposal), `behind INDEX`, `failed EPOCH`,
    /// `offer INDEX`, and `reborn`: the snapshot that comes of the offer is all that another seat knows.
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
                "offer" => text += &format!("newer {}: ", seat.offer(at(number(1)))),
                "reborn" => {
                    let made = RaftSnapshot::from_bytes(seat.snapshot().expect("it was offered").to_bytes());
                    let sink = Rc::clone(&told);
                    seat = Seat::new(BrokerId(1), Box::new(move |output| sink.borrow_mut().push(output)));
                    seat.install(made.expect("it was written here"));
                    text += &format!("at {:?}: ", seat.applied().map(|it| it.index));
                }
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
                            _ => {
                                let proposal =
                                    Proposal { epoch: ControllerEpoch(node), payload: Bytes::new() };
                                let count = token.parse::<usize>().expect("a number").max(1);
                                Command::Proposals(vec![proposal; count])
                            }
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
                    Output::Snapshot(it) => format!("snapshot to {}", it.position.next_index),
                    Output::Peers(peers) => format!("{} peers", peers.len()),
                    Output::Described(_) => "described".to_owned(),
                    Output::VotersChanged(_) => "voters changed".to_owned(),
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

    #[test]
    fn a_snapshot_is_at_an_entry_of_the_raft_and_what_the_node_has_beyond_it_is_not_told_again() {
        check(
            "view 3 2
             apply 3 c2.0 p1.3 p1.2
             offer 2
             offer 4
             reborn
             view 3 2
             apply 3 p1.2
             apply 3 p1
             offer 6
             reborn
             offer 6",
            expect![[r#"
                view 3 2: 
                apply 3 c2.0 p1.3 p1.2: 0 of 1, 1 of 1, 2 of 1, 3 of 1, 4 of 1, it is 2 in 1
                newer true: offer 2: 
                newer true: offer 4: 
                at Some(1): reborn: snapshot to 4
                view 3 2: it is 2 in 1
                apply 3 p1.2: 4 of 1
                apply 3 p1: 5 of 1
                newer true: offer 6: 
                at Some(4): reborn: snapshot to 6
                newer false: offer 6: 
            "#]],
        );
    }
}
