//! Choices that travel as numbers, or as words.

use std::convert::Infallible;
use std::str::FromStr;

/// An enum whose variants have a number in the protocol and a word for people.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Its number in the protocol.
            pub fn number(self) -> i8 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The one with this number; `None` where a broker knows more than we do.
            pub fn from_number(number: i8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// A word for it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(super) use wire_enum;

/// An enum whose variants are words in the protocol, where brokers may know more of them than we do.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// Something else, in the broker's word; empty where the broker does not tell.
            Other(String),
        }

        impl $name {
            /// Kafka's word for it.
            pub fn name(&self) -> &str {
                match self { $(Self::$variant => $word,)+ Self::Other(word) => word }
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::convert::Infallible;

            /// By Kafka's word, in capitals or not.
            fn from_str(word: &str) -> Result<Self, std::convert::Infallible> {
                $(if word.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })+
                Ok(Self::Other(word.to_owned()))
            }
        }
    };
}
pub(super) use word_enum;

/// What a word says.
pub(super) fn word<T: FromStr<Err = Infallible>>(word: &str) -> T {
    word.parse().unwrap_or_else(|never| match never {})
}
