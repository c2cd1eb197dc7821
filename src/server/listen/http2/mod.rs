//! Requests of HTTP/2: many at once, each in a slot.
//!
//! The first takes its connection's slot, another one beside it a slot of its own ([`streams`]): so a connection with a
//! hundred requests weighs as much as a hundred connections, and the bound on those holds whatever is spoken. Where none
//! is free a request is refused at once: it cannot wait in the kernel's queue as a connection would. An answer is handed
//! over in pieces ([`body`]), and a client that does not take it is found out.

mod body;
pub(super) mod streams;

use std::convert::Infallible;
use std::sync::Arc;

use http::HeaderValue;
use http::header::{CONNECTION, HOST};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tower::Service;

use crate::runtime::lifecycle::Phase;
use crate::server::listen::CutOff;
use crate::server::listen::connection::Front;
use crate::server::listen::http2::body::Answer;
use crate::server::listen::http2::streams::Streams;
use crate::server::listen::peer::Peer;

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
    ) -> impl Future<Output = Result<hyper::Response<Answer>, Infallible>> + use<> {
        let counted = self.front.in_flight.enter();
        let answering = self.streams.slot().stage().answering();
        let place = Streams::enter(&self.streams);
        name_host(&mut request);
        let mut router = self.front.router(place.slot(), self.peer, &mut request);
        let (streams, cut_off) = (Arc::clone(&self.streams), Arc::clone(&self.cut_off));
        let lifecycle = self.front.lifecycle.clone();
        async move {
            let _counted = counted;
            let mut answer = router.call(request).await?;
            // What it says of a connection that ends is of HTTP/1.1: here nothing but the stream ends.
            answer.headers_mut().remove(CONNECTION);
            if place.ends_connection() || lifecycle.phase() >= Phase::Draining {
                streams.go_away();
            }
            drop(answering);
            CutOff::enable(&answer, &cut_off);
            Ok(answer.map(|body| Answer::new(body, place)))
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
        .max_pending_accept_reset_streams(MOST_RESET_BY_CLIENT)
        .max_local_error_reset_streams(MOST_RESET_BY_US);
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

/// Requests at once on a connection: as few as RFC 9113 6.5.2 finds enough.
const MOST_STREAMS: u32 = 100;

/// Bytes of a head, counted as HTTP/2 does it with 32 more for each field: 431 beyond.
const MOST_HEAD: u32 = 32 * 1024;

/// Bytes of a body that are on their way before anybody reads it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Bytes of an answer that wait for their client.
const MOST_UNSENT: usize = 64 * 1024;

/// Streams that a client resets before they are looked at, until it is told to calm down (CVE-2023-44487).
const MOST_RESET_BY_CLIENT: usize = 20;

/// Streams that are reset for what a client did, over the connection's whole life (CVE-2025-8671): more than the clients
/// behind one proxy do wrong by mistake.
const MOST_RESET_BY_US: usize = 1_024;
