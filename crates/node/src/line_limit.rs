//! Log lines that others can cause: few enough that they cannot fill a disk with them.

use klamm_model::Tick;

/// Lines let through in each window.
const LINES_MAX: u32 = 10;
const WINDOW_MS: u64 = 10_000;

/// Lets some lines through and counts the others.
#[derive(Debug, Default)]
pub struct LineLimit {
    /// The first line begins a window.
    window_ends: Tick,
    lines: u32,
    suppressed: u64,
}

impl LineLimit {
    /// Whether a line may be written now; if so, how many were kept back before it.
    pub fn allow(&mut self, now: Tick) -> Option<u64> {
        if self.window_ends <= now {
            self.window_ends = now.after_ms(WINDOW_MS);
            self.lines = 0;
        }
        if self.lines == LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let start = Tick(5);
        let mut limit = LineLimit::default();
        let written = (0..1000).filter(|_| limit.allow(start).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limit.allow(start.after_ms(WINDOW_MS)), Some(990));
        assert_eq!(limit.allow(start.after_ms(WINDOW_MS)), Some(0));
    }
}
