//! Bounds on what clients can make the server hold.

use std::net::TcpStream;

use klamm_model::Codec;

use super::*;
use crate::client::packed;

#[test]
fn bytes_behind_a_body_are_not_the_next_request() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            let mut longer = client.frame(5, &Request::Metadata(MetadataRequest::default())).to_vec();
            // A whole request, hidden where nobody looks.
            let hidden = Client::connect(address).frame(3, &api_versions());
            longer.extend_from_slice(&hidden);
            let length = longer.len() as u32 - 4;
            longer[..4].copy_from_slice(&length.to_be_bytes());
            client.stream.write_all(&longer).expect("to be sent");
            assert_eq!(client.receive(ApiKey::Metadata, 5).0, 1);
            client.send(3, &api_versions());
            assert_eq!(client.receive(ApiKey::ApiVersions, 3).0, 2, "nothing came in between");
        },
    );
}

/// B14. There is one thread for all connections.
#[test]
fn nobody_waits_while_bombs_are_unpacked_and_requests_stay_in_order() {
    with_server(
        |config| config.network_threads = 1,
        |_, address| {
            let (mut bomber, mut good) = (Client::connect(address), Client::connect(address));
            bomber.create_topic_with("packed", 1, &[("compression.type", "gzip")]);
            let bomb = packed(Codec::Zstd, 60 << 20);
            // Whoever waits for bombs waits each time; whoever was kept from asking does not.
            let came_first = (0..5).any(|round| {
                bomber.send(PRODUCE_VERSION, &produce_request("packed", 0, 1, bomb.clone()));
                bomber.send(PRODUCE_VERSION, &produce_request("packed", 0, 1, batch(&[b"behind it"])));
                bomber.send(3, &api_versions());
                good.call(3, &api_versions());
                bomber.stream.set_nonblocking(true).expect("a socket");
                let answered = bomber.stream.peek(&mut [0]).map_err(|error| error.kind());
                bomber.stream.set_nonblocking(false).expect("a socket");
                for offset in [2 * round, 2 * round + 1] {
                    let (_, response) = bomber.receive(ApiKey::Produce, PRODUCE_VERSION);
                    assert_eq!(produced(&response), (offset, 0));
                }
                bomber.receive(ApiKey::ApiVersions, 3);
                answered == Err(std::io::ErrorKind::WouldBlock)
            });
            assert!(came_first, "the good one waited for a bomb");
        },
    );
}

#[test]
fn one_address_cannot_take_all_places() {
    // This machine has eight more.
    let few = |config: &mut Config| config.set("max.connections.per.ip", "2").expect("a key");
    with_server(few, |_, address| {
        let mut good: Vec<Client> = (0..10).map(|_| Client::connect(address)).collect();
        for client in &mut good {
            client.call(3, &api_versions());
        }
        assert!(Client::connect(address).is_closed());
        // Another address of this machine.
        let other =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("to be bound");
        other.connect(&address.into()).expect("the server listens");
        let mut other = Client::on(other.into());
        other.call(3, &api_versions());
        good.pop();
        wait_until("there is room", || {
            let mut next = Client::connect(address);
            let frame = next.frame(3, &api_versions());
            next.stream.write_all(&frame).is_ok() && next.receive_frame().is_ok()
        });
    });
}

#[test]
fn who_is_gone_holds_no_place_but_who_waits_for_an_answer_gets_it() {
    let few = |config: &mut Config| config.set("max.connections", "3").expect("a key");
    with_server(few, |server, address| {
        Client::connect(address).create_topic("events", 1);
        wait_until("the first is gone", || server.connection_count() == 0);
        let mut good = Client::connect(address);
        good.call(3, &api_versions());
        for _ in 0..20 {
            wait_until("there is a place", || server.connection_count() < 3);
            let mut gone = Client::connect(address);
            gone.call(3, &api_versions());
            gone.send(FETCH_VERSION, &fetch_request("events", 0, 0, 300_000));
        }
        wait_until("all are gone", || server.connection_count() == 1);
        for round in 0..20 {
            let mut half = Client::connect(address);
            half.call(3, &api_versions());
            half.send(PRODUCE_VERSION, &produce_request("events", 0, -1, batch(&[b"x"])));
            half.send(FETCH_VERSION, &fetch_request("events", 0, round + 1, 300_000));
            half.stream.shutdown(std::net::Shutdown::Write).expect("connected");
            assert_eq!(produced(&half.receive(ApiKey::Produce, PRODUCE_VERSION).1).1, 0);
            assert!(half.is_closed(), "there is nothing to fetch");
            wait_until("its place is free", || server.connection_count() == 1);
        }
    });
}

#[test]
fn coming_and_going_leaves_nothing_behind() {
    with_server(
        |_| {},
        |server, address| {
            let mut good = Client::connect(address);
            for round in 0..3000 {
                let mut socket = TcpStream::connect(address).expect("the server listens");
                if round % 3 == 0 {
                    // An unfinished frame.
                    socket.write_all(&[0, 0, 1, 0, 0, 18]).expect("to be sent");
                }
                if round % 500 == 0 {
                    good.call(3, &api_versions());
                }
            }
            wait_until("all are gone", || server.connection_count() == 1);
            wait_until("their memory is gone", || server.received_bytes() == 0);
        },
    );
}

#[test]
fn large_requests_wait_for_memory_and_are_all_answered() {
    const BUDGET: usize = 8 << 20;
    const COUNT: usize = 24;
    let little = |config: &mut Config| {
        config.set("queued.max.request.bytes", &BUDGET.to_string()).expect("a key");
        config.set("message.max.bytes", "4000000").expect("a key");
        // However long the one that is let go on is kept from it.
        config.connection.favour = Duration::from_secs(60);
    };
    with_server(little, |server, address| {
        Client::connect(address).create_topic("events", 1);
        let value = vec![1; 3 << 20];
        let frame = Client::connect(address)
            .frame(PRODUCE_VERSION, &produce_request("events", 0, -1, batch(&[&value])));
        thread::scope(|scope| {
            let clients: Vec<_> = (0..COUNT)
                .map(|_| {
                    let frame = frame.clone();
                    scope.spawn(move || {
                        let mut client = Client::connect(address);
                        // Slow enough that all are under way at once.
                        for piece in frame.chunks(256 << 10) {
                            client.stream.write_all(piece).expect("to be sent");
                            thread::sleep(Duration::from_millis(5));
                        }
                        assert_eq!(produced(&client.receive(ApiKey::Produce, PRODUCE_VERSION).1).1, 0);
                    })
                })
                .collect();
            let mut most = 0;
            while clients.iter().any(|client| !client.is_finished()) {
                most = most.max(server.received_bytes());
                thread::sleep(Duration::from_millis(1));
            }
            // Those that go on all the same come on top, one for each thread; without a budget all 72 MiB would be held together.
            assert!(most < 3 * BUDGET, "{most} bytes were held");
        });
    });
}

/// B3, by several at once, each as fast as it can.
#[test]
fn requests_that_are_never_finished_take_a_bounded_part_of_memory() {
    const BUDGET: usize = 4 << 20;
    const FRAME: usize = 24 << 20;
    let little = |config: &mut Config| {
        config.set("queued.max.request.bytes", &BUDGET.to_string()).expect("a key");
        config.connection.favour = Duration::from_millis(200);
    };
    with_server(little, |server, address| {
        Client::connect(address).create_topic("events", 1);
        let mut unfinished = (FRAME as u32).to_be_bytes().to_vec();
        unfinished.resize(FRAME, 0);
        let sockets: Vec<_> =
            (0..10).map(|_| TcpStream::connect(address).expect("the server listens")).collect();
        thread::scope(|scope| {
            let send = |mut socket: &TcpStream| {
                let _ = socket.write_all(&unfinished);
                // Until the server ends the connection.
                let _ = socket.read(&mut [0]);
            };
            let hostile: Vec<_> = sockets.iter().map(|socket| scope.spawn(move || send(socket))).collect();
            let mut most = 0;
            // One for each thread is let go on, and has time as long as nobody waits for it.
            while hostile.iter().filter(|it| !it.is_finished()).count() > 2 {
                most = most.max(server.received_bytes());
                thread::sleep(Duration::from_millis(1));
            }
            assert!(most < BUDGET + 3 * FRAME, "{most} bytes were held");
            let large = produce_request("events", 0, -1, batch(&[&vec![1; 900_000]]));
            // It is let go on too, for as long: on a busy machine it may not use that.
            wait_until("a large one is taken", || {
                let mut good = Client::connect(address);
                let frame = good.frame(PRODUCE_VERSION, &large);
                good.stream.write_all(&frame).is_ok() && good.receive_frame().is_ok()
            });
            assert_eq!(Client::connect(address).fetch("events", 0, 0)[0].len(), 900_000);
            sockets.iter().for_each(|socket| drop(socket.shutdown(std::net::Shutdown::Both)));
        });
        wait_until("their memory is gone", || server.received_bytes() == 0);
    });
}

/// A few bytes ask for an answer as large as the cluster, again and again, and nobody reads it (B19).
#[test]
fn answers_that_nobody_reads_take_a_bounded_part_of_memory() {
    const BUDGET: usize = 8 << 20;
    let little =
        |config: &mut Config| config.set("queued.max.request.bytes", &BUDGET.to_string()).expect("a key");
    with_server(little, |server, address| {
        let mut good = Client::connect(address);
        good.create_topic("wide", 4000);
        let ask = Request::Metadata(MetadataRequest { topics: None, ..Default::default() });
        let mut most = 0;
        let hostile: Vec<Client> = (0..40)
            .map(|_| {
                let mut client = Client::connect(address);
                let frames: Vec<u8> = (0..200).flat_map(|_| client.frame(9, &ask)).collect();
                // It may be closed before it has asked for everything.
                let _ = client.stream.write_all(&frames);
                good.call(9, &ask);
                most = most.max(server.unsent_bytes());
                client
            })
            .collect();
        wait_until("some are given up", || server.connection_count() < hostile.len());
        // Some come on top before it is seen that nobody reads them; without a budget there would be 160 MiB.
        assert!(most < 3 * BUDGET, "{most} bytes were held");
        good.call(9, &ask);
        drop(hostile);
        wait_until("all are gone", || server.connection_count() == 1);
        assert_eq!(server.unsent_bytes(), 0);
    });
}

#[test]
fn a_request_that_waits_holds_nothing_of_its_frame() {
    with_server(
        |_| {},
        |server, address| {
            let mut producer = Client::connect(address);
            producer.create_topic("events", 1);
            let mut waiting: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
            for client in &mut waiting {
                let mut frame = client.frame(FETCH_VERSION, &fetch_request("events", 0, 0, 300_000)).to_vec();
                // Kafka does not look behind a body either.
                frame.resize(1 << 20, 0);
                let length = frame.len() as u32 - 4;
                frame[..4].copy_from_slice(&length.to_be_bytes());
                client.stream.write_all(&frame).expect("to be sent");
            }
            wait_until("all wait", || server.parked_fetches() == waiting.len());
            assert_eq!(server.received_bytes(), 0);
            producer.produce("events", 0, -1, batch(&[b"x"]));
            for client in &mut waiting {
                assert_eq!(client::values(&client.receive(ApiKey::Fetch, FETCH_VERSION).1), [b"x"]);
            }
        },
    );
}
