//! Which topics a command is about, and whether to go on with what cannot be taken back.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use klamm_client::{Admin, PartitionName};
use klamm_model::ErrorCode;
use regex_lite::Regex;

use crate::args::{ConfirmArgs, SelectArgs};
use crate::failure::Usage;

/// Names in a question to a person; more are counted.
const NAMES_SHOWN_MAX: usize = 20;

/// The topics that were named, in the order of their names; with a pattern, those that are there and match.
pub(crate) async fn topics(admin: &Admin, select: &SelectArgs) -> Result<Vec<String>> {
    if !select.regex {
        let names: BTreeSet<&String> = select.topics.iter().collect();
        return Ok(names.into_iter().cloned().collect());
    }
    let patterns = patterns(&select.topics)?;
    let there = admin.list_topics().await?;
    let matching = there
        .iter()
        .filter(|(name, topic)| !topic.is_internal && patterns.iter().any(|pattern| pattern.is_match(name)))
        .map(|(name, _)| name.to_string());
    let matching: Vec<_> = matching.collect();
    if matching.is_empty() {
        bail!("no topic matches {}", select.topics.join(" or "));
    }
    Ok(matching)
}

/// The partitions of these topics, or those of them that are wanted.
pub(crate) async fn partitions(
    admin: &Admin,
    topics: &[String],
    wanted: &[i32],
) -> Result<Vec<PartitionName>> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let cluster = admin.describe(&names).await?;
    let mut partitions = Vec::new();
    for name in names {
        let Some((name, topic)) =
            cluster.topics.get_key_value(name).filter(|(_, topic)| topic.error == ErrorCode::None)
        else {
            bail!("there is no topic {name:?}");
        };
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if let Some(missing) = wanted.iter().find(|partition| count <= **partition) {
            bail!("topic {name:?} has no partition {missing}; it has {count}, from 0");
        }
        let numbers: Vec<i32> = if wanted.is_empty() { (0..count).collect() } else { wanted.to_vec() };
        partitions.extend(numbers.into_iter().map(|number| PartitionName::new(name.clone(), number)));
    }
    partitions.sort();
    partitions.dedup();
    Ok(partitions)
}

/// Regular expressions that match whole names.
pub(crate) fn patterns(texts: &[String]) -> Result<Vec<Regex>, Usage> {
    let parse = |text: &String| {
        Regex::new(&format!("^(?:{text})$")).map_err(|error| Usage(format!("pattern {text:?}: {error}")))
    };
    texts.iter().map(parse).collect()
}

/// Whether to go on. What a person named is not asked about; what a pattern matched is, unless `--yes` said it. Where nobody can be asked, nothing
/// is done: a script says what it wants.
pub(crate) fn confirm(
    what: &str,
    names: &[String],
    select: &SelectArgs,
    confirm: &ConfirmArgs,
) -> Result<bool> {
    if !select.regex || confirm.yes {
        return Ok(true);
    }
    let shown = names.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let problem =
            format!("the pattern matches {shown}{more}: --yes to {what}, --dry-run to see what that means");
        return Err(Usage(problem).into());
    }
    write!(io::stderr(), "{what} {shown}{more}? [y/N] ")?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let patterns = patterns(&["test-.*|tmp".to_owned()]).expect("a pattern");
        for (name, matches) in
            [("test-1", true), ("tmp", true), ("tmp2", false), ("a-test-1", false), ("test-", true)]
        {
            assert_eq!(patterns[0].is_match(name), matches, "{name}");
        }
    }

    #[test]
    fn a_broken_pattern_is_wrong_usage() {
        let error = super::patterns(&["(".to_owned()]).expect_err("unbalanced");
        assert!(error.0.starts_with("pattern \"(\""), "{error}");
    }
}
