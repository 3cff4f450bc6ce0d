//! Records that clients want deleted.

use expect_test::expect;

use super::check;

#[test]
fn records_are_deleted_where_the_followers_say_so() {
    check(
        "elect 1 1 1,2,3
         append 1 4 all
         disk 1
         fetch 2
         fetch 3
         disk 2
         disk 3
         fetch 2
         fetch 3
         delete 1 below 3
         low 1
         disk 1
         consume 1 2
         fetch 2
         low 1
         fetch 3
         fetch 2
         low 1
         fetch 3
         low 1",
        expect![[r#"
            elect 1 1 1,2,3
            append 1 4 all -> 0..4
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..4, high watermark 0
            fetch 3 -> asks from 0 after no epoch: 0..4, high watermark 0
            disk 2 -> written
            disk 3 -> written
            fetch 2 -> asks from 4 after epoch 1: nothing, high watermark 0
            fetch 3 -> asks from 4 after epoch 1, moving the high watermark to 4: nothing, high watermark 4 -> high watermark 4
            delete 1 below 3 -> below 3
            low 1 -> 0
            disk 1
            consume 1 2 -> refused: offset 2 is not within 3..=4
            fetch 2 -> asks from 4 after epoch 1: nothing, high watermark 4 -> high watermark 4
            low 1 -> 0
            fetch 3 -> asks from 4 after epoch 1: nothing, high watermark 4
            fetch 2 -> asks from 4 after epoch 1: nothing, high watermark 4
            low 1 -> 0
            fetch 3 -> asks from 4 after epoch 1: nothing, high watermark 4
            low 1 -> 3
        "#]],
    );
}

#[test]
fn a_follower_that_does_not_live_is_not_waited_for() {
    check(
        "elect 1 1 1,2
         append 1 2
         disk 1
         fetch 2
         disk 2
         fetch 2
         delete 1
         low 1 without 2,3
         disk 1
         low 1
         low 1 without 3
         low 1 without 2,3",
        expect![[r#"
            elect 1 1 1,2
            append 1 2 -> 0..2
            disk 1 -> written
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
            delete 1 -> below 2
            low 1 without 2,3 -> 0
            disk 1
            low 1 -> not known
            low 1 without 3 -> 0
            low 1 without 2,3 -> 2
        "#]],
    );
}

#[test]
fn only_a_leader_deletes_and_only_what_is_committed() {
    check(
        "elect 1 1 1,2
         append 1 2
         disk 1
         delete 1 below 1
         delete 2 below 0
         low 2
         fetch 2
         disk 2
         fetch 2
         append 1 2
         disk 1
         delete 1 below 3
         delete 1 below 1
         delete 1 below 0
         delete 1",
        expect![[r#"
            elect 1 1 1,2
            append 1 2 -> 0..2
            disk 1 -> written
            delete 1 below 1 -> refused: offset 1 is not within 0..=0
            delete 2 below 0 -> refused: this replica does not lead the partition
            low 2 -> not known
            fetch 2 -> asks from 0 after no epoch: 0..2, high watermark 0
            disk 2 -> written
            fetch 2 -> asks from 2 after epoch 1, moving the high watermark to 2: nothing, high watermark 2 -> high watermark 2
            append 1 2 -> 2..4
            disk 1 -> written
            delete 1 below 3 -> refused: offset 3 is not within 0..=2
            delete 1 below 1 -> below 1
            delete 1 below 0 -> below 0
            delete 1 -> below 2
        "#]],
    );
}
