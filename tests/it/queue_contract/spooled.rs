//! Any backend of the contract with a spool before it; and with all jobs going through the spool.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::domain::backlog::Reading;
use tidegate::domain::idempotency::{Key, KeyIndex};
use tidegate::domain::job::{Job, JobId};
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::domain::totals::Totals;
use tidegate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use tidegate::queue::error::{QueueError, StoreError};
use tidegate::queue::keys::{KeySettings, KnownJob};
use tidegate::queue::spool::SpooledQueue;
use tidegate::queue::spool::drain::{Drain, Step};
use tidegate::queue::spool::settings::SpoolSettings;
use tidegate::queue::{BoxFuture, Durability, JobQueue, Storing};

use super::contract::{Backend, Taken};

/// A backend behind a spool that is emptied all the time.
pub struct Spooled<B> {
    inner: B,
    folder: TempDir,
    refusing: bool,
}

/// The queue, and the backend's own with its worker.
pub struct Opened<Q> {
    queue: Arc<dyn JobQueue>,
    inner: Q,
}

impl<B> Spooled<B> {
    /// A spool that nothing needs, as long as the backend is there.
    pub fn idle(inner: B) -> Spooled<B> {
        Spooled { inner, folder: tempfile::tempdir().unwrap(), refusing: false }
    }

    /// The backend refuses every job that does not come out of the spool.
    pub fn busy(inner: B) -> Spooled<B> {
        Spooled { inner, folder: tempfile::tempdir().unwrap(), refusing: true }
    }
}

impl<B: Backend> Backend for Spooled<B> {
    type Queue = Opened<B::Queue>;

    const LEASES: bool = B::LEASES;

    async fn open(&self) -> Opened<B::Queue> {
        let inner = self.inner.open().await;
        let backend = B::queue(&inner);
        let backend: Arc<dyn JobQueue> = if self.refusing { Arc::new(Refusing(backend)) } else { backend };
        let settings = SpoolSettings { path: self.folder.path().join("spool.db"), max_bytes: 1 << 30 };
        let every = Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with);
        let keys = KeySettings::default();
        let (queue, drain) = SpooledQueue::open(&settings, keys, backend, every, Clock::start()).unwrap();
        // As the control loop does: nothing is moved on before a reading.
        drop(queue.backlog().await);
        tokio::spawn(empty(drain));
        Opened { queue: Arc::new(queue), inner }
    }

    fn queue(opened: &Opened<B::Queue>) -> Arc<dyn JobQueue> {
        Arc::clone(&opened.queue)
    }

    async fn take(opened: &Opened<B::Queue>, tier: Tier, max: usize) -> Vec<Taken> {
        B::take(&opened.inner, tier, max).await
    }

    async fn finish(opened: &Opened<B::Queue>, taken: Taken) {
        B::finish(&opened.inner, taken).await;
    }

    async fn give_up(opened: &Opened<B::Queue>, taken: Taken, reason: &str) {
        B::give_up(&opened.inner, taken, reason).await;
    }
}

async fn empty(mut drain: Drain) {
    loop {
        let mut moved = false;
        for tier in Tier::ALL {
            match drain.step(tier, u64::MAX, 1.0).await {
                Step::Moved => moved = true,
                Step::Idle => {}
                Step::Closed => return,
            }
        }
        if !moved {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Takes only jobs under a key: those without one come out of the spool under that of their id.
struct Refusing(Arc<dyn JobQueue>);

impl JobQueue for Refusing {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn workers_way_in(&self) -> &'static str {
        self.0.workers_way_in()
    }

    fn durability(&self, tier: Tier) -> Durability {
        self.0.durability(tier)
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        if jobs.iter().any(|job| job.keyed.is_none()) {
            return Err(StoreError::Unavailable { detail: "not directly".to_owned() });
        }
        self.0.enqueue(tier, jobs)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        self.0.job_of_key(key)
    }

    fn tells_known_jobs(&self) -> bool {
        self.0.tells_known_jobs()
    }

    fn key_index(&self) -> KeyIndex {
        self.0.key_index()
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        self.0.backlog()
    }

    fn totals(&self) -> TierMap<Totals> {
        self.0.totals()
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        self.0.check_own_disk()
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        self.0.dead_letters(query)
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.0.dead_letter(id)
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        self.0.replay(ids)
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        self.0.purge(ids)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}
