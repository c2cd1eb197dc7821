//! Stopping in good order: tell the balancers, answer what is in flight, keep what was accepted.

use std::time::Duration;

use tokio::select;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};

/// How much time stopping may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// For so long `/readyz` says 503 while jobs are still taken.
    pub delay: Duration,
    /// So long may what is in flight take after that.
    pub grace: Duration,
}

/// Takes the process from running to stopped. `hurry` is a second request to stop: it ends every wait.
pub async fn stop(
    settings: ShutdownSettings,
    lifecycle: &Lifecycle,
    in_flight: &InFlight,
    hurry: impl Future<Output = ()>,
) {
    select! {
        () = wind_down(settings, lifecycle, in_flight) => {}
        () = hurry => warn!("asked to stop again: not waiting any longer"),
    }
    lifecycle.advance(Phase::Stopped);
}

async fn wind_down(settings: ShutdownSettings, lifecycle: &Lifecycle, in_flight: &InFlight) {
    lifecycle.advance(Phase::Leaving);
    if !settings.delay.is_zero() {
        info!(delay = ?settings.delay, "stopping: not ready any more, still taking jobs");
        sleep(settings.delay).await;
    }
    lifecycle.advance(Phase::Draining);
    info!(in_flight = in_flight.count(), "draining: new jobs are refused, what is in flight is answered");
    let answered = async {
        // Open at least this long, so that clients hear `draining` and not a refused connection.
        sleep(LEAST_DRAINING.min(settings.grace)).await;
        in_flight.all_answered().await;
    };
    if timeout(settings.grace, answered).await.is_err() {
        warn!(in_flight = in_flight.count(), "the grace is used up: requests are cut off");
    }
}

/// The listeners stay open at least this long after the first refusal.
const LEAST_DRAINING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::Instant;

    const SETTINGS: ShutdownSettings =
        ShutdownSettings { delay: Duration::from_secs(5), grace: Duration::from_secs(20) };

    async fn stopping(in_flight: InFlight, hurry: impl Future<Output = ()>) -> Duration {
        let lifecycle = Lifecycle::starting();
        let started = Instant::now();
        stop(SETTINGS, &lifecycle, &in_flight, hurry).await;
        assert_eq!(lifecycle.phase(), Phase::Stopped);
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_gateway_stops_after_delay_and_one_second() {
        assert_eq!(stopping(InFlight::none(), pending()).await, Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_is_cut_off_after_the_grace() {
        let in_flight = InFlight::none();
        let _guard = in_flight.enter();
        assert_eq!(stopping(in_flight.clone(), pending()).await, Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_hurries() {
        let in_flight = InFlight::none();
        let _guard = in_flight.enter();
        let second = sleep(Duration::from_secs(2));
        assert_eq!(stopping(in_flight.clone(), second).await, Duration::from_secs(2));
    }
}
