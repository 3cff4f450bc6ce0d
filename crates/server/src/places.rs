//! How many connections there may be: in all, and from one address (B26).

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use klamm_node::Listener;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Places that other brokers have beyond those of clients, so that no flood of clients cuts the cluster apart.
const BROKER_PLACES: usize = 64;

/// Places that clients on this machine have beyond those of others and of one address: limits are changed at run time through a connection, and who has set one too
/// low, or is flooded, must still get in to set it again.
const LOCAL_PLACES: usize = 8;

/// The places of a server.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: AtomicUsize,
    /// Those of clients.
    by_ip: Mutex<FxHashMap<IpAddr, usize>>,
}

/// How many places there are now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceLimits {
    /// In all.
    pub(crate) total: usize,
    /// For one address.
    pub(crate) per_ip: usize,
}

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// Counted by address.
    ip: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("max.connections is reached")]
    Total,
    #[error("max.connections.per.ip is reached")]
    PerIp,
}

impl Places {
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn take(
        self: &Arc<Self>,
        listener: Listener,
        ip: IpAddr,
        limits: PlaceLimits,
    ) -> Result<Place, NoPlace> {
        let ip = ip.to_canonical();
        let local_places = if ip.is_loopback() { LOCAL_PLACES } else { 0 };
        let total = match listener {
            Listener::Client => limits.total.saturating_add(local_places),
            Listener::Broker => limits.total.saturating_add(BROKER_PLACES),
        };
        // One thread takes places, so nobody comes in between.
        if self.taken() >= total {
            return Err(NoPlace::Total);
        }
        let counted = (listener == Listener::Client).then_some(ip);
        if let Some(ip) = counted {
            let mut by_ip = self.by_ip.lock();
            let taken = by_ip.entry(ip).or_default();
            if *taken >= limits.per_ip.saturating_add(local_places) {
                return Err(NoPlace::PerIp);
            }
            *taken += 1;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Place { places: Arc::clone(self), ip: counted })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.ip {
            let mut by_ip = self.places.by_ip.lock();
            if let Some(taken) = by_ip.get_mut(&ip) {
                *taken -= 1;
                if *taken == 0 {
                    by_ip.remove(&ip);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_in_all_and_fewer_for_one_address() {
        let places = Arc::new(Places::default());
        let limits = PlaceLimits { total: 3, per_ip: 2 };
        let take = |listener, last: u8| places.take(listener, IpAddr::from([10, 0, 0, last]), limits);
        let client = |last| take(Listener::Client, last);
        let one = client(1).expect("free");
        let _two = client(1).expect("free");
        assert_eq!(client(1).err(), Some(NoPlace::PerIp));
        let mapped = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(places.take(Listener::Client, mapped.into(), limits).err(), Some(NoPlace::PerIp));
        let other = client(2).expect("another address");
        assert_eq!(client(3).err(), Some(NoPlace::Total));
        let _broker = take(Listener::Broker, 1).expect("brokers have places of their own");
        drop(one);
        assert_eq!(client(3).err(), Some(NoPlace::Total), "the broker has it");
        drop(other);
        drop(client(1).expect("free again"));
        assert_eq!((places.taken(), places.by_ip.lock().len()), (2, 1));
    }

    #[test]
    fn whoever_is_on_this_machine_gets_in_whatever_the_limits_are() {
        let places = Arc::new(Places::default());
        let limits = PlaceLimits { total: 0, per_ip: 0 };
        let client = |ip: [u8; 4]| places.take(Listener::Client, ip.into(), limits);
        let local: Vec<_> = (0..LOCAL_PLACES).map(|_| client([127, 0, 0, 1]).expect("free")).collect();
        assert!(client([127, 0, 0, 1]).is_err() && client([10, 0, 0, 1]).is_err());
        drop(local);
        assert!(client([10, 0, 0, 1]).is_err() && client([127, 0, 0, 1]).is_ok());
    }
}
