//! What the system knows of this process. Missing where the system has no `/proc`.

use std::fs;

use super::{families as family, text::Text};

/// Writes what can be found out.
pub(crate) fn write(text: &mut Text) {
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        text.value(&family::CPU_SECONDS, stat.cpu_ticks as f64 / ticks_per_s);
        text.value(&family::RESIDENT_BYTES, stat.resident_pages * rustix::param::page_size() as u64);
        text.value(&family::THREADS, stat.thread_count);
        if let Some(boot_s) = boot_time_s() {
            text.value(&family::START_TIME, boot_s as f64 + stat.start_ticks as f64 / ticks_per_s);
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory itself, which is open for this.
        text.value(&family::OPEN_FDS, entries.count().saturating_sub(1));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    text.value(&family::MAX_FDS, limit.map_or(f64::INFINITY, |limit| limit as f64));
}

#[derive(PartialEq, Eq, Debug)]
struct Stat {
    cpu_ticks: u64,
    thread_count: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    /// The name of the program, in parentheses, may contain anything.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        // Numbered as in proc(5), where the first of these is the third.
        let field = |number: usize| fields.get(number - 3)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            thread_count: field(20)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_time_s() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_no_harm() {
        let rest = "S 1 2 2 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 4321 100000 2500 1 2";
        let expected = Stat { cpu_ticks: 200, thread_count: 7, start_ticks: 4321, resident_pages: 2500 };
        assert_eq!(Stat::parse(&format!("12 (a) b) {rest}")), Some(expected));
        assert_eq!(Stat::parse("12 (a"), None);
        assert_eq!(Stat::parse("12 (a) S 1"), None);
    }
}
