//! How much clients may ask of brokers (KIP-546).

use std::collections::BTreeMap;
use std::fmt;

use klamm_wire::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, Request,
    alter_client_quotas::{OpData, RequestEntityData, RequestEntryData},
    describe_client_quotas::ComponentData,
};

use super::ask::{ByItem, Whom, answer};
use super::error::{AdminError, check};
use super::{Admin, Change};

/// What a quota tells clients apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QuotaPart {
    /// As whom they are authenticated.
    User,
    /// What they call themselves.
    ClientId,
    /// Where they connect from.
    Ip,
}

impl QuotaPart {
    const ALL: [Self; 3] = [Self::User, Self::ClientId, Self::Ip];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// Whom a quota is for: the value of each part, `None` for all that have no quota by their own value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct QuotaEntity(pub BTreeMap<QuotaPart, Option<String>>);

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (part, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", part.name(), value.as_deref().unwrap_or("(default)"))?;
        }
        Ok(())
    }
}

/// Which values of a part are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuotaMatch {
    /// This one.
    Value(String),
    /// That of all that have no quota by their own value.
    Default,
    /// Every one.
    Any,
}

/// Limits by Kafka's keys: `producer_byte_rate` and `consumer_byte_rate` in bytes a second, `request_percentage` of a thread's time,
/// `controller_mutation_rate` in partitions and `connection_creation_rate` in connections a second.
pub type Quotas = BTreeMap<String, f64>;

impl Admin {
    /// The quotas of all whose parts match: of those that have other parts too, unless it is to be these parts exactly. Entities with parts
    /// that this client does not know are left out.
    pub async fn describe_quotas(
        &self,
        parts: &BTreeMap<QuotaPart, QuotaMatch>,
        exactly: bool,
    ) -> Result<BTreeMap<QuotaEntity, Quotas>, AdminError> {
        let components = parts.iter().map(|(part, wanted)| {
            let (match_type, value) = match wanted {
                QuotaMatch::Value(value) => (0, Some(value.clone())),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData { entity_type: part.name().to_owned(), match_type, r#match: value }
        });
        let request = Request::DescribeClientQuotas(DescribeClientQuotasRequest {
            components: components.collect(),
            strict: exactly,
        });
        let read = |response| {
            let answer = answer!(response, DescribeClientQuotas);
            check(answer.error_code, answer.error_message)?;
            let entries = answer.entries.unwrap_or_default().into_iter().filter_map(|entry| {
                let parts = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
                let quotas = entry.values.into_iter().map(|quota| (quota.key, quota.value));
                Some((entity(parts)?, quotas.collect()))
            });
            Ok(entries.collect())
        };
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("quotas"))
    }

    /// Sets quotas; `None` takes one away.
    pub async fn alter_quotas(
        &self,
        changes: &BTreeMap<QuotaEntity, BTreeMap<String, Option<f64>>>,
        change: Change,
    ) -> Result<ByItem<QuotaEntity, ()>, AdminError> {
        let entries = changes.iter().map(|(entity, quotas)| {
            let parts = entity.0.iter().map(|(part, value)| RequestEntityData {
                entity_type: part.name().to_owned(),
                entity_name: value.clone(),
            });
            let ops = quotas.iter().map(|(key, value)| OpData {
                key: key.clone(),
                value: value.unwrap_or(0.0),
                remove: value.is_none(),
            });
            RequestEntryData { entity: parts.collect(), ops: ops.collect() }
        });
        let request = Request::AlterClientQuotas(AlterClientQuotasRequest {
            entries: entries.collect(),
            validate_only: change == Change::Check,
        });
        let read = |response| {
            let entries = answer!(response, AlterClientQuotas).entries.into_iter().filter_map(|entry| {
                let parts = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
                Some((entity(parts)?, check(entry.error_code, entry.error_message)))
            });
            Ok(entries.collect())
        };
        self.ask_about(Whom::Controller, "quotas", changes.keys().cloned(), &request, read).await
    }
}

fn entity(parts: impl Iterator<Item = (String, Option<String>)>) -> Option<QuotaEntity> {
    let parts = parts.map(|(name, value)| Some((QuotaPart::from_name(&name)?, value)));
    parts.collect::<Option<_>>().map(QuotaEntity)
}
