//! Members that keep their names when they restart (KIP-345).

use super::*;

#[test]
fn a_static_member_may_be_away_for_its_session() {
    check(
        "a join instance:one session:100000 patience:10000
         a sync a=1
         b join instance:two session:60000 patience:10000
         a join
         a sync a=1 b=2
         wait 5000
         c join session:100000 patience:10000
         a join
         wait 10000
         a sync a=1 b=2 c=3
         c sync
         b beat
         wait 44999
         describe g
         wait 1
         describe g",
        expect![[r#"
            a join instance:one session:100000 patience:10000
                a: one joined 1 range led by one of one
            a sync a=1
                + g generation 1 range led by one: one(1)
                a: works on 1
            b join instance:two session:60000 patience:10000
            a join
                a: one joined 2 range led by one of one two
                b: two joined 2 range led by one
            a sync a=1 b=2
                + g generation 2 range led by one: one(1) two(2)
                a: works on 1
            wait 5000
            c join session:100000 patience:10000
            a join
            wait 10000
                at 15000
                c: c joined 3 range led by one
                a: one joined 3 range led by one of c one two
            a sync a=1 b=2 c=3
                + g generation 3 range led by one: c(3) one(1) two(2)
                a: works on 1
            c sync
                c: works on 3
            b beat
                b: IllegalGeneration
            wait 44999
            describe g
                Stable "consumer" "range" c(3) one=one(1) two=two(2)
            wait 1
            describe g
                PreparingRebalance "consumer" "" c() one=one()
        "#]],
    );
}

#[test]
fn a_static_member_that_restarts_goes_on_with_its_work() {
    check(
        "a join instance:one
         a sync a=1
         b join instance:two
         a join
         b sync
         a sync a=1 b=2
         b2 join instance:two
         b2 sync
         b beat
         b sync
         b commit t/0=1
         b leave
         a2 join instance:one skip
         a2 sync
         a3 join instance:one
         a3 sync
         describe g
         restart
         a3 beat
         a2 beat
         b2 beat",
        expect![[r#"
            a join instance:one
                a: one joined 1 range led by one of one
            a sync a=1
                + g generation 1 range led by one: one(1)
                a: works on 1
            b join instance:two
            a join
                a: one joined 2 range led by one of one two
                b: two joined 2 range led by one
            b sync
            a sync a=1 b=2
                + g generation 2 range led by one: one(1) two(2)
                a: works on 1
                b: works on 2
            b2 join instance:two
                + g generation 2 range led by one: one(1) two'(2)
                b2: two' joined 2 range led by one
            b2 sync
                b2: works on 2
            b beat
                b: FencedInstance
            b sync
                b: FencedInstance
            b commit t/0=1
                b: FencedInstance
            b leave
                b: FencedInstance
            a2 join instance:one skip
                + g generation 2 range led by one': one'(1) two'(2)
                a2: one' joined 2 range led by one' of one' two' nothing to assign
            a2 sync
                a2: works on 1
            a3 join instance:one
                + g generation 2 range led by one'': one''(1) two'(2)
                a3: one'' joined 2 range led by one'
            a3 sync
                a3: works on 1
            describe g
                Stable "consumer" "range" one''=one(1) two'=two(2)
            restart
            a3 beat
                a3: ok
            a2 beat
                a2: FencedInstance
            b2 beat
                b2: ok
        "#]],
    );
}

#[test]
fn a_static_member_that_restarts_while_others_wait_or_with_other_protocols_concerns_them() {
    check(
        "a join instance:one protocols:range+sticky
         a sync a=1
         b join instance:two protocols:range+sticky
         b2 join instance:two protocols:range+sticky
         a join protocols:range+sticky
         b2 sync
         b3 join instance:two protocols:range+sticky
         a join protocols:range+sticky
         a sync a=1 b3=2
         b3 sync
         b4 join instance:two protocols:sticky
         a beat
         a join protocols:range+sticky
         a sync a=1 b4=2
         b4 sync",
        expect![[r#"
            a join instance:one protocols:range+sticky
                a: one joined 1 range led by one of one
            a sync a=1
                + g generation 1 range led by one: one(1)
                a: works on 1
            b join instance:two protocols:range+sticky
            b2 join instance:two protocols:range+sticky
                b: FencedInstance
            a join protocols:range+sticky
                a: one joined 2 range led by one of one two
                b2: two joined 2 range led by one
            b2 sync
            b3 join instance:two protocols:range+sticky
                b2: FencedInstance
            a join protocols:range+sticky
                a: one joined 3 range led by one of one two'
                b3: two' joined 3 range led by one
            a sync a=1 b3=2
                + g generation 3 range led by one: one(1) two'(2)
                a: works on 1
            b3 sync
                b3: works on 2
            b4 join instance:two protocols:sticky
            a beat
                a: RebalanceInProgress
            a join protocols:range+sticky
                a: one joined 4 sticky led by one of one two''
                b4: two'' joined 4 sticky led by one
            a sync a=1 b4=2
                + g generation 4 sticky led by one: one(1) two''(2)
                a: works on 1
            b4 sync
                b4: works on 2
        "#]],
    );
}
