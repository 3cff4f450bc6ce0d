//! Keeps docs/PROTOCOL.md what the table of keys says: `cargo xtask protocol` writes it.

use std::fmt::Write;

use expect_test::expect_file;
use klamm_wire::{ApiKey, SERVED, Served};

const HEAD: &str = "\
# What is served

Every API key of Apache Kafka 4.4, the versions that a Kafka 4.4 broker has (it does not tell its clients of those between nodes), and those that Klamm
serves. A client finds the same in the ApiVersions answer. Written by `cargo xtask protocol` from the table in `crates/wire/src/api.rs`; a test says when it is stale.
";

/// What a reader must know of a key that is served but does not do here all that its name says.
fn limit(key: ApiKey) -> Option<&'static str> {
    Some(match key {
        ApiKey::Produce => {
            "0 to 2 are told and refused, as Kafka does: librdkafka takes its codecs from that range (KAFKA-18659)"
        }
        ApiKey::Metadata => "no topic of the cluster's own (`__consumer_offsets`) is created on the way",
        ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
            "of topics and brokers; groups and client metrics have their defaults, which cannot be changed yet, and loggers have none"
        }
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => {
            "SECURITY_DISABLED, as Kafka answers without an authorizer"
        }
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
            "ILLEGAL_SASL_STATE, as Kafka answers on a listener without SASL"
        }
        ApiKey::CreateDelegationToken
        | ApiKey::RenewDelegationToken
        | ApiKey::ExpireDelegationToken
        | ApiKey::DescribeDelegationToken => {
            "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as Kafka answers on a plaintext listener"
        }
        ApiKey::DescribeUserScramCredentials => "there are no SCRAM users yet",
        ApiKey::AlterUserScramCredentials => {
            "UNSUPPORTED_SASL_MECHANISM: no password is taken that no listener asks for"
        }
        ApiKey::DescribeClientQuotas | ApiKey::AlterClientQuotas => {
            "quotas are kept and described, not enforced yet"
        }
        ApiKey::UpdateFeatures => {
            "`group.version` 0-1, `transaction.version` 0-2; `metadata.version` 33 (4.4-IV2) and `eligible.leader.replicas.version` 1 stay; `klamm.metadata.version` 0-1 is our own metadata's"
        }
        ApiKey::DescribeCluster => "brokers only: controllers have no listener for clients",
        _ => return None,
    })
}

/// Why a key is not served to clients.
fn reason(key: ApiKey) -> Option<&'static str> {
    Some(match key {
        ApiKey::ShareGroupHeartbeat
        | ApiKey::ShareGroupDescribe
        | ApiKey::ShareFetch
        | ApiKey::ShareAcknowledge
        | ApiKey::DescribeShareGroupOffsets
        | ApiKey::AlterShareGroupOffsets
        | ApiKey::DeleteShareGroupOffsets => "not yet: share groups (KIP-932)",
        ApiKey::StreamsGroupHeartbeat
        | ApiKey::StreamsGroupDescribe
        | ApiKey::StreamsGroupTopologyDescriptionUpdate => "not yet: streams groups (KIP-1071)",
        ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => {
            "Kafka serves it only with a telemetry plugin, which there is none of here (KIP-714)"
        }
        ApiKey::UnregisterController => "not yet: a controller of Kafka's; every node here is a broker too",
        ApiKey::Vote
        | ApiKey::BeginQuorumEpoch
        | ApiKey::EndQuorumEpoch
        | ApiKey::FetchSnapshot
        | ApiKey::UpdateRaftVoter => "between controllers of Kafka; ours agree by an engine of their own",
        ApiKey::BrokerRegistration
        | ApiKey::BrokerHeartbeat
        | ApiKey::AlterPartition
        | ApiKey::AllocateProducerIds
        | ApiKey::AssignReplicasToDirs => "between brokers: served on their listener, never to clients",
        ApiKey::Envelope | ApiKey::ControllerRegistration => {
            "between nodes of Kafka; no client sends it and ours have no need of it"
        }
        ApiKey::InitializeShareGroupState
        | ApiKey::ReadShareGroupState
        | ApiKey::WriteShareGroupState
        | ApiKey::DeleteShareGroupState
        | ApiKey::ReadShareGroupStateSummary => "between brokers, for share groups (KIP-932): not yet",
        _ => return None,
    })
}

fn versions(from: i16, to: i16) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

/// What a broker of Kafka tells, which is what it can, but for Produce.
fn kafka(key: ApiKey) -> String {
    let first = if key == ApiKey::Produce { 0 } else { *key.stable_versions().start() };
    versions(first, *key.stable_versions().end())
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let line = |text: &mut String, line: String| writeln!(text, "{line}").expect("a string");
    let is_served = |key: &ApiKey| key.served().is_some();
    let (served, others): (Vec<ApiKey>, Vec<ApiKey>) = ApiKey::ALL.iter().copied().partition(is_served);
    line(&mut text, format!("\n## Served: {} of {}\n", served.len(), ApiKey::ALL.len()));
    line(&mut text, "| key | API | Kafka 4.4 | Klamm | |\n|---|---|---|---|---|".to_owned());
    for key in served {
        let Served { min, max, .. } = *key.served().expect("it is served");
        let (number, kafka, ours) = (key.number(), kafka(key), versions(min, max));
        let limit = limit(key).unwrap_or_default();
        line(&mut text, format!("| {number} | {key} | {kafka} | {ours} | {limit} |").replace("|  |", "| |"));
    }
    line(&mut text, format!("\n## Not served: {}\n", others.len()));
    line(&mut text, "| key | API | Kafka 4.4 | why |\n|---|---|---|---|".to_owned());
    for key in others {
        let reason = reason(key).unwrap_or_else(|| panic!("nobody says why {key} is not served"));
        line(&mut text, format!("| {} | {key} | {} | {reason} |", key.number(), kafka(key)));
    }
    line(&mut text, "\nKafka itself gave up the keys 4 to 7 with version 4.0.".to_owned());
    text
}

#[test]
fn the_page_about_the_protocol_is_what_the_table_says() {
    expect_file!["../../../docs/PROTOCOL.md"].assert_eq(&document());
}

#[test]
fn what_is_served_is_served_in_every_version_of_kafka() {
    for Served { key, min, max } in SERVED {
        assert_eq!(versions(*min, *max), kafka(*key), "{key}");
    }
}
