//! What those are told who sent batches behind one that was not taken.
//!
//! A producer has some batches of a partition on their way at a time. Where one is not taken for the moment, and the next ones come when what was in the way is gone, they leave
//! out the first. librdkafka takes another epoch when it hears of such a gap, and sends again under that what may be here already; where the next one is taken, as of a
//! producer that is not known here, it believes that both are there. So they are told the same as the first, until that is taken or would have come long ago.

use std::collections::VecDeque;

use klamm_model::{ErrorCode, Producer, ProducerEpoch, ProducerId, Tick};

/// As long as a batch may be on its way behind one that was not taken, where the broker has time to take it ([`Awake`]). A producer that has given up its first batch, and goes on
/// with the next ones, waits so long.
const ON_ITS_WAY_MS: u64 = 5_000;
/// Of one partition. Of more at a time those that were turned away the longest ago are not known by their numbers any more.
const PRODUCERS_MAX: usize = 16;

/// The longest that two events are apart of a broker that has something to do.
const STEP_US_MAX: u64 = 250_000;

/// The time that a broker has had to look at what came. What waited in sockets while its process stood still is as new as before.
#[derive(Debug, Default)]
pub(crate) struct Awake {
    seen: Option<Tick>,
    time: Tick,
}

impl Awake {
    /// Something happens.
    pub(crate) fn observe(&mut self, now: Tick) {
        let before = self.seen.replace(now).unwrap_or(now);
        self.time.0 += now.0.saturating_sub(before.0).min(STEP_US_MAX);
    }

    pub(crate) fn time(&self) -> Tick {
        self.time
    }
}

/// Of one partition. All times are [`Awake::time`].
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    /// The longest ago first.
    firsts: VecDeque<First>,
    /// When something was not taken of which it is not known whose it was, and why.
    anybody: Option<(Tick, ErrorCode)>,
    /// When this broker came to lead. Others may have been turned away elsewhere, or before the partition was here, of whom nothing is known.
    led_since: Option<Tick>,
}

/// The first batch of a producer that was not taken, and may be when it comes again.
#[derive(Clone, Copy, Debug)]
struct First {
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: i32,
    at: Tick,
    code: ErrorCode,
    /// It was only told what others were told.
    is_guess: bool,
}

impl TurnedAway {
    /// This broker leads from now on.
    pub(crate) fn led(&mut self, now: Tick) {
        self.led_since = Some(now);
    }

    /// Batches that had been taken could not be written.
    pub(crate) fn lost(&mut self, now: Tick) {
        self.anybody = Some((now, ErrorCode::KafkaStorageError));
    }

    /// A batch is not taken; what its producer is told.
    pub(crate) fn told(&mut self, now: Tick, producer: Option<Producer>, code: ErrorCode) -> ErrorCode {
        let Some(producer) = producer.filter(|it| 0 <= it.base_sequence) else { return code };
        match code {
            ErrorCode::OutOfOrderSequenceNumber => self.behind_another(now, producer).unwrap_or(code),
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::KafkaStorageError
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::ConcurrentTransactions => {
                self.note(now, producer, code, false);
                code
            }
            _ => code,
        }
    }

    /// A batch is taken, or was before: so are all before it.
    pub(crate) fn taken(&mut self, Producer { id, epoch, base_sequence }: Producer) {
        let is_after = |it: &First| it.epoch == epoch && is_behind(it.base_sequence, base_sequence);
        self.firsts.retain(|it| it.id != id || epoch < it.epoch || is_after(it));
    }

    /// Of a producer that is not known any number is the next, for what it sent before may be deleted. What is said to one who may have sent others that were turned away.
    pub(crate) fn too_early(
        &mut self,
        now: Tick,
        producer: Producer,
        is_known: impl FnOnce() -> bool,
    ) -> Option<ErrorCode> {
        let anybodys = self.anybody.map(|(at, _)| at).into_iter().chain(self.led_since);
        let mut times = self.firsts.iter().map(|it| it.at).chain(anybodys);
        // Mostly nobody was turned away of late, and nobody has to be looked up.
        if producer.base_sequence <= 0 || !times.any(|at| is_recent(now, at)) || is_known() {
            return None;
        }
        let began = self.led_since.map(|at| (at, ErrorCode::NotLeaderOrFollower));
        self.behind_another(now, producer).or_else(|| self.as_anybody(now, producer, began))
    }

    /// What was said to the one before it, if that was turned away and may come again.
    fn behind_another(&mut self, now: Tick, producer: Producer) -> Option<ErrorCode> {
        let first = self.firsts.iter().find(|it| (it.id, it.epoch) == (producer.id, producer.epoch));
        if let Some(first) = first.filter(|it| is_recent(now, it.at))
            && is_behind(producer.base_sequence, first.base_sequence)
        {
            return Some(first.code);
        }
        self.as_anybody(now, producer, self.anybody)
    }

    fn as_anybody(
        &mut self,
        now: Tick,
        producer: Producer,
        what: Option<(Tick, ErrorCode)>,
    ) -> Option<ErrorCode> {
        let (_, code) = what.filter(|(at, _)| is_recent(now, *at))?;
        // Or those behind this one would be taken as soon as the time is over.
        self.note(now, producer, code, true);
        Some(code)
    }

    fn note(&mut self, now: Tick, producer: Producer, code: ErrorCode, is_guess: bool) {
        let Producer { id, epoch, base_sequence } = producer;
        let mut first = First { id, epoch, base_sequence, at: now, code, is_guess };
        let before = self.firsts.iter().position(|it| it.id == id).and_then(|at| self.firsts.remove(at));
        if let Some(before) = before.filter(|it| it.epoch == epoch && is_recent(now, it.at)) {
            first.is_guess &= before.is_guess;
            if is_behind(base_sequence, before.base_sequence) {
                first.base_sequence = before.base_sequence;
            }
        }
        if self.firsts.len() == PRODUCERS_MAX {
            let forgotten = self.firsts.pop_front().expect("there are some");
            // Guesses would make others guess, without an end.
            if !forgotten.is_guess && self.anybody.is_none_or(|(at, _)| at < forgotten.at) {
                self.anybody = Some((forgotten.at, forgotten.code));
            }
        }
        self.firsts.push_back(first);
    }
}

fn is_recent(now: Tick, at: Tick) -> bool {
    now.ms_since(at) < ON_ITS_WAY_MS
}

/// Numbers begin again at 0 after the largest.
fn is_behind(sequence: i32, first: i32) -> bool {
    let ahead = sequence.wrapping_sub(first) & i32::MAX;
    0 < ahead && ahead <= i32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: ErrorCode = ErrorCode::OutOfOrderSequenceNumber;
    const FULL: ErrorCode = ErrorCode::KafkaStorageError;
    const AWAY: ErrorCode = ErrorCode::NotLeaderOrFollower;

    fn of(id: i64, epoch: i16, base_sequence: i32) -> Producer {
        Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence }
    }

    fn at_ms(ms: u64) -> Tick {
        Tick(0).after_ms(ms)
    }

    fn refuses(it: &mut TurnedAway, ms: u64, producer: Producer, code: ErrorCode) -> ErrorCode {
        it.told(at_ms(ms), Some(producer), code)
    }

    #[test]
    fn those_behind_the_first_are_told_the_same_until_it_is_taken() {
        let mut it = TurnedAway::default();
        for code in [FULL, ErrorCode::NotEnoughReplicas, ErrorCode::ConcurrentTransactions, AWAY] {
            assert_eq!(refuses(&mut it, 0, of(1, 1, 10), code), code);
            assert_eq!(refuses(&mut it, 1, of(1, 1, 20), GAP), code);
        }
        assert_eq!(refuses(&mut it, 1, of(1, 1, 20), FULL), FULL, "the first of it is still the first");
        for other in [of(2, 1, 30), of(1, 0, 30), of(1, 2, 30), of(1, 1, 10), of(1, 1, 5)] {
            assert_eq!(refuses(&mut it, 2, other, GAP), GAP, "{other:?}");
        }
        it.taken(of(1, 0, 10));
        it.taken(of(1, 1, 9));
        it.taken(of(2, 1, 10));
        assert_eq!(refuses(&mut it, 3, of(1, 1, 30), GAP), FULL);
        it.taken(of(1, 1, 10));
        assert_eq!(refuses(&mut it, 3, of(1, 1, 30), GAP), GAP);
    }

    #[test]
    fn another_epoch_begins_anew_and_an_old_first_is_none_any_more() {
        let mut it = TurnedAway::default();
        refuses(&mut it, 0, of(1, 0, 10), FULL);
        refuses(&mut it, 0, of(1, 1, 20), FULL);
        assert_eq!(refuses(&mut it, 0, of(1, 1, 15), GAP), GAP);
        // Taken elsewhere meanwhile.
        refuses(&mut it, ON_ITS_WAY_MS, of(1, 1, 5_000), FULL);
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS, of(1, 1, 5_000), GAP), GAP);
        it.taken(of(1, 1, 6_000));
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS, of(1, 1, 7_000), GAP), GAP);
    }

    #[test]
    fn one_that_does_not_come_again_is_forgotten() {
        let mut it = TurnedAway::default();
        refuses(&mut it, 0, of(1, 0, i32::MAX), FULL);
        let behind = of(1, 0, 3);
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS - 1, behind, GAP), FULL, "numbers begin again");
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS, behind, GAP), GAP, "that was no news");
    }

    #[test]
    fn what_a_broker_stands_still_for_does_not_count() {
        let mut it = Awake::default();
        for (at_ms, awake_ms) in [(7_000, 0), (7_100, 100), (27_100, 350), (27_100, 350), (27_101, 351)] {
            it.observe(Tick(0).after_ms(at_ms));
            assert_eq!(it.time(), Tick(0).after_ms(awake_ms));
        }
    }

    #[test]
    fn of_many_the_last_are_known_by_their_numbers_and_nobody_else_is_taken_for_a_while() {
        let mut it = TurnedAway::default();
        for id in 0..=16 {
            refuses(&mut it, 0, of(id, 0, 10), FULL);
        }
        refuses(&mut it, 1, of(1, 0, 10), AWAY);
        refuses(&mut it, 1, of(17, 0, 10), FULL);
        assert_eq!(it.firsts.len(), PRODUCERS_MAX);
        // It is the first itself, and told what others were told: that makes no guess of it.
        assert_eq!(refuses(&mut it, 1, of(3, 0, 10), GAP), FULL);
        assert!(it.firsts.iter().all(|it| !it.is_guess));
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS, of(1, 0, 20), GAP), AWAY);
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS, of(2, 0, 20), GAP), GAP, "it made room for another");
        assert_eq!(refuses(&mut it, ON_ITS_WAY_MS - 1, of(0, 0, 20), GAP), FULL);
    }

    #[test]
    fn nobody_who_is_not_known_comes_before_the_first() {
        let unknown = || false;
        let mut it = TurnedAway::default();
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), unknown), None);
        refuses(&mut it, 0, of(1, 0, 0), FULL);
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), unknown), Some(FULL));
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), || true), None, "its numbers tell");
        assert_eq!(it.too_early(at_ms(0), of(2, 0, 5), unknown), None);
        it.lost(at_ms(0));
        assert_eq!(it.too_early(at_ms(ON_ITS_WAY_MS - 1), of(2, 0, 5), unknown), Some(FULL));
        assert_eq!(
            it.too_early(at_ms(ON_ITS_WAY_MS), of(2, 0, 5), unknown),
            None,
            "it may be the first itself"
        );
        assert_eq!(it.too_early(at_ms(ON_ITS_WAY_MS), of(2, 0, 6), unknown), Some(FULL));
        assert_eq!(it.too_early(at_ms(ON_ITS_WAY_MS), of(3, 0, 6), unknown), None);
    }

    #[test]
    fn many_who_come_again_and_again_do_not_hold_each_other_up() {
        let mut it = TurnedAway::default();
        it.led(at_ms(0));
        for ms in (0..=ON_ITS_WAY_MS).step_by(100) {
            let expected = (ms < ON_ITS_WAY_MS).then_some(AWAY);
            for id in 0..40 {
                assert_eq!(it.too_early(at_ms(ms), of(id, 0, 5), || false), expected, "after {ms} ms");
            }
        }
    }
}
