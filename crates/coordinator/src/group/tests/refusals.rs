//! Who may not be a member, or not so.

use super::*;

#[test]
fn the_protocol_that_all_support_and_most_like_is_chosen() {
    check(
        "a join protocols:range+sticky+own
         b join protocols:sticky+range
         c join protocols:other
         c join protocols:sticky type:connect
         c join protocols:sticky+range+range
         a join protocols:range+sticky
         b join protocols:sticky+range
         a sync protocol:range
         a sync type:connect
         a sync type:consumer protocol:sticky a=1 b=2 c=3
         d join type:
         d join protocols:",
        expect![[r#"
            a join protocols:range+sticky+own
                a: a joined 1 range led by a of a
            b join protocols:sticky+range
            c join protocols:other
                c: InconsistentProtocol
            c join protocols:sticky type:connect
                c: InconsistentProtocol
            c join protocols:sticky+range+range
                c: InconsistentProtocol
            a join protocols:range+sticky
                a: a joined 2 sticky led by a of a b
                b: b joined 2 sticky led by a
            b join protocols:sticky+range
                b: b joined 2 sticky led by a
            a sync protocol:range
                a: InconsistentProtocol
            a sync type:connect
                a: InconsistentProtocol
            a sync type:consumer protocol:sticky a=1 b=2 c=3
                + g generation 2 sticky led by a: a(1) b(2)
                a: works on 1
            d join type:
                d: InconsistentProtocol
            d join protocols:
                d: InconsistentProtocol
        "#]],
    );
}

#[test]
fn strangers_and_old_generations_are_refused() {
    check(
        "x beat
         x sync
         x leave
         x join as:x
         a join
         x beat
         a sync a=1
         x sync
         x join instance:one
         a beat generation:0
         a beat generation:2
         a beat generation:-1
         a sync generation:0
         b join
         a sync
         a join
         b sync generation:1
         b sync
         a sync a=1 b=2",
        expect![[r#"
            x beat
                x: UnknownMember
            x sync
                x: UnknownMember
            x leave
                x: UnknownMember
            x join as:x
                x: UnknownMember
            a join
                a: a joined 1 range led by a of a
            x beat
                x: UnknownMember
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            x sync
                x: UnknownMember
            x join instance:one
            a beat generation:0
                a: IllegalGeneration
            a beat generation:2
                a: IllegalGeneration
            a beat generation:-1
                a: IllegalGeneration
            a sync generation:0
                a: IllegalGeneration
            b join
            a sync
                a: RebalanceInProgress
            a join
                a: a joined 2 range led by a of a b one
                b: b joined 2 range led by a
                x: one joined 2 range led by a
            b sync generation:1
                b: IllegalGeneration
            b sync
            a sync a=1 b=2
                + g generation 2 range led by a: a(1) b(2) one()
                a: works on 1
                b: works on 2
        "#]],
    );
}

#[test]
fn names_and_times_that_cannot_be_are_refused() {
    check(
        "a join session:5999
         a join session:1800001
         a join session:-1
         b join group:LONG
         b sync
         b leave
         c join instance:LONG
         d join type:LONG
         d join protocols:LONG",
        expect![[r#"
            a join session:5999
                a: InvalidSessionTimeout
            a join session:1800001
                a: InvalidSessionTimeout
            a join session:-1
                a: InvalidSessionTimeout
            b join group:LONG
                b: InvalidId
            b sync
                b: InvalidId
            b leave
                b: InvalidId
            c join instance:LONG
                c: InvalidId
            d join type:LONG
                d: InconsistentProtocol
            d join protocols:LONG
                d: InconsistentProtocol
        "#]],
    );
}

#[test]
fn a_member_with_more_protocols_than_clients_have_is_refused() {
    let mut rig = Rig::new(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() });
    let mut join = |who: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("p{number}")).collect();
        rig.run(&format!("{who} join protocols:{}", names.join("+")))
    };
    assert_eq!(join("a", 101), "a: InconsistentProtocol\n");
    assert_eq!(join("b", 100), "b: b joined 1 p0 led by b of b\n");
}

#[test]
fn a_full_group_takes_nobody_else() {
    check_with(
        GroupConfig { initial_rebalance_delay_ms: 0, members_max: 2, ..GroupConfig::default() },
        "a join
         b join
         a join
         a sync a=1 b=2
         b sync
         c join
         a join
         c join
         c join
         b join",
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
            c join
                c: Full
            a join
            c join
            c join
                c: Full
            b join
                a: a joined 3 range led by a of a c
                c: c joined 3 range led by a
                b: Full
        "#]],
    );
}

#[test]
fn a_group_that_does_not_fit_in_a_batch_stays_as_it_was() {
    check_with(
        GroupConfig { initial_rebalance_delay_ms: 0, batch_size_max: 300, ..GroupConfig::default() },
        &format!(
            "a join instance:one
             a sync a={}
             a sync a=work
             a2 join instance:one topics:{}
             a2 join instance:one topics:{}
             a beat
             describe g",
            "x".repeat(200),
            "y".repeat(300),
            "y".repeat(200),
        ),
        expect![[r#"
            a join instance:one
                a: one joined 1 range led by one of one
            a sync a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                a: TooLarge
            a sync a=work
                + g generation 1 range led by one: one(work)
                a: works on work
            a2 join instance:one topics:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy
                a2: TooLarge
            a2 join instance:one topics:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy
                a2: TooLarge
            a beat
                a: ok
            describe g
                Stable "consumer" "range" one=one(work)
        "#]],
    );
}
