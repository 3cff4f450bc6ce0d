//! The levels of features change when an operator says so, and to what all brokers support.

use std::collections::BTreeMap;

use klamm_model::BrokerId;

use super::{
    Controller, Decision, FeatureError, FeatureUpdate, LevelError, Reply, UpdateFeatures, UpdateKind,
};
use crate::features::{LevelRange, METADATA, METADATA_FORM, Supported};
use crate::record::Record;

impl Controller {
    /// All or nothing: the first update that cannot be makes the whole request fail.
    pub(super) fn update_features(&self, it: &UpdateFeatures) -> Decision {
        let (mut records, result) = match self.feature_records(&it.updates) {
            Ok(records) => (records, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        if it.validate_only {
            records.clear();
        }
        Decision { records, reply: Reply::UpdateFeatures(result) }
    }

    fn feature_records(&self, updates: &[FeatureUpdate]) -> Result<Vec<Record>, FeatureError> {
        let mut changed = BTreeMap::new();
        for it in updates {
            let failed = |error| FeatureError { name: it.name.clone(), level: it.level, error };
            self.check_update(it).map_err(failed)?;
            if changed.insert(it.name.as_str(), it.level).is_some() {
                return Err(failed(LevelError::Repeated));
            }
        }
        changed.retain(|name, level| self.image.level(name) != *level);
        let has_levels = 0 < self.image.level(METADATA_FORM);
        match changed.first_key_value() {
            Some((name, level)) if !has_levels && !changed.contains_key(METADATA_FORM) => {
                let error = LevelError::NoLevels;
                return Err(FeatureError { name: (*name).to_owned(), level: *level, error });
            }
            // The first levels that are kept are all: what is not there is off from then on.
            Some(_) if !has_levels => {
                for (name, level) in self.image.levels() {
                    changed.entry(name).or_insert(level);
                }
            }
            _ => {}
        }
        let record = |(name, level): (&str, i16)| Record::Feature { name: name.to_owned(), level };
        Ok(changed.into_iter().map(record).collect())
    }

    fn check_update(&self, it: &FeatureUpdate) -> Result<(), LevelError> {
        let kind = it.kind.ok_or(LevelError::UnknownKind)?;
        if it.level < 0 {
            return Err(LevelError::Negative);
        }
        let ours = (format!("Local controller {}", self.me), &self.config.supported);
        let theirs = self.image.brokers().map(|broker| (who(broker.id), &broker.supported));
        for (who, supported) in std::iter::once(ours).chain(theirs) {
            self.check_support(it, who, supported)?;
        }
        if it.name == METADATA_FORM {
            self.check_forms(it.level)?;
        }
        let level = self.image.level(&it.name);
        match kind {
            UpdateKind::Upgrade if it.level < level => Err(LevelError::IsLower),
            UpdateKind::SafeDowngrade | UpdateKind::UnsafeDowngrade if level < it.level => {
                Err(LevelError::IsHigher)
            }
            // What is written in a higher form stays where it is.
            _ if it.level < level && [METADATA, METADATA_FORM].contains(&it.name.as_str()) => {
                Err(LevelError::Stays { level })
            }
            _ => Ok(()),
        }
    }

    /// Controllers that are no brokers have registered nothing, and read the metadata nevertheless.
    fn check_forms(&self, level: i16) -> Result<(), LevelError> {
        let is_older = |(id, max): &(&BrokerId, &i16)| **max < level && self.image.broker(**id).is_none();
        self.forms.iter().find(is_older).map_or(Ok(()), |(id, max)| {
            Err(LevelError::Unsupported {
                who: format!("Node {id}"),
                range: LevelRange { min: 0, max: *max },
            })
        })
    }

    fn check_support(
        &self,
        it: &FeatureUpdate,
        who: String,
        supported: &Supported,
    ) -> Result<(), LevelError> {
        match supported.range(&it.name) {
            range if range.contains(it.level) => Ok(()),
            LevelRange { max: 0, .. } => Err(LevelError::Unknown { who }),
            range => Err(LevelError::Unsupported { who, range }),
        }
    }
}

fn who(id: BrokerId) -> String {
    format!("Broker {id}")
}
