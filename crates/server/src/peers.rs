//! Connections to other brokers, for what the node asks of them.
//!
//! Each broker has two: one for fetches, which the other side may park, and one for everything else, so that a heartbeat never waits behind a
//! fetch. A connection begins with a greeting: nothing is asked before the answer shows that the broker that was meant is there, and not another one, or another
//! cluster's, that has its address now. Invariant: every [`Send`] ends in exactly one [`Event::Peer`].

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use klamm_model::BrokerId;
use klamm_node::{BROKER_LISTENER, Event, PeerFailure, View};
use klamm_wire::{
    ApiKey, FrameLimits, Greeting, GreetingPurpose, Limits, Part, Reader, Request, RequestHeader, Response,
    ResponseHeader, encode_request,
};
use mio::{Interest, Registry, Token};

use crate::{
    buffer::Pool,
    greet::Greeter,
    input::{self, Input, Quota},
    output::{self, Output, Piece, Scratch},
    socket::Socket,
};

/// Tokens of peers have this bit, those of clients' connections never get there.
const PEER_BIT: usize = 1 << 61;

/// How long a broker may take to answer. Above what it may park a fetch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after a failed connection the next one is tried; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long an address may take to answer at all, where the name has others.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// Answers of brokers are larger than requests of clients only by what frames them.
const ANSWER_SIZE_MAX: u32 = 256 << 20;

/// Brokers are read for as long as there is something.
const EVERYTHING: Quota = Quota { frame_count: usize::MAX / 2, bytes: u64::MAX / 2, may_exceed_budget: true };

/// Something to ask of a broker.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) to: BrokerId,
    pub(crate) token: u64,
    pub(crate) request: Request,
    pub(crate) version: i16,
}

/// Where brokers listen for each other, as the committed metadata have it.
pub(crate) fn address(view: &View, of: BrokerId) -> Option<(String, u16)> {
    let broker = view.image.broker(of)?;
    let listener = broker.listeners.iter().find(|listener| listener.name == BROKER_LISTENER)?;
    Some((listener.host.clone(), listener.port))
}

pub(crate) fn is_peer(token: Token) -> bool {
    token.0 & PEER_BIT != 0
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Fetches,
    Everything,
}

/// The outgoing connections of one I/O thread.
pub(crate) struct Peers {
    pool: Arc<Pool>,
    greeter: Arc<Greeter>,
    scratch: Scratch,
    peers: BTreeMap<(BrokerId, Lane), Peer>,
    tokens: BTreeMap<usize, (BrokerId, Lane)>,
    token_serial: usize,
    frames: Vec<Bytes>,
    /// Names that somebody who may block has to look up; the answer comes by [`Peers::resolved`].
    pub(crate) lookups: Vec<(BrokerId, String, u16)>,
    /// Peers that something happened to in this round.
    touched: Vec<(BrokerId, Lane)>,
}

struct Peer {
    link: Link,
    output: Output,
    asked: VecDeque<AskedPeer>,
    correlation_id: i32,
    retry_after: Duration,
    /// Host and port, as the metadata last had them.
    address: (String, u16),
    /// What else the host's name stands for, the next one last.
    others: Vec<SocketAddr>,
    /// Why it was refused last, so that the log says it once.
    refusal: Option<String>,
}

enum Link {
    /// No connection; the next attempt is not before `retry_at`.
    Down { retry_at: Instant },
    /// The name is being looked up.
    Resolving,
    Up {
        token: usize,
        socket: Socket,
        input: Box<Input>,
        /// What goes out before anything else: this node's greeting.
        greeting: Output,
        is_connected: bool,
        /// It answered the greeting.
        is_greeted: bool,
        /// When the next of the addresses is tried, if this one has not answered.
        connect_by: Instant,
        may_read: bool,
        may_write: bool,
    },
}

struct AskedPeer {
    token: u64,
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    deadline: Instant,
}

impl Peers {
    pub(crate) fn new(pool: Arc<Pool>, greeter: Arc<Greeter>) -> Self {
        Self {
            pool,
            greeter,
            scratch: Scratch::default(),
            peers: BTreeMap::new(),
            tokens: BTreeMap::new(),
            token_serial: 0,
            frames: Vec::new(),
            lookups: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Takes something to ask. It goes out with the next [`Peers::flush`], or when there is a connection.
    pub(crate) fn send(
        &mut self,
        send: Send,
        address: Option<(String, u16)>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let Send { to, token, request, version } = send;
        let fail = |failure| Event::Peer { from: to, token, answer: Err(failure) };
        let Some(address) = address else { return events.push(fail(PeerFailure::Disconnected)) };
        let key = request.api_key();
        let lane = if key == ApiKey::Fetch { Lane::Fetches } else { Lane::Everything };
        let peer = self.peers.entry((to, lane)).or_insert_with(|| Peer {
            link: Link::Down { retry_at: now },
            output: Output::default(),
            asked: VecDeque::new(),
            correlation_id: 0,
            retry_after: RETRY_FIRST,
            address: address.clone(),
            others: Vec::new(),
            refusal: None,
        });
        if peer.address != address {
            // The broker moved. What was asked at the old place is not answered there.
            self.fail((to, lane), PeerFailure::Disconnected, now, events);
        }
        let Some(peer) = self.peers.get_mut(&(to, lane)) else { return };
        peer.address = address;
        peer.correlation_id = peer.correlation_id.wrapping_add(1);
        let correlation_id = peer.correlation_id;
        let header = RequestHeader {
            api_key: key,
            api_version: version,
            correlation_id,
            client_id: Some("klamm".to_owned()),
        };
        let encoded = match encode_request(&header, &request) {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(broker = %to, %key, version, %error, "a request to a broker cannot be encoded");
                return events.push(fail(PeerFailure::Garbled));
            }
        };
        for part in encoded.parts {
            match part {
                Part::Bytes(bytes) => peer.output.push(Piece::Bytes(bytes)),
                Part::Hole { .. } => unreachable!("requests have no holes"),
            }
        }
        peer.asked.push_back(AskedPeer {
            token,
            correlation_id,
            key,
            version,
            deadline: now + ANSWER_TIMEOUT,
        });
        self.touched.push((to, lane));
    }

    /// The poll has news of a peer's socket.
    pub(crate) fn happened(&mut self, token: Token, event: &mio::event::Event) {
        let Some(at) = self.tokens.get(&token.0) else { return };
        let Some(Peer { link: Link::Up { input, may_read, may_write, .. }, .. }) = self.peers.get_mut(at)
        else {
            return;
        };
        *may_read |= event.is_readable() || event.is_read_closed() || event.is_error();
        *may_write |= event.is_writable() || event.is_write_closed() || event.is_error();
        if event.is_read_closed() {
            input.expect_end();
        }
        self.touched.push(*at);
    }

    /// A name was looked up.
    pub(crate) fn resolved(
        &mut self,
        to: BrokerId,
        addresses: &[SocketAddr],
        registry: &Registry,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        for lane in [Lane::Fetches, Lane::Everything] {
            if let Some(peer @ Peer { link: Link::Resolving, .. }) = self.peers.get_mut(&(to, lane)) {
                peer.others = addresses.iter().rev().copied().collect();
                self.connect_next((to, lane), registry, now, events);
            }
        }
    }

    /// Reads and writes whatever can be.
    pub(crate) fn flush(&mut self, registry: &Registry, now: Instant, events: &mut Vec<Event>) {
        while let Some(at) = self.touched.pop() {
            self.get_on(at, registry, now, events);
        }
    }

    /// When [`Peers::check_deadlines`] wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.peers
            .values()
            .filter_map(|peer| {
                let answer = peer.asked.front()?.deadline;
                Some(match peer.link {
                    Link::Down { retry_at } => answer.min(retry_at),
                    Link::Up { is_connected: false, connect_by, .. } if !peer.others.is_empty() => {
                        answer.min(connect_by)
                    }
                    Link::Resolving | Link::Up { .. } => answer,
                })
            })
            .min()
    }

    /// Gives up what takes too long, and tries again what may be tried again.
    pub(crate) fn check_deadlines(&mut self, registry: &Registry, now: Instant, events: &mut Vec<Event>) {
        let all: Vec<_> = self.peers.keys().copied().collect();
        for at in all {
            let Some(peer) = self.peers.get(&at) else { continue };
            let Some(first) = peer.asked.front() else { continue };
            if first.deadline <= now {
                // Answers come in order: behind one that is missing, none will come.
                self.fail(at, PeerFailure::TimedOut, now, events);
                continue;
            }
            match peer.link {
                Link::Down { retry_at } if retry_at <= now => self.get_on(at, registry, now, events),
                Link::Up { is_connected: false, connect_by, .. }
                    if connect_by <= now && !peer.others.is_empty() =>
                {
                    self.connect_next(at, registry, now, events);
                }
                _ => {}
            }
        }
    }

    fn get_on(&mut self, at: (BrokerId, Lane), registry: &Registry, now: Instant, events: &mut Vec<Event>) {
        let Some(peer) = self.peers.get_mut(&at) else { return };
        match &mut peer.link {
            Link::Resolving => {}
            Link::Down { retry_at } if now < *retry_at || peer.asked.is_empty() => {}
            Link::Down { .. } => {
                let (host, port) = peer.address.clone();
                if let Ok(ip) = host.parse::<IpAddr>() {
                    peer.others = vec![SocketAddr::new(ip, port)];
                    return self.connect_next(at, registry, now, events);
                }
                peer.link = Link::Resolving;
                self.lookups.push((at.0, host, port));
            }
            Link::Up { socket, may_write, is_connected, .. } => {
                if !*is_connected && *may_write {
                    match (socket.tcp().take_error(), socket.tcp().peer_addr()) {
                        (Ok(None), Ok(_)) => *is_connected = true,
                        (Ok(None), Err(_)) => *may_write = false,
                        (Ok(Some(error)) | Err(error), _) => {
                            tracing::debug!(broker = %at.0, %error, "could not connect");
                            return self.connect_next(at, registry, now, events);
                        }
                    }
                }
                if let Err(failure) = self.exchange(at, events) {
                    self.fail(at, failure, now, events);
                }
            }
        }
    }

    /// Tries the next of a peer's addresses, until one can be tried.
    fn connect_next(
        &mut self,
        at: (BrokerId, Lane),
        registry: &Registry,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let Some(peer) = self.peers.get_mut(&at) else { return };
        if let Link::Up { token, .. } = &peer.link {
            self.tokens.remove(token);
        }
        while let Some(address) = peer.others.pop() {
            let token = self.token_serial | PEER_BIT;
            self.token_serial += 1;
            match connect(address, Token(token), registry, &self.greeter, now) {
                Ok(link) => {
                    peer.link = link;
                    self.tokens.insert(token, at);
                    return;
                }
                Err(error) => tracing::debug!(broker = %at.0, %address, %error, "could not connect"),
            }
        }
        self.fail(at, PeerFailure::Disconnected, now, events);
    }

    fn exchange(&mut self, at: (BrokerId, Lane), events: &mut Vec<Event>) -> Result<(), PeerFailure> {
        self.greet(at)?;
        let Some(Peer { link, output, asked, retry_after, .. }) = self.peers.get_mut(&at) else {
            return Ok(());
        };
        let Link::Up { socket, input, is_greeted: true, may_read, may_write, .. } = link else {
            return Ok(());
        };
        while *may_write && !output.is_empty() {
            match output.write(socket, &mut self.scratch, u64::MAX / 2) {
                Ok(output::Stop::Blocked) => *may_write = false,
                Ok(_) => {}
                Err(_) => return Err(PeerFailure::Disconnected),
            }
        }
        while *may_read {
            let stop = input.receive(socket, &self.pool, EVERYTHING, &mut self.frames);
            for frame in self.frames.drain(..) {
                let asked = asked.pop_front().ok_or(PeerFailure::Garbled)?;
                let answer = read_answer(frame, &asked);
                let is_garbled = answer.is_err();
                events.push(Event::Peer { from: at.0, token: asked.token, answer });
                if is_garbled {
                    return Err(PeerFailure::Garbled);
                }
                *retry_after = RETRY_FIRST;
            }
            match stop {
                Ok(input::Stop::Drained) => *may_read = false,
                Ok(input::Stop::Closed) | Err(_) => return Err(PeerFailure::Disconnected),
                Ok(input::Stop::Turn | input::Stop::Enough | input::Stop::NoBudget) => {}
            }
        }
        Ok(())
    }

    /// Says who this is, and looks who answers.
    fn greet(&mut self, at: (BrokerId, Lane)) -> Result<(), PeerFailure> {
        let Some(Peer { link, refusal, .. }) = self.peers.get_mut(&at) else { return Ok(()) };
        let Link::Up { socket, input, greeting, is_connected: true, is_greeted, may_read, may_write, .. } =
            link
        else {
            return Ok(());
        };
        while *may_write && !greeting.is_empty() {
            match greeting.write(socket, &mut self.scratch, u64::MAX / 2) {
                Ok(output::Stop::Blocked) => *may_write = false,
                Ok(_) => {}
                Err(_) => return Err(PeerFailure::Disconnected),
            }
        }
        while *may_read && !*is_greeted {
            let quota = Quota { frame_count: 1, ..EVERYTHING };
            let stop = input.receive(socket, &self.pool, quota, &mut self.frames);
            if let Some(frame) = self.frames.pop() {
                let checked = Greeting::decode(frame)
                    .map_err(|error| format!("what answers there is no node: {error}"))
                    .and_then(|answer| self.greeter.check_answer(at.0, &answer));
                if let Err(why) = checked {
                    if refusal.as_ref() != Some(&why) {
                        tracing::warn!(broker = %at.0, why, "a broker is not reached; it is tried again");
                    }
                    *refusal = Some(why);
                    return Err(PeerFailure::Disconnected);
                }
                (*is_greeted, *refusal) = (true, None);
            }
            match stop {
                Ok(input::Stop::Drained) => *may_read = false,
                Ok(input::Stop::Closed) | Err(_) => return Err(PeerFailure::Disconnected),
                Ok(input::Stop::Turn | input::Stop::Enough | input::Stop::NoBudget) => {}
            }
        }
        Ok(())
    }

    /// The connection is given up: nothing that was asked will be answered.
    fn fail(&mut self, at: (BrokerId, Lane), failure: PeerFailure, now: Instant, events: &mut Vec<Event>) {
        self.frames.clear();
        let Some(peer) = self.peers.get_mut(&at) else { return };
        if let Link::Up { token, .. } = &peer.link {
            self.tokens.remove(token);
        }
        peer.others.clear();
        peer.link = Link::Down { retry_at: now + peer.retry_after };
        peer.retry_after = (peer.retry_after * 2).min(RETRY_MAX);
        peer.output = Output::default();
        events.extend(peer.asked.drain(..).map(|asked| Event::Peer {
            from: at.0,
            token: asked.token,
            answer: Err(failure),
        }));
    }
}

/// Begins to connect to one address.
fn connect(
    address: SocketAddr,
    token: Token,
    registry: &Registry,
    greeter: &Greeter,
    now: Instant,
) -> io::Result<Link> {
    let mut socket = Socket::connect(address)?;
    socket.tcp().set_nodelay(true)?;
    registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
    let mut greeting = Output::default();
    greeting
        .push(Piece::Bytes(greeter.greeting(GreetingPurpose::Requests).encode().map_err(io::Error::other)?));
    Ok(Link::Up {
        token: token.0,
        socket,
        input: Box::new(Input::new(FrameLimits::responses(ANSWER_SIZE_MAX))),
        greeting,
        is_connected: false,
        is_greeted: false,
        connect_by: now + CONNECT_PATIENCE,
        may_read: false,
        may_write: false,
    })
}

fn read_answer(frame: Bytes, asked: &AskedPeer) -> Result<Response, PeerFailure> {
    let limits = Limits::for_response(frame.len());
    let mut reader = Reader::with_limits(frame, limits);
    let decoded = ResponseHeader::decode(&mut reader, asked.key, asked.version).and_then(|header| {
        let response = Response::decode(asked.key, asked.version, &mut reader)?;
        Ok((header.correlation_id, response))
    });
    match decoded {
        Ok((correlation_id, response)) if correlation_id == asked.correlation_id => Ok(response),
        Ok((correlation_id, _)) => {
            tracing::error!(key = %asked.key, correlation_id, expected = asked.correlation_id, "a broker answered something else");
            Err(PeerFailure::Garbled)
        }
        Err(error) => {
            tracing::error!(key = %asked.key, %error, "a broker's answer cannot be read");
            Err(PeerFailure::Garbled)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use klamm_wire::{ApiVersionsRequest, ApiVersionsResponse, encode_response};
    use mio::{Events, Poll};

    use super::*;
    use crate::{
        buffer::Budget,
        greet::tests::{greeter, greeting},
    };

    const BROKER: BrokerId = BrokerId(7);

    struct World {
        poll: Poll,
        peers: Peers,
        events: Vec<Event>,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let peers = Peers::new(Pool::new(Budget::new(1 << 20), 8 << 20), greeter(Some("A")));
            Self { poll: Poll::new().expect("a poll"), peers, events: Vec::new(), now: Instant::now() }
        }

        fn ask(&mut self, token: u64, host: &str, port: u16) {
            let request = Request::ApiVersions(ApiVersionsRequest::default());
            let send = Send { to: BROKER, token, request, version: 0 };
            self.peers.send(send, Some((host.to_owned(), port)), self.now, &mut self.events);
            self.peers.flush(self.poll.registry(), self.now, &mut self.events);
        }

        /// Lets the network do its part until so many events are there.
        fn run_until(&mut self, count: usize) -> Vec<(u64, Result<(), PeerFailure>)> {
            let mut events = Events::with_capacity(16);
            for _ in 0..500 {
                if self.events.len() >= count {
                    break;
                }
                self.poll.poll(&mut events, Some(Duration::from_millis(10))).expect("to poll");
                for event in &events {
                    self.peers.happened(event.token(), event);
                }
                self.peers.flush(self.poll.registry(), self.now, &mut self.events);
            }
            let told = self.events.drain(..).map(|event| match event {
                Event::Peer { from: BROKER, token, answer } => (token, answer.map(drop)),
                other => panic!("not of a peer: {other:?}"),
            });
            told.collect()
        }

        /// The clock goes on.
        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.peers.check_deadlines(self.poll.registry(), self.now, &mut self.events);
        }
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    fn read_frame(socket: &mut TcpStream) -> Bytes {
        let mut length = [0; 4];
        socket.read_exact(&mut length).expect("a frame");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        socket.read_exact(&mut frame).expect("a frame");
        frame.into()
    }

    /// Takes a connection, and answers its greeting as a node of that cluster.
    fn accept(listener: &TcpListener, cluster_id: &str) -> TcpStream {
        let (mut socket, _) = listener.accept().expect("a connection");
        let theirs = Greeting::decode(read_frame(&mut socket)).expect("a greeting");
        assert_eq!(theirs.cluster_id.as_deref(), Some("A"));
        let answer = greeting(theirs.purpose, BROKER.0, Some(cluster_id));
        socket.write_all(&answer.encode().expect("short fields")).expect("to be sent");
        socket
    }

    /// Reads one request and returns its correlation id.
    fn read_request(socket: &mut TcpStream) -> i32 {
        let mut reader = Reader::new(read_frame(socket));
        RequestHeader::decode(&mut reader).expect("a header").correlation_id
    }

    fn answer(socket: &mut TcpStream, correlation_id: i32) {
        let response = Response::ApiVersions(ApiVersionsResponse::default());
        let encoded = encode_response(correlation_id, 0, &response).expect("a response");
        socket.write_all(&encoded.to_bytes().expect("no holes")).expect("to be sent");
    }

    /// A node of cluster `A` that answers one request by the next connection.
    fn serve_one(listener: &TcpListener) -> TcpStream {
        let mut socket = accept(listener, "A");
        let correlation_id = read_request(&mut socket);
        answer(&mut socket, correlation_id);
        socket
    }

    #[test]
    fn answers_find_their_questions() {
        let (listener, port) = listener();
        let mut world = World::new();
        world.ask(10, "127.0.0.1", port);
        world.ask(11, "127.0.0.1", port);
        let broker = std::thread::spawn(move || {
            let mut socket = accept(&listener, "A");
            for _ in 0..2 {
                let correlation_id = read_request(&mut socket);
                answer(&mut socket, correlation_id);
            }
            socket
        });
        assert_eq!(world.run_until(2), [(10, Ok(())), (11, Ok(()))]);
        drop(broker.join().expect("no panic"));
        // It went away while nothing was asked; what is asked next finds out.
        world.ask(12, "127.0.0.1", port);
        assert_eq!(world.run_until(1), [(12, Err(PeerFailure::Disconnected))]);
    }

    #[test]
    fn a_broken_connection_fails_what_was_asked_and_is_made_again_after_a_pause() {
        let (listener, port) = listener();
        let mut world = World::new();
        world.ask(1, "127.0.0.1", port);
        let broker = std::thread::spawn(move || {
            let mut socket = accept(&listener, "A");
            read_request(&mut socket);
            drop(socket);
            let socket = serve_one(&listener);
            (listener, socket)
        });
        assert_eq!(world.run_until(1), [(1, Err(PeerFailure::Disconnected))]);
        world.ask(2, "127.0.0.1", port);
        assert_eq!(world.peers.next_deadline(), Some(world.now + RETRY_FIRST));
        world.pass(RETRY_FIRST);
        assert_eq!(world.run_until(1), [(2, Ok(()))]);
        drop(broker.join().expect("no panic"));
    }

    #[test]
    fn a_silent_broker_is_given_up() {
        let (listener, port) = listener();
        let mut world = World::new();
        world.ask(1, "127.0.0.1", port);
        world.ask(2, "127.0.0.1", port);
        world.pass(ANSWER_TIMEOUT - Duration::from_millis(1));
        assert_eq!(world.events.len(), 0);
        world.pass(Duration::from_millis(1));
        assert_eq!(world.run_until(2), [(1, Err(PeerFailure::TimedOut)), (2, Err(PeerFailure::TimedOut))]);
        drop(listener);
    }

    #[test]
    fn an_answer_to_another_question_ends_the_connection() {
        let (listener, port) = listener();
        let mut world = World::new();
        world.ask(1, "127.0.0.1", port);
        world.ask(2, "127.0.0.1", port);
        let broker = std::thread::spawn(move || {
            let mut socket = accept(&listener, "A");
            let correlation_id = read_request(&mut socket);
            answer(&mut socket, correlation_id + 1);
            socket
        });
        assert_eq!(world.run_until(2), [(1, Err(PeerFailure::Garbled)), (2, Err(PeerFailure::Garbled))]);
        drop(broker.join().expect("no panic"));
    }

    #[test]
    fn nothing_is_asked_of_another_clusters_broker_at_an_old_address() {
        let (listener, port) = listener();
        let mut world = World::new();
        world.ask(1, "127.0.0.1", port);
        let broker = std::thread::spawn(move || {
            let mut socket = accept(&listener, "B");
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).expect("closed");
            assert_eq!(rest, []);
            serve_one(&listener)
        });
        assert_eq!(world.run_until(1), [(1, Err(PeerFailure::Disconnected))]);
        let peer = world.peers.peers.get(&(BROKER, Lane::Everything)).expect("it is known");
        assert_eq!(peer.refusal.as_deref(), Some("a node of cluster B answers there"));
        // It is its own again.
        world.ask(2, "127.0.0.1", port);
        world.pass(RETRY_FIRST);
        assert_eq!(world.run_until(1), [(2, Ok(()))]);
        drop(broker.join().expect("no panic"));
    }

    #[test]
    fn all_addresses_of_a_name_are_tried() {
        let (listener, port) = listener();
        let refusing = {
            let (closed, port) = self::listener();
            drop(closed);
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        let mut world = World::new();
        world.ask(1, "broker.example", port);
        world.peers.lookups.clear();
        let addresses = [refusing, SocketAddr::from(([127, 0, 0, 1], port))];
        world.peers.resolved(BROKER, &addresses, world.poll.registry(), world.now, &mut world.events);
        let broker = std::thread::spawn(move || serve_one(&listener));
        assert_eq!(world.run_until(1), [(1, Ok(()))]);
        drop(broker.join().expect("no panic"));
    }

    #[test]
    fn an_address_that_does_not_answer_at_all_is_left_for_the_next() {
        let (listener, port) = listener();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut world = World::new();
        world.ask(1, "broker.example", port);
        world.peers.lookups.clear();
        world.peers.resolved(
            BROKER,
            &[address, address],
            world.poll.registry(),
            world.now,
            &mut world.events,
        );
        // As if the network had swallowed it: the poll never tells of the first.
        assert_eq!(world.peers.next_deadline(), Some(world.now + CONNECT_PATIENCE));
        world.pass(CONNECT_PATIENCE);
        let broker = std::thread::spawn(move || {
            drop(listener.accept().expect("the first"));
            serve_one(&listener)
        });
        assert_eq!(world.run_until(1), [(1, Ok(()))]);
        drop(broker.join().expect("no panic"));
    }

    #[test]
    fn an_unknown_broker_and_an_unknown_name_fail() {
        let mut world = World::new();
        let request = Request::ApiVersions(ApiVersionsRequest::default());
        let send = Send { to: BROKER, token: 1, request, version: 0 };
        world.peers.send(send, None, world.now, &mut world.events);
        assert_eq!(world.run_until(1), [(1, Err(PeerFailure::Disconnected))]);
        world.ask(2, "nobody.invalid", 9);
        let lookups: Vec<_> = world.peers.lookups.drain(..).collect();
        assert_eq!(lookups, [(BROKER, "nobody.invalid".to_owned(), 9)]);
        world.peers.resolved(BROKER, &[], world.poll.registry(), world.now, &mut world.events);
        assert_eq!(world.run_until(1), [(2, Err(PeerFailure::Disconnected))]);
    }
}
