//! Whatever is asked in whatever order, what must hold holds.

use std::collections::BTreeSet;

use klamm_cluster::controller::ProducerIdBlock;
use klamm_model::{PartitionIndex, ProducerId};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::*;
use super::rig::{Rig, places};
use crate::record::Partitions;

/// What clients, partitions, time and crashes do.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Somebody starts, or goes on as who it was.
    Init {
        who: usize,
        goes_on: bool,
    },
    Add {
        who: usize,
        partition: usize,
    },
    End {
        who: usize,
        outcome: Outcome,
    },
    /// A request of before comes once more.
    Again(Index),
    /// Markers that were sent at some time are written, and that is reported.
    Written(Index),
    /// They are not.
    NotWritten(Index),
    /// A report of before comes once more.
    ReportAgain(Index),
    Wait(u64),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..3_usize;
    let outcome = prop_oneof![Just(Outcome::Commit), Just(Outcome::Abort)];
    prop_oneof![
        2 => (who(), any::<bool>()).prop_map(|(who, goes_on)| Act::Init { who, goes_on }),
        4 => (who(), 0..3_usize).prop_map(|(who, partition)| Act::Add { who, partition }),
        4 => (who(), outcome).prop_map(|(who, outcome)| Act::End { who, outcome }),
        3 => any::<Index>().prop_map(Act::Again),
        4 => any::<Index>().prop_map(Act::Written),
        1 => any::<Index>().prop_map(Act::NotWritten),
        1 => any::<Index>().prop_map(Act::ReportAgain),
        2 => (0..2_000_u64).prop_map(Act::Wait),
        1 => Just(Act::Restart),
    ]
}

const IDS: [&str; 3] = ["a", "b", "b"];
const PARTITIONS: [&str; 3] = ["t/0", "t/1", "u/0"];

/// Three clients use two transactional ids, the last two the same one. Each believes what it was told last.
struct World {
    rig: Rig,
    version: TransactionVersion,
    identities: [Option<Identity>; 3],
    /// All that was asked, in the order of the requests' numbers.
    asked: Vec<(usize, Request)>,
    replies_heard: usize,
    /// Requests that ended with the shard that had them.
    lost: BTreeSet<RequestId>,
    reports: Vec<MarkersReport>,
    /// The partitions' own state: whether a transaction is open, and the producer's last epoch.
    partitions: BTreeMap<(String, PartitionIndex, ProducerId), (bool, i16)>,
    /// What was answered, by the identity that the markers carry.
    promised: BTreeMap<(ProducerId, i16), Outcome>,
    next_producer: i64,
}

impl World {
    fn new(version: TransactionVersion, wait_ms: u64) -> Self {
        Self {
            rig: Rig::new(TransactionConfig { wait_ms, ..TransactionConfig::default() }),
            version,
            identities: [None; 3],
            asked: Vec::new(),
            replies_heard: 0,
            lost: BTreeSet::new(),
            reports: Vec::new(),
            partitions: BTreeMap::new(),
            promised: BTreeMap::new(),
            next_producer: 1,
        }
    }

    fn act(&mut self, act: Act) {
        let version = self.version;
        match act {
            Act::Init { who, goes_on } => {
                let it = Init {
                    transactional_id: IDS[who].to_owned(),
                    timeout_ms: 1_000,
                    current: self.identities[who].filter(|_| goes_on),
                    two_phase_commit: false,
                    keep_prepared: false,
                };
                self.ask(who, Request::Init(it));
            }
            Act::Add { who, partition } => {
                let Some(producer) = self.identities[who] else { return };
                let (transactional_id, partitions) = (IDS[who].to_owned(), places(&[PARTITIONS[partition]]));
                let it = AddPartitions { transactional_id, producer, partitions, version };
                self.ask(who, Request::AddPartitions(it));
            }
            Act::End { who, outcome } => {
                let Some(producer) = self.identities[who] else { return };
                let transactional_id = IDS[who].to_owned();
                self.ask(who, Request::End(End { transactional_id, producer, outcome, version }));
            }
            Act::Again(index) if !self.asked.is_empty() => {
                let (who, request) = self.asked[index.index(self.asked.len())].clone();
                self.ask(who, request);
            }
            Act::Written(index) if !self.rig.markers.is_empty() => {
                self.write(index.index(self.rig.markers.len()))
            }
            Act::NotWritten(index) if !self.rig.markers.is_empty() => {
                let failed = self.rig.markers[index.index(self.rig.markers.len())].partitions.clone();
                self.report(index.index(self.rig.markers.len()), failed);
            }
            Act::ReportAgain(index) if !self.reports.is_empty() => {
                let report = self.reports[index.index(self.reports.len())].clone();
                self.rig.step(|shard, now, out| shard.markers_written(now, &report, out));
            }
            Act::Again(_) | Act::Written(_) | Act::NotWritten(_) | Act::ReportAgain(_) => {}
            Act::Wait(ms) => drop(self.rig.run(&format!("wait {ms}"))),
            Act::Restart => {
                self.lost = self.unanswered();
                self.rig.restart();
            }
        }
        self.give_producer_ids();
        self.hear();
    }

    /// The request reaches the shard. An end that is taken for a new one is by whoever has the id now (I15).
    fn ask(&mut self, who: usize, request: Request) {
        let known = |rig: &Rig| rig.shard.ids.get(IDS[who]).map(|slot| slot.known.clone());
        let before = known(&self.rig);
        self.rig.ask(request.clone());
        if let (Request::End(end), Some(before)) = (&request, before) {
            let is_decided = known(&self.rig).is_some_and(|after| after.value.state != before.value.state);
            assert!(!is_decided || end.producer == before.identity(), "{end:?} has ended {before:?}");
        }
        self.asked.push((who, request));
    }

    /// The markers reach their partitions. Without an epoch for each transaction, partitions rely on none coming late.
    fn write(&mut self, at: usize) {
        let it = &self.rig.markers[at];
        let later =
            self.rig.markers[at + 1..].iter().any(|later| later.transactional_id == it.transactional_id);
        if self.version == TransactionVersion::V1 && later {
            return;
        }
        for (topic, partitions) in &it.partitions {
            for partition in partitions {
                let key = (topic.clone(), *partition, it.producer.producer);
                let state = self.partitions.entry(key).or_insert((false, -1));
                if state.1 <= it.producer.epoch.0 {
                    *state = (false, it.producer.epoch.0);
                }
            }
        }
        self.report(at, Partitions::new());
    }

    fn report(&mut self, at: usize, failed: Partitions) {
        let it = &self.rig.markers[at];
        let report = MarkersReport {
            id: it.id,
            transactional_id: it.transactional_id.clone(),
            failed,
            is_superseded: false,
        };
        self.rig.step(|shard, now, out| shard.markers_written(now, &report, out));
        self.reports.push(report);
    }

    fn give_producer_ids(&mut self) {
        if self.rig.shard.stock.is_asking() {
            self.next_producer += 2;
            let block = ProducerIdBlock { first: ProducerId(self.next_producer), count: 2 };
            self.rig.step(|shard, now, out| shard.producer_ids(now, Some(block), out));
        }
    }

    /// Clients hear what they are told, and write to the partitions that they may write to.
    fn hear(&mut self) {
        let heard = std::mem::replace(&mut self.replies_heard, self.rig.replies.len());
        for (id, reply) in &self.rig.replies[heard..] {
            let (who, request) = &self.asked[id.0 as usize - 1];
            match (reply, request) {
                (Reply::Init(Ok(it)), _) => self.identities[*who] = Some(*it),
                (Reply::End(Ok(it)), Request::End(end)) => {
                    self.identities[*who] = Some(*it);
                    let marked = (end.producer.producer, end.producer.epoch.0 + 1);
                    self.promised.insert(marked, end.outcome);
                }
                (Reply::AddPartitions(Ok(())), Request::AddPartitions(add)) => {
                    for (topic, partitions) in &add.partitions {
                        for partition in partitions {
                            let key = (topic.clone(), *partition, add.producer.producer);
                            let state = self.partitions.entry(key).or_insert((false, -1));
                            if state.1 <= add.producer.epoch.0 {
                                *state = (true, add.producer.epoch.0);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn unanswered(&self) -> BTreeSet<RequestId> {
        let answered: BTreeSet<_> = self.rig.replies.iter().map(|(id, _)| *id).collect();
        (1..=self.rig.requests).map(RequestId).filter(|id| !answered.contains(id)).collect()
    }

    /// Faults stop: everything comes to its end (I16), and every request is answered once.
    fn settle(&mut self) {
        for _ in 0..6 {
            (0..self.rig.markers.len()).for_each(|at| self.write(at));
            self.rig.run("wait 1000");
            self.give_producer_ids();
            self.hear();
        }
        for slot in self.rig.shard.ids.values() {
            let is_open = slot.known.value.state == TransactionState::Ongoing;
            assert!(!is_open && slot.known.outcome().is_none() && slot.due.is_none(), "{slot:?} hangs");
        }
        let hanging: Vec<_> = self.partitions.iter().filter(|(_, (is_open, _))| *is_open).collect();
        assert!(hanging.is_empty(), "{hanging:?}");
        let answered: BTreeSet<_> = self.rig.replies.iter().map(|(id, _)| *id).collect();
        assert_eq!(answered.len(), self.rig.replies.len(), "something was answered twice");
        assert_eq!(self.unanswered(), self.lost);
    }

    /// A transaction ends in one way, in all its partitions, and as its producer was told (I15).
    fn check_outcomes(&self) {
        let mut outcomes = self.promised.clone();
        for it in &self.rig.markers {
            let key = (it.producer.producer, it.producer.epoch.0);
            assert_eq!(*outcomes.entry(key).or_insert(it.outcome), it.outcome, "{it:?}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_hangs_and_nothing_is_ended_twice(
        acts in prop::collection::vec(act(), 1..80),
        version in prop_oneof![Just(TransactionVersion::V1), Just(TransactionVersion::V2)],
        wait_ms in prop_oneof![Just(0), Just(100)],
    ) {
        let mut world = World::new(version, wait_ms);
        for act in acts {
            world.act(act);
            world.rig.check_replay();
        }
        world.settle();
        world.rig.check_replay();
        // Otherwise nobody can tell a producer's transactions apart.
        if version == TransactionVersion::V2 {
            world.check_outcomes();
        }
    }
}
