//! HTTP/2 over TLS: the same answers as over HTTP/1.1, and the same bounds whatever a client's frames do.

mod bounds;
mod floods;
mod requests;

use std::time::Duration;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;

/// A gateway with these limits, both listeners with TLS, asked over HTTP/2.
async fn limited(authority: &Authority, limits: &[(&str, &str)]) -> Gateway {
    let setup = limits
        .iter()
        .fold(Setup::with(&Policy::calm()), |setup, (key, value)| setup.set(&format!("limits.{key}"), value));
    over_http2(setup, authority).await
}

async fn over_http2(setup: Setup, authority: &Authority) -> Gateway {
    let pair = authority.issue();
    let setup = setup.ingest_tls(&pair, authority.trusted()).admin_tls(&pair, authority.trusted());
    let mut gateway = setup.start().await;
    gateway.ingest = Client::over_http2(gateway.ingest.address(), authority.trusted());
    gateway.admin = Client::over_http2(gateway.admin.address(), authority.trusted());
    // Who saw it start has left.
    connections(&gateway, 0).await;
    gateway
}

/// Waits until so many slots of ingest are taken.
async fn connections(gateway: &Gateway, wanted: u64) {
    until("so many slots are taken", Duration::from_secs(10), async || {
        let taken = gateway.metrics().await.count("tidegate_connections", &[("listener", "ingest")]);
        (taken == wanted).then_some(())
    })
    .await;
}
