//! One request, one decision.

use klamm_model::Now;

use super::commit::{Results, each};
use super::{
    Commit, ConsumerBeat, ConsumerHeartbeat, DeleteOffsets, Group, GroupError, GroupState, Groups, Join,
    Leave, Left, List, Listed, NAME_SIZE_MAX, Presence, Reply, Request, TxnCommit, obtain,
};
use crate::{Effects, RequestId};

/// Ways to distribute the work that a member of the classic protocol may name: clients have a handful, and each is compared with those of the other members.
const PROTOCOLS_MAX: usize = 100;

type Out = Effects<(RequestId, Reply)>;

impl Groups {
    /// Whether the answer to a request may rest on records that it makes.
    pub fn may_write(&self, request: &Request) -> bool {
        let image_count = self.shared.image_count;
        let consumer = |group: &str| self.groups.get(group).and_then(|group| group.consumer());
        match request {
            Request::ConsumerHeartbeat(it) => {
                !consumer(&it.group).is_some_and(|consumer| consumer.is_news_free(it, image_count))
            }
            Request::Heartbeat(it) => {
                consumer(&it.group).is_some_and(|consumer| !consumer.has_seen(image_count))
            }
            Request::Join(_)
            | Request::Sync(_)
            | Request::Leave(_)
            | Request::Commit(_)
            | Request::TxnCommit(_)
            | Request::DeleteOffsets(_)
            | Request::DeleteGroup(_) => true,
            Request::FetchOffsets(_)
            | Request::Describe(_)
            | Request::DescribeConsumer(_)
            | Request::List(_) => false,
        }
    }

    /// `None`: it was answered, or waits for others.
    pub(super) fn decide(
        &mut self,
        now: Now,
        id: RequestId,
        request: Request,
        out: &mut Out,
    ) -> Option<Reply> {
        let (groups, mut turn) = self.split(now, out);
        Some(match request {
            Request::Join(it) => match self.join(now, id, &it, out) {
                Ok(()) => return None,
                Err(why) => Reply::Join(Err(why)),
            },
            Request::Sync(it) => match groups.get_mut(&*it.group) {
                Some(group) => {
                    group.sync(&mut turn, id, &it);
                    return None;
                }
                None => Reply::Sync(Err(no_member_of(&it.group))),
            },
            Request::Heartbeat(it) => Reply::Heartbeat(match groups.get_mut(&*it.group) {
                Some(group) => group.heartbeat(&mut turn, &it.member),
                None => Err(no_member_of(&it.group)),
            }),
            Request::ConsumerHeartbeat(it) => {
                Reply::ConsumerHeartbeat(self.consumer_heartbeat(now, &it, out))
            }
            Request::Leave(it) => Reply::Leave(self.leave(now, it, out)),
            Request::Commit(it) => Reply::Commit(self.commit(now, it, out)),
            Request::TxnCommit(it) => Reply::TxnCommit(self.txn_commit(now, it, out)),
            Request::FetchOffsets(it) => Reply::FetchOffsets(match groups.get(&*it.group) {
                Some(group) => group.fetch_offsets(it),
                None => Ok(each(it.topics.unwrap_or_default(), |_, _, _, ()| Ok(None))),
            }),
            Request::DeleteOffsets(it) => Reply::DeleteOffsets(self.delete_offsets(now, it, out)),
            Request::DeleteGroup(group) => Reply::DeleteGroup(self.delete(now, group, out)),
            Request::Describe(group) => {
                Reply::Describe(match groups.get_mut(&*group).and_then(|it| it.classic()) {
                    Some(it) => Ok(it.describe()),
                    None => Err(GroupError::UnknownGroup { group }),
                })
            }
            Request::DescribeConsumer(group) => Reply::DescribeConsumer(match groups.get(&*group) {
                Some(it) => match it.consumer() {
                    Some(it) => Ok(it.describe(turn.config)),
                    None => Err(GroupError::NotConsumer { group }),
                },
                None => Err(GroupError::UnknownGroup { group }),
            }),
            Request::List(it) => Reply::List(self.list(&it)),
        })
    }

    fn join(&mut self, now: Now, id: RequestId, it: &Join, out: &mut Out) -> Result<(), GroupError> {
        check_id(&it.group)?;
        let (min_ms, max_ms) = (self.config.session_timeout_ms_min, self.config.session_timeout_ms_max);
        if !u32::try_from(it.session_timeout_ms).is_ok_and(|ms| (min_ms..=max_ms).contains(&ms)) {
            return Err(GroupError::InvalidSessionTimeout { min_ms, max_ms });
        }
        if it.instance_id.as_ref().is_some_and(|it| NAME_SIZE_MAX < it.len()) {
            return Err(GroupError::InvalidId { max: NAME_SIZE_MAX });
        }
        let mut names = it.protocols.iter().map(|(name, _)| name).chain([&it.protocol_type]);
        if PROTOCOLS_MAX < it.protocols.len() || names.any(|it| NAME_SIZE_MAX < it.len()) {
            return Err(GroupError::InconsistentProtocol);
        }
        let (groups, mut turn) = self.split(now, out);
        // Only a client that is new may bring a group with it.
        let is_there = |group: &Group| group.consumer().is_none() || !group.protocol.is_unused();
        if !it.member_id.is_empty() && !groups.get(&*it.group).is_some_and(is_there) {
            return Err(GroupError::UnknownMember);
        }
        obtain(groups, &it.group).join(&mut turn, id, it);
        let surplus = turn.shared.pending.surplus();
        if let Some((group, newcomer)) = &surplus
            && let Some(classic) = groups.get_mut(group).and_then(Group::classic)
        {
            classic.give_up_on(&mut turn, newcomer);
        }
        self.sweep(&it.group);
        if let Some((group, _)) = surplus {
            self.sweep(&group);
        }
        Ok(())
    }

    fn consumer_heartbeat(
        &mut self,
        now: Now,
        it: &ConsumerHeartbeat,
        out: &mut Out,
    ) -> Result<ConsumerBeat, GroupError> {
        check_id(&it.group)?;
        it.check(&self.config.consumer_assignors)?;
        let (groups, mut turn) = self.split(now, out);
        // Whoever was a member of a group that is gone may join again, which it would not if it were told that there is no such group.
        if it.presence != Presence::Joins && !groups.contains_key(&*it.group) {
            return Err(GroupError::UnknownMember);
        }
        let beat = obtain(groups, &it.group).consumer_heartbeat(&mut turn, it);
        self.sweep(&it.group);
        beat
    }

    fn leave(&mut self, now: Now, it: Leave, out: &mut Out) -> Result<Vec<Left>, GroupError> {
        check_id(&it.group)?;
        let (groups, mut turn) = self.split(now, out);
        let Some(group) = groups.get_mut(&*it.group) else {
            let nobody = |it: super::Leaving| Left {
                member_id: it.member_id,
                instance_id: it.instance_id,
                result: Err(GroupError::UnknownMember),
            };
            return Ok(it.members.into_iter().map(nobody).collect());
        };
        let left = group.leave(&mut turn, it.members);
        self.sweep(&it.group);
        Ok(left)
    }

    fn commit(&mut self, now: Now, it: Commit, out: &mut Out) -> Results {
        // Old clients have no name for what they use alone.
        if !it.group.is_empty() {
            check_id(&it.group)?;
        }
        let (groups, mut turn) = self.split(now, out);
        if it.member.generation.is_some() && !groups.contains_key(&*it.group) {
            return Err(GroupError::UnknownGroup { group: it.group });
        }
        let group = obtain(groups, &it.group);
        let name = group.name.clone();
        let results = group.commit(&mut turn, it);
        self.sweep(&name);
        results
    }

    fn txn_commit(&mut self, now: Now, it: TxnCommit, out: &mut Out) -> Results {
        check_id(&it.group)?;
        let (groups, mut turn) = self.split(now, out);
        if it.member.generation.is_some() && !groups.contains_key(&*it.group) {
            return Err(GroupError::IllegalGeneration);
        }
        let group = obtain(groups, &it.group);
        let name = group.name.clone();
        let producer = it.producer.id;
        let results = group.txn_commit(&mut turn, it);
        if group.offsets.is_changed_by(producer) {
            self.transactions.entry(producer).or_default().insert(name.clone());
        }
        self.sweep(&name);
        results
    }

    fn delete_offsets(&mut self, now: Now, it: DeleteOffsets, out: &mut Out) -> Results {
        check_id(&it.group)?;
        let (groups, mut turn) = self.split(now, out);
        let Some(group) = groups.get_mut(&*it.group) else {
            return Err(GroupError::UnknownGroup { group: it.group });
        };
        let name = group.name.clone();
        let results = group.delete_offsets(&mut turn, it);
        self.sweep(&name);
        results
    }

    fn delete(&mut self, now: Now, name: String, out: &mut Out) -> Result<(), GroupError> {
        let (groups, mut turn) = self.split(now, out);
        let Some(group) = groups.get_mut(&*name) else {
            return Err(GroupError::UnknownGroup { group: name });
        };
        if group.protocol.state() != GroupState::Empty {
            return Err(GroupError::NotEmpty { group: name });
        }
        let entries = group.forget_all(&mut turn);
        groups.remove(&*name);
        turn.append(None, entries);
        Ok(())
    }

    fn list(&self, it: &List) -> Vec<Listed> {
        let is_wanted = |group: &Listed| {
            it.states.as_ref().is_none_or(|states| states.contains(&group.state))
                && it.types.as_ref().is_none_or(|types| types.contains(&group.group_type))
        };
        self.groups.values().map(|group| group.protocol.list()).filter(is_wanted).collect()
    }
}

fn check_id(group: &str) -> Result<(), GroupError> {
    let is_name = (1..=NAME_SIZE_MAX).contains(&group.len());
    if is_name { Ok(()) } else { Err(GroupError::InvalidId { max: NAME_SIZE_MAX }) }
}

/// Without the group there is no such member; unless it could not be a group at all.
fn no_member_of(group: &str) -> GroupError {
    check_id(group).err().unwrap_or(GroupError::UnknownMember)
}
