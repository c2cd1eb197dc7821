//! What the embedded queue must be told.

use std::path::PathBuf;

use crate::domain::tier::TierMap;
use crate::policy::{Ordering, Policy, RetryPolicy};
use crate::queue::keys::KeySettings;

/// Where and how the queue keeps its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The queue's file; its folder is made if it is missing.
    pub path: PathBuf,
    /// Whether a receipt waits for the disk.
    pub durability: EmbeddedDurability,
    /// The file may not grow beyond this many bytes.
    pub max_bytes: u64,
    /// How long idempotency keys are kept.
    pub keys: KeySettings,
}

/// Whether a receipt waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddedDurability {
    /// Synced before the answer: survives a power loss.
    Disk,
    /// Written before the answer, synced later: survives a kill, not a power loss.
    Relaxed,
}

/// What the queue must know of a tier's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierRules {
    /// Share of the workers.
    pub weight: u32,
    /// Attempts and pauses.
    pub retry: RetryPolicy,
    /// Order within an ordering key.
    pub ordering: Ordering,
}

impl TierRules {
    /// What a policy says of each tier.
    pub fn of(policy: &Policy) -> TierMap<TierRules> {
        TierMap::from_fn(|tier| {
            let tier = &policy.tiers[tier];
            TierRules { weight: tier.weight, retry: tier.retry, ordering: tier.ordering }
        })
    }
}
