//! Replicas that moved to other brokers while this one was down: what was decided before a process registered is history, and may be undone by what comes.

use crate::world::Segment;
use klamm_cluster::features::Supported;
use klamm_cluster::record::{self, PartitionChange, Record, RegisterBroker};
use klamm_log::{DiskAction, Log, LogConfig};
use klamm_model::{
    BrokerId, ControllerEpoch, PartitionEpoch, PartitionIndex, Tick, Timestamp, TopicId, TopicPartition,
};
use klamm_node::{Effect, Event, Node, NodeConfig, Now};
use klamm_quorum::{Entry, Input, Output, Proposer};
use klamm_replica::Sabotage;
use uuid::Uuid;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);
const EPOCH: ControllerEpoch = ControllerEpoch(1);
const PARTITION: TopicPartition =
    TopicPartition { topic: TopicId(Uuid::from_u128(7)), partition: PartitionIndex(0) };
const INCARNATION: Uuid = Uuid::from_u128(3);

/// What happens to a node that has a log of the partition on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It hears who leads the quorum.
    Live,
    /// The replica moves to the other broker.
    Away,
    /// It comes back, and is in sync.
    Back,
    /// This process is registered.
    Registered,
}
use Step::{Away, Back, Live, Registered};

fn moved(epoch: i32, to: &[BrokerId]) -> Record {
    Record::PartitionChange(PartitionChange {
        isr: Some(to.to_vec()),
        replicas: Some(to.to_vec()),
        ..PartitionChange::nothing(PARTITION, PartitionEpoch(epoch))
    })
}

/// After which step the log is deleted, if it is.
fn deleted_after(steps: &[Step]) -> Option<usize> {
    let mut node = Node::new(NodeConfig::new(ME, Uuid::from_u128(2), INCARNATION), 4, Sabotage::default());
    let recovered = Log::recover(PARTITION, "t-0".to_owned(), LogConfig::default(), &Segment(Vec::new()));
    node.adopt(recovered.expect("a good log").0);
    let mut proposer = Proposer::new(EPOCH);
    let mut entry = |records: &[Record]| {
        let Input::Propose { epoch, payload } = proposer.propose(&record::encode(records)) else {
            panic!("a proposer proposes")
        };
        (epoch, payload)
    };
    let mut events = vec![entry(&[
        Record::Begin { epoch: EPOCH, controller: OTHER },
        Record::Topic { name: "t".to_owned(), id: PARTITION.topic },
        Record::Partition {
            partition: PARTITION,
            replicas: vec![OTHER, ME],
            isr: vec![OTHER, ME],
            leader: Some(OTHER),
        },
    ])];
    let mut changes = 0;
    let mut next = || {
        changes += 1;
        changes
    };
    let mut deleted = None;
    let mut index = 0;
    for (number, step) in [None].into_iter().chain(steps.iter().copied().map(Some)).enumerate() {
        let records = match step {
            None | Some(Live) => Vec::new(),
            Some(Away) => vec![moved(next(), &[OTHER])],
            Some(Back) => vec![moved(next(), &[OTHER, ME])],
            Some(Registered) => vec![Record::RegisterBroker(RegisterBroker {
                id: ME,
                incarnation: INCARNATION,
                directory: Uuid::from_u128(2),
                listeners: Vec::new(),
                rack: None,
                is_relaxed: false,
                supported: Supported::default(),
                other_directories: Vec::new(),
                may_vote: true,
            })],
        };
        if !records.is_empty() {
            events.push(entry(&records));
        }
        let mut effects = Vec::new();
        let now = Now { tick: Tick(1_000_000), wall: Timestamp(1_700_000_000_000) };
        for (epoch, payload) in events.drain(..) {
            let committed = Output::Committed(Entry { index, epoch, payload });
            index += 1;
            node.step(now, Event::Quorum(committed), &mut effects);
        }
        if step == Some(Live) {
            let leads = Output::LeaderIs { leader: Some(OTHER), epoch: EPOCH };
            node.step(now, Event::Quorum(leads), &mut effects);
        }
        let is_deletion =
            |it: &Effect| matches!(it, Effect::Disk(op) if op.action == DiskAction::DeletePartition);
        if effects.iter().any(is_deletion) {
            deleted.get_or_insert(number);
        }
    }
    deleted
}

#[test]
fn a_log_that_moved_away_goes_when_its_broker_is_registered_and_not_before() {
    assert_eq!(deleted_after(&[Live, Away, Back, Registered]), None, "it is back, and may be the only one");
    assert_eq!(deleted_after(&[Away, Live, Back, Registered]), None);
    assert_eq!(deleted_after(&[Live, Away, Registered]), Some(3));
    assert_eq!(deleted_after(&[Away, Live, Registered]), Some(3), "nobody hosts it");
    assert_eq!(deleted_after(&[Live, Registered, Away, Back]), Some(3), "it is decided, and done");
}
