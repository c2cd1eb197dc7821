//! What the policy decides about the gate of one tier.

use std::time::Duration;

/// Thresholds with hysteresis: refuse the tier from `at` on, take it again below `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedSettings {
    /// Depth at which shedding starts, in jobs.
    pub at: u64,
    /// Depth below which it ends, in jobs; less than `at`.
    pub until: u64,
    /// Answer 503 in place of 429.
    pub unavailable: bool,
}

/// The bounds of every Retry-After of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfterBounds {
    /// No refusal promises an earlier return.
    pub min: Duration,
    /// No refusal promises a later one.
    pub max: Duration,
}
