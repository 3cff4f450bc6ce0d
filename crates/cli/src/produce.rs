//! `klamm produce`.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use klamm_client::{Producer, ProducerConfig, Record, SendError};
use klamm_model::{Compression, RecordHeader};
use tokio::sync::mpsc;

use crate::args::{ProduceArgs, WritingArgs};
use crate::failure::tell;
use crate::progress::Progress;
use crate::remote;

/// Bytes asked of the standard input at once.
const READ_SIZE: usize = 256 * 1024;
/// A longer line is not a record.
const LINE_SIZE_MAX: usize = 64 << 20;
/// Failures that are told one by one; after that they are only counted.
const FAILURES_TOLD_MAX: u64 = 5;
/// How long a record waits until the topic is there.
const BLOCK_MAX_MS: u64 = 10_000;

pub(crate) fn run(args: &ProduceArgs) -> Result<()> {
    remote::run(async {
        let client = remote::connect(&args.remote, true).await?;
        remote::topic(&client, &args.topic).await?;
        let outcome = Arc::new(Outcome::default());
        let observer = outcome.clone();
        let config = producer_config(&args.writing);
        let producer = Producer::with_observer(&client, config, move |batch| {
            observer.note(batch.record_count, batch.outcome.err());
        });
        let read = post_lines(args, &producer, &outcome).await;
        producer.close().await;
        read?;
        let (written, failed) =
            (outcome.written.load(Ordering::Relaxed), outcome.failed.load(Ordering::Relaxed));
        if failed > 0 {
            bail!("{failed} of {} records were not written", written + failed);
        }
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{written} records written to {}", args.topic);
        }
        Ok(())
    })
}

/// What the command line says about writing.
pub(crate) fn producer_config(writing: &WritingArgs) -> ProducerConfig {
    let default = ProducerConfig::default();
    ProducerConfig {
        acks: writing.acks,
        linger_ms: writing.linger,
        batch_size: writing.batch_size,
        request_size_max: default.request_size_max.max(writing.batch_size),
        compression: Compression::of(writing.compression),
        block_max_ms: BLOCK_MAX_MS,
        ..default
    }
}

#[derive(Default)]
struct Outcome {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Outcome {
    fn note(&self, record_count: u32, error: Option<&SendError>) {
        let Some(error) = error else {
            self.written.fetch_add(record_count.into(), Ordering::Relaxed);
            return;
        };
        let failed_before = self.failed.fetch_add(record_count.into(), Ordering::Relaxed);
        if failed_before < FAILURES_TOLD_MAX {
            tell(&format!("{record_count} records to {error}"));
        }
    }
}

async fn post_lines(args: &ProduceArgs, producer: &Producer, outcome: &Outcome) -> Result<()> {
    let headers: Vec<_> = args
        .headers
        .iter()
        .map(|(name, value)| RecordHeader { key: name.as_bytes(), value: Some(value.as_bytes()) })
        .collect();
    let separator = args.key_separator.as_deref().filter(|separator| !separator.is_empty());
    let mut chunks = read_chunks();
    // Who types the lines sees how far that is.
    let mut progress = (!io::stdin().is_terminal()).then(Progress::new);
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk?;
        if let Some(progress) = &mut progress {
            progress.show(|| format!("{} records written", outcome.written.load(Ordering::Relaxed)));
        }
        let lines = chunk.strip_suffix(b"\n").unwrap_or(&chunk);
        for line in lines.split(|byte| *byte == b'\n') {
            let (key, value) = match separator.and_then(|separator| split_once(line, separator.as_bytes())) {
                Some((key, value)) => (Some(key), value),
                None => (None, line),
            };
            let record = Record {
                topic: &args.topic,
                partition: args.partition,
                key,
                value: (!(args.empty_as_null && value.is_empty())).then_some(value),
                headers: &headers,
                timestamp: None,
            };
            producer.post(record).await?;
        }
    }
    Ok(())
}

fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..place], &line[place + separator.len()..]))
}

/// Reads the standard input in a thread of its own, as reading may block. Each chunk holds whole lines, as many as were there.
fn read_chunks() -> mpsc::Receiver<Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(4);
    thread::spawn(move || {
        let sent = cut_at_lines(&mut io::stdin().lock(), |chunk| sender.blocking_send(Ok(chunk)).is_ok());
        if let Err(error) = sent {
            // Whoever no longer listens has failed already.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Hands out whole lines until `take` wants no more or the input ends.
fn cut_at_lines(input: &mut impl Read, mut take: impl FnMut(Vec<u8>) -> bool) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let start = buffer.len();
        buffer.resize(start + READ_SIZE, 0);
        let read = match input.read(&mut buffer[start..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                buffer.truncate(start);
                continue;
            }
            Err(error) => return Err(error).context("standard input"),
        };
        buffer.truncate(start + read);
        if read == 0 {
            if !buffer.is_empty() {
                take(buffer);
            }
            return Ok(());
        }
        if let Some(end) = buffer[start..].iter().rposition(|byte| *byte == b'\n') {
            let rest = buffer.split_off(start + end + 1);
            if !take(std::mem::replace(&mut buffer, rest)) {
                return Ok(());
            }
        } else if buffer.len() > LINE_SIZE_MAX {
            bail!("standard input: a line of more than {LINE_SIZE_MAX} bytes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn lines_are_never_cut() {
        let text = b"one\n\ntwo\nthree is longer\nend";
        for step in 1..text.len() {
            let mut chunks = Vec::new();
            cut_at_lines(&mut Dribble(text, step), |chunk| {
                chunks.push(chunk);
                true
            })
            .expect("reads");
            assert_eq!(chunks.concat(), text, "in steps of {step}");
            let (last, whole) = chunks.split_last().expect("something was read");
            assert!(whole.iter().all(|chunk| chunk.ends_with(b"\n")), "in steps of {step}");
            assert!(last.ends_with(b"end"));
        }
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        assert_eq!(split_once(b"a::b::c", b"::"), Some((&b"a"[..], &b"b::c"[..])));
        assert_eq!(split_once(b"::b", b"::"), Some((&b""[..], &b"b"[..])));
        assert_eq!(split_once(b"a:b", b"::"), None);
    }
}
