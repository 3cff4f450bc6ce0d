//! A load of our own client that goes on until SIGTERM; the words are those of ../../python/records.py.

use std::time::Duration;

use klamm::{Delivery, Producer, ProducerConfig, Record};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::{Outcome, connect};

/// Records on their way before the load waits.
const IN_FLIGHT_MAX: usize = 100_000;

pub(crate) async fn run(address: &str, topic: &str, partitions: usize, rate: f64) -> Outcome<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let client = connect(address).await?;
    let producer = Producer::new(&client, ProducerConfig::default());
    let mut sent = vec![0_u64; partitions];
    let (told, deliveries) = mpsc::channel(IN_FLIGHT_MAX);
    let telling = tokio::spawn(tell_all(deliveries));
    let begun = Instant::now();
    for count in 0_u32.. {
        let due = begun + Duration::from_secs_f64(f64::from(count) / rate);
        tokio::select! {
            () = sleep_until(due) => {}
            _ = stop.recv() => break,
        }
        let partition = count as usize % partitions;
        let value = format!("{partition}-{}", sent[partition]);
        sent[partition] += 1;
        let record =
            Record { partition: i32::try_from(partition).ok(), ..Record::new(topic, value.as_bytes()) };
        if told.send(producer.accept(record).await?).await.is_err() {
            break;
        }
    }
    drop(told);
    telling.await?.map_err(|refused| format!("refused: {refused}"))?;
    producer.close().await;
    let sent: Vec<_> = sent.iter().map(u64::to_string).collect();
    println!("sent {}", sent.join(","));
    Ok(())
}

/// Ends with the first that is refused.
async fn tell_all(mut deliveries: mpsc::Receiver<Delivery>) -> Result<(), String> {
    while let Some(delivery) = deliveries.recv().await {
        let written = delivery.await.map_err(|error| error.to_string())?;
        println!("acknowledged {} {}", written.partition, written.offset.map_or(-1, |it| it.raw()));
    }
    Ok(())
}
