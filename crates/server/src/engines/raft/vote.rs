//! The file with the vote, beside the directory of the metadata log. It also tells that log apart from a lone node's.
//!
//! It is there before the log is: a log without it has lost it, and a node that does not know whom it voted for must not vote.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use klamm_model::crc32c;
use klamm_wire::{Ballot, LogPoint};

use crate::identity;

/// In the first data directory.
pub(crate) const FILE_NAME: &str = "quorum-state";

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) vote: Ballot,
    /// The last entry that was given up because a snapshot has it.
    pub(crate) purged: Option<LogPoint>,
    /// The log before this entry is a lone node's, which this engine has taken over ([`super::succession`]). The first vote is written without it.
    pub(crate) alone_until: Option<u64>,
}

/// The file says nothing that could be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VoteError {
    #[error("{FILE_NAME}: {0}")]
    Io(#[from] io::Error),
    #[error("{FILE_NAME} is damaged: {0}")]
    Damaged(&'static str),
}

/// `None` if there is no such file.
pub(crate) fn read(data_dir: &Path) -> Result<Option<Kept>, VoteError> {
    match identity::options().read(true).open(data_dir.join(FILE_NAME)).and_then(io::read_to_string) {
        Ok(text) => parse(&text).map(Some).map_err(VoteError::Damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the file as a whole; it is on disk when this returns.
pub(crate) fn store(data_dir: &Path, kept: &Kept) -> io::Result<()> {
    let temporary = data_dir.join(format!("{FILE_NAME}.tmp"));
    let mut file = identity::options().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(text(kept).as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(FILE_NAME))?;
    fs::File::open(data_dir)?.sync_all()
}

fn text(kept: &Kept) -> String {
    let Kept { vote, purged, alone_until } = kept;
    let mut lines = format!("version=1\nterm={}\nelected={}\n", vote.term, vote.is_elected);
    if let Some(candidate) = vote.candidate {
        lines += &format!("candidate={candidate}\n");
    }
    if let Some(purged) = purged {
        lines += &format!("purged.term={}\npurged.index={}\n", purged.term, purged.index);
    }
    if let Some(end) = alone_until {
        lines += &format!("alone.until={end}\n");
    }
    let checksum = crc32c(lines.as_bytes());
    lines + &format!("crc32c={checksum:08x}\n")
}

fn parse(text: &str) -> Result<Kept, &'static str> {
    let (lines, checksum) = text.rsplit_once("crc32c=").ok_or("there is no checksum")?;
    if u32::from_str_radix(checksum.trim(), 16) != Ok(crc32c(lines.as_bytes())) {
        return Err("its checksum is another");
    }
    let value = |key: &str| {
        let mut found = lines.lines().filter_map(|line| line.split_once('='));
        found.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    fn number<N: std::str::FromStr>(value: Option<&str>) -> Result<Option<N>, &'static str> {
        value.map(|it| it.parse().map_err(|_| "a number is none")).transpose()
    }
    if value("version") != Some("1") {
        return Err("its version is not 1");
    }
    let vote = Ballot {
        term: number(value("term"))?.ok_or("there is no term")?,
        candidate: number(value("candidate"))?.map(klamm_model::BrokerId),
        is_elected: value("elected") == Some("true"),
    };
    let term: Option<u64> = number(value("purged.term"))?;
    let index: Option<u64> = number(value("purged.index"))?;
    let purged = term.zip(index).map(|(term, index)| LogPoint { term, index });
    Ok(Kept { vote, purged, alone_until: number(value("alone.until"))? })
}

#[cfg(test)]
mod tests {
    use klamm_model::BrokerId;

    use super::*;

    #[test]
    fn a_vote_comes_back_as_it_was_and_a_damaged_one_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        assert_eq!(read(place.path()).expect("nothing is wrong"), None);
        let vote = Ballot { term: 12, candidate: Some(BrokerId(3)), is_elected: true };
        let all = [
            Kept::default(),
            Kept { vote, ..Kept::default() },
            Kept { vote, purged: Some(LogPoint { term: 3, index: 99 }), alone_until: Some(99) },
        ];
        for kept in all {
            store(place.path(), &kept).expect("stored");
            assert_eq!(read(place.path()).expect("whole"), Some(kept));
        }
        let path = place.path().join(FILE_NAME);
        let text = fs::read_to_string(&path).expect("there");
        for damaged in
            [text.replace("term=12", "term=13"), text.replace("version=1", "version=2"), String::new()]
        {
            fs::write(&path, damaged).expect("written");
            assert!(matches!(read(place.path()), Err(VoteError::Damaged(_))));
        }
    }
}
