//! How openraft's questions travel.

use std::{future::Future, rc::Rc, time::Duration};

use bytes::Bytes;
use klamm_wire::{AppendOutcome, QuorumMessage};
use openraft::{
    OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, Vote,
    error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};

use tokio::time::timeout;

use super::{
    links::{Broken, Links},
    types::{Address, Types, broker, from_ballot, from_point, to_ballot, to_point, to_wire},
};

/// Before a node that cannot be reached is tried again. Questions wait for a connection anyway, so this is for one that breaks at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Of a snapshot that are sent at once.
const PIECE_BYTES: usize = 1 << 20;
/// With the last piece of a snapshot, the other node writes all of it.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

/// Makes the ends for openraft.
pub(super) struct Network(pub(super) Rc<Links>);

/// To one node.
pub(super) struct To {
    links: Rc<Links>,
    id: u64,
}

/// What an answer is not.
#[derive(Debug, thiserror::Error)]
#[error("the answer is to another question, or the other engine has failed")]
struct NoAnswer;

type Failed = RPCError<u64, Address, RaftError<u64>>;

impl RaftNetworkFactory<Types> for Network {
    type Network = To;

    async fn new_client(&mut self, target: u64, _: &Address) -> To {
        To { links: Rc::clone(&self.0), id: target }
    }
}

impl To {
    async fn ask(&self, message: QuorumMessage) -> Result<QuorumMessage, Failed> {
        let id = broker(self.id);
        let peer = self.links.peer(id).ok_or_else(|| Unreachable::new(&Broken(id)))?;
        Ok(peer.ask(message).await.map_err(|error| Unreachable::new(&error))?)
    }
}

impl To {
    /// Piece by piece, each when the one before has come: what else is to be said goes between them.
    async fn send_snapshot(
        &self,
        vote: &Vote<u64>,
        bytes: Bytes,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let size = bytes.len() as u64;
        let mut at = 0;
        loop {
            let end = bytes.len().min(at + PIECE_BYTES);
            let message = QuorumMessage::Snapshot {
                vote: to_ballot(vote),
                size,
                at: at as u64,
                bytes: bytes.slice(at..end),
            };
            let answer = timeout(PIECE_PATIENCE, self.ask(message)).await;
            let answer = answer.map_err(|late| Unreachable::new(&late))?;
            let Ok(QuorumMessage::SnapshotTaken { vote: other }) = answer else {
                return Err(Unreachable::new(&NoAnswer).into());
            };
            let other = from_ballot(other);
            at = end;
            if end == bytes.len() || *vote < other {
                return Ok(SnapshotResponse::new(other));
            }
        }
    }
}

impl RaftNetwork<Types> for To {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed> {
        let answer = self.ask(QuorumMessage::Append {
            vote: to_ballot(&rpc.vote),
            previous: rpc.prev_log_id.map(to_point),
            committed: rpc.leader_commit.map(to_point),
            entries: rpc.entries.iter().map(to_wire).collect(),
        });
        match answer.await? {
            QuorumMessage::Appended(outcome) => Ok(match outcome {
                AppendOutcome::Done => AppendEntriesResponse::Success,
                AppendOutcome::Partly(upto) => AppendEntriesResponse::PartialSuccess(upto.map(from_point)),
                AppendOutcome::Conflict => AppendEntriesResponse::Conflict,
                AppendOutcome::Deposed(vote) => AppendEntriesResponse::HigherVote(from_ballot(vote)),
            }),
            _ => Err(NetworkError::new(&NoAnswer).into()),
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, _: RPCOption) -> Result<VoteResponse<u64>, Failed> {
        let message = QuorumMessage::Vote { vote: to_ballot(&rpc.vote), last: rpc.last_log_id.map(to_point) };
        match self.ask(message).await? {
            QuorumMessage::Voted { vote, is_granted, last } => {
                Ok(VoteResponse::new(from_ballot(vote), last.map(from_point), is_granted))
            }
            _ => Err(NetworkError::new(&NoAnswer).into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(&vote, *snapshot.snapshot) => sent,
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACK_OFF))
    }
}
