//! What a scrape of metrics shows.

use super::*;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

fn with_metrics(test: impl FnOnce(&Server, SocketAddr)) {
    with_server(|config| config.metrics_listener = Some(SocketAddr::from((LOOPBACK, 0))), test);
}

pub(crate) fn get(server: &Server, path: &str) -> String {
    let mut socket =
        std::net::TcpStream::connect(server.metrics_address().expect("served")).expect("it listens");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("to be sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The value behind a name with its labels.
pub(crate) fn value(scraped: &str, name: &str) -> f64 {
    let line = scraped.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {scraped}")).parse().expect("a number")
}

#[test]
fn a_scrape_counts_what_was_done() {
    with_metrics(|server, address| {
        let mut client = Client::connect(address);
        client.create_topic("events", 3);
        let records = batch(&[b"one", b"two"]);
        client.produce("events", 0, -1, records.clone());
        assert_ne!(client.produce("nowhere", 0, -1, batch(&[b"lost"])).1, 0);
        assert_eq!(client.fetch("events", 0, 0), [b"one", b"two"]);
        let mut bad = Client::connect(address);
        bad.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("to be sent");
        assert!(bad.receive_frame().is_err());
        let scraped = get(server, "/metrics");
        assert!(scraped.starts_with("HTTP/1.1 200 OK\r\n"), "{scraped}");
        for (name, expected) in [
            ("klamm_requests_total{api=\"Produce\"}", 2.0),
            ("klamm_request_errors_total{api=\"Produce\"}", 1.0),
            ("klamm_produced_records_total", 2.0),
            ("klamm_produced_bytes_total", records.len() as f64),
            ("klamm_fetched_bytes_total", records.len() as f64),
            ("klamm_log_bytes", records.len() as f64),
            ("klamm_malformed_requests_total", 1.0),
            ("klamm_partitions", 3.0),
            ("klamm_leader_partitions", 3.0),
            ("klamm_offline_partitions", 0.0),
            ("klamm_under_replicated_partitions", 0.0),
            ("klamm_open_transactions", 0.0),
            ("klamm_active_controller", 1.0),
            ("klamm_ready", 1.0),
            ("klamm_last_shutdown_clean", 1.0),
            ("klamm_connections_accepted_total", 2.0),
        ] {
            assert_eq!(value(&scraped, name), expected, "{name}");
        }
        // Whoever reads an answer may be there before its memory has been given back.
        let until = Instant::now() + Duration::from_secs(10);
        while value(&get(server, "/metrics"), "klamm_unsent_bytes") > 0.0 {
            assert!(Instant::now() < until, "memory of answers that all are read is not given back");
        }
        for name in [
            "klamm_disk_operation_seconds_count{operation=\"sync\"}",
            "klamm_disk_operation_seconds_count{operation=\"write\"}",
            "klamm_node_lock_held_seconds_count",
            "klamm_request_bytes_total{api=\"Fetch\"}",
            "klamm_response_bytes_total{api=\"Fetch\"}",
            "process_resident_memory_bytes",
            "process_open_fds",
            "klamm_connections_max",
        ] {
            assert!(value(&scraped, name) > 0.0, "{name}");
        }
    });
}

#[test]
fn no_client_can_add_lines() {
    with_metrics(|server, address| {
        let line_count = || get(server, "/metrics").lines().count();
        let mut client = Client::connect(address);
        client.create_topic("first", 1);
        client.produce("first", 0, 1, batch(&[b"x"]));
        client.fetch("first", 0, 0);
        let before = line_count();
        for number in 0..20 {
            client.create_topic(&format!("topic-{number}"), 1);
            client.produce(&format!("topic-{number}"), 0, 1, batch(&[b"x"]));
        }
        assert_eq!(line_count(), before);
    });
}

#[test]
fn health_is_asked_without_reading_figures() {
    with_metrics(|server, _| {
        assert!(get(server, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(get(server, "/").starts_with("HTTP/1.1 404 "));
    });
}

#[test]
fn two_servers_count_for_themselves() {
    with_metrics(|one, address| {
        with_metrics(|other, _| {
            Client::connect(address).create_topic("events", 2);
            assert_eq!(value(&get(one, "/metrics"), "klamm_partitions"), 2.0);
            assert_eq!(value(&get(other, "/metrics"), "klamm_partitions"), 0.0);
        });
    });
}
