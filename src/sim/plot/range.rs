//! Chooses how far a value axis goes: a short spike or a flood far beyond the workers must not flatten all else.

use crate::sim::plot::axis::short;

/// How far an axis goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The top of the axis.
    pub top: f64,
    /// What lies beyond and is cut.
    pub beyond: Option<Beyond>,
}

/// What lies beyond the top of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beyond {
    /// Values up to this peak.
    Peak(f64),
    /// No limit at times, and values up to this peak.
    Unlimited,
}

impl Range {
    /// The range for these values. `needed` must be seen well: where the values are most of the time more than `times`
    /// as large, the axis is cut above it; where they are large for a short time only, above what is usual.
    pub fn of(values: impl Iterator<Item = f64>, needed: f64, times: f64) -> Range {
        let all: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        let unlimited = all.iter().any(|value| *value >= UNLIMITED);
        let values: Vec<f64> = all.into_iter().filter(|value| *value < UNLIMITED).collect();
        let peak = values.iter().copied().fold(0.0, f64::max);
        let usual = usual(values).max(needed);
        let top = if needed > 0.0 && usual > times * needed {
            SEEN * needed
        } else if peak > SPIKE * usual && usual > 0.0 {
            SEEN / 2.0 * usual
        } else {
            peak.max(needed)
        };
        let beyond = match peak > top {
            _ if unlimited => Some(Beyond::Unlimited),
            true => Some(Beyond::Peak(peak)),
            false => None,
        };
        Range { beyond, ..Range::whole(top) }
    }

    /// The range in which a value is the highest, and nothing is cut.
    pub fn whole(highest: f64) -> Range {
        Range { top: if highest > 0.0 { highest * HEADROOM } else { 1.0 }, beyond: None }
    }

    /// What is to be said of what was cut, in this unit.
    pub fn note(&self, unit: &str) -> Option<String> {
        self.beyond.map(|beyond| match beyond {
            Beyond::Peak(peak) => format!("cut: peak {}{unit}", short(peak)),
            Beyond::Unlimited => "cut: at times unlimited".to_owned(),
        })
    }
}

/// What values stay below, but for a tenth of the time; zero without values.
pub fn usual(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() * 9 / 10).copied().unwrap_or(0.0)
}

/// From here on a value is no limit.
pub const UNLIMITED: f64 = 1e18;

/// A spike this many times as high as what is usual is cut.
const SPIKE: f64 = 4.0;

/// So many times what is needed is seen where values are cut above it; half as many times what is usual.
const SEEN: f64 = 3.0;

/// Lines at the top keep clear of the edge.
const HEADROOM: f64 = 1.06;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: &[(usize, f64)], needed: f64) -> (f64, Option<Beyond>) {
        let values = values.iter().flat_map(|(count, value)| std::iter::repeat_n(*value, *count));
        let range = Range::of(values, needed, 20.0);
        ((range.top / HEADROOM).round(), range.beyond)
    }

    #[test]
    fn ten_times_the_workers_is_shown_whole_and_a_hundred_times_is_cut() {
        assert_eq!(range(&[(50, 1000.0), (50, 100_000.0)], 10_000.0), (100_000.0, None));
        assert_eq!(range(&[(50, 1e6)], 10_000.0), (30_000.0, Some(Beyond::Peak(1e6))));
    }

    #[test]
    fn a_short_spike_is_cut_above_what_is_usual() {
        assert_eq!(range(&[(95, 1000.0), (5, 21_000.0)], 2000.0), (3000.0, Some(Beyond::Peak(21_000.0))));
        assert_eq!(range(&[(95, 1000.0), (5, 7000.0)], 2000.0), (7000.0, None));
    }

    #[test]
    fn no_limit_does_not_flatten_the_rest() {
        assert_eq!(range(&[(10, f64::INFINITY), (90, 80.0)], 100.0), (100.0, Some(Beyond::Unlimited)));
        assert_eq!(range(&[(10, f64::MAX)], 0.0), (1.0, Some(Beyond::Unlimited)));
        assert_eq!(range(&[], 0.0), (1.0, None));
        assert_eq!(range(&[(3, f64::NAN)], 0.0), (1.0, None));
    }
}
