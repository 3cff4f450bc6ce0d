//! What values a config takes, and how it says so.

/// What values a config takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number within 16 bits.
    Short {
        /// Smallest value.
        min: i16,
    },
    /// A number within 32 bits.
    Int {
        /// Smallest value.
        min: i32,
        /// Largest value.
        max: i32,
    },
    /// How hard a codec tries; -1 leaves it to the library.
    Level {
        /// The hardest; the easiest is 1.
        max: i32,
    },
    /// A number within 64 bits.
    Long {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A part of one: 0 to 1.
    Ratio,
    /// A number from 0 on, not necessarily whole.
    Double,
    /// Any text.
    Text,
    /// Any text that is never shown again.
    Password,
    /// The name of a Java class.
    Class,
    /// Any words, with commas between.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, with commas between.
    SomeOf(&'static [&'static str]),
    /// `partition:broker` pairs with commas between, or `*`.
    Replicas,
}

impl Kind {
    /// A number of something, any of which there are: 1 or more.
    pub const POSITIVE: Self = Self::Int { min: 1, max: i32::MAX };
    /// 0 or more, within 32 bits.
    pub const NATURAL: Self = Self::Int { min: 0, max: i32::MAX };
    /// 1 or more, within 64 bits.
    pub const POSITIVE_LONG: Self = Self::Long { min: 1, max: i64::MAX };
    /// 0 or more, within 64 bits.
    pub const NATURAL_LONG: Self = Self::Long { min: 0, max: i64::MAX };

    /// Whether this is a value.
    pub fn takes(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Self::Boolean => parse_bool(value).is_some(),
            Self::Short { min } => value.parse().is_ok_and(|it: i16| min <= it),
            Self::Int { min, max } => value.parse().is_ok_and(|it: i32| (min..=max).contains(&it)),
            Self::Level { max } => value.parse().is_ok_and(|it: i32| it == -1 || (1..=max).contains(&it)),
            Self::Long { min, max } => value.parse().is_ok_and(|it: i64| (min..=max).contains(&it)),
            Self::Ratio => value.parse().is_ok_and(|it: f64| (0.0..=1.0).contains(&it)),
            Self::Double => value.parse().is_ok_and(|it: f64| (0.0..=f64::MAX).contains(&it)),
            Self::Text | Self::Password | Self::Class | Self::List => true,
            Self::OneOf(words) => words.contains(&value),
            Self::SomeOf(words) => is_selection(value, words),
            Self::Replicas => value.is_empty() || value == "*" || value.split(',').all(is_replica),
        }
    }

    /// In words, to be put after "is".
    pub fn describe(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Short { min } => range(min.into(), i16::MAX.into(), [i16::MIN.into(), i16::MAX.into()]),
            Self::Int { min, max } => range(min.into(), max.into(), [i32::MIN.into(), i32::MAX.into()]),
            Self::Level { max } => format!("-1, or a whole number from 1 to {max}"),
            Self::Long { min, max } => range(min, max, [i64::MIN, i64::MAX]),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Double => "a number from 0".to_owned(),
            Self::Text | Self::Password => "a text".to_owned(),
            Self::Class => "the name of a class".to_owned(),
            Self::List => "a list".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::SomeOf(words) => format!("a list of {}", words.join(", ")),
            Self::Replicas => "a list of partition:broker, or *".to_owned(),
        }
    }

    /// Whether a value is a list that can be appended to and subtracted from.
    pub fn is_list(self) -> bool {
        matches!(self, Self::List | Self::SomeOf(_) | Self::Replicas)
    }

    /// Whether values must not be shown (B32).
    pub fn is_secret(self) -> bool {
        self == Self::Password
    }
}

/// The items of a list; an empty text has none.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|it| !it.is_empty())
}

pub(super) fn parse_bool(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn range(min: i64, max: i64, [least, greatest]: [i64; 2]) -> String {
    match (min == least, max == greatest) {
        (true, true) => "a whole number".to_owned(),
        (true, false) => format!("a whole number up to {max}"),
        (false, true) => format!("a whole number from {min}"),
        (false, false) => format!("a whole number from {min} to {max}"),
    }
}

/// Each once at most. None at all is one, too (KIP-1161): a topic that is neither compacted nor deleted from keeps all.
fn is_selection(value: &str, words: &[&str]) -> bool {
    let mut left = words.to_vec();
    let mut take = |item: &str| left.iter().position(|it| *it == item.trim()).map(|at| left.remove(at));
    value.is_empty() || value.split(',').all(|item| take(item).is_some())
}

fn is_replica(pair: &str) -> bool {
    let is_number = |it: &str| it.trim().parse().is_ok_and(|it: i32| 0 <= it);
    pair.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}
