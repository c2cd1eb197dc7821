//! What the parts of the Kafka queue share.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::domain::tier::{Tier, TierMap};
use crate::queue::Durability;
use crate::queue::counts::Counts;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;

/// What the parts share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The clocks.
    pub clock: Clock,
    /// What the queue was told.
    pub settings: KafkaSettings,
    /// The names of all topics.
    pub topics: Topics,
    lines: TierMap<Line>,
}

/// What is known of one tier.
#[derive(Debug, Default)]
struct Line {
    counts: Mutex<Counts>,
    durability: AtomicU8,
}

impl Shared {
    /// Nothing is known yet.
    pub(super) fn new(settings: KafkaSettings, topics: Topics, clock: Clock) -> Arc<Shared> {
        Arc::new(Shared { clock, settings, topics, lines: TierMap::default() })
    }

    /// A tier's counts; never held across an await.
    pub(super) fn counts(&self, tier: Tier) -> MutexGuard<'_, Counts> {
        self.lines[tier].counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durability that a confirmed job of the tier has now; as long as nothing is known, the least.
    pub(super) fn durability(&self, tier: Tier) -> Durability {
        match self.lines[tier].durability.load(Ordering::Acquire) {
            0 => Durability::Memory,
            1 => Durability::Disk,
            _ => Durability::Replicated,
        }
    }

    /// Notes what the tier's topic gives now.
    pub(super) fn set_durability(&self, tier: Tier, durability: Durability) {
        let number = match durability {
            Durability::Memory | Durability::Spooled => 0,
            Durability::Disk => 1,
            Durability::Replicated => 2,
        };
        self.lines[tier].durability.store(number, Ordering::Release);
    }
}
