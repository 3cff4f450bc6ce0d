//! What those are told who sent batches behind one that was not taken.
//!
//! A producer has some batches of a partition on their way at a time. Where one is not taken for the moment, and the next ones come when what was in the way is gone, they leave
//! out the first. librdkafka takes another epoch when it hears of such a gap, and sends again under that what may be here already; where the next one is taken, as of a
//! producer that is not known here, it believes that both are there. So they are told the same as the first, until that is taken or would have come long ago.

use std::collections::VecDeque;

use klamm_model::{ErrorCode, Producer, ProducerEpoch, ProducerId, Tick};

/// As long as a batch may be on its way, also through a broker that stands still: after so long librdkafka gives up a request (`socket.timeout.ms`), others earlier.
const ON_ITS_WAY_MS: u64 = 60_000;
/// The same where it is not known of whom something was not taken: they may be held up for nothing.
const OF_ANYBODY_MS: u64 = 5_000;
/// Of one partition; of more at a time those are forgotten that were turned away the longest ago.
const PRODUCERS_MAX: usize = 16;

/// Of one partition.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    /// The longest ago first.
    firsts: VecDeque<First>,
    /// When this broker came to lead. Who came before that was turned away, perhaps before the partition was here.
    pub(crate) led_since: Option<Tick>,
    /// When batches that had been taken could not be written.
    pub(crate) lost_at: Option<Tick>,
}

/// The first batch of a producer that was not taken, and may be when it comes again.
#[derive(Clone, Copy, Debug)]
struct First {
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: i32,
    at: Tick,
    code: ErrorCode,
}

impl TurnedAway {
    /// A batch is not taken; what its producer is told.
    pub(crate) fn told(&mut self, now: Tick, producer: Option<Producer>, code: ErrorCode) -> ErrorCode {
        let Some(producer) = producer.filter(|it| 0 <= it.base_sequence) else { return code };
        match code {
            ErrorCode::OutOfOrderSequenceNumber => {
                self.as_the_first(now, producer).or(self.as_what_was_lost(now)).unwrap_or(code)
            }
            ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError | ErrorCode::NotEnoughReplicas => {
                self.note(now, producer, code);
                code
            }
            _ => code,
        }
    }

    /// A batch is taken, or was before.
    pub(crate) fn taken(&mut self, producer: Producer) {
        self.firsts.retain(|it| it.id != producer.id || it.base_sequence != producer.base_sequence);
    }

    /// Of a producer that is not known any number is the next, for what it sent before may be deleted. What is said to one who may have sent others that were turned away.
    pub(crate) fn too_early(
        &self,
        now: Tick,
        producer: Producer,
        is_known: impl FnOnce() -> bool,
    ) -> Option<ErrorCode> {
        if producer.base_sequence <= 0 {
            return None;
        }
        let began = is_recent(now, self.led_since).then_some(ErrorCode::NotLeaderOrFollower);
        let why = self.as_the_first(now, producer).or(self.as_what_was_lost(now)).or(began)?;
        (!is_known()).then_some(why)
    }

    fn note(&mut self, now: Tick, Producer { id, epoch, base_sequence }: Producer, code: ErrorCode) {
        let mut first = First { id, epoch, base_sequence, at: now, code };
        if let Some(known) = self.firsts.iter().position(|it| it.id == id) {
            let before = self.firsts.remove(known).expect("it was found there");
            if before.epoch == epoch && is_behind(base_sequence, before.base_sequence) {
                first.base_sequence = before.base_sequence;
            }
        } else if self.firsts.len() == PRODUCERS_MAX {
            self.firsts.pop_front();
        }
        self.firsts.push_back(first);
    }

    fn as_the_first(&self, now: Tick, producer: Producer) -> Option<ErrorCode> {
        let first = self.firsts.iter().find(|it| (it.id, it.epoch) == (producer.id, producer.epoch))?;
        let is_on_its_way = now.ms_since(first.at) < ON_ITS_WAY_MS;
        (is_on_its_way && is_behind(producer.base_sequence, first.base_sequence)).then_some(first.code)
    }

    fn as_what_was_lost(&self, now: Tick) -> Option<ErrorCode> {
        is_recent(now, self.lost_at).then_some(ErrorCode::KafkaStorageError)
    }
}

fn is_recent(now: Tick, at: Option<Tick>) -> bool {
    at.is_some_and(|at| now.ms_since(at) < OF_ANYBODY_MS)
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

    fn of(id: i64, epoch: i16, base_sequence: i32) -> Producer {
        Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence }
    }

    fn at_ms(ms: u64) -> Tick {
        Tick(0).after_ms(ms)
    }

    #[test]
    fn those_behind_the_first_are_told_the_same_until_it_is_taken() {
        let mut it = TurnedAway::default();
        assert_eq!(it.told(at_ms(0), Some(of(1, 0, 10)), FULL), FULL);
        assert_eq!(
            it.told(at_ms(1), Some(of(1, 0, 20)), ErrorCode::NotLeaderOrFollower),
            ErrorCode::NotLeaderOrFollower
        );
        assert_eq!(it.told(at_ms(2), Some(of(1, 0, 30)), GAP), ErrorCode::NotLeaderOrFollower);
        for other in [of(2, 0, 30), of(1, 1, 30), of(1, 0, 10), of(1, 0, 5)] {
            assert_eq!(it.told(at_ms(2), Some(other), GAP), GAP, "{other:?}");
        }
        it.taken(of(1, 0, 10));
        assert_eq!(it.told(at_ms(3), Some(of(1, 0, 30)), GAP), GAP);
    }

    #[test]
    fn a_broker_may_stand_still_meanwhile_and_a_producer_that_does_not_come_again_is_forgotten() {
        let mut it = TurnedAway::default();
        it.told(at_ms(0), Some(of(1, 0, i32::MAX)), FULL);
        assert_eq!(it.told(at_ms(ON_ITS_WAY_MS - 1), Some(of(1, 0, 3)), GAP), FULL, "numbers begin again");
        assert_eq!(it.told(at_ms(ON_ITS_WAY_MS), Some(of(1, 0, 3)), GAP), GAP, "that was no news");
        for id in 2..20 {
            it.told(at_ms(0), Some(of(id, 0, 0)), FULL);
        }
        assert_eq!(it.firsts.len(), PRODUCERS_MAX);
        assert_eq!(it.told(at_ms(0), Some(of(19, 0, 1)), GAP), FULL);
    }

    #[test]
    fn nobody_who_is_not_known_comes_before_the_first() {
        let unknown = || false;
        let mut it = TurnedAway::default();
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), unknown), None);
        it.told(at_ms(0), Some(of(1, 0, 0)), FULL);
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), unknown), Some(FULL));
        assert_eq!(it.too_early(at_ms(0), of(1, 0, 5), || true), None, "its numbers tell");
        assert_eq!(it.too_early(at_ms(0), of(2, 0, 5), unknown), None);
        it.lost_at = Some(at_ms(0));
        assert_eq!(it.too_early(at_ms(0), of(2, 0, 5), unknown), Some(FULL));
        assert_eq!(it.told(at_ms(0), Some(of(3, 0, 5)), GAP), FULL);
        assert_eq!(it.told(at_ms(OF_ANYBODY_MS), Some(of(3, 0, 5)), GAP), GAP);
        it.led_since = Some(at_ms(9_000));
        assert_eq!(it.too_early(at_ms(9_000), of(2, 0, 5), unknown), Some(ErrorCode::NotLeaderOrFollower));
        assert_eq!(it.too_early(at_ms(9_000 + OF_ANYBODY_MS), of(2, 0, 5), unknown), None);
    }
}
