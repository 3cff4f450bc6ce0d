//! Requests of the consumer protocol that their members have given up, and that arrive all the same, after what was said since (F36).

use super::*;

#[test]
fn who_joins_late_gives_up_nothing_that_it_was_told_to_have_since() {
    check(
        "topic t 2
         e show late
         e show
         f show
         arrive e
         f show
         e show
         f show
         e show
         e show
         f show",
        expect![[r#"
            topic t 2
            e show late
            e show
                + e wants t
                + g epoch 1
                + e is to get t/01
                + target 1
                + e in 1 Stable has t/01
                e: e in 1: t/01
            f show
                + f wants t
                + g epoch 2
                + e is to get t/1
                + f is to get t/0
                + target 2
                + f in 2 Waiting has nothing
                f: f in 2: nothing, again in 100 ms
            arrive e
                + e in 2 Revoking has t/1, gives up t/0
                e in 2: t/1, again in 100 ms
            f show
                f: f in 2, again in 100 ms
            e show
                e: FencedEpoch
            f show
                f: f in 2, again in 100 ms
            e show
                e: e in 2: t/1, again in 100 ms
            e show
                + e in 2 Stable has t/1
                e: e in 2
            f show
                + f in 2 Stable has t/0
                f: f in 2: t/0
        "#]],
    );
}

#[test]
fn what_a_late_request_does_not_name_may_have_been_given_since() {
    check(
        "topic t 2
         e show assignor:range
         f show
         e show
         f show late
         e show
         f show
         a show
         arrive f
         e show
         e show
         f show
         f show
         a show
         e show",
        expect![[r#"
            topic t 2
            e show assignor:range
                + e wants t by range
                + g epoch 1
                + e is to get t/01
                + target 1
                + e in 1 Stable has t/01
                e: e in 1: t/01
            f show
                + f wants t
                + g epoch 2
                + e is to get t/0
                + f is to get t/1
                + target 2
                + f in 2 Waiting has nothing
                f: f in 2: nothing, again in 100 ms
            e show
                + e in 2 Revoking has t/0, gives up t/1
                e: e in 2: t/0, again in 100 ms
            f show late
            e show
                + e in 2 Stable has t/0
                e: e in 2
            f show
                + f in 2 Stable has t/1
                f: f in 2: t/1
            a show
                + a wants t
                + g epoch 3
                + a is to get t/0
                + e is to get t/1
                + f is to get nothing
                + target 3
                + a in 3 Waiting has nothing
                a: a in 3: nothing, again in 100 ms
            arrive f
                + f in 3 Revoking has nothing, gives up t/1
                f in 3: nothing, again in 100 ms
            e show
                + e in 3 Revoking has nothing, gives up t/0
                e: e in 3: nothing, again in 100 ms
            e show
                + e in 3 Waiting has nothing
                e: e in 3, again in 100 ms
            f show
                f: f in 3: nothing, again in 100 ms
            f show
                + f in 3 Stable has nothing
                f: f in 3
            a show
                + a in 3 Stable has t/0
                a: a in 3: t/0
            e show
                + e in 3 Stable has t/1
                e: e in 3: t/1
        "#]],
    );
}

#[test]
fn who_was_moved_on_by_a_late_request_is_told_so() {
    check(
        "topic t 3
         e show
         e show quiet late
         f show
         arrive e
         e show quiet
         e show quiet
         f show late
         f show
         topic t 4
         e show
         arrive f
         f show quiet
         f show quiet",
        expect![[r#"
            topic t 3
            e show
                + e wants t
                + g epoch 1
                + e is to get t/012
                + target 1
                + e in 1 Stable has t/012
                e: e in 1: t/012
            e show quiet late
            f show
                + f wants t
                + g epoch 2
                + e is to get t/12
                + f is to get t/0
                + target 2
                + f in 2 Waiting has nothing
                f: f in 2: nothing, again in 100 ms
            arrive e
                + e in 2 Revoking has t/12, gives up t/0
                e in 2: t/12, again in 100 ms
            e show quiet
                e: e in 2: t/12, again in 100 ms
            e show quiet
                + e in 2 Stable has t/12
                e: e in 2
            f show late
            f show
                + f in 2 Stable has t/0
                f: f in 2: t/0
            topic t 4
            e show
                + g epoch 3
                + f is to get t/03
                + target 3
                + e in 3 Stable has t/12
                e: e in 3
            arrive f
                + f in 3 Stable has t/03
                f in 3: t/03
            f show quiet
                f: f in 3: t/03
            f show quiet
                f: f in 3
        "#]],
    );
}

#[test]
fn who_was_to_give_something_up_and_begins_anew_has_given_it_up() {
    check(
        "topic t 1
         e show assignor:range
         a show
         e show busy
         e show epoch:0 lost
         a show
         e show epoch:0
         a show
         e show quiet
         a show",
        expect![[r#"
            topic t 1
            e show assignor:range
                + e wants t by range
                + g epoch 1
                + e is to get t/0
                + target 1
                + e in 1 Stable has t/0
                e: e in 1: t/0
            a show
                + a wants t
                + g epoch 2
                + a is to get t/0
                + e is to get nothing
                + target 2
                + a in 2 Waiting has nothing
                a: a in 2: nothing, again in 100 ms
            e show busy
                + e in 2 Revoking has nothing, gives up t/0
                e: e in 2: nothing, again in 100 ms
            e show epoch:0 lost
                + g epoch 3
                + target 3
                + e in 3 Revoking has nothing, gives up t/0
                e: e in 3: nothing, again in 100 ms
            a show
                + a in 3 Waiting has nothing
                a: a in 3, again in 100 ms
            e show epoch:0
                e: e in 3: nothing, again in 100 ms
            a show
                a: a in 3, again in 100 ms
            e show quiet
                + e in 3 Stable has nothing
                e: e in 3
            a show
                + a in 3 Stable has t/0
                a: a in 3: t/0
        "#]],
    );
}
