//! What a request to a broker brings: the answer of its kind, or why there is none.

use std::time::Duration;

use klamm_model::BrokerId;
use klamm_wire::{ApiKey, Response};
use tokio::time::timeout;

use crate::tls::TlsProblem;

/// Takes the answer of a kind out of all answers.
macro_rules! answer {
    ($response:expr, $name:ident) => {
        match $response {
            klamm_wire::Response::$name(answer) => answer,
            _ => unreachable!("answers are decoded as what was asked for"),
        }
    };
}
pub(crate) use answer;

/// Numbers the requests of one machine, so that an answer finds the question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// Why a request to a broker brought no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made.
    #[error("no broker answers at {address}: {problem}")]
    Connect {
        /// The address tried.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// The connection could not be secured as wanted, or the broker wants one that is.
    #[error("no secure connection to {address}: {problem}")]
    Tls {
        /// The address tried.
        address: String,
        /// What stands in the way.
        problem: TlsProblem,
    },
    /// What we are to secure connections with is of no use.
    #[error("TLS can't be set up: {0}")]
    TlsSetup(String),
    /// The broker does not believe that we are who we say.
    #[error("{address} does not let us in by {mechanism}: {problem}")]
    Unauthenticated {
        /// The broker's address.
        address: String,
        /// How it was to believe it.
        mechanism: &'static str,
        /// What it said, or what is wrong with what it said.
        problem: String,
    },
    /// The connection went away while the request was under way.
    #[error("the connection to {address} broke: {problem}")]
    Broken {
        /// The broker's address.
        address: String,
        /// What happened to it.
        problem: String,
    },
    /// No answer in time; the connection was given up.
    #[error("{address} did not answer {api} within {timeout_ms} ms")]
    TimedOut {
        /// The broker's address.
        address: String,
        /// The request.
        api: ApiKey,
        /// How long we waited.
        timeout_ms: u64,
    },
    /// The broker does not serve the request in any version that we write.
    #[error("{address} does not serve {api}")]
    Unsupported {
        /// The broker's address.
        address: String,
        /// The request.
        api: ApiKey,
    },
    /// The request can't be written in the version that the broker speaks.
    #[error("{api} can't be sent to {address}: {problem}")]
    Unencodable {
        /// The broker's address.
        address: String,
        /// The request.
        api: ApiKey,
        /// What does not fit.
        problem: String,
    },
    /// The answer is not what the protocol says.
    #[error("{address} answered {api} with something unreadable: {problem}")]
    Malformed {
        /// The broker's address.
        address: String,
        /// The request.
        api: ApiKey,
        /// What is wrong with it.
        problem: String,
    },
    /// The metadata names no address for this broker.
    #[error("broker {0} is not part of the cluster as we know it")]
    UnknownBroker(BrokerId),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl CallError {
    /// Whether the broker cannot have seen the request.
    pub fn was_not_sent(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TlsSetup(_)
            | Self::Unauthenticated { .. }
            | Self::Unsupported { .. }
            | Self::Unencodable { .. }
            | Self::UnknownBroker(_)
            | Self::Closed => true,
            Self::Broken { .. } | Self::TimedOut { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether trying again may help.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::TimedOut { .. } | Self::UnknownBroker(_) => {
                true
            }
            // Brokers that stop hang up too.
            Self::Tls { problem, .. } => *problem == TlsProblem::HungUp,
            Self::TlsSetup(_)
            | Self::Unauthenticated { .. }
            | Self::Unsupported { .. }
            | Self::Unencodable { .. }
            | Self::Malformed { .. }
            | Self::Closed => false,
        }
    }
}

/// A question ends with its time, also where a connection is still being made, which has a time of its own that others wait for too. Who is to change something says why it
/// could not when the time that it was given is over.
pub(crate) async fn in_time(
    api: ApiKey,
    timeout_ms: u64,
    asked: impl FnOnce() -> String,
    call: impl Future<Output = Result<Response, CallError>>,
) -> Result<Response, CallError> {
    if !is_question(api) {
        return call.await;
    }
    let answer = timeout(Duration::from_millis(timeout_ms), call).await;
    answer.unwrap_or_else(|_| Err(CallError::TimedOut { address: asked(), api, timeout_ms }))
}

/// Whether nothing is changed by it, so that the same may be asked twice.
pub(crate) fn is_question(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Metadata
            | ApiKey::ApiVersions
            | ApiKey::ListOffsets
            | ApiKey::DescribeConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::ListPartitionReassignments
            | ApiKey::DescribeQuorum
            | ApiKey::DescribeCluster
            | ApiKey::DescribeProducers
            | ApiKey::ListConfigResources
            | ApiKey::DescribeTopicPartitions
            | ApiKey::DescribeAcls
            | ApiKey::DescribeClientQuotas
            | ApiKey::DescribeUserScramCredentials
            | ApiKey::DescribeDelegationToken
            | ApiKey::FindCoordinator
            | ApiKey::ListGroups
            | ApiKey::DescribeGroups
            | ApiKey::OffsetFetch
            | ApiKey::ListTransactions
            | ApiKey::DescribeTransactions
    )
}
