//! Redis: accepted jobs in streams or lists of a Redis that workers read themselves.
//!
//! Each tier has a [`forwarder`] with a connection of its own, fed by an [`inbox`]: what waits goes into one pipeline, and the
//! readings of the [`backlog`] go in line with the jobs, so that what was stored and what stands there are of one instant.
//! [`outage`] says whether Redis is there. `docs/REDIS.md` says what is promised.

pub mod backlog;
pub mod connect;
mod dead_letters;
pub mod durability;
pub mod entry;
mod failure;
mod forwarder;
mod household;
mod inbox;
pub(super) mod keys;
pub mod layout;
mod outage;
mod pipeline;
pub mod settings;
mod shared;
pub mod upkeep;
pub mod worker;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::{Connection, redis};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::totals::Totals;
use crate::policy::Requirement;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::group::Group;
use crate::queue::keys::KnownJob;
pub use crate::queue::redis::connect::BadAddress;
use crate::queue::redis::connect::{Connector, keep_if_sound};
use crate::queue::redis::dead_letters::DeadLetters;
use crate::queue::redis::durability::DurabilityWatch;
use crate::queue::redis::failure::Failure;
use crate::queue::redis::forwarder::Forwarder;
use crate::queue::redis::household::Household;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::outage::Presence;
use crate::queue::redis::settings::{RedisSettings, Structure};
use crate::queue::redis::shared::Shared;
use crate::queue::{BoxFuture, Durability, GroupBacklog, JobQueue, Outage, Stored, Storing};

/// Queues in a Redis. Dropping it gives up what was not stored yet; [`JobQueue::close`] stores it first.
pub struct RedisQueue {
    shared: Arc<Shared>,
    forwarders: Mutex<JoinSet<()>>,
    watch: Mutex<JoinSet<()>>,
}

impl RedisQueue {
    /// Starts to forward to these queues, whether or not Redis is there.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn open(
        settings: &RedisSettings,
        queues: &TierMap<String>,
        clock: Clock,
    ) -> Result<RedisQueue, BadAddress> {
        let connector = Connector::new(settings, Tier::ALL.len())?;
        let shared = Shared::new(settings.clone(), Layout::of(queues), connector, clock);
        let mut forwarders = JoinSet::new();
        for tier in Tier::ALL {
            forwarders.spawn(Forwarder::new(Arc::clone(&shared), tier).run());
        }
        let mut watch = JoinSet::new();
        let (watched, household) = (Arc::clone(&shared), Household::new(settings, &shared.layout));
        watch.spawn(async move { watched.keep_watch(household).await });
        Ok(RedisQueue { shared, forwarders: Mutex::new(forwarders), watch: Mutex::new(watch) })
    }

    /// Waits until Redis was tried for the first time: whether it is there and every queue could be read.
    ///
    /// # Errors
    /// Why not.
    pub async fn reached(&self) -> Result<(), Arc<str>> {
        let mut presence = self.shared.presence.subscribe();
        let settled = presence.wait_for(|presence| match presence {
            Presence::Starting => false,
            Presence::Away => true,
            Presence::There(_) => self.shared.each_line().all(|(_, line)| line.counts().seen()),
        });
        let waited = timeout(self.shared.settings.timeout * 2, settled).await;
        match self.shared.outage() {
            Some(outage) => Err(outage.detail),
            None if waited.is_err() => Err(self.why_unreadable().await),
            None => Ok(()),
        }
    }

    /// Why the backlog of some tier cannot be read.
    async fn why_unreadable(&self) -> Arc<str> {
        let readings = timeout(self.shared.settings.timeout, self.backlog()).await;
        let failed = readings.ok().and_then(|readings| {
            let mut failed =
                readings.iter().filter_map(|(tier, reading)| Some((tier, reading.as_ref().err()?)));
            failed.next().map(|(tier, error)| format!("the backlog of {tier} cannot be read: {error}"))
        });
        failed.map_or_else(|| "the backlog of a queue cannot be read".into(), Into::into)
    }

    /// What to do so that Redis gives what a tier requires; `None` where it does, as far as is known.
    pub fn fix(&self, required: Requirement) -> Option<String> {
        let given = self.shared.given()?;
        DurabilityWatch::new(&self.shared.settings).fix(&given, required)
    }

    fn letters(&self) -> DeadLetters<'_> {
        DeadLetters { layout: &self.shared.layout, structure: self.shared.settings.structure }
    }

    /// A connection for questions about dead letters.
    async fn connection(&self) -> Result<Connection, QueueError> {
        if let Some(outage) = self.shared.outage() {
            return Err(QueueError::Unavailable { detail: outage.detail.as_ref().to_owned() });
        }
        self.shared.connector.pooled().await.map_err(|failure| {
            self.shared.note(&failure);
            failure.to_queue_error()
        })
    }

    /// One command over a pooled connection. One whose answer is missing is thrown away.
    async fn known_job(&self, key: Key) -> Result<Option<KnownJob>, QueueError> {
        let mut connection = self.connection().await?;
        let key = self.shared.layout.key(key);
        match redis::cmd("GET").arg(key).query_async::<Option<Vec<u8>>>(&mut connection).await {
            Ok(None) => Ok(None),
            Ok(Some(value)) => keys::decode(&value).map(Some).ok_or_else(|| QueueError::Unavailable {
                detail: "an idempotency key holds what it should not".to_owned(),
            }),
            Err(error) => {
                let failure = Failure::of_command(&error);
                if failure.ends_connection() {
                    drop(Connection::take(connection));
                }
                self.shared.note(&failure);
                Err(failure.to_queue_error())
            }
        }
    }
}

impl JobQueue for RedisQueue {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn workers_way_in(&self) -> &'static str {
        match self.shared.settings.structure {
            Structure::Stream => "workers read the streams of Redis with XREADGROUP",
            Structure::List => "workers read the lists of Redis with BRPOP or BLMOVE",
        }
    }

    fn durability(&self, _tier: Tier) -> Durability {
        self.shared.durability()
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let bytes = self.shared.measure(&jobs)?;
        let (answer, storing) = Storing::channel();
        let line = &self.shared.lines[tier];
        if jobs.is_empty() {
            let depth = line.counts().depth();
            let _ = answer.send(Ok(Stored { durability: self.durability(tier), depth, known: Vec::new() }));
            return Ok(storing);
        }
        line.inbox.append(Group { jobs, bytes, answer })?;
        Ok(storing)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(self.known_job(key))
    }

    fn tells_known_jobs(&self) -> bool {
        true
    }

    fn key_index(&self) -> KeyIndex {
        self.shared.keys.seen()
    }

    fn outage(&self, _tier: Tier) -> Option<Outage> {
        self.shared.outage()
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        let mut asked = TierMap::from_fn(|tier| {
            let (answer, reading) = oneshot::channel();
            self.shared.lines[tier].inbox.ask(answer).map(|()| reading)
        });
        Box::pin(async move {
            let mut readings = TierMap::from_fn(|_| Err(QueueError::Closed));
            for (tier, asked) in asked.iter_mut() {
                readings[tier] = match asked {
                    Ok(reading) => reading.await.unwrap_or(Err(QueueError::Closed)),
                    Err(error) => Err(error.clone()),
                };
            }
            readings
        })
    }

    fn groups(&self, tier: Tier) -> Vec<GroupBacklog> {
        self.shared.lines[tier].groups()
    }

    fn totals(&self) -> TierMap<Totals> {
        TierMap::from_fn(|tier| self.shared.lines[tier].counts().totals())
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        Ok(())
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let page = self.letters().list(&query, &mut connection).await;
            keep_if_sound(connection, page.is_ok());
            page
        })
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let letter = self.letters().show(id, &mut connection).await;
            keep_if_sound(connection, letter.is_ok());
            letter
        })
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let acted = self.letters().replay(&ids, &mut connection).await;
            keep_if_sound(connection, acted.error.is_none());
            acted.noted(|tier, letters| self.shared.lines[tier].counts().replayed(letters))
        })
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let acted = self.letters().purge(&ids, &mut connection).await;
            keep_if_sound(connection, acted.error.is_none());
            acted.noted(|tier, letters| self.shared.lines[tier].counts().purged(letters))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        for (_, line) in self.shared.each_line() {
            line.inbox.close();
        }
        let mut forwarders = take(&self.forwarders);
        let mut watch = take(&self.watch);
        Box::pin(async move {
            let worked_off = async { while forwarders.join_next().await.is_some() {} };
            let _ = timeout(CLOSING_TIME, worked_off).await;
            forwarders.shutdown().await;
            watch.shutdown().await;
            for (_, line) in self.shared.each_line() {
                line.inbox.abandon();
            }
        })
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueue").field("server", &self.shared.settings.url).finish_non_exhaustive()
    }
}

fn take(tasks: &Mutex<JoinSet<()>>) -> JoinSet<()> {
    std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What was handed over gets this long to be stored when the queue closes.
const CLOSING_TIME: Duration = Duration::from_secs(5);
