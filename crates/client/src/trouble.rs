//! What stands in the way for a while: it is tried again, and so nobody hears of it as an error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use klamm_model::{BrokerId, Tick};

use crate::metadata::BrokerAddress;

/// Elections are over by then: what lasts longer is worth a word in the log.
const LASTING_MS: u64 = 5_000;

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
    /// How often it was tried in vain; 0 where nobody could be asked.
    pub tries: u32,
    /// How long that has been going on.
    pub lasts: Duration,
}

impl<C: fmt::Display> fmt::Display for Trouble<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, broker, address, cause, tries, lasts } = self;
        write!(f, "{topic}-{partition}: {cause} (")?;
        if let Some(broker) = broker {
            write!(f, "broker {broker}")?;
            if let Some(address) = address {
                write!(f, " at {address}")?;
            }
            f.write_str(", ")?;
        }
        let seconds = lasts.as_secs();
        match tries {
            0 => write!(f, "for {seconds} s)"),
            1 => write!(f, "once in {seconds} s)"),
            tries => write!(f, "{tries} times in {seconds} s)"),
        }
    }
}

/// What failed the last times, without a success between.
#[derive(Clone, Debug)]
pub(crate) struct Failing<C> {
    pub(crate) cause: C,
    pub(crate) since: Tick,
    pub(crate) tries: u32,
    is_told: bool,
}

impl<C> Failing<C> {
    /// It failed once more. Says whether that has lasted for long, the first time that it has.
    pub(crate) fn note(failing: &mut Option<Self>, now: Tick, cause: C) -> bool {
        let (since, tries, was_told) =
            failing.as_ref().map_or((now, 0, false), |it| (it.since, it.tries, it.is_told));
        let is_told = was_told || LASTING_MS <= now.ms_since(since);
        *failing = Some(Self { cause, since, tries: tries.saturating_add(1), is_told });
        is_told && !was_told
    }

    pub(crate) fn lasts(&self, now: Tick) -> Duration {
        Duration::from_millis(now.ms_since(self.since))
    }
}
