//! The accept loop: bounded connections, timed heads, and an end at which every request under way is answered.

mod connection;
pub mod handshakes;
mod http1;
mod http2;
pub mod patience;
pub mod peer;
pub mod slots;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::runtime::held::Count;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::server::limits::Limits;
use crate::server::listen::connection::{Connection, Front};
use crate::server::listen::handshakes::Handshakes;
use crate::server::listen::patience::FirstHead;
use crate::server::listen::peer::Peer;
use crate::server::listen::slots::Slots;

/// What a listener's requests are answered by.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Those of connections that are served.
    pub usual: Router,
    /// Those of connections beyond the bound, whose requests carry a [`slots::Beyond`] as an extension; each is closed after
    /// one answer, unless it got a served slot meanwhile.
    pub crowded: Router,
}

/// A listener, and what it speaks.
#[derive(Debug)]
pub struct Door {
    /// Where clients connect.
    pub listener: TcpListener,
    /// How TLS is spoken; none: plain HTTP.
    pub tls: Option<Arc<Handshakes>>,
}

/// Serves a listener until the lifecycle says stopped; returns when every connection is closed.
///
/// New connections are accepted to the very end: while the gateway drains, the routes answer `draining`, which
/// tells a client more than a refused connection. Idle connections are closed at the end only, for the same reason.
pub async fn serve(
    Door { listener, tls }: Door,
    routes: Routes,
    limits: &Limits,
    count: Arc<Count>,
    lifecycle: Lifecycle,
    in_flight: InFlight,
) {
    let slots = Slots::new(limits.max_connections, limits.header_timeout, count);
    let mut ushering = std::pin::pin!(slots.usher());
    let closing = watch::Sender::new(Closing::No);
    let front = Front { routes, in_flight, lifecycle: lifecycle.clone() };
    let mut stopped = std::pin::pin!(lifecycle.reached(Phase::Stopped));
    let mut failing = false;
    loop {
        // Until this one has a slot, further connections wait in the kernel's queue.
        let next = async {
            let accepted = listener.accept().await;
            (slots.permit().await, accepted)
        };
        let (permit, accepted) = select! {
            biased;
            () = &mut stopped => break,
            () = &mut ushering => break,
            next = next => next,
        };
        // The semaphores are never closed, so there always is a permit.
        let Some(permit) = permit else { break };
        match accepted {
            Ok((stream, address)) => {
                if std::mem::take(&mut failing) {
                    info!("connections are accepted again");
                }
                // Without it the second packet of an answer waits for the client's acknowledgement. A socket that
                // cannot be told is one that is gone already; reading will say so.
                let _ = stream.set_nodelay(true);
                let due = FirstHead::begin(limits.header_timeout);
                let slot = slots.take(permit, due.stage());
                let tls = tls.as_ref().map(Handshakes::begin);
                let connection = Connection::new(front.clone(), Peer(address), slot, closing.subscribe());
                tokio::spawn(connection.run(stream, due, tls));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "connections cannot be accepted");
                }
                drop(permit);
                // Who is idle gives way: that frees file descriptors too.
                let _blocked = slots.block();
                select! { () = sleep(ACCEPT_BACKOFF) => {}, () = &mut ushering => {} }
            }
        }
    }
    drop(listener);
    closing.send_replace(Closing::WhenAnswered);
    if timeout(FLUSH_TIME, closing.closed()).await.is_err() {
        closing.send_replace(Closing::AtOnce);
        closing.closed().await;
    }
}

/// Goes along with an answer, as an extension, that may have to be cut off before its client has taken it.
#[derive(Clone, Debug, Default)]
pub struct CutOff(Arc<OnceLock<Arc<Notify>>>);

impl CutOff {
    /// Closes the connection that the answer is written to; nothing where it is none of a listener's.
    pub fn now(&self) {
        if let Some(connection) = self.0.get() {
            connection.notify_one();
        }
    }

    /// Has the answer's, if it may have to be cut off, close this connection.
    fn enable(answer: &Response, connection: &Arc<Notify>) {
        if let Some(CutOff(of_answer)) = answer.extensions().get() {
            let _ = of_answer.set(Arc::clone(connection));
        }
    }
}

/// Whether connections are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closing {
    No,
    /// Idle ones now, others after their answer.
    WhenAnswered,
    /// All, whatever they do.
    AtOnce,
}

/// Pause after a failed accept: most often there are no file descriptors left, and trying at once does not help.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Time for the last answers to leave once nothing is in flight any more.
const FLUSH_TIME: Duration = Duration::from_secs(1);
