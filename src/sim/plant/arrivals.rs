//! When jobs come: evenly or by chance, at a rate that may change at any time.

use crate::domain::chance::Chance;

/// One stream of arrivals, `quantum` jobs at a time.
///
/// It walks along the jobs due rather than along time: a changed rate stretches what is left of the present gap.
#[derive(Clone, Debug)]
pub struct Arrivals {
    quantum: u32,
    poisson: bool,
    chance: Chance,
    /// Jobs that must still become due before the next arrival.
    left: f64,
}

impl Arrivals {
    /// A stream that has just begun.
    pub fn new(quantum: u32, poisson: bool, seed: u64) -> Arrivals {
        let mut arrivals = Arrivals { quantum, poisson, chance: Chance::from_seed(seed), left: 0.0 };
        arrivals.left = arrivals.gap();
        arrivals
    }

    /// Seconds until the next arrival, if it comes within `span` seconds at this rate; else the span passes.
    pub fn next_within(&mut self, span: f64, rate: f64) -> Option<f64> {
        let due = rate * span;
        if due < self.left {
            self.left -= due;
            return None;
        }
        let wait = self.left / rate;
        self.left = self.gap();
        Some(wait)
    }

    /// Jobs from one arrival to the next: the quantum, or the sum of as many exponential gaps.
    fn gap(&mut self) -> f64 {
        let jobs = f64::from(self.quantum);
        if !self.poisson {
            return jobs;
        }
        if self.quantum <= EXACT_SUM {
            return (0..self.quantum).map(|_| exponential(&mut self.chance)).sum();
        }
        (jobs + jobs.sqrt() * normal(&mut self.chance)).max(0.0)
    }
}

/// A time by chance with mean 1.
pub fn exponential(chance: &mut Chance) -> f64 {
    -(-chance.fraction()).ln_1p()
}

/// A normal number (Box and Muller 1958).
fn normal(chance: &mut Chance) -> f64 {
    (2.0 * exponential(chance)).sqrt() * (std::f64::consts::TAU * chance.fraction()).cos()
}

/// Sums of more exponential gaps than this are taken as normal.
const EXACT_SUM: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(arrivals: &mut Arrivals, rate: f64, seconds: usize) -> Vec<f64> {
        let mut per_second = Vec::new();
        for _ in 0..seconds {
            let (mut left, mut jobs) = (1.0, 0.0);
            while let Some(wait) = arrivals.next_within(left, rate) {
                left -= wait;
                jobs += f64::from(arrivals.quantum);
            }
            per_second.push(jobs);
        }
        per_second
    }

    #[test]
    fn even_arrivals_are_even_and_poisson_ones_vary_as_they_must() {
        for quantum in [1, 7, 40] {
            let even = count(&mut Arrivals::new(quantum, false, 1), 1_000.0, 100);
            assert!(even.iter().all(|jobs| (jobs - 1_000.0).abs() <= f64::from(quantum)), "{even:?}");
            let poisson = count(&mut Arrivals::new(quantum, true, 1), 1_000.0, 4_000);
            let mean = poisson.iter().sum::<f64>() / 4_000.0;
            let variance = poisson.iter().map(|jobs| (jobs - mean).powi(2)).sum::<f64>() / 4_000.0;
            assert!((mean - 1_000.0).abs() < 5.0, "{mean}");
            assert!((800.0..1_400.0).contains(&variance), "quantum {quantum}: {variance}");
        }
    }

    #[test]
    fn slow_streams_keep_what_is_left_of_a_gap() {
        let mut arrivals = Arrivals::new(1, false, 1);
        let seen = (0..1_000).filter(|_| arrivals.next_within(0.001, 8.0).is_some()).count();
        assert_eq!(seen, 8);
    }
}
