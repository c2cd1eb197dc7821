//! The ledger of promised returns: each refusal takes the next free slot of the spare rate and is told that time.
//!
//! A constant Retry-After sends everybody back at once. The ledger counts the returns promised and not yet due, lets
//! them fall due at the rate that the gate can spare, and so spaces the clients out. It paces, it reserves nothing:
//! promises fall due with time whether or not their clients return, so those who vanished starve nobody.

use std::time::Duration;

use crate::admission::settings::RetryAfterBounds;
use crate::domain::chance::Chance;
use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// Returns promised and not yet due, in jobs.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// Never more than `spare * max`: later returns are not entered but spread.
    outstanding: f64,
    /// Jobs per second at which promises fall due.
    spare: f64,
    at: Moment,
    jitter: Chance,
}

impl Promises {
    /// An empty ledger; the seed feeds its jitter.
    pub const fn new(seed: u64, now: Moment) -> Promises {
        Promises { outstanding: 0.0, spare: 0.0, at: now, jitter: Chance::from_seed(seed) }
    }

    /// Sets the rate at which the gate can take returns from now on, in jobs per second.
    pub fn set_spare(&mut self, spare: f64, now: Moment) {
        self.settle(now);
        self.spare = spare;
    }

    /// Promises a return for `cost` jobs, not before `not_before` seconds from now.
    ///
    /// Beyond the longest promise allowed, and where nothing can be predicted (infinity), returns are spread over the
    /// longer half of it, lest all that were told the maximum come back together.
    pub fn promise(
        &mut self,
        cost: Cost,
        not_before: f64,
        bounds: RetryAfterBounds,
        now: Moment,
    ) -> Duration {
        self.settle(now);
        let longest = bounds.max.as_secs_f64();
        let slot = not_before + self.outstanding / self.spare;
        // Also when the slot is no number: nothing promised at no rate is 0 / 0.
        let seconds = if slot < longest {
            self.outstanding += f64::from(cost.count());
            slot + self.jitter.fraction() * (JITTER_SHARE * slot).max(LEAST_JITTER)
        } else {
            longest * (0.5 + 0.5 * self.jitter.fraction())
        };
        let millis = (seconds * 1000.0).ceil().min(bounds.max.as_secs_f64() * 1000.0);
        // The cast saturates, and the bounds hold whatever it gives.
        Duration::from_millis(millis as u64).min(bounds.max).max(bounds.min)
    }

    fn settle(&mut self, now: Moment) {
        let elapsed = now.seconds_since(self.at);
        self.at = self.at.max(now);
        self.outstanding = (self.outstanding - self.spare * elapsed).max(0.0);
    }
}

/// Slots part clients already; a little chance on top parts those whose promises round to one second.
const JITTER_SHARE: f64 = 0.05;

/// Seconds of jitter even on the shortest promise.
const LEAST_JITTER: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RetryAfterBounds =
        RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) };

    fn ledger(spare: f64) -> Promises {
        let mut ledger = Promises::new(7, Moment::ORIGIN);
        ledger.set_spare(spare, Moment::ORIGIN);
        ledger
    }

    #[test]
    fn promised_returns_are_spaced_at_the_spare_rate() {
        let mut ledger = ledger(100.0);
        let mut per_second = [0_u32; 13];
        for _ in 0..1000 {
            let after = ledger.promise(Cost::ONE, 0.0, BOUNDS, Moment::ORIGIN);
            per_second[after.as_secs() as usize] += 1;
        }
        assert!(per_second.iter().skip(2).all(|count| *count <= 120), "{per_second:?}");
        assert!(per_second[2..9].iter().all(|count| *count >= 80), "{per_second:?}");
    }

    #[test]
    fn a_promise_that_fell_due_makes_room_whether_or_not_its_client_came() {
        let mut ledger = ledger(100.0);
        for _ in 0..10_000 {
            ledger.promise(Cost::ONE, 0.0, BOUNDS, Moment::ORIGIN);
        }
        let later = Moment::after_origin(Duration::from_secs(100));
        assert!(ledger.promise(Cost::ONE, 0.0, BOUNDS, later) < Duration::from_secs(2));
    }

    #[test]
    fn beyond_the_longest_promise_returns_are_spread_and_the_ledger_stays_bounded() {
        let mut ledger = ledger(10.0);
        let (mut least, mut most) = (BOUNDS.max, BOUNDS.min);
        for told in 0..100_000 {
            let after = ledger.promise(Cost::ONE, 0.0, BOUNDS, Moment::ORIGIN);
            if told >= 6_001 {
                (least, most) = (least.min(after), most.max(after));
            }
        }
        assert!(ledger.outstanding <= 6_001.0);
        assert!(least >= BOUNDS.max / 2 && least < BOUNDS.max * 51 / 100, "{least:?}");
        assert!(most <= BOUNDS.max && most > BOUNDS.max * 99 / 100, "{most:?}");
    }

    #[test]
    fn with_no_rate_to_predict_from_returns_are_spread() {
        let mut ledger = ledger(0.0);
        let after = ledger.promise(Cost::ONE, 0.0, BOUNDS, Moment::ORIGIN);
        assert!(after >= BOUNDS.max / 2 && after <= BOUNDS.max);
    }

    #[test]
    fn no_promise_is_earlier_than_the_moment_it_can_be_kept() {
        let mut ledger = ledger(1000.0);
        assert!(ledger.promise(Cost::ONE, 42.0, BOUNDS, Moment::ORIGIN) >= Duration::from_secs(42));
    }
}
