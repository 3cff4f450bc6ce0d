//! What the controller does by itself where brokers are back, or new: leaders that are preferred, replicas of internal topics.

use expect_test::{Expect, expect};

use super::*;

fn check_in_time(config: ControllerConfig, script: &str, expected: Expect) {
    let mut rig = Rig::new(config, 0);
    for line in ["register 1", "register 2", "register 3", "beat 1", "beat 2", "beat 3"] {
        rig.run(line);
    }
    check_on(rig, script, expected);
}

fn every_two_seconds() -> ControllerConfig {
    ControllerConfig { balance_interval_ms: Some(2_000), ..config() }
}

#[test]
fn preferred_leaders_lead_again_once_they_are_in_sync() {
    check_in_time(
        every_two_seconds(),
        "create t 3 2
         wait 700 1 3
         beat 2
         wait 1500 1 2 3
         isr t/1 by leader is leader,2
         wait 1900 1 2 3
         wait 200 1 2 3
         isr t/0 by leader is leader,2
         wait 2100 1 2 3
         show",
        expect![[r#"
            create t 3 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                + t/2 on 3,1 in sync 3,1 leader 3
                t: created, 3 x 2, {}
            wait 700 1 3
                + t/0 change 1 in sync 1
                + t/1 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            beat 2
                + broker 2 is Active
                Active
            wait 1500 1 2 3
            isr t/1 by leader is leader,2
                + t/1 change 2 in sync 3,2
                leader 3 in epoch 1, in sync 3,2, partition epoch 2
            wait 1900 1 2 3
                + t/1 change 3 leader 2 in epoch 2
            wait 200 1 2 3
            isr t/0 by leader is leader,2
                + t/0 change 2 in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 2
            wait 2100 1 2 3
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 0.2
                t/1 on 2,3 in sync 3,2 leader 2 epochs 2.3
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
        "#]],
    );
}

#[test]
fn others_lead_what_a_full_broker_leads_until_it_has_room() {
    check_in_time(
        every_two_seconds(),
        "create t 3 2
         assign u 1
         beat 1 full
         beat 1 full
         elect t/0
         beat 3 full
         beat 2 fence
         show
         beat 2
         isr t/0 by leader is leader,2
         isr t/1 by leader is leader,2
         beat 1 full
         show
         beat 1
         beat 3
         wait 2100 1 2 3
         show",
        expect![[r#"
            create t 3 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                + t/2 on 3,1 in sync 3,1 leader 3
                t: created, 3 x 2, {}
            assign u 1
                + topic u
                + u/0 on 1 in sync 1 leader 1
                u: created, 1 x 1, {}
            beat 1 full
                + t/0 change 1 leader 2 in epoch 1
                Active
            beat 1 full
                Active
            elect t/0
                t/0: the preferred leader cannot lead now
            beat 3 full
                Active
            beat 2 fence
                + t/0 change 2 in sync 1 leader 1 in epoch 2
                + t/1 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
                Fenced
            show
                t/0 on 1,2 in sync 1 leader 1 epochs 2.2
                t/1 on 2,3 in sync 3 leader 3 epochs 1.1
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
                u/0 on 1 in sync 1 leader 1 epochs 0.0
            beat 2
                + broker 2 is Active
                Active
            isr t/0 by leader is leader,2
                + t/0 change 3 in sync 1,2
                leader 1 in epoch 2, in sync 1,2, partition epoch 3
            isr t/1 by leader is leader,2
                + t/1 change 2 in sync 3,2
                leader 3 in epoch 1, in sync 3,2, partition epoch 2
            beat 1 full
                + t/0 change 4 leader 2 in epoch 3
                Active
            show
                t/0 on 1,2 in sync 1,2 leader 2 epochs 3.4
                t/1 on 2,3 in sync 3,2 leader 3 epochs 1.2
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
                u/0 on 1 in sync 1 leader 1 epochs 0.0
            beat 1
                Active
            beat 3
                Active
            wait 2100 1 2 3
                + t/0 change 5 leader 1 in epoch 4
                + t/1 change 3 leader 2 in epoch 2
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 4.5
                t/1 on 2,3 in sync 3,2 leader 2 epochs 2.3
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
                u/0 on 1 in sync 1 leader 1 epochs 0.0
        "#]],
    );
}

#[test]
fn a_full_broker_leads_only_where_nobody_else_in_sync_can() {
    check_in_time(
        every_two_seconds(),
        "create t 1 3
         beat 2 full
         beat 1 fence
         beat 3 fence
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            beat 2 full
                Active
            beat 1 fence
                + t/0 change 1 in sync 2,3 leader 3 in epoch 1
                + broker 1 is Fenced
                Fenced
            beat 3 fence
                + t/0 change 2 in sync 2 eligible 3 leader 2 in epoch 2
                + broker 3 is Fenced
                Fenced
            show
                t/0 on 1,2,3 in sync 2 eligible 3 leader 2 epochs 2.2
        "#]],
    );
}

#[test]
fn nobody_leads_again_by_itself_where_that_is_switched_off() {
    check_in_time(
        ControllerConfig { balance_interval_ms: None, ..config() },
        "create t 1 2
         wait 700 2 3
         beat 1
         isr t/0 by leader is leader,1
         wait 400000 1 2 3
         show",
        expect![[r#"
            create t 1 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            wait 700 2 3
                + t/0 change 1 in sync 2 leader 2 in epoch 1
                + broker 1 is Fenced
            beat 1
                + broker 1 is Active
                Active
            isr t/0 by leader is leader,1
                + t/0 change 2 in sync 2,1
                leader 2 in epoch 1, in sync 2,1, partition epoch 2
            wait 400000 1 2 3
            show
                t/0 on 1,2 in sync 2,1 leader 2 epochs 1.2
        "#]],
    );
}

#[test]
fn only_so_many_leaders_change_at_once() {
    let mut rig = Rig::new(every_two_seconds(), 0);
    for line in ["register 1", "register 2", "beat 1", "beat 2"] {
        rig.run(line);
    }
    let places = vec!["1,2"; 1_500].join(";");
    rig.run(&format!("assign t {places}"));
    rig.run("beat 1 fence");
    rig.run("beat 1");
    for index in 0..1_500 {
        rig.run(&format!("isr t/{index} by leader is leader,1"));
    }
    let changed: Vec<_> =
        (0..30).map(|_| rig.run("wait 100 1 2").matches("leader 1").count()).filter(|it| 0 < *it).collect();
    assert_eq!(changed, [1_000, 500]);
}

/// One broker at first.
fn check_internal(factor: u16, script: &str, expected: Expect) {
    let internal_topics = [("__consumer_offsets".to_owned(), factor)].into();
    check_on(Rig::new(ControllerConfig { internal_topics, ..config() }, 0), script, expected);
}

#[test]
fn internal_topics_get_replicas_as_brokers_join() {
    check_internal(
        3,
        "register 1
         beat 1
         create __consumer_offsets 3 -
         create t 1 -
         register 2
         beat 2
         wait 100 1 2
         isr __consumer_offsets/0 by leader is 1,2
         isr __consumer_offsets/1 by leader is 1,2
         register 3
         beat 3
         wait 100 1 2 3
         isr __consumer_offsets/2 by leader is 1,2
         wait 100 1 2 3
         isr __consumer_offsets/0 by leader is leader,2,3
         isr __consumer_offsets/1 by leader is leader,1,3
         isr __consumer_offsets/2 by leader is leader,2,3
         register 4
         beat 4
         wait 300 1 2 3 4
         show",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            create __consumer_offsets 3 -
                + topic __consumer_offsets
                + __consumer_offsets/0 on 1 in sync 1 leader 1
                + __consumer_offsets/0 change 1 wants 3
                + __consumer_offsets/1 on 1 in sync 1 leader 1
                + __consumer_offsets/1 change 1 wants 3
                + __consumer_offsets/2 on 1 in sync 1 leader 1
                + __consumer_offsets/2 change 1 wants 3
                __consumer_offsets: created, 3 x 1, {}
            create t 1 -
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            register 2
                + broker 2 registers
                broker epoch 5
            beat 2
                + broker 2 is Active
                Active
            wait 100 1 2
                + __consumer_offsets/0 change 2 on 1,2 adding 2
                + __consumer_offsets/1 change 2 on 2,1 adding 2
                + __consumer_offsets/2 change 2 on 1,2 adding 2
            isr __consumer_offsets/0 by leader is 1,2
                + __consumer_offsets/0 change 3 adding nobody in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 3
            isr __consumer_offsets/1 by leader is 1,2
                + __consumer_offsets/1 change 3 adding nobody in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 3
            register 3
                + broker 3 registers
                broker epoch 10
            beat 3
                + broker 3 is Active
                Active
            wait 100 1 2 3
                + __consumer_offsets/0 change 4 on 2,1,3 adding 3 as many as wanted
                + __consumer_offsets/1 change 4 on 3,2,1 adding 3 as many as wanted
            isr __consumer_offsets/2 by leader is 1,2
                + __consumer_offsets/2 change 3 adding nobody in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 3
            wait 100 1 2 3
                + __consumer_offsets/2 change 4 on 1,2,3 adding 3 as many as wanted
            isr __consumer_offsets/0 by leader is leader,2,3
                + __consumer_offsets/0 change 5 adding nobody in sync 1,2,3
                leader 1 in epoch 0, in sync 1,2,3, partition epoch 5
            isr __consumer_offsets/1 by leader is leader,1,3
                + __consumer_offsets/1 change 5 in sync 1,3
                leader 1 in epoch 0, in sync 1,3, partition epoch 5
            isr __consumer_offsets/2 by leader is leader,2,3
                + __consumer_offsets/2 change 5 adding nobody in sync 1,2,3
                leader 1 in epoch 0, in sync 1,2,3, partition epoch 5
            register 4
                + broker 4 registers
                broker epoch 18
            beat 4
                + broker 4 is Active
                Active
            wait 300 1 2 3 4
            show
                __consumer_offsets/0 on 2,1,3 in sync 1,2,3 leader 1 epochs 0.5
                __consumer_offsets/1 on 3,2,1 adding 3 in sync 1,3 leader 1 epochs 0.5
                __consumer_offsets/2 on 1,2,3 in sync 1,2,3 leader 1 epochs 0.5
                t/0 on 1 in sync 1 leader 1 epochs 0.0
        "#]],
    );
}

#[test]
fn internal_topics_get_no_more_replicas_than_are_asked_for_and_no_more_than_an_operator_gives_them() {
    check_internal(
        2,
        "register 1
         register 2 rack=a
         register 3 rack=b
         register 4 rack=b
         beat 3
         create __consumer_offsets 3 -
         reassign __consumer_offsets/1 3
         reassign __consumer_offsets/2 -
         beat 4
         beat 1
         wait 100 1 3 4
         reassign __consumer_offsets/2 -
         wait 500 1 3 4
         isr __consumer_offsets/0 by leader is leader,1
         beat 2
         takeover
         wait 500 1 2 3 4
         delete __consumer_offsets
         create __consumer_offsets 1 -
         create t 1 1
         delete __consumer_offsets
         create __consumer_offsets 1 1
         wait 500 1 2 3 4
         show",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            register 2 rack=a
                + broker 2 registers
                broker epoch 2
            register 3 rack=b
                + broker 3 registers
                broker epoch 3
            register 4 rack=b
                + broker 4 registers
                broker epoch 4
            beat 3
                + broker 3 is Active
                Active
            create __consumer_offsets 3 -
                + topic __consumer_offsets
                + __consumer_offsets/0 on 3 in sync 3 leader 3
                + __consumer_offsets/0 change 1 wants 2
                + __consumer_offsets/1 on 3 in sync 3 leader 3
                + __consumer_offsets/1 change 1 wants 2
                + __consumer_offsets/2 on 3 in sync 3 leader 3
                + __consumer_offsets/2 change 1 wants 2
                __consumer_offsets: created, 3 x 1, {}
            reassign __consumer_offsets/1 3
                + __consumer_offsets/1 change 2 as many as wanted
                __consumer_offsets/1: taken
            reassign __consumer_offsets/2 -
                __consumer_offsets/2: no reassignment of the partition is under way
            beat 4
                + broker 4 is Active
                Active
            beat 1
                + broker 1 is Active
                Active
            wait 100 1 3 4
                + __consumer_offsets/0 change 2 on 1,3 adding 1 as many as wanted
                + __consumer_offsets/2 change 2 on 3,1 adding 1 as many as wanted
            reassign __consumer_offsets/2 -
                + __consumer_offsets/2 change 3 on 3 adding nobody leader 3 in epoch 1
                __consumer_offsets/2: taken
            wait 500 1 3 4
            isr __consumer_offsets/0 by leader is leader,1
                + __consumer_offsets/0 change 3 adding nobody in sync 3,1
                leader 3 in epoch 0, in sync 3,1, partition epoch 3
            beat 2
                + broker 2 is Active
                Active
            takeover
            wait 500 1 2 3 4
            delete __consumer_offsets
                + no topic __consumer_offsets
                __consumer_offsets: deleted __consumer_offsets
            create __consumer_offsets 1 -
                + topic __consumer_offsets
                + __consumer_offsets/0 on 1,2 in sync 1,2 leader 1
                __consumer_offsets: created, 1 x 2, {}
            create t 1 1
                + topic t
                + t/0 on 2 in sync 2 leader 2
                t: created, 1 x 1, {}
            delete __consumer_offsets
                + no topic __consumer_offsets
                __consumer_offsets: deleted __consumer_offsets
            create __consumer_offsets 1 1
                + topic __consumer_offsets
                + __consumer_offsets/0 on 2 in sync 2 leader 2
                __consumer_offsets: created, 1 x 1, {}
            wait 500 1 2 3 4
            show
                __consumer_offsets/0 on 2 in sync 2 leader 2 epochs 0.0
                t/0 on 2 in sync 2 leader 2 epochs 0.0
        "#]],
    );
}

/// Brokers that show themselves more often than sessions are looked at put that look off for good.
#[test]
fn internal_topics_do_not_wait_until_a_broker_is_silent() {
    let internal_topics = [("__consumer_offsets".to_owned(), 2)].into();
    let mut rig = Rig::new(ControllerConfig { internal_topics, ..config() }, 0);
    for line in ["register 1", "beat 1", "create __consumer_offsets 2 -", "register 2"] {
        rig.run(line);
    }
    let is_due = |rig: &Rig| rig.controller.next_wake() == Some(Tick(0));
    assert!(!is_due(&rig));
    rig.run("beat 2");
    assert!(is_due(&rig), "the broker is there");
    rig.run("wait 200 1 2");
    assert!(!is_due(&rig), "they are on their way");
}
