//! The aborted transactions of closed segments: from their files, or else from the records.

use super::{Found, Recovery};
use crate::disk::{DiskAction, FileKind};
use crate::error::RecoverError;
use crate::notes::Notes;
use crate::producers::Sent;
use crate::segment::Segment;
use crate::survey::{Met, Stored};
use crate::transactions::{self, AbortedIndex, AbortedTransaction};

impl Recovery<'_> {
    /// Gives the `closed` segments, of which `found` are the files, their indexes. `last` is the segment that follows.
    pub(super) fn find_aborted(
        &mut self,
        found: &[Found],
        last: Found,
        closed: &mut [Segment],
        repairs: &mut Vec<DiskAction>,
    ) -> Result<(), RecoverError> {
        let mut missing = Vec::new();
        for (at, (file, segment)) in found.iter().zip(closed.iter_mut()).enumerate() {
            match self.aborted_from_file(*file)? {
                Some(aborted) => {
                    segment.aborted = AbortedIndex::in_memory(aborted);
                    if segment.index.is_none() {
                        segment.aborted.forget();
                    }
                }
                None => missing.push(at),
            }
        }
        let (Some(first_missing), Some(last_missing)) = (missing.first(), missing.last()) else {
            return Ok(());
        };
        // Where a transaction began that was aborted is known from the batches since a snapshot.
        let (mut first, mut producers) =
            (*first_missing, self.producers_from_file(found[*first_missing].base)?);
        while producers.is_none() && 0 < first {
            first -= 1;
            producers = self.producers_from_file(found[first].base)?;
        }
        let mut producers = producers.unwrap_or_default();
        for at in first..=*last_missing {
            let mut aborted = Vec::new();
            let next = found.get(at + 1).unwrap_or(&last).base;
            let count_max = self.config.producer_count_max;
            self.scan(found[at], super::Scanned::none(found[at]), None, Some(next), &mut |met| {
                let Met::Batch(Stored { header, mark, .. }) = met else { return };
                let Some(sent) = Sent::stored(header, *mark) else { return };
                let (_, ended) = producers.note(&sent, count_max);
                aborted.extend(ended.and_then(|ended| ended.aborted()));
            })?;
            if missing.binary_search(&at).is_ok() {
                let base = found[at].base;
                let contents = transactions::to_bytes(base, &aborted);
                repairs.push(DiskAction::WriteBeside { kind: FileKind::Aborted, at: base, contents });
                self.rebuilt.push(FileKind::Aborted.file_name(base));
                // Until the file is there it is in memory, and so it stays: that is seldom.
                closed[at].aborted = AbortedIndex::in_memory(aborted);
            }
        }
        Ok(())
    }

    /// The aborted transactions that belong to the notes on a growing segment; `None` if the file is not the one that was written with them, nor with later ones.
    pub(super) fn noted_aborted(
        &self,
        notes: Notes,
        count: u32,
    ) -> Result<Option<Vec<AbortedTransaction>>, RecoverError> {
        if count == 0 {
            return Ok(Some(Vec::new()));
        }
        let contents = self.read_small(&FileKind::Aborted.file_name(notes.base))?;
        let aborted = contents.and_then(|contents| transactions::from_bytes(notes.base, &contents));
        Ok(aborted.and_then(|mut aborted| {
            aborted.retain(|it| it.mark < notes.through);
            (aborted.len() == count as usize).then_some(aborted)
        }))
    }

    fn aborted_from_file(&self, segment: Found) -> Result<Option<Vec<AbortedTransaction>>, RecoverError> {
        let contents = self.read_small(&FileKind::Aborted.file_name(segment.base))?;
        Ok(contents.and_then(|contents| transactions::from_bytes(segment.base, &contents)))
    }
}
