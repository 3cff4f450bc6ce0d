//! A bare server for measurements: `serve DATA_DIR ADDRESS [key=value]…`. A line on standard input prints lock times and restarts their count;
//! the end of the input stops it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{io::BufRead, path::PathBuf};

use klamm_model::BrokerId;
use klamm_server::{Config, LockTimes, Server};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let data_dir = PathBuf::from(arguments.next().expect("a data directory"));
    let mut config = Config::new(data_dir, BrokerId(1));
    config.listeners = vec![arguments.next().expect("an address").parse().expect("HOST:PORT")];
    for setting in arguments {
        match setting.split_once('=') {
            Some((key, value)) => config.set(key, value).expect("a setting"),
            None => panic!("{setting}: key=value"),
        }
    }
    let server = Server::start(config).expect("to start");
    println!("ready {}", server.addresses()[0]);
    let mut before = LockTimes::default();
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        let times = server.lock_times();
        let since = times.since(&before);
        println!(
            "lock: {} times, {} events, held {:.3} us a time, {:.3} us an event, p50 < {} ns, p99 < {} ns, p999 < {} ns, longest < {} ns; waited {} times, {:.3} us each",
            since.count,
            since.event_count,
            since.held_ns as f64 / 1e3 / since.count.max(1) as f64,
            since.held_ns as f64 / 1e3 / since.event_count.max(1) as f64,
            since.held_ns_at(0.5),
            since.held_ns_at(0.99),
            since.held_ns_at(0.999),
            since.held_ns_at(1.0),
            since.contended_count,
            since.waited_ns as f64 / 1e3 / since.contended_count.max(1) as f64,
        );
        before = times;
    }
    server.stop();
}
