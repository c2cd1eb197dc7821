//! `GET /v1/status`: everything of this moment, as JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::domain::totals::Totals;
use crate::policy::Policy;
use crate::regulator::report::{Clamp, Signal, TickReport};
use crate::runtime::gateway::Gateway;
use crate::runtime::lifecycle::Phase;
use crate::server::admin::Admin;
use crate::server::fields::Text;
use crate::server::leases::reply::json;
use crate::telemetry::latency::Quantiles;
use crate::telemetry::metrics::Counts;

/// The live state.
pub async fn show(State(admin): State<Arc<Admin>>) -> Response {
    json(&Status::of(&admin.gateway, &admin.gateway.policy.load()))
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    phase: &'static str,
    time: Text<Timestamp>,
    uptime_seconds: f64,
    backend: &'static str,
    durability: &'static str,
    policy_revision: &'a str,
    in_flight_requests: usize,
    tiers: Tiers<'a>,
}

#[derive(Serialize)]
struct Tiers<'a> {
    p0: TierStatus<'a>,
    p1: TierStatus<'a>,
    p2: TierStatus<'a>,
}

#[derive(Serialize)]
struct TierStatus<'a> {
    queue: &'a str,
    depth: u64,
    waiting: u64,
    leased: u64,
    oldest_age_seconds: Option<f64>,
    p99_age_seconds: Option<f64>,
    signal: &'static str,
    signal_age_seconds: Option<f64>,
    target: f64,
    predicted_depth: f64,
    pressure: f64,
    drain: f64,
    recent_drain: f64,
    rate: f64,
    window: u64,
    terms: Terms,
    clamp: Option<&'static str>,
    shedding: bool,
    full: bool,
    #[serde(flatten)]
    counts: Counts,
    jobs: Jobs,
    latency_seconds: Quantiles,
}

/// The parts of the rate, in jobs per second.
#[derive(Serialize)]
struct Terms {
    feed_forward: f64,
    proportional: f64,
    integral: f64,
    derivative: f64,
}

/// What became of all jobs since the start.
#[derive(Serialize)]
struct Jobs {
    recovered: u64,
    stored: u64,
    done: u64,
    expired: u64,
    dead: u64,
    purged: u64,
}

impl<'a> Status<'a> {
    fn of(gateway: &Gateway, policy: &'a Policy) -> Status<'a> {
        let reports = gateway.admission.reports();
        let totals = gateway.queue.totals();
        let tier = |tier: Tier| TierStatus {
            counts: gateway.metrics.counts(tier),
            latency_seconds: gateway.metrics.latency(tier),
            ..TierStatus::of(&policy.tiers[tier].queue, &reports[tier], &totals[tier])
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            phase: phase(gateway.lifecycle.phase()),
            time: Text(gateway.clock.wall()),
            uptime_seconds: gateway.clock.now().seconds_since(Moment::ORIGIN),
            backend: gateway.queue.name(),
            durability: gateway.queue.durability().as_str(),
            policy_revision: &policy.revision,
            in_flight_requests: gateway.in_flight.count(),
            tiers: Tiers { p0: tier(Tier::P0), p1: tier(Tier::P1), p2: tier(Tier::P2) },
        }
    }
}

impl<'a> TierStatus<'a> {
    fn of(queue: &'a str, report: &TickReport, totals: &Totals) -> TierStatus<'a> {
        TierStatus {
            queue,
            depth: report.backlog.depth(),
            waiting: report.backlog.waiting,
            leased: report.backlog.leased,
            oldest_age_seconds: report.backlog.oldest_age.as_ref().map(Duration::as_secs_f64),
            p99_age_seconds: report.backlog.p99_age.as_ref().map(Duration::as_secs_f64),
            signal: signal(report.signal),
            signal_age_seconds: report.signal_age.as_ref().map(Duration::as_secs_f64),
            target: report.target_depth,
            predicted_depth: report.predicted_depth,
            pressure: report.pressure,
            drain: report.drain.jobs_per_second(),
            recent_drain: report.recent_drain.jobs_per_second(),
            rate: report.rate.jobs_per_second(),
            window: report.window,
            terms: Terms {
                feed_forward: report.terms.feed_forward,
                proportional: report.terms.proportional,
                integral: report.terms.integral,
                derivative: report.terms.derivative,
            },
            clamp: clamp(report.clamp),
            shedding: report.shedding,
            full: report.full,
            counts: Counts::default(),
            jobs: Jobs {
                recovered: totals.recovered,
                stored: totals.stored,
                done: totals.done,
                expired: totals.expired,
                dead: totals.dead,
                purged: totals.purged,
            },
            latency_seconds: Quantiles::default(),
        }
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Leaving => "leaving",
        Phase::Draining => "draining",
        Phase::Stopped => "stopped",
    }
}

const fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Awaited => "awaited",
        Signal::Fresh => "fresh",
        Signal::Modelled => "modelled",
        Signal::Stale => "stale",
    }
}

const fn clamp(clamp: Clamp) -> Option<&'static str> {
    match clamp {
        Clamp::None => None,
        Clamp::Min => Some("min"),
        Clamp::Max => Some("max"),
        Clamp::Stale => Some("stale"),
    }
}
