//! One for each in turn.

use super::{Share, Subscriber, Topics, name};

pub(super) fn assign(topics: &Topics, members: &[&Subscriber]) -> Vec<Share> {
    let mut shares = vec![Share::new(); members.len()];
    let mut turn = 0;
    for (topic, partitions) in &topics.0 {
        if !members.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for partition in 0..partitions.len() {
            // Whoever does not want the topic misses its turn.
            while !members[turn].topics.contains(topic) {
                turn = (turn + 1) % members.len();
            }
            shares[turn].insert(name(topic, partition));
            turn = (turn + 1) % members.len();
        }
    }
    shares
}
