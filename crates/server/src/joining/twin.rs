//! Two processes that are the same node: one has a copy of the other's data directory.

use klamm_wire::Greeting;

use super::ask::ask_who;
use crate::greet::{Greeter, Me};

/// Who answers where the others call this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answers {
    /// This process.
    This,
    /// Another process with its number and its disk.
    Twin,
    /// Another node, or nobody.
    Another,
}

pub(crate) fn who_answers((host, port): &(String, u16), greeter: &Greeter) -> Answers {
    ask_who(host, *port, greeter).map_or(Answers::Another, |answer| who(&greeter.me, &answer))
}

fn who(me: &Me, other: &Greeting) -> Answers {
    if other.incarnation == me.incarnation {
        Answers::This
    } else if (other.node, other.directory) == (me.node, me.directory) {
        Answers::Twin
    } else {
        Answers::Another
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::BrokerId;
    use klamm_wire::GreetingPurpose;
    use uuid::Uuid;

    use super::*;
    use crate::greet::Known;

    fn me(node: i32, directory: u128, incarnation: u128) -> Me {
        let [directory, incarnation] = [directory, incarnation].map(Uuid::from_u128);
        Me { node: BrokerId(node), directory, incarnation, may_vote: true }
    }

    #[test]
    fn only_another_process_on_the_same_disk_is_one() {
        let this = me(1, 10, 100);
        let answers = |other: Me| Known::default().greeting(&other, GreetingPurpose::Question);
        assert_eq!(who(&this, &answers(this)), Answers::This);
        assert_eq!(who(&this, &answers(me(1, 10, 101))), Answers::Twin);
        for other in [me(1, 11, 101), me(2, 10, 101)] {
            assert_eq!(who(&this, &answers(other)), Answers::Another, "{other:?}");
        }
    }
}
