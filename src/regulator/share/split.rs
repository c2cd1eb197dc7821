//! How a rate is split: by demand, and what nobody asks for evenly.

use crate::domain::time::Moment;

/// Jobs asked for per second, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    last: Option<(Moment, u64)>,
    rate: f64,
}

impl Demand {
    /// Notes that `asked` jobs had been asked for until now; returns the demand in jobs per second.
    pub fn note(&mut self, asked: u64, now: Moment) -> f64 {
        let Some((then, before)) = self.last else {
            self.last = Some((now, asked));
            return 0.0;
        };
        let elapsed = now.seconds_since(then);
        if elapsed >= SHORTEST_SPAN {
            let seen = asked.saturating_sub(before) as f64 / elapsed;
            self.rate -= (seen - self.rate) * (-elapsed / DEMAND_MEMORY).exp_m1();
            self.last = Some((now, asked));
        }
        self.rate
    }
}

/// The share of one of `replicas` that asks for `demand` of the `total` that all ask for, where `rate` is let in; jobs per
/// second. Over all replicas the shares sum to one.
///
/// Each gets what it asks for and an even part of what nobody asks for; where all ask for more than there is, all get the
/// same part of what they ask for. An idle one keeps a little, lest its first job find the gate shut.
pub fn share(demand: f64, total: f64, rate: f64, replicas: usize) -> f64 {
    let even = 1.0 / replicas.max(1) as f64;
    let whole = total.max(rate);
    if !(whole > 0.0 && whole.is_finite()) {
        return even;
    }
    let asked = (demand + even * (whole - total)) / whole;
    // What is no number asks for nothing in particular.
    let asked = if asked.is_nan() { even } else { asked.clamp(0.0, 1.0) };
    even * KEPT + (1.0 - KEPT) * asked
}

/// Seconds over which demand is smoothed: after five of them nothing of it is left.
const DEMAND_MEMORY: f64 = 1.0;

/// Seconds: what was asked for in less says nothing of a rate.
const SHORTEST_SPAN: f64 = 0.02;

/// Part of the whole that is split evenly whatever is asked for.
const KEPT: f64 = 0.03;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_asks_for_more_than_there_is_gets_a_part_of_it_in_proportion() {
        let shares = [100.0, 200.0, 700.0].map(|demand| share(demand, 1_000.0, 500.0, 3));
        assert!((shares[2] - 0.97 * 0.7 - 0.01).abs() < 1e-12, "{shares:?}");
        assert!((shares[0] - 0.97 * 0.1 - 0.01).abs() < 1e-12, "{shares:?}");
    }

    #[test]
    fn where_there_is_enough_each_gets_what_it_asks_for_and_the_rest_is_split_evenly() {
        assert_eq!(share(0.0, 0.0, 500.0, 4), 0.25);
        let busy = share(400.0, 400.0, 500.0, 2);
        assert!((0.88..0.9).contains(&busy), "{busy}");
    }

    #[test]
    fn demand_that_ends_is_forgotten_within_five_seconds() {
        let mut demand = Demand::default();
        let mut asked = 0;
        let mut at = |millis, more: u64| {
            asked += more;
            demand.note(asked, Moment::after_origin(Duration::from_millis(millis)))
        };
        let busy = (0..50).map(|step| at(100 * step, 100)).last();
        assert!((950.0..=1_000.0).contains(&busy.unwrap()), "{busy:?}");
        let idle = (50..100).map(|step| at(100 * step, 0)).last();
        assert!(idle.unwrap() < 10.0, "{idle:?}");
    }

    proptest! {
        #[test]
        fn the_shares_of_all_sum_to_one(demands in prop::collection::vec(0.0..1e6, 1..64), rate in 0.0..1e9) {
            let total = demands.iter().sum();
            let sum: f64 = demands.iter().map(|demand| share(*demand, total, rate, demands.len())).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }

        #[test]
        fn no_share_leaves_its_bounds_whatever_is_told(
            demand in any::<f64>(), total in any::<f64>(), rate in any::<f64>(), replicas in 0_usize..100,
        ) {
            let share = share(demand, total, rate, replicas);
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
    }
}
