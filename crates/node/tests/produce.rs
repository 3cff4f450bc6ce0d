//! Produce: what a topic's configs make of a batch, and what is refused in which words.

use crate::world::{CONNECTION, World, batch, producer};
use bytes::Bytes;
use klamm_log::{DiskAction, Log, LogConfig};
use klamm_model::{
    BatchBuilder, BatchView, Codec, Compression, ErrorCode, PartitionIndex, Producer, ProducerEpoch,
    ProducerId, Seal, Timestamp, TimestampType, TopicPartition, crc32c, position,
};
use klamm_node::{Body, Event, Incoming, ReplyTo, begin_to_prepare, prepare};
use klamm_wire::{
    ProduceRequest, Records, Request, Response,
    produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData},
};

impl World {
    /// Sends a batch and gives the whole answer.
    fn ask(&mut self, topic: &str, version: i16, records: Bytes) -> PartitionProduceResponse {
        let sequence = self.send(request(topic, records), version);
        self.all_disk();
        self.produce_answer(sequence)
    }

    fn produce_answer(&mut self, sequence: u64) -> PartitionProduceResponse {
        let Response::Produce(mut response) = self.response(sequence) else { panic!("another answer") };
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Sends a batch that is taken, and gives it as it is written, and what the answer calls its time.
    fn store(&mut self, topic: &str, records: Bytes) -> (Vec<u8>, i64) {
        let sequence = self.send(request(topic, records), 9);
        let written = self.disk.iter().find_map(|op| match &op.action {
            DiskAction::Write { prefix, body, .. } => {
                let prefix = prefix.expect("a leader gives every batch its place");
                Some([&prefix[..], &body[prefix.len()..]].concat())
            }
            _ => None,
        });
        self.all_disk();
        let answer = self.produce_answer(sequence);
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        (written.unwrap_or_default(), answer.log_append_time_ms)
    }
}

fn request(topic: &str, records: Bytes) -> Request {
    let partition = PartitionProduceData { records: Some(Records::Bytes(records)), ..Default::default() };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    Request::Produce(ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic],
        ..Default::default()
    })
}

fn code(answer: &PartitionProduceResponse) -> ErrorCode {
    ErrorCode::from_code(answer.error_code).expect("a known code")
}

/// A record for each of these: key, timestamp.
fn keyed(records: &[(Option<&str>, i64)], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::default();
    for (key, timestamp) in records {
        builder.append(Timestamp(*timestamp), key.map(str::as_bytes), Some(b"value"), &[]);
    }
    builder.finish(&Seal { compression: Compression::of(codec), ..Seal::default() })
}

/// Records with values that compress well.
fn sizable(codec: Codec, size: usize) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1000), Some(b"key"), Some(&vec![b'x'; size]), &[]);
    builder.append(Timestamp(1001), Some(b"key"), None, &[]);
    builder.finish(&Seal { compression: Compression::of(codec), ..Seal::default() })
}

/// Keys, values and timestamps.
type Plain = Vec<(Option<Vec<u8>>, Option<Vec<u8>>, i64)>;

fn plain(batch: &[u8]) -> Plain {
    let view = BatchView::parse(batch).expect("a batch");
    view.verify_crc().expect("the right checksum");
    let mut unpacked = Vec::new();
    let records = view.records(&mut unpacked, usize::MAX).expect("records");
    records
        .map(|record| {
            let record = record.expect("a record");
            (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), record.timestamp.0)
        })
        .collect()
}

#[test]
fn a_batch_is_stored_in_the_compression_of_its_topic() {
    for (config, target) in [
        ("uncompressed", Some(Codec::None)),
        ("gzip", Some(Codec::Gzip)),
        ("snappy", Some(Codec::Snappy)),
        ("lz4", Some(Codec::Lz4)),
        ("zstd", Some(Codec::Zstd)),
        ("producer", None),
    ] {
        let mut world = World::new();
        world.create_with("t", 1, &[("compression.type", config)]);
        for source in Codec::ALL {
            let sent = sizable(source, 10_000);
            let (stored, _) = world.store("t", sent.clone());
            let what = format!("{source} to a topic with {config}");
            assert_eq!(
                BatchView::parse(&stored).expect("a batch").codec(),
                Ok(target.unwrap_or(source)),
                "{what}"
            );
            assert_eq!(plain(&stored), plain(&sent), "{what}");
            if target.is_none_or(|target| target == source) {
                assert_eq!(stored[position::MAGIC..], sent[position::MAGIC..], "{what} is kept as it came");
            }
        }
    }
}

#[test]
fn levels_of_compression_are_used() {
    let size_at = |key: &str, level: &str| {
        let codec = key.split('.').nth(1).expect("compression.codec.level");
        let mut world = World::new();
        world.create_with("t", 1, &[("compression.type", codec), (key, level)]);
        let mut builder = BatchBuilder::default();
        for number in 0..5000_u32 {
            let value = format!("{} of {}", number.wrapping_mul(2_654_435_761) >> 18, number % 97);
            builder.append(Timestamp(1000), None, Some(value.as_bytes()), &[]);
        }
        world.store("t", builder.finish(&Seal::default())).0.len()
    };
    for (key, weak, strong) in
        [("compression.gzip.level", "1", "9"), ("compression.zstd.level", "-100", "19")]
    {
        let (weak, strong) = (size_at(key, weak), size_at(key, strong));
        assert!(strong < weak, "{key}: {strong} bytes of {weak}");
    }
    assert_eq!(size_at("compression.gzip.level", "-1"), size_at("compression.gzip.level", "6"));
}

#[test]
fn a_batch_that_is_kept_as_it_came_is_not_copied() {
    let mut world = World::new();
    world.create("t", 1);
    let sent = sizable(Codec::None, 10_000);
    world.send(request("t", sent.clone()), 9);
    let body = world.disk.iter().find_map(|op| match &op.action {
        DiskAction::Write { body, .. } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body.expect("a write").as_ptr(), sent.as_ptr());
}

#[test]
fn the_brokers_time_takes_the_place_of_the_producers() {
    let mut world = World::new();
    world.create_with("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let now = world.wall.0;
    let times = |stored: &[u8]| plain(stored).iter().map(|record| record.2).collect::<Vec<_>>();
    for codec in [Codec::None, Codec::Zstd] {
        // Whatever the producer's clock shows.
        let (stored, append_time) =
            world.store("t", keyed(&[(None, 5), (None, i64::MAX), (None, -1)], codec));
        let header = *BatchView::parse(&stored).expect("a batch").header();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((header.base_timestamp.0, header.max_timestamp.0, append_time), (5, now, now));
        assert_eq!(times(&stored), [now, now, now], "{codec}");
    }
    // The clock goes back; the log's does not.
    world.wall = Timestamp(now - 3_600_000);
    let (stored, append_time) = world.store("t", batch(1, producer(0)));
    assert_eq!((times(&stored), append_time), (vec![now], now));
    world.wall = Timestamp(now + 7);
    let (stored, append_time) = world.store("t", batch(1, producer(1)));
    assert_eq!((times(&stored), append_time), (vec![now + 7], now + 7));
    // What was sent before has the time it got then.
    let (stored, append_time) = world.store("t", batch(1, producer(0)));
    assert_eq!((stored.len(), append_time), (0, now));
}

/// What is an hour ahead is this broker's own time; what is further ahead may be a producer's.
#[test]
fn append_times_do_not_go_back_over_a_restart() {
    for (back_ms, stamped_back_ms) in [(3_600_000, 0), (3_600_001, 3_600_001)] {
        let mut world = World::new();
        let topic = world.create_with("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
        let now = world.wall.0;
        let (stored, _) = world.store("t", batch(1, None));
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let recovered =
            Log::recover(partition, "t-0".to_owned(), LogConfig::default(), &crate::world::Segment(stored));
        world.wall = Timestamp(now - back_ms);
        world.restart_with(|node| node.adopt(recovered.expect("a good log").0));
        let (stored, append_time) = world.store("t", batch(1, None));
        assert_eq!(BatchView::parse(&stored).expect("a batch").base_offset().raw(), 1);
        assert_eq!(append_time, now - stamped_back_ms, "{back_ms} ms back");
    }
}

#[test]
fn a_header_that_lies_about_its_time_is_corrected() {
    let mut world = World::new();
    world.create("t", 1);
    let mut lie = keyed(&[(None, 1000), (None, 2000)], Codec::None).to_vec();
    lie[position::MAX_TIMESTAMP..][..8].copy_from_slice(&i64::MAX.to_be_bytes());
    let (stored, append_time) = world.store("t", sealed(lie));
    assert_eq!(BatchView::parse(&stored).expect("a batch").header().max_timestamp, Timestamp(2000));
    assert_eq!((plain(&stored).len(), append_time), (2, -1));
}

/// Places of the refused records in the batch.
fn refused(answer: &PartitionProduceResponse) -> Vec<i32> {
    for it in &answer.record_errors {
        assert!(it.batch_index_error_message.as_ref().is_some_and(|message| !message.is_empty()));
    }
    answer.record_errors.iter().map(|it| it.batch_index).collect()
}

#[test]
fn timestamps_too_far_from_the_brokers_are_refused_one_by_one() {
    let mut world = World::new();
    let limits = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "500")];
    world.create_with("t", 1, &limits);
    world.create("default", 1);
    let now = world.wall.0;
    let at = |offsets: &[i64]| offsets.iter().map(|it| (None, now + it)).collect::<Vec<_>>();
    for codec in [Codec::None, Codec::Gzip] {
        let answer = world.ask("t", 9, keyed(&at(&[-1000, 0, 500]), codec));
        assert_eq!(code(&answer), ErrorCode::None, "{codec}");
        let answer = world.ask("t", 9, keyed(&at(&[-1001, 0, 501, 500]), codec));
        assert_eq!((code(&answer), refused(&answer)), (ErrorCode::InvalidTimestamp, vec![0, 2]), "{codec}");
        assert!(answer.error_message.is_some());
        // A producer that sets no time says -1.
        assert_eq!(code(&world.ask("t", 9, keyed(&[(None, -1)], codec))), ErrorCode::None, "{codec}");
        let answer = world.ask("default", 9, keyed(&at(&[3_600_001]), codec));
        assert_eq!((code(&answer), refused(&answer)), (ErrorCode::InvalidTimestamp, vec![0]), "{codec}");
        assert_eq!(code(&world.ask("default", 9, keyed(&[(None, 0)], codec))), ErrorCode::None, "{codec}");
    }
}

#[test]
fn a_compacted_topic_takes_only_records_with_keys() {
    let mut world = World::new();
    world.create_with("t", 1, &[("cleanup.policy", "compact,delete")]);
    let mixed = [(Some("a"), 1), (None, 2), (Some(""), 3), (None, 4)];
    for codec in Codec::ALL {
        let answer = world.ask("t", 9, keyed(&mixed, codec));
        assert_eq!((code(&answer), refused(&answer)), (ErrorCode::InvalidRecord, vec![1, 3]), "{codec}");
        assert_eq!(code(&world.ask("t", 9, keyed(&mixed[..1], codec))), ErrorCode::None, "{codec}");
    }
    let many = vec![(None, 1); 5000];
    assert_eq!(refused(&world.ask("t", 9, keyed(&many, Codec::None))).len(), 1000, "an answer has an end");
    // The place for it came with version 8.
    let old = world.ask("t", 7, keyed(&mixed, Codec::None));
    assert_eq!(code(&old), ErrorCode::InvalidRecord);
}

/// No records are unpacked under the node's lock: the client sends them again.
#[test]
fn configs_that_changed_after_a_batch_was_checked_hold_for_it() {
    let mut world = World::new();
    let before = world.view.clone().expect("a view was published");
    world.create_with("packed", 1, &[("compression.type", "lz4")]);
    world.create_with("keyed", 1, &[("cleanup.policy", "compact")]);
    world.create_with("small", 1, &[("max.message.bytes", "100")]);
    world.create_with("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    for (topic, codec, then, again) in [
        ("packed", Codec::None, ErrorCode::NotLeaderOrFollower, ErrorCode::None),
        ("packed", Codec::Lz4, ErrorCode::None, ErrorCode::None),
        ("keyed", Codec::None, ErrorCode::NotLeaderOrFollower, ErrorCode::InvalidRecord),
        ("small", Codec::None, ErrorCode::MessageTooLarge, ErrorCode::MessageTooLarge),
        ("stamped", Codec::None, ErrorCode::None, ErrorCode::None),
    ] {
        let records = || request(topic, keyed(&[(None, 1); 20], codec));
        let body = prepare(records(), &before, world.wall);
        let to = ReplyTo { connection: CONNECTION, sequence: world.next_sequence };
        world.next_sequence += 1;
        world.versions.push(9);
        let origin = std::sync::Arc::new(klamm_node::Origin {
            listener: klamm_node::Listener::Client,
            local_host: "127.0.0.1".into(),
            local_port: 9092,
            peer_host: "there".into(),
        });
        world.step(Event::Request(Incoming { to, origin, version: 9, client_id: None, body }));
        assert_eq!(world.disk.is_empty(), then != ErrorCode::None, "{codec} to {topic}");
        world.all_disk();
        let answer = world.produce_answer(to.sequence);
        assert_eq!(code(&answer), then, "{codec} to {topic}");
        assert!(topic != "stamped" || answer.log_append_time_ms == world.wall.0, "{answer:?}");
        let sequence = world.send(records(), 9);
        world.all_disk();
        assert_eq!(code(&world.produce_answer(sequence)), again, "{codec} to {topic} again");
    }
}

/// B14: what a few bytes unpack to is not for the thread that read them. The bytes of all partitions of a request count together.
#[test]
fn much_to_unpack_is_left_for_later_a_batch_at_a_time() {
    let mut world = World::new();
    world.create("as-it-comes", 1);
    world.create_with("repacked", 3, &[("compression.type", "zstd")]);
    for (topic, sizes, later) in [
        ("as-it-comes", [300_000; 3], 0),
        ("repacked", [1000; 3], 0),
        ("repacked", [300_000, 1000, 300_000], 1),
        ("repacked", [2_000_000, 300_000, 2_000_000], 2),
    ] {
        let Request::Produce(mut asked) = request(topic, Bytes::new()) else { panic!("a produce request") };
        asked.topic_data[0].partition_data = (0..)
            .zip(sizes)
            .map(|(index, size)| PartitionProduceData {
                index,
                records: Some(Records::Bytes(sizable(Codec::Lz4, size))),
            })
            .collect();
        let view = world.view.clone().expect("a view was published");
        let mut body = begin_to_prepare(Request::Produce(asked), &view, world.wall);
        let mut steps = 0;
        while !body.is_ready() {
            body.unpack_next(world.wall);
            steps += 1;
        }
        assert_eq!(steps, later, "{topic} {sizes:?}");
        let Body::Produce(produce) = body else { panic!("a produce request") };
        for partition in &produce.topics[0].partitions {
            let (batch, _) = partition.batch.as_ref().expect("a good batch");
            assert_eq!(batch.codec == Codec::Zstd, topic == "repacked", "{topic} {sizes:?}");
        }
    }
}

#[test]
fn a_changed_config_holds_for_the_next_batch_and_after_a_restart() {
    let mut world = World::new();
    world.create("t", 1);
    for (config, expected) in [
        ("cleanup.policy=compact", ErrorCode::InvalidRecord),
        ("cleanup.policy=delete", ErrorCode::None),
        ("message.timestamp.before.max.ms=1", ErrorCode::InvalidTimestamp),
        ("message.timestamp.type=LogAppendTime", ErrorCode::None),
        ("max.message.bytes=70", ErrorCode::MessageTooLarge),
    ] {
        world.set("t", &[config]);
        assert_eq!(code(&world.ask("t", 9, batch(1, None))), expected, "{config}");
        world.restart();
        assert_eq!(code(&world.ask("t", 9, batch(1, None))), expected, "{config} after a restart");
    }
    world.create("u", 1);
    for (name, expected) in [("lz4", Codec::Lz4), ("gzip", Codec::Gzip), ("uncompressed", Codec::None)] {
        world.set("u", &[&format!("compression.type={name}")]);
        let stored = |world: &mut World| {
            let (written, _) = world.store("u", sizable(Codec::Zstd, 1000));
            BatchView::parse(&written).expect("a batch").codec().expect("a codec")
        };
        assert_eq!(stored(&mut world), expected, "{name}");
        world.restart();
        assert_eq!(stored(&mut world), expected, "{name} after a restart");
    }
}

#[test]
fn sizes_count_as_they_come_and_as_they_are_stored() {
    let mut world = World::new();
    world.create_with("small", 1, &[("max.message.bytes", "1000")]);
    world.create_with("plain", 1, &[("max.message.bytes", "1000"), ("compression.type", "uncompressed")]);
    world.create_with("packed", 1, &[("max.message.bytes", "1000"), ("compression.type", "gzip")]);
    for (topic, records, expected) in [
        ("small", sizable(Codec::None, 800), ErrorCode::None),
        ("small", sizable(Codec::None, 1000), ErrorCode::MessageTooLarge),
        ("small", sizable(Codec::Zstd, 10_000), ErrorCode::None),
        ("plain", sizable(Codec::Zstd, 10_000), ErrorCode::MessageTooLarge),
        ("packed", sizable(Codec::None, 10_000), ErrorCode::MessageTooLarge),
        ("packed", sizable(Codec::Lz4, 10_000), ErrorCode::None),
    ] {
        let size = records.len();
        assert_eq!(code(&world.ask(topic, 9, records)), expected, "{size} bytes to {topic}");
    }
}

#[test]
fn a_bomb_goes_no_further_than_its_topic_allows() {
    let mut world = World::new();
    let limit = ("max.decompressed.message.bytes", "1000000");
    world.create_with("plain", 1, &[limit, ("compression.type", "uncompressed")]);
    world.create_with("keyed", 1, &[limit, ("cleanup.policy", "compact")]);
    world.create_with("as-it-came", 1, &[limit]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = sizable(codec, 8 << 20);
        assert!(bomb.len() < 1 << 20, "{codec}: {} bytes", bomb.len());
        for (topic, expected) in [
            ("plain", ErrorCode::MessageTooLarge),
            ("keyed", ErrorCode::MessageTooLarge),
            // Nobody unpacks it here.
            ("as-it-came", ErrorCode::None),
        ] {
            assert_eq!(code(&world.ask(topic, 9, bomb.clone())), expected, "{codec} to {topic}");
        }
    }
}

#[test]
fn clients_do_not_write_where_the_cluster_does() {
    let mut world = World::new();
    for topic in ["__consumer_offsets", "__transaction_state", "__share_group_state"] {
        world.create(topic, 1);
        let answer = world.ask(topic, 9, batch(1, None));
        assert_eq!(code(&answer), ErrorCode::InvalidTopicException, "{topic}");
    }
    let answer = world.ask("__cluster_metadata", 9, batch(1, None));
    assert_eq!(code(&answer), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn old_producers_do_not_write_what_old_consumers_cannot_read() {
    let mut world = World::new();
    world.create("t", 1);
    let answer = world.ask("t", 6, sizable(Codec::Zstd, 10));
    assert_eq!(code(&answer), ErrorCode::UnsupportedCompressionType);
    assert_eq!(code(&world.ask("t", 7, sizable(Codec::Zstd, 10))), ErrorCode::None);
}

/// With length and checksum set right.
fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let length = (bytes.len() - 12) as u32;
    bytes[position::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&bytes[position::ATTRIBUTES..]);
    bytes[position::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// A batch of three records, changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = batch(3, producer(0)).to_vec();
    change(&mut bytes);
    sealed(bytes)
}

/// A batch of one record with these bytes after its length.
fn one_record(fields: &[u8]) -> Bytes {
    changed(|bytes| {
        bytes.truncate(klamm_model::BATCH_HEADER_SIZE);
        bytes[position::LAST_OFFSET_DELTA + 3] = 0;
        bytes[position::RECORD_COUNT + 3] = 1;
        klamm_model::put_varint(bytes, fields.len() as i32);
        bytes.extend_from_slice(fields);
    })
}

/// A batch whose body, of this codec, was not made by it.
fn garbage(codec: Codec) -> Bytes {
    changed(|bytes| {
        bytes[position::ATTRIBUTES + 1] |= codec.id();
        bytes.truncate(klamm_model::BATCH_HEADER_SIZE);
        bytes.extend_from_slice(&[0xa5; 100]);
    })
}

/// B12 to B16.
#[test]
fn a_bad_batch_gets_its_error_and_nothing_is_appended() {
    use ErrorCode::{
        CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge, UnsupportedCompressionType,
    };
    let put = |at: usize, value: &[u8]| {
        let value = value.to_vec();
        changed(move |bytes| bytes[at..][..value.len()].copy_from_slice(&value))
    };
    let flag = |flag: u8| changed(move |bytes| bytes[position::ATTRIBUTES + 1] |= flag);
    let good = batch(3, producer(0));
    let broken = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let header_size = klamm_model::BATCH_HEADER_SIZE;
    let million_headers = {
        let mut fields = vec![0, 0, 0, 1, 1];
        klamm_model::put_varint(&mut fields, 400_000);
        fields.extend(std::iter::repeat_n([0, 1], 400_000).flatten());
        one_record(&fields)
    };
    let mut table = vec![
        ("no batch", Bytes::new(), InvalidRecord),
        ("a bit of the body flipped", broken(good.len() - 1), CorruptMessage),
        ("a bit of the header flipped", broken(position::PRODUCER_ID), CorruptMessage),
        ("a wrong checksum", broken(position::CRC), CorruptMessage),
        ("less than a header", good.slice(..header_size - 1), CorruptMessage),
        ("a header alone", good.slice(..header_size), CorruptMessage),
        ("the last byte missing", good.slice(..good.len() - 1), CorruptMessage),
        ("a byte too much", Bytes::from([&good[..], b"x"].concat()), CorruptMessage),
        ("two batches", Bytes::from([&good[..], &good[..]].concat()), InvalidRecord),
        ("no records", put(position::LAST_OFFSET_DELTA, &[0; 4]), InvalidRecord),
        ("a record count of 0", put(position::RECORD_COUNT, &[0; 4]), InvalidRecord),
        ("a record too few announced", put(position::RECORD_COUNT, &[0, 0, 0, 2]), InvalidRecord),
        ("a negative record count", put(position::RECORD_COUNT, &[0xff; 4]), CorruptMessage),
        ("a negative last offset delta", put(position::LAST_OFFSET_DELTA, &[0xff; 4]), CorruptMessage),
        ("a last offset delta too far", put(position::LAST_OFFSET_DELTA, &[0, 0, 0, 3]), InvalidRecord),
        ("offsets of its own", put(position::BASE_OFFSET, &[0, 0, 0, 0, 0, 0, 0, 9]), InvalidRecord),
        ("a negative base offset", put(position::BASE_OFFSET, &[0xff; 8]), CorruptMessage),
        ("a control batch", flag(0x20), InvalidRecord),
        ("a delete horizon", flag(0x40), InvalidRecord),
        ("the broker's timestamp type", flag(0x08), InvalidTimestamp),
        ("a negative sequence", put(position::BASE_SEQUENCE, &[0xff; 4]), InvalidRecord),
        ("a negative epoch", put(position::PRODUCER_EPOCH, &[0xff; 2]), InvalidRecord),
        (
            "a transaction of nobody",
            changed(|bytes| {
                bytes[position::PRODUCER_ID..][..14].fill(0xff);
                bytes[position::ATTRIBUTES + 1] |= 0x10;
            }),
            InvalidRecord,
        ),
        ("a record without its fields", one_record(&[0, 0]), InvalidRecord),
        ("a record that is too long", one_record(&[0, 0, 0, 1, 1, 0, 0]), InvalidRecord),
        ("an offset delta below zero", one_record(&[0, 0, 1, 1, 1, 0]), InvalidRecord),
        ("an offset delta out of order", one_record(&[0, 0, 2, 1, 1, 0]), InvalidRecord),
        ("a key length of -2", one_record(&[0, 0, 0, 3, 1, 0]), InvalidRecord),
        ("a value beyond the record", one_record(&[0, 0, 0, 1, 40, 0]), InvalidRecord),
        (
            "a number that does not end",
            one_record(&[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            InvalidRecord,
        ),
        ("2^31 headers", one_record(&[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]), InvalidRecord),
        ("400,000 headers", million_headers, InvalidRecord),
        ("too large", batch(200_000, None), MessageTooLarge),
    ];
    for magic in [0, 1, 3, 127] {
        table.push(("another format", put(position::MAGIC, &[magic]), InvalidRecord));
    }
    for codec in 5..8 {
        table.push(("an unknown compression", flag(codec), UnsupportedCompressionType));
    }
    for length in [0, -1, 48, i32::MIN, i32::MAX] {
        let mut bytes = good.to_vec();
        bytes[position::BATCH_LENGTH..][..4].copy_from_slice(&i32::to_be_bytes(length));
        table.push(("another length", bytes.into(), CorruptMessage));
    }
    let mut world = World::new();
    world.create("t", 1);
    for (what, records, expected) in table {
        let answer = world.ask("t", 9, records);
        assert_eq!(code(&answer), expected, "{what}: {:?}", answer.error_message);
        assert_eq!(answer.base_offset, -1, "{what}");
    }
    assert_eq!(world.ask("t", 9, good).base_offset, 0, "nothing was appended before");
}

#[test]
fn a_compressed_body_that_is_none_is_refused_and_what_is_wrong_inside_is_found_where_it_is_unpacked() {
    let mut world = World::new();
    world.create_with("t", 1, &[("compression.type", "uncompressed")]);
    world.create("as-it-came", 1);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        for topic in ["t", "as-it-came"] {
            assert_eq!(code(&world.ask(topic, 9, garbage(codec))), ErrorCode::CorruptMessage, "{codec}");
            // A few bytes do not take two thousand million offsets.
            let mut many = sizable(codec, 100).to_vec();
            many[position::LAST_OFFSET_DELTA..][..4].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
            many[position::RECORD_COUNT..][..4].copy_from_slice(&i32::MAX.to_be_bytes());
            assert_eq!(code(&world.ask(topic, 9, sealed(many))), ErrorCode::InvalidRecord, "{codec}");
        }
    }
    assert_eq!(world.ask("as-it-came", 9, sizable(Codec::Lz4, 100)).base_offset, 0);
    // It unpacks, to a record that says it is the second.
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1), None, None, &[]);
    let mut body = builder.finish(&Seal::default())[klamm_model::BATCH_HEADER_SIZE..].to_vec();
    body[3] = 2;
    let packed = changed(|bytes| {
        bytes.truncate(klamm_model::BATCH_HEADER_SIZE);
        bytes[position::ATTRIBUTES + 1] |= Codec::Gzip.id();
        bytes[position::LAST_OFFSET_DELTA + 3] = 0;
        bytes[position::RECORD_COUNT + 3] = 1;
        klamm_model::compress(Compression::of(Codec::Gzip), &body, bytes);
    });
    assert_eq!(code(&world.ask("t", 9, packed)), ErrorCode::InvalidRecord);
}

#[test]
fn by_topic_id_and_with_wishes_that_nobody_grants() {
    let mut world = World::new();
    let id = world.create("t", 1);
    let partition =
        PartitionProduceData { records: Some(Records::Bytes(batch(1, None))), ..Default::default() };
    for (topic_id, acks, expected) in [
        (id, -1, ErrorCode::None),
        (id, 1, ErrorCode::None),
        (id, 2, ErrorCode::InvalidRequiredAcks),
        (id, -2, ErrorCode::InvalidRequiredAcks),
        (klamm_model::TopicId::ZERO, -1, ErrorCode::UnknownTopicId),
        (klamm_model::TopicId(uuid::Uuid::from_u128(77)), -1, ErrorCode::UnknownTopicId),
    ] {
        let topic =
            TopicProduceData { topic_id, partition_data: vec![partition.clone()], ..Default::default() };
        let request =
            ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
        let sequence = world.send(Request::Produce(request), 13);
        world.all_disk();
        assert_eq!(code(&world.produce_answer(sequence)), expected, "acks={acks} to {topic_id}");
    }
}

#[test]
fn producers_are_described_by_whoever_leads() {
    let mut world = World::new();
    world.create("t", 2);
    world.store("t", batch(3, producer(0)));
    let other = Producer { id: ProducerId(9), epoch: ProducerEpoch(2), base_sequence: 0 };
    world.store("t", batch(1, Some(other)));
    let topics = [("t", vec![0, 1, 7, 0]), ("nowhere", vec![0]), ("a/b", vec![0])]
        .map(|(name, partition_indexes)| klamm_wire::describe_producers::TopicRequest {
            name: name.into(),
            partition_indexes,
        })
        .to_vec();
    let request = klamm_wire::DescribeProducersRequest { topics };
    let sequence = world.send(Request::DescribeProducers(request), 0);
    let Response::DescribeProducers(response) = world.response(sequence) else { panic!("another answer") };
    let told: Vec<_> = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| {
            let producers = partition.active_producers.iter();
            let producers = producers
                .map(|it| (it.producer_id, it.producer_epoch, it.last_sequence, it.last_timestamp))
                .collect::<Vec<_>>();
            (ErrorCode::from_code(partition.error_code).expect("a known code"), producers)
        })
        .collect();
    assert_eq!(
        told,
        [
            (ErrorCode::None, vec![(5, 0, 2, 1002), (9, 2, 0, 1000)]),
            (ErrorCode::None, vec![]),
            (ErrorCode::UnknownTopicOrPartition, vec![]),
            (ErrorCode::InvalidRequest, vec![]),
            (ErrorCode::UnknownTopicOrPartition, vec![]),
            (ErrorCode::InvalidTopicException, vec![]),
        ]
    );
}
