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
use crate::runtime::idempotency::Claim;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::spans::Sending;

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
    /// given back). Those that the queue knows by their keys already are not stored again, and their share of the permit
    /// is given back too. Counts the others: `admitted` when stored, `stored_late` when stored after the deadline. The
    /// caller counts what is refused and what was known. Goes on to its end if the caller is dropped. The jobs' idempotency keys stay claimed
    /// until their fate is known, and then the span ends.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when `deadline` passes first; else what the queue said, with the permit given back.
    pub async fn store(
        &self,
        mut permit: Permit,
        jobs: Vec<Job>,
        claims: Vec<Claim>,
        deadline: Duration,
        sending: Sending,
    ) -> Result<Stored, StoreError> {
        permit.narrow_to(jobs.len());
        let (tier, count) = (permit.tier(), jobs.len());
        let handed_over = self.clock.now();
        let storing = match self.queue.enqueue(tier, jobs) {
            Ok(storing) => storing,
            Err(error) => {
                sending.failed(error.as_str());
                return Err(error);
            }
        };
        let account = Account {
            _claims: claims,
            sending,
            jobs: count,
            handed_over,
            answered_unknown: false,
            clock: self.clock,
            metrics: Arc::clone(&self.metrics),
        };
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
    _claims: Vec<Claim>,
    sending: Sending,
    jobs: usize,
    handed_over: Moment,
    answered_unknown: bool,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Account {
    fn close(self, mut permit: Permit, answer: &Result<Stored, StoreError>) {
        match answer {
            Ok(stored) => self.sending.stored(stored.durability.as_str(), stored.known.len()),
            Err(error) => self.sending.failed(error.as_str()),
        }
        match answer {
            Ok(stored) => {
                let tier = permit.tier();
                let jobs = self.jobs.saturating_sub(stored.known.len());
                permit.narrow_to(jobs);
                permit.used();
                self.metrics.store(tier, self.clock.now().since(self.handed_over));
                let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
                if self.answered_unknown {
                    self.metrics.stored_late(tier, jobs);
                } else {
                    self.metrics.admitted(tier, jobs);
                }
            }
            // They may be in the queue: the window keeps counting them.
            Err(StoreError::Unknown) => permit.used(),
            Err(_) => drop(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::idempotency::Fingerprint;
    use crate::domain::job::JobId;
    use crate::domain::tier::Tier;
    use crate::domain::time::Timestamp;
    use crate::domain::units::Cost;
    use crate::policy::Policy;
    use crate::queue::keys::KnownJob;
    use crate::queue::scripted::ScriptedQueue;
    use crate::queue::{Durability, Known};
    use crate::regulator::Regulator;
    use crate::runtime::admission::Admission;

    const LATE: Duration = Duration::from_secs(5);
    const STORED: Stored = Stored { durability: Durability::Disk, depth: 1, known: Vec::new() };

    struct Bench {
        queue: Arc<ScriptedQueue>,
        metrics: Arc<Metrics>,
        admission: Admission,
        forward: Forward,
    }

    impl Bench {
        fn new() -> Bench {
            let (clock, _) = Clock::by_hand();
            let metrics = Arc::new(Metrics::new(false).unwrap());
            let queue = Arc::new(ScriptedQueue::default());
            let regulator = Regulator::new(&Policy::default().regulator, 1, clock.now());
            let admission = Admission::new(regulator, clock, Arc::clone(&metrics));
            let forward = Forward::new(queue.clone(), Arc::clone(&metrics), clock);
            Bench { queue, metrics, admission, forward }
        }

        fn permit(&self) -> Permit {
            self.admission.admit(Tier::P1, Cost::jobs(10).unwrap(), None).unwrap()
        }

        /// Jobs that the gate would still let in.
        fn room(&self) -> u64 {
            self.admission.admit(Tier::P1, Cost::ONE, None).unwrap().limit().remaining
        }

        async fn answer(&self, answer: Result<Stored, StoreError>) {
            self.queue.answer(answer);
            // The task that goes on waiting runs when this one lets it.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn jobs() -> Vec<Job> {
        let at = Timestamp::from_millis(1);
        let job = |number| Job::bare(JobId::new(at, [number; 10]), Tier::P1);
        (0..4).map(job).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_of_a_client_that_hung_up_are_counted_when_they_are_stored() {
        let bench = Bench::new();
        let hung_up = timeout(
            Duration::ZERO,
            bench.forward.store(bench.permit(), jobs(), Vec::new(), LATE, Sending::default()),
        )
        .await;
        assert!(hung_up.is_err());
        assert_eq!(bench.metrics.counts(Tier::P1).admitted, 0);
        bench.answer(Ok(STORED)).await;
        assert_eq!(bench.metrics.counts(Tier::P1).admitted, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_stored_after_the_deadline_are_late_and_not_admitted() {
        let bench = Bench::new();
        let answer = bench.forward.store(bench.permit(), jobs(), Vec::new(), LATE, Sending::default()).await;
        assert_eq!(answer, Err(StoreError::Unknown));
        bench.answer(Ok(STORED)).await;
        assert_eq!(bench.metrics.counts(Tier::P1).admitted, 0);
        assert_eq!(bench.metrics.counts(Tier::P1).stored_late, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_the_queue_knows_is_neither_admitted_nor_kept_in_the_window() {
        let bench = Bench::new();
        let before = bench.room();
        let known = KnownJob { id: jobs()[2].id, tier: Tier::P1, fingerprint: Fingerprint([7; 16]) };
        let stored = Stored { known: vec![Known { index: 2, job: known }], ..STORED };
        let storing = bench.forward.store(bench.permit(), jobs(), Vec::new(), LATE, Sending::default());
        let answering = async {
            tokio::task::yield_now().await;
            bench.answer(Ok(stored.clone())).await;
        };
        assert_eq!(tokio::join!(storing, answering).0, Ok(stored.clone()));
        assert_eq!(bench.metrics.counts(Tier::P1).admitted, 3);
        assert_eq!(before - bench.room(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_stored_is_given_back_to_the_gate_and_what_may_be_is_not() {
        let bench = Bench::new();
        let before = bench.room();
        for (answer, taken) in [(Err(StoreError::Closed), 0), (Ok(STORED), 4), (Err(StoreError::Unknown), 8)]
        {
            let storing = tokio::spawn({
                let (forward, permit) = (bench.forward.clone(), bench.permit());
                async move { forward.store(permit, jobs(), Vec::new(), LATE, Sending::default()).await }
            });
            tokio::task::yield_now().await;
            bench.answer(answer.clone()).await;
            assert_eq!(storing.await.unwrap(), answer);
            assert_eq!(before - bench.room(), taken, "after {answer:?}");
        }
    }
}
