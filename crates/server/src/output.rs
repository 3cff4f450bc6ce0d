//! What a connection still has to send: encoded answers and ranges of segment files, in order.
//!
//! File ranges are read and sent a piece at a time, so a slow reader costs no more memory than the answers' own bytes.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, IoSlice, Write},
    os::fd::AsFd,
    sync::Arc,
};

use bytes::{Buf, Bytes};
use rustix::io::{Errno, ReadWriteFlags};

/// Slices handed to one system call; Linux takes 1,024, few are ever needed.
const SLICE_COUNT_MAX: usize = 64;

/// File bytes read for one system call: enough to make the calls rare, little enough to stay in the processor's cache.
pub(crate) const FILE_PIECE_SIZE: usize = 256 << 10;

/// How file ranges reach the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSending {
    /// Read into a buffer of the I/O thread and written together with what is around them.
    Copy,
    /// By `sendfile`.
    SendFile,
}

/// A range of a file.
#[derive(Clone, Debug)]
pub(crate) struct FilePiece {
    pub(crate) file: Arc<File>,
    pub(crate) position: u64,
    pub(crate) size: usize,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    File(FilePiece),
}

/// Why [`Output::write`] stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// All is sent.
    Empty,
    /// The socket takes no more for now; the poll will tell.
    Blocked,
    /// There is more, but others want their turn too.
    Turn,
    /// These bytes are not in the page cache, and network threads do not wait for disks.
    NotCached(FilePiece),
}

/// Everything a connection has still to send.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes in memory among them.
    memory_bytes: usize,
    sent: u64,
}

impl Output {
    pub(crate) fn push(&mut self, piece: Piece) {
        match &piece {
            Piece::Bytes(bytes) if bytes.is_empty() => return,
            Piece::File(range) if range.size == 0 => return,
            Piece::Bytes(bytes) => self.memory_bytes += bytes.len(),
            Piece::File(_) => {}
        }
        self.pieces.push_back(piece);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait in memory, file ranges not counted.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Bytes sent in all.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends as much as the socket takes, at most about `bytes_max`.
    pub(crate) fn write<S: AsFd + Write>(
        &mut self,
        socket: &mut S,
        scratch: &mut Scratch,
        how: FileSending,
        bytes_max: u64,
    ) -> io::Result<Stop> {
        let end = self.sent + bytes_max;
        while !self.pieces.is_empty() {
            if self.sent >= end {
                return Ok(Stop::Turn);
            }
            let outcome = match (how, self.pieces.front()) {
                (FileSending::SendFile, Some(Piece::File(range))) => send_file(socket, range),
                _ => {
                    if let Err(missing) = scratch.fill(&self.pieces, how) {
                        match missing {
                            Missing::NotCached(range) => return Ok(Stop::NotCached(range)),
                            Missing::Failed(error) => return Err(error),
                        }
                    }
                    scratch.send(&self.pieces, socket)
                }
            };
            match outcome {
                Ok((0, _)) => return Err(ErrorKind::WriteZero.into()),
                Ok((sent, asked)) => {
                    self.advance(sent);
                    if sent < asked {
                        return Ok(Stop::Blocked);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stop::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Stop::Empty)
    }

    fn advance(&mut self, mut sent: usize) {
        self.sent += sent as u64;
        while sent > 0 {
            let (size, done) = match self.pieces.front_mut() {
                Some(Piece::Bytes(bytes)) => {
                    let size = sent.min(bytes.len());
                    bytes.advance(size);
                    self.memory_bytes -= size;
                    (size, bytes.is_empty())
                }
                Some(Piece::File(range)) => {
                    let size = sent.min(range.size);
                    range.position += size as u64;
                    range.size -= size;
                    (size, range.size == 0)
                }
                None => unreachable!("{sent} bytes sent beyond the queue"),
            };
            sent -= size;
            if done {
                self.pieces.pop_front();
            }
        }
    }
}

fn send_file(socket: &impl AsFd, range: &FilePiece) -> io::Result<(usize, usize)> {
    let asked = range.size.min(4 * FILE_PIECE_SIZE);
    let mut position = range.position;
    let sent = rustix::fs::sendfile(socket, &range.file, Some(&mut position), asked)?;
    if sent == 0 {
        return Err(file_too_short(range));
    }
    Ok((sent, asked))
}

fn file_too_short(range: &FilePiece) -> io::Error {
    io::Error::new(
        ErrorKind::UnexpectedEof,
        format!("a segment file ends before {}", range.position + range.size as u64),
    )
}

enum Missing {
    NotCached(FilePiece),
    Failed(io::Error),
}

/// Buffer of an I/O thread for file bytes on their way to a socket.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    /// Sizes of the pieces at the front of a queue that go out with the next call; a file's bytes are in `bytes`, one after the other.
    plan: Vec<usize>,
}

impl Scratch {
    /// Gives the memory back, when nothing is being sent.
    pub(crate) fn trim(&mut self) {
        self.bytes = Vec::new();
    }

    fn fill(&mut self, pieces: &VecDeque<Piece>, how: FileSending) -> Result<(), Missing> {
        self.plan.clear();
        let mut filled = 0;
        for piece in pieces.iter().take(SLICE_COUNT_MAX) {
            match piece {
                Piece::Bytes(bytes) => self.plan.push(bytes.len()),
                Piece::File(_) if how == FileSending::SendFile => break,
                Piece::File(range) => {
                    let size = range.size.min(FILE_PIECE_SIZE - filled);
                    if size == 0 {
                        break;
                    }
                    if self.bytes.is_empty() {
                        self.bytes = vec![0; FILE_PIECE_SIZE];
                    }
                    let read = match read_cached(range, &mut self.bytes[filled..filled + size]) {
                        Ok(0) => return Err(Missing::Failed(file_too_short(range))),
                        Ok(read) => read,
                        // What is in front of it can go; it is asked for again when it is the first.
                        Err(error) if error.kind() == ErrorKind::WouldBlock && !self.plan.is_empty() => break,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            return Err(Missing::NotCached(range.clone()));
                        }
                        Err(error) => return Err(Missing::Failed(error)),
                    };
                    self.plan.push(read);
                    filled += read;
                    if read < range.size {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns how much was sent and how much was offered.
    fn send(&self, pieces: &VecDeque<Piece>, socket: &mut impl Write) -> io::Result<(usize, usize)> {
        let mut slices = [IoSlice::new(&[]); SLICE_COUNT_MAX];
        let (mut taken, mut offered) = (0, 0);
        for ((slice, piece), size) in slices.iter_mut().zip(pieces).zip(&self.plan) {
            *slice = match piece {
                Piece::Bytes(bytes) => IoSlice::new(bytes),
                Piece::File(_) => {
                    taken += size;
                    IoSlice::new(&self.bytes[taken - size..taken])
                }
            };
            offered += size;
        }
        socket.write_vectored(&slices[..self.plan.len()]).map(|sent| (sent, offered))
    }
}

/// Reads what the page cache has; `WouldBlock` if it has nothing of it.
fn read_cached(range: &FilePiece, buffer: &mut [u8]) -> io::Result<usize> {
    let slices = &mut [io::IoSliceMut::new(buffer)];
    match rustix::io::preadv2(&range.file, slices, range.position, ReadWriteFlags::NOWAIT) {
        // Some file systems have no answer to "without waiting", tmpfs among them.
        Err(Errno::OPNOTSUPP) => {
            let [slice] = slices;
            Ok(rustix::io::pread(&range.file, &mut **slice, range.position)?)
        }
        other => Ok(other?),
    }
}

/// Reads a range so that it is in the page cache afterwards; blocks.
pub(crate) fn warm(range: &FilePiece) -> io::Result<()> {
    let mut buffer = vec![0; range.size.min(FILE_PIECE_SIZE)];
    let mut done = 0;
    // As much as one turn sends; the kernel's own read-ahead takes it from there.
    let wanted = range.size.min(4 * FILE_PIECE_SIZE);
    while done < wanted {
        match rustix::io::pread(&range.file, &mut buffer[..], range.position + done as u64)? {
            0 => return Err(file_too_short(range)),
            size => done += size,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::{BorrowedFd, OwnedFd};

    use super::*;

    /// A socket that takes a limited number of bytes at each call, and then none for once.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
        is_blocked: bool,
        fd: OwnedFd,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.is_blocked = !self.is_blocked;
            if self.is_blocked {
                return Err(ErrorKind::WouldBlock.into());
            }
            let before = self.taken.len();
            for slice in slices {
                let left = self.width - (self.taken.len() - before);
                self.taken.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            Ok(self.taken.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsFd for Narrow {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.fd.as_fd()
        }
    }

    #[test]
    fn what_was_pushed_arrives_in_order_however_little_is_taken_at_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("segment");
        let contents: Vec<u8> = (0..700_000).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &contents).expect("to be written");
        let file = Arc::new(File::open(&path).expect("just written"));
        for width in [5_000, 100_000, 1 << 20] {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for round in 0..20 {
                let bytes = Bytes::from(vec![round; 3000]);
                expected.extend(&bytes);
                output.push(Piece::Bytes(bytes));
                let (position, size) = (usize::from(round) * 20_000, usize::from(round) * 15_000);
                expected.extend(&contents[position..position + size]);
                output.push(Piece::File(FilePiece {
                    file: Arc::clone(&file),
                    position: position as u64,
                    size,
                }));
            }
            let mut socket = Narrow {
                taken: Vec::new(),
                width,
                is_blocked: false,
                fd: File::open("/dev/null").expect("there").into(),
            };
            let mut scratch = Scratch::default();
            while !output.is_empty() {
                output.write(&mut socket, &mut scratch, FileSending::Copy, 1 << 20).expect("a good socket");
            }
            assert!(socket.taken == expected, "by {width} bytes");
            assert_eq!((output.memory_bytes(), output.sent()), (0, expected.len() as u64));
        }
    }

    #[test]
    fn a_file_that_ends_too_early_ends_the_connection() {
        let mut output = Output::default();
        let file = Arc::new(File::open("/dev/null").expect("there"));
        output.push(Piece::File(FilePiece { file, position: 0, size: 10 }));
        let mut socket = Narrow {
            taken: Vec::new(),
            width: 100,
            is_blocked: false,
            fd: File::open("/dev/null").expect("there").into(),
        };
        assert!(output.write(&mut socket, &mut Scratch::default(), FileSending::Copy, 100).is_err());
    }
}
