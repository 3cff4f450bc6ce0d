//! Schema to Rust: one file an API, with the structs of its request and response.
//!
//! What a version changes is an `if` on the version at run time, and whether lengths are compact is known to the
//! reader and the writer: so a struct costs one small read and one small write function, whatever the number of versions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use crate::schema::{Field, Kind, Message, Schema, Versions};

const MARK: &str = "// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.\n";

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
        let about = format!("{}, key {}.", api.name, api.key);
        add(&snake_case(&api.name), &about, &[&api.request, &api.response])?;
    }
    let data: Vec<&Message> = schema.data.iter().collect();
    add("consumer_protocol", "What members of a classic group tell one another.", &data)?;
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
        let uses_version = fields.iter().any(|field| {
            field.read.contains("v >=")
                || field.tagged_read.contains("v >=")
                || field.read.contains("v <=")
                || field.read.contains("contains(&v)")
        });
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
        let uses_version = fields.iter().any(|field| field.uses_version);
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
        let always_null = nullable.covers(present) || field.kind == Kind::Records && nullable.is_none();

        let write_value = code.write.replace("@", &this);
        let mut body = String::new();
        if code.optional && !always_null {
            let holds = if nullable.is_none() {
                String::new()
            } else {
                format!(" || {}", holds_when(nullable, present))
            };
            writeln!(body, "w.require({this}.is_some(){holds}, \"{name}\")?;")?;
        } else if field.kind == Kind::Records && nullable.is_none() {
            writeln!(body, "w.require({this}.is_some(), \"{name}\")?;")?;
        }
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
                write = format!("{body}{write_value}\n");
                read
            }
            (None, Some(condition)) => {
                let refusal = if field.ignorable { String::new() } else { format!(" else {{ {refusal} }}") };
                writeln!(write, "if {condition} {{ {body}{write_value} }}{refusal}")?;
                format!("if {condition} {{ {read} }} else {{ {} }}", code.default)
            }
        };
        let uses_version =
            condition.is_some() || write.contains("v >=") || write.contains("v <=") || write.contains("(&v)");
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
            uses_version,
        })
    }

    /// The code for a field's type. `@` stands for the place to write from.
    fn kind(&self, field: &Field, present: Versions, nullable: Versions) -> Result<KindCode> {
        let optional = !nullable.is_none();
        let null_default = field.default.as_deref() == Some("null");
        ensure!(!null_default || optional, "null by default, but never null");
        let null_allowed =
            if nullable.covers(present) { "true".to_owned() } else { holds_when(nullable, present) };
        let topic_id = field.entity.as_deref() == Some("topicId");
        let sized = |plain: &str, name: &str, empty: &str| -> KindCode {
            let (read, write) = if optional {
                (format!("r.nullable_{name}({null_allowed})?"), format!("w.nullable_{name}(&@)"))
            } else {
                (format!("r.{name}()?"), format!("w.{name}(&@)"))
            };
            let is_empty = plain.split('<').next().unwrap_or(plain);
            let (kind, default, is_default) = match (optional, null_default) {
                (false, _) => (plain.to_owned(), empty.to_owned(), "@.is_empty()".to_owned()),
                (true, true) => (format!("Option<{plain}>"), "None".to_owned(), "@.is_none()".to_owned()),
                (true, false) => (
                    format!("Option<{plain}>"),
                    format!("Some({empty})"),
                    format!("@.as_ref().is_some_and({is_empty}::is_empty)"),
                ),
            };
            let default_is_derived = !optional || null_default;
            let write_result = write.clone();
            let write = format!("{write}?;");
            KindCode { kind, default, default_is_derived, is_default, read, write, write_result, optional }
        };
        if let Kind::String | Kind::Bytes | Kind::Array(_) = field.kind {
            ensure!(matches!(field.default.as_deref(), None | Some("null")), "default {:?}", field.default);
        }
        Ok(match &field.kind {
            Kind::String => sized("String", "string", "String::new()"),
            Kind::Bytes => sized("Bytes", "bytes", "Bytes::new()"),
            Kind::Array(element) => {
                sized(&format!("Vec<{}>", self.element(element, topic_id)?), "array", "Vec::new()")
            }
            Kind::Records => KindCode {
                kind: "Option<Records>".to_owned(),
                default: "None".to_owned(),
                default_is_derived: true,
                is_default: "@.is_none()".to_owned(),
                read: format!("r.records({})?", if optional { &null_allowed } else { "false" }),
                write: "w.records(&@)?;".to_owned(),
                write_result: "w.records(&@)".to_owned(),
                optional,
            },
            Kind::Struct(name) => {
                let name = (self.rename)(name);
                ensure!(
                    !optional || null_default && nullable.covers(present),
                    "a struct that is nullable at times"
                );
                if optional {
                    KindCode {
                        kind: format!("Option<{name}>"),
                        default: "None".to_owned(),
                        default_is_derived: true,
                        is_default: "@.is_none()".to_owned(),
                        read: "r.nullable_struct()?".to_owned(),
                        write: "w.nullable_struct(&@)?;".to_owned(),
                        write_result: "w.nullable_struct(&@)".to_owned(),
                        optional,
                    }
                } else {
                    KindCode {
                        default: format!("{name}::default()"),
                        default_is_derived: true,
                        is_default: format!("@ == {name}::default()"),
                        read: format!("{name}::read(r)?"),
                        kind: name,
                        write: "@.write(w)?;".to_owned(),
                        write_result: "@.write(w)".to_owned(),
                        optional,
                    }
                }
            }
            scalar => {
                let (kind, method) = self.scalar(scalar, topic_id)?;
                let given = field.default.as_deref();
                let (default, default_is_derived, is_default) = match (scalar, given) {
                    (Kind::Bool, Some("true")) => ("true".to_owned(), false, "@".to_owned()),
                    (Kind::Bool, None | Some("false")) => ("false".to_owned(), true, "!@".to_owned()),
                    (Kind::Uuid, None) => {
                        (format!("{kind}::default()"), true, format!("@ == {kind}::default()"))
                    }
                    (Kind::Float64, None) => ("0.0".to_owned(), true, "@ == 0.0".to_owned()),
                    (Kind::Bool | Kind::Uuid | Kind::Float64, Some(other)) => {
                        bail!("default {other:?}")
                    }
                    (_, given) => {
                        let number = integer(given.unwrap_or("0"))?;
                        (number.to_string(), number == 0, format!("@ == {number}"))
                    }
                };
                KindCode {
                    kind: kind.to_owned(),
                    default,
                    default_is_derived,
                    is_default,
                    read: format!("r.{method}()?"),
                    write: format!("w.{method}(@);"),
                    write_result: format!("w.{method}(@); Ok(())"),
                    optional: false,
                }
            }
        })
    }

    fn element(&self, kind: &Kind, topic_id: bool) -> Result<String> {
        Ok(match kind {
            Kind::Struct(name) => (self.rename)(name),
            Kind::String => "String".to_owned(),
            other => self.scalar(other, topic_id)?.0.to_owned(),
        })
    }

    /// Type and method name of a type of fixed size.
    fn scalar(&self, kind: &Kind, topic_id: bool) -> Result<(&'static str, &'static str)> {
        Ok(match kind {
            Kind::Bool => ("bool", "bool"),
            Kind::Int8 => ("i8", "i8"),
            Kind::Int16 => ("i16", "i16"),
            Kind::Uint16 => ("u16", "u16"),
            Kind::Int32 => ("i32", "i32"),
            Kind::Int64 => ("i64", "i64"),
            Kind::Float64 => ("f64", "f64"),
            Kind::Uuid if topic_id => ("TopicId", "topic_id"),
            Kind::Uuid => ("Uuid", "uuid"),
            other => bail!("{other} has no fixed size"),
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
    uses_version: bool,
}

struct KindCode {
    kind: String,
    default: String,
    default_is_derived: bool,
    is_default: String,
    read: String,
    write: String,
    /// As the last expression of a closure.
    write_result: String,
    optional: bool,
}

/// What is worth telling about a field.
fn doc(field: &Field, present: Versions, within: Versions, nullable: Versions) -> String {
    let mut facts = Vec::new();
    if !present.covers(within) {
        facts.push(match (present.first <= within.first, within.last <= present.last) {
            (_, true) => format!("since version {}", present.first),
            (true, false) => format!("up to version {}", present.last),
            (false, false) => format!("versions {} to {}", present.first, present.last),
        });
    }
    if !nullable.is_none() && !nullable.covers(present) {
        facts.push(format!("may be null in versions {}", field.nullable));
    }
    if let Some(tag) = field.tag {
        facts.push(format!("tag {tag}"));
    }
    if let Some(default) = field.default.as_ref().filter(|it| !["null", "false", "0"].contains(&it.as_str()))
    {
        facts.push(format!("default {default}"));
    }
    if field.ignorable && !present.covers(within) {
        facts.push("left out silently where a version lacks it".to_owned());
    }
    let mut text = facts.join(", ");
    if text.is_empty() {
        return text;
    }
    text[..1].make_ascii_uppercase();
    format!("/// {text}.\n")
}

/// Whether version `v`, which is in `within`, is in `versions`.
fn holds_when(versions: Versions, within: Versions) -> String {
    match (versions.first <= within.first, within.last <= versions.last) {
        (_, true) => format!("v >= {}", versions.first),
        (true, false) => format!("v <= {}", versions.last),
        (false, false) => format!("({}..={}).contains(&v)", versions.first, versions.last),
    }
}

fn negated(condition: &str) -> String {
    if let Some(plain) = condition.strip_prefix('!') {
        plain.to_owned()
    } else if condition.contains(" == ") {
        condition.replacen(" == ", " != ", 1)
    } else if let Some(option) = condition.strip_suffix(".is_none()") {
        format!("{option}.is_some()")
    } else {
        format!("!{condition}")
    }
}

fn integer(text: &str) -> Result<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .with_context(|| format!("default {text:?}"))
}

fn identifier(name: &str) -> String {
    let name = snake_case(name);
    if ["type", "match", "ref", "move", "use", "loop", "gen"].contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, char) in chars.iter().enumerate() {
        let after_lower = index > 0 && !chars[index - 1].is_ascii_uppercase();
        let before_lower = index > 0 && chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if char.is_ascii_uppercase() && (after_lower || before_lower) && index > 0 {
            out.push('_');
        }
        out.push(char.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        let cases = ["TopicId", "timeoutMs", "KRaftVersion", "IsrNodes", "SCRAMName", "Id", "Type"];
        let names: Vec<String> = cases.iter().map(|it| identifier(it)).collect();
        assert_eq!(
            names,
            ["topic_id", "timeout_ms", "k_raft_version", "isr_nodes", "scram_name", "id", "r#type"]
        );
    }

    #[test]
    fn conditions_leave_out_what_always_holds() {
        let within = Versions { first: 4, last: 18 };
        let versions = |text: &str| text.parse::<Versions>().unwrap();
        assert_eq!(holds_when(versions("12+"), within), "v >= 12");
        assert_eq!(holds_when(versions("0-14"), within), "v <= 14");
        assert_eq!(holds_when(versions("7-12"), within), "(7..=12).contains(&v)");
    }
}
