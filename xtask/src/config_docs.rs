//! `docs/CONFIG.md`, written from the tables of configs.

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use klamm_cluster::config::{
    BROKER_DEFAULTS_OF_OUR_OWN, BrokerKey, Effect, Kind, TOPIC_CONFIGS, TOPIC_CONFIGS_WITHOUT_EFFECT, Update,
    broker_keys,
};

/// What no table says.
const HEAD: &str = include_str!("config_docs.md");

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIG.md")
}

pub(crate) fn write() -> Result<()> {
    fs::write(path(), page()?).context("docs/CONFIG.md")
}

pub(crate) fn check() -> Result<()> {
    let committed = fs::read_to_string(path()).context("docs/CONFIG.md")?;
    ensure!(committed == page()?, "docs/CONFIG.md is not what the tables give: run `cargo xtask docs`");
    Ok(())
}

fn page() -> Result<String> {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Topics\n\n| key | values | default | broker's key |\n|---|---|---|---|\n");
    for key in TOPIC_CONFIGS {
        let broker_key = key.broker_key.map_or(String::new(), |it| format!("`{it}`"));
        writeln!(
            page,
            "| `{}`<br>{} | {} | {} | {broker_key} |",
            key.name,
            key.doc,
            values(key.kind),
            shown(Some(key.default))
        )?;
    }
    page.push_str("\n## Brokers\n\n| key | values | default | changes |\n|---|---|---|---|\n");
    for key in broker_keys().iter().filter(|it| it.effect == Effect::Works) {
        writeln!(
            page,
            "| `{}`<br>{} | {} | {} | {} |",
            key.name,
            doc(key),
            values(key.kind),
            default(key),
            changes(key.update)
        )?;
    }
    page.push_str(
        "\n## Defaults that are not Kafka's\n\n| key | here | Kafka 4.4 | why |\n|---|---|---|---|\n",
    );
    for (name, kafkas, why) in BROKER_DEFAULTS_OF_OUR_OWN {
        let key = broker_keys().iter().find(|it| it.name == *name).context("a key of the table")?;
        writeln!(page, "| `{name}` | {} | `{kafkas}` | {why} |", default(key))?;
    }
    page.push_str(WITHOUT_EFFECT);
    for (name, reason) in TOPIC_CONFIGS_WITHOUT_EFFECT {
        writeln!(page, "| topic | `{name}` | {reason} |")?;
    }
    for key in broker_keys() {
        if let Effect::Nothing(reason) = key.effect {
            writeln!(page, "| broker | `{}` | {reason} |", key.name)?;
        }
    }
    page.push_str(REFUSED);
    for key in broker_keys() {
        if let Effect::Refused(reason) = key.effect {
            writeln!(page, "| `{}` | {} | {reason} |", key.name, shown(key.default))?;
        }
    }
    Ok(page)
}

const WITHOUT_EFFECT: &str = "
## Accepted, without effect

So that files and tools made for Kafka work. They are kept and described, a start with one of them says so, and they change nothing.

| of | key | reason |
|---|---|---|
";

const REFUSED: &str = "
## Refused

A value other than the default promises what is not there, so that a start with one fails.

| key | default | reason |
|---|---|---|
";

fn doc(key: &BrokerKey) -> String {
    match key.topic_key {
        Some(topic_key) => format!("Default of topics' `{topic_key}`."),
        None => key.doc.to_owned(),
    }
}

fn default(key: &BrokerKey) -> String {
    if key.default.is_none() && key.doc.contains("By default") {
        "see there".to_owned()
    } else {
        shown(key.default)
    }
}

fn shown(default: Option<&str>) -> String {
    match default {
        None => "not set".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    }
}

fn values(kind: Kind) -> String {
    kind.describe().replace('|', "\\|")
}

fn changes(update: Update) -> &'static str {
    match update {
        Update::ReadOnly => "at start",
        Update::PerBroker => "any time, for one broker",
        Update::ClusterWide => "any time",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_page_is_what_the_tables_give() {
        super::check().expect("docs/CONFIG.md is up to date");
    }
}
