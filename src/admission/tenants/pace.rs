//! The pace of one tenant's promised returns: each takes the time of its cost at a rate, after the one before.

use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// Until when returns are promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace(Moment);

impl Pace {
    /// Nothing is promised yet.
    pub const fn from(now: Moment) -> Pace {
        Pace(now)
    }

    /// Seconds until all that was promised is due.
    pub fn ahead(self, now: Moment) -> f64 {
        self.0.seconds_since(now)
    }

    /// Whether something promised is not due yet.
    pub fn is_ahead(self, now: Moment) -> bool {
        self.0 > now
    }

    /// Takes the time of a cost at this rate, from `earliest` seconds on. Where nothing can be predicted, and beyond
    /// `most` seconds, it stands: such returns are spread and not paced.
    pub fn promised(&mut self, cost: Cost, jobs_per_second: f64, earliest: f64, most: f64, now: Moment) {
        let ahead = self.ahead(now).max(earliest);
        let takes = f64::from(cost.count()) / jobs_per_second;
        if takes.is_finite() && takes >= 0.0 && ahead < most {
            self.0 = now.plus(std::time::Duration::from_secs_f64((ahead + takes).min(FARTHEST)));
        }
    }

    /// Notes that this was the last return promised, in seconds from now.
    pub fn stands_at(&mut self, seconds: f64, now: Moment) {
        let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, FARTHEST) };
        self.0 = self.0.max(now.plus(std::time::Duration::from_secs_f64(seconds)));
    }
}

/// Seconds beyond which no promise reaches: a batch of millions at a trickle.
const FARTHEST: f64 = 86_400.0;
