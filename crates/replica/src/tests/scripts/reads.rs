//! Consumers that read from followers (KIP-392).

use expect_test::expect;

use super::check;

#[test]
fn a_follower_serves_what_it_knows_to_be_committed() {
    check(
        "min_isr 1
         elect 1 1 1,2
         append 1 3
         disk 1
         fetch 2
         disk 2
         consume 2 0 near
         fetch 2
         consume 2 0 near
         consume 2 3 near
         consume 2 0",
        expect![[r#"
            min_isr 1
            elect 1 1 1,2
            append 1 3 -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            consume 2 0 near -> nothing, high watermark 0
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            consume 2 0 near -> 0..3, high watermark 3
            consume 2 3 near -> nothing, high watermark 3
            consume 2 0 -> refused: this replica does not lead the partition
        "#]],
    );
}

#[test]
fn where_a_transaction_is_open_a_follower_stops_like_its_leader() {
    check(
        "min_isr 1
         elect 1 1 1,2
         append 1 2 seq 0 in
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         consume 2 0 near committed
         end 1 abort 0
         disk 1
         fetch 2
         disk 2
         fetch 2
         consume 2 0 near committed",
        expect![[r#"
            min_isr 1
            elect 1 1 1,2
            append 1 2 seq 0 in -> 0..2
            append 1 1 -> 2..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            consume 2 0 near committed -> nothing, high watermark 3, stable below 0
            end 1 abort 0 -> 3..4
            disk 1 -> written
            fetch 2 -> asks from 3 after epoch 1: 3..4, high watermark 3
            disk 2 -> written
            fetch 2 -> asks from 4 after epoch 1, moving the high watermark to 4: nothing, high watermark 4 -> high watermark 4
            consume 2 0 near committed -> 0..4, some of it aborted, high watermark 4
        "#]],
    );
}

/// What lies beyond its end the leader has, or knows that nobody has: a consumer that read further elsewhere must not begin anew.
#[test]
fn a_follower_that_lags_has_readers_ask_again() {
    check(
        "min_isr 1
         elect 1 1 1,2,3
         append 1 3
         disk 1
         fetch 2
         disk 2
         fetch 3
         disk 3
         fetch 2
         fetch 3
         append 1 2
         disk 1
         fetch 2
         full 2 0
         disk 2
         fetch 3
         disk 3
         isr 1,3
         fetch 3
         fetch 2
         full 2 0
         consume 2 3 near
         consume 2 5 near
         consume 2 6 near",
        expect![[r#"
            min_isr 1
            elect 1 1 1,2,3
            append 1 3 -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 3 -> written
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            append 1 2 -> 3..5
            disk 1 -> written
            fetch 2 -> asks from 3 after epoch 1: 3..5, high watermark 3 -> high watermark 3
            full 2 0 -> lost from 3
            disk 2
            fetch 3 -> asks from 3 after epoch 1: 3..5, high watermark 3
            disk 3 -> written
            isr 1,3
            fetch 3 -> asks from 5 after epoch 1, moving the high watermark to 5: nothing, high watermark 5 -> high watermark 5
            fetch 2 -> asks from 3 after epoch 1: 3..5, high watermark 5
            full 2 0 -> lost from 3
            consume 2 3 near -> nothing, high watermark 3
            consume 2 5 near -> refused: this follower's log ends at 3, before offset 5
            consume 2 6 near -> refused: this follower's log ends at 3, before offset 6
        "#]],
    );
}

#[test]
fn epochs_are_checked_by_followers_too() {
    check(
        "min_isr 1
         elect 1 3 1,2
         append 1 1
         disk 1
         fetch 2
         disk 2
         fetch 2
         consume 2 0 near epoch 2
         consume 2 0 near epoch 4
         consume 2 0 near epoch 3 last 3
         elect - 4 1,2
         consume 2 0 near epoch 4",
        expect![[r#"
            min_isr 1
            elect 1 3 1,2
            append 1 1 -> 0..1
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 1 after epoch 3, moving the high watermark to 1: nothing, high watermark 1 -> high watermark 1
            consume 2 0 near epoch 2 -> refused: leader epoch 2 is older than the current 3
            consume 2 0 near epoch 4 -> refused: leader epoch 4 is newer than the current 3
            consume 2 0 near epoch 3 last 3 -> 0..1, high watermark 1
            elect - 4 1,2 -> 1: resigned
            consume 2 0 near epoch 4 -> 0..1, high watermark 1
        "#]],
    );
}

/// What it has may not be what the new leader has: it is asked first.
#[test]
fn after_an_unclean_election_a_follower_serves_once_its_log_agrees() {
    check(
        "min_isr 1
         elect 1 1 1,2
         append 1 3
         disk 1
         fetch 2
         disk 2
         fetch 2
         consume 2 0 near
         elect 3 2 3 unclean
         consume 2 0 near
         append 3 1
         disk 3
         fetch 2
         disk 2
         consume 2 0 near
         fetch 2
         disk 2
         fetch 2
         consume 2 0 near",
        expect![[r#"
            min_isr 1
            elect 1 1 1,2
            append 1 3 -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            consume 2 0 near -> 0..3, high watermark 3
            elect 3 2 3 unclean -> 1: resigned
            consume 2 0 near -> refused: this replica does not lead the partition
            append 3 1 -> 0..1
            disk 3 -> written, high watermark 1
            fetch 2 -> asks from 3 after epoch 1: diverging, epoch 1 ends at 0
            disk 2
            consume 2 0 near -> refused: this replica does not lead the partition
            fetch 2 -> asks from 0 after no epoch: 0..1, high watermark 1
            disk 2 -> written, high watermark 1
            fetch 2 -> asks from 1 after epoch 2: nothing, high watermark 1
            consume 2 0 near -> 0..1, high watermark 1
        "#]],
    );
}

#[test]
fn readers_are_sent_to_replicas_in_sync_that_have_the_offset() {
    check(
        "min_isr 1
         elect 1 1 1,2
         append 1 3
         disk 1
         near 1 0
         fetch 2
         near 1 0
         near 1 1
         disk 2
         fetch 2
         fetch 3
         disk 3
         fetch 3
         near 1 3
         near 2 3
         isr 1,2,3
         near 1 3
         near 1 4",
        expect![[r#"
            min_isr 1
            elect 1 1 1,2
            append 1 3 -> 0..3
            disk 1 -> written
            near 1 0 -> nobody
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            near 1 0 -> 2 has 0
            near 1 1 -> nobody
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 3
            disk 3 -> written, high watermark 3
            fetch 3 -> asks from 3 after epoch 1: nothing, high watermark 3
            near 1 3 -> 2 has 3
            near 2 3 -> nobody
            isr 1,2,3
            near 1 3 -> 2 has 3, 3 has 3
            near 1 4 -> nobody
        "#]],
    );
}
