//! One connection: what it received, what is being worked on, what it has still to send, and how long it may take.
//!
//! Invariant: `asked` has one entry for each request that the pipeline counts, in the same order.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use klamm_log::{Files, SegmentId};
use klamm_node::{ConnectionId, Found, Listener, Origin, Pipeline, Reply};
use klamm_wire::{ApiKey, EncodeError, FrameLimits, GREETING_SIZE_MAX};

use crate::{
    buffer::{Budget, Pool},
    config::ConnectionLimits,
    input::{self, Input, InputError, Quota},
    metrics::Metrics,
    output::{self, Output, Piece, Scratch},
    places::Place,
    request::{Asked, encode},
    socket::Socket,
};

/// Bytes read from one connection before the others have their turn; a frame that has begun may be finished.
const READ_TURN_BYTES: u64 = 1 << 20;

/// Bytes written to one connection before the others have their turn. On loopback the kernel delivers them within the call: with 4 MiB a request beside
/// somebody who catches up waited for 3 ms, with 256 KiB the processor's own queue is what is left, and less time goes into the bytes.
const WRITE_TURN_BYTES: u64 = 256 << 10;

/// An unfinished frame must bring at least this much in each `frame_stall_ms`, or its sender holds memory for nothing.
const FRAME_PROGRESS_MIN: u64 = 64 << 10;

/// A client's connection, or another broker's to us.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) socket: Socket,
    /// Held for as long as the connection is there.
    _place: Place,
    pub(crate) origin: Arc<Origin>,
    input: Input,
    output: Output,
    /// What of the output is charged to whom.
    charged: (usize, Arc<Budget>),
    pipeline: Pipeline<Vec<Piece>>,
    asked: VecDeque<Asked>,
    /// Frames that were read and wait until the answers before them have left.
    held: VecDeque<Bytes>,
    /// Sequence of the front of `asked`.
    asked_first: u64,
    /// The socket may have something to read.
    pub(crate) may_read: bool,
    /// The socket may take something.
    pub(crate) may_write: bool,
    /// Bytes wait for a disk thread.
    pub(crate) is_warming: bool,
    /// A disk thread unpacks what it sent: what came after it is taken when that has reached the node.
    pub(crate) is_unpacking: bool,
    /// How far it may be trusted.
    pub(crate) standing: Standing,
    /// The client sends nothing more; once all but fetches is answered, the connection ends.
    pub(crate) is_half_closed: bool,
    /// What it asked for in its last turn took long or may have: others come first.
    pub(crate) is_costly: bool,
    /// Already in the list of connections that want a turn.
    pub(crate) is_queued: bool,
    progress: Progress,
}

/// What may come by a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Another node's, so far as it says: its greeting comes first.
    Strange,
    /// Requests.
    Welcome,
    /// Nothing more: it ends when it has its answers.
    Dismissed,
    /// It has them, and is told that this was all. What its client still sends is read and dropped until that ends too: a socket that is closed over what nobody has read takes
    /// with it what is on its way to the other end.
    Over,
}

/// When a connection last got on, for the deadlines.
#[derive(Clone, Copy, Debug)]
struct Progress {
    at: Instant,
    received: u64,
    sent: u64,
    depth: usize,
}

/// Why a connection is ended by us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overdue {
    /// Nothing to do for long.
    Idle,
    /// A frame that does not get on.
    FrameStalled,
    /// Answers that are not read.
    SlowReader,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        socket: Socket,
        place: Place,
        origin: Arc<Origin>,
        frame_size_max: u32,
        unsent: Arc<Budget>,
        now: Instant,
    ) -> Self {
        let (standing, size_max) = match origin.listener {
            Listener::Client => (Standing::Welcome, frame_size_max),
            Listener::Broker => (Standing::Strange, GREETING_SIZE_MAX),
        };
        Self {
            id,
            socket,
            _place: place,
            origin,
            standing,
            input: Input::new(FrameLimits::requests(size_max)),
            output: Output::default(),
            charged: (0, unsent),
            pipeline: Pipeline::default(),
            asked: VecDeque::new(),
            held: VecDeque::new(),
            asked_first: 0,
            may_read: true,
            may_write: true,
            is_warming: false,
            is_unpacking: false,
            is_half_closed: false,
            is_costly: false,
            is_queued: false,
            progress: Progress { at: now, received: 0, sent: 0, depth: 0 },
        }
    }

    /// Whether more requests can be taken from it now.
    pub(crate) fn takes_requests(&self, limits: &ConnectionLimits) -> bool {
        !self.is_unpacking
            && self.pipeline.depth() < limits.in_flight_max
            && self.output.memory_bytes() < limits.unsent_bytes_max
    }

    /// Reads what is there, as far as a turn goes.
    pub(crate) fn receive(
        &mut self,
        pool: &Arc<Pool>,
        limits: &ConnectionLimits,
        may_exceed_budget: bool,
        frames: &mut Vec<Bytes>,
    ) -> Result<input::Stop, InputError> {
        let free = limits.in_flight_max.saturating_sub(self.pipeline.depth() + self.held.len());
        // What comes behind a greeting may be larger than that, once it is known whose it is.
        let frame_count = if self.standing == Standing::Strange { 1 } else { free };
        let quota = Quota { frame_count, bytes: READ_TURN_BYTES, may_exceed_budget };
        self.input.receive(&mut self.socket, pool, quota, frames)
    }

    /// Keeps frames for a later turn.
    pub(crate) fn hold(&mut self, frames: impl Iterator<Item = Bytes>) {
        self.held.extend(frames);
    }

    /// Whether there are frames for [`Self::release`].
    pub(crate) fn holds_frames(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives back all frames that were held, in their order.
    pub(crate) fn release(&mut self, frames: &mut Vec<Bytes>) {
        frames.extend(self.held.drain(..));
    }

    /// Whether a frame that needs budget has begun and is not finished.
    pub(crate) fn is_in_large_frame(&self) -> bool {
        self.input.is_in_large_frame()
    }

    /// Memory of a frame that is not finished.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.input.held_size()
    }

    /// Whether it holds far more memory than its unfinished frame needs yet.
    pub(crate) fn has_excess(&self) -> bool {
        self.input.has_excess()
    }

    /// Gives up that memory.
    pub(crate) fn shrink(&mut self) {
        self.input.shrink();
    }

    /// Bytes received in all.
    pub(crate) fn received(&self) -> u64 {
        self.input.received()
    }

    /// The client has announced that it sends nothing more.
    pub(crate) fn expect_end(&mut self) {
        self.input.expect_end();
    }

    /// Sends the answer to a greeting; nothing was asked before it.
    pub(crate) fn greet(&mut self, answer: Bytes) {
        self.output.push(Piece::Bytes(answer));
        self.charge_output();
    }

    /// Who greeted is a node of the cluster: requests may follow, as large as anybody's.
    pub(crate) fn welcome(&mut self, frame_size_max: u32) {
        self.standing = Standing::Welcome;
        self.input.set_limits(FrameLimits::requests(frame_size_max));
    }

    /// Whether requests are taken, or a greeting is waited for.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Strange | Standing::Welcome)
    }

    /// Nothing that comes is looked at any more, nor what came and was not taken yet.
    pub(crate) fn dismiss(&mut self) {
        self.standing = Standing::Dismissed;
        self.held.clear();
        self.input.drop_held();
    }

    /// Reads what is there, as far as a turn goes, for nobody.
    pub(crate) fn discard(&mut self, pool: &Arc<Pool>) -> io::Result<input::Stop> {
        self.input.discard(&mut self.socket, pool, READ_TURN_BYTES)
    }

    /// It has all that it is owed.
    pub(crate) fn end_sending(&mut self, now: Instant) {
        if std::mem::replace(&mut self.standing, Standing::Over) == Standing::Over {
            return;
        }
        self.progress.at = now;
        if let Err(error) = self.socket.end_sending() {
            tracing::debug!(connection = self.id.0, %error, "connection broke");
            self.is_half_closed = true;
        }
    }

    /// The socket once more, for whoever takes it over, and what was read of it beyond the frames that were handed out. The poll must not know it any more.
    pub(crate) fn hand_over(&mut self) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
        Ok((self.socket.hand_over()?, self.input.take_held()))
    }

    /// A request was read; its answer is owed in this place.
    pub(crate) fn ask(&mut self, asked: Asked) -> u64 {
        self.asked.push_back(asked);
        self.pipeline.open()
    }

    /// The answer to a request.
    pub(crate) fn answer(
        &mut self,
        sequence: u64,
        reply: Option<(Reply, Found)>,
        files: &Files,
        metrics: &Metrics,
        suspect: &mut dyn FnMut(SegmentId),
    ) -> Result<(), EncodeError> {
        let index = usize::try_from(sequence - self.asked_first).unwrap_or(usize::MAX);
        let pieces =
            reply.map(|reply| encode(self.asked[index], reply, files, metrics, suspect)).transpose()?;
        self.pipeline.fill(sequence, pieces);
        while let Some(pieces) = self.pipeline.pop_ready() {
            // It waited for others, and was not owed any more.
            if self.standing == Standing::Over {
                continue;
            }
            for piece in pieces {
                self.output.push(piece);
            }
        }
        while self.asked.len() > self.pipeline.depth() {
            self.asked.pop_front();
            self.asked_first += 1;
        }
        self.charge_output();
        Ok(())
    }

    fn charge_output(&mut self) {
        let (charged, budget) = &mut self.charged;
        let size = self.output.memory_bytes();
        if *charged < size {
            budget.charge(size - *charged);
        } else {
            budget.release(*charged - size);
        }
        *charged = size;
    }

    /// Bytes of answers that wait in memory.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.charged.0
    }

    /// Sends what is to be sent, as far as a turn goes.
    pub(crate) fn send(&mut self, scratch: &mut Scratch) -> io::Result<output::Stop> {
        let stop = self.output.write(&mut self.socket, scratch, WRITE_TURN_BYTES);
        self.charge_output();
        stop
    }

    /// Whether there is something to send.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether a connection that is to end may end: nothing is owed but what waits for others, for records or for the members of a group. A client that has closed its
    /// end is mostly gone, and would hold its place for as long as it said it would wait. What it asked and was only held back is answered first, unless the server stops.
    pub(crate) fn is_settled(&self, is_stopping: bool) -> bool {
        let waits =
            |asked: &Asked| matches!(asked.key, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup);
        let owes_nothing = self.asked.iter().all(waits);
        owes_nothing && self.output.is_empty() && (is_stopping || self.held.is_empty())
    }

    /// Looks whether the connection got on since it was looked at last. Tells when to look again, or why its time is over.
    pub(crate) fn check_deadline(
        &mut self,
        now: Instant,
        limits: &ConnectionLimits,
    ) -> Result<Instant, Overdue> {
        let (received, sent, depth) = (self.input.received(), self.output.sent(), self.pipeline.depth());
        let got = received - self.progress.received;
        let wait = if matches!(self.standing, Standing::Strange | Standing::Over) {
            // Whoever does not greet holds a place for nothing, and so does who does not go.
            Wait { limit: limits.frame_stall, reason: Overdue::Idle, got_on: false }
        } else if self.has_output() {
            Wait { limit: limits.send_stall, reason: Overdue::SlowReader, got_on: sent > self.progress.sent }
        } else if depth > 0 || self.progress.depth > 0 {
            // The node owes an answer, or did until just now: nothing the client could do.
            Wait { limit: limits.idle_max, reason: Overdue::Idle, got_on: true }
        } else if self.input.holds_bytes() {
            Wait {
                limit: limits.frame_stall,
                reason: Overdue::FrameStalled,
                got_on: got >= FRAME_PROGRESS_MIN,
            }
        } else {
            Wait {
                limit: limits.idle_max,
                reason: Overdue::Idle,
                got_on: got > 0 || sent > self.progress.sent,
            }
        };
        if wait.got_on {
            self.progress = Progress { at: now, received, sent, depth };
        } else if self.progress.at + wait.limit <= now {
            return Err(wait.reason);
        }
        // Sooner than the limit: what the connection waits for may change meanwhile.
        Ok((self.progress.at + wait.limit).min(now + limits.shortest()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.charged.1.release(self.charged.0);
    }
}

struct Wait {
    limit: Duration,
    reason: Overdue,
    got_on: bool,
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use klamm_wire::{FetchResponse, ProduceResponse, Response};

    use super::*;
    use crate::{
        places::{PlaceLimits, Places},
        request::look_cached,
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// A client's connection, and the client.
    struct Both {
        connection: Connection,
        client: TcpStream,
        files: Files,
        _place: tempfile::TempDir,
    }

    impl Both {
        fn new(now: Instant) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            let client = TcpStream::connect(address).expect("connected");
            let (accepted, peer) = listener.accept().expect("accepted");
            accepted.set_nonblocking(true).expect("set");
            let origin = Origin {
                listener: Listener::Client,
                local_host: address.ip().to_string(),
                local_port: address.port(),
                peer_host: peer.ip().to_string(),
            };
            let limits = PlaceLimits { total: 10, per_ip: 10 };
            let place = Arc::new(Places::default()).take(Listener::Client, peer.ip(), limits).expect("free");
            let socket = Socket::Plain(mio::net::TcpStream::from_std(accepted));
            let unsent = Budget::new(1 << 20);
            let id = ConnectionId(1);
            let connection = Connection::new(id, socket, place, Arc::new(origin), 1 << 20, unsent, now);
            let directory = tempfile::tempdir().expect("a directory");
            let files = Files::open(directory.path()).expect("opened");
            Self { connection, client, files, _place: directory }
        }

        fn ask(&mut self, key: ApiKey) -> u64 {
            self.connection.ask(Asked { correlation_id: 7, key, version: 9 })
        }

        fn answer(&mut self, sequence: u64, response: Response) {
            let reply = Reply::Ready(response);
            let found = look_cached(&reply, &self.files).expect("there is nothing to be looked up");
            let Self { connection, files, .. } = self;
            connection
                .answer(sequence, Some((reply, found)), files, &Metrics::default(), &mut |_| {})
                .expect("it can be told");
            connection.send(&mut Scratch::default()).expect("sent");
        }
    }

    #[test]
    fn who_is_dismissed_has_all_time_until_it_is_answered_and_then_little() {
        let begin = Instant::now();
        let limits = ConnectionLimits::default();
        let mut both = Both::new(begin);
        let produce = both.ask(ApiKey::Produce);
        let fetch = both.ask(ApiKey::Fetch);
        both.ask(ApiKey::JoinGroup);
        both.connection.dismiss();
        assert!(!both.connection.is_settled(false), "an answer is owed");
        let late = begin + 100 * SECOND;
        for seconds in [10, 50, 100] {
            both.connection.check_deadline(begin + seconds * SECOND, &limits).expect("it waits for us");
        }
        both.answer(produce, Response::Produce(ProduceResponse::default()));
        assert!(both.connection.is_settled(false), "nobody waits for records any more, nor for a group");
        both.connection.end_sending(late);
        // What comes for it now goes nowhere: it would be refused, and take the other answer with it.
        both.answer(fetch, Response::Fetch(FetchResponse::default()));
        assert!(!both.connection.has_output() && both.connection.is_settled(false));
        let mut told = Vec::new();
        both.client.read_to_end(&mut told).expect("an end");
        let size = u32::from_be_bytes(*told.first_chunk().expect("an answer"));
        assert_eq!(told.len(), 4 + size as usize, "one answer");

        assert!(both.connection.check_deadline(late + limits.frame_stall - SECOND, &limits).is_ok());
        let over = both.connection.check_deadline(late + limits.frame_stall, &limits);
        assert_eq!(over, Err(Overdue::Idle));
    }
}
