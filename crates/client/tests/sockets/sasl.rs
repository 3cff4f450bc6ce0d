//! Brokers that want to know who is there.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use klamm_client::{Admin, CallError, Client, ClientConfig, Sasl, ScramMechanism};
use klamm_model::ErrorCode;
use klamm_wire::{
    ApiKey, DescribeClusterResponse, Request, Response, SaslAuthenticateResponse, SaslHandshakeResponse,
};

use crate::fake::{Reaction, broker, metadata, versions};

/// A broker that knows Alice's password, and believes it for a moment.
fn guarded() -> (String, Receiver<(ApiKey, i16)>) {
    const SERVED: [(ApiKey, i16); 5] = [
        (ApiKey::ApiVersions, 3),
        (ApiKey::Metadata, 9),
        (ApiKey::SaslHandshake, 1),
        (ApiKey::SaslAuthenticate, 2),
        (ApiKey::DescribeCluster, 2),
    ];
    broker(|header, request, port| {
        let answer = match request {
            Request::ApiVersions(_) => versions(ErrorCode::None, &SERVED),
            Request::Metadata(_) => metadata(port),
            Request::SaslHandshake(request) => {
                let is_known = request.mechanism == "PLAIN";
                let code = if is_known { ErrorCode::None } else { ErrorCode::UnsupportedSaslMechanism };
                let mechanisms = vec!["PLAIN".to_owned()];
                Response::SaslHandshake(SaslHandshakeResponse { error_code: code.code(), mechanisms })
            }
            Request::SaslAuthenticate(request) => {
                let is_right = &request.auth_bytes[..] == b"\0alice\0secret";
                let code = if is_right { ErrorCode::None } else { ErrorCode::SaslAuthenticationFailed };
                Response::SaslAuthenticate(SaslAuthenticateResponse {
                    error_code: code.code(),
                    error_message: (!is_right).then(|| "nobody by that name".to_owned()),
                    session_lifetime_ms: 1,
                    ..Default::default()
                })
            }
            _ => Response::DescribeCluster(DescribeClusterResponse::default()),
        };
        Reaction::Answer(header.api_version, answer)
    })
}

fn run<T>(address: &str, sasl: Sasl, question: impl AsyncFnOnce(Result<Client, CallError>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        question(Client::connect(ClientConfig { sasl: Some(sasl), ..ClientConfig::new(address) }).await).await
    })
}

#[test]
fn who_we_are_is_shown_first_and_again_before_the_session_ends() {
    use ApiKey::{ApiVersions, DescribeCluster, Metadata, SaslAuthenticate, SaslHandshake};
    let (address, requests) = guarded();
    let sasl = Sasl::Plain { username: "alice".into(), password: "secret".into() };
    run(&address, sasl, async |client| {
        let admin = Admin::new(&client.expect("connects"));
        // Kafka's brokers refuse whoever shows it again twice within a second: the third question comes without.
        for _ in 0..3 {
            admin.describe_cluster().await.expect("answers");
            // What has to pass is the session's time, and nothing tells of that.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let asked: Vec<ApiKey> = requests.try_iter().map(|(api, _)| api).collect();
    let expected = [
        [ApiVersions, SaslHandshake, SaslAuthenticate, Metadata],
        [ApiVersions, SaslHandshake, SaslAuthenticate, DescribeCluster],
    ];
    let again = [SaslHandshake, SaslAuthenticate, DescribeCluster, DescribeCluster];
    assert_eq!(asked, [&expected.concat()[..], &again[..]].concat());
}

#[test]
fn whom_the_broker_does_not_know_is_told_so_and_does_not_try_again() {
    let username = || "mallory".to_owned();
    let scram =
        Sasl::Scram { mechanism: ScramMechanism::Sha256, username: username(), password: "secret".into() };
    for (sasl, problem) in [
        (Sasl::Plain { username: username(), password: "secret".into() }, "PLAIN: nobody by that name"),
        (scram, "SCRAM-SHA-256: only by PLAIN"),
    ] {
        let (address, requests) = guarded();
        let error = run(&address, sasl, async |client| client.err().expect("it is not let in"));
        assert_eq!(error.to_string(), format!("{address} does not let us in by {problem}"));
        assert!(!error.is_retriable());
        assert_eq!(requests.try_iter().filter(|(api, _)| *api == ApiKey::SaslHandshake).count(), 1);
    }
}
