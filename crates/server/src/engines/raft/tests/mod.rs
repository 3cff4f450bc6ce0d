//! Several engines in one process, each with files and sockets of its own.

mod cluster;
mod faults;
mod files;
mod links;
mod members;
mod moved;
mod snapshots;
mod succession;
