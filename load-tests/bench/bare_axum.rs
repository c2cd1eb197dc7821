//! The yardstick: a bare axum server that reads the body and answers 202, and does nothing else.
//!
//! `bare_axum 127.0.0.1:8090` serves `POST /v1/jobs` there until it is ended. `run.sh` beside this file drives
//! it and the gateway in turn.

use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bare_axum ADDRESS")?;
    let router = Router::new().route("/v1/jobs", post(take)).route("/readyz", get(ready));
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn take(_payload: Bytes) -> StatusCode {
    StatusCode::ACCEPTED
}

async fn ready() -> StatusCode {
    StatusCode::OK
}
