//! When an acknowledged record is on disk, as a topic's settings say.

use klamm_client::ConfigEntry;

/// The topic settings that decide it.
const FLUSH_MESSAGES: &str = "flush.messages";
const FLUSH_MS: &str = "flush.ms";
/// What these settings are when the page cache is to be trusted.
const NEVER: &str = "9223372036854775807";

/// When an acknowledged record is on disk.
pub(super) struct Durability {
    pub(super) sentence: String,
    /// `None` if the broker does not tell.
    pub(super) waits_for_sync: Option<bool>,
    pub(super) flush_messages: Option<String>,
    pub(super) flush_ms: Option<String>,
}

impl Durability {
    /// By the settings of a topic; only a broker that serves DescribeConfigs tells them.
    pub(super) fn of(configs: Option<&[ConfigEntry]>) -> Self {
        let Some(configs) = configs else {
            let sentence = "not told: this broker does not serve DescribeConfigs".to_owned();
            return Self { sentence, waits_for_sync: None, flush_messages: None, flush_ms: None };
        };
        let value = |name| configs.iter().find(|config| config.name == name)?.value.clone();
        let (flush_messages, flush_ms) = (value(FLUSH_MESSAGES), value(FLUSH_MS));
        let waits_for_sync = matches!(flush_messages.as_deref(), Some("1" | "0"));
        Self {
            sentence: sentence(limit(&flush_messages), limit(&flush_ms)),
            waits_for_sync: Some(waits_for_sync),
            flush_messages,
            flush_ms,
        }
    }
}

fn limit(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| *value != NEVER)
}

fn sentence(messages: Option<&str>, ms: Option<&str>) -> String {
    match (messages, ms) {
        (None, None) => {
            "relaxed: acknowledged from the page cache, the system writes to disk when it likes".to_owned()
        }
        (Some("1" | "0"), _) => "synced: acks=all is answered when the records are on disk".to_owned(),
        (Some(messages), None) => format!("relaxed: on disk after {messages} records at the latest"),
        (None, Some(ms)) => format!("relaxed: on disk after {ms} ms at the latest"),
        (Some(messages), Some(ms)) => {
            format!("relaxed: on disk after {messages} records or {ms} ms at the latest")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sync_of_every_append_is_waited_for() {
        for (messages, ms, begins) in [
            (Some("1"), None, "synced"),
            (None, None, "relaxed: acknowledged from the page cache"),
            (Some("500"), None, "relaxed: on disk after 500 records at"),
            (None, Some("1000"), "relaxed: on disk after 1000 ms"),
            (Some("500"), Some("1000"), "relaxed: on disk after 500 records or 1000 ms"),
        ] {
            assert!(sentence(messages, ms).starts_with(begins), "{messages:?} {ms:?}");
        }
        assert_eq!(limit(&Some(NEVER.to_owned())), None);
        assert_eq!(Durability::of(None).waits_for_sync, None);
        assert_eq!(Durability::of(Some(&[])).waits_for_sync, Some(false));
    }
}
