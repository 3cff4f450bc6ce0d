//! Drives [`Joining`]: a thread for each address asks it, and the thread that starts the server decides.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use klamm_model::TopicId;
use klamm_wire::{GREETING_SIZE_MAX, Greeting, GreetingPurpose};

use super::{Joining, Next};
use crate::{
    engines::raft::Member, greet::Greeter, identity::random_uuid, shared::Shared, start::StartError,
};

/// How long an address may take to connect, and its node to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rest between two questions to an address: short while all are just starting, longer when somebody has to come and start the last one.
const REST_FIRST: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_millis(500);

/// How long a start waits before it says what for, and how often it says it again.
pub(crate) const SAY_EVERY: Duration = Duration::from_secs(5);

/// How this node came to its cluster.
#[derive(Debug)]
pub(crate) enum Found {
    /// It founds it, with these voters.
    Founder(Vec<Member>),
    /// Another one made it a member.
    Member,
}

enum News {
    Answered { at: usize, answer: Result<Greeting, String> },
    Joined,
    Failed(String),
}

/// Waits, for as long as it takes, until this node belongs to a cluster. Which one is on its disks then, and known to `greeter`.
///
/// # Errors
/// If the cluster refuses this node, or its disk fails.
pub(crate) fn join(shared: &Shared, list: &[(String, u16)]) -> Result<Found, StartError> {
    let greeter = &shared.greeter;
    let (tell, news) = mpsc::channel();
    let began = greeter.cluster_id();
    let (joined, failed) = (tell.clone(), tell.clone());
    greeter.on_joined(move || drop(joined.send(News::Joined)));
    shared.on_failure(move |reason| drop(failed.send(News::Failed(reason))));
    for (at, (host, port)) in list.iter().enumerate() {
        let (host, port, greeter, tell) = (host.clone(), *port, Arc::clone(greeter), tell.clone());
        spawn("ask", move || keep_asking(at, &host, port, &greeter, &tell))?;
    }
    let mut joining = Joining::new(greeter.me, began.clone(), list);
    let mut say_at = Instant::now() + SAY_EVERY;
    loop {
        let next = match news.recv_timeout(say_at.saturating_duration_since(Instant::now())) {
            Ok(News::Answered { at, answer }) => joining.answered(at, answer),
            Ok(News::Joined) => return Ok(Found::Member),
            Ok(News::Failed(reason)) => return Err(StartError::Failed(reason)),
            Err(_) => {
                tracing::warn!("waiting to be one cluster: {}", joining.waits_for());
                say_at = Instant::now() + SAY_EVERY;
                continue;
            }
        };
        greeter.heard(joining.founder(), joining.directories(), joining.clusters());
        match next {
            Next::Wait => {}
            Next::Belong => return Ok(Found::Member),
            Next::Refused(why) => return Err(StartError::Refused(why)),
            Next::Found(members) => {
                let cluster_id = match &began {
                    Some(begun) => begun.clone(),
                    None => TopicId(random_uuid().map_err(crate::start::system("draw a random number"))?)
                        .to_string(),
                };
                greeter.belong(&cluster_id)?;
                tracing::info!(cluster_id, ?members, "this node founds a cluster");
                return Ok(Found::Founder(members));
            }
        }
    }
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(crate::start::system("start a thread"))
}

/// Asks one address until nobody wants to know any more.
fn keep_asking(at: usize, host: &str, port: u16, greeter: &Greeter, tell: &mpsc::Sender<News>) {
    let mut rest = REST_FIRST;
    loop {
        let answer = ask(host, port, greeter).map_err(|error| error.to_string());
        if tell.send(News::Answered { at, answer }).is_err() {
            return;
        }
        thread::sleep(rest);
        rest = (rest + REST_FIRST / 10).min(REST_MAX);
    }
}

/// Asks who is there, and to be let in if this node wants that.
pub(super) fn ask(host: &str, port: u16, greeter: &Greeter) -> io::Result<Greeting> {
    question(host, port, &greeter.greeting(GreetingPurpose::Question))
}

/// Asks only who is there.
pub(super) fn ask_who(host: &str, port: u16, greeter: &Greeter) -> io::Result<Greeting> {
    question(host, port, &Greeting { address: None, ..greeter.greeting(GreetingPurpose::Question) })
}

fn question(host: &str, port: u16, greeting: &Greeting) -> io::Result<Greeting> {
    let question = greeting.encode().map_err(io::Error::other)?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE).and_then(|socket| exchange(socket, &question)) {
            Ok(answer) => return Ok(answer),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Which of these addresses do not answer, and why, for people.
pub(crate) fn silent(list: &[(String, u16)], greeter: &Greeter) -> String {
    let silent = list.iter().filter_map(|(host, port)| {
        let error = ask_who(host, *port, greeter).err()?;
        Some(format!("{host}:{port}: {error}"))
    });
    let silent: Vec<_> = silent.collect();
    if silent.is_empty() { "all of them answer".to_owned() } else { silent.join("; ") }
}

fn exchange(mut socket: TcpStream, question: &[u8]) -> io::Result<Greeting> {
    let no_node = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(question)?;
    let mut size = [0; 4];
    socket.read_exact(&mut size).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => no_node(
            "who is there closed the connection: is it the listener of a node for other nodes?".to_owned(),
        ),
        io::ErrorKind::WouldBlock => no_node("who is there does not answer".to_owned()),
        _ => error,
    })?;
    let size = u32::from_be_bytes(size);
    if size > GREETING_SIZE_MAX {
        return Err(no_node("who is there is no node of Klamm's".to_owned()));
    }
    let mut frame = vec![0; size as usize];
    socket.read_exact(&mut frame)?;
    Greeting::decode(frame.into())
        .map_err(|error| no_node(format!("who is there is no node of Klamm's: {error}")))
}
