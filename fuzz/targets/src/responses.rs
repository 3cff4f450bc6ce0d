//! Responses, as a client reads them from a server that may be anybody.

use bytes::Bytes;
use klamm_wire::{
    ApiKey, ConsumerProtocolAssignment, ConsumerProtocolSubscription, Limits, Message, Reader, Response,
    ResponseHeader, Writer,
};

use crate::{requests::bytes_of, take_byte};

/// The first byte picks the API, the second the version; the rest is header and body. The same bytes are tried as what members of a group tell one another.
pub fn run(mut data: &[u8]) {
    let number = usize::from(take_byte(&mut data));
    let version = i16::from(take_byte(&mut data) as i8);
    let bytes = Bytes::copy_from_slice(data);
    let reader = || Reader::with_limits(bytes.clone(), Limits::for_response(bytes.len()));
    match ApiKey::ALL.get(number) {
        Some(key) => {
            let mut reader = reader();
            if ResponseHeader::decode(&mut reader, *key, version).is_err() {
                return;
            }
            let Ok(response) = Response::decode(*key, version, &mut reader) else { return };
            let mut writer = Writer::new();
            response.encode(&mut writer, version).expect("what was read can be written");
            let again = Response::decode(*key, version, &mut Reader::new(bytes_of(writer.finish().parts)));
            let again = again.expect("what was written can be read");
            assert_eq!(format!("{again:?}"), format!("{response:?}"));
        }
        None if number % 2 == 0 => comes_back::<ConsumerProtocolSubscription>(&mut reader(), version),
        None => comes_back::<ConsumerProtocolAssignment>(&mut reader(), version),
    }
}

fn comes_back<M: Message + std::fmt::Debug>(reader: &mut Reader, version: i16) {
    let Ok(message) = M::decode(reader, version) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was read can be written");
    let again = M::decode(&mut Reader::new(bytes_of(writer.finish().parts)), version);
    assert_eq!(format!("{:?}", again.expect("what was written can be read")), format!("{message:?}"));
}
