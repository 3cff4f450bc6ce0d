//! What becomes of files while no process looks after them.

use std::ops::Range;

use klamm_log::{DAMAGED_RANGES, DURABLE_POINT, EPOCH_CHECKPOINT, FileKind};
use klamm_model::{BATCH_HEADER_SIZE, BatchView, Batches, Tail, TopicPartition, crc32c};

use super::{Directory, Disk, Place, moving::is_copy};
use crate::dice::Dice;

/// A kind of damage that a start makes good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Something that is no batch, or only the beginning of one, stands behind the last one (F19).
    TornTail,
    /// A batch from elsewhere in the segment stands behind the last one (F24).
    Misdirected,
    /// A file beside the records is gone, cut short or has a wrong byte (F22).
    Beside,
}

/// A bit that is another one, in a batch that was on disk for certain (F20, F21).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flip {
    /// Whose batch.
    pub partition: TopicPartition,
    /// Its offsets.
    pub offsets: Range<i64>,
    /// Its size.
    pub bytes: u64,
    /// It is in the length or the base offset, of which checksums know nothing.
    pub is_in_frame: bool,
}

impl Disk {
    /// Damages a partition of the process that ended. Tells what was done, if there was something to do it to.
    pub fn damage(&mut self, what: Damage, dice: &mut Dice) -> Option<String> {
        let count = self.directories.len().max(1);
        let ((name, _), directory) = self.directories.iter_mut().nth(dice.index(count))?;
        let done = match what {
            Damage::TornTail => directory.tear(dice),
            Damage::Misdirected => directory.misdirect(dice),
            Damage::Beside => directory.damage_beside(dice),
        };
        done.map(|done| format!("{name}/{done}"))
    }

    /// Flips a bit below the durable point of one of these partitions: the growing segment is spared while somebody writes there, and segments that are flipped already.
    pub fn flip(
        &mut self,
        partitions: &[TopicPartition],
        with_growing: bool,
        is_flipped: impl Fn(TopicPartition, Range<i64>) -> bool,
        dice: &mut Dice,
    ) -> Option<Flip> {
        let partition = *partitions.get(dice.index(partitions.len().max(1)))?;
        let is_its = |(place, it): &(&Place, &mut Directory)| {
            let is_known = it.partition == Some(partition) && it.is_whose(partition);
            is_known && it.leaving.is_none() && !is_copy(place)
        };
        let (_, directory) = self.directories.iter_mut().find(is_its)?;
        let durable_to = directory.durable_point()?;
        let bases: Vec<i64> = directory.names().filter_map(|(name, _)| base_of(name)).collect();
        let ends = bases.iter().skip(1).copied().chain(with_growing.then_some(i64::MAX));
        let segments: Vec<_> = bases.iter().copied().zip(ends).map(|(base, end)| base..end).collect();
        let segment = segments.get(dice.index(segments.len().max(1)))?;
        if is_flipped(partition, segment.clone()) {
            return None;
        }
        let name = format!("{:020}.{}", segment.start, FileKind::Log.extension());
        let batches = Batches::new(directory.bytes(&name)?, Tail::MayBeTruncated).map_while(Result::ok);
        let mut position = 0;
        let places: Vec<_> = batches
            .map(|batch| {
                let (offsets, size) =
                    (batch.base_offset().raw()..batch.next_offset().raw(), batch.bytes().len());
                position += size;
                (offsets, position - size, size)
            })
            .take_while(|(offsets, ..)| offsets.end <= durable_to)
            .collect();
        let (offsets, position, size) = places.get(dice.index(places.len().max(1)))?.clone();
        let is_in_frame = dice.chance(50);
        let at = if is_in_frame { dice.index(12) } else { dice.between(21, size as u64) as usize };
        let bit = dice.below(8);
        directory.edit(&name, |bytes| bytes[position + at] ^= 1 << bit);
        Some(Flip { partition, offsets, bytes: size as u64, is_in_frame })
    }

    /// What is known to be damaged is forgotten.
    pub(super) fn forget_damage(&mut self, place: &Place) {
        if let Some(directory) = self.directories.get_mut(place) {
            directory.remove(DAMAGED_RANGES);
        }
    }

    /// The growing segment ends where the first damaged batch is.
    pub(super) fn cut_at_damage(&mut self, place: &Place) {
        let Some(directory) = self.directories.get_mut(place) else { return };
        let Some(name) = directory.growing() else { return };
        directory.edit(&name, |bytes| {
            let mut at = 0;
            while let Some(end) = batch_end(bytes, at)
                && BatchView::parse(&bytes[at..end]).is_ok_and(|batch| batch.verify_crc().is_ok())
            {
                at = end;
            }
            bytes.truncate(at);
        });
    }

    pub(super) fn mend_checksums(&mut self, place: &Place) {
        let Some(directory) = self.directories.get_mut(place) else { return };
        if let Some(name) = directory.growing() {
            directory.edit(&name, |bytes| {
                let mut at = 0;
                while let Some(end) = batch_end(bytes, at) {
                    let crc = crc32c(&bytes[at + 21..end]);
                    bytes[at + 17..at + 21].copy_from_slice(&crc.to_be_bytes());
                    at = end;
                }
            });
        }
    }
}

/// Where the batch at `at` ends, by its length field.
fn batch_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at + 8..at + 12)?.try_into().map(u32::from_be_bytes).ok()?;
    let end = at + 12 + length as usize;
    (BATCH_HEADER_SIZE <= end - at && end <= bytes.len()).then_some(end)
}

/// The offset that a segment's log file is named after.
fn base_of(name: &str) -> Option<i64> {
    name.strip_suffix(FileKind::Log.extension())?.strip_suffix('.')?.parse().ok()
}

impl Directory {
    /// Everything below was on disk for certain, as the platter has it.
    fn durable_point(&self) -> Option<i64> {
        str::from_utf8(self.durable_bytes(DURABLE_POINT)?).ok()?.lines().nth(1)?.parse().ok()
    }

    /// The segment that grows.
    fn growing(&self) -> Option<String> {
        let ending = format!(".{}", FileKind::Log.extension());
        self.names().map(|(name, _)| name).filter(|name| name.ends_with(&ending)).max().cloned()
    }

    fn tear(&mut self, dice: &mut Dice) -> Option<String> {
        let name = self.growing()?;
        let bytes = self.bytes(&name)?;
        let mut tail = match dice.below(4) {
            0 => vec![0; 1 + dice.index(5000)],
            1 => (0..1 + dice.index(300)).map(|_| dice.number() as u8).collect(),
            // The beginning of the batch that would follow, perhaps less than its header.
            _ => next_batch(bytes)?,
        };
        tail.truncate(if dice.chance(30) { 1 + dice.index(BATCH_HEADER_SIZE) } else { tail.len() - 1 });
        self.edit(&name, |bytes| bytes.extend_from_slice(&tail));
        Some(format!("{name} has {} torn bytes", tail.len()))
    }

    fn misdirect(&mut self, dice: &mut Dice) -> Option<String> {
        let name = self.growing()?;
        let bytes = self.bytes(&name)?;
        let batches: Vec<_> = Batches::new(bytes, Tail::MayBeTruncated).map_while(Result::ok).collect();
        let stale = batches.get(dice.index(batches.len().max(1)))?.bytes().to_vec();
        self.edit(&name, |bytes| bytes.extend_from_slice(&stale));
        Some(format!("{name} has an old batch at its end"))
    }

    fn damage_beside(&mut self, dice: &mut Dice) -> Option<String> {
        let kinds = [FileKind::Index, FileKind::TimeIndex, FileKind::Growing, FileKind::Producers];
        let endings = kinds.map(|kind| format!(".{}", kind.extension()));
        let is_beside =
            |name: &String| name == EPOCH_CHECKPOINT || endings.iter().any(|ending| name.ends_with(ending));
        let names: Vec<String> =
            self.names().map(|(name, _)| name).filter(|it| is_beside(it)).cloned().collect();
        let name = names.get(dice.index(names.len().max(1)))?.clone();
        let size = self.bytes(&name)?.len();
        let how = match dice.below(3) {
            0 => {
                self.remove(&name);
                "removed"
            }
            1 => {
                let kept = dice.index(size + 1);
                self.edit(&name, |bytes| bytes.truncate(kept));
                "cut short"
            }
            _ if size == 0 => return None,
            _ => {
                let (at, bit) = (dice.index(size), dice.below(8));
                self.edit(&name, |bytes| bytes[at] ^= 1 << bit);
                "flipped"
            }
        };
        Some(format!("{name} is {how}"))
    }
}

/// A batch that would be taken for the next one, but for what is missing at its end.
fn next_batch(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = Batches::new(bytes, Tail::MayBeTruncated).map_while(Result::ok).last()?;
    let mut next = last.bytes().to_vec();
    next[..8].copy_from_slice(&last.next_offset().raw().to_be_bytes());
    Some(next)
}
