//! What changes seldom and may take long to ask, on a thread beside the readings: the members of groups, how long topics
//! keep records, whether transactions write to them.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use tokio::runtime::Runtime;
use tracing::{debug, warn};

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::queue::group_watch::Membership;
use crate::queue::kafka::shared::Shared;
use crate::queue::kafka::signals::ask::{self, At, Place};

/// What was found, for the readings; and their ends, for what is looked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of each group.
    pub members: Vec<Option<Membership>>,
    /// How long the topics of jobs and of retries keep a record; `None`: for ever, or not known.
    pub limits: TierMap<[Option<Duration>; 2]>,
    /// Whether the topic of jobs is compacted.
    pub compacted: TierMap<bool>,
    /// Whether transactions were seen to write to the topic of jobs.
    pub transactional: TierMap<bool>,
    /// The ends of the topic of jobs, by partition, as of the last reading.
    pub ends: TierMap<Vec<i64>>,
}

/// What readings and this thread share.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<Found>>);

impl Board {
    /// What was found. Never held for long.
    pub(super) fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks aside until the readings end.
pub(super) struct Aside {
    pub shared: Arc<Shared>,
    /// Reads what transactions have committed, and no more.
    pub client: BaseConsumer,
    pub admin: AdminClient<DefaultClientContext>,
    pub runtime: Runtime,
    pub board: Board,
    pub sized: TierMap<bool>,
}

impl Aside {
    /// Looks at once, and then every few seconds.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        let mut configured: Option<Moment> = None;
        let mut ended: Option<Moment> = None;
        loop {
            let now = self.shared.clock.now();
            let due = |last: Option<Moment>, every| last.is_none_or(|last| now.since(last) >= every);
            self.look_at_members();
            if due(configured, CONFIG_EVERY) && self.look_at_configs() {
                configured = Some(now);
            }
            if due(ended, ENDS_EVERY) {
                self.look_for_transactions();
                ended = Some(now);
            }
            for _ in 0..MOST_EVENTS {
                if self.client.poll(Duration::ZERO).is_none() {
                    break;
                }
            }
            let wait = if configured.is_some() { MEMBERS_EVERY } else { FIRST_EVERY };
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn look_at_members(&self) {
        let groups = &self.shared.settings.groups;
        let members = groups.iter().map(|group| {
            ask::members(&self.client, group, BOUND).unwrap_or_else(|error| {
                debug!(group, %error, "the members of a group cannot be told");
                None
            })
        });
        let members = members.collect();
        self.board.found().members = members;
    }

    /// Whether the topics' settings could be read.
    fn look_at_configs(&mut self) -> bool {
        let topics = &self.shared.topics;
        let names: Vec<_> =
            topics.jobs.iter().chain(topics.retry.iter()).map(|(_, name)| Arc::clone(name)).collect();
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(BOUND));
        let answer = self.runtime.block_on(self.admin.describe_configs(&asked, &options));
        let configs: Vec<ConfigResource> = match answer {
            Ok(configs) => configs.into_iter().flatten().collect(),
            Err(error) => {
                debug!(%error, "the settings of topics cannot be read");
                return false;
            }
        };
        let of = |name: &str| {
            configs.iter().find(
                |config| matches!(&config.specifier, OwnedResourceSpecifier::Topic(topic) if topic == name),
            )
        };
        let mut known = true;
        for tier in Tier::ALL {
            let (jobs, retry) = (of(&topics.jobs[tier]), of(&topics.retry[tier]));
            known &= jobs.is_some_and(|jobs| !jobs.entries.is_empty());
            let mut found = self.board.found();
            found.limits[tier] = [jobs, retry].map(|config| config.and_then(limit));
            found.compacted[tier] = jobs.is_some_and(is_compacted);
            drop(found);
            let sized = jobs.is_some_and(|jobs| {
                number(jobs, "retention.bytes").is_some_and(|bytes| bytes >= 0) && deletes(jobs)
            });
            if sized && !std::mem::replace(&mut self.sized[tier], sized) {
                warn!(%tier, topic = &*topics.jobs[tier], "retention.bytes is set: what it deletes unread is counted, but not seen coming");
            }
        }
        known
    }

    /// Records that are there and not readable by those that read what was committed: a transaction is open.
    fn look_for_transactions(&self) {
        let ends = self.board.found().ends.clone();
        for (tier, ends) in ends.iter() {
            let topic = &self.shared.topics.jobs[tier];
            let places: Vec<_> =
                (0..).zip(ends).map(|(partition, _)| Place { topic: Arc::clone(topic), partition }).collect();
            if places.is_empty() || self.board.found().transactional[tier] {
                continue;
            }
            // Asked after the readings' ends, so that it is below them only where a transaction holds it back.
            let Ok(stable) = ask::offsets(&self.client, &places, At::End, BOUND) else { continue };
            let held_back = |(stable, end): (&Result<Option<i64>, _>, &i64)| matches!(stable, Ok(Some(stable)) if stable < end);
            if stable.iter().zip(ends).any(held_back) {
                warn!(%tier, topic = &**topic, "transactions write to the topic: its backlog is an estimate");
                self.board.found().transactional[tier] = true;
            }
        }
    }
}

/// How long a topic keeps a record.
fn limit(config: &ConfigResource) -> Option<Duration> {
    let millis = number(config, "retention.ms").filter(|_| deletes(config))?;
    u64::try_from(millis).ok().map(Duration::from_millis)
}

fn deletes(config: &ConfigResource) -> bool {
    policy(config).contains("delete")
}

fn is_compacted(config: &ConfigResource) -> bool {
    policy(config).contains("compact")
}

fn policy(config: &ConfigResource) -> &str {
    config.get("cleanup.policy").and_then(|entry| entry.value.as_deref()).unwrap_or_default()
}

fn number(config: &ConfigResource, name: &str) -> Option<i64> {
    config.get(name)?.value.as_deref()?.parse().ok()
}

/// How often the members of groups are asked for.
const MEMBERS_EVERY: Duration = Duration::from_secs(3);

/// As long as the topics' settings are not known.
const FIRST_EVERY: Duration = Duration::from_secs(1);

/// How often transactions are looked for.
const ENDS_EVERY: Duration = Duration::from_secs(10);

/// How often the topics' settings are read.
const CONFIG_EVERY: Duration = Duration::from_secs(60);

/// The longest wait for one answer.
const BOUND: Duration = Duration::from_secs(5);

/// Events of the client looked at in one go.
const MOST_EVENTS: usize = 100;
