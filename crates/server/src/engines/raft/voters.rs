//! Who votes and who only listens: what may be changed, and one change at a time.
//!
//! A node that was let in gets all entries and decides nothing. It becomes a voter when somebody asks for that and it has what the leader has: before, a majority
//! could need it that waits for it. Who is a voter no more goes on listening, as its broker needs the metadata. Nothing is changed after which no majority of the
//! voters would be there: it could not even be taken back.
//!
//! A change of voters is two entries: one with which both sets decide, and one with the new set alone. A leader that finds the first without the second, for
//! whoever wrote it is gone, ends what was begun.
//!
//! A member that was started elsewhere is called where it says it is (`links.rs`). That it is there is written only once somebody has found it there.
//!
//! One who only listens goes when its broker was unregistered and it is away: nobody expects it back, and the leader would call it for ever. Every node keeps in mind who is to
//! go, as any may come to lead. Who was taken for gone and is not asks to be let in again (`lost.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use klamm_model::BrokerId;
use klamm_quorum::{Registration, VoterChange, VoterError};
use openraft::{ChangeMembers, Membership};
use uuid::Uuid;

use super::{
    Member,
    types::{Address, broker, raft_id},
};

/// Whoever had everything so long ago has it now, but for what is on its way. Signs of life come far more often.
pub(super) const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);

type Members = Membership<u64, Address>;
type Change = ChangeMembers<u64, Address>;

/// A change waits so long for those to show that it needs: whoever has only just come to lead has heard of nobody yet.
const SHOWN_WITHIN: Duration = CAUGHT_UP_WITHIN;

/// What is under way, of which there is one at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UnderWay {
    /// What the node asked for, which is told what becomes of it.
    Asked,
    /// A node is let in or goes, or the change of one before is ended.
    Unasked,
}

#[derive(Debug)]
struct Asked {
    change: VoterChange,
    /// The first time that it could not be, if it was so.
    since: Option<Duration>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Voters {
    own: Option<Member>,
    asked: Option<Asked>,
    knocked: Option<Member>,
    /// Members whose brokers were unregistered, by their disks.
    unregistered: BTreeMap<BrokerId, Uuid>,
    under_way: Option<UnderWay>,
}

impl Voters {
    /// `own` is how this node is called now.
    pub(super) fn new(own: Option<Member>) -> Self {
        Self { own, ..Self::default() }
    }

    /// The node wants that. Gives it back if it wants something else already.
    pub(super) fn ask(&mut self, change: VoterChange) -> Result<(), VoterError> {
        if self.asked.is_some() || self.under_way == Some(UnderWay::Asked) {
            return Err(VoterError::Busy);
        }
        self.asked = Some(Asked { change, since: None });
        Ok(())
    }

    /// A node that is no member wants to be let in. It asks again and again, so the last is as good as any.
    pub(super) fn knock(&mut self, member: Member) {
        self.knocked = Some(member);
    }

    /// This node, where it is to be called.
    pub(super) fn own(&self) -> Option<&Member> {
        self.own.as_ref()
    }

    /// Whether the members know this node where it is.
    pub(super) fn knows_own(&self, members: &Members) -> bool {
        self.own_elsewhere(members).is_none()
    }

    /// A broker came or went.
    pub(super) fn registration(&mut self, Registration { id, directory, is_there }: Registration) {
        if is_there {
            self.unregistered.remove(&id);
        } else {
            self.unregistered.insert(id, directory);
        }
    }

    /// What to do now, on a node that leads or does not, and that has found these members elsewhere.
    pub(super) fn next(
        &mut self,
        now: Duration,
        leads: bool,
        members: &Members,
        found: &[Member],
        has_caught_up: impl Fn(BrokerId) -> bool,
        is_away: impl Fn(BrokerId) -> bool,
    ) -> Next {
        self.forget(members);
        if self.under_way.is_some() {
            return Next::Nothing;
        }
        let knocked = self.knocked.take();
        if let Some(Asked { change, since }) = self.asked.take() {
            if !leads {
                return Next::Refuse(VoterError::Deposed);
            }
            return match decide(&change, members, has_caught_up) {
                Ok(change) => self.begin(UnderWay::Asked, change),
                Err(VoterError::Behind { .. } | VoterError::Missing { .. })
                    if now < since.unwrap_or(now) + SHOWN_WITHIN =>
                {
                    self.asked = Some(Asked { change, since: since.or(Some(now)) });
                    Next::Nothing
                }
                Err(error) => Next::Refuse(error),
            };
        }
        if !leads {
            return Next::Nothing;
        }
        if let [_, .., last] = &members.get_joint_config()[..] {
            return self.begin(UnderWay::Unasked, ChangeMembers::ReplaceAllVoters(last.clone()));
        }
        if let Some(change) = self.moved(members, found) {
            return self.begin(UnderWay::Unasked, change);
        }
        match knocked.filter(|it| members.get_node(&raft_id(it.id)).is_none()) {
            Some(member) => {
                let node = (raft_id(member.id), member.address());
                self.begin(UnderWay::Unasked, ChangeMembers::AddNodes([node].into()))
            }
            None => match self.leaving(members, is_away) {
                Some(id) => self.begin(UnderWay::Unasked, ChangeMembers::RemoveNodes([raft_id(id)].into())),
                None => Next::Nothing,
            },
        }
    }

    /// Who is no member any more, or by another disk, is not to go.
    fn forget(&mut self, members: &Members) {
        // Whoever has only just started knows of no members yet.
        if members.nodes().next().is_some() {
            let has_disk = |id: BrokerId, directory| {
                members.get_node(&raft_id(id)).is_some_and(|it| it.directory == directory)
            };
            self.unregistered.retain(|id, directory| has_disk(*id, *directory));
        }
    }

    fn leaving(&self, members: &Members, is_away: impl Fn(BrokerId) -> bool) -> Option<BrokerId> {
        let is_voter = |id: BrokerId| members.voter_ids().any(|it| it == raft_id(id));
        self.unregistered.keys().copied().find(|id| !is_voter(*id) && is_away(*id))
    }

    /// Who is elsewhere than the members know. Nobody has to find a node that is alone, which is where it listens.
    fn moved(&self, members: &Members, found: &[Member]) -> Option<Change> {
        let own = self.own_elsewhere(members).filter(|_| members.nodes().count() == 1);
        let moved = own.or_else(|| found.iter().find(|it| is_elsewhere(it, members)))?;
        Some(ChangeMembers::SetNodes([(raft_id(moved.id), moved.address())].into()))
    }

    fn own_elsewhere(&self, members: &Members) -> Option<&Member> {
        self.own.as_ref().filter(|own| is_elsewhere(own, members))
    }

    fn begin(&mut self, what: UnderWay, change: Change) -> Next {
        self.under_way = Some(what);
        Next::Change(change)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The change is committed, or nobody knows. Tells what it was.
    pub(super) fn ended(&mut self) -> Option<UnderWay> {
        self.under_way.take()
    }
}

fn is_elsewhere(member: &Member, members: &Members) -> bool {
    let known = members.get_node(&raft_id(member.id));
    known.is_some_and(|it| it.directory == member.directory && *it != member.address())
}

/// What a [`Voters`] wants.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Next {
    Nothing,
    /// The node is told so.
    Refuse(VoterError),
    /// To be written; [`Voters::ended`] is told of its end.
    Change(Change),
}

fn decide(
    change: &VoterChange,
    members: &Members,
    has_caught_up: impl Fn(BrokerId) -> bool,
) -> Result<Change, VoterError> {
    let voters: BTreeSet<BrokerId> = members.voter_ids().map(broker).collect();
    let has_disk =
        |id: BrokerId, directory| members.get_node(&raft_id(id)).is_some_and(|it| it.directory == directory);
    match *change {
        VoterChange::Add { id, .. } if voters.contains(&id) => Err(VoterError::IsVoter { id }),
        VoterChange::Add { id, directory } if !has_disk(id, directory) => {
            Err(VoterError::NotThere { id, directory })
        }
        VoterChange::Add { id, .. } if !has_caught_up(id) => Err(VoterError::Behind { id }),
        VoterChange::Add { id, .. } => {
            let left = voters.into_iter().chain([id]).collect();
            can_decide(left, has_caught_up)?;
            Ok(ChangeMembers::AddVoterIds([raft_id(id)].into()))
        }
        VoterChange::Remove { id, directory } if !voters.contains(&id) || !has_disk(id, directory) => {
            Err(VoterError::NoVoter { id, directory })
        }
        VoterChange::Remove { .. } if voters.len() == 1 => Err(VoterError::Last),
        VoterChange::Remove { id, .. } => {
            let left = voters.into_iter().filter(|it| *it != id).collect();
            can_decide(left, has_caught_up)?;
            Ok(ChangeMembers::RemoveVoters([raft_id(id)].into()))
        }
    }
}

/// Whether a majority of those who would vote is there.
fn can_decide(
    voters: BTreeSet<BrokerId>,
    has_caught_up: impl Fn(BrokerId) -> bool,
) -> Result<(), VoterError> {
    let missing: Vec<BrokerId> = voters.iter().copied().filter(|id| !has_caught_up(*id)).collect();
    if missing.len() * 2 < voters.len() {
        return Ok(());
    }
    Err(VoterError::Missing { voters: voters.into_iter().collect(), missing })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;

    const NOW: Duration = Duration::from_secs(60);

    fn disk(id: i32) -> Uuid {
        Uuid::from_u128(u128::from(id.unsigned_abs()))
    }

    fn member(id: i32) -> Member {
        Member { id: BrokerId(id), directory: disk(id), host: "h".to_owned(), port: 1 }
    }

    /// These sets decide, and these nodes are known.
    fn members(sets: &[&[u64]], nodes: &[i32]) -> Members {
        let address = |id: i32| Address { directory: disk(id), host: "h".to_owned(), port: 1 };
        let nodes: BTreeMap<u64, Address> =
            nodes.iter().map(|id| (raft_id(BrokerId(*id)), address(*id))).collect();
        Members::new(sets.iter().map(|set| set.iter().copied().collect()).collect(), nodes)
    }

    fn add(id: i32) -> VoterChange {
        VoterChange::Add { id: BrokerId(id), directory: disk(id) }
    }

    fn remove(id: i32) -> VoterChange {
        VoterChange::Remove { id: BrokerId(id), directory: disk(id) }
    }

    #[test]
    fn a_change_is_refused_where_it_cannot_be_or_would_do_harm() {
        let three = members(&[&[1, 2, 3]], &[1, 2, 3, 4, 5]);
        let decide =
            |change: VoterChange, members: &Members| decide(&change, members, |id| id != BrokerId(5));
        assert_eq!(decide(add(4), &three), Ok(ChangeMembers::AddVoterIds([4].into())));
        assert_eq!(decide(add(3), &three), Err(VoterError::IsVoter { id: BrokerId(3) }));
        assert_eq!(decide(add(5), &three), Err(VoterError::Behind { id: BrokerId(5) }));
        let not_there = |id, disk| VoterError::NotThere { id: BrokerId(id), directory: disk };
        assert_eq!(decide(add(6), &three), Err(not_there(6, disk(6))));
        let other_disk = VoterChange::Add { id: BrokerId(4), directory: disk(9) };
        assert_eq!(decide(other_disk, &three), Err(not_there(4, disk(9))));

        assert_eq!(decide(remove(3), &three), Ok(ChangeMembers::RemoveVoters([3].into())));
        let no_voter = |id, disk| VoterError::NoVoter { id: BrokerId(id), directory: disk };
        assert_eq!(decide(remove(4), &three), Err(no_voter(4, disk(4))));
        let other_disk = VoterChange::Remove { id: BrokerId(3), directory: disk(9) };
        assert_eq!(decide(other_disk, &three), Err(no_voter(3, disk(9))));
        assert_eq!(decide(remove(1), &members(&[&[1]], &[1])), Err(VoterError::Last));
    }

    #[test]
    fn nothing_is_changed_after_which_no_majority_would_be_there() {
        let says = |change: VoterChange, voters: &[u64], missing: &[i32]| {
            let members = members(&[voters], &[1, 2, 3, 4, 5]);
            let decided = decide(&change, &members, |id| !missing.contains(&id.0));
            decided.map_or_else(|error| error.to_string(), |_| "done".to_owned())
        };
        for (change, voters, missing, expected) in [
            (
                remove(3),
                &[2, 3, 4][..],
                &[2][..],
                "the voters would be 2, 4, and no majority of them is there: node 2 is silent",
            ),
            (
                remove(4),
                &[2, 3, 4],
                &[2],
                "the voters would be 2, 3, and no majority of them is there: node 2 is silent",
            ),
            (remove(2), &[2, 3, 4], &[2], "done"),
            (remove(3), &[2, 3, 4], &[], "done"),
            (remove(3), &[1, 2, 3, 4, 5], &[1], "done"),
            (
                remove(3),
                &[1, 2, 3, 4, 5],
                &[1, 2],
                "the voters would be 1, 2, 4, 5, and no majority of them is there: nodes 1, 2 are silent",
            ),
            (remove(1), &[1, 2, 3, 4, 5], &[1, 2], "done"),
            // Of four voters one may be away, and of five two.
            (add(5), &[1, 2, 3], &[1], "done"),
            (add(5), &[1, 2, 3, 4], &[1, 2], "done"),
            (
                add(5),
                &[1, 2, 3],
                &[1, 2],
                "the voters would be 1, 2, 3, 5, and no majority of them is there: nodes 1, 2 are silent",
            ),
        ] {
            let said = says(change, voters, missing);
            assert!(said.starts_with(expected), "{change:?} {voters:?} {missing:?}: {said}");
        }
    }

    #[test]
    fn a_change_waits_a_moment_for_those_to_show_that_it_needs() {
        let three = members(&[&[1, 2, 3]], &[1, 2, 3]);
        let ms = Duration::from_millis;
        let mut voters = Voters::default();
        let next = |voters: &mut Voters, now, there: &[i32]| {
            voters.next(ms(now), true, &three, &[], |id| there.contains(&id.0), |_| false)
        };
        assert_eq!(voters.ask(remove(3)), Ok(()));
        assert_eq!(next(&mut voters, 5_000, &[1]), Next::Nothing);
        assert_eq!(voters.ask(remove(2)), Err(VoterError::Busy));
        assert_eq!(next(&mut voters, 5_300, &[1, 2]), Next::Change(ChangeMembers::RemoveVoters([3].into())));
        voters.ended();
        assert_eq!(voters.ask(remove(3)), Ok(()));
        assert_eq!(next(&mut voters, 6_000, &[1]), Next::Nothing);
        assert_eq!(next(&mut voters, 7_999, &[1]), Next::Nothing);
        let missing =
            VoterError::Missing { voters: vec![BrokerId(1), BrokerId(2)], missing: vec![BrokerId(2)] };
        assert_eq!(next(&mut voters, 8_000, &[1]), Next::Refuse(missing));
    }

    #[test]
    fn one_change_goes_on_at_a_time_and_only_on_whoever_leads() {
        let three = members(&[&[1, 2, 3]], &[1, 2, 3, 4]);
        let mut voters = Voters::default();
        assert_eq!(voters.next(NOW, true, &three, &[], |_| true, |_| true), Next::Nothing);
        assert_eq!(voters.ask(add(4)), Ok(()));
        assert_eq!(voters.ask(add(5)), Err(VoterError::Busy));
        assert_eq!(
            voters.next(NOW, false, &three, &[], |_| true, |_| true),
            Next::Refuse(VoterError::Deposed)
        );
        assert_eq!(voters.ask(add(4)), Ok(()));
        assert_eq!(
            voters.next(NOW, true, &three, &[], |_| true, |_| true),
            Next::Change(ChangeMembers::AddVoterIds([4].into()))
        );
        assert_eq!(voters.ask(remove(1)), Err(VoterError::Busy));
        voters.knock(member(5));
        assert_eq!(voters.next(NOW, true, &three, &[], |_| true, |_| true), Next::Nothing);
        assert_eq!(voters.ended(), Some(UnderWay::Asked));
        assert!(matches!(
            voters.next(NOW, true, &three, &[], |_| true, |_| true),
            Next::Change(ChangeMembers::AddNodes(_))
        ));
        assert_eq!(voters.ask(remove(1)), Ok(()), "it waits");
        assert_eq!(voters.next(NOW, true, &three, &[], |_| true, |_| true), Next::Nothing);
        assert_eq!(voters.ended(), Some(UnderWay::Unasked));
        assert_eq!(
            voters.next(NOW, true, &three, &[], |_| true, |_| true),
            Next::Change(ChangeMembers::RemoveVoters([1].into()))
        );
    }

    fn at(id: i32, port: u16) -> Member {
        Member { port, ..member(id) }
    }

    fn set(moved: &Member) -> Next {
        Next::Change(ChangeMembers::SetNodes([(raft_id(moved.id), moved.address())].into()))
    }

    #[test]
    fn who_was_found_elsewhere_is_known_there_from_then_on() {
        let next = |voters: &mut Voters, leads, members: &Members, found: &[Member]| {
            voters.ended();
            voters.next(NOW, leads, members, found, |_| true, |_| true)
        };
        let (alone, two) = (members(&[&[1]], &[1]), members(&[&[1, 2]], &[1, 2]));
        let mut voters = Voters::new(Some(at(1, 7)));
        assert!(!voters.knows_own(&two));
        assert_eq!(next(&mut voters, false, &alone, &[]), Next::Nothing);
        assert_eq!(next(&mut voters, true, &alone, &[]), set(&at(1, 7)), "nobody could find it");
        assert_eq!(next(&mut voters, true, &two, &[]), Next::Nothing);
        assert_eq!(next(&mut voters, true, &two, &[at(1, 7)]), set(&at(1, 7)));

        let other_disk = Member { directory: disk(9), ..at(2, 8) };
        for found in [at(3, 8), other_disk, member(2)] {
            assert_eq!(next(&mut voters, true, &two, &[found]), Next::Nothing);
        }
        assert_eq!(next(&mut voters, false, &two, &[at(2, 8)]), Next::Nothing);
        assert_eq!(next(&mut voters, true, &two, &[member(2), at(2, 8)]), set(&at(2, 8)));

        let mut voters = Voters::new(Some(member(1)));
        for members in [&alone, &two] {
            assert!(voters.knows_own(members));
            assert_eq!(next(&mut voters, true, members, &[member(1)]), Next::Nothing, "it is where it was");
        }
    }

    #[test]
    fn a_change_that_was_begun_by_a_leader_that_is_gone_is_ended() {
        let between = members(&[&[1, 2, 3], &[2, 3, 4]], &[1, 2, 3, 4]);
        let mut voters = Voters::default();
        assert_eq!(voters.next(NOW, false, &between, &[], |_| true, |_| true), Next::Nothing);
        let ended = Next::Change(ChangeMembers::ReplaceAllVoters([2, 3, 4].into()));
        assert_eq!(voters.next(NOW, true, &between, &[], |_| true, |_| true), ended);
        voters.ended();
        let after = members(&[&[2, 3, 4]], &[1, 2, 3, 4]);
        voters.knock(member(4));
        assert_eq!(voters.next(NOW, true, &after, &[], |_| true, |_| true), Next::Nothing, "it is in");
    }

    #[test]
    fn one_who_only_listens_goes_once_its_broker_was_unregistered_and_it_is_away() {
        let four = members(&[&[1, 2, 3]], &[1, 2, 3, 4, 5]);
        let told = |id, directory, is_there| Registration { id: BrokerId(id), directory, is_there };
        let next = |voters: &mut Voters, leads, members: &Members, away: &[i32]| {
            let away: Vec<_> = away.iter().copied().map(BrokerId).collect();
            voters.next(NOW, leads, members, &[], |_| true, |id| away.contains(&id))
        };
        let goes = |id| Next::Change(ChangeMembers::RemoveNodes([id].into()));
        let mut voters = Voters::default();
        assert_eq!(next(&mut voters, true, &four, &[3, 4, 5]), Next::Nothing, "nobody was unregistered");
        for id in [3, 4, 5] {
            voters.registration(told(id, disk(id), false));
        }
        assert_eq!(next(&mut voters, false, &four, &[3, 4, 5]), Next::Nothing);
        // Whoever votes stays, and who is there.
        assert_eq!(next(&mut voters, true, &four, &[3]), Next::Nothing);
        voters.registration(told(5, disk(5), true));
        assert_eq!(next(&mut voters, true, &four, &[3, 4, 5]), goes(4), "5 is registered again");
        assert_eq!(next(&mut voters, true, &four, &[3, 4, 5]), Next::Nothing, "it is under way");
        // Nobody knows what became of it.
        assert_eq!(voters.ended(), Some(UnderWay::Unasked));
        assert_eq!(next(&mut voters, true, &four, &[4]), goes(4));
        voters.ended();
        let gone = members(&[&[1, 2, 3]], &[1, 2, 3, 5]);
        assert_eq!(next(&mut voters, false, &gone, &[4]), Next::Nothing);
        // Let in again it is not the one that was to go; nor is another disk under that number.
        assert_eq!(next(&mut voters, true, &four, &[4]), Next::Nothing);
        voters.registration(told(4, disk(9), false));
        assert_eq!(next(&mut voters, true, &four, &[4]), Next::Nothing);
        // A voter that only listens by now.
        assert_eq!(next(&mut voters, true, &members(&[&[1, 2]], &[1, 2, 3]), &[3]), goes(3));
    }
}
