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
         describe g",
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
        "#]],
    );
}
