//! What must hold, one sentence a test.

mod commit;
mod deletion;
mod in_sync;
mod reads;
mod serving;
mod truncation;

use expect_test::Expect;

use super::script::run;

#[allow(clippy::needless_pass_by_value, reason = "the expected text is a literal at the call")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&run(script));
}
