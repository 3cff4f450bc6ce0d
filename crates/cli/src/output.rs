//! Printing: tables, JSON, logs.

use std::borrow::Cow;
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
/// What stands there where somebody should have told it, and did not.
pub(crate) const UNKNOWN: &str = "unknown";

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

/// Names come from anybody: what moves a terminal's cursor, or changes its colours, must not reach it.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, char::is_control)
}

/// The same of a text that may have several lines.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |it| it.is_control() && it != '\n')
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        if is_hidden(it) { escaped.extend(it.escape_default()) } else { escaped.push(it) }
    }
    Cow::Owned(escaped)
}

/// Prints columns as wide as their widest cell; numbers go to the right.
pub(crate) fn print_table(heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    write_table(&mut io::stdout().lock(), heads, rows)
}

fn write_table(out: &mut impl Write, heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let is_number: Vec<bool> = (0..heads.len())
        .map(|column| rows.iter().all(|row| is_number(&row[column])) && !rows.is_empty())
        .collect();
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
    for row in &rows {
        line(&mut row.iter().map(|cell| &**cell))?;
    }
    Ok(())
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", json_text(value))
}

/// JSON lets control characters above ASCII stand as they are; terminals obey some of them.
fn json_text(value: &serde_json::Value) -> String {
    let text = format!("{value:#}");
    let is_hidden = |it: char| it.is_control() && it != '\n';
    if !text.contains(is_hidden) {
        return text;
    }
    let shown = |it: char| if is_hidden(it) { format!("\\u{:04x}", u32::from(it)) } else { it.to_string() };
    text.chars().map(shown).collect()
}

/// Prints a line, or several.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", visible_lines(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_not_sent() {
        let mut told = Vec::new();
        let rows = [
            vec!["a\x1b[31m\nb".to_owned(), "1".to_owned()],
            vec!["grün\u{9b}2J".to_owned(), "20".to_owned()],
        ];
        write_table(&mut told, &["GROUP", "LAG"], &rows).expect("memory takes it");
        let table = "GROUP           LAG\n\
                     a\\u{1b}[31m\\nb    1\n\
                     grün\\u{9b}2J     20\n";
        assert_eq!(String::from_utf8(told).expect("text"), table);
        assert_eq!(visible_lines("a\tb\r\n  c"), "a\\tb\\r\n  c");
        let value = serde_json::json!({ "group": "a\x1b\u{9b}\nä" });
        let text = json_text(&value);
        assert_eq!(text, "{\n  \"group\": \"a\\u001b\\u009b\\nä\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }

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
