//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::families::{Family, Kind};

/// What a scrape gets.
#[derive(Debug, Default)]
pub(crate) struct Text {
    out: String,
}

impl Text {
    /// A value without labels.
    pub(crate) fn value(&mut self, family: &Family, value: impl Display) {
        self.values(family, [([], value)]);
    }

    /// One value for each combination of labels.
    pub(crate) fn values<'a, const N: usize>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = ([&'a str; N], impl Display)>,
    ) {
        self.head(family);
        for (labels, value) in values {
            self.sample(family.name, family, &labels, None, value);
        }
    }

    /// A histogram for each combination of labels: counts of the buckets, each with its upper bound in seconds, and the sum of all times.
    pub(crate) fn histograms<'a, const N: usize>(
        &mut self,
        family: &Family,
        histograms: impl IntoIterator<Item = ([&'a str; N], Vec<(f64, u64)>, f64)>,
    ) {
        assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        self.head(family);
        for (labels, buckets, sum) in histograms {
            let bucket = format!("{}_bucket", family.name);
            let mut total = 0;
            for (bound, count) in buckets {
                total += count;
                self.sample(&bucket, family, &labels, Some(&bound.to_string()), total);
            }
            self.sample(&bucket, family, &labels, Some("+Inf"), total);
            self.sample(&format!("{}_sum", family.name), family, &labels, None, sum);
            self.sample(&format!("{}_count", family.name), family, &labels, None, total);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn head(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let Family { name, help, .. } = family;
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(
        &mut self,
        name: &str,
        family: &Family,
        labels: &[&str],
        bound: Option<&str>,
        value: impl Display,
    ) {
        assert_eq!(labels.len(), family.labels.len(), "labels of {name}");
        self.out.push_str(name);
        let all = family.labels.iter().copied().zip(labels.iter().copied());
        let mut separator = '{';
        for (label, value) in all.chain(bound.map(|bound| ("le", bound))) {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{separator}{label}=\"{value}\"");
            separator = ',';
        }
        let end = if separator == ',' { "}" } else { "" };
        let _ = writeln!(self.out, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_buckets_add_up() {
        const PLAIN: Family = Family { name: "plain", kind: Kind::Gauge, labels: &[], help: "Help." };
        const BY_DIR: Family =
            Family { name: "by_dir", kind: Kind::Counter, labels: &["dir"], help: "Help." };
        const TIMES: Family = Family { name: "times", kind: Kind::Histogram, labels: &["op"], help: "Help." };
        let mut text = Text::default();
        text.value(&PLAIN, 1.5);
        text.values(&BY_DIR, [(["a \"b\"\\\n"], 3)]);
        text.histograms(&TIMES, [(["sync"], vec![(0.001, 2), (0.002, 0), (0.004, 5)], 0.25)]);
        let expected = r##"# HELP plain Help.
# TYPE plain gauge
plain 1.5
# HELP by_dir Help.
# TYPE by_dir counter
by_dir{dir="a \"b\"\\\n"} 3
# HELP times Help.
# TYPE times histogram
times_bucket{op="sync",le="0.001"} 2
times_bucket{op="sync",le="0.002"} 2
times_bucket{op="sync",le="0.004"} 7
times_bucket{op="sync",le="+Inf"} 7
times_sum{op="sync"} 0.25
times_count{op="sync"} 7
"##;
        assert_eq!(text.finish(), expected);
    }
}
