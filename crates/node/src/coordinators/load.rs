//! A coordinator's log is read back: what a shard is made of when its partition comes to be led here.

use bytes::Bytes;
use klamm_coordinator::record::{GroupRecord, RecordError, TransactionRecord};
use klamm_log::{FileKind, ReadError, ReadPlan, resolve};
use klamm_model::{
    BatchError, BatchView, Batches, Offset, Producer, ProducerId, Tail, TopicPartition, TransactionEnd,
    TransactionMark,
};

use super::Kind;
use crate::reply::ReadAt;

/// How much is read at once. It is applied with the node's lock held.
pub(super) const LOAD_BYTES: u32 = 128 << 10;

/// Records of one batch, unpacked. The coordinators' own batches have no more than a topic allows.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// A piece of a coordinator's log that is to be read.
#[derive(Debug)]
pub struct Load {
    pub(super) partition: TopicPartition,
    pub(super) kind: Kind,
    /// Which loading it belongs to.
    pub(super) token: u64,
    pub(super) plan: ReadPlan,
}

/// What there was to read, or why it could not be.
#[derive(Debug)]
pub struct Loaded {
    pub(super) partition: TopicPartition,
    pub(super) token: u64,
    pub(super) result: Result<Piece, ReadError>,
}

/// What a piece of a coordinator's log says, in its order.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) items: Vec<Item>,
    /// Where the next piece begins.
    pub(super) next: Offset,
    /// Records that nobody here understands. They are left alone.
    pub(super) strange_count: u64,
}

/// A record, or a mark.
#[derive(Debug)]
pub(super) enum Item {
    Group(Box<GroupRecord>, Option<Producer>),
    Transaction(Box<TransactionRecord>),
    /// A transaction ended.
    End {
        producer: ProducerId,
        is_committed: bool,
    },
}

impl Load {
    /// Reads and unpacks. Blocks as long as the read does; needs no lock.
    pub fn run(&self, read: &mut ReadAt<'_>) -> Loaded {
        Loaded { partition: self.partition, token: self.token, result: self.piece(read) }
    }

    fn piece(&self, read: &mut ReadAt<'_>) -> Result<Piece, ReadError> {
        let segment = self.plan.segment;
        let range = resolve(&self.plan, &mut |kind, position, buffer| read(segment, kind, position, buffer))?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut size = 0;
        while size < bytes.len() {
            let position = u64::from(range.start) + size as u64;
            match read(segment, FileKind::Log, position, &mut bytes[size..]) {
                Ok(0) => break,
                Ok(more) => size += more,
                Err(error) if error.kind() == klamm_log::REPLACED => return Err(ReadError::Replaced),
                Err(error) => {
                    return Err(ReadError::Io { base: segment.id.base, problem: error.to_string() });
                }
            }
        }
        bytes.truncate(size);
        let damaged = |at: usize| {
            move |problem| ReadError::Damaged {
                base: segment.id.base,
                position: range.start + at as u32,
                problem,
            }
        };
        let mut piece = Piece { items: Vec::new(), next: self.plan.target, strange_count: 0 };
        let (mut scratch, mut at) = (Vec::new(), 0);
        for batch in Batches::new(&bytes, Tail::MayBeTruncated) {
            let batch = batch.map_err(damaged(at))?;
            if self.is_beyond(&batch) {
                break;
            }
            self.take(&mut piece, &batch, &mut scratch).map_err(damaged(at))?;
            piece.next = batch.next_offset();
            at += batch.size();
        }
        Ok(piece)
    }

    fn is_beyond(&self, batch: &BatchView<'_>) -> bool {
        self.plan.limit_offset.is_some_and(|limit| limit <= batch.base_offset())
    }

    fn take(
        &self,
        piece: &mut Piece,
        batch: &BatchView<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        batch.verify_crc()?;
        let header = batch.header();
        let attributes = header.attributes;
        if let Some((mark, producer)) = TransactionMark::of(batch).zip(header.producer) {
            let is_committed = mark.end == TransactionEnd::Commit;
            piece.items.push(Item::End { producer: producer.id, is_committed });
        }
        if attributes.is_control() {
            return Ok(());
        }
        let transaction = header.producer.filter(|_| attributes.is_transactional());
        for record in batch.records(scratch, UNPACKED_BYTES_MAX)? {
            let record = record?;
            let Some(key) = record.key else {
                piece.strange_count += 1;
                continue;
            };
            let (key, value) = (Bytes::copy_from_slice(key), record.value.map(Bytes::copy_from_slice));
            match self.kind.decode(&key, value.as_ref(), transaction) {
                Ok(Some(item)) => piece.items.push(item),
                Ok(None) | Err(_) => piece.strange_count += 1,
            }
        }
        Ok(())
    }
}

impl Kind {
    fn decode(
        self,
        key: &Bytes,
        value: Option<&Bytes>,
        transaction: Option<Producer>,
    ) -> Result<Option<Item>, RecordError> {
        match self {
            Self::Transactions => {
                Ok(TransactionRecord::decode(key, value)?.map(|record| Item::Transaction(Box::new(record))))
            }
            Self::Groups => {
                Ok(GroupRecord::decode(key, value)?.map(|record| Item::Group(Box::new(record), transaction)))
            }
        }
    }
}
