//! Client quotas, from the wire to the metadata and back.

use klamm_model::ErrorCode as Code;
use klamm_wire::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest,
    alter_client_quotas::{OpData, RequestEntityData, RequestEntryData},
    describe_client_quotas::ComponentData,
};

use super::*;

fn set(world: &mut World, entity: &[(&str, Option<&str>)], key: &str, value: Option<f64>) -> Code {
    let part = |(kind, name): &(&str, Option<&str>)| RequestEntityData {
        entity_type: (*kind).into(),
        entity_name: name.map(Into::into),
    };
    let op = OpData { key: key.into(), value: value.unwrap_or(0.0), remove: value.is_none() };
    let entry = RequestEntryData { entity: entity.iter().map(part).collect(), ops: vec![op] };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    let sequence = world.send(Request::AlterClientQuotas(request), 1);
    let Response::AlterClientQuotas(response) = world.response(sequence) else { panic!("another answer") };
    Code::from_code(response.entries[0].error_code).expect("a known code")
}

/// A filter is kinds, each with what it matches: 0 a name, 1 the default, 2 any.
fn described(world: &mut World, filter: &[(&str, i8, Option<&str>)], strict: bool) -> (Code, Vec<String>) {
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
        entity_type: (*kind).into(),
        match_type: *match_type,
        r#match: name.map(Into::into),
    };
    let components = filter.iter().map(component).collect();
    let request = DescribeClientQuotasRequest { components, strict };
    let sequence = world.send(Request::DescribeClientQuotas(request), 1);
    let Response::DescribeClientQuotas(response) = world.response(sequence) else { panic!("another answer") };
    let entries = response.entries.into_iter().flatten().map(|entry| {
        let names = entry.entity.iter().map(|it| it.entity_name.as_deref().unwrap_or("-"));
        let values = entry.values.iter().map(|it| format!("{}={}", it.key, it.value));
        format!("{} {}", names.collect::<Vec<_>>().join("/"), values.collect::<Vec<_>>().join(" "))
    });
    (Code::from_code(response.error_code).expect("a known code"), entries.collect())
}

#[test]
fn quotas_that_were_set_are_described() {
    let mut world = World::new();
    let (a, default) = (Some("a"), None);
    assert_eq!(set(&mut world, &[("user", a)], "producer_byte_rate", Some(1024.0)), Code::None);
    assert_eq!(set(&mut world, &[("user", default)], "request_percentage", Some(12.5)), Code::None);
    assert_eq!(
        set(&mut world, &[("client-id", a), ("user", a)], "consumer_byte_rate", Some(9.0)),
        Code::None
    );
    assert_eq!(set(&mut world, &[("ip", default)], "connection_creation_rate", Some(3.0)), Code::None);
    assert_eq!(set(&mut world, &[("user", a)], "connection_creation_rate", Some(3.0)), Code::InvalidRequest);
    for (filter, strict, expected) in [
        (&[("user", 0, a)][..], true, &["a producer_byte_rate=1024"][..]),
        (&[("user", 0, a)], false, &["a producer_byte_rate=1024", "a/a consumer_byte_rate=9"]),
        (&[("user", 1, None)], true, &["- request_percentage=12.5"]),
        (&[("user", 2, None)], true, &["- request_percentage=12.5", "a producer_byte_rate=1024"]),
        (&[("user", 0, Some("b"))], false, &[]),
        (&[("ip", 2, None)], false, &["- connection_creation_rate=3"]),
        (&[], true, &[]),
    ] {
        assert_eq!(
            described(&mut world, filter, strict),
            (Code::None, expected.iter().map(ToString::to_string).collect())
        );
    }
    assert_eq!(described(&mut world, &[], false).1.len(), 4);
    assert_eq!(set(&mut world, &[("user", a)], "producer_byte_rate", None), Code::None);
    assert!(described(&mut world, &[("user", 0, a)], true).1.is_empty());
}

#[test]
fn filters_that_cannot_be_say_why() {
    let mut world = World::new();
    for (filter, expected) in [
        (&[("", 0, Some("a"))][..], Code::InvalidRequest),
        (&[("group", 0, Some("a"))], Code::UnsupportedVersion),
        (&[("user", 0, None)], Code::InvalidRequest),
        (&[("user", 1, Some("a"))], Code::InvalidRequest),
        (&[("user", 3, None)], Code::InvalidRequest),
        (&[("user", 1, None), ("user", 2, None)], Code::InvalidRequest),
        (&[("user", 1, None), ("ip", 1, None)], Code::InvalidRequest),
    ] {
        assert_eq!(described(&mut world, filter, false), (expected, Vec::new()), "{filter:?}");
    }
}
