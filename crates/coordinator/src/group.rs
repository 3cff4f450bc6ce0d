//! Groups and their offsets.
