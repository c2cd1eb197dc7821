//! What happened, slice by slice: the source of every figure and of the picture.

use std::time::Duration;

use crate::domain::tier::TierMap;

/// The course of one played scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The length of each slice.
    pub slice: Duration,
    /// The slices of each tier, from the beginning on; the last may be cut short.
    pub tiers: TierMap<Vec<Slice>>,
}

/// One stretch of time of one tier. Counts are of jobs and of this slice alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Asked for the first time.
    pub offered: u64,
    /// What the schedule offers in this time, in jobs: what `offered` would be if jobs came in parts.
    pub due: f64,
    /// Asked again.
    pub returned: u64,
    /// Let in.
    pub admitted: u64,
    /// Refused by rate, window or hard bound.
    pub throttled: u64,
    /// Refused by a threshold, a higher tier or a lost signal.
    pub shed: u64,
    /// Written into the queue by others than the gateway.
    pub beside: u64,
    /// Taken by workers, those that died included.
    pub drained: u64,
    /// What the workers could have taken, in jobs; of a common pool what the other tiers left.
    pub drainable: f64,
    /// Of the drainable, what was not used: nothing was there to do.
    pub unused: f64,
    /// What the workers do at full load, in jobs; of a common pool all of it.
    pub capacity: f64,
    /// True depth at the end.
    pub depth: u64,
    /// Highest true depth.
    pub deepest: u64,
    /// Highest depth over the target that holds for it: with a delay the largest target of the last delay.
    pub deepest_ratio: f64,
    /// Milliseconds that began above 1.1 times that target.
    pub millis_over: u64,
    /// Most returns of any second that ends in this slice, over what the workers could do in it.
    pub return_peak: f64,
    /// The law's target, in jobs.
    pub target: f64,
    /// The admission rate set, in jobs per second; unlimited where it is infinite.
    pub rate: f64,
    /// The drain as the law estimates it, in jobs per second.
    pub drain: f64,
    /// Whether the last control step lacked a signal.
    pub blind: bool,
    /// The times to return that refusals told.
    pub told: Told,
    /// Refused clients that will come back, at the end.
    pub outside: u64,
    /// Those of them that come back when told.
    pub outside_obedient: u64,
}

impl Slice {
    /// Requests for a job, first ones and returns.
    pub const fn requests(&self) -> u64 {
        self.offered + self.returned
    }

    /// Requests that were refused.
    pub const fn refused(&self) -> u64 {
        self.throttled + self.shed
    }
}

/// Times to return, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// How many were told.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The earliest; zero where none was told.
    pub least: f64,
    /// The latest.
    pub most: f64,
}

impl Told {
    /// Counts `count` refusals that told this time.
    pub fn add(&mut self, count: u64, seconds: f64) {
        self.least = if self.count == 0 { seconds } else { self.least.min(seconds) };
        self.most = self.most.max(seconds);
        self.count += count;
        self.sum += seconds * count as f64;
    }
}
