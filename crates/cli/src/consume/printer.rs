//! Which records are printed, and how.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use klamm_client::{FetchedBatch, PartitionPosition};
use klamm_model::{BatchHeader, RecordView};
use regex_lite::Regex;

use crate::args::{ConsumeArgs, Format};
use crate::json;
use crate::output::counted;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::template::{Printed, Template};

/// So many bytes are written at once, if so many come at once.
const OUT_SIZE: usize = 64 * 1024;

/// Prints records as the command line says.
pub(super) struct Printer<'a> {
    args: &'a ConsumeArgs,
    grep: Option<Regex>,
    is_json: bool,
    template: Template,
    /// Whole records, which are still to be written.
    out: Vec<u8>,
    stdout: StdoutLock<'static>,
    has_failed: bool,
    progress: Option<Progress>,
    pace: Option<Pace>,
    scratch: Vec<u8>,
    printed: u64,
    left: u64,
}

impl<'a> Printer<'a> {
    pub(super) fn new(args: &'a ConsumeArgs, grep: Option<Regex>) -> Self {
        Self {
            args,
            grep,
            is_json: args.json || args.remote.format == Format::Json,
            template: args.template.clone().unwrap_or_default(),
            out: Vec::with_capacity(OUT_SIZE),
            stdout: io::stdout().lock(),
            has_failed: false,
            // On a terminal the records themselves show how far it is.
            progress: (!io::stdout().is_terminal()).then(Progress::new),
            pace: args.rate,
            scratch: Vec::new(),
            printed: 0,
            left: args.count.unwrap_or(u64::MAX),
        }
    }

    /// Whether as many records were printed as are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let written = self.stdout.write_all(&self.out).and_then(|()| self.stdout.flush());
        self.out.clear();
        self.has_failed |= written.is_err();
        written.context("standard output")
    }

    /// Whether something that was printed could not be written: where it ends nobody knows.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The end of printing. Says how many records that were.
    pub(super) fn finish(mut self) -> Result<String> {
        self.flush()?;
        Ok(counted(self.printed, "record", "records"))
    }

    /// Memory to unpack batches in.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn give_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// Prints the record if it is one of those that are wanted, when its turn comes.
    pub(super) async fn print(
        &mut self,
        batch: &FetchedBatch,
        header: &BatchHeader,
        record: &RecordView<'_>,
    ) -> Result<()> {
        if !self.is_wanted(record) {
            return Ok(());
        }
        self.await_turn().await?;
        let printed = Printed {
            topic: &batch.topic,
            partition: batch.partition,
            record,
            batch: header,
            high_watermark: batch.high_watermark,
            number: self.printed + 1,
            null: self.args.null.as_deref().unwrap_or_default().as_bytes(),
        };
        let whole = self.out.len();
        let done = if self.is_json {
            json::print(&mut self.out, &printed)
        } else {
            self.template.print(&mut self.out, &printed)
        };
        if let Err(problem) = done {
            self.out.truncate(whole);
            return Err(anyhow!("{}-{} offset {}: {problem}", batch.topic, batch.partition, record.offset));
        }
        self.printed += 1;
        self.left -= 1;
        if OUT_SIZE <= self.out.len() { self.flush() } else { Ok(()) }
    }

    pub(super) fn show_progress(&mut self, positions: impl FnOnce() -> Vec<PartitionPosition>) {
        let Some(progress) = &mut self.progress else { return };
        progress.show(|| {
            let left: u64 = positions().iter().filter_map(PartitionPosition::lag).sum();
            format!("{}, {left} to go", counted(self.printed, "record", "records"))
        });
    }

    fn is_wanted(&self, record: &RecordView<'_>) -> bool {
        let has_key = self.args.key.as_ref().is_none_or(|key| record.key == Some(key.as_bytes()));
        // Where there is no value, not even an empty one is found.
        let matches =
            |grep: &Regex| record.value.is_some_and(|value| grep.is_match(&String::from_utf8_lossy(value)));
        has_key && self.grep.as_ref().is_none_or(matches)
    }

    async fn await_turn(&mut self) -> Result<()> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        let now = Instant::now();
        let turn = pace.turn(now);
        if now < turn {
            self.flush()?;
            tokio::time::sleep_until(turn.into()).await;
        }
        Ok(())
    }
}
