//! The addresses of a server: where it listens, and which of them others are told.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use klamm_node::{BROKER_LISTENER, Endpoint, Listener};
use mio::net::TcpListener;

use crate::{
    config::Config,
    io::Door,
    start::{StartError, system},
};

/// All doors, with the addresses that they have in the end.
#[derive(Default)]
pub(crate) struct Doors {
    pub(crate) doors: Vec<Door>,
    /// Where clients connect to, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where other nodes connect to.
    pub(crate) node_address: Option<SocketAddr>,
}

impl Doors {
    /// Takes the addresses for clients. Nobody is listened to yet.
    pub(crate) fn take(config: &Config) -> Result<Self, StartError> {
        let mut doors = Self::default();
        // A controller that is no broker has nothing for clients.
        for address in config.listeners.iter().filter(|_| config.node.roles.broker) {
            let address = doors.add(*address, Listener::Client)?;
            doors.addresses.push(address);
        }
        Ok(doors)
    }

    /// Takes the address for other nodes.
    pub(crate) fn take_for_nodes(&mut self, config: &Config) -> Result<(), StartError> {
        let beside = || {
            let mut address = *self.addresses.first().or(config.listeners.first())?;
            let is_any = config.listeners.first().is_some_and(|it| it.port() == 0);
            address.set_port(if is_any { 0 } else { address.port().checked_add(1)? });
            Some(address)
        };
        let Some(address) = config.node_listener.or_else(beside) else {
            let problem = "there is no port behind the first of listeners; node.listener names one";
            return Err(StartError::Failed(problem.to_owned()));
        };
        self.node_address = Some(self.add(address, Listener::Broker)?);
        Ok(())
    }

    fn add(&mut self, address: SocketAddr, listener: Listener) -> Result<SocketAddr, StartError> {
        let socket = bound_socket(address).map_err(|error| StartError::Listen { address, error })?;
        let local = socket.local_addr().map_err(system("find out an address"))?;
        self.doors.push(Door { socket, listener, is_open: false });
        Ok(local)
    }

    /// Listens. Of a node alone clients wait in the backlog until it is ready, in a moment. A node of several may wait for the others for long: who wants something of the
    /// cluster is turned away at once meanwhile, and goes to another one.
    pub(crate) fn listen(&self, config: &Config) -> Result<Later, StartError> {
        let mut later = Later { sockets: Vec::new(), backlog: config.backlog };
        for door in &self.doors {
            let address = door.socket.local_addr().map_err(system("find out an address"))?;
            if door.listener == Listener::Client && self.node_address.is_some() {
                let socket = door.socket.as_fd().try_clone_to_owned();
                later.sockets.push((address, socket.map_err(system("share a socket"))?));
            } else {
                listen(&door.socket, address, config.backlog)?;
            }
        }
        Ok(later)
    }

    /// What the broker registers as its addresses.
    pub(crate) fn endpoints(&self, config: &Config) -> Vec<Endpoint> {
        let endpoint =
            |name: &str, (host, port): (String, u16)| Endpoint { name: name.to_owned(), host, port };
        let told = |address: &SocketAddr| {
            config.advertised.clone().unwrap_or_else(|| match self.node_address {
                // Alone it tells each client the address that it came in by; others can only pass on what is registered.
                None => (address.ip().to_string(), address.port()),
                Some(_) => advertised(*address),
            })
        };
        let client = self.addresses.first().map(|address| endpoint("PLAINTEXT", told(address)));
        let node = self.node_address.map(|address| {
            let told = config.node_advertised.clone().unwrap_or_else(|| advertised(address));
            endpoint(BROKER_LISTENER, told)
        });
        client.into_iter().chain(node).collect()
    }
}

/// Sockets that do not listen yet.
pub(crate) struct Later {
    sockets: Vec<(SocketAddr, OwnedFd)>,
    backlog: i32,
}

impl Later {
    /// The node is ready.
    pub(crate) fn listen(self) -> Result<(), StartError> {
        self.sockets.iter().try_for_each(|(address, socket)| listen(socket, *address, self.backlog))
    }
}

fn listen(socket: &impl AsFd, address: SocketAddr, backlog: i32) -> Result<(), StartError> {
    let listens = socket2::SockRef::from(socket).listen(backlog);
    listens.map_err(|error| StartError::Listen { address, error })
}

/// How others reach an address that this machine listens on.
fn advertised(address: SocketAddr) -> (String, u16) {
    let host = if address.ip().is_unspecified() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        address.ip().to_string()
    };
    (host, address.port())
}

/// A socket that listens.
pub(crate) fn listen_on(address: SocketAddr, backlog: i32) -> Result<TcpListener, StartError> {
    let socket = bound_socket(address).map_err(|error| StartError::Listen { address, error })?;
    listen(&socket, address, backlog)?;
    Ok(socket)
}

fn bound_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A restarted server finds connections of its former life on the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(TcpListener::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use klamm_model::BrokerId;

    use super::*;

    fn config(listener: &str) -> Config {
        let listeners = vec![listener.parse().expect("an address")];
        Config { listeners, ..Config::new(PathBuf::from("unused"), BrokerId(1)) }
    }

    #[test]
    fn nodes_are_listened_to_beside_clients_and_told_an_address_that_they_reach() {
        let mut config = config("127.0.0.1:0");
        let mut doors = Doors::take(&config).expect("a free port");
        doors.take_for_nodes(&config).expect("another one");
        let address = doors.node_address.expect("taken");
        assert_ne!(address.port(), doors.addresses[0].port());
        let told = doors.endpoints(&config);
        assert_eq!((&*told[1].name, &*told[1].host, told[1].port), ("BROKER", "127.0.0.1", address.port()));
        config.node_advertised = Some(("node-1.example".to_owned(), 7));
        let told = doors.endpoints(&config);
        assert_eq!((&*told[1].host, told[1].port), ("node-1.example", 7));
        let any = advertised("0.0.0.0:19093".parse().expect("an address"));
        assert!(any.0 != "0.0.0.0" && any.1 == 19093, "{any:?}");
    }

    #[test]
    fn clients_of_a_node_of_several_are_turned_away_until_it_is_ready() {
        let connect = |address: SocketAddr| std::net::TcpStream::connect(address).is_ok();
        let config = config("127.0.0.1:0");
        let alone = Doors::take(&config).expect("a free port");
        alone.listen(&config).expect("to listen");
        assert!(connect(alone.addresses[0]));
        let mut one_of_several = Doors::take(&config).expect("a free port");
        one_of_several.take_for_nodes(&config).expect("another one");
        let later = one_of_several.listen(&config).expect("to listen");
        assert!(connect(one_of_several.node_address.expect("taken")));
        assert!(!connect(one_of_several.addresses[0]));
        later.listen().expect("to listen");
        assert!(connect(one_of_several.addresses[0]));
    }
}
