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

/// Without a leader of the metadata for so long a node says so. An election takes a second at most.
const LEADERLESS_MS: u64 = 3_000;
/// Elections are counted for so long before they are told: those of one cause come in several entries.
const COUNTED_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Since when no leader of the metadata is heard of; `None` as long as one is, and before this node has heard of the first.
    leaderless: Option<Leaderless>,
    elections: Elections,
    /// When those are told.
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

/// How many partitions other replicas lead.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Elections {
    /// They have another leader, or one again.
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

impl Elections {
    /// What these records, which are about to be applied to `image`, make of leaders.
    pub(crate) fn of_records(image: &Image, records: &[Record]) -> Self {
        let mut counted = Self::default();
        for record in records {
            if let Record::PartitionChange(PartitionChange { partition, leader: Some(leader), .. }) = record
                && let Some(before) = image.partition(*partition)
            {
                counted.count(before.leader, *leader);
            }
        }
        counted
    }

    /// The same of partitions that are other than they were in the image `before`.
    pub(crate) fn between<'a>(
        before: &Image,
        after: &Image,
        changed: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Self {
        let mut counted = Self::default();
        for key in changed {
            if let (Some(before), Some(after)) = (before.partition(*key), after.partition(*key)) {
                counted.count(before.leader, after.leader);
            }
        }
        counted
    }

    fn count(&mut self, before: Option<BrokerId>, after: Option<BrokerId>) {
        if before != after {
            self.elected += usize::from(after.is_some());
            self.lost += usize::from(after.is_none());
        }
    }
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

    /// Partitions have other leaders.
    pub(crate) fn count(&mut self, now: Tick, counted: Elections) {
        if counted != Elections::default() {
            self.elections.elected += counted.elected;
            self.elections.lost += counted.lost;
            self.elections_due.get_or_insert(now.after_ms(COUNTED_MS));
        }
    }

    /// What was counted, if it is time to tell.
    pub(crate) fn take_elections(&mut self, now: Tick) -> Option<Elections> {
        self.elections_due.take_if(|at| *at <= now)?;
        Some(std::mem::take(&mut self.elections))
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
    fn elections_are_counted_for_a_second_and_told_in_one_line() {
        let mut news = News::default();
        let start = Tick(7);
        let at = |ms| start.after_ms(ms);
        news.count(at(0), Elections::default());
        assert_eq!(news.next_wake(), None, "nobody is woken for nothing");
        for ms in 0..500 {
            news.count(at(ms), Elections { elected: 6, lost: usize::from(ms == 3) });
        }
        assert_eq!((news.take_elections(at(999)), news.next_wake()), (None, Some(at(1_000))));
        assert_eq!(news.take_elections(at(1_000)), Some(Elections { elected: 3_000, lost: 1 }));
        assert_eq!((news.take_elections(at(5_000)), news.next_wake()), (None, None));
        news.count(at(6_000), Elections { elected: 1, lost: 0 });
        assert_eq!(news.take_elections(at(7_000)), Some(Elections { elected: 1, lost: 0 }));
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
