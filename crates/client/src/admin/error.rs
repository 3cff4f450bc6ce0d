//! Why an administrator's request failed.

use klamm_model::ErrorCode;

use crate::call::CallError;

/// Why an administrator's request failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    /// The broker said no.
    #[error("{subject}: {}", explained(*.code, .message))]
    Refused {
        /// What it was about.
        subject: String,
        /// The error code.
        code: ErrorCode,
        /// The broker's explanation, if it gave one.
        message: Option<String>,
    },
    /// The request brought no answer.
    #[error("{0}")]
    Call(#[from] CallError),
}

impl AdminError {
    /// The error code, if a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Call(_) => None,
        }
    }

    /// Whether the broker does not know this kind of request, or not as it was meant.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code == ErrorCode::UnsupportedVersion,
            Self::Call(error) => {
                matches!(error, CallError::Unsupported { .. } | CallError::Unencodable { .. })
            }
        }
    }
}

fn explained(code: ErrorCode, message: &Option<String>) -> String {
    match (code, message.as_deref().filter(|message| !message.is_empty())) {
        (ErrorCode::UnknownTopicOrPartition, _) => "there is no such topic or partition".into(),
        (ErrorCode::TopicAlreadyExists, _) => "the topic exists already".into(),
        (ErrorCode::GroupIdNotFound, _) => "there is no such group".into(),
        (ErrorCode::TransactionalIdNotFound, _) => "there is no such transactional id".into(),
        (ErrorCode::NonEmptyGroup, _) => {
            "the group has members (one with a group.instance.id that is stopped is a member until its session is over)".into()
        }
        (ErrorCode::GroupSubscribedToTopic, None) => "members of the group read the topic".into(),
        (ErrorCode::OffsetOutOfRange, None) => "the log has no such offset".into(),
        (ErrorCode::LeaderNotAvailable, None) => "the partition has no leader".into(),
        (code, Some(message)) => format!("{message} ({code})"),
        (code, None) => format!("the broker answered {code}"),
    }
}

/// An attempt that failed, before it is known what it was about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Refused { code: ErrorCode, message: Option<String> },
    Call(CallError),
}

impl Failure {
    /// The answer says nothing of what was asked for.
    pub(super) fn silent() -> Self {
        let message = Some("the answer does not mention it".to_owned());
        Self::Refused { code: ErrorCode::UnknownServerError, message }
    }

    /// An answer that carries an error.
    pub(super) fn of(code: i16, message: Option<String>) -> Self {
        let code = ErrorCode::told(code);
        Self::Refused { code, message }
    }

    pub(super) fn refused(code: ErrorCode) -> Self {
        Self::Refused { code, message: None }
    }

    pub(super) fn about(self, subject: &(impl ToString + ?Sized)) -> AdminError {
        match self {
            Self::Refused { code, message } => {
                AdminError::Refused { subject: subject.to_string(), code, message }
            }
            Self::Call(error) => AdminError::Call(error),
        }
    }

    /// Whether asking again may help. A change that may have been made must not be asked for twice.
    pub(super) fn is_passing(&self, is_question: bool) -> bool {
        match self {
            // Also when the controller that was asked is gone.
            Self::Refused { code: ErrorCode::RequestTimedOut, .. } => is_question,
            Self::Refused { code, .. } => matches!(
                code,
                ErrorCode::NotController
                    | ErrorCode::BrokerNotAvailable
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
                    | ErrorCode::OffsetNotAvailable
                    | ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::ConcurrentTransactions
            ),
            Self::Call(error) => error.is_retriable() && (is_question || error.was_not_sent()),
        }
    }
}

/// The error that an answer carries, if it does.
pub(super) fn check(code: i16, message: Option<String>) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::of(code, message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_been_done_is_asked_for_again() {
        let lost = Failure::Call(CallError::Broken { address: "a:1".into(), problem: "gone".into() });
        let absent = Failure::Call(CallError::Connect { address: "a:1".into(), problem: "refused".into() });
        let moved = Failure::refused(ErrorCode::NotController);
        let there = Failure::refused(ErrorCode::TopicAlreadyExists);
        let late = Failure::refused(ErrorCode::RequestTimedOut);
        for (failure, question, change) in [
            (lost, true, false),
            (absent, true, true),
            (moved, true, true),
            (there, false, false),
            (late, true, false),
        ] {
            assert_eq!(failure.is_passing(true), question, "{failure:?}");
            assert_eq!(failure.is_passing(false), change, "{failure:?}");
        }
    }

    #[test]
    fn an_error_says_what_it_is_about() {
        let explained =
            Failure::Refused { code: ErrorCode::InvalidPartitions, message: Some("too few".into()) };
        assert_eq!(explained.about("orders").to_string(), "orders: too few (INVALID_PARTITIONS)");
        let bare = Failure::refused(ErrorCode::PolicyViolation);
        assert_eq!(bare.about("orders").to_string(), "orders: the broker answered POLICY_VIOLATION");
    }
}
