//! Which partition a record goes to: by the hash of its key, or, without a key, wherever its batch fills soonest.

use std::fmt;
use std::sync::Arc;

use crate::metadata::Cluster;
use crate::producer::Record;

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

/// Chooses the partition of records that name none: given the record, the number of partitions and what is known of the cluster. `None`
/// leaves the choice to key and load. It is called under the producer's lock: it must be quick, and must not use the producer.
#[derive(Clone)]
pub struct Partitioner(Arc<Choose>);

type Choose = dyn Fn(&Record<'_>, i32, &Cluster) -> Option<i32> + Send + Sync;

impl Partitioner {
    /// A partitioner of your own.
    pub fn new(choose: impl Fn(&Record<'_>, i32, &Cluster) -> Option<i32> + Send + Sync + 'static) -> Self {
        Self(Arc::new(choose))
    }

    pub(crate) fn choose(&self, record: &Record<'_>, partition_count: i32, cluster: &Cluster) -> Option<i32> {
        (self.0)(record, partition_count, cluster)
    }
}

impl PartialEq for Partitioner {
    /// Whether it is the very same; what two of them do can't be compared.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Partitioner {}

impl fmt::Debug for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Partitioner")
    }
}

/// Draws a partition as Java's clients do since KIP-794: the fewer batches wait in one, the likelier it is. `waiting` gives their number,
/// `None` for partitions without a leader, which are not drawn. `None` if nobody leads anything.
pub(crate) fn draw_idle(
    waiting: impl Iterator<Item = Option<usize>> + Clone,
    random: &mut Random,
) -> Option<usize> {
    let most = waiting.clone().flatten().max()?;
    let weights = waiting.map(|count| count.map_or(0, |count| (most + 1 - count) as u64));
    let drawn = random.below(weights.clone().sum());
    // The first whose share of the line from 0 to the sum reaches beyond what was drawn.
    let mut reach = 0;
    weights.into_iter().position(|weight| {
        reach += weight;
        drawn < reach
    })
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
    fn idle_partitions_are_drawn_the_more_often_the_fewer_batches_wait_in_others() {
        // Weights as KIP-794 counts them: the largest number plus one, less the partition's own.
        for (waiting, weights) in [
            (&[Some(0), Some(3), Some(1)][..], &[4, 1, 3][..]),
            (&[Some(2), Some(2), Some(2)], &[1, 1, 1]),
            (&[Some(0), None, Some(9)], &[10, 0, 1]),
            (&[None, Some(7)], &[0, 1]),
        ] {
            let mut random = Random::new(1);
            let mut drawn = vec![0_u64; waiting.len()];
            for _ in 0..10_000 {
                drawn[draw_idle(waiting.iter().copied(), &mut random).expect("one is led")] += 1;
            }
            let sum: u64 = weights.iter().sum();
            for (drawn, weight) in drawn.iter().zip(weights) {
                assert!(drawn.abs_diff(10_000 * weight / sum) < 300, "{waiting:?}: {drawn} for {weight}");
            }
        }
        assert_eq!(draw_idle([None, None].into_iter(), &mut Random::new(1)), None);
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
