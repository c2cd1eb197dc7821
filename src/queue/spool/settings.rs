//! What the spool must be told.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::tier::{Tier, TierSet};
use crate::policy::{Ordering, Policy, RetryPolicy};
use crate::queue::Durability;
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use crate::queue::keys::KeySettings;

/// Where jobs wait for a backend that is away, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The spool's file; its folder is made if it is missing.
    pub path: PathBuf,
    /// The file may not grow beyond this many bytes.
    pub max_bytes: u64,
}

/// The tiers whose jobs a policy lets wait on the local disk: those that spool and for which one disk is enough.
pub fn spooling(policy: &Policy) -> TierSet {
    let enough =
        |tier: Tier| policy.tiers[tier].require.is_none_or(|required| Durability::Spooled.meets(required));
    let spooling = Tier::ALL.into_iter().filter(|tier| policy.tiers[*tier].spool && enough(*tier));
    spooling.fold(TierSet::EMPTY, TierSet::with)
}

impl Default for SpoolSettings {
    fn default() -> SpoolSettings {
        SpoolSettings { path: PathBuf::from("data/spool.db"), max_bytes: 1 << 30 }
    }
}

impl SpoolSettings {
    /// The file's settings, where idempotency keys are kept so. A receipt always waits for the disk: nothing else has
    /// the job.
    pub(super) fn file(&self, keys: KeySettings) -> EmbeddedSettings {
        let most = usize::try_from(self.max_bytes / BYTES_PER_KEY).unwrap_or(usize::MAX);
        EmbeddedSettings {
            path: self.path.clone(),
            durability: EmbeddedDurability::Disk,
            max_bytes: self.max_bytes,
            keys: KeySettings { most: keys.most.min(most.max(1)), ..keys },
        }
    }
}

/// The drain holds what it took until it is stored: nothing in the spool ever dies of failed attempts.
pub(super) const RULES: TierRules = TierRules {
    weight: 1,
    retry: RetryPolicy { attempts: u32::MAX, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
    ordering: Ordering::Pass,
};

/// The file remembers keys beyond their jobs' stay. They take some 70 bytes each: with one in so many bytes of the spool,
/// they never take more than a tenth of it.
const BYTES_PER_KEY: u64 = 1024;
