//! The coordinators: who decides over groups and their offsets, and over transactions.
//!
//! A coordinator is cut into shards, one for each partition of its internal topic (`__consumer_offsets`, `__transaction_state`); the leader of the partition
//! has the shard. A shard is a state machine fed by that partition's log, like the controller is by the metadata log:
//!
//! - What must outlive the process changes by [records](record) alone. They are applied at once, so that two requests before one commit do not decide on the same
//!   past, and handed out to be appended.
//! - An answer, a read's too, leaves when everything appended until then is committed: [`Effects`] keep the order.
//! - Who loses the leadership drops the shard; who gets it reads the log and makes a new one. Nothing is ever undone. So whatever can fail is checked before a record
//!   is made, and a log that cannot be appended to ends the shard.
//! - Sessions, who waits for a rebalance, and other things that a new leader begins anew with are no records. They live and die with the shard.
//!
//! A shard knows no wire versions, no partition's log and no connection: requests come as values under a [`RequestId`].
//! Time is an argument; randomness a seed.

pub mod group;
pub mod record;
pub mod transaction;

mod effects;
mod pattern;

pub use effects::{Append, Effects, Entry, RequestId};
pub use pattern::Pattern;
