//! The language of the script tests: one command a line, its outcome after the arrow.

use klamm_log::{DiskAction, DiskError, DiskOp};
use klamm_model::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, ProducerEpoch, Timestamp, TransactionEnd, TransactionMark,
};

use super::disk::Stored;
use super::world::{Settings, World, numbered};
use crate::{
    Acks, ConsumerFetchRequest, EndTransaction, FetchAnswer, Fetched, FollowerFetch, Isolation, IsrChange,
    IsrMember, IsrProposal, IsrRefused, PartitionState, Progress, ReplicaConfig, Role,
};

/// Runs a script and gives it back with outcomes.
///
/// ```text
/// min_isr N                          before anything else
/// elect LEADER EPOCH ISR [unclean]   commits a new leader (- for none) and tells all brokers
/// elect … only 1,2                   tells these
/// isr ISR                            commits a new in-sync set and tells the leader
/// append BROKER RECORDS [all] [seq N [in]]     the latter in a transaction
/// end BROKER commit|abort EPOCH [bumps]        that transaction
/// pending BROKER                     what its disk has to do
/// done|full|broken BROKER K          ends the pending operation at place K
/// disk BROKER                        carries out all there is, until there is nothing more
/// fetch BROKER                       asks its leader and delivers the answer
/// ask BROKER, deliver BROKER         the two halves; what is asked stays to be delivered again
/// consume BROKER FROM [epoch E] [last E] [committed] [near]     near: a follower may answer
/// near BROKER FROM                   where the leader may send a consumer
/// latest BROKER
/// none BROKER                        asks, and takes nothing as its disk is full
/// stale BROKER                       asks as before its last crash
/// moved BROKER OFFSET                its leader says that its log starts there
/// propose BROKER [without FENCED], answer BROKER yes|no|lost [WHICH]
/// replicas REPLICAS                  commits who is to have the partition, and tells the leader
/// sleep MS, crash BROKER, show
/// ```
pub(super) fn run(script: &str) -> String {
    let mut scene = Scene::new(script);
    script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}{}\n", scene.outcome(line)))
        .collect()
}

struct Scene {
    world: World,
    asked: Vec<(BrokerId, FollowerFetch, Fetched)>,
    proposed: Vec<IsrProposal>,
    batches: Vec<(i32, bytes::Bytes)>,
}

impl Scene {
    fn new(script: &str) -> Self {
        let min_isr = script
            .lines()
            .find_map(|line| line.trim().strip_prefix("min_isr "))
            .map_or(1, |value| value.parse().expect("a number"));
        let replica = ReplicaConfig { min_isr, ..ReplicaConfig::default() };
        let mut world = World::new(Settings { replica, ..Settings::default() });
        for broker in &mut world.brokers {
            settle(broker);
        }
        Self { world, asked: Vec::new(), proposed: Vec::new(), batches: Vec::new() }
    }

    fn outcome(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<i64>().expect("a number");
        let broker = |at: usize| BrokerId(words[at].parse().expect("a broker"));
        let after = |word: &str| words.iter().position(|&w| w == word).map(|at| words[at + 1]);
        match words[0] {
            "min_isr" => String::new(),
            "sleep" => {
                self.world.now = self.world.now.after_ms(u64::try_from(number(1)).expect("a time"));
                String::new()
            }
            "elect" => {
                let state = &mut self.world.state;
                state.leader = words[1].parse().ok().map(BrokerId);
                state.leader_epoch = LeaderEpoch(i32::try_from(number(2)).expect("an epoch"));
                state.isr = brokers(words[3]);
                state.partition_epoch.0 += 1;
                state.unclean = words.contains(&"unclean");
                let told = after("only").map_or_else(|| brokers("1,2,3"), brokers);
                self.tell(&told)
            }
            "isr" => {
                self.world.state.isr = brokers(words[1]);
                self.world.state.partition_epoch.0 += 1;
                let leader = self.world.state.leader.expect("a leader");
                self.tell(&[leader])
            }
            "append" => self.append(broker(1), &words),
            "end" => {
                let it = EndTransaction {
                    producer: numbered(0).id,
                    epoch: ProducerEpoch(i16::try_from(number(3)).expect("an epoch")),
                    mark: TransactionMark {
                        end: if words[2] == "abort" { TransactionEnd::Abort } else { TransactionEnd::Commit },
                        coordinator_epoch: LeaderEpoch(0),
                    },
                    bumps_epoch: words.contains(&"bumps"),
                };
                let broker = self.world.broker(broker(1));
                match broker.replica.end_transaction(&it, Timestamp(0), &mut broker.pending) {
                    Ok(appended) => format!(" -> {}..{}", appended.base, appended.end),
                    Err(error) => format!(" -> refused: {error}"),
                }
            }
            "pending" => {
                let pending: Vec<String> =
                    self.world.broker(broker(1)).pending.iter().map(describe).collect();
                format!(" -> {}", pending.join(", "))
            }
            "done" | "full" | "broken" => {
                let result = match words[0] {
                    "done" => Ok(()),
                    "full" => Err(DiskError::Full),
                    _ => Err(DiskError::Io("no such device".to_string())),
                };
                let at = usize::try_from(number(2)).expect("a place");
                told(&self.world.broker(broker(1)).finish(at, result))
            }
            "disk" => told(&settle(self.world.broker(broker(1)))),
            "ask" => self.ask_as(broker(1), 0),
            "deliver" => self.deliver(broker(1)),
            "fetch" => {
                let asked = self.ask_as(broker(1), 0);
                if asked.starts_with(" -> asks") {
                    format!("{asked}{}", self.deliver(broker(1)))
                } else {
                    asked
                }
            }
            "consume" => {
                let epoch = |word| after(word).map(|e| LeaderEpoch(e.parse().expect("an epoch")));
                let fetch = ConsumerFetchRequest {
                    current_leader_epoch: epoch("epoch"),
                    last_fetched_epoch: epoch("last"),
                    from: Offset::new(number(2)),
                    max_bytes: 1_000_000,
                    isolation: match words.contains(&"committed") {
                        true => Isolation::ReadCommitted,
                        false => Isolation::ReadUncommitted,
                    },
                    by_follower: words.contains(&"near"),
                };
                self.consume(broker(1), &fetch)
            }
            "near" => {
                let replica = &self.world.broker(broker(1)).replica;
                let there = replica.read_replicas(Offset::new(number(2)));
                let there: Vec<String> = there.map(|it| format!("{} has {}", it.id, it.end)).collect();
                format!(" -> {}", if there.is_empty() { "nobody".to_string() } else { there.join(", ") })
            }
            "latest" => match self.world.broker(broker(1)).replica.readable(None) {
                Ok(readable) => format!(" -> {}", readable.high_watermark),
                Err(error) => format!(" -> refused: {error}"),
            },
            "delete" => {
                let to = after("below").map(|offset| Offset::new(offset.parse().expect("an offset")));
                let broker = self.world.broker(broker(1));
                match broker.replica.delete_records(to, &mut broker.pending) {
                    Ok(to) => format!(" -> below {to}"),
                    Err(error) => format!(" -> refused: {error}"),
                }
            }
            "low" => {
                let silent = after("without").map_or_else(Vec::new, brokers);
                let low = self.world.broker(broker(1)).replica.low_watermark(|id| !silent.contains(&id));
                low.map_or(" -> not known".to_string(), |low| format!(" -> {low}"))
            }
            "propose" => {
                let now = self.world.now;
                let fenced = after("without").map_or_else(Vec::new, brokers);
                let may_join = |member: &IsrMember| !fenced.contains(&member.id);
                match self.world.broker(broker(1)).replica.isr_proposal(now, may_join) {
                    Some(proposal) => {
                        let text = format!(" -> {} under {}", members(&proposal), proposal.partition_epoch);
                        self.proposed.push(proposal);
                        text
                    }
                    None => " -> nothing".to_string(),
                }
            }
            "answer" => {
                let newest = self.proposed.len() - 1;
                let which = words.get(3).map_or(newest, |which| which.parse().expect("a place"));
                self.answer(broker(1), words[2], which)
            }
            "none" => {
                self.world.takes_none = true;
                let text = self.ask_as(broker(1), 0);
                self.world.takes_none = false;
                text
            }
            "stale" => self.ask_as(broker(1), -1),
            "moved" => self.moved(broker(1), Offset::new(number(2))),
            "replicas" => {
                self.world.state.replicas = brokers(words[1]);
                let leader = self.world.state.leader.expect("a leader");
                self.tell(&[leader])
            }
            "crash" => {
                self.world.crash(broker(1));
                String::new()
            }
            "show" => self.show(),
            other => panic!("no such command: {other}"),
        }
    }

    fn tell(&mut self, ids: &[BrokerId]) -> String {
        let state: PartitionState = self.world.state.clone();
        let mut outcomes = Vec::new();
        for &id in ids {
            match self.world.tell(id, &state) {
                Ok(progress) if progress == Progress::default() => {}
                Ok(progress) => outcomes.push(format!("{id}{}", told(&progress).replacen(" -> ", ": ", 1))),
                Err(error) => outcomes.push(format!("{id} refuses: {error}")),
            }
        }
        if outcomes.is_empty() { String::new() } else { format!(" -> {}", outcomes.join("; ")) }
    }

    fn append(&mut self, to: BrokerId, words: &[&str]) -> String {
        let record_count = words[2].parse().expect("a count");
        let sequence = words
            .iter()
            .position(|&w| w == "seq")
            .map(|at| words[at + 1].parse::<i32>().expect("a sequence"));
        let sent_before = self.batches.iter().find(|(sent, _)| Some(*sent) == sequence);
        let batch = match sent_before {
            Some((_, batch)) => batch.clone(),
            None => self.world.batch_of(record_count, sequence.map(numbered), words.contains(&"in")),
        };
        if let Some(sequence) = sequence {
            self.batches.push((sequence, batch.clone()));
        }
        let acks = if words.contains(&"all") { Acks::All } else { Acks::Leader };
        match self.world.append(to, batch, acks) {
            Ok(appended) => {
                let again = if appended.duplicate { ", a duplicate" } else { "" };
                format!(" -> {}..{}{again}", appended.base, appended.end)
            }
            Err(error) => format!(" -> refused: {error}"),
        }
    }

    /// Asks under the broker's registration, or under one `lives` away from it.
    fn ask_as(&mut self, from: BrokerId, lives: i64) -> String {
        let broker = self.world.broker(from);
        let broker_epoch = BrokerEpoch(broker.epoch.0 + lives);
        let Some(fetch) = broker.replica.next_fetch() else {
            return " -> nothing to ask".to_string();
        };
        let epoch = fetch.last_fetched_epoch.map_or("no epoch".to_string(), |epoch| format!("epoch {epoch}"));
        match self.world.answer(from, broker_epoch, &fetch) {
            Ok((answer, progress)) => {
                let text = format!(
                    " -> asks from {} after {epoch}{}: {}",
                    fetch.fetch_offset,
                    leader_side(&progress),
                    describe_answer(&answer)
                );
                self.asked.retain(|(of, ..)| *of != from);
                self.asked.push((from, fetch, answer));
                text
            }
            Err(error) => format!(" -> refused: {error}"),
        }
    }

    /// The leader's log starts further on than the broker's ends.
    fn moved(&mut self, to: BrokerId, log_start: Offset) -> String {
        let fetch = self.world.broker(to).replica.next_fetch().expect("something to ask");
        match self.world.deliver(to, &fetch, Fetched::OutOfRange { log_start }) {
            Ok(progress) => told(&progress),
            Err(error) => format!(" -> ERROR {error}"),
        }
    }

    fn deliver(&mut self, to: BrokerId) -> String {
        let (_, fetch, answer) = self.asked.iter().find(|(of, ..)| *of == to).cloned().expect("asked before");
        match self.world.deliver(to, &fetch, answer) {
            Ok(progress) => told(&progress),
            Err(error) => format!(" -> ERROR {error}"),
        }
    }

    fn consume(&mut self, at: BrokerId, fetch: &ConsumerFetchRequest) -> String {
        match self.world.broker(at).replica.consumer_fetch(fetch) {
            Ok(FetchAnswer::Data { read, high_watermark, last_stable, aborted, .. }) => {
                let records = read.map(|plan| describe_records(&self.world.broker(at).disk.read(&plan)));
                let records = records.unwrap_or_else(|| "nothing".to_string());
                let aborted = if aborted.is_none() { "" } else { ", some of it aborted" };
                let stable = match last_stable == high_watermark {
                    true => String::new(),
                    false => format!(", stable below {last_stable}"),
                };
                format!(" -> {records}{aborted}, high watermark {high_watermark}{stable}")
            }
            Ok(FetchAnswer::Diverging { epoch, end }) => {
                format!(" -> diverging: epoch {epoch} ends at {end}")
            }
            Err(error) => format!(" -> refused: {error}"),
        }
    }

    fn answer(&mut self, leader: BrokerId, answer: &str, which: usize) -> String {
        let proposal = self.proposed[which].clone();
        let result = match answer {
            "yes" => {
                let state = &mut self.world.state;
                state.isr = proposal.isr.iter().map(|member| member.id).collect();
                state.partition_epoch.0 += 1;
                Ok(IsrChange {
                    isr: state.isr.clone(),
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                })
            }
            "no" => Err(IsrRefused::NotApplied),
            _ => Err(IsrRefused::Unknown),
        };
        let now = self.world.now;
        told(&self.world.broker(leader).replica.isr_answered(now, &proposal, result))
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for broker in &self.world.brokers {
            let replica = &broker.replica;
            let role = match replica.role() {
                Role::Idle => "idle".to_string(),
                Role::Leader { epoch } => format!("leads epoch {epoch}"),
                Role::Follower { leader: Some(leader), epoch } => {
                    format!("follows {leader} in epoch {epoch}")
                }
                Role::Follower { leader: None, epoch } => format!("waits in epoch {epoch}"),
            };
            let (log, high_watermark) = (replica.log(), replica.high_watermark());
            let contents = broker.contents().expect("a log without holes");
            text.push_str(&format!(
                "\n  {} {role}: high watermark {high_watermark}, synced {}, end {} [{}]",
                broker.id,
                log.synced(),
                log.end(),
                by_epoch(&contents),
            ));
        }
        text
    }
}

/// Everything that is pending is carried out, and what comes of it.
fn settle(broker: &mut super::world::Broker) -> Progress {
    let mut all = Progress::default();
    while !broker.pending.is_empty() {
        let one = broker.finish(0, Ok(()));
        all.high_watermark = one.high_watermark.or(all.high_watermark);
        all.written |= one.written;
        all.lost_from = one.lost_from.or(all.lost_from);
    }
    all
}

fn brokers(list: &str) -> Vec<BrokerId> {
    list.split(',').map(|id| BrokerId(id.parse().expect("a broker"))).collect()
}

fn members(proposal: &IsrProposal) -> String {
    proposal.isr.iter().map(|member| member.id.to_string()).collect::<Vec<_>>().join(",")
}

fn told(progress: &Progress) -> String {
    let mut parts = Vec::new();
    if progress.written {
        parts.push("written".to_string());
    }
    if let Some(high_watermark) = progress.high_watermark {
        parts.push(format!("high watermark {high_watermark}"));
    }
    if let Some(from) = progress.lost_from {
        parts.push(format!("lost from {from}"));
    }
    if progress.resigned {
        parts.push("resigned".to_string());
    }
    if progress.followers_gone {
        parts.push("followers gone".to_string());
    }
    if progress.log_failed {
        parts.push("log failed".to_string());
    }
    if parts.is_empty() { String::new() } else { format!(" -> {}", parts.join(", ")) }
}

fn leader_side(progress: &Progress) -> String {
    progress.high_watermark.map_or(String::new(), |moved| format!(", moving the high watermark to {moved}"))
}

fn describe(op: &DiskOp) -> String {
    match &op.action {
        DiskAction::CreatePartition { .. } => "create".to_string(),
        DiskAction::CreateSegment { segment } => format!("create {}", segment.base),
        DiskAction::Write { .. } => "write".to_string(),
        DiskAction::Sync { .. } => "sync".to_string(),
        DiskAction::Truncate { .. } => "truncate".to_string(),
        DiskAction::Seal { .. } => "seal".to_string(),
        DiskAction::Retire { .. } => "retire".to_string(),
        DiskAction::Remove { .. } => "remove".to_string(),
        DiskAction::Note { .. } => "note".to_string(),
        DiskAction::WriteBeside { .. } => "write beside".to_string(),
        DiskAction::WriteCheckpoint { name, .. } => format!("checkpoint {name}"),
        DiskAction::MapKeys(_) => "map keys".to_string(),
        DiskAction::Rewrite(_) => "rewrite".to_string(),
        DiskAction::Swap { .. } => "swap".to_string(),
        DiskAction::Move(_) => "move".to_string(),
        DiskAction::Scrub(_) => "scrub".to_string(),
        DiskAction::DeletePartition => "delete".to_string(),
    }
}

fn describe_answer(answer: &Fetched) -> String {
    match answer {
        Fetched::Data { records, high_watermark, .. } => {
            format!("{}, high watermark {high_watermark}", describe_records(records))
        }
        Fetched::Diverging { epoch, end } => format!("diverging, epoch {epoch} ends at {end}"),
        Fetched::OutOfRange { log_start } => format!("out of range, log starts at {log_start}"),
    }
}

fn describe_records(records: &[u8]) -> String {
    let mut whole =
        klamm_model::Batches::new(records, klamm_model::Tail::MayBeTruncated).map_while(Result::ok);
    let Some(first) = whole.next() else {
        return "nothing".to_string();
    };
    let end = whole.last().map_or(first.next_offset(), |last| last.next_offset());
    format!("{}..{end}", first.base_offset())
}

/// Which offsets are of which epoch.
fn by_epoch(contents: &[Stored]) -> String {
    let mut runs: Vec<(Option<LeaderEpoch>, Offset, Offset)> = Vec::new();
    for stored in contents {
        match runs.last_mut() {
            Some((epoch, _, end)) if *epoch == stored.epoch => *end = stored.end,
            _ => runs.push((stored.epoch, stored.base, stored.end)),
        }
    }
    let texts = runs.iter().map(|(epoch, from, to)| {
        format!("epoch {}: {from}..{to}", epoch.map_or("none".to_string(), |epoch| epoch.to_string()))
    });
    texts.collect::<Vec<_>>().join(", ")
}
