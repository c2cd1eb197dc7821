//! From an admitted job to a receipt: storing that outlives a client who hangs up.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::domain::job::Job;
use crate::domain::time::Moment;
use crate::queue::error::StoreError;
use crate::queue::{JobQueue, Stored, Storing};
use crate::runtime::admission::Permit;
use crate::telemetry::metrics::Metrics;

/// Stores admitted jobs and accounts for them.
#[derive(Clone)]
pub struct Forward {
    queue: Arc<dyn JobQueue>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Forward {
    /// A way to this queue.
    pub const fn new(queue: Arc<dyn JobQueue>, metrics: Arc<Metrics>, clock: Clock) -> Forward {
        Forward { queue, metrics, clock }
    }

    /// Stores jobs of the permit's tier, all or none; at most as many as the permit is for (the rest of it is
    /// given back). Counts them: `admitted` when stored, `stored_late` when stored after the deadline. The caller
    /// counts what is refused. Goes on to its end if the caller is dropped.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when `deadline` passes first; else what the queue said, with the permit given back.
    pub async fn store(
        &self,
        mut permit: Permit,
        jobs: Vec<Job>,
        deadline: Duration,
    ) -> Result<Stored, StoreError> {
        permit.narrow_to(jobs.len());
        let account = Account {
            tier_jobs: u64::try_from(jobs.len()).unwrap_or(u64::MAX),
            handed_over: self.clock.now(),
            answered_unknown: false,
            clock: self.clock,
            metrics: Arc::clone(&self.metrics),
        };
        let storing = self.queue.enqueue(permit.tier(), jobs)?;
        let mut unsettled = Unsettled(Some((storing, permit, account)));
        unsettled.settle(deadline).await
    }
}

/// Jobs handed over whose fate is not known yet. Dropped in that state (the client hung up, or the deadline
/// passed), it goes on waiting on a task of its own: the counts must be true whoever listens.
struct Unsettled(Option<(Storing, Permit, Account)>);

impl Unsettled {
    async fn settle(&mut self, deadline: Duration) -> Result<Stored, StoreError> {
        let Some((storing, _, account)) = &mut self.0 else { return Err(StoreError::Unknown) };
        match timeout(deadline, storing).await {
            Ok(answer) => {
                if let Some((_, permit, account)) = self.0.take() {
                    account.close(permit, &answer);
                }
                answer
            }
            Err(_) => {
                account.answered_unknown = true;
                Err(StoreError::Unknown)
            }
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let (Some((storing, permit, account)), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { account.close(permit, &storing.await) });
        }
    }
}

/// What is counted when the fate of some jobs is known.
struct Account {
    tier_jobs: u64,
    handed_over: Moment,
    answered_unknown: bool,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Account {
    fn close(self, permit: Permit, answer: &Result<Stored, StoreError>) {
        match answer {
            Ok(_) => {
                let tier = permit.tier();
                permit.used();
                self.metrics.store(tier, self.clock.now().since(self.handed_over));
                if self.answered_unknown {
                    self.metrics.stored_late(tier, self.tier_jobs);
                } else {
                    self.metrics.admitted(tier, self.tier_jobs);
                }
            }
            // They may be in the queue: the window keeps counting them.
            Err(StoreError::Unknown) => permit.used(),
            Err(_) => drop(permit),
        }
    }
}
