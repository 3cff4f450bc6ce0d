//! Reading a record by a template.
//!
//! What a field has ends where the text behind it begins, or after as many bytes as a size before it said.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use klamm_model::Timestamp;
use serde_json::Value;

use super::{Coding, Form, Part, Piece, Quantity, Template};
use crate::time::date_time;

type Bytes<'a> = Cow<'a, [u8]>;

/// What an input says of a record; what it does not say is not there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct InputRecord<'a> {
    pub(crate) topic: Option<Cow<'a, str>>,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) key: Option<Bytes<'a>>,
    pub(crate) value: Option<Bytes<'a>>,
    pub(crate) headers: Vec<(Bytes<'a>, Option<Bytes<'a>>)>,
}

/// Why there is no record.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// It is not all there yet; at the end of the input, there is none.
    Incomplete,
    /// It is no record.
    Wrong(String),
}

/// Where `needle` begins for the first time.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => haystack.iter().position(|it| it == byte),
        _ => haystack.windows(needle.len()).position(|window| window == needle),
    }
}

impl Template {
    pub(super) fn check_input(&self) -> Result<(), String> {
        match check(&self.0, &mut Vec::new()) {
            Ok(()) if self.0.is_empty() => Err("an empty format reads nothing".to_owned()),
            checked => checked,
        }
    }

    /// Whether records say which topic they go to.
    pub(crate) fn reads_topic(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Bytes(Part::Topic, _)))
    }

    /// The record that `bytes` begin with, and how many bytes it takes. `is_end`: nothing comes behind them.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], is_end: bool) -> Result<(InputRecord<'a>, usize), Stop> {
        if bytes.is_empty() {
            return Err(Stop::Incomplete);
        }
        let mut reader =
            Reader { rest: bytes, is_end, record: InputRecord::default(), sizes: Sizes::default() };
        reader.read(&self.0)?;
        Ok((reader.record, bytes.len() - reader.rest.len()))
    }
}

/// Whether each field has an end that can be found.
fn check(pieces: &[Piece], sized: &mut Vec<Quantity>) -> Result<(), String> {
    for (place, piece) in pieces.iter().enumerate() {
        let is_delimited = matches!(pieces.get(place + 1), Some(Piece::Text(_)));
        match piece {
            Piece::Text(_) | Piece::Bytes(_, Coding::Json) => {}
            Piece::Bytes(_, Coding::Unpack(_)) => return Err("{unpack} is for printing".to_owned()),
            Piece::Bytes(part, _) => {
                let is_sized = match part {
                    Part::Topic => false,
                    Part::Key => sized.contains(&Quantity::KeySize),
                    Part::Value => sized.contains(&Quantity::ValueSize),
                };
                if !is_delimited && !is_sized {
                    return Err("a key or value needs a text behind it or its size before it: \
                                where else does it end?"
                        .to_owned());
                }
            }
            Piece::Number(_, Form::Bool) => return Err("{bool} is for printing".to_owned()),
            Piece::Number(_, Form::Iso) if !is_delimited => {
                return Err("a time needs a text behind it: where else does it end?".to_owned());
            }
            Piece::Number(quantity, _) => match quantity {
                Quantity::KeySize | Quantity::ValueSize | Quantity::HeaderCount => sized.push(*quantity),
                Quantity::Partition | Quantity::Offset | Quantity::Timestamp => {}
                _ => return Err("a record that is read has only %t %p %o %T %k %K %s %S %H %h".to_owned()),
            },
            Piece::Headers(inner) if sized.contains(&Quantity::HeaderCount) => check(inner, &mut Vec::new())?,
            Piece::Headers(_) => return Err("%h{…} needs a %H before it: how many are there?".to_owned()),
            Piece::HeaderList | Piece::Codec => {
                return Err("%h without braces and %a are for printing".to_owned());
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Sizes {
    /// `Some(None)` says that there is no key, not even an empty one.
    key: Option<Option<usize>>,
    value: Option<Option<usize>>,
    headers: usize,
}

struct Reader<'a> {
    rest: &'a [u8],
    is_end: bool,
    record: InputRecord<'a>,
    sizes: Sizes,
}

impl<'a> Reader<'a> {
    fn read(&mut self, pieces: &[Piece]) -> Result<(), Stop> {
        for (place, piece) in pieces.iter().enumerate() {
            let behind = &pieces[place + 1..];
            match piece {
                Piece::Text(text) => self.pass(text, behind.is_empty())?,
                Piece::Bytes(part, coding) => self.bytes(*part, coding, behind)?,
                Piece::Number(quantity, form) => self.number(*quantity, *form, behind)?,
                Piece::Headers(inner) => {
                    for _ in 0..self.sizes.headers {
                        self.header(inner)?;
                    }
                }
                Piece::HeaderList | Piece::Codec => unreachable!("refused by check_input"),
            }
        }
        Ok(())
    }

    /// Takes a text that has to be there; that of the very end may be missing.
    fn pass(&mut self, text: &[u8], is_last: bool) -> Result<(), Stop> {
        if let Some(rest) = self.rest.strip_prefix(text) {
            self.rest = rest;
            return Ok(());
        }
        if text.starts_with(self.rest) {
            match (self.is_end, is_last && self.rest.is_empty()) {
                (false, _) => return Err(Stop::Incomplete),
                (true, true) => return Ok(()),
                (true, false) => return Err(cut_off()),
            }
        }
        let found = &self.rest[..self.rest.len().min(text.len() + 8)];
        let (wanted, found) = (String::from_utf8_lossy(text), String::from_utf8_lossy(found));
        Err(Stop::Wrong(format!("expected {wanted:?}, found {found:?}")))
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], Stop> {
        let Some((taken, rest)) = self.rest.split_at_checked(size) else {
            return Err(if self.is_end { cut_off() } else { Stop::Incomplete });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// What stands before the text that comes next.
    fn until(&mut self, behind: &[Piece]) -> Result<&'a [u8], Stop> {
        let Some(Piece::Text(text)) = behind.first() else { unreachable!("refused by check_input") };
        match find(self.rest, text) {
            Some(size) => self.take(size),
            None if !self.is_end => Err(Stop::Incomplete),
            // The text of the very end may be missing.
            None if behind.len() == 1 => self.take(self.rest.len()),
            None => Err(Stop::Wrong(format!("no {:?} follows", String::from_utf8_lossy(text)))),
        }
    }

    fn bytes(&mut self, part: Part, coding: &Coding, behind: &[Piece]) -> Result<(), Stop> {
        let size = match part {
            Part::Topic => None,
            Part::Key => self.sizes.key,
            Part::Value => self.sizes.value,
        };
        let bytes = match (size, coding) {
            (Some(None), _) => None,
            (None, Coding::Json) => Some(Cow::Borrowed(self.json()?)),
            (Some(Some(size)), _) => Some(decoded(coding, self.take(coded_size(coding, size))?)?),
            (None, _) => Some(decoded(coding, self.until(behind)?)?),
        };
        match part {
            Part::Topic => {
                let name = bytes.unwrap_or_default().into_owned();
                let name =
                    String::from_utf8(name).map_err(|_| Stop::Wrong("a topic that is not UTF-8".into()))?;
                self.record.topic = Some(name.into());
            }
            Part::Key => self.record.key = bytes,
            Part::Value => self.record.value = bytes,
        }
        Ok(())
    }

    fn json(&mut self) -> Result<&'a [u8], Stop> {
        let blanks = self.rest.len() - self.rest.trim_ascii_start().len();
        self.take(blanks)?;
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<Value>();
        let end = match values.next() {
            Some(Ok(_)) => values.byte_offset(),
            Some(Err(error)) if !error.is_eof() => return Err(Stop::Wrong(format!("JSON: {error}"))),
            Some(Err(_)) | None if self.is_end => return Err(cut_off()),
            Some(Err(_)) | None => return Err(Stop::Incomplete),
        };
        // The rest of a number may be still to come.
        if end == self.rest.len() && !self.is_end { Err(Stop::Incomplete) } else { self.take(end) }
    }

    fn number(&mut self, quantity: Quantity, form: Form, behind: &[Piece]) -> Result<(), Stop> {
        let number = match form {
            Form::Decimal => self.decimal()?,
            Form::Seconds => self.decimal()?.saturating_mul(1000),
            Form::Hex(digits) => {
                let text = str::from_utf8(self.take(digits)?).ok();
                let number = text.and_then(|text| u64::from_str_radix(text, 16).ok());
                signed(
                    number.ok_or_else(|| Stop::Wrong(format!("expected {digits} hexadecimal digits")))?,
                    digits * 4,
                )
            }
            Form::Big(size) => signed(folded(self.take(size)?.iter()), size * 8),
            Form::Little(size) => signed(folded(self.take(size)?.iter().rev()), size * 8),
            Form::Iso => {
                let text = str::from_utf8(self.until(behind)?).ok();
                text.and_then(date_time)
                    .ok_or_else(|| Stop::Wrong("expected a time such as 2026-11-23T22:30:00Z".into()))?
            }
            Form::Always(number) => number.into(),
            Form::Bool => unreachable!("refused by check_input"),
        };
        let size = || {
            let size = if number == -1 { Some(None) } else { usize::try_from(number).ok().map(Some) };
            size.ok_or_else(|| Stop::Wrong(format!("{number} is no size")))
        };
        match quantity {
            Quantity::Partition => {
                let partition =
                    i32::try_from(number).map_err(|_| Stop::Wrong(format!("{number} is no partition")))?;
                self.record.partition = (0 <= partition).then_some(partition);
            }
            Quantity::Timestamp => self.record.timestamp = Some(Timestamp(number)),
            Quantity::KeySize => self.sizes.key = Some(size()?),
            Quantity::ValueSize => self.sizes.value = Some(size()?),
            Quantity::HeaderCount => self.sizes.headers = size()?.unwrap_or(0),
            // It gets another.
            Quantity::Offset => {}
            _ => unreachable!("refused by check_input"),
        }
        Ok(())
    }

    fn decimal(&mut self) -> Result<i64, Stop> {
        let is_sign = |&(place, byte): &(usize, &u8)| place == 0 && *byte == b'-';
        let digits = self.rest.iter().enumerate();
        let size = digits.take_while(|it| it.1.is_ascii_digit() || is_sign(it)).count();
        if size == self.rest.len() && !self.is_end {
            return Err(Stop::Incomplete);
        }
        let text = str::from_utf8(self.take(size)?).unwrap_or_default();
        text.parse().map_err(|_| Stop::Wrong(format!("expected a number, found {:?}", self.sample(text))))
    }

    fn sample(&self, taken: &str) -> String {
        format!("{taken}{}", String::from_utf8_lossy(&self.rest[..self.rest.len().min(8)]))
    }

    fn header(&mut self, pieces: &[Piece]) -> Result<(), Stop> {
        let Self { rest, is_end, .. } = *self;
        let mut inner = Reader { rest, is_end, record: InputRecord::default(), sizes: Sizes::default() };
        inner.read(pieces)?;
        self.rest = inner.rest;
        let InputRecord { key, value, .. } = inner.record;
        self.record.headers.push((key.unwrap_or_default(), value));
        Ok(())
    }
}

fn cut_off() -> Stop {
    Stop::Wrong("the input ends within a record".to_owned())
}

/// Sizes are of what is meant, not of how it is written.
fn coded_size(coding: &Coding, size: usize) -> usize {
    match coding {
        Coding::Hex => size.saturating_mul(2),
        Coding::Base64 { is_padded: true } => size.div_ceil(3).saturating_mul(4),
        Coding::Base64 { is_padded: false } => size.saturating_mul(4).div_ceil(3),
        Coding::Raw | Coding::Json | Coding::Unpack(_) => size,
    }
}

fn decoded<'a>(coding: &Coding, bytes: &'a [u8]) -> Result<Bytes<'a>, Stop> {
    let decoded = match coding {
        Coding::Raw | Coding::Json | Coding::Unpack(_) => return Ok(bytes.into()),
        Coding::Hex => unhex(bytes),
        Coding::Base64 { is_padded: true } => STANDARD.decode(bytes).ok(),
        Coding::Base64 { is_padded: false } => STANDARD_NO_PAD.decode(bytes).ok(),
    };
    let name = if *coding == Coding::Hex { "hexadecimal" } else { "base64" };
    decoded
        .map(Cow::Owned)
        .ok_or_else(|| Stop::Wrong(format!("{:?} is not {name}", String::from_utf8_lossy(bytes))))
}

fn unhex(bytes: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8)).collect()
}

fn folded<'b>(bytes: impl Iterator<Item = &'b u8>) -> u64 {
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A number of so many bits. All of them set is -1, which says that there is nothing; else small sizes are not negative.
fn signed(number: u64, bits: usize) -> i64 {
    if number == u64::MAX >> (64 - bits) { -1 } else { number.cast_signed() }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect;

    use super::*;

    /// All records of an input, which comes byte by byte: what is there so far must not change what is read.
    fn records(template: &Template, input: &[u8]) -> String {
        let (mut told, mut at) = (String::new(), 0);
        for end in 0..=input.len() {
            while at < input.len() || end < input.len() {
                let (record, size) = match template.read(&input[at..end], end == input.len()) {
                    Ok(read) => read,
                    Err(Stop::Incomplete) => break,
                    Err(Stop::Wrong(problem)) => return told + &problem + "\n",
                };
                at += size;
                let InputRecord { topic, partition, timestamp, key, value, headers } = record;
                let text = |bytes: Bytes<'_>| String::from_utf8_lossy(&bytes).into_owned();
                let headers: Vec<_> =
                    headers.into_iter().map(|(name, value)| (text(name), value.map(text))).collect();
                write!(told, "{:?}={:?}", key.map(text), value.map(text)).expect("memory");
                for (name, field) in [
                    ("topic", topic.map(Cow::into_owned)),
                    ("partition", partition.map(|it| it.to_string())),
                    ("timestamp", timestamp.map(|it| it.to_string())),
                    ("headers", (!headers.is_empty()).then(|| format!("{headers:?}"))),
                ] {
                    if let Some(field) = field {
                        write!(told, " {name} {field}").expect("memory");
                    }
                }
                told.push('\n');
            }
        }
        told.replace("Some(", "").replace(")", "")
    }

    #[test]
    fn reads_what_is_there() {
        let mut told = String::new();
        for (template, input) in [
            ("%k %s\\n", "a 1\nb 2 3\nc 4"),
            ("%s%k", "x"),
            ("%t,%p,%o,%T,%s;", "u,3,77,1000,x;u,-1,78,-5,y;"),
            ("%T{iso} %d{s} %s\\n", "2026-11-23T22:30:00.250Z 7 x\n"),
            ("%K%S:%k%s", "3-1:key"),
            ("%K:%S:%k%s", "3:2:keyva-1:-1:0:0:"),
            ("%K{big16}%S{little32}%k%s\\n", "\0\u{1}\u{2}\0\0\0aBC\n"),
            ("%K{2}%S{1}%k%s", "aabccd"),
            ("%K{hex8}%S{hex4}%k%s", "02faa"),
            ("%S{byte}%s", "\u{7f}x"),
            ("%k{hex}=%s{base64}\\n", "6b=dg==\n6=x\n"),
            ("%K:%k{hex}%S:%s{base64raw}", "1:6b2:dmE"),
            ("%H %h{%k=%s,}%s\\n", "2 a=1,b=,x\n0 y\n"),
            ("%H %h{%K:%S:%k%s}%s\\n", "1 1:-1:ax\n"),
            ("%k %s{json}\\n", "a {\"b\": [1,\n 2]}\nc 12\nd \"x\"\n"),
            ("%s{json}", " 1 2  {}"),
            ("%s{json}", "[1"),
            ("%s{json}\\n", "}\n"),
            ("%k:%s\\n", "novalue\n"),
            ("%p %s\\n", "x y\n"),
            ("%S %s", "-7 "),
            ("%S\\n%s", "4\nabc"),
            ("<%s>\\n", "<a>\n[b]\n"),
        ] {
            let read = Template::for_input(template).map(|template| records(&template, input.as_bytes()));
            writeln!(
                told,
                "{template}\n  {}",
                read.unwrap_or_else(|wrong| wrong).trim_end().replace('\n', "\n  ")
            )
            .expect("memory");
        }
        expect![[r#"
            %k %s\n
              "a"="1"
              "b"="2 3"
              "c"="4"
            %s%k
              a key or value needs a text behind it or its size before it: where else does it end?
            %t,%p,%o,%T,%s;
              None="x" topic u partition 3 timestamp 1000
              None="y" topic u timestamp -5
            %T{iso} %d{s} %s\n
              None="x" timestamp 7000
            %K%S:%k%s
              "key"=None
            %K:%S:%k%s
              "key"="va"
              None=None
              ""=""
            %K{big16}%S{little32}%k%s\n
              "a"="BC"
            %K{2}%S{1}%k%s
              "aa"="b"
              "cc"="d"
            %K{hex8}%S{hex4}%k%s
              "aa"=None
            %S{byte}%s
              the input ends within a record
            %k{hex}=%s{base64}\n
              Some("k")=Some("v")
              "6" is not hexadecimal
            %K:%k{hex}%S:%s{base64raw}
              "k"="va"
            %H %h{%k=%s,}%s\n
              None="x" headers [("a", "1", ("b", ""]
              None="y"
            %H %h{%K:%S:%k%s}%s\n
              None="x" headers [("a", None]
            %k %s{json}\n
              "a"="{\"b\": [1,\n 2]}"
              "c"="12"
              "d"="\"x\""
            %s{json}
              None="1"
              None="2"
              None="{}"
            %s{json}
              the input ends within a record
            %s{json}\n
              JSON: expected value at line 1 column 1
            %k:%s\n
              no ":" follows
            %p %s\n
              expected a number, found "x"
            %S %s
              -7 is no size
            %S\n%s
              the input ends within a record
            <%s>\n
              None=Some("a")
              expected "<", found "["
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn a_template_that_cannot_be_read_by_is_refused() {
        for (wrong, told) in [
            ("", "an empty format"),
            ("%s", "where else does it end?"),
            ("%t%S%s", "where else does it end?"),
            ("%s%S", "where else does it end?"),
            ("%T{iso}%S%s", "a time needs a text"),
            ("%h{%k=%s,}", "needs a %H"),
            ("%H%h{%k}", "where else does it end?"),
            ("%h\\n", "for printing"),
            ("%s{unpack[i]}\\n", "for printing"),
            ("%p{bool} %s\\n", "for printing"),
            ("%e %s\\n", "a record that is read has only"),
            ("%a{compression} %s\\n", "for printing"),
        ] {
            let refused = Template::for_input(wrong).expect_err(wrong);
            assert!(refused.contains(told), "{wrong}: {refused}");
        }
    }
}
