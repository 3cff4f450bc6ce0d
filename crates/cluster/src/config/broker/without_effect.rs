//! The rows of keys that a JVM broker has and that change nothing here, by the reason for that.
//!
//! A file that was written for Kafka loads with them. What would promise a protection that is not there is refused instead.

use super::super::Kind::{self, Boolean, Class, Double, List, Password, Text};
use super::Update::{self, ClusterWide, PerBroker, ReadOnly};
use super::{BrokerKey, Effect};

const POSITIVE: Kind = Kind::POSITIVE;
const NATURAL: Kind = Kind::NATURAL;
const POSITIVE_LONG: Kind = Kind::POSITIVE_LONG;
const NATURAL_LONG: Kind = Kind::NATURAL_LONG;
const ANY_INT: Kind = Kind::Int { min: i32::MIN, max: i32::MAX };
const ANY_LONG: Kind = Kind::Long { min: i64::MIN, max: i64::MAX };
const FACTOR: Kind = Kind::Short { min: 1 };

/// Name, kind, Kafka's default, Kafka's update mode.
type Row = (&'static str, Kind, Option<&'static str>, Update);

pub(super) fn keys() -> impl Iterator<Item = BrokerKey> {
    let without_effect = WITHOUT_EFFECT
        .iter()
        .flat_map(|(reason, rows)| rows.iter().map(|row| key(row, Effect::Nothing(reason), reason)));
    let refused = REFUSED.iter().map(|(row, reason)| key(row, Effect::Refused(reason), reason));
    without_effect.chain(refused)
}

fn key(row: &Row, effect: Effect, doc: &'static str) -> BrokerKey {
    let (name, kind, default, update) = *row;
    BrokerKey { name, kind, default, update, effect, topic_key: None, doc }
}

const REFUSED: &[(Row, &str)] = &[
    (
        ("alter.config.policy.class.name", Class, None, ReadOnly),
        "no Java class can be asked what configs are allowed",
    ),
    (
        ("authorizer.class.name", Text, Some(""), ReadOnly),
        "there is no authorizer yet, and without one everything is allowed",
    ),
    (("client.quota.callback.class", Class, None, ReadOnly), "no Java class can be asked for quotas"),
    (("config.providers", List, Some(""), ClusterWide), "values that stand elsewhere are not looked up"),
    (
        ("create.topic.policy.class.name", Class, None, ReadOnly),
        "no Java class can be asked which topics are allowed",
    ),
    (
        (
            "principal.builder.class",
            Class,
            Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
            PerBroker,
        ),
        "no Java class can be asked who a client is",
    ),
    (
        ("security.inter.broker.protocol", Text, Some("PLAINTEXT"), ReadOnly),
        "brokers speak plaintext with each other",
    ),
];

const WITHOUT_EFFECT: &[(&str, &[Row])] = &[
    (
        "Only finished versions are served.",
        &[
            ("unstable.api.versions.enable", Boolean, Some("false"), ReadOnly),
            ("unstable.feature.versions.enable", Boolean, Some("false"), ReadOnly),
        ],
    ),
    (
        "There are no such threads: requests are decided on by the threads of `num.network.threads`, disk work by as many as it needs.",
        &[
            ("background.threads", POSITIVE, Some("10"), ClusterWide),
            ("num.io.threads", POSITIVE, Some("8"), ClusterWide),
            ("num.replica.alter.log.dirs.threads", ANY_INT, None, ReadOnly),
            ("num.replica.fetchers", POSITIVE, Some("1"), ClusterWide),
            ("queued.max.requests", POSITIVE, Some("500"), ReadOnly),
        ],
    ),
    (
        "Parked requests are kept in order of their deadlines and need no purge.",
        &[
            ("delete.records.purgatory.purge.interval.requests", ANY_INT, Some("1"), ReadOnly),
            ("fetch.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly),
            ("producer.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly),
            ("share.fetch.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly),
        ],
    ),
    (
        "The system sizes the buffers of sockets itself.",
        &[
            ("replica.socket.receive.buffer.bytes", ANY_INT, Some("65536"), ReadOnly),
            ("socket.receive.buffer.bytes", ANY_INT, Some("102400"), ReadOnly),
            ("socket.send.buffer.bytes", ANY_INT, Some("102400"), ReadOnly),
        ],
    ),
    (
        "The connections between brokers have time-outs of their own.",
        &[
            ("controller.socket.timeout.ms", ANY_INT, Some("30000"), ReadOnly),
            ("initial.broker.registration.timeout.ms", ANY_INT, Some("60000"), ReadOnly),
            ("inter.broker.listener.name", Text, None, ReadOnly),
            ("replica.fetch.backoff.ms", NATURAL, Some("1000"), ReadOnly),
            ("replica.fetch.min.bytes", ANY_INT, Some("1"), ReadOnly),
            ("replica.fetch.response.max.bytes", NATURAL, Some("10485760"), ReadOnly),
            ("replica.socket.timeout.ms", ANY_INT, Some("30000"), ReadOnly),
            ("request.timeout.ms", ANY_INT, Some("30000"), ReadOnly),
            ("socket.connection.setup.timeout.max.ms", ANY_LONG, Some("30000"), ReadOnly),
            ("socket.connection.setup.timeout.ms", ANY_LONG, Some("10000"), ReadOnly),
        ],
    ),
    (
        "Connections are limited in all (`max.connections`) and by address (`max.connections.per.ip`), for all addresses alike and not by rate.",
        &[
            ("max.connection.creation.rate", NATURAL, Some("2147483647"), ClusterWide),
            ("max.connections.per.ip.overrides", Text, Some(""), ClusterWide),
        ],
    ),
    (
        "The metadata log is not KRaft's: it has no listener or election of that kind, and is kept up to its newest snapshot.",
        &[
            ("controller.listener.names", List, Some("CONTROLLER"), ReadOnly),
            ("controller.quorum.append.linger.ms", NATURAL, Some("25"), ReadOnly),
            ("controller.quorum.auto.join.enable", Boolean, Some("false"), ReadOnly),
            ("controller.quorum.bootstrap.servers", List, Some(""), ReadOnly),
            ("controller.quorum.election.backoff.max.ms", NATURAL, Some("1000"), ReadOnly),
            ("controller.quorum.election.timeout.ms", NATURAL, Some("1000"), ReadOnly),
            ("controller.quorum.fetch.max.bytes", POSITIVE, Some("1048576"), ReadOnly),
            ("controller.quorum.fetch.snapshot.max.bytes", POSITIVE, Some("1048576"), ReadOnly),
            ("controller.quorum.fetch.timeout.ms", NATURAL, Some("2000"), ReadOnly),
            ("controller.quorum.request.timeout.ms", NATURAL, Some("2000"), ReadOnly),
            ("controller.quorum.retry.backoff.ms", NATURAL, Some("20"), ReadOnly),
            ("controller.quorum.voters", List, Some(""), ReadOnly),
            ("early.start.listeners", List, None, ReadOnly),
            ("metadata.log.dir", Text, None, ReadOnly),
            ("metadata.log.segment.bytes", ANY_INT, Some("1073741824"), ReadOnly),
            ("metadata.log.segment.ms", ANY_LONG, Some("604800000"), ReadOnly),
            ("metadata.max.idle.interval.ms", NATURAL, Some("500"), ReadOnly),
            ("metadata.max.retention.bytes", ANY_LONG, Some("104857600"), ReadOnly),
            ("metadata.max.retention.ms", ANY_LONG, Some("604800000"), ReadOnly),
        ],
    ),
    (
        "A stopping broker gives its leaderships up always.",
        &[("controlled.shutdown.enable", Boolean, Some("true"), ReadOnly)],
    ),
    (
        "What these intervals are for is noted at least every second where it changed.",
        &[
            ("log.flush.offset.checkpoint.interval.ms", NATURAL, Some("60000"), ReadOnly),
            ("log.flush.start.offset.checkpoint.interval.ms", NATURAL, Some("60000"), ReadOnly),
            ("replica.high.watermark.checkpoint.interval.ms", ANY_LONG, Some("5000"), ReadOnly),
        ],
    ),
    (
        "A data directory is in use or it has failed, which the controller is told at once; the broker goes on with the others.",
        &[
            ("cordoned.log.dirs", List, Some(""), PerBroker),
            ("log.dir.failure.timeout.ms", POSITIVE_LONG, Some("30000"), ReadOnly),
        ],
    ),
    ("One log is compacted at a time.", &[("log.cleaner.threads", NATURAL, Some("1"), ClusterWide)]),
    (
        "Compaction reads through buffers of its own size.",
        &[
            ("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), ClusterWide),
            ("log.cleaner.io.buffer.size", NATURAL, Some("524288"), ClusterWide),
        ],
    ),
    (
        "There is no remote storage that a follower could begin behind.",
        &[("follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), ClusterWide)],
    ),
    (
        "Metrics are Prometheus text, and there are no Java reporters.",
        &[
            ("kafka.metrics.polling.interval.secs", POSITIVE, Some("10"), ReadOnly),
            ("kafka.metrics.reporters", List, Some(""), ReadOnly),
            ("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), ClusterWide),
            ("metrics.num.samples", POSITIVE, Some("2"), ReadOnly),
            ("metrics.recording.level", Text, Some("INFO"), ReadOnly),
            ("metrics.sample.window.ms", POSITIVE_LONG, Some("30000"), ReadOnly),
            ("telemetry.max.bytes", POSITIVE, Some("1048576"), ReadOnly),
        ],
    ),
    (
        "Quotas are not enforced.",
        &[
            ("alter.log.dirs.replication.quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("alter.log.dirs.replication.quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
            ("controller.quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("controller.quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
            ("quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
            (
                "replica.alter.log.dirs.io.max.bytes.per.second",
                NATURAL_LONG,
                Some("9223372036854775807"),
                ClusterWide,
            ),
        ],
    ),
    (
        "Replicas that catch up are held back by what they owe, and not by a rate that is measured in windows.",
        &[
            ("replication.quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("replication.quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
        ],
    ),
    (
        "It bounds what a group's own configs may say, and those can't be set yet.",
        &[
            ("group.consumer.max.assignment.interval.ms", NATURAL, Some("15000"), ReadOnly),
            ("group.consumer.max.heartbeat.interval.ms", POSITIVE, Some("15000"), ReadOnly),
            ("group.consumer.max.session.timeout.ms", POSITIVE, Some("60000"), ReadOnly),
            ("group.consumer.min.assignment.interval.ms", NATURAL, Some("0"), ReadOnly),
            ("group.consumer.min.heartbeat.interval.ms", POSITIVE, Some("5000"), ReadOnly),
            ("group.consumer.min.session.timeout.ms", POSITIVE, Some("45000"), ReadOnly),
        ],
    ),
    (
        "Nobody needs to set this of groups here.",
        &[
            (
                "group.coordinator.append.linger.ms",
                Kind::Int { min: -1, max: i32::MAX },
                Some("-1"),
                ReadOnly,
            ),
            ("group.coordinator.background.threads", POSITIVE, Some("2"), ReadOnly),
            ("group.coordinator.cached.buffer.max.bytes", POSITIVE, Some("1048588"), ClusterWide),
            ("group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams"), ReadOnly),
            ("group.coordinator.threads", POSITIVE, Some("4"), ReadOnly),
            ("offsets.load.buffer.size", POSITIVE, Some("5242880"), ReadOnly),
            ("offsets.topic.compression.codec", ANY_INT, Some("0"), ReadOnly),
        ],
    ),
    (
        "Share groups are not served yet.",
        &[
            ("errors.deadletterqueue.auto.create.topics.enable", Boolean, Some("false"), ClusterWide),
            ("errors.deadletterqueue.topic.name.prefix", Text, Some("dlq."), ClusterWide),
            ("group.share.assignment.interval.ms", NATURAL, Some("1000"), ClusterWide),
            ("group.share.assignors", List, Some("simple"), ReadOnly),
            ("group.share.delivery.count.limit", Kind::Int { min: 2, max: 10 }, Some("5"), ReadOnly),
            ("group.share.heartbeat.interval.ms", POSITIVE, Some("5000"), ReadOnly),
            ("group.share.max.assignment.interval.ms", NATURAL, Some("15000"), ReadOnly),
            ("group.share.max.delivery.count.limit", Kind::Int { min: 5, max: 25 }, Some("10"), ReadOnly),
            ("group.share.max.heartbeat.interval.ms", POSITIVE, Some("15000"), ReadOnly),
            (
                "group.share.max.partition.max.record.locks",
                Kind::Int { min: 2000, max: 10_000 },
                Some("4000"),
                ReadOnly,
            ),
            (
                "group.share.max.record.lock.duration.ms",
                Kind::Int { min: 30_000, max: 3_600_000 },
                Some("60000"),
                ReadOnly,
            ),
            ("group.share.max.session.timeout.ms", POSITIVE, Some("60000"), ReadOnly),
            ("group.share.max.share.sessions", POSITIVE, Some("2000"), ReadOnly),
            ("group.share.max.size", Kind::Int { min: 1, max: 1000 }, Some("200"), ReadOnly),
            ("group.share.min.assignment.interval.ms", NATURAL, Some("0"), ReadOnly),
            ("group.share.min.delivery.count.limit", Kind::Int { min: 2, max: 5 }, Some("2"), ReadOnly),
            ("group.share.min.heartbeat.interval.ms", POSITIVE, Some("5000"), ReadOnly),
            (
                "group.share.min.partition.max.record.locks",
                Kind::Int { min: 100, max: 2000 },
                Some("100"),
                ReadOnly,
            ),
            (
                "group.share.min.record.lock.duration.ms",
                Kind::Int { min: 1000, max: 30_000 },
                Some("15000"),
                ReadOnly,
            ),
            ("group.share.min.session.timeout.ms", POSITIVE, Some("45000"), ReadOnly),
            (
                "group.share.partition.max.record.locks",
                Kind::Int { min: 100, max: 10_000 },
                Some("2000"),
                ReadOnly,
            ),
            (
                "group.share.record.lock.duration.ms",
                Kind::Int { min: 1000, max: 3_600_000 },
                Some("30000"),
                ReadOnly,
            ),
            ("group.share.session.timeout.ms", POSITIVE, Some("45000"), ReadOnly),
            (
                "share.coordinator.append.linger.ms",
                Kind::Int { min: -1, max: i32::MAX },
                Some("-1"),
                ReadOnly,
            ),
            ("share.coordinator.cached.buffer.max.bytes", POSITIVE, Some("1048588"), ClusterWide),
            ("share.coordinator.load.buffer.size", POSITIVE, Some("5242880"), ReadOnly),
            (
                "share.coordinator.snapshot.update.records.per.snapshot",
                Kind::Int { min: 0, max: 500 },
                Some("500"),
                ReadOnly,
            ),
            ("share.coordinator.state.topic.compression.codec", ANY_INT, Some("0"), ReadOnly),
            ("share.coordinator.state.topic.min.isr", FACTOR, Some("2"), ReadOnly),
            ("share.coordinator.state.topic.num.partitions", POSITIVE, Some("50"), ReadOnly),
            ("share.coordinator.state.topic.replication.factor", FACTOR, Some("3"), ReadOnly),
            ("share.coordinator.state.topic.segment.bytes", POSITIVE, Some("104857600"), ReadOnly),
            ("share.coordinator.threads", POSITIVE, Some("1"), ReadOnly),
            ("share.coordinator.write.timeout.ms", POSITIVE, Some("5000"), ReadOnly),
        ],
    ),
    (
        "Streams groups are not served yet.",
        &[
            ("group.streams.assignment.interval.ms", NATURAL, Some("1000"), ClusterWide),
            ("group.streams.assignors", List, Some("sticky"), ReadOnly),
            ("group.streams.heartbeat.interval.ms", POSITIVE, Some("5000"), ReadOnly),
            ("group.streams.initial.rebalance.delay.ms", NATURAL, Some("3000"), ReadOnly),
            ("group.streams.max.assignment.interval.ms", NATURAL, Some("15000"), ReadOnly),
            ("group.streams.max.heartbeat.interval.ms", POSITIVE, Some("15000"), ReadOnly),
            ("group.streams.max.session.timeout.ms", POSITIVE, Some("60000"), ReadOnly),
            ("group.streams.max.size", POSITIVE, Some("2147483647"), ReadOnly),
            ("group.streams.max.standby.replicas", NATURAL, Some("2"), ReadOnly),
            ("group.streams.min.assignment.interval.ms", NATURAL, Some("0"), ReadOnly),
            ("group.streams.min.heartbeat.interval.ms", POSITIVE, Some("5000"), ReadOnly),
            ("group.streams.min.session.timeout.ms", POSITIVE, Some("45000"), ReadOnly),
            ("group.streams.num.standby.replicas", NATURAL, Some("0"), ReadOnly),
            ("group.streams.rack.aware.assignment.tags", List, Some(""), ReadOnly),
            ("group.streams.session.timeout.ms", POSITIVE, Some("45000"), ReadOnly),
            ("group.streams.topology.description.plugin.class", Class, None, ReadOnly),
        ],
    ),
    (
        "Nobody needs to set this of transactions here.",
        &[
            ("add.partitions.to.txn.retry.backoff.ms", POSITIVE, Some("20"), ReadOnly),
            (
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                POSITIVE,
                Some("10000"),
                ReadOnly,
            ),
            ("transaction.partition.verification.enable", Boolean, Some("true"), ClusterWide),
            ("transaction.state.log.load.buffer.size", POSITIVE, Some("5242880"), ReadOnly),
            ("transaction.state.log.min.isr", POSITIVE, Some("2"), ReadOnly),
            ("transaction.two.phase.commit.enable", Boolean, Some("false"), ReadOnly),
        ],
    ),
    (
        "There is no remote storage: all records stay with the brokers.",
        &[
            ("remote.fetch.max.wait.ms", POSITIVE, Some("500"), ClusterWide),
            ("remote.list.offsets.request.timeout.ms", POSITIVE_LONG, Some("30000"), ClusterWide),
            ("remote.log.index.file.cache.total.size.bytes", POSITIVE_LONG, Some("1073741824"), ClusterWide),
            ("remote.log.manager.copier.thread.pool.size", POSITIVE, Some("10"), ClusterWide),
            (
                "remote.log.manager.copy.max.bytes.per.second",
                POSITIVE_LONG,
                Some("9223372036854775807"),
                ClusterWide,
            ),
            ("remote.log.manager.copy.quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("remote.log.manager.copy.quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
            ("remote.log.manager.expiration.thread.pool.size", POSITIVE, Some("10"), ClusterWide),
            (
                "remote.log.manager.fetch.max.bytes.per.second",
                POSITIVE_LONG,
                Some("9223372036854775807"),
                ClusterWide,
            ),
            ("remote.log.manager.fetch.quota.window.num", POSITIVE, Some("11"), ReadOnly),
            ("remote.log.manager.fetch.quota.window.size.seconds", POSITIVE, Some("1"), ReadOnly),
            ("remote.log.manager.follower.thread.pool.size", POSITIVE, Some("2"), ClusterWide),
            ("remote.log.manager.task.interval.ms", POSITIVE_LONG, Some("30000"), ReadOnly),
            ("remote.log.manager.thread.pool.size", POSITIVE, Some("2"), ReadOnly),
            ("remote.log.metadata.custom.metadata.max.bytes", NATURAL, Some("128"), ReadOnly),
            (
                "remote.log.metadata.manager.class.name",
                Text,
                Some(
                    "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
                ),
                ReadOnly,
            ),
            ("remote.log.metadata.manager.class.path", Text, None, ReadOnly),
            ("remote.log.metadata.manager.impl.prefix", Text, Some("rlmm.config."), ReadOnly),
            ("remote.log.metadata.manager.listener.name", Text, None, ReadOnly),
            ("remote.log.reader.max.pending.tasks", POSITIVE, Some("100"), ReadOnly),
            ("remote.log.reader.threads", POSITIVE, Some("10"), ClusterWide),
            ("remote.log.storage.manager.class.name", Text, None, ReadOnly),
            ("remote.log.storage.manager.class.path", Text, None, ReadOnly),
            ("remote.log.storage.system.enable", Boolean, Some("false"), ReadOnly),
            ("remote.log.storage.manager.impl.prefix", Text, Some("rsm.config."), ReadOnly),
        ],
    ),
    (
        "Listeners are plaintext; one that is to use TLS stops the start.",
        &[
            ("ssl.allow.dn.changes", Boolean, Some("false"), ReadOnly),
            ("ssl.allow.san.changes", Boolean, Some("false"), ReadOnly),
            ("ssl.cipher.suites", List, Some(""), PerBroker),
            ("ssl.client.auth", Text, Some("none"), PerBroker),
            ("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), PerBroker),
            ("ssl.endpoint.identification.algorithm", Text, Some("https"), PerBroker),
            ("ssl.engine.factory.class", Class, None, PerBroker),
            ("ssl.key.password", Password, None, PerBroker),
            ("ssl.keymanager.algorithm", Text, Some("SunX509"), PerBroker),
            ("ssl.keystore.certificate.chain", Password, None, PerBroker),
            ("ssl.keystore.key", Password, None, PerBroker),
            ("ssl.keystore.location", Text, None, PerBroker),
            ("ssl.keystore.password", Password, None, PerBroker),
            ("ssl.keystore.type", Text, Some("JKS"), PerBroker),
            ("ssl.principal.mapping.rules", Text, Some("DEFAULT"), ReadOnly),
            ("ssl.protocol", Text, Some("TLSv1.3"), PerBroker),
            ("ssl.provider", Text, None, PerBroker),
            ("ssl.secure.random.implementation", Text, None, PerBroker),
            ("ssl.trustmanager.algorithm", Text, Some("PKIX"), PerBroker),
            ("ssl.truststore.certificates", Password, None, PerBroker),
            ("ssl.truststore.location", Text, None, PerBroker),
            ("ssl.truststore.password", Password, None, PerBroker),
            ("ssl.truststore.type", Text, Some("JKS"), PerBroker),
        ],
    ),
    (
        "Listeners are plaintext; one that is to authenticate clients stops the start.",
        &[
            ("connection.failed.authentication.delay.ms", NATURAL, Some("100"), ReadOnly),
            ("connections.max.reauth.ms", ANY_LONG, Some("0"), ReadOnly),
            ("delegation.token.expiry.check.interval.ms", POSITIVE_LONG, Some("3600000"), ReadOnly),
            ("delegation.token.expiry.time.ms", POSITIVE_LONG, Some("86400000"), ReadOnly),
            ("delegation.token.max.lifetime.ms", POSITIVE_LONG, Some("604800000"), ReadOnly),
            ("delegation.token.secret.key", Password, None, ReadOnly),
            ("sasl.client.callback.handler.class", Class, None, ReadOnly),
            ("sasl.enabled.mechanisms", List, Some("GSSAPI"), PerBroker),
            ("sasl.jaas.config", Password, None, PerBroker),
            ("sasl.kerberos.kinit.cmd", Text, Some("/usr/bin/kinit"), PerBroker),
            ("sasl.kerberos.min.time.before.relogin", ANY_LONG, Some("60000"), PerBroker),
            ("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), PerBroker),
            ("sasl.kerberos.service.name", Text, None, PerBroker),
            ("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), PerBroker),
            ("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), PerBroker),
            ("sasl.login.callback.handler.class", Class, None, ReadOnly),
            ("sasl.login.class", Class, None, ReadOnly),
            ("sasl.login.connect.timeout.ms", ANY_INT, None, ReadOnly),
            ("sasl.login.read.timeout.ms", ANY_INT, None, ReadOnly),
            ("sasl.login.refresh.buffer.seconds", Kind::Short { min: 0 }, Some("300"), PerBroker),
            ("sasl.login.refresh.min.period.seconds", Kind::Short { min: 0 }, Some("60"), PerBroker),
            ("sasl.login.refresh.window.factor", Double, Some("0.8"), PerBroker),
            ("sasl.login.refresh.window.jitter", Double, Some("0.05"), PerBroker),
            ("sasl.login.retry.backoff.max.ms", ANY_LONG, Some("10000"), ReadOnly),
            ("sasl.login.retry.backoff.ms", ANY_LONG, Some("100"), ReadOnly),
            ("sasl.mechanism.controller.protocol", Text, Some("GSSAPI"), ReadOnly),
            ("sasl.mechanism.inter.broker.protocol", Text, Some("GSSAPI"), PerBroker),
            ("sasl.oauthbearer.allow.unverified.audience", Boolean, Some("false"), ReadOnly),
            ("sasl.oauthbearer.allow.unverified.issuer", Boolean, Some("false"), ReadOnly),
            ("sasl.oauthbearer.assertion.algorithm", Text, Some("RS256"), ReadOnly),
            ("sasl.oauthbearer.assertion.claim.aud", Text, None, ReadOnly),
            ("sasl.oauthbearer.assertion.claim.exp.seconds", NATURAL, Some("300"), ReadOnly),
            ("sasl.oauthbearer.assertion.claim.iss", Text, None, ReadOnly),
            ("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), ReadOnly),
            ("sasl.oauthbearer.assertion.claim.nbf.seconds", NATURAL, Some("60"), ReadOnly),
            ("sasl.oauthbearer.assertion.claim.sub", Text, None, ReadOnly),
            ("sasl.oauthbearer.assertion.file", Text, None, ReadOnly),
            ("sasl.oauthbearer.assertion.private.key.file", Text, None, ReadOnly),
            ("sasl.oauthbearer.assertion.private.key.passphrase", Password, None, ReadOnly),
            ("sasl.oauthbearer.assertion.template.file", Text, None, ReadOnly),
            ("sasl.oauthbearer.client.credentials.client.id", Text, None, ReadOnly),
            ("sasl.oauthbearer.client.credentials.client.secret", Password, None, ReadOnly),
            ("sasl.oauthbearer.clock.skew.seconds", ANY_INT, Some("30"), ReadOnly),
            ("sasl.oauthbearer.expected.audience", List, Some(""), ReadOnly),
            ("sasl.oauthbearer.expected.issuer", Text, None, ReadOnly),
            ("sasl.oauthbearer.jwks.endpoint.refresh.ms", ANY_LONG, Some("3600000"), ReadOnly),
            ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ANY_LONG, Some("10000"), ReadOnly),
            ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ANY_LONG, Some("100"), ReadOnly),
            ("sasl.oauthbearer.jwks.endpoint.url", Text, None, ReadOnly),
            (
                "sasl.oauthbearer.jwt.retriever.class",
                Class,
                Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
                ReadOnly,
            ),
            (
                "sasl.oauthbearer.jwt.validator.class",
                Class,
                Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
                ReadOnly,
            ),
            ("sasl.oauthbearer.scope", Text, None, ReadOnly),
            ("sasl.oauthbearer.scope.claim.name", Text, Some("scope"), ReadOnly),
            ("sasl.oauthbearer.sub.claim.name", Text, Some("sub"), ReadOnly),
            ("sasl.oauthbearer.token.endpoint.url", Text, None, ReadOnly),
            ("sasl.server.callback.handler.class", Class, None, ReadOnly),
            ("sasl.server.max.receive.size", ANY_INT, Some("524288"), ReadOnly),
            ("security.providers", Text, None, ReadOnly),
        ],
    ),
    (
        "There is no authorizer: whoever reaches a listener may do everything.",
        &[
            ("allow.everyone.if.no.acl.found", Boolean, Some("true"), ReadOnly),
            ("super.users", Text, Some(""), ReadOnly),
        ],
    ),
];
