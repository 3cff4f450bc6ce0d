//! Our own client; the commands are those of ../python/records.py.
#![allow(clippy::disallowed_methods, reason = "a program reads files")]

mod load;
mod transfers;

use std::{error::Error, fs};

use klamm::{
    Admin, Assignment, Assignor, Client, ClientConfig, CommitError, Compression, ConsumedRecord, Consumer,
    ConsumerConfig, GroupConfig, GroupConsumer, GroupEvent, GroupProtocol, Isolation, OffsetQuestion,
    OutOfRange, OwnedRecord, PartitionName, Producer, ProducerConfig, Start, Timestamp, Topics,
    TransactionalConfig,
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The topics of the matrix take records up to this size.
const REQUEST_SIZE_MAX: usize = 2_500_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["write", address, topic, codec, kind, path] => {
            write(address, topic, codec, kind == "idempotent", path).await
        }
        ["read", address, topic, partitions, count] => {
            read(address, topic, partitions.parse()?, count.parse()?).await
        }
        ["times", address, topic, ref timestamps @ ..] => times(address, topic, timestamps).await,
        ["member", address, topic, group, how, session_ms, heartbeat_ms] => {
            println!("started");
            let config = GroupConfig {
                session_timeout_ms: session_ms.parse()?,
                heartbeat_interval_ms: heartbeat_ms.parse()?,
                ..group_config(group, how)?
            };
            member(address, topic, config).await
        }
        ["load", address, topic, partitions, rate] => {
            load::run(address, topic, partitions.parse()?, rate.parse()?).await
        }
        ["transfers", address, topic, partitions, accounts, transactional_id, run, timeout_ms] => {
            let timeout_ms = timeout_ms.parse()?;
            let config = TransactionalConfig { timeout_ms, ..TransactionalConfig::new(transactional_id) };
            transfers::run(address, topic, [partitions, accounts], run, config).await
        }
        ["version"] => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => Err(format!("unknown command {words:?}").into()),
    }
}

/// By one of the addresses, which are separated by commas.
async fn connect(addresses: &str) -> Outcome<Client> {
    let bootstrap = addresses.split(',').map(str::to_owned).collect();
    Ok(Client::connect(ClientConfig { bootstrap, ..ClientConfig::new(addresses) }).await?)
}

async fn write(address: &str, topic: &str, codec: &str, idempotent: bool, path: &str) -> Outcome<()> {
    let client = connect(address).await?;
    let config = ProducerConfig {
        idempotent,
        compression: Compression::of(codec.parse()?),
        request_size_max: REQUEST_SIZE_MAX,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&client, config);
    let mut deliveries = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let record = record(topic, &serde_json::from_str(line)?).ok_or("a record that is none")?;
        let headers = record.lend_headers();
        deliveries.push(producer.accept(record.lend(&headers)).await?);
    }
    for delivery in deliveries {
        delivery.await?;
    }
    producer.close().await;
    Ok(())
}

fn record(topic: &str, line: &Value) -> Option<OwnedRecord> {
    let headers = line["h"].as_array()?.iter();
    Some(OwnedRecord {
        topic: topic.into(),
        partition: Some(i32::try_from(line["p"].as_i64()?).ok()?),
        timestamp: Some(Timestamp(line["t"].as_i64()?)),
        key: bytes(&line["k"]).map(Into::into),
        value: bytes(&line["v"]).map(Into::into),
        headers: headers
            .map(|it| Some((it[0].as_str()?.to_owned().into(), bytes(&it[1]).map(Into::into))))
            .collect::<Option<_>>()?,
    })
}

async fn read(address: &str, topic: &str, partitions: i32, count: usize) -> Outcome<()> {
    let client = connect(address).await?;
    let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
    let consumer = Consumer::new(&client, config);
    consumer.assign((0..partitions).map(|partition| Assignment {
        topic: topic.into(),
        partition,
        start: Start::Earliest,
    }));
    let mut records = consumer.records();
    for _ in 0..count {
        let ConsumedRecord { partition, offset, timestamp, key, value, headers, .. } =
            records.next().await.ok_or("the stream ended")??;
        let hex = |data: Option<&[u8]>| data.map(hex);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| json!([String::from_utf8_lossy(name), hex(value.as_deref())]))
            .collect();
        let (key, value) = (hex(key.as_deref()), hex(value.as_deref()));
        println!(
            "{}",
            json!({"p": partition, "o": offset.raw(), "k": key, "v": value, "h": headers, "t": timestamp.0})
        );
    }
    Ok(())
}

async fn times(address: &str, topic: &str, timestamps: &[&str]) -> Outcome<()> {
    let admin = Admin::new(&connect(address).await?);
    let mut found = Vec::new();
    for timestamp in timestamps {
        let since = OffsetQuestion::Since(Timestamp(timestamp.parse()?));
        let listed = admin.list_offsets([PartitionName::new(topic, 0)], since).await?;
        for (_, offset) in listed {
            found.push(offset?.offset.map_or(-1, |it| it.raw()));
        }
    }
    println!("{}", json!(found));
    Ok(())
}

fn group_config(group: &str, how: &str) -> Outcome<GroupConfig> {
    let config = GroupConfig {
        auto_commit_interval_ms: None,
        uncommitted: OutOfRange::Earliest,
        ..GroupConfig::new(group)
    };
    Ok(match how {
        "consumer" => GroupConfig { protocol: GroupProtocol::Consumer, ..config },
        "cooperative" => GroupConfig { assignors: vec![Assignor::CooperativeSticky], ..config },
        assignor => GroupConfig { assignors: vec![assignor.parse()?], ..config },
    })
}

async fn member(address: &str, topic: &str, config: GroupConfig) -> Outcome<()> {
    let mut leave = signal(SignalKind::terminate())?;
    let client = connect(address).await?;
    let consumer = GroupConsumer::new(&client, ConsumerConfig::default(), config);
    consumer.subscribe(Topics::Named([topic.into()].into()));
    loop {
        let event = tokio::select! {
            event = consumer.next() => event?,
            _ = leave.recv() => break,
        };
        match event {
            GroupEvent::Assigned(partitions) => tell("assigned", &partitions),
            GroupEvent::Revoked(revocation) => tell("revoked", revocation.partitions()),
            GroupEvent::Lost(partitions) => tell("revoked", &partitions),
            GroupEvent::Batch(batch) => {
                for record in batch.owned_records()? {
                    let value = record.value.unwrap_or_default();
                    println!(
                        "record {} {} {}",
                        record.partition,
                        record.offset.raw(),
                        String::from_utf8_lossy(&value)
                    );
                }
                match consumer.commit().await {
                    Ok(()) => println!("committed"),
                    // What was lost others read again.
                    Err(CommitError::RebalanceInProgress | CommitError::NotMember) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    consumer.close().await;
    Ok(())
}

fn tell(what: &str, partitions: &[PartitionName]) {
    let numbers: Vec<_> = partitions.iter().map(|it| it.partition.to_string()).collect();
    println!("{what} {}", numbers.join(","));
}

fn bytes(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?;
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
