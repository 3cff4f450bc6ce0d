//! The marker of a clean stop: the last thing that a process writes to a data directory, and the first that the next one removes.
//!
//! Where it is, every log in the directory ends as its files say. Where it is missing, a crash may have left anything beyond the durable points.

use std::fs;
use std::io;
use std::path::Path;

use klamm_model::{BrokerEpoch, crc32c};
use uuid::Uuid;

use super::{options, read_fully, remove_file, sync_directory, write_file};

const FILE_NAME: &str = "clean-shutdown";
const SIZE_MAX: usize = 256;

/// Who stopped with everything on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanShutdown {
    /// What the broker was registered under.
    pub broker_epoch: BrokerEpoch,
    /// Which of its processes it was.
    pub incarnation: Uuid,
}

impl CleanShutdown {
    fn to_text(self) -> String {
        let Self { broker_epoch, incarnation } = self;
        let text = format!("version=1\nbroker.epoch={}\nincarnation={incarnation}\n", broker_epoch.0);
        let checksum = crc32c(text.as_bytes());
        format!("{text}crc={checksum:08x}\n")
    }

    fn from_text(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let it = Self {
            broker_epoch: BrokerEpoch(value("broker.epoch")?.parse().ok()?),
            incarnation: Uuid::parse_str(value("incarnation")?).ok()?,
        };
        (it.to_text() == text).then_some(it)
    }
}

/// `None` if there is none, or none that can be believed.
pub(super) fn read(directory: &Path) -> io::Result<Option<CleanShutdown>> {
    let file = match options().read(true).open(directory.join(FILE_NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut contents = [0; SIZE_MAX];
    let size = read_fully(&file, 0, &mut contents)?;
    Ok(std::str::from_utf8(&contents[..size]).ok().and_then(CleanShutdown::from_text))
}

/// Durable when it returns, so that no crash brings the marker back beside newer records.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    let path = directory.join(FILE_NAME);
    if fs::symlink_metadata(&path).is_ok() {
        remove_file(&path)?;
        sync_directory(directory)?;
    }
    Ok(())
}

/// Durable when it returns.
pub(super) fn write(directory: &Path, marker: CleanShutdown) -> io::Result<()> {
    write_file(&directory.join(FILE_NAME), marker.to_text().as_bytes(), true)?;
    sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_marker_is_believed() {
        let place = tempfile::tempdir().expect("a directory");
        let marker = CleanShutdown { broker_epoch: BrokerEpoch(17), incarnation: Uuid::from_u128(5) };
        assert_eq!(read(place.path()).expect("readable"), None);
        write(place.path(), marker).expect("written");
        assert_eq!(read(place.path()).expect("readable"), Some(marker));
        let whole = fs::read(place.path().join(FILE_NAME)).expect("there");
        for odd in [&whole[..whole.len() - 1], b"", b"version=1\n", &[whole.clone(), vec![b'\n']].concat()] {
            fs::write(place.path().join(FILE_NAME), odd).expect("written");
            assert_eq!(read(place.path()).expect("readable"), None, "{odd:?}");
        }
        let flipped = String::from_utf8(whole).expect("text").replace("=17", "=18");
        fs::write(place.path().join(FILE_NAME), flipped).expect("written");
        assert_eq!(read(place.path()).expect("readable"), None);
        remove(place.path()).expect("removed");
        remove(place.path()).expect("removed already");
        assert!(!place.path().join(FILE_NAME).exists());
    }
}
