//! Bytes that change on the disk of a whole server.

use std::{fs, path::PathBuf};

use super::*;
use crate::metrics::{get, value};

const CORRUPT_MESSAGE: i16 = 2;

fn scrubbing(data_dir: &Path, bytes_per_second: u64) -> Config {
    let mut config = config(data_dir);
    config.metrics_listener = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.node.scrubber.interval_ms = 20;
    config.node.scrubber.bytes_per_second = bytes_per_second;
    config
}

/// A record for each offset.
fn record(offset: u8) -> Vec<u8> {
    vec![offset; 300_000]
}

/// Who asks for the record at each offset gets it, or is told that it is lost.
fn check(client: &mut Client, lost: &[u8]) {
    for offset in 0..10 {
        let response = loop {
            let response = client.call(FETCH_VERSION, &fetch_request("events", 0, i64::from(offset), 5000));
            // A leader that has just started does not know yet what is committed (KIP-207).
            if client::error_code(&response) != 78 {
                break response;
            }
        };
        if lost.contains(&offset) {
            assert_eq!(client::error_code(&response), CORRUPT_MESSAGE, "offset {offset}");
        } else {
            assert!(values(&response)[0] == record(offset), "offset {offset}");
        }
    }
}

fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join("events-0")).expect("listed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "log"));
    paths.sort();
    paths
}

/// Changes a byte of the batch of one record in a file of several.
fn flip(path: &Path, number: usize, within: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[number * batch(&[&record(0)]).len() + within] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn damaged_records_are_found_told_of_and_remembered_and_all_others_served() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(scrubbing(directory.path(), 0)).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    client.create_topic_with("events", 1, &[("segment.bytes", "1048576")]);
    for offset in 0..10 {
        let produced = client.produce("events", 0, -1, batch(&[&record(offset)]));
        assert_eq!(produced, (offset.into(), 0));
    }
    check(&mut client, &[]);
    assert_eq!(server.stop(), Shutdown::Clean);
    let segments = segments(directory.path());
    assert_eq!(segments.len(), 4, "three records each");
    // In a body, which only a scrub can see; and in the header of the last batch, which a start reads.
    flip(&segments[1], 1, 200_000);
    flip(&segments[3], 0, 16);
    let kept: Vec<Vec<u8>> = segments.iter().map(|path| fs::read(path).expect("read")).collect();

    let server = Server::start(scrubbing(directory.path(), 1 << 30)).expect("to start again");
    let mut client = Client::connect(server.addresses()[0]);
    let began = Instant::now();
    let is_looked_at = |scraped: &str| {
        2.0 <= value(scraped, "klamm_damaged_ranges")
            && 2_000_000.0 < value(scraped, "klamm_scrubbed_bytes_total")
    };
    while !is_looked_at(&get(&server, "/metrics")) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", get(&server, "/metrics"));
        thread::sleep(Duration::from_millis(10));
    }
    check(&mut client, &[4, 9]);
    assert_eq!(client.produce("events", 0, -1, batch(&[b"it goes on"])), (10, 0));
    assert_eq!(client.fetch("events", 0, 10), [b"it goes on"]);
    let scraped = get(&server, "/metrics");
    assert_eq!(value(&scraped, "klamm_damaged_bytes"), 2.0 * batch(&[&record(0)]).len() as f64);
    assert_eq!(value(&scraped, "klamm_offline_partitions"), 0.0);
    assert_eq!(server.stop(), Shutdown::Clean);
    for (path, kept) in segments.iter().zip(kept) {
        assert!(fs::read(path).expect("read").starts_with(&kept), "{}", path.display());
    }

    let server = Server::start(scrubbing(directory.path(), 0)).expect("to start once more");
    assert_eq!(value(&get(&server, "/metrics"), "klamm_damaged_ranges"), 2.0, "before anybody has looked");
    check(&mut Client::connect(server.addresses()[0]), &[4, 9]);
    server.stop();

    // Somebody has a copy of what the segment was.
    flip(&segments[1], 1, 200_000);
    let server = Server::start(scrubbing(directory.path(), 0)).expect("to start");
    check(&mut Client::connect(server.addresses()[0]), &[9]);
    server.stop();
}
