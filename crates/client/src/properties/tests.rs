use std::fmt::{Debug, Write};

use expect_test::{expect, expect_file};

use super::*;

/// One value for each key that somebody reads, and what it changes.
#[test]
fn a_setting_changes_what_it_is_about() {
    let settings = "acks 1\nallow.auto.create.topics false\nauto.commit.interval.ms 16\nauto.offset.reset earliest\nbatch.size 1\nbootstrap.servers a:1, b:2\n\
        buffer.memory 2\nclient.id me\nclient.rack here\ncompression.type gzip\ncompression.gzip.level 7\ncompression.zstd.level 7\n\
        delivery.timeout.ms 3\nenable.idempotence False\nfetch.max.bytes 4\nfetch.max.wait.ms 5\nfetch.min.bytes 6\n\
        enable.auto.commit true\ngroup.id us\ngroup.instance.id one of us\ngroup.protocol CLASSIC\nheartbeat.interval.ms 17\n\
        max.poll.interval.ms 18\npartition.assignment.strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor, range,sticky,roundrobin\n\
        session.timeout.ms 19\n\
        isolation.level read_committed\nlinger.ms 7\nmax.block.ms 9223372036854775807\n\
        max.in.flight.requests.per.connection 8\nmax.partition.fetch.bytes 9\nmax.request.size 10\nmetadata.max.age.ms 11\n\
        partitioner.adaptive.partitioning.enable false\npartitioner.ignore.keys true\nrequest.timeout.ms 12\n\
        retries 2147483647\nretry.backoff.ms 13\nretry.backoff.max.ms 14\nsasl.mechanism PLAIN\n\
        sasl.jaas.config Plain required username=\"me\" password=\"it\";\nsecurity.protocol SASL_SSL\n\
        ssl.cipher.suites TLS_A,TLS_B\nssl.enabled.protocols TLSv1.3\nssl.endpoint.identification.algorithm \n\
        ssl.keystore.certificate.chain -----BEGIN CERTIFICATE----- mine -----END CERTIFICATE-----\nssl.keystore.key secret\nssl.keystore.type PEM\n\
        ssl.truststore.certificates -----BEGIN CERTIFICATE----- theirs -----END CERTIFICATE-----\nssl.truststore.type PEM\nsocket.connection.setup.timeout.ms 15\ntransaction.timeout.ms 16";
    let given: Vec<_> = settings.lines().map(|line| line.split_once(' ').expect("key and value")).collect();
    for (key, reader) in KEYS {
        let is_given = given.iter().any(|(it, _)| it == key);
        // These are given below.
        let is_elsewhere =
            [ID, "ssl.keystore.location", "ssl.truststore.location", "group.remote.assignor"].contains(key);
        assert_eq!(is_given, !is_elsewhere && !matches!(reader, Nobody(_)), "{key}");
    }
    let mut told = String::new();
    tell(&mut told, "client", &ClientConfig::new("x"), &ClientConfig::from_properties(&given));
    tell(&mut told, "producer", &ProducerConfig::default(), &ProducerConfig::from_properties(&given));
    let missing = TransactionalConfig::from_properties(&given).err();
    assert_eq!(missing, Some(PropertyError::Missing(ID)));
    let settings = [(ID, "me"), ("transaction.timeout.ms", "16"), ("linger.ms", "7")];
    let default = TransactionalConfig::new("x");
    tell(&mut told, "transactions", &default, &TransactionalConfig::from_properties(&settings));
    tell(&mut told, "consumer", &ConsumerConfig::default(), &ConsumerConfig::from_properties(&given));
    tell(&mut told, "group", &GroupConfig::new(""), &GroupConfig::from_properties(&given));
    let given = [
        ("group.id", "us"),
        ("group.protocol", "consumer"),
        ("group.remote.assignor", "uniform"),
        ("auto.commit.interval.ms", "20"),
        ("enable.auto.commit", "False"),
    ];
    tell(&mut told, "group", &GroupConfig::new(""), &GroupConfig::from_properties(&given));
    expect![[r#"
        client: "a:1"
        client: "b:2"
        client: tls: Some(
        client: Tls {
        client: roots: Some(
        client: "-----BEGIN CERTIFICATE-----\ntheirs\n-----END CERTIFICATE-----\n"
        client: )
        client: identity: Some(
        client: TlsIdentity {
        client: chain: "-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----\n"
        client: key: Password
        client: }
        client: )
        client: checks_names: false
        client: versions: [
        client: V1_3
        client: ]
        client: cipher_suites: Some(
        client: [
        client: "TLS_A"
        client: "TLS_B"
        client: ]
        client: )
        client: }
        client: )
        client: sasl: Some(
        client: Plain {
        client: username: "me"
        client: password: Password
        client: }
        client: )
        client: client_id: "me"
        client: connect_timeout_ms: 15
        client: request_timeout_ms: 12
        client: metadata_age_max_ms: 11
        client: auto_create_topics: false
        producer: acks: Leader
        producer: idempotent: false
        producer: linger_ms: 7
        producer: batch_size: 1
        producer: buffer_memory: 2
        producer: request_size_max: 10
        producer: in_flight_max: 8
        producer: codec: Gzip
        producer: level: 7
        producer: ignores_keys: true
        producer: prefers_idle_partitions: false
        producer: retries_max: 2147483647
        producer: first_ms: 13
        producer: longest_ms: 14
        producer: delivery_timeout_ms: 3
        producer: request_timeout_ms: 12
        producer: block_max_ms: 3153600000000
        transactions: transactional_id: "me"
        transactions: timeout_ms: 16
        transactions: linger_ms: 7
        consumer: bytes_min: 6
        consumer: bytes_max: 4
        consumer: partition_bytes_max: 9
        consumer: wait_max_ms: 5
        consumer: isolation: ReadCommitted
        consumer: rack: "here"
        consumer: nearest_age_max_ms: 11
        consumer: out_of_range: Earliest
        consumer: first_ms: 13
        consumer: longest_ms: 14
        consumer: request_timeout_ms: 12
        group: group_id: "us"
        group: instance_id: Some(
        group: "one of us"
        group: session_timeout_ms: 19
        group: heartbeat_interval_ms: 17
        group: poll_interval_max_ms: 18
        group: 16
        group: Sticky
        group: RoundRobin
        group: uncommitted: Earliest
        group: group_id: "us"
        group: protocol: Consumer
        group: auto_commit_interval_ms: None
        group: server_assignor: Some(
        group: "uniform"
    "#]]
    .assert_eq(&told);
}

/// The lines that are not those of the defaults.
fn tell<C: Debug>(out: &mut String, name: &str, default: &C, changed: &Result<C, PropertyError>) {
    let (default, changed) =
        (format!("{default:#?}"), format!("{:#?}", changed.as_ref().expect("they are right")));
    let known: Vec<&str> = default.lines().collect();
    for line in changed.lines().filter(|line| !known.contains(line)) {
        writeln!(out, "{name}: {}", line.trim().trim_end_matches(',')).expect("writes to memory");
    }
}

#[test]
fn what_is_not_understood_is_refused_and_named() {
    let mut told = String::new();
    for line in [
        "linger 5, batch.sise 7, acks 1",
        "metadata.broker.list a:1, debug all, ssl.ca.location ca.pem, linger 5",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj ",
        "bootstrap.servers ",
        "acks 2",
        "linger.ms -1",
        "batch.size 1e3",
        "enable.idempotence yes",
        "enable.idempotence true, acks 1",
        "compression.type brotli",
        "compression.gzip.level 10",
        "isolation.level serializable",
        "auto.offset.reset by_duration:PT1H",
        "transactional.id me",
        "security.protocol TLS",
        "security.protocol SSL, ssl.keystore.type JKS",
        "security.protocol SSL, ssl.keystore.key secret",
        "security.protocol SSL, ssl.keystore.certificate.chain -----BEGIN PRIVATE KEY----- secret -----END PRIVATE KEY-----",
        "ssl.enabled.protocols TLSv1.1",
        "ssl.endpoint.identification.algorithm ldaps",
        "security.protocol SASL_PLAINTEXT",
        "security.protocol SASL_SSL, sasl.mechanism PLAIN",
        "sasl.mechanism GSSAPI",
        "group.id ",
        "group.protocol eager",
        "partition.assignment.strategy range,uniform",
        "partition.assignment.strategy  ,",
        "session.timeout.ms 3000",
        "group.protocol consumer, session.timeout.ms 10000",
        "group.remote.assignor range",
        "sasl.jaas.config Plain required username=\"me\" password=\"it\";",
        "sasl.mechanism PLAIN, sasl.jaas.config Plain required my_username=\"me\" password=\"it\";",
    ] {
        let pairs = line.split(", ").map(|it| it.split_once(' ').expect("key and value"));
        // The last one counts.
        let given: Vec<_> =
            [("bootstrap.servers", "a:1"), ("group.id", "us")].into_iter().chain(pairs).collect();
        let errors = [
            ClientConfig::from_properties(&given).err(),
            ProducerConfig::from_properties(&given).err(),
            ConsumerConfig::from_properties(&given).err(),
            GroupConfig::from_properties(&given).err(),
        ];
        let first = errors.into_iter().flatten().next().expect("somebody refuses it");
        writeln!(told, "{line}: {first}").expect("writes to memory");
    }
    expect![[r#"
        linger 5, batch.sise 7, acks 1: there is no setting batch.sise, linger
        metadata.broker.list a:1, debug all, ssl.ca.location ca.pem, linger 5: there is no setting debug (of librdkafka; not here: events are told by `tracing`), linger, metadata.broker.list (of librdkafka; it is bootstrap.servers), ssl.ca.location (of librdkafka; it is ssl.truststore.location)
        MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj : there is no setting (something that is no name; lines that go on end with \)
        bootstrap.servers : bootstrap.servers is not set
        acks 2: acks=2: not one of 0, 1, all
        linger.ms -1: linger.ms=-1: not a number from 0 on
        batch.size 1e3: batch.size=1e3: not a number from 0 to 2147483647
        enable.idempotence yes: enable.idempotence=yes: neither true nor false
        enable.idempotence true, acks 1: enable.idempotence=true: needs acks=all
        compression.type brotli: compression.type=brotli: not one of none, gzip, snappy, lz4, zstd
        compression.gzip.level 10: compression.gzip.level=10: not a level from 1 to 9
        isolation.level serializable: isolation.level=serializable: neither read_uncommitted nor read_committed
        auto.offset.reset by_duration:PT1H: auto.offset.reset=by_duration:PT1H: not one of earliest, latest, none
        transactional.id me: transactional.id=me: a producer of transactions has it, and this is none
        security.protocol TLS: security.protocol=TLS: not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
        security.protocol SSL, ssl.keystore.type JKS: ssl.keystore.type=JKS: only PEM is read. A truststore of Java's becomes PEM by keytool -list -rfc -keystore FILE > PEM; a keystore by keytool -importkeystore -srckeystore FILE -destkeystore P12 -deststoretype PKCS12, and openssl pkcs12 -in P12 -nodes -out PEM
        security.protocol SSL, ssl.keystore.key secret: security.protocol=SSL: of ssl.keystore.key and ssl.keystore.certificate.chain there is only one
        security.protocol SSL, ssl.keystore.certificate.chain -----BEGIN PRIVATE KEY----- secret -----END PRIVATE KEY-----: ssl.keystore.certificate.chain=(not shown): no certificate in PEM is in it
        ssl.enabled.protocols TLSv1.1: ssl.enabled.protocols=TLSv1.1: not some of TLSv1.2, TLSv1.3
        ssl.endpoint.identification.algorithm ldaps: ssl.endpoint.identification.algorithm=ldaps: neither https nor empty
        security.protocol SASL_PLAINTEXT: security.protocol=SASL_PLAINTEXT: it needs a sasl.mechanism
        security.protocol SASL_SSL, sasl.mechanism PLAIN: security.protocol=SASL_SSL: it needs a sasl.jaas.config with a username
        sasl.mechanism GSSAPI: sasl.mechanism=GSSAPI: not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
        group.id : group.id is not set
        group.protocol eager: group.protocol=eager: neither classic nor consumer
        partition.assignment.strategy range,uniform: partition.assignment.strategy=range,uniform: not some of range, roundrobin, sticky, cooperative-sticky
        partition.assignment.strategy  ,: partition.assignment.strategy= ,: none at all
        session.timeout.ms 3000: heartbeat.interval.ms=3000: not less than session.timeout.ms
        group.protocol consumer, session.timeout.ms 10000: session.timeout.ms=10000: not with group.protocol=consumer, where brokers say it
        group.remote.assignor range: group.remote.assignor=range: only with group.protocol=consumer
        sasl.jaas.config Plain required username="me" password="it";: sasl.jaas.config=(not shown): it needs a sasl.mechanism
        sasl.mechanism PLAIN, sasl.jaas.config Plain required my_username="me" password="it";: sasl.jaas.config=(not shown): it has no username="…"
    "#]]
    .assert_eq(&told);
}

#[test]
fn numbers_have_kafkas_bounds_and_are_large_enough_to_get_anywhere() {
    for (key, smallest, largest) in [
        ("auto.commit.interval.ms", 0, INT),
        ("batch.size", 0, INT),
        ("buffer.memory", 1, LONG),
        ("delivery.timeout.ms", 1, INT),
        ("fetch.max.bytes", 0, INT),
        ("fetch.max.wait.ms", 0, INT),
        ("fetch.min.bytes", 0, INT),
        ("linger.ms", 0, LONG),
        ("max.block.ms", 0, LONG),
        ("max.in.flight.requests.per.connection", 1, INT),
        ("max.partition.fetch.bytes", 0, INT),
        ("max.poll.interval.ms", 1, INT),
        ("max.request.size", 1, INT),
        ("metadata.max.age.ms", 0, LONG),
        ("request.timeout.ms", 1, INT),
        ("retries", 0, INT),
        ("retry.backoff.max.ms", 0, LONG),
        ("retry.backoff.ms", 0, LONG),
        ("session.timeout.ms", 2, INT),
        ("socket.connection.setup.timeout.ms", 1, LONG),
    ] {
        let is_taken = |value: i128| {
            let value = value.to_string();
            let mut given = vec![("bootstrap.servers", "a:1"), ("group.id", "us"), (key, value.as_str())];
            given.extend((key == "session.timeout.ms").then_some(("heartbeat.interval.ms", "1")));
            ClientConfig::from_properties(&given).is_ok()
                && ProducerConfig::from_properties(&given).is_ok()
                && ConsumerConfig::from_properties(&given).is_ok()
                && GroupConfig::from_properties(&given).is_ok()
        };
        let (smallest, largest) = (i128::from(smallest), i128::from(largest));
        let taken = [smallest - 1, smallest, largest, largest + 1].map(is_taken);
        assert_eq!(taken, [false, true, true, false], "{key}");
    }
}

#[test]
fn a_name_of_librdkafkas_is_none_of_kafkas_and_leads_to_one() {
    let is_known = |key: &str| KEYS.iter().any(|(known, _)| *known == key);
    for (name, meaning) in foreign::meanings() {
        assert!(!is_known(name), "{name}");
        if let Some(here) = meaning.strip_prefix("it is ") {
            let mut keys = here.split([' ', ',']).filter(|word| word.contains('.') || *word == "acks");
            assert!(here == "retries" || keys.all(is_known), "{here}");
        }
    }
}

#[test]
fn options_of_login_modules_are_read_as_java_reads_them() {
    for text in [
        r#"Plain required username="me" password="it's";"#,
        r#"Plain required username='me' password='it\'s';"#,
        r#"Plain required username = "me"  password ="it's" ;"#,
        r#"Plain required password="it's" username=me;"#,
        r#"Plain required my_username="you" username=me password="it's";"#,
    ] {
        let given = [
            ("bootstrap.servers", "a:1"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", text),
        ];
        let config = ClientConfig::from_properties(&given).expect(text);
        let me = Sasl::Plain { username: "me".into(), password: "it's".to_owned().into() };
        assert_eq!(config.sasl, Some(me), "{text}");
    }
}

#[test]
fn a_text_sets_nothing_twice_and_says_where_it_is_unreadable() {
    for (text, told) in
        [("a=1\nb=2\na=3", "line 3: a was set before, in line 1"), ("a=1\n=2", "line 2: there is no key")]
    {
        assert_eq!(read_properties(text).expect_err("it is wrong").to_string(), told);
    }
}

#[test]
fn the_page_about_settings_is_that_of_the_table() {
    let mut page = String::from(
        "# Settings of clients\n\n\
         *Written from the table in `crates/client/src/properties.rs`, by its tests with `UPDATE_EXPECT=1`. Do not edit.*\n\n\
         `ClientConfig::from_properties` and the same of `ProducerConfig`, `TransactionalConfig`, `ConsumerConfig` and `GroupConfig` take settings by\n\
         Kafka's names, from code or from a `.properties` file, which `read_properties` reads. Each of them\n\
         takes what it reads and leaves alone what others read, so that one file may serve all. What stands in neither table is refused,\n\
         and so is a value that can't be.\n\n\
         | setting | read by |\n|---|---|\n",
    );
    let mut readers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, reader) in KEYS {
        let reader = match reader {
            Client(_) => "client",
            Producer(_) => "producer",
            Transactions(_) => "producer of transactions",
            Consumer(_) => "consumer",
            Group(_) => "group",
            Nobody(_) => continue,
        };
        readers.entry(key).or_default().push(reader);
    }
    for (key, readers) in readers {
        writeln!(page, "| `{key}` | {} |", readers.join(", ")).expect("writes to memory");
    }
    page.push_str("\nThese are taken and have no effect:\n\n| setting | because |\n|---|---|\n");
    for (key, reader) in KEYS {
        if let Nobody(reason) = reader {
            writeln!(page, "| `{key}` | {reason} |").expect("writes to memory");
        }
    }
    page.push_str(
        "\nThese are names of librdkafka's, and refused with a hint:\n\n| name | here |\n|---|---|\n",
    );
    for (name, meaning) in foreign::meanings() {
        writeln!(page, "| `{name}` | {meaning} |").expect("writes to memory");
    }
    expect_file!["../../../../docs/CLIENT_CONFIG.md"].assert_eq(&page);
}
