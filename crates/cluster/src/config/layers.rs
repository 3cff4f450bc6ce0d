//! Which of several places gives a broker's key its value.

use std::collections::BTreeMap;

use super::{ALIASES, BrokerKey, TOPIC_CONFIGS, broker_key};

/// The places where the values of one broker come from, the strongest first. What none of them has, has its default.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Set at run time for this broker.
    pub broker: Option<&'a BTreeMap<String, String>>,
    /// Set at run time for all brokers.
    pub cluster: Option<&'a BTreeMap<String, String>>,
    /// Given at start, by a file, the environment or the command line.
    pub given: &'a BTreeMap<String, String>,
}

/// Where a value comes from, the strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Set for a topic.
    Topic,
    /// Set at run time for one broker.
    Broker,
    /// Set at run time for all brokers.
    Cluster,
    /// Given to the broker at start.
    Given,
    /// Nobody said anything.
    Default,
}

impl<'a> Layers<'a> {
    /// The value that holds; `None` where a key without a default was not set.
    pub fn value(&self, key: &'a BrokerKey) -> Option<&'a str> {
        self.set(key.name).or(key.default)
    }

    /// The value that somebody set.
    pub fn set(&self, name: &str) -> Option<&'a str> {
        self.places().find_map(|(_, place)| place.get(name)).map(String::as_str)
    }

    /// All that is said about a key under its own name and those names of it that it goes by as well, the strongest first.
    pub fn said(&self, name: &'static str) -> Vec<(Source, &'static str, &'a str)> {
        let names = names_of(name);
        let mut said = Vec::new();
        for (source, place) in self.places() {
            let found = names.iter().filter_map(|it| Some((source, *it, place.get(*it)?.as_str())));
            said.extend(found);
        }
        let keys = names.iter().filter_map(|it| broker_key(it));
        said.extend(keys.filter_map(|key| Some((Source::Default, key.name, key.default?))));
        said
    }

    /// The configs that topics get from these places, under the names and in the units that topics have for them.
    pub fn topic_defaults(&self) -> BTreeMap<String, String> {
        let with_key = TOPIC_CONFIGS.iter().filter_map(|key| Some((key.name, key.broker_key?)));
        let set = with_key.filter_map(|(name, key)| Some((name.to_owned(), self.topic_default(key)?)));
        set.collect()
    }

    /// The value of the topics' key that has its default from this one, in that one's unit; `None` where nobody said anything.
    pub fn topic_default(&self, broker_key: &str) -> Option<String> {
        if let Some(value) = self.set(broker_key) {
            return Some(value.to_owned());
        }
        let others = ALIASES.iter().find(|(name, _)| *name == broker_key)?.1;
        others.iter().find_map(|(alias, unit)| Some(in_unit(self.set(alias)?, *unit)))
    }

    fn places(&self) -> impl Iterator<Item = (Source, &'a BTreeMap<String, String>)> + use<'a> {
        let places = [
            (Source::Broker, self.broker),
            (Source::Cluster, self.cluster),
            (Source::Given, Some(self.given)),
        ];
        places.into_iter().filter_map(|(source, place)| Some((source, place?)))
    }
}

/// A key with the names it goes by as well, in the order in which they count.
fn names_of(name: &'static str) -> Vec<&'static str> {
    let group = ALIASES.iter().find(|(main, others)| *main == name || others.iter().any(|it| it.0 == name));
    match group {
        Some((main, others)) => std::iter::once(*main).chain(others.iter().map(|it| it.0)).collect(),
        None => vec![name],
    }
}

/// A number of hours or minutes in milliseconds; a negative one is -1, "no limit".
fn in_unit(value: &str, unit: i64) -> String {
    let number: i64 =
        value.trim().parse().unwrap_or_else(|_| panic!("{value:?} passed the check of its key"));
    if number < 0 { "-1".to_owned() } else { number.saturating_mul(unit).to_string() }
}
