//! As many for each as for any other, and as few moves as that takes.
//!
//! Members keep what they have; what nobody has goes to whoever has least; then partitions move, maybe by way of others, from who has too many
//! to who has too few. In the end no share can be made smaller in favour of one that is smaller by two, whoever wants which topics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Share, Subscriber, Topics, name, subscribers};
use crate::PartitionName;

type Wanting<'a> = BTreeMap<&'a Arc<str>, Vec<usize>>;

pub(super) fn assign(topics: &Topics, members: &[&Subscriber]) -> Vec<Share> {
    let wanting = subscribers(topics, members);
    let owners = owners(topics, members);
    let mut shares = vec![Share::new(); members.len()];
    for (partition, (_, owner)) in &owners {
        if let Some(place) = owner {
            shares[*place].insert((*partition).clone());
        }
    }
    // Those that few want first: the others can be given to who is left.
    let mut by_demand: Vec<_> = wanting.iter().collect();
    by_demand.sort_by_key(|(_, places)| places.len());
    for (topic, places) in by_demand {
        for (partition, racks) in topics.0[*topic].iter().enumerate() {
            let partition = name(topic, partition);
            if owners.get(&partition).is_some_and(|(_, owner)| owner.is_some()) {
                continue;
            }
            let least =
                places.iter().min_by_key(|&&place| (shares[place].len(), !members[place].is_near(racks)));
            if let Some(&place) = least {
                shares[place].insert(partition);
            }
        }
    }
    balance(&wanting, members, &mut shares);
    shares
}

/// What another member still has stays with that one until it has given it up: then partitions are shared once more (KIP-429).
pub(super) fn leave_with_owners(shares: &mut [Share], members: &[&Subscriber]) {
    let mut owners = BTreeMap::<&PartitionName, Vec<usize>>::new();
    for (place, member) in members.iter().enumerate() {
        member.owned.iter().for_each(|it| owners.entry(it).or_default().push(place));
    }
    for (place, share) in shares.iter_mut().enumerate() {
        share.retain(|it| owners.get(it).is_none_or(|owners| owners.contains(&place)));
    }
}

/// Who has each partition that somebody says to have. Of two that say so, the one of the newer generation has it, and neither if they are of
/// the same: then one of them missed that it lost it.
fn owners<'a>(
    topics: &Topics,
    members: &[&'a Subscriber],
) -> BTreeMap<&'a PartitionName, (Option<i32>, Option<usize>)> {
    let mut owners = BTreeMap::<&PartitionName, (Option<i32>, Option<usize>)>::new();
    for (place, member) in members.iter().enumerate() {
        let generation = member.generation;
        for partition in &member.owned {
            if !topics.has(partition) || !member.topics.contains(&partition.topic) {
                continue;
            }
            let owner = owners.entry(partition).or_insert((generation, Some(place)));
            if owner.0 < generation {
                *owner = (generation, Some(place));
            } else if owner.0 == generation && owner.1 != Some(place) {
                owner.1 = None;
            }
        }
    }
    owners
}

fn balance(wanting: &Wanting<'_>, members: &[&Subscriber], shares: &mut [Share]) {
    // Whoever can't give anything to who has less never can: what it could give goes only among those that have as much.
    let mut is_settled = vec![false; shares.len()];
    loop {
        let least = shares.iter().map(Share::len).min().unwrap_or(0);
        let most = (0..shares.len()).filter(|&it| !is_settled[it]).max_by_key(|&it| shares[it].len());
        let Some(giver) = most.filter(|&it| least + 1 < shares[it].len()) else { return };
        match way_down(giver, wanting, members, shares) {
            Some(moves) => {
                for (from, to, partition) in moves {
                    assert!(shares[from].remove(&partition), "{from} has no {partition}");
                    shares[to].insert(partition);
                }
            }
            None => is_settled[giver] = true,
        }
    }
}

/// The fewest moves that leave the giver with one less and somebody with one more who has less than that by then.
fn way_down(
    giver: usize,
    wanting: &Wanting<'_>,
    members: &[&Subscriber],
    shares: &[Share],
) -> Option<Vec<(usize, usize, PartitionName)>> {
    let mut reached: BTreeMap<usize, Option<(usize, PartitionName)>> = BTreeMap::from([(giver, None)]);
    let mut seen = BTreeSet::new();
    let mut next = VecDeque::from([giver]);
    while let Some(place) = next.pop_front() {
        for (topic, partition) in offers(&shares[place], members[place]) {
            if !seen.insert(topic) {
                continue;
            }
            for &taker in &wanting[topic] {
                if reached.contains_key(&taker) {
                    continue;
                }
                reached.insert(taker, Some((place, partition.clone())));
                if shares[taker].len() + 1 < shares[giver].len() {
                    return Some(moves_to(taker, &reached));
                }
                next.push_back(taker);
            }
        }
    }
    None
}

/// A partition of each topic in the share: one that the member does not have yet, if there is any.
fn offers<'a>(share: &'a Share, member: &Subscriber) -> BTreeMap<&'a Arc<str>, &'a PartitionName> {
    let mut offers = BTreeMap::new();
    for partition in share {
        if !offers.contains_key(&partition.topic) || !member.owned.contains(partition) {
            offers.insert(&partition.topic, partition);
        }
    }
    offers
}

fn moves_to(
    taker: usize,
    reached: &BTreeMap<usize, Option<(usize, PartitionName)>>,
) -> Vec<(usize, usize, PartitionName)> {
    let mut moves = Vec::new();
    let mut to = taker;
    while let Some((from, partition)) = &reached[&to] {
        moves.push((*from, to, partition.clone()));
        to = *from;
    }
    moves
}
