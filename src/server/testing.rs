//! A gateway for tests: the real policy, law and embedded queue, or a queue that fails as told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch::Sender;
use tower::ServiceExt;

use crate::clock::Clock;
use crate::domain::backlog::{Backlog, Reading};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::policy::compile::compile;
use crate::policy::{DEFAULT_DOCUMENT, Policy, Requirement};
use crate::queue::JobQueue;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::lease::{Lease, LeaseRequest};
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use crate::queue::error::StoreError;
use crate::queue::keys::KeySettings;
use crate::queue::scripted::ScriptedQueue;
use crate::regulator::Regulator;
use crate::runtime::admission::Admission;
use crate::runtime::forward::Forward;
use crate::runtime::gateway::Gateway;
use crate::runtime::held::Held;
use crate::runtime::idempotency::Claims;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::runtime::reload::PolicyDesk;
use crate::runtime::reload::keeper::{Followers, Keeper, Parts};
use crate::runtime::reload::terms::{QueueNames, Terms};
use crate::runtime::signals::HangUps;
use crate::runtime::tls::Certificates;
use crate::server::access::Access;
use crate::server::admin::guard::Guard;
use crate::server::admin::{Admin, admin_router};
use crate::server::ingest_router;
use crate::server::limits::Limits;
use crate::server::state::Ingest;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Traces;

/// The bounds of the tests' gateways.
pub const LIMITS: Limits = Limits {
    max_job_bytes: 1_000,
    max_batch_bytes: 4_000,
    max_batch_jobs: 10,
    max_connections: 8,
    max_in_flight_bytes: 16_000,
    request_timeout: Duration::from_millis(300),
    header_timeout: Duration::from_secs(5),
};

/// A gateway with its routers; its queue lives in a scratch folder.
pub struct Desk {
    pub gateway: Gateway,
    pub policy: PolicyDesk,
    pub ingest: Router,
    pub admin: Router,
    _folder: TempDir,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Desk {
    /// The embedded queue under the built-in policy.
    pub fn usual() -> Desk {
        Desk::with(DEFAULT_DOCUMENT)
    }

    /// The embedded queue under this policy.
    pub fn with(policy: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let policy = compile(policy, "test").unwrap().policy;
        let settings = EmbeddedSettings {
            path: folder.path().join("queue.db"),
            durability: EmbeddedDurability::Disk,
            max_bytes: 1 << 30,
            keys: KeySettings::default(),
        };
        let queue = Arc::new(EmbeddedQueue::open(&settings, TierRules::of(&policy), clock).unwrap());
        Desk::on(queue.clone(), Some(queue), policy, clock, folder)
    }

    /// A queue that fails so.
    pub fn failing(failure: Option<StoreError>) -> Desk {
        let queue = Arc::new(ScriptedQueue::failing(failure));
        let policy = compile(DEFAULT_DOCUMENT, "test").unwrap().policy;
        Desk::on(queue, None, policy, Clock::start(), tempfile::tempdir().unwrap())
    }

    fn on(
        queue: Arc<dyn JobQueue>,
        leases: Option<Arc<EmbeddedQueue>>,
        policy: Policy,
        clock: Clock,
        folder: TempDir,
    ) -> Desk {
        let metrics = Arc::new(Metrics::new(true).unwrap());
        let regulator = Regulator::new(&policy.regulator, 1, clock.now());
        let admission = Admission::new(regulator, clock, Arc::clone(&metrics));
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let interval = Sender::new(policy.load().regulator.controller.interval);
        let terms = Terms {
            queue: Arc::clone(&queue),
            reached: Some(Requirement::Disk),
            names: QueueNames::Labels,
            spool: true,
        };
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, &policy.load().document).unwrap();
        let (keeper, policy_desk) = Keeper::new(Parts {
            policy: Arc::clone(&policy),
            admission: admission.clone(),
            followers: Followers { leases: leases.clone(), spool: None, share: None, interval },
            terms,
            clock,
            metrics: Arc::clone(&metrics),
            file,
            from_file: true,
        })
        .unwrap();
        tokio::spawn(keeper.run(HangUps::listen().unwrap()));
        let gateway = Gateway {
            clock,
            policy,
            admission,
            share: None,
            forward: Forward::new(Arc::clone(&queue), Arc::clone(&metrics), clock),
            claims: Claims::default(),
            queue,
            leases,
            lifecycle: Lifecycle::starting(),
            in_flight: InFlight::none(),
            held: Held::default(),
            certificates: Certificates::default(),
            metrics,
            refusals: Arc::default(),
            traces: Traces::off(),
        };
        gateway.lifecycle.advance(Phase::Running);
        let access = Access::without_keys(true, true);
        let guard = Guard::new("127.0.0.1:9090".parse().unwrap(), None, Vec::new(), false);
        Desk {
            ingest: ingest_router(Ingest::new(gateway.clone(), LIMITS, access)),
            admin: admin_router(Admin::new(gateway.clone(), policy_desk.clone(), LIMITS, guard, None, None)),
            gateway,
            policy: policy_desk,
            _folder: folder,
        }
    }

    /// The ingest listener's routes under other bounds.
    pub fn bounded(&self, limits: Limits) -> Router {
        let access = Access::without_keys(true, true);
        ingest_router(Ingest::new(self.gateway.clone(), limits, access))
    }

    /// The law sees this depth of a tier.
    pub fn sees_depth(&self, tier: Tier, depth: u64) {
        let readings = TierMap::from_fn(|each| {
            let waiting = if each == tier { depth } else { 0 };
            let backlog = Backlog { waiting, ..Backlog::default() };
            Some(Reading { backlog, taken: self.gateway.clock.now(), ..Reading::default() })
        });
        self.gateway.admission.tick(readings, TierSet::EMPTY);
    }

    /// Posts to the ingest listener.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        send(&self.ingest, "POST", path, fields, body.into()).await
    }

    /// Asks the admin listener.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        send(&self.admin, method, path, &[("host", "localhost")], Body::from(body.to_owned())).await
    }

    /// Every job in the queue.
    pub async fn leased(&self) -> Vec<Lease> {
        let tiers = Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with);
        let request =
            LeaseRequest { max: 1_000, period: Duration::from_secs(60), wait: Duration::ZERO, tiers };
        self.gateway.leases.as_ref().unwrap().lease(request).await.unwrap()
    }

    /// The sum of a metric's samples whose labels contain this text.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let scrape = self.gateway.scrape().unwrap();
        let samples = scrape.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Received, admitted, refused and invalid jobs, as counted.
    pub fn counts(&self) -> [f64; 4] {
        ["received", "admitted", "refused", "invalid"]
            .map(|what| self.metric(&format!("tidegate_jobs_{what}_total"), ""))
    }
}

/// Sends one request to a router, with a `Host` unless the fields have one.
pub async fn send(router: &Router, method: &str, path: &str, fields: &[(&str, &str)], body: Body) -> Answer {
    let names_host = fields.iter().any(|(name, _)| *name == "host");
    let host: &[_] = if names_host { &[] } else { &[("host", "tidegate")] };
    let request = host
        .iter()
        .chain(fields)
        .fold(Request::builder().method(method).uri(path), |request, (name, value)| {
            request.header(*name, *value)
        });
    Answer::of(router.clone().oneshot(request.body(body).unwrap()).await.unwrap()).await
}

impl Answer {
    async fn of(response: Response) -> Answer {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// A field of the head.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and code.
    pub fn code(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A body of these chunks without a declared length; one that does not end stays open after them.
pub fn chunks(chunks: &[&'static str], ends: bool) -> Body {
    Body::new(Chunks { rest: chunks.iter().copied().collect(), ends })
}

struct Chunks {
    rest: VecDeque<&'static str>,
    ends: bool,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.rest.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
