//! The input of `klamm produce`: bytes of the standard input or of files, cut into records.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::json;
use crate::template::{InputRecord, Stop, Template, find};

/// Bytes asked for at once.
const READ_SIZE: usize = 256 * 1024;
/// What is longer is not a record.
const RECORD_SIZE_MAX: usize = 64 << 20;

/// How a record looks.
#[derive(Debug)]
pub(crate) enum Shape {
    /// It ends with a delimiter; what separates its key from its value may be missing, and then there is no key.
    Delimited {
        delimiter: Vec<u8>,
        separator: Option<Vec<u8>>,
    },
    Template(Template),
    /// A line of JSON.
    Json,
    /// All of a file.
    Whole,
}

impl Shape {
    /// The record that `bytes` begin with, and how many bytes it takes. `is_end`: nothing comes behind them.
    fn read<'a>(&self, bytes: &'a [u8], is_end: bool) -> Result<(InputRecord<'a>, usize), Stop> {
        match self {
            Self::Delimited { delimiter, separator } => {
                let (content, size) = line(bytes, delimiter, is_end)?;
                let split = separator.as_deref().and_then(|it| Some((it.len(), find(content, it)?)));
                let (key, value) = match split {
                    Some((separator_size, at)) => (Some(&content[..at]), &content[at + separator_size..]),
                    None => (None, content),
                };
                let (key, value) = (key.map(Cow::Borrowed), Some(Cow::Borrowed(value)));
                Ok((InputRecord { key, value, ..InputRecord::default() }, size))
            }
            Self::Template(template) => template.read(bytes, is_end),
            Self::Json => {
                let blanks = bytes.len() - bytes.trim_ascii_start().len();
                let (content, size) = line(&bytes[blanks..], b"\n", is_end)?;
                json::read(content).map(|record| (record, blanks + size)).map_err(Stop::Wrong)
            }
            Self::Whole if is_end => {
                let value = Some(Cow::Borrowed(bytes));
                Ok((InputRecord { value, ..InputRecord::default() }, bytes.len()))
            }
            Self::Whole => Err(Stop::Incomplete),
        }
    }

    /// Whether each record says which topic it goes to.
    pub(crate) fn reads_topic(&self) -> bool {
        match self {
            Self::Template(template) => template.reads_topic(),
            Self::Json => true,
            Self::Delimited { .. } | Self::Whole => false,
        }
    }

    /// What stands at the same place in the input as this record.
    pub(crate) fn place_name(&self) -> &'static str {
        match self {
            Self::Delimited { delimiter, .. } if delimiter != b"\n" => "record",
            Self::Delimited { .. } | Self::Json => "line",
            Self::Template(_) | Self::Whole => "record",
        }
    }
}

/// What comes before the delimiter, and its size with it; that of the last may be missing.
fn line<'a>(bytes: &'a [u8], delimiter: &[u8], is_end: bool) -> Result<(&'a [u8], usize), Stop> {
    match find(bytes, delimiter) {
        Some(size) => Ok((&bytes[..size], size + delimiter.len())),
        None if is_end && !bytes.is_empty() => Ok((bytes, bytes.len())),
        None => Err(Stop::Incomplete),
    }
}

/// A part of the input.
pub(crate) enum Chunk {
    Bytes(Vec<u8>),
    /// Of one file. No record goes on in the next.
    End,
}

/// Reads the files one after the other, or the standard input, in a thread of its own, as reading may block.
pub(crate) fn chunks(files: Vec<PathBuf>) -> mpsc::Receiver<Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(4);
    thread::spawn(move || {
        let take = |chunk| sender.blocking_send(Ok(chunk)).is_ok();
        let read = if files.is_empty() {
            read_all(&mut io::stdin().lock(), take).context("standard input")
        } else {
            files.iter().try_for_each(|file| {
                let read = File::open(file).and_then(|mut file| read_all(&mut file, take));
                read.with_context(|| file.display().to_string())
            })
        };
        if let Err(error) = read {
            // Whoever no longer listens has failed already.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Hands out what is there until `take` wants no more or the input ends.
fn read_all(input: &mut impl Read, take: impl Fn(Chunk) -> bool) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; READ_SIZE];
        match input.read(&mut bytes) {
            Ok(0) => {
                take(Chunk::End);
                return Ok(());
            }
            Ok(read) => {
                bytes.truncate(read);
                if !take(Chunk::Bytes(bytes)) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where a record stands in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Which of the files, from 0.
    pub(crate) file: usize,
    /// Which of its records, from 1.
    pub(crate) number: u64,
}

/// The input, cut into records as it comes.
pub(crate) struct Records<'s> {
    shape: &'s Shape,
    bytes: Vec<u8>,
    /// Up to here they were handed out.
    at: usize,
    is_end: bool,
    place: Place,
}

impl<'s> Records<'s> {
    pub(crate) fn new(shape: &'s Shape) -> Self {
        Self { shape, bytes: Vec::new(), at: 0, is_end: false, place: Place { file: 0, number: 1 } }
    }

    /// Takes what came. Everything before must have been handed out.
    pub(crate) fn add(&mut self, chunk: Chunk) {
        if std::mem::take(&mut self.is_end) {
            self.place = Place { file: self.place.file + 1, number: 1 };
        }
        match chunk {
            Chunk::Bytes(bytes) if self.at == self.bytes.len() => (self.bytes, self.at) = (bytes, 0),
            Chunk::Bytes(bytes) => {
                self.bytes.drain(..std::mem::take(&mut self.at));
                self.bytes.extend_from_slice(&bytes);
            }
            Chunk::End => self.is_end = true,
        }
    }

    /// Where the next record stands.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The next record, if it is there already.
    pub(crate) fn next(&mut self) -> Result<Option<InputRecord<'_>>, String> {
        let rest = &self.bytes[self.at..];
        // An empty file is an empty value, once.
        let is_empty_file = matches!(self.shape, Shape::Whole) && self.is_end && self.place.number == 1;
        if rest.is_empty() && !is_empty_file {
            return Ok(None);
        }
        match self.shape.read(rest, self.is_end) {
            Ok((record, size)) => {
                self.at += size;
                self.place.number += 1;
                Ok(Some(record))
            }
            Err(Stop::Incomplete) if RECORD_SIZE_MAX < rest.len() => {
                Err(format!("a record of more than {RECORD_SIZE_MAX} bytes"))
            }
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Wrong(problem)) => Err(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(shape: &Shape, files: &[&[&[u8]]]) -> Vec<(usize, u64, String)> {
        let mut records = Records::new(shape);
        let mut read = Vec::new();
        let chunks = files
            .iter()
            .flat_map(|file| file.iter().map(|bytes| Chunk::Bytes(bytes.to_vec())).chain([Chunk::End]));
        for chunk in chunks {
            records.add(chunk);
            loop {
                let Place { file, number } = records.place();
                let Some(record) = records.next().expect("well-formed") else { break };
                let text = |bytes: Option<Cow<'_, [u8]>>| {
                    String::from_utf8(bytes.unwrap_or(b"-".into()).into_owned())
                };
                let (key, value) = (text(record.key).expect("text"), text(record.value).expect("text"));
                read.push((file, number, format!("{key}={value}")));
            }
        }
        read
    }

    #[test]
    fn records_are_cut_where_they_end_whatever_comes_at_once() {
        let text = b"one\n\ntwo::2::3\nthree is longer\nend";
        let lines = Shape::Delimited { delimiter: b"\n".to_vec(), separator: Some(b"::".to_vec()) };
        let expected = ["-=one", "-=", "two=2::3", "-=three is longer", "-=end"];
        let expected: Vec<_> = (1..).zip(expected).map(|(number, it)| (0, number, it.to_owned())).collect();
        for step in 1..=text.len() {
            let chunks: Vec<&[u8]> = text.chunks(step).collect();
            assert_eq!(values(&lines, &[&chunks]), expected, "in steps of {step}");
        }
    }

    #[test]
    fn no_record_goes_on_in_the_next_file() {
        let nul = Shape::Delimited { delimiter: b"\0".to_vec(), separator: None };
        let read = values(&nul, &[&[b"a\0b"], &[], &[b"c\0"]]);
        assert_eq!(read, [(0, 1, "-=a".to_owned()), (0, 2, "-=b".to_owned()), (2, 1, "-=c".to_owned())]);
        let read = values(&Shape::Whole, &[&[b"a\n", b"b"], &[], &[b"c"]]);
        assert_eq!(read, [(0, 1, "-=a\nb".to_owned()), (1, 1, "-=".to_owned()), (2, 1, "-=c".to_owned())]);
        let read =
            values(&Shape::Json, &[&[b"\n {\"value\":\"a\"}\n\n{\"key\":\"k\",\"value\":\"b\"}\n \n"]]);
        assert_eq!(read, [(0, 1, "-=a".to_owned()), (0, 2, "k=b".to_owned())]);
    }
}
