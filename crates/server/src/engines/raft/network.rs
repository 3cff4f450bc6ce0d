//! How openraft's questions travel.

use std::{future::Future, rc::Rc, time::Duration};

use klamm_wire::{AppendOutcome, QuorumMessage};
use openraft::{
    OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, Vote,
    error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};

use super::{
    links::{Broken, Links},
    types::{Address, Types, broker, from_ballot, from_point, to_ballot, to_point, to_wire},
};

/// Before a node that cannot be reached is tried again. Questions wait for a connection anyway, so this is for one that breaks at once.
const BACK_OFF: Duration = Duration::from_millis(100);

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

    // Nothing is purged yet, so every node can have all entries.
    async fn full_snapshot(
        &mut self,
        _: Vote<u64>,
        _: Snapshot<Types>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        Err(Unreachable::new(&NoAnswer).into())
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACK_OFF))
    }
}
