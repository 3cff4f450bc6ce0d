//! Transactions as a log knows them, by what Kafka's `ProducerAppendInfo` and `ProducerStateManager` do.

use expect_test::{Expect, expect};
use klamm_model::{BatchView, Batches, Tail as RunEnd, TransactionEnd, TransactionMark};

use super::*;

/// What records say of the transactions that they belong to.
pub(super) struct Told {
    pub(super) first_unstable: Offset,
    /// Producer, first offset and mark.
    pub(super) aborted: Vec<(i64, i64, i64)>,
}

impl Told {
    /// By all batches from the first on, where marks below `confirmed` count.
    pub(super) fn by(batches: &BTreeMap<i64, Vec<u8>>, confirmed: i64) -> Self {
        let mut open = BTreeMap::new();
        let mut told = Self { first_unstable: Offset::MAX, aborted: Vec::new() };
        for (base, bytes) in batches {
            let batch = BatchView::parse(bytes).expect("a batch of ours");
            let Some(producer) = batch.header().producer else { continue };
            let id = producer.id.0;
            match TransactionMark::of(&batch) {
                Some(mark) => {
                    let Some(first) = open.remove(&id) else { continue };
                    if mark.end == TransactionEnd::Abort {
                        told.aborted.push((id, first, *base));
                    }
                    if confirmed <= *base {
                        told.first_unstable = told.first_unstable.min(offset(first));
                    }
                }
                None if batch.header().attributes.is_transactional() => _ = open.entry(id).or_insert(*base),
                None => {}
            }
        }
        told.first_unstable = open.into_values().map(offset).fold(told.first_unstable, Offset::min);
        told
    }
}

/// The aborted transactions that a log knows: producer, first offset and mark.
pub(super) fn aborted(log: &Log, disk: &MemoryDisk) -> Vec<(i64, i64, i64)> {
    let lookup = log.aborted_between(Offset::ZERO, Offset::MAX);
    let mut read =
        |segment, kind, position, buffer: &mut [u8]| disk.read_version(segment, kind, position, buffer);
    let found = resolve_aborted(&lookup, &mut read).expect("good files");
    found.iter().map(|it| (it.producer.0, it.first.raw(), it.mark.raw())).collect()
}

/// `send|in ID EPOCH SEQ`: a batch of two records, alone or in a transaction; `commit|abort ID EPOCH COORDINATOR`; `high OFFSET`, `cut OFFSET`, `again` (a crash of
/// the process). Gives what each came to, where the stable part ends then, and which transactions were aborted.
#[expect(clippy::needless_pass_by_value, reason = "cases read better")]
fn check(script: &str, expected: Expect) {
    let config = LogConfig { notes_interval_bytes: 200, ..LogConfig::default() };
    let mut bench = Bench::new(config);
    let mut text = String::new();
    for (mark, line) in script.lines().map(str::trim).enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().expect("a number");
        let appended = match words[0] {
            "send" | "in" => {
                let producer = (number(1), number(2) as i16, number(3) as i32);
                let (valid, bytes) = batch_of(2, mark as u64, Some(producer), words[0] == "in");
                Some(bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way))
            }
            "commit" | "abort" => {
                let end = if words[0] == "abort" { TransactionEnd::Abort } else { TransactionEnd::Commit };
                let it = TransactionMark { end, coordinator_epoch: LeaderEpoch(number(3) as i32) };
                let (id, epoch) = (ProducerId(number(1)), ProducerEpoch(number(2) as i16));
                let (valid, bytes) = it.to_batch(id, epoch, Timestamp(0));
                Some(bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way))
            }
            "cut" => {
                bench.log.truncate_to(offset(number(1)), &mut bench.under_way);
                None
            }
            "high" => {
                bench.log.note_high_watermark(offset(number(1)));
                None
            }
            "again" => {
                let high_watermark = bench.log.high_watermark;
                bench.settle();
                bench = Bench::open(bench.disk, config).expect("good files").0;
                bench.log.note_high_watermark(high_watermark);
                None
            }
            _ => panic!("{line}"),
        };
        bench.settle();
        let came_to = match appended {
            None => String::new(),
            Some(Ok(it)) => format!(" at {}{}", it.base, if it.duplicate { ", again" } else { "" }),
            Some(Err(error)) => format!(": {error}"),
        };
        let aborted = aborted(&bench.log, &bench.disk);
        let aborted = if aborted.is_empty() { String::new() } else { format!(", aborted {aborted:?}") };
        text.push_str(&format!("{line}{came_to}; stable {}{aborted}\n", bench.log.last_stable()));
    }
    expected.assert_eq(&text);
}

#[test]
fn a_mark_counts_when_it_is_committed() {
    check(
        "in 1 0 0
         send 2 0 0
         high 4
         abort 1 0 5
         high 4
         again
         high 5
         in 1 0 2
         high 7
         cut 7
         commit 1 0 5
         cut 7
         high 7
         again",
        expect![[r#"
            in 1 0 0 at 0; stable 0
            send 2 0 0 at 2; stable 0
            high 4; stable 0
            abort 1 0 5 at 4; stable 0, aborted [(1, 0, 4)]
            high 4; stable 0, aborted [(1, 0, 4)]
            again; stable 0, aborted [(1, 0, 4)]
            high 5; stable 5, aborted [(1, 0, 4)]
            in 1 0 2 at 5; stable 5, aborted [(1, 0, 4)]
            high 7; stable 5, aborted [(1, 0, 4)]
            cut 7; stable 5, aborted [(1, 0, 4)]
            commit 1 0 5 at 7; stable 5, aborted [(1, 0, 4)]
            cut 7; stable 5, aborted [(1, 0, 4)]
            high 7; stable 5, aborted [(1, 0, 4)]
            again; stable 5, aborted [(1, 0, 4)]
        "#]],
    );
}

#[test]
fn the_oldest_transaction_holds_the_others() {
    check(
        "in 1 0 0
         in 2 0 0
         in 1 0 2
         high 6
         commit 2 0 0
         high 7
         in 2 0 2
         abort 1 0 0
         high 9
         high 10
         abort 2 0 0
         again
         high 11",
        expect![[r#"
            in 1 0 0 at 0; stable 0
            in 2 0 0 at 2; stable 0
            in 1 0 2 at 4; stable 0
            high 6; stable 0
            commit 2 0 0 at 6; stable 0
            high 7; stable 0
            in 2 0 2 at 7; stable 0
            abort 1 0 0 at 9; stable 0, aborted [(1, 0, 9)]
            high 9; stable 0, aborted [(1, 0, 9)]
            high 10; stable 7, aborted [(1, 0, 9)]
            abort 2 0 0 at 10; stable 7, aborted [(1, 0, 9), (2, 7, 10)]
            again; stable 7, aborted [(1, 0, 9), (2, 7, 10)]
            high 11; stable 11, aborted [(1, 0, 9), (2, 7, 10)]
        "#]],
    );
}

/// Kafka answers all of these so; with a new epoch in each mark (KIP-890), numbers begin anew.
#[test]
fn whoever_is_too_late_is_refused() {
    check(
        "in 1 3 0
         send 1 3 2
         send 1 3 0
         commit 1 2 9
         commit 1 4 9
         in 1 3 2
         in 1 4 2
         in 1 4 0
         abort 1 4 8
         abort 1 4 9
         abort 1 4 9
         send 1 4 2
         abort 7 0 3
         send 7 0 1",
        expect![[r#"
            in 1 3 0 at 0; stable 0
            send 1 3 2: producer 1 appended outside of its transaction, which is open since offset 0; stable 0
            send 1 3 0 at 0, again; stable 0
            commit 1 2 9: producer 1 appended under epoch 2, which is older than 3; stable 0
            commit 1 4 9 at 2; stable 0
            in 1 3 2: producer 1 appended under epoch 3, which is older than 4; stable 0
            in 1 4 2: producer 1 appended sequence 2 where 0 is next; stable 0
            in 1 4 0 at 3; stable 0
            abort 1 4 8: coordinator epoch 8 ends a transaction of producer 1, but 9 did before; stable 0
            abort 1 4 9 at 5; stable 0, aborted [(1, 3, 5)]
            abort 1 4 9 at 6; stable 0, aborted [(1, 3, 5)]
            send 1 4 2 at 7; stable 0, aborted [(1, 3, 5)]
            abort 7 0 3 at 9; stable 0, aborted [(1, 3, 5)]
            send 7 0 1: producer 7 appended sequence 1 where 0 is next; stable 0, aborted [(1, 3, 5)]
        "#]],
    );
}

/// A coordinator's word about a transaction is worth nothing once a mark has come.
#[test]
fn a_batch_that_begins_a_transaction_is_held_until_its_coordinator_has_been_asked() {
    let mut bench = Bench::new(LogConfig::default());
    let (first, bytes) = batch_of(2, 0, Some((1, 0, 0)), true);
    let (second, _) = batch_of(2, 0, Some((1, 0, 2)), true);
    let asked = bench.log.begins_transaction(&first).expect("there is none");
    let mark = TransactionMark { end: TransactionEnd::Abort, coordinator_epoch: LeaderEpoch(0) };
    let (abort, abort_bytes) = mark.to_batch(ProducerId(1), ProducerEpoch(0), Timestamp(0));
    let mut append = |log: &mut Log, batch: &ValidBatch, bytes: &Bytes| {
        log.append_as_leader(LeaderEpoch(0), batch, bytes.clone(), &mut bench.under_way).expect("appended");
    };
    append(&mut bench.log, &abort, &abort_bytes);
    let asked_again = bench.log.begins_transaction(&first).expect("there is none still");
    assert_ne!(asked_again, asked, "it may be another one");
    append(&mut bench.log, &first, &bytes);
    assert_eq!(bench.log.begins_transaction(&second), None, "it is open");
    append(&mut bench.log, &abort, &abort_bytes);
    assert_eq!(bench.log.begins_transaction(&first), None, "it is there already");
    assert!(bench.log.begins_transaction(&second).is_some());
    assert_eq!(bench.log.begins_transaction(&batch(1, 0, Some((5, 0, 0))).0), None, "no transaction");
}

/// A copy has the same state as its leader, wherever its segments end, and so has a start from its files or without them.
#[test]
fn followers_and_restarts_know_of_the_same_transactions() {
    let mut leader = Bench::new(config());
    let mut sequences = [0; 3];
    for step in 0..120_i64 {
        let id = step % 3;
        let (valid, bytes) = if step % 7 == 6 {
            let end = if step % 2 == 0 { TransactionEnd::Abort } else { TransactionEnd::Commit };
            let mark = TransactionMark { end, coordinator_epoch: LeaderEpoch(3) };
            mark.to_batch(ProducerId(id), ProducerEpoch(0), Timestamp(step))
        } else {
            sequences[id as usize] += 1;
            batch_of(1, step as u64, Some((id, 0, sequences[id as usize] - 1)), true)
        };
        leader.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut leader.under_way).expect("in order");
        leader.settle();
        leader.log.note_high_watermark(leader.log.end());
    }
    let mut follower = Bench::new(LogConfig { segment_bytes: 450, ..config() });
    while follower.log.end() < leader.log.end() {
        let (from, end) = (follower.log.end(), leader.log.end());
        let plan = leader.log.read(from, end, 300).expect("in range").expect("something");
        let run = Bytes::from(leader.resolve(&plan).expect("readable"));
        let mut batches = Batches::new(&run, RunEnd::MayBeTruncated);
        batches.by_ref().for_each(drop);
        let whole = run.slice(..batches.position());
        follower.log.append_as_follower(whole, &mut follower.under_way).expect("continuous");
        follower.settle();
        follower.log.note_high_watermark(follower.log.end());
        follower.log.periodic(klamm_model::Tick(from.raw() as u64 * 1_000_000), &mut follower.under_way);
    }
    follower.settle();
    let known = aborted(&leader.log, &leader.disk);
    assert!(3 < known.len() && 4 < follower.log.segments.len());
    let mut damaged = follower.disk.clone();
    for (name, file) in damaged.files.iter_mut().filter(|(name, _)| name.ends_with(".txnindex")) {
        file.data[0] ^= u8::from(name.ends_with("0.txnindex"));
        let half = file.data.len() / 2;
        file.data.truncate(if name.ends_with("1.txnindex") { half } else { file.data.len() });
    }
    damaged.files.retain(|name, _| !name.ends_with("5.txnindex"));
    let (restarted, report) = Bench::open(follower.disk.clone(), config()).expect("good files");
    assert_eq!(report.rebuilt, Vec::<String>::new());
    let (mended, report) = Bench::open(damaged, config()).expect("good records");
    assert!(1 < report.rebuilt.len(), "{:?}", report.rebuilt);
    for bench in [&follower, &restarted, &mended] {
        assert_eq!(bench.log.producers, leader.log.producers);
        assert_eq!(aborted(&bench.log, &bench.disk), known);
    }
    let from_records: Vec<Vec<u8>> =
        leader.log.segments.iter().map(|it| leader.disk.segment(it.base).to_vec()).collect();
    let batches = from_records.concat();
    let batches = Batches::new(&batches, RunEnd::MustBeComplete).map(|it| it.expect("whole"));
    let batches = batches.map(|it| (it.base_offset().raw(), it.bytes().to_vec())).collect();
    assert_eq!(Told::by(&batches, i64::MAX).aborted, known);
}

/// A reader gets those that have records in what it reads, and of closed segments' files only those that may.
#[test]
fn a_reader_is_told_of_the_aborted_transactions_that_it_may_meet() {
    let mut bench = Bench::new(config());
    let mark = TransactionMark { end: TransactionEnd::Abort, coordinator_epoch: LeaderEpoch(3) };
    for id in 0..30_i64 {
        let (valid, bytes) = batch_of(1, id as u64, Some((id, 0, 0)), true);
        bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way).expect("in order");
        // The first one ends last.
        for id in [id].into_iter().filter(|id| *id != 0).chain((id == 29).then_some(0)) {
            let (valid, bytes) = mark.to_batch(ProducerId(id), ProducerEpoch(0), Timestamp(0));
            bench
                .log
                .append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way)
                .expect("in order");
        }
        bench.settle();
    }
    bench.log.note_high_watermark(bench.log.end());
    for from in 0..bench.log.end().raw() {
        let end = bench.log.end();
        let plan = bench.log.read(offset(from), end, 200).expect("in range").expect("something");
        let last = Batches::new(&bench.resolve(&plan).expect("readable"), RunEnd::MayBeTruncated)
            .map_while(Result::ok)
            .last()
            .map(|it| it.next_offset())
            .expect("a batch");
        let mut read =
            |segment, kind, at, buffer: &mut [u8]| bench.disk.read_version(segment, kind, at, buffer);
        let lookup = bench.log.aborted(&plan, end).unwrap_or_default();
        let found = resolve_aborted(&lookup, &mut read).expect("good files");
        let all = aborted(&bench.log, &bench.disk);
        let needed = all.iter().filter(|(_, first, mark)| *first < last.raw() && from <= *mark);
        let found: Vec<_> = found.iter().map(|it| (it.producer.0, it.first.raw(), it.mark.raw())).collect();
        assert!(needed.clone().all(|it| found.contains(it)), "from {from}: {found:?}");
        assert!(found.len() < needed.count() + 8, "from {from} to {last}: {found:?}");
    }
}
