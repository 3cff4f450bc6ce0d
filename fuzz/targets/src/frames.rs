//! What a connection receives is cut into the same frames however it arrives, and costs memory only for what was received.

use std::io::{self, ErrorKind, Read};

use klamm_server::cut_frames;
use klamm_wire::{FrameError, FrameLimits, Peek, peek};

use crate::{take, take_byte};

const FRAME_SIZE_MAX: u32 = 1 << 20;
const READ_SIZE: usize = 128 << 10;

/// The first byte says in which pieces, the second how many frames in one turn; then instructions for what is received.
pub fn run(mut data: &[u8]) {
    let piece_size = 1 << (6 + take_byte(&mut data) % 15);
    let turn = usize::from(take_byte(&mut data)) + 1;
    let received = received(data);
    let mut socket = Pieces { rest: &received, piece_size };
    let (frames, outcome) = cut_frames(&mut socket, FRAME_SIZE_MAX, turn);
    let (expected, error) = cut_at_once(&received);
    // A connection that is closed for nonsense may lose what came just before it.
    let is_whole = frames.len() == expected.len() || error.is_some() && frames.len() < expected.len();
    assert!(is_whole, "{} frames in pieces of {piece_size}, expected {}", frames.len(), expected.len());
    let held = received.len() - expected.iter().map(|frame| frame.len() + 4).sum::<usize>();
    match (outcome, error) {
        // Twice of what came, or what is read at once; and never much where there is little.
        (Ok(memory), None) => {
            assert!(
                memory <= (2 * held).max(READ_SIZE).min((8 * held).max(4096)),
                "{memory} bytes for {held}"
            );
        }
        (Err(told), Some(error)) => assert_eq!(told, error.to_string()),
        (outcome, error) => panic!("{outcome:?}, expected {error:?}"),
    }
}

/// Instructions of three bytes: a kind and a number. Frames larger than any input of the fuzzer come from a few bytes.
fn received(mut data: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    while !data.is_empty() && received.len() < 1 << 20 {
        let kind = take_byte(&mut data);
        let number = u16::from_be_bytes([take_byte(&mut data), take_byte(&mut data)]);
        let size = usize::from(number) * 8 + 10;
        match kind % 4 {
            0 => received.extend_from_slice(take(&mut data, usize::from(number % 64))),
            1 => {
                received.extend((size as u32).to_be_bytes());
                received.extend((0..size).map(|at| at as u8));
            }
            2 => {
                received.extend((size as u32).to_be_bytes());
                received.extend((0..size / 3).map(|at| at as u8));
            }
            _ => received.extend(u32::from(number).to_be_bytes()),
        }
    }
    received
}

fn cut_at_once(mut received: &[u8]) -> (Vec<&[u8]>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match peek(received, FrameLimits::requests(FRAME_SIZE_MAX)) {
            Ok(Peek::Frame { size }) => {
                frames.push(&received[4..4 + size]);
                received = &received[4 + size..];
            }
            Ok(Peek::NeedMore { .. }) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// Gives what there is in pieces of a size, with nothing for now in between.
struct Pieces<'a> {
    rest: &'a [u8],
    piece_size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let piece = take(&mut self.rest, self.piece_size.min(room.len()));
        if piece.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        room[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}
