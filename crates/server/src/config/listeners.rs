//! Kafka's way to name addresses: `NAME://HOST:PORT`, and a map from names to what is spoken there.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

use klamm_cluster::config::items;

use super::{Config, SetError};

/// One item of a list of listeners.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Address {
    name: String,
    /// Empty: every address of this machine.
    host: String,
    port: u16,
}

impl Config {
    /// Makes addresses of what was set for `listeners` and `advertised.listeners`; they depend on each other and on other keys, so that this comes when all is set.
    ///
    /// # Errors
    /// If an address cannot be read or found, or if something else than plaintext is to be spoken there.
    pub fn settle_listeners(&mut self) -> Result<(), SetError> {
        let listeners = self.addresses("listeners")?;
        let unusable = |reason| self.unusable("listeners", reason);
        let found: Vec<SocketAddr> =
            listeners.iter().map(Address::find).collect::<Result<_, _>>().map_err(unusable)?;
        if self.given("listeners").is_some() {
            if found.is_empty() && self.node.roles.broker {
                return Err(self.unusable("listeners", "there is none for clients".to_owned()));
            }
            if !found.is_empty() {
                self.listeners = found;
            }
        }
        if let Some(first) = self.addresses("advertised.listeners")?.into_iter().next() {
            self.advertised = Some(self.reachable("advertised.listeners", first)?);
        }
        if let Some(own) = self.node_addresses("node.listener")?.first() {
            let found = own.find().map_err(|reason| self.unusable("node.listener", reason))?;
            self.node_listener = Some(found);
        }
        if let Some(own) = self.node_addresses("node.advertised.listener")?.into_iter().next() {
            self.node_advertised = Some(self.reachable("node.advertised.listener", own)?);
        }
        let joined = self.node_addresses("node.join")?;
        if joined.is_empty() && self.given("node.join").is_some() {
            // Of names that were not set, perhaps: the node would found a cluster of its own beside the one it was to be in.
            return Err(self.unusable("node.join", "there is no address in it".to_owned()));
        }
        self.join = joined.into_iter().map(|it| self.reachable("node.join", it)).collect::<Result<_, _>>()?;
        if let Some(twice) = self.join.iter().enumerate().find(|(at, it)| self.join[..*at].contains(it)) {
            let (host, port) = twice.1;
            return Err(self.unusable("node.join", format!("{host}:{port} is there twice")));
        }
        Ok(())
    }

    /// An address that others are to connect to.
    fn reachable(&self, key: &'static str, address: Address) -> Result<(String, u16), SetError> {
        if matches!(address.host.as_str(), "" | "0.0.0.0" | "::") {
            return Err(self.unusable(key, format!("nobody can connect to {:?}", address.host)));
        }
        if address.port == 0 {
            return Err(self.unusable(key, "nobody can connect to port 0".to_owned()));
        }
        Ok((address.host, address.port))
    }

    /// The addresses of nodes that a key names; they have no names of listeners before them.
    fn node_addresses(&self, key: &'static str) -> Result<Vec<Address>, SetError> {
        let parse = |item: &str| {
            if item.contains("://") {
                return Err(format!("{item:?} is not HOST:PORT"));
            }
            Address::parse(item)
        };
        let given = items(self.given(key).unwrap_or_default());
        given.map(parse).collect::<Result<_, _>>().map_err(|reason| self.unusable(key, reason))
    }

    /// The addresses that a key names, without those that are meant for KRaft's controllers.
    fn addresses(&self, key: &'static str) -> Result<Vec<Address>, SetError> {
        let mut addresses = Vec::new();
        for item in items(self.given(key).unwrap_or_default()) {
            let address = Address::parse(item).map_err(|reason| self.unusable(key, reason))?;
            let for_controllers = items(self.given("controller.listener.names").unwrap_or_default());
            if for_controllers.into_iter().any(|it| it.eq_ignore_ascii_case(&address.name)) {
                continue;
            }
            let protocol = self.protocol(&address.name)?;
            if protocol != "PLAINTEXT" {
                // Never plaintext instead (B40): somebody relies on it.
                let reason = format!("{} is to speak {protocol}, which is not served yet", address.name);
                return Err(self.unusable(key, reason));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }

    /// What is spoken on a listener: by the map, or, where the map does not have it, what it is called.
    fn protocol(&self, name: &str) -> Result<String, SetError> {
        const KEY: &str = "listener.security.protocol.map";
        let mut protocol = name.to_uppercase();
        for pair in items(self.given(KEY).unwrap_or_default()) {
            let Some((mapped, spoken)) = pair.split_once(':') else {
                return Err(self.unusable(KEY, format!("{pair:?} is not NAME:PROTOCOL")));
            };
            if mapped.trim().eq_ignore_ascii_case(name) {
                protocol = spoken.trim().to_uppercase();
            }
        }
        Ok(protocol)
    }

    fn unusable(&self, name: &'static str, reason: String) -> SetError {
        SetError::Unusable { name, value: self.given(name).unwrap_or_default().to_owned(), reason }
    }
}

impl Address {
    /// `NAME://HOST:PORT`, with a host in brackets where it has colons; without a name it is PLAINTEXT.
    fn parse(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once("://").unwrap_or(("PLAINTEXT", text));
        let (host, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| format!("{text:?} has no port; expected HOST:PORT or NAME://HOST:PORT"))?;
        let port = port.parse().map_err(|_| format!("{port:?} in {text:?} is not a port"))?;
        let host = match host.strip_prefix('[').map(|it| it.strip_suffix(']')) {
            Some(Some(inside)) if inside.parse::<Ipv6Addr>().is_ok() => inside,
            None if !host.contains([':', '/', '[', ']']) => host,
            _ => return Err(format!("{host:?} in {text:?} is not a host")),
        };
        Ok(Self { name: name.to_owned(), host: host.to_owned(), port })
    }

    fn find(&self) -> Result<SocketAddr, String> {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        let mut found = (host, self.port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        found.next().ok_or_else(|| format!("{host} has no address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, String, u16), String> {
        Address::parse(text).map(|it| (it.name, it.host, it.port))
    }

    #[test]
    fn an_address_is_a_name_a_host_and_a_port() {
        let ok = |name: &str, host: &str, port| Ok((name.to_owned(), host.to_owned(), port));
        assert_eq!(parsed("PLAINTEXT://:9092"), ok("PLAINTEXT", "", 9092));
        assert_eq!(parsed("INSIDE://broker-1.example:19092"), ok("INSIDE", "broker-1.example", 19092));
        assert_eq!(parsed("PLAINTEXT://[::1]:9092"), ok("PLAINTEXT", "::1", 9092));
        assert_eq!(parsed("127.0.0.1:0"), ok("PLAINTEXT", "127.0.0.1", 0));
        for wrong in [
            "",
            "PLAINTEXT://",
            "host",
            "host:",
            "host:port",
            "host:65536",
            "host:-1",
            "::1:9092",
            "[host]:1",
            "[::1:1",
            "a/b:1",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
