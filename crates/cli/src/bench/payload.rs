//! Records to measure with.

use klamm_client::Random;

use crate::args::Payload;

const WORDS: [&str; 32] = [
    "castle ",
    "village ",
    "snow ",
    "bridge ",
    "landlord ",
    "teacher ",
    "surveyor ",
    "secretary ",
    "letter ",
    "messenger ",
    "barnabas ",
    "frieda ",
    "assistant ",
    "gate ",
    "road ",
    "evening ",
    "window ",
    "office ",
    "file ",
    "count ",
    "permit ",
    "door ",
    "night ",
    "inn ",
    "beer ",
    "peasant ",
    "sledge ",
    "coach ",
    "lamp ",
    "telephone ",
    "silence ",
    "morning ",
];

/// Values are pieces of so many bytes that are made once: what is to be measured is not how fast they are made. No codec looks back that far.
const BLOCK_BYTES: usize = 4 << 20;

/// Gives one record after the other, the same ones for the same seed.
pub(super) struct Payloads {
    random: Random,
    kind: Payload,
    key_count: u64,
    key: Vec<u8>,
    record_size: usize,
    block: Vec<u8>,
    /// Where the next value begins.
    at: usize,
}

impl Payloads {
    pub(super) fn new(seed: u64, kind: Payload, record_size: usize, key_count: u64) -> Self {
        let (key, block) = (Vec::new(), Vec::new());
        Self { random: Random::new(seed), kind, key_count, key, record_size, block, at: 0 }
    }

    /// The next record's key and value.
    pub(super) fn next(&mut self) -> (Option<&[u8]>, &mut [u8]) {
        if BLOCK_BYTES.max(self.record_size) < self.at + self.record_size {
            self.at = 0;
        }
        let end = self.at + self.record_size;
        while self.block.len() < end {
            self.extend();
        }
        let value = self.at..end;
        self.at = end;
        self.key.clear();
        if self.key_count > 0 {
            let number = self.random.below(self.key_count);
            self.key.extend_from_slice(b"key-");
            self.key.extend_from_slice(number.to_string().as_bytes());
        }
        let key = (self.key_count > 0).then_some(&*self.key);
        (key, &mut self.block[value])
    }

    fn extend(&mut self) {
        let mut choices = self.random.next_u64();
        match self.kind {
            Payload::Random => self.block.extend_from_slice(&choices.to_le_bytes()),
            Payload::Text => {
                while choices > 0 {
                    self.block.extend_from_slice(WORDS[choices as usize % WORDS.len()].as_bytes());
                    choices /= WORDS.len() as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_differ_and_repeat_with_the_seed() {
        for kind in [Payload::Random, Payload::Text] {
            let mut one = Payloads::new(1, kind, 100, 0);
            let mut other = Payloads::new(1, kind, 100, 0);
            let first = one.next().1.to_vec();
            assert_eq!(first, other.next().1);
            assert_ne!(first, one.next().1);
            assert!(one.next().0.is_none());
        }
    }

    #[test]
    fn keys_come_from_the_given_number() {
        let mut payloads = Payloads::new(1, Payload::Random, 1, 3);
        for _ in 0..20 {
            let key = payloads.next().0.expect("keyed").to_vec();
            assert!([&b"key-0"[..], b"key-1", b"key-2"].contains(&&*key), "{key:?}");
        }
    }
}
