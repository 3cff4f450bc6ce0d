//! Members of the consumer protocol come, share the work and go.

use super::*;

#[test]
fn members_take_over_what_others_have_given_up() {
    check(
        "topic t 4
         a show
         b show
         a show busy
         b show
         a show
         a show
         b show
         a show
         describe-consumer g
         c show
         list
         b quit
         list
         a show
         c show
         a show
         describe-consumer g
         causes",
        expect![[r#"
            topic t 4
            a show
                + a wants t
                + g epoch 1
                + a is to get t/0123
                + target 1
                + a in 1 Stable has t/0123
                a: a in 1: t/0123
            b show
                + b wants t
                + g epoch 2
                + a is to get t/23
                + b is to get t/01
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show busy
                + a in 2 Revoking has t/23, gives up t/01
                a: a in 2: t/23, again in 100 ms
            b show
                b: b in 2, again in 100 ms
            a show
                + a in 2 Stable has t/23
                a: a in 2
            a show
                a: a in 2
            b show
                + b in 2 Stable has t/01
                b: b in 2: t/01
            a show
                a: a in 2
            describe-consumer g
                Stable 2/2 uniform
                a in 2: t/23 -> t/23
                b in 2: t/01 -> t/01
            c show
                + c wants t
                + g epoch 3
                + b is to get t/1
                + c is to get t/0
                + target 3
                + c in 3 Waiting has nothing
                c: c in 3: nothing, again in 100 ms
            list
                g "consumer" Reconciling consumer
            b quit
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 4
                b: b in -1
            list
                g "consumer" Assigning consumer
            a show
                + c is to get t/01
                + target 4
                + a in 4 Stable has t/23
                a: a in 4
            c show
                + c in 4 Stable has t/01
                c: c in 4: t/01
            a show
                a: a in 4
            describe-consumer g
                Stable 4/4 uniform
                a in 4: t/23 -> t/23
                c in 4: t/01 -> t/01
            causes
                3 new-member
                1 left
        "#]],
    );
}

#[test]
fn a_lost_answer_is_told_again_and_who_is_behind_or_ahead_is_fenced() {
    check(
        "topic t 2
         a show lost
         a show
         b show
         a show epoch:9
         a show
         a show lost
         a show
         b show lost
         b show
         a show epoch:1
         a show
         wait 44999
         b show
         wait 1
         a show",
        expect![[r#"
            topic t 2
            a show lost
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            a show
                a: a in 1: t/01
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show epoch:9
                a: FencedEpoch
            a show
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            a show lost
                + a in 2 Stable has t/1
                a: a in 2
            a show
                a: a in 2
            b show lost
                + b in 2 Stable has t/0
                b: b in 2: t/0
            b show
                b: b in 2: t/0
            a show epoch:1
                a: FencedEpoch
            a show
                a: a in 2: t/1
            wait 44999
            b show
                b: b in 2
            wait 1
                at 45000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
            a show
                a: UnknownMember
        "#]],
    );
}

#[test]
fn a_static_member_may_be_away_for_its_session_and_finds_its_work_again() {
    check(
        "topic t 2
         a show instance:one
         b show instance:two
         a show
         b show
         x show instance:one
         x show instance:one epoch:2
         a pause
         list
         b show
         a show as:a2
         a show
         a2 show as:a epoch:2 instance:one
         b pause
         wait 44999
         b show as:b2
         b pause
         a show full
         wait 45000
         describe-consumer g
         b show as:b3
         causes",
        expect![[r#"
            topic t 2
            a show instance:one
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            b show instance:two
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            b show
                b: b in 2, again in 100 ms
            x show instance:one
                x: UnreleasedInstance
            x show instance:one epoch:2
                x: FencedInstance
            a pause
                + a in -2 Stable has t/1
                a: a in -2
            list
                g "consumer" Reconciling consumer
            b show
                + b in 2 Stable has t/0
                b: b in 2: t/0
            a show as:a2
                + a has nothing
                + a is to get nothing
                + a is gone
                + a2 wants t
                + a2 is to get t/1
                + a2 in 0 Stable has t/1
                + a2 in 2 Stable has t/1
                a: a2 in 2: t/1
            a show
                a: a2 in 2
            a2 show as:a epoch:2 instance:one
                a2: FencedInstance
            b pause
                + b in -2 Stable has t/0
                b: b in -2
            wait 44999
            b show as:b2
                + b has nothing
                + b is to get nothing
                + b is gone
                + b2 wants t
                + b2 is to get t/0
                + b2 in 0 Stable has t/0
                + b2 in 2 Stable has t/0
                b: b2 in 2: t/0
            b pause
                + b2 in -2 Stable has t/0
                b: b2 in -2
            a show full
                a: a2 in 2: t/1
            wait 45000
                at 89999
                + a2 has nothing
                + a2 is to get nothing
                + a2 is gone
                + g epoch 3
                + b2 has nothing
                + b2 is to get nothing
                + b2 is gone
                + g epoch 4
            describe-consumer g
                Empty 2/4 uniform
            b show as:b3
                + b3 wants t
                + g epoch 5
                + b3 is to get t/01
                + target 5
                + b3 in 5 Stable has t/01
                b: b3 in 5: t/01
            causes
                3 new-member
                2 session-ended
        "#]],
    );
}

/// Also where it shows itself before, and where nobody could answer it for a while.
#[test]
fn members_have_a_session_from_when_no_other_coordinator_is_believed() {
    check(
        "topic t 1
         a show
         restart-in-doubt 2000
         wait 100
         a show
         wait 46899
         wait 1
         b show
         wait 44000
         mute 30000
         wait 44999
         wait 1",
        expect![[r#"
            topic t 1
            a show
                + a wants t
                + g epoch 1
                + a is to get t/0
                + target 1
                + a in 1 Stable has t/0
                a: a in 1: t/0
            restart-in-doubt 2000
            wait 100
            a show
                a: a in 1
            wait 46899
            wait 1
                at 47000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 2
            b show
                + b wants t
                + g epoch 3
                + b is to get t/0
                + target 3
                + b in 3 Stable has t/0
                b: b in 3: t/0
            wait 44000
            mute 30000
            wait 44999
            wait 1
                at 166000
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 4
        "#]],
    );
}

/// As is the time to give something up: seed 3551 of the simulator.
#[test]
fn members_have_their_time_to_give_up_from_when_no_other_coordinator_is_believed() {
    check(
        "topic t 2
         a show patience:9000
         b show
         a show busy
         restart-in-doubt 2000
         wait 100
         a show busy
         wait 10899
         a show busy
         wait 1
         a show",
        expect![[r#"
            topic t 2
            a show patience:9000
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show busy
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            restart-in-doubt 2000
            wait 100
            a show busy
                a: a in 2, again in 100 ms
            wait 10899
            a show busy
                a: a in 2, again in 100 ms
            wait 1
                at 11000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
            a show
                a: UnknownMember
        "#]],
    );
}

#[test]
fn members_have_their_time_to_give_up_anew_when_their_coordinator_may_speak_again() {
    check(
        "topic t 2
         a show patience:9000
         b show
         a show busy
         mute 30000
         wait 8999
         a show busy
         wait 1
         a show",
        expect![[r#"
            topic t 2
            a show patience:9000
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show busy
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            mute 30000
            wait 8999
            a show busy
                a: a in 2: t/1, again in 100 ms
            wait 1
                at 39000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
            a show
                a: UnknownMember
        "#]],
    );
}

#[test]
fn who_does_not_give_up_in_time_or_is_silent_is_out() {
    check(
        "topic t 2
         a show patience:9000
         b show
         a show busy
         wait 5000
         a show busy
         restart
         wait 5000
         a show busy
         wait 4000
         a show
         b show
         a show
         wait 40000
         a show
         wait 5000
         b show
         a show
         a show
         describe-consumer g
         causes",
        expect![[r#"
            topic t 2
            a show patience:9000
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show busy
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            wait 5000
            a show busy
                a: a in 2: t/1, again in 100 ms
            restart
            wait 5000
            a show busy
                a: a in 2, again in 100 ms
            wait 4000
                at 14000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
            a show
                a: UnknownMember
            b show
                + b is to get t/01
                + target 3
                + b in 3 Stable has t/01
                b: b in 3: t/01
            a show
                + a wants t
                + g epoch 4
                + a is to get t/0
                + b is to get t/1
                + target 4
                + a in 4 Waiting has nothing
                a: a in 4: nothing, again in 100 ms
            wait 40000
            a show
                a: a in 4, again in 100 ms
            wait 5000
                at 59000
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 5
            b show
                b: UnknownMember
            a show
                + a is to get t/01
                + target 5
                + a in 5 Stable has t/01
                a: a in 5: t/01
            a show
                a: a in 5
            describe-consumer g
                Stable 5/5 uniform
                a in 5: t/01 -> t/01
            causes
                1 new-member
                1 session-ended
                1 not-revoked
        "#]],
    );
}

#[test]
fn topics_that_come_go_or_grow_are_work_at_the_next_sign_of_life() {
    check(
        "a show topics: regex:[tu].?
         b show topics:t
         topic t 1
         topic us 1
         topic usa 1
         describe-consumer g
         a show
         b show
         topic t 3
         b show
         a show
         b show
         drop-topic t
         a show
         b show
         a show regex:
         a show topics:usa
         quiet show topics:t
         describe-consumer g
         restart
         topic t 2
         b show",
        expect![[r#"
            a show topics: regex:[tu].?
                + a wants  like [tu].?
                + [tu].? is 
                + g epoch 1
                + target 1
                + a in 1 Stable has nothing
                a: a in 1: nothing
            b show topics:t
                + b wants t
                + g epoch 2
                + target 2
                + b in 2 Stable has nothing
                b: b in 2: nothing
            topic t 1
            topic us 1
            topic usa 1
            describe-consumer g
                Reconciling 2/2 uniform
                a in 1: nothing -> nothing
                b in 2: nothing -> nothing
            a show
                + [tu].? is t,us
                + g epoch 3
                + a is to get us/0
                + b is to get t/0
                + target 3
                + a in 3 Stable has us/0
                a: a in 3: us/0
            b show
                + b in 3 Stable has t/0
                b: b in 3: t/0
            topic t 3
            b show
                + g epoch 4
                + a is to get t/1 us/0
                + b is to get t/02
                + target 4
                + b in 4 Stable has t/02
                b: b in 4: t/02
            a show
                + a in 4 Stable has t/1 us/0
                a: a in 4: t/1 us/0
            b show
                b: b in 4
            drop-topic t
            a show
                + [tu].? is us
                + g epoch 5
                + a is to get us/0
                + b is to get nothing
                + target 5
                + a in 5 Revoking has us/0, gives up t/1
                a: a in 5: us/0, again in 100 ms
            b show
                + b in 5 Revoking has nothing, gives up t/02
                b: b in 5: nothing, again in 100 ms
            a show regex:
                + a wants 
                + [tu].? is no matter
                + g epoch 6
                + a is to get nothing
                + target 6
                + a in 6 Revoking has nothing, gives up us/0
                a: a in 6: nothing, again in 100 ms
            a show topics:usa
                + a wants usa
                + g epoch 7
                + a is to get usa/0
                + target 7
                + a in 7 Stable has usa/0
                a: a in 7: usa/0
            quiet show topics:t
                + quiet wants t
                + g epoch 8
                + target 8
                + quiet in 8 Stable has nothing
                quiet: quiet in 8: nothing
            describe-consumer g
                Reconciling 8/8 uniform
                a in 7: usa/0 -> usa/0
                b in 5: nothing -> nothing
                quiet in 8: nothing -> nothing
            restart
            topic t 2
            b show
                + g epoch 9
                + b is to get t/0
                + quiet is to get t/1
                + target 9
                + b in 9 Stable has t/0
                b: b in 9: t/0
        "#]],
    );
}

#[test]
fn work_goes_to_where_it_is_near_and_by_the_assignor_that_most_want() {
    check(
        "topic t 6
         a show rack:y
         b show rack:z
         a show
         a show
         b show
         describe-consumer g
         a quit
         b quit
         topic u 4
         a show topics:t,u assignor:range
         b show topics:t,u
         a show
         b show
         describe-consumer g
         b show assignor:uniform
         c show topics: assignor:uniform
         describe-consumer g",
        expect![[r#"
            topic t 6
            a show rack:y
                + a wants t in y
                + g epoch 1
                + a is to get t/012345
                + target 1
                + a in 1 Stable has t/012345
                a: a in 1: t/012345
            b show rack:z
                + b wants t in z
                + g epoch 2
                + a is to get t/134
                + b is to get t/025
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show
                + a in 2 Revoking has t/134, gives up t/025
                a: a in 2: t/134, again in 100 ms
            a show
                + a in 2 Stable has t/134
                a: a in 2
            b show
                + b in 2 Stable has t/025
                b: b in 2: t/025
            describe-consumer g
                Stable 2/2 uniform
                a in 2: t/134 -> t/134
                b in 2: t/025 -> t/025
            a quit
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
                a: a in -1
            b quit
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 4
                b: b in -1
            topic u 4
            a show topics:t,u assignor:range
                + a wants t,u by range
                + g epoch 5
                + a is to get t/012345 u/0123
                + target 5
                + a in 5 Stable has t/012345 u/0123
                a: a in 5: t/012345 u/0123
            b show topics:t,u
                + b wants t,u
                + g epoch 6
                + a is to get t/012 u/01
                + b is to get t/345 u/23
                + target 6
                + b in 6 Waiting has nothing
                b: b in 6: nothing, again in 100 ms
            a show
                + a in 6 Revoking has t/012 u/01, gives up t/345 u/23
                a: a in 6: t/012 u/01, again in 100 ms
            b show
                b: b in 6, again in 100 ms
            describe-consumer g
                Reconciling 6/6 range
                a in 6: t/012 u/01 -> t/012 u/01
                b in 6: nothing -> t/345 u/23
            b show assignor:uniform
                + b wants t,u by uniform
                + g epoch 7
                + target 7
                + b in 7 Waiting has nothing
                b: b in 7, again in 100 ms
            c show topics: assignor:uniform
                + c wants  by uniform
                + g epoch 8
                + target 8
                + c in 8 Stable has nothing
                c: c in 8: nothing
            describe-consumer g
                Reconciling 8/8 uniform
                a in 6: t/012 u/01 -> t/012 u/01
                b in 7: nothing -> t/345 u/23
                c in 8: nothing -> nothing
        "#]],
    );
}

#[test]
fn who_commits_must_have_had_the_partition_since_the_epoch_it_says() {
    check(
        "topic t 2
         nobody commit t/0=1
         a show
         a commit reader t/0=2 t/1=2
         b show
         a show
         a show
         b show
         a commit reader t/0=3
         b commit reader t/1=3
         b commit as:b generation:1 t/1=4
         a commit as:a generation:1 t/0=4
         a commit as:a generation:1 t/1=4
         a commit as:a generation:9 t/0=4
         x commit as:x generation:2 t/0=4
         nobody commit t/0=4
         nobody txn t/0=5
         a txn reader producer:8 t/0=6
         end 7 commit
         end 8 abort
         fetch g t/0 t/1
         fetch g as:a t/0
         fetch g as:x t/0
         c show topics:u
         fetch g as:a t/0
         a show
         fetch g as:a t/0
         forget g t/0 v/0
         delete g",
        expect![[r#"
            topic t 2
            nobody commit t/0=1
                + g t/0=1
                nobody: t/0 ok
            a show
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            a commit reader t/0=2 t/1=2
                + g t/0=2
                + g t/1=2
                a: t/0 ok, t/1 ok
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            a show
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            a show
                + a in 2 Stable has t/1
                a: a in 2
            b show
                + b in 2 Stable has t/0
                b: b in 2: t/0
            a commit reader t/0=3
                + g t/0=3
                a: t/0 ok
            b commit reader t/1=3
                + g t/1=3
                b: t/1 ok
            b commit as:b generation:1 t/1=4
                b: StaleEpoch
            a commit as:a generation:1 t/0=4
                a: StaleEpoch
            a commit as:a generation:1 t/1=4
                + g t/1=4
                a: t/1 ok
            a commit as:a generation:9 t/0=4
                a: StaleEpoch
            x commit as:x generation:2 t/0=4
                x: UnknownMember
            nobody commit t/0=4
                nobody: UnknownMember
            nobody txn t/0=5
                nobody: UnknownMember
            a txn reader producer:8 t/0=6
                + g t/0=6 if 8 commits
                a: t/0 ok
            end 7 commit
            end 8 abort
            fetch g t/0 t/1
                t/0 3, t/1 4
            fetch g as:a t/0
                t/0 3
            fetch g as:x t/0
                UnknownMember
            c show topics:u
                + c wants u
                + g epoch 3
                + target 3
                + c in 3 Stable has nothing
                c: c in 3: nothing
            fetch g as:a t/0
                t/0 3
            a show
                + a in 3 Stable has t/1
                a: a in 3
            fetch g as:a t/0
                t/0 3
            forget g t/0 v/0
                t/0 Subscribed, v/0 ok
            delete g
                NotEmpty
        "#]],
    );
}

#[test]
fn a_group_without_members_changes_its_protocol() {
    check(
        "topic t 1
         a join
         a sync a=1
         b show
         b show epoch:1
         a leave
         nobody commit t/0=7
         c join handshake
         b show
         list
         describe g
         describe-consumer g
         restart
         b show
         b quit
         describe-consumer h
         restart
         a join
         a sync a=1
         describe-consumer g
         restart
         a leave
         b show
         b quit
         delete g
         list
         restart
         list",
        expect![[r#"
            topic t 1
            a join
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            b show
                b: NotConsumer
            b show epoch:1
                b: UnknownMember
            a leave
                + g generation 2 none led by nobody:
                a: left
            nobody commit t/0=7
                + g t/0=7
                nobody: t/0 ok
            c join handshake
                c: is c
            b show
                + g is gone
                + b wants t
                + g epoch 1
                + b is to get t/0
                + target 1
                + b in 1 Stable has t/0
                b: b in 1: t/0
            list
                g "consumer" Stable consumer
            describe g
                UnknownGroup
            describe-consumer g
                Stable 1/1 uniform
                b in 1: t/0 -> t/0
            restart
            b show
                b: b in 1
            b quit
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 2
                b: b in -1
            describe-consumer h
                UnknownGroup
            restart
            a join
                a: UnknownMember
            a sync a=1
                a: UnknownMember
            describe-consumer g
                Empty 1/2 uniform
            restart
            a leave
                a: UnknownMember
            b show
                + b wants t
                + g epoch 3
                + b is to get t/0
                + target 3
                + b in 3 Stable has t/0
                b: b in 3: t/0
            b quit
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 4
                b: b in -1
            delete g
                + g t/0 forgotten
                + no target
                + g is gone
                ok
            list
                no groups
            restart
            list
                no groups
        "#]],
    );
}

#[test]
fn of_partitions_that_a_member_names_and_never_got_nothing_is_kept() {
    let mut rig = Rig::new(GroupConfig::default());
    rig.run("topic t 2");
    rig.run("a show");
    assert_eq!(rig.run("a show others:100000"), "a: a in 1: t/01\n");
    let consumer = rig.groups.groups["g"].consumer().expect("of that protocol");
    assert_eq!(consumer.reported_count("a"), Some(2));
    assert_eq!(rig.run("a show quiet"), "a: a in 1: t/01\n");
    assert_eq!(rig.run("a show"), "a: a in 1\n");
}

#[test]
fn what_no_member_can_mean_is_refused() {
    let config = GroupConfig { consumer_members_max: 2, ..GroupConfig::default() };
    check_with(
        config,
        "topic t 1
         a show assignor:best
         a show regex:(
         a show regex:a)|(b
         a show regex:LONG
         a show instance:LONG
         a show group:LONG
         x show epoch:1
         x quit
         list
         b show anew
         c show
         d show
         b quit
         d show
         d show instance:one
         d show topics:u,t
         d pause",
        expect![[r#"
            topic t 1
            a show assignor:best
                a: UnsupportedAssignor
            a show regex:(
                a: InvalidRegex
            a show regex:a)|(b
                a: InvalidRegex
            a show regex:LONG
                a: InvalidRequest
            a show instance:LONG
                a: InvalidRequest
            a show group:LONG
                a: InvalidRequest
            x show epoch:1
                x: UnknownMember
            x quit
                x: UnknownMember
            list
                no groups
            b show anew
                + b wants t
                + g epoch 1
                + b is to get t/0
                + target 1
                + b in 1 Stable has t/0
                b: b in 1: t/0
            c show
                + c wants t
                + g epoch 2
                + target 2
                + c in 2 Stable has nothing
                c: c in 2: nothing
            d show
                d: Full
            b quit
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 3
                b: b in -1
            d show
                + d wants t
                + g epoch 4
                + c is to get t/0
                + target 4
                + d in 4 Stable has nothing
                d: d in 4: nothing
            d show instance:one
                + d wants t
                d: d in 4
            d show topics:u,t
                + d wants t,u
                + g epoch 5
                + target 5
                + d in 5 Stable has nothing
                d: d in 5
            d pause
                + d in -2 Stable has nothing
                d: d in -2
        "#]],
    );
}

#[test]
fn an_operator_removes_members_and_unused_groups_go() {
    let config = GroupConfig {
        offsets_retention_ms: 60_000,
        offsets_check_interval_ms: 5_000,
        ..GroupConfig::default()
    };
    check_with(
        config,
        "topic t 2
         a show instance:one
         b show
         b commit reader t/0=1 u/0=1
         b leave as:b
         x leave by-name instance:one
         x leave by-name instance:one
         list
         a show
         a show
         wait 40000
         a show
         wait 20000
         fetch g all
         a quit
         wait 60000
         list",
        expect![[r#"
            topic t 2
            a show instance:one
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            b show
                + b wants t
                + g epoch 2
                + a is to get t/1
                + b is to get t/0
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            b commit reader t/0=1 u/0=1
                + g t/0=1
                + g u/0=1
                b: t/0 ok, u/0 ok
            b leave as:b
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 3
                b: left
            x leave by-name instance:one
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 4
                x: left
            x leave by-name instance:one
                x: UnknownMember
            list
                g "consumer" Empty consumer
            a show
                a: UnknownMember
            a show
                + a wants t
                + g epoch 5
                + a is to get t/01
                + target 5
                + a in 5 Stable has t/01
                a: a in 5: t/01
            wait 40000
            a show
                a: a in 5
            wait 20000
                at 60000
                + g u/0 forgotten
            fetch g all
                t/0 1
            a quit
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 6
                a: a in -1
            wait 60000
                at 65000
                + g t/0 forgotten
                + no target
                + g is gone
            list
                no groups
        "#]],
    );
}

#[test]
fn a_member_in_a_state_of_a_newer_version_begins_anew() {
    check(
        "topic t 2
         a show
         newer-version a
         a show busy
         describe-consumer g
         a show",
        expect![[r#"
            topic t 2
            a show
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            newer-version a
            a show busy
                a: FencedEpoch
            describe-consumer g
                Reconciling 1/1 uniform
                a in 1: t/01 -> t/01
            a show
                + a in 1 Stable has t/01
                a: a in 1: t/01
        "#]],
    );
}

#[test]
fn shares_that_do_not_fit_in_a_record_wait_for_members_to_share_them() {
    check_with(
        GroupConfig { batch_size_max: 600, ..GroupConfig::default() },
        "topic t 60
         a show
         list
         a show
         b show
         a show
         list",
        expect![[r#"
            topic t 60
            a show
                + a wants t
                + g epoch 1
                a: TooLarge
            list
                g "consumer" Assigning consumer
            a show
                a: TooLarge
            b show
                + b wants t
                + g epoch 2
                + a is to get t/0246810121416182022242628303234363840424446485052545658
                + b is to get t/1357911131517192123252729313335373941434547495153555759
                + target 2
                + b in 2 Stable has t/1357911131517192123252729313335373941434547495153555759
                b: b in 2: t/1357911131517192123252729313335373941434547495153555759
            a show
                + a in 2 Stable has t/0246810121416182022242628303234363840424446485052545658
                a: a in 2: t/0246810121416182022242628303234363840424446485052545658
            list
                g "consumer" Stable consumer
        "#]],
    );
}

#[test]
fn an_expression_that_stands_for_too_many_topics_concerns_only_who_has_it() {
    let mut rig = Rig::new(GroupConfig { batch_size_max: 600, ..GroupConfig::default() });
    for number in 0..50 {
        rig.run(&format!("topic many-topics-{number} 1"));
    }
    assert_eq!(rig.run("a show topics: regex:many.*").lines().last(), Some("a: InvalidRegex"));
    rig.check();
    rig.run("b show topics:many-topics-7");
    rig.check();
    assert_eq!(rig.run("b show full topics:many-topics-7"), "b: b in 2: many-topics-7/0\n");
    assert_eq!(rig.run("a show regex:many-topics-0").lines().last(), Some("a: a in 3: many-topics-0/0"));
    rig.check();
}

/// A compacted log speaks of the expression first, then of the offset, and of the member and its group last.
#[test]
fn an_offset_that_is_forgotten_takes_nothing_else_with_it() {
    check(
        "topic t 2
         a show regex:t
         a commit reader t/0=1
         drop-topic t
         topic t 2
         a show rack:x
         compact",
        expect![[r#"
            topic t 2
            a show regex:t
                + a wants t like t
                + t is t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            a commit reader t/0=1
                + g t/0=1
                a: t/0 ok
            drop-topic t
                + g t/0 forgotten
            topic t 2
            a show rack:x
                + a wants t like t in x
                + g epoch 2
                + target 2
                + a in 2 Stable has t/01
                a: a in 2
            compact
        "#]],
    );
}

#[test]
fn the_work_is_distributed_only_as_the_operator_allows() {
    let config = GroupConfig { consumer_assignors: vec![Assignor::Range], ..GroupConfig::default() };
    check_with(
        config,
        "topic t 4
         a show assignor:uniform
         a show
         b show assignor:range
         describe-consumer g",
        expect![[r#"
            topic t 4
            a show assignor:uniform
                a: UnsupportedAssignor
            a show
                + a wants t
                + g epoch 1
                + a is to get t/0123
                + target 1
                + a in 1 Stable has t/0123
                a: a in 1: t/0123
            b show assignor:range
                + b wants t by range
                + g epoch 2
                + a is to get t/01
                + b is to get t/23
                + target 2
                + b in 2 Waiting has nothing
                b: b in 2: nothing, again in 100 ms
            describe-consumer g
                Reconciling 2/2 range
                a in 1: t/0123 -> t/01
                b in 2: nothing -> t/23
        "#]],
    );
}

#[test]
fn the_work_stays_as_it_is_distributed_for_a_while_if_the_operator_wants_that() {
    let config = GroupConfig { consumer_assignment_interval_ms: 1_000, ..GroupConfig::default() };
    check_with(
        config,
        "topic t 2
         wait 100
         a show
         wait 300
         b show
         a show
         wait 699
         c show
         wait 1
         a show
         clock -100000
         c quit
         a show
         describe-consumer g",
        expect![[r#"
            topic t 2
            wait 100
            a show
                + a wants t
                + g epoch 1
                + a is to get t/01
                + target 1
                + a in 1 Stable has t/01
                a: a in 1: t/01
            wait 300
            b show
                + b wants t
                + g epoch 2
                + b in 1 Stable has nothing
                b: b in 1: nothing, again in 700 ms
            a show
                a: a in 1, again in 700 ms
            wait 699
            c show
                + c wants t
                + g epoch 3
                + c in 1 Stable has nothing
                c: c in 1: nothing, again in 100 ms
            wait 1
            a show
                + a is to get t/1
                + b is to get t/0
                + target 3
                + a in 2 Revoking has t/1, gives up t/0
                a: a in 2: t/1, again in 100 ms
            clock -100000
            c quit
                + c has nothing
                + c is to get nothing
                + c is gone
                + g epoch 4
                c: c in -1
            a show
                + target 4
                + a in 4 Stable has t/1
                a: a in 4
            describe-consumer g
                Reconciling 4/4 uniform
                a in 4: t/1 -> t/1
                b in 1: nothing -> t/0
        "#]],
    );
}
