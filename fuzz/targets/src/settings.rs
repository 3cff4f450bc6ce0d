//! Settings: files and arguments of any content are taken or refused with a reason, and mean the same when they are read again.

use std::path::Path;

use klamm_cluster::config;
use klamm_model::BrokerId;
use klamm_server::{Config, Sources};

use crate::take_byte;

/// The first byte picks the form, the rest is the text.
pub fn run(mut data: &[u8]) {
    let form = take_byte(&mut data) % 4;
    let Ok(text) = std::str::from_utf8(data) else { return };
    match form {
        0 => from(|sources| sources.text(Path::new("broker.properties"), text)),
        1 => from(|sources| sources.text(Path::new("broker.toml"), text)),
        2 => from(|sources| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            sources.arguments(
                pairs.map(|(key, value)| (key.to_owned(), value.to_owned(), format!("--set {key}"))),
            )
        }),
        _ => {
            for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
                let _ = config::check(key, value);
            }
        }
    }
}

fn from<E: std::error::Error>(mut read: impl FnMut(&mut Sources) -> Result<(), E>) {
    let mut outcome = || {
        let mut sources = Sources::default();
        read(&mut sources).map_err(|error| error.to_string())?;
        let mut config = Config::new("data".into(), BrokerId(1));
        let warnings = sources.apply(&mut config).map_err(|error| error.to_string())?;
        Ok::<_, String>((warnings, format!("{config:?}")))
    };
    assert_eq!(outcome(), outcome());
}
