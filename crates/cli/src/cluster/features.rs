//! `klamm cluster features`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use klamm_client::{Change, FeatureLevel, FeatureUpdate, Features};
use serde_json::{Value, json};

use crate::args::{ClusterFeaturesArgs, FeaturesChange, FeaturesSetArgs, Format};
use crate::outcome::Outcomes;
use crate::output::{print_json, print_table};
use crate::remote;

pub(super) async fn run(args: &ClusterFeaturesArgs) -> Result<()> {
    match &args.change {
        None => show(args).await,
        Some(FeaturesChange::Set(args)) => set(args).await,
    }
}

async fn show(args: &ClusterFeaturesArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let features = admin.features().await?;
    if args.remote.format == Format::Json {
        return Ok(print_json(&features_json(&features))?);
    }
    let row = |(name, level): (&String, &FeatureLevel)| {
        let supported = level.supported.map_or("-".to_owned(), |(min, max)| format!("{min} to {max}"));
        vec![name.clone(), level.finalized.to_string(), supported]
    };
    let rows: Vec<_> = features.levels.iter().map(row).collect();
    Ok(print_table(&["FEATURE", "LEVEL", "SUPPORTED"], &rows)?)
}

fn features_json(features: &Features) -> Value {
    let feature = |(name, level): (&String, &FeatureLevel)| {
        let supported = level.supported.map(|(min, max)| json!({ "min": min, "max": max }));
        json!({ "feature": name, "level": level.finalized, "supported": supported })
    };
    features.levels.iter().map(feature).collect::<Vec<_>>().into()
}

/// All levels in one request: they change together or not at all.
async fn set(args: &FeaturesSetArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let before = admin.features().await?;
    let mut updates = BTreeMap::new();
    for (name, level) in &args.levels {
        let now = before.levels.get(name).map_or(0, |it| it.finalized);
        let update = direction(args, name, now, *level)?;
        if updates.insert(name.clone(), (*level, update)).is_some() {
            bail!("{name} is named more than once");
        }
    }
    let change = if args.dry_run { Change::Check } else { Change::Make };
    let done = admin.update_features(&updates, change).await;
    let mut outcomes = Outcomes::new(args.remote.format);
    match done {
        Ok(()) => {
            for (name, (level, _)) in updates {
                let what = if args.dry_run { "can be set to" } else { "is at" };
                let object = json!({ "feature": name, "level": level, "dry_run": args.dry_run });
                outcomes.done(&format!("{name} {what} level {level}"), object)?;
            }
        }
        Err(error) => {
            outcomes.failed(&error, json!({ "feature": null, "level": null, "dry_run": args.dry_run }));
        }
    }
    outcomes.finish()
}

fn direction(args: &FeaturesSetArgs, name: &str, now: i16, level: i16) -> Result<FeatureUpdate> {
    match (now <= level, args.downgrade, args.is_unsafe) {
        (true, _, _) => Ok(FeatureUpdate::Upgrade),
        (false, true, _) => Ok(FeatureUpdate::SafeDowngrade),
        (false, _, true) => Ok(FeatureUpdate::UnsafeDowngrade),
        (false, false, false) => {
            bail!("{name} is at level {now}: a lower one is set with --downgrade only")
        }
    }
}
