//! Who else could lead (KIP-966), and what a crash takes from a broker.

use expect_test::expect;

use super::{check, check_with_three};

#[test]
fn who_leaves_when_too_few_stay_is_eligible() {
    check_with_three(
        "create t 1 3
         wait 700 1 2
         wait 700 1
         show
         wait 700
         beat 3
         beat 2
         show
         isr t/0 by leader is leader,3
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            wait 700 1 2
                + t/0 change 1 in sync 1,2
                + broker 3 is Fenced
            wait 700 1
                + t/0 change 2 in sync 1 eligible 2
                + broker 2 is Fenced
            show
                t/0 on 1,2,3 in sync 1 eligible 2 leader 1 epochs 0.2
            wait 700
                + t/0 change 3 in sync nobody eligible 1,2 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
            beat 3
                + broker 3 is Active
                Active
            beat 2
                + broker 2 is Active
                + t/0 change 4 in sync 2 eligible 1 known nobody leader 2 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 2 eligible 1 leader 2 epochs 2.4
            isr t/0 by leader is leader,3
                + t/0 change 5 in sync 2,3 eligible nobody
                leader 2 in epoch 2, in sync 2,3, partition epoch 5
            show
                t/0 on 1,2,3 in sync 2,3 leader 2 epochs 2.5
        "#]],
    );
}

#[test]
fn nobody_is_eligible_where_one_in_sync_is_enough() {
    check_with_three(
        "create t 1 3 min.insync.replicas=1
         wait 700 1
         show
         wait 700
         beat 2
         beat 1
         show",
        expect![[r#"
            create t 1 3 min.insync.replicas=1
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t min.insync.replicas = Some("1")
                t: created, 1 x 3, {"min.insync.replicas": "1"}
            wait 700 1
                + t/0 change 1 in sync 1
                + broker 2 is Fenced
                + broker 3 is Fenced
            show
                t/0 on 1,2,3 in sync 1 leader 1 epochs 0.1
            wait 700
                + t/0 change 2 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
            beat 2
                + broker 2 is Active
                Active
            beat 1
                + broker 1 is Active
                + t/0 change 3 in sync 1 eligible nobody known nobody leader 1 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 1 leader 1 epochs 2.3
        "#]],
    );
}

#[test]
fn who_is_eligible_is_so_no_more_when_fewer_are_enough() {
    check_with_three(
        "create t 1 3
         wait 700 1
         show
         set t min.insync.replicas=1 would
         set t min.insync.replicas=3
         show
         set t min.insync.replicas=1
         show
         set t min.insync.replicas=
         set-brokers min.insync.replicas=1
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            wait 700 1
                + t/0 change 1 in sync 1 eligible 2,3
                + broker 2 is Fenced
                + broker 3 is Fenced
            show
                t/0 on 1,2,3 in sync 1 eligible 2,3 leader 1 epochs 0.1
            set t min.insync.replicas=1 would
                set
            set t min.insync.replicas=3
                + t min.insync.replicas = Some("3")
                set
            show
                t/0 on 1,2,3 in sync 1 eligible 2,3 leader 1 epochs 0.1
            set t min.insync.replicas=1
                + t min.insync.replicas = Some("1")
                + t/0 change 2 eligible nobody
                set
            show
                t/0 on 1,2,3 in sync 1 leader 1 epochs 0.2
            set t min.insync.replicas=
                + t min.insync.replicas = None
                set
            set-brokers min.insync.replicas=1
                + BrokerDefault min.insync.replicas = Some("1")
                set
            show
                t/0 on 1,2,3 in sync 1 leader 1 epochs 0.2
        "#]],
    );
}

/// Every member of the in-sync set of a synced topic has on its disk what it ever said it has.
#[test]
fn all_crash_at_once_and_whoever_is_back_leads() {
    check_with_three(
        "create t 1 3
         register 1
         show
         beat 1
         show
         wait 700 1
         show
         register 3
         beat 3
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            register 1
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 2 epochs 1.1
            beat 1
                + broker 1 is Active
                Active
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 2 epochs 1.1
            wait 700 1
                + t/0 change 2 in sync 1 eligible 2,3 leader 1 in epoch 2
                + broker 2 is Fenced
                + broker 3 is Fenced
            show
                t/0 on 1,2,3 in sync 1 eligible 2,3 leader 1 epochs 2.2
            register 3
                + broker 3 registers
                broker epoch 11
            beat 3
                + broker 3 is Active
                Active
            show
                t/0 on 1,2,3 in sync 1 eligible 2,3 leader 1 epochs 2.2
        "#]],
    );
}

#[test]
fn a_broker_that_restarts_and_does_not_come_to_take_part_is_in_sync_no_more() {
    check_with_three(
        "create t 1 3
         register 2
         show
         wait 700 1 3
         show
         register 2
         takeover
         wait 700 1 3
         wait 700 1 3
         beat 2
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            register 2
                + broker 2 registers
                broker epoch 8
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 1 epochs 0.0
            wait 700 1 3
                + t/0 change 1 in sync 1,3
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
            register 2
                + broker 2 registers
                broker epoch 10
            takeover
            wait 700 1 3
            wait 700 1 3
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
        "#]],
    );
}

#[test]
fn a_leader_takes_nobody_in_who_only_restarts_but_keeps_those_who_are() {
    check_with_three(
        "create t 1 3
         register 2
         isr t/0 by leader is leader,2
         register 3
         isr t/0 by leader is leader,2,3",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            register 2
                + broker 2 registers
                broker epoch 8
            isr t/0 by leader is leader,2
                + t/0 change 1 in sync 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 1
            register 3
                + broker 3 registers
                broker epoch 10
            isr t/0 by leader is leader,2,3
                broker 3 may not be in sync now
        "#]],
    );
}

#[test]
fn the_only_replica_leads_again_when_it_crashed_twice_before_it_led() {
    check_with_three(
        "assign t 2
         set t flush.messages=1000
         register 2 stopped
         show
         register 2
         show
         beat 2
         show",
        expect![[r#"
            assign t 2
                + topic t
                + t/0 on 2 in sync 2 leader 2
                t: created, 1 x 1, {}
            set t flush.messages=1000
                + t flush.messages = Some("1000")
                set
            register 2 stopped
                + t/0 change 1 leader nobody in epoch 1
                + broker 2 registers
                broker epoch 9
            show
                t/0 on 2 in sync 2 leader nobody epochs 1.1
            register 2
                + t/0 change 2 in sync nobody known 2
                + broker 2 registers
                broker epoch 10
            show
                t/0 on 2 in sync nobody known 2 leader nobody epochs 1.2
            beat 2
                + broker 2 is Active
                + t/0 change 3 in sync 2 known nobody leader 2 in epoch 2
                Active
            show
                t/0 on 2 in sync 2 leader 2 epochs 2.3
        "#]],
    );
}

#[test]
fn who_crashed_is_out_where_nobody_waits_for_the_disk() {
    check_with_three(
        "create t 1 3 flush.messages=1000
         register 2
         show
         register 3 stopped
         show
         register 3
         show
         register 1
         beat 2
         beat 3
         show
         beat 1
         show
         isr t/0 by leader is leader,3,2
         show",
        expect![[r#"
            create t 1 3 flush.messages=1000
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t flush.messages = Some("1000")
                t: created, 1 x 3, {"flush.messages": "1000"}
            register 2
                + t/0 change 1 in sync 1,3
                + broker 2 registers
                broker epoch 8
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
            register 3 stopped
                + broker 3 registers
                broker epoch 9
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
            register 3
                + t/0 change 2 in sync 1 known 3
                + broker 3 registers
                broker epoch 10
            show
                t/0 on 1,2,3 in sync 1 known 3 leader 1 epochs 0.2
            register 1
                + t/0 change 3 in sync nobody known 1 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 11
            beat 2
                + broker 2 is Active
                Active
            beat 3
                + broker 3 is Active
                Active
            show
                t/0 on 1,2,3 in sync nobody known 1 leader nobody epochs 1.3
            beat 1
                + broker 1 is Active
                + t/0 change 4 in sync 1 known nobody recovering leader 1 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 1 recovering leader 1 epochs 2.4
            isr t/0 by leader is leader,3,2
                + t/0 change 5 in sync 1,3,2 recovered
                leader 1 in epoch 2, in sync 1,3,2, partition epoch 5
            show
                t/0 on 1,2,3 in sync 1,3,2 leader 1 epochs 2.5
        "#]],
    );
}

#[test]
fn the_only_replica_leads_again_whatever_it_has() {
    check(
        "register 1 relaxed
         beat 1
         create t 1 1
         create u 1 1 flush.messages=1
         register 1
         show
         beat 1
         show",
        expect![[r#"
            register 1 relaxed
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            create t 1 1
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            create u 1 1 flush.messages=1
                + topic u
                + u/0 on 1 in sync 1 leader 1
                + u flush.messages = Some("1")
                u: created, 1 x 1, {"flush.messages": "1"}
            register 1
                + t/0 change 1 in sync nobody known 1 leader nobody in epoch 1
                + u/0 change 1 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 5
            show
                t/0 on 1 in sync nobody known 1 leader nobody epochs 1.1
                u/0 on 1 in sync 1 leader nobody epochs 1.1
            beat 1
                + broker 1 is Active
                + t/0 change 2 in sync 1 known nobody leader 1 in epoch 2
                + u/0 change 2 leader 1 in epoch 2
                Active
            show
                t/0 on 1 in sync 1 leader 1 epochs 2.2
                u/0 on 1 in sync 1 leader 1 epochs 2.2
        "#]],
    );
}

/// It was stopped in order, so that it kept its place and nobody led; its next process crashed before it took part.
#[test]
fn who_crashes_as_it_starts_leads_again_where_nobody_else_can() {
    check(
        "register 1 relaxed
         beat 1
         create t 1 1
         register 1 relaxed stopped
         register 1 relaxed
         show
         beat 1
         show",
        expect![[r#"
            register 1 relaxed
                + broker 1 registers
                broker epoch 1
            beat 1
                + broker 1 is Active
                Active
            create t 1 1
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            register 1 relaxed stopped
                + t/0 change 1 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 4
            register 1 relaxed
                + t/0 change 2 in sync nobody known 1
                + broker 1 registers
                broker epoch 5
            show
                t/0 on 1 in sync nobody known 1 leader nobody epochs 1.2
            beat 1
                + broker 1 is Active
                + t/0 change 3 in sync 1 known nobody leader 1 in epoch 2
                Active
            show
                t/0 on 1 in sync 1 leader 1 epochs 2.3
        "#]],
    );
    check_with_three(
        "create t 1 3 flush.messages=1000 min.insync.replicas=2
         register 1 stopped
         register 2 stopped
         register 3 stopped
         register 1
         register 2
         register 3
         show
         beat 1
         beat 2
         beat 3
         show",
        expect![[r#"
            create t 1 3 flush.messages=1000 min.insync.replicas=2
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t flush.messages = Some("1000")
                + t min.insync.replicas = Some("2")
                t: created, 1 x 3, {"flush.messages": "1000", "min.insync.replicas": "2"}
            register 1 stopped
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            register 2 stopped
                + t/0 change 2 leader 3 in epoch 2
                + broker 2 registers
                broker epoch 9
            register 3 stopped
                + t/0 change 3 leader nobody in epoch 3
                + broker 3 registers
                broker epoch 10
            register 1
                + t/0 change 4 in sync 2,3 known 1
                + broker 1 registers
                broker epoch 11
            register 2
                + t/0 change 5 in sync 3 known 1,2
                + broker 2 registers
                broker epoch 12
            register 3
                + t/0 change 6 in sync nobody known 3
                + broker 3 registers
                broker epoch 13
            show
                t/0 on 1,2,3 in sync nobody known 3 leader nobody epochs 3.6
            beat 1
                + broker 1 is Active
                Active
            beat 2
                + broker 2 is Active
                Active
            beat 3
                + broker 3 is Active
                + t/0 change 7 in sync 3 known nobody recovering leader 3 in epoch 4
                Active
            show
                t/0 on 1,2,3 in sync 3 recovering leader 3 epochs 4.7
        "#]],
    );
}

/// It has everything, and is eligible as soon as it is out; the one that led before it may have lost records.
#[test]
fn who_may_have_lost_records_does_not_lead_in_place_of_one_that_is_only_away() {
    check_with_three(
        "create t 1 3 flush.messages=1000 min.insync.replicas=2
         register 2
         register 3
         beat 3
         beat 1 fence
         show
         beat 1
         show",
        expect![[r#"
            create t 1 3 flush.messages=1000 min.insync.replicas=2
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t flush.messages = Some("1000")
                + t min.insync.replicas = Some("2")
                t: created, 1 x 3, {"flush.messages": "1000", "min.insync.replicas": "2"}
            register 2
                + t/0 change 1 in sync 1,3
                + broker 2 registers
                broker epoch 8
            register 3
                + t/0 change 2 in sync 1 known 3
                + broker 3 registers
                broker epoch 9
            beat 3
                + broker 3 is Active
                Active
            beat 1 fence
                + t/0 change 3 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
                Fenced
            show
                t/0 on 1,2,3 in sync nobody eligible 1 known 1 leader nobody epochs 1.3
            beat 1
                + broker 1 is Active
                + t/0 change 4 in sync 1 eligible nobody known nobody leader 1 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 1 leader 1 epochs 2.4
        "#]],
    );
}

/// The process that crashed may have said before the change that it has what was not on its disk.
#[test]
fn a_topic_that_was_relaxed_under_a_process_counts_as_such_when_that_crashes() {
    check_with_three(
        "create t 1 3 flush.messages=1000
         set t flush.messages=
         register 2
         register 2
         show
         beat 2
         isr t/0 by leader is leader,3,2
         register 2
         show
         set-brokers log.flush.interval.messages=7
         set-brokers log.flush.interval.messages=
         register 3
         show",
        expect![[r#"
            create t 1 3 flush.messages=1000
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t flush.messages = Some("1000")
                t: created, 1 x 3, {"flush.messages": "1000"}
            set t flush.messages=
                + t flush.messages = None
                set
            register 2
                + t/0 change 1 in sync 1,3
                + broker 2 registers
                broker epoch 9
            register 2
                + broker 2 registers
                broker epoch 10
            show
                t/0 on 1,2,3 in sync 1,3 leader 1 epochs 0.1
            beat 2
                + broker 2 is Active
                Active
            isr t/0 by leader is leader,3,2
                + t/0 change 2 in sync 1,3,2
                leader 1 in epoch 0, in sync 1,3,2, partition epoch 2
            register 2
                + broker 2 registers
                broker epoch 13
            show
                t/0 on 1,2,3 in sync 1,3,2 leader 1 epochs 0.2
            set-brokers log.flush.interval.messages=7
                + BrokerDefault log.flush.interval.messages = Some("7")
                set
            set-brokers log.flush.interval.messages=
                + BrokerDefault log.flush.interval.messages = None
                set
            register 3
                + t/0 change 3 in sync 1,2
                + broker 3 registers
                broker epoch 16
            show
                t/0 on 1,2,3 in sync 1,2 leader 1 epochs 0.3
        "#]],
    );
}

#[test]
fn an_unregistered_broker_that_comes_back_with_its_disk_leads_again_where_nobody_else_can() {
    check_with_three(
        "assign t 2
         assign u 2,3
         unregister 2
         register 2
         beat 2
         show",
        expect![[r#"
            assign t 2
                + topic t
                + t/0 on 2 in sync 2 leader 2
                t: created, 1 x 1, {}
            assign u 2,3
                + topic u
                + u/0 on 2,3 in sync 2,3 leader 2
                u: created, 1 x 2, {}
            unregister 2
                + t/0 change 1 in sync nobody known 2 leader nobody in epoch 1
                + u/0 change 1 in sync 3 leader 3 in epoch 1
                + UnregisterBroker { id: BrokerId(2), epoch: BrokerEpoch(2) }
                unregistered
            register 2
                + broker 2 registers
                broker epoch 10
            beat 2
                + broker 2 is Active
                + t/0 change 2 in sync 2 known nobody leader 2 in epoch 2
                Active
            show
                t/0 on 2 in sync 2 leader 2 epochs 2.2
                u/0 on 2,3 in sync 3 leader 3 epochs 1.1
        "#]],
    );
}

#[test]
fn what_an_unregistered_broker_had_counts_no_more() {
    check_with_three(
        "assign t 2
         unregister 2
         show
         register 2 other-disk
         beat 2
         show",
        expect![[r#"
            assign t 2
                + topic t
                + t/0 on 2 in sync 2 leader 2
                t: created, 1 x 1, {}
            unregister 2
                + t/0 change 1 in sync nobody known 2 leader nobody in epoch 1
                + UnregisterBroker { id: BrokerId(2), epoch: BrokerEpoch(2) }
                unregistered
            show
                t/0 on 2 in sync nobody known 2 leader nobody epochs 1.1
            register 2 other-disk
                + t/0 change 2 known nobody
                + broker 2 registers
                broker epoch 9
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 2 in sync nobody leader nobody epochs 1.2
        "#]],
    );
}
