use expect_test::expect;

use super::super::super::GroupProtocol;
use super::*;
use crate::OutOfRange;

fn config() -> Config {
    Config {
        protocol: GroupProtocol::Consumer,
        auto_commit_interval_ms: Some(100_000),
        poll_interval_max_ms: 5_000,
        uncommitted: OutOfRange::Earliest,
        ..Config::new("g")
    }
}

/// A member that has t-0 and t-1 from offset 7 on, in epoch 2. The next question has number 4.
const SETTLED: &str = "0 subscribe t\n 1 found #0 1\n 2 beaten #1 2 t-0 t-1\n 3 beaten #2 2\n 4 placed #3 t-0:7 t-1:7\n 5 take\n";

fn check_settled(config: Config, script: &str, expected: &Expect) {
    let mut world = World::new(config);
    world.run(SETTLED);
    world.log.clear();
    world.run(script);
    expected.assert_eq(&world.log);
}

#[test]
fn a_member_takes_over_what_it_is_to_have_and_says_so() {
    let script = "0 subscribe t\n 1 found #0 1\n 2 beaten #1 1 nothing\n 503 beaten #2 2 t-0\n 504 beaten #3 2\n 505 placed #4 t-0:7\n
        506 take\n 1005 beaten #5 3 t-0 u-0 x-5\n 1006 topics t:2 u:1 x:6\n 1007 beaten #6 3\n 1008 beaten #7 3";
    check(
        config(),
        script,
        &expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: heartbeat in 0, wants ["t"], has []
        2 beaten #1 1 nothing
          502
            #2 at 1: heartbeat in 1
        503 beaten #2 2 t-0
            #3 at 1: heartbeat in 2, has [t-0]
            #4 at 1: what is committed in 2: t-0
        504 beaten #3 2
        505 placed #4 t-0:7
            fetch #0: t-0 from 7
        506 take
            assigned t-0
          1004
            #5 at 1: heartbeat in 2
        1005 beaten #5 3 t-0 u-0 x-5
            refresh
            #6 at 1: heartbeat in 3, has [t-0 u-0]
            #7 at 1: what is committed in 3: u-0
        1006 topics t:2 u:1 x:6
        1007 beaten #6 3
            #8 at 1: heartbeat in 3, has [t-0 u-0 x-5]
        1008 beaten #7 3
            #9 at 1: what is committed in 3: x-5
            locate u-0 at -2
    "#]],
    );
}

/// The coordinator waits for who is to give something up, and then has it out of the group: seed 1116 of the simulator.
#[test]
fn what_was_never_taken_over_is_given_up_too() {
    let script = "504 beaten #4 3 t-0 t-1 x-0\n 505 beaten #5 3 t-0 t-1 x-0\n 1006 beaten #6 4 t-0 t-1\n 1007 beaten #7 4\n 1008 take";
    check_settled(
        config(),
        script,
        &expect![[r#"
          503
            #4 at 1: heartbeat in 2
        504 beaten #4 3 t-0 t-1 x-0
            refresh
            #5 at 1: heartbeat in 3, has [t-0 t-1]
        505 beaten #5 3 t-0 t-1 x-0
            refresh
          1005
            #6 at 1: heartbeat in 3
        1006 beaten #6 4 t-0 t-1
            #7 at 1: heartbeat in 4, has [t-0 t-1]
        1007 beaten #7 4
        1008 take
            nothing
    "#]],
    );
}

#[test]
fn who_may_have_missed_an_answer_says_what_it_has_in_the_epoch_that_it_did_not_hear_of() {
    let script = "504 broken #4\n 630 found #5 1\n 631 beaten #6 4 t-0 t-1\n 632 beaten #7 4";
    check_settled(
        config(),
        script,
        &expect![[r#"
          503
            #4 at 1: heartbeat in 2
        504 broken #4
            refresh
          601
            #5 find the coordinator
        630 found #5 1
            #6 at 1: heartbeat in 2, wants ["t"], has [t-0 t-1]
        631 beaten #6 4 t-0 t-1
            #7 at 1: heartbeat in 4, has [t-0 t-1]
        632 beaten #7 4
    "#]],
    );
}

#[test]
fn what_is_to_be_given_up_is_committed_first_and_only_then_others_get_it() {
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 504 beaten #4 2 t-1\n 505 take\n 1005 beaten #5 2\n 1100 acknowledge 1\n
        1101 committed #6\n 1102 beaten #7 3";
    check_settled(
        config(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
          503
            #4 at 1: heartbeat in 2
        504 beaten #4 2 t-1
        505 take
            revoked t-0 by 1
          1004
            #5 at 1: heartbeat in 2
        1005 beaten #5 2
        1100 acknowledge 1
            #6 at 1: commit in 2: t-0@9 after epoch 3
        1101 committed #6
            #7 at 1: heartbeat in 2, has [t-1]
        1102 beaten #7 3
    "#]],
    );
}

#[test]
fn a_member_that_was_fenced_has_lost_everything_and_comes_back_as_new() {
    for code in ["FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID"] {
        let expected = match code {
            "FENCED_MEMBER_EPOCH" => expect![[r#"
                  503
                    #4 at 1: heartbeat in 2
                504 refused #4 FENCED_MEMBER_EPOCH
                505 take
                    lost t-0 t-1
                  601
                    #5 at 1: heartbeat in 0, wants ["t"], has []
                626 beaten #5 9 t-1
                    #6 at 1: heartbeat in 9, has [t-1]
                    #7 at 1: what is committed in 9: t-1
            "#]],
            _ => expect![[r#"
                  503
                    #4 at 1: heartbeat in 2
                504 refused #4 UNKNOWN_MEMBER_ID
                505 take
                    lost t-0 t-1
                  601
                    #5 at 1: heartbeat in 0, wants ["t"], has []
                626 beaten #5 9 t-1
                    #6 at 1: heartbeat in 9, has [t-1]
                    #7 at 1: what is committed in 9: t-1
            "#]],
        };
        let script = format!("504 refused #4 {code}\n 505 take\n 626 beaten #5 9 t-1");
        check_settled(config(), &script, &expected);
    }
}

#[test]
fn whatever_the_coordinator_answers_is_dealt_with() {
    let mut told = String::new();
    for code in [
        "NOT_COORDINATOR",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "UNRELEASED_INSTANCE_ID",
        "UNSUPPORTED_ASSIGNOR",
        "INVALID_REGULAR_EXPRESSION",
        "GROUP_MAX_SIZE_REACHED",
    ] {
        let mut world = World::new(config());
        world.run(SETTLED);
        world.run("504 tick");
        world.log.clear();
        world.run(&format!("505 refused #4 {code}\n 506 take\n 507 take\n 630 tick"));
        writeln!(told, "{code}").expect("writes");
        told.extend(world.log.lines().filter(|it| it.starts_with(' ')).map(|line| format!("{line}\n")));
    }
    expect![[r#"
        NOT_COORDINATOR
            refresh
            nothing
            nothing
          602
            #5 find the coordinator
        COORDINATOR_LOAD_IN_PROGRESS
            nothing
            nothing
          602
            #5 at 1: heartbeat in 2, wants ["t"], has [t-0 t-1]
        UNRELEASED_INSTANCE_ID
            lost t-0 t-1
            error: a member "" is in the group still: it has not left, and its session is not over
        UNSUPPORTED_ASSIGNOR
            lost t-0 t-1
            error: the coordinator answered UNSUPPORTED_ASSIGNOR
        INVALID_REGULAR_EXPRESSION
            lost t-0 t-1
            error: the coordinator answered INVALID_REGULAR_EXPRESSION
        GROUP_MAX_SIZE_REACHED
            lost t-0 t-1
            error: the coordinator answered GROUP_MAX_SIZE_REACHED
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_lost_answer_has_everything_told_again() {
    let script = "504 broken #4\n 630 found #5 2\n 631 beaten #6 2";
    check_settled(
        config(),
        script,
        &expect![[r#"
          503
            #4 at 1: heartbeat in 2
        504 broken #4
            refresh
          601
            #5 find the coordinator
        630 found #5 2
            #6 at 2: heartbeat in 2, wants ["t"], has [t-0 t-1]
        631 beaten #6 2
    "#]],
    );
}

#[test]
fn a_commit_in_an_epoch_that_is_over_goes_out_again_in_the_next() {
    let script = "6 commit 1 t-0:8\n 7 refused #4 STALE_MEMBER_EPOCH\n 504 beaten #6 3\n 505 refused #5 STALE_MEMBER_EPOCH\n 506 committed #7\n
        510 commit 2 t-0:9\n 511 refused #8 FENCED_MEMBER_EPOCH";
    check_settled(
        config(),
        script,
        &expect![[r#"
        6 commit 1 t-0:8
            #4 at 1: commit in 2: t-0@8
        7 refused #4 STALE_MEMBER_EPOCH
          104
            #5 at 1: commit in 2: t-0@8
          503
            #6 at 1: heartbeat in 2
        504 beaten #6 3
        505 refused #5 STALE_MEMBER_EPOCH
            #7 at 1: commit in 3: t-0@8
        506 committed #7
            commit 1 is done
        510 commit 2 t-0:9
            #8 at 1: commit in 3: t-0@9
        511 refused #8 FENCED_MEMBER_EPOCH
            commit 2: not a member of the group now
    "#]],
    );
}

#[test]
fn who_is_busy_for_too_long_or_closes_says_good_bye() {
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 504 beaten #4 2\n 6000 tick\n 6001 take\n 6002 take";
    check_settled(
        config(),
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
          503
            #4 at 1: heartbeat in 2
        504 beaten #4 2
          1004
            #5 at 1: heartbeat in 2
          5007
            note: the application was busy for longer than max.poll.interval.ms allows
            #6 at 1: heartbeat in -1
        6000 tick
        6001 take
            lost t-0 t-1
            #7 at 1: heartbeat in 0, wants ["t"], has []
        6002 take
            nothing
    "#]],
    );
    let named = Config { instance_id: Some("i".into()), server_assignor: Some("range".into()), ..config() };
    let script = "6 fetched #0 t-0 7+2\n 7 take\n 8 close\n 9 committed #4\n 10 beaten #5 -2";
    check_settled(
        named,
        script,
        &expect![[r#"
        6 fetched #0 t-0 7+2
            fetch #1: t-0 from 9
        7 take
            t-0: 7 8
        8 close
            #4 at 1: commit in 2: t-0@9 after epoch 3
        9 committed #4
            #5 at 1: heartbeat in -2
        10 beaten #5 -2
    "#]],
    );
}

#[test]
fn topics_can_be_meant_by_an_expression() {
    let script = "0 regex t.*\n 1 found #0 1\n 2 beaten #1 1 t-0\n 3 beaten #2 1\n 4 subscribe u\n";
    check(
        config(),
        script,
        &expect![[r#"
        0 regex t.*
            #0 find the coordinator
        1 found #0 1
            #1 at 1: heartbeat in 0, wants [], wants like "t.*", has []
        2 beaten #1 1 t-0
            #2 at 1: heartbeat in 1, has [t-0]
            #3 at 1: what is committed in 1: t-0
        3 beaten #2 1
        4 subscribe u
            want {"u"}
            #4 at 1: heartbeat in 1, wants ["u"], wants like ""
    "#]],
    );
}

/// A member left a ghost behind when the answer to its first heartbeat was lost before it closed: others waited for it until its session ended.
#[test]
fn who_may_be_counted_on_says_good_bye_as_soon_as_there_is_somebody_to_tell() {
    let joining = "0 subscribe t\n 1 found #0 1\n";
    check(
        config(),
        &format!("{joining} 2 close\n 3 beaten #1 1\n 4 beaten #2 -1"),
        &expect![[r#"
            0 subscribe t
                want {"t"}
                #0 find the coordinator
            1 found #0 1
                #1 at 1: heartbeat in 0, wants ["t"], has []
            2 close
                #2 at 1: heartbeat in -1
            3 beaten #1 1
            4 beaten #2 -1
        "#]],
    );
    check(
        config(),
        &format!("{joining} 2 broken #1\n 3 close\n 200 found #2 2\n 201 beaten #3 -1\n 9999 tick"),
        &expect![[r#"
            0 subscribe t
                want {"t"}
                #0 find the coordinator
            1 found #0 1
                #1 at 1: heartbeat in 0, wants ["t"], has []
            2 broken #1
                refresh
            3 close
              99
                #2 find the coordinator
            200 found #2 2
                #3 at 2: heartbeat in -1
            201 beaten #3 -1
            9999 tick
        "#]],
    );
    check_settled(
        config(),
        "6 close\n 7 refused #4 NOT_COORDINATOR\n 200 found #5 2\n 201 refused #6 UNKNOWN_MEMBER_ID\n 9999 tick",
        &expect![[r#"
            6 close
                #4 at 1: heartbeat in -1
            7 refused #4 NOT_COORDINATOR
                refresh
              104
                #5 find the coordinator
            200 found #5 2
                #6 at 2: heartbeat in -1
            201 refused #6 UNKNOWN_MEMBER_ID
            9999 tick
        "#]],
    );
    check_settled(
        config(),
        "6 close\n 1007 tick\n 9999 tick",
        &expect![[r#"
        6 close
            #4 at 1: heartbeat in -1
        1007 tick
        9999 tick
    "#]],
    );
    // Nobody has to know.
    check(
        config(),
        &format!("{joining} 2 refused #1 UNKNOWN_MEMBER_ID\n 3 close\n 9999 tick"),
        &expect![[r#"
        0 subscribe t
            want {"t"}
            #0 find the coordinator
        1 found #0 1
            #1 at 1: heartbeat in 0, wants ["t"], has []
        2 refused #1 UNKNOWN_MEMBER_ID
        3 close
        9999 tick
    "#]],
    );
}
