//! Another implementation reads what we wrote, and writes the same bytes.

use bytes::BytesMut;
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};

use super::*;

const SEEDS: u64 = 8;

/// They know the responses of these, not the requests.
const RESPONSE_ONLY: [(ApiKey, i16); 3] =
    [(ApiKey::OffsetCommit, 10), (ApiKey::OffsetFetch, 10), (ApiKey::InitProducerId, 6)];

#[test]
fn another_implementation_agrees() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for (key, version) in keys_and_versions() {
        let Ok(their_key) = TheirKey::try_from(key.number()) else {
            continue;
        };
        let range = their_key.valid_versions();
        if !(range.min..=range.max).contains(&version) {
            continue;
        }
        compared += 1;
        let request_seeds = if RESPONSE_ONLY.contains(&(key, version)) { 0 } else { SEEDS };
        let request = (0..request_seeds).find_map(|seed| {
            let ours = encoded(&invented::<Request>(key, version, seed), version).unwrap();
            difference(
                &ours,
                |bytes| RequestKind::decode(their_key, bytes, version),
                |theirs, out| theirs.encode(out, version),
            )
        });
        differences.extend(request.map(|problem| format!("{key} request v{version}: {problem}")));
        let response = (0..SEEDS).find_map(|seed| {
            let ours = encoded(&invented::<Response>(key, version, seed), version).unwrap();
            difference(
                &ours,
                |bytes| ResponseKind::decode(their_key, bytes, version),
                |theirs, out| theirs.encode(out, version),
            )
        });
        differences.extend(response.map(|problem| format!("{key} response v{version}: {problem}")));
    }
    assert_eq!(differences.join("\n"), "");
    assert!(290 <= compared, "only {compared} versions compared");
}

/// What is different when another implementation reads `ours` and writes it again.
fn difference<M, E: std::fmt::Debug>(
    ours: &Bytes,
    decode: impl FnOnce(&mut Bytes) -> Result<M, E>,
    encode: impl FnOnce(M, &mut BytesMut) -> Result<(), E>,
) -> Option<String> {
    let mut rest = ours.clone();
    let message = match decode(&mut rest) {
        Ok(message) if rest.is_empty() => message,
        Ok(_) => return Some(format!("{} bytes left", rest.len())),
        Err(error) => return Some(format!("reading: {error:?}")),
    };
    let mut theirs = BytesMut::new();
    match encode(message, &mut theirs) {
        Ok(()) if theirs == ours => None,
        Ok(()) => Some("other bytes".to_owned()),
        Err(error) => Some(format!("writing: {error:?}")),
    }
}
