//! Feature levels: which steps of its own history a cluster has taken, so that nodes of several versions can be one (KIP-584).
//!
//! Only what works is told. `metadata.version` stands for everything that Kafka 4.4 does without a feature of its own; the others come with what they name, so
//! for now nothing can be raised or lowered, and no level needs to be remembered.

use klamm_model::ErrorCode;
use klamm_wire::{
    UpdateFeaturesRequest, UpdateFeaturesResponse,
    api_versions::{FinalizedFeatureKey, SupportedFeatureKey},
    update_features::{FeatureUpdateKey, UpdatableFeatureResult},
};

/// A feature that this software has.
struct Feature {
    name: &'static str,
    min: i16,
    max: i16,
}

/// All of them; a cluster's level is always the highest.
const FEATURES: &[Feature] = &[
    Feature { name: "metadata.version", min: 33, max: 33 },
    // Groups of the consumer protocol (KIP-848).
    Feature { name: "group.version", min: 0, max: 1 },
    // An epoch for each transaction (KIP-890).
    Feature { name: "transaction.version", min: 0, max: 2 },
];

pub(crate) fn supported() -> Vec<SupportedFeatureKey> {
    let told = |it: &Feature| SupportedFeatureKey {
        name: it.name.to_owned(),
        min_version: it.min,
        max_version: it.max,
    };
    FEATURES.iter().map(told).collect()
}

pub(crate) fn finalized() -> Vec<FinalizedFeatureKey> {
    let told = |it: &Feature| FinalizedFeatureKey {
        name: it.name.to_owned(),
        max_version_level: it.max,
        min_version_level: it.max,
    };
    FEATURES.iter().map(told).collect()
}

/// All or nothing: the first update that cannot be makes the whole request fail.
pub(crate) fn update(request: &UpdateFeaturesRequest, version: i16) -> UpdateFeaturesResponse {
    let refused = request.feature_updates.iter().find_map(|it| refusal(it, version));
    let (code, message) = match &refused {
        None => (ErrorCode::None, None),
        Some((code, message)) => (*code, Some(message.clone())),
    };
    // From version 2 on there is one result for all (KIP-1022).
    let of_feature = |it: &FeatureUpdateKey| UpdatableFeatureResult {
        feature: it.feature.clone(),
        error_code: 0,
        error_message: None,
    };
    let results = match refused {
        None if version < 2 => request.feature_updates.iter().map(of_feature).collect(),
        _ => Vec::new(),
    };
    UpdateFeaturesResponse { error_code: code.code(), error_message: message, results, ..Default::default() }
}

fn refusal(it: &FeatureUpdateKey, version: i16) -> Option<(ErrorCode, String)> {
    let wanted = it.max_version_level;
    // A feature that is not there is at level 0 and can stay so.
    let level = FEATURES.iter().find(|feature| feature.name == it.feature).map_or(0, |feature| feature.max);
    let is_known_type = version == 0 || (1..=3).contains(&it.upgrade_type);
    let what = if !is_known_type {
        "the type of the upgrade is not known".to_owned()
    } else if wanted == level {
        return None;
    } else {
        format!("it is at level {level}, and stays there")
    };
    let message = format!("feature {} cannot be set to level {wanted}: {what}", it.feature);
    Some((ErrorCode::InvalidUpdateVersion, message))
}
