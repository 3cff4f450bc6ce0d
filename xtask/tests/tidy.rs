//! Rules of the repository that no compiler checks: who may use whom, and what must be absent where.
#![allow(clippy::disallowed_methods)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Which of our crates each may use, directly. Nothing points upward (ARCHITECTURE.md).
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("log", &["model"]),
    ("quorum", &["model", "log"]),
    ("replica", &["model", "log"]),
    ("cluster", &["model", "wire"]),
    ("coordinator", &["model", "wire", "cluster"]),
    ("node", &["model", "wire", "log", "quorum", "replica", "cluster", "coordinator"]),
    ("client", &["model", "wire"]),
    ("server", &["model", "wire", "log", "quorum", "replica", "cluster", "node"]),
    ("sim", &["model", "wire", "log", "quorum", "replica", "cluster", "coordinator", "node", "client"]),
    ("klamm", &["model", "client", "server"]),
    ("cli", &["model", "wire", "client", "server"]),
    ("fuzz-targets", &["model", "wire", "log", "quorum", "replica", "cluster", "node", "server"]),
];

/// The crates that decide: no runtime, no sockets, no files, no threads, no clock, no randomness.
const PURE: &[&str] = &["model", "wire", "log", "quorum", "replica", "cluster", "coordinator", "node"];

/// Packages that bring the world with them.
const WORLD: &[&str] =
    &["tokio", "openraft", "mio", "socket2", "rand", "getrandom", "arc-swap", "parking_lot"];

/// The one file of a deciding crate that touches the world.
const FILES: &str = "crates/log/src/files.rs";
/// And what it consists of.
const FILES_PARTS: &str = "crates/log/src/files/";

/// Words that mean the world is near, beyond what clippy.toml forbids.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "tokio::",
    "std::process",
    "RandomState",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_path_buf()
}

/// Our crates' direct dependencies (not those of tests), short names for ours.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a package has a name").to_owned();
    packages
        .iter()
        .filter_map(|package| Some((our_name(&name(package))?.to_owned(), package)))
        .map(|(crate_name, package)| {
            let dependencies = package["dependencies"].as_array().expect("there is a list of dependencies");
            let direct = dependencies.iter().filter(|it| it["kind"].is_null()).map(name).collect();
            (crate_name, direct)
        })
        .collect()
}

/// The short name of one of our crates; the one that carries the name of the whole has no other.
fn our_name(package: &str) -> Option<&str> {
    if package == "klamm" { Some(package) } else { package.strip_prefix("klamm-") }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let actual = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, direct) in &actual {
        let Some(allowed) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} is not in the table of xtask/tests/tidy.rs"));
            continue;
        };
        for used in direct.iter().filter_map(|it| our_name(it)) {
            if !allowed.contains(&used) {
                wrong.push(format!("{name} must not use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(actual.len(), MAY_USE.len(), "the table names crates that are gone");
}

#[test]
fn deciding_crates_do_not_depend_on_the_world() {
    let actual = dependencies();
    for name in PURE {
        let worldly: Vec<_> = actual[*name].iter().filter(|it| WORLD.contains(&it.as_str())).collect();
        assert!(worldly.is_empty(), "{name} depends on {worldly:?}");
    }
}

#[test]
fn deciding_crates_do_not_name_the_world() {
    let root = root();
    let mut wrong = Vec::new();
    for name in PURE {
        let mut files = Vec::new();
        sources(&root.join("crates").join(name).join("src"), &mut files);
        for file in files {
            let place =
                file.strip_prefix(&root).expect("sources lie in the repository").display().to_string();
            if place == FILES || place.starts_with(FILES_PARTS) || place.contains("/tests") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source file can be read");
            // Unit tests may use files; they stand at the end of a file.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let is_comment = line.trim_start().starts_with("//");
                if let Some(word) = WORLDLY.iter().find(|word| !is_comment && line.contains(**word)) {
                    wrong.push(format!("{place}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn error_codes_are_chosen_in_one_place() {
    let text = fs::read_to_string(root().join("crates/node/src/errors.rs")).expect("errors.rs is there");
    let catch_all: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("_ =>")).collect();
    assert!(
        catch_all.is_empty(),
        "a match without `_` makes whoever adds an error decide its code: {catch_all:?}"
    );
    for name in ["log", "replica", "quorum", "cluster"] {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            assert!(!text.contains("ErrorCode"), "{} names a wire code", file.display());
        }
    }
}

#[test]
fn log_and_replica_know_no_requests() {
    for name in ["model", "log", "replica"] {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            for word in ["klamm_wire", "ConnectionId", "correlation_id"] {
                assert!(!text.contains(word), "{} knows of {word}", file.display());
            }
        }
    }
}

#[test]
fn there_are_no_junk_drawers() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(
            !["util", "utils", "common", "helpers", "misc"].contains(&stem.as_str()),
            "{}",
            file.display()
        );
    }
}
