//! The bare program that a broker is measured against, and small precise clients that drive either.
//!
//! `serve` speaks just enough of Kafka's protocol for its performance tools to run, and does only what nobody can leave out: take the
//! bytes from the socket, check the CRC, write the file, send the file. It decides nothing, so its CPU time is the lower bound.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod clients;
mod serve;
mod transactions;
mod wire;

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::str::FromStr;

const USAGE: &str = "\
bench-floor serve   --listen HOST:PORT --data-dir DIR [--partitions 16] [--sync none|each|group] [--send sendfile|copy] [--stdin]
bench-floor load    HOST:PORT --topic T [--partitions 16] [--batch-bytes 262144] [--record-bytes 1024] [--gigabytes 1]
                    [--connections 1] [--in-flight 5] [--acks -1]
bench-floor drain   HOST:PORT --topic T [--partitions 16] --records N [--fetch-bytes 1048576]
bench-floor latency HOST:PORT --topic T [--rate 1000] [--count 10000] [--warm-up 2000] [--record-bytes 100] [--acks 1]
                    --rate 0 sends each request when the one before was answered
bench-floor transactions HOST:PORT --topic T [--partitions 16] [--producers 1] [--seconds 5] [--warm-up 1] [--record-bytes 100] [--protocol 2]
bench-floor fsync   DIR [--count 500] [--bytes 200]
--stdin of serve: each line read prints the CPU time used, the end of it prints and ends the program.";

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let options = Options::parse(words)?;
    match command.as_str() {
        "serve" => serve::serve(&options),
        "load" => clients::load(&options),
        "drain" => clients::drain(&options),
        "latency" => clients::latency(&options),
        "transactions" => transactions::transactions(&options),
        "fsync" => clients::fsync(&options),
        _ => bail!("{USAGE}"),
    }
}

/// `--name value` pairs, and the one word without a name.
pub(crate) struct Options {
    plain: Option<String>,
    named: BTreeMap<String, String>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut plain, mut named) = (None, BTreeMap::new());
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some("stdin") => drop(named.insert("stdin".to_owned(), "yes".to_owned())),
                Some(name) => drop(named.insert(
                    name.to_owned(),
                    words.next().with_context(|| format!("--{name} needs a value"))?,
                )),
                None => plain = Some(word),
            }
        }
        Ok(Self { plain, named })
    }

    pub(crate) fn target(&self) -> Result<&str> {
        self.plain.as_deref().context(USAGE)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        self.named.get(name).map(String::as_str).with_context(|| format!("--{name} is missing\n{USAGE}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.named.get(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().with_context(|| format!("--{name} {text} is not a number")),
        }
    }
}
