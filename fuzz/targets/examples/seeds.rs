//! Writes the seeds of the fuzzer: inputs that our own encoders make, one for each shape. What the fuzzer found itself stays beside them.
#![allow(clippy::disallowed_methods)]

use std::{fs, path::Path};

use klamm_fuzz_targets::recovery;
use klamm_model::{
    BatchBuilder, Codec, Compression, Producer, ProducerEpoch, ProducerId, RecordHeader, Seal, Timestamp,
};
use klamm_wire::{
    ApiKey, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, Part, ProduceRequest,
    Records, Request, Response, SERVED, Writer, create_topics, fetch, list_offsets, metadata, produce,
};

fn main() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut seeds: Vec<(&str, String, Vec<u8>)> = Vec::new();
    seeds.extend(frames().into_iter().map(|(name, bytes)| ("frames", name.to_owned(), bytes)));
    for row in SERVED {
        seeds.extend(request_seeds(row.key, row.max));
    }
    seeds.extend(batches().into_iter().map(|(name, bytes)| ("batches", name, bytes)));
    for (name, counts) in [("empty", &[][..]), ("one", &[3]), ("segments", &[1, 9, 4, 12, 7, 1, 1, 20, 3])] {
        seeds.push(("recovery", name.to_owned(), recovery::sample(counts).to_bytes()));
    }
    for (name, form, text) in SETTINGS {
        seeds.push(("settings", (*name).to_owned(), [&[*form], text.as_bytes()].concat()));
    }
    for (target, name, bytes) in seeds {
        let folder = corpora.join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{name}")), bytes).expect("to be written");
    }
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("small", vec![3, 0, 1, 0, 0, 1, 0, 5, 1, 0, 200]),
        ("large", vec![16, 255, 1, 255, 255, 1, 64, 0, 1, 0, 1, 2, 80, 0]),
        ("unfinished", vec![12, 7, 1, 0, 9, 2, 200, 0]),
        ("raw", [&[0, 0, 0, 0, 14][..], &[0, 0, 0, 10], &[7; 10], &[3, 0, 3]].concat()),
        ("bad", vec![20, 0, 1, 0, 0, 0, 0, 4, b'G', b'E', b'T', b' ']),
    ]
}

fn body(encode: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    encode(&mut writer);
    let bytes = writer.finish().parts.into_iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.to_vec(),
        Part::Hole { .. } => unreachable!("seeds have no holes"),
    });
    bytes.collect::<Vec<_>>().concat()
}

/// The request in its highest version: for its own target, for that of the answers (which zeros of that length are often one of), and for a node.
fn request_seeds(key: ApiKey, version: i16) -> Vec<(&'static str, String, Vec<u8>)> {
    let index = ApiKey::ALL.iter().position(|it| *it == key).expect("one of all") as u8;
    let request = sample(key).unwrap_or_else(|| decoded(key, version));
    let body = body(|writer| request.encode(writer, version).expect("a good request"));
    let size = (body.len() as u16).to_be_bytes();
    let mut seeds = vec![("requests", key.name().to_owned(), [&[index, version as u8][..], &body].concat())];
    let asked = [&[index, version as u8][..], &size, &body].concat();
    // The disk is given its turn by a key that is not served, time passes by one that does not exist.
    let vote = ApiKey::ALL.iter().position(|it| *it == ApiKey::Vote).expect("one of all") as u8;
    let settle = [vote, 0, 0, 0];
    seeds.push(("node", key.name().to_owned(), [&asked[..], &settle, &asked, &[200, 0, 0, 0]].concat()));
    if let Some(response) = (1..400).find_map(|size| response_of_zeros(key, version, size)) {
        let bytes = [&[index, version as u8][..], &response].concat();
        seeds.push(("responses", key.name().to_owned(), bytes));
    }
    seeds
}

/// What zeros are, as a request.
fn decoded(key: ApiKey, version: i16) -> Request {
    let of =
        |size: usize| Request::decode(key, version, &mut klamm_wire::Reader::new(vec![0; size].into())).ok();
    // Where null is not allowed, an empty one of a compact length is written 1.
    let ones =
        |size: usize| Request::decode(key, version, &mut klamm_wire::Reader::new(vec![1; size].into())).ok();
    (0..400).find_map(|size| of(size).or_else(|| ones(size))).unwrap_or_else(|| panic!("{key} {version}"))
}

fn response_of_zeros(key: ApiKey, version: i16, size: usize) -> Option<Vec<u8>> {
    let bytes = [vec![0; 5], vec![1; size]].concat();
    let mut reader = klamm_wire::Reader::new(bytes[4..].to_vec().into());
    Response::decode(key, version, &mut reader).ok().map(|_| bytes)
}

/// Requests that ask for something.
fn sample(key: ApiKey) -> Option<Request> {
    let name = "t".to_owned();
    Some(match key {
        ApiKey::Produce => {
            let partition = produce::PartitionProduceData {
                index: 0,
                records: Some(Records::Bytes(batch(&Seal::default()).into())),
            };
            let topic = produce::TopicProduceData { partition_data: vec![partition], ..Default::default() };
            Request::Produce(ProduceRequest {
                acks: -1,
                timeout_ms: 1000,
                topic_data: vec![topic],
                ..Default::default()
            })
        }
        ApiKey::Fetch => {
            let partition =
                fetch::FetchPartition { partition: 0, partition_max_bytes: 1000, ..Default::default() };
            let topic = fetch::FetchTopic { partitions: vec![partition], ..Default::default() };
            Request::Fetch(FetchRequest {
                max_wait_ms: 500,
                min_bytes: 1,
                max_bytes: 1000,
                topics: vec![topic],
                ..Default::default()
            })
        }
        ApiKey::Metadata => {
            let topic = metadata::MetadataRequestTopic { name: Some(name), ..Default::default() };
            Request::Metadata(MetadataRequest { topics: Some(vec![topic]), ..Default::default() })
        }
        ApiKey::ListOffsets => {
            let partition = list_offsets::ListOffsetsPartition {
                partition_index: 1,
                timestamp: 1001,
                ..Default::default()
            };
            let topic = list_offsets::ListOffsetsTopic { name, partitions: vec![partition] };
            Request::ListOffsets(ListOffsetsRequest {
                replica_id: -1,
                topics: vec![topic],
                ..Default::default()
            })
        }
        ApiKey::CreateTopics => {
            let topic = create_topics::CreatableTopic {
                name: "u".into(),
                num_partitions: 2,
                replication_factor: 1,
                ..Default::default()
            };
            Request::CreateTopics(CreateTopicsRequest {
                topics: vec![topic],
                timeout_ms: 1000,
                ..Default::default()
            })
        }
        _ => return None,
    })
}

fn batch(seal: &Seal) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    let header = RecordHeader { key: b"h", value: Some(b"1") };
    builder.append(Timestamp(1000), Some(b"key"), Some(b"value value value value"), &[header]);
    builder.append(Timestamp(1002), None, Some(b"value value value value"), &[]);
    builder.append(Timestamp(1001), Some(b"key"), None, &[]);
    builder.finish(seal).to_vec()
}

/// Each codec as it comes, with the checksum set right after changes, and with the body in plain for the target to compress.
fn batches() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for codec in Codec::ALL {
        let producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: 5 };
        let seal = Seal { compression: Compression::of(codec), producer: Some(producer), ..Seal::default() };
        let bytes = batch(&seal);
        let mut plain = batch(&Seal { compression: Compression::NONE, ..seal });
        plain[klamm_model::position::ATTRIBUTES + 1] |= codec.id();
        seeds.push((format!("{codec}-as-it-is"), [&[0], &bytes[..]].concat()));
        seeds.push((format!("{codec}-set-right"), [&[1], &bytes[..]].concat()));
        seeds.push((format!("{codec}-packed"), [&[3], &plain[..]].concat()));
        let mut packed = Vec::new();
        klamm_model::compress(Compression::of(codec), b"value value value value", &mut packed);
        seeds.push((format!("{codec}-body"), [&[0], &packed[..]].concat()));
    }
    seeds
}

const SETTINGS: &[(&str, u8, &str)] = &[
    (
        "properties",
        0,
        "node.id=3\nlisteners=PLAINTEXT://localhost:0\n# comment\nlog.retention.ms = 1000\\\n  00\nlog.dirs: /a,/b\\u0020\n",
    ),
    (
        "toml",
        1,
        "\"log.retention.ms\" = 86400000\nnode.id = 1\n[log]\nsegment.bytes = 1048576\ndirs = [\"/a\", \"/b\"]\n",
    ),
    (
        "arguments",
        2,
        "advertised.listeners=PLAINTEXT://h:9092\ncompression.type=zstd\nnum.partitions=3\nmax.connections=10",
    ),
    (
        "topic",
        3,
        "cleanup.policy=compact,delete\nretention.ms=-1\ncompression.gzip.level=9\nmin.cleanable.dirty.ratio=0.5",
    ),
];
