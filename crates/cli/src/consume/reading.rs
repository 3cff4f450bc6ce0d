//! Where reading begins and ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use klamm_client::{
    Admin, Assignment, ConsumeError, Consumer, FetchedBatch, PartitionName, PartitionPosition, Start,
};
use klamm_model::{Offset, RecordView, Timestamp};

use super::beginning::Beginning;
use super::printer::Printer;
use super::tell_resets;
use crate::args::ConsumeArgs;
use crate::offsets::{Span, offsets_of, spans};
use crate::range::Bound;
use crate::time::now_ms;
use crate::waiting::{Missing, Wait};

/// How often it is looked whether a range was read to its end, while nothing comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// After the moment at which reading ends, older records may still be on their way: producers let them linger, and clocks differ.
const LATE_MS_MAX: i64 = 1_000;

/// What is read, and where it ends.
pub(super) struct Reading<'a> {
    consumer: &'a Consumer,
    admin: Admin,
    /// Whether there is no waiting for what comes later.
    is_exit: bool,
    beginning: Beginning,
    /// Of a range: where those partitions end that are not read so far.
    ends: Option<RefCell<BTreeMap<PartitionName, Offset>>>,
    /// While that is not known: they end with the first record that is not older, or, if there is none soon after this moment, with what is there.
    ends_at: Cell<Option<Timestamp>>,
    /// Records that came.
    seen: Cell<u64>,
    /// Whether a batch is being printed, at whatever pace.
    is_printing: Cell<bool>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(consumer: &'a Consumer, admin: Admin, args: &ConsumeArgs) -> Self {
        Self {
            consumer,
            admin,
            is_exit: args.exit,
            beginning: Beginning::new(args.range().from),
            ends: None,
            ends_at: Cell::new(None),
            seen: Cell::new(0),
            is_printing: Cell::new(false),
        }
    }

    /// Begins with these partitions. Says whether all that is to be read is there already.
    pub(super) async fn begin(
        &mut self,
        args: &ConsumeArgs,
        mut partitions: Vec<PartitionName>,
    ) -> Result<bool> {
        let assign = |(name, start): (PartitionName, Start)| Assignment {
            topic: name.topic,
            partition: name.partition,
            start,
        };
        let range = args.range();
        let from = range.from;
        let Some(to) = range.to else {
            self.consumer.assign(self.starts(partitions, from).await?.into_iter().map(assign));
            return Ok(args.exit);
        };
        let mut ends = BTreeMap::new();
        let (starts, is_bounded) = match range.ends_later().filter(|_| !args.exit) {
            Some(moment) => {
                self.ends_at.set(Some(moment));
                if let Bound::Place(Start::At(from)) = from {
                    let spans = known_spans(&self.admin, &partitions).await?;
                    partitions.retain(|name| from <= spans[name].end);
                }
                ends.extend(partitions.iter().map(|name| (name.clone(), Offset::new(i64::MAX))));
                (self.starts(partitions, from).await?, false)
            }
            None => {
                let ranges = ranges(&self.admin, &partitions, from, to).await?;
                let is_bounded = ranges.values().all(|range| range.to <= range.span.end);
                for (name, range) in &ranges {
                    let to = if args.exit { range.to.min(range.span.end) } else { range.to };
                    // A shorter log than others has nothing of it, and may never have.
                    if range.from < to && range.from <= range.span.end {
                        ends.insert(name.clone(), to);
                    }
                }
                let starts: Vec<_> =
                    ends.keys().map(|name| (name.clone(), Start::At(ranges[name].from))).collect();
                (starts, is_bounded)
            }
        };
        self.consumer.assign(starts.into_iter().map(assign));
        self.ends = Some(ends.into());
        Ok(is_bounded)
    }

    /// Where to begin if there is no end yet.
    async fn starts(
        &mut self,
        partitions: Vec<PartitionName>,
        from: Bound,
    ) -> Result<Vec<(PartitionName, Start)>> {
        Ok(match from {
            Bound::Place(start) => partitions.into_iter().map(|name| (name, start)).collect(),
            Bound::After(count) => {
                let spans = known_spans(&self.admin, &partitions).await?;
                let mut starts = Vec::new();
                for (name, span) in spans {
                    let first = after(span.start, count);
                    if span.end < first {
                        // A shorter log has nothing of it so far.
                        self.beginning.expect(name.clone(), first);
                    }
                    starts.push((name, Start::At(first.min(span.end))));
                }
                starts
            }
        })
    }

    /// The moment has come up to which is to be read: what is not there yet is not meant.
    async fn settle_ends(&self, moment: Timestamp) -> Result<()> {
        let Some(ends) = &self.ends else { return Ok(()) };
        let partitions: Vec<_> = ends.borrow().keys().cloned().collect();
        let spans = known_spans(&self.admin, &partitions).await?;
        let known = offsets_of(&self.admin, Start::Since(moment), &spans).await?;
        ends.borrow_mut().extend(known);
        self.ends_at.set(None);
        Ok(())
    }

    /// Prints what comes, up to the end if there is one.
    pub(super) async fn read_all(&self, printer: &mut Printer<'_>) -> Result<()> {
        while !printer.is_full() {
            let is_over = |moment: &Timestamp| moment.0.saturating_add(LATE_MS_MAX) <= now_ms();
            if let Some(moment) = self.ends_at.get().filter(is_over) {
                let asked = Instant::now();
                self.settle_ends(moment).await.map_err(|error| match asked.elapsed().as_secs() {
                    0 => error,
                    waited => anyhow!("{error:#}; that was waited for {waited} s"),
                })?;
            }
            let next = match self.consumer.take() {
                Some(next) => next,
                None if self.is_finished() => break,
                None => {
                    // Nothing is here at the moment: what was printed should be seen now.
                    printer.flush()?;
                    match self.next().await {
                        Some(next) => next,
                        None if self.ends.is_none() => break,
                        None => continue,
                    }
                }
            };
            self.is_printing.set(true);
            let has_reached_end = self.print(&next?, printer).await?;
            self.is_printing.set(false);
            if has_reached_end && self.is_finished() {
                break;
            }
            // Signals are listened to however much there is to read.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits for a batch; `None` at the end, or when it has to be looked again whether that is it.
    async fn next(&self) -> Option<Result<FetchedBatch, ConsumeError>> {
        if self.ends.is_some() {
            // A position also moves over what nobody is shown, such as marks of transactions, and nobody is told of that.
            return tokio::time::timeout(LOOK_INTERVAL, self.consumer.next_batch()).await.ok();
        }
        if self.is_exit {
            self.consumer.next_batch_or_end().await.transpose()
        } else {
            Some(self.consumer.next_batch().await)
        }
    }

    /// Whether all of a range was read. Leaves partitions alone of which that is so.
    fn is_finished(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        let mut ends = ends.borrow_mut();
        for PartitionPosition { topic, partition, position, .. } in self.consumer.positions() {
            let name = PartitionName::new(topic, partition);
            if position.is_some_and(|position| ends.get(&name).is_some_and(|end| *end <= position)) {
                self.consumer.pause(&name.topic, partition);
                ends.remove(&name);
            }
        }
        ends.is_empty()
    }

    /// What should come: of a range what was not read so far, what is before the end that is to be reached, or anything.
    pub(super) fn wait(&self, is_ending: bool) -> Wait {
        let positions = self.consumer.positions();
        let read: u64 =
            positions.iter().filter_map(|it| it.position).map(|it| it.raw().cast_unsigned()).sum();
        let is_open = |it: &PartitionPosition| self.ends.is_some() || !is_ending || it.lag() != Some(0);
        let is_waiting = |it: &PartitionPosition| !self.is_printing.get() && !it.is_paused && is_open(it);
        let partitions: Vec<_> =
            positions.into_iter().filter(is_waiting).map(|it| (it.topic, it.partition)).collect();
        let missing = Missing::lasting(self.consumer.troubles())
            .or_else(|| is_ending.then(|| Missing::new("no answer from the leaders")))
            .filter(|_| !partitions.is_empty());
        Wait { progress: read + self.seen.get(), partitions, missing }
    }

    /// Says whether the batch goes on beyond the end.
    async fn print(&self, batch: &FetchedBatch, printer: &mut Printer<'_>) -> Result<bool> {
        tell_resets(self.consumer.take_resets());
        let damaged = || format!("{}-{}: damaged batch", batch.topic, batch.partition);
        let name = PartitionName::new(batch.topic.clone(), batch.partition);
        let mut end = self.ends.as_ref().map(|ends| {
            // Of one that was read so far, the rest is not meant.
            ends.borrow().get(&name).copied().unwrap_or(Offset::ZERO)
        });
        let is_too_new =
            |record: &RecordView<'_>| self.ends_at.get().is_some_and(|end| end <= record.timestamp);
        let view = batch.view().with_context(damaged)?;
        let mut has_begun = self.beginning.is_over(&name);
        let mut scratch = printer.take_scratch();
        for record in batch.records(&mut scratch).with_context(damaged)? {
            let record = record.with_context(damaged)?;
            if let Some(ends) =
                self.ends.as_ref().filter(|_| is_too_new(&record) && Some(record.offset) < end)
            {
                end = Some(record.offset);
                ends.borrow_mut().insert(name.clone(), record.offset);
            }
            if printer.is_full() || end.is_some_and(|end| end <= record.offset) {
                break;
            }
            has_begun = has_begun || self.beginning.ends_with(&name, &record);
            if !has_begun {
                continue;
            }
            self.seen.set(self.seen.get() + 1);
            printer.print(batch, view.header(), &record).await?;
        }
        printer.give_scratch(scratch);
        printer.show_progress(|| self.consumer.positions());
        Ok(end.is_some_and(|end| end <= view.next_offset()))
    }
}

/// A range of one partition.
struct Bounds {
    from: Offset,
    to: Offset,
    span: Span,
}

async fn ranges(
    admin: &Admin,
    partitions: &[PartitionName],
    from: Bound,
    to: Bound,
) -> Result<BTreeMap<PartitionName, Bounds>> {
    let spans = known_spans(admin, partitions).await?;
    let starts = match from {
        Bound::Place(place) => offsets_of(admin, place, &spans).await?,
        Bound::After(count) => {
            spans.iter().map(|(name, span)| (name.clone(), after(span.start, count))).collect()
        }
    };
    let ends = match to {
        Bound::Place(place) => offsets_of(admin, place, &spans).await?,
        Bound::After(count) => {
            starts.iter().map(|(name, start)| (name.clone(), after(*start, count))).collect()
        }
    };
    let bounds = spans.into_iter().map(|(name, span)| {
        // More than there is means all there is; an offset that is not there any more is an error, which reading tells.
        let from = if matches!(from, Bound::Place(Start::Last(_))) {
            starts[&name].max(span.start)
        } else {
            starts[&name]
        };
        let to = ends[&name];
        (name, Bounds { from, to, span })
    });
    Ok(bounds.collect())
}

fn after(offset: Offset, count: u64) -> Offset {
    Offset::new(offset.raw().saturating_add_unsigned(count))
}

async fn known_spans(admin: &Admin, partitions: &[PartitionName]) -> Result<BTreeMap<PartitionName, Span>> {
    let spans = spans(admin, partitions.iter().cloned()).await?;
    match partitions.iter().find(|name| !spans.contains_key(name)) {
        Some(unknown) => bail!("{unknown}: no leader tells where it begins and ends"),
        None => Ok(spans),
    }
}
