//! Floor 2: the operators' YAML, compiled into what the gateway runs.

pub mod classify;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::tier::{Tier, TierMap};
use crate::regulator::settings::RegulatorSettings;

/// A policy in force: immutable, shared by every request.
#[derive(Debug)]
pub struct Policy {
    /// Hash of the document: two policies with one revision are the same.
    pub revision: String,
    /// The law of the three tiers.
    pub regulator: RegulatorSettings,
    /// What else the policy says of each tier.
    pub tiers: TierMap<TierPolicy>,
    /// The highest tier that a caller without a key may reach.
    pub default_ceiling: Tier,
}

/// What the policy says of a tier beside its law.
#[derive(Clone, Debug, PartialEq)]
pub struct TierPolicy {
    /// The queue's name, as receipts and metrics say it.
    pub queue: Arc<str>,
    /// The tier's share of the workers.
    pub weight: u32,
    /// What happens to jobs that fail.
    pub retry: RetryPolicy,
    /// In which order jobs of one ordering key are handed out.
    pub ordering: Ordering,
    /// How long a job without an expiry of its own lives; `None` is for ever.
    pub expires_in: Option<Duration>,
    /// The durability a receipt of this tier must reach.
    pub require: Option<Requirement>,
}

/// Attempts and the pauses between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a job is handed out before it becomes a dead letter; at least 1.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// No pause is longer.
    pub max_backoff: Duration,
}

/// Order within one ordering key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// In order of acceptance; a retried job may come later.
    Pass,
    /// No job of a key is handed out while an earlier one is leased or waits for its retry.
    Block,
}

/// A durability that a tier insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Survives a power loss of this machine.
    Disk,
    /// Survives the loss of a machine.
    Replicated,
}
