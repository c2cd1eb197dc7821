//! A token bucket whose rate changes while it runs: it paces admission and keeps its credit and its debt.

use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};

/// Tokens that grow with time up to what the burst keeps; one token is one job.
///
/// A cost larger than the whole burst is let in when the bucket is full and leaves a debt, so that every cost
/// comes in after a finite time and the long-run rate still holds.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Jobs that may come in at once; negative is a debt to be worked off first.
    tokens: f64,
    /// Jobs per second.
    rate: f64,
    /// The most tokens that unused time leaves; at least 1.
    capacity: f64,
    refilled: Moment,
}

impl TokenBucket {
    /// A full bucket, `burst` in jobs: unused time before its making counts as long enough.
    pub fn full(rate: Rate, burst: f64, now: Moment) -> TokenBucket {
        let capacity = capacity(burst);
        TokenBucket { tokens: capacity, rate: rate.jobs_per_second(), capacity, refilled: now }
    }

    /// Goes on at another rate. What was earned until now was earned at the old one; debt stays, credit stays as
    /// far as the new burst keeps it, and nothing is added.
    pub fn set(&mut self, rate: Rate, burst: f64, now: Moment) {
        self.refill(now);
        self.rate = rate.jobs_per_second();
        self.capacity = capacity(burst);
        self.tokens = self.tokens.min(self.capacity);
    }

    /// Earns the tokens of the time that passed. A clock that stepped back earns nothing, now and on its way back.
    pub fn refill(&mut self, now: Moment) {
        let elapsed = now.seconds_since(self.refilled);
        self.refilled = self.refilled.max(now);
        self.tokens = (self.tokens + self.rate * elapsed).min(self.capacity);
    }

    /// Whether the cost may come in, as of the last [`refill`](Self::refill).
    pub fn holds(&self, cost: Cost) -> bool {
        self.holds_jobs(f64::from(cost.count()))
    }

    /// The same of any number of jobs.
    pub fn holds_jobs(&self, jobs: f64) -> bool {
        self.tokens >= self.price(jobs)
    }

    /// Takes the cost; what the bucket does not hold becomes debt.
    pub fn take(&mut self, cost: Cost) {
        self.take_jobs(f64::from(cost.count()));
    }

    /// The same of any number of jobs.
    pub fn take_jobs(&mut self, jobs: f64) {
        self.tokens -= jobs;
    }

    /// Takes the cost as far as the bucket holds it; never makes a debt.
    pub fn take_what_is_there(&mut self, cost: Cost) {
        let left = self.tokens - f64::from(cost.count());
        self.tokens = left.max(self.tokens.min(0.0));
    }

    /// Puts back what an admitted cost took and did not use.
    pub fn give_back(&mut self, cost: Cost) {
        self.give_back_jobs(f64::from(cost.count()));
    }

    /// The same of any number of jobs.
    pub fn give_back_jobs(&mut self, jobs: f64) {
        self.tokens = (self.tokens + jobs).min(self.capacity);
    }

    /// Jobs that may come in one by one now, as of the last refill; negative is debt.
    pub const fn tokens(&self) -> f64 {
        self.tokens
    }

    /// Jobs per second.
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Seconds until the cost may come in if nothing else does; infinite at rate zero.
    pub fn seconds_until(&self, cost: Cost) -> f64 {
        self.seconds_until_jobs(f64::from(cost.count()))
    }

    /// The same of any number of jobs.
    pub fn seconds_until_jobs(&self, jobs: f64) -> f64 {
        let missing = self.price(jobs) - self.tokens;
        if missing <= 0.0 { 0.0 } else { missing / self.rate }
    }

    /// What must be there to come in: the cost, but never more than a full bucket.
    const fn price(&self, jobs: f64) -> f64 {
        jobs.min(self.capacity)
    }
}

/// What is no number makes the smallest bucket.
fn capacity(burst: f64) -> f64 {
    if burst.is_nan() { 1.0 } else { burst.clamp(1.0, MOST_TOKENS) }
}

/// Far beyond any real burst and small enough that one job still counts in an `f64`.
const MOST_TOKENS: f64 = 1e15;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Moment {
        Moment::after_origin(Duration::from_secs_f64(seconds))
    }

    fn rate(jobs: f64) -> Rate {
        Rate::per_second(jobs).unwrap()
    }

    fn jobs(count: u32) -> Cost {
        Cost::jobs(count).unwrap()
    }

    fn admit(bucket: &mut TokenBucket, cost: Cost, now: Moment) -> bool {
        bucket.refill(now);
        let holds = bucket.holds(cost);
        if holds {
            bucket.take(cost);
        }
        holds
    }

    #[test]
    fn a_full_bucket_admits_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::full(rate(10.0), 10.0, at(0.0));
        let admitted = (0..100).filter(|_| admit(&mut bucket, Cost::ONE, at(0.0))).count();
        assert_eq!(admitted, 10);
        assert!(!admit(&mut bucket, Cost::ONE, at(0.09)));
        assert!(admit(&mut bucket, Cost::ONE, at(0.11)));
    }

    #[test]
    fn a_cost_beyond_the_burst_comes_in_when_full_and_leaves_a_debt() {
        let mut bucket = TokenBucket::full(rate(10.0), 10.0, at(0.0));
        assert!(admit(&mut bucket, jobs(100), at(0.0)));
        assert!(!admit(&mut bucket, Cost::ONE, at(9.0)), "90 jobs are still owed");
        assert!(admit(&mut bucket, Cost::ONE, at(9.2)));
    }

    #[test]
    fn a_debt_survives_a_change_of_rate() {
        let mut bucket = TokenBucket::full(rate(10.0), 10.0, at(0.0));
        assert!(admit(&mut bucket, jobs(60), at(0.0)));
        bucket.set(rate(100.0), 100.0, at(0.0));
        assert!(!admit(&mut bucket, Cost::ONE, at(0.5)));
        assert!(admit(&mut bucket, Cost::ONE, at(0.52)));
    }

    #[test]
    fn ten_minutes_of_silence_leave_one_burst() {
        let mut bucket = TokenBucket::full(rate(10.0), 10.0, at(0.0));
        bucket.refill(at(600.0));
        assert!((bucket.tokens() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_clock_that_steps_back_earns_nothing_twice() {
        let mut bucket = TokenBucket::full(rate(10.0), 10.0, at(100.0));
        bucket.take(jobs(10));
        bucket.refill(at(50.0));
        bucket.refill(at(100.0));
        assert!(bucket.tokens().abs() < 1e-9);
    }

    #[test]
    fn rate_zero_admits_its_last_token_and_no_more() {
        let mut bucket = TokenBucket::full(Rate::ZERO, 0.0, at(0.0));
        assert!(admit(&mut bucket, jobs(1000), at(0.0)));
        assert!(!admit(&mut bucket, Cost::ONE, at(1e6)));
        assert_eq!(bucket.seconds_until(Cost::ONE), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn a_rate_change_never_mints(before in 0.0..1e9, after in 0.0..1e9, taken in 1_u32..1000, wait in 0.0..10.0) {
            let mut bucket = TokenBucket::full(rate(before), before, at(0.0));
            bucket.take(jobs(taken));
            bucket.refill(at(wait));
            let held = bucket.tokens();
            bucket.set(rate(after), after, at(wait));
            prop_assert!(bucket.tokens() <= held);
            prop_assert!(bucket.tokens() == held || held > bucket.capacity);
        }

        #[test]
        fn no_stretch_of_time_admits_more_than_burst_and_rate(
            steps in prop::collection::vec((0.0..2.0, 1_u32..50, 0.0..200.0), 1..100),
        ) {
            let mut bucket = TokenBucket::full(rate(100.0), 100.0, at(0.0));
            let (mut now, mut earned, mut admitted, mut largest) = (0.0, 100.0, 0.0, 0.0_f64);
            let mut current = 100.0;
            for (wait, cost, next) in steps {
                now += wait;
                earned += current * wait;
                if admit(&mut bucket, jobs(cost), at(now)) {
                    admitted += f64::from(cost);
                    largest = largest.max(f64::from(cost));
                }
                bucket.set(rate(next), next, at(now));
                current = next;
            }
            prop_assert!(admitted <= earned + largest + 1e-3, "{admitted} of {earned}");
        }
    }
}
