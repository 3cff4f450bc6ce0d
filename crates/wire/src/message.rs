//! What all messages, and all elements of arrays, have in common.

use std::ops::RangeInclusive;

use klamm_model::TopicId;
use uuid::Uuid;

use crate::{DecodeError, EncodeError, Reader, Writer};

/// A value inside of a message that reads and writes itself in the version that the reader or writer carries.
pub trait Element: Sized {
    /// The fewest bytes that a value takes in any version; at least 1, so that bytes limit counts.
    const WIRE_SIZE_MIN: usize;

    /// Takes one value.
    fn read(r: &mut Reader) -> Result<Self, DecodeError>;

    /// Appends this value.
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError>;
}

/// The body of a request or response, or another message that has versions of its own.
pub trait Message: Element {
    /// Kafka's name.
    const NAME: &'static str;
    /// All versions that the schema knows.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: Option<i16>;
    /// The highest version is not finished in Kafka, and not advertised.
    const LATEST_UNSTABLE: bool = false;

    /// Whether `version` has compact lengths and tagged fields.
    fn is_flexible(version: i16) -> bool {
        Self::FLEXIBLE_FROM.is_some_and(|first| first <= version)
    }

    /// Takes the message from `reader`. Bytes may be left: [`Reader::finish`] tells.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(reader.unsupported_version(version));
        }
        reader.set_version(version, Self::is_flexible(version));
        Self::read(reader)
    }

    /// Appends the message to `writer`. A value that `version` has no place for is refused, unless the schema says that it
    /// may get lost.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::UnsupportedVersion { message: Self::NAME, version });
        }
        writer.set_version(version, Self::is_flexible(version));
        self.write(writer)
    }
}

impl<E: Element> Element for Box<E> {
    const WIRE_SIZE_MIN: usize = E::WIRE_SIZE_MIN;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        E::read(r).map(Box::new)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        E::write(self, w)
    }
}

impl<M: Message> Message for Box<M> {
    const NAME: &'static str = M::NAME;
    const VERSIONS: RangeInclusive<i16> = M::VERSIONS;
    const FLEXIBLE_FROM: Option<i16> = M::FLEXIBLE_FROM;
    const LATEST_UNSTABLE: bool = M::LATEST_UNSTABLE;
}

macro_rules! fixed_size {
    ($($kind:ty, $method:ident, $size:literal;)*) => {$(
        impl Element for $kind {
            const WIRE_SIZE_MIN: usize = $size;

            fn read(r: &mut Reader) -> Result<Self, DecodeError> {
                r.$method()
            }

            fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
                w.$method(*self);
                Ok(())
            }
        }
    )*};
}

fixed_size! {
    i8, i8, 1;
    i16, i16, 2;
    i32, i32, 4;
    i64, i64, 8;
    TopicId, topic_id, 16;
    Uuid, uuid, 16;
}

impl Element for String {
    const WIRE_SIZE_MIN: usize = 1;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        r.string()
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(self)
    }
}
