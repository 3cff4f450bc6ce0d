//! The group goes over to the consumer protocol, or comes from it, with all its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use klamm_cluster::Image;
use klamm_wire::DecodeError;
use klamm_wire::consumer_protocol::SubscriptionTopicPartition;

use super::{CONSUMER, Classic, Member, phase_timer};
use crate::Entry;
use crate::group::GroupError;
use crate::group::consumer::{by_topic, sorted};
use crate::group::embedded;
use crate::group::migration::Migrant;
use crate::group::turn::Turn;
use crate::record::{ConsumerMember, GroupRecord, UpgradedMember};

impl Classic {
    /// Not among them is who never had work here: it comes again as a new one.
    pub(in crate::group) fn migrants(&self, image: &Image) -> Result<Vec<Migrant>, DecodeError> {
        let mut taken = BTreeSet::new();
        let migrant = |(id, member): (&Arc<str>, &Member)| {
            let given = embedded::assignment(&member.assignment)?.assigned_partitions;
            let given = given.iter().flat_map(|of| embedded::known(image, &of.topic, &of.partitions));
            // What a leader gave to two is the first one's.
            let has = given.filter(|it| taken.insert(*it)).collect();
            Ok(Migrant { id: id.clone(), said: member.introduced()?.0, has })
        };
        self.members.iter().filter(|(_, it)| self.has_had_work(it)).map(migrant).collect()
    }

    fn has_had_work(&self, member: &Member) -> bool {
        0 < self.generation && !member.is_new
    }

    /// It is no more: whoever waits is told.
    pub(in crate::group) fn end(&mut self, turn: &mut Turn<'_>) {
        self.dismiss(turn);
        self.phase.cancel(&mut turn.shared.timers, phase_timer(&self.name));
        let is_new: Vec<bool> = self.members.values().map(|it| !self.has_had_work(it)).collect();
        for ((id, member), is_new) in self.members.iter_mut().zip(is_new) {
            member.end_session(turn, &self.name, id);
            if let Some(parked) = member.parked.take() {
                let why = if is_new { GroupError::UnknownMember } else { GroupError::RebalanceInProgress };
                parked.refuse(turn, why);
            }
        }
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
        for Migrant { id, said, has } in members {
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
