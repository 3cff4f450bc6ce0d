//! `klamm group seek`: a group without members goes on elsewhere.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use klamm_client::{Admin, AdminError, CommittedOffset, GroupState, PartitionName, Start};
use klamm_model::{ErrorCode, Offset};
use serde_json::json;

use crate::args::{Format, GroupSeekArgs};
use crate::failure::{Told, tell};
use crate::offsets::{Span, offsets_of, spans};
use crate::outcome::error_json;
use crate::output::{or_nothing, print_json, print_table};
use crate::time::start;
use crate::{remote, select};

const EXPECTED: &str =
    "expected start, end, an offset, +N or -N for N beyond or before what is committed, or @TIME";

/// Where a group is to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    Place(Start),
    /// So many offsets from what is committed.
    Shift(i64),
}

impl Goal {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(['+', '-']) {
            return text
                .parse()
                .map(Self::Shift)
                .map_err(|_| "expected a number of offsets, as in +1".to_owned());
        }
        // A time that is none is told as such.
        let told = |problem| if text.starts_with('@') { problem } else { EXPECTED.to_owned() };
        start(text).map(Self::Place).map_err(told)
    }
}

pub(super) async fn run(args: &GroupSeekArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    refuse_members(&admin, &args.group).await?;
    let committed = admin.group_offsets(&args.group, None).await?;
    let partitions = partitions(&admin, args, committed.keys()).await?;
    let mut before = BTreeMap::new();
    for (name, offset) in committed {
        before.extend(offset?.map(|committed| (name, committed.offset)));
    }
    let spans = spans(&admin, partitions.iter().cloned()).await?;
    let places = match args.to {
        Goal::Place(start) => offsets_of(&admin, start, &spans).await?,
        Goal::Shift(_) => BTreeMap::new(),
    };
    let mut goals: BTreeMap<_, _> = partitions
        .into_iter()
        .map(|name| {
            let place = places.get(&name).copied();
            let goal = goal(&name, args.to, place, spans.get(&name), before.get(&name));
            (name, goal)
        })
        .collect();
    let wanted = goals.iter().filter_map(|(name, goal)| {
        let goal = *goal.as_ref().ok()?;
        Some((name.clone(), CommittedOffset::from(goal)))
    });
    let wanted: BTreeMap<_, _> = wanted.collect();
    if !args.dry_run && !wanted.is_empty() {
        for (name, outcome) in admin.alter_group_offsets(&args.group, &wanted).await? {
            if let Err(error) = outcome {
                goals.insert(name, Err(error));
            }
        }
    }
    print(&before, &goals, args)
}

/// Members would go on where they are, and commit over what is set here.
async fn refuse_members(admin: &Admin, group: &str) -> Result<()> {
    let described = admin.describe_groups(&[group]).await?.remove(group).expect("every group has an outcome");
    match described {
        Ok(found) if found.state == GroupState::Empty => Ok(()),
        Ok(found) => bail!(
            "group {group:?} is {} and has members, which would go on where they are: stop them first \
             (one with a group.instance.id that is stopped is a member until its session is over)",
            found.state.name()
        ),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Those of the topics that are named, else those that something is committed for.
async fn partitions(
    admin: &Admin,
    args: &GroupSeekArgs,
    committed: impl Iterator<Item = &PartitionName>,
) -> Result<Vec<PartitionName>> {
    if !args.topics.is_empty() {
        return select::partitions(admin, &args.topics, &args.partitions).await;
    }
    let is_meant =
        |it: &&PartitionName| args.partitions.is_empty() || args.partitions.contains(&it.partition);
    let partitions: Vec<_> = committed.filter(is_meant).cloned().collect();
    if partitions.is_empty() {
        bail!("group {:?} has committed nothing of that; --topics names what it is to read", args.group);
    }
    Ok(partitions)
}

fn goal(
    name: &PartitionName,
    to: Goal,
    place: Option<Offset>,
    span: Option<&Span>,
    before: Option<&Offset>,
) -> Result<Offset, AdminError> {
    let refused = |code, message: Option<&str>| {
        let message = message.map(str::to_owned);
        Err(AdminError::Refused { subject: name.to_string(), code, message })
    };
    let Some(span) = span else { return refused(ErrorCode::LeaderNotAvailable, None) };
    match (to, place, before) {
        (Goal::Shift(count), _, Some(before)) => {
            let shifted = before.raw().saturating_add(count).clamp(span.start.raw(), span.end.raw());
            Ok(Offset::new(shifted))
        }
        (Goal::Shift(_), _, None) => {
            refused(ErrorCode::OffsetOutOfRange, Some("nothing is committed to count from"))
        }
        (Goal::Place(_), Some(place), _) if span.start <= place && place <= span.end => Ok(place),
        (Goal::Place(_), _, _) => refused(ErrorCode::OffsetOutOfRange, None),
    }
}

fn print(
    before: &BTreeMap<PartitionName, Offset>,
    goals: &BTreeMap<PartitionName, Result<Offset, AdminError>>,
    args: &GroupSeekArgs,
) -> Result<()> {
    if args.remote.format == Format::Json {
        let rows = goals.iter().map(|(name, goal)| {
            json!({
                "group": args.group,
                "topic": &*name.topic,
                "partition": name.partition,
                "committed_before": before.get(name).map(|offset| offset.raw()),
                "committed": goal.as_ref().ok().map(|offset| offset.raw()),
                "dry_run": args.dry_run,
                "error": goal.as_ref().err().map(error_json),
            })
        });
        print_json(&rows.collect())?;
    } else {
        let rows: Vec<_> = goals
            .iter()
            .map(|(name, goal)| {
                vec![
                    name.topic.to_string(),
                    name.partition.to_string(),
                    or_nothing(before.get(name)),
                    or_nothing(goal.as_ref().ok()),
                ]
            })
            .collect();
        let new = if args.dry_run { "WOULD BE" } else { "NEW" };
        print_table(&["TOPIC", "PARTITION", "OLD", new], &rows)?;
    }
    let mut has_failed = false;
    for error in goals.values().filter_map(|goal| goal.as_ref().err()) {
        has_failed = true;
        tell(error);
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_count_from_what_is_committed() {
        for (text, goal) in [
            ("start", Goal::Place(Start::Earliest)),
            ("end", Goal::Place(Start::Latest)),
            ("42", Goal::Place(Start::At(Offset::new(42)))),
            ("+1", Goal::Shift(1)),
            ("-10", Goal::Shift(-10)),
        ] {
            assert_eq!(Goal::parse(text), Ok(goal), "{text}");
        }
        assert!(matches!(Goal::parse("@-1h"), Ok(Goal::Place(Start::Since(_)))));
        for wrong in ["", "+", "-x", "+1.5", "middle", "--1"] {
            assert!(Goal::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "START", "1..2"] {
            let told = Goal::parse(wrong).expect_err(wrong);
            assert!(told.contains("+N or -N for N beyond or before what is committed"), "{wrong}: {told}");
        }
        assert!(Goal::parse("@noon").expect_err("no time").contains("milliseconds since 1970"));
    }
}
