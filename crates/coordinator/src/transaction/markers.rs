//! Markers under way: sent to all partitions of a transaction, again and again to those where something is in the way, until all have them.

use std::sync::Arc;

use klamm_model::{Now, Tick};
use tracing::warn;

use super::{Markers, MarkersId, MarkersReport, Output, Task, Transactions, rules};
use crate::Effects;
use crate::record::Partitions;

/// A report that has not come by then does not come any more.
const REPORT_MS_MAX: u64 = 30_000;
/// Before markers are sent again for the first time, twice as long each time.
const RETRY_MS_FIRST: u64 = 20;
const RETRY_MS_MAX: u64 = 1_000;
/// A partition has marks of this shard's successor, which sees to the rest: this one is soon told that it coordinates no more. Where it is not told, whoever wrote those marks was none.
const SUPERSEDED_RETRY_MS: u64 = 30_000;

/// What is known of markers. A new shard begins anew: a marker that is there twice does no harm.
#[derive(Debug)]
pub(super) struct Marking {
    /// Under way by this number.
    pub(super) sent: Option<MarkersId>,
    /// Where they are missing.
    pub(super) left: Partitions,
    retry_ms: u64,
    /// When they are to be sent again.
    pub(super) again: Option<Tick>,
}

impl Transactions {
    pub(super) fn mark(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        let slot = self.slot(id);
        let left = slot.known.value.partitions.clone();
        if left.is_empty() {
            return self.complete(now, id, out);
        }
        slot.task = Some(Task::Mark(Marking { sent: None, left, retry_ms: RETRY_MS_FIRST, again: None }));
        self.send_markers(now, id, out);
    }

    pub(super) fn send_markers(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        self.markers.0 = self.markers.0.wrapping_add(1);
        let number = self.markers;
        let slot = self.slot(id);
        let (Some(Task::Mark(marking)), Some(outcome)) = (&mut slot.task, slot.known.outcome()) else {
            panic!("{id} has nothing to mark")
        };
        marking.sent = Some(number);
        marking.again = Some(now.tick.after_ms(REPORT_MS_MAX));
        out.outputs.push(Output::WriteMarkers(Markers {
            id: number,
            transactional_id: id.to_string(),
            producer: slot.known.identity(),
            outcome,
            version: slot.known.value.version,
            partitions: marking.left.clone(),
        }));
    }

    /// A report on the markers that are under way.
    pub(super) fn reported(
        &mut self,
        now: Now,
        id: &Arc<str>,
        report: &MarkersReport,
        out: &mut Effects<Output>,
    ) {
        let Some(Task::Mark(marking)) = &mut self.slot(id).task else {
            panic!("{id} has no markers under way")
        };
        marking.sent = None;
        marking.left.retain(|topic, partitions| {
            let failed = report.failed.get(topic);
            partitions.retain(|it| failed.is_some_and(|failed| failed.contains(it)));
            !partitions.is_empty()
        });
        if marking.left.is_empty() {
            return self.complete(now, id, out);
        }
        if report.is_superseded {
            warn!(transactional_id = %id, "a newer coordinator ends this transaction");
            return marking.again = Some(now.tick.after_ms(SUPERSEDED_RETRY_MS));
        }
        marking.again = Some(now.tick.after_ms(marking.retry_ms));
        marking.retry_ms = (2 * marking.retry_ms).min(RETRY_MS_MAX);
    }

    fn complete(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        let known = rules::complete(&self.slot(id).known, now.wall);
        self.put(now, id, known, out)
            .unwrap_or_else(|refusal| panic!("{id} cannot be complete: {refusal:?}"));
        self.let_go(now, id, out);
    }
}
