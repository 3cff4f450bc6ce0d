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

pub(crate) fn decompress(
    input: &[u8],
    output: &mut Vec<u8>,
    size_max: usize,
) -> Result<(), DecompressError> {
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

const MALFORMED: DecompressError = DecompressError::Malformed(Codec::Snappy);

fn decompress_block(
    block: &[u8],
    output: &mut Vec<u8>,
    size_max: usize,
) -> Result<usize, DecompressError> {
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
