//! The counters of the candidate in the shadow: what it would have answered, and where it disagrees.

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::domain::tier::Tier;
use crate::domain::verdict::Verdict;
use crate::telemetry::families as family;

/// The families of the shadow; all of them stand still while nothing is in it.
#[derive(Debug)]
pub struct ShadowCounts {
    decisions: IntCounterVec,
    disagreements: IntCounterVec,
    moves: IntCounterVec,
    dropped: IntCounter,
}

impl ShadowCounts {
    /// Every family, registered and showing zero.
    ///
    /// # Errors
    /// The table contradicts itself.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<ShadowCounts> {
        let counts = ShadowCounts {
            decisions: family::SHADOW_DECISIONS.counters(registry)?,
            disagreements: family::SHADOW_DISAGREEMENTS.counters(registry)?,
            moves: family::SHADOW_MOVES.counters(registry)?,
            dropped: family::SHADOW_DROPPED.counter(registry)?,
        };
        for verdict in Verdict::ALL {
            let tierless = matches!(verdict, Verdict::TierNotAllowed | Verdict::Undecided);
            if tierless {
                counts.decision(None, verdict, 0);
                continue;
            }
            for tier in Tier::ALL {
                counts.decision(Some(tier), verdict, 0);
                if verdict != Verdict::Admitted {
                    counts.disagreement(tier, Verdict::Admitted, verdict, 0);
                    counts.disagreement(tier, verdict, Verdict::Admitted, 0);
                }
            }
        }
        for from in Tier::ALL {
            Tier::ALL.into_iter().filter(|to| *to != from).for_each(|to| counts.moved(from, to, 0));
        }
        Ok(counts)
    }

    /// Counts what the candidate would have answered; no tier where its rules could not tell one.
    pub fn decision(&self, tier: Option<Tier>, verdict: Verdict, times: u64) {
        let tier = tier.map_or("none", Tier::as_str);
        self.decisions.with_label_values(&[tier, verdict.as_str()]).inc_by(times);
    }

    /// Counts decisions on jobs of an acting tier that the two policies would not have taken alike.
    pub fn disagreement(&self, tier: Tier, acting: Verdict, candidate: Verdict, times: u64) {
        let words = [tier.as_str(), acting.as_str(), candidate.as_str()];
        self.disagreements.with_label_values(&words).inc_by(times);
    }

    /// Counts jobs that the candidate would have put into another tier.
    pub fn moved(&self, from: Tier, to: Tier, times: u64) {
        self.moves.with_label_values(&[from.as_str(), to.as_str()]).inc_by(times);
    }

    /// Counts decisions that were not put to the candidate.
    pub fn dropped(&self, times: u64) {
        self.dropped.inc_by(times);
    }
}
