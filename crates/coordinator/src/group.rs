//! Groups and their offsets.

mod config;
mod error;
mod request;

pub use config::GroupConfig;
pub use error::GroupError;
pub use request::*;
