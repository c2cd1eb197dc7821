//! A tier's state in `GET /v1/status`: the words for it, and the bounds that the policy sets it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::tier::{Tier, TierMap};
use crate::policy::{Policy, RetryPolicy};
use crate::regulator::report::TickReport;
use crate::regulator::settings::{OnStale, TierSettings};
use crate::server::admin::history::Pulse;
use crate::server::openapi::words;
use crate::telemetry::diagnosis::{Diagnosis, Scene};
use crate::telemetry::latency::Quantiles;

/// What the state of a tier means.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "TierState")]
pub(super) struct StateStatus {
    #[schemars(schema_with = "words::state")]
    word: &'static str,
    #[schemars(schema_with = "words::severity")]
    severity: &'static str,
    /// What is behind it; null where nothing is wrong.
    #[schemars(schema_with = "words::cause_or_null")]
    cause: Option<&'static str>,
    /// The state with its numbers.
    sentence: String,
    /// The cause with its numbers.
    reason: Option<String>,
    /// Who is refused, and until when; null where nobody is.
    refused: Option<String>,
    /// What an operator can do.
    advice: Option<String>,
}

/// What the policy in force sets a tier.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "TierBounds")]
pub(super) struct Bounds {
    /// The hard bound on the depth, in jobs.
    max_depth: u64,
    /// Depth at which the tier is shed; null where it never is.
    shed_at: Option<u64>,
    /// Depth below which it is taken again.
    shed_until: Option<u64>,
    /// In jobs per second.
    rate_min: f64,
    /// In jobs per second; null is no limit.
    rate_max: Option<f64>,
    /// What rules without a signal.
    #[schemars(schema_with = "words::on_stale")]
    on_stale: &'static str,
    /// Whether it is shed while a higher tier is at its bound.
    yields: bool,
}

impl From<&Diagnosis> for StateStatus {
    fn from(said: &Diagnosis) -> StateStatus {
        let Diagnosis { state, severity, cause, sentence, reason, refused, advice } = said.clone();
        let cause = cause.map(|cause| cause.as_str());
        let (word, severity) = (state.as_str(), severity.as_str());
        StateStatus { word, severity, cause, sentence, reason, refused, advice }
    }
}

impl Bounds {
    pub(super) fn of(settings: &TierSettings) -> Bounds {
        Bounds {
            max_depth: settings.max_depth,
            shed_at: settings.shed.map(|shed| shed.at),
            shed_until: settings.shed.map(|shed| shed.until),
            rate_min: settings.rate.min.jobs_per_second(),
            rate_max: settings.rate.max.map(|rate| rate.jobs_per_second()),
            on_stale: match settings.on_stale {
                OnStale::Hold => "hold",
                OnStale::Floor => "floor",
                OnStale::Shut => "shut",
                OnStale::Open => "open",
            },
            yields: settings.yields,
        }
    }
}

/// What policy, law and history say of a tier; the backend's side is left open.
pub(super) fn scene<'a>(
    tier: Tier,
    policy: &'a Policy,
    reports: &'a TierMap<TickReport>,
    pulse: &Pulse,
) -> Scene<'a> {
    let settings = &policy.regulator.tiers[tier];
    let higher_full =
        reports.iter().filter(|(other, report)| *other < tier && report.full).map(|(other, _)| other);
    Scene {
        tier,
        queue: &policy.tiers[tier].queue,
        report: &reports[tier],
        settings,
        flow: pulse.flow[tier],
        usual_drain: pulse.usual_drain[tier],
        returns: Quantiles::default(),
        loudest: None,
        is_embedded: false,
        outage: None,
        spooled: 0,
        yields_to: higher_full.last().filter(|_| settings.yields),
        deleted_in: None,
        retries: pauses(&policy.tiers[tier].retry),
    }
}

/// The pauses before all further attempts together.
fn pauses(retry: &RetryPolicy) -> Duration {
    let mut all = Duration::ZERO;
    let mut pause = retry.backoff.min(retry.max_backoff);
    for _ in 1..retry.attempts.min(MOST_ATTEMPTS) {
        all = all.saturating_add(pause);
        pause = pause.saturating_mul(2).min(retry.max_backoff);
    }
    all
}

/// Of more attempts the pauses are longer than anybody waits to be told.
const MOST_ATTEMPTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = |attempts, backoff, max_backoff| RetryPolicy {
            attempts,
            backoff: Duration::from_secs(backoff),
            max_backoff: Duration::from_secs(max_backoff),
        };
        assert_eq!(pauses(&retry(3, 1, 60)), Duration::from_secs(3));
        assert_eq!(pauses(&retry(1, 1, 60)), Duration::ZERO);
        assert_eq!(pauses(&retry(5, 10, 30)), Duration::from_secs(10 + 20 + 30 + 30));
        assert_eq!(pauses(&retry(u32::MAX, 10, 10)), Duration::from_secs(990));
    }
}
