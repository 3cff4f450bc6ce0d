//! What the Java client wrote (interop/java-golden) is read, and written again byte for byte.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use bytes::Bytes;
use klamm_wire::{
    ApiKey, ConsumerProtocolAssignment, ConsumerProtocolSubscription, Encoded, Message, Reader, Request,
    RequestHeader, Response, ResponseHeader, Writer, encode_request, encode_response,
};

const LINES: &str = include_str!("golden/java-4.4.0.txt");

#[test]
fn frames_of_the_java_client() {
    let mut seen = 0;
    for (kind, key, version, hex) in lines().filter(|(kind, ..)| ["request", "response"].contains(kind)) {
        let key = ApiKey::from_number(key.parse().unwrap()).unwrap_or_else(|| panic!("key {key}"));
        let frame = from_hex(hex);
        let written = match kind {
            "request" => request(key, version, frame.clone()),
            _ => response(key, version, frame.clone()),
        };
        let written = written.unwrap_or_else(|problem| panic!("{kind} {key} v{version}: {problem}\n{hex}"));
        let bytes = written.to_bytes().unwrap();
        assert_eq!(bytes[4..], frame, "{kind} {key} v{version}");
        seen += 1;
    }
    let versions: usize = ApiKey::ALL.iter().map(|key| key.versions().count()).sum();
    assert_eq!(seen, 3 * 2 * versions, "every key and version, three times, request and response");
}

#[test]
fn what_members_of_a_group_tell_one_another() {
    let check = |version, hex, again: fn(&mut Reader, i16) -> Encoded| {
        let bytes = from_hex(hex);
        let mut reader = Reader::new(bytes.slice(2..));
        assert_eq!(again(&mut reader, version).to_bytes().unwrap(), bytes[2..], "v{version}");
        reader.finish().unwrap();
    };
    for (kind, _, version, hex) in lines() {
        match kind {
            "ConsumerProtocolSubscription" => check(version, hex, again::<ConsumerProtocolSubscription>),
            "ConsumerProtocolAssignment" => check(version, hex, again::<ConsumerProtocolAssignment>),
            _ => {}
        }
    }
}

fn again<M: Message>(reader: &mut Reader, version: i16) -> Encoded {
    let mut writer = Writer::new();
    M::decode(reader, version).unwrap().encode(&mut writer, version).unwrap();
    writer.finish()
}

/// Kind, key, version and bytes.
fn lines() -> impl Iterator<Item = (&'static str, &'static str, i16, &'static str)> {
    LINES.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, key, version, hex] = words.as_slice() else { panic!("{line}") };
        (*kind, *key, version.parse().unwrap(), *hex)
    })
}

fn request(key: ApiKey, version: i16, frame: Bytes) -> Result<Encoded, String> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).map_err(|e| e.to_string())?;
    assert_eq!((header.api_key, header.api_version), (key, version));
    let body = Request::decode(key, version, &mut reader).map_err(|e| e.to_string())?;
    reader.finish().map_err(|e| format!("{e}: {body:?}"))?;
    encode_request(&header, &body).map_err(|e| e.to_string())
}

fn response(key: ApiKey, version: i16, frame: Bytes) -> Result<Encoded, String> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, key, version).map_err(|e| e.to_string())?;
    let body = Response::decode(key, version, &mut reader).map_err(|e| e.to_string())?;
    reader.finish().map_err(|e| format!("{e}: {body:?}"))?;
    encode_response(header.correlation_id, version, &body).map_err(|e| e.to_string())
}

fn from_hex(hex: &str) -> Bytes {
    let digit = |char: u8| char::from(char).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect::<Vec<u8>>()
        .into()
}
