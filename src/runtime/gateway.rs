//! Everything a request handler may touch, in one place.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::domain::tier::TierMap;
use crate::policy::Policy;
use crate::queue::JobQueue;
use crate::queue::embedded::EmbeddedQueue;
use crate::runtime::admission::Admission;
use crate::runtime::forward::Forward;
use crate::runtime::held::Held;
use crate::runtime::idempotency::Claims;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::share::Share;
use crate::runtime::tls::{Certificate, Certificates};
use crate::telemetry::log::refusals::RefusalLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::scrape::{Scrape, Sharing};
use crate::telemetry::trace::Traces;

/// The running gateway, as the server sees it. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    /// The clocks.
    pub clock: Clock,
    /// The policy in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The gate.
    pub admission: Admission,
    /// What is known of the other gateways, where this one shares its backend.
    pub share: Option<Share>,
    /// The way to the queue.
    pub forward: Forward,
    /// The idempotency keys under which jobs are being stored.
    pub claims: Claims,
    /// The queue.
    pub queue: Arc<dyn JobQueue>,
    /// The embedded queue, where workers lease through the gateway; `None` on the other backends.
    pub leases: Option<Arc<EmbeddedQueue>>,
    /// The phase the process is in.
    pub lifecycle: Lifecycle,
    /// The requests being answered.
    pub in_flight: InFlight,
    /// What is held for clients.
    pub held: Held,
    /// What TLS is spoken with.
    pub certificates: Certificates,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What the log knows of refusals.
    pub refusals: Arc<RefusalLog>,
    /// The traces.
    pub traces: Traces,
}

impl Gateway {
    /// Everything for Prometheus, of this moment.
    ///
    /// # Errors
    /// The encoder met a family it cannot write.
    pub fn scrape(&self) -> prometheus::Result<String> {
        let spool = self.queue.spool();
        self.metrics.render(&Scrape {
            away: TierMap::from_fn(|tier| self.queue.outage(tier).is_some()),
            throttles: TierMap::from_fn(|tier| self.queue.topic(tier).unwrap_or_default().throttle),
            reports: self.admission.reports(),
            share: self.share.as_ref().map_or(Sharing::ALONE, |share| share.state().into()),
            totals: self.queue.totals(),
            keys: self.queue.key_index(),
            spooled: spool.depth,
            spool_duplicates: spool.duplicates,
            policy: &self.policy.load(),
            held: self.held.now(),
            certificates: [("ingest", &self.certificates.ingest), ("admin", &self.certificates.admin)]
                .map(|(listener, certificate)| (listener, self.seconds_left(certificate.as_deref()))),
        })
    }

    /// Seconds until a listener's certificate expires, below zero once it has.
    fn seconds_left(&self, certificate: Option<&Certificate>) -> Option<f64> {
        let (not_after, now) = (certificate?.not_after()?, self.clock.wall());
        Some(not_after.since(now).as_secs_f64() - now.since(not_after).as_secs_f64())
    }
}
