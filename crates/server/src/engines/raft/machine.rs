//! The "state machine" of this Raft: entries go to the node's seat as they are applied, and snapshots from there to the disk and back.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use openraft::{
    AnyError, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StorageIOError,
    StoredMembership, storage::RaftStateMachine,
};

use super::{
    seat::Seat,
    snapshot::RaftSnapshot,
    store::Store,
    types::{Address, Entry, Types},
};

/// A snapshot is made when the node has offered its state, and counts once it is on disk. The newest is in memory, for nodes that are behind.
#[derive(Clone)]
pub(super) struct Machine {
    seat: Rc<RefCell<Seat>>,
    store: Store,
    current: Rc<RefCell<Option<Snapshot<Types>>>>,
}

impl Machine {
    /// With the snapshot that was on the disk.
    pub(super) fn new(seat: Rc<RefCell<Seat>>, store: Store, found: Option<RaftSnapshot>) -> Self {
        let current = Rc::new(RefCell::new(found.as_ref().map(RaftSnapshot::to_openraft)));
        if let Some(found) = found {
            seat.borrow_mut().install(found);
        }
        Self { seat, store, current }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Address>), StorageError<u64>> {
        let seat = self.seat.borrow();
        Ok((seat.applied(), seat.membership()))
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
        let failed =
            |error| StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), error));
        let read = RaftSnapshot::from_bytes((*snapshot).clone());
        let read = read.map_err(|error| failed(AnyError::new(&error)))?;
        // On disk before anything rests on it; there is no going on without, so a full disk is waited for.
        self.store.keep_snapshot(&read, true).await.map_err(failed)?;
        self.seat.borrow_mut().install(read);
        *self.current.borrow_mut() = Some(Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(self.current.borrow().clone())
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let failed = |error| StorageError::from(StorageIOError::write_snapshot(None, error));
        let made = self.seat.borrow_mut().snapshot();
        let made = made.ok_or_else(|| failed(AnyError::error("the node has offered none")))?;
        let before = self.current.borrow().clone();
        let is_kept = self.store.keep_snapshot(&made, before.is_none()).await.map_err(failed)?;
        match before {
            // There was no room for it: what there was counts on.
            Some(before) if !is_kept => Ok(before),
            _ => {
                let snapshot = made.to_openraft();
                *self.current.borrow_mut() = Some(snapshot.clone());
                Ok(snapshot)
            }
        }
    }
}
