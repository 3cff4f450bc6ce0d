//! What members of a classic group tell one another through the coordinator: what each wants and has, and what each gets.
//!
//! The formats are those of Kafka's `ConsumerProtocol`, versions 0 to 3, and of the user data of its sticky assignors. A newer version only adds
//! to the end, so that whoever is older understands what it knows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm_wire::consumer_protocol::{AssignmentTopicPartition, SubscriptionTopicPartition};
use klamm_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, DecodeError, Message, Reader, Writer,
};

use super::assignor::{Assignor, Owned, Subscriber};
use crate::PartitionName;
use crate::admin::by_topic;

/// What we write.
const VERSION: i16 = 3;
/// Who has no generation.
const NO_GENERATION: i32 = -1;

/// What a member said to the others, if it is what consumers say. Whatever stands in a newer version behind what we know is left aside, as it was
/// made for that.
pub(crate) fn understood<M: Message>(bytes: Bytes) -> Option<M> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().ok().filter(|version| 0 <= *version)?;
    M::decode(&mut reader, version.min(*M::VERSIONS.end())).ok()
}

fn said(message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(VERSION);
    message.encode(&mut writer, VERSION).expect("names of topics and racks fit");
    writer.finish().to_bytes().expect("it has no holes")
}

/// What we want and have, for the group's leader.
pub(super) fn subscription(assignor: Assignor, member: &Subscriber) -> Bytes {
    let generation_id = member.generation.unwrap_or(NO_GENERATION);
    let owned = by_topic(&member.owned).into_iter();
    said(&ConsumerProtocolSubscription {
        topics: member.topics.iter().map(ToString::to_string).collect(),
        user_data: user_data(assignor, member),
        // What an eager member had it has given up by now, and its assignor knows of it by the user data.
        owned_partitions: owned
            .filter(|_| assignor.is_cooperative())
            .map(|(topic, partitions)| SubscriptionTopicPartition { topic: topic.to_string(), partitions })
            .collect(),
        generation_id,
        rack_id: member.rack.clone(),
    })
}

/// What another member wants and has; `None` if it is nothing that consumers say.
pub(super) fn subscriber(
    assignor: Assignor,
    (id, instance_id): (String, Option<String>),
    said: Bytes,
) -> Option<Subscriber> {
    let subscription: ConsumerProtocolSubscription = understood(said)?;
    let topics = subscription.topics.into_iter().map(Into::into).collect();
    let owned = subscription.owned_partitions.into_iter();
    let owned = owned.flat_map(|it| names(it.topic, it.partitions)).collect();
    let generation = Some(subscription.generation_id).filter(|it| 0 <= *it);
    let mut member = Subscriber { id, instance_id, topics, owned, generation, rack: subscription.rack_id };
    let user_data = subscription.user_data.filter(|data| !data.is_empty());
    match (assignor, user_data) {
        // Always by the user data, as such members have given up everything by the time they say this.
        (Assignor::Sticky, data) => {
            let had = data.and_then(|data| had(data).ok());
            (member.owned, member.generation) = had.unwrap_or_default();
        }
        (Assignor::CooperativeSticky, Some(data)) if member.generation.is_none() => {
            member.generation = Reader::new(data).i32().ok().filter(|it| 0 <= *it);
        }
        _ => {}
    }
    Some(member)
}

fn names(topic: String, partitions: Vec<i32>) -> impl Iterator<Item = PartitionName> {
    let topic: std::sync::Arc<str> = topic.into();
    partitions.into_iter().map(move |partition| PartitionName { topic: topic.clone(), partition })
}

/// What a sticky assignor wants to know beside. One that is cooperative says only the generation: what it has stands elsewhere.
fn user_data(assignor: Assignor, member: &Subscriber) -> Option<Bytes> {
    let generation = member.generation.unwrap_or(NO_GENERATION);
    let mut writer = Writer::new();
    match assignor {
        Assignor::Range | Assignor::RoundRobin => return None,
        Assignor::Sticky if member.owned.is_empty() => return None,
        Assignor::CooperativeSticky => writer.i32(generation),
        Assignor::Sticky => {
            let topics = by_topic(&member.owned);
            writer.i32(i32::try_from(topics.len()).expect("topics are counted in 31 bits"));
            for (topic, partitions) in topics {
                writer.string(&topic).expect("names of topics fit");
                writer.i32(i32::try_from(partitions.len()).expect("partitions are counted in 31 bits"));
                partitions.into_iter().for_each(|partition| writer.i32(partition));
            }
            writer.i32(generation);
        }
    }
    writer.finish().to_bytes()
}

/// What a member of the sticky assignor had, and in which generation, where it says that.
fn had(data: Bytes) -> Result<(Owned, Option<i32>), DecodeError> {
    let mut reader = Reader::new(data);
    let mut owned = Owned::new();
    // Counts are what others say: what they promise has to be there.
    for _ in 0..reader.i32()? {
        let topic = reader.string()?;
        let partitions = (0..reader.i32()?).map(|_| reader.i32()).collect::<Result<Vec<_>, _>>()?;
        owned.extend(names(topic, partitions));
    }
    Ok((owned, reader.i32().ok().filter(|it| 0 <= *it)))
}

/// What a member gets.
pub(super) fn assignment(partitions: &BTreeSet<PartitionName>) -> Bytes {
    let topics = by_topic(partitions).into_iter();
    said(&ConsumerProtocolAssignment {
        assigned_partitions: topics
            .map(|(topic, partitions)| AssignmentTopicPartition { topic: topic.to_string(), partitions })
            .collect(),
        user_data: None,
    })
}

/// What the group's leader gave us. Nothing at all is no partition, as coordinators say it to whom the leader forgot.
pub(super) fn assigned(said: Bytes) -> Option<BTreeSet<PartitionName>> {
    if said.is_empty() {
        return Some(BTreeSet::new());
    }
    let assignment: ConsumerProtocolAssignment = understood(said)?;
    Some(assignment.assigned_partitions.into_iter().flat_map(|it| names(it.topic, it.partitions)).collect())
}

/// The members' shares as SyncGroup carries them.
pub(super) fn assignments(shares: BTreeMap<String, BTreeSet<PartitionName>>) -> Vec<(String, Bytes)> {
    shares.into_iter().map(|(member, partitions)| (member, assignment(&partitions))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Bytes {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn me(owned: &Owned) -> Subscriber {
        let topics = ["t", "u"].map(Into::into).into();
        Subscriber { topics, owned: owned.clone(), generation: Some(7), ..Subscriber::default() }
    }

    fn had() -> Owned {
        [("t", 0), ("t", 2), ("u", 1)].map(|(topic, number)| PartitionName::new(topic, number)).into()
    }

    /// The bytes are those of Kafka's Java client, 4.4.0.
    #[test]
    fn members_say_what_javas_say() {
        let data = "00000002000174000000020000000000000002000175000000010000000100000007";
        let none = "ffffffff";
        let owned = "00000002000174000000020000000000000002000175000000010000000100000007";
        for (assignor, rack, generation, expected) in [
            (Assignor::Range, None, None, format!("000300000002000174000175{none}00000000ffffffffffff")),
            (
                Assignor::Sticky,
                None,
                Some(7),
                format!("00030000000200017400017500000022{data}0000000000000007ffff"),
            ),
            (
                Assignor::CooperativeSticky,
                Some("r"),
                Some(7),
                format!("0003000000020001740001750000000400000007{owned}000172"),
            ),
        ] {
            let member = Subscriber { rack: rack.map(Into::into), generation, ..me(&had()) };
            let said = subscription(assignor, &member);
            assert_eq!(said, bytes(&expected), "{assignor:?}");
            let understood = subscriber(assignor, (String::new(), None), said).expect("it is understood");
            let has = if assignor == Assignor::Range { Owned::new() } else { had() };
            assert_eq!(understood, Subscriber { owned: has, ..member }, "{assignor:?}");
        }
        let said = "0003000000020001740000000200000000000000020001750000000100000001ffffffff";
        assert_eq!(assignment(&had()), bytes(said));
        assert_eq!(assigned(bytes(said)), Some(had()));
        assert_eq!(assigned(Bytes::new()), Some(Owned::new()));
    }

    #[test]
    fn older_members_are_understood_and_garbage_is_nothing() {
        let nobody = || (String::new(), None);
        for (assignor, said, owned, generation) in [
            (Assignor::Range, "0000000000010001 74ffffffff", Owned::new(), None),
            // Its data say only what it had, as before Kafka 2.3, or more than a newer one understands.
            (
                Assignor::Sticky,
                "00000000000100017400000013 00000001000174000000020000000000000002",
                part(),
                None,
            ),
            (Assignor::Sticky, "000000000001000174 00000004 ffffffff", Owned::new(), None),
            (Assignor::Sticky, "000000000001000174 00000004 7fffffff", Owned::new(), None),
            // The generation stands in the data before version 2.
            (
                Assignor::CooperativeSticky,
                "0001000000010001740000000400000009 00000001000174000000020000000000000002",
                part(),
                Some(9),
            ),
        ] {
            let said = bytes(&said.replace(' ', ""));
            let topics = ["t".into()].into();
            let expected = Subscriber { topics, owned, generation, ..Subscriber::default() };
            assert_eq!(subscriber(assignor, nobody(), said.clone()), Some(expected), "{said:?}");
            for end in 0..8 {
                assert_eq!(subscriber(assignor, nobody(), said.slice(..end)), None, "{said:?} up to {end}");
            }
        }
        assert_eq!(assigned(bytes("0003000000")), None);
        assert_eq!(assigned(bytes("ffff00000000ffffffff")), None);
    }

    fn part() -> Owned {
        had().into_iter().filter(|name| &*name.topic == "t").collect()
    }
}
