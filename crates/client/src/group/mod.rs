//! Reading as one of a group, whose members share the partitions of their topics.

mod metadata;

pub use metadata::GroupMetadata;
