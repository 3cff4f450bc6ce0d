//! Which names a topic may have. A name becomes a part of a path and of metric names, so this is also a fence against `..` and its kind.

use thiserror::Error;

/// Longer names would not fit a file name together with `-<partition>` and what a rename appends.
pub const NAME_BYTES_MAX: usize = 249;

/// The name of the metadata log's directory; no client may create a topic of that name.
pub const METADATA: &str = "__cluster_metadata";

/// Topics in which the cluster keeps records of its own.
const INTERNAL: [&str; 4] = ["__consumer_offsets", "__transaction_state", "__share_group_state", METADATA];

/// Whether clients may read, but not write this topic.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Why a name cannot be a topic's, as Kafka says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TopicNameError {
    /// It has no characters.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// A directory of its own on every system.
    #[error("Topic name is invalid: '.' and '..' are not allowed")]
    Dots,
    /// Above [`NAME_BYTES_MAX`].
    #[error(
        "Topic name is invalid: its length {length} is longer than the max allowed length {NAME_BYTES_MAX}"
    )]
    TooLong {
        /// Its bytes.
        length: usize,
    },
    /// Only ASCII letters, digits and three signs are allowed.
    #[error(
        "Topic name is invalid: it contains one or more characters other than ASCII alphanumerics, '.', '_' and '-', such as {character:?}"
    )]
    Character {
        /// The first one that is not allowed.
        character: char,
    },
    /// The metadata log.
    #[error("Creation of internal topic {METADATA} is prohibited.")]
    Reserved,
}

/// Whether a client may create a topic of this name.
pub fn validate(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    if NAME_BYTES_MAX < name.len() {
        return Err(TopicNameError::TooLong { length: name.len() });
    }
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if let Some(character) = name.chars().find(|it| !is_allowed(*it)) {
        return Err(TopicNameError::Character { character });
    }
    if name == METADATA { Err(TopicNameError::Reserved) } else { Ok(()) }
}

/// How a name looks in metrics, where `.` becomes `_`. Kafka refuses to have two topics that look the same. `None` if no other name looks so.
pub fn metric_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_or_its_rules_are_refused() {
        let long = "x".repeat(250);
        let character = |character| Err(TopicNameError::Character { character });
        for (name, expected) in [
            ("", Err(TopicNameError::Empty)),
            (".", Err(TopicNameError::Dots)),
            ("..", Err(TopicNameError::Dots)),
            ("../x", character('/')),
            ("a/b", character('/')),
            ("a\0", character('\0')),
            ("größe", character('ö')),
            ("a b", character(' ')),
            ("__cluster_metadata", Err(TopicNameError::Reserved)),
            (long.as_str(), Err(TopicNameError::TooLong { length: 250 })),
            (&long[1..], Ok(())),
            ("...", Ok(())),
            ("__consumer_offsets", Ok(())),
            ("Orders_2.eu-west", Ok(())),
        ] {
            assert_eq!(validate(name), expected, "{name:?}");
        }
    }

    #[test]
    fn names_collide_when_metrics_cannot_tell_them_apart() {
        for (one, other, collide) in
            [("a.b", "a_b", true), ("a.b_c", "a_b.c", true), ("a.b", "a-b", false), ("a.b", "a.bc", false)]
        {
            assert_eq!(metric_name(one) == metric_name(other), collide, "{one} {other}");
        }
        assert_eq!(metric_name("a-b"), None);
    }
}
