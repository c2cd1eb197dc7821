//! What comes and goes in a tier each second, from two states of its counters.

use crate::domain::totals::Totals;
use crate::telemetry::metrics::{Counts, EdgeCounts};

/// A tier's counters at one moment. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers to clients.
    pub counts: Counts,
    /// Dropped past their expiry.
    pub expired: u64,
    /// Dead letters, purged ones included.
    pub dead: u64,
    /// Acknowledged by workers.
    pub done: u64,
}

/// What comes and goes, in jobs per second.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Flow {
    /// Asked for: admitted and refused, the returns of refused clients included.
    pub demand: f64,
    /// Stored and receipted.
    pub admitted: f64,
    /// Refused for rate or window.
    pub throttled: f64,
    /// Refused by a threshold.
    pub shed: f64,
    /// Refused for any other reason.
    pub refused_otherwise: f64,
    /// Dropped past their expiry.
    pub expired: f64,
    /// Given up: new dead letters.
    pub dead: f64,
    /// Acknowledged by workers, where the backend tells.
    pub done: f64,
    /// Of those refused otherwise: by the hard bound on depth or bytes.
    #[serde(default)]
    pub queue_full: f64,
    /// Of those refused otherwise: beyond their tenant's own rate.
    #[serde(default)]
    pub over_quota: f64,
    /// Of those refused otherwise: not stored, or nobody knows.
    #[serde(default)]
    pub unstored: f64,
    /// Of those refused otherwise: the gateway protects itself.
    #[serde(default)]
    pub overloaded: f64,
}

/// What is refused before it has a tier, in requests per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EdgeFlow {
    /// By the rate of one client.
    pub client_limit: f64,
    /// Since the gateway protects itself.
    pub overloaded: f64,
    /// In all, for whatever reason.
    pub refused: f64,
}

impl EdgeFlow {
    /// What was refused between two counts, so many seconds apart.
    pub fn between(earlier: &EdgeCounts, later: &EdgeCounts, seconds: f64) -> EdgeFlow {
        if seconds <= 0.0 {
            return EdgeFlow::default();
        }
        let rate = |of: fn(&EdgeCounts) -> u64| of(later).saturating_sub(of(earlier)) as f64 / seconds;
        EdgeFlow {
            client_limit: rate(|counts| counts.client_limit),
            overloaded: rate(|counts| counts.overloaded),
            refused: rate(|counts| counts.refused),
        }
    }
}

impl Tally {
    /// The tally of these counters.
    pub const fn of(counts: Counts, totals: &Totals) -> Tally {
        // A replay takes a letter from the dead: what fell is told as nothing, not as less.
        let dead = totals.dead.saturating_add(totals.purged);
        Tally { counts, expired: totals.expired, dead, done: totals.done }
    }
}

impl Flow {
    /// What came and went between two tallies, so many seconds apart.
    pub fn between(earlier: &Tally, later: &Tally, seconds: f64) -> Flow {
        if seconds <= 0.0 {
            return Flow::default();
        }
        let rate = |of: fn(&Tally) -> u64| of(later).saturating_sub(of(earlier)) as f64 / seconds;
        let admitted = rate(|tally| tally.counts.admitted);
        let refused = rate(|tally| tally.counts.refused);
        let throttled = rate(|tally| tally.counts.throttled);
        let shed = rate(|tally| tally.counts.shed);
        Flow {
            demand: admitted + refused,
            admitted,
            throttled,
            shed,
            refused_otherwise: (refused - throttled - shed).max(0.0),
            expired: rate(|tally| tally.expired),
            dead: rate(|tally| tally.dead),
            done: rate(|tally| tally.done),
            queue_full: rate(|tally| tally.counts.queue_full),
            over_quota: rate(|tally| tally.counts.over_quota),
            unstored: rate(|tally| tally.counts.unstored),
            overloaded: rate(|tally| tally.counts.overloaded),
        }
    }

    /// Refused in all.
    pub fn refused(&self) -> f64 {
        self.throttled + self.shed + self.refused_otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_per_second() {
        let earlier =
            Tally { counts: Counts { admitted: 100, ..Counts::default() }, dead: 7, ..Tally::default() };
        let counts = Counts {
            admitted: 150,
            throttled: 20,
            shed: 10,
            refused: 35,
            over_quota: 5,
            ..Counts::default()
        };
        let later = Tally { counts, expired: 5, dead: 6, done: 45 };
        let flow = Flow::between(&earlier, &later, 5.0);
        let expected = Flow {
            demand: 17.0,
            admitted: 10.0,
            throttled: 4.0,
            shed: 2.0,
            refused_otherwise: 1.0,
            expired: 1.0,
            dead: 0.0,
            done: 9.0,
            over_quota: 1.0,
            ..Flow::default()
        };
        assert_eq!(flow, expected, "a replay makes no dead letters fewer than none");
        assert_eq!(flow.refused(), 7.0);
        assert_eq!(Flow::between(&earlier, &later, 0.0), Flow::default());
    }
}
