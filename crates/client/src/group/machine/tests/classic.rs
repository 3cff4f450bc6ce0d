use expect_test::expect;

use super::super::super::GroupProtocol;
use super::*;
use crate::OutOfRange;

/// Eager; commits by itself only when something is given up.
fn eager() -> Config {
    Config {
        protocol: GroupProtocol::Classic,
        assignors: vec![Assignor::Range],
        heartbeat_interval_ms: 300,
        poll_interval_max_ms: 5_000,
        auto_commit_interval_ms: Some(100_000),
        uncommitted: OutOfRange::Earliest,
        ..Config::new("g")
    }
}

fn cooperative() -> Config {
    Config { assignors: vec![Assignor::CooperativeSticky], ..eager() }
}

fn by_hand(config: Config) -> Config {
    Config { auto_commit_interval_ms: None, ..config }
}

/// A member that has t-0 from offset 7 on, and t-1 from 0 on. The next question has number 4.
fn settled(assignor: &str) -> String {
    format!(
        "0 subscribe t\n 1 found #0 1\n 2 joined #1 1 {assignor} m\n 3 synced #2 t-0 t-1\n 4 placed #3 t-0:7 t-1:0\n 5 take\n"
    )
}

/// What happens to a member like that, without how it became one.
fn check_settled(config: Config, script: &str, expected: &Expect) {
    let assignor = config.assignors[0].name();
    let mut world = World::new(config);
    world.run(&settled(assignor));
    world.log.clear();
    world.run(script);
    expected.assert_eq(&world.log);
}

#[test]
fn a_member_joins_and_starts_where_the_group_has_committed() {
    let script = "0 subscribe t\n 1 found #0 1\n 2 refused #1 MEMBER_ID_REQUIRED m\n 3 joined #2 1 range m\n 4 synced #3 t-0 t-1\n
        5 placed #4 t-0:7\n 6 take\n 7 fetched #1 t-0 7+2\n 8 take\n 9 take\n 304 beaten #5\n 700 tick";
    check(
        eager(),
        script,
        &expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: join as "", range of {"t"}
        2 refused #1 MEMBER_ID_REQUIRED m
            #2 at 1: join as "m", range of {"t"}
        3 joined #2 1 range m
            #3 at 1: sync as m in 1 []
        4 synced #3 t-0 t-1
            #4 at 1: what is committed: t-0 t-1
        5 placed #4 t-0:7
            locate t-1 at -2
            fetch #1: t-0 from 7
        6 take
            assigned t-0 t-1
        7 fetched #1 t-0 7+2
            fetch #2: t-0 from 9
        8 take
            t-0: 7 8
        9 take
            nothing
          303
            #5 at 1: heartbeat of m in 1
        304 beaten #5
          603
            #6 at 1: heartbeat of m in 1
        700 tick
    "#]],
    );
}

#[test]
fn a_partition_without_a_committed_offset_begins_where_the_settings_say_or_where_the_application_sought() {
    for (uncommitted, expected) in [
        (
            OutOfRange::Latest,
            expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: join as "", range of {"t"}
        2 joined #1 1 range m
            #2 at 1: sync as m in 1 []
        3 synced #2 t-0 t-1
            #3 at 1: what is committed: t-0 t-1
        4 take
            assigned t-0 t-1
        5 seek t-1 40
            fetch #0: t-1 from 40
        6 placed #3
            locate t-0 at -1
        7 take
            nothing
        8 take
            nothing
    "#]],
        ),
        (
            OutOfRange::Fail,
            expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: join as "", range of {"t"}
        2 joined #1 1 range m
            #2 at 1: sync as m in 1 []
        3 synced #2 t-0 t-1
            #3 at 1: what is committed: t-0 t-1
        4 take
            assigned t-0 t-1
        5 seek t-1 40
            fetch #0: t-1 from 40
        6 placed #3
        7 take
            error: t-0: the group has committed no offset for it
        8 take
            nothing
    "#]],
        ),
    ] {
        let script = "0 subscribe t\n 1 found #0 1\n 2 joined #1 1 range m\n 3 synced #2 t-0 t-1\n 4 take\n 5 seek t-1 40\n
            6 placed #3\n 7 take\n 8 take";
        check(Config { uncommitted, ..eager() }, script, &expected);
    }
}

#[test]
fn who_leads_gives_out_what_all_want_and_shares_anew_when_topics_grow() {
    let script = "0 subscribe t\n 1 found #0 1\n 2 joined #1 1 range m m:t n:v o:none\n 3 topics t:2 u:1 v:1 none:0\n 4 synced #2 t-0 t-1\n
        5 topics t:2 u:9 v:1 none:0\n 6 topics t:3 u:9 v:1 none:0\n 7 take\n 8 take\n 9 acknowledge 1";
    check(
        eager(),
        script,
        &expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: join as "", range of {"t"}
        2 joined #1 1 range m m:t n:v o:none
            want {"none", "t", "v"}
        3 topics t:2 u:1 v:1 none:0
            #2 at 1: sync as m in 1 [m: t-0 t-1, n: v-0, o: ]
        4 synced #2 t-0 t-1
            #3 at 1: what is committed: t-0 t-1
        5 topics t:2 u:9 v:1 none:0
        6 topics t:3 u:9 v:1 none:0
        7 take
            assigned t-0 t-1
        8 take
            revoked t-0 t-1 by 1
        9 acknowledge 1
            #4 at 1: join as "m", range of {"t"} with [] in 1: topics or partitions came or went
    "#]],
    );
}

#[test]
fn who_leads_does_not_wait_for_ever_to_hear_of_a_topic() {
    let script = "0 subscribe t\n 1 found #0 1\n 2 joined #1 1 range m m:t n:nowhere\n 4000 tick\n 5002 tick";
    check(
        Config { poll_interval_max_ms: 100_000, ..eager() },
        script,
        &expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: join as "", range of {"t"}
        2 joined #1 1 range m m:t n:nowhere
            want {"nowhere", "t"}
          302
            #2 at 1: heartbeat of m in 1
        4000 tick
        5002 tick
            #3 at 1: sync as m in 1 [m: t-0 t-1, n: ]
    "#]],
    );
}

#[test]
fn an_eager_member_gives_up_everything_before_it_joins_again() {
    let script = "6 fetched #0 t-0 7+2 9+1\n 7 take\n 304 refused #4 REBALANCE_IN_PROGRESS\n 305 take\n 306 take\n 
        603 beaten #5\n 700 acknowledge 1\n 701 committed #6\n 702 joined #7 2 range m\n 703 synced #8 t-1\n 704 placed #9 t-1:0\n 705 take";
    check_settled(
        eager(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2 9+1
            fetch #1: t-0 from 10
        7 take
            t-0: 7 8
          302
            #4 at 1: heartbeat of m in 1
        304 refused #4 REBALANCE_IN_PROGRESS
        305 take
            revoked t-0 t-1 by 1
        306 take
            nothing
          602
            #5 at 1: heartbeat of m in 1
        603 beaten #5
        700 acknowledge 1
            #6 at 1: commit in 1: t-0@9 after epoch 3
        701 committed #6
            #7 at 1: join as "m", range of {"t"} with [] in 1: the group's partitions are shared anew
        702 joined #7 2 range m
            #8 at 1: sync as m in 2 []
        703 synced #8 t-1
            #9 at 1: what is committed: t-1
        704 placed #9 t-1:0
        705 take
            assigned t-1
    "#]],
    );
}

#[test]
fn what_the_application_commits_itself_is_not_overwritten() {
    let script = "6 commit 1 t-0:40\n 7 committed #4\n 304 refused #5 REBALANCE_IN_PROGRESS\n 305 take\n 306 acknowledge 1";
    check_settled(
        eager(),
        script,
        &expect![[r#"
        6 commit 1 t-0:40
            #4 at 1: commit in 1: t-0@40
        7 committed #4
            commit 1 is done
          302
            #5 at 1: heartbeat of m in 1
        304 refused #5 REBALANCE_IN_PROGRESS
        305 take
            revoked t-0 t-1 by 1
        306 acknowledge 1
            #6 at 1: join as "m", range of {"t"} with [] in 1: the group's partitions are shared anew
    "#]],
    );
}

#[test]
fn a_cooperative_member_gives_up_what_moves_when_it_knows() {
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 304 refused #4 REBALANCE_IN_PROGRESS\n 305 joined #5 2 cooperative-sticky m\n
        306 synced #6 t-1\n 307 take\n 308 fetched #1 t-1 0+1\n 309 take\n 310 acknowledge 1\n 311 committed #7\n
        312 joined #8 3 cooperative-sticky m\n 313 synced #9 t-1\n 314 take";
    check_settled(
        cooperative(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
          302
            #4 at 1: heartbeat of m in 1
        304 refused #4 REBALANCE_IN_PROGRESS
            #5 at 1: join as "m", cooperative-sticky of {"t"} with [t-0 t-1] in 1: the group's partitions are shared anew
        305 joined #5 2 cooperative-sticky m
            #6 at 1: sync as m in 2 []
        306 synced #6 t-1
        307 take
            revoked t-0 by 1
        308 fetched #1 t-1 0+1
            fetch #2: t-1 from 0
        309 take
            nothing
        310 acknowledge 1
            #7 at 1: commit in 2: t-0@9 after epoch 3
        311 committed #7
            #8 at 1: join as "m", cooperative-sticky of {"t"} with [t-1] in 2: partitions were given up
        312 joined #8 3 cooperative-sticky m
            #9 at 1: sync as m in 3 []
        313 synced #9 t-1
        314 take
            nothing
    "#]],
    );
}

#[test]
fn what_a_member_wants_can_change() {
    let script =
        "6 subscribe t u\n 7 take\n 8 acknowledge 1\n 9 joined #4 2 range m\n 10 synced #5 t-0 t-1 u-0";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 subscribe t u
            want {"t", "u"}
        7 take
            revoked t-0 t-1 by 1
        8 acknowledge 1
            #4 at 1: join as "m", range of {"t", "u"} with [] in 1: it wants other topics
        9 joined #4 2 range m
            #5 at 1: sync as m in 2 []
        10 synced #5 t-0 t-1 u-0
            #6 at 1: what is committed: t-0 t-1 u-0
    "#]],
    );
    let script = "6 subscribe u\n 7 take\n 8 acknowledge 1";
    check_settled(
        by_hand(cooperative()),
        script,
        &expect![[r#"
        6 subscribe u
            want {"u"}
        7 take
            revoked t-0 t-1 by 1
        8 acknowledge 1
            #4 at 1: join as "m", cooperative-sticky of {"u"} with [] in 1: it wants other topics
    "#]],
    );
}

/// What a coordinator may answer to each question, and what comes of it: the first lines behind the answer.
#[test]
fn whatever_the_coordinator_answers_is_dealt_with() {
    let mut told = String::new();
    let joining = "0 subscribe t\n 1 found #0 1";
    let syncing = format!("{joining}\n 2 joined #1 1 range m");
    for (before, call, codes) in [
        ("0 subscribe t", "#0", &["COORDINATOR_NOT_AVAILABLE", "GROUP_AUTHORIZATION_FAILED"][..]),
        (
            joining,
            "#1",
            &[
                "COORDINATOR_LOAD_IN_PROGRESS",
                "NOT_COORDINATOR",
                "UNKNOWN_MEMBER_ID",
                "REBALANCE_IN_PROGRESS",
                "INCONSISTENT_GROUP_PROTOCOL",
                "FENCED_INSTANCE_ID",
                "GROUP_MAX_SIZE_REACHED",
            ],
        ),
        (
            &syncing,
            "#2",
            &[
                "REBALANCE_IN_PROGRESS",
                "UNKNOWN_MEMBER_ID",
                "ILLEGAL_GENERATION",
                "NOT_COORDINATOR",
                "FENCED_INSTANCE_ID",
            ],
        ),
        (
            &format!("{}\n 303 tick", settled("range")),
            "#4",
            &[
                "REBALANCE_IN_PROGRESS",
                "UNKNOWN_MEMBER_ID",
                "ILLEGAL_GENERATION",
                "NOT_COORDINATOR",
                "COORDINATOR_LOAD_IN_PROGRESS",
                "FENCED_INSTANCE_ID",
                "GROUP_AUTHORIZATION_FAILED",
            ],
        ),
        (&syncing.replace("2 joined", "2 tick\n 2 joined"), "#2", &["COORDINATOR_NOT_AVAILABLE"]),
    ] {
        for code in codes {
            let mut world = World::new(eager());
            world.run(before);
            let asked = super::told(&world.asked[&number(call)]);
            world.log.clear();
            world.run(&format!("400 refused {call} {code}\n 401 take\n 525 tick"));
            writeln!(told, "{}: {code}", asked.split(',').next().expect("a word")).expect("writes");
            let lines =
                world.log.lines().filter(|line| line.starts_with(' ')).map(|line| format!("{line}\n"));
            told.extend(lines);
        }
    }
    expect![[r#"
        find the coordinator: COORDINATOR_NOT_AVAILABLE
            nothing
          509
            #1 find the coordinator
        find the coordinator: GROUP_AUTHORIZATION_FAILED
            error: the coordinator answered GROUP_AUTHORIZATION_FAILED
        join as "": COORDINATOR_LOAD_IN_PROGRESS
            nothing
          509
            #2 at 1: join as "", range of {"t"}
        join as "": NOT_COORDINATOR
            refresh
            nothing
          509
            #2 find the coordinator
        join as "": UNKNOWN_MEMBER_ID
            #2 at 1: join as "", range of {"t"}: the group went on without it
            nothing
        join as "": REBALANCE_IN_PROGRESS
            #2 at 1: join as "", range of {"t"}
            nothing
        join as "": INCONSISTENT_GROUP_PROTOCOL
            error: the coordinator answered INCONSISTENT_GROUP_PROTOCOL
        join as "": FENCED_INSTANCE_ID
            error: another member has taken the place of ""
        join as "": GROUP_MAX_SIZE_REACHED
            error: the coordinator answered GROUP_MAX_SIZE_REACHED
        sync as m in 1 []: REBALANCE_IN_PROGRESS
          302
            #3 at 1: heartbeat of m in 1
            #4 at 1: join as "m", range of {"t"} with [] in 1
            nothing
        sync as m in 1 []: UNKNOWN_MEMBER_ID
          302
            #3 at 1: heartbeat of m in 1
            #4 at 1: join as "", range of {"t"}: the group went on without it
            nothing
        sync as m in 1 []: ILLEGAL_GENERATION
          302
            #3 at 1: heartbeat of m in 1
            #4 at 1: join as "m", range of {"t"}: the group went on without it
            nothing
        sync as m in 1 []: NOT_COORDINATOR
          302
            #3 at 1: heartbeat of m in 1
            refresh
            nothing
          509
            #4 find the coordinator
        sync as m in 1 []: FENCED_INSTANCE_ID
          302
            #3 at 1: heartbeat of m in 1
            error: another member has taken the place of ""
        heartbeat of m in 1: REBALANCE_IN_PROGRESS
            revoked t-0 t-1 by 1
        heartbeat of m in 1: UNKNOWN_MEMBER_ID
            #5 at 1: join as "", range of {"t"}: the group went on without it
            lost t-0 t-1
        heartbeat of m in 1: ILLEGAL_GENERATION
            #5 at 1: join as "m", range of {"t"}: the group went on without it
            lost t-0 t-1
        heartbeat of m in 1: NOT_COORDINATOR
            refresh
            nothing
          509
            #5 find the coordinator
        heartbeat of m in 1: COORDINATOR_LOAD_IN_PROGRESS
            nothing
        heartbeat of m in 1: FENCED_INSTANCE_ID
            lost t-0 t-1
        heartbeat of m in 1: GROUP_AUTHORIZATION_FAILED
            lost t-0 t-1
        sync as m in 1 []: COORDINATOR_NOT_AVAILABLE
          302
            #3 at 1: heartbeat of m in 1
            refresh
            nothing
          509
            #4 find the coordinator
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_coordinator_that_is_gone_is_looked_for_and_nothing_is_lost() {
    let script = "6 commit 1\n 7 broken #4\n 200 found #5 2\n 201 committed #6\n 304 broken #7\n 500 found #8 1\n 501 beaten #9";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 commit 1
            #4 at 1: commit in 1: t-0@7 t-1@0
        7 broken #4
            refresh
          116
            #5 find the coordinator
        200 found #5 2
            #6 at 2: commit in 1: t-0@7 t-1@0
        201 committed #6
            commit 1 is done
          302
            #7 at 2: heartbeat of m in 1
        304 broken #7
            refresh
          422
            #8 find the coordinator
        500 found #8 1
            #9 at 1: heartbeat of m in 1
        501 beaten #9
    "#]],
    );
}

#[test]
fn a_coordinator_that_stays_away_is_told_of_once() {
    let mut world = World::new(by_hand(eager()));
    world.run(&settled("range"));
    for moment in 1..100 {
        let call = *world.asked.keys().last().expect("something was asked");
        world.run(&format!("{} take\n{} broken {call}", moment * 200, moment * 200 + 150));
    }
    assert_eq!(world.log.matches("note: no broker coordinates the group").count(), 1, "{}", world.log);
}

#[test]
fn commits_go_one_after_the_other_and_those_that_wait_go_together() {
    let script = "6 commit 1 t-0:8\n 7 commit 2 t-0:9\n 8 commit 3 t-0:10 t-1:1\n 9 committed #4\n
        10 committed #5 t-1:OFFSET_METADATA_TOO_LARGE\n 11 commit 4\n 12 refused #6 COORDINATOR_LOAD_IN_PROGRESS\n 130 committed #7\n
        140 commit 5 x-0:1\n 141 refused #8 UNKNOWN_TOPIC_OR_PARTITION\n 262 refused #9 UNKNOWN_TOPIC_OR_PARTITION\n 1141 tick";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 commit 1 t-0:8
            #4 at 1: commit in 1: t-0@8
        7 commit 2 t-0:9
        8 commit 3 t-0:10 t-1:1
        9 committed #4
            commit 1 is done
            #5 at 1: commit in 1: t-0@10 t-1@1
        10 committed #5 t-1:OFFSET_METADATA_TOO_LARGE
            commit 2 is done
            commit 3: t-1: the coordinator answered OFFSET_METADATA_TOO_LARGE
        11 commit 4
            #6 at 1: commit in 1: t-0@7 t-1@0
        12 refused #6 COORDINATOR_LOAD_IN_PROGRESS
          121
            #7 at 1: commit in 1: t-0@7 t-1@0
        130 committed #7
            commit 4 is done
        140 commit 5 x-0:1
            #8 at 1: commit in 1: x-0@1
        141 refused #8 UNKNOWN_TOPIC_OR_PARTITION
            refresh
          259
            #9 at 1: commit in 1: x-0@1
        262 refused #9 UNKNOWN_TOPIC_OR_PARTITION
            refresh
          302
            #10 at 1: heartbeat of m in 1
          359
            #11 at 1: commit in 1: x-0@1
        1141 tick
    "#]],
    );
}

#[test]
fn a_commit_that_comes_into_a_rebalance_waits_or_fails() {
    // Who is eager has nothing any more; who is cooperative commits what it has kept.
    let script =
        "6 commit 1\n 7 refused #4 REBALANCE_IN_PROGRESS\n 8 take\n 9 acknowledge 1\n 10 commit 2 t-0:8";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 commit 1
            #4 at 1: commit in 1: t-0@7 t-1@0
        7 refused #4 REBALANCE_IN_PROGRESS
            commit 1: the partitions are being shared anew
        8 take
            revoked t-0 t-1 by 1
        9 acknowledge 1
            #5 at 1: join as "m", range of {"t"} with [] in 1: a commit came into a rebalance
        10 commit 2 t-0:8
            commit 2: the partitions are being shared anew
    "#]],
    );
    let script = "6 commit 1 t-0:8\n 7 refused #4 REBALANCE_IN_PROGRESS\n 8 commit 2 t-1:1\n 9 joined #5 2 cooperative-sticky m\n
        10 synced #6 t-0\n 120 take\n 121 commit 3 t-1:2\n 122 acknowledge 1\n 123 committed #7\n 124 committed #8";
    check_settled(
        by_hand(cooperative()),
        script,
        &expect![[r#"
        6 commit 1 t-0:8
            #4 at 1: commit in 1: t-0@8
        7 refused #4 REBALANCE_IN_PROGRESS
            #5 at 1: join as "m", cooperative-sticky of {"t"} with [t-0 t-1] in 1: a commit came into a rebalance
        8 commit 2 t-1:1
        9 joined #5 2 cooperative-sticky m
            #6 at 1: sync as m in 2 []
        10 synced #6 t-0
          116
            #7 at 1: commit in 2: t-0@8 t-1@1
        120 take
            revoked t-1 by 1
        121 commit 3 t-1:2
        122 acknowledge 1
        123 committed #7
            commit 1 is done
            commit 2 is done
            #8 at 1: commit in 2: t-1@2
        124 committed #8
            commit 3 is done
            #9 at 1: join as "m", cooperative-sticky of {"t"} with [t-0] in 2: partitions were given up
    "#]],
    );
    for code in ["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID"] {
        let expected = match code {
            "UNKNOWN_MEMBER_ID" => expect![[r#"
                6 commit 1
                    #4 at 1: commit in 1: t-0@7 t-1@0
                7 refused #4 UNKNOWN_MEMBER_ID
                    commit 1: not a member of the group now
                    #5 at 1: join as "", range of {"t"}: the group went on without it
                8 commit 2
                    commit 2: not a member of the group now
                9 take
                    lost t-0 t-1
                10 take
                    nothing
            "#]],
            "ILLEGAL_GENERATION" => expect![[r#"
                6 commit 1
                    #4 at 1: commit in 1: t-0@7 t-1@0
                7 refused #4 ILLEGAL_GENERATION
                    commit 1: not a member of the group now
                    #5 at 1: join as "m", range of {"t"}: the group went on without it
                8 commit 2
                    commit 2: not a member of the group now
                9 take
                    lost t-0 t-1
                10 take
                    nothing
            "#]],
            _ => expect![[r#"
                6 commit 1
                    #4 at 1: commit in 1: t-0@7 t-1@0
                7 refused #4 FENCED_INSTANCE_ID
                    commit 1: another member has taken this one's place
                8 commit 2
                    commit 2: another member has taken this one's place
                9 take
                    lost t-0 t-1
                10 take
                    error: another member has taken the place of ""
            "#]],
        };
        let script = format!("6 commit 1\n 7 refused #4 {code}\n 8 commit 2\n 9 take\n 10 take");
        check_settled(by_hand(eager()), &script, &expected);
    }
}

#[test]
fn what_is_to_be_committed_of_a_deleted_topic_does_not_hold_up_the_group() {
    check_settled(
        eager(),
        "6 fetched #0 t-0 7+2\n 7 take\n 8 take\n 303 refused #4 REBALANCE_IN_PROGRESS\n 304 take\n 305 acknowledge 1\n
         306 committed #5 t-0:UNKNOWN_TOPIC_OR_PARTITION\n 320 topics t:0 u:1\n 450 committed #6 t-0:UNKNOWN_TOPIC_OR_PARTITION",
        &expect![[r#"
            6 fetched #0 t-0 7+2
                fetch #1: t-0 from 9
            7 take
                t-0: 7 8
            8 take
                nothing
              302
                #4 at 1: heartbeat of m in 1
            303 refused #4 REBALANCE_IN_PROGRESS
            304 take
                revoked t-0 t-1 by 1
            305 acknowledge 1
                #5 at 1: commit in 1: t-0@9 after epoch 3
            306 committed #5 t-0:UNKNOWN_TOPIC_OR_PARTITION
                refresh
            320 topics t:0 u:1
              415
                #6 at 1: commit in 1: t-0@9 after epoch 3
            450 committed #6 t-0:UNKNOWN_TOPIC_OR_PARTITION
                #7 at 1: join as "m", range of {"t"} with [] in 1: the group's partitions are shared anew
        "#]],
    );
}

#[test]
fn what_is_done_of_a_partition_that_was_lost_is_not_taken_for_committed() {
    // Others have t-0 by now, or it has it again, from where the group is.
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 303 refused #4 UNKNOWN_MEMBER_ID\n 304 commit 1\n 305 joined #5 9 range m2\n 306 synced #6 t-0\n
        307 placed #7 t-0:7\n 308 commit 2\n 309 commit 3 t-0:9\n 309 who\n 310 take\n 310 who\n 311 take\n 312 commit 4";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
          302
            #4 at 1: heartbeat of m in 1
        303 refused #4 UNKNOWN_MEMBER_ID
            #5 at 1: join as "", range of {"t"}: the group went on without it
        304 commit 1
            commit 1: not a member of the group now
        305 joined #5 9 range m2
            #6 at 1: sync as m2 in 9 []
        306 synced #6 t-0
            #7 at 1: what is committed: t-0
        307 placed #7 t-0:7
        308 commit 2
            commit 2: not a member of the group now
        309 commit 3 t-0:9
            commit 3: not a member of the group now
        309 who
            shown as "m" in 1
        310 take
            lost t-0 t-1
        310 who
            shown as "m2" in 9
        311 take
            assigned t-0
        312 commit 4
            #8 at 1: commit in 9: t-0@7
    "#]],
    );
}

#[test]
fn who_is_not_heard_of_for_too_long_has_lost_what_it_had() {
    // It slept: the answer to its next heartbeat says that the group went on.
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 60000 slept\n 60001 refused #4 UNKNOWN_MEMBER_ID\n 60002 commit 1 t-0:9\n 60003 who\n 60003 take\n
        60004 joined #5 9 range m2\n 60005 who\n 60005 synced #6 t-1";
    check_settled(
        Config { poll_interval_max_ms: 100_000, ..eager() },
        script,
        &expect![[r#"
            6 fetched #0 t-0 7+2
                fetch #1: t-0 from 9
            7 take
                t-0: 7 8
            60000 slept
                #4 at 1: heartbeat of m in 1
            60001 refused #4 UNKNOWN_MEMBER_ID
                #5 at 1: join as "", range of {"t"}: the group went on without it
            60002 commit 1 t-0:9
                commit 1: not a member of the group now
            60003 who
                shown as "m" in 1
            60003 take
                lost t-0 t-1
            60004 joined #5 9 range m2
                #6 at 1: sync as m2 in 9 []
            60005 who
                shown as "m2" in 9
            60005 synced #6 t-1
                #7 at 1: what is committed: t-1
        "#]],
    );
}

#[test]
fn who_is_busy_for_too_long_is_out_until_it_asks_for_more() {
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 5006 tick\n 5007 tick\n 9000 tick\n 9001 take\n 9002 take";
    check_settled(
        eager(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
          302
            #4 at 1: heartbeat of m in 1
        5006 tick
        5007 tick
            note: the application was busy for longer than max.poll.interval.ms allows
            #5 at 1: leave as m
        9000 tick
        9001 take
            lost t-0 t-1
            #6 at 1: join as "", range of {"t"}: the group went on without it
        9002 take
            nothing
    "#]],
    );
}

#[test]
fn what_the_application_has_in_hand_is_not_done() {
    // A whole batch, and then record by record; a stream that ends gives back what it did not hand out.
    let config = Config { auto_commit_interval_ms: Some(100), heartbeat_interval_ms: 100_000, ..eager() };
    let script = "6 fetched #0 t-0 7+3 10+3\n 210 take\n 211 take\n 212 by-record\n 213 record 11\n 214 record 12\n 304 committed #4\n
        310 commit 1\n 311 committed #5\n 320 let-go\n 321 record 13";
    check_settled(
        config,
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+3 10+3
            fetch #1: t-0 from 13
        210 take
            t-0: 7 8 9
        211 take
            t-0: 10 11 12
        212 by-record
        213 record 11
            handed out
        214 record 12
            handed out
          303
            #4 at 1: commit in 1: t-0@11 after epoch 3
        304 committed #4
        310 commit 1
            #5 at 1: commit in 1: t-0@12 after epoch 3 t-1@0
        311 committed #5
            commit 1 is done
        320 let-go
        321 record 13
            does not count
    "#]],
    );
}

#[test]
fn an_offset_that_was_handed_out_is_committed_with_its_epoch() {
    let committed = |offset: u64| {
        let mut world = World::new(eager());
        world.run(&settled("range"));
        world.run(&format!("6 fetched #0 t-0 7+3\n 7 take\n 8 commit 1 t-0:{offset}"));
        world.log.lines().last().expect("it commits").trim().to_owned()
    };
    assert_eq!(committed(10), "#4 at 1: commit in 1: t-0@10 after epoch 3");
    assert_eq!(committed(8), "#4 at 1: commit in 1: t-0@8", "which record is before it is not known");
}

#[test]
fn what_another_stream_has_in_hand_is_not_done_when_its_partition_is_given_up() {
    // The second stream hears of it while the first is at record 8, or after that one has asked for more.
    let commits = |between: &str| {
        let mut world = World::new(eager());
        world.run(&settled("range"));
        world.run(&format!(
            "6 fetched #0 t-0 7+3 10+3\n 7 take-by 1\n 8 take-by 2\n 9 record-by 1 8\n 10 record-by 1 9\n 11 record-by 2 11\n
            303 refused #4 REBALANCE_IN_PROGRESS\n 304 take-by 2\n {between}\n 306 acknowledge 1"
        ));
        world.log.lines().last().expect("it commits").trim().to_owned()
    };
    assert_eq!(commits(""), "#5 at 1: commit in 1: t-0@8 after epoch 3");
    assert_eq!(commits("305 take-by 1"), "#5 at 1: commit in 1: t-0@9 after epoch 3");
}

/// The group would wait for whom it gave that name, until its session is over.
#[test]
fn who_closes_before_it_has_a_name_leaves_by_the_one_that_it_is_given() {
    let script = "0 subscribe t\n 1 found #0 1\n 2 close\n 3 refused #1 MEMBER_ID_REQUIRED m\n 4 left #2";
    check(
        eager(),
        script,
        &expect![[r#"
            0 subscribe t
                want {"t"}
                #0 find the coordinator
            1 found #0 1
                #1 at 1: join as "", range of {"t"}
            2 close
            3 refused #1 MEMBER_ID_REQUIRED m
                #2 at 1: leave as m
            4 left #2
        "#]],
    );
    let mut world = World::new(eager());
    world.run("0 subscribe t\n 1 found #0 1\n 2 close");
    assert!(!world.machine.is_finished());
    world.run("3 refused #1 NOT_COORDINATOR");
    assert!(world.machine.is_finished(), "nobody knows it: {}", world.log);
}

#[test]
fn who_closes_commits_and_leaves() {
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 8 close\n 9 committed #4\n 10 left #5";
    check_settled(
        eager(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
        8 close
            #4 at 1: commit in 1: t-0@9 after epoch 3
        9 committed #4
            #5 at 1: leave as m
        10 left #5
    "#]],
    );
    let script = "6 commit 1 t-0:8\n 7 close\n 1007 tick\n 2007 tick";
    check_settled(
        by_hand(eager()),
        script,
        &expect![[r#"
        6 commit 1 t-0:8
            #4 at 1: commit in 1: t-0@8
        7 close
          302
            #5 at 1: heartbeat of m in 1
        1007 tick
            commit 1: the consumer is closed
            #6 at 1: leave as m
        2007 tick
    "#]],
    );
    // Who has a name of its own will be back.
    let named = Config { instance_id: Some("i".into()), ..by_hand(eager()) };
    let mut world = World::new(named);
    world.run(&format!("{}\n 6 close", settled("range")));
    assert!(world.machine.is_finished(), "{}", world.log);
}
