//! How `klamm consume` prints a record: kcat's format strings.

use std::io::{self, Write};

use klamm_model::RecordView;

/// A parsed format string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeySize,
    Value,
    ValueSize,
    Headers,
}

impl Template {
    /// Understands `%` and `\` sequences.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let piece = match character {
                '%' => match rest.next() {
                    Some('t') => Piece::Topic,
                    Some('p') => Piece::Partition,
                    Some('o') => Piece::Offset,
                    Some('T') => Piece::Timestamp,
                    Some('k') => Piece::Key,
                    Some('K') => Piece::KeySize,
                    Some('s') => Piece::Value,
                    Some('S') => Piece::ValueSize,
                    Some('h') => Piece::Headers,
                    Some('%') => {
                        plain.push(b'%');
                        continue;
                    }
                    Some(other) => return Err(format!("there is no %{other}; see --help")),
                    None => return Err("a % at the end; %% prints one".to_owned()),
                },
                '\\' => {
                    plain.push(escaped(&mut rest)?);
                    continue;
                }
                other => {
                    plain.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Prints a record; what is not there prints as nothing.
    pub(crate) fn print(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: i32,
        record: &RecordView<'_>,
    ) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Topic => out.write_all(topic.as_bytes())?,
                Piece::Partition => write!(out, "{partition}")?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Key => out.write_all(record.key.unwrap_or_default())?,
                Piece::KeySize => write_size(out, record.key)?,
                Piece::Value => out.write_all(record.value.unwrap_or_default())?,
                Piece::ValueSize => write_size(out, record.value)?,
                Piece::Headers => write_headers(out, record)?,
            }
        }
        Ok(())
    }
}

fn escaped(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
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

fn write_size(out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => write!(out, "{}", bytes.len()),
        None => write!(out, "-1"),
    }
}

fn write_headers(out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
    for (place, header) in record.headers.iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        out.write_all(header.key)?;
        out.write_all(b"=")?;
        out.write_all(header.value.unwrap_or(b"NULL"))?;
    }
    Ok(())
}

/// A record as one line of JSON. Bytes that are no text go into `..._base64`.
pub(crate) fn print_json(
    out: &mut impl Write,
    topic: &str,
    partition: i32,
    record: &RecordView<'_>,
) -> io::Result<()> {
    let text = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes));
    write!(
        out,
        "{{\"topic\":{},\"partition\":{partition},\"offset\":{},\"timestamp\":{}",
        text(topic.as_bytes()),
        record.offset,
        record.timestamp
    )?;
    write_json_bytes(out, ",\"key", record.key)?;
    write_json_bytes(out, ",\"value", record.value)?;
    out.write_all(b",\"headers\":[")?;
    for (place, header) in record.headers.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(out, "{comma}{{\"name\":{}", text(header.key))?;
        write_json_bytes(out, ",\"value", header.value)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")
}

fn write_json_bytes(out: &mut impl Write, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes.map(std::str::from_utf8) {
        None => write!(out, "{name}\":null"),
        Some(Ok(text)) => write!(out, "{name}\":{}", serde_json::Value::from(text)),
        Some(Err(_)) => write!(out, "{name}_base64\":\"{}\"", base64(bytes.unwrap_or_default())),
    }
}

/// Puts bytes into an object: as text under `name`, or as `..._base64` if they are none.
pub(crate) fn bytes_json(object: &mut serde_json::Value, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => object[name] = serde_json::Value::Null,
        Some(Ok(text)) => object[name] = text.into(),
        Some(Err(_)) => object[format!("{name}_base64")] = base64(bytes.unwrap_or_default()).into(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use klamm_model::{BatchBuilder, BatchView, RecordHeader, Seal, Timestamp};

    use super::*;

    fn printed(print: impl Fn(&mut Vec<u8>, &RecordView<'_>)) -> String {
        let mut builder = BatchBuilder::default();
        let headers = [
            RecordHeader { key: b"a", value: Some(b"1") },
            RecordHeader { key: b"b", value: None },
            RecordHeader { key: b"c", value: Some(&[0xff]) },
        ];
        builder.append(Timestamp(7), Some(b"key"), Some("v\u{e4}\"".as_bytes()), &headers);
        builder.append(Timestamp(8), None, None, &[]);
        let batch = builder.finish(&Seal::default());
        let mut scratch = Vec::new();
        let view = BatchView::parse(&batch).expect("a batch");
        let mut out = Vec::new();
        for record in view.records(&mut scratch, 1000).expect("records") {
            print(&mut out, &record.expect("a record"));
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn prints_what_is_asked_for() {
        let template = Template::parse("%t/%p@%o %T %k(%K) %s(%S) [%h] 100%%\\x21\\n").expect("well-formed");
        expect![[r#"
            t/3@0 7 key(3) vä"(4) [a=1,b=NULL,c=�] 100%!
            t/3@1 8 (-1) (-1) [] 100%!
        "#]]
        .assert_eq(&printed(|out, record| template.print(out, "t", 3, record).expect("prints")));
    }

    #[test]
    fn prints_json_lines() {
        expect![[r#"
            {"topic":"t","partition":3,"offset":0,"timestamp":7,"key":"key","value":"vä\"","headers":[{"name":"a","value":"1"},{"name":"b","value":null},{"name":"c","value_base64":"/w=="}]}
            {"topic":"t","partition":3,"offset":1,"timestamp":8,"key":null,"value":null,"headers":[]}
        "#]]
        .assert_eq(&printed(|out, record| print_json(out, "t", 3, record).expect("prints")));
    }

    #[test]
    fn says_what_is_wrong_with_a_template() {
        for wrong in ["%", "%z", "\\", "\\q", "\\xg1"] {
            assert!(Template::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn base64_pads() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }
}
