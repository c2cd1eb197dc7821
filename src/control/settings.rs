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
}

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
