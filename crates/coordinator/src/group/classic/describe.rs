//! What operators see of a group.

use super::{Classic, ClassicState};
use crate::group::{DescribedMember, Description, GroupType, Listed};

impl Classic {
    pub(in crate::group) fn describe(&self) -> Description {
        let is_stable = self.state == ClassicState::Stable;
        let protocol = self.protocol.clone().filter(|_| is_stable);
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            id: id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscription: protocol.as_deref().map(|it| member.subscription(it)).unwrap_or_default(),
            assignment: if is_stable { member.assignment.clone() } else { Default::default() },
        });
        Description {
            state: self.state(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        }
    }

    pub(in crate::group) fn list(&self) -> Listed {
        Listed {
            group: self.name.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state(),
            group_type: GroupType::Classic,
        }
    }
}
