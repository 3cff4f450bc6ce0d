//! `klamm log verify`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use klamm_model::Offset;
use serde_json::{Value, json};

use super::check::Check;
use super::files::{Kind, LogFile, find};
use super::indexes::{self, Placed};
use super::segment::{Next, Segment};
use super::{Damage, small};
use crate::args::{Format, LogVerifyArgs};
use crate::failure::{Told, tell};
use crate::output::{counted, print_json, print_line, size_text};
use crate::progress::Progress;

pub(super) fn run(args: &LogVerifyArgs) -> Result<()> {
    let files = find(&args.files)?;
    let byte_count: u64 = files.iter().map(|file| file.size).sum();
    let mut verifier = Verifier {
        all: args.all,
        byte_count,
        bytes_done: 0,
        progress: Progress::new(),
        compared: None,
        before: None,
    };
    let mut reports = Vec::new();
    for file in &files {
        let report = verifier.verify(file)?;
        verifier.bytes_done += file.size;
        if args.format == Format::Table {
            verifier.progress.clear();
            report.print(args.verbose || file.is_named)?;
        }
        let is_damaged = !report.damage.is_empty();
        reports.push(report);
        if is_damaged && !args.all {
            break;
        }
    }
    drop(verifier);
    if args.format == Format::Json {
        print_json(&reports.iter().map(Report::json).collect())?;
    }
    if args.format == Format::Table && files.iter().any(|file| !file.is_named) {
        print_line(&total(&reports))?;
    }
    let (seen, damaged) = (reports.len(), reports.iter().filter(|report| !report.damage.is_empty()).count());
    if damaged == 0 {
        return Ok(());
    }
    let unseen = files.len() - seen;
    let unseen = if unseen > 0 { format!(", {unseen} not looked at: --all does") } else { String::new() };
    let seen = counted(seen as u64, "file", "files");
    tell(&format!("{damaged} of {seen} damaged{unseen}"));
    Err(Told.into())
}

/// What was looked at, in one line.
fn total(reports: &[Report]) -> String {
    let sum = |name: &str| reports.iter().filter_map(|report| report.figures[name].as_u64()).sum();
    let size: u64 = reports.iter().map(|report| report.size).sum();
    format!(
        "{}, {}: {}, {}",
        counted(reports.len() as u64, "file", "files"),
        size_text(size),
        counted(sum("batches"), "batch", "batches"),
        counted(sum("records"), "record", "records")
    )
}

/// What was found in a file.
#[derive(Default)]
struct Report {
    path: PathBuf,
    kind: &'static str,
    size: u64,
    /// What is in it, in words and in figures.
    contents: String,
    figures: Value,
    /// What is odd and no damage.
    notes: Vec<String>,
    damage: Vec<Damage>,
}

impl Report {
    fn of(file: &LogFile) -> Self {
        Self { path: file.path.clone(), kind: file.kind.name(), size: file.size, ..Self::default() }
    }

    fn fill<T>(&mut self, read: Result<T, Damage>, contents: impl FnOnce(T) -> (String, Value)) {
        match read {
            Ok(read) => (self.contents, self.figures) = contents(read),
            Err(damage) => self.damage.push(damage),
        }
    }

    /// What is wrong or odd; with `good`, also that nothing is.
    fn print(&self, good: bool) -> Result<()> {
        let path = self.path.display();
        if good && self.damage.is_empty() {
            print_line(&format!("{path}: good: {}", self.contents))?;
        }
        for damage in &self.damage {
            print_line(&format!("{path}: damaged: {damage}"))?;
        }
        for note in &self.notes {
            print_line(&format!("{path}: note: {note}"))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let damage = self.damage.iter().map(|it| json!({ "position": it.position, "problem": it.problem }));
        json!({
            "file": self.path.display().to_string(),
            "kind": self.kind,
            "good": self.damage.is_empty(),
            "size_bytes": self.size,
            "contents": self.figures,
            "notes": self.notes,
            "damage": damage.collect::<Vec<_>>(),
        })
    }
}

struct Verifier {
    all: bool,
    byte_count: u64,
    bytes_done: u64,
    progress: Progress,
    /// The segment that was gone through last, for its indexes.
    compared: Option<(PathBuf, Compared)>,
    /// The segment before, and where it ends.
    before: Option<(PathBuf, Offset)>,
}

/// What indexes are compared with.
enum Compared {
    Batches(Vec<Placed>),
    /// The segment is damaged itself.
    Damaged,
    Missing,
}

impl Verifier {
    fn verify(&mut self, file: &LogFile) -> Result<Report> {
        if file.kind == Kind::Segment {
            return self.segment(file);
        }
        let mut report = Report::of(file);
        let bytes = file.read()?;
        match file.kind {
            Kind::Segment => unreachable!("segments are gone through, not read as a whole"),
            Kind::Index | Kind::TimeIndex => self.index(file, &bytes, &mut report)?,
            Kind::TransactionIndex => {
                let (found, damage) = indexes::aborted(&bytes, file.base().unwrap_or_default());
                report.damage = damage;
                report.fill(Ok(found.len()), |count| {
                    entries(count, "aborted transaction", "aborted transactions")
                });
            }
            Kind::Snapshot => report.fill(small::snapshot(&bytes), |found| {
                entries(found.len(), "batch of a producer", "batches of producers")
            }),
            Kind::LeaderEpochs => {
                report.fill(small::leader_epochs(&bytes), |found| entries(found.len(), "epoch", "epochs"))
            }
            Kind::OffsetCheckpoint => report
                .fill(small::checkpoint(&bytes, 3), |found| entries(found.len(), "partition", "partitions")),
            Kind::PartitionMetadata => report.fill(small::partition_metadata(&bytes), |id| {
                (format!("topic id {id}"), json!({ "topic_id": id }))
            }),
            Kind::DurablePoint => report.fill(small::durable_point(&bytes), |point| {
                let (durable, committed) = (point.durable, point.committed);
                let figures = json!({
                    "durable": durable.raw(),
                    "committed": committed.raw(),
                    "log_start": point.log_start.map(|start| start.raw()),
                });
                (format!("on disk up to offset {durable}, committed up to {committed}"), figures)
            }),
            Kind::DamagedRanges => report.fill(small::damaged_ranges(&bytes), |ranges| {
                entries(ranges.len(), "range that is not served", "ranges that are not served")
            }),
        }
        if !self.all {
            report.damage.truncate(1);
        }
        Ok(report)
    }

    fn segment(&mut self, file: &LogFile) -> Result<Report> {
        let mut report = Report::of(file);
        let (check, placed) = self.go_through(file, &mut report)?;
        let records = check.record_count;
        let (first, end) = (check.first, check.end);
        report.contents = match first.zip(end) {
            Some((first, end)) => format!(
                "{}, {}, offsets {first} to {end}, {}",
                counted(check.batch_count, "batch", "batches"),
                counted(records, "record", "records"),
                size_text(file.size)
            ),
            None => "no batches".to_owned(),
        };
        report.figures = json!({
            "batches": check.batch_count,
            "records": records,
            "start": first.map(|offset| offset.raw()),
            "end": end.map(|offset| offset.raw()),
        });
        report.notes.extend(check.oddity);
        if let Some(overlap) = self.overlap(file, first) {
            report.damage.insert(0, overlap);
        }
        if !self.all {
            report.damage.truncate(1);
        }
        if let Some(end) = end {
            self.before = Some((file.path.clone(), end));
        }
        let compared = if report.damage.is_empty() { Compared::Batches(placed) } else { Compared::Damaged };
        self.compared = Some((file.path.clone(), compared));
        Ok(report)
    }

    /// A segment that begins before the one before it ends.
    fn overlap(&self, file: &LogFile, first: Option<Offset>) -> Option<Damage> {
        let (path, end) = self.before.as_ref()?;
        let first = first.filter(|first| first < end)?;
        let is_next = path.parent() == file.path.parent()
            && path < &file.path
            && path.extension() == file.path.extension();
        let problem = || format!("it begins at offset {first}, {} ends at {end}", name(path));
        is_next.then(|| Damage::at(0, &problem()))
    }

    fn go_through(&mut self, file: &LogFile, report: &mut Report) -> Result<(Check, Vec<Placed>)> {
        let mut segment = Segment::open(file)?;
        let mut check = Check::new(file.base());
        let mut placed = Vec::new();
        loop {
            let done = self.bytes_done + segment.position();
            let all = self.byte_count;
            self.progress.show(|| {
                let percent = done * 100 / all.max(1);
                format!("{percent} %: {}", file.path.display())
            });
            match segment.next()? {
                Next::Batch(position, batch) => {
                    if let Err(problem) = check.batch(&batch) {
                        let base = batch.base_offset();
                        report
                            .damage
                            .push(Damage::at(position, &format!("batch at offset {base}: {problem}")));
                        if !self.all {
                            break;
                        }
                    }
                    placed.push(Placed {
                        position,
                        base: batch.base_offset(),
                        last: batch.last_offset(),
                        newest: batch.header().max_timestamp,
                    });
                }
                Next::Damaged(damage) => {
                    report.damage.push(damage);
                    if let Some(next) = file.next_indexed(segment.position()).filter(|_| self.all) {
                        segment.go_on_at(next);
                    }
                }
                Next::Preallocated(count) => report.notes.push(format!("{count} bytes of zeros at the end")),
                Next::End => break,
            }
        }
        Ok((check, placed))
    }

    fn index(&mut self, file: &LogFile, bytes: &[u8], report: &mut Report) -> Result<()> {
        let Some(base) = file.base() else { bail!("{}: its name is no offset", file.path.display()) };
        self.compare_with(file)?;
        let Some((_, compared)) = &self.compared else { unreachable!("set just now") };
        let batches = match compared {
            Compared::Batches(batches) => Some(batches),
            Compared::Damaged => {
                report.notes.push("not compared with its segment, which is damaged".to_owned());
                None
            }
            Compared::Missing => {
                report.notes.push("not compared with its segment, which is not there".to_owned());
                None
            }
        };
        let (count, damage, disagreement) = if file.kind == Kind::Index {
            let (found, damage) = indexes::index_entries(bytes, base);
            (found.len(), damage, batches.map(|batches| indexes::compare_index(&found, batches)))
        } else {
            let (found, damage) = indexes::time_entries(bytes, base);
            (found.len(), damage, batches.map(|batches| indexes::compare_times(&found, batches)))
        };
        report.damage = damage;
        report.damage.extend(disagreement.unwrap_or_default());
        report.fill(Ok(count), |count| entries(count, "entry", "entries"));
        Ok(())
    }

    /// Sees to it that the index's segment was gone through.
    fn compare_with(&mut self, file: &LogFile) -> Result<()> {
        let path = file.path.with_extension("log");
        if self.compared.as_ref().is_some_and(|(known, _)| *known == path) {
            return Ok(());
        }
        let compared = match file.segment() {
            None => Compared::Missing,
            Some(segment) => {
                let mut aside = Report::of(&segment);
                let (_, placed) = self.go_through(&segment, &mut aside)?;
                if aside.damage.is_empty() { Compared::Batches(placed) } else { Compared::Damaged }
            }
        };
        self.compared = Some((path, compared));
        Ok(())
    }
}

fn entries(count: usize, one: &str, several: &str) -> (String, Value) {
    (counted(count as u64, one, several), json!({ "entries": count }))
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
