//! How logs that parted come together again.

use expect_test::expect;

use super::check;

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
         done 1 1
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
            pending 1 -> write, checkpoint leader-epoch-checkpoint, write
            done 1 1
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

/// Found by a random story: the log took the older epoch after the newer, empty one for a mistake.
#[test]
fn one_that_led_without_a_record_goes_on_copying_the_epoch_before() {
    check(
        "elect 1 1 1,2
         append 1 1
         disk 1
         fetch 2
         disk 2
         append 1 1
         disk 1
         elect 2 2 1,2 only 2
         elect 1 3 1,2
         fetch 2
         disk 2
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2
            append 1 1 -> 0..1
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            append 1 1 -> 1..2
            disk 1 -> written
            elect 2 2 1,2 only 2
            elect 1 3 1,2 -> 2: resigned
            fetch 2 -> asks from 1 after epoch 1, moving the high watermark to 1: 1..2, high watermark 1 -> high watermark 1
            disk 2 -> written
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
            show
              1 leads epoch 3: high watermark 2, synced 2, end 2 [epoch 1: 0..2]
              2 follows 1 in epoch 3: high watermark 2, synced 2, end 2 [epoch 1: 0..2]
              3 follows 1 in epoch 3: high watermark 0, synced 0, end 0 []
        "#]],
    );
}

/// Found by a random story: follower 2 was believed to hold what its leader lost and gave the offset of to another record.
#[test]
fn what_a_new_leader_fails_to_write_is_not_held_by_anyone() {
    check(
        "elect 1 1 1,2,3
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 3
         elect 3 2 2,3
         fetch 2
         full 3 0
         append 3 1
         disk 3
         fetch 2
         disk 2
         fetch 2
         disk 2
         fetch 2
         show",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 1 -> 0..1
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            fetch 3 -> asks from 0 after no epoch: 0..1, high watermark 0
            elect 3 2 2,3 -> 1: resigned
            fetch 2 -> asks from 1 after epoch 1: nothing, high watermark 0
            full 3 0 -> lost from 0
            append 3 1 -> 0..1
            disk 3 -> written
            fetch 2 -> asks from 1 after epoch 1: diverging, epoch 1 ends at 0
            disk 2
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 1 after epoch 2, moving the high watermark to 1: nothing, high watermark 1 -> high watermark 1
            show
              1 follows 3 in epoch 2: high watermark 0, synced 1, end 1 [epoch 1: 0..1]
              2 follows 3 in epoch 2: high watermark 1, synced 1, end 1 [epoch 2: 0..1]
              3 leads epoch 2: high watermark 1, synced 1, end 1 [epoch 2: 0..1]
        "#]],
    );
}
