//! Printing a record by a template.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use klamm_model::{BatchHeader, Offset, RecordView, TimestampType};

use super::{Coding, Form, Part, Piece, Quantity, Template};
use crate::time::date_time_text;

/// A record and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Printed<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) record: &'a RecordView<'a>,
    /// Of its batch.
    pub(crate) batch: &'a BatchHeader,
    pub(crate) high_watermark: Option<Offset>,
    /// 1 for the first that is printed.
    pub(crate) number: u64,
    /// What is printed of a key or value that is not there.
    pub(crate) null: &'a [u8],
}

impl Template {
    pub(super) fn check_output(&self) -> Result<(), String> {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Bytes(_, Coding::Json) => {
                Err("{json} is for reading: what it prints is what there is".to_owned())
            }
            Piece::Number(_, Form::Always(_)) => Err("a size in braces is for reading".to_owned()),
            Piece::Headers(pieces) => Self(pieces.clone()).check_output(),
            _ => Ok(()),
        })
    }

    /// Prints a record; nothing is added. What was printed before an error is no record.
    pub(crate) fn print(&self, out: &mut impl Write, printed: &Printed<'_>) -> io::Result<()> {
        let Printed { record, .. } = printed;
        print(&self.0, out, printed, record.key, record.value)
    }
}

fn print(
    pieces: &[Piece],
    out: &mut impl Write,
    printed: &Printed<'_>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.write_all(text)?,
            Piece::Bytes(Part::Topic, coding) => write_coded(out, coding, printed.topic.as_bytes())?,
            Piece::Bytes(part @ (Part::Key | Part::Value), coding) => {
                match if *part == Part::Key { key } else { value } {
                    Some(bytes) => write_coded(out, coding, bytes)?,
                    None => out.write_all(printed.null)?,
                }
            }
            Piece::Number(quantity, form) => {
                let number = match quantity {
                    Quantity::KeySize => size(key),
                    Quantity::ValueSize => size(value),
                    other => number_of(printed, *other),
                };
                write_number(out, *form, number)?;
            }
            // What can't be named could not be unpacked either.
            Piece::Codec => write!(out, "{}", printed.batch.attributes.codec().unwrap_or_default())?,
            Piece::HeaderList => write_headers(out, printed.record)?,
            Piece::Headers(inner) => {
                for header in printed.record.headers.iter() {
                    print(inner, out, printed, Some(header.key), header.value)?;
                }
            }
        }
    }
    Ok(())
}

fn number_of(printed: &Printed<'_>, quantity: Quantity) -> i64 {
    let Printed { record, batch, .. } = printed;
    match quantity {
        Quantity::Partition => printed.partition.into(),
        Quantity::Offset => record.offset.raw(),
        Quantity::Timestamp => record.timestamp.0,
        Quantity::KeySize => size(record.key),
        Quantity::ValueSize => size(record.value),
        Quantity::HeaderCount => record.headers.len() as i64,
        Quantity::LeaderEpoch => batch.leader_epoch.map_or(-1, |epoch| epoch.0.into()),
        Quantity::ProducerId => batch.producer.map_or(-1, |producer| producer.id.0),
        Quantity::ProducerEpoch => batch.producer.map_or(-1, |producer| producer.epoch.0.into()),
        Quantity::HighWatermark => printed.high_watermark.map_or(-1, Offset::raw),
        Quantity::RecordNumber => i64::try_from(printed.number).unwrap_or(i64::MAX),
        Quantity::TimestampType => (batch.attributes.timestamp_type() == TimestampType::LogAppendTime).into(),
        Quantity::IsTransactional => batch.attributes.is_transactional().into(),
    }
}

/// -1 says that there is nothing, as everywhere in Kafka.
fn size(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn write_coded(out: &mut impl Write, coding: &Coding, bytes: &[u8]) -> io::Result<()> {
    match coding {
        Coding::Raw | Coding::Json => out.write_all(bytes),
        Coding::Hex => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        Coding::Base64 { is_padded: true } => out.write_all(STANDARD.encode(bytes).as_bytes()),
        Coding::Base64 { is_padded: false } => out.write_all(STANDARD_NO_PAD.encode(bytes).as_bytes()),
        Coding::Unpack(letters) => write_unpacked(out, letters, bytes),
    }
}

/// A number that the form has no room for, if it is to be read again as the same, is an error.
fn write_number(out: &mut impl Write, form: Form, number: i64) -> io::Result<()> {
    let bits = match form {
        Form::Hex(digits) => digits * 4,
        Form::Big(size) | Form::Little(size) => size * 8,
        _ => 64,
    };
    // All bits set are -1: there is nothing.
    if bits < 64 && !(-1..(1 << bits) - 1).contains(&number) {
        return Err(io::Error::other(format!("{number} does not fit into {bits} bits")));
    }
    match form {
        Form::Decimal => write!(out, "{number}"),
        Form::Hex(digits) => {
            let text = format!("{number:016x}");
            out.write_all(&text.as_bytes()[16 - digits..])
        }
        Form::Big(size) => out.write_all(&number.to_be_bytes()[8 - size..]),
        Form::Little(size) => out.write_all(&number.to_le_bytes()[..size]),
        Form::Bool => write!(out, "{}", number != 0),
        Form::Iso => out.write_all(date_time_text(number).as_bytes()),
        Form::Seconds => write!(out, "{}", number.div_euclid(1000)),
        Form::Always(_) => Ok(()),
    }
}

/// The numbers in `bytes`, with blanks between them; where they end before the letters do, that is said in their place.
fn write_unpacked(out: &mut impl Write, letters: &str, mut bytes: &[u8]) -> io::Result<()> {
    let (mut is_little, mut is_first) = (false, true);
    for letter in letters.chars() {
        let size = match letter {
            '<' | '>' => {
                is_little = letter == '<';
                continue;
            }
            '$' => {
                if !bytes.is_empty() {
                    write!(out, " ({} bytes more)", bytes.len())?;
                }
                continue;
            }
            's' => bytes.len(),
            'b' | 'B' | 'c' => 1,
            'h' | 'H' => 2,
            'i' | 'I' => 4,
            _ => 8,
        };
        if !std::mem::take(&mut is_first) {
            out.write_all(b" ")?;
        }
        let Some((field, rest)) = bytes.split_at_checked(size) else {
            return write!(out, "(only {} bytes)", bytes.len());
        };
        bytes = rest;
        if matches!(letter, 'c' | 's') {
            out.write_all(field)?;
            continue;
        }
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(field);
        if !is_little {
            wide[..size].reverse();
        }
        let number = u64::from_le_bytes(wide);
        if letter.is_ascii_uppercase() {
            write!(out, "{number}")?;
        } else {
            // The sign is in the highest bit of the field, not of the eight bytes.
            let shift = 64 - 8 * size;
            write!(out, "{}", (number << shift).cast_signed() >> shift)?;
        }
    }
    Ok(())
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

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;
    use klamm_model::{BatchBuilder, BatchView, RecordHeader, Seal, Timestamp};

    use super::*;

    /// Two records, printed one after the other.
    pub(crate) fn printed(print: impl Fn(&mut Vec<u8>, &Printed<'_>)) -> String {
        let mut builder = BatchBuilder::default();
        let headers = [
            RecordHeader { key: b"a", value: Some(b"1") },
            RecordHeader { key: b"b", value: None },
            RecordHeader { key: b"c", value: Some(&[0xff]) },
        ];
        let time = Timestamp(1_795_473_000_250);
        builder.append(time, Some(b"key"), Some("v\u{e4}\"".as_bytes()), &headers);
        builder.append(Timestamp(8), None, None, &[]);
        let batch = builder.finish(&Seal::default());
        let mut scratch = Vec::new();
        let view = BatchView::parse(&batch).expect("a batch");
        let mut out = Vec::new();
        for (number, record) in (1..).zip(view.records(&mut scratch, 1000).expect("records")) {
            let printed = Printed {
                topic: "t",
                partition: 3,
                record: &record.expect("a record"),
                batch: view.header(),
                high_watermark: Some(Offset::new(2)),
                number,
                null: b"-",
            };
            print(&mut out, &printed);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn prints_what_is_asked_for() {
        let mut told = String::new();
        for template in [
            "%t/%p@%o %T %k(%K) %s(%S) [%h] 100%%\\x21\\n",
            "%v %V %d %i %e %x %y %] %a{compression} %a{timestamp-type} %a{transactional-bit}\\n",
            "%T{iso} %T{s} %K{hex8} %K{hex4} %o{bool} %K{ascii}\\n",
            "%k{hex} %k{base64} %s{base64} %s{base64raw} %t{hex}\\n",
            "%H:%h{ %k=%s{hex}(%S)} %{%}\\n",
            "%K{big32}%K{little16}%K{byte}%R\\n",
            "%k{unpack[cBb]} %k{unpack[>Hc$]} %k{unpack[c$]} %k{unpack[<hi]} %k{unpack[s]}\\n",
        ] {
            let parsed = Template::for_output(template).expect("well-formed");
            let text = printed(|out, printed| parsed.print(out, printed).expect("prints"));
            told.push_str(&text.replace(|it: char| it.is_control() && it != '\n', "."));
        }
        expect![[r#"
            t/3@0 1795473000250 key(3) vä"(4) [a=1,b=NULL,c=�] 100%!
            t/3@1 8 -(-1) -(-1) [] 100%!
            vä" 4 1795473000250 1 -1 -1 -1 2 none 0 0
            - -1 8 2 -1 -1 -1 2 none 0 0
            2026-11-23T22:30:00.250Z 1795473000 03 3 false 3
            1970-01-01T00:00:00.008Z 0 ff f true -1
            6b6579 a2V5 dsOkIg== dsOkIg 74
            - - - - 74
            3: a=31(1) b=-(-1) c=ff(1) {}
            0: {}
            ...........
            �����������
            k 101 121 27493 y k (2 bytes more) 25963 (only 1 bytes) key
            - - - - -
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn a_number_within_has_the_sign_of_its_own_size() {
        let mut out = Vec::new();
        write_unpacked(
            &mut out,
            ">hHi<q",
            &[255, 254, 255, 254, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 128],
        )
        .expect("prints");
        assert_eq!(String::from_utf8_lossy(&out), "-2 65534 -1 -9223372036854775807");
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        for (form, fits, does_not) in [
            (Form::Hex(1), 14, 15),
            (Form::Hex(2), 254, 255),
            (Form::Big(1), -1, -2),
            (Form::Little(2), 65_534, 65_535),
            (Form::Big(4), u32::MAX as i64 - 1, u32::MAX.into()),
        ] {
            write_number(&mut Vec::new(), form, fits).expect("it fits");
            write_number(&mut Vec::new(), form, does_not).expect_err("it does not fit");
        }
        for number in [i64::MIN, i64::MAX] {
            write_number(&mut Vec::new(), Form::Big(8), number).expect("everything fits");
        }
    }

    #[test]
    fn what_is_for_reading_is_not_for_printing() {
        for wrong in ["%s{json}", "%S{4}", "%h{%S{4}}"] {
            assert!(Template::for_output(wrong).is_err_and(|told| told.contains("for reading")), "{wrong}");
        }
    }
}
