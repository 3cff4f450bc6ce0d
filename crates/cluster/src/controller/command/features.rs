//! Commands about feature levels.

use thiserror::Error;

use crate::features::LevelRange;

/// Levels to change: all of them or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UpdateFeatures {
    /// No feature twice.
    pub updates: Vec<FeatureUpdate>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A level to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// The level it is to have; 0: off.
    pub level: i16,
    /// Which way it may go; `None`: one that is not known.
    pub kind: Option<UpdateKind>,
}

/// Which way a level may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateKind {
    /// Up only.
    Upgrade,
    /// Down only, where nothing gets lost by it.
    SafeDowngrade,
    /// Down only, whatever gets lost.
    UnsafeDowngrade,
}

/// Why levels stay as they are. In Kafka's words, which tools show.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("Invalid update version {level} for feature {name}. {error}")]
pub struct FeatureError {
    /// The first feature that cannot change.
    pub name: String,
    /// The level it was to have.
    pub level: i16,
    /// Why it cannot.
    pub error: LevelError,
}

/// Why a level cannot be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LevelError {
    /// Of a newer client.
    #[error("The controller does not support the given upgrade type.")]
    UnknownKind,
    /// No level at all.
    #[error("A feature version cannot be less than 0.")]
    Negative,
    /// A node does not know the feature.
    #[error("{who} does not support this feature.")]
    Unknown {
        /// The node.
        who: String,
    },
    /// A node is too old or too new for the level.
    #[error("{who} only supports versions {range}")]
    Unsupported {
        /// The node.
        who: String,
        /// What it supports.
        range: LevelRange,
    },
    /// Whoever asks did not say that it may go down.
    #[error(
        "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
    )]
    IsLower,
    /// Whoever asks did not say that it may go up.
    #[error("Can't downgrade to a newer version.")]
    IsHigher,
    /// Older nodes could not read what is there.
    #[error("The metadata are written at level {level} and stay there.")]
    Stays {
        /// Where the cluster is.
        level: i16,
    },
    /// The cluster's metadata are older than levels.
    #[error(
        "The metadata of this cluster keep no levels yet: raise klamm.metadata.version first, or in the same request."
    )]
    NoLevels,
    /// The request names it more than once.
    #[error("It is named more than once.")]
    Repeated,
}
