//! One partition's log: bookkeeping that turns appends into disk operations.
