//! What was written to many segments of a data directory, once more, in one file that one sync brings to disk.
//!
//! A sync costs the system and the disk the same however little it brings: with a few hundred bytes in each of 50 logs, their own syncs are nearly all of the work.
//! Here the bytes that a log has since its last sync are copied behind those of the others, and the journal is synced for all. The segments themselves follow when
//! the journal is full, or something is about to happen to them that cannot be said by bytes at a place.
//!
//! ```text
//!   |reset G|group G.1: a at 200, b at 90|group G.2: a at 350, forget b|group F.3 …
//!    └ a generation begins: all that was there before counts no more   └ of an older one: the end
//! ```
//! Groups begin at multiples of [`ALIGNMENT`], so that one that is torn takes no other with it. A start puts everything in its place again, in its order, before
//! anything is looked at; where nothing was lost that changes nothing.
//!
//! Invariants:
//! - What a segment has on disk by itself, and what the journal has of it since, is all that its log was told to be synced. So the first sync of a file that was
//!   opened is always its own: nobody knows what was written before.
//! - What the journal has of a segment is what the segment has there, until it is forgotten. So a segment is on disk and forgotten before it is cut, emptied,
//!   swapped, moved or removed: a start would bring back what went.
//! - A generation is over only when all of its segments are on disk. What could not be brought there ends the journal: it stays as it is, for the next start.
//! - Each group is on disk before the next is begun. So a whole one behind one that is not says that this is damaged, and no torn end.
//!
//! After a stop in order it is gone. One that is there nevertheless is older than the stop, from a backup perhaps, and is not looked at.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};
use klamm_model::{Offset, PartitionIndex, TopicId, TopicPartition, crc32c};
use uuid::Uuid;

use super::{
    SegmentId, Space, is_full, is_unsynced, options, read_fully, remove_file, sync_directory, sync_file,
    unsynced,
};

pub(super) const FILE_NAME: &str = ".klamm-journal";
/// When it is full, its segments are synced one by one: with 50 of them that is some hundredth of the work that it saves.
const SIZE: u64 = 16 << 20;
/// Or when it is as old as this: what is not in its place yet is written there by then, and the disk tells if it could not.
const AGE_MAX: Duration = Duration::from_secs(60);
/// It is written in pieces of this size first.
const ZEROS_SIZE: usize = 64 << 10;
/// No larger part of the free room is taken.
const FREE_SHARE: u64 = 64;
/// See [`Written::reserve`].
const RESERVE_SHARE: u64 = 16;
/// A disk's pages. Overwriting half of one might cost the other half.
const ALIGNMENT: u64 = 4096;
/// So many syncs of their own pay for making it.
const SYNCS_BEFORE: u32 = 1000;
const MAGIC: u32 = 0x4B4A_4C31;
/// Magic, checksum, generation, number, size.
const HEADER_SIZE: usize = 4 + 4 + 8 + 8 + 4;
/// Kind, topic, partition, base.
const ENTRY_SIZE: usize = 1 + 16 + 4 + 8;
const BYTES: u8 = 1;
const FORGET: u8 = 2;

/// Bytes of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) segment: SegmentId,
    pub(super) position: u32,
    pub(super) bytes: Vec<u8>,
}

/// See the module.
pub(super) struct Journal {
    path: PathBuf,
    /// Syncs of segments by themselves that came before there was a journal.
    sync_count: AtomicU32,
    is_open: AtomicBool,
    inside: Mutex<Option<Written>>,
    /// Segments of which it has something that they may not have on disk.
    covered: Mutex<BTreeSet<SegmentId>>,
}

/// An open journal.
struct Written {
    file: File,
    size: u64,
    /// By chance: nobody can put bytes into a record that would count as a group.
    generation: u64,
    began: Instant,
    /// The next group's.
    number: u64,
    position: u64,
    /// Something could not be brought to disk. The system tells that once: what is tried again would succeed, and mean nothing.
    has_failed: bool,
}

impl Journal {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(FILE_NAME),
            sync_count: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            inside: Mutex::new(None),
            covered: Mutex::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// A segment was synced by itself. Where many are, a journal is made if there is room for it.
    pub(super) fn note_sync(&self, space: impl FnOnce() -> io::Result<Space>) -> io::Result<()> {
        if self.is_open() || self.sync_count.fetch_add(1, Ordering::Relaxed) + 1 != SYNCS_BEFORE {
            return Ok(());
        }
        let has_room = space().is_ok_and(|space| SIZE <= space.free_bytes / FREE_SHARE);
        let made = if has_room { self.make(SIZE) } else { Ok(()) };
        if !self.is_open() {
            // Without it everything goes on as before. After as many again there may be room.
            self.sync_count.store(0, Ordering::Relaxed);
        }
        made
    }

    /// All of it is there before it is used: a sync has nothing to say of its size or its place then.
    pub(super) fn make(&self, size: u64) -> io::Result<()> {
        let mut inside = lock(&self.inside);
        let temporary = self.path.with_extension("tmp");
        let made = make_file(&temporary, size).and_then(|file| {
            let mut written = Written::new(file, size);
            written.write(|_| {}, 0)?;
            fs::rename(&temporary, &self.path)?;
            sync_directory(self.path.parent().unwrap_or(Path::new("/")))?;
            Ok(written)
        });
        match made {
            Ok(written) => {
                *inside = Some(written);
                self.is_open.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                // It holds nothing yet.
                let _ = (remove_file(&temporary), remove_file(&self.path));
                Err(error)
            }
        }
    }

    /// Brings these to disk. `sync` does so for a segment by itself. `false`: each has to be synced by itself, as there is no journal, or no room in it.
    pub(super) fn append(
        &self,
        stretches: &[Stretch],
        sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut inside = lock(&self.inside);
        let Some(written) = inside.as_mut() else { return Ok(false) };
        let size: usize = stretches.iter().map(|it| ENTRY_SIZE + 8 + it.bytes.len()).sum();
        if written.size < ALIGNMENT + aligned(HEADER_SIZE + size) + written.reserve() {
            return Ok(false);
        }
        let is_old = AGE_MAX <= written.began.elapsed();
        let has_room = written.has_room_for(size, written.reserve());
        if is_old || !has_room {
            match self.begin_anew(written, sync) {
                // A file could not be opened, or the disk is full.
                Err(error) if !is_unsynced(&error) => {
                    if !has_room {
                        return Ok(false);
                    }
                    // It is as good as before, and need not be tried each time.
                    written.began = Instant::now();
                }
                begun => begun?,
            }
        }
        lock(&self.covered).extend(stretches.iter().map(|it| it.segment));
        match written.write(|group| stretches.iter().for_each(|it| it.put(group)), size) {
            Err(error) if !is_unsynced(&error) => return Ok(false),
            written => written?,
        }
        Ok(true)
    }

    /// Whether it may have something of this segment, with so many at most: all of them are synced while others wait.
    pub(super) fn takes(&self, segment: SegmentId, count_max: usize) -> bool {
        let covered = lock(&self.covered);
        self.is_open() && (covered.len() < count_max || covered.contains(&segment))
    }

    /// Something is about to happen to these segments, of which no sync is under way.
    pub(super) fn forget(
        &self,
        is_meant: impl Fn(&SegmentId) -> bool,
        mut sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<()> {
        // Mostly there are none, and those need not wait for a sync of others.
        if !self.is_open() || !lock(&self.covered).iter().any(&is_meant) {
            return Ok(());
        }
        let mut inside = lock(&self.inside);
        let Some(written) = inside.as_mut() else { return Ok(()) };
        let meant: Vec<SegmentId> = lock(&self.covered).iter().copied().filter(is_meant).collect();
        let size = meant.len() * ENTRY_SIZE;
        let forgotten = if written.has_room_for(size, 0) {
            meant.iter().try_for_each(|segment| written.note(sync(*segment))).and_then(|()| {
                written.write(|group| meant.iter().for_each(|it| put_entry(group, FORGET, *it)), size)
            })
        } else {
            self.begin_anew(written, &mut sync)
        };
        match forgotten {
            // What is about to happen may be what makes room: without the journal it can.
            Err(error) if is_full(&error) => return self.end(&mut inside, sync),
            forgotten => forgotten?,
        }
        lock(&self.covered).retain(|segment| !meant.contains(segment));
        Ok(())
    }

    /// Nothing more comes: what it has is brought to its place, and it goes.
    pub(super) fn close(&self, sync: impl FnMut(SegmentId) -> io::Result<()>) -> io::Result<()> {
        self.end(&mut lock(&self.inside), sync)
    }

    fn end(
        &self,
        inside: &mut Option<Written>,
        mut sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(written) = inside else { return Ok(()) };
        self.sync_covered(written, &mut sync)?;
        remove_file(&self.path)?;
        written.note(sync_directory(self.path.parent().unwrap_or(Path::new("/"))))?;
        self.is_open.store(false, Ordering::Release);
        self.sync_count.store(0, Ordering::Relaxed);
        *inside = None;
        lock(&self.covered).clear();
        Ok(())
    }

    fn sync_covered(
        &self,
        written: &mut Written,
        mut sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<()> {
        let covered: Vec<SegmentId> = lock(&self.covered).iter().copied().collect();
        // An earlier error counts even if there is nothing left to sync.
        written.note(Ok(()))?;
        covered.into_iter().try_for_each(|segment| written.note(sync(segment)))
    }

    /// The segments are brought to disk, and what was written here counts no more.
    fn begin_anew(
        &self,
        written: &mut Written,
        sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<()> {
        self.sync_covered(written, sync)?;
        let before = (written.generation, written.number, written.position);
        (written.generation, written.number, written.position) = (by_chance(), 0, 0);
        if let Err(error) = written.write(|_| {}, 0) {
            // Where nothing was written, as the disk is full, it goes on as it was.
            (written.generation, written.number, written.position) = before;
            return Err(error);
        }
        written.began = Instant::now();
        lock(&self.covered).clear();
        Ok(())
    }
}

impl Written {
    fn new(file: File, size: u64) -> Self {
        let (generation, began) = (by_chance(), Instant::now());
        Self { file, size, generation, began, number: 0, position: 0, has_failed: false }
    }

    fn has_room_for(&self, size: usize, reserve: u64) -> bool {
        self.position + aligned(HEADER_SIZE + size) + reserve <= self.size
    }

    /// So much is kept for segments that are to be forgotten: those have nothing to do with others, which perhaps cannot be synced.
    fn reserve(&self) -> u64 {
        self.size / RESERVE_SHARE
    }

    /// What could not be brought to disk is the end of this journal.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if self.has_failed {
            return Err(unsynced(io::Error::other("the journal has failed")));
        }
        self.has_failed = result.as_ref().is_err_and(is_unsynced);
        result
    }

    fn write(&mut self, put: impl FnOnce(&mut Vec<u8>), size: usize) -> io::Result<()> {
        let mut group = Vec::with_capacity(HEADER_SIZE + size);
        group.put_u32(MAGIC);
        group.put_u32(0);
        group.put_u64(self.generation);
        group.put_u64(self.number);
        group.put_u32(size as u32);
        put(&mut group);
        debug_assert_eq!(group.len(), HEADER_SIZE + size);
        let checksum = crc32c(&group[8..]);
        group[4..8].copy_from_slice(&checksum.to_be_bytes());
        // Whole pages: nothing has to be read for what is left of the last one.
        group.resize(usize::try_from(aligned(group.len())).expect("it fits the journal"), 0);
        self.note(Ok(()))?;
        let written = match self.file.write_all_at(&group, self.position) {
            // A file system that never writes in place. The next group goes there.
            Err(error) if is_full(&error) => return Err(error),
            written => written.map_err(unsynced),
        };
        let written = written.and_then(|()| sync_file(&self.file));
        self.note(written)?;
        self.number += 1;
        self.position += group.len() as u64;
        Ok(())
    }
}

fn make_file(path: &Path, size: u64) -> io::Result<File> {
    let file = options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; ZEROS_SIZE];
    for position in (0..size).step_by(ZEROS_SIZE) {
        file.write_all_at(&zeros, position)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn by_chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Stretch {
    fn put(&self, group: &mut Vec<u8>) {
        put_entry(group, BYTES, self.segment);
        group.put_u32(self.position);
        group.put_u32(self.bytes.len() as u32);
        group.put_slice(&self.bytes);
    }
}

fn put_entry(group: &mut Vec<u8>, kind: u8, segment: SegmentId) {
    group.put_u8(kind);
    group.put_slice(segment.partition.topic.0.as_bytes());
    group.put_i32(segment.partition.partition.0);
    group.put_i64(segment.base.raw());
}

fn aligned(size: usize) -> u64 {
    (size as u64).next_multiple_of(ALIGNMENT)
}

/// Puts everything that a journal has in its place, and removes it. `find` gives what says where the file of a segment's records is, [`Place::Nowhere`] if there is
/// none any more.
pub(super) fn replay<F: Fn(SegmentId) -> Place>(
    data_dir: &Path,
    find: impl FnOnce() -> io::Result<F>,
) -> io::Result<()> {
    let path = data_dir.join(FILE_NAME);
    remove_file(&path.with_extension("tmp"))?;
    let file = match options().read(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len().min(SIZE)).unwrap_or(0)];
    let size = read_fully(&file, 0, &mut bytes)?;
    let stretches = read(&bytes[..size])?;
    if !stretches.is_empty() {
        let find = find()?;
        for chunk in stretches.chunk_by(|one, next| one.segment == next.segment) {
            let segment = chunk[0].segment;
            match find(segment) {
                Place::At(path) => put_in_place(&path, chunk)?,
                Place::Nowhere => {}
                Place::Unknown(directory) => {
                    let whose = segment.partition;
                    return Err(io::Error::other(format!(
                        "there are synced records of partition {whose}, and {} does not say whose it is: its partition.metadata is missing or cannot be read",
                        directory.display()
                    )));
                }
            }
        }
    }
    remove(data_dir)
}

/// Removes a journal that has nothing to say.
pub(super) fn remove(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join(FILE_NAME);
    if fs::symlink_metadata(&path).is_ok() {
        remove_file(&path)?;
        sync_directory(data_dir)?;
    }
    Ok(())
}

/// Where the records of a segment are.
pub(super) enum Place {
    At(PathBuf),
    /// Its topic was deleted.
    Nowhere,
    /// It may be in this directory, or anywhere.
    Unknown(PathBuf),
}

fn put_in_place(path: &Path, stretches: &[Stretch]) -> io::Result<()> {
    let segment = match options().read(true).write(true).open(path) {
        Ok(segment) => segment,
        // It was deleted: nothing of it is missed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for Stretch { position, bytes, .. } in stretches {
        segment.write_all_at(bytes, u64::from(*position))?;
    }
    sync_file(&segment)
}

/// What counts of a journal, the stretches of each segment together and in their order.
fn read(mut bytes: &[u8]) -> io::Result<Vec<Stretch>> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut first = None;
    let mut count: u64 = 0;
    while let Some((generation, number, payload)) = read_group(bytes) {
        let is_next = number == count && *first.get_or_insert(generation) == generation;
        if !is_next || read_entries(payload, &mut stretches).is_none() {
            break;
        }
        count += 1;
        let size = usize::try_from(aligned(HEADER_SIZE + payload.len())).unwrap_or(usize::MAX);
        bytes = bytes.get(size..).unwrap_or_default();
    }
    // It begins with a generation, and its name comes after that. Each group was on disk before the next was begun: one behind the end says that this is none.
    let is_later = |(generation, number, _): (u64, u64, &[u8])| first == Some(generation) && count <= number;
    let is_whole = |at: &usize| read_group(&bytes[*at..]).is_some_and(is_later);
    if first.is_none() || (0..bytes.len()).step_by(ALIGNMENT as usize).any(|at| is_whole(&at)) {
        return Err(io::Error::other("it is damaged, and without it synced records are lost"));
    }
    // Which is a stable sort.
    stretches.sort_by_key(|it| it.segment);
    Ok(stretches)
}

fn read_group(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (mut header, rest) = bytes.split_at_checked(HEADER_SIZE)?;
    let (magic, checksum) = (header.get_u32(), header.get_u32());
    let (generation, number, size) = (header.get_u64(), header.get_u64(), header.get_u32());
    let payload = rest.get(..usize::try_from(size).ok()?)?;
    let is_whole = magic == MAGIC && checksum == crc32c(&bytes[8..HEADER_SIZE + payload.len()]);
    is_whole.then_some((generation, number, payload))
}

fn read_entries(mut payload: &[u8], stretches: &mut Vec<Stretch>) -> Option<()> {
    while !payload.is_empty() {
        let (mut entry, rest) = payload.split_at_checked(ENTRY_SIZE)?;
        payload = rest;
        let kind = entry.get_u8();
        let topic = TopicId(Uuid::from_u128(entry.get_u128()));
        let partition = TopicPartition { topic, partition: PartitionIndex(entry.get_i32()) };
        let segment = SegmentId { partition, base: Offset::from_wire(entry.get_i64())? };
        match kind {
            BYTES => {}
            FORGET => {
                stretches.retain(|it| it.segment != segment);
                continue;
            }
            _ => return None,
        }
        let (mut place, rest) = payload.split_at_checked(8)?;
        let (position, size) = (place.get_u32(), usize::try_from(place.get_u32()).ok()?);
        let (bytes, rest) = rest.split_at_checked(size)?;
        payload = rest;
        stretches.push(Stretch { segment, position, bytes: bytes.to_vec() });
    }
    Some(())
}
