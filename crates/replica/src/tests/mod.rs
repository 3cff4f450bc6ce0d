//! Three replicas in one process, on disks in memory that finish operations in the order the test says.

mod disk;
mod interleavings;
mod network;
mod script;
mod scripts;
mod world;
