//! Where partitions begin and end, and which offsets are meant by what stands on the command line.

use std::collections::BTreeMap;

use anyhow::Result;
use klamm_client::{Admin, AdminError, OffsetQuestion, PartitionName, Start};
use klamm_model::Offset;

/// Where the records of a partition begin and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

impl Span {
    /// Offsets there are; compaction may have taken records out.
    pub(crate) fn count(self) -> u64 {
        self.end.since(self.start)
    }
}

/// Where the partitions begin and end; those are left out whose leader does not tell.
pub(crate) async fn spans(
    admin: &Admin,
    partitions: impl Iterator<Item = PartitionName> + Clone,
) -> Result<BTreeMap<PartitionName, Span>, AdminError> {
    let starts = admin.list_offsets(partitions.clone(), OffsetQuestion::Earliest).await?;
    let mut ends = admin.list_offsets(partitions, OffsetQuestion::Latest).await?;
    let spans = starts.into_iter().filter_map(|(partition, start)| {
        let (start, end) = (start.ok()?.offset?, ends.remove(&partition)?.ok()?.offset?);
        Some((partition, Span { start, end }))
    });
    Ok(spans.collect())
}

/// The offset that `place` means in each partition. An offset that is given is not looked at.
pub(crate) async fn offsets_of(
    admin: &Admin,
    place: Start,
    spans: &BTreeMap<PartitionName, Span>,
) -> Result<BTreeMap<PartitionName, Offset>> {
    let offset = |offset: &dyn Fn(&Span) -> Offset| {
        spans.iter().map(|(partition, span)| (partition.clone(), offset(span))).collect()
    };
    Ok(match place {
        Start::Earliest => offset(&|span| span.start),
        Start::Latest => offset(&|span| span.end),
        Start::At(at) => offset(&|_| at),
        Start::Last(count) => offset(&|span| {
            let back = i64::try_from(count).unwrap_or(i64::MAX);
            Offset::from_wire(span.end.raw().saturating_sub(back)).unwrap_or_default()
        }),
        Start::Since(timestamp) => {
            let partitions = spans.keys().cloned();
            let found = admin.list_offsets(partitions, OffsetQuestion::Since(timestamp)).await?;
            let mut offsets = BTreeMap::new();
            for (partition, listed) in found {
                // Nothing is so new.
                let offset = listed?.offset.unwrap_or(spans[&partition].end);
                offsets.insert(partition, offset);
            }
            offsets
        }
    })
}
