//! Memory for received bytes: pooled so that no request pays for fresh pages, and charged to one budget for the whole server.
//!
//! Invariant: `Budget::used` is the sum of the sizes of all living [`Buffer`]s; the pool's free buffers are not counted, each pool caps its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

/// The least a buffer of a waiting connection has.
const FRESH_SIZE_MIN: usize = 4096;

/// Buffers below this are cheaper to allocate than to keep.
const POOLED_SIZE_MIN: usize = 64 << 10;

/// How much received data the whole server may hold at once; or, another one, how many bytes of answers.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    /// That part of it which whole requests hold: they are being worked on, and it comes back by itself.
    frozen: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), frozen: AtomicUsize::new(0), limit })
    }

    /// Whether large frames have to wait. Small ones pass all the same: they are what keeps the others' answers coming.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }

    /// Whether it is unfinished frames that have used it up, of which none is ever finished unless one of them may exceed it.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_exhausted() && self.frozen.load(Ordering::Relaxed) < self.limit / 4
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self, size: usize) {
        self.used.fetch_add(size, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, size: usize) {
        self.used.fetch_sub(size, Ordering::Relaxed);
    }
}

/// Free buffers of one I/O thread. Buffers come back from whichever thread drops the last slice of a frame.
#[derive(Debug)]
pub(crate) struct Pool {
    budget: Arc<Budget>,
    /// Free memory kept while there is traffic; [`Pool::trim`] gives it back when there is none.
    kept_bytes_max: usize,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// The one given back last is on top: its memory is the likeliest to be in the processor's cache.
    buffers: Vec<Vec<u8>>,
    size: usize,
}

impl Pool {
    pub(crate) fn new(budget: Arc<Budget>, kept_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { budget, kept_bytes_max, free: Mutex::default() })
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A pooled buffer that can hold `size_wanted`, else a new one of `size_fresh`.
    pub(crate) fn take(self: &Arc<Self>, size_fresh: usize, size_wanted: usize) -> Buffer {
        self.take_pooled(size_wanted).unwrap_or_else(|| self.take_fresh(size_fresh))
    }

    fn take_pooled(self: &Arc<Self>, size_min: usize) -> Option<Buffer> {
        let mut free = self.free.lock();
        let fit = free.buffers.iter().rposition(|buffer| buffer.len() >= size_min)?;
        let data = free.buffers.remove(fit);
        free.size -= data.len();
        drop(free);
        Some(self.buffer(data))
    }

    fn take_fresh(self: &Arc<Self>, size: usize) -> Buffer {
        self.buffer(vec![0; size])
    }

    fn buffer(self: &Arc<Self>, data: Vec<u8>) -> Buffer {
        self.budget.charge(data.len());
        Buffer { data, filled: 0, is_frozen: false, pool: Arc::clone(self) }
    }

    /// Gives all free memory back. Returns whether there was any.
    pub(crate) fn trim(&self) -> bool {
        let mut free = self.free.lock();
        free.size = 0;
        !std::mem::take(&mut free.buffers).is_empty()
    }

    fn give_back(&self, data: Vec<u8>) {
        self.budget.release(data.len());
        if data.len() < POOLED_SIZE_MIN || self.kept_bytes_max < data.len() {
            return;
        }
        let mut free = self.free.lock();
        free.size += data.len();
        free.buffers.push(data);
        // Those at the bottom have not been wanted for longest; what was just given back is of the size that is in use.
        let mut excess = 0;
        while free.size > self.kept_bytes_max {
            free.size -= free.buffers[excess].len();
            excess += 1;
        }
        free.buffers.drain(..excess);
    }
}

/// Received bytes and the room behind them.
///
/// All of `data` is initialised, so reads go straight into it; `filled` says how much of it was received.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    filled: usize,
    is_frozen: bool,
    pool: Arc<Pool>,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[..self.filled]
    }

    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// The room behind the received bytes, so that at most `end` bytes are received in all.
    pub(crate) fn room_until(&mut self, end: usize) -> &mut [u8] {
        let end = end.min(self.data.len());
        &mut self.data[self.filled..end.max(self.filled)]
    }

    pub(crate) fn received(&mut self, size: usize) {
        assert!(
            self.filled + size <= self.data.len(),
            "{size} bytes received into {} of room",
            self.data.len() - self.filled
        );
        self.filled += size;
    }

    /// Copies bytes behind those already there, making room if need be.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.data.len() < self.filled + bytes.len() {
            self.grow_to(self.filled + bytes.len());
        }
        self.data[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Makes room so that `size_wanted` bytes can be held in all: at once where the pool has such a buffer or it is at most `size_cheap`, else by
    /// doubling when what there is is full, so that memory grows with what is received and not with what was announced.
    pub(crate) fn widen(&mut self, size_wanted: usize, size_cheap: usize) {
        if self.data.len() >= size_wanted {
            return;
        }
        if let Some(mut larger) = self.pool.take_pooled(size_wanted) {
            larger.append(self.filled());
            *self = larger;
        } else if size_wanted <= size_cheap {
            self.grow_to(size_wanted);
        } else if self.filled == self.data.len() {
            self.grow_to((self.data.len() * 2).clamp(FRESH_SIZE_MIN, size_wanted.max(FRESH_SIZE_MIN)));
        }
    }

    /// Whether there is far more room than what was received.
    pub(crate) fn has_excess(&self) -> bool {
        (8 * self.filled).max(FRESH_SIZE_MIN) < self.data.len()
    }

    /// The room there is, used and unused.
    pub(crate) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Gives up room that is far more than what was received; for a connection that waits.
    pub(crate) fn shrink(&mut self) {
        if self.has_excess() {
            let mut smaller = self.pool.take_fresh((2 * self.filled).max(FRESH_SIZE_MIN));
            smaller.append(self.filled());
            *self = smaller;
        }
    }

    fn grow_to(&mut self, size: usize) {
        let before = self.data.len();
        if before < size {
            self.data.resize(size, 0);
            self.pool.budget.charge(size - before);
        }
    }

    /// The received bytes, to be sliced without copying. The memory goes back to the pool when the last slice is gone.
    pub(crate) fn freeze(mut self) -> Bytes {
        self.is_frozen = true;
        self.pool.budget.frozen.fetch_add(self.data.len(), Ordering::Relaxed);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.filled()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_frozen {
            self.pool.budget.frozen.fetch_sub(self.data.len(), Ordering::Relaxed);
        }
        self.pool.give_back(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_slice_is_dropped() {
        let budget = Budget::new(1 << 20);
        let pool = Pool::new(Arc::clone(&budget), 1 << 20);
        let mut buffer = pool.take(64 << 10, 64 << 10);
        buffer.append(b"one two");
        let all = buffer.freeze();
        let (one, two) = (all.slice(..3), all.slice(4..));
        drop((all, one));
        assert_eq!(budget.used(), 64 << 10);
        assert_eq!(two, "two");
        drop(two);
        assert_eq!(budget.used(), 0);
        let again = pool.take(1, 64 << 10);
        assert_eq!(again.data.len(), 64 << 10, "the pooled one");
        assert!(!pool.trim());
        drop(again);
        assert!(pool.trim());
    }

    #[test]
    fn a_budget_is_stuck_when_no_whole_request_will_give_anything_back() {
        let budget = Budget::new(100_000);
        let pool = Pool::new(Arc::clone(&budget), 1 << 20);
        let unfinished = pool.take(60_000, 60_000);
        let whole = pool.take(40_000, 40_000).freeze();
        assert!(budget.is_exhausted() && !budget.is_stuck());
        drop(whole);
        assert!(!budget.is_stuck(), "there is budget");
        let _another = pool.take(40_000, 40_000);
        assert!(budget.is_stuck());
        drop(unfinished);
        assert!(!budget.is_stuck());
    }

    #[test]
    fn growth_is_charged() {
        let budget = Budget::new(10_000);
        let pool = Pool::new(Arc::clone(&budget), 1 << 20);
        let mut buffer = pool.take(4096, 4096);
        buffer.append(&[1; 4096]);
        assert!(buffer.room_until(100_000).is_empty() && !budget.is_exhausted());
        buffer.widen(100_000, 4096);
        assert_eq!(budget.used(), 8192);
        buffer.widen(10_000, 16_384);
        assert!(budget.is_exhausted());
        assert_eq!((buffer.room_until(5000).len(), buffer.room_until(100).len()), (904, 0));
        drop(buffer);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_full_pool_forgets_what_was_not_wanted_for_longest() {
        let pool = Pool::new(Budget::new(1 << 30), 1 << 20);
        let small: Vec<Buffer> = (0..16).map(|_| pool.take(64 << 10, 64 << 10)).collect();
        let large = pool.take(512 << 10, 512 << 10);
        drop(small);
        drop(large);
        let sizes: Vec<usize> = pool.free.lock().buffers.iter().map(|data| data.len() >> 10).collect();
        assert_eq!(sizes, [64, 64, 64, 64, 64, 64, 64, 64, 512]);
        assert_eq!(pool.free.lock().size, 1 << 20);
    }
}
