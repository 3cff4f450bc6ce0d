//! All randomness of a run, from one seed.

/// A small generator (SplitMix64): a run must repeat from its seed alone, on any machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The run that this seed stands for.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x51_7C_C1_B7_27_22_0A_95)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Multiplying and shifting is faster than the remainder and as even as a test needs.
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `first` up to and without `end`.
    pub fn between(&mut self, first: u64, end: u64) -> u64 {
        first + self.below(end - first)
    }

    /// A place in something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Another generator whose draws do not disturb this one's.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }
}
