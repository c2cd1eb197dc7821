//! Quantiles of durations over the last minute or so, by hdrhistogram: exact to 1 %, the tail included. For latencies, and
//! for the returns that refusals promise.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// The quantiles that status shows, in seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Quantiles {
    /// Samples they are made of.
    pub count: u64,
    /// Half of them were shorter.
    pub p50: f64,
    /// 90 % were.
    pub p90: f64,
    /// 99 % were.
    pub p99: f64,
    /// 99.9 % were.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Records durations and answers quantiles over the present and the previous period.
pub struct Latency {
    periods: Mutex<Periods>,
}

struct Periods {
    present: Histogram<u64>,
    previous: Histogram<u64>,
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency").finish_non_exhaustive()
    }
}

impl Latency {
    /// An empty record.
    ///
    /// # Errors
    /// Never with the constants of this file; hdrhistogram checks them.
    pub fn new() -> Result<Latency, hdrhistogram::CreationError> {
        let empty = Histogram::new_with_bounds(1, LONGEST_MICROS, SIGNIFICANT_DIGITS)?;
        Ok(Latency { periods: Mutex::new(Periods { present: empty.clone(), previous: empty }) })
    }

    /// Records one duration; longer ones than an hour count as an hour.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.periods.lock().unwrap_or_else(PoisonError::into_inner).present.saturating_record(micros);
    }

    /// Starts a new period; the present one becomes the previous one. Called twice a minute.
    pub fn rotate(&self) {
        let mut periods = self.periods.lock().unwrap_or_else(PoisonError::into_inner);
        let Periods { present, previous } = &mut *periods;
        std::mem::swap(present, previous);
        present.reset();
    }

    /// The quantiles of the present and the previous period together.
    pub fn quantiles(&self) -> Quantiles {
        let both = {
            let periods = self.periods.lock().unwrap_or_else(PoisonError::into_inner);
            let mut both = periods.previous.clone();
            // Cannot fail: both have the same bounds.
            let _ = both.add(&periods.present);
            both
        };
        let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
        Quantiles {
            count: both.len(),
            p50: seconds(both.value_at_quantile(0.5)),
            p90: seconds(both.value_at_quantile(0.9)),
            p99: seconds(both.value_at_quantile(0.99)),
            p999: seconds(both.value_at_quantile(0.999)),
            max: seconds(both.max()),
        }
    }
}

/// An hour: no request lives as long, and few policies promise a return that late.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// 1 % of error, and a histogram of about 25 KB.
const SIGNIFICANT_DIGITS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_cover_two_periods_and_forget_the_third() {
        let latency = Latency::new().unwrap();
        latency.record(Duration::from_secs(1));
        latency.rotate();
        latency.record(Duration::from_millis(10));
        assert_eq!(latency.quantiles().count, 2);
        assert!((latency.quantiles().max - 1.0).abs() < 0.02);
        latency.rotate();
        assert_eq!(latency.quantiles().count, 1);
        assert!((latency.quantiles().p99 - 0.010).abs() < 0.000_2);
    }
}
