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
    page.push_str(SHOWN);
    for (name, file, test) in TESTS {
        writeln!(page, "| `{name}` | `{file}` | `{test}` |")?;
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

const SHOWN: &str = "
Each of them that has an effect has a test of it:

| key | in | test |
|---|---|---|
";

/// For each topic config that works, the test that shows what it does.
const TESTS: &[(&str, &str, &str)] = &[
    ("cleanup.policy", TOPICS, "what_becomes_of_old_segments_is_changed_while_they_are_there"),
    ("compression.gzip.level", PRODUCE, "levels_of_compression_are_used"),
    ("compression.type", PRODUCE, "a_batch_is_stored_in_the_compression_of_its_topic"),
    ("compression.zstd.level", PRODUCE, "levels_of_compression_are_used"),
    (
        "delete.retention.ms",
        "crates/log/src/compact/tests.rs",
        "a_tombstone_stays_for_its_time_from_its_first_pass_on",
    ),
    ("file.delete.delay.ms", TOPICS, "old_records_go_by_age_and_their_files_after_a_while"),
    ("flush.messages", TOPICS, "answers_wait_for_the_disk_as_long_as_every_record_is_to_be_synced"),
    ("flush.ms", "crates/log/src/tests/scripts.rs", "a_relaxed_log_is_synced_in_the_background"),
    (
        "follower.replication.throttled.replicas",
        REPLICATION,
        "a_follower_that_catches_up_asks_for_no_more_than_it_may",
    ),
    (
        "index.interval.bytes",
        TOPICS,
        "a_full_index_ends_a_segment_and_its_entries_lie_as_far_apart_as_they_are_to",
    ),
    ("leader.replication.throttled.replicas", REPLICATION, "a_leader_holds_followers_back_that_catch_up"),
    ("max.compaction.lag.ms", TOPICS, "compaction_waits_for_dirt_and_for_age"),
    ("max.decompressed.message.bytes", PRODUCE, "a_bomb_goes_no_further_than_its_topic_allows"),
    ("max.message.bytes", PRODUCE, "sizes_count_as_they_come_and_as_they_are_stored"),
    ("message.timestamp.after.max.ms", PRODUCE, "timestamps_too_far_from_the_brokers_are_refused_one_by_one"),
    (
        "message.timestamp.before.max.ms",
        PRODUCE,
        "timestamps_too_far_from_the_brokers_are_refused_one_by_one",
    ),
    ("message.timestamp.type", PRODUCE, "the_brokers_time_takes_the_place_of_the_producers"),
    ("min.cleanable.dirty.ratio", "crates/log/src/tests/compaction.rs", "a_pass_is_due_by_share_and_by_age"),
    ("min.compaction.lag.ms", TOPICS, "compaction_waits_for_dirt_and_for_age"),
    (
        "min.insync.replicas",
        "crates/replica/src/tests/scripts/commit.rs",
        "too_few_in_sync_is_said_before_anything_is_appended",
    ),
    ("retention.bytes", TOPICS, "old_records_go_by_size"),
    ("retention.ms", TOPICS, "old_records_go_by_age_and_their_files_after_a_while"),
    ("segment.bytes", TOPICS, "segments_end_by_size"),
    (
        "segment.index.bytes",
        TOPICS,
        "a_full_index_ends_a_segment_and_its_entries_lie_as_far_apart_as_they_are_to",
    ),
    ("segment.jitter.ms", "crates/log/src/tests/retention.rs", "segments_end_by_the_time_of_their_records"),
    ("segment.ms", TOPICS, "segments_end_by_age"),
    (
        "unclean.leader.election.enable",
        "crates/cluster/src/controller/tests/unclean.rs",
        "somebody_out_of_sync_leads_at_once_where_the_topic_allows_it",
    ),
];

const TOPICS: &str = "crates/node/tests/topic_configs.rs";
const REPLICATION: &str = "crates/node/tests/replication.rs";
const PRODUCE: &str = "crates/node/tests/produce.rs";

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
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_tables_give() {
        super::check().expect("docs/CONFIG.md is up to date");
    }

    #[test]
    fn every_topic_config_has_a_test_or_a_reason_to_have_none() {
        let has_effect = |name: &&str| TOPIC_CONFIGS_WITHOUT_EFFECT.iter().all(|it| it.0 != *name);
        let with_effect = TOPIC_CONFIGS.iter().map(|it| it.name).filter(has_effect);
        assert!(TESTS.iter().map(|it| it.0).eq(with_effect), "a row of TESTS is missing, or one too many");
        for (name, file, test) in TESTS {
            let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
            let text = fs::read_to_string(root.join(file)).expect(file);
            assert!(text.contains(&format!("#[test]\nfn {test}()")), "{name}: no test {test} in {file}");
        }
    }
}
