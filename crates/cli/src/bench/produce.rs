//! `klamm bench produce`.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use klamm_client::{Client, Producer, Record};

use super::payload::Payloads;
use super::report::{Report, Stopwatch, histogram, record};
use crate::args::BenchProduceArgs;
use crate::failure::tell;
use crate::produce::producer_config;
use crate::progress::Progress;
use crate::remote::{self, Settings};

/// Records whose latency is measured at least, if there are so many; measuring each would cost more than sending it.
const SAMPLES: u64 = 20_000;

/// Records after which the terminal is thought of.
const PROGRESS_EVERY: u64 = 1_024;

pub(super) fn run(args: &BenchProduceArgs) -> Result<()> {
    remote::run(async {
        let settings = remote::settings(&args.remote)?;
        let client = remote::connect(&settings, false).await?;
        super::topic(&client, &settings, &args.topic).await?;
        let stopwatch = Stopwatch::start();
        let Written { records, failed, bytes, times } =
            write(args, &settings, &client, stopwatch.began()).await?;
        let spent = stopwatch.stop();
        Report { name: "produce", records, bytes, spent, latencies: vec![("acknowledged after", times)] }
            .print(args.remote.format)?;
        check(failed)
    })
}

/// What came of the records.
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) failed: u64,
    /// Of their keys and values.
    pub(super) bytes: u64,
    /// Until each was acknowledged, of a sample.
    pub(super) times: Histogram<u64>,
}

/// Writes all records and waits until each was acknowledged or has failed.
pub(super) async fn write(
    args: &BenchProduceArgs,
    settings: &Settings,
    client: &Client,
    began: Instant,
) -> Result<Written> {
    let totals = Arc::new(Totals::default());
    let observer = totals.clone();
    let producer = Producer::with_observer(client, producer_config(&args.writing, settings)?, move |batch| {
        match batch.outcome {
            Ok(_) => &observer.written,
            Err(error) => {
                observer.tell_first(error);
                &observer.failed
            }
        }
        .fetch_add(batch.record_count.into(), Ordering::Relaxed);
    });
    let times = Arc::new(Mutex::new(histogram()));
    let bytes = send(args, &producer, &totals, &times, began).await?;
    producer.close().await;
    Ok(Written {
        records: totals.written.load(Ordering::Relaxed),
        failed: totals.failed.load(Ordering::Relaxed),
        bytes,
        times: times.lock().expect("nobody panics while adding a number").clone(),
    })
}

pub(super) fn check(failed: u64) -> Result<()> {
    match failed {
        0 => Ok(()),
        failed => bail!("{failed} records were not written"),
    }
}

#[derive(Default)]
struct Totals {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Totals {
    fn tell_first(&self, error: &klamm_client::SendError) {
        if self.failed.load(Ordering::Relaxed) == 0 {
            tell(&error);
        }
    }
}

/// Sends all records; returns the bytes of their keys and values.
async fn send(
    args: &BenchProduceArgs,
    producer: &Producer,
    totals: &Totals,
    times: &Arc<Mutex<Histogram<u64>>>,
    began: Instant,
) -> Result<u64> {
    let payload = &args.payload;
    let mut payloads = Payloads::new(1, payload.payload, payload.record_size, payload.keys);
    let sample_every = (args.records / SAMPLES).max(1);
    let mut bytes = 0;
    let mut progress = Progress::new();
    for number in 0..args.records {
        if number % PROGRESS_EVERY == 0 {
            progress.show(|| {
                format!("{} of {} records written", totals.written.load(Ordering::Relaxed), args.records)
            });
        }
        let meant = match args.throughput {
            Some(rate) => wait_for_turn(began, number, rate).await,
            None => None,
        };
        let (key, value) = payloads.next();
        bytes += (key.map_or(0, <[u8]>::len) + value.len()) as u64;
        let next = Record { key, ..Record::new(&args.topic.topic, value) };
        if number % sample_every != 0 {
            producer.post(next).await?;
            continue;
        }
        // At a fixed rate the wait of a record that came late counts; at full speed there is no moment that was meant.
        let meant = meant.unwrap_or_else(Instant::now);
        let delivery = producer.accept(next).await?;
        let times = times.clone();
        tokio::spawn(async move {
            if delivery.await.is_ok() {
                let time = meant.elapsed();
                record(&mut times.lock().expect("nobody panics while adding a number"), time);
            }
        });
    }
    Ok(bytes)
}

/// Waits for the moment of the record; says when it was.
async fn wait_for_turn(began: Instant, number: u64, rate: u64) -> Option<Instant> {
    let meant = began + Duration::from_secs_f64(number as f64 / rate as f64);
    if meant > Instant::now() {
        tokio::time::sleep_until(meant.into()).await;
    }
    Some(meant)
}
