//! Who is alive, and when to elect: the decisions, without clock and network.
//!
//! openraft's own timers only know silence, and count from the last vote; here a connection that is refused counts at once, a pause of this process is nobody else's
//! silence, and nobody becomes a candidate, which would depose a healthy leader, before a majority has said that it would vote for it (pre-vote).
//!
//! ```text
//!   leader    beats --------> followers: "heard", and an answer
//!             no answers of a majority for a second: leads no more, says so in its beats, until answers come again
//!   follower  silence, or the leader's port refuses ---> pre-vote ---majority---> elect
//!   everybody beats too, less often, so that whoever comes to lead knows how the others are (`sightings.rs`)
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use klamm_model::BrokerId;
use klamm_quorum::{DEPOSED_WITHIN_MS, LEADER_PAUSE_MS};
use klamm_wire::LogPoint;

use super::{
    driver::DISK_PATIENCE,
    sightings::{Greeted, Sightings},
};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Between a leader's signs of life.
pub(super) const BEAT: Duration = ms(100);
/// Between those of others.
const FOLLOWER_BEAT: Duration = ms(250);
/// A leader may be silent for a time drawn from this range: longer than half a second for which a process may stand still, the beat that it just missed, and some more (interop/calm.py).
const SILENCE: (u64, u64) = (700, 1_000);
/// Nobody leads: until the next one stands for election, drawn from this range.
const VACANCY: (u64, u64) = (300, 600);
/// Votes are refused by openraft for so long after entries, or its own rare heartbeats, came from a leader.
pub(super) const LEASE: Duration = ms(100);
/// After so many elections in vain, each of which doubles the time until the next, it stays as it is.
const VAIN_MAX: u32 = 3;
/// Until a leader is heard, there are so many writes one after another: the votes of both, that it is elected, and its first entry.
const ELECTION_WRITES: u32 = 4;
/// A pre-vote round may take this long.
const ROUND: Duration = ms(150);
/// An answer that took no longer counts in the next round too: a link may be slower than a round.
pub(super) const ANSWER_MAX: Duration = ms(600);
/// Until the next round after one that failed: so that two nodes do not keep getting in each other's way.
const AGAIN: (u64, u64) = (30, 90);
/// Whoever said yes to another stands back for so long, and until its vote for that one is likely to be on disk.
const STAND_BACK: (u64, u64) = (150, 300);
/// Whoever is to stand for election does, when its disk has its vote: told so once more meanwhile it would stand again right after that, in a later term, and so on
/// wherever a vote takes longer to write than elections are apart. After so long it does not.
const STANDS_WITHIN: Duration = ms(4_000);
const _: () =
    assert!(DISK_PATIENCE.as_millis() < STANDS_WITHIN.as_millis(), "a disk that needs as long elects nobody");
/// A leader without answers of a majority for so long leads no more.
pub(super) const QUORUM_PATIENCE: Duration = ms(1000);
const _: () = assert!(QUORUM_PATIENCE.as_millis() + 2 * BEAT.as_millis() <= DEPOSED_WITHIN_MS as u128);
const _: () = assert!(LEADER_PAUSE_MS <= SILENCE.0);
/// Nobody is told to ask a leader that is silent for so long, even where there is no majority to elect another.
const LEADER_PATIENCE: Duration = ms(1000);
/// Who is woken later than this had no processor, and has missed more than others have.
const LATE: Duration = ms(100);

/// The Raft as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Situation {
    pub(super) term: u64,
    /// Who was elected in this term.
    pub(super) leader: Option<BrokerId>,
    /// A majority of each of these sets decides.
    pub(super) voters: Vec<BTreeSet<BrokerId>>,
}

/// What the detector wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Ask all voters for a pre-vote; answers come back with this number.
    Ask { round: u64 },
    /// Become a candidate.
    Elect,
    /// Send a sign of life to everybody.
    Beat { leads: bool },
}

/// See the module. Times are since the start of the process.
#[derive(Debug)]
pub(super) struct Detector {
    me: BrokerId,
    dice: u64,
    situation: Situation,
    /// The leader was heard.
    heard: bool,
    /// Silence counts from here.
    quiet_since: Duration,
    patience: Duration,
    /// Terms without a leader since there was one.
    vain_terms: u32,
    /// The leader's port refuses.
    leader_is_gone: bool,
    /// When entries came last.
    appended: Option<Duration>,
    round: Option<Round>,
    round_count: u64,
    /// When the last rounds began, and who said yes in one of them when it was over, and when.
    began: BTreeMap<u64, Duration>,
    late: BTreeMap<BrokerId, Duration>,
    /// Somebody has answered late: until then, whoever asks goes on asking between its rounds.
    far_until: Duration,
    no_round_before: Duration,
    /// It is to stand for election, and until its own vote is there the situation is the old one.
    stands_until: Duration,
    /// When each node's last answer was sent for, and when this node began to lead.
    acked: BTreeMap<BrokerId, Duration>,
    led_since: Duration,
    next_beat: Duration,
    /// The disk does not answer: somebody else may do better.
    is_stalled: bool,
    /// What the disk needed of late for one thing.
    disk_took: Duration,
    /// A change of members is under way: whoever began it ends it, though it may be its own removal.
    is_changing: bool,
    due: Duration,
    pub(super) elections: u64,
    /// How the other nodes are.
    pub(super) sightings: Sightings,
}

#[derive(Debug)]
struct Round {
    number: u64,
    ends: Duration,
    granted: BTreeSet<BrokerId>,
    denied: BTreeSet<BrokerId>,
}

impl Detector {
    pub(super) fn new(me: BrokerId, seed: u64, now: Duration) -> Self {
        let mut detector = Self {
            me,
            dice: seed,
            situation: Situation::default(),
            heard: false,
            quiet_since: now,
            patience: Duration::ZERO,
            vain_terms: 0,
            leader_is_gone: false,
            appended: None,
            round: None,
            round_count: 0,
            began: BTreeMap::new(),
            late: BTreeMap::new(),
            far_until: Duration::ZERO,
            no_round_before: Duration::ZERO,
            stands_until: Duration::ZERO,
            acked: BTreeMap::new(),
            led_since: now,
            next_beat: now,
            is_stalled: false,
            disk_took: Duration::ZERO,
            is_changing: false,
            due: now,
            elections: 0,
            sightings: Sightings::default(),
        };
        detector.patience = detector.draw(VACANCY);
        detector
    }

    /// How the Raft is now.
    pub(super) fn is_now(&mut self, now: Duration, situation: &Situation) {
        let has_turned = (situation.term, situation.leader) != (self.situation.term, self.situation.leader);
        self.situation = situation.clone();
        if has_turned {
            self.leader_is_gone = false;
            self.ask_nobody();
            self.heard = false;
            self.quiet_since = now;
            self.stands_until = Duration::ZERO;
            (self.patience, self.vain_terms) = match situation.leader {
                Some(_) => (self.draw(SILENCE), 0),
                None => (self.draw(VACANCY), self.vain_terms + 1),
            };
            if 0 < self.vain_terms {
                // The next candidate must not come before the votes for this one are on disk, and its first entry.
                self.patience *= 1 << (self.vain_terms - 1).min(VAIN_MAX);
                self.patience += (self.disk_took * ELECTION_WRITES).min(ms(VACANCY.1 << VAIN_MAX));
            }
            self.acked.clear();
            (self.led_since, self.next_beat) = (now, now);
        }
    }

    /// How this node's disk does, as others' disks are likely to do.
    pub(super) fn disk(&mut self, is_stalled: bool, took: Duration) {
        (self.is_stalled, self.disk_took) = (is_stalled, took);
    }

    /// Whether this node, as the leader, is changing the members.
    pub(super) fn changing(&mut self, is_under_way: bool) {
        self.is_changing = is_under_way;
    }

    /// A sign of life of somebody who leads in `term`, or did.
    pub(super) fn beat(&mut self, now: Duration, from: BrokerId, term: u64, leads: bool) {
        self.forgive(now);
        self.sightings.heard(now, from);
        let is_newer = self.situation.term < term;
        if leads && (is_newer || (self.situation.term == term && self.situation.leader == Some(from))) {
            self.heard = true;
            self.quiet_since = now;
            self.leader_is_gone = false;
            self.ask_nobody();
        }
    }

    /// Entries came from a leader, be they none.
    pub(super) fn appended(&mut self, now: Duration) {
        self.appended = Some(now);
    }

    /// A connection broke, and a new one was refused.
    pub(super) fn refused(&mut self, now: Duration, peer: BrokerId) {
        self.sightings.refused(peer);
        if self.situation.leader == Some(peer) && !std::mem::replace(&mut self.leader_is_gone, true) {
            (self.no_round_before, self.due) = (now, self.due.min(now));
        }
    }

    /// There is a connection, to this process.
    pub(super) fn connected(&mut self, now: Duration, peer: BrokerId, greeted: Greeted) {
        self.forgive(now);
        self.sightings.connected(now, peer, greeted);
        if self.situation.leader == Some(peer) {
            self.leader_is_gone = false;
            if !self.suspects(now) {
                self.ask_nobody();
            }
        }
    }

    /// An answer to a beat that was sent at `sent`, by a node that knows no later term than `term`.
    pub(super) fn acked(&mut self, now: Duration, peer: BrokerId, term: u64, sent: Duration) {
        self.forgive(now);
        self.sightings.heard(now, peer);
        if term <= self.situation.term {
            let acked = self.acked.entry(peer).or_default();
            *acked = sent.max(*acked);
        }
    }

    /// This node was elected.
    pub(super) fn is_elected(&self) -> bool {
        self.situation.leader == Some(self.me)
    }

    /// Whoever was elected may still lead, as far as this node hears.
    pub(super) fn has_leader(&self, now: Duration) -> bool {
        let is_silent = LEADER_PATIENCE <= now.saturating_sub(self.quiet_since);
        self.is_elected() || !(self.leader_is_gone || is_silent)
    }

    /// This node was elected, a majority hears it, its disk answers, and it was not removed from the voters. openraft would have it lead on as one who only
    /// listens; saying that it does not, it has them elect one of their own.
    pub(super) fn leads(&self, now: Duration) -> bool {
        let is_heard = |node: &BrokerId| {
            let acked = self.acked.get(node).copied().unwrap_or_default().max(self.led_since);
            *node == self.me || now.saturating_sub(acked) < QUORUM_PATIENCE
        };
        let may_lead = self.is_voter() || self.is_changing;
        self.is_elected() && may_lead && !self.is_stalled && self.is_majority(is_heard)
    }

    /// Somebody would like to be a candidate. `last` is its last entry, `own` this node's.
    pub(super) fn asked(
        &mut self,
        now: Duration,
        from: BrokerId,
        last: Option<LogPoint>,
        own: Option<LogPoint>,
    ) -> bool {
        self.forgive(now);
        // A majority has to suspect the leader: one whose connection is slow does not do.
        let hears_leader = self.leads(now) || (self.heard && !self.suspects(now));
        let lease_holds = self.appended.is_some_and(|at| now <= at + LEASE);
        // Of two that ask at the same time one has to give way.
        let asks = self.round.is_some() || (now < self.far_until && !self.began.is_empty());
        let goes_first = asks && (last, self.me) <= (own, from);
        if hears_leader || lease_holds || last < own || goes_first {
            return false;
        }
        self.ask_nobody();
        let until = now + self.draw(STAND_BACK) + (self.disk_took * 2).min(STANDS_WITHIN);
        self.no_round_before = self.no_round_before.max(until);
        true
    }

    /// What is answered to what was asked before counts for nothing.
    fn ask_nobody(&mut self) {
        self.round = None;
        self.began.clear();
        self.late.clear();
    }

    /// An answer of a voter.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        round: u64,
        from: BrokerId,
        is_granted: bool,
        wishes: &mut Vec<Wish>,
    ) {
        let Some(own) = self.round.as_mut().filter(|it| it.number == round) else {
            return self.answered_late(now, round, from, is_granted, wishes);
        };
        if is_granted {
            own.granted.insert(from);
            return self.elect_if_granted(now, wishes);
        }
        own.denied.insert(from);
        own.granted.remove(&from);
        self.late.remove(&from);
        let denied = own.denied.clone();
        if !self.is_majority(|node| !denied.contains(node)) {
            self.round = None;
            self.no_round_before = now + self.draw(AGAIN);
            self.due = self.due.min(self.no_round_before);
        }
    }

    fn answered_late(
        &mut self,
        now: Duration,
        round: u64,
        from: BrokerId,
        is_granted: bool,
        wishes: &mut Vec<Wish>,
    ) {
        self.far_until = now + ANSWER_MAX * 2;
        if self.began.get(&round).is_none_or(|began| *began + ANSWER_MAX < now) {
            return;
        }
        if is_granted {
            self.late.insert(from, now);
            self.count_late(now);
            return self.elect_if_granted(now, wishes);
        }
        self.late.remove(&from);
        if let Some(open) = &mut self.round {
            open.granted.remove(&from);
        }
    }

    /// Time has come, or may have.
    pub(super) fn wake(&mut self, now: Duration, wishes: &mut Vec<Wish>) {
        self.forgive(now);
        if self.next_beat <= now {
            self.next_beat = now + if self.is_elected() { BEAT } else { FOLLOWER_BEAT };
            wishes.push(Wish::Beat { leads: self.leads(now) });
        }
        if !self.is_elected() && self.is_voter() {
            self.look_for_silence(now, wishes);
        }
        self.due = self.next_wake(now);
    }

    /// When to wake it next.
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    /// What passed while this process did not run is nobody's silence: what was sent meanwhile is only about to be read. Of the own lead it is: whoever did not hear of it
    /// may have elected another.
    fn forgive(&mut self, now: Duration) {
        let late = now.saturating_sub(self.due);
        if late <= LATE {
            return;
        }
        self.quiet_since = (self.quiet_since + late).min(now);
        self.appended = self.appended.map(|it| (it + late).min(now));
        self.sightings.forgive(now, late);
        if let Some(round) = &mut self.round {
            round.ends += late;
        }
        self.due = now;
    }

    fn look_for_silence(&mut self, now: Duration, wishes: &mut Vec<Wish>) {
        if self.round.take_if(|it| it.ends <= now).is_some() {
            self.no_round_before = now + self.draw(AGAIN);
        }
        let is_free = self.no_round_before.max(self.stands_until) <= now;
        if self.round.is_none() && self.suspects(now) && is_free && !self.is_stalled {
            self.round_count += 1;
            let number = self.round_count;
            self.round =
                Some(Round { number, ends: now + ROUND, granted: [self.me].into(), denied: BTreeSet::new() });
            self.began.retain(|_, began| now <= *began + ANSWER_MAX);
            self.began.insert(number, now);
            self.count_late(now);
            wishes.push(Wish::Ask { round: number });
            self.elect_if_granted(now, wishes);
        }
    }

    /// Who said yes to an earlier question would say so to this one, unless it says no.
    fn count_late(&mut self, now: Duration) {
        // Until the next round has begun, and is over.
        self.late.retain(|_, at| now <= *at + ms(AGAIN.1) + ROUND);
        if let Some(round) = &mut self.round {
            round.granted.extend(self.late.keys().filter(|it| !round.denied.contains(*it)));
        }
    }

    fn suspects(&self, now: Duration) -> bool {
        let is_alone = self.situation.leader.is_none() && self.is_majority(|node| *node == self.me);
        is_alone || self.leader_is_gone || self.patience <= now.saturating_sub(self.quiet_since)
    }

    fn elect_if_granted(&mut self, now: Duration, wishes: &mut Vec<Wish>) {
        if self.round.as_ref().is_some_and(|round| self.is_majority(|node| round.granted.contains(node))) {
            self.ask_nobody();
            self.elections += 1;
            self.stands_until = now + STANDS_WITHIN;
            wishes.push(Wish::Elect);
        }
    }

    fn next_wake(&self, now: Duration) -> Duration {
        let next = if self.is_elected() {
            self.next_beat
        } else if let Some(round) = &self.round {
            round.ends
        } else if self.suspects(now) && self.is_voter() {
            self.no_round_before.max(self.stands_until)
        } else {
            self.quiet_since + self.patience
        };
        // Also without anything to do, so that a pause is seen.
        next.min(self.next_beat).clamp(now + ms(1), now + BEAT)
    }

    fn is_voter(&self) -> bool {
        self.situation.voters.iter().any(|it| it.contains(&self.me))
    }

    fn is_majority(&self, has: impl Fn(&BrokerId) -> bool) -> bool {
        let sets = &self.situation.voters;
        !sets.is_empty() && sets.iter().all(|set| set.len() / 2 < set.iter().filter(|it| has(it)).count())
    }

    fn draw(&mut self, (from, to): (u64, u64)) -> Duration {
        // SplitMix64.
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ms(from + (mixed ^ (mixed >> 31)) % (to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BrokerId = BrokerId(1);
    const OTHER: BrokerId = BrokerId(2);
    const LEADER: BrokerId = BrokerId(3);

    fn voters() -> Vec<BTreeSet<BrokerId>> {
        vec![[ME, OTHER, LEADER].into()]
    }

    fn point(index: u64) -> Option<LogPoint> {
        Some(LogPoint { term: 1, index })
    }

    fn following(seed: u64) -> Detector {
        let mut detector = Detector::new(ME, seed, ms(0));
        let situation = Situation { term: 4, leader: Some(LEADER), voters: voters() };
        detector.is_now(ms(0), &situation);
        detector
    }

    /// Wakes it as it wants to be woken, until it wants something or time is up.
    fn run(detector: &mut Detector, from: u64, until: u64, beats: bool) -> Option<(u64, Wish)> {
        let mut next_beat = from;
        for now in from..until {
            if beats && next_beat == now {
                detector.beat(ms(now), LEADER, 4, true);
                next_beat += 100;
            }
            let mut wishes = Vec::new();
            if detector.due() <= ms(now) {
                detector.wake(ms(now), &mut wishes);
            }
            // Whoever follows beats only to show that it is there.
            wishes.retain(|it| detector.is_elected() || *it != Wish::Beat { leads: false });
            if let Some(wish) = wishes.first() {
                return Some((now, *wish));
            }
        }
        None
    }

    #[test]
    fn silence_leads_to_a_round_and_a_majority_of_yes_to_an_election() {
        for seed in 0..50 {
            let mut detector = following(seed);
            assert_eq!(run(&mut detector, 0, 5_000, true), None, "seed {seed}: the leader was heard");
            let (at, wish) = run(&mut detector, 5_000, 6_500, false).expect("silence");
            assert!((5_600..6_010).contains(&at), "seed {seed}: {at}");
            assert_eq!(wish, Wish::Ask { round: 1 });
            let mut wishes = Vec::new();
            detector.answered(ms(at + 1), 0, OTHER, true, &mut wishes);
            detector.answered(ms(at + 1), 1, LEADER, false, &mut wishes);
            assert_eq!(wishes, [], "another round's, or a no");
            detector.answered(ms(at + 1), 1, OTHER, true, &mut wishes);
            assert_eq!(wishes, [Wish::Elect]);
        }
    }

    /// A disk may need longer for a vote than elections are apart.
    #[test]
    fn whoever_is_to_stand_for_election_is_not_asked_again_before_it_does() {
        for (seed, stands_after) in (0..50).flat_map(|seed| [(seed, None), (seed, Some(2_000))]) {
            let mut detector = following(seed);
            detector.refused(ms(10), LEADER);
            let (mut at, _) = run(&mut detector, 10, 20, false).expect("it asks");
            let mut wishes = Vec::new();
            detector.answered(ms(at), 1, OTHER, true, &mut wishes);
            assert_eq!(wishes, [Wish::Elect]);
            detector.refused(ms(at + 1), LEADER);
            let mut expected = 4_000..4_110;
            if let Some(after) = stands_after {
                assert_eq!(run(&mut detector, at, at + after, false), None, "seed {seed}");
                at += after;
                detector.is_now(ms(at), &Situation { term: 5, leader: None, voters: voters() });
                expected = 300..610;
            }
            let (again, wish) = run(&mut detector, at, at + 5_000, false).expect("nobody was elected");
            assert!(expected.contains(&(again - at)), "seed {seed}: after {} ms", again - at);
            assert_eq!(wish, Wish::Ask { round: 2 });
        }
    }

    #[test]
    fn whoever_has_said_yes_stands_back_until_its_vote_is_likely_to_be_written() {
        for (disk_ms, expected) in [(0, 150..310), (500, 1_150..1_310), (60_000, 4_150..4_310)] {
            let mut detector = following(1);
            detector.disk(false, ms(disk_ms));
            detector.refused(ms(10), LEADER);
            assert!(detector.asked(ms(10), OTHER, point(9), point(5)));
            let (at, _) = run(&mut detector, 10, 5_000, false).expect("nobody was elected");
            assert!(expected.contains(&(at - 10)), "{disk_ms} ms: after {}", at - 10);
        }
    }

    #[test]
    fn a_refused_connection_counts_at_once_and_a_pause_of_the_own_process_for_nothing() {
        let mut detector = following(1);
        run(&mut detector, 0, 1_000, true);
        detector.refused(ms(1_000), OTHER);
        assert_eq!(run(&mut detector, 1_000, 1_100, true), None, "it is not the leader");
        detector.refused(ms(1_100), LEADER);
        let (at, _) = run(&mut detector, 1_100, 2_000, false).expect("it is gone");
        assert!(at <= 1_200, "{at}");

        let mut paused = following(1);
        run(&mut paused, 0, 1_000, true);
        let mut wishes = Vec::new();
        paused.wake(ms(60_000), &mut wishes);
        assert_eq!(wishes, [Wish::Beat { leads: false }], "nobody is blamed");
        assert_eq!(run(&mut paused, 60_001, 60_190, false), None);
        assert!(run(&mut paused, 60_190, 61_000, false).is_some(), "but silence goes on to count");
    }

    #[test]
    fn yes_is_said_only_by_who_hears_no_leader_and_has_no_newer_entries() {
        let ask = |detector: &mut Detector, now, last| detector.asked(ms(now), OTHER, point(last), point(5));
        let mut detector = following(1);
        detector.beat(ms(1_000), LEADER, 4, true);
        detector.due = ms(1_000);
        assert!(!ask(&mut detector, 1_050, 9), "the leader is heard");
        assert!(!ask(&mut detector, 5_000, 9), "this process did not run");
        assert!(run(&mut detector, 5_000, 6_000, false).is_some(), "it would like to be a candidate itself");
        detector.round = None;
        let now = detector.due.as_millis() as u64;
        assert!(!ask(&mut detector, now, 4), "its log is shorter");
        assert!(ask(&mut detector, now, 5));
        detector.appended(ms(now));
        assert!(!ask(&mut detector, now + 50, 5), "the lease holds");
        detector.appended = None;
        detector.beat(ms(now + 60), LEADER, 4, true);
        assert!(!ask(&mut detector, now + 61, 5), "the leader is heard again");
        detector.refused(ms(now + 62), LEADER);
        assert!(ask(&mut detector, now + 63, 5), "the leader is gone");
        detector.beat(ms(now + 64), LEADER, 4, false);
        assert!(ask(&mut detector, now + 65, 5), "it says itself that it leads no more");
    }

    #[test]
    fn of_two_that_ask_at_the_same_time_one_gives_way() {
        let mut low = following(1);
        let mut high = Detector::new(OTHER, 2, ms(0));
        high.is_now(ms(0), &Situation { term: 4, leader: Some(LEADER), voters: voters() });
        for detector in [&mut low, &mut high] {
            detector.refused(ms(10), LEADER);
            assert_eq!(run(detector, 10, 20, false), Some((10, Wish::Ask { round: 1 })));
        }
        assert!(!low.asked(ms(11), OTHER, point(5), point(5)), "the lower number goes first");
        assert!(high.asked(ms(11), ME, point(5), point(5)));
        assert!(high.round.is_none(), "and the other waits");
        let mut longer = following(3);
        longer.refused(ms(10), LEADER);
        run(&mut longer, 10, 20, false).expect("it asks");
        assert!(longer.asked(ms(11), OTHER, point(6), point(5)), "unless the other has more entries");
    }

    #[test]
    fn a_round_that_cannot_succeed_any_more_is_followed_soon_by_another() {
        let mut detector = following(1);
        detector.refused(ms(10), LEADER);
        run(&mut detector, 10, 20, false).expect("it asks");
        let mut wishes = Vec::new();
        detector.answered(ms(12), 1, LEADER, false, &mut wishes);
        detector.answered(ms(12), 1, OTHER, false, &mut wishes);
        let (at, wish) = run(&mut detector, 12, 200, false).expect("it asks again");
        assert!((42..103).contains(&at), "{at}");
        assert_eq!(wish, Wish::Ask { round: 2 });
    }

    #[test]
    fn a_leader_without_a_majority_leads_no_more_until_answers_come_again() {
        let mut detector = Detector::new(ME, 1, ms(0));
        detector.is_now(ms(0), &Situation { term: 4, leader: Some(ME), voters: voters() });
        assert_eq!(run(&mut detector, 0, 10, false), Some((0, Wish::Beat { leads: true })));
        detector.acked(ms(500), OTHER, 4, ms(500));
        for now in (100..1_500).step_by(100) {
            detector.wake(ms(now), &mut Vec::new());
            assert!(detector.leads(ms(now)), "at {now}");
        }
        let mut wishes = Vec::new();
        detector.wake(ms(1_500), &mut wishes);
        assert_eq!(wishes, [Wish::Beat { leads: false }]);
        detector.acked(ms(1_500), OTHER, 5, ms(1_500));
        assert!(!detector.leads(ms(1_501)), "who knows a later term does not follow");
        detector.acked(ms(1_500), OTHER, 4, ms(1_500));
        assert!(detector.leads(ms(1_501)));
        assert!(!detector.asked(ms(1_501), OTHER, point(9), None), "and votes for nobody else");
    }

    /// A lease would be none if it did not end while its owner stands still.
    #[test]
    fn a_leader_that_stood_still_leads_on_only_if_it_was_heard_of_late_or_is_heard_again() {
        for (pause, leads) in [(400, true), (60_000, false)] {
            let mut detector = Detector::new(ME, 1, ms(0));
            detector.is_now(ms(0), &Situation { term: 4, leader: Some(ME), voters: voters() });
            run(&mut detector, 0, 500, false);
            detector.acked(ms(500), OTHER, 4, ms(500));
            let now = 500 + pause;
            let mut wishes = Vec::new();
            detector.wake(ms(now), &mut wishes);
            assert_eq!((detector.leads(ms(now)), wishes), (leads, vec![Wish::Beat { leads }]));
            // Answers to what it said before are read now.
            detector.acked(ms(now), LEADER, 4, ms(510));
            assert_eq!(detector.leads(ms(now)), leads);
            detector.acked(ms(now + 1), LEADER, 4, ms(now));
            assert!(detector.leads(ms(now + 1)));
        }
    }

    /// Who stands near answers at once, and who is far away when the round is over.
    #[test]
    fn whoever_is_far_away_has_a_say_too() {
        let near = BrokerId(4);
        for (far_ms, is_near_granted) in [(100, true), (250, true), (400, true), (400, false), (590, true)] {
            let mut detector = Detector::new(ME, 1, ms(0));
            let voters = vec![[ME, OTHER, LEADER, near, BrokerId(5)].into()];
            detector.is_now(ms(0), &Situation { term: 4, leader: Some(LEADER), voters });
            detector.refused(ms(10), LEADER);
            let mut answers: Vec<(u64, u64, BrokerId, bool)> = Vec::new();
            let elected = (10..5_000).find(|at| {
                let mut wishes = Vec::new();
                for (_, round, from, is_granted) in answers.extract_if(.., |(due, ..)| *due == *at) {
                    detector.answered(ms(*at), round, from, is_granted, &mut wishes);
                }
                if detector.due() <= ms(*at) {
                    detector.wake(ms(*at), &mut wishes);
                }
                for wish in &wishes {
                    if let Wish::Ask { round } = *wish {
                        answers.push((at + 1, round, near, is_near_granted));
                        answers.push((at + far_ms, round, OTHER, true));
                        answers.push((at + far_ms + 1, round, BrokerId(5), true));
                    }
                }
                wishes.contains(&Wish::Elect)
            });
            let elected = elected.expect("somebody is elected");
            assert!(elected < 10 + far_ms + 300, "answers after {far_ms} ms: {elected}");
        }
    }

    #[test]
    fn a_late_yes_counts_only_for_whoever_still_asks() {
        // What is drawn decides whether the yes would still be in mind in the next round.
        for seed in 0..50 {
            let mut detector = following(seed);
            detector.refused(ms(10), LEADER);
            run(&mut detector, 10, 20, false).expect("it asks");
            detector.beat(ms(300), LEADER, 4, true);
            let mut wishes = Vec::new();
            detector.answered(ms(301), 1, OTHER, true, &mut wishes);
            detector.refused(ms(302), LEADER);
            run(&mut detector, 302, 310, false).expect("it asks again");
            assert_eq!((wishes, detector.elections), (vec![], 0), "seed {seed}: the leader was heard since");
            assert!(detector.asked(ms(320), OTHER, point(9), point(5)), "seed {seed}: it has more");
            let mut wishes = Vec::new();
            detector.answered(ms(321), 2, OTHER, true, &mut wishes);
            run(&mut detector, 321, 700, false).expect("it asks again");
            assert_eq!((wishes, detector.elections), (vec![], 0), "seed {seed}: it has said yes itself");
        }
    }

    /// Words: `>` is the next round, and `yes2.1` the answer of node 2 to the first.
    #[test]
    fn a_no_takes_back_a_yes_to_an_earlier_round() {
        for (script, is_elected) in [
            ("> > yes2.1 yes4.2", true),
            ("> > yes2.1 no2.2 yes4.2", false),
            ("> > yes2.1 > yes4.3", true),
            ("> > yes2.1 no2.2 > yes4.3", false),
            ("> > yes2.1 > no2.2 yes4.3", false),
            ("> > yes2.1 > yes4.2", true),
            ("> > yes2.1 > no2.2 yes4.2", false),
        ] {
            for seed in 0..50 {
                let mut detector = Detector::new(ME, seed, ms(0));
                let voters = vec![(1..=5).map(BrokerId).collect()];
                detector.is_now(ms(0), &Situation { term: 4, leader: Some(LEADER), voters });
                detector.refused(ms(10), LEADER);
                let mut at = 10;
                for word in script.split(' ') {
                    if word == ">" {
                        (at, _) = run(&mut detector, at, at + 300, false).expect("it asks");
                        continue;
                    }
                    let (answer, round) = word.split_once('.').expect("of a round");
                    let (answer, node) = answer.split_at(answer.len() - 1);
                    let [node, round] = [node, round].map(|it| it.parse::<u64>().expect("a number"));
                    let node = BrokerId(node as i32);
                    detector.answered(ms(at), round, node, answer == "yes", &mut Vec::new());
                }
                assert_eq!(detector.elections, u64::from(is_elected), "seed {seed}: {script}");
            }
        }
    }

    #[test]
    fn whoever_asks_nodes_that_are_far_away_asks_between_its_rounds_too() {
        for is_far in [false, true] {
            let mut detector = following(1);
            detector.refused(ms(10), LEADER);
            run(&mut detector, 10, 20, false).expect("it asks");
            let (at, _) = run(&mut detector, 20, 300, false).expect("it asks again");
            if is_far {
                detector.answered(ms(at), 1, LEADER, false, &mut Vec::new());
            }
            for node in [OTHER, LEADER] {
                detector.answered(ms(at), 2, node, false, &mut Vec::new());
            }
            assert!(detector.round.is_none(), "all have said no");
            assert_eq!(
                detector.asked(ms(at + 1), OTHER, point(5), point(5)),
                !is_far,
                "an answer came late: {is_far}"
            );
        }
    }

    #[test]
    fn a_leader_whose_port_answers_again_is_not_replaced_unless_it_is_silent_for_long() {
        for (refused_at, is_elected) in [(Some(100), false), (None, true)] {
            let mut detector = following(1);
            let from = refused_at.unwrap_or(0);
            run(&mut detector, 0, from, false);
            refused_at.into_iter().for_each(|at| detector.refused(ms(at), LEADER));
            let (at, _) = run(&mut detector, from, 1_100, false).expect("it asks");
            let greeted = Greeted { incarnation: uuid::Uuid::nil(), metadata_form: 0 };
            detector.connected(ms(at), LEADER, greeted);
            let mut wishes = Vec::new();
            detector.answered(ms(at + 1), detector.round_count, OTHER, true, &mut wishes);
            assert_eq!(wishes.contains(&Wish::Elect), is_elected, "refused at {refused_at:?}, asked at {at}");
        }
    }

    #[test]
    fn a_leader_that_is_silent_or_gone_is_nobody_to_ask() {
        let mut detector = following(1);
        run(&mut detector, 0, 1_000, true);
        run(&mut detector, 1_000, 1_500, false);
        assert!(detector.has_leader(ms(1_500)), "it may only be slow");
        assert!(!detector.has_leader(ms(2_000)));
        detector.beat(ms(2_000), LEADER, 4, true);
        assert!(detector.has_leader(ms(2_001)));
        detector.refused(ms(2_002), LEADER);
        assert!(!detector.has_leader(ms(2_002)));
    }

    #[test]
    fn elections_in_vain_come_less_and_less_often() {
        let mut detector = following(1);
        let mut at = 0;
        for (term, patience) in
            [(5, 300..610), (6, 600..1_210), (7, 1_200..2_410), (8, 2_400..4_810), (9, 2_400..4_810)]
        {
            detector.is_now(ms(at), &Situation { term, leader: None, voters: voters() });
            let (asks, _) = run(&mut detector, at, at + 10_000, false).expect("it asks");
            assert!(patience.contains(&(asks - at)), "term {term}: after {} ms", asks - at);
            detector.answered(ms(asks), detector.round_count, OTHER, true, &mut Vec::new());
            at = asks + 20;
        }
        detector.is_now(ms(at), &Situation { term: 10, leader: Some(LEADER), voters: voters() });
        detector.is_now(ms(at), &Situation { term: 11, leader: None, voters: voters() });
        assert!(detector.patience <= ms(600), "as at first once there was a leader");
        detector.disk(false, ms(500));
        detector.is_now(ms(at), &Situation { term: 12, leader: Some(LEADER), voters: voters() });
        assert!(detector.patience <= ms(1_000), "a leader need not write to be heard");
        detector.is_now(ms(at), &Situation { term: 13, leader: None, voters: voters() });
        assert!(ms(2_300) <= detector.patience, "an election on such disks takes its time");
    }

    #[test]
    fn a_leader_that_is_removed_ends_the_change_and_leads_no_more() {
        let mut detector = Detector::new(ME, 1, ms(0));
        detector.is_now(ms(0), &Situation { term: 4, leader: Some(ME), voters: voters() });
        assert!(detector.leads(ms(0)));
        let others = vec![[OTHER, LEADER].into()];
        detector.changing(true);
        detector.is_now(ms(10), &Situation { term: 4, leader: Some(ME), voters: others });
        assert!(detector.leads(ms(10)), "its removal is not committed yet");
        detector.changing(false);
        assert!(!detector.leads(ms(20)));
    }

    #[test]
    fn who_is_alone_elects_itself_at_once_and_who_is_no_voter_never() {
        let mut alone = Detector::new(ME, 1, ms(0));
        alone.is_now(ms(0), &Situation { term: 0, leader: None, voters: vec![[ME].into()] });
        let mut wishes = Vec::new();
        alone.wake(ms(0), &mut wishes);
        assert_eq!(wishes.last(), Some(&Wish::Elect));
        let mut learner = Detector::new(ME, 1, ms(0));
        learner.is_now(ms(0), &Situation { term: 0, leader: None, voters: vec![[OTHER, LEADER].into()] });
        assert_eq!(run(&mut learner, 0, 5_000, false), None);
    }
}
