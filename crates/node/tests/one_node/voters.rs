//! Voters added and removed: what the node asks of its engine, and what it says.

use klamm_model::ErrorCode as Code;
use klamm_wire::{AddRaftVoterRequest, RemoveRaftVoterRequest};

use super::*;

const DISK: Uuid = Uuid::from_u128(44);

pub(super) fn examples() -> Vec<Request> {
    vec![add(None, -1), remove(None, -1)]
}

fn add(cluster_id: Option<&str>, voter_id: i32) -> Request {
    Request::AddRaftVoter(AddRaftVoterRequest {
        cluster_id: cluster_id.map(str::to_owned),
        timeout_ms: 5_000,
        voter_id,
        voter_directory_id: DISK,
        ..Default::default()
    })
}

fn remove(cluster_id: Option<&str>, voter_id: i32) -> Request {
    Request::RemoveRaftVoter(RemoveRaftVoterRequest {
        cluster_id: cluster_id.map(str::to_owned),
        voter_id,
        voter_directory_id: DISK,
    })
}

fn answer(world: &mut World, sequence: u64) -> (Code, Option<String>) {
    let (code, message) = match world.response(sequence) {
        Response::AddRaftVoter(it) => (it.error_code, it.error_message),
        Response::RemoveRaftVoter(it) => (it.error_code, it.error_message),
        other => panic!("another answer: {other:?}"),
    };
    (Code::told(code), message)
}

#[test]
fn a_change_is_the_engines_and_is_answered_when_that_has_told() {
    let mut world = World::new();
    let added = world.send(add(None, 4), 1);
    assert_eq!(world.voter_changes, [VoterChange::Add { id: BrokerId(4), directory: DISK }]);
    assert!(world.replies.is_empty(), "nothing is committed yet");
    let busy = world.send(remove(None, 3), 0);
    assert_eq!(answer(&mut world, busy).0, Code::RequestTimedOut, "one at a time");
    world.step(Event::Quorum(Output::VotersChanged(Ok(()))));
    assert_eq!(answer(&mut world, added), (Code::None, None));

    let missing = VoterError::Missing { voters: [2, 4].map(BrokerId).to_vec(), missing: vec![BrokerId(2)] };
    for (error, code) in [
        (VoterError::NoVoter { id: BrokerId(3), directory: DISK }, Code::VoterNotFound),
        (missing, Code::RequestTimedOut),
        (VoterError::Last, Code::InvalidRequest),
        (VoterError::Deposed, Code::NotLeaderOrFollower),
    ] {
        let refused = world.send(remove(None, 3), 0);
        let text = error.to_string();
        world.step(Event::Quorum(Output::VotersChanged(Err(error))));
        assert_eq!(answer(&mut world, refused), (code, Some(text)));
    }
    for (error, code) in [
        (VoterError::IsVoter { id: BrokerId(4) }, Code::DuplicateVoter),
        (VoterError::Behind { id: BrokerId(4) }, Code::RequestTimedOut),
        (VoterError::Alone, Code::UnsupportedVersion),
    ] {
        let refused = world.send(add(None, 4), 0);
        world.step(Event::Quorum(Output::VotersChanged(Err(error))));
        assert_eq!(answer(&mut world, refused).0, code);
    }
}

#[test]
fn what_can_be_refused_here_is() {
    let mut world = World::new();
    let other_cluster = world.send(add(Some("another"), 4), 1);
    assert_eq!(answer(&mut world, other_cluster).0, Code::InconsistentClusterId);
    let nobody = world.send(add(None, -1), 1);
    assert_eq!(answer(&mut world, nobody).0, Code::InvalidRequest);
    let no_disk = RemoveRaftVoterRequest { cluster_id: None, voter_id: 3, voter_directory_id: Uuid::nil() };
    let no_disk = world.send(Request::RemoveRaftVoter(no_disk), 0);
    assert_eq!(answer(&mut world, no_disk).0, Code::InvalidRequest);
    assert!(world.voter_changes.is_empty());
    let own = world.node.image().cluster_id().map(|it| it.to_string());
    world.send(add(own.as_deref(), 4), 1);
    assert_eq!(world.voter_changes.len(), 1);
    world.step(Event::Quorum(Output::NoLongerLeader));
    let nobody_leads = world.send(remove(None, 3), 0);
    assert_eq!(answer(&mut world, nobody_leads).0, Code::NotLeaderOrFollower);
}

#[test]
fn nobody_waits_longer_than_he_wanted_and_the_next_change_waits_for_the_engine() {
    let mut world = World::new();
    let slow = world.send(add(None, 4), 1);
    world.wait_ms(4_999);
    assert!(world.answer(slow).is_none());
    world.wait_ms(1);
    assert_eq!(answer(&mut world, slow).0, Code::RequestTimedOut);
    let busy = world.send(remove(None, 3), 0);
    assert_eq!(answer(&mut world, busy).0, Code::RequestTimedOut);
    world.step(Event::Quorum(Output::VotersChanged(Ok(()))));
    assert!(world.replies.is_empty(), "nobody waits for it any more");

    world.send(remove(None, 3), 0);
    world.step(Event::Closed(CONNECTION));
    world.step(Event::Quorum(Output::VotersChanged(Ok(()))));
    assert!(world.replies.is_empty());
    assert_eq!(world.voter_changes.len(), 2);
}
