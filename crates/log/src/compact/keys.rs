//! The newest offset of each key, in bounded memory.

use std::fmt;

use klamm_model::Offset;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

/// What a key is known by: half of its SHA-256. Two keys with the same would lose records, and keys come from clients, so this has to be a hash
/// that nobody finds two of.
type KeyHash = [u8; 16];

/// Bytes that a place of the table takes: hash, offset, and a byte of the table's own.
const PLACE_SIZE: u64 = 16 + 8 + 1;
/// A table with less memory than this holds too little for any batch.
const BYTES_MIN: u64 = 1 << 20;

/// The newest offset of each key in a stretch of the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    newest: FxHashMap<KeyHash, Offset>,
    count_max: usize,
    /// Broken on purpose, for tests: the first offset of a key wins, not the last.
    keeps_older: bool,
    /// Every record below is in it, from where the stretch begins.
    pub through: Offset,
}

impl Keys {
    /// No keys yet, of a stretch that begins at `from`. The table never takes more than `bytes_max`.
    pub(super) fn new(from: Offset, bytes_max: u64, keeps_older: bool) -> Self {
        // The table has a power of two of places, and fills seven of eight.
        let places = 1_u64 << (bytes_max.max(BYTES_MIN) / PLACE_SIZE).ilog2();
        let count_max = usize::try_from(places / 8 * 7).unwrap_or(usize::MAX);
        Self { newest: FxHashMap::default(), count_max, keeps_older, through: from }
    }

    /// Takes note of a record. Tells whether there was room.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = hash(key);
        if let Some(newest) = self.newest.get_mut(&hash) {
            if !self.keeps_older {
                *newest = offset;
            }
            return true;
        }
        let has_room = self.newest.len() < self.count_max;
        if has_room {
            self.newest.insert(hash, offset);
        }
        has_room
    }

    /// Whether a record of this key lies in the stretch above `offset`.
    pub(super) fn has_newer(&self, key: &[u8], offset: Offset) -> bool {
        let newest = self.newest.get(&hash(key));
        newest.is_some_and(|newest| if self.keeps_older { *newest < offset } else { offset < *newest })
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.newest.len()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.count()).field("through", &self.through).finish()
    }
}

fn hash(key: &[u8]) -> KeyHash {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(key)[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_takes_no_new_key_but_newer_offsets_of_those_it_has() {
        let mut keys = Keys::new(Offset::ZERO, 0, false);
        let mut taken = 0_u32;
        while keys.note(&taken.to_be_bytes(), Offset::new(taken.into())) {
            taken += 1;
        }
        assert_eq!(taken, 7 << 12, "seven eighths of 32,768 places of 25 bytes: what fits in a MiB");
        assert!(keys.newest.capacity() <= taken as usize, "the table did not grow beyond");
        assert!(keys.note(&0_u32.to_be_bytes(), Offset::new(1_000_000)));
        assert!(keys.has_newer(&0_u32.to_be_bytes(), Offset::new(999_999)));
        assert!(!keys.has_newer(&0_u32.to_be_bytes(), Offset::new(1_000_000)));
        assert!(!keys.has_newer(&taken.to_be_bytes(), Offset::ZERO), "never taken");
    }
}
