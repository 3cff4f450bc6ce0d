//! What holds of shares, whoever wants whatever.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{TopicId, TopicPartition};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// A group: topics by their number of partitions, and members by the topics they want.
#[derive(Clone, Debug)]
struct Case {
    sizes: Vec<usize>,
    wants: Vec<Vec<bool>>,
}

fn cases() -> impl Strategy<Value = Case> {
    (prop::collection::vec(1_usize..12, 1..5), 1_usize..8).prop_flat_map(|(sizes, members)| {
        let wants = prop::collection::vec(any::<bool>(), sizes.len());
        prop::collection::vec(wants, members).prop_map(move |wants| Case { sizes: sizes.clone(), wants })
    })
}

fn topic(number: usize) -> TopicId {
    TopicId(Uuid::from_u128(number as u128 + 1))
}

type Shares = BTreeMap<String, Partitions>;

struct Members {
    wants: BTreeMap<String, BTreeSet<TopicId>>,
    racks: BTreeMap<String, &'static str>,
}

impl Members {
    fn of(case: &Case) -> Self {
        let wants = case.wants.iter().enumerate().map(|(member, wants)| {
            let topics = wants.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(it, _)| topic(it));
            (format!("m{member}"), topics.collect())
        });
        Self { wants: wants.collect(), racks: BTreeMap::new() }
    }

    fn all_of(count: usize, topics: usize) -> Self {
        Self::of(&Case { sizes: Vec::new(), wants: vec![vec![true; topics]; count] })
    }

    fn assign(&self, assignor: Assignor, topics: &Topics<'_>, before: &Shares) -> Shares {
        let nothing = Partitions::new();
        let members = self.wants.iter().map(|(name, topics)| Subscriber {
            name,
            rack: self.racks.get(name).copied(),
            topics,
            has: before.get(name).unwrap_or(&nothing),
        });
        let shares = assignor.assign(topics, &members.collect::<Vec<_>>());
        assert_eq!(shares.len(), self.wants.len());
        self.wants.keys().cloned().zip(shares).collect()
    }
}

fn topics(sizes: &[usize]) -> Topics<'static> {
    sizes.iter().enumerate().map(|(it, size)| (topic(it), vec![BTreeSet::new(); *size])).collect()
}

/// Every partition exactly once, at somebody who wants it, unless nobody does.
fn check_whole(topics: &Topics<'_>, members: &Members, shares: &Shares) {
    let mut seen = Partitions::new();
    for (name, share) in shares {
        for partition in share {
            assert!(members.wants[name].contains(&partition.topic), "{name} does not want {partition}");
            assert!(seen.insert(*partition), "{partition} is given twice");
        }
    }
    let is_wanted = |topic: &TopicId| members.wants.values().any(|it| it.contains(topic));
    let wanted: usize = topics.iter().filter(|(topic, _)| is_wanted(topic)).map(|(_, it)| it.len()).sum();
    assert_eq!(seen.len(), wanted, "some are given to nobody");
}

/// No move makes two shares more even.
fn check_even(members: &Members, shares: &Shares) {
    for (giver, share) in shares {
        for taker in shares.keys() {
            let can_take = share.iter().any(|it| members.wants[taker].contains(&it.topic));
            let is_uneven = shares[taker].len() + 1 < share.len();
            assert!(!can_take || !is_uneven, "{taker} should have something of {giver}: {shares:?}");
        }
    }
}

fn moved(before: &Shares, after: &Shares) -> usize {
    let gone = |(name, share): (&String, &Partitions)| match after.get(name) {
        Some(now) => share.difference(now).count(),
        None => 0,
    };
    before.iter().map(gone).sum()
}

proptest! {
    #[test]
    fn every_partition_has_one_owner_and_shares_are_even(before in cases(), after in cases()) {
        for assignor in Assignor::ALL {
            let first = {
                let (topics, members) = (topics(&before.sizes), Members::of(&before));
                members.assign(assignor, &topics, &Shares::new())
            };
            let (topics, members) = (topics(&after.sizes), Members::of(&after));
            let second = members.assign(assignor, &topics, &first);
            check_whole(&topics, &members, &second);
            if assignor == Assignor::Uniform {
                check_even(&members, &second);
                prop_assert_eq!(&members.assign(assignor, &topics, &second), &second, "it comes to rest");
            }
        }
    }

    #[test]
    fn who_comes_takes_only_its_share_and_who_goes_leaves_only_its_share(
        sizes in prop::collection::vec(1_usize..20, 1..4),
        count in 1_usize..10,
        goes in any::<prop::sample::Index>(),
    ) {
        let topics = topics(&sizes);
        let total: usize = sizes.iter().sum();
        let fewer = Members::all_of(count, sizes.len());
        let mut before = Shares::new();
        for members in 1..=count {
            before = Members::all_of(members, sizes.len()).assign(Assignor::Uniform, &topics, &before);
        }

        let more = Members::all_of(count + 1, sizes.len());
        let after = more.assign(Assignor::Uniform, &topics, &before);
        let taken = after[&format!("m{count}")].len();
        prop_assert_eq!(moved(&before, &after), taken);
        prop_assert!(taken <= total.div_ceil(count + 1));

        let mut rest = fewer;
        let gone = format!("m{}", goes.index(count));
        rest.wants.remove(&gone);
        let after = rest.assign(Assignor::Uniform, &topics, &before);
        prop_assert_eq!(moved(&before, &after), 0);
    }

    #[test]
    fn a_range_is_a_run_and_equal_topics_are_cut_alike(size in 1_usize..30, count in 1_usize..8) {
        let topics = topics(&[size, size]);
        let shares = Members::all_of(count, 2).assign(Assignor::Range, &topics, &Shares::new());
        let numbers = |share: &Partitions, number| -> Vec<i32> {
            share.iter().filter(|it| it.topic == topic(number)).map(|it| it.partition.0).collect()
        };
        let mut all = Vec::new();
        for share in shares.values() {
            prop_assert_eq!(numbers(share, 0), numbers(share, 1));
            prop_assert!(numbers(share, 0).len().abs_diff(size / count) <= 1);
            all.extend(numbers(share, 0));
        }
        prop_assert_eq!(all, (0..i32::try_from(size).expect("small")).collect::<Vec<_>>());
    }
}

/// Six partitions, each with one replica in each of two racks of three, and a member in every rack.
#[test]
fn partitions_go_to_readers_that_are_near() {
    let racks = ["x", "y", "z"];
    let near = |number: usize| BTreeSet::from([racks[number % 3], racks[(number + 1) % 3]]);
    let topics = Topics::from([(topic(0), (0..6).map(near).collect())]);
    let mut members = Members::all_of(1, 1);
    members.racks.insert("m0".to_owned(), racks[0]);
    let mut shares = members.assign(Assignor::Uniform, &topics, &Shares::new());
    for (member, rack) in racks.iter().enumerate().skip(1) {
        members.wants.insert(format!("m{member}"), BTreeSet::from([topic(0)]));
        members.racks.insert(format!("m{member}"), rack);
        shares = members.assign(Assignor::Uniform, &topics, &shares);
    }
    check_even(&members, &shares);
    for at_once in [shares, members.assign(Assignor::Uniform, &topics, &Shares::new())] {
        for (name, share) in &at_once {
            let is_near = |it: &TopicPartition| {
                topics[&it.topic][it.partition.0 as usize].contains(members.racks[name])
            };
            assert_eq!(share.iter().filter(|it| !is_near(it)).count(), 0, "{name} is far from {share:?}");
        }
    }
}
