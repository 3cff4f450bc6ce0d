//! How far a group is behind: in offsets, and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use klamm_client::{
    Admin, AdminError, Assignment, Client, CommittedOffset, Consumer, ConsumerConfig, OffsetQuestion,
    OutOfRange, PartitionName, Start,
};
use klamm_model::{Offset, Timestamp};

use super::standstill::{self, Commits, Standstill};
use crate::time::now_ms;

/// Of each partition one record is looked at.
const PARTITION_BYTES_MAX: usize = 64 << 10;

/// How far a group is in one partition.
pub(super) struct Lag {
    pub(super) committed: Option<CommittedOffset>,
    pub(super) end: Option<Offset>,
    /// How long ago the first record was written that is not done; 0 where all are, and not known where the log ends before what was committed.
    pub(super) behind_ms: Option<i64>,
    pub(super) standstill: Standstill,
}

impl Lag {
    /// Offsets that are not done; compaction may have taken records out. Below 0 where the log ends before what was committed, as that of a topic that
    /// was made anew may: its readers do not go on from there.
    pub(super) fn count(&self) -> Option<i64> {
        let (committed, end) = (self.committed.as_ref()?.offset, self.end?);
        Some(end.raw().saturating_sub(committed.raw()))
    }
}

/// How far the group is in these partitions, for which it has committed something or not.
pub(super) async fn lags(
    client: &Client,
    admin: &Admin,
    config: ConsumerConfig,
    group: &str,
    committed: BTreeMap<PartitionName, Option<CommittedOffset>>,
    timeout: Duration,
) -> Result<BTreeMap<PartitionName, Lag>, AdminError> {
    let mut ends = admin.list_offsets(committed.keys().cloned(), OffsetQuestion::Latest).await?;
    let mut lags: BTreeMap<_, _> = committed
        .into_iter()
        .map(|(name, committed)| {
            let end = ends.remove(&name).and_then(|end| end.ok()?.offset);
            (name, Lag { committed, end, behind_ms: None, standstill: Standstill::No })
        })
        .collect();
    let unread = lags.iter_mut().filter_map(|(name, lag)| match lag.count()? {
        ..0 => None,
        0 => {
            lag.behind_ms = Some(0);
            None
        }
        _ => Some((name.clone(), lag.committed.as_ref()?.offset)),
    });
    let unread: BTreeMap<_, _> = unread.collect();
    // What no broker tells in time is not known.
    let mut written = BTreeMap::new();
    let first = first_timestamps(client, config.clone(), &unread, &mut written);
    let _ = tokio::time::timeout(timeout, first).await;
    let commits = match unread.is_empty() {
        true => Commits::default(),
        false => standstill::commits(client, admin, config, group, timeout).await.unwrap_or_default(),
    };
    let now_ms = now_ms();
    for (name, committed) in unread {
        let Some(lag) = lags.get_mut(&name) else { continue };
        let first_open = written.get(&name).copied();
        // Clocks differ, and producers may say any time.
        lag.behind_ms = first_open.map(|moment| now_ms.saturating_sub(moment.0).max(0));
        lag.standstill = commits.standstill(&name, committed, first_open, now_ms);
    }
    Ok(lags)
}

/// When the first record from there on was written, in each partition that has one.
async fn first_timestamps(
    client: &Client,
    config: ConsumerConfig,
    unread: &BTreeMap<PartitionName, Offset>,
    written: &mut BTreeMap<PartitionName, Timestamp>,
) {
    // Who comes back to records that are deleted goes on with the first that there is.
    let out_of_range = OutOfRange::Earliest;
    let config = ConsumerConfig { partition_bytes_max: PARTITION_BYTES_MAX, out_of_range, ..config };
    let consumer = Consumer::new(client, config);
    let assigned = unread.iter().map(|(name, &from)| Assignment {
        topic: name.topic.clone(),
        partition: name.partition,
        start: Start::At(from),
    });
    consumer.assign(assigned);
    let mut scratch = Vec::new();
    while written.len() < unread.len() {
        match consumer.next_batch_or_end().await {
            Ok(Some(batch)) => {
                let name = PartitionName::new(batch.topic.clone(), batch.partition);
                let Ok(mut records) = batch.records(&mut scratch) else { continue };
                // A batch whose records are all gone, or are marks of transactions, has none.
                let Some(Ok(record)) = records.next() else { continue };
                if record.timestamp.0 >= 0 {
                    written.entry(name.clone()).or_insert(record.timestamp);
                }
                consumer.seek(&name.topic, name.partition, Start::Latest);
            }
            Ok(None) => return,
            // The others go on.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_counted() {
        for (committed, end, count) in [
            (Some(3), Some(10), Some(7)),
            (Some(10), Some(10), Some(0)),
            (Some(11), Some(10), Some(-1)),
            (None, Some(10), None),
            (Some(3), None, None),
        ] {
            let committed = committed.map(|offset| Offset::new(offset).into());
            let lag =
                Lag { committed, end: end.map(Offset::new), behind_ms: None, standstill: Standstill::No };
            assert_eq!(lag.count(), count);
        }
    }
}
