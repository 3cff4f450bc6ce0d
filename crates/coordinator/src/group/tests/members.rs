//! Members come, work and go.

use super::*;

#[test]
fn the_first_member_of_a_new_group_does_not_wait() {
    check(
        "a join
         a sync a=all
         a beat
         a leave",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=all
                + g generation 1 range led by a: a(all)
                a: works on all
            a beat
                a: ok
            a leave
                + g generation 2 none led by nobody:
                a: left
        "#]],
    );
}

#[test]
fn three_share_the_work_of_one_that_leaves_and_of_one_that_dies() {
    check(
        "a join
         a sync a=0123
         b join
         a beat
         a join
         c join
         a beat
         a join
         b join
         b sync
         a sync a=01 b=2 c=3
         c sync
         b leave
         a join
         c beat
         c join
         a sync a=01 c=23
         c sync
         wait 6000
         a beat
         wait 4000
         a join
         a sync a=0123
         describe g
         causes",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=0123
                + g generation 1 range led by a: a(0123)
                a: works on 0123
            b join
            a beat
                a: RebalanceInProgress
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            c join
            a beat
                a: RebalanceInProgress
            a join
            b join
                a: a joined 3 range led by a of a b c
                b: b joined 3 range led by a
                c: c joined 3 range led by a
            b sync
            a sync a=01 b=2 c=3
                + g generation 3 range led by a: a(01) b(2) c(3)
                a: works on 01
                b: works on 2
            c sync
                c: works on 3
            b leave
                b: left
            a join
            c beat
                c: RebalanceInProgress
            c join
                a: a joined 4 range led by a of a c
                c: c joined 4 range led by a
            a sync a=01 c=23
                + g generation 4 range led by a: a(01) c(23)
                a: works on 01
            c sync
                c: works on 23
            wait 6000
            a beat
                a: ok
            wait 4000
            a join
                a: a joined 5 range led by a of a
            a sync a=0123
                + g generation 5 range led by a: a(0123)
                a: works on 0123
            describe g
                Stable "consumer" "range" a(0123)
            causes
                3 new-member
                1 left
                1 session-ended
        "#]],
    );
}

#[test]
fn a_client_that_learns_its_id_first_is_waited_for_until_its_session_would_end() {
    check(
        "a join handshake
         list
         wait 10000
         list
         a join
         a join anew
         a sync a=all
         b join handshake
         c join handshake
         b join
         a join
         wait 10000
         d join handshake
         d leave
         d join",
        expect![[r#"
            a join handshake
                a: is a
            list
                g "" Empty classic
            wait 10000
            list
                no groups
            a join
                a: UnknownMember
            a join anew
                a: a' joined 1 range led by a' of a'
            a sync a=all
                + g generation 1 range led by a': a'(all)
                a: works on all
            b join handshake
                b: is b
            c join handshake
                c: is c
            b join
            a join
            wait 10000
                at 20000
                a: a' joined 2 range led by a' of a' b
                b: b joined 2 range led by a'
            d join handshake
                d: is d
            d leave
                d: left
            d join
                d: UnknownMember
        "#]],
    );
}

#[test]
fn a_new_group_waits_for_more_members_as_long_as_they_come() {
    check_with(
        GroupConfig::default(),
        "a join patience:8000
         wait 2000
         b join patience:8000
         wait 2000
         c join patience:8000
         wait 6000",
        expect![[r#"
            a join patience:8000
            wait 2000
            b join patience:8000
            wait 2000
            c join patience:8000
            wait 6000
                at 8000
                a: a joined 1 range led by a of a b c
                b: b joined 1 range led by a
                c: c joined 1 range led by a
        "#]],
    );
}

#[test]
fn whoever_does_not_join_again_in_time_is_gone() {
    check(
        "a join patience:20000
         a sync a=all
         b join patience:20000
         wait 9000
         a beat
         wait 9000
         a beat
         wait 9000
         a beat
         b sync b=all",
        expect![[r#"
            a join patience:20000
                a: a joined 1 range led by a of a
            a sync a=all
                + g generation 1 range led by a: a(all)
                a: works on all
            b join patience:20000
            wait 9000
            a beat
                a: RebalanceInProgress
            wait 9000
            a beat
                a: RebalanceInProgress
            wait 9000
                at 20000
                b: b joined 2 range led by b of b
            a beat
                a: UnknownMember
            b sync b=all
                + g generation 2 range led by b: b(all)
                b: works on all
        "#]],
    );
}

#[test]
fn whoever_does_not_ask_for_its_work_in_time_is_gone() {
    check(
        "a join patience:5000
         a sync a=1
         b join patience:5000
         a join patience:5000
         a sync a=1 b=2
         wait 5000
         a join patience:5000
         b join anew patience:5000
         b sync
         wait 5000
         b join
         b sync b=all",
        expect![[r#"
            a join patience:5000
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            b join patience:5000
            a join patience:5000
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2)
                a: works on 1
            wait 5000
            a join patience:5000
                a: a joined 3 range led by a of a
            b join anew patience:5000
            b sync
                b: UnknownMember
            wait 5000
                at 10000
                b: b' joined 4 range led by b' of b'
            b join
                b: b' joined 4 range led by b' of b'
            b sync b=all
                + g generation 4 range led by b': b'(all)
                b: works on all
        "#]],
    );
}

#[test]
fn whoever_asks_for_its_work_late_has_a_whole_session_from_then_on() {
    check(
        "a join
         a sync a=01
         b join
         a join
         a sync a=0 b=1
         wait 6000
         a beat
         b sync
         wait 6000
         a beat
         b beat",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=01
                + g generation 1 range led by a: a(01)
                a: works on 01
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=0 b=1
                + g generation 2 range led by a: a(0) b(1)
                a: works on 0
            wait 6000
            a beat
                a: ok
            b sync
                b: works on 1
            wait 6000
            a beat
                a: ok
            b beat
                b: ok
        "#]],
    );
}

#[test]
fn a_member_that_joins_again_without_news_is_told_what_holds() {
    check(
        "a join
         a sync a=1
         b join
         a join
         a join
         b join
         b join topics:u
         a join
         a sync a=1 b=2
         b sync
         b join topics:u
         b sync
         a join
         b join topics:u
         b sync
         a join topics:u
         b join topics:u",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a join
                a: a joined 2 range led by a of a b
            b join
                b: b joined 2 range led by a
            b join topics:u
            a join
                a: a joined 3 range led by a of a b
                b: b joined 3 range led by a
            a sync a=1 b=2
                + g generation 3 range led by a: a(1) b(2)
                a: works on 1
            b sync
                b: works on 2
            b join topics:u
                b: b joined 3 range led by a
            b sync
                b: works on 2
            a join
            b join topics:u
                a: a joined 4 range led by a of a b
                b: b joined 4 range led by a
            b sync
            a join topics:u
                b: RebalanceInProgress
            b join topics:u
                a: a joined 5 range led by a of a b
                b: b joined 5 range led by a
        "#]],
    );
}

#[test]
fn a_member_that_asks_twice_is_answered_twice() {
    check(
        "a join
         a sync a=1
         b join
         a join patience:1
         b join
         b sync
         b sync
         a sync a=1 b=2
         a join
         a join
         b join",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            b join
            a join patience:1
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            b join
                b: b joined 2 range led by a
            b sync
            b sync
                b: RebalanceInProgress
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2)
                a: works on 1
                b: works on 2
            a join
            a join
                a: RebalanceInProgress
            b join
                a: a joined 3 range led by a of a b
                b: b joined 3 range led by a
        "#]],
    );
}

#[test]
fn several_members_leave_at_once_and_those_that_are_none_are_told_so() {
    check(
        "a join
         b join instance:two
         c join instance:three
         a join
         a sync a=1 b=2 c=3
         d join handshake
         e beat
         d leave a e
         describe g
         b leave by-name
         c leave by-name by-name
         describe g",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            b join instance:two
            c join instance:three
            a join
                a: a joined 2 range led by a of a three two
                c: three joined 2 range led by a
                b: two joined 2 range led by a
            a sync a=1 b=2 c=3
                + g generation 2 range led by a: a(1) three(3) two(2)
                a: works on 1
            d join handshake
                d: is d
            e beat
                e: UnknownMember
            d leave a e
                d: left, left, UnknownMember
            describe g
                PreparingRebalance "consumer" "" three=three() two=two()
            b leave by-name
                b: left
            c leave by-name by-name
                + g generation 3 none led by nobody:
                c: left
            describe g
                Empty "consumer" ""
        "#]],
    );
}

#[test]
fn members_that_a_new_shard_knows_have_a_whole_session() {
    check(
        "a join
         b join
         a join
         a sync a=1 b=2
         b sync
         wait 9999
         restart
         wait 9999
         a beat
         wait 1
         a beat
         a join
         restart
         a beat
         a join
         a sync a=all",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2)
                a: works on 1
            b sync
                b: works on 2
            wait 9999
            restart
            wait 9999
            a beat
                a: ok
            wait 1
            a beat
                a: RebalanceInProgress
            a join
                a: a joined 3 range led by a of a
            restart
            a beat
                a: IllegalGeneration
            a join
            a sync a=all
                a: IllegalGeneration
        "#]],
    );
}

/// It may have gone back to the coordinator before this one, which is believed for so long (docs/decisions/0012).
#[test]
fn members_that_show_themselves_while_another_may_be_believed_have_a_session_from_then_on() {
    check(
        "a join
         a sync a=1
         restart-in-doubt 2000
         wait 100
         a beat
         wait 11899
         causes
         wait 1
         causes",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            restart-in-doubt 2000
            wait 100
            a beat
                a: ok
            wait 11899
            causes
            wait 1
                at 12000
                + g generation 2 none led by nobody:
            causes
                1 session-ended
        "#]],
    );
}

/// As they could not show themselves.
#[test]
fn members_of_a_coordinator_that_was_mute_have_a_session_from_then_on() {
    check(
        "a join
         a sync a=1
         wait 9000
         mute 30000
         wait 9999
         a beat
         wait 9999
         mute 1
         wait 9999
         causes
         wait 1
         causes",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            wait 9000
            mute 30000
            wait 9999
            a beat
                a: ok
            wait 9999
            mute 1
            wait 9999
            causes
                1 new-member
            wait 1
                at 68999
                + g generation 2 none led by nobody:
            causes
                1 new-member
                1 session-ended
        "#]],
    );
}

/// Nor are those put out whom a rebalance waits for.
#[test]
fn a_rebalance_goes_on_when_its_coordinator_may_speak_again() {
    check(
        "a join
         a sync a=all
         b join
         mute 90000
         wait 1000
         a beat
         a join
         mute 90000
         wait 1000
         a sync a=1 b=2
         b sync",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            a sync a=all
                + g generation 1 range led by a: a(all)
                a: works on all
            b join
            mute 90000
            wait 1000
            a beat
                a: RebalanceInProgress
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            mute 90000
            wait 1000
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2)
                a: works on 1
            b sync
                b: works on 2
        "#]],
    );
}

#[test]
fn a_new_member_does_not_wait_for_ever() {
    check(
        "a join session:1000000 patience:1000000
         a sync a=1
         b join
         wait 299999
         wait 1
         a join",
        expect![[r#"
            a join session:1000000 patience:1000000
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            b join
            wait 299999
            wait 1
                at 300000
                b: UnknownMember
            a join
                a: a joined 2 range led by a of a
        "#]],
    );
}

#[test]
fn a_shard_that_slept_blames_nobody_before_it_has_read_what_came_meanwhile() {
    check(
        "a join
         b join
         a join
         a sync a=1 b=2
         b sync
         sleep 20000
         a beat
         wait 999
         b beat
         sleep 20000
         wait 999
         a beat
         wait 1
         a join",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2)
                a: works on 1
            b sync
                b: works on 2
            sleep 20000
            a beat
                a: ok
            wait 999
            b beat
                b: ok
            sleep 20000
            wait 999
            a beat
                a: ok
            wait 1
            a join
                a: a joined 3 range led by a of a
        "#]],
    );
}

#[test]
fn a_group_that_is_larger_than_it_may_be_is_rebalanced_once_it_is_loaded() {
    check(
        "a join
         b join
         c join
         a join
         b join
         a sync a=x b=y c=z
         limit 3
         a beat
         limit 2
         a beat
         a join
         b join
         c join
         a sync a=x b=y
         causes",
        expect![[r#"
            a join
                a: a joined 1 range led by a of a
            b join
            c join
            a join
                a: a joined 2 range led by a of a b c
                b: b joined 2 range led by a
                c: c joined 2 range led by a
            b join
                b: b joined 2 range led by a
            a sync a=x b=y c=z
                + g generation 2 range led by a: a(x) b(y) c(z)
                a: works on x
            limit 3
            a beat
                a: ok
            limit 2
            a beat
                a: RebalanceInProgress
            a join
            b join
            c join
                a: a joined 3 range led by a of a b
                b: b joined 3 range led by a
                c: Full
            a sync a=x b=y
                + g generation 3 range led by a: a(x) b(y)
                a: works on x
            causes
                1 over-capacity
        "#]],
    );
}
