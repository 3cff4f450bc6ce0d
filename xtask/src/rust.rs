//! Schema to Rust: one file an API, with the structs of its request and response.
//!
//! What a version changes is an `if` on the version at run time, and whether lengths are compact is known to the
//! reader and the writer: so a struct costs one small read and one small write function, whatever the number of versions.

mod kinds;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use self::words::{doc, holds_when, identifier, names_version, negated, snake_case};
use crate::schema::{Field, Kind, Message, Schema, Versions};

const MARK: &str = "// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.\n";

/// The module of records.
const RECORDS: &str = "coordinator_records";

/// Names that the generated files use for something else.
const RESERVED: [&str; 14] = [
    "Box",
    "Bytes",
    "DecodeError",
    "Default",
    "Element",
    "EncodeError",
    "Message",
    "Option",
    "RangeInclusive",
    "Reader",
    "Records",
    "String",
    "Vec",
    "Writer",
];

/// The files of the module `messages`, by name, not formatted yet.
pub(crate) fn files(schema: &Schema) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut modules = String::new();
    let mut add = |module: &str, about: &str, messages: &[&Message]| -> Result<()> {
        files.insert(format!("{module}.rs"), file(about, messages).with_context(|| module.to_owned())?);
        let names: Vec<&str> = messages.iter().map(|it| it.name.as_str()).collect();
        writeln!(modules, "pub mod {module};\npub use {module}::{{{}}};", names.join(", "))?;
        Ok(())
    };
    for api in &schema.apis {
        let about = format!("{}, key {}.", api.name, api.number);
        add(&snake_case(&api.name), &about, &api.halves.each_ref())?;
    }
    let data: Vec<&Message> = schema.data.iter().collect();
    add("consumer_protocol", "What members of a classic group tell one another.", &data)?;
    let records: Vec<&Message> = schema.records.iter().flat_map(|record| &record.halves).collect();
    add(RECORDS, "What the coordinators' internal topics consist of.", &records)?;
    let file = files.entry(format!("{RECORDS}.rs")).or_default();
    for record in &schema.records {
        writeln!(file, "impl {}Key {{\n/// What stands in front of a key.", record.name)?;
        writeln!(file, "pub const RECORD_TYPE: i16 = {};\n}}\n", record.number)?;
    }
    let opening = "\
//! The messages of Kafka 4.4, one module an API.
//!
//! Names are Kafka's. A field's comment tells what is special about it; a field without one is in all versions.
#![allow(missing_docs)]

/// What every message file uses.
mod prelude {
    pub(super) use std::ops::RangeInclusive;

    pub(super) use bytes::Bytes;
    pub(super) use klamm_model::TopicId;
    pub(super) use uuid::Uuid;

    pub(super) use crate::{DecodeError, Element, EncodeError, Message, Reader, Records, Writer};
}
";
    files.insert("mod.rs".to_owned(), format!("{MARK}{opening}\n{modules}"));
    Ok(files)
}

fn file(about: &str, messages: &[&Message]) -> Result<String> {
    let mut out = format!("{MARK}//! {about}\n\nuse super::prelude::*;\n");
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut described = Vec::new();
    for message in messages {
        let structs = structs(message)?;
        for it in &structs {
            *taken.entry(it.schema_name.clone()).or_default() += 1;
        }
        described.push((*message, structs));
    }
    for (message, structs) in &described {
        let half = ["Request", "Response"].into_iter().find(|half| message.name.ends_with(half));
        let half = half.unwrap_or_else(|| message.name.trim_start_matches("ConsumerProtocol"));
        let rename = |name: &str| {
            let clash = taken.get(name).is_some_and(|count| *count > 1) || RESERVED.contains(&name);
            if clash { format!("{half}{name}") } else { name.to_owned() }
        };
        for it in structs {
            Printer { out: &mut out, message, rename: &rename }.print(it)?;
        }
        let flexible_from = match message.flexible {
            flexible if flexible.intersect(message.versions).is_none() => "None".to_owned(),
            flexible => format!("Some({})", flexible.first),
        };
        writeln!(
            out,
            "impl Message for {0} {{\nconst NAME: &'static str = \"{0}\";\n\
             const VERSIONS: RangeInclusive<i16> = {1}..={2};\nconst FLEXIBLE_FROM: Option<i16> = {flexible_from};\n{3}}}",
            message.name,
            message.versions.first,
            message.versions.last,
            if message.latest_unstable { "const LATEST_UNSTABLE: bool = true;\n" } else { "" },
        )?;
    }
    Ok(out)
}

/// A struct to be printed: the message itself, or one nested in it.
struct Described<'a> {
    schema_name: String,
    versions: Versions,
    fields: Vec<&'a Field>,
}

/// All structs of a message in the order in which a reader meets them, without fields that no valid version has.
fn structs(message: &Message) -> Result<Vec<Described<'_>>> {
    fn add<'a>(
        out: &mut Vec<Described<'a>>,
        name: &str,
        versions: Versions,
        fields: &'a [Field],
    ) -> Result<()> {
        ensure!(out.iter().all(|it| it.schema_name != name), "{name} is defined twice");
        let present = |field: &&Field| !field.versions.intersect(versions).is_none();
        let fields: Vec<&Field> = fields.iter().filter(present).collect();
        out.push(Described { schema_name: name.to_owned(), versions, fields: fields.clone() });
        for field in fields {
            if let (Some(name), false) = (struct_name(&field.kind), field.fields.is_empty()) {
                add(out, name, field.versions.intersect(versions), &field.fields)?;
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    add(&mut out, &message.name, message.versions, &message.fields)?;
    for common in &message.structs {
        add(&mut out, &common.name, common.versions.intersect(message.versions), &common.fields)?;
    }
    Ok(out)
}

fn struct_name(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Struct(name) => Some(name),
        Kind::Array(element) => struct_name(element),
        _ => None,
    }
}

struct Printer<'a> {
    out: &'a mut String,
    message: &'a Message,
    rename: &'a dyn Fn(&str) -> String,
}

impl Printer<'_> {
    fn print(&mut self, it: &Described<'_>) -> Result<()> {
        let name = (self.rename)(&it.schema_name);
        let fields = it
            .fields
            .iter()
            .map(|field| self.field(field, it.versions))
            .collect::<Result<Vec<FieldCode>>>()?;
        let derived = fields.iter().all(|field| field.default_is_derived);
        let default = if derived { ", Default" } else { "" };
        writeln!(self.out, "\n#[derive(Clone, Debug, PartialEq{default})]\npub struct {name} {{")?;
        for field in &fields {
            writeln!(self.out, "{}pub {}: {},", field.doc, field.name, field.kind)?;
        }
        writeln!(self.out, "}}\n")?;
        if !derived {
            writeln!(self.out, "impl Default for {name} {{\nfn default() -> Self {{\nSelf {{")?;
            for field in &fields {
                writeln!(self.out, "{}: {},", field.name, field.default)?;
            }
            writeln!(self.out, "}}\n}}\n}}\n")?;
        }
        writeln!(
            self.out,
            "impl Element for {name} {{\nconst WIRE_SIZE_MIN: usize = {};\n",
            self.wire_size_min(it)?.max(1)
        )?;
        self.read(&fields)?;
        self.write(&fields)?;
        writeln!(self.out, "}}\n")?;
        Ok(())
    }

    fn read(&mut self, fields: &[FieldCode]) -> Result<()> {
        let uses_version =
            fields.iter().any(|field| names_version(&field.read) || names_version(&field.tagged_read));
        let tagged = fields.iter().any(|field| field.tag.is_some());
        writeln!(self.out, "fn read(r: &mut Reader) -> Result<Self, DecodeError> {{")?;
        if uses_version {
            writeln!(self.out, "let v = r.version();")?;
        }
        writeln!(self.out, "let {}it = Self {{", if tagged { "mut " } else { "" })?;
        for field in fields {
            writeln!(self.out, "{}: {},", field.name, field.read)?;
        }
        writeln!(self.out, "}};")?;
        if tagged {
            writeln!(self.out, "r.tags(|r, tag| {{ match tag {{")?;
            for field in fields.iter().filter(|field| field.tag.is_some()) {
                self.out.push_str(&field.tagged_read);
            }
            writeln!(self.out, "_ => return Ok(false), }} Ok(true) }})?;")?;
        } else if !self.message.flexible.is_none() {
            writeln!(self.out, "r.skip_tags()?;")?;
        }
        writeln!(self.out, "Ok(it)\n}}\n")?;
        Ok(())
    }

    fn write(&mut self, fields: &[FieldCode]) -> Result<()> {
        let uses_version = fields.iter().any(|field| names_version(&field.write));
        let tagged = fields.iter().any(|field| field.tag.is_some());
        let flexible = !self.message.flexible.is_none();
        let used = flexible || !fields.is_empty();
        writeln!(
            self.out,
            "fn write(&self, {}: &mut Writer) -> Result<(), EncodeError> {{",
            if used { "w" } else { "_" }
        )?;
        if uses_version {
            writeln!(self.out, "let v = w.version();")?;
        }
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            self.out.push_str(&field.write);
        }
        if tagged {
            writeln!(self.out, "let mut tags = w.begin_tags();")?;
            let mut by_tag: Vec<&FieldCode> = fields.iter().filter(|field| field.tag.is_some()).collect();
            by_tag.sort_by_key(|field| field.tag);
            for field in by_tag {
                self.out.push_str(&field.write);
            }
            writeln!(self.out, "w.end_tags(tags);")?;
        } else if flexible {
            writeln!(self.out, "w.no_tags();")?;
        }
        writeln!(self.out, "Ok(())\n}}")?;
        Ok(())
    }

    fn field(&self, field: &Field, within: Versions) -> Result<FieldCode> {
        let present = field.versions.intersect(within);
        let nullable = field.nullable.intersect(present);
        let code = self.kind(field, present, nullable).with_context(|| field.name.clone())?;
        let name = identifier(&field.name);
        let this = format!("self.{name}");
        let condition = (!present.covers(within)).then(|| holds_when(present, within));
        let write_value = code.write.replace("@", &this);
        // What is an Option in Rust may be null on the wire in some versions only, or in none.
        let null_check = match nullable {
            _ if !code.kind.starts_with("Option<") || nullable.covers(present) => String::new(),
            _ if nullable.is_none() => format!("w.require({this}.is_some(), \"{name}\")?;\n"),
            _ => {
                let allowed = holds_when(nullable, present);
                format!("w.require({this}.is_some() || {allowed}, \"{name}\")?;\n")
            }
        };
        let is_default = code.is_default.replace("@", &this);
        let refusal = format!("w.require({is_default}, \"{name}\")?;");
        let mut write = String::new();
        let (read, mut tagged_read) = (code.read, String::new());
        let read = match (field.tag, &condition) {
            (Some(tag), condition) => {
                ensure!(
                    nullable.is_none() || nullable.covers(present),
                    "a tagged field that is nullable at times"
                );
                ensure!(self.message.flexible.covers(present), "a tagged field in a version without tags");
                let guard = condition.as_ref().map_or(String::new(), |it| format!(" if {it}"));
                writeln!(tagged_read, "{tag}{guard} => it.{name} = {read},")?;
                let differs = negated(&is_default);
                let put =
                    format!("w.tag(&mut tags, {tag}, |w| {{ {} }})?;", code.write_result.replace("@", &this));
                match condition {
                    None => writeln!(write, "if {differs} {{ {put} }}")?,
                    Some(condition) if field.ignorable => {
                        writeln!(write, "if {condition} && {differs} {{ {put} }}")?
                    }
                    Some(condition) => {
                        writeln!(write, "if {condition} {{ if {differs} {{ {put} }} }} else {{ {refusal} }}")?
                    }
                }
                code.default.clone()
            }
            (None, None) => {
                write = format!("{null_check}{write_value}\n");
                read
            }
            (None, Some(condition)) => {
                let refusal = if field.ignorable { String::new() } else { format!(" else {{ {refusal} }}") };
                writeln!(write, "if {condition} {{ {null_check}{write_value} }}{refusal}")?;
                format!("if {condition} {{ {read} }} else {{ {} }}", code.default)
            }
        };
        Ok(FieldCode {
            doc: doc(field, present, within, nullable),
            name,
            kind: code.kind,
            default_is_derived: code.default_is_derived,
            default: code.default,
            tag: field.tag,
            read,
            tagged_read,
            write,
        })
    }

    /// The fewest bytes that a value takes in any version.
    fn wire_size_min(&self, it: &Described<'_>) -> Result<usize> {
        let last = it.versions.last.min(self.message.versions.last);
        let sizes = (it.versions.first..=last).map(|version| self.wire_size_in(version, &it.fields, 0));
        sizes.collect::<Result<Vec<usize>>>()?.into_iter().min().context("a struct without versions")
    }

    fn wire_size_in(&self, version: i16, fields: &[&Field], depth: usize) -> Result<usize> {
        ensure!(depth < 10, "structs within one another without end");
        let flexible = self.message.flexible.contains(version);
        let mut size = usize::from(flexible);
        for field in fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
            size += match &field.kind {
                Kind::Bool | Kind::Int8 => 1,
                Kind::Int16 | Kind::Uint16 => 2,
                Kind::Int32 => 4,
                Kind::Int64 | Kind::Float64 => 8,
                Kind::Uuid => 16,
                Kind::String | Kind::Bytes | Kind::Records | Kind::Array(_) if flexible => 1,
                Kind::String => 2,
                Kind::Bytes | Kind::Records | Kind::Array(_) => 4,
                Kind::Struct(_) if field.nullable.contains(version) => 1,
                Kind::Struct(name) => {
                    let common = self.message.structs.iter().find(|it| it.name == *name);
                    let nested: Vec<&Field> = common.map_or(&field.fields, |it| &it.fields).iter().collect();
                    self.wire_size_in(version, &nested, depth + 1)?
                }
            };
        }
        Ok(size)
    }
}

struct FieldCode {
    doc: String,
    name: String,
    kind: String,
    default: String,
    default_is_derived: bool,
    tag: Option<u32>,
    read: String,
    tagged_read: String,
    write: String,
}
