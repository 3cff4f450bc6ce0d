//! AlterClientQuotas as the controller understands it, and its answers.

use klamm_cluster::{
    controller::{AlterQuotas, NamedEntity, QuotaChange},
    quota::{QuotaError, QuotaValue},
};
use klamm_model::ErrorCode;
use klamm_wire::{
    AlterClientQuotasRequest, AlterClientQuotasResponse,
    alter_client_quotas::{RequestEntryData, ResponseEntityData, ResponseEntryData},
};

use crate::errors::ToCode;

pub(super) fn entities_of(request: &AlterClientQuotasRequest) -> Vec<NamedEntity> {
    request.entries.iter().map(entity_of).collect()
}

fn entity_of(entry: &RequestEntryData) -> NamedEntity {
    entry.entity.iter().map(|it| (it.entity_type.clone(), it.entity_name.clone())).collect()
}

pub(super) fn alter_quotas(request: &AlterClientQuotasRequest) -> AlterQuotas {
    let change = |entry: &RequestEntryData| QuotaChange {
        entity: entity_of(entry),
        set: entry
            .ops
            .iter()
            .map(|op| (op.key.clone(), (!op.remove).then(|| QuotaValue::new(op.value))))
            .collect(),
    };
    AlterQuotas {
        changes: request.entries.iter().map(change).collect(),
        validate_only: request.validate_only,
    }
}

pub(super) fn altered(entities: Vec<(NamedEntity, Result<(), QuotaError>)>) -> AlterClientQuotasResponse {
    let entry = |(entity, result): (NamedEntity, Result<(), QuotaError>)| match result {
        Ok(()) => told(entity, ErrorCode::None, None),
        Err(error) => told(entity, error.code(), Some(error.to_string())),
    };
    AlterClientQuotasResponse { entries: entities.into_iter().map(entry).collect(), ..Default::default() }
}

pub(super) fn not_altered(entities: &[NamedEntity], code: ErrorCode) -> AlterClientQuotasResponse {
    let entry = |entity: &NamedEntity| told(entity.clone(), code, super::why(code));
    AlterClientQuotasResponse { entries: entities.iter().map(entry).collect(), ..Default::default() }
}

fn told(entity: NamedEntity, code: ErrorCode, error_message: Option<String>) -> ResponseEntryData {
    let part = |(entity_type, entity_name)| ResponseEntityData { entity_type, entity_name };
    ResponseEntryData {
        error_code: code.code(),
        error_message,
        entity: entity.into_iter().map(part).collect(),
    }
}
