//! What came of a line, in words that are short.

use bytes::Bytes;
use klamm_wire::consumer_protocol::AssignmentTopicPartition;

use super::Rig;
use crate::group::{ByTopic, GroupError, Reply, embedded};
use crate::record::{ClassicGroup, CommittedOffset, GroupRecord};

impl Rig {
    pub(super) fn record(&mut self, record: GroupRecord) -> String {
        match record {
            GroupRecord::Offset { group, topic, partition, value } => match value {
                Some(it) => format!("{group} {topic}/{partition}={}", offset(&it)),
                None => format!("{group} {topic}/{partition} forgotten"),
            },
            GroupRecord::Classic { group, value: Some(it) } => format!("{group} {}", self.generation(&it)),
            GroupRecord::Classic { group, value: None } => format!("{group} is gone"),
            other => self.consumer_record(&other),
        }
    }

    fn generation(&mut self, it: &ClassicGroup) -> String {
        let leader = it.leader.as_deref().map_or("nobody".to_owned(), |id| self.name(id));
        let members = it.members.iter().map(|it| format!("{}({})", self.name(&it.id), text(&it.assignment)));
        let members = members.collect::<Vec<_>>().join(" ");
        let protocol = it.protocol.as_deref().unwrap_or("none");
        format!("generation {} {protocol} led by {leader}: {members}", it.generation).trim_end().to_owned()
    }

    pub(super) fn reply(&mut self, who: &str, reply: Reply) -> String {
        match reply {
            Reply::Join(Ok(it)) => {
                let client = self.clients.get_mut(who).expect("who asks is known");
                client.member.member_id.clone_from(&it.member_id);
                client.member.generation = Some(it.generation);
                client.reads.clear();
                let members = it.members.iter().map(|it| self.name(&it.id)).collect::<Vec<_>>().join(" ");
                let (me, leader) = (self.name(&it.member_id), self.name(&it.leader));
                let protocol = it.protocol.unwrap_or_default();
                let skips = if it.skips_assignment { " nothing to assign" } else { "" };
                let of = if members.is_empty() { String::new() } else { format!(" of {members}") };
                format!("{me} joined {} {protocol} led by {leader}{of}{skips}", it.generation)
            }
            Reply::Join(Err(GroupError::MemberIdRequired { member_id })) => {
                let name = self.name(&member_id);
                self.clients.get_mut(who).expect("who asks is known").member.member_id = member_id;
                format!("is {name}")
            }
            Reply::Sync(Ok(it)) => {
                let given = embedded::assignment(&it.assignment).unwrap_or_default().assigned_partitions;
                let image = &self.topics.image;
                let given = given.iter().flat_map(|of| embedded::known(image, &of.topic, &of.partitions));
                let client = self.clients.get_mut(who).expect("who asks is known");
                client.reads = given.collect();
                format!("works on {}", text(&it.assignment))
            }
            Reply::Heartbeat(Ok(())) | Reply::DeleteGroup(Ok(())) => "ok".to_owned(),
            Reply::Leave(Ok(it)) => {
                let left = it.iter().map(|it| result(it.result.as_ref().map(|()| "left".to_owned())));
                left.collect::<Vec<_>>().join(", ")
            }
            Reply::Commit(Ok(it)) | Reply::TxnCommit(Ok(it)) | Reply::DeleteOffsets(Ok(it)) => {
                topics(&it, |()| "ok".to_owned())
            }
            Reply::FetchOffsets(Ok(it)) => topics(&it, |it| it.as_ref().map_or("none".to_owned(), offset)),
            Reply::ConsumerHeartbeat(Ok(it)) => self.beat(&it),
            Reply::DescribeConsumer(Ok(it)) => self.consumer(&it),
            Reply::Describe(Ok(it)) => {
                let members = it.members.iter().map(|it| {
                    let instance = it.instance_id.as_ref().map_or(String::new(), |it| format!("={it}"));
                    format!(" {}{instance}({})", self.name(&it.id), text(&it.assignment))
                });
                let members: String = members.collect();
                let protocol = it.protocol.unwrap_or_default();
                format!("{} {:?} {protocol:?}{members}", it.state.name(), it.protocol_type)
            }
            Reply::List(it) => {
                let groups = it.iter().map(|it| {
                    format!(
                        "{} {:?} {} {}",
                        it.group,
                        it.protocol_type,
                        it.state.name(),
                        it.group_type.name()
                    )
                });
                let groups = groups.collect::<Vec<_>>().join("\n");
                if groups.is_empty() { "no groups".to_owned() } else { groups }
            }
            Reply::Join(Err(why))
            | Reply::Sync(Err(why))
            | Reply::Heartbeat(Err(why))
            | Reply::Leave(Err(why))
            | Reply::Commit(Err(why))
            | Reply::TxnCommit(Err(why))
            | Reply::DeleteOffsets(Err(why))
            | Reply::FetchOffsets(Err(why))
            | Reply::ConsumerHeartbeat(Err(why))
            | Reply::DescribeConsumer(Err(why))
            | Reply::DeleteGroup(Err(why))
            | Reply::Describe(Err(why)) => error(&why),
        }
    }

    /// `a` for the first id that was made for `a`, `a'` for the next.
    pub(super) fn name(&mut self, id: &str) -> String {
        const UUID: usize = "-00000000-0000-0000-0000-000000000000".len();
        if let Some(name) = self.names.get(id) {
            return name.clone();
        }
        // Members of the consumer protocol have made their own, which are short here.
        let mut name = id[..id.len().checked_sub(UUID).unwrap_or(id.len())].to_owned();
        while !self.taken.insert(name.clone()) {
            name.push('\'');
        }
        self.names.insert(id.to_owned(), name.clone());
        name
    }
}

/// What members are given is words, or partitions.
fn text(bytes: &Bytes) -> String {
    let Ok(given) = embedded::assignment(bytes) else { return String::from_utf8_lossy(bytes).into_owned() };
    let of = |it: &AssignmentTopicPartition| {
        let indexes = it.partitions.iter().map(ToString::to_string).collect::<String>();
        format!("{}/{indexes}", it.topic)
    };
    given.assigned_partitions.iter().map(of).collect::<Vec<_>>().join("+")
}

fn offset(it: &CommittedOffset) -> String {
    let metadata = if it.metadata.is_empty() { String::new() } else { format!(" {:?}", it.metadata) };
    let expires = it.expires_at.map_or(String::new(), |at| format!(" until {at}"));
    format!("{}{metadata}{expires}", it.offset)
}

fn topics<T>(all: &ByTopic<Result<T, GroupError>>, show: impl Fn(&T) -> String) -> String {
    let each = all.iter().flat_map(|it| it.partitions.iter().map(move |at| (&it.topic, at)));
    let each = each.map(|(topic, (index, it))| format!("{topic}/{index} {}", result(it.as_ref().map(&show))));
    let each = each.collect::<Vec<_>>().join(", ");
    if each.is_empty() { "nothing".to_owned() } else { each }
}

fn result(it: Result<String, &GroupError>) -> String {
    it.unwrap_or_else(error)
}

/// The name of the error: its text is nobody's contract.
fn error(why: &GroupError) -> String {
    let text = format!("{why:?}");
    text.split([' ', '{']).next().expect("a name").to_owned()
}
