//! What holds whatever the engine: which committed entries count.
//!
//! Every entry carries the epoch of its proposer and a sequence number that its proposer counted from 0 within that epoch. Entry 0 of an epoch begins it.
//! An entry is accepted if and only if
//! - it is entry 0 of an epoch higher than the current one (that epoch becomes the current one), or
//! - it is the next entry of the current epoch.
//!
//! Everything else is ignored: late entries of a deposed controller, entries that an engine committed twice, entries behind one that was lost.
//! Since the rule looks at committed entries only, all nodes ignore the same ones.
//!
//! Accepted entries are numbered from 0: that number is the **metadata offset**. A controller whose entry 0 was accepted at offset `b` knows that its entry
//! `n` will be accepted at offset `b + n`, or never. It must not decide anything before its entry 0 was accepted: until then an older controller's entries
//! may still come in; from then on, none can.
//!
//! ```text
//!  index     0     1     2     3     4     5     6
//!  epoch.n  1.0   1.1   2.0   1.2   2.1   2.1   2.2
//!  offset    0     1     2     -     3     -     4      1.2 is late, the second 2.1 is a repetition
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use klamm_model::ControllerEpoch;
use thiserror::Error;

use crate::{Entry, Input, PAYLOAD_BYTES_MAX};

/// Sequence number before the records, big-endian.
const HEADER_BYTES: usize = 8;

/// The largest group of records that one proposal carries.
pub const RECORDS_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - HEADER_BYTES;

/// Makes the proposals of one leadership, in order.
#[derive(Debug)]
pub struct Proposer {
    epoch: ControllerEpoch,
    next_sequence: u64,
}

impl Proposer {
    /// For the leader of `epoch`. The first proposal it makes begins the epoch.
    pub fn new(epoch: ControllerEpoch) -> Self {
        assert!(ControllerEpoch(0) < epoch, "epoch {epoch} was given to a leader: the first is 1");
        Self { epoch, next_sequence: 0 }
    }

    /// The epoch this leader proposes under.
    pub fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    /// The next proposal: these records, to be applied together.
    ///
    /// # Panics
    /// Above [`RECORDS_BYTES_MAX`]: whoever decides must have checked.
    pub fn payload(&mut self, records: &[u8]) -> Bytes {
        assert!(records.len() <= RECORDS_BYTES_MAX, "{} bytes of records in one proposal", records.len());
        let mut payload = BytesMut::with_capacity(HEADER_BYTES + records.len());
        payload.put_u64(self.next_sequence);
        payload.put_slice(records);
        self.next_sequence += 1;
        payload.freeze()
    }

    /// The same as [`Self::payload`], as the engine wants it.
    pub fn propose(&mut self, records: &[u8]) -> Input {
        Input::Propose { epoch: self.epoch, payload: self.payload(records) }
    }
}

/// How far the committed entries were taken. Equal prefixes give equal positions on all nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Index of the entry that must come next.
    pub next_index: u64,
    /// Metadata offset of the entry that will be accepted next: how many were accepted so far.
    pub next_offset: u64,
    /// The current epoch; 0 before the first.
    pub epoch: ControllerEpoch,
    /// Sequence number of the current epoch's next entry.
    pub next_sequence: u64,
}

/// An entry that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its metadata offset.
    pub offset: u64,
    /// The epoch it was proposed under, now the current one.
    pub epoch: ControllerEpoch,
    /// Whether it is the first of its epoch.
    pub begins: bool,
    /// Its records.
    pub records: Bytes,
}

/// What becomes of a committed entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Apply its records.
    Accept(Accepted),
    /// Pass it over, as all other nodes do.
    Ignore(Ignored),
}

/// Why an entry does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// This node took it before; the engine delivers from the start again.
    Seen,
    /// Its proposer had been deposed.
    OldEpoch {
        /// The entry's epoch.
        entry: ControllerEpoch,
        /// The epoch that has begun since.
        current: ControllerEpoch,
    },
    /// Its epoch has not begun: its entry 0 is missing.
    NotBegun {
        /// The entry's epoch.
        entry: ControllerEpoch,
    },
    /// The same proposal was committed before.
    Repeated {
        /// The entry's number within its epoch.
        sequence: u64,
    },
    /// A proposal before it was lost.
    Gap {
        /// The number that must come next.
        expected: u64,
        /// The entry's number within its epoch.
        sequence: u64,
    },
}

/// The engine broke its contract. The node must stop: going on would make its state differ from the others'.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum EngineFault {
    /// An entry was left out.
    #[error("metadata entry {got} was delivered where {expected} must come")]
    IndexGap {
        /// The index that must come next.
        expected: u64,
        /// The index that came.
        got: u64,
    },
    /// No [`Proposer`] made this.
    #[error("metadata entry {index} has {size} bytes, less than its header")]
    TooShort {
        /// Which entry.
        index: u64,
        /// Its bytes.
        size: usize,
    },
}

/// Takes the committed entries of one engine and tells which count.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    position: Position,
}

impl Filter {
    /// Goes on after a snapshot; [`Position::default`] is the start.
    pub fn at(position: Position) -> Self {
        Self { position }
    }

    /// How far it came.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Judges the next entry.
    pub fn take(&mut self, entry: &Entry) -> Result<Verdict, EngineFault> {
        let at = &mut self.position;
        if entry.index < at.next_index {
            return Ok(Verdict::Ignore(Ignored::Seen));
        }
        if at.next_index < entry.index {
            return Err(EngineFault::IndexGap { expected: at.next_index, got: entry.index });
        }
        let Some(sequence) =
            entry.payload.first_chunk::<HEADER_BYTES>().map(|bytes| u64::from_be_bytes(*bytes))
        else {
            return Err(EngineFault::TooShort { index: entry.index, size: entry.payload.len() });
        };
        at.next_index += 1;

        let begins = at.epoch < entry.epoch;
        if entry.epoch < at.epoch {
            return Ok(Verdict::Ignore(Ignored::OldEpoch { entry: entry.epoch, current: at.epoch }));
        }
        if begins && sequence != 0 {
            return Ok(Verdict::Ignore(Ignored::NotBegun { entry: entry.epoch }));
        }
        if !begins && sequence < at.next_sequence {
            return Ok(Verdict::Ignore(Ignored::Repeated { sequence }));
        }
        if !begins && at.next_sequence < sequence {
            return Ok(Verdict::Ignore(Ignored::Gap { expected: at.next_sequence, sequence }));
        }

        let offset = at.next_offset;
        at.next_offset += 1;
        at.epoch = entry.epoch;
        at.next_sequence = sequence + 1;
        Ok(Verdict::Accept(Accepted {
            offset,
            epoch: entry.epoch,
            begins,
            records: entry.payload.slice(HEADER_BYTES..),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Each word is `epoch.sequence`; entries are numbered as they come.
    #[allow(clippy::needless_pass_by_value)]
    fn check(script: &str, expected: Expect) {
        let mut filter = Filter::default();
        let mut told = String::new();
        for (index, word) in script.split_whitespace().enumerate() {
            let (epoch, sequence) = word.split_once('.').expect("epoch.sequence");
            let entry =
                entry(index as u64, epoch.parse().expect("epoch"), sequence.parse().expect("sequence"));
            let verdict = match filter.take(&entry).expect("the engine is sound") {
                Verdict::Accept(it) if it.begins => format!("offset {}, begins", it.offset),
                Verdict::Accept(it) => format!("offset {}", it.offset),
                Verdict::Ignore(why) => format!("{why:?}"),
            };
            told += &format!("{word} {verdict}\n");
        }
        expected.assert_eq(&told);
    }

    fn entry(index: u64, epoch: i32, sequence: u64) -> Entry {
        let mut payload = sequence.to_be_bytes().to_vec();
        payload.extend_from_slice(format!("{epoch}.{sequence}").as_bytes());
        Entry { index, epoch: ControllerEpoch(epoch), payload: payload.into() }
    }

    #[test]
    fn one_leader_is_applied_in_full() {
        check(
            "1.0 1.1 1.2",
            expect![[r#"
                1.0 offset 0, begins
                1.1 offset 1
                1.2 offset 2
            "#]],
        );
    }

    #[test]
    fn a_deposed_controller_changes_nothing_once_the_next_has_begun() {
        check(
            "1.0 1.1 2.0 1.2 2.1 1.3 1.0 2.2",
            expect![[r#"
                1.0 offset 0, begins
                1.1 offset 1
                2.0 offset 2, begins
                1.2 OldEpoch { entry: ControllerEpoch(1), current: ControllerEpoch(2) }
                2.1 offset 3
                1.3 OldEpoch { entry: ControllerEpoch(1), current: ControllerEpoch(2) }
                1.0 OldEpoch { entry: ControllerEpoch(1), current: ControllerEpoch(2) }
                2.2 offset 4
            "#]],
        );
    }

    #[test]
    fn what_was_committed_twice_is_applied_once() {
        check(
            "1.0 1.0 1.1 1.0 1.1 1.2 1.2",
            expect![[r#"
                1.0 offset 0, begins
                1.0 Repeated { sequence: 0 }
                1.1 offset 1
                1.0 Repeated { sequence: 0 }
                1.1 Repeated { sequence: 1 }
                1.2 offset 2
                1.2 Repeated { sequence: 2 }
            "#]],
        );
    }

    #[test]
    fn nothing_is_applied_behind_a_lost_proposal() {
        check(
            "1.0 1.2 1.3 3.1 2.0 2.1",
            expect![[r#"
                1.0 offset 0, begins
                1.2 Gap { expected: 1, sequence: 2 }
                1.3 Gap { expected: 1, sequence: 3 }
                3.1 NotBegun { entry: ControllerEpoch(3) }
                2.0 offset 1, begins
                2.1 offset 2
            "#]],
        );
    }

    #[test]
    fn entries_again_from_the_start_are_passed_over_and_a_hole_is_a_fault() {
        let mut filter = Filter::default();
        for index in 0..2 {
            filter.take(&entry(index, 1, index)).expect("in order");
        }
        assert_eq!(filter.take(&entry(0, 1, 0)), Ok(Verdict::Ignore(Ignored::Seen)));
        assert_eq!(filter.take(&entry(3, 1, 3)), Err(EngineFault::IndexGap { expected: 2, got: 3 }));
        let short = Entry { index: 2, epoch: ControllerEpoch(1), payload: Bytes::from_static(b"1234567") };
        assert_eq!(filter.take(&short), Err(EngineFault::TooShort { index: 2, size: 7 }));
        assert_eq!(filter.position().next_index, 2, "a fault takes nothing");
    }

    #[test]
    fn a_filter_at_a_position_goes_on_as_the_one_that_came_there() {
        let entries = [(1, 0), (1, 1), (2, 0), (1, 2), (2, 1), (2, 1), (2, 2), (4, 0)];
        for cut in 0..entries.len() {
            let mut whole = Filter::default();
            let mut resumed = Filter::default();
            for (index, (epoch, sequence)) in entries.into_iter().enumerate() {
                if index == cut {
                    resumed = Filter::at(whole.position());
                }
                let entry = entry(index as u64, epoch, sequence);
                let verdict = whole.take(&entry);
                if cut <= index {
                    assert_eq!(resumed.take(&entry), verdict);
                }
            }
            assert_eq!(whole.position(), resumed.position());
        }
    }

    #[test]
    fn a_proposer_counts_from_zero() {
        let mut proposer = Proposer::new(ControllerEpoch(7));
        let mut filter = Filter::default();
        for (index, records) in [b"begin".as_slice(), b"", b"more"].into_iter().enumerate() {
            let Input::Propose { epoch, payload } = proposer.propose(records) else { panic!("a proposal") };
            let Ok(Verdict::Accept(it)) = filter.take(&Entry { index: index as u64, epoch, payload }) else {
                panic!("refused")
            };
            assert_eq!((it.offset, it.begins, it.records.as_ref()), (index as u64, index == 0, records));
        }
    }
}
