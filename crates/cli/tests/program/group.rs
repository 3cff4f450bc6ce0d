//! `klamm group`.

use std::io::{Read, Write};
use std::net::TcpStream;

use expect_test::expect;
use klamm_client::{Admin, Client, ClientConfig, PartitionName};
use klamm_model::Offset;
use klamm_wire::consumer_protocol::AssignmentTopicPartition;
use klamm_wire::join_group::JoinGroupRequestProtocol;
use klamm_wire::sync_group::SyncGroupRequestAssignment;
use klamm_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, JoinGroupRequest, Message, Reader, Request,
    RequestHeader, Response, ResponseHeader, SyncGroupRequest, Writer, encode_request,
};

use crate::broker::{Broker, klamm};

/// A broker with five records in `orders-0` and one in `orders-1`, and with a group that has read some of them.
fn with_group() -> Broker {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "orders", "-p", "2"]);
    broker.ok_with_input(&["produce", "orders", "-p", "0"], "1\n2\n3\n4\n5\n");
    // Written an hour and a minute ago, or a bit more until it is asked for.
    broker.ok_with_input(
        &["produce", "orders", "-p", "1", "-f", "%T,%s\\n"],
        &format!("{},6\n", now_ms() - 3_660_000),
    );
    broker.ok(&["group", "seek", "billing", "--to", "start", "--topics", "orders"]);
    broker.ok(&["group", "seek", "billing", "--to", "+2", "-p", "0"]);
    broker
}

fn now_ms() -> u128 {
    std::time::UNIX_EPOCH.elapsed().expect("it is later").as_millis()
}

#[test]
fn groups_are_listed_by_state_and_described_with_what_they_have_not_read() {
    let broker = with_group();
    broker.ok(&["group", "list"]).expect(
        &[],
        &expect![[r#"
            GROUP  STATE  TYPE  PROTOCOL  COORDINATOR
            billing  Empty  classic  -  1
        "#]],
    );
    let list = ["group", "list", "--format", "json"];
    for (arguments, count) in
        [(&["--state", "stable"][..], 0), (&["--state", "EMPTY", "bill.*"][..], 1), (&["b"][..], 0)]
    {
        let listed = broker.ok(&[&list[..], arguments].concat()).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{arguments:?} {listed}");
    }
    let described = broker.ok(&["group", "describe", "billing", "--format", "json"]).json();
    let partitions = described[0]["partitions"].as_array().expect("a list");
    let of = |key: &str| partitions.iter().map(|it| it[key].as_i64()).collect::<Vec<_>>();
    assert_eq!((of("committed"), of("end")), (vec![Some(2), Some(0)], vec![Some(5), Some(1)]));
    assert_eq!((of("lag"), described[0]["lag"].as_i64()), (vec![Some(3), Some(1)], Some(4)));
    assert!((0..3_600_000).contains(&of("behind_ms")[0].expect("known")), "{described}");
    assert!((3_660_000..7_200_000).contains(&of("behind_ms")[1].expect("known")), "{described}");
    assert_eq!(described[0]["behind_ms"], partitions[1]["behind_ms"]);
    // The group has moved just now, as its log tells.
    assert!(partitions.iter().all(|it| it["stuck"] == "no" && it["stuck_since_ms"].is_null()), "{described}");
    broker.ok(&["group", "seek", "billing", "--to", "end"]);
    broker.run_anyway(&["group", "describe", "billing", "nothing"]).expect(
        &[],
        &expect![[r#"
            group  billing
            state  Empty
            protocol  -
            coordinator  1
            members  0
            lag  0 records, 0.0 s behind

            TOPIC  PARTITION  COMMITTED  END  LAG  BEHIND  STUCK SINCE  MEMBER  CLIENT
            orders  0  5  5  0  0.0 s  -  -  -
            orders  1  1  1  0  0.0 s  -  -  -
            klamm: nothing: there is no such group
            exit code 1
        "#]],
    );
}

#[test]
fn a_group_goes_on_where_it_is_told() {
    let broker = with_group();
    broker.ok(&["group", "seek", "billing", "--to", "@-30m", "--dry-run"]).expect(
        &[],
        &expect![[r#"
            TOPIC  PARTITION  OLD  WOULD BE
            orders  0  2  0
            orders  1  0  1
        "#]],
    );
    broker.ok(&["group", "seek", "billing", "--to", "+1"]).expect(
        &[],
        &expect![[r#"
            TOPIC  PARTITION  OLD  NEW
            orders  0  2  3
            orders  1  0  1
        "#]],
    );
    broker.ok(&["group", "seek", "billing", "--to", "-2"]).expect(
        &[],
        &expect![[r#"
            TOPIC  PARTITION  OLD  NEW
            orders  0  3  1
            orders  1  1  0
        "#]],
    );
    broker.run_anyway(&["group", "seek", "billing", "--to", "4"]).expect(
        &[],
        &expect![[r#"
            TOPIC  PARTITION  OLD  NEW
            orders  0  1  4
            orders  1  0  -
            klamm: orders-1: the log has no such offset
            exit code 1
        "#]],
    );
    let sought =
        broker.ok(&["group", "seek", "new", "--to", "end", "--topics", "orders", "--format", "json"]).json();
    assert_eq!(sought[0]["committed_before"], serde_json::Value::Null);
    assert_eq!(sought[0]["committed"], 5);
    assert_eq!(sought[1]["committed"], 1);
    broker
        .fails(&["group", "seek", "other", "--to", "end"])
        .says("has committed nothing of that; --topics names");
    broker
        .fails(&["group", "seek", "other", "--to", "end", "--topics", "nothing"])
        .says("there is no topic \"nothing\"");
    klamm(&["group", "seek", "billing", "--to", "middle"])
        .code(2)
        .says("expected start, end, an offset, +N or -N");
}

#[test]
fn what_was_committed_beyond_the_end_is_no_lag_of_nothing() {
    let broker = with_group();
    let committed = [(PartitionName::new("orders", 0), Offset::new(9).into())].into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let altered = runtime.block_on(async {
        let client = Client::connect(ClientConfig::new(broker.address())).await.expect("connects");
        Admin::new(&client).alter_group_offsets("billing", &committed).await.expect("committed")
    });
    assert!(altered.values().all(Result::is_ok), "{altered:?}");
    let described = broker.ok(&["group", "describe", "billing", "--format", "json"]).json();
    let of = |key: &str| {
        described[0]["partitions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it[key].as_i64())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of("lag"), of("behind_ms")[0], described[0]["lag"].as_i64()),
        (vec![Some(-4), Some(1)], None, Some(1))
    );
    let read = broker.ok(&["consume", "orders", "-g", "billing", "-e", "-f", "%s,"]);
    assert_eq!(read.stderr, "klamm: orders-0: the log has no offset 9; going on at 0\n");
    assert_eq!(read.stdout.split_terminator(',').count(), 6, "{}", read.stdout);
}

#[test]
fn a_group_says_where_it_goes_on_when_its_place_was_trimmed() {
    let broker = with_group();
    broker.ok(&["topic", "trim", "orders", "-p", "0", "--to", "4"]);
    for (begins, told, records) in [("latest", "5", 1), ("earliest", "4", 2)] {
        let begins = format!("auto.offset.reset={begins}");
        let consume = ["consume", "orders", "-g", "billing", "-e", "-f", "%s,", "-X", &begins];
        // What is read is not committed, so that the next one begins at the same place.
        let read = broker.ok(&[&consume[..], &["-X", "enable.auto.commit=false"]].concat());
        let told = format!("klamm: orders-0: the log has no offset 2; going on at {told}\n");
        assert_eq!((read.stderr, read.stdout.split_terminator(',').count()), (told, records));
    }
    let read = broker.run_anyway(&[
        "consume",
        "orders",
        "-o",
        "2",
        "-p",
        "0",
        "-e",
        "-X",
        "auto.offset.reset=earliest",
    ]);
    assert_eq!(
        (read.stderr.as_str(), read.stdout.as_str()),
        ("klamm: orders-0: the log has no offset 2; going on at 4\n", "5\n")
    );
    // Of the last ten, all that there are is what was asked for.
    assert_eq!(broker.ok(&["consume", "orders", "-o", "-10", "-p", "0", "-e"]).stderr, "");
}

#[test]
fn groups_and_what_they_committed_are_deleted() {
    let broker = with_group();
    broker.ok(&["group", "delete", "billing", "--topic", "orders"]).expect(
        &[],
        &expect![[r#"
            group billing forgot orders-0
            group billing forgot orders-1
        "#]],
    );
    broker.ok(&["group", "seek", "billing", "--to", "start", "--topics", "orders"]);
    broker.ok(&["topic", "create", "idle"]);
    let forget = ["group", "delete", "billing", "--topic", "idle", "--topic", "nothing"];
    broker.run_anyway(&[&forget[..], &["nobody"]].concat()).expect(
        &[],
        &expect![[r#"
            group billing has committed nothing for idle
            klamm: nothing: there is no such topic or partition
            klamm: nobody: there is no such group
            exit code 1
        "#]],
    );
    let told = broker.fails(&[&forget[..], &["nobody", "--format", "json"]].concat()).json();
    let codes: Vec<_> = told
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (it["group"].as_str(), it["topic"].as_str(), it["error"]["code"].as_str()))
        .collect();
    let (no_topic, no_group) = (Some("UNKNOWN_TOPIC_OR_PARTITION"), Some("GROUP_ID_NOT_FOUND"));
    let wanted = [
        (Some("billing"), Some("idle"), None),
        (Some("billing"), Some("nothing"), no_topic),
        (Some("nobody"), Some("idle"), no_group),
        (Some("nobody"), Some("nothing"), no_group),
    ];
    assert_eq!(codes, wanted, "{told}");
    broker.ok(&[&forget[..], &["nobody", "--if-exists"]].concat()).expect(
        &[],
        &expect![[r#"
            group billing has committed nothing for idle
            topic nothing does not exist
            group nobody does not exist, and has committed nothing for idle
            group nobody does not exist, and has committed nothing for nothing
        "#]],
    );
    broker.run_anyway(&["group", "delete", "nothing", "billing"]).expect(
        &[],
        &expect![[r#"
            group billing deleted
            klamm: nothing: there is no such group
            exit code 1
        "#]],
    );
    broker.ok(&["group", "delete", "billing", "--if-exists"]).says("group billing does not exist");
    let deleted = broker.fails(&["group", "delete", "billing", "--format", "json"]).json();
    assert_eq!(deleted[0]["error"]["code"], "GROUP_ID_NOT_FOUND");
}

/// The last version in which a member needs no id to join.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 2;

/// Asks the broker as a client of this name.
fn ask(stream: &mut TcpStream, client: &str, version: i16, request: &Request) -> Response {
    let api_key = request.api_key();
    let client_id = Some(client.to_owned());
    let header = RequestHeader { api_key, api_version: version, correlation_id: 1, client_id };
    let frame = encode_request(&header, request).expect("encodes").to_bytes().expect("no holes");
    stream.write_all(&frame).expect("sent");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("an answer");
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).expect("all of it");
    let mut reader = Reader::new(frame.into());
    ResponseHeader::decode(&mut reader, api_key, version).expect("a header");
    Response::decode(api_key, version, &mut reader).expect("an answer")
}

/// What a member says to the others, in the words of consumers.
fn said(message: &impl Message) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(0);
    message.encode(&mut writer, 0).expect("encodes");
    writer.finish().to_bytes().expect("no holes").to_vec()
}

/// Joins as the only member, and gives itself `orders-0`. It stays until it is missed.
fn join(broker: &Broker, group: &str, client: &str) -> String {
    let mut stream = TcpStream::connect(broker.address()).expect("connects");
    let subscription = ConsumerProtocolSubscription { topics: vec!["orders".into()], ..Default::default() };
    let join = Request::JoinGroup(JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 300_000,
        rebalance_timeout_ms: 300_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: said(&subscription).into(),
        }],
        ..Default::default()
    });
    let Response::JoinGroup(joined) = ask(&mut stream, client, JOIN_VERSION, &join) else { unreachable!() };
    assert_eq!(joined.error_code, 0);
    let of_topic = AssignmentTopicPartition { topic: "orders".into(), partitions: vec![0] };
    let assignment = ConsumerProtocolAssignment { assigned_partitions: vec![of_topic], user_data: None };
    let sync = Request::SyncGroup(SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: said(&assignment).into(),
        }],
        ..Default::default()
    });
    let Response::SyncGroup(synced) = ask(&mut stream, client, SYNC_VERSION, &sync) else { unreachable!() };
    assert_eq!(synced.error_code, 0);
    joined.member_id
}

#[test]
fn members_are_shown_with_what_they_read_and_not_moved_under_their_feet() {
    let broker = with_group();
    broker.ok(&["group", "seek", "billing", "--to", "end"]);
    let member = join(&broker, "billing", "till");
    broker.ok(&["group", "describe", "billing"]).expect(
        &[(&member, "<member>")],
        &expect![[r#"
            group  billing
            state  Stable
            protocol  consumer (range)
            coordinator  1
            members  1
            lag  0 records, 0.0 s behind

            MEMBER  INSTANCE  CLIENT  HOST  PARTITIONS
            <member>  -  till  127.0.0.1  1

            TOPIC  PARTITION  COMMITTED  END  LAG  BEHIND  STUCK SINCE  MEMBER  CLIENT
            orders  0  5  5  0  0.0 s  -  <member>  till
            orders  1  1  1  0  0.0 s  -  -  -
        "#]],
    );
    let described = broker.ok(&["group", "describe", "billing", "--format", "json"]).json();
    assert_eq!(described[0]["members"][0]["topics"], serde_json::json!(["orders"]));
    assert_eq!(described[0]["members"][0]["partitions"][0]["partition"], 0);
    broker.ok(&["group", "list", "--state", "stable"]).says("consumer");
    broker.fails(&["group", "seek", "billing", "--to", "start"]).says("is Stable and has members");
    broker.fails(&["group", "delete", "billing"]).says("billing: the group has members");
    broker
        .fails(&["group", "delete", "billing", "--topic", "orders"])
        .says("orders-0: members of the group read the topic");
}
