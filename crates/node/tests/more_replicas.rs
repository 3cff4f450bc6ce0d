//! A partition gets more replicas: how many have to be in sync grows once those are there.

use crate::world::{World, batch};
use klamm_cluster::record::{PartitionChange, Record};
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode, PartitionEpoch, PartitionIndex, TopicPartition};

const ME: BrokerId = BrokerId(1);
const OTHERS: [BrokerId; 2] = [BrokerId(2), BrokerId(3)];

/// Whether a record is taken with `acks=all`.
fn takes(world: &mut World) -> bool {
    let sequence = world.produce("t", -1, batch(1, None));
    world.all_disk();
    world.replies.iter().all(|(answered, _)| *answered != sequence)
        || world.produced(sequence).0 != ErrorCode::NotEnoughReplicas
}

#[test]
fn two_of_three_have_to_be_in_sync_when_three_are_there_and_not_before() {
    let mut world = World::new();
    let topic = world.create("t", 1);
    let partition = TopicPartition { topic, partition: PartitionIndex(0) };
    let mut epoch = 1;
    let mut becomes = |world: &mut World, change: PartitionChange| {
        epoch += 1;
        let change = PartitionChange { partition_epoch: PartitionEpoch(epoch - 1), ..change };
        world.decides(OTHERS[0], ControllerEpoch(epoch), Record::PartitionChange(change));
    };
    let nothing = || PartitionChange::nothing(partition, PartitionEpoch(0));
    let all = [&[ME], &OTHERS[..]].concat();
    becomes(
        &mut world,
        PartitionChange { replicas: Some(all.clone()), adding: Some(OTHERS.to_vec()), ..nothing() },
    );
    assert!(takes(&mut world), "the others have nothing yet");
    becomes(&mut world, PartitionChange { isr: Some(all), adding: Some(Vec::new()), ..nothing() });
    assert!(takes(&mut world));
    becomes(&mut world, PartitionChange { isr: Some(vec![ME]), ..nothing() });
    assert!(!takes(&mut world), "one of three is in sync");
    becomes(&mut world, PartitionChange { isr: Some(vec![ME, OTHERS[0]]), ..nothing() });
    assert!(takes(&mut world));
}
