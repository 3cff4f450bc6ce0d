//! Many nodes and clients in one thread, with seeded faults.
