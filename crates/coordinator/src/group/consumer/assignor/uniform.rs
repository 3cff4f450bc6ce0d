//! Even shares that stay where they are.
//!
//! Topics that the same members want are one class: within it, any member can take any partition from any other. Every member keeps what it has; what nobody has goes
//! to whoever has least; and then partitions move within their classes from whoever has most to whoever has least, until no move makes two shares more even.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::TopicPartition;
use rustc_hash::FxHashMap;

use super::{Partitions, Subscriber, Topics, index, subscribers};

pub(super) fn assign(topics: &Topics<'_>, members: &[Subscriber<'_>]) -> Vec<Partitions> {
    let mut classes = classes(topics, members);
    let mut board = Board { topics, members, loads: vec![0; members.len()] };
    let kept = kept(members);
    for class in &mut classes {
        board.keep(class, &kept);
    }
    let total: usize = classes.iter().flat_map(|class| &class.topics).map(|it| topics[it].len()).sum();
    if members.iter().any(|it| it.rack.is_some()) {
        for class in &mut classes {
            board.fill_near(class, total / members.len());
        }
    }
    for class in &mut classes {
        board.fill(class);
    }
    while classes.iter_mut().any(|class| board.level(class)) {}
    let mut shares = vec![Partitions::new(); members.len()];
    for class in classes {
        for (place, share) in class.places.into_iter().zip(class.shares) {
            shares[place].extend(share);
        }
    }
    shares
}

/// Topics that the same members want.
struct Class {
    topics: Vec<klamm_model::TopicId>,
    /// Of the members, in their order.
    places: Vec<usize>,
    /// What each of them gets of these topics.
    shares: Vec<Partitions>,
    /// What nobody has.
    free: Vec<TopicPartition>,
}

/// Those with the fewest members first: they have the least choice.
fn classes(topics: &Topics<'_>, members: &[Subscriber<'_>]) -> Vec<Class> {
    let mut classes = BTreeMap::<(usize, Vec<usize>), Class>::new();
    for (topic, places) in subscribers(topics, members) {
        let class = classes.entry((places.len(), places)).or_insert_with_key(|(count, places)| Class {
            topics: Vec::new(),
            places: places.clone(),
            shares: vec![Partitions::new(); *count],
            free: Vec::new(),
        });
        class.topics.push(topic);
    }
    classes.into_values().collect()
}

/// Who has what. Of two that have the same, which must not be, the first.
fn kept(members: &[Subscriber<'_>]) -> FxHashMap<TopicPartition, usize> {
    let mut kept = FxHashMap::default();
    for (place, member) in members.iter().enumerate() {
        for partition in member.has.iter().filter(|it| member.topics.contains(&it.topic)) {
            kept.entry(*partition).or_insert(place);
        }
    }
    kept
}

struct Board<'a> {
    topics: &'a Topics<'a>,
    members: &'a [Subscriber<'a>],
    /// Of how many partitions each member's share is.
    loads: Vec<usize>,
}

impl Board<'_> {
    fn keep(&mut self, class: &mut Class, kept: &FxHashMap<TopicPartition, usize>) {
        for topic in class.topics.clone() {
            for number in 0..self.topics[&topic].len() {
                let partition = TopicPartition { topic, partition: index(number) };
                let nth = kept.get(&partition).and_then(|place| class.places.binary_search(place).ok());
                match nth {
                    Some(nth) => self.give(class, nth, partition),
                    None => class.free.push(partition),
                }
            }
        }
    }

    /// What is free goes to members that have a replica in their rack, as long as they have less than `load_max`.
    fn fill_near(&mut self, class: &mut Class, load_max: usize) {
        let mut by_rack = BTreeMap::<&str, BTreeSet<(usize, usize)>>::new();
        for (nth, place) in class.places.iter().enumerate() {
            if let Some(rack) = self.members[*place].rack {
                by_rack.entry(rack).or_default().insert((self.loads[*place], nth));
            }
        }
        for partition in std::mem::take(&mut class.free) {
            let racks = self.racks(partition).iter().filter_map(|rack| Some((*rack, by_rack.get(rack)?)));
            let least = racks.filter_map(|(rack, members)| Some((*members.first()?, rack))).min();
            match least.filter(|((load, _), _)| *load < load_max) {
                Some(((load, nth), rack)) => {
                    let members = by_rack.get_mut(rack).expect("found there");
                    members.remove(&(load, nth));
                    members.insert((load + 1, nth));
                    self.give(class, nth, partition);
                }
                None => class.free.push(partition),
            }
        }
    }

    fn fill(&mut self, class: &mut Class) {
        let mut by_load = self.by_load(class, |_| true);
        for partition in std::mem::take(&mut class.free) {
            let (load, nth) = by_load.pop_first().expect("somebody wants the topics of a class");
            by_load.insert((load + 1, nth));
            self.give(class, nth, partition);
        }
    }

    /// Whether anything has moved.
    fn level(&mut self, class: &mut Class) -> bool {
        let mut takers = self.by_load(class, |_| true);
        let mut givers = self.by_load(class, |nth| !class.shares[nth].is_empty());
        let mut has_moved = false;
        while let (Some(taker), Some(giver)) = (takers.first().copied(), givers.last().copied()) {
            if giver.0 <= taker.0 + 1 {
                break;
            }
            let partition = self.most_movable(class, giver.1, taker.1);
            class.shares[giver.1].remove(&partition);
            self.loads[class.places[giver.1]] -= 1;
            self.give(class, taker.1, partition);
            for (load, nth) in [giver, taker] {
                takers.remove(&(load, nth));
                givers.remove(&(load, nth));
                let load = self.loads[class.places[nth]];
                takers.insert((load, nth));
                if !class.shares[nth].is_empty() {
                    givers.insert((load, nth));
                }
            }
            has_moved = true;
        }
        has_moved
    }

    /// Rather one that comes closer to its reader than one that goes away from it, and rather one that nobody reads yet.
    fn most_movable(&self, class: &Class, giver: usize, taker: usize) -> TopicPartition {
        let (giver_place, taker_place) = (class.places[giver], class.places[taker]);
        let cost = |partition: &&TopicPartition| {
            let is_near = |place: usize| {
                self.members[place].rack.is_some_and(|rack| self.racks(**partition).contains(rack))
            };
            let nearness = i8::from(is_near(giver_place)) - i8::from(is_near(taker_place));
            (nearness, self.members[giver_place].has.contains(*partition))
        };
        *class.shares[giver].iter().min_by_key(cost).expect("only who has something gives")
    }

    fn give(&mut self, class: &mut Class, nth: usize, partition: TopicPartition) {
        class.shares[nth].insert(partition);
        self.loads[class.places[nth]] += 1;
    }

    fn by_load(&self, class: &Class, is_one: impl Fn(usize) -> bool) -> BTreeSet<(usize, usize)> {
        let all = class.places.iter().enumerate().filter(|(nth, _)| is_one(*nth));
        all.map(|(nth, place)| (self.loads[*place], nth)).collect()
    }

    fn racks(&self, partition: TopicPartition) -> &BTreeSet<&str> {
        &self.topics[&partition.topic][partition.partition.0 as usize]
    }
}
