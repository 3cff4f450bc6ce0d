//! The batches of one partition on their way, in order.
//!
//! ```text
//!   sent                      closed             open
//!   [ in flight | waiting ]   [ full | full ]    [ takes records )
//!     numbered                  not numbered yet
//! ```
//! Owns the sequence numbers. Invariants: the sequences in `sent` are contiguous as long as the identity that stamped them is the current
//! one; a batch goes out again only while it is the first of `sent`, and several do only once the broker knows the identity, so a partition
//! never overtakes itself; and a batch that the broker may have stored keeps its number until the broker has said that it did not, so it is never stored twice.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{BatchBuilder, Compression, Producer, RecordHeader, Seal, Tick, Timestamp};

use super::error::Cause;
use super::question::Identity;
use super::reseal::{cut, restamped, sequence_after};
use crate::backoff::HURRIES_MAX;
use crate::call::CallId;
use crate::trouble::Failing;

/// So often a broker is asked again that refuses the number of a batch which may be stored.
const DOUBTS_MAX: u32 = 3;

/// Numbers the batches of a producer in the order they were opened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId(pub u64);

/// A batch that no longer takes records, or not any more once somebody seals it.
#[derive(Clone, Debug)]
pub(crate) struct Batch<T> {
    pub(crate) id: BatchId,
    pub(crate) tag: T,
    pub(crate) opened_at: Tick,
    /// Place of its first record in the batch as it was opened: not 0 only for the rear part of one that was cut.
    pub(crate) first_place: u32,
    pub(crate) record_count: u32,
    /// Bytes charged to the buffer: those of the records before compression.
    pub(crate) size: usize,
    pub(crate) tries: u32,
    /// What went wrong with it so far.
    pub(crate) failing: Option<Failing<Cause>>,
    /// An earlier try may have reached the log.
    pub(crate) maybe_written: bool,
    content: BatchBuilder,
    /// Must not linger: it is full, or somebody waits for it.
    is_due: bool,
}

#[derive(Debug)]
struct Sent<T> {
    batch: Batch<T>,
    bytes: Bytes,
    base_sequence: i32,
    /// Counts the batches of the partition.
    ordinal: u64,
    state: SentState,
    /// It is a part of a batch that may have reached the log as a whole.
    whole_maybe_written: bool,
    /// How often a broker said that its number can't be the next one, which only the leader can know.
    doubts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SentState {
    InFlight(CallId),
    Waiting { not_before: Tick },
}

/// What a partition could do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Something else has to happen first.
    Blocked,
    /// Nothing before this moment.
    At(Tick),
    /// A batch of about this many bytes can go.
    Ready(usize),
}

/// The batches of one partition.
#[derive(Debug)]
pub(crate) struct PartitionQueue<T> {
    pub(crate) topic: Arc<str>,
    pub(crate) index: i32,
    open: Option<Batch<T>>,
    closed: VecDeque<Batch<T>>,
    sent: VecDeque<Sent<T>>,
    stamp: Option<Identity>,
    /// Something was stored under this stamp. Before, a broker that knows nothing of us takes any number as the first.
    is_known: bool,
    next_sequence: i32,
    next_ordinal: u64,
    capacity_hint: usize,
    /// How often a new leader was asked at once since a batch was written.
    hurries: u32,
    /// Since when something could go if the partition had a leader.
    pub(crate) leaderless_since: Option<Tick>,
}

impl<T> PartitionQueue<T> {
    pub(crate) fn new(topic: Arc<str>, index: i32) -> Self {
        let (closed, sent) = (VecDeque::new(), VecDeque::new());
        Self {
            topic,
            index,
            open: None,
            closed,
            sent,
            stamp: None,
            is_known: false,
            next_sequence: 0,
            next_ordinal: 0,
            capacity_hint: 512,
            hurries: 0,
            leaderless_since: None,
        }
    }

    /// Whether there is nothing to do for this partition.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none() && self.closed.is_empty() && self.sent.is_empty()
    }

    /// Batches that wait to be sent or sent again, the open one included: the measure of how busy the partition is.
    pub(crate) fn waiting(&self) -> usize {
        let again = self.sent.len() - self.in_flight();
        again + self.closed.len() + usize::from(self.open.is_some())
    }

    /// Records that wait for an acknowledgement.
    pub(crate) fn record_count(&self) -> u64 {
        let sent = self.sent.iter().map(|sent| &sent.batch);
        sent.chain(&self.closed).chain(&self.open).map(|batch| u64::from(batch.record_count)).sum()
    }

    pub(crate) fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a record of `growth` bytes would make the open batch larger than `batch_size`.
    pub(crate) fn would_overflow(&self, growth: usize, batch_size: usize) -> bool {
        self.open.as_ref().is_some_and(|batch| batch.content.size() + growth > batch_size)
    }

    /// From now on the open batch takes no more records.
    pub(crate) fn close_open(&mut self) {
        if let Some(batch) = self.open.take() {
            self.capacity_hint = batch.size + 64;
            self.closed.push_back(batch);
        }
    }

    /// The batch that took the newest record.
    pub(crate) fn newest(&mut self) -> &mut Batch<T> {
        self.open.as_mut().or(self.closed.back_mut()).expect("a record was appended")
    }

    /// The open batch goes out as soon as it can.
    pub(crate) fn hurry(&mut self) {
        if let Some(batch) = &mut self.open {
            batch.is_due = true;
        }
    }

    pub(crate) fn open(&mut self, id: BatchId, tag: T, now: Tick, size_max: usize) {
        let content = BatchBuilder::with_capacity(self.capacity_hint.min(size_max));
        let batch = Batch {
            id,
            tag,
            opened_at: now,
            first_place: 0,
            record_count: 0,
            size: 0,
            tries: 0,
            failing: None,
            maybe_written: false,
            content,
            is_due: false,
        };
        let previous = self.open.replace(batch);
        assert!(previous.is_none(), "{}-{} had an open batch", self.topic, self.index);
    }

    /// Adds a record to the open batch: its place in the batch and the bytes it took.
    pub(crate) fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> (u32, usize) {
        let batch = self.open.as_mut().expect("the caller opened a batch");
        let place = batch.record_count;
        batch.content.append(timestamp, key, value, headers);
        let growth = batch.content.size() - batch.size;
        batch.size += growth;
        batch.record_count += 1;
        (place, growth)
    }

    /// When the first of the batches gives up.
    pub(crate) fn oldest(&self) -> Option<Tick> {
        let sent = self.sent.iter().map(|sent| sent.batch.opened_at).min();
        sent.or_else(|| self.closed.front().or(self.open.as_ref()).map(|batch| batch.opened_at))
    }

    /// What can be done now. `identity` is `None` when batches are not numbered.
    pub(crate) fn next(
        &self,
        now: Tick,
        linger_ms: u64,
        in_flight_max: usize,
        identity: Option<Identity>,
    ) -> Next {
        let waiting = self.sent.iter().position(|sent| sent.state_is_waiting());
        match waiting {
            Some(0) => {
                let front = &self.sent[0];
                let SentState::Waiting { not_before } = front.state else {
                    return Next::Blocked;
                };
                // To renumber, nothing may be under way under the old numbers.
                if self.must_renumber(identity) && !front.batch.maybe_written && self.in_flight() > 0 {
                    return Next::Blocked;
                }
                if not_before <= now { Next::Ready(front.bytes.len()) } else { Next::At(not_before) }
            }
            Some(_) => Next::Blocked,
            // Counted from the oldest that is not settled, those settled behind it included: the broker remembers only so many batches,
            // and must still know the oldest if that comes again.
            None if self.span() >= in_flight_max as u64 => Next::Blocked,
            None if self.stamp != identity && !self.sent.is_empty() => Next::Blocked,
            // The first may be refused, and what is sent behind it would be stored before it.
            None if identity.is_some() && !self.is_known && !self.sent.is_empty() => Next::Blocked,
            None => match (self.closed.front(), &self.open) {
                (Some(batch), _) => Next::Ready(batch.size),
                (None, Some(batch)) => {
                    let due = batch.opened_at.after_ms(linger_ms);
                    if batch.is_due || due <= now { Next::Ready(batch.size) } else { Next::At(due) }
                }
                (None, None) => Next::Blocked,
            },
        }
    }

    /// Sends what [`next`](Self::next) found ready.
    pub(crate) fn take(
        &mut self,
        call: CallId,
        (compression, is_transactional): (Compression, bool),
        identity: Option<Identity>,
    ) -> Bytes {
        self.leaderless_since = None;
        if self.sent.front().is_some_and(Sent::state_is_waiting) {
            if self.must_renumber(identity) && !self.sent[0].batch.maybe_written {
                self.renumber(identity);
            }
            let front = &mut self.sent[0];
            front.state = SentState::InFlight(call);
            front.batch.tries += 1;
            return front.bytes.clone();
        }
        if self.closed.is_empty() {
            self.close_open();
        }
        if self.stamp != identity {
            assert!(self.sent.is_empty(), "{}-{} renumbered in flight", self.topic, self.index);
            self.begin_numbers(identity);
        }
        let mut batch = self.closed.pop_front().expect("the caller asked whether a batch is ready");
        let base_sequence = self.next_sequence;
        let producer = self.stamp.map(|stamp| Producer { id: stamp.id, epoch: stamp.epoch, base_sequence });
        self.next_sequence = sequence_after(base_sequence, batch.record_count);
        let bytes =
            batch.content.finish(&Seal { compression, producer, is_transactional, ..Seal::default() });
        batch.tries = 1;
        let (state, ordinal) = (SentState::InFlight(call), self.next_ordinal);
        self.next_ordinal += 1;
        self.sent.push_back(Sent {
            batch,
            bytes: bytes.clone(),
            base_sequence,
            ordinal,
            state,
            whole_maybe_written: false,
            doubts: 0,
        });
        bytes
    }

    /// The batch that went out with this call is stored.
    pub(crate) fn settle(&mut self, call: CallId) -> Option<Batch<T>> {
        let place = self.place_of(call)?;
        self.hurries = 0;
        self.is_known = true;
        self.sent.remove(place).map(|sent| sent.batch)
    }

    /// The batch that went out with this call is given up. Says whether the batches behind it need new numbers.
    pub(crate) fn refuse(&mut self, call: CallId, maybe_written: bool) -> Option<(Batch<T>, bool)> {
        let place = self.place_of(call)?;
        self.sent[place].state = SentState::Waiting { not_before: Tick(0) };
        self.sent[place].batch.maybe_written |= maybe_written;
        Some(self.remove(place))
    }

    /// The batch that went out with this call has to be sent again. Says whether that has been so for long.
    pub(crate) fn retry(
        &mut self,
        (now, not_before): (Tick, Tick),
        call: CallId,
        maybe_written: Option<bool>,
        cause: Cause,
    ) -> bool {
        let Some(place) = self.place_of(call) else {
            return false;
        };
        let sent = &mut self.sent[place];
        sent.state = SentState::Waiting { not_before };
        if let Some(maybe_written) = maybe_written {
            // That a part is not in the log says nothing of the whole.
            sent.batch.maybe_written = maybe_written || sent.whole_maybe_written;
        }
        Failing::note(&mut sent.batch.failing, now, cause)
    }

    /// What is wrong with the batch that all others wait for.
    pub(crate) fn failing(&self) -> Option<&Failing<Cause>> {
        self.sent.front()?.batch.failing.as_ref()
    }

    /// Whether the batch of this call has several records.
    pub(crate) fn can_be_cut(&self, call: CallId) -> bool {
        self.place_of(call).is_some_and(|place| self.sent[place].batch.record_count > 1)
    }

    /// The batch of this call is too large for its broker: two of half as many records take its place, under the numbers that they had. Gives
    /// the batch's id, which both have.
    pub(crate) fn cut(&mut self, call: CallId, compression: Compression) -> BatchId
    where
        T: Clone,
    {
        let place = self.place_of(call).expect("the caller asked whether it can be cut");
        let front = &mut self.sent[place];
        let mut batch = front.batch.clone();
        let count = batch.record_count / 2;
        let ([front_bytes, bytes], size) = cut(&front.bytes, count, compression);
        // What is charged for both is what was charged for the whole: the header to the first.
        batch.size = size.min(batch.size);
        batch.record_count -= count;
        batch.first_place += count;
        front.batch.size -= batch.size;
        (front.batch.record_count, front.bytes) = (count, front_bytes);
        front.state = SentState::Waiting { not_before: Tick(0) };
        front.whole_maybe_written |= batch.maybe_written;
        let rear = Sent { batch, bytes, base_sequence: sequence_after(front.base_sequence, count), ..*front };
        let id = rear.batch.id;
        self.sent.insert(place + 1, rear);
        id
    }

    /// The partition is led by somebody else, or by the same broker anew: there is no reason to wait for an old failure.
    pub(crate) fn leader_changed(&mut self) {
        self.hurries = self.hurries.saturating_add(1);
        if self.hurries > HURRIES_MAX {
            return;
        }
        for sent in self.sent.iter_mut().filter(|sent| sent.state_is_waiting()) {
            sent.state = SentState::Waiting { not_before: Tick(0) };
        }
    }

    /// Whether the batch of this call is the one that all others wait for, under the current numbers.
    pub(crate) fn is_first(&self, call: CallId) -> bool {
        self.place_of(call) == Some(0)
    }

    /// Whether the batch of this call may be in the log, and all others wait for it.
    pub(crate) fn is_first_and_maybe_written(&self, call: CallId) -> bool {
        self.is_first(call) && self.sent[0].batch.maybe_written
    }

    /// The number of such a batch is refused. Who says so may have been replaced as leader and not know it, and whether the batch is stored is then
    /// known to the new one only: so it is asked for again, a few times. A part of a batch that is stored as a whole is known to nobody.
    pub(crate) fn may_doubt(&mut self) -> bool {
        let first = &mut self.sent[0];
        first.doubts += 1;
        !first.whole_maybe_written && first.doubts <= DOUBTS_MAX
    }

    /// When the batch of this call was opened, if this is its first try.
    pub(crate) fn opened_first_sent(&self, call: CallId) -> Option<Tick> {
        let batch = &self.sent[self.place_of(call)?].batch;
        (batch.tries == 1).then_some(batch.opened_at)
    }

    /// How often the batch of this call was sent.
    pub(crate) fn tries(&self, call: CallId) -> u32 {
        self.place_of(call).map_or(0, |place| self.sent[place].batch.tries)
    }

    /// Removes every batch opened before `opened_before`. Says whether those that stay need new numbers.
    pub(crate) fn expire(&mut self, opened_before: Tick, mut each: impl FnMut(Batch<T>)) -> bool {
        let mut must_renumber = false;
        while let Some(place) = self.sent.iter().position(|sent| sent.batch.opened_at < opened_before) {
            let (batch, renumber) = self.remove(place);
            must_renumber |= renumber;
            each(batch);
        }
        while self.closed.front().is_some_and(|batch| batch.opened_at < opened_before) {
            self.closed.pop_front().into_iter().for_each(&mut each);
        }
        if self.open.as_ref().is_some_and(|batch| batch.opened_at < opened_before) {
            self.open.take().into_iter().for_each(each);
        }
        must_renumber
    }

    /// Removes every batch that is not under way. Says whether the numbers can't go on.
    pub(crate) fn give_up_waiting(&mut self, each: impl FnMut(Batch<T>)) -> bool {
        let (mut given_up, mut must_renumber) = (Vec::new(), false);
        while let Some(place) = self.sent.iter().rposition(Sent::state_is_waiting) {
            let (batch, renumber) = self.remove(place);
            must_renumber |= renumber;
            given_up.push(batch);
        }
        given_up.reverse();
        given_up.into_iter().chain(self.closed.drain(..)).chain(self.open.take()).for_each(each);
        must_renumber
    }

    /// The topic was made anew: its log knows none of our numbers.
    pub(crate) fn forget_numbers(&mut self) {
        self.stamp = None;
        for sent in &mut self.sent {
            (sent.batch.maybe_written, sent.whole_maybe_written) = (false, false);
        }
    }

    /// Whether this partition still counts under `identity`.
    pub(crate) fn is_stamped(&self, identity: Identity) -> bool {
        self.stamp == Some(identity)
    }

    fn remove(&mut self, place: usize) -> (Batch<T>, bool) {
        let mut sent = self.sent.remove(place).expect("found before");
        let is_last = place == self.sent.len();
        sent.batch.maybe_written |= !sent.state_is_waiting();
        let is_surely_unwritten = !sent.batch.maybe_written;
        if self.stamp.is_none() {
            return (sent.batch, false);
        }
        if is_last && is_surely_unwritten {
            self.next_sequence = sent.base_sequence;
            return (sent.batch, false);
        }
        (sent.batch, true)
    }

    fn place_of(&self, call: CallId) -> Option<usize> {
        self.sent.iter().position(|sent| sent.state == SentState::InFlight(call))
    }

    /// Batches numbered since the oldest that is not settled, itself included.
    fn span(&self) -> u64 {
        self.sent.front().map_or(0, |front| self.next_ordinal - front.ordinal)
    }

    fn in_flight(&self) -> usize {
        self.sent.iter().filter(|sent| !sent.state_is_waiting()).count()
    }

    fn begin_numbers(&mut self, identity: Option<Identity>) {
        (self.stamp, self.is_known, self.next_sequence) = (identity, false, 0);
    }

    fn must_renumber(&self, identity: Option<Identity>) -> bool {
        identity.is_some() && self.stamp != identity
    }

    fn renumber(&mut self, identity: Option<Identity>) {
        let Some(Identity { id, epoch }) = identity else {
            return;
        };
        self.begin_numbers(identity);
        for sent in &mut self.sent {
            sent.base_sequence = self.next_sequence;
            (sent.batch.maybe_written, sent.whole_maybe_written, sent.doubts) = (false, false, 0);
            sent.bytes = restamped(&sent.bytes, Producer { id, epoch, base_sequence: sent.base_sequence });
            self.next_sequence = sequence_after(self.next_sequence, sent.batch.record_count);
        }
    }
}

impl<T> Sent<T> {
    fn state_is_waiting(&self) -> bool {
        matches!(self.state, SentState::Waiting { .. })
    }
}
