//! Where settings come from: a file, the environment, arguments. The later of these counts; within one, nothing may be said twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use klamm_cluster::config::{Effect, broker_key, broker_keys, nearest};
use klamm_model::parse_properties;

use super::{Config, SetError, toml};

/// A key, a value, and where they stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Kafka's name of the key.
    pub key: String,
    /// As it was written.
    pub value: String,
    /// For messages.
    pub place: Place,
}

/// Where a setting stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a file.
    Line {
        /// Which.
        file: Arc<Path>,
        /// Counted from 1.
        line: usize,
    },
    /// In the environment.
    Variable(String),
    /// In an argument of the command line, as it was given.
    Argument(String),
}

/// Everything that is said about settings, the weakest source first.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Vec<Setting>>,
    warnings: Vec<String>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file's name does not tell what is in it.
    #[error("{}: a file of settings is named .properties or .toml", file.display())]
    UnknownFormat {
        /// Which.
        file: PathBuf,
    },
    /// The file is not what its name says.
    #[error("{place}: {what}")]
    BadLine {
        /// Where.
        place: Place,
        /// What does not fit.
        what: String,
    },
    /// A source says the same thing twice.
    #[error("{place}: {key} was set before, at {before}")]
    Repeated {
        /// The key.
        key: String,
        /// Where it stands the second time.
        place: Place,
        /// Where it stands the first time.
        before: Place,
    },
    /// A variable of the environment is nearly one that sets a key.
    #[error("{place} sets nothing; is it {nearest}?")]
    Variable {
        /// The variable.
        place: Place,
        /// What was probably meant.
        nearest: String,
    },
    /// A key or a value does not fit.
    #[error("{place}: {error}")]
    Setting {
        /// Where it stands.
        place: Place,
        /// What is wrong.
        error: SetError,
    },
    /// What was set does not fit together.
    #[error(transparent)]
    Together(#[from] SetError),
}

impl Sources {
    /// What a file says: one of Kafka's `.properties`, or TOML with the same keys, flat or as tables.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn file(&mut self, file: &Path) -> Result<(), LoadError> {
        let unreadable = |error| LoadError::Unreadable { file: file.to_owned(), error };
        let text = fs::read_to_string(file).map_err(unreadable)?;
        self.text(file, &text)
    }

    /// What a file of this name with this text says.
    ///
    /// # Errors
    /// If the text is not what the name tells, or says something twice.
    pub fn text(&mut self, file: &Path, text: &str) -> Result<(), LoadError> {
        let name: Arc<Path> = file.into();
        let place = |line| Place::Line { file: Arc::clone(&name), line };
        let bad = |line, what| LoadError::BadLine { place: place(line), what };
        let pairs = match file.extension().and_then(|it| it.to_str()) {
            Some("properties") => {
                parse_properties(text).map_err(|error| bad(error.line, error.what.to_owned()))?
            }
            Some("toml") => toml::parse(text).map_err(|error| bad(error.line, error.what))?,
            _ => return Err(LoadError::UnknownFormat { file: file.to_owned() }),
        };
        let settings = pairs.into_iter().map(|(line, key, value)| Setting { key, value, place: place(line) });
        self.add(settings.collect())
    }

    /// What the environment says: `KLAMM_LOG_RETENTION_MS` is `log.retention.ms`.
    ///
    /// # Errors
    /// If a variable is nearly that of a key: it was meant to set something, and would not.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), LoadError> {
        let keys: BTreeMap<String, &'static str> =
            broker_keys().iter().map(|key| (variable_of(key.name), key.name)).collect();
        let mut settings = Vec::new();
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let place = Place::Variable(name.clone());
            let Some(key) = keys.get(&name) else {
                // A container's links are named by what they link to, so that not every such variable is a mistake.
                let as_key = name[PREFIX.len()..].to_lowercase().replace('_', ".");
                if let Some(nearest) = nearest(&as_key, broker_keys().iter().map(|key| key.name)) {
                    return Err(LoadError::Variable { place, nearest: variable_of(nearest) });
                }
                self.warnings.push(format!("{place} sets nothing"));
                continue;
            };
            settings.push(Setting { key: (*key).to_owned(), value, place });
        }
        self.add(settings)
    }

    /// What the arguments of the command line say; `argument` is how each was given.
    ///
    /// # Errors
    /// If a key is set twice.
    pub fn arguments(
        &mut self,
        settings: impl IntoIterator<Item = (String, String, String)>,
    ) -> Result<(), LoadError> {
        let setting = |(key, value, argument)| Setting { key, value, place: Place::Argument(argument) };
        self.add(settings.into_iter().map(setting).collect())
    }

    fn add(&mut self, settings: Vec<Setting>) -> Result<(), LoadError> {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for setting in &settings {
            if let Some(before) = seen.insert(&setting.key, &setting.place) {
                return Err(LoadError::Repeated {
                    key: setting.key.clone(),
                    place: setting.place.clone(),
                    before: before.clone(),
                });
            }
        }
        self.sources.push(settings);
        Ok(())
    }

    /// Sets all of it. Gives what should be said of it: keys that are accepted and change nothing, with the reasons.
    ///
    /// # Errors
    /// If there is no such key, or a value does not fit; what was set until then stays set.
    pub fn apply(self, config: &mut Config) -> Result<Vec<String>, LoadError> {
        let mut strongest: BTreeMap<String, (String, Place)> = BTreeMap::new();
        for setting in self.sources.into_iter().flatten() {
            strongest.insert(setting.key, (setting.value, setting.place));
        }
        drop_weaker_names(&mut strongest);
        let mut idle: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (key, (value, place)) in strongest {
            if let Some(reason) = without_effect(&key) {
                idle.entry(reason).or_default().insert(key.clone());
            }
            if !is_foreign(&key) {
                config.set(&key, &value).map_err(|error| LoadError::Setting { place, error })?;
            }
        }
        config.settle_listeners()?;
        let mut warnings = self.warnings;
        warnings.extend(idle.into_iter().map(|(reason, keys)| {
            format!("without effect: {} ({reason})", keys.into_iter().collect::<Vec<_>>().join(", "))
        }));
        Ok(warnings)
    }
}

const PREFIX: &str = "KLAMM_";

/// Variables that are read elsewhere: by the tools, and by what writes the log.
const OTHER_VARIABLES: &[&str] = &["KLAMM_BOOTSTRAP", "KLAMM_CLIENT_CONFIG", "KLAMM_DATA_DIR", "KLAMM_LOG"];

/// The variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "_"))
}

/// `broker.id` is an older name of `node.id` and must agree with it, but an argument replaces what a file says under either name.
fn drop_weaker_names(settings: &mut BTreeMap<String, (String, Place)>) {
    let is_argument = |it: &(String, Place)| matches!(it.1, Place::Argument(_));
    if settings.get("node.id").is_some_and(is_argument) && !settings.get("broker.id").is_some_and(is_argument)
    {
        settings.remove("broker.id");
    }
}

/// Why a key changes nothing, if it does not.
fn without_effect(key: &str) -> Option<&'static str> {
    if is_foreign(key) {
        return Some("Such keys are for plug-ins of Kafka or for single listeners.");
    }
    match broker_key(key)?.effect {
        Effect::Nothing(reason) => Some(reason),
        Effect::Works | Effect::Refused(_) => None,
    }
}

/// Keys that Kafka passes on to its plug-ins, or that belong to one listener.
fn is_foreign(key: &str) -> bool {
    ["rsm.config.", "rlmm.config."].iter().any(|prefix| key.starts_with(prefix)) || is_of_listener(key)
}

/// `listener.name.NAME.KEY`, or `listener.name.NAME.MECHANISM.KEY`, with a key that there is.
fn is_of_listener(key: &str) -> bool {
    let Some((_, rest)) = key.strip_prefix("listener.name.").and_then(|it| it.split_once('.')) else {
        return false;
    };
    let without_mechanism = rest.split_once('.').map_or("", |it| it.1);
    broker_key(rest).is_some() || broker_key(without_mechanism).is_some()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}, line {line}", file.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Argument(argument) => f.write_str(argument),
        }
    }
}

#[cfg(test)]
mod tests;
