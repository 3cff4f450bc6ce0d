//! How the program ends.

use std::fmt;
use std::io::{self, Write};
use std::process::{self, ExitCode};

use crate::output::visible_lines;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// What was asked for makes no sense, and it is not the cluster's fault.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// It failed, and the user knows why.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as was said")
    }
}

impl std::error::Error for Told {}

/// It was told to stop, by this signal, and has said how far it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interrupted(pub(crate) u8);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupted {
    /// As a shell tells of a process that a signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        128 + self.0
    }
}

/// Says on the standard error what went wrong, in one line. Where nobody hears it, or the disk is full that it goes to, it went wrong all the same.
pub(crate) fn tell(problem: &(impl fmt::Display + ?Sized)) {
    let _ = writeln!(io::stderr(), "klamm: {}", visible_lines(&problem.to_string()));
}

/// 0 if it went well, 1 if not, 2 if it was asked for wrongly, with one line that says why. Whoever stopped reading our output knows why: that is no failure.
pub(crate) fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<Told>() => ExitCode::from(FAILED),
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
                return ExitCode::from(interrupted.exit_code());
            }
            tell(&sentence(&error));
            ExitCode::from(if error.is::<Usage>() { WRONG_USAGE } else { FAILED })
        }
    }
}

/// A panic is a bug of ours: one line for the report, and the end of the process, in whatever thread it was.
pub(crate) fn report_panics_in_one_line() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place =
            panic.location().map_or(String::new(), |place| format!(" ({}:{})", place.file(), place.line()));
        tell(&format!("this is a bug, please report it: {message}{place}"));
        process::exit(FAILED.into());
    }));
}

/// The error with its causes. Many an error names its cause itself: that is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
