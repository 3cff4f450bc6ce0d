//! How nodes that were given the same list of addresses become one cluster, in whatever order they start.
//!
//! Each node asks all addresses of its list again and again who is there. The first of the list is to found the cluster, and every node says in its greetings which one
//! that is by its own list. The first founds when, in one round, **every** address has answered that it belongs to no cluster and would let this node found one. So there is never a second cluster
//! beside a first, and nodes with lists that differ found none. The others become members when the new cluster's engine calls them ([`crate::greet`]).
//!
//! What is known of an address is its last answer, and a failure counts as one: nothing is decided on what somebody said before he went away.

mod again;
mod ask;
mod twin;

use std::collections::BTreeSet;

use klamm_wire::Greeting;
use uuid::Uuid;

pub(crate) use again::ask_again;
pub(crate) use ask::{Found, SAY_EVERY, join, silent};
pub(crate) use twin::{Answers, who_answers};

use crate::{engines::raft::Member, greet::Me};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    me: Me,
    /// The cluster on its disk, if it was interrupted when it had just begun to found it, or had just become a member.
    cluster_id: Option<String>,
    listed: Vec<Listed>,
}

#[derive(Clone, Debug)]
struct Listed {
    host: String,
    port: u16,
    /// `None`: it has not been heard of yet.
    heard: Option<Result<Greeting, String>>,
}

/// What is to be done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Ask on.
    Wait,
    /// Found the cluster with exactly these voters.
    Found(Vec<Member>),
    /// Nothing: this node belongs to a cluster that another one has founded.
    Belong,
    /// The cluster does not take this node, and will not.
    Refused(String),
}

impl Joining {
    pub(crate) fn new(me: Me, cluster_id: Option<String>, list: &[(String, u16)]) -> Self {
        let listed = |(host, port): &(String, u16)| Listed { host: host.clone(), port: *port, heard: None };
        Self { me, cluster_id, listed: list.iter().map(listed).collect() }
    }

    /// An address of the list was asked who is there.
    pub(crate) fn answered(&mut self, at: usize, answer: Result<Greeting, String>) -> Next {
        self.listed[at].heard = Some(answer);
        for (_, node) in self.nodes() {
            if let (Some(why), false) = (&node.refused, self.is_me(node)) {
                return Next::Refused(why.clone());
            }
        }
        if let Some(why) = self.is_misled() {
            return Next::Refused(why);
        }
        match self.members() {
            Some(members) => Next::Found(members),
            None if self.cluster_id.is_some() && self.is_not_first() => Next::Belong,
            None => Next::Wait,
        }
    }

    /// The first of the list cannot found a cluster: it would have no vote in it.
    fn is_misled(&self) -> Option<String> {
        let first = self.listed.first()?;
        let node = first.node().filter(|it| !it.may_vote && it.cluster_id.is_none())?;
        Some(format!(
            "node {} at {first} is the first of --join, which founds the cluster, and is a broker only: a controller has to be the first",
            node.node
        ))
    }

    fn is_not_first(&self) -> bool {
        let first = self.listed.first().and_then(Listed::node);
        first.is_some_and(|node| !self.is_me(node))
            || self.listed.iter().skip(1).filter_map(Listed::node).any(|node| self.is_me(node))
    }

    /// The disk of the first of the list, which is to found the cluster.
    pub(crate) fn founder(&self) -> Option<Uuid> {
        self.listed.first()?.node().map(|node| node.directory)
    }

    /// The disks of those that answered.
    pub(crate) fn directories(&self) -> BTreeSet<Uuid> {
        self.nodes().map(|(_, node)| node.directory).collect()
    }

    /// The clusters they belong to.
    pub(crate) fn clusters(&self) -> BTreeSet<String> {
        self.nodes().filter_map(|(_, node)| node.cluster_id.clone()).collect()
    }

    /// What it waits for, for people.
    pub(crate) fn waits_for(&self) -> String {
        let reasons: Vec<String> = (0..self.listed.len()).filter_map(|at| self.holds_up(at)).collect();
        if !reasons.is_empty() {
            return reasons.join("; ");
        }
        let first = &self.listed[0];
        match first.node() {
            _ if !self.nodes().any(|(_, node)| self.is_me(node)) => {
                "no address of --join is this node's own: it waits to be made a member".to_owned()
            }
            Some(node) => format!("node {} at {first} is about to found the cluster", node.node),
            None => format!("{first} is about to found the cluster"),
        }
    }

    /// The members of the cluster, if it is to be founded now, and by this node.
    fn members(&self) -> Option<Vec<Member>> {
        self.listed.first()?.node().filter(|node| self.is_me(node))?;
        (0..self.listed.len()).all(|at| self.holds_up(at).is_none()).then(|| {
            let member = |(listed, node): (&Listed, &Greeting)| Member {
                id: node.node,
                directory: node.directory,
                host: listed.host.clone(),
                port: listed.port,
            };
            // The others are let in once there is a cluster, as those are who come later.
            self.nodes().filter(|(_, node)| node.may_vote).map(member).collect()
        })
    }

    /// Why the cluster cannot be founded yet, as far as it is about this address.
    fn holds_up(&self, at: usize) -> Option<String> {
        let listed = &self.listed[at];
        let node = match &listed.heard {
            None => return Some(format!("{listed} has not answered yet")),
            Some(Err(why)) => return Some(format!("{listed}: {why}")),
            Some(Ok(node)) => node,
        };
        let id = node.node;
        let others = self.listed.iter().enumerate().filter(|(number, _)| *number != at);
        let mut twins =
            others.filter_map(|(_, other)| Some((other, other.node().filter(|it| it.node == id)?)));
        if let Some((other, twin)) = twins.next() {
            return Some(if twin.incarnation == node.incarnation {
                format!("{listed} and {other} are the same node")
            } else {
                format!("{listed} and {other} are both node {id}: each needs a number of its own (--node-id)")
            });
        }
        if self.is_me(node) {
            return None;
        }
        if id == self.me.node {
            return Some(format!(
                "{listed} is node {id}, as this one is: each needs a number of its own (--node-id)"
            ));
        }
        match &node.cluster_id {
            Some(cluster) if self.cluster_id.as_ref() == Some(cluster) => return None,
            Some(cluster) => {
                return Some(format!(
                    "{listed}: node {id} belongs to cluster {cluster}, which has not made this node a member yet"
                ));
            }
            None => {}
        }
        let first = &self.listed[0];
        match (node.founder, self.founder()) {
            (Some(theirs), Some(ours)) if theirs == ours => None,
            (Some(_), Some(_)) => {
                Some(format!("{listed}: by the list of node {id} another node is the first"))
            }
            _ => Some(format!("{listed}: node {id} has not heard of {first} yet")),
        }
    }

    fn is_me(&self, node: &Greeting) -> bool {
        node.incarnation == self.me.incarnation
    }

    fn nodes(&self) -> impl Iterator<Item = (&Listed, &Greeting)> {
        self.listed.iter().filter_map(|listed| Some((listed, listed.node()?)))
    }
}

impl Listed {
    fn node(&self) -> Option<&Greeting> {
        self.heard.as_ref()?.as_ref().ok()
    }
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests;
