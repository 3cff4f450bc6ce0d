//! Keeps `crates/wire/src/messages` equal to what the schema gives.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::rust;
use crate::schema::Schema;

/// The committed schema.
pub(crate) const SCHEMA_PATH: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wire/schema/kafka-4.4.0.txt");

const MESSAGES_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wire/src/messages");

/// Writes what differs, so that an unchanged file is not compiled again, and removes what is no longer generated.
pub(crate) fn write() -> Result<()> {
    let (wanted, found) = (wanted()?, found()?);
    let mut changed = 0;
    for (path, text) in &wanted {
        if found.get(path) != Some(text) {
            std::fs::write(path, text).with_context(|| path.display().to_string())?;
            changed += 1;
        }
    }
    for path in found.keys().filter(|path| !wanted.contains_key(*path)) {
        std::fs::remove_file(path).with_context(|| path.display().to_string())?;
        changed += 1;
    }
    println!("{changed} of {} files changed", wanted.len());
    Ok(())
}

/// Fails when the committed code is not what the schema gives.
pub(crate) fn check() -> Result<()> {
    let (wanted, found) = (wanted()?, found()?);
    let paths = wanted.keys().chain(found.keys());
    let mut stale: Vec<String> = paths
        .filter(|path| wanted.get(*path) != found.get(*path))
        .map(|path| path.display().to_string())
        .collect();
    stale.sort();
    stale.dedup();
    if !stale.is_empty() {
        bail!("stale, run `cargo xtask gen`:\n{}", stale.join("\n"));
    }
    Ok(())
}

fn found() -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(MESSAGES_PATH).context(MESSAGES_PATH)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        files.insert(path, text);
    }
    Ok(files)
}

fn wanted() -> Result<BTreeMap<PathBuf, String>> {
    let text = std::fs::read_to_string(SCHEMA_PATH).context(SCHEMA_PATH)?;
    let schema = Schema::parse(&text).context(SCHEMA_PATH)?;
    let files = rust::files(&schema)?;
    files
        .into_iter()
        .map(|(name, text)| Ok((Path::new(MESSAGES_PATH).join(name), formatted(&text)?)))
        .collect()
}

/// The code goes through rustfmt, so that `cargo fmt --check` has nothing to say about it.
fn formatted(code: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024"])
        // Where it looks for rustfmt.toml.
        .current_dir(MESSAGES_PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running rustfmt")?;
    let mut stdin = rustfmt.stdin.take().context("rustfmt has no input")?;
    stdin.write_all(code.as_bytes())?;
    drop(stdin);
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_message_code_is_what_the_schema_gives() {
        super::check().unwrap();
    }
}
