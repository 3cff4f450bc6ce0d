//! Which partition a record goes to: by the hash of its key, or, without a key, wherever its batch fills soonest.

/// The hash that Kafka's Java client takes of a key, so that both put a key into the same partition.
///
/// It is MurmurHash2 (32 bit) with Kafka's seed; the bytes that do not fill a word are mixed in last.
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let (words, rest) = key.as_chunks::<4>();
    let length = key.len() as u32;
    let mut hash = words
        .iter()
        .fold(SEED ^ length, |hash, word| hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word)));
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a keyed record. Changes when partitions are added, as with every Kafka client.
///
/// # Panics
/// When `partition_count` is not positive: a topic without partitions takes no records.
pub fn partition_of_key(key: &[u8], partition_count: i32) -> i32 {
    assert!(partition_count > 0, "no partition to choose from ({partition_count})");
    let positive = (murmur2(key) & 0x7fff_ffff) as i32;
    positive % partition_count
}

/// A small generator for choices that only have to be spread (partitions, back-off jitter). The seed is an argument,
/// so that a machine which is fed the same events does the same things.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that repeats itself for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the sequence (SplitMix64).
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of a multiplication instead of a rejection loop is far below what spreading needs.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of the Java client (`Utils.murmur2`, 4.4.0), as signed numbers.
    #[test]
    fn hashes_as_the_java_client_does() {
        for (key, hash) in [
            ("", 275_646_681),
            ("21", -973_932_308),
            ("abc", 479_470_107),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key:?}");
        }
    }

    #[test]
    fn a_negative_hash_still_gives_a_partition() {
        assert_eq!(partition_of_key(b"21", 10), (-973_932_308_i32 & 0x7fff_ffff) % 10);
        assert_eq!(partition_of_key(b"anything", 1), 0);
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_everywhere() {
        let mut random = Random::new(7);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
