//! A controller with its log in a test, driven by lines of text.

use std::fmt::Write;

use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, PartitionIndex, Tick, TopicId,
    TopicPartition,
};
use uuid::Uuid;

use super::super::*;
use crate::features::{LevelRange, Supported};
use crate::quota::QuotaValue;
use crate::record::{ConfigResource, RegisterBroker};

pub(super) struct Rig {
    pub(super) controller: Controller,
    now: Tick,
    incarnations: u128,
    log: Vec<(ControllerEpoch, Bytes)>,
}

const ME: BrokerId = BrokerId(0);

impl Rig {
    pub(super) fn new(config: ControllerConfig, seed: u64) -> Self {
        let mut image = Image::default();
        let epoch = ControllerEpoch(1);
        let records = [Record::Begin { epoch, controller: ME }, Record::Cluster { id: "here".into() }];
        image.apply_entry(0, epoch, &records).expect("an empty image takes a beginning");
        let mut controller = Controller::new(config, ME, seed, Tick(0), image);
        assert!(controller.tick(Tick(0)).is_empty());
        Self { controller, now: Tick(0), incarnations: 0, log: vec![(epoch, record::encode(&records))] }
    }

    pub(super) fn log(&self) -> &[(ControllerEpoch, Bytes)] {
        &self.log
    }

    /// The rules that hold after every decision.
    pub(super) fn check(&self) {
        let mut rebuilt = Image::default();
        for (offset, (epoch, payload)) in (0..).zip(&self.log) {
            let records = record::decode(payload).expect("we wrote it");
            rebuilt.apply_entry(offset, *epoch, &records).expect("it fitted before");
        }
        let image = self.controller.image();
        assert_eq!(&rebuilt, image, "the image is not the sum of the log");
        assert_eq!(Image::from_bytes(&image.to_bytes()).as_ref(), Ok(image), "a snapshot is not the image");

        let is_active = |id: &BrokerId| image.broker(*id).is_some_and(|it| it.is_active());
        let mut count = 0;
        for (at, it) in image.partitions() {
            count += 1;
            match it.leader {
                Some(leader) => {
                    assert!(it.isr.contains(&leader), "{at}: the leader is not in sync: {it:?}");
                    assert!(is_active(&leader), "{at}: the leader does not take part: {it:?}");
                }
                None => {
                    assert!(!it.isr.iter().any(is_active), "{at}: somebody could lead: {it:?}");
                    assert!(!it.elr.iter().any(is_active), "{at}: somebody eligible could lead: {it:?}");
                }
            }
        }
        assert_eq!(count, image.partition_count());
    }

    pub(super) fn run(&mut self, line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let (verb, rest) = words.split_first().expect("a line");
        match *verb {
            "register" => self.register(rest),
            "beat" => self.beat(rest[0], rest.get(1).copied()),
            "beat-of" => {
                let heartbeat = Heartbeat { epoch: BrokerEpoch(number(rest[1])), ..self.heartbeat(rest[0]) };
                self.decide(&Command::Heartbeat(heartbeat))
            }
            "wait" => self.wait(number(rest[0]), &rest[1..]),
            "sleep" => {
                self.now = self.now.after_ms(number(rest[0]));
                self.tick()
            }
            "takeover" => self.take_over(&[]),
            "takeover-seeing" => self.take_over(rest),
            "sees" => {
                self.controller.sighted(self.now, &self.sightings(rest));
                self.tick()
            }
            "create" => self.create(&rest[..1], rest[1], rest[2], &rest[3..], false),
            "would-create" => self.create(&rest[..1], rest[1], rest[2], &rest[3..], true),
            "create-all" => self.create(rest, "1", "1", &[], false),
            "assign" => self.assign(rest[0], rest[1]),
            "delete" => self.delete(rest.iter().map(|it| TopicRef::Name((*it).to_owned())).collect()),
            "delete-by-id" => {
                self.delete(vec![TopicRef::Id(self.topic(rest[0])), TopicRef::Id(self.topic("no such"))])
            }
            "grow" => self.grow(rest, false),
            "would-grow" => self.grow(rest, true),
            "elect" => self.elect(Election::Preferred, rest),
            "elect-unclean" => self.elect(Election::Unclean, rest),
            "reassign" => self.reassign(rest, true),
            "reassign-keeping-factor" => self.reassign(rest, false),
            "reassigning" => self.decide(&Command::ListReassignments(by_topic(rest))),
            "quota" => self.quota(rest),
            "features" => self.features(rest, false),
            "would-features" => self.features(rest, true),
            "unregister" => self.decide(&Command::UnregisterBroker(BrokerId(number(rest[0])))),
            "isr" => self.isr(rest),
            "ids" => {
                let Heartbeat { id, epoch, .. } = self.heartbeat(rest[0]);
                self.decide(&Command::AllocateProducerIds(AllocateProducerIds {
                    broker: id,
                    broker_epoch: epoch,
                }))
            }
            "offline" => self.offline(LogFate::Offline, rest),
            "gone" => self.offline(LogFate::Gone, rest),
            "set" => self.set(ConfigTarget::Topic(rest[0].to_owned()), &rest[1..]),
            "set-brokers" => self.set(ConfigTarget::BrokerDefault, rest),
            "set-broker" => self.set(ConfigTarget::Broker(BrokerId(number(rest[0]))), &rest[1..]),
            "show" => self.show(),
            other => panic!("no verb {other}"),
        }
    }

    /// The same, but of what it appends only so many entries are committed before the controller fails.
    pub(super) fn run_cut_short(&mut self, line: &str, entry_count: usize) {
        let mut image = self.controller.image().clone();
        let before = self.log.len();
        self.run(line);
        assert!(before + entry_count < self.log.len(), "nothing is cut");
        self.log.truncate(before + entry_count);
        for (epoch, payload) in &self.log[before..] {
            let offset = image.applied().map_or(0, |it| it + 1);
            let records = record::decode(payload).expect("we wrote it");
            image.apply_entry(offset, *epoch, &records).expect("it fitted before");
        }
        self.controller.image = image;
    }

    fn register(&mut self, words: &[&str]) -> String {
        let has = |word| words.contains(&word);
        if !has("again") {
            self.incarnations += 1;
        }
        let id = BrokerId(number(words[0]));
        let directory = if has("other-disk") { u128::MAX } else { id.0.unsigned_abs().into() };
        let broker = RegisterBroker {
            id,
            incarnation: Uuid::from_u128(self.incarnations),
            directory: Uuid::from_u128(directory),
            listeners: Vec::new(),
            rack: words.iter().find_map(|it| it.strip_prefix("rack=")).map(str::to_owned),
            is_relaxed: has("relaxed"),
            supported: supported(words),
            other_directories: words
                .iter()
                .filter_map(|it| it.strip_prefix("dir="))
                .map(|it| Uuid::from_u128(number(it)))
                .collect(),
            may_vote: true,
        };
        let previous_epoch = self.controller.image().broker(id).map(|it| it.epoch).filter(|_| has("stopped"));
        let cluster_id = Some(if has("other-cluster") { "elsewhere".to_owned() } else { "here".to_owned() });
        self.decide(&Command::RegisterBroker(Register { broker, cluster_id, previous_epoch }))
    }

    fn heartbeat(&self, id: &str) -> Heartbeat {
        let id = BrokerId(number(id));
        let epoch = self.controller.image().broker(id).map_or(BrokerEpoch(0), |it| it.epoch);
        Heartbeat {
            id,
            epoch,
            applied: Some(self.controller.appended()),
            wants_fence: false,
            wants_shutdown: false,
            is_full: false,
        }
    }

    fn beat(&mut self, id: &str, manner: Option<&str>) -> String {
        let mut heartbeat = self.heartbeat(id);
        match manner {
            None => {}
            Some("behind") => heartbeat.applied = Some(0),
            Some("stuck") => heartbeat.applied = Some(heartbeat.epoch.0.unsigned_abs()),
            Some("fence") => heartbeat.wants_fence = true,
            Some("full") => heartbeat.is_full = true,
            Some("stop") => heartbeat.wants_shutdown = true,
            Some(other) => panic!("no manner {other}"),
        }
        self.decide(&Command::Heartbeat(heartbeat))
    }

    /// Time passes in small steps, in which some brokers give signs of life: by heartbeats, or with a `~` by the engine's connection only.
    fn wait(&mut self, time_ms: u64, alive: &[&str]) -> String {
        let mut told = String::new();
        for _ in 0..time_ms / 100 {
            self.now = self.now.after_ms(100);
            for id in alive {
                if let Some(id) = id.strip_prefix('~') {
                    self.controller.sighted(self.now, &self.sightings(&[id, "0"]));
                    continue;
                }
                let is_known =
                    self.controller.image().broker(BrokerId(number(id))).is_some_and(|it| it.is_active());
                if is_known {
                    self.beat(id, None);
                }
            }
            told += &self.tick();
        }
        told
    }

    fn tick(&mut self) -> String {
        let records = self.controller.tick(self.now);
        self.append(&records)
    }

    /// `<broker> gone|gone-of-another|<silent for how many ms>[/<form of metadata>]`…; another process than the one that is registered.
    fn sightings(&self, words: &[&str]) -> Vec<Sighting> {
        let one = |words: &[&str]| {
            let id = BrokerId(number(words[0]));
            let known = self.controller.image().broker(id).map_or(Uuid::nil(), |it| it.incarnation);
            let (how, form) = words[1].split_once('/').unwrap_or((words[1], "1"));
            Sighting {
                id,
                incarnation: if how.ends_with("-of-another") { Uuid::max() } else { known },
                silent_ms: how.parse().unwrap_or(0),
                is_gone: how.starts_with("gone"),
                metadata_form: form.parse().expect("a level"),
            }
        };
        words.chunks(2).map(one).collect()
    }

    fn take_over(&mut self, seen: &[&str]) -> String {
        let mut image = self.controller.image().clone();
        let epoch = ControllerEpoch(image.epoch().0 + 1);
        let records = [Record::Begin { epoch, controller: ME }];
        image.apply_entry(self.controller.appended() + 1, epoch, &records).expect("an epoch begins");
        self.log.push((epoch, record::encode(&records)));
        let sightings = self.sightings(seen);
        self.controller =
            Controller::new(self.controller.config.clone(), ME, self.controller.seed, self.now, image);
        self.controller.sighted(self.now, &sightings);
        let mut told = String::new();
        // What a new controller finds, it does not find all at once.
        while self.controller.next_wake().is_some_and(|at| at <= self.now) {
            told += &self.tick();
        }
        told
    }

    fn create(
        &mut self,
        names: &[&str],
        partitions: &str,
        factor: &str,
        configs: &[&str],
        validate_only: bool,
    ) -> String {
        let topic = |name: &&str| NewTopic {
            name: (*name).to_owned(),
            layout: Layout::Counted {
                partitions: (partitions != "-").then(|| number(partitions)),
                replication_factor: (factor != "-").then(|| number(factor)),
            },
            configs: pairs(configs),
        };
        self.decide(&Command::CreateTopics(CreateTopics {
            topics: names.iter().map(topic).collect(),
            validate_only,
        }))
    }

    fn assign(&mut self, name: &str, places: &str) -> String {
        let partitions = (0..).map(PartitionIndex).zip(places.split(';').map(brokers)).collect();
        let topic =
            NewTopic { name: name.to_owned(), layout: Layout::Assigned(partitions), configs: Vec::new() };
        self.decide(&Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false }))
    }

    fn delete(&mut self, topics: Vec<TopicRef>) -> String {
        self.decide(&Command::DeleteTopics(DeleteTopics { topics }))
    }

    /// `grow <topic> <count> [<brokers>;<brokers>…]`
    fn grow(&mut self, words: &[&str], validate_only: bool) -> String {
        let places = words.get(2).map(|it| it.split(';').map(brokers).collect());
        let topic =
            MorePartitions { name: words[0].to_owned(), count: number(words[1]), assignments: places };
        let topics = if words.contains(&"twice") { vec![topic.clone(), topic] } else { vec![topic] };
        self.decide(&Command::CreatePartitions(CreatePartitions { topics, validate_only }))
    }

    fn elect(&mut self, election: Election, words: &[&str]) -> String {
        self.decide(&Command::ElectLeaders(ElectLeaders { election, partitions: by_topic(words) }))
    }

    /// `reassign <topic>/<partition> <brokers>`, or `-` to call it off; more pairs may follow.
    fn reassign(&mut self, words: &[&str], may_change_factor: bool) -> String {
        let pairs = words.chunks(2).map(|pair| {
            let (name, index) = place(pair[0]);
            (name, vec![(index, (pair[1] != "-").then(|| brokers(pair[1])))])
        });
        let partitions = pairs.collect();
        self.decide(&Command::AlterReassignments(AlterReassignments { partitions, may_change_factor }))
    }

    /// `quota <kind>=<name>,… <key>=<value>…`; no name is the default, no value takes the quota away.
    fn quota(&mut self, words: &[&str]) -> String {
        let set = pairs(&words[1..]);
        let value = |it: String| QuotaValue::new(number(&it));
        let change = QuotaChange {
            entity: pairs(&words[0].split(',').collect::<Vec<_>>()),
            set: set.into_iter().map(|(key, it)| (key, it.map(value))).collect(),
        };
        self.decide(&Command::AlterQuotas(AlterQuotas { changes: vec![change], validate_only: false }))
    }

    /// `features [down|lossy] <name>=<level>…`
    fn features(&mut self, words: &[&str], validate_only: bool) -> String {
        let (kind, words) = match words {
            ["down", words @ ..] => (Some(UpdateKind::SafeDowngrade), words),
            ["lossy", words @ ..] => (Some(UpdateKind::UnsafeDowngrade), words),
            ["sideways", words @ ..] => (None, words),
            words => (Some(UpdateKind::Upgrade), words),
        };
        let update = |(name, level): (String, Option<String>)| FeatureUpdate {
            name,
            level: number(&level.expect("a level")),
            kind,
        };
        let updates = pairs(words).into_iter().map(update).collect();
        self.decide(&Command::UpdateFeatures(UpdateFeatures { updates, validate_only }))
    }

    /// `isr <topic>/<partition> by <broker> is <brokers> [what is odd about it]`
    fn isr(&mut self, words: &[&str]) -> String {
        let (name, index) = words[0].split_once('/').expect("topic/partition");
        let partition = TopicPartition { topic: self.topic(name), partition: PartitionIndex(number(index)) };
        let image = self.controller.image();
        let known =
            image.partition(partition).map(|it| (it.leader_epoch, it.partition_epoch)).unwrap_or_default();
        // Whoever leads; where nobody does, somebody who certainly does not.
        let leader = image.partition(partition).and_then(|it| it.leader).unwrap_or(BrokerId(99));
        let resolved = |words: &str| {
            let mut ids = brokers(&words.replace("leader", &leader.to_string()));
            let mut seen = std::collections::BTreeSet::new();
            ids.retain(|id| !words.contains("leader") || seen.insert(*id));
            ids
        };
        let odd = |word| words.iter().position(|it| *it == word);
        let given = |word| odd(word).map(|at| number::<i32>(words[at + 1]));
        let off = |word| i64::from(odd(word).is_some());
        let broker_epoch = |id| BrokerEpoch(image.broker(id).map_or(0, |it| it.epoch.0));
        let isr = resolved(words[4]).into_iter().map(|id| {
            let epoch = broker_epoch(id);
            (id, Some(BrokerEpoch(epoch.0 + off("member-epochs-off"))))
        });
        let proposal = IsrProposal {
            partition,
            leader_epoch: given("leader-epoch").map_or(known.0, LeaderEpoch),
            partition_epoch: given("partition-epoch").map_or(known.1, PartitionEpoch),
            isr: isr.collect(),
        };
        let broker = resolved(words[2])[0];
        let broker_epoch = BrokerEpoch(broker_epoch(broker).0 + off("broker-epoch-off"));
        self.decide(&Command::AlterPartitions(AlterPartitions {
            broker,
            broker_epoch,
            partitions: vec![proposal],
        }))
    }

    /// `offline <broker> <topic>/<partition>…`, and the same where logs are `gone`
    fn offline(&mut self, fate: LogFate, words: &[&str]) -> String {
        let Heartbeat { id, epoch, .. } = self.heartbeat(words[0]);
        let partition = |word: &&str| {
            let (name, partition) = place(word);
            TopicPartition { topic: self.topic(&name), partition }
        };
        let partitions = words[1..].iter().map(partition).collect();
        let offline = OfflineReplicas { broker: id, broker_epoch: epoch, fate, partitions };
        self.decide(&Command::ReplicasOffline(offline))
    }

    /// `key=value`, `key=` (its default again), `key+=items`, `key-=items`; `only` replaces, `twice` names the target twice, `would` only asks.
    fn set(&mut self, target: ConfigTarget, words: &[&str]) -> String {
        let (flags, configs): (Vec<&str>, Vec<&str>) = words.iter().partition(|it| !it.contains('='));
        let operation = |word: &str| {
            let (key, value) = word.split_once('=').expect("key=value");
            let value = value.to_owned();
            match (key.strip_suffix('+'), key.strip_suffix('-')) {
                (Some(key), _) => (key.to_owned(), ConfigOperation::Append(value)),
                (_, Some(key)) => (key.to_owned(), ConfigOperation::Subtract(value)),
                _ if value.is_empty() => (key.to_owned(), ConfigOperation::Delete),
                _ => (key.to_owned(), ConfigOperation::Set(value)),
            }
        };
        let operations = configs.into_iter().map(operation).collect();
        let change = Ok(ConfigChange { target, operations, replaces: flags.contains(&"only") });
        let count = if flags.contains(&"twice") { 2 } else { 1 };
        let validate_only = flags.contains(&"would");
        self.decide(&Command::AlterConfigs(AlterConfigs { resources: vec![change; count], validate_only }))
    }

    fn topic(&self, name: &str) -> TopicId {
        self.controller.image().topic_named(name).map_or(TopicId::ZERO, |it| it.id)
    }

    fn decide(&mut self, command: &Command) -> String {
        let decision = self.controller.decide(self.now, command);
        let records = self.append(&decision.records);
        records + &reply(&decision.reply)
    }

    fn append(&mut self, records: &[Record]) -> String {
        let before = self.controller.image().clone();
        let payloads = self.controller.append(self.now, records);
        self.log.extend(payloads.into_iter().map(|payload| (self.controller.epoch(), payload)));
        let after = self.controller.image();
        records.iter().fold(String::new(), |mut told, record| {
            writeln!(told, "+ {}", describe(record, [after, &before])).expect("a string");
            told
        })
    }

    fn show(&self) -> String {
        let mut told = String::new();
        for topic in self.controller.image().topics() {
            for (index, it) in topic.partitions.iter().enumerate() {
                let leader = it.leader.map_or("nobody".to_owned(), |it| it.to_string());
                let moving = moving(&it.adding, &it.removing);
                writeln!(
                    told,
                    "{}/{index} on {}{moving} in sync {}{} leader {leader} epochs {}.{}",
                    topic.name,
                    list(&it.replicas),
                    somebody(&it.isr),
                    beside(it),
                    it.leader_epoch,
                    it.partition_epoch
                )
                .expect("a string");
            }
        }
        told
    }
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

/// `old`: it tells no levels; `<name>:<lowest>-<highest>`: other than it has.
fn supported(words: &[&str]) -> Supported {
    if words.contains(&"old") {
        return Supported::default();
    }
    let Supported(mut features) = Supported::ours();
    for (name, range) in words.iter().filter_map(|it| it.split_once(':')) {
        let (min, max) = range.split_once('-').expect("lowest-highest");
        features.insert(name.to_owned(), LevelRange { min: number(min), max: number(max) });
    }
    Supported(features)
}

fn brokers(words: &str) -> Vec<BrokerId> {
    words.split(',').map(|it| BrokerId(number(it))).collect()
}

fn list(brokers: &[BrokerId]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn moving(adding: &[BrokerId], removing: &[BrokerId]) -> String {
    let told = |what, ids: &[BrokerId]| {
        if ids.is_empty() { String::new() } else { format!(" {what} {}", list(ids)) }
    };
    told("adding", adding) + &told("removing", removing)
}

fn somebody(brokers: &[BrokerId]) -> String {
    if brokers.is_empty() { "nobody".to_owned() } else { list(brokers) }
}

/// Who counts besides those in sync.
fn beside(it: &crate::image::Partition) -> String {
    let of = |what: &str, ids: &[BrokerId]| {
        if ids.is_empty() { String::new() } else { format!(" {what} {}", list(ids)) }
    };
    let told = [of("eligible", &it.elr), of("known", &it.last_known_elr), of("offline", &it.offline)];
    told.concat() + if it.recovering { " recovering" } else { "" }
}

/// `<topic>/<partition>`
fn place(word: &str) -> (String, PartitionIndex) {
    let (name, index) = word.split_once('/').expect("topic/partition");
    (name.to_owned(), PartitionIndex(number(index)))
}

/// No words: all.
fn by_topic(words: &[&str]) -> Option<ByTopic<()>> {
    let one = |word: &&str| {
        let (name, index) = place(word);
        (name, vec![(index, ())])
    };
    (!words.is_empty()).then(|| words.iter().map(one).collect())
}

fn pairs(words: &[&str]) -> Vec<(String, Option<String>)> {
    words
        .iter()
        .map(|it| {
            let (key, value) = it.split_once('=').expect("key=value");
            (key.to_owned(), (!value.is_empty()).then(|| value.to_owned()))
        })
        .collect()
}

fn name(topic: TopicId, images: [&Image; 2]) -> String {
    images.iter().find_map(|it| it.topic(topic)).map_or("?".to_owned(), |it| it.name.to_string())
}

fn describe(record: &Record, images: [&Image; 2]) -> String {
    match record {
        Record::RegisterBroker(it) => format!("broker {} registers", it.id),
        Record::BrokerState { id, state, .. } => format!("broker {id} is {state:?}"),
        Record::Topic { name, .. } => format!("topic {name}"),
        Record::RemoveTopic { id } => format!("no topic {}", name(*id, images)),
        Record::Partition { partition, replicas, isr, leader } => {
            let leader = leader.map_or("nobody".to_owned(), |it| it.to_string());
            let at = format!("{}/{}", name(partition.topic, images), partition.partition);
            format!("{at} on {} in sync {} leader {leader}", list(replicas), somebody(isr))
        }
        Record::PartitionChange(it) => {
            let mut told = format!(
                "{}/{} change {}",
                name(it.partition.topic, images),
                it.partition.partition,
                it.partition_epoch
            );
            if let Some(replicas) = &it.replicas {
                told += &format!(" on {}", list(replicas));
            }
            for (what, ids) in [("adding", &it.adding), ("removing", &it.removing)] {
                if let Some(ids) = ids {
                    told +=
                        &format!(" {what} {}", if ids.is_empty() { "nobody".to_owned() } else { list(ids) });
                }
            }
            if let Some(isr) = &it.isr {
                told += &format!(" in sync {}", somebody(isr));
            }
            for (what, ids) in
                [("eligible", &it.elr), ("known", &it.last_known_elr), ("offline", &it.offline)]
            {
                told += &ids.as_ref().map_or(String::new(), |ids| format!(" {what} {}", somebody(ids)));
            }
            if let Some(wanted) = it.wanted_replicas {
                told += &wanted.map_or(" as many as wanted".to_owned(), |it| format!(" wants {it}"));
            }
            if let Some(recovering) = it.recovering {
                told += if recovering { " recovering" } else { " recovered" };
            }
            if let (Some(leader), Some(epoch)) = (it.leader, it.leader_epoch) {
                told += &format!(
                    " leader {} in epoch {epoch}",
                    leader.map_or("nobody".to_owned(), |it| it.to_string())
                );
            }
            told
        }
        Record::Config { resource, key, value } => {
            let of = match resource {
                ConfigResource::Topic(id) => name(*id, images),
                other => format!("{other:?}"),
            };
            format!("{of} {key} = {value:?}")
        }
        Record::ClientQuota { entity, key, value } => format!("quota of {entity}: {key} = {value:?}"),
        Record::Feature { name, level } => format!("{name} is at level {level}"),
        Record::ProducerIds { broker, next, .. } => format!("producer ids below {next} to {broker}"),
        other => format!("{other:?}"),
    }
}

fn reply(reply: &Reply) -> String {
    fn told<T, E: std::fmt::Display>(result: &Result<T, E>, ok: impl Fn(&T) -> String) -> String {
        result.as_ref().map_or_else(|error| error.to_string(), ok)
    }
    fn lines<'a, K: 'a, T: 'a, E: std::fmt::Display + 'a>(
        answers: &'a [(K, Result<T, E>)],
        key: impl Fn(&K) -> String,
        ok: impl Fn(&T) -> String,
    ) -> String {
        let answers: Vec<_> =
            answers.iter().map(|(it, result)| format!("{}{}", key(it), told(result, &ok))).collect();
        answers.join("\n")
    }
    fn of_topics<T>(answers: &ByTopic<T>, tell: impl Fn(&T) -> String) -> String {
        let lines: Vec<_> = answers
            .iter()
            .flat_map(|(name, of_topic)| of_topic.iter().map(move |(index, it)| (name, index, it)))
            .map(|(name, index, it)| format!("{name}/{index}: {}", tell(it)))
            .collect();
        lines.join("\n")
    }
    match reply {
        Reply::CreateTopics(it) => lines(
            it,
            |name| format!("{name}: "),
            |it| {
                let id = if it.id.is_some() { "created" } else { "valid" };
                format!("{id}, {} x {}, {:?}", it.partition_count, it.replication_factor, it.configs)
            },
        ),
        Reply::DeleteTopics(it) => lines(
            it,
            |it| match it {
                TopicRef::Name(name) => format!("{name}: "),
                TopicRef::Id(_) => "by id: ".to_owned(),
                TopicRef::Contradictory { .. } => "by both: ".to_owned(),
            },
            |it| format!("deleted {}", it.name),
        ),
        Reply::RegisterBroker(it) => told(it, |epoch| format!("broker epoch {epoch}")),
        Reply::Heartbeat(it) => told(it, |it| {
            let mut told = format!("{:?}", it.state);
            told += if it.is_caught_up { "" } else { ", not caught up" };
            told += if it.may_shut_down { ", may stop" } else { "" };
            told
        }),
        Reply::AlterPartitions(it) => told(it, |it| {
            lines(
                it,
                |_| String::new(),
                |it| {
                    format!(
                        "leader {} in epoch {}, in sync {}, partition epoch {}",
                        it.leader,
                        it.leader_epoch,
                        list(&it.isr),
                        it.partition_epoch
                    )
                },
            )
        }),
        Reply::ReplicasOffline(it) => told(it, |()| "taken".to_owned()),
        Reply::AllocateProducerIds(it) => told(it, |it| format!("{} from {}", it.count, it.first)),
        Reply::AlterConfigs(it) => {
            it.iter().map(|result| told(result, |()| "set".to_owned())).collect::<Vec<_>>().join("\n")
        }
        Reply::CreatePartitions(it) => lines(it, |name| format!("{name}: "), |()| "grown".to_owned()),
        Reply::ElectLeaders(it) => of_topics(it, |it| told(it, |()| "elected".to_owned())),
        Reply::AlterReassignments(it) => of_topics(it, |it| told(it, |()| "taken".to_owned())),
        Reply::ListReassignments(it) => {
            of_topics(it, |it| format!("on {}{}", list(&it.replicas), moving(&it.adding, &it.removing)))
        }
        Reply::AlterQuotas(it) => lines(it, |_| String::new(), |()| "set".to_owned()),
        Reply::UnregisterBroker(it) => told(it, |()| "unregistered".to_owned()),
        Reply::UpdateFeatures(it) => told(it, |()| "set".to_owned()),
    }
}
