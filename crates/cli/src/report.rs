//! What `klamm produce` tells of each record. A thread of its own writes it: a reader who stands still holds up the input, and not what is under way.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use tokio::sync::Notify;

/// When so many bytes wait for the reader, no more records are taken.
const WAITING_SIZE_MAX: usize = 1 << 20;

pub(crate) struct Report {
    /// What the thread does not know of yet.
    text: Vec<u8>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or will not be any more.
    work: Condvar,
    /// Something was taken, or it came to an end.
    news: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_complete: bool,
    /// How often the thread took what waited.
    taken: u64,
    is_writing: bool,
    end: Option<io::Result<()>>,
}

impl Report {
    pub(crate) fn to(mut out: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        thread::spawn(move || {
            let end = ours.write_to(&mut out);
            ours.lock().end = Some(end);
            ours.news.notify_one();
        });
        Self { text: Vec::new(), shared }
    }

    /// To be followed by [`pass_on`](Self::pass_on).
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.text, "{line}").expect("memory takes it");
    }

    pub(crate) fn pass_on(&mut self) {
        self.shared.lock().waiting.append(&mut self.text);
        self.shared.work.notify_one();
    }

    /// Waits until more can be told; an error if nobody can be told any more.
    pub(crate) fn room(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let shared = self.shared.clone();
        async move {
            loop {
                {
                    let state = shared.lock();
                    match &state.end {
                        Some(Err(error)) => return Err(error.kind().into()),
                        _ if state.waiting.len() < WAITING_SIZE_MAX => return Ok(()),
                        _ => {}
                    }
                }
                shared.news.notified().await;
            }
        }
    }

    /// While something waits for the reader: a number that grows when he reads on.
    pub(crate) fn unread(&self) -> Option<u64> {
        let state = self.shared.lock();
        (state.end.is_none() && (state.is_writing || !state.waiting.is_empty())).then_some(state.taken)
    }

    /// Waits until everything has been written. Nothing is to be told after that.
    pub(crate) fn finish(&mut self) -> impl Future<Output = io::Result<()>> + use<> {
        {
            // At once: the thread ends when it finds nothing more.
            let mut state = self.shared.lock();
            state.waiting.append(&mut self.text);
            state.is_complete = true;
        }
        self.shared.work.notify_one();
        let shared = self.shared.clone();
        async move {
            loop {
                if let Some(end) = shared.lock().end.take() {
                    return end;
                }
                shared.news.notified().await;
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process")
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_complete;
            let mut state = self.work.wait_while(state, is_idle).expect("a panic ends the process");
            let text = mem::take(&mut state.waiting);
            state.is_writing = !text.is_empty();
            state.taken += 1;
            drop(state);
            if text.is_empty() {
                return Ok(());
            }
            self.news.notify_one();
            out.write_all(&text)?;
            out.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::remote;

    #[test]
    fn a_reader_who_stands_still_is_waited_for_and_one_who_is_gone_is_not() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut report = Report::to(writer);
        let told = remote::run(async {
            let (mut told, line) = (0, "x".repeat(99));
            // What is in the pipe and what the thread has taken are beside what waits.
            assert_eq!(report.unread(), None);
            while told <= 3 * WAITING_SIZE_MAX {
                if tokio::time::timeout(std::time::Duration::ZERO, report.room()).await.is_err() {
                    break;
                }
                report.line(&line);
                report.pass_on();
                told += 100;
            }
            assert!(report.unread().is_some());
            Ok(told)
        });
        let told = told.expect("it can be told");
        assert!((WAITING_SIZE_MAX..=3 * WAITING_SIZE_MAX).contains(&told), "{told} bytes");
        let mut read = vec![0; told];
        reader.read_exact(&mut read).expect("it is written");
        drop(reader);
        report.line("nobody reads it");
        report.pass_on();
        let ended = remote::run(async { Ok(report.finish().await) }).expect("it ends");
        assert_eq!(ended.expect_err("nobody reads it").kind(), io::ErrorKind::BrokenPipe);
    }
}
