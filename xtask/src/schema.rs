//! The message schema: what it consists of, and its text form in `crates/wire/schema`.
//!
//! The text holds facts only: names, types, versions. One line a field, two spaces deeper for the fields of a struct:
//!
//! ```text
//! api 1 Fetch
//! request 4-18 flexible=12+
//!   ReplicaState ReplicaState 15+ tag=1
//!     ReplicaId int32 15+ default=-1 entity=brokerId
//! ```

use std::fmt::{self, Write as _};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// All messages of one release of Kafka.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Schema {
    pub(crate) apis: Vec<Pair>,
    /// What the coordinators' internal topics consist of.
    pub(crate) records: Vec<Pair>,
    /// Request and response headers: kept as facts, `header.rs` is written by hand.
    pub(crate) headers: Vec<Message>,
    /// What is carried inside of `bytes` fields.
    pub(crate) data: Vec<Message>,
}

/// How the halves of an API are called.
pub(crate) const API: [&str; 2] = ["Request", "Response"];
/// How the halves of a coordinator's record are called.
pub(crate) const RECORD: [&str; 2] = ["Key", "Value"];

/// Two messages that belong together.
#[derive(Debug, PartialEq)]
pub(crate) struct Pair {
    /// The key of an API, the type of a record.
    pub(crate) number: i16,
    pub(crate) name: String,
    pub(crate) halves: [Message; 2],
}

#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    /// The highest version is not finished: Kafka does not advertise it.
    pub(crate) latest_unstable: bool,
    pub(crate) fields: Vec<Field>,
    /// Structs used from more than one place of the message.
    pub(crate) structs: Vec<Struct>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) versions: Versions,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Option<String>,
    pub(crate) ignorable: bool,
    /// Written in the old encoding whatever the message's version.
    pub(crate) never_flexible: bool,
    pub(crate) entity: Option<String>,
    /// The fields of a struct defined in place.
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Kind>),
}

/// A range of versions; none where `first > last`.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl Versions {
    pub(crate) const NONE: Self = Self { first: 0, last: -1 };

    pub(crate) fn is_none(self) -> bool {
        self.last < self.first
    }

    pub(crate) fn intersect(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    pub(crate) fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        other.is_none() || self.first <= other.first && other.last <= self.last
    }
}

impl FromStr for Versions {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse::<i16>().with_context(|| format!("version {text:?}"));
        Ok(match (text, text.strip_suffix('+'), text.split_once('-')) {
            ("none", _, _) => Self::NONE,
            (_, Some(first), _) => Self { first: number(first)?, last: i16::MAX },
            (_, _, Some((first, last))) => Self { first: number(first)?, last: number(last)? },
            _ => Self { first: number(text)?, last: number(text)? },
        })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            _ if self.is_none() => f.write_str("none"),
            (first, i16::MAX) => write!(f, "{first}+"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            _ => match text.strip_prefix("[]") {
                Some(element) => Self::Array(Box::new(element.parse()?)),
                None if text.starts_with(|first: char| first.is_ascii_uppercase()) => {
                    Self::Struct(text.to_owned())
                }
                None => bail!("unknown type {text:?}"),
            },
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Uuid => "uuid",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Records => "records",
            Self::Struct(name) => name,
            Self::Array(element) => return write!(f, "[]{element}"),
        })
    }
}

impl Schema {
    /// The text form.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        for (word, halves, pairs) in [("api", API, &self.apis), ("record", RECORD, &self.records)] {
            for pair in pairs {
                let _ = writeln!(out, "\n{word} {} {}", pair.number, pair.name);
                for (half, message) in halves.into_iter().zip(&pair.halves) {
                    print_message(&mut out, &half.to_lowercase(), message);
                }
            }
        }
        for header in &self.headers {
            out.push('\n');
            print_message(&mut out, &format!("header {}", header.name), header);
        }
        for data in &self.data {
            out.push('\n');
            print_message(&mut out, &format!("data {}", data.name), data);
        }
        out
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut schema = Self::default();
        let mut lines =
            Lines { lines: text.lines().enumerate().filter(|(_, it)| is_content(it)).collect(), next: 0 };
        while let Some((number, line)) = lines.at_depth(0) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["api", key, name] => schema.apis.push(parse_pair(key, name, API, &mut lines)?),
                ["record", kind, name] => schema.records.push(parse_pair(kind, name, RECORD, &mut lines)?),
                ["header", name, rest @ ..] => {
                    schema.headers.push(parse_message((*name).to_owned(), rest, &mut lines)?)
                }
                ["data", name, rest @ ..] => {
                    schema.data.push(parse_message((*name).to_owned(), rest, &mut lines)?)
                }
                _ => bail!("line {}: {line:?}", number + 1),
            }
        }
        ensure!(lines.next == lines.lines.len(), "line {} stands too deep", lines.lines[lines.next].0 + 1);
        Ok(schema)
    }
}

fn print_message(out: &mut String, opening: &str, message: &Message) {
    let unstable = if message.latest_unstable { " latest_unstable" } else { "" };
    let _ = writeln!(out, "{opening} {} flexible={}{unstable}", message.versions, message.flexible);
    print_fields(out, 1, &message.fields);
    for common in &message.structs {
        let _ = writeln!(out, "  struct {} {}", common.name, common.versions);
        print_fields(out, 2, &common.fields);
    }
}

fn print_fields(out: &mut String, depth: usize, fields: &[Field]) {
    for field in fields {
        let _ = write!(out, "{}{} {} {}", "  ".repeat(depth), field.name, field.kind, field.versions);
        if field.nullable == field.versions {
            out.push_str(" nullable");
        } else if !field.nullable.is_none() {
            let _ = write!(out, " nullable={}", field.nullable);
        }
        if let Some(tag) = field.tag {
            let _ = write!(out, " tag={tag}");
        }
        if let Some(default) = &field.default {
            let _ = write!(out, " default={default}");
        }
        if field.ignorable {
            out.push_str(" ignorable");
        }
        if field.never_flexible {
            out.push_str(" never_flexible");
        }
        if let Some(entity) = &field.entity {
            let _ = write!(out, " entity={entity}");
        }
        out.push('\n');
        print_fields(out, depth + 1, &field.fields);
    }
}

fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

struct Lines<'a> {
    lines: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line, if it is indented by `depth` steps.
    fn at_depth(&mut self, depth: usize) -> Option<(usize, &'a str)> {
        let (number, line) = *self.lines.get(self.next)?;
        let spaces = line.len() - line.trim_start().len();
        if spaces != 2 * depth {
            return None;
        }
        self.next += 1;
        Some((number, line.trim()))
    }
}

fn parse_pair(number: &str, name: &str, halves: [&str; 2], lines: &mut Lines<'_>) -> Result<Pair> {
    let mut half = |suffix: &str| {
        let kind = suffix.to_lowercase();
        let (_, line) = lines.at_depth(0).with_context(|| format!("{name} has no {kind}"))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.first() == Some(&kind.as_str()), "{name}: {kind} expected, not {line:?}");
        parse_message(format!("{name}{suffix}"), &words[1..], lines)
    };
    let halves = [half(halves[0])?, half(halves[1])?];
    Ok(Pair { number: number.parse()?, name: name.to_owned(), halves })
}

fn parse_message(name: String, words: &[&str], lines: &mut Lines<'_>) -> Result<Message> {
    let [versions, flexible, rest @ ..] = words else { bail!("{name}: versions are missing") };
    let flexible =
        flexible.strip_prefix("flexible=").with_context(|| format!("{name}: flexible= is missing"))?;
    let mut message = Message {
        versions: versions.parse()?,
        flexible: flexible.parse()?,
        latest_unstable: rest.contains(&"latest_unstable"),
        fields: Vec::new(),
        structs: Vec::new(),
        name,
    };
    while let Some((number, line)) = lines.at_depth(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["struct", name, versions] => message.structs.push(Struct {
                name: (*name).to_owned(),
                versions: versions.parse()?,
                fields: parse_fields(2, lines)?,
            }),
            words => message
                .fields
                .push(parse_field(words, 2, lines).with_context(|| format!("line {}", number + 1))?),
        }
    }
    Ok(message)
}

fn parse_fields(depth: usize, lines: &mut Lines<'_>) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    while let Some((number, line)) = lines.at_depth(depth) {
        let words: Vec<&str> = line.split_whitespace().collect();
        fields.push(parse_field(&words, depth + 1, lines).with_context(|| format!("line {}", number + 1))?);
    }
    Ok(fields)
}

fn parse_field(words: &[&str], depth: usize, lines: &mut Lines<'_>) -> Result<Field> {
    let [name, kind, versions, attributes @ ..] = words else {
        bail!("a field needs a name, a type and versions")
    };
    let mut field = Field {
        name: (*name).to_owned(),
        kind: kind.parse()?,
        versions: versions.parse()?,
        nullable: Versions::NONE,
        tag: None,
        default: None,
        ignorable: false,
        never_flexible: false,
        entity: None,
        fields: parse_fields(depth, lines)?,
    };
    for attribute in attributes {
        match attribute.split_once('=').unwrap_or((attribute, "")) {
            ("nullable", "") => field.nullable = field.versions,
            ("nullable", versions) => field.nullable = versions.parse()?,
            ("tag", tag) => field.tag = Some(tag.parse()?),
            ("default", default) => field.default = Some(default.to_owned()),
            ("ignorable", "") => field.ignorable = true,
            ("never_flexible", "") => field.never_flexible = true,
            ("entity", entity) => field.entity = Some(entity.to_owned()),
            _ => bail!("unknown attribute {attribute:?}"),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
api 1 Fetch
request 4-18 flexible=12+
  ClusterId string 12+ nullable tag=0 default=null ignorable
  Topics []FetchTopic 0+ nullable=13+
    Partitions []int32 0+ entity=brokerId
  State State 15+
  struct State 15+
    Epoch int64 15+ default=-1
response 4-18 flexible=12+ latest_unstable
  ThrottleTimeMs int32 1+

record 2 GroupMetadata
key 0 flexible=none
  Group string 0
value 0-4 flexible=4+
  Generation int32 0+

header RequestHeader 1-2 flexible=2+
  ClientId string 1+ nullable never_flexible
";

    #[test]
    fn text_survives_reading_and_printing() {
        assert_eq!(Schema::parse(SMALL).unwrap().print(), SMALL);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let wrong = SMALL.replace("tag=0", "colour=red");
        let error = format!("{:#}", Schema::parse(&wrong).unwrap_err());
        assert!(error.contains("line 4") && error.contains("colour=red"), "{error}");
        assert!(Schema::parse("api 1 Fetch\n      Deep int8 0+\n").is_err());
        assert!(Schema::parse("banana\n").is_err());
    }
}
