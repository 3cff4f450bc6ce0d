//! Five hundred seeds: no invariant is broken in any, and together they meet everything they are meant to meet.
//!
//! When one fails, its message says how to see what happened; paste it into `one_seed` while you look for the cause.

use std::sync::Mutex;

use klamm_sim::{Options, alone, coverage::Coverage, faults, run, runner::on_all_cores};

const SEED_COUNT: u64 = 500;
/// Each thing that a seed may meet is met so often by all of them, at least.
const TIMES_LEAST: u64 = 10;

/// What must be met besides the kinds of faults.
const EVENTS: &[&str] = &[
    "controller elected",
    "leader elected",
    "leader lost",
    "replica began to lead",
    "in-sync set shrunk",
    "in-sync set grown",
    "eligible leader replicas",
    "leader elected who was eligible",
    "producer sent away by a leader that is cut off",
    "directory lost by a process that goes on",
    "all partitions of a directory removed",
    "directory replaced by an empty one",
    "directory: not replaced, as not all have everything",
    "unclean election",
    "leader that is full hands over",
    "unclean: reader told that what it read is gone",
    "unclean: record lost that was acknowledged",
    "throttle: replica held back by its leader",
    "throttle: replica holds itself back",
    "majority lost: two of three are down",
    "majority lost: no node hears another",
    "majority lost: of those who vote",
    "majority lost: refused with a reason",
    "majority lost: batch acked by all meanwhile",
    "majority lost: record read meanwhile",
    "relaxed: a crash too many is left out",
    "log truncated",
    "segment created",
    "topic created",
    "broker stopped clean",
    "broker stops when others have taken over",
    "batch acked by all",
    "batch acked by one",
    "batch out of order behind another",
    "record read",
    "client: batch sent again",
    "client: buffer full",
    "client: closed with everything acknowledged or failed",
    "client: closed with records unacknowledged",
    "client: consumer closed",
    "client: flushed",
    "client: given up when it was closed",
    "client: leader hint believed",
    "client: no acknowledgement in time",
    "client: numbers begun anew",
    "client: partition paused",
    "client: position sought",
    "client: position validated",
    "client: records read at a follower",
    "client: refused by a follower",
    "client: sent to a replica in its rack",
    "client: topic unknown for long",
    "client: tried too often",
    "disk: full",
    "disk: failed sync",
    "disk: torn tail cut off",
    "engine: entry committed late",
    "engine: entry committed twice",
    "engine: proposal forgotten",
    "engine: a process that lives said to be gone",
    "engine: old news of a process that is gone",
    "broker fenced that lives",
    "engine: leadership lost in the middle of proposals",
    "engine: snapshot at a start",
    "engine: snapshot for a node that is behind",
    "engine: snapshot offered",
    "renewed topic: asked for an id that is gone",
    "renewed topic: coordinator succeeded after it was made anew",
    "renewed topic: deleted",
    "renewed topic: made",
    "renewed topic: offset committed",
    "renewed topic: offsets looked up",
    "renewed topic: record acknowledged",
    "renewed topic: record read",
    "renewed topic: start finds one that is gone",
    "renewed topic: told of one that is gone",
    "coordinators: follower is given what is compacted",
    "coordinators: log compacted",
    "coordinators: start from a log that was compacted",
    "coordinator ends between a decision and its marks",
    "coordinator ends in a rebalance or a commit",
    "group: commit refused",
    "group: joined by the classic protocol",
    "group: joined by the consumer protocol",
    "group: member killed",
    "group: member leaves",
    "group: member stands still",
    "group: offset committed",
    "group: partitions assigned",
    "group: partitions lost",
    "group: partitions revoked",
    "group: record read",
    "operator: config altered",
    "operator: move called off",
    "operator: nobody knows what becomes of an order",
    "operator: partitions made",
    "operator: preferred leader elected",
    "operator: replicas on their way",
    "late: EndTxn",
    "late: JoinGroup",
    "late: OffsetCommit",
    "late: InitProducerId",
    "late: Produce in a transaction",
    "late: AddPartitionsToTxn",
    "late: TxnOffsetCommit",
    "transaction aborted",
    "transaction begun, each with an epoch of its own",
    "transaction begun, with partitions named",
    "transaction can only be aborted",
    "transaction committed",
    "transaction left open for long",
    "transaction takes offsets",
    "transaction whose end nobody was told",
    "transactional producer fenced",
    "transactional producer killed",
    "roles: broker cut off that is no controller",
    "roles: broker killed that is no controller",
    "roles: broker paused that is no controller",
    "roles: broker stopped that is no controller",
    "roles: broker without power that is no controller",
    "roles: controller cut off that is no broker",
    "roles: controller elected that is no broker",
    "roles: controller killed that is no broker",
    "roles: controller paused that is no broker",
    "roles: controller stopped that is no broker",
    "roles: controller without power that is no broker",
    "network: answer cut in the middle",
    "network: broken connection",
    "network: half-open connection",
    "network: late request of an old connection",
    "network: message held up by a cut",
    "network: request cut in the middle",
    "network: request that arrives twice",
    "network: request timed out",
    "alone: files damaged",
    "alone: file beside the records made again",
    "alone: torn tail cut off",
    "alone: metadata snapshot offered",
    "alone: start from a metadata snapshot",
    "alone: stopped clean",
    "alone: bit flipped in records",
    "alone: bit flipped in a length or an offset",
    "alone: damaged batch refused",
    "alone: reader met what is no batch",
    "alone: start leaves out what is damaged",
    "disk: failed write",
    "data directory lost",
    "segment closed",
    "segments retired",
    "retired segments removed",
    "compacted segment swapped in",
    "notes taken",
    "records deleted",
    "offset looked up by time",
    "largest timestamp looked up",
    "topic config altered",
    "topic deleted",
    "damaged topic deleted",
    "alone: file that is needed damaged",
    "alone: start does not know whose a directory is",
    "partition deleted",
    "partition moved",
    "move begun or called off",
    "alone: start went on with a move",
];

#[test]
fn five_hundred_seeds() {
    let met = Mutex::new(Coverage::default());
    let failures = Mutex::new(Vec::new());
    on_all_cores(0..SEED_COUNT, |seed| {
        let outcome = run(Options { seed, ..Options::default() });
        assert!(30_000_000 <= outcome.ended_at || !outcome.is_good(), "a short life: {outcome}");
        assert!(5_000 <= outcome.event_count || !outcome.is_good(), "a quiet life: {outcome}");
        let alone = alone::run(alone::Options { seed, ..alone::Options::default() });
        assert!(30_000_000 <= alone.ended_at || !alone.is_good(), "a short life: {alone}");
        for outcome in [outcome, alone] {
            met.lock().expect("no panic").merge(&outcome.coverage);
            if !outcome.is_good() {
                failures.lock().expect("no panic").push(outcome.to_string());
            }
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{} of {SEED_COUNT} seeds failed:\n{}", failures.len(), failures.join("\n"));
    let met = met.into_inner().expect("no panic");
    let wanted = faults::KINDS.iter().chain(alone::faults::KINDS).chain(EVENTS);
    assert_eq!(met.of("needless failover"), 0, "a broker was fenced in a run in which nothing goes wrong");
    let rare: Vec<_> = wanted.filter(|what| met.of(what) < TIMES_LEAST).collect();
    let all: Vec<_> = met.iter().map(|(what, times)| format!("{times:>9} {what}")).collect();
    println!("{}", all.join("\n"));
    assert!(rare.is_empty(), "hardly ever met: {rare:?}\n{}", all.join("\n"));
}

/// The place to paste a seed that failed.
#[test]
fn one_seed() {
    let outcome = run(Options { seed: 1, ..Options::default() });
    assert!(outcome.is_good(), "{outcome}");
}

#[test]
fn a_seed_lived_through_twice_is_the_same() {
    for seed in [7, 77] {
        let [first, second] = [0, 1].map(|_| run(Options { seed, ..Options::default() }));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.event_count, second.event_count, "seed {seed}");
        assert_eq!(first.coverage, second.coverage, "seed {seed}");
    }
    for seed in 0..10 {
        let [first, second] =
            [0, 1].map(|_| alone::run(alone::Options { seed, ..alone::Options::default() }));
        assert_eq!((first.trace_hash, first.coverage), (second.trace_hash, second.coverage), "seed {seed}");
    }
    let other = run(Options { seed: 8, ..Options::default() });
    assert_ne!(run(Options { seed: 7, ..Options::default() }).trace_hash, other.trace_hash);
}
