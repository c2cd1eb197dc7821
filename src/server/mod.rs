//! Floor 6: HTTP in and out.
//!
//! A request's way, top to bottom:
//!
//! 1. [`listen`]: a connection within the bound ([`listen::slots`]; what is answered beyond it: [`crowd`]), a head within its
//!    time ([`listen::patience`]); counted as in flight until answered.
//! 2. [`cors`]: is the browser told that a page may ask and read this; the router below: 404 and 405 are problem
//!    documents too.
//! 3. [`state`]: is the gateway taking jobs still; [`access`]: may the caller do this; [`client_limit`]: not too often.
//! 4. [`budget`]: is there memory for the body.
//! 5. [`framing`], [`job_head`]: is the head well formed; [`event`]: if it is a CloudEvent, is it a valid one.
//! 6. [`keyed`]: does the idempotency key stand for a job that is stored already; then no gate is asked.
//! 7. [`by_head`]: the policy and the gate, by the head alone where it decides: a shut tier costs no body.
//! 8. [`body`]: frame by frame, under a limit, the budget and the request's deadline; [`event`] where it is one.
//! 9. the key claimed; the policy and the gate again, where the body decides; [`draft`] makes the job.
//! 10. `runtime::forward`: the job is stored, then answered with a receipt ([`ingest`], [`batch`]).
//!
//! Whatever fails on the way becomes a [`problem`], the only map from failure to HTTP.

pub mod access;
pub mod admin;
pub mod batch;
pub mod body;
pub mod budget;
pub mod by_head;
pub mod client_limit;
pub mod cors;
pub mod crowd;
pub mod draft;
pub mod event;
pub mod fields;
pub mod framing;
pub mod handshake;
pub mod health;
pub mod ingest;
pub mod job_head;
pub mod json_object;
pub mod keyed;
pub mod leases;
pub mod limits;
pub mod listen;
pub mod openapi;
pub mod pause;
pub mod problem;
pub mod spans;
pub mod state;
#[cfg(test)]
mod testing;
pub mod witness;

use std::sync::Arc;

use crate::server::problem::Problem;
use crate::server::state::Ingest;
use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

/// The routes of clients and workers.
pub fn ingest_router(state: Arc<Ingest>) -> Router {
    let ready = |State(state): State<Arc<Ingest>>| async move { health::ready(&state.gateway).await };
    Router::new()
        .route("/v1/jobs", post(ingest::submit).options(handshake::answer).fallback(no_such_method_of_jobs))
        .route("/v1/jobs/batch", post(batch::submit).fallback(no_such_method_of_batches))
        .route("/v1/leases", only_post(leases::lease))
        .route("/v1/leases/ack", only_post(leases::ack))
        .route("/v1/leases/nack", only_post(leases::nack))
        .route("/v1/leases/extend", only_post(leases::extend))
        .route("/healthz", only_get(health::live))
        .route("/readyz", only_get(ready))
        .fallback(counted_not_found)
        .with_state(state)
}

/// A path that only answers GET and HEAD.
fn only_get<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler).fallback(|request: Request| refuse_method(request, "GET, HEAD"))
}

/// A path that only answers POST.
fn only_post<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    post(handler).fallback(|request: Request| refuse_method(request, "POST"))
}

async fn refuse_method(request: Request, allow: &'static str) -> Response {
    let answer = Problem::not_allowed(request.method()).into_response_allowing(allow);
    unread(request, answer).await
}

/// The answer to a request whose body nobody wants: a client that sends before it reads shall hear it.
async fn unread(request: Request, answer: Response) -> Response {
    let (parts, body) = request.into_parts();
    body::answered_unread(&parts.headers, body, answer).await
}

/// A path that nothing is at. On the ingest listener that is a request which never became a job.
async fn counted_not_found(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let answer = ingest.refused(Problem::not_found(request.uri().path()), arrived);
    unread(request, answer).await
}

async fn no_such_method_of_jobs(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    counted_not_allowed(&ingest, request, handshake::ALLOW).await
}

async fn no_such_method_of_batches(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    counted_not_allowed(&ingest, request, "POST").await
}

async fn counted_not_allowed(ingest: &Ingest, request: Request, allow: &'static str) -> Response {
    let arrived = ingest.gateway.clock.now();
    let problem = Problem::not_allowed(request.method());
    ingest.count_problem(&problem, arrived);
    ingest.record(None, problem.status().as_u16(), arrived);
    unread(request, problem.into_response_allowing(allow)).await
}
