//! `docs/TESTING.md`: for each invariant who looks at it and what proves that he does, for each fault where it is tried. What is claimed is looked up
//! before it is written: tests by their names, the simulator's figures by a run.

mod faults;
mod invariants;
mod mission;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use self::{faults::FAULTS, invariants::INVARIANTS, mission::MISSION};

/// What no table says.
const HEAD: &str = include_str!("testing.md");
/// So many lives of each of the simulator's worlds give the figures.
const SEEDS: &str = "0..500";

/// Where something is tried, or why not.
enum By {
    /// The simulator, which counts it under this name.
    Seeds(&'static str),
    /// A test: its file, and its function.
    Test(&'static str, &'static str),
    /// A command on real processes.
    Run(&'static str),
    /// Something else, or nowhere, and why.
    Note(&'static str),
}

struct Row {
    id: &'static str,
    what: &'static str,
    by: &'static [By],
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn write() -> Result<()> {
    let page = page(&counts()?)?;
    fs::write(root().join("docs/TESTING.md"), page).context("docs/TESTING.md")
}

/// The committed page against the tables and the sources; figures may be those of an earlier day, and only their names count.
pub(crate) fn check() -> Result<()> {
    let committed = read("docs/TESTING.md")?;
    let figures = figures_of(&committed);
    ensure!(
        committed == page(&figures)?,
        "docs/TESTING.md is not what the tables give: run `cargo xtask testing`"
    );
    Ok(())
}

/// How often each thing happened in the seeds.
fn counts() -> Result<BTreeMap<String, u64>> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--profile", "sim", "--package", "klamm-sim", "--", "--seeds", SEEDS])
        .current_dir(root())
        .output()
        .context("running the simulator")?;
    ensure!(output.status.success(), "a seed failed:\n{}", String::from_utf8_lossy(&output.stdout));
    let printed = String::from_utf8(output.stdout)?;
    Ok(printed.lines().filter_map(counted).collect())
}

/// `      1234  what happened`
fn counted(line: &str) -> Option<(String, u64)> {
    let (times, what) = line.trim_start().split_once("  ")?;
    Some((what.to_owned(), times.parse().ok()?))
}

/// `what happened (1,234)` between two of the page's marks for it.
fn figures_of(page: &str) -> BTreeMap<String, u64> {
    let quoted = page.split('“').skip(1).filter_map(|rest| {
        let (what, rest) = rest.split_once("” ")?;
        let times: String =
            rest.chars().take_while(|it| it.is_ascii_digit() || *it == ',').filter(|it| *it != ',').collect();
        Some((what.to_owned(), times.parse().ok()?))
    });
    quoted.collect()
}

fn page(counts: &BTreeMap<String, u64>) -> Result<String> {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Invariants\n\n| | what holds | looked at | noticed when broken: the simulator's controls |\n|---|---|---|---|\n");
    let controls = controls()?;
    for row in INVARIANTS {
        let noticed = controls.get(row.id).map_or(String::new(), |names| names.join("; "));
        writeln!(page, "| {} | {} | {} | {noticed} |", row.id, row.what, shown(row, counts)?)?;
    }
    for (title, rows) in
        [("Faults\n\n| | fault | tried by |", FAULTS), ("What was asked for\n\n| | | shown by |", MISSION)]
    {
        write!(page, "\n## {title}\n|---|---|---|\n")?;
        for row in rows {
            writeln!(page, "| {} | {} | {} |", row.id, row.what, shown(row, counts)?)?;
        }
    }
    Ok(page)
}

fn shown(row: &Row, counts: &BTreeMap<String, u64>) -> Result<String> {
    ensure!(!row.by.is_empty(), "{}: nothing is said of it", row.id);
    let parts: Result<Vec<String>> = row.by.iter().map(|by| one_shown(by, counts)).collect();
    Ok(parts.with_context(|| row.id.to_owned())?.join("; "))
}

fn one_shown(by: &By, counts: &BTreeMap<String, u64>) -> Result<String> {
    match by {
        By::Seeds(name) => {
            let times = counts.get(*name).with_context(|| format!("the simulator counts no {name:?}"))?;
            Ok(format!("“{name}” {}", with_commas(*times)))
        }
        By::Test(file, function) => {
            let source = read(file)?;
            ensure!(source.contains(&format!("fn {function}(")), "{file} has no test {function}");
            Ok(format!("`{file}`: `{function}`"))
        }
        By::Run(command) => {
            let script = command.split_whitespace().next().unwrap_or_default();
            ensure!(root().join(script).exists(), "there is no {script}");
            Ok(format!("`{command}`"))
        }
        By::Note(text) => Ok((*text).to_owned()),
    }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// What is broken on purpose, by the invariant that notices, from the table that `crates/sim/tests/sabotage.rs` keeps true.
fn controls() -> Result<BTreeMap<String, Vec<String>>> {
    let page = read("docs/SIMULATION.md")?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (_, table) =
        page.split_once("| broken | noticed by |").context("docs/SIMULATION.md has no table of controls")?;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let [_, name, invariants, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            bail!("docs/SIMULATION.md: {row}")
        };
        for invariant in invariants.split(", ") {
            found.entry(invariant.to_owned()).or_default().push(name.to_owned());
        }
    }
    Ok(found)
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = root().join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_tables_and_the_sources_give() {
        check().expect("docs/TESTING.md is up to date");
    }

    #[test]
    fn every_invariant_and_fault_is_there_once() {
        let ids = |rows: &[Row]| rows.iter().map(|row| row.id.to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(INVARIANTS), (1..=26).map(|number| format!("I{number}")).collect::<Vec<_>>());
        assert_eq!(ids(FAULTS), (1..=50).map(|number| format!("F{number}")).collect::<Vec<_>>());
    }

    #[test]
    fn figures_are_found_again() {
        let figures = figures_of("x “fault: full disk” 1,234; “leader lost” 7 |");
        assert_eq!(
            figures,
            BTreeMap::from([("fault: full disk".to_owned(), 1234), ("leader lost".to_owned(), 7)])
        );
        assert_eq!(with_commas(1_234_567), "1,234,567");
        assert_eq!(counted("      1234  leader lost"), Some(("leader lost".to_owned(), 1234)));
    }
}
