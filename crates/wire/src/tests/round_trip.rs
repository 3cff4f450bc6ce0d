//! What was written is what is read.

use super::*;
use crate::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, Encoded, Part, Records, RequestHeader,
    ResponseHeader, encode_request, encode_response,
};

const SEEDS: u64 = 24;

#[test]
fn every_request_in_every_version() {
    keys_and_versions().for_each(|(key, version)| check::<Request>(key, version));
}

#[test]
fn every_response_in_every_version() {
    keys_and_versions().for_each(|(key, version)| check::<Response>(key, version));
}

#[test]
fn what_members_of_a_classic_group_tell_one_another() {
    for version in 0..=3 {
        check::<Data<ConsumerProtocolSubscription>>((), version);
        check::<Data<ConsumerProtocolAssignment>>((), version);
    }
}

/// Compares the text of values, in which a NaN equals itself.
fn check<M: Codec>(key: M::Key, version: i16) {
    for seed in 0..SEEDS {
        let message: M = invented(key, version, seed);
        let bytes =
            encoded(&message, version).unwrap_or_else(|e| panic!("{key:?} v{version} seed {seed}: {e}"));
        let again: M = decoded(key, version, bytes.clone())
            .unwrap_or_else(|e| panic!("{key:?} v{version} seed {seed}: {e}\n{message:?}\n{bytes:?}"));
        assert_eq!(format!("{message:?}"), format!("{again:?}"), "{key:?} v{version} seed {seed}");
        assert_eq!(encoded(&again, version).as_ref(), Ok(&bytes), "{key:?} v{version} seed {seed}");
    }
}

/// What another version can carry comes back; what it cannot is refused or, where the schema says so, lost.
#[test]
fn a_value_of_one_version_in_all_others() {
    for (key, version) in keys_and_versions() {
        let request: Request = invented(key, version, 7);
        let response: Response = invented(key, version, 7);
        for other in key.versions() {
            if let Ok(bytes) = encoded(&request, other) {
                decoded::<Request>(key, other, bytes).unwrap();
            }
            if let Ok(bytes) = encoded(&response, other) {
                decoded::<Response>(key, other, bytes).unwrap();
            }
        }
        let beyond = key.versions().end() + 1;
        assert!(matches!(encoded(&request, beyond), Err(EncodeError::UnsupportedVersion { .. })));
        assert!(decoded::<Request>(key, beyond, Bytes::new()).is_err());
    }
}

#[test]
fn every_request_is_a_frame() {
    for (key, version) in keys_and_versions() {
        let client_id = [None, Some(String::new()), Some("rdkafka".to_owned())][version as usize % 3].clone();
        let header = RequestHeader { api_key: key, api_version: version, correlation_id: -7, client_id };
        let body: Request = invented(key, version, 3);
        let mut reader = Reader::new(unframed(&encode_request(&header, &body).unwrap()));
        assert_eq!(RequestHeader::decode(&mut reader).unwrap(), header);
        let again = Request::decode(key, version, &mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(format!("{again:?}"), format!("{body:?}"));
        assert_eq!(again.api_key(), key);
    }
}

#[test]
fn every_response_is_a_frame() {
    for (key, version) in keys_and_versions() {
        let body: Response = invented(key, version, 4);
        let mut reader = Reader::new(unframed(&encode_response(77, version, &body).unwrap()));
        assert_eq!(ResponseHeader::decode(&mut reader, key, version).unwrap().correlation_id, 77);
        let again = Response::decode(key, version, &mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(format!("{again:?}"), format!("{body:?}"));
    }
}

/// The frame without its length, which must be right.
fn unframed(frame: &Encoded) -> Bytes {
    let whole = frame.to_bytes().unwrap();
    let length = i32::from_be_bytes(*whole.first_chunk().unwrap());
    assert_eq!(length as usize, whole.len() - 4);
    whole.slice(4..)
}

#[test]
fn defaults_are_those_of_the_schema() {
    assert_eq!(crate::FetchRequest::default().max_bytes, i32::MAX);
    assert_eq!(crate::fetch::FetchPartition::default().high_watermark, i64::MAX);
    assert_eq!(crate::MetadataRequest::default().topics, Some(Vec::new()));
    assert_eq!(crate::ProduceRequest::default().transactional_id, None);
    assert!(crate::MetadataRequest::default().allow_auto_topic_creation);
}

#[test]
fn a_value_that_would_be_lost_is_refused() {
    let validate = crate::CreatePartitionsRequest { validate_only: true, ..Default::default() };
    assert!(encoded(&Data(validate), 0).is_ok());
    let forget =
        crate::FetchRequest { forgotten_topics_data: vec![Default::default()], ..Default::default() };
    let refused = EncodeError::ValueNotInVersion { field: "forgotten_topics_data", version: 6 };
    assert_eq!(encoded(&Data(forget), 6), Err(refused));
    let all_topics = crate::MetadataRequest { topics: None, ..Default::default() };
    let refused = EncodeError::ValueNotInVersion { field: "topics", version: 0 };
    assert_eq!(encoded(&Data(all_topics), 0), Err(refused));
}

#[test]
fn large_records_are_not_copied_and_holes_are_counted() {
    let partition = |records| crate::fetch::PartitionData { records: Some(records), ..Default::default() };
    let large = Bytes::from(vec![7; 5000]);
    let small = Bytes::from(vec![8; 100]);
    let partitions = vec![
        partition(Records::Bytes(small)),
        partition(Records::Bytes(large.clone())),
        partition(Records::Hole { size: 300_000, token: 42 }),
        partition(Records::Hole { size: 0, token: 43 }),
    ];
    let responses = vec![crate::fetch::FetchableTopicResponse { partitions, ..Default::default() }];
    let body = Response::Fetch(crate::FetchResponse { responses, ..Default::default() });
    for version in [4, 11, 12, 18] {
        let frame = encode_response(1, version, &body).unwrap();
        let [Part::Bytes(head), Part::Bytes(records), Part::Bytes(_), hole, Part::Bytes(_)] =
            frame.parts.as_slice()
        else {
            panic!("{frame:?}")
        };
        assert_eq!(records.as_ptr(), large.as_ptr());
        assert_eq!(*hole, Part::Hole { size: 300_000, token: 42 });
        assert_eq!(i32::from_be_bytes(*head.first_chunk().unwrap()) as usize, frame.size() - 4);
        assert_eq!(frame.to_bytes(), None);
    }
    let request: Request = decoded(ApiKey::Produce, 9, {
        let mut writer = Writer::new();
        let records = Some(Records::Bytes(large));
        let partition_data = vec![crate::produce::PartitionProduceData { index: 0, records }];
        let topic =
            crate::produce::TopicProduceData { name: "t".into(), partition_data, ..Default::default() };
        let body = crate::ProduceRequest { topic_data: vec![topic], ..Default::default() };
        body.encode(&mut writer, 9).unwrap();
        writer.finish().to_bytes().unwrap()
    })
    .unwrap();
    let Request::Produce(request) = request else { panic!("{request:?}") };
    assert_eq!(request.topic_data[0].partition_data[0].records.as_ref().unwrap().size(), 5000);
}

#[test]
fn a_small_response_is_one_part() {
    let body: Response = Response::Heartbeat(crate::HeartbeatResponse::default());
    assert_eq!(encode_response(1, 4, &body).unwrap().parts.len(), 1);
}
