//! `klamm bench latency`: an open loop. Records are sent at fixed moments, and times count from the moment meant, so that a broker which
//! stalls is charged for every record that it held up.
//!
//! Unless it is to be one record at a time, which is a closed one.
//!
//! One thread keeps the time and appends; another runs the connections. A timer of the runtime would be a millisecond late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use klamm_client::{Assignment, Client, Consumer, Producer, ProducerConfig, Record, Start};
use tokio::runtime::{Builder, Handle};

use super::payload::Payloads;
use super::report::{Report, Stopwatch, histogram, record};
use crate::args::{BenchLatencyArgs, Payload};
use crate::produce::BLOCK_MAX_MS;
use crate::remote;

/// Sleeping ends about so much too late; the rest of the wait is spent awake.
const SLEEP_LATENESS: Duration = Duration::from_micros(100);
/// How long the last records may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A record carries the moment it was meant for.
const RECORD_SIZE_MIN: usize = 8;

type Times = Arc<Mutex<Histogram<u64>>>;

pub(super) fn run(args: &BenchLatencyArgs) -> Result<()> {
    crate::output::log_to_stderr("warn");
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let (client, producer, consumer) = runtime.block_on(prepare(args))?;
    if args.one_at_a_time {
        return runtime.block_on(one_at_a_time(args, producer));
    }
    let handle = runtime.handle().clone();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let network = thread::spawn(move || {
        // Ends when the other half is dropped, whatever the reason.
        let _ = runtime.block_on(finished);
    });
    let done = measure(args, &handle, producer, consumer);
    drop((client, finish));
    if network.join().is_err() {
        bail!("the network thread ended early");
    }
    done
}

async fn prepare(args: &BenchLatencyArgs) -> Result<(Client, Producer, Option<Consumer>)> {
    let settings = remote::settings(&args.remote)?;
    let client = remote::connect(&settings, false).await?;
    let partition_count = super::topic(&client, &settings, &args.topic).await?.partitions.len() as i32;
    let config = ProducerConfig { linger_ms: 0, ..settings.producer(BLOCK_MAX_MS, Some(args.acks))? };
    let producer = Producer::new(&client, config);
    // The first record pays for connections and the producer id.
    producer.send(Record::new(&args.topic.topic, &[0; RECORD_SIZE_MIN])).await?;
    let config = settings.consumer()?;
    let consumer = args.end_to_end.then(|| Consumer::new(&client, config));
    if let Some(consumer) = &consumer {
        let topic: Arc<str> = args.topic.topic.as_str().into();
        consumer.assign((0..partition_count).map(|partition| Assignment {
            topic: topic.clone(),
            partition,
            start: Start::Latest,
        }));
        while consumer.positions().iter().any(|it| it.position.is_none()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok((client, producer, consumer))
}

fn measure(
    args: &BenchLatencyArgs,
    handle: &Handle,
    producer: Producer,
    consumer: Option<Consumer>,
) -> Result<()> {
    let record_count = args.rate * args.seconds;
    let record_size = args.record_size.max(RECORD_SIZE_MIN);
    let acknowledged: Times = Arc::new(Mutex::new(histogram()));
    let received: Times = Arc::new(Mutex::new(histogram()));
    let failed = Arc::new(AtomicU64::new(0));
    let stopwatch = Stopwatch::start();
    let began = stopwatch.began();
    let (all_received, wait_received) = mpsc::channel();
    let is_end_to_end = consumer.is_some();
    if let Some(consumer) = consumer {
        let received = received.clone();
        handle.spawn(async move {
            let done = receive(&consumer, record_count, began, &received).await;
            // Nobody listens when the run was given up.
            let _ = all_received.send(done);
        });
    }
    let mut payloads = Payloads::new(1, Payload::Random, record_size, 0);
    for number in 0..record_count {
        let meant = Duration::from_secs_f64(number as f64 / args.rate as f64);
        let (_, value) = payloads.next();
        let meant_ns = u64::try_from(meant.as_nanos()).unwrap_or(u64::MAX);
        value[..RECORD_SIZE_MIN].copy_from_slice(&meant_ns.to_be_bytes());
        wait_until(began + meant);
        let next = Record::new(&args.topic.topic, value);
        let Some(delivery) = producer.try_accept(&next)? else {
            bail!("the broker keeps up with fewer than {} records/s: the buffer is full", args.rate);
        };
        let (times, failed) = (acknowledged.clone(), failed.clone());
        handle.spawn(async move {
            match delivery.await {
                Ok(_) => add(&times, began, meant),
                Err(_) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let (closed, wait_closed) = mpsc::channel();
    handle.spawn(async move {
        producer.close().await;
        // Nobody listens when the run was given up.
        let _ = closed.send(());
    });
    wait_closed.recv_timeout(PATIENCE).context("the last records were not acknowledged")?;
    if is_end_to_end {
        wait_received.recv_timeout(PATIENCE).context("the last records were not received")??;
    }
    // The tasks that note the last acknowledgements have been woken, but need not have run.
    while copy_of(&acknowledged).len() + failed.load(Ordering::Relaxed) < record_count
        && stopwatch.began().elapsed() < Duration::from_secs(args.seconds) + PATIENCE
    {
        thread::sleep(Duration::from_millis(1));
    }
    let spent = stopwatch.stop();
    let mut latencies = vec![("acknowledged after", copy_of(&acknowledged))];
    if is_end_to_end {
        latencies.push(("received after", copy_of(&received)));
    }
    let failed = failed.load(Ordering::Relaxed);
    let records = record_count - failed;
    Report { name: "latency", records, bytes: records * record_size as u64, spent, latencies }
        .print(args.remote.format)?;
    if failed > 0 {
        bail!("{failed} records were not written");
    }
    Ok(())
}

/// A closed loop: what a program waits for that can go on only when its record is written.
async fn one_at_a_time(args: &BenchLatencyArgs, producer: Producer) -> Result<()> {
    let record_size = args.record_size.max(RECORD_SIZE_MIN);
    let mut payloads = Payloads::new(1, Payload::Random, record_size, 0);
    let mut times = histogram();
    let stopwatch = Stopwatch::start();
    let end = stopwatch.began() + Duration::from_secs(args.seconds);
    let mut sent = stopwatch.began();
    while sent < end {
        let (_, value) = payloads.next();
        producer.send(Record::new(&args.topic.topic, value)).await?;
        let answered = Instant::now();
        record(&mut times, answered - sent);
        sent = answered;
    }
    producer.close().await;
    let (spent, records) = (stopwatch.stop(), times.len());
    let latencies = vec![("acknowledged after", times)];
    Report { name: "latency", records, bytes: records * record_size as u64, spent, latencies }
        .print(args.remote.format)
}

async fn receive(consumer: &Consumer, record_count: u64, began: Instant, times: &Times) -> Result<()> {
    let mut scratch = Vec::new();
    let mut count = 0;
    while count < record_count {
        let batch = consumer.next_batch().await?;
        for record in batch.records(&mut scratch)? {
            let meant_ns =
                record?.value.and_then(|value| value.first_chunk()).map(|bytes| u64::from_be_bytes(*bytes));
            add(times, began, Duration::from_nanos(meant_ns.unwrap_or(0)));
            count += 1;
        }
    }
    Ok(())
}

fn add(times: &Times, began: Instant, meant: Duration) {
    let time = began.elapsed().saturating_sub(meant);
    record(&mut times.lock().expect("nobody panics while adding a number"), time);
}

fn copy_of(times: &Times) -> Histogram<u64> {
    times.lock().expect("nobody panics while adding a number").clone()
}

fn wait_until(moment: Instant) {
    if let Some(left) = moment.checked_duration_since(Instant::now() + SLEEP_LATENESS) {
        thread::sleep(left);
    }
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
}
