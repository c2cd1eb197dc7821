//! What the spool promises, over a backend that goes away and comes back.

mod bounds;
mod drain;
mod keys;
mod order;
mod outage;
mod readings;
mod restart;
mod switched;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::drain::{Drain, Step};
use super::settings::SpoolSettings;
use super::*;
use crate::clock::ClockHand;
use crate::domain::job::Job;
use crate::domain::tier::TierSet;
use crate::domain::time::Timestamp;
use crate::queue::Stored;
use crate::queue::spool::tests::switched::{Mode, Switched};
use crate::random;

/// A backend that can be switched, the spool before it and its drain.
struct Bench {
    backend: Arc<Switched>,
    queue: SpooledQueue,
    drain: Drain,
    clock: Clock,
    hand: ClockHand,
    folder: TempDir,
    max_bytes: u64,
}

impl Bench {
    /// P0 and P1 spool, P2 does not.
    fn new() -> Bench {
        Bench::of(SPOOLING, 1 << 30)
    }

    fn of(tiers: TierSet, max_bytes: u64) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::by_hand();
        let backend = Arc::new(Switched::open(folder.path(), clock));
        let (queue, drain) = open(folder.path(), max_bytes, &backend, tiers, clock);
        let bench = Bench { backend, queue, drain, clock, hand, folder, max_bytes };
        // Nothing leaves the spool before the backend was read.
        bench.read_now();
        bench
    }

    /// The gateway dies, and starts again; the backend lives on.
    async fn restarted(self) -> Bench {
        let Bench { backend, queue, drain, clock, hand, folder, max_bytes } = self;
        // Nothing more is answered or acknowledged: as after a kill, what was committed is there.
        drop(drain);
        let Ok(shared) = Arc::try_unwrap(queue.0) else { panic!("something is still under way") };
        drop(shared);
        let (queue, drain) = open(folder.path(), max_bytes, &backend, SPOOLING, clock);
        let bench = Bench { backend, queue, drain, clock, hand, folder, max_bytes };
        bench.read_now();
        bench
    }

    /// As it is before the first reading.
    fn unread(self) -> Bench {
        for tier in Tier::ALL {
            self.queue.0.lane(tier).forget_depth();
        }
        self
    }

    fn read_now(&self) {
        for tier in Tier::ALL {
            let depth = self.backend.depth(tier);
            self.queue.0.lane(tier).saw(depth);
        }
    }

    fn is(&self, mode: Mode) {
        self.backend.set(mode);
    }

    async fn store(&self, job: Job) -> Result<Stored, StoreError> {
        self.queue.enqueue(job.tier, vec![job])?.await
    }

    /// Stores a job of P1 and says which.
    async fn put(&self, payload: &str, key: Option<&str>) -> Durability {
        self.store(job(payload, key)).await.unwrap().durability
    }

    /// Moves all that can be moved.
    async fn drain(&mut self) {
        self.drain_below(u64::MAX).await;
    }

    async fn drain_below(&mut self, limit: u64) {
        for tier in Tier::ALL {
            while self.drain.step(tier, limit, 1.0).await == Step::Moved {}
        }
    }

    fn spooled(&self, tier: Tier) -> u64 {
        self.queue.spool().depth[tier]
    }
}

fn open(
    folder: &Path,
    max_bytes: u64,
    backend: &Arc<Switched>,
    tiers: TierSet,
    clock: Clock,
) -> (SpooledQueue, Drain) {
    let settings = SpoolSettings { path: folder.join("spool.db"), max_bytes };
    let backend: Arc<dyn JobQueue> = backend.clone();
    SpooledQueue::open(&settings, KeySettings::default(), backend, tiers, clock).unwrap()
}

/// A job of P1.
pub(super) fn job(payload: &str, ordering_key: Option<&str>) -> Job {
    let accepted_at = Timestamp::from_millis(1_700_000_000_000);
    Job {
        job_type: Some("order".into()),
        ordering_key: ordering_key.map(Box::from),
        accepted_at,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Job::bare(random::job_id(accepted_at), Tier::P1)
    }
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

const SPOOLING: TierSet = TierSet::only(Tier::P0).with(Tier::P1);
const SHORT: Duration = Duration::from_millis(10);
