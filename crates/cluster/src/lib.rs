//! Cluster metadata: records, image and controller.
