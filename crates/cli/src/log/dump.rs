//! `klamm log dump`.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};
use klamm_model::{BatchView, Codec, RecordView};
use serde_json::{Value, json};

use super::check::UNPACKED_SIZE_MAX;
use super::files::{Kind, LogFile, find};
use super::segment::{Next, Segment};
use super::{Damage, indexes, small};
use crate::args::{Format, LogDumpArgs};
use crate::failure::{Told, tell};
use crate::json::put_bytes;
use crate::output::visible;
use crate::time::date_time_text;

/// What the keys of control records say, by their type.
const CONTROL_TYPES: [&str; 7] = [
    "abort",
    "commit",
    "leader-change",
    "snapshot-header",
    "snapshot-footer",
    "kraft-version",
    "kraft-voters",
];

pub(super) fn run(args: &LogDumpArgs) -> Result<()> {
    let files = find(&args.files)?;
    let out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut dump = Dump { args, out, damaged_count: 0, scratch: Vec::new() };
    for (place, file) in files.iter().enumerate() {
        dump.head(file, place > 0)?;
        match file.kind {
            Kind::Segment => dump.segment(file)?,
            _ => dump.small(file)?,
        }
    }
    dump.out.flush().context("standard output")?;
    match dump.damaged_count {
        0 => Ok(()),
        _ => Err(Told.into()),
    }
}

struct Dump<'a> {
    args: &'a LogDumpArgs,
    out: BufWriter<io::StdoutLock<'static>>,
    damaged_count: usize,
    scratch: Vec<u8>,
}

impl Dump<'_> {
    /// A line for people, or an object for programs.
    fn line(&mut self, text: impl FnOnce() -> String, object: impl FnOnce() -> Value) -> Result<()> {
        match self.args.format {
            Format::Table => writeln!(self.out, "{}", text()),
            Format::Json => writeln!(self.out, "{}", object()),
        }
        .context("standard output")
    }

    fn head(&mut self, file: &LogFile, follows: bool) -> Result<()> {
        let path = file.path.display();
        let gap = if follows { "\n" } else { "" };
        let object = || json!({ "type": "file", "file": path.to_string(), "kind": file.kind.name(), "size_bytes": file.size });
        self.line(|| format!("{gap}{path}: {}, {} bytes", file.kind.name(), file.size), object)
    }

    fn damaged(&mut self, file: &LogFile, damage: &Damage) -> Result<()> {
        self.damaged_count += 1;
        // In the order in which it was found, where both go to one terminal.
        self.out.flush().context("standard output")?;
        tell(&format!("{}: {damage}", file.path.display()));
        if self.args.format == Format::Json {
            let object = json!({ "type": "damage", "position": damage.position, "problem": damage.problem });
            self.line(String::new, || object)?;
        }
        Ok(())
    }

    fn segment(&mut self, file: &LogFile) -> Result<()> {
        let mut segment = Segment::open(file)?;
        loop {
            match segment.next()? {
                Next::Batch(position, batch) => {
                    self.line(|| batch_text(position, &batch), || batch_json(position, &batch))?;
                    if let Err(error) = batch.verify_crc() {
                        self.damaged(file, &Damage::at(position, &error))?;
                    } else if self.args.records
                        && let Err(damage) = self.records(position, &batch)?
                    {
                        self.damaged(file, &damage)?;
                    }
                }
                Next::Damaged(damage) => self.damaged(file, &damage)?,
                Next::Preallocated(count) => self.line(
                    || format!("{count} bytes of zeros at the end"),
                    || json!({ "type": "zeros", "size_bytes": count }),
                )?,
                Next::End => return Ok(()),
            }
        }
    }

    fn records(&mut self, position: u64, batch: &BatchView<'_>) -> Result<Result<(), Damage>> {
        let is_control = batch.header().attributes.is_control();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut outcome = Ok(());
        match batch.records(&mut scratch, UNPACKED_SIZE_MAX) {
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(record) => {
                            self.line(
                                || record_text(&record, is_control),
                                || record_json(&record, is_control),
                            )?;
                        }
                        Err(error) => outcome = Err(Damage::at(position, &error)),
                    }
                }
            }
            Err(error) => outcome = Err(Damage::at(position, &error)),
        }
        self.scratch = scratch;
        Ok(outcome)
    }

    fn small(&mut self, file: &LogFile) -> Result<()> {
        let bytes = file.read()?;
        let base = file.base().unwrap_or_default();
        let mut damage = Vec::new();
        let mut lines: Vec<(String, Value)> = Vec::new();
        match file.kind {
            Kind::Segment => unreachable!("segments are gone through, not read as a whole"),
            Kind::Index => {
                let (entries, found) = indexes::index_entries(&bytes, base);
                lines.extend(entries.iter().map(|entry| {
                    let (offset, position) = (entry.offset, entry.position);
                    let object = json!({ "type": "index_entry", "offset": offset.raw(), "position": position });
                    (format!("offset {offset}  position {position}"), object)
                }));
                damage = found;
            }
            Kind::TimeIndex => {
                let (entries, found) = indexes::time_entries(&bytes, base);
                lines.extend(entries.iter().map(|entry| {
                    let (offset, time) = (entry.offset, entry.timestamp);
                    let object = json!({ "type": "time_index_entry", "timestamp": time.0, "offset": offset.raw() });
                    (format!("timestamp {} ({})  offset {offset}", time, date_time_text(time.0)), object)
                }));
                damage = found;
            }
            Kind::TransactionIndex => {
                let (entries, found) = indexes::aborted(&bytes, base);
                lines.extend(entries.iter().map(|it| {
                    let object = json!({
                        "type": "aborted_transaction", "producer_id": it.producer.0, "first": it.first.raw(),
                        "last": it.last.raw(), "last_stable": it.last_stable.raw(),
                    });
                    let text = format!(
                        "producer {}  offsets {} to {}  last stable {}",
                        it.producer, it.first, it.last, it.last_stable
                    );
                    (text, object)
                }));
                damage = found;
            }
            Kind::Snapshot => match small::snapshot(&bytes) {
                Ok(entries) => lines.extend(entries.iter().map(snapshot_line)),
                Err(found) => damage.push(found),
            },
            Kind::LeaderEpochs => match small::leader_epochs(&bytes) {
                Ok(entries) => lines.extend(entries.iter().map(|(epoch, start)| {
                    let object = json!({ "type": "leader_epoch", "epoch": epoch, "start": start });
                    (format!("epoch {epoch}  from offset {start}"), object)
                })),
                Err(found) => damage.push(found),
            },
            Kind::OffsetCheckpoint => match small::checkpoint(&bytes, 3) {
                Ok(entries) => lines.extend(entries.iter().map(|words| {
                    let object = json!({
                        "type": "checkpoint_entry", "topic": words[0], "partition": words[1].parse::<u64>().ok(),
                        "offset": words[2].parse::<u64>().ok(),
                    });
                    (format!("{}-{}  offset {}", words[0], words[1], words[2]), object)
                })),
                Err(found) => damage.push(found),
            },
            Kind::PartitionMetadata => match small::partition_metadata(&bytes) {
                Ok(id) => {
                    let object = json!({ "type": "partition_metadata", "topic_id": id });
                    lines.push((format!("topic id {id}"), object));
                }
                Err(found) => damage.push(found),
            },
            Kind::DamagedRanges => match small::damaged_ranges(&bytes) {
                Ok(ranges) => lines.extend(ranges.iter().map(|[segment, from, to, position, end]| {
                    let object = json!({
                        "type": "damaged_range", "segment": segment, "from": from, "to": to,
                        "position": position, "end": end,
                    });
                    (format!("offsets {from} to {}  segment {segment}  position {position}  size {}", to - 1, end - position), object)
                })),
                Err(found) => damage.push(found),
            },
            Kind::DurablePoint => match small::durable_point(&bytes) {
                Ok(point) => {
                    let (durable, committed) = (point.durable, point.committed);
                    let log_start = point.log_start.map(|start| start.raw());
                    let object = json!({
                        "type": "durable_point", "durable": durable.raw(), "committed": committed.raw(),
                        "log_start": log_start,
                    });
                    let start = log_start.map_or(String::new(), |start| format!("  deleted up to {start}"));
                    lines.push((
                        format!("on disk up to offset {durable}  committed up to {committed}{start}"),
                        object,
                    ));
                }
                Err(found) => damage.push(found),
            },
        }
        for (text, object) in lines {
            self.line(|| text, || object)?;
        }
        for damage in damage {
            self.damaged(file, &damage)?;
        }
        Ok(())
    }
}

fn snapshot_line(entry: &small::SnapshotEntry) -> (String, Value) {
    let transaction =
        entry.transaction_start.map_or(String::new(), |start| format!("  transaction from {start}"));
    let text = format!(
        "producer {} epoch {}  last sequence {}  offsets {} to {}  timestamp {}{transaction}",
        entry.producer,
        entry.epoch,
        entry.last_sequence,
        entry.last_offset - i64::from(entry.offset_delta),
        entry.last_offset,
        entry.timestamp,
    );
    let object = json!({
        "type": "producer_batch",
        "producer_id": entry.producer.0,
        "producer_epoch": entry.epoch,
        "last_sequence": entry.last_sequence,
        "last_offset": entry.last_offset,
        "offset_delta": entry.offset_delta,
        "timestamp": entry.timestamp.0,
        "transaction_start": entry.transaction_start.map(|start| start.raw()),
    });
    (text, object)
}

fn codec_name(batch: &BatchView<'_>) -> String {
    batch.codec().map_or_else(|error| error.to_string(), |codec: Codec| codec.to_string())
}

fn batch_text(position: u64, batch: &BatchView<'_>) -> String {
    let header = batch.header();
    let mut text = format!(
        "offsets {} to {}  records {}  position {position}  size {}  codec {}  newest {}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.size,
        codec_name(batch),
        date_time_text(header.max_timestamp.0),
    );
    if let Some(epoch) = header.leader_epoch {
        text.push_str(&format!("  epoch {epoch}"));
    }
    if let Some(producer) = header.producer {
        text.push_str(&format!(
            "  producer {} epoch {} sequence {}",
            producer.id, producer.epoch, producer.base_sequence
        ));
    }
    for (is_so, word) in flags(batch) {
        if is_so {
            text.push_str("  ");
            text.push_str(word);
        }
    }
    text
}

fn flags(batch: &BatchView<'_>) -> [(bool, &'static str); 4] {
    let attributes = batch.header().attributes;
    [
        (attributes.is_transactional(), "transactional"),
        (attributes.is_control(), "control"),
        (attributes.timestamp_type() == klamm_model::TimestampType::LogAppendTime, "append-time"),
        (attributes.has_delete_horizon(), "delete-horizon"),
    ]
}

fn batch_json(position: u64, batch: &BatchView<'_>) -> Value {
    let header = batch.header();
    let flags: Vec<_> = flags(batch).iter().filter(|(is_so, _)| *is_so).map(|(_, word)| *word).collect();
    json!({
        "type": "batch",
        "position": position,
        "size_bytes": header.size,
        "base_offset": header.base_offset.raw(),
        "last_offset": header.last_offset().raw(),
        "records": header.record_count,
        "leader_epoch": header.leader_epoch.map(|epoch| epoch.0),
        "codec": codec_name(batch),
        "crc": format!("{:08x}", header.crc),
        "crc_good": batch.verify_crc().is_ok(),
        "base_timestamp": header.base_timestamp.0,
        "max_timestamp": header.max_timestamp.0,
        "producer_id": header.producer.map(|producer| producer.id.0),
        "producer_epoch": header.producer.map(|producer| producer.epoch.0),
        "base_sequence": header.producer.map(|producer| producer.base_sequence),
        "flags": flags,
    })
}

fn record_text(record: &RecordView<'_>, is_control: bool) -> String {
    let mut text = format!("  offset {}  {}", record.offset, date_time_text(record.timestamp.0));
    if let Some(control) = control_type(record).filter(|_| is_control) {
        text.push_str(&format!("  {control}"));
        return text;
    }
    text.push_str(&format!("  key {}  value {}", quoted(record.key), quoted(record.value)));
    for header in record.headers.iter() {
        text.push_str(&format!("  header {}={}", String::from_utf8_lossy(header.key), quoted(header.value)));
    }
    visible(&text).into_owned()
}

fn quoted(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| Value::from(String::from_utf8_lossy(bytes)).to_string())
}

/// A control record's key: a version and a type, two bytes each.
fn control_type(record: &RecordView<'_>) -> Option<String> {
    let [_, _, high, low] = *record.key?.first_chunk()?;
    let number = u16::from_be_bytes([high, low]);
    Some(
        CONTROL_TYPES
            .get(usize::from(number))
            .map_or_else(|| format!("control {number}"), |&name| name.to_owned()),
    )
}

fn record_json(record: &RecordView<'_>, is_control: bool) -> Value {
    let headers = record.headers.iter().map(|header| {
        let mut object = json!({ "name": String::from_utf8_lossy(header.key) });
        put_bytes(&mut object, "value", header.value);
        object
    });
    let mut object = json!({
        "type": "record",
        "offset": record.offset.raw(),
        "timestamp": record.timestamp.0,
        "headers": headers.collect::<Vec<_>>(),
    });
    put_bytes(&mut object, "key", record.key);
    put_bytes(&mut object, "value", record.value);
    if is_control {
        object["control"] = control_type(record).into();
    }
    object
}
