//! Starts that do not go as usual.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{Broker, klamm, send_signal};

fn serve(data_dir: &Path) -> Child {
    serve_telling(data_dir, Stdio::piped())
}

fn serve_telling(data_dir: &Path, stdout: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
    command.arg("serve").arg("--data-dir").arg(data_dir).args(["--listen", "127.0.0.1:0"]);
    command.env("KLAMM_LOG", "info");
    command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Asks it to stop once it has said that. What it said on its way to the end, and how it ended.
fn stopped_after(mut broker: Child, line: &str) -> (String, Option<i32>) {
    let lines = BufReader::new(broker.stdout.take().expect("piped")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    assert!(lines.any(|it| it.starts_with(line)), "the broker never said {line:?}");
    // More than once: whoever passes signals on often does, and the stop goes on.
    let kill = format!("for i in $(seq 200); do kill -TERM {0}; kill -INT {0}; done", broker.id());
    let killed = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
    assert!(killed.success());
    let mut said = lines.collect::<Vec<_>>().join("\n");
    broker.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    (said, broker.wait().expect("the broker ends").code())
}

#[test]
fn a_start_that_is_told_to_stop_does() {
    let place = tempfile::tempdir().expect("a temporary directory");
    // A start that never ends: nobody writes into this pipe.
    let pipe = place.path().join("meta.properties");
    assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo runs").success());
    let (said, code) = stopped_after(serve(place.path()), "data directory");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("told to stop before it was ready"), "{said}");
}

#[test]
fn a_directory_that_lost_its_identity_is_refused_at_once() {
    let mut broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "x\n");
    broker.stop();
    fs::remove_file(broker.data_dir().join("meta.properties")).expect("it is there");
    let directory = broker.data_dir().to_str().expect("a plain path");
    let refused = klamm(&["serve", "--data-dir", directory, "--listen", "127.0.0.1:0"]).code(1);
    refused.says("has partitions but no meta.properties");
}

#[test]
fn a_partition_whose_directory_is_gone_begins_anew_but_not_without_a_word() {
    let mut broker = Broker::start();
    broker.ok_with_input(&["produce", "lost"], "x\n");
    broker.stop();
    let (said, code) = stopped_after(serve(broker.data_dir()), "ready in");
    assert_eq!((code, said.contains("no directory")), (Some(0), false), "{said}");
    assert!(broker.data_dir().join("clean-shutdown").exists(), "however often it was told to stop");
    fs::remove_dir_all(broker.data_dir().join("lost-0")).expect("it is there");
    let (said, code) = stopped_after(serve(broker.data_dir()), "ready in");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing of this partition was found") && said.contains("lost-0"), "{said}");
}

#[test]
fn a_broker_serves_though_nobody_can_be_told() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let full = fs::File::options().write(true).open("/dev/full").expect("it takes nothing");
    let mut broker = serve_telling(place.path(), full.into());
    let mut lines = BufReader::new(broker.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("serving")), "it does not serve");
    send_signal(&broker, "-TERM");
    assert_eq!(broker.wait().expect("the broker ends").code(), Some(0));
    assert!(place.path().join("clean-shutdown").exists());
}

#[test]
fn a_terminal_that_is_closed_stops_it_in_order_but_not_under_nohup() {
    for trap in ["", "trap '' HUP; "] {
        let place = tempfile::tempdir().expect("a temporary directory");
        let script = format!("{trap}exec \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_klamm")]).arg(place.path()).stdout(Stdio::piped());
        let mut broker = command.spawn().expect("sh runs");
        let mut lines = BufReader::new(broker.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("ready in")));
        let status = fs::read_to_string(format!("/proc/{}/status", broker.id())).expect("it runs");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("there");
        let is_ignored = u64::from_str_radix(mask.trim(), 16).expect("a mask") & 1 == 1;
        // These tests may be run under nohup themselves.
        assert!(is_ignored || trap.is_empty(), "{status}");
        send_signal(&broker, if is_ignored { "-TERM" } else { "-HUP" });
        assert_eq!(broker.wait().expect("the broker ends").code(), Some(0));
        assert!(place.path().join("clean-shutdown").exists());
    }
}
