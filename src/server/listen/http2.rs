//! Requests of HTTP/2: many at once, each in a slot.
//!
//! The first takes its connection's slot, another one beside it a slot of its own: so a connection with a hundred
//! requests weighs as much as a hundred connections, and the bound on those holds whatever is spoken. Where none is
//! free a request is refused at once unless its head shows that it is critical: it cannot wait in the kernel's queue as
//! a connection would.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONNECTION, HOST};
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::Service;

use crate::runtime::lifecycle::Phase;
use crate::server::listen::CutOff;
use crate::server::listen::connection::Front;
use crate::server::listen::peer::Peer;
use crate::server::listen::slots::Slot;

/// Those of one connection.
pub(super) struct Requests {
    pub(super) front: Front,
    pub(super) peer: Peer,
    pub(super) streams: Arc<Streams>,
    pub(super) cut_off: Arc<Notify>,
}

impl Requests {
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<hyper::Response<InPlace>, Infallible>> + use<> {
        let counted = self.front.in_flight.enter();
        let answering = self.streams.slot.stage().answering();
        let place = Streams::enter(&self.streams);
        name_host(&mut request);
        let slot = place.as_ref().map(|place| &place.slot);
        let mut router = self.front.router(slot, self.peer, &mut request);
        let (streams, cut_off) = (Arc::clone(&self.streams), Arc::clone(&self.cut_off));
        let lifecycle = self.front.lifecycle.clone();
        async move {
            let _counted = counted;
            let mut answer = router.call(request).await?;
            // What it says of a connection that ends is of HTTP/1.1: here nothing but the stream ends.
            answer.headers_mut().remove(CONNECTION);
            let leaves =
                place.as_ref().is_some_and(|place| place.slot.ends_with_answer() && place.is_first());
            if leaves || lifecycle.phase() >= Phase::Draining {
                streams.go_away.notify_one();
            }
            drop(answering);
            CutOff::enable(&answer, &cut_off);
            Ok(answer.map(|body| InPlace { body, _place: place }))
        }
    }
}

/// HTTP/2 as it is spoken here. There are no pings of ours: they would look like a client that is there.
pub(super) fn bounded() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_HEAD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MOST_UNSENT)
        .max_pending_accept_reset_streams(MOST_RESET)
        .max_local_error_reset_streams(MOST_RESET);
    http
}

/// A request names its host in its target; from here on it does so as in HTTP/1.1. Where it does both, both stay, to be
/// compared.
fn name_host(request: &mut Request<Incoming>) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
}

/// The requests of one connection, until their answers are sent.
#[derive(Debug)]
pub(super) struct Streams {
    /// The connection's.
    slot: Arc<Slot>,
    slot_in_use: AtomicBool,
    open: AtomicUsize,
    go_away: Notify,
}

/// One request's.
#[derive(Debug)]
struct Place {
    streams: Arc<Streams>,
    slot: Arc<Slot>,
}

impl Streams {
    pub(super) fn of(slot: &Arc<Slot>) -> Arc<Streams> {
        Arc::new(Streams {
            slot: Arc::clone(slot),
            slot_in_use: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            go_away: Notify::new(),
        })
    }

    /// A place for one more; `None` where no slot is free.
    fn enter(streams: &Arc<Streams>) -> Option<Place> {
        let slot = if streams.slot_in_use.swap(true, Ordering::Relaxed) {
            streams.slot.one_beside()?
        } else {
            Arc::clone(&streams.slot)
        };
        streams.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { streams: Arc::clone(streams), slot })
    }

    /// Waits until the client is to take its next requests elsewhere.
    pub(super) async fn to_go_away(&self) {
        self.go_away.notified().await;
    }

    /// Waits until no request is left for a while, in which the last answer can leave. A client that was told to go away
    /// may never say that it has heard.
    pub(super) async fn all_ended(&self) {
        let mut rounds = 0;
        while rounds < 2 {
            sleep(LEAVE_TIME).await;
            rounds = if self.open.load(Ordering::Relaxed) == 0 { rounds + 1 } else { 0 };
        }
    }
}

impl Place {
    /// Whether it is the connection's own.
    fn is_first(&self) -> bool {
        Arc::ptr_eq(&self.slot, &self.streams.slot)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_first() {
            self.streams.slot_in_use.store(false, Ordering::Relaxed);
        }
    }
}

/// An answer's body; its request has its place until the last byte is handed over.
#[derive(Debug)]
pub(super) struct InPlace {
    body: Body,
    _place: Option<Place>,
}

impl HttpBody for InPlace {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests at once on a connection: as few as RFC 9113 6.5.2 finds enough.
const MOST_STREAMS: u32 = 100;

/// Bytes of a head, as in HTTP/1.1: 431 beyond.
const MOST_HEAD: u32 = 64 * 1024;

/// Bytes of a body that are on their way before anybody reads it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Bytes of an answer that wait for their client.
const MOST_UNSENT: usize = 64 * 1024;

/// Streams that a client resets before they are looked at, or that are reset for what it did, before it is told to calm
/// down and the connection ends (CVE-2023-44487, CVE-2025-8671).
const MOST_RESET: usize = 20;

/// Half of the time for a client that was told to go away: long enough for the last answer to leave.
const LEAVE_TIME: Duration = Duration::from_millis(500);
