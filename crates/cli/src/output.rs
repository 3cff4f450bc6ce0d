//! Printing: tables, JSON, logs.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Logs to the standard error, from the level in `KLAMM_LOG` (`debug`, or `info,klamm_server=trace`) or `level_default`.
pub(crate) fn log_to_stderr(level_default: &str) {
    let wanted = std::env::var("KLAMM_LOG").unwrap_or_default();
    let wanted = if wanted.is_empty() { level_default } else { &wanted };
    let targets: Targets = match wanted.parse() {
        Ok(targets) => targets,
        Err(error) => {
            eprintln!("klamm: KLAMM_LOG={wanted}: {error}; using {level_default}");
            level_default.parse().unwrap_or_default()
        }
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Whoever has set a subscriber before (a test) keeps it.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
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
        .map(|column| !rows.is_empty() && rows.iter().all(|row| row[column].parse::<f64>().is_ok()))
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
