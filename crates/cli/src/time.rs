//! Moments and spans, as they are written on the command line and printed.

use std::time::{Duration, SystemTime};

use klamm_client::Start;
use klamm_model::{Offset, Timestamp};

const EXPECTED: &str = "expected start, end, an offset, -N for the last N, or @TIME";
const EXPECTED_DURATION: &str = "expected a time such as 500ms, 10s or 2m";
const EXPECTED_TIME: &str = "expected milliseconds since 1970, a time like 2026-11-23T22:30:00Z, now, or a time ago like -90s, -15m, -2h, -1d";

/// `start`, `end`, `N`, `-N` or `@TIME`.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    start_at(text, now_ms())
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// `500ms`, `10s`, `1m30s`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().ok().map(|seconds| i64::from(seconds) * 1_000);
    let ms = seconds.or_else(|| span_ms(text)).and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms != 0);
    ms.map(Duration::from_millis).ok_or_else(|| EXPECTED_DURATION.to_owned())
}

/// `500ms`, `10s`, `2m`, `1h30m`, `7d`
pub(crate) fn span_ms(text: &str) -> Option<i64> {
    let (mut rest, mut total_ms) = (text, 0_i64);
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, behind) = behind.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total_ms = number.parse::<u32>().ok().map(i64::from)?.checked_mul(unit_ms)?.checked_add(total_ms)?;
        if behind.is_empty() {
            return Some(total_ms);
        }
        rest = behind;
    }
}

/// The moment as `2026-11-23T22:30:00.000Z`; out of the range of dates, the number.
pub(crate) fn date_time_text(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    const LAST_YEAR: i64 = 9999;
    let (mut day, mut year, mut month) = (ms / DAY_MS, 1970, 1);
    while year <= LAST_YEAR && days_of_year(year) <= day {
        day -= days_of_year(year);
        year += 1;
    }
    if ms < 0 || LAST_YEAR < year {
        return ms.to_string();
    }
    while days_of(year, month) <= day {
        day -= days_of(year, month);
        month += 1;
    }
    let (hours, minutes, seconds) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year}-{month:02}-{:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", day + 1, ms % 1_000)
}

pub(crate) fn start_at(text: &str, now_ms: i64) -> Result<Start, String> {
    match text {
        "start" | "beginning" | "earliest" => return Ok(Start::Earliest),
        "end" | "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if let Some(time) = text.strip_prefix('@') {
        let moment =
            ago(time, now_ms).or_else(|| time.parse().ok().filter(|ms| *ms >= 0)).or_else(|| date_time(time));
        return moment.map(|ms| Start::Since(Timestamp(ms))).ok_or_else(|| EXPECTED_TIME.to_owned());
    }
    if let Some(count) = text.strip_prefix('-') {
        return count.parse().map(Start::Last).map_err(|_| EXPECTED.to_owned());
    }
    text.parse().ok().and_then(Offset::from_wire).map(Start::At).ok_or_else(|| EXPECTED.to_owned())
}

fn ago(text: &str, now_ms: i64) -> Option<i64> {
    if text == "now" {
        return Some(now_ms);
    }
    Some((now_ms - span_ms(text.strip_prefix('-')?)?).max(0))
}

/// `2026-11-23`, `2026-11-23T22:30`, `2026-11-23T22:30:00` with or without `.mmm` and `Z`; always UTC.
pub(crate) fn date_time(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut date = date.splitn(3, '-');
    let year: i64 = number(date.next()?, 1970, 9999)?;
    let month = number(date.next()?, 1, 12)?;
    let day = number(date.next()?, 1, days_of(year, month))?;
    let (time, thousandths) = match time.split_once('.') {
        Some((time, fraction)) => (time, fraction.get(..3).unwrap_or(fraction)),
        None => (time, "0"),
    };
    let mut time = time.splitn(3, ':');
    let hour = number(time.next()?, 0, 23)?;
    let minute = number(time.next()?, 0, 59)?;
    let second = time.next().map_or(Some(0), |text| number(text, 0, 60))?;
    let scale = 10_i64.pow(3_u32.saturating_sub(u32::try_from(thousandths.len()).ok()?));
    let ms = number(thousandths, 0, 999)? * if thousandths == "0" { 0 } else { scale };
    let days = days_before_year(year) + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms)
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_of_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_before_year(year: i64) -> i64 {
    (1970..year).map(days_of_year).sum()
}

/// A time for people, as long as the largest of its units needs.
pub(crate) fn span_text(ms: i64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (hours / 24, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{} s", ms % 1_000 / 100),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (days, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(text: &str) -> Option<i64> {
        match start_at(text, 1_000_000_000) {
            Ok(Start::Since(timestamp)) => Some(timestamp.0),
            _ => None,
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(duration("1h2m3s4ms"), Ok(Duration::from_millis(3_723_004)));
        for wrong in ["", "s", "0s", "-1s", "1h2", "1.5s", "99999999999s", "1é"] {
            assert_eq!(duration(wrong), Err(EXPECTED_DURATION.to_owned()), "{wrong:?}");
        }
    }

    #[test]
    fn spans_are_told_in_two_units() {
        for (ms, text) in [
            (0, "0.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (3_600_000, "1h00m"),
            (90_061_000, "1d01h"),
        ] {
            assert_eq!(span_text(ms), text);
        }
    }

    #[test]
    fn moments_are_printed_as_they_are_read() {
        for text in ["1970-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2026-11-23T22:30:00.250Z"] {
            assert_eq!(date_time_text(date_time(text).expect("a date")), text);
        }
        assert_eq!(date_time_text(-1), "-1");
        assert_eq!(date_time_text(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn offsets() {
        assert_eq!(start_at("start", 0), Ok(Start::Earliest));
        assert_eq!(start_at("end", 0), Ok(Start::Latest));
        assert_eq!(start_at("42", 0), Ok(Start::At(Offset::new(42))));
        assert_eq!(start_at("-10", 0), Ok(Start::Last(10)));
        for wrong in ["", "middle", "--1", "-", "1.5", "-x"] {
            assert_eq!(start_at(wrong, 0), Err(EXPECTED.to_owned()), "{wrong:?}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(since("@1795474986789"), Some(1_795_474_986_789));
        assert_eq!(since("@2026-11-23T22:30:00Z"), Some(1_795_473_000_000));
        assert_eq!(since("@2026-11-23T22:30:00.25Z"), Some(1_795_473_000_250));
        assert_eq!(since("@2024-02-29"), Some(1_709_164_800_000));
        assert_eq!(since("@1970-01-01 00:01"), Some(60_000));
        assert_eq!(since("@now"), Some(1_000_000_000));
        assert_eq!(since("@-90s"), Some(999_910_000));
        assert_eq!(since("@-1h60m"), Some(992_800_000));
        assert_eq!(since("@-90000d"), Some(0));
        for wrong in ["@", "@-", "@yesterday", "@2026-13-01", "@2023-02-29", "@2026-1-1T25:00", "@-1y", "@-é"]
        {
            assert_eq!(since(wrong), None, "{wrong:?}");
        }
    }
}
