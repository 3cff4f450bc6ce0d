//! Numbers that must not be mixed up, each with a type of its own.

use std::fmt;

/// Position of a record in one partition's log. The first record ever written has offset 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset(i64);

impl Offset {
    /// The offset of the first record of a log.
    pub const ZERO: Self = Self(0);
    /// Above every offset a log can reach.
    pub const MAX: Self = Self(i64::MAX);

    /// An offset that we computed ourselves.
    ///
    /// # Panics
    /// On a negative number: that is a bug of ours, never input.
    pub fn new(raw: i64) -> Self {
        assert!(raw >= 0, "negative offset {raw}");
        Self(raw)
    }

    /// Kafka writes "unknown" as -1. That value stops here: inside the broker it is `None`.
    pub fn from_wire(raw: i64) -> Option<Self> {
        (0 <= raw).then_some(Self(raw))
    }

    /// The number as the protocol carries it.
    pub fn raw(self) -> i64 {
        self.0
    }

    /// The offset `record_count` records further.
    pub fn advance(self, record_count: u32) -> Self {
        Self(self.0 + i64::from(record_count))
    }

    /// The offset of the record before, `None` before the first.
    pub fn before(self) -> Option<Self> {
        Self::from_wire(self.0 - 1)
    }

    /// How many offsets lie between `earlier` and this one; 0 if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0 - earlier.0).unwrap_or(0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! small_number {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $raw);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

small_number! {
    /// Counts the leaders of one partition; the first has epoch 0. A record carries the epoch of the leader that accepted it (KIP-101).
    LeaderEpoch(i32)
}
small_number! {
    /// Counts the changes of one partition's leader or in-sync set, so that a late `AlterPartition` can be refused.
    PartitionEpoch(i32)
}
small_number! {
    /// A node of the cluster, as its operator numbered it. Never negative.
    BrokerId(i32)
}
small_number! {
    /// One registration of a broker: a restarted broker gets a higher one. The offset of its registration record in the metadata log.
    BrokerEpoch(i64)
}
small_number! {
    /// Counts the controllers of a cluster. A record proposed under an older epoch than the current one is never applied.
    ControllerEpoch(i32)
}
small_number! {
    /// Number of a partition within its topic, from 0.
    PartitionIndex(i32)
}
small_number! {
    /// An idempotent or transactional producer, as `InitProducerId` gave it out. Never negative.
    ProducerId(i64)
}
small_number! {
    /// Fences earlier sessions of the same producer id.
    ProducerEpoch(i16)
}
small_number! {
    /// Milliseconds since 1970 UTC, as a record carries them: data, never used to decide who may do what. -1 is "none".
    Timestamp(i64)
}
small_number! {
    /// A moment on the node's own clock, in microseconds since an arbitrary start. Never goes back, has no relation to the wall clock.
    Tick(u64)
}

/// The two clocks. Decisions use `tick`; `wall` only ever becomes data (I23).
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The node's own clock; never goes back.
    pub tick: Tick,
    /// Wall clock, for record timestamps.
    pub wall: Timestamp,
}

impl LeaderEpoch {
    /// Kafka writes "unknown" as -1.
    pub fn from_wire(raw: i32) -> Option<Self> {
        (0 <= raw).then_some(Self(raw))
    }
}

impl ProducerId {
    /// Kafka writes "not idempotent" as -1.
    pub fn from_wire(raw: i64) -> Option<Self> {
        (0 <= raw).then_some(Self(raw))
    }
}

impl Tick {
    /// This moment plus `delay_ms` milliseconds.
    pub fn after_ms(self, delay_ms: u64) -> Self {
        Self(self.0.saturating_add(delay_ms.saturating_mul(1000)))
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// The identity of a topic: a topic that is deleted and created again under its name has another (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub uuid::Uuid);

impl TopicId {
    /// What the protocol carries where a topic has no id or its id is unknown.
    pub const ZERO: Self = Self(uuid::Uuid::nil());

    /// Whether this is the wire's "no id".
    pub fn is_zero(self) -> bool {
        self.0.is_nil()
    }
}

/// Kafka prints ids as URL-safe base64 without padding; logs and files of ours do the same.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = self.0.as_u128();
        let mut text = String::with_capacity(22);
        for group in 0..22 {
            let shift = 122 - 6 * group;
            let digit = if shift >= 0 { bits >> shift } else { bits << -shift };
            text.push(char::from(ALPHABET[(digit & 63) as usize]));
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition, by the identity of its topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic, by id, so that a topic of the same name created later is another.
    pub topic: TopicId,
    /// The partition within the topic.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
