//! Whose turn it is on an I/O thread. Knows no sockets and no clock.
//!
//! All connections that want a turn have one in each round, but of those whose requests cost much only one, after the others: however many they are
//! and whatever they ask for, nobody else waits for more than one of them at a time. Who turns out to be costly ends the round.

use std::{collections::VecDeque, time::Duration};

use klamm_node::ConnectionId;

/// Received bytes after which a round ends: what was read is written while it is still in the processor's cache, and few buffers are in use.
const ROUND_BYTES: u64 = 1 << 20;

/// How long a connection's requests are read, checked and answered from the view before it is another's turn, and how long a round goes on. A few bytes may
/// ask for much work.
pub(crate) const TURN_TIME: Duration = Duration::from_millis(2);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queued: VecDeque<ConnectionId>,
    costly: VecDeque<ConnectionId>,
    round: Round,
}

/// What is left of a round.
#[derive(Debug, Default)]
struct Round {
    turns: usize,
    costly_turns: usize,
    bytes: u64,
    time: Duration,
}

/// What a turn was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    pub(crate) is_costly: bool,
}

impl Turns {
    /// A connection that is not waiting for a turn yet wants one. `is_costly`: its last one was.
    pub(crate) fn want(&mut self, id: ConnectionId, is_costly: bool) {
        if is_costly { &mut self.costly } else { &mut self.queued }.push_back(id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.costly.is_empty()
    }

    /// Whoever wants a turn from now on has it in the next round.
    pub(crate) fn begin_round(&mut self) {
        let (turns, costly_turns) = (self.queued.len(), self.costly.len().min(1));
        self.round = Round { turns, costly_turns, bytes: ROUND_BYTES, time: TURN_TIME };
    }

    /// Who is next in this round. [`Self::took`] has to follow.
    pub(crate) fn next(&mut self) -> Option<ConnectionId> {
        let (queue, left) = match &mut self.round {
            Round { turns: 0, costly_turns, .. } => (&mut self.costly, costly_turns),
            Round { turns, .. } => (&mut self.queued, turns),
        };
        *left = left.checked_sub(1)?;
        queue.pop_front()
    }

    /// Those for whom the round has no time left come first in the next one.
    pub(crate) fn took(&mut self, turn: Turn) {
        let round = &mut self.round;
        round.bytes = round.bytes.saturating_sub(turn.bytes);
        round.time = round.time.saturating_sub(turn.time);
        if turn.is_costly || round.bytes == 0 || round.time.is_zero() {
            round.turns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Turn = Turn { bytes: 100, time: Duration::from_micros(10), is_costly: false };
    const COSTLY: Turn = Turn { bytes: 100, time: Duration::from_millis(30), is_costly: true };

    /// Who had a turn in each round; everybody wants another one at once.
    fn rounds(count: usize, connections: &[(u64, Turn)]) -> Vec<Vec<u64>> {
        let mut turns = Turns::default();
        for (id, _) in connections {
            turns.want(ConnectionId(*id), false);
        }
        let round = |_| {
            let mut had = Vec::new();
            turns.begin_round();
            while let Some(id) = turns.next() {
                let (_, turn) = connections.iter().find(|(it, _)| *it == id.0).expect("it is one of them");
                turns.took(*turn);
                turns.want(id, turn.is_costly);
                had.push(id.0);
            }
            had
        };
        (0..count).map(round).collect()
    }

    #[test]
    fn everybody_else_has_a_turn_between_those_of_two_costly_ones() {
        let connections = [(1, COSTLY), (2, CHEAP), (3, COSTLY), (4, CHEAP), (5, COSTLY)];
        let had = rounds(7, &connections);
        // Nobody knows yet what they ask for: each that is found out ends its round, and in the next one it waits behind the others.
        assert_eq!(had[..3], [vec![1], vec![2, 3, 1], vec![4, 5, 3]]);
        assert_eq!(had[3..], [vec![2, 4, 1], vec![2, 4, 5], vec![2, 4, 3], vec![2, 4, 1]]);
    }

    #[test]
    fn a_round_ends_after_so_many_bytes_and_so_much_time_and_goes_on_where_it_ended() {
        let large = Turn { bytes: ROUND_BYTES / 2, ..CHEAP };
        let slow = Turn { time: TURN_TIME / 2, ..CHEAP };
        for turn in [large, slow] {
            let connections: Vec<_> = (1..=5).map(|id| (id, turn)).collect();
            assert_eq!(rounds(3, &connections), [[1, 2], [3, 4], [5, 1]], "{turn:?}");
        }
        let connections: Vec<_> = (1..=5).map(|id| (id, CHEAP)).collect();
        assert_eq!(rounds(2, &connections), [[1, 2, 3, 4, 5]; 2]);
    }
}
