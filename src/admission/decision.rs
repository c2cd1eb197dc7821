//! The gate's answer, as plain values.

use std::time::Duration;

use crate::domain::code::Code;
use crate::domain::units::Rate;

/// What the gate answers to one request for `Cost` jobs of one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Come in: the cost has been taken from bucket and window.
    Admitted(RateLimit),
    /// Not now: nothing has been taken.
    Refused(Refusal),
}

/// What is left of a tier's allowance, for the RateLimit header fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Jobs that ten seconds at the present rate would admit.
    pub quota: u64,
    /// Jobs admissible at this moment.
    pub remaining: u64,
    /// Time until more becomes admissible; on a refusal the time it promises.
    pub reset: Duration,
}

/// Why a request is refused, and when it should come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// The check that failed first.
    pub reason: Reason,
    /// The promised time to return; within the tier's `retry_after` bounds.
    pub retry_after: Duration,
    /// The tier's allowance (`remaining` is 0, `reset` is `retry_after`).
    pub limit: RateLimit,
}

/// The check that refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The tier's rate or window is used up, or the tenant's fair share of it.
    Throttled,
    /// The tenant's own rate is used up.
    TenantQuota {
        /// That rate.
        rate: Rate,
    },
    /// A threshold is crossed (or a higher tier is at its bound and this one yields).
    Shed {
        /// Answer 503 in place of 429, because the policy says so.
        unavailable: bool,
    },
    /// The hard bound on the tier's depth is reached.
    QueueFull,
    /// The signal is lost and the policy shuts the tier.
    SignalStale,
}

impl Reason {
    /// The reason as clients and dashboards see it.
    pub const fn code(self) -> Code {
        match self {
            Reason::Throttled => Code::Throttled,
            Reason::TenantQuota { .. } => Code::TenantQuota,
            Reason::Shed { .. } => Code::Shed,
            Reason::QueueFull => Code::QueueFull,
            Reason::SignalStale => Code::SignalStale,
        }
    }
}
