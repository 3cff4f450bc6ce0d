//! Requests: what is taken can be written again, in the same version, and comes back the same.

use bytes::Bytes;
use klamm_wire::{ApiKey, Part, Reader, Request, RequestHeader, Writer, encode_request};

use crate::take_byte;

/// The first byte picks the API, the second the version; the rest is the body. The same bytes are tried as a whole frame, too.
pub fn run(mut data: &[u8]) {
    let whole = Bytes::copy_from_slice(data);
    let mut reader = Reader::new(whole);
    if let Ok(header) = RequestHeader::decode(&mut reader)
        && header.api_key.versions().contains(&header.api_version)
        && let Ok(request) = Request::decode(header.api_key, header.api_version, &mut reader)
    {
        comes_back(&request, header.api_version);
    }
    let key = ApiKey::ALL[usize::from(take_byte(&mut data)) % ApiKey::ALL.len()];
    let version = i16::from(take_byte(&mut data) as i8);
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let Ok(request) = Request::decode(key, version, &mut reader) else { return };
    comes_back(&request, version);
    let header = RequestHeader { api_key: key, api_version: version, correlation_id: 7, client_id: None };
    let frame =
        encode_request(&header, &request).expect("what was read can be sent").to_bytes().expect("no holes");
    let mut reader = Reader::new(frame.slice(4..));
    assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
}

fn comes_back(request: &Request, version: i16) {
    let key = request.api_key();
    for other in key.versions() {
        let mut writer = Writer::new();
        let Err(error) = request.encode(&mut writer, other) else {
            let bytes = bytes_of(writer.finish().parts);
            let again =
                Request::decode(key, other, &mut Reader::new(bytes)).expect("what was written can be read");
            // Compared as text, in which a NaN equals itself.
            assert!(
                other != version || format!("{again:?}") == format!("{request:?}"),
                "{request:?}\n{again:?}"
            );
            continue;
        };
        assert_ne!(other, version, "{request:?}: {error}");
    }
}

pub(crate) fn bytes_of(parts: Vec<Part>) -> Bytes {
    let bytes = parts.into_iter().flat_map(|part| match part {
        Part::Bytes(bytes) => bytes,
        Part::Hole { .. } => panic!("what was read has no holes"),
    });
    bytes.collect::<Vec<u8>>().into()
}
