//! Kafka: accepted jobs in topics that workers read in consumer groups.
//!
//! A call's jobs take the [`passage`]: straight into their tier's [`producer`] lane, or first into the [`ledger`] where a job
//! has an idempotency key. A [`signals`] observer reads what the groups have not read, [`checks`] say how durably topics
//! keep jobs, [`dead_letters`] shows the compacted topic of jobs that were given up. `docs/KAFKA.md` says what is promised.

pub mod checks;
pub mod client;
pub mod dead_letters;
mod ledger;
mod passage;
mod producer;
pub mod properties;
pub mod record;
pub mod settings;
mod shared;
pub mod signals;
pub mod topics;
mod upkeep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::totals::Totals;
use crate::policy::Requirement;
use crate::queue::counts::Gone;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::file::OpenError;
use crate::queue::kafka::checks::{Checks, Given, Look, Unreachable};
use crate::queue::kafka::dead_letters::DeadLetters;
use crate::queue::kafka::ledger::Ledger;
use crate::queue::kafka::passage::Passage;
use crate::queue::kafka::producer::Lane;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::shared::Shared;
use crate::queue::kafka::signals::{Observer, Sight};
use crate::queue::kafka::topics::Topics;
use crate::queue::keys::KnownJob;
use crate::queue::redis::BadAddress;
use crate::queue::topic::TopicState;
use crate::queue::under_way::UnderWay;
use crate::queue::{BoxFuture, Durability, GroupBacklog, JobQueue, Outage, Storing};

/// Queues in topics of a Kafka. Dropping it gives up what was not stored yet; [`JobQueue::close`] stores it first.
pub struct KafkaQueue {
    shared: Arc<Shared>,
    passage: Arc<Passage>,
    observer: Observer,
    checks: Arc<Checks>,
    letters: DeadLetters,
    /// What the last reading saw beside the backlog.
    seen: Mutex<TierMap<Seen>>,
    watch: Mutex<JoinSet<()>>,
}

/// What a reading saw of a tier beside its backlog.
#[derive(Clone, Debug, Default)]
struct Seen {
    groups: Vec<GroupBacklog>,
    topic: Option<TopicState>,
}

/// Why a queue in Kafka cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KafkaOpenError {
    /// The file of idempotency keys.
    #[error("the file of idempotency keys cannot be opened")]
    Keys(#[from] OpenError),
    /// The address of the Redis in which gateways share.
    #[error("share.redis_url cannot be used")]
    MeetingPoint(#[from] BadAddress),
    /// librdkafka does not take the settings.
    #[error("librdkafka does not take the settings: {0}")]
    Client(String),
}

impl KafkaQueue {
    /// Starts to send to the topics of these queues, whether or not Kafka is there. To be called within a runtime.
    ///
    /// # Errors
    /// The file of keys cannot be opened, or librdkafka does not take the settings.
    pub fn open(
        settings: &KafkaSettings,
        queues: &TierMap<String>,
        clock: Clock,
    ) -> Result<KafkaQueue, KafkaOpenError> {
        let topics = Topics::of(queues);
        let ledger = open_ledger(settings, &topics, clock)?;
        let shared = Shared::new(settings.clone(), topics, clock);
        let refused = |error: KafkaError| KafkaOpenError::Client(client::said(settings, &error));
        let checks = Arc::new(Checks::open(settings, &shared.topics).map_err(refused)?);
        let observer = Observer::open(&shared).map_err(refused)?;
        let letters = DeadLetters::open(settings, &shared.topics, clock).map_err(refused)?;
        let lanes = TierMap::try_from_fn(|tier| Lane::open(Arc::clone(&shared), tier)).map_err(refused)?;
        let passage = Arc::new(Passage {
            lanes,
            shared: Arc::clone(&shared),
            ledger,
            under_way: UnderWay::default(),
            runtime: Handle::current(),
        });
        let mut watch = JoinSet::new();
        watch.spawn(upkeep::watch(Arc::clone(&passage), Arc::clone(&checks)));
        Ok(KafkaQueue {
            shared,
            passage,
            observer,
            checks,
            letters,
            seen: Mutex::default(),
            watch: Mutex::new(watch),
        })
    }

    /// Looks at the topics: what each gives, or what is wrong with it.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn look(&self) -> Result<Look, Unreachable> {
        let look = self.checks.look().await?;
        upkeep::note(&self.passage, &look);
        Ok(look)
    }

    /// What to do so that a topic gives what a tier requires; `None` where it does.
    pub fn fix(&self, given: &Given, required: Requirement) -> Option<String> {
        self.checks.fix(given, required)
    }

    /// Waits until Kafka was tried for the first time: whether it is there and every topic could be read.
    ///
    /// # Errors
    /// Why not.
    pub async fn reached(&self) -> Result<(), Arc<str>> {
        for (_, lane) in self.passage.lanes.iter() {
            lane.reached().await?;
        }
        let end = self.shared.clock.now().plus(self.shared.settings.timeout);
        loop {
            let readings = self.backlog().await;
            let failed = readings.iter().find_map(|(tier, reading)| Some((tier, reading.as_ref().err()?)));
            let Some((tier, error)) = failed else { return Ok(()) };
            if self.shared.clock.now() >= end {
                return Err(format!("the backlog of {tier} cannot be read: {error}").into());
            }
            // A new cluster makes its topic of commits at the first question.
            sleep(ASK_AGAIN).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, TierMap<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a look means, with what this gateway knows of the same instant.
    fn read(&self, tier: Tier, sight: Sight) -> Reading {
        let stored = self.passage.lanes[tier].stored_below(&sight.ends);
        let gone = Gone { dead: self.letters.count(tier), lost: sight.lost };
        let flows = self.shared.counts(tier).read_as_of(&sight.backlog, gone, stored);
        let lane = &self.passage.lanes[tier];
        let (throttle, producers_rebuilt) = (lane.throttle(), lane.rebuilt());
        let topic = TopicState { throttle, producers_rebuilt, ..sight.topic };
        self.seen()[tier] = Seen { groups: sight.groups, topic: Some(topic) };
        Reading { backlog: sight.backlog, flows, taken: sight.taken }
    }
}

impl JobQueue for KafkaQueue {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn workers_way_in(&self) -> &'static str {
        "workers read the topics of Kafka in a consumer group"
    }

    fn durability(&self, tier: Tier) -> Durability {
        self.shared.durability(tier)
    }

    fn enqueue(&self, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        self.passage.take_in(tier, jobs)
    }

    fn job_of_key(&self, key: Key) -> BoxFuture<'_, Result<Option<KnownJob>, QueueError>> {
        Box::pin(async move { Ok(self.passage.ledger.find(key).await) })
    }

    fn tells_known_jobs(&self) -> bool {
        self.passage.ledger.is_shared()
    }

    fn key_index(&self) -> KeyIndex {
        self.passage.ledger.index()
    }

    fn outage(&self, tier: Tier) -> Option<Outage> {
        self.passage.lanes[tier].outage()
    }

    fn backlog(&self) -> BoxFuture<'_, TierMap<Result<Reading, QueueError>>> {
        Box::pin(async {
            let mut looks = self.observer.look().await;
            let dead_end = looks.iter().find_map(|(_, look)| look.as_ref().ok()?.dead_end.clone());
            if let Some(end) = dead_end {
                self.letters.caught_up(&end, CATCHING_UP).await;
            }
            let mut readings = TierMap::from_fn(|_| Err(QueueError::Closed));
            for (tier, look) in looks.iter_mut() {
                let look = std::mem::replace(look, Err(QueueError::Closed));
                readings[tier] = look.map(|sight| self.read(tier, sight));
            }
            readings
        })
    }

    fn groups(&self, tier: Tier) -> Vec<GroupBacklog> {
        self.seen()[tier].groups.clone()
    }

    fn topic(&self, tier: Tier) -> Option<TopicState> {
        self.seen()[tier].topic
    }

    fn totals(&self) -> TierMap<Totals> {
        TierMap::from_fn(|tier| self.shared.counts(tier).totals())
    }

    fn check_own_disk(&self) -> Result<(), QueueError> {
        self.passage.ledger.fault().map_or(Ok(()), |detail| Err(QueueError::Unavailable { detail }))
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<DeadLetterPage, QueueError>> {
        Box::pin(async move { self.letters.list(&query).await })
    }

    fn dead_letter(&self, id: JobId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(self.letters.show(id))
    }

    fn dead_letter_tier(&self, id: JobId) -> BoxFuture<'_, Result<Option<Tier>, QueueError>> {
        Box::pin(self.letters.tier(id))
    }

    fn replay(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<ReplayResult>, QueueError>> {
        Box::pin(async move {
            let acted = self.letters.replay(&ids).await;
            acted.noted(|tier, letters| self.shared.counts(tier).replayed(letters))
        })
    }

    fn purge(&self, ids: Vec<JobId>) -> BoxFuture<'_, Result<Vec<PurgeResult>, QueueError>> {
        Box::pin(async move {
            let acted = self.letters.purge(&ids).await;
            acted.noted(|tier, letters| self.shared.counts(tier).purged(letters))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let mut watch = std::mem::take(&mut *self.watch.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            watch.shutdown().await;
            let lanes = &self.passage.lanes;
            tokio::join!(lanes[Tier::P0].close(), lanes[Tier::P1].close(), lanes[Tier::P2].close());
            self.passage.under_way.all_done().await;
            self.passage.ledger.close().await;
            self.letters.close();
        })
    }
}

impl fmt::Debug for KafkaQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueue").field("brokers", &self.shared.settings.brokers).finish_non_exhaustive()
    }
}

/// The ledger, shared with other gateways where they share.
fn open_ledger(settings: &KafkaSettings, topics: &Topics, clock: Clock) -> Result<Ledger, KafkaOpenError> {
    let ledger = Ledger::open(&settings.keys_path, settings.keys, clock)?;
    let Some(meeting_point) = &settings.meeting_point else { return Ok(ledger) };
    let names: Vec<&str> = topics.jobs.iter().map(|(_, topic)| &**topic).collect();
    // Whoever has a job under way knows its fate within the timeout; twice that, and it is gone.
    Ok(ledger.shared_at(meeting_point, &names.join("+"), settings.keys, 2 * settings.timeout)?)
}

/// Dead letters are read a moment after they were written; a reading waits no longer for them.
const CATCHING_UP: Duration = Duration::from_millis(100);

/// At the start a backlog that cannot be read is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(100);
