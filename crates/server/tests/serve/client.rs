//! A client as simple as can be: blocking, one connection, every field in its hands.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::Bytes;
use klamm_model::{BatchBuilder, Batches, Codec, Compression, Seal, Tail, Timestamp};
use klamm_wire::{
    ApiKey, CreateTopicsRequest, FetchRequest, ProduceRequest, Reader, Records, Request, RequestHeader,
    Response, ResponseHeader,
    create_topics::{CreatableTopic, CreatableTopicConfig},
    encode_request, fetch, produce,
};

pub(crate) const PRODUCE_VERSION: i16 = 9;
pub(crate) const FETCH_VERSION: i16 = 12;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the server listens"))
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, correlation_id: 0 }
    }

    /// The frame of a request, with its length.
    pub(crate) fn frame(&mut self, version: i16, request: &Request) -> Bytes {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: request.api_key(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("test".to_owned()),
        };
        let encoded = encode_request(&header, request).expect("a good request");
        let mut bytes = Vec::new();
        for part in encoded.parts {
            match part {
                klamm_wire::Part::Bytes(part) => bytes.extend(part),
                klamm_wire::Part::Hole { .. } => unreachable!("requests have no holes"),
            }
        }
        bytes.into()
    }

    pub(crate) fn send(&mut self, version: i16, request: &Request) {
        let frame = self.frame(version, request);
        self.stream.write_all(&frame).expect("to be sent");
    }

    /// The next answer's frame without its length.
    pub(crate) fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Whether the other end has closed it; until then, or an answer, it is waited for.
    pub(crate) fn is_closed(&self) -> bool {
        match (&self.stream).read(&mut [0]) {
            Ok(size) => size == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// The next answer and its correlation id.
    pub(crate) fn receive(&mut self, key: ApiKey, version: i16) -> (i32, Response) {
        let mut reader = Reader::new(self.receive_frame().expect("an answer"));
        let header = ResponseHeader::decode(&mut reader, key, version).expect("a header");
        let response = Response::decode(key, version, &mut reader).expect("a body");
        reader.finish().expect("nothing behind it");
        (header.correlation_id, response)
    }

    pub(crate) fn call(&mut self, version: i16, request: &Request) -> Response {
        self.send(version, request);
        let (correlation_id, response) = self.receive(request.api_key(), version);
        assert_eq!(correlation_id, self.correlation_id);
        response
    }

    pub(crate) fn create_topic(&mut self, name: &str, partition_count: i32) {
        self.create_topic_with(name, partition_count, &[]);
    }

    pub(crate) fn create_topic_with(&mut self, name: &str, partition_count: i32, configs: &[(&str, &str)]) {
        let config = |(key, value): &(&str, &str)| CreatableTopicConfig {
            name: (*key).to_owned(),
            value: Some((*value).to_owned()),
        };
        let topic = CreatableTopic {
            configs: configs.iter().map(config).collect(),
            name: name.to_owned(),
            num_partitions: partition_count,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let Response::CreateTopics(response) = self.call(5, &Request::CreateTopics(request)) else {
            panic!("another answer")
        };
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    }

    /// Base offset and error of a batch.
    pub(crate) fn produce(&mut self, topic: &str, partition: i32, acks: i16, records: Bytes) -> (i64, i16) {
        let response = self.call(PRODUCE_VERSION, &produce_request(topic, partition, acks, records));
        produced(&response)
    }

    /// The values of the records from an offset on; waits for some as long as the server does.
    pub(crate) fn fetch(&mut self, topic: &str, partition: i32, from: i64) -> Vec<Vec<u8>> {
        loop {
            let response = self.call(FETCH_VERSION, &fetch_request(topic, partition, from, 5000));
            // A leader that has just started does not know yet what is committed (KIP-207); clients ask again.
            if error_code(&response) != 78 {
                return values(&response);
            }
        }
    }
}

pub(crate) fn error_code(response: &Response) -> i16 {
    let Response::Fetch(response) = response else { panic!("another answer: {response:?}") };
    response.responses[0].partitions[0].error_code
}

pub(crate) fn batch(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(values.iter().map(|value| value.len() + 20).sum());
    for value in values {
        builder.append(Timestamp(1_700_000_000_000), None, Some(value), &[]);
    }
    builder.finish(&Seal::default())
}

/// A batch of one record that is `size` bytes of nothing.
pub(crate) fn packed(codec: Codec, size: usize) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1_700_000_000_000), None, Some(&vec![0; size]), &[]);
    builder.finish(&Seal { compression: Compression::of(codec), ..Seal::default() })
}

pub(crate) fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> Request {
    let partition =
        produce::PartitionProduceData { index: partition, records: Some(Records::Bytes(records)) };
    let topic = produce::TopicProduceData {
        name: topic.to_owned(),
        partition_data: vec![partition],
        ..Default::default()
    };
    Request::Produce(ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..Default::default()
    })
}

pub(crate) fn produced(response: &Response) -> (i64, i16) {
    let Response::Produce(response) = response else { panic!("another answer: {response:?}") };
    let partition = &response.responses[0].partition_responses[0];
    (partition.base_offset, partition.error_code)
}

pub(crate) fn fetch_request(topic: &str, partition: i32, from: i64, wait_ms: i32) -> Request {
    let partition = fetch::FetchPartition {
        partition,
        fetch_offset: from,
        partition_max_bytes: 8 << 20,
        ..Default::default()
    };
    let topic =
        fetch::FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 16 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    Request::Fetch(request)
}

pub(crate) fn values(response: &Response) -> Vec<Vec<u8>> {
    let Response::Fetch(response) = response else { panic!("another answer: {response:?}") };
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let Some(Records::Bytes(records)) = &partition.records else { return Vec::new() };
    let mut values = Vec::new();
    for batch in Batches::new(records, Tail::MayBeTruncated) {
        let batch = batch.expect("a good batch");
        batch.verify_crc().expect("a good checksum");
        let mut scratch = Vec::new();
        let records = batch.records(&mut scratch, 1 << 30).expect("good records");
        values
            .extend(records.map(|record| record.expect("a good record").value.unwrap_or_default().to_vec()));
    }
    values
}
