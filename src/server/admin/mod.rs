//! The admin listener: what operators see and do.

mod call;
pub mod dashboard;
pub mod dead_letters;
pub mod events;
pub mod guard;
pub mod heartbeat;
pub mod history;
pub mod policy;
pub(super) mod selection;
pub mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::domain::code::Code;
use crate::runtime::gateway::Gateway;
use crate::runtime::reload::PolicyDesk;
use crate::server::access::key_ring::KeyRing;
use crate::server::admin::events::Events;
use crate::server::admin::guard::Guard;
use crate::server::admin::history::{Past, Pulse};
use crate::server::client_limit::ClientLimit;
use crate::server::limits::Limits;
use crate::server::problem::Problem;
use crate::server::{health, only_get, only_post, openapi, refuse_method, unread};

/// The state of the admin listener.
pub struct Admin {
    gateway: Gateway,
    policy: PolicyDesk,
    limits: Limits,
    guard: Guard,
    keys: Option<Arc<KeyRing>>,
    clients: Option<Arc<ClientLimit>>,
    events: Events,
    past: Past,
}

impl Admin {
    /// The state of a listener behind this guard, which shows what becomes of the ingest listener's keys and how many
    /// clients its limit remembers.
    pub fn new(
        gateway: Gateway,
        policy: PolicyDesk,
        limits: Limits,
        guard: Guard,
        keys: Option<Arc<KeyRing>>,
        clients: Option<Arc<ClientLimit>>,
    ) -> Arc<Admin> {
        let (events, past) = (Events::new(), Past::default());
        Arc::new(Admin { gateway, policy, limits, guard, keys, clients, events, past })
    }

    fn pulse(&self) -> Pulse {
        self.past.pulse()
    }
}

/// The routes of operators, all behind the guard.
pub fn admin_router(state: Arc<Admin>) -> Router {
    let ready = |State(admin): State<Arc<Admin>>| async move { health::ready(&admin.gateway).await };
    Router::new()
        .route("/metrics", only_get(metrics))
        .route("/v1/status", only_get(status::show))
        .route("/v1/events", only_get(events::show))
        .route("/v1/history", only_get(history::show))
        .route("/v1/policy", get(policy::show).put(policy::check).fallback(no_such_method_of_the_policy))
        .route("/v1/policy/history", only_get(policy::list))
        .route("/v1/policy/reload", only_post(policy::reload))
        .route("/v1/policy/rollback", only_post(policy::roll_back))
        .route("/v1/dead-letters", only_get(dead_letters::list))
        .route("/v1/dead-letters/{id}", only_get(dead_letters::show))
        .route("/v1/dead-letters/replay", only_post(dead_letters::replay))
        .route("/v1/dead-letters/purge", only_post(dead_letters::purge))
        .route("/dashboard", only_get(dashboard::page))
        .route("/dashboard/{asset}", only_get(dashboard::asset))
        .route("/openapi.json", only_get(openapi::show))
        .route("/healthz", only_get(health::live))
        .route("/readyz", only_get(ready))
        .fallback(|request: Request| async move {
            let answer = Problem::not_found(request.uri().path()).into_response();
            unread(request, answer).await
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guarded))
        .with_state(state)
}

async fn guarded(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let mut response = match admin.guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    // All that operators see is of this moment.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn no_such_method_of_the_policy(request: Request) -> Response {
    refuse_method(request, "GET, HEAD, PUT").await
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    if let Some(clients) = &admin.clients {
        admin.gateway.metrics.limited_clients(clients.remembered());
    }
    match admin.gateway.scrape() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, EXPOSITION);
            response
        }
        Err(error) => {
            Problem::new(Code::Overloaded, format!("the metrics cannot be written: {error}")).into_response()
        }
    }
}

const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
