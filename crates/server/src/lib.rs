//! The shell around a node: sockets, disks, threads and clocks.
