//! The client's sockets against brokers that are old, silent, confused or absent.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a broker to talk to needs a socket and a thread"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use klamm_client::{CallError, Client, ClientConfig};
use klamm_model::ErrorCode;
use klamm_wire::api_versions::ApiVersion;
use klamm_wire::metadata::MetadataResponseBroker;
use klamm_wire::{
    ApiKey, ApiVersionsResponse, MetadataResponse, Reader, RequestHeader, Response, encode_response,
};

/// What a broker of ours does with a request.
enum Reaction {
    /// Answers in this version, which need not be the one asked for.
    Answer(i16, Response),
    Bytes(Vec<u8>),
    Silence,
    Hangup,
}

/// Listens on a free port and reacts to every request of every connection; tells of the requests it got.
fn broker(
    react: impl Fn(&RequestHeader, u16) -> Reaction + Send + Sync + Clone + 'static,
) -> (String, mpsc::Receiver<(ApiKey, i16)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (told, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told, react) = (stream.expect("a connection"), told.clone(), react.clone());
            thread::spawn(move || {
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                    stream.read_exact(&mut frame).expect("a whole frame");
                    let header = RequestHeader::decode(&mut Reader::new(frame.into())).expect("a request");
                    // The test may have seen enough.
                    let _ = told.send((header.api_key, header.api_version));
                    let answer = match react(&header, address.port()) {
                        Reaction::Answer(version, response) => {
                            let encoded =
                                encode_response(header.correlation_id, version, &response).expect("encodes");
                            encoded.to_bytes().expect("no holes").to_vec()
                        }
                        Reaction::Bytes(bytes) => bytes,
                        Reaction::Silence => continue,
                        Reaction::Hangup => return,
                    };
                    // The client may have left.
                    let _ = stream.write_all(&answer);
                }
            });
        }
    });
    (address.to_string(), requests)
}

fn versions(error: ErrorCode, ranges: &[(ApiKey, i16)]) -> Response {
    let api_keys = ranges.iter().map(|&(key, max_version)| ApiVersion {
        api_key: key.number(),
        min_version: 0,
        max_version,
    });
    let (error_code, api_keys) = (error.code(), api_keys.collect());
    Response::ApiVersions(ApiVersionsResponse { error_code, api_keys, ..ApiVersionsResponse::default() })
}

fn metadata(port: u16) -> Response {
    let broker = MetadataResponseBroker {
        node_id: 3,
        host: "127.0.0.1".into(),
        port: port.into(),
        ..Default::default()
    };
    Response::Metadata(MetadataResponse { brokers: vec![broker], controller_id: 3, ..Default::default() })
}

fn connect(address: &str) -> Result<Client, CallError> {
    let config =
        ClientConfig { connect_timeout_ms: 300, request_timeout_ms: 300, ..ClientConfig::new(address) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Client::connect(config))
}

#[test]
fn an_old_broker_is_asked_in_its_own_versions() {
    let (address, requests) = broker(|header, port| match (header.api_key, header.api_version) {
        (ApiKey::ApiVersions, 0) => {
            Reaction::Answer(0, versions(ErrorCode::None, &[(ApiKey::ApiVersions, 0), (ApiKey::Metadata, 4)]))
        }
        (ApiKey::ApiVersions, _) => {
            Reaction::Answer(0, versions(ErrorCode::UnsupportedVersion, &[(ApiKey::ApiVersions, 0)]))
        }
        (_, version) => Reaction::Answer(version, metadata(port)),
    });
    let client = connect(&address).expect("connects");
    assert_eq!(client.cluster().brokers.len(), 1);
    let newest = *ApiKey::ApiVersions.stable_versions().end();
    let asked: Vec<_> = requests.try_iter().collect();
    assert_eq!(asked, [(ApiKey::ApiVersions, newest), (ApiKey::ApiVersions, 0), (ApiKey::Metadata, 4)]);
}

#[test]
fn a_broker_that_does_not_answer_is_given_up() {
    let (address, _requests) = broker(|_, _| Reaction::Silence);
    let error = connect(&address).err().expect("nobody answered");
    assert!(
        matches!(error, CallError::TimedOut { api: ApiKey::ApiVersions, timeout_ms: 300, .. }),
        "{error:?}"
    );
}

#[test]
fn a_broker_that_hangs_up_is_named() {
    let (address, _requests) = broker(|_, _| Reaction::Hangup);
    let error = connect(&address).err().expect("it hung up").to_string();
    assert!(error.contains(&address) && error.contains("the broker closed it"), "{error}");
}

#[test]
fn nonsense_is_not_believed() {
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 0, 0, 6, 0, 0, 0, 0, 0, 99], &[0xff; 64]]
    {
        let (address, _requests) = broker(|_, _| Reaction::Bytes(nonsense.to_vec()));
        let error = connect(&address).err().expect("that was no answer");
        assert!(matches!(error, CallError::Malformed { .. } | CallError::Broken { .. }), "{error:?}");
    }
}

#[test]
fn an_answer_to_another_question_ends_the_connection() {
    let (address, _requests) = broker(|header, _| {
        let other = RequestHeader { correlation_id: header.correlation_id + 1, ..header.clone() };
        let response = versions(ErrorCode::None, &[]);
        let encoded = encode_response(other.correlation_id, header.api_version, &response).expect("encodes");
        Reaction::Bytes(encoded.to_bytes().expect("no holes").to_vec())
    });
    let error = connect(&address).err().expect("not our answer").to_string();
    assert!(error.contains("it answers request 1, expected 0"), "{error}");
}

#[test]
fn an_absent_broker_is_named_with_the_reason() {
    let error = connect("127.0.0.1:1").err().expect("nobody is there").to_string();
    assert_eq!(error, "no broker answers at 127.0.0.1:1: Connection refused");
}
