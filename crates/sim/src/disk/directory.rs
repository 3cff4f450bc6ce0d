//! A partition's directory: names that lead to files, as everybody sees them and as they are on the platter.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm_log::{LogDir, PARTITION_METADATA};
use klamm_model::{Offset, TopicPartition};

use super::steps::{Step, metadata};
use crate::dice::Dice;

#[derive(Default)]
pub(super) struct Directory {
    pub(super) log_dir: LogDir,
    pub(super) partition: Option<TopicPartition>,
    /// Its own name is on the platter.
    pub(super) is_durable: bool,
    /// What it is called on the platter, where it was called otherwise since.
    pub(super) durable_name: Option<String>,
    /// It is being deleted; `true`: after a crash too.
    pub(super) leaving: Option<bool>,
    /// The process knows that its own name is on the platter, and those of all segments below an offset.
    pub(super) is_settled: bool,
    pub(super) settled_below: Offset,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// What leads from the ones to the others.
    name_changes: Vec<NameChange>,
    files: BTreeMap<u64, File>,
    next_file: u64,
}

#[derive(Default)]
struct NameChange {
    gone: Option<String>,
    new: Option<(String, u64)>,
}

#[derive(Default)]
struct File {
    /// As whoever reads it sees it.
    content: Vec<u8>,
    /// As it is on the platter.
    durable: Vec<u8>,
    /// What leads from the one to the other.
    changes: Vec<Change>,
}

struct Change {
    number: u64,
    what: Edit,
}

enum Edit {
    Cut(usize),
    Write { position: usize, bytes: Bytes },
}

impl File {
    fn change(&mut self, number: u64, what: Edit) {
        apply(&mut self.content, &what);
        self.changes.push(Change { number, what });
    }

    /// Brings the changes before `number` to the platter.
    fn sync(&mut self, number: u64) {
        let rest = self.changes.partition_point(|change| change.number < number);
        for change in self.changes.drain(..rest) {
            apply(&mut self.durable, &change.what);
        }
    }

    /// What the system failed to bring to the platter it forgets about: a later sync succeeds without it (fsyncgate).
    fn forget(&mut self, number: u64, dice: &mut Dice) {
        let rest = self.changes.partition_point(|change| change.number < number);
        for change in self.changes.drain(..rest) {
            if dice.chance(50) {
                apply(&mut self.durable, &change.what);
            }
        }
    }

    /// The power goes: of what is only in the page cache, anything may be there.
    fn lose(&mut self, keeps_some: bool, dice: &mut Dice) {
        for change in std::mem::take(&mut self.changes).iter().filter(|_| keeps_some) {
            match (dice.below(3), &change.what) {
                (0, _) => {}
                (1, Edit::Write { position, bytes }) => {
                    let bytes = bytes.slice(..dice.index(bytes.len() + 1));
                    apply(&mut self.durable, &Edit::Write { position: *position, bytes });
                }
                (_, edit) => apply(&mut self.durable, edit),
            }
        }
        self.content.clone_from(&self.durable);
    }
}

fn apply(content: &mut Vec<u8>, edit: &Edit) {
    match edit {
        Edit::Cut(size) => content.truncate(*size),
        Edit::Write { position, bytes } => {
            let end = position + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*position..end].copy_from_slice(bytes);
        }
    }
}

impl Directory {
    /// A step within it; `number` is this change's, `changes_before` tells what existed when the operation began.
    pub(super) fn step(&mut self, step: Step, number: u64, changes_before: u64) {
        match step {
            Step::Create(name) => match self.names.get(&name) {
                Some(file) => self.file_mut(*file).change(number, Edit::Cut(0)),
                None => {
                    self.next_file += 1;
                    self.files.insert(self.next_file, File::default());
                    self.rename(NameChange { gone: None, new: Some((name, self.next_file)) });
                }
            },
            Step::Write { name, position, bytes } => {
                if !self.names.contains_key(&name) {
                    self.step(Step::Create(name.clone()), number, changes_before);
                }
                self.file_mut(self.names[&name]).change(number, Edit::Write { position, bytes });
            }
            Step::Cut { name, size } => {
                if let Some(file) = self.names.get(&name) {
                    self.file_mut(*file).change(number, Edit::Cut(size));
                }
            }
            Step::Sync { name, is_late } => {
                let before = if is_late { u64::MAX } else { changes_before };
                if let Some(file) = self.names.get(&name) {
                    self.file_mut(*file).sync(before);
                }
            }
            Step::Rename { from, to } => {
                if let Some(file) = self.names.get(&from).copied() {
                    self.rename(NameChange { gone: Some(from), new: Some((to, file)) });
                }
            }
            Step::Remove(name) => {
                if self.names.contains_key(&name) {
                    self.rename(NameChange { gone: Some(name), new: None });
                }
            }
            Step::RemoveCleaned => {
                let cleaned = |name: &&String| name.ends_with(klamm_log::compact::CLEANED);
                for name in self.names.keys().filter(cleaned).cloned().collect::<Vec<_>>() {
                    self.rename(NameChange { gone: Some(name), new: None });
                }
            }
            Step::SyncDirectory => self.settle_names(),
            Step::SyncParent => {
                (self.is_durable, self.durable_name) = (true, None);
                self.leaving = self.leaving.map(|_| true);
            }
            Step::Leave => self.leaving = Some(false),
            Step::Enter(_) | Step::MakeDirectory | Step::Adopt | Step::Call(_) | Step::RemoveDirectory => {
                unreachable!("a step of the disk")
            }
        }
    }

    fn file_mut(&mut self, file: u64) -> &mut File {
        self.files.get_mut(&file).expect("a name leads to a file")
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn settle_names(&mut self) {
        self.durable_names.clone_from(&self.names);
        self.name_changes.clear();
        self.drop_nameless();
    }

    fn drop_nameless(&mut self) {
        let named = |file: &u64| {
            self.names.values().any(|it| it == file) || self.durable_names.values().any(|it| it == file)
        };
        let nameless: Vec<u64> = self.files.keys().filter(|file| !named(file)).copied().collect();
        nameless.iter().for_each(|file| drop(self.files.remove(file)));
    }

    /// A sync of this file failed.
    pub(super) fn forget(&mut self, name: &str, number: u64, dice: &mut Dice) {
        if let Some(file) = self.names.get(name) {
            self.file_mut(*file).forget(number, dice);
        }
    }

    /// The power goes.
    pub(super) fn lose(&mut self, keeps_some: bool, dice: &mut Dice) {
        for change in std::mem::take(&mut self.name_changes) {
            if keeps_some && dice.chance(50) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.drop_nameless();
        self.files.values_mut().for_each(|file| file.lose(keeps_some, dice));
    }

    /// The process ends, and what it knew with it.
    pub(super) fn unsettle(&mut self) {
        (self.is_settled, self.settled_below) = (false, Offset::ZERO);
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|file| &self.files[file].content[..])
    }

    /// As it is on the platter.
    pub(super) fn durable_bytes(&self, name: &str) -> Option<&[u8]> {
        self.durable_names.get(name).map(|file| &self.files[file].durable[..])
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&String, &[u8])> {
        self.names.iter().map(|(name, file)| (name, &self.files[file].content[..]))
    }

    pub(super) fn size(&self) -> u64 {
        self.names().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Something changes a file behind everybody's back; it is on the platter at once.
    pub(super) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.names.get(name) {
            let file = self.file_mut(*file);
            file.sync(u64::MAX);
            edit(&mut file.content);
            file.durable.clone_from(&file.content);
        }
    }

    /// Somebody removes a file.
    pub(super) fn remove(&mut self, name: &str) {
        self.names.remove(name);
        self.settle_names();
    }

    /// Somebody writes a file; it is on the platter at once.
    pub(super) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.step(Step::Create(name.to_owned()), 0, 0);
        self.edit(name, |it| *it = bytes);
        self.settle_names();
    }

    /// Whether it has records, in a segment or in what was about to become one.
    pub(super) fn has_records(&self) -> bool {
        let is_log = |name: &str| name.ends_with(".log") || name.ends_with(".log.swap");
        self.names().any(|(name, bytes)| is_log(name) && !bytes.is_empty())
    }

    pub(super) fn is_whose(&self, partition: TopicPartition) -> bool {
        self.bytes(PARTITION_METADATA) == Some(&metadata(partition.topic)[..])
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, file)) = &self.new {
            names.insert(name.clone(), *file);
        }
    }
}
