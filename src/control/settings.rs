//! What the policy decides about the controller.

use std::time::Duration;

use crate::domain::units::Rate;

/// The controller's knobs, the same for every tier and every magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControllerSettings {
    /// Time between two readings of the backlog.
    pub interval: Duration,
    /// Proportional gain in 1/s: the share of the error worked off each second.
    pub kp: f64,
    /// Integral gain in 1/s².
    pub ki: f64,
    /// Derivative gain, unitless.
    pub kd: f64,
    /// Time constant over which the drain is smoothed.
    pub drain_memory: Duration,
    /// The window's bound on the depth, as a multiple of the target; at least 1.
    pub window: f64,
}

impl ControllerSettings {
    /// The knobs of a policy that leaves them out.
    pub const DEFAULT: ControllerSettings = ControllerSettings {
        interval: Duration::from_millis(100),
        kp: 1.0,
        ki: 0.05,
        kd: 0.0,
        drain_memory: Duration::from_secs(2),
        window: 1.05,
    };

    /// The largest proportional gain that the law takes at this interval, in 1/s: a correction must not be repeated
    /// before its effect can show.
    pub fn most_kp(&self) -> f64 {
        1.0 / (PATIENCE_IN_TICKS * self.interval.as_secs_f64())
    }

    /// The largest integral gain that the law takes beside its proportional one, in 1/s².
    pub fn most_ki(&self) -> f64 {
        most_ki_beside(self.kp.min(self.most_kp()))
    }
}

/// The largest integral gain beside this proportional one. A faster integral swings: the depth it works on is itself the
/// integral of the rate.
pub(super) const fn most_ki_beside(kp: f64) -> f64 {
    kp * kp / 4.0
}

/// No correction is repeated within so many ticks.
pub(super) const PATIENCE_IN_TICKS: f64 = 4.0;

/// The depth that the controller holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Always this many jobs.
    Depth(u64),
    /// The measured drain times the delay that is acceptable, within bounds.
    Delay {
        /// The acceptable queueing delay.
        delay: Duration,
        /// Never less than this many jobs; the target before any worker was seen.
        at_least: u64,
        /// Never more than this many jobs.
        at_most: u64,
    },
}

/// The bounds of a tier's admission rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBounds {
    /// Never less than this.
    pub min: Rate,
    /// Never more than this; `None` is no limit.
    pub max: Option<Rate>,
    /// How much unused rate the bucket keeps, as time.
    pub burst: Duration,
}
