//! What the candidate would have answered, counted, and where the two policies disagree.

use std::collections::BTreeMap;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::regulator::report::TickReport;
use crate::telemetry::shadow::ShadowCounts;

/// The counts of some decisions; all keys are from closed sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the candidate would have answered, by its own tier.
    pub decisions: BTreeMap<(Option<Tier>, Verdict), u64>,
    /// Where one admits and the other refuses: the acting tier, the acting policy's word, the candidate's.
    pub disagreements: BTreeMap<(Tier, Verdict, Verdict), u64>,
    /// Jobs that the candidate would have put into another tier: from, to.
    pub moves: BTreeMap<(Tier, Tier), u64>,
    /// Decisions that were not put to the candidate, since it was behind.
    pub dropped: u64,
}

/// What is shown of a candidate.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Since when the counts are.
    pub since: Timestamp,
    /// The counts.
    pub tally: Tally,
    /// The last step of the candidate's own law; `None` before its first.
    pub reports: Option<TierMap<TickReport>>,
}

impl Shown {
    /// Nothing yet.
    pub fn since(now: Timestamp) -> Shown {
        Shown { since: now, tally: Tally::default(), reports: None }
    }
}

impl Tally {
    /// Counts one decision: what the acting gate said in its tier, what the candidate says in its own.
    pub fn note(&mut self, acting: (Tier, Verdict), candidate: (Option<Tier>, Verdict)) {
        *self.decisions.entry(candidate).or_default() += 1;
        let ((from, acting), (to, candidate)) = (acting, candidate);
        if acting.disagrees_with(candidate) {
            *self.disagreements.entry((from, acting, candidate)).or_default() += 1;
        }
        if let Some(to) = to.filter(|to| *to != from) {
            *self.moves.entry((from, to)).or_default() += 1;
        }
    }

    /// Adds the counts of others.
    pub fn add(&mut self, other: &Tally) {
        for (key, times) in &other.decisions {
            *self.decisions.entry(*key).or_default() += times;
        }
        for (key, times) in &other.disagreements {
            *self.disagreements.entry(*key).or_default() += times;
        }
        for (key, times) in &other.moves {
            *self.moves.entry(*key).or_default() += times;
        }
        self.dropped += other.dropped;
    }

    /// Adds the counts to the metrics.
    pub fn tell(&self, counts: &ShadowCounts) {
        self.decisions.iter().for_each(|((tier, verdict), times)| counts.decision(*tier, *verdict, *times));
        for ((tier, acting, candidate), times) in &self.disagreements {
            counts.disagreement(*tier, *acting, *candidate, *times);
        }
        self.moves.iter().for_each(|((from, to), times)| counts.moved(*from, *to, *times));
        counts.dropped(self.dropped);
    }
}
