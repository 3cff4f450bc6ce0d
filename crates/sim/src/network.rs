//! Connections between nodes and clients, message by message, as encoded bytes.
//!
//! Within one direction of a connection messages keep their order, as TCP's do; different connections overtake each other freely. What a cut holds up is
//! retried until the cut heals or somebody gives the connection up, so a request of a connection that its caller has long given up may still arrive (F36).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use klamm_node::{ConnectionId, Listener, Origin, PeerFailure, Pipeline, ReplyTo};
use klamm_wire::{ApiKey, Part, Reader, Request, RequestHeader, Response, ResponseHeader, encode_request};

use crate::{
    NODE_COUNT, PARTY_COUNT,
    timeline::{Happening, Life, MS, SECOND, Timeline},
};

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Party {
    /// A process of a node.
    Node(Life),
    /// A client.
    Client(usize),
}

impl Party {
    /// Its place in the table of cuts.
    fn place(self) -> usize {
        match self {
            Self::Node(life) => life.node,
            Self::Client(client) => NODE_COUNT + client,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionSide {
    /// Who made it.
    Caller,
    /// Who answers.
    Server,
}

/// What arrived somewhere.
#[derive(Debug)]
pub enum Arrival {
    /// A request at a server; its bytes are without their length.
    Request {
        /// The server.
        life: Life,
        /// By which connection.
        connection: u64,
        /// Header and body.
        frame: Bytes,
    },
    /// The server's end of a connection is closed.
    Closed {
        /// The server.
        life: Life,
        /// Which connection.
        connection: u64,
    },
    /// The end of what a caller asked.
    Answer {
        /// The caller.
        caller: Party,
        /// Whom it had asked.
        server: usize,
        /// What it called the question.
        token: u64,
        /// The answer, or why there is none.
        answer: Result<Response, PeerFailure>,
    },
}

/// What travels.
#[derive(Debug)]
enum Message {
    Frame(Bytes),
    /// The sender closed its end.
    Close,
}

#[derive(Debug, Default)]
struct Wire {
    messages: VecDeque<Message>,
    /// When the last message that was sent arrives.
    last_arrival: u64,
}

#[derive(Debug)]
struct Asked {
    token: u64,
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    deadline: u64,
}

/// Which of several connections to one server.
pub type Lane = u8;

#[derive(Debug)]
struct Connection {
    caller: Party,
    lane: Lane,
    server: Life,
    caller_open: bool,
    server_open: bool,
    asked: VecDeque<Asked>,
    next_correlation_id: i32,
    looks: bool,
    origin: Arc<Origin>,
    pipeline: Pipeline<Bytes>,
    /// Of requests at the server: what their answers must carry.
    heads: BTreeMap<u64, (i32, i16)>,
    to_server: Wire,
    to_caller: Wire,
}

impl Connection {
    fn wire(&mut self, at: ConnectionSide) -> &mut Wire {
        match at {
            ConnectionSide::Caller => &mut self.to_caller,
            ConnectionSide::Server => &mut self.to_server,
        }
    }

    fn ends(&self, at: ConnectionSide) -> (usize, usize) {
        let (caller, server) = (self.caller.place(), self.server.node);
        match at {
            ConnectionSide::Caller => (server, caller),
            ConnectionSide::Server => (caller, server),
        }
    }
}

/// All connections, and what is wrong with the network.
pub struct Network {
    connections: BTreeMap<u64, Connection>,
    current: BTreeMap<(Party, usize, Lane), u64>,
    next: u64,
    /// From the first to the second nothing arrives.
    cut: [[bool; PARTY_COUNT]; PARTY_COUNT],
    /// Messages take so much longer at most.
    pub extra_delay: u64,
}

/// A question to a server.
pub struct Question<'a> {
    /// Who asks.
    pub caller: Party,
    /// By which of its connections.
    pub lane: Lane,
    /// The server's running process, if it has one.
    pub server: Option<Life>,
    /// The server's machine.
    pub node: usize,
    /// Comes back with the answer.
    pub token: u64,
    /// What.
    pub request: &'a Request,
    /// In which version.
    pub version: i16,
    /// How long the caller waits before it gives the connection up.
    pub patience: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            connections: BTreeMap::new(),
            current: BTreeMap::new(),
            next: 0,
            cut: [[false; PARTY_COUNT]; PARTY_COUNT],
            extra_delay: 0,
        }
    }
}

impl Network {
    /// Cuts or mends one direction.
    pub fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        self.cut[from][to] = is_cut;
    }

    /// Everything reaches everybody again.
    pub fn mend(&mut self) {
        self.cut = [[false; PARTY_COUNT]; PARTY_COUNT];
        self.extra_delay = 0;
    }

    /// Sends a question; its end arrives as [`Arrival::Answer`].
    pub fn ask(&mut self, question: &Question<'_>, timeline: &mut Timeline) {
        let Question { caller, lane, server, node, token, request, version, patience } = *question;
        let key = request.api_key();
        let id = match self.current.get(&(caller, node, lane)) {
            Some(id) => *id,
            None => self.connect(caller, node, lane, server),
        };
        let connection = self.connections.get_mut(&id).expect("a current connection exists");
        let correlation_id = connection.next_correlation_id;
        connection.next_correlation_id += 1;
        let header = RequestHeader { api_key: key, api_version: version, correlation_id, client_id: None };
        let encoded = encode_request(&header, request).expect("nodes and clients ask what can be asked");
        let frame = joined(encoded.parts, |_| unreachable!("requests have no holes"));
        let deadline = timeline.now() + patience;
        connection.asked.push_back(Asked { token, correlation_id, key, version, deadline });
        if !std::mem::replace(&mut connection.looks, true) {
            timeline.at(deadline, Happening::CallerLooks { connection: id });
        }
        self.send(id, ConnectionSide::Server, Message::Frame(frame), timeline);
    }

    fn connect(&mut self, caller: Party, node: usize, lane: Lane, server: Option<Life>) -> u64 {
        let id = self.next;
        self.next += 1;
        let listener = match caller {
            Party::Node(_) => Listener::Broker,
            Party::Client(_) => Listener::Client,
        };
        let origin = Origin { listener, local_host: format!("n{node}"), local_port: 9092 };
        let connection = Connection {
            caller,
            lane,
            // Nobody is at home: what is sent arrives at a process that does not live.
            server: server.unwrap_or(Life { node, number: 0 }),
            caller_open: true,
            server_open: true,
            asked: VecDeque::new(),
            next_correlation_id: 0,
            looks: false,
            origin: Arc::new(origin),
            pipeline: Pipeline::default(),
            heads: BTreeMap::new(),
            to_server: Wire::default(),
            to_caller: Wire::default(),
        };
        self.connections.insert(id, connection);
        self.current.insert((caller, node, lane), id);
        id
    }

    fn send(&mut self, id: u64, to: ConnectionSide, message: Message, timeline: &mut Timeline) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut delay = timeline.dice.between(50, 400);
        if timeline.dice.chance(3) {
            delay += timeline.dice.below(20 * MS);
        }
        if 0 < self.extra_delay {
            delay += timeline.dice.below(self.extra_delay);
        }
        let wire = connection.wire(to);
        let arrival = wire.last_arrival.max(timeline.now() + delay);
        wire.last_arrival = arrival;
        wire.messages.push_back(message);
        timeline.at(arrival, Happening::Arrives { connection: id, at: to });
    }

    /// Whose event an arrival is.
    pub fn node_at(&self, id: u64, at: ConnectionSide) -> Option<usize> {
        let connection = self.connections.get(&id)?;
        match (at, connection.caller) {
            (ConnectionSide::Server, _) => Some(connection.server.node),
            (ConnectionSide::Caller, Party::Node(life)) => Some(life.node),
            (ConnectionSide::Caller, Party::Client(_)) => None,
        }
    }

    /// A message gets to its end of the connection, unless something is in the way.
    pub fn arrive(
        &mut self,
        id: u64,
        at: ConnectionSide,
        lives: &[Option<Life>; NODE_COUNT],
        timeline: &mut Timeline,
        out: &mut Vec<Arrival>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (from, to) = connection.ends(at);
        if self.cut[from][to] && from != to {
            timeline.coverage.count("network: message held up by a cut");
            let retry = timeline.dice.between(50 * MS, 250 * MS);
            timeline.after(retry, Happening::Arrives { connection: id, at });
            return;
        }
        let server = connection.server;
        let Some(message) = connection.wire(at).messages.pop_front() else { return };
        match (at, message) {
            (ConnectionSide::Server, _) if lives[server.node] != Some(server) => {
                // The machine refuses what belongs to no process of it.
                connection.server_open = false;
                connection.to_server.messages.clear();
                self.send(id, ConnectionSide::Caller, Message::Close, timeline);
            }
            (ConnectionSide::Server, Message::Frame(frame)) if connection.server_open => {
                if !connection.caller_open {
                    timeline.coverage.count("network: late request of an old connection");
                }
                out.push(Arrival::Request { life: server, connection: id, frame: frame.slice(4..) });
            }
            (ConnectionSide::Server, Message::Close) if connection.server_open => {
                connection.server_open = false;
                out.push(Arrival::Closed { life: server, connection: id });
            }
            (ConnectionSide::Caller, Message::Frame(frame)) if connection.caller_open => {
                let asked = connection.asked.pop_front().expect("one answer for one request");
                let answer = decoded(&asked, frame.slice(4..));
                let (caller, server, token) = (connection.caller, server.node, asked.token);
                out.push(Arrival::Answer { caller, server, token, answer });
            }
            (ConnectionSide::Caller, Message::Close) => {
                self.give_up(id, PeerFailure::Disconnected, false, timeline, out);
            }
            _ => {}
        }
        self.forget_if_dead(id);
    }

    fn forget_if_dead(&mut self, id: u64) {
        if self.connections.get(&id).is_some_and(|it| !it.caller_open && !it.server_open) {
            self.connections.remove(&id);
        }
    }

    /// The caller looks whether its oldest question has waited for too long.
    pub fn look(&mut self, id: u64, timeline: &mut Timeline, out: &mut Vec<Arrival>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.looks = false;
        let Some(oldest) = connection.asked.front().filter(|_| connection.caller_open) else { return };
        if timeline.now() < oldest.deadline {
            connection.looks = true;
            timeline.at(oldest.deadline, Happening::CallerLooks { connection: id });
            return;
        }
        timeline.coverage.count("network: request timed out");
        self.give_up(id, PeerFailure::TimedOut, true, timeline, out);
    }

    /// The caller's end closes: what it asked has no answer. What it sent may still arrive.
    fn give_up(
        &mut self,
        id: u64,
        failure: PeerFailure,
        tell: bool,
        timeline: &mut Timeline,
        out: &mut Vec<Arrival>,
    ) {
        let Some(connection) = self.connections.get_mut(&id).filter(|it| it.caller_open) else { return };
        connection.caller_open = false;
        connection.to_caller.messages.clear();
        let (caller, server) = (connection.caller, connection.server.node);
        for Asked { token, .. } in std::mem::take(&mut connection.asked) {
            out.push(Arrival::Answer { caller, server, token, answer: Err(failure) });
        }
        let current = (caller, server, connection.lane);
        if self.current.get(&current) == Some(&id) {
            self.current.remove(&current);
        }
        if tell {
            // The end of the connection travels behind what was sent before, which may take its time.
            if let Some(connection) = self.connections.get_mut(&id)
                && timeline.dice.chance(30)
            {
                connection.to_server.last_arrival = timeline.now() + timeline.dice.below(3 * SECOND);
            }
            self.send(id, ConnectionSide::Server, Message::Close, timeline);
        }
        self.forget_if_dead(id);
    }

    /// A connection breaks: the caller notices now, the server when it has read what came before. In some cases requests that are on the way get stuck in
    /// a buffer and arrive much later.
    pub fn break_one(&mut self, timeline: &mut Timeline, out: &mut Vec<Arrival>) {
        let open: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, it)| it.caller_open && it.server_open)
            .map(|(id, _)| *id)
            .collect();
        if open.is_empty() {
            return;
        }
        let id = open[timeline.dice.index(open.len())];
        timeline.coverage.count("network: broken connection");
        timeline.note(format_args!("network: connection {id} breaks"));
        if let Some(connection) = self.connections.get_mut(&id)
            && timeline.dice.chance(60)
        {
            let held = std::mem::take(&mut connection.to_server.messages);
            if timeline.dice.chance(70) {
                let delay = timeline.dice.between(10 * MS, 4 * SECOND);
                for message in held {
                    connection.to_server.messages.push_back(message);
                    timeline.after(delay, Happening::Arrives { connection: id, at: ConnectionSide::Server });
                }
                connection.to_server.last_arrival = timeline.now() + delay;
            }
        }
        self.give_up(id, PeerFailure::Disconnected, true, timeline, out);
    }

    /// Every connection of a client breaks, so that what it sends again comes by new ones.
    pub fn break_all_of(&mut self, caller: Party, timeline: &mut Timeline, out: &mut Vec<Arrival>) {
        let ids: Vec<u64> =
            self.current.iter().filter(|((party, ..), _)| *party == caller).map(|(_, id)| *id).collect();
        for id in ids {
            self.give_up(id, PeerFailure::Disconnected, true, timeline, out);
        }
    }

    /// A process ended. Its callers notice soon, or only by waiting in vain.
    pub fn process_ended(&mut self, life: Life, quietly: bool, timeline: &mut Timeline) {
        let mut closed = Vec::new();
        self.connections.retain(|id, connection| {
            if connection.caller == Party::Node(life) {
                connection.caller_open = false;
                connection.asked.clear();
                if connection.server.node == life.node || !connection.server_open {
                    return false;
                }
                closed.push((*id, ConnectionSide::Server));
            } else if connection.server == life {
                connection.server_open = false;
                if !connection.caller_open {
                    return false;
                }
                if !quietly {
                    closed.push((*id, ConnectionSide::Caller));
                }
            }
            true
        });
        self.current.retain(|(party, ..), _| *party != Party::Node(life));
        for (id, side) in closed {
            self.send(id, side, Message::Close, timeline);
        }
    }

    /// A request was read: its place in the order of answers, and where it came from.
    pub fn open(&mut self, id: u64, correlation_id: i32, version: i16) -> (ReplyTo, Arc<Origin>) {
        let connection = self.connections.get_mut(&id).expect("a request came by it just now");
        let sequence = connection.pipeline.open();
        connection.heads.insert(sequence, (correlation_id, version));
        (ReplyTo { connection: ConnectionId(id), sequence }, Arc::clone(&connection.origin))
    }

    /// What the answer to a request must carry: correlation id and version; nothing if the connection is closed by now.
    pub fn head(&self, to: ReplyTo) -> Option<(i32, i16)> {
        let connection = self.connections.get(&to.connection.0).filter(|it| it.server_open)?;
        connection.heads.get(&to.sequence).copied()
    }

    /// A request has its answer, or needs none. Answers leave in the order of their requests.
    pub fn answer(&mut self, to: ReplyTo, frame: Option<Bytes>, timeline: &mut Timeline) {
        let id = to.connection.0;
        let Some(connection) = self.connections.get_mut(&id).filter(|it| it.server_open) else { return };
        connection.heads.remove(&to.sequence);
        connection.pipeline.fill(to.sequence, frame);
        let mut ready = Vec::new();
        while let Some(frame) = connection.pipeline.pop_ready() {
            ready.push(frame);
        }
        for frame in ready {
            self.send(id, ConnectionSide::Caller, Message::Frame(frame), timeline);
        }
    }

    /// The server closes its end. Tells whether it was open.
    pub fn close(&mut self, id: u64, timeline: &mut Timeline) -> bool {
        let Some(connection) = self.connections.get_mut(&id).filter(|it| it.server_open) else {
            return false;
        };
        connection.server_open = false;
        self.send(id, ConnectionSide::Caller, Message::Close, timeline);
        self.forget_if_dead(id);
        true
    }
}

fn decoded(asked: &Asked, frame: Bytes) -> Result<Response, PeerFailure> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, asked.key, asked.version);
    let header = header.expect("the header of an answer can be read");
    assert_eq!(header.correlation_id, asked.correlation_id, "answers come in the order of the requests");
    let response = Response::decode(asked.key, asked.version, &mut reader);
    let response = response.unwrap_or_else(|error| panic!("{} {}: {error}", asked.key, asked.version));
    reader.finish().expect("an answer has no bytes after it");
    Ok(response)
}

/// The bytes of an encoded message; `fill` gives what belongs into a hole.
pub fn joined(parts: Vec<Part>, mut fill: impl FnMut(u32) -> Vec<u8>) -> Bytes {
    if let [Part::Bytes(_)] = parts.as_slice() {
        let Some(Part::Bytes(bytes)) = parts.into_iter().next() else { unreachable!("looked at just now") };
        return bytes;
    }
    let mut all = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => all.extend_from_slice(&bytes),
            Part::Hole { size, token } => {
                let filling = fill(token);
                assert_eq!(filling.len(), size as usize, "a hole of another size than what fills it");
                all.extend_from_slice(&filling);
            }
        }
    }
    all.into()
}
