//! Expressions that whole names are compared with, as by Kafka.

use regex_lite::{Error, Regex, RegexBuilder};

/// What a compiled expression may take: many times what any list of alternatives needs.
const SIZE_MAX: usize = 1 << 20;

/// An expression that whole names are compared with.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Not every text is one.
    pub fn new(text: &str) -> Result<Self, Error> {
        // By itself first: `a)|(b` is none.
        RegexBuilder::new(text).size_limit(SIZE_MAX).build()?;
        RegexBuilder::new(&format!("^(?:{text})$")).size_limit(SIZE_MAX).build().map(Self)
    }

    /// Whether it stands for all of a name.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}
