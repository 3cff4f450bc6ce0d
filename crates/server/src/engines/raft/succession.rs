//! How this engine takes over from a lone node's, on the same disk, so that other nodes can join that node: what the one has left becomes the first snapshot of
//! the other.
//!
//! ```text
//!  a lone node's      promised              kept                     begun
//!  log, snapshot  ->  + the file of votes ->  the snapshot is     ->  the log goes on behind
//!  or nothing                                this engine's           that snapshot
//! ```
//! The first step decides, and is the renaming of one file: before it the disk is a lone node's, after it every start goes on with what is missing. Nothing is
//! given up before the new snapshot is on disk, and each step may be done again.
//!
//! The snapshot is at an entry of this Raft behind the lone node's last, which is in no log: it says that the node alone is the quorum. Controllers' epochs go on
//! from the lone node's.

use klamm_log::{DiskError, Files};
use klamm_model::ControllerEpoch;
use klamm_quorum::{
    Snapshot,
    raft_log::{DIRECTORY, Effect, PARTITION, RaftLog},
    snapshot as snapshot_file,
};
use klamm_wire::{Ballot, LogPoint};
use openraft::{Membership, StoredMembership};

use super::{
    Member, RaftError, data_dir,
    snapshot::RaftSnapshot,
    types::{Address, from_point, raft_id},
    vote::{self, Kept},
};

/// What a lone node's engine has left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Left {
    /// The last epoch that its node may have led.
    pub(crate) epoch: ControllerEpoch,
    /// The node's state after all of its entries.
    pub(crate) snapshot: Snapshot,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// From here on the disk is this engine's.
    Promise,
    /// A node that is new has no log to go on from.
    MakeLog,
    /// This engine's snapshot is in the place of the lone node's.
    KeepState,
}

impl Step {
    pub(crate) const ALL: [Self; 3] = [Self::Promise, Self::MakeLog, Self::KeepState];
}

/// Whether this engine has promised to take over, and has not done it yet.
pub(crate) fn is_under_way(files: &Files) -> Result<bool, RaftError> {
    let is_promised = vote::read(&data_dir(files))?.is_some_and(|it| it.alone_until.is_some());
    Ok(is_promised && !has_snapshot(files)?)
}

/// Whether there is a snapshot of this engine's.
fn has_snapshot(files: &Files) -> Result<bool, RaftError> {
    if !has_log(files)? {
        return Ok(false);
    }
    let kept = snapshot_file::read(&files.adopt(PARTITION, DIRECTORY));
    Ok(kept.map_err(super::RaftSnapshotError::from)?.is_some_and(|it| !it.engine.is_empty()))
}

fn has_log(files: &Files) -> Result<bool, RaftError> {
    Ok(files.partitions()?.iter().any(|it| it.directory == DIRECTORY))
}

/// Does one thing after another, each on disk before the next. What was done before is not done again.
pub(crate) fn perform(steps: &[Step], files: &Files, own: &Member, left: &Left) -> Result<(), RaftError> {
    for step in steps {
        match step {
            Step::Promise => promise(files, left)?,
            Step::MakeLog if has_log(files)? => {}
            Step::MakeLog => make_log(files)?,
            Step::KeepState => keep_state(files, own, left)?,
        }
    }
    Ok(())
}

/// Where this Raft begins.
fn beginning(left: &Left) -> LogPoint {
    // No entry of the lone node's is of a newer term: there the epoch has its place.
    LogPoint { term: u64::from(left.epoch.0.unsigned_abs()).max(1), index: left.snapshot.position.next_index }
}

fn promise(files: &Files, left: &Left) -> Result<(), RaftError> {
    let end = left.snapshot.position.next_index;
    if let Some(Kept { alone_until: Some(promised), .. }) = vote::read(&data_dir(files))? {
        return if promised == end { Ok(()) } else { Err(RaftError::Succession { end, promised }) };
    }
    let at = beginning(left);
    let vote = Ballot { term: at.term, ..Ballot::default() };
    let kept = Kept { vote, purged: Some(at), alone_until: Some(end) };
    vote::store(&data_dir(files), &kept).map_err(RaftError::Promise)
}

fn make_log(files: &Files) -> Result<(), RaftError> {
    let mut effects = Vec::new();
    let mut log = RaftLog::create(&mut effects);
    while !effects.is_empty() {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Disk(op) => log.disk_done(op.id, files.perform(&op), &mut effects),
                Effect::TryAgainLater => return Err(DiskError::Full.into()),
                Effect::Fatal(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn keep_state(files: &Files, own: &Member, left: &Left) -> Result<(), RaftError> {
    let Member { id, directory, host, port } = own.clone();
    let alone = Membership::new(
        vec![[raft_id(id)].into()],
        std::collections::BTreeMap::from([(raft_id(id), Address { directory, host, port })]),
    );
    let at = from_point(beginning(left));
    let snapshot = RaftSnapshot {
        applied: Some(at),
        membership: StoredMembership::new(Some(at), alone),
        claims: left.epoch.0,
        last_claim: None,
        next_index: left.snapshot.position.next_index,
        snapshot: left.snapshot.clone(),
    };
    // Nobody may have looked at the log since the start.
    files.adopt(PARTITION, DIRECTORY);
    files.perform(&snapshot_file::keep(&snapshot.to_kept()))?;
    Ok(())
}
