use std::{fs, sync::Arc};

use klamm_log::Files;
use klamm_model::BrokerId;
use klamm_quorum::{Position, Snapshot};
use openraft::{
    StorageError,
    testing::{StoreBuilder, Suite},
};

use super::cluster::{Cluster, open_at};
use crate::engines::raft::{
    RaftConfig, RaftError, data_dir, disk, is_here,
    machine::Machine,
    open,
    seat::Seat,
    store::{Memory, Store},
    types::Types,
    vote,
};

/// Makes a store on a disk of its own.
struct Builder;

impl StoreBuilder<Types, Store, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, Store, Machine), StorageError<u64>> {
        let place = tempfile::tempdir().expect("a directory");
        let files = Arc::new(Files::open(place.path()).expect("it can be used"));
        let opened =
            open(RaftConfig { me: BrokerId(0), files: Arc::clone(&files) }).expect("nothing is there");
        let world = disk::World {
            data_dir: data_dir(&files),
            files,
            // The suite gives up entries of which there is no snapshot.
            snapshot_end: u64::MAX,
            operated: Box::new(|_, _| {}),
            voted: Box::new(|_| {}),
            // The suite drops its directory first.
            fail: Box::new(|_| {}),
        };
        let disk = disk::start(opened.log, world).expect("a thread");
        let store = Store::new(Memory::new(opened.entries, opened.kept), disk.jobs);
        store.start().await.expect("it starts");
        let mut seat = Seat::new(BrokerId(0), Box::new(|_| {}));
        seat.offer(Snapshot { position: Position::default(), state: bytes::Bytes::new() });
        let machine = Machine::new(std::rc::Rc::new(std::cell::RefCell::new(seat)), store.clone(), None);
        Ok((place, store, machine))
    }
}

#[test]
fn the_store_is_one_as_openraft_wants_it() {
    Suite::test_all(Builder).expect("it is");
}

#[test]
fn a_torn_tail_of_the_log_costs_nothing_and_a_damaged_log_or_a_lost_vote_is_refused() {
    let mut cluster = Cluster::new(3, 900);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 10);
    let follower = cluster.others(&[leader])[0];
    cluster.kill(follower);
    let path = cluster.path(follower);
    assert!(is_here(&path));
    let segment = path.join("__cluster_metadata-0/00000000000000000000.log");
    let whole = fs::read(&segment).expect("its log");
    let refused = |what: &str| {
        let Err(error) = open_at(&path, follower) else { panic!("{what}: it was opened") };
        eprintln!("{what}: {error}");
        error
    };

    let vote = path.join(vote::FILE_NAME);
    let kept = fs::read(&vote).expect("its vote");
    fs::remove_file(&vote).expect("removed");
    assert!(matches!(refused("no vote"), RaftError::VoteLost));
    vote::store(&path, &vote::Kept::default()).expect("stored");
    assert!(matches!(refused("an old vote"), RaftError::VoteOld { .. }));
    fs::write(&vote, &kept[..kept.len() / 2]).expect("written");
    assert!(matches!(refused("half a vote"), RaftError::Vote(_)));
    fs::write(&vote, &kept).expect("written");

    let aside = path.join("aside");
    fs::rename(segment.parent().expect("a directory"), &aside).expect("moved");
    assert!(matches!(refused("no log"), RaftError::LogLost));
    fs::rename(&aside, segment.parent().expect("a directory")).expect("moved back");

    // A write that the crash interrupted.
    let torn = [&whole[..], &whole[..whole.len().min(90)]].concat();
    fs::write(&segment, &torn[..torn.len() - 7]).expect("written");
    cluster.start(follower);
    cluster.until("it is told all again", |it| {
        it.told[&follower].entries.len() == it.told[&leader].entries.len()
    });
    cluster.work(leader, &all, 2);

    cluster.stop(follower);
    let mut damaged = fs::read(&segment).expect("its log");
    let at = damaged.len() - 20;
    damaged[at] ^= 1;
    fs::write(&segment, &damaged).expect("written");
    assert!(matches!(refused("a damaged log"), RaftError::Log(_)));
}
