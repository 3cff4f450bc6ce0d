//! A broker that does what a test says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use klamm_model::{ErrorCode, TopicId};
use klamm_wire::api_versions::ApiVersion;
use klamm_wire::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use klamm_wire::{
    ApiKey, ApiVersionsResponse, MetadataResponse, Reader, Request, RequestHeader, Response, encode_response,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a broker of ours does with a request.
pub(crate) enum Reaction {
    /// Answers in this version, which need not be the one asked for.
    Answer(i16, Response),
    Bytes(Vec<u8>),
    Silence,
    /// Reads nothing more, and keeps the connection.
    Deaf,
    Hangup,
}

/// Listens on a free port and reacts to every request of every connection; tells of the requests it got.
pub(crate) fn broker(
    react: impl Fn(&RequestHeader, &Request, u16) -> Reaction + Send + Sync + Clone + 'static,
) -> (String, mpsc::Receiver<(ApiKey, i16)>) {
    listen(|stream| stream, react)
}

/// The same over TLS.
pub(crate) fn secured_broker(
    config: ServerConfig,
    react: impl Fn(&RequestHeader, &Request, u16) -> Reaction + Send + Sync + Clone + 'static,
) -> String {
    let config = Arc::new(config);
    let secure =
        move |stream| StreamOwned::new(ServerConnection::new(config.clone()).expect("a session"), stream);
    listen(secure, react).0
}

fn listen<S: Read + Write + Send + 'static>(
    wrap: impl Fn(TcpStream) -> S + Send + 'static,
    react: impl Fn(&RequestHeader, &Request, u16) -> Reaction + Send + Sync + Clone + 'static,
) -> (String, mpsc::Receiver<(ApiKey, i16)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (told, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = wrap(stream.expect("a connection"));
            let (told, react) = (told.clone(), react.clone());
            thread::spawn(move || serve(stream, address.port(), &told, react));
        }
    });
    (address.to_string(), requests)
}

fn serve(
    mut stream: impl Read + Write,
    port: u16,
    told: &mpsc::Sender<(ApiKey, i16)>,
    react: impl Fn(&RequestHeader, &Request, u16) -> Reaction,
) {
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).expect("a whole frame");
        let mut reader = Reader::new(frame.into());
        let header = RequestHeader::decode(&mut reader).expect("a request");
        let request = Request::decode(header.api_key, header.api_version, &mut reader);
        // The test may have seen enough.
        let _ = told.send((header.api_key, header.api_version));
        let answer = match react(&header, &request.expect("a request"), port) {
            Reaction::Answer(version, response) => {
                let encoded = encode_response(header.correlation_id, version, &response).expect("encodes");
                encoded.to_bytes().expect("no holes").to_vec()
            }
            Reaction::Bytes(bytes) => bytes,
            Reaction::Silence => continue,
            Reaction::Deaf => loop {
                thread::park();
            },
            Reaction::Hangup => return,
        };
        // The client may have left.
        let _ = stream.write_all(&answer);
    }
}

pub(crate) fn versions(error: ErrorCode, ranges: &[(ApiKey, i16)]) -> Response {
    let api_keys = ranges.iter().map(|&(key, max_version)| ApiVersion {
        api_key: key.number(),
        min_version: 0,
        max_version,
    });
    let (error_code, api_keys) = (error.code(), api_keys.collect());
    Response::ApiVersions(ApiVersionsResponse { error_code, api_keys, ..ApiVersionsResponse::default() })
}

/// Metadata with topic "t", whose partition is led by this broker in epoch 1.
pub(crate) fn metadata_with_topic(port: u16, topic_id: TopicId) -> Response {
    let Response::Metadata(mut response) = metadata(port) else { unreachable!("that is what it makes") };
    let partition = MetadataResponsePartition {
        leader_id: 3,
        leader_epoch: 1,
        replica_nodes: vec![3],
        isr_nodes: vec![3],
        ..Default::default()
    };
    let partitions = vec![partition];
    response.topics =
        vec![MetadataResponseTopic { name: Some("t".into()), topic_id, partitions, ..Default::default() }];
    Response::Metadata(response)
}

/// Metadata of brokers 3 and 4 at these ports, of which this one leads "t".
pub(crate) fn led_by(leader_id: i32, leader_epoch: i32, ports: [u16; 2]) -> Response {
    let Response::Metadata(mut response) = metadata_with_topic(ports[0], TopicId::ZERO) else {
        unreachable!("that is what it makes")
    };
    let other = MetadataResponseBroker { node_id: 4, port: ports[1].into(), ..response.brokers[0].clone() };
    response.brokers.push(other);
    let partition = &mut response.topics[0].partitions[0];
    (partition.leader_id, partition.leader_epoch) = (leader_id, leader_epoch);
    Response::Metadata(response)
}

pub(crate) fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').expect("host and port").1.parse().expect("a port")
}

pub(crate) fn metadata(port: u16) -> Response {
    let broker = MetadataResponseBroker {
        node_id: 3,
        host: "127.0.0.1".into(),
        port: port.into(),
        ..Default::default()
    };
    Response::Metadata(MetadataResponse { brokers: vec![broker], controller_id: 3, ..Default::default() })
}
