//! Going through a file of batches header by header, with few reads. Nothing that the file says is trusted.

use std::io;

use klamm_model::{BATCH_HEADER_SIZE, BatchError, BatchHeader, Corruption};

/// Bytes read at once where one batch is looked for: several small batches, or one header and what there is after it.
pub(crate) const NEAR: usize = 4096;
/// Bytes read at once where a whole file is gone through.
pub(crate) const ALL: usize = 256 * 1024;

/// A positioned read: up to the buffer's length; less at the end of the file.
pub(crate) type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<usize> + 'a;

/// Why a walk does not go on.
#[derive(Debug)]
pub(crate) enum WalkError {
    Io(io::Error),
    Damaged(BatchError),
}

/// A walk through the first `limit` bytes of a file.
pub(crate) struct Walk<'a> {
    read: &'a mut ReadAt<'a>,
    limit: u32,
    read_size: usize,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(limit: u32, read_size: usize, read: &'a mut ReadAt<'a>) -> Self {
        Self { read, limit, read_size, window: Vec::new(), window_start: 0 }
    }

    /// The header of the batch at `position`, and the batch's end. `None` at the limit; a batch that goes beyond it is damaged.
    pub(crate) fn header_at(&mut self, position: u32) -> Result<Option<(BatchHeader, u32)>, WalkError> {
        let left = self.limit.saturating_sub(position) as usize;
        if left == 0 {
            return Ok(None);
        }
        let truncated = |need| WalkError::Damaged(Corruption::Truncated { have: left, need }.into());
        if left < BATCH_HEADER_SIZE {
            return Err(truncated(BATCH_HEADER_SIZE));
        }
        let header =
            BatchHeader::parse(self.bytes(position, BATCH_HEADER_SIZE)?).map_err(WalkError::Damaged)?;
        if left < header.size {
            return Err(truncated(header.size));
        }
        // Where the offset after the batch does not exist, neither does the batch.
        if i64::MAX - header.base_offset.raw() <= i64::from(header.last_offset_delta) + 1 {
            let problem = Corruption::Field { name: "base offset", value: header.base_offset.raw() };
            return Err(WalkError::Damaged(problem.into()));
        }
        Ok(Some((header, position + header.size as u32)))
    }

    /// A whole batch.
    pub(crate) fn batch(&mut self, position: u32, end: u32) -> Result<&[u8], WalkError> {
        self.bytes(position, (end - position) as usize)
    }

    fn bytes(&mut self, position: u32, size: usize) -> Result<&[u8], WalkError> {
        let position = u64::from(position);
        let window_end = self.window_start + self.window.len() as u64;
        if position < self.window_start || window_end < position + size as u64 {
            let left = usize::try_from(u64::from(self.limit).saturating_sub(position)).unwrap_or(usize::MAX);
            self.window.resize(self.read_size.max(size).min(left.max(size)), 0);
            self.window_start = position;
            let read = (self.read)(position, &mut self.window).map_err(WalkError::Io)?;
            self.window.truncate(read);
        }
        let at = (position - self.window_start) as usize;
        let have = self.window.len() - at;
        match self.window.get(at..at + size) {
            Some(bytes) => Ok(bytes),
            None => Err(WalkError::Damaged(Corruption::Truncated { have, need: size }.into())),
        }
    }
}
