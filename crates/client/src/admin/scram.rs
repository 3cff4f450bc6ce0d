//! Users with passwords that brokers check by SCRAM (KIP-554).

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm_wire::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest, Request,
    alter_user_scram_credentials::{ScramCredentialDeletion, ScramCredentialUpsertion},
    describe_user_scram_credentials::UserName,
};

use super::Admin;
use super::ask::{ByItem, Whom, answer};
use super::error::{AdminError, check};
use super::wire_enum::wire_enum;
use crate::net::seeded;
use crate::sasl::{Password, salted_password};

wire_enum! {
    /// A kind of SCRAM.
    ScramMechanism {
        /// With SHA-256.
        Sha256 = 1 "SCRAM-SHA-256",
        /// With SHA-512.
        Sha512 = 2 "SCRAM-SHA-512",
    }
}

/// A change of the password that a user has for a mechanism.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScramChange {
    /// The password is this from now on. Brokers never see it, only what RFC 5802 calls the salted password, `Hi(password, salt, iterations)`.
    Set {
        /// How often it was hashed, 4096 to 16384 times.
        iterations: u32,
        /// What it was hashed with, random bytes.
        salt: Bytes,
        /// What came of it.
        salted_password: Bytes,
    },
    /// There is none any more.
    Delete,
}

impl ScramChange {
    /// The password is this from now on, salted here with random bytes.
    pub fn set(mechanism: ScramMechanism, password: &Password, iterations: u32) -> Self {
        let salt = [seeded().next_u64().to_be_bytes(), seeded().next_u64().to_be_bytes()].concat();
        let salted_password = salted_password(mechanism, password, &salt, iterations).into();
        Self::Set { iterations, salt: salt.into(), salted_password }
    }
}

impl Admin {
    /// How often each user's passwords are hashed, by mechanism; of these users, or of all.
    pub async fn describe_scram_users(
        &self,
        users: Option<&[&str]>,
    ) -> Result<ByItem<String, BTreeMap<ScramMechanism, u32>>, AdminError> {
        let names = users.unwrap_or_default().iter().map(|&name| name.to_owned());
        let request = Request::DescribeUserScramCredentials(DescribeUserScramCredentialsRequest {
            users: users.map(|_| names.clone().map(|name| UserName { name }).collect()),
        });
        let read = |response| {
            let answer = answer!(response, DescribeUserScramCredentials);
            check(answer.error_code, answer.error_message)?;
            let results = answer.results.into_iter().map(|user| {
                let passwords = user.credential_infos.into_iter().filter_map(|it| {
                    Some((ScramMechanism::from_number(it.mechanism)?, u32::try_from(it.iterations).ok()?))
                });
                let passwords = passwords.collect();
                (user.user, check(user.error_code, user.error_message).map(|()| passwords))
            });
            Ok(results.collect())
        };
        self.ask_about(Whom::Anybody, "SCRAM users", names.clone(), &request, read).await
    }

    /// Changes a password of each of these users.
    pub async fn alter_scram_users(
        &self,
        changes: &BTreeMap<String, (ScramMechanism, ScramChange)>,
    ) -> Result<ByItem<String, ()>, AdminError> {
        let (mut deletions, mut upsertions) = (Vec::new(), Vec::new());
        for (name, (mechanism, change)) in changes {
            let (name, mechanism) = (name.clone(), mechanism.number());
            match change.clone() {
                ScramChange::Delete => deletions.push(ScramCredentialDeletion { name, mechanism }),
                ScramChange::Set { iterations, salt, salted_password } => {
                    let iterations = i32::try_from(iterations).unwrap_or(i32::MAX);
                    let change =
                        ScramCredentialUpsertion { name, mechanism, iterations, salt, salted_password };
                    upsertions.push(change);
                }
            }
        }
        let request =
            Request::AlterUserScramCredentials(AlterUserScramCredentialsRequest { deletions, upsertions });
        let read = |response| {
            let results = answer!(response, AlterUserScramCredentials).results.into_iter();
            Ok(results.map(|it| (it.user, check(it.error_code, it.error_message))).collect())
        };
        self.ask_about(Whom::Controller, "SCRAM users", changes.keys().cloned(), &request, read).await
    }
}
