//! Feature levels.

use expect_test::expect;

use super::rig::Rig;
use super::{check, check_on, config};

/// A cluster that was founded with all levels of this software, and three brokers of it.
fn founded() -> Rig {
    let mut rig = Rig::new(config(), 0);
    for line in ["register 1", "register 2", "register 3", "features klamm.metadata.version=1"] {
        rig.run(line);
    }
    rig
}

#[test]
fn a_level_goes_where_all_brokers_can_follow() {
    check_on(
        founded(),
        "features group.version=0
         features down group.version=0
         features down group.version=1
         features down group.version=0
         features group.version=1
         features transaction.version=3
         features nonsense.version=1
         features nonsense.version=0
         features group.version=-1
         features sideways group.version=0
         would-features down group.version=0
         features down group.version=0 group.version=0
         features down group.version=0 transaction.version=7
         features lossy group.version=0 transaction.version=1
         features lossy klamm.metadata.version=0
         features down metadata.version=32",
        expect![[r#"
            features group.version=0
                Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
            features down group.version=0
                + group.version is at level 0
                set
            features down group.version=1
                Invalid update version 1 for feature group.version. Can't downgrade to a newer version.
            features down group.version=0
                set
            features group.version=1
                + group.version is at level 1
                set
            features transaction.version=3
                Invalid update version 3 for feature transaction.version. Local controller 0 only supports versions 0-2
            features nonsense.version=1
                Invalid update version 1 for feature nonsense.version. Local controller 0 does not support this feature.
            features nonsense.version=0
                set
            features group.version=-1
                Invalid update version -1 for feature group.version. A feature version cannot be less than 0.
            features sideways group.version=0
                Invalid update version 0 for feature group.version. The controller does not support the given upgrade type.
            would-features down group.version=0
                set
            features down group.version=0 group.version=0
                Invalid update version 0 for feature group.version. It is named more than once.
            features down group.version=0 transaction.version=7
                Invalid update version 7 for feature transaction.version. Local controller 0 only supports versions 0-2
            features lossy group.version=0 transaction.version=1
                + group.version is at level 0
                + transaction.version is at level 1
                set
            features lossy klamm.metadata.version=0
                Invalid update version 0 for feature klamm.metadata.version. The metadata are written at level 1 and stay there.
            features down metadata.version=32
                Invalid update version 32 for feature metadata.version. Local controller 0 only supports versions 33-33
        "#]],
    );
}

/// It would be one broker that answers what nobody else does, or one that does not know what it reads.
#[test]
fn a_broker_that_lacks_a_level_of_the_cluster_is_refused_and_one_that_is_there_holds_the_others_back() {
    check_on(
        founded(),
        "register 4 old
         register 4 group.version:0-0
         register 4 klamm.metadata.version:2-3
         register 4 group.version:1-5
         register 5 transaction.version:2-2
         features down transaction.version=1
         unregister 5
         features down transaction.version=1
         register 5 transaction.version:2-2",
        expect![[r#"
            register 4 old
                Unable to register because the broker does not support finalized version 1 of eligible.leader.replicas.version. The broker wants a version between 0 and 0, inclusive.
            register 4 group.version:0-0
                Unable to register because the broker does not support finalized version 1 of group.version. The broker wants a version between 0 and 0, inclusive.
            register 4 klamm.metadata.version:2-3
                Unable to register because the broker does not support finalized version 1 of klamm.metadata.version. The broker wants a version between 2 and 3, inclusive.
            register 4 group.version:1-5
                + broker 4 registers
                broker epoch 5
            register 5 transaction.version:2-2
                + broker 5 registers
                broker epoch 6
            features down transaction.version=1
                Invalid update version 1 for feature transaction.version. Broker 5 only supports versions 2-2
            unregister 5
                + UnregisterBroker { id: BrokerId(5), epoch: BrokerEpoch(6) }
                unregistered
            features down transaction.version=1
                + transaction.version is at level 1
                set
            register 5 transaction.version:2-2
                Unable to register because the broker does not support finalized version 1 of transaction.version. The broker wants a version between 2 and 2, inclusive.
        "#]],
    );
}

/// Of controllers that are no brokers there is no registration; what the engine's connections show is that of one that is there.
#[test]
fn a_node_that_is_no_broker_and_does_not_read_a_form_of_the_metadata_holds_it_back() {
    check(
        "register 1
         sees 1 0/0 7 0/0 8 gone/0 9 600/0
         features klamm.metadata.version=1
         features klamm.metadata.version=0
         sees 1 0/0 7 0/1 8 gone/0 9 600/0
         features klamm.metadata.version=1",
        expect![[r#"
            register 1
                + broker 1 registers
                broker epoch 1
            sees 1 0/0 7 0/0 8 gone/0 9 600/0
            features klamm.metadata.version=1
                Invalid update version 1 for feature klamm.metadata.version. Node 7 only supports versions 0-0
            features klamm.metadata.version=0
                set
            sees 1 0/0 7 0/1 8 gone/0 9 600/0
            features klamm.metadata.version=1
                + eligible.leader.replicas.version is at level 1
                + group.version is at level 1
                + klamm.metadata.version is at level 1
                + metadata.version is at level 33
                + transaction.version is at level 2
                set
        "#]],
    );
}

/// The first record of a level is one that nodes of before do not know.
#[test]
fn a_cluster_of_before_there_were_levels_keeps_none_until_all_of_it_knows_them() {
    check(
        "register 1 old
         register 2
         register 3 group.version:0-0
         features down group.version=0
         features klamm.metadata.version=1
         register 1
         features down group.version=0
         features group.version=1
         features klamm.metadata.version=1
         features klamm.metadata.version=1
         features down group.version=0
         register 1 old",
        expect![[r#"
            register 1 old
                + broker 1 registers
                broker epoch 1
            register 2
                + broker 2 registers
                broker epoch 2
            register 3 group.version:0-0
                Unable to register because the broker does not support finalized version 1 of group.version. The broker wants a version between 0 and 0, inclusive.
            features down group.version=0
                Invalid update version 0 for feature group.version. The metadata of this cluster keep no levels yet: raise klamm.metadata.version first, or in the same request.
            features klamm.metadata.version=1
                Invalid update version 1 for feature klamm.metadata.version. Broker 1 does not support this feature.
            register 1
                + broker 1 registers
                broker epoch 3
            features down group.version=0
                Invalid update version 0 for feature group.version. The metadata of this cluster keep no levels yet: raise klamm.metadata.version first, or in the same request.
            features group.version=1
                set
            features klamm.metadata.version=1
                + eligible.leader.replicas.version is at level 1
                + group.version is at level 1
                + klamm.metadata.version is at level 1
                + metadata.version is at level 33
                + transaction.version is at level 2
                set
            features klamm.metadata.version=1
                set
            features down group.version=0
                + group.version is at level 0
                set
            register 1 old
                Unable to register because the broker does not support finalized version 1 of eligible.leader.replicas.version. The broker wants a version between 0 and 0, inclusive.
        "#]],
    );
}
