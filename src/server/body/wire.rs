//! A coded body as it comes over the wire, for a decoder to read: bounded, in pieces, and with turns for others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::server::body::BodyError;
use crate::server::limits::SizeLimit;

/// Coded bytes. As an [`AsyncBufRead`] it wraps its errors, [`BodyError`]s, into those of `io`.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) body: Body,
    chunk: Bytes,
    bound: SizeLimit,
    came: u64,
    /// Bytes taken since others had their turn.
    turn: usize,
}

impl Wire {
    /// A body that is no longer than the bound.
    pub fn new(body: Body, bound: SizeLimit) -> Wire {
        Wire { body, chunk: Bytes::new(), bound, came: 0, turn: 0 }
    }

    /// Whether nothing ever came.
    pub const fn is_empty(&self) -> bool {
        self.came == 0
    }

    /// Bytes that came and were not taken.
    pub fn held(&self) -> u64 {
        u64::try_from(self.chunk.len()).unwrap_or(u64::MAX)
    }

    /// The next bytes; none at the end.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], BodyError>> {
        // Bytes that decode to nothing, such as empty members, never end a step: they end a turn.
        if self.turn >= TURN {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.chunk.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
                return Poll::Ready(Ok(&[]));
            };
            // Trailers carry nothing for us.
            self.chunk = frame.map_err(|_| BodyError::Broken)?.into_data().unwrap_or_default();
            self.came += self.held();
            if self.came > self.bound.most() {
                return Poll::Ready(Err(BodyError::TooLarge(self.bound)));
            }
        }
        Poll::Ready(Ok(self.chunk.get(..PIECE).unwrap_or(&self.chunk)))
    }

    /// So many of the bytes last given are done with.
    pub fn take(&mut self, bytes: usize) {
        self.chunk.advance(bytes);
        self.turn += bytes;
    }
}

impl AsyncBufRead for Wire {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_piece(context).map_err(io::Error::other)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.take(amount);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(context))?;
        let taken = bytes.len().min(buffer.remaining());
        buffer.put_slice(bytes.get(..taken).unwrap_or_default());
        self.take(taken);
        Poll::Ready(Ok(()))
    }
}

/// Coded bytes in a row, in pieces. The worst of them are gzip members without content, of twenty bytes each: their
/// decoder takes some four microseconds to begin a new one.
const TURN: usize = 4 * 1024;
const PIECE: usize = 1024;
