//! Saying what is waited for, to a person who would otherwise see nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use klamm_client::{Client, Trouble};

use crate::failure::tell;

/// How often it is looked whether anything went on.
const INTERVAL: Duration = Duration::from_millis(250);
/// From then on a person wonders.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_500);
/// More names are counted.
const NAMES_MAX: usize = 8;

/// What a command is at.
pub(crate) struct Wait {
    /// Grows whenever something went on.
    pub(crate) progress: u64,
    /// What should go on.
    pub(crate) partitions: Vec<(Arc<str>, i32)>,
    /// What is missing if all of them are led; `None`: that may be so for ever.
    pub(crate) missing: Option<Missing>,
}

/// Something that does not come.
#[derive(Clone)]
pub(crate) struct Missing {
    /// For a person.
    pub(crate) text: String,
    /// The same without the partition: what stands in the way of many is told once.
    pub(crate) cause: String,
}

impl Missing {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), cause: text.to_owned() }
    }

    /// What stands in the way of the first partition where that lasts.
    pub(crate) fn lasting<C: fmt::Display>(troubles: Vec<Trouble<C>>) -> Option<Self> {
        let trouble = troubles.into_iter().find(|it| PATIENCE <= it.lasts)?;
        let cause = trouble.cause.to_string();
        Some(Self { text: format!("{}-{}: {cause}", trouble.topic, trouble.partition), cause })
    }
}

/// Says on the standard error what is waited for, once for each cause, while a command does its work. Ends, with an error, when nothing went on
/// for as long as the limit.
pub(crate) async fn watch<T>(client: &Client, limit: Option<Duration>, look: impl Fn() -> Wait) -> Result<T> {
    let (mut progress, mut since, mut told) = (None, Instant::now(), BTreeSet::new());
    loop {
        tokio::time::sleep(INTERVAL).await;
        let wait = look();
        let is_open = !wait.partitions.is_empty() || wait.missing.is_some();
        if !is_open || progress != Some(wait.progress) {
            (progress, since) = (Some(wait.progress), Instant::now());
            continue;
        }
        let waited = since.elapsed();
        let Some(reason) = reason(client, &wait).filter(|_| PATIENCE <= waited) else { continue };
        if limit.is_some_and(|limit| limit <= waited) {
            bail!("{}; that was waited for {} s", reason.text, waited.as_secs());
        }
        if told.insert(reason.cause) {
            tell(&format!("waiting: {}", reason.text));
        }
    }
}

fn reason(client: &Client, wait: &Wait) -> Option<Missing> {
    let cluster = client.cluster();
    let leaderless =
        wait.partitions.iter().filter(|(topic, number)| cluster.leader(topic, *number).is_none());
    let leaderless: Vec<String> = leaderless.map(|(topic, number)| format!("{topic}-{number}")).collect();
    if leaderless.is_empty() {
        return wait.missing.clone();
    }
    let names = leaderless[..leaderless.len().min(NAMES_MAX)].join(", ");
    let more = leaderless.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Missing::new(&format!("nobody leads {names}{more} (`klamm cluster status` tells more)")))
}
