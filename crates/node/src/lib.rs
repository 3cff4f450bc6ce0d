//! A whole node as one deterministic state machine.
