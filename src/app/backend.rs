//! Opens the queue that the settings name: the embedded one, or Redis or Kafka with the spool for its outages before it.

use std::sync::Arc;

use tracing::warn;

use crate::app::StartError;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::domain::tier::{TierMap, TierSet};
use crate::policy::Policy;
use crate::queue::JobQueue;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::settings::TierRules;
use crate::queue::kafka::KafkaQueue;
use crate::queue::kafka::checks::Look;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::redis::RedisQueue;
use crate::queue::spool::SpooledQueue;
use crate::queue::spool::drain::Drain;
use crate::queue::spool::settings::spooling;
use crate::runtime::reload::terms::{QueueNames, Terms};
use crate::runtime::share::settings::ShareSettings;

/// The queue, and what only some have of it.
pub(super) struct Backend {
    /// The queue as everybody asks it.
    pub queue: Arc<dyn JobQueue>,
    /// Where workers lease through the gateway.
    pub leases: Option<Arc<EmbeddedQueue>>,
    /// The spool before it, where there is one.
    pub spool: Option<Arc<SpooledQueue>>,
    /// What empties it.
    pub drain: Option<Drain>,
}

/// Opens the queue.
///
/// # Errors
/// A file cannot be opened, the server is away and no tier spools, or a tier requires more than it gives.
pub(super) async fn open(settings: &Settings, policy: &Policy, clock: Clock) -> Result<Backend, StartError> {
    match settings.backend {
        config::Backend::Embedded => {
            let queue = Arc::new(EmbeddedQueue::open(&settings.embedded, TierRules::of(policy), clock)?);
            Ok(Backend { queue: queue.clone(), leases: Some(queue), spool: None, drain: None })
        }
        config::Backend::Redis => {
            let names = TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string());
            let queue = RedisQueue::open(&settings.redis, &names, clock)?;
            let reached = queue.reached().await;
            if reached.is_ok() {
                check_durability(&queue, policy)?;
            }
            behind_spool(Arc::new(queue), reached, settings, policy, clock)
        }
        config::Backend::Kafka => open_kafka(settings, policy, clock).await,
    }
}

/// Whether Redis keeps jobs as durably as each tier requires. What it loses while it runs, the tier answers for.
fn check_durability(queue: &RedisQueue, policy: &Policy) -> Result<(), StartError> {
    for (tier, of_tier) in policy.tiers.iter() {
        if let Some(required) = of_tier.require
            && let Some(fix) = queue.fix(required)
        {
            let (backend, reached) = ("Redis", queue.durability(tier));
            return Err(StartError::Durability { backend, tier, required, reached, fix });
        }
    }
    Ok(())
}

async fn open_kafka(settings: &Settings, policy: &Policy, clock: Clock) -> Result<Backend, StartError> {
    let names = TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string());
    let meeting_point = match &settings.share {
        ShareSettings::Redis(url) => Some(url.clone()),
        ShareSettings::Alone => None,
    };
    let kafka = KafkaSettings { meeting_point, ..settings.kafka.clone() };
    let queue = KafkaQueue::open(&kafka, &names, clock)?;
    let reached = match queue.look().await {
        Ok(look) => {
            check_topics(&queue, &look, policy)?;
            queue.reached().await
        }
        Err(unreachable) => Err(unreachable.to_string().into()),
    };
    behind_spool(Arc::new(queue), reached, settings, policy, clock)
}

/// Whether every topic can take jobs, and keeps them as durably as its tier requires.
fn check_topics(queue: &KafkaQueue, look: &Look, policy: &Policy) -> Result<(), StartError> {
    let faults: Vec<_> = look.jobs.iter().filter_map(|(_, given)| given.as_ref().err().cloned()).collect();
    if !faults.is_empty() {
        return Err(StartError::Topics(faults));
    }
    for (tier, given) in look.jobs.iter() {
        if let (Ok(given), Some(required)) = (given, policy.tiers[tier].require)
            && let Some(fix) = queue.fix(given, required)
        {
            let (backend, reached) = ("Kafka", given.durability());
            return Err(StartError::Durability { backend, tier, required, reached, fix });
        }
    }
    Ok(())
}

/// The queue with the spool before it, where a tier spools or something is in the spool.
fn behind_spool(
    queue: Arc<dyn JobQueue>,
    reached: Result<(), Arc<str>>,
    settings: &Settings,
    policy: &Policy,
    clock: Clock,
) -> Result<Backend, StartError> {
    let tiers = spooling(policy);
    match reached {
        Err(detail) if tiers == TierSet::EMPTY => {
            return Err(StartError::Away { backend: queue.name(), detail });
        }
        Err(detail) => {
            warn!(backend = queue.name(), %detail, "the backend is away: only tiers that spool are taken")
        }
        Ok(()) => {}
    }
    if tiers == TierSet::EMPTY && !settings.spool.path.exists() {
        return Ok(Backend { queue, leases: None, spool: None, drain: None });
    }
    let keys = settings.redis.keys;
    let (queue, drain) =
        SpooledQueue::open(&settings.spool, keys, queue, tiers, clock).map_err(StartError::Spool)?;
    let queue = Arc::new(queue);
    Ok(Backend { queue: queue.clone(), leases: None, spool: Some(queue), drain: Some(drain) })
}

/// What the queue, once open, asks of a policy that is to take force while it runs.
pub(super) fn terms(settings: &Settings, queue: Arc<dyn JobQueue>, spool: bool) -> Terms {
    let (names, never_away) = match settings.backend {
        config::Backend::Embedded => (QueueNames::Labels, true),
        config::Backend::Redis => (QueueNames::Places, false),
        config::Backend::Kafka => (QueueNames::Topics, false),
    };
    Terms { queue, reached: settings.reached_durability(), names, spool: spool || never_away }
}
