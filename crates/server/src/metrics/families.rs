//! The table of metrics: whatever is told is in here, and the list in the documentation is made of it.

/// What a value means over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times, in seconds, by powers of two.
    Histogram,
}

/// All values of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Each has few values: the keys of the protocol, the data directories, and so on. Where a client can choose them, there is an end to the rows (B36).
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

macro_rules! families {
    ($($ident:ident = $kind:ident $name:literal $labels:tt $help:literal;)*) => {
        $(pub(crate) const $ident: Family =
            Family { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };)*

        /// All of them, in the order in which they are told.
        #[cfg(test)]
        pub(crate) const ALL: &[&Family] = &[$(&$ident,)*];
    };
}

families! {
    REQUESTS = Counter "klamm_requests_total" ["api"] "Requests taken.";
    REQUEST_BYTES = Counter "klamm_request_bytes_total" ["api"] "Bytes of requests taken.";
    RESPONSE_BYTES = Counter "klamm_response_bytes_total" ["api"] "Bytes of answers, records included.";
    REQUEST_ERRORS = Counter "klamm_request_errors_total" ["api"] "Answers in which at least one error was told.";
    MALFORMED = Counter "klamm_malformed_requests_total" [] "Frames that were no request served here; their connections were closed.";
    CONNECTIONS = Gauge "klamm_connections" [] "Connections of clients and brokers.";
    CONNECTIONS_MAX = Gauge "klamm_connections_max" [] "How many there may be: `max.connections`, or fewer where there are too few file descriptors.";
    ACCEPTED = Counter "klamm_connections_accepted_total" [] "Connections accepted.";
    REFUSED = Counter "klamm_connections_refused_total" ["reason"] "Connections closed at once because there were too many.";
    ENDED = Counter "klamm_connections_ended_total" ["reason"] "Connections ended by the broker because their time was over.";
    ACCEPT_FAILURES = Counter "klamm_accept_failures_total" [] "Times that accepting paused because the system gave no connection, such as for want of file descriptors.";
    RECEIVED_BYTES = Gauge "klamm_received_bytes" [] "Memory of received requests that are not done with.";
    RECEIVED_BYTES_MAX = Gauge "klamm_received_bytes_max" [] "`queued.max.request.bytes`: above it, large requests wait.";
    UNSENT_BYTES = Gauge "klamm_unsent_bytes" [] "Memory of answers that their readers have not taken yet; it may be as much as that of requests.";
    PRODUCED_RECORDS = Counter "klamm_produced_records_total" [] "Records of clients appended here.";
    PRODUCED_BYTES = Counter "klamm_produced_bytes_total" [] "Bytes of clients' batches appended here.";
    FETCHED_BYTES = Counter "klamm_fetched_bytes_total" [] "Bytes of records in answers to fetches, of consumers and of followers.";
    FOLLOWER_READ_BYTES = Counter "klamm_follower_read_bytes_total" [] "About how many bytes consumers have read here of partitions that other brokers lead.";
    PARKED_PRODUCES = Gauge "klamm_parked_produce_requests" [] "Produce requests that wait for what their acks ask.";
    PARKED_FETCHES = Gauge "klamm_parked_fetch_requests" [] "Fetches that wait for records.";
    PARTITIONS = Gauge "klamm_partitions" [] "Partitions that this broker has.";
    LEADERS = Gauge "klamm_leader_partitions" [] "Partitions that this broker leads.";
    UNDER_REPLICATED = Gauge "klamm_under_replicated_partitions" [] "Partitions led here of which a replica is not in sync.";
    UNDER_MIN_ISR = Gauge "klamm_under_min_isr_partitions" [] "Partitions led here with fewer replicas in sync than acks=all asks for.";
    OFFLINE = Gauge "klamm_offline_partitions" [] "Partitions of this broker whose logs have failed or could not be read back.";
    DAMAGED = Gauge "klamm_damaged_partitions" [] "Those of them that were found damaged at start.";
    DAMAGED_RANGES = Gauge "klamm_damaged_ranges" [] "Ranges of records that are not served because they are not what was written. The log tells which.";
    DAMAGED_BYTES = Gauge "klamm_damaged_bytes" [] "Their bytes.";
    SCRUBBED_BYTES = Counter "klamm_scrubbed_bytes_total" [] "Bytes of records that were looked at to find such.";
    UNCLEAN_ELECTIONS = Counter "klamm_unclean_elections_total" [] "Leaders that were elected while this broker was the controller, and that may lack records.";
    HELD_BACK = Counter "klamm_replicas_held_back_total" ["by"] "Times that a replica which catches up had to wait for its share of what may be copied in a second: by the leader here, or by itself as a follower here.";
    CONTROLLER = Gauge "klamm_active_controller" [] "1 if this broker is the controller.";
    READY = Gauge "klamm_ready" [] "1 if the broker is registered and serves.";
    LAST_STOP_CLEAN = Gauge "klamm_last_shutdown_clean" [] "1 if the process before left everything on disk, or there was none.";
    LOG_BYTES = Gauge "klamm_log_bytes" [] "Bytes of all logs.";
    UNSYNCED_BYTES = Gauge "klamm_unsynced_bytes" [] "Bytes appended that are not known to be on disk.";
    OPEN_TRANSACTIONS = Gauge "klamm_open_transactions" [] "Transactions that have begun and are not complete, of the coordinators here.";
    OLDEST_TRANSACTION = Gauge "klamm_oldest_open_transaction_seconds" [] "How long ago the oldest of them began.";
    REBALANCES = Counter "klamm_group_rebalances_total" ["cause"] "How often groups of the coordinators here were rebalanced.";
    LAG = Gauge "klamm_group_lag" ["group", "topic", "partition"] "Records behind the offset that a group of the coordinators here has committed, in partitions of which this broker has a replica.";
    LAG_SECONDS = Gauge "klamm_group_lag_seconds" ["group", "topic", "partition"] "How long ago about the first of them was written.";
    DIR_BYTES = Gauge "klamm_log_dir_total_bytes" ["dir"] "Size of the data directory's file system.";
    DIR_FREE_BYTES = Gauge "klamm_log_dir_free_bytes" ["dir"] "What is free of it.";
    DIR_PARTITIONS = Gauge "klamm_log_dir_partitions" ["dir"] "Partitions in the data directory.";
    DIR_FULL = Gauge "klamm_log_dir_full" ["dir"] "1 if no records are taken because too little is free.";
    DIR_FAILED = Gauge "klamm_log_dir_failed" ["dir"] "1 if the data directory has failed.";
    DISK_SECONDS = Histogram "klamm_disk_operation_seconds" ["operation"] "How long disk operations took: syncs, rounds of writes, and others.";
    DISK_ERRORS = Counter "klamm_disk_errors_total" [] "Disk operations that failed.";
    LOCK_TAKEN = Counter "klamm_node_lock_total" [] "How often the node's lock was taken.";
    LOCK_CONTENDED = Counter "klamm_node_lock_contended_total" [] "How often somebody else had it.";
    LOCK_EVENTS = Counter "klamm_node_events_total" [] "Events that the node has taken.";
    LOCK_WAITED = Counter "klamm_node_lock_waited_seconds_total" [] "Time spent waiting for the node's lock.";
    LOCK_HELD = Histogram "klamm_node_lock_held_seconds" [] "How long the node's lock was held.";
    CPU_SECONDS = Counter "process_cpu_seconds_total" [] "Processor time of the process.";
    RESIDENT_BYTES = Gauge "process_resident_memory_bytes" [] "Memory of the process.";
    OPEN_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    MAX_FDS = Gauge "process_max_fds" [] "How many there may be.";
    THREADS = Gauge "process_threads" [] "Threads.";
    START_TIME = Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970.";
}
