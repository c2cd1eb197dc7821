//! The workers who wait for a job: each is woken when one of its tiers may have something.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::domain::tier::{Tier, TierSet};

/// Waiting long polls, longest wait first. One is woken at a time; it wakes the next if it leaves something.
#[derive(Debug, Default)]
pub(super) struct Polls {
    waiting: BTreeMap<u64, Poll>,
    next: u64,
    released: bool,
}

#[derive(Debug)]
struct Poll {
    tiers: TierSet,
    notify: Arc<Notify>,
    woken: bool,
}

impl Polls {
    /// Joins the line; `None` when as many wait as may.
    pub(super) fn join(&mut self, tiers: TierSet) -> Option<(u64, Arc<Notify>)> {
        if self.waiting.len() >= MAX_POLLS {
            return None;
        }
        let (ticket, notify) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        self.waiting.insert(ticket, Poll { tiers, notify: Arc::clone(&notify), woken: false });
        Some((ticket, notify))
    }

    /// Leaves the line. Says for which tiers it had been woken, so that the wake-up can be passed on.
    pub(super) fn leave(&mut self, ticket: u64) -> TierSet {
        self.waiting.remove(&ticket).filter(|poll| poll.woken).map_or(TierSet::EMPTY, |poll| poll.tiers)
    }

    /// Waits on, at the old place in the line.
    pub(super) fn wait_on(&mut self, ticket: u64) {
        if let Some(poll) = self.waiting.get_mut(&ticket) {
            poll.woken = false;
        }
    }

    /// Wakes the first that waits for this tier, if it is not awake already.
    pub(super) fn wake(&mut self, tier: Tier) {
        if let Some(poll) = self.waiting.values_mut().find(|poll| !poll.woken && poll.tiers.contains(tier)) {
            poll.woken = true;
            poll.notify.notify_one();
        }
    }

    /// Wakes everybody; later nobody waits.
    pub(super) fn release(&mut self) {
        self.released = true;
        self.wake_all();
    }

    /// Wakes everybody to look again.
    pub(super) fn wake_all(&mut self) {
        for poll in self.waiting.values_mut() {
            poll.woken = true;
            poll.notify.notify_one();
        }
    }

    /// Whether nobody may wait any more.
    pub(super) const fn released(&self) -> bool {
        self.released
    }
}

/// Polls that wait at once; a further one is refused.
pub const MAX_POLLS: usize = 10_000;
