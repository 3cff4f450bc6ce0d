//! Which segment files are open: those in use lately, and never more than a bound, however many partitions and segments there are.
//!
//! A file that was used since its turn came last stays for another round (second chance, or clock). One with bytes that were not synced stays too, as
//! long as others can go: an error of the system's write-back is told most surely to whoever had the file open. One that somebody has in hand stays in any case, but
//! for those that are removed or renamed: whoever has it may go on with it then, and it is closed when the last one lets go.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use klamm_model::TopicPartition;
use rustc_hash::FxHashMap;

use super::{SegmentId, read_lock, sync_file, unsynced, write_lock};

pub(super) struct OpenFiles {
    inside: RwLock<Inside>,
    count_max: usize,
}

#[derive(Default)]
struct Inside {
    files: FxHashMap<SegmentId, Arc<Open>>,
    /// The same, in the order of their turns.
    turns: VecDeque<SegmentId>,
}

pub(super) struct Open {
    pub(super) file: Arc<File>,
    /// Somebody wanted it since its turn.
    used: AtomicBool,
    /// It has bytes that were not synced.
    pub(super) dirty: AtomicBool,
    unsynced: Mutex<Unsynced>,
    /// A sync of it has failed.
    has_failed: Mutex<bool>,
}

/// What of a file may not be on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Unsynced {
    /// Nobody knows: it was not synced since it was opened, or was written here and there.
    #[default]
    Unknown,
    /// What was written to these places, apart from each other and in rising order.
    Ranges(Vec<Range<u32>>),
}

/// Writes are mostly one behind the other. Of those that go on at the same time, some may end before others.
const RANGES_MAX: usize = 16;

impl Unsynced {
    fn add(&mut self, wrote: Range<u32>) {
        let Self::Ranges(ranges) = self else { return };
        let at = ranges.partition_point(|it| it.end < wrote.start);
        let behind = ranges.partition_point(|it| it.start <= wrote.end);
        let touched = &ranges[at..behind];
        let start = touched.first().map_or(wrote.start, |it| it.start.min(wrote.start));
        let end = touched.last().map_or(wrote.end, |it| it.end.max(wrote.end));
        ranges.splice(at..behind, std::iter::once(start..end));
        if RANGES_MAX < ranges.len() {
            *self = Self::Unknown;
        }
    }

    /// How many bytes; `None` if that is not known.
    pub(super) fn size(&self) -> Option<u32> {
        match self {
            Self::Unknown => None,
            Self::Ranges(ranges) => Some(ranges.iter().map(|it| it.end - it.start).sum()),
        }
    }
}

impl Open {
    /// A write to this place has ended. Not before: until then it may have anything there.
    pub(super) fn wrote(&self, place: Range<u32>) {
        self.dirty.store(true, Ordering::Relaxed);
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).add(place);
    }

    /// How many bytes may not be on disk; `None` if that is not known.
    pub(super) fn unsynced_size(&self) -> Option<u32> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    /// What is to be brought to disk now; what is written from now on is for the next sync.
    pub(super) fn begin_sync(&self) -> Unsynced {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut unsynced, Unsynced::Ranges(Vec::new()))
    }

    /// Brings all of it to disk. The system tells whoever asks first that it could not: whoever asks after that is told here.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut has_failed = self.has_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(unsynced(io::Error::other("an earlier sync has failed")));
        }
        self.dirty.store(false, Ordering::Relaxed);
        let synced = sync_file(&self.file);
        *has_failed = synced.is_err();
        synced
    }

    fn stays(&self, round: usize) -> bool {
        let is_used = self.used.swap(false, Ordering::Relaxed) && round == 0;
        is_used || (round < 2 && self.dirty.load(Ordering::Relaxed))
    }
}

impl OpenFiles {
    pub(super) fn new(count_max: usize) -> Self {
        Self { inside: RwLock::default(), count_max: count_max.max(1) }
    }

    /// The open file, or what `open` opens. Whoever removes or renames a file calls [`forget`](Self::forget) after it, which waits for `open`: so none that
    /// is gone stays here.
    pub(super) fn get(
        &self,
        segment: SegmentId,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<Open>> {
        if let Some(found) = read_lock(&self.inside).files.get(&segment) {
            found.used.store(true, Ordering::Relaxed);
            return Ok(found.clone());
        }
        let mut inside = write_lock(&self.inside);
        if let Some(found) = inside.files.get(&segment) {
            return Ok(found.clone());
        }
        let opened = Arc::new(Open {
            file: Arc::new(open()?),
            used: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            unsynced: Mutex::default(),
            has_failed: Mutex::default(),
        });
        inside.make_room(self.count_max);
        inside.files.insert(segment, opened.clone());
        inside.turns.push_back(segment);
        Ok(opened)
    }

    /// The file has another name now, or none.
    pub(super) fn forget(&self, segment: SegmentId) {
        let mut inside = write_lock(&self.inside);
        if inside.files.remove(&segment).is_some() {
            inside.turns.retain(|other| *other != segment);
        }
    }

    pub(super) fn forget_partition(&self, partition: TopicPartition) {
        let mut inside = write_lock(&self.inside);
        inside.files.retain(|segment, _| segment.partition != partition);
        inside.turns.retain(|segment| segment.partition != partition);
    }

    /// How many may be.
    pub(super) fn count_max(&self) -> usize {
        self.count_max
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        read_lock(&self.inside).files.len()
    }
}

impl Inside {
    fn make_room(&mut self, count_max: usize) {
        // Those in use go in the second round, and those with unsynced bytes in the third.
        for round in 0..3 {
            for _ in 0..self.turns.len() {
                if self.files.len() < count_max {
                    return;
                }
                let Some(segment) = self.turns.pop_front() else { return };
                let Some(open) = self.files.get(&segment) else { continue };
                // Whoever writes to it has yet to say so. Opened anew, it would be synced without that, and be taken for on disk.
                let is_in_hand = 1 < Arc::strong_count(open);
                if is_in_hand || open.stays(round) {
                    self.turns.push_back(segment);
                } else {
                    self.files.remove(&segment);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::Offset;

    use super::*;
    use crate::tests::PARTITION;

    fn segment(base: i64) -> SegmentId {
        SegmentId { partition: PARTITION, base: Offset::new(base) }
    }

    fn open(files: &OpenFiles, base: i64) -> Arc<Open> {
        files.get(segment(base), tempfile::tempfile).expect("opened")
    }

    fn is_open(files: &OpenFiles, base: i64) -> bool {
        read_lock(&files.inside).files.contains_key(&segment(base))
    }

    #[test]
    fn no_more_are_open_than_may_be_and_those_in_use_stay() {
        let files = OpenFiles::new(4);
        for base in 0..100 {
            drop((open(&files, base), open(&files, 0)));
            assert!(files.count() <= 4);
        }
        assert!(is_open(&files, 0) && is_open(&files, 99) && !is_open(&files, 50));
    }

    #[test]
    fn a_file_with_unsynced_bytes_goes_only_if_all_have_some() {
        let files = OpenFiles::new(3);
        open(&files, 0).dirty.store(true, Ordering::Relaxed);
        (1..20).for_each(|base| drop(open(&files, base)));
        assert!(is_open(&files, 0));
        for base in 20..30 {
            open(&files, base).dirty.store(true, Ordering::Relaxed);
        }
        assert_eq!(files.count(), 3);
    }

    #[test]
    fn what_is_not_synced_is_known_to_the_byte_or_not_at_all() {
        let after = |written: &[Range<u32>]| {
            let mut unsynced = Unsynced::Ranges(Vec::new());
            written.iter().for_each(|it| unsynced.add(it.clone()));
            unsynced
        };
        let one = |range| Unsynced::Ranges(std::iter::once(range).collect());
        assert_eq!(after(&[0..5, 5..9, 9..10]), one(0..10));
        assert_eq!(after(&[20..30, 0..5, 10..20]), Unsynced::Ranges(vec![0..5, 10..30]));
        assert_eq!(after(&[0..5, 20..30, 3..25]), one(0..30));
        assert_eq!(after(&[0..30, 5..9]).size(), Some(30));
        let many: Vec<_> = (0..20).map(|it| it * 10..it * 10 + 5).collect();
        assert_eq!(after(&many).size(), None);

        let opened = open(&OpenFiles::new(1), 0);
        opened.wrote(0..7);
        assert_eq!(opened.begin_sync(), Unsynced::Unknown, "what was there before");
        opened.wrote(7..9);
        assert_eq!(
            (opened.unsynced_size(), opened.begin_sync().size(), opened.unsynced_size()),
            (Some(2), Some(2), Some(0))
        );
    }

    #[test]
    fn a_file_that_is_in_hand_is_not_opened_twice() {
        let files = OpenFiles::new(2);
        let held = [open(&files, 0), open(&files, 1), open(&files, 2)];
        for base in 3..20 {
            drop(open(&files, base));
            assert!(held.iter().zip(0..).all(|(held, base)| Arc::ptr_eq(held, &open(&files, base))));
        }
        assert_eq!(files.count(), 4);
        drop(held);
        drop(open(&files, 20));
        assert_eq!(files.count(), 2);
    }

    #[test]
    fn whoever_has_a_file_may_go_on_with_it() {
        use std::os::unix::fs::FileExt as _;
        let files = OpenFiles::new(1);
        let held = open(&files, 0);
        held.file.write_all_at(b"here", 0).expect("written");
        files.forget(segment(0));
        assert_eq!(files.count(), 0);
        let mut bytes = [0; 4];
        held.file.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"here");
    }
}
