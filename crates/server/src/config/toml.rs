//! Settings in TOML: Kafka's keys, flat or as tables.
//!
//! ```toml
//! "log.retention.ms" = 86400000
//! log.segment.bytes = 1048576
//! [log.cleaner]
//! enable = true
//! ```
//! A list is one with commas between. Where one key is the beginning of another (`max.connections`, `max.connections.per.ip`), the longer is put in quotes.

use toml::de::{DeTable, DeValue};

/// What cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: String,
}

/// Keys and values, each with the number of its line.
pub(super) fn parse(text: &str) -> Result<Vec<(usize, String, String)>, BadLine> {
    let line_at = |at: usize| 1 + text.bytes().take(at).filter(|it| *it == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| BadLine {
        line: error.span().map_or(1, |span| line_at(span.start)),
        what: error.message().to_owned(),
    })?;
    let mut pairs = Vec::new();
    flatten("", table.get_ref(), &mut pairs).map_err(|(at, what)| BadLine { line: line_at(at), what })?;
    // In the order of the file, which is not that of a table.
    pairs.sort_by_key(|pair| pair.0);
    Ok(pairs.into_iter().map(|(at, key, value)| (line_at(at), key, value)).collect())
}

fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    pairs: &mut Vec<(usize, String, String)>,
) -> Result<(), (usize, String)> {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        let at = name.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&format!("{key}."), inner, pairs)?,
            DeValue::Array(items) => {
                let items: Option<Vec<String>> = items.iter().map(|it| scalar(it.get_ref())).collect();
                let items =
                    items.ok_or_else(|| (at, format!("{key} is a list of more than texts and numbers")))?;
                pairs.push((at, key, items.join(",")));
            }
            other => match scalar(other) {
                Some(value) => pairs.push((at, key, value)),
                None => {
                    return Err((
                        at,
                        format!("{key} is neither a text, a number, true or false, nor a list"),
                    ));
                }
            },
        }
    }
    Ok(())
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(it) => Some(it.to_string()),
        // As it was written, but for separators of thousands; the table of keys tells whether it fits.
        DeValue::Integer(it) if it.radix() == 10 => Some(it.as_str().to_owned()),
        DeValue::Float(it) => Some(it.as_str().to_owned()),
        DeValue::Boolean(it) => Some(it.to_string()),
        _ => None,
    }
}
