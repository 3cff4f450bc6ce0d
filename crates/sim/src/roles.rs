//! What each machine of a run is to its cluster: broker, controller or both, as `process.roles` has it.

use klamm_node::Roles;

use crate::{BROKER_COUNT, NODE_COUNT, dice::Dice};

const BROKER: Roles = Roles { broker: true, controller: false };
const CONTROLLER: Roles = Roles { broker: false, controller: true };

/// A majority of them is two.
const VOTER_COUNT: usize = 3;

/// See the module; the brokers come first.
#[derive(Clone, Debug)]
pub struct Layout(Vec<Roles>);

impl Layout {
    /// In seven runs of ten all machines are both. Drawn by itself, so that those runs stay what they were.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed.rotate_left(24));
        let mut roles = vec![Roles::BOTH; BROKER_COUNT];
        if dice.chance(30) {
            roles = vec![BROKER; BROKER_COUNT];
            if dice.chance(50) {
                roles[dice.index(BROKER_COUNT)] = Roles::BOTH;
            }
            while roles.iter().filter(|it| it.controller).count() < VOTER_COUNT {
                roles.push(CONTROLLER);
            }
        }
        assert!(roles.len() <= NODE_COUNT, "every machine has its place on the network");
        Self(roles)
    }

    /// Of each machine.
    pub fn iter(&self) -> impl Iterator<Item = Roles> {
        self.0.iter().copied()
    }

    /// How many machines there are.
    pub fn node_count(&self) -> usize {
        self.0.len()
    }

    /// Whether a machine is there, and may decide.
    pub fn is_controller(&self, node: usize) -> bool {
        self.0.get(node).is_some_and(|it| it.controller)
    }

    /// Whether it is there and decides, and is no broker.
    pub fn is_controller_only(&self, node: usize) -> bool {
        self.0.get(node) == Some(&CONTROLLER)
    }

    /// Those that may decide.
    pub fn controllers(&self) -> Vec<usize> {
        (0..self.node_count()).filter(|node| self.is_controller(*node)).collect()
    }

    /// What is counted if this happens to a machine that is not both.
    pub fn name_of(&self, node: usize, [controller, broker]: [&'static str; 2]) -> Option<&'static str> {
        match self.0[node] {
            CONTROLLER => Some(controller),
            BROKER => Some(broker),
            _ => None,
        }
    }
}
