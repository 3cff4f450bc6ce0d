//! Names that librdkafka has for settings, where Kafka's are others: whoever comes from there should not have to search.

use super::{IN_CODE, NO_METRICS};

enum Meaning {
    /// It is set by this, maybe in another unit.
    Named(&'static str),
    /// There is no such setting, for this reason.
    Missing(&'static str),
}

use Meaning::{Missing, Named};

const OF_SOCKETS: &str = "sockets are looked after without settings";
const OF_VERSIONS: &str = "brokers are asked what they speak";
const OF_OFFSETS: &str =
    "whoever asks for more is done with what came before, or commits what it says itself";
const AHEAD: &str = "what is read ahead is bounded in bytes, in code";

const NAMES: &[(&str, Meaning)] = &[
    ("api.version.request", Missing(OF_VERSIONS)),
    ("api.version.request.timeout.ms", Missing(OF_VERSIONS)),
    ("auto.commit.enable", Named("enable.auto.commit")),
    ("auto.offset.store", Missing(OF_OFFSETS)),
    ("batch.num.messages", Named("batch.size, in bytes")),
    ("broker.address.family", Missing("all addresses of a name are tried")),
    ("broker.address.ttl", Missing("names are looked up for each connection")),
    ("broker.version.fallback", Missing(OF_VERSIONS)),
    ("compression.codec", Named("compression.type")),
    ("compression.level", Named("compression.gzip.level or compression.zstd.level")),
    ("debug", Missing("events are told by `tracing`")),
    ("delivery.report.only.error", Missing(IN_CODE)),
    ("enable.auto.offset.store", Missing(OF_OFFSETS)),
    ("enable.gapless.guarantee", Missing("what is given up is an error, and the rest goes on")),
    ("enable.partition.eof", Missing("whoever reads to the end is told when that is reached")),
    ("enable.sasl.oauthbearer.unsecure.jwt", Named("sasl.jaas.config")),
    (
        "enable.ssl.certificate.verification",
        Missing(
            "certificates are always looked at; an empty ssl.endpoint.identification.algorithm leaves out the name",
        ),
    ),
    ("fetch.error.backoff.ms", Named("retry.backoff.ms")),
    ("fetch.message.max.bytes", Named("max.partition.fetch.bytes")),
    ("fetch.queue.backoff.ms", Missing(AHEAD)),
    ("fetch.wait.max.ms", Named("fetch.max.wait.ms")),
    ("log_level", Missing("events are told by `tracing`")),
    ("max.in.flight", Named("max.in.flight.requests.per.connection")),
    ("message.max.bytes", Named("max.request.size")),
    ("message.send.max.retries", Named("retries")),
    ("message.timeout.ms", Named("delivery.timeout.ms")),
    ("metadata.broker.list", Named("bootstrap.servers")),
    ("metadata.request.timeout.ms", Named("request.timeout.ms")),
    ("partitioner", Missing("keys decide as in Java's client (murmur2_random), or a function in code")),
    ("queue.buffering.max.kbytes", Named("buffer.memory, in bytes")),
    ("queue.buffering.max.messages", Named("buffer.memory, in bytes")),
    ("queue.buffering.max.ms", Named("linger.ms")),
    ("queued.max.messages.kbytes", Missing(AHEAD)),
    ("queued.min.messages", Missing(AHEAD)),
    ("receive.message.max.bytes", Missing("every answer is bounded")),
    ("request.required.acks", Named("acks")),
    ("sasl.mechanisms", Named("sasl.mechanism")),
    ("sasl.oauthbearer.config", Named("sasl.jaas.config")),
    ("sasl.password", Named("sasl.jaas.config")),
    ("sasl.username", Named("sasl.jaas.config")),
    ("socket.keepalive.enable", Missing(OF_SOCKETS)),
    ("socket.max.fails", Missing(OF_SOCKETS)),
    ("socket.nagle.disable", Missing(OF_SOCKETS)),
    ("socket.receive.buffer.bytes", Missing(OF_SOCKETS)),
    ("socket.send.buffer.bytes", Missing(OF_SOCKETS)),
    ("socket.timeout.ms", Named("request.timeout.ms")),
    ("ssl.ca.location", Named("ssl.truststore.location")),
    ("ssl.ca.pem", Named("ssl.truststore.certificates")),
    ("ssl.certificate.location", Named("ssl.keystore.location, one file with the key")),
    ("ssl.certificate.pem", Named("ssl.keystore.certificate.chain")),
    ("ssl.crl.location", Missing("lists of revoked certificates are not read")),
    ("ssl.curves.list", Missing("the best that both sides have is taken")),
    ("ssl.key.location", Named("ssl.keystore.location, one file with the certificate")),
    ("ssl.key.pem", Named("ssl.keystore.key")),
    ("ssl.sigalgs.list", Missing("the best that both sides have is taken")),
    ("statistics.interval.ms", Missing(NO_METRICS)),
    ("topic.metadata.refresh.interval.ms", Named("metadata.max.age.ms")),
];

/// What a name of librdkafka's that is none of Kafka's is here.
pub(super) fn meaning(name: &str) -> Option<String> {
    let (_, meaning) = NAMES.iter().find(|(known, _)| *known == name)?;
    Some(match meaning {
        Named(here) => format!("it is {here}"),
        Missing(reason) => format!("not here: {reason}"),
    })
}

/// The names and what they mean, for the page about settings.
#[cfg(test)]
pub(super) fn meanings() -> impl Iterator<Item = (&'static str, String)> {
    NAMES.iter().map(|(name, _)| (*name, meaning(name).expect("it stands there")))
}
