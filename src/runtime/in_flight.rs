//! How many requests are being answered at this moment, so that stopping can wait for the last one.

use tokio::sync::watch;

/// The count, shared by all who add to it and wait for it.
#[derive(Clone, Debug)]
pub struct InFlight(watch::Sender<usize>);

/// One request being answered; counted until dropped.
#[derive(Debug)]
pub struct InFlightGuard(InFlight);

impl InFlight {
    /// Nothing in flight.
    pub fn none() -> InFlight {
        InFlight(watch::Sender::new(0))
    }

    /// Counts one more request until the guard is dropped.
    pub fn enter(&self) -> InFlightGuard {
        self.0.send_modify(|count| *count += 1);
        InFlightGuard(self.clone())
    }

    /// The requests in flight now.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until none is in flight.
    pub async fn all_answered(&self) {
        let mut count = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
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
