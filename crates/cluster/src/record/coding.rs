//! Fields of a record as bytes: numbers as varints, texts and lists behind their length.
//!
//! Numbers of ours are never negative. A reader allocates no more than what it has read.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct Writer {
    bytes: BytesMut,
}

impl Writer {
    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn record(&mut self, kind: u8, version: u8, fields: impl FnOnce(&mut Self)) {
        let mut body = Self::default();
        fields(&mut body);
        self.byte(kind);
        self.byte(version);
        self.length(body.bytes.len());
        self.bytes.put_slice(&body.bytes);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.put_u8(byte);
    }

    pub(crate) fn number(&mut self, number: impl Into<i64>) {
        let number = number.into();
        let mut rest =
            u64::try_from(number).unwrap_or_else(|_| panic!("negative number {number} in a metadata record"));
        while 0x80 <= rest {
            self.bytes.put_u8((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.put_u8(rest as u8);
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.number(i64::try_from(length).expect("fits in memory"));
    }

    /// Eight bytes, for what is no count.
    pub(crate) fn fixed(&mut self, bits: u64) {
        self.bytes.put_u64(bits);
    }

    pub(crate) fn uuid(&mut self, uuid: Uuid) {
        self.bytes.put_slice(uuid.as_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.put_slice(text.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }

    pub(crate) fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(list.len());
        for one in list {
            write(self, one);
        }
    }
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    /// What [`Writer::record`] wrote: its type, and its fields, of which an older reader may leave some.
    pub(crate) fn record(&mut self) -> Result<(u8, Self), &'static str> {
        let kind = self.byte()?;
        let _version = self.byte()?;
        let size = self.size()?;
        Ok((kind, Self::new(self.take(size)?)))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, &'static str> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither set nor not"),
        }
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    pub(crate) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, &'static str> {
        T::try_from(self.varint()?).map_err(|_| "a number is out of range")
    }

    /// A number of bytes or elements. No element is smaller than a byte, so what follows bounds both.
    pub(crate) fn size(&mut self) -> Result<usize, &'static str> {
        let size = self.number()?;
        if self.rest.len() < size { Err("a length goes beyond the end") } else { Ok(size) }
    }

    pub(crate) fn fixed(&mut self) -> Result<u64, &'static str> {
        let bytes = self.take(8)?;
        Ok(u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, &'static str> {
        Uuid::from_slice(self.take(16)?).map_err(|_| "an id is too short")
    }

    pub(crate) fn text(&mut self) -> Result<String, &'static str> {
        let size = self.size()?;
        let text = std::str::from_utf8(self.take(size)?).map_err(|_| "a text is not UTF-8")?;
        Ok(text.to_owned())
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Option<T>, &'static str> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err("an option is neither there nor absent"),
        }
    }

    /// An option that an older version of the record does not have.
    pub(crate) fn added_option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Option<T>, &'static str> {
        if self.is_empty() { Ok(None) } else { self.option(read) }
    }

    /// A list that an older version of the record does not have.
    pub(crate) fn added_list<T>(
        &mut self,
        read: impl FnMut(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, &'static str> {
        if self.is_empty() { Ok(Vec::new()) } else { self.list(read) }
    }

    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, &'static str> {
        let count = self.size()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }
}
