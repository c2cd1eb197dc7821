//! What the workers sustain: their drain over the last stretches of busy time.

/// The last stretches, each a few seconds of busy time, pauses between signs of progress included.
#[derive(Clone, Debug)]
pub struct Stretches {
    /// Jobs and seconds since the last stretch ended.
    jobs: f64,
    seconds: f64,
    /// Jobs per second of each, newest first; infinite where there was none yet.
    rates: [f64; REMEMBERED],
}

impl Stretches {
    /// None yet.
    pub const fn none() -> Stretches {
        Stretches { jobs: 0.0, seconds: 0.0, rates: [f64::INFINITY; REMEMBERED] }
    }

    /// Adds what busy workers did in this time.
    pub fn add(&mut self, jobs: f64, seconds: f64) {
        self.jobs += jobs;
        self.seconds += seconds;
        if self.seconds >= LENGTH {
            self.rates.rotate_right(1);
            if let Some(newest) = self.rates.first_mut() {
                *newest = self.jobs / self.seconds;
            }
            (self.jobs, self.seconds) = (0.0, 0.0);
        }
    }

    /// The drain of the slowest stretch in jobs per second; infinite before one has ended.
    pub fn slowest(&self) -> f64 {
        self.rates.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// Stretches remembered. If each were by chance above or below the mean, all would be above it once in 64 times.
const REMEMBERED: usize = 6;

/// Seconds of a stretch: long enough that a pause or some noise in it is a share of it, short enough that half a minute
/// of overload fills the memory.
const LENGTH: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_the_last_six_stretches_counts() {
        let mut stretches = Stretches::none();
        assert_eq!(stretches.slowest(), f64::INFINITY);
        stretches.add(50.0, 4.0);
        assert_eq!(stretches.slowest(), f64::INFINITY, "it has not ended");
        stretches.add(0.0, 1.0);
        for rate in [20.0, 30.0, 40.0, 50.0, 60.0] {
            stretches.add(5.0 * rate, 5.0);
            assert_eq!(stretches.slowest(), 10.0);
        }
        stretches.add(350.0, 5.0);
        assert_eq!(stretches.slowest(), 20.0);
    }
}
