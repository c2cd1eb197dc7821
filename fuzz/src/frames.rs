//! A body that comes in frames of a given size.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;

/// The bytes that have not come yet.
pub struct Frames {
    rest: Bytes,
    size: usize,
}

impl Frames {
    /// These bytes in frames of `size` bytes, the last one shorter.
    pub fn of(bytes: Bytes, size: usize) -> Body {
        // Not so many frames that the fuzzer spends its time on them.
        let size = size.max(bytes.len() / MOST).max(1);
        Body::new(Frames { rest: bytes, size })
    }
}

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.size.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }
}

const MOST: usize = 64;
