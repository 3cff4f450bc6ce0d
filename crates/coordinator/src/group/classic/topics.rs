//! Which topics the members of a group read. The coordinator need not know, except that offsets of theirs are not to be forgotten.

use std::collections::BTreeSet;

use bytes::Bytes;
use klamm_wire::{DecodeError, Reader};

use super::Classic;

/// What members read.
pub(in crate::group) enum Topics {
    Known(BTreeSet<String>),
    /// They are consumers, and say what only they understand.
    Any,
}

impl Topics {
    pub(in crate::group) fn has(&self, topic: &str) -> bool {
        match self {
            Self::Known(topics) => topics.contains(topic),
            Self::Any => true,
        }
    }
}

impl Classic {
    /// As the members say now, which may be more than what they have.
    pub(in crate::group) fn topics(&self) -> Topics {
        let mut all = BTreeSet::new();
        if self.is_of_consumers() {
            let protocol = self.protocol.as_deref().unwrap_or_default();
            for member in self.members.values() {
                match topics_of(member.subscription(protocol)) {
                    Ok(topics) => all.extend(topics),
                    Err(_) => return Topics::Any,
                }
            }
        }
        Topics::Known(all)
    }
}

/// All versions of a subscription begin with this: the version, and the topics.
fn topics_of(subscription: Bytes) -> Result<Vec<String>, DecodeError> {
    let mut reader = Reader::new(subscription);
    reader.i16()?;
    reader.array()
}
