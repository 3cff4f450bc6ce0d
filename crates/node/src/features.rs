//! Feature levels as clients see them (KIP-584): what this broker supports, and where the cluster stands. What a level means is in `klamm_cluster::features`.

use klamm_cluster::{Image, features::Supported};
use klamm_wire::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};

/// What is told in a version of ApiVersions. Clients of before version 4 fail where a range begins with 0, so that such features are left out (KAFKA-17492).
pub(crate) fn supported(supported: &Supported, version: i16) -> Vec<SupportedFeatureKey> {
    let told = supported.0.iter().filter(|(_, range)| 4 <= version || 0 < range.min);
    told.map(|(name, range)| SupportedFeatureKey {
        name: name.clone(),
        min_version: range.min,
        max_version: range.max,
    })
    .collect()
}

pub(crate) fn finalized(image: &Image) -> Vec<FinalizedFeatureKey> {
    let told = |(name, level): (&str, i16)| FinalizedFeatureKey {
        name: name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    };
    image.levels().map(told).collect()
}
