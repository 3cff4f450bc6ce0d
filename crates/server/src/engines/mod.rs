//! What orders the cluster's metadata: engines behind the seam of `klamm_quorum`.

pub(crate) mod raft;
mod solo;

use std::{
    collections::BTreeMap,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use bytes::Bytes;
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{Input, Registration, Snapshot, VoterChange};
use parking_lot::Mutex;

use tokio::sync::mpsc as queue;
use uuid::Uuid;

use self::raft::Member;
use crate::shared::Shared;

pub(crate) use solo::Opened;

/// Connections that wait until the engine takes them; more are closed.
const LINKS_MAX: usize = 64;

/// What a running engine is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// From the node.
    Input(Input),
    /// A node asks to be a member, or says where it is.
    LetIn(Member),
    /// Nothing more will come.
    Stop,
    /// For tests: end as a crash would.
    #[cfg(test)]
    Crash,
}

/// A connection that another node made to talk to the engine here, after both have greeted.
#[derive(Debug)]
pub(crate) struct QuorumLink {
    /// Nonblocking.
    pub(crate) socket: TcpStream,
    pub(crate) from: BrokerId,
    /// The disk it has its metadata on, as it says.
    pub(crate) directory: Uuid,
    /// What was read already.
    pub(crate) read: Vec<u8>,
}

/// The end that the node's side holds.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    orders: Orders,
}

#[derive(Clone, Debug)]
enum Orders {
    Solo(mpsc::Sender<Order>),
    Raft {
        orders: queue::UnboundedSender<Order>,
        links: queue::Sender<QuorumLink>,
        members: Members,
        is_lost: IsLost,
    },
}

/// A quorum's members, as far as this node knows.
pub(crate) type Members = Arc<Mutex<BTreeMap<BrokerId, Member>>>;

/// Whether this node has heard of no leader for so long that it asks to be let in. The members that it knows may be those of long ago.
pub(crate) type IsLost = Arc<AtomicBool>;

/// The end that an engine of several nodes holds.
pub(crate) struct RaftEnds {
    pub(crate) orders: queue::UnboundedReceiver<Order>,
    pub(crate) links: queue::Receiver<QuorumLink>,
    pub(crate) members: Members,
    pub(crate) is_lost: IsLost,
}

impl Engine {
    /// Of a cluster of one.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel();
        (Self { orders: Orders::Solo(orders) }, received)
    }

    /// Of a cluster of several.
    pub(crate) fn raft() -> (Self, RaftEnds) {
        let (orders, received) = queue::unbounded_channel();
        let (links, connected) = queue::channel(LINKS_MAX);
        let (members, is_lost) = (Members::default(), IsLost::default());
        let ends = RaftEnds {
            orders: received,
            links: connected,
            members: Arc::clone(&members),
            is_lost: Arc::clone(&is_lost),
        };
        (Self { orders: Orders::Raft { orders, links, members, is_lost } }, ends)
    }

    /// Where the members are called, as far as this node knows.
    pub(crate) fn addresses(&self) -> Vec<(String, u16)> {
        match &self.orders {
            Orders::Solo(_) => Vec::new(),
            Orders::Raft { members, .. } => {
                members.lock().values().map(|it| (it.host.clone(), it.port)).collect()
            }
        }
    }

    /// The disk of a member, as far as this node knows.
    pub(crate) fn disk_of(&self, node: BrokerId) -> Option<Uuid> {
        match &self.orders {
            Orders::Solo(_) => None,
            Orders::Raft { members, .. } => members.lock().get(&node).map(|it| it.directory),
        }
    }

    /// Where a member is called by other nodes, as far as this node knows. Those that are no brokers are in no metadata.
    pub(crate) fn address_of(&self, node: BrokerId) -> Option<(String, u16)> {
        match &self.orders {
            Orders::Solo(_) => None,
            Orders::Raft { members, .. } => members.lock().get(&node).map(|it| (it.host.clone(), it.port)),
        }
    }

    /// Why this node does not talk to that one, if so: it is no member of the quorum, or has another disk than the member. A node that knows no members yet
    /// talks to any; so does one that is lost, for those that it knows may be members no more, and others have taken their places.
    pub(crate) fn refuses(&self, node: BrokerId, directory: Uuid) -> Option<String> {
        let Orders::Raft { members, is_lost, .. } = &self.orders else {
            return Some("this node is a cluster of its own".to_owned());
        };
        let members = members.lock();
        match members.get(&node) {
            Some(Member { directory: known, .. }) if *known == directory => None,
            Some(Member { directory: known, .. }) => Some(format!(
                "node {node} is a member with the disk {known}, and this one is {directory}: it may have forgotten what it promised"
            )),
            None if members.is_empty() || is_lost.load(Ordering::Relaxed) => None,
            None => Some(format!("node {node} is no member of the quorum")),
        }
    }

    /// Called under the node's lock, so that proposals keep their order.
    pub(crate) fn propose(&self, epoch: ControllerEpoch, payload: Bytes) {
        self.tell(Order::Input(Input::Propose { epoch, payload }));
    }

    /// The node's state up to a position.
    pub(crate) fn offer(&self, snapshot: Snapshot) {
        self.tell(Order::Input(Input::OfferSnapshot(snapshot)));
    }

    /// How is the quorum?
    pub(crate) fn describe(&self) {
        self.tell(Order::Input(Input::Describe));
    }

    /// Change who votes.
    pub(crate) fn change_voters(&self, change: VoterChange) {
        self.tell(Order::Input(Input::ChangeVoters(change)));
    }

    /// A broker came or went.
    pub(crate) fn registration(&self, told: Registration) {
        self.tell(Order::Input(Input::Registration(told)));
    }

    /// A node asks to be a member, or is one that nobody calls and says where it is. It does so again and again, so nobody waits for what becomes of it.
    pub(crate) fn let_in(&self, member: Member) {
        if let Orders::Raft { members, .. } = &self.orders {
            // Without members there is no cluster yet, which is founded by other rules.
            let is_begun = !members.lock().is_empty();
            if is_begun {
                self.tell(Order::LetIn(member));
            }
        }
    }

    /// The engine goes on with this connection, or closes it.
    pub(crate) fn take_link(&self, link: QuorumLink) {
        if let Orders::Raft { links, .. } = &self.orders {
            // Whoever dialed tries again.
            let _ = links.try_send(link);
        }
    }

    pub(crate) fn stop(&self) {
        self.tell(Order::Stop);
    }

    fn tell(&self, order: Order) {
        // The engine is gone only when the server stops; then nobody waits for the proposal.
        let _ = match &self.orders {
            Orders::Solo(orders) => orders.send(order).is_ok(),
            Orders::Raft { orders, .. } => orders.send(order).is_ok(),
        };
    }
}

/// The first order, and those that wait behind it, `count_max` in all. The others stay where they are.
fn with_waiting(
    first: Option<Order>,
    next: impl FnMut() -> Option<Order>,
    count_max: usize,
) -> impl Iterator<Item = Order> {
    first.into_iter().chain(std::iter::from_fn(next)).take(count_max)
}

/// Starts the engine of a cluster of one on a thread of its own, which ends by telling whether all of its log is on disk.
pub(crate) fn start_solo(
    shared: Arc<Shared>,
    opened: Opened,
    orders: mpsc::Receiver<Order>,
) -> std::io::Result<thread::JoinHandle<bool>> {
    thread::Builder::new().name("metadata".to_owned()).spawn(move || solo::run(shared, opened, &orders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_with_another_disk_and_who_is_no_member_are_refused() {
        let (engine, ends) = Engine::raft();
        let (node, disk) = (BrokerId(1), Uuid::from_u128(7));
        assert_eq!(engine.refuses(node, disk), None, "nobody is known yet");
        let member = Member { id: node, directory: disk, host: "h".to_owned(), port: 7 };
        ends.members.lock().insert(node, member);
        assert_eq!(engine.address_of(node), Some(("h".to_owned(), 7)));
        assert_eq!(engine.refuses(node, disk), None);
        for (node, disk) in [(node, Uuid::from_u128(8)), (BrokerId(2), disk)] {
            engine.refuses(node, disk).expect("it is another");
        }
        // Others may have become members since.
        ends.is_lost.store(true, Ordering::Relaxed);
        assert_eq!(engine.refuses(BrokerId(2), disk), None);
        engine.refuses(node, Uuid::from_u128(8)).expect("that disk is another still");
    }

    #[test]
    fn orders_that_are_not_taken_at_once_are_taken_later() {
        let (engine, orders) = Engine::new();
        let propose = |epoch| engine.propose(ControllerEpoch(epoch), Bytes::new());
        (0..10).for_each(propose);
        let mut taken = Vec::new();
        while let Ok(first) = orders.try_recv() {
            let all = with_waiting(Some(first), || orders.try_recv().ok(), 4);
            taken.push(all.map(|it| format!("{it:?}")).collect::<Vec<_>>());
        }
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert!(taken.concat().is_sorted(), "in order, and each once: {taken:?}");
    }
}
