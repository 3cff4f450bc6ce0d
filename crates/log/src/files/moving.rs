//! The files of a partition on its way to another data directory; see [`crate::moving`] for the order of things.
//!
//! ```text
//!   one/topic-0   two/topic-0.ID-future                        while it is copied: a start removes the copy
//!   one/topic-0   two/topic-0.ID-future/whole-copy             the copy is whole: from here on a start goes on
//!   one/topic-0   two/topic-0/whole-copy                       both are alike, and nothing has been written to either
//!                 two/topic-0
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_model::{TopicId, TopicPartition};

use super::{
    DELETED, DataDir, Directory, FILE_NAME_BYTES_MAX, FUTURE, Files, FilesError, TEMPORARY, failed,
    is_marked_name, is_want, marked_name, options, patiently, private_directory, read_fully, read_metadata,
    remove_file, sync_directory, unsynced, write_file, write_lock,
};
use crate::compact;
use crate::disk::{DiskError, FileKind, LogDir, Move, MoveStep, PARTITION_METADATA, RETIRED, SegmentId};

/// In a copy that is whole: what its directory is to be called.
pub(super) const WHOLE: &str = "whole-copy";
/// Bytes that are copied at once.
const PIECE_SIZE: usize = 256 << 10;

impl Files {
    pub(super) fn move_step(&self, partition: TopicPartition, it: &Move) -> Result<(), DiskError> {
        let directory = self.partition(partition).map_err(failed("find", partition))?;
        let copy = self.copy_path(it.to, partition, &directory);
        match &it.step {
            MoveStep::Clear => remove_directory(&copy).map_err(failed("remove", copy)),
            MoveStep::Copy { segment, size } => {
                let base = segment.id.base;
                let copied = private_directory(false).create(&copy).or_else(fine_if_there).and_then(|()| {
                    for kind in [FileKind::Index, FileKind::TimeIndex, FileKind::Aborted] {
                        self.copy_file(&directory.path, &copy, &kind.file_name(base), u64::MAX)
                            .or_else(fine_if_missing)?;
                    }
                    self.copy_file(&directory.path, &copy, &FileKind::Log.file_name(base), (*size).into())
                });
                copied.map_err(failed("copy", segment.id))
            }
            MoveStep::Finish { copied } => {
                self.finish_copy(it.to, &directory, &copy, copied).map_err(failed("copy", partition))
            }
            MoveStep::Switch => self.switch(it.to, partition, &directory, &copy),
        }
    }

    fn copy_path(&self, to: LogDir, partition: TopicPartition, directory: &Directory) -> PathBuf {
        self.data_dir(to).path.join(marked_name(directory.name(), partition.topic, FUTURE))
    }

    /// A partition that is deleted needs no copies.
    pub(super) fn clear_copies(&self, partition: TopicPartition, directory: &Directory) {
        for number in 0..self.data_dirs.len() {
            // What cannot be removed goes at the next start.
            let _ = remove_directory(&self.copy_path(LogDir(number as u16), partition, directory));
        }
    }

    /// Copies a file, at most so much of it, and brings it to disk.
    fn copy_file(&self, from: &Path, to: &Path, name: &str, size_max: u64) -> io::Result<()> {
        let from = patiently(|| options().read(true).open(from.join(name)))?;
        let to = patiently(|| options().write(true).create(true).truncate(true).open(to.join(name)))?;
        let mut piece = vec![0; PIECE_SIZE];
        let mut position = 0;
        loop {
            // Whoever stops does not wait until gigabytes were copied.
            if self.is_stopping.load(Ordering::Relaxed) {
                return Err(io::Error::other("the broker stops"));
            }
            let wanted = usize::try_from(size_max - position).unwrap_or(PIECE_SIZE).min(PIECE_SIZE);
            let size = read_fully(&from, position, &mut piece[..wanted])?;
            to.write_all_at(&piece[..size], position)?;
            position += size as u64;
            if size < PIECE_SIZE {
                break;
            }
        }
        if size_max != u64::MAX && position < size_max {
            return Err(io::Error::other(format!("{name} has {position} bytes, not {size_max}")));
        }
        to.sync_all().map_err(unsynced)
    }

    /// Makes the copy what the directory is; nothing is written there meanwhile.
    fn finish_copy(&self, to: LogDir, from: &Directory, copy: &Path, copied: &[SegmentId]) -> io::Result<()> {
        private_directory(false).create(copy).or_else(fine_if_there)?;
        if fs::symlink_metadata(self.data_dir(to).path.join(from.name())).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has its place"));
        }
        let of_copied = |segment: &SegmentId| {
            [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::Aborted]
                .map(|kind| kind.file_name(segment.base))
        };
        let mut kept: Vec<String> = copied.iter().flat_map(of_copied).collect();
        kept.sort_unstable();
        let copied_count = kept.len();
        let is_left_out = |name: &str| {
            name == WHOLE
                || [RETIRED, TEMPORARY, compact::CLEANED].iter().any(|ending| name.ends_with(ending))
        };
        for entry in fs::read_dir(&from.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.file_type()?.is_file() || is_left_out(&name) {
                continue;
            }
            if kept[..copied_count].binary_search(&name).is_err() {
                self.copy_file(&from.path, copy, &name, u64::MAX)?;
                kept.push(name);
            }
        }
        // Segments that left the log since they were copied.
        for entry in fs::read_dir(copy)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| kept.iter().any(|it| it == name)) {
                remove_file(&entry.path())?;
            }
        }
        sync_directory(copy)?;
        sync_directory(&self.data_dir(to).path)
    }

    /// As long as this has not begun, a start removes the copy, and the log may go on without it. It has not if this ends with [`DiskError::Full`].
    fn switch(
        &self,
        to: LogDir,
        partition: TopicPartition,
        from: &Arc<Directory>,
        copy: &Path,
    ) -> Result<(), DiskError> {
        let data_dir = &self.data_dir(to).path;
        let place = data_dir.join(from.name());
        write_file(&copy.join(WHOLE), from.name().as_bytes(), true).map_err(failed("mark", copy))?;
        // If one of these fails, it is nothing to be tried again here: the next start finds both, and knows which of them goes.
        let unfinished = |error: io::Error| match failed("move", &from.path)(error) {
            DiskError::Full => DiskError::Io(format!("move {:?}: no room, or no file descriptor", from.path)),
            error => error,
        };
        sync_directory(copy).and_then(|()| become_partition(copy, &place, data_dir)).map_err(unfinished)?;
        // From here on whoever reads finds the copy.
        write_lock(&self.partitions).insert(partition, Directory::new(to, place.clone()));
        self.open.forget_partition(partition);
        let old = self.data_dir(from.log_dir);
        let gone =
            leave_place(&from.path, &old.path, partition.topic).map_err(|error| match unfinished(error) {
                // That is told of the other disk.
                DiskError::Unsynced(problem) => {
                    old.lose();
                    DiskError::Io(problem)
                }
                error => error,
            })?;
        forget_move(&place).map_err(unfinished)?;
        // It is deleted: what cannot be removed now goes at the next start.
        let _ = fs::remove_dir_all(gone);
        Ok(())
    }
}

/// Goes on with the moves that a crash interrupted, and removes copies that are not whole.
pub(super) fn finish_moves(data_dirs: &[DataDir]) -> Result<(), FilesError> {
    for data_dir in data_dirs {
        let path = &data_dir.path;
        let failed = |source| FilesError::Io { operation: "finish moves to", path: path.clone(), source };
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (Ok(name), true) =
                (entry.file_name().into_string(), entry.file_type().map_err(failed)?.is_dir())
            else {
                continue;
            };
            let is_copy = is_marked_name(&name, FUTURE);
            let place = match place_of(&entry.path()) {
                // A bad sector under one directory is no reason to do without the others.
                Err(error) if !is_copy && !is_want(&error) => None,
                read => read.map_err(failed)?,
            };
            match place {
                Some(place) if is_copy || place == name => {
                    finish_move(data_dirs, path, &entry.path(), &place).map_err(failed)?;
                }
                None if is_copy => fs::remove_dir_all(entry.path()).map_err(failed)?,
                // Somebody's own.
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

/// What the directory of a whole copy is to be called.
fn place_of(copy: &Path) -> io::Result<Option<String>> {
    let file = match options().read(true).open(copy.join(WHOLE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut name = [0; FILE_NAME_BYTES_MAX];
    let size = read_fully(&file, 0, &mut name)?;
    Ok(std::str::from_utf8(&name[..size]).ok().map(str::to_owned))
}

/// The copy is whole: it takes its place, and what it was copied from goes.
fn finish_move(data_dirs: &[DataDir], data_dir: &Path, copy: &Path, name: &str) -> io::Result<()> {
    let is_name = matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    let topic = read_metadata(&copy.join(PARTITION_METADATA))?;
    let (true, Some(topic)) = (is_name, topic) else {
        return Err(io::Error::other(format!("{}: it does not say whose copy it is", copy.display())));
    };
    let place = data_dir.join(name);
    become_partition(copy, &place, data_dir)?;
    for other in data_dirs.iter().filter(|other| other.path != data_dir) {
        let original = other.path.join(name);
        if read_metadata(&original.join(PARTITION_METADATA)).is_ok_and(|it| it == Some(topic)) {
            let gone = leave_place(&original, &other.path, topic)?;
            fs::remove_dir_all(gone)?;
        }
    }
    forget_move(&place)
}

fn become_partition(copy: &Path, place: &Path, data_dir: &Path) -> io::Result<()> {
    if copy != place {
        fs::rename(copy, place)?;
    }
    sync_directory(data_dir)
}

/// The original gets a name that no start takes for a partition.
fn leave_place(original: &Path, data_dir: &Path, topic: TopicId) -> io::Result<PathBuf> {
    let name = original.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let gone = data_dir.join(marked_name(name, topic, DELETED));
    fs::rename(original, &gone).or_else(fine_if_missing)?;
    sync_directory(data_dir)?;
    Ok(gone)
}

/// A mark that came back after a crash would make a later move's original count as the newer one.
fn forget_move(place: &Path) -> io::Result<()> {
    remove_file(&place.join(WHOLE))?;
    sync_directory(place)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(fine_if_missing)
}

fn fine_if_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn fine_if_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}
