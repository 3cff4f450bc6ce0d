//! Which records are read: `FROM`, or `FROM..TO`, where `TO` is one past the last.

use anyhow::Result;
use klamm_client::Start;
use klamm_model::Timestamp;

use crate::time::{now_ms, span_ms, start_at};

/// From where to where a partition is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) from: Bound,
    /// `None`: for ever.
    pub(crate) to: Option<Bound>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    Place(Start),
    /// So many offsets behind: `FROM` behind the start of the log, `TO` behind `FROM`.
    After(u64),
}

impl Range {
    /// From the oldest record on, for ever.
    pub(crate) const ALL: Self = Self { from: Bound::Place(Start::Earliest), to: None };

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, now_ms())
    }

    fn parse_at(text: &str, now_ms: i64) -> Result<Self, String> {
        let (from, to) = text.split_once("..").map_or((text, None), |(from, to)| (from, Some(to)));
        let from = match from {
            "" if to.is_some() => Bound::Place(Start::Earliest),
            from => Self::parse_bound(from, now_ms)?,
        };
        let to = to.filter(|to| !to.is_empty()).map(|to| Self::parse_to(to, from, now_ms)).transpose()?;
        let is_backwards = match (from, to) {
            (Bound::Place(Start::At(from)), Some(Bound::Place(Start::At(to)))) => to < from,
            (Bound::Place(Start::Since(from)), Some(Bound::Place(Start::Since(to)))) => to < from,
            _ => false,
        };
        if is_backwards { Err("it ends before it begins".to_owned()) } else { Ok(Self { from, to }) }
    }

    fn parse_to(text: &str, from: Bound, now_ms: i64) -> Result<Bound, String> {
        let Some(span) = text.strip_prefix("@+") else { return Self::parse_bound(text, now_ms) };
        let span_ms = span_ms(span).ok_or("expected a time such as @+30m behind the ..")?;
        match from {
            Bound::Place(Start::Since(from)) => {
                Ok(Bound::Place(Start::Since(Timestamp(from.0.saturating_add(span_ms)))))
            }
            _ => Err("@+ counts from a time, as in @2026-11-01..@+1h".to_owned()),
        }
    }

    fn parse_bound(text: &str, now_ms: i64) -> Result<Bound, String> {
        match text.strip_prefix('+') {
            Some(count) => {
                let count = count.parse().map_err(|_| "expected a number of offsets, as in 10..+5")?;
                Ok(Bound::After(count))
            }
            None => start_at(text, now_ms).map(Bound::Place),
        }
    }

    /// The moment at which it ends, if that is still to come.
    pub(crate) fn ends_later(&self) -> Option<Timestamp> {
        match self.to {
            Some(Bound::Place(Start::Since(moment))) if now_ms() < moment.0 => Some(moment),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::Offset;

    use super::*;

    #[test]
    fn ranges() {
        use Bound::{After, Place};
        let at = |offset| Place(Start::At(Offset::new(offset)));
        let since = |ms| Place(Start::Since(Timestamp(ms)));
        let (start, end, last) = (Place(Start::Earliest), Place(Start::Latest), |n| Place(Start::Last(n)));
        for (text, from, to) in [
            ("start", start, None),
            ("-10", last(10), None),
            ("+10", After(10), None),
            ("10..", at(10), None),
            ("..10", start, Some(at(10))),
            ("..", start, None),
            ("10..20", at(10), Some(at(20))),
            ("10..+5", at(10), Some(After(5))),
            ("+10..+5", After(10), Some(After(5))),
            ("start..end", start, Some(end)),
            ("-100..-10", last(100), Some(last(10))),
            ("@-2h..@-1h", since(92_800_000), Some(since(96_400_000))),
            ("@now..@+10s", since(100_000_000), Some(since(100_010_000))),
            ("@1970-01-01T00:01:00.5..@+1m30s", since(60_500), Some(since(150_500))),
            ("@7..end", since(7), Some(end)),
        ] {
            assert_eq!(Range::parse_at(text, 100_000_000), Ok(Range { from, to }), "{text}");
        }
        for (wrong, told) in [
            ("", "expected start"),
            ("20..10", "ends before it begins"),
            ("@20..@10", "ends before it begins"),
            ("10..@+1h", "counts from a time"),
            ("@10..@+1y", "such as @+30m"),
            ("10..+x", "a number of offsets"),
            ("+-1", "a number of offsets"),
            ("1..2..3", "expected start"),
        ] {
            let refused = Range::parse_at(wrong, 0).expect_err(wrong);
            assert!(refused.contains(told), "{wrong}: {refused}");
        }
    }
}
