//! A node that is a cluster of its own is to have others beside it: the engine for several takes over from the one for a lone node, once and for all.

use klamm_cluster::{Image, record};
use klamm_log::{Files, FoundPartition};
use klamm_model::ControllerEpoch;
use klamm_quorum::{Entry, Filter, Output, Snapshot, Verdict, solo};

use super::{StartError, metadata::open_alone, metadata::refuse_lost};
use crate::{
    config::Config,
    engines::raft::{
        Member,
        succession::{self, Left, Step},
    },
};

/// Whether an earlier start has begun with it, and did not come to the end.
pub(super) fn is_under_way(files: &Files) -> Result<bool, StartError> {
    succession::is_under_way(files).map_err(refuse)
}

/// Does what is missing. When this returns, the disk is that of a cluster of several nodes, of which there is one.
pub(super) fn open_up(config: &Config, files: &Files, found: &[FoundPartition]) -> Result<(), StartError> {
    let own = Member::of(&config.node).expect("there is a listener for nodes");
    let left = what_is_left(config, files, found)?;
    tracing::info!(?own, entries = left.snapshot.position.next_index, "from now on other nodes may join");
    succession::perform(&Step::ALL, files, &own, &left).map_err(refuse)
}

fn refuse(error: impl std::fmt::Display) -> StartError {
    StartError::Metadata(error.to_string())
}

fn what_is_left(config: &Config, files: &Files, found: &[FoundPartition]) -> Result<Left, StartError> {
    let mut state = State::default();
    if found.iter().any(|it| it.directory == solo::DIRECTORY) {
        let mut problem = None;
        let mut tell = |output| problem = problem.take().or(state.told(output).err());
        open_alone(config, files, found)?.come_to_an_end(files, &mut tell).map_err(refuse)?;
        if let Some(problem) = problem {
            return Err(StartError::Metadata(problem));
        }
    } else {
        refuse_lost(config, files)?;
    }
    let State { filter, image, epoch } = state;
    Ok(Left { epoch, snapshot: Snapshot { position: filter.position(), state: image.to_bytes() } })
}

/// What the node's state comes to.
#[derive(Default)]
struct State {
    filter: Filter,
    image: Image,
    /// The last epoch that anything may have been proposed under.
    epoch: ControllerEpoch,
}

impl State {
    fn told(&mut self, output: Output) -> Result<(), String> {
        match output {
            Output::Snapshot(Snapshot { position, state }) => {
                self.image = Image::from_bytes(&state).map_err(|error| error.to_string())?;
                self.filter = Filter::at(position);
            }
            Output::Committed(entry) => self.take(&entry)?,
            // Everything was told, and this epoch would be the next.
            Output::Leader { epoch } => self.epoch = ControllerEpoch(epoch.0 - 1),
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let problem = |error: &dyn std::fmt::Display| format!("entry {}: {error}", entry.index);
        if let Verdict::Accept(it) = self.filter.take(entry).map_err(|error| problem(&error))? {
            let records = record::decode(&it.records).map_err(|error| problem(&error))?;
            let applied = self.image.apply_entry(it.offset, it.epoch, &records);
            applied.map_err(|error| problem(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
