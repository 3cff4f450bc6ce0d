//! Groups, as administrators see them. The broker has the number 1.

use std::collections::BTreeMap;

use klamm_client::{
    Admin, ByItem, CommittedOffset, GroupFilter, GroupState, GroupType, ListedGroup, PartitionName,
};
use klamm_model::{BrokerId, ErrorCode, Offset};

use crate::admin::{code, until};
use crate::with_topic;

fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset::from(Offset::new(offset))
}

fn all_went_well<K: Ord + std::fmt::Debug + Clone>(outcomes: &ByItem<K, ()>) -> Vec<K> {
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    outcomes.keys().cloned().collect()
}

#[test]
fn offsets_are_committed_told_and_taken_away() {
    with_topic(3, async |client, topic| {
        let (admin, group) = (Admin::new(&client), format!("{topic}-group"));
        let partition = |number| PartitionName::new(topic, number);
        assert_eq!(admin.group_offsets(&group, None).await, Ok(BTreeMap::new()), "there is no such group");

        let with_metadata = CommittedOffset { metadata: "by hand".into(), ..offset(7) };
        let committed = BTreeMap::from([(partition(0), offset(0)), (partition(1), with_metadata.clone())]);
        let altered = admin.alter_group_offsets(&group, &committed).await.expect("answers");
        assert_eq!(all_went_well(&altered), [partition(0), partition(1)]);
        let nowhere = BTreeMap::from([(partition(9), offset(1)), (partition(0), offset(3))]);
        let altered = admin.alter_group_offsets(&group, &nowhere).await.expect("answers");
        assert_eq!(altered[&partition(0)], Ok(()));
        assert_eq!(code(&altered[&partition(9)]), Some(ErrorCode::UnknownTopicOrPartition));

        let (first, second) = ((partition(0), Ok(Some(offset(3)))), (partition(1), Ok(Some(with_metadata))));
        let all = admin.group_offsets(&group, None).await;
        assert_eq!(all, Ok(BTreeMap::from([first.clone(), second.clone()])));
        let asked = [partition(0), partition(2)];
        let some = admin.group_offsets(&group, Some(&asked)).await;
        assert_eq!(some, Ok(BTreeMap::from([first, (partition(2), Ok(None))])));

        let deleted = admin.delete_group_offsets(&group, &[partition(0)]).await.expect("answers");
        assert_eq!(all_went_well(&deleted), [partition(0)]);
        assert_eq!(admin.group_offsets(&group, None).await, Ok(BTreeMap::from([second])));
        let deleted = admin.delete_group_offsets("no-such-group", &[partition(0)]).await;
        assert_eq!(code(&deleted), Some(ErrorCode::GroupIdNotFound));
    });
}

#[test]
fn groups_are_listed_described_and_deleted() {
    with_topic(1, async |client, topic| {
        let admin = Admin::new(&client);
        let (a, b) = (format!("{topic}-a"), format!("{topic}-b"));
        for group in [&a, &b] {
            let committed = BTreeMap::from([(PartitionName::new(topic, 0), offset(1))]);
            all_went_well(&admin.alter_group_offsets(group, &committed).await.expect("answers"));
        }
        let listed = async |states: &[GroupState], types: &[GroupType]| {
            let filter = GroupFilter { states: states.to_vec(), types: types.to_vec() };
            let mut groups = admin.list_groups(&filter).await?;
            groups.retain(|name, _| *name == a || *name == b);
            Ok(groups)
        };
        let group = ListedGroup {
            protocol_type: String::new(),
            state: GroupState::Empty,
            group_type: GroupType::Classic,
            coordinator: BrokerId(1),
        };
        let both = BTreeMap::from([(a.clone(), group.clone()), (b.clone(), group)]);
        let (empty, classic) = (GroupState::Empty, GroupType::Classic);
        let unknown: GroupState = "somehow".parse().expect("a word");
        for (states, types, found) in [
            (&[][..], &[][..], true),
            (&[GroupState::Stable, empty][..], &[classic][..], true),
            (&[GroupState::Stable][..], &[][..], false),
            (&[unknown][..], &[][..], false),
            (&[][..], &[GroupType::Consumer][..], false),
        ] {
            let expected = if found { both.clone() } else { BTreeMap::new() };
            assert_eq!(listed(states, types).await, Ok(expected), "{states:?} {types:?}");
        }

        let described = admin.describe_groups(&[&a, "no-such-group"]).await.expect("answers");
        let group = described[&a].as_ref().expect("described");
        assert_eq!((&group.state, group.coordinator), (&GroupState::Empty, BrokerId(1)));
        assert_eq!((&group.members, &group.protocol), (&Vec::new(), &None));
        let gone = described["no-such-group"].as_ref().expect_err("it never was");
        assert_eq!(gone.to_string(), "no-such-group: there is no such group");

        let deleted = admin.delete_groups(&[&a, "no-such-group"]).await.expect("answers");
        assert_eq!(deleted[&a], Ok(()));
        assert_eq!(code(&deleted["no-such-group"]), Some(ErrorCode::GroupIdNotFound));
        until(async || listed(&[], &[]).await, |left| left.keys().eq([&b])).await;
        assert_eq!(admin.group_offsets(&a, None).await, Ok(BTreeMap::new()));
    });
}
