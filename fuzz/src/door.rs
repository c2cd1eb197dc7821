//! The gateway's own router in this process, before a queue in memory: requests in, answers and stored jobs out.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tidegate::clock::Clock;
use tidegate::domain::backlog::{Backlog, Reading};
use tidegate::domain::job::Job;
use tidegate::domain::tier::{TierMap, TierSet};
use tidegate::policy::compile::compile;
use tidegate::policy::{DEFAULT_DOCUMENT, Policy};
use tidegate::regulator::Regulator;
use tidegate::runtime::admission::Admission;
use tidegate::runtime::forward::Forward;
use tidegate::runtime::gateway::Gateway;
use tidegate::runtime::held::Held;
use tidegate::runtime::idempotency::Claims;
use tidegate::runtime::in_flight::InFlight;
use tidegate::runtime::lifecycle::{Lifecycle, Phase};
use tidegate::runtime::tls::Certificates;
use tidegate::server::access::Access;
use tidegate::server::ingest_router;
use tidegate::server::limits::Limits;
use tidegate::server::state::Ingest;
use tidegate::telemetry::metrics::{Answered, Metrics};
use tidegate::telemetry::trace::Traces;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use super::queue::MemoryQueue;
use super::request::{Setting, Written};

/// A gateway of its own for one input.
pub struct Door {
    pub gateway: Gateway,
    queue: Arc<MemoryQueue>,
    router: Router,
}

/// What came of one request.
pub struct Seen {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The jobs that came into the queue meanwhile.
    pub stored: Vec<Job>,
    /// What was counted meanwhile.
    pub counted: Answered,
}

/// The bounds of the gateway: small, so that inputs reach them.
pub const LIMITS: Limits = Limits {
    max_job_bytes: 2_000,
    max_batch_bytes: 6_000,
    max_batch_jobs: 40,
    max_connections: 8,
    max_in_flight_bytes: 64 << 20,
    request_timeout: Duration::from_secs(60),
    header_timeout: Duration::from_secs(5),
};

impl Door {
    /// The one place that puts a gateway together here.
    pub fn open(setting: &Setting) -> Door {
        let (policy, metrics) = ALWAYS.with(|always| {
            let always = always.get_or_init(Always::new);
            (
                Arc::clone(&always.policies[setting.policy % always.policies.len()]),
                Arc::clone(&always.metrics),
            )
        });
        let clock = Clock::start();
        let queue = MemoryQueue::new(setting.mood);
        let regulator = Regulator::new(&policy.regulator, 1, clock.now());
        let gateway = Gateway {
            clock,
            policy: Arc::new(ArcSwap::new(policy)),
            admission: Admission::new(regulator, clock, Arc::clone(&metrics)),
            share: None,
            forward: Forward::new(queue.clone(), Arc::clone(&metrics), clock),
            claims: Claims::default(),
            queue: queue.clone(),
            leases: None,
            lifecycle: Lifecycle::starting(),
            in_flight: InFlight::none(),
            held: Held::default(),
            certificates: Certificates::default(),
            metrics,
            refusals: Arc::default(),
            traces: Traces::off(),
        };
        gateway.lifecycle.advance(if setting.draining { Phase::Draining } else { Phase::Running });
        if let Some((tier, depth)) = setting.depth {
            let readings = TierMap::from_fn(|each| {
                let waiting = if each == tier { depth } else { 0 };
                let backlog = Backlog { waiting, ..Backlog::default() };
                Some(Reading { backlog, taken: clock.now(), ..Reading::default() })
            });
            gateway.admission.tick(readings, TierSet::EMPTY);
        }
        let access = Access::without_keys(true, true);
        let router = ingest_router(Ingest::new(gateway.clone(), LIMITS, access));
        Door { gateway, queue, router }
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&self, written: &Written) -> Seen {
        let (counted_before, stored_before) = (self.counted(), self.queue.jobs().len());
        let request = written.request();
        let (parts, body) = ALWAYS.with(|always| {
            always.get_or_init(Always::new).runtime.block_on(async {
                let response =
                    self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
                let (parts, body) = response.into_parts();
                (parts, body.collect().await.map(|body| body.to_bytes().to_vec()))
            })
        });
        let body = body.unwrap_or_else(|error| panic!("the answer breaks off: {error}"));
        let stored = self.queue.jobs().split_off(stored_before);
        let counted = less(self.counted(), counted_before);
        Seen { status: parts.status, headers: parts.headers, body, stored, counted }
    }

    /// Bytes of bodies that the gateway says it holds.
    pub fn held_bytes(&self) -> u64 {
        self.gateway.held.body_bytes.used()
    }

    fn counted(&self) -> Answered {
        self.gateway.metrics.answered()
    }
}

fn less(after: Answered, before: Answered) -> Answered {
    Answered {
        received: after.received - before.received,
        admitted: after.admitted - before.admitted,
        duplicate: after.duplicate - before.duplicate,
        refused: after.refused - before.refused,
        invalid: after.invalid - before.invalid,
    }
}

/// What is the same for every input, and dear to make.
struct Always {
    runtime: Runtime,
    metrics: Arc<Metrics>,
    policies: Vec<Arc<Policy>>,
}

impl Always {
    fn new() -> Always {
        let compiled = |document: &str| match compile(document, "fuzz") {
            Ok(compiled) => Arc::new(compiled.policy),
            Err(faults) => panic!("{faults}"),
        };
        Always {
            runtime: Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap_or_else(|error| panic!("{error}")),
            metrics: Arc::new(Metrics::new(false).unwrap_or_else(|error| panic!("{error}"))),
            policies: [DEFAULT_DOCUMENT, BODY, include_str!("../../policies/webhooks.yaml"), STRICT]
                .map(compiled)
                .to_vec(),
        }
    }
}

thread_local! {
    static ALWAYS: OnceCell<Always> = const { OnceCell::new() };
}

/// The body has a say in everything.
const BODY: &str = r#"
type_from: [ "body:/type", "ce-type", "header:Tidegate-Type" ]
ordering_key_from: [ "body:/customer/id", "header:Tidegate-Ordering-Key", "ce-partitionkey" ]
idempotency_key_from: [ "body:/key", "header:Idempotency-Key", "ce-id" ]
rules:
  - { name: paid, when: { type: [payment, auth], body: { /amount: { at_least: 100 } } }, tier: p0 }
  - { name: some, when: { body: { /items/0/sku: { prefix: a } } }, tier: p0 }
  - { name: bulk, when: { body: { /bulk: true, /a~1b: { present: true } } }, tier: p2 }
  - { name: long, when: { content_length: { at_least: 500 } }, tier: p2 }
  - { name: where, when: { query: { q: { regex: "^[0-9]+$" } }, header: { X-Kind: { glob: "a*b" } } }, tier: p0 }
default_tier: p1
"#;

/// A ceiling, a durability that the queue does not reach, an expiry, small bounds.
const STRICT: &str = r#"
tenants: { default: { ceiling: p1 } }
tiers:
  p0: { target: { depth: 5 }, max_depth: 10, expires_in: 1h }
  p1: { target: { depth: 3 }, max_depth: 8, shed: { at: 6, until: 4, status: 503 }, retry_after: { min: 2s, max: 5s } }
  p2: { target: { depth: 3 }, max_depth: 8, require: replicated, on_stale: shut }
"#;
