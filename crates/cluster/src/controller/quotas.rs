//! Client quotas are set and removed.

use std::collections::BTreeSet;

use super::{AlterQuotas, Controller, Decision, QuotaChange, Reply};
use crate::quota::{self, QuotaEntity, QuotaError};
use crate::record::{self, Record};

impl Controller {
    pub(super) fn alter_quotas(&self, it: &AlterQuotas) -> Decision {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut seen = BTreeSet::new();
        let mut answers = Vec::new();
        for change in &it.changes {
            let result = quota::check_entity(&change.entity).and_then(|entity| {
                if !seen.insert(entity.clone()) {
                    return Err(QuotaError::Repeated);
                }
                let new = self.quota_records(&entity, change)?;
                bytes += new.iter().map(record::encoded_size).sum::<usize>();
                if self.config.entry_bytes_max < bytes {
                    return Err(QuotaError::TooLarge);
                }
                records.extend(new);
                Ok(())
            });
            answers.push((change.entity.clone(), result));
        }
        if it.validate_only {
            records.clear();
        }
        Decision { records, reply: Reply::AlterQuotas(answers) }
    }

    fn quota_records(&self, entity: &QuotaEntity, change: &QuotaChange) -> Result<Vec<Record>, QuotaError> {
        let current = self.image.quotas_of(entity);
        let mut records = Vec::new();
        let mut keys = BTreeSet::new();
        for (key, value) in &change.set {
            if !keys.insert(key) {
                return Err(QuotaError::Repeated);
            }
            let set = current.and_then(|it| it.get(key)).copied();
            if let Some(value) = value {
                quota::check_value(entity, key, *value)?;
            }
            if set != *value {
                records.push(Record::ClientQuota { entity: entity.clone(), key: key.clone(), value: *value });
            }
        }
        Ok(records)
    }
}
