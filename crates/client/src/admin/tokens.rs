//! Delegation tokens: what somebody may show instead of a password for a while, given out and taken back by the brokers (KIP-48).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use klamm_model::Timestamp;
use klamm_wire::{
    CreateDelegationTokenRequest, DescribeDelegationTokenRequest, ExpireDelegationTokenRequest,
    RenewDelegationTokenRequest, Request, Response, create_delegation_token::CreatableRenewers,
    describe_delegation_token::DescribeDelegationTokenOwner,
};

use super::Admin;
use super::ask::{Whom, answer};
use super::error::{AdminError, check};

/// The broker decides for how long.
const AS_LONG_AS_ALLOWED_MS: i64 = -1;
/// What a period means that is over at once.
const AT_ONCE_MS: i64 = -1;

/// Somebody as brokers know them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Principal {
    /// `User`, unless brokers have an authorizer of their own.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// A token. It is shown by SCRAM, its id as the name and its secret in base 64 as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// Which it is.
    pub id: String,
    /// What is shown to nobody else.
    pub secret: Bytes,
    /// As whom one is known by it.
    pub owner: Principal,
    /// Who wanted it.
    pub requester: Principal,
    /// Who may renew it beside the owner, as far as was asked for.
    pub renewers: Vec<Principal>,
    /// Since when there is it.
    pub issued: Timestamp,
    /// Until when it holds, unless it is renewed.
    pub expires: Timestamp,
    /// Until when it can be renewed.
    pub ends: Timestamp,
}

impl fmt::Debug for DelegationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegationToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Admin {
    /// A new token, for oneself or another owner, which these may renew too; until `lifetime` is over, or as long as brokers allow.
    pub async fn create_token(
        &self,
        owner: Option<&Principal>,
        renewers: &[Principal],
        lifetime: Option<Duration>,
    ) -> Result<DelegationToken, AdminError> {
        let request = Request::CreateDelegationToken(CreateDelegationTokenRequest {
            owner_principal_type: owner.map(|owner| owner.kind.clone()),
            owner_principal_name: owner.map(|owner| owner.name.clone()),
            renewers: renewers.iter().map(renewer).collect(),
            max_lifetime_ms: lifetime.map_or(AS_LONG_AS_ALLOWED_MS, milliseconds),
        });
        let read = |response| {
            let token = answer!(response, CreateDelegationToken);
            check(token.error_code, None)?;
            Ok(DelegationToken {
                id: token.token_id,
                secret: token.hmac,
                owner: Principal { kind: token.principal_type, name: token.principal_name },
                requester: Principal {
                    kind: token.token_requester_principal_type,
                    name: token.token_requester_principal_name,
                },
                renewers: renewers.to_vec(),
                issued: Timestamp(token.issue_timestamp_ms),
                expires: Timestamp(token.expiry_timestamp_ms),
                ends: Timestamp(token.max_timestamp_ms),
            })
        };
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about("token"))
    }

    /// Lets a token hold for this long from now on, or as long as brokers allow. Says until when.
    pub async fn renew_token(
        &self,
        secret: &Bytes,
        period: Option<Duration>,
    ) -> Result<Timestamp, AdminError> {
        let request = Request::RenewDelegationToken(RenewDelegationTokenRequest {
            hmac: secret.clone(),
            renew_period_ms: period.map_or(AS_LONG_AS_ALLOWED_MS, milliseconds),
        });
        let read = |response| {
            let answer = answer!(response, RenewDelegationToken);
            (answer.error_code, answer.expiry_timestamp_ms)
        };
        self.hold_token(&request, read).await
    }

    /// Lets a token hold for no longer than this, or takes it back at once. Says until when.
    pub async fn expire_token(
        &self,
        secret: &Bytes,
        period: Option<Duration>,
    ) -> Result<Timestamp, AdminError> {
        let request = Request::ExpireDelegationToken(ExpireDelegationTokenRequest {
            hmac: secret.clone(),
            expiry_time_period_ms: period.map_or(AT_ONCE_MS, milliseconds),
        });
        let read = |response| {
            let answer = answer!(response, ExpireDelegationToken);
            (answer.error_code, answer.expiry_timestamp_ms)
        };
        self.hold_token(&request, read).await
    }

    /// Changes until when a token holds. `read` finds the error code in the answer, and until when.
    async fn hold_token(
        &self,
        request: &Request,
        read: impl Fn(Response) -> (i16, i64),
    ) -> Result<Timestamp, AdminError> {
        let read = |response| {
            let (error_code, expires_ms) = read(response);
            check(error_code, None).map(|()| Timestamp(expires_ms))
        };
        self.ask(Whom::Controller, request, read).await.map_err(|failure| failure.about("token"))
    }

    /// The tokens of these owners, or all that one may see.
    pub async fn describe_tokens(
        &self,
        owners: Option<&[Principal]>,
    ) -> Result<Vec<DelegationToken>, AdminError> {
        let owners = owners.map(|owners| {
            let owners = owners.iter().cloned().map(|Principal { kind, name }| {
                DescribeDelegationTokenOwner { principal_type: kind, principal_name: name }
            });
            owners.collect()
        });
        let request = Request::DescribeDelegationToken(DescribeDelegationTokenRequest { owners });
        let read = |response| {
            let answer = answer!(response, DescribeDelegationToken);
            check(answer.error_code, None)?;
            let tokens = answer.tokens.into_iter().map(|token| DelegationToken {
                id: token.token_id,
                secret: token.hmac,
                owner: Principal { kind: token.principal_type, name: token.principal_name },
                requester: Principal {
                    kind: token.token_requester_principal_type,
                    name: token.token_requester_principal_name,
                },
                renewers: token
                    .renewers
                    .into_iter()
                    .map(|it| Principal { kind: it.principal_type, name: it.principal_name })
                    .collect(),
                issued: Timestamp(token.issue_timestamp),
                expires: Timestamp(token.expiry_timestamp),
                ends: Timestamp(token.max_timestamp),
            });
            Ok(tokens.collect())
        };
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("tokens"))
    }
}

fn renewer(principal: &Principal) -> CreatableRenewers {
    CreatableRenewers { principal_type: principal.kind.clone(), principal_name: principal.name.clone() }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
