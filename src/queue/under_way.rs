//! What a queue has begun and not finished, so that closing can wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts it. As many as there are requests being stored, which the memory for their bodies bounds.
#[derive(Clone, Debug, Default)]
pub(in crate::queue) struct UnderWay(Arc<Counted>);

/// One thing under way; counted until dropped.
#[derive(Debug)]
pub(in crate::queue) struct Begun(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    count: AtomicUsize,
    none_left: Notify,
}

impl UnderWay {
    /// Counts one more.
    pub(in crate::queue) fn begin(&self) -> Begun {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Begun(Arc::clone(&self.0))
    }

    /// Waits until there is none.
    pub(in crate::queue) async fn all_done(&self) {
        loop {
            // Listening before looking: the last one may end between the two.
            let none_left = self.0.none_left.notified();
            if self.0.count.load(Ordering::Acquire) == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
