//! Java's `.properties` format, as far as files of settings use it: all of it, but in UTF-8.
//!
//! ```text
//! # comment          ! comment
//! key=value          key: value          key value          separators have spaces around them or not
//! key=a value that \
//!     goes on        \t \n \r \f \uXXXX, and \ before anything else takes its meaning away
//! ```

use std::iter::Peekable;
use std::str::Chars;

/// A line of a file of settings that can't be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Keys and values of Java's `.properties` in their order, each with the number of the line it begins on, counted from 1.
pub fn parse_properties(text: &str) -> Result<Vec<(usize, String, String)>, BadLine> {
    let mut pairs = Vec::new();
    for (line, logical) in logical_lines(text) {
        let mut rest = logical.chars().peekable();
        let bad = |what| BadLine { line, what };
        let key = take_text(&mut rest, |it| it == '=' || it == ':' || is_blank(it)).map_err(bad)?;
        skip_separator(&mut rest);
        let value = take_text(&mut rest, |_| false).map_err(bad)?;
        if key.is_empty() {
            return Err(bad("there is no key"));
        }
        pairs.push((line, key, value));
    }
    Ok(pairs)
}

/// Lines with those joined that a backslash at the end continues; without comments, empty lines and the blanks that lines begin with.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(unified.split('\n')) {
        let line = line.trim_start_matches(is_blank);
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.chars().rev().take_while(|it| *it == '\\').count();
        let is_continued = backslashes % 2 == 1;
        let content = if is_continued { &line[..line.len() - 1] } else { line };
        match lines.last_mut() {
            Some((_, last)) if goes_on => last.push_str(content),
            _ => lines.push((number, content.to_owned())),
        }
        goes_on = is_continued;
    }
    lines
}

fn is_blank(it: char) -> bool {
    matches!(it, ' ' | '\t' | '\x0c')
}

fn skip_separator(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|it| is_blank(*it)).is_some() {}
    if rest.next_if(|it| matches!(it, '=' | ':')).is_some() {
        while rest.next_if(|it| is_blank(*it)).is_some() {}
    }
}

/// Text up to a character that ends it, with escapes resolved.
fn take_text(rest: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Result<String, &'static str> {
    let mut text = String::new();
    while let Some(it) = rest.next_if(|it| !ends(*it)) {
        if it != '\\' {
            text.push(it);
            continue;
        }
        match rest.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\x0c'),
            Some('u') => text.push(take_code_point(rest)?),
            Some(other) => text.push(other),
            // The end of a file may be a line that says it goes on.
            None => {}
        }
    }
    Ok(text)
}

/// UTF-16, as Java writes it: what is beyond 16 bits takes two escapes.
fn take_code_point(rest: &mut Peekable<Chars<'_>>) -> Result<char, &'static str> {
    const BAD: &str = "\\u is followed by four hexadecimal digits that make a character";
    let mut units = vec![take_unit(rest).ok_or(BAD)?];
    if (0xd800..0xdc00).contains(&units[0]) && rest.next() == Some('\\') && rest.next() == Some('u') {
        units.push(take_unit(rest).ok_or(BAD)?);
    }
    let mut decoded = char::decode_utf16(units);
    decoded.next().and_then(Result::ok).filter(|_| decoded.next().is_none()).ok_or(BAD)
}

fn take_unit(rest: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | rest.next()?.to_digit(16)? as u16;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        parse_properties(text).expect("a readable file")
    }

    #[test]
    fn separators_blanks_and_comments() {
        for line in [
            "a.b=1",
            "a.b = 1",
            "a.b:1",
            "a.b : 1",
            "a.b 1",
            "  a.b\t1",
            "\x0ca.b=1",
            "a.b==1",
            "a.b = = 1",
            "a\\.b=1",
        ] {
            let value = if line.contains("==") {
                "=1"
            } else if line.contains("= =") {
                "= 1"
            } else {
                "1"
            };
            assert_eq!(pairs(line), [(1, "a.b".to_owned(), value.to_owned())], "{line:?}");
        }
        assert_eq!(pairs("# a=1\n  ! b=2\n\n \t \n"), []);
        assert_eq!(pairs("a"), [(1, "a".to_owned(), String::new())]);
        assert_eq!(pairs("a=1 # no comment "), [(1, "a".to_owned(), "1 # no comment ".to_owned())]);
    }

    #[test]
    fn a_backslash_continues_a_line_unless_it_is_escaped_itself() {
        let text = "list=a,\\\r\n   b,\\\n\tc\n# comment \\\nnext=\\\\\nlast=1\\";
        let expected = [(1, "list", "a,b,c"), (5, "next", "\\"), (6, "last", "1")];
        let found = pairs(text);
        assert_eq!(found.iter().map(|it| (it.0, it.1.as_str(), it.2.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn escapes_are_those_of_java() {
        assert_eq!(pairs(r"path\ with\=odd\:key=1")[0].1, "path with=odd:key");
        assert_eq!(pairs(r"a=\t\u00e9\ud83d\ude00\q")[0].2, "\té😀q");
        for wrong in [r"a=\u12", r"a=\u12g4", r"a=\ud83d", r"a=\ud83dx", r"a=\ude00", r"a=\ud83d\u0041", "=1"]
        {
            assert!(parse_properties(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_properties("a=1\n\nb=\\u").expect_err("no digits").line, 3);
    }

    proptest! {
        /// What is written as Java writes it is read again.
        #[test]
        fn properties_come_back(key in "[^\\x00-\\x1f]{1,20}", value in ".{0,40}") {
            let escape = |text: &str, all: bool| text.chars().enumerate().map(|(at, it)| match it {
                '\\' => "\\\\".to_owned(),
                ' ' if all || at == 0 => "\\ ".to_owned(),
                '=' | ':' | '#' | '!' => format!("\\{it}"),
                it if it.is_ascii_graphic() || it == ' ' => it.to_string(),
                it => it.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            }).collect::<String>();
            let line = format!("{}={}", escape(&key, true), escape(&value, false));
            prop_assert_eq!(parse_properties(&line), Ok(vec![(1, key, value)]));
        }
    }
}
