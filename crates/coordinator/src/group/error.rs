//! Why a group does not do what it was asked.

use thiserror::Error;

/// Why a group does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum GroupError {
    /// Not a name of a group, or of something that is kept with one.
    #[error("an id is empty or longer than {max} bytes")]
    InvalidId {
        /// The limit.
        max: usize,
    },
    /// There is none.
    #[error("Group {} not found.", brief(.group))]
    UnknownGroup {
        /// Its name.
        group: String,
    },
    /// The group has no such member: it never was one, or its session ended.
    #[error("the group has no such member")]
    UnknownMember,
    /// The member is to come again under this id (KIP-394).
    #[error("the member's id is {}", brief(.member_id))]
    MemberIdRequired {
        /// The id.
        member_id: String,
    },
    /// A newer member has the instance id (KIP-345).
    #[error("another member has the instance id {}", brief(.instance_id))]
    FencedInstance {
        /// The name that only one may have.
        instance_id: String,
    },
    /// The member speaks of another generation.
    #[error("the member's generation is not the group's")]
    IllegalGeneration,
    /// The member is in another epoch than it believes, and has lost what it had (KIP-848).
    #[error("the member's epoch is not {epoch}: it must give up everything and join again")]
    FencedEpoch {
        /// The epoch it is in.
        epoch: i32,
    },
    /// Who commits is not in the epoch any more in which it had the partition, or not yet (KIP-848).
    #[error("the member is in epoch {epoch}")]
    StaleEpoch {
        /// The epoch it is in.
        epoch: i32,
    },
    /// A member of the consumer protocol commits as only those of the classic one may.
    #[error("OffsetCommit version 9 or above must be used by members of the consumer group protocol")]
    NoEpochs,
    /// A member that has not gone has the instance id (KIP-848).
    #[error("a member that has not left has the instance id {}", brief(.instance_id))]
    UnreleasedInstance {
        /// The name that only one may have.
        instance_id: String,
    },
    /// The work cannot be distributed so.
    #[error("ServerAssignor {} is not supported. Supported assignors: {supported}.", brief(.assignor))]
    UnsupportedAssignor {
        /// How it was to be distributed.
        assignor: String,
        /// How it can be.
        supported: String,
    },
    /// No topic's name could be compared with it.
    #[error("SubscribedTopicRegex is not a valid regular expression: {why}.")]
    InvalidRegex {
        /// What is wrong with it.
        why: String,
    },
    /// A request that nobody could mean.
    #[error("{why}")]
    InvalidRequest {
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is led by another protocol, and has members.
    #[error("Group {} is not a consumer group.", brief(.group))]
    NotConsumer {
        /// Its name.
        group: String,
    },
    /// The member must join again.
    #[error("the group is rebalanced")]
    RebalanceInProgress,
    /// The group's members do something else, or have no protocol in common with this one.
    #[error("the member's protocols are not the group's")]
    InconsistentProtocol,
    /// Outside of what the operator allows.
    #[error("a session's time-out lies between {min_ms} and {max_ms} ms")]
    InvalidSessionTimeout {
        /// The shortest.
        min_ms: u32,
        /// The longest.
        max_ms: u32,
    },
    /// It has as many members as it may have.
    #[error("the group is full")]
    Full,
    /// What is to be kept does not fit.
    #[error("{size} bytes are to be kept, {max} is the most")]
    TooLarge {
        /// How much it would be.
        size: usize,
        /// How much fits.
        max: usize,
    },
    /// Groups with members cannot be deleted.
    #[error("The group {} is not empty.", brief(.group))]
    NotEmpty {
        /// Its name.
        group: String,
    },
    /// Members read the topic: their offsets cannot be deleted.
    #[error("the group's members are subscribed to the topic")]
    Subscribed,
    /// More than the operator allows.
    #[error("an offset's metadata has at most {max} bytes")]
    MetadataTooLarge {
        /// The limit.
        max: usize,
    },
    /// Not a place in a partition.
    #[error("the offset is negative")]
    NegativeOffset,
    /// A transaction that is not ended will change the offset (KIP-447).
    #[error("a transaction that is not ended will change the offset")]
    UnstableOffset,
}

/// Of a name in a text: the protocol has room for names of 32,767 bytes, and for texts too, so that a text with the whole of such a name would be no answer.
const NAME_CHARS_MAX: usize = 255;

fn brief(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_what_it_is_about_as_far_as_texts_may_be_long() {
        let text = |name: &str| GroupError::UnknownGroup { group: name.to_owned() }.to_string();
        assert_eq!(text("g"), "Group g not found.");
        assert_eq!(text(&"ä".repeat(255)), format!("Group {} not found.", "ä".repeat(255)));
        assert_eq!(text(&"ä".repeat(16_383)), format!("Group {} not found.", "ä".repeat(255)));
        let name = || "n".repeat(32_767);
        for error in [
            GroupError::NotConsumer { group: name() },
            GroupError::NotEmpty { group: name() },
            GroupError::FencedInstance { instance_id: name() },
            GroupError::UnreleasedInstance { instance_id: name() },
            GroupError::UnsupportedAssignor { assignor: name(), supported: "uniform, range".to_owned() },
        ] {
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
}
