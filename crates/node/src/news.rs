//! What the log tells of the cluster at the level that is on by default: brokers that come and go, partitions with other leaders, and that nobody decides.
//!
//! An operator reads it first when something is wrong, so it must not be full of what is not: every line is about a change, and however many partitions have another leader,
//! that is one line a second at most, with their number.

use std::collections::BTreeMap;

use klamm_cluster::{
    Image,
    record::{BrokerState, PartitionChange, Record},
};
use klamm_model::{BrokerEpoch, BrokerId, Tick, TopicPartition};

/// Without a leader of the metadata for so long a node says so. An election takes less: that the last leader is silent was known before.
const LEADERLESS_MS: u64 = 3_000;
/// Elections are counted for so long before they are told: those of one cause come in several entries.
const COUNTED_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Since when no leader of the metadata is heard of; `None` as long as one is, and before this node has heard of the first.
    leaderless: Option<Leaderless>,
    /// Who led before, of partitions whose leader has changed since it was told last. Many have the same again: those of a broker that was started anew, for one.
    led: BTreeMap<TopicPartition, Option<BrokerId>>,
    /// When that is looked at.
    elections_due: Option<Tick>,
    brokers: BTreeMap<BrokerId, (BrokerEpoch, BrokerState)>,
}

#[derive(Clone, Copy, Debug)]
struct Leaderless {
    since: Tick,
    is_told: bool,
}

/// Something is to be said of who decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decider {
    /// No leader of the metadata has been heard of for a while.
    Lost,
    /// One is there, after so long.
    Back {
        /// For which there was none.
        after_ms: u64,
    },
}

/// A partition, and who leads it.
pub(crate) type Led = (TopicPartition, Option<BrokerId>);

/// How many partitions have another leader than before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Elections {
    /// They have another one, or one again.
    pub(crate) elected: usize,
    /// They have none any more.
    pub(crate) lost: usize,
}

/// What has become of a broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// A process of it has registered, and is fenced until it shows that it has the metadata.
    Registered,
    /// It was not heard of for too long, or has left.
    Fenced,
    /// It may lead and be in sync.
    InService,
    /// It was asked to stop.
    Stopping,
    /// It is unregistered.
    Gone,
}

/// Who leads partitions before these records are applied to `image`, of those whose leader they change.
pub(crate) fn leaders_before(image: &Image, records: &[Record]) -> Vec<Led> {
    let changed = records.iter().filter_map(|record| match record {
        Record::PartitionChange(PartitionChange { partition, leader: Some(_), .. }) => Some(*partition),
        _ => None,
    });
    changed.filter_map(|key| Some((key, image.partition(key)?.leader))).collect()
}

impl News {
    /// Looks whether a leader of the metadata is heard of. It is looked at with everything that happens.
    pub(crate) fn look(&mut self, now: Tick, hears_leader: bool) -> Option<Decider> {
        if hears_leader {
            let Leaderless { since, is_told } = self.leaderless.take()?;
            return is_told.then(|| Decider::Back { after_ms: now.ms_since(since) });
        }
        let it = self.leaderless.get_or_insert(Leaderless { since: now, is_told: false });
        let is_due = !it.is_told && it.since.after_ms(LEADERLESS_MS) <= now;
        it.is_told |= is_due;
        is_due.then_some(Decider::Lost)
    }

    /// Partitions have, or may have, other leaders than these.
    pub(crate) fn led(&mut self, now: Tick, before: impl IntoIterator<Item = Led>) {
        for (key, leader) in before {
            self.led.entry(key).or_insert(leader);
            self.elections_due.get_or_insert(now.after_ms(COUNTED_MS));
        }
    }

    /// What has become of their leaders, if it is time to tell.
    pub(crate) fn take_elections(&mut self, now: Tick, image: &Image) -> Option<Elections> {
        self.elections_due.take_if(|at| *at <= now)?;
        let mut counted = Elections::default();
        for (key, before) in std::mem::take(&mut self.led) {
            if let Some(after) = image.partition(key).map(|it| it.leader).filter(|it| *it != before) {
                counted.elected += usize::from(after.is_some());
                counted.lost += usize::from(after.is_none());
            }
        }
        Some(counted)
    }

    /// From now on nothing is to be told of leaders: the process stops.
    pub(crate) fn end(&mut self) {
        self.leaderless = None;
        self.led.clear();
        self.elections_due = None;
    }

    /// The brokers as they are when this node begins to tell.
    pub(crate) fn begin(&mut self, image: &Image) {
        self.brokers = image.brokers().map(|it| (it.id, (it.epoch, it.state))).collect();
    }

    /// What has become of a broker that is now so in the metadata; `None` where it is as it was.
    pub(crate) fn fate(&mut self, id: BrokerId, is_now: Option<(BrokerEpoch, BrokerState)>) -> Option<Fate> {
        let Some((epoch, state)) = is_now else { return self.brokers.remove(&id).map(|_| Fate::Gone) };
        let before = self.brokers.insert(id, (epoch, state));
        (before != is_now).then(|| match state {
            BrokerState::Fenced if before.is_some_and(|it| it.0 == epoch) => Fate::Fenced,
            BrokerState::Fenced => Fate::Registered,
            BrokerState::Active => Fate::InService,
            BrokerState::Draining => Fate::Stopping,
        })
    }

    pub(crate) fn next_wake(&self) -> Option<Tick> {
        let leaderless = self.leaderless.filter(|it| !it.is_told).map(|it| it.since.after_ms(LEADERLESS_MS));
        leaderless.into_iter().chain(self.elections_due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said while a leader is heard of in these spans, in ms, looked at every 100 ms.
    fn said(until: u64, heard: &[(u64, u64)]) -> Vec<(u64, Decider)> {
        let mut news = News::default();
        let start = Tick(7);
        let looked = (0..until).step_by(100).filter_map(|ms| {
            let hears = heard.iter().any(|(from, end)| (*from..*end).contains(&ms));
            Some((ms, news.look(start.after_ms(ms), hears)?))
        });
        looked.collect()
    }

    #[test]
    fn a_leader_that_is_lost_is_told_of_once_and_once_when_there_is_one_again() {
        let told = [(8_000, Decider::Lost), (60_000, Decider::Back { after_ms: 55_000 })];
        assert_eq!(said(90_000, &[(0, 5_000), (60_000, 90_000)]), told);
        let elected = said(90_000, &[(0, 5_000), (7_900, 90_000)]);
        assert!(elected.is_empty(), "an election is nothing to tell of: {elected:?}");
        assert_eq!(said(10_000, &[]), [(3_000, Decider::Lost)]);
    }

    #[test]
    fn a_broker_that_registers_is_not_said_to_be_fenced() {
        use BrokerState::{Active, Draining, Fenced};
        let mut news = News::default();
        let mut becomes = |epoch, state| news.fate(BrokerId(2), Some((BrokerEpoch(epoch), state)));
        assert_eq!(becomes(1, Fenced), Some(Fate::Registered));
        assert_eq!(becomes(1, Active), Some(Fate::InService));
        assert_eq!(becomes(1, Active), None);
        assert_eq!(becomes(1, Fenced), Some(Fate::Fenced));
        assert_eq!(becomes(2, Fenced), Some(Fate::Registered));
        assert_eq!(becomes(2, Draining), Some(Fate::Stopping));
        assert_eq!(news.fate(BrokerId(2), None), Some(Fate::Gone));
        assert_eq!(news.fate(BrokerId(2), None), None);
    }
}
