//! What must hold of the batches of a segment, one after the other. Knows no files.

use klamm_model::{BatchView, LeaderEpoch, Offset, Timestamp, TimestampType};

/// No batch is unpacked to more.
pub(super) const UNPACKED_SIZE_MAX: usize = 1 << 30;

/// What was seen of a segment so far.
#[derive(Default)]
pub(super) struct Check {
    /// Where the segment's name says that it begins.
    base: Option<Offset>,
    epoch: Option<LeaderEpoch>,
    scratch: Vec<u8>,
    pub(super) batch_count: u64,
    pub(super) record_count: u64,
    /// The first batch's first offset.
    pub(super) first: Option<Offset>,
    /// Where the next batch begins at the earliest.
    pub(super) end: Option<Offset>,
    /// The first thing that is odd and no damage.
    pub(super) oddity: Option<String>,
}

impl Check {
    pub(super) fn new(base: Option<Offset>) -> Self {
        Self { base, ..Self::default() }
    }

    /// Looks at the next batch. It counts as there even if something is wrong with it.
    pub(super) fn batch(&mut self, batch: &BatchView<'_>) -> Result<(), String> {
        let place = self.place(batch);
        let contents =
            batch.verify_crc().map_err(|error| error.to_string()).and_then(|()| self.records(batch));
        self.batch_count += 1;
        self.first.get_or_insert(batch.base_offset());
        self.end = self.end.max(Some(batch.next_offset()));
        self.epoch = batch.header().leader_epoch.or(self.epoch);
        place.and(contents)
    }

    /// Whether it follows what was before it.
    fn place(&self, batch: &BatchView<'_>) -> Result<(), String> {
        let base = batch.base_offset();
        if let Some(end) = self.end.filter(|end| base < *end) {
            return Err(format!("the batch begins at offset {base}, those before it end at {end}"));
        }
        if let Some(named) = self.base.filter(|named| base < *named) {
            return Err(format!("the batch begins at offset {base}, the segment at {named}"));
        }
        match (self.epoch, batch.header().leader_epoch) {
            (Some(before), Some(epoch)) if epoch < before => {
                Err(format!("the batch is of leader epoch {epoch}, one before it of {before}"))
            }
            _ => Ok(()),
        }
    }

    fn records(&mut self, batch: &BatchView<'_>) -> Result<(), String> {
        let header = batch.header();
        let mut next = header.base_offset;
        let mut newest = None;
        let mut count = 0;
        let records =
            batch.records(&mut self.scratch, UNPACKED_SIZE_MAX).map_err(|error| error.to_string())?;
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset < next {
                return Err(format!("record {count} has offset {} where {next} is next", record.offset));
            }
            next = record.offset.advance(1);
            newest = newest.max(Some(record.timestamp));
            count += 1;
        }
        self.record_count += count;
        // Brokers take a compressed batch's word for it.
        let is_odd = |newest: &Timestamp| {
            header.attributes.timestamp_type() == TimestampType::CreateTime && *newest != header.max_timestamp
        };
        if let Some(newest) = newest.filter(is_odd) {
            self.oddity.get_or_insert_with(|| {
                let (base, max) = (header.base_offset, header.max_timestamp);
                format!(
                    "the batch at offset {base} says its newest timestamp is {max}, the records say {newest}"
                )
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::{BatchBuilder, Compression, Seal, position};

    use super::*;

    /// A batch of three records at `base`.
    fn batch(base: i64, epoch: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::default();
        for number in 0..3 {
            builder.append(Timestamp(1_000 + number), Some(b"key"), Some(b"value"), &[]);
        }
        let seal = Seal {
            base_offset: Offset::new(base),
            leader_epoch: Some(LeaderEpoch(epoch)),
            compression: Compression::default(),
            ..Seal::default()
        };
        builder.finish(&seal).to_vec()
    }

    /// What is wrong with the last of the batches of a segment that begins at offset 10.
    fn check(batches: &[Vec<u8>]) -> Result<(), String> {
        let mut check = Check::new(Some(Offset::new(10)));
        let results = batches.iter().map(|bytes| check.batch(&BatchView::parse(bytes).expect("whole")));
        results.last().expect("there is one")
    }

    #[test]
    fn batches_follow_one_another() {
        assert_eq!(check(&[batch(10, 1), batch(13, 1), batch(20, 2)]), Ok(()), "compaction leaves gaps");
        for (wrong, problem) in [
            ([batch(10, 1), batch(12, 1)], "the batch begins at offset 12, those before it end at 13"),
            ([batch(10, 1), batch(9, 1)], "the batch begins at offset 9, those before it end at 13"),
            ([batch(10, 2), batch(13, 1)], "the batch is of leader epoch 1, one before it of 2"),
        ] {
            assert_eq!(check(&wrong), Err(problem.to_owned()));
        }
        let below = check(&[batch(9, 1)]);
        assert_eq!(below, Err("the batch begins at offset 9, the segment at 10".to_owned()));
    }

    #[test]
    fn every_flipped_bit_behind_the_checksum_is_found() {
        let good = batch(10, 1);
        for byte in position::ATTRIBUTES..good.len() {
            let mut flipped = good.clone();
            flipped[byte] ^= 1;
            // The count of records may make it no batch at all.
            let found = BatchView::parse(&flipped).map_err(|error| error.to_string());
            let found = found.and_then(|batch| Check::new(None).batch(&batch));
            assert!(found.is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_wrong_newest_timestamp_is_odd_and_no_damage() {
        let mut bytes = batch(10, 1);
        bytes[position::MAX_TIMESTAMP..position::MAX_TIMESTAMP + 8].copy_from_slice(&5_000_i64.to_be_bytes());
        let crc = klamm_model::crc32c(&bytes[position::ATTRIBUTES..]);
        bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        let mut check = Check::new(None);
        assert_eq!(check.batch(&BatchView::parse(&bytes).expect("whole")), Ok(()));
        let oddity = "the batch at offset 10 says its newest timestamp is 5000, the records say 1002";
        assert_eq!(check.oddity.as_deref(), Some(oddity));
        assert_eq!((check.record_count, check.end), (3, Some(Offset::new(13))));
    }
}
