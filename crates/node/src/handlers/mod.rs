//! One function for each kind of request that needs the node's state.

use std::sync::Arc;

use klamm_wire::{Request, Response};

use crate::{Effect, Listener, Now, Origin, Reply, ReplyTo, coordinators::find, node::Node, reads};

pub(crate) mod delete_records;
pub(crate) mod describe_producers;
pub(crate) mod epochs;
pub(crate) mod fetch;
mod groups;
pub(crate) mod in_pieces;
pub(crate) mod list_offsets;
pub(crate) mod log_dirs;
pub(crate) mod produce;
pub(crate) mod producer_ids;
pub(crate) mod quorum;
pub(crate) mod topics;
mod transactions;
pub(crate) mod voters;

use describe_producers::Description;
use epochs::EpochEnds;
use in_pieces::{Work, begin};
use list_offsets::Listing;
use log_dirs::Survey;

/// Finds the handler; the table of keys has let through only what is served on this listener.
pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    (origin, client_id): (&Arc<Origin>, &str),
    version: i16,
    request: Request,
    out: &mut Vec<Effect>,
) {
    if PARTITIONS_NAMED_MAX < partitions_named(&request) {
        let reason = "a request names more partitions than there are on any broker";
        return out.push(Effect::Close { connection: to.connection, reason });
    }
    match request {
        Request::Fetch(it) => fetch::handle(node, now, to, origin.listener, version, it, out),
        Request::FindCoordinator(it) => find::handle(node, now, to, origin, version, it, out),
        request if groups::is_about_groups(&request) => {
            groups::handle(node, now, to, (origin, client_id), version, request, out);
        }
        request if transactions::is_about_transactions(&request) => {
            transactions::handle(node, now, to, (origin.listener, version), request, out);
        }
        Request::InitProducerId(it) => producer_ids::handle(node, now, to, &it, out),
        Request::ListOffsets(it) => begin(node, to, Work::Offsets(Listing::new(it, version)), out),
        Request::OffsetForLeaderEpoch(it) => begin(node, to, Work::Epochs(EpochEnds::new(it)), out),
        Request::DescribeProducers(it) => begin(node, to, Work::Producers(Description::new(it)), out),
        Request::DescribeLogDirs(it) => {
            let survey = Survey::new(node, it);
            begin(node, to, Work::LogDirs(survey), out);
        }
        Request::AlterReplicaLogDirs(it) => log_dirs::alter(node, to, &it, out),
        Request::Metadata(it) => topics::metadata(node, now, to, origin, version, it, out),
        Request::DeleteRecords(it) => delete_records::handle(node, now, to, &it, out),
        Request::DescribeQuorum(it) => quorum::describe(node, to, version, it, out),
        Request::AddRaftVoter(it) => voters::add(node, now, to, version, it, out),
        Request::RemoveRaftVoter(it) => voters::remove(node, now, to, version, it, out),
        request @ (Request::CreateTopics(_)
        | Request::DeleteTopics(_)
        | Request::CreatePartitions(_)
        | Request::ElectLeaders(_)
        | Request::AlterPartitionReassignments(_)
        | Request::ListPartitionReassignments(_)
        | Request::UnregisterBroker(_)
        | Request::AlterClientQuotas(_)
        | Request::UpdateFeatures(_)
        | Request::AlterConfigs(_)
        | Request::IncrementalAlterConfigs(_)) => {
            node.controller_request(now, to, version, request, out);
        }
        request @ (Request::BrokerRegistration(_)
        | Request::BrokerHeartbeat(_)
        | Request::AlterPartition(_)
        | Request::AssignReplicasToDirs(_)
        | Request::AllocateProducerIds(_))
            if origin.listener == Listener::Broker =>
        {
            node.controller_request(now, to, version, request, out);
        }
        request => match reads::answer_from_view(&node.view(), origin, version, &request) {
            Some(response) => out.push(Effect::Reply { to, reply: Reply::Ready(response) }),
            None => out
                .push(Effect::Close { connection: to.connection, reason: "an API that is not served here" }),
        },
    }
}

/// Partitions that a request to do something may name. Each costs a few bytes to ask for, and a sentence of an answer, with the node's lock held.
const PARTITIONS_NAMED_MAX: usize = 100_000;

/// By a request to do something with partitions that are there.
fn partitions_named(request: &Request) -> usize {
    match request {
        Request::DeleteRecords(it) => it.topics.iter().map(|it| it.partitions.len()).sum(),
        Request::ElectLeaders(it) => it.topic_partitions.iter().flatten().map(|it| it.partitions.len()).sum(),
        Request::AlterReplicaLogDirs(it) => {
            it.dirs.iter().flat_map(|it| &it.topics).map(|it| it.partitions.len()).sum()
        }
        Request::AlterPartitionReassignments(it) => it.topics.iter().map(|it| it.partitions.len()).sum(),
        Request::AddPartitionsToTxn(it) => {
            let of_transactions = it.transactions.iter().flat_map(|it| &it.topics);
            it.v3_and_below_topics.iter().chain(of_transactions).map(|it| it.partitions.len()).sum()
        }
        Request::WriteTxnMarkers(it) => {
            it.markers.iter().flat_map(|it| &it.topics).map(|it| it.partition_indexes.len()).sum()
        }
        Request::ListPartitionReassignments(it) => {
            it.topics.iter().flatten().map(|it| it.partition_indexes.len()).sum()
        }
        _ => 0,
    }
}

/// How long an answer is held that waits for disks and for other replicas. With Kafka a client may send 0 and not wait: what is in its leader's page cache is
/// there. Here a disk is waited for, and records that are on their way to it must not be called late, or they come twice.
pub(crate) fn held_ms(timeout_ms: i32) -> u64 {
    const AT_LEAST: u64 = 1000;
    const AT_MOST: u64 = 10 * 60 * 1000;
    u64::try_from(timeout_ms).unwrap_or(0).clamp(AT_LEAST, AT_MOST)
}

/// A complete answer.
pub(crate) fn reply(to: ReplyTo, response: Response, out: &mut Vec<Effect>) {
    out.push(Effect::Reply { to, reply: Reply::Ready(response) });
}
