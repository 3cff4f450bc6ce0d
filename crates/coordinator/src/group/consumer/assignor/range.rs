//! Runs of neighbours.

use klamm_model::TopicPartition;

use super::{Partitions, Subscriber, Topics, index, subscribers};

pub(super) fn assign(topics: &Topics<'_>, members: &[Subscriber<'_>]) -> Vec<Partitions> {
    let mut shares = vec![Partitions::new(); members.len()];
    for (topic, mut places) in subscribers(topics, members) {
        places.sort_by_key(|place| members[*place].name);
        let count = topics[&topic].len();
        let (size, longer_count) = (count / places.len(), count % places.len());
        let mut next = 0;
        for (nth, place) in places.into_iter().enumerate() {
            let end = next + size + usize::from(nth < longer_count);
            shares[place]
                .extend((next..end).map(|number| TopicPartition { topic, partition: index(number) }));
            next = end;
        }
    }
    shares
}
