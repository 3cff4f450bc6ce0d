//! `klamm consume --group`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use crate::broker::{Broker, klamm, send_signal};

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
/// So that members hear soon of each other.
const BRISK: [&str; 2] = ["-X", "heartbeat.interval.ms=100"];

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

/// A topic of two partitions with these lines in it.
fn write(broker: &Broker, range: std::ops::Range<u32>) {
    let (even, odd): (Vec<_>, Vec<_>) = range.partition(|number| number % 2 == 0);
    for (partition, numbers) in [("0", even), ("1", odd)] {
        let lines: String = numbers.iter().map(|number| format!("{number}\n")).collect();
        broker.ok_with_input(&["produce", "t", "-p", partition], &lines);
    }
}

fn with_lines(range: std::ops::Range<u32>) -> Broker {
    with_lines_at(Broker::start(), range)
}

fn with_lines_at(broker: Broker, range: std::ops::Range<u32>) -> Broker {
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    write(&broker, range);
    broker
}

fn sorted(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

fn state(broker: &Broker, group: &str) -> String {
    let listed = broker.ok(&["group", "list", "--format", "json", group]).json();
    listed[0]["state"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_member_goes_on_where_the_group_was() {
    let broker = with_lines(0..20);
    for protocol in PROTOCOLS {
        let consume = ["consume", "t", "--group", protocol, "--group-protocol", protocol];
        let first = broker.ok(&[&consume[..], &["-n", "7"]].concat()).stdout;
        assert_eq!(first.lines().count(), 7, "{protocol}");
        assert_eq!(state(&broker, protocol), "Empty", "it has left");
        let second = broker.ok(&[&consume[..], &["-e", "-f", "%s\\n"]].concat()).stdout;
        assert_eq!(sorted(&format!("{first}{second}")), (0..20).collect::<Vec<_>>(), "{protocol}");
        broker.ok(&[&consume[..], &["-e"]].concat()).prints("");
        // What is left out by a filter is done, too.
        let described =
            broker.ok(&["group", "seek", protocol, "--to", "+0", "--dry-run", "--format", "json"]);
        assert_eq!(described.json()[0]["committed"], 10, "{protocol}: {}", described.stdout);
    }
    // Several topics, by name and by pattern; where nothing is committed it begins where it is told to.
    broker.ok_with_input(&["produce", "u"], "only\n");
    assert_eq!(broker.ok(&["consume", "t,u", "-g", "both", "-n", "21"]).stdout.lines().count(), 21);
    broker.ok(&["consume", "^u$", "-g", "pattern", "-e"]).prints("only\n");
    broker.ok(&["consume", "u", "-g", "late", "-o", "end", "-e"]).prints("");
    broker.ok_with_input(&["produce", "u"], "later\n");
    broker.ok(&["consume", "u", "-g", "late", "-o", "start", "-e"]).prints("later\n");
    broker.ok(&["consume", "u", "-g", "never", "-X", "enable.auto.commit=false", "-n", "1"]).prints("only\n");
    broker.ok(&["consume", "u", "-g", "never", "--grep", "late", "-e"]).prints("later\n");
    broker.ok(&["consume", "u", "-g", "never", "-e"]).prints("");
    broker.fails(&["consume", "nothing", "-g", "g"]).says("there is no topic \"nothing\"");
}

#[test]
fn what_makes_no_sense_in_a_group_is_wrong_usage() {
    klamm(&["consume", "t", "-g", "g", "-p", "0"]).code(2).says("the group says which partitions");
    for range in ["5", "-5", "+5", "@-1h", "start..end", "..10"] {
        klamm(&["consume", "t", "-g", "g", "-o", range]).code(2).says("klamm group seek");
    }
    klamm(&["consume", "t", "-g", ""]).code(2).says("a value is required");
    klamm(&["consume", "t", "--group-protocol", "consumer"]).code(2).says("--group <GROUP>");
    klamm(&["consume", "t", "-g", "g", "--group-protocol", "modern"])
        .code(2)
        .says("neither classic nor consumer");
    let classic_only =
        ["consume", "t", "-g", "g", "--group-protocol", "consumer", "-X", "session.timeout.ms=9000"];
    klamm(&classic_only).code(2).says("not with group.protocol=consumer");
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn start(broker: &Broker, arguments: &[&str]) -> Running {
    let mut child = broker.spawn(arguments);
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    Running { child, lines }
}

impl Running {
    fn line(&mut self) -> u32 {
        self.lines.next().expect("a line").expect("readable").parse().expect("a number")
    }

    /// Stops it, and gives what it still had to print.
    fn stop(mut self, signal: &str, code: i32) -> Vec<u32> {
        send_signal(&self.child, signal);
        let rest = self.lines.map(|line| line.expect("readable").parse().expect("a number")).collect();
        assert_eq!(self.child.wait().expect("it ends").code(), Some(code));
        rest
    }
}

#[test]
fn who_is_told_to_stop_commits_what_it_wrote_and_leaves() {
    let broker = with_lines(0..20);
    for (protocol, signal, code) in [("classic", "-INT", 130), ("consumer", "-TERM", 143)] {
        let consume = ["consume", "t", "-g", protocol, "--group-protocol", protocol];
        let mut member = start(&broker, &consume);
        let mut read: Vec<u32> = (0..20).map(|_| member.line()).collect();
        assert_eq!(state(&broker, protocol), "Stable");
        assert!(member.stop(signal, code).is_empty());
        assert_eq!(state(&broker, protocol), "Empty", "{protocol}: nobody is waited for");
        read.sort_unstable();
        assert_eq!(read, (0..20).collect::<Vec<_>>());
        broker.ok(&[&consume[..], &["-e"]].concat()).prints("");
    }
}

#[test]
fn what_nobody_could_read_is_not_committed() {
    let broker = with_lines(0..5_000);
    let mut consume = broker.spawn(&["consume", "t", "-g", "g"]);
    drop(consume.stdout.take());
    let output = consume.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let again = broker.ok(&["consume", "t", "-g", "g", "-e"]).stdout;
    assert!(sorted(&again).into_iter().eq(0..5_000), "{} lines", again.lines().count());
}

#[test]
fn members_share_what_there_is_and_hand_it_on() {
    let broker = with_lines(0..10);
    let consume = [&["consume", "t", "-g", "g", "-f", "%s\\n"], &BRISK[..]].concat();
    hand_on(&broker, &consume);
    // The broker says how often it wants to hear of members of the newer protocol.
    let serve = ["dev", "--listen", "127.0.0.1:0", "--set", "group.consumer.heartbeat.interval.ms=50"];
    let broker = with_lines_at(Broker::with(&serve, &[]), 0..10);
    hand_on(&broker, &["consume", "t", "-g", "g", "-f", "%s\\n", "--group-protocol", "consumer"]);
}

fn hand_on(broker: &Broker, consume: &[&str]) {
    let mut one = start(broker, consume);
    let mut read: Vec<u32> = (0..10).map(|_| one.line()).collect();
    let mut two = start(broker, consume);
    let members = || {
        let described = broker.ok(&["group", "describe", "g", "--format", "json"]).json();
        let members = described[0]["members"].as_array().expect("a list").clone();
        let owns = |it: &serde_json::Value| it["partitions"].as_array().is_some_and(|all| all.len() == 1);
        members.iter().filter(|it| owns(it)).count()
    };
    while members() < 2 {}
    write(broker, 10..20);
    let mut of_one: Vec<u32> = (0..5).map(|_| one.line()).collect();
    let of_two: Vec<u32> = (0..5).map(|_| two.line()).collect();
    let parity = |numbers: &[u32]| numbers.iter().map(|number| number % 2).collect::<BTreeSet<_>>();
    assert_eq!(parity(&of_one).len() + parity(&of_two).len(), 2, "{of_one:?} {of_two:?}");
    assert!(two.stop("-TERM", 143).is_empty());
    write(broker, 20..30);
    of_one.extend((0..10).map(|_| one.line()));
    assert!(one.stop("-TERM", 143).is_empty());
    read.extend(of_one);
    read.extend(of_two);
    read.sort_unstable();
    assert_eq!(read, (0..30).collect::<Vec<_>>(), "each once");
}

/// Whoever prints slowly is not out of its group for that, and others do not wait for the end of its batch.
#[test]
fn a_batch_may_take_longer_than_a_member_may_be_busy() {
    let broker = Broker::start();
    broker.ok_with_input(&["produce", "t", "-p", "0"], &numbers(0..60));
    let slow = ["--rate", "15", "-X", "max.poll.interval.ms=2500", "-X", "session.timeout.ms=30000"];
    let read = broker.ok(&[&["consume", "t", "-g", "g", "-n", "60"], &slow[..]].concat());
    assert_eq!(read.stderr, "");
    read.prints(&numbers(0..60));
}
