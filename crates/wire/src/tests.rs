//! Tests over all messages in all versions: invented by seed, mutilated, and compared with another implementation.

mod differential;
mod hostile;
mod round_trip;

use bytes::Bytes;

use crate::{ApiKey, DecodeError, EncodeError, Message, Reader, Request, Response, Writer};

/// Invents what a reader would have read. The schema is thus followed by the code under test itself; that reading and
/// writing agree is what `round_trip` shows, that both are right is for `differential` and the golden files to show.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `sides` (splitmix64).
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % sides
    }

    /// The count of an array, or that there is a string: how long that is, `text` decides.
    pub(crate) fn length(&mut self, null_allowed: bool) -> Option<usize> {
        let is_null = null_allowed && self.roll(4) == 0;
        (!is_null).then(|| self.roll(4))
    }

    pub(crate) fn text(&mut self, length: usize) -> String {
        let size = match (length, self.roll(40)) {
            (0, _) => 0,
            (_, 0) => 1024 + self.roll(1024),
            (_, 1 | 2) => 120 + self.roll(20),
            _ => self.roll(12),
        };
        (0..size).map(|_| ['a', 'B', '7', '-', 'ü', '日'][self.roll(6)]).collect()
    }

    pub(crate) fn bytes<const SIZE: usize>(&mut self) -> [u8; SIZE] {
        let mut bytes = [[0; SIZE], [0xff; SIZE]][self.roll(2)];
        match self.roll(4) {
            0 => {}
            1 => bytes[SIZE - 1] = self.roll(256) as u8,
            2 => bytes[0] ^= 0x80,
            _ => bytes.iter_mut().for_each(|byte| *byte = self.roll(256) as u8),
        }
        bytes
    }

    pub(crate) fn tags(&mut self) -> Vec<u32> {
        (0..6).filter(|_| self.roll(2) == 0).collect()
    }
}

/// A value of a message, as the seed has it.
fn invented<M: Codec>(message: M::Key, version: i16, seed: u64) -> M {
    let mut reader = Reader::new(Bytes::new());
    reader.dice = Some(Dice::new(seed));
    M::decode(message, version, &mut reader).expect("dice do not fail")
}

fn encoded<M: Codec>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.finish().to_bytes().expect("no holes"))
}

/// Decodes all of `bytes`.
fn decoded<M: Codec>(message: M::Key, version: i16, bytes: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = M::decode(message, version, &mut reader)?;
    reader.finish()?;
    Ok(message)
}

/// [`Request`] and [`Response`] as one, and messages outside of the table.
trait Codec: Sized + std::fmt::Debug {
    type Key: Copy + std::fmt::Debug;
    fn decode(key: Self::Key, version: i16, reader: &mut Reader) -> Result<Self, DecodeError>;
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

macro_rules! codec {
    ($($enum:ident)*) => {$(
        impl Codec for $enum {
            type Key = ApiKey;

            fn decode(key: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, DecodeError> {
                $enum::decode(key, version, reader)
            }

            fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                $enum::encode(self, writer, version)
            }
        }
    )*};
}
codec!(Request Response);

#[derive(Debug)]
struct Data<M>(M);

impl<M: Message + std::fmt::Debug> Codec for Data<M> {
    type Key = ();

    fn decode((): (), version: i16, reader: &mut Reader) -> Result<Self, DecodeError> {
        M::decode(reader, version).map(Self)
    }

    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.0.encode(writer, version)
    }
}

fn keys_and_versions() -> impl Iterator<Item = (ApiKey, i16)> {
    ApiKey::ALL.iter().flat_map(|key| key.versions().map(|version| (*key, version)))
}
