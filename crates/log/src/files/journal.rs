//! What was written to many segments of a data directory, once more, in one file that one sync brings to disk.
//!
//! A sync costs the system and the disk the same however little it brings: with a few hundred bytes in each of 50 logs, their own syncs are nearly all of the work.
//! Here the bytes that a log has since its last sync are copied behind those of the others, and the journal is synced for all. The segments themselves follow when
//! the journal is full, or something is about to happen to them that cannot be said by bytes at a place.
//!
//! ```text
//!   |reset 7|group 7.1: a at 200, b at 90|group 7.2: a at 350, forget b|group 6.3 …
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
//! - A generation is over only when all of its segments are on disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut};
use klamm_model::{Offset, PartitionIndex, TopicId, TopicPartition, crc32c};
use uuid::Uuid;

use super::{SegmentId, Space, options, read_fully, remove_file, sync_directory, sync_file};

const FILE_NAME: &str = "journal";
/// When it is full, its segments are synced one by one: with 50 of them that is some hundredth of the work that it saves.
const SIZE: u64 = 16 << 20;
/// It is written in pieces of this size first.
const ZEROS_SIZE: usize = 64 << 10;
/// No larger part of the free room is taken.
const FREE_SHARE: u64 = 64;
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
}

/// An open journal.
struct Written {
    file: File,
    size: u64,
    generation: u64,
    /// The next group's.
    number: u64,
    position: u64,
    /// Segments of which it has something that they may not have on disk.
    covered: BTreeSet<SegmentId>,
}

impl Journal {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(FILE_NAME),
            sync_count: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            inside: Mutex::new(None),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// A segment was synced by itself. Where many are, a journal is made if there is room for it.
    pub(super) fn note_sync(&self, space: impl FnOnce() -> io::Result<Space>) {
        if self.is_open() || self.sync_count.fetch_add(1, Ordering::Relaxed) + 1 != SYNCS_BEFORE {
            return;
        }
        let has_room = space().is_ok_and(|space| SIZE <= space.free_bytes / FREE_SHARE);
        if !has_room || self.make(SIZE).is_err() {
            // Without it everything goes on as before. After as many again there may be room.
            self.sync_count.store(0, Ordering::Relaxed);
        }
    }

    /// All of it is there before it is used: a sync has nothing to say of its size or its place then.
    pub(super) fn make(&self, size: u64) -> io::Result<()> {
        let mut inside = self.lock();
        let file = options().read(true).write(true).create(true).truncate(true).open(&self.path)?;
        let zeros = vec![0; ZEROS_SIZE];
        for position in (0..size).step_by(ZEROS_SIZE) {
            if let Err(error) = file.write_all_at(&zeros, position) {
                let _ = remove_file(&self.path);
                return Err(error);
            }
        }
        file.sync_all()?;
        sync_directory(self.path.parent().unwrap_or(Path::new("/")))?;
        *inside =
            Some(Written { file, size, generation: 1, number: 0, position: 0, covered: BTreeSet::new() });
        self.is_open.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings these to disk. `sync` does so for a segment by itself. `false`: there is no journal, or they are too many for it.
    pub(super) fn append(
        &self,
        stretches: &[Stretch],
        sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut inside = self.lock();
        let Some(written) = inside.as_mut() else { return Ok(false) };
        let size: usize = stretches.iter().map(|it| ENTRY_SIZE + 8 + it.bytes.len()).sum();
        if written.size < ALIGNMENT + aligned(HEADER_SIZE + size) {
            return Ok(false);
        }
        if !written.has_room_for(size) {
            written.begin_anew(sync)?;
        }
        written.covered.extend(stretches.iter().map(|it| it.segment));
        written.write(|group| stretches.iter().for_each(|it| it.put(group)), size)?;
        Ok(true)
    }

    /// Something is about to happen to these segments.
    pub(super) fn forget(
        &self,
        is_meant: impl Fn(&SegmentId) -> bool,
        sync: impl FnMut(SegmentId) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut inside = self.lock();
        let Some(written) = inside.as_mut() else { return Ok(()) };
        let meant: Vec<SegmentId> = written.covered.iter().copied().filter(is_meant).collect();
        if meant.is_empty() {
            return Ok(());
        }
        let size = meant.len() * ENTRY_SIZE;
        if !written.has_room_for(size) {
            return written.begin_anew(sync);
        }
        meant.iter().copied().try_for_each(sync)?;
        written.write(|group| meant.iter().for_each(|segment| put_entry(group, FORGET, *segment)), size)?;
        written.covered.retain(|segment| !meant.contains(segment));
        Ok(())
    }

    /// Nothing more comes: what it has is brought to its place, and it goes.
    pub(super) fn close(&self, sync: impl FnMut(SegmentId) -> io::Result<()>) -> io::Result<()> {
        let mut inside = self.lock();
        let Some(written) = inside.as_mut() else { return Ok(()) };
        written.begin_anew(sync)?;
        self.is_open.store(false, Ordering::Release);
        *inside = None;
        remove_file(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Written>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn has_room_for(&self, size: usize) -> bool {
        self.position + aligned(HEADER_SIZE + size) <= self.size
    }

    /// The segments are brought to disk, and what was written here counts no more.
    fn begin_anew(&mut self, sync: impl FnMut(SegmentId) -> io::Result<()>) -> io::Result<()> {
        self.covered.iter().copied().try_for_each(sync)?;
        (self.generation, self.number, self.position) = (self.generation + 1, 0, 0);
        self.write(|_| {}, 0)?;
        self.covered.clear();
        Ok(())
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
        self.file.write_all_at(&group, self.position)?;
        sync_file(&self.file)?;
        self.number += 1;
        self.position += aligned(group.len());
        Ok(())
    }
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

/// Puts everything that a journal has in its place, and removes it. `find` gives the file of a segment's records, `None` if there is none any more.
pub(super) fn replay<F: Fn(SegmentId) -> Option<PathBuf>>(
    data_dir: &Path,
    find: impl FnOnce() -> io::Result<F>,
) -> io::Result<()> {
    let path = data_dir.join(FILE_NAME);
    let file = match options().read(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len().min(SIZE)).unwrap_or(0)];
    let size = read_fully(&file, 0, &mut bytes)?;
    let stretches = read(&bytes[..size]);
    if !stretches.is_empty() {
        let find = find()?;
        for chunk in stretches.chunk_by(|one, next| one.segment == next.segment) {
            put_in_place(find(chunk[0].segment), chunk)?;
        }
    }
    remove_file(&path)?;
    sync_directory(data_dir)
}

fn put_in_place(path: Option<PathBuf>, stretches: &[Stretch]) -> io::Result<()> {
    let opened = path.map(|path| options().read(true).write(true).open(path));
    let segment = match opened {
        Some(Ok(segment)) => segment,
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Its topic was deleted, or it was: then nothing of it is missed.
        _ => return Ok(()),
    };
    for Stretch { position, bytes, .. } in stretches {
        segment.write_all_at(bytes, u64::from(*position))?;
    }
    sync_file(&segment)
}

/// What counts of a journal, the stretches of each segment together and in their order.
fn read(mut bytes: &[u8]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut before = None;
    while let Some((generation, number, payload)) = read_group(bytes) {
        let is_next = match before {
            None => number == 0,
            Some((of, at)) => generation == of && number == at + 1,
        };
        if !is_next || read_entries(payload, &mut stretches).is_none() {
            break;
        }
        before = Some((generation, number));
        let size = usize::try_from(aligned(HEADER_SIZE + payload.len())).unwrap_or(usize::MAX);
        bytes = bytes.get(size..).unwrap_or_default();
    }
    // Which is a stable sort.
    stretches.sort_by_key(|it| it.segment);
    stretches
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
        if kind == FORGET {
            stretches.retain(|it| it.segment != segment);
            continue;
        }
        let (mut place, rest) = payload.split_at_checked(8)?;
        let (position, size) = (place.get_u32(), usize::try_from(place.get_u32()).ok()?);
        let (bytes, rest) = rest.split_at_checked(size)?;
        payload = rest;
        stretches.push(Stretch { segment, position, bytes: bytes.to_vec() });
    }
    Some(())
}
