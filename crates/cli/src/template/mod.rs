//! The format strings of `produce -f` and `consume -f`: kcat's letters, and rpk's with what it writes in braces.
//!
//! A template is a list of pieces; [`print`] writes a record by it, [`read`] cuts one out of bytes. What stands in braces behind a letter says in
//! which form it is written.

mod print;
mod read;

use std::iter::Peekable;
use std::str::Chars;

pub(crate) use print::Printed;
#[cfg(test)]
pub(crate) use print::tests as print_tests;
pub(crate) use read::{InputRecord, Stop, find};

/// A parsed format string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Vec<u8>),
    Bytes(Part, Coding),
    Number(Quantity, Form),
    /// `none`, `gzip` …
    Codec,
    /// `a=1,b=2`
    HeaderList,
    /// For each header, where `%k` and `%s` are its name and value.
    Headers(Vec<Self>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Topic,
    Key,
    Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Coding {
    Raw,
    Hex,
    Base64 {
        is_padded: bool,
    },
    /// One JSON value, which knows where it ends.
    Json,
    /// Numbers within, each by kcat's letter.
    Unpack(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quantity {
    Partition,
    Offset,
    Timestamp,
    KeySize,
    ValueSize,
    HeaderCount,
    LeaderEpoch,
    ProducerId,
    ProducerEpoch,
    HighWatermark,
    /// 1 for the first record that is printed.
    RecordNumber,
    /// 0: the producer's, 1: the broker's.
    TimestampType,
    IsTransactional,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Decimal,
    /// So many digits.
    Hex(usize),
    /// So many bytes, the highest first.
    Big(usize),
    /// So many bytes, the lowest first.
    Little(usize),
    Bool,
    /// Of a timestamp: `2026-11-23T22:30:00.000Z`.
    Iso,
    /// Of a timestamp: without the milliseconds.
    Seconds,
    /// Is not written: it is always this.
    Always(u32),
}

/// The value in a line.
impl Default for Template {
    fn default() -> Self {
        Self(vec![Piece::Bytes(Part::Value, Coding::Raw), Piece::Text(b"\n".into())])
    }
}

impl Template {
    /// For printing.
    pub(crate) fn for_output(text: &str) -> Result<Self, String> {
        let template = Self::parse(text)?;
        template.check_output()?;
        Ok(template)
    }

    /// For reading.
    pub(crate) fn for_input(text: &str) -> Result<Self, String> {
        let template = Self::parse(text)?;
        template.check_input()?;
        Ok(template)
    }

    fn parse(text: &str) -> Result<Self, String> {
        pieces(&mut text.chars().peekable(), false).map(Self)
    }
}

/// What `\` stands for in separators.
pub(crate) fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        push_plain(&mut bytes, letter, &mut rest)?;
    }
    Ok(bytes)
}

type Letters<'a> = Peekable<Chars<'a>>;

/// Understands `%` and `\` sequences, up to the end or, within braces, the closing one.
fn pieces(rest: &mut Letters<'_>, is_in_braces: bool) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = Vec::new();
    loop {
        let letter = match rest.next() {
            Some('}') if is_in_braces => break,
            Some(letter) => letter,
            None if is_in_braces => return Err("a { that is never closed; %{ prints one".to_owned()),
            None => break,
        };
        if letter != '%' {
            push_plain(&mut plain, letter, rest)?;
            continue;
        }
        match rest.next() {
            Some(brace @ ('%' | '{' | '}')) => plain.push(brace as u8),
            Some(letter) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(field(letter, rest)?);
            }
            None => return Err("a % at the end; %% prints one".to_owned()),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn push_plain(plain: &mut Vec<u8>, letter: char, rest: &mut Letters<'_>) -> Result<(), String> {
    if letter == '\\' {
        plain.push(escaped(rest)?);
    } else {
        plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(())
}

fn escaped(rest: &mut Letters<'_>) -> Result<u8, String> {
    match rest.next() {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16)
                .map_err(|_| format!("\\x{digits}: expected two hexadecimal digits"))
        }
        Some(other) => Err(format!("there is no \\{other}")),
        None => Err("a \\ at the end; \\\\ prints one".to_owned()),
    }
}

/// The piece that `%` and this letter begin.
fn field(letter: char, rest: &mut Letters<'_>) -> Result<Piece, String> {
    let has_braces = rest.next_if_eq(&'{').is_some();
    if letter == 'h' {
        return Ok(if has_braces { Piece::Headers(pieces(rest, true)?) } else { Piece::HeaderList });
    }
    let modifier: Option<String> = has_braces.then(|| rest.by_ref().take_while(|it| *it != '}').collect());
    let modifier = modifier.as_deref();
    let bytes = |part| coding(modifier).map(|coding| Piece::Bytes(part, coding));
    let number = |quantity| form(modifier, quantity).map(|form| Piece::Number(quantity, form));
    let piece = match letter {
        't' => bytes(Part::Topic),
        'k' => bytes(Part::Key),
        's' | 'v' => bytes(Part::Value),
        'p' => number(Quantity::Partition),
        'o' => number(Quantity::Offset),
        'T' | 'd' => number(Quantity::Timestamp),
        'K' => number(Quantity::KeySize),
        'S' | 'V' => number(Quantity::ValueSize),
        'R' => modifier.is_none().then_some(Piece::Number(Quantity::ValueSize, Form::Big(4))),
        'H' => number(Quantity::HeaderCount),
        'e' => number(Quantity::LeaderEpoch),
        'x' => number(Quantity::ProducerId),
        'y' => number(Quantity::ProducerEpoch),
        ']' => number(Quantity::HighWatermark),
        'i' => number(Quantity::RecordNumber),
        'a' => attribute(modifier),
        _ => return Err(format!("there is no %{letter}; see --help")),
    };
    piece.ok_or_else(|| match modifier {
        Some(modifier) => format!("there is no %{letter}{{{modifier}}}; see --help"),
        None => format!("there is no %{letter} without braces; see --help"),
    })
}

fn coding(modifier: Option<&str>) -> Option<Coding> {
    Some(match modifier {
        None => Coding::Raw,
        Some("hex") => Coding::Hex,
        Some("base64") => Coding::Base64 { is_padded: true },
        Some("base64raw") => Coding::Base64 { is_padded: false },
        Some("json") => Coding::Json,
        Some(other) => {
            let letters = other.strip_prefix("unpack[")?.strip_suffix(']')?;
            letters
                .chars()
                .all(|it| "<>bBhHiIqQcs$".contains(it))
                .then(|| Coding::Unpack(letters.to_owned()))?
        }
    })
}

fn form(modifier: Option<&str>, quantity: Quantity) -> Option<Form> {
    let Some(modifier) = modifier else { return Some(Form::Decimal) };
    let is_time = quantity == Quantity::Timestamp;
    Some(match modifier {
        "ascii" => Form::Decimal,
        "hex64" => Form::Hex(16),
        "hex32" => Form::Hex(8),
        "hex16" => Form::Hex(4),
        "hex8" => Form::Hex(2),
        "hex4" => Form::Hex(1),
        "big64" => Form::Big(8),
        "big32" => Form::Big(4),
        "big16" => Form::Big(2),
        "big8" | "little8" | "byte" => Form::Big(1),
        "little64" => Form::Little(8),
        "little32" => Form::Little(4),
        "little16" => Form::Little(2),
        "bool" => Form::Bool,
        "iso" if is_time => Form::Iso,
        "s" if is_time => Form::Seconds,
        number => Form::Always(number.parse().ok()?),
    })
}

fn attribute(modifier: Option<&str>) -> Option<Piece> {
    match modifier? {
        "compression" => Some(Piece::Codec),
        "timestamp-type" => Some(Piece::Number(Quantity::TimestampType, Form::Decimal)),
        "transactional-bit" => Some(Piece::Number(Quantity::IsTransactional, Form::Decimal)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_with_a_template() {
        for (wrong, told) in [
            ("%", "a % at the end; %% prints one"),
            ("%z", "there is no %z; see --help"),
            ("%s{rot13}", "there is no %s{rot13}; see --help"),
            ("%s{unpack[x]}", "there is no %s{unpack[x]}; see --help"),
            ("%o{iso}", "there is no %o{iso}; see --help"),
            ("%R{hex8}", "there is no %R{hex8}; see --help"),
            ("%a", "there is no %a without braces; see --help"),
            ("%h{%k=%s", "a { that is never closed; %{ prints one"),
            ("\\", "a \\ at the end; \\\\ prints one"),
            ("\\q", "there is no \\q"),
            ("\\xg1", "\\xg1: expected two hexadecimal digits"),
        ] {
            assert_eq!(Template::parse(wrong), Err(told.to_owned()), "{wrong:?}");
        }
    }
}
