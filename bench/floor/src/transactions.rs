//! Producers of transactions of one record each, one after the other: the requests of Kafka's clients, and nothing beside them.
//!
//! `--protocol 2` is what clients speak since Kafka 4 (KIP-890): the partition joins the transaction with its record, and every
//! transaction has an epoch of its own. `--protocol 1` is what came before: the partition is added by a request first.

use crate::Options;
use crate::clients::{connect, micros, quantiles, read_frame};
use crate::wire::{INIT_PRODUCER_ID, In, Out, PRODUCE, build_batch, stamp_batch};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const FIND_COORDINATOR: i16 = 10;
const ADD_PARTITIONS: i16 = 24;
const END: i16 = 26;

/// What is asked again: the coordinator or the partition is not ready, or the last transaction's marks are still on their way.
const NOT_YET: [i16; 5] = [14, 15, 16, 19, 51];
/// How long until then. Real clients wait 20 ms and more; what is looked at is the broker.
const PAUSE: Duration = Duration::from_millis(1);
const START_MAX: Duration = Duration::from_secs(30);
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// What one producer did. Counted is what began behind the warm-up.
#[derive(Default)]
struct Done {
    all: u64,
    pauses: u64,
    took_us: Vec<f64>,
}

pub(crate) fn transactions(options: &Options) -> Result<()> {
    let producers = options.number("producers", 1_usize)?;
    let seconds =
        |name, default| Ok::<_, anyhow::Error>(Duration::from_secs_f64(options.number(name, default)?));
    let (warm_up, counted) = (seconds("warm-up", 1.0)?, seconds("seconds", 5.0)?);
    let started = Barrier::new(producers);
    let done: Vec<Done> = std::thread::scope(|scope| {
        let started = &started;
        let run = move |number| {
            let producer = Producer::start(options, number);
            // Also by those that failed: the others wait for all.
            started.wait();
            producer?.run_for(warm_up, counted)
        };
        let workers: Vec<_> = (0..producers).map(|number| scope.spawn(move || run(number))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a producer panicked")?)
            .collect::<Result<_>>()
    })?;
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>();
    let (all, pauses, count) = (sum(|it| it.all), sum(|it| it.pauses), sum(|it| it.took_us.len() as u64));
    println!(
        "{{\"transactions\":{count},\"seconds\":{},\"all\":{all},\"pauses\":{pauses},\"took_us\":{}}}",
        counted.as_secs_f64(),
        quantiles(done.into_iter().flat_map(|it| it.took_us).collect())
    );
    Ok(())
}

/// One producer by its own transactional id, on one connection, writing to one partition.
struct Producer<'a> {
    stream: TcpStream,
    request: Out,
    reply: Vec<u8>,
    name: String,
    topic: &'a str,
    partition: i32,
    newer: bool,
    id: i64,
    epoch: i16,
    sequence: i32,
    batch: Vec<u8>,
    pauses: u64,
}

impl<'a> Producer<'a> {
    fn start(options: &'a Options, number: usize) -> Result<Self> {
        let topic = options.text("topic")?;
        let mut producer = Self {
            stream: connect(options)?,
            request: Out::default(),
            reply: Vec::new(),
            name: format!("{topic}-{number}"),
            topic,
            partition: (number % options.number("partitions", 16)?) as i32,
            newer: options.number("protocol", 2)? == 2,
            id: -1,
            epoch: -1,
            sequence: 0,
            batch: build_batch(0, options.number("record-bytes", 100)?).0,
            pauses: 0,
        };
        producer.find_coordinator()?;
        producer.init()?;
        producer.pauses = 0;
        Ok(producer)
    }

    fn run_for(mut self, warm_up: Duration, counted: Duration) -> Result<Done> {
        let (mut done, begun) = (Done::default(), Instant::now());
        while begun.elapsed() < warm_up + counted {
            let began = Instant::now();
            if !self.newer {
                self.add_partition()?;
            }
            self.produce()?;
            self.commit()?;
            done.all += 1;
            if began - begun >= warm_up {
                done.took_us.push(micros(began.elapsed()));
            }
        }
        done.pauses = self.pauses;
        Ok(done)
    }

    // --- the requests

    /// Also what makes the coordinator's topic.
    fn find_coordinator(&mut self) -> Result<()> {
        let begin = self.begin(FIND_COORDINATOR, 1);
        self.request.text(&self.name).i8(1);
        self.ask(begin, |answer| answer.skip(4)?.i16()).map(drop)
    }

    fn init(&mut self) -> Result<()> {
        let begin = self.begin(INIT_PRODUCER_ID, 1);
        self.request.text(&self.name).i32(TRANSACTION_TIMEOUT_MS);
        let at = self.ask(begin, |answer| answer.skip(4)?.i16())?;
        self.take_id(at)
    }

    fn add_partition(&mut self) -> Result<()> {
        let begin = self.begin(ADD_PARTITIONS, 2);
        self.request.text(&self.name).i64(self.id).i16(self.epoch);
        self.request.i32(1).text(self.topic).i32(1).i32(self.partition);
        self.ask(begin, |answer| {
            answer.skip(4 + 4)?.text()?;
            answer.skip(4 + 4)?.i16()
        })
        .map(drop)
    }

    fn produce(&mut self) -> Result<()> {
        stamp_batch(&mut self.batch, self.id, self.epoch, self.sequence);
        self.sequence += 1;
        if self.newer { self.produce_newer() } else { self.produce_older() }
    }

    fn produce_newer(&mut self) -> Result<()> {
        let begin = self.begin(PRODUCE, 12);
        self.request.no_tags().compact(self.name.as_bytes()).i16(-1).i32(30_000);
        self.request
            .uvarint(2)
            .compact(self.topic.as_bytes())
            .uvarint(2)
            .i32(self.partition)
            .compact(&self.batch);
        self.request.no_tags().no_tags().no_tags();
        self.ask(begin, |answer| {
            answer.skip(1)?.uvarint()?;
            let name_bytes = answer.uvarint()? - 1;
            answer.skip(name_bytes)?.uvarint()?;
            answer.skip(4)?.i16()
        })
        .map(drop)
    }

    fn produce_older(&mut self) -> Result<()> {
        let begin = self.begin(PRODUCE, 7);
        self.request.text(&self.name).i16(-1).i32(30_000).i32(1).text(self.topic).i32(1).i32(self.partition);
        self.request.i32(self.batch.len() as i32).0.extend(&self.batch);
        self.ask(begin, |answer| {
            answer.skip(4)?.text()?;
            answer.skip(4 + 4)?.i16()
        })
        .map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        let begin = self.begin(END, if self.newer { 5 } else { 2 });
        if !self.newer {
            self.request.text(&self.name).i64(self.id).i16(self.epoch).i8(1);
            return self.ask(begin, |answer| answer.skip(4)?.i16()).map(drop);
        }
        self.request.no_tags().compact(self.name.as_bytes()).i64(self.id).i16(self.epoch).i8(1).no_tags();
        let at = self.ask(begin, |answer| answer.skip(1 + 4)?.i16())?;
        self.sequence = 0;
        self.take_id(at)
    }

    /// The id and epoch that stand at this place of the answer.
    fn take_id(&mut self, at: usize) -> Result<()> {
        let mut answer = In { bytes: &self.reply, at };
        (self.id, self.epoch) = (answer.i64()?, answer.i16()?);
        ensure!(self.id >= 0, "no producer id");
        Ok(())
    }

    // --- one request and its answer

    fn begin(&mut self, key: i16, version: i16) -> usize {
        self.request.0.clear();
        self.request.begin_request_of(key, version, 1)
    }

    /// Sends what was written, again while it is too early for it; gives the place behind the error code, which `code` finds.
    fn ask(&mut self, begin: usize, code: impl Fn(&mut In<'_>) -> Result<i16>) -> Result<usize> {
        self.request.end_frame(begin, 0);
        let begun = Instant::now();
        loop {
            self.stream.write_all(&self.request.0)?;
            read_frame(&mut self.stream, &mut self.reply)?;
            // Behind the correlation id.
            let mut answer = In { bytes: &self.reply, at: 4 };
            match code(&mut answer)? {
                0 => return Ok(answer.at),
                early if NOT_YET.contains(&early) && begun.elapsed() < START_MAX => {
                    self.pauses += 1;
                    std::thread::sleep(PAUSE);
                }
                other => {
                    bail!("request {} of {} was answered with error {other}", self.request.0[5], self.name)
                }
            }
        }
    }
}
