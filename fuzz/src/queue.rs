//! A queue that keeps jobs in memory, or answers in the mood it is told: storing costs nothing, and every job can be looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate::domain::backlog::Reading;
use tidegate::domain::idempotency::{Key, KeyIndex};
use tidegate::domain::job::{Job, JobId};
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::domain::totals::Totals;
use tidegate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use tidegate::queue::error::{QueueError, StoreError};
use tidegate::queue::keys::KnownJob;
use tidegate::queue::{BoxFuture, Durability, JobQueue, Outage, Stored, Storing};

use super::request::Mood;

/// Jobs in order of storing.
pub struct MemoryQueue {
    mood: Mood,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    jobs: Vec<Job>,
    keys: HashMap<Key, KnownJob>,
}

impl MemoryQueue {
    pub fn new(mood: Mood) -> Arc<MemoryQueue> {
        Arc::new(MemoryQueue { mood, held: Mutex::default() })
    }

    /// Every job stored.
    pub fn jobs(&self) -> Vec<Job> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).jobs.clone()
    }

    fn store(&self, tier: Tier, jobs: Vec<Job>) -> Stored {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            assert_eq!(job.tier, tier, "a job comes into the queue of its tier");
            if let Some(keyed) = job.keyed {
                let known = KnownJob { id: job.id, tier, fingerprint: keyed.fingerprint };
                let before = held.keys.insert(keyed.key, known);
                assert!(self.mood == Mood::Keyless || before.is_none(), "a key stands for one job");
            }
            held.jobs.push(job);
        }
        Stored { durability: Durability::Disk, depth: held.jobs.len() as u64, known: Vec::new() }
    }
}

impl JobQueue for MemoryQueue {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn workers_way_in(&self) -> &'static str {
        "nobody works here"
    }

    fn durability(&self, _tier: Tier) -> Durability {
        Durability::Disk
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        assert!(!jobs.is_empty(), "nobody stores nothing");
        let (answer, storing) = Storing::channel();
        let detail = || "told to".to_owned();
        let told = match self.mood {
            Mood::Stores | Mood::Keyless => Ok(self.store(tier, jobs)),
            Mood::Unavailable => Err(StoreError::Unavailable { detail: detail() }),
            Mood::Full => Err(StoreError::Full { detail: detail() }),
            Mood::TooLarge => Err(StoreError::TooLarge { detail: detail() }),
            Mood::Overloaded => Err(StoreError::Overloaded),
            Mood::Closed => return Err(StoreError::Closed),
            Mood::Unknown | Mood::Away => Err(StoreError::Unknown),
        };
        let _ = answer.send(told);
        Ok(storing)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(async move {
            if self.mood == Mood::Keyless {
                return Err(QueueError::Closed);
            }
            Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner).keys.get(&key).copied())
        })
    }

    fn key_index(&self) -> KeyIndex {
        KeyIndex { keys: 0, horizon: Duration::ZERO }
    }

    fn outage(&self, _tier: Tier) -> Option<Outage> {
        let outage = || Outage { detail: "told to".into(), next_try: Duration::from_millis(700) };
        (self.mood == Mood::Away).then(outage)
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        Box::pin(async { TierMap::from_fn(|_| Err(QueueError::Closed)) })
    }

    fn totals(&self) -> TierMap<Totals> {
        TierMap::default()
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        Ok(())
    }

    fn dead_letters(&self, _query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        Box::pin(async { Err(QueueError::Closed) })
    }

    fn dead_letter(&self, _id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(async { Err(QueueError::Closed) })
    }

    fn replay(&self, _ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        Box::pin(async { Err(QueueError::Closed) })
    }

    fn purge(&self, _ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        Box::pin(async { Err(QueueError::Closed) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
