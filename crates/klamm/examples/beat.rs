//! Writes a record a second and reads it back, for ever: `beat HOST:PORT TOPIC`. bench/client.py measures what a program takes that does little.

use std::{error::Error, time::Duration};

use klamm::{
    Assignment, Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, Record, Start,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, topic] = &words[..] else { return Err("beat HOST:PORT TOPIC".into()) };
    let client = Client::connect(ClientConfig::new(address)).await?;
    let producer = Producer::new(&client, ProducerConfig::default());
    let consumer = Consumer::new(&client, ConsumerConfig::default());
    consumer.assign([Assignment { topic: topic.as_str().into(), partition: 0, start: Start::Latest }]);
    let mut records = consumer.records();
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = beats.tick() => drop(producer.send(Record { partition: Some(0), ..Record::new(topic, b"beat") }).await?),
            record = records.next() => match record {
                Some(record) => println!("{}", record?.offset),
                None => return Ok(()),
            },
        }
    }
}
