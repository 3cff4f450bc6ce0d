//! What was asked for, sentence by sentence, and what shows it.

use super::{By::*, Row};

const PRODUCER: &str = "crates/client/src/producer/machine/tests.rs";
const CONTROLLER: &str = "crates/cluster/src/controller/tests.rs";
const MEMBERS: &str = "crates/client/tests/server/members.rs";
const SEVERAL: &str = "crates/cli/tests/program/several.rs";
const LOSS_OF_EACH: &str = "three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each";

pub(super) const MISSION: &[Row] = &[
    Row {
        id: "Producers",
        what: "make records of topic, key or partition, and value",
        by: &[Test(
            "crates/client/tests/server/producer.rs",
            "every_field_of_a_record_comes_back_packed_in_whatever_way",
        )],
    },
    Row {
        id: "",
        what: "a serializer turns them into bytes",
        by: &[Test("crates/client/tests/server/producer.rs", "keys_and_values_may_have_types")],
    },
    Row {
        id: "",
        what: "a partitioner hashes the key, or takes the partition given",
        by: &[
            Test("crates/client/src/partitioner.rs", "hashes_as_the_java_client_does"),
            Test(PRODUCER, "keys_decide_and_the_rest_sticks_to_a_partition_until_its_batch_is_full"),
        ],
    },
    Row {
        id: "",
        what: "records wait in batches of their partition in a buffer",
        by: &[
            Test(PRODUCER, "a_batch_lingers_unless_it_is_full_or_somebody_waits"),
            Test(PRODUCER, "the_buffer_is_bounded_and_tells_when_there_is_room"),
        ],
    },
    Row {
        id: "",
        what: "and go by produce requests to the leaders",
        by: &[
            Test(PRODUCER, "one_request_takes_one_batch_of_each_partition_up_to_its_size"),
            Test(PRODUCER, "a_batch_follows_its_leader"),
        ],
    },
    Row {
        id: "",
        what: "failed sends are retried a few times, then the caller gets an error",
        by: &[
            Test(PRODUCER, "a_batch_is_sent_again_as_often_as_allowed"),
            Test(PRODUCER, "at_last_it_is_given_up_with_the_reason"),
        ],
    },
    Row {
        id: "Brokers",
        what: "assign offsets and store on disk",
        by: &[
            Test("crates/cli/tests/program/main.rs", "what_was_acknowledged_survives_a_restart"),
            Run("interop/kill9.sh"),
        ],
    },
    Row {
        id: "",
        what: "answer with topic, partition, offset or an error",
        by: &[
            Test("crates/cli/tests/program/data.rs", "where_each_record_was_written_is_told_if_asked_for"),
            Test("crates/node/tests/one_node.rs", "what_cannot_be_appended_says_why"),
        ],
    },
    Row {
        id: "",
        what: "millions of messages and thousands of partitions per second",
        by: &[
            Run("bench/run.py"),
            Run("bench/cluster.py"),
            Note("results in [bench/results](../bench/results)"),
        ],
    },
    Row {
        id: "A cluster",
        what: "elects a controller",
        by: &[
            Test("crates/server/src/engines/raft/tests/faults.rs", "when_the_leader_dies_another_leads_soon"),
            Test(SEVERAL, LOSS_OF_EACH),
        ],
    },
    Row {
        id: "",
        what: "which assigns partitions to brokers",
        by: &[Test(CONTROLLER, "partitions_are_spread_evenly_and_over_racks")],
    },
    Row {
        id: "",
        what: "elects leaders",
        by: &[Test(CONTROLLER, "a_silent_leader_is_replaced_by_a_replica_in_sync")],
    },
    Row {
        id: "",
        what: "watches for failures",
        by: &[
            Test(
                "crates/server/src/engines/raft/detector.rs",
                "a_refused_connection_counts_at_once_and_a_pause_of_the_own_process_for_nothing",
            ),
            Test(CONTROLLER, "a_controller_that_was_asleep_blames_nobody"),
        ],
    },
    Row {
        id: "",
        what: "replication factor by the user, replicas on different brokers",
        by: &[
            Test(
                "crates/cluster/src/controller/placement.rs",
                "leaders_and_replicas_are_even_and_replicas_are_apart",
            ),
            Test(SEVERAL, LOSS_OF_EACH),
        ],
    },
    Row {
        id: "",
        what: "only the leader serves; the wrong broker answers \"not a leader for partition\"",
        by: &[
            Test("crates/replica/src/tests/scripts/serving.rs", "who_holds_no_replica_is_not_served"),
            Run("interop/cluster.sh"),
        ],
    },
    Row {
        id: "",
        what: "another takes over when it fails",
        by: &[Test(SEVERAL, LOSS_OF_EACH), Run("interop/cluster.sh"), Run("bench/cluster.py")],
    },
    Row {
        id: "",
        what: "partitions per topic are set by the user",
        by: &[
            Test("crates/cli/tests/program/main.rs", "a_topic_from_cradle_to_grave"),
            Test("crates/cli/tests/program/topic.rs", "partitions_are_added_and_never_taken"),
        ],
    },
    Row { id: "Metadata", what: "can be asked of any broker", by: &[Run("interop/cluster.sh")] },
    Row {
        id: "",
        what: "clients cache it",
        by: &[
            Test("crates/client/src/metadata/tests.rs", "a_late_answer_does_not_bring_an_old_leader_back"),
            Test(
                "crates/client/src/metadata/tests.rs",
                "a_hint_is_believed_if_it_is_newer_and_leads_anywhere",
            ),
        ],
    },
    Row {
        id: "Consumers",
        what: "subscribe to one or more topics and pull",
        by: &[Test(
            "crates/client/tests/server/consumer.rs",
            "a_subscription_finds_topics_and_partitions_that_come_later",
        )],
    },
    Row {
        id: "",
        what: "read in the order written",
        by: &[
            Test(
                "crates/client/src/producer/machine/tests/network.rs",
                "every_record_is_stored_once_and_in_order_whatever_the_network_does",
            ),
            Note("the simulator (I11, I14)"),
        ],
    },
    Row {
        id: "",
        what: "keep their place by offsets, stop and restart without loss",
        by: &[
            Test(
                MEMBERS,
                "members_share_a_topic_and_whoever_comes_back_goes_on_where_the_group_has_committed",
            ),
            Test(MEMBERS, "a_stream_that_ends_early_loses_nothing"),
            Run("interop/groups.sh"),
        ],
    },
    Row {
        id: "Consumer groups",
        what: "each partition has one owner in the group, a member may own several, others take over when a member fails",
        by: &[
            Test(
                "crates/coordinator/src/group/tests/members.rs",
                "three_share_the_work_of_one_that_leaves_and_of_one_that_dies",
            ),
            Run("interop/groups.sh"),
            Note("the simulator (I13)"),
        ],
    },
    Row {
        id: "Coordination",
        what: "by an established consensus engine embedded in the broker",
        by: &[
            Test(
                "crates/server/src/engines/raft/tests/faults.rs",
                "the_contract_holds_over_crashes_of_any_node",
            ),
            Note("[openraft](decisions/0005-openraft.md)"),
        ],
    },
    Row {
        id: "",
        what: "a ZooKeeper ensemble as second choice behind the same seam",
        by: &[Note(
            "not there yet; the seam's contract (`crates/quorum/src/contract.rs`) is what it will have to keep, and three engines keep it today",
        )],
    },
    Row {
        id: "All of it",
        what: "with unchanged real clients",
        by: &[Run("interop/full.sh"), Note("[COMPATIBILITY.md](COMPATIBILITY.md)")],
    },
    Row {
        id: "",
        what: "fast",
        by: &[
            Run("bench/run.py"),
            Run("bench/groups.py"),
            Run("bench/transactions.py"),
            Run("bench/cluster.py"),
        ],
    },
    Row {
        id: "",
        what: "survives faults without losing what it acknowledged",
        by: &[Note("the tables above"), Run("interop/chaos.sh"), Run("interop/chaos_cluster.sh")],
    },
];
