//! Snapshots of the metadata: made here of the committed image after so many bytes of entries, or so long after the first of them, as Kafka's keys say; and taken in
//! place of entries, at a start or when this node was too far behind.

use klamm_cluster::{Image, SnapshotError};
use klamm_model::{Tick, TopicPartition};
use klamm_quorum::{Filter, Snapshot};

use crate::{Effect, Now, node::Node};

/// What came since the last one.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    bytes: u64,
    /// When the next one is due, whatever its size; `None` where nothing came.
    due_at: Option<Tick>,
    /// When the first of it came.
    since: Option<Tick>,
}

impl Snapshots {
    /// So many bytes of entries came.
    pub(super) fn grown(&mut self, now: Tick, bytes: u64) {
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// When there may be one to make though nothing happens.
    pub(super) fn next_wake(&self) -> Option<Tick> {
        self.due_at
    }
}

impl Node {
    /// Everything up to its position is replaced by what a snapshot says.
    pub(super) fn take_snapshot(&mut self, now: Now, snapshot: &Snapshot, out: &mut Vec<Effect>) {
        let Snapshot { position, state } = snapshot;
        // Going on with less would make this node's metadata differ from the others'.
        let image = match Image::from_bytes(state) {
            Ok(image) => image,
            Err(error @ (SnapshotError::Version(_) | SnapshotError::UnknownPart(_))) => {
                return self.outdated(error.to_string(), out);
            }
            Err(error) => panic!("a metadata snapshot up to {position:?} can't be read: {error}"),
        };
        let before = self.metadata.filter.position();
        assert!(
            before.next_index <= position.next_index,
            "a metadata snapshot takes {before:?} back to {position:?}"
        );
        let (applied, epoch) = (image.applied().map_or(0, |it| it + 1), image.epoch());
        assert_eq!(
            (applied, epoch),
            (position.next_offset, position.epoch),
            "a metadata snapshot is of another moment"
        );
        let changes = self.image.changes_to(&image);
        let earlier = std::mem::replace(&mut self.image, image);
        self.tell_of_other_registrations(&earlier, &changes.brokers, out);
        self.metadata.filter = Filter::at(*position);
        self.metadata.snapshots.begin_anew();
        self.view_is_stale = true;
        if changes.features {
            self.levels_changed(out);
        }
        tracing::info!(
            metadata_offset = position.next_offset,
            bytes = state.len(),
            "metadata snapshot taken"
        );
        self.depose(now, position.epoch, out);
        if self.metadata.live {
            let led = |key: &TopicPartition| Some((*key, earlier.partition(*key)?.leader));
            self.metadata.news.led(now.tick, changes.partitions.iter().filter_map(led));
            self.delete_removed(out);
            self.apply_changes(now, &changes, out);
            if !changes.partitions.is_empty() {
                self.tell_shards_of_topics();
            }
        }
        self.release_owed(now, out);
    }

    /// Gives the engine a snapshot if it is time to.
    pub(crate) fn offer_snapshot_if_due(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (bytes_max, interval_ms) = (self.config.snapshot_bytes, self.config.snapshot_interval_ms);
        let snapshots = &mut self.metadata.snapshots;
        let Some(since) = snapshots.since.filter(|_| self.metadata.live) else { return };
        let in_time = (0 < interval_ms).then(|| since.after_ms(interval_ms));
        let is_due = bytes_max <= snapshots.bytes || in_time.is_some_and(|at| at <= now.tick);
        if !is_due {
            snapshots.due_at = in_time;
            return;
        }
        snapshots.begin_anew();
        let position = self.metadata.filter.position();
        tracing::debug!(metadata_offset = position.next_offset, "metadata snapshot made");
        out.push(Effect::OfferSnapshot { position, image: self.image.clone() });
    }
}
