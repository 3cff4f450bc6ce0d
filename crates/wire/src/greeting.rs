//! How nodes of one cluster greet each other: the first frame of every connection to the listener that is theirs alone, and its answer.
//!
//! Not Kafka's: no client ever sends it. The frame begins where Kafka's have their API key with a number that is none, so neither is taken for the other.
//!
//! ```text
//!   i32 size | i16 -27757 | i16 version | fields
//! ```

use bytes::Bytes;
use klamm_model::BrokerId;
use uuid::Uuid;

use crate::{
    reader::{DecodeError, DecodeProblem, Limits, Reader},
    writer::{EncodeError, Writer},
};

/// No greeting is longer: an address and a reason are all that varies. Before one has come, nobody knows who would make a node wait for more.
pub const GREETING_SIZE_MAX: u32 = 4 << 10;

/// Where a frame of Kafka's has its API key.
pub const GREETING_MARK: i16 = -27757;

/// Of the fields below. A node that greets in a version unknown here is told so, by this number.
const VERSION: i16 = 1;
/// With what a node says that is a broker only. The others greet as ever, so that nodes of before there were roles understand them.
const VERSION_OF_ROLES: i16 = 2;

/// What the connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GreetingPurpose {
    /// To ask who is there; nothing follows.
    Question,
    /// Kafka requests of a broker.
    Requests,
    /// Messages of the engine that orders metadata.
    Quorum,
}

/// A node as it tells of itself. The one that connects and the one that answers say the same things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// What for; an answer repeats it.
    pub purpose: GreetingPurpose,
    /// The node's number.
    pub node: BrokerId,
    /// The disk that has its metadata: the same number on another one is another node.
    pub directory: Uuid,
    /// The process; new at each start.
    pub incarnation: Uuid,
    /// The cluster it belongs to; `None` before it belongs to one.
    pub cluster_id: Option<String>,
    /// The disk of the node that it would let found a cluster; `None` where it has heard of none, or has a cluster. Two nodes that were told different ones found nothing.
    pub founder: Option<Uuid>,
    /// The newest records of metadata that it understands.
    pub level: i16,
    /// It may have a vote on metadata; else it is a broker and nothing else.
    pub may_vote: bool,
    /// Of a question of a node that wants to be let in: where the cluster can call it.
    pub address: Option<(String, u16)>,
    /// Of an answer: why nothing more may come by this connection.
    pub refused: Option<String>,
}

impl Greeting {
    /// The whole frame.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::begin_frame();
        writer.i16(GREETING_MARK);
        writer.i16(if self.may_vote { VERSION } else { VERSION_OF_ROLES });
        writer.i8(match self.purpose {
            GreetingPurpose::Question => 0,
            GreetingPurpose::Requests => 1,
            GreetingPurpose::Quorum => 2,
        });
        writer.i32(self.node.0);
        writer.uuid(self.directory);
        writer.uuid(self.incarnation);
        writer.nullable_string(&self.cluster_id)?;
        writer.uuid(self.founder.unwrap_or_default());
        writer.i16(self.level);
        let (host, port) = self.address.clone().unzip();
        writer.nullable_string(&host)?;
        writer.u16(port.unwrap_or_default());
        writer.nullable_string(&self.refused)?;
        if !self.may_vote {
            writer.bool(self.may_vote);
        }
        Ok(writer.finish_frame()?.to_bytes().expect("no records, so no holes"))
    }

    /// Whether this frame, without its size, is a greeting.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.starts_with(&GREETING_MARK.to_be_bytes())
    }

    /// Of a frame without its size.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let limits = Limits::for_frame(frame.len());
        let mut reader = Reader::with_limits(frame, limits);
        let (mark, version) = (reader.i16()?, reader.i16()?);
        if mark != GREETING_MARK {
            return Err(reader.error(DecodeProblem::UnknownApiKey(mark)));
        }
        if ![VERSION, VERSION_OF_ROLES].contains(&version) {
            return Err(reader.error(DecodeProblem::UnsupportedVersion(version)));
        }
        let purpose = match reader.i8()? {
            0 => GreetingPurpose::Question,
            1 => GreetingPurpose::Requests,
            2 => GreetingPurpose::Quorum,
            unknown => return Err(reader.error(DecodeProblem::UnsupportedVersion(i16::from(unknown)))),
        };
        let mut greeting = Self {
            purpose,
            node: BrokerId(reader.i32()?),
            directory: reader.uuid()?,
            incarnation: reader.uuid()?,
            cluster_id: reader.nullable_string(true)?,
            founder: Some(reader.uuid()?).filter(|it| !it.is_nil()),
            level: reader.i16()?,
            may_vote: true,
            address: {
                let host = reader.nullable_string(true)?;
                let port = reader.u16()?;
                host.map(|host| (host, port))
            },
            refused: reader.nullable_string(true)?,
        };
        if version == VERSION_OF_ROLES {
            greeting.may_vote = reader.bool()?;
        }
        reader.finish()?;
        Ok(greeting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_as_it_was_written_and_is_none_of_kafkas_requests() {
        let greeting = Greeting {
            purpose: GreetingPurpose::Quorum,
            node: BrokerId(3),
            directory: Uuid::from_u128(1),
            incarnation: Uuid::from_u128(2),
            cluster_id: Some("c".to_owned()),
            founder: Some(Uuid::from_u128(1)),
            level: 1,
            may_vote: true,
            address: Some(("h".to_owned(), 9)),
            refused: None,
        };
        let only = Greeting { may_vote: false, ..greeting.clone() };
        let of_broker = only.encode().expect("short fields").slice(4..);
        assert_eq!(Greeting::decode(of_broker), Ok(only));
        let frame = greeting.encode().expect("short fields").slice(4..);
        assert!(Greeting::is_one(&frame));
        assert_eq!(crate::ApiKey::from_number(GREETING_MARK), None);
        assert_eq!(Greeting::decode(frame.clone()), Ok(greeting));
        for size in 0..frame.len() {
            Greeting::decode(frame.slice(..size)).expect_err("it is cut off");
        }
        let newer = [&GREETING_MARK.to_be_bytes()[..], &[0, 9]].concat();
        Greeting::decode(newer.into()).expect_err("nobody knows its fields");
    }
}
