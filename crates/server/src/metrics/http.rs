//! `GET /metrics` and `GET /healthz`, and nothing else of HTTP: one request a connection, small, and soon.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener};

/// A request line and headers; Prometheus sends a few hundred bytes.
const HEAD_SIZE_MAX: usize = 8 << 10;

/// Connections answered at once; more are closed.
const CONNECTIONS_MAX: usize = 4;

/// How long a client may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long accepting pauses when the system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// An answer: the status line's end, the content's type, the content.
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: String,
}

impl Answer {
    pub(crate) fn plain(status: &'static str, content: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", content: format!("{content}\n") }
    }
}

/// Answers to a path; `None` if there is nothing of that name.
pub(crate) type Pages = dyn Fn(&str) -> Option<Answer> + Send + Sync;

/// A thread that answers until it is dropped.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

impl Http {
    pub(crate) fn start(mut listener: TcpListener, pages: Arc<Pages>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let address = listener.local_addr()?;
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(poll, &listener, &pages))?;
        Ok(Self { address, waker, thread: Some(thread) })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the metrics thread had panicked");
        }
    }
}

fn serve(mut poll: Poll, listener: &TcpListener, pages: &Arc<Pages>) {
    let mut events = Events::with_capacity(4);
    let open = Arc::new(AtomicUsize::new(0));
    let mut pause = None;
    loop {
        match poll.poll(&mut events, pause) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return tracing::error!(%error, "metrics are not served any more"),
        }
        if events.iter().any(|event| event.token() == WAKER) {
            return;
        }
        pause = accept(listener, pages, &open);
    }
}

/// Takes all who wait. Where the system gives no connection, tells when to try again: of those the poll does not tell once more.
fn accept(listener: &TcpListener, pages: &Arc<Pages>, open: &Arc<AtomicUsize>) -> Option<Duration> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => answer_aside(socket.into(), pages, open),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                tracing::debug!(%error, "could not accept a connection for metrics");
                return Some(ACCEPT_PAUSE);
            }
        }
    }
}

/// A slow client keeps nobody waiting but itself.
fn answer_aside(socket: TcpStream, pages: &Arc<Pages>, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        open.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (pages, counted) = (Arc::clone(pages), Arc::clone(open));
    let spawned = thread::Builder::new().name("metrics-answer".to_owned()).spawn(move || {
        if let Err(error) = answer(socket, &*pages) {
            tracing::debug!(%error, "a scrape of metrics broke");
        }
        counted.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(mut socket: TcpStream, pages: &Pages) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let answer = match read_path(&mut socket)? {
        Ok(path) => {
            pages(&path).unwrap_or_else(|| Answer::plain("404 Not Found", "there is /metrics and /healthz"))
        }
        Err(refusal) => refusal,
    };
    let Answer { status, content_type, content } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    socket.write_all(&[head.as_bytes(), content.as_bytes()].concat())?;
    socket.shutdown(Shutdown::Write)
}

/// Reads the head of a request. Gives the path that is asked for, without a query, or what to say to a request that is none of ours.
fn read_path(socket: &mut TcpStream) -> io::Result<Result<String, Answer>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    while !is_whole(&head) {
        if head.len() >= HEAD_SIZE_MAX {
            return Ok(Err(Answer::plain("431 Request Header Fields Too Large", "too large")));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let mut piece = [0; 1024];
        match socket.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            size => head.extend_from_slice(&piece[..size]),
        }
    }
    Ok(path_of(&head))
}

/// An empty line ends it. Who types it by hand ends lines without the carriage return.
fn is_whole(head: &[u8]) -> bool {
    head.windows(2).any(|end| end == b"\n\n") || head.windows(3).any(|end| end == b"\n\r\n")
}

fn path_of(head: &[u8]) -> Result<String, Answer> {
    let line = head.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["GET", target, version] if version.starts_with("HTTP/1.") => {
            Ok(target.split('?').next().unwrap_or_default().to_owned())
        }
        [_, _, version] if version.starts_with("HTTP/1.") => {
            Err(Answer::plain("405 Method Not Allowed", "only GET"))
        }
        _ => Err(Answer::plain("400 Bad Request", "not a request of HTTP/1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        socket.write_all(request).expect("to be sent");
        let mut answer = String::new();
        // What it refused to read may cost the connection a reset behind the answer.
        let _ = socket.read_to_string(&mut answer);
        answer
    }

    fn pages() -> Arc<Pages> {
        Arc::new(|path: &str| (path == "/there").then(|| Answer::plain("200 OK", "here")))
    }

    fn http() -> Http {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Http::start(listener, pages()).expect("started")
    }

    /// Whoever stops is not kept waiting meanwhile.
    #[test]
    fn a_listener_that_gives_no_connection_is_tried_again_later() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        // Nobody may connect to it.
        let listener = TcpListener::from_std(socket.into());
        assert_eq!(accept(&listener, &pages(), &Arc::default()), Some(ACCEPT_PAUSE));
    }

    #[test]
    fn a_request_gets_its_page_and_others_are_told_off() {
        let http = http();
        let status = |request: &str| {
            let answer = ask(http.address, request.as_bytes());
            answer.lines().next().unwrap_or_default().to_owned()
        };
        let found = ask(http.address, b"GET /there?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\nhere\n"), "{found}");
        assert_eq!(status("GET /there HTTP/1.0\n\n"), "HTTP/1.1 200 OK");
        assert_eq!(status("GET /elsewhere HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 Not Found");
        assert_eq!(status("POST /there HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(status("hello\r\n\r\n"), "HTTP/1.1 400 Bad Request");
        let long = format!("GET /there HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_SIZE_MAX));
        assert!(status(&long).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn a_few_slow_clients_are_all_there_may_be() {
        let http = http();
        let slow: Vec<TcpStream> =
            (0..CONNECTIONS_MAX).map(|_| TcpStream::connect(http.address).expect("it listens")).collect();
        let mut one_more = TcpStream::connect(http.address).expect("it listens");
        assert_eq!(one_more.read(&mut [0]).unwrap_or(0), 0, "closed at once");
        drop(slow);
        // They are noticed to be gone one after the other.
        let deadline = Instant::now() + Duration::from_secs(20);
        while ask(http.address, b"GET /there HTTP/1.1\r\n\r\n").is_empty() {
            assert!(Instant::now() < deadline, "nobody is answered any more");
        }
    }
}
