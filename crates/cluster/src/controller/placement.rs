//! Where the partitions of a new topic go: evenly over the brokers that take part, each replica on another broker and, as far as there are enough, in another
//! rack.
//!
//! Brokers stand in a circle. Each partition's first replica goes to the next broker of the circle, and topic after topic the circle goes on where it stopped, so
//! that topics of one partition spread as well. The other replicas go to those that follow, at a distance that grows by one with each round: what a failed
//! broker led is then taken over by all others and not by its neighbour alone.

use std::collections::BTreeMap;

use klamm_model::BrokerId;

use crate::image::{Broker, Image};

/// The replicas of `partition_count` partitions, the preferred leader first. `start` is where on the circle to begin.
pub(super) fn place(
    image: &Image,
    start: u64,
    partition_count: u32,
    replication_factor: u16,
) -> Vec<Vec<BrokerId>> {
    let circle = circle(image);
    assert!(
        usize::from(replication_factor) <= circle.len(),
        "{replication_factor} replicas on {} brokers",
        circle.len()
    );
    (0..u64::from(partition_count))
        .map(|partition| replicas(&circle, start.wrapping_add(partition), replication_factor))
        .collect()
}

fn replicas(circle: &[&Broker], turn: u64, replication_factor: u16) -> Vec<BrokerId> {
    let size = circle.len() as u64;
    let first = turn % size;
    let shift = if size == 1 { 0 } else { turn / size % (size - 1) };
    // The others in the order in which they are asked: all of them, beginning `shift` behind the first one's neighbour.
    let others = (0..size - 1).map(|step| (first + 1 + (shift + step) % (size - 1)) % size);
    let order: Vec<_> = std::iter::once(first).chain(others).map(|at| circle[at as usize]).collect();

    let mut chosen: Vec<&Broker> = Vec::new();
    while chosen.len() < usize::from(replication_factor) {
        let is_free = |it: &&&Broker| chosen.iter().all(|other| other.id != it.id);
        // A rack is asked again only when all have been.
        let used =
            |it: &Broker| chosen.iter().filter(|other| other.rack.is_some() && other.rack == it.rack).count();
        let next = order.iter().filter(is_free).min_by_key(|it| used(it));
        chosen.push(next.expect("there are enough brokers"));
    }
    chosen.into_iter().map(|it| it.id).collect()
}

/// The brokers that take part, racks taking turns.
fn circle(image: &Image) -> Vec<&Broker> {
    let mut seen_of_rack: BTreeMap<&Option<String>, usize> = BTreeMap::new();
    let mut circle: Vec<(usize, &Broker)> = Vec::new();
    for broker in image.brokers().filter(|it| it.is_active()) {
        let seen = seen_of_rack.entry(&broker.rack).or_default();
        circle.push((*seen, broker));
        *seen += 1;
    }
    circle.sort_by_key(|(turn, broker)| (*turn, &broker.rack, broker.id));
    circle.into_iter().map(|(_, broker)| broker).collect()
}
