//! Floor 4: where accepted jobs are kept. `JobQueue` is what every backend promises.

pub mod ages;
mod counts;
pub mod dead_letter;
pub mod embedded;
pub mod error;
pub mod file;
mod group;
mod group_watch;
pub mod kafka;
pub mod keys;
pub mod redis;
#[cfg(test)]
pub mod scripted;
pub mod spool;
pub mod topic;
pub mod tries;
mod under_way;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::totals::Totals;
use crate::policy::Requirement;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::keys::KnownJob;
use crate::queue::topic::TopicState;

/// A boxed future, so that the trait can be `dyn`; used where a call is rare enough not to care.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place that keeps accepted jobs until a worker has done them.
pub trait JobQueue: Send + Sync + 'static {
    /// The backend's name as configuration and status say it.
    fn name(&self) -> &'static str;

    /// How workers come by its jobs, as the end of a sentence.
    fn workers_way_in(&self) -> &'static str;

    /// The durability that a receipt of this tier reaches now.
    fn durability(&self, tier: Tier) -> Durability;

    /// Hands jobs of one tier over to be stored, all or none. Returns at once; the jobs are stored (or not)
    /// whether or not anybody still waits for the answer.
    ///
    /// # Errors
    /// The jobs cannot even be taken over: too many wait already, or the queue is closed. Nothing was stored.
    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError>;

    /// The job that was stored under this key and is still known by it. A key is known from the moment its job is
    /// stored, also when the job is done, for as long as keys are kept.
    ///
    /// # Errors
    /// The index cannot be asked now.
    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>>;

    /// Whether storing a job tells that another holds its key ([`Stored::known`]): then nobody need ask before.
    fn tells_known_jobs(&self) -> bool {
        false
    }

    /// How many keys are known and how far back.
    fn key_index(&self) -> KeyIndex;

    /// Whether the backend is away for this tier: its jobs are refused at once then, nobody waits for a probe.
    fn outage(&self, _tier: Tier) -> Option<Outage> {
        None
    }

    /// Depth, age and flows of each tier at one instant, or why they cannot be told. Never a zero in their place.
    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>>;

    /// The groups of consumers that each read all of a tier's jobs, as of the last reading; none where jobs go to one
    /// worker each without groups.
    fn groups(&self, _tier: Tier) -> Vec<GroupBacklog> {
        Vec::new()
    }

    /// The tier's topic, as of the last reading; `None` where the backend has none.
    fn topic(&self, _tier: Tier) -> Option<TopicState> {
        None
    }

    /// What waits on the local disk for a backend that was away.
    fn spool(&self) -> Spool {
        Spool::default()
    }

    /// What has happened to jobs since the process started, of every tier, at one instant.
    fn totals(&self) -> TierMap<Totals>;

    /// Whether this instance can store on its own disk; the error says what is wrong.
    fn check_own_disk(&self) -> Result<(), QueueError>;

    /// A page of dead letters, oldest first.
    ///
    /// # Errors
    /// [`QueueError::BadPage`] besides those of every call.
    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>>;

    /// One dead letter with its payload.
    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>>;

    /// The tier of a dead letter, also of one whose payload cannot be read.
    fn dead_letter_tier(&self, id: JobId) -> BoxFuture<'_, Result<Option<Tier>, QueueError>> {
        Box::pin(async move { Ok(self.dead_letter(id).await?.map(|letter| letter.job.tier)) })
    }

    /// Moves dead letters back into their queue; attempts start again, id, payload and history stay.
    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>>;

    /// Deletes dead letters for good.
    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>>;

    /// Stores what was handed over, then closes. Later calls answer [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// How well a stored job is kept; what a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives a crash of the gateway, not a power loss.
    Memory,
    /// Survives a power loss of the machine that keeps it.
    Disk,
    /// Survives the loss of a machine.
    Replicated,
    /// On the local disk, to be forwarded when the backend is back.
    Spooled,
}

impl Durability {
    /// Whether it is enough for a tier that requires this. A spooled job is on one disk, whatever the backend does with
    /// it later.
    pub const fn meets(self, required: Requirement) -> bool {
        match required {
            Requirement::Disk => !matches!(self, Durability::Memory),
            Requirement::Replicated => matches!(self, Durability::Replicated),
        }
    }

    /// The word in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Disk => "disk",
            Durability::Replicated => "replicated",
            Durability::Spooled => "spooled",
        }
    }
}

/// What storing reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The durability reached before this value was made.
    pub durability: Durability,
    /// The tier's depth just after.
    pub depth: u64,
    /// The jobs of the call that were not stored, since earlier ones hold their idempotency keys; in order.
    pub known: Vec<Known>,
}

/// A job that was not stored: its idempotency key stands for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its place among the jobs of the call.
    pub index: usize,
    /// The earlier job.
    pub job: KnownJob,
}

/// What stands before one group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBacklog {
    /// Its name.
    pub name: Arc<str>,
    /// Jobs that were not handed out to it.
    pub lag: u64,
    /// Jobs handed out to it and not acknowledged.
    pub pending: u64,
    /// Whether the tier's depth is that of the slowest of this and others.
    pub counts: bool,
    /// It stopped, and what it has not done keeps what others have done from being removed.
    pub blocks_trim: bool,
    /// What it does.
    pub state: GroupState,
    /// For how long jobs have waited before it without any progress, once that is longer than usual.
    pub still_for: Option<Duration>,
    /// Its members, where the backend tells.
    pub members: Option<u32>,
}

/// What a group of consumers does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupState {
    /// It takes jobs.
    #[default]
    Reading,
    /// No jobs wait before it.
    Idle,
    /// Jobs wait before it, and for several times as long as usual it has taken none.
    Stalled,
    /// Its members share out the work anew.
    Rebalancing,
    /// It has no members.
    Empty,
}

impl GroupState {
    /// The word in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            GroupState::Reading => "reading",
            GroupState::Idle => "idle",
            GroupState::Stalled => "stalled",
            GroupState::Rebalancing => "rebalancing",
            GroupState::Empty => "empty",
        }
    }
}

/// A backend that is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What is wrong, for the client and the log; no secrets.
    pub detail: Arc<str>,
    /// Until it is tried again.
    pub next_try: Duration,
}

/// The local durable queue that takes over while a backend is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spool {
    /// The tiers whose jobs go there now.
    pub tiers: TierSet,
    /// Jobs in it.
    pub depth: TierMap<u64>,
    /// Jobs of it that were not forwarded, since the backend had another one under their idempotency key.
    pub duplicates: TierMap<u64>,
}

/// The answer to an [`JobQueue::enqueue`], on its way. Dropping it does not unsend the jobs.
#[derive(Debug)]
pub struct Storing(oneshot::Receiver<Result<Stored, StoreError>>);

/// The storing side's end of a [`Storing`].
pub type StoringAnswer = oneshot::Sender<Result<Stored, StoreError>>;

impl Storing {
    /// A pair: the end that answers and the end that waits.
    pub fn channel() -> (StoringAnswer, Storing) {
        let (answer, wait) = oneshot::channel();
        (answer, Storing(wait))
    }
}

impl Future for Storing {
    type Output = Result<Stored, StoreError>;

    /// Ready when the jobs are stored as durably as [`Stored`] says, or it is known that they are not;
    /// [`StoreError::Unknown`] if the storing side vanished.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Unknown)))
    }
}
