//! What a cluster has agreed to do (KIP-584).

use std::collections::BTreeMap;

use klamm_wire::{Request, UpdateFeaturesRequest, update_features::FeatureUpdateKey};

use super::ask::{Whom, answer};
use super::cluster::hello;
use super::error::{AdminError, check};
use super::wire_enum::wire_enum;
use super::{Admin, Change};

/// What a cluster can do beyond the protocol's versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Features {
    /// By name.
    pub levels: BTreeMap<String, FeatureLevel>,
    /// Which picture this is; `None` if the broker does not say.
    pub epoch: Option<i64>,
}

/// One feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeatureLevel {
    /// What the cluster has agreed on; 0 is off.
    pub finalized: i16,
    /// The lowest and the highest level that the asked broker can do.
    pub supported: Option<(i16, i16)>,
}

wire_enum! {
    /// Which way a feature may be changed.
    FeatureUpdate {
        /// To a higher level only.
        Upgrade = 1 "upgrade",
        /// Also to a lower one, if nothing that the cluster keeps gets lost.
        SafeDowngrade = 2 "safe downgrade",
        /// Also to a lower one, whatever gets lost.
        UnsafeDowngrade = 3 "unsafe downgrade",
    }
}

impl Admin {
    /// What the cluster has agreed on, and what the asked broker can do.
    pub async fn features(&self) -> Result<Features, AdminError> {
        let read = |response| {
            let answer = answer!(response, ApiVersions);
            check(answer.error_code, None)?;
            let mut levels: BTreeMap<String, FeatureLevel> = BTreeMap::new();
            for feature in answer.supported_features {
                levels.entry(feature.name).or_default().supported =
                    Some((feature.min_version, feature.max_version));
            }
            for feature in answer.finalized_features {
                levels.entry(feature.name).or_default().finalized = feature.max_version_level;
            }
            let epoch = (answer.finalized_features_epoch >= 0).then_some(answer.finalized_features_epoch);
            Ok(Features { levels, epoch })
        };
        self.ask(Whom::Anybody, &hello(), read).await.map_err(|failure| failure.about("features"))
    }

    /// Changes features to these levels, 0 for off: all of them or none.
    pub async fn update_features(
        &self,
        levels: &BTreeMap<String, (i16, FeatureUpdate)>,
        change: Change,
    ) -> Result<(), AdminError> {
        let updates = levels.iter().map(|(feature, &(max_version_level, update))| FeatureUpdateKey {
            feature: feature.clone(),
            max_version_level,
            upgrade_type: update.number(),
            ..FeatureUpdateKey::default()
        });
        let request = Request::UpdateFeatures(UpdateFeaturesRequest {
            timeout_ms: self.change_timeout_ms(),
            feature_updates: updates.collect(),
            validate_only: change == Change::Check,
        });
        let read = |response| {
            let answer = answer!(response, UpdateFeatures);
            check(answer.error_code, answer.error_message)?;
            // Older brokers say it of each feature.
            answer.results.into_iter().try_for_each(|it| check(it.error_code, it.error_message))
        };
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about("features"))
    }
}
