//! Ctrl-C and SIGTERM, for commands that have something to finish.

use std::future::{Future, pending};
use std::io;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Interrupted;

/// One signal may come twice: `timeout` sends it to its child and then to its whole group, which the child is in, and a script's runner passes on
/// what the terminal has sent to the group already. No person is so quick.
const ECHO_MAX: Duration = Duration::from_millis(50);

/// Tells of the first signal. A second one ends the process, even if it hangs in a write that nobody reads.
pub(crate) struct Interrupt {
    told: oneshot::Receiver<Interrupted>,
    first: Option<Interrupted>,
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build().context("no runtime")?;
        let mut signals = {
            let _context = runtime.enter();
            Signals::listen().context("no signals")?
        };
        let (tell, told) = oneshot::channel();
        thread::spawn(move || {
            runtime.block_on(async {
                let first = signals.next().await;
                let began = Instant::now();
                // Nobody listens if it ends by itself just now.
                let _ = tell.send(first);
                loop {
                    let again = signals.next().await;
                    if !is_echo(first, again, began.elapsed()) {
                        process::exit(again.exit_code().into());
                    }
                }
            });
        });
        Ok(Self { told, first: None })
    }

    /// What comes of the work, or that it was cut short.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            interrupted = self.next() => Err(interrupted.into()),
            done = work => done,
        }
    }

    /// Does the work to its end, signal or not; with one, however early it came, it is said that there still is work, and that is what comes of it.
    pub(crate) async fn despite<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
        say: impl FnOnce(),
    ) -> Result<T> {
        tokio::pin!(work);
        let interrupted = tokio::select! {
            biased;
            done = &mut work => return done,
            interrupted = self.next() => interrupted,
        };
        say();
        work.await.and(Err(interrupted.into()))
    }

    async fn next(&mut self) -> Interrupted {
        if let Some(first) = self.first {
            return first;
        }
        // The thread that listens ends with the process only.
        let Ok(first) = (&mut self.told).await else { return pending().await };
        *self.first.insert(first)
    }
}

fn is_echo(first: Interrupted, again: Interrupted, after: Duration) -> bool {
    first == again && after < ECHO_MAX
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Interrupted {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        Interrupted(kind.as_raw_value() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_signal_at_once_is_an_echo() {
        let (int, term) = (Interrupted(2), Interrupted(15));
        for (first, again, after_ms, is) in
            [(int, int, 0, true), (int, int, 49, true), (int, int, 50, false), (int, term, 0, false)]
        {
            let found = is_echo(first, again, Duration::from_millis(after_ms));
            assert_eq!(found, is, "{first:?}, after {after_ms} ms {again:?}");
        }
    }
}
