//! Answers that coordinators owe: each may be put together from what several shards say.

use klamm_cluster::Image;
use klamm_coordinator::RequestId;
use klamm_model::{ErrorCode, TopicPartition};
use klamm_wire::Response;
use rustc_hash::FxHashMap;

use super::{Said, markers::MarkPlace};
use crate::{
    ConnectionId, Effect, Reply, ReplyTo,
    codec::{groups, transactions},
};

/// Who waits for which part of which answer.
#[derive(Default)]
pub(crate) struct Answers {
    next_request: u64,
    next_answer: u64,
    parts: FxHashMap<RequestId, Part>,
    answers: FxHashMap<u64, Answer>,
}

/// A part of a request, on its way through a shard.
struct Part {
    answer: u64,
    place: usize,
    /// The shard that has it.
    shard: Option<TopicPartition>,
}

/// An answer that lacks some of its parts.
struct Answer {
    to: ReplyTo,
    version: i16,
    response: Response,
    missing: usize,
}

impl Answers {
    /// An answer that needs so many parts. Gives what to call the first; the others follow.
    pub(crate) fn begin(
        &mut self,
        to: ReplyTo,
        version: i16,
        response: Response,
        part_count: usize,
        out: &mut Vec<Effect>,
    ) -> impl Iterator<Item = RequestId> + use<> {
        let (answer, first) = (self.next_answer, self.next_request);
        self.next_answer += 1;
        self.next_request += part_count as u64;
        if part_count == 0 {
            out.push(Effect::Reply { to, reply: Reply::Ready(response) });
        } else {
            self.answers.insert(answer, Answer { to, version, response, missing: part_count });
        }
        for place in 0..part_count {
            self.parts.insert(RequestId(first + place as u64), Part { answer, place, shard: None });
        }
        (first..self.next_request).map(RequestId)
    }

    /// This shard has that part now: if it goes, so does the part.
    pub(super) fn belongs_to(&mut self, id: RequestId, shard: TopicPartition) {
        if let Some(part) = self.parts.get_mut(&id) {
            part.shard = Some(shard);
        }
    }

    /// A shard's answer.
    pub(super) fn give(&mut self, id: RequestId, said: Said, image: &Image, out: &mut Vec<Effect>) {
        self.put(id, out, |response, place, version| match said {
            Said::Group(reply) => groups::give(response, place, version, reply, image),
            Said::Transaction(reply) => transactions::give(response, place, version, reply),
        });
    }

    /// A partition has a transaction's mark, or will not get it.
    pub(super) fn marked(&mut self, id: RequestId, place: MarkPlace, code: ErrorCode, out: &mut Vec<Effect>) {
        self.put(id, out, |response, _, _| {
            let Response::WriteTxnMarkers(it) = response else { panic!("{response:?} has no marks") };
            let topic = &mut it.markers[place.marker].topics[place.topic];
            topic.partitions[place.partition].error_code = code.code();
        });
    }

    /// A number for a request of the node's own.
    pub(super) fn own_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request - 1)
    }

    /// No shard can answer.
    pub(crate) fn fail(&mut self, id: RequestId, why: ErrorCode, out: &mut Vec<Effect>) {
        self.put(id, out, |response, place, version| match response {
            Response::InitProducerId(_)
            | Response::AddPartitionsToTxn(_)
            | Response::AddOffsetsToTxn(_)
            | Response::EndTxn(_)
            | Response::DescribeTransactions(_)
            | Response::ListTransactions(_) => transactions::fail(response, place, why),
            _ => groups::fail(response, place, version, why),
        });
    }

    /// A shard is gone.
    pub(super) fn fail_all(&mut self, shard: TopicPartition, why: ErrorCode, out: &mut Vec<Effect>) {
        let is_its = |(id, part): (&RequestId, &Part)| (part.shard == Some(shard)).then_some(*id);
        let mut ids: Vec<RequestId> = self.parts.iter().filter_map(is_its).collect();
        ids.sort_unstable();
        for id in ids {
            self.fail(id, why, out);
        }
    }

    /// Whoever asked on this connection is gone.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.answers.retain(|_, answer| answer.to.connection != connection);
        let answers = &self.answers;
        self.parts.retain(|_, part| answers.contains_key(&part.answer));
    }

    fn put(&mut self, id: RequestId, out: &mut Vec<Effect>, put: impl FnOnce(&mut Response, usize, i16)) {
        // Whoever asked may be gone, or have been told that it takes too long.
        let Some(Part { answer: number, place, .. }) = self.parts.remove(&id) else { return };
        let answer = self.answers.get_mut(&number).expect("a part belongs to an answer");
        put(&mut answer.response, place, answer.version);
        answer.missing -= 1;
        if answer.missing == 0 {
            let answer = self.answers.remove(&number).expect("it was just there");
            out.push(Effect::Reply { to: answer.to, reply: Reply::Ready(answer.response) });
        }
    }
}
