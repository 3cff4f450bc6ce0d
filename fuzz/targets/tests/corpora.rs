//! Every committed input of the fuzzer, seen by its target again.
#![allow(clippy::disallowed_methods)]

use std::{fs, path::Path};

use klamm_fuzz_targets::TARGETS;

#[test]
fn what_once_broke_something_and_what_leads_deep_breaks_nothing() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut folders: Vec<String> = Vec::new();
    for entry in fs::read_dir(&corpora).expect("there are corpora") {
        folders.push(entry.expect("an entry").file_name().into_string().expect("a name"));
    }
    folders.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.0).collect();
    names.sort_unstable();
    assert_eq!(folders, names, "a folder for each target");
    for (name, run) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpora.join(name)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let input = fs::read(&path).expect("an input");
            if let Err(panic) = std::panic::catch_unwind(|| run(&input)) {
                eprintln!("{} breaks its target", path.display());
                std::panic::resume_unwind(panic);
            }
            count += 1;
        }
        assert!(count > 0, "{name} has no inputs");
    }
}
