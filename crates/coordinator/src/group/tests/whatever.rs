//! Whatever happens, and to however many.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::group::pending::PENDING_MEMBERS_MAX;

/// What may happen, one of which is drawn again and again. Two clients have the name of one static member.
fn lines() -> Vec<String> {
    let mut lines: Vec<String> = [
        "wait 100",
        "wait 4000",
        "wait 11000",
        "wait 70000",
        "sleep 12000",
        "nobody commit t/0=3 t/1=3",
        "nobody commit t/0=4 retention:1000",
        "nobody txn producer:8 t/0=5 u/0=5",
        "end 7 commit",
        "end 7 abort",
        "end 8 commit",
        "restart",
        "compact",
        "forget g t/0 u/0",
        "delete g",
        "drop-topic u",
        "c leave by-name",
        "d leave a b",
    ]
    .map(str::to_owned)
    .into();
    for (who, instance) in [("a", ""), ("b", ""), ("c", " instance:two"), ("d", " instance:two")] {
        for what in [
            "join handshake",
            "join",
            "join",
            "join anew",
            "join topics:u,t",
            "join protocols:sticky+range",
            "join protocols:sticky",
            "join anew skip protocols:range patience:100",
            "sync a=t/0 b=t/1 c=t/2 d=t/34",
            "sync a=t/01 b=t/2",
            "beat",
            "leave",
            "commit t/0=1",
            "txn producer:7 t/0=2 t/1=2",
        ] {
            lines.push(format!("{who} {what}{instance}"));
        }
    }
    // Chance alone rarely gets members to work.
    for all in [
        "a join; b join; c join; a join; b join",
        "a sync a=t/0 b=t/1 c=t/2; b sync a=t/2 b=t/1 c=t/0; c sync c=t/1 a=t/2",
    ] {
        lines.extend(std::iter::repeat_n(all.to_owned(), 8));
    }
    lines.push(format!("a sync a={}", "x".repeat(600)));
    lines
}

/// What may happen to members of the consumer protocol. Two clients have the name of one static member.
fn reader_lines() -> Vec<String> {
    let mut lines: Vec<String> = [
        "wait 100",
        "wait 4000",
        "wait 30000",
        "wait 70000",
        "sleep 50000",
        "restart",
        "compact",
        "delete g",
        "arrive",
        "arrive twice",
    ]
    .map(str::to_owned)
    .into();
    for (who, instance) in [("e", ""), ("f", ""), ("h", " instance:three"), ("i", " instance:three")] {
        for what in [
            "show",
            "show",
            "show",
            "show",
            "show quiet",
            "show busy",
            "show busy",
            "show lost",
            "show late",
            "show quiet late",
            "show busy late",
            "show full",
            "show topics:t,u",
            "show topics:t",
            "show regex:[tv]",
            "show regex:",
            "show assignor:range",
            "show epoch:0",
            "show epoch:0 late",
            "show epoch:2",
            "show rack:x",
            "quit",
            "pause",
            "commit reader t/0=1",
        ] {
            lines.push(format!("{who} {what}{instance}"));
        }
        lines.push(format!("{who} show as:{who}2{instance}"));
        lines.extend(std::iter::repeat_n(format!("arrive {who}"), 5));
    }
    for all in [
        "topic t 5; topic u 2",
        "topic t 7",
        "topic v 3",
        "drop-topic t",
        "e show; f show; h show instance:three",
    ] {
        lines.extend(std::iter::repeat_n(all.to_owned(), 5));
    }
    lines
}

/// Each protocol by itself, and both in one group.
fn scripts() -> impl Strategy<Value = Vec<String>> {
    let both = lines().into_iter().chain(reader_lines()).collect();
    let lines = prop::sample::select(vec![lines(), reader_lines(), both]);
    lines.prop_flat_map(|lines| prop::collection::vec(prop::sample::select(lines), 1..150))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_shard_is_what_its_log_says(
        script in scripts(),
        initial_rebalance_delay_ms in prop::sample::select(vec![0, 3_000]),
        members_max in 2_usize..5,
        batch_size_max in prop::sample::select(vec![600, 2_000]),
        consumer_migration in prop::sample::select(vec![MigrationPolicy::Disabled, MigrationPolicy::Bidirectional]),
    ) {
        let mut rig = Rig::new(GroupConfig {
            initial_rebalance_delay_ms,
            members_max,
            batch_size_max,
            consumer_migration,
            offsets_retention_ms: 60_000,
            offsets_check_interval_ms: 5_000,
            ..GroupConfig::default()
        });
        for line in script.iter().flat_map(|it| it.split(';')) {
            rig.run(line);
            rig.check();
        }
        rig.check_settles();
        rig.check_end();
        rig.check();
    }
}

#[test]
fn clients_that_never_come_with_their_ids_take_bounded_room() {
    let mut rig = Rig::new(GroupConfig::default());
    for it in 0..=PENDING_MEMBERS_MAX {
        assert_eq!(rig.run(&format!("x{it} join handshake group:{it}")), format!("x{it}: is x{it}\n"));
    }
    assert_eq!(rig.groups.shared.pending.len(), PENDING_MEMBERS_MAX);
    assert_eq!(rig.run("x0 join"), "x0: UnknownMember\n");
    assert_eq!(rig.run("x1 beat"), "x1: UnknownMember\n");
    rig.check();
    rig.check_end();
}

#[test]
fn a_client_that_only_asks_for_ids_keeps_nobody_out_of_other_groups() {
    let mut rig = Rig::new(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() });
    let mut number = 0;
    let mut flood = |rig: &mut Rig, count: usize| {
        for _ in 0..count {
            number += 1;
            rig.run(&format!("x{number} join handshake group:flood session:1800000"));
        }
    };
    flood(&mut rig, PENDING_MEMBERS_MAX);
    assert_eq!(rig.run("a join handshake"), "a: is a\n");
    flood(&mut rig, 2 * PENDING_MEMBERS_MAX);
    assert_eq!(rig.run("a join"), "a: a joined 1 range led by a of a\n");
    assert_eq!(rig.run("b join handshake group:flood"), "b: is b\n");
    flood(&mut rig, PENDING_MEMBERS_MAX / 2);
    assert_eq!(rig.run("b join"), "b: b joined 1 range led by b of b\n");
    rig.run("wait 60000");
    assert_eq!(rig.groups.shared.pending.len(), 0);
    rig.check();
    rig.check_end();
}

#[test]
fn a_thousand_members_share_the_work() {
    const COUNT: usize = 1_000;
    let mut rig = Rig::new(GroupConfig::default());
    let all = |rig: &mut Rig, what: &str| -> String {
        (0..COUNT).map(|index| rig.run(&format!("m{index} {what}"))).collect()
    };
    let count = |told: &str, what: &str| told.lines().filter(|it| it.ends_with(what)).count();
    assert_eq!(all(&mut rig, "join"), "");
    let told = rig.run("wait 6000");
    assert_eq!(
        count(&told, "joined 1 range led by m0"),
        COUNT - 1,
        "all but the leader, who is told of everybody"
    );
    let mut work = String::new();
    for index in 0..COUNT {
        let _ = write!(work, " m{index}=work-of-{index}");
    }
    let told = rig.run(&format!("m0 sync{work}"));
    assert_eq!(count(&told, "m0: works on work-of-0"), 1);
    assert_eq!(count(&all(&mut rig, "sync"), "works on work-of-999"), 1);
    for _ in 0..10 {
        rig.run("wait 3000");
        assert_eq!(count(&all(&mut rig, "beat"), ": ok"), COUNT);
    }
    assert!(rig.groups.shared.timers.len() <= COUNT + 1, "one for each session, one for unused offsets");
    rig.check();

    rig.run("m999 leave");
    assert_eq!(count(&all(&mut rig, "beat"), ": RebalanceInProgress"), COUNT - 1);
    let told = all(&mut rig, "join");
    assert_eq!(count(&told, "joined 2 range led by m0"), COUNT - 2);
    assert_eq!(rig.run("causes"), "1 new-member\n1 left\n");
    rig.check();
}

#[test]
fn a_thousand_readers_come_and_go_and_share_evenly() {
    const COUNT: usize = 1_000;
    let mut rig = Rig::new(GroupConfig::default());
    rig.run("topic t 2500");
    let all = |rig: &mut Rig, from: usize| -> String {
        (from..COUNT).map(|index| rig.run(&format!("m{index} show"))).collect()
    };
    all(&mut rig, 0);
    rig.check();
    // Most have something to give up, and then something to wait for.
    for _ in 0..3 {
        all(&mut rig, 0);
    }
    assert_eq!(rig.run("list"), "g \"consumer\" Stable consumer\n");
    rig.check();
    assert!(rig.groups.shared.timers.len() <= COUNT + 1, "one for each session, one for unused offsets");

    for index in 0..10 {
        rig.run(&format!("m{index} quit"));
    }
    let told = all(&mut rig, 10);
    assert_eq!(told.matches(" Revoking ").count(), 0, "nobody gives up what it has for those that have gone");
    all(&mut rig, 10);
    assert_eq!(rig.run("list"), "g \"consumer\" Stable consumer\n");
    rig.check();
}
