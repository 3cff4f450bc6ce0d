//! Expressions that whole names are compared with, as by Kafka.

use regex_lite::{Error, Regex, RegexBuilder};

/// What a compiled expression may take: enough for alternatives of a thousand letters, the longest that a member may send. Each step of it may be looked at for each letter of each topic's
/// name, and nobody else is served meanwhile: with a mebibyte one expression and a hundred topics took 1.7 s.
const SIZE_MAX: usize = 32 << 10;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_compiled_and_what_multiplies_itself_is_not() {
        let list = (0..70).map(|it| format!("orders-of-{it:03}")).collect::<Vec<_>>().join("|");
        let prefixes = (100..210).map(|it| format!("eu{it}-.*")).collect::<Vec<_>>().join("|");
        assert!((900..1_024).contains(&list.len()) && (900..1_024).contains(&prefixes.len()));
        for (text, name) in [
            (list.as_str(), "orders-of-063"),
            (&prefixes, "eu209-payments"),
            (".*", "anything"),
            ("(?i)(team-a|team-b)\\.[a-z0-9._-]+\\.v[0-9]{1,3}", "Team-A.orders.placed.v12"),
            ("[a-zA-Z0-9._-]{1,249}", "payments"),
            (
                "prod\\.(?:eu|us|ap)-[0-9]\\.(?:orders|payments)(?:-retry)?(?:-[0-9]+)?",
                "prod.eu-1.orders-retry-7",
            ),
        ] {
            let pattern = Pattern::new(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert!(pattern.is_match(name), "{text}");
        }
        for text in [
            "(?:(?:(?:.?){30}){30}){6}zz",
            "(?:a{0,100}){100}",
            "(?:(?:(?:){1000}){1000}){1000}",
            "\\w{3000}",
        ] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }
}
