//! `klamm produce` and `klamm consume`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::thread;
use std::time::{Duration, SystemTime};

use expect_test::expect;
use regex_lite::Regex;

use crate::broker::{Broker, klamm, klamm_with, send_signal, waited_and_said};

/// Everything there is in a topic, each record in a line.
const ALL: &str = "%p/%o %k=%s (%K,%S) %h%{%a{compression}%}\\n";

#[test]
fn what_goes_in_comes_out() {
    let broker = Broker::start();
    let mut told = String::new();
    for (number, (arguments, input)) in [
        ("-k \\t", "a\tb\tc\nd\n"),
        ("-k :: -z zstd:19", "a::b\n::b\n"),
        ("-D \\0 -z gzip:1", "a\nb\0c"),
        ("-D ;; -k =", "k=a;;b;;"),
        ("--whole --key all", "a\nb\n"),
        ("--whole", ""),
        ("-f %k,%s\\n", "a,b,c\nd,\n"),
        ("-f %K{big16}%S{byte}%k%s", "\0\u{2}\u{3}abcde\0\0\0"),
        ("-f %K{2}%S{1}%k%s", "abcdef"),
        ("-f %k{hex}:%s{base64};", "6b:dmE=;:;"),
        ("-f %H%h{%k=%s,}%s\\n -H d=4", "2a=1,b=2,x\n0y\n"),
        ("-f %s{json}\\n", "{\"a\":\n[1, 2]}\n7\n"),
        ("-Z --key k", "a\n\n"),
        ("--null NULL -k :", "NULL:a\nb:NULL\n"),
        ("-n 2 --rate 1000", "a\nb\nc\n"),
        ("-X compression.type=snappy -X linger.ms=0", "a\n"),
        ("-z none -X compression.type=snappy --acks all", "a\n"),
        ("--acks -1 --linger 0 --batch-size 100", "a\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("t{number}");
        let produce: Vec<&str> = ["produce", &topic].into_iter().chain(arguments.split(' ')).collect();
        let produced = broker.run_with_input(&produce, input);
        let consumed = broker.run_anyway(&["consume", &topic, "-e", "-f", ALL]);
        let shown = format!("{}{}", produced.stderr, consumed.stdout);
        writeln!(told, "{arguments}\n  {}", shown.trim_end().replace('\n', "\n  ")).expect("memory");
    }
    expect![[r#"
        -k \t
          0/0 a=b	c (1,3) {none}
          0/1 =d (-1,1) {none}
        -k :: -z zstd:19
          0/0 a=b (1,1) {zstd}
          0/1 =b (0,1) {zstd}
        -D \0 -z gzip:1
          0/0 =a
          b (-1,3) {gzip}
          0/1 =c (-1,1) {gzip}
        -D ;; -k =
          0/0 k=a (1,1) {none}
          0/1 =b (-1,1) {none}
        --whole --key all
          0/0 all=a
          b
           (3,4) {none}
        --whole
          0/0 = (-1,0) {none}
        -f %k,%s\n
          0/0 a=b,c (1,3) {none}
          0/1 d= (1,0) {none}
        -f %K{big16}%S{byte}%k%s
          0/0 ab=cde (2,3) {none}
          0/1 = (0,0) {none}
        -f %K{2}%S{1}%k%s
          0/0 ab=c (2,1) {none}
          0/1 de=f (2,1) {none}
        -f %k{hex}:%s{base64};
          0/0 k=va (1,2) {none}
          0/1 = (0,0) {none}
        -f %H%h{%k=%s,}%s\n -H d=4
          0/0 =x (-1,1) a=1,b=2,d=4{none}
          0/1 =y (-1,1) d=4{none}
        -f %s{json}\n
          0/0 ={"a":
          [1, 2]} (-1,13) {none}
          0/1 =7 (-1,1) {none}
        -Z --key k
          0/0 k=a (1,1) {none}
          0/1 k= (1,-1) {none}
        --null NULL -k :
          0/0 =a (-1,1) {none}
          0/1 b= (1,-1) {none}
        -n 2 --rate 1000
          0/0 =a (-1,1) {none}
          0/1 =b (-1,1) {none}
        -X compression.type=snappy -X linger.ms=0
          0/0 =a (-1,1) {snappy}
        -z none -X compression.type=snappy --acks all
          0/0 =a (-1,1) {none}
        --acks -1 --linger 0 --batch-size 100
          0/0 =a (-1,1) {none}
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_consume_prints_in_json_produce_writes_again_as_it_was() {
    let (broker, copy) = (Broker::start(), Broker::start());
    for broker in [&broker, &copy] {
        broker.ok(&["topic", "create", "a", "b", "-p", "2"]);
    }
    let shape = "%t,%p,%T,%K:%S:%k%s";
    broker.ok_with_input(
        &["produce", "-f", shape],
        "a,0,1700000000000,1:2:kvva,1,1700000000001,-1:0:b,1,5,2:-1:kk",
    );
    broker.ok_with_input(
        &["produce", "a", "-p", "0", "-f", "%k{hex} %H %h{%k=%s{hex} }%s{hex}\\n"],
        "ff 2 x=00ff y= fe\n",
    );
    let all = ["consume", "a", "b", "-e", "--json"];
    let printed = broker.ok(&all).stdout;
    assert_eq!(printed.lines().count(), 4, "{printed}");
    for part in [
        "\"key_base64\":\"/w==\"",
        "\"value\":null",
        "\"key\":null",
        "\"value_base64\":\"AP8=\"",
        "\"timestamp\":5,",
    ] {
        assert!(printed.contains(part), "no {part}:\n{printed}");
    }
    copy.ok_with_input(&["produce", "--json"], &printed);
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&copy.ok(&all).stdout), sorted(&printed));
    // What the command line says beats what the record says.
    copy.ok_with_input(&["produce", "c", "-p", "-1", "--json"], &printed);
    copy.ok(&["consume", "c", "-e", "-f", "%t %p\\n"]).prints("c 0\nc 0\nc 0\nc 0\n");
}

#[test]
fn where_each_record_was_written_is_told_if_asked_for() {
    let broker = Broker::start();
    broker.ok_with_input(&["produce", "t", "-v"], "a\nb\n").prints("t-0 offset 0\nt-0 offset 1\n");
    let input = "{\"topic\":\"t\",\"value\":\"d\",\"timestamp\":7}\n";
    broker
        .ok_with_input(&["produce", "--json", "--format", "json"], input)
        .prints("{\"offset\":2,\"partition\":0,\"timestamp\":7,\"topic\":\"t\"}\n");
    broker.ok_with_input(&["produce", "t", "-v", "--acks", "0"], "c\n").prints("t-0\n");
}

#[test]
fn who_is_told_of_each_record_may_stand_still_or_go() {
    let broker = Broker::start();
    let count = 20_000;
    for is_read_at_last in [true, false] {
        let topic = format!("t{is_read_at_last}");
        broker.ok(&["topic", "create", &topic]);
        let mut produce = broker.spawn(&["produce", &topic, "-v"]);
        let mut stdin = produce.stdin.take().expect("piped");
        stdin.write_all("x\n".repeat(count).as_bytes()).expect("it listens");
        // Nobody reads what it prints, which is more than a pipe takes, and everything is written all the same.
        let written = broker.ok(&["consume", &topic, "-n", &count.to_string()]);
        assert_eq!(written.stdout.lines().count(), count);
        if is_read_at_last {
            drop(stdin);
            assert_eq!(lines(&mut produce).count(), count);
            assert_eq!(produce.wait().expect("it ends").code(), Some(0));
        } else {
            let mut said = said(&mut produce);
            send_signal(&produce, "-INT");
            // It waits for the reader until it is told again.
            let waiting = "klamm: waiting: nobody reads the standard output";
            assert!(said.any(|line| line == waiting));
            send_signal(&produce, "-TERM");
            assert_eq!(produce.wait().expect("it ends").code(), Some(143));
        }
    }
    // Whoever goes, goes: what is left of the input is not written, and that is no success.
    let mut produce = broker.spawn(&["produce", "u", "-v", "--linger", "0"]);
    let mut stdin = produce.stdin.take().expect("piped");
    drop(produce.stdout.take());
    while stdin.write_all(b"x\n").is_ok() {}
    let ended = produce.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody reads the standard output any more"), "{said}");
    assert!(said.contains("written; nothing was sent from line"), "{said}");
    let mut produce = broker.spawn(&["produce", "v", "-v"]);
    drop(produce.stdout.take());
    produce.stdin.take().expect("piped").write_all(b"a\nb\n").expect("it listens");
    assert_eq!(produce.wait().expect("it ends").code(), Some(0));
    broker.ok(&["consume", "v", "-e"]).prints("a\nb\n");
}

#[test]
fn files_are_read_one_after_the_other_and_named() {
    let broker = Broker::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    fs::write(&a, "one\ntwo").expect("a file");
    fs::write(&b, "{\"value\":\"three\"}\nfour\n").expect("a file");
    let [a, b] = [&a, &b].map(|file| file.to_str().expect("a plain path"));
    broker.ok(&["produce", "t", "--file", a, b]);
    broker.ok(&["produce", "t", "--file", a, b, "--whole"]);
    broker
        .ok(&["consume", "t", "-e", "-f", "[%s]"])
        .prints("[one][two][{\"value\":\"three\"}][four][one\ntwo][{\"value\":\"three\"}\nfour\n]");
    let directory = directory.path().to_str().expect("a plain path");
    broker.run_anyway(&["produce", "u", "--json", "--file", b]).expect(
        &[(directory, "<dir>")],
        &expect![[r#"
            klamm: <dir>/b, line 2: no record in JSON: expected ident at line 1 column 2
            klamm: 1 record was written; nothing was sent from <dir>/b, line 2 on
            exit code 1
        "#]],
    );
    broker.run_anyway(&["produce", "u", "--file", a, "nothing"]).expect(
        &[],
        &expect![[r#"
        klamm: 2 records were written: nothing: No such file or directory (os error 2)
        exit code 1
    "#]],
    );
}

#[test]
fn a_record_that_cannot_be_written_is_named_and_what_was_written_is_counted() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "u", "-p", "2"]);
    broker.ok(&["topic", "create", "small", "-c", "max.message.bytes=200"]);
    let large = "x".repeat(1000);
    let mut told = String::new();
    for (arguments, input) in [
        ("t -X max.request.size=500", format!("a\nb\n{large}\nc\n")),
        ("small --linger 0", format!("a\n{large}\n")),
        ("t -p 7", "a\n".to_owned()),
        ("t --json", "{\"value\":\"a\"}\n{\"valeu\":\"b\"}\n".to_owned()),
        ("--json", "{\"topic\":\"u\",\"value\":\"a\"}\n{\"value\":\"b\"}\n".to_owned()),
        ("-X allow.auto.create.topics=false -f %t,%s;", "u,a;nothing,b;".to_owned()),
        ("nothing -X allow.auto.create.topics=false", "a\n".to_owned()),
        ("t -f %k:%s\\n", "a:b\nc\n".to_owned()),
        ("t -f %S,%s", "1,a5,b".to_owned()),
        ("no/name", "a\n".to_owned()),
    ] {
        let arguments: Vec<&str> = ["produce"].into_iter().chain(arguments.split(' ')).collect();
        let answer = broker.run_with_input(&arguments, &input).code(1);
        writeln!(told, "{}\n{}", arguments.join(" "), answer.stderr).expect("memory");
    }
    expect![[r#"
        produce t -X max.request.size=500
        klamm: line 3: t: not sent: the record takes 1036 bytes, the limit is 500
        klamm: 2 records were written; nothing was sent from line 3 on

        produce small --linger 0
        klamm: line 2: small-0: not written after 2 tries: the broker answered MESSAGE_TOO_LARGE: batch of 1070 bytes, allowed are 200
        klamm: 1 record was written, 1 was not acknowledged

        produce t -p 7
        klamm: line 1: t-7: not sent: the topic has 2 partitions, from 0
        klamm: 0 records were written; nothing was sent from line 1 on

        produce t --json
        klamm: line 2: a record has no "valeu"
        klamm: 1 record was written; nothing was sent from line 2 on

        produce --json
        klamm: line 2: it names no topic, and TOPIC does not
        klamm: 1 record was written; nothing was sent from line 2 on

        produce -X allow.auto.create.topics=false -f %t,%s;
        klamm: record 2: there is no topic "nothing"; `klamm topic create nothing` makes it
        klamm: 1 record was written; nothing was sent from record 2 on

        produce nothing -X allow.auto.create.topics=false
        klamm: there is no topic "nothing"; `klamm topic create nothing` makes it

        produce t -f %k:%s\n
        klamm: record 2: no ":" follows
        klamm: 1 record was written; nothing was sent from record 2 on

        produce t -f %S,%s
        klamm: record 2: the input ends within a record
        klamm: 1 record was written; nothing was sent from record 2 on

        produce no/name
        klamm: "no/name" is no name for a topic

    "#]].assert_eq(&told);
}

#[test]
fn nothing_is_sent_behind_a_record_that_failed() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "small", "-c", "max.message.bytes=200"]);
    let lines: String =
        (0..1000).map(|line| if line == 2 { "x".repeat(1000) } else { "a".into() } + "\n").collect();
    let slowly = ["produce", "small", "--linger", "0", "--rate", "100"];
    let failed = broker.run_with_input(&slowly, &lines).code(1).says("MESSAGE_TOO_LARGE");
    let stored = broker.ok(&["consume", "small", "-e"]).stdout.lines().count();
    assert!(stored < 500, "{stored} records: {}", failed.stderr);
    assert!(failed.stderr.contains("nothing was sent from line"), "{}", failed.stderr);
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for (arguments, told) in [
        ("produce", "which topic?"),
        ("produce -f %s\\n", "which topic?"),
        ("produce t -f %s", "where else does it end?"),
        ("produce t --json --whole", "cannot be used with"),
        ("produce t -k=", "nothing separates nothing"),
        ("produce t -p -2", "expected the number of a partition, or any"),
        ("produce t -z zstd:23", "zstd has levels from -131072 to 22"),
        ("produce t -z gzip:0", "gzip has levels from 1 to 9"),
        ("produce t -z lz4:3", "lz4 has no levels"),
        ("produce t --rate 0", "a number of records a second, above 0"),
        ("produce t --acks 2", "not one of 0, 1, all"),
        ("consume t -o 20..10", "it ends before it begins"),
        ("consume t -o 10..@+1h", "counts from a time"),
        ("consume t -f %s{json}", "{json} is for reading"),
        ("consume t --json -f %s", "cannot be used with"),
        ("consume t --format json -f %s", "no --template and no --null"),
        ("consume t -o +x", "a number of offsets"),
        ("produce t --acks 1 -X enable.idempotence=true", "(-X) needs acks=all, and --acks asks for less"),
        ("consume t --grep (", "--grep: "),
        ("consume ^(", "pattern \"^(\": "),
        (
            "consume t -X isolation.level=all",
            "isolation.level=all: neither read_uncommitted nor read_committed",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        klamm(&arguments).code(2).says(told);
    }
}

#[test]
fn a_range_is_read_from_one_end_to_the_other() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    // One a minute, from the beginning of 2026 on.
    let minutes: String =
        (0..10).map(|it| format!("{} {it}\n", 1_767_225_600_000_i64 + it * 60_000)).collect();
    broker.ok_with_input(&["produce", "t", "-p", "0", "-f", "%T %s\\n"], &minutes);
    broker.ok(&["topic", "create", "trimmed"]);
    broker.ok_with_input(&["produce", "trimmed"], "a\nb\nc\nd\n");
    broker.ok(&["topic", "trim", "trimmed", "--to", "2"]);
    broker.ok_with_input(&["produce", "mixed", "-f", "%T %s\\n"], "5 a\n1 b\n9 c\n3 d\n");
    for (arguments, read) in [
        ("t -p 0 -o 3..5", "34"),
        ("t -p 0 -o 3..+3", "345"),
        ("t -p 0 -o ..2", "01"),
        ("t -p 0 -o 5..5", ""),
        ("t -p 0 -o -3..-1", "78"),
        ("t -p 0 -o 8..end", "89"),
        ("t -o end..end", ""),
        ("t -o start..100 -e", "0123456789"),
        ("t -p 0 -o -1000..1", "0"),
        ("t -p 0 -o 8.. -n 1", "8"),
        ("t -o @2026-01-01T00:03..@+2m", "34"),
        ("t -o @2026-01-01T00:03:30..@2026-01-01T00:05", "4"),
        ("t -o @2026-01-01..@+1d", "0123456789"),
        ("t -o @2026-01-01T00:08..end", "89"),
        ("t -o @2026-01-01T00:08..@2099-01-01 -e", "89"),
        ("t -p 1 -o start..end", ""),
        ("t -p 1 -o 5..7", ""),
        ("t -o 8..100 -e", "89"),
        ("t -o 11..20", ""),
        ("t -o 11..@2099-01-01", ""),
        ("t -p 0,1 -o 1..3", "12"),
        ("trimmed -o start..+1", "c"),
        ("trimmed -o start..+9223372036854775807 -e", "cd"),
        ("trimmed -o -10..", "cd"),
        ("trimmed -o +1 -e", "d"),
        ("trimmed -o +0..+1", "c"),
        ("trimmed -o +1..end", "d"),
        ("trimmed -o +7..", ""),
        ("mixed -o @4..@6", "ab"),
        ("mixed -o @2..@4", ""),
        ("mixed -o @6..end", "cd"),
    ] {
        let follows = if arguments.ends_with("..") { " -e" } else { "" };
        let line = format!("consume {arguments}{follows} -f %s");
        broker.ok(&line.split(' ').collect::<Vec<_>>()).prints(read);
    }
    broker.fails(&["consume", "trimmed", "-o", "0..3"]).says("the log has no offset 0");
    // An end that is still to come is waited for.
    broker.ok(&["consume", "t", "-o", "@2026-01-01T00:09..@now", "-f", "%s"]).prints("9");
    let mut waiting = broker.spawn(&["consume", "t", "-p", "0", "-o", "9..11", "-f", "%s\n"]);
    let mut lines = lines(&mut waiting);
    assert_eq!(lines.next().as_deref(), Some("9"));
    broker.ok_with_input(&["produce", "t", "-p", "0"], "10\n11\n");
    assert_eq!(lines.next().as_deref(), Some("10"));
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_time_still_to_come_ends_each_partition_with_what_is_not_older_or_with_what_is_there_by_then() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    let write = |partition: &str, records: &str| {
        broker.ok_with_input(&["produce", "t", "-p", partition, "-f", "%T %s\\n"], records);
    };
    let consume = |topic: &str, end: u128| {
        broker.spawn(&["consume", topic, "-o", &format!("@0..@{end}"), "-f", "%s\\n"])
    };
    // Brokers take what is an hour ahead.
    let end = now_ms() + 1_800_000;
    write("0", "5 a\n");
    let mut consuming = consume("t", end);
    let mut read = lines(&mut consuming);
    assert_eq!(read.next().as_deref(), Some("a"));
    write("0", &format!("{} b\n1 c\n{end} d\n2 e\n", end - 1));
    assert_eq!(read.by_ref().take(2).collect::<Vec<_>>(), ["b", "c"]);
    write("1", &format!("3 f\n{} g\n", end + 1));
    assert_eq!(read.next().as_deref(), Some("f"));
    assert_eq!(read.next(), None);
    assert_eq!(consuming.wait().expect("it ends").code(), Some(0));

    let mut produce = broker.spawn(&["produce", "late", "-v", "--linger", "0", "-f", "%T %s\\n"]);
    let (mut stdin, mut told) = (produce.stdin.take().expect("piped"), lines(&mut produce));
    stdin.write_all(b"1 a\n").expect("it listens");
    told.next().expect("it is written");
    let end = now_ms() + 100;
    let mut consuming = consume("late", end);
    // The moment passes, and it is looked for the end several times.
    thread::sleep(Duration::from_millis(300));
    stdin.write_all(b"2 b\n").expect("it listens");
    told.next().expect("it is written");
    // On a machine so busy that it was not, nothing is said of it.
    let is_in_time = now_ms() < end + 1_000;
    let read: Vec<_> = lines(&mut consuming).collect();
    assert!(!is_in_time || read == ["a", "b"], "{read:?}");
    assert_eq!(consuming.wait().expect("it ends").code(), Some(0));
    drop(stdin);
    assert_eq!(produce.wait().expect("it ends").code(), Some(0));
}

fn now_ms() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis()
}

#[test]
fn topics_are_named_or_match() {
    let broker = Broker::start();
    for topic in ["logs-a", "logs-b", "other"] {
        broker.ok_with_input(&["produce", topic, "--key", "k"], &format!("in {topic}\n"));
    }
    for (arguments, read) in [
        ("logs-a other -e", "in logs-a,in other"),
        ("logs-a logs-a -e", "in logs-a"),
        ("^logs-.* -e", "in logs-a,in logs-b"),
        ("-r logs-.* oth.r -e", "in logs-a,in logs-b,in other"),
        ("^logs-.* other -o start..end", "in logs-a,in logs-b,in other"),
        ("^logs-.* -p 0 -n 2", "in logs-a,in logs-b"),
    ] {
        let consumed = broker.ok(&["consume"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>());
        let mut lines: Vec<_> = consumed.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.join(","), read, "{arguments}");
    }
    broker.fails(&["consume", "^nothing", "-e"]).says("no topic matches ^nothing");
    broker.fails(&["consume", "logs-.*", "-e"]).says("\"logs-.*\" is no name for a topic");
}

#[test]
fn only_what_is_asked_for_is_printed() {
    let broker = Broker::start();
    broker.ok_with_input(
        &["produce", "t", "-k", ":", "--null", "-"],
        "a:info 1\nb:ERROR 2\na:WARN 3\n-:x\nc:-\n",
    );
    broker.ok_with_input(&["produce", "sizes", "-D", ";"], &format!("a;b;{};c;", "x".repeat(255)));
    broker
        .fails(&["consume", "sizes", "-f", "%s %S{hex8}|"])
        .says("klamm: sizes-0 offset 2: 255 does not fit into 8 bits")
        .prints("a 01|b 01|");
    for (arguments, read) in [
        ("--key a", "info 1,WARN 3"),
        ("--key a -n 1", "info 1"),
        ("--grep ERROR|WARN", "ERROR 2,WARN 3"),
        ("--grep ^.?$", "x"),
        ("--grep ^[A-Z]+ --key a", "WARN 3"),
        ("-f %k=%s\\n --null NULL -o 3", "NULL=x,c=NULL"),
        ("-f %i:%s{hex}\\n -n 1", "1:696e666f2031"),
        ("--rate 1000 -n 2", "info 1,ERROR 2"),
        ("--read-committed -n 2", "info 1,ERROR 2"),
        ("-X isolation.level=read_committed -X fetch.max.bytes=1 -n 2", "info 1,ERROR 2"),
    ] {
        let arguments = ["consume", "t", "-e"].into_iter().chain(arguments.split(' '));
        let consumed = broker.ok(&arguments.collect::<Vec<_>>());
        assert_eq!(consumed.stdout.trim_end().replace('\n', ","), read);
    }
}

pub(crate) fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok)
}

fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok)
}

/// What it says when it is told to stop, and how it ends.
pub(crate) fn stopped_by(mut child: Child, by: &str) -> (String, Option<i32>) {
    send_signal(&child, by);
    let code = child.wait().expect("it ends").code();
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    (waited_and_said(&said).1, code)
}

#[test]
fn whoever_is_told_to_stop_finishes_what_was_begun_and_counts_it() {
    let broker = Broker::start();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut produce = broker.spawn(&["produce", "t", "-v", "--linger", "0"]);
        let mut stdin = produce.stdin.take().expect("piped");
        let mut told = lines(&mut produce);
        stdin.write_all(b"a\nb\n").expect("it listens");
        assert_eq!(told.by_ref().take(2).count(), 2);
        assert_eq!(
            stopped_by(produce, signal),
            ("klamm: interrupted: 2 records were written\n".into(), Some(code))
        );
        let mut consume = broker.spawn(&["consume", "t", "-o", "-1", "-f", "%s\\n"]);
        let mut read = lines(&mut consume);
        assert_eq!(read.next().as_deref(), Some("b"));
        broker.ok_with_input(&["produce", "t"], "c\n");
        assert_eq!(read.next().as_deref(), Some("c"));
        broker.ok_with_input(&["produce", "t"], "b\n");
        assert_eq!(read.next().as_deref(), Some("b"));
        assert_eq!(stopped_by(consume, signal), ("klamm: interrupted after 3 records\n".into(), Some(code)));
    }
}

#[test]
fn whoever_is_told_to_stop_waits_for_what_is_not_acknowledged_until_told_again() {
    let broker = Broker::start();
    for (topic, again) in [("t", None), ("u", Some("-INT"))] {
        let mut produce = broker.spawn(&["produce", topic, "-v", "--linger", "0"]);
        let (mut stdin, mut told) = (produce.stdin.take().expect("piped"), lines(&mut produce));
        stdin.write_all(b"a\n").expect("it listens");
        assert!(told.next().is_some());
        broker.signal("-STOP");
        stdin.write_all(b"b\n").expect("it listens");
        // Nothing more is read, and the answer is all that is missing.
        drop(stdin);
        let mut said = said(&mut produce);
        assert_eq!(said.next().as_deref(), Some("klamm: waiting: what was sent is not acknowledged"));
        send_signal(&produce, "-TERM");
        let waits = "klamm: interrupted: waiting for 1 record to be acknowledged; once more ends it at once";
        assert_eq!(said.next().as_deref(), Some(waits));
        if let Some(again) = again {
            send_signal(&produce, again);
            assert_eq!(produce.wait().expect("it ends").code(), Some(130));
        }
        broker.signal("-CONT");
        if again.is_none() {
            assert_eq!(said.collect::<Vec<_>>(), ["klamm: interrupted: 2 records were written"]);
            assert_eq!(produce.wait().expect("it ends").code(), Some(143));
        }
    }
}

#[test]
fn what_stands_in_the_way_of_many_partitions_is_said_once() {
    let mut broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "16"]);
    let limits = ["-X", "delivery.timeout.ms=8000", "-X", "request.timeout.ms=2000"];
    let mut produce =
        broker.spawn(&[&["produce", "-v", "--linger", "0", "-f", "%t %p %s\\n"], &limits[..]].concat());
    let (mut stdin, mut told) = (produce.stdin.take().expect("piped"), lines(&mut produce));
    let mut write = |value: &str| {
        let records: String = (0..16).map(|partition| format!("t {partition} {value}\n")).collect();
        stdin.write_all(records.as_bytes()).expect("it listens");
    };
    write("a");
    assert_eq!(told.by_ref().take(16).count(), 16);
    broker.signal("-KILL");
    broker.ended();
    write("b");
    let partition = Regex::new(r"t-\d+: ").expect("a pattern");
    let waiting = said(&mut produce).filter(|line| line.starts_with("klamm: waiting: "));
    let mut causes: Vec<_> = waiting.map(|line| partition.replace(&line, "").into_owned()).collect();
    let count = causes.len();
    causes.sort();
    causes.dedup();
    assert!(count > 0 && causes.len() == count, "{count} times {causes:?}");
    assert_eq!(produce.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_broker_that_is_slow_to_answer_has_not_said_that_there_is_no_topic() {
    let broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "a\n");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    for timeout in ["2s", "60s"] {
        let mut consume =
            broker.spawn(&["consume", "t", "-e", "--bootstrap", &address, "--timeout", timeout]);
        let (mut client, _) = listener.accept().expect("it connects");
        let mut server = TcpStream::connect(broker.address()).expect("it listens");
        let [mut requests, mut to_broker] = [&client, &server].map(|it| it.try_clone().expect("a copy"));
        thread::spawn(move || io::copy(&mut requests, &mut to_broker));
        for answer in ["what is served", "who is who"] {
            let mut frame = vec![0; 4];
            server.read_exact(&mut frame).expect(answer);
            let size = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            frame.resize(4 + size as usize, 0);
            server.read_exact(&mut frame[4..]).expect(answer);
            if answer == "who is who" {
                broker.signal("-STOP");
            }
            client.write_all(&frame).expect(answer);
        }
        let mut said = said(&mut consume);
        let waiting = "klamm: waiting: no broker tells of topic \"t\"";
        assert!(said.any(|line| line == waiting));
        let gives_up = timeout == "2s";
        if gives_up {
            let last = said.last().expect("why");
            assert!(
                last.contains("no broker tells of topic \"t\"") && last.contains("; that was waited for "),
                "{last}"
            );
        }
        broker.signal("-CONT");
        let wanted: &[&str] = if gives_up { &[] } else { &["a"] };
        assert_eq!(lines(&mut consume).collect::<Vec<_>>(), wanted);
        assert_eq!(consume.wait().expect("it ends").code(), Some(gives_up.into()));
    }
}

#[test]
fn what_a_log_gets_before_the_first_record_that_is_meant_is_not_printed() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok(&["topic", "create", "u"]);
    let write =
        |partition: &str, records: &str| broker.ok_with_input(&["produce", "t", "-p", partition], records);
    write("0", "0\n");
    write("1", "a\nb\nc\n");
    let mut consume = broker.spawn(&["consume", "t", "-o", "+2", "-n", "3", "-f", "%s\\n"]);
    let mut read = lines(&mut consume);
    // Now it is decided where the other log, which is too short so far, is read from.
    assert_eq!(read.next().as_deref(), Some("c"));
    write("0", "1\n2\n3\n");
    assert_eq!(read.collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!(consume.wait().expect("it ends").code(), Some(0));

    let later = now_ms() + 1_800_000;
    let mut consume = broker.spawn(&["consume", "u", "-o", &format!("@{later}"), "-n", "1", "-f", "%s\\n"]);
    // Nobody tells when it has begun: both are written until then.
    while consume.try_wait().expect("it is ours").is_none() {
        broker.ok_with_input(&["produce", "u", "-f", "%T %s\\n"], &format!("1 old\n{later} young\n"));
    }
    assert_eq!(lines(&mut consume).collect::<Vec<_>>(), ["young"]);
}

#[test]
fn a_range_whose_end_nobody_tells_when_it_has_come_is_given_up_in_time() {
    let mut broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "a\n");
    let range = format!("@0..@{}", now_ms() + 4_000);
    let mut consume = broker.spawn(&["consume", "t", "-o", &range, "--timeout", "2s"]);
    assert_eq!(lines(&mut consume).next().as_deref(), Some("a"));
    broker.signal("-KILL");
    broker.ended();
    let said: Vec<_> = said(&mut consume).collect();
    assert!(said.last().is_some_and(|it| it.contains("; that was waited for ")), "{said:?}");
    assert_eq!(consume.wait().expect("it ends").code(), Some(1));
}

#[test]
fn whoever_waits_for_a_broker_says_so_once_and_goes_on_when_it_answers() {
    let broker = Broker::start();
    let mut produce = broker.spawn(&["produce", "t", "-v", "--linger", "0"]);
    let (mut stdin, mut told) = (produce.stdin.take().expect("piped"), lines(&mut produce));
    stdin.write_all(b"a\n").expect("it listens");
    assert_eq!(told.next().as_deref(), Some("t-0 offset 0"));
    let mut consume = broker.spawn(&["consume", "t", "-o", "0..3"]);
    let mut read = lines(&mut consume);
    assert_eq!(read.next().as_deref(), Some("a"));
    broker.signal("-STOP");
    stdin.write_all(b"b\n").expect("it listens");
    let mut said = said(&mut produce);
    assert_eq!(said.next().as_deref(), Some("klamm: waiting: what was sent is not acknowledged"));
    stdin.write_all(b"c\n").expect("it listens");
    // That takes a second, and one more record is no news.
    broker.fails(&["topic", "list", "--timeout", "1s"]);
    broker.signal("-CONT");
    assert_eq!(read.collect::<Vec<_>>(), ["b", "c"]);
    drop(stdin);
    assert_eq!(told.collect::<Vec<_>>(), ["t-0 offset 1", "t-0 offset 2"]);
    assert_eq!(said.collect::<Vec<_>>(), Vec::<String>::new());
    for mut child in [produce, consume] {
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }
}

#[test]
fn what_comes_later_is_read_too() {
    let broker = Broker::start();
    let mut consume = broker.spawn(&["consume", "^t.*", "-X", "metadata.max.age.ms=50", "-f", "%t %p %s\\n"]);
    let mut read = lines(&mut consume);
    let mut said = said(&mut consume);
    assert!(said.any(|line| line.contains("waiting: no topic matches ^t.* yet")));
    broker.ok_with_input(&["produce", "t1"], "a\n");
    assert_eq!(read.next().as_deref(), Some("t1 0 a"));
    broker.ok(&["topic", "add-partitions", "t1", "--to", "2"]);
    broker.ok_with_input(&["produce", "t1", "-p", "1"], "b\n");
    assert_eq!(read.next().as_deref(), Some("t1 1 b"));
    consume.kill().expect("it runs");
    consume.wait().expect("it ends");
}

#[test]
fn settings_of_clients_come_from_a_file_and_from_arguments() {
    let broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "a\n");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).expect("a file");
        file.to_str().expect("a plain path").to_owned()
    };
    let address = broker.address();
    let good = write(
        "good.properties",
        &format!("# ours\nbootstrap.servers = {address}\nisolation.level=read_committed\n"),
    );
    let bad = write("bad.properties", "acks=all\nsasl.mechanism=PLAIN\nsasl.jaas.config=secret\n");
    let lost = write("lost.properties", "bootstrap.servers=127.0.0.1:1\n");
    let twice = write("twice.properties", "acks=1\nacks=all\n");
    let wrong = write("wrong.properties", &format!("bootstrap.servers={address}\nrequest.timeout.m=5\n"));
    klamm(&["consume", "t", "-e", "--client-config", &good]).code(0).prints("a\n");
    klamm(&["topic", "list", "-X", &format!("bootstrap.servers={address}")]).code(0).says("t ");
    klamm(&["topic", "list", "--client-config", &lost]).code(1).says("no broker answers at 127.0.0.1:1");
    klamm(&["topic", "list", "--client-config", &lost, "-X", &format!("bootstrap.servers={address}")])
        .code(0);
    broker.ok(&["topic", "list", "--client-config", &lost]);
    let variable = [("KLAMM_CLIENT_CONFIG", good.as_str())];
    for command in ["topic list", "cluster status", "config get -t t", "consume t -e", "bench consume t"] {
        klamm_with(&command.split(' ').collect::<Vec<_>>(), &variable).code(0);
    }
    let numbered = write("numbered.properties", "acks=1\nenable.idempotence=True\n");
    broker.ok_with_input(&["produce", "t", "--acks", "all", "--client-config", &numbered], "b\n");
    for (arguments, told) in [
        ("--acks 1", "numbered.properties) needs acks=all, and --acks asks for less"),
        ("-X acks=0", "numbered.properties) needs acks=all, and acks=0 (-X) asks for less"),
    ] {
        let arguments =
            ["produce", "t", "--client-config", &numbered].into_iter().chain(arguments.split(' '));
        klamm(&arguments.collect::<Vec<_>>()).code(2).says(told);
    }
    for (file, told) in [
        (&bad, "sasl.jaas.config=(not shown): it has no username"),
        (&wrong, "there is no setting request.timeout.m; is it request.timeout.ms?"),
        (&twice, "line 2: acks was set before, in line 1"),
    ] {
        let refused = klamm(&["cluster", "status", "--client-config", file]).code(2).says(told);
        assert!(!refused.stderr.contains("secret"), "{}", refused.stderr);
    }
    klamm(&["topic", "list", "--client-config", "nowhere"]).code(2).says("nowhere: No such file");
    klamm(&["topic", "list", "-X", "sasl.mechanism"]).code(2).says("expected KEY=VALUE");
    let damaged = "ssl.truststore.certificates=-----BEGIN CERTIFICATE----- AA -----END CERTIFICATE-----";
    klamm(&["topic", "list", "-X", "security.protocol=SSL", "-X", damaged])
        .code(2)
        .says("TLS can't be set up: the trusted certificates");
    klamm(&["topic", "list", "-X", "queue.buffering.max.ms=5"])
        .code(2)
        .says("(of librdkafka; it is linger.ms)");
}
