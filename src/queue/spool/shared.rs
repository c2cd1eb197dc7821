//! The ways of a job: straight to the backend, from there into the spool if it was refused, or into the spool at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tracing::info;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::job::Job;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::error::{QueueError, StoreError};
use crate::queue::spool::envelope;
use crate::queue::spool::known::Sifted;
use crate::queue::spool::lane::{KeyHash, Lane, Way};
use crate::queue::spool::room::Room;
use crate::queue::spool::unsettled::Unsettled;
use crate::queue::under_way::UnderWay;
use crate::queue::{Durability, JobQueue, Known, Stored, Storing};
use crate::random;

/// What the queue, its tasks and the drain share. Its locks are held for a moment only, never across a wait; who holds a
/// lane may ask the file, never the other way round.
pub(super) struct Shared {
    /// Where jobs belong.
    pub backend: Arc<dyn JobQueue>,
    /// Where they wait for it.
    pub file: EmbeddedQueue,
    /// The clocks.
    pub clock: Clock,
    /// Stores and steps of the drain that have begun.
    pub under_way: UnderWay,
    room: Room,
    lanes: TierMap<Mutex<Lane>>,
    unsettled: Mutex<Unsettled>,
    /// Clients choose ordering keys: nobody may know which of them have one hash.
    seed: u64,
    runtime: Handle,
    closed: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        backend: Arc<dyn JobQueue>,
        file: EmbeddedQueue,
        max_bytes: u64,
        tiers: TierSet,
        clock: Clock,
    ) -> Shared {
        let found = file.totals();
        let lanes = TierMap::from_fn(|tier| {
            Mutex::new(Lane::found(found[tier].waiting + found[tier].leased, tiers.contains(tier)))
        });
        Shared {
            backend,
            file,
            clock,
            under_way: UnderWay::default(),
            room: Room::new(max_bytes),
            lanes,
            unsettled: Mutex::default(),
            seed: random::number(),
            runtime: Handle::current(),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes jobs in, whichever way they go.
    pub(super) fn take_in(self: &Arc<Self>, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        if self.lane(tier).is_plain() {
            return self.backend.enqueue(tier, jobs);
        }
        let Sifted { jobs, out } = Sifted::of(jobs, |key| self.file.known(key));
        if out.is_nothing() {
            return self.send(tier, jobs);
        }
        let behind = self.lane(tier).backend_depth();
        let depth = behind.saturating_add(self.spooled(tier));
        if jobs.is_empty() {
            let stored = Stored { durability: Durability::Spooled, depth, known: Vec::new() };
            return Ok(self.answered_by(async move { Ok(out.told_in(stored)) }));
        }
        let storing = self.send(tier, jobs)?;
        Ok(self.answered_by(async move { storing.await.map(|stored| out.told_in(stored)) }))
    }

    /// Sends jobs whose keys are not known here their way.
    fn send(self: &Arc<Self>, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let keys = self.hashes(&jobs);
        let away = self.backend.outage(tier).is_some();
        let mut lane = self.lane(tier);
        let way = lane.way(&keys, jobs.len(), away);
        if way == Way::Hold {
            let (answer, storing) = Storing::channel();
            return match lane.hold((jobs, answer)) {
                Ok(()) => Ok(storing),
                Err(_) => Err(StoreError::Overloaded),
            };
        }
        drop(lane);
        match way {
            Way::Straight => self.straight(tier, jobs),
            Way::Spool | Way::Hold => self.spool(tier, jobs),
        }
    }

    /// To the backend; what it refuses for sure because it is away goes into the spool.
    pub(super) fn straight(self: &Arc<Self>, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        if !self.lane(tier).spools {
            return self.backend.enqueue(tier, jobs);
        }
        let kept = jobs.clone();
        match self.backend.enqueue(tier, jobs) {
            Ok(storing) => Ok(self.answered_by({
                let shared = Arc::clone(self);
                async move { shared.settle_straight(tier, kept, storing).await }
            })),
            Err(StoreError::Unavailable { .. }) => self.spool(tier, kept),
            Err(error) => Err(error),
        }
    }

    async fn settle_straight(
        self: &Arc<Self>,
        tier: Tier,
        kept: Vec<Job>,
        storing: Storing,
    ) -> Result<Stored, StoreError> {
        match storing.await {
            Ok(stored) => {
                let mut lane = self.lane(tier);
                lane.was_told(stored.depth);
                drop(lane);
                Ok(Stored { depth: stored.depth + self.spooled(tier), ..stored })
            }
            Err(StoreError::Unavailable { .. }) => self.spool(tier, kept)?.await,
            Err(error) => {
                if error == StoreError::Unknown {
                    self.unsettled().note(&kept);
                }
                Err(error)
            }
        }
    }

    /// Into the spool.
    pub(super) fn spool(self: &Arc<Self>, tier: Tier, mut jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let bytes = jobs.iter().map(envelope::bytes).sum();
        if !self.room.take(tier, bytes, self.file.used_bytes()) {
            return Err(StoreError::Unavailable { detail: self.is_full(tier) });
        }
        let known = self.unsettled().adopt(&mut jobs);
        let entering = Entering { tier, keys: self.hashes(&jobs), jobs: jobs.len() as u64, bytes };
        self.lane(tier).enter(&entering.keys, entering.jobs);
        jobs.iter_mut().for_each(envelope::seal);
        match self.file.enqueue(tier, jobs) {
            Ok(storing) => Ok(self.answered_by({
                let shared = Arc::clone(self);
                async move { shared.settle_spooled(entering, known, storing.await) }
            })),
            Err(error) => self.settle_spooled(entering, known, Err(error)).map(|_| Storing::channel().1),
        }
    }

    fn settle_spooled(
        &self,
        entering: Entering,
        known: Vec<Known>,
        answer: Result<Stored, StoreError>,
    ) -> Result<Stored, StoreError> {
        let Entering { tier, keys, jobs, bytes } = entering;
        self.room.give(bytes);
        let mut lane = self.lane(tier);
        lane.entered(jobs);
        // What may be in the file counts as if it were: its key is forgotten with all others.
        if answer.as_ref().is_err_and(|error| *error != StoreError::Unknown) {
            lane.leave(&keys);
        }
        let behind = lane.backend_depth();
        drop(lane);
        match answer {
            Ok(stored) => Ok(Stored {
                durability: Durability::Spooled,
                depth: stored.depth.saturating_add(behind),
                known,
            }),
            Err(StoreError::Full { .. }) => Err(StoreError::Unavailable { detail: self.is_full(tier) }),
            Err(StoreError::Unavailable { detail }) => {
                Err(StoreError::Unavailable { detail: format!("{NOT_WRITTEN}: {detail}") })
            }
            Err(error) => Err(error),
        }
    }

    /// Jobs that waited for the last spooled ones go on: straight, or into the spool.
    pub(super) fn release_held(self: &Arc<Self>, tier: Tier, straight: bool) {
        let held = self.lane(tier).end_hold();
        for (jobs, answer) in held {
            let storing = if straight { self.straight(tier, jobs) } else { self.spool(tier, jobs) };
            match storing {
                Ok(storing) => {
                    let begun = self.under_way.begin();
                    self.runtime.spawn(async move {
                        let _ = answer.send(storing.await);
                        drop(begun);
                    });
                }
                Err(error) => drop(answer.send(Err(error))),
            }
        }
    }

    /// Notes what the backend's reading says.
    pub(super) fn see(
        &self,
        tier: Tier,
        reading: Result<Reading, QueueError>,
    ) -> Result<Reading, QueueError> {
        if let Ok(reading) = &reading {
            self.lane(tier).saw(reading.backlog.depth());
        }
        reading
    }

    /// Why no job of the tier can be spooled now, if none can.
    pub(super) fn why_nothing_can_be_spooled(&self, tier: Tier) -> Option<String> {
        match self.file.check_own_disk() {
            Err(QueueError::Unavailable { detail }) => return Some(format!("{NOT_WRITTEN}: {detail}")),
            Err(error) => return Some(format!("{NOT_WRITTEN}: {error}")),
            Ok(()) => {}
        }
        self.room.is_full(tier, self.file.used_bytes()).then(|| self.is_full(tier))
    }

    /// Jobs of the tier in the file.
    pub(super) fn in_file(&self, tier: Tier) -> u64 {
        let totals = &self.file.totals()[tier];
        totals.waiting + totals.leased
    }

    /// Jobs of the tier in the file, or on their way into it.
    pub(super) fn spooled(&self, tier: Tier) -> u64 {
        self.lane(tier).spooled(self.in_file(tier))
    }

    /// The ordering keys of the jobs.
    pub(super) fn hashes(&self, jobs: &[Job]) -> Vec<KeyHash> {
        let hash = |job: &Job| {
            let mut hasher = DefaultHasher::new();
            (self.seed, job.ordering_key.as_deref()?).hash(&mut hasher);
            Some(hasher.finish())
        };
        jobs.iter().filter_map(hash).collect()
    }

    /// A tier's lane, for a moment.
    pub(super) fn lane(&self, tier: Tier) -> MutexGuard<'_, Lane> {
        self.lanes[tier].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The drain ends with the step that it is in; the backend answers what it has, what it refuses goes into the spool
    /// still; then the spool closes.
    pub(super) async fn close(self: &Arc<Self>) {
        self.closed.store(true, Ordering::Release);
        Tier::ALL.into_iter().for_each(|tier| self.release_held(tier, false));
        self.backend.close().await;
        self.under_way.all_done().await;
        // Whoever came just before the door closed.
        Tier::ALL.into_iter().for_each(|tier| self.release_held(tier, false));
        self.under_way.all_done().await;
        let left = TierMap::from_fn(|tier| self.in_file(tier));
        self.file.close().await;
        for (tier, jobs) in left.iter().filter(|(_, jobs)| **jobs > 0) {
            info!(%tier, jobs, "jobs stay in the spool for the next start");
        }
    }

    /// Goes on to its end, whoever waits.
    fn answered_by(
        &self,
        work: impl Future<Output = Result<Stored, StoreError>> + Send + 'static,
    ) -> Storing {
        let (answer, storing) = Storing::channel();
        let begun = self.under_way.begin();
        self.runtime.spawn(async move {
            let _ = answer.send(work.await);
            drop(begun);
        });
        storing
    }

    fn is_full(&self, tier: Tier) -> String {
        format!("the spool is full: {tier} may fill {} bytes of it", self.room.share(tier))
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs on their way into the file.
struct Entering {
    tier: Tier,
    keys: Vec<KeyHash>,
    jobs: u64,
    bytes: u64,
}

const NOT_WRITTEN: &str = "the spool cannot be written";
