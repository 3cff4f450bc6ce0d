//! Records as lines of JSON: what `consume --json` prints is what `produce --json` reads.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use klamm_model::Timestamp;
use serde_json::{Map, Value};

use crate::template::{InputRecord, Printed};

/// Prints a record as one line. Bytes that are no text go into `..._base64`.
pub(crate) fn print(out: &mut impl Write, printed: &Printed<'_>) -> io::Result<()> {
    let Printed { topic, partition, record, .. } = printed;
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    write!(
        out,
        "{{\"topic\":{},\"partition\":{partition},\"offset\":{},\"timestamp\":{}",
        text(topic.as_bytes()),
        record.offset,
        record.timestamp
    )?;
    write_bytes(out, ",\"key", record.key)?;
    write_bytes(out, ",\"value", record.value)?;
    out.write_all(b",\"headers\":[")?;
    for (place, header) in record.headers.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(out, "{comma}{{\"name\":{}", text(header.key))?;
        write_bytes(out, ",\"value", header.value)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")
}

fn write_bytes(out: &mut impl Write, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| bytes)) {
        None => write!(out, "{name}\":null"),
        Some(Ok(text)) => write!(out, "{name}\":{}", Value::from(text)),
        Some(Err(bytes)) => write!(out, "{name}_base64\":\"{}\"", STANDARD.encode(bytes)),
    }
}

/// Puts bytes into an object: as text under `name`, or as `..._base64` if they are none.
pub(crate) fn put_bytes(object: &mut Value, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| bytes)) {
        None => object[name] = Value::Null,
        Some(Ok(text)) => object[name] = text.into(),
        Some(Err(bytes)) => object[format!("{name}_base64")] = STANDARD.encode(bytes).into(),
    }
}

/// Reads a record. What it does not have, it need not say, but its value; its offset is left aside.
pub(crate) fn read(line: &[u8]) -> Result<InputRecord<'static>, String> {
    let mut object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("no record in JSON: {error}"))?;
    let mut record = InputRecord {
        topic: object.remove("topic").map(|topic| string("topic", topic).map(Cow::Owned)).transpose()?,
        partition: number("partition", object.remove("partition"))?,
        timestamp: number("timestamp", object.remove("timestamp"))?.map(Timestamp),
        key: take_bytes(&mut object, "key")?.flatten().map(Cow::Owned),
        value: None,
        headers: Vec::new(),
    };
    let value = take_bytes(&mut object, "value")?;
    object.remove("offset");
    let headers = match object.remove("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(headers)) => headers,
        Some(_) => return Err("headers: expected a list".to_owned()),
    };
    for header in headers {
        let Value::Object(mut header) = header else {
            return Err("headers: expected a list of objects".to_owned());
        };
        let name = string("name", header.remove("name").unwrap_or_default())?.into_bytes();
        let value = take_bytes(&mut header, "value")?.flatten();
        record.headers.push((name.into(), value.map(Cow::Owned)));
        refuse_rest(&header)?;
    }
    refuse_rest(&object)?;
    record.value = value.ok_or("there is no value (null deletes a key)")?.map(Cow::Owned);
    Ok(record)
}

/// What is misspelt would be lost without a word.
fn refuse_rest(object: &Map<String, Value>) -> Result<(), String> {
    object.keys().next().map_or(Ok(()), |key| Err(format!("a record has no {key:?}")))
}

/// `None`: nothing is said of it. `Some(None)`: it says that there is none.
fn take_bytes(object: &mut Map<String, Value>, name: &str) -> Result<Option<Option<Vec<u8>>>, String> {
    let coded = format!("{name}_base64");
    match (object.remove(name), object.remove(&coded)) {
        (Some(_), Some(_)) => Err(format!("both {name} and {coded}")),
        (None, None) => Ok(None),
        (Some(Value::Null), None) | (None, Some(Value::Null)) => Ok(Some(None)),
        (Some(text), None) => Ok(Some(Some(string(name, text)?.into_bytes()))),
        (None, Some(text)) => {
            let bytes =
                STANDARD.decode(string(&coded, text)?).map_err(|error| format!("{coded}: {error}"))?;
            Ok(Some(Some(bytes)))
        }
    }
}

fn string(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{name}: expected a string, found {other}")),
    }
}

fn number<N: TryFrom<i64>>(name: &str, value: Option<Value>) -> Result<Option<N>, String> {
    let value = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = value.as_i64().and_then(|number| N::try_from(number).ok());
    number.map(Some).ok_or_else(|| format!("{name}: expected a whole number, found {value}"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::template::print_tests::printed;

    #[test]
    fn what_is_printed_can_be_read() {
        let lines = printed(|out, printed| print(out, printed).expect("prints"));
        expect![[r#"
            {"topic":"t","partition":3,"offset":0,"timestamp":1795473000250,"key":"key","value":"vä\"","headers":[{"name":"a","value":"1"},{"name":"b","value":null},{"name":"c","value_base64":"/w=="}]}
            {"topic":"t","partition":3,"offset":1,"timestamp":8,"key":null,"value":null,"headers":[]}
        "#]]
        .assert_eq(&lines);
        let records: Vec<_> = lines.lines().map(|line| read(line.as_bytes()).expect("a record")).collect();
        let bytes = |text: &'static [u8]| Some(Cow::Borrowed(text));
        let first = InputRecord {
            topic: Some("t".into()),
            partition: Some(3),
            timestamp: Some(Timestamp(1_795_473_000_250)),
            key: bytes(b"key"),
            value: bytes("v\u{e4}\"".as_bytes()),
            headers: vec![(b"a".into(), bytes(b"1")), (b"b".into(), None), (b"c".into(), bytes(b"\xff"))],
        };
        let second = InputRecord {
            topic: Some("t".into()),
            partition: Some(3),
            timestamp: Some(Timestamp(8)),
            ..InputRecord::default()
        };
        assert_eq!(records, [first, second]);
    }

    #[test]
    fn what_is_no_record_is_refused_and_named() {
        let mut told = String::new();
        for line in [
            "1",
            "{}",
            "{\"vlaue\":\"x\",\"value\":null}",
            "{\"value\":{}}",
            "{\"value\":\"x\",\"value_base64\":\"eA==\"}",
            "{\"value_base64\":\"e\"}",
            "{\"value\":null,\"partition\":3000000000}",
            "{\"value\":null,\"timestamp\":\"now\"}",
            "{\"value\":null,\"headers\":[\"a\"]}",
            "{\"value\":null,\"headers\":[{\"value\":\"1\"}]}",
            "{\"value\":null,\"headers\":[{\"name\":\"a\",\"key\":\"1\"}]}",
        ] {
            told.push_str(&read(line.as_bytes()).expect_err(line));
            told.push('\n');
        }
        expect![[r#"
            no record in JSON: invalid type: integer `1`, expected a map at line 1 column 1
            there is no value (null deletes a key)
            a record has no "vlaue"
            value: expected a string, found {}
            both value and value_base64
            value_base64: Invalid input length: 1
            partition: expected a whole number, found 3000000000
            timestamp: expected a whole number, found "now"
            headers: expected a list of objects
            name: expected a string, found null
            a record has no "key"
        "#]]
        .assert_eq(&told);
    }
}
