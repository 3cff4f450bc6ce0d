//! What lies on the brokers' disks, as far as they tell.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{Admin, AdminError, LogDir, PartitionName};
use klamm_model::BrokerId;
use tokio::task::JoinSet;

/// How long a broker may take to tell. One that has just died is taken for one that is there until somebody decides otherwise, and without a controller nobody does.
const PATIENCE: Duration = Duration::from_secs(2);

/// The data directories of some brokers.
pub(crate) struct Disks {
    brokers: BTreeMap<BrokerId, Result<Vec<LogDir>, AdminError>>,
}

impl Disks {
    /// Asks every one of the brokers, all at once.
    pub(crate) async fn ask(admin: &Admin, brokers: impl IntoIterator<Item = BrokerId>) -> Self {
        let admin = admin.clone().with_timeout(admin.timeout().min(PATIENCE));
        let mut asked = JoinSet::new();
        for broker in brokers {
            let admin = admin.clone();
            asked.spawn(async move { (broker, admin.describe_log_dirs(broker).await) });
        }
        Self { brokers: asked.join_all().await.into_iter().collect() }
    }

    /// A broker's directories, or why they are not known.
    pub(crate) fn of(&self, broker: BrokerId) -> Option<&Result<Vec<LogDir>, AdminError>> {
        self.brokers.get(&broker)
    }

    /// Whether the broker could tell, and has not.
    pub(crate) fn is_unknown(&self, broker: BrokerId) -> bool {
        matches!(self.brokers.get(&broker), Some(Err(error)) if !error.is_unsupported())
    }

    /// Brokers that could tell, and have not.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = BrokerId> {
        self.brokers.keys().copied().filter(|broker| self.is_unknown(*broker))
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
