//! What other threads hand to an I/O thread, and waking it: once for a whole batch, and not at all while it is awake.

use std::{io, net::SocketAddr};

use klamm_model::{BrokerId, Tick};
use klamm_node::{ConnectionId, Found, Listener, Reply, ReplyTo};
use klamm_wire::Request;
use mio::{Waker, net::TcpStream};
use parking_lot::Mutex;

use crate::places::Place;

/// Something for the owner of a connection to do.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A new connection.
    Accepted { socket: TcpStream, listener: Listener, place: Place },
    /// An answer to a request.
    Reply { to: ReplyTo, reply: Reply },
    /// An answer to a request, with what a disk thread found for it.
    Found { to: ReplyTo, reply: Reply, found: Found },
    /// The request wants no answer.
    NoReply { to: ReplyTo },
    /// What a connection sent was unpacked, and the node has it.
    Unpacked { connection: ConnectionId },
    /// The node wants a connection closed.
    Close { connection: ConnectionId, reason: &'static str },
    /// The same once what it asked is answered.
    Dismiss { connection: ConnectionId, reason: &'static str },
    /// The file bytes a connection waited for are in the page cache, or cannot be read.
    Warmed { connection: ConnectionId, result: io::Result<()> },
    /// A request to another broker.
    Send { to: BrokerId, token: u64, request: Request, version: i16 },
    /// Where a broker can be found; empty if its name means nothing.
    Resolved { to: BrokerId, addresses: Vec<SocketAddr> },
    /// Begin to serve clients.
    Open,
    /// The node has to be stepped at this moment, and who found out is no I/O thread.
    Timer { wake: Tick },
    /// Take no new connections and end when nothing is owed to anybody.
    Stop,
}

/// The inbox of one I/O thread.
#[derive(Debug)]
pub(crate) struct Inbox {
    inside: Mutex<Inside>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Inside {
    mail: Vec<Mail>,
    /// The owner is in its poll, or about to enter it, and has not been woken.
    is_asleep: bool,
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { inside: Mutex::default(), waker }
    }

    /// Hands over all of `mail`.
    pub(crate) fn deliver(&self, mail: &mut Vec<Mail>) {
        let wake = {
            let mut inside = self.inside.lock();
            inside.mail.append(mail);
            std::mem::take(&mut inside.is_asleep)
        };
        if wake && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "an I/O thread could not be woken");
        }
    }

    /// The owner is going to sleep. `false` if there is mail: then it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut inside = self.inside.lock();
        inside.is_asleep = inside.mail.is_empty();
        inside.is_asleep
    }

    /// The owner is awake. Its mail goes to `into`.
    pub(crate) fn collect(&self, into: &mut Vec<Mail>) {
        let mut inside = self.inside.lock();
        inside.is_asleep = false;
        into.append(&mut inside.mail);
    }
}
