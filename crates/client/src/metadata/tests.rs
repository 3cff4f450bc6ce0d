use klamm_wire::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};

use super::*;

fn cache() -> MetadataCache {
    MetadataCache::new(Backoff::default(), 300_000, Random::new(1))
}

fn answer(leader: i32, leader_epoch: i32) -> MetadataResponse {
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: "one".into(),
            port: 9092,
            ..Default::default()
        }],
        topics: vec![MetadataResponseTopic {
            name: Some("t".into()),
            partitions: vec![MetadataResponsePartition {
                leader_id: leader,
                leader_epoch,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[test]
fn a_late_answer_does_not_bring_an_old_leader_back() {
    let mut cache = cache();
    cache.want("t");
    cache.answered(Tick(0), answer(2, 5));
    cache.answered(Tick(1), answer(1, 4));
    assert_eq!(cache.cluster().leader("t", 0), Some((BrokerId(2), 5)));
    cache.answered(Tick(2), answer(1, 6));
    assert_eq!(cache.cluster().leader("t", 0), Some((BrokerId(1), 6)));
}

/// A broker that was cut off told its old picture after another one had just begun and knew no topic: it was believed, and with it a leader that was gone.
#[test]
fn an_answer_that_knows_no_such_topic_does_not_make_an_old_leader_believed() {
    let without = |error: ErrorCode| MetadataResponse {
        topics: vec![MetadataResponseTopic {
            name: Some("t".into()),
            error_code: error.code(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let (id, another) = (7, 8);
    for error in [ErrorCode::UnknownTopicOrPartition, ErrorCode::LeaderNotAvailable] {
        let mut cache = cache();
        cache.want("t");
        cache.answered(Tick(0), with_id(answer(2, 5), id));
        cache.answered(Tick(1), without(error));
        assert_eq!(cache.cluster().leader("t", 0), None);
        cache.answered(Tick(2), with_id(answer(1, 4), id));
        assert_eq!(cache.cluster().leader("t", 0), None, "{error:?}");
        cache.answered(Tick(3), with_id(answer(2, 5), id));
        assert_eq!(cache.cluster().leader("t", 0), Some((BrokerId(2), 5)));
        cache.answered(Tick(4), with_id(answer(1, 0), another));
        assert_eq!(cache.cluster().leader("t", 0), Some((BrokerId(1), 0)), "that is another topic");
    }
}

fn with_id(mut told: MetadataResponse, id: u128) -> MetadataResponse {
    told.topics[0].topic_id = TopicId(uuid::Uuid::from_u128(id));
    told
}

fn believed(cache: &MetadataCache) -> u128 {
    cache.cluster().topic_id("t").0.as_u128()
}

/// A broker that had not heard yet that a topic was deleted and made anew was believed after another one that had: readers began anew, twice.
#[test]
fn a_topic_that_was_replaced_is_not_taken_for_the_new_one() {
    let mut cache = cache();
    cache.want("t");
    for (at, (told, is_believed)) in
        [(7, 7), (8, 8), (7, 8), (8, 8), (9, 9), (8, 9), (7, 9)].into_iter().enumerate()
    {
        let now = Tick(at as u64 * 1_000_000_000);
        assert!(cache.ask(now).is_some(), "it is due");
        cache.answered(now, with_id(answer(1, 3), told));
        assert_eq!(believed(&cache), is_believed, "{at}: {told}");
        let wait_ms = cache.next_wake().expect("resting").ms_since(now);
        assert_eq!(wait_ms < 1_000, told != is_believed, "somebody else is asked soon: {wait_ms}");
    }
}

#[test]
fn who_tells_of_a_replaced_topic_for_long_is_right() {
    let mut cache = cache();
    cache.want("t");
    // The second one was late.
    cache.answered(Tick(0), with_id(answer(1, 0), 8));
    cache.answered(Tick(0), with_id(answer(1, 0), 7));
    let told = |cache: &mut MetadataCache, at_ms: u64, id| {
        cache.answered(Tick(0).after_ms(at_ms), with_id(answer(1, 0), id));
        believed(cache)
    };
    assert_eq!(told(&mut cache, 1_000, 8), 7);
    assert_eq!(told(&mut cache, 5_000, 7), 7);
    for at_ms in [9_000, 12_000, 18_999] {
        assert_eq!(told(&mut cache, at_ms, 8), 7, "the other one was told after that of one second");
    }
    assert_eq!(told(&mut cache, 19_000, 8), 8);
    assert_eq!(told(&mut cache, 19_001, 7), 8);
}

#[test]
fn a_topic_that_is_made_anew_for_ever_fills_no_memory() {
    let mut cache = cache();
    cache.want("t");
    for id in 1..1_000 {
        cache.answered(Tick(0), with_id(answer(1, 0), id));
        assert_eq!(believed(&cache), id);
    }
    assert!(format!("{:?}", cache.seen).len() < 1_000, "{:?}", cache.seen);
}

#[test]
fn a_hint_is_believed_if_it_is_newer_and_leads_anywhere() {
    let address = BrokerAddress { host: "two".into(), port: 9, rack: None };
    for (leader, epoch, address, is_believed) in [
        (2, 6, Some(address.clone()), true),
        (1, 6, None, true),
        (2, 6, None, false),
        (2, 5, Some(address), false),
    ] {
        let mut cache = cache();
        cache.want("t");
        cache.answered(Tick(0), answer(1, 5));
        let hint = LeaderHint::from_wire(&"t".into(), 0, (leader, epoch), address.clone());
        assert_eq!(cache.hint(hint.expect("it says something")), is_believed, "{leader} {epoch}");
        if is_believed {
            assert_eq!(cache.cluster().leader("t", 0), Some((BrokerId(leader), epoch)));
            assert!(address.is_none() || cache.cluster().brokers.get(&BrokerId(leader)) == address.as_ref());
        }
    }
    assert_eq!(LeaderHint::from_wire(&"t".into(), 0, (-1, 6), None), None);
}

#[test]
fn asks_at_once_for_a_new_topic_and_then_rests() {
    let mut cache = cache();
    assert_eq!(cache.ask(Tick(0)), Some(vec![]));
    assert_eq!(cache.ask(Tick(0)), None, "one question at a time");
    cache.answered(Tick(10), MetadataResponse::default());
    assert_eq!(cache.ask(Tick(20)), None);
    assert!(cache.want("t"));
    assert_eq!(cache.ask(Tick(20)), Some(vec!["t".into()]));
    cache.answered(Tick(30), answer(1, 0));
    assert!(!cache.want("t"));
    assert_eq!(cache.next_wake(), Some(Tick(30).after_ms(300_000)));
}

#[test]
fn asks_again_after_a_back_off_when_stale_or_without_a_leader() {
    let mut cache = cache();
    cache.want("t");
    cache.ask(Tick(0));
    cache.answered(Tick(0), answer(-1, 0));
    let again = cache.next_wake().expect("resting");
    assert!((Tick(0).after_ms(80)..=Tick(0).after_ms(120)).contains(&again), "{again:?}");
    assert!(cache.ask(again).is_some());
    cache.answered(again, answer(1, 1));
    cache.want_all();
    assert_eq!(cache.next_wake(), Some(Tick(0)), "all topics are asked for at once");
    assert!(cache.ask(again).is_some() && cache.wants_all());
    cache.want_all_no_more();
    assert!(!cache.wants_all());
    cache.answered(again, answer(1, 1));
    cache.mark_stale();
    let stale = cache.next_wake().expect("resting");
    assert!(stale >= again.after_ms(80) && stale <= again.after_ms(120), "{stale:?}");
}

#[test]
fn what_nobody_asked_for_is_not_kept_nor_what_nobody_can_reach() {
    let mut cache = cache();
    cache.want("t");
    let topic = |name: String| MetadataResponseTopic { name: Some(name), ..Default::default() };
    for number in 0..10 {
        assert!(cache.ask(Tick(number * 1_000_000)).is_some());
        let mut told = answer(1, 0);
        told.topics.push(topic(format!("new{number}")));
        let nowhere = [0, -1, 65_536].map(|port| MetadataResponseBroker {
            node_id: 9 + port,
            port,
            ..Default::default()
        });
        told.brokers.extend(nowhere);
        cache.answered(Tick(number * 1_000_000), told);
        cache.mark_stale();
    }
    assert_eq!(cache.cluster().topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["t"]);
    assert_eq!(cache.cluster().brokers.keys().collect::<Vec<_>>(), [&BrokerId(1)]);
    assert_eq!(cache.cluster().all_told, 0);
    // Who wants all topics has those that there are now.
    cache.want_all();
    for number in 0..2 {
        assert!(cache.ask(Tick(20_000_000 + number * 1_000_000)).is_some());
        let topics = vec![topic("t".into()), topic(format!("new{number}"))];
        cache.answered(
            Tick(20_000_000 + number * 1_000_000),
            MetadataResponse { topics, ..Default::default() },
        );
        cache.mark_stale();
    }
    assert_eq!(cache.cluster().topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["new1", "t"]);
    assert_eq!(cache.cluster().all_told, 2);
}

#[test]
fn a_failure_is_tried_again_later_and_later() {
    let mut cache = cache();
    let mut now = Tick(0);
    let mut waits = Vec::new();
    for _ in 0..5 {
        assert!(cache.ask(now).is_some());
        cache.failed(now);
        let next = cache.next_wake().expect("resting");
        waits.push(next.ms_since(now));
        now = next;
    }
    assert!(waits[4] > 3 * waits[0], "{waits:?}");
}
