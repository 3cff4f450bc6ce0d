//! `klamm log`: reads the files of a broker that does not run.
//!
//! It shares no code with the broker's own log, only the batch format of `klamm-model`: a second opinion on what lies on the disk. So it reads
//! Apache Kafka's files as well, and finds in Klamm's what Klamm would not.

mod check;
mod dump;
mod files;
mod indexes;
mod segment;
mod small;
mod verify;

use anyhow::Result;

use crate::args::LogCommand;

pub(crate) fn run(command: &LogCommand) -> Result<()> {
    match command {
        LogCommand::Dump(args) => dump::run(args),
        LogCommand::Verify(args) => verify::run(args),
    }
}

/// Something that no writer would have written.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Damage {
    /// Where in the file, if it is somewhere.
    position: Option<u64>,
    problem: String,
}

impl Damage {
    fn at(position: u64, problem: &(impl ToString + ?Sized)) -> Self {
        Self { position: Some(position), problem: problem.to_string() }
    }

    fn whole(problem: &(impl ToString + ?Sized)) -> Self {
        Self { position: None, problem: problem.to_string() }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Some(position) => write!(f, "position {position}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}
