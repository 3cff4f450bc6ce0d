//! The seam between a node and the consensus engine that orders cluster metadata.
