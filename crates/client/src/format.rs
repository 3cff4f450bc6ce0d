//! Bytes of keys and values, and keys and values of bytes: as they are, as text, as JSON (feature `json`), or in a format of your own.

use std::borrow::Cow;

/// Why something has no bytes, or bytes are not what they should be.
pub type FormatError = Box<dyn std::error::Error + Send + Sync>;

/// Makes bytes of keys or values.
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `item`, which go to `topic`.
    fn serialize<'a>(&self, topic: &str, item: &'a T) -> Result<Cow<'a, [u8]>, FormatError>;
}

/// Makes keys or values of bytes.
pub trait Deserializer<T>: Send + Sync {
    /// What `bytes`, which came from `topic`, stand for.
    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<T, FormatError>;
}

/// Bytes as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawFormat;

/// UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextFormat;

/// JSON, by serde.
#[cfg(feature = "json")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonFormat;

impl<T: AsRef<[u8]> + ?Sized> Serializer<T> for RawFormat {
    fn serialize<'a>(&self, _: &str, item: &'a T) -> Result<Cow<'a, [u8]>, FormatError> {
        Ok(Cow::Borrowed(item.as_ref()))
    }
}

impl<T: for<'a> From<&'a [u8]>> Deserializer<T> for RawFormat {
    fn deserialize(&self, _: &str, bytes: &[u8]) -> Result<T, FormatError> {
        Ok(bytes.into())
    }
}

impl<T: AsRef<str> + ?Sized> Serializer<T> for TextFormat {
    fn serialize<'a>(&self, _: &str, item: &'a T) -> Result<Cow<'a, [u8]>, FormatError> {
        Ok(Cow::Borrowed(item.as_ref().as_bytes()))
    }
}

impl<T: for<'a> From<&'a str>> Deserializer<T> for TextFormat {
    fn deserialize(&self, _: &str, bytes: &[u8]) -> Result<T, FormatError> {
        Ok(std::str::from_utf8(bytes)?.into())
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize + ?Sized> Serializer<T> for JsonFormat {
    fn serialize<'a>(&self, _: &str, item: &'a T) -> Result<Cow<'a, [u8]>, FormatError> {
        Ok(Cow::Owned(serde_json::to_vec(item)?))
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> Deserializer<T> for JsonFormat {
    fn deserialize(&self, _: &str, bytes: &[u8]) -> Result<T, FormatError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
