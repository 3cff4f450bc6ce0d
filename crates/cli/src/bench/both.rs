//! `klamm bench both`: records go in and come out at the same time.
//!
//! Writing and reading have a thread and a connection each, as two programs would.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use klamm_client::{Admin, Assignment, Consumer, FetchedBatch, OffsetQuestion, PartitionName, Start};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::produce::{Written, check, write};
use super::report::{Report, Spent, Stopwatch};
use crate::args::{BenchProduceArgs, Format};
use crate::output::print_json;
use crate::remote::{self, Settings};

/// How long the last records may take to come out.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: &BenchProduceArgs) -> Result<()> {
    remote::run(async {
        let settings = remote::settings(&args.remote)?;
        let client = remote::connect(&settings, false).await?;
        let partition_count = super::topic(&client, &settings, &args.topic).await?.partitions.len();
        let ends = ends(&Admin::new(&client), &args.topic.topic, i32::try_from(partition_count)?).await?;
        let (written_count, wanted) = watch::channel(None);
        let stopwatch = Stopwatch::start();
        let began = stopwatch.began();
        let readers_settings = settings.clone();
        let reader = thread::spawn(move || read(&readers_settings, ends, wanted, began));
        let Written { records, failed, bytes, times } = write(args, &settings, &client, began).await?;
        let into_seconds = began.elapsed().as_secs_f64();
        // The reader may have failed: that is told below.
        let _ = written_count.send(Some(records));
        let out = reader.join().map_err(|_| anyhow!("the reading thread ended early"))??;
        let spent = Spent { seconds: into_seconds, ..stopwatch.stop() };
        let into =
            Report { name: "in", records, bytes, spent, latencies: vec![("acknowledged after", times)] };
        match args.remote.format {
            Format::Json => {
                print_json(&json!({ "bench": "both", "in": into.json(), "out": out.json() }))?;
            }
            Format::Table => {
                out.print_lines()?;
                into.print_lines()?;
            }
        }
        check(failed)
    })
}

/// Where each partition ends before anything is written.
async fn ends(admin: &Admin, topic: &str, partition_count: i32) -> Result<Vec<Assignment>> {
    let partitions = (0..partition_count).map(|number| PartitionName::new(topic, number));
    let mut ends = Vec::new();
    for (PartitionName { topic, partition }, end) in
        admin.list_offsets(partitions, OffsetQuestion::Latest).await?
    {
        let end = end?.offset.context("a partition without an end")?;
        ends.push(Assignment { topic, partition, start: Start::At(end) });
    }
    Ok(ends)
}

/// Reads until there are as many records as were written.
fn read(
    settings: &Settings,
    from: Vec<Assignment>,
    mut wanted: watch::Receiver<Option<u64>>,
    began: Instant,
) -> Result<Report> {
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let client = remote::connect(settings, false).await?;
        let consumer = Consumer::new(&client, settings.consumer()?);
        consumer.assign(from);
        let mut count = Count::default();
        loop {
            let is_written = wanted.borrow_and_update().is_some();
            if wanted.borrow().is_some_and(|wanted| count.records >= wanted) {
                break;
            }
            let patience = if is_written { PATIENCE } else { Duration::MAX };
            tokio::select! {
                batch = consumer.next_batch() => count.add(&batch?)?,
                changed = wanted.changed(), if !is_written => {
                    changed.context("the writing thread ended early")?;
                }
                () = tokio::time::sleep(patience) => {
                    bail!("only {} records came out within {} s", count.records, PATIENCE.as_secs());
                }
            }
        }
        let spent = Spent::wall(began.elapsed().as_secs_f64());
        Ok(Report { name: "out", records: count.records, bytes: count.bytes, spent, latencies: Vec::new() })
    })
}

#[derive(Default)]
struct Count {
    records: u64,
    bytes: u64,
    scratch: Vec<u8>,
}

impl Count {
    fn add(&mut self, batch: &FetchedBatch) -> Result<()> {
        for record in batch.records(&mut self.scratch)? {
            let record = record?;
            self.bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
            self.records += 1;
        }
        Ok(())
    }
}
