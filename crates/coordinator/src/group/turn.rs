//! What a decision may look at and change besides its group.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_cluster::Image;
use klamm_model::{BATCH_HEADER_SIZE, Now, Producer, Tick};

use super::pending::Pending;
use super::timers::Timers;
use super::{GroupConfig, GroupError, Reply};
use crate::{Append, Effects, Entry, RequestId};

/// What a record takes in a batch besides its key and value, at most: lengths, deltas, flags.
const RECORD_OVERHEAD_MAX: usize = 32;

/// Of a client's name in the ids of its members; more would not help anybody who reads them.
const MEMBER_ID_PREFIX_MAX: usize = 255;

/// What all groups of a shard share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) timers: Timers,
    /// The time of members counts from then on, also for what begins before.
    pub(super) counts_from: Tick,
    pub(super) pending: Pending,
    pub(super) rebalances: BTreeMap<RebalanceCause, u64>,
    /// The topics that there are.
    pub(super) image: Box<Image>,
    /// How often they changed.
    pub(super) image_count: u64,
    seed: u64,
    ids_given: u64,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            timers: Timers::default(),
            counts_from: Tick(0),
            pending: Pending::default(),
            rebalances: BTreeMap::new(),
            image: Box::default(),
            image_count: 0,
            seed,
            ids_given: 0,
        }
    }
}

/// Why a group was rebalanced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RebalanceCause {
    /// A member came.
    NewMember,
    /// A member went, and said so.
    Left,
    /// A member was silent for too long.
    SessionEnded,
    /// A member did not fetch its work in time.
    NoSync,
    /// A member says something else of itself.
    ChangedMember,
    /// The leader wants to distribute the work anew.
    LeaderRejoined,
    /// A static member came back in a way that concerns the others.
    StaticMemberReplaced,
    /// A member did not give up in time what it was to give up.
    NotRevoked,
    /// Topics that members want came, went or grew.
    TopicsChanged,
    /// The last member of the consumer protocol went.
    ProtocolChanged,
    /// There are more members than there may be since the shard was loaded.
    OverCapacity,
}

impl RebalanceCause {
    /// For logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewMember => "new-member",
            Self::Left => "left",
            Self::SessionEnded => "session-ended",
            Self::NoSync => "no-sync",
            Self::ChangedMember => "changed-member",
            Self::LeaderRejoined => "leader-rejoined",
            Self::StaticMemberReplaced => "static-member-replaced",
            Self::NotRevoked => "not-revoked",
            Self::TopicsChanged => "topics-changed",
            Self::ProtocolChanged => "protocol-changed",
            Self::OverCapacity => "over-capacity",
        }
    }
}

/// One call from outside.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    pub(super) shared: &'a mut Shared,
    pub(super) out: &'a mut Effects<(RequestId, Reply)>,
}

impl Turn<'_> {
    pub(super) fn answer(&mut self, id: RequestId, reply: Reply) {
        self.out.outputs.push((id, reply));
    }

    /// Until when members may take so long for something from now on.
    pub(super) fn until(&self, ms: u64) -> Tick {
        // Never at once: a time-out of nothing would come again and again.
        self.now.tick.max(self.shared.counts_from).after_ms(ms.max(1))
    }

    /// Whether all fit in one batch.
    pub(super) fn check_fits<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e Entry>,
    ) -> Result<(), GroupError> {
        let size = BATCH_HEADER_SIZE + entries.into_iter().map(size_in_batch).sum::<usize>();
        let max = self.config.batch_size_max;
        if size <= max { Ok(()) } else { Err(GroupError::TooLarge { size, max }) }
    }

    /// In as few batches as hold them. Whoever needs them to be in one checks that before.
    pub(super) fn append(&mut self, transaction: Option<Producer>, entries: impl IntoIterator<Item = Entry>) {
        let mut room = 0;
        for entry in entries {
            let size = size_in_batch(&entry);
            match self.out.appends.last_mut().filter(|_| size <= room) {
                Some(append) => append.entries.push(entry),
                None => {
                    self.out.appends.push(Append { transaction, entries: vec![entry] });
                    room = self.config.batch_size_max.saturating_sub(BATCH_HEADER_SIZE);
                }
            }
            room = room.saturating_sub(size);
        }
    }

    /// A name that no member ever had: `seed` is another for each shard that is made.
    pub(super) fn new_member_id(&mut self, prefix: &str) -> Arc<str> {
        self.shared.ids_given += 1;
        let high = mix(self.shared.seed ^ mix(self.shared.ids_given));
        let bits = u128::from(high) << 64 | u128::from(mix(high));
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let prefix = &prefix[..prefix.floor_char_boundary(MEMBER_ID_PREFIX_MAX)];
        format!("{prefix}-{id}").into()
    }
}

fn size_in_batch(entry: &Entry) -> usize {
    RECORD_OVERHEAD_MAX + entry.key.len() + entry.value.as_ref().map_or(0, |it| it.len())
}

/// Spreads numbers that lie close together (the finalizer of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
