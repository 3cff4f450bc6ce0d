//! A start finds damage in the log of a partition that others have too.

use std::io;

use klamm_cluster::record::{self, Record};
use klamm_log::{FileKind, Log, LogConfig, LogFiles};
use klamm_model::{
    BatchBuilder, BrokerId, ControllerEpoch, LeaderEpoch, Offset, PartitionIndex, Seal, Tick, Timestamp,
    TopicId, TopicPartition, patched_prefix,
};
use klamm_node::{Event, Node, NodeConfig, Now};
use klamm_quorum::{Entry, Input, Output, Proposer};
use klamm_replica::Sabotage;
use uuid::Uuid;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);
const PARTITION: TopicPartition =
    TopicPartition { topic: TopicId(Uuid::from_u128(7)), partition: PartitionIndex(0) };
const NOW: Now = Now { tick: Tick(1_000_000), wall: Timestamp(1_700_000_000_000) };

/// Records 0 to 5 in three batches; the header of the second is wrong. The next segment says that all of them were on disk.
struct Damaged(Vec<u8>);

impl Damaged {
    fn new() -> Self {
        let mut bytes = Vec::new();
        for base in [0, 2, 4] {
            let mut builder = BatchBuilder::default();
            (0..2).for_each(|_| builder.append(Timestamp(1), None, Some(b"value"), &[]));
            let batch = builder.finish(&Seal::default());
            let prefix = patched_prefix(&batch, Offset::new(base), LeaderEpoch(0));
            bytes.extend_from_slice(&prefix);
            bytes.extend_from_slice(&batch[prefix.len()..]);
        }
        let size = bytes.len() / 3;
        bytes[size + 16] = 9;
        Self(bytes)
    }
}

impl LogFiles for Damaged {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let name = |base| FileKind::Log.file_name(Offset::new(base));
        Ok(vec![(name(0), self.0.len() as u64), (name(6), 0)])
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = if name == FileKind::Log.file_name(Offset::ZERO) { &self.0[..] } else { &[] };
        let bytes = file.get(position as usize..).unwrap_or_default();
        let size = bytes.len().min(buffer.len());
        buffer[..size].copy_from_slice(&bytes[..size]);
        Ok(size)
    }
}

/// Nobody counts what is offline; its files are left as they are.
#[test]
fn a_damaged_log_is_served_where_nobody_else_is_in_sync_and_stays_offline_elsewhere() {
    for (isr, leader, is_hosted) in [
        (&[ME][..], Some(ME), true),
        (&[ME], None, true),
        (&[ME, OTHER], Some(ME), false),
        (&[ME, OTHER], Some(OTHER), false),
        (&[OTHER], Some(OTHER), false),
    ] {
        let mut node =
            Node::new(NodeConfig::new(ME, Uuid::from_u128(2), Uuid::from_u128(3)), 4, Sabotage::default());
        let (log, report) =
            Log::recover(PARTITION, "t-0".to_owned(), LogConfig::default(), &Damaged::new()).expect("opened");
        assert_eq!((report.end, report.damaged.len()), (Offset::new(6), 1));
        node.adopt(log);
        let epoch = ControllerEpoch(1);
        let (replicas, isr) = (vec![ME, OTHER], isr.to_vec());
        let context = format!("in sync {isr:?}, led by {leader:?}");
        let records = record::encode(&[
            Record::Begin { epoch, controller: OTHER },
            Record::Topic { name: "t".to_owned(), id: PARTITION.topic },
            Record::Partition { partition: PARTITION, replicas, isr, leader },
        ]);
        let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&records) else {
            panic!("a proposer proposes")
        };
        let mut effects = Vec::new();
        let committed = Entry { index: 0, epoch, payload };
        node.step(NOW, Event::Quorum(Output::Committed(committed)), &mut effects);
        node.step(NOW, Event::Quorum(Output::LeaderIs { leader: Some(OTHER), epoch }), &mut effects);
        let log =
            node.replica(PARTITION).map(|replica| (replica.log().end().raw(), replica.log().damaged().len()));
        assert_eq!(log, is_hosted.then_some((6, 1)), "{context}");
        assert_eq!(node.report().offline, usize::from(!is_hosted), "{context}");
    }
}
