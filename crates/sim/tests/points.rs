//! A crash at every step that a disk takes in a life with everything in it, and again in the starts after it.

use klamm_sim::{
    alone::{
        Sabotage,
        points::{Point, live},
    },
    disk::Loss,
    runner::on_all_cores,
};

#[test]
fn a_crash_at_any_step_leaves_a_log_that_is_right() {
    let whole = live(None, Sabotage::default());
    assert!(whole.outcome.is_good(), "{}", whole.outcome);
    for what in [
        "segment closed",
        "compacted segment swapped in",
        "segments retired",
        "retired segments removed",
        "records deleted",
        "partition deleted",
        "partition moved",
        "alone: metadata snapshot offered",
        "alone: stopped clean",
    ] {
        assert!(0 < whole.outcome.coverage.of(what), "{what}: not in this life, {}", whole.outcome);
    }
    let problems = on_all_cores(1..whole.step_count + 1, |step| {
        let lives = [Loss::Process, Loss::AllUnsynced, Loss::Power].map(|loss| {
            let point = Point { step, loss, again: None };
            (point, live(Some(point), Sabotage::default()))
        });
        let mut problems: Vec<String> = lives
            .iter()
            .filter(|(_, lived)| !lived.outcome.is_good())
            .map(|(point, lived)| format!("{point:?}: {}", lived.outcome))
            .collect();
        // Starts that are ended in the middle come to the same in the end (I19).
        let (point, once) = &lives[step as usize % 2];
        let point = Point { again: Some(1 + step % 11), ..*point };
        let again = live(Some(point), Sabotage::default());
        if !again.outcome.is_good() {
            problems.push(format!("{point:?}: {}", again.outcome));
        }
        let names = again.bytes.keys().chain(once.bytes.keys());
        let differing: Vec<_> = names.filter(|it| again.bytes.get(*it) != once.bytes.get(*it)).collect();
        if !differing.is_empty() {
            let sizes = [&again, once]
                .map(|it| differing.iter().map(|at| it.bytes.get(*at).map(Vec::len)).collect::<Vec<_>>());
            problems.push(format!(
                "{point:?}: {differing:?} differ from what one start makes of them: {sizes:?}"
            ));
        }
        problems
    });
    let problems = problems.concat();
    println!("{} steps", whole.step_count);
    assert!(
        problems.is_empty(),
        "{} of {} steps:\n{}",
        problems.len(),
        whole.step_count,
        problems[..problems.len().min(9)].join("\n")
    );
}
