//! The client against a broker of ours in this process, or against another one, Apache Kafka for example: `KLAMM_TEST_BOOTSTRAP=HOST:PORT`, and
//! how to get in there, if that is needed, by Kafka's settings for clients: `KLAMM_TEST_SETTINGS`, the text of a `.properties` file.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a broker needs a directory and threads"
)]

mod admin;
mod consumer;
mod groups;
mod members;
mod producer;
mod transactions;

use std::time::Duration;

use klamm_client::{Admin, Change, Client, ClientConfig, NewTopic, read_properties};
use klamm_model::BrokerId;
use klamm_server::{Config, Server};

/// Runs `question` with a new topic of so many partitions, at a broker of its own or the one that was named from outside.
fn with_topic<T>(partition_count: i32, question: impl AsyncFnOnce(Client, &str) -> T) -> T {
    with_new_topic(NewTopic { partition_count: Some(partition_count), ..NewTopic::default() }, question)
}

/// The same with a topic like this, which gets its name here.
fn with_new_topic<T>(topic: NewTopic, question: impl AsyncFnOnce(Client, &str) -> T) -> T {
    let test = std::thread::current().name().expect("tests have names").replace("::", ".");
    let topic = NewTopic { name: format!("{test}-{}", std::process::id()), ..topic };
    if let Ok(address) = std::env::var("KLAMM_TEST_BOOTSTRAP") {
        return with_topic_at(&address, &topic, question);
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::new(directory.path().join("data"), BrokerId(1));
    config.listeners = vec!["127.0.0.1:0".parse().expect("an address")];
    // So that members hear soon of what is to change.
    config.node.give("group.consumer.heartbeat.interval.ms", "50").expect("a setting");
    let server = Server::start(config).expect("starts");
    let answer = with_topic_at(&server.addresses()[0].to_string(), &topic, question);
    server.stop();
    answer
}

fn with_topic_at<T>(address: &str, topic: &NewTopic, question: impl AsyncFnOnce(Client, &str) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let settings = std::env::var("KLAMM_TEST_SETTINGS").unwrap_or_default();
        let mut settings = read_properties(&settings).expect("a file of settings");
        settings.push(("bootstrap.servers".into(), address.into()));
        let config = ClientConfig::from_properties(&settings).expect("settings");
        let client = Client::connect(config).await.expect("connects");
        Admin::new(&client).create_topic(topic, Change::Make).await.expect("created");
        client.topic(&topic.name, Duration::from_secs(10)).await.expect("there");
        question(client, &topic.name).await
    })
}
