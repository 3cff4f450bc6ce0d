//! Snapshots of the metadata of a node that is a cluster of its own.

use std::{fs, path::PathBuf};

use klamm_wire::MetadataRequest;

use super::*;

fn names(client: &mut Client) -> Vec<String> {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let Response::Metadata(response) = client.call(9, &Request::Metadata(request)) else {
        panic!("another answer")
    };
    let mut names: Vec<_> = response.topics.into_iter().filter_map(|it| it.name).collect();
    names.sort();
    names
}

#[test]
fn a_start_goes_on_from_a_snapshot_and_a_damaged_or_missing_one_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = || {
        let mut config = config(directory.path());
        config.node.snapshot_bytes = 1000;
        config
    };
    let file: PathBuf = directory.path().join("__cluster_metadata-0/metadata-snapshot");
    let server = Server::start(config()).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    let mut topics = Vec::new();
    let began = Instant::now();
    // It is written beside everything else, so nobody tells when.
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "no snapshot after {topics:?}");
        topics.push(format!("topic-{:04}", topics.len()));
        client.create_topic(topics.last().expect("one"), 1);
    }
    topics.push("zz-last".to_owned());
    client.create_topic("zz-last", 1);
    server.stop();

    let server = Server::start(config()).expect("to start again");
    assert_eq!(names(&mut Client::connect(server.addresses()[0])), topics);
    server.stop();

    let whole = fs::read(&file).expect("the snapshot");
    let refused = || match Server::start(config()) {
        Err(StartError::Metadata(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    };
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, damaged).expect("written");
    let why = refused();
    assert!(why.contains("metadata-snapshot is damaged"), "{why}");
    fs::remove_file(&file).expect("removed");
    let why = refused();
    assert!(why.contains("the snapshot that belongs to this log is gone"), "{why}");
    fs::write(&file, &whole).expect("written");
    let server = Server::start(config()).expect("to start again");
    assert_eq!(names(&mut Client::connect(server.addresses()[0])), topics);
    server.stop();
}
