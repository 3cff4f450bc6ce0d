//! Transactions.

mod config;
mod error;
mod request;

pub use config::TransactionConfig;
pub use error::TransactionError;
pub use request::*;
