//! `GET /v1/status`: everything of this moment, as JSON.

mod edge;
mod policy;
mod share;
mod state;
mod tls;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admission::tenants::roll::TenantReport;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::{Moment, Timestamp};
use crate::domain::totals::Totals;
use crate::policy::Policy;
use crate::queue::{Durability, GroupBacklog, JobQueue};
use crate::regulator::report::{Clamp, Signal, TickReport};
use crate::runtime::lifecycle::Phase;
use crate::server::access::key_ring::KeyRing;
use crate::server::admin::Admin;
use crate::server::admin::status::edge::EdgeStatus;
use crate::server::admin::status::policy::{PolicyStatus, ShadowStatus};
use crate::server::admin::status::share::ShareStatus;
use crate::server::admin::status::state::{Bounds, StateStatus, scene};
use crate::server::admin::status::tls::TlsStatus;
use crate::server::admin::status::topic::{RetentionStatus, Topic};
use crate::server::fields::Text;
use crate::server::leases::reply::json;
use crate::server::openapi::words;
use crate::telemetry::diagnosis::{Diagnosis, Scene};
use crate::telemetry::flow::Flow;
use crate::telemetry::latency::Quantiles;
use crate::telemetry::metrics::Counts;

/// The live state.
pub async fn show(State(admin): State<Arc<Admin>>) -> Response {
    json(&Status::of(&admin, &admin.gateway.policy.load()))
}

/// The document of this moment.
pub(super) fn document(admin: &Admin) -> Vec<u8> {
    // Cannot fail: plain strings and numbers.
    serde_json::to_vec(&Status::of(admin, &admin.gateway.policy.load())).unwrap_or_default()
}

/// Everything of this moment.
#[derive(Serialize, JsonSchema)]
pub(in crate::server) struct Status<'a> {
    version: &'static str,
    #[schemars(schema_with = "words::phase")]
    phase: &'static str,
    time: Text<Timestamp>,
    uptime_seconds: f64,
    backend: &'static str,
    /// What a receipt can say now, of the tier that is kept least durably.
    #[schemars(schema_with = "words::durability")]
    durability: &'static str,
    policy_revision: &'a str,
    policy: PolicyStatus,
    /// What a candidate would do.
    shadow: ShadowStatus,
    in_flight_requests: usize,
    event_listeners: usize,
    event_listeners_dropped: u64,
    /// The keys of clients and workers; null where there is no file of them.
    keys: Option<KeysStatus>,
    share: ShareStatus,
    /// Those who asked for most in the last ten to twenty seconds, the loudest first; ten at most.
    tenants: Vec<TenantStatus>,
    tls: TlsStatus,
    /// What is refused before it has a tier.
    edge: EdgeStatus,
    tiers: Tiers<'a>,
}

/// A tenant at the gate.
#[derive(Serialize, JsonSchema)]
struct TenantStatus {
    name: String,
    /// Jobs let in since it began to ask; one that is idle for ten minutes is forgotten.
    admitted: u64,
    /// Jobs that the gate refused since.
    refused: u64,
    /// Jobs asked for in the last ten to twenty seconds.
    asked_lately: u64,
}

impl From<TenantReport> for TenantStatus {
    fn from(report: TenantReport) -> TenantStatus {
        let TenantReport { name, admitted, refused, asked_lately } = report;
        TenantStatus { name: name.to_string(), admitted, refused, asked_lately }
    }
}

/// The keys in force, of which only the number is ever shown.
#[derive(Serialize, JsonSchema)]
struct KeysStatus {
    in_force: usize,
    /// What is wrong with the file, while the keys from before stay in force.
    fault: Option<String>,
}

impl KeysStatus {
    fn of(ring: &KeyRing) -> KeysStatus {
        KeysStatus { in_force: ring.in_force().len(), fault: ring.fault() }
    }
}

#[derive(Serialize, JsonSchema)]
struct Tiers<'a> {
    p0: TierStatus<'a>,
    p1: TierStatus<'a>,
    p2: TierStatus<'a>,
}

/// One tier: its queue, the signal, the law and what clients were answered.
#[derive(Serialize, JsonSchema)]
struct TierStatus<'a> {
    queue: &'a str,
    /// What it means, in words.
    state: StateStatus,
    bounds: Bounds,
    /// What comes and goes, over the last five seconds.
    flow: Flow,
    /// What a receipt can say now.
    #[schemars(schema_with = "words::durability")]
    durability: &'static str,
    /// Jobs waiting and leased.
    depth: u64,
    waiting: u64,
    leased: u64,
    oldest_age_seconds: Option<f64>,
    p99_age_seconds: Option<f64>,
    #[schemars(schema_with = "words::signal")]
    signal: &'static str,
    signal_age_seconds: Option<f64>,
    /// The depth that the law steers to, in jobs.
    target: f64,
    predicted_depth: f64,
    pressure: f64,
    /// In jobs per second, as are `recent_drain` and `rate`.
    drain: f64,
    recent_drain: f64,
    rate: f64,
    /// Jobs that may still be admitted until the next reading.
    window: u64,
    terms: Terms,
    /// What held the rate, where something did.
    #[schemars(schema_with = "words::clamp_or_null")]
    clamp: Option<&'static str>,
    shedding: bool,
    full: bool,
    /// Whether jobs go to the spool, since the backend is away.
    spooling: bool,
    /// Jobs in the spool.
    spool_depth: u64,
    /// Why the tier's jobs are refused whatever the law says: its backend is away.
    outage: Option<String>,
    /// The groups of consumers that each read all of the tier's jobs.
    groups: Vec<GroupStatus>,
    /// The tier's topic; null where the backend has none.
    topic: Option<Topic>,
    /// What the topic's retention leaves; null where the backend has no topics.
    retention: Option<RetentionStatus>,
    #[serde(flatten)]
    counts: Counts,
    jobs: Jobs,
    latency_seconds: Quantiles,
    /// The Retry-After given, over the last minute.
    retry_after_seconds: Quantiles,
}

/// What stands before one group of consumers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
struct GroupStatus {
    name: String,
    /// Jobs that were not handed out to it.
    lag: u64,
    /// Jobs handed out to it and not acknowledged.
    pending: u64,
    /// Whether the depth is that of the slowest of this and others.
    counts: bool,
    /// It stopped, and keeps what others have done from being trimmed.
    blocks_trim: bool,
    #[schemars(schema_with = "words::group_state")]
    state: &'static str,
    /// For how long jobs have waited before it without any progress, once that is longer than usual; else null.
    still_seconds: Option<f64>,
    /// Its members; null where the backend does not tell.
    members: Option<u32>,
}

/// The parts of the rate, in jobs per second.
#[derive(Serialize, JsonSchema)]
struct Terms {
    feed_forward: f64,
    proportional: f64,
    integral: f64,
    derivative: f64,
}

/// What became of all jobs since the start.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobTotals")]
struct Jobs {
    recovered: u64,
    stored: u64,
    done: u64,
    expired: u64,
    dead: u64,
    purged: u64,
    /// Deleted by the backend before every group had read them.
    lost: u64,
}

/// What each tier's state means now.
pub(super) fn diagnoses(admin: &Admin, policy: &Policy) -> TierMap<Diagnosis> {
    let gateway = &admin.gateway;
    let (reports, spool, pulse) = (gateway.admission.reports(), gateway.queue.spool(), admin.pulse());
    let loudest = gateway.admission.loudest(1);
    let loudest = loudest.first().map(|tenant| &*tenant.name);
    TierMap::from_fn(|tier| {
        let outage = gateway.queue.outage(tier);
        let outage = outage.as_ref().map(|outage| &*outage.detail);
        let deleted_in = gateway.queue.topic(tier).and_then(|topic| topic.retention.deleted_in);
        let (spooled, returns) = (spool.depth[tier], gateway.metrics.returns(tier));
        let scene = scene(tier, policy, &reports, &pulse);
        let is_embedded = gateway.leases.is_some();
        Diagnosis::of(&Scene { loudest, is_embedded, outage, deleted_in, spooled, returns, ..scene })
    })
}

impl<'a> Status<'a> {
    fn of(admin: &Admin, policy: &'a Policy) -> Status<'a> {
        let gateway = &admin.gateway;
        let reports = gateway.admission.reports();
        let totals = gateway.queue.totals();
        let spool = gateway.queue.spool();
        let board = admin.policy.board();
        let pulse = admin.pulse();
        let said = diagnoses(admin, policy);
        let tier = |tier: Tier| TierStatus {
            state: StateStatus::from(&said[tier]),
            bounds: Bounds::of(&policy.regulator.tiers[tier]),
            flow: pulse.flow[tier],
            retry_after_seconds: gateway.metrics.returns(tier),
            counts: gateway.metrics.counts(tier),
            latency_seconds: gateway.metrics.latency(tier),
            durability: gateway.queue.durability(tier).as_str(),
            spooling: spool.tiers.contains(tier),
            spool_depth: spool.depth[tier],
            outage: gateway.queue.outage(tier).map(|outage| outage.detail.to_string()),
            groups: gateway.queue.groups(tier).into_iter().map(GroupStatus::of).collect(),
            topic: gateway.queue.topic(tier).map(Topic::of),
            retention: gateway.queue.topic(tier).map(|topic| RetentionStatus::of(topic.retention)),
            ..TierStatus::of(&policy.tiers[tier].queue, &reports[tier], &totals[tier])
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            phase: phase(gateway.lifecycle.phase()),
            time: Text(gateway.clock.wall()),
            uptime_seconds: gateway.clock.now().seconds_since(Moment::ORIGIN),
            backend: gateway.queue.name(),
            durability: weakest(&*gateway.queue).as_str(),
            policy_revision: &policy.revision,
            policy: PolicyStatus::of(&board),
            shadow: ShadowStatus::of(&board.shadow, gateway.admission.shadow().shown()),
            in_flight_requests: gateway.in_flight.count(),
            event_listeners: admin.events.listeners(),
            event_listeners_dropped: admin.events.dropped(),
            keys: admin.keys.as_deref().map(KeysStatus::of),
            share: ShareStatus::of(gateway.share.as_ref(), &reports),
            tenants: gateway.admission.loudest(TENANTS_SHOWN).into_iter().map(TenantStatus::from).collect(),
            tls: TlsStatus::of(&gateway.certificates),
            edge: EdgeStatus::from(pulse.edge),
            tiers: Tiers { p0: tier(Tier::P0), p1: tier(Tier::P1), p2: tier(Tier::P2) },
        }
    }
}

impl GroupStatus {
    fn of(group: GroupBacklog) -> GroupStatus {
        let GroupBacklog { name, lag, pending, counts, blocks_trim, state, still_for, members } = group;
        let still_seconds = still_for.as_ref().map(Duration::as_secs_f64);
        let state = state.as_str();
        GroupStatus {
            name: name.to_string(),
            lag,
            pending,
            counts,
            blocks_trim,
            state,
            still_seconds,
            members,
        }
    }
}

impl<'a> TierStatus<'a> {
    fn of(queue: &'a str, report: &TickReport, totals: &Totals) -> TierStatus<'a> {
        TierStatus {
            queue,
            state: StateStatus::default(),
            bounds: Bounds::default(),
            flow: Flow::default(),
            durability: Durability::Memory.as_str(),
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
            spooling: false,
            spool_depth: 0,
            outage: None,
            groups: Vec::new(),
            topic: None,
            retention: None,
            counts: Counts::default(),
            jobs: Jobs {
                recovered: totals.recovered,
                stored: totals.stored,
                done: totals.done,
                expired: totals.expired,
                dead: totals.dead,
                purged: totals.purged,
                lost: totals.lost,
            },
            latency_seconds: Quantiles::default(),
            retry_after_seconds: Quantiles::default(),
        }
    }
}

/// The durability of the tier that is kept least durably, of those that get receipts at all.
fn weakest(queue: &dyn JobQueue) -> Durability {
    let refused = |tier: &Tier| queue.outage(*tier).is_some();
    let all_refused = Tier::ALL.iter().all(refused);
    let taken = Tier::ALL.into_iter().filter(|tier| all_refused || !refused(tier));
    let reached = taken.map(|tier| queue.durability(tier));
    // A spooled job is on one disk.
    let rank = |durability: &Durability| match durability {
        Durability::Memory => 0,
        Durability::Spooled => 1,
        Durability::Disk => 2,
        Durability::Replicated => 3,
    };
    reached.min_by_key(rank).unwrap_or(Durability::Memory)
}

/// Tenants that the status tells of: who is loud, not who is there.
const TENANTS_SHOWN: usize = 10;

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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::backlog::{Backlog, Flows, Reading};
    use crate::domain::tier::TierMap;
    use crate::domain::units::Rate;
    use crate::policy::Policy;
    use crate::regulator::Regulator;
    use crate::regulator::settings::RegulatorSettings;

    const fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    /// p1 of the built-in policy after ten seconds at this depth, workers taking 1,000 a second, and then without a
    /// signal for so long.
    fn shown(settings: &RegulatorSettings, depth: u64, lost_millis: u64) -> Value {
        let mut regulator = Regulator::new(settings, 1, at(0));
        for millis in (0..=10_000).step_by(100) {
            let reading = Reading {
                backlog: Backlog { waiting: depth, leased: 3, ..Backlog::default() },
                flows: Flows { stored: depth + millis, ..Flows::default() },
                taken: at(millis),
            };
            regulator.tick(TierMap::from_fn(|_| Some(reading)), at(millis));
        }
        let report = regulator.tick(TierMap::default(), at(10_000 + lost_millis))[Tier::P1];
        serde_json::to_value(TierStatus::of("jobs:standard", &report, &Totals::default())).unwrap()
    }

    fn number(status: &Value, key: &str) -> f64 {
        status[key].as_f64().unwrap_or_else(|| panic!("{key}: {status}"))
    }

    #[test]
    fn the_terms_of_the_last_step_add_up_to_the_rate() {
        let mut settings = Policy::default().regulator;
        settings.controller.kd = 0.1;
        let status = shown(&settings, 59_900, 20);
        let term = |name| number(&status["terms"], name);
        let sum = term("feed_forward") + term("proportional") + term("integral") - term("derivative");
        assert!((sum - number(&status, "rate")).abs() < 1e-6, "{status}");
        assert!((number(&status, "drain") - 1_000.0).abs() < 1.0, "{status}");
        assert_eq!(number(&status, "drain"), term("feed_forward"));
        assert!(term("proportional") > 0.0, "below the target of 60 s at 1,000/s: {status}");
        assert_eq!(status["clamp"], Value::Null);
        assert_eq!((&status["signal"], &status["signal_age_seconds"]), (&json!("fresh"), &json!(0.02)));
        assert_eq!((&status["depth"], &status["leased"]), (&json!(59_903), &json!(3)));
        let window = 1.05 * number(&status, "target") - number(&status, "predicted_depth");
        assert!((number(&status, "window") - window).abs() <= 101.0, "{window}: {status}");
    }

    #[test]
    fn the_clamp_that_acted_is_named() {
        let mut settings = Policy::default().regulator;
        let above = shown(&settings, 79_000, 20);
        assert_eq!(
            (&above["clamp"], &above["rate"], &above["window"]),
            (&json!("min"), &json!(1.0), &json!(0))
        );
        settings.tiers[Tier::P1].rate.max = Rate::per_second(500.0);
        let bounded = shown(&settings, 1_000, 20);
        assert_eq!((&bounded["clamp"], &bounded["rate"]), (&json!("max"), &json!(500.0)));
        assert!(number(&bounded["terms"], "proportional") > 500.0, "the terms are those before the clamp");
    }

    #[test]
    fn a_lost_signal_shows_with_its_age() {
        let settings = Policy::default().regulator;
        let late = shown(&settings, 1_000, 5_000);
        assert_eq!((&late["signal"], &late["signal_age_seconds"]), (&json!("modelled"), &json!(5.0)));
        let lost = shown(&settings, 1_000, 30_000);
        assert_eq!((&lost["signal"], &lost["clamp"]), (&json!("stale"), &json!("stale")));
        assert_eq!(
            (&lost["signal_age_seconds"], &lost["rate"]),
            (&json!(30.0), &json!(1.0)),
            "floor is rate.min"
        );
    }
}
