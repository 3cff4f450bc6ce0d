//! What becomes of files while no process looks after them.

use std::ops::Range;

use klamm_log::{DAMAGED_RANGES, DURABLE_POINT, EPOCH_CHECKPOINT, FileKind, PARTITION_METADATA};
use klamm_model::{BATCH_HEADER_SIZE, BatchView, Batches, Tail, TopicPartition, crc32c};

use super::{
    Directory, Disk, Place,
    moving::{WHOLE, is_copy},
};
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
    /// The same of the file of this name, in a directory with records. Somebody puts it back.
    File(&'static str),
}

/// A file that was damaged. Of those that a start can do without one of the others, there is one at a time.
pub(super) struct Hurt {
    name: String,
    was: Vec<u8>,
    is: Option<Vec<u8>>,
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
    /// Damages a partition of the process that ended, one of those that may be if it is more than a start makes good. Tells what was done, if there was
    /// something to do it to.
    pub fn damage(
        &mut self,
        what: Damage,
        may_be: impl Fn(TopicPartition) -> bool,
        dice: &mut Dice,
    ) -> Option<String> {
        let is_it = |(_, it): &(&Place, &Directory)| match what {
            Damage::File(name) => {
                let is_known = it.partition.is_some_and(|it| self.hurt(it).is_none() && may_be(it));
                // While it is in two places, that may be two faults.
                let is_alone =
                    self.directories.values().filter(|other| other.partition == it.partition).count() == 1;
                is_known && is_alone && it.can_spare(name)
            }
            _ => true,
        };
        let places: Vec<Place> =
            self.directories.iter().filter(is_it).map(|(place, _)| place.clone()).collect();
        let place = places.get(dice.index(places.len().max(1)))?;
        let is_hurt = self.directories[place].partition.is_some_and(|it| self.hurt(it).is_some());
        let directory = self.directories.get_mut(place)?;
        let (name, _) = place;
        let damaged = match what {
            Damage::TornTail => return directory.tear(dice).map(|done| format!("{name}/{done}")),
            Damage::Misdirected => return directory.misdirect(dice).map(|done| format!("{name}/{done}")),
            Damage::Beside => directory.damage_file(|it| is_beside(it, !is_hurt), dice),
            Damage::File(file) => directory.damage_file(|it| it == file, dice),
        };
        let (file, was, how) = damaged?;
        let done = format!("{name}/{file} is {how}");
        if (self.sabotage.forgets_epochs, &file[..]) == (true, DURABLE_POINT) {
            directory.remove(EPOCH_CHECKPOINT);
        }
        let is_one_of_those = [EPOCH_CHECKPOINT, DURABLE_POINT, PARTITION_METADATA].contains(&&file[..]);
        if let Some(partition) = directory.partition.filter(|_| is_one_of_those) {
            let is = directory.bytes(&file).map(<[u8]>::to_vec);
            self.hurt.insert(partition, Hurt { name: file, was, is });
        }
        Some(done)
    }

    /// Which of a partition's files is damaged and was not written since.
    pub fn hurt(&self, partition: TopicPartition) -> Option<&str> {
        let hurt = self.hurt.get(&partition)?;
        let mut its =
            self.directories.iter().filter(|(at, it)| it.partition == Some(partition) && !is_copy(at));
        its.any(|(_, it)| it.bytes(&hurt.name) == hurt.is.as_deref()).then_some(hurt.name.as_str())
    }

    /// Whether there is a partition that may be refused for that.
    pub fn has_hurt(&self) -> bool {
        self.hurt.keys().any(|partition| self.hurt(*partition).is_some_and(|it| it != EPOCH_CHECKPOINT))
    }

    /// Somebody puts back what was damaged.
    pub fn mend(&mut self) {
        for (partition, hurt) in std::mem::take(&mut self.hurt) {
            for directory in self.directories.values_mut().filter(|it| it.partition == Some(partition)) {
                if directory.bytes(&hurt.name) == hurt.is.as_deref() {
                    directory.put(&hurt.name, hurt.was.clone());
                }
            }
        }
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
        if self.hurt(partition).is_some() {
            return None;
        }
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
            directory.edit(&name, |bytes| mend(bytes));
        }
    }
}

/// Makes the checksums of all batches right, whatever is in them.
pub(super) fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(end) = batch_end(bytes, at) {
        let crc = crc32c(&bytes[at + 21..end]);
        bytes[at + 17..at + 21].copy_from_slice(&crc.to_be_bytes());
        at = end;
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
        number_at(self.durable_bytes(DURABLE_POINT)?, 1, 0)
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

    /// Whether its log can be recovered, or refused, without this file: nothing but the file is wrong.
    fn can_spare(&self, name: &str) -> bool {
        let is_whole = |log: &[u8]| {
            let sizes =
                Batches::new(log, Tail::MayBeTruncated).map_while(Result::ok).map(|it| it.bytes().len());
            sizes.sum::<usize>() == log.len()
        };
        let has_log_start_twice = || {
            let start = number_at(self.bytes(DURABLE_POINT)?, 3, 0)?;
            Some(start == 0 || number_at(self.bytes(EPOCH_CHECKPOINT)?, 2, 1)? == start)
        };
        let growing = self.growing().and_then(|name| self.bytes(&name));
        let is_in_order = self.partition.is_some_and(|it| self.is_whose(it)) && self.leaving.is_none();
        let is_settled = self.has_records() && self.bytes(WHOLE).is_none() && growing.is_some_and(is_whole);
        let is_spared = name != DURABLE_POINT || has_log_start_twice() == Some(true);
        is_in_order && is_settled && is_spared && self.bytes(name).is_some()
    }

    /// Damages one of these files. Tells which, what it was and how.
    fn damage_file(
        &mut self,
        is_meant: impl Fn(&str) -> bool,
        dice: &mut Dice,
    ) -> Option<(String, Vec<u8>, &'static str)> {
        let names: Vec<String> =
            self.names().map(|(name, _)| name).filter(|it| is_meant(it)).cloned().collect();
        let name = names.get(dice.index(names.len().max(1)))?.clone();
        let was = self.bytes(&name)?.to_vec();
        let how = match dice.below(3) {
            0 => {
                self.remove(&name);
                "removed"
            }
            // A bit of an id may make it another topic's.
            1 if !was.is_empty() && name != PARTITION_METADATA => {
                let (at, bit) = (dice.index(was.len()), dice.below(8));
                self.edit(&name, |bytes| bytes[at] ^= 1 << bit);
                "flipped"
            }
            _ => {
                let kept = dice.index(was.len().checked_sub(1)?.max(1));
                self.edit(&name, |bytes| bytes.truncate(kept));
                "cut short"
            }
        };
        Some((name, was, how))
    }
}

/// A word of a line of text.
fn number_at(text: &[u8], line: usize, word: usize) -> Option<i64> {
    str::from_utf8(text).ok()?.lines().nth(line)?.split_whitespace().nth(word)?.parse().ok()
}

/// Whether a file can be made again from the records, and from what the others say of them.
fn is_beside(name: &str, with_epochs: bool) -> bool {
    let kinds =
        [FileKind::Index, FileKind::TimeIndex, FileKind::Aborted, FileKind::Growing, FileKind::Producers];
    let is_of_kind = kinds.iter().any(|kind| name.ends_with(&format!(".{}", kind.extension())));
    is_of_kind || (with_epochs && name == EPOCH_CHECKPOINT)
}

/// A batch that would be taken for the next one, but for what is missing at its end.
fn next_batch(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = Batches::new(bytes, Tail::MayBeTruncated).map_while(Result::ok).last()?;
    let mut next = last.bytes().to_vec();
    next[..8].copy_from_slice(&last.next_offset().raw().to_be_bytes());
    Some(next)
}
