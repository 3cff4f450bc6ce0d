//! Scripts about partitions of topics that exist: more of them, other leaders, other replicas.

use expect_test::expect;

use super::*;

#[test]
fn a_topic_grows_and_its_first_partitions_stay_as_they_are() {
    check_with_three(
        "create t 1 2
             would-grow t 3
             grow t 3
             grow t 5 3,1;1,2
             show",
        expect![[r#"
            create t 1 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            would-grow t 3
                t: grown
            grow t 3
                + t/1 on 2,3 in sync 2,3 leader 2
                + t/2 on 3,1 in sync 3,1 leader 3
                t: grown
            grow t 5 3,1;1,2
                + t/3 on 3,1 in sync 3,1 leader 3
                + t/4 on 1,2 in sync 1,2 leader 1
                t: grown
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 0.0
                t/1 on 2,3 in sync 2,3 leader 2 epochs 0.0
                t/2 on 3,1 in sync 3,1 leader 3 epochs 0.0
                t/3 on 3,1 in sync 3,1 leader 3 epochs 0.0
                t/4 on 1,2 in sync 1,2 leader 1 epochs 0.0
        "#]],
    );
}

#[test]
fn a_topic_does_not_grow_when_asked_for_nonsense() {
    check_with_three(
        "create t 2 2
             grow x 3
             grow t 2
             grow t 1
             grow t -1
             grow t 10003
             grow t 3 1,2;2,3
             grow t 3 1
             grow t 3 1,1
             grow t 3 1,4
             grow t 3 1,2 twice
             beat 1 fence
             beat 2 fence
             grow t 3
             grow t 3 1,2",
        expect![[r#"
            create t 2 2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                t: created, 2 x 2, {}
            grow x 3
                x: The topic 'x' does not exist.
            grow t 2
                t: The topic currently has 2 partition(s); 2 would not be an increase.
            grow t 1
                t: The topic currently has 2 partition(s); 1 would not be an increase.
            grow t -1
                t: The topic currently has 2 partition(s); -1 would not be an increase.
            grow t 10003
                t: Excessively large number of partitions per request: at most 10000 are created.
            grow t 3 1,2;2,3
                t: the assignment of partitions cannot be used: 1 partitions are added and 2 assigned
            grow t 3 1
                t: the assignment of partitions cannot be used: the topic's partitions have 2 replicas, not 1
            grow t 3 1,1
                t: the assignment of partitions cannot be used: a partition names a broker twice
            grow t 3 1,4
                t: the assignment of partitions cannot be used: broker 4 is not registered
            grow t 3 1,2 twice
                t: the topic is named more than once
            beat 1 fence
                + t/0 change 1 in sync 2 leader 2 in epoch 1
                + broker 1 is Fenced
                Fenced
            beat 2 fence
                + t/0 change 2 in sync nobody eligible 2 known 2 leader nobody in epoch 2
                + t/1 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
                Fenced
            grow t 3
                t: Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) take part.
            grow t 3 1,2
                t: the assignment of partitions cannot be used: none of the brokers of a partition takes part
        "#]],
    );
}

#[test]
fn the_preferred_leader_leads_again_when_asked_for() {
    check_with_three(
        "assign t 1,2;2,3
             elect t/0
             wait 700 2 3
             elect t/0 t/9 x/0
             beat 1
             elect t/0
             isr t/0 by leader is 2,1
             elect t/0 t/0 t/1
             elect
             wait 700 1 3
             beat 2
             isr t/1 by leader is 3,2
             elect",
        expect![[r#"
            assign t 1,2;2,3
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                + t/1 on 2,3 in sync 2,3 leader 2
                t: created, 2 x 2, {}
            elect t/0
                t/0: no election is needed
            wait 700 2 3
                + t/0 change 1 in sync 2 leader 2 in epoch 1
                + broker 1 is Fenced
            elect t/0 t/9 x/0
                t/0: the preferred leader cannot lead now
                t/9: there is no partition t-9
                x/0: there is no partition x-0
            beat 1
                + broker 1 is Active
                Active
            elect t/0
                t/0: the preferred leader cannot lead now
            isr t/0 by leader is 2,1
                + t/0 change 2 in sync 2,1
                leader 2 in epoch 1, in sync 2,1, partition epoch 2
            elect t/0 t/0 t/1
                + t/0 change 3 leader 1 in epoch 2
                t/0: elected
                t/0: no election is needed
                t/1: no election is needed
            elect
            wait 700 1 3
                + t/0 change 4 in sync 1
                + t/1 change 1 in sync 3 leader 3 in epoch 1
                + broker 2 is Fenced
            beat 2
                + broker 2 is Active
                Active
            isr t/1 by leader is 3,2
                + t/1 change 2 in sync 3,2
                leader 3 in epoch 1, in sync 3,2, partition epoch 2
            elect
                + t/1 change 3 leader 2 in epoch 2
                t/1: elected
        "#]],
    );
}

#[test]
fn nobody_out_of_sync_is_elected() {
    check_with_three(
        "assign t 2,3
             elect-unclean t/0
             wait 700 1 2
             wait 700 1
             beat 3
             elect-unclean t/0
             beat 2
             show",
        expect![[r#"
            assign t 2,3
                + topic t
                + t/0 on 2,3 in sync 2,3 leader 2
                t: created, 1 x 2, {}
            elect-unclean t/0
                t/0: no election is needed
            wait 700 1 2
                + t/0 change 1 in sync 2
                + broker 3 is Fenced
            wait 700 1
                + t/0 change 2 in sync nobody eligible 2 known 2 leader nobody in epoch 1
                + broker 2 is Fenced
            beat 3
                + broker 3 is Active
                Active
            elect-unclean t/0
                + t/0 change 3 in sync 3 eligible nobody known nobody recovering leader 3 in epoch 2
                t/0: elected
            beat 2
                + broker 2 is Active
                Active
            show
                t/0 on 2,3 in sync 3 recovering leader 3 epochs 2.3
        "#]],
    );
}

#[test]
fn a_partition_moves_once_its_new_replicas_are_in_sync() {
    check_with_three(
        "assign t 1,2
             reassign t/0 3,2
             reassigning
             isr t/0 by leader is 1,2,3
             reassigning
             show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            reassign t/0 3,2
                + t/0 change 1 on 3,2,1 adding 3 removing 1
                t/0: taken
            reassigning
                t/0: on 3,2,1 adding 3 removing 1
            isr t/0 by leader is 1,2,3
                + t/0 change 2 on 3,2 adding nobody removing nobody in sync 2,3 leader 3 in epoch 1
                the proposal ended a reassignment: another broker leads
            reassigning
            show
                t/0 on 3,2 in sync 2,3 leader 3 epochs 1.2
        "#]],
    );
}

#[test]
fn replicas_in_sync_change_their_order_or_go_at_once() {
    check_with_three(
        "assign t 1,2,3
             reassign t/0 1,2,3
             reassign t/0 2,3,1
             show
             reassign t/0 2
             show
             reassigning t/0 x/1",
        expect![[r#"
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            reassign t/0 1,2,3
                t/0: taken
            reassign t/0 2,3,1
                + t/0 change 1 on 2,3,1
                t/0: taken
            show
                t/0 on 2,3,1 in sync 1,2,3 leader 1 epochs 0.1
            reassign t/0 2
                + t/0 change 2 on 2 in sync 2 leader 2 in epoch 1
                t/0: taken
            show
                t/0 on 2 in sync 2 leader 2 epochs 1.2
            reassigning t/0 x/1
        "#]],
    );
}

/// A broker that hears of both together would be believed in between to have what it then deletes (seed 973 of the simulator).
#[test]
fn a_replica_that_is_taken_away_and_given_back_follows_in_an_epoch_of_its_own() {
    check_with_three(
        "assign t 1,2,3
             reassign t/0 1,2
             reassign t/0 3,1,2
             isr t/0 by leader is 1,2,3
             show",
        expect![[r#"
            assign t 1,2,3
                + topic t
                + t/0 on 1,2,3 in sync 1,2,3 leader 1
                t: created, 1 x 3, {}
            reassign t/0 1,2
                + t/0 change 1 on 1,2 in sync 1,2 leader 1 in epoch 1
                t/0: taken
            reassign t/0 3,1,2
                + t/0 change 2 on 3,1,2 adding 3
                t/0: taken
            isr t/0 by leader is 1,2,3
                + t/0 change 3 adding nobody in sync 1,2,3
                leader 1 in epoch 1, in sync 1,2,3, partition epoch 3
            show
                t/0 on 3,1,2 in sync 1,2,3 leader 1 epochs 1.3
        "#]],
    );
}

#[test]
fn a_reassignment_is_called_off() {
    check_with_three(
        "assign t 1,2
             reassign t/0 -
             reassign t/0 3
             isr t/0 by leader is 1,2
             reassign t/0 -
             show
             reassign t/0 3,1
             reassign t/0 2,1
             show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            reassign t/0 -
                t/0: no reassignment of the partition is under way
            reassign t/0 3
                + t/0 change 1 on 3,1,2 adding 3 removing 1,2
                t/0: taken
            isr t/0 by leader is 1,2
                leader 1 in epoch 0, in sync 1,2, partition epoch 1
            reassign t/0 -
                + t/0 change 2 on 1,2 adding nobody removing nobody leader 1 in epoch 1
                t/0: taken
            show
                t/0 on 1,2 in sync 1,2 leader 1 epochs 1.2
            reassign t/0 3,1
                + t/0 change 3 on 3,1,2 adding 3 removing 2
                t/0: taken
            reassign t/0 2,1
                + t/0 change 4 on 2,1 adding nobody removing nobody leader 1 in epoch 2
                t/0: taken
            show
                t/0 on 2,1 in sync 1,2 leader 1 epochs 2.4
        "#]],
    );
}

#[test]
fn a_reassignment_to_nowhere_is_refused() {
    check_with_three(
        "assign t 1,2
             reassign t/0 4
             reassign t/0 1,1
             reassign t/1 1
             reassign x/0 1
             reassign t/0 2,1 t/0 1,2
             reassign-keeping-factor t/0 1
             reassign-keeping-factor t/0 2,3
             reassign-keeping-factor t/0 3",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            reassign t/0 4
                t/0: the replicas cannot be used: broker 4 is not registered
            reassign t/0 1,1
                t/0: the replicas cannot be used: a partition names a broker twice
            reassign t/1 1
                t/1: there is no partition t-1
            reassign x/0 1
                x/0: there is no partition x-0
            reassign t/0 2,1 t/0 1,2
                + t/0 change 1 on 2,1
                t/0: taken
                t/0: the partition is named more than once
            reassign-keeping-factor t/0 1
                t/0: the partition has 2 replicas and was to have 1
            reassign-keeping-factor t/0 2,3
                + t/0 change 2 on 2,3,1 adding 3 removing 1
                t/0: taken
            reassign-keeping-factor t/0 3
                t/0: the partition has 2 replicas and was to have 1
        "#]],
    );
}

#[test]
fn a_broker_that_is_unregistered_leads_nothing_and_may_come_back() {
    check_with_three(
        "assign t 1,2
             unregister 1
             unregister 1
             show
             register 1
             beat 1
             show",
        expect![[r#"
            assign t 1,2
                + topic t
                + t/0 on 1,2 in sync 1,2 leader 1
                t: created, 1 x 2, {}
            unregister 1
                + t/0 change 1 in sync 2 leader 2 in epoch 1
                + UnregisterBroker { id: BrokerId(1), epoch: BrokerEpoch(1) }
                unregistered
            unregister 1
                Broker ID 1 is not currently registered
            show
                t/0 on 1,2 in sync 2 leader 2 epochs 1.1
            register 1
                + broker 1 registers
                broker epoch 9
            beat 1
                + broker 1 is Active
                Active
            show
                t/0 on 1,2 in sync 2 leader 2 epochs 1.1
        "#]],
    );
}

#[test]
fn topics_stay_where_the_operator_wants_it() {
    let config = ControllerConfig { delete_topics: false, ..ControllerConfig::default() };
    check_on(
        Rig::new(config, 0),
        "register 1
         beat 1
         create t 1 1
         delete t",
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
            delete t
                t: Topic deletion is disabled: delete.topic.enable is false.
        "#]],
    );
}
