//! Keeps a lane: probes Kafka, sees that reports come, makes a failed producer anew, closes.

use std::io;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rdkafka::producer::{Producer, ThreadedProducer};
use tracing::warn;

use crate::domain::time::Moment;
use crate::queue::error::StoreError;
use crate::queue::kafka::producer::context::Reports;
use crate::queue::kafka::producer::fate::{self, Fate};
use crate::queue::kafka::producer::presence::{Gate, Presence};
use crate::queue::kafka::producer::probe::{Missed, probe};
use crate::queue::kafka::producer::window::Window;
use crate::queue::kafka::producer::{Core, Stop};

/// Starts the thread that keeps a lane until it is stopped.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start(core: Arc<Core>) -> io::Result<()> {
    let name = format!("kafka-{}", core.tier);
    let keeper = Keeper { next_look: core.shared.clock.now(), core };
    thread::Builder::new().name(name).spawn(move || keeper.run()).map(drop)
}

struct Keeper {
    core: Arc<Core>,
    /// When a Kafka that is there is looked at again.
    next_look: Moment,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Duty {
    Wait(Duration),
    Probe,
    /// Kafka is there, but its reports do not come.
    Late,
    Rebuild,
    Close(Stop),
}

impl Keeper {
    fn run(mut self) {
        loop {
            match self.duty() {
                Duty::Wait(pause) => self.sleep(pause),
                Duty::Probe => self.look(),
                Duty::Late => self.core.hold(),
                Duty::Rebuild => self.rebuild(),
                Duty::Close(stop) => return self.close(stop),
            }
        }
    }

    fn duty(&self) -> Duty {
        let now = self.core.shared.clock.now();
        let state = self.core.lock();
        let until = |moment: Moment| moment.since(now);
        if let Some(stop) = state.stopping {
            return Duty::Close(stop);
        }
        match &state.gate {
            Gate::Away(away) if now < away.next_try => Duty::Wait(until(away.next_try)),
            _ if !state.producer.as_ref().is_some_and(is_sound) => Duty::Rebuild,
            Gate::Starting | Gate::Held | Gate::Away(_) => Duty::Probe,
            Gate::Open if self.is_late(&state.window, now) => Duty::Late,
            Gate::Open if now < self.next_look => Duty::Wait(until(self.next_look).min(STEP)),
            Gate::Open => Duty::Probe,
        }
    }

    /// Whether reports are missing: none came for a while, or some do not come at all.
    fn is_late(&self, window: &Window, now: Moment) -> bool {
        window.silence(now) >= self.patience() || window.longest(now) >= self.patience() * 2
    }

    /// How long nothing may come.
    fn patience(&self) -> Duration {
        (self.core.shared.settings.timeout * 2 / 5).min(LONGEST_SILENCE)
    }

    fn sleep(&self, pause: Duration) {
        let state = self.core.lock();
        if state.stopping.is_none() {
            let woken = self.core.bell.wait_timeout(state, pause.max(SHORTEST_WAIT));
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Looks for the topic, and says what follows from it.
    fn look(&mut self) {
        let began = self.core.shared.clock.now();
        let seen = self.probe();
        let now = self.core.shared.clock.now();
        self.next_look = now.plus(LOOK_EVERY);
        let (reports, late) = {
            let state = self.core.lock();
            let away = matches!(state.gate, Gate::Away(_));
            let overdue = away && state.window.longest(now) >= self.patience();
            (state.window.reported_since(began), overdue || self.is_late(&state.window, now))
        };
        match seen {
            // Reports say more than a broker that hangs.
            Err(Missed::Answer(_)) if reports => {}
            Err(missed) => {
                if missed == Missed::Topic {
                    self.core.lock().frontier.forget();
                }
                self.core.declare(&missed.detail(&self.core.topic));
            }
            // It answers, but what it was sent before is still open.
            Ok(()) if late => self.core.declare(LATE_DETAIL),
            Ok(()) => self.core.restore(),
        }
    }

    fn probe(&self) -> Result<(), Missed> {
        let (producer, first) = {
            let state = self.core.lock();
            (state.producer.clone(), matches!(state.gate, Gate::Starting))
        };
        let Some(producer) = producer else { return Err(Missed::Other(fate::REPLACED)) };
        let patience = self.core.shared.settings.timeout;
        let patience = if first { patience } else { patience.min(LONGEST_PROBE) };
        match probe(&producer, &self.core.topic, patience) {
            // Where nothing else is wrong, one broker of several may hang: another one is asked.
            Err(Missed::Answer(_)) if matches!(self.core.lock().gate, Gate::Open) => {
                probe(&producer, &self.core.topic, patience)
            }
            seen => seen,
        }
    }

    /// Makes a producer in the place of one that failed for good, or could not be made.
    fn rebuild(&self) {
        let failed = self.core.lock().producer.clone();
        let why = failed.as_ref().and_then(|failed| failed.client().fatal_error());
        self.core.declare(why.as_ref().map_or(fate::REPLACED, |(code, _)| fate::of_failure(*code)));
        self.core.lock().producer = None;
        if let Some(failed) = failed {
            let why = why.map(|(_, why)| why).unwrap_or_default();
            warn!(tier = %self.core.tier, why, "the Kafka producer failed for good and is made anew");
            self.core.rebuilt.fetch_add(1, Ordering::Relaxed);
            // Reports what it still knows.
            drop(failed);
        }
        self.core.write_off();
        if let Err(error) = self.core.equip() {
            self.core.declare(fate::detail(&error));
        }
    }

    fn close(&mut self, stop: Stop) {
        if stop == Stop::Orderly {
            self.work_off();
        }
        let producer = self.core.lock().producer.take();
        // Reports what it still knows.
        drop(producer);
        let unsent = self.core.lock().turn_away(&Fate::Refused(StoreError::Closed));
        self.core.tell(unsent);
        self.core.write_off();
        self.core.presence.send_replace(Presence::Closed);
    }

    /// Stores what was handed over, as far as the time allows.
    fn work_off(&mut self) {
        let clock = self.core.shared.clock;
        let end = clock.now().plus(self.core.shared.settings.timeout);
        if matches!(self.core.lock().gate, Gate::Starting | Gate::Held) {
            self.look();
        }
        let left = || end.since(clock.now());
        while !left().is_zero() {
            let mut state = self.core.lock();
            let settled = self.core.refill(&mut state);
            let unsent = !state.line.is_empty();
            if unsent && settled.is_empty() {
                let woken = self.core.bell.wait_timeout(state, left().min(STEP));
                drop(woken.unwrap_or_else(PoisonError::into_inner));
            } else {
                drop(state);
            }
            self.core.tell(settled);
            if !unsent {
                break;
            }
        }
        let producer = self.core.lock().producer.clone();
        if let Some(producer) = producer {
            // What is not out by then is answered as unknown.
            let _ = producer.flush(left());
        }
    }
}

impl Core {
    /// Gives up what a producer had that is no more: its reports will not come.
    fn write_off(&self) {
        let mut state = self.lock();
        state.number += 1;
        let tickets = state.window.empty();
        drop(state);
        self.tell(tickets.into_iter().filter_map(|ticket| ticket.place.settle(1, Fate::Unknown)));
    }
}

fn is_sound(producer: &Arc<ThreadedProducer<Reports>>) -> bool {
    producer.client().fatal_error().is_none()
}

/// What people are told while Kafka answers, but does not say that it stored.
const LATE_DETAIL: &str = "Kafka does not confirm records in time";
/// Reports may stay away for so long, or for two fifths of `kafka.timeout` where that is less. Some may take twice that.
const LONGEST_SILENCE: Duration = Duration::from_secs(2);
/// A Kafka that is there is asked this often whether it still is, so that an idle tier knows too.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A question waits no longer for its answer, the very first one excepted.
const LONGEST_PROBE: Duration = Duration::from_secs(1);
/// Missing reports are looked for this often.
const STEP: Duration = Duration::from_millis(250);
/// Sleep is no shorter, lest rounding make it none.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
