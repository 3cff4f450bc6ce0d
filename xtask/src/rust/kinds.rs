//! What the types of fields are in Rust, and which calls read and write them.

use anyhow::{Result, bail, ensure};

use super::Printer;
use super::words::{holds_when, integer};
use crate::schema::{Field, Kind, Versions};

/// What code a type stands for. `@` is the place to write from.
pub(super) struct KindCode {
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) default_is_derived: bool,
    pub(super) is_default: String,
    pub(super) read: String,
    pub(super) write: String,
    /// As the last expression of a closure.
    pub(super) write_result: String,
}

impl Printer<'_> {
    /// The code for a field's type.
    pub(super) fn kind(&self, field: &Field, present: Versions, nullable: Versions) -> Result<KindCode> {
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
            KindCode { kind, default, default_is_derived, is_default, read, write, write_result }
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
            },
            Kind::Struct(name) => {
                let name = (self.rename)(name);
                let tagged = field.tag.is_some();
                ensure!(
                    !optional || (null_default || tagged) && nullable.covers(present),
                    "a struct that is nullable at times"
                );
                if optional {
                    let method = if tagged { "tagged_struct" } else { "nullable_struct" };
                    let (default, is_default) = if null_default {
                        ("None".to_owned(), "@.is_none()".to_owned())
                    } else {
                        (format!("Some({name}::default())"), format!("@ == Some({name}::default())"))
                    };
                    KindCode {
                        kind: format!("Option<{name}>"),
                        default,
                        default_is_derived: null_default,
                        is_default,
                        read: format!("r.{method}()?"),
                        write: format!("w.{method}(&@)?;"),
                        write_result: format!("w.{method}(&@)"),
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
}
