//! Scripts: a line a step, and what comes of it: `+` records, `#` answers, `m` markers.

mod properties;
mod protocol;
mod rig;
mod time;

use expect_test::Expect;

use super::TransactionConfig;
use rig::Rig;

fn check(script: &str, expected: &Expect) {
    check_with(TransactionConfig { wait_ms: 0, ..TransactionConfig::default() }, script, expected);
}

fn check_with(config: TransactionConfig, script: &str, expected: &Expect) {
    let mut rig = Rig::new(config);
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text.push_str(&format!("{line}\n{}", rig.run(line)));
    }
    rig.check_replay();
    expected.assert_eq(&text);
}
