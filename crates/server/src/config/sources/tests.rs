use klamm_model::BrokerId;
use proptest::prelude::*;

use super::*;

fn config() -> Config {
    Config::new(PathBuf::from("unused"), BrokerId(1))
}

fn loaded(file: &str, text: &str) -> Result<(Config, Vec<String>), String> {
    let mut sources = Sources::default();
    let mut config = config();
    let told = |error: LoadError| error.to_string();
    sources.text(Path::new(file), text).map_err(told)?;
    let warnings = sources.apply(&mut config).map_err(told)?;
    Ok((config, warnings))
}

fn refused(file: &str, text: &str) -> String {
    loaded(file, text).err().unwrap_or_else(|| panic!("{text:?} was taken"))
}

/// As Kafka ships it, but for the comments.
const SERVER_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=7
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:19092,CONTROLLER://:19093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://broker.example:19092,CONTROLLER://localhost:19093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/srv/klamm
num.partitions=2
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=24
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn kafkas_own_file_loads_unchanged() {
    let (config, warnings) = loaded("server.properties", SERVER_PROPERTIES).expect("it loads");
    assert_eq!(config.listeners, ["0.0.0.0:19092".parse().expect("an address")]);
    assert_eq!(config.advertised, Some(("broker.example".to_owned(), 19092)));
    assert_eq!((config.node.broker_id, config.network_threads), (BrokerId(7), 3));
    assert_eq!(
        (config.data_dirs, config.node.default_partition_count),
        (vec![PathBuf::from("/srv/klamm")], 2)
    );
    let without_effect = warnings.join("\n");
    for key in ["num.io.threads", "transaction.state.log.min.isr", "inter.broker.listener.name"] {
        assert!(without_effect.contains(key), "{key} is not named in {without_effect}");
    }
    assert!(!without_effect.contains("log.retention"), "{without_effect}");
}

#[test]
fn the_same_in_toml() {
    let text = r#"
        "log.retention.ms" = 86400000
        num.partitions = 3
        broker.rack = "a"
        auto.create.topics.enable = false
        log.cleanup.policy = ["compact", "delete"]
        max.connections = 5
        "max.connections.per.ip" = 3
        [log.cleaner]
        min.cleanable.ratio = 0.25
    "#;
    let (config, _) = loaded("klamm.toml", text).expect("it loads");
    assert_eq!(config.node.default_partition_count, 3);
    assert_eq!(config.node.rack.as_deref(), Some("a"));
    for (key, value) in [
        ("log.retention.ms", "86400000"),
        ("log.cleanup.policy", "compact,delete"),
        ("max.connections", "5"),
        ("log.cleaner.min.cleanable.ratio", "0.25"),
        ("auto.create.topics.enable", "false"),
    ] {
        assert_eq!(config.node.given.set.get(key).map(String::as_str), Some(value));
    }
}

#[test]
fn mistakes_are_named_with_their_lines() {
    for (file, text, told) in [
        (
            "a.properties",
            "num.partitions=1\n\nnum.partition=2",
            r#"a.properties, line 3: Unknown broker config name: "num.partition"; is it num.partitions?"#,
        ),
        (
            "a.properties",
            "num.partitions=one",
            r#"a.properties, line 1: Invalid value "one" for configuration num.partitions: it is a whole number from 1"#,
        ),
        (
            "a.properties",
            "log.dirs=/a\nnode.id=1\nlog.dirs=/a",
            "a.properties, line 3: log.dirs was set before, at a.properties, line 1",
        ),
        (
            "a.properties",
            "a=\\u00",
            r"a.properties, line 1: \u is followed by four hexadecimal digits that make a character",
        ),
        (
            "a.properties",
            "listeners=SSL://:9093",
            r#"listeners cannot be "SSL://:9093": SSL is to speak SSL, which is not served yet"#,
        ),
        (
            "a.properties",
            "listeners=CLIENTS://:9093\nlistener.security.protocol.map=CLIENTS:SASL_SSL",
            r#"listeners cannot be "CLIENTS://:9093": CLIENTS is to speak SASL_SSL, which is not served yet"#,
        ),
        (
            "a.properties",
            "listeners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER",
            r#"listeners cannot be "CONTROLLER://:9093": there is none for clients"#,
        ),
        (
            "a.properties",
            "listeners=:port",
            r#"listeners cannot be ":port": "port" in ":port" is not a port"#,
        ),
        (
            "a.properties",
            "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
            r#"advertised.listeners cannot be "PLAINTEXT://0.0.0.0:9092": nobody can connect to "0.0.0.0""#,
        ),
        (
            "a.properties",
            "advertised.listeners=PLAINTEXT://here:0",
            r#"advertised.listeners cannot be "PLAINTEXT://here:0": nobody can connect to port 0"#,
        ),
        (
            "a.properties",
            "node.join=a:9093,b:9093,a:9093",
            r#"node.join cannot be "a:9093,b:9093,a:9093": a:9093 is there twice"#,
        ),
        (
            "a.properties",
            "node.join=PLAINTEXT://a:9093",
            r#"node.join cannot be "PLAINTEXT://a:9093": "PLAINTEXT://a:9093" is not HOST:PORT"#,
        ),
        ("a.properties", "node.join=,", r#"node.join cannot be ",": there is no address in it"#),
        (
            "a.properties",
            "node.listener=nowhere",
            r#"node.listener cannot be "nowhere": "nowhere" has no port; expected HOST:PORT or NAME://HOST:PORT"#,
        ),
        (
            "a.properties",
            "listener.name.inside.sssl.protocol=x",
            r#"a.properties, line 1: Unknown broker config name: "listener.name.inside.sssl.protocol""#,
        ),
        ("a.toml", "num.partitions = 1\n[num]\npartitions = 2", "a.toml, line 2: "),
        (
            "a.toml",
            "num.partitions = 1\n\"num.partitions\" = 2",
            "a.toml, line 2: num.partitions was set before, at a.toml, line 1",
        ),
        (
            "a.toml",
            "\nnum.partitions = 1979-05-27",
            "a.toml, line 2: num.partitions is neither a text, a number, true or false, nor a list",
        ),
        (
            "a.toml",
            "num.partitions = [[1]]",
            "a.toml, line 1: num.partitions is a list of more than texts and numbers",
        ),
        ("a.conf", "num.partitions = 1", "a.conf: a file of settings is named .properties or .toml"),
    ] {
        let found = refused(file, text);
        assert!(found.starts_with(told), "{text:?}\n found: {found}\nwanted: {told}");
    }
}

#[test]
fn keys_of_plug_ins_and_of_single_listeners_are_passed_over() {
    let text = "rsm.config.bucket=b\nlistener.name.inside.scram-sha-256.sasl.jaas.config=secret\nlistener.name.inside.max.connections=5";
    let (config, warnings) = loaded("a.properties", text).expect("it loads");
    assert_eq!(config.node.given.set.len(), 0);
    assert!(warnings[0].contains("rsm.config.bucket") && !warnings[0].contains("secret"), "{warnings:?}");
}

#[test]
fn an_argument_beats_the_environment_and_that_a_file() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut sources = Sources::default();
    let file = "num.partitions=1\nlog.retention.ms=1\nbroker.id=4\nfetch.max.bytes=2000";
    sources.text(Path::new("a.properties"), file).expect("a file");
    let variables = [
        pair("KLAMM_NUM_PARTITIONS", "2"),
        pair("KLAMM_LOG_RETENTION_MS", "2"),
        pair("KLAMM_LOG", "debug"),
        pair("KLAMM_PORT_9092_TCP_ADDR", "10.0.0.1"),
        pair("HOME", "/root"),
    ];
    sources.environment(variables).expect("variables");
    let argument =
        |key: &str, value: &str| (key.to_owned(), value.to_owned(), format!("--set {key}={value}"));
    sources.arguments([argument("num.partitions", "3"), argument("node.id", "5")]).expect("arguments");
    let mut config = config();
    let warnings = sources.apply(&mut config).expect("all of it fits");
    assert_eq!(config.node.default_partition_count, 3);
    assert_eq!(config.node.given.set["log.retention.ms"], "2");
    assert_eq!((config.node.broker_id, config.node.fetch_bytes_max), (BrokerId(5), 2000));
    assert_eq!(warnings, ["the variable KLAMM_PORT_9092_TCP_ADDR sets nothing"]);
}

#[test]
fn a_variable_that_is_nearly_right_is_refused() {
    let variables = [("KLAMM_NUM_PARTITION".to_owned(), "2".to_owned())];
    let error = Sources::default().environment(variables).expect_err("a typo");
    assert_eq!(
        error.to_string(),
        "the variable KLAMM_NUM_PARTITION sets nothing; is it KLAMM_NUM_PARTITIONS?"
    );
}

proptest! {
    /// Whatever stands in a file, loading it ends with settings or with an error, never with a panic.
    #[test]
    fn no_file_makes_a_panic(text in "(?s).{0,200}", keys in prop::collection::vec(0..1000_usize, 0..8), value in "[-0-9a-z.,:/*\\\\]{0,12}") {
        let known = broker_keys();
        let mut lines = text.clone();
        for key in &keys {
            lines.push_str(&format!("\n{}={value}", known[key % known.len()].name));
        }
        for (name, text) in [("a.properties", &text), ("a.properties", &lines), ("a.toml", &text), ("a.toml", &lines)] {
            let _ = loaded(name, text);
        }
        // Each key alone, so that one wrong value does not hide the others.
        for key in keys {
            let _ = config().set(known[key % known.len()].name, &value);
        }
    }
}
