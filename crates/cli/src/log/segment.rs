//! Going through a file of batches. Nothing that the file says is trusted.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use klamm_model::{BATCH_HEADER_SIZE, BatchHeader, BatchView, Corruption};

use super::Damage;
use super::files::LogFile;

/// Bytes read at once.
const READ_SIZE: usize = 1 << 20;

/// A file of batches.
pub(super) struct Segment {
    file: File,
    size: u64,
    position: u64,
    /// What was read from `position` on.
    window: Vec<u8>,
    /// How much of the window lies before `position`.
    used: usize,
    is_over: bool,
}

/// What comes next.
pub(super) enum Next<'a> {
    /// A whole batch; its checksum may be wrong.
    Batch(u64, BatchView<'a>),
    /// Something else. Where the next batch would begin is not known.
    Damaged(Damage),
    /// Nothing but zeros, so many, as a file that was made in its full size has them at its end.
    Preallocated(u64),
    End,
}

impl Segment {
    pub(super) fn open(file: &LogFile) -> Result<Self> {
        let opened = File::open(&file.path).with_context(|| file.path.display().to_string())?;
        Ok(Self { file: opened, size: file.size, position: 0, window: Vec::new(), used: 0, is_over: false })
    }

    /// How far it was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on there, where somebody else says that a batch begins.
    pub(super) fn go_on_at(&mut self, position: u64) {
        self.window.clear();
        (self.position, self.used, self.is_over) = (position, 0, false);
    }

    pub(super) fn next(&mut self) -> Result<Next<'_>> {
        let left = self.size - self.position;
        if left == 0 || self.is_over {
            return Ok(Next::End);
        }
        let position = self.position;
        let header = BatchHeader::parse(self.peek(BATCH_HEADER_SIZE)?);
        let size = match header {
            Ok(header) if header.size as u64 <= left => header.size,
            Ok(header) => {
                self.is_over = true;
                let have = usize::try_from(left).unwrap_or(usize::MAX);
                let cut = Corruption::Truncated { have, need: header.size };
                return Ok(Next::Damaged(Damage::at(position, &format!("the batch is cut off: {cut}"))));
            }
            Err(error) => {
                self.is_over = true;
                return Ok(if self.is_zero_from_here()? {
                    Next::Preallocated(left)
                } else {
                    Next::Damaged(Damage::at(position, &format!("no batch begins here: {error}")))
                });
            }
        };
        self.peek(size)?;
        let used = self.used;
        match BatchView::parse(&self.window[used..]) {
            Ok(batch) => {
                self.used += size;
                self.position += size as u64;
                Ok(Next::Batch(position, batch))
            }
            // The file became shorter meanwhile.
            Err(error) => {
                self.is_over = true;
                Ok(Next::Damaged(Damage::at(position, &error)))
            }
        }
    }

    /// The next bytes: `size` of them, or what is left.
    fn peek(&mut self, size: usize) -> Result<&[u8]> {
        if self.window.len() < self.used + size {
            let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
            self.window.resize(size.max(READ_SIZE).min(left), 0);
            let read = read_at(&self.file, self.position, &mut self.window)?;
            self.window.truncate(read);
            self.used = 0;
        }
        let end = self.window.len().min(self.used + size);
        Ok(&self.window[self.used..end])
    }

    fn is_zero_from_here(&self) -> Result<bool> {
        let mut buffer = vec![0; READ_SIZE];
        let mut position = self.position;
        loop {
            match read_at(&self.file, position, &mut buffer)? {
                0 => return Ok(true),
                read if buffer[..read].iter().any(|byte| *byte != 0) => return Ok(false),
                read => position += read as u64,
            }
        }
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, position: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("reading the segment"),
        }
    }
    Ok(filled)
}
