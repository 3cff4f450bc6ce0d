//! Commands about client quotas.

use crate::quota::QuotaValue;

/// An entity as a client names it: kinds, each with a name or as the default.
pub type NamedEntity = Vec<(String, Option<String>)>;

/// Client quotas to change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlterQuotas {
    /// Each stands by itself; within one, all keys change or none.
    pub changes: Vec<QuotaChange>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// Quotas of one entity to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaChange {
    /// Whose.
    pub entity: NamedEntity,
    /// Keys with their new values; `None`: no such quota any more. A key that is not named stays.
    pub set: Vec<(String, Option<QuotaValue>)>,
}
