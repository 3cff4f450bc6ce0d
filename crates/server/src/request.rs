//! From a frame to something the node can be asked, and from its answer to what goes out. Knows no sockets and no threads.

use std::{fs::File, io, sync::Arc};

use bytes::Bytes;
use klamm_log::{Files, REPLACED, SegmentId};
use klamm_model::{ErrorCode, Timestamp};
use klamm_node::{
    Body, Found, Listener, Origin, Reply, View, answer_from_view, api_versions_misplaced,
    api_versions_unsupported, begin_to_prepare,
};
use klamm_wire::{
    ApiKey, DecodeError, EncodeError, Limits, Part, Reader, Records, Request, RequestHeader, Response,
    encode_response,
};

use crate::{
    metrics::{Metrics, has_error},
    output::{FilePiece, Piece},
};

/// What an answer needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) correlation_id: i32,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
}

/// A request that was read.
#[derive(Debug)]
pub(crate) enum Taken {
    /// For the node to decide, with what the client calls itself.
    Ask { client_id: Option<String>, body: Body },
    /// Answered already, from what is published.
    Answer(Response),
}

/// What a list of partitions that are read may become: as much as a Fetch of 73,000 of them, far more than a broker has. The node's lock is held while such a
/// list is gone through. Admins may have longer lists, of topics with configs.
const READ_LIMITS: Limits = Limits { decoded_bytes_max: 4 << 20 };

/// A request of this size that brings no records names hundreds of things, and each takes its time.
const LISTS_MANY_SIZE: usize = 16 << 10;

impl Asked {
    /// Whether a long list has to be gone through for it.
    pub(crate) fn is_costly(self, frame_size: usize) -> bool {
        self.key != ApiKey::Produce && frame_size >= LISTS_MANY_SIZE
    }
}

/// Why a frame is no request of ours; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("header: {0}")]
    Header(DecodeError),
    #[error("{key} version {version}: {error}")]
    Body { key: ApiKey, version: i16, error: DecodeError },
    #[error("{key} version {version} is not served here")]
    NotServed { key: ApiKey, version: i16 },
}

/// Reads a frame. Records are checked here: this is the costly part, and it needs nothing but the frame.
pub(crate) fn take(
    frame: Bytes,
    view: &View,
    origin: &Origin,
    wall: Timestamp,
) -> Result<(Asked, Taken), RequestError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).map_err(RequestError::Header)?;
    let (key, version) = (header.api_key, header.api_version);
    let asked = Asked { correlation_id: header.correlation_id, key, version };
    let is_served = match origin.listener {
        Listener::Client => key.is_served(version),
        // What brokers say to each other is nobody else's business.
        Listener::Broker => key.versions().contains(&version),
    };
    if !is_served {
        return match key {
            ApiKey::ApiVersions => Ok((
                Asked { version: 0, ..asked },
                Taken::Answer(Response::ApiVersions(api_versions_unsupported())),
            )),
            _ => Err(RequestError::NotServed { key, version }),
        };
    }
    if matches!(key, ApiKey::Fetch | ApiKey::ListOffsets) {
        reader.limit(READ_LIMITS);
    }
    let refuse = |error| RequestError::Body { key, version, error };
    let request = Request::decode(key, version, &mut reader).map_err(refuse)?;
    // Bytes may be left: librdkafka appends one to Metadata 13, and Kafka does not look at them either. They are within the frame, so they harm nobody.
    let taken = match answer_from_view(view, origin, version, &request) {
        Some(response) => Taken::Answer(response),
        None => Taken::Ask { client_id: header.client_id, body: begin_to_prepare(request, view, wall) },
    };
    Ok((asked, taken))
}

/// The whole answer to a client that asks what is served where only nodes are, if this frame is that question.
pub(crate) fn misplaced(frame: Bytes) -> Option<Bytes> {
    let RequestHeader { api_key, api_version, correlation_id, .. } =
        RequestHeader::decode(&mut Reader::new(frame)).ok()?;
    if api_key != ApiKey::ApiVersions {
        return None;
    }
    let version = if api_key.is_served(api_version) { api_version } else { 0 };
    let response = Response::ApiVersions(api_versions_misplaced());
    encode_response(correlation_id, version, &response).ok()?.to_bytes()
}

/// What is read of the page cache for an answer at most, on a thread that others wait for.
const CACHED_BYTES_MAX: usize = 1 << 20;

/// Asks the page cache what an answer needs to know of the disk; `None` if something of it is not there, or it is much.
pub(crate) fn look_cached(reply: &Reply, files: &Files) -> Option<Found> {
    let (mut is_cached, mut bytes) = (true, 0);
    let found = reply.look(&mut |segment, kind, position, buffer| {
        is_cached &= bytes < CACHED_BYTES_MAX;
        if !is_cached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = files.read_cached(segment, kind, position, buffer);
        is_cached &= !matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        bytes += read.as_ref().map_or(0, |size| *size);
        read
    });
    is_cached.then_some(found)
}

/// As [`look_cached`], for a thread that may wait for the disk.
pub(crate) fn look(reply: &Reply, files: &Files) -> Found {
    reply.look(&mut |segment, kind, position, buffer| files.read_at(segment, kind, position, buffer))
}

/// What goes out for an answer, in order. One that cannot be encoded is a bug of ours.
pub(crate) fn encode(
    asked: Asked,
    (reply, found): (Reply, Found),
    files: &Files,
    metrics: &Metrics,
    suspect: &mut dyn FnMut(SegmentId),
) -> Result<Vec<Piece>, EncodeError> {
    let (mut response, ranges) = reply.complete(found, suspect);
    let opened: Vec<_> = ranges.iter().map(|it| files.segment_file(it.segment)).collect();
    if opened.iter().any(Result::is_err) {
        leave_out(&mut response, &opened);
    }
    let encoded = encode_response(asked.correlation_id, asked.version, &response)?;
    let (mut bytes, mut record_bytes) = (0, 0);
    for part in &encoded.parts {
        match part {
            Part::Bytes(part) => bytes += part.len(),
            Part::Hole { size, .. } => record_bytes += *size as usize,
        }
    }
    metrics.answered(asked.key, bytes + record_bytes, record_bytes, has_error(&response));
    let pieces = encoded
        .parts
        .into_iter()
        .map(|part| match part {
            Part::Bytes(bytes) => Piece::Bytes(bytes),
            Part::Hole { size, token } => {
                let range = &ranges[token as usize].range;
                assert_eq!(range.len(), size as usize, "a hole of another size than its range");
                let file = opened[token as usize].as_ref().expect("others were left out");
                let (file, position) = (Arc::clone(file), u64::from(range.start));
                Piece::File(FilePiece { file, position, size: size as usize })
            }
        })
        .collect();
    Ok(pieces)
}

/// Between the look and the answer a segment may be compacted, or gone. The reader gets nothing of it now, and other places, or why not, when it asks again.
fn leave_out(response: &mut Response, opened: &[io::Result<Arc<File>>]) {
    let Response::Fetch(response) = response else { return };
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let Some(Records::Hole { token, .. }) = partition.records else { continue };
        let Err(error) = &opened[token as usize] else { continue };
        partition.records = Some(Records::Bytes(Bytes::new()));
        if error.kind() != REPLACED {
            tracing::warn!(partition = partition.partition_index, %error, "records could not be sent");
            partition.error_code = ErrorCode::KafkaStorageError.code();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use klamm_log::{DiskAction, DiskOp, FileKind, Log, LogConfig, OpId, SegmentVersion, compact};
    use klamm_model::{
        BatchBuilder, LeaderEpoch, Offset, PartitionIndex, ProduceLimits, Seal, TopicId, TopicPartition,
        validate_produce,
    };
    use klamm_node::Lookup;
    use klamm_wire::{
        FetchResponse,
        fetch::{FetchableTopicResponse, PartitionData},
    };

    use super::*;

    fn settle(files: &Files, log: &mut Log, mut ops: Vec<DiskOp>) {
        while let Some(op) = ops.pop() {
            log.done(op.id, files.perform(&op), &mut ops);
        }
    }

    const PARTITION: TopicPartition = TopicPartition { topic: TopicId::ZERO, partition: PartitionIndex(0) };

    /// A log on the disk with one record.
    fn log_of(place: &Path, value: &[u8]) -> (Files, Log) {
        let files = Files::open(place).expect("opened");
        let mut ops = Vec::new();
        let mut log = Log::create(PARTITION, "t-0".to_owned(), LogConfig::default(), &mut ops);
        let mut builder = BatchBuilder::default();
        builder.append(Timestamp(1000), None, Some(value), &[]);
        let bytes = builder.finish(&Seal::default());
        let batch = validate_produce(&bytes, &ProduceLimits::default()).expect("a good batch");
        log.append_as_leader(LeaderEpoch(0), &batch, bytes, &mut ops).expect("appended");
        settle(&files, &mut log, ops);
        (files, log)
    }

    #[test]
    fn an_answer_that_needs_much_of_the_page_cache_is_left_to_a_disk_thread() {
        let place = tempfile::tempdir().expect("a directory");
        let (files, log) = log_of(place.path(), &vec![1; CACHED_BYTES_MAX / 8]);
        for (count, is_found) in [(2, true), (20, false)] {
            let lookup = || log.lookup_time(Timestamp(1000), log.written());
            let lookups =
                (0..count).map(|partition| Lookup { topic: 0, partition, lookup: lookup() }).collect();
            let reply = Reply::Times { response: Default::default(), lookups, has_epochs: true };
            assert_eq!(look_cached(&reply, &files).is_some(), is_found, "{count} times");
        }
    }

    fn fetched(partition: PartitionData) -> FetchResponse {
        let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }
    }

    /// Between the look and the answer its segment is compacted, or its topic deleted.
    #[test]
    fn records_that_are_gone_cost_their_reader_those_records_alone() {
        for (is_compacted, expected) in [(true, ErrorCode::None), (false, ErrorCode::KafkaStorageError)] {
            let place = tempfile::tempdir().expect("a directory");
            let (files, log) = log_of(place.path(), b"value");
            let plan = log.read(Offset::ZERO, log.written(), 1 << 20).expect("in range").expect("written");
            let segment = plan.segment.id;
            let hole = Some(Records::Hole { size: 0, token: 0 });
            let response = fetched(PartitionData { records: hole, ..Default::default() });
            let reply = Reply::Fetch { response, reads: vec![plan], aborted: Vec::new(), bytes_max: 1 << 20 };
            let found = look(&reply, &files);
            let action = if is_compacted {
                let name = place.path().join("t-0").join(FileKind::Log.file_name(Offset::ZERO));
                std::fs::write(name.with_extension(format!("log{}", compact::CLEANED)), b"")
                    .expect("written");
                DiskAction::Swap { segment: SegmentVersion { id: segment, version: 1 }, replaced: vec![] }
            } else {
                DiskAction::DeletePartition
            };
            files.perform(&DiskOp { partition: PARTITION, id: OpId(1), action }).expect("done");

            let asked = Asked { correlation_id: 1, key: ApiKey::Fetch, version: 12 };
            let sent = |answer| {
                let pieces = encode(asked, answer, &files, &Metrics::default(), &mut |_| {});
                let bytes = |piece| match piece {
                    Piece::Bytes(bytes) => bytes,
                    Piece::File(piece) => panic!("{piece:?} is gone"),
                };
                pieces.expect("encoded").into_iter().map(bytes).collect::<Vec<_>>().concat()
            };
            let records = Some(Records::Bytes(Bytes::new()));
            let empty = PartitionData { error_code: expected.code(), records, ..Default::default() };
            let empty = Reply::Ready(Response::Fetch(fetched(empty)));
            let nothing = look(&empty, &files);
            assert_eq!(sent((reply, found)), sent((empty, nothing)), "{expected:?}");
        }
    }
}
