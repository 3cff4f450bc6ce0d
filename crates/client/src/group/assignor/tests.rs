//! Shares as Kafka's assignors give them, and what holds of every share of the sticky ones.

use super::*;
use crate::partitioner::Random;

/// Topics as NAME:COUNT/RACKS…, members as NAME@RACK!INSTANCE=TOPIC…, and what Kafka's own assignors (4.4.0) made of them. Racks are letters, and
/// the partitions have them in turn.
const BY_KAFKA: &str = "\
range | t:3 | b=t a=t | a: t-0 t-1; b: t-2
range | t:2 | a=t b=t c=t | a: t-0; b: t-1; c:
range | t:3 u:3 | a=t,u b=t,u | a: t-0 t-1 u-0 u-1; b: t-2 u-2
range | t:3 u:2 | a=t,u b=t c=u | a: t-0 t-1 u-0; b: t-2; c: u-1
range | t:5 u:4 v:1 | a=t,u,v b=t,v c=u,x d=x | a: t-0 t-1 t-2 u-0 u-1 v-0; b: t-3 t-4; c: u-2 u-3; d:
range | t:4 | a!z=t b!y=t c=t | a: t-2; b: t-0 t-1; c: t-3
range | t:7 u:2 | z=t,u y=u x=t,u w=t | w: t-0 t-1 t-2; x: t-3 t-4 u-0; y: u-1; z: t-5 t-6
range | t:6/ab,bc,ca | x@a=t y@b=t z@c=t | x: t-0 t-2; y: t-1 t-3; z: t-4 t-5
range | t:6/a,b,c | x@c=t y@b=t z@a=t | x: t-2 t-5; y: t-1 t-4; z: t-0 t-3
range | t:4/a,b u:4/a,b | x@b=t,u y@a=t,u | x: t-1 t-3 u-1 u-3; y: t-0 t-2 u-0 u-2
range | t:4/a,b u:4/b,a | x@b=t,u y@a=t,u | x: t-0 t-1 u-0 u-1; y: t-2 t-3 u-2 u-3
range | t:5/a,b,c u:3/c,b | x@b=t,u y@a=t z=u | x: t-1 t-2 t-4 u-1; y: t-0 t-3; z: u-0 u-2
range | t:4/ab | x@b=t y@a=t | x: t-0 t-1; y: t-2 t-3
range | t:6/a,a,b | x@b=t y=t z@d=t | x: t-2 t-5; y: t-0 t-1; z: t-3 t-4
range | t:7/a,b,c u:7/c,a,b v:3/b | x@a=t,u,v y@b=t,u,v z@c=t,u,v | x: t-0 t-1 t-2 u-0 u-1 u-2 v-0; y: t-3 t-4 u-3 u-4 v-1; z: t-5 t-6 u-5 u-6 v-2
roundrobin | t:3 | b=t a=t | a: t-0 t-2; b: t-1
roundrobin | t:2 | a=t b=t c=t | a: t-0; b: t-1; c:
roundrobin | t:3 u:3 | a=t,u b=t,u | a: t-0 t-2 u-1; b: t-1 u-0 u-2
roundrobin | t:3 u:2 | a=t,u b=t c=u | a: t-0 t-2 u-1; b: t-1; c: u-0
roundrobin | t:5 u:4 v:1 | a=t,u,v b=t,v c=u,x d=x | a: t-0 t-2 t-4 u-1 u-3; b: t-1 t-3 v-0; c: u-0 u-2; d:
roundrobin | t:4 | a!z=t b!y=t c=t | a: t-1; b: t-0 t-3; c: t-2
roundrobin | t:7 u:2 | z=t,u y=u x=t,u w=t | w: t-0 t-3 t-6; x: t-1 t-4 u-0; y: u-1; z: t-2 t-5";

fn topics(words: &str) -> Topics {
    let topics = words.split(' ').map(|word| {
        let (name, rest) = word.split_once(':').expect("name:count");
        let (count, racks) = rest.split_once('/').unwrap_or((rest, ""));
        let racks: Vec<Racks> = racks.split(',').map(|it| it.chars().map(String::from).collect()).collect();
        let partitions = racks.iter().cycle().take(count.parse().expect("a count"));
        (name.into(), partitions.cloned().collect())
    });
    Topics(topics.collect())
}

/// What a member has stands behind a colon, with the generation in which it got it: NAME=TOPIC…:GENERATION:PARTITION…
fn member(word: &str) -> Subscriber {
    let (who, rest) = word.split_once('=').expect("who=topics");
    let mut rest = rest.split(':');
    let topics = rest.next().expect("topics").split(',').map(Into::into).collect();
    let generation = rest.next().map(|it| it.parse().expect("a generation"));
    let owned = rest.next().into_iter().flat_map(|all| all.split(',')).map(|word| {
        let (topic, partition) = word.split_once('-').expect("topic-partition");
        PartitionName::new(topic, partition.parse().expect("a partition"))
    });
    let (who, instance_id) = who.split_once('!').map_or((who, None), |(who, name)| (who, Some(name.into())));
    let (id, rack) = who.split_once('@').map_or((who, None), |(id, rack)| (id, Some(rack.into())));
    Subscriber { id: id.into(), instance_id, topics, owned: owned.collect(), generation, rack }
}

fn shown(shares: &BTreeMap<String, Share>) -> String {
    let shares = shares.iter().map(|(id, share)| {
        let share: String = share.iter().map(|partition| format!(" {partition}")).collect();
        format!("{id}:{share}")
    });
    shares.collect::<Vec<_>>().join("; ")
}

fn assigned(assignor: Assignor, given: &str, members: &str) -> String {
    let members: Vec<_> = members.split(' ').map(member).collect();
    shown(&assignor.assign(&topics(given), &members))
}

#[test]
fn range_and_round_robin_give_what_kafkas_give() {
    for line in BY_KAFKA.lines() {
        let [assignor, topics, members, shares] =
            line.split(" | ").collect::<Vec<_>>().try_into().expect("four parts");
        assert_eq!(assigned(assignor.parse().expect("an assignor"), topics, members), shares, "{line}");
    }
}

#[test]
fn sticky_members_keep_what_they_have_and_give_what_others_lack() {
    use Assignor::{CooperativeSticky, Sticky};
    for (assignor, topics, members, shares) in [
        (Sticky, "t:4", "a=t b=t", "a: t-0 t-2; b: t-1 t-3"),
        (Sticky, "t:4", "a=t:1:t-1,t-2 b=t:1:t-0,t-3", "a: t-1 t-2; b: t-0 t-3"),
        // One comes, one goes, a partition comes, a topic goes.
        (Sticky, "t:4", "a=t:1:t-0,t-1,t-2,t-3 b=t", "a: t-2 t-3; b: t-0 t-1"),
        (Sticky, "t:4", "a=t:1:t-1,t-2", "a: t-0 t-1 t-2 t-3"),
        (Sticky, "t:5", "a=t:1:t-0,t-1 b=t:1:t-2,t-3", "a: t-0 t-1 t-4; b: t-2 t-3"),
        (Sticky, "t:2", "a=t,u:1:t-0,u-0 b=t,u:1:t-1,u-1", "a: t-0; b: t-1"),
        // Who has an older word, and two with the same, and what nobody else wants.
        (Sticky, "t:2", "a=t:1:t-0,t-1 b=t:2:t-1", "a: t-0; b: t-1"),
        (Sticky, "t:2", "a=t:3:t-0 b=t:3:t-0", "a: t-0; b: t-1"),
        (Sticky, "t:3 u:1", "a=t b=t,u:1:t-0,t-1,t-2", "a: t-0 t-1; b: t-2 u-0"),
        // From the first by way of the second to the third.
        (
            Sticky,
            "t:3 u:2 v:1",
            "a=t:1:t-0,t-1,t-2 b=t,u:1:u-0,u-1 c=u,v:1:v-0",
            "a: t-1 t-2; b: t-0 u-1; c: u-0 v-0",
        ),
        // What moves is nobody's until its owner has given it up.
        (CooperativeSticky, "t:4", "a=t:1:t-0,t-1,t-2,t-3 b=t", "a: t-2 t-3; b:"),
        (CooperativeSticky, "t:4", "a=t:2:t-2,t-3 b=t", "a: t-2 t-3; b: t-0 t-1"),
    ] {
        assert_eq!(assigned(assignor, topics, members), shares, "{topics} {members}");
    }
}

#[test]
fn sticky_shares_are_balanced_and_move_no_more_than_that_takes() {
    let mut random = Random::new(1);
    for case in 0..500 {
        let topic_count = 1 + random.below(4);
        let names: Vec<Arc<str>> = (0..topic_count).map(|number| format!("t{number}").into()).collect();
        let topics = Topics(
            names.iter().map(|name| (name.clone(), vec![Racks::new(); random.below(8) as usize])).collect(),
        );
        let wants_all = case % 2 == 0;
        let mut members = Vec::new();
        for number in 0..1 + random.below(6) {
            let wanted = names.iter().filter(|_| wants_all || random.below(2) == 0).cloned().collect();
            members.push(Subscriber { id: format!("m{number}"), topics: wanted, ..Subscriber::default() });
        }
        let mut before: BTreeMap<String, Share> = BTreeMap::new();
        for round in 0..3 {
            let shares = Assignor::Sticky.assign(&topics, &members);
            check_balance(&topics, &members, &shares);
            if wants_all {
                // Each keeps all that it had, up to what is its due: so many of them one more than the others.
                let sizes: Vec<usize> = shares.values().map(BTreeSet::len).collect();
                let least = sizes.iter().min().copied().unwrap_or(0);
                let larger = sizes.iter().filter(|it| **it > least).count();
                let had = members.iter().map(|member| member.owned.len());
                let more = had.clone().filter(|had| *had > least).count().min(larger);
                let due: usize = had.map(|had| had.min(least)).sum::<usize>() + more;
                let kept: usize =
                    members.iter().map(|it| shares[&it.id].intersection(&it.owned).count()).sum();
                assert_eq!(kept, due, "case {case}, round {round}: {members:?} {shares:?}");
            }
            let again = Assignor::Sticky.assign(&topics, &with(&members, &shares, 1));
            assert_eq!(shares, again, "case {case}, round {round}: who is at rest stays at rest");
            before.clone_from(&shares);
            // Somebody goes or comes.
            members = with(&members, &shares, 1);
            if random.below(2) == 0 && members.len() > 1 {
                members.remove(random.below(members.len() as u64) as usize);
            } else {
                let topics = members[0].topics.clone();
                members.push(Subscriber { id: format!("n{round}"), topics, ..Subscriber::default() });
            }
        }
    }
}

fn with(members: &[Subscriber], shares: &BTreeMap<String, Share>, generation: i32) -> Vec<Subscriber> {
    let with = |member: &Subscriber| Subscriber {
        owned: shares[&member.id].clone(),
        generation: Some(generation),
        ..member.clone()
    };
    members.iter().map(with).collect()
}

/// Everything that somebody wants is given to one who wants it, and nobody could give another one who has less by two.
fn check_balance(topics: &Topics, members: &[Subscriber], shares: &BTreeMap<String, Share>) {
    let mut given: Vec<_> = shares.values().flatten().cloned().collect();
    given.sort();
    let is_wanted = |topic| members.iter().any(|member| member.topics.contains(topic));
    let all = topics.0.iter().filter(|(topic, _)| is_wanted(*topic));
    let all: Vec<_> = all.flat_map(|(topic, it)| (0..it.len()).map(|number| name(topic, number))).collect();
    assert_eq!(given, all, "{members:?} {shares:?}");
    for member in members {
        let share = &shares[&member.id];
        assert!(share.iter().all(|it| member.topics.contains(&it.topic)), "{members:?} {shares:?}");
        for other in members {
            let may_get = |it: &PartitionName| other.topics.contains(&it.topic);
            let is_less = shares[&other.id].len() + 1 < share.len();
            assert!(!is_less || !share.iter().any(may_get), "{members:?} {shares:?}");
        }
    }
}
