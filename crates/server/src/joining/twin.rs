//! Two processes that are the same node: one has a copy of the other's data directory.

use klamm_wire::Greeting;

use super::ask::ask;
use crate::greet::{Greeter, Me};

/// At which of these addresses, where others call this node, another process answers with its number and its disk; for people.
pub(crate) fn twin(addresses: &[(String, u16)], greeter: &Greeter) -> Option<String> {
    let (host, port) = addresses
        .iter()
        .find(|(host, port)| ask(host, *port, greeter).is_ok_and(|answer| is_twin(&greeter.me, &answer)))?;
    Some(format!("{host}:{port}"))
}

fn is_twin(me: &Me, other: &Greeting) -> bool {
    (other.node, other.directory) == (me.node, me.directory) && other.incarnation != me.incarnation
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
        assert!(is_twin(&this, &answers(me(1, 10, 101))));
        for other in [this, me(1, 11, 101), me(2, 10, 101)] {
            assert!(!is_twin(&this, &answers(other)), "{other:?}");
        }
    }
}
