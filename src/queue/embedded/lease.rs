//! Leases: jobs lent to workers for a time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::job::Job;
use crate::domain::tier::TierSet;

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// At most this many jobs, 1..=1000.
    pub max: usize,
    /// How long the worker may keep them.
    pub period: Duration,
    /// How long to wait for a first job.
    pub wait: Duration,
    /// From these tiers.
    pub tiers: TierSet,
}

/// A job lent to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names the lease in ack, nack and extend.
    pub token: LeaseToken,
    /// The job.
    pub job: Job,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// Names one lease: unguessable, and never used twice, also across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub u128);

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lease")]
pub struct NotALease;

impl FromStr for LeaseToken {
    type Err = NotALease;

    fn from_str(text: &str) -> Result<LeaseToken, NotALease> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex {
            return Err(NotALease);
        }
        u128::from_str_radix(text, 16).map(LeaseToken).map_err(|_| NotALease)
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// Pause before the next attempt, in place of the policy's backoff.
    pub delay: Option<Duration>,
    /// Why, for the dead letter.
    pub reason: Option<String>,
    /// No further attempt: straight to the dead letters.
    pub dead: bool,
}

/// Whether a lease was still this worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// Done as asked.
    Ok,
    /// No such lease (any more): it expired, or was finished before.
    Unknown,
}
