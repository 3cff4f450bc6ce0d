//! Reads Kafka's message definitions out of its jars and keeps the facts.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::generate::SCHEMA_PATH;
use crate::schema::{API, Field, Kind, Message, Pair, RECORD, Schema, Struct, Versions};

/// Messages that are neither request nor response, and that we use.
const OTHERS: [&str; 4] =
    ["RequestHeader", "ResponseHeader", "ConsumerProtocolSubscription", "ConsumerProtocolAssignment"];

/// Records of the coordinators' topics that we read and write.
const RECORDS: [&str; 9] = [
    "OffsetCommit",
    "GroupMetadata",
    "ConsumerGroupMetadata",
    "ConsumerGroupMemberMetadata",
    "ConsumerGroupTargetAssignmentMetadata",
    "ConsumerGroupTargetAssignmentMember",
    "ConsumerGroupCurrentMemberAssignment",
    "ConsumerGroupRegularExpression",
    "TransactionLog",
];

const OPENING: &str = "\
# The messages of Apache Kafka 4.4.0: names, types and versions, as `cargo xtask gen extract` found them.
# Do not edit: `cargo xtask gen` makes the code in ../src/messages of it.
";

/// Writes the schema file from the jars of the clients and the coordinators.
pub(crate) fn write(jars: &[&str]) -> Result<()> {
    let mut schema = Schema::default();
    for jar in jars {
        read(jar.as_ref(), &mut schema)?;
    }
    schema.apis.sort_by_key(|api| api.number);
    schema.records.sort_by_key(|record| RECORDS.iter().position(|name| *name == record.name));
    std::fs::write(SCHEMA_PATH, format!("{OPENING}{}", schema.print()))
        .with_context(|| SCHEMA_PATH.to_owned())?;
    println!("{} keys and {} records written to {SCHEMA_PATH}", schema.apis.len(), schema.records.len());
    Ok(())
}

fn read(jar: &Path, schema: &mut Schema) -> Result<()> {
    let names = unzip(jar, &["-Z1"], &[])?;
    for path in names.lines() {
        let Some(name) = path.strip_prefix("common/message/").and_then(|it| it.strip_suffix(".json")) else {
            continue;
        };
        if let Some(name) = name.strip_suffix("Request") {
            schema.apis.extend(pair(jar, name, API)?);
        } else if let Some(name) = name.strip_suffix("Key").filter(|name| RECORDS.contains(name)) {
            schema.records.extend(pair(jar, name, RECORD)?);
        } else if OTHERS.contains(&name) {
            let other = definition(jar, name)?;
            let list = if text(&other, "type")? == "header" { &mut schema.headers } else { &mut schema.data };
            list.push(message(&other)?);
        }
    }
    Ok(())
}

/// Two messages under one number; none if they are no longer in use.
fn pair(jar: &Path, name: &str, halves: [&str; 2]) -> Result<Option<Pair>> {
    let [first, second] = halves.map(|half| definition(jar, &format!("{name}{half}")));
    let (first, second) = (first?, second?);
    if text(&first, "validVersions")? == "none" {
        return Ok(None);
    }
    let number = first["apiKey"].as_i64().with_context(|| format!("{name} without a number"))?;
    let halves = [message(&first)?, message(&second)?];
    Ok(Some(Pair { number: i16::try_from(number)?, name: name.to_owned(), halves }))
}

fn unzip(jar: &Path, before: &[&str], after: &[&str]) -> Result<String> {
    let output = Command::new("unzip").args(before).arg(jar).args(after).output().context("running unzip")?;
    ensure!(output.status.success(), "unzip {}: {}", jar.display(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn definition(jar: &Path, name: &str) -> Result<Value> {
    let text = unzip(jar, &["-p"], &[&format!("common/message/{name}.json")])?;
    serde_json::from_str(&without_comments(&text)).with_context(|| format!("definition of {name}"))
}

/// The definitions are JSON with `//` comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_string = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => {
                out.push(char);
                out.extend(chars.next());
                continue;
            }
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => {
                while chars.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            _ => {}
        }
        out.push(char);
    }
    out
}

fn message(definition: &Value) -> Result<Message> {
    let common = definition["commonStructs"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(Message {
        name: text(definition, "name")?.to_owned(),
        versions: text(definition, "validVersions")?.parse()?,
        flexible: text(definition, "flexibleVersions")?.parse()?,
        latest_unstable: definition["latestVersionUnstable"].as_bool().unwrap_or(false),
        fields: fields(definition)?,
        structs: common
            .iter()
            .map(|it| {
                let (name, versions) = (text(it, "name")?.to_owned(), text(it, "versions")?.parse()?);
                Ok(Struct { name, versions, fields: fields(it)? })
            })
            .collect::<Result<_>>()?,
    })
}

fn fields(definition: &Value) -> Result<Vec<Field>> {
    definition["fields"].as_array().map_or(&[][..], Vec::as_slice).iter().map(field).collect()
}

fn field(definition: &Value) -> Result<Field> {
    let name = text(definition, "name")?;
    let kind: Kind = text(definition, "type")?.parse()?;
    let given = if definition["versions"].is_null() { "taggedVersions" } else { "versions" };
    let versions: Versions = text(definition, given)?.parse()?;
    let tag = definition["tag"].as_u64().map(u32::try_from).transpose()?;
    if tag.is_some() {
        let tagged: Versions = text(definition, "taggedVersions")?.parse()?;
        ensure!(
            tagged == versions,
            "{name} is tagged in some of its versions only: the schema cannot say that"
        );
    }
    let default = match &definition["default"] {
        // To Kafka's own generator a null without quotes is no default either.
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.to_lowercase()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        other => bail!("{name}: default {other}"),
    };
    ensure!(!default.as_deref().unwrap_or("").contains(char::is_whitespace), "{name}: default {default:?}");
    let element = if let Kind::Array(element) = &kind { element } else { &kind };
    // Kafka has no entity type for the ids of topics, only the name tells them from other ids.
    let topic_id = *element == Kind::Uuid && name.to_lowercase().starts_with("topicid");
    let entity = if topic_id { Some("topicId") } else { definition["entityType"].as_str() };
    Ok(Field {
        name: name.to_owned(),
        versions,
        nullable: definition["nullableVersions"].as_str().map_or(Ok(Versions::NONE), str::parse)?,
        tag,
        default,
        ignorable: definition["ignorable"].as_bool().unwrap_or(false),
        never_flexible: definition["flexibleVersions"].as_str() == Some("none"),
        entity: entity.map(str::to_owned),
        fields: fields(definition)?,
        kind,
    })
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("{name} is missing in {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        let text = "// first\n{ \"a\": \"http://x \\\" // y\", // end\n \"b\": 1 }";
        assert_eq!(without_comments(text), "\n{ \"a\": \"http://x \\\" // y\", \n \"b\": 1 }");
    }
}
