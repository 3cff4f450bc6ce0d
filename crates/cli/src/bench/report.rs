//! What was measured.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::{print_json, print_line};

const MIB: f64 = 1_048_576.0;
/// Linux counts the time of processes in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Times in microseconds, from one to ten minutes, to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds that a histogram can have")
}

/// Adds a time, however long.
pub(super) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// Wall clock and CPU time of this process from a moment on.
pub(super) struct Stopwatch {
    began: Instant,
    cpu: Option<(f64, f64)>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu_seconds() }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn stop(&self) -> Spent {
        let cpu = self.cpu.zip(cpu_seconds()).map(|((user, system), now)| (now.0 - user, now.1 - system));
        Spent { seconds: self.began.elapsed().as_secs_f64(), cpu }
    }
}

/// What a measurement took.
pub(super) struct Spent {
    pub(super) seconds: f64,
    /// User and system, in seconds.
    pub(super) cpu: Option<(f64, f64)>,
}

impl Spent {
    /// Of a part of the process only, whose CPU time nobody knows.
    pub(super) fn wall(seconds: f64) -> Self {
        Self { seconds, cpu: None }
    }
}

/// User and system time of this process.
fn cpu_seconds() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything; what follows is numbers.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some((seconds()?, seconds()?))
}

/// The figures of one run.
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) spent: Spent,
    /// What it is a time of, and the times.
    pub(super) latencies: Vec<(&'static str, Histogram<u64>)>,
}

impl Report {
    pub(super) fn print(&self, format: Format) -> Result<()> {
        match format {
            Format::Json => Ok(print_json(&self.json())?),
            Format::Table => self.print_lines(),
        }
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.spent.seconds
    }

    fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / MIB / self.spent.seconds
    }

    pub(super) fn print_lines(&self) -> Result<()> {
        print_line(&format!(
            "{}: {} records, {:.1} MiB in {:.2} s: {:.0} records/s, {:.1} MiB/s",
            self.name,
            self.records,
            self.bytes as f64 / MIB,
            self.spent.seconds,
            self.rate(),
            self.mib_per_second()
        ))?;
        for (what, times) in &self.latencies {
            let at = |quantile| ms(times.value_at_quantile(quantile));
            print_line(&format!(
                "{what}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, most {:.2} ms ({} records)",
                at(0.5),
                at(0.99),
                at(0.999),
                ms(times.max()),
                times.len()
            ))?;
        }
        if let Some((user, system)) = self.spent.cpu {
            print_line(&format!("CPU of this client: {user:.2} s user, {system:.2} s system"))?;
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        let latencies: serde_json::Map<String, Value> = self
            .latencies
            .iter()
            .map(|(what, times)| {
                let at = |quantile| ms(times.value_at_quantile(quantile));
                let figures = json!({
                    "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": ms(times.max()),
                    "mean_ms": times.mean() / 1_000.0, "records": times.len(),
                });
                (what.replace(' ', "_"), figures)
            })
            .collect();
        json!({
            "bench": self.name,
            "records": self.records,
            "bytes": self.bytes,
            "seconds": self.spent.seconds,
            "records_per_second": self.rate(),
            "mib_per_second": self.mib_per_second(),
            "latency": latencies,
            "client_cpu_user_seconds": self.spent.cpu.map(|cpu| cpu.0),
            "client_cpu_system_seconds": self.spent.cpu.map(|cpu| cpu.1),
        })
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}
