//! How far long work is, for a person who waits. Nothing where the standard error is no terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// No person reads faster.
const INTERVAL: Duration = Duration::from_millis(100);
/// Work that ends before needs no telling.
const PATIENCE: Duration = Duration::from_millis(500);

/// A line on the terminal that says how far something is.
pub(crate) struct Progress {
    is_shown: bool,
    next: Instant,
    has_line: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), next: Instant::now() + PATIENCE, has_line: false }
    }

    /// Shows what `line` says, if it is time for that.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.is_shown || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        self.has_line = true;
        // To the line's front, and clear what stands there. A terminal that is gone is nobody to tell.
        let _ = write!(io::stderr(), "\r\x1b[K{}", line());
        let _ = io::stderr().flush();
    }

    /// Takes the line away, so that something else can be printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.has_line) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
