//! An I/O thread: an event loop that owns connections.
//!
//! In each round it reads and decodes what its connections have, takes the node's lock once for all of it, carries out the effects, and writes
//! once to each connection that has something to send. Nothing is handed to another thread but answers to connections that others own, and disk
//! work that blocks.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use klamm_node::{ConnectionId, Event, Found, Incoming, LineLimit, Listener, Origin, Reply, ReplyTo};
use klamm_wire::{ApiKey, Greeting, GreetingPurpose};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use rustc_hash::FxHashMap;

use crate::{
    buffer::Pool,
    connection::{Connection, Overdue, Standing},
    disk::Job,
    engines::{QuorumLink, raft::Member},
    inbox::Mail,
    input::{self, InputError},
    metrics,
    output::{self, Scratch},
    peers::{self, Peers, Send},
    places::{NoPlace, Place},
    request::{self, Taken},
    shared::{Performer, Shared, connection_id},
    socket::Socket,
    turns::{TURN_TIME, Turn, Turns},
};

/// Tokens of listeners count down from here; those of connections are their numbers, far below.
const LISTENER_TOKEN: usize = usize::MAX - 1;

/// The token of the waker.
pub(crate) const WAKER_TOKEN: Token = Token(usize::MAX);

/// Poll events taken at once.
const EVENTS_MAX: usize = 256;

/// Free memory that all threads keep while there is traffic, and what a thread may keep at least: two large requests.
const POOLED_BYTES_MAX: usize = 32 << 20;
const POOLED_BYTES_MIN: usize = 4 << 20;

/// Answers from the published view that one connection gets before they are sent: each may be as large as the cluster, for a request of a few bytes.
const ANSWERS_TURN_MAX: usize = 8;

/// How long a large buffer waits for more of its frame. Giving it up and taking it again costs copying what is in it.
const SHRINK_AFTER: Duration = Duration::from_millis(100);

/// How long free memory is kept when nothing happens any more.
const TRIM_AFTER: Duration = Duration::from_secs(2);

/// How long a thread that paused reading for want of budget waits before it tries again.
const BUDGET_RETRY: Duration = Duration::from_millis(5);

/// How long accepting pauses when the process has no more file descriptors (F31).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a stopping server waits for answers it owes.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A socket that is bound to an address, and the door it is.
pub(crate) struct Door {
    pub(crate) socket: TcpListener,
    pub(crate) listener: Listener,
    pub(crate) is_open: bool,
}

/// See the module.
pub(crate) struct IoThread {
    index: usize,
    shared: Arc<Shared>,
    poll: Poll,
    performer: Performer,
    pool: Arc<Pool>,
    scratch: Scratch,
    connections: FxHashMap<ConnectionId, Connection>,
    peers: Peers,
    /// Only the first thread has any; it deals connections out.
    doors: Vec<Door>,
    /// Connections that want a turn.
    turns: Turns,
    /// When the last turn, or the last request of this one, was over.
    took_at: Instant,
    /// Connections that have answers to send in this round.
    to_send: Vec<ConnectionId>,
    /// Connections with large frames that wait for budget.
    without_budget: Vec<ConnectionId>,
    /// The one that goes on all the same, and until when: if all the budget were held by unfinished frames, none would ever be finished. It stays the same
    /// until it has finished or is closed, or each would get a little further and all together would hold far more than the budget.
    favoured: Option<(ConnectionId, Instant)>,
    /// Connections that waited for more of a large frame when they were last read, and when they are looked at.
    with_excess: Vec<ConnectionId>,
    shrink_at: Option<Instant>,
    frames: Vec<Bytes>,
    connection_serial: u64,
    next_thread: usize,
    /// When deadlines of connections are looked at next.
    sweep_at: Option<Instant>,
    accept_again_at: Option<Instant>,
    last_busy: Instant,
    is_trimmed: bool,
    is_stopping: bool,
    /// When whoever is still owed an answer is left without.
    stop_at: Option<Instant>,
    now: Instant,
    lines: LineLimit,
}

impl IoThread {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, poll: Poll, doors: Vec<Door>) -> Self {
        let now = Instant::now();
        let pool = Pool::new(
            Arc::clone(&shared.budget),
            (POOLED_BYTES_MAX / shared.inboxes.len()).max(POOLED_BYTES_MIN),
        );
        Self {
            index,
            poll,
            performer: Performer::new(Arc::clone(&shared), Some(index)),
            peers: Peers::new(Arc::clone(&pool), Arc::clone(&shared.greeter)),
            pool,
            scratch: Scratch::default(),
            connections: FxHashMap::default(),
            doors,
            turns: Turns::default(),
            took_at: now,
            to_send: Vec::new(),
            without_budget: Vec::new(),
            favoured: None,
            with_excess: Vec::new(),
            shrink_at: None,
            frames: Vec::new(),
            connection_serial: 0,
            next_thread: 0,
            sweep_at: None,
            accept_again_at: None,
            last_busy: now,
            is_trimmed: true,
            is_stopping: false,
            stop_at: None,
            now,
            lines: LineLimit::default(),
            shared,
        }
    }

    /// Runs until the server stops.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut mail = Vec::new();
        // Other nodes are served before clients are: without them this one may never be ready.
        self.open_doors(Listener::Broker);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() == ErrorKind::Interrupted {
                    continue;
                }
                panic!("an I/O thread cannot poll: {error}");
            }
            self.now = Instant::now();
            self.shared.inboxes[self.index].collect(&mut mail);
            if !events.is_empty() || !mail.is_empty() {
                self.last_busy = self.now;
                self.is_trimmed = false;
            }
            for event in &events {
                self.happened(event);
            }
            for letter in mail.drain(..) {
                self.open_letter(letter);
            }
            self.retry_without_budget();
            self.take_turns();
            self.settle();
            self.look_at_deadlines();
            if self.is_stopping && self.connections.is_empty() {
                break;
            }
        }
    }

    /// How long the poll may sleep.
    fn timeout(&mut self) -> Option<Duration> {
        if !self.turns.is_empty() || !self.shared.inboxes[self.index].fall_asleep() {
            return Some(Duration::ZERO);
        }
        let wake = self.performer.wake.map(|wake| self.shared.clock.instant(wake));
        let trim = (!self.is_trimmed).then(|| self.last_busy + TRIM_AFTER);
        let budget = (!self.without_budget.is_empty()).then(|| self.now + BUDGET_RETRY);
        let earliest = [
            wake,
            trim,
            budget,
            self.sweep_at,
            self.shrink_at,
            self.accept_again_at,
            self.stop_at,
            self.peers.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(earliest.saturating_duration_since(Instant::now()))
    }

    fn happened(&mut self, event: &mio::event::Event) {
        match event.token() {
            WAKER_TOKEN => {}
            Token(number) if number > LISTENER_TOKEN - self.doors.len() => {
                self.accept(LISTENER_TOKEN - number)
            }
            token if peers::is_peer(token) => {
                self.peers.happened(token, event);
            }
            Token(number) => {
                let id = ConnectionId(number as u64);
                let Some(connection) = self.connections.get_mut(&id) else { return };
                connection.may_read |= event.is_readable() || event.is_read_closed() || event.is_error();
                connection.may_write |= event.is_writable() || event.is_write_closed() || event.is_error();
                if event.is_read_closed() {
                    connection.expect_end();
                }
                self.queue(id);
            }
        }
    }

    fn queue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.turns.want(id, connection.is_costly);
        }
    }

    fn take_turns(&mut self) {
        self.turns.begin_round();
        self.took_at = Instant::now();
        while let Some(id) = self.turns.next() {
            let began = self.took_at;
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.is_queued = false;
            let before = connection.received();
            if connection.may_read || connection.holds_frames() {
                self.receive(id);
            }
            self.to_send.push(id);
            if let Some(connection) = self.connections.get(&id) {
                let bytes = connection.received() - before;
                let (time, is_costly) = (self.took_at - began, connection.is_costly);
                self.turns.took(Turn { bytes, time, is_costly });
            }
        }
    }

    /// Reads from a connection and takes the requests there are.
    fn receive(&mut self, id: ConnectionId) {
        let is_favoured = self.favoured.is_some_and(|(favoured, _)| favoured == id);
        let may_exceed_budget = is_favoured && self.pool.budget().is_stuck();
        let limits = &self.shared.config.connection;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.is_open() {
            return self.discard(id);
        }
        // It is queued again when an answer has left.
        if !connection.takes_requests(limits) {
            return;
        }
        if connection.holds_frames() {
            connection.release(&mut self.frames);
            return self.take_requests(id);
        }
        let stop = match connection.receive(&self.pool, limits, may_exceed_budget, &mut self.frames) {
            Ok(stop) => stop,
            Err(error) => {
                // What came before the error goes with the connection: the next one's requests would be taken for it, and it for theirs.
                self.frames.clear();
                return self.refuse_input(id, &error);
            }
        };
        if is_favoured && (!self.frames.is_empty() || !connection.is_in_large_frame()) {
            self.favoured = None;
        }
        self.take_requests(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match stop {
            // Dismissed just now: what is behind, or the end, is read for nobody.
            _ if !connection.is_open() => self.queue(id),
            input::Stop::Drained => {
                connection.may_read = false;
                if connection.has_excess() {
                    self.with_excess.push(id);
                    self.shrink_at.get_or_insert(self.now + SHRINK_AFTER);
                }
            }
            input::Stop::Turn => self.queue(id),
            input::Stop::Enough => {}
            input::Stop::NoBudget => self.without_budget.push(id),
            input::Stop::Closed => {
                connection.may_read = false;
                connection.is_half_closed = true;
            }
        }
    }

    /// Of a connection that is dismissed only the end is of interest.
    fn discard(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.discard(&self.pool) {
            Ok(input::Stop::Turn) => self.queue(id),
            Ok(stop) => {
                connection.may_read = false;
                connection.is_half_closed |= stop == input::Stop::Closed;
            }
            Err(error) => {
                tracing::debug!(connection = id.0, %error, "connection broke");
                self.close(id);
            }
        }
    }

    fn take_requests(&mut self, id: ConnectionId) {
        if self.frames.is_empty() {
            return;
        }
        if !self.take_greeting(id) {
            return self.frames.clear();
        }
        let view = self.shared.monitor.view().load();
        let view = view.as_ref().expect("there is a view before there are connections");
        let mut frames = std::mem::take(&mut self.frames);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut refused = None;
        let wall = self.shared.clock.now_at(self.now).wall;
        let mut answers = 0;
        let began = self.took_at;
        let mut waiting = frames.drain(..);
        while let Some(frame) = waiting.next() {
            let size = frame.len();
            let (asked, taken) = match request::take(frame, view, &connection.origin, wall) {
                Ok(taken) => taken,
                Err(error) => {
                    metrics::count(&self.shared.metrics.malformed);
                    refused = Some(error);
                    break;
                }
            };
            self.shared.metrics.requested(asked.key, size);
            let sequence = connection.ask(asked);
            let to = ReplyTo { connection: id, sequence };
            match taken {
                Taken::Ask { client_id, body } => {
                    let origin = Arc::clone(&connection.origin);
                    let incoming = Incoming { to, origin, version: asked.version, client_id, body };
                    if incoming.body.is_ready() {
                        self.performer.events.push(Event::Request(incoming));
                    } else {
                        connection.is_unpacking = true;
                        connection.hold(waiting.by_ref());
                        self.shared.disk.submit(&self.shared, Job::Unpack(Box::new(incoming)));
                    }
                }
                Taken::Answer(response) => {
                    self.performer.own_mail().push(Mail::Reply { to, reply: Reply::Ready(response) });
                    answers += 1;
                    if answers == ANSWERS_TURN_MAX || self.shared.unsent.is_exhausted() {
                        connection.hold(waiting.by_ref());
                    }
                }
            }
            self.took_at = Instant::now();
            connection.is_costly = asked.is_costly(size) || self.took_at - began > TURN_TIME;
            // What a fetch is about may be in its session.
            if connection.is_costly || asked.key == ApiKey::Fetch {
                connection.hold(waiting.by_ref());
            }
        }
        drop(waiting);
        self.frames = frames;
        if let Some(error) = refused {
            self.frames.clear();
            self.close_with_line(id, &error.to_string());
        }
    }

    /// The first frame of a node's connection is its greeting. Tells whether what comes behind it are requests.
    fn take_greeting(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        if connection.standing == Standing::Welcome {
            return true;
        }
        let first = self.frames.remove(0);
        let greeting = match Greeting::decode(first.clone()) {
            Ok(greeting) => greeting,
            Err(error) => {
                metrics::count(&self.shared.metrics.malformed);
                // A client's first question can be answered; whoever is at the other end of it is to know what is wrong.
                let told = request::misplaced(first);
                if let Some(told) = &told {
                    connection.greet(told.clone());
                    connection.dismiss();
                }
                self.write_line(id, &format!("only nodes of the cluster may connect here: {error}"));
                if told.is_none() {
                    self.close(id);
                }
                return false;
            }
        };
        let answer = self.answer_to(&greeting);
        if let Some(why) = &answer.refused
            && let Some(suppressed) = self.may_write_line()
        {
            tracing::warn!(node = %greeting.node, why, suppressed, "another node was refused");
        }
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let bytes = match answer.encode() {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "a greeting cannot be encoded");
                return false;
            }
        };
        match greeting.purpose {
            GreetingPurpose::Quorum if answer.refused.is_none() => self.hand_over(id, &greeting, &bytes),
            GreetingPurpose::Requests if answer.refused.is_none() => {
                connection.welcome(self.shared.config.request_bytes_max);
                connection.greet(bytes);
                return true;
            }
            _ => {
                connection.greet(bytes);
                connection.dismiss();
            }
        }
        false
    }

    fn answer_to(&self, greeting: &Greeting) -> Greeting {
        let Greeting { node, directory, .. } = *greeting;
        let Shared { engine, greeter, monitor, .. } = &*self.shared;
        let view = monitor.view().load();
        let registered = || Some(view.as_ref()?.image.broker(node)?.directory);
        let mut answer = greeter.answer(greeting, engine.disk_of(node).or_else(registered));
        if greeting.purpose == GreetingPurpose::Quorum && answer.refused.is_none() {
            answer.refused = engine.refuses(node, directory);
        }
        if let (Some((host, port)), None) = (&greeting.address, &answer.refused) {
            let member = Member { id: node, directory, host: host.clone(), port: *port };
            engine.let_in(member);
        }
        answer
    }

    /// The rest of a connection is the engine's.
    fn hand_over(&mut self, id: ConnectionId, greeting: &Greeting, answer: &[u8]) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        let mut read = Vec::new();
        for frame in self.frames.drain(..) {
            read.extend(u32::try_from(frame.len()).expect("it was announced so").to_be_bytes());
            read.extend(&frame);
        }
        let handed_over = self.poll.registry().deregister(&mut connection.socket).and_then(|()| {
            // It is the first that is sent: there is room for it.
            connection.socket.send_all(answer)?;
            connection.hand_over()
        });
        match handed_over {
            Ok((socket, held)) => {
                read.extend(held);
                let Greeting { node: from, directory, .. } = *greeting;
                self.shared.engine.take_link(QuorumLink { socket, from, directory, read });
            }
            Err(error) => tracing::debug!(node = %greeting.node, %error, "a connection broke"),
        }
    }

    /// Lets the node decide on what came in, and sends what is to be sent, until nothing more comes of it.
    fn settle(&mut self) {
        loop {
            if !self.performer.events.is_empty() || self.performer.is_due(self.now) {
                self.performer.run();
            }
            if !self.performer.own_mail().is_empty() {
                let mut mail = std::mem::take(self.performer.own_mail());
                for letter in mail.drain(..) {
                    self.open_letter(letter);
                }
                // Keeps its memory, unless something was put there meanwhile.
                if self.performer.own_mail().is_empty() {
                    *self.performer.own_mail() = mail;
                }
            }
            let mut to_send = std::mem::take(&mut self.to_send);
            for id in to_send.drain(..) {
                self.send(id);
            }
            self.to_send = to_send;
            self.peers.flush(self.poll.registry(), self.now, &mut self.performer.events);
            for (to, host, port) in self.peers.lookups.drain(..) {
                self.shared.disk.submit(&self.shared, Job::Resolve { to, host, port, thread: self.index });
            }
            if self.performer.events.is_empty()
                && self.performer.own_mail().is_empty()
                && self.to_send.is_empty()
            {
                break;
            }
        }
    }

    fn open_letter(&mut self, letter: Mail) {
        match letter {
            Mail::Accepted { socket, listener, place } => self.adopt(socket, listener, place),
            Mail::Reply { to, reply } => match request::look_cached(&reply, &self.shared.files) {
                Some(found) => self.answer(to, Some((reply, found))),
                None => self.shared.disk.submit(&self.shared, Job::Look { to, reply }),
            },
            Mail::Found { to, reply, found } => self.answer(to, Some((reply, found))),
            Mail::NoReply { to } => self.answer(to, None),
            Mail::Unpacked { connection: id } => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.is_unpacking = false;
                    self.to_send.push(id);
                }
            }
            Mail::Close { connection, reason } => self.close_with_line(connection, reason),
            Mail::Dismiss { connection: id, reason } => {
                if let Some(connection) = self.connections.get_mut(&id).filter(|it| it.is_open()) {
                    connection.dismiss();
                    self.to_send.push(id);
                    self.write_line(id, reason);
                }
            }
            Mail::Warmed { connection: id, result } => match (self.connections.get_mut(&id), result) {
                (Some(connection), Ok(())) => {
                    connection.is_warming = false;
                    self.to_send.push(id);
                }
                (Some(_), Err(error)) => self.close_with_line(id, &error.to_string()),
                (None, _) => {}
            },
            Mail::Send { to, token, request, version } => {
                let view = self.shared.monitor.view().load();
                let registered = view.as_ref().and_then(|view| peers::address(view, to));
                let address = registered.or_else(|| self.shared.engine.address_of(to));
                self.peers.send(
                    Send { to, token, request, version },
                    address,
                    self.now,
                    &mut self.performer.events,
                );
            }
            Mail::Resolved { to, addresses } => self.peers.resolved(
                to,
                &addresses,
                self.poll.registry(),
                self.now,
                &mut self.performer.events,
            ),
            Mail::Timer { wake } => {
                self.performer.wake = Some(self.performer.wake.map_or(wake, |own| own.min(wake)))
            }
            Mail::Open => self.open_doors(Listener::Client),
            Mail::Stop => self.begin_to_stop(),
        }
    }

    fn answer(&mut self, to: ReplyTo, reply: Option<(Reply, Found)>) {
        // It may have been closed meanwhile.
        let Some(connection) = self.connections.get_mut(&to.connection) else { return };
        let Shared { files, metrics, .. } = &*self.shared;
        let events = &mut self.performer.events;
        let mut suspect = |segment| events.push(Event::Suspect(segment));
        match connection.answer(to.sequence, reply, files, metrics, &mut suspect) {
            Ok(()) => self.to_send.push(to.connection),
            Err(error) => {
                tracing::error!(connection = to.connection.0, %error, "could not answer");
                self.close(to.connection);
            }
        }
    }

    fn send(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.has_output() && connection.may_write && !connection.is_warming {
            match connection.send(&mut self.scratch) {
                Ok(output::Stop::Empty) => {}
                Ok(output::Stop::Blocked) => {
                    connection.may_write = false;
                    self.relieve_memory();
                }
                Ok(output::Stop::Turn) => {
                    return self.queue(id);
                }
                Ok(output::Stop::NotCached(piece)) => {
                    connection.is_warming = true;
                    self.shared.disk.submit(&self.shared, Job::Warm { connection: id, piece });
                    return;
                }
                Err(error) => {
                    tracing::debug!(connection = id.0, %error, "connection broke");
                    return self.close(id);
                }
            }
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.is_settled(self.is_stopping) {
            if !connection.is_open() {
                connection.end_sending(self.now);
            }
            if connection.is_half_closed || self.is_stopping {
                return self.close(id);
            }
        }
        // Reading paused for want of answers that left now. For who is dismissed it does not.
        let takes_requests = (connection.may_read || connection.holds_frames())
            && connection.takes_requests(&self.shared.config.connection)
            && !self.without_budget.contains(&id);
        if takes_requests || (connection.may_read && !connection.is_open()) {
            self.queue(id);
        }
    }

    /// Answers that nobody reads may take only so much memory: who holds most of it goes.
    fn relieve_memory(&mut self) {
        while self.shared.unsent.is_exhausted() {
            let slow = self.connections.values().filter(|it| !it.may_write && it.unsent_bytes() > 0);
            let Some(id) = slow.max_by_key(|it| it.unsent_bytes()).map(|it| it.id) else { return };
            metrics::count(&self.shared.metrics.ended_slow);
            self.close_with_line(id, "it does not read its answers, and the memory for them is used up");
        }
    }

    /// Those that wait for budget have turns as all others.
    fn retry_without_budget(&mut self) {
        if self.without_budget.is_empty() {
            return;
        }
        self.favour_one();
        for id in std::mem::take(&mut self.without_budget) {
            self.queue(id);
        }
    }

    fn favour_one(&mut self) {
        let until = self.now + self.shared.config.connection.favour;
        match &mut self.favoured {
            Some((id, over_at)) if self.connections.get(id).is_some_and(Connection::is_open) => {
                if self.now < *over_at {
                    return;
                }
                if !self.pool.budget().is_stuck() {
                    *over_at = until;
                    return;
                }
                let id = *id;
                metrics::count(&self.shared.metrics.ended_stalled);
                self.close_with_line(
                    id,
                    "its request does not come to its end, and the memory for requests is used up",
                );
                self.favoured = None;
            }
            _ => {
                // Who holds most needs least to give it back.
                let held =
                    |id: &ConnectionId| self.connections.get(id).map_or(0, Connection::unfinished_bytes);
                let held_by = self.without_budget.iter().map(|id| (held(id), *id));
                let most = held_by.filter(|(bytes, _)| *bytes > 0).max().map(|(_, id)| id);
                self.favoured = most.map(|id| (id, until));
            }
        }
    }

    fn accept(&mut self, door: usize) {
        while self.doors[door].is_open {
            let (socket, peer) = match self.doors[door].socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) =>
                {
                    continue;
                }
                Err(error) => {
                    if let Some(suppressed) = self.may_write_line() {
                        tracing::warn!(%error, suppressed, "could not accept a connection");
                    }
                    metrics::count(&self.shared.metrics.accept_failures);
                    self.accept_again_at = Some(self.now + ACCEPT_PAUSE);
                    return;
                }
            };
            let listener = self.doors[door].listener;
            match self.shared.places.take(listener, peer.ip(), self.shared.place_limits()) {
                Ok(place) => self.deal_out(socket, listener, place),
                Err(reason) => self.turn_away(peer, reason),
            }
        }
    }

    fn deal_out(&mut self, socket: TcpStream, listener: Listener, place: Place) {
        metrics::count(&self.shared.metrics.accepted);
        self.next_thread = (self.next_thread + 1) % self.shared.inboxes.len();
        if self.next_thread == self.index {
            self.adopt(socket, listener, place);
        } else {
            self.shared.inboxes[self.next_thread].deliver(&mut vec![Mail::Accepted {
                socket,
                listener,
                place,
            }]);
        }
    }

    fn turn_away(&mut self, peer: SocketAddr, reason: NoPlace) {
        let metrics = &self.shared.metrics;
        metrics::count(match reason {
            NoPlace::Total => &metrics.refused_total,
            NoPlace::PerIp => &metrics.refused_per_ip,
        });
        if let Some(suppressed) = self.may_write_line() {
            tracing::warn!(%peer, %reason, suppressed, "too many connections, one was refused");
        }
    }

    fn adopt(&mut self, mut socket: TcpStream, listener: Listener, place: Place) {
        let id = connection_id(self.connection_serial, self.index);
        self.connection_serial += 1;
        let token = Token(usize::try_from(id.0).expect("64-bit addresses"));
        let prepared = socket.set_nodelay(true).and_then(|()| {
            self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok((socket.local_addr()?, socket.peer_addr()?))
        });
        let Some((local, peer)) = prepared.ok().filter(|_| !self.is_stopping) else { return };
        // Who set what clients are told means it: behind a forwarded port, localhost:29092 is the only way in, and not the address that was connected to here.
        let advertised = self.shared.config.advertised.clone();
        let (local_host, local_port) = advertised.unwrap_or_else(|| (local.ip().to_string(), local.port()));
        let origin = Arc::new(Origin { listener, local_host, local_port, peer_host: peer.ip().to_string() });
        let request_bytes_max = self.shared.config.request_bytes_max;
        let unsent = Arc::clone(&self.shared.unsent);
        let socket = Socket::Plain(socket);
        let connection = Connection::new(id, socket, place, origin, request_bytes_max, unsent, self.now);
        self.connections.insert(id, connection);
        // What is there already is read in this round or the next; the poll tells only of what comes after.
        self.queue(id);
        let first_look = self.now + self.shared.config.connection.shortest();
        self.sweep_at = Some(self.sweep_at.map_or(first_look, |sweep_at| sweep_at.min(first_look)));
        self.is_trimmed = false;
    }

    fn refuse_input(&mut self, id: ConnectionId, error: &InputError) {
        match error {
            InputError::Socket(error) => {
                tracing::debug!(connection = id.0, %error, "connection broke");
                self.close(id);
            }
            InputError::Frame(error) => {
                metrics::count(&self.shared.metrics.malformed);
                self.close_with_line(id, &error.to_string());
            }
        }
    }

    /// Whether a line that a client caused may be written; if so, how many were kept back before it.
    fn may_write_line(&mut self) -> Option<u64> {
        self.lines.allow(self.shared.clock.now_at(self.now).tick)
    }

    /// Closes a connection for something its client did.
    fn close_with_line(&mut self, id: ConnectionId, reason: &str) {
        self.write_line(id, reason);
        self.close(id);
    }

    /// Why the connection ends.
    fn write_line(&mut self, id: ConnectionId, reason: &str) {
        if self.connections.contains_key(&id)
            && let Some(suppressed) = self.may_write_line()
            && let Some(connection) = self.connections.get(&id)
        {
            let peer = connection
                .socket
                .tcp()
                .peer_addr()
                .map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
            // Debug format: whatever of it came from the client is escaped.
            tracing::warn!(connection = id.0, peer, ?reason, suppressed, "connection closed");
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if self.connections.remove(&id).is_some() {
            self.performer.events.push(Event::Closed(id));
        }
    }

    fn open_doors(&mut self, listener: Listener) {
        for (number, door) in self.doors.iter_mut().enumerate() {
            if door.listener == listener
                && !std::mem::replace(&mut door.is_open, true)
                && let Err(error) = self.poll.registry().register(
                    &mut door.socket,
                    Token(LISTENER_TOKEN - number),
                    Interest::READABLE,
                )
            {
                tracing::error!(%error, "cannot listen");
            }
        }
    }

    fn begin_to_stop(&mut self) {
        self.is_stopping = true;
        self.doors.clear();
        self.stop_at = Some(self.now + STOP_PATIENCE);
        for connection in self.connections.values_mut() {
            connection.may_read = false;
            connection.is_half_closed = true;
        }
        self.to_send.extend(self.connections.keys());
    }

    fn look_at_deadlines(&mut self) {
        if self.stop_at.is_some_and(|stop_at| stop_at <= self.now) {
            self.connections.clear();
        }
        if self.accept_again_at.is_some_and(|at| at <= self.now) {
            self.accept_again_at = None;
            for door in 0..self.doors.len() {
                self.accept(door);
            }
        }
        if self.shrink_at.is_some_and(|at| at <= self.now) {
            self.shrink_at = None;
            for id in self.with_excess.drain(..) {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.shrink();
                }
            }
        }
        if self.sweep_at.is_some_and(|at| at <= self.now) {
            self.sweep();
        }
        if !self.is_trimmed && self.last_busy + TRIM_AFTER <= self.now {
            self.is_trimmed = true;
            self.pool.trim();
            self.scratch.trim();
        }
        self.peers.check_deadlines(self.poll.registry(), self.now, &mut self.performer.events);
        if !self.performer.events.is_empty() {
            self.settle();
        }
    }

    /// Looks at the deadlines of all connections.
    fn sweep(&mut self) {
        let limits = self.shared.config.connection;
        let mut overdue = Vec::new();
        self.sweep_at = None;
        for connection in self.connections.values_mut() {
            match connection.check_deadline(self.now, &limits) {
                Ok(next) => self.sweep_at = Some(self.sweep_at.map_or(next, |sweep_at| sweep_at.min(next))),
                Err(reason) => overdue.push((connection.id, reason)),
            }
        }
        for (id, reason) in overdue {
            let metrics = &self.shared.metrics;
            match reason {
                Overdue::Idle => {
                    metrics::count(&metrics.ended_idle);
                    self.close(id);
                }
                Overdue::FrameStalled => {
                    metrics::count(&metrics.ended_stalled);
                    self.close_with_line(id, "its request does not get on");
                }
                Overdue::SlowReader => {
                    metrics::count(&metrics.ended_slow);
                    self.close_with_line(id, "it does not read its answers");
                }
            }
        }
    }
}
