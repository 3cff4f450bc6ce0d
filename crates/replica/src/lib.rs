//! A partition as leader or follower.
