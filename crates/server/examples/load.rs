//! A load for measurements, apart from the server's process: connections that keep a number of produce requests under way, and optionally others
//! that fetch what arrives. Prints requests, the server's processor time for each, and latencies.
//!
//! With `replay=1` fetchers begin anew when they have read everything: with `connections=0` that measures reading alone.
//!
//! `load ADDRESS PID connections=16 in-flight=4 batch=1024 acks=1 seconds=5 partitions=16 fetchers=0 rate=0 topic=load`
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use klamm_model::{BatchBuilder, Seal, Timestamp};
use klamm_wire::{
    ApiKey, CreateTopicsRequest, FetchRequest, Part, ProduceRequest, Reader, Records, Request, RequestHeader,
    Response, ResponseHeader,
    create_topics::{CreatableTopic, CreatableTopicConfig},
    encode_request, fetch, produce,
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

struct Settings(BTreeMap<String, String>);

impl Settings {
    fn number(&self, key: &str, default: u64) -> u64 {
        self.0
            .get(key)
            .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{key} is no number")))
    }
}

struct Connection {
    stream: TcpStream,
    /// The same frame again and again; only its correlation id changes.
    frame: Bytes,
    unsent: usize,
    /// When each request under way was to be sent.
    under_way: std::collections::VecDeque<Instant>,
    received: Vec<u8>,
    consumes: Option<Consumer>,
    can_write: bool,
}

struct Consumer {
    partition: i32,
    offset: i64,
    replays: bool,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().expect("ADDRESS").parse().expect("HOST:PORT");
    let pid: u32 = arguments.next().expect("PID").parse().expect("a process id");
    let pairs = arguments.map(|argument| {
        let (key, value) = argument.split_once('=').unwrap_or_else(|| panic!("{argument}: key=value"));
        (key.to_owned(), value.to_owned())
    });
    let settings = Settings(pairs.collect());
    let topic = settings.0.get("topic").cloned().unwrap_or_else(|| "load".to_owned());
    let partitions = settings.number("partitions", 16) as i32;
    let in_flight = settings.number("in-flight", 4) as usize;
    let acks = settings.0.get("acks").map_or(1, |acks| acks.parse().expect("acks"));
    let batch = batch(settings.number("batch", 1024) as usize, settings.number("record", 1024) as usize);
    create(address, &topic, partitions, settings.number("relaxed", 0) == 1);

    let mut poll = Poll::new().expect("a poll");
    let mut connections: Vec<Connection> = Vec::new();
    let producers = settings.number("connections", 16) as usize;
    let fetchers = settings.number("fetchers", 0) as usize;
    for number in 0..producers + fetchers {
        let mut stream = connect(address);
        poll.registry()
            .register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)
            .expect("to register");
        let partition = (number % partitions as usize) as i32;
        let consumes = (number >= producers).then_some(Consumer {
            partition,
            offset: 0,
            replays: settings.number("replay", 0) == 1,
        });
        let frame = match &consumes {
            Some(consumer) => fetch_frame(&topic, consumer),
            None => frame(9, &produce_request(&topic, partition, acks, &batch)),
        };
        connections.push(Connection {
            stream,
            frame,
            unsent: 0,
            under_way: std::collections::VecDeque::new(),
            received: Vec::new(),
            consumes,
            can_write: true,
        });
    }

    let seconds = settings.number("seconds", 5);
    let rate = settings.number("rate", 0);
    let mut events = Events::with_capacity(1024);
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    let mut buffer = vec![0; 1 << 20];
    // The first second only warms up.
    let warm = Instant::now() + Duration::from_millis(1000);
    let mut began = warm;
    let mut cpu_before = (0.0, 0.0);
    let mut is_warm = false;
    let (mut answered, mut fetched_bytes, mut fetches, mut errors) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut scheduled = 0_u64;
    let start = Instant::now();
    let mut end = warm + Duration::from_secs(seconds);
    for connection in &mut connections {
        let depth = if connection.consumes.is_some() {
            1
        } else if rate == 0 {
            in_flight
        } else {
            0
        };
        for _ in 0..depth {
            connection.ask(Instant::now());
        }
    }
    while Instant::now() < end {
        let timeout = if rate == 0 { Duration::from_millis(100) } else { Duration::ZERO };
        poll.poll(&mut events, Some(timeout)).expect("to poll");
        let now = Instant::now();
        if !is_warm && now >= warm {
            is_warm = true;
            began = now;
            end = now + Duration::from_secs(seconds);
            cpu_before = cpu(pid);
            histogram.reset();
            (answered, fetched_bytes, fetches) = (0, 0, 0);
        }
        if rate > 0 {
            let due = (now - start).as_micros() as u64 * rate / 1_000_000;
            while scheduled < due {
                let intended = start + Duration::from_micros(scheduled * 1_000_000 / rate);
                connections[scheduled as usize % producers].ask(intended);
                scheduled += 1;
            }
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_writable() {
                connection.can_write = true;
            }
            connection.flush();
            if !event.is_readable() {
                continue;
            }
            loop {
                match connection.stream.read(&mut buffer) {
                    Ok(0) => panic!("the server closed the connection"),
                    Ok(size) => {
                        connection.received.extend(&buffer[..size]);
                        while let Some(answer) = take_frame(&mut connection.received) {
                            let asked = connection.under_way.pop_front().expect("asked for");
                            if connection.consumes.is_some() {
                                fetches += 1;
                                fetched_bytes += connection.consumed(answer, &topic);
                                connection.ask(now);
                            } else {
                                answered += 1;
                                histogram.record(asked.elapsed().as_nanos() as u64).expect("within range");
                                errors += u64::from(is_error(answer));
                                if rate == 0 {
                                    connection.ask(now);
                                }
                            }
                        }
                        if size < buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    let cpu_after = cpu(pid);
    let (user, system) = (cpu_after.0 - cpu_before.0, cpu_after.1 - cpu_before.1);
    let bytes = answered as f64 * batch.len() as f64;
    println!(
        "{:.0} req/s, {:.1} MB/s, cpu/req {:.2}+{:.2} us, cpu/GB {:.3}+{:.3} s, busy {:.0} %, p50 {:.0} us, p99 {:.0} us, p999 {:.0} us; fetches {:.0}/s, fetched {:.1} MB/s, cpu/GB fetched {:.3}+{:.3} s; errors {errors}",
        answered as f64 / took,
        bytes / took / 1e6,
        user * 1e6 / answered as f64,
        system * 1e6 / answered as f64,
        user * 1e9 / bytes,
        system * 1e9 / bytes,
        (user + system) / took * 100.0,
        histogram.value_at_quantile(0.5) as f64 / 1e3,
        histogram.value_at_quantile(0.99) as f64 / 1e3,
        histogram.value_at_quantile(0.999) as f64 / 1e3,
        fetches as f64 / took,
        fetched_bytes as f64 / took / 1e6,
        user * 1e9 / fetched_bytes as f64,
        system * 1e9 / fetched_bytes as f64,
    );
}

impl Connection {
    fn ask(&mut self, at: Instant) {
        self.under_way.push_back(at);
        self.unsent += self.frame.len();
        self.flush();
    }

    fn flush(&mut self) {
        while self.unsent > 0 && self.can_write {
            let from = (self.frame.len() - self.unsent % self.frame.len()) % self.frame.len();
            match self.stream.write(&self.frame[from..]) {
                Ok(size) => self.unsent -= size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.can_write = false,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Goes on behind what was fetched.
    fn consumed(&mut self, answer: Bytes, topic: &str) -> u64 {
        let Some(consumer) = &mut self.consumes else { return 0 };
        let mut reader = Reader::new(answer);
        ResponseHeader::decode(&mut reader, ApiKey::Fetch, 12).expect("a header");
        let Ok(Response::Fetch(response)) = Response::decode(ApiKey::Fetch, 12, &mut reader) else {
            panic!("no fetch answer")
        };
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        let Some(Records::Bytes(records)) = &partition.records else { return 0 };
        if records.is_empty() && consumer.replays {
            consumer.offset = 0;
        }
        for batch in klamm_model::Batches::new(records, klamm_model::Tail::MayBeTruncated) {
            consumer.offset = batch.expect("a batch").next_offset().raw();
        }
        self.frame = fetch_frame(topic, consumer);
        records.len() as u64
    }
}

fn take_frame(received: &mut Vec<u8>) -> Option<Bytes> {
    let size = u32::from_be_bytes(*received.first_chunk()?) as usize + 4;
    if received.len() < size {
        return None;
    }
    let rest = received.split_off(size);
    let frame = std::mem::replace(received, rest);
    Some(Bytes::from(frame).slice(4..))
}

fn is_error(answer: Bytes) -> bool {
    let mut reader = Reader::new(answer);
    let _ = ResponseHeader::decode(&mut reader, ApiKey::Produce, 9);
    match Response::decode(ApiKey::Produce, 9, &mut reader) {
        Ok(Response::Produce(response)) => response.responses[0].partition_responses[0].error_code != 0,
        _ => true,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = std::net::TcpStream::connect(address).expect("to connect");
    stream.set_nodelay(true).expect("a socket");
    stream.set_nonblocking(true).expect("a socket");
    TcpStream::from_std(stream)
}

fn frame(version: i16, request: &Request) -> Bytes {
    let header = RequestHeader {
        api_key: request.api_key(),
        api_version: version,
        correlation_id: 1,
        client_id: None,
    };
    let mut bytes = Vec::new();
    for part in encode_request(&header, request).expect("a request").parts {
        let Part::Bytes(part) = part else { unreachable!("requests have no holes") };
        bytes.extend(part);
    }
    bytes.into()
}

fn batch(size: usize, record_size: usize) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(size);
    let mut left = size.saturating_sub(61).max(1);
    let mut noise = 1_u64;
    while left > 0 {
        let size = left.min(record_size).saturating_sub(12).max(1);
        let value: Vec<u8> = (0..size)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        builder.append(Timestamp(1_700_000_000_000), None, Some(&value), &[]);
        left = left.saturating_sub(record_size);
    }
    builder.finish(&Seal::default())
}

fn produce_request(topic: &str, partition: i32, acks: i16, batch: &Bytes) -> Request {
    let data =
        produce::PartitionProduceData { index: partition, records: Some(Records::Bytes(batch.clone())) };
    let data = produce::TopicProduceData {
        name: topic.to_owned(),
        partition_data: vec![data],
        ..Default::default()
    };
    Request::Produce(ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![data],
        ..Default::default()
    })
}

fn fetch_frame(topic: &str, consumer: &Consumer) -> Bytes {
    let partition = fetch::FetchPartition {
        partition: consumer.partition,
        fetch_offset: consumer.offset,
        partition_max_bytes: 8 << 20,
        ..Default::default()
    };
    let topic =
        fetch::FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 8 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    frame(12, &Request::Fetch(request))
}

fn create(address: SocketAddr, topic: &str, partitions: i32, relaxed: bool) {
    let configs = relaxed.then(|| CreatableTopicConfig {
        name: "flush.messages".to_owned(),
        value: Some(i64::MAX.to_string()),
    });
    let topic = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.into_iter().collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let mut stream = std::net::TcpStream::connect(address).expect("to connect");
    stream.write_all(&frame(5, &Request::CreateTopics(request))).expect("to send");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    stream.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).expect("an answer");
}

/// User and system time of a process so far, in seconds.
fn cpu(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server's process");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number") / 100.0;
    (ticks(11), ticks(12))
}
