//! Who may do what.

use std::fmt;

use klamm_wire::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, Request, create_acls::AclCreation,
    delete_acls::DeleteAclsFilter,
};

use super::Admin;
use super::ask::{ByItem, Whom, answer};
use super::error::{AdminError, Failure, check};
use super::wire_enum::wire_enum;

/// Stands for all of a kind in a filter.
const ANY: i8 = 1;

wire_enum! {
    /// What kind of thing is protected.
    AclResource {
        /// Something that this client does not know.
        Unknown = 0 "unknown",
        /// A topic.
        Topic = 2 "topic",
        /// A group of consumers.
        Group = 3 "group",
        /// The cluster, whose name is `kafka-cluster`.
        Cluster = 4 "cluster",
        /// A transactional id.
        TransactionalId = 5 "transactional-id",
        /// A delegation token.
        DelegationToken = 6 "delegation-token",
        /// A user.
        User = 7 "user",
    }
}

wire_enum! {
    /// How a name is meant.
    AclPattern {
        /// In a way that this client does not know.
        Unknown = 0 "unknown",
        /// In a filter only: whatever way.
        Any = 1 "any",
        /// In a filter only: whatever way that covers this name.
        Match = 2 "match",
        /// As it stands; `*` is all.
        Literal = 3 "literal",
        /// As the beginning of names.
        Prefixed = 4 "prefixed",
    }
}

wire_enum! {
    /// What is allowed or denied.
    AclOperation {
        /// Something that this client does not know.
        Unknown = 0 "unknown",
        /// Everything.
        All = 2 "all",
        /// To read.
        Read = 3 "read",
        /// To write.
        Write = 4 "write",
        /// To make.
        Create = 5 "create",
        /// To delete.
        Delete = 6 "delete",
        /// To change.
        Alter = 7 "alter",
        /// To look at.
        Describe = 8 "describe",
        /// What brokers do among themselves.
        ClusterAction = 9 "cluster-action",
        /// To look at settings.
        DescribeConfigs = 10 "describe-configs",
        /// To change settings.
        AlterConfigs = 11 "alter-configs",
        /// To write as an idempotent producer.
        IdempotentWrite = 12 "idempotent-write",
        /// To make tokens for others.
        CreateTokens = 13 "create-tokens",
        /// To look at tokens of others.
        DescribeTokens = 14 "describe-tokens",
        /// To prepare transactions that others end (KIP-939).
        TwoPhaseCommit = 15 "two-phase-commit",
    }
}

wire_enum! {
    /// Whether it is allowed.
    AclPermission {
        /// Neither, as far as this client knows.
        Unknown = 0 "unknown",
        /// It is not, whatever else allows it.
        Deny = 2 "deny",
        /// It is.
        Allow = 3 "allow",
    }
}

/// A rule: who may do what, or may not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Acl {
    /// With what kind of thing.
    pub resource: AclResource,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// Who, as `User:alice`; `User:*` is everybody.
    pub principal: String,
    /// From which address; `*` is from everywhere.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Whether they may.
    pub permission: AclPermission,
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, name, pattern, principal, host, operation, permission } = self;
        write!(f, "{permission} {principal} from {host} to {operation} {pattern} {resource} {name}")
    }
}

/// Which rules are meant: those that are like this in every part that is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AclFilter {
    /// The kind of thing.
    pub resource: Option<AclResource>,
    /// Its name.
    pub name: Option<String>,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// Who.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// What.
    pub operation: Option<AclOperation>,
    /// Whether they may.
    pub permission: Option<AclPermission>,
}

impl AclFilter {
    /// All rules.
    pub const ALL: Self = Self {
        resource: None,
        name: None,
        pattern: AclPattern::Any,
        principal: None,
        host: None,
        operation: None,
        permission: None,
    };
}

impl Admin {
    /// The rules that the filter lets pass.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<Acl>, AdminError> {
        let request = Request::DescribeAcls(DescribeAclsRequest {
            resource_type_filter: filter.resource.map_or(ANY, AclResource::number),
            resource_name_filter: filter.name.clone(),
            pattern_type_filter: filter.pattern.number(),
            principal_filter: filter.principal.clone(),
            host_filter: filter.host.clone(),
            operation: filter.operation.map_or(ANY, AclOperation::number),
            permission_type: filter.permission.map_or(ANY, AclPermission::number),
        });
        let read = |response| {
            let answer = answer!(response, DescribeAcls);
            check(answer.error_code, answer.error_message)?;
            let mut acls = Vec::new();
            for resource in answer.resources {
                let kinds = (resource.resource_type, resource.pattern_type);
                acls.extend(resource.acls.into_iter().map(|rule| {
                    let name = resource.resource_name.clone();
                    acl(kinds, name, (rule.principal, rule.host), (rule.operation, rule.permission_type))
                }));
            }
            Ok(acls)
        };
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("ACLs"))
    }

    /// Adds rules.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<ByItem<Acl, ()>, AdminError> {
        let creations = acls.iter().map(|acl| AclCreation {
            resource_type: acl.resource.number(),
            resource_name: acl.name.clone(),
            resource_pattern_type: acl.pattern.number(),
            principal: acl.principal.clone(),
            host: acl.host.clone(),
            operation: acl.operation.number(),
            permission_type: acl.permission.number(),
        });
        let request = Request::CreateAcls(CreateAclsRequest { creations: creations.collect() });
        // The answers come in the order of the questions.
        let read = |response| {
            let results = answer!(response, CreateAcls).results.into_iter();
            Ok(acls.iter().cloned().zip(results.map(|it| check(it.error_code, it.error_message))).collect())
        };
        self.ask_about(Whom::Controller, "ACLs", acls.iter().cloned(), &request, read).await
    }

    /// Takes away the rules that the filter lets pass, and says which those were.
    pub async fn delete_acls(&self, filter: &AclFilter) -> Result<ByItem<Acl, ()>, AdminError> {
        let filter = DeleteAclsFilter {
            resource_type_filter: filter.resource.map_or(ANY, AclResource::number),
            resource_name_filter: filter.name.clone(),
            pattern_type_filter: filter.pattern.number(),
            principal_filter: filter.principal.clone(),
            host_filter: filter.host.clone(),
            operation: filter.operation.map_or(ANY, AclOperation::number),
            permission_type: filter.permission.map_or(ANY, AclPermission::number),
        };
        let request = Request::DeleteAcls(DeleteAclsRequest { filters: vec![filter] });
        let read = |response| {
            let result = answer!(response, DeleteAcls).filter_results.pop().ok_or_else(Failure::silent)?;
            check(result.error_code, result.error_message)?;
            let rules = result.matching_acls.into_iter().map(|rule| {
                let kinds = (rule.resource_type, rule.pattern_type);
                let what = (rule.operation, rule.permission_type);
                let acl = acl(kinds, rule.resource_name, (rule.principal, rule.host), what);
                (acl, check(rule.error_code, rule.error_message))
            });
            Ok(rules.collect())
        };
        self.ask_about(Whom::Controller, "ACLs", [], &request, read).await
    }
}

fn acl(
    (resource, pattern): (i8, i8),
    name: String,
    (principal, host): (String, String),
    (operation, permission): (i8, i8),
) -> Acl {
    Acl {
        resource: AclResource::from_number(resource).unwrap_or(AclResource::Unknown),
        name,
        pattern: AclPattern::from_number(pattern).unwrap_or(AclPattern::Unknown),
        principal,
        host,
        operation: AclOperation::from_number(operation).unwrap_or(AclOperation::Unknown),
        permission: AclPermission::from_number(permission).unwrap_or(AclPermission::Unknown),
    }
}
