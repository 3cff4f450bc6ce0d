//! Asking whoever can answer, again where that may help, until the time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use klamm_model::{BrokerId, ErrorCode, Tick};
use klamm_wire::{ApiKey, MetadataRequest, Request, Response, metadata::MetadataRequestTopic};
use tokio::task::JoinSet;

use super::error::{AdminError, Failure};
use super::{Admin, PartitionName};
use crate::call::{CallError, is_question};
use crate::client::Client;
use crate::metadata::Cluster;
use crate::net::{Target, seeded};
use crate::partitioner::Random;

pub(super) use crate::call::answer;

/// Newer versions of these know topics by their ids, which who asks about a group need not know.
const BY_NAME_VERSION_MAX: i16 = 9;

/// Who can answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    Anybody,
    Controller,
    Broker(BrokerId),
}

/// What an answer says of each item that it mentions.
pub(super) type Mentioned<T, K = PartitionName> = Vec<(K, Result<T, Failure>)>;
/// Whom to ask about which items, and those that cannot be asked for now.
pub(super) type Located<K> = (BTreeMap<BrokerId, Vec<K>>, BTreeMap<K, Failure>);
/// What came of each item that was asked for.
pub type ByItem<K, T> = BTreeMap<K, Result<T, AdminError>>;
/// What came of each partition that was asked for.
pub(super) type ByPartition<T> = ByItem<PartitionName, T>;

impl Admin {
    /// Asks until `read` finds an answer in what comes back, or a failure that does not pass.
    pub(super) async fn ask<T>(
        &self,
        whom: Whom,
        request: &Request,
        read: impl Fn(Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let is_question = is_question(request.api_key());
        let mut attempts = Attempts::new(self);
        loop {
            let answer = self.call(whom, request, attempts.left_ms()).await;
            let failure = match answer.map_err(Failure::Call).and_then(&read) {
                Ok(found) => return Ok(found),
                Err(failure) => failure,
            };
            if !failure.is_passing(is_question) || !attempts.wait().await {
                return Err(failure);
            }
        }
    }

    /// Asks one broker about several items, each of which has an outcome of its own; what the answer does not mention has an error.
    pub(super) async fn ask_about<K: Ord + fmt::Display, T>(
        &self,
        whom: Whom,
        subject: &str,
        items: impl IntoIterator<Item = K>,
        request: &Request,
        read: impl Fn(Response) -> Result<Mentioned<T, K>, Failure>,
    ) -> Result<ByItem<K, T>, AdminError> {
        let read = |response| {
            let mentioned = read(response)?;
            match mentioned.first() {
                // A broker that is not the controller says so of every item.
                Some((_, Err(failure @ Failure::Refused { code: ErrorCode::NotController, .. }))) => {
                    Err(failure.clone())
                }
                _ => Ok(mentioned),
            }
        };
        let mentioned = self.ask(whom, request, read).await.map_err(|failure| failure.about(subject))?;
        let mut outcomes = ByItem::new();
        for (item, found) in mentioned {
            let found = found.map_err(|failure| failure.about(&item));
            outcomes.insert(item, found);
        }
        for item in items {
            outcomes.entry(item).or_insert_with_key(|item| Err(Failure::silent().about(item)));
        }
        Ok(outcomes)
    }

    /// Asks the leaders of the partitions, all at once, until every partition has an answer or a failure that does not pass. `request` makes
    /// the request for a leader's partitions.
    pub(super) async fn ask_leaders<T>(
        &self,
        partitions: impl IntoIterator<Item = PartitionName>,
        request: impl Fn(&[PartitionName]) -> Request,
        read: impl Fn(Response) -> Mentioned<T>,
    ) -> Result<ByPartition<T>, AdminError> {
        let read = |_, response| {
            let mut mentioned = read(response);
            for (_, found) in &mut mentioned {
                // The metadata knows the partition: its leader is about to.
                if let Err(Failure::Refused { code, .. }) = found
                    && *code == ErrorCode::UnknownTopicOrPartition
                {
                    *code = ErrorCode::LeaderNotAvailable;
                }
            }
            mentioned
        };
        let locate = async |partitions: &BTreeSet<_>, _: &Attempts<'_>| self.leaders_of(partitions).await;
        self.ask_brokers(partitions, locate, request, read).await
    }

    /// Asks every broker of the cluster, each of which knows something that the others do not. Fails where one of them does not answer, as that would be
    /// missing.
    pub(super) async fn ask_all_brokers<T>(
        &self,
        request: &Request,
        read: impl Fn(BrokerId, Response) -> Result<BTreeMap<String, T>, Failure>,
    ) -> Result<BTreeMap<String, T>, AdminError> {
        let brokers = self.metadata(Some(&[])).await?.brokers.into_keys();
        let each = async |brokers: &BTreeSet<BrokerId>, _: &Attempts<'_>| {
            Ok((brokers.iter().map(|&broker| (broker, vec![broker])).collect(), BTreeMap::new()))
        };
        let read = |broker, response| vec![(broker, read(broker, response))];
        let mut all = BTreeMap::new();
        for found in self.ask_brokers(brokers, each, |_| request.clone(), read).await?.into_values() {
            all.extend(found?);
        }
        Ok(all)
    }

    /// Asks the brokers that `locate` finds for the items, all at once, until every item has an answer or a failure that does not pass.
    pub(super) async fn ask_brokers<K: Ord + Clone + fmt::Display + Send + 'static, T>(
        &self,
        items: impl IntoIterator<Item = K>,
        locate: impl AsyncFn(&BTreeSet<K>, &Attempts<'_>) -> Result<Located<K>, AdminError>,
        request: impl Fn(&[K]) -> Request,
        read: impl Fn(BrokerId, Response) -> Mentioned<T, K>,
    ) -> Result<ByItem<K, T>, AdminError> {
        let is_question = is_question(request(&[]).api_key());
        let mut attempts = Attempts::new(self);
        let mut answered = BTreeMap::new();
        let mut open: BTreeSet<K> = items.into_iter().collect();
        while !open.is_empty() {
            let (by_broker, mut failed) = locate(&open, &attempts).await?;
            let mut calls = JoinSet::new();
            for (broker, items) in by_broker {
                let (request, pool) = (request(&items), self.client.pool().clone());
                let (version_limit, timeout_ms) = (version_limit(request.api_key()), attempts.left_ms());
                calls.spawn(async move {
                    let answer = pool.call(Target::Broker(broker), request, version_limit, timeout_ms).await;
                    (broker, items, answer)
                });
            }
            while let Some(call) = calls.join_next().await {
                let (broker, items, answer) = call.expect("calls neither panic nor are given up");
                let mut mentioned: BTreeMap<_, _> = match answer {
                    Ok(response) => read(broker, response).into_iter().collect(),
                    Err(error) => {
                        let all = items.iter().cloned();
                        all.map(|item| (item, Err(Failure::Call(error.clone())))).collect()
                    }
                };
                for item in items {
                    match mentioned.remove(&item).unwrap_or_else(|| Err(Failure::silent())) {
                        Ok(found) => {
                            open.remove(&item);
                            answered.insert(item, Ok(found));
                        }
                        Err(failure) => {
                            failed.insert(item, failure);
                        }
                    }
                }
            }
            let may_help = failed.values().any(|failure| failure.is_passing(is_question));
            let is_over = !may_help || !attempts.wait().await;
            for (item, failure) in failed {
                if is_over || !failure.is_passing(is_question) {
                    open.remove(&item);
                    let failure = failure.about(&item);
                    answered.insert(item, Err(failure));
                }
            }
        }
        Ok(answered)
    }

    /// Whom to ask for which of the partitions, and those that cannot be asked for now.
    async fn leaders_of(
        &self,
        partitions: &BTreeSet<PartitionName>,
    ) -> Result<Located<PartitionName>, AdminError> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let cluster = self.metadata(Some(&topics)).await?;
        let (mut by_leader, mut failed) = Located::default();
        for partition in partitions {
            let code = match cluster.topics.get(&partition.topic).map(|topic| topic.error) {
                Some(ErrorCode::None) => {
                    match cluster.partition(&partition.topic, partition.partition).map(|found| found.leader) {
                        Some(Some(leader)) => {
                            by_leader.entry(leader).or_default().push(partition.clone());
                            continue;
                        }
                        Some(None) => ErrorCode::LeaderNotAvailable,
                        None => ErrorCode::UnknownTopicOrPartition,
                    }
                }
                Some(code) => code,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            failed.insert(partition.clone(), Failure::refused(code));
        }
        Ok((by_leader, failed))
    }

    /// The brokers and these topics, or all, as they are just now.
    pub(super) async fn metadata(&self, names: Option<&[&str]>) -> Result<Cluster, AdminError> {
        let topics = names.map(|names| {
            let topics = names.iter().map(|name| MetadataRequestTopic {
                name: Some((*name).to_owned()),
                ..MetadataRequestTopic::default()
            });
            topics.collect()
        });
        let request = Request::Metadata(MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        });
        let read = |response| Ok(Cluster::from_response(answer!(response, Metadata)));
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("metadata"))
    }

    /// How long a broker may take over a change.
    pub(super) fn change_timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    async fn call(&self, whom: Whom, request: &Request, timeout_ms: u64) -> Result<Response, CallError> {
        let target = match whom {
            Whom::Anybody => None,
            Whom::Controller => self.client.cluster().controller.map(Target::Broker),
            Whom::Broker(broker) => Some(Target::Broker(broker)),
        };
        match target {
            Some(target) => self.client.pool().call(target, request.clone(), i16::MAX, timeout_ms).await,
            None => self.client.call_any(request, i16::MAX, timeout_ms).await,
        }
    }
}

fn version_limit(api: ApiKey) -> i16 {
    match api {
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => BY_NAME_VERSION_MAX,
        _ => i16::MAX,
    }
}

/// The attempts at one call, which share its time.
pub(super) struct Attempts<'a> {
    client: &'a Client,
    deadline: Tick,
    count: u32,
    random: Random,
}

impl<'a> Attempts<'a> {
    fn new(admin: &'a Admin) -> Self {
        let timeout_ms = u64::try_from(admin.timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline = admin.client.clock().now().after_ms(timeout_ms);
        Self { client: &admin.client, deadline, count: 0, random: seeded() }
    }

    /// Whether this is not the first one.
    pub(super) fn is_again(&self) -> bool {
        self.count > 0
    }

    pub(super) fn left_ms(&self) -> u64 {
        // A request that is due at once would find no time for its answer.
        self.deadline.ms_since(self.client.clock().now()).max(1)
    }

    /// Waits before the next attempt, and asks for the cluster's newest picture meanwhile. Says whether there is time for one.
    async fn wait(&mut self) -> bool {
        self.count += 1;
        self.client.refresh_metadata();
        let wait_us = self.client.config().backoff.wait_us(self.count, &mut self.random);
        if self.deadline.ms_since(self.client.clock().now()) <= wait_us / 1_000 {
            return false;
        }
        tokio::time::sleep(Duration::from_micros(wait_us)).await;
        true
    }
}

/// Names as they come in answers.
pub(super) fn named(topic: &Arc<str>, partition: i32) -> PartitionName {
    PartitionName { topic: topic.clone(), partition }
}
