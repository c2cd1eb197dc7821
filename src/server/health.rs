//! `GET /healthz` and `GET /readyz`: the process lives; this instance can take jobs.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::domain::code::Code;
use crate::runtime::gateway::Gateway;
use crate::runtime::lifecycle::Phase;
use crate::server::problem::Problem;

/// The process answers, so it lives.
pub async fn live() -> Response {
    text("ok\n")
}

/// Ready unless starting or stopping, or while our own disk cannot be written. An overload does not make an
/// instance unready: all would leave the balancer at once, and no client would hear when to return.
pub async fn ready(gateway: &Gateway) -> Response {
    let not_yet = |detail| Problem::new(Code::BackendUnavailable, detail).into_response();
    match gateway.lifecycle.phase() {
        Phase::Starting => not_yet("the gateway is starting".to_owned()),
        Phase::Leaving | Phase::Draining | Phase::Stopped => {
            Problem::new(Code::Draining, "the gateway is stopping").into_response()
        }
        Phase::Running => match gateway.queue.check_own_disk() {
            Ok(()) => text("ready\n"),
            Err(error) => not_yet(error.to_string()),
        },
    }
}

fn text(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
