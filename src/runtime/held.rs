//! What is held for clients at this moment, each kind counted where it is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::scrape::{HeldNow, Holding};

/// The counts of everything that clients can make the gateway hold.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Open connections of the ingest listener.
    pub ingest_connections: Arc<Count>,
    /// Open connections of the admin listener.
    pub admin_connections: Arc<Count>,
    /// Bytes of request bodies.
    pub body_bytes: Arc<Count>,
    /// Batches being read.
    pub batches: Arc<Count>,
    /// Long polls that wait for a job.
    pub polls: Arc<Count>,
}

/// How much of one kind is held, and how much may be.
#[derive(Debug, Default)]
pub struct Count {
    used: AtomicU64,
    bound: AtomicU64,
}

/// One place under a bound; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Count>);

impl Held {
    /// The counts as they are.
    pub fn now(&self) -> HeldNow {
        HeldNow {
            ingest_connections: self.ingest_connections.now(),
            admin_connections: self.admin_connections.now(),
            body_bytes: self.body_bytes.now(),
            batches: self.batches.now(),
            polls: self.polls.now(),
        }
    }
}

impl Count {
    /// Puts a bound in force; until then nothing fits.
    pub fn bound_to(&self, most: u64) {
        self.bound.store(most, Ordering::Relaxed);
    }

    /// How much is held.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts more, where it then is not more than `most`; says whether it did.
    pub fn add_within(&self, more: u64, most: u64) -> bool {
        let added = |used: u64| used.checked_add(more).filter(|used| *used <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    /// Counts one more, whatever the bound: whoever calls holds to it by other means.
    pub fn add_one(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts less.
    pub fn remove(&self, less: u64) {
        self.used.fetch_sub(less, Ordering::Relaxed);
    }

    /// One more place, if the bound has one.
    pub fn enter(self: &Arc<Count>) -> Option<Place> {
        self.add_within(1, self.bound.load(Ordering::Relaxed)).then(|| Place(Arc::clone(self)))
    }

    fn now(&self) -> Holding {
        Holding { used: self.used(), bound: self.bound.load(Ordering::Relaxed) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.remove(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_bound_says_and_each_comes_back() {
        let places = Arc::new(Count::default());
        assert!(places.enter().is_none(), "no bound, no place");
        places.bound_to(2);
        let first = places.enter().unwrap();
        let _second = places.enter().unwrap();
        assert!(places.enter().is_none());
        drop(first);
        assert!(places.enter().is_some());
        assert_eq!(places.used(), 1);
    }
}
