//! Requests of HTTP/1.1: one after the other in their connection's slot.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::sync::Notify;
use tower::Service;

use crate::server::listen::CutOff;
use crate::server::listen::connection::Front;
use crate::server::listen::peer::Peer;
use crate::server::listen::slots::Slot;

/// Those of one connection.
pub(super) struct Requests {
    pub(super) front: Front,
    pub(super) peer: Peer,
    pub(super) slot: Arc<Slot>,
    pub(super) cut_off: Arc<Notify>,
}

impl Requests {
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let counted = self.front.in_flight.enter();
        let (slot, cut_off) = (Arc::clone(&self.slot), Arc::clone(&self.cut_off));
        let answering = slot.stage().answering();
        let mut router = self.front.router(Some(&slot), self.peer, &mut request);
        async move {
            let _counted = counted;
            let mut answer = router.call(request).await?;
            if slot.ends_with_answer() {
                answer.headers_mut().insert(CONNECTION, CLOSE);
            }
            drop(answering);
            CutOff::enable(&answer, &cut_off);
            Ok(answer)
        }
    }
}

/// HTTP/1.1 as it is spoken here.
pub(super) fn bounded() -> http1::Builder {
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
