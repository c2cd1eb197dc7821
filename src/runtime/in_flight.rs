//! How many requests are being answered at this moment, so that stopping can wait for the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The count, shared by all who add to it and wait for it.
#[derive(Clone, Debug)]
pub struct InFlight(Arc<Shared>);

/// One request being answered; counted until dropped.
#[derive(Debug)]
pub struct InFlightGuard(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    requests: AtomicUsize,
    none_left: Notify,
}

impl InFlight {
    /// Nothing in flight.
    pub fn none() -> InFlight {
        InFlight(Arc::default())
    }

    /// Counts one more request until the guard is dropped.
    pub fn enter(&self) -> InFlightGuard {
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        InFlightGuard(Arc::clone(&self.0))
    }

    /// The requests in flight now.
    pub fn count(&self) -> usize {
        self.0.requests.load(Ordering::Acquire)
    }

    /// Waits until none is in flight.
    pub async fn all_answered(&self) {
        loop {
            // Listening before looking: the last answer may leave between the two.
            let none_left = self.0.none_left.notified();
            if self.count() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_last_request() {
        let in_flight = InFlight::none();
        let guard = in_flight.enter();
        let waiter = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.all_answered().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(guard);
        waiter.await.unwrap();
        assert_eq!(in_flight.count(), 0);
    }
}
