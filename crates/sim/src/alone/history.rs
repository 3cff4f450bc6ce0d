//! What the clients of one node were told, and what must hold of it, by the numbers of RELIABILITY.md.

use std::{collections::BTreeMap, ops::Range};

use klamm_model::TopicPartition;

use super::topics::{Kind, Rule};
use crate::{check::Findings, disk::Flip};

/// A record as a client made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Its number in its partition, which rises: the writer sends in order.
    pub number: u64,
    /// What compaction goes by.
    pub key: u8,
    /// Deletes its key.
    pub is_tombstone: bool,
    /// Milliseconds.
    pub timestamp: i64,
    /// It is the broker's, of the append.
    pub is_stamped: bool,
}

/// What is known of a record that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    made: Made,
    /// Where it was said to be kept, if that holds whatever happens.
    offset: Option<i64>,
    /// It is kept for as long as only the process ends.
    is_relaxed: bool,
}

/// One partition's history.
#[derive(Debug)]
struct Stream {
    kind: Kind,
    sent: BTreeMap<u64, Sent>,
    /// The rules that may hold: one, but for those that were asked for and have no answer.
    rules: Vec<Rule>,
    /// All that ever may have held; they may have been applied to the records up to this number.
    earlier_rules: (Vec<Rule>, u64),
    /// By offset: the record that was read there, and its time.
    read: BTreeMap<i64, (u64, i64)>,
    /// Records below were deleted by somebody's wish, which was granted.
    deleted_to: i64,
    /// The same, with wishes that nobody answered.
    wished_to: i64,
    /// Acknowledged, not synced when the power went, and no start has said that they may be lost.
    unreported: BTreeMap<i64, Made>,
    flips: Vec<Flipped>,
}

/// A batch in which a bit is flipped.
#[derive(Debug)]
struct Flipped {
    flip: Flip,
    /// A process that stopped clean knew of it: nobody is given it any more.
    is_noted: bool,
    /// The process that runs has found it: nor is anybody as long as that one lives.
    is_found: bool,
}

/// A whole partition as it was read from its start to its high watermark.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Where the log started when that was asked.
    pub log_start: i64,
    /// How far it had been deleted then.
    pub deleted_to: i64,
    /// The records with their offsets.
    pub records: Vec<(i64, Made)>,
    /// Ranges that were refused as damaged.
    pub refused: Vec<Range<i64>>,
    /// Bytes of the batches.
    pub bytes: u64,
    /// The first offset that is not committed.
    pub high_watermark: i64,
}

/// See the module.
#[derive(Default)]
pub struct History {
    /// What was found.
    pub findings: Findings,
    streams: BTreeMap<TopicPartition, Stream>,
    /// The latest time that a wall clock has shown, in milliseconds.
    pub wall_max_ms: i64,
    /// Disks were full or failed at some time: then bytes that were counted may be gone.
    pub had_bad_disk: bool,
}

impl History {
    /// A partition that nobody has heard of before.
    pub fn began(&mut self, partition: TopicPartition, kind: Kind) {
        let stream = Stream {
            kind,
            rules: vec![kind.rule()],
            earlier_rules: (vec![kind.rule()], 0),
            sent: BTreeMap::new(),
            read: BTreeMap::new(),
            deleted_to: 0,
            wished_to: 0,
            unreported: BTreeMap::new(),
            flips: Vec::new(),
        };
        self.streams.entry(partition).or_insert(stream);
    }

    fn stream(&mut self, partition: TopicPartition) -> &mut Stream {
        self.streams.get_mut(&partition).expect("only known partitions are used")
    }

    /// Records were made, and may get there.
    pub fn sent(&mut self, partition: TopicPartition, records: &[Made]) {
        let stream = self.stream(partition);
        for made in records {
            stream.sent.insert(made.number, Sent { made: *made, offset: None, is_relaxed: false });
        }
    }

    /// They are kept, from this offset on.
    pub fn taken(&mut self, partition: TopicPartition, records: &[Made], base: i64, acks_all: bool) {
        let stream = self.stream(partition);
        let is_relaxed = stream.kind == Kind::Relaxed || !acks_all;
        for (made, offset) in records.iter().zip(base..) {
            let sent = stream.sent.get_mut(&made.number).expect("it was sent");
            (sent.offset, sent.is_relaxed) = (Some(offset), is_relaxed);
        }
    }

    /// Somebody asks for another rule.
    pub fn altering(&mut self, partition: TopicPartition, rule: Rule) {
        let stream = self.stream(partition);
        stream.rules.push(rule);
        stream.earlier_rules.0.push(rule);
    }

    /// It holds from now on. Whatever was begun under another has nothing to do with records that are sent from here on.
    pub fn altered(&mut self, partition: TopicPartition, rule: Rule) {
        let stream = self.stream(partition);
        if stream.rules.iter().any(|it| *it != rule) {
            stream.earlier_rules.1 = stream.sent.keys().next_back().copied().unwrap_or(0);
        }
        stream.rules = vec![rule];
    }

    /// The machine lost power: what of a relaxed topic nobody brought to the platter may be gone.
    pub fn power_lost(&mut self, synced: impl Fn(TopicPartition) -> i64) {
        for (partition, stream) in &mut self.streams {
            let synced = synced(*partition);
            stream.read.retain(|offset, _| *offset < synced || stream.kind != Kind::Relaxed);
            for sent in stream.sent.values_mut() {
                if let Some(lost) = sent.offset.take_if(|offset| sent.is_relaxed && synced <= *offset) {
                    stream.unreported.insert(lost, sent.made);
                }
            }
        }
    }

    /// A start says that what was acknowledged from this offset on may be lost.
    pub fn loss_reported(&mut self, partition: TopicPartition, from: i64) {
        self.stream(partition).unreported.retain(|offset, _| *offset < from);
    }

    /// A wish to delete records is on its way.
    pub fn wished(&mut self, partition: TopicPartition, to: i64) {
        let stream = self.stream(partition);
        stream.wished_to = stream.wished_to.max(to);
    }

    /// It was granted.
    pub fn deleted(&mut self, partition: TopicPartition, to: i64) {
        let stream = self.stream(partition);
        stream.deleted_to = stream.deleted_to.max(to);
    }

    /// Records below are deleted, for certain.
    pub fn deleted_to(&self, partition: TopicPartition) -> i64 {
        self.streams.get(&partition).map_or(0, |stream| stream.deleted_to)
    }

    /// An answer that no fault explains.
    pub fn unexpected(&mut self, what: String) {
        self.findings.broken("I26", what);
    }

    /// An offset was looked up by a time; a reader who began at `start` has met the first record that is no older at `offset`.
    pub fn found_by_time(&mut self, partition: TopicPartition, offset: i64, start: i64, found: i64) {
        let stream = self.stream(partition);
        if found != offset && !stream.is_back(found, start) && stream.is_there(offset) {
            self.findings.broken(
                "I20",
                format!("{partition}: offset {found} by a time that is first met at {offset}"),
            );
        }
    }

    /// The largest timestamp was asked for, with the first offset that has it. A reader has met `read` as that, and nothing from `end` on, nor before
    /// `start`.
    pub fn largest_found(
        &mut self,
        partition: TopicPartition,
        read: (i64, i64),
        (start, end): (i64, i64),
        found: (i64, i64),
    ) {
        let stream = self.stream(partition);
        let is_younger = read.1 < found.1 && end <= found.0;
        let is_back = read.1 <= found.1 && stream.is_back(found.0, start);
        if found != read && !is_younger && !is_back && stream.is_there(read.0) {
            self.findings.broken(
                "I20",
                format!("{partition}: {found:?} is said to be the largest timestamp, and {read:?} was read"),
            );
        }
    }

    /// A batch was refused though the ones before it were acknowledged and cannot be lost.
    pub fn out_of_order(&mut self, partition: TopicPartition, number: u64) {
        let stream = self.stream(partition);
        // Of a producer whose last batch is damaged nobody knows where it was. That may be the one that is refused, which was taken and not answered (seed 1331).
        let before = stream.sent.range(..number).rev().find_map(|(_, sent)| sent.offset).unwrap_or(0);
        let is_damaged = stream.flips.iter().any(|it| before < it.flip.offsets.end);
        if stream.kind != Kind::Relaxed && !is_damaged {
            self.findings.broken(
                "I14",
                format!("{partition}: record {number} is next, and is refused as out of order"),
            );
        }
    }

    /// A bit of a batch is another one.
    pub fn flipped(&mut self, flip: Flip) {
        self.stream(flip.partition).flips.push(Flipped { flip, is_noted: false, is_found: false });
    }

    /// Whether a bit is flipped somewhere in a range.
    pub fn has_flips(&self, partition: TopicPartition, offsets: &Range<i64>) -> bool {
        let flips = self.streams.get(&partition).map_or(&[][..], |stream| &stream.flips);
        let is_in = |it: &Range<i64>| it.start < offsets.end && offsets.start < it.end;
        flips.iter().any(|it| is_in(&it.flip.offsets))
    }

    /// Whether there is nothing in a range but batches with flipped bits.
    pub fn has_flipped_all(&self, partition: TopicPartition, mut offsets: Range<i64>) -> bool {
        let stream = self.streams.get(&partition);
        while let Some(it) = stream.and_then(|stream| stream.flipped_at(offsets.start)) {
            offsets.start = it.flip.offsets.end;
        }
        offsets.is_empty()
    }

    /// A process that stopped clean knew that this is damaged.
    pub fn damage_noted(&mut self, partition: TopicPartition, offsets: Range<i64>) {
        self.stream(partition).flipped_within(offsets).for_each(|it| it.is_noted = true);
    }

    /// A start or a scrub has found that this is damaged.
    pub fn damage_found(&mut self, partition: TopicPartition, offsets: Range<i64>) {
        self.stream(partition).flipped_within(offsets).for_each(|it| it.is_found = true);
    }

    /// Another process knows nothing of what the one before it has found.
    pub fn process_starts(&mut self) {
        self.streams.values_mut().flat_map(|it| &mut it.flips).for_each(|it| it.is_found = false);
    }

    /// A fetch was refused because of damage. Gives what is damaged there; elsewhere, only until it is known where the damage is.
    pub fn refused(&mut self, partition: TopicPartition, at: i64) -> Option<Flip> {
        let stream = self.stream(partition);
        let flip = stream.flipped_at(at).map(|it| it.flip.clone());
        if stream.flips.is_empty() {
            self.unexpected(format!("{partition}: a fetch at {at} was refused as damaged"));
        }
        flip
    }

    /// What was given to a reader is no batch. Of damage that nobody knows, the reader is the first to know.
    pub fn garbage(&mut self, partition: TopicPartition, at: i64, why: &str) {
        if self.stream(partition).flipped_at(at).is_some_and(|it| !it.is_noted && !it.is_found) {
            return;
        }
        self.findings.broken("I3", format!("{partition}: what was given at {at} is no batch: {why}"));
    }

    /// Everything of a partition was read.
    pub fn read(&mut self, partition: TopicPartition, reading: &Reading) {
        let Self { streams, findings, wall_max_ms, had_bad_disk } = self;
        let Some(stream) = streams.get_mut(&partition) else { return };
        let mut broken = |invariant, what: String| findings.broken(invariant, format!("{partition}: {what}"));
        if reading.log_start < reading.deleted_to {
            let (start, deleted) = (reading.log_start, reading.deleted_to);
            broken("I22", format!("the log starts at {start}, after it was deleted to {deleted}"));
        }
        let mut last: Option<(i64, u64)> = None;
        for (offset, made) in &reading.records {
            let sent = stream.sent.get(&made.number).map(|sent| sent.made);
            let timestamp = sent.filter(|_| made.is_stamped).map_or(made.timestamp, |sent| sent.timestamp);
            if sent != Some(Made { timestamp, is_stamped: false, ..*made }) {
                broken("I2", format!("offset {offset} holds {made:?}, which nobody sent there"));
            }
            let is_in_time = !made.is_stamped || made.timestamp <= *wall_max_ms;
            if !is_in_time || stream.rules_of(made.number).iter().all(|it| it.stamps != made.is_stamped) {
                broken("I18", format!("offset {offset} holds {made:?}, whose time is another's"));
            }
            let now = (made.number, made.timestamp);
            let before = *stream.read.entry(*offset).or_insert(now);
            if before != now {
                broken("I9", format!("offset {offset} held record {before:?}, and now {now:?}"));
            }
            match last.replace((*offset, made.number)) {
                Some((last, _)) if *offset <= last => broken("I3", format!("offset {offset} follows {last}")),
                Some((at, last)) if made.number <= last => {
                    broken(
                        "I14",
                        format!("record {} at {offset} follows record {last} at {at}", made.number),
                    );
                }
                _ => {}
            }
        }
        if let Some((last, _)) = last.filter(|(last, _)| reading.high_watermark <= *last) {
            broken("I10", format!("offset {last} was given, with high watermark {}", reading.high_watermark));
        }
        let is_refused = |offset: i64| reading.refused.iter().any(|range| range.contains(&offset));
        let here: BTreeMap<u64, i64> = reading.records.iter().map(|(at, made)| (made.number, *at)).collect();
        for (offset, made) in std::mem::take(&mut stream.unreported) {
            if here.get(&made.number) != Some(&offset) && !is_refused(offset) {
                broken("F5", format!("{made:?} was acknowledged at {offset}, is lost, and nobody says so"));
            }
        }
        for sent in stream.sent.values() {
            let Some(offset) = sent.offset else { continue };
            let made = sent.made;
            if offset < reading.log_start {
                let rules = stream.rules_of(made.number);
                let is_past = |max| made.timestamp + max <= *wall_max_ms;
                let is_old = rules.iter().any(|it| it.age_max_ms.is_some_and(is_past));
                let is_beyond = |max| *had_bad_disk || max <= reading.bytes + Kind::UNDER_WAY_BYTES_MAX;
                let is_much = rules.iter().any(|it| it.bytes_max.is_some_and(is_beyond));
                // How old a damaged record is nobody knows.
                let is_old = is_old || stream.flipped_at(offset).is_some();
                if stream.wished_to <= offset && !is_old && !is_much {
                    broken(
                        "I22",
                        format!(
                            "{made:?} at {offset} is deleted, the log starts at {} and has {} bytes",
                            reading.log_start, reading.bytes
                        ),
                    );
                }
                continue;
            }
            match here.get(&made.number) {
                Some(at) if *at == offset => {}
                None if is_refused(offset) => {}
                Some(at) => broken("I1", format!("{made:?} was acknowledged at {offset} and is at {at}")),
                None if stream.may_be_compacted(&made, &here, &is_refused, *wall_max_ms) => {}
                None => {
                    let is_compacted = stream.rules_of(made.number).iter().any(|it| it.compacts);
                    let rule = if is_compacted { "I21" } else { "I1" };
                    let ends = (reading.log_start, reading.high_watermark);
                    broken(
                        rule,
                        format!("{made:?} was acknowledged at {offset} and is gone; the log has {ends:?}"),
                    );
                }
            }
        }
    }
}

impl Stream {
    /// The rules that may have been applied to a record.
    fn rules_of(&self, number: u64) -> &[Rule] {
        let (earlier, up_to) = &self.earlier_rules;
        if number <= *up_to { earlier } else { &self.rules }
    }

    fn flipped_within(&mut self, offsets: Range<i64>) -> impl Iterator<Item = &mut Flipped> {
        let is_within = move |it: &Range<i64>| offsets.start <= it.start && it.end <= offsets.end;
        self.flips.iter_mut().filter(move |it| is_within(&it.flip.offsets))
    }

    fn flipped_at(&self, offset: i64) -> Option<&Flipped> {
        self.flips.iter().find(|it| it.flip.offsets.contains(&offset))
    }

    /// Whether a record that was read is there still, as far as is known: nobody has wished it away, and it is not damaged since.
    fn is_there(&self, offset: i64) -> bool {
        self.wished_to <= offset && self.flipped_at(offset).is_none()
    }

    /// Whether an offset before the one at which a reader began may be there again: a crash undoes deletions that were not acknowledged.
    fn is_back(&self, offset: i64, start: i64) -> bool {
        (self.deleted_to..start).contains(&offset)
    }

    /// A younger record of its key took its place, or a tombstone that went in its time.
    fn may_be_compacted(
        &self,
        made: &Made,
        here: &BTreeMap<u64, i64>,
        is_refused: &dyn Fn(i64) -> bool,
        wall_max_ms: i64,
    ) -> bool {
        if !self.rules_of(made.number).iter().any(|it| it.compacts) {
            return false;
        }
        let went = |it: &Made| it.is_tombstone && it.timestamp + Kind::GRACE_MS <= wall_max_ms;
        let is_kept = |it: &Sent| {
            here.contains_key(&it.made.number) || went(&it.made) || it.offset.is_some_and(is_refused)
        };
        let mut younger = self.sent.range(made.number + 1..).map(|(_, sent)| sent);
        went(made) || younger.any(|it| it.made.key == made.key && is_kept(it))
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::{PartitionIndex, TopicId};

    use super::*;

    /// Records with the times 5, 9 and 9 were read.
    #[test]
    fn a_wrong_answer_about_the_largest_timestamp_is_noticed() {
        let partition = TopicPartition { topic: TopicId::ZERO, partition: PartitionIndex(0) };
        let cases = [
            ((1, 9), true),
            ((2, 9), false),
            ((0, 5), false),
            ((0, 9), true),
            ((-1, -1), false),
            ((3, 10), true),
            ((2, 10), false),
            ((3, 8), false),
        ];
        for (found, is_right) in cases {
            let mut history = History::default();
            history.began(partition, Kind::Plain);
            history.largest_found(partition, (1, 9), (1, 3), found);
            assert_eq!(history.findings.violations().is_empty(), is_right, "{found:?}");
            history.wished(partition, 2);
            history.largest_found(partition, (1, 9), (1, 3), found);
            let count = usize::from(!is_right);
            assert_eq!(history.findings.violations().len(), count, "{found:?}: that one may be deleted");
        }
    }
}
