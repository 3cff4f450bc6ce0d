//! The contract of an engine as a checker, for the tests of any engine and for the simulator.
//!
//! [`Witness`] is shown every output of every node of one cluster and panics, telling what broke, when the contract is. [`run`] drives a cluster of engines
//! through proposals and restarts under a witness; the tests of an engine call it with their [`Engines`].

use std::collections::BTreeMap;

use klamm_model::{BrokerId, ControllerEpoch};

use crate::{Entry, Filter, Input, Output, Proposer, Snapshot, Verdict};

/// Sees everything that the engines of one cluster tell their nodes, and asserts the contract.
#[derive(Debug, Default)]
pub struct Witness {
    committed: Vec<Entry>,
    /// Who led each epoch, and whether that node has restarted since.
    epochs: BTreeMap<ControllerEpoch, (BrokerId, bool)>,
    delivered: BTreeMap<BrokerId, u64>,
    leading: BTreeMap<BrokerId, ControllerEpoch>,
}

impl Witness {
    /// A node (re)started: its engine delivers from the start or from a snapshot.
    pub fn restarted(&mut self, node: BrokerId) {
        self.delivered.insert(node, 0);
        self.leading.remove(&node);
        for (leader, has_restarted) in self.epochs.values_mut() {
            *has_restarted |= *leader == node;
        }
    }

    /// An engine told its node this.
    ///
    /// # Panics
    /// If it breaks the contract.
    pub fn saw(&mut self, node: BrokerId, output: &Output) {
        let delivered = self.delivered.entry(node).or_default();
        match output {
            Output::Committed(entry) => {
                assert_eq!(entry.index, *delivered, "node {node}: entries come in order and without gaps");
                *delivered += 1;
                match self.committed.get(usize::try_from(entry.index).expect("an index of this run")) {
                    Some(known) => assert_eq!(
                        known, entry,
                        "node {node}: an index holds the same entry everywhere and for ever"
                    ),
                    None => self.committed.push(entry.clone()),
                }
                assert!(
                    self.epochs.contains_key(&entry.epoch),
                    "node {node}: entry {} is of an epoch nobody led",
                    entry.index
                );
            }
            Output::Snapshot(snapshot) => {
                let known = self.committed.len() as u64;
                let to = snapshot.position.next_index;
                assert!(
                    to <= known,
                    "node {node}: a snapshot up to {to}, but only {known} entries are known"
                );
                assert!(
                    *delivered <= to,
                    "node {node}: a snapshot up to {to} takes back entries up to {delivered}"
                );
                *delivered = to;
            }
            Output::Leader { epoch } => {
                let last = self.epochs.get(epoch);
                assert!(
                    last.is_none_or(|(leader, has_restarted)| {
                        *leader == node && *has_restarted && self.committed.iter().all(|it| it.epoch < *epoch)
                    }),
                    "node {node}: epoch {epoch} was given to {last:?}"
                );
                let own = self.epochs.iter().rfind(|(_, (leader, _))| *leader == node);
                assert!(
                    own.is_none_or(|(own, _)| own <= epoch),
                    "node {node}: epoch {epoch} after its epoch {own:?}"
                );
                assert!(ControllerEpoch(0) < *epoch, "node {node}: the first epoch is 1, not {epoch}");
                // Who was deposed without knowing may be told of its epoch after a later one's leader was: it is behind then, and harmless. But what was
                // committed before anything of its own epoch or a later one, it was told.
                let before = self.committed.iter().position(|it| *epoch <= it.epoch);
                assert!(
                    before.unwrap_or(self.committed.len()) as u64 <= *delivered,
                    "node {node}: the leader of epoch {epoch} was told {delivered} entries, not all that came before"
                );
                self.epochs.insert(*epoch, (node, false));
                self.leading.insert(node, *epoch);
            }
            Output::NoLongerLeader => {
                assert!(self.leading.remove(&node).is_some(), "node {node}: was not leader");
            }
            // A hint, which others may have before the leader itself; the leader may even have died before it was told.
            Output::LeaderIs { .. } => {}
            // Whatever they say, nothing rests on it.
            Output::Peers(_) | Output::Described(_) | Output::VotersChanged(_) => {}
        }
    }

    /// Every entry that any node was told, in order.
    pub fn committed(&self) -> &[Entry] {
        &self.committed
    }

    /// The epoch a node leads, as it was told.
    pub fn leads(&self, node: BrokerId) -> Option<ControllerEpoch> {
        self.leading.get(&node).copied()
    }
}

/// A cluster of engines in a test.
pub trait Engines {
    /// All its nodes.
    fn nodes(&self) -> Vec<BrokerId>;
    /// A node speaks to its engine.
    fn input(&mut self, node: BrokerId, input: Input);
    /// Goes on until an engine says something; `None` when nothing will happen without input.
    fn next(&mut self) -> Option<(BrokerId, Output)>;
    /// Kills a node with all that is not durable, and starts it again.
    fn restart(&mut self, node: BrokerId);
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Records of accepted entries, in order, the ones that begin an epoch left out.
    pub accepted: Vec<u64>,
    /// How many proposals were made.
    pub proposed: u64,
    /// How many leaderships there were.
    pub epochs: usize,
    /// How often a node was told a snapshot.
    pub snapshots: usize,
}

/// What a node of [`run`] has made of what it was told.
#[derive(Clone, Default)]
struct Follower {
    filter: Filter,
    accepted: Vec<u64>,
}

impl Follower {
    fn told(&mut self, output: &Output) {
        match output {
            Output::Committed(entry) => {
                if let Verdict::Accept(it) = self.filter.take(entry).expect("entries are in order") {
                    self.accepted.extend(it.records.first_chunk::<8>().map(|it| u64::from_be_bytes(*it)));
                }
            }
            Output::Snapshot(Snapshot { position, state }) => {
                self.filter = Filter::at(*position);
                let (numbers, rest) = state.as_chunks();
                assert!(rest.is_empty(), "a snapshot is not what was offered");
                self.accepted = numbers.iter().map(|it| u64::from_be_bytes(*it)).collect();
            }
            Output::Leader { .. }
            | Output::NoLongerLeader
            | Output::LeaderIs { .. }
            | Output::Peers(_)
            | Output::Described(_)
            | Output::VotersChanged(_) => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        let state: Vec<u8> = self.accepted.iter().flat_map(|it| it.to_be_bytes()).collect();
        Snapshot { position: self.filter.position(), state: state.into() }
    }
}

/// Proposes numbers at whoever leads, offers snapshots and restarts nodes now and then as `seed` says, and asserts that every number whose commit was seen is in
/// the end accepted once and in order, by every node.
///
/// # Panics
/// If the contract is broken.
pub fn run(engines: &mut dyn Engines, seed: u64, proposals: u64) -> Outcome {
    let mut witness = Witness::default();
    let mut dice = Dice(seed);
    let mut proposers: BTreeMap<BrokerId, Proposer> = BTreeMap::new();
    let mut followers: BTreeMap<BrokerId, Follower> = BTreeMap::new();
    let mut proposed = 0;
    let mut snapshots = 0;
    let mut idle_rounds = 0;
    while proposed < proposals {
        let mut spoke = false;
        // Letting a few outputs pass between inputs makes proposals overlap.
        for _ in 0..dice.below(4) {
            let Some((node, output)) = engines.next() else {
                break;
            };
            spoke = true;
            witness.saw(node, &output);
            followers.entry(node).or_default().told(&output);
            snapshots += usize::from(matches!(output, Output::Snapshot(_)));
            match output {
                Output::Leader { epoch } => {
                    let mut proposer = Proposer::new(epoch);
                    engines.input(node, proposer.propose(b""));
                    proposers.insert(node, proposer);
                }
                Output::NoLongerLeader => {
                    proposers.remove(&node);
                }
                Output::LeaderIs { .. }
                | Output::Committed(_)
                | Output::Snapshot(_)
                | Output::Peers(_)
                | Output::Described(_)
                | Output::VotersChanged(_) => {}
            }
        }
        idle_rounds = if spoke || !proposers.is_empty() { 0 } else { idle_rounds + 1 };
        assert!(idle_rounds < 100, "nobody becomes leader");
        for (node, proposer) in &mut proposers {
            if dice.below(2) == 0 {
                engines.input(*node, proposer.propose(&proposed.to_be_bytes()));
                proposed += 1;
            }
        }
        for (node, follower) in &followers {
            if dice.below(12) == 0 {
                engines.input(*node, Input::OfferSnapshot(follower.snapshot()));
            }
        }
        if dice.below(20) == 0 {
            let nodes = engines.nodes();
            let node = nodes[usize::try_from(dice.below(nodes.len() as u64)).expect("few nodes")];
            engines.restart(node);
            witness.restarted(node);
            proposers.remove(&node);
            followers.remove(&node);
        }
    }
    while let Some((node, output)) = engines.next() {
        witness.saw(node, &output);
        followers.entry(node).or_default().told(&output);
        snapshots += usize::from(matches!(output, Output::Snapshot(_)));
    }
    let outcome = outcome(&witness, proposed, snapshots);
    for (node, follower) in followers {
        let told = follower.accepted;
        assert!(outcome.accepted.starts_with(&told), "node {node} has accepted {told:?} of {outcome:?}");
    }
    outcome
}

fn outcome(witness: &Witness, proposed: u64, snapshots: usize) -> Outcome {
    let mut filter = Filter::default();
    let mut accepted: Vec<u64> = Vec::new();
    for entry in witness.committed() {
        if let Verdict::Accept(it) = filter.take(entry).expect("entries are in order") {
            accepted.extend(it.records.first_chunk::<8>().map(|number| u64::from_be_bytes(*number)));
        }
    }
    assert!(
        accepted.is_sorted_by(|one, next| one < next),
        "proposals were accepted twice or out of order: {accepted:?}"
    );
    Outcome { accepted, proposed, epochs: witness.epochs.len(), snapshots }
}

/// Enough randomness for a test that must repeat (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
