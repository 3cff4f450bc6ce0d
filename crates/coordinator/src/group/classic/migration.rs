//! The group goes over to the consumer protocol, or comes from it, with all its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use klamm_cluster::Image;
use klamm_wire::DecodeError;
use klamm_wire::consumer_protocol::SubscriptionTopicPartition;

use super::{CONSUMER, Classic, Member, Parked, phase_timer};
use crate::group::consumer::{by_topic, sorted};
use crate::group::embedded;
use crate::group::migration::Migrant;
use crate::group::turn::Turn;
use crate::group::{GroupError, Join};
use crate::record::{ConsumerMember, GroupRecord, UpgradedMember};
use crate::{Entry, RequestId};

impl Classic {
    /// Not among them is who never had work here: it comes again as a new one.
    pub(in crate::group) fn migrants(&self, image: &Image) -> Result<Vec<Migrant>, DecodeError> {
        let mut taken = BTreeSet::new();
        let mut migrants = Vec::new();
        let mut all_owned = Vec::new();
        for (id, member) in self.members.iter().filter(|(_, it)| self.has_had_work(it)) {
            let given = embedded::assignment(&member.assignment)?.assigned_partitions;
            let given = given.iter().flat_map(|of| embedded::known(image, &of.topic, &of.partitions));
            // What a leader gave to two is the first one's.
            let has = given.filter(|it| taken.insert(*it)).collect();
            let (said, owned) = member.introduced()?;
            all_owned.push(owned);
            migrants.push(Migrant { id: id.clone(), said, has, gives_up: BTreeSet::new() });
        }
        // A cooperative member joined with what it had, and may just be giving up what its leader takes from it: that is nobody's until it comes again.
        for (migrant, owned) in migrants.iter_mut().zip(all_owned) {
            let owned = owned.iter().flat_map(|of| embedded::known(image, &of.topic, &of.partitions));
            migrant.gives_up = owned.filter(|it| taken.insert(*it)).collect();
        }
        Ok(migrants)
    }

    fn has_had_work(&self, member: &Member) -> bool {
        0 < self.generation && !member.is_new
    }

    /// It is no more. Whoever waits for its work is told; whoever waits to join is to join what comes after it.
    pub(in crate::group) fn end(&mut self, turn: &mut Turn<'_>) -> Vec<(RequestId, Join)> {
        self.dismiss(turn);
        self.phase.cancel(&mut turn.shared.timers, phase_timer(&self.name));
        let mut joining = Vec::new();
        for (id, mut member) in std::mem::take(&mut self.members) {
            member.end_session(turn, &self.name, &id);
            match member.parked {
                None => {}
                Some(Parked::Join(request)) => {
                    let id = if self.has_had_work(&member) { id.to_string() } else { String::new() };
                    joining.push((request, member.join(self.name.to_string(), id)));
                }
                Some(sync @ Parked::Sync(_)) => sync.refuse(turn, GroupError::RebalanceInProgress),
            }
        }
        joining
    }

    /// A group of these members, which have no leader yet. `None`: they have no protocol in common.
    pub(in crate::group) fn of(
        name: Arc<str>,
        generation: i32,
        members: impl Iterator<Item = Migrant>,
        turn: &Turn<'_>,
        log: &mut Vec<Entry>,
    ) -> Option<Self> {
        let mut it = Self::new(name);
        for Migrant { id, said, has, .. } in members {
            let classic = said.upgraded?;
            let like = classic.protocols.first()?.1.clone();
            it.enlist(
                id,
                Member {
                    instance_id: said.instance_id,
                    client_id: said.client_id,
                    client_host: said.client_host,
                    rebalance_timeout_ms: said.rebalance_timeout_ms,
                    session_timeout_ms: classic.session_timeout_ms,
                    protocols: classic.protocols,
                    assignment: embedded::given(by_topic(&has), &turn.shared.image, &like),
                    ..Member::default()
                },
            );
        }
        it.generation = generation;
        it.protocol_type = Some(CONSUMER.to_owned());
        it.protocol = Some(it.select_protocol()?);
        it.since = Some(turn.now.wall);
        let record = it.record();
        it.apply(&record);
        log.push(GroupRecord::Classic { group: it.name.to_string(), value: Some(record) }.encode());
        Some(it)
    }
}

impl Member {
    /// What it asked for, as far as that is kept.
    fn join(self, group: String, member_id: String) -> Join {
        Join {
            group,
            member_id,
            instance_id: self.instance_id,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            protocol_type: CONSUMER.to_owned(),
            protocols: self.protocols,
            ..Join::default()
        }
    }

    /// What is known of it, in the words of the consumer protocol, and what it says that it has.
    pub(in crate::group) fn introduced(
        &self,
    ) -> Result<(ConsumerMember, Vec<SubscriptionTopicPartition>), DecodeError> {
        let said = self.protocols.first().map(|(_, said)| said.clone()).unwrap_or_default();
        let subscription = embedded::subscription(&said)?;
        let said = ConsumerMember {
            instance_id: self.instance_id.clone(),
            rack: subscription.rack_id,
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topics: sorted(subscription.topics),
            topic_regex: None,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            assignor: None,
            upgraded: Some(UpgradedMember {
                session_timeout_ms: self.session_timeout_ms,
                protocols: self.protocols.clone(),
            }),
        };
        Ok((said, subscription.owned_partitions))
    }
}
