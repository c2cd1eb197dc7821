//! `POST /v1/leases` and its `ack`, `nack` and `extend`: workers drain the embedded queue over HTTP.

pub(super) mod reply;
pub(super) mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use tokio::select;

use crate::domain::bound::Bound;
use crate::domain::code::Code;
use crate::queue::JobQueue;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::lease::{Lease, LeaseRequest, LeaseStatus, LeaseToken};
use crate::queue::error::QueueError;
use crate::runtime::held::Place;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::server::access::Scope;
use crate::server::framing;
use crate::server::limits::SizeLimit;
use crate::server::listen::slots::Beyond;
use crate::server::problem::Problem;
use crate::server::state::Ingest;

/// Lends jobs to a worker.
pub async fn lease(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    lend(&ingest, request, None).await
}

/// Lends jobs to a worker who, beyond the served connections, must get a slot before it may wait.
pub(super) async fn lend(ingest: &Ingest, request: Request, beyond: Option<&Beyond>) -> Response {
    let now = || ingest.gateway.clock.time_of_day();
    let receiving = ingest.gateway.traces.receive(request.headers(), now);
    let leased = async {
        let (queue, body) = open(ingest, request).await?;
        let asked = request::lease(&body)?;
        // A job lent now would outlive the leases, which are kept in memory.
        ingest.check_taking_jobs()?;
        let lifecycle = &ingest.gateway.lifecycle;
        let at_once = LeaseRequest { wait: Duration::ZERO, ..asked };
        let leases = match place(ingest, &asked, beyond).await {
            Ok(_place) => poll(queue, asked, lifecycle).await.map_err(|error| Problem::queue(&error))?,
            Err(problem) => {
                let leases = poll(queue, at_once, lifecycle).await.map_err(|error| Problem::queue(&error))?;
                if leases.is_empty() {
                    return Err(problem);
                }
                leases
            }
        };
        Ok(leases)
    };
    match leased.await {
        Ok(leases) => {
            receiving.handed(leases.iter().map(|lease| &lease.job));
            reply::jobs(&leases)
        }
        Err(problem) => refused(ingest, problem),
    }
}

/// Takes finished jobs out of the queue.
pub async fn ack(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let done = async {
        let (queue, body) = open(&ingest, request).await?;
        let leases = request::ack(&body)?;
        let statuses = queue.ack(tokens(&leases)).await;
        results(leases, statuses)
    };
    done.await.unwrap_or_else(|problem| refused(&ingest, problem))
}

/// Fails attempts.
pub async fn nack(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let done = async {
        let (queue, body) = open(&ingest, request).await?;
        let (leases, failure) = request::nack(&body)?;
        let statuses = queue.nack(tokens(&leases), failure).await;
        results(leases, statuses)
    };
    done.await.unwrap_or_else(|problem| refused(&ingest, problem))
}

/// Lends jobs for longer.
pub async fn extend(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let done = async {
        let (queue, body) = open(&ingest, request).await?;
        let (leases, period) = request::extend(&body)?;
        let statuses = queue.extend(tokens(&leases), period).await;
        results(leases, statuses)
    };
    done.await.unwrap_or_else(|problem| refused(&ingest, problem))
}

/// A place among the polls that wait, for one that wants to.
async fn place(
    ingest: &Ingest,
    asked: &LeaseRequest,
    beyond: Option<&Beyond>,
) -> Result<Option<Place>, Problem> {
    if asked.wait.is_zero() {
        return Ok(None);
    }
    if let Some(beyond) = beyond
        && !beyond.is_served_soon().await
    {
        return Err(Problem::beyond(Bound::Connections));
    }
    ingest.gateway.held.polls.enter().map(Some).ok_or_else(|| Problem::beyond(Bound::Polls))
}

fn refused(ingest: &Ingest, problem: Problem) -> Response {
    ingest.count_bound(&problem);
    problem.into_response()
}

/// The checks that all four share, and the body.
async fn open(ingest: &Ingest, request: Request) -> Result<(&EmbeddedQueue, bytes::Bytes), Problem> {
    let arrived = ingest.gateway.clock.now();
    let (parts, body) = request.into_parts();
    let mut intake = ingest.intake(&parts, body, arrived);
    let read = async {
        ingest.access.enter(&parts, Scope::Lease)?;
        framing::check_plain(&parts)?;
        let queue =
            ingest.gateway.leases.as_deref().ok_or_else(|| no_leases(ingest.gateway.queue.as_ref()))?;
        let declared = intake.declared().unwrap_or(0).min(LONGEST_BODY);
        let mut held = ingest.bodies.reserve(declared).map_err(|_| Problem::overloaded())?;
        held.yield_to_critical().map_err(|_| Problem::overloaded())?;
        let body = intake.whole(SizeLimit::CallBytes(LONGEST_BODY), &mut held).await;
        let body = body.map_err(|error| Problem::body(&error))?;
        Ok((queue, body))
    };
    let opened = read.await;
    intake.discard_rest().await;
    opened
}

/// Waits for jobs; when the gateway drains, with what there is at once. A worker that hangs up drops the wait,
/// and with it nothing is lent.
async fn poll(
    queue: &EmbeddedQueue,
    asked: LeaseRequest,
    lifecycle: &Lifecycle,
) -> Result<Vec<Lease>, QueueError> {
    let mut waiting = std::pin::pin!(queue.lease(asked));
    select! {
        biased;
        leases = &mut waiting => return leases,
        () = lifecycle.reached(Phase::Draining) => queue.release_polls(),
    }
    waiting.await
}

/// The leases that can be leases at all.
fn tokens(texts: &[String]) -> Vec<LeaseToken> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Puts the queue's answers beside the leases asked about; a text that cannot be a lease is an unknown one.
fn results(texts: Vec<String>, statuses: Result<Vec<LeaseStatus>, QueueError>) -> Result<Response, Problem> {
    let mut statuses = statuses.map_err(|error| Problem::queue(&error))?.into_iter();
    let results = texts.into_iter().map(|text| {
        let asked = text.parse::<LeaseToken>().is_ok();
        let status = if asked { statuses.next() } else { None };
        (text, status.unwrap_or(LeaseStatus::Unknown))
    });
    Ok(reply::results(results))
}

/// On other backends workers read the queue themselves; it says how.
fn no_leases(queue: &dyn JobQueue) -> Problem {
    let way_in = queue.workers_way_in();
    Problem::new(
        Code::NotFound,
        format!("leases are lent from the embedded queue only: on this backend {way_in}"),
    )
}

/// Room for some thirty thousand leases.
const LONGEST_BODY: u64 = 1024 * 1024;
