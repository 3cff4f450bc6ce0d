//! What lies on the brokers' disks, as far as they tell.

use std::collections::BTreeMap;

use klamm_client::{Admin, AdminError, LogDir, PartitionName};
use klamm_model::BrokerId;

/// The data directories of some brokers.
pub(crate) struct Disks {
    brokers: BTreeMap<BrokerId, Result<Vec<LogDir>, AdminError>>,
}

impl Disks {
    /// Asks every one of the brokers.
    pub(crate) async fn ask(admin: &Admin, brokers: impl IntoIterator<Item = BrokerId>) -> Self {
        let mut answers = BTreeMap::new();
        for broker in brokers {
            answers.insert(broker, admin.describe_log_dirs(broker).await);
        }
        Self { brokers: answers }
    }

    /// A broker's directories, or why they are not known.
    pub(crate) fn of(&self, broker: BrokerId) -> Option<&Result<Vec<LogDir>, AdminError>> {
        self.brokers.get(&broker)
    }

    /// Everything that was told.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (BrokerId, &LogDir)> {
        let told = self.brokers.iter().filter_map(|(broker, told)| Some((*broker, told.as_ref().ok()?)));
        told.flat_map(|(broker, directories)| directories.iter().map(move |directory| (broker, directory)))
    }

    /// Bytes of a partition's copy on a broker; `None` if that is not known.
    pub(crate) fn size_of(&self, broker: BrokerId, partition: &PartitionName) -> Option<u64> {
        let directories = self.brokers.get(&broker)?.as_ref().ok()?;
        let copies = directories.iter().filter_map(|directory| directory.replicas.get(partition));
        copies.filter(|copy| !copy.is_future).map(|copy| copy.size_bytes).next()
    }
}
