//! Whose a data directory is: `meta.properties`, as in Kafka.
//!
//! A node that finds another's directory must not touch it (F50), and a node that lost its disk comes back with another directory id, by which the
//! cluster knows that it may have forgotten what it promised (F15).

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use klamm_model::BrokerId;
use uuid::Uuid;

const FILE_NAME: &str = "meta.properties";
/// Of the lines about other data directories.
const OTHER_PREFIX: &str = "log.dir.";

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) node_id: BrokerId,
    pub(crate) directory: Uuid,
    /// `None` until the node has seen the cluster's metadata.
    pub(crate) cluster_id: Option<String>,
    /// In the first of several data directories: the identities of the others, and where they were.
    pub(crate) others: Vec<(Uuid, String)>,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to another node.
    #[error("this directory belongs to node {found}, not to node {wanted}")]
    OtherNode {
        /// Whose it is.
        found: BrokerId,
        /// Who wanted it.
        wanted: BrokerId,
    },
    /// It belongs to another cluster.
    #[error("this directory belongs to cluster {found}, not to cluster {wanted}")]
    OtherCluster {
        /// Whose it is.
        found: String,
        /// Which one the metadata are of.
        wanted: String,
    },
    /// The metadata would begin anew beside the old records.
    #[error(
        "{path} has records of a cluster, but the first of log.dirs, which has the metadata, is new: was the order changed?"
    )]
    FirstIsNew {
        /// One with records.
        path: String,
    },
    /// A data directory is not in `log.dirs` any more. Its partitions would be made again, empty.
    #[error(
        "the data directory {directory} that was {path} is missing from log.dirs; if it is lost for good, remove its line from {FILE_NAME} of the first of them"
    )]
    Missing {
        /// Where it was.
        path: String,
        /// Its identity.
        directory: Uuid,
    },
    /// There are partitions, and nothing says whose.
    #[error(
        "{path} has partitions but no {FILE_NAME}, which says whose they are: bring it back from a copy of the directory, or choose another directory"
    )]
    Lost {
        /// The directory.
        path: String,
    },
    /// The file says nothing that could be understood.
    #[error("{FILE_NAME}: {problem}")]
    Unreadable {
        /// What is wrong.
        problem: String,
    },
    /// The system refused.
    #[error("{FILE_NAME}: {0}")]
    Io(#[from] io::Error),
}

/// Reads the identity of a directory, or gives it one if it has none.
pub(crate) fn claim(data_dir: &Path, node_id: BrokerId) -> Result<Identity, IdentityError> {
    match read(data_dir, node_id)? {
        Some(identity) => Ok(identity),
        None => give(data_dir, node_id),
    }
}

fn give(data_dir: &Path, node_id: BrokerId) -> Result<Identity, IdentityError> {
    let identity = Identity { node_id, directory: random_uuid()?, cluster_id: None, others: Vec::new() };
    store(data_dir, &identity)?;
    Ok(identity)
}

/// The identity of a directory that has one.
fn read(data_dir: &Path, node_id: BrokerId) -> Result<Option<Identity>, IdentityError> {
    let text = match options().read(true).open(data_dir.join(FILE_NAME)).and_then(io::read_to_string) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let identity = parse(&text).map_err(|problem| IdentityError::Unreadable { problem })?;
    if identity.node_id != node_id {
        return Err(IdentityError::OtherNode { found: identity.node_id, wanted: node_id });
    }
    Ok(Some(identity))
}

/// Whether a directory has an identity, legible or not.
pub(crate) fn is_claimed(data_dir: &Path) -> bool {
    fs::symlink_metadata(data_dir.join(FILE_NAME)).is_ok()
}

/// The same for all data directories of a node. Gives the identity of the first.
pub(crate) fn claim_all(data_dirs: &[PathBuf], node_id: BrokerId) -> Result<Identity, IdentityError> {
    let shown = |path: &PathBuf| path.display().to_string();
    // A start that is refused has written nothing: the directory that is not there may be a disk that is not mounted yet.
    let found: Vec<Option<Identity>> =
        data_dirs.iter().map(|path| read(path, node_id)).collect::<Result<_, _>>()?;
    let (first, others) = (found[0].as_ref(), &found[1..]);
    for (identity, path) in others.iter().zip(&data_dirs[1..]) {
        let Some(found) = identity.as_ref().and_then(|it| it.cluster_id.as_ref()) else { continue };
        match first.and_then(|it| it.cluster_id.as_ref()) {
            None => return Err(IdentityError::FirstIsNew { path: shown(path) }),
            Some(wanted) if wanted != found => {
                return Err(IdentityError::OtherCluster { found: found.clone(), wanted: wanted.clone() });
            }
            Some(_) => {}
        }
    }
    let is_there = |directory: Uuid| others.iter().flatten().any(|it| it.directory == directory);
    let known = first.map_or(&[][..], |it| &it.others);
    if let Some((directory, path)) = known.iter().find(|(directory, _)| !is_there(*directory)) {
        return Err(IdentityError::Missing { path: path.clone(), directory: *directory });
    }
    let given =
        data_dirs.iter().zip(found).map(|(path, found)| found.map_or_else(|| give(path, node_id), Ok));
    let identities = given.collect::<Result<Vec<_>, _>>()?;
    let mut first = identities[0].clone();
    let others = identities.iter().zip(data_dirs).skip(1);
    let known = others.map(|(it, path)| (it.directory, shown(path))).collect();
    if first.others != known {
        first.others = known;
        store(&data_dirs[0], &first)?;
    }
    Ok(first)
}

/// The node has seen the cluster's metadata: from now on the directory belongs to that cluster.
pub(crate) fn join(data_dir: &Path, node_id: BrokerId, cluster_id: &str) -> Result<(), IdentityError> {
    let mut identity = claim(data_dir, node_id)?;
    match identity.cluster_id {
        Some(found) if found != cluster_id => {
            Err(IdentityError::OtherCluster { found, wanted: cluster_id.to_owned() })
        }
        Some(_) => Ok(()),
        None => {
            identity.cluster_id = Some(cluster_id.to_owned());
            Ok(store(data_dir, &identity)?)
        }
    }
}

/// Replaces the file as a whole.
pub(crate) fn store(data_dir: &Path, identity: &Identity) -> io::Result<()> {
    let mut text = format!("version=1\nnode.id={}\ndirectory.id={}\n", identity.node_id, identity.directory);
    if let Some(cluster_id) = &identity.cluster_id {
        text += &format!("cluster.id={cluster_id}\n");
    }
    for (directory, path) in &identity.others {
        text += &format!("{OTHER_PREFIX}{directory}={path}\n");
    }
    let temporary = data_dir.join("meta.properties.tmp");
    let mut file = options().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(FILE_NAME))?;
    fs::File::open(data_dir)?.sync_all()
}

/// For the owner alone, and never through a symbolic link.
pub(crate) fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn parse(text: &str) -> Result<Identity, String> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    };
    if value("version") != Some("1") {
        return Err("its version is not 1".to_owned());
    }
    let node_id = value("node.id").and_then(|id| id.parse().ok()).ok_or("there is no node.id")?;
    let directory =
        value("directory.id").and_then(|id| Uuid::parse_str(id).ok()).ok_or("there is no directory.id")?;
    let other = |line: &str| {
        let (directory, path) = line.strip_prefix(OTHER_PREFIX)?.split_once('=')?;
        Some((Uuid::parse_str(directory).ok()?, path.to_owned()))
    };
    Ok(Identity {
        node_id: BrokerId(node_id),
        directory,
        cluster_id: value("cluster.id").map(str::to_owned),
        others: text.lines().filter_map(other).collect(),
    })
}

/// A number nobody else has.
pub(crate) fn random_uuid() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_identity_and_its_owner() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = claim(directory.path(), BrokerId(3)).expect("a new directory");
        assert_eq!(claim(directory.path(), BrokerId(3)).expect("its own"), first);
        let error = claim(directory.path(), BrokerId(4)).expect_err("another's");
        assert_eq!(error.to_string(), "this directory belongs to node 3, not to node 4");
        for _ in 0..2 {
            join(directory.path(), BrokerId(3), "here").expect("its own");
        }
        let found = claim(directory.path(), BrokerId(3)).expect("its own");
        assert_eq!(found, Identity { cluster_id: Some("here".to_owned()), ..first });
        let error = join(directory.path(), BrokerId(3), "there").expect_err("another cluster");
        assert_eq!(error.to_string(), "this directory belongs to cluster here, not to cluster there");
    }

    #[test]
    fn several_directories_are_one_nodes_and_none_may_be_left_out() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths: Vec<PathBuf> = ["a", "b", "c"].iter().map(|name| place.path().join(name)).collect();
        paths.iter().for_each(|path| fs::create_dir(path).expect("made"));
        let node = BrokerId(3);
        let first = claim_all(&paths[..2], node).expect("new directories");
        for path in &paths[..2] {
            join(path, node, "here").expect("its own");
        }
        let again = claim_all(&[paths[0].clone(), paths[1].clone(), paths[2].clone()], node);
        let again = again.expect("one may come in addition");
        assert_eq!((again.directory, again.others.len()), (first.directory, 2));
        let is_left_out = |error: IdentityError| {
            assert!(error.to_string().contains("/c is missing from log.dirs"), "{error}");
        };
        is_left_out(claim_all(&paths[..2], node).expect_err("one is left out"));
        // Its disk is not mounted: nothing is put in its place.
        let aside = place.path().join("aside");
        fs::rename(&paths[2], &aside).expect("moved");
        fs::create_dir(&paths[2]).expect("made");
        is_left_out(claim_all(&paths, node).expect_err("another is in its place"));
        fs::remove_dir(&paths[2]).expect("still empty");
        fs::rename(&aside, &paths[2]).expect("moved back");
        let error = claim_all(&[paths[2].clone(), paths[1].clone()], node).expect_err("another first");
        assert!(matches!(error, IdentityError::FirstIsNew { .. }), "{error}");
        join(&paths[2], node, "there").expect("a new one");
        let error = claim_all(&paths, node).expect_err("two clusters");
        assert!(matches!(error, IdentityError::OtherCluster { .. }), "{error}");
    }

    #[test]
    fn a_link_to_somebody_elses_file_is_neither_read_nor_written() {
        let (place, outside) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
        let target = outside.path().join("precious");
        fs::write(&target, "version=1\nnode.id=1\n").expect("written");
        let link = place.path().join(FILE_NAME);
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        let refused = claim(place.path(), BrokerId(1)).expect_err("it is no file");
        assert!(matches!(refused, IdentityError::Io(_)), "{refused}");
        fs::rename(&link, place.path().join("meta.properties.tmp")).expect("renamed");
        claim(place.path(), BrokerId(1)).expect_err("what is written at first is none either");
        assert_eq!(fs::read(&target).expect("there"), b"version=1\nnode.id=1\n");
    }

    #[test]
    fn a_garbled_file_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for text in
            ["", "version=2\nnode.id=1", "version=1\nnode.id=one", "version=1\nnode.id=1\ndirectory.id=x"]
        {
            fs::write(directory.path().join(FILE_NAME), text).expect("to be written");
            assert!(
                matches!(claim(directory.path(), BrokerId(1)), Err(IdentityError::Unreadable { .. })),
                "{text:?}"
            );
        }
    }
}
