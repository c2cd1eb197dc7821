//! Empties the spool when the backend is back: critical tiers first, each within its window.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::sleep;

use crate::domain::tier::Tier;
use crate::policy::Policy;
use crate::queue::spool::drain::{Drain, Step};
use crate::runtime::admission::Admission;

/// The loop around the drain.
pub struct SpoolDrain {
    drain: Drain,
    admission: Admission,
    policy: Arc<ArcSwap<Policy>>,
}

impl SpoolDrain {
    /// A loop that lets no tier's depth in the backend beyond the window that the law bounds admission by.
    pub const fn new(drain: Drain, admission: Admission, policy: Arc<ArcSwap<Policy>>) -> SpoolDrain {
        SpoolDrain { drain, admission, policy }
    }

    /// Runs until the queue is closed.
    pub async fn run(mut self) {
        loop {
            match self.round().await {
                Step::Moved => {}
                Step::Idle => sleep(PAUSE).await,
                Step::Closed => return,
            }
        }
    }

    /// Moves some jobs of the most critical tier that can move any.
    async fn round(&mut self) -> Step {
        let window = self.policy.load().regulator.controller.window;
        let reports = self.admission.reports();
        for tier in Tier::ALL {
            // Before the first step of the law the target is zero, and nothing moves.
            let limit = (window * reports[tier].target_depth) as u64;
            match self.drain.step(tier, limit, reports[tier].share).await {
                Step::Idle => {}
                step => return step,
            }
        }
        Step::Idle
    }
}

/// Shorter than the readings that make room, and nothing to do costs nothing.
const PAUSE: Duration = Duration::from_millis(20);
