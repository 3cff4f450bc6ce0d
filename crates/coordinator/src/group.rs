//! Groups and their offsets: the shard of one partition of `__consumer_offsets`.
//!
//! A group is two things that know little of one another: offsets, which anybody may use, and members, who share work by a protocol, one at a time: the classic one,
//! in which a member distributes the work, or the consumer protocol (KIP-848), in which the coordinator does. A group without members changes its protocol when the
//! first member of the other comes; one with members moves with them (`migration`).

mod classic;
mod commit;
mod config;
mod consumer;
mod decide;
mod embedded;
mod error;
mod expiry;
mod migration;
mod offsets;
mod pending;
mod protocol;
mod request;
#[cfg(test)]
mod tests;
mod timers;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use klamm_cluster::Image;
use klamm_model::{Now, Offset, PartitionIndex, Producer, ProducerId, Tick, TopicId};

pub use config::{GroupConfig, MigrationPolicy};
pub use consumer::Assignor;
pub use error::GroupError;
pub use request::*;
pub use turn::RebalanceCause;

use classic::Classic;
use offsets::Offsets;
use protocol::Protocol;
use timers::Timer;
use turn::{Shared, Turn};

use crate::record::GroupRecord;
use crate::{Effects, Entry, RequestId};

/// The longest name of a group, of a static member or of a protocol.
const NAME_SIZE_MAX: usize = 1_024;

/// All groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Groups {
    config: GroupConfig,
    groups: BTreeMap<Arc<str>, Group>,
    /// Groups that get offsets when the producer's transaction is committed.
    transactions: BTreeMap<ProducerId, BTreeSet<Arc<str>>>,
    shared: Shared,
    /// When it began to serve.
    started: Option<Now>,
    /// The group before which all were looked at, while it is looked for unused offsets.
    expired_to: Option<Arc<str>>,
    keeps_gone: bool,
}

/// An offset that a group has committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed<'a> {
    /// Which group.
    pub group: &'a Arc<str>,
    /// In which topic.
    pub topic: &'a str,
    /// In which of its partitions.
    pub partition: PartitionIndex,
    /// What it reads next.
    pub offset: Offset,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    protocol: Protocol,
    offsets: Offsets,
}

impl Group {
    fn new(name: Arc<str>) -> Self {
        let protocol = Protocol::Classic(Classic::new(name.clone()));
        Self { name, protocol, offsets: Offsets::default() }
    }

    /// Nobody would miss it, but the log may have a record of it.
    fn is_unused(&self) -> bool {
        self.protocol.is_unused() && self.offsets.is_empty()
    }

    /// Nor has the log.
    fn is_nothing(&self) -> bool {
        self.is_unused() && !self.protocol.is_recorded()
    }
}

impl Groups {
    /// An empty shard. `seed` makes ids of members; one that was used before would make the same again.
    pub fn new(config: GroupConfig, seed: u64) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            transactions: BTreeMap::new(),
            shared: Shared::new(seed),
            started: None,
            expired_to: None,
            keeps_gone: false,
        }
    }

    /// A rule that a simulation switches off: it begins to serve with the offsets of topics that are gone.
    pub fn keeping_what_is_gone(self) -> Self {
        Self { keeps_gone: true, ..self }
    }

    /// What an operator has set is another now. How much a batch holds is not the operator's here, and stays.
    pub fn configure(&mut self, config: GroupConfig) {
        self.config = GroupConfig { batch_size_max: self.config.batch_size_max, ..config };
    }

    /// Takes what the log has, in its order.
    pub fn replay(&mut self, record: GroupRecord, transaction: Option<Producer>) {
        match record {
            GroupRecord::Offset { group, topic, partition, value } => {
                if value.is_none() && !self.groups.contains_key(&*group) {
                    return;
                }
                let producer = transaction.map(|it| it.id).filter(|_| value.is_some());
                let group = obtain(&mut self.groups, &group);
                group.offsets.apply(&topic, partition, value, producer);
                let name = group.name.clone();
                match producer {
                    Some(producer) => drop(self.transactions.entry(producer).or_default().insert(name)),
                    None => self.sweep(&name),
                }
            }
            GroupRecord::Classic { group, value: Some(value) } => {
                obtain(&mut self.groups, &group).replay_classic(&value);
            }
            GroupRecord::Classic { ref group, value: None }
            | GroupRecord::Consumer { ref group, .. }
            | GroupRecord::Member { ref group, .. }
            | GroupRecord::Target { ref group, .. }
            | GroupRecord::MemberTarget { ref group, .. }
            | GroupRecord::Assignment { ref group, .. }
            | GroupRecord::Regex { ref group, .. } => {
                let name: Arc<str> = group.as_str().into();
                obtain(&mut self.groups, &name).replay(record);
                self.sweep(&name);
            }
        }
    }

    /// A transaction's marker was read, or is appended.
    pub fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        for name in self.transactions.remove(&producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&name) {
                group.offsets.end_transaction(producer, is_committed);
                self.sweep(&name);
            }
        }
    }

    /// All was read, and these are the topics that there are. Until `counts_from` another coordinator may be believed in place of this one: members may be silent for a whole
    /// session from then on, and have all their time to do what they must, also those that show themselves here before, for they may go back to that one.
    pub fn start(
        &mut self,
        now: Now,
        counts_from: Tick,
        image: &Image,
        out: &mut Effects<(RequestId, Reply)>,
    ) {
        self.topics_changed(image.clone());
        self.shared.counts_from = counts_from;
        // What members do begins when they ask.
        let mut nothing = Effects::default();
        let (groups, mut turn) = self.split(now, &mut nothing);
        for group in groups.values_mut() {
            group.protocol.start(&mut turn);
        }
        if !self.keeps_gone {
            self.forget_offsets(now, |group| group.forget_gone(|id| image.topic(id).is_some()), out);
        }
        self.started = Some(now);
        let first_check = now.tick.after_ms(self.config.offsets_check_interval_ms.max(1));
        self.shared.timers.set(first_check, Timer::Expiry);
    }

    /// For a while nobody was answered, and [`Self::tick`] was not called: members may be silent for a whole session from now on, and have all their time to do what they must, as they could
    /// not show themselves.
    pub fn go_on(&mut self, now: Now) {
        let mut nothing = Effects::default();
        let (groups, mut turn) = self.split(now, &mut nothing);
        for group in groups.values_mut() {
            group.protocol.go_on(&mut turn);
        }
    }

    /// Decides on a request. It is answered by this call or a later one, always exactly once, unless the shard ends before.
    pub fn handle(
        &mut self,
        now: Now,
        id: RequestId,
        request: Request,
        out: &mut Effects<(RequestId, Reply)>,
    ) {
        if let Some(reply) = self.decide(now, id, request, out) {
            out.outputs.push((id, reply));
        }
    }

    /// What time brings about.
    pub fn tick(&mut self, now: Now, out: &mut Effects<(RequestId, Reply)>) {
        while let Some(timer) = self.shared.timers.pop_due(now.tick) {
            let (groups, mut turn) = self.split(now, out);
            match timer {
                Timer::Expiry => self.expire(now, out),
                Timer::Phase(ref name) | Timer::Session(ref name, _) | Timer::Duty(ref name, _) => {
                    if let Some(group) = groups.get_mut(name) {
                        group.timer_fired(&mut turn, &timer);
                        self.sweep(name);
                    }
                }
            }
        }
    }

    /// When [`Self::tick`] is due at the latest.
    pub fn next_wake(&self) -> Option<Tick> {
        self.shared.timers.next_due()
    }

    /// Topics, their partitions or where those have replicas are not what they were. Groups find out what that means to them when a member shows itself, who could not be told
    /// of it before.
    pub fn topics_changed(&mut self, image: Image) {
        *self.shared.image = image;
        self.shared.image_count += 1;
    }

    /// Topics are gone: so are offsets in them.
    pub fn topics_deleted(
        &mut self,
        now: Now,
        topics: &[(String, TopicId)],
        out: &mut Effects<(RequestId, Reply)>,
    ) {
        let forget = |group: &mut Group| {
            let entries = topics.iter().flat_map(|(name, id)| group.forget_topic(name, *id));
            entries.collect()
        };
        self.forget_offsets(now, forget, out);
    }

    fn forget_offsets(
        &mut self,
        now: Now,
        forget: impl Fn(&mut Group) -> Vec<Entry>,
        out: &mut Effects<(RequestId, Reply)>,
    ) {
        let (groups, mut turn) = self.split(now, out);
        let entries: Vec<_> = groups.values_mut().flat_map(forget).collect();
        turn.append(None, entries);
        groups.retain(|_, group| !group.is_nothing());
    }

    /// The offsets that count, by group, topic and partition: those behind one.
    pub fn committed_after<'a>(
        &'a self,
        after: Option<(&'a str, &'a str, PartitionIndex)>,
    ) -> impl Iterator<Item = Committed<'a>> {
        let from = after.map_or(Unbounded, |(group, ..)| Included(group));
        self.groups.range::<str, _>((from, Unbounded)).flat_map(move |(name, group)| {
            let last = after.filter(|(last, ..)| *last == &**name).map(|(_, topic, index)| (topic, index));
            let each = group.offsets.settled_after(last);
            each.map(move |(topic, partition, offset)| Committed { group: name, topic, partition, offset })
        })
    }

    /// How often groups were rebalanced since the shard was made.
    pub fn rebalances(&self) -> &BTreeMap<RebalanceCause, u64> {
        &self.shared.rebalances
    }

    fn split<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut Effects<(RequestId, Reply)>,
    ) -> (&'a mut BTreeMap<Arc<str>, Group>, Turn<'a>) {
        (&mut self.groups, Turn { now, config: &self.config, shared: &mut self.shared, out })
    }

    fn sweep(&mut self, name: &str) {
        if self.groups.get(name).is_some_and(Group::is_nothing) {
            self.groups.remove(name);
        }
    }
}

fn obtain<'a>(groups: &'a mut BTreeMap<Arc<str>, Group>, name: &str) -> &'a mut Group {
    if !groups.contains_key(name) {
        let name: Arc<str> = name.into();
        groups.insert(name.clone(), Group::new(name));
    }
    groups.get_mut(name).expect("inserted above")
}
