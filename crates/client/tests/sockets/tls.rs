//! Connections that are secured, and what is said where they can't be.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use expect_test::expect;
use klamm_client::{Client, ClientConfig, Producer, ProducerConfig, Record, Tls, TlsIdentity, TlsVersion};
use klamm_model::{ErrorCode, TopicId};
use klamm_wire::produce::{PartitionProduceResponse, TopicProduceResponse};
use klamm_wire::{ApiKey, ProduceResponse, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::fake::{Reaction, metadata_with_topic, secured_broker, versions};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn trusting(authority: &Authority) -> Tls {
    Tls { roots: Some(authority.pem()), ..Tls::default() }
}

/// A certificate and its key, in PEM.
struct Identity {
    chain: String,
    key: String,
}

impl Identity {
    const NOW: [i32; 2] = [2000, 4000];

    /// For this name, within these years.
    fn new(authority: &Authority, name: &str, years: [i32; 2]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        Self { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn shown(self) -> Option<TlsIdentity> {
        Some(TlsIdentity { chain: self.chain, key: self.key.into() })
    }

    /// How a broker with it secures connections; it may want certificates for which somebody vouches.
    fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().clone()).expect("a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.expect("somebody vouches"))
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        builder.with_single_cert(chain, key).expect("they belong together")
    }
}

/// A broker that leads "t" and takes what is written, over connections like these.
fn secured(config: ServerConfig) -> String {
    secured_broker(config, move |header, _, port| {
        let answer = match header.api_key {
            ApiKey::ApiVersions => {
                let served = [(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 9), (ApiKey::Produce, 12)];
                versions(ErrorCode::None, &served)
            }
            ApiKey::Metadata => metadata_with_topic(port, TopicId::ZERO),
            _ => {
                let partition_responses = vec![PartitionProduceResponse::default()];
                let topic =
                    TopicProduceResponse { name: "t".into(), partition_responses, ..Default::default() };
                Response::Produce(ProduceResponse { responses: vec![topic], ..Default::default() })
            }
        };
        Reaction::Answer(header.api_version, answer)
    })
}

/// Somebody who says this to whatever comes, and hangs up.
fn somebody(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            assert!(0 < stream.read(&mut [0; 1 << 10]).expect("something comes"));
            stream.write_all(says).expect("said");
        }
    });
    address
}

async fn connect(address: &str, tls: Option<Tls>) -> Result<Client, String> {
    let config = ClientConfig { tls, connect_timeout_ms: 5_000, ..ClientConfig::new(address) };
    Client::connect(config).await.map_err(|error| error.to_string().replace(address, "it"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn brokers_are_believed_or_it_is_said_why_not() {
    let (ours, other) = (authority("ours"), authority("other"));
    let name = "127.0.0.1";
    let good = || Identity::new(&ours, name, Identity::NOW);
    let of_other = Identity::new(&other, name, Identity::NOW);
    let elsewhere = || Identity::new(&ours, "elsewhere.test", Identity::NOW).server(None);
    let only = |version| Tls { versions: vec![version], ..trusting(&ours) };
    let cases = [
        ("good", secured(good().server(None)), Some(trusting(&ours))),
        ("1.2", secured(good().server(None)), Some(only(TlsVersion::V1_2))),
        ("1.3", secured(good().server(None)), Some(only(TlsVersion::V1_3))),
        ("unknown", secured(good().server(None)), Some(trusting(&other))),
        ("expired", secured(Identity::new(&ours, name, [2000, 2001]).server(None)), Some(trusting(&ours))),
        ("too early", secured(Identity::new(&ours, name, [3000, 4000]).server(None)), Some(trusting(&ours))),
        ("wrong name", secured(elsewhere()), Some(trusting(&ours))),
        ("any name", secured(elsewhere()), Some(Tls { checks_names: false, ..trusting(&ours) })),
        ("any name, unknown", secured(elsewhere()), Some(Tls { checks_names: false, ..trusting(&other) })),
        (
            "mutual",
            secured(good().server(Some(&ours))),
            Some(Tls { identity: good().shown(), ..trusting(&ours) }),
        ),
        ("nothing shown", secured(good().server(Some(&ours))), Some(trusting(&ours))),
        (
            "unknown shown",
            secured(good().server(Some(&ours))),
            Some(Tls { identity: of_other.shown(), ..trusting(&ours) }),
        ),
        ("plain here", secured(good().server(None)), None),
        ("plain there", somebody(b""), Some(trusting(&ours))),
        ("something else there", somebody(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Some(trusting(&ours))),
    ];
    let mut told = String::new();
    for (case, address, tls) in cases {
        let outcome = runtime().block_on(connect(&address, tls)).map(|_| "connected");
        writeln!(told, "{case}: {}", outcome.unwrap_or_else(|error| error.leak())).expect("memory");
    }
    expect![[r#"
        good: connected
        1.2: connected
        1.3: connected
        unknown: no secure connection to it: nobody we trust vouches for its certificate
        expired: no secure connection to it: its certificate has expired
        too early: no secure connection to it: its certificate is not valid yet
        wrong name: no secure connection to it: its certificate is for other names: elsewhere.test
        any name: connected
        any name, unknown: no secure connection to it: nobody we trust vouches for its certificate
        mutual: connected
        nothing shown: no secure connection to it: it refuses the connection: CertificateRequired
        unknown shown: no secure connection to it: it refuses the connection: UnknownCA
        plain here: no secure connection to it: it speaks TLS, and security.protocol is plain here
        plain there: no secure connection to it: it hung up, as one does that speaks no TLS
        something else there: no secure connection to it: it does not speak TLS
    "#]]
    .assert_eq(&told);
}

#[test]
fn who_never_greets_is_given_up_in_time() {
    // Connections are made by the system; nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    let tls = Some(trusting(&authority("nobody")));
    let config = ClientConfig { tls, connect_timeout_ms: 100, ..ClientConfig::new(&address) };
    let error = runtime().block_on(Client::connect(config)).err().expect("nobody greets");
    assert_eq!(error.to_string(), format!("no broker answers at {address}: no TLS within 100 ms"));
}

/// More than is held back by anybody between the two, so that writing has to go on later.
#[test]
fn what_is_written_comes_through_however_much_it_is() {
    let ours = authority("ours");
    let address = secured(Identity::new(&ours, "127.0.0.1", Identity::NOW).server(None));
    runtime().block_on(async {
        let client = connect(&address, Some(trusting(&ours))).await.expect("connects");
        let config = ProducerConfig { idempotent: false, ..ProducerConfig::default() };
        let producer = Producer::new(&client, config);
        let value = vec![7; 1_000_000];
        let mut deliveries = Vec::new();
        for _ in 0..20 {
            deliveries.push(producer.accept(Record::new("t", &value)).await.expect("there is room"));
        }
        for delivery in deliveries {
            delivery.await.expect("written");
        }
    });
}
