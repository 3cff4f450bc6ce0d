//! Small files in a format of ours: lines of text, the last of which is the checksum of those before.

use klamm_model::crc32c;

/// With its checksum as the last line.
pub(crate) fn checked(text: &str) -> String {
    let checksum = crc32c(text.as_bytes());
    format!("{text}{checksum:08x}\n")
}

/// The text before the checksum; `None` if that is wrong.
pub(crate) fn body(text: &str) -> Option<&str> {
    let (body, _) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let body = &text[..=body.len()];
    (checked(body) == text).then_some(body)
}
