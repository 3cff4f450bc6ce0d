//! UpdateFeatures, and what a broker tells of its feature levels when it registers.

use klamm_cluster::controller::{FeatureError, FeatureUpdate, UpdateFeatures, UpdateKind};
use klamm_cluster::features::{LevelRange, Supported};
use klamm_model::ErrorCode;
use klamm_wire::{
    BrokerRegistrationRequest, Response, UpdateFeaturesRequest, UpdateFeaturesResponse,
    broker_registration::Feature,
    update_features::{FeatureUpdateKey, UpdatableFeatureResult},
};

/// More features, or longer names, no broker has: what it tells is kept in the metadata.
const FEATURES_MAX: usize = 100;
const NAME_SIZE_MAX: usize = 100;

pub(super) fn names_of(request: &UpdateFeaturesRequest) -> Vec<String> {
    request.feature_updates.iter().map(|it| it.feature.clone()).collect()
}

pub(super) fn update_features(request: &UpdateFeaturesRequest, version: i16) -> UpdateFeatures {
    let kind = |it: &FeatureUpdateKey| match it.upgrade_type {
        // Version 0 said only whether it may go down.
        _ if version == 0 && it.allow_downgrade => Some(UpdateKind::SafeDowngrade),
        _ if version == 0 => Some(UpdateKind::Upgrade),
        1 => Some(UpdateKind::Upgrade),
        2 => Some(UpdateKind::SafeDowngrade),
        3 => Some(UpdateKind::UnsafeDowngrade),
        _ => None,
    };
    let update = |it: &FeatureUpdateKey| FeatureUpdate {
        name: it.feature.clone(),
        level: it.max_version_level,
        kind: kind(it),
    };
    UpdateFeatures {
        updates: request.feature_updates.iter().map(update).collect(),
        validate_only: request.validate_only,
    }
}

pub(super) fn not_updated(code: ErrorCode, error_message: Option<String>) -> Response {
    Response::UpdateFeatures(UpdateFeaturesResponse {
        error_code: code.code(),
        error_message,
        ..Default::default()
    })
}

/// In Kafka's words, which tools show.
pub(super) fn failed_for_all(error: &FeatureError) -> String {
    format!("The update failed for all features since the following feature had an error: {error}")
}

/// From version 2 on there is one result for all (KIP-1022).
pub(super) fn updated(names: &[String], version: i16) -> Response {
    let of_feature =
        |name: &String| UpdatableFeatureResult { feature: name.clone(), error_code: 0, error_message: None };
    let names = if version < 2 { names } else { &[] };
    Response::UpdateFeatures(UpdateFeaturesResponse {
        error_message: None,
        results: names.iter().map(of_feature).collect(),
        ..Default::default()
    })
}

/// What a broker supports, by its registration.
pub(super) fn supported_of(request: &BrokerRegistrationRequest) -> Result<Supported, ErrorCode> {
    let is_odd = |it: &Feature| {
        let (min, max) = (it.min_supported_version, it.max_supported_version);
        min < 0 || max < min || NAME_SIZE_MAX < it.name.len()
    };
    if FEATURES_MAX < request.features.len() || request.features.iter().any(is_odd) {
        return Err(ErrorCode::InvalidRequest);
    }
    let range = |it: &Feature| LevelRange { min: it.min_supported_version, max: it.max_supported_version };
    let told =
        request.features.iter().filter(|it| ![super::RELAXED, super::BROKER_ONLY].contains(&&*it.name));
    Ok(Supported(told.map(|it| (it.name.clone(), range(it))).collect()))
}

pub(super) fn told(Supported(features): &Supported) -> impl Iterator<Item = Feature> {
    features.iter().map(|(name, range)| Feature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    })
}
