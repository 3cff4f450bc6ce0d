//! What must hold at all times, and who looks at it. (S: safety; L: comes about in time.)

use super::{By::*, Row};

pub(super) const INVARIANTS: &[Row] = &[
    Row {
        id: "I1",
        what: "what was acknowledged is there",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note(
                "the simulator, from what clients were told (`sim/src/{check,outcomes,transfers,renewals}.rs`, `alone/history.rs`)",
            ),
            Test("crates/replica/src/tests/interleavings.rs", "any_interleaving_keeps_the_invariants"),
            Test(
                "crates/cli/tests/program/several.rs",
                "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each",
            ),
            Run("interop/chaos.sh"),
            Run("interop/kill9.sh"),
        ],
    },
    Row {
        id: "I2",
        what: "one value at each offset below the high watermark, for ever and on every replica",
        by: &[
            Note("the simulator (`sim/src/replicas.rs`)"),
            Test("crates/replica/src/tests/interleavings.rs", "each_broken_rule_is_seen"),
        ],
    },
    Row {
        id: "I3",
        what: "offsets grow without holes; log start ≤ high watermark ≤ end",
        by: &[
            Note("the simulator (`sim/src/{replicas,check}.rs`, `alone/history.rs`)"),
            Test("crates/replica/src/tests/interleavings.rs", "any_interleaving_keeps_the_invariants"),
        ],
    },
    Row {
        id: "I4",
        what: "the high watermark that clients see never goes back",
        by: &[
            Note("the simulator (`sim/src/check.rs`)"),
            Test(
                "crates/replica/src/tests/scripts/serving.rs",
                "a_new_leader_hides_its_high_watermark_until_it_knows_its_predecessors",
            ),
        ],
    },
    Row {
        id: "I5",
        what: "one leader in each epoch, one controller in each",
        by: &[
            Note("the simulator (`sim/src/replicas.rs`)"),
            Test(
                "crates/server/src/engines/raft/tests/faults.rs",
                "the_contract_holds_over_crashes_of_any_node",
            ),
        ],
    },
    Row {
        id: "I6",
        what: "same offset and epoch, same bytes and same prefix, on every replica",
        by: &[Note("the simulator (`sim/src/replicas.rs`)")],
    },
    Row {
        id: "I7",
        what: "an elected leader has everything that is committed, and so has whoever is in sync",
        by: &[Note("the simulator (`sim/src/replicas.rs`)")],
    },
    Row {
        id: "I8",
        what: "a leader counts whoever is in sync or about to be",
        by: &[
            Note(
                "broken on purpose, it is noticed by what it leads to (\"high watermark ignores pending in-sync set\": I7)",
            ),
            Test(
                "crates/replica/src/tests/scripts/in_sync.rs",
                "a_member_to_be_counts_from_the_proposal_on_until_a_refusal_is_certain",
            ),
        ],
    },
    Row {
        id: "I9",
        what: "what was read once is read again",
        by: &[Note("the simulator (`sim/src/check.rs`)")],
    },
    Row {
        id: "I10",
        what: "nothing above the high watermark is read, nor above the last stable offset or aborted by who reads what is committed",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/{check,transfers}.rs`)"),
            Run("interop/bank.sh"),
        ],
    },
    Row {
        id: "I11",
        what: "a reader passes nothing over and never goes back by itself",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/{outcomes,groups}.rs`)"),
            Run("interop/groups.sh"),
        ],
    },
    Row {
        id: "I12",
        what: "an acknowledged commit of offsets stays",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/groups.rs`)"),
            Test("crates/node/tests/groups.rs", "groups_and_offsets_are_there_after_a_restart"),
        ],
    },
    Row {
        id: "I13",
        what: "a partition has one owner in a group; who has it no more cannot commit for it",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/groups.rs`)"),
            Test(
                "crates/coordinator/src/group/tests/late.rs",
                "what_a_late_request_does_not_name_may_have_been_given_since",
            ),
            Test("crates/coordinator/src/group/tests/whatever.rs", "a_shard_is_what_its_log_says"),
        ],
    },
    Row {
        id: "I14",
        what: "no record of an idempotent producer is stored twice or in another order",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/outcomes.rs`)"),
            Test(
                "crates/client/src/producer/machine/tests/network.rs",
                "every_record_is_stored_once_and_in_order_whatever_the_network_does",
            ),
        ],
    },
    Row {
        id: "I15",
        what: "a transaction counts as a whole or not at all; a mark ends the transaction that it is meant for",
        by: &[
            Note("the simulator (`sim/src/transfers.rs`)"),
            Test(
                "crates/client/src/producer/machine/tests/exactly_once.rs",
                "all_of_a_transaction_counts_or_nothing_of_it_whatever_the_network_does",
            ),
            Run("interop/bank.sh"),
            Run("interop/streams.sh"),
        ],
    },
    Row {
        id: "I16",
        what: "L: every transaction has an end",
        by: &[
            Note("the simulator, when all is quiet"),
            Test(
                "crates/coordinator/src/transaction/tests/properties.rs",
                "nothing_hangs_and_nothing_is_ended_twice",
            ),
        ],
    },
    Row {
        id: "I17",
        what: "the metadata are the same at the same offset everywhere",
        by: &[
            Test(
                "crates/node/tests/snapshots.rs",
                "one_in_place_of_entries_makes_of_a_running_node_what_the_entries_would_have",
            ),
            Note("the simulator (`sim/src/replicas.rs`)"),
            Test(
                "crates/cluster/src/controller/tests.rs",
                "the_image_is_the_sum_of_the_log_and_nothing_else",
            ),
            Test(
                "crates/quorum/src/rules.rs",
                "a_deposed_controller_changes_nothing_once_the_next_has_begun",
            ),
            Test(
                "crates/server/src/engines/raft/tests/faults.rs",
                "the_contract_holds_over_crashes_of_any_node",
            ),
        ],
    },
    Row {
        id: "I18",
        what: "an acknowledged change of the metadata stays",
        by: &[
            Note("the simulator (`sim/src/orders.rs`)"),
            Note("the simulator of one node (`sim/src/alone/history.rs`)"),
            Test("crates/cluster/src/controller/tests.rs", "a_new_controller_finishes_what_was_left_over"),
        ],
    },
    Row {
        id: "I19",
        what: "a start that is cut short anywhere, any number of times, comes to the same state",
        by: &[
            Note("the simulator"),
            Test("crates/sim/tests/points.rs", "a_crash_at_any_step_leaves_a_log_that_is_right"),
            Test("crates/log/src/tests/recovery.rs", "recovering_twice_gives_what_recovering_once_did"),
        ],
    },
    Row {
        id: "I20",
        what: "when all is quiet replicas are the same byte for byte, and files beside the records are what the records give",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("the simulator (`sim/src/replicas.rs`, `alone/rebuilt.rs`)"),
            Test(
                "crates/cli/tests/program/several.rs",
                "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each",
            ),
        ],
    },
    Row {
        id: "I21",
        what: "compaction keeps the last value of each key, order and offsets",
        by: &[
            Note("the simulator (`sim/src/originals.rs`, `alone/history.rs`)"),
            Test("crates/log/src/tests/compaction.rs", "a_broken_rule_is_noticed"),
            Run("interop/compaction.py"),
        ],
    },
    Row {
        id: "I22",
        what: "retention takes nothing that is young, growing or not committed; what is deleted stays deleted",
        by: &[
            Note("the simulator (`sim/src/renewals.rs`, `alone/history.rs`)"),
            Test(
                "crates/log/src/tests/retention.rs",
                "nothing_above_the_high_watermark_goes_and_no_more_than_the_limits_say",
            ),
        ],
    },
    Row {
        id: "I23",
        what: "no promise depends on the wall clock",
        by: &[
            Seeds("fault: wall clock jumps"),
            Note(
                "only the monotonic clock is an argument of a decision; the simulator's wall clocks jump by up to an hour under every other invariant",
            ),
        ],
    },
    Row {
        id: "I24",
        what: "memory, descriptors and threads are bounded, and given back",
        by: &[
            Note("clients: the simulator"),
            Test("crates/server/tests/serve/limits.rs", "coming_and_going_leaves_nothing_behind"),
            Test(
                "crates/server/tests/file_descriptors.rs",
                "without_file_descriptors_nobody_new_is_served_and_everybody_else_is",
            ),
            Run("interop/hostile.py"),
        ],
    },
    Row {
        id: "I25",
        what: "L: after the last fault everything comes back: leaders, in-sync sets, readers at the end",
        by: &[Run("interop/chaos_cluster.sh"), Note("the simulator, in every seed")],
    },
    Row {
        id: "I26",
        what: "who is told that something failed for certain finds that it did not happen",
        by: &[Note("the simulator (`sim/src/outcomes.rs`, `client`)")],
    },
];
