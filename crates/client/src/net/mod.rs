//! The client's sockets: connections, and the pool that everybody shares.
//!
//! This is where time, randomness and the network are; the machines get them as arguments.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod connection;
mod pool;
mod record_clock;
mod transport;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use klamm_model::{Tick, Timestamp};
use klamm_wire::ApiVersionsResponse;
use parking_lot::Mutex;

use crate::metrics::Counters;
use crate::partitioner::Random;
use crate::sasl::Sasl;

pub(crate) use pool::{Lane, Pool, Question, Target};
pub(crate) use record_clock::RecordClock;

/// How connections are made.
pub(crate) struct Manner {
    /// What brokers call us.
    pub(crate) client_id: String,
    /// For a connection, its securing, and each answer until it is of use.
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) sasl: Option<Sasl>,
    pub(crate) counters: Counters,
    /// Of the newest picture of the cluster's features that a broker told: its number, and the level of `transaction.version` in it.
    pub(crate) transaction_level: Mutex<(i64, i16)>,
}

impl Manner {
    /// What the cluster has agreed on (KIP-584), if this broker knows it better than those before.
    pub(crate) fn learn_features(&self, response: &ApiVersionsResponse) {
        let features = &response.finalized_features;
        let level =
            features.iter().find(|it| it.name == "transaction.version").map_or(0, |it| it.max_version_level);
        let mut known = self.transaction_level.lock();
        if known.0 <= response.finalized_features_epoch {
            *known = (response.finalized_features_epoch, level);
        }
    }
}

/// The client's own clock, and the wall clock for the timestamps of records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment as tokio's timers want it.
    pub(crate) fn instant(self, tick: Tick) -> tokio::time::Instant {
        (self.start + Duration::from_micros(tick.0)).into()
    }

    pub(crate) fn wall() -> Timestamp {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A generator that differs from run to run.
pub(crate) fn seeded() -> Random {
    Random::new(RandomState::new().hash_one(0))
}
