//! What this Raft orders, and how an entry of it is written: for the log and for other nodes in the same way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use klamm_model::{BrokerId, ControllerEpoch, LeaderEpoch};
use klamm_quorum::raft_log::Stored;
use klamm_wire::{Ballot, LogPoint, QuorumEntry};
use openraft::{
    AsyncRuntime, CommittedLeaderId, EntryPayload, LeaderId, LogId, Membership, OptionalSend, RaftLogId as _,
    TokioRuntime, Vote,
};
use uuid::Uuid;

openraft::declare_raft_types!(
    /// The types of this Raft. A node's number is its broker id.
    pub(crate) Types:
        D = Command,
        R = (),
        NodeId = u64,
        Node = Address,
        SnapshotData = Bytes,
        AsyncRuntime = Patient,
);

/// Tokio, but answers of other nodes are waited for longer than openraft's timers say: it waits for a vote no longer than its lease is, and that has to be short,
/// while a vote that counts was synced twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Patient;

/// A disk that takes longer than this is of no use to a quorum. A connection that is of none ends by itself.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

impl AsyncRuntime for Patient {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;
    type OneshotReceiver<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration.max(ANSWER_PATIENCE), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn oneshot<T: OptionalSend>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        TokioRuntime::oneshot()
    }
}

pub(crate) type Entry = openraft::Entry<Types>;

/// What the leader has ordered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// A node leads the quorum: it begins a controller epoch, whose number is how many claims there were.
    Claim {
        /// Who.
        node: BrokerId,
        /// By which it knows its own claim again; one of its process before is not its own any more.
        token: u64,
    },
    /// Proposals of nodes, in order, each an entry of the seam.
    Proposals(Vec<Proposal>),
}

/// One proposal of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proposal {
    pub(crate) epoch: ControllerEpoch,
    pub(crate) payload: Bytes,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { node, token } => write!(f, "Claim({node}, {token:x})"),
            Self::Proposals(proposals) => write!(f, "Proposals({})", proposals.len()),
        }
    }
}

/// Where a member is, and which disk it has. Another disk under a known number is another node, and may have forgotten what it promised.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Address {
    pub(crate) directory: Uuid,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A payload that was not written by this code.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("it ends too early")]
    Short(#[from] TryGetError),
    #[error("its kind is {0}")]
    Kind(u8),
    #[error("{0} bytes are left")]
    Long(usize),
    #[error("a host is no text")]
    Host,
}

/// No entry of a lone node's log begins like this: those begin with a number that is never that high.
const BLANK: u8 = 0xA0;
const MEMBERSHIP: u8 = 0xA1;
const CLAIM: u8 = 0xA2;
const PROPOSALS: u8 = 0xA3;

/// Beside a proposal's payload.
pub(crate) const PROPOSAL_BYTES: usize = 8;

fn encode(payload: &EntryPayload<Types>) -> Bytes {
    let mut out = BytesMut::new();
    match payload {
        EntryPayload::Blank => out.put_u8(BLANK),
        EntryPayload::Membership(membership) => {
            out.put_u8(MEMBERSHIP);
            encode_membership(&mut out, membership);
        }
        EntryPayload::Normal(Command::Claim { node, token }) => {
            out.put_u8(CLAIM);
            out.put_i32(node.0);
            out.put_u64(*token);
        }
        EntryPayload::Normal(Command::Proposals(proposals)) => {
            out.reserve(proposals.iter().map(|it| it.payload.len() + PROPOSAL_BYTES).sum::<usize>() + 5);
            out.put_u8(PROPOSALS);
            out.put_u32(proposals.len() as u32);
            for proposal in proposals {
                out.put_i32(proposal.epoch.0);
                out.put_u32(proposal.payload.len() as u32);
                out.put_slice(&proposal.payload);
            }
        }
    }
    out.freeze()
}

pub(crate) fn encode_membership(out: &mut BytesMut, membership: &Membership<u64, Address>) {
    let configs = membership.get_joint_config();
    out.put_u32(configs.len() as u32);
    for config in configs {
        out.put_u32(config.len() as u32);
        config.iter().for_each(|id| out.put_u64(*id));
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u32(nodes.len() as u32);
    for (id, address) in nodes {
        out.put_u64(*id);
        out.put_slice(address.directory.as_bytes());
        out.put_u16(address.port);
        out.put_u32(address.host.len() as u32);
        out.put_slice(address.host.as_bytes());
    }
}

fn decode(mut from: Bytes) -> Result<EntryPayload<Types>, EntryError> {
    let payload = match from.try_get_u8()? {
        BLANK => EntryPayload::Blank,
        MEMBERSHIP => EntryPayload::Membership(decode_membership(&mut from)?),
        CLAIM => {
            let node = BrokerId(from.try_get_i32()?);
            EntryPayload::Normal(Command::Claim { node, token: from.try_get_u64()? })
        }
        PROPOSALS => {
            let count = from.try_get_u32()?;
            let mut proposals = Vec::new();
            for _ in 0..count {
                let epoch = ControllerEpoch(from.try_get_i32()?);
                proposals.push(Proposal { epoch, payload: sized(&mut from)? });
            }
            EntryPayload::Normal(Command::Proposals(proposals))
        }
        unknown => return Err(EntryError::Kind(unknown)),
    };
    if from.has_remaining() {
        return Err(EntryError::Long(from.remaining()));
    }
    Ok(payload)
}

pub(crate) fn decode_membership(from: &mut Bytes) -> Result<Membership<u64, Address>, EntryError> {
    let mut configs = Vec::new();
    for _ in 0..from.try_get_u32()? {
        let mut config = BTreeSet::new();
        for _ in 0..from.try_get_u32()? {
            config.insert(from.try_get_u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..from.try_get_u32()? {
        let id = from.try_get_u64()?;
        let directory = Uuid::from_u128(from.try_get_u128()?);
        let port = from.try_get_u16()?;
        let host = String::from_utf8(sized(from)?.into()).map_err(|_| EntryError::Host)?;
        nodes.insert(id, Address { directory, host, port });
    }
    Ok(Membership::new(configs, nodes))
}

fn sized(from: &mut Bytes) -> Result<Bytes, EntryError> {
    let size = from.try_get_u32()? as usize;
    if from.remaining() < size {
        return Err(TryGetError { requested: size, available: from.remaining() }.into());
    }
    Ok(from.split_to(size))
}

/// An entry as the log has it.
pub(crate) fn to_stored(entry: &Entry) -> Stored {
    let LogId { leader_id, index } = *entry.get_log_id();
    let term =
        LeaderEpoch(i32::try_from(leader_id.term).expect("a peer's terms are checked, and ours count"));
    Stored { index, term, payload: encode(&entry.payload) }
}

pub(crate) fn from_stored(stored: Stored) -> Result<Entry, EntryError> {
    let term = stored.term.0.unsigned_abs().into();
    Ok(Entry { log_id: log_id(term, stored.index), payload: decode(stored.payload)? })
}

/// An entry as other nodes get it.
pub(crate) fn to_wire(entry: &Entry) -> QuorumEntry {
    QuorumEntry { at: to_point(entry.log_id), payload: encode(&entry.payload) }
}

pub(crate) fn from_wire(entry: QuorumEntry) -> Result<Entry, EntryError> {
    Ok(Entry { log_id: from_point(entry.at), payload: decode(entry.payload)? })
}

/// About how many bytes it takes.
pub(crate) fn size_of(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Command::Proposals(proposals)) => {
            proposals.iter().map(|it| it.payload.len() + PROPOSAL_BYTES).sum::<usize>() + 5
        }
        _ => 256,
    }
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 0), index)
}

pub(crate) fn to_point(id: LogId<u64>) -> LogPoint {
    LogPoint { term: id.leader_id.term, index: id.index }
}

pub(crate) fn from_point(point: LogPoint) -> LogId<u64> {
    log_id(point.term, point.index)
}

pub(crate) fn broker(id: u64) -> BrokerId {
    BrokerId(i32::try_from(id).expect("members are brokers"))
}

pub(crate) fn raft_id(id: BrokerId) -> u64 {
    id.0.unsigned_abs().into()
}

pub(crate) fn to_ballot(vote: &Vote<u64>) -> Ballot {
    Ballot {
        term: vote.leader_id.term,
        candidate: vote.leader_id.voted_for.map(broker),
        is_elected: vote.committed,
    }
}

pub(crate) fn from_ballot(ballot: Ballot) -> Vote<u64> {
    let leader_id = LeaderId { term: ballot.term, voted_for: ballot.candidate.map(raft_id) };
    Vote { leader_id, committed: ballot.is_elected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads() -> Vec<EntryPayload<Types>> {
        let address = |number: u16| Address {
            directory: Uuid::from_u128(number.into()),
            host: format!("host-{number}"),
            port: number,
        };
        let nodes: BTreeMap<u64, Address> = (1..4).map(|id| (id, address(id as u16))).collect();
        let proposal = |epoch, payload: &'static [u8]| Proposal {
            epoch: ControllerEpoch(epoch),
            payload: Bytes::from_static(payload),
        };
        vec![
            EntryPayload::Blank,
            EntryPayload::Membership(Membership::new(vec![[1, 2].into(), [1, 2, 3].into()], nodes)),
            EntryPayload::Normal(Command::Claim { node: BrokerId(3), token: 5 }),
            EntryPayload::Normal(Command::Proposals(vec![proposal(1, b"one"), proposal(2, b"")])),
        ]
    }

    #[test]
    fn entries_are_read_as_they_were_written_and_nothing_less_is_taken_for_one() {
        for payload in payloads() {
            let bytes = encode(&payload);
            assert_ne!(bytes[0], 0, "a lone node's entries begin with 0");
            assert_eq!(decode(bytes.clone()), Ok(payload));
            for size in 0..bytes.len() {
                decode(bytes.slice(..size)).expect_err("it is cut off");
            }
            decode([&bytes[..], &[0]].concat().into()).expect_err("something follows");
        }
        assert_eq!(decode(Bytes::from_static(&[0; 9])), Err(EntryError::Kind(0)));
    }
}
