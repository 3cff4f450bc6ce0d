//! The place of record batches in a message.

use bytes::Bytes;

/// Record batches, which this crate never looks into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// In memory; when decoded, a slice of the frame.
    Bytes(Bytes),
    /// Only in messages to be sent: `size` bytes that the sender of the message takes from elsewhere, such as a file.
    Hole {
        /// How many bytes there will be.
        size: u32,
        /// Tells the sender which bytes; means nothing here.
        token: u32,
    },
}

impl Records {
    /// The size in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Hole { size, .. } => *size as usize,
        }
    }

    /// The bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Hole { .. } => None,
        }
    }
}
