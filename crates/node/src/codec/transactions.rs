//! Kafka's requests about transactions, as a coordinator's shards understand them, and what their answers say.

use std::collections::BTreeSet;

use klamm_cluster::{Image, topic_name};
use klamm_coordinator::{
    Pattern,
    record::{Partitions, TransactionState, TransactionVersion},
    transaction::{
        AddPartitions, Description, End, Identity, Init, List, Listed, Outcome, Reply, Request as Asked,
        TransactionError,
    },
};
use klamm_model::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId};
use klamm_wire::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse,
    Request, Response,
    add_partitions_to_txn::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
        AddPartitionsToTxnTopicResult,
    },
    describe_transactions, list_transactions,
};

use super::groups::{Parts, Whom};
use crate::{coordinators, errors::ToCode};

/// From these versions on, each transaction has an epoch of its own (KIP-890).
const ADD_V2: i16 = 4;
const END_V2: i16 = 5;

fn identity(id: i64, epoch: i16) -> Identity {
    Identity { producer: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

/// `None`: this is no request for transactions, or it names the group's partition, which takes more than this.
pub(crate) fn take_apart(request: Request, version: i16, image: &Image) -> Option<Parts> {
    Some(match request {
        Request::InitProducerId(it) => init(it),
        Request::AddPartitionsToTxn(it) => add_partitions(it, version, image),
        Request::EndTxn(it) => end(&it, version),
        Request::DescribeTransactions(it) => describe(it),
        Request::ListTransactions(it) => list(&it),
        _ => return None,
    })
}

fn one(response: Response, id: &str, asked: Asked) -> Parts {
    Parts { response, parts: vec![(Whom::Named(id.to_owned()), coordinators::Asked::Transaction(asked))] }
}

fn init(request: InitProducerIdRequest) -> Parts {
    let transactional_id = request.transactional_id.unwrap_or_default();
    let asked = Init {
        transactional_id: transactional_id.clone(),
        timeout_ms: request.transaction_timeout_ms,
        current: (0 <= request.producer_id).then(|| identity(request.producer_id, request.producer_epoch)),
        two_phase_commit: request.enable2_pc,
        keep_prepared: request.keep_prepared_txn,
    };
    let response = InitProducerIdResponse { producer_id: -1, producer_epoch: -1, ..Default::default() };
    one(Response::InitProducerId(response), &transactional_id, Asked::Init(asked))
}

fn end(request: &EndTxnRequest, version: i16) -> Parts {
    let asked = End {
        transactional_id: request.transactional_id.clone(),
        producer: identity(request.producer_id, request.producer_epoch),
        outcome: if request.committed { Outcome::Commit } else { Outcome::Abort },
        version: if version < END_V2 { TransactionVersion::V1 } else { TransactionVersion::V2 },
    };
    let response = EndTxnResponse { producer_id: -1, producer_epoch: -1, ..Default::default() };
    one(Response::EndTxn(response), &request.transactional_id, Asked::End(asked))
}

/// Partitions by topic, and a place in the answer for each. If one cannot be added, none is.
fn places(
    topics: &[AddPartitionsToTxnTopic],
    image: &Image,
    is_by_broker: bool,
) -> (Option<Partitions>, Vec<AddPartitionsToTxnTopicResult>) {
    let why_not = |topic: &AddPartitionsToTxnTopic, index: i32| {
        let known = image.topic_named(&topic.name);
        if known.is_none_or(|known| known.partition(PartitionIndex(index)).is_none()) {
            ErrorCode::UnknownTopicOrPartition
        } else if is_by_broker && coordinators::has_transactions(&topic.name)
            || !topic_name::is_internal(&topic.name)
        {
            ErrorCode::None
        } else {
            // As with Kafka, whoever asks.
            ErrorCode::TopicAuthorizationFailed
        }
    };
    let mut partitions = Partitions::new();
    let mut is_refused = false;
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let codes: Vec<_> = topic.partitions.iter().map(|it| why_not(topic, *it)).collect();
        is_refused |= codes.iter().any(|code| *code != ErrorCode::None);
        let result = |(index, code): (&i32, &ErrorCode)| AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: code.code(),
        };
        let results_by_partition = topic.partitions.iter().zip(&codes).map(result).collect();
        results.push(AddPartitionsToTxnTopicResult { name: topic.name.clone(), results_by_partition });
        if !topic.partitions.is_empty() {
            let indexes = topic.partitions.iter().map(|it| PartitionIndex(*it));
            partitions.entry(topic.name.clone()).or_default().extend(indexes);
        }
    }
    if is_refused {
        add_failed(&mut results, ErrorCode::OperationNotAttempted);
    }
    ((!is_refused).then_some(partitions), results)
}

fn add_partitions(request: AddPartitionsToTxnRequest, version: i16, image: &Image) -> Parts {
    let mut response = AddPartitionsToTxnResponse::default();
    let mut parts = Vec::new();
    if version < ADD_V2 {
        let (partitions, results) = places(&request.v3_and_below_topics, image, false);
        response.results_by_topic_v3_and_below = results;
        if let Some(partitions) = partitions.filter(|it| !it.is_empty()) {
            let id = request.v3_and_below_transactional_id;
            let asked = AddPartitions {
                transactional_id: id.clone(),
                producer: identity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
                partitions,
                version: TransactionVersion::V1,
            };
            parts.push((Whom::Named(id), coordinators::Asked::Transaction(Asked::AddPartitions(asked))));
        }
        return Parts { response: Response::AddPartitionsToTxn(response), parts };
    }
    for it in request.transactions {
        let (partitions, topic_results) = places(&it.topics, image, true);
        let transactional_id = it.transactional_id.clone();
        response.results_by_transaction.push(AddPartitionsToTxnResult { transactional_id, topic_results });
        // Where nothing can be added, whoever asks is told only whether the producer is who it says.
        let asked = AddPartitions {
            transactional_id: it.transactional_id.clone(),
            producer: identity(it.producer_id, it.producer_epoch),
            partitions: partitions.unwrap_or_default(),
            version: TransactionVersion::V2,
        };
        let asked = if it.verify_only || asked.partitions.is_empty() {
            Asked::Verify(asked)
        } else {
            Asked::AddPartitions(asked)
        };
        parts.push((Whom::Named(it.transactional_id), coordinators::Asked::Transaction(asked)));
    }
    Parts { response: Response::AddPartitionsToTxn(response), parts }
}

fn describe(request: DescribeTransactionsRequest) -> Parts {
    let state = |id: &String| describe_transactions::TransactionState {
        transactional_id: id.clone(),
        producer_id: -1,
        producer_epoch: -1,
        transaction_start_time_ms: -1,
        ..Default::default()
    };
    let transaction_states = request.transactional_ids.iter().map(state).collect();
    let response = Response::DescribeTransactions(DescribeTransactionsResponse {
        transaction_states,
        ..Default::default()
    });
    let part = |id: String| (Whom::Named(id.clone()), coordinators::Asked::Transaction(Asked::Describe(id)));
    Parts { response, parts: request.transactional_ids.into_iter().map(part).collect() }
}

fn list(request: &ListTransactionsRequest) -> Parts {
    let mut response = ListTransactionsResponse::default();
    let mut states = BTreeSet::new();
    for name in &request.state_filters {
        match TransactionState::from_name(name) {
            Some(state) => drop(states.insert(state)),
            None => response.unknown_state_filters.push(name.clone()),
        }
    }
    let pattern = request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty());
    let pattern = pattern.map(Pattern::new).transpose();
    if pattern.is_err() {
        response.error_code = ErrorCode::InvalidRegularExpression.code();
    }
    let is_none_left = states.is_empty() && !request.state_filters.is_empty();
    let asked = |pattern| List {
        states,
        producers: request.producer_id_filters.iter().map(|id| ProducerId(*id)).collect(),
        longer_than_ms: u64::try_from(request.duration_filter).ok(),
        pattern,
    };
    let asked = pattern.ok().filter(|_| !is_none_left).map(asked);
    let part = |asked| (Whom::All, coordinators::Asked::Transaction(Asked::List(asked)));
    Parts { response: Response::ListTransactions(response), parts: asked.into_iter().map(part).collect() }
}

/// Puts the answer to a part in its place.
pub(crate) fn give(response: &mut Response, place: usize, version: i16, reply: Reply) {
    match (response, reply) {
        (Response::InitProducerId(it), Reply::Init(Ok(identity))) => {
            (it.producer_id, it.producer_epoch) = (identity.producer.0, identity.epoch.0);
        }
        (Response::InitProducerId(it), Reply::Init(Err(error))) => {
            it.error_code = fenced_as_of(&error, version, INIT_KNOWS_FENCED).code();
        }
        (Response::EndTxn(it), Reply::End(Ok(identity))) => {
            if END_V2 <= version {
                (it.producer_id, it.producer_epoch) = (identity.producer.0, identity.epoch.0);
            }
        }
        (Response::EndTxn(it), Reply::End(Err(error))) => {
            it.error_code = fenced_as_of(&error, version, FENCED_IS_KNOWN).code();
        }
        (Response::AddOffsetsToTxn(it), Reply::AddPartitions(result)) => {
            it.error_code = result.map_or_else(
                |error| fenced_as_of(&error, version, FENCED_IS_KNOWN).code(),
                |()| ErrorCode::None.code(),
            );
        }
        (Response::AddPartitionsToTxn(it), Reply::AddPartitions(result)) => {
            if let Err(error) = result {
                failed_at(it, place, fenced_as_of(&error, version, FENCED_IS_KNOWN));
            }
        }
        (Response::AddPartitionsToTxn(it), Reply::Verify(Err(error))) => failed_at(it, place, error.code()),
        (Response::AddPartitionsToTxn(it), Reply::Verify(Ok(missing))) => {
            for topic in &mut it.results_by_transaction[place].topic_results {
                let missing = missing.get(&topic.name);
                for partition in &mut topic.results_by_partition {
                    let index = PartitionIndex(partition.partition_index);
                    if missing.is_some_and(|missing| missing.contains(&index)) {
                        partition.partition_error_code = ErrorCode::TransactionAbortable.code();
                    }
                }
            }
        }
        (Response::DescribeTransactions(it), Reply::Describe(result)) => {
            described(&mut it.transaction_states[place], result);
        }
        (Response::ListTransactions(it), Reply::List(listed)) => {
            it.transaction_states.extend(listed.into_iter().map(listed_one));
        }
        (response, reply) => panic!("{response:?} is answered with {reply:?}"),
    }
}

/// Producers of these versions know that they are fenced; older ones were told of their epoch (KIP-588).
const INIT_KNOWS_FENCED: i16 = 4;
const FENCED_IS_KNOWN: i16 = 2;

fn fenced_as_of(error: &TransactionError, version: i16, known_from: i16) -> ErrorCode {
    match error {
        TransactionError::Fenced if version < known_from => ErrorCode::InvalidProducerEpoch,
        error => error.code(),
    }
}

fn failed_at(response: &mut AddPartitionsToTxnResponse, place: usize, why: ErrorCode) {
    let topics = match response.results_by_transaction.get_mut(place) {
        Some(transaction) => &mut transaction.topic_results,
        None => &mut response.results_by_topic_v3_and_below,
    };
    add_failed(topics, why);
}

fn add_failed(topics: &mut [AddPartitionsToTxnTopicResult], why: ErrorCode) {
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.results_by_partition) {
        // What is said already is nearer to the point.
        if partition.partition_error_code == ErrorCode::None.code() {
            partition.partition_error_code = why.code();
        }
    }
}

fn described(
    state: &mut describe_transactions::TransactionState,
    result: Result<Description, TransactionError>,
) {
    let description = match result {
        Ok(description) => description,
        Err(error) => return state.error_code = error.code().code(),
    };
    description.state.name().clone_into(&mut state.transaction_state);
    state.transaction_timeout_ms = description.timeout_ms;
    state.transaction_start_time_ms = description.started_at.map_or(-1, |at| at.0);
    state.producer_id = description.producer.producer.0;
    state.producer_epoch = description.producer.epoch.0;
    state.topics = description
        .partitions
        .into_iter()
        .map(|(topic, partitions)| describe_transactions::TopicData {
            topic,
            partitions: partitions.into_iter().map(|it| it.0).collect(),
        })
        .collect();
}

fn listed_one(it: Listed) -> list_transactions::TransactionState {
    list_transactions::TransactionState {
        transactional_id: it.transactional_id,
        producer_id: it.producer.0,
        transaction_state: it.state.name().to_owned(),
    }
}

/// There is no answer to a part: why not.
pub(crate) fn fail(response: &mut Response, place: usize, why: ErrorCode) {
    match response {
        Response::InitProducerId(it) => it.error_code = why.code(),
        Response::EndTxn(it) => it.error_code = why.code(),
        Response::AddOffsetsToTxn(it) => it.error_code = why.code(),
        Response::AddPartitionsToTxn(it) => failed_at(it, place, why),
        Response::DescribeTransactions(it) => it.transaction_states[place].error_code = why.code(),
        Response::ListTransactions(it) => it.error_code = why.code(),
        other => panic!("{other:?} is no answer about transactions"),
    }
}

/// The group's partition of the topic that offsets are kept in becomes part of the transaction.
pub(crate) fn add_offsets(request: &AddOffsetsToTxnRequest, partition: PartitionIndex) -> Parts {
    let topic = coordinators::Kind::Groups.topic().to_owned();
    let asked = AddPartitions {
        transactional_id: request.transactional_id.clone(),
        producer: identity(request.producer_id, request.producer_epoch),
        partitions: Partitions::from([(topic, BTreeSet::from([partition]))]),
        // Whoever speaks the newer protocol does not ask: its offsets add their partition themselves.
        version: TransactionVersion::V1,
    };
    let response = Response::AddOffsetsToTxn(AddOffsetsToTxnResponse::default());
    one(response, &request.transactional_id, Asked::AddPartitions(asked))
}
