//! The file with a node's newest snapshot, beside the segments of its metadata log.
//!
//! ```text
//!  "KLMS" | version u8 | crc32c u32 of what follows
//!  next_index u64 | next_offset u64 | epoch i32 | next_sequence u64 | size u32 and bytes of the engine's own | the node's state
//! ```
//! It is replaced as a whole ([`DiskAction::WriteCheckpoint`]), and only then entries before it are given up. So there always is one that is whole and from
//! which the log goes on; a file that is damaged, or an old copy, is met with a refusal to start, never read as less than it was.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use klamm_log::{DiskAction, DiskOp, LogFiles, OpId};
use klamm_model::{ControllerEpoch, crc32c};
use thiserror::Error;

use crate::stored::PARTITION;
use crate::{Position, Snapshot};

/// Its name.
pub const FILE_NAME: &str = "metadata-snapshot";

/// The number of the operation that writes it. The log's own count up from 0.
pub const KEEP: OpId = OpId(u64::MAX);

const MAGIC: &[u8; 4] = b"KLMS";
const VERSION: u8 = 1;

/// A snapshot, and what the engine has to know to go on from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What the node offered.
    pub snapshot: Snapshot,
    /// Empty for a cluster of one.
    pub engine: Bytes,
}

/// The file cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("{FILE_NAME} cannot be read: {0}")]
    Io(String),
    /// It is not what was written.
    #[error(
        "{FILE_NAME} is damaged: {0}; bring it back from a copy of the same moment as the log, or start as a new node"
    )]
    Damaged(&'static str),
    /// A newer version of this program wrote it.
    #[error("{FILE_NAME} has the unknown version {0}: a newer version of this program has written it")]
    Version(u8),
}

/// The operation that keeps it.
pub fn keep(kept: &Kept) -> DiskOp {
    let action = DiskAction::WriteCheckpoint { name: FILE_NAME, contents: encode(kept) };
    DiskOp { partition: PARTITION, id: KEEP, action }
}

/// As the file has it.
pub fn encode(Kept { snapshot: Snapshot { position, state }, engine }: &Kept) -> Bytes {
    let mut body = BytesMut::with_capacity(state.len() + engine.len() + 64);
    body.put_u64(position.next_index);
    body.put_u64(position.next_offset);
    body.put_i32(position.epoch.0);
    body.put_u64(position.next_sequence);
    body.put_u32(u32::try_from(engine.len()).expect("engines keep little"));
    body.put_slice(engine);
    body.put_slice(state);
    let mut whole = BytesMut::with_capacity(body.len() + 9);
    whole.put_slice(MAGIC);
    whole.put_u8(VERSION);
    whole.put_u32(crc32c(&body));
    whole.put_slice(&body);
    whole.freeze()
}

/// All of it, or an error.
pub fn decode(mut from: Bytes) -> Result<Kept, SnapshotError> {
    let short = |_| SnapshotError::Damaged("it ends too early");
    let magic = from.try_get_u32().map_err(short)?;
    if magic.to_be_bytes() != *MAGIC {
        return Err(SnapshotError::Damaged("it begins as no snapshot does"));
    }
    let version = from.try_get_u8().map_err(short)?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let checksum = from.try_get_u32().map_err(short)?;
    if crc32c(&from) != checksum {
        return Err(SnapshotError::Damaged("its checksum is another"));
    }
    let position = Position {
        next_index: from.try_get_u64().map_err(short)?,
        next_offset: from.try_get_u64().map_err(short)?,
        epoch: ControllerEpoch(from.try_get_i32().map_err(short)?),
        next_sequence: from.try_get_u64().map_err(short)?,
    };
    let size = from.try_get_u32().map_err(short)? as usize;
    if from.remaining() < size {
        return Err(SnapshotError::Damaged("it ends too early"));
    }
    let engine = from.split_to(size);
    Ok(Kept { snapshot: Snapshot { position, state: from }, engine })
}

/// The one in the directory of the metadata log, if there is any.
pub fn read(files: &dyn LogFiles) -> Result<Option<Kept>, SnapshotError> {
    let failed = |error: io::Error| SnapshotError::Io(error.to_string());
    let listed = files.list().map_err(failed)?;
    let Some((_, size)) = listed.into_iter().find(|(name, _)| name == FILE_NAME) else { return Ok(None) };
    let mut bytes = BytesMut::zeroed(usize::try_from(size).expect("a file that fits in memory"));
    let mut count = 0;
    while count < bytes.len() {
        match files.read_at(FILE_NAME, count as u64, &mut bytes[count..]).map_err(failed)? {
            0 => break,
            more => count += more,
        }
    }
    bytes.truncate(count);
    decode(bytes.freeze()).map(Some)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn kept() -> Kept {
        let position =
            Position { next_index: 300, next_offset: 299, epoch: ControllerEpoch(7), next_sequence: 2 };
        let snapshot = Snapshot { position, state: Bytes::from_static(b"state") };
        Kept { snapshot, engine: Bytes::from_static(b"own") }
    }

    #[test]
    fn the_file_is_what_it_is() {
        let bytes = encode(&kept());
        expect![[r#"b"KLMS\x01\x9a\x97\x87^\0\0\0\0\0\0\x01,\0\0\0\0\0\0\x01+\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\x03ownstate""#]]
            .assert_eq(&format!("{bytes:?}"));
        assert_eq!(decode(bytes), Ok(kept()));
    }

    #[test]
    fn nothing_less_and_nothing_else_is_taken_for_one() {
        let bytes = encode(&kept());
        for size in 0..bytes.len() {
            decode(bytes.slice(..size)).expect_err("it is cut off");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 4;
            decode(other.into()).expect_err("a bit is another");
        }
        let mut newer = bytes.to_vec();
        newer[4] = 2;
        assert_eq!(decode(newer.into()), Err(SnapshotError::Version(2)));
    }
}
