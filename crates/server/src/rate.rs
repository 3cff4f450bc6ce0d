//! Log lines that a client can cause: few enough that it cannot fill a disk with them, and with nothing in them that it could fake lines by.

use std::time::{Duration, Instant};

/// Lines let through in each [`WINDOW`].
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets some lines through and counts the others.
#[derive(Debug)]
pub(crate) struct LineLimit {
    window_began: Instant,
    lines: u32,
    suppressed: u64,
}

impl LineLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self { window_began: now, lines: 0, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, how many were kept back before it.
    pub(crate) fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.window_began + WINDOW <= now {
            self.window_began = now;
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
        let start = Instant::now();
        let mut limit = LineLimit::new(start);
        let written = (0..1000).filter(|_| limit.allow(start).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limit.allow(start + WINDOW), Some(990));
        assert_eq!(limit.allow(start + WINDOW), Some(0));
    }
}
