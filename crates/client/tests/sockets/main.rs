//! The client's sockets against brokers that are old, silent, confused or absent.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a broker to talk to needs a socket and a thread"
)]

mod admin;
mod consumer;
mod fake;
mod hostile;
mod producer;
mod sasl;
mod tls;

use fake::{Reaction, broker, metadata, versions};
use klamm_client::{CallError, Client, ClientConfig};
use klamm_model::ErrorCode;
use klamm_wire::{ApiKey, RequestHeader, encode_response};

fn connect(address: &str) -> Result<Client, CallError> {
    connect_by(ClientConfig::new(address))
}

fn connect_by(config: ClientConfig) -> Result<Client, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Client::connect(config))
}

#[test]
fn an_old_broker_is_asked_in_its_own_versions() {
    let (address, requests) = broker(|header, _, port| match (header.api_key, header.api_version) {
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
    let (address, _requests) = broker(|_, _, _| Reaction::Silence);
    let soon =
        ClientConfig { connect_timeout_ms: 300, request_timeout_ms: 300, ..ClientConfig::new(&address) };
    let error = connect_by(soon).err().expect("nobody answered");
    assert!(
        matches!(error, CallError::TimedOut { api: ApiKey::ApiVersions, timeout_ms: 300, .. }),
        "{error:?}"
    );
}

#[test]
fn a_broker_that_hangs_up_is_named() {
    let (address, _requests) = broker(|_, _, _| Reaction::Hangup);
    let error = connect(&address).err().expect("it hung up").to_string();
    assert!(error.contains(&address) && error.contains("the broker closed it"), "{error}");
}

#[test]
fn nonsense_is_not_believed() {
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 0, 0, 6, 0, 0, 0, 0, 0, 99], &[0xff; 64]]
    {
        let (address, _requests) = broker(|_, _, _| Reaction::Bytes(nonsense.to_vec()));
        let error = connect(&address).err().expect("that was no answer");
        assert!(matches!(error, CallError::Malformed { .. } | CallError::Broken { .. }), "{error:?}");
    }
}

#[test]
fn an_answer_to_another_question_ends_the_connection() {
    let (address, _requests) = broker(|header, _, _| {
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
