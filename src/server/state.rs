//! What every request on the ingest listener shares: the gateway, the bounds, and the counting at the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Extensions;
use http::request::Parts;

use crate::domain::bound::Bound;
use crate::domain::job::Job;
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::policy::Policy;
use crate::queue::Stored;
use crate::queue::embedded::MAX_POLLS;
use crate::runtime::admission::Permit;
use crate::runtime::gateway::Gateway;
use crate::runtime::held::Place;
use crate::runtime::idempotency::Claim;
use crate::runtime::lifecycle::Phase;
use crate::server::access::{Access, Caller};
use crate::server::body::Intake;
use crate::server::budget::ByteBudget;
use crate::server::keyed;
use crate::server::limits::{Limits, SizeLimit};
use crate::server::listen::slots::Beyond;
use crate::server::pause;
use crate::server::problem::Problem;
use crate::telemetry::trace::spans::RequestSpan;

/// The state of the ingest listener.
pub struct Ingest {
    /// The running gateway.
    pub(super) gateway: Gateway,
    /// The bounds on what clients make us hold.
    pub(super) limits: Limits,
    /// Who may do what.
    pub(super) access: Access,
    /// The bytes of all bodies being read.
    pub(super) bodies: ByteBudget,
}

impl Ingest {
    /// The state of a listener with these bounds.
    pub fn new(gateway: Gateway, limits: Limits, access: Access) -> Arc<Ingest> {
        let held = &gateway.held;
        let bodies = ByteBudget::counted(limits.max_in_flight_bytes, Arc::clone(&held.body_bytes));
        held.batches.bound_to(limits.max_open_batches());
        held.polls.bound_to(limits.max_waiting_polls().min(u64::try_from(MAX_POLLS).unwrap_or(u64::MAX)));
        Arc::new(Ingest { gateway, limits, access, bodies })
    }

    /// The body of a request with jobs, to be decoded as its head says; otherwise as [`Ingest::intake`].
    pub(super) fn coded_intake(
        &self,
        parts: &Parts,
        body: Body,
        arrived: Moment,
        bound: SizeLimit,
    ) -> Intake {
        self.intake(parts, body, arrived).decoding(&parts.headers, bound)
    }

    /// The body of a request that arrived then, to be read within the request's time; a shorter one beyond the served
    /// connections, where others wait to be heard.
    pub(super) fn intake(&self, parts: &Parts, body: Body, arrived: Moment) -> Intake {
        let served = parts.extensions.get::<Beyond>().is_none_or(Beyond::is_served);
        let most = if served { Duration::MAX } else { HEARD_TIME };
        let time = self.limits.request_timeout.min(most);
        Intake::new(&parts.headers, body, self.gateway.clock.instant(arrived.plus(time)))
    }

    /// The time left to answer a request that arrived then.
    pub(super) fn time_left(&self, arrived: Moment) -> Duration {
        arrived.plus(self.limits.request_timeout).since(self.gateway.clock.now())
    }

    /// Refuses new jobs once the gateway is draining.
    pub(super) fn check_taking_jobs(&self) -> Result<(), Problem> {
        if self.gateway.lifecycle.phase() >= Phase::Draining { Err(Problem::draining()) } else { Ok(()) }
    }

    /// One more batch to read.
    pub(super) fn open_batch(&self) -> Result<Place, Problem> {
        self.gateway.held.batches.enter().ok_or_else(|| Problem::beyond(Bound::Batches))
    }

    /// Asks the gate for one job of a caller's of a tier, if the queue is there and keeps jobs as durably as the tier requires.
    pub(super) fn admit(&self, policy: &Policy, caller: &Caller, tier: Tier) -> Result<Permit, Problem> {
        self.check_backend(tier)?;
        if let Some(required) = policy.tiers[tier].require
            && !self.gateway.queue.durability(tier).meets(required)
        {
            return Err(pause::until_next_probe(
                tier,
                "the queue cannot keep jobs as durably as the tier requires",
            ));
        }
        let admission = &self.gateway.admission;
        admission
            .admit(tier, Cost::ONE, Some(&caller.tenant))
            .map_err(|refusal| Problem::refusal(tier, &refusal).to(&caller.tenant))
    }

    /// Refuses jobs of a tier whose backend is away: nobody waits for a probe.
    pub(super) fn check_backend(&self, tier: Tier) -> Result<(), Problem> {
        let Some(outage) = self.gateway.queue.outage(tier) else { return Ok(()) };
        Err(Problem::outage(tier, &outage))
    }

    /// The policy of a request, from its classification to its receipt: the one in force when it was first asked about.
    pub(super) fn policy_of(&self, extensions: &mut Extensions) -> Arc<Policy> {
        extensions.remove().unwrap_or_else(|| self.gateway.policy.load_full())
    }

    /// Stores jobs for which there is a permit, under the keys that are claimed, within a span of their request's.
    pub(super) async fn store(
        &self,
        policy: &Policy,
        permit: Permit,
        mut jobs: Vec<Job>,
        claims: Vec<Claim>,
        within: Duration,
        span: &RequestSpan,
    ) -> Result<Stored, Problem> {
        let (tier, limit, unsure) = (permit.tier(), permit.limit(), keyed::are_unsure(&claims));
        let sending = span.send(tier, &policy.tiers[tier].queue, &mut jobs);
        self.gateway.forward.store(permit, jobs, claims, within, sending).await.map_err(|error| {
            let bounds = policy.regulator.tiers[tier].retry_after;
            let drain = self.gateway.admission.reports()[tier].drain;
            let pause = pause::after_failed_store(&error, drain, bounds);
            Problem::store(tier, &error, limit, pause).unknown_outcome_if(unsure)
        })
    }

    /// Counts a request that failed as a whole, and answers it.
    pub(super) fn refused(&self, problem: Problem, arrived: Moment) -> Response {
        self.count_problem(&problem, arrived);
        self.record(problem.tier(), problem.status().as_u16(), arrived);
        problem.into_response()
    }

    /// Counts one job that failed, of a request that arrived then.
    pub(super) fn count_problem(&self, problem: &Problem, arrived: Moment) {
        let metrics = &self.gateway.metrics;
        if problem.is_refusal() {
            metrics.refused(problem.tier(), problem.code(), 1);
            self.gateway.refusals.tell(problem.sample(), arrived);
        } else {
            metrics.invalid(problem.code(), 1);
        }
        if let Some(pause) = problem.retry_after() {
            metrics.retry_after(problem.tier(), pause);
        }
        self.count_bound(problem);
    }

    /// Counts which bound a request was beyond, if it was one.
    pub(super) fn count_bound(&self, problem: &Problem) {
        if let Some(bound) = problem.bound() {
            self.gateway.metrics.overloaded(bound);
        }
    }

    /// Records how long a job request took.
    pub(super) fn record(&self, tier: Option<Tier>, status: u16, arrived: Moment) {
        self.gateway.metrics.request(tier, status, self.gateway.clock.now().since(arrived));
    }
}

/// How long a body may take beyond the served connections: time for a job to come, and none for a client that holds the
/// place of those who wait to be heard.
const HEARD_TIME: Duration = Duration::from_secs(2);
