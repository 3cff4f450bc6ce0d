//! Nodes, addresses and a network that delivers what the script says.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use klamm_model::BrokerId;
use klamm_wire::GreetingPurpose;

use super::*;
use crate::greet::{Known, Verdict};

/// The node at one address.
struct Node {
    me: Me,
    list: Vec<(String, u16)>,
    known: Known,
    joining: Joining,
    is_up: bool,
}

#[derive(Default)]
struct World {
    /// By the host of their address.
    nodes: BTreeMap<String, Node>,
    serial: u128,
    founded: Vec<(String, Vec<Member>)>,
    /// What members know of each other, once there are any.
    disks: BTreeMap<BrokerId, Uuid>,
    told: String,
}

impl World {
    fn tell(&mut self, line: &str) {
        self.told += line;
        self.told.push('\n');
    }

    fn number(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(self.serial)
    }

    /// A node with an empty disk.
    fn start(&mut self, at: &str, id: i32, list: &str, may_vote: bool) {
        let list: Vec<_> = list.split(',').map(|host| (host.to_owned(), 1)).collect();
        let me = Me { node: BrokerId(id), directory: self.number(), incarnation: self.number(), may_vote };
        let joining = Joining::new(me, None, &list);
        let node = Node { me, list, known: Known::default(), joining, is_up: true };
        self.nodes.insert(at.to_owned(), node);
    }

    /// Another process on the same disk.
    fn restart(&mut self, at: &str) {
        let incarnation = self.number();
        let node = self.node(at);
        node.me.incarnation = incarnation;
        node.known = Known { cluster_id: node.known.cluster_id.take(), ..Known::default() };
        node.joining = Joining::new(node.me, node.known.cluster_id.clone(), &node.list);
        node.is_up = true;
    }

    fn node(&mut self, at: &str) -> &mut Node {
        self.nodes.get_mut(at).expect("a node that was started")
    }

    /// One node asks what is at one address of its list.
    fn ask(&mut self, from: &str, number: usize) {
        let (asker, (to, _)) = (&self.nodes[from], &self.nodes[from].list[number]);
        if !asker.is_up {
            return;
        }
        let question = asker.known.greeting(&asker.me, GreetingPurpose::Question);
        let answer = match self.nodes.get(to).filter(|it| it.is_up) {
            Some(it) => {
                let registered = self.disks.get(&question.node).copied();
                let refused = match it.known.judge(&it.me, &question, registered) {
                    Verdict::Refused(why) => Some(why),
                    _ => None,
                };
                let answer = it.known.greeting(&it.me, GreetingPurpose::Question);
                Ok(Greeting { refused, ..answer })
            }
            None => Err("connection refused".to_owned()),
        };
        let node = self.node(from);
        let next = node.joining.answered(number, answer);
        (node.known.founder, node.known.listed) = (node.joining.founder(), node.joining.directories());
        match next {
            Next::Wait => {}
            Next::Found(members) => self.found(from, members),
            Next::Belong => self.stop(from, "belongs to a cluster"),
            Next::Refused(why) => self.stop(from, &format!("is refused: {why}")),
        }
    }

    fn stop(&mut self, at: &str, why: &str) {
        self.node(at).is_up = false;
        self.tell(&format!("{at} {why}"));
    }

    fn found(&mut self, at: &str, members: Vec<Member>) {
        let fresh = format!("C{}", self.founded.len() + 1);
        let node = self.node(at);
        let cluster = node.known.cluster_id.get_or_insert(fresh).clone();
        let named: Vec<_> = members.iter().map(|it| format!("{}@{}", it.id, it.host)).collect();
        self.tell(&format!("{at} founds {cluster} with {}", named.join(" ")));
        self.disks.extend(members.iter().map(|it| (it.id, it.directory)));
        self.founded.push((cluster, members));
    }

    /// The engine of one node connects to another node.
    fn link(&mut self, from: &str, to: &str) {
        let caller = &self.nodes[from];
        let greeting = caller.known.greeting(&caller.me, GreetingPurpose::Quorum);
        let node = self.node(to);
        match node.known.judge(&node.me, &greeting, None) {
            Verdict::Join(cluster) => {
                self.tell(&format!("{to} joins {cluster}"));
                self.node(to).known.cluster_id = Some(cluster);
            }
            Verdict::Welcome => {}
            Verdict::Refused(why) => self.tell(&format!("{to} turns {from} away: {why}")),
        }
    }

    /// All who are up ask everybody, so often that nothing more comes of it.
    fn ask_all(&mut self) {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for _ in 0..4 {
            for name in &names {
                for number in 0..self.nodes[name].list.len() {
                    if self.founded.is_empty() {
                        self.ask(name, number);
                    }
                }
            }
        }
    }

    fn run(&mut self, line: &str) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["start", at, id, list] => self.start(at, id.parse().expect("a number"), list, true),
            ["start-broker", at, id, list] => self.start(at, id.parse().expect("a number"), list, false),
            ["restart", at] => self.restart(at),
            ["stop", at] => self.node(at).is_up = false,
            // The process before has told nobody what is on its disk.
            ["crash-before-anybody-heard", at] => {
                self.founded.clear();
                self.node(at).is_up = false;
            }
            ["ask", at, number] => self.ask(at, number.parse().expect("a number")),
            ["ask-all"] => self.ask_all(),
            ["link", from, to] => self.link(from, to),
            ["why", at] => {
                let why = self.nodes[at].joining.waits_for();
                self.tell(&format!("{at} waits: {why}"));
            }
            _ => panic!("what is {line:?}?"),
        }
    }
}

fn check(script: &str, expected: &Expect) {
    let mut world = World::default();
    script.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| world.run(line));
    expected.assert_eq(&world.told);
}

#[test]
fn the_first_of_the_list_founds_once_all_have_answered() {
    check(
        "start c 3 a,b,c
         ask-all
         why c
         start a 1 a,b,c
         ask-all
         why a
         start b 2 a,b,c
         ask-all
         link a b
         link b c",
        &expect![[r#"
            c waits: a:1: connection refused; b:1: connection refused
            a waits: b:1: connection refused
            a founds C1 with 1@a 2@b 3@c
            b joins C1
            c joins C1
        "#]],
    );
}

/// It is let in by the engine later, as those are who are not listed.
#[test]
fn a_broker_that_is_no_controller_is_waited_for_and_has_no_vote() {
    check(
        "start a 1 a,b,c
         start-broker b 2 a,b,c
         ask-all
         why a
         start c 3 a,b,c
         ask-all",
        &expect![[r#"
            a waits: c:1: connection refused
            a founds C1 with 1@a 3@c
        "#]],
    );
}

#[test]
fn a_list_whose_first_is_no_controller_founds_nothing_and_says_so() {
    check(
        "start-broker a 1 a,b
         start b 2 a,b
         ask b 0
         ask a 0",
        &expect![[r#"
            b is refused: node 1 at a:1 is the first of --join, which founds the cluster, and is a broker only: a controller has to be the first
            a is refused: node 1 at a:1 is the first of --join, which founds the cluster, and is a broker only: a controller has to be the first
        "#]],
    );
}

#[test]
fn who_answered_and_went_away_does_not_count() {
    check(
        "start a 1 a,b
         start b 2 a,b
         ask b 0
         ask a 0
         stop b
         ask a 1
         why a
         restart b
         ask a 1
         why a
         ask b 0
         ask a 1",
        &expect![[r#"
            a waits: b:1: connection refused
            a waits: b:1: node 2 has not heard of a:1 yet
            a founds C1 with 1@a 2@b
        "#]],
    );
}

#[test]
fn lists_that_differ_found_nothing() {
    check(
        "start a 1 a,b,c
         start b 2 b,a,c
         start c 3 a,b,c
         ask-all
         why a
         why b
         why c",
        &expect![[r#"
            a waits: b:1: by the list of node 2 another node is the first
            b waits: a:1: by the list of node 1 another node is the first; c:1: by the list of node 3 another node is the first
            c waits: b:1: by the list of node 2 another node is the first
        "#]],
    );
}

#[test]
fn no_second_cluster_is_founded_beside_a_first() {
    check(
        "start a 1 a,b
         start b 2 a,b
         ask-all
         link a b
         start c 3 c,a,b
         ask c 0
         ask c 1
         ask c 2
         why c",
        &expect![[r#"
            a founds C1 with 1@a 2@b
            b joins C1
            c waits: a:1: node 1 belongs to cluster C1, which has not made this node a member yet; b:1: node 2 belongs to cluster C1, which has not made this node a member yet
        "#]],
    );
}

#[test]
fn numbers_that_are_there_twice_found_nothing() {
    check(
        "start a 1 a,b,c
         start b 1 a,b,c
         start c 1 a,c
         ask-all
         why a
         why c",
        &expect![[r#"
            a waits: a:1 and b:1 are both node 1: each needs a number of its own (--node-id); b:1 and a:1 are both node 1: each needs a number of its own (--node-id); c:1 and a:1 are both node 1: each needs a number of its own (--node-id)
            c waits: a:1 and c:1 are both node 1: each needs a number of its own (--node-id); c:1 and a:1 are both node 1: each needs a number of its own (--node-id)
        "#]],
    );
}

#[test]
fn a_node_that_is_not_on_its_list_waits_to_be_made_a_member() {
    check(
        "start a 1 a
         start d 4 a
         ask d 0
         why d
         ask a 0
         ask d 0
         why d
         link a d",
        &expect![[r#"
            d waits: a:1: node 1 has not heard of a:1 yet
            a founds C1 with 1@a
            d waits: a:1: node 1 belongs to cluster C1, which has not made this node a member yet
            d joins C1
        "#]],
    );
}

#[test]
fn a_founding_that_was_interrupted_goes_on_and_founds_no_other_cluster() {
    check(
        "start a 1 a,b
         start b 2 a,b
         ask-all
         crash-before-anybody-heard a
         restart a
         ask-all
         link a b
         stop a
         restart a
         ask a 0
         ask a 1
         restart b
         ask b 0",
        &expect![[r#"
            a founds C1 with 1@a 2@b
            a founds C1 with 1@a 2@b
            b joins C1
            a founds C1 with 1@a 2@b
            b belongs to a cluster
        "#]],
    );
}

#[test]
fn a_known_number_with_another_disk_is_refused() {
    check(
        "start a 1 a,b
         start b 2 a,b
         ask-all
         link a b
         start b 2 a,b
         link a b
         ask b 0",
        &expect![[r#"
            a founds C1 with 1@a 2@b
            b joins C1
            b turns a away: node 2 belongs to no cluster yet
            b is refused: node 2 of cluster C1 has another disk: if that is lost, this one may have forgotten what was promised by it, and joins under a number of its own (--node-id)
        "#]],
    );
}

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Whatever the order in which nodes start, ask, crash and come back: one cluster is founded, of all of them.
#[test]
fn whatever_happens_on_the_way_it_is_one_cluster_of_all() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let mut world = World::default();
        for _ in 0..chance.below(200) {
            let name = NAMES[chance.below(3)];
            match (world.nodes.contains_key(name), chance.below(20)) {
                (false, 0..5) => {
                    let number = NAMES.iter().position(|it| *it == name).expect("one of them");
                    world.start(name, number as i32 + 1, "a,b,c", true);
                }
                (true, 0) => world.node(name).is_up = false,
                (true, 1) => world.restart(name),
                (true, 2) => {
                    let to = NAMES[chance.below(3)];
                    if name != to
                        && world.nodes.contains_key(to)
                        && world.nodes[name].known.cluster_id.is_some()
                    {
                        world.link(name, to);
                    }
                }
                (true, _) => world.ask(name, chance.below(3)),
                _ => {}
            }
        }
        for (number, name) in NAMES.iter().enumerate() {
            if world.nodes.contains_key(*name) {
                world.restart(name);
            } else {
                world.start(name, number as i32 + 1, "a,b,c", true);
            }
        }
        for _ in 0..3 {
            for name in NAMES {
                (0..3).for_each(|number| world.ask(name, number));
            }
        }
        let (cluster, members) =
            world.founded.first().unwrap_or_else(|| panic!("seed {seed}: {}", world.told));
        assert_eq!(members.len(), 3, "seed {seed}");
        assert!(
            world.founded.iter().all(|it| it == &(cluster.clone(), members.clone())),
            "seed {seed}: {}",
            world.told
        );
    }
}
