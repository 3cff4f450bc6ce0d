//! Five hundred members of one group join at once, half of them die, others come and go (F41): the group finds its peace within a time and a number of
//! requests that are bounded, and keeps no more than a group of that size that never saw a storm.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::*;
use crate::group::Protocol;

/// Who joins at once.
const COUNT: usize = 500;
/// Who comes later.
const LATER: usize = 150;
/// How long the others come and go for, in steps.
const STORM: u64 = 200;
/// Everything is looked at so often.
const STEP_MS: u64 = 100;
/// How often a member is to be heard of.
const BEAT_MS: u64 = 3_000;
/// Of the classic protocol: how long a member may be silent, and how long the others wait for one that is to join again.
const SESSION_MS: u64 = 10_000;
const PATIENCE_MS: u64 = 15_000;

/// What a member of the model is about to do.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// It is no member, and wants to be one.
    Out,
    /// It has to join; what it has been called stays.
    Joins,
    /// Its question waits.
    Waits,
    Syncs {
        all: Vec<String>,
    },
    /// With work, by the one protocol or the other.
    Works {
        generation: i32,
        work: String,
    },
    Leaves,
    /// It says nothing more, and hears nothing.
    Dead,
}

struct Model {
    phase: Phase,
    acts_at: u64,
}

/// A number for each seed and place.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Classic,
    Consumer,
}

struct Storm {
    rig: Rig,
    spoken: Spoken,
    members: BTreeMap<String, Model>,
    dice: Dice,
    now: u64,
    /// Without those that only say that a member is there.
    request_count: u64,
    generation: i32,
}

impl Storm {
    fn new(spoken: Spoken, seed: u64) -> Self {
        let config = GroupConfig { consumer_session_timeout_ms: SESSION_MS as u32, ..GroupConfig::default() };
        let mut rig = Rig::new(config);
        rig.run("topic t 1300");
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Self { rig, spoken, members: BTreeMap::new(), dice, now: 0, request_count: 0, generation: 0 }
    }

    fn come(&mut self, name: String) {
        // Names of one length, so that what is kept of them can be compared.
        self.members.insert(name, Model { phase: Phase::Out, acts_at: self.now });
    }

    /// One of those that are alive.
    fn anybody(&mut self) -> Option<String> {
        let alive = |it: &&String| !matches!(self.members[*it].phase, Phase::Dead | Phase::Leaves);
        let alive: Vec<&String> = self.members.keys().filter(alive).collect();
        let place = self.dice.below(alive.len().max(1) as u64) as usize;
        alive.get(place).map(|it| (*it).clone())
    }

    fn put(&mut self, who: &str, phase: Phase) {
        let now = self.now;
        let model = self.members.get_mut(who).expect("it is one");
        *model = Model { phase, acts_at: now };
    }

    /// Everybody whose time has come says what it has to say; then time passes.
    fn step(&mut self) {
        let due = |(_, it): &(&String, &Model)| it.acts_at <= self.now && it.phase != Phase::Dead;
        let due: Vec<String> = self.members.iter().filter(due).map(|(who, _)| who.clone()).collect();
        for who in due {
            self.speak(&who);
        }
        let told = self.rig.run(&format!("wait {STEP_MS}"));
        self.now += STEP_MS;
        self.hear(&told);
    }

    fn speak(&mut self, who: &str) {
        let phase = self.members[who].phase.clone();
        let said = match (self.spoken, &phase) {
            (_, Phase::Waits | Phase::Dead) => return,
            (Spoken::Classic, Phase::Out) => {
                format!("{who} join anew handshake session:{SESSION_MS} patience:{PATIENCE_MS}")
            }
            (Spoken::Classic, Phase::Joins) => format!("{who} join"),
            (Spoken::Classic, Phase::Syncs { all }) => {
                let mut line = format!("{who} sync");
                for (at, member) in all.iter().enumerate() {
                    let _ = write!(line, " {}=work{at}", client_of(member));
                }
                line
            }
            (Spoken::Classic, Phase::Works { .. }) => format!("{who} beat"),
            (Spoken::Classic, Phase::Leaves) => format!("{who} leave"),
            (Spoken::Consumer, Phase::Leaves) => format!("{who} quit"),
            (Spoken::Consumer, _) => format!("{who} show"),
        };
        self.request_count += u64::from(!matches!(phase, Phase::Works { .. }));
        let beat = BEAT_MS - self.dice.below(BEAT_MS / 4);
        let now = self.now;
        let model = self.members.get_mut(who).expect("it is one");
        model.acts_at = now + beat;
        match phase {
            Phase::Leaves => model.phase = Phase::Dead,
            Phase::Works { .. } => {}
            _ if self.spoken == Spoken::Classic => model.phase = Phase::Waits,
            _ => {}
        }
        let told = self.rig.run(&said);
        self.hear(&told);
    }

    /// What members are told: a line for each. What is written to the log is no answer.
    fn hear(&mut self, told: &str) {
        for line in told.lines().filter(|it| !it.starts_with("+ ")) {
            let Some((who, answer)) = line.split_once(": ") else { continue };
            if self.members.get(who).is_none_or(|it| it.phase == Phase::Dead) {
                continue;
            }
            match self.spoken {
                Spoken::Classic => self.hear_classic(who, answer),
                Spoken::Consumer => self.hear_consumer(who, answer),
            }
        }
    }

    fn hear_classic(&mut self, who: &str, answer: &str) {
        let words: Vec<&str> = answer.split_whitespace().collect();
        let leaves = self.members[who].phase == Phase::Leaves;
        let phase = match words[..] {
            _ if leaves => return,
            ["is", _] | ["RebalanceInProgress"] => Phase::Joins,
            [_, "joined", generation, "range", "led", "by", _, ref rest @ ..] => {
                self.generation = generation.parse().expect("a generation");
                let all = rest.iter().skip(1).map(|it| (*it).to_owned()).collect();
                Phase::Syncs { all }
            }
            ["works", "on", work] => Phase::Works { generation: self.generation, work: work.to_owned() },
            ["ok"] => return,
            ["UnknownMember"] => Phase::Out,
            ["IllegalGeneration"] => Phase::Joins,
            _ => panic!("{who}: {answer}"),
        };
        let (now, is_at_work) = (self.now, matches!(phase, Phase::Works { .. }));
        let soon = if is_at_work { BEAT_MS / 2 + self.dice.below(BEAT_MS / 2) } else { 0 };
        let model = self.members.get_mut(who).expect("it is one");
        *model = Model { phase, acts_at: now + soon };
    }

    fn hear_consumer(&mut self, who: &str, answer: &str) {
        let model = self.members.get_mut(who).expect("it is one");
        match answer.split_whitespace().collect::<Vec<_>>()[..] {
            _ if model.phase == Phase::Leaves => {}
            // Given something, it says at once that it has it, as clients do.
            [_, "in", epoch, ref work @ ..] => {
                let is_given = epoch.ends_with(':');
                let generation = epoch.trim_end_matches([':', ',']).parse().expect("an epoch");
                model.phase = Phase::Works { generation, work: work.concat() };
                if is_given {
                    model.acts_at = self.now + STEP_MS;
                    self.request_count += 1;
                }
            }
            ["UnknownMember"] | ["FencedEpoch", ..] => {
                *model = Model { phase: Phase::Out, acts_at: self.now };
            }
            _ => panic!("{who}: {answer}"),
        }
    }

    /// Everybody alive has work, in one generation, and nobody the same as another. The consumer protocol's work is looked at by the rig.
    fn is_at_peace(&mut self) -> bool {
        let alive = self.members.values().filter(|it| it.phase != Phase::Dead);
        let mut generations = BTreeSet::new();
        let mut works = BTreeSet::new();
        let mut count = 0;
        for model in alive {
            let Phase::Works { generation, work } = &model.phase else { return false };
            generations.insert(*generation);
            works.insert(work.clone());
            count += 1;
        }
        generations.len() == 1
            && (self.spoken == Spoken::Consumer || works.len() == count)
            && self.member_count() == count
            && self.rig.run("list").contains("Stable")
    }

    fn member_count(&self) -> usize {
        match &self.rig.groups.groups.get("g").expect("it has members").protocol {
            Protocol::Classic(it) => it.member_count(),
            Protocol::Consumer(it) => it.member_count(),
        }
    }

    /// How much the shard keeps, as the text that tells all of it.
    fn kept(&self) -> usize {
        format!("{:?}", self.rig.groups.groups).len() + format!("{:?}", self.rig.groups.shared.timers).len()
    }

    /// Until then, or it fails.
    fn live_until_peace(&mut self, within_ms: u64) -> u64 {
        let begin = self.now;
        while !self.is_at_peace() {
            let phases: Vec<_> = self
                .members
                .iter()
                .filter(|(_, it)| !matches!(it.phase, Phase::Works { .. } | Phase::Dead))
                .take(5)
                .map(|(who, it)| (who, &it.phase))
                .collect();
            assert!(self.now <= begin + within_ms, "no peace: {phases:?} of {}", self.member_count());
            self.step();
        }
        self.now - begin
    }
}

/// A client's member may be its second.
fn client_of(member: &str) -> &str {
    member.trim_end_matches('\'')
}

fn weather(spoken: Spoken, seed: u64, within_ms: u64, requests_each: u64) {
    let mut storm = Storm::new(spoken, seed);
    (0..COUNT).for_each(|at| storm.come(format!("m{at:04}")));
    storm.live_until_peace(within_ms);
    let each = storm.kept() / COUNT;
    storm.rig.check();

    // Half of them die, at this moment or in the middle of what follows; others come and go.
    storm.request_count = 0;
    let mut later = 0;
    for step in 0..STORM {
        let deaths =
            COUNT as u64 / 2 / if step == 0 { 2 } else { 2 * (STORM - 1) } + u64::from(step % 4 == 1);
        for _ in 0..deaths {
            if let Some(who) = storm.anybody() {
                storm.put(&who, Phase::Dead);
            }
        }
        if storm.dice.below(3) == 0 {
            for _ in 0..storm.dice.below(4) {
                if later < LATER {
                    storm.come(format!("n{later:04}"));
                    later += 1;
                }
            }
        }
        if storm.dice.below(4) == 0
            && let Some(who) = storm.anybody()
        {
            storm.put(&who, Phase::Leaves);
        }
        storm.step();
        let known = storm.member_count() + storm.rig.groups.shared.pending.len();
        assert!(known <= storm.members.len(), "{known} members of {}", storm.members.len());
        if step % 20 == 0 {
            let (kept, most) = (storm.kept(), 2 * each * storm.members.len());
            assert!(kept <= most, "{kept} for {known} members; {each} for each at first");
            let timer_count = storm.rig.groups.shared.timers.len();
            assert!(timer_count <= 2 * storm.members.len() + 2, "{timer_count} timers for {known} members");
        }
    }
    storm.rig.check();
    let took = storm.live_until_peace(within_ms);
    let members = storm.members.len() as u64;
    let (requests, most) = (storm.request_count, requests_each * members);
    println!("{seed}: peace after {took} ms and {requests} requests, with {} members", storm.member_count());
    assert!(requests <= most, "{requests} requests of {members} members, {most} are enough");

    // Nothing is left of those that are gone.
    storm.rig.check();
    let count = storm.member_count();
    assert!(150 < count && count < 450, "{count} members stay");
    assert_eq!(storm.rig.groups.shared.pending.len(), 0);
    assert!(
        storm.rig.groups.shared.timers.len() <= count + 1,
        "one for each session, one for unused offsets"
    );
    // Those who share less have more each.
    let share = if spoken == Spoken::Consumer { 2 * COUNT / count } else { 1 };
    assert!(storm.kept() / count <= each * (share + 1), "{} for each, {each} at first", storm.kept() / count);
}

/// Sessions end, and then the others are waited for; once more for whoever was late.
#[test]
fn a_storm_in_a_classic_group_ends() {
    for seed in 0..3 {
        weather(Spoken::Classic, seed, SESSION_MS + 2 * PATIENCE_MS, 60);
    }
}

#[test]
fn a_storm_in_a_group_of_the_consumer_protocol_ends() {
    for seed in 0..3 {
        weather(Spoken::Consumer, seed, 2 * SESSION_MS + 4 * BEAT_MS, 60);
    }
}
