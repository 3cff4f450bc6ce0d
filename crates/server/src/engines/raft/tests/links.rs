//! Connections to members that are not where all know them, without an engine that makes use of it.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use klamm_model::BrokerId;
use klamm_wire::GreetingPurpose;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::LocalSet,
    time::{sleep, timeout},
};

use super::{
    super::{
        Member,
        driver::Event,
        links::{Links, Wired},
    },
    cluster::{PATIENCE, directory, greeting},
};

const ME: BrokerId = BrokerId(1);
const MEMBER: BrokerId = BrokerId(2);
/// A member whose machine is off, and that was started on another.
const GONE: BrokerId = BrokerId(3);

struct World {
    links: Rc<Links>,
    events: mpsc::UnboundedReceiver<Event>,
}

fn run(test: impl AsyncFnOnce(World)) {
    let (told, events) = mpsc::unbounded_channel();
    let links = Links::new(Arc::new(|it| greeting(ME, 1, it)), Arc::new(|_| None), told, Rc::new(|_| false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test(World { links, events }));
}

/// It refuses as long as nobody listens there.
fn port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// From now on the member answers there; how often it did.
fn answer(socket: TcpSocket, id: BrokerId) -> Rc<Cell<usize>> {
    let listener = socket.listen(8).expect("it is bound");
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    tokio::task::spawn_local(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            greet(&mut stream, id).await.expect("whoever connects greets");
            counted.set(counted.get() + 1);
            kept.push(stream);
        }
    });
    count
}

async fn greet(stream: &mut TcpStream, id: BrokerId) -> io::Result<()> {
    let size = stream.read_i32().await?;
    stream.read_exact(&mut vec![0; size.unsigned_abs() as usize]).await?;
    stream.write_all(&greeting(id, 1, GreetingPurpose::Quorum).encode().expect("it is short")).await
}

fn member(id: BrokerId, port: u16) -> Member {
    Member { id, directory: directory(id), host: "127.0.0.1".to_owned(), port }
}

impl World {
    fn know(&self, members: &[Member]) {
        self.links.set(members.iter().map(|it| (it.id, it.address())));
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Event) -> bool) {
        let happened = async { while !is_so(&self.events.recv().await.expect("it goes on")) {} };
        timeout(PATIENCE, happened).await.unwrap_or_else(|_| panic!("{what}: not after {PATIENCE:?}"));
    }

    async fn until_up(&mut self, id: BrokerId) {
        self.until("it is up", |it| matches!(it, Event::Up(peer, _) if *peer == id)).await;
    }

    /// Looks again and again, for nobody tells of it.
    async fn until_found(&self) -> Vec<Member> {
        let began = Instant::now();
        while self.links.found_elsewhere().is_empty() {
            assert!(began.elapsed() < PATIENCE, "nobody is found");
            sleep(Duration::from_millis(10)).await;
        }
        self.links.found_elsewhere()
    }

    /// Who is found elsewhere until the one is that is gone from where it was: all others there would have been found before.
    async fn found_with_gone(&mut self, others: &[Member]) -> Vec<BrokerId> {
        // Half a second passes each time until it is clear that nobody answers there.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let was = silent.local_addr().expect("an address").port();
        let (door, elsewhere) = port();
        answer(door, GONE);
        self.know(&[others, &[member(GONE, was)]].concat());
        self.links.says(&member(GONE, elsewhere));
        self.until_up(GONE).await;
        self.until_found().await.iter().map(|it| it.id).collect()
    }
}

#[test]
fn a_member_that_can_be_reached_only_where_it_was_is_called_there_and_not_taken_for_moved() {
    run(async |mut world| {
        let (door, was) = port();
        answer(door, MEMBER);
        world.know(&[member(MEMBER, was)]);
        world.until_up(MEMBER).await;
        // Where it is now others reach it; and again.
        let ((_refuses, now), (_refuses_too, then)) = (port(), port());
        for port in [now, then] {
            world.know(&[member(MEMBER, port)]);
            world.until_up(MEMBER).await;
        }
        assert_eq!(world.found_with_gone(&[member(MEMBER, then)]).await, [GONE]);
    });
}

/// A machine that is off, with an address that is kept in mind, would be waited for at each try, and a copy on it be taken for the member.
#[test]
fn where_a_member_was_is_forgotten_once_it_has_answered_where_it_is() {
    run(async |mut world| {
        let ((door, was), (other, now), (_refuses, then)) = (port(), port(), port());
        let (before, after) = (answer(door, MEMBER), answer(other, MEMBER));
        for port in [was, now] {
            world.know(&[member(MEMBER, port)]);
            world.until_up(MEMBER).await;
        }
        assert_eq!((before.get(), after.get()), (1, 1));
        world.know(&[member(MEMBER, then)]);
        world.until_up(MEMBER).await;
        assert_eq!((before.get(), after.get()), (1, 2), "the last that answered");
        let another = Member { directory: directory(ME), ..member(MEMBER, then) };
        world.know(&[another]);
        world.until("all there is refuses", |it| matches!(it, Event::Refused(_))).await;
        assert_eq!((before.get(), after.get()), (1, 2), "another disk is another node, and was nowhere");
    });
}

#[test]
fn a_member_that_answers_again_where_all_know_it_is_not_elsewhere() {
    run(async |mut world| {
        let ((known, was), (door, elsewhere)) = (port(), port());
        answer(door, MEMBER);
        world.know(&[member(MEMBER, was)]);
        world.links.says(&member(MEMBER, elsewhere));
        world.until_up(MEMBER).await;
        let count = answer(known, MEMBER);
        world.until_up(MEMBER).await;
        assert_eq!(count.get(), 2, "it was looked for there, and is called there");
        assert_eq!(world.links.found_elsewhere(), []);
    });
}

#[test]
fn a_member_that_was_away_for_a_second_is_not_elsewhere() {
    run(async |mut world| {
        let ((_refuses, was), (door, elsewhere)) = (port(), port());
        answer(door, MEMBER);
        let began = Instant::now();
        world.know(&[member(MEMBER, was)]);
        world.links.says(&member(MEMBER, elsewhere));
        world.until_up(MEMBER).await;
        assert_eq!(world.until_found().await, [member(MEMBER, elsewhere)]);
        let took = began.elapsed();
        assert!(Duration::from_secs(1) < took, "after {took:?}");
    });
}

#[test]
fn a_member_whose_name_cannot_be_looked_up_for_a_while_is_not_elsewhere() {
    run(async |mut world| {
        let (door, elsewhere) = port();
        answer(door, MEMBER);
        // No such name can be, whatever names there are where this runs.
        let unknown = [Member { host: "\0".to_owned(), ..member(MEMBER, elsewhere) }];
        world.know(&unknown);
        world.links.says(&member(MEMBER, elsewhere));
        world.until_up(MEMBER).await;
        assert_eq!(world.found_with_gone(&unknown).await, [GONE]);
    });
}

/// It may be to another address than before, so that what it has said of that counts no more.
#[test]
fn whoever_connects_is_told_of() {
    run(async |mut world| {
        let (socket, to) = port();
        let listener = socket.listen(8).expect("it is bound");
        let _caller = TcpStream::connect(("127.0.0.1", to)).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("one has connected");
        let wired = Wired::new(stream, BytesMut::new()).expect("it can be used");
        tokio::task::spawn_local(Rc::clone(&world.links).serve(MEMBER, wired, |_, _| true));
        world.until("it calls", |it| matches!(it, Event::Called(MEMBER))).await;
        assert_eq!(world.links.callers(), [MEMBER].into());
    });
}
