//! A node and nothing around it: its tests are one program, as each more would be compiled and linked by itself.

mod configs;
mod controllers;
mod cut_off;
mod damage;
mod damaged_replicas;
mod disks;
mod doubts;
mod features;
mod fetch;
mod groups;
mod leaving;
mod more_replicas;
mod moved;
mod offsets;
mod one_node;
mod produce;
mod replication;
mod roles;
mod seeds_found;
mod snapshots;
mod topic_configs;
mod transactional;
mod transactions;
mod world;
