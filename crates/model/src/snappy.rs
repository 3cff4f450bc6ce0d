//! Snappy as Kafka's clients write it: in the blocks of Java's `SnappyOutputStream` (xerial), or bare.
//!
//! ```text
//!   magic, 8 bytes | version i32 | oldest compatible version i32 | ( size i32 | Snappy block )*
//! ```

use std::io;

use crate::{Codec, DecompressError};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const VERSION: i32 = 1;
const HEADER_SIZE: usize = MAGIC.len() + 4 + 4;

/// What Java puts in a block.
const BLOCK_SIZE: usize = 32 * 1024;

/// Three bytes of Snappy make at most 64. A block that announces a larger growth lies.
const GROWTH_MAX: usize = 22;

pub(crate) fn compress(input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_SIZE) {
        let size_at = output.len();
        let block_at = size_at + 4;
        output.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut output[block_at..])?;
        output[size_at..block_at].copy_from_slice(&(size as u32).to_be_bytes());
        output.truncate(block_at + size);
    }
    Ok(())
}

pub(crate) fn decompress(input: &[u8], output: &mut Vec<u8>, size_max: usize) -> Result<(), DecompressError> {
    let Some(framed) = input.strip_prefix(MAGIC) else {
        return decompress_block(input, output, size_max).map(drop);
    };
    let mut rest = framed.get(HEADER_SIZE - MAGIC.len()..).ok_or(MALFORMED)?;
    let mut left = size_max;
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let size = u32::from_be_bytes(*size) as usize;
        let (block, after) = after.split_at_checked(size).ok_or(MALFORMED)?;
        left -= decompress_block(block, output, left).map_err(|error| match error {
            DecompressError::TooLarge { .. } => DecompressError::TooLarge { size_max },
            other => other,
        })?;
        rest = after;
    }
    Ok(())
}

/// What the blocks say that they unpack to, in all; `None` if they cannot be.
pub(crate) fn announced_size(input: &[u8]) -> Option<u64> {
    let Some(framed) = input.strip_prefix(MAGIC) else {
        // It has no mark to know it by, but its elements add up.
        return announced_size_of_block(input).filter(|size| elements_size(input) == Some(*size));
    };
    let mut rest = framed.get(HEADER_SIZE - MAGIC.len()..)?;
    let mut announced = 0;
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*size) as usize)?;
        announced += announced_size_of_block(block)?;
        rest = after;
    }
    Some(announced)
}

/// What the elements of a block, literals and copies, unpack to.
fn elements_size(block: &[u8]) -> Option<u64> {
    let mut rest = &block[block.iter().position(|byte| *byte < 0x80)? + 1..];
    let mut size = 0;
    while let Some((tag, after)) = rest.split_first() {
        let length = usize::from(tag >> 2);
        let (length, skipped) = match tag & 3 {
            0 if length < 60 => (length + 1, length + 1),
            0 => {
                let (bytes, _) = after.split_at_checked(length - 59)?;
                let length = bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)) + 1;
                (length, length + bytes.len())
            }
            1 => ((length & 7) + 4, 1),
            2 => (length + 1, 2),
            _ => (length + 1, 4),
        };
        rest = after.get(skipped..)?;
        size += length as u64;
    }
    Some(size)
}

fn announced_size_of_block(block: &[u8]) -> Option<u64> {
    let size = snap::raw::decompress_len(block).ok()?;
    (!block.is_empty() && size <= block.len().saturating_mul(GROWTH_MAX)).then_some(size as u64)
}

const MALFORMED: DecompressError = DecompressError::Malformed(Codec::Snappy);

fn decompress_block(block: &[u8], output: &mut Vec<u8>, size_max: usize) -> Result<usize, DecompressError> {
    let size = snap::raw::decompress_len(block).map_err(|_| MALFORMED)?;
    if size > block.len().saturating_mul(GROWTH_MAX) {
        return Err(MALFORMED);
    }
    if size > size_max {
        return Err(DecompressError::TooLarge { size_max });
    }
    let before = output.len();
    output.resize(before + size, 0);
    match snap::raw::Decoder::new().decompress(block, &mut output[before..]) {
        Ok(written) if written == size => Ok(size),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(input: &[u8], size_max: usize) -> Result<Vec<u8>, DecompressError> {
        let mut output = Vec::new();
        decompress(input, &mut output, size_max).map(|()| output)
    }

    fn framed(blocks: &[&[u8]]) -> Vec<u8> {
        let mut framed = [&MAGIC[..], &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for block in blocks {
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(block);
        }
        framed
    }

    #[test]
    fn bare_blocks_are_read_too() {
        let input = b"some text, some text, some text".repeat(5000);
        let bare = snap::raw::Encoder::new().compress_vec(&input).expect("small input");
        assert_eq!(unpacked(&bare, input.len()).as_deref(), Ok(&input[..]));
        assert_eq!(unpacked(&bare, 10), Err(DecompressError::TooLarge { size_max: 10 }));
    }

    #[test]
    fn the_limit_holds_over_all_blocks() {
        // A Snappy block of three literal bytes.
        let block = &[3, 8, b'a', b'b', b'c'];
        assert_eq!(unpacked(&framed(&[block, block]), 6).as_deref(), Ok(&b"abcabc"[..]));
        assert_eq!(unpacked(&framed(&[block, block]), 5), Err(DecompressError::TooLarge { size_max: 5 }));
        assert_eq!(unpacked(&framed(&[]), 0).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn sizes_that_lie_are_refused_before_memory_is_taken() {
        // Announces 4 GiB - 1 and brings nothing.
        let bomb = &[0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(unpacked(bomb, usize::MAX), Err(MALFORMED));
        assert_eq!(unpacked(&framed(&[bomb]), usize::MAX), Err(MALFORMED));
        let mut beyond_end = framed(&[]);
        beyond_end.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff, 3]);
        assert_eq!(unpacked(&beyond_end, 1000), Err(MALFORMED));
        assert_eq!(unpacked(&framed(&[])[..12], 1000), Err(MALFORMED));
    }
}
