//! Idempotency keys as every backend keeps them.

pub(super) mod index;
pub(super) mod rows;

use std::time::Duration;

use crate::domain::idempotency::Fingerprint;
use crate::domain::job::JobId;
use crate::domain::tier::Tier;

/// How long and how many keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// A key is forgotten this long after its job was stored.
    pub keep: Duration,
    /// Keys kept at most; beyond, the oldest go first.
    pub most: usize,
}

impl Default for KeySettings {
    fn default() -> KeySettings {
        KeySettings { keep: Duration::from_secs(24 * 60 * 60), most: 1_000_000 }
    }
}

/// A job stored under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownJob {
    /// The job.
    pub id: JobId,
    /// The tier it was stored in.
    pub tier: Tier,
    /// What it was stored with.
    pub fingerprint: Fingerprint,
}
