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

/// Builds one record after the other, the same ones for the same seed.
pub(super) struct Payloads {
    random: Random,
    kind: Payload,
    key_count: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Payloads {
    pub(super) fn new(seed: u64, kind: Payload, record_size: usize, key_count: u64) -> Self {
        Self { random: Random::new(seed), kind, key_count, key: Vec::new(), value: vec![0; record_size] }
    }

    /// The next record's key and value.
    pub(super) fn next(&mut self) -> (Option<&[u8]>, &mut [u8]) {
        match self.kind {
            Payload::Random => {
                for word in self.value.chunks_mut(8) {
                    let bytes = self.random.next_u64().to_le_bytes();
                    word.copy_from_slice(&bytes[..word.len()]);
                }
            }
            Payload::Text => self.fill_with_words(),
        }
        if self.key_count == 0 {
            return (None, &mut self.value);
        }
        let number = self.random.below(self.key_count);
        self.key.clear();
        self.key.extend_from_slice(b"key-");
        self.key.extend_from_slice(number.to_string().as_bytes());
        (Some(&self.key), &mut self.value)
    }

    fn fill_with_words(&mut self) {
        let mut choices = 0;
        let mut filled = 0;
        while filled < self.value.len() {
            if choices == 0 {
                choices = self.random.next_u64();
            }
            let word = WORDS[choices as usize % WORDS.len()].as_bytes();
            choices /= WORDS.len() as u64;
            let count = word.len().min(self.value.len() - filled);
            self.value[filled..filled + count].copy_from_slice(&word[..count]);
            filled += count;
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
