//! Who a member is, as others have to show it for the group.

/// A member of a group at one moment. Whoever commits for it, within a transaction for example, shows this, and is refused when the group
/// has moved on since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The member's id; empty as long as it is not in the group.
    pub member_id: String,
    /// The name that it keeps over restarts (KIP-345), if it has one.
    pub instance_id: Option<String>,
    /// The group's generation, in the consumer protocol the member's epoch; -1 as long as it is not in the group.
    pub generation: i32,
}

impl GroupMetadata {
    /// Of who reads partitions of its own choice for the group and is no member.
    pub fn without_member(group_id: impl Into<String>) -> Self {
        Self { group_id: group_id.into(), member_id: String::new(), instance_id: None, generation: -1 }
    }
}
