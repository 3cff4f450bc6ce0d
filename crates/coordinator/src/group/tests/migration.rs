//! Groups move from one protocol to the other while they have members, and have members of both.

use super::*;

#[test]
fn a_group_moves_with_its_members_and_back_when_the_last_of_the_new_protocol_goes() {
    check(
        "topic t 4
         a join
         b join
         a join
         a sync a=t/01 b=t/23
         b sync
         c show
         list
         a commit t/0=1
         a beat
         a join
         a sync
         c show
         b beat
         restart
         b beat
         b join
         b sync
         c show
         a beat
         a join
         describe-consumer g
         describe g
         a commit generation:1 t/0=2
         c commit reader old t/0=3
         c quit
         list
         b beat
         restart
         b beat
         b join
         a join
         a sync a=t/01 b=t/23
         b sync
         causes",
        expect![[r#"
            topic t 4
            a join
                a: a joined 1 range led by a of a
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=t/01 b=t/23
                + g generation 2 range led by a: a(t/01) b(t/23)
                a: works on t/01
            b sync
                b: works on t/23
            c show
                + g is gone
                + g epoch 2
                + a wants t, speaks range
                + a is to get t/01
                + a in 2 Stable has t/01
                + b wants t, speaks range
                + b is to get t/23
                + b in 2 Stable has t/23
                + target 2
                + c wants t
                + g epoch 3
                + b is to get t/3
                + c is to get t/2
                + target 3
                + c in 3 Waiting has nothing
                c: c in 3: nothing, again in 100 ms
            list
                g "consumer" Reconciling consumer
            a commit t/0=1
                + g t/0=1
                a: t/0 ok
            a beat
                a: RebalanceInProgress
            a join
                + a in 3 Stable has t/01
                a: a joined 3 range led by 
            a sync
                a: works on t/01
            c show
                c: c in 3, again in 100 ms
            b beat
                b: RebalanceInProgress
            restart
            b beat
                b: RebalanceInProgress
            b join
                + b in 3 Stable has t/3
                b: b joined 3 range led by 
            b sync
                b: works on t/3
            c show
                + c in 3 Stable has t/2
                c: c in 3: t/2
            a beat
                a: ok
            a join
                a: a joined 3 range led by 
            describe-consumer g
                Stable 3/3 uniform
                a in 3: t/01 -> t/01
                b in 3: t/3 -> t/3
                c in 3: t/2 -> t/2
            describe g
                UnknownGroup
            a commit generation:1 t/0=2
                a: IllegalGeneration
            c commit reader old t/0=3
                c: NoEpochs
            c quit
                + c has nothing
                + c is to get nothing
                + c is gone
                + g epoch 4
                + a has nothing
                + a is to get nothing
                + a is gone
                + b has nothing
                + b is to get nothing
                + b is gone
                + no target
                + g is gone
                + g generation 3 range led by nobody: a(t/01) b(t/3)
                c: c in -1
            list
                g "consumer" PreparingRebalance classic
            b beat
                b: RebalanceInProgress
            restart
            b beat
                b: RebalanceInProgress
            b join
            a join
                a: a joined 4 range led by a of a b
                b: b joined 4 range led by a
            a sync a=t/01 b=t/23
                + g generation 4 range led by a: a(t/01) b(t/23)
                a: works on t/01
            b sync
                b: works on t/23
            causes
                1 protocol-changed
        "#]],
    );
}

#[test]
fn a_cooperative_member_keeps_what_it_may_and_comes_back_for_what_has_come_free() {
    check(
        "topic t 4
         a join protocols:cooperative
         a sync a=t/0123
         c show
         a beat
         a join has:t/0123
         a sync
         a beat
         c show
         a join has:t/23
         a sync
         a beat
         c show
         b join protocols:cooperative
         a beat
         a join has:t/23
         c quit
         a beat",
        expect![[r#"
            topic t 4
            a join protocols:cooperative
                a: a joined 1 cooperative led by a of a
            a sync a=t/0123
                + g generation 1 cooperative led by a: a(t/0123)
                a: works on t/0123
            c show
                + g is gone
                + g epoch 1
                + a wants t, speaks cooperative
                + a is to get t/0123
                + a in 1 Stable has t/0123
                + target 1
                + c wants t
                + g epoch 2
                + a is to get t/23
                + c is to get t/01
                + target 2
                + c in 2 Waiting has nothing
                c: c in 2: nothing, again in 100 ms
            a beat
                a: RebalanceInProgress
            a join has:t/0123
                + a wants t, speaks cooperative
                + a in 1 Revoking has t/23, gives up t/01
                a: a joined 1 cooperative led by 
            a sync
                a: works on t/23
            a beat
                a: RebalanceInProgress
            c show
                c: c in 2, again in 100 ms
            a join has:t/23
                + a wants t, speaks cooperative
                + a in 2 Stable has t/23
                a: a joined 2 cooperative led by 
            a sync
                a: works on t/23
            a beat
                a: ok
            c show
                + c in 2 Stable has t/01
                c: c in 2: t/01
            b join protocols:cooperative
                + b wants t, speaks cooperative
                + g epoch 3
                + b is to get t/0
                + c is to get t/1
                + target 3
                + b in 3 Waiting has nothing
                b: b joined 3 cooperative led by 
            a beat
                a: RebalanceInProgress
            a join has:t/23
                + a in 3 Stable has t/23
                a: a joined 3 cooperative led by 
            c quit
                + c has nothing
                + c is to get nothing
                + c is gone
                + g epoch 4
                + a has nothing
                + a is to get nothing
                + a is gone
                + b has nothing
                + b is to get nothing
                + b is gone
                + no target
                + g is gone
                + g generation 3 cooperative led by nobody: a(t/23) b()
                c: c in -1
            a beat
                a: RebalanceInProgress
        "#]],
    );
}

#[test]
fn whoever_waits_when_the_group_moves_has_joined_and_what_a_member_has_stays_its_own() {
    check(
        "topic t 4
         a join
         b join
         a join
         a sync a=t/01 b=t/12
         d join
         x join handshake
         a join
         c show
         a sync
         d sync
         b beat
         x join
         b join
         b sync
         a beat
         a beat generation:1
         wait 10000",
        expect![[r#"
            topic t 4
            a join
                a: a joined 1 range led by a of a
            b join
            a join
                a: a joined 2 range led by a of a b
                b: b joined 2 range led by a
            a sync a=t/01 b=t/12
                + g generation 2 range led by a: a(t/01) b(t/12)
                a: works on t/01
            d join
            x join handshake
                x: is x
            a join
            c show
                + g is gone
                + g epoch 2
                + a wants t, speaks range
                + a is to get t/01
                + a in 2 Stable has t/01
                + b wants t, speaks range
                + b is to get t/2
                + b in 2 Stable has t/2
                + target 2
                + c wants t
                + g epoch 3
                + c is to get t/3
                + target 3
                + c in 3 Stable has t/3
                + a in 3 Stable has t/01
                + d wants t, speaks range
                + g epoch 4
                + a is to get t/1
                + d is to get t/0
                + target 4
                + d in 4 Waiting has nothing
                a: a joined 3 range led by 
                d: d joined 4 range led by 
                c: c in 3: t/3
            a sync
                a: RebalanceInProgress
            d sync
                d: works on 
            b beat
                b: RebalanceInProgress
            x join
                + x wants t, speaks range
                + g epoch 5
                + target 5
                + x in 5 Stable has nothing
                x: x joined 5 range led by 
            b join
                + b in 5 Stable has t/2
                b: b joined 5 range led by 
            b sync
                b: works on t/2
            a beat
                a: RebalanceInProgress
            a beat generation:1
                a: IllegalGeneration
            wait 10000
                at 10000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 6
                + b has nothing
                + b is to get nothing
                + b is gone
                + g epoch 7
                + d has nothing
                + d is to get nothing
                + d is gone
                + g epoch 8
                + x has nothing
                + x is to get nothing
                + x is gone
                + g epoch 9
        "#]],
    );
}

#[test]
fn a_member_that_is_told_to_come_and_does_not_is_out_in_time() {
    check(
        "topic t 2
         a join patience:20000 session:30000
         a sync a=t/01
         c show
         a beat
         wait 15000
         a beat
         c show
         wait 5000
         c show
         a beat
         a join anew
         wait 20000
         a sync",
        expect![[r#"
            topic t 2
            a join patience:20000 session:30000
                a: a joined 1 range led by a of a
            a sync a=t/01
                + g generation 1 range led by a: a(t/01)
                a: works on t/01
            c show
                + g is gone
                + g epoch 1
                + a wants t, speaks range
                + a is to get t/01
                + a in 1 Stable has t/01
                + target 1
                + c wants t
                + g epoch 2
                + a is to get t/1
                + c is to get t/0
                + target 2
                + c in 2 Waiting has nothing
                c: c in 2: nothing, again in 100 ms
            a beat
                a: RebalanceInProgress
            wait 15000
            a beat
                a: RebalanceInProgress
            c show
                c: c in 2, again in 100 ms
            wait 5000
                at 20000
                + a has nothing
                + a is to get nothing
                + a is gone
                + g epoch 3
            c show
                + c is to get t/01
                + target 3
                + c in 3 Stable has t/01
                c: c in 3: t/01
            a beat
                a: UnknownMember
            a join anew
                + a' wants t, speaks range
                + g epoch 4
                + a' is to get t/0
                + c is to get t/1
                + target 4
                + a' in 4 Waiting has nothing
                a: a' joined 4 range led by 
            wait 20000
                at 40000
                + a' has nothing
                + a' is to get nothing
                + a' is gone
                + g epoch 5
            a sync
                a: UnknownMember
        "#]],
    );
}

#[test]
fn a_static_member_changes_its_protocol_with_its_next_start() {
    check(
        "topic t 2
         a join instance:one
         a sync a=t/01
         c show instance:one as:c
         a beat
         a join anew
         a sync
         c show
         list
         a join
         a sync a=t/01
         b show instance:two as:b
         b show
         a join anew instance:two
         a join anew instance:one",
        expect![[r#"
            topic t 2
            a join instance:one
                a: one joined 1 range led by one of one
            a sync a=t/01
                + g generation 1 range led by one: one(t/01)
                a: works on t/01
            c show instance:one as:c
                + g is gone
                + g epoch 1
                + one wants t, speaks range
                + one is to get t/01
                + one in 1 Stable has t/01
                + target 1
                + one has nothing
                + one is to get nothing
                + one is gone
                + c wants t
                + c is to get t/01
                + c in 0 Stable has t/01
                + g epoch 2
                + target 2
                + c in 2 Stable has t/01
                c: c in 2: t/01
            a beat
                a: FencedInstance
            a join anew
                + c has nothing
                + c is to get nothing
                + c is gone
                + one' wants t, speaks range
                + one' is to get t/01
                + one' in 0 Stable has t/01
                + one' in 2 Stable has t/01
                + one' has nothing
                + one' is to get nothing
                + one' is gone
                + no target
                + g is gone
                + g generation 2 range led by nobody: one'(t/01)
                a: one' joined 2 range led by 
            a sync
                a: RebalanceInProgress
            c show
                c: UnknownMember
            list
                g "consumer" PreparingRebalance classic
            a join
                a: one' joined 3 range led by one' of one'
            a sync a=t/01
                + g generation 3 range led by one': one'(t/01)
                a: works on t/01
            b show instance:two as:b
                + g is gone
                + g epoch 3
                + one' wants t, speaks range
                + one' is to get t/01
                + one' in 3 Stable has t/01
                + target 3
                + b wants t
                + g epoch 4
                + b is to get t/0
                + one' is to get t/1
                + target 4
                + b in 4 Waiting has nothing
                b: b in 4: nothing, again in 100 ms
            b show
                b: b in 4, again in 100 ms
            a join anew instance:two
                + b has nothing
                + b is to get nothing
                + b is gone
                + two wants t, speaks range
                + two is to get t/0
                + two in 0 Waiting has nothing
                + two in 4 Waiting has nothing
                + one' has nothing
                + one' is to get nothing
                + one' is gone
                + two has nothing
                + two is to get nothing
                + two is gone
                + no target
                + g is gone
                + g generation 4 range led by nobody: one'(t/01) two()
                a: two joined 4 range led by 
            a join anew instance:one
        "#]],
    );
}

#[test]
fn who_may_move_is_up_to_the_operator() {
    let script = "topic t 1
        a join
        a sync a=t/0
        c show
        a leave
        c show
        a join
        c quit
        list";
    check_with(
        with_policy(MigrationPolicy::Disabled),
        script,
        expect![[r#"
        topic t 1
        a join
            a: a joined 1 range led by a of a
        a sync a=t/0
            + g generation 1 range led by a: a(t/0)
            a: works on t/0
        c show
            c: NotConsumer
        a leave
            + g generation 2 none led by nobody:
            a: left
        c show
            + g is gone
            + c wants t
            + g epoch 1
            + c is to get t/0
            + target 1
            + c in 1 Stable has t/0
            c: c in 1: t/0
        a join
            + a wants t, speaks range
            + g epoch 2
            + target 2
            + a in 2 Stable has nothing
            a: a joined 2 range led by 
        c quit
            + c has nothing
            + c is to get nothing
            + c is gone
            + g epoch 3
            c: c in -1
        list
            g "consumer" Assigning consumer
    "#]],
    );
    check_with(
        with_policy(MigrationPolicy::Upgrade),
        script,
        expect![[r#"
        topic t 1
        a join
            a: a joined 1 range led by a of a
        a sync a=t/0
            + g generation 1 range led by a: a(t/0)
            a: works on t/0
        c show
            + g is gone
            + g epoch 1
            + a wants t, speaks range
            + a is to get t/0
            + a in 1 Stable has t/0
            + target 1
            + c wants t
            + g epoch 2
            + target 2
            + c in 2 Stable has nothing
            c: c in 2: nothing
        a leave
            + a has nothing
            + a is to get nothing
            + a is gone
            + g epoch 3
            a: left
        c show
            + c is to get t/0
            + target 3
            + c in 3 Stable has t/0
            c: c in 3: t/0
        a join
            + a wants t, speaks range
            + g epoch 4
            + target 4
            + a in 4 Stable has nothing
            a: a joined 4 range led by 
        c quit
            + c has nothing
            + c is to get nothing
            + c is gone
            + g epoch 5
            c: c in -1
        list
            g "consumer" Assigning consumer
    "#]],
    );
    check_with(
        with_policy(MigrationPolicy::Downgrade),
        script,
        expect![[r#"
        topic t 1
        a join
            a: a joined 1 range led by a of a
        a sync a=t/0
            + g generation 1 range led by a: a(t/0)
            a: works on t/0
        c show
            c: NotConsumer
        a leave
            + g generation 2 none led by nobody:
            a: left
        c show
            + g is gone
            + c wants t
            + g epoch 1
            + c is to get t/0
            + target 1
            + c in 1 Stable has t/0
            c: c in 1: t/0
        a join
            + a wants t, speaks range
            + g epoch 2
            + target 2
            + a in 2 Stable has nothing
            a: a joined 2 range led by 
        c quit
            + c has nothing
            + c is to get nothing
            + c is gone
            + g epoch 3
            + a has nothing
            + a is to get nothing
            + a is gone
            + no target
            + g is gone
            + g generation 2 range led by nobody: a()
            c: c in -1
        list
            g "consumer" PreparingRebalance classic
    "#]],
    );
}

fn with_policy(consumer_migration: MigrationPolicy) -> GroupConfig {
    GroupConfig { initial_rebalance_delay_ms: 0, consumer_migration, ..GroupConfig::default() }
}

#[test]
fn groups_that_cannot_move_stay_what_they_are() {
    check_with(
        GroupConfig { batch_size_max: 500, ..with_policy(MigrationPolicy::Bidirectional) },
        "topic t 1
         a join type:connect group:connectors
         a sync a=work
         c show group:connectors
         b join topics:? group:nonsense
         b sync b=work
         d show group:nonsense
         e join group:large protocols:range+roundrobin+sticky+cooperative
         e sync e=t/0
         f show group:large
         g show
         h join protocols:range
         i join protocols:sticky
         j join topics:?
         k join type:connect",
        expect![[r#"
            topic t 1
            a join type:connect group:connectors
                a: a joined 1 range led by a of a
            a sync a=work
                + connectors generation 1 range led by a: a(work)
                a: works on work
            c show group:connectors
                c: NotConsumer
            b join topics:? group:nonsense
                b: b joined 1 range led by b of b
            b sync b=work
                + nonsense generation 1 range led by b: b(work)
                b: works on work
            d show group:nonsense
                d: NotConsumer
            e join group:large protocols:range+roundrobin+sticky+cooperative
                e: e joined 1 range led by e of e
            e sync e=t/0
                + large generation 1 range led by e: e(t/0)
                e: works on t/0
            f show group:large
                f: TooLarge
            g show
                + g wants t
                + g epoch 1
                + g is to get t/0
                + target 1
                + g in 1 Stable has t/0
                g: g in 1: t/0
            h join protocols:range
                + h wants t, speaks range
                + g epoch 2
                + target 2
                + h in 2 Stable has nothing
                h: h joined 2 range led by 
            i join protocols:sticky
                i: InconsistentProtocol
            j join topics:?
                j: InconsistentProtocol
            k join type:connect
                k: InconsistentProtocol
        "#]],
    );
}

#[test]
fn what_a_cooperative_member_has_not_given_up_is_nobodys_when_its_group_moves() {
    check(
        "topic t 3
         a join protocols:cooperative
         a sync a=t/012
         b join protocols:cooperative
         a join has:t/012
         a sync a=t/0 b=
         b sync
         c show
         b beat
         b join
         b sync
         restart
         a beat
         a join has:t/0
         a sync
         b beat
         b join
         b sync
         c show",
        expect![[r#"
            topic t 3
            a join protocols:cooperative
                a: a joined 1 cooperative led by a of a
            a sync a=t/012
                + g generation 1 cooperative led by a: a(t/012)
                a: works on t/012
            b join protocols:cooperative
            a join has:t/012
                a: a joined 2 cooperative led by a of a b
                b: b joined 2 cooperative led by a
            a sync a=t/0 b=
                + g generation 2 cooperative led by a: a(t/0) b()
                a: works on t/0
            b sync
                b: works on 
            c show
                + g is gone
                + g epoch 2
                + a wants t, speaks cooperative
                + a is to get t/0
                + a in 2 Revoking has t/0, gives up t/12
                + b wants t, speaks cooperative
                + b is to get nothing
                + b in 2 Stable has nothing
                + target 2
                + c wants t
                + g epoch 3
                + b is to get t/1
                + c is to get t/2
                + target 3
                + c in 3 Waiting has nothing
                c: c in 3: nothing, again in 100 ms
            b beat
                b: RebalanceInProgress
            b join
                + b in 3 Waiting has nothing
                b: b joined 3 cooperative led by 
            b sync
                b: works on 
            restart
            a beat
                a: RebalanceInProgress
            a join has:t/0
                + a wants t, speaks cooperative
                + a in 3 Stable has t/0
                a: a joined 3 cooperative led by 
            a sync
                a: works on t/0
            b beat
                b: RebalanceInProgress
            b join
                + b in 3 Stable has t/1
                b: b joined 3 cooperative led by 
            b sync
                b: works on t/1
            c show
                + c in 3 Stable has t/2
                c: c in 3: t/2
        "#]],
    );
}

#[test]
fn a_group_stays_classic_if_the_first_of_the_other_protocol_is_refused() {
    let config = GroupConfig { batch_size_max: 600, initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
    let mut rig = Rig::new(config);
    for number in 0..50 {
        rig.run(&format!("topic many-topics-{number} 1"));
    }
    rig.run("a join");
    rig.run("a sync a=t/0");
    rig.check();
    let stays = |rig: &mut Rig, line: &str, told: &str| {
        assert_eq!(rig.run(line), told);
        rig.check();
        assert_eq!(rig.run("list"), "g \"consumer\" Stable classic\n");
    };
    stays(&mut rig, &format!("c show topics:{}", "x".repeat(600)), "c: TooLarge\n");
    stays(&mut rig, "c show topics: regex:many.*", "c: InvalidRegex\n");
    stays(&mut rig, "wait 9999", "");
    stays(&mut rig, "a beat", "a: ok\n");
    assert_eq!(rig.run("causes"), "1 new-member\n");
    assert!(rig.run("c show topics:t").contains("a is to get"));
    rig.check();
    assert_eq!(rig.run("list"), "g \"consumer\" Reconciling consumer\n");
}
