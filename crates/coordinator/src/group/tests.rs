//! Scripts of what happens to a shard, one event a line, and what it makes of it.

mod consumers;
mod late;
mod members;
mod migration;
mod offsets;
mod refusals;
mod rig;
mod statics;
mod storms;
mod whatever;

use expect_test::{Expect, expect};

use super::{Assignor, GroupConfig, MigrationPolicy};
use rig::Rig;

/// On one node: a new group does not wait.
fn check(script: &str, expected: Expect) {
    check_with(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() }, script, expected);
}

#[allow(clippy::needless_pass_by_value)]
fn check_with(config: GroupConfig, script: &str, expected: Expect) {
    let mut rig = Rig::new(config);
    let mut told = String::new();
    for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
        told += &format!("{line}\n");
        for answer in rig.run(line).lines() {
            told += &format!("    {answer}\n");
        }
        rig.check();
    }
    expected.assert_eq(&told);
}
