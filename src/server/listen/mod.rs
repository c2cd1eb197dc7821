//! The accept loop: bounded connections, timed heads, and an end at which every request under way is answered.

pub mod patience;
pub mod peer;
pub mod slots;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service;
use tracing::{info, warn};

use crate::runtime::held::Count;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::runtime::tls::Certificate;
use crate::server::limits::Limits;
use crate::server::listen::patience::{FirstHead, Patience};
use crate::server::listen::peer::Peer;
use crate::server::listen::slots::{Leave, Slot, Slots};

/// What a listener's requests are answered by.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Those of connections that are served.
    pub usual: Router,
    /// Those of connections beyond the bound, whose requests carry their [`Slot`] as an extension; each is closed after
    /// one answer, unless it got a served slot meanwhile.
    pub crowded: Router,
}

/// A listener, and what it speaks.
#[derive(Debug)]
pub struct Door {
    /// Where clients connect.
    pub listener: TcpListener,
    /// What TLS is spoken with; none: plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
}

/// Serves a listener until the lifecycle says stopped; returns when every connection is closed.
///
/// New connections are accepted to the very end: while the gateway drains, the routes answer `draining`, which
/// tells a client more than a refused connection. Idle connections are closed at the end only, for the same reason.
pub async fn serve(
    Door { listener, certificate }: Door,
    routes: Routes,
    limits: &Limits,
    count: Arc<Count>,
    lifecycle: Lifecycle,
    in_flight: InFlight,
) {
    let slots = Slots::new(limits.max_connections, limits.header_timeout, count);
    let mut ushering = std::pin::pin!(slots.usher());
    let closing = watch::Sender::new(Closing::No);
    let http = http();
    let mut stopped = std::pin::pin!(lifecycle.reached(Phase::Stopped));
    let mut failing = false;
    loop {
        // The slot comes first: without one, further connections wait in the kernel's queue.
        let next = async {
            let permit = slots.permit().await;
            (permit, listener.accept().await)
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
                // The one in force now: a renewed one is for those who come after.
                let tls = certificate.as_ref().map(|certificate| TlsAcceptor::from(certificate.config()));
                let connection = Connection {
                    peer: Peer(address),
                    slot,
                    closing: closing.subscribe(),
                    http: http.clone(),
                };
                tokio::spawn(connection.run(stream, due, tls, routes.clone(), in_flight.clone()));
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

/// One client's connection; its slot is free again when it is dropped.
struct Connection {
    peer: Peer,
    slot: Arc<Slot>,
    closing: watch::Receiver<Closing>,
    http: http1::Builder,
}

impl Connection {
    async fn run(
        mut self,
        stream: TcpStream,
        mut due: FirstHead,
        tls: Option<TlsAcceptor>,
        routes: Routes,
        in_flight: InFlight,
    ) {
        match tls {
            None => self.serve(Patience::with(stream, due), routes, in_flight).await,
            Some(tls) => {
                let Some(stream) = self.shake_hands(stream, &mut due, &tls).await else { return };
                self.serve(Patience::with(stream, due), routes, in_flight).await;
            }
        }
    }

    /// The handshake, within the time for the first head: to the slots it is a head that is due. `None` where it fails,
    /// which rustls has told the client.
    async fn shake_hands(
        &mut self,
        stream: TcpStream,
        due: &mut FirstHead,
        tls: &TlsAcceptor,
    ) -> Option<TlsStream<TcpStream>> {
        let stream = select! {
            biased;
            stream = tls.accept(stream) => stream.ok()?,
            () = due.over() => return None,
            _ = self.slot.told_to_leave() => return None,
            _ = self.closing.wait_for(|closing| *closing >= Closing::WhenAnswered) => return None,
        };
        self.slot.stage().shaken();
        Some(stream)
    }

    async fn serve<S>(self, stream: Patience<S>, routes: Routes, in_flight: InFlight)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Connection { peer, slot, mut closing, http } = self;
        let cut_off = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let answer = answer(&routes, request, peer, in_flight.clone(), Arc::clone(&slot));
            let cut_off = &cut_off;
            async move { answer.await.inspect(|answer| enable_cut_off(answer, cut_off)) }
        });
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        // Errors are the client's: broken requests, which hyper has answered, and lost connections.
        select! {
            biased;
            _ = connection.as_mut() => return,
            () = cut_off.notified() => return,
            leave = slot.told_to_leave() => if leave == Leave::AtOnce { return },
            _ = closing.wait_for(|closing| *closing >= Closing::WhenAnswered) => {}
        }
        connection.as_mut().graceful_shutdown();
        select! {
            biased;
            _ = connection.as_mut() => {}
            () = cut_off.notified() => {}
            _ = closing.wait_for(|closing| *closing >= Closing::AtOnce) => {}
        }
    }
}

fn answer(
    routes: &Routes,
    mut request: hyper::Request<Incoming>,
    peer: Peer,
    in_flight: InFlight,
    slot: Arc<Slot>,
) -> impl Future<Output = Result<Response, Infallible>> + use<> {
    let counted = in_flight.enter();
    slot.stage().answering();
    request.extensions_mut().insert(peer);
    let mut router = if slot.is_served_now() {
        routes.usual.clone()
    } else {
        request.extensions_mut().insert(Arc::clone(&slot));
        routes.crowded.clone()
    };
    async move {
        let _counted = counted;
        let mut answer = router.call(request).await?;
        if slot.ends_with_answer() {
            answer.headers_mut().insert(CONNECTION, CLOSE);
        }
        slot.stage().answered();
        Ok(answer)
    }
}

fn enable_cut_off(answer: &Response, connection: &Arc<Notify>) {
    if let Some(CutOff(of_answer)) = answer.extensions().get() {
        let _ = of_answer.set(Arc::clone(connection));
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // Its timer would run between two requests too; `patience` has the times.
    http.header_read_timeout(None)
        .max_buf_size(MOST_BUFFERED)
        // Gathering the answers to pipelined requests would keep an answer back for as long as any byte of the
        // client's is unread: a stray line end, half of the next request.
        .pipeline_flush(false)
        // A client that has closed its side is gone: its long poll must not be given jobs.
        .half_close(false);
    http
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Bytes of a head, and of a body read ahead, per connection.
const MOST_BUFFERED: usize = 64 * 1024;

/// Pause after a failed accept: most often there are no file descriptors left, and trying at once does not help.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Time for the last answers to leave once nothing is in flight any more.
const FLUSH_TIME: Duration = Duration::from_secs(1);
