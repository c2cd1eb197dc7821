//! Every limit on what a client can make the gateway hold; docs/PROTECTION.md says which test shows which.

mod calls;
mod heads;
mod index;
mod over_tls;
mod sizes;

use std::future::Future;

use crate::support::certificates::{Authority, connect};
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// A gateway with these limits.
async fn limited(limits: &[(&str, &str)]) -> Gateway {
    set(limits).start().await
}

/// The same over TLS.
async fn limited_over_tls(authority: &Authority, limits: &[(&str, &str)]) -> Gateway {
    set(limits).ingest_tls(&authority.issue(), authority.trusted()).start().await
}

fn set(limits: &[(&str, &str)]) -> Setup {
    let set = |setup: Setup, (key, value): &(&str, &str)| setup.set(&format!("limits.{key}"), value);
    limits.iter().fold(Setup::with(&Policy::calm()), set)
}

/// A way to a gateway's ingest by plain TCP.
fn plain(gateway: &Gateway) -> impl Fn() -> Dialling<tokio::net::TcpStream> + use<> {
    let address = gateway.ingest.address();
    move || Box::pin(async move { Raw::connect(address).await })
}

/// A way to it over TLS.
fn secure(
    gateway: &Gateway,
    authority: &Authority,
) -> impl Fn() -> Dialling<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> + use<> {
    let (address, trusted) = (gateway.ingest.address(), authority.trusted());
    move || {
        let trusted = trusted.clone();
        Box::pin(async move { Raw::over(connect(address, trusted).await.expect("a handshake")) })
    }
}

type Dialling<S> = std::pin::Pin<Box<dyn Future<Output = Raw<S>> + Send>>;

/// What heads and bodies that begin in so little time are given, as a limit and in seconds.
const SHORT: &str = "1s";
/// From when to when something that has a second may be ended: not at once, and not much later.
const ABOUT_A_SECOND: std::ops::Range<f64> = 0.5..3.5;

const JOB: &str = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";
