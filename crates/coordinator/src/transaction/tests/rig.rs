//! A shard of transactions with its log in a test, driven by lines of text.

use klamm_cluster::controller::ProducerIdBlock;
use klamm_model::{PartitionIndex, ProducerEpoch, ProducerId, Timestamp};

use super::super::*;
use crate::Pattern;
use crate::record::{Partitions, Transaction};

pub(super) struct Rig {
    pub(super) shard: Transactions,
    config: TransactionConfig,
    pub(super) now: Now,
    pub(super) log: Vec<TransactionRecord>,
    pub(super) requests: u64,
    /// In the order they were sent, whatever their numbers.
    pub(super) markers: Vec<Markers>,
    pub(super) replies: Vec<(RequestId, Reply)>,
    seed: u64,
}

impl Rig {
    pub(super) fn new(config: TransactionConfig) -> Self {
        let mut rig = Self {
            shard: Transactions::new(config.clone(), 0),
            config,
            now: Now { tick: Tick(0), wall: Timestamp(0) },
            log: Vec::new(),
            requests: 0,
            markers: Vec::new(),
            replies: Vec::new(),
            seed: 0,
        };
        rig.restart();
        rig
    }

    pub(super) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ids", first, count] => {
                let block = ProducerIdBlock { first: ProducerId(number(first)), count: number(count) };
                self.step(|shard, now, out| shard.producer_ids(now, Some(block), out))
            }
            ["no-ids"] => self.step(|shard, now, out| shard.producer_ids(now, None, out)),
            ["wait", ms] => {
                self.now.tick = self.now.tick.after_ms(number(ms));
                self.now.wall.0 += number::<i64>(ms);
                self.step(Transactions::tick)
            }
            ["restart"] => self.restart(),
            ["put", id, state, producer, ref partitions @ ..] => {
                let value = stored(state, identity(producer), places(partitions), self.now.wall);
                self.log.push(TransactionRecord { transactional_id: id.to_owned(), value: Some(value) });
                self.restart()
            }
            ["describe", id] => self.ask(Request::Describe(named(id))),
            ["list", ref rest @ ..] => {
                let option = |name: &'static str| rest.iter().filter_map(move |it| it.strip_prefix(name));
                self.ask(Request::List(List {
                    states: option("state=").filter_map(TransactionState::from_name).collect(),
                    producers: option("producer=").map(|it| ProducerId(number(it))).collect(),
                    longer_than_ms: option("longer=").map(number).next(),
                    pattern: option("like=").next().map(|it| Pattern::new(it).expect("an expression")),
                }))
            }
            [markers, "done"] => self.report(markers, &[], false),
            [markers, how @ ("failed" | "superseded"), ref partitions @ ..] => {
                self.report(markers, partitions, how == "superseded")
            }
            [id, "init", ref rest @ ..] => {
                let option = |name: &str| rest.iter().find_map(|it| it.strip_prefix(name));
                self.ask(Request::Init(Init {
                    transactional_id: named(id),
                    timeout_ms: option("timeout=").map_or(60_000, number),
                    current: option("as=").map(identity),
                    two_phase_commit: rest.contains(&"2pc"),
                    keep_prepared: rest.contains(&"keep"),
                }))
            }
            [id, verb @ ("add" | "verify"), producer, ref rest @ ..] => {
                let it = AddPartitions {
                    transactional_id: named(id),
                    producer: identity(producer),
                    partitions: places(rest),
                    version: version(rest),
                };
                self.ask(if verb == "add" { Request::AddPartitions(it) } else { Request::Verify(it) })
            }
            [id, "end", producer, outcome, ref rest @ ..] => self.ask(Request::End(End {
                transactional_id: named(id),
                producer: identity(producer),
                outcome: if outcome == "commit" { Outcome::Commit } else { Outcome::Abort },
                version: version(rest),
            })),
            _ => panic!("no such line: {line}"),
        }
    }

    pub(super) fn ask(&mut self, request: Request) -> String {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.step(|shard, now, out| shard.handle(now, id, request, out))
    }

    /// `m1` are the first markers that were sent.
    fn report(&mut self, markers: &str, failed: &[&str], is_superseded: bool) -> String {
        let index: usize = number(markers.strip_prefix('m').expect("markers"));
        let markers = &self.markers[index - 1];
        let report = MarkersReport {
            id: markers.id,
            transactional_id: markers.transactional_id.clone(),
            failed: places(failed),
            is_superseded,
        };
        self.step(|shard, now, out| shard.markers_written(now, &report, out))
    }

    /// The next shard, with what the log has.
    pub(super) fn restart(&mut self) -> String {
        self.seed += 1_000;
        self.shard = self.replayed();
        self.step(Transactions::start)
    }

    fn replayed(&self) -> Transactions {
        let mut shard = Transactions::new(self.config.clone(), self.seed);
        self.log.iter().for_each(|record| shard.replay(record.clone()));
        shard
    }

    /// Whoever reads the log knows what the shard knows.
    pub(super) fn check_replay(&self) {
        let values = |shard: &Transactions| {
            let known = shard.ids.iter().map(|(id, slot)| (id.clone(), slot.known.value.clone()));
            known.collect::<BTreeMap<_, _>>()
        };
        assert_eq!(values(&self.replayed()), values(&self.shard));
        assert_eq!(self.replayed().open, self.shard.open);
        let begun = self.shard.ids.values().filter(|slot| slot.known.open_since().is_some());
        assert_eq!(begun.count(), self.shard.open.len());
    }

    pub(super) fn step(&mut self, act: impl FnOnce(&mut Transactions, Now, &mut Effects<Output>)) -> String {
        let mut out = Effects::default();
        act(&mut self.shard, self.now, &mut out);
        let mut text = String::new();
        for append in out.appends {
            assert!(append.transaction.is_none() && !append.entries.is_empty());
            for entry in append.entries {
                let record = TransactionRecord::decode(&entry.key, entry.value.as_ref());
                let record = record.expect("what was written").expect("a kind that is known");
                text.push_str(&format!("  + {}\n", told(&record)));
                self.log.push(record);
            }
        }
        for output in out.outputs {
            let line = match output {
                Output::NeedProducerIds => "producer ids?".to_owned(),
                Output::WriteMarkers(it) => {
                    self.markers.push(it);
                    let it = self.markers.last().expect("just pushed");
                    let (number, producer) = (self.markers.len(), who(it.producer));
                    let places = told_places(&it.partitions);
                    format!("m{number} {:?} {producer} {:?} {places}", it.outcome, it.version)
                }
                Output::Reply(id, reply) => {
                    let line = format!("#{} {}", id.0, told_reply(&reply));
                    self.replies.push((id, reply));
                    line
                }
            };
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}

fn told(record: &TransactionRecord) -> String {
    let Some(value) = &record.value else { return format!("{} -", record.transactional_id) };
    let next = value.next_producer.map(|it| format!(" then {it}")).unwrap_or_default();
    let producer = who(Identity { producer: value.producer, epoch: value.epoch });
    let places = told_places(&value.partitions);
    let text = format!("{} {} {producer}{next} {places}", record.transactional_id, value.state.name());
    text.trim_end().to_owned()
}

fn told_reply(reply: &Reply) -> String {
    fn told<T>(result: &Result<T, TransactionError>, good: impl Fn(&T) -> String) -> String {
        result.as_ref().map_or_else(|error| format!("{error:?}"), good)
    }
    let text = match reply {
        Reply::Init(it) | Reply::End(it) => told(it, |it| who(*it)),
        Reply::AddPartitions(it) => told(it, |()| "ok".to_owned()),
        Reply::Verify(it) => told(it, |it| format!("missing {}", told_places(it))),
        Reply::Describe(it) => told(it, |it| {
            let (producer, places) = (who(it.producer), told_places(&it.partitions));
            let started = it.started_at.map_or(-1, |at| at.0);
            format!("{} {producer} timeout {} since {started} {places}", it.state.name(), it.timeout_ms)
        }),
        Reply::List(it) => {
            let listed = |it: &Listed| format!("{} {} {}", it.transactional_id, it.producer, it.state.name());
            it.iter().map(listed).collect::<Vec<_>>().join(", ")
        }
    };
    text.trim_end().to_owned()
}

fn told_places(partitions: &Partitions) -> String {
    let places = partitions.iter().flat_map(|(topic, all)| all.iter().map(move |it| format!("{topic}/{it}")));
    places.collect::<Vec<_>>().join(" ")
}

fn who(it: Identity) -> String {
    format!("{}/{}", it.producer, it.epoch)
}

fn stored(state: &str, it: Identity, partitions: Partitions, now: Timestamp) -> Transaction {
    Transaction {
        producer: it.producer,
        previous_producer: Some(it.producer),
        next_producer: None,
        epoch: it.epoch,
        timeout_ms: 60_000,
        state: TransactionState::from_name(state).expect("a state"),
        partitions,
        updated_at: now,
        started_at: (state != "Empty").then_some(now),
        version: TransactionVersion::V2,
    }
}

fn identity(text: &str) -> Identity {
    let (producer, epoch) = text.split_once('/').expect("producer/epoch");
    Identity { producer: ProducerId(number(producer)), epoch: ProducerEpoch(number(epoch)) }
}

/// Words that are no places are left out.
pub(super) fn places(words: &[&str]) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, partition) in words.iter().filter_map(|word| word.split_once('/')) {
        partitions.entry(topic.to_owned()).or_default().insert(PartitionIndex(number(partition)));
    }
    partitions
}

fn version(words: &[&str]) -> TransactionVersion {
    if words.contains(&"v1") { TransactionVersion::V1 } else { TransactionVersion::V2 }
}

fn named(id: &str) -> String {
    if id == "-" { String::new() } else { id.to_owned() }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}
