//! One tier's way into Kafka: an idempotent producer of its own, so that bulk never stands before critical work.
//!
//! A group of jobs goes into the [`line`]; from there its records go to librdkafka as far as the [`window`] has room, at
//! once where nothing waits. What waits becomes the next batches: no timer does. Delivery reports come back through the
//! [`context`] on the producer's own thread, make room, and answer the groups ([`place`]). What is in the line was surely
//! not sent; what is in the window may be stored until its report says otherwise ([`fate`]). The [`keeper`] watches over
//! all of it on a thread of its own: it probes Kafka, declares and ends outages, makes a failed producer anew, closes.

mod context;
mod fate;
mod frontier;
mod keeper;
mod line;
mod place;
mod presence;
mod probe;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use tokio::sync::watch;

use crate::domain::job::Job;
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::queue::error::StoreError;
use crate::queue::group::Group;
use crate::queue::kafka::client;
use crate::queue::kafka::producer::context::Reports;
use crate::queue::kafka::producer::fate::Fate;
use crate::queue::kafka::producer::frontier::Frontier;
use crate::queue::kafka::producer::line::{Line, Weighed};
use crate::queue::kafka::producer::place::{Place, Settled};
use crate::queue::kafka::producer::presence::{Gate, Presence};
use crate::queue::kafka::producer::window::{Ticket, Window};
use crate::queue::kafka::record::write::{self, Record};
use crate::queue::kafka::shared::Shared;
use crate::queue::{Outage, Stored};

/// One tier's way into Kafka. Dropping it gives up what was not stored yet; [`Lane::close`] stores it first.
pub(super) struct Lane(Arc<Core>);

/// What the callers, the producer's thread and the keeper share.
struct Core {
    shared: Arc<Shared>,
    tier: Tier,
    topic: Arc<str>,
    state: Mutex<State>,
    /// The keeper sleeps here.
    bell: Condvar,
    presence: watch::Sender<Presence>,
    rebuilt: AtomicU64,
    throttle: AtomicU64,
}

/// What is under the one lock. It is held for as long as it takes to hand a few records to librdkafka's memory.
struct State {
    producer: Option<Arc<ThreadedProducer<Reports>>>,
    /// The number of this producer: reports of earlier ones concern nobody.
    number: u64,
    gate: Gate,
    line: Line,
    window: Window,
    frontier: Frontier,
    /// When a connection last failed, as far as librdkafka told.
    trouble: Option<Moment>,
    /// The pause before the last probe of an outage.
    pause: Duration,
    stopping: Option<Stop>,
}

/// How the lane ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// What was handed over is stored first.
    Orderly,
    /// At once.
    Now,
}

impl Lane {
    /// Starts the tier's producer, whether or not Kafka is there.
    ///
    /// # Errors
    /// librdkafka does not take the settings.
    pub(super) fn open(shared: Arc<Shared>, tier: Tier) -> Result<Lane, KafkaError> {
        let core = Arc::new(Core {
            topic: Arc::clone(&shared.topics.jobs[tier]),
            state: Mutex::new(State::default()),
            bell: Condvar::new(),
            presence: watch::Sender::new(Presence::Starting),
            rebuilt: AtomicU64::new(0),
            throttle: AtomicU64::new(0),
            tier,
            shared,
        });
        let lane = Lane(core);
        lane.0.equip()?;
        keeper::start(Arc::clone(&lane.0)).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(lane)
    }

    /// Hands a group over; it is answered when its fate is known. Never blocks. Where Kafka stored some of its jobs and
    /// not others, the answer is [`StoreError::Unknown`].
    ///
    /// # Errors
    /// The group is not taken; nothing was sent.
    pub(super) fn append(&self, group: Group) -> Result<(), StoreError> {
        self.0.append(group)
    }

    /// How many of our records the topic has below these ends, by partition: of one reading, asked for after the last call.
    pub(super) fn stored_below(&self, ends: &[i64]) -> u64 {
        let mut state = self.0.lock();
        let under_way = u64::try_from(state.window.under_way()).unwrap_or(u64::MAX);
        state.frontier.stored_below(ends, under_way)
    }

    /// The outage, while there is one.
    pub(super) fn outage(&self) -> Option<Outage> {
        let state = self.0.lock();
        let Gate::Away(away) = &state.gate else { return None };
        let next_try = away.next_try.since(self.0.shared.clock.now());
        Some(Outage { detail: Arc::clone(&away.detail), next_try })
    }

    /// Waits until Kafka was tried for the first time: whether the topic is there and can be written to, as far as can be
    /// seen without writing.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn reached(&self) -> Result<(), Arc<str>> {
        let mut presence = self.0.presence.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = presence.wait_for(|presence| *presence != Presence::Starting).await;
        self.outage().map_or(Ok(()), |outage| Err(outage.detail))
    }

    /// How often the producer failed for good and was made anew.
    pub(super) fn rebuilt(&self) -> u64 {
        self.0.rebuilt.load(Ordering::Relaxed)
    }

    /// For how long the brokers held answers back of late, at most, since this client goes beyond its quota.
    pub(super) fn throttle(&self) -> Duration {
        Duration::from_millis(self.0.throttle.load(Ordering::Relaxed))
    }

    /// Stores what was handed over, as far as `kafka.timeout` allows; later groups are refused. What is left then is
    /// answered: [`StoreError::Closed`] if it was not sent, else [`StoreError::Unknown`].
    pub(super) async fn close(&self) {
        let mut presence = self.0.presence.subscribe();
        self.0.stop(Stop::Orderly);
        let _ = presence.wait_for(|presence| *presence == Presence::Closed).await;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.stop(Stop::Now);
    }
}

impl Core {
    fn append(&self, group: Group) -> Result<(), StoreError> {
        let Group { jobs, bytes, answer } = group;
        // Refused before the work of writing records, where it is clear.
        self.lock().admit(jobs.len(), bytes)?;
        let records = self.weigh(&jobs)?;
        let place = Place::new(jobs.len(), answer);
        if jobs.is_empty() {
            self.tell(place.settle(0, Fate::Stored));
            return Ok(());
        }
        drop(jobs);
        let mut state = self.lock();
        state.admit(records.len(), bytes)?;
        state.line.push(place, records);
        let settled = self.refill(&mut state);
        drop(state);
        self.tell(settled);
        Ok(())
    }

    /// The records of these jobs.
    fn weigh(&self, jobs: &[Job]) -> Result<Vec<Weighed>, StoreError> {
        let largest = usize::try_from(client::largest_message(&self.shared.settings)).unwrap_or(usize::MAX);
        let weighed = jobs.iter().map(|job| {
            let bytes = write::size(job);
            if bytes > largest {
                return Err(StoreError::TooLarge {
                    detail: format!("Kafka is sent {largest} bytes at most"),
                });
            }
            Ok(Weighed { record: write::write(job, 1), bytes })
        });
        weighed.collect()
    }

    /// Hands records over as long as the window has room; groups that are settled by it.
    fn refill(&self, state: &mut State) -> Vec<Settled> {
        let mut settled = Vec::new();
        if !matches!(state.gate, Gate::Open) {
            return settled;
        }
        if !state.window.takes_burst(state.line.len()) {
            return settled;
        }
        let now = self.shared.clock.now();
        let mut begun = false;
        while let Some(bytes) = state.line.next_bytes()
            && state.window.has_room(bytes, now)
            && let Some(producer) = &state.producer
            && let Some((place, weighed)) = state.line.take()
        {
            if !std::mem::replace(&mut begun, true) {
                state.window.begin_burst();
            }
            let ticket = Ticket { place: Arc::clone(&place), bytes, sent: now };
            let number = state.window.enter(ticket);
            match hand_over(producer, &self.topic, number, weighed) {
                Ok(()) => state.line.step(bytes),
                Err((KafkaError::MessageProduction(code), weighed)) if is_passing(code) => {
                    let _ = state.window.leave(number);
                    state.line.put_back(weighed);
                    if code == RDKafkaErrorCode::Fatal {
                        state.gate = Gate::Held;
                        self.bell.notify_all();
                    }
                    break;
                }
                Err((error, _)) => {
                    let _ = state.window.leave(number);
                    state.line.step(bytes);
                    settled.extend(place.settle(1, Fate::Refused(fate::of_sending(&error))));
                }
            }
        }
        settled
    }

    /// Answers groups; no lock of the lane is held.
    fn tell(&self, settled: impl IntoIterator<Item = Settled>) {
        for settled in settled {
            settled.tell(|| Stored {
                durability: self.shared.durability(self.tier),
                depth: self.shared.counts(self.tier).depth(),
                known: Vec::new(),
            });
        }
    }

    /// Makes a producer, in the place of one that is gone.
    fn equip(self: &Arc<Self>) -> Result<(), KafkaError> {
        let number = self.lock().number;
        let producer = context::producer(Arc::clone(self), number)?;
        self.lock().producer = Some(Arc::new(producer));
        Ok(())
    }

    fn stop(&self, stop: Stop) {
        self.lock().stopping.get_or_insert(stop);
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for State {
    fn default() -> State {
        State {
            producer: None,
            number: 0,
            gate: Gate::Starting,
            line: Line::default(),
            window: Window::default(),
            frontier: Frontier::default(),
            trouble: None,
            pause: Duration::ZERO,
            stopping: None,
        }
    }
}

impl State {
    /// Whether a group of this size is taken.
    fn admit(&self, jobs: usize, bytes: usize) -> Result<(), StoreError> {
        if self.stopping.is_some() {
            return Err(StoreError::Closed);
        }
        if let Gate::Away(away) = &self.gate {
            return Err(fate::unavailable(&away.detail));
        }
        if !self.line.has_room(jobs, bytes) {
            return Err(StoreError::Overloaded);
        }
        Ok(())
    }
}

/// Gives a record to librdkafka, which copies it and answers at once; an error gives it back.
#[expect(clippy::result_large_err, reason = "it holds the record that is given back")]
fn hand_over(
    producer: &ThreadedProducer<Reports>,
    topic: &str,
    number: usize,
    weighed: Weighed,
) -> Result<(), (KafkaError, Weighed)> {
    let Weighed { record: Record { key, payload, headers }, bytes } = weighed;
    let record = BaseRecord {
        topic,
        partition: None,
        payload: Some(payload.as_ref()),
        key: key.as_deref().map(str::as_bytes),
        timestamp: None,
        headers: Some(headers),
        delivery_opaque: number,
    };
    let sent = producer.send::<[u8], [u8]>(record).map_err(|(error, record)| (error, record.headers));
    sent.map_err(|(error, headers)| {
        let headers = headers.unwrap_or_default();
        (error, Weighed { record: Record { key, payload, headers }, bytes })
    })
}

/// Whether librdkafka may take the record later: its memory is full, or the producer is being replaced.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal)
}
