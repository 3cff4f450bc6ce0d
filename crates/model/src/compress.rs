//! The four compressions of Kafka, with a limit on what may come out.
//!
//! A few hundred bytes can unpack to gigabytes. So whoever unpacks says how much at most, and memory grows only with what really comes out.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use crate::snappy;

/// Largest zstd window that we unpack: 128 MiB. Java's highest levels announce it even for small batches, so less would refuse good data. The window
/// is only memory as far as it is filled, which the limit on the output bounds.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

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
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or(UnknownCodec)
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
    pub const NONE: Self = Self {
        codec: Codec::None,
        level: 0,
    };

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
        panic!(
            "{} failed on {} bytes: {error}",
            compression.codec,
            input.len()
        );
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
        Codec::Gzip => read_all(
            codec,
            flate2::bufread::MultiGzDecoder::new(input),
            output,
            size_max,
        ),
        Codec::Snappy => snappy::decompress(input, output, size_max),
        Codec::Lz4 => read_all(
            codec,
            lz4_flex::frame::FrameDecoder::new(input),
            output,
            size_max,
        ),
        Codec::Zstd => {
            let malformed = |_| DecompressError::Malformed(codec);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(malformed)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(malformed)?;
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
    decoder
        .take(limit)
        .read_to_end(output)
        .map_err(|_| DecompressError::Malformed(codec))?;
    if output.len() - before > size_max {
        Err(DecompressError::TooLarge { size_max })
    } else {
        Ok(())
    }
}
