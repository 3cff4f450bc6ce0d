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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use klamm_model::{BrokerEpoch, ControllerEpoch};
    use uuid::Uuid;

    use super::*;
    use crate::features::Supported;
    use crate::record::{BrokerState, Record, RegisterBroker};

    fn cluster(racks: &[Option<&str>]) -> Image {
        let mut image = Image::default();
        let epoch = ControllerEpoch(1);
        let mut records = vec![Record::Begin { epoch, controller: BrokerId(0) }];
        for (id, rack) in (0..).map(BrokerId).zip(racks) {
            records.push(Record::RegisterBroker(RegisterBroker {
                id,
                incarnation: Uuid::nil(),
                directory: Uuid::nil(),
                listeners: Vec::new(),
                rack: rack.map(str::to_owned),
                is_relaxed: false,
                supported: Supported::default(),
                other_directories: Vec::new(),
                may_vote: true,
            }));
            records.push(Record::BrokerState { id, epoch: BrokerEpoch(0), state: BrokerState::Active });
        }
        image.apply_entry(0, epoch, &records).expect("a cluster");
        image
    }

    fn spread(counts: &BTreeMap<BrokerId, u32>, broker_count: usize) -> u32 {
        let most = counts.values().max().copied().unwrap_or(0);
        let least = if counts.len() < broker_count { 0 } else { counts.values().min().copied().unwrap_or(0) };
        most - least
    }

    #[test]
    fn leaders_and_replicas_are_even_and_replicas_are_apart() {
        for broker_count in 1..8usize {
            let image = cluster(&vec![None; broker_count]);
            for factor in 1..=broker_count {
                for (start, partition_count) in [(0, 1), (5, 12), (u64::MAX - 3, 100)] {
                    let mut leaders = BTreeMap::new();
                    let mut all = BTreeMap::new();
                    for replicas in place(&image, start, partition_count, factor as u16) {
                        assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), factor);
                        *leaders.entry(replicas[0]).or_default() += 1;
                        replicas.iter().for_each(|id| *all.entry(*id).or_default() += 1);
                    }
                    let case = format!(
                        "{broker_count} brokers, {factor} replicas, {partition_count} partitions from {start}"
                    );
                    // The circle breaks once where the count wraps, after 2^64 partitions.
                    let slack = if start < 100 { 1 } else { 2 };
                    assert!(spread(&leaders, broker_count) <= slack, "{case}: {leaders:?}");
                    assert!(spread(&all, broker_count) <= factor as u32 + slack, "{case}: {all:?}");
                }
            }
        }
    }

    #[test]
    fn replicas_are_in_as_many_racks_as_there_are() {
        let racks = [Some("a"), Some("a"), Some("b"), Some("c"), Some("c"), Some("b"), None];
        let image = cluster(&racks);
        for replicas in place(&image, 3, 70, 3) {
            let used: BTreeSet<_> = replicas.iter().map(|id| racks[id.0 as usize]).collect();
            assert_eq!(used.len(), 3, "{replicas:?}");
        }
    }
}
