//! The slots of a listener's connections: so many are served, a few more are heard, and while somebody waits for one,
//! connections without a request give way.
//!
//! A connection beyond the served ones is heard: its request may wait a moment for a slot, is then answered once, with
//! a refusal or, where that is worth it, with what it asked for, and closed. So nobody meets silence, and what waits
//! in the kernel's queue moves on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::select;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::runtime::held::Count;
use crate::server::listen::patience::{Silence, Stage};

/// All slots of one listener.
#[derive(Debug)]
pub struct Slots {
    served: Arc<Semaphore>,
    heard: Arc<Semaphore>,
    /// How many give way at a time where no further connection can be accepted.
    at_a_time: usize,
    taken: Mutex<BTreeMap<u64, Weak<Slot>>>,
    next: AtomicU64,
    /// Requests of heard connections that wait for a served slot.
    waiting: AtomicUsize,
    /// Whether no further connection can be accepted.
    blocked: AtomicBool,
    /// Connections that are about to leave.
    leaving: AtomicUsize,
    /// Whether a slot was, or is about to be, left since the usher's last round.
    moved: AtomicBool,
    /// Whether nobody gives way: to wait is vain.
    vain: AtomicBool,
    pressed: Notify,
    count: Arc<Count>,
}

/// The right to a slot.
#[derive(Debug)]
pub enum Permit {
    /// Among those served.
    Served(OwnedSemaphorePermit),
    /// Among those heard.
    Heard(OwnedSemaphorePermit),
}

/// The slot of a connection, or of a request beside others on one; free again when the last who holds it lets go.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    number: u64,
    permit: Mutex<OwnedSemaphorePermit>,
    served: AtomicBool,
    /// One of [`STAYS`], [`LEAVES`], [`OVERDUE`].
    leaving: AtomicU8,
    /// Rounds since it began to leave.
    leaving_for: AtomicU32,
    at_once: AtomicBool,
    leave: Notify,
    stage: Stage,
}

/// What a request beyond the served ones has, as an extension: a slot among those heard, or none at all.
#[derive(Clone, Debug)]
pub struct Beyond(pub Option<Arc<Slot>>);

impl Beyond {
    /// Whether it has a slot, in which it may take its time.
    pub const fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has got a served slot meanwhile.
    pub fn is_served(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.is_served())
    }

    /// As [`Slot::is_served_soon`]; never without a slot.
    pub async fn is_served_soon(&self) -> bool {
        match &self.0 {
            Some(slot) => slot.is_served_soon().await,
            None => false,
        }
    }
}

/// How a connection is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Now if it is idle, else after the answer under way.
    WhenAnswered,
    /// Now: it is too slow for a time like this.
    AtOnce,
}

/// How many connections are heard beyond so many served ones.
pub const fn most_heard(most_served: usize) -> usize {
    let share = most_served / HEARD_SHARE;
    if share > LEAST_HEARD { share } else { LEAST_HEARD }
}

impl Slots {
    /// Slots for so many served connections, counted there. A head may take `head_time`.
    pub fn new(most_served: usize, head_time: Duration, count: Arc<Count>) -> Arc<Slots> {
        count.bound_to(u64::try_from(most_served).unwrap_or(u64::MAX));
        Arc::new(Slots {
            served: Arc::new(Semaphore::new(most_served)),
            heard: Arc::new(Semaphore::new(most_heard(most_served))),
            at_a_time: at_a_time(head_time),
            taken: Mutex::default(),
            next: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            leaving: AtomicUsize::new(0),
            moved: AtomicBool::new(false),
            vain: AtomicBool::new(false),
            pressed: Notify::new(),
            count,
        })
    }

    /// The right to one more connection, as soon as there is one; `None` never, as the semaphores stay open.
    pub async fn permit(&self) -> Option<Permit> {
        if let Some(permit) = self.permit_now() {
            return Some(permit);
        }
        let _blocked = self.block();
        select! {
            biased;
            permit = Arc::clone(&self.served).acquire_owned() => permit.ok().map(Permit::Served),
            permit = Arc::clone(&self.heard).acquire_owned() => permit.ok().map(Permit::Heard),
        }
    }

    fn permit_now(&self) -> Option<Permit> {
        let served = Arc::clone(&self.served).try_acquire_owned().map(Permit::Served);
        served.or_else(|_| Arc::clone(&self.heard).try_acquire_owned().map(Permit::Heard)).ok()
    }

    /// Says, until it is dropped, that no further connection can be accepted.
    pub fn block(&self) -> Blocked<'_> {
        self.blocked.store(true, Ordering::Relaxed);
        self.pressed.notify_one();
        Blocked(self)
    }

    /// Gives a connection its slot.
    pub fn take(self: &Arc<Slots>, permit: Permit, stage: Stage) -> Arc<Slot> {
        let (permit, served) = match permit {
            Permit::Served(permit) => (permit, true),
            Permit::Heard(permit) => (permit, false),
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot {
            slots: Arc::clone(self),
            number,
            permit: Mutex::new(permit),
            served: AtomicBool::new(served),
            leaving: AtomicU8::new(STAYS),
            leaving_for: AtomicU32::new(0),
            at_once: AtomicBool::new(false),
            leave: Notify::new(),
            stage,
        });
        self.count.add_one();
        self.taken().insert(number, Arc::downgrade(&slot));
        slot
    }

    /// Has connections without a request leave while somebody waits; runs until dropped.
    pub async fn usher(&self) {
        loop {
            self.pressed.notified().await;
            let mut still = 0;
            while self.demand() > 0 || self.vain.load(Ordering::Relaxed) {
                self.round();
                still = if self.moved.swap(false, Ordering::Relaxed) { 0 } else { still + 1 };
                self.vain.store(still >= VAIN_ROUNDS, Ordering::Relaxed);
                sleep(ROUND).await;
            }
        }
    }

    /// Tells as many to leave as are wanted: the idle first, and where nobody can be accepted any more, those whose
    /// head is slow and those that have their one answer and still send; the longest silence first.
    fn round(&self) {
        // Let go outside the lock: the last who holds a slot takes it out of the map.
        let slots: Vec<Arc<Slot>> = self.taken().values().filter_map(Weak::upgrade).collect();
        let mut idle = Vec::new();
        let mut slow = Vec::new();
        for slot in slots.iter().filter(|slot| slot.stays()) {
            let Some((silence, rounds)) = slot.stage.one_more_round() else { continue };
            let may_rest = silence == Silence::Idle && slot.is_served();
            if may_rest && rounds >= IDLE_ROUNDS {
                idle.push((rounds, slot));
            } else if !may_rest && rounds >= SLOW_ROUNDS {
                slow.push((rounds, slot));
            }
        }
        if !idle.is_empty() {
            self.moved.store(true, Ordering::Relaxed);
        }
        idle.sort_by_key(|(rounds, slot)| (u32::MAX - rounds, slot.number));
        slow.sort_by_key(|(rounds, slot)| (u32::MAX - rounds, slot.number));
        if !self.blocked.load(Ordering::Relaxed) {
            slow.clear();
        }
        let idle = idle.into_iter().map(|(_, slot)| (slot, Leave::WhenAnswered));
        for (slot, how) in idle.chain(slow.into_iter().map(|(_, slot)| (slot, Leave::AtOnce))) {
            if !slot.leaves() {
                return;
            }
            slot.at_once.store(how == Leave::AtOnce, Ordering::Relaxed);
            slot.leave.notify_one();
        }
    }

    /// Notes that a served slot was left, or may be soon: its request is answered.
    fn note_move(&self) {
        if self.demand() > 0 || self.vain.load(Ordering::Relaxed) {
            self.moved.store(true, Ordering::Relaxed);
            self.vain.store(false, Ordering::Relaxed);
        }
    }

    /// Slots that somebody waits for.
    fn demand(&self) -> usize {
        let unseen = if self.blocked.load(Ordering::Relaxed) { self.at_a_time } else { 0 };
        self.waiting.load(Ordering::Relaxed) + unseen
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Slot>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Where the connection stands.
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The slot of a request beside this one's on the same connection, if one is free.
    pub fn one_beside(&self) -> Option<Arc<Slot>> {
        let permit = self.slots.permit_now()?;
        Some(self.slots.take(permit, Stage::of_request()))
    }

    /// Whether somebody cannot even be accepted.
    pub fn is_pressed(&self) -> bool {
        self.slots.blocked.load(Ordering::Relaxed)
    }

    /// Whether the connection is among those served; one that was heard is from now on, if there is a free slot.
    pub fn is_served_now(&self) -> bool {
        self.is_served()
            || Arc::clone(&self.slots.served).try_acquire_owned().is_ok_and(|permit| self.serve(permit))
    }

    /// As [`Slot::is_served_now`], after a moment in which others give way.
    pub async fn is_served_soon(&self) -> bool {
        if self.is_served_now() {
            return true;
        }
        if self.slots.vain.load(Ordering::Relaxed) {
            return false;
        }
        let _waiting = Waiting::count(&self.slots);
        let free = timeout(SLOT_TIME, Arc::clone(&self.slots.served).acquire_owned()).await;
        free.is_ok_and(|permit| permit.is_ok_and(|permit| self.serve(permit)))
    }

    /// Whether the connection ends with the answer just made: it was only heard, or somebody waits for its slot.
    pub fn ends_with_answer(&self) -> bool {
        if !self.is_served() {
            return true;
        }
        self.slots.note_move();
        self.leaves()
    }

    /// Waits until the connection is told to leave.
    pub async fn told_to_leave(&self) -> Leave {
        self.leave.notified().await;
        // A request may have come meanwhile: it is answered.
        let in_the_way = match self.stage.silence() {
            Some(Silence::Head) => true,
            Some(Silence::Idle) => !self.is_served(),
            None => false,
        };
        if in_the_way && self.at_once.load(Ordering::Relaxed) { Leave::AtOnce } else { Leave::WhenAnswered }
    }

    fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    fn serve(&self, permit: OwnedSemaphorePermit) -> bool {
        let heard =
            std::mem::replace(&mut *self.permit.lock().unwrap_or_else(PoisonError::into_inner), permit);
        self.served.store(true, Ordering::Relaxed);
        drop(heard);
        true
    }

    /// Marks the slot as one that will be free, if one is wanted.
    fn leaves(&self) -> bool {
        let slots = &self.slots;
        if slots.demand() == 0 {
            return false;
        }
        let more = |leaving| (leaving < slots.demand()).then_some(leaving + 1);
        if slots.leaving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return false;
        }
        let marked = self.becomes(STAYS, LEAVES);
        if !marked {
            slots.leaving.fetch_sub(1, Ordering::Relaxed);
        }
        marked
    }

    /// Whether nobody counts on the slot to be free soon. One that does not become free, because a client takes a long
    /// answer slowly, is not counted on for ever.
    fn stays(&self) -> bool {
        let leaves = self.leaving.load(Ordering::Relaxed) == LEAVES;
        if leaves
            && self.leaving_for.fetch_add(1, Ordering::Relaxed) >= OVERDUE_ROUNDS
            && self.becomes(LEAVES, OVERDUE)
        {
            self.slots.leaving.fetch_sub(1, Ordering::Relaxed);
        }
        self.leaving.load(Ordering::Relaxed) == STAYS
    }

    fn becomes(&self, from: u8, to: u8) -> bool {
        self.leaving.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.slots;
        slots.taken().remove(&self.number);
        slots.count.remove(1);
        if *self.served.get_mut() {
            slots.note_move();
        }
        if *self.leaving.get_mut() == LEAVES {
            slots.leaving.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// No further connection can be accepted while this lives.
#[derive(Debug)]
pub struct Blocked<'a>(&'a Slots);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.blocked.store(false, Ordering::Relaxed);
    }
}

/// One request that waits for a served slot.
struct Waiting<'a>(&'a Slots);

impl<'a> Waiting<'a> {
    fn count(slots: &'a Slots) -> Waiting<'a> {
        slots.waiting.fetch_add(1, Ordering::Relaxed);
        slots.pressed.notify_one();
        Waiting(slots)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many in each round that a whole queue of the kernel's passes in half the time of a head: who comes last does not
/// wait longer than slow heads may last.
fn at_a_time(head_time: Duration) -> usize {
    let half = (head_time / 2).as_nanos().max(1);
    let many = (u128::from(BACKLOG) * ROUND.as_nanos()).div_ceil(half);
    usize::try_from(many.clamp(1, u128::from(BACKLOG))).unwrap_or(1)
}

/// Connections that wait in the kernel to be accepted, per listener.
///
/// As many as Linux allows unless it is told otherwise. Where they are too few, handshakes are dropped and clients seem
/// slow that are not.
pub const BACKLOG: u32 = 4096;

/// Nobody counts on the slot to be free.
const STAYS: u8 = 0;
/// It will be free soon.
const LEAVES: u8 = 1;
/// It should have been free by now.
const OVERDUE: u8 = 2;

/// Heard connections are an eighth of those served: each is answered within a moment, so that thousands a second pass.
const HEARD_SHARE: usize = 8;

/// Also where few are served, a burst of clients is heard.
const LEAST_HEARD: usize = 32;

/// How long a heard request waits for a slot: enough for an idle connection to leave and for usual answers to be given.
const SLOT_TIME: Duration = Duration::from_millis(100);

/// How often the usher looks while somebody waits: looking at ten thousand connections takes well under a millisecond.
const ROUND: Duration = Duration::from_millis(20);

/// After so many rounds in which nobody left and nobody was answered, heard requests are refused without a wait.
const VAIN_ROUNDS: u32 = 4;

/// An idle connection leaves after so many rounds without a byte, so that busy ones are not chosen between two requests.
const IDLE_ROUNDS: u32 = 2;

/// Where nobody can be accepted, a head has half a second, more than a long round trip takes, and so has a client that
/// goes on sending after its answer.
const SLOW_ROUNDS: u32 = 25;

/// Half a second: by then an answer has been taken and a connection closed.
const OVERDUE_ROUNDS: u32 = 25;

#[cfg(test)]
mod tests;
