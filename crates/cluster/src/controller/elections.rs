//! Who leads when brokers come and go, and who else could.
//!
//! Everybody in the in-sync set (ISR) has all committed records. Those who leave it while fewer than `min.insync.replicas` stay still have them all, because
//! from then on nothing more is committed: they are eligible (ELR, KIP-966). Only one of these two sets leads, so that nothing is lost by an election.
//!
//! - A broker that goes leaves the in-sync sets; of what it led, the first of the replicas that is in sync and takes part becomes leader, or else the first that
//!   is eligible. Where nobody is, the partition has no leader until one of the two sets comes back.
//! - A process that comes back after a crash keeps its places where it can have lost nothing (docs/decisions/0006), and is out of both sets where it can.
//! - Where both sets are empty, for all who were in them have crashed and may have lost records, the last leader leads again when it is back: nobody has more.
//!   The partition is recovering then, until everybody follows: replicas cut back even what they know to be committed.
//! - Where records may be lost, as an operator has said it of the topic (`unclean.leader.election.enable`) or asks for it now, somebody leads who takes part,
//!   whatever it has. Nobody is eligible any more then: what they have that this one lacks is cut back. The partition is recovering as well.
//! - A broker whose disk is nearly full takes no records. It says so while that lasts, and others lead who are in sync; it stays in sync as long as it can follow.
//! - A replica whose log cannot be used, as its data directory has failed or the log is damaged, is out of both sets and leads nothing, until another process of
//!   its broker comes. Whatever that one finds, it is taken in only once it has caught up.
//! - A replica of which the next process of its broker finds nothing has nothing any more, and does not count as one that ever had. The broker says
//!   so before it takes part. Where nobody else has all records either, an operator decides; where nobody has any, it begins anew (`emptiness.rs`).
//! - A replica that is taken away deletes what it has, perhaps long after that. So whoever leads goes on in a new epoch, in which nobody follows who has not heard of it:
//!   if the replica is given back meanwhile, it counts again only with what it has afterwards.
//!
//! Looks at all partitions on each such change: some tens of nanoseconds each, on a rare occasion.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerId, LeaderEpoch, PartitionEpoch, TopicPartition};

use crate::config::{Layers, TopicConfig};
use crate::image::{Image, Partition, Topic};
use crate::record::{BrokerState, ConfigResource, PartitionChange, Record};

/// The rules, for one state of the cluster.
pub(super) struct Elections<'a> {
    image: &'a Image,
    /// Of topics that have no value of their own, where brokers have one.
    min_isr: Option<u32>,
    /// The same: whether somebody may lead who lacks records.
    may_lack: bool,
    /// Brokers whose disks are nearly full.
    full: BTreeSet<BrokerId>,
}

impl<'a> Elections<'a> {
    pub(super) fn new(image: &'a Image, given: &BTreeMap<String, String>, full: BTreeSet<BrokerId>) -> Self {
        let cluster = image.configs(ConfigResource::BrokerDefault).map(|it| &**it);
        let layers = Layers { broker: None, cluster, given };
        let min_isr = layers.topic_default(MIN_ISR).and_then(|it| it.trim().parse().ok());
        let may_lack = layers.topic_default(UNCLEAN).is_some_and(|it| is_true(&it));
        Self { image, min_isr, may_lack, full }
    }

    /// What makes these brokers fenced. Their state comes last: if a controller fails half-way, the next one finds brokers that take part and are silent.
    pub(super) fn fence(&self, ids: &BTreeSet<BrokerId>) -> Vec<Record> {
        let mut records = self.leave(ids);
        let brokers = ids.iter().filter_map(|id| self.image.broker(*id));
        let taking_part = brokers.filter(|it| it.state != BrokerState::Fenced);
        records.extend(taking_part.map(|it| Record::BrokerState {
            id: it.id,
            epoch: it.epoch,
            state: BrokerState::Fenced,
        }));
        records
    }

    /// What takes leadership and in-sync membership from these brokers.
    pub(super) fn leave(&self, ids: &BTreeSet<BrokerId>) -> Vec<Record> {
        self.change_all(|_, before| {
            if !before.isr.iter().any(|id| ids.contains(id)) {
                return None;
            }
            // Those who only go still have everything: before they are back, nobody leads who may lack records.
            let elr = before.isr.iter().filter(|id| ids.contains(id)).chain(&before.elr).copied().collect();
            let after = Partition { isr: without(&before.isr, ids), elr, ..before.clone() };
            Some((after, Gone { out: ids.clone(), ..Gone::default() }))
        })
    }

    /// What it makes of a broker that its process has ended and another one comes. Of the topics where it is `trusted` it has all that it ever said it has:
    /// it keeps its places, and leads nothing until it takes part.
    pub(super) fn restart(&self, id: BrokerId, trusted: impl Fn(&Topic) -> bool) -> Vec<Record> {
        let only = BTreeSet::from([id]);
        self.change_all(|topic, before| {
            if ![&before.isr, &before.elr, &before.offline].iter().any(|it| it.contains(&id)) {
                return None;
            }
            // What its new process cannot use either, that one will tell.
            let mut after = Partition { offline: without(&before.offline, &only), ..before.clone() };
            let mut gone = Gone { out: only.clone(), ..Gone::default() };
            if trusted(topic) {
                after.leader = before.leader.filter(|leader| *leader != id);
            } else {
                (after.isr, after.elr) = (without(&before.isr, &only), without(&before.elr, &only));
                gone.lost = Some(id);
            }
            Some((after, gone))
        })
    }

    /// What this broker had is gone, and who registers under its number is another one.
    pub(super) fn forget(&self, id: BrokerId) -> Vec<Record> {
        let only = BTreeSet::from([id]);
        self.change_all(|_, before| {
            let known = before.isr.iter().chain(&before.elr).chain(&before.last_known_elr);
            if known.chain(&before.offline).all(|it| *it != id) {
                return None;
            }
            let after = Partition {
                isr: without(&before.isr, &only),
                elr: without(&before.elr, &only),
                last_known_elr: without(&before.last_known_elr, &only),
                offline: without(&before.offline, &only),
                ..before.clone()
            };
            Some((after, Gone { out: only.clone(), lost: Some(id), is_forgotten: true }))
        })
    }

    /// What it makes of a replica that its log cannot be used any more: nobody knows what of it will be there when it can again. `None`: that is known.
    pub(super) fn go_offline(
        &self,
        id: BrokerId,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
    ) -> Option<Record> {
        if !before.replicas.contains(&id) || before.offline.contains(&id) {
            return None;
        }
        let only = BTreeSet::from([id]);
        let after = Partition {
            isr: without(&before.isr, &only),
            elr: without(&before.elr, &only),
            offline: before.offline.iter().copied().chain([id]).collect(),
            ..before.clone()
        };
        self.changed(at, topic, before, after, &Gone { out: only, lost: Some(id), is_forgotten: false }).1
    }

    /// What it makes of a replica that its log is gone: it has nothing of what it ever said it has. It counts for nothing until it has caught up, unless it is the only
    /// one: nobody has more. `None`: it counts for nothing already.
    pub(super) fn lose(
        &self,
        id: BrokerId,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
    ) -> Option<Record> {
        let is_forgotten = before.replicas.iter().any(|it| *it != id);
        let only = BTreeSet::from([id]);
        let last_known_elr =
            if is_forgotten { without(&before.last_known_elr, &only) } else { before.last_known_elr.clone() };
        let (isr, elr) = (without(&before.isr, &only), without(&before.elr, &only));
        let after = Partition { isr, elr, last_known_elr, ..before.clone() };
        self.changed(at, topic, before, after, &Gone { out: only, lost: Some(id), is_forgotten }).1
    }

    /// What gives leaders to partitions that have none and could.
    pub(super) fn elect(&self) -> Vec<Record> {
        self.elect_in(self.topics())
    }

    /// The same, as if this broker took part already.
    pub(super) fn elect_with(&self, joining: BrokerId) -> Vec<Record> {
        let takes_part = |id| id == joining || is_active(self.image, id);
        self.elect_among(self.topics(), takes_part)
    }

    /// Who is eligible where `min.insync.replicas` has become another: where enough are in sync now, records are committed without the others.
    pub(super) fn settle(&self, topics: impl Iterator<Item = &'a Topic>) -> Vec<Record> {
        let uneven = places(topics).filter(|(_, _, it)| !it.elr.is_empty() || !it.last_known_elr.is_empty());
        let records = uneven.filter_map(|(topic, at, before)| {
            let led = Led { partition: before.clone(), is_unclean: false };
            self.settled(at, topic, before, led, &Gone::default()).1
        });
        records.collect()
    }

    /// What gives leaders to those partitions of some topics that have none and could.
    pub(super) fn elect_in(&self, topics: impl Iterator<Item = &'a Topic>) -> Vec<Record> {
        self.elect_among(topics, |id| is_active(self.image, id))
    }

    /// What has the preferred replica of each partition lead, where another one does and it could.
    pub(super) fn preferred_everywhere(&self) -> impl Iterator<Item = Record> + use<'_, 'a> {
        let all = places(self.topics());
        all.filter_map(|(topic, at, it)| self.prefer(at, topic, it))
    }

    /// What has the preferred replica lead. `None`: it does, or it cannot.
    pub(super) fn prefer(&self, at: TopicPartition, topic: &Topic, before: &Partition) -> Option<Record> {
        let preferred = before.replicas[0];
        if !before.isr.contains(&preferred) || !self.has_room(preferred) {
            return None;
        }
        self.change(at, topic, before, Partition { leader: Some(preferred), ..before.clone() }).1
    }

    /// What has others lead what this broker does, as its disk is full: who is in sync, takes part and has room.
    pub(super) fn hand_over(&self, id: BrokerId) -> Vec<Record> {
        let led = places(self.topics()).filter(|(_, _, it)| it.leader == Some(id));
        let handed_over = led.filter_map(|(topic, at, before)| {
            let next = before.replicas.iter().find(|it| before.isr.contains(it) && self.has_room(**it))?;
            self.change(at, topic, before, Partition { leader: Some(*next), ..before.clone() }).1
        });
        handed_over.collect()
    }

    fn has_room(&self, id: BrokerId) -> bool {
        is_active(self.image, id) && !self.full.contains(&id)
    }

    fn elect_among(
        &self,
        topics: impl Iterator<Item = &'a Topic>,
        takes_part: impl Fn(BrokerId) -> bool,
    ) -> Vec<Record> {
        let leaderless = places(topics).filter(|(_, _, partition)| partition.leader.is_none());
        leaderless
            .filter_map(|(topic, at, it)| self.elect_partition(at, topic, it, false, &takes_part))
            .collect()
    }

    /// What gives a leader to a partition that has none, one that may lack records if that is asked for or the topic allows it; `None` if nobody can lead.
    pub(super) fn elect_partition(
        &self,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
        may_lack: bool,
        takes_part: impl Fn(BrokerId) -> bool,
    ) -> Option<Record> {
        let led = self.led(before.clone(), may_lack || self.may_lack(topic), takes_part);
        led.partition.leader?;
        self.settled(at, topic, before, led, &Gone::default()).1
    }

    /// What makes a partition what it is to be, with the sets and the leader that follow from that.
    pub(super) fn change(
        &self,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
        after: Partition,
    ) -> (Partition, Option<Record>) {
        self.changed(at, topic, before, after, &Gone::default())
    }

    fn topics(&self) -> impl Iterator<Item = &'a Topic> + use<'a> {
        self.image.topics().map(|it| &**it)
    }

    fn change_all(&self, change: impl Fn(&Topic, &Partition) -> Option<(Partition, Gone)>) -> Vec<Record> {
        let mut records = Vec::new();
        for (topic, at, before) in places(self.topics()) {
            let Some((after, gone)) = change(topic, before) else { continue };
            records.extend(self.changed(at, topic, before, after, &gone).1);
        }
        records
    }

    fn changed(
        &self,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
        after: Partition,
        gone: &Gone,
    ) -> (Partition, Option<Record>) {
        let takes_part = |id| !gone.out.contains(&id) && is_active(self.image, id);
        let led = self.led(after, self.may_lack(topic), takes_part);
        self.settled(at, topic, before, led, gone)
    }

    /// A leader who is not in sync any more gives way; where nobody leads, somebody does who can. Where nobody is left who has everything, the last leader can,
    /// whatever it has; and where records may be lost, anybody. Whose disk is full leads only where nobody else in sync can.
    fn led(&self, mut it: Partition, may_lack: bool, takes_part: impl Fn(BrokerId) -> bool) -> Led {
        if it.leader.is_some_and(|leader| it.isr.contains(&leader)) {
            return Led { partition: it, is_unclean: false };
        }
        let first_of = |set: &[BrokerId]| {
            let can = |id: &BrokerId| set.contains(id) && takes_part(*id) && !it.offline.contains(id);
            it.replicas.iter().copied().find(can)
        };
        let with_room: Vec<_> = it.isr.iter().copied().filter(|id| !self.full.contains(id)).collect();
        if let Some(next) = first_of(&with_room).or_else(|| first_of(&it.isr)) {
            return Led { partition: Partition { leader: Some(next), ..it }, is_unclean: false };
        }
        if let Some(next) = first_of(&it.elr) {
            return Led {
                partition: Partition { leader: Some(next), isr: vec![next], ..it },
                is_unclean: false,
            };
        }
        let is_last_leader = it.isr.is_empty() && it.elr.is_empty() && it.last_known_elr.len() == 1;
        let known = first_of(&it.last_known_elr).filter(|_| is_last_leader || may_lack);
        // Whoever was to come by a reassignment may have nothing at all yet.
        let not_new = |id: &BrokerId| !it.adding.contains(id);
        let others: Vec<_> = it.replicas.iter().copied().filter(not_new).collect();
        let any = || first_of(&others).or_else(|| first_of(&it.replicas)).filter(|_| may_lack);
        it.leader = known.or_else(any);
        let Some(next) = it.leader else { return Led { partition: it, is_unclean: false } };
        it.isr = vec![next];
        it.recovering = true;
        Led { partition: it, is_unclean: true }
    }

    /// What a partition is with its leader, and what makes it so.
    fn settled(
        &self,
        at: TopicPartition,
        topic: &Topic,
        before: &Partition,
        led: Led,
        gone: &Gone,
    ) -> (Partition, Option<Record>) {
        let Led { partition: mut after, is_unclean } = led;
        after.offline.retain(|id| after.replicas.contains(id));
        if after.isr.len() == after.replicas.len() {
            after.recovering = false;
        }
        if is_unclean || self.min_isr(topic, &after) <= self.sure_count(&after, gone) {
            (after.elr, after.last_known_elr) = (Vec::new(), Vec::new());
        } else {
            after = with_eligible(before, after, gone);
        }
        let record = difference(at, before, after.clone(), is_unclean);
        (after, record)
    }

    /// How many are in sync for certain. Where nobody leads, a broker that does not take part yet may turn out to have nothing, and those who went must not be
    /// forgotten for it.
    fn sure_count(&self, it: &Partition, gone: &Gone) -> usize {
        let is_sure = |id: &&BrokerId| !gone.out.contains(id) && is_active(self.image, **id);
        if it.leader.is_some() { it.isr.len() } else { it.isr.iter().filter(is_sure).count() }
    }

    /// Whether somebody may lead the topic's partitions who lacks records, where nobody else can.
    fn may_lack(&self, topic: &Topic) -> bool {
        topic.configs.get(UNCLEAN).map_or(self.may_lack, |it| is_true(it))
    }

    /// How many must be in sync before anything is committed.
    fn min_isr(&self, topic: &Topic, partition: &Partition) -> usize {
        let own = topic.configs.get(MIN_ISR).and_then(|it| it.trim().parse().ok());
        let set = own.or(self.min_isr);
        TopicConfig { min_insync_replicas: set, ..TopicConfig::default() }
            .min_insync_replicas(partition.replica_count())
    }
}

/// Who is eligible and who was, once the in-sync set is what it is to be, and too small to commit anything.
fn with_eligible(before: &Partition, mut after: Partition, gone: &Gone) -> Partition {
    let had_all = |id: &BrokerId| before.isr.contains(id) || before.elr.contains(id);
    let has_all = |id: &BrokerId| had_all(id) && gone.lost != Some(*id) && !after.isr.contains(id);
    let elr: Vec<_> = after.replicas.iter().copied().filter(has_all).collect();
    let known = |id: &BrokerId| after.last_known_elr.contains(id) || had_all(id);
    let is_out = |id: &BrokerId| !after.isr.contains(id) && !elr.contains(id);
    let is_forgotten = |id: &BrokerId| gone.is_forgotten && gone.lost == Some(*id);
    // Whoever was the last that had everything counts as the last leader where nobody led, as after a stop: else nobody could ever lead again.
    let last_that_had_all = gone.lost.filter(|id| elr.is_empty() && had_all(id) && !is_forgotten(id));
    let last_leader = before.leader.or(last_that_had_all);
    after.last_known_elr = match last_leader {
        Some(last) if after.isr.is_empty() && after.replicas.contains(&last) => vec![last],
        // It stays known who led last.
        _ if after.isr.is_empty() => after.last_known_elr,
        _ => after.replicas.iter().copied().filter(|id| known(id) && is_out(id)).collect(),
    };
    after.last_known_elr.retain(|id| after.replicas.contains(id) && !is_forgotten(id));
    after.elr = elr;
    after
}

/// Whom a change is about.
#[derive(Default)]
struct Gone {
    /// Those who do not take part.
    out: BTreeSet<BrokerId>,
    /// It may lack what it had.
    lost: Option<BrokerId>,
    /// And nobody will ask it any more.
    is_forgotten: bool,
}

/// Keys of topics, and of brokers that topics have their defaults from.
pub(super) const MIN_ISR: &str = "min.insync.replicas";
pub(super) const UNCLEAN: &str = "unclean.leader.election.enable";

/// Of a key that takes nothing else than true and false.
fn is_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

/// A partition with its leader, if anybody can lead.
struct Led {
    partition: Partition,
    /// It was elected now, and may lack committed records.
    is_unclean: bool,
}

pub(super) fn is_active(image: &Image, id: BrokerId) -> bool {
    image.broker(id).is_some_and(|it| it.is_active())
}

fn places<'a>(
    topics: impl Iterator<Item = &'a Topic>,
) -> impl Iterator<Item = (&'a Topic, TopicPartition, &'a Partition)> {
    topics.flat_map(|topic| {
        let at = |index| TopicPartition { topic: topic.id, partition: klamm_model::PartitionIndex(index) };
        (0..).map(at).zip(&topic.partitions).map(move |(at, it)| (topic, at, &**it))
    })
}

/// What makes one state of a partition out of another.
fn difference(at: TopicPartition, before: &Partition, after: Partition, is_unclean: bool) -> Option<Record> {
    let changed = |old: &[BrokerId], new: Vec<BrokerId>| (old != new).then_some(new);
    // As with Kafka.
    let is_out = before.replicas.iter().any(|id| !after.replicas.contains(id));
    let is_led_anew = before.leader != after.leader || is_out && after.leader.is_some();
    let leader = is_led_anew.then_some(after.leader);
    let change = PartitionChange {
        partition: at,
        partition_epoch: PartitionEpoch(before.partition_epoch.0 + 1),
        leader,
        leader_epoch: leader.map(|_| LeaderEpoch(before.leader_epoch.0 + 1)),
        isr: changed(&before.isr, after.isr),
        replicas: changed(&before.replicas, after.replicas),
        adding: changed(&before.adding, after.adding),
        removing: changed(&before.removing, after.removing),
        elr: changed(&before.elr, after.elr),
        last_known_elr: changed(&before.last_known_elr, after.last_known_elr),
        // Said again for each leader that may lack records: they are counted.
        recovering: (before.recovering != after.recovering || is_unclean && after.recovering)
            .then_some(after.recovering),
        offline: changed(&before.offline, after.offline),
        wanted_replicas: (before.wanted_replicas != after.wanted_replicas).then_some(after.wanted_replicas),
    };
    let nothing = PartitionChange::nothing(at, change.partition_epoch);
    (change != nothing).then_some(Record::PartitionChange(change))
}

fn without(brokers: &[BrokerId], others: &BTreeSet<BrokerId>) -> Vec<BrokerId> {
    brokers.iter().copied().filter(|id| !others.contains(id)).collect()
}
