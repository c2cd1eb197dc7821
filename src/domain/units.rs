//! Quantities with their units: a rate in jobs per second, and the cost of a request in jobs.

use std::num::NonZeroU32;

/// Jobs per second: finite and never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// Nothing at all.
    pub const ZERO: Rate = Rate(0.0);

    /// This many jobs per second. `None` for NaN, infinities and negative numbers.
    pub fn per_second(jobs: f64) -> Option<Rate> {
        (jobs.is_finite() && jobs >= 0.0).then_some(Rate(jobs))
    }

    /// This many jobs per second, with anything that is not a rate (NaN, negative) as zero and anything beyond
    /// `f64::MAX` as `f64::MAX`: for computed values, where a wrong operand must close the gate, not open it.
    pub fn saturating(jobs: f64) -> Rate {
        if jobs.is_nan() { Rate::ZERO } else { Rate(jobs.clamp(0.0, f64::MAX)) }
    }

    /// The number of jobs per second.
    pub const fn jobs_per_second(self) -> f64 {
        self.0
    }
}

/// What a decision costs, in jobs: 1 for a single job, n for n jobs decided at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(NonZeroU32);

impl Cost {
    /// One job.
    pub const ONE: Cost = Cost(NonZeroU32::MIN);

    /// This many jobs; `None` for zero.
    pub fn jobs(count: u32) -> Option<Cost> {
        NonZeroU32::new(count).map(Cost)
    }

    /// The number of jobs.
    pub const fn count(self) -> u32 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_rate_closes_the_gate() {
        assert_eq!(Rate::saturating(f64::NAN), Rate::ZERO);
        assert_eq!(Rate::saturating(-1.0), Rate::ZERO);
        assert_eq!(Rate::saturating(f64::INFINITY).jobs_per_second(), f64::MAX);
        assert_eq!(Rate::per_second(f64::INFINITY), None);
    }
}
