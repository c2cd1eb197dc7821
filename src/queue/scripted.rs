//! A queue for tests that answers as it is told: what no real one can be made to do at the moment that matters.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::totals::Totals;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::keys::KnownJob;
use crate::queue::{BoxFuture, Durability, JobQueue, Stored, Storing, StoringAnswer};

/// Refuses every job in one way, or holds each until the test answers it; everything else fails.
#[derive(Debug, Default)]
pub struct ScriptedQueue {
    failure: Option<StoreError>,
    held: Mutex<Vec<StoringAnswer>>,
}

impl ScriptedQueue {
    /// Refuses every job so; without a failure, never says what became of it unless it is told to.
    pub fn failing(failure: Option<StoreError>) -> ScriptedQueue {
        ScriptedQueue { failure, held: Mutex::default() }
    }

    /// Answers the jobs handed over last.
    pub fn answer(&self, answer: Result<Stored, StoreError>) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let _ = held.unwrap().send(answer);
    }
}

impl JobQueue for ScriptedQueue {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn workers_way_in(&self) -> &'static str {
        "workers wait for the script"
    }

    fn durability(&self, _tier: Tier) -> Durability {
        Durability::Disk
    }

    fn enqueue(&self, _tier: Tier, _jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let (answer, storing) = Storing::channel();
        match &self.failure {
            Some(error) => drop(answer.send(Err(error.clone()))),
            None => self.held.lock().unwrap_or_else(PoisonError::into_inner).push(answer),
        }
        Ok(storing)
    }

    fn job_of_key(&self, _key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(async { Err(QueueError::Closed) })
    }

    fn key_index(&self) -> KeyIndex {
        KeyIndex { keys: 0, horizon: Duration::ZERO }
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        Box::pin(async { TierMap::from_fn(|_| Err(QueueError::Closed)) })
    }

    fn totals(&self) -> TierMap<Totals> {
        TierMap::default()
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        Err(QueueError::Unavailable { detail: "disk full".to_owned() })
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
