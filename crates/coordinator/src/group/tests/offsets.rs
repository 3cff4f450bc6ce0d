//! Offsets are committed, by transactions too, fetched and forgotten.

use super::*;

#[test]
fn whoever_may_commit_is_told_apart_from_whoever_may_not() {
    check(
        "nobody commit t/0=5 metadata:hello
         nobody commit group:h t/0=1
         nobody commit generation:1 group:i t/0=1
         a join
         a commit t/0=6
         nobody commit group:g t/0=7
         a sync a=1
         a commit t/0=8 t/1=9
         a commit t/0=9 generation:0
         b commit t/0=9 generation:1
         nobody commit t/0=9
         b join
         a commit t/0=10
         fetch g t/0 t/1 t/2 u/0
         fetch g all
         fetch i t/0
         fetch i all
         list",
        expect![[r#"
            nobody commit t/0=5 metadata:hello
                + g t/0=5 "hello"
                nobody: t/0 ok
            nobody commit group:h t/0=1
                + h t/0=1
                nobody: t/0 ok
            nobody commit generation:1 group:i t/0=1
                nobody: UnknownGroup
            a join
                a: a joined 1 range led by a of a
            a commit t/0=6
                a: RebalanceInProgress
            nobody commit group:g t/0=7
                nobody: UnknownMember
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            a commit t/0=8 t/1=9
                + g t/0=8
                + g t/1=9
                a: t/0 ok, t/1 ok
            a commit t/0=9 generation:0
                a: IllegalGeneration
            b commit t/0=9 generation:1
                b: UnknownMember
            nobody commit t/0=9
                nobody: UnknownMember
            b join
            a commit t/0=10
                + g t/0=10
                a: t/0 ok
            fetch g t/0 t/1 t/2 u/0
                t/0 10, t/1 9, t/2 none, u/0 none
            fetch g all
                t/0 10, t/1 9
            fetch i t/0
                t/0 none
            fetch i all
                nothing
            list
                g "consumer" PreparingRebalance classic
                h "" Empty classic
        "#]],
    );
}

#[test]
fn offsets_that_cannot_be_kept_are_refused_one_by_one() {
    let config = GroupConfig { offset_metadata_size_max: 4, ..GroupConfig::default() };
    check_with(
        config,
        "nobody commit t/0=-1 t/1=1
         nobody commit t/0=1 metadata:äöüß
         nobody commit t/0=1 metadata:abcde
         nobody commit group:h t/0=1 metadata:abcde
         nobody commit t/2=1 retention:5
         list",
        expect![[r#"
            nobody commit t/0=-1 t/1=1
                + g t/1=1
                nobody: t/0 NegativeOffset, t/1 ok
            nobody commit t/0=1 metadata:äöüß
                + g t/0=1 "äöüß"
                nobody: t/0 ok
            nobody commit t/0=1 metadata:abcde
                nobody: t/0 MetadataTooLarge
            nobody commit group:h t/0=1 metadata:abcde
                nobody: t/0 MetadataTooLarge
            nobody commit t/2=1 retention:5
                + h t/2=1 until 5
                nobody: t/2 ok
            list
                g "" Empty classic
                h "" Empty classic
        "#]],
    );
}

#[test]
fn offsets_of_a_transaction_count_when_it_is_committed() {
    check(
        "topic t 3
         nobody txn producer:7 t/0=5 t/1=5
         fetch g t/0 t/1
         fetch g stable t/0 t/2
         nobody commit t/1=9
         nobody txn producer:8 t/2=1
         end 7 commit
         fetch g stable t/0 t/1 t/2
         fetch g stable all
         end 8 abort
         fetch g stable all
         nobody txn producer:8 group:h t/0=1
         list
         restart
         list
         fetch h stable t/0
         end 8 abort
         list",
        expect![[r#"
            topic t 3
            nobody txn producer:7 t/0=5 t/1=5
                + g t/0=5 if 7 commits
                + g t/1=5 if 7 commits
                nobody: t/0 ok, t/1 ok
            fetch g t/0 t/1
                t/0 none, t/1 none
            fetch g stable t/0 t/2
                t/0 UnstableOffset, t/2 none
            nobody commit t/1=9
                + g t/1=9
                nobody: t/1 ok
            nobody txn producer:8 t/2=1
                + g t/2=1 if 8 commits
                nobody: t/2 ok
            end 7 commit
            fetch g stable t/0 t/1 t/2
                t/0 5, t/1 9, t/2 UnstableOffset
            fetch g stable all
                t/0 5, t/1 9
            end 8 abort
            fetch g stable all
                t/0 5, t/1 9
            nobody txn producer:8 group:h t/0=1
                + h t/0=1 if 8 commits
                nobody: t/0 ok
            list
                g "" Empty classic
                h "" Empty classic
            restart
            list
                g "" Empty classic
                h "" Empty classic
            fetch h stable t/0
                t/0 UnstableOffset
            end 8 abort
            list
                g "" Empty classic
        "#]],
    );
}

#[test]
fn a_transaction_speaks_for_a_member_or_for_nobody() {
    check(
        "a txn generation:1 t/0=1
         a join
         a txn t/0=2
         a sync a=1
         a txn t/0=3 generation:0
         b txn t/0=4 generation:1
         nobody txn t/0=5
         c txn group: t/0=6
         end 7 commit
         fetch g t/0",
        expect![[r#"
            a txn generation:1 t/0=1
                a: IllegalGeneration
            a join
                a: a joined 1 range led by a of a
            a txn t/0=2
                + g t/0=2 if 7 commits
                a: t/0 ok
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            a txn t/0=3 generation:0
                a: IllegalGeneration
            b txn t/0=4 generation:1
                b: UnknownMember
            nobody txn t/0=5
                + g t/0=5 if 7 commits
                nobody: t/0 ok
            c txn group: t/0=6
                c: InvalidId
            end 7 commit
            fetch g t/0
                t/0 5
        "#]],
    );
}

#[test]
fn offsets_are_deleted_where_nobody_needs_them() {
    check(
        "a join topics:t,u
         a sync a=1
         a commit t/0=1 u/0=1 v/0=1
         a txn v/1=1
         forget g t/0 v/0 v/1 v/2 u/0
         end 7 commit
         fetch g all
         forget h t/0
         delete g
         delete h
         describe h
         a leave
         a commit t/1=1
         nobody txn t/2=3 t/1=5
         delete g
         list
         end 7 commit
         list
         c join type:connect group:i
         c sync
         forget i t/0
         delete i",
        expect![[r#"
            a join topics:t,u
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            a commit t/0=1 u/0=1 v/0=1
                + g t/0=1
                + g u/0=1
                + g v/0=1
                a: t/0 ok, u/0 ok, v/0 ok
            a txn v/1=1
                + g v/1=1 if 7 commits
                a: v/1 ok
            forget g t/0 v/0 v/1 v/2 u/0
                + g v/0 forgotten
                + g v/1 forgotten
                t/0 Subscribed, v/0 ok, v/1 ok, v/2 ok, u/0 Subscribed
            end 7 commit
            fetch g all
                t/0 1, u/0 1
            forget h t/0
                UnknownGroup
            delete g
                NotEmpty
            delete h
                UnknownGroup
            describe h
                UnknownGroup
            a leave
                + g generation 2 none led by nobody:
                a: left
            a commit t/1=1
                a: UnknownMember
            nobody txn t/2=3 t/1=5
                + g t/2=3 if 7 commits
                + g t/1=5 if 7 commits
                nobody: t/2 ok, t/1 ok
            delete g
                + g t/0 forgotten
                + g t/1 forgotten
                + g t/2 forgotten
                + g u/0 forgotten
                + g is gone
                ok
            list
                no groups
            end 7 commit
            list
                no groups
            c join type:connect group:i
                c: c joined 1 range led by c of c
            c sync
                + i generation 1 range led by c: c()
                c: works on 
            forget i t/0
                NotEmpty
            delete i
                NotEmpty
        "#]],
    );
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    check(
        "nobody commit t/0=1 t/1=1 u/0=1
         nobody commit t./1=2
         nobody txn t/2=2 group:h
         nobody commit t/0=1 group:i
         drop-topic t
         fetch g all
         list
         end 7 commit
         list",
        expect![[r#"
            nobody commit t/0=1 t/1=1 u/0=1
                + g t/0=1
                + g t/1=1
                + g u/0=1
                nobody: t/0 ok, t/1 ok, u/0 ok
            nobody commit t./1=2
                + g t/1=2
                nobody: t/1 ok
            nobody txn t/2=2 group:h
                + h t/2=2 if 7 commits
                nobody: t/2 ok
            nobody commit t/0=1 group:i
                + i t/0=1
                nobody: t/0 ok
            drop-topic t
                + g t/0 forgotten
                + h t/2 forgotten
                + i t/0 forgotten
            fetch g all
                t/1 2, u/0 1
            list
                g "" Empty classic
            end 7 commit
            list
                g "" Empty classic
        "#]],
    );
}

#[test]
fn a_topic_that_was_deleted_while_nobody_served_the_shard_takes_its_offsets_along() {
    check(
        "topic t 2
         topic t. 2
         topic u 1
         nobody commit t/0=1 u/0=1
         nobody commit t./1=2
         nobody txn t/1=2 group:h
         drop-topic t unheard
         fetch g all
         end 7 commit
         list",
        expect![[r#"
            topic t 2
            topic t. 2
            topic u 1
            nobody commit t/0=1 u/0=1
                + g t/0=1
                + g u/0=1
                nobody: t/0 ok, u/0 ok
            nobody commit t./1=2
                + g t/1=2
                nobody: t/1 ok
            nobody txn t/1=2 group:h
                + h t/1=2 if 7 commits
                nobody: t/1 ok
            drop-topic t unheard
                + g t/0 forgotten
                + h t/1 forgotten
            fetch g all
                t/1 2, u/0 1
            end 7 commit
            list
                g "" Empty classic
        "#]],
    );
}

/// A minute, looked at every ten seconds.
fn with_short_retention(script: &str, expected: Expect) {
    let config = GroupConfig {
        initial_rebalance_delay_ms: 0,
        offsets_retention_ms: 60_000,
        offsets_check_interval_ms: 10_000,
        ..GroupConfig::default()
    };
    check_with(config, script, expected);
}

#[test]
fn offsets_that_nobody_uses_are_forgotten_and_then_the_group() {
    with_short_retention(
        "nobody commit t/0=1 t/1=1
         wait 30000
         nobody commit t/1=2
         nobody commit t/2=2 retention:5000
         nobody commit t/3=2 retention:100000
         wait 90000
         list
         wait 20000
         list",
        expect![[r#"
            nobody commit t/0=1 t/1=1
                + g t/0=1
                + g t/1=1
                nobody: t/0 ok, t/1 ok
            wait 30000
            nobody commit t/1=2
                + g t/1=2
                nobody: t/1 ok
            nobody commit t/2=2 retention:5000
                + g t/2=2 until 35000
                nobody: t/2 ok
            nobody commit t/3=2 retention:100000
                + g t/3=2 until 130000
                nobody: t/3 ok
            wait 90000
                at 40000
                + g t/2 forgotten
                at 60000
                + g t/0 forgotten
                at 90000
                + g t/1 forgotten
            list
                g "" Empty classic
            wait 20000
                at 130000
                + g t/3 forgotten
            list
                no groups
        "#]],
    );
}

#[test]
fn offsets_of_a_group_are_unused_since_it_is_empty() {
    with_short_retention(
        "topic t 2
         topic u 1
         a join session:1000000
         a sync a=1
         a commit t/0=1 u/0=1
         wait 70000
         a commit t/1=1
         a leave
         wait 50000
         restart
         wait 9999
         fetch g all
         wait 10001
         list",
        expect![[r#"
            topic t 2
            topic u 1
            a join session:1000000
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            a commit t/0=1 u/0=1
                + g t/0=1
                + g u/0=1
                a: t/0 ok, u/0 ok
            wait 70000
                at 60000
                + g u/0 forgotten
            a commit t/1=1
                + g t/1=1
                a: t/1 ok
            a leave
                + g generation 2 none led by nobody:
                a: left
            wait 50000
            restart
            wait 9999
            fetch g all
                t/0 1, t/1 1
            wait 10001
                at 130000
                + g t/0 forgotten
                + g t/1 forgotten
                + g is gone
            list
                no groups
        "#]],
    );
}

#[test]
fn offsets_of_topics_that_members_read_are_kept() {
    with_short_retention(
        "a join session:1000000 topics:t
         a sync a=1
         a commit t/0=1 u/0=1
         b join session:1000000 topics:? group:garbage
         b sync b=1
         b commit u/0=1
         c join session:1000000 type:connect group:other
         c sync c=1
         c commit u/0=1
         nobody txn t/0=1 group:open
         nobody commit t/0=1 group:open
         wait 200000
         list
         end 7 abort
         wait 10000
         list",
        expect![[r#"
            a join session:1000000 topics:t
                a: a joined 1 range led by a of a
            a sync a=1
                + g generation 1 range led by a: a(1)
                a: works on 1
            a commit t/0=1 u/0=1
                + g t/0=1
                + g u/0=1
                a: t/0 ok, u/0 ok
            b join session:1000000 topics:? group:garbage
                b: b joined 1 range led by b of b
            b sync b=1
                + garbage generation 1 range led by b: b(1)
                b: works on 1
            b commit u/0=1
                + garbage u/0=1
                b: u/0 ok
            c join session:1000000 type:connect group:other
                c: c joined 1 range led by c of c
            c sync c=1
                + other generation 1 range led by c: c(1)
                c: works on 1
            c commit u/0=1
                + other u/0=1
                c: u/0 ok
            nobody txn t/0=1 group:open
                + open t/0=1 if 7 commits
                nobody: t/0 ok
            nobody commit t/0=1 group:open
                + open t/0=1
                nobody: t/0 ok
            wait 200000
                at 60000
                + g u/0 forgotten
            list
                g "consumer" Stable classic
                garbage "consumer" Stable classic
                open "" Empty classic
                other "connect" Stable classic
            end 7 abort
            wait 10000
                at 210000
                + open t/0 forgotten
            list
                g "consumer" Stable classic
                garbage "consumer" Stable classic
                other "connect" Stable classic
        "#]],
    );
}

#[test]
fn a_clock_that_jumps_ahead_costs_no_offsets() {
    with_short_retention(
        "nobody commit t/0=1
         clock 10000000
         wait 59999
         list
         wait 1
         list",
        expect![[r#"
            nobody commit t/0=1
                + g t/0=1
                nobody: t/0 ok
            clock 10000000
            wait 59999
            list
                g "" Empty classic
            wait 1
                at 10060000
                + g t/0 forgotten
            list
                no groups
        "#]],
    );
}

#[test]
fn much_is_appended_in_several_batches() {
    let config = GroupConfig { batch_size_max: 500, ..GroupConfig::default() };
    let places: String = (0..8).map(|index| format!(" t/{index}=1")).collect();
    check_with(
        config,
        &format!(
            "nobody commit{places}
             delete g
             nobody commit t/0=1 metadata:{}",
            "m".repeat(500)
        ),
        expect![[r#"
            nobody commit t/0=1 t/1=1 t/2=1 t/3=1 t/4=1 t/5=1 t/6=1 t/7=1
                + g t/0=1
                + g t/1=1
                + g t/2=1
                + g t/3=1
                + g t/4=1
                + g t/5=1
                + g t/6=1
                + g t/7=1
                nobody: t/0 ok, t/1 ok, t/2 ok, t/3 ok, t/4 ok, t/5 ok, t/6 ok, t/7 ok
            delete g
                + g t/0 forgotten
                + g t/1 forgotten
                + g t/2 forgotten
                + g t/3 forgotten
                + g t/4 forgotten
                + g t/5 forgotten
                + g t/6 forgotten
                + g t/7 forgotten
                ok
            nobody commit t/0=1 metadata:mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm
                nobody: t/0 TooLarge
        "#]],
    );
}
