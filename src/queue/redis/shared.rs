//! What the parts of the Redis queue share.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::job::Job;
use crate::domain::tier::{Tier, TierMap};
use crate::queue::counts::Counts;
use crate::queue::error::StoreError;
use crate::queue::redis::connect::Connector;
use crate::queue::redis::durability::Given;
use crate::queue::redis::entry::element;
use crate::queue::redis::entry::stream;
use crate::queue::redis::inbox::Inbox;
use crate::queue::redis::keys::Index;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::outage::{Away, Presence};
use crate::queue::redis::settings::{RedisSettings, Structure};
use crate::queue::tries::Tries;
use crate::queue::{Durability, GroupBacklog};
use crate::telemetry::log::sampled::Sampled;

/// What the parts share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The clocks.
    pub clock: Clock,
    /// What the queue was told.
    pub settings: RedisSettings,
    /// The names of all keys.
    pub layout: Layout,
    /// Connections.
    pub connector: Connector,
    /// What there is of each tier.
    pub lines: TierMap<Line>,
    /// The index of idempotency keys.
    pub keys: Index,
    /// Whether Redis is there, for those who wait for it.
    pub presence: watch::Sender<Presence>,
    /// The outage, while there is one.
    pub away: Mutex<Option<Away>>,
    /// The lines of outages: one that comes and goes has a few, not one each time.
    pub told: Sampled,
    /// Outages so far: a connection from before one is not used after it.
    pub outages: AtomicU64,
    given: Mutex<Option<Given>>,
    durability: AtomicU8,
    longest: AtomicUsize,
}

/// What there is of one tier.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What waits for its forwarder.
    pub inbox: Inbox,
    counts: Mutex<Counts>,
    groups: Mutex<Vec<GroupBacklog>>,
    blocking: Mutex<Vec<Arc<str>>>,
}

impl Line {
    /// The groups of the tier's stream, as of the last reading.
    pub(super) fn groups(&self) -> Vec<GroupBacklog> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the groups of a reading.
    pub(super) fn show(&self, groups: Vec<GroupBacklog>) {
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = groups;
    }

    /// The groups that keep the stream from being trimmed.
    pub(super) fn blocking(&self) -> Vec<Arc<str>> {
        self.blocking.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the groups that keep the stream from being trimmed.
    pub(super) fn set_blocking(&self, groups: Vec<Arc<str>>) {
        *self.blocking.lock().unwrap_or_else(PoisonError::into_inner) = groups;
    }

    /// The tier's counts; never held across an await.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Nothing was reached yet.
    pub(super) fn new(
        settings: RedisSettings,
        layout: Layout,
        connector: Connector,
        clock: Clock,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            clock,
            layout,
            connector,
            lines: TierMap::default(),
            keys: Index::new(settings.keys),
            presence: watch::Sender::new(Presence::Starting),
            away: Mutex::new(None),
            told: Sampled::default(),
            outages: AtomicU64::new(0),
            given: Mutex::new(None),
            durability: AtomicU8::new(0),
            longest: AtomicUsize::new(LONGEST_VALUE),
            settings,
        })
    }

    /// The durability that a stored job has now.
    pub(super) fn durability(&self) -> Durability {
        match self.durability.load(Ordering::Acquire) {
            0 => Durability::Memory,
            1 => Durability::Disk,
            _ => Durability::Replicated,
        }
    }

    /// Notes what Redis gives now.
    pub(super) fn set_given(&self, given: Given) {
        let number = match given.durability {
            Durability::Memory | Durability::Spooled => 0,
            Durability::Disk => 1,
            Durability::Replicated => 2,
        };
        self.durability.store(number, Ordering::Release);
        let longest = given.longest_value.and_then(|bytes| usize::try_from(bytes).ok());
        self.longest.store(longest.unwrap_or(LONGEST_VALUE), Ordering::Release);
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
    }

    /// What Redis gave when it was last looked at.
    pub(super) fn given(&self) -> Option<Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bytes of all jobs, about, when Redis takes each of them.
    ///
    /// # Errors
    /// One of them is too large: Redis would close the connection over it.
    pub(super) fn measure(&self, jobs: &[Job]) -> Result<usize, StoreError> {
        let longest = self.longest.load(Ordering::Acquire);
        let mut bytes = 0;
        for job in jobs {
            let size = stream::size(job);
            // An element of a list is one value, in which a byte may take six.
            if size > longest / 8 && longest_value(job, self.settings.structure) > longest {
                return Err(StoreError::TooLarge { detail: format!("Redis takes {longest} bytes at most") });
            }
            bytes += size;
        }
        Ok(bytes)
    }

    /// Every tier with its line.
    pub(super) fn each_line(&self) -> impl Iterator<Item = (Tier, &Line)> {
        self.lines.iter()
    }
}

/// The longest argument that is made of this job.
fn longest_value(job: &Job, structure: Structure) -> usize {
    match structure {
        Structure::Stream => {
            let headers = job.headers.iter().map(|(_, value)| value.len());
            headers.chain([job.payload.len()]).max().unwrap_or_default()
        }
        Structure::List => element::encode(job, Tries::NONE).len(),
    }
}

/// Redis takes no longer value unless it is told to.
const LONGEST_VALUE: usize = 512 << 20;
