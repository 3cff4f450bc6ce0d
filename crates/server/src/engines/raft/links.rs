//! Connections to the other members. Each node dials each: questions go out and answers come back on the connection that the asker made.
//!
//! A member that was started elsewhere says where it is. It is called there too as long as it does not answer where all know it, and counts as moved only once it has
//! answered there, and a while later still not where it was: a member that is cut off for a while, and one of which somebody has a copy, would be lost by what nobody has tried.
//!
//! Where networks are split, another address is not a better one for every node: as long as a node has not reached the member where all know it now, it tries where it was before, too.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::pending,
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use klamm_model::BrokerId;
use klamm_wire::{
    GREETING_SIZE_MAX, Greeting, GreetingPurpose, QUORUM_FRAME_BYTES_MAX, QuorumFrame, QuorumMessage,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    sync::{Notify, mpsc, oneshot},
    task::AbortHandle,
    time::{error::Elapsed, sleep, timeout},
};
use uuid::Uuid;

use super::{Greet, Member, TooOld, driver::Event, sightings::Greeted, types::Address};

/// Messages that wait to be written to one node. openraft has a few open questions at a time; more means that nobody reads.
const QUEUED_MAX: usize = 64;
/// Of a connection, until the other node has greeted.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_millis(500);
/// Of a name.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);
/// Whoever answers where it says that it is is looked for where all know it again after so long.
pub(super) const MOVED_AFTER: Duration = Duration::from_secs(2);
/// A name that cannot be looked up for so long is gone, and not only its server.
const NAME_PATIENCE: Duration = Duration::from_secs(30);
/// Before a node that refused is tried again, at first and at last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// What was sent has to be received within this time, or the connection is given up.
const SENT_PATIENCE: Duration = Duration::from_secs(2);

/// Reasons that are told why there is no connection to a node, each once.
const PROBLEMS_MAX: usize = 8;

/// There is no answer, and none will come.
#[derive(Debug, thiserror::Error)]
#[error("the connection to node {0} broke")]
pub(super) struct Broken(pub(super) BrokerId);

/// Whether nothing gets through to a node; for tests.
pub(super) type Cut = Rc<dyn Fn(BrokerId) -> bool>;

/// What all connections share.
pub(super) struct Links {
    greet: Greet,
    too_old: TooOld,
    events: mpsc::UnboundedSender<Event>,
    cut: Cut,
    peers: RefCell<BTreeMap<BrokerId, Rc<Peer>>>,
    /// Who has made connections to this node that are open, and how many.
    callers: RefCell<BTreeMap<BrokerId, usize>>,
}

/// Another member, and the connection that was made to it.
pub(super) struct Peer {
    id: BrokerId,
    /// Where all know it.
    address: Address,
    /// Where it says that it is, if it does not answer where all know it.
    said: RefCell<Option<Address>>,
    /// Where all knew it before, until it has answered where they know it now: whoever reaches it only there would be cut off from it for good. That it answers there says
    /// nothing of where it is, and is written nowhere.
    was: RefCell<Option<Address>>,
    /// Where the connection goes to, if that is where it said, and it is not where it was.
    found: RefCell<Option<Address>>,
    /// While there is a connection.
    out: RefCell<Option<mpsc::Sender<Bytes>>>,
    is_up: Notify,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<QuorumMessage>>>,
    next_number: Cell<u64>,
    dialer: RefCell<Option<AbortHandle>>,
    /// It has connected itself, so it is there.
    is_there: Notify,
}

impl Links {
    pub(super) fn new(
        greet: Greet,
        too_old: TooOld,
        events: mpsc::UnboundedSender<Event>,
        cut: Cut,
    ) -> Rc<Self> {
        Rc::new(Self { greet, too_old, events, cut, peers: RefCell::default(), callers: RefCell::default() })
    }

    /// These are the other members now.
    pub(super) fn set(self: &Rc<Self>, members: impl Iterator<Item = (BrokerId, Address)>) {
        let mut peers = self.peers.borrow_mut();
        let mut before = std::mem::take(&mut *peers);
        for (id, address) in members {
            let peer = match before.remove(&id) {
                Some(known) if known.address == address => known,
                elsewhere => {
                    let was = elsewhere.inspect(|it| it.hang_up()).and_then(|it| it.was_before(&address));
                    Peer::dial(self, id, address, was)
                }
            };
            peers.insert(id, peer);
        }
        before.into_values().for_each(|it| it.hang_up());
    }

    pub(super) fn peer(&self, id: BrokerId) -> Option<Rc<Peer>> {
        self.peers.borrow().get(&id).cloned()
    }

    /// Whether this disk is that member's.
    pub(super) fn is_member(&self, id: BrokerId, directory: Uuid) -> bool {
        self.peer(id).is_some_and(|it| it.address.directory == directory)
    }

    /// A member says where it is. Of one to which there is a connection that is known, and another disk is another node.
    pub(super) fn says(&self, member: &Member) {
        let peer = self.peer(member.id).filter(|it| it.out.borrow().is_none());
        let Some(peer) = peer.filter(|it| it.address.directory == member.directory) else { return };
        let said = Some(member.address()).filter(|it| *it != peer.address);
        if *peer.said.borrow() != said {
            *peer.said.borrow_mut() = said;
            peer.is_there.notify_one();
        }
    }

    /// Members that were found where they said that they are, and not where all know them.
    pub(super) fn found_elsewhere(&self) -> Vec<Member> {
        let peers = self.peers.borrow();
        peers.values().filter_map(|it| Some(Member::at(it.id, it.found.borrow().as_ref()?))).collect()
    }

    /// Who has a connection to this node.
    pub(super) fn callers(&self) -> BTreeSet<BrokerId> {
        self.callers.borrow().keys().copied().collect()
    }

    fn no_longer_calls(&self, from: BrokerId) {
        let mut callers = self.callers.borrow_mut();
        let count = callers.get_mut(&from).expect("it was counted");
        *count -= 1;
        if *count == 0 {
            callers.remove(&from);
        }
    }

    /// Nobody is known yet: the first that writes tells who is.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.borrow().is_empty()
    }

    /// Writes to everybody there is a connection to; who does not read misses it.
    pub(super) fn tell_all(&self, message: &QuorumMessage) {
        for peer in self.peers.borrow().values() {
            let _ = peer.send(peer.number(), message);
        }
    }

    /// Writes to one node, if there is a connection to it.
    pub(super) fn tell(&self, id: BrokerId, message: &QuorumMessage) {
        if let Some(peer) = self.peer(id) {
            let _ = peer.send(peer.number(), message);
        }
    }

    pub(super) fn hang_up(&self) {
        std::mem::take(&mut *self.peers.borrow_mut()).into_values().for_each(|it| it.hang_up());
    }

    async fn keep_dialing(self: Rc<Self>, peer: Rc<Peer>) {
        let mut pause = BACK_OFF.0;
        // Since it was there. Some come in turn: a machine that is off does not answer, and has no route to it now and then.
        let mut problems: BTreeSet<String> = BTreeSet::new();
        loop {
            match self.connect(&peer).await {
                Ok(connected) => {
                    problems.clear();
                    let began = tokio::time::Instant::now();
                    self.talk(&peer, connected).await;
                    if began.elapsed() >= BACK_OFF.1 {
                        pause = BACK_OFF.0;
                        // At once: whether the port refuses now tells whether the process is gone.
                        continue;
                    }
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::ConnectionRefused {
                        let _ = self.events.send(Event::Refused(peer.id));
                    }
                    if problems.len() < PROBLEMS_MAX && problems.insert(error.to_string()) {
                        let Peer { id, address: Address { host, port, .. }, .. } = &*peer;
                        tracing::info!(peer = %id, host, port, %error, "no connection to a member of the quorum");
                    }
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(BACK_OFF.1),
                () = peer.is_there.notified() => pause = BACK_OFF.0,
            }
        }
    }

    /// By the first of its addresses that is good for it, to the process that greets there. Refused is only who refuses at all of them.
    async fn connect(&self, peer: &Peer) -> io::Result<Connected> {
        let (said, was) = (peer.said.borrow().clone(), peer.was.borrow().clone());
        let (mut failed, mut tried) = (None, BTreeSet::new());
        // Each is looked up only when those before it have not answered: a name that is gone may take seconds.
        for place in [Some(&peer.address), said.as_ref(), was.as_ref()].into_iter().flatten() {
            let is_known = *place == peer.address;
            let resolved = match resolve(place).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    failed = if is_known { Some(error) } else { failed };
                    continue;
                }
            };
            for address in resolved.into_iter().filter(|it| tried.insert(*it)) {
                match self.reach(peer, address).await {
                    Ok((wired, greeted)) => {
                        if is_known {
                            peer.said.take();
                            peer.was.take();
                        }
                        let said = said.as_ref().filter(|it| *it == place).cloned();
                        return Ok(Connected { wired, greeted, said });
                    }
                    Err(error) => {
                        let says_more =
                            failed.as_ref().is_none_or(|it| it.kind() == io::ErrorKind::ConnectionRefused);
                        failed = if says_more { Some(error) } else { failed };
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// Until it answers where all know it. If it does not, it is where it was found.
    async fn look_where_it_was(&self, peer: &Peer, said: Option<Address>) -> io::Result<()> {
        let Some(said) = said else { return pending().await };
        let began = tokio::time::Instant::now();
        loop {
            sleep(MOVED_AFTER).await;
            match resolve(&peer.address).await {
                Ok(known) if self.answers(peer, &known).await => {
                    return Err(io::Error::other("it answers where it was"));
                }
                Err(_) if began.elapsed() < NAME_PATIENCE => {}
                Ok(_) | Err(_) => break,
            }
        }
        tracing::info!(peer = %peer.id, host = said.host, port = said.port, "a member of the quorum is elsewhere");
        *peer.found.borrow_mut() = Some(said);
        pending().await
    }

    async fn answers(&self, peer: &Peer, known: &[SocketAddr]) -> bool {
        for address in known {
            if self.reach(peer, *address).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn reach(&self, peer: &Peer, address: SocketAddr) -> io::Result<(Wired, Greeted)> {
        timeout(CONNECT_PATIENCE, self.greet(peer, address)).await.map_err(late).flatten()
    }

    async fn greet(&self, peer: &Peer, address: SocketAddr) -> io::Result<(Wired, Greeted)> {
        let stream = TcpStream::connect(address).await?;
        let mut wired = Wired::new(stream, BytesMut::new())?;
        let other = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let greeting = (self.greet)(GreetingPurpose::Quorum).encode();
        wired.stream.write_all(&greeting.map_err(|error| other(error.to_string()))?).await?;
        let frame = wired.frames.next(&mut wired.stream, GREETING_SIZE_MAX as usize).await?;
        let answer = Greeting::decode(frame).map_err(|error| other(error.to_string()))?;
        if let Some(why) = answer.refused.clone().or_else(|| (self.too_old)(&answer)) {
            return Err(other(why));
        }
        if (answer.node, answer.directory) != (peer.id, peer.address.directory) {
            let (node, found) = (answer.node, answer.directory);
            return Err(other(format!("node {node} with the disk {found} answers there, not the member's")));
        }
        let Greeting { incarnation, level: metadata_form, .. } = answer;
        Ok((wired, Greeted { incarnation, metadata_form }))
    }

    /// Until the connection breaks.
    async fn talk(&self, peer: &Rc<Peer>, Connected { wired, greeted, said }: Connected) {
        let (out, queued) = mpsc::channel(QUEUED_MAX);
        *peer.out.borrow_mut() = Some(out);
        peer.is_up.notify_waiters();
        let _ = self.events.send(Event::Up(peer.id, greeted));
        let (mut read, mut write) = wired.stream.into_split();
        let mut frames = wired.frames;
        let reading = async {
            loop {
                let frame = frames.next(&mut read, QUORUM_FRAME_BYTES_MAX).await?;
                let frame = QuorumFrame::decode(frame)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                self.answered(peer, frame);
            }
        };
        let ended: io::Result<()> = tokio::select! {
            ended = reading => ended,
            ended = write_all(queued, &mut write, || (self.cut)(peer.id)) => ended,
            ended = self.look_where_it_was(peer, said) => ended,
        };
        peer.went_down();
        let error = ended.err().map(|error| error.to_string()).unwrap_or_default();
        tracing::info!(peer = %peer.id, error, "the connection to a member of the quorum broke");
    }

    fn answered(&self, peer: &Peer, frame: QuorumFrame) {
        let QuorumFrame { number, message } = frame;
        if let QuorumMessage::Beaten { term, sent_ms } = message {
            let _ = self.events.send(Event::Beaten { from: peer.id, term, sent_ms });
        } else if let Some(asker) = peer.waiting.borrow_mut().remove(&number) {
            // Who asked may have given up.
            let _ = asker.send(message);
        }
    }

    /// Serves a connection that another node made. `answer` gets each question, and the queue for what comes of it.
    pub(super) async fn serve(
        self: Rc<Self>,
        from: BrokerId,
        mut wired: Wired,
        answer: impl Fn(QuorumFrame, mpsc::Sender<Bytes>) -> bool,
    ) {
        if let Some(peer) = self.peer(from).filter(|it| it.out.borrow().is_none()) {
            peer.is_there.notify_one();
        }
        *self.callers.borrow_mut().entry(from).or_default() += 1;
        let _ = self.events.send(Event::Called(from));
        let (out, queued) = mpsc::channel(QUEUED_MAX);
        let (mut read, mut write) = wired.stream.into_split();
        let reading = async {
            loop {
                let frame = wired.frames.next(&mut read, QUORUM_FRAME_BYTES_MAX).await?;
                let frame = QuorumFrame::decode(frame)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                if !answer(frame, out.clone()) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "no engine says such a thing"));
                }
            }
        };
        let ended: io::Result<()> = tokio::select! {
            ended = reading => ended,
            ended = write_all(queued, &mut write, || (self.cut)(from)) => ended,
        };
        self.no_longer_calls(from);
        let error = ended.err().map(|error| error.to_string()).unwrap_or_default();
        tracing::debug!(peer = %from, error, "a connection of a member of the quorum ended");
    }
}

async fn resolve(Address { host, port, .. }: &Address) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(RESOLVE_PATIENCE, lookup_host((host.as_str(), *port))).await.map_err(late)??;
    Ok(found.collect())
}

fn late(_: Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

async fn write_all(
    mut queued: mpsc::Receiver<Bytes>,
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
    is_cut: impl Fn() -> bool,
) -> io::Result<()> {
    while let Some(frame) = queued.recv().await {
        if !is_cut() {
            write.write_all(&frame).await?;
        }
    }
    Ok(())
}

impl Peer {
    fn dial(links: &Rc<Links>, id: BrokerId, address: Address, was: Option<Address>) -> Rc<Self> {
        let peer = Rc::new(Self {
            id,
            address,
            said: RefCell::default(),
            was: RefCell::new(was),
            found: RefCell::default(),
            out: RefCell::default(),
            is_up: Notify::new(),
            waiting: RefCell::default(),
            next_number: Cell::new(0),
            dialer: RefCell::default(),
            is_there: Notify::new(),
        });
        let dialing = tokio::task::spawn_local(Rc::clone(links).keep_dialing(Rc::clone(&peer)));
        *peer.dialer.borrow_mut() = Some(dialing.abort_handle());
        peer
    }

    /// Where it may answer, now that all know it at this address: of its own last, unless it has not answered there yet.
    fn was_before(&self, address: &Address) -> Option<Address> {
        let was = self.was.take().unwrap_or_else(|| self.address.clone());
        Some(was).filter(|it| it.directory == address.directory && it != address)
    }

    fn hang_up(&self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.abort();
        }
        self.went_down();
    }

    fn went_down(&self) {
        *self.out.borrow_mut() = None;
        *self.found.borrow_mut() = None;
        self.waiting.borrow_mut().clear();
    }

    fn number(&self) -> u64 {
        self.next_number.replace(self.next_number.get() + 1)
    }

    fn send(&self, number: u64, message: &QuorumMessage) -> Result<(), Broken> {
        let frame = QuorumFrame { number, message: message.clone() };
        let frame = frame.encode().map_err(|_| Broken(self.id))?;
        let out = self.out.borrow();
        let sent = out.as_ref().map(|out| out.try_send(frame).is_ok());
        sent.filter(|sent| *sent).map(drop).ok_or(Broken(self.id))
    }

    /// Waits for a connection if there is none, and for the answer. Whoever gives up drops this.
    pub(super) async fn ask(self: Rc<Self>, message: QuorumMessage) -> Result<QuorumMessage, Broken> {
        loop {
            let comes_up = self.is_up.notified();
            if self.out.borrow().is_some() {
                break;
            }
            comes_up.await;
        }
        let number = self.number();
        let (asker, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, asker);
        // Also when this is dropped while it waits.
        let _forget = Forget { peer: &self, number };
        self.send(number, &message)?;
        answer.await.map_err(|_| Broken(self.id))
    }
}

struct Forget<'a> {
    peer: &'a Peer,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.peer.waiting.borrow_mut().remove(&self.number);
    }
}

/// A connection to a member.
struct Connected {
    wired: Wired,
    greeted: Greeted,
    /// Where it said that it is, if it answered there, and not where all know it.
    said: Option<Address>,
}

/// A connection, and what was read of it already.
pub(super) struct Wired {
    stream: TcpStream,
    frames: Frames,
}

impl Wired {
    pub(super) fn new(stream: TcpStream, read: BytesMut) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        // A machine that is gone says nothing; so do not wait for it longer than for one that is slow.
        socket.set_tcp_user_timeout(Some(SENT_PATIENCE))?;
        let keepalive = socket2::TcpKeepalive::new().with_time(SENT_PATIENCE).with_interval(SENT_PATIENCE);
        socket.set_tcp_keepalive(&keepalive.with_retries(2))?;
        Ok(Self { stream, frames: Frames { buffer: read } })
    }
}

/// Cuts what is read into frames.
struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// The next frame, without its size. Memory is taken for what came, not for what is announced.
    async fn next(
        &mut self,
        from: &mut (impl tokio::io::AsyncRead + Unpin),
        bytes_max: usize,
    ) -> io::Result<Bytes> {
        loop {
            if let Some(size) = self.buffer.first_chunk::<4>() {
                let size = usize::try_from(i32::from_be_bytes(*size)).ok().filter(|size| *size <= bytes_max);
                let size =
                    size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame of no size"))?;
                if 4 + size <= self.buffer.len() {
                    return Ok(self.buffer.split_to(4 + size).freeze().slice(4..));
                }
            }
            self.buffer.reserve(16 << 10);
            if from.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
