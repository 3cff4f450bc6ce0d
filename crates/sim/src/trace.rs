//! What a run did, as lines: hashed always, printed if somebody looks.
//!
//! Two runs of one seed that differ anywhere have different hashes.

use std::fmt::{self, Write};

/// The lines of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    printed: bool,
}

impl Trace {
    /// `printed`: every line also goes to standard output.
    pub fn new(printed: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, printed }
    }

    /// One more line.
    pub fn note(&mut self, now_us: u64, line: fmt::Arguments<'_>) {
        if self.printed {
            println!("{:>4}.{:06} {line}", now_us / 1_000_000, now_us % 1_000_000);
        }
        let mut hasher = Hasher(self.hash);
        hasher.number(now_us);
        hasher.write_fmt(line).expect("hashing does not fail");
        self.hash = hasher.0;
    }

    /// Stands for all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// FNV-1a over words: quick, and the same everywhere.
struct Hasher(u64);

impl Hasher {
    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
    }
}

impl Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
        Ok(())
    }
}
