//! DescribeClientQuotas: the quotas that were set, of the entities that a filter picks (KIP-546).

use std::collections::BTreeMap;

use klamm_cluster::{
    Image,
    quota::{EntityKind, QuotaEntity, QuotaValue},
};
use klamm_model::ErrorCode;
use klamm_wire::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    describe_client_quotas::{ComponentData, EntityData, EntryData, ValueData},
};

/// What an entity must have of one kind.
enum Wanted {
    /// This name, or being the default.
    Exactly(Option<String>),
    /// Any.
    Specified,
}

pub(crate) fn describe(image: &Image, request: &DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    let filter = match filter(&request.components) {
        Ok(filter) => filter,
        Err((code, message)) => {
            return DescribeClientQuotasResponse {
                error_code: code.code(),
                error_message: Some(message),
                entries: None,
                ..Default::default()
            };
        }
    };
    let is_wanted = |entity: &QuotaEntity| {
        let has = |(kind, wanted): (&EntityKind, &Wanted)| match (entity.0.get(kind), wanted) {
            (None, _) => false,
            (Some(name), Wanted::Exactly(wanted)) => name == wanted,
            (Some(_), Wanted::Specified) => true,
        };
        filter.iter().all(has) && (!request.strict || entity.0.len() == filter.len())
    };
    let entries = image.quotas().filter(|(entity, _)| is_wanted(entity));
    DescribeClientQuotasResponse {
        error_message: None,
        entries: Some(entries.map(|(entity, quotas)| entry(entity, quotas)).collect()),
        ..Default::default()
    }
}

fn filter(components: &[ComponentData]) -> Result<BTreeMap<EntityKind, Wanted>, (ErrorCode, String)> {
    const EXACT: i8 = 0;
    const DEFAULT: i8 = 1;
    const SPECIFIED: i8 = 2;
    let invalid = |what: &str| Err((ErrorCode::InvalidRequest, what.to_owned()));
    let mut filter = BTreeMap::new();
    for component in components {
        if component.entity_type.is_empty() {
            return invalid("an entity type is empty");
        }
        let Some(kind) = EntityKind::named(&component.entity_type) else {
            let message = format!("there are no quotas for a {:?}", component.entity_type);
            return Err((ErrorCode::UnsupportedVersion, message));
        };
        let wanted = match (component.match_type, &component.r#match) {
            (EXACT, Some(name)) => Wanted::Exactly(Some(name.clone())),
            (DEFAULT, None) => Wanted::Exactly(None),
            (SPECIFIED, None) => Wanted::Specified,
            (EXACT | DEFAULT | SPECIFIED, _) => {
                return invalid("a name goes with an exact match, and only with that");
            }
            _ => return invalid("the type of a match is not known"),
        };
        if filter.insert(kind, wanted).is_some() {
            return invalid("an entity type is given more than once");
        }
    }
    if filter.contains_key(&EntityKind::Ip) && filter.len() > 1 {
        return invalid("a quota of an ip is not one of a user or a client-id");
    }
    Ok(filter)
}

fn entry(entity: &QuotaEntity, quotas: &BTreeMap<String, QuotaValue>) -> EntryData {
    let part = |(kind, name): (&EntityKind, &Option<String>)| EntityData {
        entity_type: kind.name().to_owned(),
        entity_name: name.clone(),
    };
    let quota = |(key, value): (&String, &QuotaValue)| ValueData { key: key.clone(), value: value.get() };
    EntryData { entity: entity.0.iter().map(part).collect(), values: quotas.iter().map(quota).collect() }
}
