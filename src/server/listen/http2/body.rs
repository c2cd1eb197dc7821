//! An answer's body, handed over in pieces as its client takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::server::listen::http2::streams::{Place, Progress};

/// A body that keeps its request's place until the last piece is handed over.
///
/// The next piece is asked for when the client has room for a byte of it: a whole answer handed over at once would wait
/// in the protocol's buffers, without a slot, for a client that makes room for one byte.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    progress: Arc<Progress>,
    _place: Place,
}

impl Answer {
    /// The body of the answer in this place.
    pub fn new(body: Body, place: Place) -> Answer {
        Answer { body, rest: Bytes::new(), progress: place.answered(), _place: place }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.progress.note(true);
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        self.progress.note(false);
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

/// Bytes of a piece: a frame of HTTP/2 as most clients take it.
const PIECE: usize = 16 * 1024;
