//! Cuts what a connection receives into frames, under budgets, copying as little as it can.
//!
//! Small frames are read many at a time; the rest of an unfinished one moves to the front of the next buffer. A large frame is read straight into
//! a buffer of its own, and never further than the length of the frame behind it, so that large frames are not copied at all. A connection that
//! has to wait keeps a buffer of about the size of what it has received, and none between two frames.
//!
//! Invariant: fresh memory is taken for at most twice what a connection sent of its unfinished frame, or 4 KiB, whatever length it announced. It may
//! have a larger buffer from the pool, of which there are few; when the frame does not get on, the owner calls [`Input::shrink`].

use std::{
    io::{self, ErrorKind, Read},
    sync::Arc,
};

use bytes::Bytes;
use klamm_wire::{FrameError, FrameLimits, Peek, peek};

use crate::buffer::{Budget, Buffer, Pool};

/// What is read at once; a frame that does not fit is a large one.
const READ_SIZE: usize = 128 << 10;

/// Frames up to this are copied out of the buffer they came in, so that a small request that waits does not hold 128 KiB.
const COPIED_SIZE_MAX: usize = 4 << 10;

/// Received bytes beyond the turn's that do not end it, as long as no frame is finished.
const UNFINISHED_BYTES_MAX: u64 = 4 << 20;

/// Bytes in front of a frame that tell its size.
const LENGTH_SIZE: usize = 4;

/// Why [`Input::receive`] stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Everything that was there has been read; the poll will tell when there is more.
    Drained,
    /// There may be more, but others want their turn too.
    Turn,
    /// The cap on frames is reached; some may be held back.
    Enough,
    /// A large frame is under way, and the budget for received bytes is exhausted.
    NoBudget,
    /// The client will send nothing more.
    Closed,
}

/// Why a connection cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// How much one call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// Frames handed out at most.
    pub(crate) frame_count: usize,
    /// Received bytes after which the turn ends.
    pub(crate) bytes: u64,
    /// Go on with a large frame though the budget is exhausted: one connection at a time may, or a full budget would never empty.
    pub(crate) may_exceed_budget: bool,
}

/// What a connection has received and not yet handed out.
#[derive(Debug)]
pub(crate) struct Input {
    limits: FrameLimits,
    /// Begins with the length of a frame, as far as that was received; never empty.
    held: Option<Buffer>,
    /// The announced size of the held frame, with its length, if it is a large one.
    large_size: Option<usize>,
    received: u64,
    /// The end is in the socket already: a short read does not mean that there is nothing more to find.
    ends: bool,
}

impl Input {
    pub(crate) fn new(limits: FrameLimits) -> Self {
        Self { limits, held: None, large_size: None, received: 0, ends: false }
    }

    /// Other limits for the frames that follow those that were handed out.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Whether bytes wait for the rest of their frame, or for their turn.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.held.is_some()
    }

    /// The memory that holds them.
    pub(crate) fn held_size(&self) -> usize {
        self.held.as_ref().map_or(0, Buffer::capacity)
    }

    /// Whether the held frame is a large one.
    pub(crate) fn is_in_large_frame(&self) -> bool {
        self.large_size.is_some()
    }

    /// Bytes received in all.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The peer has announced that it sends nothing more.
    pub(crate) fn expect_end(&mut self) {
        self.ends = true;
    }

    /// Whether the buffer of a large frame, of which little has come yet, should go back to the pool if more does not come soon.
    pub(crate) fn has_excess(&self) -> bool {
        self.held.as_ref().is_some_and(Buffer::has_excess)
    }

    /// More did not come soon.
    pub(crate) fn shrink(&mut self) {
        if let Some(held) = &mut self.held {
            held.shrink();
        }
    }

    /// What was received of a frame that is not finished.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        self.large_size = None;
        self.held.take().map_or_else(Vec::new, |held| held.filled().to_vec())
    }

    /// What was received of it is of no use to anybody.
    pub(crate) fn drop_held(&mut self) {
        (self.held, self.large_size) = (None, None);
    }

    /// Reads what the socket has, about as many `bytes` as are given, and drops it.
    pub(crate) fn discard(
        &mut self,
        socket: &mut impl Read,
        pool: &Arc<Pool>,
        bytes: u64,
    ) -> io::Result<Stop> {
        let received_end = self.received + bytes;
        let mut buffer = pool.take(READ_SIZE, READ_SIZE);
        let room = buffer.room_until(READ_SIZE);
        while self.received < received_end {
            match socket.read(room) {
                Ok(0) => return Ok(Stop::Closed),
                Ok(size) => self.received += size as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stop::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Stop::Turn)
    }

    /// Takes what the socket has and appends the finished frames to `frames`, without their lengths.
    pub(crate) fn receive(
        &mut self,
        socket: &mut impl Read,
        pool: &Arc<Pool>,
        quota: Quota,
        frames: &mut Vec<Bytes>,
    ) -> Result<Stop, InputError> {
        let frames_before = frames.len();
        let frames_end = frames_before + quota.frame_count;
        let received_end = self.received + quota.bytes;
        if let Some(held_back) = self.held.take() {
            self.split(held_back, pool, frames_end, frames)?;
        }
        let stop = loop {
            if frames.len() >= frames_end {
                break Stop::Enough;
            }
            // What has begun is better finished: an unfinished frame holds memory and is of no use to anybody.
            if self.received
                >= received_end + if frames.len() > frames_before { 0 } else { UNFINISHED_BYTES_MAX }
            {
                break Stop::Turn;
            }
            if self.large_size.is_some() && pool.budget().is_exhausted() && !quota.may_exceed_budget {
                break Stop::NoBudget;
            }
            // Up to the next frame's length: a read that ends there says where that frame's bytes belong.
            let wanted = self.large_size.map_or(READ_SIZE, |size| size + LENGTH_SIZE);
            let mut buffer = self.held.take().unwrap_or_else(|| pool.take(READ_SIZE, READ_SIZE));
            buffer.widen(wanted, READ_SIZE);
            let room = buffer.room_until(wanted);
            let room_size = room.len();
            let result = socket.read(room);
            if let Ok(size) = result {
                buffer.received(size);
                self.received += size as u64;
            }
            if buffer.len() > 0 {
                self.split(buffer, pool, frames_end, frames)?;
            }
            match result {
                Ok(0) => break Stop::Closed,
                Ok(_) if frames.len() >= frames_end => {}
                // A short read emptied the socket: asking again would only cost a system call.
                Ok(size) if size < room_size && !self.ends => break Stop::Drained,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Stop::Drained,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        if let Some(held) = &mut self.held
            && held.capacity() <= READ_SIZE
        {
            held.shrink();
        }
        Ok(stop)
    }

    /// Hands out the whole frames at the start of `buffer`, as long as there are fewer than `frames_end`, and holds the rest.
    fn split(
        &mut self,
        buffer: Buffer,
        pool: &Arc<Pool>,
        frames_end: usize,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), FrameError> {
        let received = buffer.filled();
        let first = frames.len();
        let (mut position, mut largest) = (0, 0);
        self.large_size = None;
        // Sizes first: whether the frames are slices of the buffer or copies is decided for all of it.
        let mut count = 0;
        while first + count < frames_end && position < received.len() {
            let Some(size) = announced_size(&received[position..], self.limits)? else { break };
            if received.len() < position + LENGTH_SIZE + size {
                self.large_size = (LENGTH_SIZE + size > READ_SIZE).then_some(LENGTH_SIZE + size);
                break;
            }
            position += LENGTH_SIZE + size;
            largest = largest.max(size);
            count += 1;
        }
        let rest = &received[position..];
        if count == 0 {
            self.held = Some(buffer);
            return Ok(());
        }
        if !rest.is_empty() {
            let size_wanted = self.large_size.map_or(READ_SIZE, |size| size + LENGTH_SIZE);
            let mut held = pool.take(size_wanted.min(READ_SIZE), size_wanted);
            held.append(rest);
            self.held = Some(held);
        }
        if largest <= COPIED_SIZE_MAX {
            each_frame(received, count, |start, end| {
                frames.push(Bytes::copy_from_slice(&received[start..end]))
            });
        } else {
            let all = buffer.freeze();
            each_frame(&all, count, |start, end| frames.push(all.slice(start..end)));
        }
        Ok(())
    }
}

/// The size of the frame that begins here, without its length, once the length is there.
fn announced_size(received: &[u8], limits: FrameLimits) -> Result<Option<usize>, FrameError> {
    Ok(match peek(received, limits)? {
        Peek::Frame { size } => Some(size),
        Peek::NeedMore { missing } => {
            (received.len() >= LENGTH_SIZE).then(|| received.len() - LENGTH_SIZE + missing)
        }
    })
}

/// Tells where each of the `count` whole frames at the start begins and ends.
fn each_frame(received: &[u8], count: usize, mut found: impl FnMut(usize, usize)) {
    let mut position = 0;
    for _ in 0..count {
        let length = received[position..].first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        let start = position + LENGTH_SIZE;
        position = start + length as usize;
        found(start, position);
    }
}

/// Cuts what `socket` gives into frames, at most `turn` at a time, until it has nothing for now; for those who try to break it (`fuzz/targets`).
/// Tells the frames, and then what memory the unfinished one holds or why the connection would be closed.
#[doc(hidden)]
pub fn cut_frames(
    socket: &mut impl Read,
    frame_size_max: u32,
    turn: usize,
) -> (Vec<Bytes>, Result<usize, String>) {
    let budget = Budget::new(usize::MAX);
    let pool = Pool::new(Arc::clone(&budget), 0);
    let mut input = Input::new(FrameLimits::requests(frame_size_max));
    let quota = Quota { frame_count: turn, bytes: READ_SIZE as u64, may_exceed_budget: false };
    let (mut frames, mut last) = (Vec::new(), 0);
    loop {
        let mut cut = Vec::new();
        let stop = input.receive(socket, &pool, quota, &mut cut);
        // Copied, so that the pool counts only what is unfinished.
        frames.extend(cut.iter().map(|frame| Bytes::copy_from_slice(frame)));
        drop(cut);
        match stop {
            // A short read ends a turn too: it is over when a turn brings nothing.
            Ok(Stop::Drained) if input.received() == last => {
                input.shrink();
                return (frames, Ok(budget.used()));
            }
            Ok(_) => last = input.received(),
            Err(error) => return (frames, Err(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client sends, in pieces; then nothing for now.
    struct Pieces {
        pieces: Vec<Vec<u8>>,
        reads: usize,
    }

    impl Pieces {
        fn new(bytes: &[u8], piece_size: usize) -> Self {
            let pieces = bytes.chunks(piece_size).rev().map(<[u8]>::to_vec).collect();
            Self { pieces, reads: 0 }
        }
    }

    impl Read for Pieces {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            let Some(mut piece) = self.pieces.pop() else { return Err(ErrorKind::WouldBlock.into()) };
            let rest = piece.split_off(piece.len().min(room.len()));
            if !rest.is_empty() {
                self.pieces.push(rest);
            }
            room[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    const QUOTA: Quota = Quota { frame_count: 1_000_000, bytes: u64::MAX / 2, may_exceed_budget: false };

    fn frame(size: usize, seed: usize) -> Vec<u8> {
        let mut bytes = (size as u32).to_be_bytes().to_vec();
        bytes.extend((0..size).map(|at| (at * 7 + seed) as u8));
        bytes
    }

    fn input() -> (Input, Arc<Pool>) {
        (Input::new(FrameLimits::requests(100 << 20)), Pool::new(Budget::new(1 << 30), 8 << 20))
    }

    /// Everything that comes of the pieces, each followed by a pause.
    fn receive_all(input: &mut Input, pool: &Arc<Pool>, pieces: &mut Pieces) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while !pieces.pieces.is_empty() {
            input.receive(pieces, pool, QUOTA, &mut frames).expect("good frames");
        }
        frames
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let sizes = [10, 11, 300_000, 4096, 4097, 131_068, 131_069, 12, 20];
        let bytes: Vec<u8> = sizes.iter().enumerate().flat_map(|(seed, size)| frame(*size, seed)).collect();
        for piece_size in [101, 1000, 65_536, 131_072, 200_000, 10_000_000] {
            let (mut input, pool) = input();
            let frames = receive_all(&mut input, &pool, &mut Pieces::new(&bytes, piece_size));
            assert_eq!(frames.len(), sizes.len(), "in pieces of {piece_size}");
            for (seed, (received, size)) in frames.iter().zip(sizes).enumerate() {
                assert_eq!(received, &frame(size, seed)[4..], "frame of {size} in pieces of {piece_size}");
            }
            assert!(!input.holds_bytes());
            drop(frames);
            assert_eq!(pool.budget().used(), 0);
        }
    }

    #[test]
    fn large_frames_that_are_there_cost_one_read_each() {
        let bytes: Vec<u8> = (0..20).flat_map(|seed| frame(1 << 20, seed)).collect();
        let (mut input, pool) = input();
        let mut pieces = Pieces::new(&bytes, bytes.len());
        let mut frames = Vec::new();
        for _ in 0..20 {
            // Each is done with before the next comes, as when the log has written it.
            frames.clear();
            let quota = Quota { frame_count: 1, ..QUOTA };
            input.receive(&mut pieces, &pool, quota, &mut frames).expect("a good frame");
        }
        // The first grows its buffer by doubling.
        assert!(pieces.reads <= 20 + 5, "{} reads", pieces.reads);
    }

    #[test]
    fn memory_follows_what_was_received_and_not_what_was_announced() {
        let budget = Budget::new(1 << 30);
        let pool = Pool::new(Arc::clone(&budget), 8 << 20);
        let mut waiting = Vec::new();
        for _ in 0..500 {
            let mut input = Input::new(FrameLimits::requests(100 << 20));
            let mut announced = (90_u32 << 20).to_be_bytes().to_vec();
            announced.resize(4096, 0);
            let frames = receive_all(&mut input, &pool, &mut Pieces::new(&announced, 4096));
            assert!(frames.is_empty() && input.holds_bytes());
            waiting.push(input);
        }
        assert!(budget.used() <= 500 * 8192, "{} bytes held", budget.used());
    }

    #[test]
    fn what_is_discarded_is_read_to_its_end_and_holds_nothing() {
        let (mut input, pool) = input();
        let mut frames = Vec::new();
        let mut begun = Pieces::new(&frame(500_000, 1)[..200_000], 200_000);
        input.receive(&mut begun, &pool, QUOTA, &mut frames).expect("the begin of a good frame");
        assert!(input.is_in_large_frame() && pool.budget().used() > 0);
        input.drop_held();
        assert!(!input.is_in_large_frame() && pool.budget().used() == 0);
        // Of no shape.
        let mut rest = Pieces::new(&[0xff; 400_000], 400_000);
        assert_eq!(input.discard(&mut rest, &pool, 150_000).expect("to be read"), Stop::Turn);
        assert_eq!(input.discard(&mut rest, &pool, 400_000).expect("to be read"), Stop::Drained);
        assert_eq!((input.received(), input.holds_bytes(), pool.budget().used()), (600_000, false, 0));
        assert_eq!(input.discard(&mut io::empty(), &pool, 1).expect("to be read"), Stop::Closed);
    }

    #[test]
    fn frames_above_the_cap_are_held_back_and_come_later() {
        let bytes: Vec<u8> = (0..100).flat_map(|seed| frame(100, seed)).collect();
        let (mut input, pool) = input();
        let mut pieces = Pieces::new(&bytes, bytes.len());
        let mut frames = Vec::new();
        for round in 1..=10 {
            let quota = Quota { frame_count: 10, ..QUOTA };
            assert_eq!(
                input.receive(&mut pieces, &pool, quota, &mut frames).expect("good frames"),
                Stop::Enough
            );
            assert_eq!(frames.len(), round * 10);
        }
        assert_eq!(frames[99], frame(100, 99)[4..]);
        assert!(!input.holds_bytes());
    }

    #[test]
    fn a_large_frame_waits_for_budget_and_small_ones_do_not() {
        let budget = Budget::new(1 << 20);
        let pool = Pool::new(Arc::clone(&budget), 8 << 20);
        let hog = pool.take(2 << 20, 2 << 20);
        let mut frames = Vec::new();
        let mut large = Input::new(FrameLimits::requests(100 << 20));
        let stop = large
            .receive(&mut Pieces::new(&frame(500_000, 1), 1000), &pool, QUOTA, &mut frames)
            .expect("a good frame");
        assert_eq!(stop, Stop::Drained, "one read to learn the size");
        let mut rest = Pieces::new(&frame(500_000, 1)[1000..], 1_000_000);
        assert_eq!(
            large.receive(&mut rest, &pool, QUOTA, &mut frames).expect("a good frame"),
            Stop::NoBudget
        );
        let mut small = Input::new(FrameLimits::requests(100 << 20));
        small
            .receive(&mut Pieces::new(&frame(500, 1), 1000), &pool, QUOTA, &mut frames)
            .expect("a good frame");
        assert_eq!(frames.len(), 1);
        drop(hog);
        while !rest.pieces.is_empty() {
            large.receive(&mut rest, &pool, QUOTA, &mut frames).expect("a good frame");
        }
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1], frame(500_000, 1)[4..]);
    }

    #[test]
    fn a_length_that_cannot_be_ends_it() {
        for length in
            [-1, 0, 9, 101 << 20, 0x1603_0100, i32::from_be_bytes(*b"GET "), i32::from_be_bytes(*b"SSH-")]
        {
            let (mut input, pool) = input();
            let mut bytes = frame(50, 0);
            bytes.extend(length.to_be_bytes());
            let mut frames = Vec::new();
            let error = input
                .receive(&mut Pieces::new(&bytes, 1000), &pool, QUOTA, &mut frames)
                .expect_err("refused");
            assert!(matches!(error, InputError::Frame(_)), "{error}");
            assert_eq!(pool.budget().used(), 0, "nothing is held for it");
        }
    }
}
