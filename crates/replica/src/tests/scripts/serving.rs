//! Who is served, and with what.

use expect_test::expect;

use super::check;

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
            replicas 1,2 -> 1: followers gone
            fetch 3 -> refused: broker 3 holds no replica of the partition
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
        "#]],
    );
}

/// A mark that not all in sync have may be taken back, and then the transaction is open again: for the next leader, too.
#[test]
fn the_stable_part_grows_when_a_mark_is_committed() {
    check(
        "min_isr 2
         elect 1 1 1,2
         append 1 2 all seq 0 in
         append 1 1 all
         disk 1
         fetch 2
         disk 2
         fetch 2
         consume 1 0
         consume 1 0 committed
         end 1 abort 0 bumps
         end 1 abort 1 bumps
         disk 1
         consume 1 0 committed
         fetch 2
         disk 2
         elect 2 2 1,2
         consume 2 0 committed
         fetch 1
         consume 2 0 committed
         consume 2 2 committed
         delete 2
         isr 2
         end 2 commit 1
         append 2 1 seq 1 in",
        expect![[r#"
            min_isr 2
            elect 1 1 1,2
            append 1 2 all seq 0 in -> 0..2
            append 1 1 all -> 2..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            consume 1 0 -> 0..3, high watermark 3, stable below 0
            consume 1 0 committed -> nothing, high watermark 3, stable below 0
            end 1 abort 0 bumps -> refused: producer 7 appended under epoch 0, which is older than 0
            end 1 abort 1 bumps -> 3..4
            disk 1 -> written
            consume 1 0 committed -> nothing, high watermark 3, stable below 0
            fetch 2 -> asks from 3 after epoch 1: 3..4, high watermark 3
            disk 2 -> written
            elect 2 2 1,2 -> 1: resigned
            consume 2 0 committed -> refused: the high watermark 3 has not reached 4, where the leader's epoch starts
            fetch 1 -> asks from 4 after epoch 1, moving the high watermark to 4: nothing, high watermark 4 -> high watermark 4
            consume 2 0 committed -> 0..4, some of it aborted, high watermark 4
            consume 2 2 committed -> 2..4, some of it aborted, high watermark 4
            delete 2 -> below 4
            isr 2
            end 2 commit 1 -> refused: 1 replicas are in sync, 2 are asked for
            append 2 1 seq 1 in -> refused: producer 7 appended under epoch 0, which is older than 1
        "#]],
    );
}

#[test]
fn records_of_an_open_transaction_are_not_deleted() {
    check(
        "elect 1 1 1,2
         append 1 2 all
         append 1 2 all seq 0 in
         disk 1
         fetch 2
         disk 2
         fetch 2
         delete 1 below 3
         delete 1
         consume 1 2",
        expect![[r#"
            elect 1 1 1,2
            append 1 2 all -> 0..2
            append 1 2 all seq 0 in -> 2..4
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..4, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 4 after epoch 1, moving the high watermark to 4: nothing, high watermark 4 -> high watermark 4
            delete 1 below 3 -> refused: offset 3 is not within 0..=2
            delete 1 -> below 2
            consume 1 2 -> 2..4, high watermark 4, stable below 2
        "#]],
    );
}
