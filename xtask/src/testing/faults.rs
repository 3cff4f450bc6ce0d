//! What may happen, and where it is tried.

use super::{By::*, Row};

const SEVERAL: &str = "crates/cli/tests/program/several.rs";
const RAFT: &str = "crates/server/src/engines/raft/tests/faults.rs";
const CUT_OFF: &str = "crates/node/tests/cut_off.rs";
const RECOVERY: &str = "crates/log/src/tests/recovery.rs";

pub(super) const FAULTS: &[Row] = &[
    Row {
        id: "F1",
        what: "a leader is killed",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: process killed"),
            Seeds("fault: leaders crash in quick succession"),
            Test(SEVERAL, "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each"),
            Run("interop/kill9.sh"),
        ],
    },
    Row {
        id: "F2",
        what: "a follower is killed",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("in-sync set shrunk"),
            Seeds("in-sync set grown"),
            Test(SEVERAL, "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each"),
        ],
    },
    Row {
        id: "F3",
        what: "all brokers are killed at once",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: power lost everywhere"),
            Test(
                SEVERAL,
                "a_cluster_that_was_stopped_starts_again_without_the_list_once_a_majority_is_there",
            ),
        ],
    },
    Row {
        id: "F4",
        what: "one replica loses power",
        by: &[
            Test(
                "crates/cluster/src/controller/tests/eligible.rs",
                "who_crashed_is_out_where_nobody_waits_for_the_disk",
            ),
            Seeds("fault: power lost"),
            Test("crates/log/src/tests/crashes.rs", "synced_logs_keep_what_was_synced"),
            Test("crates/log/src/tests/crashes.rs", "relaxed_logs_keep_what_was_synced"),
        ],
    },
    Row {
        id: "F5",
        what: "all replicas lose power",
        by: &[
            Test(
                "crates/cluster/src/controller/tests/eligible.rs",
                "all_crash_at_once_and_whoever_is_back_leads",
            ),
            Seeds("fault: power lost everywhere"),
            Note(
                "a loss that nobody reports is noticed (control: \"marker of a clean stop after a failure\")",
            ),
        ],
    },
    Row {
        id: "F6",
        what: "the last replica in sync comes back without its end",
        by: &[
            Test(
                "crates/cluster/src/controller/tests/eligible.rs",
                "who_crashed_is_out_where_nobody_waits_for_the_disk",
            ),
            Test(
                "crates/cluster/src/controller/tests/eligible.rs",
                "the_only_replica_leads_again_whatever_it_has",
            ),
            Test(
                "crates/cluster/src/controller/tests.rs",
                "a_broker_that_restarts_before_its_session_ends_leaves_the_in_sync_sets",
            ),
            Test(
                "crates/cluster/src/controller/tests.rs",
                "the_last_in_sync_replica_stays_so_and_leads_again_when_it_returns",
            ),
        ],
    },
    Row {
        id: "F7",
        what: "a leader is cut off from its followers, not from clients",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: node cut off from the other nodes"),
            Seeds("producer sent away by a leader that is cut off"),
            Test(CUT_OFF, "who_waits_in_vain_for_a_session_is_sent_away_and_so_is_who_comes_later"),
        ],
    },
    Row {
        id: "F8",
        what: "a leader is cut off from the controller only",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: two nodes cut from each other"),
            Seeds("fault: node hears nothing of the quorum"),
        ],
    },
    Row {
        id: "F9",
        what: "a link that works one way",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: one-way cut"),
            Test(RAFT, "a_leader_that_is_only_not_heard_or_only_does_not_hear_is_replaced_too"),
            Test(RAFT, "a_follower_that_hears_nothing_disturbs_nobody"),
        ],
    },
    Row {
        id: "F10",
        what: "two of three do not see each other",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: two nodes cut from each other"),
            Test(
                RAFT,
                "a_leader_that_is_cut_off_leads_no_more_another_does_and_nobody_fights_when_it_is_back",
            ),
        ],
    },
    Row {
        id: "F11",
        what: "a slow follower",
        by: &[Seeds("fault: slow disk"), Seeds("fault: process paused")],
    },
    Row {
        id: "F12",
        what: "a leader wakes up that was replaced",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: process paused"),
            Seeds("leader lost"),
            Test(
                "crates/replica/src/tests/scripts/truncation.rs",
                "a_deposed_leader_cuts_what_was_never_committed",
            ),
        ],
    },
    Row {
        id: "F13",
        what: "the controller or a minority is killed",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: controller moves"),
            Seeds("roles: controller killed that is no broker"),
            Test(RAFT, "when_the_leader_dies_another_leads_soon"),
            Test(SEVERAL, "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each"),
        ],
    },
    Row {
        id: "F14",
        what: "the majority of the quorum is lost",
        by: &[
            Test(SEVERAL, "without_a_majority_leaders_go_on_and_what_needs_a_controller_says_why_it_fails"),
            Seeds("fault: majority lost"),
            Seeds("majority lost: refused with a reason"),
            Seeds("majority lost: batch acked by all meanwhile"),
            Run("interop/chaos_cluster.sh"),
            Test(RAFT, "without_a_majority_nobody_leads_and_with_it_all_goes_on"),
            Test(CUT_OFF, "a_leader_that_commits_again_sends_nobody_away_though_no_controller_is_there"),
            Test(
                CUT_OFF,
                "producers_begin_though_no_controller_is_there_with_numbers_that_were_taken_before",
            ),
        ],
    },
    Row {
        id: "F15",
        what: "a node comes back without its disk",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Test(SEVERAL, "a_node_that_lost_its_disk_is_refused_under_its_number"),
            Test("crates/server/src/joining/tests.rs", "a_known_number_with_another_disk_is_refused"),
        ],
    },
    Row {
        id: "F16",
        what: "restarts again and again",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: leaders crash in quick succession"),
            Run("interop/chaos.sh"),
        ],
    },
    Row {
        id: "F17",
        what: "a rolling restart",
        by: &[
            Seeds("broker stops when others have taken over"),
            Run("interop/chaos_cluster.sh"),
            Test("crates/node/tests/leaving.rs", "who_leads_goes_when_others_lead_and_all_know"),
            Test("crates/cluster/src/controller/tests.rs", "a_broker_that_wants_to_stop_hands_over_first"),
        ],
    },
    Row {
        id: "F18",
        what: "nodes of two versions",
        by: &[
            Test("crates/cluster/src/record/tests.rs", "fields_that_a_newer_version_added_are_skipped"),
            Test("crates/cluster/src/record/tests.rs", "an_unknown_type_is_refused_loudly"),
            Note(
                "there is one version yet: levels are to be finalized before a second one writes other records",
            ),
        ],
    },
    Row {
        id: "F19",
        what: "a torn write",
        by: &[
            Seeds("disk: torn tail cut off"),
            Seeds("alone: torn tail cut off"),
            Test(RECOVERY, "a_tail_torn_at_any_byte_is_cut_to_the_last_whole_batch"),
            Run("interop/chaos.sh"),
        ],
    },
    Row {
        id: "F20",
        what: "a flipped bit in a record",
        by: &[
            Seeds("alone: start leaves out what is damaged"),
            Seeds("alone: damaged batch refused"),
            Test("crates/log/src/tests/damage.rs", "a_flipped_byte_costs_its_batch_and_nothing_else"),
            Test(
                "crates/node/tests/damaged_replicas.rs",
                "a_damaged_log_is_served_where_nobody_else_is_in_sync_and_stays_offline_elsewhere",
            ),
        ],
    },
    Row {
        id: "F21",
        what: "a flipped bit in a batch's length or offset",
        by: &[
            Seeds("alone: start leaves out what is damaged"),
            Test(
                "crates/log/src/tests/damage.rs",
                "who_looks_for_a_time_or_an_offset_is_told_right_or_refused_whatever_byte_is_flipped",
            ),
        ],
    },
    Row {
        id: "F22",
        what: "a file beside the records is gone, cut or flipped",
        by: &[
            Seeds("alone: file beside the records made again"),
            Test(RECOVERY, "files_beside_the_records_are_made_again_and_are_the_same"),
            Run("interop/chaos.sh"),
        ],
    },
    Row {
        id: "F23",
        what: "a flipped bit in the metadata of a minority",
        by: &[
            Test(
                "crates/server/src/engines/raft/tests/files.rs",
                "a_torn_tail_of_the_log_costs_nothing_and_a_damaged_log_or_a_lost_vote_is_refused",
            ),
            Test("crates/quorum/src/raft_log/tests.rs", "a_damaged_entry_that_was_on_disk_is_no_torn_tail"),
        ],
    },
    Row {
        id: "F24",
        what: "a good batch at the wrong place",
        by: &[Test(RECOVERY, "a_good_batch_at_the_wrong_place_is_not_taken")],
    },
    Row {
        id: "F25",
        what: "no room for an append",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: full disk"),
            Seeds("disk: full"),
            Seeds("leader that is full hands over"),
            Test(
                "crates/cluster/src/controller/tests/balance.rs",
                "others_lead_what_a_full_broker_leads_until_it_has_room",
            ),
            Run("interop/diskfull.sh"),
        ],
    },
    Row {
        id: "F26",
        what: "no room at a start",
        by: &[Run("interop/chaos.sh"), Note("(\"disk full at a start\")")],
    },
    Row {
        id: "F27",
        what: "a write fails",
        by: &[
            Test(
                "crates/node/tests/disks.rs",
                "a_log_of_which_nothing_is_found_is_told_of_before_the_broker_takes_part",
            ),
            Seeds("disk: failed write"),
            Test("crates/node/tests/disks.rs", "a_directory_that_fails_goes_offline_alone"),
        ],
    },
    Row {
        id: "F28",
        what: "a sync fails",
        by: &[
            Seeds("fault: sync fails"),
            Seeds("disk: failed sync"),
            Test("crates/log/src/tests/scripts.rs", "a_failed_sync_ends_the_log"),
        ],
    },
    Row {
        id: "F29",
        what: "a sync takes long",
        by: &[
            Seeds("fault: slow disk"),
            Test(RAFT, "a_slow_disk_costs_nobody_the_lead_and_one_that_does_not_answer_does"),
        ],
    },
    Row {
        id: "F30",
        what: "a read fails",
        by: &[Test("crates/node/tests/damage.rs", "a_read_that_fails_costs_that_fetch_alone")],
    },
    Row {
        id: "F31",
        what: "no descriptors or no memory left",
        by: &[
            Test(
                "crates/server/tests/file_descriptors.rs",
                "without_file_descriptors_nobody_new_is_served_and_everybody_else_is",
            ),
            Run("interop/chaos.sh"),
        ],
    },
    Row {
        id: "F32",
        what: "wall clocks jump",
        by: &[
            Seeds("fault: wall clock jumps"),
            Test(
                "crates/coordinator/src/group/tests/offsets.rs",
                "a_clock_that_jumps_ahead_costs_no_offsets",
            ),
        ],
    },
    Row {
        id: "F33",
        what: "records of the far future or with no time",
        by: &[
            Test(
                "crates/node/tests/produce.rs",
                "timestamps_too_far_from_the_brokers_are_refused_one_by_one",
            ),
            Test(
                "crates/log/src/tests/retention.rs",
                "records_of_the_far_future_are_deleted_by_size_and_those_without_a_time_by_when_they_were_seen",
            ),
        ],
    },
    Row {
        id: "F34",
        what: "leaders change quickly",
        by: &[
            Seeds("fault: leaders crash in quick succession"),
            Test(
                "crates/replica/src/tests/scripts/truncation.rs",
                "several_epochs_nobody_else_has_are_cut_in_several_rounds_as_kip_279_asks",
            ),
        ],
    },
    Row {
        id: "F35",
        what: "a reader is ahead of a leader that was elected though it was not in sync",
        by: &[
            Seeds("unclean election"),
            Seeds("unclean: reader told that what it read is gone"),
            Test(
                "crates/replica/src/tests/scripts/serving.rs",
                "consumers_are_told_of_epochs_and_of_offsets_there_are_none_of",
            ),
            Test(
                "crates/client/src/consumer/machine/tests.rs",
                "what_a_new_leader_lacks_is_told_and_what_it_has_is_not_read_twice",
            ),
        ],
    },
    Row {
        id: "F36",
        what: "requests that come late, twice, in another order",
        by: &[
            Seeds("network: request that arrives twice"),
            Test(
                "crates/coordinator/src/transaction/tests/protocol.rs",
                "a_late_end_never_ends_the_next_transaction",
            ),
        ],
    },
    Row {
        id: "F37",
        what: "a transactional producer is killed and replaced",
        by: &[
            Seeds("transactional producer killed"),
            Seeds("transactional producer fenced"),
            Run("interop/bank.sh"),
        ],
    },
    Row {
        id: "F38",
        what: "a coordinator ends between a decision and its marks",
        by: &[
            Seeds("coordinator ends between a decision and its marks"),
            Test(
                "crates/coordinator/src/transaction/tests/time.rs",
                "a_decision_is_seen_through_by_the_next_shard",
            ),
        ],
    },
    Row {
        id: "F39",
        what: "a coordinator ends in a rebalance or a commit",
        by: &[Seeds("coordinator ends in a rebalance or a commit")],
    },
    Row {
        id: "F40",
        what: "a member stands still for longer than its session",
        by: &[Seeds("group: member stands still"), Seeds("group: partitions lost")],
    },
    Row {
        id: "F41",
        what: "five hundred members come and go, half of them die",
        by: &[
            Test("crates/coordinator/src/group/tests/storms.rs", "a_storm_in_a_classic_group_ends"),
            Test(
                "crates/coordinator/src/group/tests/storms.rs",
                "a_storm_in_a_group_of_the_consumer_protocol_ends",
            ),
            Run("bench/groups.py"),
        ],
    },
    Row {
        id: "F42",
        what: "a topic is deleted and made anew under its name",
        by: &[
            Seeds("renewed topic: deleted"),
            Seeds("renewed topic: start finds one that is gone"),
            Seeds("renewed topic: asked for an id that is gone"),
            Seeds("renewed topic: coordinator succeeded after it was made anew"),
        ],
    },
    Row {
        id: "F43",
        what: "a reassignment, and kills",
        by: &[
            Seeds("operator: replicas on their way"),
            Seeds("operator: move called off"),
            Test(
                "crates/cluster/src/controller/tests/partitions.rs",
                "a_partition_moves_once_its_new_replicas_are_in_sync",
            ),
            Test("crates/cluster/src/controller/tests/partitions.rs", "a_reassignment_is_called_off"),
        ],
    },
    Row {
        id: "F44",
        what: "a crash in compaction, a swap or retention",
        by: &[
            Test("crates/sim/tests/points.rs", "a_crash_at_any_step_leaves_a_log_that_is_right"),
            Test(
                "crates/log/src/tests/compaction.rs",
                "a_crash_at_each_step_of_a_swap_leaves_one_log_or_the_other",
            ),
        ],
    },
    Row {
        id: "F45",
        what: "a crash at any step of the disk",
        by: &[
            Test("crates/sim/tests/points.rs", "a_crash_at_any_step_leaves_a_log_that_is_right"),
            Test("crates/log/src/files/tests/moving.rs", "a_crash_at_each_step_of_a_move_leaves_one_log"),
        ],
    },
    Row {
        id: "F46",
        what: "a network that is slow, narrow, and breaks in the middle of a frame",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Seeds("fault: messages delayed"),
            Seeds("fault: bandwidth throttled"),
            Seeds("network: request cut in the middle"),
            Seeds("network: answer cut in the middle"),
        ],
    },
    Row {
        id: "F47",
        what: "connections that are half open, readers that do not read",
        by: &[
            Seeds("network: half-open connection"),
            Test(
                "crates/server/tests/serve/main.rs",
                "a_client_that_reads_nothing_is_given_up_and_holds_little",
            ),
            Run("interop/hostile.py"),
        ],
    },
    Row {
        id: "F48",
        what: "several of these together, or none",
        by: &[
            Run("interop/chaos_cluster.sh"),
            Note("each seed draws which kinds it has, in some none (`sim/src/faults.rs`)"),
            Run("interop/chaos.sh"),
        ],
    },
    Row {
        id: "F49",
        what: "one broker loses power with what nobody waited for the disk with",
        by: &[
            Test("crates/log/src/tests/crashes.rs", "relaxed_logs_keep_what_was_synced"),
            Note(
                "a start says from which offset on records may be lost (`node/src/partitions.rs`); the simulator of one node looks at it (F5)",
            ),
        ],
    },
    Row {
        id: "F50",
        what: "a second process with a data directory, a number or another cluster's id",
        by: &[
            Test("crates/log/src/files/tests.rs", "a_second_process_is_kept_out_and_others_may_not_look"),
            Test("crates/server/src/greet.rs", "who_may_come_in_depends_on_the_cluster_and_the_disk"),
            Test("crates/server/src/joining/tests.rs", "numbers_that_are_there_twice_found_nothing"),
            Run("interop/chaos.sh"),
        ],
    },
];
