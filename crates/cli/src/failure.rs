//! How the program ends.

use std::io;
use std::process::{self, ExitCode};

const FAILED: u8 = 1;

/// 0 if it went well, 1 if not, with one line that says why. Whoever stopped reading our output knows why: that is no failure.
pub(crate) fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes are part of the sentence; there is nobody to whom a backtrace would say more.
            eprintln!("klamm: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// A panic is a bug of ours: one line for the report, and the end of the process, in whatever thread it was.
pub(crate) fn report_panics_in_one_line() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place =
            panic.location().map_or(String::new(), |place| format!(" ({}:{})", place.file(), place.line()));
        if message.contains("Broken pipe") {
            process::exit(0);
        }
        eprintln!("klamm: this is a bug, please report it: {message}{place}");
        process::exit(FAILED.into());
    }));
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
