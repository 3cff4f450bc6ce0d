//! Leaders that may lack records: only where an operator says so, of a topic or now.

use expect_test::expect;

use super::check_with_three;

#[test]
fn somebody_out_of_sync_leads_only_when_that_is_asked_for() {
    check_with_three(
        "create t 1 3
         wait 700 1 3
         wait 700 3
         wait 700
         beat 2
         show
         elect-unclean t/0 t/0
         elect-unclean
         show
         beat 1
         beat 3
         isr t/0 by leader is leader,1,3
         wait 700
         elect-unclean t/0",
        expect![[r#"
            create t 1 3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            wait 700 1 3
                + t/0 change 1 in sync 1,3
                + broker 2 is Fenced
            wait 700 3
                + t/0 change 2 in sync 3 eligible 1 leader 3 in epoch 1
                + broker 1 is Fenced
            wait 700
                + t/0 change 3 in sync nobody eligible 1,3 known 3 leader nobody in epoch 2
                + broker 3 is Fenced
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 1,2,3 in sync nobody eligible 1,3 known 3 leader nobody epochs 2.3
            elect-unclean t/0 t/0
                + t/0 change 4 in sync 2 eligible nobody known nobody recovering leader 2 in epoch 3
                t/0: elected
                t/0: no election is needed
            elect-unclean
            show
                t/0 on 1,2,3 in sync 2 recovering leader 2 epochs 3.4
            beat 1
                + broker 1 is Active
                Active
            beat 3
                + broker 3 is Active
                Active
            isr t/0 by leader is leader,1,3
                + t/0 change 5 in sync 2,1,3 recovered
                leader 2 in epoch 3, in sync 2,1,3, partition epoch 5
            wait 700
                + t/0 change 6 in sync nobody eligible 1,2,3 known 2 leader nobody in epoch 4
                + broker 1 is Fenced
                + broker 2 is Fenced
                + broker 3 is Fenced
            elect-unclean t/0
                t/0: no replica can lead now
        "#]],
    );
}

#[test]
fn somebody_out_of_sync_leads_at_once_where_the_topic_allows_it() {
    check_with_three(
        "create t 1 3 unclean.leader.election.enable=true
         isr t/0 by leader is leader
         assign u 1,2
         set u min.insync.replicas=1 unclean.leader.election.enable=true
         isr u/0 by leader is leader
         wait 700 2 3
         show
         register 1
         beat 1
         show
         wait 700 1
         register 2
         beat 2",
        expect![[r#"
            create t 1 3 unclean.leader.election.enable=true
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                + t unclean.leader.election.enable = Some("true")
                t: created, 1 x 3, {"unclean.leader.election.enable": "true"}
            isr t/0 by leader is leader
                + t/0 change 1 in sync 1 eligible 2,3
                leader 1 in epoch 0, in sync 1, partition epoch 1
            assign u 1,2
                + topic u
                + u/0 on 1,2 in sync 1,2 leader 1
                u: created, 1 x 2, {}
            set u min.insync.replicas=1 unclean.leader.election.enable=true
                + u min.insync.replicas = Some("1")
                + u unclean.leader.election.enable = Some("true")
                set
            isr u/0 by leader is leader
                + u/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            wait 700 2 3
                + t/0 change 2 in sync 2 eligible 1,3 leader 2 in epoch 1
                + u/0 change 2 in sync 2 recovering leader 2 in epoch 1
                + broker 1 is Fenced
            show
                t/0 on 1,2,3 in sync 2 eligible 1,3 leader 2 epochs 1.2
                u/0 on 1,2 in sync 2 recovering leader 2 epochs 1.2
            register 1
                + broker 1 registers
                broker epoch 13
            beat 1
                + broker 1 is Active
                Active
            show
                t/0 on 1,2,3 in sync 2 eligible 1,3 leader 2 epochs 1.2
                u/0 on 1,2 in sync 2 recovering leader 2 epochs 1.2
            wait 700 1
                + t/0 change 3 in sync 1 eligible 2,3 leader 1 in epoch 2
                + u/0 change 3 in sync 1 recovering leader 1 in epoch 2
                + broker 2 is Fenced
                + broker 3 is Fenced
            register 2
                + broker 2 registers
                broker epoch 16
            beat 2
                + broker 2 is Active
                Active
        "#]],
    );
}

#[test]
fn who_becomes_allowed_to_lack_records_leads_at_once() {
    check_with_three(
        "assign t 1,2
         assign u 1,3
         assign v 1,3
         set v unclean.leader.election.enable=false
         isr t/0 by leader is leader
         isr u/0 by leader is leader
         isr v/0 by leader is leader
         wait 700 2 3
         set t unclean.leader.election.enable=true would
         set t unclean.leader.election.enable=true min.insync.replicas=1
         set-brokers unclean.leader.election.enable=true
         show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            assign u 1,3
                + topic u
                + u/0 on 1,3 in sync 1,3 leader 1
                u: created, 1 x 2, {}
            assign v 1,3
                + topic v
                + v/0 on 1,3 in sync 1,3 leader 1
                v: created, 1 x 2, {}
            set v unclean.leader.election.enable=false
                + v unclean.leader.election.enable = Some("false")
                set
            isr t/0 by leader is leader
                + t/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            isr u/0 by leader is leader
                + u/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            isr v/0 by leader is leader
                + v/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            wait 700 2 3
                + t/0 change 2 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + u/0 change 2 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + v/0 change 2 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
            set t unclean.leader.election.enable=true would
                set
            set t unclean.leader.election.enable=true min.insync.replicas=1
                + t min.insync.replicas = Some("1")
                + t unclean.leader.election.enable = Some("true")
                + t/0 change 3 in sync 2 eligible nobody known nobody recovering leader 2 in epoch 2
                set
            set-brokers unclean.leader.election.enable=true
                + BrokerDefault unclean.leader.election.enable = Some("true")
                + u/0 change 3 in sync 3 eligible nobody known nobody recovering leader 3 in epoch 2
                set
            show
                t/0 on 1,2 in sync 2 recovering leader 2 epochs 2.3
                u/0 on 1,3 in sync 3 recovering leader 3 epochs 2.3
                v/0 on 1,3 in sync nobody eligible 1 known 1 leader nobody epochs 1.2
        "#]],
    );
}

#[test]
fn those_who_are_to_come_lead_last() {
    check_with_three(
        "assign t 3,2
         reassign t/0 1,2
         wait 700 1 3
         beat 2
         wait 700 1 2
         elect-unclean t/0
         wait 700 1
         elect-unclean t/0",
        expect![[r#"
            assign t 3,2
                + topic t
                + t/0 on 3,2 in sync 3,2 leader 3
                t: created, 1 x 2, {}
            reassign t/0 1,2
                + t/0 change 1 on 1,2,3 adding 1 removing 3
                t/0: taken
            wait 700 1 3
                + t/0 change 2 in sync 3
                + broker 2 is Fenced
            beat 2
                + broker 2 is Active
                Active
            wait 700 1 2
                + t/0 change 3 in sync nobody eligible 3 known 3 leader nobody in epoch 1
                + broker 3 is Fenced
            elect-unclean t/0
                + t/0 change 4 in sync 2 eligible nobody known nobody recovering leader 2 in epoch 2
                t/0: elected
            wait 700 1
                + t/0 change 5 in sync nobody eligible 2 known 2 leader nobody in epoch 3
                + broker 2 is Fenced
            elect-unclean t/0
                + t/0 change 6 in sync 1 eligible nobody known nobody recovering leader 1 in epoch 4
                t/0: elected
        "#]],
    );
}

#[test]
fn nobody_leads_whose_log_cannot_be_used() {
    check_with_three(
        "assign t 1,2
         isr t/0 by leader is leader
         offline 2 t/0
         beat 1 fence
         elect-unclean t/0
         register 2
         beat 2
         elect-unclean t/0",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            isr t/0 by leader is leader
                + t/0 change 1 in sync 1
                leader 1 in epoch 0, in sync 1, partition epoch 1
            offline 2 t/0
                + t/0 change 2 offline 2
                taken
            beat 1 fence
                + t/0 change 3 in sync nobody eligible 1 known 1 leader nobody in epoch 1
                + broker 1 is Fenced
                Fenced
            elect-unclean t/0
                t/0: no replica can lead now
            register 2
                + t/0 change 4 offline nobody
                + broker 2 registers
                broker epoch 11
            beat 2
                + broker 2 is Active
                Active
            elect-unclean t/0
                + t/0 change 5 in sync 2 eligible nobody known nobody recovering leader 2 in epoch 2
                t/0: elected
        "#]],
    );
}
