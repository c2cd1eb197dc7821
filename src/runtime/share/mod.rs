//! Several gateways on one backend: one law on the sum of what they let in, each applying its share.

pub mod exchange;
pub mod settings;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::tier::TierMap;
use crate::domain::time::Moment;
use crate::regulator::share::Replicas;
use crate::regulator::share::line::{Line, ReplicaId};
use crate::regulator::share::part::{Intake, Part};
use crate::telemetry::scrape::Sharing;

/// What this gateway knows of the others: moved by the control loop's steps and by the exchange, under one short lock.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    replicas: Mutex<Replicas>,
    stepped: Notify,
    unreadable: AtomicU64,
    clock: Clock,
}

/// What status and metrics show of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareState {
    /// The replicas there are, this one included.
    pub replicas: usize,
    /// Time since the lines of the others were last read; `None` as long as they never were.
    pub age: Option<Duration>,
    /// Lines that could not be read, since the start.
    pub unreadable: u64,
}

impl From<ShareState> for Sharing {
    fn from(ShareState { replicas, age, unreadable }: ShareState) -> Sharing {
        Sharing { replicas, age, unreadable }
    }
}

impl Share {
    /// Knows nobody yet. `id` must be nobody else's; `interval` is the time between two steps of the law.
    pub fn new(id: u64, interval: Duration, clock: Clock) -> Share {
        Share(Arc::new(Shared {
            replicas: Mutex::new(Replicas::new(ReplicaId(id), interval)),
            stepped: Notify::new(),
            unreadable: AtomicU64::new(0),
            clock,
        }))
    }

    /// What comes before a step of the law: the readings summed over all replicas, and this one's part. `spooled` are the
    /// jobs of the readings that stand in the spool.
    pub fn step(
        &self,
        readings: TierMap<Option<Reading>>,
        spooled: TierMap<u64>,
        intake: TierMap<Intake>,
        now: Moment,
    ) -> TierMap<(Option<Reading>, Part)> {
        let steps = self.replicas().step(readings, spooled, intake, now);
        self.0.stepped.notify_one();
        steps
    }

    /// From now on there is so long between two steps of the law.
    pub fn set_interval(&self, interval: Duration) {
        self.replicas().set_interval(interval);
    }

    /// What status and metrics show.
    pub fn state(&self) -> ShareState {
        let replicas = self.replicas();
        ShareState {
            replicas: replicas.count(),
            age: replicas.heard().map(|heard| self.0.clock.now().since(heard)),
            unreadable: self.0.unreadable.load(Ordering::Relaxed),
        }
    }

    /// Waits for the next step: right after it the counts are fresh.
    async fn stepped(&self) {
        self.0.stepped.notified().await;
    }

    fn line(&self, intake: TierMap<Intake>) -> Line {
        self.replicas().line(intake, self.0.clock.now())
    }

    fn hear(&self, lines: &[Line], unreadable: u64) {
        self.0.unreadable.fetch_add(unreadable, Ordering::Relaxed);
        self.replicas().hear(lines, self.0.clock.now());
    }

    // A panic under the lock is a bug of one step; the others go on.
    fn replicas(&self) -> MutexGuard<'_, Replicas> {
        self.0.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
