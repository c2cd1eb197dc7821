//! Waiting for a gateway to take jobs again, and telling the probes that this takes from a test's own jobs.

use std::sync::Arc;
use std::time::Duration;

use super::gateway::Gateway;
use super::jobs::type_of;
use super::poll::until;
use super::redis_worker::Taken;

/// Waits until single jobs of this tier are taken again.
pub async fn recovers(gateway: &Gateway, tier: &str, patience: Duration) {
    until(&format!("{tier} is taken again"), patience, async || {
        let answer = gateway.post(PROBE, &[("tidegate-type", type_of(tier))]).await;
        (answer.status == 202).then_some(())
    })
    .await;
}

/// The payload that [`recovers`] posts is no job of a test.
pub fn without_probes(taken: Vec<Taken>) -> Vec<Taken> {
    taken.into_iter().filter(|job| job.body != PROBE.as_bytes()).collect()
}

/// Ends a test of an outage with a gateway that several tasks held.
pub async fn finish(gateway: Arc<Gateway>) {
    Arc::into_inner(gateway).expect("nobody else holds it").finish_after_outage().await;
}

const PROBE: &str = "recovering";
