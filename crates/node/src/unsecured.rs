//! What Kafka answers where there is no authorizer and no SASL: to questions about ACLs, SCRAM users, delegation tokens and SASL itself, and what everybody
//! may do there.
//!
//! A client must be able to tell "not set up" from "not known": Kafka serves these keys on every listener, so do we.

use std::collections::BTreeMap;

use klamm_model::ErrorCode;
use klamm_wire::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, CreateAclsResponse,
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DeleteAclsResponse, DescribeAclsResponse,
    DescribeDelegationTokenResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, ExpireDelegationTokenResponse, RenewDelegationTokenResponse,
    Request, Response, SaslAuthenticateResponse, SaslHandshakeResponse,
    alter_user_scram_credentials::AlterUserScramCredentialsResult, create_acls::AclCreationResult,
    delete_acls::DeleteAclsFilterResult, describe_user_scram_credentials::DescribeUserScramCredentialsResult,
};

/// "Nobody asked which operations are allowed."
const NOT_ASKED: i32 = i32::MIN;

/// Kafka's `AclOperation`s that a topic has, one bit each: read, write, create, delete, alter, describe, describe and alter configs.
pub(crate) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// The same for the cluster: create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub(crate) const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// The same for a group: read, delete, describe, describe and alter configs.
pub(crate) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Where nobody is refused anything, all operations are allowed, to those who ask which.
pub(crate) fn allowed(operations: i32, is_asked: bool) -> i32 {
    if is_asked { operations } else { NOT_ASKED }
}

/// The answer to a request about security, `None` to any other.
pub(crate) fn answer(request: &Request, version: i16) -> Option<Response> {
    const NO_AUTHORIZER: &str = "No Authorizer is configured.";
    let disabled = ErrorCode::SecurityDisabled.code();
    let not_allowed = ErrorCode::DelegationTokenRequestNotAllowed.code();
    Some(match request {
        Request::DescribeAcls(_) => Response::DescribeAcls(DescribeAclsResponse {
            error_code: disabled,
            error_message: Some(NO_AUTHORIZER.to_owned()),
            ..Default::default()
        }),
        Request::CreateAcls(it) => {
            let result =
                AclCreationResult { error_code: disabled, error_message: Some(NO_AUTHORIZER.to_owned()) };
            let results = vec![result; it.creations.len()];
            Response::CreateAcls(CreateAclsResponse { results, ..Default::default() })
        }
        Request::DeleteAcls(it) => {
            let result = DeleteAclsFilterResult {
                error_code: disabled,
                error_message: Some(NO_AUTHORIZER.to_owned()),
                ..Default::default()
            };
            let filter_results = vec![result; it.filters.len()];
            Response::DeleteAcls(DeleteAclsResponse { filter_results, ..Default::default() })
        }
        Request::DescribeUserScramCredentials(it) => Response::DescribeUserScramCredentials(scram_users(it)),
        Request::AlterUserScramCredentials(it) => Response::AlterUserScramCredentials(alter_scram_users(it)),
        // Kafka gives tokens only over connections that are both encrypted and authenticated.
        Request::CreateDelegationToken(it) => {
            Response::CreateDelegationToken(Box::new(no_token(it, version)))
        }
        Request::RenewDelegationToken(_) => Response::RenewDelegationToken(RenewDelegationTokenResponse {
            error_code: not_allowed,
            expiry_timestamp_ms: -1,
            ..Default::default()
        }),
        Request::ExpireDelegationToken(_) => Response::ExpireDelegationToken(ExpireDelegationTokenResponse {
            error_code: not_allowed,
            expiry_timestamp_ms: -1,
            ..Default::default()
        }),
        Request::DescribeDelegationToken(_) => {
            Response::DescribeDelegationToken(DescribeDelegationTokenResponse {
                error_code: not_allowed,
                ..Default::default()
            })
        }
        Request::SaslHandshake(_) => Response::SaslHandshake(SaslHandshakeResponse {
            error_code: ErrorCode::IllegalSaslState.code(),
            ..Default::default()
        }),
        Request::SaslAuthenticate(_) => Response::SaslAuthenticate(SaslAuthenticateResponse {
            error_code: ErrorCode::IllegalSaslState.code(),
            error_message: Some("this listener does not ask for authentication".to_owned()),
            ..Default::default()
        }),
        _ => return None,
    })
}

/// There are no SCRAM users while nothing could authenticate them.
fn scram_users(request: &DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for user in request.users.iter().flatten() {
        *times.entry(&user.name).or_default() += 1;
    }
    let result = |(user, count): (&str, usize)| {
        let (code, message) = if count == 1 {
            (ErrorCode::ResourceNotFound, "there is no such user")
        } else {
            (ErrorCode::DuplicateResource, "the user is named more than once")
        };
        DescribeUserScramCredentialsResult {
            user: user.to_owned(),
            error_code: code.code(),
            error_message: Some(message.to_owned()),
            ..Default::default()
        }
    };
    DescribeUserScramCredentialsResponse {
        error_message: None,
        results: times.into_iter().map(result).collect(),
        ..Default::default()
    }
}

/// Nobody can be deleted who is not there. To take a password and never ask for it would be worse than to refuse it.
fn alter_scram_users(request: &AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
    const MECHANISMS: std::ops::RangeInclusive<i8> = 1..=2;
    let deletions =
        request.deletions.iter().map(|it| (it.name.as_str(), !MECHANISMS.contains(&it.mechanism)));
    let upsertions = request.upsertions.iter().map(|it| (it.name.as_str(), true));
    let mut wishes: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for (user, is_unsupported) in deletions.chain(upsertions) {
        wishes.entry(user).or_default().push(is_unsupported);
    }
    let result = |(user, wishes): (&str, Vec<bool>)| {
        let (code, message) = match wishes[..] {
            [_] if user.is_empty() => (ErrorCode::UnacceptableCredential, "a user name cannot be empty"),
            [false] => (ErrorCode::ResourceNotFound, "there is no such user"),
            [true] => (ErrorCode::UnsupportedSaslMechanism, "no listener here asks for SCRAM"),
            _ => (ErrorCode::DuplicateResource, "the user is named more than once"),
        };
        AlterUserScramCredentialsResult {
            user: user.to_owned(),
            error_code: code.code(),
            error_message: Some(message.to_owned()),
        }
    };
    AlterUserScramCredentialsResponse {
        results: wishes.into_iter().map(result).collect(),
        ..Default::default()
    }
}

fn no_token(request: &CreateDelegationTokenRequest, version: i16) -> CreateDelegationTokenResponse {
    /// Kafka's principal of whoever did not authenticate.
    const ANONYMOUS: (&str, &str) = ("User", "ANONYMOUS");
    let owner = match (&request.owner_principal_type, &request.owner_principal_name) {
        (Some(kind), Some(name)) if !name.is_empty() => (kind.as_str(), name.as_str()),
        _ => ANONYMOUS,
    };
    // Version 3 tells owner and requester apart.
    let requester = if version >= 3 { ANONYMOUS } else { ("", "") };
    CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        principal_type: owner.0.to_owned(),
        principal_name: owner.1.to_owned(),
        token_requester_principal_type: requester.0.to_owned(),
        token_requester_principal_name: requester.1.to_owned(),
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    }
}
