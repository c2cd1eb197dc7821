//! What the topics give, looked at on start and again and again: whether they are there, how well they keep what they are given,
//! whether the largest job fits.

mod asker;
mod given;
pub mod init;
mod topic_fault;

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::KafkaError;
use tracing::{info, warn};

use crate::domain::tier::{Tier, TierMap};
use crate::policy::Requirement;
use crate::queue::Durability;
use crate::queue::kafka::checks::asker::Asker;
pub use crate::queue::kafka::checks::asker::Unreachable;
pub use crate::queue::kafka::checks::given::Given;
use crate::queue::kafka::checks::given::Words;
pub use crate::queue::kafka::checks::topic_fault::TopicFault;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;

/// Looks at the topics. A change is logged.
#[derive(Debug)]
pub struct Checks {
    asker: Asker,
    topics: Topics,
    words: Words,
    told: Mutex<Told>,
}

/// What was seen of all topics at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Of the topics that workers read.
    pub jobs: TierMap<Result<Given, TopicFault>>,
    /// Of the topics of retries; a missing one is a fault that harms nobody yet.
    pub retry: TierMap<Result<Given, TopicFault>>,
    /// Of the topic of dead letters; the same.
    pub dead_letters: Result<Given, TopicFault>,
}

/// What was said in the log before.
#[derive(Debug, Default)]
struct Told {
    jobs: TierMap<Option<Result<Given, TopicFault>>>,
    dead_letters: Option<Option<TopicFault>>,
}

impl Checks {
    /// Nothing was looked at yet.
    ///
    /// # Errors
    /// No client can be made of the settings.
    pub fn open(settings: &KafkaSettings, topics: &Topics) -> Result<Checks, KafkaError> {
        Ok(Checks {
            asker: Asker::open(settings)?,
            topics: topics.clone(),
            words: Words::of(settings),
            told: Mutex::default(),
        })
    }

    /// Looks at all topics; within twice `kafka.timeout`.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn look(&self) -> Result<Look, Unreachable> {
        let names = self.topics.all();
        let mut found = self.asker.topics(&names).await?.into_iter();
        let mut next = || {
            let found =
                found.next().unwrap_or_else(|| Err(TopicFault::Unclear { detail: "no answer".into() }));
            found.and_then(|given| self.judged(given))
        };
        let jobs = TierMap::from_fn(|_| next());
        let retry = TierMap::from_fn(|_| next());
        let dead_letters =
            next().and_then(|given| if given.compacts { Ok(given) } else { Err(self.kept_twice(given)) });
        let look = Look { jobs, retry, dead_letters };
        self.tell(&look);
        Ok(look)
    }

    /// What to do so that a tier's topic gives what the tier requires; `None` where it does. A command where one does it.
    pub fn fix(&self, given: &Given, required: Requirement) -> Option<String> {
        given.fix(required, &self.words)
    }

    /// A topic that would take jobs and lose them, or not take the largest, is as good as none.
    fn judged(&self, given: Given) -> Result<Given, TopicFault> {
        if *given.topic == *self.topics.dead_letters {
            return given.checked_size(&self.words);
        }
        given.checked_size(&self.words)?.checked_cleaning(&self.words)?.checked_replicas(&self.words)
    }

    fn kept_twice(&self, given: Given) -> TopicFault {
        TopicFault::NotCompacted {
            fix: self.words.alter(&given.topic, "cleanup.policy=compact"),
            topic: given.topic,
        }
    }

    fn tell(&self, look: &Look) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for tier in Tier::ALL {
            let now = &look.jobs[tier];
            if told.jobs[tier].as_ref() != Some(now) {
                tell_of_jobs(tier, told.jobs[tier].as_ref(), now);
                told.jobs[tier] = Some(now.clone());
            }
        }
        let fault = look.dead_letters.as_ref().err().cloned();
        if told.dead_letters.as_ref() != Some(&fault) {
            if let Some(fault) = &fault {
                info!("no dead letters can be kept: {fault}");
            }
            told.dead_letters = Some(fault);
        }
    }
}

impl Topics {
    /// Those of jobs, then those of retries, each most important first, then that of dead letters.
    fn all(&self) -> Vec<Arc<str>> {
        let jobs = self.jobs.iter().map(|(_, topic)| topic);
        let retry = self.retry.iter().map(|(_, topic)| topic);
        jobs.chain(retry).chain([&self.dead_letters]).cloned().collect()
    }
}

fn tell_of_jobs(tier: Tier, before: Option<&Result<Given, TopicFault>>, now: &Result<Given, TopicFault>) {
    let given = match now {
        Ok(given) => given,
        Err(fault) => return warn!(%tier, "the topic cannot take jobs: {fault}"),
    };
    let durability = given.durability();
    let (topic, partitions, replicas) = (&*given.topic, given.partitions, given.replicas);
    let (min_insync, retention) = (given.min_insync, given.kept());
    let better =
        |before: &Given| before.durability() != Durability::Memory && durability == Durability::Memory;
    if before.is_some_and(|before| before.as_ref().is_ok_and(better)) {
        warn!(%tier, topic, "Kafka keeps jobs in memory from now on: {}", given.shortfall());
    }
    info!(%tier, topic, partitions, replicas, min_insync, retention, durability = durability.as_str(), "what Kafka gives");
    if given.hidden {
        warn!(%tier, topic, "this user may not read the topic's settings (DESCRIBE_CONFIGS): nothing better than memory can be promised");
    } else if given.in_sync < given.min_insync {
        let in_sync = given.in_sync;
        warn!(%tier, topic, in_sync, min_insync, "too few replicas are in sync: Kafka takes no jobs until they are");
    }
}
