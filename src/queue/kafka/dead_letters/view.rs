//! What the topic of dead letters holds now: a thread reads it from its beginning, and goes on reading.
//!
//! The topic may be missing, then there are no dead letters; it is looked for again every [`LOOK_AGAIN`]. It is read anew when
//! it was deleted and made again, got partitions, or holds letters for which there was no room before. What was known stays
//! in force until what is read anew has caught up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::kafka::client;
use crate::queue::kafka::dead_letters::index::{Index, Spot, damaged, summary};
use crate::queue::kafka::record::read::{Unreadable, dead_id, read, read_dead, written_at};
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;

/// What is known of the topic, kept by a thread of its own.
#[derive(Debug)]
pub(super) struct View {
    settings: KafkaSettings,
    topic: Arc<str>,
    clock: Clock,
    index: Mutex<Index>,
    standing: watch::Sender<Standing>,
    /// Somebody knows that the topic is there.
    wanted: AtomicBool,
    stopped: AtomicBool,
}

/// How far the thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known yet, and why.
    Unknown(Arc<str>),
    /// There is no such topic.
    Missing,
    /// Every partition was read up to here.
    Read(Vec<i64>),
}

impl View {
    /// Starts to read.
    ///
    /// # Errors
    /// No client can be made of the settings, or no thread.
    pub(super) fn open(
        settings: &KafkaSettings,
        topics: &Topics,
        clock: Clock,
    ) -> Result<Arc<View>, KafkaError> {
        let consumer = consumer(settings)?;
        let (standing, _) = watch::channel(Standing::Unknown(STARTING.into()));
        let view = View {
            settings: settings.clone(),
            topic: Arc::clone(&topics.dead_letters),
            clock,
            index: Mutex::new(Index::new()),
            standing,
            wanted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        let view = Arc::new(view);
        let own = Arc::clone(&view);
        let spawned =
            thread::Builder::new().name("dead-letters".to_owned()).spawn(move || own.run(&consumer));
        spawned.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(view)
    }

    /// The index; never held across an await.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the thread is, to be waited for.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The topic is there: it need not be waited for until it is looked for again.
    pub(super) fn look_now(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// The thread ends soon.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn run(&self, consumer: &BaseConsumer) {
        let mut missed = 0;
        while !self.is_stopped() {
            match Reading::open(self, consumer) {
                Ok(Some(mut reading)) => {
                    missed = 0;
                    reading.run();
                }
                // A broker that has just started may not know its topics yet.
                Ok(None) if missed < MISSES && matches!(*self.standing.borrow(), Standing::Read(_)) => {
                    missed += 1;
                    self.pause(consumer, TRY_AGAIN);
                }
                Ok(None) => {
                    *self.index() = Index::new();
                    self.standing.send_replace(Standing::Missing);
                    self.pause(consumer, LOOK_AGAIN);
                }
                Err(error) => {
                    let detail = client::said(&self.settings, &error);
                    // What is known stays known.
                    self.standing.send_if_modified(|standing| match standing {
                        Standing::Unknown(before) => {
                            *before = detail.into();
                            true
                        }
                        _ => false,
                    });
                    self.pause(consumer, TRY_AGAIN);
                }
            }
        }
    }

    /// Waits, and lets the client work off what it has to say.
    fn pause(&self, consumer: &BaseConsumer, pause: Duration) {
        let started = self.clock.now();
        while !self.is_stopped() && self.clock.now().since(started) < pause {
            let _ = consumer.poll(STEP);
            if self.wanted.swap(false, Ordering::AcqRel) {
                break;
            }
        }
    }
}

/// One reading of the topic from its beginning.
struct Reading<'a> {
    view: &'a View,
    consumer: &'a BaseConsumer,
    /// The next offset of each partition.
    positions: Vec<i64>,
    /// The ends when it began.
    goal: Vec<i64>,
    /// Partitions whose end was seen since their last record.
    at_end: Vec<bool>,
    /// What was read, until it has caught up and takes the place of what was known.
    anew: Option<Index>,
    /// There was no room for a letter, and it was said.
    full: bool,
    over: bool,
}

impl<'a> Reading<'a> {
    /// Begins; nothing where there is no such topic.
    fn open(view: &'a View, consumer: &'a BaseConsumer) -> Result<Option<Reading<'a>>, KafkaError> {
        let topic = &*view.topic;
        let Some(goal) = ends(view, consumer)? else { return Ok(None) };
        let mut places = TopicPartitionList::new();
        for (partition, _) in (0..).zip(&goal) {
            places.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&places)?;
        let (positions, at_end) = (vec![0; goal.len()], vec![false; goal.len()]);
        Ok(Some(Reading {
            view,
            consumer,
            positions,
            goal,
            at_end,
            anew: Some(Index::new()),
            full: false,
            over: false,
        }))
    }

    fn run(&mut self) {
        let mut looked_at = self.view.clock.now();
        while !self.over && !self.view.is_stopped() {
            let mut wait = STEP;
            for _ in 0..BATCH {
                let Some(event) = self.consumer.poll(wait) else { break };
                self.take(event);
                wait = Duration::ZERO;
            }
            self.publish();
            let now = self.view.clock.now();
            if now.since(looked_at) >= LOOK_AGAIN {
                looked_at = now;
                self.look_again();
            }
        }
        let _ = self.consumer.unassign();
    }

    fn take(&mut self, event: Result<BorrowedMessage<'_>, KafkaError>) {
        match event {
            Ok(message) => {
                self.record(&message);
                let partition = usize::try_from(message.partition()).unwrap_or(usize::MAX);
                if let Some(position) = self.positions.get_mut(partition) {
                    *position = message.offset().saturating_add(1);
                }
                if let Some(at_end) = self.at_end.get_mut(partition) {
                    *at_end = false;
                }
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                let partition = usize::try_from(partition).unwrap_or(usize::MAX);
                if let Some(at_end) = self.at_end.get_mut(partition) {
                    *at_end = true;
                }
            }
            Err(error) => {
                use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
                let code = error.rdkafka_error_code();
                // Anything else the client gets over by itself.
                self.over |= matches!(code, Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition));
            }
        }
    }

    /// A letter, or the tombstone of one. What has no id for a key is neither.
    fn record(&mut self, message: &BorrowedMessage<'_>) {
        let Some(id) = dead_id(message) else { return };
        let mut known = self.view.index();
        let index = self.anew.as_mut().unwrap_or(&mut known);
        let Some(payload) = message.payload() else {
            index.remove(id);
            return;
        };
        let letter = match read_dead(message) {
            Ok(letter) if letter.job.id == id => summary(&letter),
            Ok(letter) => {
                let why = Unreadable::Wrong { name: "id", wanted: "the record's key" };
                damaged(id, letter.job.tier, letter.death.died_at, payload.len(), &why.to_string())
            }
            Err(why) => {
                // Whose tier cannot be told either counts as the least.
                let tier = read(message).map_or(Tier::P2, |(job, _)| job.tier);
                let died_at = written_at(message).unwrap_or(Timestamp::from_millis(0));
                damaged(id, tier, died_at, payload.len(), &why.to_string())
            }
        };
        let spot = Spot { partition: message.partition(), offset: message.offset() };
        if !index.insert(letter, spot) && !self.full {
            self.full = true;
            warn!("there are more dead letters than can be counted: replay or purge some");
        }
    }

    /// Tells how far it is; what was read anew takes its place once it has caught up.
    fn publish(&mut self) {
        if self.anew.is_some()
            && self.has_caught_up()
            && let Some(index) = self.anew.take()
        {
            let letters: u64 = Tier::ALL.into_iter().map(|tier| index.count(tier)).sum();
            *self.view.index() = index;
            info!(letters, "the dead letters were read");
        }
        if self.anew.is_none() {
            self.view.standing.send_if_modified(|standing| {
                let changed = !matches!(standing, Standing::Read(positions) if *positions == self.positions);
                if changed {
                    *standing = Standing::Read(self.positions.clone());
                }
                changed
            });
        }
    }

    fn has_caught_up(&self) -> bool {
        let partitions = self.positions.iter().zip(&self.goal).zip(&self.at_end);
        partitions.into_iter().all(|((position, goal), at_end)| *at_end || position >= goal)
    }

    /// Whether the topic is still the one that is read.
    fn look_again(&mut self) {
        // Not now is not never.
        let Ok(ends) = ends(self.view, self.consumer) else { return };
        let is_other = ends.as_ref().is_none_or(|ends| {
            ends.len() != self.positions.len()
                || ends.iter().zip(&self.positions).any(|(end, read)| end < read)
        });
        self.over |= is_other || (self.anew.is_none() && self.view.index().has_room_for_others());
        for ((end, position), at_end) in ends.iter().flatten().zip(&mut self.positions).zip(&self.at_end) {
            // The last records may be none that anybody is shown: markers of transactions.
            if *at_end {
                *position = (*position).max(*end);
            }
        }
    }
}

/// The end of each partition; nothing where there is no such topic.
fn ends(view: &View, consumer: &BaseConsumer) -> Result<Option<Vec<i64>>, KafkaError> {
    let (topic, timeout) = (&*view.topic, view.settings.timeout);
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    if let Some(error) = found.error() {
        let code = RDKafkaErrorCode::from(error);
        let missing = [RDKafkaErrorCode::UnknownTopic, RDKafkaErrorCode::UnknownTopicOrPartition];
        return if missing.contains(&code) { Ok(None) } else { Err(KafkaError::MetadataFetch(code)) };
    }
    let partitions = 0..i32::try_from(found.partitions().len()).unwrap_or(0);
    let end = |partition| consumer.fetch_watermarks(topic, partition, timeout).map(|(_, end)| end);
    partitions.map(end).collect::<Result<Vec<_>, _>>().map(Some)
}

fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer, KafkaError> {
    let group = settings.groups.first().map_or("", String::as_str);
    let mut config = client::consumer(settings, group);
    config
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384");
    config.create()
}

const STARTING: &str = "the dead letters are still being read";

/// The topic is looked for, and at, this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A topic that was there is taken for deleted when it was missing this often in a row.
const MISSES: u32 = 3;

/// Tried again after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Polled for this long at once: how soon a stop is noticed.
const STEP: Duration = Duration::from_millis(100);

/// Records after which it is told how far the reading is.
const BATCH: usize = 1000;
