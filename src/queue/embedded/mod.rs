//! The embedded queue: SQLite with one writer thread, group commit and leases in memory.
//!
//! A caller's jobs go into the writer's [`inbox`]; the [`writer`] stores what waits in one transaction and then
//! makes it known in the [`state`], which every other call reads: leases are taken from the [`line`]s' heads there.
//! The [`reader`] thread fetches what is on disk only. `docs/QUEUE.md` says what is promised.

mod file;
mod inbox;
pub mod lease;
mod leases;
mod line;
mod outage;
mod polls;
mod reader;
pub mod record;
mod recovery;
mod reserve;
pub mod settings;
mod shared;
mod state;
mod store;
mod transaction;
mod writer;

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;
use tokio::{join, select};

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::{Moment, Timestamp};
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::embedded::inbox::{Append, Order};
use crate::queue::embedded::lease::{Lease, LeaseRequest, LeaseStatus, LeaseToken, Nack};
use crate::queue::embedded::line::Waiting;
use crate::queue::embedded::outage::PROBE_EVERY;
pub use crate::queue::embedded::polls::MAX_POLLS;
use crate::queue::embedded::reader::Request;
use crate::queue::embedded::record::Encoded;
use crate::queue::embedded::reserve::Reserve;
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use crate::queue::embedded::shared::Shared;
use crate::queue::embedded::state::State;
use crate::queue::embedded::writer::Writer;
use crate::queue::error::{QueueError, StoreError};
use crate::queue::file::{OpenError, open_for_reading, refused};
use crate::queue::keys::{KnownJob, rows};
use crate::queue::{BoxFuture, Durability, JobQueue, Outage, Storing, Totals};

/// A durable queue in one file. Dropping it stores what was handed over and waits for that.
pub struct EmbeddedQueue {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedQueue {
    /// Opens or creates the file, recovers what it holds and starts the writer thread.
    ///
    /// # Errors
    /// The file is another process's, a newer format, damaged, or cannot be written.
    pub fn open(
        settings: &EmbeddedSettings,
        rules: TierMap<TierRules>,
        clock: Clock,
    ) -> Result<EmbeddedQueue, OpenError> {
        let path = settings.path.as_path();
        let file = file::open(settings)?;
        let found = recovery::find(&file, path)?;
        let used_bytes = store::used_bytes(&file.connection).map_err(|error| refused(path, &error))?;
        let reading = open_for_reading(path)?;
        let keys = rows::read(&file.connection, settings.keys, clock.wall())
            .map_err(|error| refused(path, &error))?;
        let content = recovery::content(&found, &keys);
        let durability = match settings.durability {
            EmbeddedDurability::Disk => Durability::Disk,
            EmbeddedDurability::Relaxed => Durability::Memory,
        };
        let (requests, inbound) = sync_channel(MAX_REQUESTS);
        let shared = Arc::new(Shared::new(
            clock,
            durability,
            recovery::state(found, keys, rules, clock.wall()),
            used_bytes,
            requests,
        ));
        let shared_by_reader = Arc::clone(&shared);
        let reader = spawn("queue-reader", path, move || reader::run(&reading, &shared_by_reader, &inbound))?;
        let max_bytes = settings.max_bytes;
        let writer = Writer {
            file,
            reserve: Reserve::beside(path),
            shared: Arc::clone(&shared),
            reader,
            content,
            max_bytes,
            used_bytes,
            outage: None,
        };
        let ended = Ended(Arc::clone(&shared));
        let writer = spawn("queue-writer", path, move || {
            let _ended = ended;
            writer.run();
        })?;
        Ok(EmbeddedQueue { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Puts new tier rules (weights, retries, ordering) in force.
    pub fn set_rules(&self, rules: TierMap<TierRules>) {
        let mut state = self.shared.state();
        state.set_rules(rules);
        self.shared.stir(&mut state);
    }

    /// Bytes of the file that hold something, as of the last transaction.
    pub fn used_bytes(&self) -> u64 {
        self.shared.used_bytes.load(Relaxed)
    }

    /// The job that is known by this key.
    pub fn known(&self, key: Key) -> Option<KnownJob> {
        self.shared.state().keys.find(key, self.shared.clock.wall())
    }

    /// Takes up to `max` jobs, weighted-fair over the tiers asked for; waits up to `wait` for the first one.
    ///
    /// # Errors
    /// The storage failed, too many wait already, or the queue is closed.
    pub async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>, QueueError> {
        let mut waited = pin!(sleep(request.wait));
        let mut place = None;
        loop {
            let (jobs, loading) = self.take_or_join(&request, &mut place)?;
            if !jobs.is_empty() {
                let leases = self.sound(jobs)?;
                if !leases.is_empty() {
                    return Ok(leases);
                }
                continue;
            }
            let Some(place) = &place else { return Ok(Vec::new()) };
            // What is on its way from the disk is there already: who does not want to wait still gets it.
            let least = if loading { LOAD_PATIENCE } else { Duration::ZERO };
            select! {
                biased;
                () = place.notify.notified() => {}
                _ = async { join!(waited.as_mut(), sleep(least)) } => return Ok(Vec::new()),
            }
        }
    }

    /// Finishes jobs: they leave the queue. Answers per lease, in order. The answer does not wait for the disk:
    /// if the process dies within the next moment, the job is handed out again.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::lease`]; also when too many answers wait for a failing disk.
    pub async fn ack(&self, leases: Vec<LeaseToken>) -> Result<Vec<LeaseStatus>, QueueError> {
        self.room_for_changes(leases.len()).await?;
        self.change(|state, now| state.ack(&leases, now))
    }

    /// Fails attempts. Answers per lease, in order.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::ack`].
    pub async fn nack(&self, leases: Vec<LeaseToken>, nack: Nack) -> Result<Vec<LeaseStatus>, QueueError> {
        self.room_for_changes(leases.len()).await?;
        self.change(|state, now| state.nack(&leases, &nack, now))
    }

    /// Keeps leases for this long from now. Answers per lease, in order.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::ack`].
    pub async fn extend(
        &self,
        leases: Vec<LeaseToken>,
        period: Duration,
    ) -> Result<Vec<LeaseStatus>, QueueError> {
        let statuses = self.change(|state, now| state.extend(&leases, period, now));
        self.shared.inbox.poke();
        statuses
    }

    /// Answers every waiting long poll at once, with what it has; later polls do not wait.
    pub fn release_polls(&self) {
        self.shared.state().polls.release();
    }

    /// Leases jobs, or joins the line of those who wait. Says whether jobs are on their way from the disk.
    fn take_or_join(
        &self,
        request: &LeaseRequest,
        place: &mut Option<Place>,
    ) -> Result<(Vec<Leased>, bool), QueueError> {
        let now = self.shared.now();
        let mut state = self.shared.state();
        if state.closed {
            return Err(QueueError::Closed);
        }
        state.advance(now);
        let jobs = state.lease(request.tiers, request.max, request.period, now);
        self.shared.stir(&mut state);
        if !jobs.is_empty() {
            let ends = now.0.plus(request.period);
            if ends < state.writer_wakes {
                state.writer_wakes = ends;
                self.shared.inbox.poke();
            }
            return Ok((jobs, false));
        }
        let loading = request.tiers.iter().any(|tier| state.lines[tier].is_loading());
        // A disk that cannot be written can still be read: jobs on their way from it are waited for.
        if let Some(detail) = state.outage.as_ref().filter(|_| state.unreadable.is_some() || !loading) {
            return Err(QueueError::Unavailable { detail: detail.clone() });
        }
        let mut left = None;
        match place {
            _ if state.polls.released() => left = place.take(),
            Some(place) => state.polls.wait_on(place.ticket),
            None if loading || !request.wait.is_zero() => {
                let (ticket, notify) = state.polls.join(request.tiers).ok_or(QueueError::TooManyPolls)?;
                *place = Some(Place { shared: Arc::clone(&self.shared), ticket, notify });
            }
            None => {}
        }
        // A place takes the lock itself when it is given up.
        drop(state);
        drop(left);
        Ok((jobs, loading))
    }

    /// The leases of jobs whose record is what was written; the others go to the dead letters.
    fn sound(&self, jobs: Vec<Leased>) -> Result<Vec<Lease>, QueueError> {
        let mut damaged = Vec::new();
        let leases = jobs.into_iter().filter_map(|job| {
            let token = job.0;
            let lease = to_lease(job);
            if lease.is_none() {
                damaged.push(token);
            }
            lease
        });
        let leases = leases.collect();
        if !damaged.is_empty() {
            self.change(|state, now| {
                damaged.iter().for_each(|token| state.condemn(*token, now.1));
                Vec::new()
            })?;
        }
        Ok(leases)
    }

    /// Waits until `more` lease changes may wait for the disk.
    async fn room_for_changes(&self, more: usize) -> Result<(), QueueError> {
        loop {
            {
                let state = self.shared.state();
                if !state.changes_full(more) {
                    return Ok(());
                }
                if state.outage.is_some() {
                    return Err(QueueError::Unavailable {
                        detail: "too many answers wait for the disk".into(),
                    });
                }
            }
            self.order(Order::Flush).await?;
        }
    }

    fn change(
        &self,
        act: impl FnOnce(&mut State, (Moment, Timestamp)) -> Vec<LeaseStatus>,
    ) -> Result<Vec<LeaseStatus>, QueueError> {
        let now = self.shared.now();
        let mut state = self.shared.state();
        if state.closed {
            return Err(QueueError::Closed);
        }
        let statuses = act(&mut state, now);
        self.shared.stir(&mut state);
        let wait = state.changes() > 0;
        drop(state);
        if wait {
            self.shared.inbox.changes_wait();
        }
        Ok(statuses)
    }

    /// Sends the writer an order and waits for its answer.
    async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, QueueError>>) -> Order,
    ) -> Result<T, QueueError> {
        let (answer, answered) = oneshot::channel();
        self.shared.inbox.order(make(answer))?;
        answered.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Asks the reader, after every lease change so far is on disk.
    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, QueueError>>) -> Request,
    ) -> Result<T, QueueError> {
        self.order(Order::Flush).await?;
        let (answer, answered) = oneshot::channel();
        self.shared.ask(make(answer))?;
        answered.await.unwrap_or(Err(QueueError::Closed))
    }
}

impl JobQueue for EmbeddedQueue {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn workers_way_in(&self) -> &'static str {
        "workers lease jobs with POST /v1/leases"
    }

    fn durability(&self, _tier: Tier) -> Durability {
        self.shared.durability
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let jobs: Vec<_> = jobs.iter().map(record::encode).collect();
        let bytes = jobs.iter().map(Encoded::bytes).sum();
        let (answer, storing) = Storing::channel();
        self.shared.inbox.append(Append { tier, jobs, bytes, answer })?;
        Ok(storing)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(std::future::ready(Ok(self.known(key))))
    }

    fn key_index(&self) -> KeyIndex {
        self.shared.state().keys.index(self.shared.clock.wall())
    }

    /// All tiers are in one file. The writer tries it, at least so often, whether or not anybody asks for anything.
    fn outage(&self, _tier: Tier) -> Option<Outage> {
        self.shared.inbox.outage().map(|detail| Outage { detail, next_try: PROBE_EVERY })
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        let now = self.shared.now();
        let readings = self.shared.state().readings(now);
        Box::pin(std::future::ready(readings.map(|_, reading| Ok(reading))))
    }

    fn totals(&self) -> TierMap<Totals> {
        self.shared.state().counts.map(|_, counts| counts.totals)
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        match &self.shared.state().outage {
            Some(detail) => Err(QueueError::Unavailable { detail: detail.clone() }),
            None => Ok(()),
        }
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        Box::pin(async {
            if query.after.as_deref().is_some_and(|mark| reader::place(mark).is_none()) {
                return Err(QueueError::BadPage);
            }
            self.ask(|answer| Request::List(query, answer)).await
        })
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(self.ask(move |answer| Request::Show(id, answer)))
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        Box::pin(self.order(|answer| Order::Replay(ids, answer)))
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        Box::pin(self.order(|answer| Order::Purge(ids, answer)))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.begin_close();
        Box::pin(async {
            // The sender lives in `self`, so the wait cannot fail.
            let _ = self.shared.closed.subscribe().wait_for(|closed| *closed).await;
        })
    }
}

impl EmbeddedQueue {
    fn begin_close(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.polls.release();
        drop(state);
        self.shared.inbox.close();
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        self.begin_close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueue").finish_non_exhaustive()
    }
}

/// A place in the line of those who wait for jobs; given up on drop, with a wake-up passed on.
struct Place {
    shared: Arc<Shared>,
    ticket: u64,
    notify: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let woken_for = state.polls.leave(self.ticket);
        for tier in woken_for.iter().filter(|tier| state.lines[*tier].has_jobs()).collect::<Vec<_>>() {
            state.polls.wake(tier);
        }
    }
}

/// Lives as long as the writer thread: nobody waits for a writer that is gone.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        if thread::panicking() {
            tracing::error!("the queue's writer died; restart the gateway");
            let detail = String::from("the queue's writer died");
            self.0.inbox.set_outage(Some(&detail));
            state.outage = Some(detail);
        }
        state.polls.release();
        drop(state);
        if thread::panicking() {
            self.0.stop_reader();
        }
        self.0.inbox.abandon();
        self.0.closed.send_replace(true);
    }
}

type Leased = (LeaseToken, Tier, Waiting);

fn to_lease((token, tier, waiting): Leased) -> Option<Lease> {
    let attempt = waiting.history.map_or(0, |history| history.failed) + 1;
    let Some(job) = record::decode(tier, &waiting.record) else {
        tracing::error!(%tier, seq = waiting.seq, "a job in the queue's file is damaged; it goes to the dead letters");
        return None;
    };
    Some(Lease { token, job, attempt })
}

fn spawn(name: &str, path: &Path, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(|error| OpenError::Io { path: path.to_owned(), detail: error.to_string() })
}

/// Questions that may wait for the reader.
const MAX_REQUESTS: usize = 256;

/// How long a poll that does not want to wait does wait for jobs on their way from the disk.
const LOAD_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
