//! `klamm bench consume`.

use std::sync::Arc;

use anyhow::{Result, bail};
use klamm_client::{Assignment, Consumer, Start};

use super::report::{Report, Stopwatch};
use crate::args::BenchConsumeArgs;
use crate::progress::Progress;
use crate::remote;

pub(super) fn run(args: &BenchConsumeArgs) -> Result<()> {
    remote::run(async {
        let settings = remote::settings(&args.remote)?;
        let client = remote::connect(&settings, false).await?;
        let partition_count =
            remote::topic(&client, &args.topic, settings.timeout()).await?.partitions.len() as i32;
        let topic: Arc<str> = args.topic.as_str().into();
        let consumer = Consumer::new(&client, settings.consumer()?);
        let stopwatch = Stopwatch::start();
        consumer.assign((0..partition_count).map(|partition| Assignment {
            topic: topic.clone(),
            partition,
            start: Start::Earliest,
        }));
        let wanted = args.records.unwrap_or(u64::MAX);
        let (mut records, mut bytes) = (0, 0);
        let mut scratch = Vec::new();
        let mut progress = Progress::new();
        'reading: while let Some(batch) = consumer.next_batch_or_end().await? {
            progress.show(|| format!("{records} records read"));
            for record in batch.records(&mut scratch)? {
                let record = record?;
                bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
                records += 1;
                if records == wanted {
                    break 'reading;
                }
            }
        }
        let spent = stopwatch.stop();
        drop(progress);
        Report { name: "consume", records, bytes, spent, latencies: Vec::new() }.print(args.remote.format)?;
        match args.records {
            Some(wanted) if records < wanted => bail!("{} has only {records} records", args.topic),
            _ => Ok(()),
        }
    })
}
