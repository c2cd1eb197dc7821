//! A real queue that is away, refuses, or loses its answers when a test says so. Like Redis it stores no second job under a
//! key, and says which one it has.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::totals::Totals;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::lease::LeaseRequest;
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::spool::settings::RULES;
use crate::queue::{BoxFuture, Durability, JobQueue, Known, Outage, Storing};

/// How the backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It works.
    Here,
    /// It is away, and says so.
    Away,
    /// It refuses each job when it comes to it.
    Refusing,
    /// It stores, and the answer is lost.
    CutAfter,
    /// It does not store, and the answer is lost.
    CutBefore,
    /// It takes no call of so many payload bytes.
    Small(usize),
}

pub(super) struct Switched {
    inner: EmbeddedQueue,
    mode: Mutex<Mode>,
}

impl Switched {
    pub(super) fn open(folder: &Path, clock: Clock) -> Switched {
        let settings = EmbeddedSettings {
            path: folder.join("backend.db"),
            durability: EmbeddedDurability::Relaxed,
            max_bytes: 1 << 30,
            keys: KeySettings::default(),
        };
        let inner = EmbeddedQueue::open(&settings, TierMap::from_fn(|_| RULES), clock).unwrap();
        Switched { inner, mode: Mutex::new(Mode::Here) }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn depth(&self, tier: Tier) -> u64 {
        let totals = &self.inner.totals()[tier];
        totals.waiting + totals.leased
    }

    /// A worker takes every job of the tier, and is done with them.
    pub(super) async fn work(&self, tier: Tier) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            let (period, wait, tiers) = (Duration::from_secs(60), Duration::ZERO, TierSet::only(tier));
            let leases = self.inner.lease(LeaseRequest { max: 1_000, period, wait, tiers }).await.unwrap();
            if leases.is_empty() {
                return jobs;
            }
            self.inner.ack(leases.iter().map(|lease| lease.token).collect()).await.unwrap();
            jobs.extend(leases.into_iter().map(|lease| lease.job));
        }
    }

    /// The payloads of what is there, and they are done with.
    pub(super) async fn payloads(&self, tier: Tier) -> Vec<String> {
        let text = |job: Job| String::from_utf8(job.payload.to_vec()).unwrap();
        self.work(tier).await.into_iter().map(text).collect()
    }

    fn store(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let known = |job: &Job| job.keyed.and_then(|keyed| self.inner.known(keyed.key));
        let all: Vec<Known> = jobs
            .iter()
            .enumerate()
            .filter_map(|(index, job)| known(job).map(|job| Known { index, job }))
            .collect();
        let new: Vec<Job> = jobs.into_iter().filter(|job| known(job).is_none()).collect();
        let storing = self.inner.enqueue(tier, new)?;
        let (answer, told) = Storing::channel();
        Handle::current().spawn(async move {
            let stored = storing.await.map(|stored| crate::queue::Stored { known: all, ..stored });
            let _ = answer.send(stored);
        });
        Ok(told)
    }
}

fn later(storing: Option<Storing>, error: StoreError) -> Storing {
    let (answer, told) = Storing::channel();
    Handle::current().spawn(async move {
        if let Some(storing) = storing {
            storing.await.unwrap();
        }
        let _ = answer.send(Err(error));
    });
    told
}

fn away() -> StoreError {
    StoreError::Unavailable { detail: "away".to_owned() }
}

impl JobQueue for Switched {
    fn name(&self) -> &'static str {
        "switched"
    }

    fn workers_way_in(&self) -> &'static str {
        "by tests"
    }

    fn durability(&self, _tier: Tier) -> Durability {
        Durability::Memory
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        match self.mode() {
            Mode::Here => self.store(tier, jobs),
            Mode::Away => Err(away()),
            Mode::Refusing => Ok(later(None, away())),
            Mode::CutAfter => Ok(later(Some(self.store(tier, jobs)?), StoreError::Unknown)),
            Mode::CutBefore => Ok(later(None, StoreError::Unknown)),
            Mode::Small(bytes) if jobs.iter().map(|job| job.payload.len()).sum::<usize>() > bytes => {
                Err(StoreError::TooLarge { detail: "small".to_owned() })
            }
            Mode::Small(_) => self.store(tier, jobs),
        }
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        match self.mode() {
            Mode::Away => Box::pin(async { Err(QueueError::Unavailable { detail: "away".to_owned() }) }),
            _ => self.inner.job_of_key(key),
        }
    }

    fn tells_known_jobs(&self) -> bool {
        true
    }

    fn key_index(&self) -> KeyIndex {
        self.inner.key_index()
    }

    fn outage(&self, _tier: Tier) -> Option<Outage> {
        let next_try = Duration::from_secs(1);
        (self.mode() == Mode::Away).then(|| Outage { detail: "away".into(), next_try })
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        match self.mode() {
            Mode::Away => Box::pin(async {
                TierMap::from_fn(|_| Err(QueueError::Unavailable { detail: "away".to_owned() }))
            }),
            _ => self.inner.backlog(),
        }
    }

    fn totals(&self) -> TierMap<Totals> {
        self.inner.totals()
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        Ok(())
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        self.inner.dead_letters(query)
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.inner.dead_letter(id)
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        self.inner.replay(ids)
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        self.inner.purge(ids)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
