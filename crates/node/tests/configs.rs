//! Configs as clients see them: described, altered, in force, and still there after a restart. Cases are scripts:
//!
//! ```text
//! create TOPIC [KEY=VALUE…]
//! topic|broker|group|metrics|logger NAME KEY…      describes these keys; NAME "-" is the empty one
//! set TYPE NAME KEY=VALUE…                          KEY=VALUE, KEY= (delete), KEY+=ITEMS, KEY-=ITEMS; `would` only validates
//! replace TYPE NAME KEY=VALUE…                      the older AlterConfigs
//! list TYPE…
//! produce TOPIC SIZE                                a record of so many bytes
//! restart
//! ```

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use expect_test::{Expect, expect};
use klamm_model::{BatchBuilder, BrokerId, ControllerEpoch, ErrorCode, Seal, Tick, Timestamp};
use klamm_node::{
    ConnectionId, Effect, Endpoint, Event, Incoming, Listener, Node, NodeConfig, Now, Origin, Reply, ReplyTo,
    View, prepare,
};
use klamm_quorum::{Entry, Output};
use klamm_replica::Sabotage;
use klamm_wire::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, ProduceRequest, Records, Request, Response, alter_configs,
    create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult},
    describe_configs::{DescribeConfigsResource, DescribeConfigsResult},
    incremental_alter_configs as incremental, produce,
};
use uuid::Uuid;

struct World {
    given: Vec<(&'static str, &'static str)>,
    node: Node,
    /// Everything that was committed.
    log: Vec<Entry>,
    replies: VecDeque<Reply>,
    view: Option<Arc<View>>,
    sequence: u64,
}

impl World {
    fn new(given: &[(&'static str, &'static str)]) -> Self {
        let node = Self::node(given);
        let mut world = Self {
            given: given.to_vec(),
            node,
            log: Vec::new(),
            replies: VecDeque::new(),
            view: None,
            sequence: 0,
        };
        world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(1) }));
        world
    }

    fn node(given: &[(&'static str, &'static str)]) -> Node {
        let mut config = NodeConfig::new(BrokerId(1), Uuid::from_u128(2), Uuid::from_u128(3));
        config.endpoints = vec![Endpoint { name: "PLAINTEXT".into(), host: "here".into(), port: 9092 }];
        for (name, value) in given {
            config.give(name, value).expect("a config of a broker");
        }
        Node::new(config, 4, Sabotage::default())
    }

    /// The process ends and starts again; what is on the disk does not matter here.
    fn restart(&mut self) {
        self.node = Self::node(&self.given);
        for entry in self.log.clone() {
            self.step(Event::Quorum(Output::Committed(entry)));
        }
        let epoch = self.log.last().expect("something was committed").epoch;
        self.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(epoch.0 + 1) }));
    }

    /// Steps the node; disk operations end well and whatever it proposes is committed at once.
    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            let now = Now { tick: Tick(0), wall: Timestamp(1_700_000_000_000) };
            self.node.step(now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Reply { reply, .. } => self.replies.push_back(reply),
                    Effect::Propose { epoch, payload } => {
                        let entry = Entry { index: self.log.len() as u64, epoch, payload };
                        self.log.push(entry.clone());
                        events.push_back(Event::Quorum(Output::Committed(entry)));
                    }
                    Effect::Disk(op) => {
                        events.push_back(Event::Disk {
                            partition: op.partition,
                            op: op.id,
                            result: Ok(klamm_log::Done::Nothing),
                        });
                    }
                    Effect::Publish(view) => self.view = Some(view),
                    Effect::NoReply { .. } | Effect::LookAtSpace | Effect::Registration(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn call(&mut self, request: Request, version: i16) -> Response {
        let origin = Origin {
            listener: Listener::Client,
            local_host: "here".into(),
            local_port: 9092,
            peer_host: "there".into(),
        };
        let to = ReplyTo { connection: ConnectionId(1), sequence: self.sequence };
        self.sequence += 1;
        let view = self.view.clone().expect("a view was published");
        let body = prepare(request, &view, Timestamp(1_700_000_000_000));
        let incoming = Incoming { to, origin: Arc::new(origin), version, client_id: None, body };
        self.step(Event::Request(incoming));
        let Some(Reply::Ready(response)) = self.replies.pop_front() else { panic!("no answer") };
        klamm_wire::encode_response(1, version, &response)
            .unwrap_or_else(|error| panic!("{response:?}: {error}"));
        response
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["create", name, configs @ ..] => self.create(name, configs),
            ["set", kind, name, words @ ..] => self.set(kind, name, words),
            ["replace", kind, name, words @ ..] => self.replace(kind, name, words),
            ["list", kinds @ ..] => self.list(kinds),
            ["produce", topic, size] => self.produce(topic, size.parse().expect("a size")),
            ["restart"] => {
                self.restart();
                "restarted".to_owned()
            }
            [kind, name, keys @ ..] => self.describe(kind, name, keys),
            _ => panic!("{line}"),
        }
    }

    fn create(&mut self, name: &str, configs: &[&str]) -> String {
        let answer = &self.created(&[name], configs)[0];
        told(answer.error_code, answer.error_message.as_deref())
    }

    fn created(&mut self, names: &[&str], configs: &[&str]) -> Vec<CreatableTopicResult> {
        let config = |it: &&str| {
            let (name, value) = it.split_once('=').expect("key=value");
            CreatableTopicConfig { name: name.into(), value: Some(value.into()) }
        };
        let topic = |name: &&str| CreatableTopic {
            name: (*name).into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: names.iter().map(topic).collect(), ..Default::default() };
        let Response::CreateTopics(answer) = self.call(Request::CreateTopics(request), 7) else {
            panic!("another answer")
        };
        answer.topics
    }

    fn set(&mut self, kind: &str, name: &str, words: &[&str]) -> String {
        let config = |word: &&str| {
            let (key, value) = word.split_once('=').expect("key=value");
            let (name, config_operation) = match (key.strip_suffix('+'), key.strip_suffix('-')) {
                (Some(key), _) => (key, 2),
                (_, Some(key)) => (key, 3),
                _ => (key, i8::from(value.is_empty())),
            };
            let value = (!value.is_empty()).then(|| value.to_owned());
            incremental::AlterableConfig { name: name.to_owned(), config_operation, value }
        };
        let resource = incremental::AlterConfigsResource {
            resource_type: resource_type(kind),
            resource_name: resource_name(name),
            configs: words.iter().filter(|it| it.contains('=')).map(config).collect(),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource; if words.contains(&"twice") { 2 } else { 1 }],
            validate_only: words.contains(&"would"),
        };
        let Response::IncrementalAlterConfigs(answer) =
            self.call(Request::IncrementalAlterConfigs(request), 1)
        else {
            panic!("another answer")
        };
        told(answer.responses[0].error_code, answer.responses[0].error_message.as_deref())
    }

    fn replace(&mut self, kind: &str, name: &str, words: &[&str]) -> String {
        let config = |word: &&str| {
            let (name, value) = word.split_once('=').expect("key=value");
            let value = (!value.is_empty()).then(|| value.to_owned());
            alter_configs::AlterableConfig { name: name.to_owned(), value }
        };
        let resource = alter_configs::AlterConfigsResource {
            resource_type: resource_type(kind),
            resource_name: resource_name(name),
            configs: words.iter().map(config).collect(),
        };
        let request = AlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let Response::AlterConfigs(answer) = self.call(Request::AlterConfigs(request), 2) else {
            panic!("another answer")
        };
        told(answer.responses[0].error_code, answer.responses[0].error_message.as_deref())
    }

    fn described(&mut self, kind: &str, name: &str, keys: Option<Vec<String>>) -> DescribeConfigsResult {
        let resource = DescribeConfigsResource {
            resource_type: resource_type(kind),
            resource_name: resource_name(name),
            configuration_keys: keys,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        };
        let Response::DescribeConfigs(mut answer) = self.call(Request::DescribeConfigs(request), 4) else {
            panic!("another answer")
        };
        answer.results.remove(0)
    }

    fn describe(&mut self, kind: &str, name: &str, keys: &[&str]) -> String {
        let keys = keys.iter().map(|it| (*it).to_owned()).collect();
        let result = self.described(kind, name, Some(keys));
        if result.error_code != 0 {
            return told(result.error_code, result.error_message.as_deref());
        }
        let mut text = format!("{} configs", result.configs.len());
        for it in result.configs {
            assert!(it.documentation.is_some_and(|it| !it.is_empty()), "{} has no documentation", it.name);
            let value = it.value.unwrap_or("null".to_owned());
            let read_only = if it.read_only { ", read-only" } else { "" };
            let secret = if it.is_sensitive { ", secret" } else { "" };
            write!(text, "\n{} = {value} ({}{read_only}{secret})", it.name, source(it.config_source))
                .expect("a text takes text");
            for synonym in it.synonyms {
                let value = synonym.value.unwrap_or("null".to_owned());
                write!(text, "\n    {} {} = {value}", source(synonym.source), synonym.name)
                    .expect("a text takes text");
            }
        }
        text
    }

    fn list(&mut self, kinds: &[&str]) -> String {
        let resource_types = kinds.iter().map(|it| resource_type(it)).collect();
        let request = Request::ListConfigResources(ListConfigResourcesRequest { resource_types });
        let Response::ListConfigResources(answer) = self.call(request, 1) else { panic!("another answer") };
        let resources = answer.config_resources.iter();
        let resources: Vec<_> =
            resources.map(|it| format!("{}:{}", it.resource_type, it.resource_name)).collect();
        format!("{} {}", told(answer.error_code, None), resources.join(" "))
    }

    fn produce(&mut self, topic: &str, size: usize) -> String {
        let mut builder = BatchBuilder::with_capacity(size);
        builder.append(Timestamp(1_700_000_000_000), None, Some(&vec![0; size]), &[]);
        let partition = produce::PartitionProduceData {
            index: 0,
            records: Some(Records::Bytes(builder.finish(&Seal::default()))),
            ..Default::default()
        };
        let topic = produce::TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
        let Response::Produce(answer) = self.call(Request::Produce(request), 9) else {
            panic!("another answer")
        };
        told(answer.responses[0].partition_responses[0].error_code, None)
    }
}

fn resource_type(kind: &str) -> i8 {
    match kind {
        "topic" => 2,
        "broker" => 4,
        "logger" => 8,
        "metrics" => 16,
        "group" => 32,
        other => other.parse().expect("the number of a type"),
    }
}

fn resource_name(name: &str) -> String {
    if name == "-" { String::new() } else { name.to_owned() }
}

fn told(code: i16, message: Option<&str>) -> String {
    let code = ErrorCode::from_code(code).expect("a known code").name().to_owned();
    message.map_or(code.clone(), |message| format!("{code}: {message}"))
}

fn source(number: i8) -> &'static str {
    ["UNKNOWN", "TOPIC", "BROKER", "CLUSTER", "STATIC", "DEFAULT"][number as usize]
}

fn check(given: &[(&'static str, &'static str)], script: &str, expected: &Expect) {
    let mut world = World::new(given);
    let mut output = String::new();
    for line in script.lines().map(str::trim) {
        writeln!(output, "{line}").expect("a text takes text");
        for line in world.run(line).lines() {
            writeln!(output, "    {line}").expect("a text takes text");
        }
    }
    expected.assert_eq(&output);
}

#[test]
fn a_topics_config_tells_where_it_comes_from() {
    check(
        &[("log.retention.hours", "24"), ("log.segment.bytes", "2000000")],
        "create t cleanup.policy=compact
         topic t cleanup.policy segment.bytes retention.ms min.insync.replicas remote.storage.enable
         set broker - log.segment.bytes=3000000
         set broker 1 log.segment.bytes=4000000 log.retention.ms=5
         topic t segment.bytes retention.ms
         set topic t segment.bytes=5000000
         topic t segment.bytes
         topic u
         topic a/b
         topic -",
        &expect![[r#"
            create t cleanup.policy=compact
                NONE
            topic t cleanup.policy segment.bytes retention.ms min.insync.replicas remote.storage.enable
                5 configs
                cleanup.policy = compact (TOPIC)
                    TOPIC cleanup.policy = compact
                    DEFAULT log.cleanup.policy = delete
                min.insync.replicas = 1 (DEFAULT)
                    DEFAULT min.insync.replicas = 1
                remote.storage.enable = false (DEFAULT)
                retention.ms = 86400000 (STATIC)
                    STATIC log.retention.hours = 24
                    DEFAULT log.retention.hours = 168
                segment.bytes = 2000000 (STATIC)
                    STATIC log.segment.bytes = 2000000
                    DEFAULT log.segment.bytes = 1073741824
            set broker - log.segment.bytes=3000000
                NONE
            set broker 1 log.segment.bytes=4000000 log.retention.ms=5
                NONE
            topic t segment.bytes retention.ms
                2 configs
                retention.ms = 5 (BROKER)
                    BROKER log.retention.ms = 5
                    STATIC log.retention.hours = 24
                    DEFAULT log.retention.hours = 168
                segment.bytes = 4000000 (BROKER)
                    BROKER log.segment.bytes = 4000000
                    CLUSTER log.segment.bytes = 3000000
                    STATIC log.segment.bytes = 2000000
                    DEFAULT log.segment.bytes = 1073741824
            set topic t segment.bytes=5000000
                NONE
            topic t segment.bytes
                1 configs
                segment.bytes = 5000000 (TOPIC)
                    TOPIC segment.bytes = 5000000
                    BROKER log.segment.bytes = 4000000
                    CLUSTER log.segment.bytes = 3000000
                    STATIC log.segment.bytes = 2000000
                    DEFAULT log.segment.bytes = 1073741824
            topic u
                UNKNOWN_TOPIC_OR_PARTITION: The topic 'u' does not exist.
            topic a/b
                INVALID_TOPIC_EXCEPTION: Topic name is invalid: it contains one or more characters other than ASCII alphanumerics, '.', '_' and '-', such as '/'
            topic -
                INVALID_TOPIC_EXCEPTION: Topic name is invalid: the empty string is not allowed
        "#]],
    );
}

#[test]
fn a_brokers_config_tells_where_it_comes_from() {
    check(
        &[("num.partitions", "3"), ("log.retention.hours", "24"), ("ssl.key.password", "secret")],
        "broker 1 num.partitions default.replication.factor node.id advertised.listeners log.retention.ms log.retention.hours ssl.key.password no.such.key
         set broker - max.connections=5 log.retention.ms=7
         set broker 1 max.connections=6
         broker 1 max.connections log.retention.ms log.retention.hours
         broker -
         broker 2
         broker one
         logger 1
         logger 2
         metrics m interval.ms
         metrics -
         group g consumer.session.timeout.ms share.isolation.level
         64 x",
        &expect![[r#"
            broker 1 num.partitions default.replication.factor node.id advertised.listeners log.retention.ms log.retention.hours ssl.key.password no.such.key
                7 configs
                advertised.listeners = PLAINTEXT://here:9092 (DEFAULT, read-only)
                default.replication.factor = 1 (DEFAULT, read-only)
                log.retention.hours = 24 (STATIC, read-only)
                    STATIC log.retention.hours = 24
                    DEFAULT log.retention.hours = 168
                log.retention.ms = null (DEFAULT)
                node.id = 1 (DEFAULT, read-only)
                    DEFAULT node.id = 1
                num.partitions = 3 (STATIC, read-only)
                    STATIC num.partitions = 3
                    DEFAULT num.partitions = 1
                ssl.key.password = null (STATIC, secret)
                    STATIC ssl.key.password = null
            set broker - max.connections=5 log.retention.ms=7
                NONE
            set broker 1 max.connections=6
                NONE
            broker 1 max.connections log.retention.ms log.retention.hours
                3 configs
                log.retention.hours = 24 (STATIC, read-only)
                    STATIC log.retention.hours = 24
                    DEFAULT log.retention.hours = 168
                log.retention.ms = 7 (CLUSTER)
                    CLUSTER log.retention.ms = 7
                    STATIC log.retention.hours = 24
                    DEFAULT log.retention.hours = 168
                max.connections = 6 (BROKER)
                    BROKER max.connections = 6
                    CLUSTER max.connections = 5
                    DEFAULT max.connections = 10000
            broker -
                2 configs
                log.retention.ms = 7 (CLUSTER)
                    CLUSTER log.retention.ms = 7
                max.connections = 5 (CLUSTER)
                    CLUSTER max.connections = 5
            broker 2
                INVALID_REQUEST: this is broker 1, not 2
            broker one
                INVALID_REQUEST: "one" is not the number of a broker
            logger 1
                0 configs
            logger 2
                INVALID_REQUEST: this is broker 1, not 2
            metrics m interval.ms
                1 configs
                interval.ms = 300000 (DEFAULT)
            metrics -
                INVALID_REQUEST: the name is empty
            group g consumer.session.timeout.ms share.isolation.level
                2 configs
                consumer.session.timeout.ms = 45000 (DEFAULT)
                    DEFAULT group.consumer.session.timeout.ms = 45000
                share.isolation.level = read_uncommitted (DEFAULT)
            64 x
                INVALID_REQUEST: 64 is no type of a resource
        "#]],
    );
}

#[test]
fn alterations_are_checked_one_resource_at_a_time() {
    check(
        &[("log.cleaner.max.compaction.lag.ms", "8")],
        "create t
         set topic t would retention.ms=5
         set topic t retention.ms=5 cleanup.policy+=compact
         set topic t cleanup.policy-=delete retention.ms=
         topic t retention.ms cleanup.policy
         replace topic t segment.ms=9
         topic t segment.ms cleanup.policy
         replace topic t segment.ms=
         set topic t segment.ms+=9
         set topic t segment.mss=9
         set topic t ../../etc/passwd=http://example.com
         set topic t twice segment.ms=9
         set topic t min.compaction.lag.ms=9 max.compaction.lag.ms=8
         set topic t min.compaction.lag.ms=9
         set broker - log.cleaner.max.compaction.lag.ms=9
         set topic t min.compaction.lag.ms=9
         set topic u segment.ms=9
         set topic - segment.ms=9
         set topic a/b segment.ms=9
         set broker 1 num.partitions=3
         set broker - ssl.keystore.location=/a
         set broker 1 ssl.keystore.password=secret
         set broker 2 log.retention.ms=3
         set broker x log.retention.ms=3
         set logger 1 root=DEBUG
         set group g consumer.session.timeout.ms=50000
         set metrics m interval.ms=1000
         set 5 x y=z",
        &expect![[r#"
            create t
                NONE
            set topic t would retention.ms=5
                NONE
            set topic t retention.ms=5 cleanup.policy+=compact
                NONE
            set topic t cleanup.policy-=delete retention.ms=
                NONE
            topic t retention.ms cleanup.policy
                2 configs
                cleanup.policy = compact (TOPIC)
                    TOPIC cleanup.policy = compact
                    DEFAULT log.cleanup.policy = delete
                retention.ms = 604800000 (DEFAULT)
                    DEFAULT log.retention.hours = 168
            replace topic t segment.ms=9
                NONE
            topic t segment.ms cleanup.policy
                2 configs
                cleanup.policy = delete (DEFAULT)
                    DEFAULT log.cleanup.policy = delete
                segment.ms = 9 (TOPIC)
                    TOPIC segment.ms = 9
                    DEFAULT log.roll.hours = 168
            replace topic t segment.ms=
                INVALID_REQUEST: segment.ms has no value
            set topic t segment.ms+=9
                INVALID_CONFIG: segment.ms is not a list: items cannot be added or taken out
            set topic t segment.mss=9
                INVALID_CONFIG: Unknown topic config name: "segment.mss"; is it segment.ms?
            set topic t ../../etc/passwd=http://example.com
                INVALID_CONFIG: Unknown topic config name: "../../etc/passwd"
            set topic t twice segment.ms=9
                INVALID_REQUEST: Each resource must appear at most once.
            set topic t min.compaction.lag.ms=9 max.compaction.lag.ms=8
                INVALID_CONFIG: conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)
            set topic t min.compaction.lag.ms=9
                INVALID_CONFIG: conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)
            set broker - log.cleaner.max.compaction.lag.ms=9
                NONE
            set topic t min.compaction.lag.ms=9
                NONE
            set topic u segment.ms=9
                UNKNOWN_TOPIC_OR_PARTITION: The topic 'u' does not exist.
            set topic - segment.ms=9
                INVALID_REQUEST: Default topic resources are not allowed.
            set topic a/b segment.ms=9
                INVALID_TOPIC_EXCEPTION: Topic name is invalid: it contains one or more characters other than ASCII alphanumerics, '.', '_' and '-', such as '/'
            set broker 1 num.partitions=3
                INVALID_REQUEST: Cannot update these configs dynamically: num.partitions is given at the start
            set broker - ssl.keystore.location=/a
                INVALID_REQUEST: ssl.keystore.location can be set for one broker at a time only
            set broker 1 ssl.keystore.password=secret
                INVALID_CONFIG: ssl.keystore.password is a secret and is not kept in the cluster's metadata
            set broker 2 log.retention.ms=3
                BROKER_ID_NOT_REGISTERED: No broker with id 2 found.
            set broker x log.retention.ms=3
                INVALID_REQUEST: "x" is not the number of a broker
            set logger 1 root=DEBUG
                INVALID_REQUEST: what a broker logs is told to it at start, by KLAMM_LOG
            set group g consumer.session.timeout.ms=50000
                INVALID_REQUEST: groups have no configs of their own yet
            set metrics m interval.ms=1000
                INVALID_REQUEST: metrics of clients are not collected
            set 5 x y=z
                INVALID_REQUEST: 5 is no type of a resource
        "#]],
    );
}

#[test]
fn what_is_set_for_brokers_holds_at_once_and_after_a_restart() {
    check(
        &[("message.max.bytes", "2000")],
        "create t
         create own max.message.bytes=5000
         produce t 1500
         produce t 3500
         set broker - message.max.bytes=4000
         produce t 3500
         produce own 4500
         create new
         produce new 3500
         set broker 1 message.max.bytes=1000
         produce t 1500
         produce own 4500
         restart
         produce t 1500
         set broker 1 message.max.bytes=
         produce t 3500
         set broker - message.max.bytes=
         produce t 3500
         produce t 1500",
        &expect![[r#"
            create t
                NONE
            create own max.message.bytes=5000
                NONE
            produce t 1500
                NONE
            produce t 3500
                MESSAGE_TOO_LARGE
            set broker - message.max.bytes=4000
                NONE
            produce t 3500
                NONE
            produce own 4500
                NONE
            create new
                NONE
            produce new 3500
                NONE
            set broker 1 message.max.bytes=1000
                NONE
            produce t 1500
                MESSAGE_TOO_LARGE
            produce own 4500
                NONE
            restart
                restarted
            produce t 1500
                MESSAGE_TOO_LARGE
            set broker 1 message.max.bytes=
                NONE
            produce t 3500
                NONE
            set broker - message.max.bytes=
                NONE
            produce t 3500
                MESSAGE_TOO_LARGE
            produce t 1500
                NONE
        "#]],
    );
}

/// KIP-525.
#[test]
fn who_creates_a_topic_is_told_what_describing_it_tells() {
    let mut world = World::new(&[("log.retention.hours", "24")]);
    world.run("set broker - log.segment.bytes=3000000");
    let configs = ["cleanup.policy=compact", "max.message.bytes=5000"];
    let told = world.created(&["t"], &configs).remove(0).configs.expect("configs");
    let told = told.iter().map(|it| (&*it.name, it.value.as_deref(), it.config_source, it.read_only));
    let described = world.described("topic", "t", None).configs;
    let described =
        described.iter().map(|it| (&*it.name, it.value.as_deref(), it.config_source, it.read_only));
    assert_eq!(told.collect::<Vec<_>>(), described.collect::<Vec<_>>());

    let names: Vec<String> = (0..101).map(|number| format!("many-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let only_own = |it: &CreatableTopicResult| it.configs.as_ref().map(Vec::len) == Some(configs.len());
    assert!(world.created(&names, &configs).iter().all(only_own), "a large answer to a small question");
}

#[test]
fn resources_are_listed() {
    check(
        &[],
        "create t
         create u
         list
         list topic
         list broker logger
         list group metrics
         list 64",
        &expect![[r#"
            create t
                NONE
            create u
                NONE
            list
                NONE 2:t 2:u 4:1 8:1
            list topic
                NONE 2:t 2:u
            list broker logger
                NONE 4:1 8:1
            list group metrics
                NONE 
            list 64
                UNSUPPORTED_VERSION 
        "#]],
    );
}

#[test]
fn every_key_is_described_and_no_default_is_missing_without_reason() {
    let mut world = World::new(&[]);
    world.run("create t");
    let topic = world.described("topic", "t", None);
    let keys = topic.configs.iter().map(|it| it.name.as_str());
    assert!(keys.eq(klamm_cluster::config::TOPIC_CONFIGS.iter().map(|it| it.name)));
    let broker = world.described("broker", "1", Some(Vec::new()));
    let keys = broker.configs.iter().map(|it| it.name.as_str());
    assert!(keys.eq(klamm_cluster::config::broker_keys().iter().map(|it| it.name)));
    for key in ["num.partitions", "default.replication.factor", "message.max.bytes", "log.segment.bytes"] {
        let entry = broker.configs.iter().find(|it| it.name == key).expect("a key");
        assert!(entry.value.is_some(), "{key} has no value");
    }
}
