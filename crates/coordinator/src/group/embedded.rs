//! What members of classic groups that read topics tell one another ("the embedded protocol"), as far as a coordinator must understand it.

use bytes::Bytes;
use klamm_cluster::Image;
use klamm_model::{PartitionIndex, TopicPartition};
use klamm_wire::consumer_protocol::AssignmentTopicPartition;
use klamm_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, DecodeError, Message, Reader, Writer,
};

use crate::record::TopicPartitions;

/// What they call what they do.
pub(super) const CONSUMER: &str = "consumer";

/// What a member wants, and says it has.
pub(super) fn subscription(said: &Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    understood(said)
}

/// What a member was given. Whom its leader forgot has nothing.
pub(super) fn assignment(given: &Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    if given.is_empty() { Ok(ConsumerProtocolAssignment::default()) } else { understood(given) }
}

/// What a member is given, for one that speaks as it does in `said`.
pub(super) fn given(partitions: Vec<TopicPartitions>, image: &Image, said: &Bytes) -> Bytes {
    let named = |it: TopicPartitions| {
        let topic = image.topic(it.topic)?.name.to_string();
        let partitions = it.partitions.into_iter().map(|it| it.0).collect();
        Some(AssignmentTopicPartition { topic, partitions })
    };
    let assigned_partitions = partitions.into_iter().filter_map(named).collect();
    let message = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let version = Reader::new(said.clone()).i16().unwrap_or(0);
    let version = version.clamp(0, *ConsumerProtocolAssignment::VERSIONS.end());
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version).expect("names and numbers of an image");
    writer.finish().to_bytes().expect("no holes")
}

/// Those that there are.
pub(super) fn known<'a>(
    image: &'a Image,
    topic: &str,
    partitions: &'a [i32],
) -> impl Iterator<Item = TopicPartition> + 'a {
    let topic = image.topic_named(topic);
    let known = move |index: &i32| {
        let (topic, partition) = (topic?, PartitionIndex(*index));
        topic.partition(partition).map(|_| TopicPartition { topic: topic.id, partition })
    };
    partitions.iter().filter_map(known)
}

/// Whatever a newer version says besides is left aside.
fn understood<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?;
    M::decode(&mut reader, version.min(*M::VERSIONS.end()))
}
