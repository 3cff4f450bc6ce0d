//! Scripts: a call a line, and what it gives.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use klamm_model::Tick;

use super::*;

/// `append COUNT`, `ok`/`full`/`broken WHICH…` (by what it does, such as `write 0` or `sync`), `begins WHICH` (a sync that has waited), `cut END`,
/// `restart BASE`, `epoch E`, `hw OFFSET`, `start OFFSET`, `retention WALL_MS`, `tick MS`, `delete`, `stop`, `rests` (what a log that stops has come to).
#[expect(clippy::needless_pass_by_value, reason = "cases read better")]
pub(super) fn check(config: LogConfig, script: &str, expected: Expect) {
    let mut bench = Bench::new(config);
    let mut text = String::new();
    let mut told = 0;
    for (mark, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse::<i64>().expect("a number");
        let mut said = String::new();
        match word {
            "append" => {
                let (valid, bytes) = batch(number() as u32, mark as u64, None);
                let epoch = bench.log.epochs.newest().map_or(LeaderEpoch(0), |newest| newest.epoch);
                match bench.log.append_as_leader(epoch, &valid, bytes, &mut bench.under_way) {
                    Ok(Appended { base, end, .. }) => said = format!("{base}..{end}"),
                    Err(error) => said = format!("refused: {error}"),
                }
            }
            "ok" | "full" | "broken" => {
                let at = bench.under_way.iter().position(|op| {
                    name(op) == rest || (rest.starts_with("cut") && name(op).starts_with(&format!("{rest}+")))
                });
                let Some(at) = at else { panic!("{rest:?} is not under way: {:?}", bench.under_way) };
                let result = match word {
                    "ok" => Ok(()),
                    "full" => Err(DiskError::Full),
                    _ => Err(DiskError::Io("broken".to_owned())),
                };
                told -= usize::from(at < told);
                let progress = bench.end(at, result);
                said = describe(&progress);
            }
            "begins" => {
                if let Some(op) = bench.under_way.iter().find(|op| name(op) == rest) {
                    bench.log.sync_begins(op.id);
                }
                said = format!("covers {:?}", bench.log.queue.syncing.map(|it| it.covers.raw()));
            }
            "cut" => bench.log.truncate_to(offset(number()), &mut bench.under_way),
            "restart" => bench.log.restart_at(offset(number()), &mut bench.under_way),
            "epoch" => {
                let end = bench.log.end();
                bench.log.begin_epoch(LeaderEpoch(number() as i32), end);
            }
            "hw" => bench.log.note_high_watermark(offset(number())),
            "tick" => bench.log.periodic(Tick::default().after_ms(number() as u64), &mut bench.under_way),
            "start" => bench.log.advance_log_start(offset(number()), &mut bench.under_way),
            "retention" => bench.log.enforce_retention(Timestamp(number()), &mut bench.under_way),
            "delete" => bench.log.delete(&mut bench.under_way),
            "stop" => bench.log.stop(&mut bench.under_way),
            "rests" => {
                said = format!("at rest {}, whole {}", bench.log.is_at_rest(), bench.log.is_whole());
            }
            _ => panic!("{line:?}"),
        }
        let ops: Vec<String> = bench.under_way[told..].iter().map(name).collect();
        told = bench.under_way.len();
        let log = &bench.log;
        let frontiers = format!("{}/{}/{}", log.synced(), log.written(), log.end());
        let _ = writeln!(
            text,
            "{line:<14} {frontiers:<10} {said}{}{}",
            if said.is_empty() || ops.is_empty() { "" } else { " " },
            if ops.is_empty() { String::new() } else { format!("-> {}", ops.join(", ")) }
        );
    }
    expected.assert_eq(&text);
}

fn name(op: &DiskOp) -> String {
    match &op.action {
        DiskAction::CreatePartition { directory, .. } => format!("make {directory}"),
        DiskAction::CreateSegment { segment } => format!("begin {}", segment.base),
        DiskAction::Write { prefix, body, .. } => {
            let bytes = written_bytes(prefix.as_ref(), body);
            let base = bytes.first_chunk().map(|base| i64::from_be_bytes(*base));
            format!("write {}", base.unwrap_or(-1))
        }
        DiskAction::Sync { segment } => format!("sync {}", segment.base),
        DiskAction::Truncate { segment, size, delete } => {
            let gone: String = delete.iter().map(|gone| format!(" without {}", gone.base)).collect();
            format!("cut {}+{size}{gone}", segment.base)
        }
        DiskAction::Seal { segment, .. } => format!("seal {}", segment.base),
        DiskAction::WriteBeside { kind, at, .. } => format!("write {at}.{}", kind.extension()),
        DiskAction::WriteCheckpoint { name, contents } => {
            let lines = std::str::from_utf8(contents).unwrap_or("?").lines().skip(1);
            match *name {
                DURABLE_POINT => match lines.take(3).collect::<Vec<_>>()[..] {
                    [point, _, "0"] => format!("durable {point}"),
                    [point, _, log_start] => format!("durable {point} from {log_start}"),
                    _ => "?".to_owned(),
                },
                // Entries have two words.
                _ => {
                    let entries = lines.filter(|line| line.contains(' ')).map(|line| line.replace(' ', "@"));
                    format!("epochs {}", entries.collect::<Vec<_>>().join("+"))
                }
            }
        }
        DiskAction::Retire { segments } => format!("retire {}", bases(segments)),
        DiskAction::Remove { segments, snapshots } => {
            let snapshots: String = snapshots.iter().map(|at| format!(" snapshot {at}")).collect();
            format!("remove {}{snapshots}", bases(segments))
        }
        DiskAction::Note { through, .. } => format!("note {through}"),
        DiskAction::MapKeys(job) => format!("map {}", job.from),
        DiskAction::Rewrite(job) => {
            format!("rewrite {}", bases(&job.sources.iter().map(|it| it.segment.id).collect::<Vec<_>>()))
        }
        DiskAction::Scrub(job) => format!("scrub {}+{}", job.segment.id.base, job.from.position),
        DiskAction::Swap { segment, .. } => format!("swap {}", segment.id.base),
        DiskAction::Move(it) => format!("move to {}: {:?}", it.to.0, it.step),
        DiskAction::DeletePartition => "delete".to_owned(),
    }
}

fn bases(segments: &[SegmentId]) -> String {
    segments.iter().map(|segment| segment.base.to_string()).collect::<Vec<_>>().join(" ")
}

fn describe(progress: &Progress) -> String {
    let mut said = Vec::new();
    let mut say = |what: &str, offset: Option<Offset>| {
        if let Some(offset) = offset {
            said.push(format!("{what} {offset}"));
        }
    };
    say("written", progress.written);
    say("synced", progress.synced);
    say("lost from", progress.lost_from);
    say("truncated", progress.truncated);
    if let Some(error) = &progress.fatal {
        said.push(format!("FATAL {error}"));
    }
    if progress.deleted {
        said.push("deleted".to_owned());
    }
    said.join(", ")
}

#[test]
fn written_is_what_has_no_hole_and_one_sync_covers_what_was_written_when_it_began() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        append 2
        append 3
        ok write 1
        ok write 0
        ok epochs 0@0
        ok write 3
        ok sync 0
        ok sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            append 2       0/0/3      1..3 -> write 1
            append 3       0/0/6      3..6 -> write 3
            ok write 1     0/0/6      
            ok write 0     0/3/6      written 3 -> sync 0
            ok epochs 0@0  0/3/6      
            ok write 3     0/6/6      written 6
            ok sync 0      3/6/6      synced 3 -> sync 0
            ok sync 0      6/6/6      synced 6
        "#]],
    );
}

#[test]
fn a_sync_that_waits_covers_what_is_written_when_it_begins() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        ok write 0
        append 2
        append 3
        ok write 1
        begins sync 0
        ok write 3
        begins epochs 0@0
        ok sync 0
        ok sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok write 0     0/1/1      written 1 -> sync 0
            append 2       0/1/3      1..3 -> write 1
            append 3       0/1/6      3..6 -> write 3
            ok write 1     0/3/6      written 3
            begins sync 0  0/3/6      covers Some(3)
            ok write 3     0/6/6      written 6
            begins epochs 0@0 0/6/6      covers Some(3)
            ok sync 0      3/6/6      synced 3 -> sync 0
            ok sync 0      6/6/6      synced 6
        "#]],
    );
}

#[test]
fn a_cut_between_the_beginning_and_the_end_of_a_sync_counts_for_what_it_covers() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        ok epochs 0@0
        ok write 0
        append 2
        ok write 1
        begins sync 0
        cut 1
        append 4
        ok sync 0
        ok cut 0
        ok write 1
        begins sync 0
        restart 50
        ok sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok epochs 0@0  0/0/1      
            ok write 0     0/1/1      written 1 -> sync 0
            append 2       0/1/3      1..3 -> write 1
            ok write 1     0/3/3      written 3
            begins sync 0  0/3/3      covers Some(3)
            cut 1          0/1/1      
            append 4       0/1/5      1..5
            ok sync 0      1/1/5      synced 1 -> cut 0+71
            ok cut 0       1/1/5      truncated 1 -> write 1
            ok write 1     1/5/5      written 5 -> sync 0
            begins sync 0  1/5/5      covers Some(5)
            restart 50     50/50/50   
            ok sync 0      50/50/50   -> durable 0 from 50
        "#]],
    );
}

#[test]
fn a_sync_that_begins_behind_a_cut_or_a_new_start_covers_nothing_that_is_gone() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        ok epochs 0@0
        ok write 0
        append 2
        ok write 1
        cut 1
        append 4
        begins sync 0
        ok sync 0
        ok cut 0
        ok write 1
        restart 50
        begins sync 0
        ok sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok epochs 0@0  0/0/1      
            ok write 0     0/1/1      written 1 -> sync 0
            append 2       0/1/3      1..3 -> write 1
            ok write 1     0/3/3      written 3
            cut 1          0/1/1      
            append 4       0/1/5      1..5
            begins sync 0  0/1/5      covers Some(1)
            ok sync 0      1/1/5      synced 1 -> cut 0+71
            ok cut 0       1/1/5      truncated 1 -> write 1
            ok write 1     1/5/5      written 5 -> sync 0
            restart 50     50/50/50   
            begins sync 0  50/50/50   covers Some(50)
            ok sync 0      50/50/50   -> durable 0 from 50
        "#]],
    );
}

#[test]
fn a_segment_that_ends_needs_no_sync_where_one_that_waited_covers_all_of_it() {
    check(
        config(),
        "
        append 20
        ok make topic-0
        ok epochs 0@0
        ok write 0
        append 20
        append 1
        ok write 20
        begins sync 0
        ok sync 0
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            ok epochs 0@0  0/0/20     
            ok write 0     0/20/20    written 20 -> sync 0
            append 20      0/20/40    20..40 -> write 20
            append 1       0/20/41    40..41
            ok write 20    0/40/41    written 40
            begins sync 0  0/40/41    covers Some(40)
            ok sync 0      40/40/41   synced 40 -> seal 0
        "#]],
    );
}

#[test]
fn a_sync_that_fails_leaves_nothing_of_what_it_would_have_covered() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        ok epochs 0@0
        ok write 0
        append 2
        ok write 1
        begins sync 0
        broken sync 0
        begins sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok epochs 0@0  0/0/1      
            ok write 0     0/1/1      written 1 -> sync 0
            append 2       0/1/3      1..3 -> write 1
            ok write 1     0/3/3      written 3
            begins sync 0  0/3/3      covers Some(3)
            broken sync 0  0/0/0      lost from 0, FATAL broken
            begins sync 0  0/0/0      covers None
        "#]],
    );
}

#[test]
fn a_segment_ends_when_everything_before_has_ended() {
    check(
        config(),
        "
        append 20
        ok make topic-0
        append 20
        append 1
        append 1
        ok write 0
        ok write 20
        ok epochs 0@0
        ok sync 0
        ok seal 0
        ok begin 40
        ok write 41
        ok write 40
        ok durable 40
        ok sync 40
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            append 20      0/0/40     20..40 -> write 20
            append 1       0/0/41     40..41
            append 1       0/0/42     41..42
            ok write 0     0/20/42    written 20
            ok write 20    0/40/42    written 40
            ok epochs 0@0  0/40/42    -> sync 0
            ok sync 0      40/40/42   synced 40 -> seal 0
            ok seal 0      40/40/42   -> begin 40
            ok begin 40    40/40/42   -> write 40, write 41, durable 40
            ok write 41    40/40/42   
            ok write 40    40/42/42   written 42 -> sync 40
            ok durable 40  40/42/42   
            ok sync 40     42/42/42   synced 42
        "#]],
    );
}

#[test]
fn a_cut_waits_for_writes_and_appends_wait_for_the_cut() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        append 1
        append 1
        cut 1
        append 2
        ok write 1
        ok epochs 0@0
        ok write 2
        ok write 0
        ok cut 0
        ok write 1
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            append 1       0/0/2      1..2 -> write 1
            append 1       0/0/3      2..3 -> write 2
            cut 1          0/0/1      
            append 2       0/0/3      1..3
            ok write 1     0/0/3      
            ok epochs 0@0  0/0/3      
            ok write 2     0/0/3      
            ok write 0     0/1/3      written 1 -> cut 0+71
            ok cut 0       1/1/3      synced 1, truncated 1 -> write 1
            ok write 1     1/3/3      written 3 -> sync 0
        "#]],
    );
}

#[test]
fn a_full_disk_takes_back_the_write_and_all_behind_it_and_the_log_goes_on() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        append 1
        append 1
        ok epochs 0@0
        full write 1
        append 3
        ok write 2
        ok write 0
        ok cut 0
        ok write 1
        ok sync 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            append 1       0/0/2      1..2 -> write 1
            append 1       0/0/3      2..3 -> write 2
            ok epochs 0@0  0/0/3      
            full write 1   0/0/1      lost from 1
            append 3       0/0/4      1..4
            ok write 2     0/0/4      
            ok write 0     0/1/4      written 1 -> cut 0+71
            ok cut 0       1/1/4      synced 1, truncated 1 -> write 1
            ok write 1     1/4/4      written 4 -> sync 0
            ok sync 0      4/4/4      synced 4
        "#]],
    );
}

#[test]
fn a_roll_that_finds_the_disk_full_leaves_the_old_segment_growing() {
    check(
        config(),
        "
        append 20
        ok make topic-0
        append 20
        append 20
        ok write 0
        ok write 20
        ok epochs 0@0
        ok sync 0
        ok seal 0
        full begin 40
        append 1
        ok cut 0
        append 20
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            append 20      0/0/40     20..40 -> write 20
            append 20      0/0/60     40..60
            ok write 0     0/20/60    written 20
            ok write 20    0/40/60    written 40
            ok epochs 0@0  0/40/60    -> sync 0
            ok sync 0      40/40/60   synced 40 -> seal 0
            ok seal 0      40/40/60   -> begin 40
            full begin 40  40/40/40   lost from 40 -> cut 0+542 without 40
            append 1       40/40/41   40..41
            ok cut 0       40/40/41   truncated 40 -> seal 0
            append 20      40/40/61   41..61
        "#]],
    );
}

#[test]
fn a_failed_sync_ends_the_log() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        append 1
        ok epochs 0@0
        ok write 0
        ok write 1
        ok sync 0
        broken sync 0
        append 1
        cut 0
        tick 5000
        delete
        ok delete
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            append 1       0/0/2      1..2 -> write 1
            ok epochs 0@0  0/0/2      
            ok write 0     0/1/2      written 1 -> sync 0
            ok write 1     0/2/2      written 2
            ok sync 0      1/2/2      synced 1 -> sync 0
            broken sync 0  1/1/1      lost from 1, FATAL broken
            append 1       1/1/1      refused: the log has failed or was deleted
            cut 0          1/1/1      
            tick 5000      1/1/1      
            delete         1/1/1      -> delete
            ok delete      1/1/1      deleted
        "#]],
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_made_with_the_next_append() {
    check(
        LogConfig::default(),
        "
        append 1
        full make topic-0
        append 2
        ok make topic-0
        ok write 0
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            full make topic-0 0/0/0      lost from 0
            append 2       0/0/2      0..2 -> make topic-0
            ok make topic-0 0/0/2      -> write 0, epochs 0@0
            ok write 0     0/2/2      written 2 -> sync 0
        "#]],
    );
}

#[test]
fn the_durable_point_is_saved_once_a_second_and_lowered_before_a_cut_below_it() {
    check(
        LogConfig::default(),
        "
        append 1
        ok make topic-0
        ok epochs 0@0
        append 1
        ok write 0
        ok write 1
        ok sync 0
        ok sync 0
        tick 1000
        ok durable 2
        tick 9000
        cut 1
        ok durable 1
        ok cut 0
        tick 9900
        tick 10100
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok epochs 0@0  0/0/1      
            append 1       0/0/2      1..2 -> write 1
            ok write 0     0/1/2      written 1 -> sync 0
            ok write 1     0/2/2      written 2
            ok sync 0      1/2/2      synced 1 -> sync 0
            ok sync 0      2/2/2      synced 2
            tick 1000      2/2/2      -> durable 2
            ok durable 2   2/2/2      
            tick 9000      2/2/2      
            cut 1          1/1/1      -> durable 1
            ok durable 1   1/1/1      -> cut 0+71
            ok cut 0       1/1/1      truncated 1
            tick 9900      1/1/1      
            tick 10100     1/1/1      
        "#]],
    );
}

#[test]
fn a_relaxed_log_is_synced_in_the_background() {
    let flush = Flush::Relaxed { bytes_max: 100, delay_ms_max: 100 };
    check(
        LogConfig { flush, ..LogConfig::default() },
        "
        append 1
        ok make topic-0
        ok epochs 0@0
        ok write 0
        tick 50
        tick 100
        ok sync 0
        append 1
        append 1
        ok write 1
        ok write 2
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            ok make topic-0 0/0/1      -> write 0, epochs 0@0
            ok epochs 0@0  0/0/1      
            ok write 0     0/1/1      written 1
            tick 50        0/1/1      
            tick 100       0/1/1      -> sync 0
            ok sync 0      1/1/1      synced 1
            append 1       1/1/2      1..2 -> write 1
            append 1       1/1/3      2..3 -> write 2
            ok write 1     1/2/3      written 2
            ok write 2     1/3/3      written 3 -> sync 0
        "#]],
    );
}

#[test]
fn a_log_begins_anew_in_one_go() {
    check(
        config(),
        "
        append 20
        ok make topic-0
        append 20
        append 20
        restart 90
        append 1
        ok write 0
        ok epochs 0@0
        ok write 20
        ok durable 0 from 90
        ok cut 0
        ok begin 90
        ok cut 90
        ok write 90
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            append 20      0/0/40     20..40 -> write 20
            append 20      0/0/60     40..60
            restart 90     90/90/90   
            append 1       90/90/91   90..91
            ok write 0     90/90/91   
            ok epochs 0@0  90/90/91   
            ok write 20    90/90/91   -> durable 0 from 90
            ok durable 0 from 90 90/90/91   -> cut 0+0 without 90
            ok cut 0       90/90/91   -> begin 90
            ok begin 90    90/90/91   -> cut 90+0 without 0
            ok cut 90      90/90/91   truncated 90 -> write 90, epochs 0@90
            ok write 90    90/91/91   written 91 -> sync 90
        "#]],
    );
}

#[test]
fn an_epoch_without_records_gives_way_to_the_next() {
    check(
        LogConfig::default(),
        "
        epoch 3
        ok make topic-0
        epoch 4
        append 1
        epoch 6
        ok epochs 4@0
        epoch 7
        append 1
    ",
        expect![[r#"
            epoch 3        0/0/0      -> make topic-0
            ok make topic-0 0/0/0      
            epoch 4        0/0/0      
            append 1       0/0/1      0..1 -> write 0, epochs 4@0
            epoch 6        0/0/1      
            ok epochs 4@0  0/0/1      
            epoch 7        0/0/1      
            append 1       0/0/2      1..2 -> write 1, epochs 4@0+7@1
        "#]],
    );
}

#[test]
fn a_cut_takes_back_a_roll() {
    check(
        config(),
        "
        append 20
        ok make topic-0
        append 20
        append 20
        ok write 0
        ok write 20
        ok epochs 0@0
        ok sync 0
        cut 20
        append 5
        ok seal 0
        ok begin 40
        ok durable 0
        ok cut 0
        ok write 20
        ok sync 0
    ",
        expect![[r#"
            append 20      0/0/20     0..20 -> make topic-0
            ok make topic-0 0/0/20     -> write 0, epochs 0@0
            append 20      0/0/40     20..40 -> write 20
            append 20      0/0/60     40..60
            ok write 0     0/20/60    written 20
            ok write 20    0/40/60    written 40
            ok epochs 0@0  0/40/60    -> sync 0
            ok sync 0      40/40/60   synced 40 -> seal 0
            cut 20         20/20/20   
            append 5       20/20/25   20..25
            ok seal 0      20/20/25   -> begin 40
            ok begin 40    20/20/25   -> durable 0
            ok durable 0   20/20/25   -> cut 0+271 without 40
            ok cut 0       20/20/25   truncated 20 -> write 20, durable 20
            ok write 20    20/25/25   written 25 -> sync 0
            ok sync 0      25/25/25   synced 25
        "#]],
    );
}

#[test]
fn a_full_queue_refuses() {
    check(
        LogConfig { queue_bytes_max: 200, ..LogConfig::default() },
        "
        append 1
        append 1
        append 1
        ok make topic-0
        ok write 0
        append 1
    ",
        expect![[r#"
            append 1       0/0/1      0..1 -> make topic-0
            append 1       0/0/2      1..2
            append 1       0/0/2      refused: 142 bytes wait to be written already
            ok make topic-0 0/0/2      -> write 0, write 1, epochs 0@0
            ok write 0     0/1/2      written 1 -> sync 0
            append 1       0/1/3      2..3 -> write 2
        "#]],
    );
}

#[test]
fn a_log_that_stops_brings_everything_to_disk_and_says_so_last() {
    check(
        LogConfig { flush: Flush::LAZY, ..config() },
        "ok make topic-0
         append 2
         ok epochs 0@0
         ok write 0
         tick 60000
         append 1
         stop
         rests
         ok write 2
         ok sync 0
         rests
         ok sync 0
         ok durable 2
         ok durable 3
         rests",
        expect![[r#"
            ok make topic-0 0/0/0      
            append 2       0/0/2      0..2 -> write 0, epochs 0@0
            ok epochs 0@0  0/0/2      
            ok write 0     0/2/2      written 2
            tick 60000     0/2/2      
            append 1       0/2/3      2..3 -> write 2
            stop           0/2/3      -> sync 0
            rests          0/2/3      at rest false, whole false
            ok write 2     0/3/3      written 3
            ok sync 0      2/3/3      synced 2 -> sync 0, durable 2
            rests          2/3/3      at rest false, whole false
            ok sync 0      3/3/3      synced 3
            ok durable 2   3/3/3      -> durable 3
            ok durable 3   3/3/3      
            rests          3/3/3      at rest true, whole true
        "#]],
    );
}

#[test]
fn a_log_that_could_not_bring_everything_to_disk_is_not_whole() {
    check(
        config(),
        "ok make topic-0
         append 2
         ok epochs 0@0
         ok write 0
         stop
         ok sync 0
         full durable 2
         rests",
        expect![[r#"
            ok make topic-0 0/0/0      
            append 2       0/0/2      0..2 -> write 0, epochs 0@0
            ok epochs 0@0  0/0/2      
            ok write 0     0/2/2      written 2 -> sync 0
            stop           0/2/2      
            ok sync 0      2/2/2      synced 2 -> durable 2
            full durable 2 2/2/2      
            rests          2/2/2      at rest true, whole false
        "#]],
    );
    check(
        config(),
        "ok make topic-0
         append 2
         ok epochs 0@0
         ok write 0
         stop
         broken sync 0
         rests",
        expect![[r#"
            ok make topic-0 0/0/0      
            append 2       0/0/2      0..2 -> write 0, epochs 0@0
            ok epochs 0@0  0/0/2      
            ok write 0     0/2/2      written 2 -> sync 0
            stop           0/2/2      
            broken sync 0  0/0/0      lost from 0, FATAL broken
            rests          0/0/0      at rest true, whole false
        "#]],
    );
}

/// The roll that ends a segment waits for what is left of it, and every append for the roll.
#[test]
fn a_lazy_log_does_not_leave_its_whole_segment_to_the_roll() {
    let mut bench = Bench::new(LogConfig { flush: Flush::LAZY, ..LogConfig::default() });
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1000), None, Some(&vec![7; 1 << 20]), &[]);
    let bytes = builder.finish(&Seal::default());
    let limits = ProduceLimits { batch_size_max: 2 << 20, ..ProduceLimits::default() };
    let batch = validate_produce(&bytes, &limits).expect("a good batch");
    for written in 1..=64 {
        let ops = &mut bench.under_way;
        bench.log.append_as_leader(LeaderEpoch(0), &batch, bytes.clone(), ops).expect("appended");
        bench.settle();
        let expected = if written < 64 { 0 } else { 64 };
        assert_eq!(bench.log.synced(), offset(expected), "after {written} MiB");
    }
}
