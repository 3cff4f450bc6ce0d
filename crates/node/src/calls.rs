//! Commands for the controller: from clients and brokers, decided here if this node is the controller, passed on to it if not.

use std::collections::BTreeMap;

use klamm_cluster::controller::{
    AllocateProducerIds, AlterPartitionError, AlterPartitions, Command, CreateTopics, Heartbeat,
    IsrProposal as ProposedIsr, Layout, LogFate, NewTopic, OfflineReplicas, Register, RegisterError,
    Reply as Decided,
};
use klamm_cluster::features::Supported;
use klamm_cluster::record::{BrokerState, Listener, RegisterBroker};
use klamm_coordinator::{RequestId, record::Partitions, transaction::MarkersId};
use klamm_model::{BrokerEpoch, BrokerId, ErrorCode, TopicPartition};
use klamm_replica::{IsrChange, IsrMember, IsrProposal, IsrRefused};
use klamm_wire::{ApiKey, MetadataRequest, Request, Response};

use crate::{
    ConnectionId, Effect, InternalTopic, Now, Origin, PeerFailure, ReplyTo,
    codec::{self, Shape},
    coordinators::{Kind, find},
    errors::ToCode,
    handlers::{self, producer_ids},
    node::Node,
    partitions::layers,
};

/// In-sync sets that one request proposes at most: what the controller makes of them has to fit into one entry of the metadata.
const PROPOSALS_MAX: usize = 1_000;

/// Who waits for the controller's answer.
#[derive(Debug)]
pub(crate) enum Caller {
    /// A request, answered in the same API and version.
    Wire { to: ReplyTo, shape: Shape },
    /// This node itself.
    Own(Own),
}

impl Caller {
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Wire { to, .. } => Some(to.connection),
            Self::Own(own) => own.connection(),
        }
    }
}

/// What this node asks the controller for itself.
#[derive(Debug)]
pub(crate) enum Own {
    Register,
    Heartbeat,
    AlterPartition {
        proposals: Vec<(TopicPartition, IsrProposal)>,
    },
    ReplicasOffline,
    /// Of what a data directory had that is lost.
    ReplicasGone(Vec<TopicPartition>),
    ProducerIds,
    /// A topic for coordinators' records, that clients wait for.
    InternalTopic(Kind),
    /// Metadata asked for topics that are created on the way.
    AutoCreate(Box<MetadataAsked>),
}

/// A Metadata request that waits for topics to be created, or for who leads.
#[derive(Debug)]
pub(crate) struct MetadataAsked {
    pub(crate) to: ReplyTo,
    pub(crate) origin: std::sync::Arc<Origin>,
    pub(crate) version: i16,
    pub(crate) request: MetadataRequest,
}

impl Own {
    fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::AutoCreate(it) => Some(it.to.connection),
            Self::Register
            | Self::Heartbeat
            | Self::AlterPartition { .. }
            | Self::ReplicasOffline
            | Self::ReplicasGone(_)
            | Self::ProducerIds
            | Self::InternalTopic(_) => None,
        }
    }
}

/// What an [`Effect::Send`] under way is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Fetch {
        leader: BrokerId,
    },
    /// A request of this node's own.
    Call {
        controller: BrokerId,
        own: Own,
    },
    /// Marks of a transaction that this node's coordinator has ended.
    Markers {
        id: MarkersId,
        partitions: Partitions,
    },
    /// Whether a transaction covers what is to be written here, for whoever is held under this number.
    Verify(RequestId),
    /// A client's request, passed on as it came; the answer goes back as it comes.
    Forward {
        controller: BrokerId,
        to: ReplyTo,
        key: ApiKey,
        shape: Shape,
    },
    /// Whatever the answer is, nobody waits for it any more.
    GivenUp,
}

impl Purpose {
    /// Which node was asked, where it was as the controller.
    fn controller(&self) -> Option<BrokerId> {
        match self {
            Self::Call { controller, .. } | Self::Forward { controller, .. } => Some(*controller),
            Self::Fetch { .. } | Self::Markers { .. } | Self::Verify(_) | Self::GivenUp => None,
        }
    }
}

impl Node {
    /// Sends a request to another broker; the answer comes back with what it was for.
    pub(crate) fn send(
        &mut self,
        to: BrokerId,
        purpose: Purpose,
        request: Request,
        version: i16,
        out: &mut Vec<Effect>,
    ) {
        let token = self.next_token;
        self.next_token += 1;
        self.sent.insert(token, purpose);
        out.push(Effect::Send { to, token, request, version });
    }

    /// The answer to something sent.
    pub(crate) fn peer(
        &mut self,
        now: Now,
        from: BrokerId,
        token: u64,
        answer: Result<Response, PeerFailure>,
        out: &mut Vec<Effect>,
    ) {
        let Some(purpose) = self.sent.remove(&token) else {
            tracing::warn!(%from, token, "an answer to nothing that was asked");
            return;
        };
        match purpose {
            Purpose::Fetch { leader } => {
                let answer = answer.and_then(|response| match response {
                    Response::Fetch(response) => Ok(response),
                    _ => Err(PeerFailure::Garbled),
                });
                self.fetched(now, leader, token, answer, out);
            }
            Purpose::Markers { id, partitions } => self.markers_answered(now, id, partitions, answer),
            Purpose::Verify(id) => self.verify_answered(id, answer),
            Purpose::Call { own, .. } => match answer.ok().and_then(codec::reply_of) {
                Some(reply) => self.own_replied(now, own, Some(reply), out),
                None => self.own_replied(now, own, None, out),
            },
            Purpose::Forward { to, key, shape, .. } => {
                let response = match answer {
                    Ok(response) if response.api_key() == key => response,
                    Ok(_) | Err(_) => shape.failed(ErrorCode::RequestTimedOut),
                };
                out.push(Effect::Reply { to, reply: crate::Reply::Ready(response) });
            }
            Purpose::GivenUp => {}
        }
    }

    /// Another node is the controller now. The one before may stand still or be cut off, and whoever waited for its answer would not ask its successor: which would
    /// take this broker for dead, since it hears nothing of it.
    pub(crate) fn give_up_earlier_controllers(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(newest) = self.metadata.controller_id() else { return };
        let is_earlier = |purpose: &Purpose| purpose.controller().is_some_and(|asked| asked != newest);
        let mut tokens: Vec<u64> =
            self.sent.iter().filter(|(_, purpose)| is_earlier(purpose)).map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        for token in tokens {
            match self.sent.insert(token, Purpose::GivenUp) {
                Some(Purpose::Call { own, .. }) => self.own_replied(now, own, None, out),
                Some(Purpose::Forward { to, shape, .. }) => {
                    let reply = crate::Reply::Ready(shape.failed(ErrorCode::RequestTimedOut));
                    out.push(Effect::Reply { to, reply });
                }
                _ => unreachable!("only these ask a controller"),
            }
        }
    }

    /// A request that only the controller can answer.
    pub(crate) fn controller_request(
        &mut self,
        now: Now,
        to: ReplyTo,
        version: i16,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        if self.metadata.is_controller() {
            let shape = Shape::of(&request, version);
            match codec::command_of(&request, version) {
                Ok(command) => self.decide(now, &command, Caller::Wire { to, shape }, out),
                Err(code) => out.push(Effect::Reply { to, reply: crate::Reply::Ready(shape.failed(code)) }),
            }
            return;
        }
        self.forward(to, version, request, out);
    }

    /// Passes a request on to the controller, which is another node.
    pub(crate) fn forward(&mut self, to: ReplyTo, version: i16, request: Request, out: &mut Vec<Effect>) {
        let shape = Shape::of(&request, version);
        match self.metadata.controller_id().filter(|id| *id != self.config.broker_id) {
            Some(controller) if shape.may_be_forwarded() => {
                let key = request.api_key();
                self.send(controller, Purpose::Forward { controller, to, key, shape }, request, version, out);
            }
            _ => {
                let reply = crate::Reply::Ready(shape.failed(shape.no_controller()));
                out.push(Effect::Reply { to, reply });
            }
        }
    }

    /// A command of this node's own; whatever becomes of it arrives at [`Self::own_replied`].
    fn call(&mut self, now: Now, command: &Command, own: Own, out: &mut Vec<Effect>) {
        if self.metadata.is_controller() {
            return self.decide(now, command, Caller::Own(own), out);
        }
        match self.metadata.controller_id().filter(|id| *id != self.config.broker_id) {
            Some(controller) => {
                let (request, version) = codec::request_of(command);
                self.send(controller, Purpose::Call { controller, own }, request, version, out);
            }
            None => self.own_replied(now, own, None, out),
        }
    }

    /// A decision is committed and applied here.
    pub(crate) fn controller_replied(
        &mut self,
        now: Now,
        caller: Caller,
        reply: Decided,
        out: &mut Vec<Effect>,
    ) {
        // Whoever is told that it was heard relies on that for a session.
        if matches!(reply, Decided::Heartbeat(_)) && self.membership.may_be_deposed(now.tick) {
            return self.controller_failed(now, caller, out);
        }
        match caller {
            Caller::Wire { to, shape } => {
                let layers = layers(&self.image, self.config.broker_id, &self.config.given);
                let response = shape.response(reply, layers);
                out.push(Effect::Reply { to, reply: crate::Reply::Ready(response) });
            }
            Caller::Own(own) => self.own_replied(now, own, Some(reply), out),
        }
    }

    /// Nobody knows what becomes of a decision, or it could not be made.
    pub(crate) fn controller_failed(&mut self, now: Now, caller: Caller, out: &mut Vec<Effect>) {
        match caller {
            Caller::Wire { to, shape } => {
                let response = shape.failed(ErrorCode::NotController);
                out.push(Effect::Reply { to, reply: crate::Reply::Ready(response) });
            }
            Caller::Own(own) => self.own_replied(now, own, None, out),
        }
    }

    /// What became of a command of this node's own; `None`: nobody knows.
    fn own_replied(&mut self, now: Now, own: Own, reply: Option<Decided>, out: &mut Vec<Effect>) {
        match own {
            Own::Register => {
                if let Some(Decided::RegisterBroker(Err(error))) = &reply {
                    // Neither passes by asking again.
                    out.push(Effect::Refused(self.why_refused(error)));
                    return self.membership.refused();
                }
                let registered = matches!(reply, Some(Decided::RegisterBroker(Ok(_))));
                self.membership.registration_ended(now.tick, registered);
            }
            Own::Heartbeat => {
                self.membership.heartbeat_ended(now.tick, self.config.heartbeat_interval_ms);
                let Some(Decided::Heartbeat(Ok(answer))) = reply else { return };
                if answer.state != BrokerState::Fenced && !self.metadata.is_controller() {
                    self.membership.was_acknowledged();
                }
                if answer.may_shut_down {
                    self.has_left(true, out);
                }
            }
            Own::AlterPartition { proposals } => self.isr_answered(now, &proposals, reply.as_ref(), out),
            Own::ReplicasOffline => self.offline_replicas.told(now.tick),
            Own::ReplicasGone(partitions) => {
                let is_taken = matches!(reply, Some(Decided::ReplicasOffline(Ok(()))));
                self.gone_replicas_told(now, &partitions, is_taken, out);
            }
            Own::ProducerIds => {
                let block = match reply {
                    Some(Decided::AllocateProducerIds(Ok(block))) => Some(block),
                    _ => None,
                };
                producer_ids::block(self, now, block, out);
            }
            Own::InternalTopic(kind) => find::topic_made(self, now, kind, reply, out),
            Own::AutoCreate(waiting) => handlers::topics::auto_created(self, &waiting, reply, out),
        }
    }

    /// In this broker's own words: of what the controller knows, the answer of another node carries a code only.
    fn why_refused(&self, error: &RegisterError) -> String {
        let own = self.config.cluster_id.as_deref().unwrap_or("none");
        match error {
            RegisterError::OtherDirectory { .. } => {
                RegisterError::OtherDirectory { id: self.config.broker_id }.to_string()
            }
            RegisterError::Level(lacking) => {
                let own = self.config.supported.lacking(self.image.levels());
                own.as_ref().unwrap_or(lacking).to_string()
            }
            RegisterError::OtherCluster { .. } => {
                format!("this broker belongs to cluster {own}, and its controller to another")
            }
        }
    }

    pub(crate) fn call_register(&mut self, now: Now, out: &mut Vec<Effect>) {
        let listeners = self
            .config
            .endpoints
            .iter()
            .map(|it| Listener { name: it.name.clone(), host: it.host.clone(), port: it.port })
            .collect();
        let command = Command::RegisterBroker(Register {
            broker: RegisterBroker {
                id: self.config.broker_id,
                incarnation: self.config.incarnation,
                directory: self.config.directory,
                listeners,
                rack: self.config.rack.clone(),
                is_relaxed: self.is_relaxed_at_start(),
                supported: Supported::clone(&self.config.supported),
                other_directories: self.config.other_directories.clone(),
                may_vote: self.config.roles.controller,
            },
            cluster_id: self.config.cluster_id.clone(),
            previous_epoch: self.previous_epoch(),
        });
        self.call(now, &command, Own::Register, out);
    }

    fn previous_epoch(&self) -> Option<BrokerEpoch> {
        let known = self.image.broker(self.config.broker_id).map(|it| it.epoch);
        self.config.previous_epoch.or(known.filter(|_| self.sabotage.crash_counts_as_stop))
    }

    pub(crate) fn call_heartbeat(&mut self, now: Now, epoch: BrokerEpoch, out: &mut Vec<Effect>) {
        let command = Command::Heartbeat(Heartbeat {
            id: self.config.broker_id,
            epoch,
            applied: self.image.applied(),
            wants_fence: false,
            wants_shutdown: self.membership.wants_shutdown(),
            is_full: self.disks.some_are_full(),
        });
        self.call(now, &command, Own::Heartbeat, out);
    }

    pub(crate) fn call_replicas_offline(
        &mut self,
        now: Now,
        epoch: BrokerEpoch,
        (fate, partitions): (LogFate, Vec<TopicPartition>),
        out: &mut Vec<Effect>,
    ) {
        let (broker, broker_epoch) = (self.config.broker_id, epoch);
        let own = match fate {
            LogFate::Offline => Own::ReplicasOffline,
            LogFate::Gone => Own::ReplicasGone(partitions.clone()),
        };
        let command = Command::ReplicasOffline(OfflineReplicas { broker, broker_epoch, fate, partitions });
        self.call(now, &command, own, out);
    }

    pub(crate) fn ask_producer_ids(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(broker_epoch) = self.my_epoch() else {
            return producer_ids::block(self, now, None, out);
        };
        let command =
            Command::AllocateProducerIds(AllocateProducerIds { broker: self.config.broker_id, broker_epoch });
        self.call(now, &command, Own::ProducerIds, out);
    }

    /// Has a topic made for the records of coordinators.
    pub(crate) fn call_internal_topic(&mut self, now: Now, kind: Kind, out: &mut Vec<Effect>) {
        let InternalTopic { partition_count, segment_bytes, .. } = match kind {
            Kind::Groups => self.config.offsets_topic.clone(),
            Kind::Transactions => self.config.transactions_topic.clone(),
        };
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", segment_bytes.to_string()),
        ];
        let topic = NewTopic {
            name: kind.topic().to_owned(),
            layout: Layout::Counted {
                partitions: i32::try_from(partition_count).ok(),
                // The controller knows how many are asked for, and how many brokers there are.
                replication_factor: None,
            },
            configs: configs.map(|(name, value)| (name.to_owned(), Some(value))).into(),
        };
        let command = Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false });
        self.call(now, &command, Own::InternalTopic(kind), out);
    }

    pub(crate) fn call_auto_create(
        &mut self,
        now: Now,
        waiting: MetadataAsked,
        names: Vec<String>,
        out: &mut Vec<Effect>,
    ) {
        let topics = names
            .into_iter()
            .map(|name| NewTopic {
                name,
                layout: Layout::Counted { partitions: None, replication_factor: None },
                configs: Vec::new(),
            })
            .collect();
        let command = Command::CreateTopics(CreateTopics { topics, validate_only: false });
        self.call(now, &command, Own::AutoCreate(Box::new(waiting)), out);
    }

    /// Asks the controller for the in-sync sets that leaders here want.
    pub(crate) fn propose_isr_changes(&mut self, now: Now, out: &mut Vec<Effect>) {
        while !self.isr_due.is_empty() {
            let Some(epoch) = self.my_epoch() else { return };
            let image = &self.image;
            let may_join = |it: &IsrMember| {
                let broker = image.broker(it.id).filter(|broker| broker.is_active());
                broker.is_some_and(|broker| it.broker_epoch.is_none_or(|epoch| epoch == broker.epoch))
            };
            let mut proposals: Vec<(TopicPartition, IsrProposal)> = Vec::new();
            while proposals.len() < PROPOSALS_MAX
                && let Some(key) = self.isr_due.pop_first()
            {
                let Some(hosted) = self.hosted.get_mut(&key) else { continue };
                let is_offline = |id| image.partition(key).is_some_and(|it| it.offline.contains(&id));
                let may_join = |it: &IsrMember| !is_offline(it.id) && may_join(it);
                proposals
                    .extend(hosted.replica.isr_proposal(now.tick, may_join).map(|proposal| (key, proposal)));
            }
            if proposals.is_empty() {
                return;
            }
            let me = self.config.broker_id;
            let partitions = proposals.iter().map(|(key, proposal)| proposed(me, epoch, *key, proposal));
            let command = Command::AlterPartitions(AlterPartitions {
                broker: me,
                broker_epoch: epoch,
                partitions: partitions.collect(),
            });
            self.call(now, &command, Own::AlterPartition { proposals }, out);
        }
    }

    fn isr_answered(
        &mut self,
        now: Now,
        proposals: &[(TopicPartition, IsrProposal)],
        reply: Option<&Decided>,
        out: &mut Vec<Effect>,
    ) {
        let answers: BTreeMap<_, _> = match reply {
            Some(Decided::AlterPartitions(Ok(answers))) => {
                answers.iter().map(|(key, answer)| (*key, answer)).collect()
            }
            _ => BTreeMap::new(),
        };
        for (key, proposal) in proposals {
            let applied = self.image.partition(*key).map(|it| it.partition_epoch);
            let Some(hosted) = self.hosted.get_mut(key) else { continue };
            let answer = match (answers.get(key), reply) {
                // Whoever left may be eligible, and nothing be committed without them: that is told by the metadata only.
                (Some(Ok(answer)), _)
                    if answer.isr.len() < hosted.replica.in_sync().len()
                        && applied < Some(answer.partition_epoch) =>
                {
                    Err(IsrRefused::Unknown)
                }
                (Some(Ok(answer)), _) => Ok(IsrChange {
                    isr: answer.isr.clone(),
                    leader_epoch: answer.leader_epoch,
                    partition_epoch: answer.partition_epoch,
                }),
                // It was taken: those whom it made members count until the image tells who leads now.
                (Some(Err(AlterPartitionError::NewLeader)), _) => Err(IsrRefused::Unknown),
                (Some(Err(error)), _) => {
                    tracing::debug!(partition = %key, code = %error.code(), "in-sync set refused");
                    Err(IsrRefused::NotApplied)
                }
                (None, Some(Decided::AlterPartitions(Err(_)))) => Err(IsrRefused::NotApplied),
                (None, _) => Err(IsrRefused::Unknown),
            };
            let progress = hosted.replica.isr_answered(now.tick, proposal, answer);
            self.progressed(*key, &progress, out);
        }
    }
}

fn proposed(
    me: BrokerId,
    epoch: BrokerEpoch,
    partition: TopicPartition,
    proposal: &IsrProposal,
) -> ProposedIsr {
    let isr = proposal
        .isr
        .iter()
        .map(|member| (member.id, if member.id == me { Some(epoch) } else { member.broker_epoch }));
    ProposedIsr {
        partition,
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: isr.collect(),
    }
}
