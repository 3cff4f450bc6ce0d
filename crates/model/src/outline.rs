//! What a compressed body says of itself without being unpacked: that it is built as its codec builds it, and how much it can unpack to at most.
//!
//! Unpacking costs five to twenty times what everything else costs that a broker does with a batch (docs/decisions/0003); this costs a look at a
//! few bytes of each block. What is damaged inside of a block is left to whoever reads it.

use crate::{Codec, DecompressError, compress::ZSTD_WINDOW_LOG_MAX, snappy};

/// Two bits of a deflate stream make at most 258 bytes.
const GZIP_GROWTH_MAX: u64 = 1032;
/// A byte of an LZ4 block adds at most 255 to the length of a match.
const LZ4_GROWTH_MAX: u64 = 255;
const ZSTD_BLOCK_SIZE_MAX: u64 = 128 << 10;

const GZIP_SIZE_MIN: usize = 18;
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most that a body can unpack to; an error if it is certain that nobody can unpack it.
pub fn unpacked_size_bound(codec: Codec, body: &[u8]) -> Result<u64, DecompressError> {
    let bound = match codec {
        Codec::None => Some(body.len() as u64),
        Codec::Gzip => gzip(body),
        Codec::Snappy => snappy::announced_size(body),
        Codec::Lz4 => lz4(body),
        Codec::Zstd => zstd(body),
    };
    bound.ok_or(DecompressError::Malformed(codec))
}

fn gzip(body: &[u8]) -> Option<u64> {
    let [0x1f, 0x8b, 8, flags, ..] = body else { return None };
    let is_possible = GZIP_SIZE_MIN <= body.len() && flags & 0xe0 == 0;
    is_possible.then_some(body.len() as u64 * GZIP_GROWTH_MAX)
}

fn lz4(body: &[u8]) -> Option<u64> {
    let descriptor = body.strip_prefix(&LZ4_MAGIC)?;
    let &[flags, block_size, ..] = descriptor else { return None };
    let has = |bit: u8| flags & bit != 0;
    let (has_block_checksums, has_content_size, has_dictionary) = (has(0x10), has(0x08), has(0x01));
    if flags >> 6 != 1 || has(0x02) || has_dictionary || block_size & 0x8f != 0 || block_size >> 4 < 4 {
        return None;
    }
    let (descriptor, rest) = descriptor.split_at_checked(if has_content_size { 10 } else { 2 })?;
    let (checksum, mut rest) = rest.split_first()?;
    if *checksum != (xxh32_of_few(descriptor) >> 8) as u8 {
        return None;
    }
    let block_size_max = 1_u64 << (8 + 2 * (block_size >> 4));
    let mut bound = 0;
    // Not every writer ends with the mark, a size of 0, and no reader looks behind it.
    while let Some((size, after)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size);
        let (size, is_stored) = (size & 0x7fff_ffff, size >> 31 == 1);
        if size == 0 {
            return Some(bound);
        }
        let (_, after) = after.split_at_checked(size as usize)?;
        (_, rest) = after.split_at_checked(if has_block_checksums { 4 } else { 0 })?;
        let size = u64::from(size);
        bound += if is_stored { size } else { size * LZ4_GROWTH_MAX }.min(block_size_max);
    }
    rest.is_empty().then_some(bound)
}

/// XXH32 of less than 16 bytes.
fn xxh32_of_few(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]);
        hash = hash.wrapping_add(word).rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in rest {
        let byte = u32::from(*byte).wrapping_mul(PRIMES[4]);
        hash = hash.wrapping_add(byte).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 16)
}

/// One frame after the other.
fn zstd(mut body: &[u8]) -> Option<u64> {
    let (mut bound, mut frames) = (0, 0);
    while !body.is_empty() {
        let (frame_bound, rest) = zstd_frame(body)?;
        bound += frame_bound;
        frames += 1;
        body = rest;
    }
    (frames > 0).then_some(bound)
}

fn zstd_frame(body: &[u8]) -> Option<(u64, &[u8])> {
    let (descriptor, rest) = body.strip_prefix(&ZSTD_MAGIC)?.split_first()?;
    let (content_size_code, is_single, has_checksum) =
        (descriptor >> 6, descriptor & 0x20 != 0, descriptor & 0x04 != 0);
    // Dictionaries are something between two parties that know each other.
    if descriptor & 0x0b != 0 {
        return None;
    }
    let window = if is_single { None } else { Some(*rest.first()?) };
    if window.is_some_and(|window| 10 + u32::from(window >> 3) > ZSTD_WINDOW_LOG_MAX) {
        return None;
    }
    let content_size_size = match content_size_code {
        0 => usize::from(is_single),
        code => 1 << code,
    };
    let (_, mut rest) = rest.split_at_checked(usize::from(!is_single) + content_size_size)?;
    let mut bound = 0;
    loop {
        let (&[low, middle, high], after) = rest.split_first_chunk()?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
        let (stored, unpacked) = match kind {
            0 => (size, u64::from(size)),
            1 => (1, u64::from(size)),
            2 => (size, ZSTD_BLOCK_SIZE_MAX),
            _ => return None,
        };
        if u64::from(size) > ZSTD_BLOCK_SIZE_MAX {
            return None;
        }
        bound += unpacked;
        (_, rest) = after.split_at_checked(stored as usize)?;
        if is_last {
            let (_, rest) = rest.split_at_checked(if has_checksum { 4 } else { 0 })?;
            return Some((bound, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, compress, decompress};

    const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn packed(codec: Codec, input: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        compress(Compression::of(codec), input, &mut packed);
        packed
    }

    #[test]
    fn nothing_unpacks_to_more_than_its_outline_tells() {
        let noise: Vec<u8> =
            (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 17) as u8).collect();
        for codec in CODECS {
            for input in [&b""[..], b"x", &noise, &vec![0; 1 << 20], &noise[..70_000].repeat(3)] {
                let bound = unpacked_size_bound(codec, &packed(codec, input)).expect("well built");
                assert!(input.len() as u64 <= bound, "{codec}: {bound} for {}", input.len());
            }
        }
    }

    #[test]
    fn what_is_not_built_as_its_codec_builds_is_refused_and_what_can_be_read_is_not() {
        let input = b"some text, some more text, and some more".repeat(5000);
        for codec in CODECS {
            let whole = packed(codec, &input);
            let refused = Err(DecompressError::Malformed(codec));
            for (what, body) in [
                ("nothing", &[][..]),
                ("one byte", &whole[..1]),
                ("a begin", &whole[..4]),
                ("garbage", &[0xa5; 100]),
                ("records in plain", b"\x10\0\0\0\x01\x02x\0\x10\0\0\0\x01\x02x\0"),
            ] {
                assert_eq!(unpacked_size_bound(codec, body), refused, "{codec}: {what}");
            }
            for at in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x55;
                let mut unpacked = Vec::new();
                if decompress(codec, &damaged, &mut unpacked, 1 << 20).is_ok() {
                    let bound =
                        unpacked_size_bound(codec, &damaged).unwrap_or_else(|error| panic!("{error}"));
                    assert!(unpacked.len() as u64 <= bound, "{codec}, byte {at}");
                }
            }
            // Gzip has no lengths that lead from part to part.
            if codec != Codec::Gzip {
                assert_eq!(unpacked_size_bound(codec, &whole[..whole.len() / 2]), refused, "{codec} cut");
            }
        }
    }

    #[test]
    fn lz4_with_every_field_there_can_be() {
        use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
        let frame = FrameInfo::new()
            .block_size(BlockSize::Max256KB)
            .content_checksum(true)
            .block_checksums(true)
            .content_size(Some(300_000));
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        std::io::Write::write_all(&mut encoder, &[7; 300_000]).expect("memory");
        let mut packed = encoder.finish().expect("memory");
        assert!(unpacked_size_bound(Codec::Lz4, &packed).is_ok_and(|bound| bound >= 300_000));
        packed[14] ^= 1;
        assert!(unpacked_size_bound(Codec::Lz4, &packed).is_err(), "the header's checksum");
    }
}
