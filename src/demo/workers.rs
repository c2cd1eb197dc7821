//! The modelled workers: each leases some jobs, takes its time for them, acknowledges them; some die on the way.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::select;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::demo::book::Book;
use crate::demo::caller::{CallError, Caller};
use crate::demo::script::TIME_PER_JOB;
use crate::domain::time::Moment;
use crate::random;

/// One of them.
#[derive(Debug)]
pub struct Worker {
    /// Counts from nothing; a worker lives while more than so many are alive.
    pub number: usize,
    /// Calls ingest.
    pub caller: Caller,
    /// Where it notes what it has done.
    pub book: Book,
    /// The time.
    pub clock: Clock,
    /// After so many seconds without a word its jobs are handed out again.
    pub lease_seconds: u32,
}

#[derive(Debug, Deserialize)]
struct Leased {
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    id: String,
    lease: String,
    attempt: u64,
}

#[derive(Debug, Deserialize)]
struct Acked {
    results: Vec<Fate>,
}

#[derive(Debug, Deserialize)]
struct Fate {
    status: String,
}

impl Worker {
    /// Works while it is among the living, until the end is told. An acknowledgement that is under way is heard out.
    pub async fn run(self, mut alive: watch::Receiver<usize>, mut end: watch::Receiver<bool>) {
        let mut free = self.clock.now();
        loop {
            select! {
                _ = end.wait_for(|ended| *ended) => return,
                lives = alive.wait_for(|alive| *alive > self.number) => if lives.is_err() { return },
            }
            let work = select! {
                _ = end.wait_for(|ended| *ended) => return,
                // Dead at once, with whatever it holds.
                _ = alive.wait_for(|alive| *alive <= self.number) => continue,
                work = self.work(&mut free) => work,
            };
            let finished = match work {
                Ok(jobs) => self.finish(&jobs).await,
                Err(error) => Err(error),
            };
            if finished.is_err() {
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// Leases jobs and takes its time for them.
    async fn work(&self, free: &mut Moment) -> Result<Vec<Job>, CallError> {
        let worker = format!("demo-{}", self.number + 1);
        let wish = json!({ "max": JOBS_AT_ONCE, "wait_seconds": 1, "lease_seconds": self.lease_seconds, "worker": worker });
        let Leased { jobs } = self.caller.ask("/v1/leases", &wish).await?;
        let now = self.clock.now();
        // What the last jobs took longer than they should is made good, within bounds: so all of them do what they can.
        let begun = if now.since(*free) < MADE_GOOD { *free } else { now };
        *free = begun.plus(random::spread(TIME_PER_JOB * u32::try_from(jobs.len()).unwrap_or(u32::MAX)));
        sleep(free.since(now)).await;
        Ok(jobs)
    }

    /// Acknowledges jobs, and notes them once the queue has heard of it.
    async fn finish(&self, jobs: &[Job]) -> Result<(), CallError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let leases: Vec<_> = jobs.iter().map(|job| &job.lease).collect();
        let Acked { results } = self.caller.ask("/v1/leases/ack", &json!({ "leases": leases })).await?;
        for (job, fate) in jobs.iter().zip(&results) {
            if fate.status == "ok"
                && let Ok(id) = job.id.parse()
            {
                self.book.done(id, job.attempt);
            }
        }
        Ok(())
    }
}

/// A few, so that those of critical work do not wait behind many others.
const JOBS_AT_ONCE: u32 = 4;

/// Longer pauses between jobs were for want of jobs.
const MADE_GOOD: Duration = Duration::from_millis(50);

/// Before it asks again.
const AFTER_FAILURE: Duration = Duration::from_millis(200);
