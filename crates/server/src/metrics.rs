//! What a server counts, and how a scrape shows it. A registry for each server: several live in one process.
//!
//! Counting costs a few relaxed atomics a request. What the node knows is asked of it once a scrape, under its lock.

mod families;
mod http;
mod process;
mod text;

use std::{
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use klamm_log::{DiskAction, DiskOp};
use klamm_model::Timestamp;
use klamm_node::{Lag, Report};
use klamm_wire::{ApiKey, Response};

pub(crate) use http::Http;

use crate::{monitor::LockTimes, shared::Shared};
use families as family;
use http::Answer;
use text::Text;

/// One more than the highest number of an API.
const API_COUNT: usize = {
    let all = ApiKey::ALL;
    all[all.len() - 1] as usize + 1
};

/// Everything that is counted outside the node.
pub(crate) struct Metrics {
    apis: [Api; API_COUNT],
    pub(crate) malformed: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) refused_total: AtomicU64,
    pub(crate) refused_per_ip: AtomicU64,
    pub(crate) ended_idle: AtomicU64,
    pub(crate) ended_stalled: AtomicU64,
    pub(crate) ended_slow: AtomicU64,
    fetched_bytes: AtomicU64,
    pub(crate) writes: Histogram,
    syncs: Histogram,
    other_operations: Histogram,
    pub(crate) disk_errors: AtomicU64,
}

#[derive(Default)]
struct Api {
    requests: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    errors: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            apis: std::array::from_fn(|_| Api::default()),
            malformed: AtomicU64::default(),
            accepted: AtomicU64::default(),
            accept_failures: AtomicU64::default(),
            refused_total: AtomicU64::default(),
            refused_per_ip: AtomicU64::default(),
            ended_idle: AtomicU64::default(),
            ended_stalled: AtomicU64::default(),
            ended_slow: AtomicU64::default(),
            fetched_bytes: AtomicU64::default(),
            writes: Histogram::default(),
            syncs: Histogram::default(),
            other_operations: Histogram::default(),
            disk_errors: AtomicU64::default(),
        }
    }
}

/// One more of something.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Metrics {
    pub(crate) fn requested(&self, key: ApiKey, bytes: usize) {
        let api = self.api(key);
        api.requests.fetch_add(1, Relaxed);
        api.request_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// An answer of that many bytes, of which some may be records in files.
    pub(crate) fn answered(&self, key: ApiKey, bytes: usize, record_bytes: usize, has_error: bool) {
        let api = self.api(key);
        api.response_bytes.fetch_add(bytes as u64, Relaxed);
        if has_error {
            api.errors.fetch_add(1, Relaxed);
        }
        if record_bytes > 0 {
            self.fetched_bytes.fetch_add(record_bytes as u64, Relaxed);
        }
    }

    pub(crate) fn operated(&self, op: &DiskOp, took: Duration) {
        let histogram = match &op.action {
            DiskAction::Sync { .. } => &self.syncs,
            DiskAction::Write { .. } => &self.writes,
            _ => &self.other_operations,
        };
        histogram.note(took);
    }

    fn api(&self, key: ApiKey) -> &Api {
        &self.apis[key as usize]
    }
}

/// Whether an answer tells of an error, of those that clients produce, fetch and administer with; others count as good.
pub(crate) fn has_error(response: &Response) -> bool {
    match response {
        Response::Produce(it) => {
            it.responses.iter().flat_map(|topic| &topic.partition_responses).any(|it| it.error_code != 0)
        }
        Response::Fetch(it) => {
            it.error_code != 0
                || it.responses.iter().flat_map(|topic| &topic.partitions).any(|it| it.error_code != 0)
        }
        Response::ListOffsets(it) => {
            it.topics.iter().flat_map(|topic| &topic.partitions).any(|it| it.error_code != 0)
        }
        Response::Metadata(it) => it.topics.iter().any(|it| it.error_code != 0),
        Response::CreateTopics(it) => it.topics.iter().any(|it| it.error_code != 0),
        Response::DeleteTopics(it) => it.responses.iter().any(|it| it.error_code != 0),
        Response::ApiVersions(it) => it.error_code != 0,
        Response::InitProducerId(it) => it.error_code != 0,
        _ => false,
    }
}

/// Times by powers of two.
#[derive(Default)]
pub(crate) struct Histogram {
    /// At `n`: times below 2^n microseconds and not below half of that; the last has all longer ones too.
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// Up to about half a minute.
const BUCKETS: usize = 26;

impl Histogram {
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        // What is longer than all bounds is in the last bucket but for its bound, which is infinite.
        self.counts[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bound = |power: usize| (1_u64 << power) as f64 / 1e6;
        self.counts.iter().enumerate().map(|(power, count)| (bound(power), count.load(Relaxed))).collect()
    }

    fn sum_s(&self) -> f64 {
        self.sum_us.load(Relaxed) as f64 / 1e6
    }
}

/// What is at a path. Does not keep a server that has stopped.
pub(crate) fn page(shared: &Weak<Shared>, path: &str) -> Option<Answer> {
    let Some(shared) = shared.upgrade() else {
        return Some(Answer::plain("503 Service Unavailable", "stopped"));
    };
    match path {
        "/metrics" => Some(Answer {
            status: "200 OK",
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            content: scrape(&shared),
        }),
        "/healthz" => {
            let is_ready = shared.monitor.view().load().as_ref().is_some_and(|view| view.ready);
            let is_well = is_ready && !shared.files.data_dirs()[0].is_lost();
            Some(match is_well {
                true => Answer::plain("200 OK", "ok"),
                false => Answer::plain("503 Service Unavailable", "not ready"),
            })
        }
        _ => None,
    }
}

/// Everything there is to tell.
pub(crate) fn scrape(shared: &Shared) -> String {
    let mut text = Text::default();
    let metrics = &shared.metrics;
    let report = shared.monitor.report();
    write_requests(&mut text, metrics);
    write_connections(&mut text, shared);
    write_node(&mut text, shared, &report);
    write_coordinators(&mut text, shared, &report);
    write_disks(&mut text, shared, &report);
    write_lock(&mut text, &shared.monitor.times());
    process::write(&mut text);
    text.finish()
}

fn write_requests(text: &mut Text, metrics: &Metrics) {
    // Only what was ever asked: a hundred rows of zeros are of no use to anybody.
    let asked = || {
        let all = ApiKey::ALL.iter().map(|key| (key.name(), metrics.api(*key)));
        all.filter(|(_, api)| api.requests.load(Relaxed) > 0)
    };
    text.values(&family::REQUESTS, asked().map(|(name, api)| ([name], api.requests.load(Relaxed))));
    text.values(&family::REQUEST_BYTES, asked().map(|(name, api)| ([name], api.request_bytes.load(Relaxed))));
    text.values(
        &family::RESPONSE_BYTES,
        asked().map(|(name, api)| ([name], api.response_bytes.load(Relaxed))),
    );
    text.values(&family::REQUEST_ERRORS, asked().map(|(name, api)| ([name], api.errors.load(Relaxed))));
    text.value(&family::MALFORMED, metrics.malformed.load(Relaxed));
}

fn write_connections(text: &mut Text, shared: &Shared) {
    let Shared { metrics, config, budget, unsent, places, .. } = shared;
    text.value(&family::CONNECTIONS, places.taken());
    text.value(&family::CONNECTIONS_MAX, shared.place_limits().total);
    text.value(&family::ACCEPTED, metrics.accepted.load(Relaxed));
    let refused = [("total", &metrics.refused_total), ("per_ip", &metrics.refused_per_ip)];
    text.values(&family::REFUSED, refused.map(|(reason, count)| ([reason], count.load(Relaxed))));
    let ended = [
        ("idle", &metrics.ended_idle),
        ("stalled_request", &metrics.ended_stalled),
        ("slow_reader", &metrics.ended_slow),
    ];
    text.values(&family::ENDED, ended.map(|(reason, count)| ([reason], count.load(Relaxed))));
    text.value(&family::ACCEPT_FAILURES, metrics.accept_failures.load(Relaxed));
    text.value(&family::RECEIVED_BYTES, budget.used());
    text.value(&family::RECEIVED_BYTES_MAX, config.received_bytes_max);
    text.value(&family::UNSENT_BYTES, unsent.used());
}

fn write_node(text: &mut Text, shared: &Shared, report: &Report) {
    text.value(&family::PRODUCED_RECORDS, report.produced_records);
    text.value(&family::PRODUCED_BYTES, report.produced_bytes);
    text.value(&family::FETCHED_BYTES, shared.metrics.fetched_bytes.load(Relaxed));
    text.value(&family::FOLLOWER_READ_BYTES, report.follower_read_bytes);
    text.value(&family::PARKED_PRODUCES, report.parked_produces);
    text.value(&family::PARKED_FETCHES, report.parked_fetches);
    text.value(&family::PARTITIONS, report.partitions);
    text.value(&family::LEADERS, report.leaders);
    text.value(&family::UNDER_REPLICATED, report.under_replicated);
    text.value(&family::UNDER_MIN_ISR, report.under_min_isr);
    text.value(&family::OFFLINE, report.offline);
    text.value(&family::DAMAGED, report.damaged);
    text.value(&family::DAMAGED_RANGES, report.damaged_ranges);
    text.value(&family::DAMAGED_BYTES, report.damaged_bytes);
    text.value(&family::SCRUBBED_BYTES, report.scrubbed_bytes);
    text.value(&family::UNCLEAN_ELECTIONS, report.unclean_elections);
    let held_back = [("leader", report.held_back_leading), ("follower", report.held_back_following)];
    text.values(&family::HELD_BACK, held_back.map(|(by, count)| ([by], count)));
    text.value(&family::CONTROLLER, u8::from(report.is_controller));
    text.value(&family::READY, u8::from(report.is_ready));
    text.value(&family::LAST_STOP_CLEAN, u8::from(shared.was_left_clean));
    text.value(&family::LOG_BYTES, report.log_bytes);
    text.value(&family::UNSYNCED_BYTES, report.unsynced_bytes);
}

/// Groups and topics have the names that clients give them: without an end to the rows, they could fill whatever collects them (B36).
const LAG_ROWS_MAX: usize = 10_000;

fn write_coordinators(text: &mut Text, shared: &Shared, report: &Report) {
    let (lags, now) = shared.monitor.lags(LAG_ROWS_MAX);
    let seconds_since = |since: Timestamp| now.0.saturating_sub(since.0).max(0) as f64 / 1e3;
    text.value(&family::OPEN_TRANSACTIONS, report.open_transactions);
    text.value(&family::OLDEST_TRANSACTION, report.oldest_transaction.map_or(0.0, seconds_since));
    let rebalances = report.rebalances.iter().map(|(cause, count)| ([cause.name()], *count));
    text.values(&family::REBALANCES, rebalances);
    let partitions: Vec<_> = lags.iter().map(|lag| lag.partition.to_string()).collect();
    let rows = || {
        lags.iter()
            .zip(&partitions)
            .map(|(lag, partition)| ([&*lag.group, &*lag.topic, partition.as_str()], lag))
    };
    text.values(&family::LAG, rows().map(|(labels, lag)| (labels, lag.messages)));
    let seconds = |lag: &Lag| match (lag.messages, lag.since) {
        (0, _) => Some(0.0),
        (_, since) => since.map(seconds_since),
    };
    text.values(&family::LAG_SECONDS, rows().filter_map(|(labels, lag)| Some((labels, seconds(lag)?))));
}

fn write_disks(text: &mut Text, shared: &Shared, report: &Report) {
    let dirs = &report.log_dirs;
    let spaces: Vec<_> = shared
        .files
        .data_dirs()
        .iter()
        .zip(dirs)
        .filter_map(|(data_dir, dir)| Some((dir.path.as_str(), data_dir.space().ok()?)))
        .collect();
    text.values(&family::DIR_BYTES, spaces.iter().map(|(path, space)| ([*path], space.total_bytes)));
    text.values(&family::DIR_FREE_BYTES, spaces.iter().map(|(path, space)| ([*path], space.free_bytes)));
    text.values(&family::DIR_PARTITIONS, dirs.iter().map(|dir| ([dir.path.as_str()], dir.partitions)));
    text.values(&family::DIR_FULL, dirs.iter().map(|dir| ([dir.path.as_str()], u8::from(dir.is_full))));
    text.values(&family::DIR_FAILED, dirs.iter().map(|dir| ([dir.path.as_str()], u8::from(dir.has_failed))));
    let metrics = &shared.metrics;
    let times = [("sync", &metrics.syncs), ("write", &metrics.writes), ("other", &metrics.other_operations)];
    let times = times.map(|(operation, times)| ([operation], times.buckets(), times.sum_s()));
    text.histograms(&family::DISK_SECONDS, times);
    text.value(&family::DISK_ERRORS, metrics.disk_errors.load(Relaxed));
}

fn write_lock(text: &mut Text, times: &LockTimes) {
    text.value(&family::LOCK_TAKEN, times.count);
    text.value(&family::LOCK_CONTENDED, times.contended_count);
    text.value(&family::LOCK_EVENTS, times.event_count);
    text.value(&family::LOCK_WAITED, times.waited_ns as f64 / 1e9);
    let bound = |power: usize| (1_u64 << power) as f64 / 1e9;
    let held = times.held_histogram.iter().enumerate().map(|(power, count)| (bound(power), *count));
    text.histograms(&family::LOCK_HELD, [([], held.collect(), times.held_ns as f64 / 1e9)]);
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn every_time_has_its_bucket() {
        let histogram = Histogram::default();
        for us in [0, 1, 1000, u64::MAX / 2] {
            histogram.note(Duration::from_micros(us));
        }
        let filled: Vec<f64> =
            histogram.buckets().into_iter().filter(|(_, count)| *count > 0).map(|(bound, _)| bound).collect();
        assert_eq!(filled, [0.000_001, 0.000_002, 0.001_024, 33.554_432]);
    }

    #[test]
    fn the_list_in_the_documentation_is_the_table() {
        let mut text = "# Metrics\n\n\
            `klamm serve --metrics-listen HOST:PORT` answers `GET /metrics` in Prometheus' text format, and `GET /healthz` with 200 while the broker serves. \
            A port alone is one of 127.0.0.1; whoever can reach it can read it. Of what clients choose, only groups and topics become labels, and of them \
            no more than 10,000 rows.\n\n\
            | name | kind | labels | |\n|---|---|---|---|\n"
            .to_owned();
        for family in families::ALL {
            let labels = family.labels.join(", ");
            let kind = format!("{:?}", family.kind).to_lowercase();
            text += &format!("| `{}` | {kind} | {labels} | {} |\n", family.name, family.help);
        }
        expect_file!["../../../docs/METRICS.md"].assert_eq(&text);
    }
}
