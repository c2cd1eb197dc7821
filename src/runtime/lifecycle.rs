//! Where the process stands between starting and stopped.

use tokio::sync::watch;

/// The phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Asked to stop, still taking jobs while balancers notice (`shutdown.delay`): not ready.
    Leaving,
    /// New jobs are answered 503 `draining`; what is in flight is answered.
    Draining,
    /// The grace is used up or nothing is in flight any more.
    Stopped,
}

/// The current phase, to read and to wait on. Only moves forward.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Lifecycle {
    /// A process that is starting.
    pub fn starting() -> Lifecycle {
        Lifecycle { phase: watch::Sender::new(Phase::Starting) }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to a later phase; an earlier one is ignored.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            if later {
                *phase = to;
            }
            later
        });
    }

    /// Waits until this phase or a later one is reached.
    pub async fn reached(&self, at_least: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = phase.wait_for(|phase| *phase >= at_least).await;
    }
}
