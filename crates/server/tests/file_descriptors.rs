//! Want of file descriptors (F31), in a process of its own: the limit holds for all of it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "shared with the other tests of the server")]
mod client;

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use client::{Client, batch};
use klamm_model::BrokerId;
use klamm_server::{Config, Server, Shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn without_file_descriptors_nobody_new_is_served_and_everybody_else_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::new(directory.path().to_owned(), BrokerId(1));
    config.listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.node.min_free_bytes = Some(0);
    let server = Server::start(config).expect("to start");
    let address = server.addresses()[0];
    let mut good = Client::connect(address);
    good.create_topic("events", 1);
    good.produce("events", 0, -1, batch(&[b"first"]));

    let before = getrlimit(Resource::Nofile);
    let taken = std::fs::read_dir("/proc/self/fd").expect("to be listed").count() as u64;
    // Room for a few connections; each takes two, for both of its ends are in this process.
    setrlimit(Resource::Nofile, Rlimit { current: Some(taken + 8), ..before }).expect("to be limited");
    let mut others = Vec::new();
    let mut take_all = || others.extend(std::iter::from_fn(|| TcpStream::connect(address).ok()));
    // What is saved beside the log, a second or two after that has changed, finds no descriptor.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut next = 1;
    while server.disk_error_count() == 0 {
        assert!(Instant::now() < deadline, "nothing was to be saved");
        take_all();
        assert_eq!(good.produce("events", 0, -1, batch(&[b"x"])), (next, 0));
        next += 1;
        thread::sleep(Duration::from_millis(10));
    }
    for number in next..next + 10 {
        assert_eq!(good.produce("events", 0, -1, batch(&[b"x"])), (number, 0));
    }
    assert!(!others.is_empty(), "some were let in");
    drop(others);
    setrlimit(Resource::Nofile, before).expect("to be set again");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut next = Client::connect(address);
        next.stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let frame = next.frame(3, &klamm_wire::Request::ApiVersions(Default::default()));
        if std::io::Write::write_all(&mut next.stream, &frame).is_ok() && next.receive_frame().is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "nobody is served any more");
        thread::sleep(Duration::from_millis(10));
    }
    // An operation failed meanwhile: that is not called clean.
    assert_eq!(server.stop(), Shutdown::Unclean);
}
