//! What one decision costs: `cargo bench --bench decide`. Goal: a median of at most 150 ns and no allocation.

#![expect(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use http::request::Parts;
use tidegate::admission::settings::{RetryAfterBounds, ShedSettings};
use tidegate::admission::tenants::terms::{QuotaTerms, TenantTerms, Terms};
use tidegate::clock::Clock;
use tidegate::control::settings::{ControllerSettings, RateBounds, Target};
use tidegate::domain::backlog::{Backlog, Flows, Reading};
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::domain::time::Moment;
use tidegate::domain::units::{Cost, Rate};
use tidegate::domain::verdict::Verdict;
use tidegate::policy::classify::Head;
use tidegate::policy::compile::compile;
use tidegate::regulator::Regulator;
use tidegate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};
use tidegate::runtime::admission::Admission;
use tidegate::runtime::shadow::sample::{Facts, Payload, Sample};
use tidegate::telemetry::metrics::Metrics;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// The one caller.
const TENANT: Option<&str> = Some("anonymous");

fn main() {
    divan::main();
}

/// An overloaded tier: nine of ten jobs are throttled and promised a return.
#[divan::bench]
fn decide_in_an_overload(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.decide(black_box(Tier::P2), Cost::ONE, TENANT, Moment::from_nanos(nanos))
    });
}

/// A tier with room: every job comes in.
#[divan::bench]
fn decide_with_room(bencher: Bencher<'_, '_>) {
    let mut settings = settings();
    settings.tiers[Tier::P1].target = Target::Depth(u64::MAX);
    let mut regulator = Regulator::new(&settings, 1, Moment::ORIGIN);
    let mut nanos = 0;
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.decide(black_box(Tier::P1), Cost::ONE, TENANT, Moment::from_nanos(nanos))
    });
}

/// An overloaded tier that so many tenants ask, each with a rate of its own, one after the other.
#[divan::bench(args = [1, 100, 10_000])]
fn decide_among_tenants(bencher: Bencher<'_, '_>, tenants: usize) {
    let (mut regulator, mut nanos) = overloaded();
    let quota = QuotaTerms { rate: Rate::saturating(1e6), burst: 1e6 };
    let default = TenantTerms { quota: Some(quota), ..TenantTerms::UNLIMITED };
    let terms = Terms { default, named: BTreeMap::new() };
    regulator.apply(&RegulatorSettings { tenants: Arc::new(terms), ..settings() }, Moment::from_nanos(nanos));
    let names: Vec<String> = (0..tenants).map(|tenant| format!("tenant-{tenant}")).collect();
    let mut asking = names.iter().cycle();
    bencher.bench_local(|| {
        nanos += 1_000;
        let tenant = asking.next().map(String::as_str);
        regulator.decide(black_box(Tier::P2), Cost::ONE, tenant, Moment::from_nanos(nanos))
    });
}

/// The look before the body is read.
#[divan::bench]
fn all_shut(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    let tiers = TierSet::only(Tier::P1).with(Tier::P2);
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.all_shut(black_box(tiers), TENANT, Moment::from_nanos(nanos))
    });
}

/// One control step of all three tiers.
#[divan::bench]
fn tick(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    let mut stored = 100_000;
    bencher.bench_local(|| {
        nanos += 100_000_000;
        stored += 1_000;
        regulator.tick(TierMap::from_fn(|_| Some(reading(stored, nanos))), Moment::from_nanos(nanos))
    });
}

/// A whole decision, as a request takes it: the rules over the head, then the gate behind its lock.
#[divan::bench(sample_count = 500, sample_size = 200)]
fn a_job_alone(bencher: Bencher<'_, '_>) {
    decide_jobs(bencher, false, false);
}

/// The same with a candidate in the shadow: what of it comes before the answer. Goal: at most a tenth more.
#[divan::bench(sample_count = 500, sample_size = 200)]
fn a_job_beside_a_candidate(bencher: Bencher<'_, '_>) {
    decide_jobs(bencher, true, false);
}

/// With the handover to the candidate's thread, which comes after the answer is known.
#[divan::bench(sample_count = 500, sample_size = 200)]
fn a_job_and_its_handover(bencher: Bencher<'_, '_>) {
    decide_jobs(bencher, true, true);
}

/// What a request keeps until its answer is known, and hands over then.
struct Kept<'a> {
    admission: &'a Admission,
    clock: Clock,
    tenant: Arc<str>,
    request: Option<(Parts, Bytes, Tier)>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl Kept<'_> {
    fn hand_over(&mut self) {
        let Some((parts, payload, tier)) = self.request.take() else { return };
        let Parts { method, uri, headers, .. } = parts;
        let facts = Facts { method, uri, headers, tenant: Arc::clone(&self.tenant), ceiling: Tier::P0 };
        self.admission.shadow().offer(Sample {
            facts: Arc::new(facts),
            payload: Payload::Read(payload),
            content_length: Some(29),
            tier,
            acting: Verdict::Admitted,
            at: self.clock.now(),
        });
    }
}

/// Outputs are dropped outside the measured time, so what a request keeps is handed over there unless that is measured too.
fn decide_jobs(bencher: Bencher<'_, '_>, shadow: bool, and_handover: bool) {
    let policy = Arc::new(compile(ROOMY, "bench").expect("a policy").policy);
    let clock = Clock::start();
    let regulator = Regulator::new(&policy.regulator, 1, clock.now());
    let metrics = Arc::new(Metrics::new(false).expect("the table of metrics"));
    let admission = Admission::new(regulator, clock, metrics);
    if shadow {
        admission.try_in_shadow(Arc::clone(&policy)).expect("a thread");
    }
    let (head, payload) = (request(), Bytes::from_static(br#"{"type":"payment","amount":7}"#));
    let tenant: Arc<str> = Arc::from("anonymous");
    bencher.with_inputs(|| head.clone()).bench_local_values(|parts| {
        let wanted = admission.shadow().wants();
        let head = Head {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            tenant: &tenant,
            ceiling: Tier::P0,
            content_length: Some(29),
        };
        black_box(policy.classify_head(black_box(&head))).expect("a verdict");
        let tier = policy.classify(&head, &payload).expect("a tier").tier;
        let permit = admission.admit(tier, Cost::ONE, Some(&tenant)).expect("room");
        permit.used();
        let kept = payload.slice(..if wanted.is_some() { payload.len() } else { 0 });
        let mut kept = Kept {
            admission: &admission,
            clock,
            tenant: Arc::clone(&tenant),
            request: Some((parts, kept, tier)),
        };
        if and_handover {
            kept.hand_over();
        }
        kept
    });
    admission.shadow().clear();
}

/// Rules such as the built-in ones, and room for every job.
const ROOMY: &str = "
rules:
  - { when: { type: [payment, auth, order_confirm] }, tier: p0 }
  - { when: { type: [analytics, digest, report] }, tier: p2 }
tiers:
  p0: { target: { depth: 1000000000000 }, max_depth: 1000000000000 }
";

/// A head as clients send it.
fn request() -> Parts {
    let fields = [
        ("host", "gateway.example:8080"),
        ("user-agent", "orders/3.2 (linux)"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("content-length", "29"),
        ("tidegate-type", "payment"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("idempotency-key", "order-4711-payment"),
    ];
    let request = http::Request::post("/v1/jobs");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request").into_parts().0
}

/// Ten seconds of 10,000 jobs a second at a full target.
fn overloaded() -> (Regulator, u64) {
    let mut regulator = Regulator::new(&settings(), 1, Moment::ORIGIN);
    let mut nanos = 0;
    for step in 0..100 {
        nanos = step * 100_000_000;
        regulator.tick(TierMap::from_fn(|_| Some(reading(step * 1_000, nanos))), Moment::from_nanos(nanos));
    }
    (regulator, nanos)
}

fn reading(stored: u64, nanos: u64) -> Reading {
    Reading {
        backlog: Backlog { waiting: 20_000, ..Backlog::default() },
        flows: Flows { stored, ..Flows::default() },
        taken: Moment::from_nanos(nanos),
    }
}

fn settings() -> RegulatorSettings {
    let tier = |tier: Tier| TierSettings {
        target: Target::Depth(20_000),
        max_depth: u64::MAX,
        rate: RateBounds { min: Rate::saturating(1.0), max: None, burst: Duration::from_secs(1) },
        shed: Some(ShedSettings { at: u64::MAX, until: 1, unavailable: false }),
        retention: None,
        yields: tier == Tier::P2,
        on_stale: OnStale::Hold,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_mins(10) },
    };
    RegulatorSettings {
        controller: ControllerSettings::DEFAULT,
        tiers: TierMap::from_fn(tier),
        tenants: Arc::default(),
    }
}
