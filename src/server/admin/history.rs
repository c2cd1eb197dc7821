//! `GET /v1/history`: the last hour, one point per five seconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::runtime::gateway::Gateway;
use crate::server::admin::Admin;
use crate::server::fields::Text;
use crate::server::leases::reply::json;
use crate::telemetry::flow::{EdgeFlow, Flow, Tally};
use crate::telemetry::history::{Gauges, History, Point, STEP_SECONDS};

/// The history of one gateway.
#[derive(Debug, Default)]
pub struct Past(Mutex<History>);

/// What the history says of this moment.
#[derive(Debug)]
pub(super) struct Pulse {
    /// What comes and goes.
    pub(super) flow: TierMap<Flow>,
    /// What is refused before it has a tier.
    pub(super) edge: EdgeFlow,
    /// The drain that workers usually show, in jobs per second.
    pub(super) usual_drain: TierMap<Option<f64>>,
}

impl Past {
    pub(super) fn pulse(&self) -> Pulse {
        let history = self.history();
        Pulse { flow: history.flow(), edge: history.edge(), usual_drain: *history.usual_drain() }
    }

    /// Takes in what the gateway shows now, once a second.
    pub(super) fn observe(&self, gateway: &Gateway) {
        let totals = gateway.queue.totals();
        let tallies = TierMap::from_fn(|tier| Tally::of(gateway.metrics.counts(tier), &totals[tier]));
        let (wall, now) = (gateway.clock.wall(), gateway.clock.now());
        self.history().observe(tallies, gateway.metrics.edge(), || gauges(gateway), wall, now);
    }

    // A panic under the lock is a bug of one point; the others stay.
    fn history(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last hour.
pub async fn show(State(admin): State<Arc<Admin>>) -> Response {
    let points: Vec<Point> = admin.past.history().points().copied().collect();
    json(&HistoryStatus::of(&points))
}

fn gauges(gateway: &Gateway) -> TierMap<Gauges> {
    let reports = gateway.admission.reports();
    let seconds = |time: Option<Duration>| time.map_or(f32::NAN, |time| time.as_secs_f32());
    TierMap::from_fn(|tier| {
        let report = &reports[tier];
        let (latency, returns) = (gateway.metrics.latency(tier), gateway.metrics.returns(tier));
        let measured = |count: u64, value: f64| if count == 0 { f32::NAN } else { value as f32 };
        Gauges {
            depth: report.backlog.depth() as f32,
            target: report.target_depth as f32,
            drain: report.recent_drain.jobs_per_second() as f32,
            rate: report.rate.jobs_per_second() as f32,
            oldest_age: seconds(report.backlog.oldest_age),
            signal_age: seconds(report.signal_age),
            retry_after: measured(returns.count, returns.p50),
            latency_p50: measured(latency.count, latency.p50),
            latency_p99: measured(latency.count, latency.p99),
        }
    })
}

/// The last hour, by columns: the n-th number of each belongs to the n-th time.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(in crate::server) struct HistoryStatus {
    /// From one point to the next; longer where the process stood still.
    step_seconds: usize,
    /// The end of each step, the oldest first; 720 at most.
    times: Vec<Text<Timestamp>>,
    tiers: HistoryTiers,
}

#[derive(Serialize, JsonSchema)]
struct HistoryTiers {
    p0: Columns,
    p1: Columns,
    p2: Columns,
}

/// One tier. Rates are in jobs per second; null where there was nothing to measure.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TierHistory")]
struct Columns {
    depth: Vec<Option<f32>>,
    target: Vec<Option<f32>>,
    /// Recent drain.
    drain: Vec<Option<f32>>,
    /// The admission rate set.
    rate: Vec<Option<f32>>,
    oldest_age_seconds: Vec<Option<f32>>,
    signal_age_seconds: Vec<Option<f32>>,
    /// The median Retry-After given.
    retry_after_seconds: Vec<Option<f32>>,
    latency_p50_seconds: Vec<Option<f32>>,
    latency_p99_seconds: Vec<Option<f32>>,
    /// Asked for: admitted and refused.
    demand: Vec<Option<f32>>,
    admitted: Vec<Option<f32>>,
    throttled: Vec<Option<f32>>,
    shed: Vec<Option<f32>>,
    refused_otherwise: Vec<Option<f32>>,
    expired: Vec<Option<f32>>,
    /// New dead letters.
    dead: Vec<Option<f32>>,
}

impl HistoryStatus {
    fn of(points: &[Point]) -> HistoryStatus {
        HistoryStatus {
            step_seconds: STEP_SECONDS,
            times: points.iter().map(|point| Text(point.at)).collect(),
            tiers: HistoryTiers {
                p0: Columns::of(points, Tier::P0),
                p1: Columns::of(points, Tier::P1),
                p2: Columns::of(points, Tier::P2),
            },
        }
    }
}

impl Columns {
    fn of(points: &[Point], tier: Tier) -> Columns {
        let finite = |number: f32| number.is_finite().then_some(number);
        let gauge = |of: fn(&Gauges) -> f32| {
            points.iter().map(|point| finite(of(&point.tiers[tier].gauges))).collect()
        };
        let flow = |place: usize| {
            points.iter().map(|point| point.tiers[tier].flow.get(place).copied().and_then(finite)).collect()
        };
        Columns {
            depth: gauge(|gauges| gauges.depth),
            target: gauge(|gauges| gauges.target),
            drain: gauge(|gauges| gauges.drain),
            rate: gauge(|gauges| gauges.rate),
            oldest_age_seconds: gauge(|gauges| gauges.oldest_age),
            signal_age_seconds: gauge(|gauges| gauges.signal_age),
            retry_after_seconds: gauge(|gauges| gauges.retry_after),
            latency_p50_seconds: gauge(|gauges| gauges.latency_p50),
            latency_p99_seconds: gauge(|gauges| gauges.latency_p99),
            demand: flow(0),
            admitted: flow(1),
            throttled: flow(2),
            shed: flow(3),
            refused_otherwise: flow(4),
            expired: flow(5),
            dead: flow(6),
        }
    }
}
