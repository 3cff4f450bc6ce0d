//! `klamm consume`.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use klamm_client::{Assignment, Client, Consumer, ConsumerConfig, FetchedBatch};

use crate::args::{ConsumeArgs, Format};
use crate::{remote, template};

pub(crate) fn run(args: &ConsumeArgs) -> Result<()> {
    if args.count == Some(0) {
        return Ok(());
    }
    remote::run(async {
        let client = remote::connect(&args.remote, false).await?;
        let assignments = assignments(&client, args).await?;
        let consumer = Consumer::new(&client, ConsumerConfig::default());
        consumer.assign(assignments);
        Printer::new(args).print_all(&consumer).await
    })
}

async fn assignments(client: &Client, args: &ConsumeArgs) -> Result<Vec<Assignment>> {
    let mut assignments = Vec::new();
    let names: BTreeSet<&str> = args.topics.iter().map(String::as_str).collect();
    for name in names {
        let partition_count = remote::topic(client, name).await?.partitions.len() as i32;
        let partitions: Vec<i32> = match args.partitions.as_slice() {
            [] => (0..partition_count).collect(),
            wanted => wanted.to_vec(),
        };
        if let Some(partition) = partitions.iter().find(|partition| **partition >= partition_count) {
            bail!("topic {name:?} has no partition {partition}; it has {partition_count}, from 0");
        }
        let topic: Arc<str> = name.into();
        assignments.extend(partitions.into_iter().map(|partition| Assignment {
            topic: topic.clone(),
            partition,
            start: args.offset,
        }));
    }
    Ok(assignments)
}

struct Printer<'a> {
    args: &'a ConsumeArgs,
    is_json: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    scratch: Vec<u8>,
    left: u64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a ConsumeArgs) -> Self {
        let is_json = args.json || args.remote.format == Format::Json;
        let out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        Self { args, is_json, out, scratch: Vec::new(), left: args.count.unwrap_or(u64::MAX) }
    }

    async fn print_all(mut self, consumer: &Consumer) -> Result<()> {
        while self.left > 0 {
            let next = match consumer.take() {
                Some(next) => next.map(Some),
                None => {
                    // Nothing is here at the moment: what was printed should be seen now.
                    self.out.flush().context("standard output")?;
                    if self.args.exit {
                        consumer.next_batch_or_end().await
                    } else {
                        consumer.next_batch().await.map(Some)
                    }
                }
            };
            match next {
                Ok(Some(batch)) => self.print(&batch)?,
                Ok(None) => break,
                Err(error) => {
                    self.out.flush().context("standard output")?;
                    return Err(error.into());
                }
            }
        }
        self.out.flush().context("standard output")
    }

    fn print(&mut self, batch: &FetchedBatch) -> Result<()> {
        let damaged = || format!("{}-{}: damaged batch", batch.topic, batch.partition);
        for record in batch.records(&mut self.scratch).with_context(damaged)? {
            let record = record.with_context(damaged)?;
            let printed = if self.is_json {
                template::print_json(&mut self.out, &batch.topic, batch.partition, &record)
            } else {
                self.args.template.print(&mut self.out, &batch.topic, batch.partition, &record)
            };
            printed.context("standard output")?;
            self.left -= 1;
            if self.left == 0 {
                break;
            }
        }
        Ok(())
    }
}
