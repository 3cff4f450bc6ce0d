//! Names, comments and small expressions of the generated code.

use anyhow::{Context, Result};

use crate::schema::{Field, Versions};

/// What is worth telling about a field.
pub(super) fn doc(field: &Field, present: Versions, within: Versions, nullable: Versions) -> String {
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

/// Code that tells whether version `v`, which is in `within`, is in `versions`.
pub(super) fn holds_when(versions: Versions, within: Versions) -> String {
    match (versions.first <= within.first, within.last <= versions.last) {
        (_, true) => format!("v >= {}", versions.first),
        (true, false) => format!("v <= {}", versions.last),
        (false, false) => format!("({}..={}).contains(&v)", versions.first, versions.last),
    }
}

/// Whether code made with [`holds_when`] is in `code`.
pub(super) fn names_version(code: &str) -> bool {
    code.contains("v >= ") || code.contains("v <= ") || code.contains("(&v)")
}

pub(super) fn negated(condition: &str) -> String {
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

pub(super) fn integer(text: &str) -> Result<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .with_context(|| format!("default {text:?}"))
}

pub(super) fn identifier(name: &str) -> String {
    let name = snake_case(name);
    if ["type", "match", "ref", "move", "use", "loop", "gen"].contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

pub(super) fn snake_case(name: &str) -> String {
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
