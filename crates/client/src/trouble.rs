//! What stands in the way for a while: it is tried again, and so nobody hears of it as an error.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use klamm_model::{BrokerId, Tick};

use crate::metadata::BrokerAddress;

/// Elections are over by then: what lasts longer is worth a word in the log.
pub(crate) const LASTING_MS: u64 = 5_000;

/// Whether two failures have the same reason, whatever words came with it.
pub(crate) trait Reason {
    fn is_like(&self, other: &Self) -> bool;
}

/// Why a partition is not read or not written for now. That is tried again and again, and ends by itself or becomes an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble<C> {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The broker that was asked in vain the last time, if any could be asked.
    pub broker: Option<BrokerId>,
    /// Where it listens, as far as is known.
    pub address: Option<BrokerAddress>,
    /// What stood in the way then.
    pub cause: C,
    /// How often it was tried in vain since that is what stands in the way; 0 where nobody could be asked.
    pub tries: u32,
    /// How often before that, when it was something else.
    pub tries_before: u32,
    /// How long nothing has come of it, whatever stood in the way.
    pub lasts: Duration,
}

/// What stands in the way of a partition, and of how many others the same does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommonTrouble<C> {
    /// The one that it has lasted longest for.
    pub first: Trouble<C>,
    /// How many others there are.
    pub others: usize,
}

impl<C> Trouble<C> {
    /// What lasts longest comes first. That order does not change as time goes by.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let place = |it: &Self| (it.topic.clone(), it.partition);
        other.lasts.cmp(&self.lasts).then_with(|| place(self).cmp(&place(other)))
    }
}

impl<C: fmt::Display> fmt::Display for CommonTrouble<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.others {
            0 => Ok(()),
            1 => f.write_str(", and 1 more partition"),
            others => write!(f, ", and {others} more partitions"),
        }
    }
}

impl<C: fmt::Display> fmt::Display for Trouble<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, broker, address, cause, tries, tries_before, lasts } = self;
        write!(f, "{topic}-{partition}: {cause} (")?;
        if let Some(broker) = broker {
            write!(f, "broker {broker}")?;
            if let Some(address) = address {
                write!(f, " at {address}")?;
            }
            f.write_str(", ")?;
        }
        let seconds = lasts.as_secs();
        let before = times(*tries_before);
        match (tries, tries_before) {
            (0, 0) => write!(f, "for {seconds} s)"),
            (tries, 0) => write!(f, "{} in {seconds} s)", times(*tries)),
            (0, _) => write!(f, "{before} for other reasons before, {seconds} s in all)"),
            (tries, _) => {
                write!(f, "{}, {before} for other reasons before, {seconds} s in all)", times(*tries))
            }
        }
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What failed the last times, without a success between.
#[derive(Clone, Debug)]
pub(crate) struct Failing<C> {
    /// What it was the last time.
    pub(crate) cause: C,
    /// Since when nothing has succeeded.
    pub(crate) since: Tick,
    /// How often it was that.
    pub(crate) tries: u32,
    /// How often it was something else before.
    pub(crate) tries_before: u32,
}

impl<C: Reason> Failing<C> {
    /// It failed once more. Says whether that has lasted for long.
    pub(crate) fn note(failing: &mut Option<Self>, now: Tick, cause: C) -> bool {
        let (since, tries, tries_before) = match failing {
            None => (now, 0, 0),
            Some(it) if it.cause.is_like(&cause) => (it.since, it.tries, it.tries_before),
            Some(it) => (it.since, 0, it.all_tries()),
        };
        *failing = Some(Self { cause, since, tries: tries.saturating_add(1), tries_before });
        LASTING_MS <= now.ms_since(since)
    }

    pub(crate) fn all_tries(&self) -> u32 {
        self.tries.saturating_add(self.tries_before)
    }

    pub(crate) fn lasts(&self, now: Tick) -> Duration {
        Duration::from_micros(now.0.saturating_sub(self.since.0))
    }
}

/// Of whose lasting trouble the log was told: once, until it is over.
#[derive(Default, Debug)]
pub(crate) struct Told {
    numbers: BTreeSet<usize>,
    is_due: bool,
}

impl Told {
    pub(crate) fn lasts(&mut self, number: usize) {
        self.is_due |= !self.numbers.contains(&number);
    }

    pub(crate) fn is_over(&mut self, number: usize) {
        self.numbers.remove(&number);
    }

    /// They have other numbers from now on, or are of no interest any more.
    pub(crate) fn renumber(&mut self, number: impl Fn(usize) -> Option<usize>) {
        self.numbers = self.numbers.iter().filter_map(|&it| number(it)).collect();
    }

    /// Whether there may be something to tell.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due
    }

    /// What to tell, given all that are in trouble: a line for each broker and reason, however many partitions there are, and none for who
    /// joins those that were told of.
    pub(crate) fn gather<C: Reason>(&mut self, mut all: Vec<(usize, Trouble<C>)>) -> Vec<CommonTrouble<C>> {
        self.is_due = false;
        all.sort_by(|(_, one), (_, other)| one.order(other));
        let mut groups: Vec<(CommonTrouble<C>, bool)> = Vec::new();
        for (number, trouble) in all {
            let was_told = self.numbers.contains(&number);
            let is_alike =
                |first: &Trouble<C>| first.broker == trouble.broker && first.cause.is_like(&trouble.cause);
            match groups.iter_mut().find(|(group, _)| is_alike(&group.first)) {
                Some((group, is_told)) => (group.others, *is_told) = (group.others + 1, *is_told || was_told),
                None if Duration::from_millis(LASTING_MS) <= trouble.lasts => {
                    groups.push((CommonTrouble { first: trouble, others: 0 }, was_told));
                }
                None => continue,
            }
            self.numbers.insert(number);
        }
        groups.into_iter().filter(|(_, is_told)| !is_told).map(|(group, _)| group).collect()
    }
}
