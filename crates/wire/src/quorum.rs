//! What the engines of one cluster say to each other, after the greeting: frames with a number by which an answer finds its question.
//!
//! Not Kafka's. The engine here pushes entries, Kafka's pull them; the payload of an entry is the engine's own.
//!
//! ```text
//!   i32 size | i8 kind | i64 number | fields
//! ```

use bytes::Bytes;
use klamm_model::BrokerId;
use uuid::Uuid;

use crate::{
    reader::{DecodeError, DecodeProblem, Limits, Reader},
    writer::{EncodeError, Writer},
};

/// A frame, without its size, is not longer. Whoever sends keeps well below: two entries of the largest size fit.
pub const QUORUM_FRAME_BYTES_MAX: usize = 8 << 20;

/// A term fits where Kafka has a leader's epoch.
const TERM_MAX: i64 = i32::MAX as i64;

/// Whom a node votes for, and whether a majority did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ballot {
    /// 0 before the first election.
    pub term: u64,
    /// Nobody before the first election.
    pub candidate: Option<BrokerId>,
    /// The candidate leads.
    pub is_elected: bool,
}

/// The place of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogPoint {
    /// Of the leader that wrote it first.
    pub term: u64,
    /// From 0.
    pub index: u64,
}

/// An entry of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumEntry {
    /// Its place.
    pub at: LogPoint,
    /// As the engine wrote it.
    pub payload: Bytes,
}

/// What became of entries that were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendOutcome {
    /// All are on disk.
    Done,
    /// Those up to this one are.
    Partly(Option<LogPoint>),
    /// The entry before them is not there.
    Conflict,
    /// Their sender leads no more.
    Deposed(Ballot),
}

/// A question, or the answer to one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum QuorumMessage {
    /// From the leader: entries, which may be none.
    Append {
        vote: Ballot,
        previous: Option<LogPoint>,
        committed: Option<LogPoint>,
        entries: Vec<QuorumEntry>,
    },
    Appended(AppendOutcome),
    /// From a candidate.
    Vote {
        vote: Ballot,
        last: Option<LogPoint>,
    },
    Voted {
        vote: Ballot,
        is_granted: bool,
        last: Option<LogPoint>,
    },
    /// From whoever would like to be a candidate: would you vote for me? Nothing comes of the answer but that.
    PreVote {
        term: u64,
        last: Option<LogPoint>,
    },
    PreVoted {
        is_granted: bool,
    },
    /// From the leader, all the time. `leads` is false while it hears no majority; `sent_ms` is by its own clock and comes back.
    Beat {
        term: u64,
        leads: bool,
        sent_ms: u64,
    },
    Beaten {
        term: u64,
        sent_ms: u64,
    },
    /// The engine asked is about to end, or what came makes no sense to it.
    Failed,
    /// From the leader: a piece of a snapshot, for who is too far behind. It is asked for in order, and begins at 0.
    Snapshot {
        vote: Ballot,
        size: u64,
        at: u64,
        bytes: Bytes,
    },
    /// To the leader, and never answered: this node asks to be let in. Whoever it asked does not lead.
    Join {
        node: BrokerId,
        directory: Uuid,
        host: String,
        port: u16,
    },
    /// The piece came, and with the last one the snapshot is in its place.
    SnapshotTaken {
        vote: Ballot,
    },
}

/// A message and the number of the question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumFrame {
    /// The asker counts; an answer has its question's.
    pub number: u64,
    /// The message.
    pub message: QuorumMessage,
}

impl QuorumFrame {
    /// The whole frame.
    ///
    /// # Errors
    /// If it is longer than the protocol can carry.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::begin_frame();
        writer.i8(self.message.kind());
        put_u64(&mut writer, self.number);
        self.message.put(&mut writer)?;
        Ok(writer.finish_frame()?.to_bytes().expect("no records, so no holes"))
    }

    /// Of a frame without its size.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let limits = Limits::for_frame(frame.len());
        let mut reader = Reader::with_limits(frame, limits);
        let kind = reader.i8()?;
        let number = get_u64(&mut reader)?;
        let message = QuorumMessage::get(kind, &mut reader)?;
        reader.finish()?;
        Ok(Self { number, message })
    }
}

impl QuorumMessage {
    fn kind(&self) -> i8 {
        match self {
            Self::Append { .. } => 0,
            Self::Appended(_) => 1,
            Self::Vote { .. } => 2,
            Self::Voted { .. } => 3,
            Self::PreVote { .. } => 4,
            Self::PreVoted { .. } => 5,
            Self::Beat { .. } => 6,
            Self::Beaten { .. } => 7,
            Self::Failed => 8,
            Self::Snapshot { .. } => 9,
            Self::SnapshotTaken { .. } => 10,
            Self::Join { .. } => 11,
        }
    }

    fn put(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        match self {
            Self::Append { vote, previous, committed, entries } => {
                put_ballot(writer, *vote);
                put_point(writer, *previous);
                put_point(writer, *committed);
                let count = entries.len();
                writer.i32(i32::try_from(count).map_err(|_| EncodeError::TooLong { size: count })?);
                for entry in entries {
                    put_point(writer, Some(entry.at));
                    writer.bytes(&entry.payload)?;
                }
            }
            Self::Appended(outcome) => match outcome {
                AppendOutcome::Done => writer.i8(0),
                AppendOutcome::Partly(upto) => {
                    writer.i8(1);
                    put_point(writer, *upto);
                }
                AppendOutcome::Conflict => writer.i8(2),
                AppendOutcome::Deposed(vote) => {
                    writer.i8(3);
                    put_ballot(writer, *vote);
                }
            },
            Self::Vote { vote, last } => {
                put_ballot(writer, *vote);
                put_point(writer, *last);
            }
            Self::Voted { vote, is_granted, last } => {
                put_ballot(writer, *vote);
                writer.bool(*is_granted);
                put_point(writer, *last);
            }
            Self::PreVote { term, last } => {
                put_u64(writer, *term);
                put_point(writer, *last);
            }
            Self::PreVoted { is_granted } => writer.bool(*is_granted),
            Self::Beat { term, leads, sent_ms } => {
                put_u64(writer, *term);
                writer.bool(*leads);
                put_u64(writer, *sent_ms);
            }
            Self::Beaten { term, sent_ms } => {
                put_u64(writer, *term);
                put_u64(writer, *sent_ms);
            }
            Self::Failed => {}
            Self::Snapshot { vote, size, at, bytes } => {
                put_ballot(writer, *vote);
                put_u64(writer, *size);
                put_u64(writer, *at);
                writer.bytes(bytes)?;
            }
            Self::SnapshotTaken { vote } => put_ballot(writer, *vote),
            Self::Join { node, directory, host, port } => {
                writer.i32(node.0);
                writer.uuid(*directory);
                writer.string(host)?;
                writer.u16(*port);
            }
        }
        Ok(())
    }

    fn get(kind: i8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match kind {
            0 => Self::Append {
                vote: get_ballot(reader)?,
                previous: get_point(reader)?,
                committed: get_point(reader)?,
                entries: get_entries(reader)?,
            },
            1 => Self::Appended(match reader.i8()? {
                0 => AppendOutcome::Done,
                1 => AppendOutcome::Partly(get_point(reader)?),
                2 => AppendOutcome::Conflict,
                3 => AppendOutcome::Deposed(get_ballot(reader)?),
                unknown => return Err(reader.error(DecodeProblem::UnsupportedVersion(unknown.into()))),
            }),
            2 => Self::Vote { vote: get_ballot(reader)?, last: get_point(reader)? },
            3 => Self::Voted {
                vote: get_ballot(reader)?,
                is_granted: reader.bool()?,
                last: get_point(reader)?,
            },
            4 => Self::PreVote { term: get_term(reader)?, last: get_point(reader)? },
            5 => Self::PreVoted { is_granted: reader.bool()? },
            6 => Self::Beat { term: get_term(reader)?, leads: reader.bool()?, sent_ms: get_u64(reader)? },
            7 => Self::Beaten { term: get_term(reader)?, sent_ms: get_u64(reader)? },
            8 => Self::Failed,
            9 => Self::Snapshot {
                vote: get_ballot(reader)?,
                size: get_u64(reader)?,
                at: get_u64(reader)?,
                bytes: reader.bytes()?,
            },
            10 => Self::SnapshotTaken { vote: get_ballot(reader)? },
            11 => Self::Join {
                node: BrokerId(reader.i32()?),
                directory: reader.uuid()?,
                host: reader.string()?,
                port: reader.u16()?,
            },
            unknown => return Err(reader.error(DecodeProblem::UnsupportedVersion(unknown.into()))),
        })
    }
}

fn put_u64(writer: &mut Writer, value: u64) {
    writer.i64(i64::try_from(value).unwrap_or(i64::MAX));
}

fn get_u64(reader: &mut Reader) -> Result<u64, DecodeError> {
    u64::try_from(reader.i64()?).map_err(|_| reader.error(DecodeProblem::NegativeLength))
}

fn get_term(reader: &mut Reader) -> Result<u64, DecodeError> {
    match get_u64(reader)? {
        term if term <= TERM_MAX as u64 => Ok(term),
        _ => Err(reader.error(DecodeProblem::AllowanceExceeded)),
    }
}

fn put_ballot(writer: &mut Writer, ballot: Ballot) {
    put_u64(writer, ballot.term);
    // Kafka's sentinel for "none".
    writer.i32(ballot.candidate.map_or(-1, |it| it.0));
    writer.bool(ballot.is_elected);
}

fn get_ballot(reader: &mut Reader) -> Result<Ballot, DecodeError> {
    let term = get_term(reader)?;
    let candidate = Some(reader.i32()?).filter(|it| 0 <= *it).map(BrokerId);
    Ok(Ballot { term, candidate, is_elected: reader.bool()? })
}

fn put_point(writer: &mut Writer, point: Option<LogPoint>) {
    writer.i64(point.map_or(-1, |it| i64::try_from(it.index).unwrap_or(i64::MAX)));
    if let Some(point) = point {
        put_u64(writer, point.term);
    }
}

fn get_point(reader: &mut Reader) -> Result<Option<LogPoint>, DecodeError> {
    match u64::try_from(reader.i64()?) {
        Ok(index) => Ok(Some(LogPoint { index, term: get_term(reader)? })),
        Err(_) => Ok(None),
    }
}

fn get_entries(reader: &mut Reader) -> Result<Vec<QuorumEntry>, DecodeError> {
    let count = reader.i32()?;
    let mut entries = Vec::new();
    // Nothing is set aside for a number that a peer names: each entry takes bytes of the frame.
    for _ in 0..count {
        let at = get_point(reader)?.ok_or_else(|| reader.error(DecodeProblem::NullNotAllowed))?;
        entries.push(QuorumEntry { at, payload: reader.bytes()? });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<QuorumMessage> {
        let vote = Ballot { term: 7, candidate: Some(BrokerId(3)), is_elected: true };
        let point = Some(LogPoint { term: 6, index: 41 });
        let entry = |index, payload: &'static [u8]| QuorumEntry {
            at: LogPoint { term: 7, index },
            payload: Bytes::from_static(payload),
        };
        vec![
            QuorumMessage::Append {
                vote,
                previous: point,
                committed: None,
                entries: vec![entry(42, b"one"), entry(43, b"")],
            },
            QuorumMessage::Appended(AppendOutcome::Done),
            QuorumMessage::Appended(AppendOutcome::Partly(point)),
            QuorumMessage::Appended(AppendOutcome::Conflict),
            QuorumMessage::Appended(AppendOutcome::Deposed(Ballot::default())),
            QuorumMessage::Vote { vote, last: point },
            QuorumMessage::Voted { vote, is_granted: false, last: None },
            QuorumMessage::PreVote { term: 7, last: point },
            QuorumMessage::PreVoted { is_granted: true },
            QuorumMessage::Beat { term: 7, leads: true, sent_ms: 12 },
            QuorumMessage::Beaten { term: 7, sent_ms: 12 },
            QuorumMessage::Failed,
            QuorumMessage::Snapshot { vote, size: 90, at: 7, bytes: Bytes::from_static(b"piece") },
            QuorumMessage::SnapshotTaken { vote },
            QuorumMessage::Join {
                node: BrokerId(4),
                directory: Uuid::from_u128(5),
                host: "h".to_owned(),
                port: 9,
            },
        ]
    }

    #[test]
    fn messages_are_read_as_they_were_written_and_nothing_less_is_taken_for_one() {
        for message in messages() {
            let frame = QuorumFrame { number: 9, message };
            let bytes = frame.encode().expect("short").slice(4..);
            assert_eq!(QuorumFrame::decode(bytes.clone()), Ok(frame.clone()));
            for size in 0..bytes.len() {
                QuorumFrame::decode(bytes.slice(..size)).expect_err("it is cut off");
            }
            QuorumFrame::decode([&bytes[..], &[0]].concat().into()).expect_err("something follows");
        }
    }

    #[test]
    fn what_no_engine_would_write_is_refused() {
        let frame = |parts: &[&[u8]]| Bytes::from(parts.concat());
        let number = 1_i64.to_be_bytes();
        QuorumFrame::decode(frame(&[&[99], &number])).expect_err("no such kind");
        let term = i64::MAX.to_be_bytes();
        QuorumFrame::decode(frame(&[&[4], &number, &term, &(-1_i64).to_be_bytes()]))
            .expect_err("no such term");
        let many = i32::MAX.to_be_bytes();
        let none = (-1_i64).to_be_bytes();
        let ballot = [&1_i64.to_be_bytes()[..], &(-1_i32).to_be_bytes(), &[0]].concat();
        QuorumFrame::decode(frame(&[&[0], &number, &ballot, &none, &none, &many])).expect_err("no entries");
    }
}
