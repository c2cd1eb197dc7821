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

/// Thresholds of the time until the backend deletes the oldest unread job: refuse the tier while less than `shed_at` is
/// left, take it again from `until` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Headroom below which shedding starts.
    pub shed_at: Duration,
    /// Headroom from which on it ends; more than `shed_at`.
    pub until: Duration,
}

/// The bounds of every Retry-After of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfterBounds {
    /// No refusal promises an earlier return.
    pub min: Duration,
    /// No refusal promises a later one.
    pub max: Duration,
}
