//! What orders the cluster's metadata: engines behind the seam of `klamm_quorum`.

mod solo;

use std::{
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use klamm_model::ControllerEpoch;
use klamm_quorum::Input;

use crate::shared::Shared;

pub(crate) use solo::Opened;

/// What a running engine is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// From the node.
    Input(Input),
    /// Nothing more will come.
    Stop,
}

/// The end that the node's side holds.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    orders: mpsc::Sender<Order>,
}

impl Engine {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel();
        (Self { orders }, received)
    }

    /// Called under the node's lock, so that proposals keep their order.
    pub(crate) fn propose(&self, epoch: ControllerEpoch, payload: Bytes) {
        self.tell(Order::Input(Input::Propose { epoch, payload }));
    }

    pub(crate) fn stop(&self) {
        self.tell(Order::Stop);
    }

    fn tell(&self, order: Order) {
        // The engine is gone only when the server stops; then nobody waits for the proposal.
        let _ = self.orders.send(order);
    }
}

/// Starts the engine of a cluster of one on a thread of its own, which ends by telling whether all of its log is on disk.
pub(crate) fn start_solo(
    shared: Arc<Shared>,
    opened: Opened,
    orders: mpsc::Receiver<Order>,
) -> std::io::Result<thread::JoinHandle<bool>> {
    thread::Builder::new().name("metadata".to_owned()).spawn(move || solo::run(shared, opened, &orders))
}
