//! Leaders change their in-sync sets (KIP-497), by rules that keep late and mistaken ones out (KIP-903). Brokers tell which of their replicas cannot be used.

use std::collections::BTreeSet;

use klamm_model::{BrokerEpoch, BrokerId, TopicPartition};

use super::{
    AlterPartitionError, AlterPartitions, Controller, Decision, Elections, IsrProposal, LogFate,
    OfflineReplicas, PartitionAnswer, PartitionResult, Reply, reassign,
};
use crate::image::{Partition, Topic};
use crate::record::{BrokerState, Record};

impl Controller {
    pub(super) fn alter_partitions(&self, it: &AlterPartitions) -> Decision {
        if let Err(error) = self.current(it.broker, it.broker_epoch) {
            return Decision { records: Vec::new(), reply: Reply::AlterPartitions(Err(error)) };
        }
        let mut records = Vec::new();
        let mut answers: Vec<(TopicPartition, PartitionResult)> = Vec::new();
        let mut seen = BTreeSet::new();
        for proposal in &it.partitions {
            let at = proposal.partition;
            // A second proposal for a partition rests on the state before the first.
            let result = if !seen.insert(at) {
                Err(AlterPartitionError::Impossible { what: "the request names the partition twice" })
            } else {
                self.new_isr(it.broker, proposal)
            };
            let result = result.and_then(|(record, answer)| {
                records.extend(record);
                answer
            });
            answers.push((at, result));
        }
        Decision { records, reply: Reply::AlterPartitions(Ok(answers)) }
    }

    fn new_isr(
        &self,
        proposer: BrokerId,
        it: &IsrProposal,
    ) -> Result<(Option<Record>, PartitionResult), AlterPartitionError> {
        let topic = self
            .image
            .topic(it.partition.topic)
            .ok_or(AlterPartitionError::UnknownTopic { id: it.partition.topic })?;
        let partition = topic
            .partition(it.partition.partition)
            .ok_or(AlterPartitionError::UnknownPartition { partition: it.partition })?;
        check_epochs(proposer, partition, it)?;
        check_members(proposer, partition, it)?;
        // Who is in sync already may be: a broker that restarts is, where it has lost nothing, before it takes part again.
        let joining = it.isr.iter().filter(|(id, _)| !partition.isr.contains(id));
        let may_not = |(id, epoch): &&(BrokerId, Option<BrokerEpoch>)| {
            partition.offline.contains(id) || !self.is_eligible(*id, *epoch)
        };
        if let Some((id, _)) = joining.into_iter().find(may_not) {
            return Err(AlterPartitionError::Ineligible { id: *id });
        }
        let isr = it.isr.iter().map(|(id, _)| *id).collect();
        let after = reassign::completed(Partition { isr, ..Partition::clone(partition) });
        let (after, record) = self.elections().change(it.partition, topic, partition, after);
        let mut answer = PartitionAnswer {
            leader: proposer,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: after.isr.clone(),
        };
        let is_led_by_proposer = after.leader == Some(proposer);
        answer.partition_epoch.0 += i32::from(record.is_some());
        let answer = if is_led_by_proposer { Ok(answer) } else { Err(AlterPartitionError::NewLeader) };
        Ok((record, answer))
    }

    pub(super) fn replicas_offline(&mut self, it: &OfflineReplicas) -> Decision {
        let state = self.current(it.broker, it.broker_epoch).map(|broker| broker.state);
        let stale = state.as_ref().err().cloned();
        let named: BTreeSet<_> = it.partitions.iter().copied().filter(|_| stale.is_none()).collect();
        let records = match it.fate {
            LogFate::Offline => {
                self.each_of(&named, |rules, at, topic, it_is| rules.go_offline(it.broker, at, topic, it_is))
            }
            LogFate::Gone => {
                let mut records = self.begin_anew((it.broker, it.broker_epoch), &named);
                // It says so before it takes part. Later it may have caught up since: what is said late or twice takes nothing from it.
                if state == Ok(BrokerState::Fenced) {
                    records.extend(self.each_of(&named, |rules, at, topic, it_is| {
                        if it_is.has_no_heir() { None } else { rules.lose(it.broker, at, topic, it_is) }
                    }));
                }
                records
            }
        };
        Decision { records, reply: Reply::ReplicasOffline(stale.map_or(Ok(()), Err)) }
    }

    fn each_of(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        change: impl Fn(&Elections<'_>, TopicPartition, &Topic, &Partition) -> Option<Record>,
    ) -> Vec<Record> {
        let rules = self.elections();
        let changed = partitions.iter().filter_map(|at| {
            let topic = self.image.topic(at.topic)?;
            change(&rules, *at, topic, topic.partition(at.partition)?)
        });
        changed.collect()
    }

    /// One more says that it has nothing. Where that is all of them, nobody lacks anything.
    fn begin_anew(
        &mut self,
        by: (BrokerId, BrokerEpoch),
        partitions: &BTreeSet<TopicPartition>,
    ) -> Vec<Record> {
        let empty = self.emptiness.said(&self.image, by, partitions);
        self.each_of(&empty, |rules, at, topic, before| {
            let can_be_used = |id: &BrokerId| !before.offline.contains(id);
            let isr = before.replicas.iter().copied().filter(can_be_used).collect();
            // A reassignment may have waited for just that.
            let after = reassign::completed(Partition { isr, ..before.clone() });
            rules.change(at, topic, before, after).1
        })
    }

    /// Whether a broker may be in sync: one that takes part, and has not restarted since it caught up.
    fn is_eligible(&self, id: BrokerId, epoch: Option<BrokerEpoch>) -> bool {
        self.image.broker(id).is_some_and(|it| it.is_active() && epoch.is_none_or(|epoch| epoch == it.epoch))
    }
}

fn check_epochs(
    proposer: BrokerId,
    partition: &Partition,
    it: &IsrProposal,
) -> Result<(), AlterPartitionError> {
    if partition.leader_epoch < it.leader_epoch || partition.partition_epoch < it.partition_epoch {
        return Err(AlterPartitionError::AheadOfController);
    }
    if it.leader_epoch < partition.leader_epoch {
        return Err(AlterPartitionError::OldLeaderEpoch {
            given: it.leader_epoch,
            current: partition.leader_epoch,
        });
    }
    if partition.leader != Some(proposer) {
        return Err(AlterPartitionError::NotLeader { proposer, leader: partition.leader });
    }
    if it.partition_epoch < partition.partition_epoch {
        return Err(AlterPartitionError::OldPartitionEpoch {
            given: it.partition_epoch,
            current: partition.partition_epoch,
        });
    }
    Ok(())
}

fn check_members(
    proposer: BrokerId,
    partition: &Partition,
    it: &IsrProposal,
) -> Result<(), AlterPartitionError> {
    let impossible = |what| Err(AlterPartitionError::Impossible { what });
    for (at, (id, _)) in it.isr.iter().enumerate() {
        if it.isr[..at].iter().any(|(earlier, _)| earlier == id) {
            return impossible("a broker is named twice");
        }
        // Bounds the loop above: there are few replicas.
        if !partition.replicas.contains(id) {
            return impossible("a broker has no replica");
        }
    }
    if it.isr.iter().all(|(id, _)| *id != proposer) {
        return impossible("the leader is not in it");
    }
    Ok(())
}
