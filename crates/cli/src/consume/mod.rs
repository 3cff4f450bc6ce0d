//! `klamm consume`.

mod beginning;
mod member;
mod printer;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use klamm_client::{Admin, Client, Consumer, Isolation, PartitionName, Reset, Topics};
use regex_lite::Regex;

use crate::args::{ConsumeArgs, Format};
use crate::failure::{Interrupted, Usage, tell};
use crate::interrupt::Interrupt;
use crate::range::{Bound, Range};
use crate::waiting::{Missing, Wait, watch};
use crate::{remote, select};
use printer::Printer;
use reading::Reading;

pub(crate) fn run(args: &ConsumeArgs) -> Result<()> {
    if args.remote.format == Format::Json && (args.template.is_some() || args.null.is_some()) {
        return Err(
            Usage("--format json is a format of its own: no --template and no --null".to_owned()).into()
        );
    }
    let patterns = select::patterns(&args.names_and_patterns().1)?;
    let grep = args.grep.as_deref().map(Regex::new).transpose();
    let grep = grep.map_err(|error| Usage(format!("--grep: {error}")))?;
    if args.count == Some(0) {
        return Ok(());
    }
    if let Some(group) = &args.group {
        return member::run(args, group, &patterns, grep);
    }
    remote::run(async {
        let mut interrupt = Interrupt::listen()?;
        let mut printer = Printer::new(args, grep);
        let done = interrupt.unless(read(args, &patterns, &mut printer)).await;
        // What came until then is printed, whatever ended it.
        let count = printer.finish()?;
        if done.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            tell(&format!("interrupted after {count}"));
        }
        done
    })
}

async fn read(args: &ConsumeArgs, patterns: &[Regex], printer: &mut Printer<'_>) -> Result<()> {
    let settings = remote::settings(&args.remote)?;
    let mut config = settings.consumer()?;
    if args.read_committed {
        config.isolation = Isolation::ReadCommitted;
    }
    let client = remote::connect(&settings, false).await?;
    let topics = topics(args, patterns, &client, settings.timeout()).await?;
    let consumer = Consumer::new(&client, config);
    let admin = Admin::new(&client).with_timeout(settings.timeout());
    let mut reading = Reading::new(&consumer, admin, args);
    let mut limit = args.exit.then(|| settings.timeout());
    match args.range() {
        Range { from: Bound::Place(start), to: None } if !args.exit && args.partitions.is_empty() => {
            consumer.subscribe(to_follow(args, patterns, topics), start);
        }
        _ => {
            let partitions = partitions(args, topics)?;
            let asked = partitions.iter().map(|it| (it.topic.clone(), it.partition)).collect::<Vec<_>>();
            let missing = Missing::new("no answer yet");
            let asking = || Wait { progress: 0, partitions: asked.clone(), missing: Some(missing.clone()) };
            let is_bounded = tokio::select! {
                begun = reading.begin(args, partitions) => begun?,
                given_up = watch(&client, limit, asking) => given_up?,
            };
            limit = limit.or(is_bounded.then(|| settings.timeout()));
        }
    }
    let look = || {
        tell_resets(consumer.take_resets());
        reading.wait(limit.is_some())
    };
    let done = tokio::select! {
        done = reading.read_all(printer) => done,
        given_up = watch(&client, limit, look) => given_up,
    };
    tell_resets(consumer.take_resets());
    done
}

/// Says where records were left out, or come again.
fn tell_resets(resets: Vec<Reset>) {
    for reset in resets {
        tell(&reset);
    }
}

/// The topics that are named and those that match, with the number of their partitions.
async fn topics(
    args: &ConsumeArgs,
    patterns: &[Regex],
    client: &Client,
    timeout: Duration,
) -> Result<BTreeMap<Arc<str>, i32>> {
    let mut topics = BTreeMap::new();
    for name in args.names_and_patterns().0 {
        let topic = remote::topic(client, name, timeout).await?;
        topics.insert(name.into(), topic.partitions.len() as i32);
    }
    if !patterns.is_empty() {
        let there = Admin::new(client).list_topics().await?;
        let matching = there.into_iter().filter(|(name, topic)| {
            !topic.is_internal && patterns.iter().any(|pattern| pattern.is_match(name))
        });
        topics.extend(matching.map(|(name, topic)| (name, topic.partitions.len() as i32)));
    }
    Ok(topics)
}

/// All partitions of the topics and those that they get later, and topics that match later.
fn to_follow(args: &ConsumeArgs, patterns: &[Regex], topics: BTreeMap<Arc<str>, i32>) -> Topics {
    if topics.is_empty() {
        tell(&format!("waiting: no topic matches {} yet", args.topics.join(" or ")));
    }
    let names: BTreeSet<Arc<str>> = topics.into_keys().collect();
    if patterns.is_empty() {
        return Topics::Named(names);
    }
    let patterns = patterns.to_vec();
    Topics::Matching(Arc::new(move |name| {
        names.contains(name) || patterns.iter().any(|pattern| pattern.is_match(name))
    }))
}

/// The partitions that are meant, of those there are now.
fn partitions(args: &ConsumeArgs, topics: BTreeMap<Arc<str>, i32>) -> Result<Vec<PartitionName>> {
    if topics.is_empty() {
        bail!("no topic matches {}", args.topics.join(" or "));
    }
    let mut partitions = Vec::new();
    for (name, count) in topics {
        if let Some(missing) = args.partitions.iter().find(|partition| count <= **partition) {
            bail!("topic {name:?} has no partition {missing}; it has {count}, from 0");
        }
        let wanted = if args.partitions.is_empty() { (0..count).collect() } else { args.partitions.clone() };
        partitions.extend(wanted.into_iter().map(|number| PartitionName::new(name.clone(), number)));
    }
    Ok(partitions)
}
