//! Members that speak the classic protocol. They join, sync and beat as ever; but nobody leads them: what they get is what the group's assignor gives them.
//!
//! ```text
//!   the work is distributed anew                beat -> "rebalance in progress"
//!   the member has something to give up,   \    join -> its epoch, as a generation      the cooperative say with it what they have, the others have given up all
//!   or what it waits for has come free      -   sync -> what it may have
//! ```

use std::sync::Arc;

use super::heartbeat::{Who, new_id};
use super::member::Member;
use super::partitions::{Partitions, by_topic};
use super::reconcile::Voice;
use super::{Consumer, GroupError};
use crate::Entry;
use crate::group::classic;
use crate::group::embedded::{self, CONSUMER};
use crate::group::turn::Turn;
use crate::group::{Identity, Join, Joined, Sync, Synced};
use crate::record::Reconciliation;

impl Consumer {
    pub(in crate::group) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        it: &Join,
    ) -> Result<Joined, GroupError> {
        if !self.supports(it) {
            return Err(GroupError::InconsistentProtocol);
        }
        let introduced = classic::Member::of_join(it).introduced();
        let (said, owned) = introduced.map_err(|_| GroupError::InconsistentProtocol)?;
        let image = &turn.shared.image;
        let owned = owned.iter().flat_map(|of| embedded::known(image, &of.topic, &of.partitions));
        let owned = owned.collect::<Partitions>();
        let who = self.admit_classic(turn, it)?;
        let cause = self.keep(turn, log, &who, said)?;
        let (id, name) = (who.id, self.name.clone());
        let member = self.member_mut(&id);
        member.begin_session(turn, &name, &id);
        // It has done what it was told, and is to fetch its work now.
        member.release(turn, &name, &id);
        member.expect(turn, &name, &id);
        member.owes_sync = true;
        self.distribute(turn, log, cause, &id)?;
        self.reconcile(turn, log, &id, Voice::Classic, Some(&owned))?;
        let member = &self.members[&id];
        Ok(Joined {
            generation: member.has.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol: member.first_protocol().map(|(name, _)| name.clone()),
            leader: String::new(),
            member_id: id.to_string(),
            skips_assignment: false,
            members: Vec::new(),
        })
    }

    /// Whether a protocol remains that all have who speak the classic one: they may be left to themselves.
    fn supports(&self, it: &Join) -> bool {
        let others = self.members.iter().filter(|(id, _)| ***id != *it.member_id);
        let others = || others.clone().filter_map(|(_, member)| member.said.upgraded.as_ref());
        let have_all = |name: &str| others().all(|it| it.protocols.iter().any(|(known, _)| known == name));
        it.protocol_type == CONSUMER && it.protocols.iter().any(|(name, _)| have_all(name))
    }

    /// Who it is, if it may be here. Whoever is none of the members may bring an id along that it was told once.
    fn admit_classic(&self, turn: &mut Turn<'_>, it: &Join) -> Result<Who, GroupError> {
        let client = it.instance_id.as_ref().unwrap_or(&it.client_id);
        if let Some(instance_id) = &it.instance_id {
            match self.instances.get(instance_id) {
                Some(old_id) if it.member_id.is_empty() => {
                    return Ok(Who { id: new_id(turn, "", client), replaces: Some(old_id.clone()) });
                }
                Some(id) if **id != *it.member_id => {
                    return Err(GroupError::FencedInstance { instance_id: instance_id.clone() });
                }
                None if !it.member_id.is_empty() => return Err(GroupError::UnknownMember),
                _ => {}
            }
        }
        if let Some((id, member)) = self.members.get_key_value(&*it.member_id) {
            let is_it = member.said.upgraded.is_some();
            return if is_it {
                Ok(Who { id: id.clone(), replaces: None })
            } else {
                Err(GroupError::UnknownMember)
            };
        }
        if turn.config.consumer_members_max <= self.members.len() {
            return Err(GroupError::Full);
        }
        let id = new_id(turn, &it.member_id, client);
        if it.member_id.is_empty() && it.instance_id.is_none() && it.can_learn_id {
            return Err(GroupError::MemberIdRequired { member_id: id.to_string() });
        }
        Ok(Who { id, replaces: None })
    }

    pub(in crate::group) fn sync(&mut self, turn: &mut Turn<'_>, it: &Sync) -> Result<Synced, GroupError> {
        let id = self.find_classic(&it.member)?;
        let has = &self.members[&id].has;
        let (protocol, said) = self.members[&id].first_protocol().expect("checked to be a classic member");
        let differs = |given: &Option<String>, ours: &str| given.as_ref().is_some_and(|it| it != ours);
        if differs(&it.protocol_type, CONSUMER) || differs(&it.protocol, protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        let synced = Synced {
            protocol_type: CONSUMER.to_owned(),
            protocol: Some(protocol.clone()),
            assignment: embedded::given(by_topic(has.assigned.keys()), &turn.shared.image, said),
        };
        // One that has to give something up gets what it may keep first.
        let is_behind = has.epoch < self.epoch && has.state != Reconciliation::Revoking;
        let name = self.name.clone();
        let member = self.member_mut(&id);
        if is_behind {
            member.expect(turn, &name, &id);
            return Err(GroupError::RebalanceInProgress);
        }
        member.begin_session(turn, &name, &id);
        // Whoever was told to join does not get away with less.
        if std::mem::take(&mut member.owes_sync) {
            member.release(turn, &name, &id);
        }
        Ok(synced)
    }

    pub(in crate::group) fn beat(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        who: &Identity,
    ) -> Result<(), GroupError> {
        let id = self.find_classic(who)?;
        let name = self.name.clone();
        self.member_mut(&id).begin_session(turn, &name, &id);
        self.look_at_topics(turn, log, None, &id);
        if !self.must_join(&id) {
            return Ok(());
        }
        self.member_mut(&id).expect(turn, &name, &id);
        Err(GroupError::RebalanceInProgress)
    }

    fn must_join(&self, id: &Arc<str>) -> bool {
        let Member { has, target, .. } = &self.members[id];
        let mut missing = target.iter().filter(|it| !has.assigned.contains_key(it));
        has.epoch < self.epoch
            || match has.state {
                Reconciliation::Stable => false,
                Reconciliation::Revoking | Reconciliation::Unknown => true,
                Reconciliation::Waiting => missing.all(|it| !self.owners.contains_key(it)),
            }
    }

    fn find_classic(&self, who: &Identity) -> Result<Arc<str>, GroupError> {
        let id = self.find(&who.member_id, who.instance_id.as_deref())?;
        let member = &self.members[&id];
        if member.first_protocol().is_none() {
            return Err(GroupError::UnknownMember);
        }
        if who.generation == Some(member.has.epoch) { Ok(id) } else { Err(GroupError::IllegalGeneration) }
    }
}
