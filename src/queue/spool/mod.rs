//! The spool: a local durable queue that takes over while a backend is away, and the backend as it looks through it.
//!
//! [`SpooledQueue`] is a queue around a queue. Jobs go [straight](shared) to the backend; while that is away they go into
//! the spool's file, an embedded queue of its own, and so do later jobs of their ordering keys. The [`drain`] moves them
//! on when the backend is back. What is known of a tier is in its [`lane`]. `docs/SPOOL.md` says what is promised.

pub mod drain;
pub mod envelope;
mod known;
mod lane;
mod letters;
mod room;
pub mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod unsettled;

use std::fmt;
use std::sync::Arc;

use tracing::info;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::totals::Totals;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::error::{QueueError, StoreError};
use crate::queue::file::OpenError;
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::spool::drain::Drain;
use crate::queue::spool::settings::{RULES, SpoolSettings};
use crate::queue::spool::shared::Shared;
use crate::queue::topic::TopicState;
use crate::queue::{BoxFuture, Durability, GroupBacklog, JobQueue, Outage, Spool, Storing};

/// A backend with a spool before it.
pub struct SpooledQueue(Arc<Shared>);

impl SpooledQueue {
    /// Opens or creates the spool's file before a backend that may be away; jobs of `tiers` are spooled. To be called
    /// within a runtime. Nothing leaves the spool unless the [`Drain`] is run.
    ///
    /// # Errors
    /// The file cannot be opened, or is another process's.
    pub fn open(
        settings: &SpoolSettings,
        keys: KeySettings,
        backend: Arc<dyn JobQueue>,
        tiers: TierSet,
        clock: Clock,
    ) -> Result<(SpooledQueue, Drain), OpenError> {
        let file = EmbeddedQueue::open(&settings.file(keys), TierMap::from_fn(|_| RULES), clock)?;
        let shared = Arc::new(Shared::new(backend, file, settings.max_bytes, tiers, clock));
        for tier in Tier::ALL {
            let jobs = shared.spooled(tier);
            if jobs > 0 {
                info!(%tier, jobs, "jobs of an earlier run are in the spool");
            }
        }
        Ok((SpooledQueue(Arc::clone(&shared)), Drain::new(shared)))
    }

    /// Jobs of these tiers are spooled from now on. What is in the spool is moved on whichever they are.
    pub fn set_tiers(&self, tiers: TierSet) {
        for tier in Tier::ALL {
            self.0.lane(tier).spools = tiers.contains(tier);
        }
    }
}

impl JobQueue for SpooledQueue {
    fn name(&self) -> &'static str {
        self.0.backend.name()
    }

    fn workers_way_in(&self) -> &'static str {
        self.0.backend.workers_way_in()
    }

    fn durability(&self, tier: Tier) -> Durability {
        let spools = self.0.lane(tier).spools && self.0.backend.outage(tier).is_some();
        if spools { Durability::Spooled } else { self.0.backend.durability(tier) }
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        self.0.take_in(tier, jobs)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(async move {
            match self.0.file.job_of_key(key).await {
                Ok(Some(known)) => Ok(Some(known)),
                Ok(None) | Err(_) => self.0.backend.job_of_key(key).await,
            }
        })
    }

    fn tells_known_jobs(&self) -> bool {
        self.0.backend.tells_known_jobs()
    }

    fn key_index(&self) -> KeyIndex {
        self.0.backend.key_index()
    }

    fn outage(&self, tier: Tier) -> Option<Outage> {
        let outage = self.0.backend.outage(tier)?;
        if !self.0.lane(tier).spools {
            return Some(outage);
        }
        let detail = self.0.why_nothing_can_be_spooled(tier)?;
        Some(Outage { detail: detail.into(), ..outage })
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        Box::pin(async {
            let readings = self.0.backend.backlog().await;
            let spooled = self.0.file.backlog().await;
            let mut both = readings.map(|tier, reading| self.0.see(tier, reading));
            for (tier, reading) in both.iter_mut() {
                if let (Ok(reading), Ok(spooled)) = (reading, &spooled[tier]) {
                    *reading = self.0.lane(tier).combined(reading, spooled);
                }
            }
            both
        })
    }

    fn groups(&self, tier: Tier) -> Vec<GroupBacklog> {
        self.0.backend.groups(tier)
    }

    fn topic(&self, tier: Tier) -> Option<TopicState> {
        self.0.backend.topic(tier)
    }

    fn spool(&self) -> Spool {
        let mut spool = self.0.backend.spool();
        for tier in Tier::ALL {
            let lane = self.0.lane(tier);
            if lane.spools && self.0.backend.outage(tier).is_some() {
                spool.tiers = spool.tiers.with(tier);
            }
            spool.duplicates[tier] += lane.duplicates;
            drop(lane);
            spool.depth[tier] += self.0.in_file(tier);
        }
        spool
    }

    fn totals(&self) -> TierMap<Totals> {
        let spooled = self.0.file.totals();
        self.0.backend.totals().map(|tier, totals| Totals {
            expired: totals.expired + spooled[tier].expired,
            purged: totals.purged + spooled[tier].purged,
            dead: totals.dead + spooled[tier].dead,
            dead_at_start: totals.dead_at_start + spooled[tier].dead_at_start,
            ..totals
        })
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        self.0.backend.check_own_disk()?;
        self.0.file.check_own_disk()
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        Box::pin(letters::page(&self.0, query))
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(letters::one(&self.0, id))
    }

    fn dead_letter_tier(&self, id: JobId) -> BoxFuture<'_, Result<Option<Tier>, QueueError>> {
        Box::pin(async move {
            match self.0.file.dead_letter_tier(id).await? {
                Some(tier) => Ok(Some(tier)),
                None => self.0.backend.dead_letter_tier(id).await,
            }
        })
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        Box::pin(letters::replay(&self.0, ids))
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        Box::pin(letters::purge(&self.0, ids))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.close())
    }
}

impl fmt::Debug for SpooledQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpooledQueue").finish_non_exhaustive()
    }
}
