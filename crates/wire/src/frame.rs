//! Finds the frames in what a connection received: a length of four bytes, and as many bytes.
//!
//! Nothing here reads. The shell puts received bytes into a [`FrameBuffer`], whose memory grows with the bytes that have
//! come and not with the length that was announced; whole frames come out.

use bytes::Bytes;
use thiserror::Error;

const LENGTH_SIZE: usize = 4;
/// Key, version, correlation id and the length of the client's name.
const REQUEST_SIZE_MIN: u32 = 10;
/// The correlation id.
const RESPONSE_SIZE_MIN: u32 = 4;
/// What a connection may receive at once before it has shown that it sends larger frames.
const CAPACITY_FIRST: usize = 64 * 1024;
/// Up to this size a frame is copied, so that a small request does not hold on to the buffer it came in.
const COPIED_SIZE_MAX: usize = 4 * 1024;

/// Which frame lengths are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Shorter ones cannot hold a header.
    pub size_min: u32,
    /// Longer ones are refused before they come.
    pub size_max: u32,
}

impl FrameLimits {
    /// For the side that receives requests.
    pub fn requests(size_max: u32) -> Self {
        Self { size_min: REQUEST_SIZE_MIN, size_max }
    }

    /// For the side that receives responses.
    pub fn responses(size_max: u32) -> Self {
        Self { size_min: RESPONSE_SIZE_MIN, size_max }
    }
}

/// Why a connection cannot go on: where the next frame starts is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum FrameError {
    #[error("frame of {size} bytes: {protocol}")]
    OtherProtocol { size: i32, protocol: LooksLike },
    #[error("frame of {size} bytes, which is negative")]
    Negative { size: i32 },
    #[error("frame of {size} bytes, less than a header")]
    TooSmall { size: u32 },
    #[error("frame of {size} bytes, more than {max}")]
    TooLarge { size: u32, max: u32 },
}

/// What speaks a protocol other than Kafka's on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum LooksLike {
    #[error("the peer seems to speak TLS")]
    Tls,
    #[error("the peer seems to speak HTTP")]
    Http,
    #[error("the peer seems to speak SSH")]
    Ssh,
}

/// What received bytes start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// No whole frame: as far as is known, this many bytes are missing.
    NeedMore {
        /// At least 1.
        missing: usize,
    },
    /// A frame of `size` bytes behind the four bytes of its length.
    Frame {
        /// Without the four bytes.
        size: usize,
    },
}

/// Tells what `received` starts with.
pub fn peek(received: &[u8], limits: FrameLimits) -> Result<Peek, FrameError> {
    let Some(length) = received.first_chunk::<LENGTH_SIZE>() else {
        return Ok(Peek::NeedMore { missing: LENGTH_SIZE - received.len() });
    };
    let size = check(*length, limits)? as usize;
    match (LENGTH_SIZE + size).checked_sub(received.len()) {
        None | Some(0) => Ok(Peek::Frame { size }),
        Some(missing) => Ok(Peek::NeedMore { missing }),
    }
}

fn check(length: [u8; LENGTH_SIZE], limits: FrameLimits) -> Result<u32, FrameError> {
    let signed = i32::from_be_bytes(length);
    let refused = match u32::try_from(signed) {
        Err(_) => FrameError::Negative { size: signed },
        Ok(size) if size < limits.size_min => FrameError::TooSmall { size },
        Ok(size) if limits.size_max < size => FrameError::TooLarge { size, max: limits.size_max },
        Ok(size) => return Ok(size),
    };
    match looks_like(length) {
        Some(protocol) => Err(FrameError::OtherProtocol { size: signed, protocol }),
        None => Err(refused),
    }
}

fn looks_like(start: [u8; LENGTH_SIZE]) -> Option<LooksLike> {
    match &start {
        [0x16, 0x03, 0x00..=0x04, _] => Some(LooksLike::Tls),
        b"SSH-" => Some(LooksLike::Ssh),
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"OPTI" | b"PATC" | b"CONN" | b"TRAC" | b"PRI " => {
            Some(LooksLike::Http)
        }
        _ => None,
    }
}

/// Received bytes of one connection, cut into frames.
///
/// Invariant: `handed_over` is older than `received`, and `received` is only filled while `handed_over` is empty.
#[derive(Debug)]
pub struct FrameBuffer {
    limits: FrameLimits,
    /// Bytes that frames are slices of; whole frames, and maybe the start of one.
    handed_over: Bytes,
    /// Bytes as they came.
    received: Vec<u8>,
    /// Start of what has not been taken from `received`.
    start: usize,
    /// The largest frame that has come in full: the peer has shown that it sends what it announces.
    proven: usize,
}

impl FrameBuffer {
    /// A buffer without memory.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, handed_over: Bytes::new(), received: Vec::new(), start: 0, proven: 0 }
    }

    /// Other limits for the frames that follow, such as after authentication.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Bytes that were received and not taken as frames.
    pub fn buffered(&self) -> usize {
        self.handed_over.len() + self.received.len() - self.start
    }

    /// Memory that is held for this connection, apart from frames that were taken.
    pub fn capacity(&self) -> usize {
        self.handed_over.len() + self.received.capacity()
    }

    /// A buffer with spare capacity, to be appended to and nothing else.
    ///
    /// Take all frames first. The capacity is at most 64 KiB, or the largest frame so far, or twice what has come of the
    /// current frame, whichever is largest.
    pub fn prepare(&mut self) -> &mut Vec<u8> {
        if !self.handed_over.is_empty() {
            let rest = std::mem::take(&mut self.handed_over);
            self.received = rest.to_vec();
            self.start = 0;
        }
        if self.start != 0 {
            self.received.drain(..self.start);
            self.start = 0;
        }
        let missing = match peek(&self.received, self.limits) {
            Ok(Peek::NeedMore { missing }) => missing,
            // Not our matter here: `next_frame` tells.
            Ok(Peek::Frame { .. }) | Err(_) => 1,
        };
        let size = self.received.len();
        let wanted = (size + missing).max(CAPACITY_FIRST);
        let allowed = CAPACITY_FIRST.max(self.proven + LENGTH_SIZE).max(2 * size);
        let capacity = wanted.min(allowed);
        if self.received.capacity() < capacity {
            self.received.reserve_exact(capacity - size);
        }
        &mut self.received
    }

    /// The next whole frame, without its length. A large one is not copied.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let unread =
            if self.handed_over.is_empty() { &self.received[self.start..] } else { &self.handed_over[..] };
        let Peek::Frame { size } = peek(unread, self.limits)? else {
            return Ok(None);
        };
        let end = LENGTH_SIZE + size;
        self.proven = self.proven.max(size);
        if self.handed_over.is_empty() {
            if size <= COPIED_SIZE_MAX {
                let frame = Bytes::copy_from_slice(&unread[LENGTH_SIZE..end]);
                self.start += end;
                return Ok(Some(frame));
            }
            let start = std::mem::take(&mut self.start);
            self.handed_over = Bytes::from(std::mem::take(&mut self.received)).slice(start..);
        }
        let frame = self.handed_over.split_to(end).slice(LENGTH_SIZE..);
        Ok(Some(frame))
    }

    /// Gives back memory that holds nothing, for a connection that is idle.
    pub fn release(&mut self) {
        if self.buffered() == 0 {
            self.received = Vec::new();
            self.handed_over = Bytes::new();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests;
