//! Members of the consumer protocol, as they see things, and the topics that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use klamm_cluster::{Image, Record, RegisterBroker, features::Supported};
use klamm_model::{BrokerId, ControllerEpoch, PartitionIndex, TopicPartition};
use uuid::Uuid;

use super::{Rig, topic_id};
use crate::group::consumer::Consumer;
use crate::group::*;
use crate::record::{GroupRecord, OwnedPartitions, Reconciliation, TopicPartitions};

/// Topics, on three brokers in the racks `x`, `y` and `z`; partition `n` has its one replica on the broker `n % 3`.
pub(super) struct Topics {
    pub(super) image: Image,
    offset: u64,
}

impl Topics {
    pub(super) fn new() -> Self {
        let mut it = Self { image: Image::default(), offset: 0 };
        let broker = |(id, rack): (i32, &str)| {
            Record::RegisterBroker(RegisterBroker {
                id: BrokerId(id),
                incarnation: Uuid::nil(),
                directory: Uuid::nil(),
                listeners: Vec::new(),
                rack: Some(rack.to_owned()),
                is_relaxed: false,
                supported: Supported::default(),
                other_directories: Vec::new(),
                may_vote: true,
            })
        };
        let begin = Record::Begin { epoch: ControllerEpoch(1), controller: BrokerId(0) };
        it.apply(std::iter::once(begin).chain([(0, "x"), (1, "y"), (2, "z")].map(broker)).collect());
        it
    }

    pub(super) fn grow(&mut self, topic: &str, count: i32) {
        let id = topic_id(topic);
        let known = self.image.topic(id).map_or(0, |it| i32::try_from(it.partitions.len()).expect("few"));
        let created = (known == 0).then(|| Record::Topic { name: topic.to_owned(), id });
        let partitions = (known..count).map(|index| {
            let broker = BrokerId(index % 3);
            let partition = TopicPartition { topic: id, partition: PartitionIndex(index) };
            Record::Partition { partition, replicas: vec![broker], isr: vec![broker], leader: None }
        });
        self.apply(created.into_iter().chain(partitions).collect());
    }

    pub(super) fn remove(&mut self, topic: &str) {
        let id = topic_id(topic);
        if self.image.topic(id).is_some() {
            self.apply(vec![Record::RemoveTopic { id }]);
        }
    }

    #[allow(clippy::needless_pass_by_value)]
    fn apply(&mut self, records: Vec<Record>) {
        self.image.apply_entry(self.offset, ControllerEpoch(1), &records).expect("records that fit");
        self.offset += 1;
    }
}

/// All members, by the names of their clients.
#[derive(Default)]
pub(super) struct Readers(BTreeMap<String, Reader>);

#[derive(Default)]
struct Reader {
    group: String,
    id: String,
    instance_id: Option<String>,
    /// 0: it is no member, as far as it knows.
    epoch: i32,
    /// What it was last told to have.
    assigned: BTreeSet<TopicPartition>,
    /// What it may read at this moment: also what it is giving up.
    reads: BTreeSet<TopicPartition>,
    /// What the coordinator has answered to hearing that it has.
    acknowledged: Option<BTreeSet<TopicPartition>>,
    telling: Option<BTreeSet<TopicPartition>>,
    /// The answer to its last request gets lost.
    is_deaf: bool,
    /// It is no member any more, and will be told so.
    is_out: bool,
}

impl Readers {
    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn identity(&self, who: &str) -> Identity {
        let Some(it) = self.0.get(who) else { return Identity::default() };
        Identity { member_id: it.id.clone(), instance_id: None, generation: Some(it.epoch) }
    }

    /// `show` says what changed since, all of it with `full` or if it is new; with `busy` it has not given up anything yet; with `quiet` it says what it has only if that is news;
    /// `others:COUNT` names so many besides that it never got; `lost` gets no answer, `late` is on its way until it is to `arrive`.
    pub(super) fn say(&mut self, who: &str, verb: &str, rest: &[&str]) -> ConsumerHeartbeat {
        let it = self.0.entry(who.to_owned()).or_default();
        let option = |name: &str| rest.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
        let text = |name: &str| option(name).map(str::to_owned);
        if it.group.is_empty() {
            it.group = option("group").unwrap_or("g").to_owned();
        }
        if let Some(id) = option("as") {
            *it = Reader {
                group: it.group.clone(),
                instance_id: it.instance_id.take(),
                id: id.to_owned(),
                ..Reader::default()
            };
        } else if it.id.is_empty() && !rest.contains(&"anew") {
            it.id = who.to_owned();
        }
        it.instance_id = text("instance").or(it.instance_id.take());
        it.is_deaf = rest.contains(&"lost") || rest.contains(&"late");
        let presence = match verb {
            "quit" => Presence::Leaves,
            "pause" => Presence::Pauses,
            _ => Presence::from_wire(option("epoch").map_or(it.epoch, |it| it.parse().expect("an epoch")))
                .expect("an epoch"),
        };
        let joins = presence == Presence::Joins;
        let is_full = joins || rest.contains(&"full");
        let is_busy = rest.contains(&"busy");
        if !is_busy {
            it.reads.clone_from(&it.assigned);
        }
        if !matches!(presence, Presence::Stays(_)) {
            it.assigned.clear();
            it.reads.clear();
            it.epoch = 0;
        }
        let is_news = it.acknowledged.as_ref() != Some(&it.assigned);
        let owned = Some(it.assigned.clone())
            .filter(|_| !is_busy && (is_full || is_news || !rest.contains(&"quiet")));
        it.telling.clone_from(&owned);
        let mut named = owned.as_ref().map(listed);
        if let (Some(named), Some(count)) = (&mut named, option("others")) {
            let partitions = (0..count.parse().expect("a number")).map(PartitionIndex).collect();
            named.push(TopicPartitions { topic: topic_id("others"), partitions });
        }
        let topics = text("topics").or(is_full.then(|| "t".to_owned()));
        ConsumerHeartbeat {
            group: it.group.clone(),
            member_id: it.id.clone(),
            presence,
            instance_id: it.instance_id.clone(),
            rack: text("rack"),
            client_id: who.to_owned(),
            client_host: "/1.2.3.4".to_owned(),
            rebalance_timeout_ms: option("patience")
                .map(|it| it.parse().expect("a time"))
                .or(is_full.then_some(60_000)),
            topics: topics.map(|it| it.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()),
            topic_regex: text("regex"),
            assignor: text("assignor"),
            owned: named,
        }
    }

    pub(super) fn hear(&mut self, who: &str, result: &Result<ConsumerBeat, GroupError>) {
        let it = self.0.get_mut(who).expect("who asks is known");
        match result {
            // It has to begin again with what it tells.
            _ if it.is_deaf => it.acknowledged = None,
            Ok(beat) => {
                it.acknowledged = it.telling.take().or(it.acknowledged.take());
                it.is_out = false;
                it.id.clone_from(&beat.member_id);
                if let Presence::Stays(epoch) = beat.presence {
                    it.epoch = epoch;
                }
                if let Some(assignment) = &beat.assignment {
                    it.assigned = flat(assignment);
                    it.reads.extend(&it.assigned);
                }
            }
            Err(GroupError::FencedEpoch { .. } | GroupError::UnknownMember) => {
                *it = Reader {
                    group: it.group.clone(),
                    id: it.id.clone(),
                    instance_id: it.instance_id.clone(),
                    ..Reader::default()
                };
            }
            Err(_) => {}
        }
    }

    /// Whoever is no member for a moment is none any more until it joins, though its name may come back by a request that is late.
    pub(super) fn note_who_is_out(&mut self, groups: &Groups) {
        for it in self.0.values_mut().filter(|it| it.epoch != 0) {
            let consumer = groups.groups.get(&*it.group).and_then(Group::consumer);
            it.is_out |= !consumer.is_some_and(|consumer| consumer.has_member(&it.id));
        }
    }

    /// A record of what a member has, as of a version that knows more.
    pub(super) fn in_unknown_state(&self, who: &str, groups: &Groups) -> GroupRecord {
        let it = &self.0[who];
        let recorded = groups.groups[&*it.group].consumer().expect("of its protocol").recorded();
        let is_its = |record: &GroupRecord| matches!(record, GroupRecord::Assignment { member, .. } if *member == it.id);
        let mut record = recorded.into_iter().find(is_its).expect("a member");
        if let GroupRecord::Assignment { value: Some(value), .. } = &mut record {
            value.state = Reconciliation::Unknown;
        }
        record
    }

    /// Every member reads what it has.
    pub(super) fn check_settled(
        &self,
        consumer: &Consumer,
        classics: &BTreeMap<&str, &BTreeSet<TopicPartition>>,
    ) {
        for record in consumer.recorded() {
            if let GroupRecord::Assignment { member, value: Some(has), .. } = record {
                let reader = self.0.values().find(|it| it.id == member).map(|it| &it.reads);
                let reads =
                    reader.or(classics.get(&*member).copied()).expect("members are readers, or classic");
                let owned =
                    has.assigned.iter().flat_map(|it| it.partitions.iter().map(|(at, _)| (it.topic, *at)));
                let are_equal = reads.iter().map(|it| (it.topic, it.partition)).eq(owned);
                assert!(are_equal, "{member}: {reads:?}, {consumer:?}");
            }
        }
    }

    /// No partition is read by two members, whatever answers got lost. Whoever is no member any more does not count: it will be told.
    pub(super) fn check(
        &self,
        group: &str,
        consumer: &Consumer,
        classics: &BTreeMap<&str, &BTreeSet<TopicPartition>>,
    ) {
        let members = self.0.values().filter(|it| it.group == group && !it.is_out);
        let members = members.filter(|it| consumer.has_member(&it.id));
        let members = members.map(|it| (it.id.as_str(), &it.reads));
        let mut readers = BTreeMap::new();
        for (who, reads) in members.chain(classics.iter().map(|(who, reads)| (*who, *reads))) {
            for partition in reads {
                let other = readers.insert(*partition, who);
                assert!(other.is_none(), "{partition} is read by {who} and {other:?}: {consumer:?}");
            }
        }
    }
}

fn flat(topics: &[TopicPartitions]) -> BTreeSet<TopicPartition> {
    let each = topics.iter().flat_map(|it| it.partitions.iter().map(|partition| (it.topic, *partition)));
    each.map(|(topic, partition)| TopicPartition { topic, partition }).collect()
}

fn listed(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
    let one = |it: &TopicPartition| TopicPartitions { topic: it.topic, partitions: vec![it.partition] };
    partitions.iter().map(one).collect()
}

impl Rig {
    pub(super) fn consumer_record(&mut self, record: &GroupRecord) -> String {
        match record {
            GroupRecord::Consumer { group, value: Some(it) } => format!("{group} epoch {}", it.epoch),
            GroupRecord::Consumer { group, value: None } => format!("{group} is gone"),
            GroupRecord::Member { member, value, .. } => match value {
                Some(it) => {
                    let mut said = format!("{} wants {}", self.name(member), it.topics.join(","));
                    if let Some(it) = &it.upgraded {
                        let protocols = it.protocols.iter().map(|(name, _)| name.as_str());
                        let _ = write!(said, ", speaks {}", protocols.collect::<Vec<_>>().join("+"));
                    }
                    for (what, it) in
                        [(" like ", &it.topic_regex), (" in ", &it.rack), (" by ", &it.assignor)]
                    {
                        if let Some(it) = it {
                            let _ = write!(said, "{what}{it}");
                        }
                    }
                    said
                }
                None => format!("{} is gone", self.name(member)),
            },
            GroupRecord::Target { value, .. } => {
                value.as_ref().map_or("no target".to_owned(), |it| format!("target {}", it.epoch))
            }
            GroupRecord::MemberTarget { member, value, .. } => {
                format!(
                    "{} is to get {}",
                    self.name(member),
                    value.as_ref().map_or("nothing".to_owned(), |it| partitions(it))
                )
            }
            GroupRecord::Assignment { member, value: Some(it), .. } => {
                let gives_up = if it.revoking.is_empty() {
                    String::new()
                } else {
                    format!(", gives up {}", owned(&it.revoking))
                };
                format!(
                    "{} in {} {:?} has {}{gives_up}",
                    self.name(member),
                    it.epoch,
                    it.state,
                    owned(&it.assigned)
                )
            }
            GroupRecord::Assignment { member, value: None, .. } => {
                format!("{} has nothing", self.name(member))
            }
            GroupRecord::Regex { regex, value, .. } => {
                let topics = value.as_ref().map_or("no matter".to_owned(), |it| it.topics.join(","));
                format!("{regex} is {topics}")
            }
            GroupRecord::Offset { .. } | GroupRecord::Classic { .. } => {
                panic!("not of this protocol: {record:?}")
            }
        }
    }

    pub(super) fn beat(&mut self, it: &ConsumerBeat) -> String {
        let has = it.assignment.as_ref().map_or(String::new(), |it| format!(": {}", partitions(it)));
        let is_soon = (1..5_000).contains(&it.heartbeat_interval_ms);
        let soon =
            if is_soon { format!(", again in {} ms", it.heartbeat_interval_ms) } else { String::new() };
        format!("{} in {}{has}{soon}", self.name(&it.member_id), it.presence.to_wire())
    }

    pub(super) fn consumer(&mut self, it: &ConsumerDescription) -> String {
        let mut told = format!("{} {}/{} {}", it.state.name(), it.assignment_epoch, it.epoch, it.assignor);
        for it in &it.members {
            let _ = write!(
                told,
                "\n{} in {}: {} -> {}",
                self.name(&it.id),
                it.epoch,
                partitions(&it.assigned),
                partitions(&it.target)
            );
        }
        told
    }
}

/// `t/012 u/0`
fn partitions(topics: &[TopicPartitions]) -> String {
    let each = topics.iter().map(|it| {
        let indexes: String = it.partitions.iter().map(ToString::to_string).collect();
        format!("{}/{indexes}", topic_name(it.topic))
    });
    let each = each.collect::<Vec<_>>().join(" ");
    if each.is_empty() { "nothing".to_owned() } else { each }
}

fn owned(topics: &[OwnedPartitions]) -> String {
    let plain = |it: &OwnedPartitions| TopicPartitions {
        topic: it.topic,
        partitions: it.partitions.iter().map(|(index, _)| *index).collect(),
    };
    partitions(&topics.iter().map(plain).collect::<Vec<_>>())
}

/// The other way round than [`topic_id`].
fn topic_name(id: TopicId) -> String {
    let bytes = id.0.as_u128().to_be_bytes();
    let name: Vec<u8> = bytes.into_iter().skip_while(|it| *it == 0).skip(1).collect();
    String::from_utf8(name).expect("a name")
}
