//! The admin client. The broker has the number 1.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use klamm_client::{
    Acl, AclFilter, AclOperation, AclPattern, AclPermission, AclResource, Admin, AdminError, Change, Client,
    ConfigChange, ConfigOperation, ConfigResource, ConfigSource, ConfigType, Election, FeatureUpdate,
    NewTopic, OffsetQuestion, PartitionName, Principal, Producer, ProducerConfig, QuotaEntity, QuotaMatch,
    QuotaPart, Record, ScramChange, ScramMechanism, TrimTo,
};
use klamm_model::{BrokerId, ErrorCode, Offset, Timestamp};

use crate::with_topic;

/// Runs `question` with a new topic of so many partitions, and three records with the timestamps 100, 200 and 300 in the first of them.
fn with_records<T>(partition_count: i32, question: impl AsyncFnOnce(Admin, PartitionName) -> T) -> T {
    with_topic(partition_count, async |client, topic| {
        write_three(&client, topic).await;
        question(Admin::new(&client), PartitionName::new(topic, 0)).await
    })
}

async fn write_three(client: &Client, topic: &str) {
    let producer = Producer::new(client, ProducerConfig::default());
    for time in [100, 200, 300] {
        let record =
            Record { partition: Some(0), timestamp: Some(Timestamp(time)), ..Record::new(topic, b"value") };
        producer.send(record).await.expect("written");
    }
    producer.close().await;
}

/// Asks until the answer is what was waited for: a broker of Kafka's hears of changes a moment after they were made.
pub(crate) async fn until<T: Debug>(
    ask: impl AsyncFn() -> Result<T, AdminError>,
    is_there: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = ask().await.expect("answers");
        if is_there(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:?}");
    }
}

/// The error code of what failed.
pub(crate) fn code<T: Debug>(outcome: &Result<T, AdminError>) -> Option<ErrorCode> {
    outcome.as_ref().expect_err("it is refused").code()
}

#[test]
fn topics_are_made_described_and_deleted() {
    with_topic(1, async |client, topic| {
        let (admin, name) = (Admin::new(&client), format!("{topic}-new"));
        let new = |name: &str| NewTopic {
            name: name.into(),
            partition_count: Some(3),
            replication_factor: Some(1),
            ..NewTopic::default()
        };
        let checked = admin.create_topic(&new(&name), Change::Check).await.expect("it would be made");
        assert_eq!(checked.partition_count, Some(3));
        assert!(!admin.list_topics().await.expect("listed").contains_key(&*name));

        let outcomes = admin.create_topics(&[new(&name), new(topic)], Change::Make).await.expect("answers");
        let made = outcomes[&name].as_ref().expect("made");
        assert_eq!((made.partition_count, made.replication_factor), (Some(3), Some(1)));
        assert_eq!(code(&outcomes[topic]), Some(ErrorCode::TopicAlreadyExists));

        let described = until(
            async || admin.describe_topic_partitions(&[&name, "no-such-topic"]).await,
            |described| described[&*name].partitions.len() == 3,
        )
        .await;
        assert_eq!(described[&*name].partitions[&2].leader, Some(BrokerId(1)));
        assert_eq!(described[&*name].partitions[&2].in_sync, [BrokerId(1)]);
        assert_eq!(described["no-such-topic"].error, ErrorCode::UnknownTopicOrPartition);
        assert_eq!(admin.list_topics().await.expect("listed")[&*name].id, made.id);

        let outcomes = admin.delete_topics(&[&name, "no-such-topic"]).await.expect("answers");
        assert_eq!(outcomes[&name], Ok(()));
        let gone = outcomes["no-such-topic"].as_ref().expect_err("it never was");
        assert_eq!(gone.to_string(), "no-such-topic: there is no such topic or partition");
        until(async || admin.list_topics().await, |topics| !topics.contains_key(&*name)).await;

        let anew = admin.create_topic(&new(&name), Change::Make).await.expect("made");
        let outcomes = admin.delete_topics_by_id(&[made.id, anew.id]).await.expect("answers");
        assert_eq!(outcomes[&anew.id], Ok(()));
        assert_eq!(code(&outcomes[&made.id]), Some(ErrorCode::UnknownTopicId));
        until(async || admin.list_topics().await, |topics| !topics.contains_key(&*name)).await;
    });
}

#[test]
fn offsets_are_found_and_records_deleted_before_one() {
    with_records(2, async |admin, partition| {
        let offset = async |question| {
            let found = admin.list_offsets([partition.clone()], question).await.expect("answers");
            found[&partition].as_ref().expect("found").offset.map(Offset::raw)
        };
        for (question, expected) in [
            (OffsetQuestion::Earliest, Some(0)),
            (OffsetQuestion::EarliestLocal, Some(0)),
            (OffsetQuestion::Latest, Some(3)),
            (OffsetQuestion::LatestCommitted, Some(3)),
            (OffsetQuestion::Since(Timestamp(150)), Some(1)),
            (OffsetQuestion::Since(Timestamp(301)), None),
            (OffsetQuestion::MaxTimestamp, Some(2)),
            (OffsetQuestion::LatestTiered, None),
        ] {
            assert_eq!(offset(question).await, expected, "{question:?}");
        }

        let trim = async |to| {
            let asked = BTreeMap::from([(partition.clone(), to)]);
            admin.delete_records(&asked).await.expect("answers").remove(&partition).expect("mentioned")
        };
        assert_eq!(trim(TrimTo::Offset(Offset::new(2))).await, Ok(Offset::new(2)));
        assert_eq!(offset(OffsetQuestion::Earliest).await, Some(2));
        let beyond = trim(TrimTo::Offset(Offset::new(9))).await.expect_err("there is no offset 9");
        assert_eq!(beyond.to_string(), format!("{partition}: the log has no such offset"));
        assert_eq!(trim(TrimTo::End).await, Ok(Offset::new(3)));
    });
}

#[test]
fn a_partition_remembers_its_producers() {
    with_records(1, async |admin, partition| {
        let answer = admin.describe_producers([partition.clone()]).await.expect("answers");
        let producers = answer[&partition].as_ref().expect("told");
        assert_eq!(producers.len(), 1, "{producers:?}");
        assert_eq!((producers[0].last_sequence, producers[0].transaction_start), (Some(2), None));
    });
}

#[test]
fn settings_are_described_changed_and_checked() {
    with_topic(1, async |client, topic| {
        let (admin, topic) = (Admin::new(&client), ConfigResource::Topic(topic.into()));
        let retention = async || {
            let entries = admin.describe_configs(&topic, Some(&["retention.ms"]), true).await?;
            assert_eq!(entries.len(), 1);
            Ok(entries.into_iter().next().expect("one"))
        };
        let before = until(retention, |_| true).await;
        assert_eq!((before.source, before.kind), (ConfigSource::Default, ConfigType::Long));
        assert!(before.documentation.is_some());

        let set =
            [ConfigChange { name: "retention.ms".into(), operation: ConfigOperation::Set("5000".into()) }];
        admin.alter_configs(&topic, &set, Change::Check).await.expect("it would do");
        assert_eq!(until(retention, |_| true).await, before);
        admin.alter_configs(&topic, &set, Change::Make).await.expect("set");
        let after = until(retention, |entry| entry.value.as_deref() == Some("5000")).await;
        assert_eq!((after.source, after.synonyms[0].source), (ConfigSource::Topic, ConfigSource::Topic));

        let operation = ConfigOperation::Set("1".into());
        let wrong = ConfigChange { name: "retention.mss".into(), operation };
        let refused = admin.alter_configs(&topic, &[wrong], Change::Make).await;
        assert_eq!(code(&refused), Some(ErrorCode::InvalidConfig));
        let resources = admin.list_config_resources().await.expect("listed");
        assert!(
            resources.contains(&topic) && resources.contains(&ConfigResource::Broker(BrokerId(1))),
            "{resources:?}"
        );
    });
}

#[test]
fn the_cluster_says_who_it_is_and_what_it_speaks() {
    with_topic(1, async |client, _| {
        let admin = Admin::new(&client);
        let cluster = admin.describe_cluster().await.expect("described");
        assert!(cluster.id.is_some());
        assert_eq!(cluster.controller, Some(BrokerId(1)));
        assert!(!cluster.brokers[&BrokerId(1)].is_fenced);
        let apis = admin.api_versions(BrokerId(1)).await.expect("told");
        let fetch = apis.iter().find(|api| api.name == Some("Fetch")).expect("served");
        assert_eq!((fetch.min, fetch.max), (4, 18));
        let stranger = admin.unregister_broker(BrokerId(99)).await;
        assert_eq!(code(&stranger), Some(ErrorCode::BrokerIdNotRegistered));
    });
}

#[test]
fn features_are_told_and_unknown_ones_refused() {
    with_topic(1, async |client, _| {
        let admin = Admin::new(&client);
        let features = admin.features().await.expect("told");
        let level = features.levels["metadata.version"];
        let (lowest, highest) = level.supported.expect("the broker says");
        assert!((lowest..=highest).contains(&level.finalized), "{level:?}");
        let unknown = BTreeMap::from([("no.such.feature".to_owned(), (1, FeatureUpdate::Upgrade))]);
        let refused = admin.update_features(&unknown, Change::Make).await;
        assert_eq!(code(&refused), Some(ErrorCode::InvalidUpdateVersion));
    });
}

#[test]
fn a_topic_gets_more_partitions_and_never_fewer() {
    with_topic(2, async |client, topic| {
        let admin = Admin::new(&client);
        admin.create_partitions(topic, 5, Change::Check).await.expect("it would do");
        admin.create_partitions(topic, 5, Change::Make).await.expect("made");
        until(async || admin.list_topics().await, |topics| topics[topic].partitions.len() == 5).await;
        let fewer = admin.create_partitions(topic, 3, Change::Make).await;
        assert_eq!(code(&fewer), Some(ErrorCode::InvalidPartitions));
        let nowhere = admin.create_partitions_on(topic, 6, &[vec![BrokerId(99)]], Change::Make).await;
        assert_eq!(code(&nowhere), Some(ErrorCode::InvalidReplicaAssignment));
        admin.create_partitions_on(topic, 6, &[vec![BrokerId(1)]], Change::Make).await.expect("made");
        until(async || admin.list_topics().await, |topics| topics[topic].partitions.len() == 6).await;
    });
}

#[test]
fn one_broker_holds_and_leads_everything() {
    with_topic(2, async |client, topic| {
        let admin = Admin::new(&client);
        let partitions = [PartitionName::new(topic, 0), PartitionName::new(topic, 7)];
        let elected = admin.elect_leaders(Election::Preferred, Some(&partitions)).await.expect("answers");
        assert_eq!(code(&elected[&partitions[0]]), Some(ErrorCode::ElectionNotNeeded));
        assert_eq!(code(&elected[&partitions[1]]), Some(ErrorCode::UnknownTopicOrPartition));

        let to = |broker| BTreeMap::from([(partitions[0].clone(), Some(vec![BrokerId(broker)]))]);
        let stays = admin.reassign(&to(1)).await.expect("answers");
        assert_eq!(stays[&partitions[0]], Ok(()));
        let moves = admin.reassign(&to(2)).await.expect("answers");
        assert_eq!(code(&moves[&partitions[0]]), Some(ErrorCode::InvalidReplicaAssignment));
        assert!(admin.list_reassignments(None).await.expect("listed").is_empty());
    });
}

#[test]
fn one_broker_is_the_quorum_and_has_a_disk() {
    with_records(1, async |admin, partition| {
        let quorum = admin.describe_quorum().await.expect("described");
        assert_eq!(quorum.leader, Some(BrokerId(1)));
        assert_eq!(quorum.voters.len(), 1);
        assert!(quorum.high_watermark > Some(Offset::ZERO), "{quorum:?}");

        let directories = admin.describe_log_dirs(BrokerId(1)).await.expect("described");
        let directory =
            directories.iter().find(|it| it.replicas.contains_key(&partition)).expect("somewhere");
        let copy = directory.replicas[&partition];
        assert!(copy.size_bytes > 0 && copy.lag == 0 && !copy.is_future, "{copy:?}");
        assert!(directory.usable_bytes <= directory.total_bytes);

        let move_to = async |path: &str| {
            let paths = BTreeMap::from([(partition.clone(), path.to_owned())]);
            admin.move_to_log_dirs(BrokerId(1), &paths).await.expect("answers").remove(&partition)
        };
        assert_eq!(move_to(&directory.path).await, Some(Ok(())), "it is there");
        let nowhere = move_to("/no/such/directory").await.expect("mentioned");
        assert_eq!(code(&nowhere), Some(ErrorCode::LogDirNotFound));
    });
}

#[test]
fn quotas_are_set_described_and_taken_away() {
    with_topic(1, async |client, topic| {
        let admin = Admin::new(&client);
        // The name of the topic, so that nobody else means the same.
        let entity = QuotaEntity(BTreeMap::from([
            (QuotaPart::User, Some(topic.to_owned())),
            (QuotaPart::ClientId, None),
        ]));
        assert_eq!(entity.to_string(), format!("user {topic}, client-id (default)"));
        let alter = async |key: &str, value, change| {
            let quotas = BTreeMap::from([(key.to_owned(), value)]);
            let changes = BTreeMap::from([(entity.clone(), quotas)]);
            admin.alter_quotas(&changes, change).await.expect("answers").remove(&entity).expect("mentioned")
        };
        let user = BTreeMap::from([(QuotaPart::User, QuotaMatch::Value(topic.to_owned()))]);
        let describe = async || admin.describe_quotas(&user, false).await;

        assert_eq!(alter("producer_byte_rate", Some(1e6), Change::Check).await, Ok(()));
        assert_eq!(describe().await, Ok(BTreeMap::new()));
        assert_eq!(alter("producer_byte_rate", Some(1e6), Change::Make).await, Ok(()));
        let described = until(describe, |described| !described.is_empty()).await;
        assert_eq!(described[&entity], BTreeMap::from([("producer_byte_rate".to_owned(), 1e6)]));
        let no_others = admin.describe_quotas(&user, true).await.expect("answers");
        assert_eq!(no_others, BTreeMap::new(), "it has a client id too");
        let default =
            BTreeMap::from([(QuotaPart::User, QuotaMatch::Any), (QuotaPart::ClientId, QuotaMatch::Default)]);
        assert!(admin.describe_quotas(&default, true).await.expect("answers").contains_key(&entity));

        let unknown = alter("no_such_rate", Some(1.0), Change::Make).await;
        assert_eq!(code(&unknown), Some(ErrorCode::InvalidRequest));
        assert_eq!(alter("producer_byte_rate", None, Change::Make).await, Ok(()));
        until(describe, BTreeMap::is_empty).await;
    });
}

#[test]
fn without_an_authorizer_nothing_is_allowed_or_denied() {
    with_topic(1, async |client, topic| {
        let admin = Admin::new(&client);
        let acl = Acl {
            resource: AclResource::Topic,
            name: topic.into(),
            pattern: AclPattern::Literal,
            principal: "User:alice".into(),
            host: "*".into(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        };
        let created = admin.create_acls(std::slice::from_ref(&acl)).await.expect("answers");
        assert_eq!(code(&created[&acl]), Some(ErrorCode::SecurityDisabled));
        assert_eq!(code(&admin.describe_acls(&AclFilter::ALL).await), Some(ErrorCode::SecurityDisabled));
        assert_eq!(code(&admin.delete_acls(&AclFilter::ALL).await), Some(ErrorCode::SecurityDisabled));
    });
}

#[test]
fn a_user_without_a_password_has_none_to_lose_and_may_get_one() {
    with_topic(1, async |client, topic| {
        let admin = Admin::new(&client);
        let describe = async || admin.describe_scram_users(Some(&[topic])).await;
        assert_eq!(code(&describe().await.expect("answers")[topic]), Some(ErrorCode::ResourceNotFound));
        let all = admin.describe_scram_users(None).await.expect("answers");
        assert!(!all.contains_key(topic));
        let delete = BTreeMap::from([(topic.to_owned(), (ScramMechanism::Sha256, ScramChange::Delete))]);
        let outcomes = admin.alter_scram_users(&delete).await.expect("answers");
        assert_eq!(code(&outcomes[topic]), Some(ErrorCode::ResourceNotFound));

        let sha512 = ScramMechanism::Sha512;
        let set = ScramChange::set(sha512, &"secret".into(), 8_192);
        let changes = BTreeMap::from([(topic.to_owned(), (sha512, set))]);
        match &admin.alter_scram_users(&changes).await.expect("answers")[topic] {
            Ok(()) => {
                let hashed = BTreeMap::from([(sha512, 8_192)]);
                until(describe, |users| users[topic] == Ok(hashed.clone())).await;
            }
            // A broker that asks nobody for a password takes none.
            Err(error) => assert_eq!(error.code(), Some(ErrorCode::UnsupportedSaslMechanism)),
        }
    });
}

#[test]
fn tokens_are_given_renewed_and_taken_back_or_to_nobody() {
    with_topic(1, async |client, topic| {
        let admin = Admin::new(&client);
        let renewer = Principal { kind: "User".into(), name: topic.into() };
        let lifetime = Duration::from_secs(3_600);
        let token = match admin.create_token(None, std::slice::from_ref(&renewer), Some(lifetime)).await {
            Ok(token) => token,
            // Who is nobody, or may not show a token later, gets none.
            Err(error) => {
                let refused = Some(ErrorCode::DelegationTokenRequestNotAllowed);
                assert_eq!(error.code(), refused);
                let secret = "secret".into();
                assert_eq!(code(&admin.renew_token(&secret, None).await), refused);
                assert_eq!(code(&admin.expire_token(&secret, None).await), refused);
                assert_eq!(code(&admin.describe_tokens(None).await), refused);
                return;
            }
        };
        assert!(token.issued < token.expires && token.expires <= token.ends, "{token:?}");
        let of_owner = [token.owner.clone()];
        let find = async || {
            let tokens = admin.describe_tokens(Some(&of_owner)).await?;
            Ok(tokens.into_iter().find(|it| it.id == token.id))
        };
        let described = until(find, Option::is_some).await.expect("waited for");
        assert_eq!((&described.secret, &described.renewers[..]), (&token.secret, &[renewer][..]));
        let until_then =
            admin.renew_token(&token.secret, Some(Duration::from_secs(60))).await.expect("renewed");
        assert!(until_then < token.expires, "{until_then:?} {:?}", token.expires);
        admin.expire_token(&token.secret, None).await.expect("taken back");
        until(find, Option::is_none).await;
    });
}
