//! A node that is asked anything that can be decoded: it answers, in the version it was asked in, or waits, and never falls over.

use std::sync::Arc;

use bytes::Bytes;
use klamm_node::{Listener, Origin, answer_from_view};
use klamm_wire::{ApiKey, Reader, Request, Response, encode_response};

use crate::{requests::bytes_of, take, take_byte};

#[path = "../../../crates/node/tests/world/mod.rs"]
#[allow(unreachable_pub, clippy::unwrap_used)]
mod world;

use world::{World, batch, producer};

/// Requests: the API, the version, a length of two bytes, the body. Between two of them the disk does what it was asked, or time passes.
pub fn run(mut data: &[u8]) {
    let mut world = World::new();
    world.create("t", 2);
    world.create_with("c", 1, &[("cleanup.policy", "compact"), ("compression.type", "lz4")]);
    world.produce("t", 1, batch(3, producer(0)));
    world.all_disk();
    for _ in 0..40 {
        if data.is_empty() {
            break;
        }
        let key = take_byte(&mut data);
        let version = i16::from(take_byte(&mut data) % 20);
        let size = u16::from_be_bytes([take_byte(&mut data), take_byte(&mut data)]);
        let body = Bytes::copy_from_slice(take(&mut data, size.into()));
        match ApiKey::ALL.get(usize::from(key)) {
            Some(key) if key.is_served(version) => ask(&mut world, *key, version, body),
            Some(_) => world.all_disk(),
            None => world.wait_ms(u64::from(key) * 100),
        }
        check_answers(&mut world);
    }
    world.all_disk();
    world.wait_ms(600_000);
    world.all_disk();
    check_answers(&mut world);
}

fn ask(world: &mut World, key: ApiKey, version: i16, body: Bytes) {
    let Ok(request) = Request::decode(key, version, &mut Reader::new(body)) else { return };
    let view = Arc::clone(world.view.as_ref().expect("a view was published"));
    let (local_host, peer_host) = ("127.0.0.1".into(), "127.0.0.1".into());
    let origin = Origin { listener: Listener::Client, local_host, local_port: 9092, peer_host };
    match answer_from_view(&view, &origin, version, &request) {
        Some(response) => check(&response, version),
        None => _ = world.send(request, version),
    }
}

fn check_answers(world: &mut World) {
    for (sequence, reply) in std::mem::take(&mut world.replies) {
        let (response, _) = world.complete(reply);
        // The first ones are of the requests that made the topics.
        check(&response, world.versions[sequence as usize]);
    }
}

fn check(response: &Response, version: i16) {
    let encoded =
        encode_response(1, version, response).unwrap_or_else(|error| panic!("{response:?}: {error}"));
    // Records come from files: there is nothing to read back.
    let has_holes = encoded.parts.iter().any(|part| matches!(part, klamm_wire::Part::Hole { .. }));
    if !has_holes {
        let frame = bytes_of(encoded.parts);
        let key = response.api_key();
        let mut reader = Reader::with_limits(frame.slice(4..), klamm_wire::Limits::for_response(frame.len()));
        klamm_wire::ResponseHeader::decode(&mut reader, key, version).expect("a header");
        Response::decode(key, version, &mut reader).expect("what is answered can be read");
        reader.finish().expect("nothing behind it");
    }
}
