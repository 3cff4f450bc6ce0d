//! Coordinators that answer anything, and applications that do anything: nothing is told that was not so, and nothing is read that is not had.

use super::super::super::GroupProtocol;
use super::*;

const PARTITIONS: [&str; 4] = ["t-0", "t-1", "u-0", "x-9"];
const CODES: [&str; 12] = [
    "NOT_COORDINATOR",
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "REBALANCE_IN_PROGRESS",
    "UNKNOWN_MEMBER_ID",
    "ILLEGAL_GENERATION",
    "FENCED_MEMBER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "MEMBER_ID_REQUIRED",
    "UNSTABLE_OFFSET_COMMIT",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "REQUEST_TIMED_OUT",
];

struct Chaos {
    world: World,
    random: Random,
    now: Tick,
    open: Vec<u64>,
    fetches: Vec<(CallId, String, i64)>,
    /// What the application was told that it has, and what it is to acknowledge.
    has: Owned,
    revocations: Vec<RevocationId>,
    commits: BTreeSet<u64>,
    assigned: u32,
}

impl Chaos {
    fn new(config: Config, seed: u64) -> Self {
        let (world, random) = (World::new(config), Random::new(seed));
        let (open, fetches, has, revocations) = (Vec::new(), Vec::new(), Owned::new(), Vec::new());
        let (now, commits, assigned) = (Tick(0), BTreeSet::new(), 0);
        Self { world, random, now, open, fetches, has, revocations, commits, assigned }
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len() as u64) as usize]
    }

    fn some_partitions(&mut self) -> Vec<&'static str> {
        PARTITIONS.into_iter().filter(|_| self.random.below(2) == 0).collect()
    }

    fn step(&mut self) {
        self.now = Tick(self.now.0 + self.random.below(200) * 1_000);
        match self.random.below(12) {
            0..4 => self.answer(),
            4 => self.fetched(),
            5..8 => self.take(),
            8 if !self.revocations.is_empty() => {
                let at = self.random.below(self.revocations.len() as u64) as usize;
                let revocation = self.revocations.swap_remove(at);
                self.world.machine.acknowledge(self.now, revocation);
            }
            9 => {
                let commit = CommitId(self.now.0);
                let places = self.world.machine.positions();
                if self.commits.insert(commit.0) {
                    self.world.machine.commit(self.now, commit, places, &mut self.world.effects);
                }
            }
            10 => {
                let pictures = [&[("t", 2), ("u", 1)][..], &[("t", 2), ("u", 1), ("x", 10)], &[("t", 1)]];
                let picture = self.one_of(&pictures);
                self.world.machine.cluster_changed(cluster(picture));
            }
            11 if self.random.below(10) == 0 => {
                let topics = self.one_of(&[&["t"][..], &["t", "u", "x"], &["u"]]);
                let topics = topics.iter().map(|&topic| topic.into()).collect();
                self.world.machine.subscribe(self.now, Topics::Named(topics), &mut self.world.effects);
            }
            _ => {}
        }
        self.world.machine.advance(self.now, &mut self.world.effects);
        self.perform();
        self.look();
    }

    fn answer(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let call = self.open.swap_remove(self.random.below(self.open.len() as u64) as usize);
        let asked = self.world.asked.remove(&call).expect("it was asked");
        let partitions = self.some_partitions();
        let number = self.random.below(5).to_string();
        let placed: Vec<_> = partitions.iter().map(|it| format!("{it}:{number}")).collect();
        let placed: Vec<_> = placed.iter().map(String::as_str).collect();
        let assignor = match &asked {
            Request::JoinGroup(it) => it.protocols[0].name.clone(),
            _ => String::new(),
        };
        let words: Vec<&str> = match &asked {
            Request::FindCoordinator(_) => vec!["1"],
            Request::JoinGroup(_) if self.random.below(2) == 0 => vec![&number, &assignor, "m", "m:t", "n:u"],
            Request::JoinGroup(_) => vec![&number, &assignor, "m"],
            Request::ConsumerGroupHeartbeat(_) if self.random.below(2) == 0 => vec![&number],
            Request::ConsumerGroupHeartbeat(_) if partitions.is_empty() => vec![&number, "nothing"],
            Request::ConsumerGroupHeartbeat(_) => [&[number.as_str()], &partitions[..]].concat(),
            Request::OffsetFetch(_) => placed,
            Request::SyncGroup(_) => partitions,
            _ => Vec::new(),
        };
        let outcome = match self.random.below(10) {
            0 => Err(CallError::Broken { address: "b".into(), problem: "cut".into() }),
            1 => Ok(super::answer(&asked, "refused", &[self.one_of(&CODES), "m2"])),
            _ => Ok(super::answer(&asked, "done", &words)),
        };
        self.world.machine.answered(self.now, CallId(call), outcome, &mut self.world.effects);
    }

    fn fetched(&mut self) {
        let Some((call, partition, offset)) = self.fetches.pop() else { return };
        let script = format!("fetched {} {partition} {offset}+2", call.0);
        let words: Vec<_> = script.split(' ').collect();
        self.world.happen(self.now, &words);
    }

    fn take(&mut self) {
        match self.world.machine.take(self.now, ReaderId(0)) {
            None | Some(Err(GroupConsumeError::Partition(_))) => {}
            Some(Err(error)) => {
                // Nobody goes on after that.
                assert!(self.world.machine.assignment().is_empty(), "{error}");
            }
            Some(Ok(Taken::Batch(batch))) => {
                let name = PartitionName { topic: batch.topic, partition: batch.partition };
                assert!(self.has.contains(&name), "{name} is not had\n{}", self.world.log);
            }
            Some(Ok(Taken::Assigned(partitions))) => {
                self.assigned += 1;
                for name in partitions {
                    assert!(self.has.insert(name.clone()), "{name} is had already\n{}", self.world.log);
                }
            }
            Some(Ok(Taken::Lost(partitions))) => self.no_more(&partitions),
            Some(Ok(Taken::Revoked { revocation, partitions })) => {
                self.no_more(&partitions);
                self.revocations.push(revocation);
            }
        }
    }

    fn no_more(&mut self, partitions: &[PartitionName]) {
        for name in partitions {
            assert!(self.has.remove(name), "{name} was not had\n{}", self.world.log);
        }
    }

    fn perform(&mut self) {
        for effect in std::mem::take(&mut self.world.effects) {
            match &effect {
                Effect::Ask { call, .. } => self.open.push(call.0),
                Effect::Committed { commit, .. } => {
                    assert!(self.commits.remove(&commit.0), "{commit:?} has two outcomes");
                }
                Effect::Read(ReadEffect::Ask(Ask {
                    call: Some(call),
                    what: Asked::Fetch { session, .. },
                    ..
                })) => {
                    let first =
                        session.topics.first().and_then(|topic| Some((topic, topic.partitions.first()?)));
                    self.fetches.extend(first.map(|(topic, it)| {
                        (*call, format!("{}-{}", topic.name, it.partition), it.offset.raw())
                    }));
                }
                _ => {}
            }
            self.world.tell(effect);
        }
    }

    /// What is read is what is had and not to be given up.
    fn look(&self) {
        let machine = &self.world.machine;
        let read: Owned = machine
            .reader()
            .positions()
            .map(|it| PartitionName { topic: it.topic, partition: it.partition })
            .collect();
        assert_eq!(read, machine.assignment(), "{}", self.world.log);
        assert!(machine.calls.len() <= 6, "{:?}", machine.calls);
    }
}

#[test]
fn whatever_happens_nothing_is_read_that_is_not_had() {
    let mut assigned = [0; 3];
    for seed in 0..300 {
        let (kind, base) = ((seed % 3) as usize, Config::new("g"));
        let config = Config {
            protocol: if kind == 2 { GroupProtocol::Consumer } else { GroupProtocol::Classic },
            assignors: vec![if kind == 1 { Assignor::CooperativeSticky } else { Assignor::Sticky }],
            auto_commit_interval_ms: (seed % 2 == 0).then_some(500),
            heartbeat_interval_ms: 300,
            poll_interval_max_ms: 3_000,
            ..base
        };
        let mut chaos = Chaos::new(config, seed);
        chaos.world.run("0 subscribe t");
        let asked: Vec<_> = chaos.world.asked.keys().copied().collect();
        chaos.open.extend(asked);
        (0..400).for_each(|_| chaos.step());
        assigned[kind] += chaos.assigned;
        // In the end it goes: at once if nothing is to be committed, and in time whatever the coordinator does.
        let end = Tick(chaos.now.0 + 5_000_000);
        chaos.world.machine.close(chaos.now, true, &mut chaos.world.effects);
        chaos.world.machine.advance(chaos.now, &mut chaos.world.effects);
        while let Some(wake) = chaos.world.machine.next_wake().filter(|wake| *wake < end) {
            chaos.world.machine.advance(wake, &mut chaos.world.effects);
        }
        chaos.perform();
        assert!(chaos.world.machine.is_finished(), "{}", chaos.world.log);
        assert_eq!(chaos.commits, BTreeSet::new(), "every commit has an outcome");
    }
    assert!(assigned.iter().all(|count| *count > 100), "{assigned:?}");
}
