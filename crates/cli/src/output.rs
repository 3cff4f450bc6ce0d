//! Printing: tables, JSON, logs.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::failure::tell;

/// Logs to the standard error, from the level in `KLAMM_LOG` (`debug`, or `info,klamm_server=trace`) or what is given.
pub(crate) fn log_to_stderr(default: &str) {
    let wanted = std::env::var("KLAMM_LOG").unwrap_or_default();
    let wanted = if wanted.is_empty() { default } else { &wanted };
    let targets: Targets = match wanted.parse() {
        Ok(targets) => targets,
        Err(error) => {
            tell(&format!("KLAMM_LOG={wanted}: {error}; using {default}"));
            default.parse().unwrap_or_default()
        }
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Whoever has set a subscriber before (a test) keeps it.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
}

/// What stands in a table where there is nothing, or nothing is known.
pub(crate) const NOTHING: &str = "-";

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// Bytes as people read them.
pub(crate) fn size_text(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    // What would be rounded up to 1024 is the next unit's.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// So many of something: one entry, two entries.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A cell for something that may be unknown.
pub(crate) fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// Several in one cell.
pub(crate) fn listed(values: &[impl ToString]) -> String {
    match values {
        [] => NOTHING.to_owned(),
        values => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

fn is_number(cell: &str) -> bool {
    let number = match cell.rsplit_once(' ') {
        Some((number, unit)) if UNITS.contains(&unit) => number,
        _ => cell,
    };
    cell == NOTHING || number.parse::<f64>().is_ok()
}

/// Prints columns as wide as their widest cell; numbers go to the right.
pub(crate) fn print_table(heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let is_number: Vec<bool> = (0..heads.len())
        .map(|column| rows.iter().all(|row| is_number(&row[column])) && !rows.is_empty())
        .collect();
    let mut out = io::stdout().lock();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if column > 0 {
                text.push_str("  ");
            }
            if is_number[column] {
                text.push_str(&padding);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&padding);
            }
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut heads.iter().copied())?;
    for row in rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value:#}")
}

/// Prints one line.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size_text(bytes), text);
            assert!(is_number(text));
        }
        assert!(is_number("-") && is_number("-1.5") && !is_number("a") && !is_number("1 B 2"));
    }
}
