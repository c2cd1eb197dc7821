//! The yardstick: a bare axum server that reads the body and answers 202, and does nothing else.
//!
//! `bare_axum 127.0.0.1:8090` serves `POST /v1/jobs` there until it is ended; `POST /v1/refusals` answers with the
//! bytes of a refusal, all of them constants: what those bytes alone cost on their way to the client. `run.sh` beside
//! this file drives it and the gateway in turn.

use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bare_axum ADDRESS")?;
    let router = Router::new()
        .route("/v1/jobs", post(take))
        .route("/v1/refusals", post(refuse))
        .route("/readyz", get(ready));
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn take(_payload: Bytes) -> StatusCode {
    StatusCode::ACCEPTED
}

async fn refuse(_payload: Bytes) -> (StatusCode, [(&'static str, &'static str); 7], &'static str) {
    (StatusCode::TOO_MANY_REQUESTS, REFUSAL_HEAD, REFUSAL_BODY)
}

async fn ready() -> StatusCode {
    StatusCode::OK
}

const REFUSAL_HEAD: [(&str, &str); 7] = [
    ("content-type", "application/problem+json"),
    ("x-request-id", "2cb7799d0fa5001e"),
    ("retry-after", "22"),
    ("cache-control", "no-store"),
    ("tidegate-tier", "p1"),
    ("ratelimit-policy", "\"p1\";q=10;w=10"),
    ("ratelimit", "\"p1\";r=0;t=22"),
];

const REFUSAL_BODY: &str = r#"{"type":"urn:tidegate:problem:throttled","title":"Too many jobs for now","status":429,"detail":"the tier's rate is used up","code":"throttled","tier":"p1","outcome":"not_stored","retryable":true,"retry_after_ms":21697,"request_id":"2cb7799d0fa5001e"}"#;
