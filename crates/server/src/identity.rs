//! Whose a data directory is: `meta.properties`, as in Kafka.
//!
//! A node that finds another's directory must not touch it (F50), and a node that lost its disk comes back with another directory id, by which the
//! cluster knows that it may have forgotten what it promised (F15).

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use klamm_model::BrokerId;
use uuid::Uuid;

const FILE_NAME: &str = "meta.properties";

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) node_id: BrokerId,
    pub(crate) directory: Uuid,
    /// `None` until the node has seen the cluster's metadata.
    pub(crate) cluster_id: Option<String>,
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
    match fs::read_to_string(data_dir.join(FILE_NAME)) {
        Ok(text) => {
            let identity = parse(&text).map_err(|problem| IdentityError::Unreadable { problem })?;
            if identity.node_id != node_id {
                return Err(IdentityError::OtherNode { found: identity.node_id, wanted: node_id });
            }
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = Identity { node_id, directory: random_uuid()?, cluster_id: None };
            store(data_dir, &identity)?;
            Ok(identity)
        }
        Err(error) => Err(error.into()),
    }
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
    let temporary = data_dir.join("meta.properties.tmp");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(FILE_NAME))?;
    fs::File::open(data_dir)?.sync_all()
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
    Ok(Identity { node_id: BrokerId(node_id), directory, cluster_id: value("cluster.id").map(str::to_owned) })
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
