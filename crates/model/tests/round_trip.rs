//! Whatever goes into a batch comes out of it, in every compression; and whatever is damaged is refused, without a panic.

#![allow(clippy::unwrap_used)]

use klamm_model::*;
use proptest::prelude::*;

type Text = Option<Vec<u8>>;
type Entry = (i64, Text, Text, Vec<(Vec<u8>, Text)>);

fn text() -> impl Strategy<Value = Text> {
    // Runs of one byte give the compressors something to do.
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..5000_usize).prop_map(|(byte, size)| vec![byte; size]),
    ];
    prop::option::of(bytes)
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let headers = prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), text()), 0..4);
    let timestamp =
        prop_oneof![Just(-1_i64), 1_600_000_000_000..1_700_000_000_000_i64, any::<i32>().prop_map(i64::from)];
    prop::collection::vec((timestamp, text(), text(), headers), 1..80)
}

fn seal() -> impl Strategy<Value = Seal> {
    let producer = prop::option::of((0..i64::MAX, 0..i16::MAX, 0..i32::MAX));
    (prop::sample::select(&Codec::ALL[..]), producer, any::<bool>()).prop_map(
        |(codec, producer, is_transactional)| Seal {
            compression: Compression::of(codec),
            producer: producer.map(|(id, epoch, base_sequence)| Producer {
                id: ProducerId(id),
                epoch: ProducerEpoch(epoch),
                base_sequence,
            }),
            is_transactional: is_transactional && producer.is_some(),
            ..Seal::default()
        },
    )
}

fn build(builder: &mut BatchBuilder, entries: &[Entry], seal: &Seal) -> bytes::Bytes {
    for (timestamp, key, value, headers) in entries {
        let headers: Vec<_> =
            headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() }).collect();
        let size_max = builder.size_after(key.as_deref(), value.as_deref(), &headers);
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
        assert!(builder.size() <= size_max, "{} bytes, announced {size_max}", builder.size());
    }
    builder.finish(seal)
}

fn read(batch: &BatchView<'_>, size_max: usize) -> Result<Vec<Entry>, BatchError> {
    let mut scratch = Vec::new();
    let owned = |record: RecordView<'_>| {
        let headers = record
            .headers
            .iter()
            .map(|it| (it.key.to_vec(), it.value.map(<[u8]>::to_vec)))
            .collect::<Vec<_>>();
        assert_eq!(headers.len(), record.headers.len());
        (record.timestamp.0, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers)
    };
    batch.records(&mut scratch, size_max)?.map(|record| record.map(owned)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn batches_come_back(first in entries(), second in entries(), seal in seal()) {
        // One builder makes both: nothing of the first is left in the second.
        let mut builder = BatchBuilder::with_capacity(4096);
        let mut run = Vec::new();
        for entries in [&first, &second] {
            let bytes = build(&mut builder, entries, &seal);
            let valid = validate_produce(&bytes, &ProduceLimits::default()).unwrap();
            let newest = Timestamp(entries.iter().map(|it| it.0).max().unwrap());
            prop_assert_eq!(valid.record_count as usize, entries.len());
            prop_assert_eq!((valid.max_timestamp, valid.newest_timestamp), (newest, newest));
            prop_assert_eq!((valid.producer, valid.is_transactional), (seal.producer, seal.is_transactional));
            run.extend_from_slice(&bytes);
        }
        let mut batches = Batches::new(&run, Tail::MustBeComplete);
        for entries in [&first, &second] {
            let batch = batches.next().unwrap().unwrap();
            batch.verify_crc().unwrap();
            prop_assert_eq!(&read(&batch, 64 << 20).unwrap(), entries);
        }
        prop_assert!(batches.next().is_none());
        prop_assert_eq!(batches.position(), run.len());
        prop_assert_eq!(validate_produce(&run, &ProduceLimits::default()), Err(BatchError::TooManyBatches));
    }

    #[test]
    fn a_flipped_bit_is_noticed(entries in entries(), seal in seal(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut bytes = build(&mut BatchBuilder::default(), &entries, &seal).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let is_leader_epoch = (position::LEADER_EPOCH..position::MAGIC).contains(&at);
        prop_assert_eq!(validate_produce(&bytes, &ProduceLimits::default()).is_ok(), is_leader_epoch);
    }

    #[test]
    fn a_cut_batch_ends_the_run_or_is_refused(entries in entries(), seal in seal(), at: prop::sample::Index) {
        let bytes = build(&mut BatchBuilder::default(), &entries, &seal);
        let run = [&bytes[..], &bytes[..at.index(bytes.len() - 1) + 1]].concat();
        let mut tolerant = Batches::new(&run, Tail::MayBeTruncated);
        prop_assert_eq!(tolerant.by_ref().filter(Result::is_ok).count(), if run.len() == 2 * bytes.len() { 2 } else { 1 });
        let strict: Vec<_> = Batches::new(&run, Tail::MustBeComplete).collect();
        prop_assert_eq!(strict.len(), 2);
        prop_assert_eq!(strict[1].is_ok(), run.len() == 2 * bytes.len());
        prop_assert!(validate_produce(&run[bytes.len()..], &ProduceLimits::default()).is_ok() == strict[1].is_ok());
    }

    /// The checksum does not protect from a client that computes it over nonsense.
    #[test]
    fn damage_under_a_good_checksum_does_no_harm(
        entries in entries(), seal in seal(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut bytes = build(&mut BatchBuilder::default(), &entries, &seal).to_vec();
        for (at, value) in changes {
            let at = position::ATTRIBUTES + at.index(bytes.len() - position::ATTRIBUTES);
            bytes[at] = value;
        }
        let crc = crc32c(&bytes[position::ATTRIBUTES..]);
        bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        let checked = validate_produce(&bytes, &ProduceLimits::default());
        if let Ok(batch) = BatchView::parse(&bytes) {
            let records = read(&batch, 4 << 20);
            // What passes the check without compression can be read.
            if checked.is_ok_and(|valid| valid.codec == Codec::None) {
                prop_assert_eq!(records.unwrap().len(), batch.record_count() as usize);
            }
        }
    }

    #[test]
    fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..400), is_close in any::<bool>()) {
        if is_close && bytes.len() > 61 {
            let length = bytes.len() as u32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            bytes[0] &= 0x7f;
        }
        let _ = validate_produce(&bytes, &ProduceLimits::default());
        for batch in Batches::new(&bytes, Tail::MayBeTruncated).flatten() {
            let _ = read(&batch, 1 << 20);
        }
        for codec in Codec::ALL {
            let mut output = Vec::new();
            if decompress(codec, &bytes, &mut output, 1 << 16).is_ok() {
                prop_assert!(output.len() <= 1 << 16);
            }
        }
    }
}
