//! A tenant's own rate: one bucket over all tiers, and the pace at which those whom it refuses may return.

use crate::admission::tenants::asker::QuotaSeen;
use crate::admission::tenants::pace::Pace;
use crate::admission::tenants::terms::QuotaTerms;
use crate::admission::token_bucket::TokenBucket;
use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// What is left of a tenant's own rate.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    terms: QuotaTerms,
    bucket: TokenBucket,
    /// At the tenant's rate: so its promises take no more of the tier's spare rate than it can use.
    told: Pace,
}

impl Quota {
    /// A rate of which nothing is used.
    pub fn unused(terms: QuotaTerms, now: Moment) -> Quota {
        Quota { terms, bucket: TokenBucket::full(terms.rate, terms.burst, now), told: Pace::from(now) }
    }

    /// Goes on with other terms; what was used stays used.
    pub fn set(&mut self, terms: QuotaTerms, now: Moment) {
        self.terms = terms;
        self.bucket.set(terms.rate, terms.burst, now);
    }

    /// What the gate sees of it for a cost of `jobs`, as many as all replicas let in for it.
    pub fn seen(&mut self, jobs: f64, now: Moment) -> QuotaSeen {
        self.bucket.refill(now);
        let seconds = self.bucket.seconds_until_jobs(jobs);
        QuotaSeen {
            rate: self.terms.rate,
            burst: self.terms.burst,
            tokens: self.bucket.tokens(),
            holds: self.bucket.holds_jobs(jobs),
            not_before: seconds.max(self.told.ahead(now)),
        }
    }

    /// Takes what was let in.
    pub fn take(&mut self, jobs: f64) {
        self.bucket.take_jobs(jobs);
    }

    /// Puts back what was let in and not used.
    pub fn give_back(&mut self, jobs: f64, now: Moment) {
        self.bucket.refill(now);
        self.bucket.give_back_jobs(jobs);
    }

    /// Notes that a refused cost was promised a return, not before `earliest` seconds from now; none is later than `most`.
    pub fn promised(&mut self, cost: Cost, earliest: f64, most: f64, now: Moment) {
        self.told.promised(cost, self.terms.rate.jobs_per_second(), earliest, most, now);
    }

    /// Jobs that may come now.
    pub fn left(&self) -> f64 {
        self.bucket.tokens().max(0.0)
    }

    /// Whether nothing of it is used: then there is nothing to remember.
    pub fn is_unused(&mut self, now: Moment) -> bool {
        self.bucket.refill(now);
        self.bucket.tokens() >= self.terms.burst && !self.told.is_ahead(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::units::Rate;

    fn quota(rate: f64, burst: f64) -> Quota {
        Quota::unused(QuotaTerms { rate: Rate::saturating(rate), burst }, Moment::ORIGIN)
    }

    fn at(seconds: f64) -> Moment {
        Moment::after_origin(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut quota = quota(10.0, 20.0);
        for _ in 0..20 {
            assert!(quota.seen(1.0, at(0.0)).holds);
            quota.take(1.0);
        }
        let seen = quota.seen(1.0, at(0.0));
        assert!(!seen.holds && (seen.not_before - 0.1).abs() < 1e-9, "{seen:?}");
        assert!(quota.seen(1.0, at(0.11)).holds);
    }

    #[test]
    fn promises_follow_at_the_tenants_own_rate() {
        let mut quota = quota(10.0, 1.0);
        quota.take(1.0);
        for refused in 0..50 {
            let told = quota.seen(1.0, at(0.0)).not_before;
            assert!((told - f64::from(refused + 1) * 0.1).abs() < 1e-6, "{told} for {refused}");
            quota.promised(Cost::ONE, told, 450.0, at(0.0));
        }
    }

    #[test]
    fn what_is_given_back_is_there_again_and_new_terms_mint_nothing() {
        let mut quota = quota(10.0, 5.0);
        quota.take(5.0);
        quota.set(QuotaTerms { rate: Rate::saturating(10.0), burst: 100.0 }, at(0.0));
        assert!(!quota.seen(1.0, at(0.0)).holds);
        quota.give_back(2.0, at(0.0));
        assert!(quota.seen(2.0, at(0.0)).holds && !quota.seen(3.0, at(0.0)).holds);
        assert!(!quota.is_unused(at(0.0)));
        assert!(quota.is_unused(at(60.0)));
    }
}
