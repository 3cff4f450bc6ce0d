//! Going through a segment's batches with an eye to damage: where they do not follow one another any more, and where they go on.
//!
//! A batch is taken if it begins with the offset that is next and with an epoch that is not older than the one before, and its checksum is right;
//! the checksum alone says nothing, for an old batch at a wrong place has a right one too. Where no such batch is, the log goes on
//!
//! - where the damaged batch itself says that it ends, if the next one begins there with the offset that it says, or else
//! - at the first batch from which all of them lead up to one that the index knows, or to the segment's end, or else
//! - at that batch of the index.
//!
//! Records may have batches of another log in them, copied there by somebody's backup: one that just looks right is not enough.

use std::io;

use klamm_model::{BATCH_HEADER_SIZE, BatchHeader, BatchView, LeaderEpoch, Offset, TransactionMark};

use crate::quarantine::DamagedRange;
use crate::walk::{ALL, ReadAt, Walk, WalkError};

/// Where a batch begins, or should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// In the file.
    pub position: u32,
    /// Its first offset.
    pub offset: Offset,
    /// The epoch of the batch before it in the segment.
    pub epoch: Option<LeaderEpoch>,
}

impl Place {
    /// Where a segment begins.
    pub fn start_of(base: Offset) -> Self {
        Self { position: 0, offset: base, epoch: None }
    }
}

/// What is known of a segment beforehand.
pub(crate) struct Known<'a> {
    pub(crate) base: Offset,
    /// Its size.
    pub(crate) limit: u32,
    /// Its records go up to here at least.
    pub(crate) end: Offset,
    /// And no further: it grows no more.
    pub(crate) is_closed: bool,
    /// What is not good from here on was perhaps never whole: the survey ends there.
    pub(crate) durable_to: Offset,
    /// What was found earlier.
    pub(crate) damaged: &'a [DamagedRange],
    /// Positions and last offsets of some batches, as the index has them. Asked for when something is damaged.
    pub(crate) index: &'a dyn Fn() -> Vec<(u32, Offset)>,
}

/// What a survey comes to.
pub(crate) enum Met {
    Batch(Stored),
    Damage(DamagedRange),
}

/// A good batch in a file.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) header: BatchHeader,
    pub(crate) size: u32,
    /// It ends a transaction.
    pub(crate) mark: Option<TransactionMark>,
}

/// What batches have to lead to, one after the other, to be believed.
#[derive(Clone, Copy)]
enum Goal {
    /// A batch, or the end of a segment.
    At(u32, Offset),
    /// This offset, wherever it is.
    Beyond(Offset),
}

pub(crate) struct Survey<'a> {
    known: Known<'a>,
    walk: Walk<'a>,
    /// Where it is.
    pub(crate) place: Place,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(known: Known<'a>, from: Place, read: &'a mut ReadAt<'a>) -> Self {
        Self { walk: Walk::new(known.limit, ALL, read), known, place: from }
    }

    /// Goes on by a batch or over a damaged range. `None` at the end of what is good.
    pub(crate) fn next(&mut self) -> io::Result<Option<Met>> {
        let Place { position, offset, .. } = self.place;
        let found_before = self.known.damaged.iter().find(|it| (it.position, it.from) == (position, offset));
        if let Some(range) = found_before.copied() {
            return Ok(Some(self.skip(range)));
        }
        if let Some(batch) = self.next_good()? {
            return Ok(Some(Met::Batch(batch)));
        }
        // What a closed segment has behind its end is nobody's.
        if self.known.end.min(self.known.durable_to) <= offset {
            return Ok(None);
        }
        let range = self.damage_here()?;
        Ok(Some(self.skip(range)))
    }

    /// Goes on by a batch, if it is good.
    pub(crate) fn next_good(&mut self) -> io::Result<Option<Stored>> {
        let Some((header, after)) = self.good_batch()? else { return Ok(None) };
        let position = self.place.position;
        let mark = if header.attributes.is_control() { self.mark(position, after)? } else { None };
        let epoch = header.leader_epoch.max(self.place.epoch);
        self.place = Place { position: after, offset: header.next_offset(), epoch };
        Ok(Some(Stored { header, size: after - position, mark }))
    }

    fn mark(&mut self, position: u32, after: u32) -> io::Result<Option<TransactionMark>> {
        match self.walk.batch(position, after) {
            Ok(batch) => Ok(BatchView::parse(batch).ok().as_ref().and_then(TransactionMark::of)),
            Err(WalkError::Damaged(_)) => Ok(None),
            Err(WalkError::Io(error)) => Err(error),
        }
    }

    fn skip(&mut self, range: DamagedRange) -> Met {
        self.place = Place { position: range.end, offset: range.to, ..self.place };
        Met::Damage(range)
    }

    /// The batch at this place, if it is good.
    fn good_batch(&mut self) -> io::Result<Option<(BatchHeader, u32)>> {
        let Place { position, offset, epoch } = self.place;
        let Some((header, after)) = self.header(position)? else { return Ok(None) };
        let end = header.next_offset();
        if header.base_offset != offset || header.leader_epoch.is_none() || header.leader_epoch < epoch {
            return Ok(None);
        }
        if self.known.is_closed && self.known.end < end {
            return Ok(None);
        }
        if !self.is_whole(position, after)? {
            return Ok(None);
        }
        // An epoch has no checksum. Where only this one is newer than the next, it is this one that is wrong.
        let next = self.header(after)?.map(|(next, _)| next).filter(|next| next.base_offset == end);
        let is_odd = next.is_some_and(|next| {
            epoch <= next.leader_epoch
                && next.leader_epoch < header.leader_epoch
                && next.next_offset() <= self.known.durable_to
        });
        Ok((!is_odd).then_some((header, after)))
    }

    /// How far what is damaged here goes.
    fn damage_here(&mut self) -> io::Result<DamagedRange> {
        let Place { position, offset, .. } = self.place;
        let base = self.known.base;
        let up_to = |to: Offset, end: u32| DamagedRange { base, from: offset, to, position, end };
        if position == self.known.limit {
            return Ok(up_to(self.known.end, position));
        }
        if let Some((header, after)) = self.header(position)?.filter(|(it, _)| it.base_offset == offset) {
            let end = header.next_offset();
            let next = self.header(after)?;
            let leads_on = next.is_some_and(|(next, _)| next.base_offset == end);
            let is_last = after == self.known.limit && end == self.known.end;
            if is_last || (leads_on && self.is_within(end)) {
                return Ok(up_to(end, after));
            }
        }
        let indexed = self.next_indexed()?;
        let (position, offset) = indexed.unwrap_or((self.known.limit, self.known.end));
        let goal = match indexed {
            // Behind what was on disk for certain there may be anything.
            None if !self.known.is_closed => Goal::Beyond(offset),
            _ => Goal::At(position, offset),
        };
        let (end, to) = self.find_way(position, goal)?.unwrap_or((position, offset));
        Ok(up_to(to, end))
    }

    fn is_within(&self, end: Offset) -> bool {
        !self.known.is_closed || end <= self.known.end
    }

    /// The next batch after this place that the index knows and that is good: where it begins, and with which offset.
    fn next_indexed(&mut self) -> io::Result<Option<(u32, Offset)>> {
        for (position, last) in (self.known.index)() {
            if position <= self.place.position {
                continue;
            }
            if let Some(header) = self.candidate(position)?.filter(|header| header.last_offset() == last) {
                return Ok(Some((position, header.base_offset)));
            }
        }
        Ok(None)
    }

    /// A batch with a right checksum that could follow what is damaged here.
    fn candidate(&mut self, position: u32) -> io::Result<Option<BatchHeader>> {
        let Place { offset, epoch, .. } = self.place;
        let Some((header, after)) = self.header(position)? else { return Ok(None) };
        let follows = offset < header.base_offset
            && epoch <= header.leader_epoch
            && header.leader_epoch.is_some()
            && self.is_within(header.next_offset())
            // Above what was on disk for certain nothing is expected: there the log goes on with the next batch.
            && (self.known.is_closed || header.base_offset <= self.known.end);
        Ok(if follows && self.is_whole(position, after)? { Some(header) } else { None })
    }

    /// The first batch behind this place and before `limit` from which all lead to the goal: where it begins, and with which offset.
    fn find_way(&mut self, limit: u32, goal: Goal) -> io::Result<Option<(u32, Offset)>> {
        let mut position = self.place.position + 1;
        while position < limit && BATCH_HEADER_SIZE as u32 <= self.known.limit - position {
            let left = (limit - position).saturating_add(BATCH_HEADER_SIZE as u32 - 1);
            let size = left.min(self.known.limit - position).min(ALL as u32);
            let bytes = match self.walk.batch(position, position + size) {
                Ok(bytes) => bytes,
                Err(WalkError::Damaged(_)) => return Ok(None),
                Err(WalkError::Io(error)) => return Err(error),
            };
            let count = bytes.len() + 1 - BATCH_HEADER_SIZE;
            let looks_right = |at: &usize| BatchHeader::parse(&bytes[*at..]).is_ok();
            let found: Vec<u32> = (0..count).filter(looks_right).map(|at| position + at as u32).collect();
            for at in found {
                if let Some(header) = self.candidate(at)?
                    && self.leads_to(at, header.base_offset, goal)?
                {
                    return Ok(Some((at, header.base_offset)));
                }
            }
            position += count as u32;
        }
        Ok(None)
    }

    fn leads_to(&mut self, mut position: u32, mut offset: Offset, goal: Goal) -> io::Result<bool> {
        loop {
            let is_there = match goal {
                Goal::At(goal, goal_offset) => (position, offset) == (goal, goal_offset),
                Goal::Beyond(goal_offset) => goal_offset <= offset,
            };
            if is_there {
                return Ok(true);
            }
            match self.header(position)? {
                Some((header, after)) if header.base_offset == offset => {
                    (position, offset) = (after, header.next_offset());
                }
                _ => return Ok(false),
            }
        }
    }

    fn header(&mut self, position: u32) -> io::Result<Option<(BatchHeader, u32)>> {
        match self.walk.header_at(position) {
            Ok(found) => Ok(found),
            Err(WalkError::Damaged(_)) => Ok(None),
            Err(WalkError::Io(error)) => Err(error),
        }
    }

    fn is_whole(&mut self, position: u32, end: u32) -> io::Result<bool> {
        is_whole(&mut self.walk, position, end)
    }
}

/// Whether the checksum of a batch is right.
pub(crate) fn is_whole(walk: &mut Walk<'_>, position: u32, end: u32) -> io::Result<bool> {
    match walk.batch(position, end) {
        Ok(batch) => Ok(BatchView::parse(batch).and_then(|view| view.verify_crc()).is_ok()),
        Err(WalkError::Damaged(_)) => Ok(false),
        Err(WalkError::Io(error)) => Err(error),
    }
}
