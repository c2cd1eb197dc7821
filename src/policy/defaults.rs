//! What a policy means by the keys it leaves out: the values of `policies/default.yaml`.

use std::time::Duration;

use crate::admission::settings::{RetryAfterBounds, ShedSettings};
use crate::control::settings::{RateBounds, Target};
use crate::domain::tier::Tier;
use crate::domain::units::Rate;
use crate::policy::{Ordering, RetryPolicy, TierPolicy};
use crate::regulator::settings::{OnStale, TierSettings};

/// Where the type is read.
pub(super) const TYPE_FROM: [&str; 3] = ["header:Tidegate-Type", "ce-type", "body:/type"];

/// Where the ordering key is read.
pub(super) const ORDERING_KEY_FROM: [&str; 2] = ["header:Tidegate-Ordering-Key", "ce-partitionkey"];

/// Where the idempotency key is read.
pub(super) const IDEMPOTENCY_KEY_FROM: [&str; 1] = ["header:Idempotency-Key"];

/// The tier of jobs that no rule matches.
pub(super) const DEFAULT_TIER: Tier = Tier::P1;

/// The law of a tier that a policy leaves out.
pub(super) fn law(tier: Tier) -> TierSettings {
    let (target, max_depth, on_stale, shed) = match tier {
        Tier::P0 => (target(5, 1_000, 8_000), 10_000, OnStale::Hold, None),
        Tier::P1 => (target(60, 10_000, 80_000), 200_000, OnStale::Floor, shed(100_000, 80_000)),
        Tier::P2 => (target(1_800, 50_000, 400_000), 1_000_000, OnStale::Shut, shed(500_000, 400_000)),
    };
    TierSettings {
        target,
        max_depth,
        rate: RateBounds { min: Rate::saturating(1.0), max: None, burst: Duration::from_secs(1) },
        shed,
        retention: None,
        yields: tier == Tier::P2,
        on_stale,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
    }
}

/// What else holds for a tier that a policy leaves out.
pub(super) fn tier(tier: Tier) -> TierPolicy {
    let (queue, weight) = match tier {
        Tier::P0 => ("jobs:critical", 60),
        Tier::P1 => ("jobs:standard", 30),
        Tier::P2 => ("jobs:bulk", 10),
    };
    TierPolicy {
        queue: queue.into(),
        weight,
        retry: RetryPolicy {
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        },
        ordering: Ordering::Pass,
        expires_in: None,
        require: None,
        spool: false,
    }
}

const fn target(delay_seconds: u64, at_least: u64, at_most: u64) -> Target {
    Target::Delay { delay: Duration::from_secs(delay_seconds), at_least, at_most }
}

const fn shed(at: u64, until: u64) -> Option<ShedSettings> {
    Some(ShedSettings { at, until, unavailable: false })
}
