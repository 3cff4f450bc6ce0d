//! One partition as leader or follower.
//!
//! Owns the partition's log, its high watermark and, on the leader, what is known of every follower.
//! Knows no requests, connections or waiters: whoever calls is told by [`Progress`] what moved.
//!
//! ```text
//!   log_start        high_watermark     frontier          end
//!      |  committed       |  on this disk   |  on its way   |
//!   [  a  b  c  d  e  f   |  g  h  i        |  j  k         )    consumers read below the high watermark, followers what is written
//! ```
//!
//! Invariants: `high_watermark <= frontier` of this log, where the frontier counts synced bytes only if the topic is synced;
//! the high watermark never goes back while the leader epoch stays; a record below it is on the disk of every member of the
//! maximal in-sync set, that is the committed one and every one that a proposal of ours may still bring about.
//!
//! The four rules found by checking KIP-320's model hold here:
//! 1. a follower of a new epoch reconciles by epoch before it fetches: each fetch names the epoch of the follower's last
//!    record, and the leader compares before it hands out or counts anything;
//! 2. what makes a follower truncate is fenced by the leader's epoch, in the question and again when the answer arrives;
//! 3. the high watermark advances only on fetches that carry the leader's current epoch;
//! 4. a replica joins the in-sync set only after it reached the start of this leader's epoch, not just the high watermark.

mod deletion;
mod error;
mod follower;
mod isr;
mod leader;
mod replica;
mod serving;
mod state;
#[cfg(test)]
mod tests;

pub use error::{AppendError, BecomeError, FetchError, FetchedError};
pub use follower::{Fetched, FollowerFetch};
pub use isr::{IsrChange, IsrMember, IsrProposal, IsrRefused};
pub use replica::{Progress, Replica, Role};
pub use serving::{
    Acks, ConsumerFetchRequest, EndTransaction, FetchAnswer, FollowerFetchRequest, Isolation, ReadReplica,
    Readable,
};
pub use state::{PartitionState, ReplicaConfig, Sabotage};
