//! Records that were on disk for certain and are not what was written any more.
//!
//! Their bytes stay where they are, for whoever wants to look at them; nobody is given them, and what lies before and behind is served. They are
//! noted in a small file: what a scrub has found with much reading, a start knows by reading little. A range that is good again, because somebody
//! put the file of another copy in its place, is forgotten at the next start; of a note that is lost, all is found again by who reads there.

use std::fmt::{self, Write as _};

use klamm_model::Offset;

use crate::checkpoint;
use crate::plan::Floor;

/// Of one log. From then on neighbours in a segment become one range, with what lies between them.
const RANGES_MAX: usize = 1000;

/// A stretch of a segment that is not what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DamagedRange {
    /// The segment.
    pub base: Offset,
    /// The first offset that is not served.
    pub from: Offset,
    /// And the one after the last.
    pub to: Offset,
    /// Where in the segment's log file it begins.
    pub position: u32,
    /// Where it ends. There may be no bytes at all: then they are missing.
    pub end: u32,
}

impl DamagedRange {
    /// A segment of this name is not there, up to the next.
    pub(crate) fn missing(base: Offset, to: Offset) -> Self {
        Self { base, from: base, to, position: 0, end: 0 }
    }

    /// Whether it is in the way of who reads a log that begins there, in a segment of that base: also below the start, a batch is looked for.
    pub(crate) fn is_part_of(&self, log_start: Offset, first: Offset) -> bool {
        log_start < self.to || first <= self.base
    }

    /// Bytes of it.
    pub fn size(&self) -> u32 {
        self.end - self.position
    }
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, from, to, position, end } = self;
        write!(f, "offsets {from} up to {to} are damaged: bytes {position} up to {end} of segment {base}")
    }
}

/// Invariant: ranges are in the order of their offsets, and do not overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Quarantine {
    ranges: Vec<DamagedRange>,
}

impl Quarantine {
    pub(crate) fn ranges(&self) -> &[DamagedRange] {
        &self.ranges
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes note of a range. Tells whether something of it is new.
    pub(crate) fn insert(&mut self, mut range: DamagedRange) -> bool {
        let covers = |it: &DamagedRange| it.base == range.base && it.from <= range.from && range.to <= it.to;
        if self.ranges.iter().any(covers) {
            return false;
        }
        let is_full = RANGES_MAX <= self.ranges.len();
        let joins = |it: &DamagedRange| {
            it.base == range.base && (is_full || (it.from <= range.to && range.from <= it.to))
        };
        let joined: Vec<DamagedRange> = self.ranges.extract_if(.., |it| joins(it)).collect();
        for it in joined {
            range.from = range.from.min(it.from);
            range.to = range.to.max(it.to);
            range.position = range.position.min(it.position);
            range.end = range.end.max(it.end);
        }
        let at = self.ranges.partition_point(|it| it.from < range.from);
        self.ranges.insert(at, range);
        true
    }

    /// The range that has `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<&DamagedRange> {
        self.from(offset).first().filter(|range| range.from <= offset)
    }

    /// The ranges that end above `offset`.
    pub(crate) fn from(&self, offset: Offset) -> &[DamagedRange] {
        &self.ranges[self.ranges.partition_point(|range| range.to <= offset)..]
    }

    /// Where the last one in the segment ends that lies before `offset`.
    pub(crate) fn end_before(&self, base: Offset, offset: Offset) -> Floor {
        let before = self.of(base).iter().rfind(|range| range.to <= offset);
        before.map_or(Floor::start_of(base), Floor::behind)
    }

    /// Those of one segment.
    pub(crate) fn of(&self, base: Offset) -> &[DamagedRange] {
        let first = self.ranges.partition_point(|range| range.base < base);
        let count = self.ranges[first..].partition_point(|range| range.base == base);
        &self.ranges[first..first + count]
    }

    /// Forgets what is not part of the log any more. Tells whether there was something.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&DamagedRange) -> bool) -> bool {
        let before = self.ranges.len();
        self.ranges.retain(keeps);
        self.ranges.len() < before
    }

    /// The file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = "0\n".to_owned();
        for DamagedRange { base, from, to, position, end } in &self.ranges {
            let _ = writeln!(text, "{base} {from} {to} {position} {end}");
        }
        checkpoint::checked(&text)
    }

    /// Reads the file; `None` if it is damaged itself.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut lines = checkpoint::body(text)?.lines();
        let mut it = Self::default();
        if lines.next() != Some("0") {
            return None;
        }
        for line in lines {
            let mut words = line.split(' ');
            let mut number = || words.next()?.parse::<i64>().ok();
            let mut offset = || Offset::from_wire(number()?);
            let (base, from, to) = (offset()?, offset()?, offset()?);
            let mut place = || u32::try_from(number()?).ok();
            let (position, end) = (place()?, place()?);
            let follows = it.ranges.last().is_none_or(|last| last.to <= from);
            if !follows || to <= from || end < position || words.next().is_some() {
                return None;
            }
            it.ranges.push(DamagedRange { base, from, to, position, end });
        }
        Some(it)
    }
}
