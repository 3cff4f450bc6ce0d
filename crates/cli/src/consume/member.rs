//! `klamm consume --group`: reading as a member of a group.
//!
//! Invariant: what is committed was written to the standard output before. What was written and is not committed is read again, by whoever goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use klamm_client::{
    Client, CommitError, CommittedOffset, ConsumerConfig, FetchedBatch, GroupConfig, GroupConsumeError,
    GroupConsumer, GroupEvent, Isolation, PartitionName, Start,
};
use klamm_model::{LeaderEpoch, Offset};
use regex_lite::Regex;

use super::printer::Printer;
use super::{tell_resets, to_follow, topics};
use crate::args::ConsumeArgs;
use crate::failure::{Interrupted, Usage, tell};
use crate::interrupt::Interrupt;
use crate::range::{Bound, Range};
use crate::remote;
use crate::waiting::{Missing, PATIENCE, Wait, watch};

/// How often it is looked whether everything was read, while nothing comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Whoever is at one batch for longer, at whatever pace, lets the rest of it go and reads that again: others may wait for the partition, and the group goes on
/// without members that are busy for too long.
const BATCH_TIME_MAX: Duration = Duration::from_secs(2);

pub(super) fn run(args: &ConsumeArgs, group: &str, patterns: &[Regex], grep: Option<Regex>) -> Result<()> {
    let begins = begins(args)?;
    remote::run_beside(async {
        let mut interrupt = Interrupt::listen()?;
        let mut printer = Printer::new(args, grep);
        let settings = remote::settings(&args.remote)?;
        let (mut read, config) = settings.member(group, args.group_protocol, begins)?;
        if args.read_committed {
            read.isolation = Isolation::ReadCommitted;
        }
        let begun = async {
            let client = remote::connect(&settings, false).await?;
            let topics = topics(args, patterns, &client, settings.timeout()).await?;
            Ok((client, to_follow(args, patterns, topics)))
        };
        let (client, topics) = interrupt.unless(begun).await?;
        let member = Member::new(&client, read, config, args.exit);
        member.consumer.subscribe(topics);
        let limit = args.exit.then(|| settings.timeout());
        let look = || {
            tell_resets(member.consumer.take_resets());
            member.wait()
        };
        let reading = async {
            tokio::select! {
                done = member.read_all(&mut printer) => done,
                given_up = watch(&client, limit, look) => given_up,
            }
        };
        let done = interrupt.unless(reading).await;
        tell_resets(member.consumer.take_resets());
        let ended = patiently(member.end(&mut printer)).await;
        let count = printer.finish()?;
        let Err(error) = done else { return ended };
        if error.is::<Interrupted>() {
            tell(&format!("interrupted after {count}"));
            let _ = ended.inspect_err(tell);
        }
        Err(error)
    })
}

/// Where to begin what the group has committed nothing of, if that is said.
fn begins(args: &ConsumeArgs) -> Result<Option<&'static str>, Usage> {
    if !args.partitions.is_empty() {
        let problem = "the group says which partitions a member reads: no --partition with --group";
        return Err(Usage(problem.to_owned()));
    }
    match args.range {
        None => Ok(None),
        Some(Range { from: Bound::Place(Start::Earliest), to: None }) => Ok(Some("earliest")),
        Some(Range { from: Bound::Place(Start::Latest), to: None }) => Ok(Some("latest")),
        Some(_) => Err(Usage(
            "the group knows where it goes on: with --group, --offset is start or end, for partitions of which nothing is committed; \
             `klamm group seek` moves a group"
                .to_owned(),
        )),
    }
}

/// Says what is waited for, if it takes long.
async fn patiently<T>(ending: impl Future<Output = T>) -> T {
    tokio::pin!(ending);
    tokio::select! {
        ended = &mut ending => return ended,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    tell("waiting: the group is to know how far this member has come, and that it leaves");
    ending.await
}

type Offsets = BTreeMap<PartitionName, CommittedOffset>;

struct Member {
    consumer: GroupConsumer,
    group: String,
    /// `None`: nothing is committed.
    commit_interval: Option<Duration>,
    batch_time_max: Duration,
    is_exit: bool,
    /// Of the batch that is being printed: up to where that was done.
    in_hand: RefCell<Option<(PartitionName, CommittedOffset)>>,
    /// Up to where everything was written to the standard output.
    written: RefCell<Offsets>,
    committed: RefCell<Offsets>,
    commit_at: Cell<Instant>,
    /// Whether it was said that nothing can be committed.
    is_told: Cell<bool>,
    /// Records that came.
    seen: Cell<u64>,
}

impl Member {
    /// In no group yet.
    fn new(client: &Client, read: ConsumerConfig, mut config: GroupConfig, is_exit: bool) -> Self {
        // What was handed out may not be written yet: only we know what to commit.
        let commit_interval = config.auto_commit_interval_ms.take().map(Duration::from_millis);
        let group = config.group_id.clone();
        let batch_time_max = BATCH_TIME_MAX.min(Duration::from_millis(config.poll_interval_max_ms / 4));
        Self {
            consumer: GroupConsumer::new(client, read, config),
            group,
            commit_interval,
            batch_time_max,
            is_exit,
            in_hand: RefCell::default(),
            written: RefCell::default(),
            committed: RefCell::default(),
            commit_at: Cell::new(Instant::now() + commit_interval.unwrap_or_default()),
            is_told: Cell::new(false),
            seen: Cell::new(0),
        }
    }

    /// Prints what comes, for as long as anything is wanted.
    async fn read_all(&self, printer: &mut Printer<'_>) -> Result<()> {
        while !printer.is_full() {
            let event = match self.event_at_hand().await {
                Some(event) => event,
                None => {
                    // Nothing is here at the moment: what was printed should be seen now.
                    self.settle(printer)?;
                    if self.is_exit && self.has_reached_ends() {
                        break;
                    }
                    match self.event_in_time().await {
                        Some(event) => event,
                        None => {
                            self.commit_if_due(printer).await?;
                            continue;
                        }
                    }
                }
            };
            self.happen(event?, printer).await?;
            self.commit_if_due(printer).await?;
            // Signals are listened to however much there is to read.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn event_at_hand(&self) -> Option<Result<GroupEvent, GroupConsumeError>> {
        tokio::select! {
            biased;
            event = self.consumer.next() => Some(event),
            () = ready(()) => None,
        }
    }

    /// Waits for it, until there is something else to do.
    async fn event_in_time(&self) -> Option<Result<GroupEvent, GroupConsumeError>> {
        let look = self.is_exit.then_some(LOOK_INTERVAL);
        let commit =
            self.commit_interval.map(|_| self.commit_at.get().saturating_duration_since(Instant::now()));
        match look.into_iter().chain(commit).min() {
            Some(left) => tokio::time::timeout(left, self.consumer.next()).await.ok(),
            None => Some(self.consumer.next().await),
        }
    }

    async fn happen(&self, event: GroupEvent, printer: &mut Printer<'_>) -> Result<()> {
        match event {
            GroupEvent::Batch(batch) => self.print(&batch, printer).await?,
            GroupEvent::Assigned(_) => {}
            GroupEvent::Revoked(revocation) => {
                self.settle(printer)?;
                self.commit_or_tell().await;
                self.forget(revocation.partitions());
            }
            GroupEvent::Lost(partitions) => self.forget(&partitions),
        }
        Ok(())
    }

    async fn print(&self, batch: &FetchedBatch, printer: &mut Printer<'_>) -> Result<()> {
        tell_resets(self.consumer.take_resets());
        let damaged = || format!("{}-{}: damaged batch", batch.topic, batch.partition);
        let name = PartitionName::new(batch.topic.clone(), batch.partition);
        let hand_in = |next: Offset, leader_epoch: Option<LeaderEpoch>| {
            let place = CommittedOffset { offset: next, leader_epoch, metadata: String::new() };
            *self.in_hand.borrow_mut() = Some((name.clone(), place));
        };
        hand_in(batch.from, None);
        let began = Instant::now();
        let view = batch.view().with_context(damaged)?;
        let mut scratch = printer.take_scratch();
        for record in batch.records(&mut scratch).with_context(damaged)? {
            let record = record.with_context(damaged)?;
            if printer.is_full() {
                return Ok(());
            }
            if self.batch_time_max <= began.elapsed() {
                return self.let_rest_go(printer);
            }
            self.seen.set(self.seen.get() + 1);
            printer.print(batch, view.header(), &record).await?;
            hand_in(record.offset.advance(1), view.header().leader_epoch);
        }
        printer.give_scratch(scratch);
        printer.show_progress(|| self.consumer.positions());
        *self.in_hand.borrow_mut() = None;
        Ok(())
    }

    /// What is left of the batch in hand comes again.
    fn let_rest_go(&self, printer: &mut Printer<'_>) -> Result<()> {
        self.settle(printer)?;
        if let Some((name, place)) = self.in_hand.take() {
            self.consumer.seek(&name, Start::At(place.offset));
        }
        Ok(())
    }

    /// Writes what was printed, and notes that.
    fn settle(&self, printer: &mut Printer<'_>) -> Result<()> {
        printer.flush()?;
        if printer.has_failed() {
            return Ok(());
        }
        let mut done = self.consumer.handed_out();
        if let Some((name, place)) = &*self.in_hand.borrow()
            && let Some(done) = done.get_mut(name)
        {
            *done = place.clone();
        }
        *self.written.borrow_mut() = done;
        Ok(())
    }

    /// These may be somebody else's from now on.
    fn forget(&self, partitions: &[PartitionName]) {
        for name in partitions {
            self.written.borrow_mut().remove(name);
            self.committed.borrow_mut().remove(name);
        }
    }

    async fn commit_if_due(&self, printer: &mut Printer<'_>) -> Result<()> {
        let Some(interval) = self.commit_interval.filter(|_| self.commit_at.get() <= Instant::now()) else {
            return Ok(());
        };
        self.settle(printer)?;
        self.commit_or_tell().await;
        self.commit_at.set(Instant::now() + interval);
        Ok(())
    }

    async fn commit_or_tell(&self) {
        match self.commit().await {
            // Others read it again.
            Ok(()) | Err(CommitError::NotMember | CommitError::RebalanceInProgress) => {}
            Err(error) if self.is_told.replace(true) => tracing::debug!(%error, "not committed"),
            Err(error) => tell(&format!("group {}: {error}", self.group)),
        }
    }

    /// Commits what was written of partitions that are ours, as far as that is news.
    async fn commit(&self) -> Result<(), CommitError> {
        let ours = self.consumer.handed_out();
        let is_news = |name: &PartitionName, place: &CommittedOffset| {
            ours.contains_key(name) && self.committed.borrow().get(name) != Some(place)
        };
        let mut offsets = self.written.borrow().clone();
        offsets.retain(|name, place| is_news(name, place));
        if offsets.is_empty() || self.commit_interval.is_none() {
            return Ok(());
        }
        self.consumer.commit_offsets(offsets.clone()).await?;
        self.committed.borrow_mut().extend(offsets);
        Ok(())
    }

    /// Commits what was written and leaves the group, whatever ended it.
    async fn end(self, printer: &mut Printer<'_>) -> Result<()> {
        let written = self.settle(printer);
        let committed = self.commit().await;
        self.consumer.close().await;
        written?;
        committed.map_err(|error| {
            anyhow!(
                "group {}: what was printed last will be read again, as it is not committed: {error}",
                self.group
            )
        })
    }

    fn has_reached_ends(&self) -> bool {
        let positions = self.consumer.positions();
        !positions.is_empty() && positions.iter().all(|it| it.lag() == Some(0))
    }

    /// What should come.
    fn wait(&self) -> Wait {
        let is_printing = self.in_hand.borrow().is_some();
        let is_open = |lag: Option<u64>| !is_printing && (!self.is_exit || lag != Some(0));
        let positions = self.consumer.positions();
        let has_none = positions.is_empty();
        let positions = positions.into_iter().filter(|it| is_open(it.lag()));
        let partitions: Vec<_> = positions.map(|it| (it.topic, it.partition)).collect();
        let missing = if has_none {
            Some(Missing::new(&format!("group {} has given this member no partition so far", self.group)))
        } else {
            let silent = self.is_exit.then(|| Missing::new("no answer from the leaders"));
            Missing::lasting(self.consumer.troubles()).or(silent).filter(|_| !partitions.is_empty())
        };
        Wait { progress: self.seen.get(), partitions, missing }
    }
}
