//! Random stories keep the invariants; stories with a broken rule do not, so that it is known that the checks see something.

use klamm_log::{Flush, LogConfig};
use proptest::prelude::*;

use super::network::{Counts, Faults, play};
use super::world::Settings;
use crate::{ReplicaConfig, Sabotage};

const EVERYTHING: Faults = Faults { crashes: true, full_disks: true };
/// A crash of a topic that is not synced may lose what was committed: that is what not syncing means.
const NO_CRASHES: Faults = Faults { crashes: false, full_disks: true };

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_keeps_the_invariants(numbers in prop::collection::vec(any::<u32>(), 1..1500)) {
        play(&numbers, Settings::default(), EVERYTHING).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_interleaving_with_two_in_sync_at_least_keeps_the_invariants(numbers in prop::collection::vec(any::<u32>(), 1..1500)) {
        let replica = ReplicaConfig { min_isr: 2, ..ReplicaConfig::default() };
        play(&numbers, Settings { replica, ..Settings::default() }, EVERYTHING).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_interleaving_without_syncing_keeps_the_invariants(numbers in prop::collection::vec(any::<u32>(), 1..1500)) {
        let log = LogConfig { flush: Flush::RELAXED, ..LogConfig::default() };
        play(&numbers, Settings { log, ..Settings::default() }, NO_CRASHES).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn the_stories_contain_what_they_are_about() {
    let mut all = Counts::default();
    for seed in 0..40 {
        let one = play(&story(seed), Settings::default(), EVERYTHING).expect("no rule is broken");
        all.acknowledged += one.acknowledged;
        all.elections += one.elections;
        all.truncations += one.truncations;
        all.isr_changes += one.isr_changes;
        all.crashes += one.crashes;
        all.failed_writes += one.failed_writes;
        all.duplicates += one.duplicates;
    }
    let least = [
        all.acknowledged,
        all.elections,
        all.truncations,
        all.isr_changes,
        all.crashes,
        all.failed_writes,
        all.duplicates,
    ]
    .into_iter()
    .min();
    assert!(Some(20) <= least, "{all:?}");
}

#[test]
fn each_broken_rule_is_seen() {
    let off = Sabotage::default();
    let broken = [
        ("ack_before_synced", Sabotage { ack_before_synced: true, ..off }),
        ("skip_epoch_check_on_fetch", Sabotage { skip_epoch_check_on_fetch: true, ..off }),
        ("skip_truncation", Sabotage { skip_truncation: true, ..off }),
        ("high_watermark_ignores_pending_isr", Sabotage { high_watermark_ignores_pending_isr: true, ..off }),
        ("high_watermark_ignores_followers", Sabotage { high_watermark_ignores_followers: true, ..off }),
        ("isr_join_below_epoch_start", Sabotage { isr_join_below_epoch_start: true, ..off }),
        ("serve_above_high_watermark", Sabotage { serve_above_high_watermark: true, ..off }),
        ("forget_producer_state", Sabotage { forget_producer_state: true, ..off }),
    ];
    let mut unseen = Vec::new();
    for (name, sabotage) in broken {
        let settings = Settings { sabotage, ..Settings::default() };
        let seen = (0..2000)
            .find_map(|seed| play(&story(seed), settings, EVERYTHING).err().map(|problem| (seed, problem)));
        match seen {
            Some((seed, problem)) => println!("{name}: seed {seed}, {problem}"),
            None => unseen.push(name),
        }
    }
    assert_eq!(unseen, Vec::<&str>::new(), "nobody noticed");
}

/// A story by number.
fn story(seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(state >> 32).expect("32 bits")
    };
    (0..1500).map(|_| next()).collect()
}
