//! `klamm config`.

use clap::{ArgGroup, Args, Subcommand};
use klamm_client::{ConfigChange, ConfigOperation, ConfigResource};
use klamm_model::BrokerId;

use super::RemoteArgs;

/// Read and change settings of topics, brokers and the cluster.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm config get --topic orders                      what was set for it
  klamm config get --topic orders retention.ms         one setting, whatever it is
  klamm config get --broker 1 --all --docs
  klamm config set --topic orders retention.ms=3600000 cleanup.policy+=compact
  klamm config set --cluster log.retention.ms=86400000
  klamm config unset --topic orders retention.ms")]
pub(crate) enum ConfigCommand {
    Get(ConfigGetArgs),
    Set(ConfigSetArgs),
    Unset(ConfigUnsetArgs),
}

/// Whose settings.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("resource").args(["topics", "brokers", "cluster"]).required(true).multiple(true))]
pub(crate) struct ResourceArgs {
    /// A topic; may be repeated
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// One broker; may be repeated
    #[arg(long = "broker", value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) brokers: Vec<i32>,
    /// All brokers, where one has no setting of its own
    #[arg(long)]
    pub(crate) cluster: bool,
}

impl ResourceArgs {
    pub(crate) fn resources(&self) -> Vec<ConfigResource> {
        let topics = self.topics.iter().cloned().map(ConfigResource::Topic);
        let brokers = self.brokers.iter().map(|id| ConfigResource::Broker(BrokerId(*id)));
        topics.chain(brokers).chain(self.cluster.then_some(ConfigResource::Cluster)).collect()
    }
}

/// Show settings: those that were set, those that are named, or all.
#[derive(Args, Debug)]
pub(crate) struct ConfigGetArgs {
    /// Only these, whether or not they were set
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) resource: ResourceArgs,
    /// Those that nobody set, too
    #[arg(short, long, conflicts_with = "keys")]
    pub(crate) all: bool,
    /// What each does, and where it has which value
    #[arg(short, long)]
    pub(crate) docs: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Give settings values, all of them or none.
#[derive(Args, Debug)]
pub(crate) struct ConfigSetArgs {
    /// A setting and its value; KEY+=VALUE adds to a list, KEY-=VALUE takes from it
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) assignments: Vec<ConfigChange>,
    #[command(flatten)]
    pub(crate) resource: ResourceArgs,
    /// The brokers only say whether they would do it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Give settings their defaults again, all of them or none.
#[derive(Args, Debug)]
pub(crate) struct ConfigUnsetArgs {
    /// The settings
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) resource: ResourceArgs,
    /// The brokers only say whether they would do it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `KEY=VALUE`, `KEY+=VALUE` or `KEY-=VALUE`.
pub(crate) fn assignment(text: &str) -> Result<ConfigChange, String> {
    let (key, value) = super::key_value(text)?;
    let (name, operation) = match key.as_bytes() {
        [.., b'+'] => (&key[..key.len() - 1], ConfigOperation::Append(value)),
        [.., b'-'] => (&key[..key.len() - 1], ConfigOperation::Subtract(value)),
        _ => (&*key, ConfigOperation::Set(value)),
    };
    match name {
        "" => Err("expected KEY=VALUE, KEY+=VALUE or KEY-=VALUE".to_owned()),
        name => Ok(ConfigChange { name: name.to_owned(), operation }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_added_and_taken() {
        let change = |name: &str, operation| Ok(ConfigChange { name: name.to_owned(), operation });
        assert_eq!(assignment("a.b=1=2"), change("a.b", ConfigOperation::Set("1=2".into())));
        assert_eq!(assignment("a="), change("a", ConfigOperation::Set(String::new())));
        assert_eq!(assignment("a+=x"), change("a", ConfigOperation::Append("x".into())));
        assert_eq!(assignment("a-=x"), change("a", ConfigOperation::Subtract("x".into())));
        for wrong in ["a", "=1", "+=1", "-=1", ""] {
            assert!(assignment(wrong).is_err(), "{wrong:?}");
        }
    }
}
