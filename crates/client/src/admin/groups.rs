//! Groups: which there are, who is in them, and how they are asked for at their coordinators.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm_model::{BrokerId, ErrorCode};
use klamm_wire::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest, Request, Response,
    consumer_group_describe,
    describe_groups::{DescribedGroup, DescribedGroupMember},
};

use super::ask::{Attempts, ByItem, Located, Mentioned, answer};
use super::error::{AdminError, Failure, check};
use super::wire_enum::{word, word_enum};
use super::{Admin, PartitionName};
use crate::call::CallError;
use crate::coordinators::KeyType;
use crate::group::understood;

/// What groups of consumers call what they do.
const CONSUMER: &str = "consumer";

word_enum! {
    /// What a group is about.
    GroupState {
        /// Nobody is in it; it has offsets.
        Empty = "Empty",
        /// Its members are called together.
        PreparingRebalance = "PreparingRebalance",
        /// Its members are there, and the work is being distributed.
        CompletingRebalance = "CompletingRebalance",
        /// Every member knows its work.
        Stable = "Stable",
        /// Its work is being distributed by the broker (KIP-848).
        Assigning = "Assigning",
        /// Its members are taking over their new work (KIP-848).
        Reconciling = "Reconciling",
        /// It is gone, or never was.
        Dead = "Dead",
    }
}

word_enum! {
    /// By which protocol a group is led.
    GroupType {
        /// Its members join and sync.
        Classic = "classic",
        /// The broker distributes the work (KIP-848).
        Consumer = "consumer",
        /// Its members share records and not partitions (KIP-932).
        Share = "share",
        /// An application of Kafka Streams (KIP-1071).
        Streams = "streams",
    }
}

/// Which groups are listed; those of every state where none is named, and so with the types.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupFilter {
    /// Those of these states (Kafka 2.6 and newer).
    pub states: Vec<GroupState>,
    /// Those of these types (Kafka 3.8 and newer).
    pub types: Vec<GroupType>,
}

/// A group in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGroup {
    /// What its members do, `consumer` or `connect` for example; empty where it has only offsets.
    pub protocol_type: String,
    /// What it is about, if the broker says.
    pub state: GroupState,
    /// By which protocol it is led, if the broker says.
    pub group_type: GroupType,
    /// Who keeps it.
    pub coordinator: BrokerId,
}

/// A group with its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDescription {
    /// What its members do; empty where it has only offsets.
    pub protocol_type: String,
    /// How the work is distributed, `range` for example, once that is settled.
    pub protocol: Option<String>,
    /// What it is about.
    pub state: GroupState,
    /// Who keeps it.
    pub coordinator: BrokerId,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMember {
    /// Given by the coordinator.
    pub id: String,
    /// The name that it keeps over restarts (KIP-345), if it has one.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as the coordinator sees it.
    pub host: String,
    /// The topics that it wants; `None` where that is not settled, or not said in the way of consumers.
    pub topics: Option<BTreeSet<String>>,
    /// The partitions that are its own; `None` likewise.
    pub assignment: Option<BTreeSet<PartitionName>>,
}

impl Admin {
    /// Every group of the cluster that the filter lets pass, by name. All brokers are asked: each tells of those that it coordinates. Fails
    /// where one of them does not answer, as its groups would be missing.
    ///
    /// ```no_run
    /// # async fn example(admin: klamm_client::Admin) -> Result<(), Box<dyn std::error::Error>> {
    /// use klamm_client::{GroupFilter, GroupState};
    ///
    /// let stable = GroupFilter { states: vec![GroupState::Stable], ..GroupFilter::default() };
    /// for (name, group) in admin.list_groups(&stable).await? {
    ///     println!("{name} is kept by broker {}", group.coordinator);
    ///     for (partition, committed) in admin.group_offsets(&name, None).await? {
    ///         println!("{partition}: {:?}", committed?.map(|it| it.offset));
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_groups(
        &self,
        filter: &GroupFilter,
    ) -> Result<BTreeMap<String, ListedGroup>, AdminError> {
        let request = Request::ListGroups(ListGroupsRequest {
            states_filter: filter.states.iter().map(|state| state.name().to_owned()).collect(),
            types_filter: filter.types.iter().map(|kind| kind.name().to_owned()).collect(),
        });
        self.ask_all_brokers(&request, |coordinator, response| {
            let answer = answer!(response, ListGroups);
            let groups = answer.groups.into_iter().map(|group| {
                let listed = ListedGroup {
                    protocol_type: group.protocol_type,
                    state: word(&group.group_state),
                    group_type: word(&group.group_type),
                    coordinator,
                };
                (group.group_id, listed)
            });
            check(answer.error_code, None).map(|()| groups.collect())
        })
        .await
    }

    /// These groups with their members, whether they are led by the classic or the consumer protocol. One that there is not fails with
    /// [`ErrorCode::GroupIdNotFound`], and so does one of another protocol.
    pub async fn describe_groups(
        &self,
        groups: &[&str],
    ) -> Result<ByItem<String, GroupDescription>, AdminError> {
        let mut described = self.describe_classic(groups).await?;
        let is_open = |it: &Result<_, AdminError>| {
            it.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::GroupIdNotFound))
        };
        let open: Vec<String> =
            described.iter().filter(|(_, it)| is_open(it)).map(|(name, _)| name.clone()).collect();
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        // Brokers before 3.7 have no such groups, and say so in a way of their own.
        let others = if open.is_empty() { Ok(ByItem::new()) } else { self.describe_consumer(&open).await };
        described.extend(others.unwrap_or_default().into_iter().filter(|(_, it)| it.is_ok()));
        Ok(described)
    }

    async fn describe_classic(
        &self,
        groups: &[&str],
    ) -> Result<ByItem<String, GroupDescription>, AdminError> {
        let request = |groups: &[String]| {
            let include_authorized_operations = false;
            Request::DescribeGroups(DescribeGroupsRequest {
                groups: groups.to_vec(),
                include_authorized_operations,
            })
        };
        self.ask_coordinators(groups, request, |coordinator, response| {
            let groups = answer!(response, DescribeGroups).groups.into_iter();
            groups.map(|group| (group.group_id.clone(), described(group, coordinator))).collect()
        })
        .await
    }

    /// Those of the consumer protocol (KIP-848).
    async fn describe_consumer(
        &self,
        groups: &[&str],
    ) -> Result<ByItem<String, GroupDescription>, AdminError> {
        let request = |groups: &[String]| {
            let include_authorized_operations = false;
            let group_ids = groups.to_vec();
            Request::ConsumerGroupDescribe(ConsumerGroupDescribeRequest {
                group_ids,
                include_authorized_operations,
            })
        };
        self.ask_coordinators(groups, request, |coordinator, response| {
            let groups = answer!(response, ConsumerGroupDescribe).groups.into_iter();
            groups.map(|group| (group.group_id.clone(), consumer_group(group, coordinator))).collect()
        })
        .await
    }

    /// Deletes groups with their offsets. One that has members fails with [`ErrorCode::NonEmptyGroup`], one that there is not with
    /// [`ErrorCode::GroupIdNotFound`].
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<ByItem<String, ()>, AdminError> {
        let request =
            |groups: &[String]| Request::DeleteGroups(DeleteGroupsRequest { groups_names: groups.to_vec() });
        self.ask_coordinators(groups, request, |_, response| {
            let results = answer!(response, DeleteGroups).results.into_iter();
            results.map(|it| (it.group_id, check(it.error_code, it.error_message))).collect()
        })
        .await
    }

    /// Asks the groups' coordinators, all at once, until every group has an answer or a failure that does not pass. `request` makes the request
    /// for the groups of one of them.
    pub(super) async fn ask_coordinators<T>(
        &self,
        groups: &[&str],
        request: impl Fn(&[String]) -> Request,
        read: impl Fn(BrokerId, Response) -> Mentioned<T, String>,
    ) -> Result<ByItem<String, T>, AdminError> {
        self.ask_coordinators_of(KeyType::Group, groups, request, read).await
    }

    /// The same about whatever has coordinators.
    pub(super) async fn ask_coordinators_of<T>(
        &self,
        kind: KeyType,
        names: &[&str],
        request: impl Fn(&[String]) -> Request,
        read: impl Fn(BrokerId, Response) -> Mentioned<T, String>,
    ) -> Result<ByItem<String, T>, AdminError> {
        let locate = async |names: &BTreeSet<String>, attempts: &Attempts<'_>| {
            Ok(self.coordinators_of(kind, names, attempts).await)
        };
        self.ask_brokers(names.iter().map(|&name| name.to_owned()), locate, request, read).await
    }

    /// The same about one group.
    pub(super) async fn ask_coordinator<T>(
        &self,
        group: &str,
        request: &Request,
        read: impl Fn(Response) -> Result<T, Failure>,
    ) -> Result<T, AdminError> {
        let read = |_, response| vec![(group.to_owned(), read(response))];
        let mut outcomes = self.ask_coordinators(&[group], |_| request.clone(), read).await?;
        outcomes.remove(group).expect("every group has an outcome")
    }

    /// Whom to ask about which of them. What is known counts only until it proved wrong.
    async fn coordinators_of(
        &self,
        kind: KeyType,
        names: &BTreeSet<String>,
        attempts: &Attempts<'_>,
    ) -> Located<String> {
        let known = self.client.coordinators();
        let (mut by_coordinator, mut failed): Located<String> = Located::default();
        let mut unknown = Vec::new();
        for name in names {
            match known.of(kind, name).filter(|_| !attempts.is_again()) {
                Some(coordinator) => by_coordinator.entry(coordinator).or_default().push(name.clone()),
                None => unknown.push(name.clone()),
            }
        }
        for (name, found) in self.find_coordinators(kind, unknown, attempts).await {
            match found {
                Ok(coordinator) => {
                    known.learn(kind, &name, coordinator);
                    by_coordinator.entry(coordinator).or_default().push(name);
                }
                Err(failure) => {
                    failed.insert(name, failure);
                }
            }
        }
        (by_coordinator, failed)
    }

    async fn find_coordinators(
        &self,
        kind: KeyType,
        names: Vec<String>,
        attempts: &Attempts<'_>,
    ) -> BTreeMap<String, Result<BrokerId, Failure>> {
        let mut found: BTreeMap<_, _> =
            names.into_iter().map(|name| (name, Err(Failure::silent()))).collect();
        if found.is_empty() {
            return found;
        }
        let key_type = kind.number();
        let find = async |request| {
            let request = Request::FindCoordinator(request);
            let answer = self.client.call_any(&request, i16::MAX, attempts.left_ms()).await?;
            Ok::<_, CallError>(answer!(answer, FindCoordinator))
        };
        let coordinator_keys = found.keys().cloned().collect();
        let all = FindCoordinatorRequest { key_type, coordinator_keys, ..Default::default() };
        match find(all).await {
            Ok(answer) => {
                for it in answer.coordinators {
                    if let Some(place) = found.get_mut(&it.key) {
                        *place = check(it.error_code, it.error_message).map(|()| BrokerId(it.node_id));
                    }
                }
            }
            // Brokers before 3.0 are asked for one at a time.
            Err(CallError::Unencodable { .. }) => {
                for (name, place) in &mut found {
                    let one = FindCoordinatorRequest { key: name.clone(), key_type, ..Default::default() };
                    *place = match find(one).await {
                        Ok(it) => check(it.error_code, it.error_message).map(|()| BrokerId(it.node_id)),
                        Err(error) => Err(Failure::Call(error)),
                    };
                }
            }
            Err(error) => found.values_mut().for_each(|place| *place = Err(Failure::Call(error.clone()))),
        }
        found
    }
}

fn described(group: DescribedGroup, coordinator: BrokerId) -> Result<GroupDescription, Failure> {
    check(group.error_code, group.error_message)?;
    let state = word(&group.group_state);
    // That is how older brokers say that there is none (KIP-1043).
    if state == GroupState::Dead {
        return Err(Failure::refused(ErrorCode::GroupIdNotFound));
    }
    let is_consumer = group.protocol_type == CONSUMER;
    Ok(GroupDescription {
        protocol_type: group.protocol_type,
        protocol: Some(group.protocol_data).filter(|protocol| !protocol.is_empty()),
        state,
        coordinator,
        members: group.members.into_iter().map(|it| member(it, is_consumer)).collect(),
    })
}

fn consumer_group(
    group: consumer_group_describe::DescribedGroup,
    coordinator: BrokerId,
) -> Result<GroupDescription, Failure> {
    check(group.error_code, group.error_message)?;
    Ok(GroupDescription {
        protocol_type: CONSUMER.to_owned(),
        protocol: Some(group.assignor_name).filter(|assignor| !assignor.is_empty()),
        state: word(&group.group_state),
        coordinator,
        members: group.members.into_iter().map(consumer_member).collect(),
    })
}

fn consumer_member(member: consumer_group_describe::Member) -> GroupMember {
    let topics = member.assignment.topic_partitions.into_iter();
    let assignment = topics.flat_map(|topic| {
        let name = topic.topic_name;
        topic.partitions.into_iter().map(move |number| PartitionName::new(name.as_str(), number))
    });
    GroupMember {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        topics: Some(member.subscribed_topic_names.into_iter().collect()),
        assignment: Some(assignment.collect()),
    }
}

fn member(member: DescribedGroupMember, is_consumer: bool) -> GroupMember {
    let topics = |it: ConsumerProtocolSubscription| it.topics.into_iter().collect();
    let partitions = |it: ConsumerProtocolAssignment| {
        let topics = it.assigned_partitions.into_iter();
        topics
            .flat_map(|topic| {
                let name = topic.topic;
                topic.partitions.into_iter().map(move |number| PartitionName::new(name.as_str(), number))
            })
            .collect()
    };
    let said = |bytes: Bytes| Some(bytes).filter(|_| is_consumer);
    GroupMember {
        id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        topics: said(member.member_metadata).and_then(understood).map(topics),
        assignment: said(member.member_assignment).and_then(understood).map(partitions),
    }
}

#[cfg(test)]
mod tests {
    use klamm_wire::consumer_protocol::AssignmentTopicPartition;
    use klamm_wire::{Message, Writer};

    use super::*;

    fn said(version: i16, message: &impl Message) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.i16(version);
        message.encode(&mut writer, version.min(3)).expect("encodes");
        writer.finish().to_bytes().expect("no holes").to_vec()
    }

    #[test]
    fn what_members_say_is_understood_and_garbage_is_left_aside() {
        let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let of_topic = AssignmentTopicPartition { topic: "t".into(), partitions: vec![2, 0, 2] };
        let assignment =
            ConsumerProtocolAssignment { assigned_partitions: vec![of_topic], ..Default::default() };
        let garbage: [&[u8]; 5] = [
            b"",
            b"\0",
            b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\x7f\xff\xff\xff",
            b"no consumer says that",
        ];
        let with = |metadata: &[u8], assignment: &[u8], is_consumer| {
            let raw = DescribedGroupMember {
                member_metadata: Bytes::copy_from_slice(metadata),
                member_assignment: Bytes::copy_from_slice(assignment),
                ..Default::default()
            };
            let it = member(raw, is_consumer);
            let partitions = it.assignment.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            (it.topics.map(Vec::from_iter), partitions)
        };
        let partitions = vec!["t-0".to_owned(), "t-2".to_owned()];
        for version in [0, 3, 9] {
            let (subscription, assignment) = (said(version, &subscription), said(version, &assignment));
            let understood = (Some(vec!["t".to_owned()]), Some(partitions.clone()));
            assert_eq!(with(&subscription, &assignment, true), understood, "version {version}");
            assert_eq!(with(&subscription, &assignment, false), (None, None), "no consumer");
            for cut in 0..4 {
                let (subscription, assignment) = (&subscription[..cut], &assignment[..cut]);
                assert_eq!(with(subscription, assignment, true), (None, None), "{cut} bytes");
            }
        }
        for bytes in garbage {
            assert_eq!(with(bytes, bytes, true), (None, None), "{bytes:?}");
        }
    }
}
