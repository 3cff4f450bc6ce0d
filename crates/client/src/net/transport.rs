//! What carries a connection's bytes: a socket, by itself or with TLS around them.
//!
//! Invariant: nothing here waits but [`open`](Transport::open) and the two that are asked for readiness; what can't be done now is `WouldBlock`.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;

use crate::call::CallError;
use crate::tls::TlsProblem;

pub(super) struct Transport {
    stream: TcpStream,
    session: Option<Mutex<ClientConnection>>,
}

/// Who said that a broker listens there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    User,
    Broker,
}

impl Transport {
    /// Connects to the first address of the name at which somebody answers.
    pub(super) async fn open(
        address: &str,
        source: Source,
        tls: Option<&Arc<rustls::ClientConfig>>,
        patience: Duration,
    ) -> Result<Self, CallError> {
        let refused = |problem: String| CallError::Connect { address: address.into(), problem };
        let deadline = Instant::now() + patience;
        let too_late = |what: &str| refused(format!("no {what} within {} ms", patience.as_millis()));
        let found =
            timeout_at(deadline.into(), lookup_host(address)).await.map_err(|_| too_late("address"))?;
        let mut addresses: Vec<SocketAddr> = found.map_err(|error| refused(plain(&error)))?.collect();
        if source == Source::Broker {
            addresses.retain(|address| !is_link_local(address.ip()));
        }
        let mut failure = refused("there is no address by that name for brokers".into());
        for (left, candidate) in (1..=addresses.len() as u32).rev().zip(addresses) {
            // Each has its part of the time: one that swallows everything must not hide the others.
            let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
            match timeout_at(until.into(), TcpStream::connect(candidate)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
                    let Some(tls) = tls else { return Ok(Self { stream, session: None }) };
                    let session = session(address, tls.clone()).map_err(refused)?;
                    let secured = Self { stream, session: Some(Mutex::new(session)) };
                    let greeted = timeout_at(deadline.into(), secured.greet()).await;
                    return match greeted.map_err(|_| too_late("TLS"))? {
                        Ok(()) => Ok(secured),
                        Err(error) => Err(match tls_problem(&error) {
                            Some(problem) => CallError::Tls { address: address.into(), problem },
                            None => refused(plain(&error)),
                        }),
                    };
                }
                Ok(Err(error)) => failure = refused(plain(&error)),
                Err(_) => failure = too_late("connection"),
            }
        }
        Err(failure)
    }

    /// Both sides agree how they talk, and the broker shows its certificate.
    async fn greet(&self) -> io::Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        loop {
            if !self.flush()? {
                self.stream.writable().await?;
            } else if !session.lock().is_handshaking() {
                return Ok(());
            } else {
                self.stream.readable().await?;
                let pulled = pull(&mut session.lock(), &self.stream);
                match pulled {
                    Ok(0) => return Err(io::Error::other(TlsProblem::HungUp)),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        // The broker should hear what we do not like.
                        let _ = self.flush();
                        let is_gone = error.kind() == io::ErrorKind::ConnectionReset;
                        return Err(if is_gone { io::Error::other(TlsProblem::HungUp) } else { error });
                    }
                }
            }
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    pub(super) fn is_secured(&self) -> bool {
        self.session.is_some()
    }

    /// Takes some of it; what was taken and did not leave yet is [flushed](Self::flush).
    pub(super) fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.stream.try_write_vectored(parts) };
        let taken = session.lock().writer().write_vectored(parts)?;
        if taken > 0 {
            return Ok(taken);
        }
        // It holds as much as it may.
        if self.flush()? { session.lock().writer().write_vectored(parts) } else { Err(would_block()) }
    }

    /// Whether everything taken has left.
    pub(super) fn flush(&self) -> io::Result<bool> {
        let Some(session) = &self.session else { return Ok(true) };
        let mut session = session.lock();
        while session.wants_write() {
            match session.write_tls(&mut Socket(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| !session.lock().wants_write())
    }

    /// Appends what is there; nothing more will come after 0.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.stream.try_read_buf(buffer) };
        let mut session = session.lock();
        loop {
            let mut reader = session.reader();
            let count = match reader.fill_buf() {
                Ok(chunk) => {
                    buffer.extend_from_slice(chunk);
                    chunk.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    pull(&mut session, &self.stream)?;
                    continue;
                }
                // It hung up without a word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                Err(error) => return Err(error),
            };
            reader.consume(count);
            return Ok(count);
        }
    }
}

impl Drop for Transport {
    /// Who leaves says so.
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.get_mut().send_close_notify();
            let _ = self.flush();
        }
    }
}

fn session(address: &str, tls: Arc<rustls::ClientConfig>) -> Result<ClientConnection, String> {
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| "no certificate can be for that name")?;
    ClientConnection::new(tls, name).map_err(|problem| problem.to_string())
}

/// Takes in what the socket has.
fn pull(session: &mut ClientConnection, stream: &TcpStream) -> io::Result<usize> {
    let count = session.read_tls(&mut Socket(stream))?;
    session.process_new_packets().map_err(io::Error::other)?;
    Ok(count)
}

pub(super) fn tls_problem(error: &io::Error) -> Option<TlsProblem> {
    let inner = error.get_ref()?;
    let ours = inner.downcast_ref::<TlsProblem>().cloned();
    ours.or_else(|| inner.downcast_ref::<rustls::Error>().map(TlsProblem::of))
}

/// Where clouds tell whoever asks from within who they are and what they may, and where no broker listens.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.is_link_local(),
            None => address.is_unicast_link_local(),
        },
    }
}

/// The system's words without its number, which tells a reader nothing.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// As TLS wants to have it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
