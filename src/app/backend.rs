//! Opens the queue that the settings name: the embedded one, or Redis.

use std::sync::Arc;

use crate::app::StartError;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::domain::tier::TierMap;
use crate::policy::Policy;
use crate::queue::JobQueue;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::settings::TierRules;
use crate::queue::redis::RedisQueue;

/// The queue, and what only some have of it.
pub(super) struct Backend {
    /// The queue as everybody asks it.
    pub queue: Arc<dyn JobQueue>,
    /// Where workers lease through the gateway.
    pub leases: Option<Arc<EmbeddedQueue>>,
}

/// Opens the queue.
///
/// # Errors
/// Its file cannot be opened, or its server is away.
pub(super) async fn open(settings: &Settings, policy: &Policy, clock: Clock) -> Result<Backend, StartError> {
    match settings.backend {
        config::Backend::Embedded => {
            let queue = Arc::new(EmbeddedQueue::open(&settings.embedded, TierRules::of(policy), clock)?);
            Ok(Backend { queue: queue.clone(), leases: Some(queue) })
        }
        config::Backend::Redis => {
            let names = TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string());
            let queue = RedisQueue::open(&settings.redis, &names, clock)?;
            queue.reached().await.map_err(|detail| StartError::Away { backend: queue.name(), detail })?;
            Ok(Backend { queue: Arc::new(queue), leases: None })
        }
    }
}
