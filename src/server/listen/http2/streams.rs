//! Which slots the requests of one HTTP/2 connection take, and whether its client takes their answers.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::server::listen::slots::Slot;

/// The requests of one connection, until their answers are handed over.
#[derive(Debug)]
pub struct Streams {
    /// The connection's.
    slot: Arc<Slot>,
    slot_in_use: AtomicBool,
    open: AtomicUsize,
    answers: Mutex<Vec<Weak<Progress>>>,
    one_answered: Notify,
    go_away: Notify,
}

/// One request's place.
#[derive(Debug)]
pub struct Place {
    streams: Arc<Streams>,
    slot: Option<Arc<Slot>>,
}

/// How an answer is taken.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rounds since its client took some of it.
    rounds: AtomicU32,
    /// There is nothing that could be taken.
    is_empty: AtomicBool,
}

impl Streams {
    /// Those of a connection in this slot.
    pub fn of(slot: &Arc<Slot>) -> Arc<Streams> {
        Arc::new(Streams {
            slot: Arc::clone(slot),
            slot_in_use: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            answers: Mutex::default(),
            one_answered: Notify::new(),
            go_away: Notify::new(),
        })
    }

    /// The connection's slot.
    pub const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// A place for one more, without a slot where none is free.
    pub fn enter(streams: &Arc<Streams>) -> Place {
        let slot = if streams.slot_in_use.swap(true, Ordering::Relaxed) {
            streams.slot.one_beside()
        } else {
            Some(Arc::clone(&streams.slot))
        };
        streams.open.fetch_add(1, Ordering::Relaxed);
        Place { streams: Arc::clone(streams), slot }
    }

    /// Has the client take its next requests elsewhere.
    pub fn go_away(&self) {
        self.go_away.notify_one();
    }

    /// Waits until it is to do so.
    pub async fn to_go_away(&self) {
        self.go_away.notified().await;
    }

    /// Waits until no request is left for a while, in which the last of their answers can leave. A client that was told to
    /// go away may never say that it has heard.
    pub async fn all_ended(&self) {
        let mut rounds = 0;
        while rounds < if self.slot.is_pressed() { PRESSED_ROUNDS } else { LEAVE_ROUNDS } {
            sleep(ROUND).await;
            rounds = if self.open.load(Ordering::Relaxed) == 0 { rounds + 1 } else { 0 };
        }
    }

    /// Waits until there is an answer of which the client has taken nothing for too long. Whatever else it sends or takes
    /// does not count: a hundred answers that nobody wants would hold a hundred slots.
    pub async fn one_stuck(&self) {
        loop {
            while let Some(longest) = self.look_at_answers() {
                if longest >= if self.slot.is_pressed() { PRESSED_ROUNDS } else { PATIENT_ROUNDS } {
                    return;
                }
                sleep(ROUND).await;
            }
            self.one_answered.notified().await;
        }
    }

    /// Counts one more round for each answer; gives the longest wait, `None` where no answer is on its way.
    fn look_at_answers(&self) -> Option<u32> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.strong_count() > 0);
        answers.iter().filter_map(Weak::upgrade).map(|answer| answer.one_more_round()).max()
    }
}

impl Place {
    /// Its slot.
    pub const fn slot(&self) -> Option<&Arc<Slot>> {
        self.slot.as_ref()
    }

    /// Whether the connection ends with the answer just made: its own slot was only heard, or somebody waits for it.
    pub fn ends_connection(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.ends_with_answer() && self.is_first())
    }

    /// The answer is made, and to be taken.
    pub fn answered(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        self.streams.answers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&progress));
        self.streams.one_answered.notify_one();
        progress
    }

    /// Whether it is in the connection's slot.
    fn is_first(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| Arc::ptr_eq(slot, &self.streams.slot))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_first() {
            self.streams.slot_in_use.store(false, Ordering::Relaxed);
        }
    }
}

impl Progress {
    /// The client has room for more; whether there is more.
    pub fn note(&self, is_empty: bool) {
        self.rounds.store(0, Ordering::Relaxed);
        self.is_empty.store(is_empty, Ordering::Relaxed);
    }

    fn one_more_round(&self) -> u32 {
        if self.is_empty.load(Ordering::Relaxed) {
            return 0;
        }
        self.rounds.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// How often answers on their way are looked at.
const ROUND: Duration = Duration::from_millis(500);

/// Rounds for a client while others cannot even be accepted: a second, as slow heads have about.
const PRESSED_ROUNDS: u32 = 2;

/// Rounds in which the last of an answer can leave though its client does not say that it is there: five seconds.
const LEAVE_ROUNDS: u32 = 10;

/// Rounds without taking anything of an answer: 75 seconds, as between two requests.
const PATIENT_ROUNDS: u32 = 150;
