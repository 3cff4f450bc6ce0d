//! rskafka; the commands are those of ../python/records.py. It numbers no producer, so `idempotent` changes nothing.

use std::{collections::BTreeMap, error::Error, fs};

use chrono::{DateTime, Utc};
use rskafka::{
    client::{
        ClientBuilder,
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["write", address, topic, codec, _, path] => write(address, topic, codec, path).await,
        ["read", address, topic, partitions, count] => read(address, topic, partitions.parse()?, count.parse()?).await,
        ["times", address, topic, ref timestamps @ ..] => {
            let client = partition(address, topic, 0).await?;
            let mut found = Vec::new();
            for it in timestamps {
                found.push(client.get_offset(OffsetAt::Timestamp(time(it.parse()?)?)).await?);
            }
            println!("{}", json!(found));
            Ok(())
        }
        ["version"] => {
            println!("0.6.0");
            Ok(())
        }
        _ => Err(format!("unknown command {words:?}").into()),
    }
}

async fn partition(address: &str, topic: &str, index: i32) -> Outcome<PartitionClient> {
    let client = ClientBuilder::new(vec![address.to_owned()]).build().await?;
    Ok(client.partition_client(topic, index, UnknownTopicHandling::Error).await?)
}

fn time(timestamp_ms: i64) -> Outcome<DateTime<Utc>> {
    DateTime::from_timestamp_millis(timestamp_ms).ok_or_else(|| "not a time".into())
}

async fn write(address: &str, topic: &str, codec: &str, path: &str) -> Outcome<()> {
    let codec = match codec {
        "none" => Compression::NoCompression,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err(format!("no codec {codec}").into()),
    };
    let mut by_partition: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let headers = line["h"].as_array().ok_or("headers")?.iter();
        let headers = headers.map(|it| (it[0].as_str().unwrap_or_default().to_owned(), bytes(&it[1]).unwrap_or_default()));
        by_partition.entry(line["p"].as_i64().ok_or("partition")? as i32).or_default().push(Record {
            key: bytes(&line["k"]),
            value: bytes(&line["v"]),
            headers: headers.collect(),
            timestamp: time(line["t"].as_i64().ok_or("time")?)?,
        });
    }
    for (index, mut records) in by_partition {
        let client = partition(address, topic, index).await?;
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(200));
            client.produce(std::mem::replace(&mut records, rest), codec).await?;
        }
    }
    Ok(())
}

async fn read(address: &str, topic: &str, partitions: i32, count: usize) -> Outcome<()> {
    let mut seen = 0;
    for index in 0..partitions {
        let client = partition(address, topic, index).await?;
        let end = client.get_offset(OffsetAt::Latest).await?;
        let mut offset = 0;
        while offset < end {
            let (records, _) = client.fetch_records(offset, 1..8 << 20, 1000).await?;
            for it in records.into_iter().filter(|it| it.offset >= offset).collect::<Vec<_>>() {
                offset = it.offset + 1;
                let headers: Vec<_> = it.record.headers.iter().map(|(name, value)| json!([name, hex(value)])).collect();
                let (key, value) = (it.record.key.as_deref().map(hex), it.record.value.as_deref().map(hex));
                let timestamp = it.record.timestamp.timestamp_millis();
                println!("{}", json!({"p": index, "o": it.offset, "k": key, "v": value, "h": headers, "t": timestamp}));
                seen += 1;
            }
        }
    }
    if seen == count { Ok(()) } else { Err(format!("{seen} of {count} records").into()) }
}

fn bytes(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?;
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
