//! What goes wrong with connections: they break, in the middle of a frame too, what was sent by them arrives late or twice, and some fall silent.

use bytes::Bytes;
use klamm_node::PeerFailure;

use super::{Arrival, ConnectionSide, Message, Network, Party, Wire};
use crate::timeline::{Happening, MS, SECOND, Timeline};

impl Network {
    /// A connection breaks: the caller notices now, the server when it has read what came before. In some cases requests that are on the way get stuck in
    /// a buffer and arrive much later; the last of them not as a whole, or all of them twice.
    pub fn break_one(&mut self, timeline: &mut Timeline, out: &mut Vec<Arrival>) {
        let Some(id) = self.draw_open(timeline) else { return };
        timeline.coverage.count("network: broken connection");
        timeline.note(format_args!("network: connection {id} breaks"));
        self.lose_some(id, timeline);
        self.give_up(id, PeerFailure::Disconnected, true, timeline, out);
    }

    /// Every connection of a client breaks, so that what it sends again comes by new ones.
    pub fn break_all_of(&mut self, caller: Party, timeline: &mut Timeline, out: &mut Vec<Arrival>) {
        let ids: Vec<u64> =
            self.current.iter().filter(|((party, ..), _)| *party == caller).map(|(_, id)| *id).collect();
        for id in ids {
            if timeline.dice.chance(50) {
                self.lose_some(id, timeline);
            }
            self.give_up(id, PeerFailure::Disconnected, true, timeline, out);
        }
    }

    /// A connection falls silent, and neither side is told: only who waits for an answer can find out (F47).
    pub fn silence_one(&mut self, timeline: &mut Timeline) {
        let Some(id) = self.draw_open(timeline) else { return };
        timeline.coverage.count("network: half-open connection");
        timeline.note(format_args!("network: connection {id} is half open"));
        let connection = self.connections.get_mut(&id).expect("drawn just now");
        connection.is_half_open = true;
        for wire in [&mut connection.to_server, &mut connection.to_caller] {
            wire.messages.retain(|(_, message)| matches!(message, Message::Close));
        }
    }

    fn draw_open(&self, timeline: &mut Timeline) -> Option<u64> {
        let open = self.connections.iter().filter(|(_, it)| it.caller_open && it.server_open);
        let ids: Vec<u64> = open.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[timeline.dice.index(ids.len())])
    }

    /// What is on its way to the server is cut off, arrives late, or also by another way.
    fn lose_some(&mut self, id: u64, timeline: &mut Timeline) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if timeline.dice.chance(40) {
            cut_in_the_middle(&mut connection.to_server, timeline);
        } else if timeline.dice.chance(60) {
            let held = std::mem::take(&mut connection.to_server.messages);
            if timeline.dice.chance(70) {
                let due = timeline.now() + timeline.dice.between(10 * MS, 4 * SECOND);
                for (_, message) in held {
                    connection.to_server.messages.push_back((due, message));
                    timeline.at(due, Happening::Arrives { connection: id, at: ConnectionSide::Server });
                }
                connection.to_server.last_arrival = due;
            }
        }
        if matches!(connection.caller, Party::Client(_)) && timeline.dice.chance(40) {
            self.repeat(id, timeline);
        }
    }

    /// What a client asked in vain arrives once more, each request by a way of its own: late, and in any order (F36). What was answered can't:
    /// whoever got the answer has acknowledged its bytes.
    fn repeat(&mut self, id: u64, timeline: &mut Timeline) {
        let connection = &self.connections[&id];
        let (caller, server) = (connection.caller, connection.server);
        let frames: Vec<Bytes> = connection.asked.iter().map(|asked| asked.frame.clone()).collect();
        for frame in frames {
            timeline.coverage.count("network: request that arrives twice");
            let way = self.add_connection(caller, server, 0);
            let connection = self.connections.get_mut(&way).expect("made just now");
            connection.caller_open = false;
            connection.to_server.last_arrival = timeline.now() + timeline.dice.between(MS, 4 * SECOND);
            self.send(way, ConnectionSide::Server, Message::Bytes(frame), timeline);
            self.send(way, ConnectionSide::Server, Message::Close, timeline);
        }
    }
}

/// The connection ends in the middle of what was sent last; nothing more arrives but its end.
pub(super) fn cut_in_the_middle(wire: &mut Wire, timeline: &mut Timeline) {
    if let Some((_, Message::Bytes(frame))) = wire.messages.back_mut() {
        frame.truncate(timeline.dice.index(frame.len()));
    }
}
