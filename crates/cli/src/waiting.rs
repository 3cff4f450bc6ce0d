//! Saying what is waited for, to a person who would otherwise see nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use klamm_client::Client;

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
    /// What should go on; none if nothing has to.
    pub(crate) partitions: Vec<(Arc<str>, i32)>,
    /// What is missing if all of them are led; `None`: that may be so for ever.
    pub(crate) missing: Option<String>,
}

/// Says on the standard error what is waited for, once for each reason, while a command does its work. Ends, with an error, when nothing went on
/// for as long as the limit.
pub(crate) async fn watch<T>(client: &Client, limit: Option<Duration>, look: impl Fn() -> Wait) -> Result<T> {
    let (mut progress, mut since, mut told) = (None, Instant::now(), None);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let wait = look();
        if wait.partitions.is_empty() || progress != Some(wait.progress) {
            (progress, since) = (Some(wait.progress), Instant::now());
            continue;
        }
        let waited = since.elapsed();
        let Some(reason) = reason(client, &wait).filter(|_| PATIENCE <= waited) else { continue };
        if limit.is_some_and(|limit| limit <= waited) {
            bail!("{reason}; that was waited for {} s", waited.as_secs());
        }
        if told.as_ref() != Some(&reason) {
            tell(&format!("waiting: {reason}"));
            told = Some(reason);
        }
    }
}

fn reason(client: &Client, wait: &Wait) -> Option<String> {
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
    Some(format!("nobody leads {names}{more} (`klamm cluster status` tells more)"))
}
