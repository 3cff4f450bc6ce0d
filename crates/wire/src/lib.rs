//! Kafka messages: frames, headers, generated requests and responses, and the table of API keys.
//!
//! Owns how bytes become values and values become bytes; knows no socket and not what a request means.
//! Whatever a peer sends is refused or becomes a value of bounded size: nothing is ever allocated because a peer
//! declared a size, only because it sent bytes.
//!
//! ```text
//!   received bytes --FrameBuffer--> frame --Reader--> RequestHeader, Request
//!   Response --encode_response--> Encoded: parts of bytes, and holes that are sent from elsewhere
//! ```

mod api;
mod frame;
mod greeting;
mod header;
mod message;
pub mod messages;
mod quorum;
mod reader;
mod records;
#[cfg(test)]
mod tests;
mod writer;

pub use api::{ApiKey, Request, Response, SERVED, Served};
pub use frame::{FrameBuffer, FrameError, FrameLimits, LooksLike, Peek, peek};
pub use greeting::{GREETING_MARK, GREETING_SIZE_MAX, Greeting, GreetingPurpose};
pub use header::{RequestHeader, ResponseHeader, encode_request, encode_response};
pub use message::{Element, Message};
pub use messages::*;
pub use quorum::{
    AppendOutcome, Ballot, LogPoint, QUORUM_FRAME_BYTES_MAX, QuorumEntry, QuorumFrame, QuorumMessage,
};
pub use reader::{DecodeError, DecodeProblem, Limits, Reader};
pub use records::Records;
pub use writer::{EncodeError, Encoded, Part, Tags, Writer};
