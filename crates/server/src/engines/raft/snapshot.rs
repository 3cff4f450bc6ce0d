//! A snapshot of this Raft: the node's state, and what is counted here. On the disk and on its way to another node it is the same bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{
    Snapshot,
    snapshot::{self, Kept},
};
use openraft::{LogId, SnapshotMeta, StoredMembership};

use super::types::{Address, EntryError, Types, decode_membership, encode_membership, log_id};

/// No snapshot that another node sends is larger.
pub(super) const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

const VERSION: u8 = 1;

/// The last claim that was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LastClaim {
    pub(super) term: u64,
    pub(super) node: BrokerId,
    pub(super) epoch: ControllerEpoch,
}

/// Everything after an entry of the Raft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RaftSnapshot {
    /// That entry.
    pub(super) applied: Option<LogId<u64>>,
    pub(super) membership: StoredMembership<u64, Address>,
    /// How many claims were applied.
    pub(super) claims: i32,
    pub(super) last_claim: Option<LastClaim>,
    /// Of the seam's next entry. The node's state may be further: the end of the seam's entries that came with one of the Raft's is not there yet then.
    pub(super) next_index: u64,
    pub(super) snapshot: Snapshot,
}

/// Bytes that are none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RaftSnapshotError {
    #[error(transparent)]
    File(#[from] snapshot::SnapshotError),
    #[error("{name} is of a cluster of one node", name = snapshot::FILE_NAME)]
    Solo,
    #[error("{name} has an unknown version {0} of the quorum's part", name = snapshot::FILE_NAME)]
    Version(u8),
    #[error("{name} is damaged: {0}", name = snapshot::FILE_NAME)]
    Damaged(String),
}

impl RaftSnapshot {
    pub(super) fn meta(&self) -> SnapshotMeta<u64, Address> {
        let id = self.applied.map_or_else(String::new, |it| format!("{}-{}", it.leader_id.term, it.index));
        let last_membership = self.membership.clone();
        SnapshotMeta { last_log_id: self.applied, last_membership, snapshot_id: id }
    }

    /// As openraft passes it on.
    pub(super) fn to_openraft(&self) -> openraft::Snapshot<Types> {
        openraft::Snapshot { meta: self.meta(), snapshot: Box::new(self.to_bytes()) }
    }

    pub(super) fn to_kept(&self) -> Kept {
        let mut own = BytesMut::new();
        own.put_u8(VERSION);
        put_point(&mut own, self.applied);
        put_point(&mut own, *self.membership.log_id());
        encode_membership(&mut own, self.membership.membership());
        own.put_i32(self.claims);
        own.put_u8(u8::from(self.last_claim.is_some()));
        if let Some(LastClaim { term, node, epoch }) = self.last_claim {
            own.put_u64(term);
            own.put_i32(node.0);
            own.put_i32(epoch.0);
        }
        own.put_u64(self.next_index);
        Kept { snapshot: self.snapshot.clone(), engine: own.freeze() }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        snapshot::encode(&self.to_kept())
    }

    pub(super) fn from_bytes(bytes: Bytes) -> Result<Self, RaftSnapshotError> {
        Self::from_kept(snapshot::decode(bytes)?)
    }

    pub(crate) fn from_kept(Kept { snapshot, engine: mut own }: Kept) -> Result<Self, RaftSnapshotError> {
        if own.is_empty() {
            return Err(RaftSnapshotError::Solo);
        }
        match own.get_u8() {
            VERSION => {}
            unknown => return Err(RaftSnapshotError::Version(unknown)),
        }
        Self::read(&mut own, snapshot).map_err(|error| RaftSnapshotError::Damaged(error.to_string()))
    }

    fn read(own: &mut Bytes, snapshot: Snapshot) -> Result<Self, EntryError> {
        let applied = get_point(own)?;
        let membership = StoredMembership::new(get_point(own)?, decode_membership(own)?);
        let claims = own.try_get_i32()?;
        let last_claim = match own.try_get_u8()? {
            0 => None,
            _ => Some(LastClaim {
                term: own.try_get_u64()?,
                node: BrokerId(own.try_get_i32()?),
                epoch: ControllerEpoch(own.try_get_i32()?),
            }),
        };
        let next_index = own.try_get_u64()?;
        match own.remaining() {
            0 => Ok(Self { applied, membership, claims, last_claim, next_index, snapshot }),
            left => Err(EntryError::Long(left)),
        }
    }
}

fn put_point(out: &mut BytesMut, point: Option<LogId<u64>>) {
    out.put_u8(u8::from(point.is_some()));
    if let Some(LogId { leader_id, index }) = point {
        out.put_u64(leader_id.term);
        out.put_u64(index);
    }
}

fn get_point(from: &mut Bytes) -> Result<Option<LogId<u64>>, EntryError> {
    Ok(match from.try_get_u8()? {
        0 => None,
        _ => Some(log_id(from.try_get_u64()?, from.try_get_u64()?)),
    })
}

/// Pieces of a snapshot as they come by one connection.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    size: u64,
    bytes: BytesMut,
}

impl Gathered {
    /// One more piece. `None`: it does not fit what came before. Memory is taken for what came, not for what is announced.
    pub(super) fn take(&mut self, size: u64, at: u64, piece: &[u8]) -> Option<()> {
        if at == 0 {
            *self = Self { size, bytes: BytesMut::new() };
        }
        let end = at.checked_add(piece.len() as u64)?;
        if at != self.bytes.len() as u64 || size != self.size || size < end || SNAPSHOT_BYTES_MAX < size {
            *self = Self::default();
            return None;
        }
        self.bytes.extend_from_slice(piece);
        Some(())
    }

    /// All of it, once it is there.
    pub(super) fn whole(&mut self) -> Option<Bytes> {
        (self.bytes.len() as u64 == self.size && 0 < self.size).then(|| std::mem::take(self).bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use klamm_quorum::Position;
    use openraft::Membership;
    use uuid::Uuid;

    use super::*;

    fn snapshot() -> RaftSnapshot {
        let address =
            |id: u64| Address { directory: Uuid::from_u128(id.into()), host: format!("h{id}"), port: 7 };
        let membership = Membership::new(
            vec![[1, 2].into()],
            (1..4).map(|id| (id, address(id))).collect::<std::collections::BTreeMap<_, _>>(),
        );
        RaftSnapshot {
            applied: Some(log_id(4, 77)),
            membership: StoredMembership::new(Some(log_id(1, 0)), membership),
            claims: 5,
            last_claim: Some(LastClaim { term: 4, node: BrokerId(2), epoch: ControllerEpoch(5) }),
            next_index: 70,
            snapshot: Snapshot {
                position: Position {
                    next_index: 71,
                    next_offset: 70,
                    epoch: ControllerEpoch(5),
                    next_sequence: 3,
                },
                state: Bytes::from_static(b"state"),
            },
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_less_is_taken_for_one() {
        let whole = snapshot();
        let bytes = whole.to_bytes();
        assert_eq!(RaftSnapshot::from_bytes(bytes.clone()), Ok(whole.clone()));
        for size in 0..bytes.len() {
            RaftSnapshot::from_bytes(bytes.slice(..size)).expect_err("it is cut off");
        }
        let Kept { snapshot, engine } = whole.to_kept();
        for size in 0..engine.len() {
            let kept = Kept { snapshot: snapshot.clone(), engine: engine.slice(..size) };
            RaftSnapshot::from_kept(kept).expect_err("it is cut off");
        }
        let none = RaftSnapshot { applied: None, last_claim: None, ..whole };
        assert_eq!(RaftSnapshot::from_bytes(none.to_bytes()), Ok(none));
    }

    #[test]
    fn pieces_come_in_order_and_are_begun_anew_at_the_start() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.take(6, 3, b"def"), None, "the beginning is missing");
        gathered.take(6, 0, b"abc").expect("it fits");
        assert_eq!(gathered.whole(), None);
        gathered.take(6, 0, b"abcd").expect("from the start again");
        assert_eq!(gathered.take(6, 3, b"d"), None, "it was there");
        gathered.take(6, 0, b"abcd").expect("from the start again");
        assert_eq!(gathered.take(6, 4, b"efg"), None, "it is more than announced");
        gathered.take(6, 0, b"abcd").expect("from the start again");
        gathered.take(6, 4, b"ef").expect("it fits");
        assert_eq!(gathered.whole(), Some(Bytes::from_static(b"abcdef")));
        assert_eq!(gathered.whole(), None);
        assert_eq!(gathered.take(SNAPSHOT_BYTES_MAX + 1, 0, b"a"), None);
    }
}
