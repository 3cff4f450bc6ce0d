//! What must hold, one sentence a test.

use expect_test::{Expect, expect};

use super::script::run;

#[allow(clippy::needless_pass_by_value, reason = "the expected text is a literal at the call")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&run(script));
}

#[test]
fn a_single_replica_commits_what_it_synced() {
    check(
        "elect 1 1 1 only 1
         disk 1
         append 1 2 all
         append 1 1 all
         pending 1
         done 1 0
         pending 1
         consume 1 0
         done 1 1
         consume 1 0
         disk 1
         consume 1 0",
        expect![[r#"
            elect 1 1 1 only 1
            disk 1
            append 1 2 all -> 0..2
            append 1 1 all -> 2..3
            pending 1 -> write, write
            done 1 0 -> written
            pending 1 -> write, sync
            consume 1 0 -> nothing, high watermark 0
            done 1 1 -> high watermark 2
            consume 1 0 -> 0..2, high watermark 2
            disk 1 -> written, high watermark 3
            consume 1 0 -> 0..3, high watermark 3
        "#]],
    );
}

#[test]
fn writes_that_end_out_of_order_count_only_without_a_hole_before_them() {
    check(
        "elect 1 1 1 only 1
         disk 1
         append 1 1
         append 1 1
         append 1 1
         pending 1
         done 1 2
         show
         done 1 1
         done 1 0
         disk 1",
        expect![[r#"
            elect 1 1 1 only 1
            disk 1
            append 1 1 -> 0..1
            append 1 1 -> 1..2
            append 1 1 -> 2..3
            pending 1 -> write, write, write
            done 1 2
            show
              1 leads epoch 1: high watermark 0, synced 0, end 3 []
              2 idle: high watermark 0, synced 0, end 0 []
              3 idle: high watermark 0, synced 0, end 0 []
            done 1 1
            done 1 0 -> written
            disk 1 -> high watermark 3
        "#]],
    );
}

#[test]
fn high_watermark_waits_for_the_slowest_in_sync_follower() {
    check(
        "elect 1 1 1,2,3
         append 1 5 all
         disk 1
         fetch 2
         fetch 3
         disk 2
         fetch 2
         fetch 3
         disk 3
         fetch 3
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 5 all -> 0..5
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..5, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..5, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 5 after epoch 1: nothing, high watermark 0
            fetch 3 -> nothing to ask
            disk 3 -> written
            fetch 3 -> asks from 5 after epoch 1, moving the high watermark to 5: nothing, high watermark 5 -> high watermark 5
            fetch 2 -> asks from 5 after epoch 1: nothing, high watermark 5 -> high watermark 5
            show
              1 leads epoch 1: high watermark 5, synced 5, end 5 [epoch 1: 0..5]
              2 follows 1 in epoch 1: high watermark 5, synced 5, end 5 [epoch 1: 0..5]
              3 follows 1 in epoch 1: high watermark 5, synced 5, end 5 [epoch 1: 0..5]
        "#]],
    );
}

#[test]
fn high_watermark_waits_for_the_leaders_own_sync() {
    check(
        "elect 1 1 1,2
         disk 1
         append 1 5 all
         done 1 0
         fetch 2
         disk 2
         fetch 2
         disk 1",
        expect![[r#"
            elect 1 1 1,2
            disk 1
            append 1 5 all -> 0..5
            done 1 0 -> written
            fetch 2 -> asks from 0 after no epoch: 0..5, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 5 after epoch 1: nothing, high watermark 0
            disk 1 -> high watermark 5
        "#]],
    );
}

#[test]
fn a_follower_claims_only_what_it_synced() {
    check(
        "elect 1 1 1,2
         append 1 5 all
         disk 1
         fetch 2
         pending 2
         done 2 0
         fetch 2
         done 2 0
         pending 2
         fetch 2
         done 2 0
         fetch 2",
        expect![[r#"
            elect 1 1 1,2
            append 1 5 all -> 0..5
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..5, high watermark 0
            pending 2 -> write, checkpoint leader-epoch-checkpoint
            done 2 0 -> written
            fetch 2 -> nothing to ask
            done 2 0
            pending 2 -> sync
            fetch 2 -> nothing to ask
            done 2 0
            fetch 2 -> asks from 5 after epoch 1, moving the high watermark to 5: nothing, high watermark 5 -> high watermark 5
        "#]],
    );
}

#[test]
fn a_replica_out_of_sync_does_not_hold_back_the_high_watermark() {
    check(
        "elect 1 1 1,2
         append 1 5 all
         disk 1
         fetch 2
         disk 2
         fetch 2",
        expect![[r#"
            elect 1 1 1,2
            append 1 5 all -> 0..5
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..5, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 5 after epoch 1, moving the high watermark to 5: nothing, high watermark 5 -> high watermark 5
        "#]],
    );
}

#[test]
fn a_deposed_leader_cuts_what_was_never_committed() {
    check(
        "elect 1 1 1,2,3
         append 1 2 all
         disk 1
         fetch 2
         fetch 3
         disk 2
         disk 3
         fetch 2
         fetch 3
         append 1 3 all
         disk 1
         elect 2 2 2,3
         append 1 1
         append 2 4 all
         disk 2
         fetch 1
         show
         fetch 1
         disk 1
         fetch 1
         disk 1
         fetch 1
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 2 all -> 0..2
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            disk 3 -> written
            fetch 2 -> asks from 2 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
            append 1 3 all -> 2..5
            disk 1 -> written
            elect 2 2 2,3 -> 1: resigned
            append 1 1 -> refused: this replica does not lead the partition
            append 2 4 all -> 2..6
            disk 2 -> written
            fetch 1 -> asks from 5 after epoch 1: diverging, epoch 1 ends at 2
            show
              1 follows 2 in epoch 2: high watermark 2, synced 2, end 2 [epoch 1: 0..2]
              2 leads epoch 2: high watermark 0, synced 6, end 6 [epoch 1: 0..2, epoch 2: 2..6]
              3 follows 2 in epoch 2: high watermark 2, synced 2, end 2 [epoch 1: 0..2]
            fetch 1 -> asks from 2 after epoch 1: 2..6, high watermark 0
            disk 1 -> written
            fetch 1 -> asks from 6 after epoch 2: nothing, high watermark 0
            disk 1
            fetch 1 -> asks from 6 after epoch 2: nothing, high watermark 0
            show
              1 follows 2 in epoch 2: high watermark 2, synced 6, end 6 [epoch 1: 0..2, epoch 2: 2..6]
              2 leads epoch 2: high watermark 0, synced 6, end 6 [epoch 1: 0..2, epoch 2: 2..6]
              3 follows 2 in epoch 2: high watermark 2, synced 2, end 2 [epoch 1: 0..2]
        "#]],
    );
}

#[test]
fn a_cut_waits_for_writes_in_flight() {
    check(
        "elect 1 1 1,2,3
         disk 1
         append 1 1
         append 1 1
         elect 2 2 2,3
         append 2 1
         disk 2
         pending 1
         fetch 1
         done 1 1
         fetch 1
         done 1 0
         fetch 1
         pending 1
         done 1 0
         fetch 1
         pending 1
         fetch 1
         pending 1
         disk 1
         fetch 1
         show",
        expect![[r#"
            elect 1 1 1,2,3
            disk 1
            append 1 1 -> 0..1
            append 1 1 -> 1..2
            elect 2 2 2,3 -> 1: resigned
            append 2 1 -> 0..1
            disk 2 -> written
            pending 1 -> write, write
            fetch 1 -> nothing to ask
            done 1 1
            fetch 1 -> nothing to ask
            done 1 0 -> written
            fetch 1 -> nothing to ask
            pending 1 -> sync
            done 1 0
            fetch 1 -> asks from 2 after epoch 1: diverging, epoch 1 ends at 0
            pending 1 -> truncate
            fetch 1 -> asks from 0 after no epoch: 0..1, high watermark 0
            pending 1 -> truncate
            disk 1 -> written
            fetch 1 -> asks from 1 after epoch 2: nothing, high watermark 0
            show
              1 follows 2 in epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
              2 leads epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
              3 follows 2 in epoch 2: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn several_epochs_nobody_else_has_are_cut_in_several_rounds_as_kip_279_asks() {
    check(
        "elect 1 1 1,2,3
         append 1 2
         disk 1
         fetch 2
         disk 2
         fetch 2
         append 1 2
         disk 1
         elect 2 2 1,2,3 only 2
         append 2 1
         disk 2
         elect 1 3 1,2,3 only 1
         append 1 1
         disk 1
         elect 2 4 1,2,3 only 2
         append 2 2
         disk 2
         elect 1 5 1,2,3
         append 1 1
         disk 1
         show
         fetch 2
         disk 2
         fetch 2
         disk 2
         fetch 2
         disk 2
         fetch 2
         disk 2
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 2 -> 0..2
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 2 after epoch 1: nothing, high watermark 0
            append 1 2 -> 2..4
            disk 1 -> written
            elect 2 2 1,2,3 only 2
            append 2 1 -> 2..3
            disk 2 -> written
            elect 1 3 1,2,3 only 1
            append 1 1 -> 4..5
            disk 1 -> written
            elect 2 4 1,2,3 only 2
            append 2 2 -> 3..5
            disk 2 -> written
            elect 1 5 1,2,3 -> 2: resigned
            append 1 1 -> 5..6
            disk 1 -> written
            show
              1 leads epoch 5: high watermark 0, synced 6, end 6 [epoch 1: 0..4, epoch 3: 4..5, epoch 5: 5..6]
              2 follows 1 in epoch 5: high watermark 0, synced 5, end 5 [epoch 1: 0..2, epoch 2: 2..3, epoch 4: 3..5]
              3 follows 1 in epoch 5: high watermark 0, synced 0, end 0 []
            fetch 2 -> asks from 5 after epoch 4: diverging, epoch 3 ends at 5
            disk 2
            fetch 2 -> asks from 3 after epoch 2: diverging, epoch 1 ends at 4
            disk 2
            fetch 2 -> asks from 2 after epoch 1: 2..6, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 6 after epoch 5: nothing, high watermark 0
            disk 2
            fetch 2 -> asks from 6 after epoch 5: nothing, high watermark 0
            show
              1 leads epoch 5: high watermark 0, synced 6, end 6 [epoch 1: 0..4, epoch 3: 4..5, epoch 5: 5..6]
              2 follows 1 in epoch 5: high watermark 0, synced 6, end 6 [epoch 1: 0..4, epoch 3: 4..5, epoch 5: 5..6]
              3 follows 1 in epoch 5: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn an_epoch_without_records_is_no_common_ground() {
    check(
        "elect 1 1 1,2,3
         append 1 1
         disk 1
         elect 2 2 1,2,3 only 2
         elect 3 3 1,2,3 only 3
         append 3 1
         disk 3
         elect 2 4 1,2,3
         append 2 1
         disk 2
         fetch 1
         fetch 3
         disk 1
         disk 3
         fetch 1
         fetch 3
         disk 1
         disk 3
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 1 -> 0..1
            disk 1 -> written
            elect 2 2 1,2,3 only 2
            elect 3 3 1,2,3 only 3
            append 3 1 -> 0..1
            disk 3 -> written
            elect 2 4 1,2,3 -> 1: resigned; 3: resigned
            append 2 1 -> 0..1
            disk 2 -> written
            fetch 1 -> asks from 1 after epoch 1: diverging, epoch 1 ends at 0
            fetch 3 -> asks from 1 after epoch 3: diverging, epoch 3 ends at 0
            disk 1
            disk 3
            fetch 1 -> asks from 0 after no epoch: 0..1, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 1 -> written
            disk 3 -> written
            show
              1 follows 2 in epoch 4: high watermark 0, synced 1, end 1 [epoch 4: 0..1]
              2 leads epoch 4: high watermark 0, synced 1, end 1 [epoch 4: 0..1]
              3 follows 2 in epoch 4: high watermark 0, synced 1, end 1 [epoch 4: 0..1]
        "#]],
    );
}

#[test]
fn a_new_leader_hides_its_high_watermark_until_it_knows_its_predecessors() {
    check(
        "elect 1 1 1,2,3
         append 1 3 all
         disk 1
         fetch 2
         fetch 3
         disk 2
         disk 3
         fetch 2
         fetch 3
         consume 1 0
         elect 2 2 1,2,3
         consume 2 0
         latest 2
         fetch 1
         fetch 3
         latest 2
         consume 2 0
         consume 2 3
         consume 2 4",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            disk 3 -> written
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            consume 1 0 -> 0..3, high watermark 3
            elect 2 2 1,2,3 -> 1: resigned
            consume 2 0 -> refused: the high watermark 0 has not reached 3, where the leader's epoch starts
            latest 2 -> refused: the high watermark 0 has not reached 3, where the leader's epoch starts
            fetch 1 -> asks from 3 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3
            latest 2 -> 3
            consume 2 0 -> 0..3, high watermark 3
            consume 2 3 -> nothing, high watermark 3
            consume 2 4 -> refused: offset 4 is not within 0..=3
        "#]],
    );
}

#[test]
fn with_too_few_in_sync_the_committed_part_stays_readable() {
    check(
        "min_isr 2
         elect 1 1 1,2
         append 1 3 all
         disk 1
         fetch 2
         disk 2
         fetch 2
         append 1 2
         disk 1
         fetch 2
         disk 2
         elect 2 2 2
         append 2 1 all
         append 2 1
         disk 2
         consume 2 0
         consume 2 3
         fetch 1
         disk 1
         fetch 1
         propose 2
         answer 2 yes
         consume 2 0",
        expect![[r#"
            min_isr 2
            elect 1 1 1,2
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            append 1 2 -> 3..5
            disk 1 -> written
            fetch 2 -> asks from 3 after epoch 1: 3..5, high watermark 3
            disk 2 -> written
            elect 2 2 2 -> 1: resigned
            append 2 1 all -> refused: 1 replicas are in sync, 2 are asked for
            append 2 1 -> 5..6
            disk 2 -> written
            consume 2 0 -> 0..3, high watermark 3
            consume 2 3 -> refused: the high watermark 3 has not reached 5, where the leader's epoch starts
            fetch 1 -> asks from 5 after epoch 1: 5..6, high watermark 3
            disk 1 -> written
            fetch 1 -> asks from 6 after epoch 2: nothing, high watermark 3
            propose 2 -> 2,1 under 2
            answer 2 yes -> high watermark 6
            consume 2 0 -> 0..6, high watermark 6
        "#]],
    );
}

#[test]
fn consumers_are_told_of_epochs_and_of_offsets_there_are_none_of() {
    check(
        "elect 1 1 1 only 1
         append 1 3
         disk 1
         elect 1 3 1 only 1
         append 1 2
         disk 1
         consume 1 2 epoch 1
         consume 1 2 epoch 4
         consume 1 2 epoch 3 last 1
         consume 1 4 epoch 3 last 1
         consume 1 5 epoch 3 last 3
         consume 1 9
         consume 2 0",
        expect![[r#"
            elect 1 1 1 only 1
            append 1 3 -> 0..3
            disk 1 -> written, high watermark 3
            elect 1 3 1 only 1
            append 1 2 -> 3..5
            disk 1 -> written, high watermark 5
            consume 1 2 epoch 1 -> refused: leader epoch 1 is older than the current 3
            consume 1 2 epoch 4 -> refused: leader epoch 4 is newer than the current 3
            consume 1 2 epoch 3 last 1 -> 0..5, high watermark 5
            consume 1 4 epoch 3 last 1 -> diverging: epoch 1 ends at 3
            consume 1 5 epoch 3 last 3 -> nothing, high watermark 5
            consume 1 9 -> refused: offset 9 is not within 0..=5
            consume 2 0 -> refused: this replica does not lead the partition
        "#]],
    );
}

#[test]
fn fetches_under_another_epoch_move_nothing() {
    check(
        "elect 1 1 1,2
         append 1 3
         disk 1
         fetch 2
         disk 2
         elect 1 2 1,2 only 1
         fetch 2
         elect 1 2 1,2 only 2
         fetch 2
         elect 1 3 1,2 only 2
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2
            append 1 3 -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            elect 1 2 1,2 only 1
            fetch 2 -> refused: leader epoch 1 is older than the current 2
            elect 1 2 1,2 only 2
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            elect 1 3 1,2 only 2
            fetch 2 -> refused: leader epoch 3 is newer than the current 2
            show
              1 leads epoch 2: high watermark 3, synced 3, end 3 [epoch 1: 0..3]
              2 follows 1 in epoch 3: high watermark 3, synced 3, end 3 [epoch 1: 0..3]
              3 follows 1 in epoch 1: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn a_silent_follower_leaves_and_one_that_caught_up_returns() {
    check(
        "elect 1 1 1,2,3
         append 1 3 all
         disk 1
         fetch 2
         disk 2
         propose 1
         sleep 9000
         fetch 2
         propose 1
         sleep 2000
         propose 1
         propose 1
         answer 1 yes
         propose 1
         fetch 3
         propose 1
         disk 3
         fetch 3
         propose 1
         answer 1 yes
         propose 1",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            propose 1 -> nothing
            sleep 9000
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 0
            propose 1 -> nothing
            sleep 2000
            propose 1 -> 1,2 under 1
            propose 1 -> nothing
            answer 1 yes -> high watermark 3
            propose 1 -> nothing
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 3
            propose 1 -> nothing
            disk 3 -> written, high watermark 3
            fetch 3 -> asks from 3 after epoch 1: nothing, high watermark 3
            propose 1 -> 1,2,3 under 2
            answer 1 yes
            propose 1 -> nothing
        "#]],
    );
}

#[test]
fn a_follower_joins_at_the_start_of_the_leaders_epoch_and_not_before() {
    check(
        "elect 1 1 1,2
         append 1 1
         append 1 1
         append 1 1
         append 1 1
         append 1 1
         disk 1
         elect 1 2 1,2
         fetch 3
         disk 3
         fetch 3
         propose 1
         disk 3
         fetch 3
         propose 1",
        expect![[r#"
            elect 1 1 1,2
            append 1 1 -> 0..1
            append 1 1 -> 1..2
            append 1 1 -> 2..3
            append 1 1 -> 3..4
            append 1 1 -> 4..5
            disk 1 -> written
            elect 1 2 1,2
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 3 -> written
            fetch 3 -> asks from 3 after epoch 1: 3..5, high watermark 0
            propose 1 -> nothing
            disk 3 -> written
            fetch 3 -> asks from 5 after epoch 1: nothing, high watermark 0
            propose 1 -> 1,2,3 under 2
        "#]],
    );
}

#[test]
fn a_member_to_be_counts_from_the_proposal_on_until_a_refusal_is_certain() {
    check(
        "elect 1 1 1
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         propose 1
         append 1 1
         disk 1
         answer 1 lost
         sleep 50
         propose 1
         sleep 60
         propose 1
         answer 1 no
         fetch 3
         sleep 200
         propose 1
         answer 1 yes
         fetch 2
         disk 2
         fetch 2",
        expect![[r#"
            elect 1 1 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 2 -> written, high watermark 1
            fetch 2 -> asks from 1 after epoch 1: nothing, high watermark 1
            propose 1 -> 1,2 under 1
            append 1 1 -> 1..2
            disk 1 -> written
            answer 1 lost
            sleep 50
            propose 1 -> nothing
            sleep 60
            propose 1 -> 1,2 under 1
            answer 1 no
            fetch 3 -> asks from 0 after no epoch: 0..2, high watermark 1
            sleep 200
            propose 1 -> 1,2 under 1
            answer 1 yes
            fetch 2 -> asks from 1 after epoch 1: 1..2, high watermark 1
            disk 2 -> written
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
        "#]],
    );
}

#[test]
fn a_lost_proposal_for_one_that_died_is_settled_by_proposing_what_is() {
    check(
        "elect 1 1 1
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         propose 1
         append 1 1
         disk 1
         answer 1 lost
         sleep 11000
         propose 1
         answer 1 yes
         propose 1",
        expect![[r#"
            elect 1 1 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 2 -> written, high watermark 1
            fetch 2 -> asks from 1 after epoch 1: nothing, high watermark 1
            propose 1 -> 1,2 under 1
            append 1 1 -> 1..2
            disk 1 -> written
            answer 1 lost
            sleep 11000
            propose 1 -> 1 under 1
            answer 1 yes -> high watermark 2
            propose 1 -> nothing
        "#]],
    );
}

#[test]
fn a_certain_refusal_releases_the_high_watermark() {
    check(
        "elect 1 1 1
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         propose 1
         append 1 1
         disk 1
         answer 1 no
         propose 1",
        expect![[r#"
            elect 1 1 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 2 -> written, high watermark 1
            fetch 2 -> asks from 1 after epoch 1: nothing, high watermark 1
            propose 1 -> 1,2 under 1
            append 1 1 -> 1..2
            disk 1 -> written
            answer 1 no -> high watermark 2
            propose 1 -> nothing
        "#]],
    );
}

#[test]
fn an_answer_that_the_metadata_overtook_changes_nothing() {
    check(
        "elect 1 1 1
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         propose 1
         isr 1
         propose 1
         append 1 1
         disk 1
         answer 1 no 0
         show
         answer 1 no 1",
        expect![[r#"
            elect 1 1 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 2 -> written, high watermark 1
            fetch 2 -> asks from 1 after epoch 1: nothing, high watermark 1
            propose 1 -> 1,2 under 1
            isr 1
            propose 1 -> 1,2 under 2
            append 1 1 -> 1..2
            disk 1 -> written
            answer 1 no 0
            show
              1 leads epoch 1: high watermark 1, synced 2, end 2 [epoch 1: 0..2]
              2 follows 1 in epoch 1: high watermark 1, synced 1, end 1 [epoch 1: 0..1]
              3 follows 1 in epoch 1: high watermark 0, synced 0, end 0 []
            answer 1 no 1 -> high watermark 2
        "#]],
    );
}

#[test]
fn a_duplicate_waits_for_what_its_original_waits_for() {
    check(
        "elect 1 1 1,2
         append 1 2 all seq 0
         append 1 2 all seq 0
         disk 1
         fetch 2
         disk 2
         append 1 2 all seq 0
         fetch 2
         elect 2 2 1,2
         append 2 2 all seq 0
         append 2 3 all seq 2
         append 2 3 all seq 9",
        expect![[r#"
            elect 1 1 1,2
            append 1 2 all seq 0 -> 0..2
            append 1 2 all seq 0 -> 0..2, a duplicate
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            append 1 2 all seq 0 -> 0..2, a duplicate
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
            elect 2 2 1,2 -> 1: resigned
            append 2 2 all seq 0 -> 0..2, a duplicate
            append 2 3 all seq 2 -> 2..5
            append 2 3 all seq 9 -> refused: producer 7 appended sequence 9 where 5 is next
        "#]],
    );
}

#[test]
fn too_few_in_sync_is_said_before_anything_is_appended() {
    check(
        "min_isr 2
         elect 1 1 1
         append 1 2 all
         append 1 2
         disk 1
         show",
        expect![[r#"
            min_isr 2
            elect 1 1 1
            append 1 2 all -> refused: 1 replicas are in sync, 2 are asked for
            append 1 2 -> 0..2
            disk 1 -> written
            show
              1 leads epoch 1: high watermark 0, synced 2, end 2 [epoch 1: 0..2]
              2 follows 1 in epoch 1: high watermark 0, synced 0, end 0 []
              3 follows 1 in epoch 1: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn a_full_disk_takes_back_what_was_behind_the_failed_write() {
    check(
        "elect 1 1 1 only 1
         append 1 1
         disk 1
         append 1 2 seq 0
         append 1 2 seq 2
         full 1 0
         disk 1
         append 1 2 seq 0
         disk 1
         show",
        expect![[r#"
            elect 1 1 1 only 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            append 1 2 seq 0 -> 1..3
            append 1 2 seq 2 -> 3..5
            full 1 0 -> lost from 1
            disk 1
            append 1 2 seq 0 -> 1..3
            disk 1 -> written, high watermark 3
            show
              1 leads epoch 1: high watermark 3, synced 3, end 3 [epoch 1: 0..3]
              2 idle: high watermark 0, synced 0, end 0 []
              3 idle: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn a_failed_sync_ends_it() {
    check(
        "elect 1 1 1 only 1
         append 1 1
         disk 1
         append 1 2 all
         done 1 0
         broken 1 0
         append 1 1
         consume 1 0
         elect 1 2 1 only 1",
        expect![[r#"
            elect 1 1 1 only 1
            append 1 1 -> 0..1
            disk 1 -> written, high watermark 1
            append 1 2 all -> 1..3
            done 1 0 -> written
            broken 1 0 -> lost from 1, log failed
            append 1 1 -> refused: the log has failed or was deleted
            consume 1 0 -> refused: the log has failed or was deleted
            elect 1 2 1 only 1 -> 1 refuses: the log has failed
        "#]],
    );
}

#[test]
fn what_is_committed_is_not_cut_unless_the_election_was_unclean() {
    check(
        "elect 1 1 1,2
         append 1 3 all
         disk 1
         fetch 2
         disk 2
         fetch 2
         fetch 2
         elect 3 2 3
         append 3 1
         disk 3
         fetch 1
         fetch 1
         fetch 2
         elect 3 3 3 unclean
         fetch 1
         disk 1
         fetch 1
         disk 1
         fetch 1
         show",
        expect![[r#"
            elect 1 1 1,2
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 3
            elect 3 2 3 -> 1: resigned
            append 3 1 -> 0..1
            disk 3 -> written, high watermark 1
            fetch 1 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 0 -> ERROR the leader has nothing of ours from 0, but everything below 3 was committed
            fetch 1 -> nothing to ask
            fetch 2 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 0 -> ERROR the leader has nothing of ours from 0, but everything below 3 was committed
            elect 3 3 3 unclean
            fetch 1 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 0
            disk 1
            fetch 1 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 1 -> written, high watermark 1
            fetch 1 -> asks from 1 after epoch 2: nothing, high watermark 1
            show
              1 follows 3 in epoch 3: high watermark 1, synced 1, end 1 [epoch 2: 0..1]
              2 follows 3 in epoch 3: high watermark 3, synced 3, end 3 [epoch 1: 0..3]
              3 leads epoch 3: high watermark 1, synced 1, end 1 [epoch 2: 0..1]
        "#]],
    );
}

#[test]
fn an_answer_that_comes_again_changes_nothing() {
    check(
        "elect 1 1 1,2,3
         append 1 2
         disk 1
         fetch 2
         disk 2
         append 1 1
         disk 1
         fetch 2
         disk 2
         elect 3 2 1,2,3
         append 3 1
         disk 3
         ask 2
         deliver 2
         disk 2
         fetch 2
         disk 2
         show
         deliver 2
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 2 -> 0..2
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            append 1 1 -> 2..3
            disk 1 -> written
            fetch 2 -> asks from 2 after epoch 1: 2..3, high watermark 0
            disk 2 -> written
            elect 3 2 1,2,3 -> 1: resigned
            append 3 1 -> 0..1
            disk 3 -> written
            ask 2 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 0
            deliver 2
            disk 2
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            show
              1 follows 3 in epoch 2: high watermark 0, synced 3, end 3 [epoch 1: 0..3]
              2 follows 3 in epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
              3 leads epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
            deliver 2
            show
              1 follows 3 in epoch 2: high watermark 0, synced 3, end 3 [epoch 1: 0..3]
              2 follows 3 in epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
              3 leads epoch 2: high watermark 0, synced 1, end 1 [epoch 2: 0..1]
        "#]],
    );
}

#[test]
fn a_leader_that_restarted_does_not_go_on_under_its_old_epoch() {
    check(
        "elect 1 1 1,2
         append 1 2
         disk 1
         append 1 1
         done 1 0
         fetch 2
         disk 2
         crash 1
         disk 1
         elect 1 1 1,2 only 1
         append 1 1
         elect 1 2 1,2
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         disk 2
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2
            append 1 2 -> 0..2
            disk 1 -> written
            append 1 1 -> 2..3
            done 1 0 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            crash 1
            disk 1
            elect 1 1 1,2 only 1 -> 1 refuses: records of leader epoch 1 are in the log from before: a new epoch is needed to lead again
            append 1 1 -> refused: this replica does not lead the partition
            elect 1 2 1,2
            append 1 1 -> 2..3
            disk 1 -> written
            fetch 2 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 2
            disk 2
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: 2..3, high watermark 2 -> high watermark 2
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 2, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            show
              1 leads epoch 2: high watermark 3, synced 3, end 3 [epoch 1: 0..2, epoch 2: 2..3]
              2 follows 1 in epoch 2: high watermark 3, synced 3, end 3 [epoch 1: 0..2, epoch 2: 2..3]
              3 follows 1 in epoch 2: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

#[test]
fn a_part_in_an_epoch_that_is_over_is_refused() {
    check(
        "elect 1 3 1,2
         append 1 2
         disk 1
         fetch 2
         disk 2
         crash 2
         disk 2
         elect 3 2 2,3 only 2
         show
         elect 1 3 1,2 only 2
         fetch 2",
        expect![[r#"
            elect 1 3 1,2
            append 1 2 -> 0..2
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            crash 2
            disk 2
            elect 3 2 2,3 only 2 -> 2 refuses: leader epoch 2 is older than 3, which this replica has seen
            show
              1 leads epoch 3: high watermark 0, synced 2, end 2 [epoch 3: 0..2]
              2 idle: high watermark 0, synced 2, end 2 [epoch 3: 0..2]
              3 follows 1 in epoch 3: high watermark 0, synced 0, end 0 []
            elect 1 3 1,2 only 2
            fetch 2 -> asks from 2 after epoch 3, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
        "#]],
    );
}

#[test]
fn a_fetch_from_before_a_restart_counts_for_nothing() {
    check(
        "elect 1 1 1,2
         append 1 1
         disk 1
         crash 2
         elect 1 2 1,2
         disk 2
         fetch 2
         disk 2
         stale 2
         fetch 2",
        expect![[r#"
            elect 1 1 1,2
            append 1 1 -> 0..1
            disk 1 -> written
            crash 2
            elect 1 2 1,2
            disk 2
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            stale 2 -> refused: broker epoch 1 is older than 2, which fetched before
            fetch 2 -> asks from 1 after epoch 1, moving the high watermark to 1: nothing, high watermark 1 -> high watermark 1
        "#]],
    );
}

#[test]
fn who_holds_no_replica_is_not_served() {
    check(
        "elect 1 1 1,2
         append 1 1
         disk 1
         replicas 1,2
         fetch 3
         fetch 2",
        expect![[r#"
            elect 1 1 1,2
            append 1 1 -> 0..1
            disk 1 -> written
            replicas 1,2
            fetch 3 -> refused: broker 3 holds no replica of the partition
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
        "#]],
    );
}

#[test]
fn a_follower_far_behind_starts_again_where_its_leaders_log_starts() {
    check(
        "elect 1 1 1,3
         append 1 3
         disk 1
         fetch 2
         disk 2
         moved 2 3
         moved 2 10
         disk 2
         show
         fetch 2",
        expect![[r#"
            elect 1 1 1,3
            append 1 3 -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            moved 2 3 -> ERROR told to start again from 3, though our log ends at 3
            moved 2 10 -> high watermark 10
            disk 2
            show
              1 leads epoch 1: high watermark 0, synced 3, end 3 [epoch 1: 0..3]
              2 follows 1 in epoch 1: high watermark 10, synced 10, end 10 []
              3 follows 1 in epoch 1: high watermark 0, synced 0, end 0 []
            fetch 2 -> asks from 10 after no epoch: out of range, log starts at 0 -> ERROR the leader has nothing of ours from 0, but everything below 10 was committed
        "#]],
    );
}
