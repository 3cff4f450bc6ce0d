//! What came of several changes: each is told as it ends, and one that fails does not keep the others from being made.

use anyhow::Result;
use klamm_client::AdminError;
use serde_json::{Value, json};

use crate::args::Format;
use crate::failure::{Told, tell};
use crate::output::{print_json, print_line};

/// What came of several changes.
pub(crate) struct Outcomes {
    format: Format,
    told: Vec<Value>,
    has_failed: bool,
}

impl Outcomes {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, told: Vec::new(), has_failed: false }
    }

    /// One went well: a line for people, an object for programs.
    pub(crate) fn done(&mut self, line: &str, object: Value) -> Result<()> {
        if self.format == Format::Table {
            print_line(line)?;
        }
        self.told.push(with_error(object, Value::Null));
        Ok(())
    }

    /// One failed: the error for people, the object with the error in it for programs. Says whether others may go better: without a broker none does.
    pub(crate) fn failed(&mut self, error: &AdminError, object: Value) -> bool {
        self.all_failed(error, [object]);
        error.code().is_some()
    }

    /// Several failed for one reason, which people are told once.
    pub(crate) fn all_failed(&mut self, error: &AdminError, objects: impl IntoIterator<Item = Value>) {
        tell(&error);
        self.has_failed = true;
        self.told.extend(objects.into_iter().map(|object| with_error(object, error_json(error))));
    }

    /// One cannot be made at all, so that no broker was asked.
    pub(crate) fn refused(&mut self, why: &str, object: Value) {
        tell(why);
        self.has_failed = true;
        self.told.push(with_error(object, json!({ "code": null, "message": why })));
    }

    /// Ends the command, as a failure if there was one.
    pub(crate) fn finish(self) -> Result<()> {
        if self.format == Format::Json {
            print_json(&self.told.into())?;
        }
        if self.has_failed { Err(Told.into()) } else { Ok(()) }
    }
}

/// An error as programs get it.
pub(crate) fn error_json(error: &AdminError) -> Value {
    let code = error.code().map(|code| code.name());
    json!({ "code": code, "message": error.to_string() })
}

fn with_error(mut object: Value, error: Value) -> Value {
    object["error"] = error;
    object
}
