//! Connections between nodes and clients, as streams of encoded bytes: frames are found in what arrived, as sockets' owners do.
//!
//! Within one direction of a connection bytes keep their order, as TCP's do; different connections overtake each other freely. What a cut holds up is
//! retried until the cut heals or somebody gives the connection up, so a request of a connection that its caller has long given up may still arrive (F36).
//! What goes wrong with connections is in [`trouble`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use klamm_node::{ConnectionId, Listener, Origin, PeerFailure, Pipeline, ReplyTo};
use klamm_wire::{
    ApiKey, FrameBuffer, FrameLimits, Part, Reader, Request, RequestHeader, Response, ResponseHeader,
    encode_request,
};

use self::trouble::cut_in_the_middle;
use crate::{
    NODE_COUNT, PARTY_COUNT,
    timeline::{Happening, Life, MS, SECOND, Timeline},
};

mod trouble;

/// No frame here is larger.
const FRAME_SIZE_MAX: u32 = 1 << 20;

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
        /// Its caller has given the connection up.
        is_late: bool,
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
    /// A piece of the stream: mostly a frame, seldom a part of one.
    Bytes(Bytes),
    /// The sender closed its end.
    Close,
}

#[derive(Debug)]
struct Wire {
    /// With the moment from which each is there.
    messages: VecDeque<(u64, Message)>,
    /// When the last message that was sent arrives.
    last_arrival: u64,
    received: FrameBuffer,
}

impl Wire {
    fn new(limits: FrameLimits) -> Self {
        Self { messages: VecDeque::new(), last_arrival: 0, received: FrameBuffer::new(limits) }
    }

    /// The frames that are whole with these bytes.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.received.prepare().extend_from_slice(bytes);
        let mut next = || self.received.next_frame().expect("only frames are sent");
        std::iter::from_fn(&mut next).collect()
    }
}

#[derive(Debug)]
struct Asked {
    token: u64,
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    deadline: u64,
    /// What was sent, in case it arrives twice.
    frame: Bytes,
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
    /// Nothing that is sent arrives any more, and nobody is told.
    is_half_open: bool,
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
    /// So many bytes get through a connection in a second; 0 is without end.
    pub bytes_per_second: u64,
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
            bytes_per_second: 0,
        }
    }
}

impl Network {
    /// Whether nothing gets from one party to another.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from][to]
    }

    /// Cuts or mends one direction.
    pub fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        self.cut[from][to] = is_cut;
    }

    /// Everything reaches everybody again.
    pub fn mend(&mut self) {
        self.cut = [[false; PARTY_COUNT]; PARTY_COUNT];
        (self.extra_delay, self.bytes_per_second) = (0, 0);
    }

    /// Whether a caller has a connection that it believes in.
    pub fn is_connected(&self, caller: Party, node: usize, lane: Lane) -> bool {
        self.current.contains_key(&(caller, node, lane))
    }

    /// Sends a question; its end arrives as [`Arrival::Answer`], unless it is one without an answer.
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
        if has_answer(request) {
            let deadline = timeline.now() + patience;
            let frame = frame.clone();
            connection.asked.push_back(Asked { token, correlation_id, key, version, deadline, frame });
            if !std::mem::replace(&mut connection.looks, true) {
                timeline.at(deadline, Happening::CallerLooks { connection: id });
            }
        }
        self.send(id, ConnectionSide::Server, Message::Bytes(frame), timeline);
    }

    fn connect(&mut self, caller: Party, node: usize, lane: Lane, server: Option<Life>) -> u64 {
        // Nobody is at home: what is sent arrives at a process that does not live.
        let id = self.add_connection(caller, server.unwrap_or(Life { node, number: 0 }), lane);
        self.current.insert((caller, node, lane), id);
        id
    }

    fn add_connection(&mut self, caller: Party, server: Life, lane: Lane) -> u64 {
        let id = self.next;
        self.next += 1;
        let listener = match caller {
            Party::Node(_) => Listener::Broker,
            Party::Client(_) => Listener::Client,
        };
        let origin = Origin {
            listener,
            local_host: format!("n{}", server.node),
            local_port: 9092,
            peer_host: "there".into(),
        };
        let connection = Connection {
            caller,
            lane,
            server,
            caller_open: true,
            server_open: true,
            is_half_open: false,
            asked: VecDeque::new(),
            next_correlation_id: 0,
            looks: false,
            origin: Arc::new(origin),
            pipeline: Pipeline::default(),
            heads: BTreeMap::new(),
            to_server: Wire::new(FrameLimits::requests(FRAME_SIZE_MAX)),
            to_caller: Wire::new(FrameLimits::responses(FRAME_SIZE_MAX)),
        };
        self.connections.insert(id, connection);
        id
    }

    fn send(&mut self, id: u64, to: ConnectionSide, message: Message, timeline: &mut Timeline) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut pieces = [Some(message), None];
        if let Some(Message::Bytes(frame)) = &mut pieces[0] {
            if connection.is_half_open {
                return;
            }
            if timeline.dice.chance(2) {
                let rest = frame.split_off(timeline.dice.index(frame.len()));
                pieces[1] = Some(Message::Bytes(rest));
            }
        }
        for message in pieces.into_iter().flatten() {
            let mut delay = timeline.dice.between(50, 400);
            if timeline.dice.chance(3) {
                delay += timeline.dice.below(20 * MS);
            }
            if 0 < self.extra_delay {
                delay += timeline.dice.below(self.extra_delay);
            }
            let wire = connection.wire(to);
            let mut arrival = wire.last_arrival.max(timeline.now() + delay);
            if let Message::Bytes(bytes) = &message
                && 0 < self.bytes_per_second
            {
                arrival += bytes.len() as u64 * SECOND / self.bytes_per_second;
            }
            wire.last_arrival = arrival;
            wire.messages.push_back((arrival, message));
            timeline.at(arrival, Happening::Arrives { connection: id, at: to });
        }
    }

    /// Whose event an arrival is: its place among the parties.
    pub fn party_at(&self, id: u64, at: ConnectionSide) -> Option<usize> {
        let connection = self.connections.get(&id)?;
        Some(match at {
            ConnectionSide::Server => connection.server.node,
            ConnectionSide::Caller => connection.caller.place(),
        })
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
        let messages = &mut connection.wire(at).messages;
        if messages.front().is_none_or(|(due, _)| timeline.now() < *due) {
            return;
        }
        let Some((_, message)) = messages.pop_front() else { return };
        match (at, message) {
            (ConnectionSide::Server, _) if lives[server.node] != Some(server) => {
                // The machine refuses what belongs to no process of it.
                connection.server_open = false;
                connection.to_server.messages.clear();
                self.send(id, ConnectionSide::Caller, Message::Close, timeline);
            }
            (ConnectionSide::Server, Message::Bytes(bytes)) if connection.server_open => {
                let is_late = !connection.caller_open;
                for frame in connection.to_server.receive(&bytes) {
                    out.push(Arrival::Request { life: server, connection: id, frame, is_late });
                }
            }
            (ConnectionSide::Server, Message::Close) if connection.server_open => {
                if 0 < connection.to_server.received.buffered() {
                    timeline.coverage.count("network: request cut in the middle");
                }
                connection.server_open = false;
                out.push(Arrival::Closed { life: server, connection: id });
            }
            (ConnectionSide::Caller, Message::Bytes(bytes)) if connection.caller_open => {
                for frame in connection.to_caller.receive(&bytes) {
                    let asked = connection.asked.pop_front().expect("one answer for one request");
                    let answer = decoded(&asked, frame);
                    let (caller, server, token) = (connection.caller, server.node, asked.token);
                    out.push(Arrival::Answer { caller, server, token, answer });
                }
            }
            (ConnectionSide::Caller, Message::Close) => {
                if connection.caller_open && 0 < connection.to_caller.received.buffered() {
                    timeline.coverage.count("network: answer cut in the middle");
                }
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
                    if timeline.dice.chance(50) {
                        cut_in_the_middle(&mut connection.to_caller, timeline);
                    }
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
            self.send(id, ConnectionSide::Caller, Message::Bytes(frame), timeline);
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

/// Without acks nothing comes back.
fn has_answer(request: &Request) -> bool {
    !matches!(request, Request::Produce(produce) if produce.acks == 0)
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
