//! What every replica writes and which part it takes, as an observer sees it who stands beside all of them.
//!
//! The observer keeps a list of each replica's batches (a *shelf*), taken from the disk operations it asks for, and one list of each partition's committed
//! batches (the *ledger*), which grows when some replica says that its high watermark moved. A batch is told by its offsets, its epoch and its checksum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_cluster::{
    Image,
    image::Partition,
    record::{self, BrokerState},
};
use klamm_log::{DiskAction, DiskOp, Prefix};
use klamm_model::{BatchHeader, BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use klamm_node::Node;
use klamm_quorum::{Entry, Filter, Output, Verdict};
use klamm_replica::{Replica, Role};
use uuid::Uuid;

use crate::{
    NODE_COUNT,
    check::Findings,
    coverage::Coverage,
    disk::Disk,
    originals::Originals,
    renewals,
    timeline::{Life, SECOND, Timeline},
};

/// A batch on a shelf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Batch {
    base: i64,
    next: i64,
    epoch: i32,
    crc: u32,
}

/// Where it stands.
#[derive(Clone, Copy, Debug)]
struct Stored {
    batch: Batch,
    segment: i64,
    position: u32,
}

/// A replica's batches, as it asked for them to be written.
#[derive(Default)]
struct Shelf {
    stored: Vec<Stored>,
    /// Below this they were compared with everybody else's.
    compared_to: i64,
}

/// What was last seen of a replica.
struct Observed {
    life: Life,
    role: Role,
    high_watermark: i64,
}

/// What is compared of two replicas' batches of the same offset and epoch: the batch itself, and the epoch of the one before it.
type Match = (Batch, Option<i32>);

/// See the module.
pub struct Replicas {
    shelves: BTreeMap<(usize, TopicPartition), Shelf>,
    ledgers: BTreeMap<TopicPartition, Vec<Batch>>,
    matches: BTreeMap<(TopicPartition, i64, i32), Match>,
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), Life>,
    observed: BTreeMap<(usize, TopicPartition), Observed>,
    filter: Filter,
    /// The metadata after each metadata offset.
    images: Vec<Image>,
    image: Image,
    image_seen: [Option<u64>; NODE_COUNT],
    controllers: BTreeMap<i32, Life>,
    /// How many batches of a partition were committed when the leader of an epoch was elected.
    committed_at_election: BTreeMap<(TopicPartition, LeaderEpoch), usize>,
    /// Of these an operator has said that anybody is to lead.
    decided_on: BTreeSet<TopicPartition>,
    /// The topics that were made one after the other under one name, and the metadata offsets at which they were.
    renewed: Vec<(TopicId, u64)>,
    /// Of coordinators' logs.
    originals: Originals,
    /// When a partition last had too few replicas in sync, where it has enough now.
    lacked_until: BTreeMap<TopicPartition, u64>,
    fenced: Vec<BrokerId>,
    entries: usize,
    /// Topics that may lose what was committed: they have no ledger.
    loose: BTreeSet<Arc<str>>,
}

/// Longer than it takes until everybody has heard of a change and answered what was asked before.
const LATELY: u64 = 5 * SECOND;

impl Default for Replicas {
    fn default() -> Self {
        Self {
            shelves: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            matches: BTreeMap::new(),
            leaders: BTreeMap::new(),
            observed: BTreeMap::new(),
            filter: Filter::default(),
            images: Vec::new(),
            image: Image::default(),
            image_seen: [None; NODE_COUNT],
            controllers: BTreeMap::new(),
            committed_at_election: BTreeMap::new(),
            decided_on: BTreeSet::new(),
            renewed: Vec::new(),
            originals: Originals::default(),
            lacked_until: BTreeMap::new(),
            fenced: Vec::new(),
            entries: 0,
            loose: BTreeSet::new(),
        }
    }
}

impl Shelf {
    fn end(&self) -> i64 {
        self.stored.last().map_or(0, |stored| stored.batch.next)
    }

    /// The batches within these offsets.
    fn between(&self, from: i64, to: i64) -> impl Iterator<Item = Batch> + Clone {
        let first = self.stored.partition_point(|stored| stored.batch.next <= from);
        self.stored[first..].iter().map(|stored| stored.batch).take_while(move |batch| batch.next <= to)
    }

    /// Takes batches away. Gives how many of them were readable.
    fn cut(&mut self, goes: impl Fn(&Stored) -> bool) -> usize {
        let readable = |it: &&Stored| goes(it) && it.batch.next <= self.compared_to;
        let count = self.stored.iter().filter(readable).count();
        self.stored.retain(|stored| !goes(stored));
        self.compared_to = self.compared_to.min(self.end());
        count
    }
}

fn batches_between(batches: &[Batch], from: i64, to: i64) -> impl Iterator<Item = Batch> + Clone {
    let first = batches.partition_point(|batch| batch.next <= from);
    batches[first..].iter().copied().take_while(move |batch| batch.next <= to)
}

/// A batch, or those that it is left of.
fn originals_of(
    originals: &Originals,
    is_compacted: bool,
    partition: TopicPartition,
    header: &BatchHeader,
) -> Vec<Batch> {
    if !is_compacted {
        return vec![Batch::of(header)];
    }
    originals.of(partition, header).iter().map(Batch::of).collect()
}

/// The headers of a run of batches.
fn headers(run: &[u8], prefix: Option<Prefix>) -> Vec<(usize, BatchHeader)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(bytes) = run.get(at..).filter(|bytes| 61 <= bytes.len()) {
        let mut header = [0; 61];
        header.copy_from_slice(&bytes[..61]);
        if let Some(prefix) = prefix.filter(|_| at == 0) {
            header[..prefix.len()].copy_from_slice(&prefix);
        }
        let Ok(header) = BatchHeader::parse(&header) else { break };
        let size = header.size;
        if bytes.len() < size {
            break;
        }
        found.push((at, header));
        at += size;
    }
    found
}

impl Batch {
    fn of(header: &BatchHeader) -> Self {
        Self {
            base: header.base_offset.raw(),
            next: header.next_offset().raw(),
            epoch: header.leader_epoch.map_or(-1, |epoch| epoch.0),
            crc: header.crc,
        }
    }
}

impl Replicas {
    /// Of a run in which these topics may lose what was committed.
    pub fn of(loose: BTreeSet<Arc<str>>) -> Self {
        Self { loose, ..Self::default() }
    }

    fn is_loose(&self, partition: TopicPartition) -> bool {
        self.image.topic(partition.topic).is_some_and(|topic| self.loose.contains(&topic.name))
    }

    /// A node asks for a disk operation.
    pub fn asked(&mut self, node: usize, op: &DiskOp, coverage: &mut Coverage) {
        let is_compacted = self.is_compacted(op.partition);
        let shelf = self.shelves.entry((node, op.partition)).or_default();
        match &op.action {
            DiskAction::Write { segment, position, prefix, body } => {
                for (at, header) in headers(body, *prefix) {
                    let (segment, position) = (segment.base.raw(), position + at as u32);
                    if let Some(prefix) = prefix.as_ref().filter(|_| is_compacted && at == 0) {
                        self.originals.note(op.partition, &header, &body[..header.size], prefix);
                    }
                    let batches = originals_of(&self.originals, is_compacted, op.partition, &header);
                    if batches != [Batch::of(&header)] {
                        coverage.count("coordinators: follower is given what is compacted");
                    }
                    shelf.stored.extend(batches.into_iter().map(|batch| Stored { batch, segment, position }));
                }
            }
            DiskAction::Swap { .. } => coverage.count("coordinators: log compacted"),
            DiskAction::Truncate { segment, size, .. } => {
                let (segment, size) = (segment.base.raw(), *size);
                let gone =
                    shelf.cut(|it| segment < it.segment || (it.segment == segment && size <= it.position));
                coverage.count(if 0 < gone { "log truncated" } else { "failed writes cleared away" });
            }
            DiskAction::CreateSegment { segment } => {
                coverage.count("segment created");
                shelf.cut(|it| it.segment == segment.base.raw());
            }
            DiskAction::DeletePartition => drop(self.shelves.remove(&(node, op.partition))),
            // It may have had another one before, that moved elsewhere.
            DiskAction::CreatePartition { .. } => drop(self.observed.remove(&(node, op.partition))),
            DiskAction::Sync { .. }
            | DiskAction::Seal { .. }
            | DiskAction::Note { .. }
            | DiskAction::WriteBeside { .. }
            | DiskAction::WriteCheckpoint { .. }
            | DiskAction::Retire { .. }
            | DiskAction::MapKeys(_)
            | DiskAction::Rewrite(_)
            | DiskAction::Move(_)
            | DiskAction::Scrub(_)
            | DiskAction::Remove { .. } => {}
        }
    }

    /// A node starts: its shelves hold what recovery finds.
    pub fn recovered(
        &mut self,
        node: usize,
        partition: TopicPartition,
        disk: &Disk,
        end: Offset,
        coverage: &mut Coverage,
    ) {
        let is_compacted = self.is_compacted(partition);
        let mut shelf = Shelf::default();
        let mut has_lost_records = false;
        for (segment, bytes) in disk.segments(partition) {
            for (at, header) in headers(bytes, None) {
                let batches = originals_of(&self.originals, is_compacted, partition, &header);
                has_lost_records |= batches != [Batch::of(&header)];
                let position = at as u32;
                shelf.stored.extend(batches.into_iter().map(|batch| Stored { batch, segment, position }));
            }
        }
        if has_lost_records {
            coverage.count("coordinators: start from a log that was compacted");
        }
        // What recovery did not take, it cuts off.
        shelf.stored.retain(|it| it.batch.next <= end.raw());
        self.shelves.insert((node, partition), shelf);
    }

    /// A node ended: nothing is known of its replicas until it starts.
    pub fn stopped(&mut self, node: usize) {
        self.observed.retain(|(it, _), _| *it != node);
        self.shelves.retain(|(it, _), _| *it != node);
        self.image_seen[node] = None;
    }

    /// The engine's sequence has grown.
    pub fn committed(
        &mut self,
        sequence: &[Entry],
        processes: &[Option<Uuid>; NODE_COUNT],
        findings: &mut Findings,
        timeline: &mut Timeline,
    ) {
        for entry in &sequence[self.entries..] {
            self.entries += 1;
            let Ok(Verdict::Accept(accepted)) = self.filter.take(entry) else { continue };
            let records = record::decode(&accepted.records).expect("nodes propose what can be read");
            timeline.note(format_args!(
                "entry {} is metadata offset {}: {records:?}",
                entry.index, accepted.offset
            ));
            self.count(&records, &mut timeline.coverage);
            self.look_at_elections(&records, findings, &mut timeline.coverage);
            self.look_at_arrivals(&records, processes, findings);
            for record in &records {
                if let record::Record::Topic { name, id } = record
                    && name == renewals::NAME
                {
                    self.renewed.push((*id, accepted.offset));
                }
                let record::Record::PartitionChange(change) = record else { continue };
                if self.lacks_replicas(change.partition) {
                    self.lacked_until.insert(change.partition, timeline.now());
                }
                if let (Some(Some(_)), Some(epoch)) = (change.leader, change.leader_epoch) {
                    let committed = self.ledgers.get(&change.partition).map_or(0, Vec::len);
                    self.committed_at_election.insert((change.partition, epoch), committed);
                }
            }
            if self.image.apply_entry(accepted.offset, accepted.epoch, &records).is_ok() {
                self.images.push(self.image.clone());
            }
        }
    }

    /// Brokers that were fenced since this was asked last.
    pub fn take_fenced(&mut self) -> Vec<BrokerId> {
        std::mem::take(&mut self.fenced)
    }

    fn count(&mut self, records: &[record::Record], coverage: &mut Coverage) {
        for record in records {
            if let record::Record::BrokerState { id, state: BrokerState::Fenced, .. } = record {
                self.fenced.push(*id);
            }
            let record::Record::PartitionChange(change) = record else { continue };
            match change.leader {
                Some(Some(_)) => coverage.count("leader elected"),
                Some(None) => coverage.count("leader lost"),
                None => {}
            }
            let partition = self.image.partition(change.partition);
            if let Some(Some(leader)) = change.leader {
                let is = |set: fn(&Partition) -> &Vec<BrokerId>| {
                    partition.is_some_and(|it| set(it).contains(&leader))
                };
                match (is(|it| &it.isr), is(|it| &it.elr)) {
                    (true, _) => {}
                    (false, true) => coverage.count("leader elected who was eligible"),
                    (false, false) => coverage.count("leader elected who may lack records"),
                }
                // Nothing but a full disk takes the lead from who is in sync and goes on, and gives it to another than the preferred.
                let hands_over = partition.is_some_and(|it| {
                    let stays = |old: BrokerId| {
                        old != leader && change.isr.as_ref().unwrap_or(&it.isr).contains(&old)
                    };
                    change.replicas.is_none()
                        && it.leader.is_some_and(stays)
                        && it.replicas.first() != Some(&leader)
                });
                if hands_over {
                    coverage.count("leader that is full hands over");
                }
            }
            if change.elr.as_ref().is_some_and(|elr| !elr.is_empty()) {
                coverage.count("eligible leader replicas");
            }
            let before = partition.map_or(0, |partition| partition.isr.len());
            match change.isr.as_ref().map(Vec::len) {
                Some(now) if now < before => coverage.count("in-sync set shrunk"),
                Some(now) if before < now => coverage.count("in-sync set grown"),
                _ => {}
            }
        }
    }

    /// Who may lack records leads only where that is asked for, or where it led last and nobody else has more; and never where somebody could who has all.
    fn look_at_elections(
        &self,
        records: &[record::Record],
        findings: &mut Findings,
        coverage: &mut Coverage,
    ) {
        let comes_or_goes: BTreeSet<BrokerId> = records
            .iter()
            .filter_map(|record| match record {
                record::Record::BrokerState { id, .. } | record::Record::UnregisterBroker { id, .. } => {
                    Some(*id)
                }
                record::Record::RegisterBroker(it) => Some(it.id),
                _ => None,
            })
            .collect();
        for record in records {
            let record::Record::PartitionChange(change) = record else { continue };
            let (Some(Some(leader)), Some(true)) = (change.leader, change.recovering) else { continue };
            let Some(before) = self.image.partition(change.partition) else { continue };
            let offline = change.offline.as_ref().unwrap_or(&before.offline);
            let is_there = |id: &&BrokerId| {
                self.image.broker(**id).is_some_and(|it| it.is_active())
                    && !comes_or_goes.contains(id)
                    && !offline.contains(id)
            };
            if let Some(other) = before.isr.iter().chain(&before.elr).find(is_there) {
                let what = format!(
                    "n{leader} leads and may lack records, though n{other} has all of them: {before:?}, {change:?}"
                );
                findings.broken("I7", what);
            }
            if self.is_loose(change.partition) {
                coverage.count("unclean election");
            } else if before.last_known_elr != [leader] && !self.decided_on.contains(&change.partition) {
                let what = format!(
                    "n{leader} leads and may lack records, and nobody has asked for that: {before:?}, {change:?}"
                );
                findings.broken("I7", what);
            }
        }
    }

    /// An operator has anybody lead there, as nobody has everything for certain. Of what was acknowledged nothing may be lost by it all the same: what all had who had everything
    /// is lost here only where the power went before anything was on a disk.
    pub fn is_decided_on(&mut self, partition: TopicPartition) {
        self.decided_on.insert(partition);
    }

    /// Whoever takes part from now on may be elected wherever it counts as having everything: it has everything there, whatever became of its disks.
    fn look_at_arrivals(
        &self,
        records: &[record::Record],
        processes: &[Option<Uuid>; NODE_COUNT],
        findings: &mut Findings,
    ) {
        for record in records {
            let record::Record::BrokerState { id, state: BrokerState::Active, .. } = record else { continue };
            let node = id.0 as usize;
            // Another process of it may have begun, or none.
            if !processes[node].is_some_and(|it| self.is_registered(node, it)) {
                continue;
            }
            let has_all = |it: &Partition| it.isr.contains(id) || it.elr.contains(id);
            for (partition, _) in self.image.partitions().filter(|(_, it)| has_all(it)) {
                if let Some((committed, here)) = self.lacks(node, partition, usize::MAX) {
                    let what = format!(
                        "n{id} takes part and is to have all of {partition}; committed is {committed:?}, it has {here:?}"
                    );
                    findings.broken("I7", what);
                }
            }
        }
    }

    /// The first of so many committed batches that a node has not, and what it has there.
    fn lacks(&self, node: usize, partition: TopicPartition, count: usize) -> Option<(Batch, Option<Batch>)> {
        let ledger = self.ledgers.get(&partition).filter(|_| !self.is_loose(partition))?;
        let shelf = self.shelves.get(&(node, partition));
        let own = shelf.into_iter().flat_map(|shelf| shelf.between(0, i64::MAX));
        let own = own.map(Some).chain(std::iter::repeat(None));
        ledger.iter().take(count).copied().zip(own).find(|(batch, here)| Some(*batch) != *here)
    }

    /// The metadata after everything that was committed.
    pub fn newest_image(&self) -> Image {
        self.image.clone()
    }

    /// Whether it is a coordinator's, and so compacted.
    pub fn is_compacted(&self, partition: TopicPartition) -> bool {
        self.image.topic(partition.topic).is_some_and(|topic| topic.name.starts_with("__"))
    }

    /// Everything that was ever committed in a coordinator's log.
    pub fn whole_log(&self, partition: TopicPartition) -> Vec<u8> {
        let committed = self.ledgers.get(&partition).into_iter().flatten();
        let bytes = committed.filter_map(|batch| self.originals.bytes(partition, batch.base, batch.epoch));
        bytes.flatten().copied().collect()
    }

    /// Whether the controller knows this process of a machine, and not an earlier one.
    pub fn is_registered(&self, node: usize, incarnation: Uuid) -> bool {
        self.image.broker(crate::broker_id(node)).is_some_and(|it| it.incarnation == incarnation)
    }

    /// The same, and that one takes part: it has nothing to say any more of what it lacks.
    pub fn has_said_what_it_lacks(&self, node: usize, incarnation: Uuid) -> bool {
        let known = self.image.broker(crate::broker_id(node)).filter(|it| it.incarnation == incarnation);
        known.is_some_and(|it| it.is_active())
    }

    /// The metadata that a node has applied, if it runs.
    pub fn image_of(&self, node: usize) -> Option<&Image> {
        self.images.get(self.image_seen[node]? as usize)
    }

    /// The topics that were made one after the other under one name, and the metadata offsets at which they were.
    pub fn renewed(&self) -> &[(TopicId, u64)] {
        &self.renewed
    }

    /// Whether it is one of them.
    pub fn is_renewed(&self, id: TopicId) -> bool {
        self.renewed.iter().any(|(it, _)| *it == id)
    }

    /// Whether fewer replicas are in sync than the topic asks for.
    ///
    /// A leader hears of changes late, so the past counts too.
    pub fn lacked_replicas_lately(&self, partition: TopicPartition, now: u64) -> bool {
        self.lacks_replicas(partition)
            || self.lacked_until.get(&partition).is_some_and(|until| now < until + LATELY)
    }

    fn lacks_replicas(&self, partition: TopicPartition) -> bool {
        let Some(topic) = self.image.topic(partition.topic) else { return true };
        let min_isr =
            topic.configs.get("min.insync.replicas").and_then(|text| text.parse().ok()).unwrap_or(1);
        let state = topic.partition(partition.partition);
        state.is_none_or(|state| state.isr.len() < state.replicas.len().min(min_isr))
    }

    /// A node is told something by the engine.
    pub fn told(&mut self, life: Life, output: &Output, findings: &mut Findings) {
        if let Output::Leader { epoch } = output
            && let Some(other) = self.controllers.insert(epoch.0, life)
        {
            findings.broken("I5", format!("{life} and {other} both lead the quorum under epoch {epoch}"));
        }
    }

    /// A node has made a step; `running` tells which machines have a process.
    pub fn observe(
        &mut self,
        life: Life,
        node: &Node,
        running: [bool; NODE_COUNT],
        findings: &mut Findings,
        coverage: &mut Coverage,
    ) {
        self.compare_image(life, node, findings);
        for partition in node.partitions() {
            if let Some(replica) = node.replica(partition) {
                self.observe_replica(life, partition, replica, running, findings, coverage);
            }
        }
    }

    fn compare_image(&mut self, life: Life, node: &Node, findings: &mut Findings) {
        let applied = node.image().applied();
        if self.image_seen[life.node] == applied {
            return;
        }
        if applied < self.image_seen[life.node] {
            findings.broken("I17", format!("{life}: metadata went back to {applied:?}"));
        }
        self.image_seen[life.node] = applied;
        let expected = applied.and_then(|offset| self.images.get(offset as usize));
        if expected.is_some_and(|expected| expected != node.image()) {
            findings.broken(
                "I17",
                format!("{life}: metadata at offset {applied:?} differ from what was committed"),
            );
        }
    }

    fn observe_replica(
        &mut self,
        life: Life,
        partition: TopicPartition,
        replica: &Replica,
        running: [bool; NODE_COUNT],
        findings: &mut Findings,
        coverage: &mut Coverage,
    ) {
        let is_loose = self.is_loose(partition);
        let (log, role) = (replica.log(), replica.role());
        let high_watermark = replica.high_watermark().raw();
        let at = (life.node, partition);
        let fresh = Observed { life, role: Role::Idle, high_watermark: 0 };
        let before = self.observed.entry(at).or_insert(fresh);
        if before.life != life {
            *before = Observed { life, role: Role::Idle, high_watermark: 0 };
        }
        let role_before = std::mem::replace(&mut before.role, role);
        let high_watermark_before = std::mem::replace(&mut before.high_watermark, high_watermark);
        if log.has_failed() {
            return;
        }
        if high_watermark < high_watermark_before && !is_loose {
            let what = format!(
                "{life} {partition}: high watermark went back from {high_watermark_before} to {high_watermark}"
            );
            findings.broken("I3", what);
        }
        if replica.log().log_start().raw() > high_watermark || log.end().raw() < high_watermark {
            let (start, end) = (log.log_start(), log.end());
            findings.broken(
                "I3",
                format!("{life} {partition}: log start {start}, high watermark {high_watermark}, end {end}"),
            );
        }
        self.compare(at, log.written().raw(), findings);
        if role != role_before
            && let Role::Leader { epoch } = role
        {
            coverage.count("replica began to lead");
            self.begins_to_lead(life, partition, epoch, findings);
        }
        if high_watermark_before < high_watermark {
            self.commit(life, partition, high_watermark_before, high_watermark, running, findings);
        }
    }

    /// Log matching: a batch of the same offset and epoch is the same everywhere, and so is what comes before it.
    fn compare(&mut self, at: (usize, TopicPartition), written: i64, findings: &mut Findings) {
        let Some(shelf) = self.shelves.get_mut(&at) else { return };
        if written <= shelf.compared_to {
            return;
        }
        let first = shelf.stored.partition_point(|stored| stored.batch.next <= shelf.compared_to);
        let mut previous = first.checked_sub(1).map(|at| shelf.stored[at].batch);
        for stored in &shelf.stored[first..] {
            let batch = stored.batch;
            if written < batch.next {
                break;
            }
            let expected_base = previous.map_or(0, |previous| previous.next);
            if batch.base != expected_base {
                let what = format!("n{} {}: offset {} follows {expected_base}", at.0, at.1, batch.base);
                findings.broken("I3", what);
            }
            let here: Match = (batch, previous.map(|previous| previous.epoch));
            let known = *self.matches.entry((at.1, batch.base, batch.epoch)).or_insert(here);
            if known != here {
                let what = format!("n{} {}: {here:?} here, {known:?} elsewhere", at.0, at.1);
                findings.broken("I6", what);
            }
            previous = Some(batch);
        }
        shelf.compared_to = written;
    }

    fn begins_to_lead(
        &mut self,
        life: Life,
        partition: TopicPartition,
        epoch: LeaderEpoch,
        findings: &mut Findings,
    ) {
        let first = *self.leaders.entry((partition, epoch)).or_insert(life);
        if first != life {
            findings
                .broken("I5", format!("{life} leads {partition} under epoch {epoch}, and so did {first}"));
        }
        // What was committed since it cannot know, if it hears of its election late.
        let count = self.committed_at_election.get(&(partition, epoch)).copied().unwrap_or(0);
        if let Some((committed, here)) = self.lacks(life.node, partition, count) {
            let what = format!(
                "{life} begins to lead {partition} under epoch {epoch}; committed is {committed:?}, it has {here:?}"
            );
            findings.broken("I7", what);
        }
    }

    /// A replica says that its high watermark moved: what lies below is committed, for ever.
    fn commit(
        &mut self,
        life: Life,
        partition: TopicPartition,
        from: i64,
        to: i64,
        running: [bool; NODE_COUNT],
        findings: &mut Findings,
    ) {
        let Some(shelf) = self.shelves.get(&(life.node, partition)) else { return };
        if shelf.end() < to {
            let what = format!("{life} {partition}: high watermark {to}, but records end at {}", shelf.end());
            return findings.broken("I3", what);
        }
        if self.is_loose(partition) {
            return;
        }
        let ledger = self.ledgers.entry(partition).or_default();
        let known_to = ledger.last().map_or(0, |batch| batch.next);
        let known = batches_between(ledger, from, to.min(known_to));
        let mut here = shelf.between(from, to.min(known_to));
        for committed in known {
            let here = here.next();
            if here != Some(committed) {
                let what =
                    format!("{life} {partition}: {committed:?} was committed, {here:?} is said to be now");
                findings.broken("I2", what);
                break;
            }
        }
        if to <= known_to {
            return;
        }
        let new: Vec<Batch> = shelf.between(known_to, to).collect();
        ledger.extend_from_slice(&new);
        // Everybody in sync has what is committed; whoever is down may be elected when it comes back, but cannot be looked at.
        let in_sync = self.image.partition(partition).map(|it| it.isr.clone()).unwrap_or_default();
        for member in in_sync {
            let other = member.0 as usize;
            if other == life.node || !running[other] {
                continue;
            }
            let theirs = self
                .shelves
                .get(&(other, partition))
                .map(|shelf| shelf.between(known_to, to).collect::<Vec<_>>());
            if theirs.as_ref() != Some(&new) {
                let what = format!(
                    "{life} {partition}: offsets {known_to} to {to} are committed, but n{other}, which is in sync, has {theirs:?} of {new:?}"
                );
                findings.broken("I7", what);
            }
        }
    }
}
