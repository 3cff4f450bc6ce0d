//! The "state machine" of this Raft: entries go to the node's seat as they are applied.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use openraft::{
    AnyError, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StorageIOError,
    StoredMembership, storage::RaftStateMachine,
};

use super::{
    seat::Seat,
    types::{Address, Entry, Types},
};

/// Snapshots are made when the node offers its state, and are in memory only: nothing is purged yet, so nobody needs one.
#[derive(Clone)]
pub(super) struct Machine {
    seat: Rc<RefCell<Seat>>,
    current: Rc<RefCell<Option<Snapshot<Types>>>>,
}

impl Machine {
    pub(super) fn new(seat: Rc<RefCell<Seat>>) -> Self {
        Self { seat, current: Rc::default() }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Address>), StorageError<u64>> {
        let seat = self.seat.borrow();
        Ok((seat.applied, seat.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        Ok(vec![(); self.seat.borrow_mut().apply(entries)])
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Bytes>, StorageError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, Address>,
        snapshot: Box<Bytes>,
    ) -> Result<(), StorageError<u64>> {
        let mut seat = self.seat.borrow_mut();
        let installed = seat.install(meta.last_log_id, meta.last_membership.clone(), (*snapshot).clone());
        installed.ok_or_else(|| {
            let what = AnyError::error("it is no snapshot of ours");
            StorageError::from(StorageIOError::read_snapshot(Some(meta.signature()), what))
        })?;
        *self.current.borrow_mut() = Some(Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(self.current.borrow().clone())
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let seat = self.seat.borrow();
        let data = seat.snapshot().ok_or_else(|| {
            let what = AnyError::error("the node has offered none of what was applied last");
            StorageError::from(StorageIOError::read_snapshot(None, what))
        })?;
        let last = seat.applied.map_or_else(String::new, |it| format!("{}-{}", it.leader_id.term, it.index));
        let meta = SnapshotMeta {
            last_log_id: seat.applied,
            last_membership: seat.membership.clone(),
            snapshot_id: last,
        };
        let snapshot = Snapshot { meta, snapshot: Box::new(data) };
        *self.current.borrow_mut() = Some(snapshot.clone());
        Ok(snapshot)
    }
}
