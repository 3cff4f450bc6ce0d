//! Which segment files are open: those in use lately, and never more than a bound, however many partitions and segments there are.
//!
//! A file that was used since its turn came last stays for another round (second chance, or clock). One with bytes that were not synced stays too, as
//! long as others can go: an error of the system's write-back is told most surely to whoever had the file open. Whoever has a file in hand may
//! go on with it after it has left here; it is closed when the last one lets go.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use klamm_model::TopicPartition;
use rustc_hash::FxHashMap;

use super::{SegmentId, read_lock, write_lock};

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
}

impl Open {
    fn stays(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed) || self.dirty.load(Ordering::Relaxed)
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

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        read_lock(&self.inside).files.len()
    }
}

impl Inside {
    fn make_room(&mut self, count_max: usize) {
        let mut spared_max = self.turns.len();
        while count_max <= self.files.len()
            && let Some(segment) = self.turns.pop_front()
        {
            if 0 < spared_max && self.files.get(&segment).is_some_and(|open| open.stays()) {
                spared_max -= 1;
                self.turns.push_back(segment);
            } else {
                self.files.remove(&segment);
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
    fn whoever_has_a_file_may_go_on_with_it() {
        use std::os::unix::fs::FileExt as _;
        let files = OpenFiles::new(1);
        let held = open(&files, 0);
        held.file.write_all_at(b"here", 0).expect("written");
        open(&files, 1);
        files.forget(segment(1));
        assert_eq!(files.count(), 0);
        let mut bytes = [0; 4];
        held.file.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"here");
    }
}
