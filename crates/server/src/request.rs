//! From a frame to something the node can be asked, and from its answer to what goes out. Knows no sockets and no threads.

use std::io;

use bytes::Bytes;
use klamm_log::{Files, SegmentId};
use klamm_model::Timestamp;
use klamm_node::{
    Body, Found, Listener, Origin, Reply, View, answer_from_view, api_versions_unsupported, begin_to_prepare,
};
use klamm_wire::{
    ApiKey, DecodeError, EncodeError, Limits, Part, Reader, Request, RequestHeader, Response, encode_response,
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
    /// For the node to decide.
    Ask(Body),
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
        None => Taken::Ask(begin_to_prepare(request, view, wall)),
    };
    Ok((asked, taken))
}

/// Why an answer could not be made; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// A bug of ours.
    #[error("the answer cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("a segment file cannot be opened: {0}")]
    Segment(#[from] io::Error),
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

/// What goes out for an answer, in order.
pub(crate) fn encode(
    asked: Asked,
    (reply, found): (Reply, Found),
    files: &Files,
    metrics: &Metrics,
    suspect: &mut dyn FnMut(SegmentId),
) -> Result<Vec<Piece>, AnswerError> {
    let (response, ranges) = reply.complete(found, suspect);
    let encoded = encode_response(asked.correlation_id, asked.version, &response)?;
    let (mut bytes, mut record_bytes) = (0, 0);
    for part in &encoded.parts {
        match part {
            Part::Bytes(part) => bytes += part.len(),
            Part::Hole { size, .. } => record_bytes += *size as usize,
        }
    }
    metrics.answered(asked.key, bytes + record_bytes, record_bytes, has_error(&response));
    encoded
        .parts
        .into_iter()
        .map(|part| match part {
            Part::Bytes(bytes) => Ok(Piece::Bytes(bytes)),
            Part::Hole { size, token } => {
                let range = &ranges[token as usize];
                assert_eq!(range.range.len(), size as usize, "a hole of another size than its range");
                let file = files.segment_file(range.segment)?;
                Ok(Piece::File(FilePiece {
                    file,
                    position: u64::from(range.range.start),
                    size: size as usize,
                }))
            }
        })
        .collect()
}
