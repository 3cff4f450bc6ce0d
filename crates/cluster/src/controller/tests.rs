//! Scripts of what happens to a cluster, one event a line, and what its controller makes of it.

mod balance;
mod eligible;
mod features;
mod offline;
mod partitions;
mod rig;
mod unclean;

use expect_test::{Expect, expect};
use klamm_model::Tick;

use super::*;
use rig::Rig;

fn config() -> ControllerConfig {
    ControllerConfig { session_timeout_ms: 600, ..ControllerConfig::default() }
}

fn check(script: &str, expected: Expect) {
    check_on(Rig::new(config(), 0), script, expected);
}

/// The same, with three brokers that take part already.
fn check_with_three(script: &str, expected: Expect) {
    let mut rig = Rig::new(config(), 0);
    for line in ["register 1", "register 2", "register 3", "beat 1", "beat 2", "beat 3"] {
        rig.run(line);
    }
    check_on(rig, script, expected);
}

#[allow(clippy::needless_pass_by_value)]
fn check_on(mut rig: Rig, script: &str, expected: Expect) {
    let mut told = String::new();
    for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
        told += &format!("{line}\n");
        for answer in rig.run(line).lines() {
            told += &format!("    {answer}\n");
        }
        rig.check();
    }
    expected.assert_eq(&told);
}

#[test]
fn a_broker_is_fenced_until_it_has_seen_its_own_registration() {
    check(
        "register 1
         beat 1 behind
         beat 1
         beat 1",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 1 behind
                Fenced, not caught up
            beat 1
                + broker 1 is Active
                Active
            beat 1
                Active
        "#]],
    );
}

#[test]
fn a_silent_leader_is_replaced_by_a_replica_in_sync() {
    check_with_three(
        "create t 3 3
             show
             wait 700 1 3
             show
             beat 2
             show",
        expect![[r#"
            create t 3 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t/1 on 2,3,1 in sync 2,3,1 leader 2
                + t/2 on 3,1,2 in sync 3,1,2 leader 3
                t: created, 3 x 3, {}
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 1 epochs 0.0
                t/1 on 2,3,1 in sync 2,3,1 leader 2 epochs 0.0
                t/2 on 3,1,2 in sync 3,1,2 leader 3 epochs 0.0
            wait 700 1 3
                + t/0 change 1 in sync 1,3
                + t/1 change 1 in sync 3,1 leader 3 in epoch 1
                + t/2 change 1 in sync 3,1
                + broker 2 is Fenced
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
                t/1 on 2,3,1 in sync 3,1 leader 3 epochs 1.1
                t/2 on 3,1,2 in sync 3,1 leader 3 epochs 0.1
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
                t/1 on 2,3,1 in sync 3,1 leader 3 epochs 1.1
                t/2 on 3,1,2 in sync 3,1 leader 3 epochs 0.1
        "#]],
    );
}

#[test]
fn a_process_that_is_gone_is_fenced_at_once_and_old_news_of_another_fences_nobody() {
    check_with_three(
        "assign t 2,3
             sees 2 gone-of-another 3 0
             sees 2 0 3 0
             sees 2 gone 3 0
             sees 2 gone 3 0
             register 2
             sees 2 gone-of-another 3 0
             beat 2
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            sees 2 gone-of-another 3 0
            sees 2 0 3 0
            sees 2 gone 3 0
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            sees 2 gone 3 0
            register 2
                + broker 2 registers
                broker epoch 9
            sees 2 gone-of-another 3 0
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 2,3 in sync 3 leader 3 epochs 1.1
        "#]],
    );
}

#[test]
fn a_broker_that_is_said_to_be_gone_and_is_not_loses_its_lead_once() {
    check_with_three(
        "assign t 2,3
             sees 2 gone 3 0
             beat 2 stuck
             sees 2 gone 3 0
             beat 2
             sees 2 gone 3 0
             wait 500 1 2 3
             sees 2 gone 3 0
             sees 2 0 3 0
             sees 2 gone 3 0",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            sees 2 gone 3 0
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            beat 2 stuck
                Fenced, not caught up
            sees 2 gone 3 0
            beat 2
                + broker 2 is Active
                Active
            sees 2 gone 3 0
            wait 500 1 2 3
            sees 2 gone 3 0
            sees 2 0 3 0
            sees 2 gone 3 0
                + broker 2 is Fenced
        "#]],
    );
}

#[test]
fn silence_is_of_both_ways_and_a_process_that_answers_has_longer_for_its_heartbeat() {
    check_with_three(
        "assign t 2,3
             wait 2500 1 ~2 3
             beat 2
             wait 2000 1 ~2 3
             wait 600 1 3
             wait 100 1 3
             beat 2
             wait 3000 1 ~2 3
             wait 100 1 ~2 3",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            wait 2500 1 ~2 3
            beat 2
                Active
            wait 2000 1 ~2 3
            wait 600 1 3
            wait 100 1 3
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            beat 2
                + broker 2 is Active
                Active
            wait 3000 1 ~2 3
            wait 100 1 ~2 3
                + broker 2 is Fenced
        "#]],
    );
}

#[test]
fn a_new_controller_knows_who_is_gone_and_who_has_been_silent_and_gives_the_others_time() {
    check_with_three(
        "assign t 1,2,3
             assign u 2,3
             wait 1000 1 2 3
             takeover-seeing 1 gone 2 500 3 0
             wait 100 ~3
             wait 100 ~3
             wait 2700 ~3
             wait 100 ~3
             wait 100 ~3",
        expect![[r#"
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            assign u 2,3
                + topic u
                + u/0 on 2,3 in sync 2,3 leader 2
                u: created, 1 x 2, {}
            wait 1000 1 2 3
            takeover-seeing 1 gone 2 500 3 0
                + t/0 change 1 in sync 2,3 leader 2 in epoch 1
                + broker 1 is Fenced
            wait 100 ~3
            wait 100 ~3
                + t/0 change 2 in sync 3 eligible 2 leader 3 in epoch 2
                + u/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            wait 2700 ~3
            wait 100 ~3
            wait 100 ~3
                + t/0 change 3 in sync nobody eligible 2,3 known 3 leader nobody in epoch 3
                + u/0 change 2 in sync nobody eligible 3 known 3 leader nobody in epoch 2
                + broker 3 is Fenced
        "#]],
    );
}

#[test]
fn the_last_in_sync_replica_stays_so_and_leads_again_when_it_returns() {
    check_with_three(
        "assign t 2,3
             wait 700 1 2
             wait 700 1
             show
             beat 3
             beat 2
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            wait 700 1 2
                + t/0 change 1 in sync 2
                + broker 3 is Fenced
            wait 700 1
                + t/0 change 2 in sync nobody eligible 2 known 2 leader nobody in epoch 1
                + broker 2 is Fenced
            show
                t/0 on 2,3 in sync nobody eligible 2 known 2 leader nobody epochs 1.2
            beat 3
                + broker 3 is Active
                Active
            beat 2
                + broker 2 is Active
                + t/0 change 3 in sync 2 eligible nobody known nobody leader 2 in epoch 2
                Active
            show
                t/0 on 2,3 in sync 2 leader 2 epochs 2.3
        "#]],
    );
}

#[test]
fn replicas_that_fall_silent_together_all_stay_in_sync() {
    check_with_three(
        "assign t 2,3
             wait 700 1
             show
             beat 3
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            wait 700 1
                + t/0 change 1 in sync nobody eligible 2,3 known 2 leader nobody in epoch 1
                + broker 2 is Fenced
                + broker 3 is Fenced
            show
                t/0 on 2,3 in sync nobody eligible 2,3 known 2 leader nobody epochs 1.1
            beat 3
                + broker 3 is Active
                + t/0 change 2 in sync 3 eligible nobody known nobody leader 3 in epoch 2
                Active
            show
                t/0 on 2,3 in sync 3 leader 3 epochs 2.2
        "#]],
    );
}

#[test]
fn a_restarted_broker_leads_under_a_new_epoch_only() {
    check(
        "register 1
         beat 1
         create t 1 1
         register 1
         show
         beat 1
         show
         register 1 again",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            create t 1 1
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            register 1
                + t/0 change 1 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 4
            show
                t/0 on 1 in sync 1 leader nobody epochs 1.1
            beat 1
                + broker 1 is Active
                + t/0 change 2 leader 1 in epoch 2
                Active
            show
                t/0 on 1 in sync 1 leader 1 epochs 2.2
            register 1 again
                broker epoch 4
        "#]],
    );
}

#[test]
fn a_broker_that_restarts_before_its_session_ends_leaves_the_in_sync_sets() {
    check_with_three(
        "create t 2 3
             register 2
             show",
        expect![[r#"
            create t 2 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t/1 on 2,3,1 in sync 2,3,1 leader 2
                t: created, 2 x 3, {}
            register 2
                + t/1 change 1 leader 3 in epoch 1
                + broker 2 registers
                broker epoch 8
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 1 epochs 0.0
                t/1 on 2,3,1 in sync 2,3,1 leader 3 epochs 1.1
        "#]],
    );
}

#[test]
fn a_broker_with_another_disk_or_of_another_cluster_is_refused() {
    check(
        "register 1
         register 1 other-disk
         register 2 other-cluster",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            register 1 other-disk
                broker 1 is known with another data directory; unregister it first if that one is lost
            register 2 other-cluster
                the broker belongs to cluster elsewhere, this is here
        "#]],
    );
}

#[test]
fn a_broker_that_was_fenced_stops_when_others_know_of_it() {
    check_with_three(
        "assign t 2,3
             wait 700 3
             beat 2 stop
             beat 3
             beat 2 stop",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            wait 700 3
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 1 is Fenced
                + broker 2 is Fenced
            beat 2 stop
                Fenced
            beat 3
                Active
            beat 2 stop
                Fenced, may stop
        "#]],
    );
}

#[test]
fn a_broker_that_wants_to_stop_hands_over_first() {
    check_with_three(
        "assign t 2,3
             assign u 2
             beat 2 stop
             show
             beat 2 stop
             beat 1
             beat 2 stop
             beat 3
             beat 2 stop
             create v 1 3
             beat 2
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            assign u 2
                + topic u
                + u/0 on 2 in sync 2 leader 2
                u: created, 1 x 1, {}
            beat 2 stop
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + u/0 change 1 in sync nobody eligible 2 known 2 leader nobody in epoch 1
                + broker 2 is Draining
                Draining
            show
                t/0 on 2,3 in sync 3 leader 3 epochs 1.1
                u/0 on 2 in sync nobody eligible 2 known 2 leader nobody epochs 1.1
            beat 2 stop
                Draining
            beat 1
                Active
            beat 2 stop
                Draining
            beat 3
                Active
            beat 2 stop
                + broker 2 is Fenced
                Fenced, may stop
            create v 1 3
                v: Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 2 broker(s) take part.
            beat 2
                + broker 2 is Active
                + u/0 change 2 in sync 2 eligible nobody known nobody leader 2 in epoch 2
                Active
            show
                t/0 on 2,3 in sync 3 leader 3 epochs 1.1
                u/0 on 2 in sync 2 leader 2 epochs 2.2
        "#]],
    );
}

#[test]
fn a_broker_can_fence_itself() {
    check_with_three(
        "assign t 2,3
             beat 2 fence
             beat 2 fence
             beat 2
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            beat 2 fence
                + t/0 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
                Fenced
            beat 2 fence
                Fenced
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 2,3 in sync 3 leader 3 epochs 1.1
        "#]],
    );
}

#[test]
fn heartbeats_of_another_registration_are_refused() {
    check(
        "register 1
         beat 7
         beat-of 1 0",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 7
                broker 7 is not registered
            beat-of 1 0
                epoch 0 of broker 1 is not 1
        "#]],
    );
}

/// The simulator's seed 2366: one that heard nothing of the metadata was taken for alive, and told old clients that what they had read was not there.
#[test]
fn who_does_not_know_that_it_was_fenced_does_not_come_back() {
    check_with_three(
        "wait 700 1 3
         beat 2 stuck
         takeover
         beat 2 stuck
         beat 2",
        expect![[r#"
            wait 700 1 3
                + broker 2 is Fenced
            beat 2 stuck
                Fenced, not caught up
            takeover
            beat 2 stuck
                Fenced, not caught up
            beat 2
                + broker 2 is Active
                Active
        "#]],
    );
}

#[test]
fn a_controller_that_was_asleep_blames_nobody() {
    check_with_three(
        "create t 1 3
             sleep 5000
             wait 500
             wait 200",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            sleep 5000
            wait 500
            wait 200
                + t/0 change 1 in sync nobody eligible 1,2,3 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
                + broker 2 is Fenced
                + broker 3 is Fenced
        "#]],
    );
}

#[test]
fn a_new_controller_gives_everybody_a_whole_timeout() {
    check_with_three(
        "create t 2 2
             wait 500
             takeover
             wait 500
             wait 200",
        expect![[r#"
            create t 2 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                t: created, 2 x 2, {}
            wait 500
            takeover
            wait 500
            wait 200
                + t/0 change 1 in sync nobody eligible 1,2 known 1 leader nobody in epoch 1
                + t/1 change 1 in sync nobody eligible 2,3 known 2 leader nobody in epoch 1
                + broker 1 is Fenced
                + broker 2 is Fenced
                + broker 3 is Fenced
        "#]],
    );
}

#[test]
fn in_sync_sets_change_as_their_leader_says() {
    check_with_three(
        "assign t 1,2,3
             isr t/0 by 1 is 1,2
             isr t/0 by 1 is 1,2
             isr t/0 by 1 is 1,2,3
             show",
        expect![[r#"
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            isr t/0 by 1 is 1,2
                + t/0 change 1 in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 1
            isr t/0 by 1 is 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 1
            isr t/0 by 1 is 1,2,3
                + t/0 change 2 in sync 1,2,3
                leader 1 in epoch 0, in sync 1,2,3, partition epoch 2
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 1 epochs 0.2
        "#]],
    );
}

#[test]
fn in_sync_sets_do_not_change_for_late_or_wrong_proposals() {
    check_with_three(
        "assign t 1,2,3
             isr t/0 by 1 is 1,2
             isr t/0 by 1 is 1 partition-epoch 0
             isr t/0 by 1 is 1 partition-epoch 2
             isr t/0 by 1 is 1 leader-epoch 1
             isr t/0 by 2 is 1,2
             isr t/0 by 1 is 2
             isr t/0 by 1 is 1,1
             isr t/0 by 1 is 1,4
             isr t/1 by 1 is 1
             isr t/0 by 1 is 1,3 member-epochs-off
             isr t/0 by 1 is 1 broker-epoch-off
             wait 700 1 2
             isr t/0 by 1 is 1,2,3
             beat 2 stop
             isr t/0 by 1 is 1,2
             beat 1 fence
             isr t/0 by 1 is 1 leader-epoch 0",
        expect![[r#"
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            isr t/0 by 1 is 1,2
                + t/0 change 1 in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 1
            isr t/0 by 1 is 1 partition-epoch 0
                partition epoch 0 is older than 1
            isr t/0 by 1 is 1 partition-epoch 2
                the proposal is newer than this controller's state
            isr t/0 by 1 is 1 leader-epoch 1
                the proposal is newer than this controller's state
            isr t/0 by 2 is 1,2
                the leader is Some(BrokerId(1)), not 2
            isr t/0 by 1 is 2
                the proposed in-sync set is impossible: the leader is not in it
            isr t/0 by 1 is 1,1
                the proposed in-sync set is impossible: a broker is named twice
            isr t/0 by 1 is 1,4
                the proposed in-sync set is impossible: a broker has no replica
            isr t/1 by 1 is 1
                there is no partition 19SndAdxS6qsZK_nBlUR6A-1
            isr t/0 by 1 is 1,3 member-epochs-off
                broker 3 may not be in sync now
            isr t/0 by 1 is 1 broker-epoch-off
                epoch 2 of broker 1 is not 1
            wait 700 1 2
                + broker 3 is Fenced
            isr t/0 by 1 is 1,2,3
                broker 3 may not be in sync now
            beat 2 stop
                + t/0 change 2 in sync 1 eligible 2
                + broker 2 is Draining
                Draining
            isr t/0 by 1 is 1,2
                broker 2 may not be in sync now
            beat 1 fence
                + t/0 change 3 in sync nobody eligible 1,2 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
                Fenced
            isr t/0 by 1 is 1 leader-epoch 0
                leader epoch 0 is older than 1
        "#]],
    );
}

#[test]
fn topics_get_the_defaults_of_the_cluster() {
    check(
        "create t - -
             register 1
             create t - -
             beat 1
             create t - -
             register 2
             register 3
             beat 2
             beat 3
             create u - -
             create v 4 1 cleanup.policy=compact retention.ms=-1",
        expect![[r#"
            create t - -
                t: Unable to replicate the partition 1 time(s): The target replication factor of 1 cannot be reached because only 0 broker(s) take part.
            register 1
                + broker 1 registers
                broker epoch 1
            create t - -
                t: Unable to replicate the partition 1 time(s): The target replication factor of 1 cannot be reached because only 0 broker(s) take part.
            beat 1
                + broker 1 is Active
                Active
            create t - -
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            register 2
                + broker 2 registers
                broker epoch 4
            register 3
                + broker 3 registers
                broker epoch 5
            beat 2
                + broker 2 is Active
                Active
            beat 3
                + broker 3 is Active
                Active
            create u - -
                + topic u
                + u/0 on 2,3,1 in sync 2,3,1 leader 2
                u: created, 1 x 3, {}
            create v 4 1 cleanup.policy=compact retention.ms=-1
                + topic v
                + v/0 on 3 in sync 3 leader 3
                + v/1 on 1 in sync 1 leader 1
                + v/2 on 2 in sync 2 leader 2
                + v/3 on 3 in sync 3 leader 3
                + v cleanup.policy = Some("compact")
                + v retention.ms = Some("-1")
                v: created, 4 x 1, {"cleanup.policy": "compact", "retention.ms": "-1"}
        "#]],
    );
}

#[test]
fn topics_that_cannot_be_are_refused() {
    check_with_three(
        "create a.b 1 1
             create a.b 1 1
             create a_b 1 1
             create .. 1 1
             create __cluster_metadata 1 1
             create t 0 1
             create t -5 1
             create t 1 0
             create t 1 4
             create t 10001 1
             create t 1 1 retention=1
             create t 1 1 retention.ms=soon
             assign t 1,2;2
             assign t 1,1
             assign t 4
             create-all t t x.y x_y z
             would-create w 1 1
             show",
        expect![[r#"
            create a.b 1 1
                + topic a.b
                + a.b/0 on 1 in sync 1 leader 1
                a.b: created, 1 x 1, {}
            create a.b 1 1
                a.b: Topic 'a.b' already exists.
            create a_b 1 1
                a_b: Topic 'a_b' collides with existing topic: a.b
            create .. 1 1
                ..: Topic name is invalid: '.' and '..' are not allowed
            create __cluster_metadata 1 1
                __cluster_metadata: Creation of internal topic __cluster_metadata is prohibited.
            create t 0 1
                t: Number of partitions was set to an invalid non-positive value: 0.
            create t -5 1
                t: Number of partitions was set to an invalid non-positive value: -5.
            create t 1 0
                t: Replication factor must be larger than 0, or -1 to use the default value.
            create t 1 4
                t: Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because only 3 broker(s) take part.
            create t 10001 1
                t: Excessively large number of partitions per request: at most 10000 are created.
            create t 1 1 retention=1
                t: Unknown topic config name: "retention"; is it retention.ms?
            create t 1 1 retention.ms=soon
                t: Invalid value "soon" for configuration retention.ms: it is a whole number from -1
            assign t 1,2;2
                t: the assignment of partitions cannot be used: partition 1 has 1 replicas, partition 0 has 2
            assign t 1,1
                t: the assignment of partitions cannot be used: a partition names a broker twice
            assign t 4
                t: the assignment of partitions cannot be used: broker 4 is not registered
            create-all t t x.y x_y z
                + topic x.y
                + x.y/0 on 2 in sync 2 leader 2
                + topic z
                + z/0 on 3 in sync 3 leader 3
                t: topic t is named more than once
                x.y: created, 1 x 1, {}
                x_y: Topic 'x_y' collides with existing topic: x.y
                z: created, 1 x 1, {}
            would-create w 1 1
                w: valid, 1 x 1, {}
            show
                a.b/0 on 1 in sync 1 leader 1 epochs 0.0
                x.y/0 on 2 in sync 2 leader 2 epochs 0.0
                z/0 on 3 in sync 3 leader 3 epochs 0.0
        "#]],
    );
}

#[test]
fn partitions_are_spread_evenly_and_over_racks() {
    check(
        "register 1 rack=a
         register 2 rack=a
         register 3 rack=b
         register 4 rack=b
         beat 1
         beat 2
         beat 3
         beat 4
         create t 8 2
         show
         create u 1 3
         create v 1 3",
        expect![[r#"
            register 1 rack=a
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
            beat 1
                + broker 1 is Active
                Active
            beat 2
                + broker 2 is Active
                Active
            beat 3
                + broker 3 is Active
                Active
            beat 4
                + broker 4 is Active
                Active
            create t 8 2
                + topic t
                + t/0 on 1,3 in sync 1,3 leader 1
                + t/1 on 3,2 in sync 3,2 leader 3
                + t/2 on 2,4 in sync 2,4 leader 2
                + t/3 on 4,1 in sync 4,1 leader 4
                + t/4 on 1,4 in sync 1,4 leader 1
                + t/5 on 3,1 in sync 3,1 leader 3
                + t/6 on 2,3 in sync 2,3 leader 2
                + t/7 on 4,2 in sync 4,2 leader 4
                t: created, 8 x 2, {}
            show
                t/0 on 1,3 in sync 1,3 leader 1 epochs 0.0
                t/1 on 3,2 in sync 3,2 leader 3 epochs 0.0
                t/2 on 2,4 in sync 2,4 leader 2 epochs 0.0
                t/3 on 4,1 in sync 4,1 leader 4 epochs 0.0
                t/4 on 1,4 in sync 1,4 leader 1 epochs 0.0
                t/5 on 3,1 in sync 3,1 leader 3 epochs 0.0
                t/6 on 2,3 in sync 2,3 leader 2 epochs 0.0
                t/7 on 4,2 in sync 4,2 leader 4 epochs 0.0
            create u 1 3
                + topic u
                + u/0 on 1,4,3 in sync 1,4,3 leader 1
                u: created, 1 x 3, {}
            create v 1 3
                + topic v
                + v/0 on 3,1,2 in sync 3,1,2 leader 3
                v: created, 1 x 3, {}
        "#]],
    );
}

#[test]
fn followers_of_one_leader_are_not_always_the_same() {
    check_with_three(
        "create t 6 2
             show",
        expect![[r#"
            create t 6 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                + t/2 on 3,1 in sync 3,1 leader 3
                + t/3 on 1,3 in sync 1,3 leader 1
                + t/4 on 2,1 in sync 2,1 leader 2
                + t/5 on 3,2 in sync 3,2 leader 3
                t: created, 6 x 2, {}
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 0.0
                t/1 on 2,3 in sync 2,3 leader 2 epochs 0.0
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
                t/3 on 1,3 in sync 1,3 leader 1 epochs 0.0
                t/4 on 2,1 in sync 2,1 leader 2 epochs 0.0
                t/5 on 3,2 in sync 3,2 leader 3 epochs 0.0
        "#]],
    );
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    check_with_three(
        "create t 1 1 retention.ms=5
             create u 1 1
             delete t x t
             delete t
             create t 1 1
             delete-by-id u
             show",
        expect![[r#"
            create t 1 1 retention.ms=5
                + topic t
                + t/0 on 1 in sync 1 leader 1
                + t retention.ms = Some("5")
                t: created, 1 x 1, {"retention.ms": "5"}
            create u 1 1
                + topic u
                + u/0 on 2 in sync 2 leader 2
                u: created, 1 x 1, {}
            delete t x t
                t: the topic is named more than once
                x: The topic 'x' does not exist.
            delete t
                + no topic t
                t: deleted t
            create t 1 1
                + topic t
                + t/0 on 2 in sync 2 leader 2
                t: created, 1 x 1, {}
            delete-by-id u
                + no topic u
                by id: deleted u
                by id: there is no topic with the id AAAAAAAAAAAAAAAAAAAAAA
            show
                t/0 on 2 in sync 2 leader 2 epochs 0.0
        "#]],
    );
}

#[test]
fn producer_ids_are_given_out_once() {
    check(
        "register 1
         ids 1
         ids 1
         ids 2",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            ids 1
                + producer ids below 1000 to 1
                1000 from 0
            ids 1
                + producer ids below 2000 to 1
                1000 from 1000
            ids 2
                broker 2 is not registered
        "#]],
    );
}

#[test]
fn configs_change_key_by_key() {
    check(
        "register 1
         beat 1
         create t 1 1
         set t retention.ms=5 segment.ms=7
         set t retention.ms=5
         set t retention.ms= segment.ms=8
         set t segment.ms=1 segment.ms=2
         set t flush=1
         set x segment.ms=1
         set t min.compaction.lag.ms=5 max.compaction.lag.ms=4
         set t would retention.ms=9
         set t twice retention.ms=9
         set t only cleanup.policy=compact
         set t cleanup.policy+=delete,compact
         set t cleanup.policy-=compact
         set t retention.ms+=1
         set t retention.mss=",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            create t 1 1
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            set t retention.ms=5 segment.ms=7
                + t retention.ms = Some("5")
                + t segment.ms = Some("7")
                set
            set t retention.ms=5
                set
            set t retention.ms= segment.ms=8
                + t retention.ms = None
                + t segment.ms = Some("8")
                set
            set t segment.ms=1 segment.ms=2
                segment.ms is named more than once
            set t flush=1
                Unknown topic config name: "flush"; is it flush.ms?
            set x segment.ms=1
                The topic 'x' does not exist.
            set t min.compaction.lag.ms=5 max.compaction.lag.ms=4
                conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (4)
            set t would retention.ms=9
                set
            set t twice retention.ms=9
                Each resource must appear at most once.
                Each resource must appear at most once.
            set t only cleanup.policy=compact
                + t segment.ms = None
                + t cleanup.policy = Some("compact")
                set
            set t cleanup.policy+=delete,compact
                + t cleanup.policy = Some("compact,delete")
                set
            set t cleanup.policy-=compact
                + t cleanup.policy = Some("delete")
                set
            set t retention.ms+=1
                retention.ms is not a list: items cannot be added or taken out
            set t retention.mss=
                Unknown topic config name: "retention.mss"; is it retention.ms?
        "#]],
    );
}

#[test]
fn brokers_configs_change_where_a_running_broker_can_take_them() {
    check(
        "register 1
         beat 1
         set-brokers log.retention.ms=5 max.connections=100
         set-broker 1 log.retention.ms=6
         set-brokers retention.ms=5
         set-brokers log.retention.ms=week
         set-broker 1 num.partitions=3
         set-brokers cordoned.log.dirs=/a
         set-broker 1 cordoned.log.dirs=/a
         set-broker 1 ssl.keystore.password=secret
         set-broker 2 log.retention.ms=6
         set-broker 1 principal.builder.class=com.example.Mine
         set-brokers metric.reporters+=com.example.Mine
         set-brokers only log.retention.ms=7",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            set-brokers log.retention.ms=5 max.connections=100
                + BrokerDefault log.retention.ms = Some("5")
                + BrokerDefault max.connections = Some("100")
                set
            set-broker 1 log.retention.ms=6
                + Broker(BrokerId(1)) log.retention.ms = Some("6")
                set
            set-brokers retention.ms=5
                Unknown broker config name: "retention.ms"
            set-brokers log.retention.ms=week
                Invalid value "week" for configuration log.retention.ms: it is a whole number from -1
            set-broker 1 num.partitions=3
                Cannot update these configs dynamically: num.partitions is given at the start
            set-brokers cordoned.log.dirs=/a
                cordoned.log.dirs can be set for one broker at a time only
            set-broker 1 cordoned.log.dirs=/a
                + Broker(BrokerId(1)) cordoned.log.dirs = Some("/a")
                set
            set-broker 1 ssl.keystore.password=secret
                ssl.keystore.password is a secret and is not kept in the cluster's metadata
            set-broker 2 log.retention.ms=6
                No broker with id 2 found.
            set-broker 1 principal.builder.class=com.example.Mine
                principal.builder.class cannot be "com.example.Mine": no Java class can be asked who a client is
            set-brokers metric.reporters+=com.example.Mine
                + BrokerDefault metric.reporters = Some("org.apache.kafka.common.metrics.JmxReporter,com.example.Mine")
                set
            set-brokers only log.retention.ms=7
                + BrokerDefault max.connections = None
                + BrokerDefault metric.reporters = None
                + BrokerDefault log.retention.ms = Some("7")
                set
        "#]],
    );
}

#[test]
fn quotas_change_key_by_key() {
    check(
        "quota user=a producer_byte_rate=1024 request_percentage=50
         quota user=a producer_byte_rate=1024 request_percentage=
         quota user=a,client-id= consumer_byte_rate=7
         quota user=a producer_byte_rate=
         quota user=a producer_byte_rate=
         quota user=a producer_byte_rate=0
         quota user=a producer_byte_rate=1 producer_byte_rate=2
         quota user=a connection_creation_rate=1
         quota group=a producer_byte_rate=1",
        expect![[r#"
            quota user=a producer_byte_rate=1024 request_percentage=50
                + quota of user=a: producer_byte_rate = Some(1024)
                + quota of user=a: request_percentage = Some(50)
                set
            quota user=a producer_byte_rate=1024 request_percentage=
                + quota of user=a: request_percentage = None
                set
            quota user=a,client-id= consumer_byte_rate=7
                + quota of user=a,client-id=<default>: consumer_byte_rate = Some(7)
                set
            quota user=a producer_byte_rate=
                + quota of user=a: producer_byte_rate = None
                set
            quota user=a producer_byte_rate=
                set
            quota user=a producer_byte_rate=0
                producer_byte_rate cannot be 0
            quota user=a producer_byte_rate=1 producer_byte_rate=2
                a quota is given more than once
            quota user=a connection_creation_rate=1
                there is no quota "connection_creation_rate" for user=a
            quota group=a producer_byte_rate=1
                there are no quotas for a "group"
        "#]],
    );
}

#[test]
fn a_new_controller_finishes_what_was_left_over() {
    let mut rig = Rig::new(ControllerConfig { entry_bytes_max: 50, ..ControllerConfig::default() }, 0);
    for line in ["register 1 old", "beat 1", "create t 1 1", "create u 1 1", "create v 1 1", "register 1 old"]
    {
        rig.run(line);
    }
    // Of what the broker's return brings about, only the first entry is committed.
    rig.run_cut_short("beat 1", 1);
    assert_eq!(rig.run("takeover").lines().count(), 2, "two partitions were left without a leader");
    rig.check();
}

#[test]
fn one_broker_alone_needs_no_timer() {
    let mut rig = Rig::new(ControllerConfig::default(), 0);
    rig.run("register 0");
    rig.run("beat 0");
    assert_eq!(rig.controller.next_wake(), None);
    rig.run("register 1");
    assert!(rig.controller.next_wake().is_some(), "where it was in sync, it must take part soon");
    rig.run("wait 1100");
    assert_eq!(rig.controller.next_wake(), None, "a fenced broker has nothing to lose");
    rig.run("beat 1");
    assert!(rig.controller.next_wake().is_some_and(|it| it <= Tick(0).after_ms(1400)));
}

#[test]
fn a_large_change_is_split_and_the_registration_still_knows_its_offset() {
    let mut rig = Rig::new(ControllerConfig { entry_bytes_max: 2000, ..ControllerConfig::default() }, 0);
    for line in ["register 0", "beat 0", "create a 40 1", "create b 40 1", "create c 40 1"] {
        rig.run(line);
    }
    let before = rig.controller.appended();
    rig.run("register 0");
    assert!(before + 1 < rig.controller.appended(), "leaving 120 partitions takes more than one entry");
    let epoch = rig.controller.image().broker(BrokerId(0)).expect("it is registered").epoch;
    assert_eq!(epoch.0.unsigned_abs(), rig.controller.appended());
    rig.check();
    rig.run("beat 0");
    assert_eq!(rig.run("create d 100 1"), "d: what the request creates is too large to be committed at once");
}

mod property {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = String> {
        let broker = 0..4;
        let topic = prop::sample::select(vec!["t", "u", "v.w", "v_w"]);
        prop_oneof![
            2 => broker.clone().prop_map(|id| format!("register {id}")),
            6 => broker.clone().prop_map(|id| format!("beat {id}")),
            1 => broker.clone().prop_map(|id| format!("beat {id} stop")),
            1 => broker.clone().prop_map(|id| format!("beat {id} fence")),
            2 => (topic.clone(), 1..5, 1..4).prop_map(|(name, count, factor)| format!("create {name} {count} {factor}")),
            1 => topic.clone().prop_map(|name| format!("delete {name}")),
            2 => prop::collection::vec(broker.clone(), 0..3).prop_map(|alive| {
                let alive: Vec<_> = alive.iter().map(ToString::to_string).collect();
                format!("wait 700 {}", alive.join(" "))
            }),
            6 => (topic.clone(), 0..4, prop::collection::vec(broker.clone(), 1..4)).prop_map(|(name, at, isr)| {
                let isr: Vec<_> = isr.iter().map(ToString::to_string).collect();
                format!("isr {name}/{at} by leader is leader,{}", isr.join(","))
            }),
            1 => broker.clone().prop_map(|id| format!("ids {id}")),
            1 => (topic.clone(), 1..3).prop_map(|(name, value)| format!("set {name} retention.ms={value}")),
            1 => (topic.clone(), 1..6).prop_map(|(name, count)| format!("grow {name} {count}")),
            1 => (topic.clone(), 0..4).prop_map(|(name, at)| format!("elect {name}/{at}")),
            1 => Just("elect".to_owned()),
            1 => (topic.clone(), 0..4).prop_map(|(name, at)| format!("elect-unclean {name}/{at}")),
            1 => (topic.clone(), any::<bool>()).prop_map(|(name, it)| format!("set {name} unclean.leader.election.enable={it}")),
            2 => (broker.clone(), topic.clone(), 0..4).prop_map(|(id, name, at)| format!("offline {id} {name}/{at}")),
            2 => (topic.clone(), 0..4, prop::collection::btree_set(broker.clone(), 1..4)).prop_map(|(name, at, ids)| {
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                format!("reassign {name}/{at} {}", ids.join(","))
            }),
            1 => (topic, 0..4).prop_map(|(name, at)| format!("reassign {name}/{at} -")),
            1 => broker.prop_map(|id| format!("unregister {id}")),
            1 => Just("takeover".to_owned()),
        ]
    }

    proptest! {
        /// After every step: the image rebuilt from what was committed is the controller's own, the rules of partitions hold, and a second run of the same
        /// script writes the same bytes.
        #[test]
        fn the_image_is_the_sum_of_the_log_and_nothing_else(lines in prop::collection::vec(line(), 0..60), seed: u64) {
            let start = (0..4).map(|id| format!("register {id}")).chain((0..4).map(|id| format!("beat {id}")));
            let start = start.chain(["create t 4 3".to_owned(), "create u 2 4".to_owned()]);
            let config = ControllerConfig {
                balance_interval_ms: Some(1_500),
                internal_topics: [("u".to_owned(), 3), ("v.w".to_owned(), 2)].into(),
                ..ControllerConfig::default()
            };
            let mut rigs = [Rig::new(config.clone(), seed), Rig::new(config, seed)];
            for line in start.chain(lines) {
                let told = rigs.each_mut().map(|rig| rig.run(&line));
                prop_assert_eq!(&told[0], &told[1]);
                rigs[0].check();
            }
            prop_assert_eq!(rigs[0].log(), rigs[1].log());
        }
    }
}
