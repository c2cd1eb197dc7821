//! What the policy decides about the regulator.

use std::sync::Arc;

use crate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use crate::admission::tenants::terms::Terms;
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::tier::TierMap;

/// Everything the regulator needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct RegulatorSettings {
    /// The controller's knobs.
    pub controller: ControllerSettings,
    /// Each tier.
    pub tiers: TierMap<TierSettings>,
    /// The terms of the tenants.
    pub tenants: Arc<Terms>,
}

/// One tier's law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierSettings {
    /// The depth to hold.
    pub target: Target,
    /// The hard bound on the depth, in jobs.
    pub max_depth: u64,
    /// The bounds of the admission rate.
    pub rate: RateBounds,
    /// Thresholds at which the tier is refused whole.
    pub shed: Option<ShedSettings>,
    /// Thresholds of the headroom before retention at which it is refused whole too.
    pub retention: Option<RetentionSettings>,
    /// Shed too while a higher tier is at its bound.
    pub yields: bool,
    /// What to do without a signal.
    pub on_stale: OnStale,
    /// The bounds of the promised returns.
    pub retry_after: RetryAfterBounds,
}

/// What a tier does when its signal is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// Go on at the last drain estimate, never above; the modelled window goes on bounding.
    Hold,
    /// Admit at `rate.min`.
    Floor,
    /// Admit nothing.
    Shut,
    /// Admit everything up to the hard bound.
    Open,
}
