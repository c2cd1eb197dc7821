//! Dead letters in Kafka: listed, shown, put back into their queue, deleted.
//!
//! They are records of a compacted topic with the job's id for a key; a tombstone ends one. [`view`] knows which are there,
//! [`reader`] reads one again where it is, [`sender`] sends jobs that live again and tombstones.

mod index;
mod place;
mod reader;
mod sender;
mod view;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::queue::dead_letter::{
    Acted, DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult,
};
use crate::queue::error::QueueError;
use crate::queue::kafka::dead_letters::index::{Found, Spot};
use crate::queue::kafka::dead_letters::reader::Letters;
use crate::queue::kafka::dead_letters::sender::{Sender, delivered};
use crate::queue::kafka::dead_letters::view::{Standing, View};
use crate::queue::kafka::record::write::write_again;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;
use crate::queue::tries::Tries;

/// Asks for dead letters and acts on them.
pub struct DeadLetters {
    settings: KafkaSettings,
    topics: Topics,
    clock: Clock,
    view: Arc<View>,
    sender: Sender,
    /// One operator at a time: two replays of one letter would store its job twice.
    acting: Mutex<()>,
}

impl DeadLetters {
    /// Starts to read the topic, whether or not it is there.
    ///
    /// # Errors
    /// No client can be made of the settings.
    pub fn open(settings: &KafkaSettings, topics: &Topics, clock: Clock) -> Result<DeadLetters, KafkaError> {
        let sender = Sender::open(settings)?;
        let view = View::open(settings, topics, clock)?;
        let (settings, topics) = (settings.clone(), topics.clone());
        Ok(DeadLetters { settings, topics, clock, view, sender, acting: Mutex::new(()) })
    }

    /// A page, oldest first, of one tier or of all.
    ///
    /// # Errors
    /// [`QueueError::BadPage`] where `after` is not the `next` of a page; the topic was not read yet.
    pub async fn list(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, QueueError> {
        self.read_once().await?;
        self.view.index().page(query)
    }

    /// One with its payload.
    ///
    /// # Errors
    /// What is wrong with Kafka, or with the letter.
    pub async fn show(&self, id: JobId) -> Result<Option<DeadLetter>, QueueError> {
        self.read_once().await?;
        let Some(Found { spot, .. }) = self.view.index().find(id) else { return Ok(None) };
        let mut letters = self.read(vec![spot]).await?;
        let damaged =
            |error| QueueError::Unavailable { detail: format!("the dead letter cannot be read: {error}") };
        letters.remove(&spot).transpose().map_err(damaged)
    }

    /// The tier of one, also of one that cannot be read.
    ///
    /// # Errors
    /// The topic was not read yet.
    pub async fn tier(&self, id: JobId) -> Result<Option<Tier>, QueueError> {
        self.read_once().await?;
        Ok(self.view.index().find(id).map(|found| found.tier))
    }

    /// Puts them back into their queues: attempts start again, id, payload and history stay. Past the gate they are by now.
    /// A job is confirmed before its letter goes: what fails in between leaves the letter, and another replay stores the job
    /// a second time under the same id.
    pub async fn replay(&self, ids: &[JobId]) -> Acted<ReplayResult> {
        let _alone = self.acting.lock().await;
        let mut acted = Acted::of(ids.len());
        acted.error = self.replay_each(ids, &mut acted).await.err();
        acted
    }

    /// Deletes them.
    pub async fn purge(&self, ids: &[JobId]) -> Acted<PurgeResult> {
        let _alone = self.acting.lock().await;
        let mut acted = Acted::of(ids.len());
        acted.error = self.purge_each(ids, &mut acted).await.err();
        acted
    }

    /// Letters of a tier; nothing until the topic was read once, or is known to be missing.
    pub fn count(&self, tier: Tier) -> Option<u64> {
        let known = !matches!(*self.view.standing().borrow(), Standing::Unknown(_));
        known.then(|| self.view.index().count(tier))
    }

    /// Waits until the topic was read up to these ends of its partitions, or this long. Whether it was.
    pub async fn caught_up(&self, ends: &[i64], bound: Duration) -> bool {
        let mut standing = self.view.standing();
        if *standing.borrow() == Standing::Missing && ends.iter().any(|end| *end > 0) {
            self.view.look_now();
        }
        let reached = standing.wait_for(|standing| match standing {
            Standing::Read(positions) => ends.iter().zip(positions).all(|(end, read)| read >= end),
            Standing::Missing => ends.iter().all(|end| *end <= 0),
            Standing::Unknown(_) => false,
        });
        matches!(timeout(bound, reached).await, Ok(Ok(_)))
    }

    /// Ends the reading soon.
    pub fn close(&self) {
        self.view.stop();
    }

    /// Waits until the topic was read once, or is known to be missing.
    async fn read_once(&self) -> Result<(), QueueError> {
        let mut standing = self.view.standing();
        let read = standing.wait_for(|standing| !matches!(standing, Standing::Unknown(_)));
        let waited = timeout(self.settings.timeout, read).await.is_ok();
        if waited {
            return Ok(());
        }
        let detail = match &*self.view.standing().borrow() {
            Standing::Unknown(detail) => detail.as_ref().to_owned(),
            _ => return Ok(()),
        };
        Err(QueueError::Unavailable { detail })
    }

    async fn read(&self, spots: Vec<Spot>) -> Result<Letters, QueueError> {
        let (settings, topic, clock) =
            (self.settings.clone(), Arc::clone(&self.topics.dead_letters), self.clock);
        let read = spawn_blocking(move || reader::read(&settings, &topic, spots, clock));
        read.await.unwrap_or(Err(QueueError::Closed))
    }

    async fn replay_each(&self, ids: &[JobId], acted: &mut Acted<ReplayResult>) -> Result<(), QueueError> {
        self.read_once().await?;
        let mut seen = HashSet::new();
        while let Some(rest) = ids.get(acted.results.len()..).filter(|rest| !rest.is_empty()) {
            self.replay_some(rest, &mut seen, acted).await?;
        }
        Ok(())
    }

    async fn purge_each(&self, ids: &[JobId], acted: &mut Acted<PurgeResult>) -> Result<(), QueueError> {
        self.read_once().await?;
        let mut seen = HashSet::new();
        for ids in ids.chunks(AT_ONCE) {
            self.purge_some(ids, &mut seen, acted).await?;
        }
        Ok(())
    }

    async fn replay_some(
        &self,
        ids: &[JobId],
        seen: &mut HashSet<JobId>,
        acted: &mut Acted<ReplayResult>,
    ) -> Result<(), QueueError> {
        let topic = &self.topics.dead_letters;
        let found = self.find_some(ids);
        let spots = found.iter().flatten().map(|found| found.spot).collect();
        let mut letters = self.read(spots).await?;
        let mut sent = Vec::with_capacity(found.len());
        for (id, found) in ids.iter().zip(found) {
            // What is no letter, or cannot be read, or was asked for before, cannot be replayed.
            let spot = found.map(|found| found.spot);
            let letter = spot.and_then(|spot| letters.remove(&spot)?.ok()).filter(|_| seen.insert(*id));
            let delivery = letter.map(|letter| self.send_again(letter)).transpose();
            sent.push(
                delivery.map(|delivery| delivery.zip(spot).map(|(on_its_way, spot)| (*id, spot, on_its_way))),
            );
        }
        let mut buried = Vec::with_capacity(sent.len());
        for sent in sent {
            buried.push(match sent {
                Ok(Some((id, spot, (tier, delivery)))) => {
                    let tombstone = delivered(delivery).await.and_then(|()| self.sender.tombstone(topic, id));
                    tombstone.map(|tombstone| Some((id, tier, spot, tombstone)))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            });
        }
        self.settle(
            buried,
            acted,
            |replayed| if replayed { ReplayResult::Replayed } else { ReplayResult::Unknown },
        )
        .await
    }

    /// The first of these, as many as fit into memory at once, but one at least.
    fn find_some(&self, ids: &[JobId]) -> Vec<Option<Found>> {
        let index = self.view.index();
        let (mut some, mut bytes) = (Vec::new(), 0_u64);
        for id in ids.iter().take(AT_ONCE) {
            let found = index.find(*id);
            bytes = bytes.saturating_add(found.map_or(0, |found| found.size));
            if !some.is_empty() && bytes > BYTES_AT_ONCE {
                break;
            }
            some.push(found);
        }
        some
    }

    /// Hands the job over for its queue.
    fn send_again(&self, letter: DeadLetter) -> Result<(Tier, sender::Delivery), QueueError> {
        let DeadLetter { job, death } = letter;
        let tries = Tries::after(&death);
        let delivery = self.sender.job(&self.topics.jobs[job.tier], write_again(&job, tries))?;
        Ok((job.tier, delivery))
    }

    async fn purge_some(
        &self,
        ids: &[JobId],
        seen: &mut HashSet<JobId>,
        acted: &mut Acted<PurgeResult>,
    ) -> Result<(), QueueError> {
        let topic = &self.topics.dead_letters;
        let mut sent = Vec::with_capacity(ids.len());
        for id in ids {
            let found = self.view.index().find(*id).filter(|_| seen.insert(*id));
            sent.push(match found {
                Some(Found { tier, spot, .. }) => {
                    self.sender.tombstone(topic, *id).map(|sent| Some((*id, tier, spot, sent)))
                }
                None => Ok(None),
            });
        }
        self.settle(sent, acted, |purged| if purged { PurgeResult::Purged } else { PurgeResult::Unknown })
            .await
    }

    /// Waits for tombstones. All are waited for, so that what was done is done whole; the first error is told.
    async fn settle<R>(
        &self,
        tombstones: Vec<Result<Option<Tombstone>, QueueError>>,
        acted: &mut Acted<R>,
        result: impl Fn(bool) -> R,
    ) -> Result<(), QueueError> {
        let mut failed = None;
        for tombstone in tombstones {
            let settled = match tombstone {
                Ok(Some((id, tier, spot, delivery))) => delivered(delivery).await.map(|()| {
                    self.view.index().remove_at(id, spot);
                    acted.tiers[tier] += 1;
                    true
                }),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            match settled {
                Ok(done) if failed.is_none() => acted.results.push(result(done)),
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A tombstone on its way: whose, the tier and place of the letter that it ends.
type Tombstone = (JobId, Tier, Spot, sender::Delivery);

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("topic", &self.topics.dead_letters).finish_non_exhaustive()
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        self.close();
    }
}

/// Dead letters acted on at once.
const AT_ONCE: usize = 200;

/// Bytes of them held at once, about.
const BYTES_AT_ONCE: u64 = 4 << 20;
