//! Once a second: the history takes in what the counters show, and the log is told which states are others and of whom it
//! has not told yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::admin::{Admin, status};
use crate::telemetry::log::states::StateLog;

/// Beats until dropped.
pub async fn run(admin: Arc<Admin>) {
    let mut states = StateLog::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let gateway = &admin.gateway;
        admin.past.observe(gateway);
        let now = gateway.clock.now();
        for (tier, said) in status::diagnoses(&admin, &gateway.policy.load()).iter() {
            states.tell(tier, said, now);
        }
        gateway.refusals.tell_of_the_left(now);
    }
}

const PERIOD: Duration = Duration::from_secs(1);
