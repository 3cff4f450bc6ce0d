//! A broker in a child process, and the program's answers.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::Expect;
use regex_lite::Regex;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Sooner nobody is told what is waited for.
const SAYS_AFTER: Duration = Duration::from_millis(1_500);

/// What one run of the program did.
pub(crate) struct Answer {
    arguments: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    /// But for what it said while it waited: on a slow machine anything may take long enough for that.
    pub(crate) stderr: String,
    waited: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn code(self, wanted: i32) -> Self {
        let Self { arguments, stdout, waited, stderr, .. } = &self;
        assert_eq!(self.code, Some(wanted), "klamm {arguments}\n{stdout}{waited}{stderr}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, wanted: &str) -> Self {
        let said = [&*self.stdout, &self.waited, &self.stderr].concat();
        assert!(said.contains(wanted), "klamm {} does not say {wanted:?}:\n{said}", self.arguments);
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, wanted: &str) -> Self {
        assert_eq!(self.stdout, wanted, "klamm {}", self.arguments);
        self
    }

    /// Compares everything it printed, and how it ended, where ids stand for themselves and what differs from run to run has a name.
    #[track_caller]
    pub(crate) fn expect(&self, names: &[(&str, &str)], expected: &Expect) {
        let mut text = self.stdout.clone();
        if self.code != Some(0) {
            text.push_str(&format!("{}exit code {}\n", self.stderr, self.code.unwrap_or(-1)));
        }
        for (found, name) in names {
            text = text.replace(found, name);
        }
        for (pattern, name) in [
            (r"(?m) [A-Za-z0-9_-]{22}$", " <id>"),
            (r"\d+\.\d [MGT]iB", "<size>"),
            (r"\b\d+ ms ago", "<time>"),
            (r"127\.0\.0\.1:\d+", "<address>"),
        ] {
            text = Regex::new(pattern).expect("a pattern").replace_all(&text, name).into_owned();
        }
        // Columns are as wide as what stood there before it got a name.
        let text = Regex::new(" {2,}").expect("a pattern").replace_all(&text, "  ").into_owned();
        expected.assert_eq(&text);
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs the program without a broker.
pub(crate) fn klamm(arguments: &[&str]) -> Answer {
    klamm_with(arguments, &[])
}

/// The same, with these variables of the environment.
pub(crate) fn klamm_with(arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    run(command, arguments, "")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
    command
        .args(arguments)
        .env_remove("KLAMM_BOOTSTRAP")
        .env_remove("KLAMM_CLIENT_CONFIG")
        .env_remove("KLAMM_LOG")
        .env_remove("KLAMM_DATA_DIR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(mut command: Command, arguments: &[&str], input: &str) -> Answer {
    let began = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    // The program may end without reading everything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let took_long = SAYS_AFTER <= began.elapsed();
    let (waited, stderr) = if took_long { waited_and_said(&stderr) } else { (String::new(), stderr) };
    Answer {
        arguments: arguments.join(" "),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
        waited,
    }
}

/// What it said while it waited, and everything else.
pub(crate) fn waited_and_said(stderr: &str) -> (String, String) {
    stderr.split_inclusive('\n').partition(|line| line.starts_with("klamm: waiting: "))
}

pub(crate) fn send_signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    if signal == "-STOP" {
        // Its threads come to stand still one after the other, and until then it answers.
        waitid(WaitId::Pid(Pid::from_child(child)), WaitIdOptions::STOPPED).expect("it stands still");
    }
}

/// A running broker; it is stopped when the test ends.
pub(crate) struct Broker {
    child: Child,
    directory: Option<tempfile::TempDir>,
    data_dir: PathBuf,
    address: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = directory.path().join("data");
        let mut broker = Self::run(&["serve", "--data-dir", data_dir.to_str().expect("a plain path")]);
        broker.directory = Some(directory);
        broker
    }

    pub(crate) fn dev() -> Self {
        Self::run(&["dev"])
    }

    fn run(arguments: &[&str]) -> Self {
        Self::with(&[arguments, &["--listen", "127.0.0.1:0"]].concat(), &[])
    }

    /// With these arguments alone, and these variables of the environment.
    pub(crate) fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        // However full the disk is that the tests run on.
        command.env("KLAMM_LOG_DIRS_MIN_FREE_BYTES", "0").envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut value_after = |prefix: &str| {
            let line = lines.find(|line| line.starts_with(prefix));
            line.unwrap_or_else(|| panic!("the broker never said {prefix:?}"))[prefix.len()..].to_owned()
        };
        let data_dir = value_after("data directory ").into();
        let address = value_after("listening on ");
        value_after("ready in ");
        Self { child, directory: None, data_dir, address }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.ended(), Some(0), "the broker stops cleanly");
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// Waits until it has come to its end by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("the broker ends").code()
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    pub(crate) fn start_again(&mut self) {
        let data_dir = self.data_dir.clone();
        let again = Self::run(&["serve", "--data-dir", data_dir.to_str().expect("a plain path")]);
        let directory = self.directory.take();
        *self = again;
        self.directory = directory;
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> Answer {
        self.ok_with_input(arguments, "")
    }

    #[track_caller]
    pub(crate) fn ok_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        self.run_with_input(arguments, input).code(0)
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        run(self.command(arguments), arguments, input)
    }

    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> Answer {
        run(self.command(arguments), arguments, "").code(1)
    }

    /// Whatever comes of it.
    pub(crate) fn run_anyway(&self, arguments: &[&str]) -> Answer {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("KLAMM_BOOTSTRAP", &self.address);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
