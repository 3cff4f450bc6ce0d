//! Bytes that are no message are refused, and cost no more memory than they may.

use super::*;
use crate::{DecodeProblem, Limits, RequestHeader};

#[test]
fn a_message_cut_short_is_refused() {
    for (key, version) in keys_and_versions() {
        let bytes = encoded(&invented::<Request>(key, version, 11), version).unwrap();
        for size in 0..bytes.len() {
            assert!(
                decoded::<Request>(key, version, bytes.slice(..size)).is_err(),
                "{key} v{version} at {size}"
            );
        }
        let bytes = encoded(&invented::<Response>(key, version, 11), version).unwrap();
        for size in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
            assert!(
                decoded::<Response>(key, version, bytes.slice(..size)).is_err(),
                "{key} v{version} at {size}"
            );
        }
    }
}

#[test]
fn a_byte_after_the_message_is_told() {
    for (key, version) in keys_and_versions() {
        let mut bytes = encoded(&invented::<Request>(key, version, 5), version).unwrap().to_vec();
        let position = bytes.len();
        bytes.push(0);
        let error = decoded::<Request>(key, version, bytes.into()).unwrap_err();
        assert_eq!(
            error,
            DecodeError { position, problem: DecodeProblem::TrailingBytes },
            "{key} v{version}"
        );
    }
}

/// What is still accepted after the damage can be written again.
#[test]
fn damaged_messages_do_no_harm() {
    let mut dice = Dice::new(1);
    for (key, version) in keys_and_versions() {
        let whole = encoded(&invented::<Request>(key, version, 13), version).unwrap();
        for _ in 0..60 {
            let mut bytes = whole.to_vec();
            for _ in 0..=dice.roll(3) {
                damage(&mut bytes, &mut dice);
            }
            if let Ok(request) = decoded::<Request>(key, version, bytes.into()) {
                encoded(&request, version).unwrap();
            }
        }
    }
}

fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let position = dice.roll(bytes.len().max(1));
    match dice.roll(5) {
        0 => bytes.truncate(position),
        1 => bytes.insert(position.min(bytes.len()), dice.roll(256) as u8),
        2 if position < bytes.len() => bytes[position] = [0, 0x7f, 0x80, 0xff][dice.roll(4)],
        3 if position < bytes.len() => bytes[position] ^= 1 << dice.roll(8),
        _ => drop(bytes.splice(position..position, [0xff; 4])),
    }
}

#[test]
fn garbage_does_no_harm() {
    let mut dice = Dice::new(2);
    for (key, version) in keys_and_versions() {
        for _ in 0..40 {
            let size = dice.roll(200);
            let bytes: Bytes = (0..size).map(|_| dice.roll(256) as u8).collect::<Vec<u8>>().into();
            let _ = RequestHeader::decode(&mut Reader::new(bytes.clone()));
            let _ = decoded::<Request>(key, version, bytes.clone());
            let _ = decoded::<Response>(key, version, bytes);
        }
    }
}

fn problem<T>(result: Result<T, DecodeError>) -> Option<DecodeProblem> {
    result.err().map(|error| error.problem)
}

#[test]
fn a_declared_count_allocates_nothing() {
    let metadata = |bytes: &[u8], version| {
        problem(decoded::<Request>(ApiKey::Metadata, version, Bytes::copy_from_slice(bytes)))
    };
    assert_eq!(metadata(&[0x7f, 0xff, 0xff, 0xff, 0, 1], 0), Some(DecodeProblem::TooManyElements));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xfe], 0), Some(DecodeProblem::NegativeLength));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff], 0), Some(DecodeProblem::NullNotAllowed));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff, 0x0f], 9), Some(DecodeProblem::TooManyElements));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff, 0x1f], 9), Some(DecodeProblem::VarintTooLong));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 9), Some(DecodeProblem::VarintTooLong));
    assert_eq!(metadata(&[0x80, 0x00], 9), Some(DecodeProblem::VarintTooLong));
}

/// A million one-byte elements would be tens of megabytes of structs.
#[test]
fn memory_is_bounded_by_the_frame() {
    let mut frame = 2_000_000_i32.to_be_bytes().to_vec();
    frame.resize(4 + 2 * 2_000_000, 0);
    let huge = decoded::<Request>(ApiKey::Metadata, 0, frame.clone().into());
    assert_eq!(problem(huge), Some(DecodeProblem::TooManyElements));
    frame[..4].copy_from_slice(&900_000_i32.to_be_bytes());
    frame.truncate(4 + 2 * 900_000);
    let amplified = decoded::<Request>(ApiKey::Metadata, 0, frame.into());
    assert_eq!(problem(amplified), Some(DecodeProblem::AllowanceExceeded));

    let request = crate::LeaveGroupRequest { group_id: "g".repeat(1000), ..Default::default() };
    let bytes = encoded(&Data(request), 0).unwrap();
    let mut reader = Reader::with_limits(bytes, Limits { decoded_bytes_max: 999 });
    let refused = problem(Request::decode(ApiKey::LeaveGroup, 0, &mut reader));
    assert_eq!(refused, Some(DecodeProblem::AllowanceExceeded));
}

/// B19: a broker has no million partitions, and a list of them is gone through with its lock held.
#[test]
fn a_fetch_of_a_million_partitions_is_refused_and_one_of_a_quarter_is_not() {
    let fetch = |count| {
        let partitions = vec![crate::fetch::FetchPartition::default(); count];
        let topic = crate::fetch::FetchTopic { topic: "t".into(), partitions, ..Default::default() };
        let request = crate::FetchRequest { topics: vec![topic], ..Default::default() };
        problem(decoded::<Request>(ApiKey::Fetch, 4, encoded(&Data(request), 4).unwrap()))
    };
    assert_eq!(fetch(250_000), None);
    assert_eq!(fetch(1_000_000), Some(DecodeProblem::AllowanceExceeded));
}

#[test]
fn thousands_of_short_topic_names_are_fine() {
    let topics = (0..9000).map(|number| crate::metadata::MetadataRequestTopic {
        name: Some(format!("{number:03x}")),
        ..Default::default()
    });
    let request = crate::MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
    for version in 0..=13 {
        let bytes = encoded(&Data(request.clone()), version).unwrap();
        decoded::<Request>(ApiKey::Metadata, version, bytes).unwrap();
    }
}

#[test]
fn a_client_takes_any_number_of_groups() {
    let groups = (0..50_000).map(|number| crate::list_groups::ListedGroup {
        group_id: format!("{number}"),
        group_state: "Empty".to_owned(),
        ..Default::default()
    });
    let response = crate::ListGroupsResponse { groups: groups.collect(), ..Default::default() };
    for version in 0..=5 {
        let bytes = encoded(&Data(response.clone()), version).unwrap();
        let limits = Limits::for_response(bytes.len());
        Response::decode(ApiKey::ListGroups, version, &mut Reader::with_limits(bytes, limits)).unwrap();
    }
}

#[test]
fn strings_are_checked() {
    let find =
        |bytes: &[u8]| problem(decoded::<Request>(ApiKey::FindCoordinator, 0, Bytes::copy_from_slice(bytes)));
    assert_eq!(find(b"\x00\x02ab"), None);
    assert_eq!(find(b"\x00\x02a"), Some(DecodeProblem::Truncated));
    assert_eq!(find(b"\x00\x02\xc3\x28"), Some(DecodeProblem::NotUtf8));
    assert_eq!(find(b"\x80\x00ab"), Some(DecodeProblem::NegativeLength));
    assert_eq!(find(b"\xff\xff"), Some(DecodeProblem::NullNotAllowed));
    let mut long = vec![0x81, 0x80, 0x02];
    long.resize(3 + 32768, b'a');
    let refused = problem(decoded::<Request>(ApiKey::FindCoordinator, 3, long.into()));
    assert_eq!(refused, Some(DecodeProblem::StringTooLong));
}

/// An AddOffsetsToTxn answer: throttle time, error, tagged fields.
#[test]
fn tagged_fields_are_checked() {
    let tags = |tags: &[u8]| {
        let bytes = [&[0; 6], tags].concat();
        problem(decoded::<Response>(ApiKey::AddOffsetsToTxn, 3, bytes.into()))
    };
    assert_eq!(tags(&[0]), None);
    assert_eq!(tags(&[2, 0, 1, 9, 5, 0]), None, "unknown ones are skipped");
    assert_eq!(tags(&[2, 5, 0, 5, 0]), Some(DecodeProblem::TagsOutOfOrder));
    assert_eq!(tags(&[2, 5, 0, 0, 0]), Some(DecodeProblem::TagsOutOfOrder));
    assert_eq!(tags(&[1, 0, 2, 9]), Some(DecodeProblem::Truncated));
    assert_eq!(tags(&[0x91, 0x4e]), Some(DecodeProblem::TooManyTags));
    assert_eq!(tags(&[0x90, 0x4e]), Some(DecodeProblem::Truncated));
}

/// Fetch has a cluster id as tagged field 0 at its end.
#[test]
fn a_known_tagged_field_is_as_long_as_it_says() {
    let request = crate::FetchRequest { cluster_id: Some("abc".into()), ..Default::default() };
    let bytes = encoded(&Data(request), 12).unwrap();
    let size_position = bytes.len() - 5;
    assert_eq!(bytes[size_position], 4);
    let with_size = |size: u8| {
        let mut bytes = bytes.to_vec();
        bytes[size_position] = size;
        bytes.push(0);
        problem(decoded::<Request>(ApiKey::Fetch, 12, bytes.into()))
    };
    assert_eq!(with_size(3), Some(DecodeProblem::Truncated));
    assert_eq!(with_size(5), Some(DecodeProblem::TagSizeMismatch));
    assert_eq!(with_size(4), Some(DecodeProblem::TrailingBytes));
}

#[test]
fn a_header_of_an_unknown_api_tells_which() {
    let unknown = |key: i16| {
        let bytes = [&key.to_be_bytes()[..], &[0; 8]].concat();
        problem(RequestHeader::decode(&mut Reader::new(bytes.into())))
    };
    assert_eq!(unknown(4), Some(DecodeProblem::UnknownApiKey(4)));
    assert_eq!(unknown(-1), Some(DecodeProblem::UnknownApiKey(-1)));
    assert_eq!(unknown(0), None);
}

#[test]
fn a_header_of_an_unknown_version_is_fine() {
    let bytes = [&[0, 18, 0x7f, 0xff, 0, 0, 0, 9, 0, 1, b'c', 0][..], b"body"].concat();
    let mut reader = Reader::new(bytes.into());
    let header = RequestHeader::decode(&mut reader).unwrap();
    assert_eq!((header.api_version, header.correlation_id), (i16::MAX, 9));
    assert_eq!(header.client_id.as_deref(), Some("c"));
    assert_eq!(reader.remaining(), 4);
}
