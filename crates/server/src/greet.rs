//! Who this node is and whom it speaks with: what it says in greetings on the nodes' listener, and what it makes of those of others.
//!
//! Nothing of a node's connection is believed before its greeting was: another cluster's node that reached us by an old address, and one that lost its disk and comes
//! back under its number, are refused here, with the reason (F15, F50).

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use klamm_cluster::features::{METADATA_FORM, METADATA_FORM_MAX};
use klamm_model::BrokerId;
use klamm_wire::{Greeting, GreetingPurpose};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::identity::{self, IdentityError};

/// The newest form of metadata that this program understands.
const LEVEL: i16 = METADATA_FORM_MAX;

/// This process, as others may know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Me {
    pub(crate) node: BrokerId,
    /// The disk that has its metadata.
    pub(crate) directory: Uuid,
    pub(crate) incarnation: Uuid,
    /// By its roles.
    pub(crate) may_vote: bool,
}

/// What this node knows of itself and of others, where greetings are about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The cluster that it belongs to.
    pub(crate) cluster_id: Option<String>,
    /// The disk of the node that it would let found one.
    pub(crate) founder: Option<Uuid>,
    /// The disks of those that answered at the addresses it was told to join: of them it takes the id of a cluster, and of nobody else.
    pub(crate) listed: BTreeSet<Uuid>,
    /// The clusters that those belong to: a member that is not listed may be the one that lets this node in.
    pub(crate) clusters: BTreeSet<String>,
    /// The form that the cluster's metadata have, as far as this node has them. Who does not understand that comes too late for this cluster.
    pub(crate) needed: i16,
    /// Where this node is to be called; `None` where it does not want to be let in.
    pub(crate) address: Option<(String, u16)>,
}

/// What becomes of a greeting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is answered, and what it announces may follow.
    Welcome,
    /// The same, once this node has become a member of that cluster.
    Join(String),
    /// It is answered with the reason, and nothing may follow.
    Refused(String),
}

impl Known {
    /// What the node says of itself.
    pub(crate) fn greeting(&self, me: &Me, purpose: GreetingPurpose) -> Greeting {
        let Me { node, directory, incarnation, may_vote } = *me;
        let cluster_id = self.cluster_id.clone();
        let founder = self.founder.filter(|_| cluster_id.is_none());
        let address = self.address.clone().filter(|_| purpose == GreetingPurpose::Question);
        Greeting {
            purpose,
            node,
            directory,
            incarnation,
            cluster_id,
            founder,
            level: LEVEL,
            may_vote,
            address,
            refused: None,
        }
    }

    /// Decides on a greeting that came in. `registered` is the disk that the cluster has for that node.
    pub(crate) fn judge(&self, me: &Me, their: &Greeting, registered: Option<Uuid>) -> Verdict {
        let Greeting { node, directory, .. } = *their;
        let theirs = their.cluster_id.as_deref();
        let ours = self.cluster_id.as_deref();
        let refused = |why: String| Verdict::Refused(why);
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            return refused(format!("node {} belongs to cluster {ours}, not to cluster {theirs}", me.node));
        }
        if let Some(why) = self.why_too_old(their) {
            return refused(why);
        }
        if let Some(ours) = ours {
            let own = (node == me.node).then_some(me.directory);
            if own.or(registered).is_some_and(|known| known != directory) {
                return refused(lost_disk(node, ours));
            }
        }
        match (their.purpose, ours, theirs) {
            (GreetingPurpose::Question, _, _) | (_, Some(_), Some(_)) => Verdict::Welcome,
            (GreetingPurpose::Quorum, None, Some(theirs))
                if self.listed.contains(&directory) || self.clusters.contains(theirs) =>
            {
                Verdict::Join(theirs.to_owned())
            }
            (_, None, _) => refused(format!("node {} belongs to no cluster yet", me.node)),
            (_, Some(ours), None) => refused(format!("node {node} is no member of cluster {ours} yet")),
        }
    }
}

impl Known {
    /// Why that node must not get metadata.
    fn why_too_old(&self, their: &Greeting) -> Option<String> {
        let Self { needed, .. } = *self;
        let Greeting { node, level, .. } = *their;
        (level < needed).then(|| {
            format!("node {node} is older than its cluster, whose metadata are at level {needed} of {METADATA_FORM}: it understands {level} at most")
        })
    }
}

fn lost_disk(node: BrokerId, cluster: &str) -> String {
    format!(
        "node {node} of cluster {cluster} has another disk: if that is lost, this one may have forgotten what was promised by it, and joins under a number of its own (--node-id)"
    )
}

/// See the module. Shared by all threads.
pub(crate) struct Greeter {
    pub(crate) me: Me,
    data_dirs: Vec<PathBuf>,
    known: Mutex<Known>,
    /// Told once, when somebody has made this node a member of a cluster.
    joined: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Greeter {
    pub(crate) fn new(me: Me, data_dirs: Vec<PathBuf>, cluster_id: Option<String>) -> Arc<Self> {
        let known = Mutex::new(Known { cluster_id, ..Known::default() });
        Arc::new(Self { me, data_dirs, known, joined: Mutex::default() })
    }

    /// What this node says of itself.
    pub(crate) fn greeting(&self, purpose: GreetingPurpose) -> Greeting {
        self.known.lock().greeting(&self.me, purpose)
    }

    /// The answer to a greeting that came in, of a node that the cluster knows by the disk `registered`, if at all. If it refuses, nothing more may come.
    pub(crate) fn answer(&self, their: &Greeting, registered: Option<Uuid>) -> Greeting {
        let verdict = self.known.lock().judge(&self.me, their, registered);
        let refused = match verdict {
            Verdict::Welcome => None,
            Verdict::Refused(why) => Some(why),
            Verdict::Join(cluster_id) => match self.belong(&cluster_id) {
                Ok(()) => {
                    tracing::info!(cluster_id, by = %their.node, "this node is a member of a cluster now");
                    if let Some(joined) = self.joined.lock().take() {
                        joined();
                    }
                    None
                }
                Err(error) => {
                    tracing::error!(cluster_id, %error, "cannot become a member of a cluster");
                    Some(format!("node {}: {error}", self.me.node))
                }
            },
        };
        Greeting { refused, ..self.greeting(their.purpose) }
    }

    /// From now on this node belongs to that cluster and to no other, whatever happens: it is on its disks when this returns.
    pub(crate) fn belong(&self, cluster_id: &str) -> Result<(), IdentityError> {
        // Under the lock, so that of two who want it at the same time one is first. It happens once in the life of a node that serves nobody yet.
        let mut known = self.known.lock();
        for data_dir in &self.data_dirs {
            identity::join(data_dir, self.me.node, cluster_id)?;
        }
        known.cluster_id = Some(cluster_id.to_owned());
        Ok(())
    }

    /// The cluster that this node belongs to.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.known.lock().cluster_id.clone()
    }

    /// Whom to tell, once, when somebody makes this node a member of a cluster.
    pub(crate) fn on_joined(&self, tell: impl FnOnce() + Send + 'static) {
        *self.joined.lock() = Some(Box::new(tell));
    }

    /// What was heard of those that are to be one cluster with this node.
    pub(crate) fn heard(&self, founder: Option<Uuid>, listed: BTreeSet<Uuid>, clusters: BTreeSet<String>) {
        let mut known = self.known.lock();
        known.founder = founder;
        known.listed = listed;
        known.clusters = clusters;
    }

    /// From now on its questions ask to be let in, by whoever is a member, and to be called there.
    pub(crate) fn wants_in(&self, host: &str, port: u16) {
        self.known.lock().address = Some((host.to_owned(), port));
    }

    /// The form that the cluster's metadata have now.
    pub(crate) fn needs(&self, level: i16) {
        self.known.lock().needed = level;
    }

    /// Why that node must not get metadata.
    pub(crate) fn why_too_old(&self, their: &Greeting) -> Option<String> {
        self.known.lock().why_too_old(their)
    }

    /// Whether the node that answered is the one that was called.
    pub(crate) fn check_answer(&self, called: BrokerId, answer: &Greeting) -> Result<(), String> {
        let ours = self.cluster_id();
        if let Some(why) = &answer.refused {
            return Err(why.clone());
        }
        if let Some(why) = self.why_too_old(answer) {
            return Err(why);
        }
        if answer.node != called {
            return Err(format!("node {} answers there", answer.node));
        }
        if answer.cluster_id != ours {
            let of = answer.cluster_id.as_ref().map_or("no cluster".to_owned(), |id| format!("cluster {id}"));
            return Err(format!("a node of {of} answers there"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const ME: Me = Me {
        node: BrokerId(1),
        directory: Uuid::from_u128(10),
        incarnation: Uuid::from_u128(100),
        may_vote: true,
    };

    /// A greeter of a node whose disks do not matter.
    pub(crate) fn greeter(cluster_id: Option<&str>) -> Arc<Greeter> {
        Greeter::new(ME, Vec::new(), cluster_id.map(str::to_owned))
    }

    pub(crate) fn greeting(purpose: GreetingPurpose, node: i32, cluster_id: Option<&str>) -> Greeting {
        let number = u128::from(node.unsigned_abs());
        Greeting {
            purpose,
            node: BrokerId(node),
            directory: Uuid::from_u128(10 * number),
            incarnation: Uuid::from_u128(100 * number),
            cluster_id: cluster_id.map(str::to_owned),
            founder: None,
            level: LEVEL,
            may_vote: true,
            address: None,
            refused: None,
        }
    }

    fn judged(known: &Known, their: &Greeting) -> String {
        let registered = (their.node == BrokerId(2)).then(|| Uuid::from_u128(20));
        match known.judge(&ME, their, registered) {
            Verdict::Welcome => "welcome".to_owned(),
            Verdict::Join(cluster) => format!("join {cluster}"),
            Verdict::Refused(why) => why.split(':').next().expect("a sentence").to_owned(),
        }
    }

    #[test]
    fn who_may_come_in_depends_on_the_cluster_and_the_disk() {
        use GreetingPurpose::{Question, Quorum, Requests};
        let member = Known { cluster_id: Some("A".to_owned()), ..Known::default() };
        let new = Known {
            listed: BTreeSet::from([Uuid::from_u128(20)]),
            clusters: BTreeSet::from(["A".to_owned()]),
            ..Known::default()
        };
        let other_disk = |purpose, node, cluster| Greeting {
            directory: Uuid::from_u128(7),
            ..greeting(purpose, node, cluster)
        };
        for (known, their, expected) in [
            (&member, greeting(Question, 2, None), "welcome"),
            (&member, greeting(Quorum, 2, Some("A")), "welcome"),
            (&member, greeting(Requests, 3, Some("A")), "welcome"),
            (&member, greeting(Requests, 3, None), "node 3 is no member of cluster A yet"),
            (&member, greeting(Question, 2, Some("B")), "node 1 belongs to cluster A, not to cluster B"),
            (&member, other_disk(Question, 2, None), "node 2 of cluster A has another disk"),
            (&member, other_disk(Quorum, 2, Some("A")), "node 2 of cluster A has another disk"),
            (&member, other_disk(Question, 1, None), "node 1 of cluster A has another disk"),
            (&new, greeting(Question, 2, None), "welcome"),
            (&new, greeting(Question, 9, Some("B")), "welcome"),
            (&new, greeting(Quorum, 2, Some("A")), "join A"),
            // It is not listed, and of the cluster that those are of who are.
            (&new, greeting(Quorum, 9, Some("A")), "join A"),
            // Nobody that it was told of: a stranger's cluster may have an old address of somebody else.
            (&new, greeting(Quorum, 9, Some("B")), "node 1 belongs to no cluster yet"),
            (&new, greeting(Quorum, 2, None), "node 1 belongs to no cluster yet"),
            (&new, greeting(Requests, 2, Some("A")), "node 1 belongs to no cluster yet"),
        ] {
            assert_eq!(judged(known, &their), expected, "{their:?}");
        }
    }

    #[test]
    fn a_node_takes_one_cluster_and_has_it_on_its_disk_before_it_says_so() {
        let place = tempfile::tempdir().expect("a directory");
        let greeter = Greeter::new(ME, vec![place.path().to_owned()], None);
        greeter.heard(None, BTreeSet::from([20, 30].map(Uuid::from_u128)), BTreeSet::new());
        let (tell, told) = std::sync::mpsc::channel();
        greeter.on_joined(move || tell.send("joined").expect("somebody waits"));
        let answer = greeter.answer(&greeting(GreetingPurpose::Quorum, 2, Some("A")), None);
        assert_eq!((answer.refused, answer.cluster_id.as_deref()), (None, Some("A")));
        let kept = identity::claim(place.path(), ME.node).expect("its own");
        assert_eq!(kept.cluster_id.as_deref(), Some("A"));
        assert_eq!(told.try_recv(), Ok("joined"));
        let other = greeter.answer(&greeting(GreetingPurpose::Quorum, 3, Some("B")), None);
        assert_eq!(other.refused.as_deref(), Some("node 1 belongs to cluster A, not to cluster B"));
    }

    /// In both directions: the one that knows more is the one that says so.
    #[test]
    fn a_node_that_is_older_than_its_cluster_comes_in_nowhere() {
        let greeter = greeter(Some("A"));
        greeter.needs(LEVEL + 1);
        for purpose in [GreetingPurpose::Question, GreetingPurpose::Quorum, GreetingPurpose::Requests] {
            let their = greeting(purpose, 2, Some("A"));
            let why = greeter.answer(&their, None).refused.expect("it is too old");
            assert!(why.starts_with("node 2 is older than its cluster"), "{why}");
            assert_eq!(greeter.check_answer(BrokerId(2), &their), Err(why));
            let newer = Greeting { level: LEVEL + 1, ..their };
            assert_eq!(greeter.answer(&newer, None).refused, None);
            assert_eq!(greeter.check_answer(BrokerId(2), &newer), Ok(()));
        }
    }

    #[test]
    fn only_a_question_asks_to_be_let_in() {
        let greeter = greeter(None);
        assert_eq!(greeter.greeting(GreetingPurpose::Question).address, None);
        greeter.wants_in("h", 5);
        assert_eq!(greeter.greeting(GreetingPurpose::Question).address, Some(("h".to_owned(), 5)));
        assert_eq!(greeter.greeting(GreetingPurpose::Quorum).address, None);
    }

    #[test]
    fn who_answers_in_place_of_the_one_that_was_called_is_told_apart() {
        let greeter = greeter(Some("A"));
        let check = |answer: &Greeting| greeter.check_answer(BrokerId(2), answer);
        let good = greeting(GreetingPurpose::Requests, 2, Some("A"));
        assert_eq!(check(&good), Ok(()));
        let refusal = Greeting { refused: Some("no".to_owned()), ..good };
        assert_eq!(check(&refusal), Err("no".to_owned()));
        for (node, cluster, told) in [
            (3, Some("A"), "node 3 answers there"),
            (2, Some("B"), "a node of cluster B answers there"),
            (2, None, "a node of no cluster answers there"),
        ] {
            let answer = greeting(GreetingPurpose::Requests, node, cluster);
            assert_eq!(check(&answer), Err(told.to_owned()));
        }
    }
}
