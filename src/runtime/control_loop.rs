//! The tick: read the backlog, take one step of the law, publish it.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::{error, info};

use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap};
use crate::queue::error::QueueError;
use crate::queue::{JobQueue, Spool};
use crate::runtime::admission::Admission;
use crate::runtime::share::Share;
use crate::telemetry::log::sampled::Sampled;
use crate::telemetry::metrics::Metrics;

/// Steers the gate for ever, one step every `controller.interval` of the policy in force.
#[derive(Debug)]
pub struct ControlLoop {
    admission: Admission,
    /// Where other gateways steer the same queue.
    share: Option<Share>,
    metrics: Arc<Metrics>,
    clock: Clock,
    interval: watch::Receiver<Duration>,
    /// Whose last reading failed.
    failed: TierMap<bool>,
    /// The lines of that.
    told: TierMap<Sampled>,
    spool: Spool,
}

impl ControlLoop {
    /// A loop that steers this gate, with what it knows of other gateways where it shares; each `interval` counts from the
    /// moment at which it is told.
    pub fn new(
        admission: Admission,
        share: Option<Share>,
        metrics: Arc<Metrics>,
        clock: Clock,
        interval: watch::Receiver<Duration>,
    ) -> ControlLoop {
        let (failed, told, spool) = (TierMap::default(), TierMap::default(), Spool::default());
        ControlLoop { admission, share, metrics, clock, interval, failed, told, spool }
    }

    /// Takes one reading and one step before anything is served, so that no job is decided blindly; without an
    /// answer in time the rules for a lost signal hold.
    pub async fn first_step(&mut self, queue: &dyn JobQueue) {
        let answer = timeout(FIRST_READING, queue.backlog()).await.ok();
        self.tick(answer, queue.spool());
    }

    /// Runs until dropped. A reading that is late does not stop the steps: it is used when it comes, with the
    /// moment it was taken.
    pub async fn run(mut self, queue: Arc<dyn JobQueue>) {
        let mut period = *self.interval.borrow_and_update();
        let mut ticks = ticks_of(period);
        let mut latencies_kept = Duration::ZERO;
        let mut under_way = None;
        loop {
            select! {
                _ = ticks.tick() => {}
                Ok(()) = self.interval.changed() => {
                    period = *self.interval.borrow_and_update();
                    ticks = ticks_of(period);
                    continue;
                }
            }
            let reading = under_way.get_or_insert_with(|| queue.backlog());
            let answer = timeout(period / 2, reading).await.ok();
            if answer.is_some() {
                under_way = None;
            }
            self.tick(answer, queue.spool());
            latencies_kept += period;
            if latencies_kept >= LATENCY_PERIOD {
                latencies_kept = Duration::ZERO;
                self.metrics.rotate_latencies();
            }
        }
    }

    fn tick(&mut self, answer: Option<TierMap<Result<Reading, QueueError>>>, spool: Spool) {
        let readings = match answer {
            Some(readings) => readings.map(|tier, reading| self.news(tier, reading)),
            None => TierMap::default(),
        };
        match &self.share {
            Some(share) => self.admission.tick_sharing(share, readings, spool),
            None => self.admission.tick(readings, spool.tiers),
        };
        for tier in
            Tier::ALL.into_iter().filter(|tier| self.spool.depth[*tier] > 0 && spool.depth[*tier] == 0)
        {
            info!(%tier, "the spool is empty again");
        }
        self.spool = spool;
    }
}

impl ControlLoop {
    /// The reading, if it is one; says once that there is none, and not again where it comes and goes.
    fn news(&mut self, tier: Tier, reading: Result<Reading, QueueError>) -> Option<Reading> {
        let failed = std::mem::replace(&mut self.failed[tier], reading.is_err());
        // A queue that is closed is no news: the gateway is stopping.
        if let Err(error) = &reading
            && !failed
            && *error != QueueError::Closed
            && self.told[tier].one_more(self.clock.now()).is_some()
        {
            error!(%tier, %error, "the backlog cannot be read");
        }
        reading.ok()
    }
}

fn ticks_of(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A backend that is away must not keep the gateway from starting.
const FIRST_READING: Duration = Duration::from_secs(1);

/// Latency quantiles cover one to two of these.
const LATENCY_PERIOD: Duration = Duration::from_secs(30);
