//! The four compressions of Kafka, with a limit on what may come out.
//!
//! A few hundred bytes can unpack to gigabytes. So whoever unpacks says how much at most, and memory grows only with what really comes out.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use crate::snappy;

/// Largest zstd window that we unpack: 128 MiB. Java's highest levels announce it even for small batches, so less would refuse good data. The window
/// is only memory as far as it is filled, which the limit on the output bounds.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How the body of a batch is compressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Blocks of Google's Snappy, in the framing of the Java library (xerial).
    Snappy = 2,
    /// An LZ4 frame with independent blocks.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this number in a batch's attributes.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// As Kafka's configurations spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not one of none, gzip, snappy, lz4, zstd")]
pub struct UnknownCodec;

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or(UnknownCodec)
    }
}

/// A codec and how hard it is to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compression {
    /// Which one.
    pub codec: Codec,
    /// The codec's own scale: gzip 1 to 9, zstd -131072 to 22. Out of range means the nearest. Snappy has none, and for LZ4 there is only the fast way.
    pub level: i32,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self { codec: Codec::None, level: 0 };

    /// The codec at Kafka's default level.
    pub fn of(codec: Codec) -> Self {
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => 6,
            Codec::Lz4 => 9,
            Codec::Zstd => 3,
        };
        Self { codec, level }
    }
}

/// Why a compressed body gives no records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecompressError {
    /// More would come out than is allowed: `MESSAGE_TOO_LARGE`.
    #[error("unpacks to more than {size_max} bytes")]
    TooLarge {
        /// What is allowed.
        size_max: usize,
    },
    /// Not what a compressor writes: `CORRUPT_MESSAGE`.
    #[error("malformed {0}")]
    Malformed(Codec),
}

/// Appends `input`, compressed, to `output`.
///
/// # Panics
/// If a compressor fails, which it does for no input.
pub fn compress(compression: Compression, input: &[u8], output: &mut Vec<u8>) {
    let written = match compression.codec {
        Codec::None => output.write_all(input),
        Codec::Gzip => gzip(compression.level, input, output),
        Codec::Snappy => snappy::compress(input, output),
        Codec::Lz4 => lz4(input, output),
        Codec::Zstd => zstd::stream::copy_encode(input, &mut *output, compression.level),
    };
    if let Err(error) = written {
        panic!("{} failed on {} bytes: {error}", compression.codec, input.len());
    }
}

fn gzip(level: i32, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let level = flate2::Compression::new(level.clamp(1, 9) as u32);
    let mut encoder = flate2::write::GzEncoder::new(output, level);
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

fn lz4(input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    // Java reads independent blocks only; its own have 64 KiB.
    let frame = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, output);
    encoder.write_all(input)?;
    encoder.finish()?;
    Ok(())
}

/// Appends what `input` unpacks to, at most `size_max` bytes, to `output`. After an error `output` may hold a part of it.
pub fn decompress(
    codec: Codec,
    input: &[u8],
    output: &mut Vec<u8>,
    size_max: usize,
) -> Result<(), DecompressError> {
    match codec {
        Codec::None if input.len() > size_max => Err(DecompressError::TooLarge { size_max }),
        Codec::None => {
            output.extend_from_slice(input);
            Ok(())
        }
        Codec::Gzip => read_all(codec, flate2::bufread::MultiGzDecoder::new(input), output, size_max),
        Codec::Snappy => snappy::decompress(input, output, size_max),
        Codec::Lz4 => read_all(codec, lz4_flex::frame::FrameDecoder::new(input), output, size_max),
        Codec::Zstd => {
            let malformed = |_| DecompressError::Malformed(codec);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(malformed)?;
            read_all(codec, decoder, output, size_max)
        }
    }
}

fn read_all(
    codec: Codec,
    decoder: impl Read,
    output: &mut Vec<u8>,
    size_max: usize,
) -> Result<(), DecompressError> {
    let before = output.len();
    // One byte more than allowed tells "just fits" from "too large".
    let limit = (size_max as u64).saturating_add(1);
    decoder.take(limit).read_to_end(output).map_err(|_| DecompressError::Malformed(codec))?;
    if output.len() - before > size_max { Err(DecompressError::TooLarge { size_max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn packed(codec: Codec, input: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        compress(Compression::of(codec), input, &mut packed);
        packed
    }

    fn unpacked(codec: Codec, input: &[u8], size_max: usize) -> Result<Vec<u8>, DecompressError> {
        let mut output = b"before".to_vec();
        decompress(codec, input, &mut output, size_max)?;
        assert!(output.starts_with(b"before"), "appends");
        Ok(output.split_off(b"before".len()))
    }

    #[test]
    fn a_limit_that_just_fits_and_one_that_does_not() {
        let input: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
        for codec in Codec::ALL {
            for size in [0, 1, 1000, input.len()] {
                let packed = packed(codec, &input[..size]);
                assert_eq!(unpacked(codec, &packed, size).as_deref(), Ok(&input[..size]), "{codec} {size}");
                if size > 0 {
                    let size_max = size - 1;
                    let expected = DecompressError::TooLarge { size_max };
                    assert_eq!(unpacked(codec, &packed, size_max), Err(expected), "{codec} {size}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_was_allowed() {
        let zeros = vec![0; 64 * MIB];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bomb = packed(codec, &zeros);
            let mut output = Vec::new();
            let refused = decompress(codec, &bomb, &mut output, MIB);
            assert_eq!(refused, Err(DecompressError::TooLarge { size_max: MIB }), "{codec}");
            assert!(output.capacity() <= 4 * MIB, "{codec} took {} bytes", output.capacity());
        }
    }

    #[test]
    fn a_cut_body_is_malformed() {
        let input: Vec<u8> = (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = packed(codec, &input);
            // The last four bytes of an LZ4 frame are its end mark. Without it all data is there, and it is let pass.
            let end_mark_size = if codec == Codec::Lz4 { 4 } else { 0 };
            for end in [1, 12, packed.len() / 2, packed.len() - end_mark_size - 1] {
                let refused = unpacked(codec, &packed[..end], MIB);
                assert_eq!(refused, Err(DecompressError::Malformed(codec)), "{codec} cut at {end}");
            }
        }
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        // Frame header without content size: descriptor 0, window descriptor exponent 18 = 2^28 bytes; then one raw last block of one byte.
        let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x09, 0, 0, b'x'];
        assert_eq!(unpacked(Codec::Zstd, &frame(17), MIB).as_deref(), Ok(&b"x"[..]));
        assert_eq!(unpacked(Codec::Zstd, &frame(18), MIB), Err(DecompressError::Malformed(Codec::Zstd)));
    }

    #[test]
    fn lz4_frames_of_other_writers_are_read() {
        use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
        let input: Vec<u8> = (0..300_000_u32).map(|at| (at / 3 % 251) as u8).collect();
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
                let frame = FrameInfo::new()
                    .block_mode(block_mode)
                    .block_size(block_size)
                    .content_checksum(true)
                    .block_checksums(true)
                    .content_size(Some(input.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
                encoder.write_all(&input).expect("memory");
                let packed = encoder.finish().expect("memory");
                assert_eq!(unpacked(Codec::Lz4, &packed, MIB).as_deref(), Ok(&input[..]), "{block_mode:?}");
            }
        }
    }

    #[test]
    fn names_lead_back_to_codecs() {
        for codec in Codec::ALL {
            assert_eq!(codec.name().parse(), Ok(codec));
            assert_eq!(Codec::from_id(codec.id()), Some(codec));
        }
        assert_eq!("brotli".parse::<Codec>(), Err(UnknownCodec));
        assert_eq!(Codec::from_id(5), None);
    }
}
