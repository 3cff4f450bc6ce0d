//! Requests about many partitions are answered a piece at a time: whoever wants something of the node meanwhile comes in between.

use std::vec::IntoIter;

use klamm_model::TopicId;

use super::{describe_producers::Description, epochs::EpochEnds, list_offsets::Listing, log_dirs::Survey};
use crate::{Effect, Reply, ReplyTo, node::Node};

/// A request that is being answered.
pub(crate) struct InPieces {
    pub(crate) to: ReplyTo,
    work: Work,
}

pub(crate) enum Work {
    LogDirs(Survey),
    Offsets(Listing),
    Epochs(EpochEnds),
    Producers(Description),
}

impl Work {
    /// Does a piece. Tells whether it was the last.
    fn go_on(&mut self, node: &Node) -> bool {
        match self {
            Self::LogDirs(it) => it.go_on(node),
            Self::Offsets(it) => it.go_on(node),
            Self::Epochs(it) => it.go_on(node),
            Self::Producers(it) => it.go_on(node),
        }
    }

    fn answer(self, node: &Node) -> Reply {
        match self {
            Self::LogDirs(it) => it.answer(node),
            Self::Offsets(it) => it.answer(),
            Self::Epochs(it) => it.answer(),
            Self::Producers(it) => it.answer(),
        }
    }
}

/// What is done in one piece is answered at once; the rest of what is more waits for its turn.
pub(crate) fn begin(node: &mut Node, to: ReplyTo, work: Work, out: &mut Vec<Effect>) {
    let rest = piece(node, InPieces { to, work }, out);
    node.in_pieces.extend(rest);
}

/// Does a piece for whoever has asked first.
pub(crate) fn go_on(node: &mut Node, out: &mut Vec<Effect>) {
    let Some(first) = node.in_pieces.pop_front() else { return };
    if let Some(rest) = piece(node, first, out) {
        node.in_pieces.push_front(rest);
    }
}

/// Gives back what is not answered yet.
fn piece(node: &Node, mut it: InPieces, out: &mut Vec<Effect>) -> Option<InPieces> {
    if !it.work.go_on(node) {
        return Some(it);
    }
    out.push(Effect::Reply { to: it.to, reply: it.work.answer(node) });
    None
}

/// Partitions that are looked at in one go.
const AT_ONCE: usize = 1000;

/// Partitions by the names of their topics: what is asked for (`A`), and what is told of each (`T`).
pub(crate) struct List<A, T> {
    /// What was not looked at yet: of the topic at hand, and after it.
    partitions: IntoIter<A>,
    topics: IntoIter<(String, Vec<A>)>,
    /// The topic at hand, if it is known here.
    id: Option<TopicId>,
    told: Vec<(String, Vec<T>)>,
}

/// The partition that is looked at.
pub(crate) struct At<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: Option<TopicId>,
    /// Its topic's and its own place in the answer.
    pub(crate) place: (usize, usize),
}

impl<A, T> List<A, T> {
    pub(crate) fn new(topics: impl Iterator<Item = (String, Vec<A>)>) -> Self {
        let topics = topics.collect::<Vec<_>>().into_iter();
        Self { partitions: Vec::new().into_iter(), topics, id: None, told: Vec::new() }
    }

    pub(crate) fn go_on(&mut self, node: &Node, mut tell: impl FnMut(&At<'_>, &A) -> T) -> bool {
        for _ in 0..AT_ONCE {
            let Some(asked) = self.partitions.next() else {
                let Some((name, partitions)) = self.topics.next() else { return true };
                self.id = node.topic_id(&name);
                self.told.push((name, Vec::with_capacity(partitions.len())));
                self.partitions = partitions.into_iter();
                continue;
            };
            let topic = self.told.len() - 1;
            let (name, told) = &mut self.told[topic];
            told.push(tell(&At { name, id: self.id, place: (topic, told.len()) }, &asked));
        }
        false
    }

    /// What was told, by topic.
    pub(crate) fn told(self) -> impl Iterator<Item = (String, Vec<T>)> {
        self.told.into_iter()
    }
}
