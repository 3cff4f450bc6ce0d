//! What the world knows of coordinators: which transactions have no end yet, and what brokers make of requests on purpose.

use klamm_coordinator::record::TransactionState;
use klamm_model::{PartitionIndex, TopicId, TopicPartition};
use klamm_wire::{
    ConsumerGroupHeartbeatResponse, HeartbeatResponse, OffsetCommitRequest, OffsetCommitResponse, Request,
    Response, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    create_topics::CreatableTopicConfig,
    offset_commit::{OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    write_txn_markers::{
        WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
        WritableTxnMarkerTopicResult,
    },
};

use super::World;
use crate::{
    BROKER_COUNT, broker_id, check::is_under_way, client::UNCLEAN, renewals, stored::Stored, timeline::Life,
};

/// Where the coordinators keep what they know.
const TRANSACTIONS: &str = "__transaction_state";
const GROUPS: &str = "__consumer_offsets";

/// What brokers make of requests on purpose: the rule is broken before the request reaches the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BrokerSabotage {
    /// Nothing.
    #[default]
    Nothing,
    /// EndTxn ends whatever is open, whoever asks.
    EndsWhateverIsOpen,
    /// A mark that another broker is to write says the opposite.
    TurnsMarks,
    /// It is said to be written, and is not.
    LosesMarks,
    /// Whoever wants to read only what is stable is given everything that is committed by its replicas.
    ServesUnstable,
    /// Whoever commits for a group is taken for a member that it has.
    TakesAnyCommit,
    /// Commits of groups are said to be taken, and are not.
    LosesCommits,
    /// Whoever names a topic that is gone by its id is taken to mean the one of its name that there is.
    TakesAnyTopicId,
    /// Members of groups are told that they are some, whatever became of them.
    FencesNobody,
    /// Configs are said to be altered, and are only looked at.
    AltersNothing,
    /// Whoever is told to stop does so at once.
    HandsNothingOver,
    /// Whoever is there leads, whatever it lacks, and nobody has asked for that.
    ElectsAnybody,
    /// Who asks for what needs a majority of the quorum is left waiting while there is none.
    WaitsForMajority,
}

impl World {
    /// Which transaction has no end.
    pub(super) fn what_is_not_decided(&self) -> Option<String> {
        for (partition, state) in self.checker.replicas.newest_image().partitions() {
            let leader = state.leader.expect("checked before").0 as usize;
            let process = self.machines[leader].process.as_ref().expect("checked before");
            let replica = process.node.replica(partition).expect("checked before");
            if replica.last_stable() != replica.high_watermark() {
                let (stable, all) = (replica.last_stable(), replica.high_watermark());
                return Some(format!("{} {partition}: stable is {stable} of {all}", process.life));
            }
        }
        let open = (0..BROKER_COUNT).find_map(|node| self.undecided_at(node, |_| true));
        open.map(|(id, state)| format!("the transaction of {id} is {}", state.name()))
    }

    /// A transaction that has no end, by the log of its coordinator on this node.
    pub(super) fn undecided_at(
        &self,
        node: usize,
        is_meant: impl Fn(TransactionState) -> bool,
    ) -> Option<(String, TransactionState)> {
        self.coordinator_logs_at(node, TRANSACTIONS).find_map(|log| {
            let known = Stored::read(&log).transactions().into_iter().map(|(id, it)| (id, it.state));
            known.filter(|(_, state)| is_under_way(*state)).find(|(_, state)| is_meant(*state))
        })
    }

    /// The logs of the coordinators that this node is, by their topic.
    fn coordinator_logs_at(&self, node: usize, topic: &str) -> impl Iterator<Item = Vec<u8>> {
        self.led_by(node, topic).into_iter().map(move |key| self.bytes_at(node, key))
    }

    /// Whether a node coordinates groups.
    pub(super) fn keeps_groups(&self, node: usize) -> bool {
        !self.group_logs(node).is_empty()
    }

    /// The logs in which a node keeps what it coordinates of groups.
    pub(super) fn group_logs(&self, node: usize) -> Vec<TopicPartition> {
        self.led_by(node, GROUPS)
    }

    fn led_by(&self, node: usize, topic: &str) -> Vec<TopicPartition> {
        let image = self.checker.replicas.newest_image();
        let Some(topic) = image.topic_named(topic) else { return Vec::new() };
        let led = (0..).zip(&topic.partitions).filter(|(_, it)| it.leader == Some(broker_id(node)));
        led.map(|(index, _)| TopicPartition { topic: topic.id, partition: PartitionIndex(index) }).collect()
    }

    /// A partition's log, as a node has it.
    pub(super) fn bytes_at(&self, node: usize, partition: TopicPartition) -> Vec<u8> {
        let segments = self.machines[node].disk.segments(partition);
        segments.into_iter().flat_map(|(_, bytes)| bytes.to_vec()).collect()
    }

    /// The id of the topic that goes by the name of this one now, as far as this node knows.
    fn present_id(&self, life: Life, id: TopicId) -> TopicId {
        let replicas = &self.checker.replicas;
        let present = replicas.image_of(life.node).and_then(|image| image.topic_named(renewals::NAME));
        present.filter(|_| replicas.is_renewed(id)).map_or(id, |topic| topic.id)
    }

    /// Changes what a broker is asked, or answers in its place.
    pub(super) fn tamper(&self, life: Life, request: &mut Request) -> Option<Response> {
        match (self.sabotage.broker, request) {
            (BrokerSabotage::EndsWhateverIsOpen, Request::EndTxn(end)) => {
                let mut logs = self.coordinator_logs_at(life.node, TRANSACTIONS);
                let known =
                    logs.find_map(|log| Stored::read(&log).transactions().remove(&end.transactional_id));
                if let Some(known) = known {
                    (end.producer_id, end.producer_epoch) = (known.producer.0, known.epoch.0);
                }
                None
            }
            (BrokerSabotage::TurnsMarks, Request::WriteTxnMarkers(marks)) => {
                marks.markers.iter_mut().for_each(|it| it.transaction_result = !it.transaction_result);
                None
            }
            (BrokerSabotage::LosesMarks, Request::WriteTxnMarkers(marks)) => {
                Some(Response::WriteTxnMarkers(all_written(marks)))
            }
            (BrokerSabotage::TakesAnyCommit, Request::OffsetCommit(commit)) => {
                let mut logs = self.coordinator_logs_at(life.node, GROUPS);
                if let Some((member, epoch)) =
                    logs.find_map(|log| Stored::read(&log).member_of(&commit.group_id))
                {
                    (commit.member_id, commit.generation_id_or_member_epoch) = (member, epoch);
                }
                None
            }
            (BrokerSabotage::LosesCommits, Request::OffsetCommit(commit)) => {
                Some(Response::OffsetCommit(all_committed(commit)))
            }
            (BrokerSabotage::FencesNobody, Request::Heartbeat(_)) => {
                Some(Response::Heartbeat(HeartbeatResponse::default()))
            }
            (BrokerSabotage::FencesNobody, Request::ConsumerGroupHeartbeat(it)) if 0 < it.member_epoch => {
                Some(Response::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                    member_id: Some(it.member_id.clone()),
                    member_epoch: it.member_epoch,
                    heartbeat_interval_ms: 200,
                    ..ConsumerGroupHeartbeatResponse::default()
                }))
            }
            (BrokerSabotage::TakesAnyTopicId, Request::Produce(produce)) => {
                produce.topic_data.iter_mut().for_each(|it| it.topic_id = self.present_id(life, it.topic_id));
                None
            }
            (BrokerSabotage::AltersNothing, Request::IncrementalAlterConfigs(alter)) => {
                alter.validate_only = true;
                None
            }
            (BrokerSabotage::ElectsAnybody, Request::CreateTopics(create)) => {
                for topic in &mut create.topics {
                    topic.configs.retain(|it| it.name != UNCLEAN);
                    topic.configs.push(CreatableTopicConfig {
                        name: UNCLEAN.to_owned(),
                        value: Some("true".to_owned()),
                        ..CreatableTopicConfig::default()
                    });
                }
                None
            }
            (BrokerSabotage::ServesUnstable, Request::Fetch(fetch)) => {
                fetch.isolation_level = 0;
                None
            }
            _ => None,
        }
    }
}

fn all_written(request: &WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let topic = |it: &WritableTxnMarkerTopic| WritableTxnMarkerTopicResult {
        name: it.name.clone(),
        partitions: it
            .partition_indexes
            .iter()
            .map(|index| WritableTxnMarkerPartitionResult { partition_index: *index, error_code: 0 })
            .collect(),
    };
    let markers = request.markers.iter().map(|it| WritableTxnMarkerResult {
        producer_id: it.producer_id,
        topics: it.topics.iter().map(topic).collect(),
    });
    WriteTxnMarkersResponse { markers: markers.collect() }
}

fn all_committed(request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let topic = |it: &OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: it.name.clone(),
        topic_id: it.topic_id,
        partitions: it
            .partitions
            .iter()
            .map(|it| OffsetCommitResponsePartition { partition_index: it.partition_index, error_code: 0 })
            .collect(),
    };
    let topics = request.topics.iter().map(topic).collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

/// A request of a connection that its caller has given up, by its kind (F36).
pub(super) fn late(request: &Request) -> &'static str {
    match request {
        Request::Produce(produce) if produce.transactional_id.is_some() => "late: Produce in a transaction",
        Request::EndTxn(_) => "late: EndTxn",
        Request::AddPartitionsToTxn(_) => "late: AddPartitionsToTxn",
        Request::TxnOffsetCommit(_) => "late: TxnOffsetCommit",
        Request::InitProducerId(_) => "late: InitProducerId",
        Request::WriteTxnMarkers(_) => "late: WriteTxnMarkers",
        Request::OffsetCommit(_) => "late: OffsetCommit",
        Request::JoinGroup(_) => "late: JoinGroup",
        _ => "network: late request of an old connection",
    }
}
