//! What is committed, and when.

use expect_test::expect;

use super::check;

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
         done 1 2
         consume 1 0
         disk 1
         consume 1 0",
        expect![[r#"
            elect 1 1 1 only 1
            disk 1
            append 1 2 all -> 0..2
            append 1 1 all -> 2..3
            pending 1 -> write, checkpoint leader-epoch-checkpoint, write
            done 1 0 -> written
            pending 1 -> checkpoint leader-epoch-checkpoint, write, sync
            consume 1 0 -> nothing, high watermark 0
            done 1 2 -> high watermark 2
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
         done 1 3
         show
         done 1 2
         done 1 0
         disk 1",
        expect![[r#"
            elect 1 1 1 only 1
            disk 1
            append 1 1 -> 0..1
            append 1 1 -> 1..2
            append 1 1 -> 2..3
            pending 1 -> write, checkpoint leader-epoch-checkpoint, write, write
            done 1 3
            show
              1 leads epoch 1: high watermark 0, synced 0, end 3 []
              2 idle: high watermark 0, synced 0, end 0 []
              3 idle: high watermark 0, synced 0, end 0 []
            done 1 2
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
