//! What is answered where there is no authorizer and no SASL, as Kafka answers it.

use klamm_model::ErrorCode as Code;
use klamm_wire::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreateDelegationTokenRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeDelegationTokenRequest, DescribeUserScramCredentialsRequest,
    ExpireDelegationTokenRequest, RenewDelegationTokenRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
    alter_user_scram_credentials::{ScramCredentialDeletion, ScramCredentialUpsertion},
    create_acls::AclCreation,
    delete_acls::DeleteAclsFilter,
    describe_user_scram_credentials::UserName,
};

use super::*;

/// A request of each kind.
pub(super) fn examples() -> Vec<Request> {
    vec![
        Request::DescribeAcls(DescribeAclsRequest::default()),
        Request::CreateAcls(CreateAclsRequest::default()),
        Request::DeleteAcls(DeleteAclsRequest::default()),
        Request::CreateDelegationToken(CreateDelegationTokenRequest::default()),
        Request::RenewDelegationToken(RenewDelegationTokenRequest::default()),
        Request::ExpireDelegationToken(ExpireDelegationTokenRequest::default()),
        Request::DescribeDelegationToken(DescribeDelegationTokenRequest::default()),
        Request::DescribeUserScramCredentials(DescribeUserScramCredentialsRequest::default()),
        Request::AlterUserScramCredentials(AlterUserScramCredentialsRequest::default()),
        Request::SaslHandshake(SaslHandshakeRequest::default()),
        Request::SaslAuthenticate(SaslAuthenticateRequest::default()),
    ]
}

/// The codes of an answer, the one for all first.
fn codes(world: &mut World, request: Request, version: i16) -> Vec<Code> {
    let sequence = world.send(request, version);
    let codes: Vec<i16> = match world.response(sequence) {
        Response::DescribeAcls(it) => vec![it.error_code],
        Response::CreateAcls(it) => it.results.iter().map(|it| it.error_code).collect(),
        Response::DeleteAcls(it) => it.filter_results.iter().map(|it| it.error_code).collect(),
        Response::DescribeUserScramCredentials(it) => {
            std::iter::once(it.error_code).chain(it.results.iter().map(|it| it.error_code)).collect()
        }
        Response::AlterUserScramCredentials(it) => it.results.iter().map(|it| it.error_code).collect(),
        Response::CreateDelegationToken(it) => vec![it.error_code],
        Response::RenewDelegationToken(it) => vec![it.error_code],
        Response::ExpireDelegationToken(it) => vec![it.error_code],
        Response::DescribeDelegationToken(it) => vec![it.error_code],
        Response::SaslHandshake(it) => vec![it.error_code],
        Response::SaslAuthenticate(it) => vec![it.error_code],
        other => panic!("another answer: {other:?}"),
    };
    codes.into_iter().map(|it| Code::from_code(it).expect("a known code")).collect()
}

#[test]
fn what_is_not_set_up_says_so_in_every_version() {
    let mut world = World::new();
    let two_acls = CreateAclsRequest { creations: vec![AclCreation::default(); 2] };
    let two_filters = DeleteAclsRequest { filters: vec![DeleteAclsFilter::default(); 2] };
    let (disabled, not_allowed) = (Code::SecurityDisabled, Code::DelegationTokenRequestNotAllowed);
    for (request, expected) in [
        (Request::DescribeAcls(DescribeAclsRequest::default()), vec![disabled]),
        (Request::CreateAcls(two_acls), vec![disabled; 2]),
        (Request::DeleteAcls(two_filters), vec![disabled; 2]),
        (Request::CreateDelegationToken(CreateDelegationTokenRequest::default()), vec![not_allowed]),
        (Request::RenewDelegationToken(RenewDelegationTokenRequest::default()), vec![not_allowed]),
        (Request::ExpireDelegationToken(ExpireDelegationTokenRequest::default()), vec![not_allowed]),
        (Request::DescribeDelegationToken(DescribeDelegationTokenRequest::default()), vec![not_allowed]),
        (Request::SaslHandshake(SaslHandshakeRequest::default()), vec![Code::IllegalSaslState]),
        (Request::SaslAuthenticate(SaslAuthenticateRequest::default()), vec![Code::IllegalSaslState]),
    ] {
        let served = request.api_key().served().expect("it is served");
        assert_eq!(served.min..=served.max, request.api_key().stable_versions(), "all of Kafka's versions");
        for version in served.min..=served.max {
            assert_eq!(codes(&mut world, request.clone(), version), expected, "{request:?}");
        }
    }
}

#[test]
fn there_are_no_scram_users_and_none_are_taken() {
    let mut world = World::new();
    let users = |names: &[&str]| names.iter().map(|name| UserName { name: (*name).into() }).collect();
    for (asked, expected) in [
        (None, vec![Code::None]),
        (Some(users(&["a"])), vec![Code::None, Code::ResourceNotFound]),
        (Some(users(&["a", "b", "a"])), vec![Code::None, Code::DuplicateResource, Code::ResourceNotFound]),
    ] {
        let request = DescribeUserScramCredentialsRequest { users: asked };
        assert_eq!(codes(&mut world, Request::DescribeUserScramCredentials(request), 0), expected);
    }
    let deletion = |name: &str| ScramCredentialDeletion { name: name.into(), mechanism: 1 };
    let upsertion = |name: &str| ScramCredentialUpsertion { name: name.into(), ..Default::default() };
    let request = AlterUserScramCredentialsRequest {
        deletions: vec![
            deletion("a"),
            deletion("b"),
            ScramCredentialDeletion { mechanism: 9, ..deletion("d") },
        ],
        upsertions: vec![upsertion(""), upsertion("b"), upsertion("c")],
    };
    assert_eq!(
        codes(&mut world, Request::AlterUserScramCredentials(request), 0),
        [
            Code::UnacceptableCredential,
            Code::ResourceNotFound,
            Code::DuplicateResource,
            Code::UnsupportedSaslMechanism,
            Code::UnsupportedSaslMechanism
        ]
    );
}
