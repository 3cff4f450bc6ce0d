//! A log that moves from one data directory to another.

use std::collections::VecDeque;

use super::super::moving::WHOLE;
use super::*;

struct World {
    place: tempfile::TempDir,
    files: Files,
    log: Log,
    /// In the order in which they were handed out.
    ops: VecDeque<DiskOp>,
    mark: u64,
}

impl World {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let files = Files::open_all(&dirs(place.path())).expect("opened");
        let mut ops = Vec::new();
        let log = Log::create(PARTITION, DIRECTORY.to_owned(), config(), &mut ops);
        let mut world = Self { place, files, log, ops: ops.into(), mark: 0 };
        world.settle();
        (0..20).for_each(|_| world.append());
        world.settle();
        world
    }

    fn append(&mut self) {
        let (valid, bytes) = batch(2, self.mark, Some((5, 0, self.mark as i32 * 2)));
        self.mark += 1;
        let mut ops = Vec::new();
        self.log.append_as_leader(LeaderEpoch(3), &valid, bytes, &mut ops).expect("appended");
        self.ops.extend(ops);
    }

    fn act(&mut self, action: impl FnOnce(&mut Log, &mut Vec<DiskOp>)) {
        let mut ops = Vec::new();
        action(&mut self.log, &mut ops);
        self.ops.extend(ops);
    }

    /// Performs the oldest operation; what it was, if there was one.
    fn step(&mut self) -> Option<DiskAction> {
        let op = self.ops.pop_front()?;
        let result = self.files.perform(&op);
        self.act(|log, ops| drop(log.done(op.id, result, ops)));
        Some(op.action)
    }

    fn settle(&mut self) {
        while self.step().is_some() {}
    }

    fn begin_move(&mut self, to: u16) {
        self.act(|log, ops| log.move_to(LogDir(to), ops));
    }

    fn contents(&self) -> Vec<u8> {
        contents(&self.files, &self.log)
    }

    /// What is in the data directories, but for their own files.
    fn names(&self) -> Vec<String> {
        names(self.place.path())
    }
}

fn dirs(place: &Path) -> [PathBuf; 2] {
    ["one", "two"].map(|name| place.join(name))
}

fn names(place: &Path) -> Vec<String> {
    let in_dir = |dir: &str| {
        let entries = fs::read_dir(place.join(dir)).expect("listed");
        let names = entries.map(|entry| entry.expect("listed").file_name().into_string().expect("a text"));
        names.filter(|name| name != LOCK_FILE).map(|name| format!("{dir}/{name}")).collect::<Vec<_>>()
    };
    let mut names: Vec<_> = ["one", "two"].into_iter().flat_map(in_dir).collect();
    names.sort_unstable();
    names
}

fn is_move(action: &DiskAction) -> bool {
    matches!(action, DiskAction::Move(_))
}

/// The same files under another root, as a crash leaves them.
fn copy_of(place: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).expect("made");
        for entry in fs::read_dir(from).expect("listed") {
            let entry = entry.expect("listed");
            let to = to.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
    let root = tempfile::tempdir().expect("a directory");
    for name in ["one", "two"] {
        copy(&place.join(name), &root.path().join(name));
    }
    root
}

/// What a start finds: where the one log is, and what is in it.
fn restarted(place: &Path) -> (LogDir, Vec<u8>) {
    let files = Files::open_all(&dirs(place)).expect("opened");
    let found = files.partitions().expect("listed");
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.partition, Some(PARTITION));
    assert_eq!(names(place).len(), 1, "something is left: {:?}", names(place));
    let whole = fs::read_dir(dirs(place)[usize::from(found.log_dir.0)].join(DIRECTORY)).expect("listed");
    assert!(whole.into_iter().all(|it| it.expect("listed").file_name() != "whole-copy"));
    let view = files.adopt_in(found.log_dir, PARTITION, DIRECTORY);
    let (mut log, report) = Log::recover(PARTITION, DIRECTORY.to_owned(), config(), &view).expect("good");
    assert_eq!(report.cut_bytes, 0);
    log.set_log_dir(found.log_dir);
    let mut ops = Vec::new();
    log.start(&mut ops);
    settle(&files, &mut log, ops);
    (found.log_dir, contents(&files, &log))
}

#[test]
fn a_log_moves_while_it_is_read_and_written() {
    let mut world = World::new();
    world.begin_move(1);
    assert_eq!(world.log.moving_to(), Some(LogDir(1)));
    let mut steps = 0;
    while let Some(action) = world.step() {
        if is_move(&action) {
            steps += 1;
            world.append();
            let plan = world.log.read(offset(0), Offset::MAX, 1).expect("in range").expect("written");
            world.files.segment_file(plan.segment).expect("it is read meanwhile");
        }
    }
    assert!(5 < steps, "{steps}");
    assert_eq!((world.log.log_dir(), world.log.is_moving()), (LogDir(1), false));
    assert_eq!(world.names(), [format!("two/{DIRECTORY}")]);
    world.append();
    world.settle();
    let all = world.contents();
    assert_eq!(world.log.end(), offset(2 * world.mark as i64));
    world.begin_move(0);
    world.settle();
    assert_eq!((world.log.log_dir(), world.contents()), (LogDir(0), all.clone()), "and back");
    drop(world.files);
    assert_eq!(restarted(world.place.path()), (LogDir(0), all));
}

#[test]
fn a_crash_at_each_step_of_a_move_leaves_one_log() {
    let mut world = World::new();
    let all = world.contents();
    world.begin_move(1);
    let mut seen = Vec::new();
    while let Some(action) = world.step() {
        let crashed = copy_of(world.place.path());
        let (log_dir, contents) = restarted(crashed.path());
        assert_eq!(contents, all, "after {action:?}");
        seen.push(log_dir.0);
        let DiskAction::Move(it) = action else { continue };
        if matches!(it.step, MoveStep::Finish { .. }) {
            // The last step is several; a crash may come after each.
            let [one, two] = dirs(world.place.path());
            let copy = two.join(marked_name(DIRECTORY, PARTITION.topic, FUTURE));
            let gone = one.join(marked_name(DIRECTORY, PARTITION.topic, DELETED));
            let renames = [
                (copy.join("mark"), copy.join(WHOLE)),
                (copy, two.join(DIRECTORY)),
                (one.join(DIRECTORY), gone),
            ];
            fs::write(&renames[0].0, DIRECTORY).expect("written");
            for (from, to) in &renames {
                fs::rename(from, to).expect("renamed");
                let crashed = copy_of(world.place.path());
                assert_eq!(
                    restarted(crashed.path()),
                    (LogDir(1), all.clone()),
                    "after {from:?} became {to:?}"
                );
            }
            for (from, to) in renames.iter().rev() {
                fs::rename(to, from).expect("renamed back");
            }
            fs::remove_file(&renames[0].0).expect("removed");
        }
    }
    assert!(seen.is_sorted() && seen[0] == 0 && seen.last() == Some(&1), "{seen:?}");
}

#[test]
fn a_move_that_is_called_off_or_fails_leaves_nothing_behind() {
    let mut world = World::new();
    let here = [format!("one/{DIRECTORY}")];
    world.begin_move(1);
    while !world.names().iter().any(|name| name.ends_with(FUTURE)) {
        world.step().expect("a step");
    }
    world.act(|log, ops| log.call_off_move(ops));
    assert_eq!(world.log.moving_to(), None);
    world.settle();
    assert_eq!((world.names(), world.log.is_moving()), (here.to_vec(), false));

    // Something is where the copy would be, or the partition in the end.
    for name in [marked_name(DIRECTORY, PARTITION.topic, FUTURE), DIRECTORY.to_owned()] {
        let in_the_way = dirs(world.place.path())[1].join(name);
        fs::write(&in_the_way, "in the way").expect("written");
        world.begin_move(1);
        world.settle();
        assert_eq!((world.log.log_dir(), world.log.is_moving()), (LogDir(0), false));
        fs::remove_file(&in_the_way).expect("it is still there");
        assert_eq!(world.names(), here);
    }
    world.append();
    world.settle();
    let all = world.contents();
    drop(world.files);
    assert_eq!(restarted(world.place.path()), (LogDir(0), all));
}

/// Moves on until the copy is to take the log's place.
fn world_at_switch() -> World {
    let mut world = World::new();
    world.begin_move(1);
    let switches = |op: &DiskOp| matches!(&op.action, DiskAction::Move(it) if it.step == MoveStep::Switch);
    while !switches(&world.ops[0]) {
        world.step().expect("a step");
    }
    world
}

#[test]
fn a_switch_that_has_not_begun_leaves_the_log_where_it_is() {
    for error in [None, Some(DiskError::Full)] {
        let mut world = world_at_switch();
        match &error {
            None => world.files.data_dirs()[1].lose(),
            Some(error) => {
                let op = world.ops.pop_front().expect("the switch");
                world.act(|log, ops| drop(log.done(op.id, Err(error.clone()), ops)));
            }
        }
        world.settle();
        assert_eq!((world.log.log_dir(), world.log.is_moving()), (LogDir(0), false), "{error:?}");
        world.append();
        world.settle();
        assert_eq!(world.log.synced(), offset(2 * world.mark as i64), "{error:?}");
        let all = world.contents();
        drop(world.files);
        assert_eq!(restarted(world.place.path()), (LogDir(0), all), "{error:?}");
    }
}

/// A directory of processes is none that can be synced.
#[test]
fn a_switch_tells_of_the_disk_that_it_leaves() {
    let mut world = world_at_switch();
    let elsewhere = world.place.path().join("elsewhere").join(DIRECTORY);
    write_lock(&world.files.partitions).insert(PARTITION, Directory::new(LogDir(0), elsewhere));
    world.files.data_dirs[0].path = "/proc/self".into();
    world.step();
    let lost: Vec<_> = world.files.data_dirs().iter().map(DataDir::is_lost).collect();
    assert_eq!(lost, [true, false]);
    assert!(!world.log.is_whole(), "the next start finds both, and knows which of them goes");
}

#[test]
fn segments_that_grow_too_old_meanwhile_do_not_end_a_move() {
    let mut world = World::new();
    world.log.note_high_watermark(world.log.end());
    world.begin_move(1);
    let copies =
        |op: &DiskOp| matches!(&op.action, DiskAction::Move(it) if matches!(it.step, MoveStep::Copy { .. }));
    while !world.ops.iter().any(copies) {
        world.step().expect("a step");
    }
    // The copy of the oldest segment has to wait, and does not find it any more.
    world.act(|log, ops| log.advance_log_start(offset(30), ops));
    while let Some(at) = world.ops.iter().position(|op| !is_move(&op.action)) {
        world.ops.swap(0, at);
        world.step();
    }
    let oldest = dirs(world.place.path())[0].join(DIRECTORY).join(FileKind::Log.file_name(offset(0)));
    assert!(copies(&world.ops[0]), "{:?}", world.ops);
    assert!(!oldest.exists());
    world.settle();
    assert_eq!((world.log.log_dir(), world.names()), (LogDir(1), vec![format!("two/{DIRECTORY}")]));
    let all = world.contents();
    drop(world.files);
    assert_eq!(restarted(world.place.path()), (LogDir(1), all));
}

#[test]
fn what_is_cut_or_deleted_meanwhile_is_not_there_afterwards() {
    let mut world = World::new();
    world.begin_move(1);
    while world.log.copied().1 < offset(20) {
        world.step().expect("a step");
    }
    world.act(|log, ops| log.truncate_to(offset(9), ops));
    assert!(world.log.copied().1 <= offset(9));
    world.mark = 100;
    let to = world.log.end();
    while world.log.end() < offset(20) {
        let (valid, bytes) = batch(2, world.mark, None);
        world.mark += 1;
        world.act(|log, ops| drop(log.append_as_leader(LeaderEpoch(3), &valid, bytes, ops)));
        world.settle();
    }
    world.settle();
    assert!(to <= offset(9) && world.log.log_dir() == LogDir(1), "{to}");
    let all = world.contents();
    drop(world.files);
    assert_eq!(restarted(world.place.path()), (LogDir(1), all));

    let mut world = World::new();
    world.begin_move(1);
    while !world.names().iter().any(|name| name.ends_with(FUTURE)) {
        world.step().expect("a step");
    }
    world.act(|log, ops| log.delete(ops));
    world.settle();
    assert_eq!(world.names(), [""; 0]);
}
