//! Who is in sync.

use expect_test::expect;

use super::check;

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

/// Nobody waits for it for longer than it takes to have it out of the set. As long as it has all that there is, it stays.
#[test]
fn who_takes_nothing_leaves_as_soon_as_it_is_behind_and_returns_once_it_has_caught_up() {
    check(
        "elect 1 1 1,2,3
         none 2
         fetch 3
         sleep 90000
         propose 1
         append 1 3 all
         disk 1
         fetch 3
         disk 3
         fetch 3
         none 2
         propose 1
         answer 1 yes
         none 2
         propose 1
         fetch 2
         disk 2
         fetch 2
         propose 1",
        expect![[r#"
            elect 1 1 1,2,3
            none 2 -> asks from 0 after no epoch: nothing, high watermark 0
            fetch 3 -> asks from 0 after no epoch: nothing, high watermark 0
            sleep 90000
            propose 1 -> nothing
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 3 -> written
            fetch 3 -> asks from 3 after epoch 1: nothing, high watermark 0
            none 2 -> asks from 0 after no epoch: nothing, high watermark 0
            propose 1 -> 1,3 under 1
            answer 1 yes -> high watermark 3
            none 2 -> asks from 0 after no epoch: nothing, high watermark 3
            propose 1 -> nothing
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 3
            disk 2 -> written, high watermark 3
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 3
            propose 1 -> 1,2,3 under 2
        "#]],
    );
}

#[test]
fn who_may_not_join_keeps_nobody_else_out() {
    check(
        "elect 1 1 1,2,3
         append 1 3 all
         disk 1
         fetch 2
         disk 2
         fetch 2
         fetch 3
         disk 3
         fetch 3
         isr 1
         propose 1 without 2,3
         propose 1 without 2
         answer 1 yes
         sleep 90000
         propose 1 without 2",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 3 all -> 0..3
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 3 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..3, high watermark 0
            disk 3 -> written
            fetch 3 -> asks from 3 after epoch 1, moving the high watermark to 3: nothing, high watermark 3 -> high watermark 3
            isr 1
            propose 1 without 2,3 -> nothing
            propose 1 without 2 -> 1,3 under 2
            answer 1 yes
            sleep 90000
            propose 1 without 2 -> nothing
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
