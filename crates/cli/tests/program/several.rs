//! Several processes that are one cluster.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::broker::{Answer, command, klamm, run, send_signal};

/// Far longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const STATUS: [&str; 4] = ["cluster", "status", "--format", "json"];
const QUORUM: [&str; 4] = ["cluster", "quorum", "--format", "json"];

mod grown;
mod lost;
mod moved;
mod observers;
mod roles;
mod throttled;
mod trouble;

struct Cluster {
    place: tempfile::TempDir,
    /// Of clients, and of the nodes among themselves.
    ports: Vec<(u16, u16)>,
    running: Vec<Option<Running>>,
    /// Whether starts are told the list.
    tells_list: bool,
    /// Whether they are told where to listen for each other.
    listens: bool,
    /// What else is set.
    settings: &'static [&'static str],
    /// The data directories of a node that has several.
    log_dirs: Option<(usize, Vec<PathBuf>)>,
    /// How many of the nodes are in it.
    listed: usize,
    /// What nodes are that are not both.
    roles: Vec<(usize, &'static str)>,
}

struct Running {
    child: Child,
    /// What it says, on either output.
    lines: mpsc::Receiver<String>,
    said: String,
}

/// For clients, and for nodes. Each is given out once, and is none of those that the system gives to whoever wants any: a node that was killed finds its own free again.
fn free_ports(count: usize) -> Vec<(u16, u16)> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + 1_000 * (std::process::id() % 20) as u16;
    let free = || loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    };
    (0..count).map(|_| (free(), free())).collect()
}

impl Cluster {
    fn new(count: usize) -> Self {
        Self {
            place: tempfile::tempdir().expect("a temporary directory"),
            ports: free_ports(count),
            running: (0..count).map(|_| None).collect(),
            tells_list: true,
            listens: true,
            settings: &[],
            log_dirs: None,
            listed: count,
            roles: Vec::new(),
        }
    }

    /// Three nodes that are one cluster, all in service. The other places are for nodes that are not in its list.
    fn of_three(places: usize) -> Self {
        let mut cluster = Self::new(places);
        cluster.listed = 3;
        (1..=3).for_each(|id| cluster.start(id));
        cluster.ready(&[1, 2, 3]);
        cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
        cluster
    }

    /// A fourth one joined it.
    fn of_four() -> Self {
        let mut cluster = Self::of_three(4);
        cluster.start(4);
        cluster.ready(&[4]);
        cluster.until(&STATUS, |it| it["brokers_in_service"] == 4);
        cluster
    }

    fn data_dir(&self, id: usize) -> PathBuf {
        self.place.path().join(format!("node-{id}"))
    }

    /// `None`: both.
    fn role(&self, id: usize) -> Option<&'static str> {
        self.roles.iter().find(|it| it.0 == id).map(|it| it.1)
    }

    fn start(&mut self, id: usize) {
        self.starts_as(id, id);
    }

    /// The same under another number.
    fn starts_as(&mut self, id: usize, number: usize) {
        let (client, node) = self.ports[id - 1];
        let join: Vec<String> =
            self.ports[..self.listed].iter().map(|(_, node)| format!("127.0.0.1:{node}")).collect();
        let mut command = command(&["serve"]);
        command.args(["--node-id", &number.to_string()]);
        command.args(["--listen", &format!("127.0.0.1:{client}")]);
        command.args(self.settings.iter().flat_map(|it| ["--set", it]));
        if self.listens {
            command.args(["--node-listen", &format!("127.0.0.1:{node}")]);
        }
        if let Some((_, dirs)) = self.log_dirs.as_ref().filter(|it| it.0 == id) {
            let dirs: Vec<_> = dirs.iter().map(|it| it.display().to_string()).collect();
            command.args(["--set", &format!("log.dirs={}", dirs.join(","))]);
        } else {
            command.arg("--data-dir").arg(self.data_dir(id));
        }
        if let Some(roles) = self.role(id) {
            command.args(["--roles", roles]);
        }
        if self.tells_list {
            command.args(["--join", &join.join(",")]);
        }
        command.env("KLAMM_LOG_DIRS_MIN_FREE_BYTES", "0").stdin(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let (tell, lines) = mpsc::channel();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let other = tell.clone();
        std::thread::spawn(move || pass_on(out, &tell));
        std::thread::spawn(move || pass_on(err, &other));
        self.running[id - 1] = Some(Running { child, lines, said: String::new() });
    }

    fn node(&mut self, id: usize) -> &mut Running {
        self.running[id - 1].as_mut().expect("it was started")
    }

    fn ready(&mut self, ids: &[usize]) {
        for id in ids {
            self.node(*id).says("ready in ");
        }
    }

    fn kill(&mut self, id: usize) {
        let mut killed = self.running[id - 1].take().expect("it was started");
        killed.child.kill().expect("killed");
        killed.child.wait().expect("it ends");
    }

    /// A tool that may ask any of those that run.
    #[track_caller]
    fn ok_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        let is_asked = |id: &usize| self.running[id - 1].is_some() && self.role(*id) != Some("controller");
        let running = (1..=self.ports.len()).filter(is_asked).map(|id| self.ports[id - 1].0);
        let bootstrap: Vec<String> = running.map(|client| format!("127.0.0.1:{client}")).collect();
        let mut command = command(arguments);
        command.env("KLAMM_BOOTSTRAP", bootstrap.join(","));
        run(command, arguments, input).code(0)
    }

    /// A tool that is told of one node alone.
    fn ask_at(&self, id: usize, arguments: &[&str], input: &str) -> Answer {
        let mut command = command(arguments);
        command.env("KLAMM_BOOTSTRAP", format!("127.0.0.1:{}", self.ports[id - 1].0));
        run(command, arguments, input)
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Answer {
        self.ok_with_input(arguments, "")
    }

    /// Asks until the answer is what was waited for.
    #[track_caller]
    fn until(&self, arguments: &[&str], is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        self.until_asked(|| self.ok(arguments), arguments, is_so)
    }

    #[track_caller]
    fn until_asked(
        &self,
        ask: impl Fn() -> Answer,
        arguments: &[&str],
        is_so: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = ask().json();
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "klamm {arguments:?} still says {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn all_in_sync(&self, topic: &str, count: usize) -> serde_json::Value {
        self.until(&["topic", "describe", topic, "--format", "json"], |answer| {
            let partitions = answer[0]["partitions"].as_array().expect("partitions");
            partitions.iter().all(|it| it["in_sync"].as_array().map(Vec::len) == Some(count))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for running in self.running.iter_mut().flatten() {
            // It may be gone already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

impl Running {
    #[track_caller]
    fn says(&mut self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                panic!("it never said {wanted:?}:\n{}", self.said)
            };
            self.said += &line;
            self.said.push('\n');
            if line.contains(wanted) {
                return;
            }
        }
    }

    fn has_said(&mut self, text: &str) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.said += &line;
            self.said.push('\n');
        }
        self.said.contains(text)
    }
}

fn pass_on(from: impl std::io::Read, to: &mpsc::Sender<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}

/// The records of one partition, as they are on a node's disk.
fn segments(partition: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(partition).expect("the partition is there").map(|file| file.expect("a file"));
    let mut logs: Vec<_> = files
        .filter(|file| file.path().extension().is_some_and(|it| it == "log"))
        .map(|file| {
            (file.file_name().into_string().expect("a plain name"), fs::read(file.path()).expect("read"))
        })
        .collect();
    logs.sort();
    logs
}

fn lines(from: usize, end: usize) -> String {
    (from..end).map(|number| format!("{number}\n")).collect()
}

#[test]
fn three_nodes_started_in_any_order_are_one_cluster_that_bears_the_loss_of_each() {
    let mut cluster = Cluster::new(3);
    cluster.start(3);
    cluster.start(2);
    let first = format!("127.0.0.1:{}: Connection refused", cluster.ports[0].1);
    for id in [2, 3] {
        cluster.node(id).says("waiting to be one cluster");
        assert!(cluster.node(id).has_said(&first), "{}", cluster.node(id).said);
        assert!(!cluster.node(id).has_said("ready in"));
    }
    cluster.start(1);
    cluster.ready(&[1, 2, 3]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
    cluster.ok(&["topic", "create", "t", "--partitions", "3", "--replication-factor", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 1000));
    let mut end = 1000;
    for victim in [1, 2, 3] {
        cluster.kill(victim);
        cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(end, end + 500));
        end += 500;
        assert_eq!(cluster.ok(&["consume", "t", "-e"]).stdout.lines().count(), end);
        cluster.start(victim);
        cluster.ready(&[victim]);
        cluster.all_in_sync("t", 3);
    }
    let mut read: Vec<usize> =
        cluster.ok(&["consume", "t", "-e"]).stdout.lines().map(|it| it.parse().expect("a number")).collect();
    read.sort_unstable();
    assert_eq!(read, (0..end).collect::<Vec<_>>());
    for partition in ["t-0", "t-1", "t-2"] {
        let of = |id| segments(&cluster.data_dir(id).join(partition));
        assert!(of(1) == of(2) && of(2) == of(3), "{partition} is not the same everywhere");
    }
    for id in [3, 1, 2] {
        send_signal(&cluster.node(id).child, "-TERM");
        let code = cluster.node(id).child.wait().expect("it ends").code();
        assert_eq!(code, Some(0), "{}", cluster.node(id).said);
    }
}

/// What node 1 has in its first directory it goes on leading; the others lead what was in the second, until that is back.
#[test]
fn a_directory_that_fails_gives_its_partitions_to_other_nodes_and_takes_them_back_when_it_is_repaired() {
    let mut cluster = Cluster::new(3);
    let [one, two] = ["one", "two"].map(|name| cluster.place.path().join(name));
    cluster.log_dirs = Some((1, vec![one.clone(), two.clone()]));
    (1..=3).for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2, 3]);
    cluster.ok(&["topic", "create", "t", "-p", "2"]);
    cluster.ok(&["cluster", "reassign", "t", "--to", "1,2,3", "--wait"]);
    cluster.all_in_sync("t", 3);
    let index = |it: &Path| (0..2).find(|index| it.join(format!("t-{index}")).exists()).expect("one in each");
    let (kept, lost) = (index(&one), index(&two));
    cluster.ok_with_input(&["produce", "t", "-p", "0"], &lines(0, 100));
    cluster.ok_with_input(&["produce", "t", "-p", "1"], &lines(100, 200));
    cluster.ok(&["cluster", "elect", "t"]);
    let aside = cluster.place.path().join("aside");
    fs::rename(&two, &aside).expect("renamed");
    cluster.ok_with_input(&["produce", "t", "-p", &lost.to_string()], &lines(200, 300));
    let describe = ["topic", "describe", "t", "--format", "json"];
    let others = cluster.until(&describe, |answer| {
        let of = |index: usize| &answer[0]["partitions"][index];
        of(lost)["in_sync"].as_array().map(Vec::len) == Some(2) && of(lost)["leader"] != 1
    });
    let of = |index: usize| &others[0]["partitions"][index];
    assert_eq!(of(kept)["leader"], 1, "{others}");
    assert_eq!(of(kept)["in_sync"].as_array().map(Vec::len), Some(3), "{others}");
    for id in [1, 2, 3] {
        let ask = || cluster.ask_at(id, &describe, "").code(0);
        cluster
            .until_asked(ask, &describe, |it| it[0]["partitions"][lost]["offline"] == serde_json::json!([1]));
    }
    cluster.ok_with_input(&["produce", "t", "-p", &lost.to_string()], &lines(300, 400));
    cluster.kill(1);
    fs::rename(&aside, &two).expect("renamed");
    cluster.start(1);
    cluster.ready(&[1]);
    cluster.all_in_sync("t", 3);
    cluster.ok(&["cluster", "elect", "t"]);
    let read = cluster.ok(&["consume", "t", "-e"]);
    let mut values: Vec<_> = read.stdout.lines().map(str::to_owned).collect();
    values.sort_unstable();
    let mut wanted: Vec<_> = lines(0, 400).lines().map(str::to_owned).collect();
    wanted.sort_unstable();
    assert_eq!(values, wanted);
}

#[test]
fn a_broker_is_drained_and_forgotten() {
    let mut cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "-p", "6", "--replication-factor", "2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));
    let describe = ["topic", "describe", "t", "--format", "json"];
    let has = |answer: &serde_json::Value, what: &str| {
        let partitions = answer[0]["partitions"].as_array().expect("partitions").clone();
        let is_it =
            |it: &serde_json::Value| it == 3 || it.as_array().is_some_and(|it| it.contains(&3.into()));
        partitions.iter().filter(|it| is_it(&it[what])).count()
    };
    let moved = cluster.ok(&["cluster", "drain", "3", "--leaders"]);
    moved.says("broker 3 leads nothing any more");
    cluster.until(&describe, |it| has(it, "leader") == 0 && has(it, "replicas") == 4);
    let planned = cluster.ok(&["cluster", "drain", "3", "--dry-run", "--format", "json"]).json();
    assert_eq!(planned.as_array().map(Vec::len), Some(4), "{planned}");
    cluster.ok(&["cluster", "drain", "3"]).says("broker 3 holds nothing any more");
    cluster.until(&describe, |it| has(it, "replicas") == 0);
    cluster.all_in_sync("t", 2);
    let refused = cluster.ask_at(1, &["cluster", "unregister", "3"], "").code(1);
    assert!(refused.stderr.contains("broker 3 is in service: stop it first"), "{}", refused.stderr);
    cluster.kill(3);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 2);
    cluster.ok(&["cluster", "unregister", "3"]).prints("broker 3 is unregistered\n");
    cluster.until(&STATUS, |it| it["brokers_known"] == 2);
    assert_eq!(cluster.ok(&["consume", "t", "-e"]).stdout.lines().count(), 500);
    cluster.ask_at(1, &["cluster", "drain", "3"], "").code(1);
    let held = cluster.ask_at(1, &["cluster", "drain", "2"], "").code(1);
    assert!(held.stderr.contains("t-0: no other broker is there to hold it"), "{}", held.stderr);
}

#[test]
fn a_node_that_lost_its_disk_is_refused_under_its_number() {
    let mut cluster = Cluster::new(3);
    for id in [1, 2, 3] {
        cluster.start(id);
    }
    cluster.ready(&[1, 2, 3]);
    for id in [2, 1] {
        cluster.kill(id);
        let aside = cluster.place.path().join("aside");
        fs::rename(cluster.data_dir(id), &aside).expect("renamed");
        cluster.start(id);
        cluster.node(id).says("the cluster refuses this node");
        assert!(cluster.node(id).has_said("has another disk"), "{}", cluster.node(id).said);
        assert_eq!(cluster.node(id).child.wait().expect("it ends").code(), Some(1));
        // It is found again.
        fs::remove_dir_all(cluster.data_dir(id)).expect("removed");
        fs::rename(aside, cluster.data_dir(id)).expect("renamed");
        cluster.start(id);
        cluster.ready(&[id]);
    }
}

#[test]
fn a_cluster_that_was_stopped_starts_again_without_the_list_once_a_majority_is_there() {
    let mut cluster = Cluster::new(3);
    for id in [1, 2, 3] {
        cluster.start(id);
    }
    cluster.ready(&[1, 2, 3]);
    cluster.ok(&["topic", "create", "t", "--replication-factor", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], "kept\n");
    for id in [1, 2, 3] {
        cluster.kill(id);
    }
    cluster.tells_list = false;
    cluster.start(2);
    cluster.node(2).says("waiting for a controller");
    assert!(!cluster.node(2).has_said("ready in"));
    cluster.start(3);
    cluster.ready(&[2, 3]);
    cluster.start(1);
    cluster.ready(&[1]);
    cluster.all_in_sync("t", 3);
    cluster.ok(&["consume", "t", "-e"]).prints("kept\n");
}

#[test]
fn a_fourth_node_joins_and_votes_in_place_of_one_that_leaves_and_the_loss_of_another_is_borne() {
    let mut cluster = Cluster::of_three(4);
    cluster.ok(&["topic", "create", "t", "--partitions", "3", "--replication-factor", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));

    // It is told where the others are, and nobody was told of it.
    cluster.start(4);
    cluster.ready(&[4]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 4);
    let role = |quorum: &serde_json::Value, id: u64, wanted: &str| {
        let replicas = quorum["replicas"].as_array().expect("replicas");
        replicas.iter().any(|it| it["node"] == id && it["role"] == wanted && it["lag"] == 0)
    };
    // Whether it has everything is known from the second time on that it is heard.
    cluster.until(&QUORUM, |it| {
        let replicas = it["replicas"].as_array().expect("replicas");
        let has_caught_up = |it: &serde_json::Value| it["node"] == 4 && !it["last_caught_up_ms"].is_null();
        role(it, 4, "observer") && replicas.iter().any(has_caught_up)
    });
    let other = ["cluster", "quorum", "remove", "2", "--directory", "00000000-0000-0000-0000-000000000009"];
    assert!(cluster.ask_at(3, &other, "").code(1).stderr.contains("is no voter"));
    cluster.ok(&["cluster", "quorum", "add", "4"]).prints("node 4 votes now\n");
    assert!(
        cluster
            .ask_at(2, &["cluster", "quorum", "add", "4"], "")
            .code(1)
            .stderr
            .contains("is a voter already")
    );
    cluster.until(&QUORUM, |it| role(it, 4, "voter"));

    // The first founded it; it votes no more, and goes.
    cluster.ok(&["cluster", "reassign", "t", "--to", "2,3,4", "--wait"]);
    cluster.ok(&["cluster", "quorum", "remove", "1"]).prints("node 1 votes no more\n");
    cluster.until(&QUORUM, |it| role(it, 1, "observer"));
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(500, 1000));
    send_signal(&cluster.node(1).child, "-TERM");
    assert_eq!(cluster.node(1).child.wait().expect("it ends").code(), Some(0), "{}", cluster.node(1).said);
    cluster.running[0] = None;

    // Two of the three that vote are left: one of the first three, and the one that came.
    cluster.kill(2);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(1000, 1500));
    cluster.ok(&["topic", "create", "u", "--replication-factor", "2"]);
    assert_eq!(cluster.ok(&["consume", "t", "-e"]).stdout.lines().count(), 1500);
}

/// Two of three are gone, or stand still: the third leads what it led, and what needs a controller fails in time and says why.
fn without_a_majority(cluster: &mut Cluster, survivor: usize, lose: impl Fn(&mut Cluster, usize)) {
    let described = cluster.ok(&["topic", "describe", "t", "--format", "json"]).json();
    let partitions = described[0]["partitions"].as_array().expect("partitions");
    let own = partitions.iter().find(|it| it["leader"] == survivor).expect("each leads one of the three");
    let own = own["partition"].to_string();
    for id in [1, 2, 3].into_iter().filter(|id| *id != survivor) {
        lose(cluster, id);
    }
    // Until it has noticed, it names the controller that it knows, which does not answer.
    let create = ["topic", "create", "u", "--timeout", "4s"];
    let until = Instant::now() + PATIENCE;
    loop {
        let began = Instant::now();
        let answer = cluster.ask_at(survivor, &create, "");
        // The question who decides, the change itself and one more try: each may take as long as it was told.
        assert!(began.elapsed() < Duration::from_secs(20), "after {:?}", began.elapsed());
        if answer.code(1).stderr.contains("no node is the controller now") {
            break;
        }
        assert!(Instant::now() < until, "it still names a controller");
    }
    // Numbers for idempotent producers come from the controller: a broker that has given out none yet has to wait for one.
    let produce = ["produce", "t", "-p", &own, "--acks", "all", "-X", "enable.idempotence=false"];
    cluster.ask_at(survivor, &produce, "written\n").code(0);
    let consume = ["consume", "t", "-p", &own, "--offset=-1", "-n", "1"];
    cluster.ask_at(survivor, &consume, "").code(0).prints("written\n");
}

#[test]
fn without_a_majority_leaders_go_on_and_what_needs_a_controller_says_why_it_fails() {
    let mut cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "--partitions", "3", "--replication-factor", "1"]);
    let controller = cluster.ok(&STATUS).json()["controller"].clone();
    let controller = controller.as_u64().expect("there is one") as usize;
    without_a_majority(&mut cluster, controller, |it, id| it.kill(id));
    for id in [1, 2, 3].into_iter().filter(|id| *id != controller) {
        cluster.start(id);
        cluster.ready(&[id]);
    }
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
    let follower = [1, 2, 3].into_iter().find(|id| *id != controller).expect("there are three");
    without_a_majority(&mut cluster, follower, |it, id| send_signal(&it.node(id).child, "-STOP"));
    for id in [1, 2, 3].into_iter().filter(|id| *id != follower) {
        send_signal(&cluster.node(id).child, "-CONT");
    }
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
    cluster.ok(&["topic", "create", "v", "--replication-factor", "3"]);
}

#[test]
fn three_nodes_in_one_process_are_a_cluster_too() {
    let mut child = command(&["dev", "--nodes", "3", "--listen", "127.0.0.1:0"])
        .env("KLAMM_LOG_DIRS_MIN_FREE_BYTES", "0")
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program starts");
    let mut addresses = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        addresses.extend(line.strip_prefix("listening on ").map(str::to_owned));
        if line.starts_with("ready in") {
            break;
        }
    }
    let mut status = command(&[]);
    status.args(STATUS).env("KLAMM_BOOTSTRAP", addresses.join(","));
    let answer = run(status, &STATUS, "").code(0).json();
    assert_eq!((addresses.len(), &answer["brokers_known"]), (3, &serde_json::json!(3)), "{answer}");
    send_signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
