//! Replicas whose logs cannot be used: others lead, and they count for nothing until another process of their broker comes.

use expect_test::expect;

use super::{check, check_with_three};

#[test]
fn others_lead_in_place_of_a_replica_whose_log_cannot_be_used() {
    check_with_three(
        "create t 2 3
         offline 1 t/0 t/0 t/7 u/0
         offline 1 t/0
         isr t/0 by leader is leader,3,1
         wait 700 1
         show
         beat 2
         register 1
         beat 1
         isr t/0 by leader is leader,1
         show",
        expect![[r#"
            create t 2 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t/1 on 2,3,1 in sync 2,3,1 leader 2
                t: created, 2 x 3, {}
            offline 1 t/0 t/0 t/7 u/0
                + t/0 change 1 in sync 2,3 offline 1 leader 2 in epoch 1
                taken
            offline 1 t/0
                taken
            isr t/0 by leader is leader,3,1
                broker 1 may not be in sync now
            wait 700 1
                + t/0 change 2 in sync nobody eligible 2,3 known 2 leader nobody in epoch 2
                + t/1 change 1 in sync 1 eligible 2,3 leader 1 in epoch 1
                + broker 2 is Fenced
                + broker 3 is Fenced
            show
                t/0 on 1,2,3 in sync nobody eligible 2,3 known 2 offline 1 leader nobody epochs 2.2
                t/1 on 2,3,1 in sync 1 eligible 2,3 leader 1 epochs 1.1
            beat 2
                + broker 2 is Active
                + t/0 change 3 in sync 2 eligible 3 known nobody leader 2 in epoch 3
                Active
            register 1
                + t/0 change 4 offline nobody
                + t/1 change 2 in sync 2 eligible 3,1 leader 2 in epoch 2
                + broker 1 registers
                broker epoch 11
            beat 1
                + broker 1 is Active
                Active
            isr t/0 by leader is leader,1
                + t/0 change 5 in sync 2,1 eligible nobody
                leader 2 in epoch 3, in sync 2,1, partition epoch 5
            show
                t/0 on 1,2,3 in sync 2,1 leader 2 epochs 3.5
                t/1 on 2,3,1 in sync 2 eligible 3,1 leader 2 epochs 2.2
        "#]],
    );
}

#[test]
fn nobody_leads_where_nobody_else_has_the_records_until_another_process_comes() {
    check_with_three(
        "assign t 1
         assign u 1,2
         isr u/0 by leader is leader
         offline 1 t/0 u/0
         show
         takeover
         wait 700 1 2 3
         register 1 stopped
         beat 1
         show",
        expect![[r#"
            assign t 1
                + topic t
                + t/0 on 1 in sync 1 leader 1
                t: created, 1 x 1, {}
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            isr u/0 by leader is leader
                + u/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            offline 1 t/0 u/0
                + u/0 change 2 in sync nobody known 1 offline 1 leader nobody in epoch 1
                + t/0 change 1 in sync nobody known 1 offline 1 leader nobody in epoch 1
                taken
            show
                t/0 on 1 in sync nobody known 1 offline 1 leader nobody epochs 1.1
                u/0 on 1,2 in sync nobody known 1 offline 1 leader nobody epochs 1.2
            takeover
            wait 700 1 2 3
            register 1 stopped
                + t/0 change 2 offline nobody
                + u/0 change 3 offline nobody
                + broker 1 registers
                broker epoch 12
            beat 1
                + broker 1 is Active
                + t/0 change 3 in sync 1 known nobody leader 1 in epoch 2
                + u/0 change 4 in sync 1 known nobody recovering leader 1 in epoch 2
                Active
            show
                t/0 on 1 in sync 1 leader 1 epochs 2.3
                u/0 on 1,2 in sync 1 recovering leader 1 epochs 2.4
        "#]],
    );
}

#[test]
fn who_is_eligible_leads_when_the_last_in_sync_cannot_be_used() {
    check_with_three(
        "create t 1 3
         wait 700 1 3
         wait 700 1
         offline 1 t/0
         show
         beat 2
         beat 3
         show",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            wait 700 1 3
                + t/0 change 1 in sync 1,3
                + broker 2 is Fenced
            wait 700 1
                + t/0 change 2 in sync 1 eligible 3
                + broker 3 is Fenced
            offline 1 t/0
                + t/0 change 3 in sync nobody known 1 offline 1 leader nobody in epoch 1
                taken
            show
                t/0 on 1,2,3 in sync nobody eligible 3 known 1 offline 1 leader nobody epochs 1.3
            beat 2
                + broker 2 is Active
                Active
            beat 3
                + broker 3 is Active
                + t/0 change 4 in sync 3 eligible nobody leader 3 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 3 known 1 offline 1 leader 3 epochs 2.4
        "#]],
    );
}

#[test]
fn a_replica_that_is_fenced_can_tell_too_and_one_of_an_unknown_broker_cannot() {
    check_with_three(
        "assign t 1,2
         register 1 stopped
         offline 1 t/0
         offline 9 t/0
         offline 3 t/0
         beat 1
         unregister 1
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            register 1 stopped
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            offline 1 t/0
                + t/0 change 2 in sync 2 offline 1
                taken
            offline 9 t/0
                broker 9 is not registered
            offline 3 t/0
                taken
            beat 1
                + broker 1 is Active
                Active
            unregister 1
                + t/0 change 3 offline nobody
                + UnregisterBroker { id: BrokerId(1), epoch: BrokerEpoch(8) }
                unregistered
            show
                t/0 on 1,2 in sync 2 leader 2 epochs 1.3
        "#]],
    );
}

#[test]
fn a_reassignment_takes_it_away() {
    check_with_three(
        "assign t 1,2
         offline 1 t/0
         reassign t/0 2,3
         isr t/0 by leader is leader,3
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            offline 1 t/0
                + t/0 change 1 in sync 2 offline 1 leader 2 in epoch 1
                taken
            reassign t/0 2,3
                + t/0 change 2 on 2,3,1 adding 3 removing 1
                t/0: taken
            isr t/0 by leader is leader,3
                + t/0 change 3 on 2,3 adding nobody removing nobody in sync 2,3 offline nobody leader 2 in epoch 2
                leader 2 in epoch 1, in sync 2,3, partition epoch 3
            show
                t/0 on 2,3 in sync 2,3 leader 2 epochs 2.3
        "#]],
    );
}

#[test]
fn a_new_disk_is_a_new_replica() {
    check(
        "register 1
         register 2
         beat 1
         beat 2
         assign t 1,2
         offline 1 t/0
         unregister 1
         register 1 other-disk
         beat 1
         show",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            register 2
                + broker 2 registers
                broker epoch 2
            beat 1
                + broker 1 is Active
                Active
            beat 2
                + broker 2 is Active
                Active
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            offline 1 t/0
                + t/0 change 1 in sync 2 offline 1 leader 2 in epoch 1
                taken
            unregister 1
                + t/0 change 2 offline nobody
                + UnregisterBroker { id: BrokerId(1), epoch: BrokerEpoch(1) }
                unregistered
            register 1 other-disk
                + broker 1 registers
                broker epoch 8
            beat 1
                + broker 1 is Active
                Active
            show
                t/0 on 1,2 in sync 2 leader 2 epochs 1.2
        "#]],
    );
}

/// Broker 1 had a data directory that it comes back without. Where another has all records that one leads; where only it had them an operator decides; and where it is
/// the only one there is nothing to decide.
#[test]
fn whoever_has_lost_a_directory_counts_for_nothing_in_what_was_there() {
    check_with_three(
        "register 1 dir=7 dir=8
         beat 1
         assign t 1,2,3
         assign u 1,2
         assign v 1
         isr u/0 by leader is leader
         register 1 dir=8 dir=9
         gone 1 t/0 u/0 v/0 v/7 w/0
         gone 1 t/0
         beat 1
         show",
        expect![[r#"
            register 1 dir=7 dir=8
                + broker 1 registers
                broker epoch 7
            beat 1
                + broker 1 is Active
                Active
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            assign v 1
                + topic v
                + v/0 on 1 in sync 1 leader 1
                v: created, 1 x 1, {}
            isr u/0 by leader is leader
                + u/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            register 1 dir=8 dir=9
                + t/0 change 1 leader 2 in epoch 1
                + u/0 change 2 leader nobody in epoch 1
                + v/0 change 1 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 13
            gone 1 t/0 u/0 v/0 v/7 w/0
                + t/0 change 2 in sync 2,3
                + v/0 change 2 in sync nobody known 1
                + u/0 change 3 in sync nobody
                taken
            gone 1 t/0
                taken
            beat 1
                + broker 1 is Active
                + v/0 change 3 in sync 1 known nobody leader 1 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 2,3 leader 2 epochs 1.2
                u/0 on 1,2 in sync nobody leader nobody epochs 1.3
                v/0 on 1 in sync 1 leader 1 epochs 2.3
        "#]],
    );
}

/// The other one dies before broker 1 has told that its log is gone. It has everything, and leads when it is back.
#[test]
fn who_went_before_it_was_told_what_is_lost_is_still_eligible() {
    check_with_three(
        "register 1 dir=7 dir=8
         beat 1
         assign u 1,2
         wait 600 3
         register 1 dir=8 dir=9
         wait 600 3
         gone 1 u/0
         beat 1
         register 2
         beat 2
         show",
        expect![[r#"
            register 1 dir=7 dir=8
                + broker 1 registers
                broker epoch 7
            beat 1
                + broker 1 is Active
                Active
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            wait 600 3
            register 1 dir=8 dir=9
                + u/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 10
            wait 600 3
                + u/0 change 2 in sync 1 eligible 2 leader nobody in epoch 2
                + broker 2 is Fenced
            gone 1 u/0
                + u/0 change 3 in sync nobody
                taken
            beat 1
                + broker 1 is Active
                Active
            register 2
                + broker 2 registers
                broker epoch 14
            beat 2
                + broker 2 is Active
                + u/0 change 4 in sync 2 eligible nobody leader 2 in epoch 3
                Active
            show
                u/0 on 1,2 in sync 2 leader 2 epochs 3.4
        "#]],
    );
}

/// It had not lost this log: what was kept in mind of the others is over when it leads.
#[test]
fn who_has_told_what_is_lost_counts_again() {
    check_with_three(
        "register 1 dir=7 dir=8
         beat 1
         assign u 1,2
         wait 600 3
         register 1 dir=8 dir=9
         wait 600 3
         beat 1
         show",
        expect![[r#"
            register 1 dir=7 dir=8
                + broker 1 registers
                broker epoch 7
            beat 1
                + broker 1 is Active
                Active
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            wait 600 3
            register 1 dir=8 dir=9
                + u/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 10
            wait 600 3
                + u/0 change 2 in sync 1 eligible 2 leader nobody in epoch 2
                + broker 2 is Fenced
            beat 1
                + broker 1 is Active
                + u/0 change 3 eligible nobody leader 1 in epoch 3
                Active
            show
                u/0 on 1,2 in sync 1 leader 1 epochs 3.3
        "#]],
    );
}

/// The last one in sync comes back without its log: whoever stopped before it has everything, and leads.
#[test]
fn who_is_eligible_leads_where_the_last_in_sync_finds_nothing() {
    check_with_three(
        "create t 1 3 min.insync.replicas=2
         wait 700 1
         register 1 stopped
         gone 1 t/0
         beat 1
         register 2 stopped
         beat 2
         show",
        expect![[r#"
            create t 1 3 min.insync.replicas=2
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t min.insync.replicas = Some("2")
                t: created, 1 x 3, {"min.insync.replicas": "2"}
            wait 700 1
                + t/0 change 1 in sync 1 eligible 2,3
                + broker 2 is Fenced
                + broker 3 is Fenced
            register 1 stopped
                + t/0 change 2 leader nobody in epoch 1
                + broker 1 registers
                broker epoch 9
            gone 1 t/0
                + t/0 change 3 in sync nobody
                taken
            beat 1
                + broker 1 is Active
                Active
            register 2 stopped
                + broker 2 registers
                broker epoch 12
            beat 2
                + broker 2 is Active
                + t/0 change 4 in sync 2 eligible 3 leader 2 in epoch 2
                Active
            show
                t/0 on 1,2,3 in sync 2 eligible 3 leader 2 epochs 2.4
        "#]],
    );
}

/// Nobody is in sync or eligible, and who was out before may have records that are gone elsewhere: nobody leads until all have said that they have nothing. What an earlier
/// process said does not count, as something may have been put back since.
#[test]
fn a_partition_begins_anew_when_nobody_has_anything_of_it() {
    check_with_three(
        "create t 1 3 min.insync.replicas=2
         register 1
         register 2
         register 3
         gone 1 t/0
         gone 2 t/0
         gone 3 t/0
         beat 1
         show
         gone 1 t/0
         gone 3 t/0
         beat 3
         register 3
         gone 2 t/0
         gone 2 t/0
         show
         gone 3 t/0
         beat 3
         show",
        expect![[r#"
            create t 1 3 min.insync.replicas=2
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t min.insync.replicas = Some("2")
                t: created, 1 x 3, {"min.insync.replicas": "2"}
            register 1
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            register 2
                + t/0 change 2 leader 3 in epoch 2
                + broker 2 registers
                broker epoch 9
            register 3
                + t/0 change 3 leader nobody in epoch 3
                + broker 3 registers
                broker epoch 10
            gone 1 t/0
                + t/0 change 4 in sync 2,3
                taken
            gone 2 t/0
                + t/0 change 5 in sync 3
                taken
            gone 3 t/0
                + t/0 change 6 in sync nobody
                taken
            beat 1
                + broker 1 is Active
                Active
            show
                t/0 on 1,2,3 in sync nobody leader nobody epochs 3.6
            gone 1 t/0
                taken
            gone 3 t/0
                taken
            beat 3
                + broker 3 is Active
                Active
            register 3
                + broker 3 registers
                broker epoch 16
            gone 2 t/0
                taken
            gone 2 t/0
                taken
            show
                t/0 on 1,2,3 in sync nobody leader nobody epochs 3.6
            gone 3 t/0
                + t/0 change 7 in sync 1,2,3 leader 1 in epoch 4
                taken
            beat 3
                + broker 3 is Active
                Active
            show
                t/0 on 1,2,3 in sync 1,2,3 leader 1 epochs 4.7
        "#]],
    );
}

/// Another controller has not heard it.
#[test]
fn each_controller_is_told_of_what_is_empty() {
    check_with_three(
        "assign t 1,2
         register 1
         register 2
         gone 1 t/0
         gone 2 t/0
         gone 1 t/0
         takeover
         gone 2 t/0
         gone 1 t/0
         beat 1
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            register 1
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            register 2
                + t/0 change 2 leader nobody in epoch 2
                + broker 2 registers
                broker epoch 9
            gone 1 t/0
                + t/0 change 3 in sync 2
                taken
            gone 2 t/0
                + t/0 change 4 in sync nobody
                taken
            gone 1 t/0
                taken
            takeover
            gone 2 t/0
                taken
            gone 1 t/0
                + t/0 change 5 in sync 1,2
                taken
            beat 1
                + broker 1 is Active
                + t/0 change 6 leader 1 in epoch 3
                Active
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 3.6
        "#]],
    );
}

/// It leads, and may have records by now.
#[test]
fn what_is_said_late_of_a_log_that_was_gone_takes_nothing_from_the_new_one() {
    check_with_three(
        "assign t 1,2
         register 1
         gone 1 t/0
         beat 1
         isr t/0 by leader is leader,1
         wait 700 1
         gone 1 t/0
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            register 1
                + t/0 change 1 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 8
            gone 1 t/0
                + t/0 change 2 in sync 2
                taken
            beat 1
                + broker 1 is Active
                Active
            isr t/0 by leader is leader,1
                + t/0 change 3 in sync 2,1
                leader 2 in epoch 1, in sync 2,1, partition epoch 3
            wait 700 1
                + t/0 change 4 in sync 1 leader 1 in epoch 2
                + broker 2 is Fenced
                + broker 3 is Fenced
            gone 1 t/0
                taken
            show
                t/0 on 1,2 in sync 1 leader 1 epochs 2.4
        "#]],
    );
}

/// It said that it has nothing, and cannot be used since (seed 442); a reassignment waited for the others (seed 269).
#[test]
fn who_cannot_be_used_is_not_in_sync_as_a_partition_begins_anew_and_a_reassignment_ends() {
    check_with_three(
        "assign t 1,2
         assign u 1,2
         reassign u/0 1,3
         register 1
         register 2
         gone 1 t/0 u/0
         gone 2 t/0 u/0
         gone 1 t/0 u/0
         offline 1 t/0
         gone 2 t/0 u/0
         gone 3 u/0
         beat 2
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            reassign u/0 1,3
                + u/0 change 1 on 1,3,2 adding 3 removing 2
                u/0: taken
            register 1
                + t/0 change 1 leader 2 in epoch 1
                + u/0 change 2 leader 2 in epoch 1
                + broker 1 registers
                broker epoch 10
            register 2
                + t/0 change 2 leader nobody in epoch 2
                + u/0 change 3 leader nobody in epoch 2
                + broker 2 registers
                broker epoch 11
            gone 1 t/0 u/0
                + u/0 change 4 in sync 2
                + t/0 change 3 in sync 2
                taken
            gone 2 t/0 u/0
                + u/0 change 5 in sync nobody
                + t/0 change 4 in sync nobody
                taken
            gone 1 t/0 u/0
                taken
            offline 1 t/0
                + t/0 change 5 offline 1
                taken
            gone 2 t/0 u/0
                + t/0 change 6 in sync 2
                taken
            gone 3 u/0
                + u/0 change 6 on 1,3 adding nobody removing nobody in sync 1,3 leader 3 in epoch 3
                taken
            beat 2
                + broker 2 is Active
                + t/0 change 7 leader 2 in epoch 3
                Active
            show
                t/0 on 1,2 in sync 2 offline 1 leader 2 epochs 3.7
                u/0 on 1,3 in sync 1,3 leader 3 epochs 3.6
        "#]],
    );
}
