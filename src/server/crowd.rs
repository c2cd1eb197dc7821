//! What is answered beyond the bound on connections: critical jobs, workers' reports and health as usual, everything
//! else after a moment's wait for a slot, or `overloaded`.

use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use axum::routing::post;
use http::request::Parts;

use crate::domain::bound::Bound;
use crate::domain::tier::Tier;
use crate::policy::classify::HeadVerdict;
use crate::server::access::Scope;
use crate::server::batch;
use crate::server::draft;
use crate::server::ingest;
use crate::server::ingest_router;
use crate::server::leases;
use crate::server::listen::slots::Beyond;
use crate::server::problem::Problem;
use crate::server::state::Ingest;

/// The ingest listener's routes for connections that are heard only; each request carries its [`Beyond`]. What is not
/// named here is short and answered as usual: acks free the queue, and health is asked by balancers.
pub fn crowded_router(state: Arc<Ingest>) -> Router {
    let usual = ingest_router(Arc::clone(&state));
    Router::new()
        .route("/v1/jobs", post(submit).fallback_service(usual.clone()))
        .route("/v1/jobs/batch", post(submit_batch).fallback_service(usual.clone()))
        .route("/v1/leases", post(lease).fallback_service(usual.clone()))
        .with_state(state)
        .fallback_service(usual)
}

async fn submit(
    State(ingest): State<Arc<Ingest>>,
    Extension(beyond): Extension<Beyond>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let critical = beyond.is_heard() && is_critical(&ingest, &mut parts, body.size_hint().exact());
    let served = critical || beyond.is_served_soon().await;
    let request = Request::from_parts(parts, body);
    if served { ingest::submit(State(ingest), request).await } else { refuse(&ingest, request).await }
}

/// A batch is work of all tiers: who has a critical job for a gateway in this state posts it alone.
async fn submit_batch(
    State(ingest): State<Arc<Ingest>>,
    Extension(beyond): Extension<Beyond>,
    request: Request,
) -> Response {
    if beyond.is_served_soon().await {
        return batch::submit(State(ingest), request).await;
    }
    refuse(&ingest, request).await
}

/// A worker gets what is there, but without a slot it cannot wait for more.
async fn lease(
    State(ingest): State<Arc<Ingest>>,
    Extension(beyond): Extension<Beyond>,
    request: Request,
) -> Response {
    leases::lend(&ingest, request, Some(&beyond)).await
}

/// Whether the head alone shows a job of the most critical tier.
fn is_critical(ingest: &Ingest, parts: &mut Parts, declared: Option<u64>) -> bool {
    let Ok(caller) = ingest.access.submitter(&parts.headers) else { return false };
    let policy = ingest.gateway.policy.load_full();
    let head = draft::rule_head(parts, &caller, &policy, declared);
    let critical = matches!(policy.classify_head(&head), Ok(HeadVerdict::Decided(Tier::P0)));
    // The request goes on under the policy that it was judged by.
    parts.extensions.insert(policy);
    critical
}

/// Refuses a job or a batch, in the usual order of checks.
async fn refuse(ingest: &Ingest, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let (parts, body) = request.into_parts();
    let checked =
        ingest.check_taking_jobs().and_then(|()| ingest.access.enter(&parts, Scope::Submit).map(|_| ()));
    let problem = checked.err().unwrap_or_else(|| Problem::beyond(Bound::Connections));
    let answer = ingest.refused(problem, arrived);
    ingest.intake(&parts, body, arrived).discard_rest().await;
    answer
}
