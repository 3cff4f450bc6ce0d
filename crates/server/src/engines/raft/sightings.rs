//! How the other members are, as the connections to them show it: what the controller here, if there is one, decides by.

use std::{collections::BTreeMap, time::Duration};

use klamm_model::BrokerId;
use klamm_quorum::Peer;
use uuid::Uuid;

/// Between two reports when nothing else calls for one.
const REPORT: Duration = Duration::from_millis(250);

/// Whoever is silent for so long, since the start of this process too, is away. A machine may stand still for seconds, and is let in again where it was away for longer.
const AWAY: Duration = Duration::from_secs(5);

/// A process, as it said of itself when it was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greeted {
    pub(super) incarnation: Uuid,
    /// The newest form of metadata that it reads.
    pub(super) metadata_form: i16,
}

/// See the module. Times are since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    by_node: BTreeMap<BrokerId, Sighting>,
    /// The next report is due, or was asked for.
    due: Duration,
}

#[derive(Debug)]
struct Sighting {
    incarnation: Uuid,
    metadata_form: i16,
    heard: Duration,
    is_gone: bool,
}

impl Sightings {
    /// There is a connection, and this process at the other end.
    pub(super) fn connected(
        &mut self,
        now: Duration,
        node: BrokerId,
        Greeted { incarnation, metadata_form }: Greeted,
    ) {
        self.by_node.insert(node, Sighting { incarnation, metadata_form, heard: now, is_gone: false });
    }

    /// It answered, or beat itself. A process that is gone may still be heard by another connection for as long as what it said is on its way.
    pub(super) fn heard(&mut self, now: Duration, node: BrokerId) {
        if let Some(known) = self.by_node.get_mut(&node) {
            known.heard = now;
        }
    }

    /// There is no connection, and its port refuses one. Of a node that there never was a connection to this says nothing: it may be about to start.
    pub(super) fn refused(&mut self, node: BrokerId) {
        if let Some(known) = self.by_node.get_mut(&node)
            && !std::mem::replace(&mut known.is_gone, true)
        {
            self.due = Duration::ZERO;
        }
    }

    /// It is taken for one that does not come back by itself: its process is gone, or it has shown nothing for long.
    pub(super) fn is_away(&self, now: Duration, node: BrokerId) -> bool {
        self.by_node.get(&node).map_or(AWAY <= now, |it| it.is_gone || AWAY <= now.saturating_sub(it.heard))
    }

    /// Who is no member any more is forgotten.
    pub(super) fn keep(&mut self, is_member: impl Fn(BrokerId) -> bool) {
        self.by_node.retain(|node, _| is_member(*node));
    }

    /// This process did not run for so long.
    pub(super) fn forgive(&mut self, now: Duration, late: Duration) {
        self.by_node.values_mut().for_each(|it| it.heard = (it.heard + late).min(now));
    }

    /// What the node is told, when it is time to.
    pub(super) fn report(&mut self, now: Duration, is_wanted: bool) -> Option<Vec<Peer>> {
        if now < self.due && !is_wanted {
            return None;
        }
        self.due = now + REPORT;
        let peer = |(id, it): (&BrokerId, &Sighting)| Peer {
            id: *id,
            incarnation: it.incarnation,
            silent_ms: now.saturating_sub(it.heard).as_millis() as u64,
            is_gone: it.is_gone,
            metadata_form: it.metadata_form,
        };
        Some(self.by_node.iter().map(peer).collect())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Lines: `MS up NODE PROCESS`, `MS heard NODE`, `MS refused NODE`, `MS slept FOR`, `MS report [wanted]`.
    #[allow(clippy::needless_pass_by_value)]
    fn check(script: &str, expected: Expect) {
        let mut sightings = Sightings::default();
        let mut text = String::new();
        for line in script.lines().map(str::trim) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            let node = |at| BrokerId(number(at) as i32);
            let now = Duration::from_millis(number(0));
            match words[1] {
                "up" => {
                    let incarnation = Uuid::from_u128(number(3).into());
                    sightings.connected(now, node(2), Greeted { incarnation, metadata_form: 0 });
                }
                "heard" => sightings.heard(now, node(2)),
                "refused" => sightings.refused(node(2)),
                "slept" => sightings.forgive(now, Duration::from_millis(number(2))),
                _ => {
                    let told = sightings.report(now, words.len() == 3).map(|peers| {
                        let shown = peers.iter().map(|it| {
                            let gone = if it.is_gone { ", gone" } else { "" };
                            format!("{}.{}: {} ms{gone}", it.id, it.incarnation.as_u128(), it.silent_ms)
                        });
                        shown.collect::<Vec<_>>().join("; ")
                    });
                    text += &format!("{line}: {}\n", told.unwrap_or_else(|| "not due".to_owned()));
                }
            }
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_process_that_is_gone_is_told_at_once_and_others_now_and_then() {
        check(
            "0 refused 2
             0 report wanted
             10 up 2 7
             20 report
             20 report wanted
             260 report
             280 report
             290 heard 2
             300 refused 2
             300 report
             301 refused 2
             310 report
             600 report
             610 up 2 8
             850 report",
            expect![[r#"
                0 report wanted: 
                20 report: not due
                20 report wanted: 2.7: 10 ms
                260 report: not due
                280 report: 2.7: 270 ms
                300 report: 2.7: 10 ms, gone
                310 report: not due
                600 report: 2.7: 310 ms, gone
                850 report: 2.8: 240 ms
            "#]],
        );
    }

    #[test]
    fn a_pause_of_the_own_process_is_nobodys_silence() {
        check(
            "0 up 2 7
             0 up 3 7
             5000 heard 3
             5000 slept 4900
             5000 report",
            expect![[r#"
                5000 report: 2.7: 100 ms; 3.7: 0 ms
            "#]],
        );
    }
}
