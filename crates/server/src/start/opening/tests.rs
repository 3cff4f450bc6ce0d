use std::{fs, path::Path};

use klamm_model::BrokerId;
use klamm_node::{BROKER_LISTENER, Endpoint};
use klamm_quorum::solo;

use super::*;
use crate::{Server, Shutdown, engines::raft, identity, start::metadata::Kind};

/// A node that was not told of others, nor where to listen for them.
fn alone(path: &Path) -> Config {
    let listeners = vec!["127.0.0.1:0".parse().expect("an address")];
    Config { listeners, ..Config::new(path.to_owned(), BrokerId(1)) }
}

fn open(path: &Path) -> Config {
    Config { node_listener: Some("127.0.0.1:0".parse().expect("an address")), ..alone(path) }
}

/// The id of its cluster and the epoch of its controller.
fn told(server: &Server) -> (String, ControllerEpoch) {
    let view = server.shared.monitor.view().load().clone().expect("it is ready");
    (view.image.cluster_id().expect("there is one").to_string(), view.image.epoch())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").map(|it| it.expect("an entry")) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// A start that gets no further than this.
fn interrupted(path: &Path, steps: &[Step]) {
    let mut config = open(path);
    let files = Files::open_all(&config.data_dirs).expect("it can be used");
    let found = files.partitions().expect("listed");
    assert_eq!(Kind::of(&config, &files, &found).expect("it is known"), Kind::Opening);
    let identity = identity::claim_all(&config.data_dirs, BrokerId(1)).expect("its own");
    (config.node.directory, config.node.cluster_id) = (identity.directory, identity.cluster_id);
    let own = Endpoint { name: BROKER_LISTENER.to_owned(), host: "h".to_owned(), port: 7 };
    config.node.endpoints = vec![own];
    let left = what_is_left(&config, &files, &found).expect("it can be read");
    let own = Member::of(&config.node).expect("it is there");
    succession::perform(steps, &files, &own, &left).expect("done");
}

#[test]
fn a_crash_at_any_step_leaves_a_lone_node_or_one_that_goes_on_to_take_others_in() {
    let place = tempfile::tempdir().expect("a directory");
    let lone = place.path().join("lone");
    let mut before = None;
    for _ in 0..3 {
        let server = Server::start(alone(&lone)).expect("it starts");
        before = Some(told(&server));
    }
    let (cluster_id, epoch) = before.expect("it ran");
    assert_eq!(epoch, ControllerEpoch(3));
    for count in 0..=Step::ALL.len() {
        let path = place.path().join(format!("after-{count}"));
        copy(&lone, &path);
        interrupted(&path, &Step::ALL[..count]);
        if count == 0 {
            let server = Server::start(alone(&path)).expect("nothing has changed");
            assert_eq!(server.node_address(), None);
            assert_eq!(told(&server), (cluster_id.clone(), ControllerEpoch(4)));
            continue;
        }
        // What is on the disk counts, whatever it is told now.
        for started in 1..3 {
            let server = Server::start(alone(&path)).expect("it goes on");
            assert!(server.node_address().is_some(), "after {count} steps");
            assert_eq!(told(&server), (cluster_id.clone(), ControllerEpoch(3 + started)));
            assert_eq!(server.stop(), Shutdown::Clean);
        }
    }
}

#[test]
fn a_new_node_is_open_from_its_first_start_on_also_when_that_is_interrupted() {
    for count in 0..=Step::ALL.len() {
        let place = tempfile::tempdir().expect("a directory");
        interrupted(place.path(), &Step::ALL[..count]);
        // As a power cut in the middle of the next step leaves them.
        fs::write(place.path().join("quorum-state.tmp"), "version=1\nter").expect("written");
        if count == 1 {
            fs::create_dir(place.path().join(solo::DIRECTORY)).expect("made");
        }
        let mut cluster_id = None;
        for started in 1..3 {
            let server = Server::start(open(place.path())).expect("it goes on");
            assert!(server.node_address().is_some());
            let (id, epoch) = told(&server);
            assert_eq!(epoch, ControllerEpoch(started), "after {count} steps");
            assert_eq!(*cluster_id.get_or_insert(id.clone()), id);
            let kept = identity::claim(place.path(), BrokerId(1)).expect("its own");
            assert_eq!(kept.cluster_id, Some(id));
        }
    }
}

#[test]
fn there_is_no_way_back_and_what_is_lost_is_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let lone = place.path().join("lone");
    drop(Server::start(alone(&lone)).expect("it starts"));
    let refused = |path: &Path| match Server::start(alone(path)) {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    };
    let path = place.path().join("open");
    copy(&lone, &path);
    drop(Server::start(open(&path)).expect("it starts"));
    let vote = path.join("quorum-state");
    let aside = place.path().join("aside");
    fs::rename(&vote, &aside).expect("moved");
    let told = refused(&path);
    assert!(told.contains("is of a cluster of several nodes"), "{told}");
    fs::rename(&aside, &vote).expect("moved back");
    fs::rename(path.join(solo::DIRECTORY), &aside).expect("moved");
    let told = refused(&path);
    assert!(told.contains("the metadata log that belongs to it"), "{told}");

    // An old copy of the log beside the promise to take over a newer one.
    let path = place.path().join("old");
    copy(&lone, &path);
    drop(Server::start(alone(&path)).expect("it starts"));
    interrupted(&path, &Step::ALL[..1]);
    fs::remove_dir_all(path.join(solo::DIRECTORY)).expect("removed");
    copy(&lone.join(solo::DIRECTORY), &path.join(solo::DIRECTORY));
    let told = refused(&path);
    assert!(told.contains("one of them is an old copy"), "{told}");
    assert!(raft::is_here(&path));
}
