//! `klamm produce`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use klamm_client::{
    Cause, Client, Delivered, Delivery, Producer, ProducerConfig, Record, SendError, Transaction,
    TransactionalProducer, Trouble,
};
use klamm_model::{Offset, RecordHeader};
use serde_json::json;
use tokio::time::sleep_until;

use crate::args::{Format, PartitionChoice, ProduceArgs, WritingArgs};
use crate::failure::{Interrupted, Usage, tell};
use crate::input::{Place, Records, Shape, chunks};
use crate::interrupt::Interrupt;
use crate::output::counted;
use crate::progress::Progress;
use crate::remote::{self, Settings};
use crate::report::Report;
use crate::template::InputRecord;
use crate::waiting::{Missing, Wait, watch};

/// How long a record waits until the topic is there.
pub(crate) const BLOCK_MAX_MS: u64 = 10_000;

pub(crate) fn run(args: &ProduceArgs) -> Result<()> {
    let shape = args.shape();
    if args.topic.is_none() && !shape.reads_topic() {
        return Err(Usage(
            "which topic? TOPIC names one, or each record does, with --json or %t in -f".to_owned(),
        )
        .into());
    }
    remote::run(async {
        let mut interrupt = Interrupt::listen()?;
        let settings = remote::settings(&args.remote)?;
        let config = producer_config(&args.writing, &settings)?;
        let begun = async {
            let client = remote::connect(&settings, true).await?;
            if let Some(topic) = &args.topic {
                remote::topic_or_new(&client, topic, settings.timeout()).await?;
            }
            Ok(client)
        };
        let client = interrupt.unless(begun).await?;
        let sink = interrupt.unless(Sink::open(args, &client, &settings, config)).await?;
        let writer = Writer::new(args, &shape, &client, sink, settings.timeout());
        let written = interrupt.unless(writer.or_watch(writer.write_all())).await;
        // Whatever ended it: what was accepted is on its way, and is waited for.
        let finished = interrupt.despite(writer.or_watch(writer.finish()), || writer.tell_of_missing()).await;
        let done = writer.end(written.and(finished));
        let was_interrupted = is_interrupted(&done);
        // Nor is a transaction left open, which would hold up its readers.
        let ended = interrupt
            .despite(writer.sink.end(done.is_ok()), || {
                if !was_interrupted {
                    tell("interrupted: waiting for the end of the transaction; once more ends it at once");
                }
            })
            .await;
        if is_interrupted(&ended) && done.is_ok() {
            tell("interrupted: the transaction is committed");
        }
        done.and(ended)
    })
}

fn is_interrupted(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.is::<Interrupted>())
}

/// Where records go: each counts for itself, or all count together.
enum Sink {
    Alone(Producer),
    Together { producer: TransactionalProducer, transaction: Transaction },
}

impl Sink {
    async fn open(
        args: &ProduceArgs,
        client: &Client,
        settings: &Settings,
        config: ProducerConfig,
    ) -> Result<Self> {
        let Some(id) = &args.transactional_id else { return Ok(Self::Alone(Producer::new(client, config))) };
        let producer = TransactionalProducer::start(client, settings.transactional(id, config)?).await?;
        let transaction = producer.begin().await?;
        Ok(Self::Together { producer, transaction })
    }

    async fn accept(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        match self {
            Self::Alone(producer) => producer.accept(record).await,
            Self::Together { transaction, .. } => transaction.accept(record).await,
        }
    }

    async fn flush(&self) {
        match self {
            Self::Alone(producer) => producer.flush().await,
            Self::Together { transaction, .. } => transaction.flush().await,
        }
    }

    fn troubles(&self) -> Vec<Trouble<Cause>> {
        match self {
            Self::Alone(producer) => producer.troubles(),
            Self::Together { producer, .. } => producer.troubles(),
        }
    }

    /// Has all of it count if it is there as a whole, and nothing of it if not.
    async fn end(self, is_whole: bool) -> Result<()> {
        match self {
            Self::Alone(_) => Ok(()),
            Self::Together { transaction, .. } if is_whole => Ok(transaction.commit().await?),
            Self::Together { transaction, .. } => {
                let aborted = transaction.abort().await;
                match &aborted {
                    Ok(()) => tell("the transaction is aborted: nothing of it counts"),
                    Err(error) => tell(&format!("the transaction will not be committed: {error}")),
                }
                Ok(aborted?)
            }
        }
    }
}

/// What the settings say, and the command line about writing.
pub(crate) fn producer_config(writing: &WritingArgs, settings: &Settings) -> Result<ProducerConfig> {
    let config = settings.producer(BLOCK_MAX_MS, writing.acks)?;
    let request_size_max = config.request_size_max.max(writing.batch_size.unwrap_or(0));
    Ok(ProducerConfig {
        linger_ms: writing.linger.unwrap_or(config.linger_ms),
        batch_size: writing.batch_size.unwrap_or(config.batch_size),
        request_size_max,
        compression: writing.compression.unwrap_or(config.compression),
        ..config
    })
}

struct Writer<'a> {
    args: &'a ProduceArgs,
    shape: &'a Shape,
    client: &'a Client,
    /// How long brokers may take to tell of a topic.
    timeout: Duration,
    sink: Sink,
    headers: Vec<RecordHeader<'a>>,
    /// Shared by those who write, who wait for answers, and who look on.
    ledger: RefCell<Ledger>,
}

/// What came of the records so far.
struct Ledger {
    /// In the order of the input.
    pending: VecDeque<(Place, Delivery)>,
    accepted: u64,
    written: u64,
    failed: u64,
    /// The first record that was not sent, if something stood in its way.
    stopped: Option<Place>,
    topics: BTreeSet<Arc<str>>,
    format: Format,
    /// Where it is told of each record.
    report: Option<Report>,
}

impl<'a> Writer<'a> {
    fn new(
        args: &'a ProduceArgs,
        shape: &'a Shape,
        client: &'a Client,
        sink: Sink,
        timeout: Duration,
    ) -> Self {
        let header = |(name, value): &'a (String, String)| RecordHeader {
            key: name.as_bytes(),
            value: Some(value.as_bytes()),
        };
        let is_told = args.verbose || args.remote.format == Format::Json;
        let ledger = Ledger {
            pending: VecDeque::new(),
            accepted: 0,
            written: 0,
            failed: 0,
            stopped: None,
            topics: args.topic.iter().map(|topic| topic.as_str().into()).collect(),
            format: args.remote.format,
            report: is_told.then(|| Report::to(io::stdout())),
        };
        let headers = args.headers.iter().map(header).collect();
        Self { args, shape, client, timeout, sink, headers, ledger: ledger.into() }
    }

    /// Does the work, and says what is waited for when it does not go on.
    async fn or_watch(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        tokio::select! {
            done = work => done,
            given_up = watch(self.client, None, || self.wait()) => given_up,
        }
    }

    fn wait(&self) -> Wait {
        let ledger = self.ledger.borrow();
        let cluster = self.client.cluster();
        let partitions = ledger.topics.iter().flat_map(|name| {
            let count = cluster.topics.get(name).map_or(0, |topic| topic.partitions.len() as i32);
            (0..count).map(|number| (name.clone(), number))
        });
        let is_wanted = |number: i32| match self.args.partition {
            Some(PartitionChoice::Number(wanted)) => wanted == number,
            Some(PartitionChoice::Any) | None => true,
        };
        let unread = ledger.report.as_ref().and_then(Report::unread);
        let missing = if ledger.pending.is_empty() {
            unread.map(|_| Missing::new("nobody reads the standard output"))
        } else {
            // Not how many: that would be a new reason whenever one more is read.
            let unacknowledged = "what was sent is not acknowledged";
            let trouble = Missing::lasting(self.sink.troubles());
            Some(trouble.map_or_else(
                || Missing::new(unacknowledged),
                |it| Missing { text: format!("{unacknowledged}: {}", it.text), ..it },
            ))
        };
        Wait {
            progress: ledger.written + ledger.failed + unread.unwrap_or(0),
            partitions: partitions.filter(|it| !ledger.pending.is_empty() && is_wanted(it.1)).collect(),
            missing,
        }
    }

    /// Sends the input's records, until one fails.
    async fn write_all(&self) -> Result<()> {
        let mut chunks = chunks(self.args.files.clone());
        let mut records = Records::new(self.shape);
        // Who types the records sees how far that is.
        let mut progress = (!io::stdin().is_terminal() || !self.args.files.is_empty()).then(Progress::new);
        let mut pace = self.args.rate;
        let count = self.args.count.unwrap_or(u64::MAX);
        let goes_on = || {
            let ledger = self.ledger.borrow();
            ledger.accepted < count && ledger.failed == 0
        };
        while goes_on() {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = self.settle() => continue,
            };
            let Some(chunk) = chunk else { return Ok(()) };
            records.add(chunk?);
            if let Some(progress) = &mut progress {
                let ledger = self.ledger.borrow();
                progress.show(|| counted(ledger.written, "record written", "records written"));
            }
            while goes_on() {
                let place = records.place();
                let sent = match records.next() {
                    Ok(None) => break,
                    Ok(Some(record)) => {
                        if let Some(pace) = &mut pace {
                            self.meanwhile(sleep_until(pace.turn(Instant::now()).into())).await;
                        }
                        self.send(place, &record).await
                    }
                    Err(problem) => Err(Error::msg(problem)),
                };
                if let Err(problem) = sent {
                    tell(&format!("{}: {problem}", self.told(place)));
                    self.ledger.borrow_mut().stopped = Some(place);
                    return Ok(());
                }
            }
        }
        // There may be more, which is not sent.
        let mut ledger = self.ledger.borrow_mut();
        ledger.stopped = (ledger.failed > 0).then(|| records.place());
        Ok(())
    }

    async fn send(&self, place: Place, record: &InputRecord<'_>) -> Result<()> {
        let room = self.ledger.borrow().report.as_ref().map(Report::room);
        if let Some(room) = room {
            // Not earlier: who has nothing more to write is done, whether anybody listens or not.
            self.meanwhile(room).await.map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => anyhow!("nobody reads the standard output any more"),
                _ => anyhow!("standard output: {error}"),
            })?;
        }
        let args = self.args;
        let topic = args
            .topic
            .as_deref()
            .or(record.topic.as_deref())
            .context("it names no topic, and TOPIC does not")?;
        if !self.ledger.borrow().topics.contains(topic) {
            self.meanwhile(remote::topic_or_new(self.client, topic, self.timeout)).await?;
            self.ledger.borrow_mut().topics.insert(topic.into());
        }
        let there = |bytes: &'_ Option<Cow<'_, [u8]>>| {
            bytes.as_ref().is_some_and(|it| args.null.as_ref().is_none_or(|null| **it != *null.as_bytes()))
        };
        let key = record.key.as_deref().filter(|_| there(&record.key));
        let value = record
            .value
            .as_deref()
            .filter(|value| there(&record.value) && !(args.empty_as_null && value.is_empty()));
        let own = record.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() });
        let all: Vec<_>;
        let headers = if record.headers.is_empty() {
            &self.headers
        } else {
            all = own.chain(self.headers.iter().copied()).collect();
            &all
        };
        let record = Record {
            topic,
            partition: match args.partition {
                Some(PartitionChoice::Number(number)) => Some(number),
                Some(PartitionChoice::Any) => None,
                None => record.partition,
            },
            key: key.or(args.key.as_deref().map(str::as_bytes)),
            value,
            headers,
            timestamp: record.timestamp,
        };
        let delivery = self.meanwhile(self.sink.accept(record)).await?;
        let mut ledger = self.ledger.borrow_mut();
        ledger.accepted += 1;
        ledger.pending.push_back((place, delivery));
        Ok(())
    }

    /// Waits for all answers that are missing.
    async fn finish(&self) -> Result<()> {
        let settled = async {
            while !self.ledger.borrow().pending.is_empty() {
                self.settle().await;
            }
        };
        // Nothing has to linger any more.
        tokio::join!(settled, self.sink.flush());
        let told = self.ledger.borrow_mut().report.as_mut().map(Report::finish);
        match told {
            Some(told) => told.await.or_else(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error).context("standard output"),
            }),
            None => Ok(()),
        }
    }

    /// Who has interrupted it may wait longer than he thought.
    fn tell_of_missing(&self) {
        let count = self.ledger.borrow().pending.len() as u64;
        if count > 0 {
            let records = counted(count, "record", "records");
            tell(&format!(
                "interrupted: waiting for {records} to be acknowledged; once more ends it at once"
            ));
        }
    }

    /// Does this, and takes answers while it lasts.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.settle() => {}
            }
        }
    }

    /// Waits until something is known of the oldest record that was not answered, and takes all that is known with it.
    async fn settle(&self) {
        poll_fn(|context| self.poll_settle(context)).await;
    }

    fn poll_settle(&self, context: &mut TaskContext<'_>) -> Poll<()> {
        let mut ledger = self.ledger.borrow_mut();
        let mut has_settled = false;
        while let Some((place, delivery)) = ledger.pending.front_mut() {
            let Poll::Ready(outcome) = Pin::new(delivery).poll(context) else { break };
            let place = *place;
            ledger.pending.pop_front();
            has_settled = true;
            match outcome {
                Ok(delivered) => ledger.written(&delivered),
                Err(error) => {
                    if ledger.failed == 0 {
                        tell(&format!("{}: {error}", self.told(place)));
                    }
                    ledger.failed += 1;
                }
            }
        }
        if !has_settled {
            return Poll::Pending;
        }
        if let Some(report) = &mut ledger.report {
            report.pass_on();
        }
        Poll::Ready(())
    }

    /// Where it stands, for a person.
    fn told(&self, place: Place) -> String {
        let name = self.shape.place_name();
        match self.args.files.get(place.file) {
            Some(file) => format!("{}, {name} {}", file.display(), place.number),
            None => format!("{name} {}", place.number),
        }
    }

    /// Says how far it came, where a person would ask.
    fn end(&self, done: Result<()>) -> Result<()> {
        let ledger = self.ledger.borrow();
        let mut text = counted(ledger.written, "record was written", "records were written");
        if ledger.failed > 0 {
            // Some of them may be written all the same.
            text.push_str(&format!(", {} not acknowledged", counted(ledger.failed, "was", "were")));
        }
        if let Some(place) = ledger.stopped {
            text.push_str(&format!("; nothing was sent from {} on", self.told(place)));
        }
        match done {
            Err(error) if error.is::<Interrupted>() => {
                tell(&format!("interrupted: {text}"));
                Err(error)
            }
            Err(error) => Err(error.context(text)),
            Ok(()) if ledger.failed > 0 || ledger.stopped.is_some() => bail!(text),
            Ok(()) => {
                if io::stderr().is_terminal() {
                    let _ = writeln!(io::stderr(), "{text}");
                }
                Ok(())
            }
        }
    }
}

impl Ledger {
    fn written(&mut self, Delivered { topic, partition, offset, timestamp }: &Delivered) {
        self.written += 1;
        let Some(report) = &mut self.report else { return };
        let offset = offset.map(Offset::raw);
        match self.format {
            Format::Json => {
                report.line(json!({ "topic": **topic, "partition": partition, "offset": offset, "timestamp": timestamp.0 }));
            }
            Format::Table => {
                let offset = offset.map_or(String::new(), |offset| format!(" offset {offset}"));
                report.line(format_args!("{topic}-{partition}{offset}"));
            }
        }
    }
}
