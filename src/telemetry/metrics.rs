//! The counters and histograms that requests feed. Counting keeps the identity
//! `received = admitted + duplicate + refused + invalid` by construction.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use crate::domain::bound::Bound;
use crate::domain::code::Code;
use crate::domain::tier::{Tier, TierMap};
use crate::telemetry::families as family;
use crate::telemetry::handshakes::HandshakeCounts;
use crate::telemetry::latency::{Latency, Quantiles};
use crate::telemetry::scrape::Scraped;
use crate::telemetry::shadow::ShadowCounts;
use crate::telemetry::tenants::TenantCounts;
use crate::telemetry::trace::counts::SpanCounts;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) scraped: Scraped,
    /// What the candidate in the shadow would have answered.
    pub shadow: ShadowCounts,
    /// The TLS handshakes that failed.
    pub handshakes: HandshakeCounts,
    /// The spans that never reached a collector.
    pub spans: SpanCounts,
    received: IntCounter,
    admitted: TierMap<IntCounter>,
    duplicate: TierMap<IntCounter>,
    refused: IntCounterVec,
    invalid: IntCounterVec,
    overloaded: IntCounterVec,
    stored_late: TierMap<IntCounter>,
    api_keys: Gauge,
    keys_reloads: IntCounterVec,
    limited_clients: Gauge,
    /// The counts of the tenants that the policy watches.
    pub tenants: TenantCounts,
    request: HistogramVec,
    decision: Histogram,
    store: TierMap<Histogram>,
    retry_after: HistogramVec,
    reloads: IntCounterVec,
    reload_rejected: GaugeVec,
    latency: TierMap<Latency>,
    returns: TierMap<Latency>,
}

/// Why the table could not be built: a mistake in the table itself.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Two families of one name, or a bad name.
    #[error("a metric family cannot be registered")]
    Family(#[from] prometheus::Error),
    /// Bad bounds.
    #[error("a latency record cannot be made")]
    Latency(#[from] hdrhistogram::CreationError),
}

/// A tier's answers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Counts {
    /// Stored and receipted.
    pub admitted: u64,
    /// Stored after a 504.
    pub stored_late: u64,
    /// Refused for rate or window.
    pub throttled: u64,
    /// Refused by a threshold.
    pub shed: u64,
    /// Refused in all, for whatever reason.
    pub refused: u64,
    /// Refused by the hard bound on depth or bytes.
    pub queue_full: u64,
    /// Refused beyond their tenant's own rate.
    pub over_quota: u64,
    /// Refused since they could not be stored, or nobody knows whether they were.
    pub unstored: u64,
    /// Refused since the gateway protects itself.
    pub overloaded: u64,
}

/// Refused before they had a tier, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// By the rate of one client.
    pub client_limit: u64,
    /// Since the gateway protects itself.
    pub overloaded: u64,
    /// In all, for whatever reason.
    pub refused: u64,
}

/// What became of a keys file that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysReload {
    /// Its keys are in force.
    Applied,
    /// It says what is in force already.
    Unchanged,
    /// It is wrong, and the keys from before stay in force.
    Rejected,
}

impl KeysReload {
    const fn as_str(self) -> &'static str {
        match self {
            KeysReload::Applied => "applied",
            KeysReload::Unchanged => "unchanged",
            KeysReload::Rejected => REJECTED,
        }
    }
}

/// Jobs by their answer since the start, over all tiers and codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// All of them.
    pub received: u64,
    /// Stored and receipted.
    pub admitted: u64,
    /// Answered with the receipt of an earlier request.
    pub duplicate: u64,
    /// Answered 429, 503 or 504.
    pub refused: u64,
    /// Answered with any other 4xx.
    pub invalid: u64,
}

impl Metrics {
    /// Every family, registered and showing zero; `classic_names` adds the aliases.
    ///
    /// # Errors
    /// The table contradicts itself.
    pub fn new(classic_names: bool) -> Result<Metrics, MetricsError> {
        let registry = Registry::new();
        let admitted = family::JOBS_ADMITTED.counters(&registry)?;
        let stored_late = family::JOBS_STORED_LATE.counters(&registry)?;
        let store = family::STORE_DURATION.histograms(&registry, STORE_SECONDS)?;
        let duplicate = family::JOBS_DUPLICATE.counters(&registry)?;
        let three = || Ok::<_, MetricsError>((Latency::new()?, Latency::new()?, Latency::new()?));
        let metrics = Metrics {
            scraped: Scraped::new(&registry, classic_names)?,
            shadow: ShadowCounts::new(&registry)?,
            handshakes: HandshakeCounts::new(&registry)?,
            spans: SpanCounts::new(&registry)?,
            reloads: family::POLICY_RELOADS.counters(&registry)?,
            reload_rejected: family::RELOAD_REJECTED.gauges(&registry)?,
            received: family::JOBS_RECEIVED.counter(&registry)?,
            admitted: TierMap::from_fn(|tier| admitted.with_label_values(&[tier.as_str()])),
            duplicate: TierMap::from_fn(|tier| duplicate.with_label_values(&[tier.as_str()])),
            refused: family::JOBS_REFUSED.counters(&registry)?,
            invalid: family::JOBS_INVALID.counters(&registry)?,
            overloaded: family::OVERLOADED.counters(&registry)?,
            stored_late: TierMap::from_fn(|tier| stored_late.with_label_values(&[tier.as_str()])),
            api_keys: family::API_KEYS.gauge(&registry)?,
            keys_reloads: family::KEYS_RELOADS.counters(&registry)?,
            limited_clients: family::LIMITED_CLIENTS.gauge(&registry)?,
            tenants: TenantCounts::new(&registry)?,
            request: family::REQUEST_DURATION.histograms(&registry, REQUEST_SECONDS)?,
            decision: family::DECISION_DURATION.histogram(&registry, DECISION_SECONDS)?,
            store: TierMap::from_fn(|tier| store.with_label_values(&[tier.as_str()])),
            retry_after: family::RETRY_AFTER.histograms(&registry, RETRY_AFTER_SECONDS)?,
            latency: TierMap::from(three()?),
            returns: TierMap::from(three()?),
            registry,
        };
        metrics.show_from_the_start();
        Ok(metrics)
    }

    /// Counts jobs that were received and stored.
    pub fn admitted(&self, tier: Tier, jobs: u64) {
        self.received.inc_by(jobs);
        self.admitted[tier].inc_by(jobs);
    }

    /// Counts jobs that were received and answered with the receipt of an earlier request.
    pub fn duplicate(&self, tier: Tier, jobs: u64) {
        self.received.inc_by(jobs);
        self.duplicate[tier].inc_by(jobs);
    }

    /// Counts jobs that were received and refused (429, 503, 504); no tier before classification.
    pub fn refused(&self, tier: Option<Tier>, code: Code, jobs: u64) {
        self.received.inc_by(jobs);
        self.refused.with_label_values(&[label(tier), code.as_str()]).inc_by(jobs);
    }

    /// Counts jobs that were received and invalid (every other 4xx).
    pub fn invalid(&self, code: Code, jobs: u64) {
        self.received.inc_by(jobs);
        self.invalid.with_label_values(&[code.as_str()]).inc_by(jobs);
    }

    /// Counts one answer `overloaded`, beside its count among the refused.
    pub fn overloaded(&self, bound: Bound) {
        self.overloaded.with_label_values(&[bound.as_str()]).inc();
    }

    /// Counts jobs stored after their request was answered 504.
    pub fn stored_late(&self, tier: Tier, jobs: u64) {
        self.stored_late[tier].inc_by(jobs);
    }

    /// Shows how many API keys are in force.
    pub fn api_keys(&self, keys: usize) {
        self.api_keys.set(count(keys));
    }

    /// Counts one reading of the keys file.
    pub fn keys_reload(&self, result: KeysReload) {
        self.show_rejected(KEYS, result == KeysReload::Rejected);
        self.keys_reloads.with_label_values(&[result.as_str()]).inc();
    }

    /// Shows how many clients the client limit remembers.
    pub fn limited_clients(&self, clients: usize) {
        self.limited_clients.set(count(clients));
    }

    /// Records one answered job request.
    pub fn request(&self, tier: Option<Tier>, status: u16, took: Duration) {
        self.request.with_label_values(&[label(tier), status_label(status)]).observe(took.as_secs_f64());
        if let Some(tier) = tier {
            self.latency[tier].record(took);
        }
    }

    /// Records one Retry-After given.
    pub fn retry_after(&self, tier: Option<Tier>, after: Duration) {
        self.retry_after.with_label_values(&[label(tier)]).observe(after.as_secs_f64());
        if let Some(tier) = tier {
            self.returns[tier].record(after);
        }
    }

    /// Records the time one admission decision took.
    pub fn decision(&self, took: Duration) {
        self.decision.observe(took.as_secs_f64());
    }

    /// Records the time from handing jobs to the queue to their durable storage.
    pub fn store(&self, tier: Tier, took: Duration) {
        self.store[tier].observe(took.as_secs_f64());
    }

    /// Counts one reload of the policy, by its result: `applied`, `rejected` or `unchanged`.
    pub fn policy_reload(&self, result: &'static str) {
        self.show_rejected(POLICY, result == REJECTED);
        self.reloads.with_label_values(&[result]).inc();
    }

    fn show_rejected(&self, file: &'static str, rejected: bool) {
        self.reload_rejected.with_label_values(&[file]).set(f64::from(u8::from(rejected)));
    }

    /// A tier's answers since the start.
    pub fn counts(&self, tier: Tier) -> Counts {
        let refused = |code: Code| self.refused.with_label_values(&[tier.as_str(), code.as_str()]).get();
        Counts {
            admitted: self.admitted[tier].get(),
            stored_late: self.stored_late[tier].get(),
            throttled: refused(Code::Throttled),
            shed: refused(Code::Shed),
            refused: REFUSALS.iter().map(|code| refused(*code)).sum(),
            queue_full: refused(Code::QueueFull),
            over_quota: refused(Code::TenantQuota),
            unstored: refused(Code::BackendUnavailable) + refused(Code::OutcomeUnknown),
            overloaded: refused(Code::Overloaded),
        }
    }

    /// Refused before they had a tier, since the start.
    pub fn edge(&self) -> EdgeCounts {
        let refused = |code: Code| self.refused.with_label_values(&[label(None), code.as_str()]).get();
        EdgeCounts {
            client_limit: refused(Code::ClientLimit),
            overloaded: refused(Code::Overloaded),
            refused: REFUSALS.iter().map(|code| refused(*code)).sum(),
        }
    }

    /// All answers since the start: both sides of the identity.
    pub fn answered(&self) -> Answered {
        let sum = |counters: &TierMap<IntCounter>| counters.iter().map(|(_, counter)| counter.get()).sum();
        let tiers = [None, Some(Tier::P0), Some(Tier::P1), Some(Tier::P2)];
        let refused = |code: &Code, tier| self.refused.with_label_values(&[label(tier), code.as_str()]).get();
        let invalid = |code: &&Code| !REFUSALS.contains(code);
        Answered {
            received: self.received.get(),
            admitted: sum(&self.admitted),
            duplicate: sum(&self.duplicate),
            refused: REFUSALS.iter().flat_map(|code| tiers.map(|tier| refused(code, tier))).sum(),
            invalid: Code::ALL
                .iter()
                .filter(invalid)
                .map(|code| self.invalid.with_label_values(&[code.as_str()]).get())
                .sum(),
        }
    }

    /// Quantiles of a tier's request latency over the last minute.
    pub fn latency(&self, tier: Tier) -> Quantiles {
        self.latency[tier].quantiles()
    }

    /// Quantiles of the Retry-After that a tier's refusals were given over the last minute.
    pub fn returns(&self, tier: Tier) -> Quantiles {
        self.returns[tier].quantiles()
    }

    /// Lets latencies and promised returns of more than a minute ago be forgotten. Called twice a minute.
    pub fn rotate_latencies(&self) {
        for (_, durations) in self.latency.iter().chain(self.returns.iter()) {
            durations.rotate();
        }
    }

    /// Touches every series of the closed label sets, so that dashboards see zeros and not gaps.
    fn show_from_the_start(&self) {
        for tier in [None, Some(Tier::P0), Some(Tier::P1), Some(Tier::P2)] {
            for code in REFUSALS {
                self.refused.with_label_values(&[label(tier), code.as_str()]);
            }
            self.retry_after.with_label_values(&[label(tier)]);
        }
        for file in [POLICY, KEYS] {
            self.show_rejected(file, false);
        }
        for result in ["applied", REJECTED, "unchanged"] {
            self.reloads.with_label_values(&[result]);
        }
        for bound in Bound::ALL {
            self.overloaded.with_label_values(&[bound.as_str()]);
        }
        for result in [KeysReload::Applied, KeysReload::Unchanged, KeysReload::Rejected] {
            self.keys_reloads.with_label_values(&[result.as_str()]);
        }
        for tier in Tier::ALL {
            self.request.with_label_values(&[tier.as_str(), status_label(202)]);
        }
        for code in Code::ALL.iter().filter(|code| !REFUSALS.contains(code)) {
            self.invalid.with_label_values(&[code.as_str()]);
        }
    }
}

fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::INFINITY, f64::from)
}

const fn label(tier: Option<Tier>) -> &'static str {
    match tier {
        Some(tier) => tier.as_str(),
        None => "none",
    }
}

/// The statuses that job requests are answered with; a closed set, as every label.
const fn status_label(status: u16) -> &'static str {
    match status {
        202 => "202",
        207 => "207",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

/// The codes of 429, 503 and 504: refused, where all others are invalid.
const REFUSALS: [Code; 10] = [
    Code::Throttled,
    Code::Shed,
    Code::QueueFull,
    Code::TenantQuota,
    Code::ClientLimit,
    Code::BackendUnavailable,
    Code::SignalStale,
    Code::Overloaded,
    Code::Draining,
    Code::OutcomeUnknown,
];

/// The result of a reload that changed nothing, since the file is faulty.
const REJECTED: &str = "rejected";

/// The files that are read again while the gateway runs.
const POLICY: &str = "policy";
const KEYS: &str = "keys";

/// From a local refusal to the default request timeout.
const REQUEST_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// From one fast fsync to a request timeout.
const STORE_SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A decision takes some hundred nanoseconds; the tail shows lock contention.
const DECISION_SECONDS: &[f64] =
    &[100e-9, 250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 100e-6, 1e-3, 10e-3];

/// From the least promise to the default longest.
const RETRY_AFTER_SECONDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_file_shows_until_it_is_found_good() {
        let metrics = Metrics::new(false).unwrap();
        let shown = || [POLICY, KEYS].map(|file| metrics.reload_rejected.with_label_values(&[file]).get());
        assert_eq!(shown(), [0.0, 0.0]);
        metrics.policy_reload("rejected");
        metrics.keys_reload(KeysReload::Applied);
        assert_eq!(shown(), [1.0, 0.0]);
        metrics.keys_reload(KeysReload::Rejected);
        metrics.policy_reload("unchanged");
        assert_eq!(shown(), [0.0, 1.0]);
    }

    #[test]
    fn every_job_counted_is_received_once() {
        let metrics = Metrics::new(true).unwrap();
        metrics.admitted(Tier::P0, 3);
        metrics.refused(Some(Tier::P2), Code::Shed, 2);
        metrics.refused(None, Code::Overloaded, 1);
        metrics.invalid(Code::TooLarge, 1);
        metrics.duplicate(Tier::P1, 5);
        let answered = Answered { received: 12, admitted: 3, duplicate: 5, refused: 3, invalid: 1 };
        assert_eq!(metrics.answered(), answered);
        assert_eq!(metrics.counts(Tier::P2), Counts { shed: 2, refused: 2, ..Counts::default() });
    }
}
