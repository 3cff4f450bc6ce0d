//! What was done so far, in numbers: snapshots for whoever watches.
//!
//! Counted where it happens anyway, once for a batch, a request or a system call and never for a record. Nothing here is ever set back; whoever
//! wants rates takes the difference of two snapshots.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use klamm_wire::Response;

/// How long something took: how often it happened, in all and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timing {
    /// How often.
    pub count: u64,
    /// All of them together.
    pub sum: Duration,
    /// The longest.
    pub max: Duration,
}

impl Timing {
    /// The average, if there was any.
    pub fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| self.sum.div_f64(self.count as f64))
    }

    pub(crate) fn add_us(&mut self, took_us: u64) {
        let took = Duration::from_micros(took_us);
        (self.count, self.sum, self.max) = (self.count + 1, self.sum + took, self.max.max(took));
    }
}

/// What a [`Client`](crate::Client) did on its connections, for all its producers, consumers and admins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientMetrics {
    /// Connections that are there now.
    pub connections: usize,
    /// Connections that were made.
    pub connections_made: u64,
    /// Connections that could not be made, or on which we were not let in.
    pub connections_failed: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that brought no answer, whatever the reason.
    pub requests_failed: u64,
    /// Bytes that were sent, before encryption.
    pub bytes_sent: u64,
    /// Bytes that were received, after decryption.
    pub bytes_received: u64,
    /// From a request to its answer. Fetches that brokers hold back count too.
    pub latency: Timing,
    /// How long brokers said that they hold this client back for its quotas (KIP-219).
    pub throttled: Duration,
}

/// What a [`Producer`](crate::Producer) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProducerMetrics {
    /// Records that were written.
    pub records: u64,
    /// Bytes of those, before compression.
    pub bytes: u64,
    /// Batches that were written.
    pub batches: u64,
    /// Records that were given up.
    pub records_failed: u64,
    /// Batches that were given up.
    pub batches_failed: u64,
    /// How often batches were sent again.
    pub retries: u64,
    /// Bytes that wait for an acknowledgement, before compression.
    pub buffered_bytes: usize,
    /// Records that wait for an acknowledgement.
    pub buffered_records: u64,
    /// From the first record of a batch until it was sent for the first time: lingering, and waiting for its turn.
    pub queue_time: Timing,
    /// From the first record of a batch until it was written.
    pub latency: Timing,
}

/// What a [`Consumer`](crate::Consumer) did. How far it is behind in each partition is said by
/// [`Consumer::positions`](crate::Consumer::positions).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConsumerMetrics {
    /// Records that were handed out, those before the offset that was asked for included.
    pub records: u64,
    /// Bytes of those, as they lie in the log.
    pub bytes: u64,
    /// Batches that were handed out.
    pub batches: u64,
    /// How often a partition was asked for again after a failure.
    pub retries: u64,
    /// How often a partition was given up.
    pub errors: u64,
    /// Bytes that wait to be read.
    pub buffered_bytes: usize,
    /// Offsets that are still to be read in all partitions, as far as is known.
    pub lag: u64,
}

/// What all connections of a client count together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections_made: AtomicU64,
    pub(crate) connections_failed: AtomicU64,
    pub(crate) connections_ended: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) requests_failed: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    answers: AtomicU64,
    latency_us: AtomicU64,
    latency_max_us: AtomicU64,
    throttled_ms: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, response: &Response, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.answers, 1);
        add(&self.latency_us, took_us);
        self.latency_max_us.fetch_max(took_us, Relaxed);
        let throttled_ms = match response {
            Response::Produce(response) => response.throttle_time_ms,
            Response::Fetch(response) => response.throttle_time_ms,
            _ => 0,
        };
        if let Ok(throttled_ms @ 1..) = u64::try_from(throttled_ms) {
            add(&self.throttled_ms, throttled_ms);
        }
    }

    pub(crate) fn snapshot(&self) -> ClientMetrics {
        let [made, ended] = [&self.connections_made, &self.connections_ended].map(|it| it.load(Relaxed));
        ClientMetrics {
            connections: usize::try_from(made.saturating_sub(ended)).unwrap_or(usize::MAX),
            connections_made: made,
            connections_failed: self.connections_failed.load(Relaxed),
            requests: self.requests.load(Relaxed),
            requests_failed: self.requests_failed.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            latency: Timing {
                count: self.answers.load(Relaxed),
                sum: Duration::from_micros(self.latency_us.load(Relaxed)),
                max: Duration::from_micros(self.latency_max_us.load(Relaxed)),
            },
            throttled: Duration::from_millis(self.throttled_ms.load(Relaxed)),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Relaxed);
}
