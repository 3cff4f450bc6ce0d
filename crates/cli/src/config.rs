//! `klamm config`.

use anyhow::Result;
use klamm_client::{
    Admin, AdminError, Change, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource,
};
use klamm_model::ErrorCode;
use serde_json::{Value, json};

use crate::args::{ConfigCommand, ConfigGetArgs, Format};
use crate::failure::{Told, tell};
use crate::outcome::Outcomes;
use crate::output::{or_nothing, print_json, print_line, print_table};
use crate::remote;

/// A name that needs more changes than this was not meant.
const TYPOS_MAX: usize = 3;

pub(crate) fn run(command: &ConfigCommand) -> Result<()> {
    remote::run(async {
        match command {
            ConfigCommand::Get(args) => get(args).await,
            ConfigCommand::Set(args) => {
                let admin = remote::administer(&args.remote).await?;
                let resources = args.resource.resources();
                let change = if args.dry_run { Change::Check } else { Change::Make };
                alter(&admin, &resources, &args.assignments, change, args.remote.format).await
            }
            ConfigCommand::Unset(args) => {
                let admin = remote::administer(&args.remote).await?;
                let resources = args.resource.resources();
                let change = if args.dry_run { Change::Check } else { Change::Make };
                let unset =
                    |name: &String| ConfigChange { name: name.clone(), operation: ConfigOperation::Unset };
                let changes: Vec<_> = args.keys.iter().map(unset).collect();
                alter(&admin, &resources, &changes, change, args.remote.format).await
            }
        }
    })
}

/// Changes settings of each of the resources.
pub(crate) async fn alter(
    admin: &Admin,
    resources: &[ConfigResource],
    changes: &[ConfigChange],
    change: Change,
    format: Format,
) -> Result<()> {
    let mut outcomes = Outcomes::new(format);
    for resource in resources {
        let mut object = resource_json(resource);
        object["changes"] = changes.iter().map(change_json).collect();
        object["applied"] = false.into();
        match admin.alter_configs(resource, changes, change).await {
            Ok(()) => {
                object["applied"] = (change == Change::Make).into();
                let would = if change == Change::Make { "" } else { " would be changed" };
                let changes = changes.iter().map(change_text).collect::<Vec<_>>().join(" ");
                outcomes.done(&format!("{resource}{would}: {changes}"), object)?;
            }
            Err(error) => {
                let goes_on = outcomes.failed(&error, object);
                if error.code() == Some(ErrorCode::InvalidConfig) {
                    tell_of_typos(admin, resource, changes, &error.to_string()).await;
                }
                if !goes_on {
                    break;
                }
            }
        }
    }
    outcomes.finish()
}

async fn get(args: &ConfigGetArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let mut shown = Vec::new();
    let mut has_failed = false;
    for resource in args.resource.resources() {
        // All of them, so that a name that is not there can be told from one without a value.
        let mut entries = match admin.describe_configs(&resource, None, args.docs).await {
            Ok(entries) => entries,
            Err(error @ AdminError::Refused { .. }) => {
                tell(&error);
                has_failed = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for key in args.keys.iter().filter(|key| !entries.iter().any(|entry| entry.name == **key)) {
            // A broker tells of the whole cluster only what was set for it: what is not there may still be a setting.
            if resource == ConfigResource::Cluster {
                continue;
            }
            has_failed = true;
            tell(&format!(
                "{resource} has no setting {key}{}",
                hint(key, entries.iter().map(|entry| &*entry.name))
            ));
        }
        entries.retain(|entry| match args.keys.as_slice() {
            [] => args.all || was_set(&resource, entry),
            keys => keys.contains(&entry.name),
        });
        shown.push((resource, entries));
    }
    match args.remote.format {
        Format::Json => print_json(&shown.iter().map(described_json).collect())?,
        Format::Table if shown.is_empty() => {}
        Format::Table if args.docs => print_with_docs(&shown)?,
        Format::Table => {
            let rows = shown.iter().flat_map(|(resource, entries)| {
                entries.iter().map(move |entry| {
                    vec![resource.to_string(), entry.name.clone(), value_text(entry), source_text(entry)]
                })
            });
            let rows: Vec<_> = rows.collect();
            print_table(&["RESOURCE", "KEY", "VALUE", "SOURCE"], &rows)?;
        }
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

/// Whether the value is there because somebody set it, for the resource or, of a broker, by any way.
fn was_set(resource: &ConfigResource, entry: &ConfigEntry) -> bool {
    match resource {
        ConfigResource::Topic(_) => entry.source == ConfigSource::Topic,
        _ => !matches!(entry.source, ConfigSource::Default | ConfigSource::Unknown),
    }
}

fn value_text(entry: &ConfigEntry) -> String {
    if entry.is_sensitive { "(hidden)".to_owned() } else { or_nothing(entry.value.as_deref()) }
}

fn source_text(entry: &ConfigEntry) -> String {
    let read_only = if entry.is_read_only { ", read-only" } else { "" };
    format!("{}{read_only}", entry.source.name())
}

fn print_with_docs(shown: &[(ConfigResource, Vec<ConfigEntry>)]) -> Result<()> {
    for (resource, entries) in shown {
        for entry in entries {
            let (name, value, source) = (&entry.name, value_text(entry), source_text(entry));
            print_line(&format!("{resource}: {name}={value} ({}, {source})", entry.kind.name()))?;
            if let Some(documentation) = &entry.documentation {
                print_line(&format!("    {}", documentation.trim()))?;
            }
            // The first place is the one that holds, which is said already.
            for synonym in entry.synonyms.iter().skip(1) {
                let value = or_nothing(synonym.value.as_deref());
                print_line(&format!("    else {}={value} ({})", synonym.name, synonym.source.name()))?;
            }
        }
    }
    Ok(())
}

/// Says what was meant, where the broker did not say it itself.
async fn tell_of_typos(admin: &Admin, resource: &ConfigResource, changes: &[ConfigChange], told: &str) {
    // It has failed already; without a list of names there is no hint.
    let Ok(entries) = admin.describe_configs(resource, None, false).await else { return };
    let is_known = |name: &str| entries.iter().any(|entry| entry.name == name);
    for ConfigChange { name, .. } in changes.iter().filter(|change| !is_known(&change.name)) {
        let hint = hint(name, entries.iter().map(|entry| &*entry.name));
        if !hint.is_empty() && !told.contains(&hint) {
            tell(&format!("{resource} has no setting {name}{hint}"));
        }
    }
}

/// The name that was probably meant.
pub(crate) fn hint<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> String {
    let nearest = names.map(|name| (strsim::levenshtein(key, name), name)).min();
    match nearest {
        Some((typos, name)) if typos <= TYPOS_MAX => format!("; is it {name}?"),
        _ => String::new(),
    }
}

fn change_text(change: &ConfigChange) -> String {
    let name = &change.name;
    match &change.operation {
        ConfigOperation::Set(value) => format!("{name}={value}"),
        ConfigOperation::Append(value) => format!("{name}+={value}"),
        ConfigOperation::Subtract(value) => format!("{name}-={value}"),
        ConfigOperation::Unset => format!("{name} unset"),
    }
}

fn change_json(change: &ConfigChange) -> Value {
    let (operation, value) = match &change.operation {
        ConfigOperation::Set(value) => ("set", Some(value)),
        ConfigOperation::Append(value) => ("append", Some(value)),
        ConfigOperation::Subtract(value) => ("subtract", Some(value)),
        ConfigOperation::Unset => ("unset", None),
    };
    json!({ "key": change.name, "operation": operation, "value": value })
}

pub(crate) fn resource_json(resource: &ConfigResource) -> Value {
    let (kind, name) = match resource {
        ConfigResource::Topic(name) => ("topic", name.clone()),
        ConfigResource::Broker(broker) => ("broker", broker.to_string()),
        ConfigResource::Cluster => ("cluster", String::new()),
        ConfigResource::BrokerLogger(broker) => ("logger", broker.to_string()),
        ConfigResource::ClientMetrics(name) => ("client-metrics", name.clone()),
        ConfigResource::Group(name) => ("group", name.clone()),
    };
    json!({ "resource": kind, "name": name })
}

fn described_json((resource, entries): &(ConfigResource, Vec<ConfigEntry>)) -> Value {
    let configs = entries.iter().map(|entry| {
        let synonyms = entry.synonyms.iter().map(
            |synonym| json!({ "key": synonym.name, "value": synonym.value, "source": synonym.source.name() }),
        );
        json!({
            "key": entry.name,
            "value": entry.value,
            "source": entry.source.name(),
            "type": entry.kind.name(),
            "read_only": entry.is_read_only,
            "sensitive": entry.is_sensitive,
            "synonyms": synonyms.collect::<Vec<_>>(),
            "documentation": entry.documentation,
        })
    });
    let mut object = resource_json(resource);
    object["configs"] = configs.collect();
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_gets_the_nearest_name() {
        let names = ["retention.ms", "retention.bytes", "segment.ms"];
        for (key, told) in [
            ("retention.mss", "; is it retention.ms?"),
            ("segmnt.ms", "; is it segment.ms?"),
            ("something.else", ""),
        ] {
            assert_eq!(hint(key, names.into_iter()), told);
        }
        assert_eq!(hint("retention.ms", [].into_iter()), "");
    }
}
