//! The admin client.

use std::collections::BTreeMap;

use klamm_client::{
    Admin, Change, Client, ConfigChange, ConfigOperation, ConfigResource, ConfigSource, ConfigType, Election,
    NewTopic, OffsetQuestion, PartitionName, Producer, ProducerConfig, Record, TrimTo,
};
use klamm_model::{BrokerId, ErrorCode, Offset, Timestamp};

use crate::with_broker;

async fn create(admin: &Admin, name: &str, partition_count: i32) {
    let topic = NewTopic { name: name.into(), partition_count: Some(partition_count), ..NewTopic::default() };
    admin.create_topic(&topic, Change::Make).await.expect("created");
}

/// Writes three records with the timestamps 100, 200 and 300 to partition 0 of `t`.
async fn write_three(client: &Client) {
    let producer = Producer::new(client, ProducerConfig::default());
    for time in [100, 200, 300] {
        let record =
            Record { partition: Some(0), timestamp: Some(Timestamp(time)), ..Record::new("t", b"value") };
        producer.send(record).await.expect("written");
    }
    producer.close().await;
}

#[test]
fn topics_are_made_described_and_deleted() {
    with_broker(async |_, admin| {
        let topic = NewTopic { name: "t".into(), partition_count: Some(3), ..NewTopic::default() };
        let checked = admin.create_topic(&topic, Change::Check).await.expect("it would be made");
        assert_eq!(checked.partition_count, Some(3));
        assert!(admin.list_topics().await.expect("listed").is_empty());

        let made = admin.create_topic(&topic, Change::Make).await.expect("made");
        assert_eq!((made.partition_count, made.replication_factor), (Some(3), Some(1)));
        let again = admin.create_topic(&topic, Change::Make).await.expect_err("it is there");
        assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));

        let listed = admin.list_topics().await.expect("listed");
        assert_eq!(listed["t"].id, made.id);
        let described = admin.describe_topic_partitions(&["t", "u"]).await.expect("described");
        assert_eq!(described["t"].partitions.len(), 3);
        assert_eq!(described["t"].partitions[&2].leader, Some(BrokerId(1)));
        assert_eq!(described["t"].partitions[&2].in_sync, [BrokerId(1)]);
        assert_eq!(described["u"].error, ErrorCode::UnknownTopicOrPartition);

        admin.delete_topic("t").await.expect("deleted");
        let gone = admin.delete_topic("t").await.expect_err("gone");
        assert_eq!(gone.to_string(), "t: there is no such topic or partition");
    });
}

#[test]
fn offsets_are_found_by_time_and_records_deleted_before_one() {
    with_broker(async |client, admin| {
        create(&admin, "t", 2).await;
        write_three(&client).await;
        let partition = PartitionName::new("t", 0);
        let offset = async |question| {
            let found = admin.list_offsets([partition.clone()], question).await.expect("answers");
            found[&partition].as_ref().expect("found").offset.map(Offset::raw)
        };
        assert_eq!(offset(OffsetQuestion::Earliest).await, Some(0));
        assert_eq!(offset(OffsetQuestion::Latest).await, Some(3));
        assert_eq!(offset(OffsetQuestion::Since(Timestamp(150))).await, Some(1));
        assert_eq!(offset(OffsetQuestion::Since(Timestamp(301))).await, None);
        assert_eq!(offset(OffsetQuestion::MaxTimestamp).await, Some(2));

        let trim = async |to| {
            let asked = BTreeMap::from([(partition.clone(), to)]);
            admin.delete_records(&asked).await.expect("answers").remove(&partition).expect("mentioned")
        };
        assert_eq!(trim(TrimTo::Offset(Offset::new(2))).await, Ok(Offset::new(2)));
        assert_eq!(offset(OffsetQuestion::Earliest).await, Some(2));
        let beyond = trim(TrimTo::Offset(Offset::new(9))).await.expect_err("there is no offset 9");
        assert_eq!(beyond.to_string(), "t-0: the log has no such offset");
        assert_eq!(trim(TrimTo::End).await, Ok(Offset::new(3)));
    });
}

#[test]
fn a_partition_remembers_its_producers() {
    with_broker(async |client, admin| {
        create(&admin, "t", 1).await;
        write_three(&client).await;
        let partition = PartitionName::new("t", 0);
        let answer = admin.describe_producers([partition.clone()]).await.expect("answers");
        let producers = answer[&partition].as_ref().expect("told");
        assert_eq!(producers.len(), 1, "{producers:?}");
        assert_eq!(producers[0].last_sequence, Some(2));
        assert_eq!(producers[0].transaction_start, None);
    });
}

#[test]
fn settings_are_described_changed_and_checked() {
    with_broker(async |_, admin| {
        create(&admin, "t", 1).await;
        let topic = ConfigResource::Topic("t".into());
        let retention = async || {
            let entries = admin.describe_configs(&topic, Some(&["retention.ms"]), true).await.expect("told");
            assert_eq!(entries.len(), 1);
            entries.into_iter().next().expect("one")
        };
        let before = retention().await;
        assert_eq!((before.source, before.kind), (ConfigSource::Default, ConfigType::Long));
        assert!(before.documentation.is_some());

        let set =
            [ConfigChange { name: "retention.ms".into(), operation: ConfigOperation::Set("5000".into()) }];
        admin.alter_configs(&topic, &set, Change::Check).await.expect("it would do");
        assert_eq!(retention().await, before);
        admin.alter_configs(&topic, &set, Change::Make).await.expect("set");
        let after = retention().await;
        assert_eq!((after.source, after.value.as_deref()), (ConfigSource::Topic, Some("5000")));
        assert_eq!(after.synonyms[0].source, ConfigSource::Topic);

        let wrong = ConfigChange { name: "retention.mss".into(), operation: ConfigOperation::Unset };
        let refused = admin.alter_configs(&topic, &[wrong], Change::Make).await.expect_err("no such key");
        assert_eq!(refused.code(), Some(ErrorCode::InvalidConfig));
        let resources = admin.list_config_resources().await.expect("listed");
        assert!(
            resources.contains(&topic) && resources.contains(&ConfigResource::Broker(BrokerId(1))),
            "{resources:?}"
        );
    });
}

#[test]
fn the_cluster_says_who_it_is_and_what_it_speaks() {
    with_broker(async |_, admin| {
        let cluster = admin.describe_cluster().await.expect("described");
        assert!(cluster.id.is_some());
        assert_eq!(cluster.controller, Some(BrokerId(1)));
        assert!(!cluster.brokers[&BrokerId(1)].is_fenced);
        let apis = admin.api_versions(BrokerId(1)).await.expect("told");
        let fetch = apis.iter().find(|api| api.name == Some("Fetch")).expect("served");
        assert_eq!((fetch.min, fetch.max), (4, 18));
        admin.features().await.expect("told");
    });
}

#[test]
fn a_topic_gets_more_partitions_and_never_fewer() {
    with_broker(async |_, admin| {
        create(&admin, "t", 2).await;
        admin.create_partitions("t", 5, Change::Check).await.expect("it would do");
        admin.create_partitions("t", 5, Change::Make).await.expect("made");
        assert_eq!(admin.list_topics().await.expect("listed")["t"].partitions.len(), 5);
        let fewer = admin.create_partitions("t", 3, Change::Make).await.expect_err("never fewer");
        assert_eq!(fewer.code(), Some(ErrorCode::InvalidPartitions));
    });
}

#[test]
fn one_broker_holds_and_leads_everything() {
    with_broker(async |_, admin| {
        create(&admin, "t", 2).await;
        let partitions = [PartitionName::new("t", 0), PartitionName::new("t", 7)];
        let elected = admin.elect_leaders(Election::Preferred, Some(&partitions)).await.expect("answers");
        let code =
            |number: usize| elected[&partitions[number]].as_ref().map_err(klamm_client::AdminError::code);
        assert_eq!(code(0), Err(Some(ErrorCode::ElectionNotNeeded)));
        assert_eq!(code(1), Err(Some(ErrorCode::UnknownTopicOrPartition)));

        let to = |broker| BTreeMap::from([(partitions[0].clone(), Some(vec![BrokerId(broker)]))]);
        let stays = admin.reassign(&to(1)).await.expect("answers");
        assert_eq!(stays[&partitions[0]], Ok(()));
        let moves = admin.reassign(&to(2)).await.expect("answers");
        let refused = moves[&partitions[0]].as_ref().expect_err("there is no broker 2");
        assert_eq!(refused.code(), Some(ErrorCode::InvalidReplicaAssignment));
        assert!(admin.list_reassignments(None).await.expect("listed").is_empty());
    });
}

#[test]
fn one_broker_is_the_quorum_and_has_a_disk() {
    with_broker(async |client, admin| {
        create(&admin, "t", 1).await;
        write_three(&client).await;
        let quorum = admin.describe_quorum().await.expect("described");
        assert_eq!(quorum.leader, Some(BrokerId(1)));
        assert_eq!(quorum.voters.len(), 1);
        assert!(quorum.high_watermark > Some(Offset::ZERO), "{quorum:?}");

        let directories = admin.describe_log_dirs(BrokerId(1)).await.expect("described");
        assert_eq!(directories.len(), 1);
        let copy = directories[0].replicas[&PartitionName::new("t", 0)];
        assert!(copy.size_bytes > 0 && copy.lag == 0 && !copy.is_future, "{copy:?}");
        assert!(directories[0].usable_bytes <= directories[0].total_bytes);
    });
}
