//! Which leader epoch begins at which offset (KIP-101): kept in memory, and in the file `leader-epoch-checkpoint`, in Kafka's format with a checksum
//! behind it. Where the file that says where the log starts is not there, this one does, and records would be gone for a flipped bit.
//!
//! Invariant: epochs and starts both rise strictly from entry to entry.

use std::fmt::Write as _;

use klamm_model::{LeaderEpoch, Offset};

use crate::checkpoint;

/// Where an epoch begins. It ends where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EpochStart {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) start: Offset,
}

/// The epochs of one log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    entries: Vec<EpochStart>,
}

impl Epochs {
    /// Notes that `epoch` begins at `start`. Entries without a record of their own go. Tells whether anything changed.
    ///
    /// # Panics
    /// If a newer epoch has records already.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.newest().is_some_and(|newest| newest.epoch == epoch) {
            return false;
        }
        while self.newest().is_some_and(|newest| newest.start >= start) {
            self.entries.pop();
        }
        if let Some(newest) = self.newest() {
            // One that was begun here for a while had no record, and the one before it goes on.
            if newest.epoch == epoch {
                return true;
            }
            assert!(newest.epoch < epoch, "epoch {epoch} begins at {start} after {newest:?}");
        }
        self.entries.push(EpochStart { epoch, start });
        true
    }

    pub(crate) fn newest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The epoch of the record at `offset`, if there is one.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        Some(self.entries.get(after.checked_sub(1)?)?.epoch)
    }

    /// The newest epoch that is not newer than `asked`, and where it ends in a log that ends at `log_end`.
    pub(crate) fn end_of(&self, asked: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= asked);
        let found = self.entries.get(after.checked_sub(1)?)?;
        let end = self.entries.get(after).map_or(log_end, |next| next.start);
        Some((found.epoch, end))
    }

    /// Forgets epochs that begin above `end`; with `and_at`, those that begin there too.
    pub(crate) fn cut(&mut self, end: Offset, and_at: bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < end || (!and_at && entry.start == end));
        before != self.entries.len()
    }

    /// Forgets epochs that end at or below `log_start`.
    pub(crate) fn cut_front(&mut self, log_start: Offset) -> bool {
        let below = self.entries.partition_point(|entry| entry.start <= log_start);
        let Some(keep_from) = below.checked_sub(1) else { return false };
        let changed = 0 < keep_from || self.entries[keep_from].start < log_start;
        self.entries.drain(..keep_from);
        self.entries[0].start = log_start;
        changed
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for EpochStart { epoch, start } in &self.entries {
            let _ = writeln!(text, "{epoch} {start}");
        }
        checkpoint::checked(&text)
    }

    /// Reads the file's text; `None` if it is neither what [`to_text`](Self::to_text) writes nor what Kafka does, which has no checksum: one that is wrong is
    /// no epoch either.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut lines = checkpoint::body(text).unwrap_or(text).strip_suffix('\n')?.split('\n');
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let mut entries: Vec<EpochStart> = Vec::new();
        for line in lines {
            let (epoch, start) = line.split_once(' ')?;
            let entry = EpochStart {
                epoch: LeaderEpoch::from_wire(epoch.parse().ok()?)?,
                start: Offset::from_wire(start.parse().ok()?)?,
            };
            let follows = |last: &EpochStart| last.epoch < entry.epoch && last.start < entry.start;
            if !entries.last().is_none_or(follows) {
                return None;
            }
            entries.push(entry);
        }
        (entries.len() == count).then_some(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for &(epoch, start) in list {
            epochs.begin(LeaderEpoch(epoch), Offset::new(start));
        }
        epochs
    }

    fn end_of(epochs: &Epochs, asked: i32, end: i64) -> Option<(i32, i64)> {
        epochs.end_of(LeaderEpoch(asked), Offset::new(end)).map(|(epoch, end)| (epoch.0, end.raw()))
    }

    #[test]
    fn the_newest_epoch_not_newer_than_asked_ends_where_the_next_begins() {
        let it = epochs(&[(1, 0), (3, 10), (7, 25)]);
        let cases = [
            (0, None),
            (1, Some((1, 10))),
            (2, Some((1, 10))),
            (3, Some((3, 25))),
            (6, Some((3, 25))),
            (7, Some((7, 30))),
            (9, Some((7, 30))),
        ];
        for (asked, expected) in cases {
            assert_eq!(end_of(&it, asked, 30), expected, "asked for {asked}");
        }
    }

    /// The text without its checksum.
    fn text(epochs: &Epochs) -> String {
        checkpoint::body(&epochs.to_text()).expect("its checksum").to_owned()
    }

    #[test]
    fn an_epoch_without_records_goes_when_the_next_begins() {
        let it = epochs(&[(1, 0), (3, 10), (4, 10)]);
        assert_eq!(text(&it), "0\n2\n1 0\n4 10\n");
        assert_eq!(it.at(Offset::new(9)), Some(LeaderEpoch(1)));
        assert_eq!(it.at(Offset::new(10)), Some(LeaderEpoch(4)));
    }

    #[test]
    fn an_epoch_goes_on_where_a_newer_one_had_no_record() {
        let it = epochs(&[(1, 0), (3, 10), (1, 10)]);
        assert_eq!(text(&it), "0\n1\n1 0\n");
    }

    #[test]
    fn cuts_at_both_ends() {
        let mut it = epochs(&[(1, 0), (3, 10), (7, 25)]);
        assert!(it.cut(Offset::new(25), true));
        assert!(!it.cut(Offset::new(10), false));
        assert!(it.cut_front(Offset::new(12)));
        assert_eq!(text(&it), "0\n1\n3 12\n");
    }

    #[test]
    fn text_is_read_back_and_anything_odd_is_refused() {
        let it = epochs(&[(1, 0), (3, 10)]);
        assert_eq!(Epochs::from_text(&it.to_text()), Some(it.clone()));
        assert_eq!(Epochs::from_text("0\n2\n1 0\n3 10\n"), Some(it.clone()), "as Kafka writes it");
        for bit in 0..it.to_text().len() * 8 {
            let mut bytes = it.to_text().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = std::str::from_utf8(&bytes).ok().and_then(Epochs::from_text);
            assert_eq!(found, None, "bit {bit} flipped");
        }
        for odd in [
            "",
            "0\n",
            "1\n0\n",
            "0\n2\n1 0\n",
            "0\n1\n1 0",
            "0\n1\n-1 0\n",
            "0\n2\n1 0\n1 5\n",
            "0\n2\n1 5\n2 5\n",
            "0\n1\n1  0\n",
        ] {
            assert_eq!(Epochs::from_text(odd), None, "{odd:?}");
        }
    }
}
